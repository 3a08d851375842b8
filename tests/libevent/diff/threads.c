/* SPDX-License-Identifier: BSD-3-Clause */
/* Other threads: they add, delete, activate and end loops, while a base loops in its own. What is traced is only what
   does not depend on who comes first. */
#include "diff.h"

#include <stdatomic.h>

static struct event_base *the;
static struct event *all[8];
static atomic_int step, called;

static void *loop_thread(void *flags) {
  trace("loop: %d", event_base_loop(the, (int)(intptr_t)flags));
  return NULL;
}

static pthread_t start(int flags) {
  pthread_t thread;
  NEED(!pthread_create(&thread, NULL, loop_thread, (void *)(intptr_t)flags));
  return thread;
}

static void wait_for(atomic_int *what, int value) {
  while (atomic_load(what) < value) pause_ms(1);
}

static void tell_step(evutil_socket_t fd, short what, void *name) {
  told(fd, what, name);
  atomic_fetch_add(&step, 1);
}

static void with_threads(void) {
  NEED(!evthread_use_pthreads());
  the = new_base();
}

CASE(whatever_another_thread_does_wakes_the_loop) {
  with_threads();
  int ends[2];
  make_pipe(ends);
  all[0] = make(the, -1, 0, tell_step, "active");
  all[1] = make(the, ends[0], EV_READ, tell_step, "added, and ready");
  all[2] = make(the, -1, EV_TIMEOUT, tell_step, "timer");
  all[3] = make(the, SIGUSR1, EV_SIGNAL, tell_step, "signal");
  all[4] = make(the, -1, EV_TIMEOUT, tell_step, "far");
  event_add(all[4], ms(1000000));
  pthread_t thread = start(EVLOOP_NO_EXIT_ON_EMPTY);
  event_active(all[0], EV_READ, 1), wait_for(&step, 1);
  put(ends[1], 1);
  event_add(all[1], NULL), wait_for(&step, 2);
  event_add(all[2], ms(1)), wait_for(&step, 3);
  event_add(all[3], NULL), raise(SIGUSR1), wait_for(&step, 4);
  event_add(all[4], ms(1)), wait_for(&step, 5);
  int once = event_base_once(the, -1, EV_TIMEOUT, tell_step, NAME("once"), NULL);
  wait_for(&step, 6);
  int leaving = event_base_loopexit(the, NULL);
  pthread_join(thread, NULL);
  trace("once: %d, exit: %d", once, leaving);
  trace("got exit: %d", event_base_got_exit(the));
  for (int i = 0; i < 5; i++) event_free(all[i]);
  event_base_free(the);
}

CASE(another_thread_breaks_the_loop) {
  with_threads();
  all[0] = make(the, -1, EV_TIMEOUT, tell_step, "first"), event_add(all[0], ms(1));
  pthread_t thread = start(EVLOOP_NO_EXIT_ON_EMPTY);
  wait_for(&step, 1);
  int r = event_base_loopbreak(the);
  pthread_join(thread, NULL);
  trace("break: %d", r);
  trace("got break: %d", event_base_got_break(the));
  event_free(all[0]);
  event_base_free(the);
}

CASE(the_last_event_deleted_by_another_thread_ends_the_loop) {
  with_threads();
  int ends[2];
  make_pipe(ends);
  all[0] = make(the, ends[0], EV_READ | EV_PERSIST, told, "never");
  all[1] = make(the, -1, EV_TIMEOUT, tell_step, "begun"), event_add(all[1], ms(1));
  event_add(all[0], NULL);
  pthread_t thread = start(0);
  wait_for(&step, 1);
  int r = event_del(all[0]);
  pthread_join(thread, NULL);
  trace("del: %d", r);
  for (int i = 0; i < 2; i++) event_free(all[i]);
  event_base_free(the);
}

static atomic_int inside, may_leave, left;
static void slow(evutil_socket_t fd, short what, void *name) {
  told(fd, what, name);
  atomic_store(&inside, 1);
  while (!atomic_load(&may_leave)) pause_ms(1);
  pause_ms(30);
  atomic_store(&left, 1);
}

static void *lets_leave(void *arg) {
  (void)arg;
  pause_ms(20);
  atomic_store(&may_leave, 1);
  return NULL;
}

static void delete_while_it_runs(const char *name, short events, int (*del)(struct event *)) {
  inside = may_leave = left = 0;
  int ends[2];
  make_pipe(ends), put(ends[1], 1);
  all[0] = make(the, ends[0], EV_READ | events, slow, name), event_add(all[0], NULL);
  pthread_t thread = start(0), helper;
  wait_for(&inside, 1);
  int blocks = del != event_del_noblock && !(events & EV_FINALIZE && del == event_del);
  if (blocks) NEED(!pthread_create(&helper, NULL, lets_leave, NULL));
  int r = del(all[0]);
  int has_ended = atomic_load(&left);
  if (blocks) pthread_join(helper, NULL);
  atomic_store(&may_leave, 1);
  pthread_join(thread, NULL);
  trace("%s: %d, the callback has ended by then: %s", name, r, yes(has_ended));
  event_free(all[0]);
  close_both(ends);
}

CASE(deleting_an_event_whose_callback_runs_elsewhere) {
  with_threads();
  delete_while_it_runs("del", EV_PERSIST, event_del);
  delete_while_it_runs("del once", 0, event_del);
  delete_while_it_runs("del finalizable", EV_PERSIST | EV_FINALIZE, event_del);
  delete_while_it_runs("block", EV_PERSIST, event_del_block);
  delete_while_it_runs("block finalizable", EV_PERSIST | EV_FINALIZE, event_del_block);
  delete_while_it_runs("noblock", EV_PERSIST, event_del_noblock);
  delete_while_it_runs("noblock once", 0, event_del_noblock);
  event_base_free(the);
}

static void deletes_itself(evutil_socket_t fd, short what, void *name) {
  told(fd, what, name);
  trace("del: %d, block: %d, noblock: %d", event_del(all[0]), event_del_block(all[0]), event_del_noblock(all[0]));
}

CASE(deleting_itself_does_not_block) {
  with_threads();
  all[0] = make(the, -1, EV_PERSIST, deletes_itself, "self"), event_add(all[0], ms(1));
  pthread_t thread = start(0);
  pthread_join(thread, NULL);
  event_free(all[0]);
  event_base_free(the);
}

enum { WORKERS = 4, ROUNDS = 400 };
static void count(evutil_socket_t fd, short what, void *arg) {
  (void)fd, (void)what, (void)arg;
  atomic_fetch_add(&called, 1);
}

static void *makes_active(void *arg) {
  struct event *e = arg;
  for (int i = 0; i < ROUNDS; i++) {
    event_active(e, EV_READ, 1);
    if (i % 16 == 0) sched_yield();
  }
  return NULL;
}

CASE(many_threads_make_events_active_and_none_is_forgotten) {
  with_threads();
  pthread_t workers[WORKERS], thread = start(EVLOOP_NO_EXIT_ON_EMPTY);
  for (int i = 0; i < WORKERS; i++) {
    all[i] = make(the, -1, 0, count, "e");
    NEED(!pthread_create(&workers[i], NULL, makes_active, all[i]));
  }
  for (int i = 0; i < WORKERS; i++) pthread_join(workers[i], NULL);
  event_base_loopexit(the, NULL);
  pthread_join(thread, NULL);
  int n = atomic_load(&called);
  trace("called: %s", yes(n >= WORKERS && n <= WORKERS * ROUNDS));
  trace("left: %d", event_base_get_num_events(the, EVENT_BASE_COUNT_ACTIVE));
  for (int i = 0; i < WORKERS; i++) event_free(all[i]);
  event_base_free(the);
}

static void *adds_and_deletes(void *arg) {
  int ends[2];
  (void)arg;
  make_pipe(ends);
  struct event *read = make(the, ends[0], EV_READ | EV_PERSIST, count, "read"),
               *timer_ = make(the, -1, EV_TIMEOUT, count, "timer");
  int failed = 0;
  for (int i = 0; i < ROUNDS; i++) {
    failed += event_add(read, i & 1 ? NULL : ms(1000)) != 0;
    failed += event_add(timer_, ms(i % 3)) != 0;
    if (i % 4 == 0) put(ends[1], 1);
    if (i % 7 == 0) sched_yield();
    failed += event_del(read) != 0;
    drain(ends[0]);
    failed += event_del(timer_) != 0;
  }
  event_free(read), event_free(timer_);
  close_both(ends);
  return (void *)(intptr_t)failed;
}

CASE(many_threads_add_and_delete) {
  with_threads();
  pthread_t workers[WORKERS], thread = start(EVLOOP_NO_EXIT_ON_EMPTY);
  int failed = 0;
  for (int i = 0; i < WORKERS; i++) NEED(!pthread_create(&workers[i], NULL, adds_and_deletes, NULL));
  for (int i = 0; i < WORKERS; i++) {
    void *r;
    pthread_join(workers[i], &r);
    failed += (int)(intptr_t)r;
  }
  event_base_loopexit(the, NULL);
  pthread_join(thread, NULL);
  trace("failed: %d, left: %d", failed, event_base_get_num_events(the, EVENT_BASE_COUNT_ADDED));
  event_base_free(the);
}

static void *own_base(void *arg) {
  int *result = arg, n = 0;
  struct event_base *base = new_base();
  struct event e;
  int ends[2];
  make_pipe(ends);
  event_assign(&e, base, ends[0], EV_READ | EV_PERSIST, count, NULL);
  for (int i = 0; i < 50; i++) {
    event_add(&e, NULL), put(ends[1], 1);
    n += event_base_loop(base, EVLOOP_ONCE) == 0;
    drain(ends[0]), event_del(&e);
    event_base_once(base, -1, EV_TIMEOUT, count, NULL, ms(0));
    n += event_base_loop(base, EVLOOP_ONCE) == 0;
  }
  event_base_free(base);
  close_both(ends);
  *result = n;
  return NULL;
}

CASE(every_thread_has_a_base_of_its_own) {
  for (int locks = 0; locks < 2; locks++) {
    if (locks) NEED(!evthread_use_pthreads());
    pthread_t workers[8];
    int results[8];
    called = 0;
    for (int i = 0; i < 8; i++) NEED(!pthread_create(&workers[i], NULL, own_base, &results[i]));
    for (int i = 0; i < 8; i++) pthread_join(workers[i], NULL), trace("%d", results[i]);
    trace("called: %d", atomic_load(&called));
  }
}

/* --- The program's own locks: how they are made and freed, and that they are balanced. */
static atomic_int made, freed, held, most_held, conditions, signalled, waited;
static atomic_int bad;

struct own_lock {
  pthread_mutex_t mutex;
  unsigned kind;
};

static void *make_lock(unsigned kind) {
  struct own_lock *l = malloc(sizeof *l);
  pthread_mutexattr_t attr;
  pthread_mutexattr_init(&attr);
  pthread_mutexattr_settype(&attr,
                            kind & EVTHREAD_LOCKTYPE_RECURSIVE ? PTHREAD_MUTEX_RECURSIVE : PTHREAD_MUTEX_ERRORCHECK);
  pthread_mutex_init(&l->mutex, &attr);
  l->kind = kind;
  made++;
  return l;
}
static void free_lock(void *lock, unsigned kind) {
  (void)kind;
  freed++;
  free(lock);
}
static int take_lock(unsigned mode, void *lock) {
  struct own_lock *l = lock;
  if (mode & (EVTHREAD_READ | EVTHREAD_WRITE)) bad++;
  int r = mode & EVTHREAD_TRY ? pthread_mutex_trylock(&l->mutex) : pthread_mutex_lock(&l->mutex);
  if (r && !(mode & EVTHREAD_TRY)) bad++;
  if (!r && ++held > most_held) most_held = atomic_load(&held);
  return r;
}
static int leave_lock(unsigned mode, void *lock) {
  struct own_lock *l = lock;
  (void)mode;
  held--;
  if (pthread_mutex_unlock(&l->mutex)) bad++;
  return 0;
}
static void *make_condition(unsigned kind) {
  if (kind) bad++;
  conditions++;
  pthread_cond_t *c = malloc(sizeof *c);
  pthread_cond_init(c, NULL);
  return c;
}
static void free_condition(void *c) {
  conditions--;
  free(c);
}
static int signal_condition(void *c, int broadcast) {
  signalled++;
  return broadcast ? pthread_cond_broadcast(c) : pthread_cond_signal(c);
}
static int wait_condition(void *c, void *lock, const struct timeval *until) {
  waited++;
  if (until) bad++;
  held--;
  int r = pthread_cond_wait(c, &((struct own_lock *)lock)->mutex);
  held++;
  return r;
}
static unsigned long own_id(void) { return (unsigned long)pthread_self(); }

static void own_locks(void) {
  static const struct evthread_lock_callbacks locks = {
      EVTHREAD_LOCK_API_VERSION, EVTHREAD_LOCKTYPE_RECURSIVE, make_lock, free_lock, take_lock, leave_lock};
  static const struct evthread_condition_callbacks cond = {EVTHREAD_CONDITION_API_VERSION, make_condition,
                                                           free_condition, signal_condition, wait_condition};
  trace("locks: %d", evthread_set_lock_callbacks(&locks));
  trace("conditions: %d", evthread_set_condition_callbacks(&cond));
  evthread_set_id_callback(own_id);
}

static void held_within(evutil_socket_t fd, short what, void *name) {
  told(fd, what, name);
  trace("locks held in a callback: %d", atomic_load(&held));
}

CASE(the_programs_own_locks_are_used_and_balanced) {
  own_locks();
  int before = atomic_load(&made);
  the = new_base();
  trace("a base's locks: %d, conditions: %d", atomic_load(&made) - before, atomic_load(&conditions));
  int ends[2];
  make_pipe(ends), put(ends[1], 1);
  all[0] = make(the, ends[0], EV_READ, held_within, "read"), event_add(all[0], NULL);
  all[1] = make(the, -1, EV_TIMEOUT, held_within, "timer"), event_add(all[1], ms(300));
  all[2] = make(the, SIGUSR1, EV_SIGNAL, held_within, "signal"), event_add(all[2], NULL);
  all[3] = make(the, -1, 0, held_within, "active"), event_active(all[3], EV_READ, 1);
  raise(SIGUSR1);
  event_base_once(the, -1, EV_TIMEOUT, held_within, NAME("once"), NULL);
  trace("loop: %d", event_base_dispatch(the));
  trace("held afterwards: %d", atomic_load(&held));
  for (int i = 0; i < 4; i++) event_free(all[i]);
  int gone = atomic_load(&freed);
  event_base_free(the);
  trace("freed: %d, conditions left: %d", atomic_load(&freed) - gone, atomic_load(&conditions));
  the = new_base_of(EVENT_BASE_FLAG_NOLOCK, NULL);
  trace("a base without locks: %d", atomic_load(&made) - before - 1);
  event_base_free(the);
  trace("bad: %d", atomic_load(&bad));
}

CASE(the_programs_own_condition_is_waited_for_and_signalled) {
  own_locks();
  the = new_base();
  delete_while_it_runs("del", EV_PERSIST, event_del);
  trace("waited: %s, signalled: %s, held: %d, bad: %d", yes(atomic_load(&waited) > 0), yes(atomic_load(&signalled) > 0),
        atomic_load(&held), atomic_load(&bad));
  event_base_free(the);
}

CASE(locks_that_are_watched_for_errors) {
  evthread_enable_lock_debugging();
  NEED(!evthread_use_pthreads());
  the = new_base();
  delete_while_it_runs("del", EV_PERSIST, event_del);
  all[0] = make(the, -1, EV_TIMEOUT, told, "timer"), event_add(all[0], ms(1));
  trace("loop: %d", event_base_dispatch(the));
  event_free(all[0]);
  event_base_free(the);
}

CASE(a_base_made_before_threads_were_set_up_is_not_wakeable) {
  the = new_base();
  trace_log();
  NEED(!evthread_use_pthreads());
  trace("notifiable: %d", evthread_make_base_notifiable(the));
  all[0] = make(the, -1, EV_TIMEOUT, told, "timer"), event_add(all[0], ms(1));
  trace("loop: %d", event_base_dispatch(the));
  event_free(all[0]);
  event_base_free(the);
}

CASE(another_thread_ends_the_loop_after_a_time) {
  with_threads();
  all[0] = make(the, -1, EV_TIMEOUT, tell_step, "first"), event_add(all[0], ms(1));
  pthread_t thread = start(EVLOOP_NO_EXIT_ON_EMPTY);
  wait_for(&step, 1);
  int r = event_base_loopexit(the, ms(10));
  pthread_join(thread, NULL);
  trace("exit: %d, got: %d %d", r, event_base_got_exit(the), event_base_got_break(the));
  trace("continue: %d", event_base_loopcontinue(the));
  event_free(all[0]);
  event_base_free(the);
}

static void *asks_within(void *arg) {
  (void)arg;
  /* Nobody else's running event can be seen. */
  trace("running event: %s", yes(event_base_get_running_event(the) != NULL));
  trace("%s", counts(the));
  trace("loop: %d", event_base_loop(the, EVLOOP_NONBLOCK));
  return NULL;
}

static void asked_meanwhile(evutil_socket_t fd, short what, void *name) {
  pthread_t thread;
  told(fd, what, name);
  NEED(!pthread_create(&thread, NULL, asks_within, NULL));
  pthread_join(thread, NULL);
}

CASE(callbacks_are_called_without_the_lock) {
  with_threads();
  trace_log();
  all[0] = make(the, -1, 0, asked_meanwhile, "e");
  event_active(all[0], EV_READ, 1);
  trace("outside: %d", event_base_dispatch(the));
  event_free(all[0]);
  event_base_free(the);
}
