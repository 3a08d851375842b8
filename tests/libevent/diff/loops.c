/* SPDX-License-Identifier: BSD-3-Clause */
/* How loops run and end: their flags, loopexit, loopbreak and loopcontinue, and what they answer. */
#include "diff.h"

static struct event_base *the;
static struct event *all[8];

static const struct {
  const char *name;
  int flags;
} kinds[] = {{"0", 0},
             {"once", EVLOOP_ONCE},
             {"nonblock", EVLOOP_NONBLOCK},
             {"once, nonblock", EVLOOP_ONCE | EVLOOP_NONBLOCK},
             {"nonblock, even if empty", EVLOOP_NONBLOCK | EVLOOP_NO_EXIT_ON_EMPTY},
             {"once, nonblock, even if empty", EVLOOP_ONCE | EVLOOP_NONBLOCK | EVLOOP_NO_EXIT_ON_EMPTY}};
enum { KINDS = sizeof kinds / sizeof *kinds };

CASE(an_empty_base) {
  struct event_base *base = new_base();
  for (int i = 0; i < KINDS; i++) trace("%s: %d", kinds[i].name, event_base_loop(base, kinds[i].flags));
  trace("dispatch: %d", event_base_dispatch(base));
  trace("exit %d break %d", event_base_got_exit(base), event_base_got_break(base));
  event_base_free(base);
}

CASE(a_base_with_an_active_event) {
  struct event_base *base = new_base();
  all[0] = make(base, -1, 0, told, "active");
  for (int i = 0; i < KINDS; i++) {
    event_active(all[0], EV_READ, 1);
    trace("%s: %d", kinds[i].name, event_base_loop(base, kinds[i].flags));
  }
  event_free(all[0]);
  event_base_free(base);
}

CASE(a_base_with_a_timer) {
  struct event_base *base = new_base();
  all[0] = make(base, -1, EV_TIMEOUT, told, "timer");
  for (int i = 0; i < KINDS; i++) {
    event_add(all[0], ms(kinds[i].flags & EVLOOP_NONBLOCK ? 100000 : 5));
    trace("%s: %d", kinds[i].name, event_base_loop(base, kinds[i].flags));
    trace("%s", state(all[0]));
  }
  event_free(all[0]);
  event_base_free(base);
}

static void stop_at_five(evutil_socket_t fd, short what, void *name) {
  static int times;
  told(fd, what, name);
  if (++times == 5) event_del(all[0]), drain(fd), times = 0;
}

CASE(a_ready_persistent_event_in_every_kind_of_loop) {
  struct event_base *base = new_base();
  int ends[2];
  make_pipe(ends);
  all[0] = make(base, ends[0], EV_READ | EV_PERSIST, stop_at_five, "read");
  for (int i = 0; i < KINDS; i++) {
    event_add(all[0], NULL);
    put(ends[1], 3);
    trace("%s: %d", kinds[i].name, event_base_loop(base, kinds[i].flags));
    trace("%s", state(all[0]));
    while (event_pending(all[0], EV_READ, NULL)) turn(base);
  }
  event_free(all[0]);
  close_both(ends);
  event_base_free(base);
}

enum what { EXIT_NOW, EXIT_SOON, BREAK, CONTINUE, EXIT_AND_BREAK, EXIT_TWICE, CONTINUE_AND_BREAK, WAYS };
static const char *const ways[] = {"exit",       "exit soon",         "break", "continue", "exit and break",
                                   "exit twice", "continue and break"};
static int way;

static void leave(evutil_socket_t fd, short what, void *name) {
  told(fd, what, name);
  if (way == EXIT_NOW || way == EXIT_AND_BREAK || way == EXIT_TWICE) trace("exit: %d", event_base_loopexit(the, NULL));
  if (way == EXIT_SOON) trace("exit: %d", event_base_loopexit(the, ms(3)));
  if (way == EXIT_TWICE) trace("exit: %d", event_base_loopexit(the, ms(100000)));
  if (way == BREAK || way == EXIT_AND_BREAK || way == CONTINUE_AND_BREAK) trace("break: %d", event_base_loopbreak(the));
  if (way == CONTINUE || way == CONTINUE_AND_BREAK) trace("continue: %d", event_base_loopcontinue(the));
  trace("exit %d break %d", event_base_got_exit(the), event_base_got_break(the));
}

CASE(left_from_a_callback_in_every_way) {
  the = new_base_with(2);
  all[0] = make(the, -1, 0, told, "before");
  all[1] = make(the, -1, 0, leave, "leaves");
  all[2] = make(the, -1, 0, told, "after");
  all[3] = make(the, -1, EV_TIMEOUT | EV_PERSIST, told, "soon");
  all[4] = make(the, -1, 0, told, "urgent");
  event_priority_set(all[4], 0);
  for (way = 0; way < WAYS; way++) {
    trace("-- %s", ways[way]);
    for (int i = 0; i < 3; i++) event_active(all[i], EV_READ, 1);
    if (way == CONTINUE) event_active(all[4], EV_READ, 1);
    int r = event_base_loop(the, way == CONTINUE ? EVLOOP_NONBLOCK : 0);
    trace("loop: %d, exit %d break %d, %d active", r, event_base_got_exit(the), event_base_got_break(the),
          event_base_get_num_events(the, EVENT_BASE_COUNT_ACTIVE));
    r = event_base_loop(the, EVLOOP_NONBLOCK);
    trace("again: %d, exit %d break %d", r, event_base_got_exit(the), event_base_got_break(the));
  }
  for (int i = 0; i < 5; i++) event_free(all[i]);
  event_base_free(the);
}

CASE(asked_to_leave_before_it_loops) {
  struct event_base *base = new_base();
  all[0] = make(base, -1, 0, told, "active");
  event_active(all[0], EV_READ, 1);
  trace("break: %d", event_base_loopbreak(base));
  trace("got break: %d", event_base_got_break(base));
  trace("loop: %d", event_base_loop(base, EVLOOP_NONBLOCK));
  trace("got break: %d", event_base_got_break(base));
  event_active(all[0], EV_READ, 1);
  trace("continue: %d", event_base_loopcontinue(base));
  trace("loop: %d", event_base_loop(base, EVLOOP_NONBLOCK));
  event_active(all[0], EV_READ, 1);
  trace("exit: %d", event_base_loopexit(base, NULL));
  trace("loop: %d", event_base_loop(base, 0));
  trace("got exit: %d", event_base_got_exit(base));
  trace("%s", counts(base));
  event_free(all[0]);
  event_base_free(base);
}

static void count_down(evutil_socket_t fd, short what, void *arg) {
  int *left = arg;
  (void)fd, (void)what;
  if (--*left == 0) event_base_loopbreak(the);
}

CASE(loopexit_lets_the_active_ones_be_called_loopbreak_does_not) {
  the = new_base();
  for (int i = 0; i < 6; i++) all[i] = make(the, -1, 0, told, i == 0 ? "a" : i == 1 ? "b" : i == 2 ? "c" : "d");
  int two = 2;
  event_assign(all[1], the, -1, 0, count_down, &two);
  event_assign(all[4], the, -1, 0, count_down, &two);
  for (int i = 0; i < 6; i++) event_active(all[i], EV_READ, 1);
  CALL("loop", event_base_loop(the, 0), counts(the));
  CALL("loop", event_base_loop(the, 0), counts(the));
  for (int i = 0; i < 6; i++) event_free(all[i]);
  event_base_free(the);
}

static void exit_in_a_chain(evutil_socket_t fd, short what, void *name) {
  static int depth;
  told(fd, what, name);
  if (depth++ < 3) {
    event_active(all[0], EV_WRITE, 1);
    if (depth == 1) event_base_loopexit(the, NULL);
  }
}

CASE(loopexit_while_callbacks_make_more_active) {
  the = new_base();
  all[0] = make(the, -1, 0, exit_in_a_chain, "chain");
  event_active(all[0], EV_READ, 1);
  CALL("loop", event_base_dispatch(the), counts(the));
  CALL("loop", event_base_dispatch(the), counts(the));
  event_free(all[0]);
  event_base_free(the);
}

CASE(an_exit_is_an_event_that_ends_a_loop_once) {
  struct event_base *base = new_base();
  all[0] = make(base, -1, EV_TIMEOUT, told, "far");
  event_add(all[0], ms(100000));
  /* The exit is itself an event. */
  event_base_loopexit(base, ms(1));
  CALL("once", event_base_loop(base, EVLOOP_ONCE), counts(base));
  trace("got exit: %d", event_base_got_exit(base));
  event_del(all[0]);
  CALL("once", event_base_loop(base, EVLOOP_ONCE), counts(base));
  trace("got exit: %d", event_base_got_exit(base));
  event_free(all[0]);
  event_base_free(base);
}

CASE(internal_callbacks_do_not_end_a_loop_once) {
  /* A common timeout's own timer is internal, and becomes due first. */
  struct event_base *base = new_base();
  const struct timeval *common = event_base_init_common_timeout(base, ms(5));
  all[0] = make(base, -1, EV_TIMEOUT, told, "common");
  event_add(all[0], common);
  trace("%s", counts(base));
  CALL("once", event_base_loop(base, EVLOOP_ONCE), counts(base));
  all[1] = make(base, SIGUSR1, EV_SIGNAL | EV_PERSIST, told, "signal");
  event_add(all[1], NULL);
  trace("%s", counts(base));
  raise(SIGUSR1);
  CALL("once", event_base_loop(base, EVLOOP_ONCE), counts(base));
  event_free(all[0]), event_free(all[1]);
  event_base_free(base);
}

CASE(counts_and_their_maxima) {
  struct event_base *base = new_base();
  int pair[2];
  make_pair(pair);
  all[0] = make(base, pair[0], EV_READ | EV_PERSIST, told, "read");
  all[1] = make(base, -1, EV_TIMEOUT, told, "timer");
  all[2] = make(base, SIGUSR1, EV_SIGNAL, told, "signal");
  trace("%s", counts(base));
  event_add(all[0], NULL), trace("read: %s", counts(base));
  event_add(all[0], ms(100000)), trace("with timeout: %s", counts(base));
  event_add(all[1], ms(1)), trace("timer: %s", counts(base));
  event_add(all[2], NULL), trace("signal: %s", counts(base));
  event_active(all[0], EV_WRITE, 1), trace("active: %s", counts(base));
  event_active(all[0], EV_WRITE, 1), trace("active: %s", counts(base));
  raise(SIGUSR1);
  pause_ms(12);
  turn(base), trace("turn: %s", counts(base));
  turn(base), trace("turn: %s", counts(base));
  trace("max added, cleared: %d", event_base_get_max_events(base, EVENT_BASE_COUNT_ADDED, 1));
  trace(
      "max all, cleared: %d",
      event_base_get_max_events(base, EVENT_BASE_COUNT_ADDED | EVENT_BASE_COUNT_ACTIVE | EVENT_BASE_COUNT_VIRTUAL, 1));
  trace("%s", counts(base));
  trace("none, all: %d %d", event_base_get_num_events(base, 0), event_base_get_num_events(base, ~0u));
  for (int i = 0; i < 3; i++) event_free(all[i]), trace("freed: %s", counts(base));
  close_both(pair);
  event_base_free(base);
}

static int show(const struct event_base *base, const struct event *e, void *arg) {
  (void)base;
  int *left = arg;
  if (e->ev_evcallback.evcb_flags & EVLIST_INTERNAL) return 0; /* which there are is the library's own business */
  trace("  %s: %s", (const char *)event_get_callback_arg(e), bits(event_get_events(e)));
  return --*left ? 0 : 77;
}

CASE(foreach_visits_each_event_once) {
  struct event_base *base = new_base_with(3);
  int pipes[3][2];
  static struct event e[12];
  for (int i = 0; i < 3; i++) make_pipe(pipes[i]);
  static const char *const fds[] = {"read 0", "read 1", "read 2", "read 0 again"};
  for (int i = 0; i < 4; i++)
    set(&e[i], base, pipes[i % 3][0], EV_READ, told, fds[i]), event_add(&e[i], i == 1 ? ms(50000) : NULL);
  set(&e[4], base, SIGUSR2, EV_SIGNAL, told, "usr2"), event_add(&e[4], NULL);
  set(&e[5], base, SIGUSR1, EV_SIGNAL, told, "usr1"), event_add(&e[5], NULL);
  set(&e[6], base, -1, EV_TIMEOUT, told, "timer"), event_add(&e[6], ms(70000));
  set(&e[7], base, -1, EV_TIMEOUT, told, "sooner"), event_add(&e[7], ms(60000));
  set(&e[8], base, -1, EV_TIMEOUT, told, "common"), event_add(&e[8], event_base_init_common_timeout(base, ms(60000)));
  set(&e[9], base, -1, 0, told, "active"), event_active(&e[9], EV_READ, 1);
  set(&e[10], base, -1, 0, told, "urgent"), event_priority_set(&e[10], 0), event_active(&e[10], EV_READ, 1);
  set(&e[11], base, -1, 0, told, "not added");
  event_active(&e[0], EV_READ, 1);
  event_active(&e[6], EV_READ, 1);
  static const int limits[] = {100, 1, 4, 10};
  for (int i = 0; i < 4; i++) {
    int left = limits[i];
    trace("at most %d", limits[i]);
    trace("answer: %d", event_base_foreach_event(base, show, &left));
  }
  event_base_free(base);
  for (int i = 0; i < 3; i++) close_both(pipes[i]);
}

CASE(a_dump_names_every_event) {
  struct event_base *base = new_base();
  int ends[2], file[2];
  make_pipe(ends);
  make_pipe(file);
  static struct event e[6];
  set(&e[0], base, ends[0], EV_READ | EV_CLOSED | EV_PERSIST | EV_ET, told, "read"), event_add(&e[0], ms(90000));
  set(&e[1], base, ends[1], EV_WRITE, told, "write"), event_add(&e[1], NULL);
  set(&e[2], base, SIGUSR1, EV_SIGNAL | EV_PERSIST, told, "signal"), event_add(&e[2], NULL);
  set(&e[3], base, -1, EV_TIMEOUT, told, "timer"), event_add(&e[3], ms(95000));
  set(&e[4], base, -1, EV_TIMEOUT, told, "common"), event_add(&e[4], event_base_init_common_timeout(base, ms(90000)));
  set(&e[5], base, -1, 0, told, "active"),
      event_active(&e[5], EV_READ | EV_WRITE | EV_CLOSED | EV_SIGNAL | EV_TIMEOUT, 1);
  event_active(&e[1], EV_WRITE, 1);
  FILE *out = fdopen(file[1], "w");
  event_base_dump_events(base, out);
  fclose(out);
  char text[4096], word[64];
  ssize_t size = read(file[0], text, sizeof text - 1);
  NEED(size > 0);
  text[size] = 0;
  /* Addresses, descriptor numbers and times are masked; two internal lines are the genuine one's own. */
  for (char *line = strtok(text, "\n"); line; line = strtok(NULL, "\n")) {
    char shown[256] = "";
    if (strstr(line, "Internal")) continue;
    int k = 0;
    for (char *c = line; *c && k < 250; c++) {
      if (!strncmp(c, "0x", 2) || !strncmp(c, "Timeout=", 8) || !strncmp(c, "fd ", 3)) {
        snprintf(word, sizeof word, "%.*s", *c == '0' ? 2 : *c == 'T' ? 8 : 3, c);
        k += snprintf(shown + k, sizeof shown - (size_t)k, "%s*", word);
        c += strlen(word);
        while (*c == ' ') c++;
        while (*c && *c != ' ' && *c != ']' && *c != ',') c++;
        c--;
      } else {
        shown[k++] = *c;
        shown[k] = 0;
      }
    }
    trace("%s", shown);
  }
  event_base_free(base);
  close(file[0]);
  close_both(ends);
}

static void record(evutil_socket_t fd, short what, void *name) {
  told(fd, what, name);
  struct event *running = event_base_get_running_event(the);
  trace("running: %s", running ? (const char *)event_get_callback_arg(running) : "none");
}

CASE(the_running_event) {
  the = new_base();
  all[0] = make(the, -1, EV_TIMEOUT, record, "timer");
  all[1] = make(the, SIGUSR1, EV_SIGNAL, record, "signal");
  all[2] = make(the, -1, 0, record, "active");
  event_add(all[0], ms(0)), event_add(all[1], NULL), event_active(all[2], EV_READ, 1);
  raise(SIGUSR1);
  turns(the, 3);
  for (int i = 0; i < 3; i++) event_free(all[i]);
  event_base_free(the);
}

static int limit_called;
static void count_only(evutil_socket_t fd, short what, void *arg) {
  (void)fd, (void)what, (void)arg;
  limit_called++;
}

static void urgent_seen(evutil_socket_t fd, short what, void *name) {
  told(fd, what, name);
  trace("after %d", limit_called);
}

static void limited(const struct timeval *interval, int callbacks, int priority, int at) {
  struct event_config *config = event_config_new();
  event_config_set_max_dispatch_interval(config, interval, callbacks, priority);
  struct event_base *base = event_base_new_with_config(config);
  event_config_free(config);
  NEED(base);
  event_base_priority_init(base, 3);
  static struct event many[20], urgent;
  int ends[2];
  make_pipe(ends);
  set(&urgent, base, ends[0], EV_READ, urgent_seen, "urgent");
  event_priority_set(&urgent, 0);
  event_add(&urgent, NULL);
  put(ends[1], 1);
  limit_called = 0;
  for (int i = 0; i < 20; i++) {
    set(&many[i], base, -1, 0, count_only, "many");
    event_priority_set(&many[i], at);
    event_active(&many[i], EV_READ, 1);
  }
  for (int i = 0; i < 6; i++) {
    int r = event_base_loop(base, EVLOOP_ONCE | EVLOOP_NONBLOCK);
    trace("loop: %d, called %d", r, limit_called);
  }
  close_both(ends);
  event_base_free(base);
}

CASE(at_most_so_many_callbacks_before_looking_again) {
  for (int at = 0; at < 3; at++)
    for (int priority = 0; priority < 3; priority++) {
      trace("-- at priority %d, limited from %d", at, priority);
      limited(NULL, 7, priority, at);
    }
}

CASE(at_most_so_long_before_looking_again) {
  trace("-- no time at all");
  limited(ms(0), 100, 1, 1);
  trace("-- time enough");
  limited(ms(100000), -1, 0, 1);
  trace("-- time enough, few callbacks");
  limited(ms(100000), 3, 0, 1);
  trace("-- no callbacks");
  limited(NULL, 0, 0, 1);
}
