/* SPDX-License-Identifier: BSD-3-Clause */
/* A seed decides what a peer and a program do, in every mixture; calls of the library that read and send are interrupted, and
 * bring or take less than they could. Each byte is answered once and in order, each stream is closed once, every loan is given
 * back, and nothing goes on for ever. Each talk is held twice: a stream with a time limit has no plain turns. */
#include "support/streams.h"

#include <dlfcn.h>
#include <errno.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/uio.h>
#include <unistd.h>

#include "support/child.h"
#include "support/cmocka.h"

enum { TALKS = FEWER(600), STEPS = 40, MOST = 1 << 17, WORDS = 1 << 18, HOUR = 3600, PASSES = 3000 };

static uint32_t roll(uint64_t *seed, uint32_t n) { return (uint32_t)((next_random(seed) >> 20) % n); }

/* ---- Calls of the library on one descriptor ---- */

static int upset_fd = -1; /* -1: none */
static uint64_t upset_seed;

/* True: the call is interrupted. Else it may be for less. */
static int upset(int fd, size_t *length) {
  if (fd != upset_fd) return 0;
  const uint32_t what = roll(&upset_seed, 12);
  if (what == 0) errno = EINTR;
  if (what == 1 && *length > 1) *length = 1 + roll(&upset_seed, (uint32_t)*length);
  return what == 0;
}

#define REAL(name) \
  static __typeof__(&name) real; \
  if (!real) real = (__typeof__(&name))(uintptr_t)dlsym(RTLD_NEXT, #name)

ssize_t recv(int fd, void *to, size_t length, int flags) {
  REAL(recv);
  return upset(fd, &length) ? -1 : real(fd, to, length, flags);
}

ssize_t send(int fd, const void *from, size_t length, int flags) {
  REAL(send);
  return upset(fd, &length) ? -1 : real(fd, from, length, flags);
}

ssize_t sendmsg(int fd, const struct msghdr *m, int flags) {
  REAL(sendmsg);
  size_t length = m->msg_iovlen ? m->msg_iov[0].iov_len : 0;
  const size_t before = length;
  if (upset(fd, &length)) return -1;
  if (length == before) return real(fd, m, flags);
  struct iovec part = {m->msg_iov[0].iov_base, length};
  struct msghdr less = {.msg_iov = &part, .msg_iovlen = 1};
  return real(fd, &less, flags);
}

/* ---- A talk ---- */

struct talk {
  struct fixture *f;
  struct torque_stream_type *type[2];
  torque_source stream;
  uint64_t seed, own; /* of the peer, and of the callbacks */
  int peer, now, calm, over;
  int broken_off; /* by the program: what it has written may be lost */
  uint64_t said, heard; /* by the peer */
  uint64_t taken, written, lent, given_back;
  uint32_t length;
  char words[WORDS]; /* what was told */
};

static void word(struct talk *t, const char *format, ...) {
  va_list args;
  va_start(args, format);
  const int n = vsnprintf(t->words + t->length, WORDS - t->length, format, args);
  va_end(args);
  assert_true(n > 0 && (uint32_t)n < WORDS - t->length);
  t->length += (uint32_t)n;
}

struct loan {
  struct talk *talk;
  int flushes;
  unsigned char bytes[];
};

static void on_release(void *arg) {
  struct loan *l = arg;
  l->talk->given_back++;
  if (l->flushes) (void)torque_stream_flush(l->talk->stream);
  free(l);
}

static torque_err lend(struct talk *t, const unsigned char *data, size_t n) {
  struct loan *l = malloc(sizeof *l + n);
  if (!l) return TORQUE_ERR_RESOURCE;
  l->talk = t;
  l->flushes = roll(&t->own, 2) != 0;
  memcpy(l->bytes, data, n);
  const torque_err err = torque_stream_write_ref(t->stream, l->bytes, n, on_release, l);
  if (err) free(l);
  else t->lent++;
  return err;
}

static void echo(struct talk *t, const unsigned char *data, size_t n) {
  while (n) {
    const size_t some = roll(&t->own, 3) ? n : 1 + roll(&t->own, (uint32_t)n);
    const struct iovec parts[2] = {{(void *)(uintptr_t)data, some / 2}, {(void *)(uintptr_t)(data + some / 2), some - some / 2}};
    torque_err err;
    switch (roll(&t->own, 5)) {
      case 0: err = torque_stream_writev(t->stream, parts, 2); break;
      case 1: err = lend(t, data, some); break;
      default: err = torque_stream_write(t->stream, data, some);
    }
    if (err) word(t, "write %zu: %d\n", some, err);
    else t->written += some;
    data += some;
    n -= some;
  }
}

static void change(struct talk *t) {
  uint64_t pending = 0;
  switch (roll(&t->own, 60)) {
    case 0: (void)torque_stream_pause(t->stream); break;
    case 1: (void)torque_stream_pause(t->stream); /* fall through */
    case 2: (void)torque_stream_resume(t->stream); break;
    case 3: torque_postpone(t->stream); break;
    case 4: t->now = !t->now; (void)torque_stream_set_type(t->stream, t->type[t->now]); break;
    case 5: case 6: (void)torque_stream_flush(t->stream); break;
    case 7: (void)torque_stream_set_arg(t->stream, t); break;
    case 8: if (roll(&t->own, 4) == 0) (void)torque_stream_expect(t->stream, roll(&t->own, 4) ? 100 + roll(&t->own, 300) : 0); break;
    case 9: if (roll(&t->own, 8) == 0) (void)torque_stream_shutdown(t->stream); break;
    case 10: if (roll(&t->own, 8) == 0) (void)torque_stream_close(t->stream); break;
    case 11: if (roll(&t->own, 12) == 0) t->broken_off = !torque_stream_abort(t->stream); break;
    case 12: if (roll(&t->own, 12) == 0) t->broken_off = !torque_source_remove(t->stream); break;
    case 13: if (!torque_stream_pending(t->stream, &pending)) word(t, "pending %llu\n", (unsigned long long)pending); break;
    default: break;
  }
}

static size_t on_data(torque_source stream, const void *data, size_t length, void *arg) {
  struct talk *t = arg;
  (void)stream;
  const uint32_t what = t->calm ? 0 : roll(&t->own, 16);
  const size_t n = what < 10 ? length : what < 14 ? 1 + roll(&t->own, (uint32_t)length) : 0;
  word(t, "data %zu of %zu%s\n", n, length, pattern_is(data, t->taken, length) ? "" : ", strange");
  if (!t->calm && roll(&t->own, 3) == 0) change(t);
  echo(t, data, n);
  if (!t->calm) change(t);
  t->taken += n;
  return n;
}

static void tell(struct talk *t, const char *what) {
  word(t, "%s\n", what);
  if (!t->calm) change(t);
}
static void on_open(torque_source stream, void *arg) { ((struct talk *)arg)->stream = stream, tell(arg, "open"); }
static void on_hangup(torque_source stream, void *arg) { (void)stream, tell(arg, "hangup"); }
static void on_drain(torque_source stream, void *arg) { (void)stream, tell(arg, "drain"); }
static void on_end(torque_source stream, void *arg) {
  tell(arg, "end");
  (void)torque_stream_close(stream);
}
static void on_close(torque_source stream, torque_err err, void *arg) {
  struct talk *t = arg;
  (void)stream;
  word(t, "close %d\n", err);
  t->over++;
}

static struct torque_stream_type *type_of(uint64_t *seed, int limited, int cut) {
  struct torque_stream_type *t;
  const size_t low = roll(seed, 2) ? 1 : 1 + roll(seed, 500), high = low + (roll(seed, 2) ? roll(seed, 3000) : 1 << 20);
  const size_t out_low = roll(seed, 3000), out_high = out_low + (roll(seed, 2) ? roll(seed, 3000) : 1 << 20);
  assert_int_equal(torque_stream_type_new(&t), 0);
  assert_int_equal(torque_stream_type_set_open(t, on_open), 0);
  assert_int_equal(torque_stream_type_set_data(t, on_data), 0);
  if (roll(seed, 2)) assert_int_equal(torque_stream_type_set_end(t, on_end), 0);
  assert_int_equal(torque_stream_type_set_hangup(t, on_hangup), 0);
  assert_int_equal(torque_stream_type_set_drain(t, on_drain), 0);
  assert_int_equal(torque_stream_type_set_close(t, on_close), 0);
  assert_int_equal(torque_stream_type_set_input(t, low, high), 0);
  assert_int_equal(torque_stream_type_set_output(t, out_low, out_high), 0);
  if (cut) assert_int_equal(torque_stream_type_set_budget(t, 100 + roll(seed, 9000)), 0);
  assert_int_equal(torque_stream_type_set_linger(t, UINT64_MAX), 0);
  if (limited) assert_int_equal(torque_stream_type_set_limit(t, TORQUE_STREAM_IDLE_TIMEOUT, HOUR * UINT64_C(1000000000)), 0);
  return t;
}

/* Runs what is ready; nothing goes on for ever without a peer. */
static void rest(struct talk *t) {
  uint64_t n = 1;
  for (uint32_t i = 0, quiet = 0; quiet < 2; i++) {
    assert_int_equal(torque_run_once(t->f->ctx, 0, &n), 0);
    quiet = n ? 0 : quiet + 1;
    assert_true(i < PASSES);
  }
}

static void hear(struct talk *t, size_t most) {
  unsigned char got[4096];
  while (most) {
    const ssize_t n = recv(t->peer, got, most < sizeof got ? most : sizeof got, MSG_DONTWAIT);
    if (n <= 0) {
      if (n == 0) word(t, "peer: end\n");
      if (n < 0 && errno != EAGAIN) word(t, "peer: %d\n", errno);
      return;
    }
    if (!pattern_is(got, t->heard, (size_t)n)) word(t, "peer: strange at %llu\n", (unsigned long long)t->heard);
    t->heard += (uint64_t)n;
    most -= (size_t)n;
  }
}

static void step(struct talk *t) {
  static const size_t sizes[] = {1, 2, 99, 100, 1000, 1023, 1024, 1025, 4096, 16383, 16384, 20000};
  size_t n = roll(&t->seed, 2) ? sizes[roll(&t->seed, sizeof sizes / sizeof *sizes)] : 1 + roll(&t->seed, 3000);
  switch (roll(&t->seed, 12)) {
    case 0: case 1: hear(t, 1 + roll(&t->seed, 30000)); break;
    case 2: if (!t->over) (void)torque_stream_resume(t->stream); break;
    case 3: if (roll(&t->seed, 16) == 0) (void)shutdown(t->peer, SHUT_WR); break;
    case 4: break; /* more comes together */
    default: if (t->said + n <= MOST) t->said += pattern_put(t->peer, t->said, n);
  }
  if (roll(&t->seed, 3)) rest(t);
}

static void talk(struct talk *t, struct fixture *f, uint64_t seed, int limited, int cut) {
  int fd[2];
  assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, fd), 0);
  *t = (struct talk){.f = f, .seed = seed, .own = seed ^ 77, .peer = fd[0]};
  /* How much of a write a full buffer takes is the kernel's own affair, and not always the same. */
  const int room = roll(&t->seed, 2) && cut ? 4096 : 1 << 20;
  assert_int_equal(setsockopt(fd[1], SOL_SOCKET, SO_SNDBUF, &room, sizeof room), 0);
  for (int i = 0; i < 2; i++) t->type[i] = type_of(&t->seed, limited, cut);
  upset_fd = roll(&t->seed, 2) ? fd[1] : -1;
  upset_seed = seed;
  assert_int_equal(torque_stream_add(f->ctx, fd[1], t->type[0], t, &t->stream), 0);
  for (int i = 0; i < STEPS; i++) step(t);
  /* From here on all is taken, and the peer has its answers. */
  t->calm = 1;
  rest(t);
  (void)shutdown(t->peer, SHUT_WR);
  for (uint32_t i = 0; !t->over || i < 3; i++) {
    if (!t->over) (void)torque_stream_resume(t->stream);
    rest(t);
    hear(t, 3000);
    if (i > PASSES) print_message("seed %llu hangs:\n%s", (unsigned long long)seed, t->words);
    assert_true(i <= PASSES);
  }
  hear(t, SIZE_MAX);
  word(t, "said %llu taken %llu heard %llu\n", (unsigned long long)t->said, (unsigned long long)t->taken, (unsigned long long)t->heard);
  if (t->broken_off ? t->heard > t->written : t->heard != t->written) word(t, "strange\n");
  upset_fd = -1;
  for (int i = 0; i < 2; i++) torque_stream_type_free(t->type[i]);
  (void)close(fd[0]);
  assert_int_equal(t->over, 1);
  assert_int_equal(t->lent, t->given_back);
  if (strstr(t->words, "strange")) print_message("seed %llu is strange:\n%s", (unsigned long long)seed, t->words);
  assert_null(strstr(t->words, "strange"));
}

static void hold(struct fixture *f, int cut) {
  struct talk *t = fixture_take(f, sizeof *t);
  for (uint64_t seed = 1; seed <= TALKS; seed++) {
    for (int limited = 0; limited < 2; limited++) talk(t, f, seed, limited, cut);
  }
}

static void whole_turns_lose_nothing(void **state) { hold(*state, 0); }
static void turns_that_are_cut_lose_nothing(void **state) { hold(*state, 1); }

int main(void) {
  const struct CMUnitTest tests[] = {ON(driven, whole_turns_lose_nothing), ON(driven, turns_that_are_cut_lose_nothing)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
