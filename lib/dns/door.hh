// SPDX-License-Identifier: BSD-3-Clause
// What programs hold of a resolver: no pointer to it, but the number of a door and the door's generation. So any thread
// may call at any time: a call that has come in keeps the resolver until it leaves, and one that comes after the
// resolver was given up finds the door of another generation, however often the door was used again.
//
// Always true: doors are never freed. The resolver behind an open door has a reference of the door's.
#pragma once

#include <atomic>
#include <cstdint>

struct torque_resolver;

namespace torque_dns {

class Resolver;

struct Door {
  // Generation (40 bits) | calls that are under way (24). The generation changes when the resolver is given up.
  std::atomic<uint64_t> word{0};
  Resolver *resolver = nullptr;  // written while nobody can come in
  uint32_t index = 0;
  uint32_t next_free = 0;  // the lock of the doors
};

// A door of its own for a resolver, whose reference it takes over. Null: no memory.
torque_resolver *open_door(Resolver *resolver) noexcept;

// One call.
class Visit {
 public:
  explicit Visit(const torque_resolver *handle) noexcept;
  ~Visit();
  Visit(const Visit &) = delete;
  Visit &operator=(const Visit &) = delete;
  // False: it was given up.
  explicit operator bool() const noexcept { return door_ != nullptr; }
  Resolver *operator->() const noexcept { return door_->resolver; }
  Resolver &operator*() const noexcept { return *door_->resolver; }
  // Nobody comes in any more. False: another call was first.
  bool close() noexcept;

 private:
  Door *door_ = nullptr;
  uint64_t generation_ = 0;
};

}  // namespace torque_dns
