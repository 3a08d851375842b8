// SPDX-License-Identifier: BSD-3-Clause
#include "worker/stack.hh"

#include <sys/mman.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/error.hh"

namespace torque {

namespace {

constexpr size_t kDefault = size_t{8} << 20;
constexpr size_t kSmallest = size_t{64} << 10;
constexpr size_t kLargestByLimit = size_t{64} << 20;
constexpr size_t kColours = 16;
constexpr size_t kColourBytes = 256;  // four cache lines

size_t default_size() noexcept {
  rlimit limit;
  if (::getrlimit(RLIMIT_STACK, &limit) != 0 || limit.rlim_cur == RLIM_INFINITY) return kDefault;
  const auto soft = static_cast<size_t>(limit.rlim_cur);
  return soft < kSmallest ? kDefault : soft > kLargestByLimit ? kLargestByLimit : soft;
}

}  // namespace

torque_err Stack::map(size_t size, uint32_t colour) noexcept {
  const auto page = static_cast<size_t>(::sysconf(_SC_PAGESIZE));
  if (size == 0) size = default_size();
  size = (size + page - 1) / page * page;
  const size_t offset = colour % kColours * kColourBytes;
  mapped_ = page + size + (offset ? page : 0);
  void *p = ::mmap(nullptr, mapped_, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS | MAP_STACK | MAP_NORESERVE, -1, 0);
  if (p == MAP_FAILED) return last_error();
  memory_ = p;
  if (::mprotect(p, page, PROT_NONE) != 0) {
    const torque_err err = last_error();
    release();
    return err;
  }
  // The stack begins at the top: the colour takes a few lines off there.
  base_ = static_cast<char *>(p) + page;
  size_ = mapped_ - page - offset;
  return TORQUE_ERR_NONE;
}

void Stack::release() noexcept {
  if (memory_) ::munmap(memory_, mapped_);
  memory_ = nullptr;
}

}  // namespace torque
