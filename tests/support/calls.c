/* SPDX-License-Identifier: BSD-3-Clause */
#define _GNU_SOURCE
#include "support/calls.h"

#include <fcntl.h>
#include <netinet/in.h>
#include <signal.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define SECOND UINT64_C(1000000000)

static int32_t on_fd(torque_source s, int32_t fd, uint32_t events, void *arg) {
  (void)s, (void)fd, (void)events, (void)arg;
  return TORQUE_DONE;
}
static void on_timer(torque_source s, uint64_t n, void *arg) { (void)s, (void)n, (void)arg; }
static void on_signal(torque_source s, const struct torque_siginfo *i, void *arg) { (void)s, (void)i, (void)arg; }
static void on_accept(torque_source s, int32_t fd, const void *addr, uint32_t addrlen, void *arg) {
  (void)s, (void)addr, (void)addrlen, (void)arg;
  close(fd);
}
static void on_datagrams(torque_source s, struct torque_datagrams *d, void *arg) { (void)s, (void)d, (void)arg; }
static void on_condition(torque_source s, uint64_t n, void *arg) { (void)s, (void)n, (void)arg; }
static int32_t on_idle(torque_source s, void *arg) {
  (void)s, (void)arg;
  return TORQUE_DONE;
}
static void on_path(torque_source s, const struct torque_path_event *e, void *arg) { (void)s, (void)e, (void)arg; }
static void on_network(torque_source s, const struct torque_network_event *e, void *arg) { (void)s, (void)e, (void)arg; }
static void on_child(torque_source s, const struct torque_child_event *e, void *arg) { (void)s, (void)e, (void)arg; }
static void on_final(torque_source s, int32_t reason, void *arg) { (void)s, (void)reason, (void)arg; }
static void work(void *arg) { (void)arg; }
static int64_t job(void *arg) {
  (void)arg;
  return 0;
}
static void on_done(torque_source s, torque_err err, int64_t result, void *arg) {
  (void)s, (void)err, (void)result, (void)arg;
}
static void on_old_read(int fd, void *arg) { (void)fd, (void)arg; }
static void on_old_timer(void *arg) { (void)arg; }
static int on_old_buffer(int fd, struct torque_rxbuf *b, void *arg) {
  (void)fd, (void)b, (void)arg;
  return 0;
}

static const struct sockaddr_in discard = {.sin_family = AF_INET, .sin_port = 0x0900, .sin_addr = {0x0100007f}};
static const struct sockaddr_in loopback = {.sin_family = AF_INET, .sin_addr = {0x0100007f}};

torque_err targets_open(struct targets *t, struct torque_ctx *ctx) {
  *t = (struct targets){.ctx = ctx, .pipe_end = -1, .door = -1};
  int ends[2];
  if (pipe2(ends, O_CLOEXEC | O_NONBLOCK)) return TORQUE_ERR_SYSCALL;
  close(ends[1]);
  t->pipe_end = ends[0];
  t->door = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
  if (t->door < 0 || listen(t->door, 4)) return TORQUE_ERR_SYSCALL; /* on a port of the system's choice */
  const int32_t usr = SIGUSR2;
  torque_err err = torque_stream_type_new(&t->type);
  if (!err) err = torque_rate_new(&t->rate);
  if (!err) err = torque_strand_new(ctx, &t->strand);
  if (!err) err = torque_event_add(ctx, 0, on_fd, NULL, &t->event);
  if (!err) err = torque_fd_add(ctx, t->pipe_end, TORQUE_READ, 0, on_fd, NULL, &t->fd);
  if (!err) err = torque_timer_add(ctx, 1000 * SECOND, 0, 0, on_timer, NULL, &t->timer);
  if (!err) err = torque_timer_new(ctx, TORQUE_CLOCK_WALL, on_timer, NULL, &t->wall_timer);
  if (!err) err = torque_timer_set(t->wall_timer, 1000 * SECOND, SECOND, 0);
  if (!err) err = torque_signal_add(ctx, &usr, 1, on_signal, NULL, &t->signal);
  if (!err) err = torque_listen_add(ctx, &loopback, sizeof loopback, 0, TORQUE_LISTEN_DEFAULT, on_accept, NULL, &t->listener);
  if (!err) err = torque_stream_listen(ctx, &loopback, sizeof loopback, 0, 0, t->type, NULL, &t->stream_listener);
  if (!err) err = torque_datagram_bind_add(ctx, &loopback, sizeof loopback, TORQUE_DATAGRAM_REUSEPORT, on_datagrams, NULL, &t->group);
  if (!err) err = torque_datagram_bind_add(ctx, &loopback, sizeof loopback, 0, on_datagrams, NULL, &t->datagram);
  if (!err) err = torque_condition_new(ctx, 0, &t->condition);
  if (!err) err = torque_condition_add(t->condition, on_condition, NULL, &t->waiter);
  if (!err) err = torque_idle_add(ctx, on_idle, NULL, &t->idle);
  if (!err) err = torque_path_add(ctx, "/", TORQUE_PATH_CREATED, 0, on_path, NULL, &t->path);
  if (!err) err = torque_network_add(ctx, TORQUE_NETWORK_LINKS, 0, on_network, NULL, &t->network);
  if (!err) err = torque_offload_new(ctx, job, on_done, NULL, &t->job);
  if (!err) err = torque_aio_new(ctx, TORQUE_AIO_FSYNC, t->pipe_end, NULL, 0, 0, on_done, NULL, &t->file);
  int pair[2];
  if (!err && socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0, pair)) err = TORQUE_ERR_SYSCALL;
  if (err) return err;
  torque_source other;
  err = torque_stream_add(ctx, pair[0], t->type, NULL, &t->stream);
  return err ? err : torque_stream_add(ctx, pair[1], t->type, NULL, &other);
}

void targets_close(struct targets *t) {
  torque_strand_free(t->strand);
  torque_stream_type_free(t->type);
  torque_rate_free(t->rate);
  if (t->pipe_end >= 0) close(t->pipe_end);
  if (t->door >= 0) close(t->door);
}

/* What was made is of no use here. */
static torque_err undo(torque_err err, torque_source made) {
  if (!err) (void)torque_source_remove(made);
  return err;
}

#define CALL(name, expression)                            \
  static torque_err call_##name(struct targets *t) {      \
    torque_source made = 0;                               \
    uint64_t value = 0;                                   \
    uint32_t small = 0;                                   \
    void *pointer = NULL;                                 \
    (void)made, (void)value, (void)small, (void)pointer;  \
    return (expression);                                  \
  }
#define ALIVE(s) (torque_source_alive(s) ? 0 : TORQUE_ERR_STALE)
#define BYTES "x", 1

#define CALLS(X)                                                                                                   \
  X(alive, ALIVE(t->event))                                                                                        \
  X(trigger, torque_trigger(t->event, 0))                                                                          \
  X(trigger_fd, torque_trigger(t->fd, TORQUE_READ))                                                                \
  X(start_again, torque_source_start(t->event))                                                                    \
  X(set_finalizer, torque_source_set_finalizer(t->event, on_final))                                                \
  X(set_strand, torque_source_set_strand(t->event, t->strand))                                                     \
  X(set_placement, torque_source_set_placement(t->event, 0))                                                       \
  X(arg, torque_source_arg(t->event, &pointer))                                                                    \
  X(domain, torque_source_domain(t->event, &small))                                                                \
  X(kind, torque_source_kind(t->event, &(int32_t){0}))                                                             \
  X(source_fd, torque_source_fd(t->fd, &(int32_t){0}))                                                             \
  X(listener_fd, torque_source_fd(t->listener, &(int32_t){0}) == TORQUE_ERR_KIND ? 0 : ALIVE(t->listener))         \
  X(set_arg, torque_source_set_arg(t->timer, NULL))                                                                \
  X(set_arg_of_listener, torque_source_set_arg(t->listener, NULL))                                                 \
  X(modify, torque_fd_modify(t->fd, TORQUE_READ))                                                                  \
  X(timer_set, torque_timer_set(t->timer, 1000 * SECOND, 0, 0))                                                    \
  X(timer_set_period, torque_timer_set(t->timer, 1000 * SECOND, SECOND, 0))                                        \
  X(timer_cancel, torque_timer_cancel(t->timer))                                                                   \
  X(timer_slack, torque_timer_set_slack(t->timer, 5))                                                              \
  X(timer_remaining, torque_timer_remaining(t->timer, &value))                                                     \
  X(wall_timer_set, torque_timer_set(t->wall_timer, 1000 * SECOND, 0, 0))                                          \
  X(wall_timer_cancel, torque_timer_cancel(t->wall_timer))                                                         \
  X(post_source, torque_post_source(t->event, work, NULL))                                                         \
  X(strand_post, torque_strand_post(t->strand, work, NULL))                                                        \
  X(listen_address, torque_listen_address(t->listener, NULL, 0, &small))                                           \
  X(listen_pause, torque_listen_pause(t->listener))                                                                \
  X(listen_resume, torque_listen_resume(t->listener))                                                              \
  X(listen_set_max, torque_listen_set_max(t->stream_listener, 3))                                                  \
  X(listen_count, torque_listen_count(t->stream_listener, &small))                                                 \
  X(stream_listen_set_type, torque_stream_listen_set_type(t->stream_listener, t->type, NULL))                      \
  X(datagram_address, torque_datagram_address(t->group, NULL, 0, &small))                                          \
  X(datagram_send, torque_datagram_send(t->datagram, &discard, sizeof discard, BYTES))                           \
  X(group_send, torque_datagram_send(t->group, &discard, sizeof discard, BYTES))                                 \
  X(datagram_queued, torque_datagram_queued(t->group, &value))                                                     \
  X(datagram_size, torque_datagram_set_size(t->datagram, 100))                                                     \
  X(datagram_queue, torque_datagram_set_queue(t->datagram, 100))                                                   \
  X(condition_signal, torque_condition_signal(t->condition))                                                       \
  X(condition_broadcast, torque_condition_broadcast(t->condition))                                                 \
  X(condition_wait, torque_condition_wait(t->condition, NULL, 1000))                                               \
  X(condition_add, undo(torque_condition_add(t->condition, on_condition, NULL, &made), made))                      \
  X(idle_set, torque_idle_set(t->idle, 1))                                                                         \
  X(offload_source, torque_offload_source(t->event, job, on_done, NULL, NULL))                                    \
  X(offload_cancel, torque_offload_cancel(t->job))                                                                 \
  X(aio_cancel, torque_aio_cancel(t->file))                                                                        \
  X(stream_write, torque_stream_write(t->stream, BYTES))                                                           \
  X(stream_write_ref, torque_stream_write_ref(t->stream, BYTES, NULL, NULL))                                       \
  X(stream_sendfile, torque_stream_sendfile(t->stream, t->pipe_end, 0, 0))                                         \
  X(stream_pending, torque_stream_pending(t->stream, &value))                                                      \
  X(stream_pause, torque_stream_pause(t->stream))                                                                  \
  X(stream_resume, torque_stream_resume(t->stream))                                                                \
  X(stream_flush, torque_stream_flush(t->stream))                                                                  \
  X(stream_set_arg, torque_stream_set_arg(t->stream, NULL))                                                        \
  X(stream_set_rate, torque_stream_set_rate(t->stream, t->rate))                                                   \
  X(stream_set_type, torque_stream_set_type(t->stream, t->type))                                                   \
  X(stream_failed_layer, torque_stream_failed_layer(t->stream, &(int32_t){0}, NULL) == TORQUE_ERR_STATE ? ALIVE(t->stream) : 0) \
  X(stream_fd, torque_stream_fd(t->stream, &(int32_t){0}))                                                         \
  X(stream_peer, torque_stream_peer(t->stream, NULL, 0, &small))                                                   \
  X(postpone, torque_postpone(t->event) == TORQUE_ERR_STATE ? ALIVE(t->event) : 0)                                 \
  X(fd_add, undo(torque_fd_new(t->ctx, t->pipe_end, TORQUE_READ, 0, on_fd, NULL, &made), made))                    \
  X(source_start_with, torque_source_start_with(t->event, NULL))                                                   \
  X(event_add_with, undo(torque_event_add_with(t->ctx, NULL, 0, on_fd, NULL, &made), made))                        \
  X(timer_add_with, undo(torque_timer_add_with(t->ctx, NULL, SECOND, 0, 0, on_timer, NULL, &made), made))          \
  X(fd_add_with, undo(torque_fd_add_with(t->ctx, NULL, 19999, TORQUE_READ, 0, on_fd, NULL, &made), made))          \
  X(signal_add_with, undo(torque_signal_add_with(t->ctx, NULL, &(int32_t){SIGUSR2}, 1, on_signal, NULL, &made), made)) \
  X(listen_add_with, undo(torque_listen_add_with(t->ctx, NULL, &loopback, sizeof loopback, 0, 0, on_accept, NULL, &made), made)) \
  X(stream_connect_with, undo(torque_stream_connect_with(t->ctx, NULL, &loopback, sizeof loopback, t->type, NULL, &made), made)) \
  X(stream_listen_with, undo(torque_stream_listen_with(t->ctx, NULL, &loopback, sizeof loopback, 0, 0, t->type, NULL, &made), made)) \
  X(stream_add_with, undo(torque_stream_add_with(t->ctx, NULL, 19999, t->type, NULL, &made), made))                \
  X(event_add, undo(torque_event_add(t->ctx, 0, on_fd, NULL, &made), made))                                        \
  X(timer_add, undo(torque_timer_add(t->ctx, SECOND, 0, 0, on_timer, NULL, &made), made))                          \
  X(timer_new, undo(torque_timer_new(t->ctx, TORQUE_CLOCK_WALL, on_timer, NULL, &made), made))                     \
  X(signal_new, undo(torque_signal_new(t->ctx, &(int32_t){SIGUSR2}, 1, on_signal, NULL, &made), made))             \
  X(listen_new, undo(torque_listen_new(t->ctx, &loopback, sizeof loopback, 0, 0, on_accept, NULL, &made), made))   \
  X(listen_text_new, undo(torque_listen_text_new(t->ctx, "127.0.0.1", 0, 0, 0, on_accept, NULL, &made), made))      \
  X(listen_text_add, undo(torque_listen_text_add(t->ctx, "127.0.0.1", 0, 0, 0, on_accept, NULL, &made), made))      \
  X(listen_fd_new, undo(torque_listen_fd_new(t->ctx, t->door, 0, on_accept, NULL, &made), made))               \
  X(datagram_new, undo(torque_datagram_bind_new(t->ctx, &loopback, sizeof loopback, 0, on_datagrams, NULL, &made), made)) \
  X(condition_new, undo(torque_condition_new(t->ctx, 0, &made), made))                                             \
  X(idle_new, undo(torque_idle_new(t->ctx, on_idle, NULL, &made), made))                                           \
  X(path_new, undo(torque_path_new(t->ctx, "/", TORQUE_PATH_CREATED, 0, on_path, NULL, &made), made))              \
  X(network_new, undo(torque_network_new(t->ctx, TORQUE_NETWORK_LINKS, 0, on_network, NULL, &made), made))          \
  X(child_new, undo(torque_child_new(t->ctx, getppid(), TORQUE_CHILD_FOREIGN, on_child, NULL, &made), made))       \
  X(offload_new, undo(torque_offload_new(t->ctx, job, on_done, NULL, &made), made))                               \
  X(offload, torque_offload(t->ctx, job, on_done, NULL, NULL))                                                    \
  X(aio_new, undo(torque_aio_new(t->ctx, TORQUE_AIO_FSYNC, t->pipe_end, NULL, 0, 0, on_done, NULL, &made), made))  \
  X(stream_connect, undo(torque_stream_connect(t->ctx, &loopback, sizeof loopback, t->type, NULL, &made), made))   \
  X(stream_listen, undo(torque_stream_listen(t->ctx, &loopback, sizeof loopback, 0, 0, t->type, NULL, &made), made)) \
  X(stream_listen_new, undo(torque_stream_listen_new(t->ctx, &loopback, sizeof loopback, 0, 0, t->type, NULL, &made), made)) \
  X(stream_listen_fd, undo(torque_stream_listen_fd_new(t->ctx, t->door, 0, t->type, NULL, &made), made))       \
  X(stream_listen_text, undo(torque_stream_listen_text(t->ctx, "127.0.0.1", 0, 0, 0, t->type, NULL, &made), made))      \
  X(stream_listen_text_new, undo(torque_stream_listen_text_new(t->ctx, "127.0.0.1", 0, 0, 0, t->type, NULL, &made), made)) \
  X(post, torque_post(t->ctx, work, NULL))                                                                         \
  X(post_domain, torque_post_domain(t->ctx, 0, work, NULL))                                                        \
  X(wake, torque_wake(t->ctx))                                                                                     \
  X(workers, torque_ctx_workers(t->ctx) ? 0 : TORQUE_ERR_STOPPED)                                                  \
  X(domains, torque_ctx_domains(t->ctx) ? 0 : TORQUE_ERR_STOPPED)                                                  \
  X(draining, torque_ctx_draining(t->ctx) ? 0 : torque_ctx_drain(t->ctx, UINT64_MAX, NULL, NULL))                   \
  X(stats_total, torque_stats_total(t->ctx, 0, &value))                                                            \
  X(stats_gauge, torque_stats_gauge(t->ctx, 0, TORQUE_GAUGE_TIMERS, &value))                                       \
  X(stats_domain, torque_stats_domain(t->ctx, 0, 0, &value))                                                       \
  X(stats_worker, torque_stats_worker(t->ctx, 0, 0, &value))                                                       \
  X(break_off, torque_break(t->ctx))                                                                               \
  X(deadline, torque_deadline(t->ctx, &value))                                                                     \
  X(addfd, torque_addfd(t->ctx, -1, on_old_buffer, NULL, NULL) ? torque_post(t->ctx, work, NULL) : 0)              \
  X(addfd_unbuffered, torque_addfd_unbuffered(t->ctx, -1, on_old_read, NULL, NULL) ? torque_post(t->ctx, work, NULL) : 0) \
  X(addtimer, torque_addtimer(t->ctx, &(struct itimerspec){.it_value.tv_sec = 1000}, on_old_timer, NULL))

CALLS(CALL)

#define ROW(name, expression) {#name, call_##name},
static const struct {
  const char *name;
  torque_err (*make)(struct targets *t);
} table[] = {CALLS(ROW)};

uint32_t calls_count(void) { return sizeof table / sizeof *table; }
const char *call_name(uint32_t call) { return table[call].name; }
torque_err call_make(struct targets *t, uint32_t call) { return table[call].make(t); }
