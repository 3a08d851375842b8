// SPDX-License-Identifier: BSD-3-Clause
#include "memory/pool.hh"

#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <utility>

namespace torque {

namespace {

constexpr size_t kKeptBytes = 262144;  // of each size, and two pieces at least
constexpr uint32_t kColours = 8;       // half a page
constexpr size_t kScratchMax = 1048576;
constexpr uint8_t kNoClass = kPieceClasses;

constinit std::atomic<uint32_t> next_colour{0};

uint32_t keep_at_most(uint8_t size_class) noexcept {
  return static_cast<uint32_t>(std::max<size_t>(kKeptBytes / kPieceSizes[size_class], 2));
}

uint8_t class_for(size_t room) noexcept {
  uint8_t c = 0;
  // Small ones are not coloured: a heap does not align them to pages.
  while (c < kPieceClasses && kPieceSizes[c] - sizeof(Piece) - (c ? kLine * (kColours - 1) : 0) < room) ++c;
  return c;
}

size_t whole_size(const Piece &p) noexcept {
  return p.size_class < kNoClass ? kPieceSizes[p.size_class] : sizeof(Piece) + p.room;
}

void reset(Piece &p) noexcept {
  p.next = nullptr;
  p.at = p.begin();
  p.left = 0;
  p.kind = Piece::Kind::own;
}

Piece *make_in_class(const Alloc &alloc, uint8_t c, size_t room) noexcept {
  const size_t size = c < kNoClass ? kPieceSizes[c] : sizeof(Piece) + room;
  auto *p = static_cast<Piece *>(alloc.get(size, alignof(Piece)));
  if (!p) return nullptr;
  const uint32_t colour = c && c < kNoClass ? next_colour.fetch_add(1, std::memory_order_relaxed) % kColours : 0;
  p->size_class = c;
  p->colour = static_cast<uint16_t>(colour);
  p->room = static_cast<uint32_t>(size - sizeof(Piece) - kLine * colour);
  reset(*p);
  return p;
}

void let_go(Piece &p) noexcept {
  if (p.kind == Piece::Kind::lent && p.release) p.release(p.release_arg);
  if (p.kind == Piece::Kind::file) ::close(p.fd);
}

}  // namespace

Piece *make_piece(const Alloc &alloc, size_t room) noexcept { return make_in_class(alloc, class_for(room), room); }

void free_piece(const Alloc &alloc, Piece *p) noexcept {
  let_go(*p);
  alloc.put(p, whole_size(*p));
}

Pool::Pool(const Alloc &alloc, uint64_t cache_share) noexcept
    : alloc_(alloc), scratch_size_(std::clamp<size_t>(cache_share / 4, kScratchMin, kScratchMax)) {
  while (scratch_size_ & (scratch_size_ - 1)) scratch_size_ &= scratch_size_ - 1;
}

Pool::~Pool() {
  for (Piece *list : free_) {
    while (list) {
      Piece *p = list;
      list = p->next;
      alloc_.put(p, whole_size(*p));
    }
  }
  free_scratch();
}

void Pool::free_scratch() noexcept {
  for (uint32_t i = 0; i < kLevels; ++i)
    alloc_.put(std::exchange(scratch_[i], nullptr), i ? kScratchMin : scratch_size_);
}

Pool::Apart::Apart(Pool &pool, bool nested) noexcept : pool_(nested ? &pool : nullptr) {
  if (!pool_) return;
  for (uint32_t i = 0; i < kLevels; ++i) outer_[i] = std::exchange(pool_->scratch_[i], nullptr);
}

Pool::Apart::~Apart() {
  if (!pool_) return;
  pool_->free_scratch();
  std::copy_n(outer_, kLevels, pool_->scratch_);
}

Piece *Pool::take(size_t room) noexcept {
  const uint8_t c = class_for(room);
  if (c == kNoClass || !free_[c]) return make_in_class(alloc_, c, room);
  Piece *p = free_[c];
  free_[c] = p->next;
  --kept_[c];
  reset(*p);
  return p;
}

void Pool::give(Piece *p) noexcept {
  const uint8_t c = p->size_class;
  if (c == kNoClass || kept_[c] >= keep_at_most(c)) return free_piece(alloc_, p);
  let_go(*p);
  p->next = free_[c];
  free_[c] = p;
  ++kept_[c];
}

char *Pool::make_scratch(uint32_t level) noexcept {
  return scratch_[level] = static_cast<char *>(alloc_.get(level ? kScratchMin : scratch_size_, kLine));
}

}  // namespace torque
