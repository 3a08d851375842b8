/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef LIBTORQUE_DATAGRAM_H
#define LIBTORQUE_DATAGRAM_H

#include <libtorque/source.h>

TORQUE_BEGIN_DECLS

/* Datagram sockets (UDP over IPv4 and IPv6, AF_UNIX): the library receives and sends, many datagrams to a system call.
 *
 * A socket without traffic holds no buffer. While a context has datagram sockets each of its workers has one place to
 * receive (1.3 MiB of address space, of which what was used once takes memory). */

/* What one call of the callback brings: any of datagrams, an error of the socket, failures of earlier sends, and the
 * news that there is room again. It and all that it leads to is valid during the call, on the thread of the call. */
struct torque_datagrams;

/* Everything that has come is taken before it is told again; other sources have their turn in between.
 * Thread: as every callback of an exclusive source; of a source with several sockets (TORQUE_DATAGRAM_REUSEPORT) several
 * workers may be in it at once, one for each socket. */
typedef void torque_datagram_fn(torque_source source, struct torque_datagrams *batch, void *arg);

enum {
  TORQUE_DATAGRAM_GRO = 0x1,    /* let the kernel join datagrams of one peer on their way in (UDP_GRO, which stays on):
                                   cheaper; they are told one by one all the same. Where it cannot: nothing */
  TORQUE_DATAGRAM_NO_GSO = 0x2, /* send each by itself. Default: equal ones to one peer in one piece (UDP_SEGMENT) */
  TORQUE_DATAGRAM_LOCAL = 0x4,  /* tell the address that each was sent to, and reply from it (IP_PKTINFO) */
  TORQUE_DATAGRAM_CLASS = 0x8,  /* tell the traffic class, with ECN (IP_RECVTOS, IPV6_RECVTCLASS) */
  TORQUE_DATAGRAM_REUSEPORT = 0x10 /* torque_datagram_bind_*(): SO_REUSEPORT, and a socket for each domain */
};

/* Serve a datagram socket of the caller's, connected or not. The source has a duplicate of fd: the caller may close his
 * at any time, and the socket lives until both are closed. It need not be non-blocking.
 * Errors: INVAL no callback, unknown flags, not a datagram socket; RESOURCE; STOPPED; FORKED; SYSCALL + EBADF, EMFILE,
 *         ENOTSOCK, ENOSPC, ENOMEM, and what setsockopt answers to LOCAL and CLASS (EOPNOTSUPP on AF_UNIX). */
TORQUE_API torque_err torque_datagram_add(struct torque_ctx *ctx, int32_t fd, uint32_t flags, torque_datagram_fn *fn,
                                          void *arg, torque_source *ret_source) TORQUE_CHECKED;
TORQUE_API torque_err torque_datagram_new(struct torque_ctx *ctx, int32_t fd, uint32_t flags, torque_datagram_fn *fn,
                                          void *arg, torque_source *ret_source) TORQUE_CHECKED;

/* Serve an address (a struct sockaddr of addrlen bytes; port 0 takes a free one) on sockets of the library's, which are
 * closed with the source. Without REUSEPORT it is one socket, and the callback runs on one worker at a time; with it the
 * kernel spreads peers over the domains' sockets by hash, and a strand keeps the callback on one worker at a time.
 * Errors: as above; SYSCALL + what socket and bind answer. */
TORQUE_API torque_err torque_datagram_bind_add(struct torque_ctx *ctx, const void *addr, uint32_t addrlen,
                                               uint32_t flags, torque_datagram_fn *fn, void *arg,
                                               torque_source *ret_source) TORQUE_CHECKED;
TORQUE_API torque_err torque_datagram_bind_new(struct torque_ctx *ctx, const void *addr, uint32_t addrlen,
                                               uint32_t flags, torque_datagram_fn *fn, void *arg,
                                               torque_source *ret_source) TORQUE_CHECKED;

/* Between new and start only (else STATE).
 * size: the largest datagram that is received whole, 1 .. 1 MiB; default 65536. None is told with more bytes, however
 *       it came. The smaller, the more come in one call (64 up to 16 KiB, 16 of 64 KiB), but for sockets with GRO.
 * limit: bytes that may wait for room in the socket's send buffer; default 256 KiB. Each datagram counts 64 more. */
TORQUE_API torque_err torque_datagram_set_size(torque_source source, uint32_t size);
TORQUE_API torque_err torque_datagram_set_queue(torque_source source, uint64_t limit);

/* The address that the socket is bound to: at most size bytes go to addr, the full length to *ret_addrlen.
 * Errors: STALE; KIND; STATE not started; SYSCALL + errno. */
TORQUE_API torque_err torque_datagram_address(torque_source source, void *addr, uint32_t size, uint32_t *ret_addrlen);

/* Send size bytes to an address (addrlen 0: to whom the socket is connected). The bytes are copied.
 *
 * In the source's own callback they are queued, and leave when it returns, all with one system call if possible; an
 * error of theirs is told in the next call (torque_datagrams_failed()). Elsewhere they leave at once, and the answer is
 * the system's. Either way, what the socket has no room for waits, and goes when there is room. Order is kept between
 * datagrams that one thread sends to one peer.
 *
 * Of a source with several sockets the one that serves the callback sends, else that of the thread's domain.
 * Errors: SYSCALL + EAGAIN: too much waits already (this was not taken; the callback is told when there is room); to an
 *         address of AF_UNIX: that peer reads too slowly (nothing waits for it). SYSCALL + EMSGSIZE, ENETUNREACH, ...;
 *         STALE; KIND; STATE not started; INVAL; RESOURCE; FORKED. */
TORQUE_API torque_err torque_datagram_send(torque_source source, const void *addr, uint32_t addrlen, const void *data,
                                           uint32_t size);

/* Bytes that wait for room (64 more for each datagram). Errors: STALE; KIND; STATE not started. */
TORQUE_API torque_err torque_datagram_queued(torque_source source, uint64_t *ret_bytes);

/* ---- In the callback ---- */

/* How many datagrams came; 0: it runs for another reason. The others take i < count, and answer 0 or null else. */
TORQUE_API uint32_t torque_datagrams_count(const struct torque_datagrams *batch);

/* The bytes of one, and how many; a datagram may have none. */
TORQUE_API const void *torque_datagrams_data(const struct torque_datagrams *batch, uint32_t i);
TORQUE_API uint32_t torque_datagrams_size(const struct torque_datagrams *batch, uint32_t i);

/* How many it had when it came: more than torque_datagrams_size() when it was cut. */
TORQUE_API uint32_t torque_datagrams_full_size(const struct torque_datagrams *batch, uint32_t i);

/* Who sent it: a struct sockaddr; *ret_addrlen (may be null) 0 when it has no address (AF_UNIX). */
TORQUE_API const void *torque_datagrams_peer(const struct torque_datagrams *batch, uint32_t i, uint32_t *ret_addrlen);

/* With TORQUE_DATAGRAM_LOCAL, the address that it was sent to: a struct sockaddr_in or sockaddr_in6 with port 0. The
 * scope of the latter is the interface. Null: not known. */
TORQUE_API const void *torque_datagrams_local(const struct torque_datagrams *batch, uint32_t i, uint32_t *ret_addrlen);

/* With TORQUE_DATAGRAM_CLASS, its traffic class: DSCP in the upper six bits, ECN in the lower two. -1: not known. */
TORQUE_API int32_t torque_datagrams_class(const struct torque_datagrams *batch, uint32_t i);

/* Answer one: torque_datagram_send() to its peer, from the address that it was sent to if that is known, and on its
 * socket. What lies within the batch is not copied. Errors: as there; INVAL; SYSCALL + EDESTADDRREQ it has no address. */
TORQUE_API torque_err torque_datagrams_reply(struct torque_datagrams *batch, uint32_t i, const void *data,
                                             uint32_t size);

/* An error of the socket, or 0. ECONNREFUSED, EHOSTUNREACH and so on: the network's answer to something that was sent
 * earlier on a connected socket. The source goes on. (The system merges such errors.) */
TORQUE_API torque_err torque_datagrams_error(const struct torque_datagrams *batch);

/* 1: sending was refused with EAGAIN, and now half of the queue is free. */
TORQUE_API int32_t torque_datagrams_has_room(const struct torque_datagrams *batch);

/* How many accepted datagrams could not be sent since the last call. Of the first 16 it is told which, by i: why, the
 * size, and the peer (*ret_addrlen 0: the one that the socket is connected to). Null and 0 beyond. */
TORQUE_API uint64_t torque_datagrams_failed(const struct torque_datagrams *batch);
TORQUE_API torque_err torque_datagrams_failure(const struct torque_datagrams *batch, uint32_t i);
TORQUE_API uint32_t torque_datagrams_failure_size(const struct torque_datagrams *batch, uint32_t i);
TORQUE_API const void *torque_datagrams_failure_peer(const struct torque_datagrams *batch, uint32_t i,
                                                     uint32_t *ret_addrlen);

TORQUE_END_DECLS

#endif
