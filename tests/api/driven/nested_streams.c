/* SPDX-License-Identifier: BSD-3-Clause */
/* A data callback that runs the context itself: what it was given stays what it is while other streams read. */
#include <string.h>
#include <sys/socket.h>

#include "support/cmocka.h"
#include "support/layers.h"
#include "support/streams.h"

static size_t run_and_take(torque_source stream, const void *data, size_t length, void *arg) {
  struct party *p = arg;
  struct party *other = p->more;
  const uint64_t before = other->in;
  unsigned char bytes[5000];
  pattern_fill(bytes, before, sizeof bytes);
  if (send((int)other->aux, bytes, sizeof bytes, MSG_NOSIGNAL) != (ssize_t)sizeof bytes) p->strange++;
  while (other->in == before)
    if (torque_run_once(p->f->ctx, 1000000000, NULL)) p->strange++;
  return party_take(stream, data, length, p);
}

static void other_streams_read(void **state) {
  struct fixture *f = *state;
  for (int layers = 0; layers < 3; layers++) {
    struct party *p = party_new(f, run_and_take, NULL), *other = party_new(f, party_take, NULL);
    int fd[2][2];
    unsigned char bytes[5000];
    p->more = other;
    for (int i = 0; i < layers; i++) {
      struct torque_layer_type *type = layer_xor(0);
      assert_int_equal(torque_stream_type_add_layer(p->type, type), 0);
      assert_int_equal(torque_stream_type_add_layer(other->type, type), 0);
      torque_layer_type_free(type);
    }
    fixture_pair(f, fd[0]);
    fixture_pair(f, fd[1]);
    party_add(p, fd[0][1]);
    party_add(other, fd[1][1]);
    other->aux = (uint32_t)fd[1][0];
    /* The other one is a message ahead, so that its bytes are different ones. */
    pattern_fill(bytes, 0, sizeof bytes);
    assert_int_equal(send(fd[1][0], bytes, sizeof bytes, 0), sizeof bytes);
    AWAIT(f, other->in == sizeof bytes);
    for (uint64_t at = 0; at < 10 * sizeof bytes; at += sizeof bytes) {
      pattern_fill(bytes, at, sizeof bytes);
      assert_int_equal(send(fd[0][0], bytes, sizeof bytes, 0), sizeof bytes);
      AWAIT(f, p->in == at + sizeof bytes);
    }
    fixture_close(f, fd[0][0]);
    fixture_close(f, fd[1][0]);
    AWAIT(f, p->closed && other->closed);
    assert_int_equal(p->strange, 0);
    assert_int_equal(other->strange, 0);
    party_free(p);
    party_free(other);
  }
}

int main(void) {
  const struct CMUnitTest tests[] = {ON(driven, other_streams_read)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
