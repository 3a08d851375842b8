// SPDX-License-Identifier: BSD-3-Clause
#include "codec.hh"
#include "part.hh"

#if TORQUE_HAVE_ZLIB

#define ZLIB_CONST
#include <zlib.h>

#include <climits>

namespace torque_z {

namespace {

constexpr int kMemoryLevel = 8;
constexpr uint32_t kWindowMin = 9;
constexpr uint32_t kWindowMax = 15;

const Bytef *dictionary_of(const Options &options) noexcept {
  return static_cast<const Bytef *>(options.dictionary.data());
}
uInt dictionary_size(const Options &options) noexcept { return static_cast<uInt>(options.dictionary.size()); }

int sent_window(const Options &options) noexcept {
  const int bits = static_cast<int>(options.window ? options.window : kWindowMax);
  if (options.format == TORQUE_FORMAT_RAW) return -bits;
  return options.format == TORQUE_FORMAT_ZLIB ? bits : bits + 16;
}

int received_window(const Options &options) noexcept {
  switch (options.format) {
    case TORQUE_FORMAT_RAW:
      return -MAX_WBITS;
    case TORQUE_FORMAT_ZLIB:
      return MAX_WBITS;
    case TORQUE_FORMAT_AUTO:
      return MAX_WBITS + 32;
    default:
      return MAX_WBITS + 16;
  }
}

class Deflater final : public Encoder {
 public:
  explicit Deflater(const Options &options) noexcept : options_(options) {}
  ~Deflater() override {
    if (started_) (void)::deflateEnd(&z_);
  }
  bool start() noexcept {
    const int level = options_.level_set ? options_.level : Z_DEFAULT_COMPRESSION;
    started_ = ::deflateInit2(&z_, level, Z_DEFLATED, sent_window(options_), kMemoryLevel, Z_DEFAULT_STRATEGY) == Z_OK;
    return started_ && (!options_.dictionary.size() ||
                        ::deflateSetDictionary(&z_, dictionary_of(options_), dictionary_size(options_)) == Z_OK);
  }
  torque_err step(Op op, Flow &flow, bool *ret_done) noexcept override {
    int result;
    {
      const Part part(z_, flow);
      result = ::deflate(&z_, op == Op::run ? Z_NO_FLUSH : op == Op::flush ? Z_SYNC_FLUSH : Z_FINISH);
    }
    // No progress is possible: nothing was left to flush.
    if (result != Z_OK && result != Z_STREAM_END && result != Z_BUF_ERROR) return TORQUE_ERR_ASSERT;
    *ret_done = op == Op::finish ? result == Z_STREAM_END : flow.in_left == 0 && (op == Op::run || flow.out_left);
    return TORQUE_ERR_NONE;
  }

 private:
  const Options &options_;
  z_stream z_{};
  bool started_ = false;
};

class Inflater final : public Decoder {
 public:
  explicit Inflater(const Options &options) noexcept : options_(options) {}
  ~Inflater() override {
    if (started_) (void)::inflateEnd(&z_);
  }
  bool start() noexcept {
    started_ = ::inflateInit2(&z_, received_window(options_)) == Z_OK;
    return started_ && prepare();
  }
  bool restart() noexcept override { return ::inflateReset(&z_) == Z_OK && prepare(); }
  torque_err step(Flow &flow, bool *ret_ended) noexcept override {
    for (;;) {
      int result;
      {
        const Part part(z_, flow);
        result = ::inflate(&z_, Z_NO_FLUSH);
      }
      switch (result) {
        case Z_OK:
        case Z_BUF_ERROR:  // nothing to do
          return TORQUE_ERR_NONE;
        case Z_STREAM_END:
          *ret_ended = true;
          return TORQUE_ERR_NONE;
        case Z_NEED_DICT:
          if (!options_.dictionary.size() || !give_dictionary()) return TORQUE_ERR_Z_DICTIONARY;
          break;
        case Z_MEM_ERROR:
          return TORQUE_ERR_RESOURCE;
        default:
          return TORQUE_ERR_Z_CORRUPT;
      }
    }
  }

 private:
  // Raw data do not ask for a dictionary.
  bool prepare() noexcept {
    return options_.format != TORQUE_FORMAT_RAW || !options_.dictionary.size() || give_dictionary();
  }
  bool give_dictionary() noexcept {
    return ::inflateSetDictionary(&z_, dictionary_of(options_), dictionary_size(options_)) == Z_OK;
  }

  const Options &options_;
  z_stream z_{};
  bool started_ = false;
};

Begins begins_gzip(const unsigned char *data, size_t length) noexcept {
  constexpr unsigned char kMagic[] = {0x1f, 0x8b};
  return begins_with(data, length, kMagic, sizeof kMagic);
}

Begins begins_zlib(const unsigned char *data, size_t length) noexcept {
  if (length && ((data[0] & 0x0f) != Z_DEFLATED || data[0] >> 4 > MAX_WBITS - 8)) return Begins::no;
  if (length < 2) return Begins::perhaps;
  return (data[0] << 8 | data[1]) % 31 == 0 ? Begins::yes : Begins::no;
}

class Gzip final : public Codec {
 public:
  using Codec::Codec;
  Encoder *encoder() const noexcept override { return make_started<Deflater>(options); }
  Decoder *decoder() const noexcept override { return make_started<Inflater>(options); }
  Begins begins(const unsigned char *data, size_t length) const noexcept override {
    switch (options.format) {
      case TORQUE_FORMAT_RAW:
        return Begins::yes;  // there is nothing to tell it by
      case TORQUE_FORMAT_ZLIB:
        return begins_zlib(data, length);
      case TORQUE_FORMAT_AUTO: {
        const Begins gzip = begins_gzip(data, length);
        return gzip == Begins::no ? begins_zlib(data, length) : gzip;
      }
      default:
        return begins_gzip(data, length);
    }
  }
};

bool possible(const Options &o) noexcept {
  const bool has_dictionary = o.format == TORQUE_FORMAT_ZLIB || o.format == TORQUE_FORMAT_RAW;
  return (!o.level_set || (o.level >= 0 && o.level <= 9)) &&
         (!o.window || (o.window >= kWindowMin && o.window <= kWindowMax)) &&
         (!o.dictionary.size() || has_dictionary) && o.dictionary.size() <= UINT_MAX;
}

}  // namespace

torque_err make_gzip(Options &&options, Codec **ret) noexcept {
  if (!possible(options)) return TORQUE_ERR_INVAL;
  *ret = new (std::nothrow) Gzip(std::move(options));
  return *ret ? TORQUE_ERR_NONE : TORQUE_ERR_RESOURCE;
}

}  // namespace torque_z

#else

namespace torque_z {
torque_err make_gzip(Options &&, Codec **) noexcept { return TORQUE_ERR_UNAVAIL; }
}  // namespace torque_z

#endif
