// SPDX-License-Identifier: BSD-3-Clause
#include "libtorque/datagram.h"

#include <algorithm>
#include <cstring>

#include "api/handle.hh"
#include "base/syscall.hh"
#include "kinds/datagram/datagram.hh"

using namespace torque;

namespace {

constexpr uint32_t kSocketFlags =
    TORQUE_DATAGRAM_GRO | TORQUE_DATAGRAM_NO_GSO | TORQUE_DATAGRAM_LOCAL | TORQUE_DATAGRAM_CLASS;

// A duplicate of a datagram socket.
torque_err duplicate(int fd, Fd *ret) noexcept {
  int type;
  if (!sockets::get(fd, SOL_SOCKET, SO_TYPE, &type)) return last_error();
  if (type != SOCK_DGRAM) return TORQUE_ERR_INVAL;
  return sockets::duplicate(fd, ret);
}

// Before the start only.
template <class F>
torque_err change_setup(torque_source source, F change) noexcept {
  {
    Snapshot v;
    if (!look(source, &v)) return TORQUE_ERR_STALE;
    if (v.kind != Kind::datagram && v.kind != Kind::datagrams) return TORQUE_ERR_KIND;
  }
  Setup setup(source);
  if (!setup.err) change(*setup_of(setup.slot(), setup.seen.kind));
  return setup.err;
}

const Datagram *find(const torque_datagrams *b, uint32_t i) noexcept {
  return b && b->has(i) ? &b->datagram[i] : nullptr;
}

const Failures::Failure *find_failure(const torque_datagrams *b, uint32_t i) noexcept {
  return b && i < b->failures->listed ? &b->failures->list[i] : nullptr;
}

const void *answer(const void *addr, uint32_t len, uint32_t *ret_addrlen) noexcept {
  if (ret_addrlen) *ret_addrlen = len;
  return len ? addr : nullptr;
}

}  // namespace

extern "C" {

torque_err torque_datagram_new(struct torque_ctx *ctx, int32_t fd, uint32_t flags, torque_datagram_fn *fn, void *arg,
                               torque_source *ret_source) {
  const Visit visit;
  if (fd < 0 || (flags & ~kSocketFlags) || !fn || !ret_source) return TORQUE_ERR_INVAL;
  if (const torque_err err = check(ctx)) return err;
  Fd own;
  if (const torque_err err = duplicate(fd, &own)) return err;
  DatagramSetup setup;
  setup.fn = fn;
  setup.arg = arg;
  setup.flags = flags;
  setup.fd = own.get();
  Slot *s;
  if (const torque_err err = make_port(ctx->core, setup, &s)) return err;
  (void)own.release();
  *ret_source = handle_of(*s);
  return TORQUE_ERR_NONE;
}

torque_err torque_datagram_add(struct torque_ctx *ctx, int32_t fd, uint32_t flags, torque_datagram_fn *fn, void *arg,
                               torque_source *ret_source) {
  const Visit visit;
  if (!ret_source) return TORQUE_ERR_INVAL;
  torque_source source;
  const torque_err err = torque_datagram_new(ctx, fd, flags, fn, arg, &source);
  return err ? err : start_or_undo(source, ret_source);
}

torque_err torque_datagram_bind_new(struct torque_ctx *ctx, const void *addr, uint32_t addrlen, uint32_t flags,
                                    torque_datagram_fn *fn, void *arg, torque_source *ret_source) {
  const Visit visit;
  if (!ctx || !addr || addrlen < sizeof(sa_family_t) || addrlen > sizeof(sockaddr_storage) || !fn || !ret_source ||
      (flags & ~(kSocketFlags | TORQUE_DATAGRAM_REUSEPORT))) {
    return TORQUE_ERR_INVAL;
  }
  if (const torque_err err = check(ctx)) return err;
  DatagramSetup setup;
  setup.fn = fn;
  setup.arg = arg;
  setup.flags = flags;
  setup.address.set(addr, addrlen);
  Slot *s;
  if (const torque_err err = make_port(ctx->core, setup, &s)) return err;
  *ret_source = handle_of(*s);
  return TORQUE_ERR_NONE;
}

torque_err torque_datagram_bind_add(struct torque_ctx *ctx, const void *addr, uint32_t addrlen, uint32_t flags,
                                    torque_datagram_fn *fn, void *arg, torque_source *ret_source) {
  const Visit visit;
  if (!ret_source) return TORQUE_ERR_INVAL;
  torque_source source;
  const torque_err err = torque_datagram_bind_new(ctx, addr, addrlen, flags, fn, arg, &source);
  return err ? err : start_or_undo(source, ret_source);
}

torque_err torque_datagram_set_size(torque_source source, uint32_t size) {
  const Visit visit;
  if (size == 0 || size > kSizeMax) return TORQUE_ERR_INVAL;
  return change_setup(source, [size](DatagramSetup &s) { s.size = size; });
}

torque_err torque_datagram_set_queue(torque_source source, uint64_t limit) {
  const Visit visit;
  if (limit == 0) return TORQUE_ERR_INVAL;
  return change_setup(source, [limit](DatagramSetup &s) { s.limit = limit; });
}

torque_err torque_datagram_address(torque_source source, void *addr, uint32_t size, uint32_t *ret_addrlen) {
  const Visit visit;
  if (!ret_addrlen || (size && !addr)) return TORQUE_ERR_INVAL;
  Snapshot v;
  if (const torque_err err = hold_port(source, &v)) return err;
  sockaddr_storage address;
  socklen_t len = sizeof address;
  const int failed = ::getsockname(v.slot->fd.get(), reinterpret_cast<sockaddr *>(&address), &len);
  const torque_err err = failed ? last_error() : TORQUE_ERR_NONE;
  let_go(*v.slot);
  if (err) return err;
  if (size) std::memcpy(addr, &address, std::min<size_t>(size, std::min<size_t>(len, sizeof address)));
  *ret_addrlen = len;
  return TORQUE_ERR_NONE;
}

torque_err torque_datagram_send(torque_source source, const void *addr, uint32_t addrlen, const void *data,
                                uint32_t size) {
  const Visit visit;
  if ((addrlen && !addr) || addrlen > sizeof(sockaddr_storage) || (size && !data)) return TORQUE_ERR_INVAL;
  return send_datagram(source, addr, addrlen, data, size);
}

torque_err torque_datagram_queued(torque_source source, uint64_t *ret_bytes) {
  const Visit visit;
  if (!ret_bytes) return TORQUE_ERR_INVAL;
  return bytes_waiting(source, ret_bytes);
}

uint32_t torque_datagrams_count(const struct torque_datagrams *batch) { return batch ? batch->count : 0; }

const void *torque_datagrams_data(const struct torque_datagrams *batch, uint32_t i) {
  const Datagram *d = find(batch, i);
  return d ? d->data : nullptr;
}

uint32_t torque_datagrams_size(const struct torque_datagrams *batch, uint32_t i) {
  const Datagram *d = find(batch, i);
  return d ? d->size : 0;
}

uint32_t torque_datagrams_full_size(const struct torque_datagrams *batch, uint32_t i) {
  return find(batch, i) ? batch->full_size(i) : 0;
}

const void *torque_datagrams_peer(const struct torque_datagrams *batch, uint32_t i, uint32_t *ret_addrlen) {
  const Datagram *d = find(batch, i);
  return answer(d ? &batch->name[d->message] : nullptr, d ? batch->header[d->message].msg_hdr.msg_namelen : 0,
                ret_addrlen);
}

const void *torque_datagrams_local(const struct torque_datagrams *batch, uint32_t i, uint32_t *ret_addrlen) {
  const Datagram *d = find(batch, i);
  const bool asked = d && (batch->port->setup.flags & TORQUE_DATAGRAM_LOCAL);
  return answer(asked ? &batch->message[d->message].local : nullptr, asked ? batch->message[d->message].local_len : 0,
                ret_addrlen);
}

int32_t torque_datagrams_class(const struct torque_datagrams *batch, uint32_t i) {
  const Datagram *d = find(batch, i);
  const bool asked = d && (batch->port->setup.flags & TORQUE_DATAGRAM_CLASS);
  return asked ? batch->message[d->message].traffic_class : -1;
}

torque_err torque_datagrams_reply(struct torque_datagrams *batch, uint32_t i, const void *data, uint32_t size) {
  if (!find(batch, i) || (size && !data)) return TORQUE_ERR_INVAL;
  return reply_datagram(*batch, i, data, size);
}

torque_err torque_datagrams_error(const struct torque_datagrams *batch) { return batch ? batch->error : 0; }
int32_t torque_datagrams_has_room(const struct torque_datagrams *batch) { return batch && batch->room; }

uint64_t torque_datagrams_failed(const struct torque_datagrams *batch) { return batch ? batch->failures->count : 0; }

torque_err torque_datagrams_failure(const struct torque_datagrams *batch, uint32_t i) {
  const Failures::Failure *f = find_failure(batch, i);
  return f ? f->err : 0;
}

uint32_t torque_datagrams_failure_size(const struct torque_datagrams *batch, uint32_t i) {
  const Failures::Failure *f = find_failure(batch, i);
  return f ? f->size : 0;
}

const void *torque_datagrams_failure_peer(const struct torque_datagrams *batch, uint32_t i, uint32_t *ret_addrlen) {
  const Failures::Failure *f = find_failure(batch, i);
  return answer(f ? &f->peer : nullptr, f ? f->peer_len : 0, ret_addrlen);
}

}  // extern "C"
