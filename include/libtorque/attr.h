/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef LIBTORQUE_ATTR_H
#define LIBTORQUE_ATTR_H

#include <libtorque/listen.h>
#include <libtorque/signal.h>
#include <libtorque/source.h>
#include <libtorque/stream.h>
#include <libtorque/timer.h>

TORQUE_BEGIN_DECLS

/* What a source shall be, for calls that make and start it in one: its finalizer, its strand, its place. Whose arg is, is
 * certain then: on success the finalizer runs exactly once, whatever ends the source and however soon; on failure it has
 * not run and never will, and arg is still the caller's.
 *
 * One attr serves any number of sources. Thread: one at a time while it is set; then any number may use it. */
struct torque_attr;
TORQUE_API torque_err torque_attr_new(struct torque_attr **ret_attr) TORQUE_CHECKED;
TORQUE_API void torque_attr_free(struct torque_attr *attr); /* null: nothing. The sources keep what they have */

/* As torque_source_set_finalizer(), _set_strand(), _set_placement(); what is not set stays as it is by default. The attr
 * keeps the strand alive; null: none. Errors: INVAL. */
TORQUE_API torque_err torque_attr_set_finalizer(struct torque_attr *attr, torque_final_fn *fn);
TORQUE_API torque_err torque_attr_set_strand(struct torque_attr *attr, struct torque_strand *strand);
TORQUE_API torque_err torque_attr_set_placement(struct torque_attr *attr, int32_t place);

/* Give a source that was made and not started all that attr (null: nothing) has, and start it. When that fails the
 * source is gone, and no finalizer has run, not even one that it had before. Any kind; a timer gets what attr has, and
 * torque_timer_set() starts it.
 * Errors: as torque_source_start(); KIND it cannot have a strand; INVAL no such place, a strand of another context. The
 *         source is as it was after STALE and STATE (it has started). */
TORQUE_API torque_err torque_source_start_with(torque_source source, const struct torque_attr *attr) TORQUE_CHECKED;

/* torque_fd_add() and so on, with an attr (null: none). Errors: as those, and as torque_source_start_with(). */
TORQUE_API torque_err torque_fd_add_with(struct torque_ctx *ctx, const struct torque_attr *attr, int32_t fd,
                                         uint32_t events, uint32_t flags, torque_fd_fn *fn, void *arg,
                                         torque_source *ret_source) TORQUE_CHECKED;
TORQUE_API torque_err torque_event_add_with(struct torque_ctx *ctx, const struct torque_attr *attr, uint32_t flags,
                                            torque_fd_fn *fn, void *arg, torque_source *ret_source) TORQUE_CHECKED;
TORQUE_API torque_err torque_timer_add_with(struct torque_ctx *ctx, const struct torque_attr *attr, uint64_t after_ns,
                                            uint64_t period_ns, uint32_t flags, torque_timer_fn *fn, void *arg,
                                            torque_source *ret_source) TORQUE_CHECKED;
TORQUE_API torque_err torque_signal_add_with(struct torque_ctx *ctx, const struct torque_attr *attr,
                                             const int32_t *signos, uint32_t count, torque_signal_fn *fn, void *arg,
                                             torque_source *ret_source) TORQUE_CHECKED;
TORQUE_API torque_err torque_listen_add_with(struct torque_ctx *ctx, const struct torque_attr *attr, const void *addr,
                                             uint32_t addrlen, int32_t backlog, uint32_t policy, torque_accept_fn *fn,
                                             void *arg, torque_source *ret_source) TORQUE_CHECKED;

/* Streams: attr's strand and place go before those of the type. The finalizer runs before close does. Of a listener attr
 * is its own; its streams have what their type says. */
TORQUE_API torque_err torque_stream_add_with(struct torque_ctx *ctx, const struct torque_attr *attr, int32_t fd,
                                             struct torque_stream_type *type, void *arg,
                                             torque_source *ret_stream) TORQUE_CHECKED;
TORQUE_API torque_err torque_stream_connect_with(struct torque_ctx *ctx, const struct torque_attr *attr,
                                                 const void *addr, uint32_t addrlen, struct torque_stream_type *type,
                                                 void *arg, torque_source *ret_stream) TORQUE_CHECKED;
TORQUE_API torque_err torque_stream_listen_with(struct torque_ctx *ctx, const struct torque_attr *attr,
                                                const void *addr, uint32_t addrlen, int32_t backlog, uint32_t policy,
                                                struct torque_stream_type *type, void *arg,
                                                torque_source *ret_listener) TORQUE_CHECKED;

TORQUE_END_DECLS

#endif
