// SPDX-License-Identifier: BSD-3-Clause
#include <new>

#include "api/handle.hh"
#include "libtorque/stream.h"
#include "stream/rate.hh"

using torque::StreamType;

namespace {

torque_err settable(const torque_stream_type *type) noexcept {
  if (!type) return TORQUE_ERR_INVAL;
  return type->frozen() ? TORQUE_ERR_STATE : TORQUE_ERR_NONE;
}

template <class T, class V>
torque_err set(torque_stream_type *type, T StreamType::*field, V value) noexcept {
  if (const torque_err err = settable(type)) return err;
  type->*field = value;
  return TORQUE_ERR_NONE;
}

torque_err set_marks(torque_stream_type *type, size_t StreamType::*low_field, size_t low,
                     size_t StreamType::*high_field, size_t high) noexcept {
  if (low > high) return TORQUE_ERR_INVAL;
  const torque_err err = set(type, low_field, low);
  return err ? err : set(type, high_field, high);
}

}  // namespace

extern "C" {

torque_err torque_stream_type_new(struct torque_stream_type **ret_type) {
  if (!ret_type) return TORQUE_ERR_INVAL;
  auto *type = new (std::nothrow) torque_stream_type;
  if (!type) return TORQUE_ERR_RESOURCE;
  *ret_type = type;
  return TORQUE_ERR_NONE;
}

void torque_stream_type_free(struct torque_stream_type *type) {
  const torque::Visit visit;  // its strand's context may have gone
  if (type) torque::unref(type);
}

torque_err torque_stream_type_set_open(struct torque_stream_type *type, torque_stream_open_fn *fn) {
  return set(type, &StreamType::open, fn);
}
torque_err torque_stream_type_set_layer_open(struct torque_stream_type *type, torque_stream_layer_open_fn *fn) {
  return set(type, &StreamType::layer_open, fn);
}
torque_err torque_stream_type_set_data(struct torque_stream_type *type, torque_stream_data_fn *fn) {
  return set(type, &StreamType::data, fn);
}
torque_err torque_stream_type_set_end(struct torque_stream_type *type, torque_stream_end_fn *fn) {
  return set(type, &StreamType::end, fn);
}
torque_err torque_stream_type_set_hangup(struct torque_stream_type *type, torque_stream_hangup_fn *fn) {
  return set(type, &StreamType::hangup, fn);
}
torque_err torque_stream_type_set_drain(struct torque_stream_type *type, torque_stream_drain_fn *fn) {
  return set(type, &StreamType::drain, fn);
}
torque_err torque_stream_type_set_timeout(struct torque_stream_type *type, torque_stream_timeout_fn *fn) {
  return set(type, &StreamType::timeout, fn);
}
torque_err torque_stream_type_set_close(struct torque_stream_type *type, torque_stream_close_fn *fn) {
  return set(type, &StreamType::close, fn);
}

torque_err torque_stream_type_set_goaway(struct torque_stream_type *type, torque_stream_goaway_fn *fn) {
  return set(type, &StreamType::goaway, fn);
}

torque_err torque_stream_type_set_input(struct torque_stream_type *type, size_t low, size_t high) {
  if (low == 0) return TORQUE_ERR_INVAL;
  return set_marks(type, &StreamType::input_low, low, &StreamType::input_high, high);
}
torque_err torque_stream_type_set_output(struct torque_stream_type *type, size_t low, size_t high) {
  return set_marks(type, &StreamType::output_low, low, &StreamType::output_high, high);
}

torque_err torque_stream_type_set_limit(struct torque_stream_type *type, int32_t which, uint64_t ns) {
  if (which < TORQUE_STREAM_CONNECT_TIMEOUT || which > TORQUE_STREAM_IDLE_TIMEOUT) return TORQUE_ERR_INVAL;
  if (const torque_err err = settable(type)) return err;
  type->limit[which] = ns;
  type->timed = false;
  for (const uint64_t limit : type->limit) type->timed |= limit != 0;
  return TORQUE_ERR_NONE;
}

torque_err torque_stream_type_set_linger(struct torque_stream_type *type, uint64_t ns) {
  return set(type, &StreamType::linger, ns);
}
torque_err torque_stream_type_set_budget(struct torque_stream_type *type, size_t bytes) {
  return bytes ? set(type, &StreamType::budget, bytes) : TORQUE_ERR_INVAL;
}
torque_err torque_stream_type_set_nodelay(struct torque_stream_type *type, int32_t nodelay) {
  return set(type, &StreamType::nodelay, nodelay != 0);
}

torque_err torque_stream_type_set_strand(struct torque_stream_type *type, struct torque_strand *strand) {
  const torque::Visit visit;
  if (const torque_err err = settable(type)) return err;
  if (strand) strand->ref();
  if (type->strand) type->strand->unref();
  type->strand = strand;
  return TORQUE_ERR_NONE;
}
torque_err torque_stream_type_set_placement(struct torque_stream_type *type, int32_t place) {
  return place < TORQUE_PLACE_FAR ? TORQUE_ERR_INVAL : set(type, &StreamType::place, place);
}

torque_err torque_stream_type_set_rate(struct torque_stream_type *type, struct torque_rate *rate) {
  if (const torque_err err = settable(type)) return err;
  if (rate) rate->ref();
  if (type->rate) torque::unref(type->rate);
  type->rate = rate;
  return TORQUE_ERR_NONE;
}

torque_err torque_stream_type_add_layer(struct torque_stream_type *type, struct torque_layer_type *layer) {
  if (const torque_err err = settable(type)) return err;
  if (!layer || !layer->receive || !layer->send || type->layer_count == torque::kLayersMax) return TORQUE_ERR_INVAL;
  layer->ref();
  type->layers[type->layer_count++] = layer;
  return TORQUE_ERR_NONE;
}

}  // extern "C"
