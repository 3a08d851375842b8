/* SPDX-License-Identifier: BSD-3-Clause */
/* malloc() and its kind in front of the C library's, for add-on libraries, which have no allocator of their own: see
 * faults.h. What the libraries have and have not given back is counted. Included by one file of a test program.
 *
 * A sanitizer has its own malloc(), and finds leaks by itself: there nothing is replaced. */
#ifndef TORQUE_TESTS_FAULTS_MEMORY_H
#define TORQUE_TESTS_FAULTS_MEMORY_H

#include "support/context.h"
#include "support/faults.h"

#include <errno.h>
#include <stdatomic.h>
#include <string.h>

/* How many blocks the libraries have taken since faults_watch(), and nobody has freed. */
static _Atomic uint32_t faults_blocks;

#if SANITIZED

static inline void faults_watch(void) {}

#else

void *__libc_malloc(size_t size);
void *__libc_calloc(size_t n, size_t size);
void *__libc_realloc(void *old, size_t size);
void __libc_free(void *p);

enum { FAULTS_PLACES = 1 << 16 };
static void *_Atomic faults_places[FAULTS_PLACES];
static atomic_int faults_watching;

static inline void faults_watch(void) {
  for (int i = 0; i < FAULTS_PLACES; i++) faults_places[i] = NULL;
  faults_blocks = 0;
  faults_watching = 1;
}

static inline uint32_t faults_place(const void *p) { return (uint32_t)(((uintptr_t)p >> 4) * 2654435761u) % FAULTS_PLACES; }

static inline void *faults_took(const void *caller, void *p) {
  if (!p || !faults_watching || !faults_from(caller)) return p;
  for (uint32_t i = faults_place(p);; i = (i + 1) % FAULTS_PLACES) {
    void *none = NULL;
    if (!atomic_compare_exchange_strong(&faults_places[i], &none, p)) continue;
    atomic_fetch_add(&faults_blocks, 1);
    return p;
  }
}

/* A place that was given up keeps its neighbours from being found only if they are far: so a few are looked at. */
static inline void faults_gave(const void *p) {
  if (!p || !faults_watching) return;
  for (uint32_t i = faults_place(p), n = 0; n < 64; i = (i + 1) % FAULTS_PLACES, n++) {
    void *same = (void *)(uintptr_t)p;
    if (!atomic_compare_exchange_strong(&faults_places[i], &same, NULL)) continue;
    atomic_fetch_sub(&faults_blocks, 1);
    return;
  }
}

static inline bool faults_no_memory(const void *caller, const char *name) {
  int32_t err;
  if (!faults_hit(caller, name, FAULT_ENOMEM, &err)) return false;
  errno = err;
  return true;
}

void *malloc(size_t size) {
  const void *caller = __builtin_return_address(0);
  return faults_no_memory(caller, "malloc") ? NULL : faults_took(caller, __libc_malloc(size));
}

void *calloc(size_t n, size_t size) {
  const void *caller = __builtin_return_address(0);
  return faults_no_memory(caller, "calloc") ? NULL : faults_took(caller, __libc_calloc(n, size));
}

void *realloc(void *old, size_t size) {
  const void *caller = __builtin_return_address(0);
  if (faults_no_memory(caller, "realloc")) return NULL;
  faults_gave(old);
  return faults_took(caller, __libc_realloc(old, size));
}

void free(void *p) {
  faults_gave(p);
  __libc_free(p);
}

char *strndup(const char *text, size_t most) {
  const void *caller = __builtin_return_address(0);
  const size_t n = strnlen(text, most);
  char *copy = faults_no_memory(caller, "strndup") ? NULL : faults_took(caller, __libc_malloc(n + 1));
  if (copy) memcpy(copy, text, n), copy[n] = '\0';
  return copy;
}

char *strdup(const char *text) {
  const void *caller = __builtin_return_address(0);
  const size_t n = strlen(text) + 1;
  char *copy = faults_no_memory(caller, "strdup") ? NULL : faults_took(caller, __libc_malloc(n));
  if (copy) memcpy(copy, text, n);
  return copy;
}

#endif
#endif
