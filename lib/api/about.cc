// SPDX-License-Identifier: BSD-3-Clause
// What a handle answers about its source.
#include "api/handle.hh"
#include "libtorque/source.h"
#include "source/listener.hh"

using namespace torque;

namespace {

int32_t public_kind(Kind kind) noexcept {
  switch (kind) {
    case Kind::fd: return TORQUE_KIND_FD;
    case Kind::event: return TORQUE_KIND_EVENT;
    case Kind::timer: return TORQUE_KIND_TIMER;
    case Kind::signal: return TORQUE_KIND_SIGNAL;
    case Kind::listener:
    case Kind::acceptor: return TORQUE_KIND_LISTENER;
    case Kind::child: return TORQUE_KIND_CHILD;
    case Kind::stream: return TORQUE_KIND_STREAM;
    case Kind::job: return TORQUE_KIND_JOB;
    case Kind::datagram:
    case Kind::datagrams: return TORQUE_KIND_DATAGRAM;
    case Kind::path: return TORQUE_KIND_PATH;
    case Kind::condition: return TORQUE_KIND_CONDITION;
    case Kind::waiter: return TORQUE_KIND_WAITER;
    case Kind::network: return TORQUE_KIND_NETWORK;
    case Kind::idle: return TORQUE_KIND_IDLE;
    case Kind::strand:
    case Kind::hub:
    case Kind::ring:
    case Kind::inodes: break;
  }
  return TORQUE_KIND_INTERNAL;
}

// Of the first part, if that is the only socket. The listener is held. STATE: it has none yet.
torque_err fd_of_listener(Slot &s, int32_t *ret) noexcept {
  const Listener &l = listener_of(s);
  Seen part;
  if (hold_acceptor(l, &part)) return has_ended(s) ? TORQUE_ERR_STALE : TORQUE_ERR_STATE;
  const bool several = l.parts > 1 && l.policy == TORQUE_LISTEN_REUSEPORT;
  const int fd = part.slot->fd.get();
  let_go(*part.slot);
  if (several) return TORQUE_ERR_KIND;
  *ret = fd;
  return TORQUE_ERR_NONE;
}

}  // namespace

extern "C" {

int32_t torque_source_alive(torque_source source) {
  const Visit visit;
  Seen v;
  return look(source, &v);
}

torque_err torque_source_arg(torque_source source, void **ret_arg) {
  const Visit visit;
  Seen v;
  if (!ret_arg) return TORQUE_ERR_INVAL;
  if (!look(source, &v)) return TORQUE_ERR_STALE;
  void *arg = v.slot->arg.look();
  if (!look(source, &v)) return TORQUE_ERR_STALE;
  *ret_arg = arg;
  return TORQUE_ERR_NONE;
}

torque_err torque_source_domain(torque_source source, uint32_t *ret_domain) {
  const Visit visit;
  Seen v;
  if (!ret_domain) return TORQUE_ERR_INVAL;
  if (!look(source, &v)) return TORQUE_ERR_STALE;
  *ret_domain = v.domain->index;
  return TORQUE_ERR_NONE;
}

torque_err torque_source_kind(torque_source source, int32_t *ret_kind) {
  const Visit visit;
  Seen v;
  if (!ret_kind) return TORQUE_ERR_INVAL;
  if (!look(source, &v)) return TORQUE_ERR_STALE;
  *ret_kind = public_kind(v.kind);
  return TORQUE_ERR_NONE;
}

torque_err torque_source_fd(torque_source source, int32_t *ret_fd) {
  const Visit visit;
  Seen v;
  if (!ret_fd) return TORQUE_ERR_INVAL;
  if (!look(source, &v)) return TORQUE_ERR_STALE;
  if (v.domain->context.foreign()) return TORQUE_ERR_FORKED;
  switch (v.kind) {
    case Kind::fd:
    case Kind::stream:
    case Kind::datagram:
    case Kind::acceptor: break;
    case Kind::listener: {
      if (word::state(v.word) == word::NEW) return TORQUE_ERR_STATE;
      if (!hold(source, &v)) return TORQUE_ERR_STALE;
      const torque_err err = fd_of_listener(*v.slot, ret_fd);
      let_go(*v.slot);
      return err;
    }
    default: return TORQUE_ERR_KIND;
  }
  if (v.fd < 0) return TORQUE_ERR_STATE;
  *ret_fd = v.fd;
  return TORQUE_ERR_NONE;
}

torque_err torque_source_set_arg(torque_source source, void *arg) {
  const Visit visit;
  Seen v;
  if (!look(source, &v)) return TORQUE_ERR_STALE;
  if (public_kind(v.kind) == TORQUE_KIND_INTERNAL || v.kind == Kind::acceptor) return TORQUE_ERR_KIND;
  if (v.domain->context.foreign()) return TORQUE_ERR_FORKED;
  if (!hold(source, &v)) return TORQUE_ERR_STALE;
  v.slot->arg.set(arg);
  let_go(*v.slot);
  return TORQUE_ERR_NONE;
}

}  // extern "C"
