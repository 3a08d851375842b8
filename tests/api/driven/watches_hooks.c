/* SPDX-License-Identifier: BSD-3-Clause */
/* Watches and other threads: the hooks around each wait, wishes made between them, and wake-ups, of which none is lost. */
#include "support/watched.h"

#include <unistd.h>

#include "support/cmocka.h"

/* ---- When they are called ---- */

struct hooks {
  struct watched *w;
  uint32_t before, after, told_inside, disorder, inside;
};

static void enter(void *arg) {
  struct hooks *h = arg;
  h->disorder += h->inside;
  h->inside = 1;
  h->before++;
  h->told_inside = h->w->calls + h->w->errors;
}

static void leave(void *arg) {
  struct hooks *h = arg;
  h->disorder += !h->inside || h->told_inside != h->w->calls + h->w->errors;
  h->inside = 0;
  h->after++;
}

static void told_outside(struct watched *w, int32_t fd) {
  (void)fd;
  w->strange += ((struct hooks *)w->aux)->inside;
}

static void around_each_wait(void **state) {
  struct watched *w = watched_new(*state);
  struct hooks *h = fixture_take(*state, sizeof *h);
  int fd[2];
  fixture_pair(*state, fd);
  h->w = w;
  w->aux = h;
  w->then = told_outside;
  assert_int_equal(torque_watch_set_hooks(w->f->ctx, enter, leave, h), 0);
  wish(w, fd[0], TORQUE_READ, 0);
  say(fd[1], 1);
  for (uint32_t i = 1; i <= 10; i++) {
    assert_int_equal(torque_run_once(w->f->ctx, i & 1 ? UINT64_MAX : 0, NULL), 0);
    assert_int_equal(h->before, i);
    assert_int_equal(h->after, i);
  }
  drain(fd[0], NULL);
  assert_int_equal(torque_run_once(w->f->ctx, 1000000, NULL), 0); /* also where nothing comes */
  assert_int_equal(h->after, 11);
  wish(w, 9999, TORQUE_READ, 0); /* an error is told outside as well */
  assert_int_equal(pass(w), 1);
  assert_int_equal(h->disorder, 0);
  assert_int_equal(w->strange, 0);
}

static void either_may_be_missing(void **state) {
  struct watched *w = watched_new(*state);
  struct hooks *h = fixture_take(*state, sizeof *h);
  h->w = w;
  assert_int_equal(torque_watch_set_hooks(w->f->ctx, enter, NULL, h), 0);
  (void)pass(w);
  h->inside = 0;
  assert_int_equal(torque_watch_set_hooks(w->f->ctx, NULL, NULL, h), 0);
  (void)pass(w);
  assert_int_equal(h->before, 1);
  h->inside = 1;
  assert_int_equal(torque_watch_set_hooks(w->f->ctx, NULL, leave, h), 0);
  (void)pass(w);
  assert_int_equal(h->before, 1);
  assert_int_equal(h->after, 1);
}

/* ---- Wishes of another thread ---- */

struct shared {
  struct watched *w;
  pthread_mutex_t lock; /* given up around each wait */
  int fd[2];
  uint32_t served; /* under the lock */
  _Atomic uint32_t waits, errors;
  uint32_t rounds;
};

static void give_up(void *arg) {
  struct shared *s = arg;
  atomic_fetch_add(&s->waits, 1);
  pthread_mutex_unlock(&s->lock);
}
static void take_again(void *arg) { pthread_mutex_lock(&((struct shared *)arg)->lock); }

static void serve(struct watched *w, int32_t fd) {
  struct shared *s = w->aux;
  drain(fd, NULL);
  s->served++;
  if (torque_watch(w->f->ctx, fd, 0, 0)) w->strange++; /* until the other one wishes again */
}

static struct shared *share(struct watched *w, uint32_t rounds) {
  struct shared *s = fixture_take(w->f, sizeof *s);
  *s = (struct shared){.w = w, .rounds = rounds};
  pthread_mutex_init(&s->lock, NULL);
  fixture_pair(w->f, s->fd);
  w->aux = s;
  w->then = serve;
  assert_int_equal(torque_watch_set_hooks(w->f->ctx, give_up, take_again, s), 0);
  return s;
}

static uint32_t served(struct shared *s) {
  pthread_mutex_lock(&s->lock);
  const uint32_t n = s->served;
  pthread_mutex_unlock(&s->lock);
  return n;
}

static void *wish_and_wake(void *arg) {
  struct shared *s = arg;
  struct fixture *f = s->w->f;
  for (uint32_t i = 1; i <= s->rounds && !atomic_load(&f->quit); i++) {
    if (i % 8 == 0) nap(); /* until it sleeps for sure; else it is about to */
    say(s->fd[1], 1);
    pthread_mutex_lock(&s->lock);
    const torque_err wished = torque_watch(f->ctx, s->fd[0], TORQUE_READ, i & 1 ? TORQUE_WATCH_EDGE : 0);
    pthread_mutex_unlock(&s->lock);
    if (wished || torque_wake(f->ctx)) atomic_fetch_add(&s->errors, 1);
    STAY_UNTIL(served(s) >= i || atomic_load(&f->quit));
  }
  return NULL;
}

static void another_thread_wishes_and_wakes(void **state) {
  struct watched *w = watched_new(*state);
  struct shared *s = share(w, FEWER(5000));
  uint32_t in_vain = 0;
  fixture_thread(*state, wish_and_wake, s);
  pthread_mutex_lock(&s->lock);
  while (s->served < s->rounds && !in_vain) {
    uint64_t begin = monotonic_ns();
    (void)torque_run_once(w->f->ctx, 20000000000u, NULL);
    in_vain += monotonic_ns() - begin >= 20000000000u;
  }
  pthread_mutex_unlock(&s->lock);
  assert_int_equal(in_vain, 0);
  fixture_join(*state);
  assert_int_equal(s->errors + w->strange + w->errors, 0);
  assert_int_equal(s->served, s->rounds);
}

/* ---- Wake-ups ---- */

/* Each says "done" in a word of the program's, then wakes; whoever waits looks at the words before each wait. */
enum { WAKERS = 3 };

struct wakers {
  struct fixture *f;
  _Atomic uint32_t asked[WAKERS], seen[WAKERS], errors;
  _Atomic uint32_t next;
  uint32_t rounds;
};

static void *ask_and_wake(void *arg) {
  struct wakers *all = arg;
  const uint32_t me = atomic_fetch_add(&all->next, 1);
  for (uint32_t i = 1; i <= all->rounds && !atomic_load(&all->f->quit); i++) {
    if ((i + me) % 16 == 0) nap();
    atomic_store(&all->asked[me], i);
    if (torque_wake(all->f->ctx)) atomic_fetch_add(&all->errors, 1);
    STAY_UNTIL(atomic_load(&all->seen[me]) >= i || atomic_load(&all->f->quit));
  }
  return NULL;
}

static int all_seen(struct wakers *all) {
  int seen = 1;
  for (int i = 0; i < WAKERS; i++) {
    const uint32_t asked = atomic_load(&all->asked[i]);
    atomic_store(&all->seen[i], asked);
    seen &= asked == all->rounds;
  }
  return seen;
}

static void no_wake_up_is_lost(void **state) {
  struct watched *w = watched_new(*state);
  struct wakers *all = fixture_take(*state, sizeof *all);
  int fd[2];
  fixture_pair(*state, fd);
  *all = (struct wakers){.f = *state, .rounds = FEWER(5000)};
  wish(w, fd[0], TORQUE_READ, 0);
  for (int i = 0; i < WAKERS; i++) fixture_thread(*state, ask_and_wake, all);
  int woken = 1;
  while (woken && !all_seen(all)) {
    if (all->seen[0] % 8 == 1) say(fd[1], 1); /* some passes have something to tell as well */
    else drain(fd[0], NULL);
    woken = pass_woken(w);
  }
  assert_true(woken);
  fixture_join(*state);
  assert_int_equal(all->errors, 0);
}

/* What is told in a pass, in order: -1 is a wake-up. */
struct in_order {
  struct fixture *f;
  int32_t what[16];
  uint32_t n;
  int wake_as_it_returns;
};

static void note(struct in_order *o, int32_t what) {
  if (o->n < 16) o->what[o->n++] = what;
}
static void note_told(struct watched *w, int32_t fd) { note(w->aux, fd); }
static void note_woken(void *arg) { note(arg, -1); }
static void wake_late(void *arg) {
  struct in_order *o = arg;
  if (o->wake_as_it_returns) torque_wake(o->f->ctx);
  o->wake_as_it_returns = 0;
}

static struct in_order *notes_of(struct watched *w) {
  struct in_order *o = fixture_take(w->f, sizeof *o);
  o->f = w->f;
  w->aux = o;
  w->then = note_told;
  assert_int_equal(torque_watch_set_woken(w->f->ctx, note_woken, o), 0);
  return o;
}

static void a_wake_up_is_told_in_its_place(void **state) {
  struct watched *w = watched_new(*state);
  struct in_order *o = notes_of(w);
  int one[2], two[2];
  fixture_pair(*state, one);
  fixture_pair(*state, two);
  wish(w, one[0], TORQUE_READ, 0);
  wish(w, two[0], TORQUE_READ, 0);
  (void)pass(w);
  say(one[1], 1);
  assert_int_equal(torque_wake(w->f->ctx), 0);
  assert_int_equal(torque_wake(w->f->ctx), 0);
  say(two[1], 1);
  assert_int_equal(pass(w), 2); /* it is not among what is counted */
  assert_int_equal(o->n, 3);
  assert_int_equal(o->what[0], one[0]);
  assert_int_equal(o->what[1], -1);
  assert_int_equal(o->what[2], two[0]);
  assert_int_equal(pass(w), 2);
  assert_int_equal(o->n, 5); /* told once */
  assert_int_equal(torque_watch_set_woken(w->f->ctx, NULL, NULL), 0);
  assert_int_equal(torque_wake(w->f->ctx), 0);
  assert_int_equal(pass(w), 2);
  assert_int_equal(o->n, 7);
}

static void a_wake_up_after_the_wait_is_the_next_passs(void **state) {
  struct watched *w = watched_new(*state);
  struct in_order *o = notes_of(w);
  int fd[2];
  fixture_pair(*state, fd);
  wish(w, fd[0], TORQUE_READ, 0);
  say(fd[1], 1);
  assert_int_equal(torque_watch_set_hooks(w->f->ctx, NULL, wake_late, o), 0);
  o->wake_as_it_returns = 1;
  assert_int_equal(pass(w), 1);
  assert_int_equal(o->n, 1);
  assert_int_equal(o->what[0], fd[0]);
  drain(fd[0], NULL);
  assert_true(pass_woken(w)); /* and that one does not sleep */
  assert_int_equal(o->n, 2);
  assert_int_equal(o->what[1], -1);
}

/* Posted functions wake it, too, without anybody's calling torque_wake(). */
struct posters {
  struct fixture *f;
  _Atomic uint32_t posted, ran, errors;
  uint32_t rounds;
};

static void ran(void *arg) { atomic_fetch_add(&((struct posters *)arg)->ran, 1); }

static void *post_one_by_one(void *arg) {
  struct posters *p = arg;
  for (uint32_t i = 1; i <= p->rounds && !atomic_load(&p->f->quit); i++) {
    if (i % 8 == 0) nap();
    if (torque_post(p->f->ctx, ran, p)) atomic_fetch_add(&p->errors, 1);
    STAY_UNTIL(atomic_load(&p->ran) >= i || atomic_load(&p->f->quit));
  }
  return NULL;
}

static struct posters *post_from_a_thread(struct fixture *f, uint32_t rounds) {
  struct posters *p = fixture_take(f, sizeof *p);
  *p = (struct posters){.f = f, .rounds = rounds};
  fixture_thread(f, post_one_by_one, p);
  return p;
}

static void no_posted_function_is_left(void **state) {
  struct watched *w = watched_new(*state);
  struct posters *p = post_from_a_thread(*state, FEWER(5000));
  int woken = 1;
  while (woken && p->ran < p->rounds) woken = pass_woken(w);
  assert_true(woken);
  fixture_join(*state);
  assert_int_equal(p->errors, 0);
  assert_int_equal(p->ran, p->rounds);
}

/* The same while the one who waits does so in a callback. */
struct nested {
  struct watched *w;
  uint32_t in_vain, posts;
  torque_err err;
};

static void wait_inside(void *arg) {
  struct nested *n = arg;
  struct posters *p = post_from_a_thread(n->w->f, n->posts);
  while (!n->err && !n->in_vain && p->ran < p->rounds) {
    const uint64_t begin = monotonic_ns();
    n->err = torque_run_once(n->w->f->ctx, 20000000000u, NULL);
    n->in_vain += monotonic_ns() - begin >= 20000000000u;
  }
}

static int32_t on_event(torque_source source, int32_t fd, uint32_t events, void *arg) {
  (void)source, (void)fd, (void)events;
  wait_inside(arg);
  return TORQUE_DONE;
}

static void a_nested_wait_is_woken_too(void **state) {
  struct fixture *f = *state;
  struct watched *w = watched_new(f);
  struct nested *n = fixture_take(f, sizeof *n);
  torque_source source = 0;
  *n = (struct nested){.w = w, .posts = FEWER(2000)};
  assert_int_equal(torque_event_add(f->ctx, 0, on_event, n, &source), 0);
  assert_int_equal(torque_trigger(source, 0), 0);
  (void)pass(w);
  assert_int_equal(n->err, 0);
  assert_int_equal(n->in_vain, 0);
  fixture_join(f);
  struct posters *p = post_from_a_thread(f, FEWER(1000)); /* and afterwards the outer one */
  int woken = 1;
  while (woken && p->ran < p->rounds) woken = pass_woken(w);
  assert_true(woken);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      ON(driven, around_each_wait),
      ON(driven, either_may_be_missing),
      ON(driven, another_thread_wishes_and_wakes),
      ON(driven, no_wake_up_is_lost),
      ON(driven, a_wake_up_is_told_in_its_place),
      ON(driven, a_wake_up_after_the_wait_is_the_next_passs),
      ON(driven, no_posted_function_is_left),
      ON(driven, a_nested_wait_is_woken_too),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
