// SPDX-License-Identifier: BSD-3-Clause
// A flow as zlib and libbz2 see it, for one call: they count in unsigned int, so that of a long one it is a part. When it
// goes, what the call has used and made is off the flow.
#pragma once

#include <algorithm>
#include <climits>

#include "codec.hh"

namespace torque_z {

template <class State>  // z_stream, bz_stream
class Part {
 public:
  Part(State &z, Flow &flow) noexcept : z_(z), flow_(flow) {
    in_ = static_cast<unsigned>(std::min<size_t>(flow.in_left, UINT_MAX));
    out_ = static_cast<unsigned>(std::min<size_t>(flow.out_left, UINT_MAX));
    // Neither writes through it, whether it says so or not.
    z.next_in = reinterpret_cast<decltype(z.next_in)>(const_cast<char *>(flow.in));
    z.avail_in = in_;
    z.next_out = reinterpret_cast<decltype(z.next_out)>(flow.out);
    z.avail_out = out_;
  }
  ~Part() {
    flow_.in += in_ - z_.avail_in;
    flow_.in_left -= in_ - z_.avail_in;
    flow_.out += out_ - z_.avail_out;
    flow_.out_left -= out_ - z_.avail_out;
  }
  Part(const Part &) = delete;
  Part &operator=(const Part &) = delete;

 private:
  State &z_;
  Flow &flow_;
  unsigned in_;
  unsigned out_;
};

}  // namespace torque_z
