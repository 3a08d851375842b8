/* SPDX-License-Identifier: BSD-3-Clause */
#define _GNU_SOURCE
#include "support/context.h"

#include <arpa/inet.h>
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "support/cmocka.h"

const struct shape shape_live = {.name = "live"};
const struct shape shape_synthetic = {.name = "synthetic", .synthetic = "pack:1 l3:2 core:4 pu:1", .counted = 1};
const struct shape shape_oneshot = {
    .name = "oneshot", .synthetic = "pack:1 l3:2 core:4 pu:1", .oneshot = 1, .counted = 1};
const struct shape shape_shared = {.name = "shared", .synthetic = "pack:1 l3:1 core:8 pu:1", .counted = 1};
const struct shape shape_single = {.name = "single", .workers = 1, .window = 256, .counted = 1};
const struct shape shape_driven = {.name = "driven", .driven = 1, .counted = 1};
const struct shape shape_polled = {.name = "polled", .driven = 1, .poll_deadline = 1, .counted = 1};

/* ---- Counting what is there ---- */

static unsigned entries_of(const char *folder) {
  DIR *dir = opendir(folder);
  if (!dir) return 0;
  unsigned n = 0;
  for (struct dirent *e; (e = readdir(dir));) n += e->d_name[0] != '.';
  closedir(dir);
  return n;
}

unsigned descriptors_open(void) { return entries_of("/proc/self/fd") - 1; } /* without the folder's own */
unsigned threads_alive(void) { return entries_of("/proc/self/task"); }

uint64_t stat_total(struct torque_ctx *ctx, const char *name) {
  uint64_t value = 0;
  assert_int_equal(torque_stats_total(ctx, torque_stats_find(name), &value), 0);
  return value;
}

/* ---- Waiting ---- */

uint64_t monotonic_ns(void) {
  struct timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return (uint64_t)t.tv_sec * 1000000000 + (uint64_t)t.tv_nsec;
}

struct patience patience_start(void) {
  struct patience p;
  clock_gettime(CLOCK_MONOTONIC, &p.until);
  p.until.tv_sec += SANITIZED ? 60 : 30;
  return p;
}

int patience_left(const struct patience *p) {
  struct timespec now;
  clock_gettime(CLOCK_MONOTONIC, &now);
  return now.tv_sec < p->until.tv_sec || (now.tv_sec == p->until.tv_sec && now.tv_nsec < p->until.tv_nsec);
}

void nap(void) {
  const struct timespec t = {.tv_nsec = 200000};
  nanosleep(&t, NULL);
}

int fixture_step(struct fixture *f, const struct patience *p) {
  if (f->ctx && f->shape->driven) {
    assert_int_equal(torque_run_once(f->ctx, 2000000, NULL), 0);
  } else {
    nap();
  }
  return patience_left(p);
}

void fixture_gave_up(const char *condition, const char *file, int line) {
  print_error("waited in vain for: %s\n", condition);
  _fail(file, line);
}

static void count_one(void *arg) { atomic_fetch_add((_Atomic uint32_t *)arg, 1); }

static void settle_driven(struct fixture *f) {
  int quiet = 0;
  for (int i = 0; i < 1000 && quiet < 3; i++) {
    uint64_t n = 0;
    assert_int_equal(torque_run_once(f->ctx, 1000000, &n), 0);
    quiet = n ? 0 : quiet + 1;
  }
}

void fixture_settle(struct fixture *f) {
  if (f->shape->driven) {
    settle_driven(f);
    return;
  }
  _Atomic uint32_t *done = fixture_take(f, sizeof *done);
  const uint32_t domains = torque_ctx_domains(f->ctx);
  uint32_t posted = 0;
  for (int i = 0; i < 8; i++) {
    for (uint32_t d = 0; d < domains; d++, posted++)
      assert_int_equal(torque_post_domain(f->ctx, d, count_one, (void *)(uintptr_t)done), 0);
    nap();
    AWAIT(f, atomic_load(done) == posted);
  }
}

/* ---- The context ---- */

/* The hooks get sizes back; they must be the ones that were asked for. */
static void *counted_take(size_t size, size_t align, void *arg) {
  struct fixture *f = arg;
  void *p = NULL;
  if (posix_memalign(&p, align < sizeof(void *) ? sizeof(void *) : align, size ? size : 1)) return NULL;
  atomic_fetch_add(&f->bytes, size);
  atomic_fetch_add(&f->blocks, 1);
  return p;
}

static void counted_give(void *ptr, size_t size, void *arg) {
  struct fixture *f = arg;
  if (!ptr) return;
  atomic_fetch_sub(&f->bytes, size);
  atomic_fetch_sub(&f->blocks, 1);
  free(ptr);
}

struct torque_config *shape_config(const struct shape *shape) {
  struct torque_config *c = NULL;
  assert_int_equal(torque_config_new(&c), 0);
  assert_int_equal(torque_config_set_driven(c, shape->driven), 0);
  assert_int_equal(torque_config_set_poll_deadline(c, shape->poll_deadline), 0);
  assert_int_equal(torque_config_set_workers(c, shape->workers), 0);
  assert_int_equal(torque_config_set_sharing(c, shape->sharing), 0);
  assert_int_equal(torque_config_set_window(c, shape->window, shape->window), 0);
  assert_int_equal(torque_config_set_oneshot(c, shape->oneshot), 0);
  if (shape->synthetic)
    assert_int_equal(torque_config_set_topology(c, TORQUE_TOPOLOGY_SYNTHETIC, shape->synthetic), 0);
  return c;
}

static void *nothing(void *arg) { return arg; }

/* A sanitizer's own thread starts with the first one of ours; it is not a leak. Once, and until ours is gone. */
static void wake_sanitizer(void) {
  static int awake;
  pthread_t t;
  if (awake || pthread_create(&t, NULL, nothing, NULL)) return;
  awake = !pthread_join(t, NULL);
  for (int i = 0; i < 100 && threads_alive() > 1; i++) nap();
}

int fixture_up(void **state) {
  const struct shape *shape = *state;
  struct fixture *f = calloc(1, sizeof *f);
  if (!f) return -1;
  wake_sanitizer();
  f->shape = shape;
  f->threads_before = threads_alive();
  f->descriptors_before = descriptors_open();
  struct torque_config *c = shape_config(shape);
  if (shape->counted) assert_int_equal(torque_config_set_allocator(c, counted_take, counted_give, f), 0);
  const torque_err err = torque_ctx_new(c, &f->ctx);
  torque_config_free(c);
  if (err) print_error("torque_ctx_new: %s\n", torque_errstr(err));
  *state = f;
  return err ? -1 : 0;
}

void fixture_stop(struct fixture *f) {
  assert_int_equal(torque_stop(f->ctx), 0);
  f->ctx = NULL;
}

/* A joined thread stays visible for a moment longer. */
static unsigned threads_settled(unsigned wanted) {
  unsigned n = threads_alive();
  for (int i = 0; i < 5000 && n > wanted; i++) {
    nap();
    n = threads_alive();
  }
  return n;
}

static int nothing_left(const struct fixture *f) {
  const unsigned fds = descriptors_open();
  const unsigned threads = threads_settled(f->threads_before);
  int left = 0;
  if (fds != f->descriptors_before) left = 1, print_error("descriptors: %u, were %u\n", fds, f->descriptors_before);
  if (threads != f->threads_before) left = 1, print_error("threads: %u, were %u\n", threads, f->threads_before);
  if (atomic_load(&f->bytes) || atomic_load(&f->blocks))
    left = 1, print_error("memory: %zu bytes in %zu blocks\n", (size_t)f->bytes, (size_t)f->blocks);
  return !left;
}

void fixture_join(struct fixture *f) {
  while (f->threads) pthread_join(f->thread[--f->threads], NULL);
}

void fixture_release(struct fixture *f) {
  while (f->owned_memory) {
    void *next = *(void **)f->owned_memory;
    free(f->owned_memory);
    f->owned_memory = next;
  }
}

int fixture_down(void **state) {
  struct fixture *f = *state;
  atomic_store(&f->quit, 1);
  fixture_join(f);
  torque_err err = 0;
  if (f->ctx && (err = torque_stop(f->ctx))) print_error("torque_stop: %s\n", torque_errstr(err));
  for (int fd = 0; fd < MOST_DESCRIPTORS; fd++)
    if (f->owned[fd]) close(fd);
  const int clean = nothing_left(f);
  fixture_release(f);
  free(f);
  return clean && !err ? 0 : -1;
}

/* ---- What a test makes ---- */

void *fixture_take(struct fixture *f, size_t size) {
  char *p = calloc(1, size + 64);
  assert_non_null(p);
  *(void **)(void *)p = f->owned_memory;
  f->owned_memory = p;
  return p + 64;
}

void fixture_thread(struct fixture *f, void *(*body)(void *), void *arg) {
  assert_true(f->threads < MOST_THREADS);
  assert_int_equal(pthread_create(&f->thread[f->threads], NULL, body, arg), 0);
  f->threads++;
}

void fixture_own(struct fixture *f, int fd) {
  assert_in_range(fd, 0, MOST_DESCRIPTORS - 1);
  f->owned[fd] = 1;
}

void fixture_disown(struct fixture *f, int fd) { f->owned[fd] = 0; }

void fixture_close(struct fixture *f, int fd) {
  f->owned[fd] = 0;
  assert_int_equal(close(fd), 0);
}

void fixture_pair(struct fixture *f, int fd[2]) {
  assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fd), 0);
  fixture_own(f, fd[0]);
  fixture_own(f, fd[1]);
}

void fixture_pipe(struct fixture *f, int fd[2]) {
  assert_int_equal(pipe2(fd, O_NONBLOCK | O_CLOEXEC), 0);
  fixture_own(f, fd[0]);
  fixture_own(f, fd[1]);
}

void fixture_tcp(struct fixture *f, int fd[2]) {
  struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t len = sizeof a;
  const int l = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  assert_true(l >= 0);
  assert_int_equal(bind(l, (struct sockaddr *)&a, sizeof a), 0);
  assert_int_equal(listen(l, 1), 0);
  assert_int_equal(getsockname(l, (struct sockaddr *)&a, &len), 0);
  fd[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  assert_int_equal(connect(fd[0], (struct sockaddr *)&a, sizeof a), 0);
  fd[1] = accept4(l, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
  assert_true(fd[1] >= 0);
  assert_int_equal(fcntl(fd[0], F_SETFL, O_NONBLOCK), 0);
  fixture_own(f, fd[0]);
  fixture_own(f, fd[1]);
  close(l);
}

void say(int fd, size_t bytes) {
  static const char text[4096];
  for (size_t n; bytes; bytes -= n) {
    n = bytes < sizeof text ? bytes : sizeof text;
    const ssize_t r = send(fd, text, n, MSG_NOSIGNAL);
    const ssize_t w = r < 0 && errno == ENOTSOCK ? write(fd, text, n) : r;
    if (w < 0) return;
    n = (size_t)w;
  }
}

size_t drain(int fd, int *ret_end) {
  char text[4096];
  size_t bytes = 0;
  for (;;) {
    const ssize_t r = read(fd, text, sizeof text);
    if (r > 0) {
      bytes += (size_t)r;
      continue;
    }
    if (r < 0 && errno == EINTR) continue;
    if (r == 0 && ret_end) *ret_end = 1;
    return bytes;
  }
}
