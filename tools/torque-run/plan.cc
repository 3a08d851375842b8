// SPDX-License-Identifier: BSD-3-Clause
#include "plan.hh"

#include <dirent.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdlib>
#include <cstring>

#include "text.hh"

namespace torque_tools {

namespace {

struct Kind {
  const char *name;
  std::string_view entry;    // a function that every version of it has
  std::string_view message;  // a text that every version of it has
  bool (*is_ours)(std::string_view name);
  bool (*is_any)(std::string_view name);
};

bool begins(std::string_view text, std::string_view with) { return text.substr(0, with.size()) == with; }

const Kind kLibevent = {
    "libevent", "event_base_loop", "Only one event_base_loop can run on each event_base at once",
    [](std::string_view n) { return n == "libevent-2.1.so.7" || n == "libevent_core-2.1.so.7"; },
    [](std::string_view n) { return begins(n, "libevent-") || begins(n, "libevent_core-") || begins(n, "libevent.so"); }};
const Kind kLibev = {"libev", "ev_run", "(libev) ", [](std::string_view n) { return n == "libev.so.4"; },
                     [](std::string_view n) { return begins(n, "libev.so"); }};

std::string_view name_of(const Object &o) {
  return !o.elf->soname().empty() ? std::string_view(o.elf->soname()) : base_name(o.name);
}
bool is_torque(const Object &o) { return begins(name_of(o), "libtorque") || o.path.find("/torque/libev.so") != std::string::npos; }
// Whose exported functions of both kinds are what they should be.
bool is_genuine(const Object &o) { return kLibevent.is_any(name_of(o)) || kLibev.is_any(name_of(o)) || is_torque(o); }

Use find_use(const Kind &kind, const Libraries &libraries, bool thorough) {
  Use use;
  for (const auto &o : libraries.all()) {
    const bool is_program = o.get() == &libraries.program();
    if (is_torque(*o) && !kind.is_ours(name_of(*o))) continue;
    if (!is_program && kind.is_ours(name_of(*o))) use.linked = o.get();
    else if (!is_program && kind.is_any(name_of(*o))) use.other = o.get();
    if (is_genuine(*o)) continue;
    if (o->elf->exports(kind.entry)) {
      if (!use.own_copy) use.own_copy = o.get();
    } else if ((is_program || thorough) && !use.hidden_copy &&
               (o->elf->contains(kind.entry) || o->elf->has_text(kind.message)) && !o->elf->imports(kind.entry)) {
      use.hidden_copy = o.get();
    }
  }
  return use;
}

std::string has_copy(const Kind &kind, const Object &o) {
  return quoted(o.path) + " has a copy of " + kind.name + " inside, which preloading does not replace";
}

// Why a use of the library cannot be served; "" when it can, or there is none.
std::string obstacle(const Kind &kind, const Use &use, const Libraries &libraries, bool forced) {
  if (use.own_copy == &libraries.program()) return has_copy(kind, *use.own_copy);
  if (use.linked) return "";
  // Forced is for what it loads later; what the program has inside is called in any case.
  if (use.hidden_copy == &libraries.program()) return has_copy(kind, *use.hidden_copy);
  if (forced) return "";
  if (use.other) return "it uses " + quoted(name_of(*use.other)) + ": only " +
                        (&kind == &kLibevent ? "libevent 2.1 (libevent-2.1.so.7)" : "libev 4 (libev.so.4)") + " can be replaced";
  if (use.own_copy) return has_copy(kind, *use.own_copy);
  if (use.hidden_copy) return has_copy(kind, *use.hidden_copy);
  return "";
}

// Its buffers and TLS must come to ours: their calls go through the dynamic linker, or preloading is in vain.
std::string binds_to_itself(const Libraries &libraries) {
  for (const auto &o : libraries.all()) {
    if (!kLibevent.is_ours(name_of(*o)) || o->path.empty()) continue;
    if (o->elf->is_symbolic() || (o->elf->exports("event_add") && !o->elf->relocates("event_add")))
      return quoted(o->path) + " was linked so that its own calls cannot be replaced (-Bsymbolic)";
  }
  return "";
}

// Why nothing at all can be preloaded into it.
std::string closed(const Program &program, const Libraries &libraries) {
  const Elf &elf = *libraries.program().elf;
  const std::string name = quoted(program.path);
  if (elf.interpreter().empty()) {
    const bool libevent = elf.contains(kLibevent.entry) || elf.has_text(kLibevent.message);
    const bool libev = elf.contains(kLibev.entry) || elf.has_text(kLibev.message);
    const char *copy = libevent ? ", with libevent inside" : libev ? ", with libev inside" : "";
    return name + " is statically linked" + copy + ": nothing can be preloaded";
  }
  const std::string_view linker = base_name(elf.interpreter());
  if (!begins(linker, "ld-linux") && !begins(linker, "ld64.so") && !begins(linker, "ld.so")) {
    return name + " is started by " + quoted(elf.interpreter()) + (begins(linker, "ld-musl") ? " (musl)" : "") +
           ": the libraries are for glibc";
  }
  for (const std::string &path : program.scripts) {
    const std::string why = base_name(path) == "env" ? privileges(path) : "";
    if (!why.empty()) return quoted(path) + ": " + why + ": LD_PRELOAD is ignored";
  }
  const std::string why = privileges(program.path);
  return why.empty() ? "" : name + ": " + why + ": LD_PRELOAD is ignored";
}

void note_copies(const Kind &kind, const Use &use, bool forced, std::vector<std::string> *notes) {
  if (use.own_copy) notes->push_back(quoted(use.own_copy->path) + " exports a copy of " + kind.name +
                                     ": ours comes before it, unless its own calls do not go through the dynamic linker");
  if (use.hidden_copy) notes->push_back(has_copy(kind, *use.hidden_copy));
  if (use.other && (use.linked || forced)) notes->push_back(quoted(name_of(*use.other)) + " is there too, and is not made for this");
}

bool is_system_folder(const std::string &folder) {
  for (const char *system : {"/bin", "/sbin", "/usr/bin", "/usr/sbin", "/usr/games", "/usr/local/bin", "/usr/local/sbin", "/lib",
                             "/lib64", "/usr/lib", "/usr/lib64", "/usr/local/lib"}) {
    if (folder == real_path(system)) return true;
  }
  return begins(base_name(folder), "x86_64-linux-") || begins(base_name(folder), "aarch64-linux-");
}

void note_beside(const Kind &kind, const Object &o, std::vector<std::string> *notes) {
  const std::string name = quoted(o.path) + ", beside the program, ";
  const auto &needed = o.elf->needed();
  if (std::any_of(needed.begin(), needed.end(), kind.is_ours)) {
    notes->push_back(name + "is linked with " + kind.name + ": for when the program loads it there is --force=" + kind.name);
  } else if (!o.elf->imports(kind.entry) &&
             (o.elf->exports(kind.entry) || o.elf->contains(kind.entry) || o.elf->has_text(kind.message))) {
    notes->push_back(name + "has a copy of " + kind.name + " inside, which preloading does not replace when it is loaded");
  }
}

void note_what_cannot_be_seen(const Libraries &libraries, Plan *plan) {
  std::string who;
  for (const auto &o : libraries.all()) {
    if (o->path.empty()) {
      plan->notes.push_back(quoted(o->name) + ", needed by " + quoted(o->asked_by->path) + ", was not found");
    } else if (!begins(name_of(*o), "libc.so") && !begins(name_of(*o), "ld-linux") && !is_torque(*o) &&
               (o->elf->imports("dlopen") || o->elf->imports("dlmopen"))) {
      who += (who.empty() ? "" : ", ") + quoted(base_name(o->path));
    }
  }
  if (who.empty()) return;
  plan->notes.push_back(who + " can load libraries later (dlopen): which ones cannot be seen here; with RTLD_DEEPBIND, or " +
                        "by dlmopen, they would not find ours");
}

// Libraries that lie beside a program which has a folder of its own, and that it does not say it needs: it is there to load
// them. (A folder of the system's has those of others.)
void note_what_lies_beside(const Program &program, const Libraries &libraries, Plan *plan) {
  constexpr size_t kMost = 500;
  const std::string folder = directory(real_path(program.path));
  if (is_system_folder(folder)) return;
  std::vector<std::string> files;
  if (DIR *d = opendir(folder.c_str())) {
    while (const dirent *e = readdir(d)) {
      const std::string_view name = e->d_name;
      if (name.find(".so") != name.npos && files.size() < kMost) files.push_back(folder + "/" + e->d_name);
    }
    closedir(d);
  }
  std::sort(files.begin(), files.end());
  for (const std::string &file : files) {
    Object o;
    o.name = o.path = file;
    const bool known = std::any_of(libraries.all().begin(), libraries.all().end(),
                                   [&](const auto &l) { return real_path(l->path) == real_path(file); });
    if (known || o.elf->open(file) != Reading::good || is_genuine(o)) continue;
    for (const Kind *kind : {&kLibevent, &kLibev}) note_beside(*kind, o, &plan->notes);
  }
}

std::string own_directory() { return directory(real_path("/proc/self/exe")); }

// Relative to the folder of this program: as installed, and in a build tree.
std::string find_library(const Choices &choices, const char *installed, const char *built) {
  const std::string own = own_directory();
  std::vector<std::string> paths;
  if (!choices.library_dir.empty()) paths = {choices.library_dir + "/" + installed};
  else if (TORQUE_RUN_LIBDIR[0] == '/') paths = {std::string(TORQUE_RUN_LIBDIR "/") + installed};
  else paths = {own + "/../" TORQUE_RUN_LIBDIR "/" + installed};
  if (choices.library_dir.empty()) paths.push_back(own + "/../compat/" + built);
  for (const std::string &path : paths) {
    if (!access(path.c_str(), R_OK)) return real_path(directory(path)) + "/" + std::string(base_name(path));
  }
  return "";
}

bool add_library(const Choices &choices, const char *installed, const char *built, Plan *plan) {
  const std::string path = find_library(choices, installed, built);
  Elf elf;
  if (path.empty()) {
    plan->reason = std::string(base_name(installed)) + " was not found" +
                   (choices.library_dir.empty() ? " beside this program" : " in " + quoted(choices.library_dir)) +
                   "; --library-dir says where it is";
  } else if (elf.open(path) != Reading::good) {
    plan->reason = quoted(path) + " is no library for this machine";
  } else if (path.find_first_of(" :;\t\n") != std::string::npos) {
    plan->reason = quoted(path) + ": LD_PRELOAD knows no paths with blanks or colons";
  } else {
    plan->preload.push_back(path);
    return true;
  }
  plan->verdict = Verdict::failure;
  return false;
}

// libevent's core first. Beside it there must be no event_* of libev's emulation, so libev comes without that then.
void choose(bool libevent, bool libev, const Choices &choices, Plan *plan) {
  plan->verdict = libevent || libev ? Verdict::preload : Verdict::nothing;
  if (libevent && !add_library(choices, "libtorque_event.so.1", "libevent/libtorque_event.so.1", plan)) return;
  if (!libev) return;
  if (libevent) add_library(choices, "libtorque_ev.so.1", "libev/libtorque_ev.so.1", plan);
  else add_library(choices, "torque/libev.so.4", "libev/torque/libev.so.4", plan);
}

std::string joined(const std::vector<std::string> &ours, const char *before) {
  std::string all;
  for (const std::string &path : ours) all += (all.empty() ? "" : ":") + path;
  for (const std::string &path : split(before ? before : "", ": ")) {
    bool is_there = path.empty();
    for (const std::string &own : ours) is_there |= real_path(own) == real_path(path);
    if (!is_there) all += (all.empty() ? "" : ":") + path;
  }
  return all;
}

}  // namespace

Plan refuse(const Program &program) {
  Plan plan;
  plan.verdict = Verdict::refuse;
  const std::string name = quoted(program.path);
  switch (program.found) {
    case Found::missing: plan.reason = name + " was not found"; break;
    case Found::forbidden: plan.reason = name + " cannot be executed"; break;
    case Found::unreadable: plan.reason = name + " cannot be read, so nothing is known of it"; break;
    case Found::foreign: plan.reason = name + " is for another machine (" + program.object->elf->architecture() + ")"; break;
    case Found::broken: plan.reason = name + " is a broken ELF file"; break;
    default: plan.reason = name + " is neither a program nor a script"; break;
  }
  return plan;
}

Plan make_plan(const Program &program, const Libraries &libraries, const Choices &choices) {
  Plan plan;
  const bool force_event = choices.force == Force::libevent || choices.force == Force::both;
  const bool force_ev = choices.force == Force::libev || choices.force == Force::both;
  plan.libevent = find_use(kLibevent, libraries, choices.thorough);
  plan.libev = find_use(kLibev, libraries, choices.thorough);
  plan.reason = closed(program, libraries);
  if (plan.reason.empty()) plan.reason = binds_to_itself(libraries);
  // One that can be served is reason enough to go on; the other is noted then.
  const bool served = plan.libevent.linked || plan.libev.linked || choices.force != Force::none;
  for (const auto &[kind, use, forced] :
       {std::tuple(&kLibevent, &plan.libevent, force_event), std::tuple(&kLibev, &plan.libev, force_ev)}) {
    const std::string why = obstacle(*kind, *use, libraries, forced);
    if (plan.reason.empty() && !why.empty() && (!served || use->linked || forced)) plan.reason = why;
    else note_copies(*kind, *use, forced, &plan.notes);
  }
  note_what_cannot_be_seen(libraries, &plan);
  if (choices.thorough) note_what_lies_beside(program, libraries, &plan);
  const std::string harmless = harmless_privileges(program.path);
  if (!harmless.empty()) plan.notes.push_back(quoted(program.path) + ": " + harmless);
  if (!plan.reason.empty()) {
    plan.verdict = Verdict::refuse;
    return plan;
  }
  choose(plan.libevent.linked || force_event, plan.libev.linked || force_ev, choices, &plan);
  plan.ld_preload = joined(plan.preload, std::getenv("LD_PRELOAD"));
  return plan;
}

}  // namespace torque_tools
