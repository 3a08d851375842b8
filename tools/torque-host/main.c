/* SPDX-License-Identifier: BSD-3-Clause */
#include <errno.h>
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>

#include "host.h"

static const char usage_text[] =
    "usage: torque-host [options] NAME...\n"
    "       torque-host [options] --pipe\n"
    "Look up names, all at once; print what is found as it comes.\n"
    "\n"
    "  -t, --type TYPE        records of this type, from the name servers: A, AAAA, CNAME, MX, NS, PTR, SOA, SRV, "
    "TXT,\n"
    "                         ANY ... or a number (default: addresses, as programs find them, the hosts file first)\n"
    "  -4, -6                 IPv4 or IPv6 addresses only\n"
    "  -x, --reverse          the names are addresses; print what they are called\n"
    "  -s, --servers LIST     ask these: 192.0.2.1,192.0.2.2:5353,[::1]:53\n"
    "  -w, --timeout SECONDS  how long a server has for its answer (the system's)\n"
    "      --tries N          how many rounds of servers there are (the system's)\n"
    "      --tcp              never UDP\n"
    "  -n, --in-flight N      ask for so many at a time (256)\n"
    "  -q, --short            what is found only, not what for\n"
    "  -f, --pipe             names are lines of standard input; # begins a comment\n"
    "  -h, --help             print this\n"
    "  -V, --version          print the version\n"
    "\n"
    "Exit status: 0 all were found, 1 some do not exist, 2 usage, 3 some could not be looked up.\n";

static int usage(const char *what, const char *value) {
  fprintf(stderr, "torque-host: %s%s%s\nTry 'torque-host --help'.\n", what, value ? ": " : "", value ? value : "");
  return exit_usage;
}

static int finish(void) {
  if (!fflush(stdout) && !ferror(stdout)) return exit_found;
  perror("torque-host: output");
  return exit_failure;
}

/* -1: not a number from 1 to max. */
static long number(const char *text, long max) {
  char *rest;
  if (*text < '0' || *text > '9') return -1;
  errno = 0;
  const long value = strtol(text, &rest, 10);
  return *rest || errno || value < 1 || value > max ? -1 : value;
}

/* "2", "0.25": nanoseconds; 0: not from 1 ms to 1 hour. */
static uint64_t seconds(const char *text) {
  char *rest;
  if (*text < '0' || *text > '9') return 0;
  const double value = strtod(text, &rest);
  return *rest || !(value >= 0.001 && value <= 3600) ? 0 : (uint64_t)(value * 1e9);
}

enum { opt_tries = 256, opt_tcp };

static const struct option long_options[] = {{"type", required_argument, NULL, 't'},
                                             {"reverse", no_argument, NULL, 'x'},
                                             {"servers", required_argument, NULL, 's'},
                                             {"timeout", required_argument, NULL, 'w'},
                                             {"tries", required_argument, NULL, opt_tries},
                                             {"tcp", no_argument, NULL, opt_tcp},
                                             {"in-flight", required_argument, NULL, 'n'},
                                             {"short", no_argument, NULL, 'q'},
                                             {"pipe", no_argument, NULL, 'f'},
                                             {"help", no_argument, NULL, 'h'},
                                             {"version", no_argument, NULL, 'V'},
                                             {NULL, 0, NULL, 0}};

/* -1: nothing to say, go on; else the exit status. */
static int one_option(struct options *o, int c) {
  long n = 0;
  switch (c) {
    case 't':
      n = type_number(optarg);
      if (n < 0) return usage("no such type", optarg);
      o->type = (uint16_t)n;
      return -1;
    case '4':
      o->family = AF_INET;
      return -1;
    case '6':
      o->family = AF_INET6;
      return -1;
    case 'x':
      o->backwards = 1;
      return -1;
    case 's':
      o->servers = optarg;
      return -1;
    case 'w':
      o->timeout_ns = seconds(optarg);
      return o->timeout_ns ? -1 : usage("not a time from 0.001 to 3600 seconds", optarg);
    case opt_tries:
      n = number(optarg, 100);
      if (n < 0) return usage("not a number from 1 to 100", optarg);
      o->tries = (uint32_t)n;
      return -1;
    case opt_tcp:
      o->resolver_flags |= TORQUE_RESOLVER_TCP;
      return -1;
    case 'n':
      n = number(optarg, 50000);
      if (n < 0) return usage("not a number from 1 to 50000", optarg);
      o->in_flight = (uint32_t)n;
      return -1;
    case 'q':
      o->brief = 1;
      return -1;
    case 'f':
      o->pipe = 1;
      return -1;
    case 'h':
      fputs(usage_text, stdout);
      return finish();
    case 'V':
      printf("torque-host %s\n", torque_version());
      return finish();
    default:
      fputs("Try 'torque-host --help'.\n", stderr);
      return exit_usage;
  }
}

int main(int argc, char **argv) {
  struct options o = {.family = AF_UNSPEC, .in_flight = 256};
  for (int c; (c = getopt_long(argc, argv, "t:46xs:w:n:qfhV", long_options, NULL)) != -1;) {
    const int status = one_option(&o, c);
    if (status >= 0) return status;
  }
  if (o.backwards && (o.type || o.family)) return usage("--reverse goes with no type and no family", NULL);
  if (o.type && o.family) return usage("-4 and -6 go with no type", NULL);
  if (o.pipe && argv[optind]) return usage("--pipe and names", argv[optind]);
  if (!o.pipe && !argv[optind]) return usage("no name", NULL);
  return look_up(&o, argv + optind);
}
