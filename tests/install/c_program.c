/* SPDX-License-Identifier: BSD-3-Clause */
/* The smallest user in C: the header and the library it runs with are of the same version. */
#include <libtorque/version.h>
#include <stdio.h>

int main(void) {
  printf("%s\n", torque_version());
  return torque_version_number() == TORQUE_VERSION ? 0 : 1;
}
