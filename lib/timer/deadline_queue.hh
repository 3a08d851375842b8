// SPDX-License-Identifier: BSD-3-Clause
// Deadlines by number and the wheel that turns them, for one thread.
//
// Among a million deadlines a call costs its cache misses. They overlap with those of the next calls, as far as the
// processor looks ahead: so what is inline here is short, and the rest is not inline.
#pragma once

#include "timer/deadline_table.hh"
#include "timer/wheel.hh"

namespace torque::timer {

class DeadlineQueue {
 public:
  explicit DeadlineQueue(const Alloc &alloc) noexcept : table_(alloc), wheel_(alloc, Find{&table_}) {}
  DeadlineQueue(const DeadlineQueue &) = delete;
  DeadlineQueue &operator=(const DeadlineQueue &) = delete;

  // Returns: the id, or 0 when there is no memory or no number left.
  [[nodiscard]] uint32_t add(uint64_t when, void *arg) noexcept {
    const uint32_t id = table_.take();
    if (!id) [[unlikely]]
      return 0;
    Record &r = table_.at(id);
    r.arg = arg;
    if (!wheel_.set(id, r.deadline, when)) [[unlikely]] {
      table_.give(id, r);
      return 0;
    }
    if (when == kNever) [[unlikely]]
      table_.keep(r);
    return id;
  }
  // Null when nobody has that id.
  Record *find(uint32_t id) const noexcept { return table_.find(id); }
  // Returns: false when there is no memory; then the old time stands.
  [[nodiscard]] bool set(uint32_t id, Record &r, uint64_t when) noexcept {
    if (!r.deadline.is_set() || when == kNever) [[unlikely]]
      return set_or_unset(id, r, when);
    return wheel_.set(id, r.deadline, when);
  }
  void remove(uint32_t id, Record &r) noexcept {
    wheel_.cancel(r.deadline);  // its carrier waits for the next one who gets the id
    table_.give(id, r);
  }

  // Takes the earliest that is due by now. Returns: its id, 0 when none is due.
  uint32_t pop(uint64_t now, void **ret_arg, uint64_t *ret_when) noexcept {
    if (now < latest_ && latest_ - now > kBackwards) [[unlikely]]
      turn_back(now);
    latest_ = now;
    uint32_t id;
    if (!wheel_.pop(now, &id, ret_when)) return 0;
    Record &r = table_.at(id);
    table_.keep(r);
    *ret_arg = r.arg;
    return id;
  }
  uint64_t next() noexcept { return wheel_.next(); }
  size_t count() const noexcept { return wheel_.armed(); }
  // Where the wheel stands: what is set later than this costs the same among any number. For tests.
  uint64_t covered() const noexcept { return wheel_.covered(); }

  // Returns: false when there is no memory; nothing has changed then.
  [[nodiscard]] bool shift(int64_t by) noexcept {
    const uint64_t from = shifted(latest_, by);
    if (!rebuild(from, [by](uint64_t at) { return shifted(at, by); })) return false;
    latest_ = from;
    return true;
  }
  // Calls f(id, record) for each that is set; f may call anything.
  template <class F>
  void each(F f) noexcept {
    for (uint32_t id = 1; id <= table_.made(); ++id)
      if (Record &r = table_.at(id); r.deadline.is_set()) f(id, r);
  }

 private:
  struct Find {
    const DeadlineTable *table;
    Deadline *operator()(uint32_t id) const noexcept { return &table->at(id).deadline; }
    [[gnu::always_inline]] void prefetch(uint32_t id) const noexcept { __builtin_prefetch(&table->at(id), 1); }
    [[gnu::always_inline]] void prefetch_owner(uint32_t id) const noexcept { __builtin_prefetch(table->at(id).arg, 1); }
  };

  static constexpr uint64_t kBackwards = kSecond;  // less is not worth starting over

  static uint64_t shifted(uint64_t at, int64_t by) noexcept {
    const uint64_t distance = by < 0 ? uint64_t{0} - static_cast<uint64_t>(by) : static_cast<uint64_t>(by);
    if (by < 0) return at > distance ? at - distance : 0;
    return at < kNever - 1 - distance ? at + distance : kNever - 1;
  }

  [[gnu::noinline]] bool set_or_unset(uint32_t id, Record &r, uint64_t when) noexcept {
    if (!wheel_.set(id, r.deadline, when)) return false;
    if (when == kNever) table_.keep(r);
    return true;
  }

  // Every deadline that the wheel may have an entry for is placed anew.
  template <class Map>
  [[nodiscard, gnu::noinline]] bool rebuild(uint64_t now, Map map) noexcept {
    const auto each_deadline = [this](auto f) {
      for (uint32_t id = 1; id <= table_.made(); ++id) f(id, table_.at(id).deadline);
    };
    return wheel_.rebuild(now, each_deadline, map);
  }
  // The wheel only turns forwards. When the clock was set back it would go on in exact order, but with all that is set
  // from then on in one heap; so it starts over, where there is memory for that.
  [[gnu::noinline]] void turn_back(uint64_t now) noexcept {
    static_cast<void>(rebuild(now, [](uint64_t at) { return at; }));
  }

  DeadlineTable table_;
  uint64_t latest_ = 0;  // time of the last pop()
  Wheel<Find> wheel_;
};

}  // namespace torque::timer
