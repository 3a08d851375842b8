// SPDX-License-Identifier: BSD-3-Clause
// Which file a command runs: by PATH, through scripts to their interpreters, through env(1) to the command behind it.
#pragma once

#include <memory>
#include <string>
#include <vector>

#include "libraries.hh"

namespace torque_tools {

enum class Found {
  program,      // an ELF file; Program::object has it
  missing,
  forbidden,    // it is there, and cannot be executed
  unreadable,   // it can be executed, but not looked at
  no_program,   // neither ELF nor a script
  foreign,
  broken,
};

struct Program {
  Found found = Found::missing;
  std::string start;                 // what exec() is called with
  std::vector<std::string> scripts;  // those on the way, and env
  std::string path;                  // where the way ends
  std::unique_ptr<Object> object;    // as far as it could be read
};

Program find_program(const std::string &command);

// Why the dynamic linker will not take LD_PRELOAD from the environment of this file (AT_SECURE); "" when it will.
std::string privileges(const std::string &path);
// What would be a reason, for another user.
std::string harmless_privileges(const std::string &path);

}  // namespace torque_tools
