/* SPDX-License-Identifier: BSD-3-Clause */
/* Layers that cannot send for a while, streams that end while one is not ready, and output in numbers through layers:
 * all of it leaves, and nobody waits for ever. */
#include "support/streams.h"

#include <errno.h>
#include <string.h>
#include <sys/socket.h>

#include "support/cmocka.h"

/* A layer that passes on what it gets, but for commands: 'R' it is ready, 'H' hold. Everything else is data. */
static torque_err start(struct torque_layer *layer, void *state) { return (void)layer, (void)state, 0; }

static torque_err receive(struct torque_layer *layer, void *state, const void *data, size_t length, size_t *ret_taken) {
  const char *at = data;
  (void)state, (void)ret_taken;
  for (size_t i = 0; i < length; i++) {
    if (at[i] == 'R') torque_layer_ready(layer);
    if (at[i] == 'H') torque_layer_hold(layer);
    if (at[i] == 'd') (void)torque_layer_up(layer, at + i, 1);
  }
  return 0;
}

static torque_err send_down(struct torque_layer *layer, void *state, const void *data, size_t length) {
  (void)state;
  return torque_layer_down(layer, data, length);
}

static torque_err say_bye(struct torque_layer *layer, void *state) {
  (void)state;
  return torque_layer_down(layer, "bye", 3);
}

static torque_err cut_off(struct torque_layer *layer, void *state) {
  (void)layer, (void)state;
  return TORQUE_ERR_SYSCALL + EBADMSG;
}

static void release(void *arg) { (void)arg; }

static struct torque_layer_type *commanded(void) {
  struct torque_layer_type *type = NULL;
  assert_int_equal(torque_layer_type_new(&type), 0);
  assert_int_equal(torque_layer_type_set_arg(type, &type, release), 0);
  assert_ptr_equal(torque_layer_type_arg(type, release), &type);
  assert_null(torque_layer_type_arg(type, NULL));
  assert_null(torque_layer_type_arg(NULL, release));
  assert_int_equal(torque_layer_type_set_start(type, start), 0);
  assert_int_equal(torque_layer_type_set_receive(type, receive), 0);
  assert_int_equal(torque_layer_type_set_send(type, send_down), 0);
  assert_int_equal(torque_layer_type_set_end(type, say_bye), 0);
  assert_int_equal(torque_layer_type_set_ended(type, cut_off), 0);
  return type;
}

static struct party *party_of(struct fixture *f, int fd[2], struct torque_layer_type *layer) {
  struct party *p = party_new(f, party_take, party_end);
  assert_int_equal(torque_stream_type_add_layer(p->type, layer), 0);
  torque_layer_type_free(layer);
  fixture_tcp(f, fd);
  return p;
}

static void command(int fd, const char *what) {
  assert_int_equal(send(fd, what, strlen(what), MSG_NOSIGNAL), strlen(what));
}

static void what_is_written_waits(void **state) {
  struct fixture *f = *state;
  int fd[2];
  struct party *p = party_of(f, fd, commanded());
  const torque_source stream = party_add(p, fd[1]);
  command(fd[0], "R");
  AWAIT(f, p->opened);
  char text[20] = "";
  for (int i = 0; i < 3; i++) {
    command(fd[0], "H");
    fixture_settle(f);
    assert_int_equal(torque_stream_write(stream, "word", 4), 0);
    fixture_settle(f);
    assert_int_equal(recv(fd[0], text, sizeof text, MSG_DONTWAIT), -1);
    command(fd[0], "R");
    AWAIT(f, recv(fd[0], text, sizeof text, MSG_DONTWAIT) == 4);
    assert_memory_equal(text, "word", 4);
  }
  assert_int_equal(p->opened, 1);
  assert_int_equal(torque_stream_abort(stream), 0);
  AWAIT(f, p->closed);
  party_free(p);
}

/* So much that nothing is read any more, but for what ends the hold. */
static void much_that_is_written_waits(void **state) {
  struct fixture *f = *state;
  int fd[2];
  struct party *p = party_of(f, fd, commanded());
  const torque_source stream = party_add(p, fd[1]);
  command(fd[0], "RH");
  AWAIT(f, p->opened);
  const uint64_t all = FEWER(8 << 20);
  unsigned char *bytes = fixture_take(f, all);
  pattern_fill(bytes, 0, all);
  assert_int_equal(torque_stream_write(stream, bytes, all), 0);
  fixture_settle(f);
  command(fd[0], "R");
  uint64_t got = 0;
  AWAIT(f, (assert_true(pattern_check(fd[0], &got)), got == all));
  assert_int_equal(torque_stream_abort(stream), 0);
  AWAIT(f, p->closed);
  party_free(p);
}

/* In one write, to a reader that is always there: more than a turn may send. */
static void much_output_needs_no_event(void **state) {
  struct fixture *f = *state;
  int fd[2];
  struct party *p = party_of(f, fd, commanded());
  int size = 4 << 20;
  setsockopt(fd[0], SOL_SOCKET, SO_RCVBUF, &size, sizeof size);
  setsockopt(fd[1], SOL_SOCKET, SO_SNDBUF, &size, sizeof size);
  assert_int_equal(torque_stream_type_set_budget(p->type, 65536), 0);
  const torque_source stream = party_add(p, fd[1]);
  command(fd[0], "R");
  AWAIT(f, p->opened);
  const uint64_t all = 1 << 20;
  unsigned char *bytes = fixture_take(f, all);
  pattern_fill(bytes, 0, all);
  for (uint64_t got = 0, round = 1; round < 5; round++) {
    pattern_fill(bytes, got, all);
    assert_int_equal(torque_stream_write(stream, bytes, all), 0);
    AWAIT(f, (assert_true(pattern_check(fd[0], &got)), got == all * round));
  }
  assert_int_equal(torque_stream_abort(stream), 0);
  AWAIT(f, p->closed);
  party_free(p);
}

static void held_at_the_end(void **state) {
  struct fixture *f = *state;
  int fd[2];
  struct party *p = party_of(f, fd, commanded());
  const torque_source stream = party_add(p, fd[1]);
  command(fd[0], "RH");
  AWAIT(f, p->opened);
  fixture_settle(f);
  assert_int_equal(torque_stream_close(stream), 0);
  char text[20];
  ssize_t n = -1;
  AWAIT(f, (n = recv(fd[0], text, sizeof text, MSG_DONTWAIT)) >= 0);
  assert_int_equal(n, 0); /* a goodbye cannot be said */
  fixture_close(f, fd[0]);
  AWAIT(f, p->closed);
  assert_int_equal(p->err, 0);
  party_free(p);
}

/* Closed by the program before the layer is ready: what was written goes out when it is. What is cut off then is
 * nobody's loss. */
static void closed_before_it_is_ready(void **state) {
  struct fixture *f = *state;
  int fd[2];
  struct party *p = party_of(f, fd, commanded());
  const torque_source stream = party_add(p, fd[1]);
  assert_int_equal(torque_stream_write(stream, "word", 4), 0);
  assert_int_equal(torque_stream_close(stream), 0);
  fixture_settle(f);
  command(fd[0], "ddd");
  fixture_settle(f);
  command(fd[0], "Rddd");
  char text[20];
  size_t got = 0;
  ssize_t n = -1;
  AWAIT(f, (n = recv(fd[0], text + got, sizeof text - got, MSG_DONTWAIT), got += n > 0 ? (size_t)n : 0, n == 0));
  assert_int_equal(got, 7);
  assert_memory_equal(text, "wordbye", 7);
  fixture_close(f, fd[0]);
  AWAIT(f, p->closed);
  assert_int_equal(p->err, 0);
  assert_int_equal(p->opened, 0);
  assert_int_equal(p->calls, 0);
  party_free(p);
}

static void cut_off_is_told_to_who_reads(void **state) {
  struct fixture *f = *state;
  int fd[2];
  struct party *p = party_of(f, fd, commanded());
  party_add(p, fd[1]);
  command(fd[0], "R");
  AWAIT(f, p->opened);
  fixture_close(f, fd[0]);
  AWAIT(f, p->closed);
  assert_int_equal(p->err, TORQUE_ERR_SYSCALL + EBADMSG);
  assert_int_equal(p->ended, 0);
  party_free(p);
}

/* ---- Putting one on top of others ---- */

static struct torque_layer_type *on_top;

static size_t push_on_data(torque_source stream, const void *data, size_t length, void *arg) {
  struct party *p = arg;
  static unsigned char bytes[1 << 20];
  (void)data;
  if (p->calls++) return length;
  pattern_fill(bytes, 0, sizeof bytes);
  if (torque_stream_write(stream, bytes, sizeof bytes)) p->strange++;
  if (torque_stream_push_layer(stream, on_top)) p->strange++;
  return length;
}

/* While the one below has more to send than the wire takes. */
static void pushed_over_much_output(void **state) {
  struct fixture *f = *state;
  int fd[2];
  struct party *p = party_of(f, fd, commanded());
  on_top = commanded();
  assert_int_equal(torque_stream_type_set_data(p->type, push_on_data), 0);
  const torque_source stream = party_add(p, fd[1]);
  command(fd[0], "R");
  command(fd[0], "d");
  AWAIT(f, p->calls);
  uint64_t got = 0;
  AWAIT(f, (assert_true(pattern_check(fd[0], &got)), got == 1 << 20));
  assert_int_equal(p->opened, 1);
  assert_int_equal(p->strange, 0);
  assert_int_equal(torque_stream_abort(stream), 0);
  AWAIT(f, p->closed);
  torque_layer_type_free(on_top);
  party_free(p);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      ON_EVERY(what_is_written_waits),   ON_EVERY(much_that_is_written_waits), ON_EVERY(much_output_needs_no_event),
      ON_EVERY(held_at_the_end),         ON_EVERY(closed_before_it_is_ready),  ON_EVERY(cut_off_is_told_to_who_reads),
      ON_EVERY(pushed_over_much_output),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
