// SPDX-License-Identifier: BSD-3-Clause
// All contexts of the process.
#include "api/handle.hh"

namespace torque {

namespace {

constinit Mutex registry_lock;
constinit Condition registry_changed;
constinit torque_ctx *contexts = nullptr;   // under registry_lock
constinit uint64_t serials = 0;             // under registry_lock

// Rooms whose contexts have gone, in the order in which they went; under registry_lock.
constinit Room *first_buried = nullptr;
constinit Room *last_buried = nullptr;
constinit uint32_t buried = 0;
constinit Room *free_rooms = nullptr;  // of contexts that could not be made

}  // namespace

Mutex &Registry::lock() noexcept { return registry_lock; }
Condition &Registry::changed() noexcept { return registry_changed; }
torque_ctx *Registry::first() noexcept { return contexts; }

Room *Registry::take_room() noexcept {
  {
    HandingLock lock(registry_lock);
    Room *r = free_rooms;
    if (r) {
      free_rooms = r->next;
    } else if (buried > kBuried) {
      r = first_buried;
      first_buried = r->next;
      --buried;
    }
    if (r) return r;
  }
  return new (std::nothrow) Room;
}

void Registry::give_room(Room &room) noexcept {
  HandingLock lock(registry_lock);
  room.next = free_rooms;
  free_rooms = &room;
}

void Registry::bury(Room &room) noexcept {
  HandingLock lock(registry_lock);
  room.next = nullptr;
  (buried++ ? last_buried->next : first_buried) = &room;
  last_buried = &room;
}

bool Registry::has_had(const torque_ctx *ctx) noexcept {
  const Room *r = first_buried;
  for (uint32_t i = 0; i < buried; ++i, r = r->next) {
    if (r->body == reinterpret_cast<const unsigned char *>(ctx)) return true;
  }
  return false;
}

void Registry::add(torque_ctx &ctx) noexcept {
  HandingLock lock(registry_lock);
  ctx.serial = ++serials;
  ctx.next = contexts;
  contexts = &ctx;
}

bool Registry::has(const torque_ctx *ctx) noexcept {
  const torque_ctx *c = contexts;
  while (c && c != ctx) c = c->next;
  return c != nullptr;
}

void Registry::remove(torque_ctx &ctx) noexcept {
  torque_ctx **at = &contexts;
  while (*at && *at != &ctx) at = &(*at)->next;
  if (*at) *at = ctx.next;
}

}  // namespace torque
