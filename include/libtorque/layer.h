/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef LIBTORQUE_LAYER_H
#define LIBTORQUE_LAYER_H

#include <libtorque/source.h>
#include <stddef.h>

TORQUE_BEGIN_DECLS

/* A layer transforms the bytes between a stream and its descriptor, in both directions. A stream has at most 8 layers
 * on top of each other. To a layer, everything below is the connection and everything above is the program.
 *
 * If one of a layer's functions returns an error, the stream ends with that error. Bytes that were passed down before
 * (an alert, for instance) are still sent if the descriptor accepts them.
 * Thread: a layer's functions run as callbacks of its stream, so no two run at once. They may make the calls at the end
 *         of this header, and no calls that act on the stream. */
struct torque_layer;      /* one layer of one stream */
struct torque_layer_type; /* what all layers of one kind share */

/* ---- Types ---- */

/* Set up a type before you create the first stream with it, which freezes the type: setters then return STATE. receive
 * and send are required. torque_layer_type_free() releases the caller's reference; stream types and streams keep
 * theirs.
 * Thread: only one at a time may set up a type. */
TORQUE_API torque_err torque_layer_type_new(struct torque_layer_type **ret_type) TORQUE_CHECKED;
TORQUE_API void torque_layer_type_free(struct torque_layer_type *type);

/* Sets the argument that open gets. release (may be null) is called with it when the last reference to the type is
 * released. */
TORQUE_API torque_err torque_layer_type_set_arg(struct torque_layer_type *type, void *arg, void (*release)(void *arg));

/* Returns that argument if release is the function that was set with it, and null otherwise. A library can use this to
 * recognize the types that it created.
 * Thread: any, once the type is frozen. */
TORQUE_API void *torque_layer_type_arg(const struct torque_layer_type *type, void (*release)(void *arg));

/* Sets a name for logs, "" by default. The library copies it.
 * Errors: INVAL (no name, or more than 31 bytes). */
TORQUE_API torque_err torque_layer_type_set_name(struct torque_layer_type *type, const char *name);

/* Creates the state of one layer, when its stream is created or the layer is pushed, before any other function. It must
 * not pass bytes up or down. */
typedef torque_err torque_layer_open_fn(struct torque_layer *layer, void *arg, void **ret_state);

/* Frees the state. Called last, once for each open that succeeded. It must not pass bytes up or down. */
typedef void torque_layer_close_fn(void *state);

/* Called with bytes from below. It passes the transformed bytes up, and stores in *ret_taken (initially: all) the
 * number of bytes that it has taken. The rest is buffered, and is passed to the function again with the next bytes. If
 * torque_layer_up() returns 0, the function should stop, and take no more than it needs. It is called again when there
 * is room above, with a length of 0 if nothing is buffered. */
typedef torque_err torque_layer_receive_fn(struct torque_layer *layer, void *state, const void *data, size_t length,
                                           size_t *ret_taken);

/* Called with bytes from above. It must take all of them, and pass the transformed bytes down now or in the next flush.
 * It is not called before the layer is ready, or after end. It may be called while receive passes bytes up, because the
 * program may reply at once. */
typedef torque_err torque_layer_send_fn(struct torque_layer *layer, void *state, const void *data, size_t length);

typedef torque_err torque_layer_step_fn(struct torque_layer *layer, void *state);

TORQUE_API torque_err torque_layer_type_set_open(struct torque_layer_type *type, torque_layer_open_fn *fn);
TORQUE_API torque_err torque_layer_type_set_close(struct torque_layer_type *type, torque_layer_close_fn *fn);
TORQUE_API torque_err torque_layer_type_set_receive(struct torque_layer_type *type, torque_layer_receive_fn *fn);
TORQUE_API torque_err torque_layer_type_set_send(struct torque_layer_type *type, torque_layer_send_fn *fn);

/* start is called when everything below the layer is ready. A layer with a start function is ready when it calls
 * torque_layer_ready(), for instance after a handshake; a layer without one is ready at once. Nothing is sent through a
 * layer before it is ready. */
TORQUE_API torque_err torque_layer_type_set_start(struct torque_layer_type *type, torque_layer_step_fn *fn);

/* flush is called after send when nothing more is sent in this turn. It passes down what the layer has held back. */
TORQUE_API torque_err torque_layer_type_set_flush(struct torque_layer_type *type, torque_layer_step_fn *fn);

/* end is called once, when nothing more will ever be sent, and before everything below is ended; also if the layer is
 * not ready yet. It passes down a trailer or closing message. */
TORQUE_API torque_err torque_layer_type_set_end(struct torque_layer_type *type, torque_layer_step_fn *fn);

/* ended is called when everything below has reached its end, and receive has got the last bytes. It returns 0 if the
 * end is complete (the end is then reported above), or an error if the input was truncated. It is not called after
 * torque_layer_up_end(), nor while the stream is closing, unless output still waits for a layer.
 *
 * The input also counts as truncated, and the stream ends with SYSCALL + EPIPE, if the layer is not ready at that
 * moment (even if ended returned 0), or if ended is null and receive has left bytes. */
TORQUE_API torque_err torque_layer_type_set_ended(struct torque_layer_type *type, torque_layer_step_fn *fn);

/* ---- Calls that a layer's functions may make ---- */

/* Passes bytes up; all of them are accepted. Returns 1 if more is welcome, and 0 if the layer should stop for now. */
TORQUE_API int32_t torque_layer_up(struct torque_layer *layer, const void *data, size_t length);

/* Reports the end of the data above, before everything below has ended. Bytes that arrive afterwards are discarded. */
TORQUE_API void torque_layer_up_end(struct torque_layer *layer);

/* Passes bytes down; all of them are accepted. If it returns an error, the layer's function must return that error.
 * Errors: RESOURCE; an error that a layer below returned. */
TORQUE_API torque_err torque_layer_down(struct torque_layer *layer, const void *data, size_t length) TORQUE_CHECKED;

/* Declares the layer ready. */
TORQUE_API void torque_layer_ready(struct torque_layer *layer);

/* Suspends sending through the layer until it calls torque_layer_ready() again, for instance for a handshake within the
 * data. Must not be called in send. */
TORQUE_API void torque_layer_hold(struct torque_layer *layer);

/* Returns a buffer of 64 KiB for transformed bytes, or null if memory runs out. It belongs to the layer until the
 * layer's function returns. */
TORQUE_API void *torque_layer_scratch(struct torque_layer *layer);
enum { TORQUE_LAYER_SCRATCH = 65536 };

/* Return the state that open created, and the stream. */
TORQUE_API void *torque_layer_state(const struct torque_layer *layer);
TORQUE_API torque_source torque_layer_stream(const struct torque_layer *layer);

/* Return the level of the layer (0 is next to the descriptor) and the name of its type, which is valid as long as the
 * layer exists. */
TORQUE_API int32_t torque_layer_level(const struct torque_layer *layer);
TORQUE_API const char *torque_layer_name(const struct torque_layer *layer);

TORQUE_END_DECLS

#endif
