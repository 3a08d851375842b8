/* SPDX-License-Identifier: BSD-3-Clause */
/* Descriptors: level and edge, read, write and closed, with and without timeouts, and what is done to descriptors
   meanwhile. */
#include "diff.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <poll.h>
#include <sys/eventfd.h>

static struct event_base *the;
static struct event *all[8];

static const struct {
  const char *name;
  short events;
} kinds[] = {{"read", EV_READ},
             {"read persist", EV_READ | EV_PERSIST},
             {"write persist", EV_WRITE | EV_PERSIST},
             {"read write persist", EV_READ | EV_WRITE | EV_PERSIST},
             {"closed persist", EV_CLOSED | EV_PERSIST},
             {"read closed persist", EV_READ | EV_CLOSED | EV_PERSIST},
             {"all persist", EV_READ | EV_WRITE | EV_CLOSED | EV_PERSIST},
             {"read edge persist", EV_READ | EV_ET | EV_PERSIST},
             {"read edge", EV_READ | EV_ET},
             {"write edge persist", EV_WRITE | EV_ET | EV_PERSIST},
             {"read write edge persist", EV_READ | EV_WRITE | EV_ET | EV_PERSIST},
             {"closed edge persist", EV_CLOSED | EV_ET | EV_PERSIST},
             {"all edge persist", EV_READ | EV_WRITE | EV_CLOSED | EV_ET | EV_PERSIST}};
enum { KINDS = sizeof kinds / sizeof *kinds };

/* Everything that happens to one side of a connection, for every kind of event. */
static void life_of(struct event_base *base, void (*make_ends)(int ends[2]), int flip) {
  for (int i = 0; i < KINDS; i++) {
    if (kinds[i].events & EV_ET && !(event_base_get_features(base) & EV_FEATURE_ET)) continue;
    int ends[2];
    make_ends(ends);
    int mine = ends[flip], other = ends[!flip];
    trace("-- %s", kinds[i].name);
    all[0] = make(base, mine, kinds[i].events, told, "e");
    event_add(all[0], NULL);
    trace("quiet"), turns(base, 2);
    trace("written"), (void)!write(other, "x", 1), turns(base, 2);
    trace("more"), (void)!write(other, "y", 1), turns(base, 2);
    if (!(kinds[i].events & EV_PERSIST)) trace("added anew: %d", event_add(all[0], NULL)), turns(base, 2);
    trace("read"), drain(mine), turns(base, 2);
    trace("shut"), shutdown(other, SHUT_WR), turns(base, 2);
    if (!(kinds[i].events & EV_PERSIST)) trace("added anew: %d", event_add(all[0], NULL)), turns(base, 2);
    trace("closed"), close(other), turns(base, 2);
    trace("%s", state(all[0]));
    event_free(all[0]);
    close(mine);
  }
}

CASE(sockets_of_every_kind) {
  signal(SIGPIPE, SIG_IGN);
  struct event_base *base = new_base();
  life_of(base, make_pair, 0);
  event_base_free(base);
}

CASE(the_reading_end_of_a_pipe) {
  signal(SIGPIPE, SIG_IGN);
  struct event_base *base = new_base();
  life_of(base, make_pipe, 0);
  event_base_free(base);
}

CASE(the_writing_end_of_a_pipe) {
  signal(SIGPIPE, SIG_IGN);
  struct event_base *base = new_base();
  life_of(base, make_pipe, 1);
  event_base_free(base);
}

static void make_tcp(int ends[2]) {
  struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
  socklen_t size = sizeof at;
  int listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  NEED(listener >= 0 && !bind(listener, (struct sockaddr *)&at, sizeof at) && !listen(listener, 1));
  NEED(!getsockname(listener, (struct sockaddr *)&at, &size));
  ends[0] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  NEED(!connect(ends[0], (struct sockaddr *)&at, sizeof at));
  ends[1] = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
  NEED(ends[1] >= 0 && !evutil_make_socket_nonblocking(ends[0]));
  close(listener);
}

CASE(tcp_of_every_kind) {
  signal(SIGPIPE, SIG_IGN);
  struct event_base *base = new_base();
  life_of(base, make_tcp, 0);
  event_base_free(base);
}

CASE(sockets_of_every_kind_by_poll) {
  signal(SIGPIPE, SIG_IGN);
  struct event_base *base = new_base_of(0, "epoll");
  trace("%s", event_base_get_method(base));
  life_of(base, make_pair, 0);
  event_base_free(base);
}

CASE(sockets_of_every_kind_by_a_changelist) {
  signal(SIGPIPE, SIG_IGN);
  struct event_base *base = new_base_of(EVENT_BASE_FLAG_EPOLL_USE_CHANGELIST, NULL);
  trace("%s", event_base_get_method(base));
  life_of(base, make_pair, 0);
  event_base_free(base);
}

static struct event combined[4];

/* Two events of one descriptor, each combination of kinds, both added; then one is deleted. */
CASE(two_events_of_one_descriptor) {
  struct event_base *base = new_base();
  static const short two[] = {EV_READ, EV_WRITE, EV_CLOSED, EV_READ | EV_WRITE, EV_READ | EV_CLOSED};
  for (int a = 0; a < 5; a++)
    for (int b = 0; b < 5; b++) {
      int pair[2];
      make_pair(pair);
      trace("-- %s and %s", bits(two[a]), bits(two[b]));
      set(&combined[0], base, pair[0], two[a] | EV_PERSIST, told, "first");
      set(&combined[1], base, pair[0], two[b] | EV_PERSIST, told, "second");
      trace("add: %d %d", event_add(&combined[0], NULL), event_add(&combined[1], NULL));
      put(pair[1], 1), turn(base);
      trace("without the first: %d", event_del(&combined[0])), turn(base);
      trace("with it again: %d", event_add(&combined[0], NULL));
      trace("without the second: %d", event_del(&combined[1])), turn(base);
      close(pair[1]), turn(base);
      trace("without both: %d", event_del(&combined[0])), turn(base);
      close(pair[0]);
    }
  event_base_free(base);
}

CASE(edge_and_level_of_one_descriptor) {
  for (int order = 0; order < 2; order++) {
    struct event_base *base = new_base();
    int pair[2];
    make_pair(pair);
    trace_log();
    set(&combined[0], base, pair[0], EV_READ | EV_PERSIST | (order ? EV_ET : 0), told, order ? "edge" : "level");
    set(&combined[1], base, pair[0], EV_READ | EV_PERSIST | (order ? 0 : EV_ET), told, order ? "level" : "edge");
    trace("add: %d", event_add(&combined[0], NULL));
    trace("add: %d", event_add(&combined[1], NULL));
    put(pair[1], 1), trace("written"), turns(base, 2);
    put(pair[1], 1), trace("more"), turns(base, 2);
    event_del(&combined[0]), trace("without the first"), turns(base, 2);
    put(pair[1], 1), trace("more"), turns(base, 2);
    event_del(&combined[1]);
    close_both(pair);
    event_base_free(base);
  }
}

CASE(edges_are_told_again_after_an_event_was_added_anew) {
  struct event_base *base = new_base();
  int pair[2];
  make_pair(pair);
  set(&combined[0], base, pair[0], EV_READ | EV_WRITE | EV_ET | EV_PERSIST, told, "e");
  event_add(&combined[0], NULL), turns(base, 2);
  put(pair[1], 1), turns(base, 2);
  event_add(&combined[0], NULL), trace("added, without effect"), turns(base, 2);
  event_del(&combined[0]), event_add(&combined[0], NULL), trace("deleted and added"), turns(base, 2);
  set(&combined[1], base, pair[0], EV_READ | EV_ET | EV_PERSIST, told, "other");
  event_add(&combined[1], NULL), trace("another added"), turns(base, 2);
  event_del(&combined[1]), trace("another deleted"), turns(base, 2);
  event_del(&combined[0]);
  close_both(pair);
  event_base_free(base);
}

static void add_again(evutil_socket_t fd, short what, void *name) {
  static int times;
  told(fd, what, name);
  if (times++ < 3) event_add(all[0], NULL);
}

CASE(an_event_that_adds_itself_anew) {
  struct event_base *base = new_base();
  int ends[2];
  make_pipe(ends);
  put(ends[1], 1);
  all[0] = make(base, ends[0], EV_READ, add_again, "e");
  event_add(all[0], NULL);
  for (int i = 0; i < 5; i++) CALL("turn", turn(base), state(all[0]));
  event_free(all[0]);
  close_both(ends);
  event_base_free(base);
}

static void free_itself(evutil_socket_t fd, short what, void *name) {
  told(fd, what, name);
  event_free(all[0]);
  event_free(all[1]);
}

CASE(events_freed_in_a_callback) {
  struct event_base *base = new_base();
  int pair[2];
  make_pair(pair);
  put(pair[1], 1);
  all[0] = make(base, pair[0], EV_READ | EV_PERSIST, told, "older");
  all[1] = make(base, pair[0], EV_WRITE | EV_PERSIST, free_itself, "newer");
  event_add(all[0], NULL), event_add(all[1], NULL);
  CALL("turn", turn(base), counts(base));
  CALL("turn", turn(base), counts(base));
  close_both(pair);
  event_base_free(base);
}

CASE(closed_after_its_event_was_deleted_and_opened_again) {
  struct event_base *base = new_base();
  int pair[2], next[2];
  make_pair(pair);
  set(&combined[0], base, pair[0], EV_READ | EV_PERSIST, told, "first");
  event_add(&combined[0], NULL), turn(base);
  event_del(&combined[0]);
  int number = pair[0];
  close_both(pair);
  make_pair(next);
  trace("the same number: %s", yes(next[0] == number));
  set(&combined[0], base, next[0], EV_READ | EV_WRITE | EV_PERSIST, told, "second");
  trace("add: %d", event_add(&combined[0], NULL)), turn(base);
  put(next[1], 1), turn(base);
  event_del(&combined[0]);
  close_both(next);
  event_base_free(base);
}

CASE(closed_before_its_event_was_deleted) {
  for (int kind = 0; kind < 2; kind++) {
    struct event_base *base = new_base_of(kind ? EVENT_BASE_FLAG_EPOLL_USE_CHANGELIST : 0, NULL);
    trace("-- %s", event_base_get_method(base));
    int pair[2], next[2];
    make_pair(pair);
    set(&combined[0], base, pair[0], EV_READ | EV_PERSIST, told, "first");
    event_add(&combined[0], NULL), turn(base);
    close_both(pair), turn(base);
    trace("%s", state(&combined[0]));
    CALL("del", event_del(&combined[0]), state(&combined[0]));
    turn(base);
    make_pair(next);
    set(&combined[0], base, next[0], EV_READ | EV_WRITE | EV_PERSIST, told, "second");
    trace("add: %d", event_add(&combined[0], NULL)), turn(base);
    event_del(&combined[0]);
    close_both(next);
    event_base_free(base);
  }
}

CASE(reused_while_its_event_is_added_and_then_wants_more) {
  struct event_base *base = new_base();
  int pair[2], next[2];
  make_pair(pair);
  set(&combined[0], base, pair[0], EV_READ | EV_PERSIST, told, "first");
  event_add(&combined[0], NULL), turn(base);
  int number = pair[0];
  close_both(pair);
  make_pair(next);
  trace("the same number: %s", yes(next[0] == number));
  put(next[1], 1);
  turn(base);
  set(&combined[1], base, number, EV_WRITE | EV_PERSIST, told, "second");
  trace("add: %d", event_add(&combined[1], NULL));
  turn(base), turn(base);
  trace("del: %d", event_del(&combined[0]));
  trace("del: %d", event_del(&combined[1]));
  turn(base);
  close_both(next);
  event_base_free(base);
}

CASE(a_duplicate_keeps_an_open_file_open) {
  struct event_base *base = new_base();
  int pair[2];
  make_pair(pair);
  int copy = dup(pair[0]);
  set(&combined[0], base, pair[0], EV_READ | EV_PERSIST, told, "original");
  set(&combined[1], base, copy, EV_READ | EV_PERSIST, told, "copy");
  event_add(&combined[0], NULL), event_add(&combined[1], NULL), turn(base);
  put(pair[1], 1), turn(base);
  event_del(&combined[0]), close(pair[0]), trace("original closed"), turn(base);
  event_del(&combined[1]), close(copy), close(pair[1]);
  turn(base);
  event_base_free(base);
}

static void read_timeout(evutil_socket_t fd, short what, void *name) {
  static int times;
  told(fd, what, name);
  if (what & EV_READ) drain(fd);
  if (++times == 4) event_base_loopbreak(the);
}

CASE(a_persistent_event_with_a_timeout_is_told_again_and_again) {
  the = new_base();
  int ends[2];
  make_pipe(ends);
  set(&combined[0], the, ends[0], EV_READ | EV_PERSIST, read_timeout, "e");
  event_add(&combined[0], ms(10));
  trace("loop: %d", event_base_dispatch(the));
  trace("%s", state(&combined[0]));
  event_del(&combined[0]);
  close_both(ends);
  event_base_free(the);
}

CASE(an_event_that_is_not_persistent_is_gone_after_either) {
  struct event_base *base = new_base();
  int ends[2];
  make_pipe(ends);
  set(&combined[0], base, ends[0], EV_READ, told, "e");
  event_add(&combined[0], ms(10));
  trace("loop: %d", event_base_dispatch(base));
  trace("%s", state(&combined[0]));
  put(ends[1], 1);
  event_add(&combined[0], ms(10000));
  trace("loop: %d", event_base_dispatch(base));
  trace("%s", state(&combined[0]));
  close_both(ends);
  event_base_free(base);
}

CASE(active_by_descriptor) {
  struct event_base *base = new_base();
  int pair[2];
  make_pair(pair);
  set(&combined[0], base, pair[0], EV_READ | EV_PERSIST, told, "read");
  set(&combined[1], base, pair[0], EV_WRITE | EV_PERSIST, told, "write");
  set(&combined[2], base, pair[0], EV_TIMEOUT, told, "timer of the same number");
  set(&combined[3], base, SIGUSR1, EV_SIGNAL | EV_PERSIST, told, "signal");
  event_add(&combined[0], NULL), event_add(&combined[1], ms(100000)), event_add(&combined[2], ms(100000));
  event_add(&combined[3], NULL);
  fill(pair[0]);
  static const short what[] = {EV_READ,   EV_WRITE, EV_READ | EV_WRITE, EV_TIMEOUT, EV_TIMEOUT | EV_READ,
                               EV_CLOSED, 0,        EV_SIGNAL};
  for (int i = 0; i < 8; i++) {
    trace("-- %s", bits(what[i]));
    event_base_active_by_fd(base, pair[0], what[i]);
    trace("%s", counts(base));
    turn(base);
  }
  event_base_active_by_fd(base, -1, EV_READ);
  event_base_active_by_fd(base, 10000, EV_READ);
  event_base_active_by_signal(base, SIGUSR1);
  event_base_active_by_signal(base, SIGUSR2);
  trace("%s", counts(base));
  turn(base);
  event_base_free(base);
  close_both(pair);
}

CASE(an_eventfd_and_urgent_data) {
  struct event_base *base = new_base();
  int counter = eventfd(0, EFD_NONBLOCK | EFD_CLOEXEC), tcp[2];
  set(&combined[0], base, counter, EV_READ | EV_PERSIST, told, "counter");
  event_add(&combined[0], NULL), turn(base);
  NEED(!eventfd_write(counter, 3)), turns(base, 2);
  event_del(&combined[0]);
  make_tcp(tcp);
  set(&combined[1], base, tcp[0], EV_READ | EV_PERSIST, told, "tcp");
  event_add(&combined[1], NULL);
  NEED(send(tcp[1], "u", 1, MSG_OOB) == 1);
  turn(base);
  event_del(&combined[1]);
  close_both(tcp);
  close(counter);
  event_base_free(base);
}

CASE(a_refused_connection) {
  struct event_base *base = new_base();
  struct sockaddr_in at = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
  socklen_t size = sizeof at;
  int holder = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  NEED(!bind(holder, (struct sockaddr *)&at, sizeof at) && !getsockname(holder, (struct sockaddr *)&at, &size));
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  set(&combined[0], base, fd, EV_READ | EV_WRITE | EV_CLOSED, told, "e");
  trace("not connected"), event_add(&combined[0], NULL), turn(base);
  (void)!connect(fd, (struct sockaddr *)&at, sizeof at);
  event_del(&combined[0]), event_add(&combined[0], NULL);
  event_base_loop(base, EVLOOP_ONCE);
  event_base_free(base);
  close(fd), close(holder);
}

static int seen[5200];
static void mark(evutil_socket_t fd, short what, void *arg) {
  seen[(intptr_t)arg] += what == EV_READ ? 1 : 1000;
  drain(fd);
}

CASE(five_thousand_descriptors) {
  struct event_base *base = new_base();
  enum { MANY = 5000 };
  static struct event e[MANY];
  static int pairs[MANY][2];
  for (int i = 0; i < MANY; i++) {
    make_pair(pairs[i]);
    NEED(!event_assign(&e[i], base, pairs[i][0], EV_READ | EV_PERSIST, mark, (void *)(intptr_t)i));
    if (event_add(&e[i], NULL)) trace("not added: %d", i);
  }
  trace("%s", counts(base));
  for (int round = 0; round < 3; round++) {
    int expected = 0, right = 0, wrong = 0;
    memset(seen, 0, sizeof seen);
    for (int i = round; i < MANY; i += round + 1) put(pairs[i][1], 1), expected++;
    event_base_loop(base, EVLOOP_NONBLOCK);
    for (int i = 0; i < MANY; i++) {
      int should = i >= round && (i - round) % (round + 1) == 0;
      right += seen[i] == should && should;
      wrong += seen[i] != should;
    }
    trace("round %d: expected %d, right %d, wrong %d", round, expected, right, wrong);
  }
  for (int i = 0; i < MANY; i += 2) event_del(&e[i]);
  trace("%d left", event_base_get_num_events(base, EVENT_BASE_COUNT_ADDED));
  event_base_free(base);
}

CASE(a_number_that_was_watched_and_closed_cannot_be_added) {
  struct event_base *base = new_base();
  trace_log();
  static const short what[] = {EV_READ, EV_WRITE, EV_READ | EV_WRITE, EV_READ | EV_ET};
  for (int i = 0; i < 16; i++) {
    int pair[2];
    make_pair(pair);
    set(&combined[0], base, pair[0], what[i % 4] | EV_PERSIST, told, "e");
    trace("%s", bits(what[i % 4]));
    event_add(&combined[0], NULL);
    turn(base);
    event_del(&combined[0]);
    if (i & 1) turn(base);
    close_both(pair);
    set(&combined[0], base, pair[0], what[i / 4] | EV_PERSIST, told, "closed");
    CALL("closed", event_add(&combined[0], NULL), state(&combined[0]));
    turn(base);
    event_del(&combined[0]);
  }
  event_base_free(base);
}

CASE(a_number_that_was_watched_and_became_a_file) {
  struct event_base *base = new_base();
  trace_log();
  char name[] = "/tmp/diff-XXXXXX";
  int file = mkstemp(name), pair[2];
  unlink(name);
  for (int i = 0; i < 2; i++) {
    make_pair(pair);
    set(&combined[0], base, pair[0], EV_READ | EV_PERSIST, told, "e");
    event_add(&combined[0], NULL);
    turn(base);
    event_del(&combined[0]);
    if (i & 1) turn(base);
    NEED(dup2(file, pair[0]) == pair[0]);
    CALL("file", event_add(&combined[0], NULL), state(&combined[0]));
    turn(base);
    event_del(&combined[0]);
    close_both(pair);
  }
  event_base_free(base);
  close(file);
}
