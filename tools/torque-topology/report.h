/* SPDX-License-Identifier: BSD-3-Clause */
/* The two ways to print a map. Both write to stdout and leave checking it to the caller. */
#ifndef TORQUE_TOPOLOGY_REPORT_H
#define TORQUE_TOPOLOGY_REPORT_H

#include <libtorque/torque.h>

/* source: where the map comes from: "live", "synthetic" or "xml". */
void report_text(const struct torque_topology *topology, const char *source);
void report_json(const struct torque_topology *topology, const char *source);

#endif
