// SPDX-License-Identifier: BSD-3-Clause
// What few streams have, so that the others need not carry it: made when it is first asked for, freed with the stream.
//
// Thread: the stream's holder.
#pragma once

#include <atomic>
#include <cstddef>
#include <cstdint>

#include "stream/pipe.hh"
#include "stream/rate.hh"

namespace torque {

// How much input is told at once.
struct Expect {
  enum class What : uint8_t { any, bytes, until };
  static constexpr size_t kMost = size_t{1} << 30;
  static constexpr size_t kDelimiterMost = 32;

  What what = What::any;
  uint8_t delimiter_length = 0;
  char delimiter[kDelimiterMost];
  size_t bytes = 0;  // so many; until: at most
  size_t seen = 0;   // until: of what is kept, so many bytes hold no delimiter

  // How much of that is to be told; 0: not yet. no_more: nothing comes behind it.
  size_t ready(const char *data, size_t length, bool no_more) noexcept;
};

struct Extras {
  Expect expect;
  Flow *source = nullptr;     // what comes in goes there, and not to the program; with a reference
  Flow *sink = nullptr;       // what comes from there goes out; with a reference
  Fate applied = Fate::none;  // of the sink
  bool blocked = false;       // see is_blocked()
  uint32_t parting = 0;       // of sides that are to be attached: unpiped before that
  uint32_t queued = kUnseen;  // of the output, in the kernel, at the last look since a send
  static constexpr uint32_t kUnseen = UINT32_MAX;
  Throttle *throttle = nullptr;  // kept until the stream ends; with kRated it has a rate
  torque_err failing = 0;     // it ends with that, by a reset, when all is sent
};

}  // namespace torque
