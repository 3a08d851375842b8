// SPDX-License-Identifier: BSD-3-Clause
#include "hosts.hh"

#include <fcntl.h>
#include <strings.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

namespace torque_dns {

namespace {

constexpr size_t kFileMost = size_t{64} << 20;  // lists of blocked names are long; nothing sane is longer

uint64_t hash_of(const char *text) noexcept {
  uint64_t h = 14695981039346656037u;
  for (; *text; ++text) h = (h ^ static_cast<uint8_t>(*text)) * 1099511628211u;
  return h;
}

// What a line's address is for a family. False: nothing.
bool as_family(const Address &address, int family, bool like_v4, Address *ret) noexcept {
  *ret = address;
  if (family == AF_UNSPEC || address.family == family) return true;
  if (family != AF_INET || !like_v4) return false;
  if (unmap(address, ret)) return true;
  if (!IN6_IS_ADDR_LOOPBACK(&address.v6.sin6_addr)) return false;
  std::memset(ret, 0, sizeof *ret);
  ret->family = AF_INET;
  ret->v4.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
  return true;
}

}  // namespace

Stamp Stamp::of(const char *path) noexcept {
  Stamp s;
  struct stat st;
  if (!path || ::stat(path, &st) != 0) return s;
  s.there = true;
  s.device = st.st_dev;
  s.inode = st.st_ino;
  s.size = st.st_size;
  s.changed_ns = static_cast<int64_t>(st.st_mtim.tv_sec) * 1000000000 + st.st_mtim.tv_nsec;
  return s;
}

bool Hosts::read_text(const char *text, size_t size) noexcept {
  lines_.clear();
  names_.clear();
  for (size_t at = 0; at < size;) {
    const auto *end = static_cast<const char *>(std::memchr(text + at, '\n', size - at));
    const size_t length = end ? static_cast<size_t>(end - text) - at : size - at;
    Line line = {};
    line.first_name = static_cast<uint32_t>(names_.size());
    bool no_memory = false;
    const bool good = parse_hosts_line(text + at, length, &line.address, [&](const char *name, size_t n) {
      no_memory = !names_.room_for(n + 1);
      if (no_memory) return false;
      for (size_t i = 0; i < n; ++i) names_.push_reserved(name[i]);
      names_.push_reserved('\0');
      ++line.names;
      return true;
    });
    if (no_memory || (good && line.names > 0 && !lines_.push(line))) return false;
    if (!good) names_.truncate(line.first_name);
    at += length + 1;
  }
  return true;
}

// What cannot be read is an empty file; it is tried again when it has changed.
void Hosts::read(const char *path) noexcept {
  lines_.clear();
  names_.clear();
  int fd;
  do fd = ::open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK);
  while (fd < 0 && errno == EINTR);
  if (fd < 0) return;
  Array<char> text;
  bool whole = true;
  for (;;) {
    if (text.size() >= kFileMost || !text.room_for(65536)) {
      whole = false;
      break;
    }
    const ssize_t n = ::read(fd, text.end(), 65536);
    if (n < 0 && errno == EINTR) continue;
    if (n < 0) whole = false;
    if (n <= 0) break;
    text.truncate(text.size() + static_cast<size_t>(n));
  }
  ::close(fd);
  if (!whole || !read_text(text.begin(), text.size())) {
    lines_.clear();
    read_ = false;  // not for good
  }
}

bool Hosts::find(const char *path, const char *name, int family, bool like_v4, uint16_t port,
                 Addresses *ret) noexcept {
  if (path) {
    const Stamp now = Stamp::of(path);
    const uint64_t hash = hash_of(path);
    if (!read_ || hash != path_hash_ || now != stamp_) {
      read_ = true;
      stamp_ = now;
      path_hash_ = hash;
      read(path);
    }
  }
  for (const Line &line : lines_) {
    Address address;
    if (!as_family(line.address, family, like_v4, &address)) continue;
    const char *p = names_.begin() + line.first_name;
    for (uint32_t i = 0; i < line.names; ++i, p += std::strlen(p) + 1) {
      if (strcasecmp(name, p) != 0) continue;
      if (!ret->add(address, port, kNoTtl)) return false;
      if (!ret->name && i > 0) {  // the first name of the line is the real one
        ret->name = ::strdup(names_.begin() + line.first_name);
        if (!ret->name) return false;
      }
      break;
    }
  }
  return true;
}

}  // namespace torque_dns
