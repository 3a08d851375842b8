/* SPDX-License-Identifier: BSD-3-Clause */
/* Whichever request for memory fails: streams with layers end with an error, or do without, and leave nothing behind.
 */
#include "support/layers.h"

#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "support/cmocka.h"
#include "support/streams.h"

static void with(struct party *p, struct torque_layer_type *layer) {
  assert_int_equal(torque_stream_type_add_layer(p->type, layer), 0);
  torque_layer_type_free(layer);
}

struct meter {
  _Atomic uint64_t calls, fail_at;
  _Atomic int64_t blocks;
};

static void *meter_take(size_t size, size_t align, void *arg) {
  struct meter *m = arg;
  if (++m->calls == m->fail_at) return NULL;
  void *p = NULL;
  if (posix_memalign(&p, align < sizeof(void *) ? sizeof(void *) : align, size)) return NULL;
  m->blocks++;
  return p;
}

static void meter_give(void *ptr, size_t size, void *arg) {
  struct meter *m = arg;
  (void)size;
  m->blocks -= ptr != NULL;
  free(ptr);
}

/* Two streams on a driven context whose n-th request for memory fails. Answers how many there were. */
static uint64_t exchange_without(struct fixture *outer, struct meter *m, uint64_t fail_at) {
  struct fixture f = {.shape = outer->shape};
  struct torque_config *config;
  m->calls = 0;
  m->fail_at = fail_at;
  assert_int_equal(torque_config_new(&config), 0);
  assert_int_equal(torque_config_set_driven(config, 1), 0);
  assert_int_equal(torque_config_set_allocator(config, meter_take, meter_give, m), 0);
  const torque_err err = torque_ctx_new(config, &f.ctx);
  torque_config_free(config);
  if (err) {
    assert_int_equal(err, TORQUE_ERR_RESOURCE);
    return m->calls;
  }
  struct party *p[2];
  torque_source s[2] = {0, 0};
  int fd[2];
  unsigned char bytes[5000];
  assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fd), 0);
  int added = 0;
  for (int i = 0; i < 2; i++) {
    p[i] = party_new(outer, party_take, NULL);
    with(p[i], layer_handshake());
    with(p[i], layer_frames());
    with(p[i], layer_xor(9));
    const torque_err e = torque_stream_add(f.ctx, fd[i], p[i]->type, p[i], &s[i]);
    if (e) {
      assert_int_equal(e, TORQUE_ERR_RESOURCE);
      close(fd[i]);
    }
    added += !e;
  }
  for (uint64_t at = 0; at < 40000; at += sizeof bytes) {
    pattern_fill(bytes, at, sizeof bytes);
    const torque_err e = s[0] ? torque_stream_write(s[0], bytes, sizeof bytes) : TORQUE_ERR_STALE;
    if (e) break;
    (void)torque_run_ready(f.ctx, NULL);
  }
  if (s[0]) (void)torque_stream_close(s[0]);
  struct patience patience = patience_start();
  while (p[0]->closed + p[1]->closed < (uint32_t)added && patience_left(&patience)) {
    const torque_err e = torque_run_once(f.ctx, 1000000, NULL);
    assert_true(e == 0 || e == TORQUE_ERR_RESOURCE);
  }
  assert_int_equal(p[0]->closed + p[1]->closed, added);
  assert_int_equal(p[0]->strange + p[1]->strange, 0);
  if (p[0]->err == 0 && p[1]->err == 0 && added == 2 && !fail_at) assert_int_equal(p[1]->in, 40000);
  assert_int_equal(torque_stop(f.ctx), 0);
  assert_int_equal(m->blocks, 0);
  party_free(p[0]);
  party_free(p[1]);
  return m->calls;
}

static void without_memory(void **state) {
  struct fixture *f = *state;
  struct meter m = {0};
  const uint64_t calls = exchange_without(f, &m, 0);
  for (uint64_t n = 1; n <= calls; n++) (void)exchange_without(f, &m, n);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      ON(driven, without_memory),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
