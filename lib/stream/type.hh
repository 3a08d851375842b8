// SPDX-License-Identifier: BSD-3-Clause
// What streams, and layers, have in common with others of their type: callbacks and limits. Constant once the first
// stream was made with it; it lives as long as anybody refers to it.
//
// Thread: any, once frozen.
#pragma once

#include <atomic>
#include <cstdint>

#include "libtorque/stream.h"

namespace torque {

constexpr uint32_t kLayersMax = 8;
struct Hold;
class Context;
class Strand;
struct Rate;

class Counted {
 public:
  void ref() noexcept { refs_.fetch_add(1, std::memory_order_relaxed); }
  // True: that was the last one. (acq_rel: what others did with it happened before.)
  bool unref() noexcept { return refs_.fetch_sub(1, std::memory_order_acq_rel) == 1; }
  void freeze() noexcept {
    if (!frozen()) frozen_.store(true, std::memory_order_relaxed);
  }
  bool frozen() const noexcept { return frozen_.load(std::memory_order_relaxed); }

 private:
  std::atomic<uint32_t> refs_{1};
  std::atomic<bool> frozen_{false};
};

struct LayerType : Counted {
  torque_layer_open_fn *open = nullptr;
  torque_layer_close_fn *close = nullptr;
  torque_layer_receive_fn *receive = nullptr;
  torque_layer_send_fn *send = nullptr;
  torque_layer_step_fn *start = nullptr;
  torque_layer_step_fn *flush = nullptr;
  torque_layer_step_fn *end = nullptr;
  torque_layer_step_fn *ended = nullptr;
  void *arg = nullptr;
  void (*release)(void *) = nullptr;
  static constexpr size_t kNameMost = 31;
  char name[kNameMost + 1] = "";
};

struct StreamType : Counted {
  torque_stream_open_fn *open = nullptr;
  torque_stream_layer_open_fn *layer_open = nullptr;
  torque_stream_data_fn *data = nullptr;
  torque_stream_end_fn *end = nullptr;
  torque_stream_hangup_fn *hangup = nullptr;
  torque_stream_drain_fn *drain = nullptr;
  torque_stream_timeout_fn *timeout = nullptr;
  torque_stream_close_fn *close = nullptr;
  torque_stream_goaway_fn *goaway = nullptr;
  // The original's buffered sources (api/buffered.cc); null for all others.
  void (*writable)(Hold &) = nullptr;  // the descriptor takes bytes, for the first time or again
  void (*broken)(Hold &) = nullptr;    // it ends by an error, and its descriptor is about to be closed

  size_t input_low = 1;
  size_t input_high = 1 << 20;
  size_t output_low = 256 << 10;
  size_t output_high = 1 << 20;
  size_t budget = 256 << 10;
  uint64_t limit[4] = {};  // by TORQUE_STREAM_..._TIMEOUT; 0: none
  uint64_t linger = 2000000000;
  Rate *rate = nullptr;      // that its streams share; with a reference
  Strand *strand = nullptr;  // that its streams join; with a reference
  int32_t place = TORQUE_PLACE_DEFAULT;
  bool nodelay = true;
  bool timed = false;    // any limit is set
  bool borrows = false;  // the descriptor stays the program's until the stream ends by an error, or adopts it

  uint32_t layer_count = 0;
  LayerType *layers[kLayersMax] = {};  // with a reference each
};

// Whether streams of that type can be made in that context: its strand belongs there.
bool fits(const StreamType &type, const Context &context) noexcept;
// Give up a reference.
void unref(StreamType *type) noexcept;
void unref(LayerType *type) noexcept;

}  // namespace torque

struct torque_stream_type : torque::StreamType {};
struct torque_layer_type : torque::LayerType {};
