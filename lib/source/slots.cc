// SPDX-License-Identifier: BSD-3-Clause
#include "source/slots.hh"

#include <sys/mman.h>
#include <unistd.h>

#include <algorithm>
#include <new>

#include "source/calls.hh"

namespace torque {

namespace {

using directory::Entry;
using directory::Leaf;
using directory::kLeafChunks;
using directory::kLeafShift;
using directory::kLeaves;
using directory::leaves;
using directory::entry_of_chunk;

constinit Mutex directory_mutex;
constinit uint32_t first_maybe_free = 0;  // under directory_mutex; no free entry lies below

// Requires: directory_mutex. Makes the leaf when it is not there.
Entry *reach_entry(uint32_t number) noexcept {
  const uint32_t l = number >> kLeafShift;
  if (l >= kLeaves) return nullptr;
  if (l != 0 && !leaves[l].load(std::memory_order_relaxed)) {
    Leaf *fresh = new (std::nothrow) Leaf;
    if (!fresh) return nullptr;
    leaves[l].store(fresh, std::memory_order_release);
  }
  return entry_of_chunk(number);
}

bool publish(Chunk &c) noexcept {
  Lock lock(directory_mutex);
  for (uint32_t n = first_maybe_free;; ++n) {
    Entry *e = reach_entry(n);
    if (!e) return false;
    if (e->chunk.load(std::memory_order_relaxed) || e->floor > SlotPool::kWorn) continue;
    first_maybe_free = n + 1;
    c.base = n << kChunkShift;
    c.floor = e->floor;
    e->chunk.store(&c, std::memory_order_relaxed);
    e->owner.store(&c.pool->owner, std::memory_order_relaxed);
    e->slots.store(c.slots, std::memory_order_release);
    return true;
  }
}

void withdraw(const Chunk &c, uint32_t floor) noexcept {
  Lock lock(directory_mutex);
  const uint32_t n = c.base >> kChunkShift;
  Entry *e = entry_of_chunk(n);
  e->floor = floor;
  e->slots.store(nullptr, std::memory_order_release);
  e->chunk.store(nullptr, std::memory_order_relaxed);
  first_maybe_free = std::min(first_maybe_free, n);
}

// Chunks are cut from slabs of address space, so that a pool that is large can have huge pages: among a million sources
// a look at one costs more in page walks than in cache misses. A small pool must not: it would pay for 2 MiB.
constexpr size_t kSlabBytes = size_t{2} << 20;
constexpr size_t kHugeFrom = size_t{16} << 20;  // bytes in chunks

void *map_slab(bool huge) noexcept {
  const size_t bytes = huge ? 2 * kSlabBytes : kSlabBytes;
  void *p = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_NORESERVE, -1, 0);
  if (p == MAP_FAILED) return nullptr;
  if (!huge) {
    (void)::madvise(p, bytes, MADV_NOHUGEPAGE);
    return p;
  }
  // Cut to the alignment that huge pages have.
  auto *begin = static_cast<char *>(p);
  const size_t front = (kSlabBytes - reinterpret_cast<uintptr_t>(p) % kSlabBytes) % kSlabBytes;
  if (front) ::munmap(begin, front);
  ::munmap(begin + front + kSlabBytes, kSlabBytes - front);
  (void)::madvise(begin + front, kSlabBytes, MADV_HUGEPAGE);
  return begin + front;
}

uint32_t highest_generation(const Chunk &c) noexcept {
  uint32_t g = c.floor;
  for (uint32_t i = 0; i < c.fresh; ++i) {
    g = std::max(g, word::generation(c.slots[i].word.load(std::memory_order_relaxed)));
  }
  return g;
}

}  // namespace

constinit Leaf directory::first_leaf;
constinit std::atomic<Leaf *> directory::leaves[kLeaves];

Mutex &directory_lock() noexcept { return directory_mutex; }

Chunk *chunk_of(const Slot &s) noexcept {
  return entry_of_chunk(s.index >> kChunkShift)->chunk.load(std::memory_order_relaxed);
}

void SlotPool::link(List &l, Chunk &c) noexcept {
  c.prev = nullptr;
  c.next = l.head;
  if (l.head) l.head->prev = &c;
  l.head = &c;
}

void SlotPool::unlink(List &l, Chunk &c) noexcept {
  if (c.prev) c.prev->next = c.next;
  else l.head = c.next;
  if (c.next) c.next->prev = c.prev;
}

void SlotPool::withdraw() noexcept {
  Lock lock(lock_);
  for (Chunk *c = all_; c; c = c->all_next) {
    if (!std::exchange(c->withdrawn, true)) torque::withdraw(*c, highest_generation(*c));
  }
}

SlotPool::~SlotPool() {
  withdraw();
  Lock lock(lock_);
  for (Chunk *c = all_; c;) {
    Chunk *next = c->all_next;
    if (!c->mapped) alloc_.put(c->slots, kChunkBytes);
    alloc_.put(c->calls, kChunkSlots * sizeof(CallQueue));
    alloc_.destroy(c);
    c = next;
  }
  for (void *slab : slabs_) ::munmap(slab, kSlabBytes);
}

// Memory that reads as zero: a FREE word of generation 0 in each slot.
void *SlotPool::take_memory() noexcept {
  if (alloc_.take) {
    void *p = alloc_.get(kChunkBytes, 64);
    if (p) __builtin_memset(p, 0, kChunkBytes);
    return p;
  }
  if (slab_left_ < kChunkBytes) {
    if (!slabs_.reserve(slabs_.size() == slabs_.capacity() ? 2 * slabs_.size() + 4 : 0)) return nullptr;
    void *slab = map_slab(bytes() >= kHugeFrom);
    if (!slab || !slabs_.push(slab)) return nullptr;
    slab_left_ = kSlabBytes;
  }
  void *p = static_cast<char *>(slabs_.back()) + (kSlabBytes - slab_left_);
  slab_left_ -= kChunkBytes;
  return p;
}

Chunk *SlotPool::grow() noexcept {
  if (Chunk *c = idle_.head) {
    unlink(idle_, *c);
    link(roomy_, *c);
    return c;
  }
  if (Chunk *c = clean_.head) {
    unlink(clean_, *c);
    link(roomy_, *c);
    spare_ += kChunkSlots;
    bytes_.fetch_add(kChunkBytes, std::memory_order_relaxed);
    return c;
  }
  const bool mapped = !alloc_.take;
  void *p = take_memory();
  if (!p) return nullptr;
  Chunk *c = alloc_.make<Chunk>(Chunk{this, static_cast<Slot *>(p), 0, mapped});
  if (!c || !publish(*c)) {
    alloc_.destroy(c);
    if (mapped) slab_left_ += kChunkBytes;  // it was the last piece cut
    else alloc_.put(p, kChunkBytes);
    return nullptr;
  }
  link(roomy_, *c);
  c->all_next = all_;
  all_ = c;
  spare_ += kChunkSlots;
  bytes_.fetch_add(kChunkBytes, std::memory_order_relaxed);
  return c;
}

Slot *SlotPool::take() noexcept {
  Lock lock(lock_);
  Chunk *c = roomy_.head ? roomy_.head : grow();
  if (!c) return nullptr;
  uint32_t i;
  if (c->free_head != kNoSlot) {
    i = c->free_head;
    c->free_head = c->slots[i].next;
  } else {
    i = c->fresh++;
    Slot &s = c->slots[i];
    s.index = c->base + i;
    s.word.store(word::make(word::next_generation(c->floor), word::FREE), std::memory_order_relaxed);
  }
  --spare_;
  if (++c->used == kChunkSlots) {
    unlink(roomy_, *c);
    link(full_, *c);
  }
  live_.fetch_add(1, std::memory_order_relaxed);

  Slot &s = c->slots[i];
  s.domain.set(&owner);
  s.fn = nullptr;
  s.arg.set(nullptr);
  s.fd.set(-1);
  s.kind.set(Kind::event);
  s.traits.set(0);
  s.calls.store(0, std::memory_order_relaxed);
  s.interest.store(0, std::memory_order_relaxed);
  s.next = s.prev = kNoSlot;
  s.strand_events = 0;
  s.expirations.store(0, std::memory_order_relaxed);
  cold_of(s).object = nullptr;
  cold_of(s).final = nullptr;
  cold_of(s).strand.set(nullptr);
  const uint32_t g = word::generation(s.word.load(std::memory_order_relaxed));
  s.word.store(word::make(g, word::NEW), std::memory_order_release);
  return &s;
}

void SlotPool::give(Slot &s) noexcept {
  Lock lock(lock_);
  Chunk *c = chunk_of(s);
  const uint32_t i = s.index - c->base;
  live_.fetch_sub(1, std::memory_order_release);
  if (word::used_up(word::generation(s.word.load(std::memory_order_relaxed)))) return;  // it counts as used for ever
  s.next = c->free_head;
  c->free_head = i;
  ++spare_;
  if (c->used-- == kChunkSlots) {
    unlink(full_, *c);
    link(roomy_, *c);
  }
  if (c->used == 0) {
    unlink(roomy_, *c);
    link(idle_, *c);
  }
  // Keep a quarter of what is in use, and two chunks, in hand; give the rest back.
  while (idle_.head && spare_ > live() / 4 + 2 * kChunkSlots && clean(*idle_.head)) {
  }
}

// False: its memory cannot be given back.
bool SlotPool::clean(Chunk &c) noexcept {
  // Where pages are larger than 4 KiB a chunk shares them with its neighbours.
  if (!c.mapped || kChunkBytes % static_cast<size_t>(::sysconf(_SC_PAGESIZE)) != 0) return false;
  // All its slots would begin where the most used one was: one that is worn keeps its memory.
  const uint32_t floor = highest_generation(c);
  if (floor > kWorn) return false;
  c.floor = floor;
  if (::madvise(c.slots, kChunkBytes, MADV_DONTNEED) != 0) return false;
  c.fresh = 0;
  c.free_head = kNoSlot;
  spare_ -= kChunkSlots;
  bytes_.fetch_sub(kChunkBytes, std::memory_order_relaxed);
  unlink(idle_, c);
  link(clean_, c);
  return true;
}

namespace {

bool is_lost(const Slot &s, bool (*finishes_here)(uint64_t)) noexcept {
  const uint64_t w = s.word.load(std::memory_order_relaxed);
  const uint32_t g = word::generation(w);
  if (word::state(w) == word::FREE) return !word::used_up(g);
  return word::state(w) == word::RETIRED && word::running(w) == 0 && !finishes_here(handle_of(g, s.index));
}

}  // namespace

void SlotPool::forget_lost(bool (*finishes_here)(uint64_t handle)) noexcept {
  for (Chunk *c = first(); c; c = c->all_next) {
    Slot *lost[kChunkSlots];
    uint32_t n = 0;
    {
      Lock lock(lock_);
      bool listed[kChunkSlots] = {};
      for (uint32_t i = c->free_head; i != kNoSlot; i = c->slots[i].next) listed[i] = true;
      for (uint32_t i = 0; i < c->fresh; ++i) {
        if (!listed[i] && is_lost(c->slots[i], finishes_here)) lost[n++] = &c->slots[i];
      }
    }
    while (n) {
      Slot &s = *lost[--n];
      if (word::state(s.word.load(std::memory_order_relaxed)) == word::RETIRED) {
        s.word.store(word::make(word::kGenerationLast + 1, word::FREE), std::memory_order_release);
      }
      give(s);
    }
  }
}

Chunk *SlotPool::first() noexcept {
  Lock lock(lock_);
  return all_;
}

}  // namespace torque
