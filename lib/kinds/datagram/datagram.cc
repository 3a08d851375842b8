// SPDX-License-Identifier: BSD-3-Clause
#include "kinds/datagram/datagram.hh"

#include <linux/errqueue.h>
#include <netinet/in.h>
#include <netinet/udp.h>

#include <algorithm>
#include <cstring>

#include "base/fd.hh"
#include "base/syscall.hh"
#include "source/source.hh"
#include "source/strand.hh"

namespace torque {

namespace {

constexpr int kBatches = 4;  // system calls that receive before the other sources have their turn
constexpr int kTells = 4;    // calls that only tell failures, before the same
constexpr int kErrors = 64;  // of datagrams that have left, likewise

// ---- Sockets ----

torque_err open_socket(const DatagramSetup &setup, Fd *ret) noexcept {
  Fd fd;
  torque_err err = sockets::open(setup.address, SOCK_DGRAM, &fd);
  if (!err && (setup.flags & TORQUE_DATAGRAM_REUSEPORT)) err = sockets::set(fd.get(), SOL_SOCKET, SO_REUSEPORT);
  if (!err) err = sockets::bind(fd.get(), setup.address);
  if (!err) *ret = std::move(fd);
  return err;
}

// What is to be told beside the bytes. An IPv6 socket may get IPv4 as well, unless it may not.
torque_err ask_details(int fd, const Port &p) noexcept {
  const bool v6 = p.family == AF_INET6;
  if (p.setup.flags & (TORQUE_DATAGRAM_LOCAL | TORQUE_DATAGRAM_CLASS) && !p.inet)
    return TORQUE_ERR_SYSCALL + EOPNOTSUPP;
  torque_err err = TORQUE_ERR_NONE;
  if (p.setup.flags & TORQUE_DATAGRAM_LOCAL) {
    err = v6 ? sockets::set(fd, IPPROTO_IPV6, IPV6_RECVPKTINFO) : sockets::set(fd, IPPROTO_IP, IP_PKTINFO);
  }
  if (!err && (p.setup.flags & TORQUE_DATAGRAM_CLASS)) {
    err = v6 ? sockets::set(fd, IPPROTO_IPV6, IPV6_RECVTCLASS) : sockets::set(fd, IPPROTO_IP, IP_RECVTOS);
    if (v6) (void)sockets::set(fd, IPPROTO_IP, IP_RECVTOS);
  }
  return err;
}

torque_err set_up(Port &p, int fd) noexcept {
  int domain, protocol, value;
  if (!sockets::get(fd, SOL_SOCKET, SO_DOMAIN, &domain) || !sockets::get(fd, SOL_SOCKET, SO_PROTOCOL, &protocol)) return last_error();
  p.family = static_cast<sa_family_t>(domain);
  p.inet = domain == AF_INET || domain == AF_INET6;
  const bool udp = p.inet && protocol == IPPROTO_UDP;
  if (const torque_err err = ask_details(fd, p)) return err;
  if (udp && (p.setup.flags & TORQUE_DATAGRAM_GRO)) (void)sockets::set(fd, SOL_UDP, UDP_GRO);
  // The program may have switched that on, and off the other. In doubt it is on: then the only loss is room.
  const bool joined = udp && (sockets::get(fd, SOL_UDP, UDP_GRO, &value) ? value != 0 : errno != ENOPROTOOPT);
  const bool may_join =
      udp && !(p.setup.flags & TORQUE_DATAGRAM_NO_GSO) && sockets::get(fd, SOL_UDP, UDP_SEGMENT, &value) && !value;
  p.train_max = may_join ? static_cast<uint32_t>(Outbox::kTrainBytes) : 0;
  p.part_size = joined ? std::max(p.setup.size, kWholeDatagram) : p.setup.size;
  p.batch = static_cast<uint32_t>(std::min<size_t>(kReceiveMax, kArena / stride_for(p.part_size)));
  // Without room for control messages nobody can send us descriptors.
  const bool details = p.setup.flags & (TORQUE_DATAGRAM_LOCAL | TORQUE_DATAGRAM_CLASS);
  p.control_size = joined || details ? torque_datagrams::kControl : 0;
  sockaddr_storage peer;
  socklen_t len = sizeof peer;
  p.connected = ::getpeername(fd, reinterpret_cast<sockaddr *>(&peer), &len) == 0;
  return TORQUE_ERR_NONE;
}

// The socket, and a place for its worker to receive.
torque_err open_port(Slot &s, Port &p) noexcept {
  Fd made;
  if (p.setup.fd < 0) {
    if (const torque_err err = open_socket(p.setup, &made)) return err;
  }
  const int fd = made ? made.get() : p.setup.fd;
  torque_err err = set_up(p, fd);
  if (!err) err = batches_of(*s.domain.get()).enter();
  if (err) return err;
  p.pool = &batches_of(*s.domain.get());
  s.fd.set(fd);
  if (made) (void)made.release();
  else p.setup.fd = -1;
  return TORQUE_ERR_NONE;
}

void close_port(Slot &s, Port &p) noexcept {
  const int fd = s.fd.get();
  s.fd.set(-1);
  if (p.setup.address.length == 0) p.setup.fd = fd;  // the caller's, who may start it once more
  else ::close(fd);
  p.pool->leave();
  p.pool = nullptr;
}

uint16_t traits_of(const Context &context) noexcept {
  return static_cast<uint16_t>(kOwnsFd | (context.options.oneshot ? kOneshot : 0));
}

void make_watched(Context &context, Slot &s, Port &p) noexcept {
  cold_of(s).object = &p;
  s.interest.store(TORQUE_READ, std::memory_order_relaxed);
  s.traits.set(traits_of(context));
}

// ---- Groups ----

torque_err add_part(Context &context, PortGroup &g, Slot &parent, uint32_t i) noexcept {
  Slot *s;
  if (const torque_err err = create(context, Kind::datagram, static_cast<int32_t>(i), &s)) return err;
  const uint64_t handle = handle_of(*s);
  auto *p = context.alloc.make<Port>(context.alloc, g.setup);
  torque_err err = p ? TORQUE_ERR_NONE : TORQUE_ERR_RESOURCE;
  if (p) {
    Shards::adopt(parent);
    p->parent = p->told = handle_of(parent);
    p->whole = &parent;
    make_watched(context, *s, *p);
    err = open_port(*s, *p);
  }
  if (!err && i == 0) err = g.setup.address.learn(s->fd.get());  // the others must have its port
  if (err) {
    retire(handle, TORQUE_END_REMOVED);
    return err;
  }
  if (Strand *strand = cold_of(parent).strand.get()) {
    strand->ref();
    cold_of(*s).strand.set(strand);
    s->traits.set(static_cast<uint16_t>(s->traits.get() | kStranded));
  }
  g.ports.put(i, handle);
  return TORQUE_ERR_NONE;
}

PortGroup *make_group(Context &context, const DatagramSetup &setup) noexcept {
  auto *g = context.alloc.make<PortGroup>(setup);
  if (g && g->ports.open(context.alloc, context.domain_count())) return g;
  context.alloc.destroy(g);
  return nullptr;
}

// ---- Receiving ----

// The headers as this port needs them; those that the system has written to are set anew.
void prepare(torque_datagrams &b, const Port &p) noexcept {
  uint32_t from = 0, to = b.used;
  if (b.part_size != p.part_size || b.control_size != p.control_size) {
    b.part_size = p.part_size;
    b.control_size = p.control_size;
    const size_t stride = stride_for(p.part_size);
    for (uint32_t i = 0; i < p.batch; ++i) b.part[i] = {b.arena + i * stride, p.part_size};
    to = p.batch;
  }
  for (; from < to; ++from) {
    b.header[from].msg_hdr = {&b.name[from],
                              sizeof b.name[from],
                              &b.part[from],
                              1,
                              p.control_size ? b.control[from] : nullptr,
                              p.control_size,
                              0};
  }
  b.used = 0;
}

template <class T>
T value_of(const cmsghdr *c) noexcept {
  T v;
  std::memcpy(&v, CMSG_DATA(c), sizeof v);
  return v;
}

void set_from(From &f, int level, int type, const void *data, uint32_t len) noexcept {
  f.level = level;
  f.type = type;
  f.len = len;
  std::memcpy(f.data, data, len);
}

void read_local(Message &m, const in_pktinfo &info) noexcept {
  m.local_len = sizeof m.local.v4;
  m.local.v4 = {};
  m.local.v4.sin_family = AF_INET;
  m.local.v4.sin_addr = info.ipi_addr;
  // Of a multicast or broadcast the kernel says which of our addresses answers.
  const in_pktinfo reply = {0, info.ipi_spec_dst, {}};
  set_from(m.from, IPPROTO_IP, IP_PKTINFO, &reply, sizeof reply);
}

bool names_many(const in6_addr &a) noexcept {
  return IN6_IS_ADDR_MULTICAST(&a) || (IN6_IS_ADDR_V4MAPPED(&a) && (a.s6_addr[12] & 0xf0) == 0xe0);
}

void read_local(Message &m, const in6_pktinfo &info) noexcept {
  m.local_len = sizeof m.local.v6;
  m.local.v6 = {};
  m.local.v6.sin6_family = AF_INET6;
  m.local.v6.sin6_addr = info.ipi6_addr;
  m.local.v6.sin6_scope_id = info.ipi6_ifindex;
  if (names_many(info.ipi6_addr)) return;
  const in6_pktinfo reply = {info.ipi6_addr, IN6_IS_ADDR_LINKLOCAL(&info.ipi6_addr) ? info.ipi6_ifindex : 0};
  set_from(m.from, IPPROTO_IPV6, IPV6_PKTINFO, &reply, sizeof reply);
}

void read_details(Message &m, msghdr &h) noexcept {
  for (cmsghdr *c = CMSG_FIRSTHDR(&h); c; c = CMSG_NXTHDR(&h, c)) {
    const auto is = [c](int level, int type) { return c->cmsg_level == level && c->cmsg_type == type; };
    if (is(SOL_UDP, UDP_GRO)) m.segment = static_cast<uint32_t>(std::max(value_of<int>(c), 0));
    else if (is(IPPROTO_IP, IP_TOS)) m.traffic_class = value_of<uint8_t>(c);
    else if (is(IPPROTO_IPV6, IPV6_TCLASS)) m.traffic_class = value_of<int>(c) & 0xff;
    else if (is(IPPROTO_IP, IP_PKTINFO)) read_local(m, value_of<in_pktinfo>(c));
    else if (is(IPPROTO_IPV6, IPV6_PKTINFO)) read_local(m, value_of<in6_pktinfo>(c));
  }
}

void read_messages(torque_datagrams &b) noexcept {
  for (uint32_t i = 0; i < b.received; ++i) {
    Message &m = b.message[i];
    m.segment = 0;
    m.traffic_class = -1;
    m.local_len = 0;
    m.from.len = 0;
    if (b.control_size) read_details(m, b.header[i].msg_hdr);
    const uint32_t size = b.header[i].msg_len;
    if (m.segment && m.segment < size) {
      b.turn->counters.add(Counter::datagrams_coalesced, (size + m.segment - 1) / m.segment);
    }
  }
}

// Where in what was received the next call of the program's begins.
struct Place {
  uint32_t message = 0;
  uint32_t byte = 0;
};

// As many datagrams from there on as the index has room for; trains are taken apart.
void list(torque_datagrams &b, Place &at) noexcept {
  b.count = 0;
  while (at.message < b.received && b.count < torque_datagrams::kIndex) {
    const uint32_t size = std::min(b.header[at.message].msg_len, b.part_size);
    const uint32_t segment = b.message[at.message].segment;
    const uint32_t left = size - at.byte;
    const uint32_t one = segment && segment < left ? segment : left;
    const auto *data = static_cast<const char *>(b.part[at.message].iov_base) + at.byte;
    b.datagram[b.count++] = {data, std::min(one, b.port->setup.size), at.message};
    at.byte += one;
    if (at.byte < size) continue;
    at.byte = 0;
    ++at.message;
  }
}

bool ended(const Slot &s) noexcept { return word::state(s.word.load(std::memory_order_acquire)) == word::RETIRED; }

// One call of the program's function, and what it sends.
void tell(torque_datagrams &b) noexcept {
  Turn &t = *b.turn;
  Port &p = *b.port;
  std::swap(b.failures, b.next_failures);
  b.next_failures->clear();
  b.failures->count += std::exchange(p.failures_untold, 0);
  if (!b.error) b.error = std::exchange(b.next_error, 0);
  // The program knows the source by that handle, also for waiting from inside.
  t.current = p.told;
  torque_datagrams *outer = std::exchange(t.batch, &b);
  p.setup.fn(p.told, &b, p.whole->arg.look());
  t.batch = outer;
  t.current = b.handle;
  b.count = 0;
  b.error = 0;
  b.room = false;
  send_gathered(b);
}

bool anything_to_tell(const torque_datagrams &b) noexcept {
  return b.room || b.error || b.next_error || b.next_failures->count || b.port->failures_untold;
}

void tell_received(torque_datagrams &b) noexcept {
  Place at;
  while (at.message < b.received && !ended(*b.slot)) {
    list(b, at);
    b.turn->counters.add(Counter::datagrams_received, b.count);
    tell(b);
  }
}

// True: there may be more. A batch that is not full was ended by EAGAIN, or by an error that makes an edge of its own.
bool receive(torque_datagrams &b) noexcept {
  Port &p = *b.port;
  const int fd = b.slot->fd.get();
  for (int i = 0; i < kBatches; ++i) {
    if (b.turn->postpone) return true;
    prepare(b, p);
    const int n = ::recvmmsg(fd, b.header, p.batch, MSG_DONTWAIT | MSG_TRUNC, nullptr);
    b.turn->counters.add(Counter::datagram_receives);
    if (n < 0) {
      b.used = 1;
      if (errno == EAGAIN) return false;
      if (errno == EINTR) continue;
      b.error = last_error();
      tell(b);
    } else {
      b.used = b.received = static_cast<uint32_t>(n);
      read_messages(b);
      tell_received(b);
    }
    if (ended(*b.slot)) return false;
    if (n >= 0 && static_cast<uint32_t>(n) < p.batch) return false;
  }
  return true;
}

// An error that came back for a datagram that had left; false: something else (a time stamp), or told when it was sent.
bool read_error(msghdr &h, sock_extended_err *ret) noexcept {
  for (cmsghdr *c = CMSG_FIRSTHDR(&h); c; c = CMSG_NXTHDR(&h, c)) {
    if ((c->cmsg_level == IPPROTO_IP && c->cmsg_type == IP_RECVERR) ||
        (c->cmsg_level == IPPROTO_IPV6 && c->cmsg_type == IPV6_RECVERR)) {
      *ret = value_of<sock_extended_err>(c);
      return ret->ee_origin == SO_EE_ORIGIN_ICMP || ret->ee_origin == SO_EE_ORIGIN_ICMP6;
    }
  }
  return false;
}

// What the program has asked the system to keep of errors (IP_RECVERR). It takes room of what comes, until a socket whose
// queue nobody reads receives nothing any more. True: there is more.
bool receive_errors(torque_datagrams &b) noexcept {
  if (!b.port->inet) return false;
  for (int i = 0; i < kErrors; ++i) {
    sockaddr_storage to = {};
    iovec data{b.arena, kWholeDatagram};
    alignas(cmsghdr) char control[512];
    msghdr h{&to, sizeof to, &data, 1, control, sizeof control, 0};
    const ssize_t n = sys::retry([&] { return ::recvmsg(b.slot->fd.get(), &h, MSG_ERRQUEUE | MSG_DONTWAIT); });
    if (n < 0) return false;
    sock_extended_err e;
    if (!read_error(h, &e)) continue;
    b.turn->counters.add(Counter::datagrams_failed);
    b.next_failures->add(err_of_errno(static_cast<int>(e.ee_errno)), h, static_cast<size_t>(n));
  }
  return true;
}

// What is left to tell when nothing has come. True: once more, after the others.
bool tell_the_rest(torque_datagrams &b) noexcept {
  for (int i = 0; i < kTells && anything_to_tell(b) && !ended(*b.slot); ++i) tell(b);
  if (!anything_to_tell(b)) return false;
  b.port->failures_untold += b.next_failures->count;
  if (b.next_error) b.port->error.store(torque_err_errno(b.next_error), std::memory_order_relaxed);
  return true;
}

bool serve(torque_datagrams &b, uint32_t events) noexcept {
  const bool all = events & (TORQUE_TRIGGER | TORQUE_ERROR | TORQUE_CLOSED);
  b.next_error = err_of_errno(b.port->error.exchange(0, std::memory_order_relaxed));
  if (b.next_error == TORQUE_ERR_ASSERT) b.next_error = 0;
  bool more = (events & TORQUE_ERROR) && receive_errors(b);
  if (all || (events & TORQUE_WRITE)) more = send_waiting(b);
  if (b.room) tell(b);
  if ((all || (events & TORQUE_READ)) && !ended(*b.slot)) more |= receive(b);
  more |= tell_the_rest(b);
  return more && !ended(*b.slot);
}

}  // namespace

// ---- Life ----

torque_err make_port(Context &context, const DatagramSetup &setup, Slot **ret) noexcept {
  const bool several = setup.fd < 0 && (setup.flags & TORQUE_DATAGRAM_REUSEPORT) && context.domain_count() > 1;
  Slot *s;
  if (const torque_err err = create(context, several ? Kind::datagrams : Kind::datagram, TORQUE_PLACE_DEFAULT, &s)) {
    return err;
  }
  const uint64_t handle = handle_of(*s);
  if (several) {
    cold_of(*s).object = make_group(context, setup);
  } else if (auto *p = context.alloc.make<Port>(context.alloc, setup)) {
    p->told = handle;
    p->whole = s;
    make_watched(context, *s, *p);
  }
  if (!cold_of(*s).object) {
    retire(handle, TORQUE_END_REMOVED);
    return TORQUE_ERR_RESOURCE;
  }
  s->arg.set(setup.arg);
  *ret = s;
  return TORQUE_ERR_NONE;
}

DatagramSetup *setup_of(Slot &s, Kind kind) noexcept {
  if (kind == Kind::datagram) return &static_cast<Port *>(cold_of(s).object)->setup;
  if (kind == Kind::datagrams) return &static_cast<PortGroup *>(cold_of(s).object)->setup;
  return nullptr;
}

torque_err start_port(Context &context, Slot &s, uint64_t handle) noexcept {
  Snapshot v;
  if (!hold(handle, &v)) return TORQUE_ERR_STALE;
  auto &p = *static_cast<Port *>(cold_of(s).object);
  torque_err err = TORQUE_ERR_STATE;
  if (!p.starting.exchange(true, std::memory_order_acq_rel)) {
    err = open_port(s, p);
    if (!err) {
      err = start_fd(context, s, handle);
      if (err) close_port(s, p);
    }
    if (err) p.starting.store(false, std::memory_order_release);
  }
  let_go(s);
  if (err && err != TORQUE_ERR_STATE) disarm_word(s, generation_of(handle));
  return err;
}

torque_err start_group(Context &context, Slot &s, uint64_t handle) noexcept {
  Snapshot v;
  if (!hold(handle, &v)) return TORQUE_ERR_STALE;
  auto &g = *static_cast<PortGroup *>(cold_of(s).object);
  torque_err err = TORQUE_ERR_STATE;
  if (!g.starting.exchange(true, std::memory_order_acq_rel)) {
    err = arm_word(s, generation_of(handle)) ? TORQUE_ERR_NONE : TORQUE_ERR_STATE;
    // All exist before the first is told anything: its callback may end the whole, or send.
    for (uint32_t i = 0; i < g.ports.most() && !err; ++i) err = add_part(context, g, s, i);
    if (!err) err = g.ports.start(context, g.ports.most());
    // Another thread may have ended the whole before it had all its parts.
    if (err || has_ended(s)) g.ports.end();
    if (err) g.starting.store(false, std::memory_order_release);
  }
  let_go(s);
  if (err && err != TORQUE_ERR_STATE) disarm_word(s, generation_of(handle));
  return err;
}

void end_group(const Snapshot &v, uint64_t) noexcept {
  auto *g = static_cast<PortGroup *>(cold_of(*v.slot).object);
  if (g) g->ports.end();
}

void free_group(Context &context, Slot &s, uint32_t) noexcept {
  auto *g = static_cast<PortGroup *>(cold_of(s).object);
  if (!g) return;
  g->ports.free(context.alloc);
  context.alloc.destroy(g);
}

uint64_t told_as(Slot &s) noexcept {
  const auto *p = static_cast<const Port *>(cold_of(s).object);
  return p ? p->told : 0;
}

void free_port(Context &context, Slot &s) noexcept {
  auto *p = static_cast<Port *>(cold_of(s).object);
  if (!p) return;
  const uint64_t parent = p->parent;
  {
    Lock lock(p->lock);
    if (p->backlog.count()) s.domain.get()->count(Counter::datagrams_failed, p->backlog.count());
  }
  if (p->pool) p->pool->leave();
  if (p->setup.fd >= 0) ::close(p->setup.fd);
  context.alloc.destroy(p);
  Shards::release(parent);
}

// What waited is the parent's to send. A thread that does not exist here may have been putting something there.
torque_err reattach_port(Slot &s, uint64_t handle) noexcept NO_THREAD_SAFETY_ANALYSIS {
  auto &p = *static_cast<Port *>(cold_of(s).object);
  if (p.lock.try_lock()) {
    p.backlog.clear();
    p.lock.unlock();
  } else {
    p.backlog.forget();
    new (&p.lock) Mutex;
  }
  p.waiting.store(0, std::memory_order_relaxed);
  p.asked = false;
  if (p.refused) (void)activate(handle, TORQUE_WRITE);  // there is room now
  s.interest.store(TORQUE_READ, std::memory_order_relaxed);
  return reattach_fd(s, handle);
}

bool run_datagram(Turn &t, Slot &s, uint64_t handle, uint32_t events) noexcept {
  auto &p = *static_cast<Port *>(cold_of(s).object);
  torque_datagrams *b = p.pool->take(t.worker);
  if (!b) return true;  // in use, and memory is short: there is one again when that call is over
  b->turn = &t;
  b->port = &p;
  b->slot = &s;
  b->handle = handle;
  const bool more = serve(*b, events);
  b->next_failures->clear();
  b->next_error = 0;
  b->out.clear();
  p.pool->give(t.worker, b);
  return more;
}

}  // namespace torque
