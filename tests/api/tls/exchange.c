/* SPDX-License-Identifier: BSD-3-Clause */
/* A server and a client of ours beside OpenSSL alone: every byte arrives, in order, in both versions, however the
 * records are cut on their way; both ends are told, and a half that is closed leaves the other. */
#include "support.h"

#include <openssl/err.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

#include "support/cmocka.h"

static const int versions[] = {TLS1_2_VERSION, TLS1_3_VERSION};

static size_t echo(torque_source stream, const void *data, size_t length, void *arg) {
  struct party *p = arg;
  if (ERR_peek_error()) p->strange++;
  if (!pattern_is(data, p->in, length)) p->strange++;
  p->in += length;
  if (torque_stream_write(stream, data, length)) p->strange++;
  return length;
}

/* ours and theirs, connected; ours is a server or a client. */
struct meeting {
  struct party *ours;
  struct peer theirs;
  SSL_CTX *ctx;
};

static void meet(struct fixture *f, struct meeting *m, int server, int version, torque_stream_data_fn *data,
                 torque_stream_end_fn *end) {
  int fd[2];
  fixture_tcp(f, fd);
  m->ctx = server ? peer_client_ctx(version) : peer_server_ctx(version);
  peer_open(&m->theirs, m->ctx, fd[0], !server);
  m->ours =
      tls_party(f, server ? server_layer(server_config()) : client_layer(client_config(), "server.test"), data, end);
  m->ours->stream = party_add(m->ours, fd[1]);
}

/* Both say goodbye; ours must end without an error. */
static void part(struct fixture *f, struct meeting *m) {
  SSL_shutdown(m->theirs.ssl);
  AWAIT(f, (peer_push(&m->theirs, 100000), BIO_pending(m->theirs.out) == 0));
  shutdown(m->theirs.fd, SHUT_WR);
  AWAIT(f, m->ours->closed);
  assert_int_equal(m->ours->err, 0);
  assert_int_equal(m->ours->closed, 1);
  assert_int_equal(m->ours->opened, 1);
  assert_int_equal(m->ours->strange, 0);
  char byte;
  AWAIT(f, (peer_pull(&m->theirs), assert_int_equal(peer_read(&m->theirs, &byte, 1), 0), peer_bye(&m->theirs)));
  assert_int_equal(m->theirs.failed, 0);
  peer_close(&m->theirs);
  SSL_CTX_free(m->ctx);
  party_free(m->ours);
  fixture_close(f, m->theirs.fd);
  m->theirs.fd = -1;
}

static void bytes_come_back(struct fixture *f, uint64_t all, size_t piece, size_t most) {
  for (int server = 0; server < 2; server++) {
    for (size_t v = 0; v < 2; v++) {
      struct meeting m;
      meet(f, &m, server, versions[v], echo, NULL);
      assert_true(peer_meet(f, &m.theirs, most));
      AWAIT(f, m.ours->opened);
      assert_int_equal(SSL_version(m.theirs.ssl), versions[v]);
      assert_true(peer_echo(f, &m.theirs, all, piece, most));
      part(f, &m);
    }
  }
}

static void small_messages(void **state) { bytes_come_back(*state, 2000, 13, 100000); }
static void byte_by_byte(void **state) { bytes_come_back(*state, 60, 20, 1); }
static void seven_at_a_time(void **state) { bytes_come_back(*state, 5000, 1000, 7); }
static void sixteen_megabytes(void **state) { bytes_come_back(*state, FEWER(16 << 20), 65536, 200000); }

/* What leaves the peer is cut into two, at one place after the other. */
static void cut_once_at_many_bytes(void **state) {
  struct fixture *f = *state;
  for (size_t cut = 1, last = 0; !last; cut += SANITIZED ? 61 : 13) {
    struct meeting m;
    meet(f, &m, 1, cut % 2 ? TLS1_3_VERSION : TLS1_2_VERSION, echo, NULL);
    size_t gone = 0, said = 0, back = 0;
    char bytes[100];
    struct patience patience = patience_start();
    while (back < sizeof bytes) {
      peer_pull(&m.theirs);
      if (peer_shake(&m.theirs) && !said) {
        pattern_fill(bytes, 0, sizeof bytes);
        said = (size_t)SSL_write(m.theirs.ssl, bytes, sizeof bytes);
        assert_int_equal(said, sizeof bytes);
      }
      const size_t n = peer_push(&m.theirs, gone < cut ? cut - gone : 100000);
      gone += n;
      if (n && gone == cut) fixture_settle(f);
      if (said) back += peer_read(&m.theirs, bytes + back, sizeof bytes - back);
      assert_false(m.theirs.failed);
      assert_true(fixture_step(f, &patience));
    }
    assert_true(pattern_is(bytes, 0, sizeof bytes));
    last = cut > gone;
    part(f, &m);
  }
}

static void random_pieces(void **state) {
  struct fixture *f = *state;
  unsigned seed = 7;
  for (int i = 0; i < (int)FEWER(10) + 2; i++) {
    struct meeting m;
    meet(f, &m, i % 2, versions[i / 2 % 2], echo, NULL);
    const size_t most = 1 + (unsigned)rand_r(&seed) % 3000;
    assert_true(peer_meet(f, &m.theirs, most));
    assert_true(peer_echo(f, &m.theirs, 100000, 1 + (unsigned)rand_r(&seed) % 30000, most));
    part(f, &m);
  }
}

/* ---- Ends ---- */

static void on_end_answers(torque_source stream, void *arg) {
  struct party *p = arg;
  static const char text[] = "the rest";
  p->ended++;
  if (torque_stream_write(stream, text, 8) || torque_stream_shutdown(stream)) p->strange++;
}

static void a_half_that_is_closed_leaves_the_other(void **state) {
  struct fixture *f = *state;
  for (size_t v = 0; v < 2; v++) {
    struct meeting m;
    meet(f, &m, 1, versions[v], party_take, on_end_answers);
    assert_true(peer_meet(f, &m.theirs, 100000));
    unsigned char bytes[1000];
    pattern_fill(bytes, 0, sizeof bytes);
    assert_int_equal(SSL_write(m.theirs.ssl, bytes, sizeof bytes), sizeof bytes);
    SSL_shutdown(m.theirs.ssl);
    char text[20];
    size_t n = 0;
    AWAIT(f, (peer_push(&m.theirs, 100000), peer_pull(&m.theirs), n += peer_read(&m.theirs, text + n, sizeof text - n),
              n >= 8));
    assert_memory_equal(text, "the rest", 8);
    assert_int_equal(m.ours->in, 1000);
    assert_int_equal(m.ours->ended, 1);
    part(f, &m);
  }
}

static void on_open_says_and_closes(torque_source stream, void *arg) {
  struct party *p = arg;
  p->opened++;
  if (torque_stream_write(stream, "good day", 8) || torque_stream_close(stream)) p->strange++;
}

/* close() within the callback that opens: what was written is sent, then the goodbye. */
static void closed_as_soon_as_open(void **state) {
  struct fixture *f = *state;
  for (size_t v = 0; v < 2; v++) {
    struct meeting m;
    int fd[2];
    fixture_tcp(f, fd);
    m.ctx = peer_client_ctx(versions[v]);
    peer_open(&m.theirs, m.ctx, fd[0], 0);
    m.ours = tls_party(f, server_layer(server_config()), party_take, party_end);
    assert_int_equal(torque_stream_type_set_open(m.ours->type, on_open_says_and_closes), 0);
    party_add(m.ours, fd[1]);
    assert_true(peer_meet(f, &m.theirs, 100000));
    char text[20];
    size_t n = 0;
    AWAIT(f, (peer_pull(&m.theirs), n += peer_read(&m.theirs, text + n, sizeof text - n), peer_bye(&m.theirs)));
    assert_int_equal(n, 8);
    part(f, &m);
  }
}

/* Written and closed before the handshake has begun: it is seen through, and all is sent. */
static void closed_before_it_is_open(void **state) {
  struct fixture *f = *state;
  for (size_t v = 0; v < 2; v++) {
    struct meeting m;
    meet(f, &m, 1, versions[v], party_take, party_end);
    assert_int_equal(torque_stream_write(m.ours->stream, "good day", 8), 0);
    assert_int_equal(torque_stream_close(m.ours->stream), 0);
    fixture_settle(f);
    assert_true(peer_meet(f, &m.theirs, 100000));
    char text[20];
    size_t n = 0;
    AWAIT(f, (peer_pull(&m.theirs), n += peer_read(&m.theirs, text + n, sizeof text - n), peer_bye(&m.theirs)));
    assert_int_equal(n, 8);
    m.ours->opened = 1; /* nobody was told: it was closed */
    part(f, &m);
  }
}

/* The other side just goes away after a close() of ours: that is no truncation, as nobody wanted more. */
static void nobody_waits_for_a_goodbye_after_close(void **state) {
  struct fixture *f = *state;
  struct meeting m;
  meet(f, &m, 1, 0, echo, NULL);
  assert_true(peer_meet(f, &m.theirs, 100000));
  AWAIT(f, m.ours->opened);
  assert_int_equal(torque_stream_close(m.ours->stream), 0);
  AWAIT(f, (peer_pull(&m.theirs), m.theirs.ended));
  peer_close(&m.theirs);
  fixture_close(f, m.theirs.fd);
  AWAIT(f, m.ours->closed);
  assert_int_equal(m.ours->err, 0);
  SSL_CTX_free(m.ctx);
  party_free(m.ours);
}

/* ---- Messages within the data ---- */

static void keys_are_updated(void **state) {
  struct fixture *f = *state;
  for (int server = 0; server < 2; server++) {
    struct meeting m;
    meet(f, &m, server, TLS1_3_VERSION, echo, NULL);
    assert_true(peer_meet(f, &m.theirs, 100000));
    for (int i = 0; i < 20; i++) {
      assert_true(SSL_key_update(m.theirs.ssl, i % 2 ? SSL_KEY_UPDATE_REQUESTED : SSL_KEY_UPDATE_NOT_REQUESTED));
      const uint64_t before = m.ours->in;
      unsigned char bytes[500];
      pattern_fill(bytes, before, sizeof bytes);
      assert_int_equal(SSL_write(m.theirs.ssl, bytes, sizeof bytes), sizeof bytes);
      size_t n = 0;
      AWAIT(f, (peer_push(&m.theirs, 100000), peer_pull(&m.theirs), n += peer_read(&m.theirs, bytes, sizeof bytes),
                n == sizeof bytes));
      assert_int_equal(m.ours->in, before + sizeof bytes);
    }
    part(f, &m);
  }
}

/* Tickets that stretch over several records: while one is under way a client can send nothing, and must wait with it.
 */
static void long_tickets_hold_up_nothing(void **state) {
  struct fixture *f = *state;
  struct meeting m;
  meet(f, &m, 0, TLS1_3_VERSION, echo, NULL);
  SSL_set_max_send_fragment(m.theirs.ssl, 512);
  static unsigned char name[4000];
  assert_true(SSL_set_session_id_context(m.theirs.ssl, name, 8));
  assert_true(peer_meet(f, &m.theirs, 100000));
  AWAIT(f, m.ours->opened);
  SSL_SESSION *session = SSL_get_session(m.theirs.ssl);
  assert_true(SSL_SESSION_set1_ticket_appdata(session, name, sizeof name)); /* makes the ticket long */
  for (int i = 0; i < 5; i++) {
    assert_true(SSL_new_session_ticket(m.theirs.ssl));
    peer_shake(&m.theirs);
    assert_true(BIO_pending(m.theirs.out) > 4000);
    peer_push(&m.theirs, 700); /* one record, and a part of the next */
    fixture_settle(f);
    assert_int_equal(torque_stream_write(m.ours->stream, "meanwhile", 9), 0);
    fixture_settle(f);
    char text[20];
    peer_pull(&m.theirs);
    assert_int_equal(peer_read(&m.theirs, text, sizeof text), 0);
    size_t n = 0;
    AWAIT(f, (peer_push(&m.theirs, 100), peer_pull(&m.theirs), n += peer_read(&m.theirs, text + n, sizeof text - n),
              n >= 9));
    assert_int_equal(n, 9);
    assert_memory_equal(text, "meanwhile", 9);
  }
  assert_true(peer_echo(f, &m.theirs, 5000, 1000, 100000));
  part(f, &m);
}

static void renegotiation_is_refused(void **state) {
  struct fixture *f = *state;
  struct meeting m;
  meet(f, &m, 1, TLS1_2_VERSION, echo, NULL);
  assert_true(peer_meet(f, &m.theirs, 100000));
  assert_true(peer_echo(f, &m.theirs, 100, 100, 100000));
  assert_true(SSL_renegotiate(m.theirs.ssl));
  peer_shake(&m.theirs);
  AWAIT(f, (peer_push(&m.theirs, 100000), peer_pull(&m.theirs), peer_shake(&m.theirs), m.theirs.failed));
  assert_int_equal(ERR_GET_REASON(m.theirs.why), SSL_R_NO_RENEGOTIATION);
  fixture_close(f, m.theirs.fd);
  AWAIT(f, m.ours->closed);
  peer_close(&m.theirs);
  SSL_CTX_free(m.ctx);
  party_free(m.ours);
}

/* ---- Back-pressure ---- */

/* Writes until it is told to wait, and goes on when it is drained. */
static void pour(torque_source stream, struct party *p) {
  const uint64_t all = FEWER(16 << 20);
  unsigned char bytes[16384];
  uint64_t waiting = 0;
  while (p->aux < all) {
    if (torque_stream_pending(stream, &waiting)) p->strange++;
    if (waiting > (1 << 20)) return;
    const size_t n = all - p->aux < sizeof bytes ? (size_t)(all - p->aux) : sizeof bytes;
    pattern_fill(bytes, p->aux, n);
    if (torque_stream_write(stream, bytes, n)) p->strange++;
    p->aux += (uint32_t)n;
  }
  if (torque_stream_shutdown(stream)) p->strange++;
}

static void on_open_pours(torque_source stream, void *arg) {
  struct party *p = arg;
  p->opened++;
  pour(stream, p);
}
static void on_drain_pours(torque_source stream, void *arg) {
  struct party *p = arg;
  p->drained++;
  pour(stream, p);
}

static void a_reader_that_starts_late(void **state) {
  struct fixture *f = *state;
  struct meeting m;
  int fd[2];
  fixture_tcp(f, fd);
  m.ctx = peer_client_ctx(0);
  peer_open(&m.theirs, m.ctx, fd[0], 0);
  m.ours = tls_party(f, server_layer(server_config()), party_take, party_end);
  assert_int_equal(torque_stream_type_set_open(m.ours->type, on_open_pours), 0);
  assert_int_equal(torque_stream_type_set_drain(m.ours->type, on_drain_pours), 0);
  party_add(m.ours, fd[1]);
  assert_true(peer_meet(f, &m.theirs, 100000));
  fixture_settle(f);
  const uint64_t all = FEWER(16 << 20);
  static unsigned char bytes[65536];
  uint64_t got = 0;
  struct patience patience = patience_start();
  while (!peer_bye(&m.theirs)) {
    if (peer_pull(&m.theirs)) patience = patience_start();
    for (size_t n; (n = peer_read(&m.theirs, bytes, sizeof bytes));) {
      assert_true(pattern_is(bytes, got, n));
      got += n;
    }
    assert_true(fixture_step(f, &patience));
  }
  assert_int_equal(got, all);
  if (!SANITIZED) assert_true(m.ours->drained > 0);
  part(f, &m);
}

/* A program that takes nothing is not read for: what it has not taken, in the stream and in the layer, is bounded. */
static size_t take_nothing(torque_source stream, const void *data, size_t length, void *arg) {
  struct party *p = arg;
  (void)data;
  if (p->aux) { /* from here on it does */
    p->in += length;
    return length;
  }
  p->calls++;
  if (length > (2 << 20)) p->strange++;
  (void)stream;
  return 0;
}

static void a_program_that_takes_nothing(void **state) {
  struct fixture *f = *state;
  struct meeting m;
  meet(f, &m, 1, 0, take_nothing, NULL);
  assert_true(peer_meet(f, &m.theirs, 100000));
  static unsigned char bytes[16384];
  uint64_t sent = 0;
  for (int idle = 0; idle < 50;) {
    if (BIO_pending(m.theirs.out) < 100000) {
      assert_int_equal(SSL_write(m.theirs.ssl, bytes, sizeof bytes), sizeof bytes);
      sent += sizeof bytes;
    }
    idle = peer_push(&m.theirs, 100000) ? 0 : idle + 1;
    struct patience patience = patience_start();
    assert_true(fixture_step(f, &patience));
    assert_true(sent < (64u << 20));
  }
  m.ours->aux = 1;
  assert_int_equal(torque_stream_resume(m.ours->stream), 0);
  AWAIT(f, (peer_push(&m.theirs, 100000), m.ours->in == sent));
  part(f, &m);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      ON_EVERY(small_messages),
      ON(driven, byte_by_byte),
      ON(synthetic, byte_by_byte),
      ON(synthetic, seven_at_a_time),
      ON(driven, seven_at_a_time),
      ON(driven, cut_once_at_many_bytes),
      ON(live, random_pieces),
      ON(driven, random_pieces),
      ON(driven, sixteen_megabytes),
      ON(live, sixteen_megabytes),
      ON_EVERY(a_half_that_is_closed_leaves_the_other),
      ON_EVERY(closed_as_soon_as_open),
      ON_EVERY(closed_before_it_is_open),
      ON_EVERY(nobody_waits_for_a_goodbye_after_close),
      ON_EVERY(keys_are_updated),
      ON_EVERY(long_tickets_hold_up_nothing),
      ON_EVERY(renegotiation_is_refused),
      ON_EVERY(a_reader_that_starts_late),
      ON_EVERY(a_program_that_takes_nothing),
  };
  return cmocka_run_group_tests(tests, NULL, certificates_down);
}
