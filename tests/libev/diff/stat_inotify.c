/* SPDX-License-Identifier: BSD-3-Clause */
/* ev_stat beside the kernel's notifications: without them, after a fork, and with many watchers. */
#include "files.h"

static ev_stat one, two;

CASE(stat_without_inotify_looks_at_intervals) {
  struct ev_loop *loop = ev_loop_new(EVFLAG_NOINOTIFY);
  make_folder();
  watch(loop, &one, "one", path, 0.11);
  append(path, 3);
  trace("not at once");
  turn(loop);
  settle(loop);
  append(path, 1);
  settle(loop);
  NEED(!unlink(path));
  settle(loop);
  trace("run %d", ev_run(loop, EVRUN_NOWAIT));
  ev_stat_stop(loop, &one);
  trace("run %d", ev_run(loop, 0));
}

CASE(stat_without_inotify_is_not_early) {
  struct ev_loop *loop = ev_loop_new(EVFLAG_NOINOTIFY);
  make_folder();
  ev_now_update(loop);
  double start = ev_now(loop);
  watch(loop, &one, "one", path, 0.15);
  append(path, 3);
  run_until(loop, &told_count);
  trace("early: %s", yes(ev_time() - start < 0.149));
}

static int timer_told;

static void on_timer(struct ev_loop *loop, ev_timer *w, int revents) {
  timer_told++;
  (void)loop, (void)w, (void)revents;
}

CASE(stat_without_inotify_waits_and_wakes) {
  struct ev_loop *loop = ev_loop_new(EVFLAG_NOINOTIFY);
  ev_timer timer;
  make_folder();
  watch(loop, &one, "one", path, 0.11);
  watch(loop, &two, "two", in_folder("other"), 0.11);
  ev_timer_init(&timer, on_timer, 0.3, 0.);
  ev_timer_start(loop, &timer);
  unsigned before = ev_iteration(loop);
  run_until(loop, &timer_told);
  trace("passes within reason: %s", yes(ev_iteration(loop) - before < 30));
  append(two.path, 1);
  run_until(loop, &told_count);
}

CASE(stat_without_inotify_tells_missing_files_once) {
  struct ev_loop *loop = ev_loop_new(EVFLAG_NOINOTIFY);
  ev_timer timer;
  make_folder();
  append(path, 1);
  watch(loop, &one, "one", path, 0.11);
  NEED(!unlink(path));
  run_until(loop, &told_count);
  ev_timer_init(&timer, on_timer, 0.3, 0.);
  ev_timer_start(loop, &timer);
  run_until(loop, &timer_told);
  trace("told %d", told_count);
}

CASE(stat_opens_no_descriptor_without_watchers_of_files) {
  struct ev_loop *loop = ev_loop_new(0);
  make_folder();
  int before = open_descriptors();
  turn(loop);
  trace("idle loop: %d", open_descriptors() - before);
  watch(loop, &one, "one", path, 0.);
  trace("some for the first watcher: %s", yes(open_descriptors() > before));
  int with_one = open_descriptors();
  watch(loop, &two, "two", in_folder("other"), 0.);
  trace("more for the second: %d", open_descriptors() - with_one);
  ev_stat_stop(loop, &one);
  ev_stat_stop(loop, &two);
  trace("after the stops: %d", open_descriptors() - with_one);
}

static struct ev_loop *shared_loop;

static void watches_in_child(void) {
  ev_loop_fork(shared_loop);
  turn(shared_loop);
  append(path, 1);
  settle(shared_loop);
  ev_stat_stop(shared_loop, &one);
  trace("run %d", ev_run(shared_loop, EVRUN_NOWAIT));
}

CASE(stat_watchers_work_in_a_forked_process) {
  shared_loop = ev_loop_new(0);
  make_folder();
  append(path, 1);
  watch(shared_loop, &one, "one", path, 0.);
  watch(shared_loop, &two, "missing", in_folder("other"), 0.);
  turn(shared_loop);
  pid_t pid = fork();
  NEED(pid >= 0);
  if (!pid) {
    watches_in_child();
    _exit(0);
  }
  wait_traced("child", pid);
  trace("in the parent");
  settle(shared_loop);
  append(in_folder("other"), 1);
  settle(shared_loop);
}

static int changes[100];

static void counts(struct ev_loop *loop, ev_stat *w, int revents) {
  changes[(int *)w->data - changes]++;
  told_count++;
  if (revents != EV_STAT) trace("unexpected %s", bits(revents));
  (void)loop;
}

CASE(stat_watchers_of_many_files) {
  struct ev_loop *loop = ev_loop_new(0);
  static ev_stat all[100];
  static char names[100][PATH_MAX];
  make_folder();
  for (int i = 0; i < 100; ++i) {
    snprintf(names[i], sizeof names[i], "%s/%d", folder, i);
    if (i % 2) append(names[i], 1);
    ev_stat_init(&all[i], counts, names[i], 0.);
    all[i].data = &changes[i];
    ev_stat_start(loop, &all[i]);
  }
  for (int i = 0; i < 100; i += 3) append(names[i], 2);
  for (int i = 0; i < 200 && told_count < 34; ++i) {
    turn(loop);
    pause_ms(1);
  }
  turns(loop, 20);
  for (int i = 0; i < 100; ++i)
    if (changes[i] != !(i % 3)) trace("file %d: told %d times", i, changes[i]);
  trace("told %d", told_count);
  for (int i = 0; i < 100; ++i) ev_stat_stop(loop, &all[i]);
  trace("run %d", ev_run(loop, 0));
}

CASE(stat_watchers_in_two_loops) {
  struct ev_loop *loop = ev_loop_new(0);
  struct ev_loop *other = ev_default_loop(0);
  make_folder();
  watch(loop, &one, "one", path, 0.);
  watch(other, &two, "two", path, 0.);
  append(path, 1);
  settle(other);
  trace("the other one");
  settle(loop);
  ev_stat_stop(loop, &one);
  ev_loop_destroy(loop);
  append(path, 1);
  settle(other);
}

CASE(stat_path_that_cannot_be_looked_at_is_missing) {
  struct ev_loop *loop = ev_loop_new(0);
  make_folder();
  append(path, 1);
  watch(loop, &one, "below a file", in_folder("file/below"), 0.);
  trace("%s", kind(&one.attr));
  watch(loop, &two, "empty", "", 0.);
  trace("%s", kind(&two.attr));
  turns(loop, 2);
  ev_stat_stop(loop, &one);
  ev_stat_stop(loop, &two);
  trace("run %d", ev_run(loop, 0));
}

static long most_queued(void) {
  long count = 16384;
  FILE *file = fopen("/proc/sys/fs/inotify/max_queued_events", "r");
  if (file) {
    NEED(fscanf(file, "%ld", &count) == 1);
    fclose(file);
  }
  return count;
}

/* What the kernel could not say is found all the same. */
CASE(stat_finds_what_an_overflow_dropped) {
  struct ev_loop *loop = ev_loop_new(0);
  static ev_stat three;
  make_folder();
  static char names[3][PATH_MAX];
  for (int i = 0; i < 3; ++i) {
    snprintf(names[i], sizeof names[i], "%s/%d", folder, i);
    append(names[i], 1);
  }
  watch(loop, &one, "one", names[0], 0.);
  watch(loop, &two, "two", names[1], 0.);
  watch(loop, &three, "three", names[2], 0.);
  int fd1 = open(one.path, O_WRONLY | O_APPEND | O_CLOEXEC), fd2 = open(two.path, O_WRONLY | O_APPEND | O_CLOEXEC);
  NEED(fd1 >= 0 && fd2 >= 0);
  long most = most_queued();
  if (most > 100000) most = 100000;
  for (long i = 0; i < most; ++i) put(i % 2 ? fd1 : fd2, 1);
  append(three.path, 1);
  int seen[3] = {0, 0, 0};
  for (int i = 0; i < 4000; ++i) {
    turn(loop);
    seen[0] = one.attr.st_size > 1;
    seen[1] = two.attr.st_size > 1;
    seen[2] = three.attr.st_size > 1;
    if (seen[0] && seen[1] && seen[2]) break;
  }
  trace("found: %d %d %d", seen[0], seen[1], seen[2]);
}

struct owned {
  ev_stat watcher;
  int number;
};

static void frees_itself(struct ev_loop *loop, ev_stat *w, int revents) {
  struct owned *o = (struct owned *)w;
  trace("%d: %s", o->number, bits(revents));
  ev_stat_stop(loop, w);
  memset(o, 0xa5, sizeof *o);
  free(o);
}

CASE(stat_watchers_may_free_themselves) {
  struct ev_loop *loop = ev_loop_new(0);
  make_folder();
  for (int i = 0; i < 4; ++i) {
    struct owned *o = malloc(sizeof *o);
    NEED(o);
    o->number = i;
    ev_stat_init(&o->watcher, frees_itself, path, 0.);
    ev_stat_start(loop, &o->watcher);
  }
  append(path, 1);
  trace("run %d", run_guarded(loop, 0));
}

CASE(stat_watcher_of_another_path_in_its_callback) {
  struct ev_loop *loop = ev_loop_new(0);
  make_folder();
  watch(loop, &one, "one", path, 0.);
  append(path, 1);
  settle(loop);
  ev_stat_stop(loop, &one);
  ev_stat_set(&one, strdup(in_folder("other")), 0.);
  ev_stat_start(loop, &one);
  append(path, 1);
  quiet(loop);
  append(one.path, 4);
  settle(loop);
}
