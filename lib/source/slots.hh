// SPDX-License-Identifier: BSD-3-Clause
// Where slots come from. The directory maps every slot number of the process to its memory; each domain has a pool of
// chunks of its own, so that domains share no lock but once in 512 new sources.
//
// Thread: any.
// Always true: the memory of a chunk stays readable until its context is freed, which waits for the calls that may look at
// it (base/visit.hh); and a slot's generation never goes back. A slot that has had all generations is used no more, nor is
// a chunk's number whose slots have had most of them.
#pragma once

#include "base/alloc.hh"
#include "base/mutex.hh"
#include "base/vec.hh"
#include "source/slot.hh"

namespace torque {

class SlotPool;
struct CallQueue;

// One chunk, apart from its memory. Guarded by its pool's lock but for what is constant.
struct Chunk {
  // Constant.
  SlotPool *pool;
  Slot *slots;
  uint32_t base;     // number of its first slot
  bool mapped;       // its memory is our own mapping, not from the caller's allocator

  bool withdrawn = false;    // its number may be another's by now
  uint32_t floor = 0;        // generations of slots that were never used begin above this
  uint32_t fresh = 0;        // slots from here on were never used since the memory was clean
  uint32_t free_head = kNoSlot;
  uint32_t used = 0;
  Chunk *prev = nullptr;     // in one of the pool's lists
  Chunk *next = nullptr;
  Chunk *all_next = nullptr;  // constant
  CallQueue *calls = nullptr;  // one for each slot, under the lock of calls.hh; null: nobody has called one of its sources
};

// Two levels: 1024 leaves of 4096 chunks of 512 slots, 2^31 in all. The first leaf is static, so that most processes
// never allocate here. Leaves stay for the life of the process.
namespace directory {

constexpr uint32_t kLeafShift = 12;
constexpr uint32_t kLeafChunks = 1u << kLeafShift;
constexpr uint32_t kLeaves = 1024;

struct Entry {
  std::atomic<Slot *> slots{nullptr};  // store_release in publish() pairs with load_acquire in first_slot_of()
  std::atomic<Chunk *> chunk{nullptr};
  std::atomic<Domain *> owner{nullptr};  // as slots
  uint32_t floor = 0;                  // under the directory lock
};
struct Leaf {
  Entry entries[kLeafChunks];
};
extern Leaf first_leaf;
extern std::atomic<Leaf *> leaves[kLeaves];

inline Entry *entry_of_chunk(uint32_t number) noexcept {
  if (number < kLeafChunks) [[likely]]
    return &first_leaf.entries[number];
  const uint32_t l = number >> kLeafShift;
  Leaf *leaf = l < kLeaves ? leaves[l].load(std::memory_order_acquire) : nullptr;
  return leaf ? &leaf->entries[number & (kLeafChunks - 1)] : nullptr;
}

}  // namespace directory

// Where the chunk of that slot number begins, null when there is none. Lock-free.
inline Slot *first_slot_of(uint32_t index) noexcept {
  directory::Entry *e = directory::entry_of_chunk(index >> kChunkShift);
  return e ? e->slots.load(std::memory_order_acquire) : nullptr;
}
// The domain that owns it; only when first_slot_of() answered.
inline Domain *owner_of(uint32_t index) noexcept {
  directory::Entry *e = directory::entry_of_chunk(index >> kChunkShift);
  return e ? e->owner.load(std::memory_order_relaxed) : nullptr;
}
// The slot of that number, or null when there is none. Lock-free.
inline Slot *find_slot(uint32_t index) noexcept {
  Slot *first = first_slot_of(index);
  return first ? first + (index & (kChunkSlots - 1)) : nullptr;
}
Chunk *chunk_of(const Slot &s) noexcept;

class SlotPool {
 public:
  // Where a number of a chunk is not taken again: chunks that live long enough to wear out keep theirs.
  static constexpr uint32_t kWorn = word::kGenerationLast / 2;

  SlotPool(const Alloc &alloc, Domain &domain) noexcept : owner(domain), alloc_(alloc), slabs_(alloc) {}
  ~SlotPool();
  SlotPool(const SlotPool &) = delete;
  SlotPool &operator=(const SlotPool &) = delete;

  Domain &owner;

  // A slot in state NEW with everything clear but its SlotDeadline part, which belongs to the timer lock; null: no memory.
  Slot *take() noexcept;
  // Back. Requires: its word is FREE with a generation that no handle has, and the wheel has forgotten it.
  void give(Slot &s) noexcept;

  // In a forked child: nobody comes to end what threads of the parent were ending. Slots that they were giving back are
  // given back; of a source that one was taking apart the slot is used no more. finishes_here(handle): this thread does.
  void forget_lost(bool (*finishes_here)(uint64_t handle)) noexcept;

  // All chunks out of the directory. Requires: nothing is live, and nothing is taken from here on.
  void withdraw() noexcept;

  uint64_t live() const noexcept { return live_.load(std::memory_order_acquire); }  // pairs with give()
  size_t bytes() const noexcept { return bytes_.load(std::memory_order_relaxed); }

  // Calls f with the handle of each live source, chunk by chunk, outside the lock: f may end any of them. Sources made
  // meanwhile may be missed.
  template <class F>
  void each(F f) noexcept {
    each_that(word::live, f);
  }
  // The same for those that have ended and were not finished.
  template <class F>
  void each_ended(F f) noexcept {
    each_that([](uint64_t w) { return word::state(w) == word::RETIRED; }, f);
  }

  Mutex &lock_for_fork() noexcept { return lock_; }

 private:
  friend class SlotPoolTest;
  struct List {
    Chunk *head = nullptr;
  };
  Chunk *grow() noexcept REQUIRES(lock_);
  void *take_memory() noexcept REQUIRES(lock_);
  bool clean(Chunk &c) noexcept REQUIRES(lock_);
  Chunk *first() noexcept;
  template <class Is, class F>
  void each_that(Is is, F f) noexcept {
    uint64_t handles[kChunkSlots];
    for (Chunk *c = first(); c; c = c->all_next) {
      const uint32_t n = snapshot(*c, is, handles);
      for (uint32_t i = 0; i < n; ++i) f(handles[i]);
    }
  }
  template <class Is>
  uint32_t snapshot(Chunk &c, Is is, uint64_t *handles) noexcept {
    Lock lock(lock_);
    uint32_t n = 0;
    for (uint32_t i = 0; i < c.fresh; ++i) {
      const uint64_t w = c.slots[i].word.load(std::memory_order_acquire);
      if (is(w)) handles[n++] = handle_of(word::generation(w), c.slots[i].index);
    }
    return n;
  }
  static void link(List &l, Chunk &c) noexcept;
  static void unlink(List &l, Chunk &c) noexcept;

  const Alloc &alloc_;
  std::atomic<uint64_t> live_{0};
  std::atomic<size_t> bytes_{0};

  Mutex lock_;
  List roomy_ GUARDED_BY(lock_);  // chunks with a free slot and a used one; the one to take from first
  List idle_ GUARDED_BY(lock_);   // wholly free, in hand
  List full_ GUARDED_BY(lock_);
  List clean_ GUARDED_BY(lock_);  // wholly free, their memory given back to the system
  Chunk *all_ GUARDED_BY(lock_) = nullptr;
  Vec<void *> slabs_ GUARDED_BY(lock_);
  size_t slab_left_ GUARDED_BY(lock_) = 0;  // of the last slab, uncut
  uint64_t spare_ GUARDED_BY(lock_) = 0;  // free slots in roomy and idle chunks
};

// The process-wide lock of the directory, for fork handlers.
Mutex &directory_lock() noexcept;

}  // namespace torque
