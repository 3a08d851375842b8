// SPDX-License-Identifier: BSD-3-Clause
// Input in the portions that the program expects.
#include <algorithm>

#include "stream/stream.hh"

namespace torque {

namespace {
constexpr uint32_t kIdleMost = 16;  // calls that change what is expected, and take nothing, in a row
}

size_t Expect::ready(const char *data, size_t length, bool no_more) noexcept {
  const size_t within = std::min(length, bytes);
  if (what == What::until && within >= delimiter_length) {
    const size_t from = seen - std::min<size_t>(seen, delimiter_length - 1u);  // it may have begun there
    if (const void *at = ::memmem(data + from, within - from, delimiter, delimiter_length)) {
      return static_cast<size_t>(static_cast<const char *>(at) - data) + delimiter_length;
    }
    seen = within;
  }
  return length >= bytes || no_more ? within : 0;
}

Extras *extras_of(Hold &h) noexcept {
  if (!h.s.extras) h.s.extras = h.context().alloc.make<Extras>();
  return h.s.extras;
}

size_t tell_expected(Hold &h, const char *data, size_t length, bool no_more) noexcept {
  Stream &s = h.s;
  size_t taken = 0;
  uint32_t idle = 0;
  while (taken < length && may_tell(h) && !h.is(kPushed) && is_expecting(s)) {
    Expect &e = s.extras->expect;
    const size_t n = e.ready(data + taken, length - taken, no_more);
    if (n == 0) break;
    h.clear(kRetell);
    const size_t of_it = call_data(h, data + taken, n);
    if (h.over()) break;
    taken += of_it;
    if (of_it) {
      e.seen = 0;
      idle = 0;
    } else if (!h.is(kRetell) || ++idle == kIdleMost) {
      break;  // with what comes next; or, as it expects something else, later in this turn
    }
  }
  return taken;
}

}  // namespace torque
