// SPDX-License-Identifier: BSD-3-Clause
// The original's torque_addlookup_dns(): a context has a resolver of its own for it, from the first call to its end.
#include <arpa/inet.h>

#include <cstdlib>
#include <new>

#include "door.hh"
#include "resolver.hh"

using namespace torque_dns;

namespace {

struct Entry {
  torque_ctx *ctx;
  const Resolver *resolver;  // to be compared
  torque_resolver *handle;
  Entry *next;
};

constinit ForkMutex lock;
Entry *entries DNS_GUARDED_BY(lock) = nullptr;

Entry *take_out(const torque_ctx *ctx, const Resolver *resolver) noexcept {
  Locked locked(lock);
  for (Entry **at = &entries; *at; at = &(*at)->next) {
    Entry *e = *at;
    if (ctx ? e->ctx != ctx : e->resolver != resolver) continue;
    *at = e->next;
    return e;
  }
  return nullptr;
}

// The context stops.
void forget(Resolver *resolver) noexcept {
  Entry *e = take_out(nullptr, resolver);
  if (!e) return;
  torque_resolver_free(e->handle);
  std::free(e);
}

// Null: there is none yet.
torque_resolver *find(const torque_ctx *ctx) noexcept {
  Locked locked(lock);
  for (const Entry *e = entries; e; e = e->next) {
    if (e->ctx == ctx) return e->handle;
  }
  return nullptr;
}

torque_err resolver_of(torque_ctx *ctx, torque_resolver **ret) noexcept {
  *ret = find(ctx);
  if (*ret) {
    const Visit visit(*ret);
    if (visit && !visit->foreign() && !visit->is_closed()) return TORQUE_ERR_NONE;
    // The parent's, of a context that was brought to life in this process; or of one whose place is used again.
    Entry *e = take_out(ctx, nullptr);
    if (e) torque_resolver_free(e->handle);
    std::free(e);
  }
  auto *entry = static_cast<Entry *>(std::malloc(sizeof(Entry)));
  if (!entry) return TORQUE_ERR_RESOURCE;
  torque_resolver *fresh;
  if (const torque_err err = torque_resolver_new(ctx, &fresh)) {
    std::free(entry);
    return err;
  }
  const Visit visit(fresh);
  visit->on_stop(forget);
  *ret = fresh;
  {
    Locked locked(lock);
    Entry *e = entries;
    while (e && e->ctx != ctx) e = e->next;
    if (!e) {
      *entry = {ctx, &*visit, fresh, entries};
      entries = entry;
      return TORQUE_ERR_NONE;
    }
    *ret = e->handle;
  }
  std::free(entry);  // another thread was first
  torque_resolver_free(fresh);
  return TORQUE_ERR_NONE;
}

struct Closure {
  libtorquednscb cb;
  void *state;
};

void answer(torque_query, torque_err err, const torque_addresses *addresses, void *arg) noexcept {
  const Closure c = *static_cast<Closure *>(arg);
  std::free(arg);
  torque_dnsret result = {};
  const uint32_t count = torque_addresses_count(addresses);
  auto *list = static_cast<in_addr *>(std::calloc(count ? count : 1, sizeof(in_addr)));
  result.status = list ? err : TORQUE_ERR_RESOURCE;
  if (list && !err) {
    result.nrrs = static_cast<int>(count);
    for (uint32_t i = 0; i < count; ++i) {
      list[i] = static_cast<const sockaddr_in *>(torque_addresses_get(addresses, i, nullptr))->sin_addr;
    }
  }
  result.rrs.inaddr = list;
  c.cb(&result, c.state);
  std::free(list);
}

}  // namespace

extern "C" torque_err torque_addlookup_dns(struct torque_ctx *ctx, const char *name, libtorquednscb cb, void *state) {
  if (!ctx || !name || !*name || !cb) return TORQUE_ERR_INVAL;
  torque_resolver *resolver;
  if (const torque_err err = resolver_of(ctx, &resolver)) return err;
  auto *c = static_cast<Closure *>(std::malloc(sizeof(Closure)));
  torque_err err = TORQUE_ERR_RESOURCE;
  if (c) {
    *c = {cb, state};
    err = torque_resolve(resolver, name, nullptr, AF_INET, 0, answer, c, nullptr);
    if (err) std::free(c);
  }
  return err;
}
