// SPDX-License-Identifier: BSD-3-Clause
#include "kinds/network/netlink.hh"

#include <linux/if_addr.h>
#include <linux/neighbour.h>
#include <linux/netlink.h>
#include <linux/rtnetlink.h>
#include <sys/socket.h>

#include <cerrno>
#include <cstring>

namespace torque::netlink {

namespace {

constexpr size_t aligned(size_t n) noexcept { return (n + 3) & ~size_t{3}; }

// The fixed part of a message; false: it is shorter.
template <class T>
bool read_head(const Message &m, T *ret) noexcept {
  if (m.size < sizeof *ret) return false;
  std::memcpy(ret, m.body, sizeof *ret);
  return true;
}

struct Attribute {
  uint16_t type;
  const char *data;
  size_t size;

  uint32_t number() const noexcept {
    uint32_t n = 0;
    if (size >= sizeof n) std::memcpy(&n, data, sizeof n);
    return n;
  }
  void text(char *to, size_t room) const noexcept {
    const size_t n = ::strnlen(data, size < room - 1 ? size : room - 1);
    std::memcpy(to, data, n);
    to[n] = 0;
  }
  void bytes(const void **ret, uint32_t *ret_size) const noexcept {
    *ret = data;
    *ret_size = static_cast<uint32_t>(size);
  }
};

// Calls f with each attribute that is whole.
template <class F>
void each_attribute(const char *data, size_t size, F f) noexcept {
  while (size >= sizeof(rtattr)) {
    rtattr a;
    std::memcpy(&a, data, sizeof a);
    if (a.rta_len < sizeof a || a.rta_len > size) return;
    f(Attribute{static_cast<uint16_t>(a.rta_type & ~(NLA_F_NESTED | NLA_F_NET_BYTEORDER)), data + sizeof a,
                a.rta_len - sizeof a});
    const size_t step = aligned(a.rta_len);
    if (step >= size) return;
    data += step;
    size -= step;
  }
}

template <class T, class F>
void each_attribute(const Message &m, const T &, F f) noexcept {
  const size_t head = aligned(sizeof(T));
  if (m.size > head) each_attribute(m.body + head, m.size - head, f);
}

bool read_link(const Message &m, torque_network_event *e) noexcept {
  ifinfomsg head;
  if (!read_head(m, &head)) return false;
  // What a bridge says of its ports is not about the link itself.
  if (head.ifi_family != AF_UNSPEC) return false;
  e->kind = TORQUE_NETWORK_LINKS;
  e->index = head.ifi_index;
  e->flags = head.ifi_flags;
  each_attribute(m, head, [e](const Attribute &a) {
    if (a.type == IFLA_IFNAME) a.text(e->name, sizeof e->name);
    if (a.type == IFLA_MTU) e->mtu = a.number();
    if (a.type == IFLA_ADDRESS) a.bytes(&e->hardware, &e->hardware_size);
    if (a.type == IFLA_OPERSTATE && a.size > 0) e->state = static_cast<unsigned char>(*a.data);
  });
  return true;
}

bool read_address(const Message &m, torque_network_event *e) noexcept {
  ifaddrmsg head;
  if (!read_head(m, &head)) return false;
  e->kind = TORQUE_NETWORK_ADDRESSES;
  e->index = static_cast<int32_t>(head.ifa_index);
  e->family = head.ifa_family;
  e->prefix = head.ifa_prefixlen;
  e->flags = head.ifa_flags;
  bool local = false;
  each_attribute(m, head, [e, &local](const Attribute &a) {
    // With a peer, IFA_ADDRESS is the peer's.
    if (a.type == IFA_LOCAL || (a.type == IFA_ADDRESS && !local)) a.bytes(&e->address, &e->address_size);
    if (a.type == IFA_LOCAL) local = true;
    if (a.type == IFA_LABEL) a.text(e->name, sizeof e->name);
    if (a.type == IFA_FLAGS) e->flags = a.number();
  });
  return true;
}

// The first of several ways.
void read_hops(const Attribute &hops, torque_network_event *e) noexcept {
  rtnexthop hop;
  if (hops.size < sizeof hop) return;
  std::memcpy(&hop, hops.data, sizeof hop);
  if (hop.rtnh_len < sizeof hop || hop.rtnh_len > hops.size) return;
  e->index = hop.rtnh_ifindex;
  each_attribute(hops.data + sizeof hop, hop.rtnh_len - sizeof hop, [e](const Attribute &a) {
    if (a.type == RTA_GATEWAY) a.bytes(&e->gateway, &e->gateway_size);
  });
}

bool read_route(const Message &m, torque_network_event *e) noexcept {
  rtmsg head;
  if (!read_head(m, &head)) return false;
  if (head.rtm_family != AF_INET && head.rtm_family != AF_INET6) return false;
  e->kind = TORQUE_NETWORK_ROUTES;
  e->family = head.rtm_family;
  e->prefix = head.rtm_dst_len;
  e->flags = head.rtm_flags;
  e->table = head.rtm_table;
  each_attribute(m, head, [e](const Attribute &a) {
    if (a.type == RTA_DST) a.bytes(&e->address, &e->address_size);
    if (a.type == RTA_GATEWAY) a.bytes(&e->gateway, &e->gateway_size);
    if (a.type == RTA_OIF) e->index = static_cast<int32_t>(a.number());
    if (a.type == RTA_PRIORITY) e->metric = a.number();
    if (a.type == RTA_TABLE) e->table = a.number();
    if (a.type == RTA_MULTIPATH) read_hops(a, e);
  });
  return true;
}

bool read_neighbour(const Message &m, torque_network_event *e) noexcept {
  ndmsg head;
  if (!read_head(m, &head)) return false;
  if (head.ndm_family != AF_INET && head.ndm_family != AF_INET6) return false;
  e->kind = TORQUE_NETWORK_NEIGHBOURS;
  e->family = head.ndm_family;
  e->index = head.ndm_ifindex;
  e->flags = head.ndm_flags;
  e->state = head.ndm_state;
  each_attribute(m, head, [e](const Attribute &a) {
    if (a.type == NDA_DST) a.bytes(&e->address, &e->address_size);
    if (a.type == NDA_LLADDR) a.bytes(&e->hardware, &e->hardware_size);
  });
  e->prefix = e->address_size * 8;
  return true;
}

}  // namespace

bool next_message(const char *data, size_t size, size_t *at, Message *ret) noexcept {
  nlmsghdr h;
  if (*at > size || size - *at < sizeof h) return false;
  std::memcpy(&h, data + *at, sizeof h);
  if (h.nlmsg_len < sizeof h || h.nlmsg_len > size - *at) return false;
  *ret = {h.nlmsg_type, h.nlmsg_flags, h.nlmsg_seq, h.nlmsg_pid, data + *at + sizeof h, h.nlmsg_len - sizeof h};
  const size_t step = aligned(h.nlmsg_len);
  *at = step > size - *at ? size : *at + step;
  return true;
}

bool read_event(const Message &m, torque_network_event *ret) noexcept {
  *ret = {};
  switch (m.type) {
    case RTM_DELLINK:
    case RTM_DELADDR:
    case RTM_DELROUTE:
    case RTM_DELNEIGH:
      ret->what = TORQUE_NETWORK_REMOVED;
      break;
    default:
      ret->what = TORQUE_NETWORK_CHANGED;
  }
  switch (m.type) {
    case RTM_NEWLINK:
    case RTM_DELLINK:
      return read_link(m, ret);
    case RTM_NEWADDR:
    case RTM_DELADDR:
      return read_address(m, ret);
    case RTM_NEWROUTE:
    case RTM_DELROUTE:
      return read_route(m, ret);
    case RTM_NEWNEIGH:
    case RTM_DELNEIGH:
      return read_neighbour(m, ret);
    default:
      return false;
  }
}

int error_of(const Message &m) noexcept {
  int32_t e = 0;
  if (m.size < sizeof e) return EPROTO;
  std::memcpy(&e, m.body, sizeof e);
  return e < 0 && e > INT32_MIN ? -e : 0;
}

}  // namespace torque::netlink

extern "C" {

int32_t torque_network_event_what(const struct torque_network_event *event) { return event ? event->what : 0; }
uint32_t torque_network_event_kind(const struct torque_network_event *event) { return event ? event->kind : 0; }
int32_t torque_network_event_index(const struct torque_network_event *event) { return event ? event->index : 0; }
const char *torque_network_event_name(const struct torque_network_event *event) { return event ? event->name : ""; }
uint32_t torque_network_event_flags(const struct torque_network_event *event) { return event ? event->flags : 0; }
uint32_t torque_network_event_mtu(const struct torque_network_event *event) { return event ? event->mtu : 0; }
uint32_t torque_network_event_state(const struct torque_network_event *event) { return event ? event->state : 0; }
int32_t torque_network_event_family(const struct torque_network_event *event) { return event ? event->family : 0; }
uint32_t torque_network_event_prefix(const struct torque_network_event *event) { return event ? event->prefix : 0; }
uint32_t torque_network_event_table(const struct torque_network_event *event) { return event ? event->table : 0; }
uint32_t torque_network_event_metric(const struct torque_network_event *event) { return event ? event->metric : 0; }

const void *torque_network_event_hardware(const struct torque_network_event *event, uint32_t *ret_size) {
  if (ret_size) *ret_size = event ? event->hardware_size : 0;
  return event ? event->hardware : nullptr;
}
const void *torque_network_event_address(const struct torque_network_event *event, uint32_t *ret_size) {
  if (ret_size) *ret_size = event ? event->address_size : 0;
  return event ? event->address : nullptr;
}
const void *torque_network_event_gateway(const struct torque_network_event *event, uint32_t *ret_size) {
  if (ret_size) *ret_size = event ? event->gateway_size : 0;
  return event ? event->gateway : nullptr;
}

}  // extern "C"
