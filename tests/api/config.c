/* SPDX-License-Identifier: BSD-3-Clause */
/* The configuration object: what each setter takes and refuses, and that the context is what was asked for. */
#include "support/context.h"

#include <dirent.h>
#include <pthread.h>
#include <sched.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "support/cmocka.h"

static int up(void **state) { return torque_config_new((struct torque_config **)state); }
static int down(void **state) {
  torque_config_free(*state);
  return 0;
}

/* ---- Ranges ---- */

static void numbers_out_of_range_are_refused(void **state) {
  struct torque_config *c = *state;
  assert_int_equal(torque_config_set_workers(c, 4096), 0);
  assert_int_equal(torque_config_set_workers(c, 4097), TORQUE_ERR_INVAL);
  assert_int_equal(torque_config_set_workers(c, UINT32_MAX), TORQUE_ERR_INVAL);
  assert_int_equal(torque_config_set_workers(c, 0), 0);
  for (uint32_t sharing = TORQUE_SHARE_DEFAULT; sharing <= TORQUE_SHARE_MACHINE; sharing++)
    assert_int_equal(torque_config_set_sharing(c, sharing), 0);
  assert_int_equal(torque_config_set_sharing(c, TORQUE_SHARE_MACHINE + 1), TORQUE_ERR_INVAL);
  assert_int_equal(torque_config_set_domain_max(c, 1), 0);
  assert_int_equal(torque_config_set_domain_max(c, 1024), 0);
  assert_int_equal(torque_config_set_domain_max(c, 1025), TORQUE_ERR_INVAL);
  assert_int_equal(torque_config_set_domain_max(c, 0), TORQUE_ERR_INVAL);
  assert_int_equal(torque_config_set_window(c, 0, 0), 0);
  assert_int_equal(torque_config_set_window(c, 1, 4096), 0);
  assert_int_equal(torque_config_set_window(c, 0, 64), 0);
  assert_int_equal(torque_config_set_window(c, 64, 0), 0);
  assert_int_equal(torque_config_set_window(c, 1, 4097), TORQUE_ERR_INVAL);
  assert_int_equal(torque_config_set_window(c, 9, 8), TORQUE_ERR_INVAL);
  assert_int_equal(torque_config_set_stack_size(c, 64 * 1024), 0);
  assert_int_equal(torque_config_set_stack_size(c, 64 * 1024 - 1), TORQUE_ERR_INVAL);
  assert_int_equal(torque_config_set_driven(c, 1), 0);
  assert_int_equal(torque_config_set_driven(c, 0), 0);
  assert_int_equal(torque_config_set_poll_deadline(c, 1), 0);
  assert_int_equal(torque_config_set_poll_deadline(c, 0), 0);
  assert_int_equal(torque_config_set_pinning(c, 0), 0);
  assert_int_equal(torque_config_set_oneshot(c, 1), 0);
  assert_int_equal(torque_config_set_timing(c, 1), 0);
}

static void texts_that_are_none_are_refused(void **state) {
  struct torque_config *c = *state;
  assert_int_equal(torque_config_set_name(c, "0123456789"), 0);
  assert_int_equal(torque_config_set_name(c, "01234567890"), TORQUE_ERR_INVAL);
  assert_int_equal(torque_config_set_name(c, NULL), TORQUE_ERR_INVAL);
  assert_int_equal(torque_config_set_topology(c, 7, "x"), TORQUE_ERR_INVAL);
  assert_int_equal(torque_config_set_topology(c, TORQUE_TOPOLOGY_SYNTHETIC, NULL), TORQUE_ERR_INVAL);
  assert_int_equal(torque_config_set_topology(c, TORQUE_TOPOLOGY_XML, NULL), TORQUE_ERR_INVAL);
  assert_int_equal(torque_config_set_topology(c, TORQUE_TOPOLOGY_LIVE, NULL), 0);
}

static void *take(size_t size, size_t align, void *arg) { return (void)align, (void)arg, malloc(size); }
static void give(void *p, size_t size, void *arg) { (void)size, (void)arg, free(p); }
static void keep_quiet(int32_t level, const char *text, void *arg) { (void)level, (void)text, (void)arg; }

static void functions_come_in_pairs(void **state) {
  struct torque_config *c = *state;
  assert_int_equal(torque_config_set_allocator(c, take, NULL, NULL), TORQUE_ERR_INVAL);
  assert_int_equal(torque_config_set_allocator(c, NULL, give, NULL), TORQUE_ERR_INVAL);
  assert_int_equal(torque_config_set_allocator(c, take, give, NULL), 0);
  assert_int_equal(torque_config_set_allocator(c, NULL, NULL, NULL), 0);
  assert_int_equal(torque_config_set_log(c, keep_quiet, NULL), 0);
  assert_int_equal(torque_config_set_log(c, NULL, NULL), 0);
}

static void signals_that_cannot_end_it_are_refused(void **state) {
  struct torque_config *c = *state;
  const int32_t good[] = {SIGTERM, SIGUSR1, SIGRTMAX};
  assert_int_equal(torque_config_set_term_signals(c, good, 3), 0);
  assert_int_equal(torque_config_set_term_signals(c, NULL, 0), 0);
  assert_int_equal(torque_config_set_term_signals(c, NULL, 1), TORQUE_ERR_INVAL);
  const int32_t wrong[] = {0, -1, SIGKILL, SIGSTOP, SIGSEGV, 1000};
  for (size_t i = 0; i < sizeof wrong / sizeof *wrong; i++)
    assert_int_equal(torque_config_set_term_signals(c, &wrong[i], 1), TORQUE_ERR_INVAL);
}

static void nothing_can_be_set_in_nothing(void **state) {
  (void)state;
  assert_int_equal(torque_config_new(NULL), TORQUE_ERR_INVAL);
  assert_int_equal(torque_config_set_workers(NULL, 1), TORQUE_ERR_INVAL);
  assert_int_equal(torque_config_set_driven(NULL, 1), TORQUE_ERR_INVAL);
  assert_int_equal(torque_config_set_poll_deadline(NULL, 1), TORQUE_ERR_INVAL);
  assert_int_equal(torque_config_set_name(NULL, "x"), TORQUE_ERR_INVAL);
  assert_int_equal(torque_ctx_new(NULL, NULL), TORQUE_ERR_INVAL);
  torque_config_free(NULL);
}

static void a_map_that_is_none_makes_no_context(void **state) {
  struct torque_config *c = *state;
  struct torque_ctx *ctx = (void *)state;
  assert_int_equal(torque_config_set_topology(c, TORQUE_TOPOLOGY_SYNTHETIC, "this is no machine"), 0);
  assert_int_equal(torque_ctx_new(c, &ctx), TORQUE_ERR_INVAL);
  assert_int_equal(torque_config_set_topology(c, TORQUE_TOPOLOGY_XML, "/nonexistent.xml"), 0);
  assert_int_equal(torque_ctx_new(c, &ctx), TORQUE_ERR_INVAL);
  assert_ptr_equal(ctx, state); /* untouched on failure */
}

static void a_refused_value_changes_nothing(void **state) {
  struct torque_config *c = *state;
  struct torque_ctx *ctx = NULL;
  assert_int_equal(torque_config_set_workers(c, 3), 0);
  assert_int_equal(torque_config_set_workers(c, 5000), TORQUE_ERR_INVAL);
  assert_int_equal(torque_ctx_new(c, &ctx), 0);
  const uint32_t workers = torque_ctx_workers(ctx);
  assert_int_equal(torque_stop(ctx), 0);
  assert_int_equal(workers, 3);
}

/* ---- Workers and domains ---- */

struct expected {
  const char *map;
  uint32_t sharing, workers_asked, domain_max;
  uint32_t workers, domains;
};

static void sharing_makes_the_domains(void **state) {
  static const char map[] = "pack:2 numa:1 l3:2 l2:2 core:2 pu:2"; /* 32 CPUs */
  static const struct expected table[] = {
      {map, TORQUE_SHARE_THREAD, 0, 16, 32, 32},
      {map, TORQUE_SHARE_CORE, 0, 16, 32, 16},
      {map, TORQUE_SHARE_L2, 0, 16, 32, 8},
      {map, TORQUE_SHARE_L3, 0, 16, 32, 4},
      {map, TORQUE_SHARE_NODE, 0, 16, 32, 2},
      {map, TORQUE_SHARE_MACHINE, 0, 16, 32, 1}, /* one queue for all, however many */
      {map, TORQUE_SHARE_NODE, 0, 4, 32, 8},     /* no more than 4 CPUs to a domain */
      {map, TORQUE_SHARE_L3, 0, 3, 32, 12},      /* 8 into three, evenly */
      {"pack:1 l3:1 core:8 pu:1", TORQUE_SHARE_DEFAULT, 0, 16, 8, 1},
      {"pack:1 l3:4 core:2 pu:1", TORQUE_SHARE_DEFAULT, 0, 16, 8, 4},
      {"pack:2 l3:4 core:4 pu:2", TORQUE_SHARE_L3, 0, 16, 64, 8},
      {"core:2 pu:1", TORQUE_SHARE_MACHINE, 6, 16, 6, 1}, /* more workers than CPUs */
      {"core:1 pu:1", TORQUE_SHARE_DEFAULT, 0, 16, 1, 1},
      {"pack:1 l3:2 core:4 pu:1", TORQUE_SHARE_THREAD, 3, 16, 3, 3},
  };
  (void)state;
  for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
    const struct expected *e = &table[i];
    struct torque_config *c = NULL;
    struct torque_ctx *ctx = NULL;
    assert_int_equal(torque_config_new(&c), 0);
    assert_int_equal(torque_config_set_topology(c, TORQUE_TOPOLOGY_SYNTHETIC, e->map), 0);
    assert_int_equal(torque_config_set_sharing(c, e->sharing), 0);
    assert_int_equal(torque_config_set_domain_max(c, e->domain_max), 0);
    assert_int_equal(torque_config_set_workers(c, e->workers_asked), 0);
    assert_int_equal(torque_ctx_new(c, &ctx), 0);
    torque_config_free(c);
    const uint32_t workers = torque_ctx_workers(ctx), domains = torque_ctx_domains(ctx);
    assert_int_equal(torque_stop(ctx), 0);
    if (workers != e->workers || domains != e->domains)
      fail_msg("row %zu: %u workers in %u domains", i, workers, domains);
  }
}

static void a_driven_context_has_one_of_each(void **state) {
  struct torque_config *c = *state;
  struct torque_ctx *ctx = NULL;
  assert_int_equal(torque_config_set_driven(c, 1), 0);
  assert_int_equal(torque_config_set_workers(c, 7), 0);
  assert_int_equal(torque_config_set_topology(c, TORQUE_TOPOLOGY_SYNTHETIC, "pack:2 l3:2 core:4 pu:1"), 0);
  assert_int_equal(torque_ctx_new(c, &ctx), 0);
  const unsigned threads = threads_alive();
  assert_int_equal(torque_start(ctx), TORQUE_ERR_KIND);
  assert_int_equal(threads_alive(), threads);
  assert_int_equal(torque_ctx_domains(ctx), 1);
  assert_int_equal(torque_ctx_workers(ctx), 1);
  assert_int_equal(torque_stop(ctx), 0);
}

/* ---- What workers are ---- */

static struct told {
  _Atomic uint32_t answers;
  char name[256][16];
  int cpus[256], cpu[256];
  size_t stack[256];
  unsigned seen[256];
} told;

static void tell(void *arg) {
  const int32_t me = torque_current_worker();
  (void)arg;
  if (me < 0 || me >= 256) return;
  cpu_set_t set;
  pthread_attr_t attr;
  void *base;
  pthread_getname_np(pthread_self(), told.name[me], sizeof told.name[me]);
  if (pthread_getaffinity_np(pthread_self(), sizeof set, &set) == 0) {
    told.cpus[me] = CPU_COUNT(&set);
    told.cpu[me] = sched_getcpu();
  }
  if (pthread_getattr_np(pthread_self(), &attr) == 0) {
    pthread_attr_getstack(&attr, &base, &told.stack[me]);
    pthread_attr_destroy(&attr);
  }
  told.seen[me] = 1;
  atomic_fetch_add(&told.answers, 1);
}

/* Asks every domain of a context with a worker in each. Answers the number of workers. */
static uint32_t ask_workers(struct torque_config *c) {
  struct fixture f = {.shape = &shape_live};
  memset(&told, 0, sizeof told);
  assert_int_equal(torque_config_set_sharing(c, TORQUE_SHARE_THREAD), 0);
  assert_int_equal(torque_ctx_new(c, &f.ctx), 0);
  const uint32_t n = torque_ctx_workers(f.ctx);
  assert_int_equal(torque_ctx_domains(f.ctx), n);
  for (uint32_t d = 0; d < n; d++) assert_int_equal(torque_post_domain(f.ctx, d, tell, NULL), 0);
  AWAIT(&f, told.answers == n);
  assert_int_equal(torque_stop(f.ctx), 0);
  return n;
}

static void workers_have_the_name(void **state) {
  struct torque_config *c = *state;
  assert_int_equal(torque_config_set_name(c, "pump"), 0);
  assert_int_equal(torque_config_set_workers(c, 12), 0);
  const uint32_t n = ask_workers(c);
  assert_int_equal(n, 12);
  for (uint32_t i = 0; i < n; i++) {
    char name[32];
    snprintf(name, sizeof name, "pump/%u", i);
    assert_string_equal(told.name[i], name);
  }
}

static void workers_are_named_torque_by_default(void **state) {
  const uint32_t n = ask_workers(*state);
  for (uint32_t i = 0; i < n; i++) {
    char name[32];
    snprintf(name, sizeof name, "torque/%u", i);
    assert_string_equal(told.name[i], name);
  }
}

static int cpus_usable(void) {
  cpu_set_t set;
  assert_int_equal(sched_getaffinity(0, sizeof set, &set), 0);
  return CPU_COUNT(&set);
}

static void workers_are_pinned(void **state) {
  const uint32_t n = ask_workers(*state);
  for (uint32_t i = 0; i < n; i++) assert_int_equal(told.cpus[i], 1);
  for (uint32_t i = 0; i < n; i++)
    for (uint32_t k = 0; k < i; k++) assert_int_not_equal(told.cpu[i], told.cpu[k]);
}

static void workers_are_not_pinned_when_not_wanted(void **state) {
  struct torque_config *c = *state;
  assert_int_equal(torque_config_set_pinning(c, 0), 0);
  const uint32_t n = ask_workers(c);
  for (uint32_t i = 0; i < n; i++) assert_int_equal(told.cpus[i], cpus_usable());
}

static void workers_of_a_foreign_map_are_not_pinned(void **state) {
  struct torque_config *c = *state;
  assert_int_equal(torque_config_set_topology(c, TORQUE_TOPOLOGY_SYNTHETIC, "core:5 pu:1"), 0);
  assert_int_equal(ask_workers(c), 5);
  for (int i = 0; i < 5; i++) assert_int_equal(told.cpus[i], cpus_usable());
}

static void only_the_cpus_that_were_named_are_used(void **state) {
  struct torque_config *c = *state;
  cpu_set_t set;
  assert_int_equal(sched_getaffinity(0, sizeof set, &set), 0);
  uint32_t last = 0;
  for (uint32_t i = 0; i < CPU_SETSIZE; i++)
    if (CPU_ISSET(i, &set)) last = i;
  assert_int_equal(torque_config_set_cpus(c, &last, 1), 0);
  assert_int_equal(ask_workers(c), 1);
  assert_int_equal(told.cpus[0], 1);
  assert_int_equal(told.cpu[0], last);
  /* None of those named may be used. */
  struct torque_ctx *ctx = NULL;
  const uint32_t far = 100000;
  assert_int_equal(torque_config_set_cpus(c, &far, 1), 0);
  assert_int_equal(torque_ctx_new(c, &ctx), TORQUE_ERR_AFFINITY);
  assert_int_equal(torque_config_set_cpus(c, NULL, 0), 0);
  assert_int_equal(ask_workers(c), cpus_usable());
}

static void the_affinity_of_the_caller_counts_and_stays(void **state) {
  struct torque_config *c = *state;
  cpu_set_t all, one, now;
  assert_int_equal(sched_getaffinity(0, sizeof all, &all), 0);
  CPU_ZERO(&one);
  for (size_t i = 0; i < CPU_SETSIZE && !CPU_COUNT(&one); i++)
    if (CPU_ISSET(i, &all)) CPU_SET(i, &one);
  assert_int_equal(sched_setaffinity(0, sizeof one, &one), 0);
  const uint32_t n = ask_workers(c);
  assert_int_equal(sched_getaffinity(0, sizeof now, &now), 0);
  assert_int_equal(sched_setaffinity(0, sizeof all, &all), 0);
  assert_int_equal(n, 1);
  assert_true(CPU_EQUAL(&now, &one));
}

static void stacks_have_the_size(void **state) {
  struct torque_config *c = *state;
  const size_t bytes = (SANITIZED ? 3000 : 300) * 1024;
  assert_int_equal(torque_config_set_stack_size(c, bytes), 0);
  uint32_t n = ask_workers(c);
  for (uint32_t i = 0; i < n; i++) assert_in_range(told.stack[i], bytes, bytes + 100 * 1024);
}

static void stacks_are_as_the_limit_says(void **state) {
  struct rlimit limit, mine;
  assert_int_equal(getrlimit(RLIMIT_STACK, &limit), 0);
  mine = limit;
  mine.rlim_cur = 3 << 20;
  assert_int_equal(setrlimit(RLIMIT_STACK, &mine), 0);
  uint32_t n = ask_workers(*state);
  assert_int_equal(setrlimit(RLIMIT_STACK, &limit), 0);
  for (uint32_t i = 0; i < n; i++) assert_in_range(told.stack[i], 3 << 20, (3 << 20) + (256 << 10));
}

/* A stack is really usable to its end, and not more than that is committed. */
static void use_stack(void *arg) {
  volatile char deep[(size_t)5 << 20];
  for (size_t i = 0; i < sizeof deep; i += 4096) deep[i] = 1;
  atomic_store((_Atomic int *)arg, deep[0]);
}

static void a_large_stack_can_be_used(void **state) {
  struct torque_config *c = *state;
  struct fixture f = {.shape = &shape_live};
  static _Atomic int used;
  atomic_store(&used, 0);
  assert_int_equal(torque_config_set_stack_size(c, (size_t)6 << 20), 0);
  assert_int_equal(torque_ctx_new(c, &f.ctx), 0);
  assert_int_equal(torque_post(f.ctx, use_stack, (void *)(uintptr_t)&used), 0);
  AWAIT(&f, used == 1);
  assert_int_equal(torque_stop(f.ctx), 0);
}

/* ---- Threads begin with the first source, or when asked ---- */

static int32_t quiet(torque_source source, int32_t fd, uint32_t events, void *arg) {
  (void)source, (void)fd, (void)events, (void)arg;
  return TORQUE_DONE;
}

static void threads_begin_with_the_first_source(void **state) {
  struct torque_config *c = *state;
  struct torque_ctx *ctx = NULL;
  torque_source s;
  assert_int_equal(torque_config_set_workers(c, 4), 0);
  const unsigned before = threads_alive();
  assert_int_equal(torque_ctx_new(c, &ctx), 0);
  assert_int_equal(threads_alive(), before);
  assert_int_equal(torque_event_add(ctx, 0, quiet, NULL, &s), 0);
  struct fixture f = {.shape = &shape_live, .ctx = ctx};
  AWAIT(&f, threads_alive() == before + 4);
  assert_int_equal(torque_stop(ctx), 0);
}

static void threads_begin_when_asked(void **state) {
  struct torque_config *c = *state;
  struct torque_ctx *ctx = NULL;
  assert_int_equal(torque_config_set_workers(c, 4), 0);
  const unsigned before = threads_alive();
  assert_int_equal(torque_ctx_new(c, &ctx), 0);
  assert_int_equal(torque_start(ctx), 0);
  assert_int_equal(torque_start(ctx), 0);
  struct fixture f = {.shape = &shape_live, .ctx = ctx};
  AWAIT(&f, threads_alive() == before + 4);
  assert_int_equal(torque_stop(ctx), 0);
}

static void a_hundred_workers_start(void **state) {
  struct torque_config *c = *state;
  assert_int_equal(torque_config_set_workers(c, SANITIZED ? 40 : 100), 0);
  const uint32_t n = ask_workers(c);
  for (uint32_t i = 0; i < n; i++) assert_int_equal(told.seen[i], 1);
}

/* ---- The configuration is not needed afterwards ---- */

static void the_context_keeps_copies(void **state) {
  struct torque_config *c = *state;
  struct fixture f = {.shape = &shape_live};
  char name[] = "copied", map[] = "core:3 pu:1";
  uint32_t cpus[1] = {0};
  int32_t signals[1] = {SIGUSR1};
  assert_int_equal(torque_config_set_name(c, name), 0);
  assert_int_equal(torque_config_set_topology(c, TORQUE_TOPOLOGY_SYNTHETIC, map), 0);
  assert_int_equal(torque_config_set_cpus(c, cpus, 1), 0);
  assert_int_equal(torque_config_set_cpus(c, NULL, 0), 0);
  assert_int_equal(torque_config_set_term_signals(c, signals, 1), 0);
  memset(name, 'x', sizeof name - 1);
  memset(map, 'x', sizeof map - 1);
  memset(&told, 0, sizeof told);
  assert_int_equal(torque_ctx_new(c, &f.ctx), 0);
  assert_int_equal(torque_ctx_workers(f.ctx), 3);
  torque_config_free(c);
  assert_int_equal(torque_config_new(&c), 0);
  *state = c;
  assert_int_equal(torque_post(f.ctx, tell, NULL), 0);
  AWAIT(&f, told.answers == 1);
  assert_int_equal(torque_stop(f.ctx), 0);
  for (int i = 0; i < 3; i++)
    if (told.seen[i]) assert_int_equal(strncmp(told.name[i], "copied/", 7), 0);
}

/* ---- The log ---- */

static _Atomic int logged, badly;
static void remember(int32_t level, const char *text, void *arg) {
  if (level < TORQUE_LOG_ERROR || level > TORQUE_LOG_INFO || !text || !*text || arg != &logged)
    atomic_fetch_add(&badly, 1);
  atomic_fetch_add(&logged, 1);
}

static void on_connection(torque_source s, int32_t fd, const void *addr, uint32_t addrlen, void *arg) {
  (void)s, (void)addr, (void)addrlen, (void)arg;
  close(fd);
}

/* A full descriptor table is worth a word. */
static void the_log_tells_of_a_full_descriptor_table(void **state) {
  struct torque_config *c = *state;
  struct fixture f = {.shape = &shape_live};
  struct rlimit limit, tight;
  const unsigned char loopback[16] = {2, 0, 0, 0, 127, 0, 0, 1}; /* AF_INET, any port */
  unsigned char address[16];
  uint32_t length;
  torque_source s;
  atomic_store(&logged, 0), atomic_store(&badly, 0);
  assert_int_equal(torque_config_set_log(c, remember, (void *)(uintptr_t)&logged), 0);
  assert_int_equal(torque_ctx_new(c, &f.ctx), 0);
  assert_int_equal(torque_listen_add(f.ctx, loopback, 16, 0, TORQUE_LISTEN_DEFAULT, on_connection, NULL, &s), 0);
  assert_int_equal(torque_listen_address(s, address, 16, &length), 0);
  const int client = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  assert_true(client >= 0);
  assert_int_equal(getrlimit(RLIMIT_NOFILE, &limit), 0);
  tight = limit;
  tight.rlim_cur = 3; /* all that are open stay; none comes to them */
  assert_int_equal(setrlimit(RLIMIT_NOFILE, &tight), 0);
  const int err = connect(client, (const struct sockaddr *)(const void *)address, 16);
  uint64_t rests = 0;
  struct patience p = patience_start();
  while ((rests = stat_total(f.ctx, "accept_rests")) == 0 && patience_left(&p)) nap();
  (void)setrlimit(RLIMIT_NOFILE, &limit);
  assert_int_equal(err, 0);
  assert_true(rests > 0);
  AWAIT(&f, stat_total(f.ctx, "accepted") == 1); /* it went on by itself */
  close(client);
  assert_int_equal(torque_stop(f.ctx), 0);
  assert_true(logged > 0);
  assert_int_equal(badly, 0);
}

#define CONFIG(test) cmocka_unit_test_setup_teardown(test, up, down)

int main(void) {
  const struct CMUnitTest tests[] = {
      CONFIG(numbers_out_of_range_are_refused),
      CONFIG(texts_that_are_none_are_refused),
      CONFIG(functions_come_in_pairs),
      CONFIG(signals_that_cannot_end_it_are_refused),
      CONFIG(nothing_can_be_set_in_nothing),
      CONFIG(a_map_that_is_none_makes_no_context),
      CONFIG(a_refused_value_changes_nothing),
      CONFIG(sharing_makes_the_domains),
      CONFIG(a_driven_context_has_one_of_each),
      CONFIG(workers_have_the_name),
      CONFIG(workers_are_named_torque_by_default),
      CONFIG(workers_are_pinned),
      CONFIG(workers_are_not_pinned_when_not_wanted),
      CONFIG(workers_of_a_foreign_map_are_not_pinned),
      CONFIG(only_the_cpus_that_were_named_are_used),
      CONFIG(the_affinity_of_the_caller_counts_and_stays),
      CONFIG(stacks_have_the_size),
      CONFIG(stacks_are_as_the_limit_says),
      CONFIG(a_large_stack_can_be_used),
      CONFIG(threads_begin_with_the_first_source),
      CONFIG(threads_begin_when_asked),
      CONFIG(a_hundred_workers_start),
      CONFIG(the_context_keeps_copies),
      CONFIG(the_log_tells_of_a_full_descriptor_table),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
