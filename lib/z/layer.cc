// SPDX-License-Identifier: BSD-3-Clause
// The layer of any codec. Whatever stands in it is made at the first byte, and given back at the end of a member where
// nothing follows at once, so that a stream that waits there holds no more than a Layer.
#include "layer.hh"

#include <algorithm>

namespace torque_z {

namespace {

constexpr uint64_t kFreely = 1 << 20;  // expands by any ratio

// Where what is received stands.
enum class At {
  nothing,  // came yet
  inside,   // a member
  between,  // members
  over      // what comes is discarded
};

struct Layer {
  const Codec *codec;
  Encoder *encoder = nullptr;
  Decoder *decoder = nullptr;
  At at = At::nothing;
  bool more = false;      // the decoder has more to give than there was room for
  bool made_any = false;  // a member was sent, or is being sent
  uint64_t came = 0;      // compressed
  uint64_t became = 0;
};

Layer &layer_of(void *state) noexcept { return *static_cast<Layer *>(state); }

bool compresses(const Layer &l) noexcept { return l.codec->options.direction & TORQUE_COMPRESS; }
bool expands(const Layer &l) noexcept { return l.codec->options.direction & TORQUE_EXPAND; }

void end_encoder(Layer &l) noexcept { delete std::exchange(l.encoder, nullptr); }
void end_decoder(Layer &l) noexcept { delete std::exchange(l.decoder, nullptr); }

bool too_large(const Layer &l) noexcept {
  const Options &o = l.codec->options;
  if (o.limit && l.became > o.limit) return true;
  return o.ratio && l.became > kFreely && l.became / o.ratio >= l.came + 1;
}

// Passes down what becomes of n bytes, and with another op all that is held back.
torque_err encode(struct torque_layer *layer, Layer &l, Op op, const char *data, size_t n) noexcept {
  if (!l.encoder) l.encoder = l.codec->encoder();
  auto *out = static_cast<char *>(torque_layer_scratch(layer));
  if (!l.encoder || !out) return TORQUE_ERR_RESOURCE;
  l.made_any = true;
  Flow flow{data, n, out, 0};
  for (bool done = false; !done;) {
    flow.out = out;
    flow.out_left = TORQUE_LAYER_SCRATCH;
    torque_err err = l.encoder->step(op, flow, &done);
    const size_t made = TORQUE_LAYER_SCRATCH - flow.out_left;
    if (!err && made) err = torque_layer_down(layer, out, made);
    if (err) return err;
  }
  if (op == Op::finish) end_encoder(l);
  return TORQUE_ERR_NONE;
}

// Whether another member follows; else all is over, or it remains to be seen.
bool goes_on(struct torque_layer *layer, Layer &l, const Flow &flow) noexcept {
  if (l.codec->options.follows != TORQUE_FOLLOWS_ANY) return true;
  const Begins begins = l.codec->begins(reinterpret_cast<const unsigned char *>(flow.in), flow.in_left);
  if (begins == Begins::no) {
    l.at = At::over;
    torque_layer_up_end(layer);
  }
  return begins == Begins::yes;
}

void end_member(struct torque_layer *layer, Layer &l) noexcept {
  l.more = false;
  l.at = At::between;
  if (l.codec->options.follows != TORQUE_FOLLOWS_END) return;
  l.at = At::over;
  torque_layer_up_end(layer);
}

bool begin_member(Layer &l) noexcept {
  if (l.at != At::inside && l.decoder && !l.decoder->restart()) return false;
  if (!l.decoder) l.decoder = l.codec->decoder();
  l.at = At::inside;
  return l.decoder;
}

// One step of a member. *ret_on: there is room above, and something to go on with.
torque_err decode(struct torque_layer *layer, Layer &l, Flow &flow, char *out, bool *ret_on) noexcept {
  flow.out = out;
  flow.out_left = TORQUE_LAYER_SCRATCH;
  const size_t before = flow.in_left;
  bool ended = false;
  const torque_err err = l.decoder->step(flow, &ended);
  const size_t made = TORQUE_LAYER_SCRATCH - flow.out_left;
  l.came += before - flow.in_left;
  l.became += made;
  if (made && too_large(l)) return TORQUE_ERR_Z_TOOLARGE;
  bool room = !made || torque_layer_up(layer, out, made);
  if (err) return err;
  l.more = made == TORQUE_LAYER_SCRATCH;
  if (ended)
    end_member(layer, l);
  else if (!made && before == flow.in_left)
    room = false;  // it waits for more than there is
  *ret_on = room && (l.more || flow.in_left);
  return TORQUE_ERR_NONE;
}

torque_err expand(struct torque_layer *layer, Layer &l, Flow &flow) noexcept {
  auto *out = static_cast<char *>(torque_layer_scratch(layer));
  if (!out) return TORQUE_ERR_RESOURCE;
  for (bool on = flow.in_left || l.more; on && l.at != At::over;) {
    if (l.at == At::between && !goes_on(layer, l, flow)) break;
    if (!begin_member(l)) return TORQUE_ERR_RESOURCE;
    if (const torque_err err = decode(layer, l, flow, out, &on)) return err;
  }
  if (l.at != At::inside && !flow.in_left) end_decoder(l);
  return TORQUE_ERR_NONE;
}

extern "C" {

static torque_err layer_open(struct torque_layer *, void *arg, void **ret_state) {
  auto *l = new (std::nothrow) Layer{static_cast<const Codec *>(arg)};
  if (!l) return TORQUE_ERR_RESOURCE;
  *ret_state = l;
  return TORQUE_ERR_NONE;
}

static void layer_close(void *state) {
  Layer &l = layer_of(state);
  end_encoder(l);
  end_decoder(l);
  delete &l;
}

static torque_err layer_receive(struct torque_layer *layer, void *state, const void *data, size_t length,
                                size_t *ret_taken) {
  Layer &l = layer_of(state);
  if (!expands(l)) {
    if (length) (void)torque_layer_up(layer, data, length);
    return TORQUE_ERR_NONE;
  }
  Flow flow{static_cast<const char *>(data), length, nullptr, 0};
  const torque_err err = expand(layer, l, flow);
  *ret_taken = l.at == At::over ? length : length - flow.in_left;
  return err;
}

static torque_err layer_send(struct torque_layer *layer, void *state, const void *data, size_t length) {
  Layer &l = layer_of(state);
  if (!compresses(l)) return torque_layer_down(layer, data, length);
  return encode(layer, l, Op::run, static_cast<const char *>(data), length);
}

static torque_err layer_flush(struct torque_layer *layer, void *state) {
  Layer &l = layer_of(state);
  const uint32_t how = l.codec->options.flush;
  if (!l.encoder || how == TORQUE_FLUSH_NONE) return TORQUE_ERR_NONE;
  return encode(layer, l, how == TORQUE_FLUSH_MEMBER ? Op::finish : Op::flush, nullptr, 0);
}

static torque_err layer_end(struct torque_layer *layer, void *state) {
  Layer &l = layer_of(state);
  if (!compresses(l) || (l.made_any && !l.encoder)) return TORQUE_ERR_NONE;
  return encode(layer, l, Op::finish, nullptr, 0);
}

static torque_err layer_ended(struct torque_layer *, void *state) {
  const Layer &l = layer_of(state);
  if (!expands(l) || l.at == At::over || l.at == At::between) return TORQUE_ERR_NONE;
  return TORQUE_ERR_Z_TRUNCATED;
}

static void layer_release(void *arg) { delete static_cast<Codec *>(arg); }

}  // extern "C"

}  // namespace

torque_err make_layer_type(Codec *codec, struct torque_layer_type **ret_type) noexcept {
  struct torque_layer_type *type;
  if (const torque_err err = torque_layer_type_new(&type)) {
    delete codec;
    return err;
  }
  // A type that is not frozen refuses nothing.
  (void)torque_layer_type_set_arg(type, codec, layer_release);
  (void)torque_layer_type_set_name(type, "compression");
  (void)torque_layer_type_set_open(type, layer_open);
  (void)torque_layer_type_set_close(type, layer_close);
  (void)torque_layer_type_set_receive(type, layer_receive);
  (void)torque_layer_type_set_send(type, layer_send);
  (void)torque_layer_type_set_flush(type, layer_flush);
  (void)torque_layer_type_set_end(type, layer_end);
  (void)torque_layer_type_set_ended(type, layer_ended);
  *ret_type = type;
  return TORQUE_ERR_NONE;
}

}  // namespace torque_z
