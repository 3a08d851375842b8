/* SPDX-License-Identifier: BSD-3-Clause */
/* A program that is compiled for ThreadSanitizer, on a library that is not: what one callback, call or thread hands to the
 * next by libtorque is in order, and the sanitizer must know. Everything handed over is a plain int; the main thread waits
 * for flags that put nothing in order. With the argument "race" nothing is handed over, and there must be a report.
 *
 * usage: handovers [race] */
#include <libtorque/torque.h>
#include <pthread.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

enum { TURNS = 200 };

static struct torque_ctx *ctx;
static atomic_int flag;

#define CHECK(condition) \
  ((condition) ? (void)0 : (fprintf(stderr, "%s:%d: %s\n", __FILE__, __LINE__, #condition), abort()))
#define OK(call) CHECK((call) == 0)

static int raised(void) { return atomic_load_explicit(&flag, memory_order_relaxed); }
static void raise_flag(int to) { atomic_store_explicit(&flag, to, memory_order_relaxed); }
static void nap(void) { nanosleep(&(struct timespec){0, 200000}, NULL); }
static void wait_for(int value) {
  while (raised() < value) nap();
  raise_flag(0);
}

/* What is handed from one to the next: each finds what the one before has left. */
static int baton;
static int take(void) { return baton++; }

static void on_timer(torque_source source, uint64_t n, void *arg) {
  (void)source, (void)n;
  take();
  ++*(int *)arg;
}
static void on_end(torque_source source, int32_t reason, void *arg) {
  (void)source, (void)reason;
  take();
  *(int *)arg = -1;
  raise_flag(1);
}

static void timers(void) {
  torque_source timer;
  for (int i = 0; i < TURNS; i++) {
    int *own = malloc(sizeof *own); /* new for each: it must be seen by the callback as it is here */
    *own = i;
    baton = 7;
    OK(torque_timer_new(ctx, TORQUE_CLOCK_MONOTONIC, on_timer, own, &timer));
    OK(torque_source_set_finalizer(timer, on_end));
    OK(torque_timer_set(timer, 1000, 0, i % 2 ? TORQUE_TIMER_REMOVE : 0));
    if (i % 2) wait_for(1);
    const torque_err err = torque_source_remove_wait(timer);
    CHECK(!err || (i % 2 && err == TORQUE_ERR_STALE));
    CHECK(*own == -1 && baton >= 8);
    raise_flag(0);
    free(own);
  }
}

static void ran_freshly(torque_source source, torque_err err, void *arg) {
  (void)source, (void)err;
  if (--*(int *)arg == 0) free(arg); /* new for each, too */
}
static void ran(torque_source source, torque_err err, void *arg) {
  (void)source, (void)err;
  take();
  ++*(int *)arg;
}

static int32_t on_event(torque_source source, int32_t fd, uint32_t events, void *arg) {
  (void)source, (void)fd, (void)events, (void)arg;
  if (take() == TURNS) raise_flag(1);
  return TORQUE_AGAIN; /* on whichever worker comes next */
}

static void events(void) {
  torque_source event;
  int own = 0;
  baton = 0;
  OK(torque_event_new(ctx, 0, on_event, &own, &event));
  OK(torque_source_set_finalizer(event, on_end));
  OK(torque_source_start(event));
  OK(torque_trigger(event, 0));
  for (int i = 0; i < TURNS; i++) { /* while it runs */
    int *fresh = malloc(sizeof *fresh);
    *fresh = 1;
    OK(torque_source_run(event, ran_freshly, fresh));
  }
  wait_for(1);
  OK(torque_source_remove_wait(event));
  CHECK(baton > TURNS && own == -1);
  raise_flag(0);
}

static void posted(void *arg) {
  if (++*(int *)arg == TURNS) raise_flag(1);
}

static void in_strand(void *arg) { ++*(int *)arg; }
static void timer_in_strand(torque_source source, uint64_t n, void *arg) {
  (void)source, (void)n;
  in_strand(arg);
}
static void last_in_strand(void *arg) {
  CHECK(*(int *)arg > TURNS);
  raise_flag(1);
}

static void posts(void) {
  static int here, there;
  for (int i = 0; i < TURNS; i++) OK(torque_post(ctx, posted, &here));
  wait_for(1);
  struct torque_strand *strand;
  OK(torque_strand_new(ctx, &strand));
  torque_source timer;
  OK(torque_timer_new(ctx, TORQUE_CLOCK_MONOTONIC, timer_in_strand, &there, &timer));
  OK(torque_source_set_strand(timer, strand));
  OK(torque_timer_set(timer, 1000, 1000, 0));
  for (int i = 0; i < TURNS; i++) OK(torque_strand_post(strand, in_strand, &there));
  nap();
  OK(torque_source_remove_wait(timer));
  OK(torque_strand_post(strand, in_strand, &there)); /* one more than TURNS, however often the timer was told */
  OK(torque_strand_post(strand, last_in_strand, &there));
  wait_for(1);
  torque_strand_free(strand);
}

struct job {
  int asked, done;
};
static int64_t work(void *arg) {
  struct job *j = arg;
  j->asked++;
  return j->asked;
}
static void worked(torque_source source, torque_err err, int64_t result, void *arg) {
  (void)source;
  struct job *j = arg;
  CHECK(!err && result == 2 && j->asked == 2);
  j->done = 1;
  OK(torque_stop_async(ctx)); /* the last: hands it to who blocks */
}

static void signalled(torque_source source, uint64_t signals, void *arg) {
  (void)source;
  *(int *)arg += (int)signals;
  if (take() == TURNS) raise_flag(1);
}

static torque_source condition;
static void *waits(void *arg) {
  OK(torque_condition_wait(condition, NULL, UINT64_MAX));
  ++*(int *)arg;
  raise_flag(1);
  return NULL;
}

static void conditions(void) {
  torque_source waiter;
  int heard = 0;
  OK(torque_condition_new(ctx, TORQUE_CONDITION_COUNTING, &condition));
  OK(torque_condition_add_new(condition, signalled, &heard, &waiter));
  OK(torque_source_set_finalizer(waiter, on_end));
  OK(torque_source_start(waiter));
  baton = TURNS;
  OK(torque_condition_signal(condition));
  wait_for(1);
  OK(torque_source_remove_wait(waiter));
  CHECK(heard == -1);
  raise_flag(0);
  pthread_t thread;
  OK(pthread_create(&thread, NULL, waits, &heard));
  for (int i = 0; i < 20; i++) nap();
  heard = 1;
  OK(torque_condition_signal(condition));
  OK(pthread_join(thread, NULL));
  CHECK(heard == 2);
  raise_flag(0);
  OK(torque_source_remove_wait(condition));
}

struct peer {
  char *seen;
  size_t length;
};
static size_t on_data(torque_source stream, const void *data, size_t length, void *arg) {
  struct peer *p = arg;
  memcpy(p->seen + p->length, data, length);
  p->length += length;
  if (p->length == 64 * TURNS) raise_flag(1);
  (void)stream;
  return length;
}
static void on_close(torque_source stream, torque_err err, void *arg) {
  (void)stream, (void)err;
  ((struct peer *)arg)->length = 0;
}

static void streams(void) {
  int pair[2];
  struct torque_stream_type *type;
  struct peer peer = {malloc(64 * TURNS), 0}, writer = {NULL, 0};
  torque_source a, b;
  OK(socketpair(AF_UNIX, SOCK_STREAM, 0, pair));
  OK(torque_stream_type_new(&type));
  OK(torque_stream_type_set_data(type, on_data));
  OK(torque_stream_type_set_close(type, on_close));
  OK(torque_stream_add(ctx, pair[0], type, &writer, &a));
  OK(torque_stream_add(ctx, pair[1], type, &peer, &b));
  int run = 0;
  for (int i = 0; i < TURNS; i++) {
    char text[64];
    memset(text, 'a' + i % 26, sizeof text);
    OK(torque_stream_write(a, text, sizeof text));
    if (i % 10 == 0) OK(torque_stream_run(a, ran, &run));
  }
  wait_for(1);
  (void)torque_source_remove_wait(a);
  (void)torque_source_remove_wait(b);
  CHECK(run >= 0 && peer.length == 0 && peer.seen[0] == 'a');
  torque_stream_type_free(type);
  free(peer.seen);
}

/* A driven context that threads run in turn. */
static struct torque_ctx *driven;
static torque_source driven_event;
static int32_t on_turn(torque_source source, int32_t fd, uint32_t events, void *arg) {
  (void)source, (void)fd, (void)events, (void)arg;
  take();
  return TORQUE_DONE;
}
static void *drives(void *arg) {
  uint64_t n;
  const int turn = *(int *)arg;
  free(arg);
  while (raised() < turn) nap();
  OK(torque_trigger(driven_event, 0));
  while (torque_run_once(driven, 0, &n) == TORQUE_ERR_BUSY) nap(); /* the callback takes the baton */
  raise_flag(turn + 1);
  return NULL;
}

static void drivers(void) {
  struct torque_config *config;
  pthread_t threads[4];
  OK(torque_config_new(&config));
  OK(torque_config_set_driven(config, 1));
  OK(torque_ctx_new(config, &driven));
  torque_config_free(config);
  baton = 0;
  OK(torque_event_add(driven, 0, on_turn, NULL, &driven_event));
  raise_flag(0);
  for (int i = 0; i < 4; i++) {
    int *turn = malloc(sizeof *turn);
    *turn = i;
    OK(pthread_create(&threads[i], NULL, drives, turn));
  }
  for (int i = 0; i < 4; i++) OK(pthread_join(threads[i], NULL));
  OK(torque_stop(driven));
  CHECK(baton == 4);
  raise_flag(0);
}

static void open_context(void) {
  struct torque_config *config;
  OK(torque_config_new(&config));
  OK(torque_config_set_topology(config, TORQUE_TOPOLOGY_SYNTHETIC, "pack:2 l2:1 core:2 pu:1"));
  OK(torque_config_set_pinning(config, 0));
  OK(torque_ctx_new(config, &ctx));
  torque_config_free(config);
  OK(torque_start(ctx));
  for (int i = 0; i < 50; i++) nap(); /* the workers sleep: nothing but the calls below hands anything to them */
}

static void race(void *arg) {
  ++*(int *)arg;
  raise_flag(1);
}

int main(int argc, char **argv) {
  open_context();
  if (argc > 1 && strcmp(argv[1], "race") == 0) {
    int shared = 0;
    OK(torque_post(ctx, race, &shared));
    wait_for(1);
    shared++;
    OK(torque_stop(ctx));
    return 0;
  }
  timers();
  events();
  posts();
  conditions();
  streams();
  drivers();
  struct job job = {1, 0};
  OK(torque_offload(ctx, work, worked, &job, NULL));
  OK(torque_block(ctx));
  CHECK(job.done == 1);
  puts("7 passed, 0 failed");
  return 0;
}
