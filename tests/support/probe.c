/* SPDX-License-Identifier: BSD-3-Clause */
#define _GNU_SOURCE
#include "support/probe.h"

#include <fcntl.h>

#include "support/cmocka.h"

int32_t probe_call(torque_source source, int32_t fd, uint32_t events, void *arg) {
  struct probe *p = arg;
  const uint32_t inside = atomic_fetch_add(&p->inside, 1) + 1;
  for (uint32_t most = atomic_load(&p->most_inside);
       inside > most && !atomic_compare_exchange_weak(&p->most_inside, &most, inside);) {
  }
  if (atomic_load(&p->finals)) atomic_fetch_add(&p->calls_after_final, 1);
  atomic_fetch_or(&p->told, events);
  atomic_store(&p->last, events);
  atomic_store(&p->fd, fd);
  int end = 0;
  if (fd >= 0 && !p->keep) atomic_fetch_add(&p->bytes, drain(fd, &end));
  if (end) atomic_fetch_add(&p->ends, 1);
  atomic_fetch_add(&p->calls, 1);
  STAY_UNTIL(!atomic_load(&p->blocked));
  if (p->then) p->then(p, source, fd);
  const int32_t answer = p->answer;
  atomic_fetch_sub(&p->inside, 1);
  return answer;
}

void probe_final(torque_source source, int32_t reason, void *arg) {
  (void)source;
  struct probe *p = arg;
  const int fd = atomic_load(&p->fd);
  atomic_store(&p->inside_at_final, atomic_load(&p->inside));
  atomic_store(&p->fd_open_at_final, fd >= 0 && fcntl(fd, F_GETFD) >= 0);
  atomic_store(&p->reason, reason);
  atomic_fetch_add(&p->finals, 1);
}

struct probe *probe_new(struct fixture *f) {
  struct probe *p = fixture_take(f, sizeof *p);
  atomic_store(&p->fd, -1);
  atomic_store(&p->reason, -1);
  return p;
}

void probe_start_fd(struct fixture *f, struct probe *p, int fd, uint32_t events, uint32_t flags) {
  atomic_store(&p->fd, fd);
  assert_int_equal(torque_fd_new(f->ctx, fd, events, flags, probe_call, p, &p->source), 0);
  assert_int_equal(torque_source_set_finalizer(p->source, probe_final), 0);
  assert_int_equal(torque_source_start(p->source), 0);
}

void probe_start_event(struct fixture *f, struct probe *p, uint32_t flags) {
  assert_int_equal(torque_event_new(f->ctx, flags, probe_call, p, &p->source), 0);
  assert_int_equal(torque_source_set_finalizer(p->source, probe_final), 0);
  assert_int_equal(torque_source_start(p->source), 0);
}

struct probe *probe_fd(struct fixture *f, int fd, uint32_t events, uint32_t flags) {
  struct probe *p = probe_new(f);
  probe_start_fd(f, p, fd, events, flags);
  return p;
}

struct probe *probe_event(struct fixture *f, uint32_t flags) {
  struct probe *p = probe_new(f);
  probe_start_event(f, p, flags);
  return p;
}

void assert_ended(const struct probe *p, int32_t reason) {
  assert_int_equal(p->finals, 1);
  assert_int_equal(p->reason, reason);
  assert_int_equal(p->inside_at_final, 0);
  assert_int_equal(p->calls_after_final, 0);
}
