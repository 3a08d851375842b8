/* SPDX-License-Identifier: BSD-3-Clause */
/* A context with as many workers as large machines have CPUs: the memory and the descriptors that it takes are what
 * torque_config(3) says, every domain works, and all is given back. */
#include <sys/eventfd.h>
#include <unistd.h>

#include "support/context.h"

#include "support/cmocka.h"

/* Sanitizers make threads expensive. */
#if SANITIZED
enum { WORKERS = 16, DOMAINS = 4 };
#define MACHINE "pack:2 l3:2 core:4 pu:1"
#define FEWER_DOMAINS "pack:2 l3:1 core:8 pu:1"
#define LONE_WORKERS "pack:2 l3:8 core:1 pu:1"
#else
enum { WORKERS = 192, DOMAINS = 24 };
#define MACHINE "pack:2 l3:12 core:8 pu:1"
#define FEWER_DOMAINS "pack:2 l3:6 core:16 pu:1"
#define LONE_WORKERS "pack:2 l3:96 core:1 pu:1"
#endif
enum { WORKERS_A_DOMAIN = WORKERS / DOMAINS, WINDOW = 256 };

/* The figures of torque_config(3). */
enum {
  WORKER_BYTES = 1024 + 16 * WINDOW,
  DOMAIN_BYTES = 1280,
  SOURCES_BYTES = 61 * 1024, /* of a domain: for each 512 */
  CLOCK_BYTES = 46 * 1024,   /* of a domain: a clock of a few timers */
  POSTED_BYTES = 1024,       /* of a domain: a few posted functions */
  NUMBERS_BYTES = 8 * 1024,  /* for each 1,024 numbers of descriptors */
  DESCRIPTORS = 3,
  DESCRIPTORS_OF_LONE_WORKER = 2,
  DESCRIPTORS_MOST = 5,
};

static const struct shape shape_many = {.name = "many", .synthetic = MACHINE, .window = WINDOW, .counted = 1};
static const struct shape shape_fewer_domains = {
    .name = "fewer domains", .synthetic = FEWER_DOMAINS, .window = WINDOW, .counted = 1};
static const struct shape shape_lone_workers = {
    .name = "lone workers", .synthetic = LONE_WORKERS, .sharing = TORQUE_SHARE_THREAD, .window = WINDOW, .counted = 1};

/* ---- What it takes ---- */

struct cost {
  uint64_t bytes;
  unsigned descriptors;
  uint32_t workers, domains;
};

static struct cost cost_of(const struct shape *shape) {
  void *state = (void *)(uintptr_t)shape;
  assert_int_equal(fixture_up(&state), 0);
  struct fixture *f = state;
  const struct cost c = {.bytes = f->bytes,
                         .descriptors = descriptors_open() - f->descriptors_before,
                         .workers = torque_ctx_workers(f->ctx),
                         .domains = torque_ctx_domains(f->ctx)};
  assert_int_equal(threads_alive(), f->threads_before);
  assert_int_equal(torque_start(f->ctx), 0);
  assert_int_equal(threads_alive(), f->threads_before + c.workers);
  assert_int_equal(f->bytes, c.bytes); /* stacks are no business of the allocator */
  assert_int_equal(descriptors_open() - f->descriptors_before, c.descriptors);
  assert_int_equal(fixture_down(&state), 0);
  return c;
}

/* Workers and domains apart: what one takes too much, the other may not hide. */
static void memory_grows_with_workers_and_domains_by_so_much(void **state) {
  (void)state;
  const struct cost many = cost_of(&shape_many), fewer = cost_of(&shape_fewer_domains);
  assert_int_equal(many.workers, WORKERS);
  assert_int_equal(fewer.workers, WORKERS);
  assert_int_equal(many.domains, DOMAINS);
  assert_int_equal(fewer.domains, DOMAINS / 2);
  const uint64_t of_domains = (many.bytes - fewer.bytes) * DOMAINS / (many.domains - fewer.domains);
  assert_in_range(of_domains, 1, DOMAINS * DOMAIN_BYTES);
  assert_in_range(many.bytes - of_domains, 1, WORKERS * WORKER_BYTES);
}

static void descriptors_grow_with_domains_only(void **state) {
  (void)state;
  assert_int_equal(cost_of(&shape_many).descriptors, DOMAINS * DESCRIPTORS);
  assert_int_equal(cost_of(&shape_fewer_domains).descriptors, DOMAINS / 2 * DESCRIPTORS);
  const struct cost lone = cost_of(&shape_lone_workers);
  assert_int_equal(lone.domains, WORKERS);
  assert_int_equal(lone.descriptors, WORKERS * DESCRIPTORS_OF_LONE_WORKER);
}

/* ---- Whether it works ---- */

struct place {
  struct fixture *f;
  uint32_t number;
  int fd;
  torque_source source, timer, wall;
  _Atomic int posted, told, fired, fired_by_wall, ended, strays;
};

static void note(struct place *p, _Atomic int *what) {
  p->strays += (uint32_t)torque_current_worker() / WORKERS_A_DOMAIN != p->number;
  ++*what;
}

static int32_t on_event(torque_source source, int32_t fd, uint32_t events, void *arg) {
  struct place *p = arg;
  uint64_t n;
  (void)source, (void)events;
  if (read(fd, &n, sizeof n) == sizeof n) note(p, &p->told);
  return TORQUE_DONE;
}

static void on_end(torque_source source, int32_t reason, void *arg) {
  (void)source;
  ((struct place *)arg)->ended += reason == TORQUE_END_STOPPED;
}

static void on_timer(torque_source source, uint64_t expirations, void *arg) {
  struct place *p = arg;
  (void)expirations;
  note(p, source == p->timer ? &p->fired : &p->fired_by_wall);
}

/* In the domain, so that it is this one's clocks that are used. */
static void set_timers(void *arg) {
  struct place *p = arg;
  if (torque_timer_new(p->f->ctx, TORQUE_CLOCK_MONOTONIC, on_timer, p, &p->timer)) return;
  if (torque_timer_new(p->f->ctx, TORQUE_CLOCK_WALL, on_timer, p, &p->wall)) return;
  if (torque_timer_set(p->timer, 1000000, 0, 0) || torque_timer_set(p->wall, 1000000, 0, 0)) return;
  note(p, &p->posted);
}

static void add_source(struct fixture *f, struct place *p) {
  struct torque_attr *attr;
  p->fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
  assert_true(p->fd >= 0);
  fixture_own(f, p->fd);
  assert_int_equal(torque_attr_new(&attr), 0);
  assert_int_equal(torque_attr_set_placement(attr, (int32_t)p->number), 0);
  assert_int_equal(torque_attr_set_finalizer(attr, on_end), 0);
  assert_int_equal(torque_fd_add_with(f->ctx, attr, p->fd, TORQUE_READ, 0, on_event, p, &p->source), 0);
  torque_attr_free(attr);
}

static void every_domain_works_and_takes_no_more_than_it_may(void **state) {
  struct fixture *f = *state;
  struct place *places = fixture_take(f, DOMAINS * sizeof *places);
  const uint64_t unused = f->bytes;
  for (uint32_t d = 0; d < DOMAINS; d++) {
    places[d].f = f;
    places[d].number = d;
    add_source(f, &places[d]);
    assert_int_equal(torque_post_domain(f->ctx, d, set_timers, &places[d]), 0);
  }
  for (uint32_t d = 0; d < DOMAINS; d++) assert_int_equal(eventfd_write(places[d].fd, 1), 0);
  for (uint32_t d = 0; d < DOMAINS; d++) {
    const struct place *p = &places[d];
    AWAIT(f, p->posted && p->told && p->fired && p->fired_by_wall);
  }
  fixture_settle(f);

  const unsigned taken = descriptors_open() - f->descriptors_before - DOMAINS; /* without the sources' own */
  assert_in_range(taken, DOMAINS * DESCRIPTORS, DOMAINS * DESCRIPTORS_MOST);
  assert_in_range(f->bytes - unused, 1, DOMAINS * (SOURCES_BYTES + 2 * CLOCK_BYTES + POSTED_BYTES) + NUMBERS_BYTES);

  fixture_stop(f);
  for (uint32_t d = 0; d < DOMAINS; d++) {
    const struct place *p = &places[d];
    assert_int_equal(p->posted, 1);
    assert_int_equal(p->told, 1);
    assert_int_equal(p->fired, 1);
    assert_int_equal(p->fired_by_wall, 1);
    assert_int_equal(p->ended, 1);
    assert_int_equal(p->strays, 0);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(memory_grows_with_workers_and_domains_by_so_much),
      cmocka_unit_test(descriptors_grow_with_domains_only),
      ON(many, every_domain_works_and_takes_no_more_than_it_may),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
