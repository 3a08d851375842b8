/* SPDX-License-Identifier: BSD-3-Clause */
/* Child sources: each end is told once, as it was, and no other child is touched. */
#define _GNU_SOURCE
#include "support/child.h"
#include "support/context.h"
#include "support/faults.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/cmocka.h"

enum { MANY = 400 };

struct told {
  void (*then)(struct told *t, torque_source source, const struct torque_child_event *event);
  torque_source source;
  pid_t pid;
  _Atomic int blocked;
  _Atomic uint32_t calls, finals, calls_after_final, wrong_pid;
  _Atomic int32_t how, status, reason, waited, alive_in_call, reaped_at_final;
  _Atomic uint64_t user_ns, system_ns, memory;
  _Atomic torque_err result;
};

static int no_such_process(pid_t pid) { return kill(pid, 0) != 0 && errno == ESRCH; }

static void on_child(torque_source source, const struct torque_child_event *event, void *arg) {
  struct told *t = arg;
  if (t->finals) atomic_fetch_add(&t->calls_after_final, 1);
  if (torque_child_event_pid(event) != t->pid) atomic_fetch_add(&t->wrong_pid, 1);
  atomic_store(&t->alive_in_call, !no_such_process(t->pid));
  atomic_store(&t->how, torque_child_event_how(event));
  atomic_store(&t->status, torque_child_event_status(event));
  atomic_store(&t->user_ns, torque_child_event_user_ns(event));
  atomic_store(&t->system_ns, torque_child_event_system_ns(event));
  atomic_store(&t->memory, torque_child_event_memory(event));
  atomic_fetch_add(&t->calls, 1);
  STAY_UNTIL(!atomic_load(&t->blocked));
  if (t->then) t->then(t, source, event);
}

static void on_final(torque_source source, int32_t reason, void *arg) {
  (void)source;
  struct told *t = arg;
  atomic_store(&t->reason, reason);
  atomic_store(&t->reaped_at_final, no_such_process(t->pid));
  atomic_fetch_add(&t->finals, 1);
}

static struct told *expect_child(struct fixture *f, pid_t pid) {
  struct told *t = fixture_take(f, sizeof *t);
  t->pid = pid;
  t->how = -1;
  return t;
}

static void start(struct fixture *f, struct told *t, uint32_t flags) {
  assert_int_equal(torque_child_new(f->ctx, t->pid, flags, on_child, t, &t->source), 0);
  assert_int_equal(torque_source_set_finalizer(t->source, on_final), 0);
  assert_int_equal(torque_source_start(t->source), 0);
}

static struct told *watch(struct fixture *f, pid_t pid, uint32_t flags) {
  struct told *t = expect_child(f, pid);
  start(f, t, flags);
  return t;
}

static void assert_told(struct fixture *f, const struct told *t, int32_t how, int32_t status) {
  AWAIT(f, t->finals);
  assert_int_equal(t->calls, 1);
  assert_int_equal(t->finals, 1);
  assert_int_equal(t->reason, TORQUE_END_REMOVED);
  assert_int_equal(t->how, how);
  assert_int_equal(t->status, status);
  assert_int_equal(t->wrong_pid, 0);
  assert_int_equal(torque_source_alive(t->source), 0);
}

/* ---- Children that do something ---- */

static int exits_with(void *arg) { return (int)(intptr_t)arg; }
static int waits(void *arg) {
  while (!arg) pause();
  return 0;
}
static int waits_for_a_byte(void *arg) {
  char byte;
  close(((int *)arg)[1]);
  return read(((int *)arg)[0], &byte, 1) == 1 ? byte : 99;
}
static int works(void *arg) {
  const size_t size = *(size_t *)arg;
  struct rusage used;
  if (mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_POPULATE, -1, 0) == MAP_FAILED)
    return 1;
  do getrusage(RUSAGE_SELF, &used);
  while (used.ru_utime.tv_sec * 1000000 + used.ru_utime.tv_usec < 20000);
  return 0;
}
static int aborts(void *arg) {
  (void)arg;
  const struct rlimit none = {0, 0};
  setrlimit(RLIMIT_CORE, &none);
  signal(SIGABRT, SIG_DFL);
  raise(SIGABRT);
  return 0;
}

static pid_t child_exiting(int status) { return child_start(exits_with, (void *)(intptr_t)status); }

/* ---- What is told ---- */

static void the_status_of_an_exit(void **state) {
  struct fixture *f = *state;
  for (int status = 0; status < 256; status += 51) {
    struct told *t = watch(f, child_exiting(status), 0);
    assert_told(f, t, TORQUE_CHILD_EXITED, status);
    assert_int_equal(t->alive_in_call, 1);
    assert_int_equal(t->reaped_at_final, 1);
  }
}

static void the_signal_that_killed_it(void **state) {
  struct fixture *f = *state;
  struct told *t = watch(f, child_start(waits, NULL), 0);
  fixture_settle(f);
  assert_int_equal(t->calls, 0);
  /* Stopping and going on is no end. */
  assert_int_equal(kill(t->pid, SIGSTOP), 0);
  fixture_settle(f);
  assert_int_equal(kill(t->pid, SIGCONT), 0);
  fixture_settle(f);
  assert_int_equal(t->calls, 0);
  assert_int_equal(kill(t->pid, SIGKILL), 0);
  assert_told(f, t, TORQUE_CHILD_KILLED, SIGKILL);
  t = watch(f, child_start(aborts, NULL), 0);
  assert_told(f, t, TORQUE_CHILD_KILLED, SIGABRT);
}

static void what_it_has_used(void **state) {
  struct fixture *f = *state;
  size_t size = 32 << 20;
  struct told *t = watch(f, child_start(works, &size), 0);
  assert_told(f, t, TORQUE_CHILD_EXITED, 0);
  assert_true(t->user_ns >= 20 * 1000000);
  assert_true(t->memory >= size);
}

static void one_that_ended_before(void **state) {
  struct fixture *f = *state;
  const pid_t pid = child_exiting(7);
  siginfo_t info;
  assert_int_equal(waitid(P_PID, (id_t)pid, &info, WEXITED | WNOWAIT), 0);
  assert_told(f, watch(f, pid, 0), TORQUE_CHILD_EXITED, 7);
}

static void it_may_be_left_to_the_caller(void **state) {
  struct fixture *f = *state;
  struct told *t = watch(f, child_exiting(3), TORQUE_CHILD_NOREAP);
  struct told *also = watch(f, t->pid, TORQUE_CHILD_NOREAP);
  assert_told(f, t, TORQUE_CHILD_EXITED, 3);
  assert_told(f, also, TORQUE_CHILD_EXITED, 3);
  assert_int_equal(t->reaped_at_final, 0);
  assert_int_equal(child_end(t->pid), 3);
}

static void wait_for_it(struct told *t, torque_source source, const struct torque_child_event *event) {
  (void)source;
  atomic_store(&t->waited, child_end(torque_child_event_pid(event)));
}

static void its_callback_may_wait_for_it(void **state) {
  struct fixture *f = *state;
  struct told *t = expect_child(f, child_exiting(9));
  t->then = wait_for_it;
  start(f, t, 0);
  assert_told(f, t, TORQUE_CHILD_EXITED, 9);
  assert_int_equal(t->waited, 9);
}

static void one_that_somebody_else_waited_for(void **state) {
  struct fixture *f = *state;
  const pid_t pid = child_start(waits, NULL);
  struct told *t = expect_child(f, pid);
  assert_int_equal(torque_child_new(f->ctx, pid, 0, on_child, t, &t->source), 0);
  assert_int_equal(torque_source_set_finalizer(t->source, on_final), 0);
  assert_int_equal(kill(pid, SIGTERM), 0);
  assert_int_equal(child_end(pid), 1000 + SIGTERM);
  assert_int_equal(torque_source_start(t->source), 0);
  assert_told(f, t, TORQUE_CHILD_UNKNOWN, 0);
  assert_true(t->user_ns == 0 && t->memory == 0);
}

static void one_that_nobody_need_wait_for(void **state) {
  struct fixture *f = *state;
  struct sigaction before, ignored;
  memset(&ignored, 0, sizeof ignored);
  ignored.sa_handler = SIG_IGN; /* the system forgets children at once */
  assert_int_equal(sigaction(SIGCHLD, &ignored, &before), 0);
  struct told *t = watch(f, child_start(waits, NULL), 0);
  assert_int_equal(kill(t->pid, SIGTERM), 0);
  AWAIT(f, t->finals);
  assert_int_equal(sigaction(SIGCHLD, &before, NULL), 0);
  assert_told(f, t, TORQUE_CHILD_UNKNOWN, 0);
}

static int has_a_grandchild(void *arg) {
  const int *report = arg; /* both ways: the number goes out, and its end is when it is killed */
  const pid_t pid = fork();
  if (pid == 0) waits(NULL);
  if (write(report[1], &pid, sizeof pid) != sizeof pid) return 1;
  return child_end(pid) == 1000 + SIGKILL ? 0 : 2;
}

static void one_that_is_nobodys_child(void **state) {
  struct fixture *f = *state;
  int report[2];
  fixture_pair(f, report);
  const pid_t parent = child_start(has_a_grandchild, report);
  pid_t pid = 0;
  AWAIT(f, recv(report[0], &pid, sizeof pid, 0) == sizeof pid);
  torque_source s = 5;
  assert_int_equal(torque_child_add(f->ctx, pid, 0, on_child, NULL, &s), TORQUE_ERR_SYSCALL + ECHILD);
  assert_int_equal(s, 5);
  struct told *t = watch(f, pid, TORQUE_CHILD_FOREIGN);
  fixture_settle(f);
  assert_int_equal(t->calls, 0);
  assert_int_equal(kill(pid, SIGKILL), 0);
  assert_told(f, t, TORQUE_CHILD_UNKNOWN, 0);
  assert_int_equal(child_end(parent), 0); /* who had the status for itself */
  /* A child of ours is one, whatever is allowed. */
  t = watch(f, child_exiting(4), TORQUE_CHILD_FOREIGN);
  assert_told(f, t, TORQUE_CHILD_EXITED, 4);
}

static void no_other_child_is_touched(void **state) {
  struct fixture *f = *state;
  pid_t others[8];
  for (int i = 0; i < 8; i++) others[i] = child_exiting(20 + i);
  for (int i = 0; i < 8; i++) assert_told(f, watch(f, child_exiting(i), 0), TORQUE_CHILD_EXITED, i);
  for (int i = 0; i < 8; i++) assert_int_equal(child_end(others[i]), 20 + i);
}

/* ---- Once ---- */

static void postpone_once(struct told *t, torque_source source, const struct torque_child_event *event) {
  (void)event;
  if (t->calls < 3) atomic_store(&t->result, torque_postpone(source));
}

static void put_off_it_is_told_the_same_again(void **state) {
  struct fixture *f = *state;
  struct told *t = expect_child(f, child_exiting(12));
  t->then = postpone_once;
  start(f, t, 0);
  AWAIT(f, t->finals);
  assert_int_equal(t->calls, 3);
  assert_int_equal(t->result, 0);
  assert_int_equal(t->status, 12);
  assert_int_equal(t->reaped_at_final, 1);
}

static void remove_own(struct told *t, torque_source source, const struct torque_child_event *event) {
  (void)event;
  atomic_store(&t->result, torque_source_remove_wait(source));
  if (t->result == TORQUE_ERR_DEADLOCK) atomic_store(&t->result, torque_source_remove(source));
}

static void removed_from_its_own_callback(void **state) {
  struct fixture *f = *state;
  struct told *t = expect_child(f, child_exiting(0));
  t->then = remove_own;
  t->result = -1;
  start(f, t, 0);
  assert_told(f, t, TORQUE_CHILD_EXITED, 0);
  assert_int_equal(t->result, 0);
  assert_int_equal(t->reaped_at_final, 1);
}

static void removed_before_it_ends(void **state) {
  struct fixture *f = *state;
  struct told *t = watch(f, child_start(waits, NULL), 0);
  assert_int_equal(torque_source_remove_wait(t->source), 0);
  assert_int_equal(t->finals, 1);
  assert_int_equal(kill(t->pid, SIGKILL), 0);
  assert_int_equal(child_end(t->pid), 1000 + SIGKILL); /* it was left as it is */
  fixture_settle(f);
  assert_int_equal(t->calls, 0);
  assert_int_equal(t->calls_after_final, 0);
}

static void stopped_before_it_ends(void **state) {
  struct fixture *f = *state;
  struct told *t = watch(f, child_start(waits, NULL), 0);
  fixture_stop(f);
  assert_int_equal(t->finals, 1);
  assert_int_equal(t->reason, TORQUE_END_STOPPED);
  assert_int_equal(kill(t->pid, SIGKILL), 0);
  assert_int_equal(child_end(t->pid), 1000 + SIGKILL);
}

static void *remove_it(void *arg) {
  struct told *t = arg;
  atomic_store(&t->result, torque_source_remove_wait(t->source));
  return NULL;
}

static void removed_while_it_is_told(void **state) {
  struct fixture *f = *state;
  struct told *t = expect_child(f, child_exiting(0));
  t->blocked = 1;
  t->result = -1;
  start(f, t, 0);
  AWAIT(f, t->calls);
  fixture_thread(f, remove_it, t);
  for (int i = 0; i < 20; i++) nap();
  assert_int_equal(t->finals, 0);
  atomic_store(&t->blocked, 0);
  fixture_join(f);
  assert_int_equal(t->result, 0);
  assert_int_equal(t->calls, 1);
  assert_int_equal(t->finals, 1);
  assert_int_equal(t->reaped_at_final, 1);
}

/* Ends and removals at the same time: told and waited for, or neither. */
static void removed_as_it_ends(void **state) {
  struct fixture *f = *state;
  for (int i = 0; i < FEWER(100) + 5; i++) {
    struct told *t = watch(f, child_exiting(1), 0);
    for (int n = i % 4; n > 0; n--) nap();
    const torque_err err = torque_source_remove_wait(t->source);
    assert_true(err == 0 || err == TORQUE_ERR_STALE);
    assert_int_equal(t->finals, 1);
    if (t->calls)
      assert_int_equal(t->reaped_at_final, 1);
    else
      assert_int_equal(child_end(t->pid), 1);
  }
}

static void hundreds_at_once(void **state) {
  struct fixture *f = *state;
  struct told *t[MANY];
  int pipe[2];
  assert_int_equal(pipe2(pipe, O_CLOEXEC), 0);
  const int n = FEWER(MANY);
  for (int i = 0; i < n; i++) t[i] = watch(f, child_start(waits_for_a_byte, pipe), 0);
  fixture_settle(f);
  for (int i = 0; i < n; i++) assert_int_equal(t[i]->calls, 0);
  uint32_t sum = 0, wanted = 0;
  for (int i = 0; i < n; i++) {
    const unsigned char byte = (unsigned char)(i % 100);
    wanted += byte;
    assert_int_equal(write(pipe[1], &byte, 1), 1);
  }
  for (int i = 0; i < n; i++) {
    AWAIT(f, t[i]->finals);
    assert_told(f, t[i], TORQUE_CHILD_EXITED, t[i]->status);
    assert_int_equal(t[i]->reaped_at_final, 1);
    sum += (uint32_t)t[i]->status;
  }
  assert_int_equal(sum, wanted); /* each took one byte */
  close(pipe[0]);
  close(pipe[1]);
}

/* ---- Arguments, and what may be missing ---- */

static void wrong_arguments(void **state) {
  struct fixture *f = *state;
  torque_source s = 5;
  const pid_t pid = child_start(waits, NULL);
  assert_int_equal(torque_child_add(NULL, pid, 0, on_child, NULL, &s), TORQUE_ERR_INVAL);
  assert_int_equal(torque_child_add(f->ctx, 0, 0, on_child, NULL, &s), TORQUE_ERR_INVAL);
  assert_int_equal(torque_child_add(f->ctx, -1, 0, on_child, NULL, &s), TORQUE_ERR_INVAL);
  assert_int_equal(torque_child_add(f->ctx, pid, 4, on_child, NULL, &s), TORQUE_ERR_INVAL);
  assert_int_equal(torque_child_add(f->ctx, pid, 0, NULL, NULL, &s), TORQUE_ERR_INVAL);
  assert_int_equal(torque_child_add(f->ctx, pid, 0, on_child, NULL, NULL), TORQUE_ERR_INVAL);
  assert_int_equal(torque_child_new(f->ctx, pid, 0, on_child, NULL, NULL), TORQUE_ERR_INVAL);
  assert_int_equal(torque_child_add(f->ctx, getpid(), 0, on_child, NULL, &s), TORQUE_ERR_SYSCALL + ECHILD);
  assert_int_equal(kill(pid, SIGKILL), 0);
  assert_int_equal(child_end(pid), 1000 + SIGKILL);
  assert_int_equal(torque_child_add(f->ctx, pid, 0, on_child, NULL, &s), TORQUE_ERR_SYSCALL + ESRCH);
  assert_int_equal(torque_child_add(f->ctx, pid, TORQUE_CHILD_FOREIGN, on_child, NULL, &s), TORQUE_ERR_SYSCALL + ESRCH);
  assert_int_equal(s, 5);
  assert_int_equal(torque_child_event_pid(NULL), 0);
  assert_int_equal(torque_child_event_how(NULL), TORQUE_CHILD_UNKNOWN);
}

static void what_is_not_for_this_kind(void **state) {
  struct fixture *f = *state;
  struct told *t = watch(f, child_start(waits, NULL), 0);
  assert_int_equal(torque_close(t->source), TORQUE_ERR_KIND);
  assert_int_equal(torque_fd_modify(t->source, TORQUE_READ), TORQUE_ERR_KIND);
  assert_int_equal(torque_trigger(t->source, TORQUE_READ), TORQUE_ERR_KIND);
  assert_int_equal(torque_source_start(t->source), TORQUE_ERR_STATE);
  assert_int_equal(kill(t->pid, SIGKILL), 0);
  assert_told(f, t, TORQUE_CHILD_KILLED, SIGKILL);
}

static _Atomic int refused_with; /* pidfd_open() fails so; 0: it does not */

/* In front of the C library's. */
FAULTS_UNWATCHED long syscall(long number, ...) {
  typedef long syscall_type(long, ...);
  void *found = faults_real("syscall");
  syscall_type *real;
  memcpy(&real, &found, sizeof real);
  long a[6];
  va_list arguments;
  va_start(arguments, number);
  for (int i = 0; i < 6; i++) a[i] = va_arg(arguments, long);
  va_end(arguments);
  if (number == SYS_pidfd_open && refused_with) {
    errno = refused_with;
    return -1;
  }
  return real(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

static void without_descriptors_or_kernel(void **state) {
  struct fixture *f = *state;
  torque_source s = 5;
  const pid_t pid = child_start(waits, NULL);
  static const struct {
    int fails;
    torque_err answer;
  } cases[] = {{ENOSYS, TORQUE_ERR_UNAVAIL},
               {EPERM, TORQUE_ERR_UNAVAIL},
               {EMFILE, TORQUE_ERR_SYSCALL + EMFILE},
               {ENOMEM, TORQUE_ERR_SYSCALL + ENOMEM}};
  for (size_t i = 0; i < sizeof cases / sizeof *cases; i++) {
    atomic_store(&refused_with, cases[i].fails);
    const torque_err err = torque_child_add(f->ctx, pid, 0, on_child, NULL, &s);
    atomic_store(&refused_with, 0);
    assert_int_equal(err, cases[i].answer);
  }
  assert_int_equal(s, 5);
  struct told *t = watch(f, pid, 0);
  assert_int_equal(kill(pid, SIGTERM), 0);
  assert_told(f, t, TORQUE_CHILD_KILLED, SIGTERM);
}

/* ---- Fork: the children are the parent's ---- */

static struct told *inherited;
static struct torque_ctx *inherited_ctx;

static int its_own_children_only(void *arg) {
  (void)arg;
  CHECK(torque_reinit(inherited_ctx) == 0);
  struct told mine = {.how = -1};
  mine.pid = child_start(exits_with, (void *)8);
  CHECK(torque_child_add(inherited_ctx, mine.pid, 0, on_child, &mine, &mine.source) == 0);
  for (int i = 0; i < 10000 && !mine.calls; i++) CHECK(torque_run_once(inherited_ctx, 1000000, NULL) == 0);
  CHECK(mine.calls == 1 && mine.how == TORQUE_CHILD_EXITED && mine.status == 8);
  /* One of the parent's is told to end, but not how, and its status is left to the parent. */
  CHECK(kill(inherited->pid, SIGKILL) == 0);
  for (int i = 0; i < 10000 && !inherited->calls; i++) CHECK(torque_run_once(inherited_ctx, 1000000, NULL) == 0);
  CHECK(inherited->calls == 1 && inherited->how == TORQUE_CHILD_UNKNOWN);
  CHECK(torque_stop(inherited_ctx) == 0);
  return 0;
}

static void in_a_forked_child(void **state) {
  struct fixture *f = *state;
  inherited = watch(f, child_start(waits, NULL), 0);
  inherited_ctx = f->ctx;
  assert_int_equal(child_run(its_own_children_only, NULL), 0);
  assert_told(f, inherited, TORQUE_CHILD_KILLED, SIGKILL);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      ON_EVERY(the_status_of_an_exit),
      ON_EVERY(the_signal_that_killed_it),
      ON_EVERY(what_it_has_used),
      ON_EVERY(one_that_ended_before),
      ON_EVERY(it_may_be_left_to_the_caller),
      ON_EVERY(its_callback_may_wait_for_it),
      ON_EVERY(one_that_somebody_else_waited_for),
      ON_EVERY(one_that_nobody_need_wait_for),
      ON_EVERY(one_that_is_nobodys_child),
      ON_EVERY(no_other_child_is_touched),
      ON_EVERY(put_off_it_is_told_the_same_again),
      ON_EVERY(removed_from_its_own_callback),
      ON_EVERY(removed_before_it_ends),
      ON_EVERY(stopped_before_it_ends),
      ON_THREADED(removed_while_it_is_told),
      ON_EVERY(removed_as_it_ends),
      ON_EVERY(hundreds_at_once),
      ON_EVERY(wrong_arguments),
      ON_EVERY(what_is_not_for_this_kind),
      ON_EVERY(without_descriptors_or_kernel),
      ON(driven, in_a_forked_child),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
