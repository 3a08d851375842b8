/* SPDX-License-Identifier: BSD-3-Clause */
/* Loops and threads: a loop is whose hands it is in, one at a time. */
#include "diff.h"

#include <pthread.h>

struct hand {
  struct ev_loop *loop;
  ev_timer timer;
  ev_io io;
  ev_async async;
  int ends[2], ticks, bytes;
};

static void tick(struct ev_loop *loop, ev_timer *w, int revents) {
  struct hand *h = w->data;
  (void)revents;
  put(h->ends[1], 1);
  if (++h->ticks % 5 == 0) ev_break(loop, EVBREAK_ALL);
}

static void take(struct ev_loop *loop, ev_io *w, int revents) {
  struct hand *h = w->data;
  (void)loop;
  (void)revents;
  h->bytes += drain(w->fd);
}

static void told(struct ev_loop *loop, ev_async *w, int revents) {
  (void)w;
  trace("async: %s", bits(revents));
  ev_break(loop, EVBREAK_ALL);
}

static void hand_start(struct hand *h, struct ev_loop *loop) {
  memset(h, 0, sizeof *h);
  h->loop = loop;
  make_pipe(h->ends);
  ev_timer_init(&h->timer, tick, 0.001, 0.001);
  ev_io_init(&h->io, take, h->ends[0], EV_READ);
  ev_async_init(&h->async, told);
  h->timer.data = h->io.data = h;
  ev_timer_start(loop, &h->timer);
  ev_io_start(loop, &h->io);
  ev_async_start(loop, &h->async);
}

static void hand_stop(struct hand *h) {
  ev_timer_stop(h->loop, &h->timer);
  ev_io_stop(h->loop, &h->io);
  ev_async_stop(h->loop, &h->async);
  close_both(h->ends);
  ev_loop_destroy(h->loop);
}

static void *run_it(void *arg) {
  struct hand *h = arg;
  run_guarded(h->loop, 0);
  turn(h->loop);
  return NULL;
}

static void in_thread(void *(*body)(void *), void *arg) {
  pthread_t thread;
  NEED(!pthread_create(&thread, NULL, body, arg));
  NEED(!pthread_join(thread, NULL));
}

static void handed_on(struct ev_loop *loop) {
  struct hand h;
  hand_start(&h, loop);
  for (int i = 0; i < 3; i++) {
    in_thread(run_it, &h);
    trace("in a thread: %d ticks in all", h.ticks >= 5 * (2 * i + 1));
    run_it(&h);
    trace("and here: %d", h.ticks >= 5 * (2 * i + 2));
  }
  ev_timer_stop(h.loop, &h.timer);
  turns(h.loop, 2);
  trace("every byte: %d", h.bytes == h.ticks);
  ev_async_send(h.loop, &h.async);
  in_thread(run_it, &h);
  hand_stop(&h);
}

CASE(a_loop_is_handed_from_thread_to_thread) { handed_on(new_loop(0)); }
CASE(the_default_loop_is_handed_from_thread_to_thread) { handed_on(ev_default_loop(EVFLAG_NOENV)); }

static void *make_it(void *arg) {
  hand_start(arg, new_loop(0));
  return NULL;
}

CASE(a_loop_outlives_the_thread_that_made_it) {
  struct hand h;
  in_thread(make_it, &h);
  run_it(&h);
  trace("ticks: %d", h.ticks >= 5);
  hand_stop(&h);
}

static void *destroy_it(void *arg) {
  hand_stop(arg);
  return NULL;
}

CASE(a_loop_is_destroyed_by_another_thread) {
  struct hand h;
  hand_start(&h, new_loop(0));
  run_it(&h);
  in_thread(destroy_it, &h);
  trace("done");
}

/* --- One loop within another's callback, on one thread */

static struct ev_loop *second_loop;
static int second_calls;

static void second_tick(struct ev_loop *loop, ev_timer *w, int revents) {
  (void)revents;
  trace("second loop, depth %u", ev_depth(loop));
  if (++second_calls % 2 == 0) ev_timer_stop(loop, w);
}

static void run_the_other(struct ev_loop *loop, ev_timer *w, int revents) {
  int *left = w->data;
  ev_timer t;
  (void)revents;
  trace("first loop, depth %u and %u", ev_depth(loop), ev_depth(second_loop));
  ev_timer_init(&t, second_tick, 0.001, 0.001);
  ev_now_update(second_loop);
  ev_timer_start(second_loop, &t);
  trace("run: %d", run_guarded(second_loop, 0));
  if (!--*left) ev_timer_stop(loop, w);
}

CASE(one_loop_runs_in_a_callback_of_another) {
  struct ev_loop *loop = new_loop(0);
  int left = 2;
  ev_timer w;
  second_loop = new_loop(0);
  ev_timer_init(&w, run_the_other, 0.001, 0.001);
  w.data = &left;
  ev_timer_start(loop, &w);
  trace("run: %d", run_guarded(loop, 0));
  ev_loop_destroy(second_loop);
  ev_loop_destroy(loop);
}

/* --- The locking that the manual proposes: the loop's thread gives its lock away while it waits */

struct locked {
  pthread_mutex_t lock;
  pthread_cond_t invoked;
  ev_async wake;
  ev_timer added;
  ev_io io;
  int ends[2];
  int fired, bytes, invokes, stop; /* under the lock */
};

static void lock_release(struct ev_loop *loop) EV_NOEXCEPT {
  struct locked *l = ev_userdata(loop);
  pthread_mutex_unlock(&l->lock);
}

static void lock_acquire(struct ev_loop *loop) EV_NOEXCEPT {
  struct locked *l = ev_userdata(loop);
  pthread_mutex_lock(&l->lock);
}

/* Callbacks are called by the main thread, which the loop's thread waits for. */
static void lock_invoke(struct ev_loop *loop) {
  struct locked *l = ev_userdata(loop);
  while (ev_pending_count(loop)) {
    l->invokes++;
    pthread_cond_signal(&l->invoked);
    pthread_cond_wait(&l->invoked, &l->lock);
  }
}

static void wake_up(struct ev_loop *loop, ev_async *w, int revents) {
  struct locked *l = ev_userdata(loop);
  (void)w;
  (void)revents;
  if (l->stop) ev_break(loop, EVBREAK_ALL);
}

static void added_fired(struct ev_loop *loop, ev_timer *w, int revents) {
  struct locked *l = ev_userdata(loop);
  (void)w;
  (void)revents;
  l->fired++;
}

static void added_read(struct ev_loop *loop, ev_io *w, int revents) {
  struct locked *l = ev_userdata(loop);
  (void)revents;
  l->bytes += drain(w->fd);
}

static void *run_locked(void *arg) {
  struct ev_loop *loop = arg;
  lock_acquire(loop);
  ev_run(loop, 0);
  lock_release(loop);
  return NULL;
}

/* Calls what is pending for the loop's thread until the condition holds. */
static void serve_until(struct ev_loop *loop, struct locked *l, const int *value, int wanted) {
  while (*value < wanted) {
    while (!ev_pending_count(loop)) {
      struct timespec until;
      clock_gettime(CLOCK_REALTIME, &until);
      until.tv_sec += (time_t)PATIENCE;
      if (pthread_cond_timedwait(&l->invoked, &l->lock, &until)) {
        trace("gave up waiting");
        _exit(1);
      }
    }
    ev_invoke_pending(loop);
    pthread_cond_signal(&l->invoked);
  }
}

CASE(the_locking_of_the_manual) {
  struct ev_loop *loop = new_loop(0);
  struct locked l;
  pthread_t thread;
  memset(&l, 0, sizeof l);
  pthread_mutex_init(&l.lock, NULL);
  pthread_cond_init(&l.invoked, NULL);
  make_pipe(l.ends);
  ev_async_init(&l.wake, wake_up);
  ev_async_start(loop, &l.wake);
  ev_set_userdata(loop, &l);
  ev_set_invoke_pending_cb(loop, lock_invoke);
  ev_set_loop_release_cb(loop, lock_release, lock_acquire);
  NEED(!pthread_create(&thread, NULL, run_locked, loop));

  pthread_mutex_lock(&l.lock);
  ev_now_update(loop);
  ev_timer_init(&l.added, added_fired, 0.001, 0.001);
  ev_timer_start(loop, &l.added);
  ev_async_send(loop, &l.wake);
  serve_until(loop, &l, &l.fired, 3);
  ev_timer_stop(loop, &l.added);
  trace("timers fired: %d", l.fired >= 3);
  ev_io_init(&l.io, added_read, l.ends[0], EV_READ);
  ev_io_start(loop, &l.io);
  put(l.ends[1], 5);
  ev_async_send(loop, &l.wake);
  serve_until(loop, &l, &l.bytes, 5);
  trace("bytes read: %d, asked: %d", l.bytes, l.invokes > 0);
  ev_io_stop(loop, &l.io);
  int served = l.invokes + 1;
  l.stop = 1;
  ev_async_send(loop, &l.wake);
  serve_until(loop, &l, &l.invokes, served);
  pthread_mutex_unlock(&l.lock);
  NEED(!pthread_join(thread, NULL));
  trace("ended: depth %u", ev_depth(loop));
  ev_async_stop(loop, &l.wake);
  close_both(l.ends);
  ev_loop_destroy(loop);
}

/* A simpler one: callbacks on the loop's thread, changes by others while it waits. */
CASE(watchers_started_by_another_thread_under_a_lock) {
  struct ev_loop *loop = new_loop(0);
  struct locked l;
  pthread_t thread;
  memset(&l, 0, sizeof l);
  pthread_mutex_init(&l.lock, NULL);
  make_pipe(l.ends);
  ev_async_init(&l.wake, wake_up);
  ev_async_start(loop, &l.wake);
  ev_set_userdata(loop, &l);
  ev_set_loop_release_cb(loop, lock_release, lock_acquire);
  NEED(!pthread_create(&thread, NULL, run_locked, loop));
  ev_io_init(&l.io, added_read, l.ends[0], EV_READ);
  for (int i = 1; i <= 100; i++) {
    pthread_mutex_lock(&l.lock);
    ev_io_start(loop, &l.io);
    ev_async_send(loop, &l.wake);
    pthread_mutex_unlock(&l.lock);
    put(l.ends[1], 1);
    for (int k = 0;; k++) {
      pthread_mutex_lock(&l.lock);
      int bytes = l.bytes;
      if (bytes == i) ev_io_stop(loop, &l.io);
      pthread_mutex_unlock(&l.lock);
      if (bytes == i) break;
      NEED(k < (int)PATIENCE * 1000);
      ev_sleep(0.001);
    }
  }
  trace("bytes: %d", l.bytes);
  pthread_mutex_lock(&l.lock);
  l.stop = 1;
  ev_async_send(loop, &l.wake);
  pthread_mutex_unlock(&l.lock);
  NEED(!pthread_join(thread, NULL));
  ev_async_stop(loop, &l.wake);
  close_both(l.ends);
  ev_loop_destroy(loop);
}

/* --- The process ends while a loop runs */

static void now_running(struct ev_loop *loop, ev_timer *w, int revents) {
  (void)loop;
  (void)revents;
  put(*(int *)w->data, 1);
}

static void *run_for_ever(void *arg) {
  struct ev_loop *loop = new_loop(0);
  ev_timer w;
  ev_timer_init(&w, now_running, 0.001, 0.001);
  w.data = arg;
  ev_timer_start(loop, &w);
  ev_run(loop, 0);
  return NULL;
}

static void exit_meanwhile(void *arg) {
  int *ends = arg;
  char byte;
  pthread_t thread;
  fcntl(ends[0], F_SETFL, 0);
  fcntl(ends[1], F_SETFL, 0);
  NEED(!pthread_create(&thread, NULL, run_for_ever, &ends[1]));
  NEED(!pthread_detach(thread));
  NEED(read(ends[0], &byte, 1) == 1);
  trace("it runs");
  exit(7);
}

CASE(a_process_that_ends_while_a_thread_runs_a_loop) {
  for (int i = 0; i < 5; i++) {
    int ends[2];
    make_pipe(ends);
    in_child("child", exit_meanwhile, ends);
    close_both(ends);
  }
}
