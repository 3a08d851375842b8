/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef LIBTORQUE_DNS_H
#define LIBTORQUE_DNS_H

#include <libtorque/source.h>
#include <stdint.h>

/* Names to addresses, addresses to names, names to connections. This is an add-on library, libtorque_dns.so.1
 * (pkg-config: libtorque-dns), so that whoever needs no resolver need not have c-ares.
 *
 * A call that starts something answers at once; what it found comes to a callback, exactly once for each call that
 * returned 0, on a thread of the context. Callbacks of one resolver never run at the same time. */

TORQUE_BEGIN_DECLS

struct in_addr;
struct torque_ctx;

/* A resolver: its servers, its settings, and what has been asked of it. Descriptors are opened with the first question
 * and closed when nothing is outstanding.
 *
 * The pointer is a handle, never used again for another resolver: any thread may make any of these calls at any time,
 * while the resolver is freed or its context stops and after that. Those that come too late answer STOPPED, or STALE
 * where they speak of a query. */
struct torque_resolver;

/* One thing that was asked: a query, a lookup or a dial. A value, never used again by the same resolver; 0 is none. */
typedef uint64_t torque_query;

/* ---- The resolver ---- */

/* Make one for a context of either kind. It does as /etc/resolv.conf, /etc/nsswitch.conf and /etc/hosts say, and
 * notices when they change. Starts no thread and opens no descriptor. Thread: any. Errors: INVAL; RESOURCE; STOPPED;
 * FORKED. */
TORQUE_API torque_err torque_resolver_new(struct torque_ctx *ctx, struct torque_resolver **ret_resolver) TORQUE_CHECKED;

/* Give it up. What is outstanding ends with SYSCALL + ECANCELED, in callbacks that may come after this has returned.
 * When the context stops, the same happens within torque_stop(); free it before or after that (a second time is of no
 * effect). In a child that forked after the first question: frees the child's copy, calls nobody back. Thread: any, its own callbacks included.
 * Null: nothing. */
TORQUE_API void torque_resolver_free(struct torque_resolver *resolver);

/* Settings. Each may be made at any time, by any thread, and counts for what is asked afterwards.
 * Errors: INVAL; RESOURCE; STOPPED the resolver was freed. */

/* "127.0.0.1, 192.0.2.1:5353, [::1]:5353": servers in the order in which they are tried. Null: the system's. */
TORQUE_API torque_err torque_resolver_set_servers(struct torque_resolver *resolver, const char *servers);
/* How long a server has for its answer (doubled with each round of servers), from 1 ms to 1 hour, and how many rounds
 * there are, up to 100 (by TCP as many again). 0: the system's, which are 5 s and 4 unless resolv.conf says otherwise. */
TORQUE_API torque_err torque_resolver_set_timeout(struct torque_resolver *resolver, uint64_t timeout_ns);
TORQUE_API torque_err torque_resolver_set_tries(struct torque_resolver *resolver, uint32_t tries);
/* "example.org, lan": domains to try for names with fewer than ndots dots; "": none. Null: the system's. */
TORQUE_API torque_err torque_resolver_set_search(struct torque_resolver *resolver, const char *domains);
/* At most 15; -1: the system's. */
TORQUE_API torque_err torque_resolver_set_ndots(struct torque_resolver *resolver, int32_t ndots);
/* A file like /etc/hosts; "": none. Null: /etc/hosts. */
TORQUE_API torque_err torque_resolver_set_hosts_file(struct torque_resolver *resolver, const char *path);
/* "f" the hosts file, "b" the name servers, "fb", "bf": where torque_resolve() looks, in this order. Null: the
 * system's. */
TORQUE_API torque_err torque_resolver_set_lookups(struct torque_resolver *resolver, const char *lookups);
/* How many questions are with the servers at a time, up to 50,000; the rest waits its turn here. 0: the default, 256,
 * which the receive buffers of most servers hold. */
TORQUE_API torque_err torque_resolver_set_max_in_flight(struct torque_resolver *resolver, uint32_t max);
/* After so many questions the sockets, and so the source ports, are new ones; at most 1000. 0: the default, 1000. */
TORQUE_API torque_err torque_resolver_set_udp_max_queries(struct torque_resolver *resolver, uint32_t max);

enum {
  TORQUE_RESOLVER_TCP = 0x1,       /* never UDP */
  TORQUE_RESOLVER_NO_SEARCH = 0x2, /* names are complete as they are */
  TORQUE_RESOLVER_EDNS = 0x4,      /* ask for answers of up to 1232 bytes by UDP */
  TORQUE_RESOLVER_ROTATE = 0x8     /* begin with another server each time */
};
TORQUE_API torque_err torque_resolver_set_flags(struct torque_resolver *resolver, uint32_t flags);

/* How many have been asked and have not been answered, those that wait included. */
TORQUE_API uint64_t torque_resolver_outstanding(const struct torque_resolver *resolver);

/* End a query, lookup or dial: its callback is told SYSCALL + ECANCELED, and nothing else, soon.
 * Thread: any.
 * Errors: STALE its callback has begun, or it was cancelled before; FORKED. */
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

/* What the server said. Valid, with all that its accessors return, until the callback returns. */
struct torque_answer;

/* err: 0 and at least one record of the type asked for; or
 *   DNS_NODATA, DNS_NXDOMAIN, DNS_SERVFAIL, DNS_REFUSED, DNS_NOTIMP, DNS_FORMERR   the server said so
 *   DNS_BADRESP    what it said makes no sense (aliases in a circle, too)
 *   DNS_NOSERVER   no server could be asked (unreachable, connection refused, no descriptor left)
 *   DNS_BADNAME    not a name that can be asked for
 *   SYSCALL + ETIMEDOUT, SYSCALL + ECANCELED, RESOURCE
 * answer: null unless a server has answered with something that makes sense.
 * Thread: a worker of the context, or the one that runs the driven context; never two at once for one resolver. */
typedef void torque_answer_fn(torque_query query, torque_err err, const struct torque_answer *answer, void *arg);

enum {
  TORQUE_QUERY_SEARCH = 0x1 /* try the search domains, as torque_resolve() does */
};

/* Ask the name servers for the records of a name (a type by its number: TORQUE_DNS_*, or any other). Aliases are
 * followed. ret_query may be null. Errors: INVAL; RESOURCE; STOPPED the context, or the resolver was freed; FORKED;
 * SYSCALL + EAGAIN no thread to begin with. */
TORQUE_API torque_err torque_resolver_query(struct torque_resolver *resolver, const char *name, uint16_t type,
                                            uint32_t flags, torque_answer_fn *fn, void *arg, torque_query *ret_query);

/* The same for the names of an address (a struct sockaddr_in or sockaddr_in6): its PTR records. */
TORQUE_API torque_err torque_resolver_query_address(struct torque_resolver *resolver, const void *addr,
                                                    uint32_t addrlen, torque_answer_fn *fn, void *arg,
                                                    torque_query *ret_query);

/* Records are those of the type asked for, of the name or of what it is an alias for; i from 0. A wrong i, or a
 * question that does not fit the record: 0 or null. */
TORQUE_API uint32_t torque_answer_count(const struct torque_answer *answer);
TORQUE_API uint16_t torque_answer_type(const struct torque_answer *answer, uint32_t i);
TORQUE_API uint32_t torque_answer_ttl(const struct torque_answer *answer, uint32_t i); /* seconds */
/* Names are in presentation form, without a dot at the end; what is not printable is \DDD. The root is ".". */
TORQUE_API const char *torque_answer_owner(const struct torque_answer *answer, uint32_t i);
/* A, AAAA: the address in text. */
TORQUE_API const char *torque_answer_address(const struct torque_answer *answer, uint32_t i);
/* CNAME, PTR, NS, MX, SRV: the name that it points to. */
TORQUE_API const char *torque_answer_target(const struct torque_answer *answer, uint32_t i);
/* MX: the preference. SRV: priority, weight, port. */
TORQUE_API uint16_t torque_answer_priority(const struct torque_answer *answer, uint32_t i);
TORQUE_API uint16_t torque_answer_weight(const struct torque_answer *answer, uint32_t i);
TORQUE_API uint16_t torque_answer_port(const struct torque_answer *answer, uint32_t i);
/* TXT: how many strings, and each, which may contain any byte and ends with a 0 that *ret_len does not count. */
TORQUE_API uint32_t torque_answer_strings(const struct torque_answer *answer, uint32_t i);
TORQUE_API const char *torque_answer_string(const struct torque_answer *answer, uint32_t i, uint32_t j,
                                            uint32_t *ret_len);
/* Any type: the data as it came; names in it may be compressed. */
TORQUE_API const void *torque_answer_data(const struct torque_answer *answer, uint32_t i, uint32_t *ret_len);
/* The aliases on the way from the name asked for: alias i is for alias i + 1; the last for the owner of the records. */
TORQUE_API uint32_t torque_answer_aliases(const struct torque_answer *answer);
TORQUE_API const char *torque_answer_alias(const struct torque_answer *answer, uint32_t i);
/* The response code (0 NOERROR, 2 SERVFAIL, 3 NXDOMAIN ...), and the whole message. */
TORQUE_API uint16_t torque_answer_rcode(const struct torque_answer *answer);
TORQUE_API const void *torque_answer_message(const struct torque_answer *answer, uint32_t *ret_len);

/* ---- Addresses ---- */

/* The addresses of a host, best first (RFC 6724). Valid until the callback returns. */
struct torque_addresses;

/* err: 0 and at least one address, or as for torque_answer_fn; addresses: null unless err is 0. */
typedef void torque_addresses_fn(torque_query query, torque_err err, const struct torque_addresses *addresses,
                                 void *arg);

enum {
  TORQUE_RESOLVE_NUMERIC = 0x1, /* host is an address in text; nobody is asked */
  TORQUE_RESOLVE_PASSIVE = 0x2, /* a null host is the wildcard address, to bind to; else it is the loopback address */
  TORQUE_RESOLVE_DATAGRAM = 0x4 /* service is one of UDP */
};

/* Look a host up as getaddrinfo(3) does: an address in text (in the forms of inet_aton(3) as well: "127.1"), the hosts
 * file, the name servers with the search domains. "localhost" is never asked of a server. service: a number, a name of /etc/services, or null (port 0).
 * family: AF_UNSPEC, AF_INET or AF_INET6. ret_query may be null.
 * Errors: as torque_resolver_query(); DNS_SERVICE no such service. */
TORQUE_API torque_err torque_resolve(struct torque_resolver *resolver, const char *host, const char *service,
                                     int32_t family, uint32_t flags, torque_addresses_fn *fn, void *arg,
                                     torque_query *ret_query);

TORQUE_API uint32_t torque_addresses_count(const struct torque_addresses *addresses);
/* A struct sockaddr_in or sockaddr_in6 with the service's port. */
TORQUE_API const void *torque_addresses_get(const struct torque_addresses *addresses, uint32_t i,
                                            uint32_t *ret_addrlen);
/* The same in text, without the port. */
TORQUE_API const char *torque_addresses_text(const struct torque_addresses *addresses, uint32_t i);
/* Seconds; UINT32_MAX where nobody was asked. */
TORQUE_API uint32_t torque_addresses_ttl(const struct torque_addresses *addresses, uint32_t i);
/* What the host is really called, when the name that was asked for is an alias. Null: it is none. */
TORQUE_API const char *torque_addresses_name(const struct torque_addresses *addresses);

/* ---- Connections ---- */

/* err 0: fd is connected, non-blocking and close-on-exec, has no source yet, and is the callback's to keep or close.
 * Else fd is -1, and err is why there are no addresses, why the last attempt failed, SYSCALL + ETIMEDOUT, or
 * SYSCALL + ECANCELED. */
typedef void torque_dial_fn(torque_query dial, torque_err err, int32_t fd, void *arg);

/* Connect by TCP to one of a host's addresses, as RFC 8305 (Happy Eyeballs) says: IPv6 and IPv4 in turns, the next
 * attempt when one fails or has had delay_ns (0: 250 ms), the first that succeeds wins and the others are closed.
 * timeout_ns: for all of it, the lookup included; 0 or UINT64_MAX: as long as the system tries.
 * flags: TORQUE_RESOLVE_NUMERIC. Errors: as torque_resolve(); INVAL no service. */
TORQUE_API torque_err torque_dial(struct torque_resolver *resolver, const char *host, const char *service,
                                  int32_t family, uint32_t flags, uint64_t timeout_ns, uint64_t delay_ns,
                                  torque_dial_fn *fn, void *arg, torque_query *ret_query);

struct torque_stream_type;

/* The same, straight to a stream (stream.h) of that type: its layers are made and their handshakes are over when its open
 * is called, or its close says why not, with err as above; one of the two, as for any stream. timeout_ns is for all of
 * it: the lookup, the connecting, the handshakes of the layers. The first address that connects is the one; when a layer's
 * handshake with it fails that ends the stream, and no other is tried. The stream is there at once: what is written to it
 * is sent when it is open; torque_source_remove() or torque_stream_abort() ends all of it at any time. Callbacks may come
 * before this returns. Once it is connected it has no more to do with the resolver. Its finalizer is this call's.
 * Errors: as torque_dial(), and torque_stream_await(); then nothing is called. */
TORQUE_API torque_err torque_dial_stream(struct torque_resolver *resolver, const char *host, const char *service,
                                         int32_t family, uint32_t flags, uint64_t timeout_ns, uint64_t delay_ns,
                                         struct torque_stream_type *type, void *arg,
                                         torque_source *ret_stream) TORQUE_CHECKED;

/* ---- The call of the original libtorque: programs written for it compile unchanged ---- */

/* status: 0, or a torque_err. rrs.inaddr: nrrs addresses. Frozen. */
typedef struct torque_dnsret {
  int status;
  int nrrs;
  union {
    struct in_addr *inaddr;
  } rrs;
} torque_dnsret;

typedef void (*libtorquednscb)(const torque_dnsret *, void *);

/* Look up the IPv4 addresses of a name, with a resolver that the context has for this and that ends with it. cb is
 * called once. Errors: as torque_resolve(). */
TORQUE_API torque_err torque_addlookup_dns(struct torque_ctx *ctx, const char *name, libtorquednscb cb,
                                           void *state) TORQUE_CHECKED;

/* Programs for the original ask adns, which they do not have to have here. */
#ifndef adns_strerror
#define adns_strerror(status) torque_errstr(status)
#endif

TORQUE_END_DECLS

#endif
