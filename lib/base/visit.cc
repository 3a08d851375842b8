// SPDX-License-Identifier: BSD-3-Clause
#include "base/visit.hh"

#include <linux/membarrier.h>
#include <pthread.h>
#include <sched.h>
#include <sys/syscall.h>
#include <time.h>
#include <unistd.h>

#include <new>

#include "base/mutex.hh"

namespace torque {

constinit std::atomic<bool> visit::fenced{true};  // until membarrier(2) is known to be there
[[gnu::tls_model("initial-exec")]] constinit thread_local Visitor *visit::mine = nullptr;

namespace {

// The records of most programs' threads; those beyond come from the heap.
constexpr uint32_t kFirst = 64;
constinit Visitor first[kFirst];
constinit std::atomic<uint32_t> touched{0};  // of those: from here on none was ever taken. Grows before one is taken
constinit std::atomic<Visitor *> more{nullptr};  // pushed with a release, never taken out

// Visits by signal handlers of threads that have no record: with locked instructions.
constinit std::atomic<uint32_t> crowd{0};

constinit Mutex setup_lock;
constinit bool ready = false;         // under setup_lock
constinit bool keyed = false;         // under setup_lock
constinit pthread_key_t key = 0;      // constant once keyed

void thread_ends(void *visitor) {
  visit::mine = nullptr;  // a later destructor of this thread that calls enrols once more
  static_cast<Visitor *>(visitor)->taken.store(false, std::memory_order_release);
}

bool register_barrier() noexcept {
  return ::syscall(SYS_membarrier, MEMBARRIER_CMD_REGISTER_PRIVATE_EXPEDITED, 0, 0) == 0;
}

bool set_up() noexcept {
  Lock lock(setup_lock);
  if (ready) return keyed;
  keyed = pthread_key_create(&key, thread_ends) == 0;
  visit::fenced.store(!register_barrier(), std::memory_order_relaxed);
  ready = true;
  return keyed;
}

// In one order with the stores that take a context out of sight, and the loads in wait_for_visits(): who does not see
// this thread there has done that before, and is seen by its visits.
bool take(Visitor &v) noexcept {
  bool taken = false;
  return v.taken.compare_exchange_strong(taken, true, std::memory_order_seq_cst);
}

Visitor *take_free() noexcept {
  for (uint32_t i = 0; i < kFirst; ++i) {
    for (uint32_t n = touched.load(std::memory_order_relaxed); n <= i;) {
      if (touched.compare_exchange_weak(n, i + 1, std::memory_order_seq_cst)) break;
    }
    if (take(first[i])) return &first[i];
  }
  for (Visitor *v = more.load(std::memory_order_acquire); v; v = v->next) {
    if (take(*v)) return v;
  }
  return nullptr;
}

Visitor *make_one() noexcept {
  auto *v = new (std::nothrow) Visitor;
  if (!v) return nullptr;
  v->taken.store(true, std::memory_order_relaxed);
  v->next = more.load(std::memory_order_relaxed);
  while (!more.compare_exchange_weak(v->next, v, std::memory_order_release, std::memory_order_relaxed)) {
  }
  return v;
}

void pause() noexcept {
  const timespec a_while{0, 100000};
  ::nanosleep(&a_while, nullptr);
}

template <class F>
void each(F f) noexcept {
  const uint32_t n = touched.load(std::memory_order_seq_cst);
  for (uint32_t i = 0; i < n; ++i) f(first[i]);
  for (Visitor *v = more.load(std::memory_order_acquire); v; v = v->next) f(*v);
}

// Pairs with the release in visit::leave().
bool over(const Visitor &v, uint64_t seen) noexcept {
  const uint64_t now = v.word.load(std::memory_order_acquire);
  return (now & visit::kDepth) == 0 || now / visit::kSerial != seen / visit::kSerial;
}

template <class Over>
void wait_until(Over is_over) noexcept {
  for (uint32_t tries = 0; !is_over(); ++tries) {
    if (tries < 64) ::sched_yield();
    else pause();
  }
}

// Afterwards every other thread has passed a barrier. (One that takes a record from here on has, with the lock in it.)
void pass_barrier() noexcept {
  visit::fence();
  if (visit::fenced.load(std::memory_order_relaxed)) return;
  bool others = false;
  each([&](const Visitor &v) { others |= &v != visit::mine && v.taken.load(std::memory_order_seq_cst); });
  if (!others || ::syscall(SYS_membarrier, MEMBARRIER_CMD_PRIVATE_EXPEDITED, 0, 0) == 0) return;
  // A sandbox has taken the call away since. From now on visits have fences; what earlier ones have stored is seen by then.
  visit::fenced.store(true, std::memory_order_seq_cst);
  for (int i = 0; i < 20; ++i) pause();
}

}  // namespace

Visitor *visit::enroll() noexcept {
  const bool ends_are_told = set_up();
  Visitor *v;
  while (!(v = take_free()) && !(v = make_one())) pause();  // no memory: until there is some, or another thread ends
  if (ends_are_told) (void)pthread_setspecific(key, v);     // else the record stays this thread's, which costs 64 bytes
  return mine = v;
}

SignalVisit::SignalVisit() noexcept : v_(visit::mine) {
  if (v_) visit::enter(*v_);
  else crowd.fetch_add(1, std::memory_order_seq_cst);
}

SignalVisit::~SignalVisit() {
  if (v_) visit::leave(*v_);
  else crowd.fetch_sub(1, std::memory_order_release);
}

// The word's serial grows, so that who waits for the visit sees that it was interrupted.
Outside::Outside() noexcept : depth_(0) {
  Visitor *v = visit::mine;
  if (!v) return;
  const uint64_t w = v->word.load(std::memory_order_relaxed);
  depth_ = w & visit::kDepth;
  if (depth_) v->word.store(w - depth_ + visit::kSerial, std::memory_order_release);
}

Outside::~Outside() {
  if (!depth_) return;
  Visitor &v = *visit::mine;
  visit::enter(v);
  v.word.store(v.word.load(std::memory_order_relaxed) + depth_ - 1, std::memory_order_relaxed);
}

void wait_for_visits() noexcept {
  pass_barrier();
  each([](const Visitor &v) {
    if (&v == visit::mine) return;
    const uint64_t seen = v.word.load(std::memory_order_acquire);
    if (seen & visit::kDepth) wait_until([&] { return over(v, seen); });
  });
  wait_until([] { return crowd.load(std::memory_order_acquire) == 0; });
}

void lock_visits_for_fork() noexcept NO_THREAD_SAFETY_ANALYSIS { setup_lock.lock(); }

void unlock_visits_after_fork(bool child) noexcept NO_THREAD_SAFETY_ANALYSIS {
  const bool registered = ready && !visit::fenced.load(std::memory_order_relaxed);
  setup_lock.unlock();
  if (!child) return;
  if (registered && !register_barrier()) visit::fenced.store(true, std::memory_order_relaxed);
  crowd.store(0, std::memory_order_relaxed);
  each([](Visitor &v) {
    if (&v == visit::mine) return;
    v.word.store(0, std::memory_order_relaxed);
    v.taken.store(false, std::memory_order_relaxed);
  });
}

}  // namespace torque
