/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef LIBTORQUE_VERSION_H
#define LIBTORQUE_VERSION_H

#include <libtorque/export.h>
#include <stdint.h>

TORQUE_BEGIN_DECLS

/* The version of these headers: major * 1000000 + minor * 1000 + patch. */
#define TORQUE_VERSION 1000000

/* Return the version of the loaded library, as text ("1.0.0") and as a number like TORQUE_VERSION.
 * Thread: any. */
TORQUE_API const char *torque_version(void) TORQUE_CHECKED;
TORQUE_API uint32_t torque_version_number(void);

TORQUE_END_DECLS

#endif
