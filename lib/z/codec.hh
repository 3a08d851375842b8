// SPDX-License-Identifier: BSD-3-Clause
// What the layer needs of a library that compresses: one member at a time, from bytes into room.
//
// Thread: one at a time; options are constant.
#pragma once

#include <cstddef>
#include <cstdint>

#include "libtorque/compress.h"
#include "memory.hh"

namespace torque_z {

struct Options {
  uint32_t direction = TORQUE_COMPRESS | TORQUE_EXPAND;
  int32_t level = 0;
  bool level_set = false;
  uint32_t format = TORQUE_FORMAT_GZIP;
  uint32_t window = 0;
  uint32_t flush = TORQUE_FLUSH_DEFAULT;
  uint32_t follows = TORQUE_FOLLOWS_MEMBER;
  uint64_t limit = 0;
  uint32_t ratio = 0;
  Bytes dictionary;
};

// What is left of the input, and of the room for output.
struct Flow {
  const char *in;
  size_t in_left;
  char *out;
  size_t out_left;
};

enum class Op { run, flush, finish };

// Makes one member. Memory is given back when it goes.
class Encoder {
 public:
  virtual ~Encoder() = default;
  // Takes and makes what it can. *ret_done: flush or finish has nothing more to give; run has taken all.
  virtual torque_err step(Op op, Flow &flow, bool *ret_done) noexcept = 0;
};

// Expands one member.
class Decoder {
 public:
  virtual ~Decoder() = default;
  // *ret_ended: the member is complete, and all of it was given. Where output room is left all input was taken, or
  // that.
  virtual torque_err step(Flow &flow, bool *ret_ended) noexcept = 0;
  // For another member. False: no memory.
  virtual bool restart() noexcept = 0;
};

// Whether bytes are the beginning of a member.
enum class Begins { yes, no, perhaps };

// One kind of compression with its options, shared by all layers of a type.
class Codec {
 public:
  explicit Codec(Options &&from) noexcept : options(static_cast<Options &&>(from)) {}
  virtual ~Codec() = default;
  // Null: no memory.
  virtual Encoder *encoder() const noexcept = 0;
  virtual Decoder *decoder() const noexcept = 0;
  virtual Begins begins(const unsigned char *data, size_t length) const noexcept = 0;

  const Options options;
};

// Of a magic number that length bytes may be too few for.
inline Begins begins_with(const unsigned char *data, size_t length, const unsigned char *magic, size_t n) noexcept {
  for (size_t i = 0; i < n; ++i) {
    if (i == length) return Begins::perhaps;
    if (data[i] != magic[i]) return Begins::no;
  }
  return Begins::yes;
}

// Take over the options if they fit. Errors: INVAL, UNAVAIL, RESOURCE.
torque_err make_gzip(Options &&options, Codec **ret) noexcept;
torque_err make_bzip2(Options &&options, Codec **ret) noexcept;
torque_err make_zstd(Options &&options, Codec **ret) noexcept;

}  // namespace torque_z
