// SPDX-License-Identifier: BSD-3-Clause
// Asking the servers: a name and then those in the search domains, for each the types that are wanted, and for each of
// these what an answer makes necessary: again without EDNS, by TCP, of the other servers.
#include <sys/random.h>

#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <iterator>
#include <new>

#include "resolver.hh"

namespace torque_dns {

namespace {

constexpr torque_err kTimedOut = TORQUE_ERR_SYSCALL + ETIMEDOUT;

torque_err error_of_rcode(uint8_t rcode) noexcept {
  constexpr torque_err kErrors[] = {TORQUE_ERR_NONE,         TORQUE_ERR_DNS_FORMERR, TORQUE_ERR_DNS_SERVFAIL,
                                    TORQUE_ERR_DNS_NXDOMAIN, TORQUE_ERR_DNS_NOTIMP,  TORQUE_ERR_DNS_REFUSED};
  return rcode < std::size(kErrors) ? kErrors[rcode] : TORQUE_ERR_NONE;
}

bool unreachable(torque_err err) noexcept { return err == TORQUE_ERR_DNS_NOSERVER || err == kTimedOut; }
bool not_there(torque_err err) noexcept { return err == TORQUE_ERR_DNS_NXDOMAIN || err == TORQUE_ERR_DNS_NODATA; }

// The addresses that came before, or an empty list. Null: no memory.
Addresses *addresses_of(Query &q) noexcept {
  if (q.addresses) return q.addresses;
  void *p = std::malloc(sizeof(torque_addresses));
  return q.addresses = p ? new (p) torque_addresses : nullptr;
}

Address address_of(const Record &r, const uint8_t *data) noexcept {
  Address a;
  std::memset(&a, 0, sizeof a);
  a.family = r.type == TORQUE_DNS_A ? AF_INET : AF_INET6;
  if (r.type == TORQUE_DNS_A)
    std::memcpy(&a.v4.sin_addr, data, sizeof a.v4.sin_addr);
  else
    std::memcpy(&a.v6.sin6_addr, data, sizeof a.v6.sin6_addr);
  return a;
}

// The addresses in an answer go to those of the query.
torque_err collect(Query &q, const Message &m) noexcept {
  if (m.records().empty()) return TORQUE_ERR_DNS_NODATA;
  Addresses *there = addresses_of(q);
  if (!there) return TORQUE_ERR_RESOURCE;
  uint32_t ttl = UINT32_MAX;
  for (const Record &alias : m.aliases()) ttl = alias.ttl < ttl ? alias.ttl : ttl;
  for (const Record &r : m.records()) {
    if (!there->add(address_of(r, m.bytes() + r.data), q.port, r.ttl < ttl ? r.ttl : ttl)) return TORQUE_ERR_RESOURCE;
  }
  if (there->name || m.aliases().empty()) return TORQUE_ERR_NONE;
  there->name = ::strdup(m.text(m.records()[0].owner));
  return there->name ? TORQUE_ERR_NONE : TORQUE_ERR_RESOURCE;
}

// Of both families: addresses of one are enough, and of two failures the one that is not just an absence says more.
torque_err both_ends(const Query &q) noexcept {
  const torque_err a = q.ends[0], b = q.ends[1];
  if (a == TORQUE_ERR_RESOURCE || b == TORQUE_ERR_RESOURCE) return TORQUE_ERR_RESOURCE;
  if (!a || !b) return TORQUE_ERR_NONE;
  if (!not_there(a)) return a;
  if (!not_there(b)) return b;
  return a == TORQUE_ERR_DNS_NODATA ? a : b;
}

uint32_t flavour_of(const Wire &w) noexcept {
  return (w.strict ? uint32_t{kStrict} : 0) | (w.plain ? uint32_t{kPlain} : 0) | (w.tcp ? uint32_t{kByTcp} : 0);
}

void on_wire(void *wire, int status, int, unsigned char *bytes, int size) noexcept {
  auto &w = *static_cast<Wire *>(wire);
  w.channel->owner().wire_back(w, status, bytes, size > 0 ? static_cast<uint32_t>(size) : 0);
}

}  // namespace

void free_query(Query *q) noexcept {
  if (q->addresses) {
    auto *there = static_cast<torque_addresses *>(q->addresses);
    there->~torque_addresses();
    std::free(there);
  }
  std::free(q->candidate);
  std::free(q);
}

// ---- Channels ----

void Resolver::retire(Channel *c) noexcept {
  c->retired = true;
  if (current_[c->flavour] == c) current_[c->flavour] = nullptr;
}

Channel *Resolver::channel_for(uint32_t flavour, torque_err *err) noexcept {
  const uint64_t serial = active_serial_ << 24 | (files_serial_ & 0xffffff);
  Channel *c = current_[flavour];
  if (c && (c->serial != serial || c->begun >= active_.numbers.udp_max_queries)) {
    retire(c);
    c = nullptr;
  }
  if (c) return c->edns_refused ? channel_for(flavour | kPlain, err) : c;
  c = Channel::open(*this, active_, flavour, err);
  if (!c) return nullptr;
  c->serial = serial;
  c->next = channels_;
  channels_ = c;
  return current_[flavour] = c;
}

// What a forger would have to guess, beside the port.
bool Resolver::fresh_id(const Channel &c, uint16_t *ret) noexcept {
  for (int tries = 0; tries < 8; ++tries) {
    if (ids_left_ == 0) {
      if (::getrandom(ids_, sizeof ids_, 0) != sizeof ids_) return false;
      ids_left_ = static_cast<uint32_t>(std::size(ids_));
    }
    *ret = ids_[--ids_left_];
    if (!c.find_wire(*ret)) break;
  }
  return true;
}

// ---- A name after the other ----

void Resolver::ask(Query *q) noexcept {
  q->search = {0, kNotAsked, true, false};
  ++in_flight_;
  torque_err err = TORQUE_ERR_DNS_BADNAME;
  if ((q->kind != Kind::records && !is_host_name(q->name())) || !ask_next(q, &err)) candidate_over(q, err, nullptr);
}

// False: there are no more names (*err stays), or it cannot be asked (*err says why).
bool Resolver::ask_next(Query *q, torque_err *err) noexcept {
  torque_err why = TORQUE_ERR_NONE;
  const Channel *c = channel_for(0, &why);
  char name[kCandidateMost];
  bool as_it_is = false;
  const bool search = q->kind != Kind::records || (q->flags & TORQUE_QUERY_SEARCH);
  if (c && !c->candidate(q->name(), search, q->search.at, name, &as_it_is)) return false;
  std::free(q->candidate);
  q->candidate = c ? ::strdup(name) : nullptr;
  if (!q->candidate) return *err = c ? TORQUE_ERR_RESOURCE : why, false;
  q->search.is_it = as_it_is;
  const bool both = q->kind != Kind::records && q->family == AF_UNSPEC;
  const uint16_t address = q->family == AF_INET6 ? uint16_t{TORQUE_DNS_AAAA} : uint16_t{TORQUE_DNS_A};
  const uint16_t type = q->kind == Kind::records ? q->type : address;
  q->out = both ? 2 : 1;
  for (int i = 0; i <= both; ++i) {
    q->wires[i] = {};
    q->wires[i].query = q;
    q->wires[i].type = i == 0 ? type : uint16_t{TORQUE_DNS_AAAA};
    q->ends[i] = TORQUE_ERR_NONE;
  }
  // The first may end at once, and with it the query; the second keeps it in any case.
  for (int i = 0; i <= both; ++i) send(q->wires[i]);
  return true;
}

void Resolver::candidate_over(Query *q, torque_err err, const torque_answer *answer) noexcept {
  Search &s = q->search;
  const bool too_long = err == TORQUE_ERR_DNS_BADNAME && !s.is_it;  // with the domain
  if (!q->done && !over_ && (not_there(err) || too_long || err == TORQUE_ERR_DNS_SERVFAIL)) {
    if (s.is_it) s.as_it_is = err;
    s.exists |= err == TORQUE_ERR_DNS_NODATA;
    ++s.at;
    if (ask_next(q, &err)) return;
    // What the name itself has said counts, wherever else it was looked for.
    if (s.as_it_is != kNotAsked && err != TORQUE_ERR_RESOURCE) err = s.as_it_is;
    if (err == TORQUE_ERR_DNS_NXDOMAIN && s.exists) err = TORQUE_ERR_DNS_NODATA;
  }
  --in_flight_;
  if (q->done) return discard(q);
  asked(q, err, answer);
}

void Resolver::asked(Query *q, torque_err err, const torque_answer *answer) noexcept {
  if (q->kind == Kind::records) return finish(q, err, answer, nullptr, -1);
  if (!err) return deliver(q, *q->addresses);
  if (over_ || err == TORQUE_ERR_SYSCALL + ECANCELED || err == TORQUE_ERR_RESOURCE)
    return finish(q, err, nullptr, nullptr, -1);
  q->err = err;
  ++q->step;  // where else might it be?
  look_up(q);
}

// ---- One question ----

void Resolver::send(Wire &w) noexcept {
  torque_err err = TORQUE_ERR_SYSCALL + ECANCELED;
  if (over_ || w.query->done) return wire_over(w, err, nullptr, 0);
  w.tcp |= (active_.numbers.flags & TORQUE_RESOLVER_TCP) != 0;
  Channel *c = channel_for(flavour_of(w), &err);
  if (!c) return wire_over(w, err, nullptr, 0);
  if (!fresh_id(*c, &w.id)) return wire_over(w, TORQUE_ERR_SYSCALL + errno, nullptr, 0);
  w.edns = c->edns;
  w.by_tcp += w.tcp;
  uint8_t *message = nullptr;
  int size = 0;
  const int status =
      ares_create_query(w.query->candidate, 1, w.type, w.id, 1, &message, &size, w.edns ? kEdnsBytes : 0);
  if (status) return wire_over(w, error_of(status), nullptr, 0);
  c->add(w);
  arm(monotonic_ns() + c->first_timeout_ns());
  ares_send(c->ares(), message, size, on_wire, &w);
  ares_free_string(message);
}

void Resolver::wire_back(Wire &w, int status, const uint8_t *bytes, uint32_t size) noexcept {
  Channel *c = w.channel;
  c->remove(w);
  torque_err err = error_of(status);
  if (!over_ && !w.query->done && ask_again(w, c, &err)) return;
  if (!err && size > 3) err = error_of_rcode(bytes[3] & 15);
  if (!over_ && !w.query->done && !w.strict && c->servers > 1 &&
      (err == TORQUE_ERR_DNS_SERVFAIL || err == TORQUE_ERR_DNS_REFUSED || err == TORQUE_ERR_DNS_NOTIMP)) {
    // That one server fails is no answer while there are others.
    w.strict = true;
    w.err = err;
    return send(w);
  }
  // Of the failures, the one that a server has told says most.
  if (w.err && unreachable(err)) err = w.err;
  wire_over(w, err, bytes, size);
}

// Has the way failed on which it was asked, and is there another?
bool Resolver::ask_again(Wire &w, Channel *before, torque_err *err) noexcept {
  if (!*err && w.refused) {
    before->edns_refused = true;
    w.refused = false;
    w.plain = true;
  } else if (w.tcp && unreachable(*err)) {
    // c-ares makes one connection to a server for all, and takes its silence, or its end, for that of the server.
    if (before->flavour & kByTcp)
      retire(before);
    else if (*err == kTimedOut)
      ++w.by_tcp;
    if (w.by_tcp >= before->tries) return false;
  } else {
    return false;
  }
  send(w);
  return true;
}

void Resolver::wire_over(Wire &w, torque_err err, const uint8_t *bytes, uint32_t size) noexcept {
  Query *q = w.query;
  --q->out;
  torque_answer answer;
  bool no_memory = false;
  const bool sensible = bytes && size > 0 && !q->done && answer.message.parse(bytes, size, w.type, &no_memory);
  if (no_memory)
    err = TORQUE_ERR_RESOURCE;
  else if (!err && !sensible)
    err = TORQUE_ERR_DNS_BADRESP;
  else if (!err && answer.message.records().empty())
    err = TORQUE_ERR_DNS_NODATA;
  if (q->kind == Kind::records || q->done) {
    if (q->out == 0) candidate_over(q, err, sensible ? &answer : nullptr);
    return;
  }
  if (!err) err = collect(*q, answer.message);
  const bool second = &w == &q->wires[1];
  q->ends[second] = err;
  if (q->out > 0) return;
  candidate_over(q, q->family == AF_UNSPEC ? both_ends(*q) : q->ends[0], nullptr);
}

}  // namespace torque_dns
