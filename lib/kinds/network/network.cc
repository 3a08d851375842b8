// SPDX-License-Identifier: BSD-3-Clause
// Network sources: one rtnetlink socket each, for the system sends a socket the kinds that it has asked for.
//
// What there is already is asked for one kind after the other, for the system serves one such question of a socket at a
// time. Events that come meanwhile are told in between; what was lost makes the questions begin anew.
//
// When a socket has overflowed the system drops all that comes until the socket has been read to its end, and says so only
// once. So that something was lost is told, and is asked for anew, when there is nothing left to read, not before.
//
// Thread: whoever holds the source.
#include "libtorque/network.h"

#include <linux/netlink.h>
#include <linux/rtnetlink.h>

#include <cstring>

#include "base/fd.hh"
#include "base/syscall.hh"
#include "kinds/network/netlink.hh"
#include "kinds/network/network.hh"
#include "source/source.hh"

namespace torque {

namespace {

constexpr size_t kBuffer = 32768;  // the most that the system puts into one answer
constexpr int kBatch = 64;         // callbacks before the other sources have their turn
constexpr int kSteps = 256;        // messages that tell nothing, likewise

struct KindOf {
  uint32_t kind, groups;
  uint16_t question;
};
constexpr KindOf kKinds[] = {
    {TORQUE_NETWORK_LINKS, RTMGRP_LINK, RTM_GETLINK},
    {TORQUE_NETWORK_ADDRESSES, RTMGRP_IPV4_IFADDR | RTMGRP_IPV6_IFADDR, RTM_GETADDR},
    {TORQUE_NETWORK_ROUTES, RTMGRP_IPV4_ROUTE | RTMGRP_IPV6_ROUTE, RTM_GETROUTE},
    {TORQUE_NETWORK_NEIGHBOURS, RTMGRP_NEIGH, RTM_GETNEIGH},
};

torque_err open_netlink(uint32_t kinds, Fd *ret, uint32_t *ret_port) noexcept {
  Fd fd(::socket(AF_NETLINK, SOCK_RAW | SOCK_CLOEXEC | SOCK_NONBLOCK, NETLINK_ROUTE));
  if (!fd) return errno == EAFNOSUPPORT || errno == EPROTONOSUPPORT ? TORQUE_ERR_UNAVAIL : last_error();
  sockaddr_nl a = {};
  a.nl_family = AF_NETLINK;
  for (const KindOf &k : kKinds) a.nl_groups |= kinds & k.kind ? k.groups : 0u;
  socklen_t length = sizeof a;
  if (::bind(fd.get(), reinterpret_cast<const sockaddr *>(&a), sizeof a) != 0 ||
      ::getsockname(fd.get(), reinterpret_cast<sockaddr *>(&a), &length) != 0) {
    return last_error();
  }
  *ret_port = a.nl_pid;
  *ret = std::move(fd);
  return TORQUE_ERR_NONE;
}

enum class Step { ready, nothing, later };

class NetworkSource {
 public:
  NetworkSource(const Alloc &alloc, char *buffer, uint32_t kinds, uint32_t flags, uint32_t port) noexcept
      : alloc_(alloc), buffer_(buffer), kinds_(kinds), dumps_(flags & TORQUE_NETWORK_DUMP), port_(port) {
    if (dumps_) unasked_ = kinds;
  }
  ~NetworkSource() { alloc_.put(buffer_, kBuffer); }

  uint32_t kinds() const noexcept { return kinds_; }
  bool dumps() const noexcept { return dumps_; }
  Step prepare(int fd) noexcept;  // ready: front() is to be told, until pop()
  const torque_network_event &front() const noexcept { return event_; }
  void pop() noexcept { have_ = false; }
  void start_anew(uint32_t port) noexcept;  // with another socket

 private:
  void tell(int32_t what) noexcept {
    event_ = {};
    event_.what = what;
    have_ = true;
  }
  void lose() noexcept;
  bool at_rest(int fd, Step *ret) noexcept;
  bool take(const netlink::Message &m) noexcept;
  bool answered(bool again) noexcept;
  bool ask(int fd) noexcept;
  Step receive(int fd) noexcept;

  const Alloc &alloc_;
  char *const buffer_;
  const uint32_t kinds_;
  const bool dumps_;
  uint32_t port_;
  size_t size_ = 0, at_ = 0;  // of the datagram in hand
  torque_network_event event_ = {};
  bool have_ = false;
  uint32_t unasked_ = 0;      // kinds to be asked for
  uint32_t asked_ = 0;        // the one that was asked for, and is not answered; 0: none
  uint32_t sequence_ = 0;     // of that question
  bool interrupted_ = false;  // its answer is not one moment's
  bool anew_ = false;         // all, when the answer under way has ended
  bool complete_ = true;
  bool lost_ = false;  // something, which was not told yet
};

void NetworkSource::lose() noexcept {
  size_ = at_ = 0;
  lost_ = true;
}

// All that was there has been read. False: there is nothing to do but wait.
bool NetworkSource::at_rest(int fd, Step *ret) noexcept {
  *ret = Step::nothing;
  if (lost_) {
    lost_ = false;
    tell(TORQUE_NETWORK_OVERFLOW);
    if (!dumps_) return true;
    complete_ = false;
    if (asked_)
      anew_ = true;
    else
      unasked_ = kinds_;
    return true;
  }
  if (!unasked_ || asked_) return false;
  if (ask(fd)) return true;
  *ret = Step::later;
  return false;
}

void NetworkSource::start_anew(uint32_t port) noexcept {
  port_ = port;
  asked_ = 0;
  anew_ = false;
  lose();
}

// An answer has ended. True: there is something to tell.
bool NetworkSource::answered(bool again) noexcept {
  if (again || interrupted_) unasked_ |= asked_;
  if (anew_) unasked_ = kinds_;
  asked_ = 0;
  anew_ = interrupted_ = false;
  if (unasked_ || complete_ || lost_) return false;
  complete_ = true;
  tell(TORQUE_NETWORK_COMPLETE);
  return true;
}

// True: it is to be told.
bool NetworkSource::take(const netlink::Message &m) noexcept {
  const bool answer = asked_ && m.port == port_ && m.sequence == sequence_;
  if (answer && (m.flags & NLM_F_DUMP_INTR)) interrupted_ = true;
  if (m.type == NLMSG_DONE) return answer && answered(false);
  if (m.type == NLMSG_ERROR) {
    const int e = answer ? netlink::error_of(m) : 0;
    // A kind that this system does not have is not there.
    return e && answered(e == EBUSY || e == EINTR || e == ENOMEM || e == ENOBUFS || e == EAGAIN);
  }
  if (m.type == NLMSG_OVERRUN) {
    lose();
    return false;
  }
  if (!netlink::read_event(m, &event_) || !(event_.kind & kinds_)) return false;
  if (answer && event_.what == TORQUE_NETWORK_CHANGED) event_.what = TORQUE_NETWORK_PRESENT;
  return have_ = true;
}

// Asks for the next kind. False: it must be tried later.
bool NetworkSource::ask(int fd) noexcept {
  for (const KindOf &k : kKinds) {
    if (!(unasked_ & k.kind)) continue;
    struct {
      nlmsghdr head;
      rtgenmsg body;
    } q = {};
    q.head.nlmsg_len = NLMSG_LENGTH(sizeof q.body);
    q.head.nlmsg_type = k.question;
    q.head.nlmsg_flags = NLM_F_REQUEST | NLM_F_DUMP;
    q.head.nlmsg_seq = ++sequence_;
    if (sys::retry([&] { return ::send(fd, &q, q.head.nlmsg_len, 0); }) < 0) return false;
    asked_ = k.kind;
    unasked_ &= ~k.kind;
    complete_ = false;
    return true;
  }
  return true;
}

Step NetworkSource::receive(int fd) noexcept {
  sockaddr_nl from = {};
  iovec room = {buffer_, kBuffer};
  msghdr m = {};
  m.msg_name = &from;
  m.msg_namelen = sizeof from;
  m.msg_iov = &room;
  m.msg_iovlen = 1;
  const ssize_t n = sys::retry([&] { return ::recvmsg(fd, &m, 0); });
  at_ = size_ = 0;
  if (n < 0 && errno == ENOBUFS) {
    lose();
    return Step::ready;
  }
  if (n < 0) return errno == ENOMEM ? Step::later : Step::nothing;
  if (m.msg_flags & MSG_TRUNC) {
    lose();
    return Step::ready;
  }
  // Only the kernel is believed.
  if (m.msg_namelen == sizeof from && from.nl_pid == 0) size_ = static_cast<size_t>(n);
  return Step::ready;
}

Step NetworkSource::prepare(int fd) noexcept {
  for (int steps = 0; !have_; ++steps) {
    if (steps == kSteps) return Step::later;
    netlink::Message m;
    if (at_ < size_) {
      if (!netlink::next_message(buffer_, size_, &at_, &m))
        at_ = size_;
      else
        (void)take(m);
      continue;
    }
    Step s = receive(fd);
    if (s == Step::nothing && at_rest(fd, &s)) continue;
    if (s != Step::ready) return s;
  }
  return Step::ready;
}

NetworkSource *network_of(Slot &s) noexcept { return static_cast<NetworkSource *>(cold_of(s).object); }

}  // namespace

torque_err prepare_network(Context &context, Slot &s, uint32_t kinds, uint32_t flags) noexcept {
  Fd fd;
  uint32_t port;
  if (const torque_err err = open_netlink(kinds, &fd, &port)) return err;
  auto *buffer = static_cast<char *>(context.alloc.get(kBuffer));
  auto *n = buffer ? context.alloc.make<NetworkSource>(context.alloc, buffer, kinds, flags, port) : nullptr;
  if (!n) {
    context.alloc.put(buffer, kBuffer);
    return TORQUE_ERR_RESOURCE;
  }
  cold_of(s).object = n;
  s.traits.set(kOwnsFd);
  s.interest.store(TORQUE_READ, std::memory_order_relaxed);
  s.fd.set(fd.release());
  return TORQUE_ERR_NONE;
}

torque_err start_network(Context &context, Slot &s, uint64_t handle) noexcept {
  const bool dumps = network_of(s)->dumps();
  const torque_err err = start_fd(context, s, handle);
  if (!err && dumps) (void)activate(handle, TORQUE_TRIGGER);  // it asks
  return err;
}

void free_network(Context &context, Slot &s) noexcept { context.alloc.destroy(network_of(s)); }

// The socket is the parent's as well: read here, its messages would be stolen. A new one gets its number.
torque_err reattach_network(Slot &s, uint64_t handle) noexcept {
  Fd fd;
  uint32_t port;
  NetworkSource &n = *network_of(s);
  if (const torque_err err = open_netlink(n.kinds(), &fd, &port)) return err;
  if (sys::retry([&] { return ::dup3(fd.get(), s.fd.get(), O_CLOEXEC); }) < 0) return last_error();
  n.start_anew(port);
  if (const torque_err err = reattach_fd(s, handle)) return err;
  (void)activate(handle, TORQUE_TRIGGER);
  return TORQUE_ERR_NONE;
}

bool run_network(Turn &t, Slot &s, uint64_t handle, uint32_t) noexcept {
  NetworkSource &n = *network_of(s);
  const auto fn = reinterpret_cast<torque_network_fn *>(s.fn);
  for (int i = 0; i < kBatch; ++i) {
    if (i > 0 && halted(t)) return true;
    const Step step = n.prepare(s.fd.get());
    if (step != Step::ready) return step == Step::later;
    const torque_network_event event = n.front();
    fn(handle, &event, s.arg.look());
    if (t.postpone) return false;
    n.pop();
    if (word::state(s.word.load(std::memory_order_acquire)) == word::RETIRED) return false;
  }
  return true;
}

}  // namespace torque
