// SPDX-License-Identifier: BSD-3-Clause
#include "publish.hh"

#include <fcntl.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cinttypes>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace torque_compat {

namespace {

torque_board *const kNone = reinterpret_cast<torque_board *>(-1);

// Null: not looked for yet.
constinit std::atomic<torque_board *> the_board{nullptr};

struct Where {
  int maker, fd;
  uint64_t inode;
};

void put(uint64_t &to, uint64_t value) noexcept { std::atomic_ref(to).store(value, std::memory_order_relaxed); }
void add(uint64_t &to, uint64_t value) noexcept { std::atomic_ref(to).fetch_add(value, std::memory_order_relaxed); }
uint64_t get(uint64_t &from) noexcept { return std::atomic_ref(from).load(std::memory_order_relaxed); }
void set_state(torque_board_slot &s, uint32_t state) noexcept {
  std::atomic_ref(s.state).store(state, std::memory_order_release);
}

torque_board *map(int fd, const Where &where) noexcept {
  struct stat s;
  if (fstat(fd, &s) || s.st_ino != where.inode || s.st_size != static_cast<off_t>(sizeof(torque_board))) return nullptr;
  void *p = mmap(nullptr, sizeof(torque_board), PROT_READ | PROT_WRITE, MAP_SHARED, fd, 0);
  if (p == MAP_FAILED) return nullptr;
  auto *board = static_cast<torque_board *>(p);
  if (board->magic == TORQUE_BOARD_MAGIC && board->slot_size == sizeof(torque_board_slot)) return board;
  munmap(p, sizeof(torque_board));
  return nullptr;
}

torque_board *find(const char *text) noexcept {
  Where where;
  if (std::sscanf(text, "%d:%d:%" SCNu64, &where.maker, &where.fd, &where.inode) != 3) return nullptr;
  if (torque_board *board = map(where.fd, where)) return board;
  char path[64];
  std::snprintf(path, sizeof path, "/proc/%d/fd/%d", where.maker, where.fd);
  const int fd = ::open(path, O_RDWR | O_CLOEXEC);
  if (fd < 0) return nullptr;
  torque_board *board = map(fd, where);
  ::close(fd);
  return board;
}

// "" instead of what it was. In place: the environment's own table may be in use by other threads.
void empty(const char *name) noexcept {
  if (char *value = std::getenv(name)) *value = '\0';
}

// Takes the first entries of LD_PRELOAD out, which are torque-run's.
void stop_preloading(const char *count) noexcept {
  char *value = std::getenv("LD_PRELOAD");
  if (!value) return;
  char *rest = value;
  for (int n = std::atoi(count); n > 0 && *rest; --n) {
    rest += std::strcspn(rest, ": ");
    if (*rest) ++rest;
  }
  std::memmove(value, rest, std::strlen(rest) + 1);
}

torque_board *board() noexcept {
  torque_board *b = the_board.load(std::memory_order_acquire);
  if (b) [[likely]]
    return b;
  const int saved = errno;
  const char *text = secure_getenv(TORQUE_BOARD_ENV);
  b = text && *text ? find(text) : nullptr;
  torque_board *seen = nullptr;
  if (!the_board.compare_exchange_strong(seen, b ? b : kNone, std::memory_order_acq_rel)) {
    if (b) munmap(b, sizeof *b);
  } else if (const char *count = secure_getenv(TORQUE_BOARD_NO_CHILDREN)) {
    stop_preloading(count);
    empty(TORQUE_BOARD_ENV);
    empty(TORQUE_BOARD_NO_CHILDREN);
  }
  errno = saved;
  return the_board.load(std::memory_order_acquire);
}

// What an ended loop has counted is not lost when its slot is taken.
void keep(torque_board &b, torque_board_slot &s) noexcept {
  if (s.library >= TORQUE_BOARD_LIBRARIES) return;
  add(b.past_loops[s.library], 1);
  for (uint32_t i = 0; i < TORQUE_BOARD_COUNTERS; ++i) add(b.past[s.library][i], get(s.counter[i]));
}

bool take(torque_board &b, torque_board_slot &s) noexcept {
  for (const uint32_t from : {TORQUE_SLOT_FREE, TORQUE_SLOT_ENDED}) {
    uint32_t state = from;
    if (!std::atomic_ref(s.state).compare_exchange_strong(state, TORQUE_SLOT_TAKEN, std::memory_order_acq_rel)) continue;
    if (from == TORQUE_SLOT_ENDED) keep(b, s);
    return true;
  }
  return false;
}

torque_board_slot *take_slot(torque_board &b, uint32_t library) noexcept {
  const uint64_t number = std::atomic_ref(b.taken).fetch_add(1, std::memory_order_relaxed);
  for (uint32_t i = 0; i < TORQUE_BOARD_SLOTS; ++i) {
    torque_board_slot &s = b.slot[(number + i) % TORQUE_BOARD_SLOTS];
    if (!take(b, s)) continue;
    s.pid = getpid();
    s.library = library;
    s.counters = std::min<uint32_t>(torque_stats_count(), TORQUE_BOARD_COUNTERS);
    s.number = number + 1;
    return &s;
  }
  add(b.missed, 1);
  return nullptr;
}

}  // namespace

void Publisher::open(const torque_ctx *ctx, uint32_t library) noexcept {
  if (slot_ && slot_->pid == getpid()) return;
  slot_ = nullptr;
  torque_board *b = board();
  if (b == kNone) return;
  slot_ = take_slot(*b, library);
  if (!slot_) return;
  publish(ctx);
  set_state(*slot_, TORQUE_SLOT_LIVE);
}

void Publisher::publish(const torque_ctx *ctx) noexcept {
  for (uint32_t i = 0; i < slot_->counters; ++i) {
    uint64_t value;
    if (!torque_stats_total(ctx, i, &value)) put(slot_->counter[i], value);
  }
}

void Publisher::close(const torque_ctx *ctx) noexcept {
  // A child that has not made the loop work again has its parent's place.
  if (slot_ && slot_->pid == getpid()) {
    publish(ctx);
    set_state(*slot_, TORQUE_SLOT_ENDED);
  }
  slot_ = nullptr;
}

}  // namespace torque_compat
