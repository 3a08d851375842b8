// SPDX-License-Identifier: BSD-3-Clause
#include "door.hh"

#include <cstdlib>
#include <new>

#include "mutex.hh"
#include "resolver.hh"

namespace torque_dns {

namespace {

static_assert(sizeof(void *) == 8, "a handle has 24 bits of a number and 40 of a generation");
constexpr unsigned kIndexBits = 24, kUsersBits = 24;
constexpr uint64_t kUsers = (uint64_t{1} << kUsersBits) - 1, kGenerations = uint64_t{1} << 40;
constexpr uint32_t kFirstChunk = 64, kMost = (uint32_t{1} << kIndexBits) - 1;

// Chunk i has 64 << i doors.
std::atomic<Door *> chunks[kIndexBits];
constinit ForkMutex lock;
uint32_t made DNS_GUARDED_BY(lock) = 0;
uint32_t first_free DNS_GUARDED_BY(lock) = UINT32_MAX;

struct Where {
  unsigned chunk;
  uint32_t offset;
};
Where where_of(uint32_t index) noexcept {
  const uint32_t n = index / kFirstChunk + 1;
  const unsigned chunk = 31u - static_cast<unsigned>(__builtin_clz(n));
  return {chunk, index - kFirstChunk * ((1u << chunk) - 1)};
}

// Null: there is no such door yet.
Door *door_at(uint32_t index) noexcept {
  const Where w = where_of(index);
  Door *chunk = w.chunk < kIndexBits ? chunks[w.chunk].load(std::memory_order_acquire) : nullptr;
  return chunk ? chunk + w.offset : nullptr;
}

bool make_chunk(unsigned i) noexcept DNS_REQUIRES(lock) {
  if (chunks[i].load(std::memory_order_relaxed)) return true;
  const size_t size = size_t{kFirstChunk} << i;
  auto *doors = static_cast<Door *>(std::malloc(size * sizeof(Door)));
  if (!doors) return false;
  for (size_t k = 0; k < size; ++k) new (doors + k) Door;
  chunks[i].store(doors, std::memory_order_release);
  return true;
}

Door *take_door() noexcept {
  Locked locked(lock);
  if (first_free != UINT32_MAX) {
    Door *d = door_at(first_free);
    first_free = d->next_free;
    return d;
  }
  if (made == kMost || !make_chunk(where_of(made).chunk)) return nullptr;
  Door *d = door_at(made);
  d->index = made++;
  d->word.store(uint64_t{1} << kUsersBits, std::memory_order_relaxed);
  return d;
}

// Nobody is in, and nobody can come in. A door whose generations are used up stays shut.
void give_door(Door *d) noexcept {
  if (d->word.load(std::memory_order_relaxed) >> kUsersBits == kGenerations - 1) return;
  Locked locked(lock);
  d->next_free = first_free;
  first_free = d->index;
}

}  // namespace

torque_resolver *open_door(Resolver *resolver) noexcept {
  Door *d = take_door();
  if (!d) return nullptr;
  d->resolver = resolver;
  // The generation was never told to anybody: so nobody is in.
  const uint64_t generation = d->word.load(std::memory_order_relaxed) >> kUsersBits;
  d->word.store(generation << kUsersBits, std::memory_order_release);
  return reinterpret_cast<torque_resolver *>(generation << kIndexBits | (d->index + 1));
}

Visit::Visit(const torque_resolver *handle) noexcept {
  const uint64_t value = reinterpret_cast<uintptr_t>(handle);
  const auto index = static_cast<uint32_t>(value & ((uint64_t{1} << kIndexBits) - 1));
  Door *d = index ? door_at(index - 1) : nullptr;
  if (!d) return;
  generation_ = value >> kIndexBits;
  uint64_t word = d->word.load(std::memory_order_relaxed);
  do {
    if (word >> kUsersBits != generation_ || (word & kUsers) == kUsers) return;
  } while (!d->word.compare_exchange_weak(word, word + 1, std::memory_order_acquire, std::memory_order_relaxed));
  door_ = d;
}

Visit::~Visit() {
  if (!door_) return;
  const uint64_t before = door_->word.fetch_sub(1, std::memory_order_acq_rel);
  if (before >> kUsersBits == generation_ || (before & kUsers) != 1) return;
  Resolver *resolver = door_->resolver;
  door_->resolver = nullptr;
  give_door(door_);
  resolver->leave_door();
}

bool Visit::close() noexcept {
  uint64_t word = door_->word.load(std::memory_order_relaxed);
  do {
    if (word >> kUsersBits != generation_) return false;
  } while (!door_->word.compare_exchange_weak(word, word + (uint64_t{1} << kUsersBits), std::memory_order_acq_rel,
                                              std::memory_order_relaxed));
  return true;
}

}  // namespace torque_dns
