// SPDX-License-Identifier: BSD-3-Clause
// One thing that was asked, from the call to the callback.
#pragma once

#include <cstdint>

#include "libtorque/dns.h"
#include "message.hh"

namespace torque_dns {

class Channel;
class Dial;

enum class Kind : uint8_t {
  records,    // torque_resolver_query()
  addresses,  // torque_resolve()
  dial,       // torque_dial()
  part        // one family of a dial: has no handle, and answers to the dial
};

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

  // In the inbox: the resolver's lock; after that: its strand.
  Query *next;

  // The strand.
  Dial *dial;        // of a dial, and of its parts while they matter to it
  Channel *channel;  // that is at it; null: none
  bool queued;       // in the waiting line
  bool done;         // its callback has run; whoever still has it frees it
  bool strict;       // the first server's failure was not taken for an answer
  uint8_t step;      // of lookups
  torque_err err;    // of the step before
  char lookups[4];

  // The resolver's lock.
  bool cancelled;
  Query *before_cancelled;
  Query *after_cancelled;

  // Behind it, in the same piece of memory.
  char *name() noexcept { return reinterpret_cast<char *>(this + 1); }
};

}  // namespace torque_dns

// What the accessors see.
struct torque_answer {
  mutable torque_dns::Message message;
};
