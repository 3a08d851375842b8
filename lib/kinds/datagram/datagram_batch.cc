// SPDX-License-Identifier: BSD-3-Clause
#include "kinds/datagram/datagram_batch.hh"

#include <netinet/udp.h>

#include <algorithm>
#include <cstring>

#include "kinds/datagram/batch_pool.hh"

namespace torque {

// ---- The pool ----

torque_err BatchPool::enter() noexcept {
  Lock lock(lock_);
  if (sockets_ == 0) {
    if (const torque_err err = fill()) {
      clear();
      return err;
    }
  }
  ++sockets_;
  return TORQUE_ERR_NONE;
}

void BatchPool::leave() noexcept {
  Lock lock(lock_);
  if (--sockets_ == 0) clear();
}

torque_err BatchPool::fill() noexcept {
  places_ = static_cast<Place *>(alloc_.get(workers_ * sizeof(Place), alignof(Place)));
  if (!places_) return TORQUE_ERR_RESOURCE;
  for (uint32_t i = 0; i < workers_; ++i) new (&places_[i]) Place;
  for (uint32_t i = 0; i < workers_; ++i) {
    auto *b = alloc_.make<torque_datagrams>();
    if (!b) return TORQUE_ERR_RESOURCE;
    places_[i].batch.store(b, std::memory_order_relaxed);
  }
  return TORQUE_ERR_NONE;
}

void BatchPool::clear() noexcept {
  if (!places_) return;
  for (uint32_t i = 0; i < workers_; ++i) alloc_.destroy(places_[i].batch.load(std::memory_order_acquire));
  alloc_.put(places_, workers_ * sizeof(Place));
  places_ = nullptr;
}

torque_datagrams *BatchPool::take(int32_t worker) noexcept {
  torque_datagrams *b = place_of(worker).batch.exchange(nullptr, std::memory_order_acquire);
  return b ? b : alloc_.make<torque_datagrams>();
}

void BatchPool::give(int32_t worker, torque_datagrams *b) noexcept {
  torque_datagrams *none = nullptr;
  // Pairs with the acquire of clear(), on the thread that ends the last socket.
  if (!place_of(worker).batch.compare_exchange_strong(none, b, std::memory_order_release, std::memory_order_relaxed)) {
    alloc_.destroy(b);
  }
}

BatchPools::~BatchPools() {
  each([](BatchPool &p) { p.~BatchPool(); });
  context_.alloc.put(pools_, context_.domain_count() * sizeof(BatchPool));
}

torque_err BatchPools::open() noexcept {
  const uint32_t n = context_.domain_count();
  pools_ = static_cast<BatchPool *>(context_.alloc.get(n * sizeof(BatchPool), alignof(BatchPool)));
  if (!pools_) return TORQUE_ERR_RESOURCE;
  for (uint32_t i = 0; i < n; ++i) new (&pools_[i]) BatchPool(context_.alloc, context_.domain(i).workers);
  return TORQUE_ERR_NONE;
}

// ---- Failures ----

void Failures::add(torque_err err, const msghdr &m, size_t size) noexcept {
  ++count;
  if (listed == kListed) return;
  Failure &f = list[listed++];
  f.err = err;
  f.size = static_cast<uint32_t>(size);
  f.peer_len = m.msg_namelen;
  if (m.msg_namelen) std::memcpy(&f.peer, m.msg_name, m.msg_namelen);
}

// ---- The outbox ----

namespace {

bool equal(const void *a, size_t a_len, const void *b, size_t b_len) noexcept {
  return a_len == b_len && (a == b || a_len == 0 || std::memcmp(a, b, a_len) == 0);
}

bool equal(const From *a, const From *b) noexcept {
  if (a == b) return true;
  return a && b && a->level == b->level && a->type == b->type && equal(a->data, a->len, b->data, b->len);
}

cmsghdr *put(cmsghdr *at, int level, int type, const void *data, size_t size) noexcept {
  at->cmsg_level = level;
  at->cmsg_type = type;
  at->cmsg_len = CMSG_LEN(size);
  std::memcpy(CMSG_DATA(at), data, size);
  return reinterpret_cast<cmsghdr *>(reinterpret_cast<char *>(at) + CMSG_SPACE(size));
}

}  // namespace

char *Outbox::copy(const void *data, size_t size) noexcept {
  if (size > kRoom - room_used_) return nullptr;
  char *to = room_ + room_used_;
  if (size) std::memcpy(to, data, size);
  room_used_ += std::min((size + 7) & ~size_t{7}, kRoom - room_used_);  // addresses are read as structures
  return to;
}

bool Outbox::join(Joined &j, msghdr &m, const void *peer, socklen_t peer_len, const From *from, size_t size,
                  uint32_t train_max) noexcept {
  if (j.closed || size == 0 || j.segment == 0 || size > j.segment || j.segment > train_max) return false;
  if (m.msg_iovlen >= kSegments || j.bytes + size > kTrainBytes) return false;
  return equal(m.msg_name, m.msg_namelen, peer, peer_len) && equal(j.from, from);
}

bool Outbox::add(const void *peer, socklen_t peer_len, const From *from, const void *data, size_t size,
                 uint32_t train_max) noexcept {
  if (parts_ == kParts) return false;
  if (from && from->len == 0) from = nullptr;
  iovec &part = part_[parts_];
  part = {const_cast<void *>(data), size};
  if (messages_ > 0) {
    Joined &j = joined_[messages_ - 1];
    msghdr &m = header_[messages_ - 1].msg_hdr;
    if (join(j, m, peer, peer_len, from, size, train_max)) {
      j.closed = size < j.segment;
      j.bytes += size;
      ++m.msg_iovlen;
      ++parts_;
      return true;
    }
  }
  if (messages_ == kMessages) return false;
  joined_[messages_] = {from, size, static_cast<uint32_t>(size), false};
  header_[messages_] = {{const_cast<void *>(peer), peer_len, &part, 1, nullptr, 0, 0}, 0};
  ++messages_;
  ++parts_;
  return true;
}

void Outbox::prepare(uint32_t i) noexcept {
  const Joined &j = joined_[i];
  msghdr &m = header_[i].msg_hdr;
  if (!j.from && m.msg_iovlen == 1) return;
  auto *begin = reinterpret_cast<cmsghdr *>(control_[i]);
  cmsghdr *at = begin;
  static_assert(CMSG_SPACE(sizeof(From::data)) + CMSG_SPACE(sizeof(uint16_t)) <= kControl);
  // What a part that is sent alone needs comes first.
  if (j.from) at = put(at, j.from->level, j.from->type, j.from->data, j.from->len);
  if (m.msg_iovlen > 1) {
    const auto segment = static_cast<uint16_t>(j.segment);
    at = put(at, SOL_UDP, UDP_SEGMENT, &segment, sizeof segment);
  }
  m.msg_control = begin;
  m.msg_controllen = static_cast<size_t>(reinterpret_cast<char *>(at) - reinterpret_cast<char *>(begin));
}

msghdr Outbox::alone(uint32_t i, size_t part) noexcept {
  msghdr m = header_[i].msg_hdr;
  m.msg_iov += part;
  m.msg_iovlen = 1;
  m.msg_controllen = joined_[i].from ? CMSG_SPACE(joined_[i].from->len) : 0;
  if (m.msg_controllen == 0) m.msg_control = nullptr;
  return m;
}

}  // namespace torque
