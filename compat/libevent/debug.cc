// SPDX-License-Identifier: BSD-3-Clause
// Debug mode: which events have been set up and added is kept beside them, because what it looks for is events that were
// never set up, or overwritten.
#include <fcntl.h>

#include <cstdint>

#include "base.hh"

namespace torque_event {

namespace {

struct Known {
  Known *next;
  const event *e;
  bool added;
};

constexpr size_t kChains = 4096;
constinit Known *chains[kChains] = {};  // guarded by debug_lock where there are locks
constinit void *debug_lock = nullptr;
constinit std::atomic<bool> too_late{false};

class DebugLocked {
 public:
  DebugLocked() {
    if (debug_lock) evthread_lock_fns_.lock(0, debug_lock);
  }
  ~DebugLocked() {
    if (debug_lock) evthread_lock_fns_.unlock(0, debug_lock);
  }
  DebugLocked(const DebugLocked &) = delete;
  DebugLocked &operator=(const DebugLocked &) = delete;
};

Known **find(const event *e) {
  Known **at = &chains[reinterpret_cast<uintptr_t>(e) / 64 % kChains];
  while (*at && (*at)->e != e) at = &(*at)->next;
  return at;
}

[[noreturn]] void complain(const char *format, const char *where, const event *e) {
  die(kAbort, format, where, static_cast<const void *>(e), static_cast<unsigned>(e->ev_events),
             static_cast<int>(e->ev_fd), static_cast<unsigned>(e->ev_evcallback.evcb_flags));
}

void note(const event *e, bool added, const char *what, const char *where) {
  const DebugLocked locked;
  Known *k = *find(e);
  if (k) k->added = added;
  else if (what) complain(what, where, e);
}

}  // namespace

void too_late_for_debug_mode() {
  if (!too_late.load(std::memory_order_relaxed)) [[unlikely]]
    too_late.store(true, std::memory_order_relaxed);
}

void note_setup(const event *e) {
  too_late_for_debug_mode();
  if (!event_debug_mode_on_) [[likely]]
    return;
  const DebugLocked locked;
  Known **at = find(e);
  if (!*at) {
    auto *k = static_cast<Known *>(mm_malloc(sizeof(Known)));
    if (!k) die(1, "Out of memory in debugging code");
    *k = {nullptr, e, false};
    *at = k;
  }
  (*at)->added = false;
}

void note_teardown(const event *e) {
  too_late_for_debug_mode();
  if (!event_debug_mode_on_) [[likely]]
    return;
  const DebugLocked locked;
  Known **at = find(e);
  if (Known *k = *at) {
    *at = k->next;
    mm_free(k);
  }
}

void debug::note_add(const event *e) {
  note(e, true, "%s: noting an add on a non-setup event %p (events: 0x%x, fd: %d, flags: 0x%x)", "event_debug_note_add_");
}
void debug::note_del(const event *e) {
  note(e, false, "%s: noting a del on a non-setup event %p (events: 0x%x, fd: %d, flags: 0x%x)", "event_debug_note_del_");
}

void debug::assert_setup(const event *e, const char *where) {
  const DebugLocked locked;
  if (!*find(e)) complain("%s called on a non-initialized event %p (events: 0x%x, fd: %d, flags: 0x%x)", where, e);
}

void debug::assert_not_added(const event *e, const char *where) {
  const DebugLocked locked;
  const Known *k = *find(e);
  if (k && k->added) complain("%s called on an already added event %p (events: 0x%x, fd: %d, flags: 0x%x)", where, e);
}

void debug::assert_nonblocking(int fd) {
  if (fd < 0) return;
  const int flags = fcntl(fd, F_GETFL);
  if (flags >= 0) TORQUE_EVENT_REQUIRE(flags & O_NONBLOCK);
}

int setup_debug_lock(int enable) {
  debug_lock = evthread_setup_global_lock_(debug_lock, 0, enable);
  if (debug_lock) return 0;
  log_warn("Couldn't allocate %s", "event_debug_map_lock_");
  return -1;
}

void end_debug_mode() {
  {
    const DebugLocked locked;
    for (Known *&chain : chains) {
      while (Known *k = chain) {
        chain = k->next;
        mm_free(k);
      }
    }
  }
  event_debug_mode_on_ = 0;
  if (!debug_lock) return;
  if (evthread_lock_fns_.free) evthread_lock_fns_.free(debug_lock, 0);
  debug_lock = nullptr;
  evthreadimpl_disable_lock_debugging_();
}

}  // namespace torque_event

using namespace torque_event;

extern "C" {

void event_enable_debug_mode(void) {
  if (event_debug_mode_on_) die(1, "%s was called twice!", "event_enable_debug_mode");
  if (too_late) {
    die(1, "%s must be called *before* creating any events or event_bases", "event_enable_debug_mode");
  }
  event_debug_mode_on_ = 1;
}

// Called back when the program sets up locks.
int event_global_setup_locks_(const int enable) {
  if (setup_debug_lock(enable) < 0 || evutil_global_setup_locks_(enable) < 0) return -1;
  return evutil_secure_rng_global_setup_locks_(enable) < 0 ? -1 : 0;
}

void libevent_global_shutdown(void) {
  end_debug_mode();
  if (evutil_free_globals_) evutil_free_globals_();
}

}  // extern "C"
