/* SPDX-License-Identifier: BSD-3-Clause */
/* ev_stat: which changes of a path are told, and how. */
#include "files.h"

static ev_stat one, two, three;

CASE(stat_tells_of_a_file_that_appears_grows_and_goes) {
  struct ev_loop *loop = ev_loop_new(0);
  make_folder();
  watch(loop, &one, "one", path, 0.);
  trace("started: %s, %s", kind(&one.attr), state(&one));
  quiet(loop);
  append(path, 3);
  settle(loop);
  append(path, 4);
  settle(loop);
  NEED(!truncate(path, 1));
  settle(loop);
  NEED(!unlink(path));
  settle(loop);
  append(path, 9);
  settle(loop);
  ev_stat_stop(loop, &one);
  trace("stopped: %s", state(&one));
}

CASE(stat_tells_several_changes_between_two_passes_once) {
  struct ev_loop *loop = ev_loop_new(0);
  make_folder();
  watch(loop, &one, "one", path, 0.);
  append(path, 1);
  append(path, 1);
  NEED(!chmod(path, 0600));
  settle(loop);
  NEED(!unlink(path));
  append(path, 50);
  settle(loop);
  quiet(loop);
}

CASE(stat_tells_nothing_of_a_file_that_came_and_went) {
  struct ev_loop *loop = ev_loop_new(0);
  make_folder();
  watch(loop, &one, "one", path, 0.);
  append(path, 1);
  NEED(!unlink(path));
  quiet(loop);
}

CASE(stat_tells_of_a_change_of_mode) {
  struct ev_loop *loop = ev_loop_new(0);
  make_folder();
  append(path, 2);
  NEED(!chmod(path, 0644));
  watch(loop, &one, "one", path, 0.);
  trace("started: %s", describe(&one.attr));
  NEED(!chmod(path, 0400));
  settle(loop);
}

CASE(stat_tells_of_a_rename_away_and_back) {
  struct ev_loop *loop = ev_loop_new(0);
  make_folder();
  append(path, 5);
  watch(loop, &one, "one", path, 0.);
  watch(loop, &two, "two", in_folder("other"), 0.);
  NEED(!rename(path, two.path));
  settle(loop);
  NEED(!rename(two.path, path));
  settle(loop);
}

CASE(stat_tells_of_a_file_that_is_replaced) {
  struct ev_loop *loop = ev_loop_new(0);
  make_folder();
  append(path, 5);
  watch(loop, &one, "one", path, 0.);
  append(in_folder("new"), 5);
  quiet(loop);
  NEED(!rename(in_folder("new"), path));
  settle(loop);
  trace("another inode: %s", yes(one.prev.st_ino != one.attr.st_ino));
  append(path, 1);
  settle(loop);
}

CASE(stat_waits_for_folders_that_are_not_there_yet) {
  struct ev_loop *loop = ev_loop_new(0);
  make_folder();
  watch(loop, &one, "one", in_folder("a/b/c"), 0.12);
  trace("started: %s", kind(&one.attr));
  NEED(!mkdir(in_folder("a"), 0755));
  quiet(loop);
  NEED(!mkdir(in_folder("a/b"), 0755));
  quiet(loop);
  append(one.path, 2);
  settle(loop);
}

CASE(stat_watchers_of_one_file_are_all_told) {
  struct ev_loop *loop = ev_loop_new(0);
  make_folder();
  append(path, 1);
  watch(loop, &one, "one", path, 0.);
  watch(loop, &two, "two", path, 0.);
  watch(loop, &three, "three", path, 0.);
  append(path, 1);
  settle(loop);
  ev_stat_stop(loop, &two);
  trace("two of them");
  int before = told_count;
  append(path, 1);
  ev_stat_stop(loop, &three);
  settle(loop);
  trace("told %d", told_count - before);
}

CASE(stat_watchers_run_by_priority) {
  struct ev_loop *loop = ev_loop_new(0);
  make_folder();
  append(path, 1);
  ev_stat_init(&one, told, path, 0.);
  ev_stat_init(&two, told, path, 0.);
  ev_stat_init(&three, told, path, 0.);
  one.data = (void *)(uintptr_t) "low";
  two.data = (void *)(uintptr_t) "high";
  three.data = (void *)(uintptr_t) "middle";
  ev_set_priority(&one, -2);
  ev_set_priority(&two, 2);
  ev_stat_start(loop, &one);
  ev_stat_start(loop, &two);
  ev_stat_start(loop, &three);
  append(path, 1);
  settle(loop);
}

CASE(stat_stat_fills_the_attributes_at_once) {
  struct ev_loop *loop = ev_loop_new(0);
  make_folder();
  append(path, 6);
  ev_stat_init(&one, told, path, 0.);
  memset(&one.attr, 0, sizeof one.attr);
  memset(&one.prev, 0, sizeof one.prev);
  ev_stat_stat(loop, &one);
  trace("not started: %s, before %s, %s", describe(&one.attr), describe(&one.prev), state(&one));
  NEED(!unlink(path));
  ev_stat_stat(loop, &one);
  trace("gone: %s, the size of before is %ld", describe(&one.attr), (long)one.attr.st_size);
  append(path, 7);
  one.data = (void *)(uintptr_t) "one";
  ev_stat_start(loop, &one);
  trace("started: %s, before %s", describe(&one.attr), describe(&one.prev));
  append(path, 1);
  ev_stat_stat(loop, &one);
  trace("looked at before the loop did: %s", describe(&one.attr));
  quiet(loop);
}

CASE(stat_compares_with_what_was_told_last) {
  struct ev_loop *loop = ev_loop_new(0);
  make_folder();
  append(path, 1);
  watch(loop, &one, "one", path, 0.);
  for (int i = 0; i < 3; ++i) {
    append(path, 10);
    settle(loop);
  }
}

CASE(stat_watcher_started_anew_looks_anew) {
  struct ev_loop *loop = ev_loop_new(0);
  make_folder();
  append(path, 1);
  watch(loop, &one, "one", path, 0.);
  turn(loop);
  ev_stat_stop(loop, &one);
  append(path, 1);
  quiet(loop);
  ev_stat_start(loop, &one);
  trace("started: %s", describe(&one.attr));
  quiet(loop);
  append(path, 1);
  settle(loop);
}

CASE(stat_interval_has_a_least_value) {
  struct ev_loop *loop = ev_loop_new(0);
  double intervals[] = {0., 0.001, 0.1, 0.2, 7.};
  make_folder();
  for (size_t i = 0; i < sizeof intervals / sizeof *intervals; ++i) {
    watch(loop, &one, "one", path, intervals[i]);
    trace("%g: interval %.7f", intervals[i], one.interval);
    ev_stat_stop(loop, &one);
  }
}

CASE(stat_watcher_alone_keeps_the_loop_alive) {
  struct ev_loop *loop = ev_loop_new(0);
  make_folder();
  append(path, 1);
  watch(loop, &one, "file", path, 0.);
  watch(loop, &two, "missing", in_folder("missing"), 0.3);
  trace("run %d", ev_run(loop, EVRUN_NOWAIT));
  ev_stat_stop(loop, &one);
  trace("run %d", ev_run(loop, EVRUN_NOWAIT));
  ev_stat_stop(loop, &two);
  ev_stat_stop(loop, &two);
  trace("run %d", ev_run(loop, 0));
  watch(loop, &one, "file", path, 0.);
  ev_unref(loop);
  trace("unreferenced: run %d", ev_run(loop, 0));
  ev_ref(loop);
  ev_stat_start(loop, &one);
  trace("started twice: run %d", ev_run(loop, EVRUN_NOWAIT));
  ev_stat_stop(loop, &one);
  trace("run %d", ev_run(loop, 0));
  ev_verify(loop);
  ev_loop_destroy(loop);
}

static void stops_itself(struct ev_loop *loop, ev_stat *w, int revents) {
  trace("%s: is %s, and stops", bits(revents), describe(&w->attr));
  ev_stat_stop(loop, w);
}

CASE(stat_watcher_that_stops_itself_ends_the_run) {
  struct ev_loop *loop = ev_loop_new(0);
  make_folder();
  ev_stat_init(&one, stops_itself, path, 0.);
  ev_stat_start(loop, &one);
  append(path, 2);
  trace("run %d", run_guarded(loop, 0));
  trace("%s", state(&one));
  append(path, 2);
  turns(loop, 3);
}

static void stops_two(struct ev_loop *loop, ev_stat *w, int revents) {
  trace("first: %s, the second is pending: %s", bits(revents), yes(ev_is_pending(&two)));
  ev_stat_stop(loop, &two);
  (void)w;
}

CASE(stat_watcher_stopped_by_another_one_is_not_told) {
  struct ev_loop *loop = ev_loop_new(0);
  make_folder();
  ev_stat_init(&one, stops_two, path, 0.);
  ev_set_priority(&one, 1);
  ev_stat_start(loop, &one);
  watch(loop, &two, "two", path, 0.);
  append(path, 2);
  turns(loop, 5);
}

CASE(stat_looks_at_a_symbolic_link_itself) {
  struct ev_loop *loop = ev_loop_new(0);
  make_folder();
  append(path, 2);
  NEED(!symlink("file", in_folder("link")));
  watch(loop, &one, "link", in_folder("link"), 0.);
  trace("started: %s", kind(&one.attr));
  append(path, 2);
  quiet(loop);
  NEED(!unlink(one.path));
  settle(loop);
  NEED(!symlink("nowhere", one.path));
  settle(loop);
}

CASE(stat_sees_changes_through_other_links) {
  struct ev_loop *loop = ev_loop_new(0);
  make_folder();
  append(path, 2);
  watch(loop, &one, "one", path, 0.);
  NEED(!link(path, in_folder("second")));
  settle(loop);
  append(in_folder("second"), 2);
  settle(loop);
  NEED(!unlink(in_folder("second")));
  settle(loop);
}

CASE(stat_tells_of_a_folder_that_comes_and_goes) {
  struct ev_loop *loop = ev_loop_new(0);
  make_folder();
  watch(loop, &one, "one", in_folder("sub"), 0.);
  NEED(!mkdir(one.path, 0755));
  settle(loop);
  NEED(!rmdir(one.path));
  settle(loop);
}

CASE(stat_tells_of_a_file_whose_folder_is_renamed) {
  struct ev_loop *loop = ev_loop_new(0);
  make_folder();
  NEED(!mkdir(in_folder("sub"), 0755));
  append(in_folder("sub/file"), 2);
  watch(loop, &one, "one", in_folder("sub/file"), 0.12);
  NEED(!unlink(one.path));
  settle(loop);
  NEED(!rmdir(in_folder("sub")));
  quiet(loop);
  NEED(!mkdir(in_folder("sub"), 0755));
  append(one.path, 4);
  settle(loop);
}

CASE(stat_wakes_a_loop_that_waits) {
  struct ev_loop *loop = ev_loop_new(0);
  make_folder();
  watch(loop, &one, "one", path, 0.);
  pid_t pid = fork();
  NEED(pid >= 0);
  if (!pid) {
    pause_ms(30);
    append(in_folder("new"), 5);
    NEED(!rename(in_folder("new"), path));
    _exit(0);
  }
  run_until(loop, &told_count);
  wait_traced("child", pid);
}

CASE(stat_events_by_hand) {
  struct ev_loop *loop = ev_loop_new(0);
  make_folder();
  append(path, 5);
  watch(loop, &one, "one", path, 0.);
  one.prev = one.attr;
  ev_feed_event(loop, &one, EV_STAT);
  ev_invoke_pending(loop);
  ev_invoke(loop, &one, EV_STAT | EV_CUSTOM);
  ev_feed_event(loop, &one, EV_STAT);
  trace("cleared %s", bits(ev_clear_pending(loop, &one)));
  turn(loop);
}
