// SPDX-License-Identifier: BSD-3-Clause
// A resolver: takes questions from any thread, asks them in its strand, and calls back there.
//
// A call puts its query into the inbox and triggers the pump, a source of the strand; what the strand owns (the waiting
// line, the channels, the dials) no other thread sees. A query is in the table until its callback begins, so a handle
// that finds it there may still cancel it, and the one that takes it out calls back: once.
#pragma once

#include <atomic>

#include "addresses.hh"
#include "channel.hh"
#include "hosts.hh"
#include "libtorque/dns.h"
#include "libtorque/torque.h"
#include "mutex.hh"
#include "query.hh"
#include "settings.hh"

namespace torque_dns {

uint64_t monotonic_ns() noexcept;

class Resolver {
 public:
  // With one reference.
  static torque_err make(torque_ctx *ctx, Resolver **ret) noexcept;

  // ---- Any thread ----
  void release() noexcept;  // torque_resolver_free()
  void leave_door() noexcept {
    if (!foreign()) unref();
  }
  void ref() noexcept { refs_.fetch_add(1, std::memory_order_relaxed); }
  void unref() noexcept;
  // The query is the resolver's on success only.
  torque_err submit(Query *q, torque_query *ret) noexcept;
  torque_err cancel(torque_query handle) noexcept;
  uint64_t outstanding() const noexcept { return outstanding_.load(std::memory_order_relaxed); }
  // change(settings) answers false when there is no memory.
  template <class Change>
  torque_err configure(Change change) noexcept {
    Locked lock(lock_);
    if (!change(settings_)) return TORQUE_ERR_RESOURCE;
    ++settings_serial_;
    return TORQUE_ERR_NONE;
  }
  bool is_closed() noexcept {
    Locked lock(lock_);
    return closed_;
  }
  // Whoever has not been told of an end yet is told by the context that it stops.
  bool context_stops() noexcept { return context_stops_.load(std::memory_order_relaxed) || is_closed(); }
  // Called when the context stops, once; before the first query only.
  void on_stop(void (*fn)(Resolver *)) noexcept { stopped_ = fn; }
  // Does it belong to another process? Then nothing of it may be touched.
  bool foreign() const noexcept {
    const pid_t owner = pid_.load(std::memory_order_relaxed);
    return owner != 0 && owner != getpid();
  }

  // ---- The strand ----
  torque_ctx *context() const noexcept { return ctx_; }
  torque_strand *strand() const noexcept { return strand_; }
  // Calls back, and gives the query up: it is gone unless a channel or the line has it.
  void finish(Query *q, torque_err err, const torque_answer *answer, const Addresses *addresses, int fd) noexcept;
  void enqueue(Query *q) noexcept;
  // After whatever may have freed a place: starts what waits, closes what is over.
  void advance() noexcept;
  void arm(uint64_t when_ns) noexcept;
  // c-ares has done with it.
  void wire_back(Wire &w, int status, const uint8_t *bytes, uint32_t size) noexcept;
  // Is the time over for something that may have been answered meanwhile?
  bool late() const noexcept { return armed_ns_ != UINT64_MAX && monotonic_ns() >= armed_ns_; }

 private:
  explicit Resolver(torque_ctx *ctx) noexcept : ctx_(ctx) {}
  ~Resolver() = default;
  static int32_t on_pump(torque_source source, int32_t fd, uint32_t events, void *resolver) noexcept;
  static void on_pump_end(torque_source source, int32_t reason, void *resolver) noexcept;
  static void on_timer(torque_source source, uint64_t expirations, void *resolver) noexcept;
  static void on_timer_end(torque_source source, int32_t reason, void *resolver) noexcept;

  torque_err start() noexcept DNS_REQUIRES(lock_);
  void wake() noexcept DNS_REQUIRES(lock_);
  bool enter(Query *q) noexcept DNS_REQUIRES(lock_);
  Query *look(torque_query handle) noexcept DNS_REQUIRES(lock_);
  void leave(Query *q) noexcept DNS_REQUIRES(lock_);
  void forget_cancelled(Query *q) noexcept DNS_REQUIRES(lock_);

  void take_inbox() noexcept;
  void end_cancelled() noexcept;
  torque_err refresh() noexcept;
  void begin(Query *q) noexcept;
  void look_up(Query *q) noexcept;
  void deliver(Query *q, Addresses &addresses) noexcept;
  torque_err choose_lookups(Query *q) noexcept;
  // Asking: ask.cc.
  Channel *channel_for(uint32_t flavour, torque_err *err) noexcept;
  void retire(Channel *c) noexcept;
  bool fresh_id(const Channel &c, uint16_t *ret) noexcept;
  void ask(Query *q) noexcept;
  bool ask_next(Query *q, torque_err *err) noexcept;
  void send(Wire &w) noexcept;
  bool ask_again(Wire &w, Channel *before, torque_err *err) noexcept;
  void wire_over(Wire &w, torque_err err, const uint8_t *bytes, uint32_t size) noexcept;
  void candidate_over(Query *q, torque_err err, const torque_answer *answer) noexcept;
  void asked(Query *q, torque_err err, const torque_answer *answer) noexcept;
  void reap() noexcept;
  void tear_down() noexcept;
  static void discard(Query *q) noexcept;

  // Constant after make().
  torque_ctx *const ctx_;
  torque_strand *strand_ = nullptr;  // the pump keeps it
  torque_source pump_ = 0;
  torque_source timer_ = 0;
  void (*stopped_)(Resolver *) = nullptr;

  // The strand.
  Settings active_;
  uint64_t active_serial_ = 0;
  uint64_t files_looked_at_ns_ = 0;
  uint64_t files_serial_ = 0;
  Stamp resolv_conf_, nsswitch_;
  char system_lookups_[4] = "";
  uint64_t system_lookups_serial_ = 0;
  Hosts hosts_;
  Query *waiting_first_ = nullptr;
  Query *waiting_last_ = nullptr;
  Channel *channels_ = nullptr;
  Channel *current_[kFlavours] = {};
  uint16_t ids_[64];  // random ones
  uint32_t ids_left_ = 0;
  uint32_t in_flight_ = 0;
  uint64_t armed_ns_ = UINT64_MAX;
  bool over_ = false;

  // Any thread.
  std::atomic<uint32_t> refs_{1};
  std::atomic<uint64_t> outstanding_{0};
  std::atomic<pid_t> pid_{0};  // 0: not started
  std::atomic<bool> context_stops_{false};  // a call has said so. Relaxed: a hint, of the strand for itself

  Mutex lock_;
  struct Place {
    Query *query;
    uint32_t generation;
    uint32_t next_free;
  };
  Array<Place> places_ DNS_GUARDED_BY(lock_);
  uint32_t first_free_ DNS_GUARDED_BY(lock_) = UINT32_MAX;
  Query *inbox_first_ DNS_GUARDED_BY(lock_) = nullptr;
  Query *inbox_last_ DNS_GUARDED_BY(lock_) = nullptr;
  Query *cancelled_ DNS_GUARDED_BY(lock_) = nullptr;
  Settings settings_ DNS_GUARDED_BY(lock_);
  uint64_t settings_serial_ DNS_GUARDED_BY(lock_) = 1;
  bool started_ DNS_GUARDED_BY(lock_) = false;
  bool closed_ DNS_GUARDED_BY(lock_) = false;  // nothing new is taken
  bool ended_ DNS_GUARDED_BY(lock_) = false;   // the pump has ended, and perhaps the context with it
  bool released_ DNS_GUARDED_BY(lock_) = false;
};

}  // namespace torque_dns

struct torque_addresses final : torque_dns::Addresses {};
