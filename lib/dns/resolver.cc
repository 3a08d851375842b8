// SPDX-License-Identifier: BSD-3-Clause
#include "resolver.hh"

#include <time.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <new>

#include "dial.hh"

namespace torque_dns {

namespace {

constexpr uint64_t kMs = 1000000;
constexpr uint64_t kSecond = 1000 * kMs;
constexpr torque_err kCancelled = TORQUE_ERR_SYSCALL + ECANCELED;
constexpr uint32_t kBatch = 64;  // begun at once, before the strand's other sources have their turn

uint32_t index_of(torque_query handle) noexcept { return static_cast<uint32_t>(handle) - 1; }
uint32_t generation_of(torque_query handle) noexcept { return static_cast<uint32_t>(handle >> 32); }

// A timeout may be a little late, so that the many queries of a busy resolver have few wake-ups.
uint64_t slack_of(uint64_t timeout_ns) noexcept {
  const uint64_t part = timeout_ns / 32;
  return part < kMs ? kMs : part > 100 * kMs ? 100 * kMs : part;
}

}  // namespace

uint64_t monotonic_ns() noexcept {
  timespec t;
  clock_gettime(CLOCK_MONOTONIC, &t);
  return static_cast<uint64_t>(t.tv_sec) * kSecond + static_cast<uint64_t>(t.tv_nsec);
}

// ---- Making and ending ----

torque_err Resolver::make(torque_ctx *ctx, Resolver **ret) noexcept {
  void *p = std::malloc(sizeof(Resolver));
  if (!p) return TORQUE_ERR_RESOURCE;
  auto *r = new (p) Resolver(ctx);
  torque_err err = torque_strand_new(ctx, &r->strand_);
  if (!err) err = torque_timer_new(ctx, TORQUE_CLOCK_MONOTONIC, on_timer, r, &r->timer_);
  if (!err) {
    (void)torque_source_set_strand(r->timer_, r->strand_);
    (void)torque_source_set_finalizer(r->timer_, on_timer_end);
    r->ref();
    err = torque_event_new(ctx, 0, on_pump, r, &r->pump_);
    if (err) (void)torque_source_remove(r->timer_);
  }
  if (!err) {
    (void)torque_source_set_strand(r->pump_, r->strand_);
    (void)torque_source_set_finalizer(r->pump_, on_pump_end);
    r->ref();
  }
  torque_strand_free(r->strand_);
  if (err)
    r->unref();
  else
    *ret = r;
  return err;
}

void Resolver::unref() noexcept {
  if (refs_.fetch_sub(1, std::memory_order_acq_rel) != 1) return;
  { Locked lock(lock_); }  // a program's ThreadSanitizer sees the lock, and not the count
  this->~Resolver();
  std::free(this);
}

// The reference stays the caller's.
void Resolver::release() noexcept {
  if (foreign()) return;  // what other threads of the parent were at cannot be told here
  bool unused;
  {
    Locked lock(lock_);
    closed_ = released_ = true;
    unused = !started_ && !ended_;
    if (started_) wake();  // once it has run, it ends in its strand
  }
  if (unused) (void)torque_source_remove(pump_);
}

// In the strand, or when the context stops and nothing else of it runs.
void Resolver::tear_down() noexcept {
  if (over_) return;
  over_ = true;
  for (uint32_t i = 0;; ++i) {
    Query *q;
    {
      Locked lock(lock_);
      closed_ = true;
      ended_ = i >= places_.size();
      if (ended_) break;
      q = places_[i].query;
    }
    if (q) finish(q, kCancelled, nullptr, nullptr, -1);
  }
  Query *lines[2] = {waiting_first_, nullptr};
  waiting_first_ = waiting_last_ = nullptr;
  {
    Locked lock(lock_);
    lines[1] = inbox_first_;
    inbox_first_ = inbox_last_ = nullptr;
  }
  for (Query *line : lines) {
    while (Query *q = line) {
      line = q->next;
      q->queued = false;
      discard(q);
    }
  }
  while (Channel *c = channels_) {
    channels_ = c->next;
    c->close();
  }
  for (Channel *&c : current_) c = nullptr;
  (void)torque_source_remove(timer_);
}

void Resolver::on_pump_end(torque_source, int32_t, void *resolver) noexcept {
  auto *r = static_cast<Resolver *>(resolver);
  if (r->foreign()) return;  // a context that was brought to life in this process; the questions are the parent's
  r->tear_down();
  if (r->stopped_) r->stopped_(r);
  r->unref();
}

void Resolver::on_timer_end(torque_source, int32_t, void *resolver) noexcept {
  static_cast<Resolver *>(resolver)->unref();
}

// ---- The table ----

bool Resolver::enter(Query *q) noexcept {
  if (first_free_ == UINT32_MAX) {
    if (places_.size() >= UINT32_MAX - 1 || !places_.room_for(1)) return false;
    places_.push_reserved({nullptr, 1, UINT32_MAX});
    first_free_ = static_cast<uint32_t>(places_.size() - 1);
  }
  const uint32_t i = first_free_;
  Place &p = places_[i];
  first_free_ = p.next_free;
  p.query = q;
  q->handle = uint64_t{p.generation} << 32 | (i + 1);
  outstanding_.fetch_add(1, std::memory_order_relaxed);
  return true;
}

Query *Resolver::look(torque_query handle) noexcept {
  const uint32_t i = index_of(handle);
  if (i >= places_.size() || places_[i].generation != generation_of(handle)) return nullptr;
  return places_[i].query;
}

void Resolver::leave(Query *q) noexcept {
  const uint32_t i = index_of(q->handle);
  Place &p = places_[i];
  p.query = nullptr;
  if (++p.generation == 0) return;  // worn out: never used again
  p.next_free = first_free_;
  first_free_ = i;
}

void Resolver::forget_cancelled(Query *q) noexcept {
  (q->before_cancelled ? q->before_cancelled->after_cancelled : cancelled_) = q->after_cancelled;
  if (q->after_cancelled) q->after_cancelled->before_cancelled = q->before_cancelled;
}

// ---- From any thread into the strand ----

torque_err Resolver::start() noexcept {
  if (started_) return TORQUE_ERR_NONE;
  const torque_err err = torque_source_start(pump_);
  if (err) return err == TORQUE_ERR_STALE ? TORQUE_ERR_STOPPED : err;
  pid_.store(getpid(), std::memory_order_relaxed);
  started_ = true;
  return TORQUE_ERR_NONE;
}

// Under the lock, which the end of the context takes as well: so no call is made on a context that is gone. STALE: it
// stops right now, and the pump's end takes what is there.
void Resolver::wake() noexcept {
  if (!ended_) (void)torque_trigger(pump_, 0);
}

torque_err Resolver::submit(Query *q, torque_query *ret) noexcept {
  if (foreign()) return TORQUE_ERR_FORKED;
  {
    Locked lock(lock_);
    if (closed_) return TORQUE_ERR_STOPPED;
    if (const torque_err err = start()) return err;
    if (!enter(q)) return TORQUE_ERR_RESOURCE;
    q->queued = true;
    (inbox_last_ ? inbox_last_->next : inbox_first_) = q;
    inbox_last_ = q;
    if (ret) *ret = q->handle;
    wake();
  }
  return TORQUE_ERR_NONE;
}

torque_err Resolver::cancel(torque_query handle) noexcept {
  if (foreign()) return TORQUE_ERR_FORKED;
  {
    Locked lock(lock_);
    Query *q = look(handle);
    if (!q || q->cancelled) return TORQUE_ERR_STALE;
    q->cancelled = true;
    q->before_cancelled = nullptr;
    q->after_cancelled = cancelled_;
    if (cancelled_) cancelled_->before_cancelled = q;
    cancelled_ = q;
    wake();
  }
  return TORQUE_ERR_NONE;
}

int32_t Resolver::on_pump(torque_source source, int32_t, uint32_t, void *resolver) noexcept {
  auto &r = *static_cast<Resolver *>(resolver);
  if (r.foreign()) return TORQUE_DONE;
  bool released;
  {
    Locked lock(r.lock_);
    released = r.released_;
  }
  if (released) {
    r.tear_down();
    (void)torque_source_remove(source);
    return TORQUE_DONE;
  }
  r.take_inbox();
  r.end_cancelled();
  r.advance();
  return TORQUE_DONE;
}

void Resolver::take_inbox() noexcept {
  Query *line;
  {
    Locked lock(lock_);
    line = inbox_first_;
    inbox_first_ = inbox_last_ = nullptr;
  }
  while (Query *q = line) {
    line = q->next;
    q->next = nullptr;
    q->queued = false;
    // Cancelled before it came here; or a dial, which waits for nobody, since its time runs already. Its lookups do.
    if (q->done)
      discard(q);
    else if (q->kind == Kind::dial)
      Dial::begin(*this, q);
    else
      enqueue(q);
  }
}

void Resolver::end_cancelled() noexcept {
  for (;;) {
    Query *q;
    {
      Locked lock(lock_);
      q = cancelled_;
    }
    if (!q) return;
    finish(q, kCancelled, nullptr, nullptr, -1);
  }
}

// ---- The end of a query ----

void Resolver::discard(Query *q) noexcept {
  if (q->done && !q->queued && !q->out) free_query(q);
}

void Resolver::finish(Query *q, torque_err err, const torque_answer *answer, const Addresses *addresses,
                      int fd) noexcept {
  if (q->kind == Kind::part) {
    Dial *dial = q->dial;
    q->done = true;
    if (dial) dial->found(q, err, err ? nullptr : addresses);
    return discard(q);
  }
  {
    Locked lock(lock_);
    if (q->cancelled) {
      forget_cancelled(q);
      err = kCancelled;
    }
    leave(q);
  }
  // What it still needed of the context could not be had: the end of all questions is near.
  if (err == TORQUE_ERR_STOPPED) {
    context_stops_.store(true, std::memory_order_relaxed);
    err = kCancelled;
  }
  outstanding_.fetch_sub(1, std::memory_order_relaxed);
  q->done = true;
  if (q->kind == Kind::dial) {
    if (q->dial) q->dial->end(err ? -1 : fd);
    q->fn.dial(q->handle, err, err ? -1 : fd, q->arg);
  } else if (q->kind == Kind::addresses) {
    q->fn.addresses(q->handle, err, err ? nullptr : static_cast<const torque_addresses *>(addresses), q->arg);
  } else {
    q->fn.answer(q->handle, err, err == kCancelled ? nullptr : answer, q->arg);
  }
  discard(q);
}

// ---- The waiting line ----

void Resolver::enqueue(Query *q) noexcept {
  q->queued = true;
  q->next = nullptr;
  (waiting_last_ ? waiting_last_->next : waiting_first_) = q;
  waiting_last_ = q;
}

void Resolver::advance() noexcept {
  if (over_) return;
  for (uint32_t budget = kBatch; budget > 0 && waiting_first_ && in_flight_ < active_.numbers.max_in_flight;) {
    Query *q = waiting_first_;
    waiting_first_ = q->next;
    if (!waiting_first_) waiting_last_ = nullptr;
    q->queued = false;
    if (q->done) {
      discard(q);
      continue;
    }
    --budget;
    begin(q);
  }
  if (waiting_first_ && in_flight_ < active_.numbers.max_in_flight) (void)torque_trigger(pump_, 0);
  reap();
  if (in_flight_ == 0 && armed_ns_ != UINT64_MAX) {
    (void)torque_timer_cancel(timer_);
    armed_ns_ = UINT64_MAX;
  } else if (in_flight_ > 0 && armed_ns_ == UINT64_MAX) {
    arm(0);  // it could not be set: no memory
  }
}

void Resolver::reap() noexcept {
  for (Channel **at = &channels_; *at;) {
    Channel *c = *at;
    if (!c->retired || c->in_flight > 0) {
      at = &c->next;
      continue;
    }
    *at = c->next;
    c->close();
  }
}

// ---- Time ----

void Resolver::arm(uint64_t when_ns) noexcept {
  if (over_ || when_ns >= armed_ns_) return;
  const uint64_t soonest = monotonic_ns() + kMs;
  if (when_ns < soonest) when_ns = soonest;
  if (when_ns >= armed_ns_) return;
  if (torque_timer_set(timer_, when_ns, 0, TORQUE_TIMER_ABSOLUTE) == TORQUE_ERR_NONE)
    armed_ns_ = when_ns;
  else
    (void)torque_trigger(pump_, 0);  // advance() tries again
}

void Resolver::on_timer(torque_source, uint64_t, void *resolver) noexcept {
  auto &r = *static_cast<Resolver *>(resolver);
  if (r.foreign() || r.over_) return;
  r.armed_ns_ = UINT64_MAX;
  for (Channel *c = r.channels_; c; c = c->next) {
    c->time_out();
    if (c->poll()) r.arm(monotonic_ns() + 10 * kMs);
  }
  r.advance();
  for (Channel *c = r.channels_; c; c = c->next) {
    const uint64_t left = c->timeout_in_ns();
    if (left != UINT64_MAX) r.arm(monotonic_ns() + left + slack_of(c->first_timeout_ns()));
  }
}

// ---- Asking ----

// Takes over what was set since, and looks once a second whether the system's files have changed.
torque_err Resolver::refresh() noexcept {
  {
    Locked lock(lock_);
    if (active_serial_ != settings_serial_) {
      if (!active_.copy(settings_)) return TORQUE_ERR_RESOURCE;
      active_serial_ = settings_serial_;
    }
  }
  const uint64_t now = monotonic_ns();
  if (files_serial_ != 0 && now - files_looked_at_ns_ < kSecond) return TORQUE_ERR_NONE;
  files_looked_at_ns_ = now;
  const Stamp resolv_conf = Stamp::of("/etc/resolv.conf"), nsswitch = Stamp::of("/etc/nsswitch.conf");
  if (files_serial_ != 0 && resolv_conf == resolv_conf_ && nsswitch == nsswitch_) return TORQUE_ERR_NONE;
  resolv_conf_ = resolv_conf;
  nsswitch_ = nsswitch;
  ++files_serial_;
  return TORQUE_ERR_NONE;
}

void Resolver::begin(Query *q) noexcept {
  if (const torque_err err = refresh()) return finish(q, err, nullptr, nullptr, -1);
  q->kind == Kind::records ? ask(q) : look_up(q);
}

// ---- Hosts ----

torque_err Resolver::choose_lookups(Query *q) noexcept {
  if (q->lookups[0]) return TORQUE_ERR_NONE;
  if (const char *chosen = active_.lookups.get()) {
    std::memcpy(q->lookups, chosen, std::strlen(chosen) + 1);
    return TORQUE_ERR_NONE;
  }
  if (system_lookups_serial_ != files_serial_) {
    if (const torque_err err = Channel::system_lookups(system_lookups_)) return err;
    system_lookups_serial_ = files_serial_;
  }
  std::memcpy(q->lookups, system_lookups_, sizeof q->lookups);
  return TORQUE_ERR_NONE;
}

void Resolver::deliver(Query *q, Addresses &addresses) noexcept {
  if (q->kind == Kind::addresses) addresses.sort();
  finish(q, addresses.list.empty() ? TORQUE_ERR_DNS_NODATA : TORQUE_ERR_NONE, nullptr, &addresses, -1);
}

// From the query's present step on.
void Resolver::look_up(Query *q) noexcept {
  torque_addresses there;
  const auto add_address = [&](Address a) {
    if (q->family == AF_INET && !q->half) (void)unmap(a, &a);  // as getaddrinfo() does
    return (q->family != AF_UNSPEC && q->family != a.family) || there.add(a, q->port, kNoTtl);
  };
  const auto add = [&](const char *text) {
    Address a;
    return !parse_address(text, std::strlen(text), &a) || add_address(a);
  };
  const auto fail = [&](torque_err err) { finish(q, err, nullptr, nullptr, -1); };
  const bool wildcard = !q->has_name && (q->flags & TORQUE_RESOLVE_PASSIVE);
  if (!q->has_name) {
    const bool good = add(wildcard ? "::" : "::1") && add(wildcard ? "0.0.0.0" : "127.0.0.1");
    return good ? deliver(q, there) : fail(TORQUE_ERR_RESOURCE);
  }
  Address a, mapped;
  const Numeric numeric = parse_numeric(q->name(), &a);
  const bool four = q->family == AF_INET && !q->half;
  if (numeric == Numeric::bad_scope && (!four || unmap(a, &mapped))) return fail(TORQUE_ERR_DNS_BADNAME);
  if (numeric == Numeric::none && four && is_digits(q->name())) return fail(TORQUE_ERR_DNS_BADNAME);
  if (numeric != Numeric::none) return add_address(a) ? deliver(q, there) : fail(TORQUE_ERR_RESOURCE);
  if (q->flags & TORQUE_RESOLVE_NUMERIC) return fail(TORQUE_ERR_DNS_BADNAME);
  if (const torque_err err = choose_lookups(q)) return fail(err);
  const bool local = is_localhost(q->name());
  for (; q->lookups[q->step]; ++q->step) {
    if (q->lookups[q->step] == 'f') {
      const char *path = active_.hosts.get() ? active_.hosts.get() : "/etc/hosts";
      if (!*path) continue;
      if (!hosts_.find(path, q->name(), q->family, !q->half, q->port, &there)) return fail(TORQUE_ERR_RESOURCE);
      if (!there.list.empty()) return deliver(q, there);
    } else if (!local) {
      return ask(q);
    }
  }
  if (local) return add("::1") && add("127.0.0.1") ? deliver(q, there) : fail(TORQUE_ERR_RESOURCE);
  fail(q->err ? q->err : TORQUE_ERR_DNS_NXDOMAIN);
}

}  // namespace torque_dns
