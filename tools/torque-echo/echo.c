/* SPDX-License-Identifier: BSD-3-Clause */
/* The server. A connection is a source and nothing else: what comes goes back from the stack. Only when a peer is
 * slower than its own requests is something kept, and then no more is read from it until that is sent. */
#include "echo.h"

#include <errno.h>
#include <netdb.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

enum {
  buffer_bytes = 65536,
  reads_per_call = 4 /* then the others have their turn */
};

static torque_fd_fn on_readable, on_writable;

/* No read-modify-write: a worker has a tally to itself. */
static void count(_Atomic uint64_t *counter, uint64_t n) {
  atomic_store_explicit(counter, atomic_load_explicit(counter, memory_order_relaxed) + n, memory_order_relaxed);
}

static struct tally *tally(struct server *s) { return &s->tallies[torque_current_worker()]; }

/* ---- A connection ---- */

static int32_t end(struct server *s, torque_source source) {
  count(&tally(s)->ended, 1);
  torque_close(source);
  return TORQUE_DONE;
}

/* What a peer has still to get. */
struct rest {
  struct server *server;
  size_t size, sent;
  char bytes[];
};

static void free_rest(torque_source source, int32_t reason, void *arg) {
  (void)source, (void)reason;
  free(arg);
}

/* The peer reads slowly: from here on the connection is a source that waits for room, and has what is to be sent. */
static int32_t wait_for_room(struct server *s, torque_source source, int32_t fd, const char *bytes, size_t size) {
  struct rest *rest = malloc(sizeof *rest + size);
  if (!rest) return end(s, source);
  *rest = (struct rest){s, size, 0};
  memcpy(rest->bytes, bytes, size);

  torque_source writer;
  torque_source_remove(source);
  if (torque_fd_new(s->ctx, fd, TORQUE_WRITE, 0, on_writable, rest, &writer)) {
    free(rest);
    close(fd);
    count(&tally(s)->ended, 1);
    return TORQUE_DONE;
  }
  torque_source_set_finalizer(writer, free_rest);
  return torque_source_start(writer) ? end(s, writer) : TORQUE_DONE;
}

static void wait_for_data(struct server *s, int32_t fd) {
  const uint32_t flags = s->options->recheck ? TORQUE_RECHECK : 0;
  torque_source reader;
  if (!torque_fd_add(s->ctx, fd, TORQUE_READ | TORQUE_HANGUP, flags, on_readable, s, &reader)) return;
  close(fd);
  count(&tally(s)->ended, 1);
}

/* A short read is as good as EAGAIN, and saves a system call: what comes later makes an edge of its own. Not so when
 * the peer has hung up: then the end is still to be read. */
static int32_t on_readable(torque_source source, int32_t fd, uint32_t events, void *arg) {
  struct server *s = arg;
  char buffer[buffer_bytes];
  for (int i = 0; i < reads_per_call; i++) {
    const ssize_t got = recv(fd, buffer, sizeof buffer, 0);
    if (got < 0 && errno == EAGAIN) return TORQUE_DONE;
    if (got <= 0) return end(s, source);

    const ssize_t sent = send(fd, buffer, (size_t)got, MSG_NOSIGNAL);
    if (sent < 0 && errno != EAGAIN) return end(s, source);
    const size_t gone = sent > 0 ? (size_t)sent : 0;
    count(&tally(s)->bytes, gone);
    if (gone < (size_t)got) return wait_for_room(s, source, fd, buffer + gone, (size_t)got - gone);
    if (got < buffer_bytes && events == TORQUE_READ) return TORQUE_DONE;
  }
  return TORQUE_AGAIN;
}

static int32_t on_writable(torque_source source, int32_t fd, uint32_t events, void *arg) {
  (void)events;
  struct rest *rest = arg;
  const ssize_t sent = send(fd, rest->bytes + rest->sent, rest->size - rest->sent, MSG_NOSIGNAL);
  if (sent < 0) return errno == EAGAIN ? TORQUE_DONE : end(rest->server, source);
  count(&tally(rest->server)->bytes, (size_t)sent);
  rest->sent += (size_t)sent;
  if (rest->sent < rest->size) return TORQUE_DONE;
  torque_source_remove(source);
  wait_for_data(rest->server, fd);
  return TORQUE_DONE;
}

static void on_accept(torque_source listener, int32_t fd, const void *addr, uint32_t addrlen, void *arg) {
  (void)listener, (void)addr, (void)addrlen;
  setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &(int){1}, sizeof(int));
  wait_for_data(arg, fd);
}

/* ---- A connection as a stream: what the peer does not take yet is the library's to keep ---- */

static size_t on_data(torque_source stream, const void *data, size_t length, void *arg) {
  struct server *s = arg;
  if (torque_stream_write(stream, data, length))
    torque_stream_abort(stream);
  else
    count(&tally(s)->bytes, length);
  return length;
}

/* When the context stops, it is nobody's turn, and nobody counts any more. */
static void on_close(torque_source stream, torque_err err, void *arg) {
  (void)stream, (void)err;
  struct server *s = arg;
  if (torque_current_worker() >= 0) count(&tally(s)->ended, 1);
}

static torque_err make_streams(struct server *s) {
  torque_err err = torque_stream_type_new(&s->streams);
  if (!err) err = torque_stream_type_set_data(s->streams, on_data);
  if (!err) err = torque_stream_type_set_close(s->streams, on_close);
  if (!err && s->options->tls) err = add_tls(s->options, s->streams);
  return err;
}

static void on_accept_stream(torque_source listener, int32_t fd, const void *addr, uint32_t addrlen, void *arg) {
  (void)listener, (void)addr, (void)addrlen;
  struct server *s = arg;
  torque_source stream;
  if (!torque_stream_add(s->ctx, fd, s->streams, s, &stream)) return;
  close(fd);
  count(&tally(s)->ended, 1);
}

/* ---- Datagrams ---- */

/* What cannot be sent back (the peer's errors, or far too much waits) is lost, as datagrams may be. */
static void on_datagrams(torque_source source, struct torque_datagrams *batch, void *arg) {
  (void)source;
  struct server *s = arg;
  uint64_t bytes = 0;
  for (uint32_t i = 0; i < torque_datagrams_count(batch); i++) {
    const uint32_t size = torque_datagrams_size(batch, i);
    if (!torque_datagrams_reply(batch, i, torque_datagrams_data(batch, i), size)) bytes += size;
  }
  count(&tally(s)->bytes, bytes);
}

static uint32_t datagram_flags(const struct server *s) {
  uint32_t policy = s->options->listen;
  if (policy == TORQUE_LISTEN_DEFAULT && torque_ctx_domains(s->ctx) > 1) policy = TORQUE_LISTEN_REUSEPORT;
  return TORQUE_DATAGRAM_GRO | TORQUE_DATAGRAM_LOCAL |
         (policy == TORQUE_LISTEN_REUSEPORT ? (uint32_t)TORQUE_DATAGRAM_REUSEPORT : 0);
}

/* ---- The whole ---- */

static torque_err make_context(struct server *s) {
  const struct options *o = s->options;
  struct torque_config *config;
  torque_err err = torque_config_new(&config);
  if (err) return err;
  err = torque_config_set_driven(config, o->driven);
  if (!err) err = torque_config_set_workers(config, o->threads);
  if (!err) err = torque_config_set_sharing(config, o->sharing);
  if (!err) err = torque_config_set_oneshot(config, o->oneshot);
  if (!err) err = torque_config_set_pinning(config, !o->no_pin);
  if (!err) err = torque_ctx_new(config, &s->ctx);
  torque_config_free(config);
  return err;
}

static torque_err make_tallies(struct server *s) {
  s->workers = torque_ctx_workers(s->ctx);
  s->tallies = aligned_alloc(_Alignof(struct tally), s->workers * sizeof *s->tallies);
  if (!s->tallies) return TORQUE_ERR_RESOURCE;
  memset(s->tallies, 0, s->workers * sizeof *s->tallies);
  return 0;
}

static torque_err listen_on(struct server *s, const struct addrinfo *where, torque_source *ret_listener) {
  torque_err err =
      s->options->udp
          ? torque_datagram_bind_new(s->ctx, where->ai_addr, where->ai_addrlen, datagram_flags(s), on_datagrams, s,
                                     ret_listener)
          : torque_listen_new(s->ctx, where->ai_addr, where->ai_addrlen, 0, s->options->listen,
                              s->options->buffered ? on_accept_stream : on_accept, s, ret_listener);
  if (!err) err = torque_source_set_finalizer(*ret_listener, report_all);
  return err ? err : torque_source_start(*ret_listener);
}

/* A driven context leaves signals to the program; torque_block() sees to them itself. */
static void on_signal(torque_source source, const struct torque_siginfo *info, void *arg) {
  (void)source, (void)info;
  torque_stop_async(((struct server *)arg)->ctx);
}

static torque_err watch_signals(struct server *s) {
  torque_source source;
  return torque_signal_add(s->ctx, (int32_t[]){SIGINT, SIGTERM}, 2, on_signal, s, &source);
}

static torque_err report_seconds(struct server *s) {
  torque_source source;
  return torque_timer_add(s->ctx, 1000000000, 1000000000, 0, report_second, s, &source);
}

static torque_err say_where(const struct server *s, torque_source listener) {
  struct sockaddr_storage where;
  uint32_t size;
  char host[INET6_ADDRSTRLEN + 16], port[8];
  const torque_err err = s->options->udp ? torque_datagram_address(listener, &where, sizeof where, &size)
                                         : torque_listen_address(listener, &where, sizeof where, &size);
  if (err) return err;
  getnameinfo((struct sockaddr *)&where, size, host, sizeof host, port, sizeof port, NI_NUMERICHOST | NI_NUMERICSERV);
  printf(where.ss_family == AF_INET6 ? "listening on [%s]:%s\n" : "listening on %s:%s\n", host, port);
  return fflush(stdout) ? TORQUE_ERR_SYSCALL + errno : 0;
}

/* Everything up to the first connection. What fails is said here. */
static bool start(struct server *s, const struct addrinfo *where) {
  torque_source listener;
  const char *what = "signal mask";
  torque_err err = torque_sigmask(NULL);
  if (!err) what = "context", err = make_context(s);
  if (!err) what = "memory", err = make_tallies(s);
  if (!err && s->options->buffered) what = "streams", err = make_streams(s);
  if (!err && s->options->driven) what = "signals", err = watch_signals(s);
  if (!err) what = "listen", err = listen_on(s, where, &listener);
  if (!err && s->options->stats) what = "timer", err = report_seconds(s);
  if (!err) what = "output", err = say_where(s, listener);
  if (err) fprintf(stderr, "torque-echo: %s: %s\n", what, torque_errstr(err));
  return s->serving = !err;
}

static bool run(struct server *s) {
  torque_err err;
  if (s->options->driven) {
    err = torque_run(s->ctx);
    torque_stop(s->ctx);
  } else {
    err = torque_block(s->ctx);
  }
  if (err) fprintf(stderr, "torque-echo: %s\n", torque_errstr(err));
  return !err;
}

static void allow_many_descriptors(void) {
  struct rlimit limit;
  if (getrlimit(RLIMIT_NOFILE, &limit)) return;
  limit.rlim_cur = limit.rlim_max;
  setrlimit(RLIMIT_NOFILE, &limit);
}

int serve(const struct options *options, const struct addrinfo *where) {
  struct server s = {.options = options};
  allow_many_descriptors();
  bool ok = start(&s, where);
  if (ok)
    ok = run(&s);
  else if (s.ctx)
    torque_stop(s.ctx);
  torque_stream_type_free(s.streams);
  free(s.tallies);
  return ok ? EXIT_SUCCESS : EXIT_FAILURE;
}
