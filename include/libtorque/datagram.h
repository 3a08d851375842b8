/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef LIBTORQUE_DATAGRAM_H
#define LIBTORQUE_DATAGRAM_H

#include <libtorque/source.h>

TORQUE_BEGIN_DECLS

/* Datagram sources: sockets (UDP over IPv4 and IPv6, or AF_UNIX) that the library reads and writes for the program. One
 * system call receives or sends many datagrams.
 *
 * A source without traffic holds no buffer. While a domain has a datagram source, each of its workers has 1.3 MiB of
 * address space for receiving and sending; only the part that was used takes memory. */

/* What one call of the callback reports: datagrams, an error of the socket, failures of earlier sends, and that there
 * is room again, in any combination. The batch and everything that it refers to is valid only during the call, on the
 * calling thread. */
struct torque_datagrams;

/* Called when datagrams have arrived, or for another event of the batch. The library receives at most 256 datagrams (or
 * coalesced groups of datagrams) before it serves other sources.
 * Thread: one worker at a time. For a source with several sockets (TORQUE_DATAGRAM_REUSEPORT) several workers may run
 *         it at once, one for each socket, unless the source has a strand. */
typedef void torque_datagram_fn(torque_source source, struct torque_datagrams *batch, void *arg);

enum {
  TORQUE_DATAGRAM_GRO = 0x1,    /* let the kernel coalesce received datagrams of one peer (UDP_GRO, which remains
                                 * set): cheaper; the batch still contains the individual datagrams. No effect if not
                                 * supported */
  TORQUE_DATAGRAM_NO_GSO = 0x2, /* send each datagram individually. Default: equal ones to one peer as one unit
                                 * (UDP_SEGMENT) */
  TORQUE_DATAGRAM_LOCAL = 0x4,  /* report the local address that each was sent to, and reply from it (IP_PKTINFO) */
  TORQUE_DATAGRAM_CLASS = 0x8,  /* report the traffic class with the ECN bits (IP_RECVTOS, IPV6_RECVTCLASS) */
  TORQUE_DATAGRAM_REUSEPORT = 0x10 /* torque_datagram_bind_*() only: SO_REUSEPORT, and one socket for each domain */
};

/* Uses a datagram socket of the caller, connected or not. The source uses a duplicate of fd: the caller may close fd at
 * any time, and the socket lives until both are closed. It need not be non-blocking. torque_datagram_new() does not
 * start the source; call torque_source_start().
 * Errors: INVAL (no callback; unknown flags; not a datagram socket); RESOURCE; STOPPED; FORKED; SYSCALL + EBADF,
 *         EMFILE, ENOTSOCK, ENOSPC, ENOMEM, or an error of setsockopt(2) for LOCAL and CLASS (EOPNOTSUPP for AF_UNIX).
 */
TORQUE_API torque_err torque_datagram_add(struct torque_ctx *ctx, int32_t fd, uint32_t flags, torque_datagram_fn *fn,
                                          void *arg, torque_source *ret_source) TORQUE_CHECKED;
TORQUE_API torque_err torque_datagram_new(struct torque_ctx *ctx, int32_t fd, uint32_t flags, torque_datagram_fn *fn,
                                          void *arg, torque_source *ret_source) TORQUE_CHECKED;

/* Creates a socket and binds it to an address, a struct sockaddr of addrlen bytes; port 0 selects a free port. The
 * socket is closed when the source ends. With REUSEPORT there is one socket for each domain, and the kernel spreads
 * peers over them by a hash. torque_datagram_bind_new() does not start the source.
 * Errors: as torque_datagram_add(); SYSCALL + an error of socket(2) or bind(2). */
TORQUE_API torque_err torque_datagram_bind_add(struct torque_ctx *ctx, const void *addr, uint32_t addrlen,
                                               uint32_t flags, torque_datagram_fn *fn, void *arg,
                                               torque_source *ret_source) TORQUE_CHECKED;
TORQUE_API torque_err torque_datagram_bind_new(struct torque_ctx *ctx, const void *addr, uint32_t addrlen,
                                               uint32_t flags, torque_datagram_fn *fn, void *arg,
                                               torque_source *ret_source) TORQUE_CHECKED;

/* Possible only between creation and start (STATE otherwise).
 * size: the size of the largest datagram that can be received whole, from 1 byte to 1 MiB; default 65536. A larger
 * datagram is truncated, however it arrives. With a smaller size one system call receives more datagrams (64 with sizes
 * up to 16 KiB, 16 with 64 KiB), except with GRO.
 * limit: how many bytes may wait for room in the socket's send buffer; default 256 KiB. Each datagram counts as 64
 * bytes more than its size.
 * Errors: INVAL (out of range); STALE; KIND; STATE. */
TORQUE_API torque_err torque_datagram_set_size(torque_source source, uint32_t size);
TORQUE_API torque_err torque_datagram_set_queue(torque_source source, uint64_t limit);

/* Stores the address that the socket is bound to: at most size bytes in addr, and the full length in *ret_addrlen.
 * Errors: STALE; KIND; STATE (not started); SYSCALL + errno. */
TORQUE_API torque_err torque_datagram_address(torque_source source, void *addr, uint32_t size, uint32_t *ret_addrlen);

/* Sends size bytes to an address. If addrlen is 0, it sends to the address that the socket is connected to. The bytes
 * are copied.
 *
 * In the source's own callback, datagrams are collected and sent when the callback returns, with one system call if
 * possible; the next call of the callback reports errors (torque_datagrams_failed()). Elsewhere a datagram is sent at
 * once, and the call returns the system's error. If the send buffer is full, datagrams wait, and are sent when there is
 * room. The datagrams that one thread sends to one peer are sent in order.
 *
 * If the source has several sockets, a callback uses the socket that it serves; another thread uses the socket of its
 * domain.
 * Errors: SYSCALL + EAGAIN (the queue is full, and the datagram was not accepted; the callback is called when there is
 *         room. Or an AF_UNIX peer does not read; the datagram does not wait); SYSCALL + EDESTADDRREQ, EMSGSIZE,
 *         ENETUNREACH and so on; STALE; KIND; STATE (not started); INVAL; RESOURCE; FORKED. */
TORQUE_API torque_err torque_datagram_send(torque_source source, const void *addr, uint32_t addrlen, const void *data,
                                           uint32_t size);

/* Stores the number of bytes that wait for room, with 64 more for each datagram.
 * Errors: STALE; KIND; STATE (not started). */
TORQUE_API torque_err torque_datagram_queued(torque_source source, uint64_t *ret_bytes);

/* ---- In the callback ---- */

/* Returns the number of datagrams in the batch; 0 if the callback is called for another reason. The functions below
 * take i < count. Beyond it they return null or 0, or -1 for the traffic class. */
TORQUE_API uint32_t torque_datagrams_count(const struct torque_datagrams *batch);

/* Return the bytes of a datagram, and their number, which may be 0. */
TORQUE_API const void *torque_datagrams_data(const struct torque_datagrams *batch, uint32_t i);
TORQUE_API uint32_t torque_datagrams_size(const struct torque_datagrams *batch, uint32_t i);

/* Returns the original size, which is larger than torque_datagrams_size() if the datagram was truncated. */
TORQUE_API uint32_t torque_datagrams_full_size(const struct torque_datagrams *batch, uint32_t i);

/* Returns the address of the sender, a struct sockaddr; null, with *ret_addrlen 0, if the sender has none (AF_UNIX).
 * ret_addrlen may be null. */
TORQUE_API const void *torque_datagrams_peer(const struct torque_datagrams *batch, uint32_t i, uint32_t *ret_addrlen);

/* With TORQUE_DATAGRAM_LOCAL, returns the local address that the datagram was sent to: a struct sockaddr_in or
 * sockaddr_in6 with port 0. The scope of an IPv6 address is the number of the interface. Null: unknown. */
TORQUE_API const void *torque_datagrams_local(const struct torque_datagrams *batch, uint32_t i, uint32_t *ret_addrlen);

/* With TORQUE_DATAGRAM_CLASS, returns the traffic class: DSCP in the upper six bits, ECN in the lower two. -1: unknown.
 */
TORQUE_API int32_t torque_datagrams_class(const struct torque_datagrams *batch, uint32_t i);

/* Sends to the peer of a datagram like torque_datagram_send(), through the socket that received the datagram, and from
 * the address that it was sent to, if that is known. Bytes that lie within the batch are not copied.
 * Errors: as torque_datagram_send(); INVAL; SYSCALL + EDESTADDRREQ (the peer has no address). */
TORQUE_API torque_err torque_datagrams_reply(struct torque_datagrams *batch, uint32_t i, const void *data,
                                             uint32_t size);

/* Returns an error of the socket, or 0. Usually this is the network's response to something that was sent earlier on a
 * connected socket (ECONNREFUSED, EHOSTUNREACH). The system merges such errors. The source continues. */
TORQUE_API torque_err torque_datagrams_error(const struct torque_datagrams *batch);

/* Returns 1 if sending failed with EAGAIN before, and half of the queue is free now. */
TORQUE_API int32_t torque_datagrams_has_room(const struct torque_datagrams *batch);

/* Returns the number of datagrams that were accepted and could not be sent, since the last call of the callback. For
 * the first 16 of them, the other functions return the error, the size, and the destination (null, with *ret_addrlen 0,
 * if the socket is connected). Beyond those they return null and 0. */
TORQUE_API uint64_t torque_datagrams_failed(const struct torque_datagrams *batch);
TORQUE_API torque_err torque_datagrams_failure(const struct torque_datagrams *batch, uint32_t i);
TORQUE_API uint32_t torque_datagrams_failure_size(const struct torque_datagrams *batch, uint32_t i);
TORQUE_API const void *torque_datagrams_failure_peer(const struct torque_datagrams *batch, uint32_t i,
                                                     uint32_t *ret_addrlen);

TORQUE_END_DECLS

#endif
