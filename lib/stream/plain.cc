// SPDX-License-Identifier: BSD-3-Clause
// The turn of a stream that is open and has nothing special to mind. It does what run_stream() would do, by the same
// functions, without asking for each thing that may be: for an echo of 64 bytes a third of a stream's instructions.
#include "stream/stream.hh"

namespace torque {

namespace {

// With none of these what is left to do follows from kReadable, kWritable and the wire.
constexpr uint32_t kSpecial = kConnecting | kHangup | kWireEnded | kPaused | kCongested | kFull | kRetell | kEndTold | kClosing |
                              kEndAsked | kEndPassed | kEndSent | kLost | kOver | kWriteOnly | kBroken | kReset | kTimed |
                              kPushed | kAgain | kRated;

[[gnu::always_inline]] inline bool is_plain(const Hold &h) noexcept {
  const Stream &s = h.s;
  return (s.flags & (kSpecial | kOpened)) == kOpened && !s.layers && !s.extras && !s.kept && !s.type->writable;
}

// False: what followed is not plain.
bool read_plain(Hold &h, size_t *in) noexcept {
  char *scratch = h.turn.pool.scratch(0);
  if (!scratch) return false;
  const size_t asked = std::min(h.turn.pool.ask(), *in);
  const ssize_t n = read_scratch(h, asked);
  if (n <= 0) {
    nothing_read(h, n);
    return n < 0 && is_plain(h);
  }
  const auto got = static_cast<size_t>(n);
  bytes_read(h, got, asked, in);
  const size_t taken = got >= h.s.type->input_low ? call_data(h, scratch, got) : 0;
  if (taken == got && is_plain(h)) return !h.over();
  (void)mind_rest(h, scratch, got, taken);
  return false;
}

}  // namespace

bool run_plain(Hold &h, size_t *in, size_t *out, bool *ret_again) noexcept {
  if (!is_plain(h) || !h.s.wire.empty()) return false;
  while (h.is(kReadable) && *in && *out) {
    if (!read_plain(h, in)) return false;
    if (h.s.wire.empty()) continue;
    // Answers go out before more is read: small ones soon, large ones while they are in the cache.
    send_wire(h, out);
    if (h.over() || !is_plain(h) || !h.s.wire.empty()) return false;  // a release function may have ended it
  }
  *ret_again = h.is(kReadable);
  return true;
}

}  // namespace torque
