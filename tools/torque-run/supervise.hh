// SPDX-License-Identifier: BSD-3-Clause
// A program that is run as a child, because something is to be said at its end.
#pragma once

#include <string>
#include <vector>

#include "board_view.hh"

namespace torque_tools {

enum ExitStatus : int {
  exit_nothing = 1,       // --explain: there is nothing to preload
  exit_unverified = 123,  // --verify: a library was not in use
  exit_refused = 124,     // preloading cannot work
  exit_failure = 125,     // of torque-run itself, wrong usage included
  exit_forbidden = 126,   // the program cannot be executed
  exit_missing = 127,     // the program was not found
};

struct Order {
  std::string path;
  char **argv;
  bool stats = false, verify = false;
  std::vector<std::string> preload;
};

// Runs it, passes signals on to it, and answers the status to exit with; a signal that killed it kills this process, too.
int supervise(const Order &order, const Board &board);

// Says why there was no exec(), and answers the status.
int exec_failed(const std::string &path);

}  // namespace torque_tools
