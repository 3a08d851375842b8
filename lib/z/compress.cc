// SPDX-License-Identifier: BSD-3-Clause
#include "libtorque/compress.h"

#include "layer.hh"

using namespace torque_z;

struct torque_compression {
  Options options;
};

namespace {

template <class V>
torque_err set(torque_compression *compression, V Options::*field, V value, V most) noexcept {
  if (!compression || value > most) return TORQUE_ERR_INVAL;
  compression->options.*field = value;
  return TORQUE_ERR_NONE;
}

bool copy(const torque_compression *from, Options *to) noexcept {
  if (!from) return true;
  const Options &o = from->options;
  to->direction = o.direction;
  to->level = o.level;
  to->level_set = o.level_set;
  to->format = o.format;
  to->window = o.window;
  to->flush = o.flush;
  to->follows = o.follows;
  to->limit = o.limit;
  to->ratio = o.ratio;
  return to->dictionary.assign(o.dictionary.data(), o.dictionary.size());
}

torque_err make(torque_err (*codec_of)(Options &&, Codec **), const torque_compression *compression,
                struct torque_layer_type **ret_type) noexcept {
  if (!ret_type) return TORQUE_ERR_INVAL;
  Options options;
  if (!copy(compression, &options)) return TORQUE_ERR_RESOURCE;
  Codec *codec;
  if (const torque_err err = codec_of(std::move(options), &codec)) return err;
  return make_layer_type(codec, ret_type);
}

}  // namespace

extern "C" {

torque_err torque_compression_new(struct torque_compression **ret_compression) {
  if (!ret_compression) return TORQUE_ERR_INVAL;
  auto *c = new (std::nothrow) torque_compression;
  if (!c) return TORQUE_ERR_RESOURCE;
  *ret_compression = c;
  return TORQUE_ERR_NONE;
}

void torque_compression_free(struct torque_compression *compression) { delete compression; }

torque_err torque_compression_set_direction(struct torque_compression *compression, uint32_t direction) {
  if (direction == 0) return TORQUE_ERR_INVAL;
  return set<uint32_t>(compression, &Options::direction, direction, TORQUE_COMPRESS | TORQUE_EXPAND);
}

torque_err torque_compression_set_level(struct torque_compression *compression, int32_t level) {
  if (!compression) return TORQUE_ERR_INVAL;
  compression->options.level = level;
  compression->options.level_set = true;
  return TORQUE_ERR_NONE;
}

torque_err torque_compression_set_format(struct torque_compression *compression, uint32_t format) {
  return set<uint32_t>(compression, &Options::format, format, TORQUE_FORMAT_AUTO);
}

torque_err torque_compression_set_window(struct torque_compression *compression, uint32_t bits) {
  return set<uint32_t>(compression, &Options::window, bits, 31);
}

torque_err torque_compression_set_dictionary(struct torque_compression *compression, const void *data, size_t length) {
  if (!compression || (length && !data)) return TORQUE_ERR_INVAL;
  return compression->options.dictionary.assign(data, length) ? TORQUE_ERR_NONE : TORQUE_ERR_RESOURCE;
}

torque_err torque_compression_set_flush(struct torque_compression *compression, uint32_t flush) {
  return set<uint32_t>(compression, &Options::flush, flush, TORQUE_FLUSH_NONE);
}

torque_err torque_compression_set_follows(struct torque_compression *compression, uint32_t follows) {
  return set<uint32_t>(compression, &Options::follows, follows, TORQUE_FOLLOWS_END);
}

torque_err torque_compression_set_limit(struct torque_compression *compression, uint64_t bytes, uint32_t ratio) {
  if (!compression) return TORQUE_ERR_INVAL;
  compression->options.limit = bytes;
  compression->options.ratio = ratio;
  return TORQUE_ERR_NONE;
}

torque_err torque_gzip_layer(const struct torque_compression *compression, struct torque_layer_type **ret_type) {
  return make(make_gzip, compression, ret_type);
}

torque_err torque_bzip2_layer(const struct torque_compression *compression, struct torque_layer_type **ret_type) {
  return make(make_bzip2, compression, ret_type);
}

torque_err torque_zstd_layer(const struct torque_compression *compression, struct torque_layer_type **ret_type) {
  return make(make_zstd, compression, ret_type);
}

}  // extern "C"
