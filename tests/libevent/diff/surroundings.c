/* SPDX-License-Identifier: BSD-3-Clause */
/* What surrounds events: the program's memory functions, log and fatal callbacks, debug mode, shutting down. */
#include <event2/bufferevent.h>
#include <stdatomic.h>

#include "diff.h"

static struct event_base *the;
static struct event *all[4];

/* --- Memory */
static atomic_long live, taken;
static atomic_int failing; /* from now on */

static void *take(size_t size) {
  if (failing) return NULL;
  live++;
  taken++;
  return malloc(size);
}
static void *retake(void *p, size_t size) {
  if (failing) return NULL;
  if (!p) live++;
  taken++;
  return realloc(p, size);
}
static void give(void *p) {
  if (p) live--;
  free(p);
}

/* Everything that takes memory. */
static void use_everything(void) {
  int ends[2];
  make_pipe(ends), put(ends[1], 1);
  the = new_base_with(3);
  all[0] = make(the, ends[0], EV_READ | EV_PERSIST, told_and_drain, "read"), event_add(all[0], NULL);
  all[1] = make(the, SIGUSR1, EV_SIGNAL | EV_PERSIST, told, "signal"), event_add(all[1], NULL);
  all[2] = make(the, -1, EV_TIMEOUT, told, "timer"), event_add(all[2], ms(1));
  all[3] = make(the, -1, EV_TIMEOUT, told, "common"), event_add(all[3], event_base_init_common_timeout(the, ms(1)));
  event_base_once(the, -1, EV_TIMEOUT, told, NAME("once"), ms(100000));
  pause_ms(20);
  turns(the, 3);
  raise(SIGUSR1);
  turn(the);
  for (int i = 0; i < 4; i++) event_free(all[i]);
  event_base_free(the);
  close_both(ends);
}

CASE(all_memory_comes_from_the_program_and_goes_back) {
  event_set_mem_functions(take, retake, give);
  use_everything();
  trace("taken: %s, left: %ld", yes(taken > 10), live);
  event_get_supported_methods();
  libevent_global_shutdown();
  trace("left after the shutdown: %s", yes(live <= 1));
}

CASE(all_memory_with_locks) {
  event_set_mem_functions(take, retake, give);
  NEED(!evthread_use_pthreads());
  use_everything();
  libevent_global_shutdown();
  trace("taken: %s, left: %ld", yes(taken > 10), live);
}

CASE(no_memory_for_a_base_or_an_event) {
  trace_log();
  event_set_mem_functions(take, retake, give);
  failing = 1;
  trace("config: %s", yes(event_config_new() != NULL));
  trace("base: %s", yes(event_base_new() != NULL));
  trace("methods: %s", yes(event_get_supported_methods() != NULL));
  failing = 0;
  the = new_base();
  struct event_config *config = event_config_new();
  failing = 1;
  trace("event: %s", yes(event_new(the, -1, 0, told, NULL) != NULL));
  trace("once: %d", event_base_once(the, -1, EV_TIMEOUT, told, NULL, NULL));
  trace("common: %s", yes(event_base_init_common_timeout(the, ms(5)) != NULL));
  trace("priorities: %d", event_base_priority_init(the, 5));
  trace("avoid: %d", event_config_avoid_method(config, "epoll"));
  trace("base: %s", yes(event_base_new_with_config(config) != NULL));
  failing = 0;
  event_config_free(config);
  event_base_free(the);
  trace("left: %ld", live);
}

CASE(no_memory_for_a_timer) {
  trace_log();
  event_set_mem_functions(take, retake, give);
  the = new_base();
  struct event many[64];
  int added = 0, refused = 0;
  for (int i = 0; i < 64; i++) set(&many[i], the, -1, EV_TIMEOUT, told, "t");
  failing = 1;
  for (int i = 0; i < 64; i++) {
    int r = event_add(&many[i], ms(100000));
    added += !r, refused += r == -1 && !event_pending(&many[i], EV_TIMEOUT, NULL);
  }
  trace("all told: %d, some refused: %s", added + refused, yes(refused > 0));
  failing = 0;
  trace("add: %d", event_add(&many[63], ms(1)));
  pause_ms(20);
  turn(the);
  event_base_free(the);
  trace("left: %ld", live);
}

/* --- Messages */
static void logged(int severity, const char *text) {
  trace("%d: %s", severity, strncmp(text, "event_", 6) ? "another text" : text);
}

CASE(what_is_logged_of_wrong_calls) {
  event_set_log_callback(logged);
  the = new_base();
  struct event e;
  event_assign(&e, the, SIGUSR1, EV_SIGNAL | EV_READ, told, NULL);
  event_base_free(NULL);
  memset(&e, 0, sizeof e);
  event_add(&e, NULL), event_active(&e, 0, 0), event_pending(&e, 0, NULL), event_remove_timer(&e), event_del(&e);
  event_base_free(the);
}

static void fatal(int code) {
  trace("fatal: %s", code == (int)0xdeaddead ? "abort" : code == 1 ? "1" : "?");
  _exit(5);
}

static void child_dies(void *body) { (*(void (**)(void))body)(); }
static void dies(const char *what, void (*body)(void)) { in_child(what, child_dies, &body); }

static void debug_too_late(void) {
  event_base_free(new_base());
  event_enable_debug_mode();
}
static void debug_twice(void) {
  event_enable_debug_mode();
  event_enable_debug_mode();
}
static void add_unassigned(void) {
  event_enable_debug_mode();
  the = new_base();
  struct event e;
  memset(&e, 0, sizeof e);
  e.ev_base = the;
  event_add(&e, NULL);
  trace("went on");
}
static void assign_added(void) {
  event_enable_debug_mode();
  the = new_base();
  all[0] = make(the, -1, EV_TIMEOUT, told, "e");
  event_add(all[0], ms(1000));
  event_assign(all[0], the, -1, EV_TIMEOUT, told, NULL);
  trace("went on");
}
static void unassign_added(void) {
  event_enable_debug_mode();
  the = new_base();
  all[0] = make(the, -1, EV_TIMEOUT, told, "e");
  event_add(all[0], ms(1000));
  event_debug_unassign(all[0]);
  trace("went on");
}
static void ask_unassigned(void) {
  event_enable_debug_mode();
  the = new_base();
  struct event e;
  set(&e, the, -1, EV_TIMEOUT, told, "e");
  trace("priority: %d", event_get_priority(&e));
  event_debug_unassign(&e);
  trace("asked: %s", bits(event_get_events(&e)));
}
static void pending_unassigned(void) {
  event_enable_debug_mode();
  the = new_base();
  struct event e;
  memset(&e, 0, sizeof e);
  e.ev_base = the;
  trace("pending: %d", event_pending(&e, EV_READ, NULL));
}
static void blocking_descriptor(void) {
  event_enable_debug_mode();
  the = new_base();
  int ends[2];
  NEED(!pipe(ends));
  make(the, ends[0], EV_READ, told, "blocks");
  trace("went on");
}
static void debug_and_all_well(void) {
  event_enable_debug_mode();
  use_everything();
  libevent_global_shutdown();
  trace("went on");
}
static void mixed_edges(void) {
  event_enable_debug_mode();
  the = new_base();
  int ends[2];
  make_pipe(ends);
  all[0] = make(the, ends[0], EV_READ | EV_ET, told, "edge"), event_add(all[0], NULL);
  all[1] = make(the, ends[0], EV_READ, told, "level");
  trace("add: %d", event_add(all[1], NULL));
}
static void delete_twice_in_debug_mode(void) {
  event_enable_debug_mode();
  the = new_base();
  all[0] = make(the, -1, EV_TIMEOUT, told, "e");
  event_add(all[0], ms(1000));
  trace("%d %d", event_del(all[0]), event_del(all[0]));
  event_free(all[0]);
  event_base_free(the);
}
static void shut_down_twice(void) {
  event_base_free(new_base());
  libevent_global_shutdown();
  libevent_global_shutdown();
  event_base_free(new_base());
  trace("went on");
}
static const struct {
  const char *name;
  void (*fn)(void);
} ends_[] = {{"debug mode too late", debug_too_late},
             {"debug mode twice", debug_twice},
             {"add what is not assigned", add_unassigned},
             {"assign what is added", assign_added},
             {"unassign what is added", unassign_added},
             {"ask what is not assigned", ask_unassigned},
             {"pending of what is not assigned", pending_unassigned},
             {"a descriptor that blocks", blocking_descriptor},
             {"all well", debug_and_all_well},
             {"edge and level", mixed_edges},
             {"delete twice", delete_twice_in_debug_mode},
             {"shut down twice", shut_down_twice}};

CASE(debug_mode_and_other_ends_of_programs) {
  for (size_t i = 0; i < sizeof ends_ / sizeof *ends_; i++) dies(ends_[i].name, ends_[i].fn);
}

CASE(the_same_with_a_fatal_callback) {
  event_set_fatal_callback(fatal);
  trace_log();
  for (size_t i = 0; i < sizeof ends_ / sizeof *ends_; i++) dies(ends_[i].name, ends_[i].fn);
}

CASE(descriptors_of_a_base_are_closed_with_it) {
  int before = open_descriptors();
  for (int i = 0; i < 20; i++) use_everything();
  trace("more: %d", open_descriptors() - before);
  for (int i = 0; i < 20; i++) the = new_base(), event_base_free(the);
  trace("more: %d", open_descriptors() - before);
}

CASE(versions) {
  trace("%s %#x", event_get_version(), (unsigned)event_get_version_number());
  trace("the header's: %s", yes(!strcmp(event_get_version(), LIBEVENT_VERSION)));
}
