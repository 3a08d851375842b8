/* SPDX-License-Identifier: BSD-3-Clause */
/* File operations: the bytes that pread() and pwrite() would move, told once; by helper threads and by io_uring alike. */
#define _GNU_SOURCE
#include "support/child.h"
#include "support/context.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <poll.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

#include "support/cmocka.h"

#define CANCELLED (TORQUE_ERR_SYSCALL + ECANCELED)
enum { BLOCK = 4096, BLOCKS = 64 };

struct op {
  torque_source handle;
  _Atomic uint32_t told, wrong, finals;
  _Atomic torque_err err;
  _Atomic int64_t result;
};

static struct fixture *fixture;

static void on_done(torque_source handle, torque_err err, int64_t result, void *arg) {
  struct op *op = arg;
  if (torque_getcurctx() != fixture->ctx || (op->handle && op->handle != handle)) atomic_fetch_add(&op->wrong, 1);
  atomic_store(&op->err, err), atomic_store(&op->result, result);
  atomic_fetch_add(&op->told, 1);
}

static void on_final(torque_source handle, int32_t reason, void *arg) {
  (void)handle, (void)reason;
  atomic_fetch_add(&((struct op *)arg)->finals, 1);
}

static struct op *ops_for(struct fixture *f, uint32_t n) {
  fixture = f;
  return fixture_take(f, n * sizeof(struct op));
}

static void assert_told(struct fixture *f, const struct op *op, torque_err err, int64_t result) {
  AWAIT(f, op->told);
  assert_int_equal(op->told, 1);
  assert_int_equal(op->wrong, 0);
  assert_int_equal(op->err, err);
  assert_int_equal(op->result, result);
}

/* The fixture's context anew, with one backend; every test runs on each that the system has. */
static int backend_refused;
static void with_backend(struct fixture *f, uint32_t backend) {
  if (f->ctx) fixture_stop(f);
  struct torque_config *c = shape_config(f->shape);
  assert_int_equal(torque_config_set_aio(c, backend), 0);
  assert_int_equal(torque_ctx_new(c, &f->ctx), 0);
  torque_config_free(c);
  if (backend == TORQUE_AIO_THREADS) assert_int_equal(torque_aio_backend(f->ctx), TORQUE_AIO_THREADS);
  else backend_refused = torque_aio_backend(f->ctx) == TORQUE_AIO_THREADS;
}

static unsigned char byte_at(uint64_t offset) { return (unsigned char)((offset / 7 + offset / 4096) & 0xff); }

static int file_of(struct fixture *f, uint64_t bytes, int flags) {
  char name[] = "torque-aio-XXXXXX";
  int fd = mkostemp(name, O_CLOEXEC);
  assert_true(fd >= 0);
  if (flags) {
    const int again = open(name, O_RDWR | O_CLOEXEC | flags);
    close(fd);
    unlink(name);
    if (again < 0) return -1;
    fd = again;
  } else {
    unlink(name);
  }
  fixture_own(f, fd);
  unsigned char *all = NULL;
  assert_int_equal(posix_memalign((void **)(void *)&all, BLOCK, bytes + 1), 0);
  for (uint64_t i = 0; i < bytes; i++) all[i] = byte_at(i);
  const ssize_t n = bytes ? pwrite(fd, all, bytes, 0) : 0;
  free(all);
  assert_int_equal(n, bytes);
  return fd;
}

static int holds(const unsigned char *p, uint64_t bytes, uint64_t offset) {
  for (uint64_t i = 0; i < bytes; i++)
    if (p[i] != byte_at(offset + i)) return 0;
  return 1;
}

/* ---- What is moved ---- */

static void reads(struct fixture *f) {
  const int fd = file_of(f, BLOCK * BLOCKS, 0);
  enum { N = 1000 };
  struct op *op = ops_for(f, N);
  unsigned char *room = fixture_take(f, N * BLOCK);
  for (int i = 0; i < N; i++)
    assert_int_equal(torque_aio_read(f->ctx, fd, room + i * BLOCK, BLOCK, (uint64_t)(i % BLOCKS) * BLOCK, on_done,
                                     &op[i], &op[i].handle), 0);
  for (int i = 0; i < N; i++) {
    assert_told(f, &op[i], 0, BLOCK);
    assert_true(holds(room + i * BLOCK, BLOCK, (uint64_t)(i % BLOCKS) * BLOCK));
    AWAIT(f, torque_aio_cancel(op[i].handle) == TORQUE_ERR_STALE); /* its callback may not have returned yet */
  }
  assert_int_equal(lseek(fd, 0, SEEK_CUR), 0);
  assert_int_equal(stat_total(f->ctx, "jobs"), N);
}

static void ends(struct fixture *f) {
  const int fd = file_of(f, 10000, 0);
  struct op *op = ops_for(f, 4);
  unsigned char room[3][BLOCK];
  assert_int_equal(torque_aio_read(f->ctx, fd, room[0], BLOCK, 8192, on_done, &op[0], NULL), 0);
  assert_int_equal(torque_aio_read(f->ctx, fd, room[1], BLOCK, 10000, on_done, &op[1], NULL), 0);
  assert_int_equal(torque_aio_read(f->ctx, fd, room[2], BLOCK, 1 << 30, on_done, &op[2], NULL), 0);
  assert_int_equal(torque_aio_read(f->ctx, fd, NULL, 0, 0, on_done, &op[3], NULL), 0);
  assert_told(f, &op[0], 0, 10000 - 8192);
  assert_true(holds(room[0], 10000 - 8192, 8192));
  for (int i = 1; i < 4; i++) assert_told(f, &op[i], 0, 0);
}

static void writes(struct fixture *f) {
  const int fd = file_of(f, 0, 0);
  struct op *op = ops_for(f, BLOCKS + 4);
  unsigned char *text = fixture_take(f, BLOCK * BLOCKS), *back = fixture_take(f, BLOCK * BLOCKS);
  for (uint64_t i = 0; i < BLOCK * BLOCKS; i++) text[i] = byte_at(i);
  for (uint64_t i = 0; i < BLOCKS; i++)
    assert_int_equal(torque_aio_write(f->ctx, fd, text + i * BLOCK, BLOCK, i * BLOCK, on_done, &op[i], &op[i].handle), 0);
  for (int i = 0; i < BLOCKS; i++) assert_told(f, &op[i], 0, BLOCK);
  assert_int_equal(torque_aio_fsync(f->ctx, fd, on_done, &op[BLOCKS], NULL), 0);
  assert_int_equal(torque_aio_fdatasync(f->ctx, fd, on_done, &op[BLOCKS + 1], NULL), 0);
  for (int i = 0; i < 2; i++) assert_told(f, &op[BLOCKS + i], 0, 0);
  struct iovec parts[3] = {{back, 5}, {back + 5, BLOCK}, {back + 5 + BLOCK, 100}};
  assert_int_equal(torque_aio_readv(f->ctx, fd, parts, 3, 0, on_done, &op[BLOCKS + 2], NULL), 0);
  assert_told(f, &op[BLOCKS + 2], 0, BLOCK + 105);
  assert_true(holds(back, BLOCK + 105, 0));
  parts[0].iov_base = text + 1000, parts[1].iov_base = text + 1005, parts[2].iov_base = text + 1005 + BLOCK;
  assert_int_equal(torque_aio_writev(f->ctx, fd, parts, 3, 1000, on_done, &op[BLOCKS + 3], NULL), 0);
  assert_told(f, &op[BLOCKS + 3], 0, BLOCK + 105);
  assert_int_equal(pread(fd, back, BLOCK * BLOCKS, 0), BLOCK * BLOCKS);
  assert_true(holds(back, BLOCK * BLOCKS, 0));
}

static void direct(struct fixture *f) {
  const int fd = file_of(f, BLOCK * BLOCKS, O_DIRECT);
  if (fd < 0) return; /* this file system has none */
  struct op *op = ops_for(f, 3);
  unsigned char *room = NULL;
  assert_int_equal(posix_memalign((void **)(void *)&room, BLOCK, 2 * BLOCK), 0);
  assert_int_equal(torque_aio_read(f->ctx, fd, room, BLOCK, 5 * BLOCK, on_done, &op[0], NULL), 0);
  assert_told(f, &op[0], 0, BLOCK);
  assert_true(holds(room, BLOCK, 5 * BLOCK));
  for (uint64_t i = 0; i < BLOCK; i++) room[i] = byte_at(9 * BLOCK + i);
  assert_int_equal(torque_aio_write(f->ctx, fd, room, BLOCK, 9 * BLOCK, on_done, &op[1], NULL), 0);
  assert_told(f, &op[1], 0, BLOCK);
  free(room);
}

static void errors(struct fixture *f) {
  const int fd = file_of(f, 100, 0);
  struct op *op = ops_for(f, 4);
  char room[16];
  char name[64];
  snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
  const int reader = open(name, O_RDONLY | O_CLOEXEC), folder = open("/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  fixture_own(f, reader), fixture_own(f, folder);
  assert_int_equal(torque_aio_write(f->ctx, reader, room, 16, 0, on_done, &op[0], NULL), 0);
  assert_told(f, &op[0], TORQUE_ERR_SYSCALL + EBADF, 0);
  assert_int_equal(torque_aio_read(f->ctx, folder, room, 16, 0, on_done, &op[1], NULL), 0);
  assert_told(f, &op[1], TORQUE_ERR_SYSCALL + EISDIR, 0);
  assert_int_equal(torque_aio_read(f->ctx, fd, (void *)(uintptr_t)16, 16, 0, on_done, &op[2], NULL), 0);
  assert_told(f, &op[2], TORQUE_ERR_SYSCALL + EFAULT, 0);
  assert_int_equal(torque_aio_fsync(f->ctx, 54321, on_done, &op[3], NULL), 0);
  assert_told(f, &op[3], TORQUE_ERR_SYSCALL + EBADF, 0);

  int pair[2];
  fixture_pair(f, pair);
  assert_int_equal(torque_aio_read(f->ctx, pair[0], room, 16, 0, on_done, op, NULL), TORQUE_ERR_SYSCALL + ESPIPE);
  assert_int_equal(torque_aio_read(f->ctx, 54321, room, 16, 0, on_done, op, NULL), TORQUE_ERR_SYSCALL + EBADF);
}

static void refusals(struct fixture *f) {
  const int fd = file_of(f, 100, 0);
  char room[16];
  torque_source s = 55;
  struct iovec parts = {room, 16};
  assert_int_equal(torque_aio_read(NULL, fd, room, 16, 0, on_done, NULL, &s), TORQUE_ERR_INVAL);
  assert_int_equal(torque_aio_read(f->ctx, -1, room, 16, 0, on_done, NULL, &s), TORQUE_ERR_INVAL);
  assert_int_equal(torque_aio_read(f->ctx, fd, NULL, 16, 0, on_done, NULL, &s), TORQUE_ERR_INVAL);
  assert_int_equal(torque_aio_read(f->ctx, fd, room, 16, 0, NULL, NULL, &s), TORQUE_ERR_INVAL);
  assert_int_equal(torque_aio_read(f->ctx, fd, room, 16, UINT64_MAX, on_done, NULL, &s), TORQUE_ERR_INVAL);
  assert_int_equal(torque_aio_readv(f->ctx, fd, &parts, 1025, 0, on_done, NULL, &s), TORQUE_ERR_INVAL);
  assert_int_equal(torque_aio_new(f->ctx, 6, fd, room, 16, 0, on_done, NULL, &s), TORQUE_ERR_INVAL);
  assert_int_equal(torque_aio_new(f->ctx, 0, fd, room, 16, 0, on_done, NULL, NULL), TORQUE_ERR_INVAL);
  assert_int_equal(torque_aio_cancel(0), TORQUE_ERR_STALE);
  assert_int_equal(torque_config_set_aio(NULL, 0), TORQUE_ERR_INVAL);
  assert_int_equal(s, 55);
}

/* ---- Started later, in a strand ---- */

static _Atomic uint32_t inside, overlapping;
static void in_strand(torque_source handle, torque_err err, int64_t result, void *arg) {
  if (atomic_fetch_add(&inside, 1)) atomic_fetch_add(&overlapping, 1);
  nap();
  atomic_fetch_sub(&inside, 1);
  on_done(handle, err, result, arg);
}

static void strands(struct fixture *f) {
  const int fd = file_of(f, BLOCK, 0);
  struct op *op = ops_for(f, 20);
  struct torque_strand *strand;
  static char room[20][16];
  atomic_store(&overlapping, 0);
  assert_int_equal(torque_strand_new(f->ctx, &strand), 0);
  for (int i = 0; i < 20; i++) {
    assert_int_equal(torque_aio_new(f->ctx, TORQUE_AIO_READ, fd, room[i], 16, 0, in_strand, &op[i], &op[i].handle), 0);
    assert_int_equal(torque_source_set_strand(op[i].handle, strand), 0);
    assert_int_equal(torque_source_set_finalizer(op[i].handle, on_final), 0);
    if (i == 19) assert_int_equal(torque_source_remove(op[i].handle), 0);
    else assert_int_equal(torque_source_start(op[i].handle), 0);
  }
  torque_strand_free(strand);
  for (int i = 0; i < 20; i++) AWAIT(f, op[i].finals);
  for (int i = 0; i < 19; i++) assert_told(f, &op[i], 0, 16);
  assert_int_equal(op[19].told, 0);
  assert_int_equal(overlapping, 0);
}

/* ---- Many at once, chains, other threads ---- */

struct chain {
  struct fixture *f;
  int fd;
  uint64_t length;
  _Atomic uint64_t done;
  _Atomic uint32_t wrong;
  unsigned char room[512];
};

static void next_of_chain(torque_source op, torque_err err, int64_t result, void *arg) {
  struct chain *c = arg;
  (void)op;
  const uint64_t at = atomic_load(&c->done) % BLOCKS * BLOCK;
  if (err || result != sizeof c->room || !holds(c->room, sizeof c->room, at)) atomic_fetch_add(&c->wrong, 1);
  const uint64_t n = atomic_fetch_add(&c->done, 1) + 1;
  if (n < c->length && torque_aio_read(c->f->ctx, c->fd, c->room, sizeof c->room, n % BLOCKS * BLOCK, next_of_chain, c, NULL))
    atomic_fetch_add(&c->wrong, 1);
}

static void *start_chain(void *arg) { /* and goes: what a thread began does not end with it */
  struct chain *c = arg;
  if (torque_aio_read(c->f->ctx, c->fd, c->room, sizeof c->room, 0, next_of_chain, c, NULL)) atomic_fetch_add(&c->wrong, 1);
  return NULL;
}

static void chains(struct fixture *f) {
  const int fd = file_of(f, BLOCK * BLOCKS, 0);
  enum { CHAINS = 32 };
  fixture = f;
  struct chain *c = fixture_take(f, CHAINS * sizeof *c);
  for (int i = 0; i < CHAINS; i++) {
    c[i].f = f, c[i].fd = fd, c[i].length = FEWER(500);
    fixture_thread(f, start_chain, &c[i]);
  }
  for (int i = 0; i < CHAINS; i++) AWAIT(f, c[i].done == c[i].length);
  for (int i = 0; i < CHAINS; i++) assert_int_equal(c[i].wrong, 0);
}

static void thousands(struct fixture *f) {
  const int fd = file_of(f, BLOCK * BLOCKS, 0);
  enum { N = FEWER(20000) };
  struct op *op = ops_for(f, N);
  unsigned char *room = fixture_take(f, N * 16);
  uint32_t cancelled = 0;
  for (int i = 0; i < N; i++)
    assert_int_equal(torque_aio_read(f->ctx, fd, room + i * 16, 16, (uint64_t)(i % BLOCKS) * BLOCK, on_done, &op[i],
                                     &op[i].handle), 0);
  uint32_t asked = 0;
  for (int i = 0; i < N; i += 3) {
    const torque_err err = torque_aio_cancel(op[i].handle);
    asked += err == 0;
    assert_true(!err || err == TORQUE_ERR_STATE || err == TORQUE_ERR_STALE);
  }
  for (int i = 0; i < N; i++) {
    AWAIT(f, op[i].told);
    cancelled += op[i].err == CANCELLED;
    if (op[i].err == CANCELLED) continue;
    assert_told(f, &op[i], 0, 16);
    assert_true(holds(room + i * 16, 16, (uint64_t)(i % BLOCKS) * BLOCK));
  }
  assert_int_equal(cancelled, asked);
  fixture_settle(f);
  for (int i = 0; i < N; i++) assert_int_equal(op[i].told, 1);
}

/* ---- Cancelling, where it is certain: a driven context that nobody runs hands nothing over ---- */

static void cancelling(struct fixture *f) {
  const int fd = file_of(f, BLOCK, 0);
  struct op *op = ops_for(f, 2);
  char room[16] = "";
  assert_int_equal(torque_aio_new(f->ctx, TORQUE_AIO_READ, fd, room, 16, 0, on_done, &op[1], &op[1].handle), 0);
  assert_int_equal(torque_aio_cancel(op[1].handle), TORQUE_ERR_STATE);
  assert_int_equal(torque_offload_cancel(op[1].handle), TORQUE_ERR_KIND);
  assert_int_equal(torque_source_start(op[1].handle), 0);
  assert_int_equal(torque_source_remove(op[1].handle), op[1].told ? TORQUE_ERR_STALE : TORQUE_ERR_STATE);
  assert_told(f, &op[1], 0, 16);
  if (!f->shape->driven || torque_aio_backend(f->ctx) != TORQUE_AIO_URING) return;
  assert_int_equal(torque_aio_read(f->ctx, fd, room, 16, 0, on_done, &op[0], &op[0].handle), 0);
  assert_int_equal(torque_aio_cancel(op[0].handle), 0);
  assert_int_equal(torque_aio_cancel(op[0].handle), TORQUE_ERR_STATE);
  assert_int_equal(op[0].told, 0);
  assert_told(f, &op[0], CANCELLED, 0);
}

/* ---- The end ---- */

static void stops(struct fixture *f) {
  const int fd = file_of(f, BLOCK * BLOCKS, 0);
  enum { N = 300 };
  const uint32_t backend = torque_aio_backend(f->ctx);
  for (int round = 0; round < FEWER(50); round++) {
    struct op *op = ops_for(f, N);
    unsigned char *room = fixture_take(f, N * 16);
    for (int i = 0; i < N; i++)
      assert_int_equal(torque_aio_read(f->ctx, fd, room + i * 16, 16, (uint64_t)i, on_done, &op[i], &op[i].handle), 0);
    if (round % 3 == 1) nap();
    if (round % 3 == 2 && f->shape->driven) assert_int_equal(torque_run_ready(f->ctx, NULL), 0);
    fixture_stop(f);
    for (int i = 0; i < N; i++) {
      assert_int_equal(op[i].told, 1);
      assert_true(op[i].err == CANCELLED || (op[i].err == 0 && op[i].result == 16 && holds(room + i * 16, 16, (uint64_t)i)));
    }
    with_backend(f, backend);
  }
}

/* ---- Forks ---- */

static struct op *forked_ops;
static int forked_fd;

static int in_child(void *arg) {
  struct fixture *f = arg;
  struct op *op = forked_ops;
  static char room[16];
  CHECK(torque_aio_read(f->ctx, forked_fd, room, 16, 32, on_done, &op[2], NULL) == TORQUE_ERR_FORKED);
  CHECK(torque_reinit(f->ctx) == 0);
  CHECK_SOON((torque_run_once(f->ctx, 1000000, NULL), op[0].told && op[1].told));
#ifndef __SANITIZE_THREAD__ /* it takes a new thread of a child for one of the parent's */
  CHECK(torque_aio_read(f->ctx, forked_fd, room, 16, 32, on_done, &op[2], NULL) == 0);
  CHECK_SOON((torque_run_once(f->ctx, 1000000, NULL), op[2].told));
  CHECK(op[2].err == 0 && op[2].result == 16 && holds((unsigned char *)room, 16, 32));
#endif
  CHECK(torque_stop(f->ctx) == 0);
  for (int i = 0; i < 2; i++) CHECK(op[i].told == 1 && (op[i].err == CANCELLED || op[i].err == 0));
  return 0;
}

static int stop_in_child(void *arg) {
  struct fixture *f = arg;
  CHECK(torque_stop(f->ctx) == 0);
  CHECK(forked_ops[0].told == 0);
  return 0;
}

static void forks(struct fixture *f) {
  if (!f->shape->driven) return;
  forked_fd = file_of(f, BLOCK, 0);
  struct op *op = forked_ops = ops_for(f, 3);
  static char room[2][16];
  for (int i = 0; i < 2; i++)
    assert_int_equal(torque_aio_read(f->ctx, forked_fd, room[i], 16, 16, on_done, &op[i], &op[i].handle), 0);
  assert_int_equal(child_run(in_child, f), 0);
  assert_int_equal(child_run(stop_in_child, f), 0);
  for (int i = 0; i < 2; i++) assert_told(f, &op[i], 0, 16); /* the children have taken nothing away */
  assert_int_equal(child_run(in_child, f), 0);
}

/* A context that has not begun survives the fork, in both processes. */
static int begin_in_child(void *arg) {
  struct fixture *f = arg;
  static unsigned char room[16];
  struct op *op = forked_ops;
  CHECK(torque_aio_read(f->ctx, forked_fd, room, 16, 32, on_done, &op[0], NULL) == 0);
  CHECK_SOON(op[0].told);
  CHECK(op[0].err == 0 && op[0].result == 16 && holds(room, 16, 32));
  CHECK(torque_stop(f->ctx) == 0);
  return 0;
}

static void forks_before_it_begins(struct fixture *f) {
#ifndef __SANITIZE_THREAD__
  if (f->shape->driven) return;
  forked_fd = file_of(f, BLOCK, 0);
  struct op *op = forked_ops = ops_for(f, 1);
  unsigned char room[16];
  assert_int_equal(child_run(begin_in_child, f), 0);
  assert_int_equal(torque_aio_read(f->ctx, forked_fd, room, 16, 48, on_done, op, NULL), 0);
  assert_told(f, op, 0, 16);
  assert_true(holds(room, 16, 48));
#else
  (void)f;
  (void)begin_in_child;
#endif
}

/* ---- Where the system forbids io_uring ---- */

static void forbid_io_uring(uint32_t answer) {
  struct sock_filter code[] = {
      BPF_STMT(BPF_LD | BPF_W | BPF_ABS, 0),
      BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, SYS_io_uring_setup, 0, 1),
      BPF_STMT(BPF_RET | BPF_K, answer),
      BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW),
  };
  struct sock_fprog program = {sizeof code / sizeof *code, code};
  CHECK(prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) == 0);
  CHECK(prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) == 0);
}

static torque_err open_with(uint32_t backend, struct torque_ctx **ret) {
  struct torque_config *c;
  CHECK(torque_config_new(&c) == 0);
  CHECK(torque_config_set_driven(c, 1) == 0);
  CHECK(torque_config_set_aio(c, backend) == 0);
  const torque_err err = torque_ctx_new(c, ret);
  torque_config_free(c);
  return err;
}

static int refused_with(void *arg) {
  const int error = *(int *)arg;
  struct torque_ctx *ctx = NULL;
  forbid_io_uring(SECCOMP_RET_ERRNO | (uint32_t)error);
  CHECK(open_with(TORQUE_AIO_URING, &ctx) == TORQUE_ERR_SYSCALL + error);
  CHECK(ctx == NULL);
  CHECK(open_with(TORQUE_AIO_AUTO, &ctx) == 0);
  CHECK(torque_aio_backend(ctx) == TORQUE_AIO_THREADS);
  CHECK(torque_stop(ctx) == 0);
  return 0;
}

static int killed_for_it(void *arg) {
  (void)arg;
  struct torque_ctx *ctx = NULL;
  forbid_io_uring(SECCOMP_RET_KILL_PROCESS);
  CHECK(open_with(TORQUE_AIO_THREADS, &ctx) == 0);
  CHECK(torque_stop(ctx) == 0);
  return 0;
}

static void a_system_that_forbids_io_uring(void **state) {
  (void)state;
  for (int i = 0; i < 3; i++) {
    int error = (const int[]){ENOSYS, EPERM, EINVAL}[i];
    assert_int_equal(child_run(refused_with, &error), 0);
  }
  assert_int_equal(child_run(killed_for_it, NULL), 0);
}

#define BOTH(body)                                                                              \
  static void body##_by_threads(void **state) { body(*state); }                                 \
  static void body##_by_io_uring(void **state) {                                                \
    with_backend(*state, TORQUE_AIO_AUTO);                                                      \
    if (backend_refused) print_message("no io_uring here: helper threads once more\n");        \
    body(*state);                                                                               \
  }
BOTH(reads)
BOTH(ends)
BOTH(writes)
BOTH(direct)
BOTH(errors)
BOTH(refusals)
BOTH(strands)
BOTH(chains)
BOTH(thousands)
BOTH(cancelling)
BOTH(stops)
BOTH(forks)
BOTH(forks_before_it_begins)

#define ON_BOTH(body) \
  ON(live, body##_by_threads), ON(synthetic, body##_by_threads), ON(driven, body##_by_threads), \
  ON(live, body##_by_io_uring), ON(synthetic, body##_by_io_uring), ON(driven, body##_by_io_uring)

/* Work that blocks takes all helpers that it may, and more of it waits: files are read all the same, also many at once. */
static _Atomic int released;
static _Atomic uint32_t working;
static int64_t block_a_helper(void *arg) {
  (void)arg;
  atomic_fetch_add(&working, 1);
  STAY_UNTIL(atomic_load(&released));
  return 0;
}

static void files_do_not_wait_for_work(struct fixture *f) {
  enum { JOBS = 50, READS = 200, MAY = 2 };
  fixture_stop(f);
  struct torque_config *c = shape_config(f->shape);
  assert_int_equal(torque_config_set_aio(c, TORQUE_AIO_THREADS), 0);
  assert_int_equal(torque_config_set_offload_threads(c, MAY), 0);
  assert_int_equal(torque_ctx_new(c, &f->ctx), 0);
  torque_config_free(c);
  const int fd = file_of(f, BLOCK * BLOCKS, 0);
  struct op *op = ops_for(f, JOBS + READS);
  unsigned char *room = fixture_take(f, READS * BLOCK);
  atomic_store(&released, 0);
  atomic_store(&working, 0);
  for (int i = 0; i < JOBS; i++)
    assert_int_equal(torque_offload(f->ctx, block_a_helper, on_done, &op[i], &op[i].handle), 0);
  AWAIT(f, working == MAY);
  for (int i = 0; i < READS; i++)
    assert_int_equal(torque_aio_read(f->ctx, fd, room + i * BLOCK, BLOCK, (uint64_t)(i % BLOCKS) * BLOCK, on_done,
                                     &op[JOBS + i], &op[JOBS + i].handle), 0);
  for (int i = 0; i < READS; i++) {
    assert_told(f, &op[JOBS + i], 0, BLOCK);
    assert_true(holds(room + i * BLOCK, BLOCK, (uint64_t)(i % BLOCKS) * BLOCK));
  }
  assert_int_equal(working, MAY); /* the reserve is for files only */
  atomic_store(&released, 1);
  for (int i = 0; i < JOBS; i++) assert_told(f, &op[i], 0, 0);
}

static void files_do_not_wait(void **state) { files_do_not_wait_for_work(*state); }

int main(void) {
  const struct CMUnitTest tests[] = {
      ON_EVERY(files_do_not_wait),
      ON_BOTH(reads),     ON_BOTH(ends),       ON_BOTH(writes), ON_BOTH(direct), ON_BOTH(errors),
      ON_BOTH(refusals),  ON_BOTH(strands),    ON_BOTH(chains), ON_BOTH(thousands),
      ON_BOTH(cancelling), ON_BOTH(stops),     ON_BOTH(forks),  ON_BOTH(forks_before_it_begins),
      cmocka_unit_test(a_system_that_forbids_io_uring),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
