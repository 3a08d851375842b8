// SPDX-License-Identifier: BSD-3-Clause
// The hosts file, read again when it has changed. One thread at a time.
#pragma once

#include <sys/stat.h>

#include <cstdint>

#include "addresses.hh"
#include "array.hh"

namespace torque_dns {

// What a file looked like; another file, or one that was changed, looks different.
struct Stamp {
  bool there = false;
  dev_t device = 0;
  ino_t inode = 0;
  off_t size = 0;
  int64_t changed_ns = 0;
  static Stamp of(const char *path) noexcept;
  friend bool operator==(const Stamp &, const Stamp &) noexcept = default;
};

class Hosts {
 public:
  // Adds what the file says about name to *ret. family: AF_UNSPEC for both. like_v4: whoever asks for IPv4 alone is
  // told 127.0.0.1 for ::1, and 192.0.2.1 for ::ffff:192.0.2.1, as by getaddrinfo(). False: no memory.
  [[nodiscard]] bool find(const char *path, const char *name, int family, bool like_v4, uint16_t port,
                          Addresses *ret) noexcept;
  // The text in place of a file's, for tests.
  [[nodiscard]] bool read_text(const char *text, size_t size) noexcept;

 private:
  struct Line {
    Address address;
    uint32_t first_name;  // where in names_
    uint32_t names;
  };
  void read(const char *path) noexcept;

  Stamp stamp_;
  uint64_t path_hash_ = 0;
  bool read_ = false;
  Array<Line> lines_;
  Array<char> names_;  // one after another, each with its 0
};

}  // namespace torque_dns
