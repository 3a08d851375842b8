// SPDX-License-Identifier: BSD-3-Clause
#include "topology/budget.hh"

#include <sched.h>

#include <algorithm>
#include <cerrno>
#include <climits>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "base/fd.hh"
#include "base/syscall.hh"

namespace torque {
namespace {

constexpr size_t path_size = PATH_MAX;

int open_again(const char *path) noexcept {
  return sys::retry([&] { return ::open(path, O_RDONLY | O_CLOEXEC); });
}

// A text file line by line. The rest of an overlong line is dropped: nothing that matters here is long.
class Lines {
 public:
  bool open(const char *path) noexcept {
    fd_ = Fd(open_again(path));
    begin_ = end_ = 0;
    return static_cast<bool>(fd_);
  }
  // The next line without its newline, null at the end. Valid until the next call.
  char *next() noexcept {
    for (bool drop = false;;) {
      char *const line = buf_ + begin_;
      if (char *nl = static_cast<char *>(std::memchr(line, '\n', end_ - begin_))) {
        *nl = '\0';
        begin_ = static_cast<size_t>(nl + 1 - buf_);
        if (!drop) return line;
        drop = false;
      } else if (end_ - begin_ == sizeof buf_ - 1) {
        drop = true;
        begin_ = end_ = 0;
      } else if (!fill()) {
        return drop ? nullptr : rest();
      }
    }
  }

 private:
  bool fill() noexcept {
    std::memmove(buf_, buf_ + begin_, end_ - begin_);
    end_ -= begin_;
    begin_ = 0;
    const ssize_t n = sys::read(fd_.get(), buf_ + end_, sizeof buf_ - 1 - end_);
    if (n <= 0) return false;
    end_ += static_cast<size_t>(n);
    return true;
  }
  char *rest() noexcept {
    if (begin_ == end_) return nullptr;
    buf_[end_] = '\0';
    char *const line = buf_ + begin_;
    begin_ = end_;
    return line;
  }

  Fd fd_;
  size_t begin_ = 0;
  size_t end_ = 0;
  char buf_[8192];
};

// One cgroup hierarchy: where it is mounted and where in it this process is.
struct Hierarchy {
  const char *controller;  // null: version 2
  char path[path_size];    // "" until found
  char mount[path_size];
};

// Too large for a stack of unknown size.
struct Scratch {
  Lines lines;
  Hierarchy unified{nullptr, "", ""};
  Hierarchy cpu{"cpu", "", ""};
  Hierarchy cpuset{"cpuset", "", ""};
  char file[path_size];
  char value[path_size];
};

bool copy_text(char (&to)[path_size], const char *from) noexcept {
  const size_t n = std::strlen(from);
  if (n >= path_size) return false;
  std::memcpy(to, from, n + 1);
  return true;
}

// True when word is one of the comma-separated words of list.
bool lists(const char *list, const char *word) noexcept {
  const size_t n = std::strlen(word);
  for (const char *p = list; p; p = std::strchr(p, ',')) {
    if (*p == ',') p++;
    if (std::strncmp(p, word, n) == 0 && (p[n] == ',' || p[n] == '\0')) return true;
  }
  return false;
}

// A line of /proc/self/cgroup: "4:cpu,cpuacct:/path", or "0::/path" for version 2.
void note_path(Scratch &s, char *line) noexcept {
  char *const names = std::strchr(line, ':');
  char *const path = names ? std::strchr(names + 1, ':') : nullptr;
  if (!path || path[1] != '/') return;
  *path = '\0';
  for (Hierarchy *h : {&s.unified, &s.cpu, &s.cpuset}) {
    const bool mine = h->controller ? lists(names + 1, h->controller) : names[1] == '\0';
    if (mine && !copy_text(h->path, path + 1)) h->path[0] = '\0';
  }
}

// The kernel writes blank, tab, newline and backslash in a mount point as \ooo.
void unescape(char *text) noexcept {
  char *to = text;
  const auto octal = [](char c) { return c >= '0' && c <= '7'; };
  for (const char *p = text; *p;) {
    if (p[0] == '\\' && octal(p[1]) && octal(p[2]) && octal(p[3])) {
      *to++ = static_cast<char>((p[1] - '0') * 64 + (p[2] - '0') * 8 + (p[3] - '0'));
      p += 4;
    } else {
      *to++ = *p++;
    }
  }
  *to = '\0';
}

// The process's path as seen below a mount whose root is not the hierarchy's (containers). A path outside the mount
// has nothing to say but the mount's own limits.
void strip_root(char *path, const char *mount_root) noexcept {
  const size_t n = std::strcmp(mount_root, "/") ? std::strlen(mount_root) : 0;
  if (!std::strcmp(path, "/") || !std::strncmp(path, "/..", 3))
    path[0] = '\0';
  else if (std::strncmp(path, mount_root, n) == 0 && (path[n] == '/' || path[n] == '\0'))
    std::memmove(path, path + n, std::strlen(path + n) + 1);
  else
    path[0] = '\0';
}

struct Mount {
  char *root, *point, *type, *options;
};

// A line of /proc/self/mountinfo: "36 35 98:0 /root /point opts [tags...] - type source superopts".
bool split_mount(char *line, Mount *ret) noexcept {
  char *dash = std::strstr(line, " - ");
  if (!dash) return false;
  char *save = nullptr;
  char *field[5];
  for (size_t i = 0; i < 5; i++) {
    field[i] = strtok_r(i ? nullptr : line, " ", &save);
    if (!field[i] || field[i] > dash) return false;
  }
  char *const type = strtok_r(dash + 3, " ", &save);
  if (!type || !strtok_r(nullptr, " ", &save)) return false;
  char *const options = strtok_r(nullptr, " ", &save);
  if (!options) return false;
  *ret = {field[3], field[4], type, options};
  unescape(ret->root);
  unescape(ret->point);
  return true;
}

void note_mount(Scratch &s, char *line) noexcept {
  Mount m;
  if (!std::strstr(line, " cgroup") || !split_mount(line, &m)) return;
  for (Hierarchy *h : {&s.unified, &s.cpu, &s.cpuset}) {
    const bool mine = h->controller ? !std::strcmp(m.type, "cgroup") && lists(m.options, h->controller)
                                    : !std::strcmp(m.type, "cgroup2");
    if (!mine || !h->path[0] || h->mount[0] || !copy_text(h->mount, m.point)) continue;
    strip_root(h->path, m.root);
  }
}

void find_hierarchies(const char *root, Scratch &s) noexcept {
  std::snprintf(s.file, sizeof s.file, "%s/proc/self/cgroup", root);
  if (!s.lines.open(s.file)) return;
  while (char *line = s.lines.next()) note_path(s, line);
  std::snprintf(s.file, sizeof s.file, "%s/proc/self/mountinfo", root);
  if (!s.lines.open(s.file)) return;
  while (char *line = s.lines.next()) note_mount(s, line);
}

// The text of a small file of the cgroup at path, null when there is none.
const char *read_value(const char *root, Scratch &s, const Hierarchy &h, const char *path, const char *name) noexcept {
  const int n = std::snprintf(s.file, sizeof s.file, "%s%s%s/%s", root, h.mount, path, name);
  if (n < 0 || static_cast<size_t>(n) >= sizeof s.file) return nullptr;
  const Fd fd(open_again(s.file));
  const ssize_t got = fd ? sys::read(fd.get(), s.value, sizeof s.value - 1) : -1;
  if (got < 0) return nullptr;
  s.value[got] = '\0';
  return s.value;
}

// Shortens path to its parent; false when it was the top already.
bool go_up(char *path) noexcept {
  char *const slash = std::strrchr(path, '/');
  if (!slash) return false;
  *slash = '\0';
  return true;
}

bool take_positive(const char *&p, uint64_t *ret) noexcept {
  char *end = nullptr;
  errno = 0;
  const long long v = std::strtoll(p, &end, 10);
  if (end == p || errno || v <= 0) return false;
  p = end;
  *ret = static_cast<uint64_t>(v);
  return true;
}

// More than any machine has is no limit.
void tighten(uint32_t *quota_milli, uint64_t quota, uint64_t period) noexcept {
  if (quota / period > CpuSet::cpu_max || quota > UINT64_MAX / 1000) return;
  const uint32_t milli = static_cast<uint32_t>(std::max<uint64_t>(quota * 1000 / period, 1));
  if (!*quota_milli || milli < *quota_milli) *quota_milli = milli;
}

// "150000 100000", or "max 100000" for no limit.
void quota_v2(const char *root, Scratch &s, const char *path, uint32_t *quota_milli) noexcept {
  const char *p = read_value(root, s, s.unified, path, "cpu.max");
  uint64_t quota = 0, period = 0;
  if (p && take_positive(p, &quota) && take_positive(p, &period)) tighten(quota_milli, quota, period);
}

// Two files; a quota of -1 is no limit.
void quota_v1(const char *root, Scratch &s, const char *path, uint32_t *quota_milli) noexcept {
  uint64_t quota = 0, period = 0;
  const char *p = read_value(root, s, s.cpu, path, "cpu.cfs_quota_us");
  if (!p || !take_positive(p, &quota)) return;
  p = read_value(root, s, s.cpu, path, "cpu.cfs_period_us");
  if (p && take_positive(p, &period)) tighten(quota_milli, quota, period);
}

// The nearest cgroup that names CPUs has them from its ancestors already. Group or file may be missing where the
// controller is not turned on for the group, or a namespace hides it: its parent's set counts then.
torque_err find_cpuset(const char *root, Scratch &s, Hierarchy &h, const char *name, CpuSet *cpus, bool *ret_found) {
  char path[path_size];
  copy_text(path, h.path);
  do {
    const char *text = read_value(root, s, h, path, name);
    if (!text) continue;
    cpus->clear();
    const CpuSet::Parse got = cpus->parse(text);
    if (got == CpuSet::Parse::no_memory) return TORQUE_ERR_RESOURCE;
    if (got == CpuSet::Parse::ok && cpus->count()) {
      *ret_found = true;
      return 0;
    }
  } while (go_up(path));
  cpus->clear();
  return 0;
}

torque_err read_cpuset(const char *root, Scratch &s, CpuSet *cpus, bool *ret_found) noexcept {
  torque_err err = 0;
  if (s.unified.mount[0]) err = find_cpuset(root, s, s.unified, "cpuset.cpus.effective", cpus, ret_found);
  if (!err && !*ret_found && s.cpuset.mount[0])
    err = find_cpuset(root, s, s.cpuset, "cpuset.effective_cpus", cpus, ret_found);
  if (!err && !*ret_found && s.cpuset.mount[0]) err = find_cpuset(root, s, s.cpuset, "cpuset.cpus", cpus, ret_found);
  return err;
}

// Requires: nobody reads the paths afterwards.
uint32_t read_quota(const char *root, Scratch &s) noexcept {
  uint32_t milli = 0;
  if (s.unified.mount[0]) {
    do quota_v2(root, s, s.unified.path, &milli);
    while (go_up(s.unified.path));
  }
  if (s.cpu.mount[0]) {
    do quota_v1(root, s, s.cpu.path, &milli);
    while (go_up(s.cpu.path));
  }
  return milli;
}

// Without an answer from the kernel, the CPUs that are there.
torque_err all_online(CpuSet *cpus) noexcept {
  const long n = ::sysconf(_SC_NPROCESSORS_ONLN);
  for (uint32_t cpu = 0; cpu < std::clamp<long>(n, 1, CpuSet::cpu_max); cpu++)
    if (!cpus->add(cpu)) return TORQUE_ERR_RESOURCE;
  return 0;
}

}  // namespace

torque_err read_affinity(const Alloc &alloc, CpuSet *cpus) noexcept {
  // cpu_set_t ends at 1,024 CPUs; the kernel says EINVAL as long as its own mask is longer than ours.
  for (size_t bytes = 128; bytes <= (CpuSet::cpu_max + 1) / 8; bytes *= 2) {
    unsigned long *const mask = static_cast<unsigned long *>(alloc.get(bytes));
    if (!mask) return TORQUE_ERR_RESOURCE;
    std::memset(mask, 0, bytes);
    const bool ok = ::sched_getaffinity(0, bytes, reinterpret_cast<cpu_set_t *>(mask)) == 0;
    const bool longer = !ok && errno == EINVAL;
    bool room = true;
    constexpr size_t bits = sizeof(unsigned long) * CHAR_BIT;
    for (size_t cpu = 0; ok && room && cpu < bytes * CHAR_BIT; cpu++)
      if (mask[cpu / bits] >> (cpu % bits) & 1) room = cpus->add(static_cast<uint32_t>(cpu));
    alloc.put(mask, bytes);
    if (!room) return TORQUE_ERR_RESOURCE;
    if (ok && cpus->count()) return 0;
    if (!longer) break;
  }
  return all_online(cpus);
}

torque_err read_cgroups(const char *root, const Alloc &alloc, CpuSet *cpuset, CgroupLimits *limits) noexcept {
  Scratch *const s = alloc.make<Scratch>();
  if (!s) return TORQUE_ERR_RESOURCE;
  find_hierarchies(root, *s);
  CgroupLimits found;
  const torque_err err = read_cpuset(root, *s, cpuset, &found.has_cpuset);
  if (!err) {
    found.quota_milli = read_quota(root, *s);
    *limits = found;
  }
  alloc.destroy(s);
  return err;
}

}  // namespace torque
