// SPDX-License-Identifier: BSD-3-Clause
// One thing that was asked, from the call to the callback.
#pragma once

#include <cstdint>

#include "libtorque/dns.h"
#include "message.hh"

namespace torque_dns {

class Addresses;
class Channel;
class Dial;
struct Query;

enum class Kind : uint8_t {
  records,    // torque_resolver_query()
  addresses,  // torque_resolve()
  dial,       // torque_dial()
  part        // one family of a dial: has no handle, and answers to the dial
};

// One name and type that is asked of the servers. The strand's.
struct Wire {
  Query *query;
  Channel *channel;  // that is at it; null: none
  Wire *next;        // of those with the same hash in the channel
  uint16_t id;       // of the message
  uint16_t type;
  bool strict;     // the first server's failure was not taken for an answer
  bool edns;       // it has an OPT record
  bool refused;    // a server does not know OPT records
  bool tcp;        // the answer does not fit a datagram, or nothing else is wanted
  bool plain;      // never an OPT record again
  uint32_t by_tcp; // rounds that were made with connections of their own
  torque_err err;  // of the servers that were asked before
};

// The names under which a query is looked for, one after another: as it is, and in the search domains.
struct Search {
  uint32_t at;            // which of them is asked for
  torque_err as_it_is;    // how the name itself has ended; kNotAsked: it has not been asked for
  bool is_it;             // that is the name itself
  bool exists;            // one of them exists, without such records
};
constexpr torque_err kNotAsked = -1;

struct Query {
  // Constant after it was submitted.
  Kind kind;
  uint16_t type;  // of the records
  uint16_t port;
  uint32_t flags;
  int family;
  torque_query handle;  // 0: a part
  union {
    torque_answer_fn *answer;
    torque_addresses_fn *addresses;
    torque_dial_fn *dial;
  } fn;
  void *arg;
  uint64_t deadline_ns;  // of a dial
  uint64_t delay_ns;
  bool has_name;
  bool half;  // a part: the other family is asked for as well

  // In the inbox: the resolver's lock; after that: its strand.
  Query *next;

  // The strand.
  Dial *dial;        // of a dial, and of its parts while they matter to it
  Wire wires[2];     // of addresses one for each family
  uint8_t out;       // how many of them are with servers
  bool queued;       // in the waiting line
  bool done;         // its callback has run; whoever still has it frees it
  uint8_t step;      // of lookups
  torque_err err;    // of the step before
  Search search;
  char *candidate;   // the name that is asked for; null: none yet. Owned
  torque_err ends[2];     // of the wires
  Addresses *addresses;   // that have come; null: none. Owned
  char lookups[4];

  // The resolver's lock.
  bool cancelled;
  Query *before_cancelled;
  Query *after_cancelled;

  // Behind it, in the same piece of memory.
  char *name() noexcept { return reinterpret_cast<char *>(this + 1); }
};
void free_query(Query *q) noexcept;

}  // namespace torque_dns

// What the accessors see.
struct torque_answer {
  mutable torque_dns::Message message;
};
