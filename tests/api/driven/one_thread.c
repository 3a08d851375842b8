/* SPDX-License-Identifier: BSD-3-Clause */
/* One thread at a time runs a driven context; calls for the other kind of context are refused. */
#include "support/probe.h"

#include "support/cmocka.h"

struct second {
  struct fixture *f;
  struct probe *probe;
  _Atomic torque_err run, once, ready, stop;
  _Atomic int done;
};

static void *try_to_run(void *arg) {
  struct second *s = arg;
  STAY_UNTIL(atomic_load(&s->probe->inside) || atomic_load(&s->f->quit));
  atomic_store(&s->run, torque_run(s->f->ctx));
  atomic_store(&s->once, torque_run_once(s->f->ctx, 0, NULL));
  atomic_store(&s->ready, torque_run_ready(s->f->ctx, NULL));
  atomic_store(&s->stop, torque_stop(s->f->ctx));
  atomic_store(&s->probe->blocked, 0);
  atomic_store(&s->done, 1);
  return NULL;
}

static void a_second_thread_is_refused(void **state) {
  struct fixture *f = *state;
  struct second *s = fixture_take(f, sizeof *s);
  s->f = f;
  s->probe = probe_new(f);
  atomic_store(&s->probe->blocked, 1);
  probe_start_event(f, s->probe, 0);
  assert_int_equal(torque_trigger(s->probe->source, 0), 0);
  fixture_thread(f, try_to_run, s);
  assert_int_equal(torque_run_once(f->ctx, UINT64_MAX, NULL), 0);
  AWAIT(f, s->done);
  assert_int_equal(s->run, TORQUE_ERR_BUSY);
  assert_int_equal(s->once, TORQUE_ERR_BUSY);
  assert_int_equal(s->ready, TORQUE_ERR_BUSY);
  assert_int_equal(s->stop, TORQUE_ERR_BUSY);
  assert_int_equal(s->probe->calls, 1);
}

/* Threads may take turns, and what one wrote the next one sees. */
struct turns {
  struct fixture *f;
  torque_source source;
  uint64_t count; /* the callback only */
  _Atomic uint64_t seen;
  _Atomic uint32_t other;
};

static int32_t count_up(torque_source source, int32_t fd, uint32_t events, void *arg) {
  (void)source;
  (void)fd;
  (void)events;
  struct turns *t = arg;
  atomic_store(&t->seen, ++t->count);
  return TORQUE_DONE;
}

static void *take_turns(void *arg) {
  struct turns *t = arg;
  for (int i = 0; i < 500 && !atomic_load(&t->f->quit); i++) {
    (void)torque_trigger(t->source, 0);
    const torque_err err = torque_run_once(t->f->ctx, 0, NULL);
    if (err != 0 && err != TORQUE_ERR_BUSY) atomic_fetch_add(&t->other, 1);
  }
  return NULL;
}

static void threads_may_take_turns(void **state) {
  struct fixture *f = *state;
  struct turns *t = fixture_take(f, sizeof *t);
  t->f = f;
  assert_int_equal(torque_event_add(f->ctx, 0, count_up, t, &t->source), 0);
  for (int i = 0; i < 4; i++) fixture_thread(f, take_turns, t);
  fixture_join(f);
  fixture_settle(f);
  assert_int_equal(t->other, 0);
  assert_true(t->seen > 0 && t->seen == t->count);
}

static void what_a_threaded_context_cannot(void **state) {
  struct fixture *f = *state;
  assert_int_equal(torque_run(f->ctx), TORQUE_ERR_KIND);
  assert_int_equal(torque_run_once(f->ctx, 0, NULL), TORQUE_ERR_KIND);
  assert_int_equal(torque_run_ready(f->ctx, NULL), TORQUE_ERR_KIND);
  assert_int_equal(torque_reinit(f->ctx), TORQUE_ERR_KIND);
  assert_int_equal(torque_poll_fd(f->ctx), -1);
}

static void what_a_driven_context_cannot(void **state) {
  struct fixture *f = *state;
  assert_int_equal(torque_start(f->ctx), TORQUE_ERR_KIND);
  assert_int_equal(torque_block(f->ctx), TORQUE_ERR_KIND);
  assert_true(torque_poll_fd(f->ctx) >= 0);
  assert_int_equal(torque_ctx_workers(f->ctx), 1);
  assert_int_equal(torque_ctx_domains(f->ctx), 1);
}

static void note_worker(struct probe *p, torque_source source, int fd) {
  (void)source;
  (void)fd;
  atomic_store(&p->result, torque_current_worker());
  atomic_store(&p->noted, (uint64_t)(uintptr_t)torque_getcurctx());
}

static void callbacks_know_where_they_are(void **state) {
  struct fixture *f = *state;
  struct probe *p = probe_new(f);
  p->then = note_worker;
  atomic_store(&p->result, -2);
  probe_start_event(f, p, 0);
  assert_int_equal(torque_current_worker(), -1);
  assert_null(torque_getcurctx());
  assert_int_equal(torque_trigger(p->source, 0), 0);
  AWAIT(f, p->noted);
  assert_in_range(p->result, 0, torque_ctx_workers(f->ctx) - 1);
  assert_true(p->noted == (uint64_t)(uintptr_t)f->ctx);
  assert_int_equal(torque_current_worker(), -1);
  assert_null(torque_getcurctx());
}

/* No thread of the library's: everything happens on the thread that runs it. */
static void note_thread(struct probe *p, torque_source source, int fd) {
  (void)source;
  (void)fd;
  atomic_store(&p->noted, pthread_equal(*(pthread_t *)p->aux, pthread_self()) ? 1 : 2);
}

static void it_has_no_thread_of_its_own(void **state) {
  struct fixture *f = *state;
  pthread_t *self = fixture_take(f, sizeof *self);
  *self = pthread_self();
  int fd[2];
  fixture_pair(f, fd);
  struct probe *p = probe_new(f);
  p->then = note_thread;
  p->aux = self;
  probe_start_fd(f, p, fd[0], TORQUE_READ, 0);
  say(fd[1], 1);
  assert_int_equal(threads_alive(), f->threads_before);
  assert_int_equal(p->calls, 0);
  AWAIT(f, p->calls);
  assert_int_equal(p->noted, 1);
  assert_int_equal(threads_alive(), f->threads_before);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      ON(driven, a_second_thread_is_refused),
      ON(driven, threads_may_take_turns),
      ON_THREADED(what_a_threaded_context_cannot),
      ON(driven, what_a_driven_context_cannot),
      ON_EVERY(callbacks_know_where_they_are),
      ON(driven, it_has_no_thread_of_its_own),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
