// SPDX-License-Identifier: BSD-3-Clause
// What is found in a program, and what follows from it.
#pragma once

#include <string>
#include <vector>

#include "program.hh"

namespace torque_tools {

enum class Force { none, libevent, libev, both };

enum class Verdict {
  preload,
  nothing,  // it uses neither library
  refuse,   // preloading cannot work
  failure,  // our libraries are not where they should be
};

// One of the two libraries, in one program.
struct Use {
  const Object *linked = nullptr;       // the one that ours can stand in for
  const Object *other = nullptr;        // another version
  const Object *own_copy = nullptr;     // exported by the program, or by a library of another kind
  const Object *hidden_copy = nullptr;  // there by its symbols or its messages
};

struct Plan {
  Verdict verdict = Verdict::nothing;
  std::string reason;  // for refuse and failure
  std::vector<std::string> notes;
  Use libevent, libev;
  std::vector<std::string> preload;  // paths, in order
  std::string ld_preload;            // with what there was before
};

struct Choices {
  Force force = Force::none;
  std::string library_dir;  // "": beside this program
  bool thorough = false;    // look into the libraries for copies, too
};

// Requires: libraries of a program that was found; program for its name.
Plan make_plan(const Program &program, const Libraries &libraries, const Choices &choices);
// For a program that cannot be looked at: what was found is the reason.
Plan refuse(const Program &program);

}  // namespace torque_tools
