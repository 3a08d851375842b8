/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef LIBTORQUE_TORQUE_H
#define LIBTORQUE_TORQUE_H

/* libtorque: all the cores of a machine as one event engine.
 *
 * Two rules hold everywhere. Errors: see <libtorque/error.h>. Threads: every call may be made on any thread and from
 * any callback unless it says otherwise; none is async-signal-safe but torque_wake(). Callbacks must not block for
 * long, must not be cancelled (pthread_cancel), and must not throw. */

#include <libtorque/address.h>
#include <libtorque/attr.h>
#include <libtorque/buffers.h>
#include <libtorque/child.h>
#include <libtorque/aio.h>
#include <libtorque/condition.h>
#include <libtorque/config.h>
#include <libtorque/context.h>
#include <libtorque/datagram.h>
#include <libtorque/deadlines.h>
#include <libtorque/error.h>
#include <libtorque/layer.h>
#include <libtorque/hook.h>
#include <libtorque/listen.h>
#include <libtorque/network.h>
#include <libtorque/offload.h>
#include <libtorque/path.h>
#include <libtorque/pipe.h>
#include <libtorque/rate.h>
#include <libtorque/post.h>
#include <libtorque/signal.h>
#include <libtorque/source.h>
#include <libtorque/stats.h>
#include <libtorque/stream.h>
#include <libtorque/timer.h>
#include <libtorque/topology.h>
#include <libtorque/version.h>
#include <libtorque/watch.h>
#include <libtorque/watchdog.h>

/* The add-on libraries have headers of their own; programs for the original find them here, where their .pc files say so. */
#ifdef LIBTORQUE_WITH_DNS
#include <libtorque/dns.h>
#endif
#ifdef LIBTORQUE_WITH_TLS
#include <libtorque/tls.h>
#endif

#include <signal.h>
#include <sys/select.h>
#include <sys/socket.h>

TORQUE_BEGIN_DECLS

struct itimerspec;

/* ---- The calls of the original libtorque: programs written for it compile unchanged ----
 * They keep no handle: such a source lives until its descriptor is closed and the number is used again, its one-shot
 * timer has fired, or the context stops. */

typedef void (*libtorquercb)(int, void *);
typedef void (*libtorquewcb)(int, void *);
typedef void (*libtorquetimecb)(void *);
typedef int (*libtorquebrcb)(int, struct torque_rxbuf *, void *);
typedef int (*libtorquebwcb)(int, struct torque_rxbuf *, void *);

/* Call rx when fd is readable, tx when it is writable (either may be null). Edge-triggered: the callback must read or
 * write until EAGAIN. Never on two threads at once.
 * Errors: as torque_fd_add(). */
TORQUE_API torque_err torque_addfd_unbuffered(struct torque_ctx *ctx, int fd, libtorquercb rx, libtorquewcb tx,
                                              void *state) TORQUE_CHECKED;

/* The same, but on any number of threads at once: for accept(2) loops. */
TORQUE_API torque_err torque_addfd_concurrent(struct torque_ctx *ctx, int fd, libtorquercb rx, libtorquewcb tx,
                                              void *state) TORQUE_CHECKED;

/* The same with the reading done by the library, which makes fd non-blocking: rx is called with what has come and was
 * not taken yet (buffers.h), once for all that one read brought (of 64 KiB at least). What it leaves is shown again
 * with what comes next, and when fd takes bytes again after a write(2) of the callback's has met EAGAIN. Nothing is
 * read while 1 MiB waits. After the peer's end rx is called, whenever fd can be written to, until it has taken
 * everything or takes nothing; then once with no bytes. After an error, at once with no bytes. tx, if not null, is
 * called when fd can be written to: at first, and whenever rx would be called for that reason.
 *
 * The callbacks answer 0, or -1 if they have closed fd, which only they may do (anybody may shutdown(2) it). After a
 * call with no bytes that has not, the library closes it. When the context stops it stays open. rx null: nothing is
 * read. Errors: as torque_stream_add(); fd is the caller's then. */
TORQUE_API torque_err torque_addfd(struct torque_ctx *ctx, int fd, libtorquebrcb rx, libtorquebwcb tx,
                                   void *state) TORQUE_CHECKED;

/* Connect fd, which is made non-blocking, and go on as torque_addfd() and torque_addfd_unbuffered() do. The first call
 * is of tx, if not null, when the connection stands or has failed: SO_ERROR tells which. (Buffered, without tx, rx is
 * told of a failure, with no bytes.)
 * Errors: as those; SYSCALL + what connect(2) answers at once. fd is the caller's then. */
TORQUE_API torque_err torque_addconnector(struct torque_ctx *ctx, int fd, const struct sockaddr *addr,
                                          socklen_t addrlen, libtorquebrcb rx, libtorquebwcb tx,
                                          void *state) TORQUE_CHECKED;
TORQUE_API torque_err torque_addconnector_unbuffered(struct torque_ctx *ctx, int fd, const struct sockaddr *addr,
                                                     socklen_t addrlen, libtorquercb rx, libtorquewcb tx,
                                                     void *state) TORQUE_CHECKED;

/* Call rx with the signal's number at each arrival of any signal in the set. Errors: as torque_signal_add(); INVAL also
 * for SIGTERM, which belongs to torque_block(). */
TORQUE_API torque_err torque_addsignal(struct torque_ctx *ctx, const sigset_t *signals, libtorquercb rx,
                                       void *state) TORQUE_CHECKED;

/* Call rx with the events (TORQUE_PATH_* bits, see path.h) for each thing that happens to the file, or in the directory;
 * all are told but TORQUE_PATH_ACCESSED, OPENED and CLOSED. Errors: as torque_path_add(). */
TORQUE_API torque_err torque_addpath(struct torque_ctx *ctx, const char *path, libtorquercb rx,
                                     void *state) TORQUE_CHECKED;

/* Call cb after it_value, then every it_interval. it_value 0 with an interval: first after one interval. Both 0: INVAL.
 * Intervals that ended while nothing ran are called for one after another, at most 1000; the rest are skipped. */
TORQUE_API torque_err torque_addtimer(struct torque_ctx *ctx, const struct itimerspec *when, libtorquetimecb cb,
                                      void *state) TORQUE_CHECKED;

TORQUE_END_DECLS

#endif
