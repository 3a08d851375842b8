/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef LIBTORQUE_NETWORK_H
#define LIBTORQUE_NETWORK_H

#include <libtorque/source.h>

TORQUE_BEGIN_DECLS

/* What of the network's state to tell; and what an event is about. */
enum {
  TORQUE_NETWORK_LINKS = 0x1,     /* interfaces */
  TORQUE_NETWORK_ADDRESSES = 0x2, /* of interfaces */
  TORQUE_NETWORK_ROUTES = 0x4,
  TORQUE_NETWORK_NEIGHBOURS = 0x8 /* hardware addresses of others */
};

enum {
  /* Tell first what there is, and then that this was all; again after something was lost. */
  TORQUE_NETWORK_DUMP = 0x1
};

/* What an event says. */
enum {
  TORQUE_NETWORK_CHANGED = 1,  /* it is new, or has changed */
  TORQUE_NETWORK_REMOVED = 2,  /* it is gone */
  TORQUE_NETWORK_PRESENT = 3,  /* it is there: TORQUE_NETWORK_DUMP */
  TORQUE_NETWORK_COMPLETE = 4, /* all that there is has been told */
  TORQUE_NETWORK_OVERFLOW = 5  /* events were lost: forget what was told; with TORQUE_NETWORK_DUMP all is told anew */
};

/* One event. Valid during the callback. What an event does not say is 0, or empty. */
struct torque_network_event;
TORQUE_API int32_t torque_network_event_what(const struct torque_network_event *event);
TORQUE_API uint32_t torque_network_event_kind(const struct torque_network_event *event); /* one TORQUE_NETWORK_* bit */
/* The interface: its number; of a route, where it leads. Its name (links), or the label of the address. */
TORQUE_API int32_t torque_network_event_index(const struct torque_network_event *event);
TORQUE_API const char *torque_network_event_name(const struct torque_network_event *event);
/* Links: IFF_UP, IFF_RUNNING and so on. Addresses: IFA_F_*. Routes: RTM_F_*. Neighbours: NTF_*. */
TORQUE_API uint32_t torque_network_event_flags(const struct torque_network_event *event);
TORQUE_API uint32_t torque_network_event_mtu(const struct torque_network_event *event);
/* Links: IFLA_OPERSTATE (6: up). Neighbours: NUD_*. */
TORQUE_API uint32_t torque_network_event_state(const struct torque_network_event *event);
/* AF_INET, AF_INET6; 0 for links. */
TORQUE_API int32_t torque_network_event_family(const struct torque_network_event *event);
/* Bytes in network order, and how many. Hardware address: links, neighbours. Address: that of an interface or a
 * neighbour, or where a route leads (none: everywhere), of which the first prefix bits count. Gateway: routes. */
TORQUE_API const void *torque_network_event_hardware(const struct torque_network_event *event, uint32_t *ret_size);
TORQUE_API const void *torque_network_event_address(const struct torque_network_event *event, uint32_t *ret_size);
TORQUE_API const void *torque_network_event_gateway(const struct torque_network_event *event, uint32_t *ret_size);
TORQUE_API uint32_t torque_network_event_prefix(const struct torque_network_event *event);
/* Routes: the table (254: main), and the metric. */
TORQUE_API uint32_t torque_network_event_table(const struct torque_network_event *event);
TORQUE_API uint32_t torque_network_event_metric(const struct torque_network_event *event);

/* Called for each event, in the order in which the system tells them. */
typedef void torque_network_fn(torque_source source, const struct torque_network_event *event, void *arg);

/* Tell changes of the network's state, in the network namespace of the calling thread. kinds: TORQUE_NETWORK_LINKS and so
 * on. flags: 0 or TORQUE_NETWORK_DUMP.
 * Errors: INVAL; UNAVAIL the system has no rtnetlink; RESOURCE; STOPPED; FORKED; SYSCALL + EMFILE, ENFILE, ENOMEM,
 *         ENOBUFS, ENOSPC. */
TORQUE_API torque_err torque_network_add(struct torque_ctx *ctx, uint32_t kinds, uint32_t flags, torque_network_fn *fn,
                                         void *arg, torque_source *ret_source) TORQUE_CHECKED;
/* The same, to be started by torque_source_start(); what happens from here on is told then. */
TORQUE_API torque_err torque_network_new(struct torque_ctx *ctx, uint32_t kinds, uint32_t flags, torque_network_fn *fn,
                                         void *arg, torque_source *ret_source) TORQUE_CHECKED;

TORQUE_END_DECLS

#endif
