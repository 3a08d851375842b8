/* SPDX-License-Identifier: BSD-3-Clause */
/* What comes is not what it should be: cut off at any byte, damaged, plain HTTP, nonsense; an error of its own each
 * time, an alert for the peer, and nothing left. */
#include "support.h"

#include <arpa/inet.h>
#include <errno.h>
#include <openssl/err.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "support/cmocka.h"

static char detail[256]; /* of the last stream that closed */

static void on_close(torque_source stream, torque_err err, void *arg) {
  struct party *p = arg;
  (void)stream;
  if (ERR_peek_error()) p->strange++;
  strncpy(detail, torque_tls_detail(), sizeof detail - 1);
  p->err = err;
  p->closed++;
}

static size_t echo(torque_source stream, const void *data, size_t length, void *arg) {
  struct party *p = arg;
  p->in += length;
  if (torque_stream_write(stream, data, length)) p->strange++;
  return length;
}

struct meeting {
  struct party *ours;
  struct peer theirs;
  SSL_CTX *ctx;
};

static void meet(struct fixture *f, struct meeting *m, int server, int version, int abrupt) {
  int fd[2];
  fixture_tcp(f, fd);
  m->ctx = server ? peer_client_ctx(version) : peer_server_ctx(version);
  peer_open(&m->theirs, m->ctx, fd[0], !server);
  struct torque_tls_config *c = server ? server_config() : client_config();
  assert_int_equal(torque_tls_config_set_abrupt_end(c, abrupt), 0);
  m->ours = tls_party(f, server ? server_layer(c) : client_layer(c, "server.test"), echo, NULL);
  assert_int_equal(torque_stream_type_set_close(m->ours->type, on_close), 0);
  m->ours->stream = party_add(m->ours, fd[1]);
}

static void part(struct fixture *f, struct meeting *m, torque_err err) {
  AWAIT(f, m->ours->closed);
  assert_int_equal(m->ours->err, err);
  assert_int_equal(m->ours->closed, 1);
  assert_int_equal(m->ours->strange, 0);
  if (m->theirs.ssl) peer_close(&m->theirs);
  SSL_CTX_free(m->ctx);
  party_free(m->ours);
}

/* ---- Cut off ---- */

/* The handshake, and then the connection, ends after so many bytes of the peer's. Answers whether there were so many.
 */
static int cut_after(struct fixture *f, size_t most, int server, int version) {
  struct meeting m;
  size_t gone = 0;
  int done = 0;
  meet(f, &m, server, version, 0);
  struct patience patience = patience_start();
  while (gone < most && !(done && BIO_pending(m.theirs.out) == 0)) {
    peer_pull(&m.theirs);
    if (!done) done = peer_shake(&m.theirs);
    assert_false(m.theirs.failed);
    gone += peer_push(&m.theirs, most - gone);
    assert_true(fixture_step(f, &patience));
  }
  shutdown(m.theirs.fd, SHUT_WR);
  AWAIT(f, m.ours->closed);
  fixture_close(f, m.theirs.fd);
  part(f, &m, TORQUE_ERR_TLS_TRUNCATED);
  return gone == most;
}

static void the_end_at_every_byte_of_a_handshake(void **state) {
  struct fixture *f = *state;
  for (int server = 0; server < 2; server++) {
    const size_t step = SANITIZED ? 31 : 3;
    size_t most = 0;
    while (cut_after(f, most, server, most / step % 2 ? TLS1_3_VERSION : TLS1_2_VERSION)) most += step;
    assert_true(most > 200);
  }
}

/* What OpenSSL alone tells a peer that ends so. */
static void assert_gets_alert(struct fixture *f, struct peer *p, int reason) {
  char bytes[4096];
  AWAIT(f, (peer_pull(p), (void)peer_read(p, bytes, sizeof bytes), p->failed));
  assert_int_equal(ERR_GET_REASON(p->why), reason);
}

static void an_end_without_goodbye(void **state) {
  struct fixture *f = *state;
  for (int abrupt = 0; abrupt < 2; abrupt++) {
    for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
      struct meeting m;
      meet(f, &m, 1, version, abrupt);
      assert_true(peer_meet(f, &m.theirs, 100000));
      assert_true(peer_echo(f, &m.theirs, 3000, 1000, 100000));
      shutdown(m.theirs.fd, SHUT_WR);
      AWAIT(f, m.ours->closed);
      if (!abrupt) {
        assert_non_null(strstr(detail, "close_notify"));
        assert_gets_alert(f, &m.theirs, SSL_R_TLSV1_ALERT_DECODE_ERROR);
      }
      fixture_close(f, m.theirs.fd);
      part(f, &m, abrupt ? 0 : TORQUE_ERR_TLS_TRUNCATED);
    }
  }
}

static void within_a_record(void **state) {
  struct fixture *f = *state;
  struct meeting m;
  meet(f, &m, 1, 0, 0);
  assert_true(peer_meet(f, &m.theirs, 100000));
  char bytes[1000] = "";
  assert_int_equal(SSL_write(m.theirs.ssl, bytes, sizeof bytes), sizeof bytes);
  peer_push(&m.theirs, 500);
  fixture_settle(f);
  shutdown(m.theirs.fd, SHUT_WR);
  AWAIT(f, m.ours->closed);
  assert_gets_alert(f, &m.theirs, SSL_R_TLSV1_ALERT_DECODE_ERROR);
  fixture_close(f, m.theirs.fd);
  part(f, &m, TORQUE_ERR_TLS_TRUNCATED);
}

/* ---- Damaged ---- */

/* One bit of what the peer sends after the handshake is another. The peer gets an alert. */
static void one_bit_is_wrong(void **state) {
  struct fixture *f = *state;
  unsigned seed = 3;
  for (int i = 0; i < (int)FEWER(100); i++) {
    struct meeting m;
    meet(f, &m, 1, i % 2 ? TLS1_3_VERSION : TLS1_2_VERSION, 0);
    assert_true(peer_meet(f, &m.theirs, 100000));
    char bytes[200] = "";
    assert_int_equal(SSL_write(m.theirs.ssl, bytes, sizeof bytes), sizeof bytes);
    char *out;
    const long n = BIO_get_mem_data(m.theirs.out, &out);
    const long at = 5 + rand_r(&seed) % (n - 5); /* in the header it may mean that more is to come */
    out[at] = (char)(out[at] ^ 1 << rand_r(&seed) % 8);
    peer_push(&m.theirs, 100000);
    AWAIT(f, m.ours->closed);
    AWAIT(f, (peer_pull(&m.theirs), m.theirs.ended));
    while (!m.theirs.failed && peer_read(&m.theirs, bytes, sizeof bytes)) continue;
    assert_true(m.theirs.failed);
    assert_int_equal(ERR_GET_REASON(m.theirs.why), SSL_R_SSLV3_ALERT_BAD_RECORD_MAC);
    assert_int_equal(m.ours->in, 0);
    fixture_close(f, m.theirs.fd);
    part(f, &m, TORQUE_ERR_TLS_PROTOCOL);
  }
}

/* Any byte of the handshake may be wrong: whatever comes of it, it is an end with an error, or it made no difference.
 */
static void handshakes_with_a_wrong_byte(void **state) {
  struct fixture *f = *state;
  for (int server = 0; server < 2; server++) {
    for (size_t at = 0, there = 1; there; at += SANITIZED ? 41 : 7) {
      struct meeting m;
      meet(f, &m, server, at % 2 ? TLS1_3_VERSION : TLS1_2_VERSION, 0);
      size_t gone = 0;
      int done = 0;
      there = 0;
      for (int quiet = 0; quiet < 5 && !m.ours->closed && !m.theirs.failed;) {
        int any = peer_pull(&m.theirs);
        if (!done) done = peer_shake(&m.theirs);
        char *out;
        const long n = BIO_get_mem_data(m.theirs.out, &out);
        if (n > 0 && gone <= at && at < gone + (size_t)n) {
          out[at - gone] = (char)(out[at - gone] ^ 0x55);
          there = 1;
        }
        const size_t sent = peer_push(&m.theirs, 1000000);
        gone += sent;
        any |= sent != 0;
        struct patience patience = patience_start();
        assert_true(fixture_step(f, &patience));
        quiet = any ? 0 : quiet + 1;
      }
      fixture_close(f, m.theirs.fd);
      AWAIT(f, m.ours->closed);
      assert_int_not_equal(m.ours->err, 0);
      assert_int_equal(m.ours->strange, 0);
      part(f, &m, m.ours->err);
    }
  }
}

/* ---- Something else ---- */

static torque_err tell(struct fixture *f, int server, const void *data, size_t length, unsigned char *alert) {
  struct meeting m;
  meet(f, &m, server, 0, 0);
  if (server)
    assert_int_equal(send(m.theirs.fd, data, length, MSG_NOSIGNAL), length);
  else {
    unsigned char hello[4096];
    AWAIT(f, recv(m.theirs.fd, hello, sizeof hello, MSG_DONTWAIT) > 0);
    assert_int_equal(send(m.theirs.fd, data, length, MSG_NOSIGNAL), length);
  }
  fixture_settle(f);
  unsigned char got[64];
  ssize_t n = recv(m.theirs.fd, got, sizeof got, MSG_DONTWAIT);
  *alert = n >= 7 && got[0] == 21 ? got[6] : 0;
  shutdown(m.theirs.fd, SHUT_WR);
  AWAIT(f, m.ours->closed);
  if (!*alert && recv(m.theirs.fd, got, sizeof got, MSG_DONTWAIT) >= 7 && got[0] == 21) *alert = got[6];
  const torque_err err = m.ours->err;
  fixture_close(f, m.theirs.fd);
  part(f, &m, err);
  return err;
}

static void other_protocols(void **state) {
  struct fixture *f = *state;
  unsigned char alert;
  const char http[] = "GET / HTTP/1.1\r\nHost: server.test\r\n\r\n", answer[] = "HTTP/1.1 400 Bad Request\r\n\r\n";
  assert_int_equal(tell(f, 1, http, sizeof http - 1, &alert), TORQUE_ERR_TLS_HANDSHAKE);
  assert_non_null(strstr(detail, "http request"));
  assert_int_equal(tell(f, 0, answer, sizeof answer - 1, &alert), TORQUE_ERR_TLS_HANDSHAKE);
  assert_int_equal(tell(f, 1, "", 0, &alert), TORQUE_ERR_TLS_TRUNCATED);
  assert_int_equal(alert, SSL_AD_DECODE_ERROR);
  const unsigned char ssl3[] = {22, 3, 0, 0, 45, 1, 0, 0, 41, 3, 0}; /* a hello of long ago, and not all of it */
  assert_int_equal(tell(f, 1, ssl3, sizeof ssl3, &alert), TORQUE_ERR_TLS_TRUNCATED);
  assert_int_equal(alert, SSL_AD_DECODE_ERROR);
  const unsigned char too_long[] = {22, 3, 1, 0xff, 0xff, 1, 0, 0, 0};
  const torque_err err = tell(f, 1, too_long, sizeof too_long, &alert);
  assert_int_equal(err, TORQUE_ERR_TLS_HANDSHAKE);
  assert_int_equal(alert, 22); /* record_overflow */
}

static void nonsense(void **state) {
  struct fixture *f = *state;
  unsigned seed = 11;
  for (int i = 0; i < (int)FEWER(300); i++) {
    unsigned char bytes[700], alert;
    const size_t length = 1 + (size_t)rand_r(&seed) % sizeof bytes;
    for (size_t k = 0; k < length; k++) bytes[k] = (unsigned char)rand_r(&seed);
    if (i % 3) memcpy(bytes, "\x16\x03\x01\x00", length < 4 ? length : 4); /* looks like a handshake at first */
    const torque_err err = tell(f, i % 2, bytes, length, &alert);
    assert_true(err == TORQUE_ERR_TLS_HANDSHAKE || err == TORQUE_ERR_TLS_TRUNCATED || err == TORQUE_ERR_TLS_REFUSED);
  }
}

/* The peer does not like us: that is told as such. */
static void an_alert_of_the_peer(void **state) {
  struct fixture *f = *state;
  for (int version = TLS1_2_VERSION; version <= TLS1_3_VERSION; version++) {
    struct meeting m;
    meet(f, &m, 1, version, 0);
    assert_true(SSL_set1_host(m.theirs.ssl, "somebody.else"));
    assert_false(peer_meet(f, &m.theirs, 100000));
    AWAIT(f, (peer_push(&m.theirs, 100000), m.ours->closed));
    assert_non_null(strstr(detail, "bad certificate"));
    fixture_close(f, m.theirs.fd);
    part(f, &m, TORQUE_ERR_TLS_REFUSED);
  }
}

static void a_reset(void **state) {
  struct fixture *f = *state;
  struct meeting m;
  meet(f, &m, 1, 0, 0);
  assert_true(peer_meet(f, &m.theirs, 100000));
  setsockopt(m.theirs.fd, SOL_SOCKET, SO_LINGER, &(struct linger){1, 0}, sizeof(struct linger));
  fixture_close(f, m.theirs.fd);
  part(f, &m, TORQUE_ERR_SYSCALL + ECONNRESET);
}

static void a_handshake_that_never_comes(void **state) {
  struct fixture *f = *state;
  int fd[2];
  fixture_tcp(f, fd);
  struct party *p = tls_party(f, server_layer(server_config()), echo, NULL);
  assert_int_equal(torque_stream_type_set_limit(p->type, TORQUE_STREAM_CONNECT_TIMEOUT, 20000000), 0);
  party_add(p, fd[1]);
  AWAIT(f, p->closed);
  assert_int_equal(p->err, TORQUE_ERR_SYSCALL + ETIMEDOUT);
  assert_int_equal(p->opened, 0);
  party_free(p);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      ON(driven, the_end_at_every_byte_of_a_handshake),
      ON(live, an_end_without_goodbye),
      ON(driven, an_end_without_goodbye),
      ON(live, within_a_record),
      ON(driven, within_a_record),
      ON(live, one_bit_is_wrong),
      ON(driven, one_bit_is_wrong),
      ON(driven, handshakes_with_a_wrong_byte),
      ON(live, other_protocols),
      ON(driven, other_protocols),
      ON(driven, nonsense),
      ON(live, an_alert_of_the_peer),
      ON(driven, an_alert_of_the_peer),
      ON_EVERY(a_reset),
      ON_EVERY(a_handshake_that_never_comes),
  };
  return cmocka_run_group_tests(tests, NULL, certificates_down);
}
