/* SPDX-License-Identifier: BSD-3-Clause */
#include <getopt.h>
#include <netdb.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "echo.h"

enum { exit_usage = 2 };

static const char usage_text[] =
    "usage: torque-echo [options]\n"
    "Send back what comes over TCP or UDP, with all the cores of the machine, until SIGINT or SIGTERM.\n"
    "\n"
    "  -p, --port PORT        listen on PORT (4007; 0: a free one)\n"
    "  -b, --bind ADDR        listen on ADDR (127.0.0.1)\n"
    "  -u, --udp              datagrams, not connections\n"
    "      --tls              TLS, on streams as with --buffered\n"
    "      --cert FILE        its certificate chain in PEM (one is made for this run)\n"
    "      --key FILE         its key (in the same file)\n"
    "      --buffered         connections are streams, which the library reads and writes\n"
    "  -t, --threads N        N workers (0: one for each usable CPU)\n"
    "  -s, --sharing POLICY   which CPUs share an event queue: default, thread, core, l2, l3, node or machine\n"
    "  -l, --listen POLICY    how connections come to the queues: default, shared, exclusive or reuseport\n"
    "      --stats            print a line each second\n"
    "      --oneshot          one-shot registrations of the kernel, armed again after each callback\n"
    "      --recheck          let the kernel check for more after each callback\n"
    "      --driven           serve on the main thread, without workers\n"
    "      --no-pin           do not bind workers to CPUs\n"
    "  -h, --help             print this\n"
    "  -V, --version          print the version\n"
    "\n"
    "Exit status: 0 stopped by a signal, 1 failure, 2 usage.\n";

static int usage(const char *what, const char *value) {
  fprintf(stderr, "torque-echo: %s%s%s\nTry 'torque-echo --help'.\n", what, value ? ": " : "", value ? value : "");
  return exit_usage;
}

static int finish(void) {
  if (!fflush(stdout) && !ferror(stdout)) return EXIT_SUCCESS;
  perror("torque-echo: output");
  return EXIT_FAILURE;
}

/* -1: not a number from 0 to max. */
static long number(const char *text, long max) {
  char *rest;
  if (*text < '0' || *text > '9') return -1;
  const long value = strtol(text, &rest, 10);
  return *rest || value > max ? -1 : value;
}

/* The place of text in a list that ends with a null; -1: not in it. */
static int choice(const char *text, const char *const *names) {
  for (int i = 0; names[i]; i++)
    if (!strcasecmp(text, names[i])) return i;
  return -1;
}

static const char *const sharings[] = {[TORQUE_SHARE_DEFAULT] = "default", [TORQUE_SHARE_THREAD] = "thread",
                                       [TORQUE_SHARE_CORE] = "core",       [TORQUE_SHARE_L2] = "l2",
                                       [TORQUE_SHARE_L3] = "l3",           [TORQUE_SHARE_NODE] = "node",
                                       [TORQUE_SHARE_MACHINE] = "machine", NULL};
static const char *const listens[] = {[TORQUE_LISTEN_DEFAULT] = "default",
                                      [TORQUE_LISTEN_SHARED] = "shared",
                                      [TORQUE_LISTEN_EXCLUSIVE] = "exclusive",
                                      [TORQUE_LISTEN_REUSEPORT] = "reuseport",
                                      NULL};

enum { opt_tls = 256, opt_cert, opt_key, opt_buffered, opt_stats, opt_oneshot, opt_recheck, opt_driven, opt_no_pin };

struct command {
  struct options options;
  const char *bind, *port;
};

/* -1: nothing to say, go on. */
static int set_number(uint32_t *ret, long value, const char *what, const char *text) {
  if (value < 0) return usage(what, text);
  *ret = (uint32_t)value;
  return -1;
}

/* -1: nothing to say, go on. */
static int apply(struct command *c, int option, const char *value) {
  struct options *o = &c->options;
  switch (option) {
    case 'p': c->port = value; return number(value, 65535) < 0 ? usage("not a port", value) : -1;
    case 'b': c->bind = value; return -1;
    case 'u': o->udp = true; return -1;
    case 't': return set_number(&o->threads, number(value, 4096), "not a number of threads", value);
    case 's': return set_number(&o->sharing, choice(value, sharings), "not a sharing policy", value);
    case 'l': return set_number(&o->listen, choice(value, listens), "not a listen policy", value);
    case opt_tls: o->tls = o->buffered = true; return -1;
    case opt_cert: o->cert = value; return -1;
    case opt_key: o->key = value; return -1;
    case opt_buffered: o->buffered = true; return -1;
    case opt_stats: o->stats = true; return -1;
    case opt_oneshot: o->oneshot = true; return -1;
    case opt_recheck: o->recheck = true; return -1;
    case opt_driven: o->driven = true; return -1;
    case opt_no_pin: o->no_pin = true; return -1;
    case 'h': fputs(usage_text, stdout); return finish();
    case 'V': printf("torque-echo %s\n", torque_version()); return finish();
    default: fputs("Try 'torque-echo --help'.\n", stderr); return exit_usage;
  }
}

static int resolve_and_serve(const struct command *c) {
  const struct addrinfo hints = {.ai_flags = AI_NUMERICHOST | AI_NUMERICSERV,
                                 .ai_socktype = c->options.udp ? SOCK_DGRAM : SOCK_STREAM};
  struct addrinfo *where;
  if (getaddrinfo(c->bind, c->port, &hints, &where)) return usage("not an address", c->bind);
  const int status = serve(&c->options, where);
  freeaddrinfo(where);
  return status;
}

int main(int argc, char **argv) {
  static const struct option options[] = {{"port", required_argument, NULL, 'p'},
                                          {"bind", required_argument, NULL, 'b'},
                                          {"udp", no_argument, NULL, 'u'},
                                          {"threads", required_argument, NULL, 't'},
                                          {"sharing", required_argument, NULL, 's'},
                                          {"listen", required_argument, NULL, 'l'},
                                          {"tls", no_argument, NULL, opt_tls},
                                          {"cert", required_argument, NULL, opt_cert},
                                          {"key", required_argument, NULL, opt_key},
                                          {"buffered", no_argument, NULL, opt_buffered},
                                          {"stats", no_argument, NULL, opt_stats},
                                          {"oneshot", no_argument, NULL, opt_oneshot},
                                          {"recheck", no_argument, NULL, opt_recheck},
                                          {"driven", no_argument, NULL, opt_driven},
                                          {"no-pin", no_argument, NULL, opt_no_pin},
                                          {"help", no_argument, NULL, 'h'},
                                          {"version", no_argument, NULL, 'V'},
                                          {NULL, 0, NULL, 0}};
  struct command c = {.bind = "127.0.0.1", .port = "4007"};
  int option;
  while ((option = getopt_long(argc, argv, "p:b:ut:s:l:hV", options, NULL)) != -1) {
    const int status = apply(&c, option, optarg);
    if (status >= 0) return status;
  }
  if (optind < argc) return usage("unexpected argument", argv[optind]);
  if (c.options.driven && c.options.threads > 1) return usage("--driven has one thread", NULL);
  if (c.options.tls && !has_tls()) return usage("built without TLS", NULL);
  if ((c.options.cert || c.options.key) && !c.options.tls) return usage("--cert and --key are for --tls", NULL);
  if (c.options.key && !c.options.cert) return usage("--key goes with --cert", NULL);
  if (c.options.udp && c.options.buffered) return usage("--buffered and --tls are for TCP", NULL);
  if (c.options.buffered && (c.options.recheck || c.options.oneshot))
    return usage("--buffered goes without --recheck and --oneshot", NULL);
  if (c.options.udp && c.options.recheck) return usage("--recheck is for TCP", NULL);
  if (c.options.udp && c.options.listen == TORQUE_LISTEN_EXCLUSIVE) return usage("--listen exclusive is for TCP", NULL);
  return resolve_and_serve(&c);
}
