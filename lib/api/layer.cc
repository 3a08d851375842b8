// SPDX-License-Identifier: BSD-3-Clause
#include "libtorque/layer.h"

#include <cstring>
#include <new>

#include "stream/type.hh"

namespace {

template <class T, class V>
torque_err set(torque_layer_type *type, T torque::LayerType::*field, V value) noexcept {
  if (!type) return TORQUE_ERR_INVAL;
  if (type->frozen()) return TORQUE_ERR_STATE;
  type->*field = value;
  return TORQUE_ERR_NONE;
}

}  // namespace

using torque::LayerType;

extern "C" {

torque_err torque_layer_type_new(struct torque_layer_type **ret_type) {
  if (!ret_type) return TORQUE_ERR_INVAL;
  auto *type = new (std::nothrow) torque_layer_type;
  if (!type) return TORQUE_ERR_RESOURCE;
  *ret_type = type;
  return TORQUE_ERR_NONE;
}

void torque_layer_type_free(struct torque_layer_type *type) {
  if (type) torque::unref(type);
}

torque_err torque_layer_type_set_arg(struct torque_layer_type *type, void *arg, void (*release)(void *)) {
  const torque_err err = set(type, &LayerType::arg, arg);
  return err ? err : set(type, &LayerType::release, release);
}
void *torque_layer_type_arg(const struct torque_layer_type *type, void (*release)(void *)) {
  return type && release && type->release == release ? type->arg : nullptr;
}
torque_err torque_layer_type_set_name(struct torque_layer_type *type, const char *name) {
  if (!type || !name) return TORQUE_ERR_INVAL;
  const size_t length = ::strnlen(name, LayerType::kNameMost + 1);
  if (length > LayerType::kNameMost) return TORQUE_ERR_INVAL;
  if (type->frozen()) return TORQUE_ERR_STATE;
  std::memset(type->name, 0, sizeof type->name);
  std::memcpy(type->name, name, length);
  return TORQUE_ERR_NONE;
}
torque_err torque_layer_type_set_open(struct torque_layer_type *type, torque_layer_open_fn *fn) {
  return set(type, &LayerType::open, fn);
}
torque_err torque_layer_type_set_close(struct torque_layer_type *type, torque_layer_close_fn *fn) {
  return set(type, &LayerType::close, fn);
}
torque_err torque_layer_type_set_receive(struct torque_layer_type *type, torque_layer_receive_fn *fn) {
  return set(type, &LayerType::receive, fn);
}
torque_err torque_layer_type_set_send(struct torque_layer_type *type, torque_layer_send_fn *fn) {
  return set(type, &LayerType::send, fn);
}
torque_err torque_layer_type_set_start(struct torque_layer_type *type, torque_layer_step_fn *fn) {
  return set(type, &LayerType::start, fn);
}
torque_err torque_layer_type_set_flush(struct torque_layer_type *type, torque_layer_step_fn *fn) {
  return set(type, &LayerType::flush, fn);
}
torque_err torque_layer_type_set_end(struct torque_layer_type *type, torque_layer_step_fn *fn) {
  return set(type, &LayerType::end, fn);
}
torque_err torque_layer_type_set_ended(struct torque_layer_type *type, torque_layer_step_fn *fn) {
  return set(type, &LayerType::ended, fn);
}

}  // extern "C"
