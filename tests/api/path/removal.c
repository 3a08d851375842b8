/* SPDX-License-Identifier: BSD-3-Clause */
/* Path sources that end, from anywhere, while a tree is in motion; and what is left for those that stay. */
#define _GNU_SOURCE
#include "support/child.h"
#include "support/seen.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "support/cmocka.h"

enum { MOVERS = 2 };

struct motion {
  struct fixture *f;
  const char *top;
  _Atomic int enough;
  _Atomic uint32_t steps;
};

static void *move_about(void *arg) {
  struct motion *m = arg;
  char a[400], b[400];
  for (uint32_t i = atomic_fetch_add(&m->steps, 1); !m->enough && !m->f->quit; i = atomic_fetch_add(&m->steps, 1)) {
    snprintf(a, sizeof a, "%s/%u", m->top, i % 7);
    snprintf(b, sizeof b, "%s/%u/%u", m->top, i % 5, i % 3);
    (void)mkdir(a, 0700);
    (void)mkdir(b, 0700);
    snprintf(a, sizeof a, "%s/%u/moved", m->top, (i + 1) % 5);
    (void)rename(b, a);
    (void)rmdir(a);
    snprintf(a, sizeof a, "%s/%u", m->top, i % 6);
    (void)rmdir(a);
  }
  return NULL;
}

static struct motion *set_in_motion(struct fixture *f) {
  struct motion *m = fixture_take(f, sizeof *m);
  m->f = f;
  m->top = scratch(f);
  for (int i = 0; i < MOVERS; i++) fixture_thread(f, move_about, m);
  return m;
}

static void stop_motion(struct fixture *f, struct motion *m) {
  atomic_store(&m->enough, 1);
  fixture_join(f);
}

static void assert_over(struct fixture *f, struct seen *s, int32_t reason) {
  AWAIT(f, s->finals);
  const uint32_t calls = s->calls;
  fixture_settle(f);
  assert_int_equal(s->calls, calls);
  assert_int_equal(s->finals, 1);
  assert_int_equal(s->reason, reason);
  assert_sound(s);
}

static void from_outside(void **state) {
  struct fixture *f = *state;
  struct motion *m = set_in_motion(f);
  struct seen *stays = see(f, m->top, PATH_ALL, TORQUE_PATH_RECURSIVE);
  for (int i = 0; i < FEWER(30) + 3; i++) {
    struct seen *s = see(f, m->top, PATH_ALL, TORQUE_PATH_RECURSIVE);
    if (i % 3) AWAIT(f, s->calls);
    if (i % 2)
      assert_int_equal(torque_source_remove_wait(s->source), 0);
    else
      assert_int_equal(torque_source_remove(s->source), 0);
    if (i % 2) assert_int_equal(s->finals, 1);
    AWAIT(f, s->finals);
    assert_int_equal(s->finals, 1);
    assert_sound(s);
  }
  stop_motion(f, m);
  const uint32_t calls = stays->calls;
  make_file(in(f, m->top, "last"));
  AWAIT(f, stays->calls > calls && lines_of(stays, "created last"));
  assert_sound(stays);
}

static void remove_own(struct seen *s, torque_source source, const struct torque_path_event *event) {
  (void)event;
  if (s->calls != 3) return;
  atomic_store(&s->result, torque_source_remove_wait(source));
  if (s->result == TORQUE_ERR_DEADLOCK) atomic_store(&s->result, torque_source_remove(source));
}

static void from_its_own_callback(void **state) {
  struct fixture *f = *state;
  struct motion *m = set_in_motion(f);
  for (int i = 0; i < FEWER(20) + 2; i++) {
    struct seen *s = seen_new(f);
    s->then = remove_own;
    s->result = -1;
    seen_start(f, s, m->top, PATH_ALL, i % 2 ? TORQUE_PATH_RECURSIVE : 0);
    AWAIT(f, s->finals);
    assert_int_equal(s->result, 0);
    assert_int_equal(s->calls, 3);
    assert_sound(s);
  }
  stop_motion(f, m);
}

static void *remove_it(void *arg) {
  struct seen *s = arg;
  atomic_store(&s->result, torque_source_remove_wait(s->source));
  return NULL;
}

static void while_it_is_in_its_callback(void **state) {
  struct fixture *f = *state;
  const char *d = scratch(f);
  struct seen *s = seen_new(f);
  s->blocked = 1;
  s->result = -1;
  seen_start(f, s, d, PATH_NAMES, TORQUE_PATH_RECURSIVE);
  make_file(in(f, d, "a"));
  make_file(in(f, d, "b"));
  AWAIT(f, s->calls);
  fixture_thread(f, remove_it, s);
  for (int i = 0; i < 20; i++) nap();
  assert_int_equal(s->finals, 0);
  atomic_store(&s->blocked, 0);
  fixture_join(f);
  assert_int_equal(s->result, 0);
  assert_int_equal(s->calls, 1);
  assert_int_equal(s->finals, 1);
}

/* Started here and removed there: one end, whoever is first. */
static void *remove_as_it_starts(void *arg) {
  struct seen *s = arg;
  STAY_UNTIL(atomic_load(&s->source) != 0);
  atomic_store(&s->result, torque_source_remove_wait(s->source));
  return NULL;
}

static void while_it_starts(void **state) {
  struct fixture *f = *state;
  struct motion *m = fixture_take(f, sizeof *m);
  m->f = f;
  m->top = scratch(f);
  for (int i = 0; i < 40; i++) {
    char name[32];
    snprintf(name, sizeof name, "%d", i);
    make_folder(in(f, m->top, name));
  }
  for (int i = 0; i < FEWER(100) + 5; i++) {
    struct seen *s = seen_new(f);
    torque_source source;
    assert_int_equal(seen_make(f, s, m->top, PATH_ALL, TORQUE_PATH_RECURSIVE, &source), 0);
    fixture_thread(f, remove_as_it_starts, s);
    atomic_store(&s->source, source);
    const torque_err err = torque_source_start(source);
    assert_true(err == 0 || err == TORQUE_ERR_STALE || err == TORQUE_ERR_STATE);
    fixture_join(f);
    assert_int_equal(s->result, 0);
    assert_int_equal(s->finals, 1);
  }
  struct seen *s = see(f, m->top, PATH_NAMES, TORQUE_PATH_RECURSIVE);
  make_file(in(f, m->top, "7/file"));
  assert_page(f, s, "created 7/file\n");
}

static void by_stopping(void **state) {
  struct fixture *f = *state;
  struct motion *m = set_in_motion(f);
  struct seen *s[4];
  for (int i = 0; i < 4; i++) s[i] = see(f, m->top, PATH_ALL, i % 2 ? TORQUE_PATH_RECURSIVE : 0);
  AWAIT(f, s[0]->calls && s[1]->calls);
  fixture_stop(f);
  stop_motion(f, m);
  for (int i = 0; i < 4; i++) {
    assert_int_equal(s[i]->finals, 1);
    assert_int_equal(s[i]->reason, TORQUE_END_STOPPED);
    assert_sound(s[i]);
  }
}

static void postpone_often(struct seen *s, torque_source source, const struct torque_path_event *event) {
  (void)event;
  if (s->calls % 3) atomic_store(&s->result, torque_postpone(source));
}

static void put_off_it_is_told_the_same_again(void **state) {
  struct fixture *f = *state;
  const char *d = scratch(f);
  struct seen *s = seen_new(f);
  s->then = postpone_often;
  seen_start(f, s, d, PATH_NAMES, 0);
  make_file(in(f, d, "a"));
  make_file(in(f, d, "b"));
  assert_page(f, s, "created a\ncreated a\ncreated a\ncreated b\ncreated b\ncreated b\n");
}

/* In one strand with an event: never at the same time. */
static _Atomic int in_strand, met;
static int32_t on_event(torque_source source, int32_t fd, uint32_t events, void *arg) {
  (void)source, (void)fd, (void)events, (void)arg;
  if (atomic_fetch_add(&in_strand, 1)) atomic_store(&met, 1);
  atomic_fetch_sub(&in_strand, 1);
  return TORQUE_DONE;
}
static void step_in(struct seen *s, torque_source source, const struct torque_path_event *event) {
  (void)s, (void)source, (void)event;
  if (atomic_fetch_add(&in_strand, 1)) atomic_store(&met, 1);
  atomic_fetch_sub(&in_strand, 1);
}

static void in_a_strand(void **state) {
  struct fixture *f = *state;
  const char *d = scratch(f), *elsewhere = scratch(f);
  struct torque_strand *strand = NULL;
  torque_source event, source;
  struct seen *s = seen_new(f);
  s->then = step_in;
  assert_int_equal(torque_strand_new(f->ctx, &strand), 0);
  assert_int_equal(torque_event_new(f->ctx, 0, on_event, NULL, &event), 0);
  assert_int_equal(torque_source_set_strand(event, strand), 0);
  assert_int_equal(torque_source_start(event), 0);
  assert_int_equal(seen_make(f, s, d, PATH_NAMES, 0, &source), 0);
  s->source = source;
  assert_int_equal(torque_source_set_strand(s->source, strand), 0);
  assert_int_equal(torque_source_start(s->source), 0);
  torque_strand_free(strand);
  char name[16];
  for (uint32_t i = 0; i < 200; i++) {
    assert_int_equal(torque_trigger(event, TORQUE_READ), 0);
    snprintf(name, sizeof name, "%u", i);
    make_file(in(f, d, name));
    if (i % 50 == 0) assert_int_equal(rename(in(f, d, name), in(f, elsewhere, name)), 0);
  }
  AWAIT(f, s->calls == 204);
  assert_int_equal(lines_of(s, "moved-out 150"), 1);
  assert_int_equal(met, 0);
  assert_int_equal(torque_source_remove(s->source), 0);
  assert_over(f, s, TORQUE_END_REMOVED);
}

/* ---- Fork ---- */

static struct fixture *inherited;
static struct seen *inherited_tree, *inherited_file;
static const char *inherited_top;

static int told_in_child(struct seen *s, const char *line) {
  CHECK(torque_run_once(inherited->ctx, 1000000, NULL) == 0);
  return lines_of(s, line) > 0;
}

static int goes_on_in_the_child(void *arg) {
  (void)arg;
  char name[400];
  CHECK(torque_run_once(inherited->ctx, 0, NULL) == TORQUE_ERR_FORKED);
  CHECK(torque_reinit(inherited->ctx) == 0);
  CHECK_SOON(told_in_child(inherited_tree, "overflow .")); /* what happened around the fork is not known */
  CHECK_SOON(told_in_child(inherited_file, "overflow ."));
  snprintf(name, sizeof name, "%s/a/child", inherited_top);
  CHECK(mkdir(name, 0700) == 0);
  CHECK_SOON(told_in_child(inherited_tree, "created a/child/"));
  snprintf(name, sizeof name, "%s/file", inherited_top);
  CHECK(truncate(name, 0) == 0);
  CHECK_SOON(told_in_child(inherited_file, "modified ."));
  CHECK(torque_stop(inherited->ctx) == 0);
  CHECK(inherited_tree->finals == 1 && inherited_file->finals == 1);
  return 0;
}

static void in_a_forked_child(void **state) {
  struct fixture *f = *state;
  inherited = f;
  inherited_top = scratch(f);
  make_folder(in(f, inherited_top, "a"));
  make_file(in(f, inherited_top, "file"));
  inherited_tree = see(f, inherited_top, PATH_ALL, TORQUE_PATH_RECURSIVE);
  inherited_file = see(f, in(f, inherited_top, "file"), PATH_ALL, TORQUE_PATH_EXCLUDE_UNLINKED);
  make_file(in(f, inherited_top, "a/before")); /* not told yet when it forks */
  assert_int_equal(child_run(goes_on_in_the_child, NULL), 0);
  assert_page(f, inherited_tree,
              "created a/before\nmodified a/before\nwritten a/before\ncreated a/child/\nmodified file\n");
  assert_page(f, inherited_file, "modified .\n");
}

/* A child that only frees its copy takes nothing from the parent. */
static int frees_its_copy(void *arg) {
  (void)arg;
  CHECK(torque_stop(inherited->ctx) == 0);
  return 0;
}

static void freed_in_a_forked_child(void **state) {
  struct fixture *f = *state;
  inherited = f;
  const char *d = scratch(f);
  make_folder(in(f, d, "a"));
  struct seen *s = see(f, d, PATH_NAMES, TORQUE_PATH_RECURSIVE);
  assert_int_equal(child_run(frees_its_copy, NULL), 0);
  make_file(in(f, d, "a/file"));
  assert_page(f, s, "created a/file\n");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      ON_EVERY(from_outside),       ON_EVERY(from_its_own_callback), ON_THREADED(while_it_is_in_its_callback),
      ON_THREADED(while_it_starts), ON_EVERY(by_stopping),           ON_EVERY(put_off_it_is_told_the_same_again),
      ON_EVERY(in_a_strand),        ON(driven, in_a_forked_child),   ON_EVERY(freed_in_a_forked_child),
  };
  return cmocka_run_group_tests(tests, scratch_up, scratch_down);
}
