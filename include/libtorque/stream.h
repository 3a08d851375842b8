/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef LIBTORQUE_STREAM_H
#define LIBTORQUE_STREAM_H

#include <libtorque/layer.h>
#include <libtorque/listen.h>
#include <libtorque/post.h>
#include <libtorque/rate.h>
#include <libtorque/source.h>
#include <stddef.h>
#include <sys/uio.h>

TORQUE_BEGIN_DECLS

/* A stream: bytes in order, both ways, over a descriptor that belongs to it. The library reads, keeps what the program
 * has not taken yet, queues and sends what it writes, watches the time, and tells the end once, last, on every path.
 * Between stream and wire there may be layers (layer.h): TLS, compression, the program's own.
 *
 * A stream is a source: torque_source_remove() and _remove_wait(), set_strand(), set_placement(), alive(), arg(),
 * domain() and torque_post_source() work on it, and its callbacks never run on two threads at once. While nothing is
 * under way it holds no buffer.
 *
 * Thread: what acts on a stream may be called on any thread. Within the stream's own callbacks it takes effect at once,
 * and what several calls wrote is sent together when the callback returns; elsewhere it is done in the next round of
 * the stream's domain, in order. Calls that say "own callback" answer STATE elsewhere.
 * Errors of all calls that take a stream: STALE it has ended; KIND not a stream; FORKED. */

/* ---- Types: the callbacks and limits that many streams share ---- */

/* Set what differs from the defaults before the first stream is made of it: then it is frozen (setters answer STATE).
 * free gives up the caller's reference; streams and listeners keep theirs. Thread: one at a time until frozen. */
struct torque_stream_type;
TORQUE_API torque_err torque_stream_type_new(struct torque_stream_type **ret_type) TORQUE_CHECKED;
TORQUE_API void torque_stream_type_free(struct torque_stream_type *type);

/* Called once before any other: the connection stands, and all layers are ready (a TLS handshake is over). */
typedef void torque_stream_open_fn(torque_source stream, void *arg);

/* Called as each part becomes ready, before open: first the descriptor (the connection stands), with TORQUE_LEVEL_DESCRIPTOR
 * and null, then each layer, from the wire up. So too for one that torque_stream_push_layer() puts on top. A handshake that
 * a layer repeats later is not told. Not called while the stream closes. */
enum { TORQUE_LEVEL_DESCRIPTOR = -1 };
typedef void torque_stream_layer_open_fn(torque_source stream, int32_t level, struct torque_layer *layer, void *arg);

/* Called when there is input: all that is kept, in one piece. Answers how many bytes the program has taken; the rest is
 * kept and told again with what comes next; after torque_postpone(stream) in it, again in the next round, before anything
 * else is told. While the input is full nothing comes next: one that takes a part and leaves it full is called again at
 * once, and one that takes nothing stops the reading until torque_stream_resume() or
 * torque_stream_consume(). Null: input is discarded. */
typedef size_t torque_stream_data_fn(torque_source stream, const void *data, size_t length, void *arg);

/* Called once when the peer has shut its sending side, after all data were told; what was not taken can still be seen
 * by torque_stream_peek(). The program can go on writing. Null: the stream is closed as by torque_stream_close(). */
typedef void torque_stream_end_fn(torque_source stream, void *arg);

/* Called at most once, when the peer has shut its sending side or closed, and that cannot be told by end yet because what
 * came before it is not read: the stream is paused, its input full, its output above the high mark. Nothing is lost: data
 * and end are told when reading goes on. (A connection that was reset ends at once, without this.) */
typedef void torque_stream_hangup_fn(torque_source stream, void *arg);

/* Called at most once, when the stream is open and its context is being drained (torque_ctx_drain()): it should end soon. A
 * connection that is idle is closed here; one that is busy is closed when its answer is written. Null: it is left alone
 * until it ends, or the limit of the drain is over. */
typedef void torque_stream_goaway_fn(torque_source stream, void *arg);

/* Called when no more than the low mark is left of an output that had passed the high mark. */
typedef void torque_stream_drain_fn(torque_source stream, void *arg);

/* Called when a time has run out: TORQUE_STREAM_READ_TIMEOUT, ... Not 0: go on, and count anew. 0, or without a
 * callback: the stream ends with TORQUE_ERR_SYSCALL + ETIMEDOUT. */
typedef int32_t torque_stream_timeout_fn(torque_source stream, int32_t which, void *arg);

/* Called exactly once, last, on every path; no callback of the stream runs any more, and its descriptor is closed. Here
 * belongs what frees arg. err: 0 both sides were ended in order, or torque_source_remove(); TORQUE_ERR_SYSCALL +
 * ECONNRESET, ETIMEDOUT, ECONNREFUSED, ...; ECANCELED torque_stream_abort(); STOPPED the context stopped; what a layer
 * answered.
 * Thread: as a finalizer (source.h). */
typedef void torque_stream_close_fn(torque_source stream, torque_err err, void *arg);

TORQUE_API torque_err torque_stream_type_set_open(struct torque_stream_type *type, torque_stream_open_fn *fn);
TORQUE_API torque_err torque_stream_type_set_layer_open(struct torque_stream_type *type, torque_stream_layer_open_fn *fn);
TORQUE_API torque_err torque_stream_type_set_data(struct torque_stream_type *type, torque_stream_data_fn *fn);
TORQUE_API torque_err torque_stream_type_set_end(struct torque_stream_type *type, torque_stream_end_fn *fn);
TORQUE_API torque_err torque_stream_type_set_hangup(struct torque_stream_type *type, torque_stream_hangup_fn *fn);
TORQUE_API torque_err torque_stream_type_set_goaway(struct torque_stream_type *type, torque_stream_goaway_fn *fn);
TORQUE_API torque_err torque_stream_type_set_drain(struct torque_stream_type *type, torque_stream_drain_fn *fn);
TORQUE_API torque_err torque_stream_type_set_timeout(struct torque_stream_type *type, torque_stream_timeout_fn *fn);
TORQUE_API torque_err torque_stream_type_set_close(struct torque_stream_type *type, torque_stream_close_fn *fn);

/* Marks of the input in bytes: data is told from low on (default 1; at the end whatever there is), and no more is read
 * while high (default 1 MiB) or more is kept. Errors: INVAL low 0 or above high. */
TORQUE_API torque_err torque_stream_type_set_input(struct torque_stream_type *type, size_t low, size_t high);

/* Marks of the output: while more than high bytes (default 1 MiB) wait to be sent nothing is read and no data is told,
 * until no more than low (default 256 KiB) wait. A peer that does not read cannot make the program fill the memory.
 * Errors: INVAL low above high. */
TORQUE_API torque_err torque_stream_type_set_output(struct torque_stream_type *type, size_t low, size_t high);

/* Times in ns; 0, the default: none. connect: until open is called. read: while input is wanted, since some came.
 * write: while output waits, since some went. idle: since anything came or went. Bytes go when the system takes them, and
 * when the peer then takes them out of the system's buffer. Never early; late by a few ms, or where output is in that
 * buffer by an eighth of the limit (idle, if nothing waits any more: by the limit). */
enum {
  TORQUE_STREAM_CONNECT_TIMEOUT = 0,
  TORQUE_STREAM_READ_TIMEOUT = 1,
  TORQUE_STREAM_WRITE_TIMEOUT = 2,
  TORQUE_STREAM_IDLE_TIMEOUT = 3
};
TORQUE_API torque_err torque_stream_type_set_limit(struct torque_stream_type *type, int32_t which, uint64_t ns);

/* How long torque_stream_close() waits, when all is sent, for the peer to end its side, so that no reset can take back
 * what is on its way: counted anew as often as the peer has taken some of that. Default 2 s; 0: not at all. */
TORQUE_API torque_err torque_stream_type_set_linger(struct torque_stream_type *type, uint64_t ns);

/* Bytes read, and bytes sent, in one turn before the other sources have theirs. Default 256 KiB. Errors: INVAL 0. */
TORQUE_API torque_err torque_stream_type_set_budget(struct torque_stream_type *type, size_t bytes);

/* 1, the default: TCP_NODELAY, as what belongs together is sent together anyway. */
TORQUE_API torque_err torque_stream_type_set_nodelay(struct torque_stream_type *type, int32_t nodelay);

/* For every stream of the type, whoever makes it (a listener, a connector): its strand, and where it is placed. As
 * torque_source_set_strand() and _set_placement(), which can be called for streams that are made in two steps. The type
 * keeps the strand alive; null: none, the default. Streams are then made in the strand's context only (INVAL elsewhere). */
TORQUE_API torque_err torque_stream_type_set_strand(struct torque_stream_type *type, struct torque_strand *strand);
TORQUE_API torque_err torque_stream_type_set_placement(struct torque_stream_type *type, int32_t place);

/* A rate (rate.h) that all streams of the type share; null: none, the default. The type keeps it alive. */
TORQUE_API torque_err torque_stream_type_set_rate(struct torque_stream_type *type, struct torque_rate *rate);

/* One more layer on top of those there are; the first is next to the wire. At most 8. Errors: INVAL; STATE. */
TORQUE_API torque_err torque_stream_type_add_layer(struct torque_stream_type *type, struct torque_layer_type *layer);

/* ---- Making streams ---- */

/* Of a connected socket, pipe, terminal or regular file, which is made non-blocking and belongs to the stream from then
 * on; on failure it stays the caller's. new and torque_source_start(): in two steps, as with other sources.
 * Errors: INVAL; EXIST; RESOURCE; STOPPED; FORKED; SYSCALL + EBADF, ENOSPC, ENOMEM. */
TORQUE_API torque_err torque_stream_add(struct torque_ctx *ctx, int32_t fd, struct torque_stream_type *type, void *arg,
                                        torque_source *ret_stream) TORQUE_CHECKED;
TORQUE_API torque_err torque_stream_new(struct torque_ctx *ctx, int32_t fd, struct torque_stream_type *type, void *arg,
                                        torque_source *ret_stream) TORQUE_CHECKED;

/* Connect to an address (a struct sockaddr of addrlen bytes). Success is told by open, failure by close.
 * Errors: as add; SYSCALL + what socket() answers. What connect() answers comes through close. */
TORQUE_API torque_err torque_stream_connect(struct torque_ctx *ctx, const void *addr, uint32_t addrlen,
                                            struct torque_stream_type *type, void *arg,
                                            torque_source *ret_stream) TORQUE_CHECKED;

/* The same with a socket that is prepared: bound, with options set, also one on which connect() was called. It is made
 * non-blocking and belongs to the stream from then on; on failure it stays the caller's. With TCP_FASTOPEN_CONNECT the
 * first write makes the connection: open is told at once, a failure comes later.
 * Errors: as add; SYSCALL + ENOTSOCK. */
TORQUE_API torque_err torque_stream_connect_fd(struct torque_ctx *ctx, int32_t fd, const void *addr, uint32_t addrlen,
                                               struct torque_stream_type *type, void *arg,
                                               torque_source *ret_stream) TORQUE_CHECKED;

/* A stream whose connection is made by others, as torque_dial_stream() (dns.h) does: there is no descriptor yet. What is
 * written meanwhile is kept; shutdown and close wait for the connection; abort and torque_source_remove() end it at once.
 *
 * attach gives it a connected descriptor, as torque_stream_add(): layers, open and the rest follow. open_by_ns: when open
 * must have been called (CLOCK_MONOTONIC; 0: only the type says so), else it ends with SYSCALL + ETIMEDOUT; the
 * type's own limit of the connecting counts from await. fail: there will be none; close is told err (0: it is not
 * called, for who made it and told nobody). One of the two, once. Errors: STALE it has ended; STATE it has a connection,
 * or was failed; KIND; attach: as torque_stream_add(), the descriptor stays the caller's and the stream waits on. */
TORQUE_API torque_err torque_stream_await(struct torque_ctx *ctx, struct torque_stream_type *type, void *arg,
                                          torque_source *ret_stream) TORQUE_CHECKED;
TORQUE_API torque_err torque_stream_attach(torque_source stream, int32_t fd, uint64_t open_by_ns) TORQUE_CHECKED;
TORQUE_API torque_err torque_stream_fail(torque_source stream, torque_err err);

/* Listen, and make each connection a stream with that type and arg (open may give it its own: torque_stream_set_arg()).
 * As torque_listen_add(); the listener is a source of its own, and its end does not end the streams.
 * How many may be alive: torque_listen_set_max(). new and torque_source_start(): in two steps. */
TORQUE_API torque_err torque_stream_listen(struct torque_ctx *ctx, const void *addr, uint32_t addrlen, int32_t backlog,
                                           uint32_t policy, struct torque_stream_type *type, void *arg,
                                           torque_source *ret_listener) TORQUE_CHECKED;
TORQUE_API torque_err torque_stream_listen_new(struct torque_ctx *ctx, const void *addr, uint32_t addrlen,
                                               int32_t backlog, uint32_t policy, struct torque_stream_type *type,
                                               void *arg, torque_source *ret_listener) TORQUE_CHECKED;

/* The same on the address that a text means, as torque_listen_text_add(). */
TORQUE_API torque_err torque_stream_listen_text(struct torque_ctx *ctx, const char *text, uint16_t default_port,
                                                int32_t backlog, uint32_t policy, struct torque_stream_type *type,
                                                void *arg, torque_source *ret_listener) TORQUE_CHECKED;
TORQUE_API torque_err torque_stream_listen_text_new(struct torque_ctx *ctx, const char *text, uint16_t default_port,
                                                    int32_t backlog, uint32_t policy, struct torque_stream_type *type,
                                                    void *arg, torque_source *ret_listener) TORQUE_CHECKED;

/* The same on a listening socket of the caller's (one that a service manager has passed, say), as torque_listen_fd_add(). */
TORQUE_API torque_err torque_stream_listen_fd(struct torque_ctx *ctx, int32_t fd, uint32_t policy,
                                              struct torque_stream_type *type, void *arg,
                                              torque_source *ret_listener) TORQUE_CHECKED;
TORQUE_API torque_err torque_stream_listen_fd_new(struct torque_ctx *ctx, int32_t fd, uint32_t policy,
                                                  struct torque_stream_type *type, void *arg,
                                                  torque_source *ret_listener) TORQUE_CHECKED;

/* Another type and arg for the connections to come. A connection that is taken when this has returned has the new ones;
 * of those taken before, one for each worker may still become a stream with the old ones. Streams keep what they have, and
 * the library keeps the old type as long as one of them needs it. torque_source_arg() answers the new arg.
 * Thread: any, callbacks included; before the start too.
 * Errors: INVAL no type, its strand is another context's; STALE; KIND not a listener of streams; STOPPED; FORKED. */
TORQUE_API torque_err torque_stream_listen_set_type(torque_source listener, struct torque_stream_type *type, void *arg);

/* ---- Output ---- */

/* Send a copy of these bytes after those written before. All or nothing: RESOURCE no memory. STATE after shutdown or
 * close, and of a descriptor that can only be read. Written before open, it is sent when the stream is ready. */
TORQUE_API torque_err torque_stream_write(torque_source stream, const void *data, size_t length);
TORQUE_API torque_err torque_stream_writev(torque_source stream, const struct iovec *parts, uint32_t count);

/* The same without a copy: the bytes must stay until release(release_arg) is called, which happens exactly once when
 * they are sent or given up, on whatever thread; not if this call fails. */
typedef void torque_release_fn(void *arg);
TORQUE_API torque_err torque_stream_write_ref(torque_source stream, const void *data, size_t length,
                                              torque_release_fn *release, void *release_arg);

/* Send length bytes of a file from offset, without passing through the program's memory where no layer wants to see
 * them. The stream uses a duplicate of fd; the caller keeps his. A file that turns out shorter ends the stream
 * with SYSCALL + EIO. Errors: SYSCALL + EBADF, EMFILE. */
TORQUE_API torque_err torque_stream_sendfile(torque_source stream, int32_t fd, uint64_t offset, uint64_t length);

/* Own callback: send now what waits, as far as the descriptor takes it. (Done by itself when the callback returns.) */
TORQUE_API torque_err torque_stream_flush(torque_source stream);

/* Bytes that wait to be sent, above the layers and below. */
TORQUE_API torque_err torque_stream_pending(torque_source stream, uint64_t *ret_bytes);

/* ---- Input ---- */

/* No more data is read or told, until resumed; in resume, what is kept is told again. */
TORQUE_API torque_err torque_stream_pause(torque_source stream);
TORQUE_API torque_err torque_stream_resume(torque_source stream);

/* Own callback, but not data's: what is kept, and taking of it. The bytes stay until the callback returns or consumes
 * them. Errors of consume: INVAL more than is kept. */
TORQUE_API torque_err torque_stream_peek(torque_source stream, const void **ret_data, size_t *ret_length);
TORQUE_API torque_err torque_stream_consume(torque_source stream, size_t length);

/* Own callback: from now on data is told exactly length bytes at a time, as soon as so many are there, and at the end what
 * is left; 0: whatever there is, as at first. The low mark does not count meanwhile, and a high mark below length is
 * length. What data takes less than it is told is kept, and told anew from there; if it takes nothing, with what comes
 * next. In data it is about what data leaves. Errors: INVAL more than 1 GiB; RESOURCE. */
TORQUE_API torque_err torque_stream_expect(torque_source stream, size_t length);

/* The same, up to and including a delimiter of length bytes (a copy of which is kept). If it is not among the first most
 * bytes (0: the high mark) these are told, without it at their end. Searched once, however the input is cut.
 * Errors: INVAL length 0 or above 32, most below length or above 1 GiB; RESOURCE. */
TORQUE_API torque_err torque_stream_expect_until(torque_source stream, const void *delimiter, size_t length, size_t most);

/* ---- From outside ---- */

/* torque_source_run() (post.h) of a stream: fn runs in its turn, also before open, and everything that says "own callback"
 * works there. (Of one that waits for its connection, when it has one.) In order with what this thread has written to the
 * stream and asked of it. Errors: as there; KIND not a stream. */
TORQUE_API torque_err torque_stream_run(torque_source stream, torque_run_fn *fn, void *arg);

/* ---- Ends ---- */

/* End the sending side when all is sent (layers say goodbye, then shutdown(2)); input goes on. When both sides have
 * ended the stream closes by itself. */
TORQUE_API torque_err torque_stream_shutdown(torque_source stream);

/* End the stream when all is sent: as shutdown, with no more data told, and a wait for the peer's end that
 * torque_stream_type_set_linger() bounds. Only close comes after it. */
TORQUE_API torque_err torque_stream_close(torque_source stream);

/* End it now: what waits is dropped, and a TCP peer gets a reset. */
TORQUE_API torque_err torque_stream_abort(torque_source stream);

/* Own callback: end it and leave the descriptor, with all that was sent and what is kept of the input lost.
 * Errors: STATE output waits. */
TORQUE_API torque_err torque_stream_release(torque_source stream, int32_t *ret_fd);

/* ---- About a stream ---- */

/* The same as torque_source_set_arg(). */
TORQUE_API torque_err torque_stream_set_arg(torque_source stream, void *arg);

/* Own callback: other callbacks and limits from now on (the layers stay). What is kept of the input is told to the new
 * ones. It leaves the rate of the old type for the new one's. Errors: RESOURCE. */
TORQUE_API torque_err torque_stream_set_type(torque_source stream, struct torque_stream_type *type);

/* A rate of its own (rate.h), beside its type's, in place of the one it had; null: none. Streams that are given the same
 * one share it (one that is its type's as well counts once). Bytes are counted at the descriptor, below the layers; not
 * those that are thrown away after close.
 *
 * While a rate holds the stream back limits do not count: their times stand still, but for open_by_ns. Data and end are
 * told when they are read. Output that is held back waits as any other: for pending, marks, drain; close and shutdown wait
 * until all is sent, and linger counts from then on.
 * Thread: any; also before the start. Without memory a stream that is not in its own callback ends with RESOURCE.
 * Errors: RESOURCE; STOPPED. */
TORQUE_API torque_err torque_stream_set_rate(torque_source stream, struct torque_rate *rate);

/* Own callback: one more layer on top, beginning with what is kept of the input and with what is written from now on
 * (STARTTLS). open is called once more when it is ready. */
TORQUE_API torque_err torque_stream_push_layer(torque_source stream, struct torque_layer_type *type);

/* Own callback: the layer of that type, for the calls of its own library. Errors: INVAL it has none. */
TORQUE_API torque_err torque_stream_layer(torque_source stream, const struct torque_layer_type *type,
                                          struct torque_layer **ret_layer);

/* In close, with an error: where it came from. *ret_level: TORQUE_LEVEL_DESCRIPTOR, or the layer that answered it; if the
 * connect limit ran out, the one that was not ready. *ret_name (may be null): the layer's name, "descriptor" for that;
 * until close returns. Errors: STATE not in close of this stream; INVAL it did not end by an error: 0, ECANCELED by
 * torque_stream_abort(), STOPPED. What torque_stream_fail() was given is the descriptor's. */
TORQUE_API torque_err torque_stream_failed_layer(torque_source stream, int32_t *ret_level, const char **ret_name);

/* The descriptor; not to be read, written or closed. */
TORQUE_API torque_err torque_stream_fd(torque_source stream, int32_t *ret_fd);

/* The peer's address: at most size bytes go to addr, the full length to *ret_addrlen. Errors: SYSCALL + errno. */
TORQUE_API torque_err torque_stream_peer(torque_source stream, void *addr, uint32_t size, uint32_t *ret_addrlen);

TORQUE_END_DECLS

#endif
