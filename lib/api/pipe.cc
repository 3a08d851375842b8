// SPDX-License-Identifier: BSD-3-Clause
#include "libtorque/pipe.h"

#include "base/visit.hh"
#include "stream/stream.hh"

using namespace torque;

extern "C" {

torque_err torque_stream_pipe(torque_source a, torque_source b, uint32_t flags, torque_pipe_end_fn *fn, void *arg) {
  const Visit visit;
  if (flags & ~uint32_t{TORQUE_PIPE_ONE_WAY | TORQUE_PIPE_KEEP_OPEN | TORQUE_PIPE_COPY}) return TORQUE_ERR_INVAL;
  return join_streams(a, b, flags, fn, arg);
}

torque_err torque_stream_unpipe(torque_source stream) {
  const Visit visit;
  return part_stream(stream);
}

}  // extern "C"
