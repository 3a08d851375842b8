// SPDX-License-Identifier: BSD-3-Clause
// Calls under way. A handle or a context may end while another thread is in a call on it. So a call says that it looks
// (Visit), and who frees what calls may look at takes it out of sight first and then waits until the calls that were
// under way by then are over (wait_for_visits). A call that begins later finds nothing.
//
// A visit costs a store at each end and no locked instruction: the thread that waits makes all others pass a barrier,
// by membarrier(2). Where the system has none a visit begins with a fence.
//
// Within a visit nothing waits and no function of the program is called, but for allocators and logs: those calls are
// made outside of it (Outside).
#pragma once

#include <atomic>
#include <cstdint>

namespace torque {

// One thread's. The records stay for ever; that of a thread that has ended goes to the next.
struct alignas(64) Visitor {
  // Its thread writes: visits begun and not over, and above that how often the last one of them was over.
  std::atomic<uint64_t> word{0};
  Visitor *next = nullptr;         // constant once it is in the list
  std::atomic<bool> taken{false};  // taken by compare-and-swap, given back with a release
};

namespace visit {
constexpr uint64_t kDepth = 0xffff;
constexpr uint64_t kSerial = kDepth + 1;
extern std::atomic<bool> fenced;  // no membarrier(2): each visit has a fence of its own
[[gnu::tls_model("initial-exec")]] extern constinit thread_local Visitor *mine;
Visitor *enroll() noexcept;

// What comes before is seen by all before what comes after is done.
inline void fence() noexcept {
#ifdef __SANITIZE_THREAD__
  std::atomic<int> own{0};  // ThreadSanitizer knows no fences; a locked instruction is one here
  own.fetch_add(1, std::memory_order_seq_cst);
#else
  std::atomic_thread_fence(std::memory_order_seq_cst);
#endif
}
inline void enter(Visitor &v) noexcept {
  v.word.store(v.word.load(std::memory_order_relaxed) + 1, std::memory_order_relaxed);
  // What follows must not be done before the store is seen. wait_for_visits() brings the other half.
  std::atomic_signal_fence(std::memory_order_seq_cst);
  if (fenced.load(std::memory_order_relaxed)) [[unlikely]]
    fence();
}
inline void leave(Visitor &v) noexcept {
  uint64_t w = v.word.load(std::memory_order_relaxed) - 1;
  if ((w & kDepth) == 0) w += kSerial;
  v.word.store(w, std::memory_order_release);  // pairs with the load in wait_for_visits()
}
}  // namespace visit

class Visit {
 public:
  Visit() noexcept : v_(*(visit::mine ? visit::mine : visit::enroll())) { visit::enter(v_); }
  ~Visit() { visit::leave(v_); }
  Visit(const Visit &) = delete;
  Visit &operator=(const Visit &) = delete;

 private:
  Visitor &v_;
};

// Around what may wait, or belongs to the program, within a call: the thread visits nothing meanwhile. What it has found
// may be gone afterwards unless something else keeps it.
class Outside {
 public:
  Outside() noexcept;
  ~Outside();
  Outside(const Outside &) = delete;
  Outside &operator=(const Outside &) = delete;

 private:
  uint64_t depth_;
};

// For torque_wake(), which signal handlers may call.
class SignalVisit {
 public:
  SignalVisit() noexcept;
  ~SignalVisit();
  SignalVisit(const SignalVisit &) = delete;
  SignalVisit &operator=(const SignalVisit &) = delete;

 private:
  Visitor *v_;
};

// Returns when every visit of another thread that was under way is over. Not to be called with a lock held that a visit
// may take.
void wait_for_visits() noexcept;

// In a forked child the other threads do not exist, nor do their visits.
void lock_visits_for_fork() noexcept;
void unlock_visits_after_fork(bool child) noexcept;

}  // namespace torque
