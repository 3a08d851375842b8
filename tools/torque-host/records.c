/* SPDX-License-Identifier: BSD-3-Clause */
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "host.h"

static const struct {
  const char *text;
  uint16_t number;
} types[] = {{"A", TORQUE_DNS_A},         {"NS", TORQUE_DNS_NS},     {"CNAME", TORQUE_DNS_CNAME},
             {"SOA", TORQUE_DNS_SOA},     {"PTR", TORQUE_DNS_PTR},   {"MX", TORQUE_DNS_MX},
             {"TXT", TORQUE_DNS_TXT},     {"AAAA", TORQUE_DNS_AAAA}, {"SRV", TORQUE_DNS_SRV},
             {"NAPTR", TORQUE_DNS_NAPTR}, {"SVCB", TORQUE_DNS_SVCB}, {"HTTPS", TORQUE_DNS_HTTPS},
             {"ANY", TORQUE_DNS_ANY},     {"CAA", TORQUE_DNS_CAA}};
enum { type_count = sizeof types / sizeof *types };

int type_number(const char *text) {
  for (int i = 0; i < type_count; i++)
    if (!strcasecmp(text, types[i].text)) return types[i].number;
  if (!strncasecmp(text, "TYPE", 4)) text += 4; /* RFC 3597 */
  char *rest;
  if (*text < '0' || *text > '9') return -1;
  const unsigned long n = strtoul(text, &rest, 10);
  return *rest || n == 0 || n > 65535 ? -1 : (int)n;
}

const char *type_text(uint16_t type, char room[16]) {
  for (int i = 0; i < type_count; i++)
    if (types[i].number == type) return types[i].text;
  snprintf(room, 16, "TYPE%u", type);
  return room;
}

/* Between quotes, as in zone files. */
static void print_string(const char *text, uint32_t size) {
  putchar('"');
  for (uint32_t i = 0; i < size; i++) {
    const unsigned char c = (unsigned char)text[i];
    if (c == '"' || c == '\\')
      printf("\\%c", c);
    else if (c < ' ' || c >= 0x7f)
      printf("\\%03u", c);
    else
      putchar(c);
  }
  putchar('"');
}

static void print_data(const struct torque_answer *answer, uint32_t i) {
  const uint16_t type = torque_answer_type(answer, i);
  const char *address = torque_answer_address(answer, i), *target = torque_answer_target(answer, i);
  if (address) {
    printf("%s", address);
  } else if (type == TORQUE_DNS_SRV) {
    printf("%u %u %u %s", torque_answer_priority(answer, i), torque_answer_weight(answer, i),
           torque_answer_port(answer, i), target);
  } else if (type == TORQUE_DNS_MX) {
    printf("%u %s", torque_answer_priority(answer, i), target);
  } else if (target) {
    printf("%s", target);
  } else if (torque_answer_strings(answer, i)) {
    for (uint32_t j = 0; j < torque_answer_strings(answer, i); j++) {
      uint32_t size = 0;
      const char *text = torque_answer_string(answer, i, j, &size);
      if (j) putchar(' ');
      if (text) print_string(text, size);
    }
  } else { /* RFC 3597: of what type it may be */
    uint32_t size = 0;
    const unsigned char *data = torque_answer_data(answer, i, &size);
    printf("\\# %u%s", size, size ? " " : "");
    for (uint32_t j = 0; j < size; j++) printf("%02x", data[j]);
  }
}

void print_record(const struct options *o, const char *name, const struct torque_answer *answer, uint32_t i) {
  char room[16];
  if (!o->brief) printf("%s %s ", name, type_text(torque_answer_type(answer, i), room));
  print_data(answer, i);
  putchar('\n');
}

void print_address(const struct options *o, const char *name, const struct torque_addresses *addresses, uint32_t i) {
  uint32_t size = 0;
  (void)torque_addresses_get(addresses, i, &size);
  if (!o->brief) printf("%s %s ", name, size == sizeof(struct sockaddr_in) ? "A" : "AAAA");
  printf("%s\n", torque_addresses_text(addresses, i));
}
