/* SPDX-License-Identifier: BSD-3-Clause */
/* CMocka for tests in C. Include it last: it defines macros such as fail() and skip(). */
#ifndef TORQUE_TESTS_CMOCKA_H
#define TORQUE_TESTS_CMOCKA_H

#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#endif
