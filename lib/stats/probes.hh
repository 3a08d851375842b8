// SPDX-License-Identifier: BSD-3-Clause
// USDT probes (provider "torque"): a no-op instruction each, until a tracer puts a breakpoint there.
#pragma once

#if TORQUE_USDT
#include <sys/sdt.h>
#define TORQUE_PROBE1(name, a) DTRACE_PROBE1(torque, name, a)
#define TORQUE_PROBE2(name, a, b) DTRACE_PROBE2(torque, name, a, b)
#define TORQUE_PROBE3(name, a, b, c) DTRACE_PROBE3(torque, name, a, b, c)
#else
#define TORQUE_PROBE1(name, a) ((void)(a))
#define TORQUE_PROBE2(name, a, b) ((void)(a), (void)(b))
#define TORQUE_PROBE3(name, a, b, c) ((void)(a), (void)(b), (void)(c))
#endif
