/* SPDX-License-Identifier: BSD-3-Clause */
/* The state of the network, in a namespace of the test's own: what is there, what changes, what was lost. */
#define _GNU_SOURCE
#include "support/child.h"
#include "support/context.h"

#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "support/cmocka.h"

enum { PAGE = 1 << 16, ALL = 0xf };

/* One line for each event: "changed address 1 10.0.0.1/24", "removed route 1 10.9.0.0/16 via 10.0.0.2 254 7". */
struct heard {
  void (*then)(struct heard *h, torque_source source, const struct torque_network_event *event);
  torque_source source;
  _Atomic int blocked;
  _Atomic uint32_t calls, completes, overflows, presents, inside, overlaps, finals, calls_after_final, strange;
  _Atomic int32_t reason;
  _Atomic uint32_t flags, mtu, state;
  uint32_t noted; /* for then() */
  _Atomic torque_err result;
  pthread_mutex_t lock;
  size_t length;
  char page[PAGE];
};

static const char *text_of(const void *address, uint32_t size, int32_t family, char text[64]) {
  text[0] = 0;
  if (size == (family == AF_INET ? 4u : 16u)) inet_ntop(family, address, text, 64);
  return text;
}

static void write_down(struct heard *h, const struct torque_network_event *e) {
  static const char *const whats[] = {"?", "changed", "removed", "present", "complete", "overflow"};
  const uint32_t kind = torque_network_event_kind(e);
  const char *what = kind == TORQUE_NETWORK_LINKS       ? "link"
                     : kind == TORQUE_NETWORK_ADDRESSES ? "address"
                     : kind == TORQUE_NETWORK_ROUTES    ? "route"
                     : kind                             ? "neighbour"
                                                        : "";
  char line[300], text[64], gateway[64], mac[32] = "";
  uint32_t size = 0, gateway_size = 0, mac_size = 0;
  const void *address = torque_network_event_address(e, &size), *via = torque_network_event_gateway(e, &gateway_size);
  const unsigned char *hardware = torque_network_event_hardware(e, &mac_size);
  const int32_t family = torque_network_event_family(e);
  if (mac_size == 6) snprintf(mac, sizeof mac, "%02x:%02x", hardware[0], hardware[5]);
  int n = snprintf(line, sizeof line, "%s %s %d %s%s", whats[torque_network_event_what(e)], what,
                   torque_network_event_index(e), kind == TORQUE_NETWORK_LINKS ? torque_network_event_name(e) : "",
                   text_of(address, size, family, text));
  if (family) n += snprintf(line + n, sizeof line - (size_t)n, "/%u", torque_network_event_prefix(e));
  if (gateway_size)
    n += snprintf(line + n, sizeof line - (size_t)n, " via %s", text_of(via, gateway_size, family, gateway));
  if (kind == TORQUE_NETWORK_ROUTES)
    n += snprintf(line + n, sizeof line - (size_t)n, " %u %u", torque_network_event_table(e),
                  torque_network_event_metric(e));
  if (kind == TORQUE_NETWORK_NEIGHBOURS) n += snprintf(line + n, sizeof line - (size_t)n, " %s", mac);
  n += snprintf(line + n, sizeof line - (size_t)n, "\n");
  pthread_mutex_lock(&h->lock);
  if (h->length + (size_t)n < sizeof h->page) {
    memcpy(h->page + h->length, line, (size_t)n + 1);
    h->length += (size_t)n;
  }
  pthread_mutex_unlock(&h->lock);
}

static unsigned lines(struct heard *h, const char *line) {
  unsigned n = 0;
  const size_t length = strlen(line);
  pthread_mutex_lock(&h->lock);
  for (const char *at = h->page; (at = strstr(at, line)); at += length)
    n += (at == h->page || at[-1] == '\n') && at[length] == '\n';
  pthread_mutex_unlock(&h->lock);
  return n;
}

static void on_network(torque_source source, const struct torque_network_event *event, void *arg) {
  struct heard *h = arg;
  const int32_t what = torque_network_event_what(event);
  if (atomic_fetch_add(&h->inside, 1)) atomic_fetch_add(&h->overlaps, 1);
  if (h->finals) atomic_fetch_add(&h->calls_after_final, 1);
  if (what == TORQUE_NETWORK_COMPLETE)
    atomic_fetch_add(&h->completes, 1);
  else if (what == TORQUE_NETWORK_OVERFLOW)
    atomic_fetch_add(&h->overflows, 1);
  else if (what < 1 || what > 5 || !torque_network_event_kind(event))
    atomic_fetch_add(&h->strange, 1);
  if (what == TORQUE_NETWORK_PRESENT) atomic_fetch_add(&h->presents, 1);
  if (torque_network_event_kind(event) == TORQUE_NETWORK_LINKS) {
    atomic_store(&h->flags, torque_network_event_flags(event));
    atomic_store(&h->mtu, torque_network_event_mtu(event));
  }
  write_down(h, event);
  atomic_fetch_add(&h->calls, 1);
  STAY_UNTIL(!atomic_load(&h->blocked));
  if (h->then) h->then(h, source, event);
  atomic_fetch_sub(&h->inside, 1);
}

static void on_final(torque_source source, int32_t reason, void *arg) {
  (void)source;
  struct heard *h = arg;
  atomic_store(&h->reason, reason);
  atomic_fetch_add(&h->finals, 1);
}

static struct heard *heard_new(struct fixture *f) {
  struct heard *h = fixture_take(f, sizeof *h);
  pthread_mutex_init(&h->lock, NULL);
  return h;
}

static void begin(struct fixture *f, struct heard *h, uint32_t kinds, uint32_t flags) {
  assert_int_equal(torque_network_new(f->ctx, kinds, flags, on_network, h, &h->source), 0);
  assert_int_equal(torque_source_set_finalizer(h->source, on_final), 0);
  assert_int_equal(torque_source_start(h->source), 0);
}

static struct heard *hear(struct fixture *f, uint32_t kinds, uint32_t flags) {
  struct heard *h = heard_new(f);
  begin(f, h, kinds, flags);
  return h;
}

static void assert_sound(const struct heard *h) {
  assert_int_equal(h->overlaps, 0);
  assert_int_equal(h->calls_after_final, 0);
  assert_int_equal(h->strange, 0);
}

static void ip(const char *command) {
  char line[400];
  snprintf(line, sizeof line, "ip %s", command);
  assert_int_equal(system(line), 0);
}

/* The loopback interface of the namespace, as every test finds and leaves it. */
static void lo_up(void) { ip("link set lo up mtu 65536"); }
static void lo_down(void) {
  ip("link set lo down");
  ip("address flush dev lo scope global");
}

/* ---- What changes ---- */

static void links(void **state) {
  struct fixture *f = *state;
  struct heard *h = hear(f, TORQUE_NETWORK_LINKS, 0);
  lo_up();
  AWAIT(f, lines(h, "changed link 1 lo") && (h->flags & IFF_UP));
  ip("link set lo mtu 1400");
  AWAIT(f, h->mtu == 1400);
  lo_down();
  AWAIT(f, !(h->flags & IFF_UP));
  assert_int_equal(h->completes, 0);
  assert_int_equal(h->presents, 0);
  assert_sound(h);
}

static void addresses(void **state) {
  struct fixture *f = *state;
  lo_up();
  struct heard *h = hear(f, TORQUE_NETWORK_ADDRESSES, 0), *routes = hear(f, TORQUE_NETWORK_LINKS, 0);
  ip("address add 10.1.0.1/24 dev lo");
  ip("address add 10.2.0.1 peer 10.3.0.1/32 dev lo");
  ip("-6 address add 2001:db8::7/64 dev lo");
  AWAIT(f, lines(h, "changed address 1 10.1.0.1/24") == 1);
  AWAIT(f, lines(h, "changed address 1 10.2.0.1/32") == 1); /* its own, not the peer's */
  AWAIT(f, lines(h, "changed address 1 2001:db8::7/64") >= 1);
  ip("address del 10.1.0.1/24 dev lo");
  AWAIT(f, lines(h, "removed address 1 10.1.0.1/24") == 1);
  assert_int_equal(routes->calls, 0);
  lo_down();
  assert_sound(h);
}

static void routes(void **state) {
  struct fixture *f = *state;
  lo_up();
  ip("address add 10.1.0.1/24 dev lo");
  struct heard *h = hear(f, TORQUE_NETWORK_ROUTES, 0);
  ip("route add 10.9.0.0/16 via 10.1.0.2 dev lo metric 7");
  ip("route add default dev lo table 1234");
  AWAIT(f, lines(h, "changed route 1 10.9.0.0/16 via 10.1.0.2 254 7") == 1);
  AWAIT(f, lines(h, "changed route 1 /0 1234 0") == 1);
  ip("route add 10.8.0.0/16 nexthop via 10.1.0.3 dev lo nexthop via 10.1.0.4 dev lo");
  AWAIT(f, lines(h, "changed route 1 10.8.0.0/16 via 10.1.0.3 254 0") == 1); /* the first of two ways */
  ip("route del 10.9.0.0/16 dev lo");
  AWAIT(f, lines(h, "removed route 1 10.9.0.0/16 via 10.1.0.2 254 7") == 1);
  ip("route flush table 1234");
  lo_down();
  assert_sound(h);
}

/* Interfaces that come and go, where the kernel has such. */
static void interfaces(void **state) {
  struct fixture *f = *state;
  if (system("ip link add probe0 type dummy 2>/dev/null || ip link add probe0 type veth peer name probe1 2>/dev/null"))
    skip();
  const unsigned index = if_nametoindex("probe0");
  struct heard *h = hear(f, TORQUE_NETWORK_LINKS | TORQUE_NETWORK_NEIGHBOURS, TORQUE_NETWORK_DUMP);
  char line[64];
  snprintf(line, sizeof line, "present link %u probe0", index);
  AWAIT(f, h->completes == 1);
  assert_int_equal(lines(h, line), 1);
  ip("link set probe0 up");
  ip("address add 10.7.0.1/24 dev probe0");
  ip("neighbour add 10.7.0.9 lladdr 02:00:00:00:00:55 dev probe0");
  snprintf(line, sizeof line, "changed neighbour %u 10.7.0.9/32 02:55", index);
  AWAIT(f, lines(h, line));
  ip("link del probe0");
  snprintf(line, sizeof line, "removed link %u probe0", index);
  AWAIT(f, lines(h, line));
  assert_sound(h);
}

/* ---- What is there ---- */

static void the_present_state_first(void **state) {
  struct fixture *f = *state;
  lo_up();
  ip("address add 10.1.0.1/24 dev lo");
  ip("route add 10.9.0.0/16 via 10.1.0.2 dev lo");
  struct heard *h = hear(f, ALL, TORQUE_NETWORK_DUMP);
  AWAIT(f, h->completes == 1);
  assert_int_equal(lines(h, "present link 1 lo"), 1);
  assert_int_equal(lines(h, "present address 1 10.1.0.1/24"), 1);
  assert_int_equal(lines(h, "present address 1 127.0.0.1/8"), 1);
  assert_int_equal(lines(h, "present route 1 10.9.0.0/16 via 10.1.0.2 254 0"), 1);
  ip("address del 10.1.0.1/24 dev lo");
  AWAIT(f, lines(h, "removed address 1 10.1.0.1/24") == 1);
  fixture_settle(f);
  assert_int_equal(h->completes, 1);
  lo_down();
  assert_sound(h);
}

static void many_sources(void **state) {
  struct fixture *f = *state;
  enum { SOURCES = 100 };
  struct heard *h[SOURCES];
  lo_up();
  for (int i = 0; i < SOURCES; i++) h[i] = hear(f, ALL, TORQUE_NETWORK_DUMP);
  for (int i = 0; i < SOURCES; i++) AWAIT(f, h[i]->completes == 1);
  ip("address add 10.4.0.1/32 dev lo");
  for (int i = 0; i < SOURCES; i++) AWAIT(f, lines(h[i], "changed address 1 10.4.0.1/32") == 1);
  for (int i = 0; i < SOURCES; i++) {
    assert_int_equal(torque_source_remove_wait(h[i]->source), 0);
    assert_int_equal(h[i]->finals, 1);
    assert_sound(h[i]);
  }
  lo_down();
}

/* Nothing is read meanwhile, so that the socket overflows. */
static void flood(void) {
  FILE *batch = popen("ip -batch -", "w");
  assert_non_null(batch);
  for (int i = 0; i < 2000; i++) fprintf(batch, "address add 10.5.%d.%d/32 dev lo\n", i / 250, i % 250 + 1);
  assert_int_equal(pclose(batch), 0);
}

static void after_an_overflow_all_is_told_anew(void **state) {
  struct fixture *f = *state;
  lo_up();
  struct heard *h = hear(f, TORQUE_NETWORK_ADDRESSES | TORQUE_NETWORK_LINKS, TORQUE_NETWORK_DUMP);
  struct heard *plain = hear(f, TORQUE_NETWORK_ADDRESSES, 0);
  AWAIT(f, h->completes == 1);
  flood();
  AWAIT(f, h->overflows >= 1 && h->completes == 2 && plain->overflows >= 1);
  assert_true(h->presents >= 2000);
  assert_int_equal(plain->completes, 0);
  fixture_settle(f);
  ip("address add 10.6.0.1/32 dev lo");
  AWAIT(f, torque_source_alive(h->source) && plain->calls > 0);
  const uint32_t calls = h->calls;
  ip("address del 10.6.0.1/32 dev lo");
  AWAIT(f, h->calls > calls);
  lo_down();
  assert_sound(h);
}

/* Until a socket that has overflowed was read to its end the system drops what comes, and says nothing of that. So that
 * something was lost is told after that: what changes from then on is heard. */
static void change_at_the_overflow(struct heard *h, torque_source source, const struct torque_network_event *event) {
  (void)h, (void)source;
  if (torque_network_event_what(event) != TORQUE_NETWORK_OVERFLOW || h->noted++) return;
  ip("address add 10.7.0.1/32 dev lo");
}

static void what_changes_after_an_overflow_was_told_is_heard(void **state) {
  struct fixture *f = *state;
  for (uint32_t flags = 0; flags <= TORQUE_NETWORK_DUMP; flags += TORQUE_NETWORK_DUMP) {
    lo_up();
    struct heard *h = heard_new(f);
    h->then = change_at_the_overflow;
    begin(f, h, TORQUE_NETWORK_ADDRESSES, flags);
    if (flags) AWAIT(f, h->completes == 1);
    flood();
    AWAIT(f, h->overflows);
    AWAIT(f, lines(h, "changed address 1 10.7.0.1/32") == 1);
    if (flags) AWAIT(f, h->completes == 2);
    assert_int_equal(torque_source_remove_wait(h->source), 0);
    lo_down();
    assert_sound(h);
  }
}

/* ---- The end ---- */

static void remove_own(struct heard *h, torque_source source, const struct torque_network_event *event) {
  (void)event;
  atomic_store(&h->result, torque_source_remove_wait(source));
  if (h->result == TORQUE_ERR_DEADLOCK) atomic_store(&h->result, torque_source_remove(source));
}

static void removed_from_its_own_callback(void **state) {
  struct fixture *f = *state;
  lo_up();
  struct heard *h = heard_new(f);
  h->then = remove_own;
  h->result = -1;
  begin(f, h, ALL, TORQUE_NETWORK_DUMP);
  AWAIT(f, h->finals);
  fixture_settle(f);
  assert_int_equal(h->result, 0);
  assert_int_equal(h->calls, 1);
  assert_int_equal(h->reason, TORQUE_END_REMOVED);
  lo_down();
  assert_sound(h);
}

static void postpone_some(struct heard *h, torque_source source, const struct torque_network_event *event) {
  (void)event;
  if (h->calls % 2) (void)torque_postpone(source);
}

static void put_off_it_is_told_the_same_again(void **state) {
  struct fixture *f = *state;
  lo_up();
  struct heard *h = heard_new(f);
  h->then = postpone_some;
  begin(f, h, TORQUE_NETWORK_LINKS, TORQUE_NETWORK_DUMP);
  AWAIT(f, h->completes == 2);
  assert_int_equal(lines(h, "present link 1 lo"), 2);
  lo_down();
}

static void *remove_it(void *arg) {
  struct heard *h = arg;
  atomic_store(&h->result, torque_source_remove_wait(h->source));
  return NULL;
}

static void removed_while_it_is_told(void **state) {
  struct fixture *f = *state;
  struct heard *h = heard_new(f);
  h->blocked = 1;
  h->result = -1;
  begin(f, h, ALL, TORQUE_NETWORK_DUMP);
  AWAIT(f, h->calls);
  fixture_thread(f, remove_it, h);
  AWAIT(f, !torque_source_alive(h->source)); /* it has begun, and waits */
  assert_int_equal(h->finals, 0);
  atomic_store(&h->blocked, 0);
  fixture_join(f);
  assert_int_equal(h->result, 0);
  assert_int_equal(h->calls, 1);
  assert_int_equal(h->finals, 1);
}

static void wrong_arguments(void **state) {
  struct fixture *f = *state;
  torque_source s = 5;
  assert_int_equal(torque_network_add(NULL, ALL, 0, on_network, NULL, &s), TORQUE_ERR_INVAL);
  assert_int_equal(torque_network_add(f->ctx, 0, 0, on_network, NULL, &s), TORQUE_ERR_INVAL);
  assert_int_equal(torque_network_add(f->ctx, 0x10, 0, on_network, NULL, &s), TORQUE_ERR_INVAL);
  assert_int_equal(torque_network_add(f->ctx, ALL, 2, on_network, NULL, &s), TORQUE_ERR_INVAL);
  assert_int_equal(torque_network_add(f->ctx, ALL, 0, NULL, NULL, &s), TORQUE_ERR_INVAL);
  assert_int_equal(torque_network_add(f->ctx, ALL, 0, on_network, NULL, NULL), TORQUE_ERR_INVAL);
  assert_int_equal(torque_network_new(f->ctx, ALL, 0, on_network, NULL, NULL), TORQUE_ERR_INVAL);
  assert_int_equal(s, 5);
  struct heard *h = hear(f, ALL, 0);
  assert_int_equal(torque_close(h->source), TORQUE_ERR_KIND);
  assert_int_equal(torque_trigger(h->source, TORQUE_READ), TORQUE_ERR_KIND);
  assert_int_equal(torque_source_start(h->source), TORQUE_ERR_STATE);
  uint32_t size = 5;
  assert_null(torque_network_event_address(NULL, &size));
  assert_int_equal(size, 0);
  assert_string_equal(torque_network_event_name(NULL), "");
}

/* ---- Fork ---- */

static struct fixture *inherited;
static struct heard *inherited_heard;

static int told_in_child(int done) {
  if (!done) CHECK(torque_run_once(inherited->ctx, 1000000, NULL) == 0);
  return done;
}

static int goes_on_in_the_child(void *arg) {
  (void)arg;
  struct heard *h = inherited_heard;
  const uint32_t completes = h->completes;
  CHECK(torque_reinit(inherited->ctx) == 0);
  CHECK_SOON(told_in_child(h->overflows == 1 && h->completes == completes + 1));
  CHECK(system("ip address add 10.4.0.9/32 dev lo") == 0);
  CHECK_SOON(told_in_child(lines(h, "changed address 1 10.4.0.9/32") == 1));
  CHECK(torque_stop(inherited->ctx) == 0);
  return 0;
}

static void in_a_forked_child(void **state) {
  struct fixture *f = *state;
  lo_up();
  inherited = f;
  inherited_heard = hear(f, ALL, TORQUE_NETWORK_DUMP);
  AWAIT(f, inherited_heard->completes == 1);
  assert_int_equal(child_run(goes_on_in_the_child, NULL), 0);
  AWAIT(f, lines(inherited_heard, "changed address 1 10.4.0.9/32") == 1); /* nothing was taken from the parent */
  assert_int_equal(inherited_heard->overflows, 0);
  lo_down();
}

int main(void) {
  const struct CMUnitTest tests[] = {
      ON_EVERY(links),
      ON_EVERY(addresses),
      ON_EVERY(routes),
      ON_EVERY(interfaces),
      ON_EVERY(the_present_state_first),
      ON(synthetic, many_sources),
      ON(driven, many_sources),
      ON(driven, after_an_overflow_all_is_told_anew),
      ON(driven, what_changes_after_an_overflow_was_told_is_heard),
      ON_EVERY(removed_from_its_own_callback),
      ON_EVERY(put_off_it_is_told_the_same_again),
      ON_THREADED(removed_while_it_is_told),
      ON_EVERY(wrong_arguments),
      ON(driven, in_a_forked_child),
  };
  /* Threads that come later are in it as well. */
  if (unshare(CLONE_NEWNET) != 0 && unshare(CLONE_NEWUSER | CLONE_NEWNET) != 0) {
    fprintf(stderr, "no network namespace: %s\n", strerror(errno));
    return 77;
  }
  return cmocka_run_group_tests(tests, NULL, NULL);
}
