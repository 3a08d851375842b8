// SPDX-License-Identifier: BSD-3-Clause
// The due times of one domain: set, re-set, cancel and expire in constant time, in exact order, never early.
//
// The truth is the Deadline in the source's slot; the wheel holds entries that point to it by id, and an entry that
// does not agree with its Deadline is garbage. So cancelling touches one cache line, and so does postponing: the old
// entry stays, and moves to the new time when it comes up, or is taken up again by the next set(). What nobody can take
// up any more is swept, a chunk at a time, before it outweighs the rest: at most twice the entries that there are
// deadlines, set or not.
//
// Three places hold entries: `near_` the past and the current tick, exactly sorted; `buckets_` the future, by radix.
// Every entry up to `covered_` is in near_, every later one in the buckets.
//
// Order: (deadline, order of setting); re-setting is setting. Two equal deadlines set more than 2^32 set() calls apart
// may swap.
// Memory: only set() asks for any that matters. It reserves what its entry may need later, so nothing is lost when
// there is none left; pop() is slower then where a tick holds many entries.
// Thread: any that holds the domain's timer lock, which guards the wheel and every Deadline in it.
#pragma once

#include <bit>
#include <cstddef>
#include <cstdint>

#include "base/alloc.hh"
#include "base/assert.hh"
#include "base/clock.hh"
#include "timer/buckets.hh"
#include "timer/chunk.hh"
#include "timer/deadline.hh"
#include "timer/near.hh"

namespace torque {

// Resolve finds objects by id:
//   Deadline *operator()(uint32_t id)   null when there is none, or when it belongs to another wheel
//   void prefetch(uint32_t id)          optional: the Deadline will be wanted soon
//   void prefetch_owner(uint32_t id)    optional, later: so will what its owner does then
// It may be asked for ids that were cancelled long ago, and answer with whatever object has the id now, as long as
// that object's Deadline is guarded by the same lock.
template <class Resolve>
class Wheel {
 public:
  // Requires: alloc outlives the wheel. first_seq: where the count of set() starts, for tests of its wrapping.
  Wheel(const Alloc &alloc, Resolve resolve, uint32_t first_seq = 0) noexcept
      : resolve_(resolve), pool_(alloc), near_(alloc), seq_(first_seq) {}
  Wheel(const Wheel &) = delete;
  Wheel &operator=(const Wheel &) = delete;
  ~Wheel() {
    Place p;
    while (buckets_.earliest(&p)) give_chunks(buckets_.detach(p));
  }

  // Sets or re-sets. A deadline in the past fires at the next pop(); kNever cancels.
  // Returns: false when there is no memory; then the old deadline still stands.
  // Requires: d is what Resolve finds for id, until it is cancelled or has fired.
  [[nodiscard, gnu::always_inline]] bool set(uint32_t id, Deadline &d, uint64_t at) noexcept {
    if (at == kNever) [[unlikely]] {
      cancel(d);
      return true;
    }
    if (d.entry_at <= at) {
      mark(d, at, ++seq_);
      return true;
    }
    // Among a million deadlines the next calls can overtake the cache miss of this one's, if they come near enough.
    if (at > covered_ && entries_ < reserved_) [[likely]] {
      Bucket &b = buckets_.bucket_of(at);
      if (b.has_place()) [[likely]] {
        b.put({at, id, ++seq_});
        return carry(d, at);
      }
    }
    return set_anew(id, d, at);
  }

  // Harmless when it is not set.
  void cancel(Deadline &d) noexcept {
    if (!d.is_set()) return;
    d.at = kNever;
    --armed_;
  }

  // Cancels, and leaves nothing in d that a later set() would take up again: its object goes to somebody else.
  void forget(Deadline &d) noexcept {
    cancel(d);
    orphans_ += d.entry_at != kNever;
    d = Deadline{};
    if (orphans_ > orphans_max_) [[unlikely]]
      collect();
  }

  // Takes the earliest deadline that is due by now, and tells when it was due; it is unset before this returns.
  // Returns: false when none is due.
  bool pop(uint64_t now, uint32_t *ret_id, uint64_t *ret_at = nullptr) noexcept {
    Entry e;
    while (take(now, &e)) {
      Deadline *d = resolve_(e.id);
      switch (judge(e, d)) {
        case Verdict::kDead:
          break;
        case Verdict::kMoved:
          move(e, *d);
          break;
        case Verdict::kDue:
          *d = {kNever, kNever, d->seq, d->entry_seq};
          --armed_;
          *ret_id = e.id;
          if (ret_at) *ret_at = e.at;
          if (entries_ % kTrimEvery == 0) look_back();
          return true;
      }
    }
    return false;
  }

  // When to call pop() again: never later than the earliest deadline; earlier only when cancelled or postponed ones
  // hide it in a crowd. kNever when nothing is set.
  uint64_t next() noexcept {
    if (!armed_) return kNever;
    while (const Entry *first = near_.first(seq_)) {
      const Entry e = *first;
      if (settle_is_due(e)) return e.at;
    }
    return next_in_buckets();
  }

  // Starts over at `now`, which may lie before any time seen so far, with map(at) in place of each deadline's at; map
  // must keep the order and never answer kNever. each(f) calls f(id, deadline) for every Deadline that has ever been
  // set here and not forgotten, in any order.
  // Returns: false when there is no memory; nothing has changed then.
  template <class Each, class Map>
  [[nodiscard]] bool rebuild(uint64_t now, Each each, Map map) noexcept {
    uint64_t earliest = kNever;
    size_t near = 0;
    each([&](uint32_t, Deadline &d) {
      if (!d.is_set()) return;
      const uint64_t at = map(d.at);
      earliest = at < earliest ? at : earliest;
      near += at <= Buckets::last_of_tick(0);
    });
    if (!near_.reserve_late(near)) return false;
    discard_all();
    // Nothing but the very first tick lies at or before the cursor, so that the buckets take all the rest.
    const uint64_t first = Buckets::tick_of(now < earliest ? now : earliest);
    buckets_.restart(first - (first > 0));
    covered_ = Buckets::last_of_tick(buckets_.cursor());
    each([&](uint32_t id, Deadline &d) {
      d.entry_at = kNever;
      if (!d.is_set()) return;
      d.at = map(d.at);
      move({0, id, 0}, d);
    });
    return true;
  }

  size_t armed() const noexcept { return armed_; }
  // Memory held beside the object itself.
  size_t bytes() const noexcept { return pool_.bytes() + near_.capacity() * sizeof(Entry); }
  // Entries held, the garbage included: for statistics and tests.
  size_t entries() const noexcept { return entries_; }
  // What is set for this time or before is kept in exact order at once, by a heap; it lies near the clock.
  uint64_t covered() const noexcept { return covered_; }

 private:
  using Entry = timer::Entry;
  using Chunk = timer::Chunk;
  using Bucket = timer::Bucket;
  using Buckets = timer::Buckets;
  using Place = timer::Buckets::Place;

  enum class Verdict {
    kDead,   // nobody waits for this entry
    kMoved,  // the carrier of a deadline that was set again since
    kDue,    // the carrier of a deadline of this very time
  };

  static constexpr size_t kGarbage = 4096;    // allowed beside twice as many as are set
  static constexpr size_t kSlackChunks = 32;  // kept unused
  static constexpr size_t kTrimEvery = 64;    // expirations
  static constexpr size_t kBatch = 64;        // entries loaded at a time when several ticks are due
  static constexpr uint32_t kSortable = 128;  // bucket size up to which sorting is quicker than spreading
  static constexpr uint32_t kScan = 16;       // bucket size up to which next() looks closer
  static constexpr size_t kAhead = 24;        // entries between prefetch and use

  // -- entries and what they mean

  Verdict judge(const Entry &e, Deadline *d) noexcept {
    if (!d || d->entry_at != e.at || d->entry_seq != e.seq) {
      no_longer_orphans(1);
      return Verdict::kDead;
    }
    if (!d->is_set()) {
      d->entry_at = kNever;
      return Verdict::kDead;
    }
    return d->at == e.at && d->seq == e.seq ? Verdict::kDue : Verdict::kMoved;
  }

  [[nodiscard]] bool add(const Entry &e) noexcept {
    if (entries_ >= reserved_ && !reserve()) return false;
    if (e.at <= covered_) return near_.insert(e, e.seq);
    buckets_.put(e, pool_);
    return true;
  }

  // Gives the deadline of e, which has just been taken out, a new carrier. Cannot fail: the room is still there.
  void move(const Entry &e, Deadline &d) noexcept {
    d.entry_at = d.at;
    d.entry_seq = d.seq;
    const Entry moved{d.at, e.id, d.seq};
    if (moved.at > covered_)
      buckets_.put(moved, pool_);
    else
      near_.put_back(moved, seq_);
    ++entries_;
  }

  void mark(Deadline &d, uint64_t at, uint32_t seq) noexcept {
    armed_ += !d.is_set();
    d.at = at;
    d.seq = seq;
  }
  // The newest entry is that of d, which is set by it.
  [[gnu::always_inline]] bool carry(Deadline &d, uint64_t at) noexcept {
    ++entries_;
    orphans_ += d.entry_at != kNever;
    d.entry_at = at;
    d.entry_seq = seq_;
    mark(d, at, seq_);
    if (orphans_ > orphans_max_) [[unlikely]]
      collect();
    return true;
  }
  [[gnu::noinline]] bool set_anew(uint32_t id, Deadline &d, uint64_t at) noexcept {
    const Entry e{at, id, seq_ + 1};
    if (!add(e)) return false;
    ++seq_;
    return carry(d, at);
  }

  // -- taking entries out, earliest first

  bool take(uint64_t now, Entry *ret) noexcept {
    for (;;) {
      if (const Entry *e = near_.first(seq_)) {
        if (e->at > now) return false;
        prefetch_ahead();
        *ret = *e;
        near_.drop(e, seq_);
        --entries_;
        return true;
      }
      Place p;
      if (!buckets_.earliest(&p) || buckets_.at(p).min > now) {
        rest(now);
        return false;
      }
      if (!load(now)) return take_unsorted(now, ret);
    }
  }

  [[gnu::always_inline]] void prefetch_ahead() noexcept {
    if (const Entry *e = near_.peek(kAhead)) prefetch(e->id);
    if constexpr (requires { resolve_.prefetch_owner(0u); })
      if (const Entry *e = near_.peek(kAhead / 2)) resolve_.prefetch_owner(e->id);
  }

  // Nothing is due: moves on with the clock, so that what is set next lies near.
  void rest(uint64_t now) noexcept {
    const uint64_t before = buckets_.cursor();
    buckets_.catch_up(Buckets::tick_of(now));
    if (buckets_.cursor() > before) covered_ = Buckets::last_of_tick(buckets_.cursor());
    near_.release();
    trim();
  }

  // Spreads a bucket over the levels below, seen from its earliest entry.
  void cascade(Place p) noexcept {
    leave(p);
    const Bucket b = buckets_.detach(p);
    const uint64_t tick = Buckets::tick_of(b.min);
    buckets_.move_cursor(tick);
    covered_ = Buckets::last_of_tick(tick - 1);
    uint32_t fill = b.fill;
    for (Chunk *c = b.head; c; fill = Chunk::kRoom) {
      Chunk *const older = c->older;
      if (older) timer::prefetch_chunk(older);
      for (uint32_t i = 0; i < fill; ++i) buckets_.put(c->entry[i], pool_);
      pool_.give(c);
      c = older;
    }
  }

  // Sorts what is due into near_, enough of it for prefetching to pay.
  // Returns: false when there is no memory for the first bucket.
  bool load(uint64_t now) noexcept {
    Place p;
    while (near_.run_left() < kBatch && buckets_.earliest(&p) && buckets_.at(p).min <= now) {
      if (!may_sort_whole(p, now)) {
        cascade(p);
        continue;
      }
      if (!near_.load(buckets_.at(p), seq_)) break;
      leave(p);
      buckets_.move_cursor(buckets_.last_tick(p));
      covered_ = Buckets::last_of_tick(buckets_.cursor());
      give_chunks(buckets_.detach(p));
    }
    for (size_t i = 0; i < kAhead; ++i)
      if (const Entry *e = near_.peek(i)) prefetch(e->id);
    trim();
    return !near_.empty();
  }
  // Ticks, always; longer times when they lie behind us, so that nothing is set into them any more.
  bool may_sort_whole(Place p, uint64_t now) noexcept {
    return p.level == 0 || (buckets_.at(p).n <= kSortable && buckets_.last_tick(p) < Buckets::tick_of(now));
  }

  // Serves the earliest entry where it lies: slow, but needs no memory. Requires: near_ is empty.
  bool take_unsorted(uint64_t now, Entry *ret) noexcept {
    Place p;
    const bool any = buckets_.earliest(&p);
    CHECK1(any);
    leave(p);
    Entry *e = earliest_in(p);
    if (e->at > now) return false;
    *ret = *e;
    buckets_.remove(p, e, pool_);
    --entries_;
    return true;
  }

  // Corrects the bucket's min as well.
  Entry *earliest_in(Place p) noexcept {
    const timer::Before before{seq_};
    Bucket &b = buckets_.at(p);
    Entry *best = b.head->entry;
    uint32_t fill = b.fill;
    for (Chunk *c = b.head; c; c = c->older, fill = Chunk::kRoom)
      for (uint32_t i = 0; i < fill; ++i)
        if (before(c->entry[i], *best)) best = &c->entry[i];
    b.min = best->at;
    return best;
  }

  // -- looking ahead

  // Whether e, the first of near_, is due at its time; if not, takes it out or moves it.
  bool settle_is_due(const Entry &e) noexcept {
    Deadline *d = resolve_(e.id);
    const Verdict v = judge(e, d);
    if (v == Verdict::kDue) return true;
    near_.drop(near_.first(seq_), seq_);
    --entries_;
    if (v == Verdict::kMoved) move(e, *d);
    return false;
  }

  // Each round but the last takes an entry out of its place, so this is paid for by set().
  uint64_t next_in_buckets() noexcept {
    for (;;) {
      Place p;
      const bool any = buckets_.earliest(&p);
      CHECK1(any);
      if (buckets_.at(p).n > kScan) return buckets_.at(p).min;
      Entry *const best = earliest_in(p);
      const Entry e = *best;
      Deadline *d = resolve_(e.id);
      const Verdict v = judge(e, d);
      if (v == Verdict::kDue) return e.at;
      leave(p);
      buckets_.remove(p, best, pool_);
      --entries_;
      if (v == Verdict::kMoved) move(e, *d);
    }
  }

  // -- garbage

  // Only entries that nobody will take up again count: what a cancelled deadline has left waits for its next set(). The
  // run is left out: it is being used up anyway, and sweeping cannot make it shorter.
  size_t tolerable() const noexcept { return (entries_ + near_.run_left() + kGarbage) / 2; }

  // More than was tolerable when that was worked out last.
  [[gnu::noinline]] void collect() noexcept {
    orphans_max_ = tolerable();
    if (orphans_ > orphans_max_) sweep();
  }

  // One chunk, or the late entries, each time it is called: rounds through all of them.
  void sweep() noexcept {
    if (sweep_chunk_)
      sweep_chunk();
    else
      next_to_sweep();
    trim();
  }

  void next_to_sweep() noexcept {
    if (!buckets_.from({sweep_at_.level, sweep_at_.index + 1}, &sweep_at_)) {
      sweep_late();
      if (!buckets_.from({0, 0}, &sweep_at_)) return;
    }
    start_chunk(buckets_.at(sweep_at_).head);
  }

  void start_chunk(Chunk *c) noexcept {
    sweep_chunk_ = c;
    if (!c) return;
    const Bucket &b = buckets_.at(sweep_at_);
    const uint32_t fill = c == b.head ? b.fill : Chunk::kRoom;
    for (uint32_t i = 0; i < fill; ++i) prefetch(c->entry[i].id);
    if (c->older) timer::prefetch_chunk(c->older);
  }

  // First judges all, without a branch that garbage could mislead, so that the cache misses overlap.
  void sweep_chunk() noexcept {
    Bucket &b = buckets_.at(sweep_at_);
    Chunk *const c = sweep_chunk_;
    Chunk *const older = c->older;
    const uint32_t fill = c == b.head ? b.fill : Chunk::kRoom;
    uint32_t carriers = 0, alive = 0, orphans = fill;
    for (uint32_t i = 0; i < fill; ++i) {
      const Deadline *const d = resolve_(c->entry[i].id);
      const bool carrier = d && ((d->entry_at == c->entry[i].at) & (d->entry_seq == c->entry[i].seq));
      orphans -= carrier;
      carriers |= uint32_t{carrier} << i;
      alive |= uint32_t{carrier && d->is_set()} << i;
    }
    // From the end, for a place that was left is filled by the last one.
    for (uint32_t dead = ((1u << fill) - 1) ^ alive, i; dead; dead ^= 1u << i) {
      i = 31u - static_cast<uint32_t>(std::countl_zero(dead));
      if (carriers >> i & 1) resolve_(c->entry[i].id)->entry_at = kNever;
      buckets_.remove(sweep_at_, &c->entry[i], pool_);
      --entries_;
    }
    no_longer_orphans(orphans);
    start_chunk(older);
  }
  void no_longer_orphans(size_t n) noexcept { orphans_ -= n < orphans_ ? n : orphans_; }

  void sweep_late() noexcept {
    const size_t before = near_.size();
    near_.filter_late(seq_, [this](const Entry &e) { return judge(e, resolve_(e.id)) != Verdict::kDead; });
    entries_ -= before - near_.size();
  }

  // The bucket is about to change otherwise than by an entry more: the sweep goes on behind it.
  void leave(Place p) noexcept {
    if (p.level == sweep_at_.level && p.index == sweep_at_.index) sweep_chunk_ = nullptr;
  }

  // -- memory

  [[nodiscard, gnu::noinline]] bool reserve() noexcept {
    size_t n = entries_ + Chunk::kRoom;
    if (n > UINT32_MAX) return false;  // a bucket counts to that
    if (!pool_.reserve(Buckets::room_for(n)) && !pool_.reserve(Buckets::room_for(n = entries_ + 1))) return false;
    reserved_ = n;
    return true;
  }
  void give_chunks(const Bucket &b) noexcept {
    for (Chunk *c = b.head; c;) {
      Chunk *const older = c->older;
      pool_.give(c);
      c = older;
    }
  }
  void look_back() noexcept {
    orphans_max_ = tolerable();
    trim();
  }
  // Every entry is forgotten.
  void discard_all() noexcept {
    Place p;
    while (buckets_.earliest(&p)) give_chunks(buckets_.detach(p));
    near_.discard();
    sweep_chunk_ = nullptr;
    entries_ = orphans_ = 0;
  }
  void trim() noexcept {
    const size_t room = Buckets::room_for(entries_);
    if (pool_.held() <= room + room / 8 + kSlackChunks) [[likely]]
      return;
    pool_.trim(room + room / 16 + kSlackChunks / 2);
    reserved_ = entries_;
  }

  [[gnu::always_inline]] void prefetch(uint32_t id) noexcept {
    if constexpr (requires { resolve_.prefetch(id); }) resolve_.prefetch(id);
  }

  Resolve resolve_;
  timer::ChunkPool pool_;
  timer::Near near_;
  uint32_t seq_;  // of the newest set()
  size_t armed_ = 0;
  size_t entries_ = 0;
  size_t orphans_ = 0;   // of them, those that no Deadline knows any more; an estimate
  size_t orphans_max_ = kGarbage / 2;  // about tolerable()
  size_t reserved_ = 0;  // entries for which the pool holds chunks enough, wherever they lie
  uint64_t covered_ = Buckets::last_of_tick(0);
  Place sweep_at_ = {0, 0};
  Chunk *sweep_chunk_ = nullptr;
  Buckets buckets_;
};

}  // namespace torque
