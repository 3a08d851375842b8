/* SPDX-License-Identifier: BSD-3-Clause */
/* A turn's budget ends the turn and nothing else: what is left to read, or to send, follows in the next. */
#include "support/layers.h"
#include "support/streams.h"

#include <unistd.h>

#include "support/cmocka.h"

static size_t echo(torque_source stream, const void *data, size_t length, void *arg) {
  struct party *p = arg;
  p->calls++;
  p->in += length;
  if (torque_stream_write(stream, data, length)) p->strange++;
  return length;
}

/* A read costs a budget a kilobyte at least, so that a small one is used up by the request: the answer comes all the same. */
static const size_t budgets[] = {1, 2, 99, 100, 101, 500, 1000, 1023, 1024, 1025, 1124, 2047, 2048, 3000};
enum { BUDGETS = sizeof budgets / sizeof *budgets, SIZE = 100 };

static void trips(struct fixture *f, struct party *p) {
  int fd[2];
  fixture_tcp(f, fd);
  party_add(p, fd[1]);
  AWAIT(f, p->opened == 1);
  for (uint32_t i = 1; i <= 20; i++) {
    size_t got = 0;
    say(fd[0], SIZE);
    AWAIT(f, (got += drain(fd[0], NULL)) == SIZE);
    assert_int_equal(p->in, i * SIZE);
  }
  fixture_close(f, fd[0]);
  AWAIT(f, p->closed == 1);
  assert_int_equal(p->strange, 0);
  party_free(p);
}

static void an_answer_is_sent(void **state) {
  struct fixture *f = *state;
  for (int b = 0; b < BUDGETS; b++) {
    struct party *p = party_new(f, echo, NULL);
    assert_int_equal(torque_stream_type_set_budget(p->type, budgets[b]), 0);
    trips(f, p);
  }
}

static void an_answer_through_a_layer_is_sent(void **state) {
  struct fixture *f = *state;
  for (int b = 0; b < BUDGETS; b++) {
    struct party *p = party_new(f, echo, NULL);
    struct torque_layer_type *layer = layer_xor(0);
    assert_int_equal(torque_stream_type_set_budget(p->type, budgets[b]), 0);
    assert_int_equal(torque_stream_type_add_layer(p->type, layer), 0);
    torque_layer_type_free(layer);
    trips(f, p);
  }
}

static void an_answer_beside_a_time_limit_is_sent(void **state) {
  struct fixture *f = *state;
  for (int b = 0; b < BUDGETS; b++) {
    struct party *p = party_new(f, echo, NULL);
    assert_int_equal(torque_stream_type_set_budget(p->type, budgets[b]), 0);
    assert_int_equal(torque_stream_type_set_limit(p->type, TORQUE_STREAM_IDLE_TIMEOUT, UINT64_C(3600000000000)), 0);
    trips(f, p);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {
      ON_EVERY(an_answer_is_sent),
      ON_EVERY(an_answer_through_a_layer_is_sent),
      ON_EVERY(an_answer_beside_a_time_limit_is_sent),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
