/* SPDX-License-Identifier: BSD-3-Clause */
/* Programs in the manner of the original library, which include its one header and know nothing of handles: an echo
 * server, a signal counter, a timer. They compile unchanged and work. */
#include <libtorque/torque.h>

#include <errno.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "support/child.h"
#include "support/context.h"

#include "support/cmocka.h"

/* ---- As the original's programs are written: plain functions, an error that goes through errstr ---- */

static int print_error_of(torque_err err) {
  fprintf(stderr, "libtorque: %s\n", torque_errstr(err));
  return -1;
}

static struct torque_ctx *echo_ctx;
static _Atomic int echoed, wrong_context;

static void echo_rx(int fd, void *state) {
  char buf[256];
  ssize_t n;
  (void)state;
  if (torque_getcurctx() != echo_ctx) atomic_fetch_add(&wrong_context, 1);
  while ((n = read(fd, buf, sizeof(buf))) > 0) {
    if (write(fd, buf, (size_t)n) != n) break;
    atomic_fetch_add(&echoed, (int)n);
  }
  if (n == 0 || (errno != EAGAIN && errno != EWOULDBLOCK)) close(fd); /* it may be closed at any time */
}

static void conn_handler(int fd, void *state) {
  int sd;
  while ((sd = accept4(fd, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC)) >= 0) {
    torque_err err;
    if ((err = torque_addfd_unbuffered(torque_getcurctx(), sd, echo_rx, NULL, state)) != TORQUE_ERR_NONE) {
      print_error_of(err);
      close(sd);
    }
  }
}

static int make_listener(struct sockaddr_in *sa) {
  socklen_t len = sizeof *sa;
  int sd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  memset(sa, 0, sizeof *sa);
  sa->sin_family = AF_INET;
  sa->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  if (sd < 0 || bind(sd, (struct sockaddr *)sa, sizeof *sa) || listen(sd, SOMAXCONN) ||
      getsockname(sd, (struct sockaddr *)sa, &len))
    return -1;
  return sd;
}

static int echoserver(void *arg) {
  int *port = arg;
  struct torque_ctx *ctx = NULL;
  torque_err err;
  struct sockaddr_in sa;
  sigset_t set, old;
  int sd, sig;
  if ((err = torque_sigmask(&old)) != TORQUE_ERR_NONE) return print_error_of(err);
  if ((ctx = torque_init(&err)) == NULL) return print_error_of(err);
  echo_ctx = ctx;
  if ((sd = make_listener(&sa)) < 0) return -1;
  if ((err = torque_addfd_concurrent(ctx, sd, conn_handler, NULL, NULL)) != TORQUE_ERR_NONE)
    return print_error_of(err);
  if (write(port[1], &sa.sin_port, sizeof sa.sin_port) != sizeof sa.sin_port) return -1;
  /* The original's server waits for its signal itself. */
  sigemptyset(&set);
  sigaddset(&set, SIGTERM);
  if (sigwait(&set, &sig) || sig != SIGTERM) return -1;
  if ((err = torque_stop(ctx)) != TORQUE_ERR_NONE) return print_error_of(err);
  close(sd);
  return atomic_load(&echoed) && !atomic_load(&wrong_context) ? 0 : 4;
}

static void the_echo_server_works(void **state) {
  enum { CLIENTS = 20, ROUNDS = 50 };
  (void)state;
  int port[2], fds[CLIENTS];
  struct sockaddr_in sa = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  const struct timeval patience = {.tv_sec = 30};
  assert_int_equal(pipe(port), 0);
  const pid_t server = child_start(echoserver, port);
  assert_int_equal(read(port[0], &sa.sin_port, sizeof sa.sin_port), sizeof sa.sin_port);
  for (int i = 0; i < CLIENTS; i++) {
    fds[i] = socket(AF_INET, SOCK_STREAM, 0);
    assert_int_equal(setsockopt(fds[i], SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience), 0);
    assert_int_equal(connect(fds[i], (struct sockaddr *)&sa, sizeof sa), 0);
  }
  for (int round = 0; round < ROUNDS; round++) {
    char text[600], answer[600];
    memset(text, 'a' + round % 26, sizeof text);
    for (int i = 0; i < CLIENTS; i++) assert_int_equal(write(fds[i], text, sizeof text), sizeof text);
    for (int i = 0; i < CLIENTS; i++) {
      assert_int_equal(recv(fds[i], answer, sizeof answer, MSG_WAITALL), sizeof answer);
      assert_memory_equal(text, answer, sizeof text);
    }
  }
  for (int i = 0; i < CLIENTS; i++) {
    char byte;
    assert_int_equal(shutdown(fds[i], SHUT_WR), 0);
    assert_int_equal(recv(fds[i], &byte, 1, 0), 0); /* the server has closed it */
    close(fds[i]);
  }
  assert_int_equal(kill(server, SIGTERM), 0);
  assert_int_equal(child_end(server), 0);
  close(port[0]), close(port[1]);
}

/* ---- signalrx: counts signals until torque_block() returns ---- */

static _Atomic int rxcount;

static void rxsignal(int sig, void *state) {
  if (sig == SIGUSR1 && state == &rxcount && torque_getcurctx()) atomic_fetch_add(&rxcount, 1);
}

static int signalrx(void *arg) {
  int *ready = arg;
  struct torque_ctx *ctx;
  torque_err err;
  sigset_t set;
  if (torque_sigmask(NULL)) return -1;
  if ((ctx = torque_init(&err)) == NULL) return -1;
  sigemptyset(&set);
  sigaddset(&set, SIGTERM);
  if (torque_addsignal(ctx, &set, rxsignal, NULL) != TORQUE_ERR_INVAL) return 2; /* belongs to torque_block() */
  sigemptyset(&set);
  if (torque_addsignal(ctx, &set, rxsignal, NULL) != TORQUE_ERR_INVAL) return 3;
  sigaddset(&set, SIGUSR1);
  sigaddset(&set, SIGRTMAX);
  if (torque_addsignal(ctx, &set, rxsignal, (void *)(uintptr_t)&rxcount)) return 4;
  if (write(ready[1], "r", 1) != 1) return 5;
  if ((err = torque_block(ctx)) != TORQUE_ERR_NONE) return print_error_of(err);
  const int count = atomic_load(&rxcount);
  return count >= 1 && count <= 50 ? count + 100 : 6;
}

static void the_signal_counter_works(void **state) {
  (void)state;
  int ready[2];
  char byte;
  assert_int_equal(pipe(ready), 0);
  const pid_t child = child_start(signalrx, ready);
  assert_int_equal(read(ready[0], &byte, 1), 1);
  for (int i = 0; i < 20; i++) {
    assert_int_equal(kill(child, SIGUSR1), 0);
    child_nap();
  }
  for (int i = 0; i < 20; i++) child_nap();
  assert_int_equal(kill(child, SIGTERM), 0);
  const int status = child_end(child);
  assert_in_range(status, 101, 120);
  close(ready[0]), close(ready[1]);
}

/* ---- Timers ---- */

static _Atomic int ticks;
static void tick(void *state) {
  if (state == &ticks) atomic_fetch_add(&ticks, 1);
}

static const struct itimerspec once = {.it_value = {.tv_nsec = 3000000}};
static const struct itimerspec again = {.it_value = {.tv_nsec = 1000000}, .it_interval = {.tv_nsec = 1000000}};
static const struct itimerspec interval_only = {.it_interval = {.tv_nsec = 2000000}};
static const struct itimerspec nothing;
static const struct itimerspec bad[] = {{.it_value = {.tv_nsec = 1000000000}},
                                        {.it_value = {.tv_nsec = -1}},
                                        {.it_value = {.tv_sec = -1}},
                                        {.it_value = {.tv_sec = 1}, .it_interval = {.tv_nsec = 2000000000}}};

static void a_timer_fires_once(void **state) {
  struct fixture *f = *state;
  atomic_store(&ticks, 0);
  const uint64_t from = monotonic_ns();
  assert_int_equal(torque_addtimer(f->ctx, &once, tick, (void *)(uintptr_t)&ticks), 0);
  AWAIT(f, ticks == 1);
  assert_true(monotonic_ns() - from >= 3000000);
  fixture_settle(f);
  assert_int_equal(ticks, 1);
  uint64_t sources = 0, value = 0; /* nobody could remove it: it has gone by itself */
  for (uint32_t d = 0; d < torque_ctx_domains(f->ctx); d++) {
    assert_int_equal(torque_stats_gauge(f->ctx, d, TORQUE_GAUGE_SOURCES, &value), 0);
    sources += value;
  }
  assert_int_equal(sources, 0);
}

static void a_timer_fires_again(void **state) {
  struct fixture *f = *state;
  atomic_store(&ticks, 0);
  assert_int_equal(torque_addtimer(f->ctx, &again, tick, (void *)(uintptr_t)&ticks), 0);
  AWAIT(f, ticks >= 10);
}

static void an_interval_alone_is_a_timer(void **state) {
  struct fixture *f = *state;
  atomic_store(&ticks, 0);
  const uint64_t from = monotonic_ns();
  assert_int_equal(torque_addtimer(f->ctx, &interval_only, tick, (void *)(uintptr_t)&ticks), 0);
  AWAIT(f, ticks >= 1);
  assert_true(monotonic_ns() - from >= 2000000); /* the first after one interval, not at once */
  AWAIT(f, ticks >= 3);
}

/* Every interval is called for; but a context that was not run for a while does not catch up with millions of them. */
static void a_tiny_interval_does_not_take_all_the_time(void **state) {
  struct fixture *f = *state;
  const struct itimerspec tiny = {.it_interval = {.tv_nsec = 1}};
  ticks = 0;
  assert_int_equal(torque_addtimer(f->ctx, &tiny, tick, (void *)(uintptr_t)&ticks), 0);
  usleep(20000); /* 20 million of them at least */
  assert_int_equal(torque_run_once(f->ctx, 0, NULL), 0);
  assert_true(ticks > 0);
  assert_true(ticks <= 100000);
}

static void times_that_are_none_are_refused(void **state) {
  struct fixture *f = *state;
  assert_int_equal(torque_addtimer(f->ctx, &nothing, tick, NULL), TORQUE_ERR_INVAL);
  assert_int_equal(torque_addtimer(f->ctx, NULL, tick, NULL), TORQUE_ERR_INVAL);
  assert_int_equal(torque_addtimer(f->ctx, &once, NULL, NULL), TORQUE_ERR_INVAL);
  for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
    assert_int_equal(torque_addtimer(f->ctx, &bad[i], tick, NULL), TORQUE_ERR_INVAL);
}

/* ---- Descriptors: rx and tx, called back on all events and not only on the first ---- */

static _Atomic int received, writable, inside, together;

static void take_all(int fd, void *state) {
  (void)state;
  if (atomic_fetch_add(&inside, 1)) atomic_fetch_add(&together, 1);
  atomic_fetch_add(&received, (int)drain(fd, NULL));
  atomic_fetch_sub(&inside, 1);
}
static void may_write(int fd, void *state) {
  (void)fd, (void)state;
  if (atomic_fetch_add(&inside, 1)) atomic_fetch_add(&together, 1);
  atomic_fetch_add(&writable, 1);
  atomic_fetch_sub(&inside, 1);
}

static void called_back_on_every_event(void **state) {
  struct fixture *f = *state;
  int fd[2];
  fixture_pair(f, fd);
  atomic_store(&received, 0), atomic_store(&writable, 0), atomic_store(&together, 0);
  assert_int_equal(torque_addfd_unbuffered(f->ctx, fd[0], take_all, may_write, NULL), 0);
  AWAIT(f, writable >= 1);
  for (int i = 1; i <= 50; i++) {
    say(fd[1], 10);
    AWAIT(f, received == i * 10);
  }
  assert_int_equal(together, 0);
}

static void one_direction_alone(void **state) {
  struct fixture *f = *state;
  int a[2], b[2];
  fixture_pair(f, a);
  fixture_pair(f, b);
  atomic_store(&received, 0), atomic_store(&writable, 0);
  assert_int_equal(torque_addfd_unbuffered(f->ctx, a[0], take_all, NULL, NULL), 0);
  assert_int_equal(torque_addfd_unbuffered(f->ctx, b[0], NULL, may_write, NULL), 0);
  say(a[1], 5);
  say(b[1], 5);
  AWAIT(f, received == 5 && writable >= 1);
  assert_int_equal(torque_addfd_unbuffered(f->ctx, a[1], NULL, NULL, NULL), TORQUE_ERR_INVAL);
  assert_int_equal(torque_addfd_unbuffered(f->ctx, -1, take_all, NULL, NULL), TORQUE_ERR_INVAL);
  assert_int_equal(torque_addfd_concurrent(f->ctx, a[1], NULL, NULL, NULL), TORQUE_ERR_INVAL);
}

static void a_hang_up_reaches_the_callbacks(void **state) {
  struct fixture *f = *state;
  int fd[2];
  fixture_pair(f, fd);
  atomic_store(&received, 0), atomic_store(&writable, 0);
  assert_int_equal(torque_addfd_unbuffered(f->ctx, fd[0], NULL, may_write, NULL), 0);
  AWAIT(f, writable >= 1);
  const int before = writable;
  fixture_close(f, fd[1]); /* a program that only writes must learn of it by writing */
  AWAIT(f, writable > before);
}

/* What rx closed is nothing to call tx for: its state may be gone, and its number somebody else's. */
struct closer {
  _Atomic int rx, tx, replace;
};

static void close_it(int fd, void *state) {
  struct closer *c = state;
  if (drain(fd, NULL) == 0) return;
  c->replace < 0 ? close(fd) : dup2(c->replace, fd);
  c->rx++;
}
static void count_tx(int fd, void *state) {
  struct closer *c = state;
  (void)fd;
  if (c->rx) c->tx++;
}

static void no_tx_for_what_rx_has_closed(void **state) {
  struct fixture *f = *state;
  for (int replaced = 0; replaced <= 1; replaced++) {
    struct closer *c = fixture_take(f, sizeof *c);
    int fd[2], other[2];
    fixture_pair(f, fd);
    fixture_pair(f, other);
    c->replace = replaced ? other[0] : -1;
    say(fd[1], 1); /* it is readable and writable at once */
    fixture_disown(f, fd[0]);
    assert_int_equal(torque_addfd_unbuffered(f->ctx, fd[0], close_it, count_tx, c), 0);
    AWAIT(f, c->rx == 1);
    fixture_settle(f);
    assert_int_equal(c->tx, 0);
    if (replaced) fixture_own(f, fd[0]);
  }
}

static void a_closed_number_may_be_added_again(void **state) {
  struct fixture *f = *state;
  atomic_store(&received, 0);
  for (int i = 1; i <= 100; i++) {
    int fd[2];
    fixture_pair(f, fd);
    assert_int_equal(torque_addfd_unbuffered(f->ctx, fd[0], take_all, NULL, NULL), 0);
    say(fd[1], 1);
    AWAIT(f, received == i);
    fixture_close(f, fd[0]);
    fixture_close(f, fd[1]);
  }
}

/* ---- Errors ---- */

static void error_numbers_are_frozen(void **state) {
  (void)state;
  const torque_err frozen[] = {TORQUE_ERR_NONE,     TORQUE_ERR_ASSERT,   TORQUE_ERR_CPUDETECT, TORQUE_ERR_GPUDETECT,
                               TORQUE_ERR_MEMDETECT, TORQUE_ERR_AFFINITY, TORQUE_ERR_RESOURCE,  TORQUE_ERR_INVAL,
                               TORQUE_ERR_UNAVAIL,   TORQUE_ERR_SYSCALL};
  for (int i = 0; i < 10; i++) assert_int_equal(frozen[i], i);
  assert_int_equal(TORQUE_ERR_STALE, 4096);
  assert_int_equal(TORQUE_ERR_STATE, 4103);
}

static void every_error_is_explained(void **state) {
  (void)state;
  const char *unknown = torque_errstr(123456789);
  assert_non_null(unknown);
  for (torque_err e = 0; e <= 9 + 133; e++) {
    const char *text = torque_errstr(e);
    assert_non_null(text);
    assert_true(strlen(text) > 3);
    if (e < 9) assert_string_not_equal(text, unknown);
  }
  for (torque_err e = TORQUE_ERR_STALE; e <= TORQUE_ERR_STATE; e++) {
    assert_string_not_equal(torque_errstr(e), unknown);
    for (torque_err other = TORQUE_ERR_STALE; other < e; other++)
      assert_string_not_equal(torque_errstr(e), torque_errstr(other));
    assert_int_equal(torque_err_errno(e), 0);
  }
  assert_non_null(strstr(torque_errstr(TORQUE_ERR_SYSCALL + EMFILE), "open files"));
  assert_non_null(torque_errstr(-1));
  assert_non_null(torque_errstr(INT32_MIN));
  assert_non_null(torque_errstr(INT32_MAX));
  for (torque_err e = 0; e <= 9; e++) assert_int_equal(torque_err_errno(e), 0);
  assert_int_equal(torque_err_errno(TORQUE_ERR_SYSCALL + ENOMEM), ENOMEM);
  assert_int_equal(torque_err_errno(-5), 0);
}

static void nobody_is_in_a_callback_outside_of_one(void **state) {
  (void)state;
  assert_null(torque_getcurctx());
  assert_int_equal(torque_current_worker(), -1);
}

static void the_version_is_told(void **state) {
  (void)state;
  unsigned major, minor, patch;
  assert_int_equal(sscanf(torque_version(), "%u.%u.%u", &major, &minor, &patch), 3);
  assert_int_equal(major * 1000000 + minor * 1000 + patch, torque_version_number());
  assert_int_equal(torque_version_number(), TORQUE_VERSION);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(the_echo_server_works),
      cmocka_unit_test(the_signal_counter_works),
      cmocka_unit_test(error_numbers_are_frozen),
      cmocka_unit_test(every_error_is_explained),
      cmocka_unit_test(nobody_is_in_a_callback_outside_of_one),
      cmocka_unit_test(the_version_is_told),
      ON_EVERY(a_timer_fires_once),
      ON_EVERY(a_timer_fires_again),
      ON_EVERY(an_interval_alone_is_a_timer),
      ON(driven, a_tiny_interval_does_not_take_all_the_time),
      ON_EVERY(times_that_are_none_are_refused),
      ON_EVERY(called_back_on_every_event),
      ON_EVERY(one_direction_alone),
      ON_EVERY(a_hang_up_reaches_the_callbacks),
      ON_EVERY(no_tx_for_what_rx_has_closed),
      ON_EVERY(a_closed_number_may_be_added_again),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
