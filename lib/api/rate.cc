// SPDX-License-Identifier: BSD-3-Clause
#include "libtorque/rate.h"

#include <new>

#include "base/visit.hh"
#include "stream/rate.hh"

extern "C" {

torque_err torque_rate_new(struct torque_rate **ret_rate) {
  if (!ret_rate) return TORQUE_ERR_INVAL;
  auto *rate = new (std::nothrow) torque_rate;
  if (!rate) return TORQUE_ERR_RESOURCE;
  *ret_rate = rate;
  return TORQUE_ERR_NONE;
}

void torque_rate_free(struct torque_rate *rate) {
  if (rate) torque::unref(rate);
}

torque_err torque_rate_set(struct torque_rate *rate, int32_t which, uint64_t bytes_per_s, uint64_t burst) {
  if (!rate || (which != TORQUE_RATE_INPUT && which != TORQUE_RATE_OUTPUT)) return TORQUE_ERR_INVAL;
  if (burst && !bytes_per_s) return TORQUE_ERR_INVAL;
  const torque::Visit visit;  // it wakes streams
  rate->meter[which].set(bytes_per_s, burst ? burst : bytes_per_s);
  return TORQUE_ERR_NONE;
}

}  // extern "C"
