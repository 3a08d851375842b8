// SPDX-License-Identifier: BSD-3-Clause
#include "explain.hh"

#include <cstdio>

#include "text.hh"

namespace torque_tools {

namespace {

void line(const char *what, const std::string &text) { std::printf("%-12s %s\n", what, text.c_str()); }

std::string with_target(const Object &o) {
  if (o.path.empty()) return quoted(o.name) + " => not found";
  const std::string real = real_path(o.path);
  const bool same = base_name(real) == base_name(o.path);
  return quoted(o.name) + " => " + quoted(o.path) + (same ? "" : " (" + quoted(base_name(real)) + ")");
}

void explain_use(const char *name, const Use &use) {
  if (use.linked) line(name, "linked: " + with_target(*use.linked));
  if (use.other) line(name, "another version: " + with_target(*use.other));
  if (use.own_copy) line(name, "a copy, exported by " + quoted(use.own_copy->path));
  if (use.hidden_copy) line(name, "a copy, inside " + quoted(use.hidden_copy->path));
  if (!use.linked && !use.other && !use.own_copy && !use.hidden_copy) line(name, "not used");
}

void explain_program(const Program &program) {
  for (const std::string &path : program.scripts) line("by way of", quoted(path));
  line("program", quoted(program.path));
}

void explain_libraries(const Libraries &libraries) {
  const Elf &elf = *libraries.program().elf;
  line("machine", elf.architecture());
  line("linker", elf.interpreter().empty() ? "none" : quoted(elf.interpreter()));
  for (const auto &o : libraries.all()) {
    if (o.get() != &libraries.program()) line("library", with_target(*o));
  }
}

void explain_command(const Plan &plan, const Program &program, char **argv) {
  std::string text = plan.ld_preload.empty() ? "" : "LD_PRELOAD=" + quoted(plan.ld_preload) + " ";
  text += quoted(program.start);
  for (char **arg = argv + 1; *arg; ++arg) text += " " + quoted(*arg);
  line("runs", text);
}

}  // namespace

void explain(const Program &program, const Libraries *libraries, const Plan &plan, char **argv) {
  explain_program(program);
  if (libraries) {
    explain_libraries(*libraries);
    explain_use("libevent", plan.libevent);
    explain_use("libev", plan.libev);
  }
  for (const std::string &note : plan.notes) line("note", note);
  for (const std::string &path : plan.preload) line("preloads", quoted(path));
  switch (plan.verdict) {
    case Verdict::nothing: line("preloads", "nothing: neither libevent 2.1 nor libev 4 is linked"); break;
    case Verdict::refuse: line("refuses", plan.reason); return;
    case Verdict::failure: line("fails", plan.reason); return;
    default: break;
  }
  explain_command(plan, program, argv);
}

}  // namespace torque_tools
