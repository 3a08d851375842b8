/* SPDX-License-Identifier: BSD-3-Clause */
/* Random programs: watchers of all kinds, whose callbacks start, stop, feed, clear and run again what they like. What
   they do depends on the seed and on what was called before, so that one difference becomes many. Nothing depends on
   real time: what is due is seconds late, what is not is hours away; no two are due at the same time. */
#include "narrate.h"

enum { TIMERS = 12, PERIODICS = 8, PAIRS = 5, READERS = 10, HOOKS = 4, ASYNCS = 4, SIGNALS = 3, BARES = 6 };

static struct ev_loop *loop;
static ev_timer timers[TIMERS];
static ev_periodic periodics[PERIODICS];
static ev_io readers[READERS];
static ev_prepare prepares[HOOKS];
static ev_check checks[HOOKS];
static ev_idle idles[HOOKS];
static ev_async asyncs[ASYNCS];
static ev_signal signals[SIGNALS];
static ev_watcher bares[BARES];
static int pairs[PAIRS][2];

static uint64_t seed;
static int budget;     /* of what callbacks may still do in this step */
static int nesting;    /* runs within callbacks */
static int in_hook;    /* a prepare or check callback is on the stack: no runs from there */
static int with_async; /* the loop's own watcher counts as pending, too: the number is not told */
static int serial;     /* makes due times differ */

static unsigned any(unsigned below) {
  seed = seed * 6364136223846793005u + 1442695040888963407u;
  return (unsigned)(seed >> 33) % below;
}

static void act(void);

static void called(void *w, int revents) {
  trace("%*s%s: %s, %s", nesting * 2, "", name_of(w), bits(revents), state(w));
  for (unsigned n = any(3); n-- && budget > 0;) act();
}

#define CALLED(type)                                                        \
  static void called_##type(struct ev_loop *l, ev_##type *w, int revents) { \
    (void)l;                                                                \
    called(w, revents);                                                     \
  }
CALLED(timer)
CALLED(periodic)
CALLED(io)
CALLED(idle)
CALLED(async)
CALLED(signal)
CALLED(watcher)

#define HOOKED(type)                                                        \
  static void called_##type(struct ev_loop *l, ev_##type *w, int revents) { \
    (void)l;                                                                \
    in_hook++;                                                              \
    called(w, revents);                                                     \
    in_hook--;                                                              \
  }
HOOKED(prepare)
HOOKED(check)

static int idle_now(void *w) { return !ev_is_active(w) && !ev_is_pending(w); }

static ev_tstamp later(ev_periodic *w, ev_tstamp now) { return now + 5000. + (double)(w - periodics); }

static void start_timer_anyhow(ev_timer *t) {
  if (!idle_now(t)) return;
  ev_set_priority(t, (int)any(5) - 2);
  double after = (double)(++serial % 3000);
  ev_timer_set(t, any(3) ? -after : 4000. + after, any(2) ? 0. : 20000. + (double)serial);
  ev_timer_start(loop, t);
}

static void start_periodic_anyhow(ev_periodic *p) {
  if (!idle_now(p)) return;
  ev_set_priority(p, (int)any(5) - 2);
  double offset = (double)(++serial % 3000) + .5;
  switch (any(3)) {
    case 0:
      ev_periodic_set(p, 1e9 + offset, 0., NULL);
      break;
    case 1:
      ev_periodic_set(p, ev_time() + 9000. + offset, 0., NULL);
      break;
    case 2:
      ev_periodic_set(p, 0., 0., later);
      break;
  }
  ev_periodic_start(loop, p);
}

static void act_on_timer(ev_timer *t) {
  switch (any(6)) {
    case 0:
      ev_timer_stop(loop, t);
      break;
    case 1:
      ev_timer_again(loop, t);
      break;
    case 2:
      trace("clear %s: %s", name_of(t), bits(ev_clear_pending(loop, t)));
      break;
    default:
      start_timer_anyhow(t);
      break;
  }
}

static void act_on_periodic(ev_periodic *p) {
  switch (any(5)) {
    case 0:
      ev_periodic_stop(loop, p);
      break;
    case 1:
      if (ev_is_active(p)) ev_periodic_again(loop, p);
      break;
    default:
      start_periodic_anyhow(p);
      break;
  }
}

/* Each pair has a priority of its own: which of two descriptors the kernel tells first is not the library's doing. */
static void act_on_reader(ev_io *r) {
  int pair = (int)(r - readers) % PAIRS;
  static const int asked[] = {EV_READ, EV_READ, EV_WRITE, EV_READ | EV_WRITE};
  switch (any(6)) {
    case 0:
      ev_io_stop(loop, r);
      break;
    case 1:
      put(pairs[pair][1], 1);
      break;
    case 2:
      drain(pairs[pair][0]);
      break;
    case 3:
      ev_feed_fd_event(loop, pairs[pair][0], EV_READ);
      break;
    default:
      if (!idle_now(r)) break;
      ev_set_priority(r, pair - 2);
      ev_io_set(r, pairs[pair][0], asked[any(4)]);
      ev_io_start(loop, r);
  }
}

static void act_on_hook(unsigned n) {
  int stop = any(3) == 0;
  int priority = (int)any(5) - 2;
  switch (any(3)) {
    case 0:
      if (idle_now(&prepares[n])) ev_set_priority(&prepares[n], priority);
      if (stop)
        ev_prepare_stop(loop, &prepares[n]);
      else
        ev_prepare_start(loop, &prepares[n]);
      break;
    case 1:
      if (idle_now(&checks[n])) ev_set_priority(&checks[n], priority);
      if (stop)
        ev_check_stop(loop, &checks[n]);
      else
        ev_check_start(loop, &checks[n]);
      break;
    case 2:
      if (idle_now(&idles[n])) ev_set_priority(&idles[n], priority);
      if (stop)
        ev_idle_stop(loop, &idles[n]);
      else
        ev_idle_start(loop, &idles[n]);
      break;
  }
}

static void act_on_async(ev_async *a) {
  if (!with_async) return;
  switch (any(5)) {
    case 0:
      ev_async_stop(loop, a);
      break;
    case 1:
    case 2:
      if (ev_is_active(a)) ev_async_send(loop, a);
      break;
    default:
      if (idle_now(a)) ev_set_priority(a, (int)any(4) - 2);
      ev_async_start(loop, a);
  }
}

static void act_on_signal(ev_signal *s) {
  switch (any(4)) {
    case 0:
      ev_signal_stop(loop, s);
      break;
    case 1:
      ev_feed_signal_event(loop, SIGUSR1);
      break;
    default:
      if (idle_now(s)) ev_set_priority(s, (int)any(5) - 2);
      ev_signal_start(loop, s);
  }
}

static void act_on_bare(ev_watcher *b) {
  switch (any(4)) {
    case 0:
      trace("clear %s: %s", name_of(b), bits(ev_clear_pending(loop, b)));
      break;
    case 1:
      if (idle_now(b)) ev_set_priority(b, (int)any(5) - 2);
      ev_feed_event(loop, b, 1 << any(20));
      break;
    default:
      ev_feed_event(loop, b, EV_CUSTOM);
      break;
  }
}

static void run_something(void) {
  if (in_hook || nesting > 2) return;
  nesting++;
  switch (any(4)) {
    case 0:
      ev_run(loop, EVRUN_NOWAIT);
      break;
    case 1:
      ev_invoke_pending(loop);
      break;
    case 2:
      ev_break(loop, any(2) ? EVBREAK_ONE : EVBREAK_ALL);
      break;
    case 3:
      ev_break(loop, EVBREAK_CANCEL);
      break;
  }
  nesting--;
}

static void act(void) {
  budget--;
  switch (any(12)) {
    case 0:
    case 1:
      act_on_timer(&timers[any(TIMERS)]);
      break;
    case 2:
      act_on_periodic(&periodics[any(PERIODICS)]);
      break;
    case 3:
    case 4:
      act_on_reader(&readers[any(READERS)]);
      break;
    case 5:
    case 6:
      act_on_hook(any(HOOKS));
      break;
    case 7:
      act_on_async(&asyncs[any(ASYNCS)]);
      break;
    case 8:
      act_on_signal(&signals[any(SIGNALS)]);
      break;
    case 9:
    case 10:
      act_on_bare(&bares[any(BARES)]);
      break;
    case 11:
      run_something();
      break;
  }
}

static char *numbered(const char *kind, int number) {
  char *name = malloc(24);
  NEED(name);
  snprintf(name, 24, "%s %d", kind, number);
  return name;
}

static void make_all(void) {
  for (int i = 0; i < PAIRS; i++) make_pair(pairs[i]);
#define MAKE(array, count, type)          \
  for (int i = 0; i < (count); i++) {     \
    ev_init(&(array)[i], called_##type);  \
    (array)[i].data = numbered(#type, i); \
  }
  MAKE(timers, TIMERS, timer)
  MAKE(periodics, PERIODICS, periodic)
  MAKE(readers, READERS, io)
  MAKE(prepares, HOOKS, prepare)
  MAKE(checks, HOOKS, check)
  MAKE(idles, HOOKS, idle)
  MAKE(asyncs, ASYNCS, async)
  MAKE(signals, SIGNALS, signal)
  MAKE(bares, BARES, watcher)
#undef MAKE
  for (int i = 0; i < TIMERS; i++) ev_timer_set(&timers[i], 0., 0.);
  for (int i = 0; i < PERIODICS; i++) ev_periodic_set(&periodics[i], 0., 0., later);
  for (int i = 0; i < READERS; i++) ev_io_set(&readers[i], pairs[i % PAIRS][0], EV_READ);
  for (int i = 0; i < SIGNALS; i++) ev_signal_set(&signals[i], SIGUSR1);
}

static void stop_all(void) {
  for (int i = 0; i < TIMERS; i++) ev_timer_stop(loop, &timers[i]);
  for (int i = 0; i < PERIODICS; i++) ev_periodic_stop(loop, &periodics[i]);
  for (int i = 0; i < READERS; i++) ev_io_stop(loop, &readers[i]);
  for (int i = 0; i < SIGNALS; i++) ev_signal_stop(loop, &signals[i]);
  for (int i = 0; i < ASYNCS; i++) ev_async_stop(loop, &asyncs[i]);
  for (int i = 0; i < BARES; i++) ev_clear_pending(loop, &bares[i]);
  for (int i = 0; i < HOOKS; i++) {
    ev_prepare_stop(loop, &prepares[i]);
    ev_check_stop(loop, &checks[i]);
    ev_idle_stop(loop, &idles[i]);
  }
}

static void random_program(uint64_t from, int steps) {
  seed = from;
  loop = new_loop(0);
  make_all();
  for (int step = 0; step < steps; step++) {
    budget = 12;
    for (unsigned n = any(4); n--;) act();
    budget = 12;
    int active = turn(loop);
    if (with_async)
      trace("step %d: %d", step, active);
    else
      trace("step %d: %d, iterations %u, pending %u", step, active, ev_iteration(loop), ev_pending_count(loop));
    if (step % 16 == 0) ev_verify(loop);
  }
  stop_all();
  trace("turn %d", turn(loop));
  ev_loop_destroy(loop);
  for (int i = 0; i < PAIRS; i++) close_both(pairs[i]);
}

CASE(random_program_1) { random_program(1, 300); }
CASE(random_program_2) { random_program(20200226, 300); }
CASE(random_program_3) { random_program(0x9e3779b97f4a7c15u, 300); }
CASE(random_program_4) { random_program(404, 300); }
CASE(random_program_long) { random_program(5, 3000); }

CASE(random_program_with_asyncs_1) {
  with_async = 1;
  random_program(6, 300);
}

CASE(random_program_with_asyncs_2) {
  with_async = 1;
  random_program(777, 3000);
}

/* As many seeds as RANDOM_SEEDS says, to look for more. */
CASE(random_programs_asked_for) {
  const char *count = getenv("RANDOM_SEEDS");
  const char *first = getenv("RANDOM_FIRST");
  for (int i = 0; i < (count ? atoi(count) : 1); i++) {
    trace("seed %d", i);
    with_async = i % 2;
    random_program((uint64_t)(i + 1000 + (first ? atoi(first) : 0)), 200);
  }
}
