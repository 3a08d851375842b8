// SPDX-License-Identifier: BSD-3-Clause
// Assertions by price. Operating errors are returned; these catch programmer errors only.
//   level 0: none   1: cheap (default in release)   2: + invariants of one object   3: + walks over whole structures
#pragma once

#ifndef TORQUE_CHECK_LEVEL
#define TORQUE_CHECK_LEVEL 1
#endif

namespace torque {
[[noreturn]] void assertion_failed(const char *what, const char *file, int line) noexcept;
}

#define TORQUE_CHECK_(cond) ((cond) ? (void)0 : ::torque::assertion_failed(#cond, __FILE__, __LINE__))

#if TORQUE_CHECK_LEVEL >= 1
#define CHECK1(cond) TORQUE_CHECK_(cond)
#else
#define CHECK1(cond) ((void)sizeof(!(cond)))
#endif
#if TORQUE_CHECK_LEVEL >= 2
#define CHECK2(cond) TORQUE_CHECK_(cond)
#else
#define CHECK2(cond) ((void)sizeof(!(cond)))
#endif
#if TORQUE_CHECK_LEVEL >= 3
#define CHECK3(cond) TORQUE_CHECK_(cond)
#else
#define CHECK3(cond) ((void)sizeof(!(cond)))
#endif
