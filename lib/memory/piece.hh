// SPDX-License-Identifier: BSD-3-Clause
// A piece: bytes on their way, in a list. They stand in the piece itself (which then has room for more behind them), in
// memory that somebody lends, or in a file. A call is none: it stands in a mailbox among them (stream/calls.cc).
//
// Thread: whoever has it. Pieces of one context may be taken and given back by different threads.
#pragma once

#include <cstddef>
#include <cstdint>

namespace torque {

struct alignas(64) Piece {
  enum class Kind : uint8_t { own, lent, file, call };

  Piece *next;
  char *at;                 // own, lent: the first byte that counts
  uint64_t left;            // bytes that count
  uint64_t offset;          // file: of the first byte
  void (*release)(void *);  // lent: told when the bytes are no longer needed
  void *release_arg;
  uint32_t room;    // bytes that the piece has of its own
  uint16_t colour;  // where they begin, in cache lines behind the head
  uint8_t size_class;
  Kind kind;
  int32_t fd;  // file

  char *begin() noexcept { return reinterpret_cast<char *>(this) + sizeof(Piece) + size_t{64} * colour; }
  char *tail() noexcept { return at + left; }
  size_t tail_room() noexcept { return static_cast<size_t>(begin() + room - tail()); }
  void take(uint64_t n) noexcept {
    at += n;
    left -= n;
  }
};
static_assert(sizeof(Piece) == 64);

struct Pieces {
  Piece *first = nullptr;
  Piece *last = nullptr;

  bool empty() const noexcept { return first == nullptr; }
  void push(Piece &p) noexcept {
    p.next = nullptr;
    (first ? last->next : first) = &p;
    last = &p;
  }
  void append(Pieces &o) noexcept {
    if (o.empty()) return;
    (first ? last->next : first) = o.first;
    last = o.last;
    o = {};
  }
  Piece *pop() noexcept {
    Piece *p = first;
    if (p) first = p->next;
    return p;
  }
};

}  // namespace torque
