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

/* A stream carries bytes in order, in both directions, over a descriptor that belongs to it. The library reads the
 * input and buffers what the program has not taken yet. It queues and sends the output, enforces time limits, and calls
 * the close callback exactly once, last, on every path. Layers (layer.h) may stand between the stream and its
 * descriptor: TLS, compression, or your own.
 *
 * A stream is a source: torque_source_remove(), torque_source_remove_wait(), torque_source_set_strand(),
 * torque_source_set_placement(), torque_source_alive(), torque_source_arg(), torque_source_domain() and
 * torque_post_source() work on it. Its callbacks never run on two threads at once. An idle stream holds no buffer.
 *
 * Thread: any thread may make the calls that act on a stream. In the stream's own callbacks a call takes effect at
 *         once, and what several calls wrote is sent together when the callback returns. Elsewhere it takes effect in
 *         the next round of the stream's domain; calls of one thread take effect in order. Calls whose comment says
 *         "Own callback" return STATE elsewhere.
 * Errors: of all calls that take a stream: STALE (it has ended); KIND (not a stream); FORKED. */

/* ---- Types: the callbacks and limits that many streams share ---- */

/* Set what differs from the defaults before you create the first stream, which freezes the type: setters then return
 * STATE. torque_stream_type_free() releases the caller's reference; streams and listeners keep theirs.
 * Thread: only one at a time may set up a type; any may use it once it is frozen. */
struct torque_stream_type;
TORQUE_API torque_err torque_stream_type_new(struct torque_stream_type **ret_type) TORQUE_CHECKED;
TORQUE_API void torque_stream_type_free(struct torque_stream_type *type);

/* Called once, before all others except layer_open, when the connection is established and all layers are ready. */
typedef void torque_stream_open_fn(torque_source stream, void *arg);

/* Called before open, once for each part that becomes ready. The first call is for the descriptor, when the connection
 * is established: level is TORQUE_LEVEL_DESCRIPTOR and layer is null. Then one call follows for each layer, starting
 * with level 0, the layer next to the descriptor. It is also called for a layer that torque_stream_push_layer() adds.
 * It is not called for a handshake that a layer repeats later, or while the stream closes. */
enum { TORQUE_LEVEL_DESCRIPTOR = -1 };
typedef void torque_stream_layer_open_fn(torque_source stream, int32_t level, struct torque_layer *layer, void *arg);

/* Called when there is input. data and length are all buffered input, in one piece. Returns the number of bytes that
 * the program has taken. The rest stays buffered, and is passed to the callback again together with the next input.
 * After torque_postpone(stream) in the callback, it is called again in the next round, before anything else is
 * reported.
 *
 * If the input buffer is full (it has reached the high watermark), nothing more is read. If the callback takes a part
 * and the buffer is still full, it is called again at once. If it takes nothing, reading stops until
 * torque_stream_resume() or torque_stream_consume() is called. Null: input is discarded. */
typedef size_t torque_stream_data_fn(torque_source stream, const void *data, size_t length, void *arg);

/* Called once when the peer has shut down its sending side, after all data was passed to data. torque_stream_peek()
 * returns what the program has not taken. The program can continue to write. Null: the stream is closed as by
 * torque_stream_close(). */
typedef void torque_stream_end_fn(torque_source stream, void *arg);

/* Called at most once, when the peer has shut down its sending side or closed, and end cannot be called yet because
 * earlier input has not been read: the stream is paused, its input buffer is full, or its output is above the high
 * watermark. Nothing is lost: data and end are called when reading resumes. If the connection was reset, the stream
 * ends at once, without this callback. */
typedef void torque_stream_hangup_fn(torque_source stream, void *arg);

/* Called at most once, when the stream is open and its context is being drained (torque_ctx_drain()). The program
 * should close an idle connection here, and a busy one when its reply is written. Null: the stream continues until it
 * ends or the drain reaches its limit. */
typedef void torque_stream_goaway_fn(torque_source stream, void *arg);

/* Called when the output buffer falls to the low watermark or below after it had been above the high watermark. */
typedef void torque_stream_drain_fn(torque_source stream, void *arg);

/* Called when a time limit has expired; which is one of TORQUE_STREAM_*_TIMEOUT. If the callback returns a value other
 * than 0, the limit starts again. If it returns 0, or if there is no callback, the stream ends with
 * SYSCALL + ETIMEDOUT. */
typedef int32_t torque_stream_timeout_fn(torque_source stream, int32_t which, void *arg);

/* Called exactly once, last, on every path, when no other callback of the stream is running and the descriptor is
 * closed. Free arg here. err is 0 after an orderly end or torque_source_remove(); SYSCALL + ECONNRESET, EPIPE,
 * ECONNREFUSED, ETIMEDOUT and so on after an error; SYSCALL + ECANCELED after torque_stream_abort(); STOPPED if the
 * context stopped; FORKED in a forked child, if another thread of the parent was in a callback of the stream
 * (torque_reinit()); or an error that a layer returned.
 * Thread: as a finalizer (source.h). */
typedef void torque_stream_close_fn(torque_source stream, torque_err err, void *arg);

TORQUE_API torque_err torque_stream_type_set_open(struct torque_stream_type *type, torque_stream_open_fn *fn);
TORQUE_API torque_err torque_stream_type_set_layer_open(struct torque_stream_type *type,
                                                        torque_stream_layer_open_fn *fn);
TORQUE_API torque_err torque_stream_type_set_data(struct torque_stream_type *type, torque_stream_data_fn *fn);
TORQUE_API torque_err torque_stream_type_set_end(struct torque_stream_type *type, torque_stream_end_fn *fn);
TORQUE_API torque_err torque_stream_type_set_hangup(struct torque_stream_type *type, torque_stream_hangup_fn *fn);
TORQUE_API torque_err torque_stream_type_set_goaway(struct torque_stream_type *type, torque_stream_goaway_fn *fn);
TORQUE_API torque_err torque_stream_type_set_drain(struct torque_stream_type *type, torque_stream_drain_fn *fn);
TORQUE_API torque_err torque_stream_type_set_timeout(struct torque_stream_type *type, torque_stream_timeout_fn *fn);
TORQUE_API torque_err torque_stream_type_set_close(struct torque_stream_type *type, torque_stream_close_fn *fn);

/* Sets the watermarks of the input buffer in bytes. data is called when at least low bytes are buffered (default 1),
 * and at the end of the input with what there is. The library reads no more while high bytes (default 1 MiB) or more
 * are buffered.
 * Errors: INVAL (low is 0 or above high). */
TORQUE_API torque_err torque_stream_type_set_input(struct torque_stream_type *type, size_t low, size_t high);

/* Sets the watermarks of the output buffer in bytes. While more than high bytes (default 1 MiB) wait to be sent, the
 * stream is not read and data is not called, until at most low bytes (default 256 KiB) wait. This keeps a peer that
 * sends but does not read from filling the program's memory.
 * Errors: INVAL (low is above high). */
TORQUE_API torque_err torque_stream_type_set_output(struct torque_stream_type *type, size_t low, size_t high);

/* Time limits in ns; 0, the default, means no limit. CONNECT: from the start until open is called. READ: while the
 * stream reads, since the last input. WRITE: while output is pending, since the last output. IDLE: since the last input
 * or output. Output counts when the system accepts it, and again when the peer takes it out of the system's send
 * buffer.
 *
 * No limit expires early. A limit expires a few milliseconds late, or, while output is in the system's send buffer, up
 * to one eighth of its length. The idle limit may be late by its own length if nothing is pending in the stream any
 * more. */
enum {
  TORQUE_STREAM_CONNECT_TIMEOUT = 0,
  TORQUE_STREAM_READ_TIMEOUT = 1,
  TORQUE_STREAM_WRITE_TIMEOUT = 2,
  TORQUE_STREAM_IDLE_TIMEOUT = 3
};
TORQUE_API torque_err torque_stream_type_set_limit(struct torque_stream_type *type, int32_t which, uint64_t ns);

/* Sets how long in ns torque_stream_close() waits for the peer to end its side after all output was sent, so that no
 * reset destroys data in flight. The time starts again whenever the peer has taken some of that data. Default: 2 s. 0:
 * it does not wait. */
TORQUE_API torque_err torque_stream_type_set_linger(struct torque_stream_type *type, uint64_t ns);

/* Limits the bytes that a stream reads, and the bytes that it sends, in one turn before other sources are served.
 * Default: 256 KiB.
 * Errors: INVAL (0). */
TORQUE_API torque_err torque_stream_type_set_budget(struct torque_stream_type *type, size_t bytes);

/* 1, the default: turns TCP_NODELAY on. 0: leaves it unchanged. In both cases everything that one callback writes is
 * sent together. */
TORQUE_API torque_err torque_stream_type_set_nodelay(struct torque_stream_type *type, int32_t nodelay);

/* Set the strand and the placement of every stream of the type, whatever creates it (a listener, a connector). They
 * work like torque_source_set_strand() and torque_source_set_placement(), which can be used on a single stream that is
 * created without being started. The type keeps the strand alive; null, the default, means no strand. Streams of a type
 * with a strand can be created only in the context of the strand (INVAL elsewhere). */
TORQUE_API torque_err torque_stream_type_set_strand(struct torque_stream_type *type, struct torque_strand *strand);
TORQUE_API torque_err torque_stream_type_set_placement(struct torque_stream_type *type, int32_t place);

/* Sets a rate (rate.h) that all streams of the type share; null, the default, means none. The type keeps the rate
 * alive. */
TORQUE_API torque_err torque_stream_type_set_rate(struct torque_stream_type *type, struct torque_rate *rate);

/* Adds one more layer on top of the existing ones; the first is next to the descriptor. A type has at most 8 layers.
 * Errors: INVAL; STATE. */
TORQUE_API torque_err torque_stream_type_add_layer(struct torque_stream_type *type, struct torque_layer_type *layer);

/* ---- Creating streams ---- */

/* Create a stream for a connected socket, a pipe, a terminal or a regular file. The library makes the descriptor
 * non-blocking, and it belongs to the stream from then on; on failure it remains the caller's. torque_stream_new() does
 * not start the stream; call torque_source_start().
 * Errors: INVAL; EXIST; RESOURCE; STOPPED; FORKED; SYSCALL + EBADF, ENOSPC, ENOMEM. */
TORQUE_API torque_err torque_stream_add(struct torque_ctx *ctx, int32_t fd, struct torque_stream_type *type, void *arg,
                                        torque_source *ret_stream) TORQUE_CHECKED;
TORQUE_API torque_err torque_stream_new(struct torque_ctx *ctx, int32_t fd, struct torque_stream_type *type, void *arg,
                                        torque_source *ret_stream) TORQUE_CHECKED;

/* Connects to an address, a struct sockaddr of addrlen bytes. Success is reported by open, failure by close, even if
 * connect(2) fails at once.
 * Errors: as torque_stream_add(); SYSCALL + an error of socket(2). */
TORQUE_API torque_err torque_stream_connect(struct torque_ctx *ctx, const void *addr, uint32_t addrlen,
                                            struct torque_stream_type *type, void *arg,
                                            torque_source *ret_stream) TORQUE_CHECKED;

/* Does the same with a socket that the program has prepared, for instance bound, or given options. connect(2) may have
 * been called on it already. The library makes it non-blocking, and it belongs to the stream from then on; on failure
 * it remains the caller's. With TCP_FASTOPEN_CONNECT the first write makes the connection: open is called at once, and
 * a failure is reported later.
 * Errors: as torque_stream_add(); SYSCALL + ENOTSOCK. */
TORQUE_API torque_err torque_stream_connect_fd(struct torque_ctx *ctx, int32_t fd, const void *addr, uint32_t addrlen,
                                               struct torque_stream_type *type, void *arg,
                                               torque_source *ret_stream) TORQUE_CHECKED;

/* torque_stream_await() creates a stream that has no descriptor yet; other code makes the connection later, as
 * torque_dial_stream() (dns.h) does. Until then output is buffered, shutdown and close wait, and torque_stream_abort()
 * and torque_source_remove() end the stream at once. Then exactly one of the other two calls is made, once.
 *
 * torque_stream_attach() gives the stream a connected descriptor, and the stream continues like one of
 * torque_stream_add(). If open has not been called by the time open_by_ns (CLOCK_MONOTONIC; 0: no such limit), the
 * stream ends with SYSCALL + ETIMEDOUT. The connect limit of the type counts from torque_stream_await(). If the call
 * fails, the descriptor remains the caller's, and the stream continues to wait.
 *
 * torque_stream_fail() says that there will be no connection. close is called with err; if err is 0 it is not called at
 * all, for code that created the stream and has not passed it on.
 * Errors: STALE; STATE (the stream does not wait for a connection); KIND; torque_stream_attach() also as
 *         torque_stream_add(). */
TORQUE_API torque_err torque_stream_await(struct torque_ctx *ctx, struct torque_stream_type *type, void *arg,
                                          torque_source *ret_stream) TORQUE_CHECKED;
TORQUE_API torque_err torque_stream_attach(torque_source stream, int32_t fd, uint64_t open_by_ns) TORQUE_CHECKED;
TORQUE_API torque_err torque_stream_fail(torque_source stream, torque_err err);

/* Listens like torque_listen_add() and creates a stream for each connection, with the given type and arg. open may give
 * the stream an arg of its own (torque_stream_set_arg()). The listener is a separate source; if it ends, its streams do
 * not end. torque_listen_set_max() limits the number of streams. torque_stream_listen_new() does not start the
 * listener; call torque_source_start(). */
TORQUE_API torque_err torque_stream_listen(struct torque_ctx *ctx, const void *addr, uint32_t addrlen, int32_t backlog,
                                           uint32_t policy, struct torque_stream_type *type, void *arg,
                                           torque_source *ret_listener) TORQUE_CHECKED;
TORQUE_API torque_err torque_stream_listen_new(struct torque_ctx *ctx, const void *addr, uint32_t addrlen,
                                               int32_t backlog, uint32_t policy, struct torque_stream_type *type,
                                               void *arg, torque_source *ret_listener) TORQUE_CHECKED;

/* Does the same on an address that is given as text, like torque_listen_text_add(). */
TORQUE_API torque_err torque_stream_listen_text(struct torque_ctx *ctx, const char *text, uint16_t default_port,
                                                int32_t backlog, uint32_t policy, struct torque_stream_type *type,
                                                void *arg, torque_source *ret_listener) TORQUE_CHECKED;
TORQUE_API torque_err torque_stream_listen_text_new(struct torque_ctx *ctx, const char *text, uint16_t default_port,
                                                    int32_t backlog, uint32_t policy, struct torque_stream_type *type,
                                                    void *arg, torque_source *ret_listener) TORQUE_CHECKED;

/* Does the same on a listening socket of the caller, for instance one that a service manager has passed, like
 * torque_listen_fd_add(). */
TORQUE_API torque_err torque_stream_listen_fd(struct torque_ctx *ctx, int32_t fd, uint32_t policy,
                                              struct torque_stream_type *type, void *arg,
                                              torque_source *ret_listener) TORQUE_CHECKED;
TORQUE_API torque_err torque_stream_listen_fd_new(struct torque_ctx *ctx, int32_t fd, uint32_t policy,
                                                  struct torque_stream_type *type, void *arg,
                                                  torque_source *ret_listener) TORQUE_CHECKED;

/* Gives a listener another type and arg for future connections. Connections that are accepted after the call has
 * returned get the new ones. Of the connections that were accepted before, one for each worker may still become a
 * stream with the old ones. Existing streams keep the old type, which is freed when the last of them has ended.
 * torque_source_arg() then returns the new arg.
 * Thread: any, any callback; also before the start.
 * Errors: INVAL (no type, or its strand belongs to another context); STALE; KIND (not a listener that creates streams);
 *         STOPPED; FORKED. */
TORQUE_API torque_err torque_stream_listen_set_type(torque_source listener, struct torque_stream_type *type, void *arg);

/* ---- Output ---- */

/* Send a copy of the bytes, after the bytes that were written before. Each call accepts all the bytes or none. Output
 * that is written before open is sent when the stream is ready.
 * Errors: RESOURCE; STATE (after shutdown or close, or the descriptor is read-only). */
TORQUE_API torque_err torque_stream_write(torque_source stream, const void *data, size_t length);
TORQUE_API torque_err torque_stream_writev(torque_source stream, const struct iovec *parts, uint32_t count);

/* Sends without making a copy. The bytes must remain valid and unchanged until the library calls release(release_arg).
 * It calls release exactly once, on any thread, when the bytes were sent or dropped; not if this call fails. A null
 * release means that the bytes remain valid forever. */
typedef void torque_release_fn(void *arg);
TORQUE_API torque_err torque_stream_write_ref(torque_source stream, const void *data, size_t length,
                                              torque_release_fn *release, void *release_arg);

/* Sends length bytes of a file, starting at offset. It uses sendfile(2) if no layer needs to see the bytes. The stream
 * uses a duplicate of fd; the caller keeps fd. If the file is shorter than offset + length, the stream ends with
 * SYSCALL + EIO.
 * Errors: SYSCALL + EBADF, EMFILE. */
TORQUE_API torque_err torque_stream_sendfile(torque_source stream, int32_t fd, uint64_t offset, uint64_t length);

/* Own callback. Sends pending output now, as far as the descriptor accepts it. The library does this by itself when the
 * callback returns. */
TORQUE_API torque_err torque_stream_flush(torque_source stream);

/* Stores the number of bytes that wait to be sent, above and below the layers. */
TORQUE_API torque_err torque_stream_pending(torque_source stream, uint64_t *ret_bytes);

/* ---- Input ---- */

/* Pause stops the input: nothing more is read, and data is not called, until resume. After the resume, buffered input
 * is passed to data again. */
TORQUE_API torque_err torque_stream_pause(torque_source stream);
TORQUE_API torque_err torque_stream_resume(torque_source stream);

/* Own callback, except data. torque_stream_peek() stores the address and length of the buffered input;
 * torque_stream_consume() takes length bytes of it. The bytes remain valid until the callback returns or
 * torque_stream_consume() takes them.
 * Errors: torque_stream_consume(): INVAL (more than is buffered). */
TORQUE_API torque_err torque_stream_peek(torque_source stream, const void **ret_data, size_t *ret_length);
TORQUE_API torque_err torque_stream_consume(torque_source stream, size_t length);

/* Own callback. From now on data gets exactly length bytes at a time, as soon as that many have arrived, and at the end
 * of the input what is left. 0 restores the default: whatever is buffered. Bytes that data does not take stay buffered,
 * and the next portion starts with them. If data takes nothing, it is called again when more input arrives. If data
 * itself makes the call, the setting applies to the bytes that it leaves. Meanwhile the low watermark of the input is
 * ignored, and a high watermark below length counts as length.
 * Errors: INVAL (more than 1 GiB); RESOURCE. */
TORQUE_API torque_err torque_stream_expect(torque_source stream, size_t length);

/* Does the same with the input up to and including a delimiter of length bytes, which is copied. If the first most
 * bytes (0: the high watermark) do not contain the whole delimiter, they are passed without a delimiter at their end.
 * Each byte is searched once, however the input is divided.
 * Errors: INVAL (length 0 or above 32; most below length or above 1 GiB); RESOURCE. */
TORQUE_API torque_err torque_stream_expect_until(torque_source stream, const void *delimiter, size_t length,
                                                 size_t most);

/* ---- Calls from elsewhere ---- */

/* Does the same as torque_source_run() (post.h) for a stream: fn runs as if it were a callback of the stream, also
 * before open, and may make all calls that say "Own callback". If the stream waits for its connection, fn runs as soon
 * as it has one. fn keeps its order relative to what the same thread has written to the stream and requested of it.
 * Errors: as torque_source_run(); KIND (not a stream). */
TORQUE_API torque_err torque_stream_run(torque_source stream, torque_run_fn *fn, void *arg);

/* ---- Ending streams ---- */

/* Ends the sending side after all output was sent: layers send their end, and then shutdown(2) is called. Input
 * continues. When both sides have ended, the stream closes by itself. */
TORQUE_API torque_err torque_stream_shutdown(torque_source stream);

/* Ends the stream after all output was sent. It does the same as torque_stream_shutdown(), but no more data is
 * reported, and it waits for the peer's end at most for the time of torque_stream_type_set_linger(). No other callback
 * than close follows. */
TORQUE_API torque_err torque_stream_close(torque_source stream);

/* Ends the stream at once. Pending output is dropped, and a TCP peer gets a reset. */
TORQUE_API torque_err torque_stream_abort(torque_source stream);

/* Own callback. Ends the stream and gives the descriptor to the caller. Buffered input is lost.
 * Errors: STATE (output is pending). */
TORQUE_API torque_err torque_stream_release(torque_source stream, int32_t *ret_fd);

/* ---- Changing and inspecting a stream ---- */

/* Does the same as torque_source_set_arg(). */
TORQUE_API torque_err torque_stream_set_arg(torque_source stream, void *arg);

/* Own callback. Gives the stream other callbacks and limits; the layers remain. Buffered input is passed to the new
 * data callback. The stream leaves the old type's rate and takes the new type's.
 * Errors: RESOURCE. */
TORQUE_API torque_err torque_stream_set_type(torque_source stream, struct torque_stream_type *type);

/* Gives the stream a rate of its own (rate.h), instead of the one that it had, and in addition to the type's; null
 * means none. Streams with the same rate share it; a stream whose type has the same rate counts once. The rate counts
 * bytes at the descriptor, below the layers, but not input that is discarded after close.
 *
 * While a stream waits for a rate, its time limits are suspended, except open_by_ns of torque_stream_attach(). data and
 * end are called when they are read. Output that waits for a rate is pending output like any other: it counts for
 * torque_stream_pending() and the watermarks. Shutdown and close send all of it first, and the linger time starts when
 * it was sent.
 * Thread: any; also before the start. If memory runs out when the call of another thread takes effect, the stream ends
 *         with RESOURCE.
 * Errors: RESOURCE; STOPPED. */
TORQUE_API torque_err torque_stream_set_rate(torque_source stream, struct torque_rate *rate);

/* Own callback. Puts one more layer on top, for instance for STARTTLS. The layer starts with the buffered input and
 * with the output that is written from now on. open is called once more when the layer is ready. */
TORQUE_API torque_err torque_stream_push_layer(torque_source stream, struct torque_layer_type *type);

/* Own callback. Stores the stream's layer of that type, for the calls of the library that provides the layer.
 * Errors: INVAL (the stream has no such layer). */
TORQUE_API torque_err torque_stream_layer(torque_source stream, const struct torque_layer_type *type,
                                          struct torque_layer **ret_layer);

/* In the close callback, reports where the error came from. *ret_level is the level of the layer that returned the
 * error, or TORQUE_LEVEL_DESCRIPTOR; if the connect limit expired, it is the part that was not ready. The error of
 * torque_stream_fail() counts as the descriptor's. *ret_name (ret_name may be null) is the name of the layer's type, or
 * "descriptor"; it is valid until the callback returns.
 * Errors: STATE (not in the close callback of this stream); INVAL (the stream did not end because of an error: 0,
 *         ECANCELED of torque_stream_abort(), STOPPED). */
TORQUE_API torque_err torque_stream_failed_layer(torque_source stream, int32_t *ret_level, const char **ret_name);

/* Stores the descriptor, for instance to set socket options. Do not read, write or close it.
 * Errors: STATE (the stream still waits for its connection). */
TORQUE_API torque_err torque_stream_fd(torque_source stream, int32_t *ret_fd);

/* Stores the address of the peer: at most size bytes in addr, and the full length in *ret_addrlen.
 * Errors: SYSCALL + errno. */
TORQUE_API torque_err torque_stream_peer(torque_source stream, void *addr, uint32_t size, uint32_t *ret_addrlen);

TORQUE_END_DECLS

#endif
