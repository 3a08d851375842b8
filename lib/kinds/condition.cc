// SPDX-License-Identifier: BSD-3-Clause
#include "kinds/condition.hh"

#include "base/futex.hh"

namespace torque {

namespace {
constinit Mutex points_lock;
constinit List<WaitPoint> points;  // under points_lock
}  // namespace

// The waiter may return as soon as it sees the word; the wake-up that follows finds it, or nobody.
void WaitPoint::wake(ThreadWaiter &w, ThreadWaiter::Why why) noexcept {
  tsan::gives(&w);
  w.why.store(why, std::memory_order_release);  // pairs with the load in wait()
  futex_wake(w.why);
}

void WaitPoint::unlist(SourceWaiter &w) noexcept {
  if (w.in == SourceWaiter::In::idle) idle_.unlink(w);
  if (w.in == SourceWaiter::In::busy) busy_.unlink(w);
  w.in = SourceWaiter::In::none;
}

void WaitPoint::give(SourceWaiter &w, uint64_t signals) noexcept {
  unlist(w);
  w.signals += signals;
  w.in = SourceWaiter::In::busy;
  busy_.push(w);
  (void)activate(w.handle, TORQUE_TRIGGER);
}

void WaitPoint::signal_locked() noexcept {
  ThreadWaiter *t = threads_.front();
  SourceWaiter *s = idle_.front();
  if (t && (!s || t->ticket < s->ticket)) {
    threads_.unlink(*t);
    wake(*t, ThreadWaiter::signalled);
    return;
  }
  if (!s) s = busy_.front();
  if (s) give(*s, 1);
  else if (counting) ++kept_;
}

void WaitPoint::broadcast() noexcept {
  HandingLock lock(lock_);
  while (ThreadWaiter *t = threads_.pop()) wake(*t, ThreadWaiter::signalled);
  for (SourceWaiter *w = busy_.front(); w; w = w->next) {
    ++w->signals;
    (void)activate(w->handle, TORQUE_TRIGGER);
  }
  while (SourceWaiter *w = idle_.front()) give(*w, 1);
}

namespace {

torque_err error_of(const ThreadWaiter &w) noexcept {
  switch (w.why.load(std::memory_order_relaxed)) {
    case ThreadWaiter::signalled: return TORQUE_ERR_NONE;
    case ThreadWaiter::removed: return TORQUE_ERR_STALE;
    case ThreadWaiter::stopped: return TORQUE_ERR_STOPPED;
    default: return TORQUE_ERR_SYSCALL + ETIMEDOUT;
  }
}

}  // namespace

// False: it need not wait.
bool WaitPoint::queue(ThreadWaiter &w) noexcept {
  HandingLock lock(lock_);
  auto why = ThreadWaiter::waits;
  if (context_.stopping.load(std::memory_order_seq_cst)) why = ThreadWaiter::stopped;
  else if (ended_) why = ThreadWaiter::removed;
  else if (kept_ > 0) why = ThreadWaiter::signalled;
  if (why == ThreadWaiter::signalled) --kept_;
  w.why.store(why, std::memory_order_relaxed);
  if (why != ThreadWaiter::waits) return false;
  w.ticket = ++tickets_;
  threads_.push(w);
  return true;
}

void WaitPoint::release_threads(ThreadWaiter::Why why) noexcept {
  HandingLock lock(lock_);
  while (ThreadWaiter *t = threads_.pop()) wake(*t, why);
}

void WaitPoint::adopt() noexcept {
  HandingLock lock(lock_);
  if (children_++ == 0) hold_too(*find_slot(index_of(parent)));
}

void WaitPoint::disown() noexcept {
  {
    HandingLock lock(lock_);
    if (--children_ != 0) return;
  }
  let_go(*find_slot(index_of(parent)));
}

torque_err WaitPoint::wait(pthread_mutex_t *mutex, uint64_t timeout_ns) noexcept {
  ThreadWaiter w;
  if (!queue(w)) {
    disown();
    return error_of(w);
  }
  const Outside outside;  // it sleeps, and takes the program's lock; the source stays until it is disowned
  const uint64_t until = timeout_ns == kNever ? kNever : add_ns(monotonic_ns(), timeout_ns);
  const int e = mutex ? pthread_mutex_unlock(mutex) : 0;
  if (!e) {
    while (w.why.load(std::memory_order_acquire) == ThreadWaiter::waits && futex_wait(w.why, ThreadWaiter::waits, until)) {
    }
  }
  if (w.why.load(std::memory_order_acquire) == ThreadWaiter::waits) {
    HandingLock lock(lock_);
    if (w.why.load(std::memory_order_relaxed) == ThreadWaiter::waits) threads_.unlink(w);
  }
  tsan::takes(&w);  // from who has signalled
  const torque_err err = error_of(w);
  if (e && !err) signal();  // it was not waiting: for somebody else
  {
    const Visit visit;
    disown();  // before the mutex: whoever has it may be waiting for that
  }
  if (e) return err_of_errno(e);
  if (mutex) pthread_mutex_lock(mutex);
  return err;
}

torque_err WaitPoint::enlist(SourceWaiter &w) noexcept {
  HandingLock lock(lock_);
  if (ended_) return TORQUE_ERR_STALE;
  if (kept_ > 0) {
    give(w, std::exchange(kept_, 0));
  } else {
    w.ticket = ++tickets_;
    w.in = SourceWaiter::In::idle;
    idle_.push(w);
  }
  return TORQUE_ERR_NONE;
}

void WaitPoint::withdraw(SourceWaiter &w) noexcept {
  HandingLock lock(lock_);
  unlist(w);
  if (ended_) return;
  while (w.signals > 0) {
    --w.signals;
    signal_locked();
  }
}

uint64_t WaitPoint::take_signals(SourceWaiter &w) noexcept {
  HandingLock lock(lock_);
  return std::exchange(w.signals, 0);
}

void WaitPoint::put_back(SourceWaiter &w, uint64_t signals) noexcept {
  HandingLock lock(lock_);
  w.signals += signals;
}

void WaitPoint::wait_again(SourceWaiter &w) noexcept {
  HandingLock lock(lock_);
  if (w.in != SourceWaiter::In::busy || w.signals > 0) return;  // ended, or it will be called once more
  unlist(w);
  w.ticket = ++tickets_;
  w.in = SourceWaiter::In::idle;
  idle_.push(w);
}

void WaitPoint::end(uint32_t reason) noexcept {
  const auto why = reason == TORQUE_END_STOPPED ? ThreadWaiter::stopped : ThreadWaiter::removed;
  for (;;) {
    uint64_t handle;
    {
      HandingLock lock(lock_);
      ended_ = true;
      while (ThreadWaiter *t = threads_.pop()) wake(*t, why);
      SourceWaiter *w = idle_.front() ? idle_.front() : busy_.front();
      if (!w) return;
      handle = w->handle;
      unlist(*w);
    }
    retire(handle, reason);
  }
}

torque_err make_condition(Context &context, bool counting, uint64_t *ret) noexcept {
  Slot *s;
  if (const torque_err err = create(context, Kind::condition, TORQUE_PLACE_DEFAULT, &s)) return err;
  const uint64_t handle = handle_of(*s);
  auto *p = context.alloc.make<WaitPoint>(context, *s, counting);
  if (!p) {
    retire(handle, TORQUE_END_REMOVED);
    return TORQUE_ERR_RESOURCE;
  }
  cold_of(*s).object = p;
  {
    Lock lock(points_lock);
    points.push(*p);
  }
  arm_word(*s, generation_of(handle));
  *ret = handle;
  return TORQUE_ERR_NONE;
}

void end_condition(const Snapshot &v, uint64_t) noexcept {
  const uint32_t reason = word::reason(v.slot->word.load(std::memory_order_acquire));
  if (auto *p = static_cast<WaitPoint *>(cold_of(*v.slot).object)) p->end(reason);
}

void free_condition(Context &context, Slot &s, uint32_t) noexcept {
  auto *p = static_cast<WaitPoint *>(cold_of(s).object);
  if (!p) return;
  {
    Lock lock(points_lock);
    points.unlink(*p);
  }
  context.alloc.destroy(p);
}

bool has_waiters(Slot &s) noexcept {
  auto *p = static_cast<WaitPoint *>(cold_of(s).object);
  return p && p->has_children();
}

torque_err make_waiter(const Snapshot &v, torque_condition_fn *fn, void *arg, uint64_t *ret) noexcept {
  Context &context = v.domain->context;
  Slot *s;
  if (const torque_err err = create(context, Kind::waiter, TORQUE_PLACE_DEFAULT, &s)) return err;
  const uint64_t handle = handle_of(*s);
  auto *w = context.alloc.make<SourceWaiter>(SourceWaiter{.point = &point_of(*v.slot), .handle = handle});
  if (!w) {
    retire(handle, TORQUE_END_REMOVED);
    return TORQUE_ERR_RESOURCE;
  }
  point_of(*v.slot).adopt();
  s->fn = reinterpret_cast<Callback>(fn);
  s->arg.set(arg);
  cold_of(*s).object = w;
  *ret = handle;
  return TORQUE_ERR_NONE;
}

torque_err start_waiter(Context &, Slot &s, uint64_t handle) noexcept {
  auto &w = *static_cast<SourceWaiter *>(cold_of(s).object);
  Snapshot v;
  if (!hold(handle, &v)) return TORQUE_ERR_STALE;
  torque_err err = arm_word(s, generation_of(handle)) ? TORQUE_ERR_NONE : TORQUE_ERR_STATE;
  const bool armed = !err;
  if (armed) err = w.point->enlist(w);
  const bool ended = !look(handle, &v);
  if (armed && !err && ended) w.point->withdraw(w);  // by another thread, which may not have found it there
  let_go(s);
  if (armed && err) disarm_word(s, generation_of(handle));
  return err;
}

void end_waiter(const Snapshot &v, uint64_t) noexcept {
  auto *w = static_cast<SourceWaiter *>(cold_of(*v.slot).object);
  if (w) w->point->withdraw(*w);
}

void free_waiter(Context &context, Slot &s, uint32_t) noexcept {
  auto *w = static_cast<SourceWaiter *>(cold_of(s).object);
  if (!w) return;
  WaitPoint &point = *w->point;
  context.alloc.destroy(w);
  point.disown();
}

void leave_waiter(Slot &s, uint64_t) noexcept {
  auto *w = static_cast<SourceWaiter *>(cold_of(s).object);
  if (!w) return;
  w->point->wait_again(*w);
}

uint64_t condition_of(Slot &s) noexcept {
  const auto *w = static_cast<SourceWaiter *>(cold_of(s).object);
  return w ? w->point->parent : 0;
}

bool run_waiter(Turn &t, Slot &s, uint64_t handle, uint32_t) noexcept {
  auto &w = *static_cast<SourceWaiter *>(cold_of(s).object);
  const uint64_t signals = w.point->take_signals(w);
  if (signals) reinterpret_cast<torque_condition_fn *>(s.fn)(handle, signals, s.arg.look());
  if (t.postpone) w.point->put_back(w, signals);
  else w.point->wait_again(w);
  return false;
}

torque_err wait_for_condition(uint64_t handle, pthread_mutex_t *mutex, uint64_t timeout_ns) noexcept {
  Snapshot v;
  if (!look(handle, &v)) return TORQUE_ERR_STALE;
  if (v.kind != Kind::condition) return TORQUE_ERR_KIND;
  Context &context = v.domain->context;
  if (context.foreign()) return TORQUE_ERR_FORKED;
  if (!hold(handle, &v)) return TORQUE_ERR_STALE;
  WaitPoint &point = point_of(*v.slot);
  point.adopt();
  let_go(*v.slot);  // the others may be many: they hold it together
  return point.wait(mutex, timeout_ns);
}

void release_threads_of(const Context &context) noexcept {
  Lock lock(points_lock);
  for (WaitPoint *p = points.front(); p; p = p->next) {
    if (&p->context_ == &context) p->release_threads(ThreadWaiter::stopped);
  }
}

// Their share of the hold goes with them.
void WaitPoint::forget_threads() noexcept {
  uint64_t gone = 0;
  while (threads_.pop()) ++gone;
  children_ -= gone;
  if (gone && children_ == 0) find_slot(index_of(parent))->word.fetch_sub(word::kRunningOne, std::memory_order_relaxed);
}

void lock_conditions_for_fork() noexcept NO_THREAD_SAFETY_ANALYSIS {
  points_lock.lock();
  for (WaitPoint *p = points.front(); p; p = p->next) p->lock_for_fork().lock();
}

void unlock_conditions_after_fork(bool child) noexcept NO_THREAD_SAFETY_ANALYSIS {
  for (WaitPoint *p = points.front(); p; p = p->next) {
    if (child) p->forget_threads();
    p->lock_for_fork().unlock();
  }
  points_lock.unlock();
}

}  // namespace torque
