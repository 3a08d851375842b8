// SPDX-License-Identifier: BSD-3-Clause
// What the tests of this room share: a map as a line of text, an allocator that counts and fails, folders that stand
// for /proc and /sys.
#pragma once

#include <fcntl.h>
#include <ftw.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <string>
#include <vector>

#include "topology/topology.hh"

namespace test {

// Sorted numbers as "0-3,8"; repeated ones once.
inline std::string list_of(std::vector<uint32_t> n) {
  std::sort(n.begin(), n.end());
  n.erase(std::unique(n.begin(), n.end()), n.end());
  std::string text;
  for (size_t i = 0; i < n.size();) {
    size_t end = i;
    while (end + 1 < n.size() && n[end + 1] == n[end] + 1) end++;
    text += (i ? "," : "") + std::to_string(n[i]) + (end > i ? "-" + std::to_string(n[end]) : "");
    i = end + 1;
  }
  return text;
}

// "L3:0-7*8 L3:8-15*8": each domain with what it shares, its CPUs, and how many workers it has.
inline std::string describe(const torque::Topology &map) {
  std::string text;
  for (const torque::Topology::Domain &d : map.domains()) {
    std::vector<uint32_t> cpus;
    for (const torque::Topology::Worker &w : map.workers().subspan(d.first_worker, d.workers)) cpus.push_back(w.map_cpu);
    text += (text.empty() ? "" : " ") + std::string(d.kind) + ":" + list_of(cpus) + "*" + std::to_string(d.workers);
  }
  return text;
}

// Counts what is out; the call number fail_at (from 1) gets nothing.
struct CountingAlloc {
  long calls = 0;
  long fail_at = 0;
  long out = 0;
  size_t bytes_out = 0;

  torque::Alloc hooks() { return {take, give, this}; }
  static void *take(size_t size, size_t align, void *arg) {
    CountingAlloc *const self = static_cast<CountingAlloc *>(arg);
    if (++self->calls == self->fail_at) return nullptr;
    self->out++;
    self->bytes_out += size;
    return std::aligned_alloc(align, (size + align - 1) / align * align);
  }
  static void give(void *p, size_t size, void *arg) {
    CountingAlloc *const self = static_cast<CountingAlloc *>(arg);
    self->out--;
    self->bytes_out -= size;
    std::free(p);
  }
};

// A folder that stands for the root of the file system.
class FakeRoot {
 public:
  void make() {
    std::snprintf(path_, sizeof path_, "%s/torque-root-XXXXXX", std::getenv("TMPDIR") ? std::getenv("TMPDIR") : "/tmp");
    if (!mkdtemp(path_)) path_[0] = '\0';
  }
  void remove() {
    const auto one = [](const char *path, const struct stat *, int, struct FTW *) { return ::remove(path); };
    if (path_[0]) nftw(path_, one, 16, FTW_DEPTH | FTW_PHYS);
  }
  const char *path() const { return path_; }

  void file(const std::string &name, const std::string &text) {
    const std::string full = path_ + name;
    for (size_t at = std::strlen(path_); (at = full.find('/', at + 1)) != std::string::npos;)
      mkdir(full.substr(0, at).c_str(), 0755);
    const int fd = open(full.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
    if (fd < 0 || write(fd, text.data(), text.size()) != static_cast<ssize_t>(text.size())) std::abort();
    close(fd);
  }

 private:
  char path_[256] = "";
};

}  // namespace test
