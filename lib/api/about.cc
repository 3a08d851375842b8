// SPDX-License-Identifier: BSD-3-Clause
// What a handle answers about its source.
#include "api/handle.hh"
#include "libtorque/source.h"

using namespace torque;

extern "C" {

int32_t torque_source_alive(torque_source source) {
  const Visit visit;
  Snapshot v;
  return look(source, &v);
}

torque_err torque_source_arg(torque_source source, void **ret_arg) {
  const Visit visit;
  Snapshot v;
  if (!ret_arg) return TORQUE_ERR_INVAL;
  if (!look(source, &v)) return TORQUE_ERR_STALE;
  void *arg = v.slot->arg.look();
  if (!look(source, &v)) return TORQUE_ERR_STALE;
  *ret_arg = arg;
  return TORQUE_ERR_NONE;
}

torque_err torque_source_domain(torque_source source, uint32_t *ret_domain) {
  const Visit visit;
  Snapshot v;
  if (!ret_domain) return TORQUE_ERR_INVAL;
  if (!look(source, &v)) return TORQUE_ERR_STALE;
  *ret_domain = v.domain->index;
  return TORQUE_ERR_NONE;
}

torque_err torque_source_kind(torque_source source, int32_t *ret_kind) {
  const Visit visit;
  Snapshot v;
  if (!ret_kind) return TORQUE_ERR_INVAL;
  if (!look(source, &v)) return TORQUE_ERR_STALE;
  *ret_kind = ops_of(v.kind).public_kind;
  return TORQUE_ERR_NONE;
}

torque_err torque_source_fd(torque_source source, int32_t *ret_fd) {
  const Visit visit;
  Snapshot v;
  if (!ret_fd) return TORQUE_ERR_INVAL;
  if (!look(source, &v)) return TORQUE_ERR_STALE;
  if (v.domain->context.foreign()) return TORQUE_ERR_FORKED;
  const auto descriptor = ops_of(v.kind).descriptor;
  return descriptor ? descriptor(v, source, ret_fd) : TORQUE_ERR_KIND;
}

torque_err torque_source_set_arg(torque_source source, void *arg) {
  const Visit visit;
  Snapshot v;
  if (!look(source, &v)) return TORQUE_ERR_STALE;
  const KindOps &kind = ops_of(v.kind);
  if (kind.public_kind == TORQUE_KIND_INTERNAL || (kind.traits & trait::kPartOfAnother)) return TORQUE_ERR_KIND;
  if (v.domain->context.foreign()) return TORQUE_ERR_FORKED;
  if (!hold(source, &v)) return TORQUE_ERR_STALE;
  v.slot->arg.set(arg);
  let_go(*v.slot);
  return TORQUE_ERR_NONE;
}

}  // extern "C"
