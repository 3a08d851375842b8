// SPDX-License-Identifier: BSD-3-Clause
// The calls of <libtorque/dns.h>: check, translate, delegate.
#include <netdb.h>
#include <unistd.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "dial.hh"
#include "door.hh"
#include "resolver.hh"

using namespace torque_dns;

namespace {

constexpr uint64_t kMs = 1000000;
constexpr uint64_t kDialDelay = 250 * kMs;  // RFC 8305, 8
constexpr uint32_t kResolveFlags = TORQUE_RESOLVE_NUMERIC | TORQUE_RESOLVE_PASSIVE | TORQUE_RESOLVE_DATAGRAM;

Query *make_query(Kind kind, const char *name, uint32_t flags, void *arg) noexcept {
  const size_t size = name ? std::strlen(name) + 1 : 1;
  auto *q = static_cast<Query *>(std::calloc(1, sizeof(Query) + size));
  if (!q) return nullptr;
  q->kind = kind;
  q->flags = flags;
  q->arg = arg;
  q->has_name = name != nullptr;
  if (name) std::memcpy(q->name(), name, size);
  return q;
}

torque_err submit(torque_resolver *resolver, Query *q, torque_query *ret) noexcept {
  Visit visit(resolver);
  const torque_err err = visit ? visit->submit(q, ret) : TORQUE_ERR_STOPPED;
  if (err) free_query(q);
  return err;
}

template <class Change>
torque_err configure(torque_resolver *resolver, Change change) noexcept {
  Visit visit(resolver);
  return visit ? visit->configure(change) : TORQUE_ERR_STOPPED;
}

// A number, or what the system's list of services says.
torque_err find_port(const char *service, bool datagram, uint16_t *ret) noexcept {
  uint32_t number = 0;
  if (!service || !*service || parse_number(service, std::strlen(service), 65535, &number)) {
    *ret = static_cast<uint16_t>(number);
    return TORQUE_ERR_NONE;
  }
  for (size_t size = 1024; size <= 65536; size *= 4) {
    servent entry, *found = nullptr;
    auto *buffer = static_cast<char *>(std::malloc(size));
    if (!buffer) return TORQUE_ERR_RESOURCE;
    const int err = ::getservbyname_r(service, datagram ? "udp" : "tcp", &entry, buffer, size, &found);
    if (found) *ret = ntohs(static_cast<uint16_t>(found->s_port));
    std::free(buffer);
    if (found) return TORQUE_ERR_NONE;
    if (err != ERANGE) break;
  }
  return TORQUE_ERR_DNS_SERVICE;
}

// An answer's record; null: no such.
const Record *record_of(const torque_answer *answer, uint32_t i) noexcept {
  return answer && i < answer->message.records().size() ? &answer->message.records()[i] : nullptr;
}

uint16_t number_of(const torque_answer *answer, uint32_t i, uint16_t type, uint32_t offset) noexcept {
  const Record *r = record_of(answer, i);
  return r && r->type == type ? answer->message.number(*r, offset) : uint16_t{0};
}

const Found *found_of(const torque_addresses *addresses, uint32_t i) noexcept {
  return addresses && i < addresses->list.size() ? &addresses->list[i] : nullptr;
}

bool known_family(int32_t family) noexcept { return family == AF_UNSPEC || family == AF_INET || family == AF_INET6; }

}  // namespace

uint64_t torque_dns::deadline_in(uint64_t timeout_ns) noexcept {
  const uint64_t now = monotonic_ns();
  return timeout_ns == 0 || timeout_ns > UINT64_MAX - now ? UINT64_MAX : now + timeout_ns;
}

torque_err torque_dns::begin_dial(torque_resolver *resolver, const DialTo &to, torque_dial_fn *fn, void *arg,
                                  torque_query *ret) noexcept {
  if (!resolver || !to.service || !*to.service || (to.host && !*to.host) || !known_family(to.family) ||
      (to.flags & ~uint32_t{TORQUE_RESOLVE_NUMERIC}) || !fn) {
    return TORQUE_ERR_INVAL;
  }
  uint16_t port;
  if (const torque_err err = find_port(to.service, false, &port)) return err;
  Query *q = make_query(Kind::dial, to.host, to.flags, arg);
  if (!q) return TORQUE_ERR_RESOURCE;
  q->family = to.family;
  q->port = port;
  q->deadline_ns = to.deadline_ns;
  q->delay_ns = to.delay_ns ? to.delay_ns : kDialDelay;
  if (q->delay_ns > UINT64_MAX / 4) q->delay_ns = UINT64_MAX / 4;
  q->fn.dial = fn;
  return submit(resolver, q, ret);
}

extern "C" {

// ---- The resolver ----

torque_err torque_resolver_new(struct torque_ctx *ctx, struct torque_resolver **ret_resolver) {
  if (!ctx || !ret_resolver) return TORQUE_ERR_INVAL;
  Resolver *resolver;
  if (const torque_err err = Resolver::make(ctx, &resolver)) return err;
  torque_resolver *handle = open_door(resolver);
  if (handle) {
    *ret_resolver = handle;
    return TORQUE_ERR_NONE;
  }
  resolver->release();
  resolver->unref();
  return TORQUE_ERR_RESOURCE;
}

void torque_resolver_free(struct torque_resolver *resolver) {
  Visit visit(resolver);
  if (visit && visit.close()) visit->release();
}

torque_err torque_resolver_set_servers(struct torque_resolver *resolver, const char *servers) {
  if (!resolver) return TORQUE_ERR_INVAL;
  if (servers) {
    Array<Address> parsed;
    const Parsed how = parse_servers(servers, &parsed);
    if (how != Parsed::ok) return how == Parsed::wrong ? TORQUE_ERR_INVAL : TORQUE_ERR_RESOURCE;
    for (const Address &a : parsed) {
      if (a.family == AF_INET6 && a.v6.sin6_scope_id != 0) return TORQUE_ERR_INVAL;  // c-ares has no place for it
    }
  }
  return configure(resolver, [servers](Settings &s) { return s.servers.set(servers); });
}

torque_err torque_resolver_set_timeout(struct torque_resolver *resolver, uint64_t timeout_ns) {
  if (!resolver || (timeout_ns && timeout_ns < kMs) || timeout_ns > 3600 * 1000 * kMs) return TORQUE_ERR_INVAL;
  return configure(resolver, [timeout_ns](Settings &s) { return s.numbers.timeout_ns = timeout_ns, true; });
}

torque_err torque_resolver_set_tries(struct torque_resolver *resolver, uint32_t tries) {
  if (!resolver || tries > 100) return TORQUE_ERR_INVAL;
  return configure(resolver, [tries](Settings &s) { return s.numbers.tries = tries, true; });
}

torque_err torque_resolver_set_search(struct torque_resolver *resolver, const char *domains) {
  if (!resolver || (domains && !split_domains(domains, [](const char *, size_t) { return true; })))
    return TORQUE_ERR_INVAL;
  return configure(resolver, [domains](Settings &s) { return s.search.set(domains); });
}

torque_err torque_resolver_set_ndots(struct torque_resolver *resolver, int32_t ndots) {
  if (!resolver || ndots < -1 || ndots > 15) return TORQUE_ERR_INVAL;
  return configure(resolver, [ndots](Settings &s) { return s.numbers.ndots = ndots, true; });
}

torque_err torque_resolver_set_hosts_file(struct torque_resolver *resolver, const char *path) {
  if (!resolver) return TORQUE_ERR_INVAL;
  return configure(resolver, [path](Settings &s) { return s.hosts.set(path); });
}

torque_err torque_resolver_set_lookups(struct torque_resolver *resolver, const char *lookups) {
  if (!resolver) return TORQUE_ERR_INVAL;
  const char *const known[] = {"f", "b", "fb", "bf"};
  bool good = !lookups;
  for (const char *k : known) good = good || std::strcmp(lookups, k) == 0;
  if (!good) return TORQUE_ERR_INVAL;
  return configure(resolver, [lookups](Settings &s) { return s.lookups.set(lookups); });
}

torque_err torque_resolver_set_max_in_flight(struct torque_resolver *resolver, uint32_t max) {
  if (!resolver || max > 50000) return TORQUE_ERR_INVAL;
  return configure(resolver, [max](Settings &s) { return s.numbers.max_in_flight = max ? max : kMaxInFlight, true; });
}

torque_err torque_resolver_set_udp_max_queries(struct torque_resolver *resolver, uint32_t max) {
  if (!resolver || max > kUdpMaxQueries) return TORQUE_ERR_INVAL;
  return configure(
      resolver, [max](Settings &s) { return s.numbers.udp_max_queries = max ? max : kUdpMaxQueries, true; });
}

torque_err torque_resolver_set_flags(struct torque_resolver *resolver, uint32_t flags) {
  const uint32_t known =
      TORQUE_RESOLVER_TCP | TORQUE_RESOLVER_NO_SEARCH | TORQUE_RESOLVER_EDNS | TORQUE_RESOLVER_ROTATE;
  if (!resolver || (flags & ~known)) return TORQUE_ERR_INVAL;
  return configure(resolver, [flags](Settings &s) { return s.numbers.flags = flags, true; });
}

uint64_t torque_resolver_outstanding(const struct torque_resolver *resolver) {
  Visit visit(resolver);
  return visit ? visit->outstanding() : 0;
}

torque_err torque_resolver_cancel(struct torque_resolver *resolver, torque_query query) {
  if (!resolver) return TORQUE_ERR_INVAL;
  Visit visit(resolver);
  return visit ? visit->cancel(query) : TORQUE_ERR_STALE;
}

// ---- Records ----

torque_err torque_resolver_query(struct torque_resolver *resolver, const char *name, uint16_t type, uint32_t flags,
                                 torque_answer_fn *fn, void *arg, torque_query *ret_query) {
  if (!resolver || !name || !type || !fn || (flags & ~uint32_t{TORQUE_QUERY_SEARCH})) return TORQUE_ERR_INVAL;
  Query *q = make_query(Kind::records, name, flags, arg);
  if (!q) return TORQUE_ERR_RESOURCE;
  q->type = type;
  q->fn.answer = fn;
  return submit(resolver, q, ret_query);
}

torque_err torque_resolver_query_address(struct torque_resolver *resolver, const void *addr, uint32_t addrlen,
                                         torque_answer_fn *fn, void *arg, torque_query *ret_query) {
  Address a;
  char name[kReverseMost];
  if (!addr || addrlen < sizeof a.family || addrlen > sizeof(sockaddr_storage)) return TORQUE_ERR_INVAL;
  std::memset(&a, 0, sizeof a);
  std::memcpy(&a, addr, addrlen < sizeof a ? addrlen : sizeof a);
  if ((a.family != AF_INET && a.family != AF_INET6) || addrlen < a.size() || !reverse_name(a, name))
    return TORQUE_ERR_INVAL;
  return torque_resolver_query(resolver, name, TORQUE_DNS_PTR, 0, fn, arg, ret_query);
}

uint32_t torque_answer_count(const struct torque_answer *answer) {
  return answer ? static_cast<uint32_t>(answer->message.records().size()) : 0;
}

uint16_t torque_answer_type(const struct torque_answer *answer, uint32_t i) {
  const Record *r = record_of(answer, i);
  return r ? r->type : uint16_t{0};
}

uint32_t torque_answer_ttl(const struct torque_answer *answer, uint32_t i) {
  const Record *r = record_of(answer, i);
  return r ? r->ttl : 0;
}

const char *torque_answer_owner(const struct torque_answer *answer, uint32_t i) {
  const Record *r = record_of(answer, i);
  return r ? answer->message.text(r->owner) : nullptr;
}

const char *torque_answer_address(const struct torque_answer *answer, uint32_t i) {
  const Record *r = record_of(answer, i);
  return r ? answer->message.address_of(*r) : nullptr;
}

const char *torque_answer_target(const struct torque_answer *answer, uint32_t i) {
  const Record *r = record_of(answer, i);
  return r ? answer->message.text(r->target) : nullptr;
}

uint16_t torque_answer_priority(const struct torque_answer *answer, uint32_t i) {
  const Record *r = record_of(answer, i);
  return r && (r->type == TORQUE_DNS_MX || r->type == TORQUE_DNS_SRV) ? answer->message.number(*r, 0) : uint16_t{0};
}

uint16_t torque_answer_weight(const struct torque_answer *answer, uint32_t i) {
  return number_of(answer, i, TORQUE_DNS_SRV, 2);
}

uint16_t torque_answer_port(const struct torque_answer *answer, uint32_t i) {
  return number_of(answer, i, TORQUE_DNS_SRV, 4);
}

uint32_t torque_answer_strings(const struct torque_answer *answer, uint32_t i) {
  const Record *r = record_of(answer, i);
  return r ? r->strings : 0;
}

const char *torque_answer_string(const struct torque_answer *answer, uint32_t i, uint32_t j, uint32_t *ret_len) {
  const Record *r = record_of(answer, i);
  uint32_t size = 0;
  const char *text = r ? answer->message.string_of(*r, j, &size) : nullptr;
  if (text && ret_len) *ret_len = size;
  return text;
}

const void *torque_answer_data(const struct torque_answer *answer, uint32_t i, uint32_t *ret_len) {
  const Record *r = record_of(answer, i);
  if (r && ret_len) *ret_len = r->size;
  return r ? answer->message.bytes() + r->data : nullptr;
}

uint32_t torque_answer_aliases(const struct torque_answer *answer) {
  return answer ? static_cast<uint32_t>(answer->message.aliases().size()) : 0;
}

const char *torque_answer_alias(const struct torque_answer *answer, uint32_t i) {
  return i < torque_answer_aliases(answer) ? answer->message.text(answer->message.aliases()[i].owner) : nullptr;
}

uint16_t torque_answer_rcode(const struct torque_answer *answer) {
  return answer ? answer->message.rcode() : uint16_t{0};
}

const void *torque_answer_message(const struct torque_answer *answer, uint32_t *ret_len) {
  if (answer && ret_len) *ret_len = answer->message.size();
  return answer ? answer->message.bytes() : nullptr;
}

// ---- Addresses ----

torque_err torque_resolve(struct torque_resolver *resolver, const char *host, const char *service, int32_t family,
                          uint32_t flags, torque_addresses_fn *fn, void *arg, torque_query *ret_query) {
  if (!resolver || (!host && !service) || (host && !*host) || !known_family(family) || (flags & ~kResolveFlags) ||
      !fn) {
    return TORQUE_ERR_INVAL;
  }
  uint16_t port;
  if (const torque_err err = find_port(service, flags & TORQUE_RESOLVE_DATAGRAM, &port)) return err;
  Query *q = make_query(Kind::addresses, host, flags, arg);
  if (!q) return TORQUE_ERR_RESOURCE;
  q->family = family;
  q->port = port;
  q->fn.addresses = fn;
  return submit(resolver, q, ret_query);
}

uint32_t torque_addresses_count(const struct torque_addresses *addresses) {
  return addresses ? static_cast<uint32_t>(addresses->list.size()) : 0;
}

const void *torque_addresses_get(const struct torque_addresses *addresses, uint32_t i, uint32_t *ret_addrlen) {
  const Found *f = found_of(addresses, i);
  if (f && ret_addrlen) *ret_addrlen = f->address.size();
  return f ? &f->address : nullptr;
}

const char *torque_addresses_text(const struct torque_addresses *addresses, uint32_t i) {
  const Found *f = found_of(addresses, i);
  return f ? f->text : nullptr;
}

uint32_t torque_addresses_ttl(const struct torque_addresses *addresses, uint32_t i) {
  const Found *f = found_of(addresses, i);
  return f ? f->ttl : 0;
}

const char *torque_addresses_name(const struct torque_addresses *addresses) {
  return addresses ? addresses->name : nullptr;
}

// ---- Connections ----

torque_err torque_dial(struct torque_resolver *resolver, const char *host, const char *service, int32_t family,
                       uint32_t flags, uint64_t timeout_ns, uint64_t delay_ns, torque_dial_fn *fn, void *arg,
                       torque_query *ret_query) {
  return begin_dial(resolver, {host, service, family, flags, deadline_in(timeout_ns), delay_ns}, fn, arg, ret_query);
}

}  // extern "C"
