/* SPDX-License-Identifier: BSD-3-Clause */
/* fork() while a driven context is run, in each of its callbacks. By another thread of the parent: in the child nobody comes
 * to end that call, and the context works all the same, and its end does not wait. And by this one, which goes on. */
#include "support/child.h"
#include "support/clients.h"
#include "support/streams.h"

#include <fcntl.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "support/cmocka.h"

enum { MS = 1000000 };

static struct {
  struct fixture *f;
  struct torque_ctx *ctx;
  pid_t parent;
  pthread_t test; /* the thread that forks: the only one of the child */
  int fd[2];
  torque_source source, condition;
  struct torque_strand *strand;
  struct door *door;
  struct torque_stream_type *type;
  char folder[32];
  _Atomic uint32_t inside, calls, drained, others, posted, go_on;
  _Atomic int closed, err, stays_in_close, splits, in_child, status;
} s;

/* The first callback forks. The child's goes on. */
static void split(void) {
  const pid_t child = child_fork();
  if (child) {
    s.status = child_end(child);
    return;
  }
  s.in_child = 1;
  CHECK(torque_reinit(s.ctx) == 0);
}

/* What each callback does: in another thread of the parent it stays. */
static void stay(void) {
  if (s.calls++ == 0 && s.splits) split();
  if (pthread_equal(pthread_self(), s.test)) return;
  s.inside++;
  STAY_UNTIL(s.go_on || s.f->quit);
}

static int32_t on_fd(torque_source source, int32_t fd, uint32_t events, void *arg) {
  (void)source, (void)events, (void)arg;
  if (fd >= 0) drain(fd, NULL);
  stay();
  return TORQUE_DONE;
}
static void on_timer(torque_source source, uint64_t n, void *arg) {
  (void)source, (void)n, (void)arg;
  stay();
}
static void on_post(void *arg) {
  (void)arg;
  stay();
}
static void on_run(torque_source source, torque_err err, void *arg) {
  (void)source, (void)err, (void)arg;
  stay();
}
static void on_signal(torque_source source, const struct torque_siginfo *info, void *arg) {
  (void)source, (void)info, (void)arg;
  stay();
}
static int32_t on_idle(torque_source source, void *arg) {
  (void)source, (void)arg;
  stay();
  return TORQUE_DONE;
}
static void on_condition(torque_source source, uint64_t signals, void *arg) {
  (void)source, (void)signals, (void)arg;
  stay();
}
static void on_path(torque_source source, const struct torque_path_event *event, void *arg) {
  (void)source, (void)event, (void)arg;
  stay();
}
static void on_accept(torque_source listener, int32_t fd, const void *addr, uint32_t length, void *arg) {
  (void)listener, (void)addr, (void)length, (void)arg;
  close(fd);
  stay();
}
static void on_job(torque_source job, torque_err err, int64_t result, void *arg) {
  (void)job, (void)err, (void)result, (void)arg;
  stay();
}
static int64_t work(void *arg) {
  (void)arg;
  return 1;
}
static size_t on_data(torque_source stream, const void *data, size_t length, void *arg) {
  (void)stream, (void)data, (void)arg;
  if (!s.stays_in_close) stay();
  return length;
}
static void on_close(torque_source stream, torque_err err, void *arg) {
  (void)stream, (void)arg;
  s.err = err;
  s.closed++;
  if (s.stays_in_close) stay();
}
static void on_other(void *arg) {
  (void)arg;
  s.others++;
}
static void on_other_timer(torque_source source, uint64_t n, void *arg) {
  (void)source, (void)n, (void)arg;
  s.others++;
}
static void on_drained(struct torque_ctx *ctx, torque_err err, uint64_t aborted, void *arg) {
  (void)ctx, (void)aborted, (void)arg;
  s.err = err;
  s.drained++;
}

/* ---- Scenes: what is there, and what makes its callback run ---- */

struct scene {
  void (*make)(void);
  void (*happen)(void);
  int again; /* 1: what happens once more calls it once more; 2: it will be called once more by itself */
};

static void make_fd(uint32_t flags) {
  fixture_pair(s.f, s.fd);
  assert_int_equal(torque_fd_add(s.ctx, s.fd[0], TORQUE_READ, flags, on_fd, NULL, &s.source), 0);
}
static void make_edge(void) { make_fd(0); }
static void make_level(void) { make_fd(TORQUE_LEVEL); }
static void make_concurrent(void) { make_fd(TORQUE_CONCURRENT); }
static void happen_fd(void) { (void)!write(s.fd[1], "x", 1); }

static void make_event(void) { assert_int_equal(torque_event_add(s.ctx, 0, on_fd, NULL, &s.source), 0); }
static int32_t on_more(torque_source source, int32_t fd, uint32_t events, void *arg) {
  if (!s.calls) (void)torque_trigger(source, TORQUE_READ);
  return on_fd(source, fd, events, arg);
}
static int32_t on_calls(torque_source source, int32_t fd, uint32_t events, void *arg) {
  if (!s.calls) (void)torque_source_run(source, on_run, NULL);
  return on_fd(source, fd, events, arg);
}
static void make_more(void) { assert_int_equal(torque_event_add(s.ctx, 0, on_more, NULL, &s.source), 0); }
static void make_calls(void) { assert_int_equal(torque_event_add(s.ctx, 0, on_calls, NULL, &s.source), 0); }
static void happen_event(void) { (void)torque_trigger(s.source, TORQUE_READ); }

static void make_timer(void) {
  assert_int_equal(torque_timer_new(s.ctx, TORQUE_CLOCK_MONOTONIC, on_timer, NULL, &s.source), 0);
}
static void happen_timer(void) { (void)torque_timer_set(s.source, MS, 0, 0); }
static void happen_periods(void) { (void)torque_timer_set(s.source, MS, MS, 0); }
static void make_wall(void) {
  assert_int_equal(torque_timer_new(s.ctx, TORQUE_CLOCK_WALL, on_timer, NULL, &s.source), 0);
}

static void make_nothing(void) {}
static void happen_post(void) { (void)torque_post(s.ctx, on_post, NULL); }
static void happen_run(void) { (void)torque_source_run(s.source, on_run, NULL); }

static void make_strand(void) {
  assert_int_equal(torque_strand_new(s.ctx, &s.strand), 0);
  assert_int_equal(torque_event_new(s.ctx, 0, on_fd, NULL, &s.source), 0);
  assert_int_equal(torque_source_set_strand(s.source, s.strand), 0);
  assert_int_equal(torque_source_start(s.source), 0);
}
static void happen_strand(void) { (void)torque_strand_post(s.strand, on_post, NULL); }

static void make_signal(void) {
  static const int32_t usr1 = SIGUSR1;
  assert_int_equal(torque_signal_add(s.ctx, &usr1, 1, on_signal, NULL, &s.source), 0);
}
static void happen_signal(void) { (void)kill(getpid(), SIGUSR1); }

static void happen_signals(void) {
  happen_signal();
  happen_signal();
}

static void make_idle(void) {
  assert_int_equal(torque_idle_new(s.ctx, on_idle, NULL, &s.source), 0);
  assert_int_equal(torque_source_start(s.source), 0);
}
static void happen_idle(void) { (void)torque_idle_set(s.source, 1); }

static void make_condition(void) {
  assert_int_equal(torque_condition_new(s.ctx, 0, &s.condition), 0);
  assert_int_equal(torque_condition_add(s.condition, on_condition, NULL, &s.source), 0);
}
static void happen_condition(void) { (void)torque_condition_signal(s.condition); }

/* Two that wait: the one that has waited longer is called. */
static void on_turn(torque_source source, uint64_t signals, void *arg) { (void)source, (void)signals, (void)arg; }
static void make_turns(void) {
  torque_source other;
  make_condition();
  assert_int_equal(torque_condition_add(s.condition, on_turn, NULL, &other), 0);
}
static void happen_turns(void) {
  happen_condition();
  if (getpid() == s.parent) return;
  (void)torque_run_once(s.ctx, MS, NULL); /* the other's */
  happen_condition();
}

static void make_path(void) {
  strcpy(s.folder, "/tmp/fork-beside-XXXXXX");
  assert_non_null(mkdtemp(s.folder));
  assert_int_equal(torque_path_add(s.ctx, s.folder, TORQUE_PATH_CREATED, 0, on_path, NULL, &s.source), 0);
}
static void happen_path(void) {
  char name[64];
  snprintf(name, sizeof name, "%s/%d", s.folder, (int)getpid());
  const int fd = creat(name, 0600);
  close(fd);
  unlink(name);
}

static void make_job(void) {}
static void happen_job(void) { (void)torque_offload(s.ctx, work, on_job, NULL, NULL); }

static void make_listener(void) {
  const struct sockaddr_in a = loopback_address(0);
  s.door = fixture_take(s.f, sizeof *s.door);
  s.door->f = s.f;
  assert_int_equal(torque_listen_add(s.ctx, &a, sizeof a, 0, 0, on_accept, NULL, &s.source), 0);
  s.door->listener = s.source;
  door_read_address(s.door);
}
static void happen_listener(void) {
  const int fd = visit(s.door);
  if (fd >= 0) close(fd);
}

static void make_type(void) {
  assert_int_equal(torque_stream_type_new(&s.type), 0);
  assert_int_equal(torque_stream_type_set_data(s.type, on_data), 0);
  assert_int_equal(torque_stream_type_set_close(s.type, on_close), 0);
}
static void make_stream(void) {
  make_type();
  fixture_pair(s.f, s.fd);
  assert_int_equal(torque_stream_add(s.ctx, s.fd[0], s.type, NULL, &s.source), 0);
  fixture_disown(s.f, s.fd[0]);
  torque_stream_type_free(s.type);
}
static void make_ending_stream(void) {
  s.stays_in_close = 1;
  make_stream();
}
static void happen_end(void) { (void)torque_stream_abort(s.source); }

static const struct scene scenes[] = {
    {make_edge, happen_fd, 1},      {make_level, happen_fd, 1},
    {make_concurrent, happen_fd, 1}, {make_event, happen_event, 1},
    {make_more, happen_event, 2},   {make_calls, happen_event, 2},
    {make_timer, happen_timer, 1},  {make_timer, happen_periods, 1},  {make_wall, happen_timer, 1},
    {make_nothing, happen_post, 1}, {make_event, happen_run, 1},      {make_strand, happen_strand, 1},
    {make_strand, happen_event, 1}, {make_signal, happen_signal, 1}, {make_signal, happen_signals, 2},
     {make_idle, happen_idle, 1},
    {make_condition, happen_condition, 1}, {make_turns, happen_turns, 1},
    {make_path, happen_path, 1}, {make_job, happen_job, 1},
    {make_listener, happen_listener, 1}, {make_stream, happen_fd, 0}, {make_ending_stream, happen_end, 0},
};

static void *run_it(void *arg) {
  (void)arg;
  while (!s.go_on && !s.f->quit) (void)torque_run_once(s.ctx, MS, NULL);
  return NULL;
}

static int step(int done) {
  if (!done) (void)torque_run_once(s.ctx, MS, NULL);
  return done;
}
#define SERVED(condition) CHECK_SOON(step(condition))

/* A post, and then a timer, that come while the child waits in a run. */
static void *from_beside(void *arg) {
  (void)arg;
  torque_source timer;
  nap();
  (void)torque_post(s.ctx, on_other, NULL);
  STAY_UNTIL(s.others);
  nap();
  (void)!torque_timer_add(s.ctx, MS, 0, TORQUE_TIMER_REMOVE, on_other_timer, NULL, &timer);
  return NULL;
}

static int has_nothing_to_do(void) {
  uint64_t deadline = 0;
  return torque_deadline(s.ctx, &deadline) == 0 && deadline != 0;
}

static void serves_others(void) {
  pthread_t beside;
  s.others = 0;
  CHECK(pthread_create(&beside, NULL, from_beside, NULL) == 0);
  while (s.others < 2) CHECK(torque_run_once(s.ctx, UINT64_MAX, NULL) == 0);
  CHECK(pthread_join(beside, NULL) == 0);
  SERVED(has_nothing_to_do());
}

static void ends(void) {
  CHECK(torque_ctx_drain(s.ctx, UINT64_MAX, on_drained, NULL) == 0);
  SERVED(s.drained == 1);
  CHECK(torque_stop(s.ctx) == 0);
}

static int happens_again(const struct scene *scene) {
  serves_others();
  if (scene->again || (s.in_child && !s.stays_in_close)) {
    const uint32_t before = scene->again == 2 ? 1 : s.calls;
    if (scene->again != 2) scene->happen();
    SERVED(s.calls > before);
    (void)torque_stream_abort(s.source);
  } else {
    CHECK(s.closed == 1);
    CHECK(s.stays_in_close || s.in_child || s.err == TORQUE_ERR_FORKED);
  }
  ends();
  return 0;
}

static int serve(void *arg) {
  CHECK(torque_reinit(s.ctx) == 0);
  s.test = pthread_self();
  return happens_again(arg);
}

static void set_up(struct fixture *f) {
  memset(&s, 0, sizeof s);
  s.f = f;
  s.ctx = f->ctx;
  s.parent = getpid();
  s.test = pthread_self();
}

/* From here on another thread runs the context, and stays in what happens. */
static pthread_t runner;
static void stay_in(void (*happen)(void)) {
  happen();
  assert_int_equal(pthread_create(&runner, NULL, run_it, NULL), 0);
  STAY_UNTIL(s.inside);
  assert_int_equal(s.inside, 1);
}
static void leave(void) {
  s.go_on = 1;
  assert_int_equal(pthread_join(runner, NULL), 0);
}

static void clear_up(void) {
  if (s.source && torque_source_alive(s.source)) assert_int_equal(torque_source_remove(s.source), 0);
  if (s.condition) assert_int_equal(torque_source_remove(s.condition), 0);
  torque_strand_free(s.strand);
  if (s.folder[0]) rmdir(s.folder);
}

static void what_it_served_is_served_in_the_child(void **state) {
  for (size_t i = 0; i < sizeof scenes / sizeof *scenes; i++) {
    set_up(*state);
    scenes[i].make();
    stay_in(scenes[i].happen);
    const int failed = SANITIZED ? 0 : child_run(serve, (void *)(uintptr_t)&scenes[i]); /* as in fork.c */
    leave();
    if (failed) print_error("scene %zu\n", i);
    assert_int_equal(failed, 0);
    clear_up();
  }
}

/* ThreadSanitizer gives up when a thread of a child has the number of a thread that its parent had: the job's helper. */
#if defined(__SANITIZE_THREAD__)
#define CANNOT_BE_SEEN(scene) ((scene).make == make_job)
#else
#define CANNOT_BE_SEEN(scene) 0
#endif

static void what_this_thread_serves_goes_on(void **state) {
  for (size_t i = 0; i < sizeof scenes / sizeof *scenes; i++) {
    if (CANNOT_BE_SEEN(scenes[i])) continue;
    set_up(*state);
    s.splits = 1;
    scenes[i].make();
    scenes[i].happen();
    AWAIT(s.f, s.calls);
    if (s.in_child) _exit(happens_again(&scenes[i]));
    if (s.status) print_error("scene %zu\n", i);
    assert_int_equal(s.status, 0);
    clear_up();
  }
}

/* A timer that removes itself, a source that was removed in its callback, a job: all end in the child. */
static void on_final(torque_source source, int32_t reason, void *arg) {
  (void)source, (void)reason, (void)arg;
  s.others++;
}
static int32_t on_remove(torque_source source, int32_t fd, uint32_t events, void *arg) {
  (void)torque_source_remove(source);
  return on_fd(source, fd, events, arg);
}
static void happen_once(void) { (void)torque_timer_set(s.source, MS, 0, TORQUE_TIMER_REMOVE); }

static int ended(void *arg) {
  (void)arg;
  CHECK(torque_reinit(s.ctx) == 0);
  SERVED(s.others == 1);
  CHECK(!torque_source_alive(s.source));
  SERVED(has_nothing_to_do());
  CHECK(torque_stop(s.ctx) == 0);
  return 0;
}

static void make_once(void) {
  make_timer();
  assert_int_equal(torque_source_set_finalizer(s.source, on_final), 0);
}
static void make_removed(void) {
  assert_int_equal(torque_event_new(s.ctx, 0, on_remove, NULL, &s.source), 0);
  assert_int_equal(torque_source_set_finalizer(s.source, on_final), 0);
  assert_int_equal(torque_source_start(s.source), 0);
}
static void make_offloaded(void) {
  assert_int_equal(torque_offload_new(s.ctx, work, on_job, NULL, &s.source), 0);
  assert_int_equal(torque_source_set_finalizer(s.source, on_final), 0);
}
static void happen_start(void) { (void)!torque_source_start(s.source); }

static const struct scene last_scenes[] = {
    {make_once, happen_once, 0}, {make_removed, happen_event, 0}, {make_offloaded, happen_start, 0}};

static void what_was_about_to_end_ends(void **state) {
  for (size_t i = 0; i < sizeof last_scenes / sizeof *last_scenes; i++) {
    set_up(*state);
    last_scenes[i].make();
    stay_in(last_scenes[i].happen);
    const int failed = SANITIZED ? 0 : child_run(ended, NULL);
    leave();
    if (failed) print_error("last scene %zu\n", i);
    assert_int_equal(failed, 0);
    fixture_settle(s.f);
    assert_int_equal(s.others, 1);
  }
}

/* ---- Listeners of streams with a maximum ---- */

enum { MOST = 2 };

static _Atomic int stays_in_accept;

/* The library's: a thread of the parent stays here, with a place taken and no connection. */
int accept4(int fd, __SOCKADDR_ARG peer, socklen_t *restrict length, int flags) {
  if (stays_in_accept && !pthread_equal(pthread_self(), s.test)) stay();
  return (int)syscall(SYS_accept4, fd, peer.__sockaddr__, length, flags);
}

/* A layer, which is opened when a connection is taken and is no stream yet. */
static torque_err on_layer(struct torque_layer *layer, void *arg, void **ret_state) {
  (void)layer, (void)arg;
  *ret_state = NULL;
  stay();
  return 0;
}
static torque_err on_receive(struct torque_layer *layer, void *state, const void *data, size_t length, size_t *ret_taken) {
  (void)layer, (void)state, (void)data;
  *ret_taken = length;
  return 0;
}
static torque_err on_send(struct torque_layer *layer, void *state, const void *data, size_t length) {
  (void)state;
  return torque_layer_down(layer, data, length);
}
static void add_layer(void) {
  struct torque_layer_type *layer;
  assert_int_equal(torque_layer_type_new(&layer), 0);
  assert_int_equal(torque_layer_type_set_open(layer, on_layer), 0);
  assert_int_equal(torque_layer_type_set_receive(layer, on_receive), 0);
  assert_int_equal(torque_layer_type_set_send(layer, on_send), 0);
  assert_int_equal(torque_stream_type_add_layer(s.type, layer), 0);
  torque_layer_type_free(layer);
}

static void make_hall(int layered) {
  const struct sockaddr_in a = loopback_address(0);
  make_type();
  if (layered) add_layer();
  s.door = fixture_take(s.f, sizeof *s.door);
  s.door->f = s.f;
  assert_int_equal(torque_stream_listen_new(s.ctx, &a, sizeof a, 0, 0, s.type, NULL, &s.source), 0);
  assert_int_equal(torque_listen_set_max(s.source, MOST), 0);
  assert_int_equal(torque_source_start(s.source), 0);
  torque_stream_type_free(s.type);
  s.door->listener = s.source;
  door_read_address(s.door);
}
static void come(void) { s.fd[0] = visit(s.door); }
static void come_and_talk(void) {
  come();
  (void)!write(s.fd[0], "x", 1);
}
static void come_and_go(void) {
  come();
  close(s.fd[0]);
  s.fd[0] = -1;
}

static const struct moment {
  void (*happen)(void);
  int in_accept, in_layer, in_close;
  uint32_t stay, stay_here; /* of those that came to the parent, also in the child; of this thread's child */
} moments[] = {{come, 1, 0, 0, 1, 1}, {come, 0, 1, 0, 0, 1}, {come_and_talk, 0, 0, 0, 0, 1}, {come_and_go, 0, 0, 1, 0, 0}};

static int are_guests(uint32_t expected) {
  uint32_t n;
  return torque_listen_count(s.source, &n) == 0 && n == expected;
}

static int lets_in(uint32_t others) {
  SERVED(are_guests(others));
  int guest[MOST + 1];
  for (int i = 0; i <= MOST; i++) CHECK((guest[i] = visit(s.door)) >= 0);
  SERVED(are_guests(MOST));
  for (int i = 0; i <= MOST; i++) CHECK(close(guest[i]) == 0);
  SERVED(are_guests(others));
  serves_others();
  if (others) CHECK(torque_ctx_drain(s.ctx, 0, on_drained, NULL) == 0);
  ends();
  return 0;
}

static int let_in(void *arg) {
  CHECK(torque_reinit(s.ctx) == 0);
  s.test = pthread_self();
  return lets_in(((const struct moment *)arg)->stay);
}

/* Of those that this thread is in the callback of none is free. */
static void places_that_this_thread_took_stay_taken(void **state) {
  for (size_t i = 1; i < sizeof moments / sizeof *moments; i++) {
    set_up(*state);
    make_hall(moments[i].in_layer);
    s.splits = 1;
    s.stays_in_close = moments[i].in_close;
    moments[i].happen();
    AWAIT(s.f, s.calls);
    if (s.in_child) {
      _exit(lets_in(moments[i].stay_here));
    }
    if (s.status) print_error("moment %zu\n", i);
    assert_int_equal(s.status, 0);
    assert_int_equal(torque_source_remove(s.source), 0);
    if (s.fd[0] >= 0) assert_int_equal(close(s.fd[0]), 0);
    fixture_settle(s.f);
  }
}

static void places_that_it_took_are_free_in_the_child(void **state) {
  for (size_t i = 0; i < sizeof moments / sizeof *moments; i++) {
    set_up(*state);
    make_hall(moments[i].in_layer);
    stays_in_accept = moments[i].in_accept;
    s.stays_in_close = moments[i].in_close;
    stay_in(moments[i].happen);
    const int failed = SANITIZED ? 0 : child_run(let_in, (void *)(uintptr_t)&moments[i]);
    leave();
    stays_in_accept = 0;
    if (failed) print_error("moment %zu\n", i);
    assert_int_equal(failed, 0);
    assert_int_equal(torque_source_remove(s.source), 0);
    if (s.fd[0] >= 0) assert_int_equal(close(s.fd[0]), 0);
    fixture_settle(s.f);
  }
}

/* ---- Whatever they are at: threads of the parent at work, and no moment chosen ---- */

static void *post_it(void *arg) {
  (void)arg;
  while (!s.f->quit) {
    if (s.posted < s.others + 200 && torque_post(s.ctx, on_other, NULL) == 0) s.posted++;
  }
  return NULL;
}

static void *change_type(void *arg) {
  while (!s.f->quit) (void)torque_stream_listen_set_type(s.source, arg, NULL);
  return NULL;
}

static void on_datagrams(torque_source source, struct torque_datagrams *batch, void *arg) {
  (void)source, (void)batch, (void)arg;
}

static void *open_and_close(void *arg) {
  (void)arg;
  const struct sockaddr_in a = loopback_address(0);
  torque_source source;
  while (!s.f->quit) {
    if (torque_datagram_bind_add(s.ctx, &a, sizeof a, 0, on_datagrams, NULL, &source) == 0) (void)torque_source_remove(source);
  }
  return NULL;
}

static int use_all(void *arg) {
  CHECK(torque_reinit(s.ctx) == 0);
  s.test = pthread_self();
  CHECK(torque_stream_listen_set_type(s.source, arg, NULL) == 0);
  const struct sockaddr_in a = loopback_address(0);
  torque_source source;
  CHECK(torque_datagram_bind_add(s.ctx, &a, sizeof a, 0, on_datagrams, NULL, &source) == 0);
  serves_others();
  ends();
  return 0;
}

static void whatever_they_are_at(void **state) {
  set_up(*state);
  make_hall(0);
  struct torque_stream_type *type;
  assert_int_equal(torque_stream_type_new(&type), 0);
  assert_int_equal(torque_stream_type_set_data(type, on_data), 0);
  assert_int_equal(pthread_create(&runner, NULL, run_it, NULL), 0);
  fixture_thread(s.f, post_it, NULL);
  fixture_thread(s.f, change_type, type);
  fixture_thread(s.f, open_and_close, NULL);
  for (int i = 0; i < FEWER(100); i++) {
    if (SANITIZED) break;
    assert_int_equal(child_run(use_all, type), 0);
  }
  s.f->quit = 1;
  leave();
  fixture_join(s.f);
  torque_stream_type_free(type);
  assert_int_equal(torque_source_remove(s.source), 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      ON(driven, what_it_served_is_served_in_the_child),
      ON(polled, what_it_served_is_served_in_the_child),
      ON(driven, what_this_thread_serves_goes_on),
      ON(polled, what_this_thread_serves_goes_on),
      ON(driven, what_was_about_to_end_ends),
      ON(driven, places_that_it_took_are_free_in_the_child),
      ON(driven, places_that_this_thread_took_stay_taken),
      ON(driven, whatever_they_are_at),
      ON(polled, whatever_they_are_at),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
