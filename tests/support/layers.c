/* SPDX-License-Identifier: BSD-3-Clause */
#include "support/layers.h"

#include <stdlib.h>
#include <string.h>

#include "support/cmocka.h"

static struct torque_layer_type *new_type(void *arg, torque_layer_open_fn *open, torque_layer_receive_fn *receive,
                                          torque_layer_send_fn *send) {
  struct torque_layer_type *type;
  assert_int_equal(torque_layer_type_new(&type), 0);
  assert_int_equal(torque_layer_type_set_arg(type, arg, free), 0);
  assert_int_equal(torque_layer_type_set_open(type, open), 0);
  if (open) assert_int_equal(torque_layer_type_set_close(type, free), 0);
  assert_int_equal(torque_layer_type_set_receive(type, receive), 0);
  assert_int_equal(torque_layer_type_set_send(type, send), 0);
  return type;
}

static uint32_t *number(uint32_t n) {
  uint32_t *p = malloc(sizeof *p);
  assert_non_null(p);
  *p = n;
  return p;
}

static torque_err pass_down(struct torque_layer *layer, void *state, const void *data, size_t length) {
  (void)state;
  return torque_layer_down(layer, data, length);
}

/* ---- xor ---- */

struct key {
  unsigned char key;
};

static torque_err xor_open(struct torque_layer *layer, void *arg, void **ret_state) {
  struct key *k = malloc(sizeof *k);
  (void)layer;
  if (!k) return TORQUE_ERR_RESOURCE;
  k->key = (unsigned char)*(uint32_t *)arg;
  *ret_state = k;
  return 0;
}

static torque_err xor_pass(struct torque_layer *layer, const struct key *k, const unsigned char *from, size_t length,
                           int up) {
  unsigned char *to = torque_layer_scratch(layer);
  if (!to) return TORQUE_ERR_RESOURCE;
  while (length) {
    const size_t n = length < TORQUE_LAYER_SCRATCH ? length : TORQUE_LAYER_SCRATCH;
    for (size_t i = 0; i < n; i++) to[i] = from[i] ^ k->key;
    const torque_err err = up ? 0 : torque_layer_down(layer, to, n);
    if (up) (void)torque_layer_up(layer, to, n);
    if (err) return err;
    from += n;
    length -= n;
  }
  return 0;
}

static torque_err xor_receive(struct torque_layer *layer, void *state, const void *data, size_t length,
                              size_t *ret_taken) {
  (void)ret_taken;
  return xor_pass(layer, state, data, length, 1);
}

static torque_err xor_send(struct torque_layer *layer, void *state, const void *data, size_t length) {
  return xor_pass(layer, state, data, length, 0);
}

struct torque_layer_type *layer_xor(unsigned char key) {
  return new_type(number(key), xor_open, xor_receive, xor_send);
}

/* ---- frames ---- */

static torque_err frames_receive(struct torque_layer *layer, void *state, const void *data, size_t length,
                                 size_t *ret_taken) {
  const unsigned char *p = data;
  size_t at = 0;
  (void)state;
  while (length - at >= 4) {
    const size_t n = (size_t)p[at] << 24 | (size_t)p[at + 1] << 16 | (size_t)p[at + 2] << 8 | p[at + 3];
    if (n == 0 || n > (1 << 20)) return TORQUE_ERR_SYSCALL + 71; /* EPROTO */
    if (length - at - 4 < n) break;
    const int more = torque_layer_up(layer, p + at + 4, n);
    at += 4 + n;
    if (!more) break;
  }
  *ret_taken = at;
  return 0;
}

static torque_err frames_send(struct torque_layer *layer, void *state, const void *data, size_t length) {
  const unsigned char head[4] = {(unsigned char)(length >> 24), (unsigned char)(length >> 16),
                                 (unsigned char)(length >> 8), (unsigned char)length};
  (void)state;
  const torque_err err = torque_layer_down(layer, head, sizeof head);
  return err ? err : torque_layer_down(layer, data, length);
}

struct torque_layer_type *layer_frames(void) {
  return new_type(NULL, NULL, frames_receive, frames_send);
}

/* ---- handshake ---- */

struct greeted {
  int done;
};

static torque_err handshake_open(struct torque_layer *layer, void *arg, void **ret_state) {
  (void)layer, (void)arg;
  *ret_state = calloc(1, sizeof(struct greeted));
  return *ret_state ? 0 : TORQUE_ERR_RESOURCE;
}

static torque_err handshake_start(struct torque_layer *layer, void *state) {
  (void)state;
  return torque_layer_down(layer, GREETING, strlen(GREETING));
}

static torque_err handshake_receive(struct torque_layer *layer, void *state, const void *data, size_t length,
                                    size_t *ret_taken) {
  struct greeted *g = state;
  size_t head = 0;
  if (!g->done) {
    if (memcmp(data, GREETING, length < strlen(GREETING) ? length : strlen(GREETING))) return TORQUE_ERR_SYSCALL + 71;
    *ret_taken = 0;
    if (length < strlen(GREETING)) return 0;
    head = strlen(GREETING);
    g->done = 1;
    torque_layer_ready(layer);
  }
  if (length > head) (void)torque_layer_up(layer, (const char *)data + head, length - head);
  *ret_taken = length;
  return 0;
}

struct torque_layer_type *layer_handshake(void) {
  struct torque_layer_type *type = new_type(NULL, handshake_open, handshake_receive, pass_down);
  assert_int_equal(torque_layer_type_set_start(type, handshake_start), 0);
  return type;
}

/* ---- hold ---- */

struct held {
  unsigned char *bytes;
  size_t length, room;
};

static torque_err hold_open(struct torque_layer *layer, void *arg, void **ret_state) {
  (void)layer, (void)arg;
  *ret_state = calloc(1, sizeof(struct held));
  return *ret_state ? 0 : TORQUE_ERR_RESOURCE;
}

static void hold_close(void *state) {
  struct held *h = state;
  free(h->bytes);
  free(h);
}

static torque_err hold_send(struct torque_layer *layer, void *state, const void *data, size_t length) {
  struct held *h = state;
  (void)layer;
  if (h->room - h->length < length) {
    unsigned char *more = realloc(h->bytes, 2 * (h->length + length));
    if (!more) return TORQUE_ERR_RESOURCE;
    h->bytes = more;
    h->room = 2 * (h->length + length);
  }
  memcpy(h->bytes + h->length, data, length);
  h->length += length;
  return 0;
}

static torque_err hold_flush(struct torque_layer *layer, void *state) {
  struct held *h = state;
  const size_t n = h->length;
  h->length = 0;
  return n ? torque_layer_down(layer, h->bytes, n) : 0;
}

static torque_err pass_up(struct torque_layer *layer, void *state, const void *data, size_t length, size_t *ret_taken) {
  (void)state, (void)ret_taken;
  (void)torque_layer_up(layer, data, length);
  return 0;
}

struct torque_layer_type *layer_hold(void) {
  struct torque_layer_type *type = new_type(NULL, hold_open, pass_up, hold_send);
  assert_int_equal(torque_layer_type_set_close(type, hold_close), 0);
  assert_int_equal(torque_layer_type_set_flush(type, hold_flush), 0);
  assert_int_equal(torque_layer_type_set_end(type, hold_flush), 0);
  return type;
}

/* ---- grow ---- */

struct growth {
  uint32_t times, left;
  unsigned char byte;
};

static torque_err grow_open(struct torque_layer *layer, void *arg, void **ret_state) {
  struct growth *g = calloc(1, sizeof *g);
  (void)layer;
  if (!g) return TORQUE_ERR_RESOURCE;
  g->times = *(uint32_t *)arg;
  *ret_state = g;
  return 0;
}

static torque_err grow_receive(struct torque_layer *layer, void *state, const void *data, size_t length,
                               size_t *ret_taken) {
  struct growth *g = state;
  unsigned char *to = torque_layer_scratch(layer);
  size_t at = 0;
  if (!to) return TORQUE_ERR_RESOURCE;
  for (int more = 1; more && (g->left || at < length);) {
    if (!g->left) {
      g->byte = ((const unsigned char *)data)[at++];
      g->left = g->times;
    }
    const uint32_t n = g->left < TORQUE_LAYER_SCRATCH ? g->left : TORQUE_LAYER_SCRATCH;
    memset(to, g->byte, n);
    more = torque_layer_up(layer, to, n);
    g->left -= n;
  }
  *ret_taken = at;
  return 0;
}

struct torque_layer_type *layer_grow(uint32_t times) {
  return new_type(number(times), grow_open, grow_receive, pass_down);
}

/* ---- until ---- */

static torque_err until_open(struct torque_layer *layer, void *arg, void **ret_state) {
  return xor_open(layer, arg, ret_state);
}

static torque_err until_receive(struct torque_layer *layer, void *state, const void *data, size_t length,
                                size_t *ret_taken) {
  const struct key *k = state;
  const unsigned char *last = memchr(data, k->key, length);
  const size_t n = last ? (size_t)(last - (const unsigned char *)data) : length;
  (void)ret_taken;
  if (n) (void)torque_layer_up(layer, data, n);
  if (last) torque_layer_up_end(layer);
  return 0;
}

struct torque_layer_type *layer_until(unsigned char last) {
  return new_type(number(last), until_open, until_receive, pass_down);
}
