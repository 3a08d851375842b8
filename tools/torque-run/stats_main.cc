// SPDX-License-Identifier: BSD-3-Clause
// torque-stats: shows the counters of the loops of a program that torque-run started, while it runs.
#include <getopt.h>
#include <libtorque/torque.h>
#include <signal.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "board_view.hh"
#include "text.hh"

namespace torque_tools {

namespace {

enum { exit_usage = 2 };

const char kUsage[] =
    "usage: torque-stats [options] PID\n"
    "Print what the loops of a process do that 'torque-run --stats' started; of torque-run's own PID, of all processes.\n"
    "\n"
    "  -a, --all              also the loops of the other processes under the same torque-run\n"
    "  -j, --json             print JSON, with all counters\n"
    "  -h, --help             print this\n"
    "  -V, --version          print the version\n"
    "\n"
    "Exit status: 0 done, 1 failure, 2 usage.\n";

struct Options {
  bool all = false, json = false;
};

int usage(const char *what, const char *value) {
  std::fprintf(stderr, "torque-stats: %s%s%s\nTry 'torque-stats --help'.\n", what, value ? ": " : "",
               value ? quoted(value).c_str() : "");
  return exit_usage;
}

int finish() {
  if (!std::fflush(stdout) && !std::ferror(stdout)) return EXIT_SUCCESS;
  std::perror("torque-stats: output");
  return EXIT_FAILURE;
}

// 0: not the number of a process.
int process_number(const char *text) {
  char *rest;
  if (*text < '1' || *text > '9') return 0;
  const long n = std::strtol(text, &rest, 10);
  return *rest || n > INT32_MAX ? 0 : static_cast<int>(n);
}

int show(const Options &o, int pid) {
  if (kill(pid, 0) && errno == ESRCH) {
    std::fprintf(stderr, "torque-stats: there is no process %d\n", pid);
    return EXIT_FAILURE;
  }
  Board board;
  if (!board.attach(pid)) {
    std::fprintf(stderr, "torque-stats: process %d: %s\n", pid,
                 errno == EACCES || errno == EPERM ? std::strerror(errno) : "not under 'torque-run --stats'");
    return EXIT_FAILURE;
  }
  std::vector<Row> rows = board.rows();
  if (!o.all && pid != board.maker()) std::erase_if(rows, [pid](const Row &r) { return r.pid != pid; });
  (o.json ? print_json : print_table)(board, rows, stdout);
  return finish();
}

int start(int argc, char **argv) {
  constexpr option kOptions[] = {{"all", no_argument, nullptr, 'a'},
                                 {"json", no_argument, nullptr, 'j'},
                                 {"help", no_argument, nullptr, 'h'},
                                 {"version", no_argument, nullptr, 'V'},
                                 {nullptr, 0, nullptr, 0}};
  Options o;
  int option;
  while ((option = getopt_long(argc, argv, "ajhV", kOptions, nullptr)) != -1) {
    switch (option) {
      case 'a': o.all = true; break;
      case 'j': o.json = true; break;
      case 'h': std::fputs(kUsage, stdout); return finish();
      case 'V': std::printf("torque-stats %s\n", torque_version()); return finish();
      default: std::fputs("Try 'torque-stats --help'.\n", stderr); return exit_usage;
    }
  }
  if (optind + 1 != argc) return usage(optind == argc ? "no process" : "more than one process", nullptr);
  const int pid = process_number(argv[optind]);
  return pid ? show(o, pid) : usage("not the number of a process", argv[optind]);
}

}  // namespace
}  // namespace torque_tools

int main(int argc, char **argv) { return torque_tools::start(argc, argv); }
