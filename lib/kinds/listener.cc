// SPDX-License-Identifier: BSD-3-Clause
// Listeners. What the caller holds is a source that never fires itself; it lives as long as its acceptors, one for each
// domain that takes connections. Every acceptor has a descriptor number of its own.
#include "kinds/listener.hh"

#include <sched.h>

#include <algorithm>
#include <cstring>

#include "base/syscall.hh"

namespace torque {

namespace {

constexpr int kBatch = 64;                       // connections before the other sources have their turn
constexpr uint64_t kRestMin = 10 * 1000000;      // ns, when descriptors or memory have run out
constexpr uint64_t kRestMax = 1000 * 1000000;

bool out_of_something(int e) noexcept { return e == EMFILE || e == ENFILE || e == ENOBUFS || e == ENOMEM; }

torque_err open_socket(const Listener &l, Fd *ret) noexcept {
  Fd fd;
  torque_err err = sockets::open(l.address, SOCK_STREAM, &fd);
  const bool inet = l.address.is_inet();
  if (!err && inet) err = sockets::set(fd.get(), SOL_SOCKET, SO_REUSEADDR);
  if (!err && inet && l.policy == TORQUE_LISTEN_REUSEPORT) err = sockets::set(fd.get(), SOL_SOCKET, SO_REUSEPORT);
  // Whatever the system's default is (net.ipv6.bindv6only).
  if (!err && l.both_families && l.address.family() == AF_INET6) {
    err = sockets::set(fd.get(), IPPROTO_IPV6, IPV6_V6ONLY, 0);
  }
  if (!err) err = sockets::bind(fd.get(), l.address);
  if (!err && ::listen(fd.get(), l.backlog) != 0) err = last_error();
  if (!err) *ret = std::move(fd);
  return err;
}

torque_err socket_for(Listener &l, uint32_t i, Fd *ret) noexcept {
  if (l.fd >= 0) return sockets::duplicate(l.fd, ret);
  if (i > 0 && l.policy != TORQUE_LISTEN_REUSEPORT) {
    Snapshot first;
    if (const torque_err err = hold_acceptor(l, &first)) return err;
    const torque_err err = sockets::duplicate(first.slot->fd.get(), ret);
    let_go(*first.slot);
    return err;
  }
  const torque_err err = open_socket(l, ret);
  if (err) return err;
  return i == 0 ? l.address.learn(ret->get()) : TORQUE_ERR_NONE;  // the others must have its port
}

torque_err add_acceptor(Context &context, Listener &l, Slot &parent, uint32_t i) noexcept {
  Fd fd;
  if (const torque_err err = socket_for(l, i, &fd)) return err;
  Slot *s;
  const uint32_t place = l.parts == 1 ? parent.domain.get()->index : i;
  torque_err err = create(context, Kind::acceptor, static_cast<int32_t>(place), &s);
  if (err) return err;
  s->domain.get()->timers.adopt(*s);
  Shards::adopt(parent);
  cold_of(*s).object = &l;
  s->fn = reinterpret_cast<Callback>(l.fn);
  s->fd.set(fd.release());
  s->interest.store(TORQUE_READ, std::memory_order_relaxed);
  s->traits.set(static_cast<uint16_t>(kOwnsFd | (l.policy == TORQUE_LISTEN_EXCLUSIVE ? kExclusiveWake : 0)));
  l.acceptors.put(i, handle_of(*s));
  return TORQUE_ERR_NONE;
}

bool rest(Slot &s, Listener &l, uint64_t handle, int why) noexcept {
  const uint64_t delay = l.rest.load(std::memory_order_relaxed);
  l.rest.store(std::min(delay * 2, kRestMax), std::memory_order_relaxed);
  Domain &d = *s.domain.get();
  d.count(Counter::accept_rests);
  d.context.log.say(TORQUE_LOG_WARNING, "a listener stops accepting for %llu ms: %s",
                    static_cast<unsigned long long>(delay / 1000000), ::strerrordesc_np(why));
  bool wake;
  const torque_err err = d.timers.set(s, generation_of(handle), add_ns(monotonic_ns(), delay), 0, false, &wake);
  if (wake) d.poke();
  return err == TORQUE_ERR_RESOURCE;  // no memory for resting either: at once, after the others
}

// Connections that come meanwhile do not cut a rest short.
bool resting(Slot &s, const Listener &l, uint64_t handle) noexcept {
  uint64_t until;
  return l.rest.load(std::memory_order_relaxed) != kRestMin &&
         s.domain.get()->timers.due_at(s, generation_of(handle), &until) && until != kNever;
}

// Takes a place for a connection to come. False: there is none, and the acceptor is called when there may be one.
bool enter(Guests &g, Part &part) noexcept {
  uint64_t w = g.word.load(std::memory_order_relaxed);
  for (;;) {
    while (!Guests::full(w)) {
      if (g.word.compare_exchange_weak(w, w + 1, std::memory_order_seq_cst, std::memory_order_relaxed)) return true;
    }
    part.starved.store(true, std::memory_order_seq_cst);
    w = g.word.load(std::memory_order_seq_cst);
    if (Guests::full(w)) return false;
  }
}

bool is_draining(const Context &context) noexcept {
  return context.drain.load(std::memory_order_seq_cst) != Context::Drain::none;
}

// The next connection; -1 and errno: there is none, or none to be taken.
int take_connection(Slot &s, Listener &l, Part &part, sockaddr_storage *peer, socklen_t *len) noexcept {
  if (l.guests && !enter(*l.guests, part)) {
    errno = EAGAIN;
    return -1;
  }
  part.taking.store(true, std::memory_order_seq_cst);
  int fd = -1, e = EAGAIN;
  const bool open = l.open.load(std::memory_order_seq_cst) && !l.paused.load(std::memory_order_seq_cst);
  if (open && !is_draining(s.domain.get()->context)) {
    fd = ::accept4(s.fd.get(), reinterpret_cast<sockaddr *>(peer), len, SOCK_NONBLOCK | SOCK_CLOEXEC);
    e = errno;
  }
  part.taking.store(false, std::memory_order_seq_cst);
  if (fd < 0 && l.guests) leave(s.domain.get()->context, *l.guests);
  errno = e;
  return fd;
}

// The acceptor looks for connections: those that came meanwhile have been told already.
void wake_acceptor(const Listener &l, uint32_t i) noexcept {
  const uint64_t handle = l.acceptors.handle(i);
  if (handle) (void)activate(handle, TORQUE_READ);  // not started: it looks when it has
}

void wake_acceptors(Listener &l) noexcept {
  for (uint32_t i = 0; i < l.domains; ++i) wake_acceptor(l, i);
}

}  // namespace

namespace {

void wake_starved(Listener &l) noexcept {
  for (uint32_t i = 0; i < l.domains; ++i) {
    if (l.part[i].starved.load(std::memory_order_seq_cst) && l.part[i].starved.exchange(false)) wake_acceptor(l, i);
  }
}

// The listener has ended.
void close_guests(Context &context, Guests &g) noexcept {
  const uint64_t before = g.word.fetch_and(~Guests::kListens, std::memory_order_acq_rel);
  if (Guests::number(before) == 0) context.alloc.destroy(&g);
}

}  // namespace

Guests *make_guests(Context &context, uint64_t listener) noexcept {
  return context.alloc.make<Guests>(listener);
}

void leave(Context &context, Guests &g) noexcept {
  const Visit visit;
  const uint64_t listener = g.listener;
  const uint64_t w = g.word.fetch_sub(1, std::memory_order_seq_cst) - 1;
  if (!(w & Guests::kListens)) {
    if (Guests::number(w) == 0) context.alloc.destroy(&g);
    return;
  }
  Snapshot v;  // g may have gone
  if (!Guests::most(w) || !hold(listener, &v)) return;
  wake_starved(listener_of(*v.slot));
  let_go(*v.slot);
}

void set_most_guests(Listener &l, uint32_t most) noexcept {
  std::atomic<uint64_t> &word = l.guests->word;
  uint64_t w = word.load(std::memory_order_relaxed);
  const auto changed = [most](uint64_t from) {
    return (from & (Guests::kNumber | Guests::kListens)) | uint64_t{most} << Guests::kMostShift;
  };
  while (!word.compare_exchange_weak(w, changed(w), std::memory_order_seq_cst, std::memory_order_relaxed)) {
  }
  wake_starved(l);
}

Listener *make_listener(Context &context, Slot &s) noexcept {
  const uint32_t n = context.domain_count();
  auto *parts = static_cast<Part *>(context.alloc.get(n * sizeof(Part), alignof(Part)));
  if (!parts) return nullptr;
  for (uint32_t i = 0; i < n; ++i) new (&parts[i]) Part;
  auto *l = context.alloc.make<Listener>(s, parts, n);
  if (!l || !l->acceptors.open(context.alloc, n)) {
    context.alloc.destroy(l);
    context.alloc.put(parts, n * sizeof *parts);
    return nullptr;
  }
  l->rest.store(kRestMin, std::memory_order_relaxed);
  cold_of(s).object = l;
  return l;
}

// Its descriptor cannot be closed until let_go(): a number that was read before may be another file's by now.
torque_err hold_acceptor(const Listener &l, Snapshot *ret) noexcept {
  return hold(l.acceptors.handle(0), ret) ? TORQUE_ERR_NONE : TORQUE_ERR_STALE;
}

namespace {

torque_err start_held(Context &context, Slot &s, uint64_t handle) noexcept {
  if (is_draining(context)) return TORQUE_ERR_STOPPED;
  // Of two that start it at once one goes on.
  if (!arm_word(s, generation_of(handle))) return TORQUE_ERR_STATE;
  auto &l = listener_of(s);
  const uint32_t domains = context.domain_count();
  if (l.policy == TORQUE_LISTEN_DEFAULT) {
    l.policy = domains == 1 ? TORQUE_LISTEN_SHARED : l.fd >= 0 ? TORQUE_LISTEN_EXCLUSIVE : TORQUE_LISTEN_REUSEPORT;
  }
  if (l.policy == TORQUE_LISTEN_REUSEPORT && l.address.family() == AF_UNIX) l.policy = TORQUE_LISTEN_EXCLUSIVE;
  l.parts = l.policy == TORQUE_LISTEN_SHARED ? 1 : domains;
  l.parent = handle;
  torque_err err = TORQUE_ERR_NONE;
  for (uint32_t i = 0; i < l.parts && !err; ++i) err = add_acceptor(context, l, s, i);
  if (!err) err = l.acceptors.start(context, l.parts);
  if (!err && is_draining(context)) err = TORQUE_ERR_STOPPED;
  if (!err) {
    l.open.store(true, std::memory_order_seq_cst);
    wake_acceptors(l);
  }
  // Another thread may have ended the listener before it had all its parts.
  if (err || has_ended(s)) l.acceptors.end();
  return err;
}

}  // namespace

torque_err start_listener(Context &context, Slot &s, uint64_t handle) noexcept {
  Snapshot v;
  if (!hold(handle, &v)) return TORQUE_ERR_STALE;  // until all have started: it may be removed meanwhile
  const torque_err err = start_held(context, s, handle);
  let_go(s);
  if (err && err != TORQUE_ERR_STATE) disarm_word(s, generation_of(handle));
  return err;
}

void end_listener(const Snapshot &v, uint64_t) noexcept {
  auto *l = static_cast<Listener *>(cold_of(*v.slot).object);
  if (l) l->acceptors.end();
}

void free_listener(Context &context, Slot &s, uint32_t) noexcept {
  auto *l = static_cast<Listener *>(cold_of(s).object);
  if (!l) return;
  if (l->guests) close_guests(context, *l->guests);
  if (l->free_own) l->free_own(context, l->own);
  l->acceptors.free(context.alloc);
  context.alloc.put(l->part, l->domains * sizeof *l->part);
  context.alloc.destroy(l);
}

// An acceptor that sees the pause takes nothing; one that does not has said before that it may, and is waited for: that is
// one system call, which does not block.
void pause_listener(Listener &l) noexcept {
  l.paused.store(true, std::memory_order_seq_cst);
  for (uint32_t i = 0; i < l.domains; ++i) {
    while (l.part[i].taking.load(std::memory_order_seq_cst) && l.paused.load(std::memory_order_relaxed)) ::sched_yield();
  }
}

void resume_listener(Listener &l) noexcept {
  if (l.paused.exchange(false, std::memory_order_seq_cst)) wake_acceptors(l);
}

void revive_listener(Slot &s) noexcept {
  auto *l = static_cast<Listener *>(cold_of(s).object);
  for (uint32_t i = 0; l && i < l->domains; ++i) l->part[i].taking.store(false, std::memory_order_relaxed);
  if (l && l->revive_own) l->revive_own(l->own);
}

// Of the first part, if that is the only socket. STATE: it has none yet.
static torque_err descriptor_of_held(Slot &s, int32_t *ret) noexcept {
  const Listener &l = listener_of(s);
  Snapshot part;
  if (hold_acceptor(l, &part)) return has_ended(s) ? TORQUE_ERR_STALE : TORQUE_ERR_STATE;
  const bool several = l.parts > 1 && l.policy == TORQUE_LISTEN_REUSEPORT;
  const int fd = part.slot->fd.get();
  let_go(*part.slot);
  if (several) return TORQUE_ERR_KIND;
  *ret = fd;
  return TORQUE_ERR_NONE;
}

torque_err descriptor_of_listener(const Snapshot &seen, uint64_t handle, int32_t *ret) noexcept {
  Snapshot v;
  if (word::state(seen.word) == word::NEW) return TORQUE_ERR_STATE;
  if (!hold(handle, &v)) return TORQUE_ERR_STALE;
  const torque_err err = descriptor_of_held(*v.slot, ret);
  let_go(*v.slot);
  return err;
}

uint64_t listener_of_part(Slot &s) noexcept {
  const auto *l = static_cast<const Listener *>(cold_of(s).object);
  return l ? l->parent : 0;
}

void free_acceptor(Context &, Slot &s) noexcept { Shards::release(listener_of(s).parent); }

bool run_acceptor(Turn &t, Slot &s, uint64_t handle, uint32_t events) noexcept {
  auto &l = listener_of(s);
  if (!(events & kTimerEvent) && resting(s, l, handle)) return false;
  s.expirations.store(0, std::memory_order_relaxed);
  Part &part = l.part[l.parts == 1 ? 0 : s.domain.get()->index];
  // A connection that is taken may become a stream, so that a drain waits for this. It is counted
  // before take_connection() looks for a drain, so that a drain that this does not see sees that this is at work.
  Domain &home = *s.domain.get();
  home.context.stream_begins(home);
  // The caller knows the listener by its own handle, also for waiting from inside.
  t.current = l.parent;
  bool more = true;
  int lacking = 0;
  for (int i = 0; i < kBatch && more; ++i) {
    sockaddr_storage peer;
    socklen_t len = sizeof peer;
    const int fd = take_connection(s, l, part, &peer, &len);
    if (fd < 0) {
      const int e = errno;
      if (out_of_something(e)) lacking = e;
      // ECONNABORTED and the network errors that accept(2) lists concern that one connection.
      more = e == EINTR || (!lacking && e != EAGAIN && e != EBADF && e != EINVAL && e != ENOTSOCK && e != EOPNOTSUPP);
      continue;
    }
    if (l.rest.load(std::memory_order_relaxed) != kRestMin) l.rest.store(kRestMin, std::memory_order_relaxed);
    t.counters.add(Counter::accepted);
    const bool outer_spread = std::exchange(t.spread, l.policy == TORQUE_LISTEN_SHARED);
    l.fn(l.parent, fd, &peer, len, l.own ? l.own : l.slot.arg.look());
    t.spread = outer_spread;
    if (word::state(s.word.load(std::memory_order_acquire)) == word::RETIRED) more = false;
  }
  t.current = handle;
  home.context.stream_is_over(home);
  return lacking ? rest(s, l, handle, lacking) : more;
}

}  // namespace torque
