/* SPDX-License-Identifier: BSD-3-Clause */
#include <inttypes.h>
#include <stdio.h>

#include "echo.h"

/* The library's counters that are shown, by name. */
enum { ACCEPTED, DATAGRAMS, CALLBACKS, EVENTS, WAITS, SLEEPS, STALE, counters };
static const char *const names[counters] = {"accepted", "datagrams_received", "callbacks", "events",
                                            "waits",    "sleeps",             "stale"};

struct figures {
  uint64_t counter[counters];
};

enum { all_domains = -1, domains_shown = 16 };

static struct figures read_figures(const struct torque_ctx *ctx, int64_t domain) {
  struct figures f = {{0}};
  for (int i = 0; i < counters; i++) {
    const uint32_t counter = torque_stats_find(names[i]);
    if (domain == all_domains)
      torque_stats_total(ctx, counter, &f.counter[i]);
    else
      torque_stats_domain(ctx, (uint32_t)domain, counter, &f.counter[i]);
  }
  return f;
}

static struct figures difference(const struct figures *now, const struct figures *before) {
  struct figures d;
  for (int i = 0; i < counters; i++) d.counter[i] = now->counter[i] - before->counter[i];
  return d;
}

static uint64_t bytes(const struct server *s) {
  uint64_t sum = 0;
  for (uint32_t i = 0; i < s->workers; i++) sum += atomic_load_explicit(&s->tallies[i].bytes, memory_order_relaxed);
  return sum;
}

static uint64_t ended(const struct server *s) {
  uint64_t sum = 0;
  for (uint32_t i = 0; i < s->workers; i++) sum += atomic_load_explicit(&s->tallies[i].ended, memory_order_relaxed);
  return sum;
}

static double per_wait(const struct figures *f) {
  return f->counter[WAITS] ? (double)f->counter[EVENTS] / (double)f->counter[WAITS] : 0;
}

/* Of one second. */
static void print_figures(const struct figures *f) {
  printf("requests/s %" PRIu64 "  events/wait %.1f  sleeps %" PRIu64 "  stale %" PRIu64, f->counter[CALLBACKS],
         per_wait(f), f->counter[SLEEPS], f->counter[STALE]);
}

static void print_domains(const struct torque_ctx *ctx) {
  static struct figures before[domains_shown];
  const uint32_t n = torque_ctx_domains(ctx);
  for (uint32_t i = 0; n > 1 && i < n && i < domains_shown; i++) {
    const struct figures now = read_figures(ctx, i), second = difference(&now, &before[i]);
    before[i] = now;
    printf("  domain %" PRIu32 ": ", i);
    print_figures(&second);
    putchar('\n');
  }
}

/* A timer is exclusive: what is static here needs no lock. */
void report_second(torque_source source, uint64_t expirations, void *arg) {
  (void)source, (void)expirations;
  static struct figures before;
  static uint64_t bytes_before;
  const struct server *s = arg;
  const struct figures now = read_figures(s->ctx, all_domains), second = difference(&now, &before);
  const uint64_t bytes_now = bytes(s), gone = ended(s);
  if (s->options->udp)
    printf("datagrams %" PRIu64 " (%" PRIu64 " new)  ", now.counter[DATAGRAMS], second.counter[DATAGRAMS]);
  else
    printf("connections %" PRIu64 " (%" PRIu64 " new)  ", now.counter[ACCEPTED] - gone, second.counter[ACCEPTED]);
  printf("bytes/s %" PRIu64 "  ", bytes_now - bytes_before);
  print_figures(&second);
  putchar('\n');
  print_domains(s->ctx);
  fflush(stdout);
  before = now;
  bytes_before = bytes_now;
}

void report_all(torque_source source, int32_t reason, void *arg) {
  (void)source, (void)reason;
  const struct server *s = arg;
  if (!s->serving) return;
  const struct figures f = read_figures(s->ctx, all_domains);
  const bool udp = s->options->udp;
  printf("served %" PRIu64 " %s, %" PRIu64 " bytes; %" PRIu64 " events from %" PRIu64 " system waits, of which %" PRIu64
         " slept\n",
         f.counter[udp ? DATAGRAMS : ACCEPTED], udp ? "datagrams" : "connections", bytes(s), f.counter[EVENTS],
         f.counter[WAITS], f.counter[SLEEPS]);
  fflush(stdout);
}
