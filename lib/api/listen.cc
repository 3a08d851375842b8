// SPDX-License-Identifier: BSD-3-Clause
#include "libtorque/listen.h"

#include <algorithm>
#include <cstring>

#include "api/address.hh"
#include "api/handle.hh"
#include "base/syscall.hh"
#include "kinds/listener.hh"

using namespace torque;

namespace {

torque_err make(torque_ctx *ctx, torque_accept_fn *fn, void *arg, uint32_t policy, Listener **ret,
                torque_source *ret_source) noexcept {
  if (const torque_err err = check(ctx)) return err;
  Slot *s;
  if (const torque_err err = create(ctx->core, Kind::listener, TORQUE_PLACE_DEFAULT, &s)) return err;
  Listener *l = make_listener(ctx->core, *s);
  const uint64_t handle = handle_of(*s);
  if (!l) {
    retire(handle, TORQUE_END_REMOVED);
    return TORQUE_ERR_RESOURCE;
  }
  s->arg.set(arg);
  l->fn = fn;
  l->policy = policy;
  *ret = l;
  *ret_source = handle;
  return TORQUE_ERR_NONE;
}

bool is_complete(const torque_ctx *ctx, int32_t backlog, uint32_t policy, torque_accept_fn *fn,
                 const torque_source *ret_source) noexcept {
  return ctx && backlog >= 0 && policy <= TORQUE_LISTEN_REUSEPORT && fn && ret_source;
}

torque_err make_own(torque_ctx *ctx, const Address &address, int32_t backlog, uint32_t policy, torque_accept_fn *fn,
                    void *arg, torque_source *ret_source) noexcept {
  Listener *l;
  if (const torque_err err = make(ctx, fn, arg, policy, &l, ret_source)) return err;
  l->address = address;
  l->both_families = address.any;
  l->backlog = backlog ? backlog : SOMAXCONN;
  return TORQUE_ERR_NONE;
}

}  // namespace

extern "C" {

torque_err torque_listen_new(struct torque_ctx *ctx, const void *addr, uint32_t addrlen, int32_t backlog,
                             uint32_t policy, torque_accept_fn *fn, void *arg, torque_source *ret_source) {
  const Visit visit;
  if (!is_complete(ctx, backlog, policy, fn, ret_source) || !addr || addrlen < sizeof(sa_family_t) ||
      addrlen > sizeof(sockaddr_storage)) {
    return TORQUE_ERR_INVAL;
  }
  Address address;
  address.set(addr, addrlen);
  return make_own(ctx, address, backlog, policy, fn, arg, ret_source);
}

torque_err torque_listen_add(struct torque_ctx *ctx, const void *addr, uint32_t addrlen, int32_t backlog,
                             uint32_t policy, torque_accept_fn *fn, void *arg, torque_source *ret_source) {
  return make_and_start(ret_source, [=](torque_source *ret) {
    return torque_listen_new(ctx, addr, addrlen, backlog, policy, fn, arg, ret);
  });
}

torque_err torque_listen_text_new(struct torque_ctx *ctx, const char *text, uint16_t default_port, int32_t backlog,
                                  uint32_t policy, torque_accept_fn *fn, void *arg, torque_source *ret_source) {
  const Visit visit;
  if (!is_complete(ctx, backlog, policy, fn, ret_source) || !text) return TORQUE_ERR_INVAL;
  if (const torque_err err = check(ctx)) return err;
  Address address;
  if (const torque_err err = parse_address(text, default_port, &address)) return err;
  return make_own(ctx, address, backlog, policy, fn, arg, ret_source);
}

torque_err torque_listen_text_add(struct torque_ctx *ctx, const char *text, uint16_t default_port, int32_t backlog,
                                  uint32_t policy, torque_accept_fn *fn, void *arg, torque_source *ret_source) {
  return make_and_start(ret_source, [=](torque_source *ret) {
    return torque_listen_text_new(ctx, text, default_port, backlog, policy, fn, arg, ret);
  });
}

torque_err torque_listen_fd_new(struct torque_ctx *ctx, int32_t fd, uint32_t policy, torque_accept_fn *fn, void *arg,
                                torque_source *ret_source) {
  const Visit visit;
  if (!ctx || fd < 0 || !fn || !ret_source || policy > TORQUE_LISTEN_EXCLUSIVE) return TORQUE_ERR_INVAL;
  int listens;
  if (!sockets::get(fd, SOL_SOCKET, SO_ACCEPTCONN, &listens)) return last_error();
  if (!listens) return TORQUE_ERR_SYSCALL + EINVAL;  // as accept() says it
  const int flags = ::fcntl(fd, F_GETFL);
  if (flags < 0 || (!(flags & O_NONBLOCK) && ::fcntl(fd, F_SETFL, flags | O_NONBLOCK) != 0)) return last_error();
  Listener *l;
  torque_source source;
  if (const torque_err err = make(ctx, fn, arg, policy, &l, &source)) return err;
  l->fd = fd;
  *ret_source = source;
  return TORQUE_ERR_NONE;
}

torque_err torque_listen_fd_add(struct torque_ctx *ctx, int32_t fd, uint32_t policy, torque_accept_fn *fn, void *arg,
                                torque_source *ret_source) {
  return make_and_start(ret_source, [=](torque_source *ret) {
    return torque_listen_fd_new(ctx, fd, policy, fn, arg, ret);
  });
}

torque_err torque_listen_pause(torque_source listener) {
  return with_listener(listener, [](Slot &, Listener &l) {
    pause_listener(l);
    return TORQUE_ERR_NONE;
  });
}

torque_err torque_listen_resume(torque_source listener) {
  return with_listener(listener, [](Slot &, Listener &l) {
    resume_listener(l);
    return TORQUE_ERR_NONE;
  });
}

torque_err torque_listen_set_max(torque_source listener, uint32_t most) {
  return with_listener(listener, [=](Slot &, Listener &l) {
    if (!l.guests) return TORQUE_ERR_KIND;
    set_most_guests(l, most);
    return TORQUE_ERR_NONE;
  });
}

torque_err torque_listen_count(torque_source listener, uint32_t *ret_count) {
  if (!ret_count) return TORQUE_ERR_INVAL;
  return with_listener(listener, [=](Slot &, Listener &l) {
    if (!l.guests) return TORQUE_ERR_KIND;
    *ret_count = Guests::number(l.guests->word.load(std::memory_order_relaxed));
    return TORQUE_ERR_NONE;
  });
}

torque_err torque_listen_address(torque_source listener, void *addr, uint32_t size, uint32_t *ret_addrlen) {
  const Visit visit;
  Snapshot v;
  if (!ret_addrlen || (size && !addr)) return TORQUE_ERR_INVAL;
  if (!look(listener, &v)) return TORQUE_ERR_STALE;
  if (v.kind != Kind::listener) return TORQUE_ERR_KIND;
  if (v.domain->context.foreign()) return TORQUE_ERR_FORKED;
  if (word::state(v.word) == word::NEW) return TORQUE_ERR_STATE;
  if (!hold(listener, &v)) return TORQUE_ERR_STALE;
  const auto *l = static_cast<const Listener *>(cold_of(*v.slot).object);
  Snapshot part;
  sockaddr_storage address;
  socklen_t len = sizeof address;
  torque_err err = hold_acceptor(*l, &part);
  if (!err) {
    if (::getsockname(part.slot->fd.get(), reinterpret_cast<sockaddr *>(&address), &len) != 0) err = last_error();
    let_go(*part.slot);
  } else if (!has_ended(*v.slot)) {
    err = TORQUE_ERR_STATE;  // it is about to have started
  }
  let_go(*v.slot);
  if (err) return err;
  if (size) std::memcpy(addr, &address, std::min<size_t>(size, std::min<size_t>(len, sizeof address)));
  *ret_addrlen = len;
  return TORQUE_ERR_NONE;
}

}  // extern "C"
