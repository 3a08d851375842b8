// SPDX-License-Identifier: BSD-3-Clause
#include "source/context.hh"

#include <cstdarg>
#include <cstdio>

#include "source/source.hh"

namespace torque {

namespace {
constinit std::atomic<uint32_t> next_home{0};
[[gnu::tls_model("initial-exec")]] constinit thread_local uint32_t home_of_thread = 0;  // 0: none yet
}  // namespace

constinit std::atomic<uint32_t> forks{0};
void note_fork() noexcept { forks.fetch_add(1, std::memory_order_relaxed); }

void Log::say(int32_t level, const char *format, ...) const noexcept {
  if (!fn) return;
  char text[256];
  va_list args;
  va_start(args, format);
  std::vsnprintf(text, sizeof text, format, args);
  va_end(args);
  fn(level, text, arg);
}

Context::~Context() {
  for (uint32_t i = 0; i < domain_count_; ++i) alloc.destroy(domains_[i]);
  alloc.put(domains_, domain_count_ * sizeof *domains_);
}

torque_err Context::open(uint32_t count, const uint32_t *sizes) noexcept {
  domains_ = static_cast<Domain **>(alloc.get(count * sizeof *domains_));
  if (!domains_) return TORQUE_ERR_RESOURCE;
  domain_count_ = count;
  for (uint32_t i = 0; i < count; ++i) domains_[i] = nullptr;
  for (uint32_t i = 0; i < count; ++i) {
    domains_[i] = alloc.make<Domain>(*this, alloc, i, sizes[i], options.driven);
    if (!domains_[i]) return TORQUE_ERR_RESOURCE;
    if (const torque_err err = domains_[i]->open()) return err;
  }
  return TORQUE_ERR_NONE;
}

torque_err Context::usable_after_fork() noexcept {
  if (options.driven || started.load(std::memory_order_acquire)) return TORQUE_ERR_FORKED;
  Lock lock(reinit_lock_);
  return foreign() ? reinit() : TORQUE_ERR_NONE;
}

torque_err Context::reinit() noexcept {
  for (uint32_t i = 0; i < domain_count_; ++i) domains_[i]->slots.forget_lost(finishing_here);
  each_source([](uint64_t s) { end_setup(*find_slot(index_of(s)), generation_of(s)); });  // a thread of the parent did
  for (uint32_t i = 0; i < domain_count_; ++i) {
    if (const torque_err err = domains_[i]->reopen()) return err;
  }
  revived_ = true;
  born_in_.store(fork_generation(), std::memory_order_relaxed);
  return TORQUE_ERR_NONE;
}

// Those that are over are counted first. If as many have begun afterwards none was left in between.
bool Context::any_stream() const noexcept {
  uint64_t over = 0, begun = 0;
  for (uint32_t i = 0; i < domain_count_; ++i) over += domains_[i]->streams_over.load(std::memory_order_seq_cst);
  for (uint32_t i = 0; i < domain_count_; ++i) begun += domains_[i]->streams_begun.load(std::memory_order_seq_cst);
  return begun != over;
}

void Context::look_whether_drained() noexcept {
  if (!any_stream()) (void)activate(drain_source.load(std::memory_order_acquire), TORQUE_TRIGGER);
}

Domain *Context::pick(int32_t place) noexcept {
  if (place >= 0) return static_cast<uint32_t>(place) < domain_count_ ? domains_[place] : nullptr;
  Turn *t = current_turn();
  const bool inside = t && &t->context == this;
  if (inside && (place == TORQUE_PLACE_NEAR || (place == TORQUE_PLACE_DEFAULT && !t->spread))) return &t->domain;
  if (place < TORQUE_PLACE_FAR) return nullptr;
  if (domain_count_ == 1) return domains_[0];
  return domains_[fewest_.pick(domain_count_, [&](uint32_t i) { return domains_[i]->sources(); })];
}

void Context::one_fewer(Domain &d) noexcept {
  d.load.fetch_sub(1, std::memory_order_relaxed);
  if (domain_count_ > 1) fewest_.fell(d.index, d.sources());
}

Domain &Context::home() noexcept {
  Turn *t = current_turn();
  if (t && &t->context == this) return t->domain;
  if (domain_count_ == 1) return *domains_[0];
  if (home_of_thread == 0) home_of_thread = next_home.fetch_add(1, std::memory_order_relaxed) + 1;
  return *domains_[(home_of_thread - 1) % domain_count_];
}

}  // namespace torque
