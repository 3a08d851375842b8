/* SPDX-License-Identifier: BSD-3-Clause */
/* torque-topology: what libtorque would do on a machine, and why. */
#include <getopt.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>

#include "report.h"

enum { exit_usage = 2 };

static const char usage_text[] =
    "usage: torque-topology [options]\n"
    "Show which CPUs libtorque would use, which of them would share an event queue, and why.\n"
    "\n"
    "  -j, --json             print JSON\n"
    "  -w, --workers N        ask for N workers (0: one for each usable CPU)\n"
    "  -c, --cpus LIST        use only these CPUs, for example 0-3,8\n"
    "  -s, --sharing POLICY   default, thread, core, L2, L3, node or machine\n"
    "  -m, --domain-max N     most CPUs that share a queue (16)\n"
    "      --synthetic TEXT   a made-up machine in hwloc's notation, for example \"pack:2 l3:4 core:4 pu:2\"\n"
    "      --xml FILE         a machine that lstopo wrote to FILE\n"
    "  -h, --help             print this\n"
    "  -V, --version          print the version\n"
    "\n"
    "Exit status: 0 done, 1 failure, 2 usage.\n";

struct options {
  struct torque_config *config;
  const char *source; /* "live", "synthetic" or "xml" */
  int json;
};

static int usage(const char *what, const char *value) {
  fprintf(stderr, "torque-topology: %s%s%s\nTry 'torque-topology --help'.\n", what, value ? ": " : "",
          value ? value : "");
  return exit_usage;
}

/* A number that ends where the text may go on; 0 when there is none. */
static int take_number(const char **text, uint32_t *ret) {
  if (**text < '0' || **text > '9') return 0;
  char *end = NULL;
  const unsigned long v = strtoul(*text, &end, 10);
  if (v > 1000000) return 0;
  *text = end;
  *ret = (uint32_t)v;
  return 1;
}

static int number(const char *text, uint32_t *ret) { return take_number(&text, ret) && !*text; }

typedef torque_err setter(struct torque_config *config, uint32_t value);

static int set_number(const struct options *o, setter *set, const char *what, const char *text) {
  uint32_t n;
  return number(text, &n) && !set(o->config, n) ? 0 : usage(what, text);
}

/* Grows *cpus by first..last; 0 when there is no memory. */
static int append(uint32_t **cpus, uint32_t *count, uint32_t first, uint32_t last) {
  uint32_t *const more = realloc(*cpus, ((size_t)*count + (last - first) + 1) * sizeof *more);
  if (!more) return 0;
  *cpus = more;
  for (uint32_t cpu = first; cpu <= last; cpu++) more[(*count)++] = cpu;
  return 1;
}

static int parse_list(const char *text, uint32_t **cpus, uint32_t *count) {
  for (const char *p = text;; p++) {
    uint32_t first, last;
    if (!take_number(&p, &first)) return 0;
    last = first;
    if (*p == '-' && (p++, !take_number(&p, &last))) return 0;
    if (last < first || !append(cpus, count, first, last)) return 0;
    if (!*p) return 1;
    if (*p != ',') return 0;
  }
}

static int set_cpus(const struct options *o, const char *text) {
  uint32_t *cpus = NULL, count = 0;
  const int ok = parse_list(text, &cpus, &count) && !torque_config_set_cpus(o->config, cpus, count);
  free(cpus);
  return ok ? 0 : usage("not a list of CPUs", text);
}

static int set_sharing(const struct options *o, const char *text) {
  static const char *const names[] = {"default", "thread", "core", "L2", "L3", "node", "machine"};
  for (uint32_t i = 0; i < sizeof names / sizeof *names; i++)
    if (!strcasecmp(text, names[i]) && !torque_config_set_sharing(o->config, i)) return 0;
  return usage("not a sharing policy", text);
}

static int set_source(struct options *o, uint32_t source, const char *name, const char *text) {
  if (strcmp(o->source, "live")) return usage("only one of --synthetic and --xml", NULL);
  o->source = name;
  return torque_config_set_topology(o->config, source, text) ? usage("not a map", text) : 0;
}

/* Requires: stdout is all that matters. */
static int finish(void) {
  if (!fflush(stdout) && !ferror(stdout)) return EXIT_SUCCESS;
  perror("torque-topology: output");
  return EXIT_FAILURE;
}

static int show(const struct options *o) {
  struct torque_topology *topology = NULL;
  const torque_err err = torque_topology_load(o->config, &topology);
  if (err) {
    fprintf(stderr, "torque-topology: %s map: %s\n", o->source, torque_errstr(err));
    return EXIT_FAILURE;
  }
  (o->json ? report_json : report_text)(topology, o->source);
  torque_topology_free(topology);
  return finish();
}

enum { opt_synthetic = 256, opt_xml };

/* -1: nothing to say, go on. */
static int apply(struct options *o, int option, const char *value) {
  int status = 0;
  switch (option) {
    case 'j': o->json = 1; break;
    case 'w': status = set_number(o, torque_config_set_workers, "not a number of workers", value); break;
    case 'm': status = set_number(o, torque_config_set_domain_max, "not a number of CPUs", value); break;
    case 'c': status = set_cpus(o, value); break;
    case 's': status = set_sharing(o, value); break;
    case opt_synthetic: status = set_source(o, TORQUE_TOPOLOGY_SYNTHETIC, "synthetic", value); break;
    case opt_xml: status = set_source(o, TORQUE_TOPOLOGY_XML, "xml", value); break;
    case 'h': fputs(usage_text, stdout); return finish();
    case 'V': printf("torque-topology %s\n", torque_version()); return finish();
    default: fputs("Try 'torque-topology --help'.\n", stderr); return exit_usage;
  }
  return status ? status : -1;
}

static int run(struct options *o, int argc, char **argv) {
  static const struct option options[] = {{"json", no_argument, NULL, 'j'},
                                          {"workers", required_argument, NULL, 'w'},
                                          {"domain-max", required_argument, NULL, 'm'},
                                          {"cpus", required_argument, NULL, 'c'},
                                          {"sharing", required_argument, NULL, 's'},
                                          {"synthetic", required_argument, NULL, opt_synthetic},
                                          {"xml", required_argument, NULL, opt_xml},
                                          {"help", no_argument, NULL, 'h'},
                                          {"version", no_argument, NULL, 'V'},
                                          {NULL, 0, NULL, 0}};
  int option;
  while ((option = getopt_long(argc, argv, "jw:m:c:s:hV", options, NULL)) != -1) {
    const int status = apply(o, option, optarg);
    if (status >= 0) return status;
  }
  return optind < argc ? usage("unexpected argument", argv[optind]) : show(o);
}

int main(int argc, char **argv) {
  struct options o = {NULL, "live", 0};
  const torque_err err = torque_config_new(&o.config);
  if (err) {
    fprintf(stderr, "torque-topology: %s\n", torque_errstr(err));
    return EXIT_FAILURE;
  }
  const int status = run(&o, argc, argv);
  torque_config_free(o.config);
  return status;
}
