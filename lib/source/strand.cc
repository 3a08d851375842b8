// SPDX-License-Identifier: BSD-3-Clause
#include "source/strand.hh"

#include "base/tsan.hh"
#include "source/source.hh"

namespace torque {

namespace {
constexpr uint32_t kBatch = 16;  // before a strand lets the other sources of its worker run
}

Strand *Strand::make(Context &context, torque_err *err) noexcept {
  Slot *s;
  *err = create(context, Kind::strand, TORQUE_PLACE_DEFAULT, &s);
  if (*err) return nullptr;
  void *p = context.alloc.get(sizeof(Strand), alignof(Strand));
  const uint64_t handle = handle_of(*s);
  if (!p) {
    retire(handle, TORQUE_END_REMOVED);
    *err = TORQUE_ERR_RESOURCE;
    return nullptr;
  }
  auto *strand = new (p) Strand(context);
  strand->runner_ = handle;
  cold_of(*s).object = strand;
  arm_word(*s, generation_of(handle));
  return strand;
}

void Strand::destroy() noexcept {
  const Alloc alloc = alloc_;
  alloc.destroy(this);
}

// With the end of the runner, and so before its context is freed.
void free_strand(Context &, Slot &s, uint32_t) noexcept {
  auto *strand = static_cast<Strand *>(cold_of(s).object);
  if (!strand) return;
  strand->context_.store(nullptr, std::memory_order_release);
  if (strand->refs_.fetch_sub(1, std::memory_order_acq_rel) == 1) strand->destroy();
}

// The runner's reference is given up when it has been finished: not while it runs what is queued.
void Strand::unref() noexcept {
  const uint64_t runner = runner_;
  const uint64_t before = refs_.fetch_sub(1, std::memory_order_acq_rel);
  if (before == 1) destroy();
  else if (before == 2) retire(runner, TORQUE_END_REMOVED);  // has ended already where the context has
}

torque_err Strand::post(torque_post_fn *fn, void *arg) noexcept {
  auto *node = static_cast<Posted *>(alloc_.get(sizeof(Posted), alignof(Posted)));
  if (!node) return TORQUE_ERR_RESOURCE;
  *node = {fn, arg, nullptr};
  bool run_it;
  tsan::gives(this);
  {
    Lock lock(lock_);
    if (closed_) {
      alloc_.put(node, sizeof *node);
      return TORQUE_ERR_STOPPED;
    }
    if (waiting_ >= limit_) {
      alloc_.put(node, sizeof *node);
      return TORQUE_ERR_FULL;
    }
    ++waiting_;
    (last_posted_ ? last_posted_->next : first_posted_) = node;
    last_posted_ = node;
    run_it = !busy_;
    busy_ = true;
    ref();  // the function's own
  }
  if (run_it) (void)activate(runner_, TORQUE_TRIGGER);
  return TORQUE_ERR_NONE;
}

bool Strand::enter(Slot &s, uint32_t events) noexcept {
  Lock lock(lock_);
  if (!busy_) return busy_ = true;
  s.strand_events = events;  // not 0: it is queued
  queue_.push(s);
  return false;
}

void Strand::serve_first(Turn &t, Slot &s, uint64_t handle, uint32_t events) noexcept {
  ref();  // the source may end, and with it the last other reference
  Strand *outer = std::exchange(t.strand, this);
  tsan::takes(this);
  serve_held(t, s, handle, events);
  tsan::gives(this);
  t.strand = outer;
  if (serve_queue(t, t.strand_work < kStrandsARound ? kBatch : 0)) (void)activate(runner_, TORQUE_TRIGGER);
  unref();
}

void Strand::revive() noexcept {
  for (const Turn *t = current_turn(); t; t = t->outer) {
    if (t->strand == this) return;  // this thread does
  }
  Lock lock(lock_);
  if (busy_) (void)activate(runner_, TORQUE_TRIGGER);
}

bool Strand::withdraw(Slot &s) noexcept {
  Lock lock(lock_);
  if (s.strand_events == 0) return false;
  queue_.unlink(s);
  s.strand_events = 0;
  return true;
}

Strand::Posted *Strand::take_posted() noexcept {
  Posted *p = first_posted_;
  if (!p) return nullptr;
  first_posted_ = p->next;
  --waiting_;
  if (!first_posted_) last_posted_ = nullptr;
  return p;
}

void Strand::take(Slot **ret_slot, uint32_t *ret_events, Posted **ret_posted) noexcept {
  *ret_slot = nullptr;
  *ret_posted = nullptr;
  Lock lock(lock_);
  posted_turn_ = !posted_turn_;
  if (first_posted_ && (posted_turn_ || queue_.empty())) {
    *ret_posted = take_posted();
  } else if (Slot *s = queue_.front()) {
    queue_.unlink(*s);
    *ret_events = std::exchange(s->strand_events, 0);
    *ret_slot = s;
  } else {
    busy_ = false;
  }
}

void Strand::run(Turn &t, Posted *p) noexcept {
  const Posted item = *p;
  alloc_.put(p, sizeof *p);
  {
    const Watched watched(t.beat, 0, reinterpret_cast<Callback>(item.fn));
    item.fn(item.arg);
  }
  t.counters.add(Counter::posted);
  unref();
}

// After a break or a stop nothing else starts; what is queued stays so.
bool Strand::serve_queue(Turn &t, uint32_t limit) noexcept {
  Strand *outer = std::exchange(t.strand, this);
  bool more = true;
  for (uint32_t i = 0; i < limit && !halted(t); ++i, ++t.strand_work) {
    Slot *s;
    Posted *p;
    uint32_t events;
    take(&s, &events, &p);
    tsan::takes(this);
    if (p) {
      run(t, p);
    } else if (s) {
      serve_held(t, *s, handle_of(*s), events);
    } else {
      more = false;
      break;
    }
    tsan::gives(this);
  }
  t.strand = outer;
  return more;
}

void Strand::close(Turn &t) noexcept {
  const auto next = [this] {
    Lock lock(lock_);
    closed_ = true;
    busy_ = true;
    return take_posted();
  };
  Strand *outer = std::exchange(t.strand, this);
  while (Posted *p = next()) {
    tsan::takes(this);
    run(t, p);
  }
  t.strand = outer;
}

void revive_strand(Slot &s) noexcept {
  if (cold_of(s).object) static_cast<Strand *>(cold_of(s).object)->revive();
}

bool run_strand(Turn &t, Slot &s, uint64_t, uint32_t) noexcept {
  return static_cast<Strand *>(cold_of(s).object)->serve_queue(t, t.strand_work < kStrandsARound ? kBatch : 1);
}

}  // namespace torque
