// SPDX-License-Identifier: BSD-3-Clause
// The original's buffered sources: streams that only read, of descriptors that stay the program's. All of them have one
// type, and the program's callbacks and state in a small object that the stream's end frees.
#include "libtorque/buffers.h"

#include <fcntl.h>
#include <poll.h>

#include <algorithm>

#include "api/attempt.hh"
#include "api/handle.hh"
#include "base/syscall.hh"
#include "libtorque/torque.h"
#include "stream/stream.hh"

using namespace torque;

struct torque_rxbuf {
  const char *data;
  size_t left;
};

namespace {

struct Buffered {
  Context &context;
  libtorquebrcb rx;
  libtorquebwcb tx;
  void *state;
};

Buffered &buffered(const Hold &h) noexcept { return *static_cast<Buffered *>(h.s.slot->arg.get()); }

Hold holding(torque_source stream) noexcept {
  return {*current_turn(), stream_of(*find_slot(index_of(stream))), stream};
}

// One call of the program. False: it has closed the descriptor, of which we know nothing any more.
bool call(Hold &h, libtorquebrcb fn, const void *data, size_t length, size_t *ret_taken) noexcept {
  if (torque_rxbuf_call(h.s.slot->fd.get(), fn, buffered(h).state, data, length, ret_taken) == 0) return true;
  disown_descriptor(*h.s.slot);
  over(h, TORQUE_ERR_NONE);
  return false;
}

bool call_with_kept(Hold &h, libtorquebrcb fn) noexcept {
  size_t taken;
  const Piece *kept = h.s.kept;
  if (!call(h, fn, kept ? kept->at : "", kept ? kept->left : 0, &taken)) return false;
  if (taken) take_kept(h, &h.s.kept, taken);
  return true;
}

// One that never can be written to is not waited for.
bool takes_bytes(const Hold &h) noexcept {
  if (h.is(kReadOnly)) return true;
  pollfd p{.fd = h.s.slot->fd.get(), .events = POLLOUT, .revents = 0};
  return sys::retry([&] { return ::poll(&p, 1, 0); }) != 0;
}

// The peer has ended: what is left is told as long as the program takes of it, but not while it could not answer.
void tell_rest(Hold &h) noexcept {
  for (uint64_t before = 0; h.s.kept && h.s.kept->left != before;) {
    if (!takes_bytes(h)) return;  // the edge calls us
    before = h.s.kept->left;
    if (!call_with_kept(h, buffered(h).rx)) return;
  }
  size_t taken;
  if (!call(h, buffered(h).rx, "", 0, &taken)) return;
  adopt_descriptor(*h.s.slot);
  over(h, TORQUE_ERR_NONE);
}

void on_writable(Hold &h) noexcept {
  if (h.is(kEndTold)) return tell_rest(h);
  h.clear(kFull);
  if (buffered(h).tx)
    (void)call_with_kept(h, buffered(h).tx);
  else if (h.s.kept)
    h.set(kRetell);
}

void on_broken(Hold &h) noexcept {
  const Buffered &b = buffered(h);
  const bool unconnected = h.is(kConnecting) && b.tx;
  size_t taken;
  (void)call(h, unconnected || !b.rx ? b.tx : b.rx, "", 0, &taken);
}

extern "C" {

static size_t on_data(torque_source stream, const void *data, size_t length, void *) {
  Hold h = holding(stream);
  size_t taken = length;
  (void)call(h, buffered(h).rx, data, length, &taken);
  return taken;
}

static void on_end(torque_source stream, void *) {
  Hold h = holding(stream);
  tell_rest(h);
}

static void on_close(torque_source, torque_err, void *arg) {
  auto *b = static_cast<Buffered *>(arg);
  b->context.alloc.destroy(b);
}

}  // extern "C"

struct BufferedType : StreamType {
  constexpr BufferedType() noexcept {
    data = on_data;
    end = on_end;
    close = on_close;
    writable = on_writable;
    broken = on_broken;
    nodelay = false;  // the program's to say
    borrows = true;
  }
};
constinit BufferedType type;  // its own reference keeps it

// addr null: fd is connected.
torque_err add(torque_ctx *ctx, int fd, const sockaddr *addr, socklen_t addrlen, const Buffered &what) noexcept {
  uint32_t flags;
  if (const torque_err err = look_at_descriptor(fd, &flags)) return err;
  if (!what.rx) flags |= kWriteOnly;
  Buffered *b = ctx->core.alloc.make<Buffered>(what);
  if (!b) return TORQUE_ERR_RESOURCE;
  Slot *slot;
  torque_err err = make_stream(ctx->core, fd, type, b, flags, &slot);
  torque_source stream = err ? 0 : handle_of(*slot);
  if (!err && addr && ::connect(fd, addr, addrlen) != 0) {
    const int e = errno;
    if (waits_for_room(addr, e)) {
      stream_of(*slot).flags |= kConnecting | kWaits;
      err = try_again_later(ctx, stream, addr, addrlen);
    } else if (e != EINPROGRESS && e != EINTR) {
      err = err_of_errno(e);
    } else {
      stream_of(*slot).flags |= kConnecting;
    }
    if (err) retire(stream, TORQUE_END_REMOVED);
  }
  if (!err) err = start_or_undo(stream, &stream);
  if (err) ctx->core.alloc.destroy(b);  // nobody is told of a stream that never started
  return err;
}

torque_err check_arguments(torque_ctx *ctx, int fd, libtorquebrcb rx, libtorquebwcb tx) noexcept {
  if (!ctx || fd < 0 || (!rx && !tx)) return TORQUE_ERR_INVAL;
  return fd < Descriptors::kEnd ? check(ctx) : TORQUE_ERR_SYSCALL + EBADF;
}

}  // namespace

extern "C" {

const char *rxbuffer_valid(const struct torque_rxbuf *rxb, size_t *valid) {
  *valid = rxb->left;
  return rxb->data;
}

void rxbuffer_advance(struct torque_rxbuf *rxb, size_t n) {
  n = std::min(n, rxb->left);
  rxb->data += n;
  rxb->left -= n;
}

int torque_rxbuf_call(int fd, libtorquebrcb fn, void *state, const void *data, size_t length, size_t *ret_taken) {
  torque_rxbuf rxb{static_cast<const char *>(data), length};
  const int answer = fn(fd, &rxb, state);
  *ret_taken = length - rxb.left;
  return answer;
}

torque_err torque_addfd(struct torque_ctx *ctx, int fd, libtorquebrcb rx, libtorquebwcb tx, void *state) {
  const Visit visit;
  const torque_err err = check_arguments(ctx, fd, rx, tx);
  return err ? err : add(ctx, fd, nullptr, 0, {ctx->core, rx, tx, state});
}

torque_err torque_addconnector(struct torque_ctx *ctx, int fd, const struct sockaddr *addr, socklen_t addrlen,
                               libtorquebrcb rx, libtorquebwcb tx, void *state) {
  const Visit visit;
  if (!addr) return TORQUE_ERR_INVAL;
  const torque_err err = check_arguments(ctx, fd, rx, tx);
  return err ? err : add(ctx, fd, addr, addrlen, {ctx->core, rx, tx, state});
}

}  // extern "C"
