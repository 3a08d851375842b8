/* SPDX-License-Identifier: BSD-3-Clause */
#include "support/faults.h"

#include <dlfcn.h>
#include <errno.h>
#include <libtorque/version.h>
#include <link.h>
#include <stdatomic.h>
#include <stdlib.h>

static atomic_int armed_errno;
static atomic_uint armed_nth;
static atomic_uint counted;
static atomic_uint hits;
static _Atomic(const char *) failed;

/* Libraries: ours, and those that a test names. */
enum { MOST_LIBRARIES = 8 };
static struct {
  uintptr_t begin, end;
} libraries[MOST_LIBRARIES];
static int library_count;

static int find_library(struct dl_phdr_info *info, size_t size, void *arg) {
  (void)size;
  uintptr_t inside = (uintptr_t)arg, begin = UINTPTR_MAX, end = 0;
  for (int i = 0; i < info->dlpi_phnum; ++i) {
    if (info->dlpi_phdr[i].p_type != PT_LOAD) continue;
    uintptr_t at = info->dlpi_addr + info->dlpi_phdr[i].p_vaddr;
    if (at < begin) begin = at;
    if (at + info->dlpi_phdr[i].p_memsz > end) end = at + info->dlpi_phdr[i].p_memsz;
  }
  if (inside < begin || inside >= end) return 0;
  libraries[library_count].begin = begin;
  libraries[library_count++].end = end;
  return 1;
}

void faults_of(const char *symbol) {
  void *inside = dlsym(RTLD_DEFAULT, symbol);
  if (!inside || library_count == MOST_LIBRARIES) abort();
  if (!dl_iterate_phdr(find_library, inside)) abort();
}

__attribute__((constructor)) static void find_callers(void) {
  if (dlsym(RTLD_DEFAULT, "torque_version")) faults_of("torque_version");
}

FAULTS_UNWATCHED bool faults_from(const void *caller) {
  for (int i = 0; i < library_count; i++)
    if ((uintptr_t)caller >= libraries[i].begin && (uintptr_t)caller < libraries[i].end) return true;
  return false;
}

FAULTS_UNWATCHED void *faults_real(const char *name) {
  void *real = dlsym(RTLD_NEXT, name);
  if (!real) abort();
  return real;
}

void faults_arm(int32_t err, uint32_t nth) {
  if (!library_count) abort(); /* the library was not found: nothing would ever be counted */
  atomic_store(&armed_errno, 0);
  atomic_store(&counted, 0);
  atomic_store(&hits, 0);
  atomic_store(&failed, NULL);
  atomic_store(&armed_nth, nth);
  atomic_store(&armed_errno, err);
}

uint32_t faults_disarm(void) {
  atomic_store(&armed_errno, 0);
  return atomic_load(&hits);
}

uint32_t faults_counted(void) { return atomic_load(&counted); }

const char *faults_failed(void) {
  const char *name = atomic_load(&failed);
  return name ? name : "nothing";
}

FAULTS_UNWATCHED static bool may_answer(uint32_t may, int err) {
  return (err == EMFILE && (may & FAULT_EMFILE)) || (err == ENOMEM && (may & FAULT_ENOMEM)) ||
         (err == EINTR && (may & FAULT_EINTR)) || (err == ENOSPC && (may & FAULT_ENOSPC));
}

/* Async-signal-safe, as the calls in front of which it stands. */
FAULTS_UNWATCHED bool faults_hit(const void *caller, const char *name, uint32_t may, int32_t *ret_err) {
  int err = atomic_load(&armed_errno);
  if (!err || !may_answer(may, err)) return false;
  if (!faults_from(caller)) return false;
  if (atomic_fetch_add(&counted, 1) + 1 != atomic_load(&armed_nth)) return false;
  atomic_fetch_add(&hits, 1);
  atomic_store(&failed, name);
  *ret_err = err;
  return true;
}
