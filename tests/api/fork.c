/* SPDX-License-Identifier: BSD-3-Clause */
/* Contexts and fork(): what the child may do with its copy, and that the parent never notices. */
#include "support/child.h"
#include "support/context.h"

#include <errno.h>
#include <signal.h>
#include <spawn.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/cmocka.h"

enum { MS = 1000000 };
extern char **environ;

static struct {
  struct torque_ctx *ctx;
  int driven;
  int mine[2], childs[2];
  torque_source on_mine, on_childs, event, timer, usr1;
  _Atomic uint32_t read_mine, read_childs, events, timers, posts, signals, finals;
  _Atomic int status, forked;
} s;

static int32_t on_ready(torque_source source, int32_t fd, uint32_t events, void *arg) {
  (void)source, (void)events;
  const uint32_t n = (uint32_t)drain(fd, NULL);
  atomic_fetch_add(arg ? &s.read_childs : &s.read_mine, n);
  return TORQUE_DONE;
}
static int32_t on_event(torque_source source, int32_t fd, uint32_t events, void *arg) {
  (void)source, (void)fd, (void)events, (void)arg;
  atomic_fetch_add(&s.events, 1);
  return TORQUE_DONE;
}
static void on_timer(torque_source source, uint64_t expirations, void *arg) {
  (void)source, (void)expirations, (void)arg;
  atomic_fetch_add(&s.timers, 1);
}
static void on_post(void *arg) {
  (void)arg;
  atomic_fetch_add(&s.posts, 1);
}
static void on_signal(torque_source source, const struct torque_siginfo *info, void *arg) {
  (void)source, (void)info, (void)arg;
  atomic_fetch_add(&s.signals, 1);
}
static void on_final(torque_source source, int32_t reason, void *arg) {
  (void)source, (void)reason, (void)arg;
  atomic_fetch_add(&s.finals, 1);
}

static void begin(struct fixture *f) {
  memset(&s, 0, sizeof s);
  s.ctx = f->ctx;
  s.driven = f->shape->driven;
}

static void add_sources(struct fixture *f) {
  static const int32_t usr1 = SIGUSR1;
  fixture_pair(f, s.mine);
  fixture_pair(f, s.childs);
  assert_int_equal(torque_fd_add(s.ctx, s.mine[0], TORQUE_READ, 0, on_ready, NULL, &s.on_mine), 0);
  assert_int_equal(torque_fd_add(s.ctx, s.childs[0], TORQUE_READ, 0, on_ready, &s, &s.on_childs), 0);
  assert_int_equal(torque_event_new(s.ctx, 0, on_event, NULL, &s.event), 0);
  assert_int_equal(torque_source_set_finalizer(s.event, on_final), 0);
  assert_int_equal(torque_source_start(s.event), 0);
  assert_int_equal(torque_timer_new(s.ctx, TORQUE_CLOCK_MONOTONIC, on_timer, NULL, &s.timer), 0);
  assert_int_equal(torque_signal_add(s.ctx, &usr1, 1, on_signal, NULL, &s.usr1), 0);
}

/* In a child: the context serves. CHECK_SOON with a driven context that is run meanwhile. */
static int step(int done) {
  if (!done && s.driven) CHECK(torque_run_once(s.ctx, MS, NULL) == 0);
  return done;
}
#define SERVED(condition) CHECK_SOON(step(condition))

static void serve_in_child(void) {
  const uint32_t posts = s.posts, timers = s.timers, events = s.events;
  torque_source event, timer;
  CHECK(torque_event_add(s.ctx, 0, on_event, NULL, &event) == 0);
  CHECK(torque_trigger(event, TORQUE_READ) == 0);
  CHECK(torque_timer_add(s.ctx, MS, 0, TORQUE_TIMER_REMOVE, on_timer, NULL, &timer) == 0);
  CHECK(torque_post(s.ctx, on_post, NULL) == 0);
  SERVED(s.events > events && s.timers > timers && s.posts > posts);
  CHECK(torque_source_remove(event) == 0);
}

static void serves_in_parent(struct fixture *f) {
  const uint32_t bytes = s.read_mine, events = s.events, timers = s.timers, posts = s.posts, signals = s.signals;
  say(s.mine[1], 7);
  AWAIT(f, s.read_mine == bytes + 7);
  assert_int_equal(torque_trigger(s.event, TORQUE_READ), 0);
  assert_int_equal(torque_timer_set(s.timer, MS, 0, 0), 0);
  assert_int_equal(torque_post(s.ctx, on_post, NULL), 0);
  assert_int_equal(kill(getpid(), SIGUSR1), 0);
  AWAIT(f, s.events > events && s.timers > timers && s.posts > posts && s.signals > signals);
}

/* ---- No source yet: threads have not begun, so that a daemon may go into the background ---- */

static int use_then_stop(void *arg) {
  (void)arg;
  if (s.driven) CHECK(torque_reinit(s.ctx) == 0);
  serve_in_child();
  CHECK(torque_stop(s.ctx) == 0);
  return 0;
}

static void without_sources_it_works_in_the_child(void **state) {
  struct fixture *f = *state;
  begin(f);
  assert_int_equal(child_run(use_then_stop, NULL), 0);
  add_sources(f);
  serves_in_parent(f);
}

static int into_the_background(void *arg) {
  const int *pipe = arg;
  CHECK(setsid() > 0);
  const pid_t daemon = fork();
  CHECK(daemon >= 0);
  if (daemon) return 0;
  alarm(60);
  const char ok = use_then_stop(NULL) == 0 ? 'y' : 'n';
  CHECK(write(pipe[1], &ok, 1) == 1);
  _exit(0);
}

static void without_sources_it_survives_becoming_a_daemon(void **state) {
  struct fixture *f = *state;
  begin(f);
  int answer[2];
  fixture_pipe(f, answer);
  assert_int_equal(child_run(into_the_background, answer), 0);
  char ok = 0;
  AWAIT(f, read(answer[0], &ok, 1) == 1);
  assert_int_equal(ok, 'y');
}

/* ---- With sources: the child's copy of a threaded context is dead ---- */

static int everything_is_refused(void *arg) {
  (void)arg;
  torque_source t = 5;
  const int32_t usr2 = SIGUSR2;
  CHECK(torque_fd_add(s.ctx, s.childs[1], TORQUE_READ, 0, on_ready, NULL, &t) == TORQUE_ERR_FORKED);
  CHECK(torque_event_add(s.ctx, 0, on_event, NULL, &t) == TORQUE_ERR_FORKED);
  CHECK(torque_timer_add(s.ctx, 0, 0, 0, on_timer, NULL, &t) == TORQUE_ERR_FORKED);
  CHECK(torque_signal_add(s.ctx, &usr2, 1, on_signal, NULL, &t) == TORQUE_ERR_FORKED);
  CHECK(torque_post(s.ctx, on_post, NULL) == TORQUE_ERR_FORKED);
  CHECK(torque_post_domain(s.ctx, 0, on_post, NULL) == TORQUE_ERR_FORKED);
  CHECK(torque_post_source(s.event, on_post, NULL) == TORQUE_ERR_FORKED);
  CHECK(torque_trigger(s.event, TORQUE_READ) == TORQUE_ERR_FORKED);
  CHECK(torque_timer_set(s.timer, 0, 0, 0) == TORQUE_ERR_FORKED);
  CHECK(torque_fd_modify(s.on_mine, TORQUE_READ | TORQUE_WRITE) == TORQUE_ERR_FORKED);
  CHECK(torque_source_remove(s.on_mine) == TORQUE_ERR_FORKED);
  CHECK(torque_source_remove_wait(s.event) == TORQUE_ERR_FORKED);
  if (s.driven) {
    CHECK(torque_run(s.ctx) == TORQUE_ERR_FORKED);
    CHECK(torque_run_once(s.ctx, 0, NULL) == TORQUE_ERR_FORKED);
    CHECK(torque_run_ready(s.ctx, NULL) == TORQUE_ERR_FORKED);
  } else {
    CHECK(torque_start(s.ctx) == TORQUE_ERR_FORKED);
    CHECK(torque_reinit(s.ctx) == TORQUE_ERR_KIND);
  }
  CHECK(t == 5);
  CHECK(torque_stop(s.ctx) == 0);
  return 0;
}

static void with_sources_the_child_is_refused_and_the_parent_goes_on(void **state) {
  struct fixture *f = *state;
  begin(f);
  add_sources(f);
  serves_in_parent(f);
  for (int i = 0; i < 5; i++) {
    assert_int_equal(child_run(everything_is_refused, NULL), 0);
    serves_in_parent(f);
  }
  say(s.childs[1], 3);
  AWAIT(f, s.read_childs == 3);
}

static int a_new_one_in_the_child(void *arg) {
  (void)arg;
  struct torque_ctx *dead = s.ctx;
  CHECK(torque_ctx_new(NULL, &s.ctx) == 0);
  s.driven = 0;
  serve_in_child();
  static const int32_t usr1 = SIGUSR1;
  torque_source t;
  const uint32_t before = s.signals;
  CHECK(torque_signal_add(s.ctx, &usr1, 1, on_signal, NULL, &t) == 0);
  CHECK(kill(getpid(), SIGUSR1) == 0);
  CHECK_SOON(s.signals == before + 1); /* and not a second time by the dead one */
  CHECK(torque_stop(s.ctx) == 0);
  CHECK(torque_stop(dead) == 0);
  return 0;
}

static void the_child_may_make_contexts_of_its_own(void **state) {
  struct fixture *f = *state;
  begin(f);
  add_sources(f);
  serves_in_parent(f);
  const uint32_t signals = s.signals;
  assert_int_equal(child_run(a_new_one_in_the_child, NULL), 0);
  fixture_settle(f);
  assert_int_equal(s.signals, signals); /* what the child was sent is not told here */
  serves_in_parent(f);
}

static int leave_it(void *arg) {
  (void)arg;
  struct sigaction now;
  CHECK(sigaction(SIGUSR1, NULL, &now) == 0 && now.sa_handler == SIG_DFL); /* as before the context */
  return 0;
}

static void a_child_that_only_exits_harms_nothing(void **state) {
  struct fixture *f = *state;
  begin(f);
  add_sources(f);
  for (int i = 0; i < 20; i++) {
    const uint32_t signals = s.signals;
    assert_int_equal(child_run(leave_it, NULL), 0);
    fixture_settle(f);
    assert_int_equal(s.signals, signals);
    serves_in_parent(f);
  }
}

/* ---- Driven: torque_reinit() ---- */

static int reinit_and_serve(void *arg) {
  (void)arg;
  CHECK(torque_run_once(s.ctx, 0, NULL) == TORQUE_ERR_FORKED);
  CHECK(torque_reinit(s.ctx) == 0);
  const uint32_t events = s.events, timers = s.timers, signals = s.signals, bytes = s.read_childs;
  say(s.childs[1], 5);
  SERVED(s.read_childs == bytes + 5);
  SERVED(s.timers > timers); /* set before the fork */
  CHECK(torque_trigger(s.event, TORQUE_READ) == 0);
  CHECK(kill(getpid(), SIGUSR1) == 0);
  SERVED(s.events > events && s.signals > signals);
  serve_in_child();
  CHECK(torque_fd_modify(s.on_childs, TORQUE_READ | TORQUE_WRITE) == 0);
  CHECK(torque_source_remove(s.on_mine) == 0); /* not the parent's */
  CHECK(torque_close(s.on_childs) == 0);
  CHECK(torque_stop(s.ctx) == 0);
  CHECK(s.finals == 1);
  return 0;
}

static void a_driven_context_works_in_the_child_after_reinit(void **state) {
  struct fixture *f = *state;
  begin(f);
  add_sources(f);
  serves_in_parent(f);
  for (int i = 0; i < 5; i++) {
    assert_int_equal(torque_timer_set(s.timer, 20 * MS, 0, 0), 0);
    assert_int_equal(child_run(reinit_and_serve, NULL), 0);
    serves_in_parent(f);
  }
  say(s.childs[1], 3);
  AWAIT(f, s.read_childs == 3);
  assert_int_equal(s.finals, 0);
}

static void reinit_does_nothing_in_the_process_that_made_it(void **state) {
  struct fixture *f = *state;
  begin(f);
  add_sources(f);
  assert_int_equal(torque_reinit(s.ctx), 0);
  serves_in_parent(f);
}

static int reinit_of_the_grandchild(void *arg) {
  (void)arg;
  CHECK(torque_reinit(s.ctx) == 0);
  const int status = child_run(reinit_and_serve, NULL);
  CHECK(status == 0);
  const uint32_t events = s.events;
  CHECK(torque_trigger(s.event, TORQUE_READ) == 0);
  SERVED(s.events > events);
  CHECK(torque_stop(s.ctx) == 0);
  return 0;
}

static void generations_of_children(void **state) {
  struct fixture *f = *state;
  begin(f);
  add_sources(f);
  assert_int_equal(torque_timer_set(s.timer, MS, MS, 0), 0);
  assert_int_equal(child_run(reinit_of_the_grandchild, NULL), 0);
  serves_in_parent(f);
}

/* ---- Signal masks ---- */

static int mask_is_right(void) {
  sigset_t mine, spawn;
  pthread_sigmask(SIG_SETMASK, NULL, &mine);
  torque_spawn_mask(&spawn);
  for (int i = 1; i < SIGRTMAX; i++)
    if (sigismember(&mine, i) != sigismember(&spawn, i)) return 0;
  return sigismember(&mine, SIGUSR2) && !sigismember(&mine, SIGUSR1) && !sigismember(&mine, SIGTERM);
}

static void fork_in_callback(void *arg) {
  (void)arg;
  const pid_t child = fork();
  if (child == 0) _exit(mask_is_right() ? 0 : 9);
  int status = -1;
  while (child > 0 && waitpid(child, &status, 0) < 0 && errno == EINTR) {
  }
  atomic_store(&s.status, status);
  atomic_store(&s.forked, 1);
}

static void spawn_in_callback(void *arg) {
  (void)arg;
  sigset_t mask;
  posix_spawnattr_t attr;
  pid_t child;
  int status = -1;
  torque_spawn_mask(&mask);
  posix_spawnattr_init(&attr);
  posix_spawnattr_setflags(&attr, POSIX_SPAWN_SETSIGMASK);
  posix_spawnattr_setsigmask(&attr, &mask);
  /* SIGUSR2, number 12, and nothing else. */
  char *argv[] = {"grep", "-q", "^SigBlk:.*0000000000000800$", "/proc/self/status", NULL};
  if (posix_spawnp(&child, "grep", NULL, &attr, argv, environ) == 0)
    while (waitpid(child, &status, 0) < 0 && errno == EINTR) {
    }
  posix_spawnattr_destroy(&attr);
  atomic_store(&s.status, status);
  atomic_store(&s.forked, 1);
}

/* The mask that counts is that of the process before any worker existed: a process of its own for each. */
static int children_get_the_mask(void *arg) {
  const struct shape *shape = arg;
  sigset_t usr2;
  sigemptyset(&usr2);
  sigaddset(&usr2, SIGUSR2);
  CHECK(pthread_sigmask(SIG_SETMASK, &usr2, NULL) == 0);
  struct torque_config *config = NULL;
  CHECK(torque_config_new(&config) == 0);
  if (shape->synthetic)
    CHECK(torque_config_set_topology(config, TORQUE_TOPOLOGY_SYNTHETIC, shape->synthetic) == 0);
  CHECK(torque_config_set_driven(config, shape->driven) == 0);
  CHECK(torque_ctx_new(config, &s.ctx) == 0);
  torque_config_free(config);
  s.driven = shape->driven;
  torque_post_fn *const both[] = {fork_in_callback, spawn_in_callback};
  for (int i = 0; i < 2; i++) {
    atomic_store(&s.forked, 0);
    CHECK(torque_post(s.ctx, both[i], NULL) == 0);
    SERVED(atomic_load(&s.forked));
    CHECK(atomic_load(&s.status) == 0);
  }
  CHECK(torque_stop(s.ctx) == 0);
  return 0;
}

static void children_of_callbacks_get_the_mask_of_the_process(void **state) {
  (void)state;
  const struct shape *const shapes[] = {&shape_live, &shape_synthetic, &shape_driven};
  for (int i = 0; i < 3; i++)
    assert_int_equal(child_run(children_get_the_mask, (void *)(uintptr_t)shapes[i]), 0);
}

/* ---- Under load ---- */

static struct fixture *loaded;

static void *use_it(void *arg) {
  (void)arg;
  for (int i = 0; !atomic_load(&loaded->quit) && !atomic_load(&s.status); i++) {
    torque_source event, timer;
    if (torque_event_add(s.ctx, 0, on_event, NULL, &event)) break;
    (void)torque_trigger(event, TORQUE_READ);
    if (torque_timer_add(s.ctx, 1000, 0, 0, on_timer, NULL, &timer)) break;
    (void)torque_timer_set(timer, 2000, 1000, 0);
    (void)torque_post(s.ctx, on_post, NULL);
    (void)torque_source_remove(event);
    (void)torque_source_remove(timer);
    if (i % 8 == 0) nap();
  }
  return NULL;
}

static int quick_child(void *arg) {
  (void)arg;
  CHECK(torque_post(s.ctx, on_post, NULL) == TORQUE_ERR_FORKED);
  if (SANITIZED) return 0; /* their allocators are not ready for a fork while another thread allocates */
  free(malloc(1000));
  CHECK(torque_stop(s.ctx) == 0);
  CHECK(torque_ctx_new(NULL, &s.ctx) == 0);
  s.driven = 0;
  serve_in_child();
  CHECK(torque_stop(s.ctx) == 0);
  return 0;
}

static void fork_while_many_threads_use_it(void **state) {
  struct fixture *f = *state;
  begin(f);
  loaded = f;
  add_sources(f);
  for (int i = 0; i < 6; i++) fixture_thread(f, use_it, NULL);
  for (int i = 0; i < FEWER(60); i++) {
    if (f->shape->driven) assert_int_equal(torque_run_ready(f->ctx, NULL), 0);
    assert_int_equal(child_run(quick_child, NULL), 0);
  }
  atomic_store(&s.status, 1);
  fixture_join(f);
  serves_in_parent(f);
}

/* ---- Threads of the child that come first together ---- */

static pthread_barrier_t together;

static void *come_first(void *arg) {
  torque_source source;
  int ends[2];
  int failed = pipe(ends) != 0 || write(ends[1], "x", 1) != 1;
  pthread_barrier_wait(&together);
  failed |= torque_fd_add(s.ctx, ends[0], TORQUE_READ, 0, on_event, NULL, &source) != 0;
  if (failed) atomic_fetch_add((_Atomic int *)arg, 1);
  return NULL;
}

static int come_first_in_child(void *arg) {
  (void)arg;
  enum { THREADS = 6 };
  pthread_t t[THREADS];
  _Atomic int failed = 0;
  CHECK(pthread_barrier_init(&together, NULL, THREADS) == 0);
  atomic_store(&s.events, 0);
  for (int i = 0; i < THREADS; i++) CHECK(pthread_create(&t[i], NULL, come_first, (void *)&failed) == 0);
  for (int i = 0; i < THREADS; i++) CHECK(pthread_join(t[i], NULL) == 0);
  CHECK(failed == 0);
  CHECK_SOON(s.events >= THREADS); /* nobody reads: some shapes tell it again */
  CHECK(torque_stop(s.ctx) == 0);
  return 0;
}

static void the_first_in_a_child_may_be_several(void **state) {
  struct fixture *f = *state;
  begin(f);
  for (int i = 0; i < FEWER(100); i++) assert_int_equal(child_run(come_first_in_child, NULL), 0);
}

/* ---- Calls that were under way in other threads of the parent ---- */

/* No more wait than one round runs: between two children there is one. */
static _Atomic uint32_t posted;

static void *look_into_it(void *arg) {
  torque_source *source = arg;
  while (!atomic_load(&loaded->quit)) {
    if (atomic_fetch_add(&posted, 1) - atomic_load(&s.posts) < 500) (void)torque_post_source(*source, on_post, NULL);
    else atomic_fetch_sub(&posted, 1);
    (void)torque_stream_write(*source, "x", 1); /* none: looks, and is refused */
  }
  return NULL;
}

static int end_in_child(void *arg) {
  (void)arg;
  CHECK(torque_reinit(s.ctx) == 0);
  CHECK(torque_stop(s.ctx) == 0); /* although nobody will come to give up what those threads held */
  return 0;
}

static void what_threads_of_the_parent_held_does_not_keep_a_child(void **state) {
  struct fixture *f = *state;
  begin(f);
  loaded = f;
  atomic_store(&posted, s.posts);
  torque_source *source = fixture_take(f, sizeof *source);
  assert_int_equal(torque_event_add(s.ctx, 0, on_event, NULL, source), 0);
  for (int i = 0; i < 3; i++) fixture_thread(f, look_into_it, source);
  for (int i = 0; i < FEWER(100); i++) {
    if (SANITIZED) break; /* as above */
    assert_int_equal(child_run(end_in_child, NULL), 0);
    assert_int_equal(torque_run_ready(s.ctx, NULL), 0);
  }
  atomic_store(&f->quit, 1);
  fixture_join(f);
}

/* One is in a finalizer. In the child nobody comes to end that. */
static _Atomic int in_final, go_on;
static void stay_in_final(torque_source source, int32_t reason, void *arg) {
  (void)source, (void)reason, (void)arg;
  in_final++;
  STAY_UNTIL(go_on);
}

static void *remove_it(void *arg) {
  (void)!torque_source_remove(*(torque_source *)arg);
  return NULL;
}

static void what_threads_of_the_parent_end_does_not_keep_a_child(void **state) {
  struct fixture *f = *state;
  begin(f);
  in_final = go_on = 0;
  for (int i = 0; i < 3; i++) {
    torque_source *source = fixture_take(f, sizeof *source);
    assert_int_equal(torque_event_new(s.ctx, 0, on_event, NULL, source), 0);
    assert_int_equal(torque_source_set_finalizer(*source, stay_in_final), 0);
    assert_int_equal(torque_source_start(*source), 0);
    fixture_thread(f, remove_it, source);
  }
  AWAIT(f, in_final == 3);
  if (!SANITIZED) { /* as above */
    for (int i = 0; i < 3; i++) assert_int_equal(child_run(end_in_child, NULL), 0);
  }
  go_on = 1;
  fixture_join(f);
}

/* They make sources and end them all the time: whatever they are at when the process is copied. */
static void *make_and_end(void *arg) {
  struct fixture *f = arg;
  torque_source source;
  while (!f->quit) {
    if (torque_event_add(f->ctx, 0, on_event, NULL, &source) || torque_source_remove(source)) atomic_store(&s.status, 1);
  }
  return NULL;
}

static void what_threads_of_the_parent_made_does_not_keep_a_child(void **state) {
  struct fixture *f = *state;
  begin(f);
  for (int i = 0; i < 3; i++) fixture_thread(f, make_and_end, f);
  for (int i = 0; i < FEWER(300); i++) {
    if (SANITIZED) break; /* as above */
    assert_int_equal(child_run(end_in_child, NULL), 0);
  }
  atomic_store(&f->quit, 1);
  fixture_join(f);
  assert_int_equal(s.status, 0);
}

/* They set up one that has not started: whoever does so in the child does not wait for them. */
static torque_source not_started;
static void *place_it(void *arg) {
  struct fixture *f = arg;
  while (!f->quit) (void)torque_source_set_placement(not_started, 0);
  return NULL;
}

static int set_up_in_child(void *arg) {
  (void)arg;
  const torque_err expected = s.driven ? TORQUE_ERR_FORKED : 0;
  CHECK(torque_source_set_finalizer(not_started, on_final) == expected);
  CHECK(torque_source_set_placement(not_started, 0) == expected);
  if (s.driven) CHECK(torque_reinit(s.ctx) == 0);
  CHECK(torque_source_set_finalizer(not_started, on_final) == 0);
  CHECK(torque_source_start(not_started) == 0);
  CHECK(torque_stop(s.ctx) == 0);
  return 0;
}

static void what_threads_of_the_parent_set_up_does_not_keep_a_child(void **state) {
  struct fixture *f = *state;
  begin(f);
  assert_int_equal(torque_event_new(s.ctx, 0, on_event, NULL, &not_started), 0);
  for (int i = 0; i < 2; i++) fixture_thread(f, place_it, f);
  for (int i = 0; i < FEWER(100); i++) {
    if (SANITIZED) break; /* as above */
    assert_int_equal(child_run(set_up_in_child, NULL), 0);
  }
  atomic_store(&f->quit, 1);
  fixture_join(f);
  assert_int_equal(torque_source_remove(not_started), 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(children_of_callbacks_get_the_mask_of_the_process),
      ON_EVERY(without_sources_it_works_in_the_child),
      ON_EVERY(without_sources_it_survives_becoming_a_daemon),
      ON_EVERY(with_sources_the_child_is_refused_and_the_parent_goes_on),
      ON_EVERY(the_child_may_make_contexts_of_its_own),
      ON_EVERY(a_child_that_only_exits_harms_nothing),
      ON(driven, a_driven_context_works_in_the_child_after_reinit),
      ON(driven, reinit_does_nothing_in_the_process_that_made_it),
      ON(driven, generations_of_children),
      ON_EVERY(fork_while_many_threads_use_it),
      ON_THREADED(the_first_in_a_child_may_be_several),
      ON(driven, what_threads_of_the_parent_held_does_not_keep_a_child),
      ON(driven, what_threads_of_the_parent_end_does_not_keep_a_child),
      ON(driven, what_threads_of_the_parent_made_does_not_keep_a_child),
      ON_EVERY(what_threads_of_the_parent_set_up_does_not_keep_a_child),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
