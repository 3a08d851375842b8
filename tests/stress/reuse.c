/* SPDX-License-Identifier: BSD-3-Clause */
/* Descriptors closed and their numbers used again by other threads, 10^5 times: no stale callback, no event lost, one end
 * for each source. */
#include "support/context.h"

#include <errno.h>
#include <sys/socket.h>
#include <unistd.h>

#include "support/cmocka.h"

enum { THREADS = 4, LANES = 16, ROUNDS = FEWER(100000) / (THREADS * LANES) };

/* How a lane gives up its descriptor before it makes the next one. */
enum { BEHIND = 0, THROUGH = 1, REMOVED = 2, LATE = 3, WAYS = 4 };

/* One generation of one lane. Its memory outlives the context. */
struct life {
  struct field *field;
  int fd, peer;
  torque_source source;
  pthread_mutex_t lock; /* with closed: so that a callback never reads a number that is not its own any more */
  int closed;           /* guarded by lock */
  int way;
  _Atomic uint32_t wanted; /* bytes written */
  _Atomic uint32_t taken;
  _Atomic uint32_t finals;
  _Atomic int32_t reason;
};

struct field {
  struct fixture *f;
  _Atomic uint32_t after_end; /* callbacks that started after their source had ended */
  _Atomic uint32_t lost;
  _Atomic uint32_t errors;
  struct life *lives[THREADS];
  uint64_t calls;
};

static int32_t on_ready(torque_source source, int32_t fd, uint32_t events, void *arg) {
  (void)source;
  (void)events;
  struct life *l = arg;
  if (atomic_load(&l->finals)) atomic_fetch_add(&l->field->after_end, 1);
  pthread_mutex_lock(&l->lock);
  if (!l->closed) atomic_fetch_add(&l->taken, (uint32_t)drain(fd, NULL));
  pthread_mutex_unlock(&l->lock);
  return TORQUE_DONE;
}

static void on_end(torque_source source, int32_t reason, void *arg) {
  (void)source;
  struct life *l = arg;
  atomic_store(&l->reason, reason);
  atomic_fetch_add(&l->finals, 1);
}

static int begin(struct life *l, struct torque_ctx *ctx) {
  int fd[2];
  if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fd)) return 0;
  l->fd = fd[0];
  l->peer = fd[1];
  if (torque_fd_new(ctx, l->fd, TORQUE_READ, 0, on_ready, l, &l->source)) return 0;
  if (torque_source_set_finalizer(l->source, on_end)) return 0;
  if (torque_source_start(l->source)) return 0;
  atomic_fetch_add(&l->wanted, 1);
  return send(l->peer, "1", 1, MSG_NOSIGNAL) == 1;
}

static void close_locked(struct life *l) {
  pthread_mutex_lock(&l->lock);
  l->closed = 1;
  close(l->fd);
  pthread_mutex_unlock(&l->lock);
}

/* The first byte must arrive; the second is an event that races with the end. */
static int end(struct life *l, uint32_t round) {
  STAY_UNTIL(atomic_load(&l->taken) >= 1 || atomic_load(&l->field->f->quit));
  if (atomic_load(&l->taken) < 1) atomic_fetch_add(&l->field->lost, 1);
  torque_err err = 0;
  (void)send(l->peer, "2", 1, MSG_NOSIGNAL);
  l->way = (int)(round % WAYS);
  switch (l->way) {
    case BEHIND: close_locked(l); break;
    case THROUGH: err = torque_close(l->source); break;
    case REMOVED:
      err = torque_source_remove(l->source);
      close_locked(l);
      break;
    default: /* after the number may have gone to another thread's source */
      close_locked(l);
      err = torque_source_remove(l->source);
      if (err == TORQUE_ERR_STALE) err = 0;
  }
  close(l->peer);
  return err == 0;
}

struct lane {
  struct field *field;
  int number;
};

static void *live_and_die(void *arg) {
  const struct lane *lane = arg;
  struct field *field = lane->field;
  struct life *lives = field->lives[lane->number];
  uint32_t made = 0, ended = 0;
  for (; made < LANES * ROUNDS && !atomic_load(&field->f->quit); made++) {
    if (made >= LANES && !end(&lives[ended++], made / LANES + made)) atomic_fetch_add(&field->errors, 1);
    if (!begin(&lives[made], field->f->ctx)) atomic_fetch_add(&field->errors, 1);
  }
  while (ended < made) {
    if (!end(&lives[ended++], REMOVED)) atomic_fetch_add(&field->errors, 1);
  }
  return NULL;
}

static void assert_life(const struct life *l) {
  assert_int_equal(l->finals, 1);
  const int32_t r = l->reason;
  switch (l->way) {
    case BEHIND: assert_true(r == TORQUE_END_REPLACED || r == TORQUE_END_STOPPED); break;
    case THROUGH: assert_int_equal(r, TORQUE_END_CLOSED); break;
    case REMOVED: assert_int_equal(r, TORQUE_END_REMOVED); break;
    default: assert_true(r == TORQUE_END_REPLACED || r == TORQUE_END_REMOVED);
  }
}

static void closed_and_used_again(void **state) {
  struct fixture *f = *state;
  struct field *field = fixture_take(f, sizeof *field);
  field->f = f;
  for (int t = 0; t < THREADS; t++) {
    struct life *l = field->lives[t] = fixture_take(f, LANES * ROUNDS * sizeof *l);
    for (int i = 0; i < LANES * ROUNDS; i++) {
      l[i].field = field;
      pthread_mutex_init(&l[i].lock, NULL);
    }
  }
  for (int t = 0; t < THREADS; t++) {
    struct lane *lane = fixture_take(f, sizeof *lane);
    *lane = (struct lane){field, t};
    fixture_thread(f, live_and_die, lane);
  }
  if (f->shape->driven) { /* somebody has to run it */
    for (int t = 0; t < THREADS; t++) AWAIT(f, field->lives[t][LANES * ROUNDS - 1].taken);
  }
  fixture_join(f);
  fixture_settle(f);
  const uint64_t stale = stat_total(f->ctx, "stale");
  fixture_stop(f);
  assert_int_equal(field->errors, 0);
  assert_int_equal(field->lost, 0);
  assert_int_equal(field->after_end, 0);
  uint32_t replaced = 0;
  for (int t = 0; t < THREADS; t++)
    for (int i = 0; i < LANES * ROUNDS; i++) {
      assert_life(&field->lives[t][i]);
      replaced += field->lives[t][i].reason == TORQUE_END_REPLACED;
    }
  print_message("%s: %d sources, %u replaced, %zu stale events dropped\n", f->shape->name, THREADS * LANES * ROUNDS,
                replaced, (size_t)stale);
  assert_true(replaced > 0);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      ON(shared, closed_and_used_again),
      ON(live, closed_and_used_again),
      ON(synthetic, closed_and_used_again),
      ON(oneshot, closed_and_used_again),
      ON(driven, closed_and_used_again),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
