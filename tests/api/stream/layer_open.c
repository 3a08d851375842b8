/* SPDX-License-Identifier: BSD-3-Clause */
/* Which part of a stream is ready, from the descriptor up; and which one the error came from that ended it. */
#include "support/layers.h"
#include "support/streams.h"

#include <errno.h>
#include <netinet/in.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "support/cmocka.h"

enum { MS = 1000000, WRONG = TORQUE_ERR_SYSCALL + EPROTO, MOST = 16 };

/* What one party's streams told: p->more. */
struct told {
  _Atomic uint32_t count;
  int32_t level[MOST]; /* OPEN: open itself */
  char name[MOST][32];
  _Atomic torque_err asked; /* in close */
  int32_t failed;
  char failed_name[32];
  torque_source other; /* is removed in close */
};
enum { OPEN = 100 };

static void note(struct party *p, int32_t level, const char *name) {
  struct told *t = p->more;
  if (t->count == MOST) {
    p->strange++;
    return;
  }
  t->level[t->count] = level;
  strncpy(t->name[t->count], name, 31);
  t->count++;
}

static void on_layer_open(torque_source stream, int32_t level, struct torque_layer *layer, void *arg) {
  struct party *p = arg;
  int32_t other = 0;
  if ((level == TORQUE_LEVEL_DESCRIPTOR) != !layer) p->strange++;
  if (layer && (torque_layer_level(layer) != level || torque_layer_stream(layer) != stream)) p->strange++;
  if (p->closed || torque_stream_failed_layer(stream, &other, NULL) != TORQUE_ERR_STATE) p->strange++;
  note(p, level, layer ? torque_layer_name(layer) : "");
}

static void on_open(torque_source stream, void *arg) {
  struct party *p = arg;
  p->stream = stream;
  p->opened++;
  note(p, OPEN, "");
}

static void on_close(torque_source stream, torque_err err, void *arg) {
  struct party *p = arg;
  struct told *t = p->more;
  const char *name = "";
  t->failed = 1000;
  if (t->other && torque_source_remove(t->other)) p->strange++;
  if (torque_stream_failed_layer(stream + 1, &t->failed, &name) != TORQUE_ERR_STATE) p->strange++;
  if (torque_stream_failed_layer(stream, NULL, NULL) != TORQUE_ERR_INVAL) p->strange++;
  t->asked = torque_stream_failed_layer(stream, &t->failed, &name);
  strncpy(t->failed_name, name, 31);
  p->err = err;
  p->closed++;
}

static struct party *told_by(struct fixture *f) {
  struct party *p = party_new(f, party_take, NULL);
  p->more = fixture_take(f, sizeof(struct told));
  assert_int_equal(torque_stream_type_set_layer_open(p->type, on_layer_open), 0);
  assert_int_equal(torque_stream_type_set_open(p->type, on_open), 0);
  assert_int_equal(torque_stream_type_set_close(p->type, on_close), 0);
  return p;
}

static void add(struct party *p, struct torque_layer_type *layer, const char *name) {
  assert_int_equal(torque_layer_type_set_name(layer, name), 0);
  assert_int_equal(torque_stream_type_add_layer(p->type, layer), 0);
  torque_layer_type_free(layer);
}

static void assert_told(const struct party *p, const int32_t *levels, uint32_t count) {
  const struct told *t = p->more;
  assert_int_equal(t->count, count);
  for (uint32_t i = 0; i < count; i++) assert_int_equal(t->level[i], levels[i]);
}
#define ASSERT_TOLD(p, ...) \
  assert_told(p, (const int32_t[]){__VA_ARGS__}, sizeof((const int32_t[]){__VA_ARGS__}) / sizeof(int32_t))

static void assert_failed(struct party *p, torque_err err, int32_t level, const char *name) {
  const struct told *t = p->more;
  AWAIT(p->f, p->closed);
  assert_int_equal(p->err, err);
  assert_int_equal(t->asked, 0);
  assert_int_equal(t->failed, level);
  assert_string_equal(t->failed_name, name);
  assert_int_equal(p->strange, 0);
  party_free(p);
}

static void assert_not_failed(struct party *p) {
  const struct told *t = p->more;
  AWAIT(p->f, p->closed);
  assert_int_equal(t->asked, TORQUE_ERR_INVAL);
  assert_int_equal(t->failed, 1000);
  assert_int_equal(p->strange, 0);
  party_free(p);
}

/* ---- Open ---- */

static void no_layers(void **state) {
  struct fixture *f = *state;
  struct party *p = told_by(f);
  int fd[2];
  fixture_tcp(f, fd);
  (void)party_add(p, fd[1]);
  AWAIT(f, p->opened);
  (void)pattern_put(fd[0], 0, 100);
  AWAIT(f, p->in == 100);
  ASSERT_TOLD(p, TORQUE_LEVEL_DESCRIPTOR, OPEN);
  fixture_close(f, fd[0]);
  assert_not_failed(p);
}

static void from_the_wire_up(void **state) {
  struct fixture *f = *state;
  struct party *p = told_by(f);
  add(p, layer_xor(7), "xor");
  add(p, layer_handshake(), "hello");
  add(p, layer_frames(), "");
  int fd[2];
  fixture_pair(f, fd);
  (void)party_add(p, fd[1]);
  const struct told *t = p->more;
  AWAIT(f, t->count == 2);
  fixture_settle(f);
  ASSERT_TOLD(p, TORQUE_LEVEL_DESCRIPTOR, 0); /* the peer says nothing yet */
  assert_string_equal(t->name[1], "xor");
  char greeting[] = GREETING;
  for (char *c = greeting; *c; c++) *c ^= 7;
  assert_int_equal(send(fd[0], greeting, strlen(GREETING), 0), strlen(GREETING));
  AWAIT(f, p->opened);
  ASSERT_TOLD(p, TORQUE_LEVEL_DESCRIPTOR, 0, 1, 2, OPEN);
  assert_string_equal(t->name[2], "hello");
  assert_string_equal(t->name[3], "");
  assert_int_equal(shutdown(fd[0], SHUT_WR), 0); /* closed with the greeting unread it would be a reset */
  assert_not_failed(p);
}

static void push(torque_source stream, torque_err err, void *arg) {
  struct party *p = arg;
  struct torque_layer_type *layer = layer_xor(0);
  if (err || torque_layer_type_set_name(layer, "pushed") || torque_stream_push_layer(stream, layer)) p->strange++;
  torque_layer_type_free(layer);
}

/* Only what is new is told. */
static void pushed(void **state) {
  struct fixture *f = *state;
  for (int layered = 0; layered < 2; layered++) {
    struct party *p = told_by(f);
    if (layered) add(p, layer_xor(0), "first");
    int fd[2];
    fixture_tcp(f, fd);
    const torque_source s = party_add(p, fd[1]);
    AWAIT(f, p->opened == 1);
    for (uint32_t i = 1; i <= 2; i++) {
      assert_int_equal(torque_stream_run(s, push, p), 0);
      AWAIT(f, p->opened == 1 + i);
    }
    (void)pattern_put(fd[0], 0, 100);
    AWAIT(f, p->in == 100);
    if (layered)
      ASSERT_TOLD(p, TORQUE_LEVEL_DESCRIPTOR, 0, OPEN, 1, OPEN, 2, OPEN);
    else
      ASSERT_TOLD(p, TORQUE_LEVEL_DESCRIPTOR, OPEN, 0, OPEN, 1, OPEN);
    fixture_close(f, fd[0]);
    assert_not_failed(p);
  }
}

/* One that pushes as soon as the connection stands: open waits for it. */
static void push_early(torque_source stream, int32_t level, struct torque_layer *layer, void *arg) {
  struct party *p = arg;
  on_layer_open(stream, level, layer, arg);
  if (level == TORQUE_LEVEL_DESCRIPTOR) push(stream, 0, p);
}

static void pushed_at_once(void **state) {
  struct fixture *f = *state;
  struct party *p = told_by(f);
  assert_int_equal(torque_stream_type_set_layer_open(p->type, push_early), 0);
  int fd[2];
  fixture_tcp(f, fd);
  (void)party_add(p, fd[1]);
  (void)pattern_put(fd[0], 0, 100);
  AWAIT(f, p->in == 100);
  ASSERT_TOLD(p, TORQUE_LEVEL_DESCRIPTOR, 0, OPEN);
  fixture_close(f, fd[0]);
  assert_not_failed(p);
}

static void remove_early(torque_source stream, int32_t level, struct torque_layer *layer, void *arg) {
  struct party *p = arg;
  on_layer_open(stream, level, layer, arg);
  if (level == (int32_t)p->aux - 1 && torque_source_remove(stream)) p->strange++;
}

static void removed_meanwhile(void **state) {
  struct fixture *f = *state;
  for (uint32_t at = 0; at < 3; at++) {
    struct party *p = told_by(f);
    p->aux = at;
    assert_int_equal(torque_stream_type_set_layer_open(p->type, remove_early), 0);
    add(p, layer_xor(0), "a");
    add(p, layer_xor(0), "b");
    int fd[2];
    fixture_tcp(f, fd);
    (void)party_add(p, fd[1]);
    AWAIT(f, p->closed);
    assert_int_equal(p->opened, 0);
    assert_int_equal(((struct told *)p->more)->count, at + 1);
    assert_not_failed(p);
    fixture_release(f);
  }
}

/* ---- Failures ---- */

static void refused(void **state) {
  struct fixture *f = *state;
  struct party *p = told_by(f);
  add(p, layer_handshake(), "hello");
  struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  socklen_t len = sizeof a;
  const int fd = socket(AF_INET, SOCK_STREAM, 0); /* holds the port, and listens not */
  fixture_own(f, fd);
  assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof a), 0);
  assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &len), 0);
  torque_source s;
  assert_int_equal(torque_stream_connect(f->ctx, &a, sizeof a, p->type, p, &s), 0);
  AWAIT(f, p->closed);
  assert_int_equal(((struct told *)p->more)->count, 0);
  assert_failed(p, TORQUE_ERR_SYSCALL + ECONNREFUSED, TORQUE_LEVEL_DESCRIPTOR, "descriptor");
}

static void never_greeted(void **state) {
  struct fixture *f = *state;
  struct party *p = told_by(f);
  add(p, layer_xor(0), "xor");
  add(p, layer_handshake(), "hello");
  assert_int_equal(torque_stream_type_set_limit(p->type, TORQUE_STREAM_CONNECT_TIMEOUT, 20 * MS), 0);
  int fd[2];
  fixture_tcp(f, fd);
  (void)party_add(p, fd[1]);
  assert_failed(p, TORQUE_ERR_SYSCALL + ETIMEDOUT, 1, "hello");
}

static void cut_off(void **state) {
  struct fixture *f = *state;
  for (int reset = 0; reset < 2; reset++) {
    struct party *p = told_by(f);
    add(p, layer_handshake(), "hello");
    int fd[2];
    fixture_tcp(f, fd);
    (void)party_add(p, fd[1]);
    const struct told *t = p->more;
    AWAIT(f, t->count == 1);
    const struct linger at_once = {.l_onoff = 1};
    if (reset) assert_int_equal(setsockopt(fd[0], SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once), 0);
    else AWAIT(f, drain(fd[0], NULL) > 0); /* else the close is a reset */
    fixture_close(f, fd[0]);
    if (reset) assert_failed(p, TORQUE_ERR_SYSCALL + ECONNRESET, TORQUE_LEVEL_DESCRIPTOR, "descriptor");
    else assert_failed(p, TORQUE_ERR_SYSCALL + EPIPE, 0, "hello");
  }
}

/* What it is given it does not like; the layer above has seen nothing. */
static void answered(void **state) {
  struct fixture *f = *state;
  struct party *p = told_by(f), *other = told_by(f);
  add(p, layer_xor(0), "xor");
  add(p, layer_frames(), "frames");
  add(p, layer_xor(0), "above");
  int fd[2], more[2];
  fixture_tcp(f, fd);
  fixture_tcp(f, more);
  ((struct told *)p->more)->other = party_add(other, more[1]); /* another end within close */
  (void)party_add(p, fd[1]);
  AWAIT(f, p->opened);
  assert_int_equal(send(fd[0], "\xff\xff\xff\xff", 4, 0), 4);
  assert_failed(p, WRONG, 1, "frames");
  assert_not_failed(other);
}

static torque_err send_wrong(struct torque_layer *layer, void *state, const void *data, size_t length) {
  (void)layer, (void)state, (void)data, (void)length;
  return WRONG;
}
static torque_err take_all(struct torque_layer *layer, void *state, const void *data, size_t length, size_t *ret_taken) {
  (void)state, (void)data, (void)ret_taken;
  return length && !torque_layer_up(layer, data, length) ? 0 : 0;
}
static torque_err step_wrong(struct torque_layer *layer, void *state) {
  (void)layer, (void)state;
  return WRONG;
}

/* The one below answers; the one above passes that on. */
static void answered_below(void **state) {
  struct fixture *f = *state;
  struct torque_layer_type *wrong;
  assert_int_equal(torque_layer_type_new(&wrong), 0);
  assert_int_equal(torque_layer_type_set_receive(wrong, take_all), 0);
  assert_int_equal(torque_layer_type_set_send(wrong, send_wrong), 0);
  struct party *p = told_by(f);
  add(p, layer_xor(0), "lowest");
  add(p, wrong, "wrong");
  add(p, layer_frames(), "frames");
  int fd[2];
  fixture_tcp(f, fd);
  const torque_source s = party_add(p, fd[1]);
  assert_int_equal(torque_stream_write(s, "abc", 3), 0);
  assert_failed(p, WRONG, 1, "wrong");
}

static void answered_at_the_start(void **state) {
  struct fixture *f = *state;
  struct torque_layer_type *wrong;
  assert_int_equal(torque_layer_type_new(&wrong), 0);
  assert_int_equal(torque_layer_type_set_receive(wrong, take_all), 0);
  assert_int_equal(torque_layer_type_set_send(wrong, send_wrong), 0);
  assert_int_equal(torque_layer_type_set_start(wrong, step_wrong), 0);
  struct party *p = told_by(f);
  add(p, layer_xor(0), "lowest");
  add(p, wrong, "wrong");
  int fd[2];
  fixture_tcp(f, fd);
  (void)party_add(p, fd[1]);
  AWAIT(f, p->closed);
  ASSERT_TOLD(p, TORQUE_LEVEL_DESCRIPTOR, 0);
  assert_failed(p, WRONG, 1, "wrong");
}

/* Ends that are nobody's error. */
static void not_an_error(void **state) {
  struct fixture *f = *state;
  for (int how = 0; how < 3; how++) {
    struct party *p = told_by(f);
    add(p, layer_xor(0), "xor");
    int fd[2];
    fixture_tcp(f, fd);
    const torque_source s = party_add(p, fd[1]);
    AWAIT(f, p->opened);
    if (how == 0) assert_int_equal(torque_stream_abort(s), 0);
    if (how == 1) assert_int_equal(torque_source_remove(s), 0);
    if (how == 2) fixture_stop(f);
    assert_not_failed(p);
  }
}

static void names(void **state) {
  (void)state;
  struct torque_layer_type *layer = layer_xor(1);
  assert_int_equal(torque_layer_type_set_name(NULL, "x"), TORQUE_ERR_INVAL);
  assert_int_equal(torque_layer_type_set_name(layer, NULL), TORQUE_ERR_INVAL);
  assert_int_equal(torque_layer_type_set_name(layer, "0123456789012345678901234567890"), 0);
  assert_int_equal(torque_layer_type_set_name(layer, "01234567890123456789012345678901"), TORQUE_ERR_INVAL);
  torque_layer_type_free(layer);
  int32_t level;
  assert_int_equal(torque_stream_failed_layer(0, &level, NULL), TORQUE_ERR_STATE);
  assert_int_equal(torque_stream_type_set_layer_open(NULL, NULL), TORQUE_ERR_INVAL);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      ON_EVERY(no_layers),         ON_EVERY(from_the_wire_up), ON_EVERY(pushed),        ON_EVERY(pushed_at_once),
      ON_EVERY(removed_meanwhile), ON_EVERY(refused),          ON_EVERY(never_greeted), ON_EVERY(cut_off),
      ON_EVERY(answered),          ON_EVERY(answered_below),   ON_EVERY(answered_at_the_start),
      ON_EVERY(not_an_error),      ON(driven, names),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
