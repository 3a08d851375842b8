/* SPDX-License-Identifier: BSD-3-Clause */
/* What descriptors can be, and what may happen to them behind the loop's back. */
#include "diff.h"

#include <sys/eventfd.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/timerfd.h>

struct seen {
  const char *name;
  int calls, events;
};

static void count(struct ev_loop *loop, ev_io *w, int revents) {
  struct seen *seen = w->data;
  (void)loop;
  seen->calls++;
  seen->events |= revents;
}

static void watch(struct ev_loop *loop, ev_io *w, struct seen *seen, int fd, int events) {
  ev_io_init(w, count, fd, events);
  w->data = seen;
  ev_io_start(loop, w);
}

/* Some turns, since a loop may need one to notice; then whether and with what each was called. */
static void settle(struct ev_loop *loop, struct seen *seen, size_t number) {
  for (size_t i = 0; i < number; i++) seen[i].calls = seen[i].events = 0;
  turns(loop, 4);
  for (size_t i = 0; i < number; i++)
    trace("%s: %s %s", seen[i].name, seen[i].calls ? "called" : "quiet", bits(seen[i].events));
}

static void each_turn(struct ev_loop *loop, struct seen *seen, int number) {
  for (int i = 0; i < number; i++) {
    seen->calls = seen->events = 0;
    turn(loop);
    trace("%s: %d %s", seen->name, seen->calls, bits(seen->events));
  }
}

CASE(a_regular_file_is_always_ready) {
  struct ev_loop *loop = new_loop(0);
  struct seen seen = {"file", 0, 0}, other = {"pipe", 0, 0};
  int ends[2];
  ev_io w, p;
  FILE *file = tmpfile();
  NEED(file);
  make_pipe(ends);
  watch(loop, &w, &seen, fileno(file), EV_READ | EV_WRITE);
  watch(loop, &p, &other, ends[0], EV_READ);
  each_turn(loop, &seen, 3);
  put(ends[1], 1);
  each_turn(loop, &other, 2);
  ev_io_stop(loop, &w);
  ev_io_set(&w, fileno(file), EV_READ);
  ev_io_start(loop, &w);
  each_turn(loop, &seen, 2);
  ev_io_stop(loop, &w);
  each_turn(loop, &seen, 2);
  ev_io_start(loop, &w);
  each_turn(loop, &seen, 2);
  ev_io_stop(loop, &w);
  ev_io_stop(loop, &p);
  close_both(ends);
  fclose(file);
  ev_loop_destroy(loop);
}

static void stop_at_three(struct ev_loop *loop, ev_io *w, int revents) {
  count(loop, w, revents);
  if (((struct seen *)w->data)->calls == 3) ev_io_stop(loop, w);
}

CASE(a_regular_file_does_not_let_a_run_wait) {
  struct ev_loop *loop = new_loop(0);
  struct seen seen = {"file", 0, 0};
  ev_io w;
  FILE *file = tmpfile();
  NEED(file);
  watch(loop, &w, &seen, fileno(file), EV_READ);
  ev_set_cb(&w, stop_at_three);
  trace("run: %d", run_guarded(loop, 0));
  trace("called %d times", seen.calls);
  fclose(file);
  ev_loop_destroy(loop);
}

CASE(a_number_that_was_a_file_and_is_a_pipe) {
  struct ev_loop *loop = new_loop(0);
  struct seen seen = {"w", 0, 0};
  int ends[2];
  ev_io w;
  FILE *file = tmpfile();
  NEED(file);
  int fd = dup(fileno(file));
  NEED(fd >= 0);
  watch(loop, &w, &seen, fd, EV_READ);
  each_turn(loop, &seen, 2);
  ev_io_stop(loop, &w);
  turn(loop);
  make_pipe(ends);
  NEED(dup2(ends[0], fd) == fd);
  ev_io_set(&w, fd, EV_READ);
  ev_io_start(loop, &w);
  each_turn(loop, &seen, 2);
  put(ends[1], 1);
  each_turn(loop, &seen, 2);
  ev_io_stop(loop, &w);
  close(fd);
  close_both(ends);
  fclose(file);
  ev_loop_destroy(loop);
}

CASE(the_null_device_is_always_ready) {
  struct ev_loop *loop = new_loop(0);
  struct seen seen = {"null", 0, 0};
  ev_io w;
  int fd = open("/dev/null", O_RDWR | O_CLOEXEC);
  NEED(fd >= 0);
  watch(loop, &w, &seen, fd, EV_READ | EV_WRITE);
  each_turn(loop, &seen, 3);
  ev_io_stop(loop, &w);
  each_turn(loop, &seen, 1);
  close(fd);
  ev_loop_destroy(loop);
}

CASE(a_fifo_with_and_without_writers) {
  struct ev_loop *loop = new_loop(0);
  struct seen seen = {"fifo", 0, 0};
  char folder[] = "/tmp/diff-XXXXXX", path[64];
  ev_io w;
  NEED(mkdtemp(folder));
  snprintf(path, sizeof path, "%s/fifo", folder);
  NEED(!mkfifo(path, 0600));
  int reader = open(path, O_RDONLY | O_NONBLOCK | O_CLOEXEC);
  NEED(reader >= 0);
  watch(loop, &w, &seen, reader, EV_READ);
  each_turn(loop, &seen, 1);
  int writer = open(path, O_WRONLY | O_NONBLOCK | O_CLOEXEC);
  NEED(writer >= 0);
  each_turn(loop, &seen, 1);
  put(writer, 2);
  each_turn(loop, &seen, 1);
  drain(reader);
  each_turn(loop, &seen, 1);
  close(writer);
  each_turn(loop, &seen, 2);
  ev_io_stop(loop, &w);
  close(reader);
  unlink(path);
  rmdir(folder);
  ev_loop_destroy(loop);
}

CASE(eventfd_and_timerfd) {
  struct ev_loop *loop = new_loop(0);
  struct seen seen[2] = {{"eventfd", 0, 0}, {"timerfd", 0, 0}};
  uint64_t one = 1;
  ev_io w[2];
  int event = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC), timer = timerfd_create(CLOCK_MONOTONIC, TFD_NONBLOCK | TFD_CLOEXEC);
  NEED(event >= 0 && timer >= 0);
  watch(loop, &w[0], &seen[0], event, EV_READ | EV_WRITE);
  watch(loop, &w[1], &seen[1], timer, EV_READ);
  settle(loop, seen, 2);
  NEED(write(event, &one, sizeof one) == sizeof one);
  struct itimerspec soon = {{0, 0}, {0, 1}};
  NEED(!timerfd_settime(timer, 0, &soon, NULL));
  ev_sleep(0.01);
  settle(loop, seen, 2);
  NEED(read(event, &one, sizeof one) == sizeof one);
  NEED(read(timer, &one, sizeof one) == sizeof one);
  settle(loop, seen, 2);
  ev_io_stop(loop, &w[0]);
  ev_io_stop(loop, &w[1]);
  close(event);
  close(timer);
  ev_loop_destroy(loop);
}

CASE(a_listener_and_a_connection_to_it) {
  struct ev_loop *loop = new_loop(0);
  struct seen seen = {"listener", 0, 0};
  ev_io w;
  struct sockaddr_storage address = {.ss_family = AF_UNIX}; /* the name the system gives */
  socklen_t size = sizeof address;
  int listener = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  NEED(listener >= 0 && !bind(listener, (struct sockaddr *)&address, sizeof(sa_family_t)) && !listen(listener, 8));
  NEED(!getsockname(listener, (struct sockaddr *)&address, &size));
  watch(loop, &w, &seen, listener, EV_READ);
  each_turn(loop, &seen, 1);
  int peer = socket(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  NEED(peer >= 0 && !connect(peer, (struct sockaddr *)&address, size));
  each_turn(loop, &seen, 2);
  int taken = accept(listener, NULL, NULL);
  NEED(taken >= 0);
  each_turn(loop, &seen, 1);
  ev_io_stop(loop, &w);
  struct seen stream = {"stream", 0, 0};
  watch(loop, &w, &stream, peer, EV_READ | EV_WRITE);
  each_turn(loop, &stream, 1);
  close(taken);
  each_turn(loop, &stream, 1);
  ev_io_stop(loop, &w);
  close(peer);
  close(listener);
  ev_loop_destroy(loop);
}

CASE(a_descriptor_closed_while_watched_is_quiet_and_can_be_stopped) {
  struct ev_loop *loop = new_loop(0);
  struct seen seen[2] = {{"closed", 0, 0}, {"other", 0, 0}};
  int a[2], b[2];
  ev_io w[2];
  make_pipe(a);
  make_pipe(b);
  watch(loop, &w[0], &seen[0], a[0], EV_READ);
  watch(loop, &w[1], &seen[1], b[0], EV_READ);
  put(a[1], 1);
  put(b[1], 1);
  settle(loop, seen, 2);
  close(a[0]);
  settle(loop, seen, 2);
  trace("%s, run %d", state(&w[0]), ev_run(loop, EVRUN_NOWAIT));
  ev_io_stop(loop, &w[0]);
  trace("%s, run %d", state(&w[0]), ev_run(loop, EVRUN_NOWAIT));
  settle(loop, seen, 2);
  ev_io_stop(loop, &w[1]);
  close(a[1]);
  close_both(b);
  ev_loop_destroy(loop);
}

CASE(a_number_used_again_after_stop_belongs_to_the_new_descriptor) {
  struct ev_loop *loop = new_loop(0);
  struct seen seen = {"w", 0, 0};
  int a[2], b[2];
  ev_io w;
  make_pipe(a);
  make_pipe(b);
  watch(loop, &w, &seen, a[0], EV_READ);
  put(a[1], 1);
  settle(loop, &seen, 1);
  ev_io_stop(loop, &w);
  close(a[0]);
  int again = fcntl(b[0], F_DUPFD_CLOEXEC, a[0]);
  NEED(again == a[0]);
  ev_io_set(&w, again, EV_READ);
  ev_io_start(loop, &w);
  settle(loop, &seen, 1);
  put(b[1], 1);
  settle(loop, &seen, 1);
  drain(again);
  settle(loop, &seen, 1);
  ev_io_stop(loop, &w);
  close(again);
  close(a[1]);
  close_both(b);
  ev_loop_destroy(loop);
}

CASE(a_number_used_again_without_stop_works_once_another_watcher_says_so) {
  struct ev_loop *loop = new_loop(0);
  struct seen seen[2] = {{"old", 0, 0}, {"new", 0, 0}};
  int a[2], b[2];
  ev_io w[2];
  make_pipe(a);
  make_pipe(b);
  watch(loop, &w[0], &seen[0], a[0], EV_READ);
  settle(loop, seen, 2);
  close(a[0]);
  int again = fcntl(b[0], F_DUPFD_CLOEXEC, a[0]);
  NEED(again == a[0]);
  put(b[1], 1);
  watch(loop, &w[1], &seen[1], again, EV_READ);
  settle(loop, seen, 2);
  ev_io_stop(loop, &w[0]);
  settle(loop, seen, 2);
  ev_io_stop(loop, &w[1]);
  close(again);
  close(a[1]);
  close_both(b);
  ev_loop_destroy(loop);
}

CASE(a_descriptor_replaced_by_dup2_and_set_again) {
  struct ev_loop *loop = new_loop(0);
  struct seen seen = {"w", 0, 0};
  int a[2], b[2];
  ev_io w;
  make_pipe(a);
  make_pipe(b);
  put(a[1], 1);
  watch(loop, &w, &seen, a[0], EV_READ);
  settle(loop, &seen, 1);
  ev_io_stop(loop, &w);
  NEED(dup2(b[0], a[0]) == a[0]);
  ev_io_set(&w, a[0], EV_READ);
  ev_io_start(loop, &w);
  settle(loop, &seen, 1);
  put(b[1], 1);
  settle(loop, &seen, 1);
  ev_io_stop(loop, &w);
  close_both(a);
  close_both(b);
  ev_loop_destroy(loop);
}

CASE(a_duplicate_that_outlives_the_watched_number_is_not_reported) {
  struct ev_loop *loop = new_loop(0);
  struct seen seen[2] = {{"gone", 0, 0}, {"other", 0, 0}};
  int a[2], b[2];
  ev_io w[2];
  make_pipe(a);
  make_pipe(b);
  watch(loop, &w[0], &seen[0], a[0], EV_READ);
  watch(loop, &w[1], &seen[1], b[0], EV_READ);
  settle(loop, seen, 2);
  int copy = dup(a[0]); /* the file stays open, and in whatever the loop gave it to */
  NEED(copy >= 0);
  ev_io_stop(loop, &w[0]);
  close(a[0]);
  put(a[1], 1);
  settle(loop, seen, 2);
  put(b[1], 1);
  settle(loop, seen, 2);
  trace("and one on the copy");
  ev_io_set(&w[0], copy, EV_READ);
  ev_io_start(loop, &w[0]);
  settle(loop, seen, 2);
  ev_io_stop(loop, &w[0]);
  settle(loop, seen, 2);
  ev_io_stop(loop, &w[1]);
  close(copy);
  close(a[1]);
  close_both(b);
  ev_loop_destroy(loop);
}

CASE(a_number_used_again_while_a_duplicate_keeps_the_old_file) {
  struct ev_loop *loop = new_loop(0);
  struct seen seen[2] = {{"w", 0, 0}, {"other", 0, 0}};
  int a[2], b[2], c[2];
  ev_io w[2];
  make_pipe(a);
  make_pipe(b);
  make_pipe(c);
  watch(loop, &w[0], &seen[0], a[0], EV_READ);
  watch(loop, &w[1], &seen[1], c[0], EV_READ);
  settle(loop, seen, 2);
  int copy = dup(a[0]);
  NEED(copy >= 0);
  ev_io_stop(loop, &w[0]);
  NEED(dup2(b[0], a[0]) == a[0]);
  put(a[1], 1); /* the old file is ready, the new one is not */
  ev_io_set(&w[0], a[0], EV_READ);
  ev_io_start(loop, &w[0]);
  settle(loop, seen, 2);
  put(b[1], 1);
  put(c[1], 1);
  settle(loop, seen, 2);
  drain(b[0]);
  settle(loop, seen, 2);
  ev_io_stop(loop, &w[0]);
  ev_io_stop(loop, &w[1]);
  close(copy);
  close_both(a);
  close_both(b);
  close_both(c);
  ev_loop_destroy(loop);
}

CASE(two_numbers_of_one_file_are_two_descriptors) {
  struct ev_loop *loop = new_loop(0);
  struct seen seen[2] = {{"number", 0, 0}, {"copy", 0, 0}};
  int ends[2];
  ev_io w[2];
  make_pair(ends);
  int copy = dup(ends[0]);
  NEED(copy >= 0);
  watch(loop, &w[0], &seen[0], ends[0], EV_READ);
  watch(loop, &w[1], &seen[1], copy, EV_READ | EV_WRITE);
  settle(loop, seen, 2);
  put(ends[1], 1);
  settle(loop, seen, 2);
  ev_io_stop(loop, &w[1]);
  close(copy);
  settle(loop, seen, 2);
  ev_io_stop(loop, &w[0]);
  close_both(ends);
  ev_loop_destroy(loop);
}

static void watch_closed(void *arg) {
  struct ev_loop *loop = new_loop(*(unsigned *)arg);
  struct seen seen = {"w", 0, 0};
  int ends[2];
  ev_io w;
  make_pipe(ends);
  close_both(ends);
  watch(loop, &w, &seen, ends[0], EV_READ);
  trace("started: %s", state(&w));
  turn(loop);
  trace("after a turn: calls %d %s, %s", seen.calls, bits(seen.events), state(&w));
}

CASE(a_number_that_is_not_open_ends_the_process) {
  unsigned epoll = EVBACKEND_EPOLL;
  in_child("not open", watch_closed, &epoll);
}

CASE(a_number_that_is_not_open_ends_the_process_by_poll) {
  unsigned poll = EVBACKEND_POLL;
  in_child("not open", watch_closed, &poll);
}

CASE(a_number_that_is_not_open_is_an_error_of_the_watcher_by_select) {
  unsigned select = EVBACKEND_SELECT;
  in_child("not open", watch_closed, &select);
}

CASE(stopped_before_the_loop_looks_a_bad_number_does_no_harm) {
  struct ev_loop *loop = new_loop(0);
  struct seen seen = {"w", 0, 0};
  int ends[2];
  ev_io w;
  make_pipe(ends);
  close_both(ends);
  watch(loop, &w, &seen, ends[0], EV_READ);
  ev_io_stop(loop, &w);
  trace("run: %d, calls %d", turn(loop), seen.calls);
  ev_loop_destroy(loop);
}

enum { MANY = 5000 };

static int served, twice;
static unsigned char done[MANY];

static void serve(struct ev_loop *loop, ev_io *w, int revents) {
  uint64_t value;
  int index = (int)(intptr_t)w->data;
  (void)loop;
  if (revents != EV_READ || read(w->fd, &value, sizeof value) != sizeof value) twice++;
  if (done[index]++) twice++;
  served++;
}

CASE(five_thousand_descriptors) {
  struct rlimit limit;
  NEED(!getrlimit(RLIMIT_NOFILE, &limit));
  limit.rlim_cur = limit.rlim_max;
  NEED(!setrlimit(RLIMIT_NOFILE, &limit));
  struct ev_loop *loop = new_loop(0);
  ev_io *w = calloc(MANY, sizeof *w);
  NEED(w);
  for (int i = 0; i < MANY; i++) {
    int fd = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC);
    NEED(fd >= 0);
    ev_io_init(&w[i], serve, fd, EV_READ);
    w[i].data = (void *)(intptr_t)i;
    ev_io_start(loop, &w[i]);
  }
  trace("quiet: %d active, %d served", ev_run(loop, EVRUN_NOWAIT), served);
  for (int step = 1; step <= 7; step += 3) {
    uint64_t one = 1;
    int wanted = 0;
    served = twice = 0;
    memset(done, 0, sizeof done);
    for (int i = 0; i < MANY; i += step, wanted++) NEED(write(w[i].fd, &one, sizeof one) == sizeof one);
    for (int i = 0; i < 1000 && served < wanted; i++) turn(loop);
    turns(loop, 3);
    trace("every %d: %d of %d, %d wrong", step, served, wanted, twice);
  }
  for (int i = 0; i < MANY; i += 2) ev_io_stop(loop, &w[i]);
  trace("half stopped: %d active", ev_run(loop, EVRUN_NOWAIT));
  for (int i = 0; i < MANY; i++) {
    ev_io_stop(loop, &w[i]);
    close(w[i].fd);
  }
  trace("all stopped: %d active", ev_run(loop, EVRUN_NOWAIT));
  free(w);
  ev_loop_destroy(loop);
}
