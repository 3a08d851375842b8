/* SPDX-License-Identifier: BSD-3-Clause */
/* ev_async: from the loop's thread, from others, from signal handlers; how often and in which order. */
#include "diff.h"

#include <pthread.h>
#include <sys/time.h>

static void told(struct ev_loop *loop, ev_async *w, int revents) {
  (void)loop;
  trace("%s: %s %s sent=%d", (const char *)w->data, bits(revents), state(w), ev_async_pending(w) ? 1 : 0);
}

static void start(struct ev_loop *loop, ev_async *w, const char *name) {
  ev_async_init(w, told);
  w->data = (void *)(uintptr_t)name;
  ev_async_start(loop, w);
}

CASE(what_is_sent_is_told_in_the_next_pass) {
  struct ev_loop *loop = new_loop(0);
  ev_async w;
  memset(&w, 0, sizeof w);
  ev_async_init(&w, told);
  w.data = (void *)(uintptr_t) "w";
  trace("before: %s sent=%d", state(&w), ev_async_pending(&w) ? 1 : 0);
  ev_async_start(loop, &w);
  trace("started: %s sent=%d", state(&w), ev_async_pending(&w) ? 1 : 0);
  turn(loop);
  ev_async_send(loop, &w);
  trace("sent: %s sent=%d", state(&w), ev_async_pending(&w) ? 1 : 0);
  turn(loop);
  trace("quiet again: %d", turn(loop));
  ev_async_send(loop, &w);
  turn(loop);
  ev_async_stop(loop, &w);
  trace("stopped: %s run %d", state(&w), ev_run(loop, EVRUN_NOWAIT));
  ev_loop_destroy(loop);
}

CASE(many_sends_between_two_passes_are_told_once) {
  struct ev_loop *loop = new_loop(0);
  ev_async w;
  start(loop, &w, "w");
  for (int i = 0; i < 100; i++) ev_async_send(loop, &w);
  turns(loop, 3);
  for (int i = 0; i < 3; i++) {
    ev_async_send(loop, &w);
    ev_async_send(loop, &w);
    turn(loop);
  }
  ev_async_stop(loop, &w);
  ev_loop_destroy(loop);
}

CASE(several_watchers_sent_at_once) {
  struct ev_loop *loop = new_loop(0);
  ev_async w[4];
  static const char *names[] = {"first", "second", "urgent", "fourth"};
  for (int i = 0; i < 4; i++) {
    ev_async_init(&w[i], told);
    w[i].data = (void *)(uintptr_t)names[i];
    if (i == 2) ev_set_priority(&w[i], EV_MAXPRI);
    ev_async_start(loop, &w[i]);
  }
  static const int order[] = {3, 0, 2, 1};
  for (int i = 0; i < 4; i++) ev_async_send(loop, &w[order[i]]);
  turn(loop);
  trace("two of them");
  ev_async_send(loop, &w[1]);
  ev_async_send(loop, &w[3]);
  turn(loop);
  ev_async_stop(loop, &w[0]);
  trace("without the first");
  for (int i = 1; i < 4; i++) ev_async_send(loop, &w[i]);
  turn(loop);
  for (int i = 0; i < 4; i++) ev_async_stop(loop, &w[i]);
  ev_loop_destroy(loop);
}

CASE(sent_before_start_or_after_stop_is_not_told) {
  struct ev_loop *loop = new_loop(0);
  ev_async w, other;
  start(loop, &other, "other");
  start(loop, &w, "w");
  ev_async_stop(loop, &w);
  ev_async_send(loop, &w);
  trace("sent while stopped: sent=%d", ev_async_pending(&w) ? 1 : 0);
  turns(loop, 2);
  ev_async_start(loop, &w);
  trace("started: sent=%d", ev_async_pending(&w) ? 1 : 0);
  turns(loop, 2);
  ev_async_send(loop, &w);
  ev_async_stop(loop, &w);
  turns(loop, 2);
  ev_async_send(loop, &other);
  turn(loop);
  ev_async_stop(loop, &other);
  ev_loop_destroy(loop);
}

static void send_again(struct ev_loop *loop, ev_async *w, int revents) {
  told(loop, w, revents);
  ev_async_send(loop, w);
  trace("sent in its callback: %s sent=%d", state(w), ev_async_pending(w) ? 1 : 0);
}

CASE(sent_in_its_own_callback_is_for_the_next_pass) {
  struct ev_loop *loop = new_loop(0);
  ev_async w;
  start(loop, &w, "w");
  ev_set_cb(&w, send_again);
  ev_async_send(loop, &w);
  for (int i = 0; i < 3; i++) {
    trace("pass %d", i);
    turn(loop);
  }
  ev_async_stop(loop, &w);
  ev_loop_destroy(loop);
}

static ev_async pair[2];

static void stop_the_other(struct ev_loop *loop, ev_async *w, int revents) {
  ev_async *other = &pair[w == &pair[0]];
  told(loop, w, revents);
  trace("other: %s", state(other));
  ev_async_stop(loop, other);
  trace("other: %s", state(other));
}

CASE(a_pending_one_that_another_stops_is_not_told) {
  struct ev_loop *loop = new_loop(0);
  start(loop, &pair[0], "a");
  start(loop, &pair[1], "b");
  ev_set_cb(&pair[0], stop_the_other);
  ev_set_cb(&pair[1], stop_the_other);
  ev_async_send(loop, &pair[0]);
  ev_async_send(loop, &pair[1]);
  turns(loop, 2);
  ev_async_stop(loop, &pair[0]);
  ev_async_stop(loop, &pair[1]);
  ev_loop_destroy(loop);
}

CASE(at_each_priority) {
  struct ev_loop *loop = new_loop(0);
  ev_async w;
  static const int priorities[] = {-1, 0, 1};
  for (int i = 0; i < 3; i++) {
    start(loop, &w, i == 0 ? "low" : i == 1 ? "middle" : "high");
    ev_async_stop(loop, &w);
    ev_set_priority(&w, priorities[i]);
    ev_async_start(loop, &w);
    ev_async_send(loop, &w);
    turn(loop);
    ev_async_stop(loop, &w);
  }
  ev_loop_destroy(loop);
}

static void told_and_broken(struct ev_loop *loop, ev_async *w, int revents) {
  told(loop, w, revents);
  ev_break(loop, EVBREAK_ALL);
}

CASE(an_active_one_holds_a_run_and_one_without_reference_does_not) {
  struct ev_loop *loop = new_loop(0);
  ev_async w;
  start(loop, &w, "w");
  ev_set_cb(&w, told_and_broken);
  ev_async_send(loop, &w);
  trace("run: %d", run_guarded(loop, 0));
  ev_unref(loop);
  trace("without reference: %d", ev_run(loop, 0));
  ev_async_send(loop, &w);
  trace("sent: %d", ev_run(loop, 0));
  ev_ref(loop);
  ev_async_stop(loop, &w);
  ev_loop_destroy(loop);
}

/* --- Other threads */

struct sender {
  struct ev_loop *loop;
  ev_async *w;
  int count, pause_us;
  int sent; /* any thread, atomic */
};

static void *send_all(void *arg) {
  struct sender *self = arg;
  for (int i = 0; i < self->count; i++) {
    if (self->pause_us) usleep((useconds_t)self->pause_us);
    __atomic_fetch_add(&self->sent, 1, __ATOMIC_RELEASE);
    ev_async_send(self->loop, self->w);
  }
  return NULL;
}

CASE(a_waiting_run_is_woken_by_another_thread) {
  struct ev_loop *loop = new_loop(0);
  ev_async w;
  pthread_t thread;
  start(loop, &w, "w");
  ev_set_cb(&w, told_and_broken);
  struct sender sender = {loop, &w, 1, 30000, 0};
  NEED(!pthread_create(&thread, NULL, send_all, &sender));
  trace("run: %d", run_guarded(loop, 0));
  NEED(!pthread_join(thread, NULL));
  ev_async_stop(loop, &w);
  ev_loop_destroy(loop);
}

static int calls;
static struct sender *watched;

static void until_all_seen(struct ev_loop *loop, ev_async *w, int revents) {
  (void)w;
  calls++;
  if (revents != EV_ASYNC) trace("%s", bits(revents));
  if (__atomic_load_n(&watched->sent, __ATOMIC_ACQUIRE) == watched->count) ev_break(loop, EVBREAK_ALL);
}

/* After the last send there is always a call that sees it. */
static void flood(int count, int pause_us) {
  struct ev_loop *loop = new_loop(0);
  ev_async w;
  pthread_t thread;
  start(loop, &w, "w");
  ev_set_cb(&w, until_all_seen);
  struct sender sender = {loop, &w, count, pause_us, 0};
  watched = &sender;
  calls = 0;
  NEED(!pthread_create(&thread, NULL, send_all, &sender));
  trace("run: %d", run_guarded(loop, 0));
  NEED(!pthread_join(thread, NULL));
  trace("seen: %d, called: %d, not more than sent: %d", sender.sent, calls > 0, calls <= count);
  turn(loop);
  calls = 0;
  turns(loop, 3);
  trace("afterwards: %d", calls);
  ev_async_stop(loop, &w);
  ev_loop_destroy(loop);
}

CASE(a_hundred_thousand_sends_of_another_thread) { flood(100000, 0); }
CASE(slow_sends_of_another_thread) { flood(200, 200); }

enum { THREADS = 4, EACH = 5000 };

static struct sender crowd[THREADS];

static void until_all_of_all_seen(struct ev_loop *loop, ev_async *w, int revents) {
  int sum = 0;
  (void)w;
  (void)revents;
  for (int i = 0; i < THREADS; i++) sum += __atomic_load_n(&crowd[i].sent, __ATOMIC_ACQUIRE);
  if (sum == THREADS * EACH) ev_break(loop, EVBREAK_ALL);
}

CASE(four_threads_and_two_watchers) {
  struct ev_loop *loop = new_loop(0);
  ev_async w[2];
  pthread_t threads[THREADS];
  for (int i = 0; i < 2; i++) {
    start(loop, &w[i], "w");
    ev_set_cb(&w[i], until_all_of_all_seen);
  }
  for (int i = 0; i < THREADS; i++) {
    crowd[i] = (struct sender){loop, &w[i % 2], EACH, 0, 0};
    NEED(!pthread_create(&threads[i], NULL, send_all, &crowd[i]));
  }
  trace("run: %d", run_guarded(loop, 0));
  for (int i = 0; i < THREADS; i++) NEED(!pthread_join(threads[i], NULL));
  for (int i = 0; i < 2; i++) ev_async_stop(loop, &w[i]);
  ev_loop_destroy(loop);
}

/* --- Signal handlers */

static struct ev_loop *of_handler;
static ev_async by_handler;

static void send_from_handler(int signum) {
  (void)signum;
  ev_async_send(of_handler, &by_handler);
}

CASE(sent_by_a_signal_handler) {
  of_handler = new_loop(0);
  struct sigaction action = {.sa_handler = send_from_handler, .sa_flags = SA_RESTART};
  start(of_handler, &by_handler, "by handler");
  NEED(!sigaction(SIGUSR1, &action, NULL));
  raise(SIGUSR1);
  trace("raised: sent=%d", ev_async_pending(&by_handler) ? 1 : 0);
  turn(of_handler);
  turn(of_handler);
  ev_async_stop(of_handler, &by_handler);
  ev_loop_destroy(of_handler);
}

CASE(a_waiting_run_is_woken_by_a_signal_handler) {
  of_handler = new_loop(0);
  struct sigaction action = {.sa_handler = send_from_handler};
  struct itimerval soon = {{0, 0}, {0, 30000}};
  start(of_handler, &by_handler, "by handler");
  ev_set_cb(&by_handler, told_and_broken);
  NEED(!sigaction(SIGALRM, &action, NULL));
  NEED(!setitimer(ITIMER_REAL, &soon, NULL));
  trace("run: %d", run_guarded(of_handler, 0));
  ev_async_stop(of_handler, &by_handler);
  ev_loop_destroy(of_handler);
}

/* --- Two loops, two threads */

enum { ROUNDS = 5000 };

struct player {
  struct ev_loop *loop;
  ev_async ball;
  struct player *other;
  int rounds, first;
};

static void play(struct ev_loop *loop, ev_async *w, int revents) {
  struct player *self = w->data;
  (void)revents;
  self->rounds++;
  if (self->rounds <= ROUNDS) ev_async_send(self->other->loop, &self->other->ball);
  if (self->rounds >= ROUNDS) ev_break(loop, EVBREAK_ALL);
}

static void *play_all(void *arg) {
  struct player *self = arg;
  if (self->first) ev_async_send(self->other->loop, &self->other->ball);
  run_guarded(self->loop, 0);
  return NULL;
}

CASE(two_loops_in_two_threads_play_ball) {
  struct player players[2];
  pthread_t threads[2];
  for (int i = 0; i < 2; i++) {
    players[i] = (struct player){.loop = new_loop(0), .other = &players[!i], .first = i};
    ev_async_init(&players[i].ball, play);
    players[i].ball.data = &players[i];
    ev_async_start(players[i].loop, &players[i].ball);
  }
  for (int i = 0; i < 2; i++) NEED(!pthread_create(&threads[i], NULL, play_all, &players[i]));
  for (int i = 0; i < 2; i++) NEED(!pthread_join(threads[i], NULL));
  for (int i = 0; i < 2; i++) trace("player %d: %d rounds", i, players[i].rounds);
  for (int i = 0; i < 2; i++) {
    ev_async_stop(players[i].loop, &players[i].ball);
    ev_loop_destroy(players[i].loop);
  }
}

struct worker {
  struct ev_loop *loop;
  ev_timer timer;
  ev_io io;
  int ends[2], ticks, bytes;
};

static void tick(struct ev_loop *loop, ev_timer *w, int revents) {
  struct worker *self = w->data;
  (void)revents;
  if (++self->ticks == 50) ev_timer_stop(loop, w);
  put(self->ends[1], 1);
}

static void take(struct ev_loop *loop, ev_io *w, int revents) {
  struct worker *self = w->data;
  (void)revents;
  self->bytes += drain(w->fd);
  if (self->bytes == 50) ev_io_stop(loop, w);
}

static void *work(void *arg) {
  struct worker *self = arg;
  self->loop = new_loop(0);
  make_pipe(self->ends);
  ev_timer_init(&self->timer, tick, 0.0005, 0.0005);
  ev_io_init(&self->io, take, self->ends[0], EV_READ);
  self->timer.data = self->io.data = self;
  ev_timer_start(self->loop, &self->timer);
  ev_io_start(self->loop, &self->io);
  run_guarded(self->loop, 0);
  ev_loop_destroy(self->loop);
  close_both(self->ends);
  return NULL;
}

CASE(four_loops_in_four_threads_each_for_itself) {
  struct worker workers[4];
  pthread_t threads[4];
  memset(workers, 0, sizeof workers);
  for (int i = 0; i < 4; i++) NEED(!pthread_create(&threads[i], NULL, work, &workers[i]));
  for (int i = 0; i < 4; i++) NEED(!pthread_join(threads[i], NULL));
  for (int i = 0; i < 4; i++) trace("worker %d: %d ticks, %d bytes", i, workers[i].ticks, workers[i].bytes);
}
