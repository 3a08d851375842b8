/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef LIBTORQUE_ATTR_H
#define LIBTORQUE_ATTR_H

#include <libtorque/listen.h>
#include <libtorque/signal.h>
#include <libtorque/source.h>
#include <libtorque/stream.h>
#include <libtorque/timer.h>

TORQUE_BEGIN_DECLS

/* Settings for sources: finalizer, strand and placement. They are for calls that create and start a source in one step.
 * After success the finalizer runs exactly once, whatever ends the source and however soon. After failure no finalizer
 * has run or will run, and arg still belongs to the caller.
 *
 * One attr may be used for any number of sources.
 * Thread: only one at a time may change an attr; after that any number may use it. */
struct torque_attr;
TORQUE_API torque_err torque_attr_new(struct torque_attr **ret_attr) TORQUE_CHECKED;
TORQUE_API void torque_attr_free(struct torque_attr *attr); /* null: no effect; the sources keep their settings */

/* The settings of torque_source_set_finalizer(), torque_source_set_strand() and torque_source_set_placement(). A
 * setting that is not made has its default. The attr keeps the strand alive; null means no strand.
 * Errors: INVAL (null attr). */
TORQUE_API torque_err torque_attr_set_finalizer(struct torque_attr *attr, torque_final_fn *fn);
TORQUE_API torque_err torque_attr_set_strand(struct torque_attr *attr, struct torque_strand *strand);
TORQUE_API torque_err torque_attr_set_placement(struct torque_attr *attr, int32_t place);

/* Applies all settings of attr (null: none) to a source of any kind that was created and not started, and starts it. A
 * timer gets the settings, and torque_timer_set() then starts it. After failure the source has ended, and no finalizer
 * has run, not even one that was set on the source before. After STALE and STATE the call has not changed the source.
 * Errors: as torque_source_start(); KIND (a strand for a source that cannot have one: a listener, a condition, a
 *         concurrent source); INVAL (no such place, or a strand of another context); STALE; STATE (the source has
 *         started, or waits for its connection). */
TORQUE_API torque_err torque_source_start_with(torque_source source, const struct torque_attr *attr) TORQUE_CHECKED;

/* Create a source of their kind and start it with the settings of attr (null: none). The other arguments are those of
 * the call without _with.
 * Errors: as the call without _with, and as torque_source_start_with(). */
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

/* For streams: strand and placement of the attr take precedence over those of the type. The finalizer runs before the
 * close callback. The attr of torque_stream_listen_with() applies to the listener; its streams have the settings of
 * their type. */
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
