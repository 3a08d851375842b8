// SPDX-License-Identifier: BSD-3-Clause
// Clang's thread-safety annotations; nothing in other compilers.
#pragma once

#if defined(__clang__)
#define TORQUE_TSA(x) __attribute__((x))
#else
#define TORQUE_TSA(x)
#endif

#define CAPABILITY(x) TORQUE_TSA(capability(x))
#define SCOPED_CAPABILITY TORQUE_TSA(scoped_lockable)
#define GUARDED_BY(x) TORQUE_TSA(guarded_by(x))
#define PT_GUARDED_BY(x) TORQUE_TSA(pt_guarded_by(x))
#define REQUIRES(...) TORQUE_TSA(requires_capability(__VA_ARGS__))
#define EXCLUDES(...) TORQUE_TSA(locks_excluded(__VA_ARGS__))
#define ACQUIRE(...) TORQUE_TSA(acquire_capability(__VA_ARGS__))
#define TRY_ACQUIRE(...) TORQUE_TSA(try_acquire_capability(__VA_ARGS__))
#define RELEASE(...) TORQUE_TSA(release_capability(__VA_ARGS__))
#define NO_THREAD_SAFETY_ANALYSIS TORQUE_TSA(no_thread_safety_analysis)
