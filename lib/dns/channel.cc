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
constexpr size_t kHeader = 12;
constexpr ssize_t kPlainBytes = 512;

uint16_t get16(const uint8_t *p) noexcept { return static_cast<uint16_t>(p[0] << 8 | p[1]); }

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

bool fill(const Settings &s, uint32_t flavour, Options *o) noexcept {
  const auto has = [&](uint32_t flag) { return (s.numbers.flags & flag) != 0; };
  const bool tcp = flavour & kByTcp, edns = has(TORQUE_RESOLVER_EDNS) && !(flavour & kPlain);
  // Who sets HOSTALIASES is not always whom the process works for.
  o->values.flags = ARES_FLAG_NOALIASES | (flavour & kStrict ? 0 : ARES_FLAG_NOCHECKRESP) |
                    (tcp ? ARES_FLAG_USEVC : 0) | (edns ? ARES_FLAG_EDNS : 0);
  o->mask = ARES_OPT_FLAGS | ARES_OPT_LOOKUPS | ARES_OPT_SOCK_STATE_CB;
  o->values.lookups = const_cast<char *>("b");
  if (edns) {
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
ssize_t send_pieces(int fd, const iovec *pieces, int count, void *) noexcept {
  msghdr message = {};
  message.msg_iov = const_cast<iovec *>(pieces);
  message.msg_iovlen = static_cast<size_t>(count < IOV_MAX ? count : IOV_MAX);
  ssize_t n = 0;
  // An error that belongs to an earlier datagram is told once.
  for (int tries = 0; tries < 2; ++tries) {
    do n = ::sendmsg(fd, &message, MSG_NOSIGNAL);
    while (n < 0 && errno == EINTR);
    if (n >= 0 || errno != ECONNREFUSED) break;
  }
  return n;
}
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

Channel *Channel::open(Resolver &owner, const Settings &settings, uint32_t flavour, torque_err *err) noexcept {
  void *p = std::malloc(sizeof(Channel));
  *err = TORQUE_ERR_RESOURCE;
  if (!p) return nullptr;
  auto *c = new (p) Channel(owner, flavour);
  *err = c->init(settings);
  if (!*err) return c;
  c->close();
  return nullptr;
}

torque_err Channel::init(const Settings &settings) noexcept {
  static constexpr ares_socket_functions kSystemCalls = {open_socket, close_socket, connect_socket, receive,
                                                         send_pieces};
  Options o;
  if (!fill(settings, flavour, &o)) return TORQUE_ERR_RESOURCE;
  o.values.sock_state_cb = on_state;
  o.values.sock_state_cb_data = this;
  if (const int status = ares_init_options(&ares_, &o.values, o.mask)) {
    ares_ = nullptr;
    return error_of(status);
  }
  ares_set_socket_functions(ares_, &kSystemCalls, this);
  if (settings.servers.get()) {
    if (const torque_err err = use_servers(ares_, settings.servers.get())) return err;
  }
  edns = (o.values.flags & ARES_FLAG_EDNS) != 0;
  ares_options now = {};
  int mask = 0;
  if (const int status = ares_save_options(ares_, &now, &mask)) {
    ares_destroy_options(&now);  // what it has copied until then
    return error_of(status);
  }
  timeout_ns_ = static_cast<uint64_t>(now.timeout > 0 ? now.timeout : 1) * kMs;
  tries = static_cast<uint32_t>(now.tries > 0 ? now.tries : 1);
  ndots_ = now.ndots;
  const bool kept = (settings.numbers.flags & TORQUE_RESOLVER_NO_SEARCH) || keep_domains(now);
  ares_destroy_options(&now);
  if (!kept) return TORQUE_ERR_RESOURCE;
  ares_addr_port_node *nodes = nullptr;
  if (const int status = ares_get_servers_ports(ares_, &nodes)) return error_of(status);
  for (const ares_addr_port_node *n = nodes; n; n = n->next) ++servers;
  ares_free_data(nodes);
  return TORQUE_ERR_NONE;
}

bool Channel::keep_domains(const ares_options &now) noexcept {
  for (int i = 0; i < now.ndomains; ++i) {
    const size_t size = std::strlen(now.domains[i]) + 1;
    if (size > kDomainMost + 1) continue;
    if (!domains_.room_for(size)) return false;
    for (size_t k = 0; k < size; ++k) domains_.push_reserved(now.domains[i][k]);
    ++domain_count_;
  }
  return true;
}

// ---- Names ----

bool Channel::candidate(const char *name, bool search, uint32_t at, char (&ret)[kCandidateMost],
                        bool *ret_as_it_is) const noexcept {
  const size_t size = std::strlen(name);
  if (size > kDomainMost) return false;
  int dots = 0;
  for (const char *p = name; *p; ++p) dots += *p == '.';
  const bool complete = !search || (size > 0 && name[size - 1] == '.');
  const uint32_t domains = complete ? 0 : domain_count_, as_it_is = dots >= ndots_ ? 0 : domains;
  if (at > domains) return false;
  std::memcpy(ret, name, size + 1);
  *ret_as_it_is = at == as_it_is;
  if (at == as_it_is) return true;
  const char *domain = domains_.begin();
  for (uint32_t skip = at < as_it_is ? at : at - 1; skip > 0; --skip) domain += std::strlen(domain) + 1;
  if (std::strcmp(domain, ".") == 0) ++domain;
  ret[size] = '.';
  std::memcpy(ret + size + 1, domain, std::strlen(domain) + 1);
  return true;
}

// ---- Questions under way ----

void Channel::add(Wire &w) noexcept {
  Wire *&first = wires_[w.id % kHashes];
  w.channel = this;
  w.next = first;
  first = &w;
  ++in_flight;
  ++begun;
}

void Channel::remove(Wire &w) noexcept {
  Wire **at = &wires_[w.id % kHashes];
  while (*at != &w) at = &(*at)->next;
  *at = w.next;
  w.channel = nullptr;
  --in_flight;
}

Wire *Channel::find_wire(uint16_t id) const noexcept {
  Wire *w = wires_[id % kHashes];
  while (w && w->id != id) w = w->next;
  return w;
}

ssize_t Channel::receive(int fd, void *data, size_t size, int flags, sockaddr *from, socklen_t *from_size,
                         void *channel) noexcept {
  ssize_t n;
  do n = ::recvfrom(fd, data, size, flags, from, from_size);
  while (n < 0 && errno == EINTR);
  // c-ares wants to know the sender of datagrams only.
  return n > 0 && from ? static_cast<Channel *>(channel)->notice(static_cast<uint8_t *>(data), n, size) : n;
}

// Looks at a datagram before c-ares does. Answers its size.
ssize_t Channel::notice(uint8_t *bytes, ssize_t size, size_t room) noexcept {
  if (size < static_cast<ssize_t>(kHeader) || !(bytes[2] & 0x80)) return size;
  const int rcode = bytes[3] & 15;
  const bool too_long = (bytes[2] & 2) || size > (edns ? kEdnsBytes : kPlainBytes);
  const bool refused = edns && (rcode == 1 || rcode == 4) && get16(bytes + 10) == 0;
  Wire *w = too_long || refused ? find_wire(get16(bytes)) : nullptr;
  if (!w) return size;
  if (refused && w->edns) return refusal(*w, bytes, size, room);
  if (too_long) w->tcp = true;  // c-ares asks again by TCP
  return size;
}

// A server that does not know OPT records says FORMERR, or NOTIMP, and perhaps no more than the header. c-ares would
// take no notice of the latter, and of the former only once for the many questions that are under way; so it is shown
// an empty answer, and the question is asked again by another channel.
ssize_t Channel::refusal(Wire &w, uint8_t *bytes, ssize_t size, size_t room) noexcept {
  if (get16(bytes + 4) == 0) {
    uint8_t *question = nullptr;
    int length = 0;
    if (ares_create_query(w.query->candidate, 1, w.type, w.id, 1, &question, &length, 0)) return size;
    const bool fits = length > static_cast<int>(kHeader) && static_cast<size_t>(length) <= room;
    if (fits) {
      std::memcpy(bytes + 4, question + 4, static_cast<size_t>(length) - 4);
      size = length;
    }
    ares_free_string(question);
    if (!fits) return size;
  }
  bytes[2] &= static_cast<uint8_t>(~2u);
  bytes[3] &= 0xf0;
  w.refused = true;
  return size;
}

void Channel::time_out() noexcept {
  int open[ARES_GETSOCK_MAXNUM];
  size_t n = 0;
  fd_set few;
  FD_ZERO(&few);
  bool all_few = true;
  for (Socket *s = sockets_; s && n < ARES_GETSOCK_MAXNUM; s = s->next) {
    open[n++] = s->fd;
    if (s->fd < FD_SETSIZE)
      FD_SET(s->fd, &few);
    else
      all_few = false;
  }
  if (all_few) return ares_process(ares_, &few, nullptr);
  for (size_t i = 0; i < n; ++i) {
    if (find(open[i])) ares_process_fd(ares_, open[i], ARES_SOCKET_BAD);
  }
}

torque_err Channel::system_lookups(char (&ret)[4]) noexcept {
  ares_channel channel;
  if (const int status = ares_init(&channel)) return error_of(status);
  ares_options now = {};
  int mask = 0;
  const int status = ares_save_options(channel, &now, &mask);
  ares_destroy(channel);
  if (status) {
    ares_destroy_options(&now);
    return error_of(status);
  }
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
  if (owner.late()) c->time_out();
  if (!s->channel) return TORQUE_DONE;
  ares_process_fd(c->ares_, events & (TORQUE_READ | broken) ? fd : ARES_SOCKET_BAD,
                  events & (TORQUE_WRITE | broken) ? fd : ARES_SOCKET_BAD);
  owner.advance();
  return TORQUE_DONE;
}

void Channel::on_end(torque_source, int32_t, void *socket) noexcept { put(static_cast<Socket *>(socket)); }

}  // namespace torque_dns
