/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef TORQUE_HOST_H
#define TORQUE_HOST_H

#include <libtorque/dns.h>
#include <libtorque/torque.h>

enum { exit_found = 0, exit_not_found = 1, exit_usage = 2, exit_failure = 3 };

struct options {
  const char *servers; /* null: the system's */
  uint64_t timeout_ns; /* 0: the system's */
  uint32_t tries;
  uint32_t in_flight;
  uint32_t resolver_flags;
  uint16_t type; /* 0: addresses, as programs find them */
  int32_t family;
  int backwards; /* names are addresses */
  int brief;
  int pipe;
};

/* -1: no such type. */
int type_number(const char *text);
const char *type_text(uint16_t type, char room[16]);

/* Looks up the names, or the lines of standard input; the exit status. */
int look_up(const struct options *o, char *const *names);

/* Prints one record, or one address. */
void print_record(const struct options *o, const char *name, const struct torque_answer *answer, uint32_t i);
void print_address(const struct options *o, const char *name, const struct torque_addresses *addresses, uint32_t i);

#endif
