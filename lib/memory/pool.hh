// SPDX-License-Identifier: BSD-3-Clause
// Where pieces come from. Each worker keeps a few of every size at hand, which it has just used and finds in its cache;
// what is more than that goes back to the context's memory, so that it shrinks after a peak. The bytes of pieces
// begin at different cache sets (colours), or large ones, which all begin at a page, would push one another out.
//
// Always true: a stream that waits has no piece, but for input that its program has not taken and output that cannot be
// sent.
#pragma once

#include <cstring>

#include "base/alloc.hh"
#include "memory/piece.hh"

namespace torque {

// Sizes of whole pieces, heads included; what is larger is taken and given back as it comes.
constexpr size_t kPieceSizes[] = {1024, 4096, 16384, 65536, 262144, 1048576};
constexpr uint8_t kPieceClasses = sizeof kPieceSizes / sizeof kPieceSizes[0];

// From and to the context's memory. Thread: any.
Piece *make_piece(const Alloc &alloc, size_t room) noexcept;
void free_piece(const Alloc &alloc, Piece *p) noexcept;  // also releases or closes what it stands for

// Thread: its worker's, which is to say who holds a Turn of it.
class Pool {
 public:
  // cache_share: bytes of the cache that this worker may call its own; 0: not known.
  Pool(const Alloc &alloc, uint64_t cache_share) noexcept;
  ~Pool();
  Pool(const Pool &) = delete;
  Pool &operator=(const Pool &) = delete;

  Piece *take(size_t room) noexcept;  // null: no memory
  void give(Piece *p) noexcept;       // as free_piece()

  // Memory for one read, or for what a layer makes: the worker's own, used anew at every call. level 0 is the wire's,
  // layers have theirs, one for each way; the last is for what is read from files. Null: no memory.
  static constexpr uint32_t kLevels = 18;
  static constexpr uint32_t kFileLevel = kLevels - 1;
  static constexpr size_t kScratchMin = 65536;
  char *scratch(uint32_t level) noexcept { return scratch_[level] ? scratch_[level] : make_scratch(level); }
  // While a callback runs the worker's events itself, what it was given stays what it is: those below have their own.
  class Apart {
   public:
    Apart(Pool &pool, bool nested) noexcept;
    ~Apart();
    Apart(const Apart &) = delete;
    Apart &operator=(const Apart &) = delete;

   private:
    Pool *pool_;  // null: not nested
    char *outer_[kLevels];
  };
  // How much of level 0 to ask for at once: more when reads come back full, less when they bring little.
  size_t ask() const noexcept { return ask_; }
  void got(size_t n) noexcept {
    if (n >= ask_)
      ask_ = ask_ * 2 <= scratch_size_ ? ask_ * 2 : scratch_size_;
    else if (n < ask_ / 8 && ask_ > kScratchMin)
      ask_ /= 2;
  }

 private:
  char *make_scratch(uint32_t level) noexcept;
  void free_scratch() noexcept;

  const Alloc &alloc_;
  Piece *free_[kPieceClasses] = {};
  uint32_t kept_[kPieceClasses] = {};
  char *scratch_[kLevels] = {};
  size_t scratch_size_;  // of level 0
  size_t ask_ = kScratchMin;
};

}  // namespace torque
