/* SPDX-License-Identifier: BSD-3-Clause */
/* Watches and fork(): after torque_reinit() the child is told as its parent is, and nothing that it does reaches there. */
#include "support/child.h"
#include "support/probe.h"
#include "support/watched.h"

#include <errno.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/cmocka.h"

struct scene {
  struct watched *w;
  int level[2], edge[2], lingering[2];
};

static struct scene *begin(struct fixture *f) {
  struct scene *s = fixture_take(f, sizeof *s);
  s->w = watched_new(f);
  fixture_pair(f, s->level);
  fixture_pair(f, s->edge);
  fixture_pair(f, s->lingering);
  wish(s->w, s->level[0], TORQUE_READ, 0);
  wish(s->w, s->edge[0], TORQUE_READ, TORQUE_WATCH_EDGE);
  wish(s->w, s->lingering[0], TORQUE_READ, 0);
  (void)pass(s->w);
  wish(s->w, s->lingering[0], 0, 0);
  (void)pass(s->w);
  return s;
}

static uint32_t told_in_child(struct scene *s, int fd) {
  const uint32_t before = s->w->fd[fd].calls;
  CHECK(torque_run_once(s->w->f->ctx, 0, NULL) == 0);
  CHECK(s->w->errors + s->w->strange == 0);
  return s->w->fd[fd].calls - before;
}

static int be_told(void *arg) {
  struct scene *s = arg;
  struct torque_ctx *ctx = s->w->f->ctx;
  CHECK(torque_run_once(ctx, 0, NULL) == TORQUE_ERR_FORKED);
  CHECK(torque_watch(ctx, s->lingering[0], TORQUE_WRITE, 0) == 0); /* wishes may come before it */
  CHECK(torque_reinit(ctx) == 0);
  CHECK(told_in_child(s, s->lingering[0]) == 1);
  CHECK(torque_watch(ctx, s->lingering[0], 0, 0) == 0);
  CHECK(told_in_child(s, s->edge[0]) == 0);
  CHECK(s->w->fd[s->edge[0]].calls == 2); /* what is there is an edge of the new queue */
  CHECK(told_in_child(s, s->level[0]) == 1);
  CHECK(torque_wake(ctx) == 0);
  CHECK(torque_run_once(ctx, 30000000000u, NULL) == 0);
  CHECK(torque_watch(ctx, s->level[0], 0, 0) == 0); /* not the parent's */
  CHECK(told_in_child(s, s->level[0]) == 0);
  CHECK(torque_watch(ctx, s->edge[0], TORQUE_WRITE, 0) == 0);
  CHECK(told_in_child(s, s->edge[0]) == 1);
  for (int i = 0; i < 2; i++) CHECK(close(s->level[i]) == 0);
  CHECK(torque_stop(ctx) == 0);
  return 0;
}

static void a_child_is_told_after_reinit_and_the_parent_goes_on(void **state) {
  struct scene *s = begin(*state);
  say(s->level[1], 1);
  say(s->edge[1], 1);
  assert_int_equal(pass(s->w), 2);
  uint64_t controls = stat_total(s->w->f->ctx, "controls");
  for (int i = 0; i < 3; i++) {
    assert_int_equal(child_run(be_told, s), 0);
    assert_int_equal(pass(s->w), 1);
    say(s->level[1], 1);
    assert_int_equal(pass(s->w), 1);
  }
  assert_int_equal(controls_since(s->w, &controls), 0);
  say(s->edge[1], 1);
  assert_int_equal(pass(s->w), 2);
  say(s->lingering[1], 1);
  assert_int_equal(pass(s->w), 1);
  assert_int_equal(controls_since(s->w, &controls), 1);
}

static int only_stop(void *arg) {
  struct scene *s = arg;
  CHECK(torque_stop(s->w->f->ctx) == 0);
  return 0;
}

static void a_child_that_stops_its_copy_harms_nothing(void **state) {
  struct scene *s = begin(*state);
  say(s->level[1], 1);
  for (int i = 0; i < 5; i++) {
    assert_int_equal(child_run(only_stop, s), 0);
    assert_int_equal(pass(s->w), 1);
  }
}

/* ---- Forked in the middle of a run ---- */

static void run_in_child(struct probe *p, torque_source source, int fd) {
  (void)source, (void)fd;
  struct scene *s = p->aux;
  const pid_t child = fork();
  if (child == 0) {
    alarm(60);
    CHECK(torque_reinit(s->w->f->ctx) == 0);
    CHECK(told_in_child(s, s->level[0]) == 1); /* nested, as in the parent */
    CHECK(torque_stop(s->w->f->ctx) == TORQUE_ERR_DEADLOCK);
    _exit(0);
  }
  int status = -1;
  while (child > 0 && waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  p->noted = (uint64_t)status;
}

static void forked_in_a_callback(void **state) {
  struct scene *s = begin(*state);
  struct probe *p = probe_new(*state);
  p->then = run_in_child;
  p->aux = s;
  p->noted = 77;
  probe_start_event(*state, p, 0);
  say(s->level[1], 1);
  assert_int_equal(torque_trigger(p->source, 0), 0);
  (void)pass(s->w);
  assert_int_equal(p->noted, 0);
  assert_int_equal(pass(s->w), 1);
}

static void on_post(void *arg) { ++*(uint32_t *)arg; }

/* The thread that ran the context in the parent is not there in the child: anybody may run it. */
static int run_what_another_ran(void *arg) {
  struct scene *s = arg;
  struct torque_ctx *ctx = s->w->f->ctx;
  CHECK(torque_reinit(ctx) == 0);
  say(s->level[1], 1);
  CHECK(told_in_child(s, s->level[0]) == 1);
  drain(s->level[0], NULL);
  uint32_t posts = 0;
  CHECK(torque_post(ctx, on_post, &posts) == 0);
  CHECK(torque_run_once(ctx, 30000000000u, NULL) == 0 && posts == 1);
  CHECK(torque_stop(ctx) == 0); /* nobody is in it */
  return 0;
}

struct other {
  struct scene *s;
  _Atomic int waiting;
  _Atomic torque_err err;
};

static void waiting(void *arg) { atomic_store(&((struct other *)arg)->waiting, 1); }

static void *run_it(void *arg) {
  struct other *o = arg;
  atomic_store(&o->err, torque_run(o->s->w->f->ctx));
  return NULL;
}

static void forked_while_another_thread_runs_it(void **state) {
  struct scene *s = begin(*state);
  struct other *o = fixture_take(*state, sizeof *o);
  o->s = s;
  assert_int_equal(torque_watch_set_hooks(s->w->f->ctx, waiting, NULL, o), 0);
  fixture_thread(*state, run_it, o);
  STAY_UNTIL(atomic_load(&o->waiting));
  nap();
  const int status = child_run(run_what_another_ran, s);
  assert_int_equal(torque_break(s->w->f->ctx), 0);
  fixture_join(*state);
  assert_int_equal(status, 0);
  assert_int_equal(o->err, 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      ON(driven, a_child_is_told_after_reinit_and_the_parent_goes_on),
      ON(driven, a_child_that_stops_its_copy_harms_nothing),
      ON(driven, forked_in_a_callback),
      ON(driven, forked_while_another_thread_runs_it),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
