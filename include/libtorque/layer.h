/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef LIBTORQUE_LAYER_H
#define LIBTORQUE_LAYER_H

#include <libtorque/source.h>
#include <stddef.h>

TORQUE_BEGIN_DECLS

/* Layers: what turns bytes into bytes between a stream and the wire, in both directions (paper, section 2.1). Any number
 * up to 8 lie upon one another; each sees what is below it as the wire and what is above it as the program.
 *
 * Thread: a layer's functions run as callbacks of its stream, never two at once, so that they need no lock. They may call what is
 * declared at the end of this file, and nothing that acts on the stream. An error that one answers ends the stream with it;
 * what was passed down before (an alert) is still sent if the descriptor takes it. */
struct torque_layer;      /* one in one stream */
struct torque_layer_type; /* what all of a kind share */

/* ---- Types ---- */

/* Set before the first stream is made with it: then it is frozen (setters answer STATE). receive and send are needed.
 * free gives up the caller's reference; stream types and streams keep theirs. */
TORQUE_API torque_err torque_layer_type_new(struct torque_layer_type **ret_type) TORQUE_CHECKED;
TORQUE_API void torque_layer_type_free(struct torque_layer_type *type);

/* What open is given. release (may be null) is called with it when the last reference to the type is gone. */
TORQUE_API torque_err torque_layer_type_set_arg(struct torque_layer_type *type, void *arg, void (*release)(void *arg));

/* That arg, if release was set with it: so a library knows the types that it made. Else null. Thread: any, once frozen. */
TORQUE_API void *torque_layer_type_arg(const struct torque_layer_type *type, void (*release)(void *arg));

/* A name for logs: "" until it is set. A copy is kept. Errors: INVAL no name, or longer than 31 bytes. */
TORQUE_API torque_err torque_layer_type_set_name(struct torque_layer_type *type, const char *name);

/* Make the state of one layer: called when its stream is made (or the layer pushed), before anything else. May pass
 * nothing up or down. */
typedef torque_err torque_layer_open_fn(struct torque_layer *layer, void *arg, void **ret_state);

/* Free the state. Called once for each open that succeeded, last; nothing may be passed any more. */
typedef void torque_layer_close_fn(void *state);

/* Bytes came from below. The layer passes up what it makes of them and answers how many it has taken in *ret_taken (at
 * first: all); the rest is kept, and comes again with what follows. When torque_layer_up() answers 0 it stops and
 * takes no more than it needs; it is called again, with length 0 if nothing is left, when there is room above. */
typedef torque_err torque_layer_receive_fn(struct torque_layer *layer, void *state, const void *data, size_t length,
                                           size_t *ret_taken);

/* Bytes come from above: all are taken; what they become is passed down, now or at the next flush. Not called before
 * the layer is ready, nor after end; perhaps while receive passes bytes up, as the program may answer at once. */
typedef torque_err torque_layer_send_fn(struct torque_layer *layer, void *state, const void *data, size_t length);

typedef torque_err torque_layer_step_fn(struct torque_layer *layer, void *state);

TORQUE_API torque_err torque_layer_type_set_open(struct torque_layer_type *type, torque_layer_open_fn *fn);
TORQUE_API torque_err torque_layer_type_set_close(struct torque_layer_type *type, torque_layer_close_fn *fn);
TORQUE_API torque_err torque_layer_type_set_receive(struct torque_layer_type *type, torque_layer_receive_fn *fn);
TORQUE_API torque_err torque_layer_type_set_send(struct torque_layer_type *type, torque_layer_send_fn *fn);

/* start: what is below is ready. A type with a start is ready when it calls torque_layer_ready() (a handshake is over),
 * one without at once. Until then nothing is sent through it. */
TORQUE_API torque_err torque_layer_type_set_start(struct torque_layer_type *type, torque_layer_step_fn *fn);

/* flush: nothing more is sent in this turn: pass down what you hold back. Called only after a send. */
TORQUE_API torque_err torque_layer_type_set_flush(struct torque_layer_type *type, torque_layer_step_fn *fn);

/* end: nothing more is sent ever: pass down the trailer, the goodbye. Called once, before what is below is ended; also
 * on a layer that is not ready. */
TORQUE_API torque_err torque_layer_type_set_end(struct torque_layer_type *type, torque_layer_step_fn *fn);

/* ended: below nothing more comes, and receive has been given the last of it. 0: in order, and the end is told above; an
 * error: it was cut off. Not called after torque_layer_up_end(), nor where nobody minds: while the stream closes and no
 * output waits for it. Null: in order, unless receive has left bytes. */
TORQUE_API torque_err torque_layer_type_set_ended(struct torque_layer_type *type, torque_layer_step_fn *fn);

/* ---- What a layer's functions may call ---- */

/* Pass bytes up; all are taken. 1: more is welcome. 0: stop for now. */
TORQUE_API int32_t torque_layer_up(struct torque_layer *layer, const void *data, size_t length);

/* Pass the end of the data up, before what is below has ended; what is received after it is discarded. */
TORQUE_API void torque_layer_up_end(struct torque_layer *layer);

/* Pass bytes down; all are taken. Errors, to be answered to the caller: RESOURCE; what a layer below answered. */
TORQUE_API torque_err torque_layer_down(struct torque_layer *layer, const void *data, size_t length) TORQUE_CHECKED;

/* The layer is ready. */
TORQUE_API void torque_layer_ready(struct torque_layer *layer);

/* Nothing is sent through it until it is ready once more (a handshake within the data). Not called from send. */
TORQUE_API void torque_layer_hold(struct torque_layer *layer);

/* 64 KiB to make bytes in, this layer's own until its function returns. Null: no memory. */
TORQUE_API void *torque_layer_scratch(struct torque_layer *layer);
enum { TORQUE_LAYER_SCRATCH = 65536 };

/* What open made; the stream it is in. */
TORQUE_API void *torque_layer_state(const struct torque_layer *layer);
TORQUE_API torque_source torque_layer_stream(const struct torque_layer *layer);

/* Its place: 0 is next to the wire. The name of its type, which stays as long as the layer. */
TORQUE_API int32_t torque_layer_level(const struct torque_layer *layer);
TORQUE_API const char *torque_layer_name(const struct torque_layer *layer);

TORQUE_END_DECLS

#endif
