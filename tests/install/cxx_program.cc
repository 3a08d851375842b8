// SPDX-License-Identifier: BSD-3-Clause
// The smallest useful user in C++: a threaded context runs a lambda. Prints the version when it did.
#include <libtorque/torque.h>

#include <future>
#include <iostream>

int main() {
  torque_err err = TORQUE_ERR_NONE;
  torque_ctx *ctx = torque_init(&err);
  if (ctx == nullptr) {
    std::cerr << torque_errstr(err) << '\n';
    return 1;
  }
  std::promise<void> ran;
  err = torque_post(ctx, [](void *arg) { static_cast<std::promise<void> *>(arg)->set_value(); }, &ran);
  if (err == TORQUE_ERR_NONE) ran.get_future().wait();
  const torque_err stopped = torque_stop(ctx);
  if (err == TORQUE_ERR_NONE && stopped == TORQUE_ERR_NONE) std::cout << torque_version() << '\n';
  return err == TORQUE_ERR_NONE && stopped == TORQUE_ERR_NONE ? 0 : 1;
}
