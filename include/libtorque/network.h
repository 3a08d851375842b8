/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef LIBTORQUE_NETWORK_H
#define LIBTORQUE_NETWORK_H

#include <libtorque/source.h>

TORQUE_BEGIN_DECLS

/* Kinds of objects: which to report, and which an event is about. */
enum {
  TORQUE_NETWORK_LINKS = 0x1,     /* interfaces */
  TORQUE_NETWORK_ADDRESSES = 0x2, /* addresses of interfaces */
  TORQUE_NETWORK_ROUTES = 0x4,
  TORQUE_NETWORK_NEIGHBOURS = 0x8 /* hardware addresses of other hosts */
};

enum {
  /* Report the existing objects first, and then COMPLETE; again after an overflow. */
  TORQUE_NETWORK_DUMP = 0x1
};

/* What an event reports. */
enum {
  TORQUE_NETWORK_CHANGED = 1,  /* the object is new, or has changed */
  TORQUE_NETWORK_REMOVED = 2,  /* the object was removed */
  TORQUE_NETWORK_PRESENT = 3,  /* the object exists (TORQUE_NETWORK_DUMP) */
  TORQUE_NETWORK_COMPLETE = 4, /* all existing objects have been reported */
  TORQUE_NETWORK_OVERFLOW = 5  /* events were lost: discard all earlier state; with DUMP all objects are reported
                                * again */
};

/* One event. Valid only during the callback. Properties that an event does not have are 0 or empty. */
struct torque_network_event;
TORQUE_API int32_t torque_network_event_what(const struct torque_network_event *event);
TORQUE_API uint32_t torque_network_event_kind(const struct torque_network_event *event); /* one TORQUE_NETWORK_* bit */
/* The number of the interface; for a route, that of the outgoing interface. The name of the interface (links), or the
 * label of the address. */
TORQUE_API int32_t torque_network_event_index(const struct torque_network_event *event);
TORQUE_API const char *torque_network_event_name(const struct torque_network_event *event);
/* Links: IFF_UP, IFF_RUNNING and so on. Addresses: IFA_F_*. Routes: RTM_F_*. Neighbours: NTF_*. */
TORQUE_API uint32_t torque_network_event_flags(const struct torque_network_event *event);
TORQUE_API uint32_t torque_network_event_mtu(const struct torque_network_event *event);
/* Links: IF_OPER_UP (6) and so on. Neighbours: NUD_*. */
TORQUE_API uint32_t torque_network_event_state(const struct torque_network_event *event);
/* AF_INET or AF_INET6; 0 for links. */
TORQUE_API int32_t torque_network_event_family(const struct torque_network_event *event);
/* Bytes in network order; *ret_size gets their number (ret_size may be null). Hardware address: of links and
 * neighbours. Address: of an interface or a neighbour, or the destination of a route (none for the default route).
 * Gateway: of routes. Prefix: the prefix length of the address in bits. */
TORQUE_API const void *torque_network_event_hardware(const struct torque_network_event *event, uint32_t *ret_size);
TORQUE_API const void *torque_network_event_address(const struct torque_network_event *event, uint32_t *ret_size);
TORQUE_API const void *torque_network_event_gateway(const struct torque_network_event *event, uint32_t *ret_size);
TORQUE_API uint32_t torque_network_event_prefix(const struct torque_network_event *event);
/* Routes: the table (254 is the main table), and the metric. */
TORQUE_API uint32_t torque_network_event_table(const struct torque_network_event *event);
TORQUE_API uint32_t torque_network_event_metric(const struct torque_network_event *event);

/* Called for each event, in the order in which the system reports the changes. */
typedef void torque_network_fn(torque_source source, const struct torque_network_event *event, void *arg);

/* Reports changes of the network's state, in the network namespace of the calling thread. kinds: TORQUE_NETWORK_LINKS
 * and so on. flags is 0 or TORQUE_NETWORK_DUMP.
 * Errors: INVAL (no callback; no kinds, or unknown kinds; unknown flags); UNAVAIL (the system has no rtnetlink);
 *         RESOURCE; STOPPED; FORKED; SYSCALL + EMFILE, ENFILE, ENOMEM, ENOBUFS, ENOSPC. */
TORQUE_API torque_err torque_network_add(struct torque_ctx *ctx, uint32_t kinds, uint32_t flags, torque_network_fn *fn,
                                         void *arg, torque_source *ret_source) TORQUE_CHECKED;
/* Creates the source without starting it; call torque_source_start(). Changes between creation and start are reported
 * after the start. */
TORQUE_API torque_err torque_network_new(struct torque_ctx *ctx, uint32_t kinds, uint32_t flags, torque_network_fn *fn,
                                         void *arg, torque_source *ret_source) TORQUE_CHECKED;

TORQUE_END_DECLS

#endif
