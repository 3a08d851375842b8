// SPDX-License-Identifier: BSD-3-Clause
#include "libraries.hh"

#include <fcntl.h>
#include <sys/auxv.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstring>
#include <string_view>

#include "text.hh"

namespace torque_tools {

namespace {

const char *const kDefaultPaths[] = {"/" TORQUE_RUN_LIB, "/usr/" TORQUE_RUN_LIB, "/lib64", "/usr/lib64", "/lib", "/usr/lib"};

// /etc/ld.so.cache. It may begin with the table of an older format, which is skipped.
struct CacheHead {
  char magic[20];
  uint32_t count, strings_size;
  uint32_t unused[5];
};
struct CacheEntry {
  int32_t flags;
  uint32_t key, value;  // from the head on
  uint32_t system;
  uint64_t capabilities;
};

void replace(std::string &text, const char *name, const std::string &value) {
  for (const std::string &token : {"$" + std::string(name), "${" + std::string(name) + "}"}) {
    for (size_t at = 0; (at = text.find(token, at)) != std::string::npos; at += value.size())
      text.replace(at, token.size(), value);
  }
}

std::string expanded(std::string path, const Object &owner) {
  if (path.find('$') == std::string::npos) return path;
  replace(path, "ORIGIN", directory(real_path(owner.path)));
  replace(path, "LIB", TORQUE_RUN_LIB);
  const auto *platform = reinterpret_cast<const char *>(getauxval(AT_PLATFORM));
  if (platform) replace(path, "PLATFORM", platform);
  return path;
}

// What is for another machine is passed over, as the linker does.
bool try_file(const std::string &path, Object *ret) {
  if (access(path.c_str(), R_OK)) return false;
  auto elf = std::make_unique<Elf>();
  if (elf->open(path) != Reading::good) return false;
  ret->elf = std::move(elf);
  ret->path = path;
  return true;
}

// The names of files that the cache has for a library.
std::vector<std::string> cached(const std::string &name) {
  static const std::string_view cache = [] {
    const int fd = open("/etc/ld.so.cache", O_RDONLY | O_CLOEXEC);
    struct stat s;
    if (fd < 0) return std::string_view();
    void *p = fstat(fd, &s) ? MAP_FAILED : mmap(nullptr, static_cast<size_t>(s.st_size), PROT_READ, MAP_PRIVATE, fd, 0);
    close(fd);
    return p == MAP_FAILED ? std::string_view() : std::string_view(static_cast<char *>(p), static_cast<size_t>(s.st_size));
  }();
  std::vector<std::string> found;
  const size_t start = cache.find("glibc-ld.so.cache1.1");
  if (start == std::string_view::npos) return found;
  const std::string_view table = cache.substr(start);
  CacheHead head;
  if (table.size() < sizeof head) return found;
  std::memcpy(&head, table.data(), sizeof head);
  const auto text = [table](uint32_t at) {
    return at < table.size() ? std::string_view(table.data() + at, strnlen(table.data() + at, table.size() - at))
                             : std::string_view();
  };
  for (size_t i = 0; i < head.count && sizeof head + (i + 1) * sizeof(CacheEntry) <= table.size(); ++i) {
    CacheEntry e;
    std::memcpy(&e, table.data() + sizeof head + i * sizeof e, sizeof e);
    if (text(e.key) == name) found.emplace_back(text(e.value));
  }
  return found;
}

}  // namespace

std::vector<std::string> split(const std::string &text, const char *separators) {
  std::vector<std::string> parts;
  for (size_t from = 0;;) {
    const size_t to = text.find_first_of(separators, from);
    parts.push_back(text.substr(from, to - from));
    if (to == std::string::npos) return parts;
    from = to + 1;
  }
}

Libraries::Libraries(std::unique_ptr<Object> program, const char *preloaded, const char *library_path)
    : library_path_(library_path ? library_path : "") {
  all_.push_back(std::move(program));
  for (const std::string &name : split(preloaded ? preloaded : "", ": ")) {
    if (!name.empty()) load(name, *all_.front());
  }
  for (size_t i = 0; i < all_.size(); ++i) {
    // By value: the list moves while it grows.
    const std::vector<std::string> needed = all_[i]->elf->needed();
    for (const std::string &name : needed) load(name, *all_[i]);
  }
}

bool Libraries::is_loaded(const std::string &name) const {
  for (const auto &o : all_) {
    if (o->name == name || (!o->elf->soname().empty() && o->elf->soname() == name)) return true;
  }
  return false;
}

void Libraries::load(const std::string &name, const Object &asker) {
  if (is_loaded(name)) return;
  auto object = std::make_unique<Object>();
  object->name = name;
  object->asked_by = &asker;
  if (name.find('/') != std::string::npos) try_file(expanded(name, asker), object.get());
  else search(name, asker, object.get());
  for (const auto &o : all_) {
    if (!object->path.empty() && real_path(o->path) == real_path(object->path)) return;
  }
  all_.push_back(std::move(object));
}

bool Libraries::search_paths(const std::string &name, const std::string &paths, const Object &owner, Object *ret) const {
  if (paths.empty()) return false;
  for (const std::string &path : split(paths, ":;")) {
    if (try_file(path.empty() ? name : expanded(path, owner) + "/" + name, ret)) return true;
  }
  return false;
}

bool Libraries::search_cache(const std::string &name, Object *ret) const {
  for (const std::string &path : cached(name)) {
    // Variants for better processors are somebody's copy of the same library.
    if (path.find("/glibc-hwcaps/") == std::string::npos && try_file(path, ret)) return true;
  }
  return false;
}

// In the order of ld.so(8).
bool Libraries::search(const std::string &name, const Object &asker, Object *ret) const {
  if (asker.elf->runpath().empty()) {
    for (const Object *o = &asker; o; o = o->asked_by) {
      if (o->elf->runpath().empty() && search_paths(name, o->elf->rpath(), *o, ret)) return true;
    }
  }
  if (search_paths(name, library_path_, program(), ret)) return true;
  if (search_paths(name, asker.elf->runpath(), asker, ret)) return true;
  if (asker.elf->no_default_paths()) return false;
  if (search_cache(name, ret)) return true;
  for (const char *path : kDefaultPaths) {
    if (try_file(std::string(path) + "/" + name, ret)) return true;
  }
  return false;
}

}  // namespace torque_tools
