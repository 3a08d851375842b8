// SPDX-License-Identifier: BSD-3-Clause
// Makes layer types of codecs, which belong to the type from then on (also when it cannot be made).
//
// Thread: any.
#pragma once

#include "codec.hh"

namespace torque_z {

torque_err make_layer_type(Codec *codec, struct torque_layer_type **ret_type) noexcept;

}  // namespace torque_z
