// SPDX-License-Identifier: BSD-3-Clause
#include "dial.hh"

#include <sys/socket.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <new>
#include <utility>

#include "resolver.hh"

namespace torque_dns {

namespace {
constexpr uint64_t kMs = 1000000;
constexpr uint64_t kResolutionDelay = 50 * kMs;  // RFC 8305, 3: how long the IPv4 addresses wait for the others
constexpr torque_err kTimedOut = TORQUE_ERR_SYSCALL + ETIMEDOUT;
}  // namespace

void Dial::begin(Resolver &r, Query *q) noexcept {
  const auto fail = [&](torque_err err) { r.finish(q, err, nullptr, nullptr, -1); };
  void *p = std::malloc(sizeof(Dial));
  if (!p) return fail(TORQUE_ERR_RESOURCE);
  auto *d = new (p) Dial(r, q);
  if (const torque_err err = torque_timer_new(r.context(), TORQUE_CLOCK_MONOTONIC, on_timer, d, &d->timer_)) {
    d->unref();
    return fail(err);
  }
  (void)torque_source_set_strand(d->timer_, r.strand());
  (void)torque_source_set_finalizer(d->timer_, on_timer_end);
  d->refs_.fetch_add(1, std::memory_order_relaxed);
  q->dial = d;
  const bool both = q->family == AF_UNSPEC;
  if (!d->add_part(both ? AF_INET6 : q->family) || (both && !d->add_part(AF_INET))) return fail(TORQUE_ERR_RESOURCE);
  for (Query *part : d->parts_) {
    if (part) r.enqueue(part);
  }
  d->arm();
}

bool Dial::add_part(int family) noexcept {
  const size_t size = std::strlen(q_->name()) + 1;
  auto *part = static_cast<Query *>(std::calloc(1, sizeof(Query) + size));
  if (!part) return false;
  part->kind = Kind::part;
  part->flags = q_->flags;
  part->family = family;
  part->port = q_->port;
  part->has_name = q_->has_name;
  part->half = q_->family == AF_UNSPEC;
  part->dial = this;
  std::memcpy(part->name(), q_->name(), size);
  parts_[parts_[0] ? 1 : 0] = part;
  return true;
}

void Dial::unref() noexcept {
  if (refs_.fetch_sub(1, std::memory_order_acq_rel) != 1) return;
  this->~Dial();
  std::free(this);
}

void Dial::end(int fd) noexcept {
  q_->dial = nullptr;
  q_ = nullptr;
  for (Query *&part : parts_) {
    if (!part) continue;
    part->dial = nullptr;
    part->done = true;
    if (!part->queued && !part->out) free_query(part);  // it was not enqueued yet
    part = nullptr;
  }
  while (Attempt *a = attempts_) {
    attempts_ = a->next;
    a->taken = a->fd == fd;
    forget(a);
  }
  (void)torque_source_remove(timer_);
  unref();
}

// ---- Names to addresses ----

void Dial::found(Query *part, torque_err err, const Addresses *addresses) noexcept {
  for (Query *&p : parts_) {
    if (p == part) p = nullptr;
  }
  part->dial = nullptr;
  // That there is none of one family says less than why there is none of the other.
  if (err && (!lookup_err_ || lookup_err_ == TORQUE_ERR_DNS_NODATA)) lookup_err_ = err;
  if (!err) {
    for (const Found &f : addresses->list) {
      if (!waiting_.add(f.address, part->port, f.ttl)) return r_.finish(q_, TORQUE_ERR_RESOURCE, nullptr, nullptr, -1);
    }
    waiting_.sort();
  }
  if (last_family_ == 0 && !waiting_.list.empty()) {  // nothing has been tried
    const bool other_may_come = part->family == AF_INET && (parts_[0] || parts_[1]);
    next_attempt_ns_ = other_may_come ? monotonic_ns() + kResolutionDelay : 0;
  }
  step();
}

// ---- Addresses to a connection ----

// Families in turns; else the best.
size_t Dial::choose() const noexcept {
  for (size_t i = 0; i < waiting_.list.size(); ++i) {
    if (last_family_ != 0 && waiting_.list[i].address.family != last_family_) return i;
  }
  return 0;
}

void Dial::step() noexcept {
  const uint64_t now = monotonic_ns();
  if (now >= q_->deadline_ns) return r_.finish(q_, kTimedOut, nullptr, nullptr, -1);
  while (!waiting_.list.empty() && (now >= next_attempt_ns_ || (running_ == 0 && last_family_ != 0))) {
    const size_t i = choose();
    const Address to = waiting_.list[i].address;
    waiting_.list.erase(i);
    last_family_ = to.family;
    if (attempt(to)) {
      if (!q_) return unref();  // it was there at once: see attempt()
      next_attempt_ns_ = now + q_->delay_ns;
    }
  }
  if (running_ == 0 && waiting_.list.empty() && !parts_[0] && !parts_[1]) {
    const torque_err why = connect_err_ ? connect_err_ : lookup_err_ ? lookup_err_ : TORQUE_ERR_DNS_NODATA;
    return r_.finish(q_, why, nullptr, nullptr, -1);
  }
  arm();
}

void Dial::arm() noexcept {
  uint64_t when = q_->deadline_ns;
  if (!waiting_.list.empty() && next_attempt_ns_ < when) when = next_attempt_ns_;
  if (when == UINT64_MAX) {
    (void)torque_timer_cancel(timer_);
    return;
  }
  const torque_err err = torque_timer_set(timer_, when, 0, TORQUE_TIMER_ABSOLUTE);
  if (err && err != TORQUE_ERR_STALE) r_.finish(q_, err, nullptr, nullptr, -1);
}

void Dial::on_timer(torque_source, uint64_t, void *dial) noexcept {
  auto *d = static_cast<Dial *>(dial);
  if (d->q_ && !d->r_.foreign()) d->step();
}

void Dial::on_timer_end(torque_source, int32_t, void *dial) noexcept { static_cast<Dial *>(dial)->unref(); }

void Dial::drop(Attempt *a) noexcept {
  if (a->refs.fetch_sub(1, std::memory_order_acq_rel) != 1) return;
  if (!a->taken) ::close(a->fd);
  a->~Attempt();
  std::free(a);
}

// Requires: it is not in the list any more.
void Dial::forget(Attempt *a) noexcept {
  a->dial = nullptr;
  if (a->source) (void)torque_source_remove(a->source);
  drop(a);
}

bool Dial::attempt(const Address &to) noexcept {
  const auto fail = [this](int err) {
    connect_err_ = TORQUE_ERR_SYSCALL + err;
    return false;
  };
  const int fd = ::socket(to.family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  if (fd < 0) return fail(errno);
  void *p = std::malloc(sizeof(Attempt));
  if (!p) {
    ::close(fd);
    return fail(ENOMEM);
  }
  auto *a = new (p) Attempt{this, nullptr, 0, fd, false, {1}};
  const int failed = ::connect(fd, &to.sa, to.size());
  if (failed && errno != EINPROGRESS && errno != EINTR) {
    const int err = errno;
    drop(a);
    return fail(err);
  }
  a->next = attempts_;
  attempts_ = a;
  ++running_;
  if (!failed) {
    refs_.fetch_add(1, std::memory_order_relaxed);  // for step(), which looks whether it is over
    r_.finish(q_, 0, nullptr, nullptr, fd);
    return true;
  }
  torque_source source;
  torque_err err = torque_fd_new(r_.context(), fd, TORQUE_WRITE, 0, on_ready, a, &source);
  if (!err) {
    (void)torque_source_set_strand(source, r_.strand());
    (void)torque_source_set_finalizer(source, on_end);
    a->refs.fetch_add(1, std::memory_order_relaxed);
    a->source = source;
    err = torque_source_start(source);
  }
  if (!err) return true;
  attempts_ = a->next;
  --running_;
  forget(a);
  connect_err_ = err;
  return false;
}

void Dial::failed(Attempt *a, int err) noexcept {
  connect_err_ = TORQUE_ERR_SYSCALL + err;
  for (Attempt **at = &attempts_; *at; at = &(*at)->next) {
    if (*at != a) continue;
    *at = a->next;
    break;
  }
  --running_;
  forget(a);
  next_attempt_ns_ = 0;  // the next one need not wait
  step();
}

int32_t Dial::on_ready(torque_source, int32_t fd, uint32_t, void *attempt) noexcept {
  auto *a = static_cast<Attempt *>(attempt);
  Dial *d = a->dial;
  if (!d || d->r_.foreign()) return TORQUE_DONE;
  int err = 0;
  socklen_t size = sizeof err;
  if (::getsockopt(fd, SOL_SOCKET, SO_ERROR, &err, &size) != 0) err = errno;
  if (err) {
    d->failed(a, err);
    return TORQUE_DONE;
  }
  Address peer;
  size = sizeof peer;
  // Not connected and no error: it is still on its way.
  if (::getpeername(fd, &peer.sa, &size) != 0) return TORQUE_DONE;
  d->r_.finish(d->q_, 0, nullptr, nullptr, fd);
  return TORQUE_DONE;
}

void Dial::on_end(torque_source, int32_t, void *attempt) noexcept { drop(static_cast<Attempt *>(attempt)); }

}  // namespace torque_dns
