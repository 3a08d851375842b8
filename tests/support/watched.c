/* SPDX-License-Identifier: BSD-3-Clause */
#include "support/watched.h"

#include "support/cmocka.h"

static void on_told(int32_t fd, uint32_t events, int32_t error, void *arg) {
  struct watched *w = arg;
  if (fd < 0 || fd >= MOST_DESCRIPTORS || !events == !error) {
    w->strange++;
    return;
  }
  struct told *t = &w->fd[fd];
  if (error) {
    t->errors++, w->errors++;
    t->error = error;
  } else {
    t->calls++, w->calls++;
    t->last = events;
  }
  if (w->then) w->then(w, fd);
}

struct watched *watched_new(struct fixture *f) {
  struct watched *w = fixture_take(f, sizeof *w);
  w->f = f;
  assert_int_equal(torque_watch_init(f->ctx, on_told, w), 0);
  return w;
}

void wish(struct watched *w, int fd, uint32_t events, uint32_t flags) {
  assert_int_equal(torque_watch(w->f->ctx, fd, events, flags), 0);
}

uint64_t pass(struct watched *w) {
  uint64_t told = 0;
  assert_int_equal(torque_run_ready(w->f->ctx, &told), 0);
  assert_int_equal(w->strange, 0);
  return told;
}

uint64_t controls_since(struct watched *w, uint64_t *before) {
  const uint64_t now = stat_total(w->f->ctx, "controls");
  const uint64_t made = now - *before;
  *before = now;
  return made;
}

int pass_woken(struct watched *w) {
  const uint64_t begin = monotonic_ns(), most = 30000000000u;
  assert_int_equal(torque_run_once(w->f->ctx, most, NULL), 0);
  return monotonic_ns() - begin < most;
}
