// SPDX-License-Identifier: BSD-3-Clause
#include "topology/live.hh"

#include <dirent.h>
#include <unistd.h>

#include <algorithm>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>

#include "base/fd.hh"
#include "base/syscall.hh"

namespace torque {

namespace {

constexpr torque_err kIrregular = TORQUE_ERR_CPUDETECT;
constexpr uint32_t kIndexesMax = 16;  // of caches that one CPU has

// Places in Cpu::order.
enum Order : uint32_t { order_outer, order_inner, order_die, order_caches, order_core = order_caches + cache_levels, order_unit };

// "32K", and the number alone.
bool parse_size(const char *p, uint64_t *ret) noexcept {
  char *end = nullptr;
  const unsigned long long n = std::strtoull(p, &end, 10);
  if (end == p) return false;
  const unsigned shift = *end == 'K' ? 10 : *end == 'M' ? 20 : *end == 'G' ? 30 : 0;
  *ret = uint64_t{n} << shift;
  return n > 0;
}

}  // namespace

// One small file after the other, of one folder.
struct LiveMap::File {
  const char *root;
  char folder[192];
  char path[512];
  char text[8192];

  [[gnu::format(printf, 2, 3)]] void go_to(const char *format, ...) noexcept {
    va_list args;
    va_start(args, format);
    std::vsnprintf(folder, sizeof folder, format, args);
    va_end(args);
  }
  bool name(const char *file) noexcept {
    const int n = std::snprintf(path, sizeof path, "%s%s%s", root, folder, file);
    return n > 0 && static_cast<size_t>(n) < sizeof path;
  }
  // Leaves what it says in text, without an end of line. False: there is none, or it is longer than anything expected.
  bool read(const char *file) noexcept {
    if (!name(file)) return false;
    const Fd fd(sys::retry([&] { return ::open(path, O_RDONLY | O_CLOEXEC); }));
    const ssize_t n = fd ? sys::read(fd.get(), text, sizeof text) : -1;
    if (n <= 0 || static_cast<size_t>(n) == sizeof text) return false;
    text[n] = '\0';
    if (char *end = std::strchr(text, '\n'); end && end[1] == '\0') *end = '\0';
    return true;
  }
  bool read_number(const char *file, uint64_t *ret) noexcept { return read(file) && parse_size(text, ret); }
};

// A set of CPUs, of those that are online, into set_. member: has to be in it.
torque_err LiveMap::read_set(File &file, const char *name, uint32_t member) noexcept {
  if (!file.read(name)) return kIrregular;
  set_.clear();
  const CpuSet::Parse got = set_.parse(file.text);
  if (got == CpuSet::Parse::no_memory) return TORQUE_ERR_RESOURCE;
  set_.keep_only(online_);
  return got == CpuSet::Parse::ok && set_.has(member) ? TORQUE_ERR_NONE : kIrregular;
}

torque_err LiveMap::read_caches(File &file, Cpu &cpu) noexcept {
  bool any = false;
  for (uint32_t i = 0; i < kIndexesMax; ++i) {
    file.go_to("/sys/devices/system/cpu/cpu%u/cache/index%u/", cpu.pu.os, i);
    if (!file.read("type")) break;
    if (std::strcmp(file.text, "Instruction") == 0) continue;
    uint64_t level, bytes, line;
    if (!file.read_number("level", &level) || level > cache_levels || !file.read_number("size", &bytes) ||
        !file.read_number("coherency_line_size", &line)) {
      return kIrregular;
    }
    if (const torque_err err = read_set(file, "shared_cpu_list", cpu.pu.os)) return err;
    const uint32_t l = static_cast<uint32_t>(level) - 1;
    if (cpu.pu.key[l] != -1) return kIrregular;
    cpu.order[order_caches + cache_levels - 1 - l] = set_.first();
    cpu.pu.key[l] = static_cast<int32_t>(set_.first());
    cpu.pu.bytes[l] = bytes;
    cpu.line[l] = static_cast<uint32_t>(line);
    cpu.sharers[l] = set_.count();
    any = true;
  }
  return any ? TORQUE_ERR_NONE : kIrregular;
}

torque_err LiveMap::read_cpu(File &file, uint32_t os) noexcept {
  Cpu cpu{};
  cpu.pu.os = os;
  cpu.pu.node = -1;
  std::fill_n(cpu.pu.key, levels, -1);
  cpu.pu.key[level_machine] = 0;
  file.go_to("/sys/devices/system/cpu/cpu%u/topology/", os);
  torque_err err = read_set(file, "core_cpus_list", os);
  if (err == kIrregular) err = read_set(file, "thread_siblings_list", os);
  if (err) return err;
  cpu.pu.core = set_.first();
  err = read_set(file, "package_cpus_list", os);
  if (err == kIrregular) err = read_set(file, "core_siblings_list", os);
  if (err) return err;
  cpu.pu.key[level_package] = static_cast<int32_t>(set_.first());
  err = read_set(file, "die_cpus_list", os);  // newer kernels have it
  if (err == TORQUE_ERR_RESOURCE) return err;
  if (!err) cpu.order[order_die] = set_.first();
  err = read_caches(file, cpu);
  if (!err && !cpus_.push(cpu)) err = TORQUE_ERR_RESOURCE;
  return err;
}

torque_err LiveMap::read_pages(File &file, uint32_t node) noexcept {
  file.go_to("/sys/devices/system/node/node%u/", node);
  if (!file.name("hugepages")) return kIrregular;
  DIR *dir = ::opendir(file.path);
  if (!dir) return TORQUE_ERR_NONE;  // a kernel without them
  torque_err err = TORQUE_ERR_NONE;
  while (const dirent *e = ::readdir(dir)) {
    unsigned long long kb;
    if (std::sscanf(e->d_name, "hugepages-%llukB", &kb) != 1) continue;
    const uint64_t bytes = uint64_t{kb} << 10;
    if (std::find(pages_.begin(), pages_.end(), bytes) == pages_.end() && !pages_.push(bytes)) err = TORQUE_ERR_RESOURCE;
  }
  ::closedir(dir);
  return err;
}

torque_err LiveMap::read_node(File &file, uint32_t node) noexcept {
  file.go_to("/sys/devices/system/node/node%u/", node);
  if (!file.read("cpulist")) return kIrregular;
  set_.clear();
  const CpuSet::Parse got = set_.parse(file.text);
  if (got == CpuSet::Parse::no_memory) return TORQUE_ERR_RESOURCE;
  set_.keep_only(online_);
  if (got != CpuSet::Parse::ok || set_.count() == 0) return kIrregular;  // memory alone: near to whom?
  const uint32_t first = set_.first();
  for (Cpu &c : cpus_) {
    if (!set_.has(c.pu.os)) continue;
    if (c.pu.node != -1) return kIrregular;
    c.pu.node = static_cast<int32_t>(node);
    c.pu.key[level_node] = static_cast<int32_t>(first);
  }
  const uint32_t cpus = set_.count();
  const char *total = file.read("meminfo") ? std::strstr(file.text, "MemTotal:") : nullptr;
  uint64_t kb;
  if (!total || !parse_size(total + std::strlen("MemTotal:"), &kb)) return kIrregular;
  if (!nodes_.push({static_cast<int32_t>(node), cpus, kb << 10})) return TORQUE_ERR_RESOURCE;
  return read_pages(file, node);
}

torque_err LiveMap::read_nodes(File &file) noexcept {
  file.go_to("/sys/devices/system/node/");
  CpuSet nodes(alloc_);
  if (!file.read("online")) return kIrregular;
  const CpuSet::Parse got = nodes.parse(file.text);
  if (got != CpuSet::Parse::ok) return got == CpuSet::Parse::no_memory ? TORQUE_ERR_RESOURCE : kIrregular;
  for (uint32_t n = 0; n < nodes.bound(); ++n) {
    if (!nodes.has(n)) continue;
    if (const torque_err err = read_node(file, n)) return err;
  }
  for (const Cpu &c : cpus_) {
    if (c.pu.node == -1) return kIrregular;
  }
  return TORQUE_ERR_NONE;
}

// By level, and within one in the map's order.
torque_err LiveMap::list_caches() noexcept {
  for (uint32_t l = 0; l < cache_levels; ++l) {
    for (const Cpu &c : cpus_) {
      if (c.pu.key[l] != static_cast<int32_t>(c.pu.os)) continue;
      const Topology::Cache cache{l + 1, c.line[l], c.pu.bytes[l], 1, c.sharers[l]};
      const auto same = [&](const Topology::Cache &o) {
        return o.level == cache.level && o.bytes == cache.bytes && o.line == cache.line;
      };
      Topology::Cache *known = std::find_if(caches_.begin(), caches_.end(), same);
      if (known == caches_.end()) {
        if (!caches_.push(cache)) return TORQUE_ERR_RESOURCE;
        continue;
      }
      known->number++;
      known->cpus = std::max(known->cpus, cache.cpus);
    }
  }
  return TORQUE_ERR_NONE;
}

// As hwloc has them: what is smaller lies within what is larger, beginning with the CPU that has the lowest number.
void LiveMap::sort() noexcept {
  uint32_t packages = 0;
  for (const Cpu &c : cpus_) packages += c.pu.key[level_package] == static_cast<int32_t>(c.pu.os);
  const Level outer = nodes_.size() < packages ? level_node : level_package;
  const Level inner = outer == level_node ? level_package : level_node;
  for (Cpu &c : cpus_) {
    c.order[order_outer] = static_cast<uint32_t>(c.pu.key[outer]);
    c.order[order_inner] = static_cast<uint32_t>(c.pu.key[inner]);
    c.order[order_core] = c.pu.core;
    c.order[order_unit] = c.pu.os;
  }
  std::sort(cpus_.begin(), cpus_.end(), [](const Cpu &a, const Cpu &b) { return a.order < b.order; });
  const auto place = [&](const Topology::Node &n) {
    return std::find_if(cpus_.begin(), cpus_.end(), [&](const Cpu &c) { return c.pu.node == n.os_index; });
  };
  std::sort(nodes_.begin(), nodes_.end(),
            [&](const Topology::Node &a, const Topology::Node &b) { return place(a) < place(b); });
}

torque_err LiveMap::read_cpus(File &file) noexcept {
  file.go_to("/sys/devices/system/cpu/");
  if (!file.read("online")) return kIrregular;
  const CpuSet::Parse got = online_.parse(file.text);
  if (got != CpuSet::Parse::ok) return got == CpuSet::Parse::no_memory ? TORQUE_ERR_RESOURCE : kIrregular;
  for (uint32_t cpu = 0; cpu < online_.bound(); ++cpu) {
    if (!online_.has(cpu)) continue;
    if (const torque_err err = read_cpu(file, cpu)) return err;
  }
  return cpus_.empty() ? kIrregular : TORQUE_ERR_NONE;
}

torque_err LiveMap::read_all(File &file) noexcept {
  torque_err err = read_cpus(file);
  if (!err) err = read_nodes(file);
  if (err) return err;
  sort();
  return list_caches();
}

torque_err LiveMap::read(const char *root) noexcept {
  File *file = alloc_.make<File>(File{root, {}, {}, {}});
  if (!file) return TORQUE_ERR_RESOURCE;
  const torque_err err = read_all(*file);
  alloc_.destroy(file);
  return err;
}

}  // namespace torque
