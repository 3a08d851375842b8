// SPDX-License-Identifier: BSD-3-Clause
// Sending: what a callback gathers, what waits for room, and what any thread sends at once.
#include <algorithm>
#include <cstring>

#include "base/syscall.hh"
#include "kinds/datagram/datagram.hh"
#include "source/source.hh"

namespace torque {

// ---- What waits ----

Backlog::Block *Backlog::block_for(size_t bytes) noexcept {
  if (last_ && last_->size - last_->end >= bytes) return last_;
  Block *b = nullptr;
  if (spare_ && bytes <= spare_->size) {
    b = std::exchange(spare_, nullptr);
  } else {
    const size_t size = std::max(bytes, kBlock - sizeof(Block));
    b = static_cast<Block *>(alloc_.get(sizeof(Block) + size));
    if (!b) return nullptr;
    b->size = size;
  }
  b->next = nullptr;
  b->begin = b->end = 0;
  (last_ ? last_->next : first_) = b;
  last_ = b;
  return b;
}

void Backlog::release(Block *b) noexcept {
  if (!spare_ && b->size == kBlock - sizeof(Block)) spare_ = b;
  else alloc_.put(b, sizeof(Block) + b->size);
}

bool Backlog::push(const void *peer, socklen_t peer_len, const From *from, const void *data, size_t size) noexcept {
  static_assert(sizeof(Record) % 8 == 0 && sizeof(Block) % 8 == 0);
  if (from && from->len == 0) from = nullptr;
  const size_t bytes =
      (sizeof(Record) + ((peer_len + 7) & ~size_t{7}) + (from ? sizeof(From) : 0) + size + 7) & ~size_t{7};
  if (size > kSizeMax) return false;
  Block *b = block_for(bytes);
  if (!b) return false;
  auto *r = new (b->bytes() + b->end)
      Record{static_cast<uint32_t>(bytes), static_cast<uint32_t>(size), peer_len, from != nullptr};
  if (peer_len) std::memcpy(r->peer(), peer, peer_len);
  if (from) std::memcpy(r->from(), from, sizeof *from);
  if (size) std::memcpy(r->data(), data, size);
  b->end += bytes;
  ++count_;
  bytes_ += size + kOverhead;
  return true;
}

void Backlog::drop(uint32_t n) noexcept {
  for (; n > 0; --n) {
    while (first_->begin == first_->end) {
      Block *empty = std::exchange(first_, first_->next);
      release(empty);
    }
    const auto *r = reinterpret_cast<const Record *>(first_->bytes() + first_->begin);
    first_->begin += r->bytes;
    --count_;
    bytes_ -= r->size + kOverhead;
  }
  if (count_ == 0) clear();
}

void Backlog::clear() noexcept {
  while (first_) {
    Block *b = std::exchange(first_, first_->next);
    alloc_.put(b, sizeof(Block) + b->size);
  }
  if (spare_) alloc_.put(spare_, sizeof(Block) + spare_->size);
  forget();
}

namespace {

constexpr int kFlags = MSG_DONTWAIT | MSG_NOSIGNAL;
constexpr int kRounds = 4;  // of the backlog, before the other sources have their turn

void ask(Slot &s, uint64_t handle, uint32_t interest) noexcept {
  const Snapshot v{&s, s.domain.get(), s.word.load(std::memory_order_acquire), s.kind.get(), s.traits.get(), s.fd.get()};
  (void)modify_fd(v, handle, interest);  // a source that has ended asks for nothing
}

// The socket has no room. Not so for an address of AF_UNIX: there the peer has none, and its socket tells nobody but
// those who are connected to it.
bool full(const Port &p, int e, const msghdr &m) noexcept {
  return e == EAGAIN && !(p.family == AF_UNIX && m.msg_namelen != 0);
}

// An error that the network answered to an earlier datagram is handed to whoever calls next, and what that one wanted to
// send is not sent. So a failure on such a socket is believed when it comes twice; a refusal is never this one's, and may come
// once for each that is kept (IP_RECVERR).
constexpr int kRefusals = 64;
bool may_be_of_another(const Port &p, int e) noexcept { return p.inet && e != EAGAIN && e != EINVAL; }

enum class Sent { yes, full, failed };

// One datagram. *ret_error: on failure why; else an error of an earlier one, or 0.
Sent send_one(const Port &p, int fd, const msghdr &m, int *ret_error) noexcept {
  *ret_error = 0;
  int refusals = 0;
  for (bool again = false;;) {
    if (::sendmsg(fd, &m, kFlags) >= 0) return Sent::yes;
    const int e = errno;
    if (e == EINTR) continue;
    if (full(p, e, m)) return Sent::full;
    *ret_error = e;
    if (p.inet && e == ECONNREFUSED && ++refusals < kRefusals) continue;
    if (again || !may_be_of_another(p, e)) return Sent::failed;
    again = true;
  }
}

// Sends an outbox over a port's socket until that has no room.
class Sending {
 public:
  explicit Sending(torque_datagrams &b) noexcept : b_(b), p_(*b.port), box_(b.out), fd_(b.slot->fd.get()) {}

  // How many datagrams are done with: sent, or failed.
  uint32_t run() noexcept {
    while (at_ < box_.messages() && step()) {
    }
    count(Counter::datagrams_sent, sent_);
    count(Counter::datagrams_joined, joined_);
    return done_;
  }
  bool stopped() const noexcept { return at_ < box_.messages(); }
  // Each datagram that is left: f(peer, peer_len, from, data, size).
  template <class F>
  void each_left(F f) noexcept {
    for (uint32_t i = at_; i < box_.messages(); ++i) {
      const msghdr &m = box_.message(i).msg_hdr;
      for (size_t k = i == at_ ? part_ : 0; k < m.msg_iovlen; ++k) {
        f(m, box_.from(i), m.msg_iov[k]);
      }
    }
  }

 private:
  void count(Counter c, uint64_t n) noexcept {
    if (n) b_.turn->counters.add(c, n);
  }
  void fail(int e, const msghdr &m, size_t size) noexcept {
    count(Counter::datagrams_failed, 1);
    b_.next_failures->add(err_of_errno(e), m, size);
  }
  void note(int e) noexcept {
    if (e && !b_.next_error) b_.next_error = err_of_errno(e);
  }

  // False: no room.
  bool step() noexcept {
    const int n = ::sendmmsg(fd_, box_.ready(at_), box_.messages() - at_, kFlags);
    count(Counter::datagram_sends, 1);
    if (n <= 0) return failed(errno);
    for (uint32_t i = at_; i < at_ + static_cast<uint32_t>(n); ++i) {
      const auto parts = static_cast<uint32_t>(box_.message(i).msg_hdr.msg_iovlen);
      sent_ += parts;
      if (parts > 1) joined_ += parts;
      done_ += parts;
    }
    at_ += static_cast<uint32_t>(n);
    return true;
  }

  // The first message that is left was refused. It is sent once more, part by part: then the error was another's, or the
  // socket cannot send trains, or the same comes again.
  bool failed(int e) noexcept {
    if (e == EINTR) return true;
    const msghdr &m = box_.message(at_).msg_hdr;
    if (full(p_, e, m)) return false;
    if (m.msg_iovlen == 1 && !may_be_of_another(p_, e)) {
      fail(e, m, m.msg_iov->iov_len);
      ++done_;
      ++at_;
      return true;
    }
    for (; part_ < m.msg_iovlen; ++part_) {
      const msghdr one = box_.alone(at_, part_);
      int error;
      const Sent sent = send_one(p_, fd_, one, &error);
      count(Counter::datagram_sends, 1);
      if (sent == Sent::full) {
        if (m.msg_iovlen == 1) note(e);
        return false;
      }
      ++done_;
      if (sent == Sent::failed) {
        fail(error, one, one.msg_iov->iov_len);
        continue;
      }
      ++sent_;
      note(error);
      if (part_ > 0) continue;
      if (m.msg_iovlen == 1) note(e);
      else learn(e, box_.segment(at_));
    }
    part_ = 0;
    ++at_;
    return true;
  }
  // A train of that size was refused, and its first datagram was not.
  void learn(int e, uint32_t segment) noexcept {
    if (e == EIO) p_.train_max = 0;
    else if (e == EINVAL || e == EMSGSIZE) p_.train_max = std::min(p_.train_max, segment - 1);
    else note(e);
  }

  torque_datagrams &b_;
  Port &p_;
  Outbox &box_;
  const int fd_;
  uint32_t at_ = 0;
  size_t part_ = 0;  // of that message
  uint32_t done_ = 0;
  uint64_t sent_ = 0, joined_ = 0;
};

// To the end of what waits. Answers 0 or an errno.
int put_off(Port &p, Slot &s, uint64_t handle, const msghdr &m, const From *from, const iovec &data) noexcept
    REQUIRES(p.lock) {
  if (word::state(s.word.load(std::memory_order_acquire)) == word::RETIRED) return ECANCELED;
  if (!p.backlog.push(m.msg_name, m.msg_namelen, from, data.iov_base, data.iov_len)) return ENOMEM;
  p.waiting.store(p.backlog.bytes(), std::memory_order_release);
  if (!std::exchange(p.asked, true)) ask(s, handle, TORQUE_READ | TORQUE_WRITE);
  return 0;
}

// Too much waits already: whoever hears that will be told of room.
bool refuse(Port &p) noexcept {
  if (p.waiting.load(std::memory_order_relaxed) < p.setup.limit) return false;
  HandingLock lock(p.lock);
  if (p.backlog.bytes() < p.setup.limit) return false;
  p.refused = true;
  return true;
}

// The batch of that source whose callback this thread is in, be it further out.
torque_datagrams *batch_of(uint64_t handle) noexcept {
  for (Turn *t = current_turn(); t; t = t->outer) {
    if (t->batch && t->batch->port->told == handle) return t->batch;
  }
  return nullptr;
}

torque_err send_now(Slot &s, uint64_t handle, const msghdr &m, const From *from) noexcept {
  auto &p = *static_cast<Port *>(cold_of(s).object);
  Domain &d = *s.domain.get();
  if (p.waiting.load(std::memory_order_acquire) == 0) {
    int error;
    const Sent sent = send_one(p, s.fd.get(), m, &error);
    d.count(Counter::datagram_sends);
    if (sent == Sent::failed) return err_of_errno(error);
    if (error) {
      p.error.store(error, std::memory_order_relaxed);
      (void)activate(handle, TORQUE_ERROR);
    }
    if (sent == Sent::yes) {
      d.count(Counter::datagrams_sent);
      return TORQUE_ERR_NONE;
    }
  }
  if (refuse(p)) return TORQUE_ERR_SYSCALL + EAGAIN;
  HandingLock lock(p.lock);
  const int e = put_off(p, s, handle, m, from, *m.msg_iov);
  if (e == ECANCELED) return TORQUE_ERR_STALE;
  if (e) return TORQUE_ERR_RESOURCE;
  d.count(Counter::datagrams_delayed);
  return TORQUE_ERR_NONE;
}

// In the callback: with the others, when it returns.
torque_err gather(torque_datagrams &b, const void *peer, socklen_t peer_len, bool peer_stays, const From *from,
                  const void *data, size_t size) noexcept {
  Port &p = *b.port;
  if (size > kSizeMax) return TORQUE_ERR_SYSCALL + EMSGSIZE;
  if (refuse(p)) return TORQUE_ERR_SYSCALL + EAGAIN;
  for (bool emptied = false;; emptied = true) {
    const void *who = peer_stays || peer_len == 0 ? peer : b.out.copy(peer, peer_len);
    const void *what = b.owns(data, size) || size == 0 ? data : b.out.copy(data, size);
    if ((who || peer_len == 0) && (what || size == 0) && b.out.add(who, peer_len, from, what, size, p.train_max)) {
      return TORQUE_ERR_NONE;
    }
    if (emptied) break;
    send_gathered(b);
  }
  // Larger than all the room there is.
  iovec part{const_cast<void *>(data), size};
  const msghdr m{const_cast<void *>(peer), peer_len, &part, 1, nullptr, 0, 0};
  return send_now(*b.slot, b.handle, m, from);
}

}  // namespace

void send_gathered(torque_datagrams &b) noexcept {
  if (b.out.empty()) return;
  Port &p = *b.port;
  Sending sending(b);
  if (p.waiting.load(std::memory_order_acquire) == 0) sending.run();
  if (sending.stopped()) {
    uint64_t delayed = 0;
    HandingLock lock(p.lock);
    sending.each_left([&](const msghdr &m, const From *from, const iovec &data) NO_THREAD_SAFETY_ANALYSIS {
      if (const int e = put_off(p, *b.slot, b.handle, m, from, data)) {
        b.turn->counters.add(Counter::datagrams_failed);
        b.next_failures->add(err_of_errno(e), m, data.iov_len);
      } else {
        ++delayed;
      }
    });
    b.turn->counters.add(Counter::datagrams_delayed, delayed);
  }
  b.out.clear();
}

bool send_waiting(torque_datagrams &b) noexcept {
  Port &p = *b.port;
  for (int i = 0; i < kRounds; ++i) {
    {
      HandingLock lock(p.lock);
      p.backlog.each([&](Backlog::Record &r) {
        return b.out.add(r.peer(), r.peer_len, r.has_from ? r.from() : nullptr, r.data(), r.size, p.train_max);
      });
    }
    Sending sending(b);
    const uint32_t done = sending.run();
    b.out.clear();
    HandingLock lock(p.lock);
    p.backlog.drop(done);
    p.waiting.store(p.backlog.bytes(), std::memory_order_release);
    if (p.refused && p.backlog.bytes() <= p.setup.limit / 2) {
      p.refused = false;
      b.room = true;
    }
    if (p.backlog.empty()) {
      if (std::exchange(p.asked, false)) ask(*b.slot, b.handle, TORQUE_READ);
      return false;
    }
    if (sending.stopped()) return false;
  }
  return true;
}

namespace {

// A datagram source that has started.
torque_err hold_started(uint64_t handle, Snapshot *ret) noexcept {
  if (!hold(handle, ret)) return TORQUE_ERR_STALE;
  torque_err err = TORQUE_ERR_NONE;
  if (ret->kind != Kind::datagram && ret->kind != Kind::datagrams) err = TORQUE_ERR_KIND;
  else if (ret->domain->context.foreign()) err = TORQUE_ERR_FORKED;
  else if (word::state(ret->word) == word::NEW) err = TORQUE_ERR_STATE;
  if (err) let_go(*ret->slot);
  return err;
}

}  // namespace

torque_err hold_port(uint64_t handle, Snapshot *ret) noexcept {
  if (const torque_err err = hold_started(handle, ret)) return err;
  if (ret->kind == Kind::datagram) return TORQUE_ERR_NONE;
  Slot &s = *ret->slot;
  const auto &group = *static_cast<PortGroup *>(cold_of(s).object);
  const uint64_t port = group.ports.handle(ret->domain->context.home().index);
  const torque_err err = hold_started(port, ret);
  let_go(s);
  return err;
}

torque_err bytes_waiting(uint64_t handle, uint64_t *ret) noexcept {
  Snapshot v;
  if (const torque_err err = hold_started(handle, &v)) return err;
  uint64_t sum = 0;
  if (v.kind == Kind::datagram) {
    sum = static_cast<Port *>(cold_of(*v.slot).object)->waiting.load(std::memory_order_relaxed);
  } else {
    const auto &group = *static_cast<PortGroup *>(cold_of(*v.slot).object);
    for (uint32_t i = 0; i < group.ports.most(); ++i) {
      uint64_t part;
      if (bytes_waiting(group.ports.handle(i), &part) == TORQUE_ERR_NONE) sum += part;
    }
  }
  let_go(*v.slot);
  *ret = sum;
  return TORQUE_ERR_NONE;
}

torque_err send_datagram(uint64_t handle, const void *peer, socklen_t peer_len, const void *data,
                         size_t size) noexcept {
  if (torque_datagrams *b = batch_of(handle)) return gather(*b, peer, peer_len, false, nullptr, data, size);
  Snapshot v;
  if (const torque_err err = hold_port(handle, &v)) return err;
  iovec part{const_cast<void *>(data), size};
  const msghdr m{const_cast<void *>(peer), peer_len, &part, 1, nullptr, 0, 0};
  const torque_err err =
      size > kSizeMax ? TORQUE_ERR_SYSCALL + EMSGSIZE : send_now(*v.slot, handle_of(*v.slot), m, nullptr);
  let_go(*v.slot);
  return err;
}

torque_err reply_datagram(torque_datagrams &b, uint32_t i, const void *data, size_t size) noexcept {
  const uint32_t m = b.datagram[i].message;
  const msghdr &h = b.header[m].msg_hdr;
  if (b.port->connected) return gather(b, nullptr, 0, true, &b.message[m].from, data, size);
  if (h.msg_namelen == 0) return TORQUE_ERR_SYSCALL + EDESTADDRREQ;
  return gather(b, h.msg_name, h.msg_namelen, true, &b.message[m].from, data, size);
}

}  // namespace torque
