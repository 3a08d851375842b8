/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef LIBTORQUE_EXPORT_H
#define LIBTORQUE_EXPORT_H

#if defined(__GNUC__)
#define TORQUE_API __attribute__((visibility("default")))
#define TORQUE_CHECKED __attribute__((warn_unused_result))
#else
#define TORQUE_API
#define TORQUE_CHECKED
#endif

#ifdef __cplusplus
#define TORQUE_BEGIN_DECLS extern "C" {
#define TORQUE_END_DECLS }
#else
#define TORQUE_BEGIN_DECLS
#define TORQUE_END_DECLS
#endif

#endif
