/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef LIBTORQUE_TORQUE_H
#define LIBTORQUE_TORQUE_H

/* libtorque is an event engine that uses all the cores of a machine.
 *
 * Two rules hold everywhere. Errors: see <libtorque/error.h>. Threads: every call may be made on any thread and in any
 * callback, unless its comment says otherwise. Only torque_wake() is async-signal-safe. Callbacks must not block for
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

/* The add-on libraries have their own headers. Programs for the original library include only this one, and the .pc
 * files of the add-ons define these macros for them. */
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

/* ---- The calls of the original libtorque: programs that were written for it compile unchanged ----
 *
 * These calls return no handle. A source that they create lives until its descriptor is closed and the number is
 * reused, until its one-shot timer has fired, or until the context stops. */

typedef void (*libtorquercb)(int, void *);
typedef void (*libtorquewcb)(int, void *);
typedef void (*libtorquetimecb)(void *);
typedef int (*libtorquebrcb)(int, struct torque_rxbuf *, void *);
typedef int (*libtorquebwcb)(int, struct torque_rxbuf *, void *);

/* Calls rx when fd is readable and tx when it is writable; either may be null. Notification is edge-triggered: the
 * callback must read or write until EAGAIN. The callbacks never run on two threads at once.
 * Errors: as torque_fd_add(). */
TORQUE_API torque_err torque_addfd_unbuffered(struct torque_ctx *ctx, int fd, libtorquercb rx, libtorquewcb tx,
                                              void *state) TORQUE_CHECKED;

/* Does the same, but any number of threads may run the callbacks at once. For loops of accept(2). */
TORQUE_API torque_err torque_addfd_concurrent(struct torque_ctx *ctx, int fd, libtorquercb rx, libtorquewcb tx,
                                              void *state) TORQUE_CHECKED;

/* Makes fd non-blocking, reads from it, and calls rx with the input that was not taken yet (buffers.h), once for
 * everything that one read returned. A read returns at least 64 KiB if that much is available. Bytes that rx leaves are
 * passed to it again when more input arrives, and when fd becomes writable again after a write(2) of the callback
 * failed with EAGAIN. If 1 MiB is buffered, nothing is read until rx takes some. If rx is null, nothing is read.
 *
 * After the peer has ended its side, rx is called whenever fd is writable, until it has taken everything or takes
 * nothing in a call. Then it is called once with no bytes. After an error it is called with no bytes at once. If tx is
 * not null, it is called when fd first becomes writable, and then instead of rx whenever fd becomes writable again.
 *
 * The callbacks return 0, or -1 if they have closed fd. Only they may close fd; any thread may call shutdown(2). If a
 * callback that was called with no bytes does not return -1, the library closes fd. When the context stops, fd stays
 * open.
 * Errors: as torque_stream_add(). On failure fd belongs to the caller. */
TORQUE_API torque_err torque_addfd(struct torque_ctx *ctx, int fd, libtorquebrcb rx, libtorquebwcb tx,
                                   void *state) TORQUE_CHECKED;

/* Makes fd non-blocking, connects it, and continues like torque_addfd() or torque_addfd_unbuffered(). When the
 * connection is established or has failed, tx is called first, if it is not null; getsockopt(2) with SO_ERROR returns
 * the result. If tx is null, torque_addconnector() reports a failure by a call of rx with no bytes.
 * Errors: as torque_addfd() or torque_addfd_unbuffered(); SYSCALL + errno (connect(2) failed at once with an error
 *         other than EINPROGRESS). On failure fd belongs to the caller. */
TORQUE_API torque_err torque_addconnector(struct torque_ctx *ctx, int fd, const struct sockaddr *addr,
                                          socklen_t addrlen, libtorquebrcb rx, libtorquebwcb tx,
                                          void *state) TORQUE_CHECKED;
TORQUE_API torque_err torque_addconnector_unbuffered(struct torque_ctx *ctx, int fd, const struct sockaddr *addr,
                                                     socklen_t addrlen, libtorquercb rx, libtorquewcb tx,
                                                     void *state) TORQUE_CHECKED;

/* Calls rx with the number of the signal at each arrival of any signal in the set.
 * Errors: as torque_signal_add(); INVAL also for SIGTERM, which belongs to torque_block(). */
TORQUE_API torque_err torque_addsignal(struct torque_ctx *ctx, const sigset_t *signals, libtorquercb rx,
                                       void *state) TORQUE_CHECKED;

/* Calls rx with the event bits (TORQUE_PATH_*, see path.h) for each event of the file, or of the directory. It reports
 * all events except TORQUE_PATH_ACCESSED, TORQUE_PATH_OPENED and TORQUE_PATH_CLOSED.
 * Errors: as torque_path_add(). */
TORQUE_API torque_err torque_addpath(struct torque_ctx *ctx, const char *path, libtorquercb rx,
                                     void *state) TORQUE_CHECKED;

/* Calls cb after it_value, and then every it_interval. If it_value is 0 and it_interval is not, the first call comes
 * after one interval. If several intervals have ended before a call could be made, cb is called for each of them, but
 * at most 1000 times; the others are skipped.
 * Errors: as torque_timer_add(); INVAL also if both times are 0, or if one is invalid. */
TORQUE_API torque_err torque_addtimer(struct torque_ctx *ctx, const struct itimerspec *when, libtorquetimecb cb,
                                      void *state) TORQUE_CHECKED;

TORQUE_END_DECLS

#endif
