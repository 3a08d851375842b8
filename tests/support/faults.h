/* SPDX-License-Identifier: BSD-3-Clause */
/* Lets the n-th call that the library makes to the system fail.
 *
 * A test that injects faults includes faults_calls.h once: that defines the system's calls in the test program, in front
 * of the C library's. Only calls that come from libtorque.so are counted; those of the test itself go through. A call is
 * counted when it may answer the armed errno at all: an accept4() may run out of descriptors, an epoll_wait() not. */
#ifndef TORQUE_TESTS_FAULTS_H
#define TORQUE_TESTS_FAULTS_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

/* Calls of the library that has this symbol are counted as well (an add-on's). Before the first faults_arm(). */
void faults_of(const char *symbol);

/* Any thread; the calls of all threads are counted together. nth counts from 1; 0 only counts. */
void faults_arm(int32_t err, uint32_t nth);
/* How often the armed call was met: 0 or 1. */
uint32_t faults_disarm(void);
/* Calls counted since faults_arm(), and the name of the one that failed (for messages). */
uint32_t faults_counted(void);
const char *faults_failed(void);

/* A sanitizer calls some of these before it is ready for code that it watches. */
#define FAULTS_UNWATCHED __attribute__((no_sanitize("thread")))

/* For faults_calls.h. True: the caller answers the armed errno. */
enum { FAULT_EMFILE = 1, FAULT_ENOMEM = 2, FAULT_EINTR = 4, FAULT_ENOSPC = 8 };
bool faults_hit(const void *caller, const char *name, uint32_t may, int32_t *ret_err);
bool faults_from(const void *caller); /* it is in one of the libraries */
void *faults_real(const char *name);

#endif
