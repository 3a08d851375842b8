// SPDX-License-Identifier: BSD-3-Clause
#include "program.hh"

#include <fcntl.h>
#include <linux/capability.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/statvfs.h>
#include <sys/xattr.h>
#include <unistd.h>

#include <cstdlib>
#include <cstring>

#include "text.hh"

namespace torque_tools {

namespace {

constexpr size_t kWayMax = 8;      // scripts whose interpreters are scripts, and env
constexpr size_t kHeadMax = 4096;  // the kernel reads 256 bytes of a script, env's own -S may want more

bool is_file(const std::string &path) {
  struct stat s;
  return !stat(path.c_str(), &s) && S_ISREG(s.st_mode);
}

// As execvp(3) does. missing, forbidden or program.
Found search(const std::string &command, std::string *ret) {
  Found result = Found::missing;
  const auto try_path = [&](const std::string &path) {
    if (!is_file(path)) return false;
    *ret = path;
    result = access(path.c_str(), X_OK) ? Found::forbidden : Found::program;
    return result == Found::program;
  };
  if (command.find('/') != std::string::npos) {
    try_path(command);
    return result;
  }
  const char *paths = std::getenv("PATH");
  for (const std::string &path : split(paths ? paths : "/bin:/usr/bin", ":")) {
    if (!command.empty() && try_path(path.empty() ? command : path + "/" + command)) break;
  }
  return result;
}

// The words after "#!"; none: it is no script.
std::vector<std::string> interpreter_words(const std::string &path) {
  char head[kHeadMax];
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return {};
  const ssize_t got = read(fd, head, sizeof head);
  close(fd);
  if (got < 2 || head[0] != '#' || head[1] != '!') return {};
  std::string line(head + 2, static_cast<size_t>(got) - 2);
  line.resize(std::min(line.find('\n'), line.size()));
  std::vector<std::string> words;
  for (std::string &word : split(line, " \t\r")) {
    if (!word.empty()) words.push_back(std::move(word));
  }
  return words;
}

// The command that env(1) runs; "": there is none to be seen, or its environment is emptied.
std::string behind_env(const std::vector<std::string> &words) {
  for (size_t i = 1; i < words.size(); ++i) {
    if (words[i] == "-S" || words[i] == "--split-string" || words[i].find('=') != std::string::npos) continue;
    return words[i][0] == '-' ? "" : words[i];
  }
  return "";
}

Found look(Program *p) {
  p->object = std::make_unique<Object>();
  p->object->name = p->object->path = p->path;
  switch (p->object->elf->open(p->path)) {
    case Reading::good: return Found::program;
    case Reading::unreadable: return Found::unreadable;
    case Reading::foreign: return Found::foreign;
    case Reading::broken: return Found::broken;
    default: return Found::no_program;
  }
}

bool has_setid(const struct stat &s) { return s.st_mode & S_ISUID || (s.st_mode & (S_ISGID | S_IXGRP)) == (S_ISGID | S_IXGRP); }

bool is_ignored_here(const std::string &path) {
  struct statvfs v;
  return prctl(PR_GET_NO_NEW_PRIVS, 0, 0, 0, 0) == 1 || (!statvfs(path.c_str(), &v) && v.f_flag & ST_NOSUID);
}

bool has_capabilities(const std::string &path) {
  vfs_ns_cap_data data = {};
  if (getxattr(path.c_str(), "security.capability", &data, sizeof data) < static_cast<ssize_t>(sizeof(vfs_cap_data)))
    return false;
  return data.data[0].permitted || data.data[1].permitted || data.magic_etc & VFS_CAP_FLAGS_EFFECTIVE;
}

}  // namespace

Program find_program(const std::string &command) {
  Program p;
  std::string next = command;
  while (p.scripts.size() < kWayMax) {
    const Found found = search(next, &p.path);
    if (p.start.empty()) p.start = p.path;
    if (found != Found::program) {
      if (p.scripts.empty() || found == Found::missing) p.path = found == Found::missing ? next : p.path;
      p.found = found;
      return p;
    }
    const auto words = interpreter_words(p.path);
    const bool is_env = p.scripts.size() && base_name(p.path) == "env" && words.empty();
    if (words.empty() && !is_env) break;
    if (is_env) {
      // It was reached by a script, whose words tell what is behind it.
      next = behind_env(interpreter_words(p.scripts.back()));
      if (next.empty()) break;
    } else {
      next = words.front();
    }
    p.scripts.push_back(p.path);
  }
  p.found = look(&p);
  return p;
}

std::string privileges(const std::string &path) {
  struct stat s;
  if (stat(path.c_str(), &s) || is_ignored_here(path)) return "";
  if (s.st_mode & S_ISUID && s.st_uid != getuid()) return "set-user-ID";
  if ((s.st_mode & (S_ISGID | S_IXGRP)) == (S_ISGID | S_IXGRP) && s.st_gid != getgid()) return "set-group-ID";
  if (getuid() != 0 && has_capabilities(path)) return "file capabilities";
  if (getuid() != geteuid() || getgid() != getegid()) return "other effective than real IDs of this process";
  return "";
}

std::string harmless_privileges(const std::string &path) {
  struct stat s;
  if (stat(path.c_str(), &s) || !privileges(path).empty()) return "";
  const char *why = is_ignored_here(path) ? ", which is ignored here" : ", which changes nothing for this user";
  if (has_setid(s)) return std::string("set-ID") + why;
  return has_capabilities(path) ? std::string("file capabilities") + why : "";
}

}  // namespace torque_tools
