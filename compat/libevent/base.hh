// SPDX-License-Identifier: BSD-3-Clause
// libevent's event_base: a driven context with watches, and around it libevent's own order of things. Which callbacks
// come first, what an event's state is, what each call answers: that is libevent's, from its documentation and its
// behaviour.
//
// Thread: everything in here is guarded by the base's lock, where the program has set up locks (evthread_use_pthreads()
// and its kin); it is given up around the wait and around callbacks. What signal handlers touch is atomic.
#pragma once

#include <libtorque/torque.h>

#include <atomic>

#include "common/publish.hh"
#include "common/stations.hh"
#include "lists.hh"
#include "timeouts.hh"

namespace torque_event {

// struct event_callback::evcb_closure
enum Closure : uint8_t {
  kEvent = 0,
  kSignal = 1,
  kPersist = 2,
  kSelf = 3,               // a callback that is not an event's
  kFinalizeCallback = 4,
  kFinalizeEvent = 5,
  kFinalizeEventAndFree = 6,
};

constexpr int kSignals = 65;  // 1 .. 64
constexpr int kPrioritiesMax = 256;

// All that is watched of one descriptor.
struct Descriptor {
  EventList events;
  uint16_t reads, writes, closes;  // how many of them want what
};

struct CommonTimeout {
  TimeoutList events;
  timeval duration;  // with the mark and the number in tv_usec
  event timer;       // for the first of them
  event_base *base;
};

struct Once {
  Once *next;
  Once **at;
  event ev;
  event_callback_fn fn;
  void *arg;
};

struct Method {
  const char *name;
  int features;
};

enum class Blocking { no, yes, unless_finalizing, even_if_finalizing };

}  // namespace torque_event

struct event_base {
  torque_ctx *ctx;
  torque_compat::Publisher publisher;
  const torque_event::Method *method;
  int flags;

  int virtual_count, virtual_max;
  int event_count, event_max;
  int active_count, active_max;

  int gotterm, broken, go_on;
  int running_priority;
  int running_loop;
  int deferreds;  // activated in this pass

  torque_event::Queue *queues;
  int nqueues;
  torque_event::Queue later;

  torque_event::CommonTimeout **common;
  int ncommon, common_room;

  torque_event::Descriptor *fds;
  int fds_room;
  torque_event::EventList signals[torque_event::kSignals];
  torque_event::Timeouts timeouts;

  timeval cache;  // tv_sec 0: there is none
  timeval clock_diff;
  time_t clock_diff_read;

  unsigned long owner;
  void *lock;
  void *done;  // condition: the callback under way has ended
  int waiters;
  event_callback *current;

  timeval max_dispatch_time;
  int max_dispatch_callbacks;
  int limit_after_priority;

  bool notifiable;
  bool wake_pending;
  torque_event::Once *onces;

  // Signals caught and not yet told, from handlers in any thread; `caught` after the counts.
  std::atomic<int> arrivals[torque_event::kSignals];
  std::atomic<bool> caught;
  std::atomic<bool> has_looped;
  torque_compat::Station<event_base> *station;
  event_callback signal_teller;  // internal: hands them out when its turn comes
};

namespace torque_event {

inline event *event_of(event_callback *c) { return reinterpret_cast<event *>(c); }
static_assert(offsetof(event, ev_evcallback) == 0);
inline event_callback *callback_of(event *e) { return &e->ev_evcallback; }
inline short &flags_of(event *e) { return e->ev_evcallback.evcb_flags; }
inline bool has(const event *e, int flags) { return e->ev_evcallback.evcb_flags & flags; }
constexpr short kIo = EV_READ | EV_WRITE | EV_CLOSED;

// ---- locks ----
inline void lock(event_base *b) {
  if (b->lock) evthread_lock_fns_.lock(0, b->lock);
}
inline void unlock(event_base *b) {
  if (b->lock) evthread_lock_fns_.unlock(0, b->lock);
}
class Locked {
 public:
  explicit Locked(event_base *b) : base_(b) { lock(b); }
  ~Locked() { unlock(base_); }
  Locked(const Locked &) = delete;
  Locked &operator=(const Locked &) = delete;

 private:
  event_base *base_;
};
inline bool have_threads() { return &evthread_id_fn_ && evthread_id_fn_; }
inline bool in_loop_thread(const event_base *b) { return !have_threads() || b->owner == evthread_id_fn_(); }
inline bool must_wake(const event_base *b) { return have_threads() && b->running_loop && b->owner != evthread_id_fn_(); }
int wake(event_base *b);
void wait_for_callback(event_base *b);

// ---- time ----
void read_time(event_base *b, timeval *ret);
inline void get_time(event_base *b, timeval *ret) {  // the cached one, if there is one
  if (b->cache.tv_sec) *ret = b->cache;
  else read_time(b, ret);
}
void update_cache(event_base *b);
inline void clear_cache(event_base *b) { b->cache.tv_sec = 0; }

// ---- events, with the lock held ----
int add(event *e, const timeval *tv, bool absolute);
int del(event *e, Blocking how);
void activate(event *e, int what, short ncalls);
bool activate(event_base *b, event_callback *c);  // true: it was not active before
bool activate_later(event_base *b, event_callback *c);
int cancel(event_base *b, event_callback *c, bool even_if_finalizing);
void make_later_active(event_base *b);
void remove_active(event_base *b, event_callback *c);
inline bool have_events(const event_base *b) { return b->virtual_count > 0 || b->event_count > 0; }

// ---- descriptors ----
int add_io(event_base *b, event *e);  // -1, 0: nothing changed, 1
int del_io(event_base *b, event *e);
void active_io(event_base *b, int fd, short what);
void told(int32_t fd, uint32_t events, int32_t error, void *base);
int bring_again(event_base *b);  // before another kernel queue; -1: not all
void free_map(event_base *b);

// ---- signals ----
int add_signal(event_base *b, event *e);
int del_signal(event_base *b, event *e);
void active_signal(event_base *b, int signum, int ncalls);
void init_signals(event_base *b);
void begin_to_loop(event_base *b);
inline bool has_caught(const event_base *b) { return b->caught.load(std::memory_order_relaxed); }
void collect_signals(void *base);  // when a pass has found a wake-up
void forget_signals(event_base *b);  // that have come and were not told
void leave_signals(event_base *b);

// ---- timeouts ----
constexpr int kMicroseconds = 0x000fffff;
bool is_common(const timeval *tv, const event_base *b);
CommonTimeout *common_of(event_base *b, const timeval *tv);
void insert_timeout(event_base *b, event *e);
void remove_timeout(event_base *b, event *e);
void schedule_common(CommonTimeout *c, event *first);
void process_timeouts(event_base *b);
uint64_t ns_until_timeout(event_base *b);  // UINT64_MAX: there is none

// ---- debug mode ----
void note_setup(const event *e);
void note_teardown(const event *e);
namespace debug {  // while it is on
void note_add(const event *e);
void note_del(const event *e);
void assert_setup(const event *e, const char *where);
void assert_not_added(const event *e, const char *where);
void assert_nonblocking(int fd);
}  // namespace debug
inline void note_add(const event *e) {
  if (event_debug_mode_on_) [[unlikely]]
    debug::note_add(e);
}
inline void note_del(const event *e) {
  if (event_debug_mode_on_) [[unlikely]]
    debug::note_del(e);
}
inline void assert_setup(const event *e, const char *where) {
  if (event_debug_mode_on_) [[unlikely]]
    debug::assert_setup(e, where);
}
inline void assert_not_added(const event *e, const char *where) {
  if (event_debug_mode_on_) [[unlikely]]
    debug::assert_not_added(e, where);
}
inline void assert_nonblocking(int fd) {
  if (event_debug_mode_on_) [[unlikely]]
    debug::assert_nonblocking(fd);
}
void too_late_for_debug_mode();
int setup_debug_lock(int enable);
void end_debug_mode();

int foreach_event(event_base *b, event_base_foreach_event_cb fn, void *arg);
void check(event_base *b);

}  // namespace torque_event
