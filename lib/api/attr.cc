// SPDX-License-Identifier: BSD-3-Clause
#include "libtorque/attr.h"

#include <new>

#include "api/handle.hh"

using namespace torque;

extern "C" {

torque_err torque_attr_new(struct torque_attr **ret_attr) {
  if (!ret_attr) return TORQUE_ERR_INVAL;
  auto *attr = new (std::nothrow) torque_attr;
  if (!attr) return TORQUE_ERR_RESOURCE;
  *ret_attr = attr;
  return TORQUE_ERR_NONE;
}

void torque_attr_free(struct torque_attr *attr) {
  const Visit visit;
  delete attr;
}

torque_err torque_attr_set_finalizer(struct torque_attr *attr, torque_final_fn *fn) {
  if (!attr) return TORQUE_ERR_INVAL;
  attr->final = fn;
  return TORQUE_ERR_NONE;
}

torque_err torque_attr_set_strand(struct torque_attr *attr, struct torque_strand *strand) {
  const Visit visit;
  if (!attr) return TORQUE_ERR_INVAL;
  if (strand) strand->ref();
  if (attr->strand) attr->strand->unref();
  attr->strand = strand;
  return TORQUE_ERR_NONE;
}

torque_err torque_attr_set_placement(struct torque_attr *attr, int32_t place) {
  if (!attr || place < TORQUE_PLACE_FAR) return TORQUE_ERR_INVAL;
  attr->place = place;
  attr->placed = true;
  return TORQUE_ERR_NONE;
}

torque_err torque_source_start_with(torque_source source, const struct torque_attr *attr) {
  const Visit visit;
  const torque_attr none;
  return start_with(source, attr ? *attr : none);
}

torque_err torque_fd_add_with(struct torque_ctx *ctx, const struct torque_attr *attr, int32_t fd, uint32_t events,
                              uint32_t flags, torque_fd_fn *fn, void *arg, torque_source *ret_source) {
  return make_and_start(ret_source, [=](torque_source *ret) {
    return torque_fd_new(ctx, fd, events, flags, fn, arg, ret);
  }, attr);
}

torque_err torque_event_add_with(struct torque_ctx *ctx, const struct torque_attr *attr, uint32_t flags,
                                 torque_fd_fn *fn, void *arg, torque_source *ret_source) {
  return make_and_start(ret_source, [=](torque_source *ret) {
    return torque_event_new(ctx, flags, fn, arg, ret);
  }, attr);
}

torque_err torque_timer_add_with(struct torque_ctx *ctx, const struct torque_attr *attr, uint64_t after_ns,
                                 uint64_t period_ns, uint32_t flags, torque_timer_fn *fn, void *arg,
                                 torque_source *ret_source) {
  const Visit visit;
  torque_source source;
  if (!ret_source || (flags & ~uint32_t{TORQUE_TIMER_ABSOLUTE | TORQUE_TIMER_REMOVE})) return TORQUE_ERR_INVAL;
  const torque_err err = torque_timer_new(ctx, TORQUE_CLOCK_MONOTONIC, fn, arg, &source);
  const TimerStart start{after_ns, period_ns, flags};
  return err ? err : start_with_or_undo(source, attr, ret_source, &start);
}

torque_err torque_signal_add_with(struct torque_ctx *ctx, const struct torque_attr *attr, const int32_t *signos,
                                  uint32_t count, torque_signal_fn *fn, void *arg, torque_source *ret_source) {
  return make_and_start(ret_source, [=](torque_source *ret) {
    return torque_signal_new(ctx, signos, count, fn, arg, ret);
  }, attr);
}

torque_err torque_listen_add_with(struct torque_ctx *ctx, const struct torque_attr *attr, const void *addr,
                                  uint32_t addrlen, int32_t backlog, uint32_t policy, torque_accept_fn *fn, void *arg,
                                  torque_source *ret_source) {
  return make_and_start(ret_source, [=](torque_source *ret) {
    return torque_listen_new(ctx, addr, addrlen, backlog, policy, fn, arg, ret);
  }, attr);
}

}  // extern "C"
