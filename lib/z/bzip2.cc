// SPDX-License-Identifier: BSD-3-Clause
#include "codec.hh"
#include "part.hh"

#if TORQUE_HAVE_BZIP2

#include <bzlib.h>

namespace torque_z {

namespace {

constexpr int kLevel = 9;
constexpr int kQuiet = 0;
constexpr int kWorkDefault = 0;
constexpr int kFast = 0;  // and not small

class Compressor final : public Encoder {
 public:
  explicit Compressor(const Options &options) noexcept : options_(options) {}
  ~Compressor() override {
    if (started_) (void)::BZ2_bzCompressEnd(&z_);
  }
  bool start() noexcept {
    const int level = options_.level_set ? options_.level : kLevel;
    started_ = ::BZ2_bzCompressInit(&z_, level, kQuiet, kWorkDefault) == BZ_OK;
    return started_;
  }
  torque_err step(Op op, Flow &flow, bool *ret_done) noexcept override {
    if (op == Op::run && flow.in_left == 0) {
      *ret_done = true;
      return TORQUE_ERR_NONE;
    }
    int result;
    {
      const Part part(z_, flow);
      result = ::BZ2_bzCompress(&z_, op == Op::run ? BZ_RUN : BZ_FINISH);
    }
    if (result < 0) return TORQUE_ERR_ASSERT;
    *ret_done = op == Op::run ? flow.in_left == 0 : result == BZ_STREAM_END;
    return TORQUE_ERR_NONE;
  }

 private:
  const Options &options_;
  bz_stream z_{};
  bool started_ = false;
};

class Expander final : public Decoder {
 public:
  ~Expander() override { stop(); }
  bool restart() noexcept override {
    stop();
    return start();
  }
  bool start() noexcept {
    started_ = ::BZ2_bzDecompressInit(&z_, kQuiet, kFast) == BZ_OK;
    return started_;
  }
  torque_err step(Flow &flow, bool *ret_ended) noexcept override {
    int result;
    {
      const Part part(z_, flow);
      result = ::BZ2_bzDecompress(&z_);
    }
    *ret_ended = result == BZ_STREAM_END;
    if (result == BZ_MEM_ERROR) return TORQUE_ERR_RESOURCE;
    return result < 0 ? TORQUE_ERR_Z_CORRUPT : TORQUE_ERR_NONE;
  }

 private:
  void stop() noexcept {
    if (started_) (void)::BZ2_bzDecompressEnd(&z_);
    started_ = false;
  }

  bz_stream z_{};
  bool started_ = false;
};

class Bzip2 final : public Codec {
 public:
  using Codec::Codec;
  Encoder *encoder() const noexcept override { return make_started<Compressor>(options); }
  Decoder *decoder() const noexcept override { return make_started<Expander>(); }
  Begins begins(const unsigned char *data, size_t length) const noexcept override {
    constexpr unsigned char kMagic[] = {'B', 'Z', 'h'};
    const Begins magic = begins_with(data, length, kMagic, sizeof kMagic);
    if (magic != Begins::yes) return magic;
    if (length == sizeof kMagic) return Begins::perhaps;
    return data[3] >= '1' && data[3] <= '9' ? Begins::yes : Begins::no;
  }
};

}  // namespace

torque_err make_bzip2(Options &&options, Codec **ret) noexcept {
  const bool level_fits = !options.level_set || (options.level >= 1 && options.level <= 9);
  if (!level_fits || options.window || options.dictionary.size() || options.flush == TORQUE_FLUSH_SYNC ||
      options.format != TORQUE_FORMAT_GZIP) {
    return TORQUE_ERR_INVAL;
  }
  // A block can only be ended together with its member.
  if (options.flush == TORQUE_FLUSH_DEFAULT) options.flush = TORQUE_FLUSH_MEMBER;
  *ret = new (std::nothrow) Bzip2(std::move(options));
  return *ret ? TORQUE_ERR_NONE : TORQUE_ERR_RESOURCE;
}

}  // namespace torque_z

#else

namespace torque_z {
torque_err make_bzip2(Options &&, Codec **) noexcept { return TORQUE_ERR_UNAVAIL; }
}  // namespace torque_z

#endif
