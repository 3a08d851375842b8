/* SPDX-License-Identifier: BSD-3-Clause */
/* Watches and numbers: closed, given to another file, and living on in a duplicate, where the kernel goes on telling of a
 * number that nobody can name to it any more. */
#include "support/faults_calls.h"
#include "support/probe.h"
#include "support/watched.h"

#include <errno.h>
#include <unistd.h>

#include "support/cmocka.h"

/* Another file, one end of a pair, under a number that was just closed. Answers the other end. */
static int another_file_at(struct fixture *f, int number) {
  int fd[2];
  fixture_pair(f, fd);
  if (fd[0] != number) {
    assert_int_equal(dup2(fd[0], number), number);
    fixture_close(f, fd[0]);
    fixture_own(f, number);
  }
  return fd[1];
}

/* ---- Closed and given away ---- */

static void a_number_of_another_file_is_silent_until_asked_about(void **state) {
  struct watched *w = watched_new(*state);
  int fd[2];
  fixture_pair(*state, fd);
  wish(w, fd[0], TORQUE_READ, 0);
  (void)pass(w);
  for (int i = 1; i <= 5; i++) {
    fixture_close(*state, fd[0]);
    say(another_file_at(*state, fd[0]), 1);
    wish(w, fd[0], TORQUE_READ, 0);
    assert_int_equal(pass(w), 0);
    uint64_t controls = stat_total(w->f->ctx, "controls");
    wish(w, fd[0], TORQUE_READ, TORQUE_WATCH_NEW);
    assert_int_equal(pass(w), 1);
    assert_int_equal(controls_since(w, &controls), 1);
    drain(fd[0], NULL);
    assert_int_equal(pass(w), 0);
  }
  assert_int_equal(w->errors, 0);
}

static void a_changed_wish_finds_the_other_file(void **state) {
  struct watched *w = watched_new(*state);
  int fd[2];
  fixture_pair(*state, fd);
  for (uint32_t i = 0; i < 4; i++) {
    const uint32_t flags = i & 1 ? TORQUE_WATCH_NEW : 0;
    wish(w, fd[0], TORQUE_READ, flags);
    (void)pass(w);
    fixture_close(*state, fd[0]);
    say(another_file_at(*state, fd[0]), 1);
    wish(w, fd[0], TORQUE_READ | TORQUE_WRITE, flags);
    assert_int_equal(pass(w), 1);
    assert_int_equal(w->fd[fd[0]].last, TORQUE_READ | TORQUE_WRITE);
  }
  assert_int_equal(w->errors, 0);
}

static void edges_of_the_new_file(void **state) {
  struct watched *w = watched_new(*state);
  int fd[2];
  fixture_pair(*state, fd);
  wish(w, fd[0], TORQUE_READ, TORQUE_WATCH_EDGE);
  say(fd[1], 1);
  assert_int_equal(pass(w), 1);
  fixture_close(*state, fd[0]);
  const int peer = another_file_at(*state, fd[0]);
  say(peer, 1);
  wish(w, fd[0], TORQUE_READ, TORQUE_WATCH_EDGE | TORQUE_WATCH_NEW);
  assert_int_equal(pass(w), 1);
  assert_int_equal(pass(w), 0);
  say(peer, 1);
  assert_int_equal(pass(w), 1);
}

static void from_a_regular_file_to_a_socket_and_back(void **state) {
  struct watched *w = watched_new(*state);
  int fd[2];
  fixture_pair(*state, fd);
  const int file = open("/proc/self/exe", O_RDONLY | O_CLOEXEC);
  fixture_own(*state, file);
  for (int i = 0; i < 3; i++) {
    wish(w, fd[0], i & 1 ? TORQUE_READ : TORQUE_READ | TORQUE_PRIORITY, TORQUE_WATCH_NEW);
    assert_int_equal(pass(w), 0);
    assert_int_equal(dup2(file, fd[0]), fd[0]);
    wish(w, fd[0], TORQUE_READ, TORQUE_WATCH_NEW);
    for (int n = 0; n < 3; n++) assert_int_equal(pass(w), 1);
    fixture_close(*state, fd[0]);
    (void)another_file_at(*state, fd[0]);
  }
  assert_int_equal(w->errors, 0);
}

/* What was in hand when the number changed files is not told of the new one. */
struct swap {
  int a, b, fresh; /* fresh: an idle file that takes the number of the one that is told second */
  int swapped;
};

static void swap_the_other(struct watched *w, int32_t fd) {
  struct swap *s = w->aux;
  if (s->swapped) return;
  s->swapped = fd == s->a ? s->b : s->a;
  if (dup2(s->fresh, s->swapped) < 0 || torque_watch(w->f->ctx, s->swapped, TORQUE_READ, TORQUE_WATCH_NEW)) w->strange++;
}

static void an_event_in_hand_is_not_the_new_files(void **state) {
  struct watched *w = watched_new(*state);
  struct swap *s = fixture_take(*state, sizeof *s);
  int a[2], b[2], fresh[2];
  fixture_pair(*state, a);
  fixture_pair(*state, b);
  fixture_pair(*state, fresh);
  *s = (struct swap){.a = a[0], .b = b[0], .fresh = fresh[0]};
  wish(w, a[0], TORQUE_READ, 0);
  wish(w, b[0], TORQUE_READ, 0);
  say(a[1], 1);
  say(b[1], 1);
  w->aux = s;
  w->then = swap_the_other;
  assert_int_equal(pass(w), 1);
  assert_true(s->swapped > 0);
  for (int i = 0; i < 3; i++) assert_int_equal(pass(w), 1);
  assert_int_equal(w->fd[s->swapped].calls, 0);
  say(fresh[1], 1);
  assert_int_equal(pass(w), 2);
}

/* That a descriptor is closed while its event is in hand is no reason to suspect a duplicate, and to begin anew. */
static void close_the_other(struct watched *w, int32_t fd) {
  struct swap *s = w->aux;
  if (s->swapped) return;
  s->swapped = fd == s->a ? s->b : s->a;
  fixture_disown(w->f, s->swapped);
  if (close(s->swapped) || torque_watch(w->f->ctx, s->swapped, 0, 0)) w->strange++;
}

static void closing_what_is_in_hand_costs_nothing_more(void **state) {
  struct watched *w = watched_new(*state);
  struct swap *s = fixture_take(*state, sizeof *s);
  int a[2], b[2], quiet[50][2];
  for (int i = 0; i < 50; i++) {
    fixture_pair(*state, quiet[i]);
    wish(w, quiet[i][0], TORQUE_READ, 0);
  }
  uint64_t controls = 0;
  for (int i = 0; i < 10; i++) {
    fixture_pair(*state, a);
    fixture_pair(*state, b);
    *s = (struct swap){.a = a[0], .b = b[0]};
    wish(w, a[0], TORQUE_READ, TORQUE_WATCH_NEW);
    wish(w, b[0], TORQUE_READ, TORQUE_WATCH_NEW);
    (void)pass(w);
    (void)controls_since(w, &controls);
    say(a[1], 1);
    say(b[1], 1);
    w->aux = s;
    w->then = close_the_other;
    assert_int_equal(pass(w), 1);
    for (int n = 0; n < 3; n++) assert_int_equal(pass(w), 1);
    const int left = s->swapped == a[0] ? b[0] : a[0];
    wish(w, left, 0, 0);
    fixture_close(*state, left);
    assert_true(controls_since(w, &controls) <= 2);
  }
}

/* ---- Orphaned registrations: closed, with a duplicate ---- */

static void assert_quiet(struct watched *w) {
  for (int i = 0; i < 10; i++) (void)pass(w); /* they may come, and are dealt with */
  const uint64_t stale = stat_total(w->f->ctx, "stale");
  uint64_t controls = stat_total(w->f->ctx, "controls");
  for (int i = 0; i < 100; i++) (void)pass(w);
  assert_int_equal(stat_total(w->f->ctx, "stale"), stale);
  assert_int_equal(controls_since(w, &controls), 0);
}

struct scene_with_orphan {
  int orphan[2], twin;  /* orphan[0] was closed while twin lives; both are readable */
  int level[2], edge[2];
  int number; /* of the queue */
};

static struct scene_with_orphan *with_orphan(struct watched *w, uint32_t flags) {
  struct scene_with_orphan *h = fixture_take(w->f, sizeof *h);
  fixture_pair(w->f, h->orphan);
  fixture_pair(w->f, h->level);
  fixture_pair(w->f, h->edge);
  h->number = torque_poll_fd(w->f->ctx);
  wish(w, h->orphan[0], TORQUE_READ, flags);
  wish(w, h->level[0], TORQUE_READ, 0);
  wish(w, h->edge[0], TORQUE_READ, TORQUE_WATCH_EDGE);
  (void)pass(w);
  h->twin = dup(h->orphan[0]);
  fixture_own(w->f, h->twin);
  say(h->orphan[1], 1);
  fixture_close(w->f, h->orphan[0]);
  return h;
}

static void assert_the_others_are_well(struct watched *w, struct scene_with_orphan *h) {
  const uint32_t level = w->fd[h->level[0]].calls, edge = w->fd[h->edge[0]].calls;
  say(h->level[1], 1);
  say(h->edge[1], 1);
  (void)pass(w);
  (void)pass(w);
  drain(h->level[0], NULL);
  drain(h->edge[0], NULL);
  (void)pass(w);
  assert_int_equal(w->fd[h->level[0]].calls, level + 2);
  assert_int_equal(w->fd[h->edge[0]].calls, edge + 1);
  assert_int_equal(torque_poll_fd(w->f->ctx), h->number);
  assert_int_equal(w->errors, 0);
}

static void an_orphan_of_a_level(void **state) {
  struct watched *w = watched_new(*state);
  struct scene_with_orphan *h = with_orphan(w, 0);
  wish(w, h->orphan[0], 0, 0);
  assert_quiet(w);
  assert_true(stat_total(w->f->ctx, "stale") > 0); /* or there was none, and nothing is shown */
  assert_int_equal(w->fd[h->orphan[0]].calls, 0);
  assert_the_others_are_well(w, h);
}

static void an_orphan_of_an_edge(void **state) {
  struct watched *w = watched_new(*state);
  struct scene_with_orphan *h = with_orphan(w, TORQUE_WATCH_EDGE);
  wish(w, h->orphan[0], 0, 0);
  assert_quiet(w);
  assert_int_equal(w->fd[h->orphan[0]].calls, 0);
  assert_the_others_are_well(w, h);
}

/* As long as the wish lasts the program is told, and may find out. */
static void an_orphan_that_is_still_wished(void **state) {
  struct watched *w = watched_new(*state);
  struct scene_with_orphan *h = with_orphan(w, 0);
  for (uint32_t i = 1; i <= 5; i++) {
    assert_int_equal(pass(w), 1);
    assert_int_equal(w->fd[h->orphan[0]].calls, i);
  }
  wish(w, h->orphan[0], 0, 0);
  assert_quiet(w);
  assert_the_others_are_well(w, h);
}

static void an_orphan_whose_number_was_given_away(void **state) {
  struct watched *w = watched_new(*state);
  struct scene_with_orphan *h = with_orphan(w, 0);
  const int peer = another_file_at(*state, h->orphan[0]);
  wish(w, h->orphan[0], TORQUE_READ, TORQUE_WATCH_NEW);
  assert_quiet(w);
  assert_int_equal(w->fd[h->orphan[0]].calls, 0); /* what it says is not said of the new file */
  assert_true(stat_total(w->f->ctx, "stale") > 0);
  say(peer, 1);
  assert_int_equal(pass(w), 1);
  drain(h->orphan[0], NULL);
  assert_the_others_are_well(w, h);
}

/* The file comes back to the number where its registration is still. */
static void an_orphan_that_gets_its_number_back(void **state) {
  struct watched *w = watched_new(*state);
  int fd[2];
  fixture_pair(*state, fd);
  wish(w, fd[0], TORQUE_READ, 0);
  (void)pass(w);
  const int twin = dup(fd[0]);
  fixture_own(*state, twin);
  fixture_close(*state, fd[0]);
  (void)another_file_at(*state, fd[0]);
  wish(w, fd[0], TORQUE_WRITE, TORQUE_WATCH_NEW);
  assert_int_equal(pass(w), 1);
  wish(w, fd[0], 0, 0);
  assert_int_equal(pass(w), 0); /* the other file's is taken out */
  assert_int_equal(dup2(twin, fd[0]), fd[0]);
  wish(w, fd[0], TORQUE_READ, TORQUE_WATCH_NEW);
  assert_int_equal(pass(w), 0);
  say(fd[1], 1);
  assert_int_equal(pass(w), 1);
  drain(fd[0], NULL);
  assert_quiet(w);
  assert_int_equal(w->errors, 0);
  say(fd[1], 1);
  assert_int_equal(pass(w), 1);
}

/* The same while the number is known as the other file's, with the same wish. */
static void an_orphan_that_gets_its_number_back_at_once(void **state) {
  struct watched *w = watched_new(*state);
  int fd[2];
  fixture_pair(*state, fd);
  wish(w, fd[0], TORQUE_READ, 0);
  (void)pass(w);
  const int twin = dup(fd[0]);
  fixture_own(*state, twin);
  fixture_close(*state, fd[0]);
  (void)another_file_at(*state, fd[0]);
  wish(w, fd[0], TORQUE_READ, TORQUE_WATCH_NEW);
  (void)pass(w);
  assert_int_equal(dup2(twin, fd[0]), fd[0]);
  wish(w, fd[0], TORQUE_READ, TORQUE_WATCH_NEW);
  (void)pass(w);
  say(fd[1], 1);
  for (int i = 0; i < 3 && !w->calls; i++) (void)pass(w);
  assert_true(w->calls > 0);
  drain(fd[0], NULL);
  assert_quiet(w);
  assert_int_equal(w->errors, 0);
}

/* ---- Orphaned registrations and sources ---- */

static void the_number_is_a_sources_now(struct fixture *f, uint32_t flags) {
  struct watched *w = watched_new(f);
  struct scene_with_orphan *h = with_orphan(w, flags);
  wish(w, h->orphan[0], 0, 0);
  const int peer = another_file_at(f, h->orphan[0]);
  struct probe *p = probe_fd(f, h->orphan[0], TORQUE_READ, 0);
  assert_quiet(w);
  assert_true(stat_total(w->f->ctx, "stale") > 0);
  for (uint32_t i = 1; i <= 3; i++) {
    say(peer, 1);
    AWAIT(w->f, p->bytes == i);
  }
  assert_the_others_are_well(w, h);
}

static void an_orphan_of_a_level_does_not_take_out_a_source(void **state) { the_number_is_a_sources_now(*state, 0); }
static void an_orphan_of_an_edge_does_not_take_out_a_source(void **state) {
  the_number_is_a_sources_now(*state, TORQUE_WATCH_EDGE);
}

/* A source that lost its descriptor without anybody's saying so ends when the number is watched for another file. */
static void a_source_whose_number_is_watched_for_another_file(void **state) {
  struct watched *w = watched_new(*state);
  int fd[2];
  fixture_pair(*state, fd);
  struct probe *p = probe_fd(*state, fd[0], TORQUE_READ, 0);
  (void)pass(w);
  fixture_close(*state, fd[0]);
  const int peer = another_file_at(*state, fd[0]);
  wish(w, fd[0], TORQUE_READ, 0);
  (void)pass(w);
  assert_ended(p, TORQUE_END_REPLACED);
  assert_int_equal(torque_source_remove(p->source), TORQUE_ERR_STALE);
  say(peer, 1);
  assert_int_equal(pass(w), 1); /* the watch is not touched by that */
  assert_int_equal(p->calls, 0);
  assert_int_equal(w->errors, 0);
}

static void an_orphan_of_a_source_falls_silent_too(void **state) {
  struct watched *w = watched_new(*state);
  int fd[2], other[2];
  fixture_pair(*state, fd);
  fixture_pair(*state, other);
  wish(w, other[0], TORQUE_READ, 0);
  struct probe *p = probe_fd(*state, fd[0], TORQUE_READ, TORQUE_LEVEL);
  (void)pass(w);
  const int twin = dup(fd[0]);
  fixture_own(*state, twin);
  say(fd[1], 1);
  fixture_close(*state, fd[0]);
  assert_int_equal(torque_source_remove(p->source), 0);
  for (int i = 0; i < 20; i++) (void)pass(w);
  assert_true(stat_total(w->f->ctx, "stale") > 0);
  assert_quiet(w);
  say(other[1], 1);
  assert_int_equal(pass(w), 1);
}

/* ---- Beginning anew, when something is lacking ---- */

static void a_queue_that_cannot_be_made_anew_goes_on(void **state) {
  struct watched *w = watched_new(*state);
  struct scene_with_orphan *h = with_orphan(w, 0);
  wish(w, h->orphan[0], 0, 0);
  for (int i = 0; i < 10; i++) { /* each attempt finds no descriptor */
    faults_arm(EMFILE, 1);
    (void)pass(w);
    (void)faults_disarm();
  }
  assert_int_equal(w->fd[h->orphan[0]].calls, 0);
  faults_arm(EMFILE, 1);
  say(h->level[1], 1);
  const uint64_t told = pass(w);
  assert_int_equal(faults_disarm(), 1); /* it is still trying */
  assert_int_equal(told, 1);
  drain(h->level[0], NULL);
  assert_quiet(w);
  assert_the_others_are_well(w, h);
}

static void a_wish_that_was_dropped_stays_so(void **state) {
  struct watched *w = watched_new(*state);
  int fd[2];
  fixture_pair(*state, fd); /* first, or it would get the orphan's number */
  struct scene_with_orphan *h = with_orphan(w, 0);
  fixture_close(*state, fd[0]);
  wish(w, fd[0], TORQUE_READ, 0);
  (void)pass(w);
  assert_int_equal(w->fd[fd[0]].error, EBADF);
  say(another_file_at(*state, fd[0]), 1);
  wish(w, h->orphan[0], 0, 0); /* this makes all begin anew */
  assert_quiet(w);
  assert_int_equal(w->fd[fd[0]].calls, 0);
  assert_int_equal(w->errors, 1);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      ON(driven, a_number_of_another_file_is_silent_until_asked_about),
      ON(driven, a_changed_wish_finds_the_other_file),
      ON(driven, edges_of_the_new_file),
      ON(driven, from_a_regular_file_to_a_socket_and_back),
      ON(driven, an_event_in_hand_is_not_the_new_files),
      ON(driven, closing_what_is_in_hand_costs_nothing_more),
      ON(driven, an_orphan_of_a_level),
      ON(driven, an_orphan_of_an_edge),
      ON(driven, an_orphan_that_is_still_wished),
      ON(driven, an_orphan_whose_number_was_given_away),
      ON(driven, an_orphan_that_gets_its_number_back),
      ON(driven, an_orphan_that_gets_its_number_back_at_once),
      ON(driven, an_orphan_of_a_level_does_not_take_out_a_source),
      ON(driven, an_orphan_of_an_edge_does_not_take_out_a_source),
      ON(driven, a_source_whose_number_is_watched_for_another_file),
      ON(driven, an_orphan_of_a_source_falls_silent_too),
      ON(driven, a_queue_that_cannot_be_made_anew_goes_on),
      ON(driven, a_wish_that_was_dropped_stays_so),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
