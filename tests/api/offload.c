/* SPDX-License-Identifier: BSD-3-Clause */
/* Offloaded work: done on helper threads, told as an event, once, whatever becomes of it. */
#define _GNU_SOURCE
#include "support/child.h"
#include "support/context.h"

#include <errno.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <string.h>
#include <unistd.h>

#include "support/cmocka.h"

#define CANCELLED (TORQUE_ERR_SYSCALL + ECANCELED)

struct job {
  torque_source handle;
  _Atomic uint32_t worked, told, finals;
  _Atomic torque_err err;
  _Atomic int64_t result;
  _Atomic int in_work; /* it has begun */
  _Atomic int go;      /* it may end */
  _Atomic int wrong;   /* run where it should not have been */
};

static struct fixture *fixture;

static int64_t work(void *arg) {
  struct job *j = arg;
  if (torque_getcurctx() || torque_current_worker() != -1) atomic_fetch_add(&j->wrong, 1);
  return 1000 + (int64_t)atomic_fetch_add(&j->worked, 1);
}

static void done(torque_source job, torque_err err, int64_t result, void *arg) {
  struct job *j = arg;
  if (torque_getcurctx() != fixture->ctx || job != j->handle) atomic_fetch_add(&j->wrong, 1);
  atomic_store(&j->err, err), atomic_store(&j->result, result);
  atomic_fetch_add(&j->told, 1);
}

static void final(torque_source job, int32_t reason, void *arg) {
  struct job *j = arg;
  if (job != j->handle || reason == TORQUE_END_CLOSED) atomic_fetch_add(&j->wrong, 1);
  atomic_fetch_add(&j->finals, 1);
}

/* Work that stays until it is let go. */
static int64_t stay(void *arg) {
  struct job *j = arg;
  atomic_store(&j->in_work, 1);
  STAY_UNTIL(atomic_load(&j->go));
  return work(arg);
}

static struct job *jobs_for(struct fixture *f, uint32_t n) {
  fixture = f;
  return fixture_take(f, n * sizeof(struct job));
}

static void assert_told(const struct job *j, torque_err err, int64_t result) {
  assert_int_equal(j->told, 1);
  assert_int_equal(j->wrong, 0);
  assert_int_equal(j->err, err);
  assert_int_equal(j->result, result);
}

/* The context of the fixture, with its own limits. */
static void with_helpers(struct fixture *f, uint32_t threads, uint64_t idle_ns) {
  fixture_stop(f);
  struct torque_config *c = shape_config(f->shape);
  assert_int_equal(torque_config_set_offload_threads(c, threads), 0);
  assert_int_equal(torque_config_set_offload_idle(c, idle_ns), 0);
  assert_int_equal(torque_ctx_new(c, &f->ctx), 0);
  torque_config_free(c);
}

static void work_is_done_elsewhere_and_told_here(void **state) {
  struct fixture *f = *state;
  enum { N = FEWER(2000) };
  struct job *j = jobs_for(f, N);
  for (uint32_t i = 0; i < N; i++) assert_int_equal(torque_offload(f->ctx, work, done, &j[i], &j[i].handle), 0);
  for (uint32_t i = 0; i < N; i++) AWAIT(f, j[i].told);
  fixture_settle(f);
  for (uint32_t i = 0; i < N; i++) {
    assert_told(&j[i], 0, 1000);
    assert_int_equal(torque_source_alive(j[i].handle), 0);
    assert_int_equal(torque_offload_cancel(j[i].handle), TORQUE_ERR_STALE);
  }
  assert_int_equal(stat_total(f->ctx, "jobs"), N);
  for (uint32_t d = 0; d < torque_ctx_domains(f->ctx); d++) {
    uint64_t left = 77;
    assert_int_equal(torque_stats_gauge(f->ctx, d, TORQUE_GAUGE_JOBS, &left), 0);
    assert_int_equal(left, 0);
  }
}

static void nobody_need_keep_the_handle(void **state) {
  struct fixture *f = *state;
  struct job *j = jobs_for(f, 1);
  assert_int_equal(torque_offload(f->ctx, work, done, j, NULL), 0);
  AWAIT(f, j->told);
  assert_int_equal(j->err, 0);
}

static void no_thread_before_the_first_job(void **state) {
  struct fixture *f = *state;
  struct job *j = jobs_for(f, 1);
  if (!f->shape->driven) assert_int_equal(torque_start(f->ctx), 0);
  const unsigned before = threads_alive();
  fixture_settle(f);
  assert_int_equal(threads_alive(), before);
  assert_int_equal(torque_offload(f->ctx, work, done, j, &j->handle), 0);
  AWAIT(f, j->told);
  assert_int_equal(threads_alive(), before + 1);
}

static void helpers_are_not_more_than_allowed(void **state) {
  struct fixture *f = *state;
  enum { MOST = 3, N = 20 };
  with_helpers(f, MOST, UINT64_MAX);
  struct job *j = jobs_for(f, N);
  if (!f->shape->driven) assert_int_equal(torque_start(f->ctx), 0);
  const unsigned before = threads_alive();
  for (int i = 0; i < N; i++) assert_int_equal(torque_offload(f->ctx, stay, done, &j[i], &j[i].handle), 0);
  for (int i = 0; i < MOST; i++) AWAIT(f, j[i].in_work == 1); /* in order */
  fixture_settle(f);
  for (int i = MOST; i < N; i++) assert_int_equal(j[i].in_work, 0);
  assert_int_equal(threads_alive(), before + MOST);
  uint64_t waiting = 0;
  for (uint32_t d = 0; d < torque_ctx_domains(f->ctx); d++) {
    uint64_t n;
    assert_int_equal(torque_stats_gauge(f->ctx, d, TORQUE_GAUGE_JOBS, &n), 0);
    waiting += n;
  }
  assert_int_equal(waiting, N);
  for (int i = 0; i < N; i++) atomic_store(&j[i].go, 1);
  for (int i = 0; i < N; i++) AWAIT(f, j[i].told);
  assert_int_equal(threads_alive(), before + MOST);
}

static void idle_helpers_go_and_come_again(void **state) {
  struct fixture *f = *state;
  with_helpers(f, 8, 1000000);
  enum { N = 8 };
  if (!f->shape->driven) assert_int_equal(torque_start(f->ctx), 0);
  const unsigned before = threads_alive();
  for (int round = 0; round < 5; round++) {
    struct job *j = jobs_for(f, N);
    for (int i = 0; i < N; i++) assert_int_equal(torque_offload(f->ctx, stay, done, &j[i], &j[i].handle), 0);
    for (int i = 0; i < N; i++) AWAIT(f, j[i].in_work == 1);
    assert_int_equal(threads_alive(), before + N);
    for (int i = 0; i < N; i++) atomic_store(&j[i].go, 1);
    for (int i = 0; i < N; i++) AWAIT(f, j[i].told);
    AWAIT(f, threads_alive() == before);
  }
  /* With no patience at all they go after every job. */
  with_helpers(f, 2, 0);
  struct job *j = jobs_for(f, 200);
  for (int i = 0; i < 200; i++) assert_int_equal(torque_offload(f->ctx, work, done, &j[i], &j[i].handle), 0);
  for (int i = 0; i < 200; i++) AWAIT(f, j[i].told);
}

/* ---- Where ---- */

struct surroundings {
  struct job job;
  sigset_t mask;
  cpu_set_t cpus;
  char name[16];
};

static int64_t look_around(void *arg) {
  struct surroundings *s = arg;
  pthread_sigmask(SIG_SETMASK, NULL, &s->mask);
  sched_getaffinity(0, sizeof s->cpus, &s->cpus);
  pthread_getname_np(pthread_self(), s->name, sizeof s->name);
  return 0;
}

static void offload_around(void *arg) {
  struct surroundings *s = arg;
  if (torque_offload(fixture->ctx, look_around, done, s, &s->job.handle)) atomic_store(&s->job.told, 99);
}

static void helpers_are_named_unpinned_and_take_no_signals(void **state) {
  struct fixture *f = *state;
  fixture = f;
  struct surroundings *s = fixture_take(f, sizeof *s);
  cpu_set_t process;
  assert_int_equal(sched_getaffinity(getpid(), sizeof process, &process), 0);
  assert_int_equal(torque_post(f->ctx, offload_around, s), 0); /* a pinned worker makes the helper */
  AWAIT(f, s->job.told);
  assert_int_equal(s->job.told, 1);
  assert_string_equal(s->name, "torque+0");
  assert_true(CPU_EQUAL(&s->cpus, &process));
  for (int signo = 1; signo < SIGRTMAX; signo++) {
    const int fault = signo == SIGSEGV || signo == SIGBUS || signo == SIGFPE || signo == SIGILL || signo == SIGTRAP ||
                      signo == SIGSYS || signo == SIGABRT;
    if (signo == SIGKILL || signo == SIGSTOP || (signo >= 32 && signo < SIGRTMIN)) continue;
    assert_int_equal(sigismember(&s->mask, signo), !fault);
  }
}

struct chain {
  struct job job;
  _Atomic uint32_t far;
  uint32_t domain;
};

static void next_of_chain(torque_source job, torque_err err, int64_t result, void *arg) {
  struct chain *c = arg;
  uint32_t domain;
  (void)result;
  if (err || torque_source_domain(job, &domain)) domain = UINT32_MAX;
  if (c->domain == UINT32_MAX) c->domain = domain;
  if (domain != c->domain) atomic_fetch_add(&c->far, 1);
  const int more = atomic_load(&c->job.told) < 49;
  atomic_fetch_add(&c->job.told, 1);
  if (more && torque_offload(fixture->ctx, work, next_of_chain, c, NULL)) atomic_fetch_add(&c->far, 1);
}

static void a_callback_offloads_to_its_own_domain(void **state) {
  struct fixture *f = *state;
  fixture = f;
  struct chain *c = fixture_take(f, sizeof *c);
  c->domain = UINT32_MAX;
  assert_int_equal(torque_offload(f->ctx, work, next_of_chain, c, NULL), 0);
  AWAIT(f, c->job.told == 50);
  assert_int_equal(c->far, 0);
  assert_int_equal(c->job.worked, 50);
}

/* ---- Strands ---- */

static _Atomic uint32_t inside, overlapping, strand_calls;

static void enter_and_leave(void) {
  if (atomic_fetch_add(&inside, 1)) atomic_fetch_add(&overlapping, 1);
  sched_yield();
  atomic_fetch_sub(&inside, 1);
  atomic_fetch_add(&strand_calls, 1);
}

static void done_in_strand(torque_source job, torque_err err, int64_t result, void *arg) {
  enter_and_leave();
  done(job, err, result, arg);
}

static int32_t event_in_strand(torque_source source, int32_t fd, uint32_t events, void *arg) {
  (void)source, (void)fd, (void)events, (void)arg;
  enter_and_leave();
  return TORQUE_DONE;
}

static void told_within_the_strand_of_a_source(void **state) {
  struct fixture *f = *state;
  enum { N = FEWER(1000) };
  struct job *j = jobs_for(f, N);
  struct torque_strand *strand;
  torque_source event;
  atomic_store(&inside, 0), atomic_store(&overlapping, 0), atomic_store(&strand_calls, 0);
  assert_int_equal(torque_strand_new(f->ctx, &strand), 0);
  assert_int_equal(torque_event_new(f->ctx, 0, event_in_strand, NULL, &event), 0);
  assert_int_equal(torque_source_set_strand(event, strand), 0);
  torque_strand_free(strand);
  assert_int_equal(torque_source_start(event), 0);
  for (int i = 0; i < N; i++) {
    assert_int_equal(torque_offload_source(event, work, done_in_strand, &j[i], &j[i].handle), 0);
    assert_int_equal(torque_trigger(event, TORQUE_READ), 0);
  }
  for (int i = 0; i < N; i++) AWAIT(f, j[i].told);
  assert_int_equal(overlapping, 0);
  assert_true(strand_calls > N);
  assert_int_equal(torque_source_remove_wait(event), 0);
  assert_int_equal(torque_offload_source(event, work, done, j, NULL), TORQUE_ERR_STALE);
}

/* ---- Cancelling ---- */

static void what_has_not_begun_never_begins(void **state) {
  struct fixture *f = *state;
  enum { N = 20 };
  with_helpers(f, 1, UINT64_MAX);
  struct job *j = jobs_for(f, N);
  for (int i = 0; i < N; i++) assert_int_equal(torque_offload(f->ctx, stay, done, &j[i], &j[i].handle), 0);
  AWAIT(f, j[0].in_work == 1);
  for (int i = 1; i < N; i += 2) {
    assert_int_equal(torque_offload_cancel(j[i].handle), 0);
    AWAIT(f, j[i].told);
  }
  for (int i = 1; i < N; i += 2) assert_told(&j[i], CANCELLED, 0);
  atomic_store(&j[0].go, 1);
  for (int i = 2; i < N; i += 2) {
    AWAIT(f, j[i].in_work == 1);
    assert_int_equal(torque_offload_cancel(j[i].handle), TORQUE_ERR_STATE);
    atomic_store(&j[i].go, 1);
  }
  for (int i = 0; i < N; i += 2) {
    AWAIT(f, j[i].told);
    assert_told(&j[i], 0, 1000);
  }
  for (int i = 1; i < N; i += 2) assert_int_equal(j[i].worked, 0);
}

struct canceller {
  struct job *jobs;
  uint32_t n;
  _Atomic uint32_t cancelled, too_late, other;
};

static void *cancel_all(void *arg) {
  struct canceller *c = arg;
  for (uint32_t i = 0; i < c->n; i++) {
    while (!((_Atomic torque_source *)&c->jobs[i].handle)[0] && !atomic_load(&fixture->quit)) sched_yield();
    switch (torque_offload_cancel(((_Atomic torque_source *)&c->jobs[i].handle)[0])) {
      case TORQUE_ERR_NONE: atomic_fetch_add(&c->cancelled, 1); break;
      case TORQUE_ERR_STATE:
      case TORQUE_ERR_STALE: atomic_fetch_add(&c->too_late, 1); break;
      default: atomic_fetch_add(&c->other, 1);
    }
  }
  return NULL;
}

static void done_by_any_handle(torque_source job, torque_err err, int64_t result, void *arg) {
  struct job *j = arg;
  (void)job;
  atomic_store(&j->err, err), atomic_store(&j->result, result);
  atomic_fetch_add(&j->told, 1);
}

static void cancelling_races_with_the_work(void **state) {
  struct fixture *f = *state;
  enum { N = FEWER(4000) };
  struct job *j = jobs_for(f, N);
  struct canceller *c = fixture_take(f, 2 * sizeof *c);
  for (int i = 0; i < 2; i++) {
    c[i].jobs = j, c[i].n = N;
    fixture_thread(f, cancel_all, &c[i]);
  }
  for (int i = 0; i < N; i++) {
    torque_source s = 0;
    assert_int_equal(torque_offload(f->ctx, work, done_by_any_handle, &j[i], &s), 0);
    atomic_store((_Atomic torque_source *)&j[i].handle, s);
  }
  uint32_t cancelled = 0;
  for (int i = 0; i < N; i++) AWAIT(f, j[i].told);
  fixture_join(f);
  fixture_settle(f);
  for (int i = 0; i < N; i++) {
    assert_int_equal(j[i].told, 1);
    const int never = j[i].err == CANCELLED;
    cancelled += (uint32_t)never;
    assert_int_equal(j[i].worked, never ? 0 : 1);
    assert_int_equal(j[i].result, never ? 0 : 1000);
  }
  assert_int_equal(c[0].cancelled + c[1].cancelled, cancelled);
  assert_int_equal(c[0].other + c[1].other, 0);
}

/* ---- Made, set up, then started; and removed ---- */

static void a_job_can_be_set_up_before_it_starts(void **state) {
  struct fixture *f = *state;
  struct job *j = jobs_for(f, 2);
  for (int i = 0; i < 2; i++) {
    assert_int_equal(torque_offload_new(f->ctx, stay, done, &j[i], &j[i].handle), 0);
    assert_int_equal(torque_source_set_finalizer(j[i].handle, final), 0);
    assert_int_equal(torque_offload_cancel(j[i].handle), TORQUE_ERR_STATE);
  }
  assert_int_equal(torque_source_remove_wait(j[1].handle), 0);
  assert_int_equal(j[1].finals, 1);
  assert_int_equal(torque_source_start(j[1].handle), TORQUE_ERR_STALE);

  assert_int_equal(torque_source_start(j[0].handle), 0);
  AWAIT(f, j[0].in_work == 1);
  assert_int_equal(torque_source_start(j[0].handle), TORQUE_ERR_STATE);
  assert_int_equal(torque_source_set_finalizer(j[0].handle, final), TORQUE_ERR_STATE);
  assert_int_equal(torque_source_remove(j[0].handle), TORQUE_ERR_STATE);
  assert_int_equal(torque_source_remove_wait(j[0].handle), TORQUE_ERR_STATE);
  assert_int_equal(torque_close(j[0].handle), TORQUE_ERR_KIND);
  assert_int_equal(torque_trigger(j[0].handle, TORQUE_READ), TORQUE_ERR_KIND);
  assert_int_equal(torque_source_alive(j[0].handle), 1);
  atomic_store(&j[0].go, 1);
  AWAIT(f, j[0].finals);
  assert_told(&j[0], 0, 1000);
  fixture_settle(f);
  assert_int_equal(j[0].finals, 1);
  assert_int_equal(j[1].told, 0);
}

static void calls_that_make_no_sense_are_refused(void **state) {
  struct fixture *f = *state;
  torque_source s = 55;
  assert_int_equal(torque_offload(NULL, work, done, NULL, &s), TORQUE_ERR_INVAL);
  assert_int_equal(torque_offload(f->ctx, NULL, done, NULL, &s), TORQUE_ERR_INVAL);
  assert_int_equal(torque_offload(f->ctx, work, NULL, NULL, &s), TORQUE_ERR_INVAL);
  assert_int_equal(torque_offload_new(f->ctx, work, done, NULL, NULL), TORQUE_ERR_INVAL);
  assert_int_equal(torque_offload_source(0, work, done, NULL, &s), TORQUE_ERR_STALE);
  assert_int_equal(torque_offload_cancel(0), TORQUE_ERR_STALE);
  assert_int_equal(s, 55);
  assert_int_equal(torque_event_add(f->ctx, 0, event_in_strand, NULL, &s), 0);
  assert_int_equal(torque_offload_cancel(s), TORQUE_ERR_KIND);
  assert_int_equal(torque_config_set_offload_threads(NULL, 1), TORQUE_ERR_INVAL);
  assert_int_equal(torque_config_set_offload_idle(NULL, 1), TORQUE_ERR_INVAL);
  struct torque_config *c;
  assert_int_equal(torque_config_new(&c), 0);
  assert_int_equal(torque_config_set_offload_threads(c, 4096), 0);
  assert_int_equal(torque_config_set_offload_threads(c, 4097), TORQUE_ERR_INVAL);
  torque_config_free(c);
}

/* ---- The callback once more ---- */

static void postpone_three_times(torque_source job, torque_err err, int64_t result, void *arg) {
  struct job *j = arg;
  if (atomic_fetch_add(&j->told, 1) < 3 && torque_postpone(job)) atomic_fetch_add(&j->wrong, 1);
  atomic_store(&j->err, err), atomic_store(&j->result, result);
}

static void the_callback_may_be_postponed(void **state) {
  struct fixture *f = *state;
  struct job *j = jobs_for(f, 1);
  assert_int_equal(torque_offload(f->ctx, work, postpone_three_times, j, &j->handle), 0);
  AWAIT(f, !torque_source_alive(j->handle));
  assert_int_equal(j->told, 4);
  assert_int_equal(j->result, 1000);
  assert_int_equal(j->wrong, 0);
  assert_int_equal(j->worked, 1);
}

/* ---- The end of the context ---- */

static _Atomic torque_err stop_answer, block_answer;

static int64_t stop_from_work(void *arg) {
  atomic_store(&stop_answer, torque_stop(fixture->ctx));
  atomic_store(&block_answer, torque_block(fixture->ctx));
  return work(arg);
}

static void work_cannot_stop_its_own_context(void **state) {
  struct fixture *f = *state;
  struct job *j = jobs_for(f, 1);
  assert_int_equal(torque_offload(f->ctx, stop_from_work, done, j, &j->handle), 0);
  AWAIT(f, j->told);
  assert_int_equal(stop_answer, TORQUE_ERR_DEADLOCK);
  assert_int_equal(block_answer, TORQUE_ERR_DEADLOCK);
}

static void work_of_nobody(torque_source job, torque_err err, int64_t result, void *arg) {
  (void)job, (void)err, (void)result, (void)arg;
}
static int64_t nothing(void *arg) { return arg != NULL; }

static int64_t see_the_stop(void *arg) {
  struct job *j = arg;
  atomic_store(&j->in_work, 1);
  STAY_UNTIL(torque_offload(fixture->ctx, nothing, work_of_nobody, NULL, NULL) == TORQUE_ERR_STOPPED);
  return work(arg);
}

static void stopping_waits_for_work_and_cancels_the_rest(void **state) {
  struct fixture *f = *state;
  enum { N = 10 };
  with_helpers(f, 2, UINT64_MAX);
  struct job *j = jobs_for(f, N);
  for (int i = 0; i < N; i++) {
    assert_int_equal(torque_offload_new(f->ctx, see_the_stop, done, &j[i], &j[i].handle), 0);
    assert_int_equal(torque_source_set_finalizer(j[i].handle, final), 0);
    if (i != N - 1) assert_int_equal(torque_source_start(j[i].handle), 0);
  }
  for (int i = 0; i < 2; i++) AWAIT(f, j[i].in_work == 1);
  fixture_stop(f);
  for (int i = 0; i < N; i++) {
    assert_int_equal(j[i].finals, 1);
    assert_int_equal(j[i].told, i != N - 1);
    if (i == N - 1) continue;
    const int begun = i < 2;
    assert_int_equal(j[i].err, begun ? 0 : CANCELLED);
    assert_int_equal(j[i].worked, begun);
    assert_int_equal(j[i].result, begun ? 1000 : 0);
  }
}

/* What was done and not told yet is told its result by the stop. */
static void a_result_is_not_lost_in_the_stop(void **state) {
  struct fixture *f = *state;
  for (int round = 0; round < FEWER(100); round++) {
    struct job *j = jobs_for(f, 20);
    for (int i = 0; i < 20; i++) assert_int_equal(torque_offload(f->ctx, work, done, &j[i], &j[i].handle), 0);
    if (round % 2) nap();
    fixture_stop(f);
    for (int i = 0; i < 20; i++) {
      assert_int_equal(j[i].told, 1);
      assert_int_equal(j[i].wrong, 0);
      assert_int_equal(j[i].err, j[i].worked ? 0 : CANCELLED);
    }
    struct torque_config *c = shape_config(f->shape);
    assert_int_equal(torque_ctx_new(c, &f->ctx), 0);
    torque_config_free(c);
  }
}

/* ---- Driven contexts ---- */

static void an_end_wakes_who_polls(void **state) {
  struct fixture *f = *state;
  struct job *j = jobs_for(f, 20);
  for (int i = 0; i < 20; i++) {
    assert_int_equal(torque_offload(f->ctx, work, done, &j[i], &j[i].handle), 0);
    struct pollfd p = {torque_poll_fd(f->ctx), POLLIN, 0};
    assert_int_equal(poll(&p, 1, 30000), 1);
    uint64_t n = 0;
    struct patience left = patience_start();
    while (!j[i].told && patience_left(&left)) assert_int_equal(torque_run_ready(f->ctx, &n), 0);
    assert_told(&j[i], 0, 1000);
  }
}

static int64_t wait_a_moment(void *arg) {
  nap();
  return work(arg);
}

static void an_end_wakes_who_sleeps(void **state) {
  struct fixture *f = *state;
  struct job *j = jobs_for(f, 20);
  for (int i = 0; i < 20; i++) {
    assert_int_equal(torque_offload(f->ctx, i % 2 ? work : wait_a_moment, done, &j[i], &j[i].handle), 0);
    uint64_t n = 0;
    while (!n) assert_int_equal(torque_run_once(f->ctx, UINT64_MAX, &n), 0);
    assert_told(&j[i], 0, 1000);
  }
}

/* ---- Forks ---- */

static int in_child(void *arg) {
  struct job *j = arg;
  CHECK(torque_reinit(fixture->ctx) == 0);
  /* What the parent's helpers have is theirs. */
  CHECK_SOON((torque_run_once(fixture->ctx, 1000000, NULL), j[0].told && j[1].told));
  CHECK(j[0].err == CANCELLED && j[1].err == CANCELLED);
#ifndef __SANITIZE_THREAD__ /* it takes a new thread of a child for one of the parent's */
  CHECK(torque_offload(fixture->ctx, work, done, &j[2], &j[2].handle) == 0);
  CHECK_SOON((torque_run_once(fixture->ctx, 1000000, NULL), j[2].told));
  CHECK(j[2].err == 0 && j[2].result == 1000);
#endif
  CHECK(torque_stop(fixture->ctx) == 0);
  CHECK(j[0].told == 1 && j[1].told == 1 && j[0].worked == 0 && j[1].worked == 0);
  return 0;
}

static int give_up_in_child(void *arg) {
  struct job *j = arg;
  CHECK(torque_offload(fixture->ctx, work, done, &j[2], &j[2].handle) == TORQUE_ERR_FORKED);
  CHECK(torque_offload_cancel(j[1].handle) == TORQUE_ERR_FORKED);
  CHECK(torque_stop(fixture->ctx) == 0);
  CHECK(j[0].told == 0 && j[1].told == 0);
  return 0;
}

static void a_child_has_no_helpers(void **state) {
  struct fixture *f = *state;
  with_helpers(f, 1, UINT64_MAX);
  struct job *j = jobs_for(f, 3);
  for (int i = 0; i < 2; i++) assert_int_equal(torque_offload(f->ctx, stay, done, &j[i], &j[i].handle), 0);
  AWAIT(f, j[0].in_work == 1);
  if (f->shape->driven) assert_int_equal(child_run(in_child, j), 0);
  assert_int_equal(child_run(give_up_in_child, j), 0);
  for (int i = 0; i < 2; i++) atomic_store(&j[i].go, 1);
  for (int i = 0; i < 2; i++) {
    AWAIT(f, j[i].told);
    assert_told(&j[i], 0, 1000);
  }
}

static int64_t fork_in_work(void *arg) {
  (void)arg;
  const pid_t child = fork();
  if (child != 0) return child;
  sigset_t mask;
  pthread_sigmask(SIG_SETMASK, NULL, &mask);
  _exit(sigismember(&mask, SIGTERM) || sigismember(&mask, SIGUSR1) ? 1 : 0);
}

static void a_child_of_work_has_its_signals(void **state) {
  struct fixture *f = *state;
  struct job *j = jobs_for(f, 1);
  assert_int_equal(torque_offload(f->ctx, fork_in_work, done, j, &j->handle), 0);
  AWAIT(f, j->told);
  assert_true(j->result > 0);
  assert_int_equal(child_end((pid_t)j->result), 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      ON_EVERY(work_is_done_elsewhere_and_told_here),
      ON(shared, work_is_done_elsewhere_and_told_here),
      ON_EVERY(nobody_need_keep_the_handle),
      ON_EVERY(no_thread_before_the_first_job),
      ON(single, helpers_are_not_more_than_allowed),
      ON(driven, helpers_are_not_more_than_allowed),
      ON(synthetic, idle_helpers_go_and_come_again),
      ON(driven, idle_helpers_go_and_come_again),
      ON_EVERY(helpers_are_named_unpinned_and_take_no_signals),
      ON_EVERY(a_callback_offloads_to_its_own_domain),
      ON_EVERY(told_within_the_strand_of_a_source),
      ON_EVERY(what_has_not_begun_never_begins),
      ON_EVERY(cancelling_races_with_the_work),
      ON_EVERY(a_job_can_be_set_up_before_it_starts),
      ON_EVERY(calls_that_make_no_sense_are_refused),
      ON_EVERY(the_callback_may_be_postponed),
      ON_EVERY(work_cannot_stop_its_own_context),
      ON_EVERY(stopping_waits_for_work_and_cancels_the_rest),
      ON_EVERY(a_result_is_not_lost_in_the_stop),
      ON(driven, an_end_wakes_who_polls),
      ON(driven, an_end_wakes_who_sleeps),
      ON(single, a_child_has_no_helpers),
      ON(driven, a_child_has_no_helpers),
      ON_EVERY(a_child_of_work_has_its_signals),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
