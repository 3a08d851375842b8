/* SPDX-License-Identifier: BSD-3-Clause */
/* What each call answers, to good and to bad arguments, and what an event's state is afterwards. */
#include "diff.h"

#include <limits.h>

CASE(an_event_from_beginning_to_end) {
  struct event_base *base = new_base();
  int ends[2];
  make_pipe(ends);
  struct event e;
  memset(&e, 0, sizeof e);
  trace("zeroed: %d", event_initialized(&e));
  trace("assign: %d", event_assign(&e, base, ends[0], EV_READ | EV_PERSIST, told, NAME("e")));
  trace("initialized: %d, %s", event_initialized(&e), state(&e));
  trace("fd %d base %d events %s callback %d argument %s", event_get_fd(&e) == ends[0], event_get_base(&e) == base,
        bits(event_get_events(&e)), event_get_callback(&e) == told, (const char *)event_get_callback_arg(&e));
  CALL("add", event_add(&e, NULL), state(&e));
  CALL("add", event_add(&e, ms(50000)), state(&e));
  CALL("remove_timer", event_remove_timer(&e), state(&e));
  CALL("remove_timer", event_remove_timer(&e), state(&e));
  event_active(&e, EV_READ | EV_WRITE, 1);
  trace("active: %s", state(&e));
  CALL("del", event_del(&e), state(&e));
  CALL("del", event_del(&e), state(&e));
  event_debug_unassign(&e);
  trace("unassigned: %d", event_initialized(&e));
  trace("size: %d", event_get_struct_event_size() == sizeof e);
  close_both(ends);
  event_base_free(base);
}

CASE(what_may_be_added) {
  struct event_base *base = new_base();
  trace_log();
  int ends[2];
  make_pipe(ends);
  char name[] = "/tmp/diff-XXXXXX";
  int file = mkstemp(name), folder = open("/tmp", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  unlink(name);
  int closed = dup(ends[0]);
  close(closed);
  const struct {
    const char *name;
    int fd;
    short events;
  } all[] = {{"pipe", ends[0], EV_READ},
             {"the other end, to write", ends[1], EV_WRITE},
             {"an end that cannot be written", ends[0], EV_WRITE},
             {"closed", closed, EV_READ},
             {"file", file, EV_READ},
             {"file to write", file, EV_WRITE},
             {"folder", folder, EV_READ},
             {"negative", -1, EV_READ},
             {"very negative", INT_MIN, EV_READ},
             {"number too high", 19990, EV_READ},
             {"nothing wanted", ends[0], 0},
             {"nothing but a timeout", ends[0], EV_TIMEOUT},
             {"only persistent", ends[0], EV_PERSIST},
             {"closed wanted", ends[0], EV_CLOSED},
             {"edge", ends[0], EV_READ | EV_ET},
             {"finalizable", ends[0], EV_READ | EV_FINALIZE},
             {"null device", open("/dev/null", O_RDONLY | O_CLOEXEC), EV_READ},
             {"zero device", open("/dev/zero", O_RDONLY | O_CLOEXEC), EV_READ}};
  for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
    struct event e;
    set(&e, base, all[i].fd, all[i].events, told, all[i].name);
    CALL(all[i].name, event_add(&e, NULL), state(&e));
    CALL("  with a timeout", event_add(&e, ms(100000)), state(&e));
    trace("  counts %s", counts(base));
    CALL("  del", event_del(&e), state(&e));
  }
  trace("done: %d", turn(base));
  event_base_free(base);
}

CASE(signals_that_may_be_added) {
  struct event_base *base = new_base();
  trace_log();
  static const int signals[] = {SIGUSR1, SIGCHLD, SIGKILL, SIGSTOP, 0, -1, 65, 63, 1000, SIGSEGV};
  for (size_t i = 0; i < sizeof signals / sizeof *signals; i++) {
    if (signals[i] == 64) continue;
    struct event e;
    trace("signal %d: assign %d", signals[i],
          event_assign(&e, base, signals[i], EV_SIGNAL | EV_PERSIST, told, NAME("s")));
    CALL("  add", event_add(&e, NULL), state(&e));
    CALL("  del", event_del(&e), state(&e));
  }
  event_base_free(base);
}

CASE(kinds_that_do_not_go_together) {
  struct event_base *base = new_base();
  trace_log();
  static const short kinds[] = {EV_SIGNAL | EV_READ,
                                EV_SIGNAL | EV_WRITE,
                                EV_SIGNAL | EV_CLOSED,
                                EV_SIGNAL | EV_ET,
                                EV_SIGNAL,
                                EV_SIGNAL | EV_TIMEOUT,
                                0x7fff};
  for (size_t i = 0; i < sizeof kinds / sizeof *kinds; i++) {
    struct event e;
    memset(&e, 0, sizeof e);
    trace("%s: %d", bits(kinds[i]), event_assign(&e, base, SIGUSR1, kinds[i], told, NULL));
    struct event *made = event_new(base, SIGUSR1, kinds[i], told, NULL);
    trace("  new: %s", yes(made != NULL));
    if (made) event_free(made);
  }
  event_base_free(base);
}

CASE(an_event_without_a_base) {
  trace_log();
  struct event e;
  trace("assign: %d", event_assign(&e, NULL, -1, EV_TIMEOUT, told, NAME("e")));
  trace("add: %d", event_add(&e, ms(1)));
  trace("del: %d", event_del(&e));
  trace("del_block: %d", event_del_block(&e));
  trace("del_noblock: %d", event_del_noblock(&e));
  trace("remove_timer: %d", event_remove_timer(&e));
  event_active(&e, EV_READ, 1);
  trace("pending: %d", event_pending(&e, EV_TIMEOUT, NULL));
  trace("finalize: %d", event_finalize(0, &e, NULL));
  struct event_base *base = new_base_with(5);
  CALL("base_set", event_base_set(base, &e), state(&e));
  CALL("add", event_add(&e, ms(100000)), state(&e));
  trace("base_set of an added one: %d", event_base_set(base, &e));
  event_del(&e);
  trace("base_set of one deleted: %d", event_base_set(base, &e));
  event_base_free(base);
}

CASE(event_pending_tells_what_is_asked_and_when) {
  struct event_base *base = new_base();
  int pair[2];
  make_pair(pair);
  struct event e;
  set(&e, base, pair[0], EV_READ | EV_WRITE, told, "e");
  struct timeval at = {-5, -5}, now;
  trace("before: %s, %d", bits(event_pending(&e, 0x7fff, &at)), (int)at.tv_sec);
  event_add(&e, NULL);
  trace("read asked: %s", bits(event_pending(&e, EV_READ, &at)));
  trace("all asked: %s, %d", bits(event_pending(&e, 0x7fff, &at)), (int)at.tv_sec);
  event_add(&e, ms(60000));
  trace("all asked: %s", bits(event_pending(&e, 0x7fff, &at)));
  gettimeofday(&now, NULL);
  trace("when: %s", yes(at.tv_sec - now.tv_sec >= 57 && at.tv_sec - now.tv_sec <= 61));
  at.tv_sec = -5;
  trace("not asked for a time: %s, %d", bits(event_pending(&e, EV_WRITE, &at)), (int)at.tv_sec);
  event_active(&e, EV_CLOSED, 1);
  trace("active: %s", bits(event_pending(&e, 0x7fff, NULL)));
  event_del(&e);
  const struct timeval *common = event_base_init_common_timeout(base, ms(60000));
  event_add(&e, common);
  trace("all asked: %s", bits(event_pending(&e, 0x7fff, &at)));
  trace("when: %s", yes(at.tv_sec - now.tv_sec >= 57 && at.tv_sec - now.tv_sec <= 61 && at.tv_usec < 1000000));
  event_del(&e);
  close_both(pair);
  event_base_free(base);
}

CASE(get_assignment_takes_no_for_an_answer) {
  struct event_base *base = new_base(), *b = NULL;
  struct event e;
  evutil_socket_t fd;
  short events;
  event_callback_fn fn;
  void *arg;
  set(&e, base, 77, EV_READ | EV_ET | EV_PERSIST | EV_FINALIZE, told, "e");
  event_get_assignment(&e, NULL, NULL, NULL, NULL, NULL);
  event_get_assignment(&e, &b, &fd, &events, &fn, &arg);
  trace("%d %d %s %d %s", b == base, fd, bits(events), fn == told, (const char *)arg);
  event_base_free(base);
}

CASE(priorities_that_a_base_may_have) {
  struct event_base *base = new_base();
  static const int counts_[] = {1, 2, 0, -1, 255, 256, 1000, 3, 3};
  trace("at first %d", event_base_get_npriorities(base));
  for (size_t i = 0; i < sizeof counts_ / sizeof *counts_; i++) {
    int r = event_base_priority_init(base, counts_[i]);
    trace("%d: %d, now %d", counts_[i], r, event_base_get_npriorities(base));
  }
  struct event e;
  set(&e, base, -1, 0, told, "e");
  trace("an event's: %d", event_get_priority(&e));
  static const int priorities[] = {0, 2, 3, -1, 255, 256, INT_MAX, INT_MIN};
  for (size_t i = 0; i < sizeof priorities / sizeof *priorities; i++) {
    int r = event_priority_set(&e, priorities[i]);
    trace("set %d: %d, now %d", priorities[i], r, event_get_priority(&e));
  }
  event_active(&e, EV_READ, 1);
  trace("with an active event: %d", event_base_priority_init(base, 4));
  trace("the same count: %d", event_base_priority_init(base, 3));
  turn(base);
  trace("afterwards: %d", event_base_priority_init(base, 4));
  event_base_free(base);
}

static void loops_again(evutil_socket_t fd, short what, void *arg) {
  struct event_base *base = arg;
  (void)fd, (void)what;
  trace("inside: %d", event_base_loop(base, 0));
  trace("not blocking: %d", event_base_loop(base, EVLOOP_NONBLOCK));
}

CASE(a_base_does_not_loop_within_itself) {
  struct event_base *base = new_base();
  trace_log();
  struct event e;
  NEED(!event_assign(&e, base, -1, 0, loops_again, base));
  event_active(&e, EV_READ, 1);
  trace("outside: %d", event_base_loop(base, 0));
  event_base_free(base);
}

CASE(another_base_loops_within_a_callback) {
  struct event_base *base = new_base(), *other = new_base();
  struct event e, inner;
  set(&inner, other, -1, 0, told, "inner");
  NEED(!event_assign(&e, base, -1, 0, loops_again, other));
  event_active(&e, EV_READ, 1);
  event_active(&inner, EV_READ, 1);
  trace("outside: %d", event_base_loop(base, 0));
  event_base_free(base);
  event_base_free(other);
}

CASE(once_is_for_what_happens_once) {
  struct event_base *base = new_base();
  trace_log();
  int pair[2];
  make_pair(pair);
  static const struct {
    const char *name;
    short events;
    int fd, with_time;
  } all[] = {{"timeout without a time", EV_TIMEOUT, -1, 0},
             {"timeout", EV_TIMEOUT, -1, 1},
             {"timeout now", EV_TIMEOUT, -1, 2},
             {"timeout of a number", EV_TIMEOUT, 55, 0},
             {"nothing", 0, -1, 0},
             {"nothing, in time", 0, -1, 1},
             {"signal", EV_SIGNAL, SIGUSR1, 0},
             {"persistent", EV_READ | EV_PERSIST, 0, 0},
             {"read", EV_READ, 0, 1},
             {"write", EV_WRITE, 0, 0},
             {"read and timeout", EV_READ | EV_TIMEOUT, 0, 1},
             {"closed", EV_CLOSED, 0, 1},
             {"closed and write", EV_CLOSED | EV_WRITE, 0, 0},
             {"edge", EV_WRITE | EV_ET, 0, 0},
             {"only edge", EV_ET, 0, 1},
             {"bad", EV_READ, 9999, 0}};
  for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
    int fd = all[i].fd == 0 ? pair[0] : all[i].fd;
    trace("%s: %d", all[i].name,
          event_base_once(base, fd, all[i].events, told, NAME(all[i].name),
                          all[i].with_time ? ms(all[i].with_time == 1 ? 1 : 0) : NULL));
    trace("  %s", counts(base));
    pause_ms(12);
    trace("  %d", turn(base));
    drain(pair[0]);
  }
  trace("%s", counts(base));
  trace("without a base: %d", event_base_once(NULL, -1, EV_TIMEOUT, told, NULL, NULL));
  event_base_free(base);
}

CASE(a_base_is_freed_with_what_it_has) {
  struct event_base *base = new_base_with(3);
  int ends[2];
  make_pipe(ends);
  static struct event e[6];
  set(&e[0], base, ends[0], EV_READ, told, "read");
  set(&e[1], base, SIGUSR1, EV_SIGNAL, told, "signal");
  set(&e[2], base, -1, EV_TIMEOUT, told, "timer");
  set(&e[3], base, -1, 0, told, "active");
  set(&e[4], base, -1, EV_TIMEOUT, told, "common");
  set(&e[5], base, ends[0], EV_READ | EV_PERSIST, told, "everything");
  event_add(&e[0], NULL), event_add(&e[1], NULL), event_add(&e[2], ms(10));
  event_active(&e[3], EV_READ, 1);
  event_add(&e[4], event_base_init_common_timeout(base, ms(10)));
  event_add(&e[5], ms(10)), event_active(&e[5], EV_READ, 1);
  event_base_once(base, ends[0], EV_READ, told, NAME("once"), NULL);
  event_base_once(base, -1, EV_TIMEOUT, told, NAME("once"), NULL);
  event_base_loopexit(base, ms(10));
  trace("signal: %s", disposition(SIGUSR1));
  event_base_free(base);
  trace("signal: %s", disposition(SIGUSR1));
  for (int i = 0; i < 6; i++) {
    char *text = diff_scratch();
    snprintf(text, SCRATCH, "%#x", (unsigned)e[i].ev_evcallback.evcb_flags);
    trace("%d: flags %s", i, text);
  }
  close_both(ends);
}

CASE(no_base_to_free) {
  trace_log();
  event_base_free(NULL);
  trace("alive");
}

CASE(calls_with_no_base) {
  struct timeval now, wall;
  trace("loopexit: %d", event_base_loopexit(NULL, NULL));
  trace("loopbreak: %d", event_base_loopbreak(NULL));
  trace("loopcontinue: %d", event_base_loopcontinue(NULL));
  trace("notifiable: %d", evthread_make_base_notifiable(NULL));
  trace("update_cache_time: %d", event_base_update_cache_time(NULL));
  trace("monotonic: %d", event_gettime_monotonic(NULL, &now));
  trace("cached: %d", event_base_gettimeofday_cached(NULL, &now));
  gettimeofday(&wall, NULL);
  trace("the wall clock's: %s", yes(wall.tv_sec - now.tv_sec <= 1));
  struct event_base *base = new_base();
  trace("foreach: %d %d", event_base_foreach_event(NULL, NULL, NULL), event_base_foreach_event(base, NULL, NULL));
  trace("monotonic: %d %d", event_gettime_monotonic(base, NULL), event_gettime_monotonic(base, &now));
  event_base_free(base);
}

CASE(configurations) {
  trace_log();
  struct event_config *c = event_config_new();
  trace("flag: %d %d", event_config_set_flag(c, EVENT_BASE_FLAG_NOLOCK), event_config_set_flag(NULL, 1));
  trace("features: %d %d", event_config_require_features(c, EV_FEATURE_FDS), event_config_require_features(NULL, 1));
  trace("cpus: %d %d", event_config_set_num_cpus_hint(c, 3), event_config_set_num_cpus_hint(NULL, 3));
  trace("interval: %d", event_config_set_max_dispatch_interval(c, NULL, -1, -1));
  trace("avoid: %d", event_config_avoid_method(c, "no such method"));
  struct event_base *base = event_base_new_with_config(c);
  trace("descriptors of all kinds: %s", base ? event_base_get_method(base) : "none");
  if (base) event_base_free(base);
  static const int features[] = {0,
                                 EV_FEATURE_ET,
                                 EV_FEATURE_O1,
                                 EV_FEATURE_EARLY_CLOSE,
                                 EV_FEATURE_FDS | EV_FEATURE_EARLY_CLOSE,
                                 EV_FEATURE_FDS | EV_FEATURE_ET,
                                 0x100};
  for (size_t i = 0; i < sizeof features / sizeof *features; i++) {
    event_config_require_features(c, features[i]);
    base = event_base_new_with_config(c);
    trace("%#x: %s, %#x", (unsigned)features[i], base ? event_base_get_method(base) : "none",
          base ? (unsigned)event_base_get_features(base) : 0u);
    if (base) event_base_free(base);
  }
  event_config_require_features(c, 0);
  static const char *const methods[] = {"epoll", "poll", "select"};
  for (int i = 0; i < 3; i++) {
    event_config_avoid_method(c, methods[i]);
    base = event_base_new_with_config(c);
    trace("without %s too: %s", methods[i], base ? event_base_get_method(base) : "none");
    if (base) event_base_free(base);
  }
  event_config_free(c);
  for (const char **m = event_get_supported_methods(); *m; m++) trace("supported: %s", *m);
}

CASE(methods_by_the_environment) {
  static const char *const variables[] = {"EVENT_NOEPOLL", "EVENT_NOPOLL", "EVENT_NOSELECT"};
  struct event_base *base = event_base_new();
  trace("%s", event_base_get_method(base));
  event_base_free(base);
  setenv("EVENT_EPOLL_USE_CHANGELIST", "1", 1);
  base = event_base_new();
  trace("changelist: %s", event_base_get_method(base));
  event_base_free(base);
  base = new_base();
  trace("environment ignored: %s", event_base_get_method(base));
  event_base_free(base);
  trace_log();
  for (int i = 0; i < 3; i++) {
    setenv(variables[i], "1", 1);
    base = event_base_new();
    trace("%s: %s", variables[i], base ? event_base_get_method(base) : "none");
    if (base) event_base_free(base);
  }
  setenv("EVENT_SHOW_METHOD", "1", 1);
  unsetenv("EVENT_NOEPOLL");
  base = event_base_new();
  trace("shown");
  event_base_free(base);
}

static void argument_is_event(evutil_socket_t fd, short what, void *arg) {
  (void)fd;
  trace("itself: %d, %s", event_get_callback_arg(arg) == arg, bits(what));
}

CASE(an_event_as_its_own_argument) {
  struct event_base *base = new_base();
  struct event e, *made = event_new(base, -1, EV_TIMEOUT, argument_is_event, event_self_cbarg());
  event_assign(&e, base, -1, 0, argument_is_event, event_self_cbarg());
  trace("%d", event_get_callback_arg(&e) == &e);
  event_active(&e, EV_READ, 1);
  event_add(made, ms(0));
  turns(base, 2);
  event_free(made);
  event_base_free(base);
}

CASE(times_of_all_kinds) {
  struct event_base *base = new_base();
  static const struct timeval times[] = {{0, 0},        {0, 999999},       {-1, 0},      {0, -1},
                                         {1L << 40, 0}, {LONG_MAX / 2, 0}, {0, 1000000}, {0, 5000000}};
  for (size_t i = 0; i < sizeof times / sizeof *times; i++) {
    struct event e;
    set(&e, base, -1, EV_TIMEOUT, told, "e");
    CALL("add", event_add(&e, &times[i]), state(&e));
    CALL("  turn", turn(base), counts(base));
    event_del(&e);
  }
  event_base_free(base);
}
