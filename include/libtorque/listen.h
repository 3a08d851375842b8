/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef LIBTORQUE_LISTEN_H
#define LIBTORQUE_LISTEN_H

#include <libtorque/source.h>

TORQUE_BEGIN_DECLS

/* Called for each connection. fd is non-blocking and close-on-exec; it belongs to the callback, which keeps or closes
 * it. addr is the struct sockaddr of the peer, addrlen bytes, valid only during the call. Several workers may run the
 * callback at once.
 *
 * If descriptors or memory run out, the listener stops accepting for 10 ms, then for twice as long each time, up to 1
 * s. It resumes by itself. */
typedef void torque_accept_fn(torque_source listener, int32_t fd, const void *addr, uint32_t addrlen, void *arg);

/* Policies: how connections are distributed over the domains. */
enum {
  TORQUE_LISTEN_DEFAULT = 0,  /* one domain: SHARED; several: REUSEPORT, or EXCLUSIVE for a socket of the caller */
  TORQUE_LISTEN_SHARED = 1, /* one socket in one domain's queue; the library spreads new connections over the domains */
  TORQUE_LISTEN_EXCLUSIVE = 2, /* one socket in every domain's queue; the kernel wakes one of them (EPOLLEXCLUSIVE) */
  TORQUE_LISTEN_REUSEPORT = 3 /* one socket (SO_REUSEPORT) for each domain; the kernel spreads connections by a hash */
};

/* Listens on a stream socket address, a struct sockaddr of addrlen bytes, and calls fn for each connection; port 0
 * selects a free port. backlog 0 means SOMAXCONN. The library sets SO_REUSEADDR. The sockets belong to the library,
 * which closes them when the source ends. torque_listen_new() creates the source without starting it; call
 * torque_source_start().
 * Errors: INVAL; RESOURCE; STOPPED; FORKED; SYSCALL + an error of socket(2), bind(2) or listen(2). */
TORQUE_API torque_err torque_listen_add(struct torque_ctx *ctx, const void *addr, uint32_t addrlen, int32_t backlog,
                                        uint32_t policy, torque_accept_fn *fn, void *arg,
                                        torque_source *ret_source) TORQUE_CHECKED;
TORQUE_API torque_err torque_listen_new(struct torque_ctx *ctx, const void *addr, uint32_t addrlen, int32_t backlog,
                                        uint32_t policy, torque_accept_fn *fn, void *arg,
                                        torque_source *ret_source) TORQUE_CHECKED;

/* Does the same on the address that text describes, as in torque_address_parse(): "127.0.0.1:80", "[::1]:80", "*:80",
 * "unix:/path", "unix:@name". "*" accepts both IPv6 and IPv4 connections (IPV6_V6ONLY is turned off). The file of a
 * unix socket remains when the listener ends, and the program must remove it: if a file exists at the path, even if
 * nobody listens on it any more, the start fails with EADDRINUSE.
 * Errors: as torque_listen_add() and torque_address_parse(). */
TORQUE_API torque_err torque_listen_text_add(struct torque_ctx *ctx, const char *text, uint16_t default_port,
                                             int32_t backlog, uint32_t policy, torque_accept_fn *fn, void *arg,
                                             torque_source *ret_source) TORQUE_CHECKED;
TORQUE_API torque_err torque_listen_text_new(struct torque_ctx *ctx, const char *text, uint16_t default_port,
                                             int32_t backlog, uint32_t policy, torque_accept_fn *fn, void *arg,
                                             torque_source *ret_source) TORQUE_CHECKED;

/* Accepts on a listening socket of the caller. The library makes it non-blocking and never closes it; the caller may
 * close it after the finalizer was called. Policies: DEFAULT, SHARED, EXCLUSIVE.
 * Errors: as torque_listen_add(); SYSCALL + EBADF, ENOTSOCK, EINVAL (the socket does not listen). */
TORQUE_API torque_err torque_listen_fd_add(struct torque_ctx *ctx, int32_t fd, uint32_t policy, torque_accept_fn *fn,
                                           void *arg, torque_source *ret_source) TORQUE_CHECKED;
TORQUE_API torque_err torque_listen_fd_new(struct torque_ctx *ctx, int32_t fd, uint32_t policy, torque_accept_fn *fn,
                                           void *arg, torque_source *ret_source) TORQUE_CHECKED;

/* Stores the address that the listener listens on: at most size bytes in addr, and the full length in *ret_addrlen.
 * Errors: INVAL; STALE; KIND; STATE (not started); SYSCALL + errno. */
TORQUE_API torque_err torque_listen_address(torque_source listener, void *addr, uint32_t size, uint32_t *ret_addrlen);

/* Pause stops accepting, and resume starts accepting again. New connections wait in the backlog meanwhile. Pausing a
 * paused listener, or resuming one that is not paused, has no effect. A listener that is paused before its start starts
 * paused. Both calls work with every policy, and with listeners that create streams (stream.h). A pause and the delay
 * after a lack of descriptors are independent: the listener accepts only when neither is in effect.
 *
 * After torque_listen_pause() has returned, the listener accepts no connection until torque_listen_resume() is called.
 * Callbacks for connections that were accepted before, at most one for each worker, may still run on other threads. If
 * the accept callback itself pauses the listener, the pause starts with the next connection.
 * Thread: any, any callback.
 * Errors: STALE; KIND (not a listener); STOPPED; FORKED. */
TORQUE_API torque_err torque_listen_pause(torque_source listener);
TORQUE_API torque_err torque_listen_resume(torque_source listener);

/* For listeners that create streams (stream.h). torque_listen_set_max() limits how many streams of the listener may
 * exist at once; 0, the default, means no limit. When the limit is reached, further connections wait in the backlog,
 * and one is accepted for each stream that ends. The limit is never exceeded, however many workers accept. A stream
 * counts from before its connection is accepted until its close callback has returned; this includes streams whose
 * descriptor was released and streams that never opened. If the new limit is below the present number, no stream is
 * ended. The limit may be set at any time, also before the start, and is independent of a pause.
 *
 * torque_listen_count() stores the number of streams of the listener that exist.
 * Thread: any.
 * Errors: STALE; KIND (not a listener that creates streams; the library does not know when the program closes a
 *         descriptor that it got from an accept callback); INVAL (no ret_count); STOPPED; FORKED. */
TORQUE_API torque_err torque_listen_set_max(torque_source listener, uint32_t most);
TORQUE_API torque_err torque_listen_count(torque_source listener, uint32_t *ret_count);

TORQUE_END_DECLS

#endif
