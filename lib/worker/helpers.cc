// SPDX-License-Identifier: BSD-3-Clause
#include "worker/helpers.hh"

#include <sched.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <cstring>
#include <new>

#include "base/futex.hh"
#include "worker/team.hh"

namespace torque {

namespace {

// Many more wait for disks and networks than compute; beyond that a disk gains nothing, and memory is lost.
constexpr uint32_t kPerCpu = 4;
constexpr uint32_t kFewest = 8;
constexpr uint32_t kMost = 64;

[[gnu::tls_model("initial-exec")]] constinit thread_local const Context *helped = nullptr;

// Calls f with the CPUs that the process may use (as its first thread may: the calling one may be a pinned worker).
template <class F>
bool with_process_cpus(const Alloc &alloc, F f) noexcept {
  for (size_t bytes = sizeof(cpu_set_t); bytes <= size_t{1} << 17; bytes *= 2) {
    auto *set = static_cast<cpu_set_t *>(alloc.get(bytes));
    if (!set) return false;
    std::memset(set, 0, bytes);
    const bool known = ::sched_getaffinity(::getpid(), bytes, set) == 0;
    const bool longer = !known && errno == EINVAL;
    const bool done = known && f(bytes, set);
    alloc.put(set, bytes);
    if (!longer) return done;
  }
  return false;
}

uint32_t helpers_for_cpus(const Alloc &alloc) noexcept {
  int cpus = 0;
  with_process_cpus(alloc, [&](size_t bytes, const cpu_set_t *set) { return (cpus = CPU_COUNT_S(bytes, set)) > 0; });
  return std::clamp(static_cast<uint32_t>(cpus) * kPerCpu, kFewest, kMost);
}

}  // namespace

bool Helpers::inside(const Context *context) noexcept { return helped && (!context || helped == context); }

Helpers::~Helpers() { context_.alloc.put(helpers_, (max_ + kReserve) * sizeof(Helper)); }

torque_err Helpers::prepare() noexcept {
  if (helpers_) return TORQUE_ERR_NONE;
  const uint32_t max = context_.options.helpers_max ? context_.options.helpers_max : helpers_for_cpus(context_.alloc);
  const uint32_t all = max + kReserve;
  helpers_ = static_cast<Helper *>(context_.alloc.get(all * sizeof(Helper), alignof(Helper)));
  if (!helpers_) return TORQUE_ERR_RESOURCE;
  max_ = max;
  for (uint32_t i = 0; i < all; ++i) new (&helpers_[i]) Helper{this, i, {0}, nullptr, false};
  return TORQUE_ERR_NONE;
}

// Under the lock: so that nobody counts on a helper that then cannot be made.
torque_err Helpers::start_one() noexcept {
  Helper *h = helpers_;
  while (h->stands) ++h;
  remember_spawn_mask();
  pthread_attr_t attr;
  pthread_attr_init(&attr);
  if (context_.options.stack_size) (void)pthread_attr_setstacksize(&attr, context_.options.stack_size);
  sigset_t before;
  block_signals(&before);  // inherited
  pthread_t thread;
  const int e = pthread_create(&thread, &attr, entry, h);
  pthread_sigmask(SIG_SETMASK, &before, nullptr);
  pthread_attr_destroy(&attr);
  if (e) return err_of_errno(e);
  h->stands = true;
  ++standing_;
  return TORQUE_ERR_NONE;
}

Helpers::Helper *Helpers::take_idle() noexcept {
  Helper *h = idle_;
  if (!h) return nullptr;
  idle_ = h->below;
  h->woken.store(1, std::memory_order_relaxed);
  return h;
}

bool Helpers::may_start(const Job &j) const noexcept {
  return standing_ < max_ || (!j.fn && standing_ - working_ < kReserve);
}

// Whose turn it is; null: of none that may begin.
List<Job> *Helpers::next_queue() noexcept {
  const bool work = !work_.empty() && working_ < max_;
  if (files_.empty()) return work ? &work_ : nullptr;
  return work && work_.front()->order < files_.front()->order ? &work_ : &files_;
}

torque_err Helpers::submit(Job &j) noexcept {
  Helper *idle;
  {
    Lock lock(lock_);
    if (closed_) return TORQUE_ERR_STOPPED;
    if (const torque_err err = prepare()) return err;
    if (!idle_ && may_start(j)) {
      const torque_err err = start_one();
      if (err && standing_ == 0) return err;
    }
    find_slot(index_of(j.handle))->domain.get()->jobs.fetch_add(1, std::memory_order_relaxed);
    j.where = Job::Where::queued;
    j.order = ++orders_;
    queue_of(j).push(j);
    idle = next_queue() ? take_idle() : nullptr;
  }
  if (idle) futex_wake(idle->woken);
  return TORQUE_ERR_NONE;
}

bool Helpers::cancel(Job &j) noexcept {
  Lock lock(lock_);
  if (j.where != Job::Where::queued) return false;
  queue_of(j).unlink(j);
  complete(j, kCancelled, 0);
  return true;
}

void *Helpers::entry(void *helper) noexcept {
  auto *h = static_cast<Helper *>(helper);
  h->pool->run(*h);
  return nullptr;
}

void Helpers::settle_in(const Helper &h) const noexcept {
  char name[16];
  std::snprintf(name, sizeof name, "%.10s+%u", context_.options.name, h.number % 10000);
  pthread_setname_np(pthread_self(), name);
  move_in(context_);
}

void Helpers::move_in(const Context &context) noexcept {
  helped = &context;
  const auto move = [](size_t bytes, const cpu_set_t *set) { return ::sched_setaffinity(0, bytes, set) == 0; };
  if (!with_process_cpus(context.alloc, move)) {
    context.log.say(TORQUE_LOG_WARNING, "a thread could not be moved to the CPUs of the process");
  }
}

void Helpers::run(Helper &h) noexcept {
  settle_in(h);
  context_.options.threads.began(TORQUE_THREAD_HELPER, h.number);
  lock_.lock();
  for (;;) {
    List<Job> *queue = context_.stopping.load(std::memory_order_relaxed) ? nullptr : next_queue();
    if (queue) {
      Job *j = queue->pop();
      const bool work = queue == &work_;
      j->where = Job::Where::running;
      working_ += work;
      lock_.unlock();
      tsan::takes(find_slot(index_of(j->handle)));
      j->work(*j);
      lock_.lock();
      working_ -= work;
      complete(*j, j->err, j->result);
    } else if (closed_ || !sleep(h)) {
      break;
    }
  }
  lock_.unlock();
  context_.options.threads.ended(TORQUE_THREAD_HELPER, h.number);
  leave(h);
}

// False: it has had nothing to do for long enough.
bool Helpers::sleep(Helper &h) noexcept {
  h.woken.store(0, std::memory_order_relaxed);
  h.below = idle_;
  idle_ = &h;
  const uint64_t until = add_ns(monotonic_ns(), context_.options.helper_idle_ns);
  lock_.unlock();
  while (h.woken.load(std::memory_order_relaxed) == 0 && futex_wait(h.woken, 0, until)) {
  }
  lock_.lock();
  if (h.woken.load(std::memory_order_relaxed)) return true;
  Helper **at = &idle_;
  while (*at != &h) at = &(*at)->below;
  *at = h.below;
  return next_queue() && !context_.stopping.load(std::memory_order_relaxed);
}

// Each joins the one that went before it, so that one ended thread is left at most.
void Helpers::leave(Helper &h) noexcept {
  pthread_t before;
  bool any;
  {
    Lock lock(lock_);
    before = gone_;
    any = any_gone_;
    gone_ = pthread_self();
    any_gone_ = true;
    h.stands = false;
    --standing_;
    left_.notify_all();
  }
  if (any) pthread_join(before, nullptr);
}

void Helpers::stop() noexcept {
  Lock lock(lock_);
  closed_ = true;
  for (List<Job> *queue : {&work_, &files_}) {
    while (Job *j = queue->pop()) complete(*j, kCancelled, 0);
  }
  while (Helper *h = take_idle()) futex_wake(h->woken);
  while (standing_ != 0) left_.wait(lock_);
  if (!any_gone_) return;
  any_gone_ = false;
  const pthread_t last = gone_;
  lock_.unlock();
  pthread_join(last, nullptr);
  lock_.lock();
}

void Helpers::forget() noexcept {
  standing_ = 0;
  idle_ = nullptr;
  any_gone_ = false;
  work_.clear();
  files_.clear();
  working_ = 0;
  for (uint32_t i = 0; helpers_ && i < max_ + kReserve; ++i) helpers_[i].stands = false;
  helped = nullptr;
}

}  // namespace torque
