// SPDX-License-Identifier: BSD-3-Clause
#include "source/domain.hh"

#include "source/context.hh"

namespace torque {

Domain::Domain(Context &owner, const Alloc &alloc, uint32_t number, uint32_t worker_count, bool driven) noexcept
    : context(owner), index(number), workers(worker_count), alloc_(alloc), slots(alloc, *this),
      timers(alloc, worker_count > 1 || (driven && owner.options.poll_deadline)), calls(alloc),
      posted(alloc, owner.options.post_limit), sleepers_(driven ? 1 : 0) {}

Domain::~Domain() {
  if (queue_) free_queue(alloc_, queue_);
}

torque_err Domain::open() noexcept {
  torque_err err = TORQUE_ERR_NONE;
  queue_ = make_queue(alloc_, &err);
  return queue_ ? timers.open(*queue_) : err;
}

torque_err Domain::reopen() noexcept {
  torque_err err = queue_->reopen(true);
  horizon.lose_mark();
  if (!err) err = timers.open(*queue_);
  poked_.store(false, std::memory_order_relaxed);  // that wake-up stayed with the parent
  if (!err && has_work()) poke();
  return err;
}

void Domain::wake() noexcept {
  outside.add_shared(Counter::wakeups);
  queue_->wake();
}

void Domain::count(Counter c, uint64_t n) noexcept {
  Turn *t = current_turn();
  if (t && &t->domain == this) t->counters.add(c, n);
  else outside.add_shared(c, n);
}

void Domain::abandoned() noexcept {
  sleepers_.store(1, std::memory_order_relaxed);
  posted.abandoned();
  timers.abandoned();
}

void Domain::lock_for_fork() noexcept {
  slots.lock_for_fork().lock();
  timers.lock_for_fork().lock();
  horizon.lock_for_fork().lock();
  postponed.lock.lock();
  left.lock.lock();
  posted.lock_for_fork().lock();
  idle.lock_for_fork().lock();
  calls.lock_for_fork().lock();
}

void Domain::unlock_after_fork() noexcept {
  calls.lock_for_fork().unlock();
  idle.lock_for_fork().unlock();
  posted.lock_for_fork().unlock();
  left.lock.unlock();
  postponed.lock.unlock();
  horizon.lock_for_fork().unlock();
  timers.lock_for_fork().unlock();
  slots.lock_for_fork().unlock();
}

}  // namespace torque
