// SPDX-License-Identifier: BSD-3-Clause
#include "channel.hh"

#include <limits.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/uio.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <new>
#include <utility>

#include "parse.hh"
#include "resolver.hh"

namespace torque_dns {

namespace {

constexpr uint64_t kMs = 1000000;
constexpr int kEdnsBytes = 1232;  // what arrives unfragmented nearly everywhere

void put(Socket *s) noexcept {
  if (s->refs.fetch_sub(1, std::memory_order_acq_rel) != 1) return;
  s->~Socket();
  std::free(s);
}

uint32_t events_of(int readable, int writable) noexcept {
  return (readable ? uint32_t{TORQUE_READ} : 0u) | (writable ? uint32_t{TORQUE_WRITE} : 0u);
}

// The options that ares_init_options() is told. It copies what it keeps.
struct Options {
  ares_options values = {};
  int mask = 0;
  Array<char *> domains;
  ~Options() {
    for (char *d : domains) std::free(d);
  }
  bool add_domains(const char *text) noexcept {
    const bool good = split_domains(text, [this](const char *domain, size_t size) {
      char *copy = ::strndup(domain, size);
      if (copy && domains.push(copy)) return true;
      std::free(copy);
      return false;
    });
    values.domains = domains.begin();
    values.ndomains = static_cast<int>(domains.size());
    mask |= ARES_OPT_DOMAINS;
    return good;
  }
};

bool fill(const Settings &s, bool strict, Options *o) noexcept {
  const auto has = [&](uint32_t flag) { return (s.numbers.flags & flag) != 0; };
  // Who sets HOSTALIASES is not always whom the process works for.
  o->values.flags =
      ARES_FLAG_NOALIASES | (strict ? 0 : ARES_FLAG_NOCHECKRESP) | (has(TORQUE_RESOLVER_TCP) ? ARES_FLAG_USEVC : 0) |
      (has(TORQUE_RESOLVER_NO_SEARCH) ? ARES_FLAG_NOSEARCH : 0) | (has(TORQUE_RESOLVER_EDNS) ? ARES_FLAG_EDNS : 0);
  o->mask = ARES_OPT_FLAGS | ARES_OPT_LOOKUPS | ARES_OPT_SOCK_STATE_CB;
  o->values.lookups = const_cast<char *>("b");
  if (has(TORQUE_RESOLVER_EDNS)) {
    o->values.ednspsz = kEdnsBytes;
    o->mask |= ARES_OPT_EDNSPSZ;
  }
  if (has(TORQUE_RESOLVER_ROTATE)) o->mask |= ARES_OPT_ROTATE;
  if (s.numbers.timeout_ns) {
    o->values.timeout = static_cast<int>((s.numbers.timeout_ns + kMs - 1) / kMs);
    o->mask |= ARES_OPT_TIMEOUTMS;
  }
  if (s.numbers.tries) {
    o->values.tries = static_cast<int>(s.numbers.tries);
    o->mask |= ARES_OPT_TRIES;
  }
  if (s.numbers.ndots >= 0) {
    o->values.ndots = s.numbers.ndots;
    o->mask |= ARES_OPT_NDOTS;
  }
  return !s.search.get() || o->add_domains(s.search.get());
}

torque_err use_servers(ares_channel channel, const char *text) noexcept {
  Array<Address> servers;
  if (parse_servers(text, &servers) != Parsed::ok) return TORQUE_ERR_RESOURCE;  // it was valid when it was set
  Array<ares_addr_port_node> nodes;
  if (!nodes.reserve(servers.size())) return TORQUE_ERR_RESOURCE;
  for (size_t i = 0; i < servers.size(); ++i) {
    const Address &a = servers[i];
    ares_addr_port_node n = {};
    n.next = i + 1 < servers.size() ? nodes.begin() + i + 1 : nullptr;
    n.family = a.family;
    n.udp_port = n.tcp_port = a.port();
    if (a.family == AF_INET)
      std::memcpy(&n.addr.addr4, &a.v4.sin_addr, sizeof n.addr.addr4);
    else
      std::memcpy(&n.addr.addr6, &a.v6.sin6_addr, sizeof n.addr.addr6);
    nodes.push_reserved(n);
  }
  return error_of(ares_set_servers_ports(channel, nodes.begin()));
}

// c-ares's system calls, as it makes them itself, but: descriptors are close-on-exec from the beginning; a connection
// that is closed raises no signal; and a datagram is sent although the one before has met nobody, so that the error is
// met where c-ares asks all of that server's queries again, in reading, and not taken away by a query that it does not
// belong to.
int open_socket(int family, int type, int protocol, void *) noexcept {
  const int fd = ::socket(family, type | SOCK_NONBLOCK | SOCK_CLOEXEC, protocol);
  const int on = 1;
  if (fd >= 0 && type == SOCK_STREAM) (void)::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);
  return fd;
}
int close_socket(int fd, void *) noexcept { return ::close(fd); }
int connect_socket(int fd, const sockaddr *to, socklen_t size, void *) noexcept { return ::connect(fd, to, size); }
ssize_t receive(int fd, void *data, size_t size, int flags, sockaddr *from, socklen_t *from_size, void *) noexcept {
  return ::recvfrom(fd, data, size, flags, from, from_size);
}
ssize_t send_pieces(int fd, const iovec *pieces, int count, void *) noexcept {
  msghdr message = {};
  message.msg_iov = const_cast<iovec *>(pieces);
  message.msg_iovlen = static_cast<size_t>(count < IOV_MAX ? count : IOV_MAX);
  const ssize_t n = ::sendmsg(fd, &message, MSG_NOSIGNAL);
  return n < 0 && errno == ECONNREFUSED ? ::sendmsg(fd, &message, MSG_NOSIGNAL) : n;
}
constexpr ares_socket_functions kSystemCalls = {open_socket, close_socket, connect_socket, receive, send_pieces};

}  // namespace

torque_err error_of(int status) noexcept {
  switch (status) {
    case ARES_SUCCESS:
      return TORQUE_ERR_NONE;
    case ARES_ENODATA:
      return TORQUE_ERR_DNS_NODATA;
    case ARES_ENOTFOUND:
    case ARES_ENONAME:
      return TORQUE_ERR_DNS_NXDOMAIN;
    case ARES_ESERVFAIL:
      return TORQUE_ERR_DNS_SERVFAIL;
    case ARES_EREFUSED:
      return TORQUE_ERR_DNS_REFUSED;
    case ARES_ENOTIMP:
      return TORQUE_ERR_DNS_NOTIMP;
    case ARES_EFORMERR:
      return TORQUE_ERR_DNS_FORMERR;
    case ARES_EBADRESP:
      return TORQUE_ERR_DNS_BADRESP;
    case ARES_EBADNAME:
    case ARES_EBADSTR:
    case ARES_EBADQUERY:
      return TORQUE_ERR_DNS_BADNAME;
    case ARES_ECONNREFUSED:
    case ARES_EOF:
      return TORQUE_ERR_DNS_NOSERVER;
    case ARES_ETIMEOUT:
      return TORQUE_ERR_SYSCALL + ETIMEDOUT;
    case ARES_EDESTRUCTION:
    case ARES_ECANCELLED:
      return TORQUE_ERR_SYSCALL + ECANCELED;
    case ARES_ENOMEM:
      return TORQUE_ERR_RESOURCE;
    case ARES_EFILE:
      return TORQUE_ERR_SYSCALL + EIO;  // a file of the system that is there could not be read
    default:
      return TORQUE_ERR_DNS_BADRESP;
  }
}

Channel *Channel::open(Resolver &owner, const Settings &settings, bool strict, torque_err *err) noexcept {
  void *p = std::malloc(sizeof(Channel));
  *err = TORQUE_ERR_RESOURCE;
  if (!p) return nullptr;
  auto *c = new (p) Channel(owner);
  *err = c->init(settings, strict);
  if (!*err) return c;
  c->close();
  return nullptr;
}

torque_err Channel::init(const Settings &settings, bool strict) noexcept {
  Options o;
  if (!fill(settings, strict, &o)) return TORQUE_ERR_RESOURCE;
  o.values.sock_state_cb = on_state;
  o.values.sock_state_cb_data = this;
  if (const int status = ares_init_options(&ares_, &o.values, o.mask)) {
    ares_ = nullptr;
    return error_of(status);
  }
  ares_set_socket_functions(ares_, &kSystemCalls, nullptr);
  if (settings.servers.get()) {
    if (const torque_err err = use_servers(ares_, settings.servers.get())) return err;
  }
  ares_options now = {};
  int mask = 0;
  if (const int status = ares_save_options(ares_, &now, &mask)) return error_of(status);
  timeout_ns_ = static_cast<uint64_t>(now.timeout > 0 ? now.timeout : 1) * kMs;
  ares_destroy_options(&now);
  ares_addr_port_node *nodes = nullptr;
  if (const int status = ares_get_servers_ports(ares_, &nodes)) return error_of(status);
  for (const ares_addr_port_node *n = nodes; n; n = n->next) ++servers;
  ares_free_data(nodes);
  return TORQUE_ERR_NONE;
}

torque_err Channel::system_lookups(char (&ret)[4]) noexcept {
  ares_channel channel;
  if (const int status = ares_init(&channel)) return error_of(status);
  ares_options now = {};
  int mask = 0;
  const int status = ares_save_options(channel, &now, &mask);
  ares_destroy(channel);
  if (status) return error_of(status);
  size_t n = 0;
  for (const char *p = now.lookups; p && *p && n < sizeof ret - 1; ++p) {
    if (*p == 'f' || *p == 'b') ret[n++] = *p;
  }
  ret[n] = '\0';
  ares_destroy_options(&now);
  return TORQUE_ERR_NONE;
}

void Channel::close() noexcept {
  if (ares_) ares_destroy(ares_);
  while (sockets_) forget(sockets_->fd);
  this->~Channel();
  std::free(this);
}

uint64_t Channel::timeout_in_ns() const noexcept {
  timeval left;
  if (!ares_timeout(ares_, nullptr, &left)) return UINT64_MAX;
  if (left.tv_sec < 0) return 0;
  return static_cast<uint64_t>(left.tv_sec) * 1000 * kMs + static_cast<uint64_t>(left.tv_usec) * 1000;
}

Socket *Channel::find(int fd) noexcept {
  Socket *s = sockets_;
  while (s && s->fd != fd) s = s->next;
  return s;
}

// c-ares closes the descriptor next: the source goes first.
void Channel::forget(int fd) noexcept {
  for (Socket **at = &sockets_; *at; at = &(*at)->next) {
    Socket *s = *at;
    if (s->fd != fd) continue;
    *at = s->next;
    s->channel = nullptr;
    if (s->source) (void)torque_source_remove(s->source);
    put(s);
    return;
  }
}

torque_err Channel::watch(Socket &s) noexcept {
  torque_source source;
  torque_err err = torque_fd_new(owner_.context(), s.fd, s.events, TORQUE_RECHECK, on_ready, &s, &source);
  if (err) return err;
  (void)torque_source_set_strand(source, owner_.strand());
  (void)torque_source_set_finalizer(source, on_end);
  s.refs.fetch_add(1, std::memory_order_relaxed);
  err = torque_source_start(source);
  if (err)
    (void)torque_source_remove(source);
  else
    s.source = source;
  return err;
}

void Channel::on_state(void *channel, int fd, int readable, int writable) noexcept {
  auto &c = *static_cast<Channel *>(channel);
  const uint32_t events = events_of(readable, writable);
  if (events == 0) return c.forget(fd);
  Socket *s = c.find(fd);
  if (s) {
    if (s->events == events) return;
    s->events = events;
    if (s->source && torque_fd_modify(s->source, events) == TORQUE_ERR_NONE) return;
    if (s->source) (void)torque_source_remove(std::exchange(s->source, 0));
  } else {
    void *p = std::malloc(sizeof(Socket));
    // Nothing comes of it: what is asked through it times out.
    if (!p) return;
    s = new (p) Socket{&c, c.sockets_, 0, fd, events, {1}};
    c.sockets_ = s;
  }
  if (c.watch(*s)) c.owner_.arm(0);
}

bool Channel::poll() noexcept {
  int unwatched[ARES_GETSOCK_MAXNUM];
  size_t n = 0;
  for (Socket *s = sockets_; s && n < ARES_GETSOCK_MAXNUM; s = s->next) {
    if (!s->source && watch(*s)) unwatched[n++] = s->fd;
  }
  for (size_t i = 0; i < n; ++i) {
    const Socket *s = find(unwatched[i]);  // the one before may have closed it
    if (s) ares_process_fd(ares_, s->fd, s->events & TORQUE_WRITE ? s->fd : ARES_SOCKET_BAD);
  }
  return n > 0;
}

int32_t Channel::on_ready(torque_source, int32_t fd, uint32_t events, void *socket) noexcept {
  const auto *s = static_cast<Socket *>(socket);
  Channel *c = s->channel;
  if (!c || c->owner_.foreign()) return TORQUE_DONE;
  const uint32_t broken = TORQUE_ERROR | TORQUE_CLOSED;
  Resolver &owner = c->owner_;
  ares_process_fd(c->ares_, events & (TORQUE_READ | broken) ? fd : ARES_SOCKET_BAD,
                  events & (TORQUE_WRITE | broken) ? fd : ARES_SOCKET_BAD);
  owner.advance();
  return TORQUE_DONE;
}

void Channel::on_end(torque_source, int32_t, void *socket) noexcept { put(static_cast<Socket *>(socket)); }

}  // namespace torque_dns
