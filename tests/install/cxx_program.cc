// SPDX-License-Identifier: BSD-3-Clause
// The smallest user in C++.
#include <libtorque/version.h>

#include <iostream>

int main() {
  std::cout << torque_version() << '\n';
  return torque_version_number() == TORQUE_VERSION ? 0 : 1;
}
