/* SPDX-License-Identifier: BSD-3-Clause */
#include "support/buffered.h"

#include <errno.h>
#include <fcntl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include "support/cmocka.h"
#include "support/streams.h"

struct reader *reader_new(struct fixture *f) {
  struct reader *r = fixture_take(f, sizeof *r);
  r->f = f;
  r->take = SIZE_MAX;
  return r;
}

static int leave(struct reader *r, int fd) {
  if (r->replace ? dup2(r->replace, fd) != fd : close(fd)) r->strange++;
  r->closed = true;
  return -1;
}

static size_t echo(struct reader *r, int fd, const char *data, size_t length) {
  size_t n = 0;
  while (n < length) {
    const ssize_t w = write(fd, data + n, length - n);
    if (w < 0 && errno == EINTR) continue;
    if (w < 0) {
      if (errno != EAGAIN) r->strange++;
      break;
    }
    n += (size_t)w;
  }
  return n;
}

static int serve(struct reader *r, int fd, struct torque_rxbuf *rxb) {
  size_t length, left;
  const char *data = rxbuffer_valid(rxb, &length);
  if (!data || r->closed || r->ends) r->strange++;
  if (r->calls < MOST_CALLS) r->shown[r->calls] = length;
  if (length > r->most) r->most = length;
  r->calls++;
  if (length == 0) {
    r->ends++;
    return r->keep_open ? 0 : leave(r, fd);
  }
  if (!pattern_is(data, r->bytes, length)) r->strange++;
  size_t n = length < r->take_from ? 0 : length < r->take ? length : r->take;
  if (r->echo) n = echo(r, fd, data, n);
  rxbuffer_advance(rxb, n);
  if (rxbuffer_valid(rxb, &left) != data + n || left != length - n) r->strange++;
  r->bytes += n;
  return 0;
}

int reader_rx(int fd, struct torque_rxbuf *rxb, void *state) {
  struct reader *r = state;
  if (r->inside++) r->strange++;
  int answer = serve(r, fd, rxb);
  if (r->then) r->then(r, fd);
  if (r->closed) answer = -1;
  r->inside--;
  return answer;
}

int reader_tx(int fd, struct torque_rxbuf *rxb, void *state) {
  struct reader *r = state;
  size_t length;
  if (r->inside++ || r->closed || r->ends) r->strange++;
  if (!rxbuffer_valid(rxb, &length)) r->strange++;
  if (r->tx_calls == 0) {
    int e = 0;
    socklen_t len = sizeof e;
    r->tx_error = getsockopt(fd, SOL_SOCKET, SO_ERROR, &e, &len) ? errno : e;
  }
  if (r->echo && length) {
    const char *data = rxbuffer_valid(rxb, &length);
    if (!pattern_is(data, r->bytes, length)) r->strange++;
    const size_t n = echo(r, fd, data, length);
    rxbuffer_advance(rxb, n);
    r->bytes += n;
  }
  r->tx_calls++;
  if (r->then) r->then(r, fd);
  r->inside--;
  return r->closed ? -1 : 0;
}

void reader_add(struct reader *r, int fd, int (*tx)(int, struct torque_rxbuf *, void *)) {
  fixture_disown(r->f, fd);
  assert_int_equal(torque_addfd(r->f->ctx, fd, reader_rx, tx, r), 0);
}

uint64_t sources_of(struct fixture *f) {
  uint64_t all = 0, value = 0;
  for (uint32_t d = 0; d < torque_ctx_domains(f->ctx); d++) {
    assert_int_equal(torque_stats_gauge(f->ctx, d, TORQUE_GAUGE_SOURCES, &value), 0);
    all += value;
  }
  return all;
}

bool is_open(int fd) { return fcntl(fd, F_GETFD) >= 0; }

bool same_file(int fd, int other) {
  struct stat a, b;
  return !fstat(fd, &a) && !fstat(other, &b) && a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}
