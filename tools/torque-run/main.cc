// SPDX-License-Identifier: BSD-3-Clause
// torque-run: runs a program with libtorque's libraries in place of the event libraries that it was linked with.
#include <getopt.h>
#include <libtorque/torque.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "explain.hh"
#include "supervise.hh"
#include "text.hh"

namespace torque_tools {

namespace {

const char kUsage[] =
    "usage: torque-run [options] program [arguments]\n"
    "Run a program that uses libevent 2.1 or libev 4 on libtorque.\n"
    "\n"
    "  -e, --explain          print what was found in the program and what would be done; run nothing\n"
    "  -f, --force=WHICH      preload libevent, libev or both, linked or not (for what a program loads later)\n"
    "  -s, --stats            print the loops' counters on standard error at the end; torque-stats(1) shows them before\n"
    "  -v, --verify           see to it that the libraries are mapped and in use; status 123 if they never were\n"
    "  -n, --no-children      programs that the program runs are run without\n"
    "  -L, --library-dir=DIR  where libtorque_event.so.1, libtorque_ev.so.1 and torque/libev.so.4 are\n"
    "  -h, --help             print this\n"
    "  -V, --version          print the version\n"
    "\n"
    "Exit status: the program's; with --explain 0 if something is preloaded, 1 if nothing; 123 not verified,\n"
    "124 refused: preloading cannot work, 125 failure or wrong usage, 126 it cannot be executed, 127 not found.\n";

struct Options {
  Choices choices;
  bool explain = false, stats = false, verify = false, no_children = false;
};

int usage(const char *what, const char *value) {
  std::fprintf(stderr, "torque-run: %s%s%s\nTry 'torque-run --help'.\n", what, value ? ": " : "",
               value ? quoted(value).c_str() : "");
  return exit_failure;
}

int finish(int status) {
  if (!std::fflush(stdout) && !std::ferror(stdout)) return status;
  std::perror("torque-run: output");
  return exit_failure;
}

bool set_force(Options *o, const char *text) {
  constexpr const char *kNames[] = {nullptr, "libevent", "libev", "both"};
  for (int i = 1; i < 4; ++i) {
    if (std::strcmp(text, kNames[i]) == 0) o->choices.force = static_cast<Force>(i);
  }
  return o->choices.force != Force::none;
}

// -1: nothing to say, go on.
int apply(Options *o, int option, const char *value) {
  switch (option) {
    case 'e': o->explain = o->choices.thorough = true; return -1;
    case 's': o->stats = true; return -1;
    case 'v': o->verify = true; return -1;
    case 'n': o->no_children = true; return -1;
    case 'L': o->choices.library_dir = value; return *value ? -1 : usage("not a folder", value);
    case 'f': return set_force(o, value) ? -1 : usage("not libevent, libev or both", value);
    case 'h': std::fputs(kUsage, stdout); return finish(EXIT_SUCCESS);
    case 'V': std::printf("torque-run %s\n", torque_version()); return finish(EXIT_SUCCESS);
    default: std::fputs("Try 'torque-run --help'.\n", stderr); return exit_failure;
  }
}

int status_of(const Program &program, const Plan &plan) {
  if (program.found == Found::missing) return exit_missing;
  if (program.found == Found::forbidden || program.found == Found::no_program || program.found == Found::broken)
    return exit_forbidden;
  switch (plan.verdict) {
    case Verdict::nothing: return exit_nothing;
    case Verdict::refuse: return exit_refused;
    case Verdict::failure: return exit_failure;
    default: return EXIT_SUCCESS;
  }
}

void set_environment(const Options &o, const Plan &plan) {
  // Another torque-run's word for us is not for the program; its board is, until there is a nearer one.
  unsetenv(TORQUE_BOARD_NO_CHILDREN);
  if (plan.preload.empty()) return;
  setenv("LD_PRELOAD", plan.ld_preload.c_str(), 1);
  if (o.no_children) setenv(TORQUE_BOARD_NO_CHILDREN, std::to_string(plan.preload.size()).c_str(), 1);
}

int run(const Options &o, const Program &program, const Plan &plan, char **argv) {
  set_environment(o, plan);
  const bool watch = (o.stats || o.verify) && !plan.preload.empty();
  if (!watch) {
    execv(program.start.c_str(), argv);
    return exec_failed(program.start);
  }
  Board board;
  if (!board.make()) {
    std::fprintf(stderr, "torque-run: no memory for counters: %s\n", std::strerror(errno));
    return exit_failure;
  }
  setenv(TORQUE_BOARD_ENV, board.environment().c_str(), 1);
  return supervise({program.start, argv, o.stats, o.verify, plan.preload}, board);
}

// What the user is told, apart from --explain.
int tell_and_run(const Options &o, const Program &program, const Plan &plan, char **argv) {
  const int status = status_of(program, plan);
  if (plan.verdict == Verdict::refuse || plan.verdict == Verdict::failure) {
    std::fprintf(stderr, "torque-run: %s\n", plan.reason.c_str());
    return status;
  }
  if (plan.verdict == Verdict::nothing) {
    std::fprintf(stderr, "torque-run: %s is linked with neither libevent 2.1 nor libev 4: nothing to preload%s\n",
                 quoted(program.path).c_str(), o.verify ? "" : "; for what it may load later there is --force");
    if (o.verify) return exit_unverified;
  }
  return run(o, program, plan, argv);
}

int serve(const Options &o, char **argv) {
  Program program = find_program(argv[0]);
  if (program.found != Found::program) {
    const Plan plan = refuse(program);
    if (o.explain) explain(program, nullptr, plan, argv);
    else std::fprintf(stderr, "torque-run: %s\n", plan.reason.c_str());
    return finish(status_of(program, plan));
  }
  const Libraries libraries(std::move(program.object), std::getenv("LD_PRELOAD"), std::getenv("LD_LIBRARY_PATH"));
  const Plan plan = make_plan(program, libraries, o.choices);
  if (!o.explain) return tell_and_run(o, program, plan, argv);
  explain(program, &libraries, plan, argv);
  return finish(status_of(program, plan));
}

int start(int argc, char **argv) {
  constexpr option kOptions[] = {{"explain", no_argument, nullptr, 'e'},     {"force", required_argument, nullptr, 'f'},
                                 {"stats", no_argument, nullptr, 's'},       {"verify", no_argument, nullptr, 'v'},
                                 {"no-children", no_argument, nullptr, 'n'}, {"library-dir", required_argument, nullptr, 'L'},
                                 {"help", no_argument, nullptr, 'h'},        {"version", no_argument, nullptr, 'V'},
                                 {nullptr, 0, nullptr, 0}};
  Options o;
  int option;
  while ((option = getopt_long(argc, argv, "+ef:svnL:hV", kOptions, nullptr)) != -1) {
    const int status = apply(&o, option, optarg);
    if (status >= 0) return status;
  }
  return optind == argc ? usage("no program", nullptr) : serve(o, argv + optind);
}

}  // namespace
}  // namespace torque_tools

int main(int argc, char **argv) { return torque_tools::start(argc, argv); }
