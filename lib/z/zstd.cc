// SPDX-License-Identifier: BSD-3-Clause
#include "codec.hh"

#if TORQUE_HAVE_ZSTD

#include <zstd.h>
#include <zstd_errors.h>

namespace torque_z {

namespace {

constexpr uint32_t kWindowMin = 10;
constexpr uint32_t kWindowMax = 27;
constexpr uint32_t kWindowAccepted = 23;
constexpr int kLevelOfLargeWindows = 19;  // above it libzstd takes more than kWindowAccepted

bool failed(size_t result) noexcept { return ::ZSTD_isError(result) != 0; }

class Compressor final : public Encoder {
 public:
  Compressor(const Options &options, const ZSTD_CDict *dictionary) noexcept
      : options_(options), dictionary_(dictionary) {}
  ~Compressor() override { (void)::ZSTD_freeCCtx(context_); }
  bool start() noexcept {
    context_ = ::ZSTD_createCCtx();
    if (!context_ || !set(ZSTD_c_checksumFlag, 1)) return false;
    if (options_.level_set && !set(ZSTD_c_compressionLevel, options_.level)) return false;
    if (options_.window && !set(ZSTD_c_windowLog, static_cast<int>(options_.window))) return false;
    if (!options_.window && options_.level_set && options_.level > kLevelOfLargeWindows &&
        !set(ZSTD_c_windowLog, kWindowAccepted)) {
      return false;
    }
    return !dictionary_ || !failed(::ZSTD_CCtx_refCDict(context_, dictionary_));
  }
  torque_err step(Op op, Flow &flow, bool *ret_done) noexcept override {
    ZSTD_inBuffer in{flow.in, flow.in_left, 0};
    ZSTD_outBuffer out{flow.out, flow.out_left, 0};
    const ZSTD_EndDirective how = op == Op::run ? ZSTD_e_continue : op == Op::flush ? ZSTD_e_flush : ZSTD_e_end;
    const size_t left = ::ZSTD_compressStream2(context_, &out, &in, how);
    if (failed(left)) {
      return ::ZSTD_getErrorCode(left) == ZSTD_error_memory_allocation ? TORQUE_ERR_RESOURCE : TORQUE_ERR_ASSERT;
    }
    flow = {flow.in + in.pos, flow.in_left - in.pos, flow.out + out.pos, flow.out_left - out.pos};
    *ret_done = op == Op::run ? flow.in_left == 0 : left == 0;
    return TORQUE_ERR_NONE;
  }

 private:
  bool set(ZSTD_cParameter what, int value) noexcept {
    return !failed(::ZSTD_CCtx_setParameter(context_, what, value));
  }

  const Options &options_;
  const ZSTD_CDict *dictionary_;
  ZSTD_CCtx *context_ = nullptr;
};

torque_err meaning(size_t result) noexcept {
  switch (::ZSTD_getErrorCode(result)) {
    case ZSTD_error_memory_allocation:
      return TORQUE_ERR_RESOURCE;
    case ZSTD_error_frameParameter_windowTooLarge:
      return TORQUE_ERR_Z_TOOLARGE;
    case ZSTD_error_dictionary_wrong:
      return TORQUE_ERR_Z_DICTIONARY;
    default:
      return TORQUE_ERR_Z_CORRUPT;
  }
}

class Expander final : public Decoder {
 public:
  Expander(const Options &options, const ZSTD_DDict *dictionary) noexcept
      : options_(options), dictionary_(dictionary) {}
  ~Expander() override { (void)::ZSTD_freeDCtx(context_); }
  bool start() noexcept {
    context_ = ::ZSTD_createDCtx();
    if (!context_) return false;
    const auto most = static_cast<int>(options_.window ? options_.window : kWindowAccepted);
    return !failed(::ZSTD_DCtx_setParameter(context_, ZSTD_d_windowLogMax, most)) &&
           (!dictionary_ || !failed(::ZSTD_DCtx_refDDict(context_, dictionary_)));
  }
  bool restart() noexcept override { return !failed(::ZSTD_DCtx_reset(context_, ZSTD_reset_session_only)); }
  torque_err step(Flow &flow, bool *ret_ended) noexcept override {
    ZSTD_inBuffer in{flow.in, flow.in_left, 0};
    ZSTD_outBuffer out{flow.out, flow.out_left, 0};
    const size_t result = ::ZSTD_decompressStream(context_, &out, &in);
    if (failed(result)) return meaning(result);
    flow = {flow.in + in.pos, flow.in_left - in.pos, flow.out + out.pos, flow.out_left - out.pos};
    *ret_ended = result == 0;
    return TORQUE_ERR_NONE;
  }

 private:
  const Options &options_;
  const ZSTD_DDict *dictionary_;
  ZSTD_DCtx *context_ = nullptr;
};

class Zstd final : public Codec {
 public:
  using Codec::Codec;
  ~Zstd() override {
    (void)::ZSTD_freeCDict(compressing_);
    (void)::ZSTD_freeDDict(expanding_);
  }
  // The dictionary is digested once for all layers.
  bool start() noexcept {
    const Bytes &d = options.dictionary;
    if (!d.size()) return true;
    const int level = options.level_set ? options.level : ZSTD_CLEVEL_DEFAULT;
    if (options.direction & TORQUE_COMPRESS) compressing_ = ::ZSTD_createCDict(d.data(), d.size(), level);
    if (options.direction & TORQUE_EXPAND) expanding_ = ::ZSTD_createDDict(d.data(), d.size());
    return (compressing_ || !(options.direction & TORQUE_COMPRESS)) &&
           (expanding_ || !(options.direction & TORQUE_EXPAND));
  }
  Encoder *encoder() const noexcept override { return make_started<Compressor>(options, compressing_); }
  Decoder *decoder() const noexcept override { return make_started<Expander>(options, expanding_); }
  Begins begins(const unsigned char *data, size_t length) const noexcept override {
    constexpr unsigned char kFrame[] = {0x28, 0xb5, 0x2f, 0xfd};
    constexpr unsigned char kSkipped[] = {0x2a, 0x4d, 0x18};  // behind 0x50 to 0x5f
    if (length && (data[0] & 0xf0) == 0x50) return begins_with(data + 1, length - 1, kSkipped, sizeof kSkipped);
    return begins_with(data, length, kFrame, sizeof kFrame);
  }

 private:
  ZSTD_CDict *compressing_ = nullptr;
  ZSTD_DDict *expanding_ = nullptr;
};

// It has an inner form, which may be damaged.
bool is_trained(const Bytes &dictionary) noexcept {
  constexpr unsigned char kMagic[] = {0x37, 0xa4, 0x30, 0xec};
  return begins_with(static_cast<const unsigned char *>(dictionary.data()), dictionary.size(), kMagic, sizeof kMagic) ==
         Begins::yes;
}

bool possible(const Options &o) noexcept {
  return (!o.level_set || (o.level >= ::ZSTD_minCLevel() && o.level <= ::ZSTD_maxCLevel())) &&
         (!o.window || (o.window >= kWindowMin && o.window <= kWindowMax)) && o.format == TORQUE_FORMAT_GZIP;
}

}  // namespace

torque_err make_zstd(Options &&options, Codec **ret) noexcept {
  if (!possible(options)) return TORQUE_ERR_INVAL;
  const bool trained = is_trained(options.dictionary);
  *ret = make_started<Zstd>(std::move(options));
  return *ret ? TORQUE_ERR_NONE : trained ? TORQUE_ERR_INVAL : TORQUE_ERR_RESOURCE;
}

}  // namespace torque_z

#else

namespace torque_z {
torque_err make_zstd(Options &&, Codec **) noexcept { return TORQUE_ERR_UNAVAIL; }
}  // namespace torque_z

#endif
