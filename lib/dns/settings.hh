// SPDX-License-Identifier: BSD-3-Clause
// What a resolver was told to do. A value: its holder's.
#pragma once

#include <cstdint>
#include <cstdlib>
#include <cstring>
#include <utility>

namespace torque_dns {

// A text of its own, or none.
class Text {
 public:
  constexpr Text() noexcept = default;
  Text(const Text &) = delete;
  Text &operator=(const Text &) = delete;
  ~Text() { std::free(text_); }
  // False: no memory, and nothing has changed.
  [[nodiscard]] bool set(const char *text) noexcept {
    char *copy = text ? ::strdup(text) : nullptr;
    if (text && !copy) return false;
    std::free(std::exchange(text_, copy));
    return true;
  }
  void swap(Text &o) noexcept { std::swap(text_, o.text_); }
  const char *get() const noexcept { return text_; }

 private:
  char *text_ = nullptr;
};

constexpr uint32_t kMaxInFlight = 256;
// Also the most: c-ares gives all that waits for a TCP connection to one system call, which takes 1024 pieces.
constexpr uint32_t kUdpMaxQueries = 1000;

// What is 0, -1 or null is the system's.
struct Settings {
  struct Numbers {
    uint64_t timeout_ns = 0;
    uint32_t tries = 0;
    int32_t ndots = -1;
    uint32_t max_in_flight = kMaxInFlight;
    uint32_t udp_max_queries = kUdpMaxQueries;
    uint32_t flags = 0;
  } numbers;
  Text servers;
  Text search;
  Text hosts;
  Text lookups;

  [[nodiscard]] bool copy(const Settings &from) noexcept {
    Text fresh[4];
    if (!fresh[0].set(from.servers.get()) || !fresh[1].set(from.search.get()) || !fresh[2].set(from.hosts.get()) ||
        !fresh[3].set(from.lookups.get())) {
      return false;
    }
    numbers = from.numbers;
    servers.swap(fresh[0]);
    search.swap(fresh[1]);
    hosts.swap(fresh[2]);
    lookups.swap(fresh[3]);
    return true;
  }
};

}  // namespace torque_dns
