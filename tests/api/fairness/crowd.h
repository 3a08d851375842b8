/* SPDX-License-Identifier: BSD-3-Clause */
/* One kind of work that always has more to do, beside one thing of another kind that waits for its turn.
 *
 * How long that waits is counted: in rounds of a driven context, in callbacks of the busy kind for a worker. Nothing is
 * timed. The busy kind feeds itself from its own callbacks until the field is over; the quiet one is made ready while
 * nobody runs the context, or while its only worker stands still. */
#ifndef TORQUE_TESTS_CROWD_H
#define TORQUE_TESTS_CROWD_H

#define _GNU_SOURCE
#include "support/context.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "support/cmocka.h"

enum { MANY = 600, ROUNDS = 8, FILES = 64, CLIENTS = 128, STREAMS = 100 };

struct field {
  struct fixture *f;
  const struct kind *busy, *quiet;

  _Atomic int over;       /* the busy kind stops feeding itself */
  _Atomic uint64_t calls; /* of the busy kind */
  _Atomic uint32_t told;  /* of the quiet one */
  _Atomic uint64_t noted; /* calls when it was told first */

  torque_source source; /* the quiet one, or what the busy kind feeds itself with */
  torque_source busy_source;
  struct torque_strand *strand, *busy_strand;
  struct torque_stream_type *type, *busy_type;
  torque_source peer[2 * STREAMS]; /* streams: to whom each one speaks */
  struct sockaddr_storage address, busy_address;
  socklen_t address_size, busy_address_size;
  int fd, client[CLIENTS];
  uint32_t clients;
  pthread_mutex_t lock;
  char folder[32], busy_folder[32];
  _Atomic int begun; /* the job behind the quiet one */
};

/* Makes what is busy; makes what is quiet, not ready; makes that ready, surely so when it returns. Null: cannot be. */
struct kind {
  const char *name;
  void (*busy)(struct field *d);
  void (*quiet)(struct field *d);
  void (*prod)(struct field *d);
  uint64_t batch;  /* calls of the busy kind in one round, at most */
  uint64_t number; /* how many of it wait in its own line, at most */
};

static int busy_call(struct field *d) {
  atomic_fetch_add(&d->calls, 1);
  return !atomic_load(&d->over);
}
/* What is noted is there when it is told. */
static void quiet_call(struct field *d) {
  if (atomic_load(&d->told) == 0) atomic_store(&d->noted, atomic_load(&d->calls));
  atomic_fetch_add(&d->told, 1);
}

/* ---- Descriptors ---- */

/* A level in a driven context; else each call makes the next edge. */
static int32_t busy_fd(torque_source source, int32_t fd, uint32_t events, void *arg) {
  (void)source, (void)events;
  const struct field *d = arg;
  if (busy_call(arg) && !d->f->shape->driven) (void)eventfd_write(fd, 1);
  return TORQUE_DONE;
}
static int32_t quiet_fd(torque_source source, int32_t fd, uint32_t events, void *arg) {
  (void)source, (void)events;
  if (drain(fd, NULL)) quiet_call(arg);
  return TORQUE_DONE;
}
static void descriptors_busy(struct field *d) {
  const uint32_t level = d->f->shape->driven ? TORQUE_LEVEL : 0;
  for (int i = 0; i < MANY; i++) {
    torque_source s;
    const int fd = eventfd(1, EFD_NONBLOCK | EFD_CLOEXEC);
    fixture_own(d->f, fd);
    assert_int_equal(torque_fd_add(d->f->ctx, fd, TORQUE_READ, level, busy_fd, d, &s), 0);
  }
}
static void descriptors_quiet(struct field *d) {
  int fd[2];
  fixture_pair(d->f, fd);
  d->fd = fd[1];
  assert_int_equal(torque_fd_add(d->f->ctx, fd[0], TORQUE_READ, 0, quiet_fd, d, &d->source), 0);
}
static void descriptors_prod(struct field *d) { say(d->fd, 1); }

/* ---- Timers ---- */

enum { TIMERS = 1500 };

static void busy_timer(torque_source source, uint64_t expirations, void *arg) {
  (void)expirations;
  if (busy_call(arg)) (void)torque_timer_set(source, 0, 0, 0);
}
static void busy_past_timer(torque_source source, uint64_t expirations, void *arg) {
  (void)expirations;
  if (busy_call(arg)) (void)torque_timer_set(source, 1, 0, TORQUE_TIMER_ABSOLUTE);
}
static void quiet_timer(torque_source source, uint64_t expirations, void *arg) {
  (void)source, (void)expirations;
  quiet_call(arg);
}
static void start_timers(struct field *d, int number, torque_timer_fn *fn) {
  for (int i = 0; i < number; i++) {
    torque_source s;
    assert_int_equal(torque_timer_add(d->f->ctx, 0, 0, 0, fn, d, &s), 0);
  }
}
static void timers_busy(struct field *d) { start_timers(d, TIMERS, busy_timer); }
static void past_timers_busy(struct field *d) { start_timers(d, 3, busy_past_timer); }
static void timers_quiet(struct field *d) {
  assert_int_equal(torque_timer_new(d->f->ctx, TORQUE_CLOCK_MONOTONIC, quiet_timer, d, &d->source), 0);
}
static void wall_timers_quiet(struct field *d) {
  assert_int_equal(torque_timer_new(d->f->ctx, TORQUE_CLOCK_WALL, quiet_timer, d, &d->source), 0);
}
static void timers_prod(struct field *d) { assert_int_equal(torque_timer_set(d->source, 0, 0, 0), 0); }

/* ---- Posted work ---- */

enum { POSTS = 4000, STRANDS = 8 };

static void busy_post(void *arg) {
  struct field *d = arg;
  if (busy_call(d)) (void)torque_post(d->f->ctx, busy_post, d);
}
static void quiet_post(void *arg) { quiet_call(arg); }
static void posts_busy(struct field *d) {
  for (int i = 0; i < POSTS; i++) assert_int_equal(torque_post(d->f->ctx, busy_post, d), 0);
}
static void nothing_quiet(struct field *d) { (void)d; }
static void posts_prod(struct field *d) { assert_int_equal(torque_post(d->f->ctx, quiet_post, d), 0); }

/* ---- Strands: functions in them, and sources ---- */

struct lane {
  struct field *d;
  struct torque_strand *strand;
};
static void busy_strand_post(void *arg) {
  struct lane *l = arg;
  if (busy_call(l->d)) (void)torque_strand_post(l->strand, busy_strand_post, l);
}
static void strand_posts_busy(struct field *d) {
  struct lane *l = fixture_take(d->f, STRANDS * sizeof *l);
  for (int i = 0; i < STRANDS; i++) {
    l[i].d = d;
    assert_int_equal(torque_strand_new(d->f->ctx, &l[i].strand), 0);
    for (int j = 0; j < MANY; j++) assert_int_equal(torque_strand_post(l[i].strand, busy_strand_post, &l[i]), 0);
    torque_strand_free(l[i].strand); /* what is posted keeps it */
  }
}
static int32_t busy_event(torque_source source, int32_t fd, uint32_t events, void *arg) {
  (void)source, (void)fd, (void)events;
  return busy_call(arg) ? TORQUE_AGAIN : TORQUE_DONE;
}
static int32_t quiet_event(torque_source source, int32_t fd, uint32_t events, void *arg) {
  (void)source, (void)fd, (void)events;
  quiet_call(arg);
  return TORQUE_DONE;
}
static void events_in(struct field *d, struct torque_strand *strand) {
  for (int i = 0; i < MANY; i++) {
    torque_source s;
    assert_int_equal(torque_event_new(d->f->ctx, 0, busy_event, d, &s), 0);
    if (strand) assert_int_equal(torque_source_set_strand(s, strand), 0);
    assert_int_equal(torque_source_start(s), 0);
    assert_int_equal(torque_trigger(s, 0), 0);
  }
}
static void strand_sources_busy(struct field *d) {
  assert_int_equal(torque_strand_new(d->f->ctx, &d->busy_strand), 0);
  events_in(d, d->busy_strand);
}
static void strands_quiet(struct field *d) { assert_int_equal(torque_strand_new(d->f->ctx, &d->strand), 0); }
static void strands_prod(struct field *d) { assert_int_equal(torque_strand_post(d->strand, quiet_post, d), 0); }
static void strand_sources_quiet(struct field *d) {
  strands_quiet(d);
  assert_int_equal(torque_event_new(d->f->ctx, 0, quiet_event, d, &d->source), 0);
  assert_int_equal(torque_source_set_strand(d->source, d->strand), 0);
  assert_int_equal(torque_source_start(d->source), 0);
}

/* ---- Events; functions that run in a source's turn ---- */

static void events_busy(struct field *d) { events_in(d, NULL); }
static void events_quiet(struct field *d) {
  assert_int_equal(torque_event_add(d->f->ctx, 0, quiet_event, d, &d->source), 0);
}
static void events_prod(struct field *d) { assert_int_equal(torque_trigger(d->source, 0), 0); }

static void busy_turn(torque_source source, torque_err err, void *arg) {
  if (!err && busy_call(arg)) (void)torque_source_run(source, busy_turn, arg);
}
static void quiet_turn(torque_source source, torque_err err, void *arg) {
  (void)source;
  if (!err) quiet_call(arg);
}
static void turns_busy(struct field *d) {
  assert_int_equal(torque_event_add(d->f->ctx, 0, quiet_event, d, &d->busy_source), 0);
  for (int i = 0; i < MANY; i++) assert_int_equal(torque_source_run(d->busy_source, busy_turn, d), 0);
}
static void turns_prod(struct field *d) { assert_int_equal(torque_source_run(d->source, quiet_turn, d), 0); }

/* ---- Idle sources ---- */

static int32_t busy_idle(torque_source source, void *arg) {
  (void)source;
  return busy_call(arg) ? TORQUE_AGAIN : TORQUE_DONE;
}
static void idle_busy(struct field *d) {
  for (int i = 0; i < MANY; i++) {
    torque_source s;
    assert_int_equal(torque_idle_add(d->f->ctx, busy_idle, d, &s), 0);
  }
}

/* ---- Signals ---- */

enum { ARRIVALS = 200 };

static void send_signal(int signo) {
  const union sigval none = {0};
  (void)sigqueue(getpid(), signo, none);
}
static void busy_signal(torque_source source, const struct torque_siginfo *info, void *arg) {
  (void)source, (void)info;
  if (busy_call(arg)) send_signal(SIGRTMIN + 1);
}
static void quiet_signal(torque_source source, const struct torque_siginfo *info, void *arg) {
  (void)source, (void)info;
  quiet_call(arg);
}
static void signals_busy(struct field *d) {
  const int32_t signo = SIGRTMIN + 1;
  assert_int_equal(torque_signal_add(d->f->ctx, &signo, 1, busy_signal, d, &d->busy_source), 0);
  for (int i = 0; i < ARRIVALS; i++) send_signal(signo);
}
static void signals_quiet(struct field *d) {
  const int32_t signo = SIGRTMIN + 2;
  assert_int_equal(torque_signal_add(d->f->ctx, &signo, 1, quiet_signal, d, &d->source), 0);
}
static void signals_prod(struct field *d) {
  (void)d;
  send_signal(SIGRTMIN + 2);
}

/* ---- Paths ---- */

static void make_folder(char folder[32]) {
  strcpy(folder, "/tmp/torque-crowd-XXXXXX");
  assert_non_null(mkdtemp(folder));
}
static void touch(const char *folder, const char *name, int there) {
  char path[64];
  snprintf(path, sizeof path, "%s/%s", folder, name);
  if (!there) (void)unlink(path);
  else (void)close(open(path, O_CREAT | O_CLOEXEC | O_WRONLY, 0600));
}
static void remove_folder(const char *folder) {
  char name[16];
  if (!folder[0]) return;
  for (int i = 0; i < FILES; i++) {
    snprintf(name, sizeof name, "%d", i);
    touch(folder, name, 0);
  }
  (void)rmdir(folder);
}
/* What was made goes, and what has gone is made. */
static void busy_path(torque_source source, const struct torque_path_event *event, void *arg) {
  (void)source;
  struct field *d = arg;
  if (busy_call(d))
    touch(d->busy_folder, torque_path_event_name(event), torque_path_event_mask(event) == TORQUE_PATH_DELETED);
}
static void quiet_path(torque_source source, const struct torque_path_event *event, void *arg) {
  (void)source, (void)event;
  quiet_call(arg);
}
static void paths_busy(struct field *d) {
  char name[16];
  make_folder(d->busy_folder);
  assert_int_equal(torque_path_add(d->f->ctx, d->busy_folder, TORQUE_PATH_CREATED | TORQUE_PATH_DELETED, 0, busy_path, d,
                                   &d->busy_source), 0);
  for (int i = 0; i < FILES; i++) {
    snprintf(name, sizeof name, "%d", i);
    touch(d->busy_folder, name, 1);
  }
}
static void paths_quiet(struct field *d) {
  make_folder(d->folder);
  assert_int_equal(torque_path_add(d->f->ctx, d->folder, TORQUE_PATH_CREATED, 0, quiet_path, d, &d->source), 0);
}
static void paths_prod(struct field *d) { touch(d->folder, "0", 1); }

/* ---- Streams ---- */

static size_t busy_data(torque_source stream, const void *data, size_t length, void *arg) {
  if (busy_call(arg)) (void)torque_stream_write(stream, data, length);
  return length;
}
static size_t quiet_data(torque_source stream, const void *data, size_t length, void *arg) {
  (void)stream, (void)data;
  quiet_call(arg);
  return length;
}
static torque_source stream_of(struct field *d, int fd, struct torque_stream_type *type) {
  torque_source s = 0;
  fixture_disown(d->f, fd);
  assert_int_equal(torque_stream_add(d->f->ctx, fd, type, d, &s), 0);
  return s;
}
static struct torque_stream_type *type_of(torque_stream_data_fn *data) {
  struct torque_stream_type *type;
  assert_int_equal(torque_stream_type_new(&type), 0);
  assert_int_equal(torque_stream_type_set_data(type, data), 0);
  return type;
}
static void streams_busy(struct field *d) {
  static const char text[1000];
  d->busy_type = type_of(busy_data);
  for (int i = 0; i < STREAMS; i++) {
    int fd[2];
    fixture_pair(d->f, fd);
    const torque_source first = stream_of(d, fd[0], d->busy_type);
    (void)stream_of(d, fd[1], d->busy_type);
    assert_int_equal(torque_stream_write(first, text, sizeof text), 0);
  }
}
static void streams_quiet(struct field *d) {
  int fd[2];
  fixture_pair(d->f, fd);
  d->fd = fd[1];
  d->type = type_of(quiet_data);
  d->source = stream_of(d, fd[0], d->type);
}

/* ---- Listeners ---- */

static void listen_at(struct field *d, torque_accept_fn *fn, struct sockaddr_storage *address, socklen_t *size,
                      torque_source *ret) {
  static int number;
  struct sockaddr_un *un = (struct sockaddr_un *)address;
  un->sun_family = AF_UNIX;
  const int n = snprintf(un->sun_path + 1, sizeof un->sun_path - 1, "torque-crowd-%d-%d", (int)getpid(), ++number);
  *size = (socklen_t)(offsetof(struct sockaddr_un, sun_path) + 1 + (size_t)n);
  assert_int_equal(torque_listen_add(d->f->ctx, address, *size, 512, TORQUE_LISTEN_SHARED, fn, d, ret), 0);
}
static int connect_to(const struct sockaddr_storage *address, socklen_t size) {
  const int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd >= 0 && connect(fd, (const struct sockaddr *)address, size) == 0) return fd;
  if (fd >= 0) close(fd);
  return -1;
}
/* The oldest client goes, and comes again. */
static void come_again(struct field *d) {
  pthread_mutex_lock(&d->lock); /* the test's thread begins while the worker is at it */
  const uint32_t i = d->clients++ % CLIENTS;
  if (d->client[i] >= 0) close(d->client[i]);
  d->client[i] = connect_to(&d->busy_address, d->busy_address_size);
  pthread_mutex_unlock(&d->lock);
}
static void busy_accept(torque_source listener, int32_t fd, const void *addr, uint32_t addrlen, void *arg) {
  (void)listener, (void)addr, (void)addrlen;
  close(fd);
  if (busy_call(arg)) come_again(arg);
}
static void quiet_accept(torque_source listener, int32_t fd, const void *addr, uint32_t addrlen, void *arg) {
  (void)listener, (void)addr, (void)addrlen;
  close(fd);
  quiet_call(arg);
}
static void listeners_busy(struct field *d) {
  listen_at(d, busy_accept, &d->busy_address, &d->busy_address_size, &d->busy_source);
  for (int i = 0; i < CLIENTS; i++) come_again(d);
}
static void listeners_quiet(struct field *d) { listen_at(d, quiet_accept, &d->address, &d->address_size, &d->source); }
static void listeners_prod(struct field *d) {
  const int fd = connect_to(&d->address, d->address_size);
  assert_true(fd >= 0);
  fixture_own(d->f, fd);
}

/* ---- Datagrams ---- */

static int bound(struct field *d, struct sockaddr_storage *address, socklen_t *size) {
  const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  fixture_own(d->f, fd);
  struct sockaddr_in *in = (struct sockaddr_in *)address;
  in->sin_family = AF_INET;
  in->sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  *size = sizeof *in;
  assert_int_equal(bind(fd, (struct sockaddr *)address, *size), 0);
  assert_int_equal(getsockname(fd, (struct sockaddr *)address, size), 0);
  return fd;
}
static void busy_datagram(torque_source source, struct torque_datagrams *batch, void *arg) {
  struct field *d = arg;
  for (uint32_t i = 0; i < torque_datagrams_count(batch); i++)
    if (busy_call(d)) (void)torque_datagram_send(source, &d->busy_address, d->busy_address_size, "x", 1);
}
static void quiet_datagram(torque_source source, struct torque_datagrams *batch, void *arg) {
  (void)source;
  if (torque_datagrams_count(batch)) quiet_call(arg);
}
static void datagrams_busy(struct field *d) {
  const int fd = bound(d, &d->busy_address, &d->busy_address_size);
  assert_int_equal(torque_datagram_add(d->f->ctx, fd, 0, busy_datagram, d, &d->busy_source), 0);
  for (int i = 0; i < ARRIVALS; i++)
    assert_int_equal(torque_datagram_send(d->busy_source, &d->busy_address, d->busy_address_size, "x", 1), 0);
}
static void datagrams_quiet(struct field *d) {
  d->fd = bound(d, &d->address, &d->address_size);
  assert_int_equal(torque_datagram_add(d->f->ctx, d->fd, 0, quiet_datagram, d, &d->source), 0);
}
static void datagrams_prod(struct field *d) {
  assert_int_equal(sendto(d->fd, "x", 1, 0, (struct sockaddr *)&d->address, d->address_size), 1);
}

/* ---- Jobs. There is one helper, which does them in order ---- */

static int64_t no_work(void *arg) {
  (void)arg;
  return 0;
}
static int64_t begins(void *arg) {
  atomic_store(&((struct field *)arg)->begun, 1);
  return 0;
}
static void busy_job(torque_source job, torque_err err, int64_t result, void *arg) {
  (void)job, (void)err, (void)result;
  struct field *d = arg;
  if (busy_call(d)) (void)torque_offload(d->f->ctx, no_work, busy_job, d, NULL);
}
static void quiet_job(torque_source job, torque_err err, int64_t result, void *arg) {
  (void)job, (void)err, (void)result;
  quiet_call(arg);
}
static void nobodys_job(torque_source job, torque_err err, int64_t result, void *arg) {
  (void)job, (void)err, (void)result, (void)arg;
}
static void jobs_busy(struct field *d) {
  for (int i = 0; i < MANY; i++) assert_int_equal(torque_offload(d->f->ctx, no_work, busy_job, d, NULL), 0);
}
/* When the next one begins this one has been handed back. */
static void jobs_prod(struct field *d) {
  assert_int_equal(torque_offload(d->f->ctx, no_work, quiet_job, d, NULL), 0);
  assert_int_equal(torque_offload(d->f->ctx, begins, nobodys_job, d, NULL), 0);
  STAY_UNTIL(atomic_load(&d->begun));
}

/* ---- Conditions ---- */

static void busy_waiter(torque_source source, uint64_t signals, void *arg) {
  (void)source;
  struct field *d = arg;
  for (uint64_t i = 0; i < signals; i++)
    if (busy_call(d)) (void)torque_condition_signal(d->busy_source);
}
static void quiet_waiter(torque_source source, uint64_t signals, void *arg) {
  (void)source, (void)signals;
  quiet_call(arg);
}
static void conditions_busy(struct field *d) {
  assert_int_equal(torque_condition_new(d->f->ctx, 0, &d->busy_source), 0);
  for (int i = 0; i < MANY; i++) {
    torque_source s;
    assert_int_equal(torque_condition_add(d->busy_source, busy_waiter, d, &s), 0);
  }
  assert_int_equal(torque_condition_broadcast(d->busy_source), 0);
}
static void conditions_quiet(struct field *d) {
  torque_source s;
  assert_int_equal(torque_condition_new(d->f->ctx, 0, &d->source), 0);
  assert_int_equal(torque_condition_add(d->source, quiet_waiter, d, &s), 0);
}
static void conditions_prod(struct field *d) { assert_int_equal(torque_condition_signal(d->source), 0); }

/* ---- The network: a source that tells what there is, again and again ---- */

static void busy_network(torque_source source, const struct torque_network_event *event, void *arg) {
  struct field *d = arg;
  torque_source next;
  if (!busy_call(d) || torque_network_event_what(event) != TORQUE_NETWORK_COMPLETE) return;
  (void)torque_source_remove(source);
  if (torque_network_add(d->f->ctx, TORQUE_NETWORK_LINKS, TORQUE_NETWORK_DUMP, busy_network, d, &next)) return;
}
static void quiet_network(torque_source source, const struct torque_network_event *event, void *arg) {
  (void)source, (void)event;
  quiet_call(arg);
}
static void networks_busy(struct field *d) {
  for (int i = 0; i < 16; i++) {
    torque_source s;
    assert_int_equal(torque_network_add(d->f->ctx, TORQUE_NETWORK_LINKS, TORQUE_NETWORK_DUMP, busy_network, d, &s), 0);
  }
}
static void networks_prod(struct field *d) {
  assert_int_equal(
      torque_network_add(d->f->ctx, TORQUE_NETWORK_LINKS, TORQUE_NETWORK_DUMP, quiet_network, d, &d->source), 0);
}

/* The bounds are those of torque-threads(7). Turns: a source may be called five times in a round where events come while it
 * runs; of a stream's, datagram socket's, listener's and so on a turn is a number of callbacks. */
static const struct kind kinds[] = {
    {"descriptors", descriptors_busy, descriptors_quiet, descriptors_prod, 256, MANY},
    {"timers", timers_busy, timers_quiet, timers_prod, 1024, TIMERS},
    {"timers in the past", past_timers_busy, NULL, NULL, 1024, 3},
    {"timers of the wall clock", NULL, wall_timers_quiet, timers_prod, 0, 0},
    {"posted functions", posts_busy, nothing_quiet, posts_prod, 1024, POSTS},
    {"functions in strands", strand_posts_busy, strands_quiet, strands_prod, 256 + 16 + STRANDS, MANY * STRANDS},
    {"sources in a strand", strand_sources_busy, strand_sources_quiet, events_prod, 2 * 256 + 16, MANY},
    {"events", events_busy, events_quiet, events_prod, 256, MANY},
    {"functions in a source's turn", turns_busy, events_quiet, turns_prod, 5 * 64, MANY},
    {"idle sources", idle_busy, NULL, NULL, 256, MANY},
    {"signals", signals_busy, signals_quiet, signals_prod, 2 * 64, 2 * ARRIVALS},
    {"paths", paths_busy, paths_quiet, paths_prod, 2 * 64, 2 * FILES},
    {"streams", streams_busy, streams_quiet, descriptors_prod, 2 * 256, 2 * STREAMS},
    {"listeners", listeners_busy, listeners_quiet, listeners_prod, 64, CLIENTS},
    {"datagrams", datagrams_busy, datagrams_quiet, datagrams_prod, 4 * 64 + 4, 2 * ARRIVALS},
    {"jobs", jobs_busy, nothing_quiet, jobs_prod, 256, 2 * MANY},
    {"conditions", conditions_busy, conditions_quiet, conditions_prod, 5 * 256, MANY},
    {"the network", networks_busy, nothing_quiet, networks_prod, 16 * 64, 16 * 64},
};
enum { KINDS = sizeof kinds / sizeof kinds[0] };

/* ---- One pair ---- */

struct pair {
  const struct shape *shape;
  const struct kind *busy, *quiet;
  struct field *field;
};

/* A context with one helper, in place of the fixture's. */
static void with_one_helper(struct fixture *f) {
  fixture_stop(f);
  struct torque_config *c = shape_config(f->shape);
  assert_int_equal(torque_config_set_offload_threads(c, 1), 0);
  assert_int_equal(torque_ctx_new(c, &f->ctx), 0);
  torque_config_free(c);
}

static int pair_up(void **state) {
  struct pair *p = *state;
  void *inner = (void *)(uintptr_t)p->shape;
  if (fixture_up(&inner)) return -1;
  struct field *d = p->field = fixture_take(inner, sizeof *d);
  *d = (struct field){.f = inner, .busy = p->busy, .quiet = p->quiet, .lock = PTHREAD_MUTEX_INITIALIZER};
  for (int i = 0; i < CLIENTS; i++) d->client[i] = -1;
  with_one_helper(d->f);
  return 0;
}

static void dismiss(struct field *d) {
  for (int i = 0; i < CLIENTS; i++)
    if (d->client[i] >= 0) close(d->client[i]);
  remove_folder(d->folder);
  remove_folder(d->busy_folder);
  torque_strand_free(d->strand);
  torque_strand_free(d->busy_strand);
  torque_stream_type_free(d->type);
  torque_stream_type_free(d->busy_type);
}

static int pair_down(void **state) {
  const struct pair *p = *state;
  struct field *d = p->field;
  void *inner = d->f;
  atomic_store(&d->over, 1);
  fixture_stop(d->f);
  dismiss(d);
  return fixture_down(&inner);
}

/* Timers go by their deadlines: who sets itself into the past is the first, again and again. */
static int has_a_bound(const struct kind *busy, const struct kind *quiet) {
  return busy->busy != past_timers_busy || quiet->quiet != timers_quiet;
}

static int same_line(const struct field *d) {
  const int timers = !strncmp(d->busy->name, "timers", 6) && !strncmp(d->quiet->name, "timers", 6);
  return timers || d->busy == d->quiet;
}

/* All pairs, as tests. */
static int run_pairs(const char *name, const struct shape *shape, CMUnitTestFunction test) {
  static struct pair pairs[KINDS * KINDS];
  static struct CMUnitTest tests[KINDS * KINDS];
  static char names[KINDS * KINDS][96];
  size_t n = 0;
  for (size_t b = 0; b < KINDS; b++)
    for (size_t q = 0; q < KINDS; q++) {
      if (!kinds[b].busy || !kinds[q].quiet || !has_a_bound(&kinds[b], &kinds[q])) continue;
      snprintf(names[n], sizeof names[n], "%s beside %s", kinds[q].name, kinds[b].name);
      pairs[n] = (struct pair){shape, &kinds[b], &kinds[q], NULL};
      tests[n] = (struct CMUnitTest){names[n], test, pair_up, pair_down, &pairs[n]};
      n++;
    }
  return _cmocka_run_group_tests(name, tests, n, NULL, NULL);
}

#endif
