/* SPDX-License-Identifier: BSD-3-Clause */
/* A driven context on the main thread: names go into the resolver while it has room, and are printed as they are told.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include "host.h"
#include "lines.h"

struct job {
  const struct options *options;
  struct torque_ctx *ctx;
  struct torque_resolver *resolver;
  char *const *names; /* those that have not been asked for */
  struct lines lines;
  torque_source input; /* 0: none */
  int eof;
  int status;
};

struct question {
  struct job *job;
  char name[];
};

static void worse(struct job *j, int status) {
  if (j->status < status) j->status = status;
}

static void failed(struct job *j, const char *name, torque_err err) {
  fprintf(stderr, "torque-host: %s: %s\n", name, torque_errstr(err));
  const int absent = err == TORQUE_ERR_DNS_NXDOMAIN || err == TORQUE_ERR_DNS_NODATA || err == TORQUE_ERR_DNS_BADNAME;
  worse(j, absent ? exit_not_found : exit_failure);
}

static void on_answer(torque_query query, torque_err err, const struct torque_answer *answer, void *arg) {
  struct question *q = arg;
  (void)query;
  if (err) failed(q->job, q->name, err);
  for (uint32_t i = 0; !err && i < torque_answer_count(answer); i++) print_record(q->job->options, q->name, answer, i);
  free(q);
}

static void on_addresses(torque_query query, torque_err err, const struct torque_addresses *addresses, void *arg) {
  struct question *q = arg;
  (void)query;
  if (err) failed(q->job, q->name, err);
  for (uint32_t i = 0; i < torque_addresses_count(addresses); i++)
    print_address(q->job->options, q->name, addresses, i);
  free(q);
}

static torque_err ask_backwards(struct job *j, struct question *q) {
  struct sockaddr_in v4 = {.sin_family = AF_INET};
  struct sockaddr_in6 v6 = {.sin6_family = AF_INET6};
  if (inet_pton(AF_INET, q->name, &v4.sin_addr) == 1)
    return torque_resolver_query_address(j->resolver, &v4, sizeof v4, on_answer, q, NULL);
  if (inet_pton(AF_INET6, q->name, &v6.sin6_addr) == 1)
    return torque_resolver_query_address(j->resolver, &v6, sizeof v6, on_answer, q, NULL);
  return TORQUE_ERR_DNS_BADNAME;
}

static void ask(struct job *j, const char *name) {
  const struct options *o = j->options;
  const size_t size = strlen(name) + 1;
  struct question *q = malloc(sizeof *q + size);
  torque_err err = TORQUE_ERR_RESOURCE;
  if (q) {
    q->job = j;
    memcpy(q->name, name, size);
    if (o->backwards)
      err = ask_backwards(j, q);
    else if (!*name)
      err = TORQUE_ERR_DNS_BADNAME;
    else if (o->type)
      err = torque_resolver_query(j->resolver, name, o->type, TORQUE_QUERY_SEARCH, on_answer, q, NULL);
    else
      err = torque_resolve(j->resolver, name, NULL, o->family, 0, on_addresses, q, NULL);
  }
  if (!err) return;
  failed(j, name, err);
  free(q);
}

static int room(const struct job *j) { return torque_resolver_outstanding(j->resolver) < j->options->in_flight; }

/* Takes names while there is room for them. 1: there are more, for later. */
static int take_names(struct job *j) {
  for (; *j->names; j->names++) {
    if (!room(j)) return 1;
    ask(j, *j->names);
  }
  while (j->options->pipe) {
    if (!room(j)) return 1;
    const char *line;
    const enum line_kind kind = lines_next(&j->lines, j->eof, &line);
    if (kind == line_none) break;
    if (kind == line_name) {
      ask(j, line);
    } else {
      fprintf(stderr, "torque-host: standard input: %s\n", line);
      worse(j, exit_not_found);
    }
  }
  return 0;
}

/* One read(2): the descriptor is as it came, and may block when it is not ready. */
static int32_t on_input(torque_source source, int32_t fd, uint32_t events, void *arg) {
  struct job *j = arg;
  size_t size;
  (void)events;
  char *space = lines_space(&j->lines, &size);
  if (size == 0) return TORQUE_DONE;
  const ssize_t n = read(fd, space, size);
  if (n > 0) {
    lines_fill(&j->lines, (size_t)n);
    return TORQUE_DONE;
  }
  if (n < 0 && (errno == EINTR || errno == EAGAIN)) return TORQUE_DONE;
  if (n < 0) {
    perror("torque-host: standard input");
    worse(j, exit_failure);
  }
  j->eof = 1;
  j->input = 0;
  torque_source_remove(source);
  return TORQUE_DONE;
}

static torque_err open_resolver(struct job *j) {
  const struct options *o = j->options;
  torque_err err = torque_resolver_new(j->ctx, &j->resolver);
  if (!err && o->servers) err = torque_resolver_set_servers(j->resolver, o->servers);
  if (!err) err = torque_resolver_set_timeout(j->resolver, o->timeout_ns);
  if (!err) err = torque_resolver_set_tries(j->resolver, o->tries);
  if (!err) err = torque_resolver_set_flags(j->resolver, o->resolver_flags);
  if (!err) err = torque_resolver_set_max_in_flight(j->resolver, o->in_flight);
  return err;
}

static torque_err open_all(struct job *j) {
  struct torque_config *config;
  torque_err err = torque_config_new(&config);
  if (err) return err;
  torque_config_set_driven(config, 1);
  err = torque_ctx_new(config, &j->ctx);
  torque_config_free(config);
  if (!err) err = open_resolver(j);
  if (!err && j->options->pipe)
    err = torque_fd_add(j->ctx, STDIN_FILENO, TORQUE_READ, TORQUE_LEVEL, on_input, j, &j->input);
  return err;
}

static torque_err serve(struct job *j) {
  int reading = 1;
  for (;;) {
    const int more = take_names(j);
    if (!more && (!j->options->pipe || j->eof) && torque_resolver_outstanding(j->resolver) == 0) return 0;
    if (j->input && reading == more) { /* what is there is enough for now, or not any more */
      reading = !more;
      const torque_err err = torque_fd_modify(j->input, reading ? TORQUE_READ : 0);
      if (err) return err;
    }
    if (fflush(stdout)) return TORQUE_ERR_SYSCALL + errno;
    const torque_err err = torque_run_once(j->ctx, UINT64_MAX, NULL);
    if (err) return err;
  }
}

int look_up(const struct options *o, char *const *names) {
  struct job *j = calloc(1, sizeof *j);
  torque_err err = TORQUE_ERR_RESOURCE;
  if (j) {
    j->options = o;
    j->names = names;
    err = open_all(j);
    if (!err) err = serve(j);
    torque_resolver_free(j->resolver);
    if (j->ctx) (void)torque_stop(j->ctx); /* those that are outstanding after an error are told of here */
  }
  if (err) fprintf(stderr, "torque-host: %s\n", torque_errstr(err));
  const int status = err ? exit_failure : j->status;
  free(j);
  if ((fflush(stdout) || ferror(stdout)) && !err) {
    perror("torque-host: output");
    return exit_failure;
  }
  return status;
}
