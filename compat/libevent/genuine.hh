// SPDX-License-Identifier: BSD-3-Clause
// What stays with the genuine library that this one lies in front of: memory, locks, messages. All of it is looked up by
// the dynamic linker, and may be missing: where this is preloaded for nothing, and in a program that was linked with both
// (--as-needed) and calls nothing but the core.
//
// Two genuine libraries (libevent-2.1 and libevent_core-2.1) may be there at once, each with a copy of these: the one
// that the program's other calls bind to is the right one, and only the linker knows which.
#pragma once

#include <cstddef>
#include <cstdint>

// What is declared here is imported or exported, in files that hide everything else.
#pragma GCC visibility push(default)
#include <event2/event.h>
#include <event2/event_compat.h>
#include <event2/event_struct.h>
#include <event2/thread.h>
#include <event2/util.h>

#define TORQUE_GENUINE [[gnu::weak]]

extern "C" {

// Memory, as event_set_mem_functions() says.
TORQUE_GENUINE void *event_mm_malloc_(size_t size);
TORQUE_GENUINE void *event_mm_calloc_(size_t count, size_t size);
TORQUE_GENUINE void *event_mm_realloc_(void *p, size_t size);
TORQUE_GENUINE void event_mm_free_(void *p);
TORQUE_GENUINE char *event_mm_strdup_(const char *text);

// Locks, as evthread_set_lock_callbacks() and its kin say.
TORQUE_GENUINE extern struct evthread_lock_callbacks evthread_lock_fns_;
TORQUE_GENUINE extern struct evthread_condition_callbacks evthread_cond_fns_;
TORQUE_GENUINE extern unsigned long (*evthread_id_fn_)(void);
TORQUE_GENUINE void *evthread_setup_global_lock_(void *lock, unsigned kind, int enable);
TORQUE_GENUINE void evthreadimpl_disable_lock_debugging_(void);

// Messages, as event_set_log_callback() and event_set_fatal_callback() say.
TORQUE_GENUINE [[noreturn, gnu::format(printf, 2, 3)]] void event_errx(int code, const char *format, ...);
TORQUE_GENUINE [[gnu::format(printf, 1, 2)]] void event_warn(const char *format, ...);
TORQUE_GENUINE [[gnu::format(printf, 1, 2)]] void event_warnx(const char *format, ...);
TORQUE_GENUINE [[gnu::format(printf, 1, 2)]] void event_msgx(const char *format, ...);

TORQUE_GENUINE const char *evutil_getenv_(const char *name);
TORQUE_GENUINE void evutil_free_globals_(void);
TORQUE_GENUINE int evutil_global_setup_locks_(int enable);
TORQUE_GENUINE int evutil_secure_rng_global_setup_locks_(int enable);

// Ours to define: the upper layers import them.
extern int event_debug_mode_on_;
extern int event_debug_created_threadable_ctx_;
extern struct event_base *event_global_current_base_;

// Ours, but in no public header.
using deferred_cb_fn = void (*)(struct event_callback *, void *);
void event_active_later_(struct event *e, int what);
void event_callback_finalize_(struct event_base *b, unsigned flags, struct event_callback *c, deferred_cb_fn fn);
int event_callback_finalize_many_(struct event_base *b, int n, struct event_callback **all, deferred_cb_fn fn);
int event_callback_activate_(struct event_base *b, struct event_callback *c);
void event_deferred_cb_init_(struct event_callback *c, uint8_t priority, deferred_cb_fn fn, void *arg);
void event_deferred_cb_set_priority_(struct event_callback *c, uint8_t priority);
void event_deferred_cb_cancel_(struct event_base *b, struct event_callback *c);
int event_deferred_cb_schedule_(struct event_base *b, struct event_callback *c);
void event_base_add_virtual_(struct event_base *b);
int event_base_start_iocp_(struct event_base *b, int cpus);
void event_base_assert_ok_(struct event_base *b);
int event_global_setup_locks_(int enable);

}  // extern "C"
#pragma GCC visibility pop

namespace torque_event {

// The genuine library's, or what does without it.
void *mm_malloc(size_t size);
void *mm_calloc(size_t count, size_t size);
void *mm_realloc(void *p, size_t size);
void mm_free(void *p);
char *mm_strdup(const char *text);
const char *get_env(const char *name);  // null in a program with more rights than its user
[[gnu::format(printf, 1, 2), gnu::cold]] void log_warn(const char *format, ...);  // and what errno says
[[gnu::format(printf, 1, 2), gnu::cold]] void log_warnx(const char *format, ...);
[[gnu::format(printf, 1, 2), gnu::cold]] void log_msgx(const char *format, ...);
[[noreturn, gnu::format(printf, 2, 3), gnu::cold]] void die(int code, const char *format, ...);

constexpr int kAbort = static_cast<int>(0xdeaddead);  // die() aborts instead of ending the process

[[noreturn, gnu::cold]] void broken(const char *what, const char *where, int line);
#define TORQUE_EVENT_REQUIRE(cond) \
  do {                             \
    if (!(cond)) [[unlikely]]      \
      torque_event::broken(#cond, __FILE_NAME__, __LINE__); \
  } while (0)

}  // namespace torque_event
