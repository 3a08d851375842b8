/* SPDX-License-Identifier: BSD-3-Clause */
/* Many at once, ends in every callback, and what an idle connection costs. */
#include "support.h"

#include <errno.h>
#include <malloc.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "support/cmocka.h"

static size_t echo(torque_source stream, const void *data, size_t length, void *arg) {
  struct party *p = arg;
  p->in += length;
  if (torque_stream_write(stream, data, length)) p->strange++;
  return length;
}

static void opens(torque_source stream, void *arg) {
  struct party *p = arg;
  (void)stream;
  p->opened++;
}

static void says_its_piece(torque_source stream, void *arg) {
  struct party *p = arg;
  unsigned char bytes[1000];
  pattern_fill(bytes, 0, sizeof bytes);
  p->opened++;
  if (torque_stream_write(stream, bytes, sizeof bytes)) p->strange++;
}

static void closes(torque_source stream, torque_err err, void *arg) {
  struct party *p = arg;
  (void)stream;
  if (err) {
    p->err = err;
    p->strange++;
  }
  p->closed++;
}

static size_t hears_it_back(torque_source stream, const void *data, size_t length, void *arg) {
  struct party *p = arg;
  if (length < 1000) return 0;
  if (length > 1000 || !pattern_is(data, 0, length)) p->strange++;
  p->in += length;
  if (torque_stream_close(stream)) p->strange++;
  return length;
}

static void a_thousand_handshakes_at_once(void **state) {
  struct fixture *f = *state;
  const uint32_t all = FEWER(1000);
  struct party *s = tls_party(f, server_layer(server_config()), echo, NULL);
  struct party *c = tls_party(f, client_layer(client_config(), "server.test"), hears_it_back, NULL);
  struct sockaddr_in where = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  uint32_t length = 0;
  torque_source listener;
  assert_int_equal(torque_stream_type_set_close(s->type, closes), 0);
  assert_int_equal(torque_stream_type_set_close(c->type, closes), 0);
  assert_int_equal(torque_stream_type_set_open(s->type, opens), 0);
  assert_int_equal(torque_stream_type_set_open(c->type, says_its_piece), 0);
  assert_int_equal(torque_stream_type_set_input(c->type, 1000, 1 << 20), 0);
  assert_int_equal(torque_stream_listen(f->ctx, &where, sizeof where, 0, TORQUE_LISTEN_DEFAULT, s->type, s, &listener),
                   0);
  assert_int_equal(torque_listen_address(listener, &where, sizeof where, &length), 0);
  for (uint32_t i = 0; i < all; i++) {
    torque_source stream;
    assert_int_equal(torque_stream_connect(f->ctx, &where, sizeof where, c->type, c, &stream), 0);
  }
  for (uint32_t before = 0, now = 0; now < 2 * all; before = now) AWAIT(f, (now = s->closed + c->closed) != before);
  assert_int_equal(s->strange + c->strange, 0);
  assert_int_equal(c->in, 1000 * (uint64_t)all);
  assert_int_equal(s->opened, all);
  assert_int_equal(torque_source_remove_wait(listener), 0);
  party_free(s);
  party_free(c);
}

/* ---- Ends in every callback ---- */

enum { ON_OPEN, ON_DATA, ON_END, ON_DRAIN, PLACES };
enum { ABORT, CLOSE, REMOVE, RELEASE, WAYS };
static int place, way;

static int end_here(torque_source stream, struct party *p, int here) {
  int32_t fd;
  if (place != here || p->aux) return 0;
  p->aux = 1;
  switch (way) {
    case ABORT:
      return torque_stream_abort(stream) == 0;
    case CLOSE:
      return torque_stream_close(stream) == 0;
    case REMOVE:
      return torque_source_remove(stream) == 0;
    default:
      if (torque_stream_release(stream, &fd)) return torque_stream_abort(stream) == 0; /* output waits */
      close(fd);
      return 1;
  }
}

static void ends_on_open(torque_source stream, void *arg) {
  static unsigned char much[3 << 20];
  struct party *p = arg;
  p->opened++;
  if (place == ON_DRAIN && torque_stream_write(stream, much, sizeof much)) p->strange++;
  end_here(stream, p, ON_OPEN);
}
static size_t ends_on_data(torque_source stream, const void *data, size_t length, void *arg) {
  struct party *p = arg;
  (void)data;
  p->in += length;
  end_here(stream, p, ON_DATA);
  return length;
}
static void ends_on_end(torque_source stream, void *arg) {
  struct party *p = arg;
  if (!end_here(stream, p, ON_END)) torque_stream_close(stream);
}
static void ends_on_drain(torque_source stream, void *arg) { end_here(stream, arg, ON_DRAIN); }

static void ends_in_every_callback(void **state) {
  struct fixture *f = *state;
  for (place = 0; place < PLACES; place++) {
    for (way = 0; way < WAYS; way++) {
      for (int server = 0; server < 2; server++) {
        struct torque_layer_type *layer = server ? server_layer(server_config()) : client_layer(client_config(), NULL);
        struct party *ours = tls_party(f, layer, ends_on_data, ends_on_end);
        SSL_CTX *ctx = server ? peer_client_ctx(0) : peer_server_ctx(0);
        struct peer theirs;
        int fd[2];
        fixture_tcp(f, fd);
        assert_int_equal(torque_stream_type_set_open(ours->type, ends_on_open), 0);
        assert_int_equal(torque_stream_type_set_drain(ours->type, ends_on_drain), 0);
        peer_open(&theirs, ctx, fd[0], !server);
        party_add(ours, fd[1]);
        int done = 0, said = 0;
        char bytes[20000] = "";
        struct patience patience = patience_start();
        while (!ours->closed) {
          peer_pull(&theirs);
          if (!done) done = peer_shake(&theirs);
          if (done && !theirs.failed) {
            if (!said) said = SSL_write(theirs.ssl, bytes, 1000) > 0;
            while (peer_read(&theirs, bytes, sizeof bytes)) continue;
            if (said && place == ON_END) SSL_shutdown(theirs.ssl);
          }
          peer_push(&theirs, 100000);
          if (theirs.ended && way == CLOSE) shutdown(theirs.fd, SHUT_WR);
          assert_true(fixture_step(f, &patience));
        }
        assert_int_equal(ours->closed, 1);
        assert_int_equal(ours->strange, 0);
        fixture_close(f, fd[0]);
        peer_close(&theirs);
        SSL_CTX_free(ctx);
        party_free(ours);
      }
    }
  }
}

/* The context stops while handshakes and data are under way. */
static void the_context_stops(void **state) {
  struct fixture *f = *state;
  struct party *s = tls_party(f, server_layer(server_config()), echo, NULL);
  struct party *c = tls_party(f, client_layer(client_config(), "server.test"), echo, NULL);
  assert_int_equal(torque_stream_type_set_open(c->type, says_its_piece), 0);
  for (int i = 0; i < 50; i++) {
    int fd[2];
    fixture_tcp(f, fd);
    party_add(s, fd[1]);
    party_add(c, fd[0]);
    struct patience patience = patience_start();
    if (i % 10 == 0) fixture_step(f, &patience);
  }
  fixture_stop(f);
  assert_int_equal(s->closed, 50);
  assert_int_equal(c->closed, 50);
  party_free(s);
  party_free(c);
}

/* ---- Memory ---- */

static size_t in_use(void) { return mallinfo2().uordblks + mallinfo2().hblkhd; }

static void an_idle_connection_is_small(void **state) {
  struct fixture *f = *state;
  if (SANITIZED) skip(); /* its allocator says nothing */
  enum { COUNT = 200 };
  static struct peer theirs[COUNT];
  static int fd[COUNT][2];
  SSL_CTX *ctx = peer_client_ctx(0);
  struct party *s = tls_party(f, server_layer(server_config()), echo, NULL);
  size_t before = 0;
  for (int i = 0; i < COUNT; i++) {
    fixture_tcp(f, fd[i]);
    if (i == 10) before = in_use(); /* what the first need once is there */
    peer_open(&theirs[i], ctx, fd[i][0], 0);
    party_add(s, fd[i][1]);
    assert_true(peer_meet(f, &theirs[i], 100000));
    assert_true(peer_echo(f, &theirs[i], 2000, 1000, 100000));
    fixture_settle(f);
    peer_close(&theirs[i]); /* without a goodbye to the other side */
  }
  AWAIT(f, s->opened == COUNT);
  fixture_settle(f);
  const size_t each = (in_use() - before) / (COUNT - 10);
  print_message("an idle connection of a server: %zu bytes\n", each);
  assert_true(each < 24000); /* one buffer of OpenSSL's alone is 16 KiB, and there would be two */
  for (int i = 0; i < COUNT; i++) fixture_close(f, fd[i][0]);
  AWAIT(f, s->closed == COUNT);
  SSL_CTX_free(ctx);
  party_free(s);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      ON(live, a_thousand_handshakes_at_once),
      ON(synthetic, a_thousand_handshakes_at_once),
      ON(driven, a_thousand_handshakes_at_once),
      ON(synthetic, ends_in_every_callback),
      ON(driven, ends_in_every_callback),
      ON(synthetic, the_context_stops),
      ON(driven, the_context_stops),
      ON(driven, an_idle_connection_is_small),
  };
  return cmocka_run_group_tests(tests, NULL, certificates_down);
}
