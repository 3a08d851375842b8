/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef LIBTORQUE_DNS_H
#define LIBTORQUE_DNS_H

#include <libtorque/source.h>
#include <stdint.h>

/* Looks up names and addresses, and connects to hosts, without blocking a thread of the context. This is an add-on
 * library, libtorque_dns.so.1 (pkg-config: libtorque-dns), so programs that need no resolver do not need c-ares.
 *
 * A call that starts a request returns at once. If it returns 0, its callback is called exactly once, on a thread of
 * the context. The callbacks of one resolver never run at the same time. */

TORQUE_BEGIN_DECLS

struct in_addr;
struct torque_ctx;

/* A resolver: its servers, its settings and its outstanding requests. It has open descriptors only while queries are in
 * flight.
 *
 * The pointer is a handle that is never reused for another resolver. Any thread may make any of these calls at any
 * time, even while the resolver is freed or its context stops, and after that. Calls that come too late return STOPPED,
 * or STALE if they refer to a query. */
struct torque_resolver;

/* One request: a query, a lookup or a dial. A value that the same resolver never reuses; 0 is never a valid request. */
typedef uint64_t torque_query;

/* ---- The resolver ---- */

/* Creates a resolver for a context, threaded or driven. It follows /etc/resolv.conf, /etc/nsswitch.conf and /etc/hosts,
 * and notices changes of these files. The call starts no thread and opens no descriptor.
 * Thread: any.
 * Errors: INVAL; RESOURCE; STOPPED; FORKED. */
TORQUE_API torque_err torque_resolver_new(struct torque_ctx *ctx, struct torque_resolver **ret_resolver) TORQUE_CHECKED;

/* Frees a resolver. Outstanding requests end with SYSCALL + ECANCELED; their callbacks may run after the call has
 * returned. If the context stops, the same happens within torque_stop(); free the resolver before or after that.
 * Freeing it again has no effect. In a child that was forked after the first request, the call has no effect, and no
 * callbacks run for the requests of the parent. Null is ignored.
 * Thread: any, the resolver's own callbacks included. */
TORQUE_API void torque_resolver_free(struct torque_resolver *resolver);

/* Settings. Each may be changed at any time, and applies to later requests.
 * Thread: any.
 * Errors: INVAL; RESOURCE; STOPPED (the resolver was freed). */

/* The servers, in the order in which they are tried: "127.0.0.1, 192.0.2.1:5353, [::1]:5353". Null: the system's. */
TORQUE_API torque_err torque_resolver_set_servers(struct torque_resolver *resolver, const char *servers);
/* How long to wait for a server's answer, from 1 ms to 1 hour, doubled with each round through the servers; and the
 * number of rounds, up to 100, and as many again over TCP. 0: the system's, which are 5 s and 4 unless resolv.conf sets
 * them. */
TORQUE_API torque_err torque_resolver_set_timeout(struct torque_resolver *resolver, uint64_t timeout_ns);
TORQUE_API torque_err torque_resolver_set_tries(struct torque_resolver *resolver, uint32_t tries);
/* Search domains for names with fewer dots than ndots: "example.org, lan". "": none. Null: the system's. */
TORQUE_API torque_err torque_resolver_set_search(struct torque_resolver *resolver, const char *domains);
/* At most 15. -1: the system's. */
TORQUE_API torque_err torque_resolver_set_ndots(struct torque_resolver *resolver, int32_t ndots);
/* A file in the format of hosts(5). "": none. Null: /etc/hosts. */
TORQUE_API torque_err torque_resolver_set_hosts_file(struct torque_resolver *resolver, const char *path);
/* The sources that torque_resolve() uses, in order: "f" for the hosts file, "b" for the name servers; "fb" and "bf" for
 * both. Null: the system's. */
TORQUE_API torque_err torque_resolver_set_lookups(struct torque_resolver *resolver, const char *lookups);
/* The largest number of queries that are in flight at a time, up to 50,000. Other queries wait. 0: the default, 256,
 * which fits into the receive buffers of most servers. */
TORQUE_API torque_err torque_resolver_set_max_in_flight(struct torque_resolver *resolver, uint32_t max);
/* The number of queries after which the resolver replaces its sockets, and thus the source ports; at most 1000. 0: the
 * default, 1000. */
TORQUE_API torque_err torque_resolver_set_udp_max_queries(struct torque_resolver *resolver, uint32_t max);

enum {
  TORQUE_RESOLVER_TCP = 0x1,       /* never use UDP */
  TORQUE_RESOLVER_NO_SEARCH = 0x2, /* do not use search domains */
  TORQUE_RESOLVER_EDNS = 0x4,      /* accept responses of up to 1232 bytes over UDP */
  TORQUE_RESOLVER_ROTATE = 0x8     /* start with a different server each time */
};
TORQUE_API torque_err torque_resolver_set_flags(struct torque_resolver *resolver, uint32_t flags);

/* Returns the number of requests whose callbacks have not been called yet, including those that wait. */
TORQUE_API uint64_t torque_resolver_outstanding(const struct torque_resolver *resolver);

/* Cancels a query, lookup or dial: its callback is called soon with SYSCALL + ECANCELED, and not again.
 * Thread: any.
 * Errors: STALE (the callback has started, the request was cancelled before, or the resolver was freed); FORKED. */
TORQUE_API torque_err torque_resolver_cancel(struct torque_resolver *resolver, torque_query query);

/* ---- Records ---- */

enum {
  TORQUE_DNS_A = 1,
  TORQUE_DNS_NS = 2,
  TORQUE_DNS_CNAME = 5,
  TORQUE_DNS_SOA = 6,
  TORQUE_DNS_PTR = 12,
  TORQUE_DNS_MX = 15,
  TORQUE_DNS_TXT = 16,
  TORQUE_DNS_AAAA = 28,
  TORQUE_DNS_SRV = 33,
  TORQUE_DNS_NAPTR = 35,
  TORQUE_DNS_SVCB = 64,
  TORQUE_DNS_HTTPS = 65,
  TORQUE_DNS_ANY = 255,
  TORQUE_DNS_CAA = 257
};

/* The response of a server. It, and everything that its functions return, is valid until the callback returns. */
struct torque_answer;

/* err is 0 if there is at least one record of the requested type. Otherwise it is
 *   DNS_NODATA, DNS_NXDOMAIN, DNS_SERVFAIL, DNS_REFUSED, DNS_NOTIMP, DNS_FORMERR   the server returned this code
 *   DNS_BADRESP    the response is invalid: it is malformed, or its aliases form a loop
 *   DNS_NOSERVER   no server could be queried (unreachable, connection refused, no descriptor left)
 *   DNS_BADNAME    the name is not valid
 *   SYSCALL + ETIMEDOUT, SYSCALL + ECANCELED, RESOURCE
 *
 * answer is null unless a server has sent a valid response; it may be present even if err is not 0.
 * Thread: a worker of the context, or the thread that runs the driven context; never two at once for one resolver. */
typedef void torque_answer_fn(torque_query query, torque_err err, const struct torque_answer *answer, void *arg);

enum {
  TORQUE_QUERY_SEARCH = 0x1 /* use the search domains, as torque_resolve() does */
};

/* Queries the name servers for the records of a name. type is one of TORQUE_DNS_*, or the number of any other type.
 * Aliases are followed. ret_query may be null.
 * Errors: INVAL; RESOURCE; STOPPED (the context is stopping, or the resolver was freed); FORKED; SYSCALL + EAGAIN (the
 *         context has no threads yet, and none could be started). If the call fails, fn is not called. */
TORQUE_API torque_err torque_resolver_query(struct torque_resolver *resolver, const char *name, uint16_t type,
                                            uint32_t flags, torque_answer_fn *fn, void *arg, torque_query *ret_query);

/* Does the same for the PTR records (the names) of an address, a struct sockaddr_in or sockaddr_in6. */
TORQUE_API torque_err torque_resolver_query_address(struct torque_resolver *resolver, const void *addr,
                                                    uint32_t addrlen, torque_answer_fn *fn, void *arg,
                                                    torque_query *ret_query);

/* The records are those of the requested type, of the requested name or of a name that it is an alias for; i counts
 * from 0. For a record that does not exist, or a property that its type does not have, the functions return 0 or null.
 * A null answer has no records. */
TORQUE_API uint32_t torque_answer_count(const struct torque_answer *answer);
TORQUE_API uint16_t torque_answer_type(const struct torque_answer *answer, uint32_t i);
TORQUE_API uint32_t torque_answer_ttl(const struct torque_answer *answer, uint32_t i); /* in seconds */
/* Names are in presentation format without a trailing dot (the root is "."). Unprintable bytes are \DDD. */
TORQUE_API const char *torque_answer_owner(const struct torque_answer *answer, uint32_t i);
/* A, AAAA: the address as text. */
TORQUE_API const char *torque_answer_address(const struct torque_answer *answer, uint32_t i);
/* CNAME, PTR, NS, MX, SRV: the name that the record points to. */
TORQUE_API const char *torque_answer_target(const struct torque_answer *answer, uint32_t i);
/* MX: the priority is the preference. SRV: all three. */
TORQUE_API uint16_t torque_answer_priority(const struct torque_answer *answer, uint32_t i);
TORQUE_API uint16_t torque_answer_weight(const struct torque_answer *answer, uint32_t i);
TORQUE_API uint16_t torque_answer_port(const struct torque_answer *answer, uint32_t i);
/* TXT: the number of strings, and each string. A string may contain any byte, and is followed by a null byte that
 * *ret_len does not count. */
TORQUE_API uint32_t torque_answer_strings(const struct torque_answer *answer, uint32_t i);
TORQUE_API const char *torque_answer_string(const struct torque_answer *answer, uint32_t i, uint32_t j,
                                            uint32_t *ret_len);
/* Every type: the data as received; names in it may be compressed. */
TORQUE_API const void *torque_answer_data(const struct torque_answer *answer, uint32_t i, uint32_t *ret_len);
/* The names on the way from the requested name: alias i is an alias for alias i + 1, and the last one for the owner of
 * the records. */
TORQUE_API uint32_t torque_answer_aliases(const struct torque_answer *answer);
TORQUE_API const char *torque_answer_alias(const struct torque_answer *answer, uint32_t i);
/* The response code (0 NOERROR, 2 SERVFAIL, 3 NXDOMAIN ...), and the whole message. */
TORQUE_API uint16_t torque_answer_rcode(const struct torque_answer *answer);
TORQUE_API const void *torque_answer_message(const struct torque_answer *answer, uint32_t *ret_len);

/* ---- Addresses ---- */

/* The addresses of a host, the preferred one first (RFC 6724). Valid until the callback returns. */
struct torque_addresses;

/* err is 0 if there is at least one address; otherwise it is one of the errors of torque_answer_fn, and addresses is
 * null. */
typedef void torque_addresses_fn(torque_query query, torque_err err, const struct torque_addresses *addresses,
                                 void *arg);

enum {
  TORQUE_RESOLVE_NUMERIC = 0x1, /* host must be an address as text; no server is queried */
  TORQUE_RESOLVE_PASSIVE = 0x2, /* a null host means the wildcard address, to listen on; without this flag the
                                 * loopback address */
  TORQUE_RESOLVE_DATAGRAM = 0x4 /* service is a UDP service */
};

/* Looks up a host like getaddrinfo(3). host is an address as text (also in the forms of inet_aton(3), "127.1"), or a
 * name that is looked up in the hosts file and with the name servers and search domains. "localhost" is never queried.
 * service is a number, a name of /etc/services, or null for port 0. family is AF_UNSPEC, AF_INET or AF_INET6. ret_query
 * may be null.
 * Errors: as torque_resolver_query(); DNS_SERVICE (no such service). */
TORQUE_API torque_err torque_resolve(struct torque_resolver *resolver, const char *host, const char *service,
                                     int32_t family, uint32_t flags, torque_addresses_fn *fn, void *arg,
                                     torque_query *ret_query);

TORQUE_API uint32_t torque_addresses_count(const struct torque_addresses *addresses);
/* Returns a struct sockaddr_in or sockaddr_in6 with the service's port, and its length. */
TORQUE_API const void *torque_addresses_get(const struct torque_addresses *addresses, uint32_t i,
                                            uint32_t *ret_addrlen);
/* Returns the address as text, without the port. */
TORQUE_API const char *torque_addresses_text(const struct torque_addresses *addresses, uint32_t i);
/* Returns for how many seconds the address may be cached; UINT32_MAX if no server was queried. */
TORQUE_API uint32_t torque_addresses_ttl(const struct torque_addresses *addresses, uint32_t i);
/* Returns the canonical name of the host if the requested name is an alias, and null otherwise. */
TORQUE_API const char *torque_addresses_name(const struct torque_addresses *addresses);

/* ---- Connections ---- */

/* If err is 0, fd is connected, non-blocking and close-on-exec. It has no source, and belongs to the callback, which
 * keeps or closes it. Otherwise fd is -1, and err is the error of the last attempt, or, if there was no attempt, of the
 * lookup; SYSCALL + ETIMEDOUT if the time limit has expired; or SYSCALL + ECANCELED. */
typedef void torque_dial_fn(torque_query dial, torque_err err, int32_t fd, void *arg);

/* Looks up the addresses of host, connects to one of them by TCP as in RFC 8305 (Happy Eyeballs), and calls fn with the
 * connection. Addresses of IPv6 and IPv4 are tried alternately. The next attempt starts when an attempt has failed, or
 * delay_ns after the previous attempt started (0: 250 ms). The first attempt that succeeds is used, and the others are
 * closed. timeout_ns limits the whole operation, including the lookup; 0 or UINT64_MAX means no limit other than those
 * of the name servers and the system. flags is 0 or TORQUE_RESOLVE_NUMERIC.
 * Errors: as torque_resolve(); INVAL also if there is no service. */
TORQUE_API torque_err torque_dial(struct torque_resolver *resolver, const char *host, const char *service,
                                  int32_t family, uint32_t flags, uint64_t timeout_ns, uint64_t delay_ns,
                                  torque_dial_fn *fn, void *arg, torque_query *ret_query);

struct torque_stream_type;

/* Does the same, and makes the connection a stream (stream.h) of the given type, with its layers. Exactly one of two
 * things happens: open is called when the connection is established and the handshakes of all layers are complete, or
 * close is called with the error. timeout_ns limits all of this: lookup, connection and handshakes. Only the first
 * address that connects is used: if a handshake fails, the stream ends and no other address is tried.
 *
 * The stream exists at once. Output that is written before the stream is open is sent when it opens.
 * torque_source_remove() and torque_stream_abort() end the whole operation at any time. The stream's callbacks may run
 * before the call has returned. Once it is connected, the stream does not depend on the resolver. The library uses the
 * stream's finalizer; the program cannot set one.
 * Errors: as torque_dial() and torque_stream_await(). If the call fails, no callback is called. */
TORQUE_API torque_err torque_dial_stream(struct torque_resolver *resolver, const char *host, const char *service,
                                         int32_t family, uint32_t flags, uint64_t timeout_ns, uint64_t delay_ns,
                                         struct torque_stream_type *type, void *arg,
                                         torque_source *ret_stream) TORQUE_CHECKED;

/* ---- The call of the original libtorque: programs that were written for it compile unchanged ---- */

/* status is 0 or a torque_err. rrs.inaddr points to nrrs addresses. This structure does not change. */
typedef struct torque_dnsret {
  int status;
  int nrrs;
  union {
    struct in_addr *inaddr;
  } rrs;
} torque_dnsret;

typedef void (*libtorquednscb)(const torque_dnsret *, void *);

/* Looks up the IPv4 addresses of a name, with a resolver that the context creates for these lookups and frees at its
 * end. cb is called exactly once if the call returns 0.
 * Errors: as torque_resolve(). */
TORQUE_API torque_err torque_addlookup_dns(struct torque_ctx *ctx, const char *name, libtorquednscb cb,
                                           void *state) TORQUE_CHECKED;

/* Programs for the original call this function of adns, which they do not need here. */
#ifndef adns_strerror
#define adns_strerror(status) torque_errstr(status)
#endif

TORQUE_END_DECLS

#endif
