/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef LIBTORQUE_LISTEN_H
#define LIBTORQUE_LISTEN_H

#include <libtorque/source.h>

TORQUE_BEGIN_DECLS

/* Called for each connection: fd is non-blocking, close-on-exec, and the callback's to keep or close. addr: the peer's
 * struct sockaddr, addrlen bytes. Several workers may be in the callback at once.
 * When descriptors or memory run out the listener rests (10 ms, doubled up to 1 s) and goes on by itself. */
typedef void torque_accept_fn(torque_source listener, int32_t fd, const void *addr, uint32_t addrlen, void *arg);

/* How connections come to the domains. */
enum {
  TORQUE_LISTEN_DEFAULT = 0,  /* one domain: SHARED; several: REUSEPORT, or EXCLUSIVE for a socket of the caller's */
  TORQUE_LISTEN_SHARED = 1,   /* one socket in one domain's queue; new connections are spread over the domains */
  TORQUE_LISTEN_EXCLUSIVE = 2, /* one socket in every domain's queue, one of them is woken (EPOLLEXCLUSIVE) */
  TORQUE_LISTEN_REUSEPORT = 3 /* one socket (SO_REUSEPORT) for each domain: the kernel spreads connections by hash */
};

/* Listen on a stream address (a struct sockaddr of addrlen bytes; port 0 takes a free one). SO_REUSEADDR is set;
 * backlog 0: SOMAXCONN. The sockets belong to the library and are closed with the source.
 * Errors: INVAL; RESOURCE; STOPPED; FORKED; SYSCALL + what socket, bind, listen answer. */
TORQUE_API torque_err torque_listen_add(struct torque_ctx *ctx, const void *addr, uint32_t addrlen, int32_t backlog,
                                        uint32_t policy, torque_accept_fn *fn, void *arg,
                                        torque_source *ret_source) TORQUE_CHECKED;
TORQUE_API torque_err torque_listen_new(struct torque_ctx *ctx, const void *addr, uint32_t addrlen, int32_t backlog,
                                        uint32_t policy, torque_accept_fn *fn, void *arg,
                                        torque_source *ret_source) TORQUE_CHECKED;

/* The same on the address that a text means, as torque_address_parse(): "127.0.0.1:80", "[::1]:80", "*:80", "unix:/path",
 * "unix:@name". "*" takes connections of IPv6 and IPv4 (IPV6_V6ONLY is turned off). Of a unix socket's path the file stays
 * when the listener ends, and whoever finds one there, stale or not, is told EADDRINUSE: to remove it is the program's.
 * Errors: as torque_listen_add() and torque_address_parse(). */
TORQUE_API torque_err torque_listen_text_add(struct torque_ctx *ctx, const char *text, uint16_t default_port,
                                             int32_t backlog, uint32_t policy, torque_accept_fn *fn, void *arg,
                                             torque_source *ret_source) TORQUE_CHECKED;
TORQUE_API torque_err torque_listen_text_new(struct torque_ctx *ctx, const char *text, uint16_t default_port,
                                             int32_t backlog, uint32_t policy, torque_accept_fn *fn, void *arg,
                                             torque_source *ret_source) TORQUE_CHECKED;

/* Accept on a listening socket of the caller's, who keeps it and closes it after the finalizer. It is made
 * non-blocking. Policies: DEFAULT, SHARED, EXCLUSIVE. Errors: also SYSCALL + EBADF, ENOTSOCK, EINVAL it does not listen. */
TORQUE_API torque_err torque_listen_fd_add(struct torque_ctx *ctx, int32_t fd, uint32_t policy, torque_accept_fn *fn,
                                           void *arg, torque_source *ret_source) TORQUE_CHECKED;
TORQUE_API torque_err torque_listen_fd_new(struct torque_ctx *ctx, int32_t fd, uint32_t policy, torque_accept_fn *fn,
                                           void *arg, torque_source *ret_source) TORQUE_CHECKED;

/* The address it listens on: at most size bytes go to addr, the full length to *ret_addrlen.
 * Errors: STALE; KIND; STATE not started; SYSCALL + errno. */
TORQUE_API torque_err torque_listen_address(torque_source listener, void *addr, uint32_t size, uint32_t *ret_addrlen);

/* Stop accepting, and go on. Connections that come meanwhile wait in the backlog; resume takes them. Each may be called
 * again without effect, before the start too (it then starts paused), and in the accept callback, which may go on to use
 * its descriptor. Independent of the rest that follows a lack of descriptors: accepting goes on when neither holds.
 *
 * When pause has returned no connection is taken from the backlog before resume is called. Callbacks for connections that
 * were taken before, one at most for each worker, may still run on other threads.
 * Works for listeners of all policies, and of streams (stream.h). Thread: any.
 * Errors: STALE; KIND not a listener; STOPPED; FORKED. */
TORQUE_API torque_err torque_listen_pause(torque_source listener);
TORQUE_API torque_err torque_listen_resume(torque_source listener);

/* Listeners of streams (stream.h): how many streams that it has made may be alive at once; 0, the default: any number.
 * When so many are, further connections wait in the backlog, and each end of a stream lets one in. There are never more,
 * whatever number of workers accepts. A stream counts from before its connection is taken until its close callback has
 * returned; one whose descriptor was released, or that never opened, ends like any other. A maximum below the present
 * number ends no stream. Independent of pause.
 * count: how many are alive. Thread: any. The maximum may be set at any time, also before the start.
 * Errors: STALE; KIND not a listener of streams (of a descriptor of the program's the library does not know the end);
 *         INVAL no ret_count; STOPPED; FORKED. */
TORQUE_API torque_err torque_listen_set_max(torque_source listener, uint32_t most);
TORQUE_API torque_err torque_listen_count(torque_source listener, uint32_t *ret_count);

TORQUE_END_DECLS

#endif
