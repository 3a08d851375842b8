/* SPDX-License-Identifier: BSD-3-Clause */
/* Every allocation and every system call that the library makes fails in turn: the n-th one, for every n, until a run
 * meets none. A call of the API then answers a documented error and can simply be made again, or it succeeds; what was
 * accepted is served, and nothing is left behind. What only interrupts (EINTR) nobody notices at all. */
#include "support/child.h"
#include "support/context.h"
#include "support/faults_calls.h"
#include "support/seen.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "support/cmocka.h"

enum { MS = 1000000, PAIRS = 4, MESSAGES = 10, TIMERS = 20, CONNECTIONS = 4, MOST = 5000 };

enum lack { OF_MEMORY_HOOKS, OF_DESCRIPTORS, OF_MEMORY, OF_PEACE, LACKS };
static const int32_t lack_errno[LACKS] = {0, EMFILE, ENOMEM, EINTR};
static const char *const lack_name[LACKS] = {"the allocator", "EMFILE", "ENOMEM", "EINTR"};

static struct {
  enum lack lack;
  uint32_t nth;
  struct fixture f;
  _Atomic int64_t bytes, blocks;
  _Atomic uint32_t takes, refused, wrong_size;
  _Atomic uint32_t undocumented, not_repeatable;
} sweep;

/* ---- Memory that runs out ---- */

struct block {
  size_t size;
  size_t back;
};

static void *take(size_t size, size_t align, void *arg) {
  (void)arg;
  if (sweep.lack == OF_MEMORY_HOOKS && atomic_fetch_add(&sweep.takes, 1) + 1 == sweep.nth) {
    atomic_fetch_add(&sweep.refused, 1);
    return NULL;
  }
  const size_t back = align < sizeof(struct block) ? sizeof(struct block) : align;
  char *p = NULL;
  if (posix_memalign((void **)(void *)&p, back, back + size)) return NULL;
  memset(p, 0xa5, back + size); /* nobody may count on zeros */
  const struct block block = {size, back};
  memcpy(p + back - sizeof block, &block, sizeof block);
  atomic_fetch_add(&sweep.bytes, (int64_t)size);
  atomic_fetch_add(&sweep.blocks, 1);
  return p + back;
}

static void give(void *ptr, size_t size, void *arg) {
  (void)arg;
  if (!ptr) return;
  struct block block;
  memcpy(&block, (char *)ptr - sizeof block, sizeof block);
  if (block.size != size) atomic_fetch_add(&sweep.wrong_size, 1);
  atomic_fetch_sub(&sweep.bytes, (int64_t)block.size);
  atomic_fetch_sub(&sweep.blocks, 1);
  free((char *)ptr - block.back);
}

/* ---- Errors ---- */

static int documented(torque_err err) {
  switch (sweep.lack) {
    case OF_MEMORY_HOOKS: return err == TORQUE_ERR_RESOURCE;
    case OF_DESCRIPTORS: return err == TORQUE_ERR_SYSCALL + EMFILE || err == TORQUE_ERR_SYSCALL + EAGAIN;
    case OF_MEMORY:
      return err == TORQUE_ERR_RESOURCE || err == TORQUE_ERR_SYSCALL + ENOMEM || err == TORQUE_ERR_SYSCALL + EAGAIN;
    default: return 0;
  }
}

/* Any thread: a call that failed is made once more. Only one fails, so that this one must not. */
#define TRY(call)                                                           \
  do {                                                                      \
    const torque_err err_ = (call);                                         \
    if (!err_) break;                                                       \
    if (!documented(err_)) blame(&sweep.undocumented, #call, err_);         \
    const torque_err again_ = (call);                                       \
    if (again_) blame(&sweep.not_repeatable, #call, again_);                \
  } while (0)

static void blame(_Atomic uint32_t *what, const char *call, torque_err err) {
  print_error("lack of %s, number %u (%s): %s: %s\n", lack_name[sweep.lack], sweep.nth, faults_failed(), call,
              torque_errstr(err));
  atomic_fetch_add(what, 1);
}

static void no_blame(void) {
  assert_int_equal(sweep.undocumented, 0);
  assert_int_equal(sweep.not_repeatable, 0);
}

/* ---- The frame ---- */

static uint32_t aio_backend;

static torque_err open_context(void) {
  struct torque_config *config = shape_config(sweep.f.shape);
  assert_int_equal(torque_config_set_allocator(config, take, give, NULL), 0);
  assert_int_equal(torque_config_set_aio(config, aio_backend), 0);
  const torque_err err = torque_ctx_new(config, &sweep.f.ctx);
  torque_config_free(config);
  return err;
}

static void arm(void) {
  if (sweep.lack == OF_MEMORY_HOOKS) return;
  faults_arm(lack_errno[sweep.lack], sweep.nth);
}

static uint32_t disarm(void) { return sweep.lack == OF_MEMORY_HOOKS ? atomic_load(&sweep.refused) : faults_disarm(); }

static unsigned threads_in_the_end(unsigned wanted) {
  for (int i = 0; i < 5000 && threads_alive() != wanted; i++) nap();
  return threads_alive();
}

/* Answers whether a fault was met. */
static uint32_t run(const struct shape *shape, enum lack lack, uint32_t nth, void (*scenario)(struct fixture *f)) {
  memset(&sweep, 0, sizeof sweep);
  sweep.lack = lack;
  sweep.nth = nth;
  sweep.f.shape = shape;
  const unsigned descriptors = descriptors_open(), threads = threads_alive();
  arm();
  TRY(open_context());
  no_blame();
  scenario(&sweep.f);
  fixture_stop(&sweep.f);
  const uint32_t met = disarm();
  for (int fd = 0; fd < MOST_DESCRIPTORS; fd++)
    if (sweep.f.owned[fd]) close(fd);
  fixture_release(&sweep.f);
  no_blame();
  if (descriptors_open() != descriptors || sweep.blocks || sweep.wrong_size || threads_in_the_end(threads) != threads)
    fail_msg("lack of %s, number %u (%s): %u descriptors, were %u; %d blocks left, %u of another size; %u threads, were %u",
             lack_name[lack], nth, faults_failed(), descriptors_open(), descriptors, (int)sweep.blocks,
             sweep.wrong_size, threads_alive(), threads);
  return met;
}

static void sweep_all(const struct shape *shape, void (*scenario)(struct fixture *f)) {
  (void)run(shape, OF_PEACE, 0, scenario); /* what is made once for the process is there from now on */
  for (int lack = 0; lack < LACKS; lack++) {
    uint32_t n = 1;
    for (int quiet = 0; quiet < 2; n++) {
      assert_true(n < MOST);
      quiet = run(shape, (enum lack)lack, n, scenario) ? 0 : quiet + 1;
      if (SANITIZED && n > 40) n += n / 8;
    }
    if (lack == OF_MEMORY_HOOKS || lack == OF_DESCRIPTORS) assert_true(n > 3); /* something was met at all */
  }
}

/* ---- Scenarios ---- */

static void open_and_close(struct fixture *f) {
  if (f->shape->driven) assert_int_equal(torque_run_once(f->ctx, 0, NULL), 0);
  else TRY(torque_start(f->ctx));
}

static _Atomic uint32_t received[PAIRS], finals, calls;

static int32_t on_ready(torque_source source, int32_t fd, uint32_t events, void *arg) {
  (void)source, (void)events;
  atomic_fetch_add((_Atomic uint32_t *)arg, (uint32_t)drain(fd, NULL));
  return TORQUE_DONE;
}

static int32_t one_at_a_time(torque_source source, int32_t fd, uint32_t events, void *arg) {
  (void)source, (void)events;
  char byte;
  if (read(fd, &byte, 1) != 1) return TORQUE_DONE;
  atomic_fetch_add((_Atomic uint32_t *)arg, 1);
  return TORQUE_AGAIN;
}

static void on_final(torque_source source, int32_t reason, void *arg) {
  (void)source, (void)reason, (void)arg;
  atomic_fetch_add(&finals, 1);
}

static void *counter_of(int i) { return (void *)(uintptr_t)&received[i]; }

static void send_and_await(struct fixture *f, int fd[PAIRS][2], uint32_t already) {
  for (uint32_t m = 1; m <= MESSAGES; m++) {
    for (int i = 0; i < PAIRS; i++) say(fd[i][1], 1);
    for (int i = 0; i < PAIRS; i++) AWAIT(f, received[i] == already + m);
  }
}

static void messages(struct fixture *f) {
  static const uint32_t flags[PAIRS] = {0, TORQUE_CONCURRENT, TORQUE_RECHECK, 0};
  int fd[PAIRS][2];
  torque_source s[PAIRS];
  atomic_store(&finals, 0);
  for (int i = 0; i < PAIRS; i++) {
    fixture_pair(f, fd[i]);
    atomic_store(&received[i], 0);
    TRY(torque_fd_new(f->ctx, fd[i][0], TORQUE_READ, flags[i], i == 3 ? one_at_a_time : on_ready, counter_of(i), &s[i]));
    no_blame();
    assert_int_equal(torque_source_set_finalizer(s[i], on_final), 0);
    TRY(torque_source_start(s[i]));
    no_blame();
  }
  send_and_await(f, fd, 0);
  TRY(torque_fd_modify(s[0], TORQUE_READ | TORQUE_WRITE));
  TRY(torque_fd_modify(s[2], 0));
  TRY(torque_fd_modify(s[2], TORQUE_READ));
  send_and_await(f, fd, MESSAGES);
  assert_int_equal(torque_source_remove_wait(s[0]), 0);
  fixture_disown(f, fd[1][0]);
  assert_int_equal(torque_close(s[1]), 0);
  AWAIT(f, finals == 2);
}

static void on_timer(torque_source source, uint64_t expirations, void *arg) {
  (void)source;
  atomic_fetch_add((_Atomic uint32_t *)arg, (uint32_t)expirations);
}

static void timers(struct fixture *f) {
  torque_source s[TIMERS], wall, periodic;
  void *once = counter_of(0), *far = counter_of(1), *beats = counter_of(2);
  for (int i = 0; i < PAIRS; i++) atomic_store(&received[i], 0);
  for (int i = 0; i < TIMERS; i++) {
    TRY(torque_timer_new(f->ctx, TORQUE_CLOCK_MONOTONIC, on_timer, i % 2 ? once : far, &s[i]));
    no_blame();
    TRY(torque_timer_set(s[i], i % 2 ? (uint64_t)i * 50000 : 3600ull * 1000 * MS, 0, 0));
  }
  TRY(torque_timer_add(f->ctx, 500000, 500000, 0, on_timer, beats, &periodic));
  TRY(torque_timer_new(f->ctx, TORQUE_CLOCK_WALL, on_timer, once, &wall));
  no_blame();
  TRY(torque_timer_set(wall, MS, 0, TORQUE_TIMER_REMOVE));
  AWAIT(f, received[0] == TIMERS / 2 + 1 && received[2] >= 4);
  assert_int_equal(torque_timer_cancel(periodic), 0);
  assert_int_equal(received[1], 0);
}

static void on_signal(torque_source source, const struct torque_siginfo *info, void *arg) {
  (void)source, (void)info;
  atomic_fetch_add((_Atomic uint32_t *)arg, 1);
}

static void signals(struct fixture *f) {
  const int32_t both[] = {SIGUSR1, SIGRTMIN + 2};
  torque_source a, b;
  atomic_store(&received[0], 0), atomic_store(&received[1], 0);
  TRY(torque_signal_add(f->ctx, both, 2, on_signal, counter_of(0), &a));
  TRY(torque_signal_add(f->ctx, &both[1], 1, on_signal, counter_of(1), &b));
  no_blame();
  for (uint32_t i = 1; i <= 5; i++) {
    assert_int_equal(sigqueue(getpid(), SIGRTMIN + 2, (union sigval){.sival_int = 1}), 0);
    AWAIT(f, received[0] == i && received[1] == i);
  }
  assert_int_equal(torque_source_remove_wait(b), 0);
  assert_int_equal(kill(getpid(), SIGUSR1), 0);
  AWAIT(f, received[0] == 6);
  assert_int_equal(received[1], 5);
}

static void on_child(torque_source source, const struct torque_child_event *event, void *arg) {
  (void)source;
  if (torque_child_event_how(event) == TORQUE_CHILD_EXITED)
    atomic_store((_Atomic uint32_t *)arg, (uint32_t)torque_child_event_status(event));
}

static int ends_with(void *arg) { return (int)(intptr_t)arg; }

static void children(struct fixture *f) {
  torque_source s[PAIRS];
  pid_t child[PAIRS];
  for (int i = 0; i < PAIRS; i++) {
    atomic_store(&received[i], 0);
    child[i] = child_start(ends_with, (void *)(intptr_t)(i + 5));
    TRY(torque_child_add(f->ctx, child[i], i % 2 ? TORQUE_CHILD_NOREAP : 0, on_child, counter_of(i), &s[i]));
  }
  no_blame();
  for (int i = 0; i < PAIRS; i++) {
    AWAIT(f, received[i] == (uint32_t)i + 5 && !torque_source_alive(s[i]));
    if (i % 2) assert_int_equal(child_end(child[i]), i + 5);
    else AWAIT(f, kill(child[i], 0) != 0);
  }
}

static struct seen *look_at(struct fixture *f, const char *path, uint32_t flags) {
  struct seen *s = seen_new(f);
  torque_source source = 0;
  TRY(seen_make(f, s, path, PATH_NAMES, flags, &source));
  s->source = source;
  if (source) TRY(torque_source_start(source));
  return s;
}

static unsigned lines_for(struct seen *s, const char *name) {
  char line[64];
  unsigned n = 0;
  static const char *const words[] = {"created", "created+found", "failed"};
  for (size_t i = 0; i < sizeof words / sizeof *words; i++) {
    snprintf(line, sizeof line, "%s %s", words[i], name);
    n += lines_of(s, line);
  }
  return n;
}

/* What could not be followed is told to have failed, or that something was lost; then what is there is found again by a
 * second look that is not disturbed. */
static void paths(struct fixture *f) {
  const char *d = scratch(f);
  make_folder(in(f, d, "there"));
  struct seen *tree = look_at(f, d, TORQUE_PATH_RECURSIVE), *flat = look_at(f, d, TORQUE_PATH_EXCLUDE_UNLINKED);
  no_blame();
  make_folder(in(f, d, "a"));
  AWAIT(f, lines_for(flat, "a/") || flat->overflows);
  AWAIT(f, lines_for(tree, "a/") || tree->overflows);
  make_folder(in(f, d, "a/b"));
  make_file(in(f, d, "a/b/file"));
  AWAIT(f, lines_for(tree, "a/b/file") || tree->failures || tree->overflows);
  assert_int_equal(rename(in(f, d, "a"), in(f, d, "there/a")), 0);
  AWAIT(f, lines_of(tree, "renamed there/a/ <- a/") || tree->failures || tree->overflows);
  AWAIT(f, lines_of(flat, "moved-out a/") || flat->overflows);
  make_file(in(f, d, "there/a/b/file2"));
  AWAIT(f, lines_for(tree, "there/a/b/file2") || tree->failures || tree->overflows);
  if (tree->source) assert_int_equal(torque_source_remove_wait(tree->source), 0);
  assert_sound(tree);
  assert_sound(flat);
  remove_tree(d);
}

static void on_network(torque_source source, const struct torque_network_event *event, void *arg) {
  (void)source;
  if (torque_network_event_what(event) == TORQUE_NETWORK_COMPLETE) atomic_fetch_add((_Atomic uint32_t *)arg, 1);
}

static void network(struct fixture *f) {
  torque_source s[2];
  for (int i = 0; i < 2; i++) {
    atomic_store(&received[i], 0);
    TRY(torque_network_add(f->ctx, TORQUE_NETWORK_LINKS | TORQUE_NETWORK_ROUTES, TORQUE_NETWORK_DUMP, on_network,
                           counter_of(i), &s[i]));
  }
  no_blame();
  for (int i = 0; i < 2; i++) AWAIT(f, received[i] == 1);
  assert_int_equal(torque_source_remove_wait(s[0]), 0);
}

static void on_connection(torque_source listener, int32_t fd, const void *addr, uint32_t addrlen, void *arg) {
  (void)listener, (void)addr, (void)addrlen, (void)arg;
  torque_source s = 0;
  TRY(torque_fd_new(sweep.f.ctx, fd, TORQUE_READ, 0, on_ready, counter_of(0), &s));
  if (s) TRY(torque_source_start(s));
  atomic_fetch_add(&calls, 1);
}

static void connect_some(struct fixture *f, torque_source listener, uint32_t already) {
  struct sockaddr_in a;
  uint32_t length = 0;
  int fd[CONNECTIONS];
  TRY(torque_listen_address(listener, &a, sizeof a, &length));
  for (int i = 0; i < CONNECTIONS; i++) {
    fd[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    assert_true(fd[i] >= 0);
    fixture_own(f, fd[i]);
    (void)connect(fd[i], (struct sockaddr *)&a, sizeof a);
  }
  AWAIT(f, calls == already + CONNECTIONS);
  for (int i = 0; i < CONNECTIONS; i++) say(fd[i], 3);
  AWAIT(f, received[0] == (already + CONNECTIONS) * 3);
}

/* Accepted descriptors belong to the test; those of the library are told apart by who listens. */
static void close_accepted(const unsigned char *before) {
  for (int fd = 0; fd < 1024; fd++)
    if (!before[fd] && fcntl(fd, F_GETFD) >= 0) {
      struct sockaddr_in a;
      socklen_t length = sizeof a;
      if (getpeername(fd, (struct sockaddr *)&a, &length) == 0 && !sweep.f.owned[fd] && a.sin_family == AF_INET)
        fixture_own(&sweep.f, fd);
    }
}

static void listeners(struct fixture *f) {
  static const uint32_t policies[] = {TORQUE_LISTEN_SHARED, TORQUE_LISTEN_EXCLUSIVE, TORQUE_LISTEN_REUSEPORT};
  const struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  unsigned char before[1024];
  for (int fd = 0; fd < 1024; fd++) before[fd] = fcntl(fd, F_GETFD) >= 0;
  atomic_store(&calls, 0), atomic_store(&received[0], 0);
  for (uint32_t i = 0; i < 3; i++) {
    torque_source s;
    TRY(torque_listen_add(f->ctx, &a, sizeof a, 0, policies[i], on_connection, NULL, &s));
    no_blame();
    connect_some(f, s, i * CONNECTIONS);
    assert_int_equal(torque_source_remove_wait(s), 0);
  }
  close_accepted(before);
}

/* A send that fails in the callback is told there: the answer is then missing, and is asked for once more. */
static void on_datagrams(torque_source source, struct torque_datagrams *batch, void *arg) {
  (void)source, (void)arg;
  const torque_err error = torque_datagrams_error(batch);
  if (error && !documented(error)) blame(&sweep.undocumented, "torque_datagrams_error", error);
  for (uint32_t i = 0; i < torque_datagrams_count(batch); i++)
    TRY(torque_datagrams_reply(batch, i, torque_datagrams_data(batch, i), torque_datagrams_size(batch, i)));
  for (uint32_t i = 0; i < torque_datagrams_failed(batch); i++) {
    uint32_t length;
    const torque_err err = torque_datagrams_failure(batch, i);
    const void *peer = torque_datagrams_failure_peer(batch, i, &length);
    if (!documented(err)) blame(&sweep.undocumented, "torque_datagrams_failure", err);
    if (peer) TRY(torque_datagram_send(source, peer, length, "again", torque_datagrams_failure_size(batch, i)));
    else atomic_fetch_add(&received[1], 1);
  }
  atomic_fetch_add(&calls, torque_datagrams_count(batch));
}

static void datagrams(struct fixture *f) {
  const struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  static const uint32_t flags[] = {0, TORQUE_DATAGRAM_REUSEPORT | TORQUE_DATAGRAM_GRO | TORQUE_DATAGRAM_LOCAL};
  atomic_store(&calls, 0);
  for (uint32_t i = 0; i < 2; i++) {
    struct sockaddr_in at;
    torque_source s;
    uint32_t length = 0;
    char back[16];
    TRY(torque_datagram_bind_new(f->ctx, &a, sizeof a, flags[i], on_datagrams, NULL, &s));
    no_blame();
    TRY(torque_source_start(s));
    no_blame();
    TRY(torque_datagram_address(s, &at, sizeof at, &length));
    const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    fixture_own(f, fd);
    assert_int_equal(connect(fd, (struct sockaddr *)&at, sizeof at), 0);
    for (uint32_t k = 1; k <= 5; k++) {
      assert_int_equal(send(fd, "hello", 5, 0), 5);
      ssize_t got = -1;
      AWAIT(f, (got = recv(fd, back, sizeof back, 0)) >= 0);
      assert_int_equal(got, 5);
    }
    struct sockaddr_in own;
    socklen_t own_length = sizeof own;
    assert_int_equal(getsockname(fd, (struct sockaddr *)&own, &own_length), 0);
    TRY(torque_datagram_send(s, &own, sizeof own, "there", 5));
    ssize_t got = -1;
    AWAIT(f, (got = recv(fd, back, sizeof back, 0)) >= 0);
    assert_int_equal(calls, 5 * (i + 1));
    assert_int_equal(torque_source_remove_wait(s), 0);
  }
  assert_int_equal(stat_total(f->ctx, "datagrams_received"), 10);
}

/* More than the socket holds: what waits comes in order, but for one of which it was told that it could not be sent. */
static void datagrams_that_wait(struct fixture *f) {
  enum { COUNT = 200 };
  int fd[2];
  torque_source s;
  assert_int_equal(socketpair(AF_UNIX, SOCK_DGRAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, fd), 0);
  fixture_own(f, fd[0]);
  fixture_own(f, fd[1]);
  TRY(torque_datagram_new(f->ctx, fd[0], 0, on_datagrams, NULL, &s));
  no_blame();
  TRY(torque_source_start(s));
  no_blame();
  static char bytes[1000];
  atomic_store(&received[1], 0);
  for (uint32_t i = 0; i < COUNT; i++) {
    memcpy(bytes, &i, sizeof i);
    TRY(torque_datagram_send(s, NULL, 0, bytes, sizeof bytes));
  }
  uint32_t arrived = 0;
  for (uint32_t next = 0, number; arrived + received[1] < COUNT;) {
    ssize_t got = -1;
    AWAIT(f, (got = recv(fd[1], bytes, sizeof bytes, 0)) >= 0 || arrived + received[1] == COUNT);
    if (got < 0) break;
    memcpy(&number, bytes, sizeof number);
    assert_in_range(number, next, next + 1);
    next = number + 1;
    arrived++;
  }
  assert_int_equal(arrived + received[1], COUNT);
  assert_in_range(received[1], 0, 1);
}

static void on_post(void *arg) { atomic_fetch_add((_Atomic uint32_t *)arg, 1); }

static int32_t again_and_again(torque_source source, int32_t fd, uint32_t events, void *arg) {
  (void)source, (void)fd, (void)events;
  return atomic_fetch_add((_Atomic uint32_t *)arg, 1) < 20 ? TORQUE_AGAIN : TORQUE_DONE;
}

static void posts(struct fixture *f) {
  torque_source s;
  for (int i = 0; i < PAIRS; i++) atomic_store(&received[i], 0);
  TRY(torque_event_add(f->ctx, 0, again_and_again, counter_of(1), &s));
  no_blame();
  for (uint32_t i = 0; i < 60; i++) {
    TRY(torque_post(f->ctx, on_post, counter_of(0)));
    TRY(torque_post_domain(f->ctx, i % torque_ctx_domains(f->ctx), on_post, counter_of(0)));
    TRY(torque_post_source(s, on_post, counter_of(0)));
  }
  TRY(torque_trigger(s, TORQUE_READ));
  AWAIT(f, received[0] == 180 && received[1] == 21);
}

static void strands(struct fixture *f) {
  struct torque_strand *strand = NULL;
  int fd[PAIRS][2];
  torque_source s;
  TRY(torque_strand_new(f->ctx, &strand));
  no_blame();
  for (int i = 0; i < PAIRS; i++) {
    fixture_pair(f, fd[i]);
    atomic_store(&received[i], 0);
    TRY(torque_fd_new(f->ctx, fd[i][0], TORQUE_READ, 0, on_ready, counter_of(i), &s));
    no_blame();
    assert_int_equal(torque_source_set_strand(s, strand), 0);
    TRY(torque_source_start(s));
  }
  atomic_store(&calls, 0);
  for (int i = 0; i < 40; i++) TRY(torque_strand_post(strand, on_post, (void *)(uintptr_t)&calls));
  torque_strand_free(strand);
  send_and_await(f, fd, 0);
  AWAIT(f, calls == 40);
}

static int64_t offloaded(void *arg) {
  (void)arg;
  return 7;
}

static void on_done(torque_source job, torque_err err, int64_t result, void *arg) {
  (void)job;
  if (!err && result == 7) atomic_fetch_add((_Atomic uint32_t *)arg, 1);
}

static void offloads(struct fixture *f) {
  torque_source s;
  atomic_store(&received[0], 0);
  for (uint32_t i = 0; i < 30; i++) TRY(torque_offload(f->ctx, offloaded, on_done, counter_of(0), NULL));
  TRY(torque_event_add(f->ctx, 0, again_and_again, counter_of(1), &s));
  no_blame();
  for (uint32_t i = 0; i < 10; i++) TRY(torque_offload_source(s, offloaded, on_done, counter_of(0), NULL));
  AWAIT(f, received[0] == 40);
}

/* ---- Streams: what a fault ends is told so; the others get every byte back ---- */

enum { STREAM_BYTES = 150000 };
static _Atomic uint32_t opened, closed_in_order, closed_by_fault, wrong_ends;
static int stream_file;

static size_t stream_echo(torque_source stream, const void *data, size_t length, void *arg) {
  (void)arg;
  const size_t half = length > 10000 ? length / 2 : length; /* some is kept */
  const torque_err err = torque_stream_write(stream, data, half);
  if (half < length) (void)torque_stream_resume(stream); /* and is told again at once */
  if (!err) return half;
  if (!documented(err)) blame(&sweep.undocumented, "torque_stream_write", err);
  (void)torque_stream_abort(stream);
  return 0;
}

static void stream_ask(torque_source stream, void *arg) {
  static const char bytes[STREAM_BYTES / 3];
  (void)arg;
  atomic_fetch_add(&opened, 1);
  TRY(torque_stream_write(stream, bytes, sizeof bytes));
  TRY(torque_stream_write_ref(stream, bytes, sizeof bytes, NULL, NULL));
  TRY(torque_stream_sendfile(stream, stream_file, 0, sizeof bytes));
}

static size_t stream_answer(torque_source stream, const void *data, size_t length, void *arg) {
  (void)data;
  if ((atomic_fetch_add((_Atomic uint32_t *)arg, (uint32_t)length) + length) == STREAM_BYTES)
    (void)torque_stream_close(stream);
  return length;
}

static void stream_end(torque_source stream, torque_err err, void *arg) {
  (void)stream;
  const int by_peer = err == 0 || err == TORQUE_ERR_SYSCALL + ECONNRESET || err == TORQUE_ERR_SYSCALL + EPIPE;
  if (err == 0 && *(_Atomic uint32_t *)arg == STREAM_BYTES) atomic_fetch_add(&closed_in_order, 1);
  else if ((sweep.lack == OF_MEMORY || sweep.lack == OF_MEMORY_HOOKS) && (by_peer || documented(err)))
    atomic_fetch_add(&closed_by_fault, 1);
  else blame(&wrong_ends, "the end of a stream", err);
}

static void streams(struct fixture *f) {
  struct torque_stream_type *server, *client;
  struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  uint32_t length;
  torque_source door, s;
  char name[] = "/tmp/torque-test-XXXXXX";
  stream_file = mkstemp(name);
  fixture_own(f, stream_file);
  assert_int_equal(unlink(name) || ftruncate(stream_file, STREAM_BYTES / 3), 0);
  atomic_store(&opened, 0), atomic_store(&closed_in_order, 0), atomic_store(&closed_by_fault, 0);
  atomic_store(&wrong_ends, 0);
  assert_int_equal(torque_stream_type_new(&server), 0);
  assert_int_equal(torque_stream_type_new(&client), 0);
  assert_int_equal(torque_stream_type_set_data(server, stream_echo), 0);
  assert_int_equal(torque_stream_type_set_limit(server, TORQUE_STREAM_IDLE_TIMEOUT, 3600ull * 1000 * MS), 0);
  assert_int_equal(torque_stream_type_set_open(client, stream_ask), 0);
  assert_int_equal(torque_stream_type_set_data(client, stream_answer), 0);
  assert_int_equal(torque_stream_type_set_close(client, stream_end), 0);
  TRY(torque_stream_listen(f->ctx, &a, sizeof a, 0, 0, server, NULL, &door));
  no_blame();
  TRY(torque_listen_address(door, &a, sizeof a, &length));
  for (int i = 0; i < PAIRS; i++) {
    atomic_store(&received[i], 0);
    TRY(torque_stream_connect(f->ctx, &a, sizeof a, client, counter_of(i), &s));
  }
  no_blame();
  AWAIT(f, closed_in_order + closed_by_fault + wrong_ends == PAIRS);
  assert_int_equal(wrong_ends, 0);
  assert_true(closed_in_order >= PAIRS - 1); /* one fault ends one stream */
  torque_stream_type_free(server);
  torque_stream_type_free(client);
}

/* ---- Files ---- */

static void on_read(torque_source op, torque_err err, int64_t result, void *arg) {
  (void)op;
  if (!err && result == 64) atomic_fetch_add((_Atomic uint32_t *)arg, 1);
}

static void files(struct fixture *f) {
  enum { N = 30 };
  static char text[64], back[N][64];
  const int fd = open("/dev/zero", O_RDWR | O_CLOEXEC);
  fixture_own(f, fd);
  atomic_store(&received[0], 0);
  for (uint32_t i = 0; i < N; i++) {
    TRY(torque_aio_read(f->ctx, fd, back[i], 64, i, on_read, counter_of(0), NULL));
    TRY(torque_aio_write(f->ctx, fd, text, 64, i, on_read, counter_of(0), NULL));
  }
  AWAIT(f, received[0] == 2 * N);
}

static void on_condition(torque_source source, uint64_t signals, void *arg) {
  (void)source;
  atomic_fetch_add((_Atomic uint32_t *)arg, (uint32_t)signals);
}

static void conditions(struct fixture *f) {
  torque_source c = 0, s;
  atomic_store(&received[0], 0);
  TRY(torque_condition_new(f->ctx, TORQUE_CONDITION_COUNTING, &c));
  no_blame();
  for (int i = 0; i < PAIRS; i++) TRY(torque_condition_add(c, on_condition, counter_of(0), &s));
  no_blame();
  for (int i = 0; i < 50; i++) TRY(torque_condition_signal(c));
  AWAIT(f, received[0] == 50);
  TRY(torque_condition_broadcast(c));
  AWAIT(f, received[0] == 50 + PAIRS);
  assert_int_equal(torque_source_remove_wait(c), 0);
}

static void sources_end_with_the_context(struct fixture *f) {
  int fd[PAIRS][2];
  torque_source s;
  for (int i = 0; i < PAIRS; i++) {
    fixture_pair(f, fd[i]);
    TRY(torque_fd_add(f->ctx, fd[i][0], TORQUE_READ, 0, on_ready, counter_of(i), &s));
    TRY(torque_timer_add(f->ctx, 3600ull * 1000 * MS, 0, 0, on_timer, counter_of(i), &s));
  }
}

/* ---- A driven context made anew in a child ---- */

static int child_fds[2];

static int reinit_in_child(void *arg) {
  (void)arg;
  struct fixture *f = &sweep.f;
  arm();
  torque_err err = torque_reinit(f->ctx);
  if (err) {
    CHECK(documented(err));
    CHECK(torque_reinit(f->ctx) == 0);
  }
  say(child_fds[1], 5);
  CHECK_SOON((torque_run_once(f->ctx, MS, NULL), received[0] == 5 && received[1] == 1));
  CHECK(torque_stop(f->ctx) == 0);
  CHECK(sweep.blocks == 0);
  return disarm() ? 10 : 0;
}

static void reinit_after_fork(void **state) {
  (void)state;
  const int32_t usr1 = SIGUSR1;
  for (int lack = 0; lack < LACKS; lack++)
    for (uint32_t n = 1, status = 10; status == 10; n++) {
      memset(&sweep, 0, sizeof sweep);
      sweep.f.shape = &shape_driven;
      sweep.lack = OF_PEACE;
      torque_source s;
      assert_int_equal(open_context(), 0);
      fixture_pair(&sweep.f, child_fds);
      atomic_store(&received[0], 0), atomic_store(&received[1], 0);
      assert_int_equal(torque_fd_add(sweep.f.ctx, child_fds[0], TORQUE_READ, 0, on_ready, counter_of(0), &s), 0);
      assert_int_equal(torque_timer_add(sweep.f.ctx, MS, 0, 0, on_timer, counter_of(1), &s), 0);
      assert_int_equal(torque_signal_add(sweep.f.ctx, &usr1, 1, on_signal, counter_of(2), &s), 0);
      sweep.lack = (enum lack)lack;
      sweep.nth = n;
      status = (uint32_t)child_run(reinit_in_child, NULL);
      sweep.lack = OF_PEACE;
      fixture_stop(&sweep.f);
      for (int i = 0; i < 2; i++) fixture_close(&sweep.f, child_fds[i]);
      if (status != 0 && status != 10) fail_msg("lack of %s, number %u: %u", lack_name[lack], n, status);
      assert_true(n < 200);
    }
}

static const struct shape shape_small = {.name = "small", .synthetic = "pack:1 l3:2 core:2 pu:1"};

#define SWEEP(scenario)                                                                                   \
  static void scenario##_live(void **state) { (void)state, sweep_all(&shape_live, scenario); }           \
  static void scenario##_small(void **state) { (void)state, sweep_all(&shape_small, scenario); }         \
  static void scenario##_driven(void **state) { (void)state, sweep_all(&shape_driven, scenario); }
SWEEP(open_and_close)
SWEEP(messages)
SWEEP(timers)
SWEEP(signals)
SWEEP(children)
SWEEP(listeners)
SWEEP(datagrams)
SWEEP(datagrams_that_wait)
SWEEP(posts)
SWEEP(strands)
SWEEP(offloads)
SWEEP(streams)
SWEEP(files)
SWEEP(conditions)

static int with_io_uring(void **state) {
  (void)state;
  aio_backend = TORQUE_AIO_AUTO;
  return 0;
}
static int without_io_uring(void **state) {
  (void)state;
  aio_backend = TORQUE_AIO_THREADS;
  return 0;
}
#define SWEPT_WITH_IO_URING(scenario)                                                        \
  cmocka_unit_test_setup_teardown(scenario##_live, with_io_uring, without_io_uring),         \
      cmocka_unit_test_setup_teardown(scenario##_small, with_io_uring, without_io_uring),    \
      cmocka_unit_test_setup_teardown(scenario##_driven, with_io_uring, without_io_uring)
SWEEP(network)
SWEEP(sources_end_with_the_context)

static void paths_live(void **state) { (void)state, sweep_all(&shape_live, paths); }
static void paths_driven(void **state) { (void)state, sweep_all(&shape_driven, paths); }

#define SWEPT(scenario) \
  cmocka_unit_test(scenario##_live), cmocka_unit_test(scenario##_small), cmocka_unit_test(scenario##_driven)

/* A sanitizer's own thread is no leak. */
static int up(void **state) {
  void *fixture = (void *)(uintptr_t)&shape_single;
  return scratch_up(state) || fixture_up(&fixture) || fixture_down(&fixture) ? -1 : 0;
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(reinit_after_fork), SWEPT(open_and_close), SWEPT(messages), SWEPT(timers),
      SWEPT(children),                     SWEPT(signals),        SWEPT(listeners), SWEPT(posts),
      SWEPT(strands),                      SWEPT(offloads),       SWEPT(sources_end_with_the_context),
      SWEPT(streams),                      SWEPT(datagrams),      SWEPT(datagrams_that_wait),
      SWEPT(files),                        SWEPT_WITH_IO_URING(files),
      SWEPT(network),
      cmocka_unit_test(paths_live),        cmocka_unit_test(paths_driven), /* each run waits for half a rename */
      SWEPT(conditions),
  };
  return cmocka_run_group_tests(tests, up, scratch_down);
}
