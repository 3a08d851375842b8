// SPDX-License-Identifier: BSD-3-Clause
#include <algorithm>
#include <utility>

#include "base/syscall.hh"
#include "stream/stream.hh"

namespace torque {

namespace {

using Layer = torque_layer;
constexpr size_t kChunk = 65536;

Hold hold_of(const Layer &l) noexcept { return {*current_turn(), *l.stream, handle_of(*l.stream->slot)}; }

torque_err open_layer(Layer &l, Stream &s, LayerType &type, uint32_t level) noexcept {
  type.freeze();
  type.ref();
  l = {&s, &type, nullptr, nullptr, 0, 0, level};
  const torque_err err = type.open ? type.open(&l, type.arg, &l.state) : TORQUE_ERR_NONE;
  if (!err) l.flags = Layer::kOpen;
  return err;
}

// The lowest is the first: those above pass on what it answered.
torque_err note_failure(Layer &l, torque_err err) noexcept {
  Layers &layers = *l.stream->layers;
  if (err && !layers.failure) {
    layers.failure = err;
    layers.failed = l.level;
  }
  return err;
}

void close_layer(Layer &l) noexcept {
  if ((l.flags & Layer::kOpen) && l.type->close) l.type->close(l.state);
  unref(l.type);
}

bool receive(Hold &h, Layer &l, const char *data, size_t length) noexcept {
  if (l.kept) {
    if (!keep(h, &l.kept, data, length)) {
      fail(h, TORQUE_ERR_RESOURCE);
      return false;
    }
    data = l.kept->at;
    length = l.kept->left;
  }
  size_t taken = length;
  const torque_err err = l.type->receive(&l, l.state, data, length, &taken);
  if (h.over()) return false;
  if (err) {
    fail_layer(h, l, err);
    return false;
  }
  taken = std::min(taken, length);
  bool kept = true;
  if (l.kept && taken)
    take_kept(h, &l.kept, taken);
  else if (!l.kept)
    kept = keep(h, &l.kept, data + taken, length - taken);
  if (!kept) {
    fail(h, TORQUE_ERR_RESOURCE);
    return false;
  }
  if (!h.is(kOpened)) advance_layers(h);
  return !h.over() && !(l.flags & Layer::kStopped);
}

torque_err send_through(Hold &h, uint32_t above, const char *data, size_t length) noexcept {
  if (above == 0) return h.is(kReadOnly) ? TORQUE_ERR_SYSCALL + EBADF : append_wire(h, data, length);
  Layer &l = h.s.layers->layer[above - 1];
  h.s.layers->unflushed = true;
  l.flags |= Layer::kSent | Layer::kSending;
  const torque_err err = l.type->send(&l, l.state, data, length);
  l.flags &= ~Layer::kSending;
  return note_failure(l, err);
}

// False: it has ended.
bool tell_layer(Hold &h, int32_t level, Layer *l) noexcept {
  if (!h.s.type->layer_open || h.is(kClosing)) return true;
  h.s.type->layer_open(h.handle, level, l, h.s.slot->arg.look());
  return !h.over();
}

// Without layers this comes once, as open does.
bool tell_descriptor(Hold &h) noexcept {
  if (h.s.layers && std::exchange(h.s.layers->wire_told, true)) return true;
  return h.is(kOpened) || tell_layer(h, TORQUE_LEVEL_DESCRIPTOR, nullptr);
}

torque_err step_down(Layer &l, torque_layer_step_fn *fn) noexcept {
  if (!fn) return TORQUE_ERR_NONE;
  l.flags |= Layer::kSending;
  const torque_err err = fn(&l, l.state);
  l.flags &= ~Layer::kSending;
  return note_failure(l, err);
}

torque_err flush_layer(Layer &l) noexcept {
  if (!(l.flags & Layer::kSent)) return TORQUE_ERR_NONE;
  l.flags &= ~Layer::kSent;
  return step_down(l, l.type->flush);
}

bool wire_has(const Stream &s, size_t most) noexcept {
  uint64_t n = 0;
  for (const Piece *p = s.wire.first; p && n < most; p = p->next) n += p->left;
  return n >= most;
}

// A chunk of a file, to be seen by layers.
torque_err send_file_chunk(Hold &h, Piece &p, size_t n) noexcept {
  Piece *copy = new_piece(h, n);
  if (!copy) return TORQUE_ERR_RESOURCE;
  const ssize_t got = sys::retry([&] { return ::pread(p.fd, copy->at, n, static_cast<off_t>(p.offset)); });
  torque_err err = got < 0 ? last_error() : got == 0 ? TORQUE_ERR_SYSCALL + EIO : TORQUE_ERR_NONE;
  if (!err) err = send_through(h, h.s.layers->count, copy->at, static_cast<size_t>(got));
  free_piece(h, copy);
  if (err) return err;
  p.offset += static_cast<uint64_t>(got);
  p.left -= static_cast<uint64_t>(got);
  h.s.pending.fetch_sub(static_cast<uint64_t>(got), std::memory_order_relaxed);
  return TORQUE_ERR_NONE;
}

torque_err send_chunk(Hold &h, Piece &p) noexcept {
  const size_t n = std::min<uint64_t>(p.left, kChunk);
  if (p.kind == Piece::Kind::file) return send_file_chunk(h, p, n);
  const torque_err err = send_through(h, h.s.layers->count, p.at, n);
  p.take(n);
  h.s.pending.fetch_sub(n, std::memory_order_relaxed);
  return err;
}

}  // namespace

void fail_layer(Hold &h, torque_layer &l, torque_err err) noexcept { fail(h, note_failure(l, err)); }

void flush_layers(Hold &h) noexcept {
  if (!h.s.layers->unflushed) return;
  for (uint32_t i = h.s.layers->count; i-- > 0;) {
    const torque_err err = flush_layer(h.s.layers->layer[i]);
    if (h.over()) return;
    if (err) return fail(h, err);
  }
  h.s.layers->unflushed = false;
}

torque_err open_layers(Context &context, Stream &s) noexcept {
  s.layers = context.alloc.make<Layers>();
  if (!s.layers) return TORQUE_ERR_RESOURCE;
  for (uint32_t i = 0; i < s.type->layer_count; ++i) {
    s.layers->count = i + 1;
    if (const torque_err err = open_layer(s.layers->layer[i], s, *s.type->layers[i], i)) return err;
  }
  return TORQUE_ERR_NONE;
}

void close_layers(const Alloc &alloc, Stream &s) noexcept {
  Turn *t = current_turn();
  for (uint32_t i = s.layers->count; i-- > 0;) {
    Layer &l = s.layers->layer[i];
    if (l.kept) t && & t->context.alloc == &alloc ? t->pool.give(l.kept) : free_piece(alloc, l.kept);
    close_layer(l);
  }
  alloc.destroy(s.layers);
  s.layers = nullptr;
}

torque_err push_layer(Hold &h, LayerType &type) noexcept {
  Stream &s = h.s;
  if (s.layers && s.layers->count == kLayersMax) return TORQUE_ERR_INVAL;
  if (s.layers) {
    if (h.is(kOpened)) push_plain(h, SIZE_MAX);
    if (h.over()) return TORQUE_ERR_STALE;
    if (!s.layers->plain.empty()) return TORQUE_ERR_STATE;
  } else {
    s.layers = h.context().alloc.make<Layers>();
    if (!s.layers) return TORQUE_ERR_RESOURCE;
    s.layers->wire_told = true;
  }
  Layer &l = s.layers->layer[s.layers->count];
  if (const torque_err err = open_layer(l, s, type, s.layers->count)) {
    unref(&type);
    if (s.layers->count == 0) {
      h.context().alloc.destroy(s.layers);
      s.layers = nullptr;
    }
    return err;
  }
  if ((s.kept || h.is(kInData)) && !h.is(kPushed)) {
    s.layers->pushed = s.layers->count;
    h.set(kPushed);
  }
  ++s.layers->count;
  h.clear(kOpened);
  return TORQUE_ERR_NONE;
}

int32_t failed_level(const Stream &s) noexcept {
  const Layers *layers = s.layers;
  if (!layers) return TORQUE_LEVEL_DESCRIPTOR;
  if (layers->failure) return layers->failure == s.error ? static_cast<int32_t>(layers->failed) : TORQUE_LEVEL_DESCRIPTOR;
  if (s.error != TORQUE_ERR_SYSCALL + ETIMEDOUT || (s.flags & (kOpened | kConnecting))) return TORQUE_LEVEL_DESCRIPTOR;
  for (uint32_t i = 0; i < layers->count; ++i) {
    const uint32_t flags = layers->layer[i].flags;
    if (!(flags & Layer::kReady)) return flags & Layer::kStarted ? static_cast<int32_t>(i) : TORQUE_LEVEL_DESCRIPTOR;
  }
  return TORQUE_LEVEL_DESCRIPTOR;
}

bool layers_ready(const Stream &s) noexcept {
  return !s.layers || s.layers->count == 0 || (s.layers->layer[s.layers->count - 1].flags & Layer::kReady);
}

bool may_advance(const Hold &h) noexcept {
  if (h.is(kOpened) || h.is(kConnecting)) return false;
  for (uint32_t i = 0; h.s.layers && i < h.s.layers->count; ++i) {
    const uint32_t flags = h.s.layers->layer[i].flags;
    if (!(flags & Layer::kStarted)) return true;
    if (!(flags & Layer::kReady)) return false;
  }
  return true;
}

void advance_layers(Hold &h) noexcept {
  Stream &s = h.s;
  if (!tell_descriptor(h)) return;
  for (uint32_t i = 0; s.layers && i < s.layers->count; ++i) {
    Layer &l = s.layers->layer[i];
    if (!(l.flags & Layer::kStarted)) {
      l.flags |= Layer::kStarted | (l.type->start ? 0u : uint32_t{Layer::kReady});
      const torque_err err = l.type->start ? l.type->start(&l, l.state) : TORQUE_ERR_NONE;
      if (h.over()) return;
      if (err) return fail_layer(h, l, err);
    }
    if (!(l.flags & Layer::kReady)) return;
    if (!(l.flags & Layer::kTold)) {
      l.flags |= Layer::kTold;
      if (!tell_layer(h, static_cast<int32_t>(i), &l)) return;
    }
  }
  if (h.is(kOpened) || h.is(kClosing)) {
    h.set(kOpened);
    return;
  }
  h.set(kOpened);
  note_in(h);
  note_out(h);
  if (s.kept) h.set(kRetell);
  if (s.type->open) s.type->open(h.handle, s.slot->arg.look());
}

bool feed(Hold &h, uint32_t level, const char *data, size_t length) noexcept {
  Stream &s = h.s;
  if (!s.layers || level >= s.layers->count) {
    if (!h.is(kOpened) && layers_ready(s)) advance_layers(h);
    if (h.over()) return false;
    if (!s.layers || level >= s.layers->count) return tell_program(h, data, length);  // open may have pushed one more
  }
  Layer &l = s.layers->layer[level];
  if (l.flags & Layer::kEnded) return true;
  if (!(l.flags & Layer::kStarted)) advance_layers(h);
  if (h.over()) return false;
  if (!(l.flags & Layer::kStopped)) return receive(h, l, data, length);
  if (!keep(h, &l.kept, data, length)) fail(h, TORQUE_ERR_RESOURCE);
  return false;
}

bool feed_stopped(Hold &h) noexcept {
  Layers &layers = *h.s.layers;
  bool any = false;
  for (uint32_t i = layers.count; i-- > 0;) {
    Layer &l = layers.layer[i];
    if (!(l.flags & Layer::kStopped)) continue;
    if (l.told >= h.s.type->budget) break;
    l.flags &= ~Layer::kStopped;
    if (l.flags & Layer::kEnded) continue;
    any = true;
    if (!receive(h, l, "", 0)) break;
  }
  return any;
}

void begin_layers(Stream &s) noexcept {
  for (uint32_t i = 0; i < s.layers->count; ++i) s.layers->layer[i].told = 0;
}

bool any_stopped(const Stream &s) noexcept {
  if (!s.layers) return false;
  for (uint32_t i = 0; i < s.layers->count; ++i) {
    if (s.layers->layer[i].flags & Layer::kStopped) return true;
  }
  return false;
}

void push_plain(Hold &h, size_t wire_max) noexcept {
  Stream &s = h.s;
  Pieces &plain = s.layers->plain;
  if (s.layers->pushing) return;
  s.layers->pushing = true;
  while (!plain.empty() && !s.layers->held && !wire_has(s, wire_max)) {
    Piece &p = *plain.first;
    const torque_err err = send_chunk(h, p);
    if (err) fail(h, err);
    if (h.over()) break;
    if (p.left == 0) free_piece(h, plain.pop());
  }
  if (plain.empty() && !s.layers->held && !h.over()) flush_layers(h);
  s.layers->pushing = false;
}

void pass_end(Hold &h) noexcept {
  Stream &s = h.s;
  h.set(kEndPassed);
  if (!s.layers || s.layers->held || h.is(kReadOnly)) return;
  for (uint32_t i = s.layers->count; i-- > 0;) {
    Layer &l = s.layers->layer[i];
    if (!(l.flags & Layer::kStarted)) continue;
    torque_err err = flush_layer(l);
    if (!err) err = step_down(l, l.type->end);
    if (h.over()) return;
    if (err) return fail(h, err);
  }
}

}  // namespace torque

using namespace torque;

extern "C" {

int32_t torque_layer_up(struct torque_layer *layer, const void *data, size_t length) {
  Hold h = hold_of(*layer);
  if (h.over()) return 0;
  bool more = feed(h, layer->level + 1, static_cast<const char *>(data), length);
  if (h.over()) return 0;
  layer->told += length;
  more = more && layer->told < h.s.type->budget;
  if (!more) layer->flags |= torque_layer::kStopped;
  return more;
}

void torque_layer_up_end(struct torque_layer *layer) { layer->flags |= torque_layer::kEnded; }

torque_err torque_layer_down(struct torque_layer *layer, const void *data, size_t length) {
  Hold h = hold_of(*layer);
  return send_through(h, layer->level, static_cast<const char *>(data), length);
}

void torque_layer_ready(struct torque_layer *layer) {
  if (layer->flags & torque_layer::kHeld) --layer->stream->layers->held;
  layer->flags = (layer->flags | torque_layer::kReady) & ~uint32_t{torque_layer::kHeld};
}

void torque_layer_hold(struct torque_layer *layer) {
  if (!(layer->flags & torque_layer::kHeld)) ++layer->stream->layers->held;
  layer->flags |= torque_layer::kHeld;
}

void *torque_layer_scratch(struct torque_layer *layer) {
  return current_turn()->pool.scratch(layer->level + 1 + (layer->flags & torque_layer::kSending ? kLayersMax : 0));
}

int32_t torque_layer_level(const struct torque_layer *layer) { return static_cast<int32_t>(layer->level); }

const char *torque_layer_name(const struct torque_layer *layer) { return layer->type->name; }

void *torque_layer_state(const struct torque_layer *layer) { return layer->state; }

torque_source torque_layer_stream(const struct torque_layer *layer) { return handle_of(*layer->stream->slot); }

}  // extern "C"
