/* SPDX-License-Identifier: BSD-3-Clause */
/* Watches: what is refused at once, and what the system refuses later. A wish that could not be kept is told so once and
 * dropped; the others never notice. */
#include "support/child.h"
#include "support/faults_calls.h"
#include "support/probe.h"
#include "support/watched.h"

#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

#include "support/cmocka.h"

static void ignore(int32_t fd, uint32_t events, int32_t error, void *arg) { (void)fd, (void)events, (void)error, (void)arg; }

/* ---- Refused at once ---- */

static void nothing_works_before_init(void **state) {
  struct fixture *f = *state;
  assert_int_equal(torque_watch(f->ctx, 0, TORQUE_READ, 0), TORQUE_ERR_STATE);
  assert_int_equal(torque_watch_set_hooks(f->ctx, NULL, NULL, NULL), TORQUE_ERR_STATE);
  assert_int_equal(torque_watch_set_woken(f->ctx, NULL, NULL), TORQUE_ERR_STATE);
}

static void init_refuses_what_makes_no_sense(void **state) {
  struct fixture *f = *state;
  assert_int_equal(torque_watch_init(NULL, ignore, NULL), TORQUE_ERR_INVAL);
  assert_int_equal(torque_watch_init(f->ctx, NULL, NULL), TORQUE_ERR_INVAL);
  assert_int_equal(torque_watch_init(f->ctx, ignore, NULL), 0);
  assert_int_equal(torque_watch_init(f->ctx, ignore, NULL), TORQUE_ERR_STATE);
  assert_int_equal(torque_watch_set_hooks(NULL, NULL, NULL, NULL), TORQUE_ERR_INVAL);
  assert_int_equal(torque_watch_set_woken(NULL, NULL, NULL), TORQUE_ERR_INVAL);
  assert_int_equal(torque_watch_set_hooks(f->ctx, NULL, NULL, NULL), 0);
  assert_int_equal(torque_watch_set_woken(f->ctx, NULL, NULL), 0);
}

static void a_threaded_context_has_no_watches(void **state) {
  struct fixture *f = *state;
  assert_int_equal(torque_watch_init(f->ctx, ignore, NULL), TORQUE_ERR_KIND);
  assert_int_equal(torque_watch(f->ctx, 0, TORQUE_READ, 0), TORQUE_ERR_STATE);
}

static void a_stopping_context_gets_no_watches(void **state) {
  struct fixture *f = *state;
  assert_int_equal(torque_stop_async(f->ctx), 0);
  assert_int_equal(torque_watch_init(f->ctx, ignore, NULL), TORQUE_ERR_STOPPED);
}

struct inside {
  struct torque_ctx *ctx;
  torque_err err;
};

static void init_inside(void *arg) {
  struct inside *i = arg;
  i->err = torque_watch_init(i->ctx, ignore, NULL);
}

static void a_context_that_is_being_run_gets_no_watches(void **state) {
  struct fixture *f = *state;
  struct inside *i = fixture_take(f, sizeof *i);
  i->ctx = f->ctx;
  assert_int_equal(torque_post(f->ctx, init_inside, i), 0);
  assert_int_equal(torque_run_ready(f->ctx, NULL), 0);
  assert_int_equal(i->err, TORQUE_ERR_STATE);
  assert_int_equal(torque_watch_init(f->ctx, ignore, NULL), 0); /* afterwards it does */
}

static int init_in_child(void *arg) { return torque_watch_init(arg, ignore, NULL) == TORQUE_ERR_FORKED ? 0 : 1; }

static void a_parents_context_gets_no_watches(void **state) {
  struct fixture *f = *state;
  assert_int_equal(child_run(init_in_child, f->ctx), 0);
}

static void wishes_that_make_no_sense(void **state) {
  struct watched *w = watched_new(*state);
  struct torque_ctx *ctx = w->f->ctx;
  int fd[2];
  fixture_pair(*state, fd);
  assert_int_equal(torque_watch(NULL, fd[0], TORQUE_READ, 0), TORQUE_ERR_INVAL);
  assert_int_equal(torque_watch(ctx, -1, TORQUE_READ, 0), TORQUE_ERR_INVAL);
  assert_int_equal(torque_watch(ctx, INT32_MIN, TORQUE_READ, 0), TORQUE_ERR_INVAL);
  assert_int_equal(torque_watch(ctx, INT32_MAX, TORQUE_READ, 0), TORQUE_ERR_INVAL);
  assert_int_equal(torque_watch(ctx, 1 << 30, TORQUE_READ, 0), TORQUE_ERR_INVAL);
  const uint32_t good_events = TORQUE_READ | TORQUE_WRITE | TORQUE_PRIORITY | TORQUE_HANGUP;
  const uint32_t good_flags = TORQUE_WATCH_NEW | TORQUE_WATCH_EDGE | TORQUE_WATCH_NOW | TORQUE_WATCH_PEEK;
  for (uint32_t bit = 1; bit; bit <<= 1) {
    if (!(good_events & bit)) assert_int_equal(torque_watch(ctx, fd[0], bit | TORQUE_WRITE, 0), TORQUE_ERR_INVAL);
    if (!(good_flags & bit)) assert_int_equal(torque_watch(ctx, fd[0], TORQUE_WRITE, bit), TORQUE_ERR_INVAL);
  }
  assert_int_equal(pass(w), 0); /* none of them left a trace */
  wish(w, fd[0], good_events, good_flags);
  assert_int_equal(pass(w), 1);
}

/* ---- What the system refuses ---- */

static void a_number_that_is_not_open(void **state) {
  struct watched *w = watched_new(*state);
  int fd[2], other[2];
  fixture_pair(*state, fd);
  fixture_pair(*state, other);
  fixture_close(*state, fd[0]);
  wish(w, fd[0], TORQUE_READ, 0);
  wish(w, other[0], TORQUE_WRITE, 0);
  assert_int_equal(pass(w), 2); /* the error counts as told, and keeps nobody from being told */
  assert_int_equal(w->fd[fd[0]].error, EBADF);
  assert_int_equal(w->fd[other[0]].calls, 1);
  (void)pass(w);
  assert_int_equal(w->errors, 1); /* it was dropped */
  assert_int_equal(dup2(other[1], fd[0]), fd[0]);
  fixture_own(*state, fd[0]);
  assert_int_equal(pass(w), 1);
  wish(w, fd[0], TORQUE_WRITE, 0);
  assert_int_equal(pass(w), 2);
}

static void a_number_that_was_closed_meanwhile(void **state) {
  struct watched *w = watched_new(*state);
  int fd[2];
  fixture_pair(*state, fd);
  wish(w, fd[0], TORQUE_READ, 0);
  (void)pass(w);
  fixture_close(*state, fd[0]);
  wish(w, fd[0], TORQUE_READ | TORQUE_WRITE, 0);
  (void)pass(w);
  wish(w, fd[0], TORQUE_READ, TORQUE_WATCH_NEW);
  (void)pass(w);
  assert_int_equal(w->fd[fd[0]].errors, 2);
  assert_int_equal(w->fd[fd[0]].error, EBADF);
  assert_int_equal(w->calls, 0);
}

/* An error is told before the wait, which goes on; unless whoever is told wakes it. */
static void wake(struct watched *w, int32_t fd) {
  (void)fd;
  if (torque_wake(w->f->ctx)) w->strange++;
}

static void whoever_is_told_an_error_may_cut_the_wait_short(void **state) {
  struct watched *w = watched_new(*state);
  int fd[2];
  fixture_pair(*state, fd);
  fixture_close(*state, fd[0]);
  w->then = wake;
  wish(w, fd[0], TORQUE_READ, 0);
  assert_true(pass_woken(w));
  assert_int_equal(w->errors, 1);
}

static void wish_again(struct watched *w, int32_t fd) {
  if (torque_watch(w->f->ctx, fd, TORQUE_READ, 0)) w->strange++;
}

static void wishes_made_when_told_of_an_error_wait_for_the_next_pass(void **state) {
  struct watched *w = watched_new(*state);
  int fd[2];
  fixture_pair(*state, fd);
  fixture_close(*state, fd[0]);
  w->then = wish_again;
  wish(w, fd[0], TORQUE_READ, 0);
  for (uint32_t i = 1; i <= 5; i++) {
    assert_int_equal(pass(w), 1);
    assert_int_equal(w->errors, i);
  }
}

static void a_descriptor_that_has_a_source(void **state) {
  struct watched *w = watched_new(*state);
  struct probe *p;
  int fd[2];
  fixture_pair(*state, fd);
  p = probe_fd(*state, fd[0], TORQUE_READ, 0);
  for (uint32_t i = 1; i <= 4; i++) {
    wish(w, fd[0], TORQUE_WRITE, i % 2 ? TORQUE_WATCH_NEW : 0);
    (void)pass(w);
    assert_int_equal(w->fd[fd[0]].errors, i);
    assert_int_equal(w->fd[fd[0]].error, EEXIST);
    say(fd[1], 1);
    AWAIT(w->f, p->bytes == i); /* the source goes on */
  }
  assert_int_equal(w->calls, 0);
}

static void a_descriptor_that_a_source_took_over(void **state) {
  struct watched *w = watched_new(*state);
  int fd[2];
  fixture_pair(*state, fd);
  wish(w, fd[0], TORQUE_READ, 0);
  (void)pass(w);
  struct probe *p = probe_fd(*state, fd[0], TORQUE_READ, 0);
  wish(w, fd[0], TORQUE_READ, TORQUE_WATCH_NEW); /* the same wish, and the same file */
  (void)pass(w);
  assert_int_equal(w->fd[fd[0]].error, EEXIST);
  say(fd[1], 1);
  AWAIT(w->f, p->bytes == 1);
  assert_int_equal(w->calls, 0);
}

/* Once a watch, then a source, then a watch. The registration that the watch had left is taken over each time. */
static void watch_and_source_in_turn(void **state) {
  struct watched *w = watched_new(*state);
  int fd[2];
  fixture_pair(*state, fd);
  for (uint32_t i = 1; i <= 5; i++) {
    wish(w, fd[0], TORQUE_READ, TORQUE_WATCH_NEW);
    (void)pass(w);
    wish(w, fd[0], 0, 0);
    struct probe *p = probe_fd(*state, fd[0], TORQUE_READ, 0);
    say(fd[1], 1);
    AWAIT(w->f, p->bytes == 1);
    wish(w, fd[0], TORQUE_READ | TORQUE_WRITE, 0);
    (void)pass(w);
    assert_int_equal(w->errors, i);
    assert_int_equal(w->fd[fd[0]].error, EEXIST);
    say(fd[1], 1);
    AWAIT(w->f, p->bytes == 2);
    assert_int_equal(torque_source_remove(p->source), 0);
    say(fd[1], 1);
    wish(w, fd[0], TORQUE_READ, TORQUE_WATCH_NEW);
    assert_int_equal(pass(w), 1);
    drain(fd[0], NULL);
    assert_int_equal(p->bytes, 2);
  }
}

/* ---- Wishes that are answered at once ---- */

static torque_err wish_now(struct watched *w, int fd, uint32_t events, uint32_t flags) {
  return torque_watch(w->f->ctx, fd, events, flags | TORQUE_WATCH_NOW);
}

static void what_is_wrong_is_answered_at_once(void **state) {
  struct watched *w = watched_new(*state);
  int fd[2], owned[2], file = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
  fixture_own(*state, file);
  fixture_pair(*state, fd);
  fixture_pair(*state, owned);
  struct probe *p = probe_fd(*state, owned[0], TORQUE_READ, 0);
  fixture_close(*state, fd[0]);
  for (uint32_t flags = 0; flags <= TORQUE_WATCH_EDGE; flags++) {
    assert_int_equal(wish_now(w, fd[0], TORQUE_READ, flags), TORQUE_ERR_SYSCALL + EBADF);
    assert_int_equal(wish_now(w, file, TORQUE_READ, flags), TORQUE_ERR_SYSCALL + EPERM);
    assert_int_equal(wish_now(w, owned[0], TORQUE_READ, flags), TORQUE_ERR_SYSCALL + EEXIST);
    faults_arm(ENOSPC, 1);
    const torque_err err = wish_now(w, fd[1], TORQUE_READ, flags);
    assert_int_equal(faults_disarm(), 1);
    assert_int_equal(err, TORQUE_ERR_SYSCALL + ENOSPC);
  }
  for (int i = 0; i < 3; i++) assert_int_equal(pass(w), 0); /* none of them left a trace */
  say(owned[1], 1);
  AWAIT(w->f, p->bytes == 1);
  assert_int_equal(w->calls + w->errors, 0);
  assert_int_equal(wish_now(w, fd[1], TORQUE_READ, 0), 0); /* the peer is closed */
  assert_int_equal(pass(w), 1);
}

static void what_is_right_costs_one_call_at_once(void **state) {
  struct watched *w = watched_new(*state);
  int fd[2];
  fixture_pair(*state, fd);
  uint64_t controls = stat_total(w->f->ctx, "controls");
  assert_int_equal(wish_now(w, fd[0], TORQUE_READ, TORQUE_WATCH_NEW), 0);
  assert_int_equal(controls_since(w, &controls), 1);
  assert_int_equal(pass(w), 0);
  say(fd[1], 1);
  assert_int_equal(pass(w), 1);
  assert_int_equal(controls_since(w, &controls), 0);
  assert_int_equal(wish_now(w, fd[0], TORQUE_WRITE, 0), 0); /* from here on as always */
  assert_int_equal(wish_now(w, fd[0], 0, 0), 0);
  assert_int_equal(wish_now(w, fd[0], TORQUE_READ, 0), 0);
  assert_int_equal(pass(w), 1);
  assert_int_equal(controls_since(w, &controls), 0);
}

static void a_wish_at_once_ends_a_lost_source(void **state) {
  struct watched *w = watched_new(*state);
  int fd[2], other[2];
  fixture_pair(*state, fd);
  fixture_pair(*state, other);
  struct probe *p = probe_fd(*state, fd[0], TORQUE_READ, 0);
  assert_int_equal(dup2(other[0], fd[0]), fd[0]);
  assert_int_equal(wish_now(w, fd[0], TORQUE_READ, 0), 0);
  assert_int_equal(torque_source_alive(p->source), 0);
  say(other[1], 1);
  assert_int_equal(pass(w), 1);
  assert_ended(p, TORQUE_END_REPLACED); /* in the pass, and not in the call that has found it out */
}

/* ---- What runs out ---- */

static void the_system_lacks(struct fixture *f, int32_t err) {
  struct watched *w = watched_new(f);
  int fd[2], other[2];
  fixture_pair(f, fd);
  fixture_pair(f, other);
  wish(w, fd[0], TORQUE_WRITE, 0);
  wish(w, other[0], TORQUE_WRITE, 0);
  faults_arm(err, 1);
  const uint64_t told = pass(w);
  assert_int_equal(faults_disarm(), 1);
  assert_int_equal(told, 2);
  assert_int_equal(w->fd[fd[0]].error, err);
  assert_int_equal(w->fd[fd[0]].calls, 0);
  assert_int_equal(w->fd[other[0]].calls, 1);
  assert_int_equal(pass(w), 1);
  wish(w, fd[0], TORQUE_WRITE, 0); /* wished once more it is asked for once more */
  assert_int_equal(pass(w), 2);
  assert_int_equal(w->errors, 1);
}

static void memory_of_the_system(void **state) { the_system_lacks(*state, ENOMEM); }
static void registrations(void **state) { the_system_lacks(*state, ENOSPC); }

static _Atomic int refusing;

static void *take_if_any(size_t size, size_t align, void *arg) {
  void *p = NULL;
  (void)arg;
  if (refusing) return NULL;
  return posix_memalign(&p, align < sizeof(void *) ? sizeof(void *) : align, size ? size : 1) ? NULL : p;
}

static void give(void *ptr, size_t size, void *arg) {
  (void)size, (void)arg;
  free(ptr);
}

static void on_told_in_need(int32_t fd, uint32_t events, int32_t error, void *arg) {
  (void)fd;
  int32_t *told = arg;
  told[events ? 0 : 1] = events ? (int32_t)events : error;
}

static void memory_of_the_program(void **state) {
  struct fixture *f = *state;
  struct torque_config *config = shape_config(f->shape);
  struct torque_ctx *ctx = NULL;
  int32_t told[2] = {0, 0};
  int fd[2];
  fixture_pair(f, fd);
  const int file = dup2(fd[1], 1000), regular = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
  assert_int_equal(file, 1000);
  fixture_own(f, file);
  fixture_own(f, regular);
  assert_int_equal(torque_config_set_allocator(config, take_if_any, give, NULL), 0);
  assert_int_equal(torque_ctx_new(config, &ctx), 0);
  torque_config_free(config);
  assert_int_equal(torque_watch_init(ctx, on_told_in_need, told), 0);
  assert_int_equal(torque_watch(ctx, fd[0], TORQUE_READ, 0), 0);
  assert_int_equal(torque_watch(ctx, regular, TORQUE_READ, 0), 0);
  refusing = 1;
  const torque_err refused = torque_watch(ctx, file, TORQUE_WRITE, 0);
  const torque_err ran = torque_run_ready(ctx, NULL);
  refusing = 0;
  assert_int_equal(refused, TORQUE_ERR_RESOURCE);
  assert_int_equal(ran, 0);
  assert_int_equal(told[0], 0); /* no trace of the refused wish */
  assert_int_equal(told[1], ENOMEM); /* the regular file needs a place in a list */
  assert_int_equal(torque_watch(ctx, file, TORQUE_WRITE, 0), 0);
  assert_int_equal(torque_run_ready(ctx, NULL), 0);
  assert_int_equal(told[0], TORQUE_WRITE);
  assert_int_equal(torque_watch(ctx, file, 0, 0), 0);
  assert_int_equal(torque_watch(ctx, regular, TORQUE_READ, 0), 0);
  assert_int_equal(torque_run_ready(ctx, NULL), 0);
  assert_int_equal(told[0], TORQUE_READ);
  assert_int_equal(torque_stop(ctx), 0);
}

static void an_interrupted_wait_is_a_pass(void **state) {
  struct watched *w = watched_new(*state);
  int fd[2];
  fixture_pair(*state, fd);
  wish(w, fd[0], TORQUE_READ, 0);
  say(fd[1], 1);
  faults_arm(EINTR, 1);
  uint64_t told = 77;
  const torque_err err = torque_run_once(w->f->ctx, UINT64_MAX, &told);
  assert_int_equal(faults_disarm(), 1);
  assert_int_equal(err, 0);
  assert_int_equal(told, 0);
  assert_int_equal(torque_run_once(w->f->ctx, UINT64_MAX, &told), 0);
  assert_int_equal(told, 1);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      ON(driven, nothing_works_before_init),
      ON(driven, init_refuses_what_makes_no_sense),
      ON(live, a_threaded_context_has_no_watches),
      ON(driven, a_stopping_context_gets_no_watches),
      ON(driven, a_context_that_is_being_run_gets_no_watches),
      ON(driven, a_parents_context_gets_no_watches),
      ON(driven, wishes_that_make_no_sense),
      ON(driven, a_number_that_is_not_open),
      ON(driven, a_number_that_was_closed_meanwhile),
      ON(driven, whoever_is_told_an_error_may_cut_the_wait_short),
      ON(driven, wishes_made_when_told_of_an_error_wait_for_the_next_pass),
      ON(driven, a_descriptor_that_has_a_source),
      ON(driven, a_descriptor_that_a_source_took_over),
      ON(driven, watch_and_source_in_turn),
      ON(driven, what_is_wrong_is_answered_at_once),
      ON(driven, what_is_right_costs_one_call_at_once),
      ON(driven, a_wish_at_once_ends_a_lost_source),
      ON(driven, memory_of_the_system),
      ON(driven, registrations),
      ON(driven, memory_of_the_program),
      ON(driven, an_interrupted_wait_is_a_pass),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
