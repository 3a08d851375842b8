/* SPDX-License-Identifier: BSD-3-Clause */
/* Are static probes (USDT) there? */
#include <sys/sdt.h>

int main(void) {
  DTRACE_PROBE1(torque, probe, 1);
  return 0;
}
