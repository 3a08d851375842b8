// SPDX-License-Identifier: BSD-3-Clause
#include "queue/uring.hh"

#include <sys/mman.h>
#include <sys/syscall.h>
#include <unistd.h>

#include <cerrno>
#include <cstring>

#include "base/error.hh"

namespace torque {

namespace {

uint32_t load_acquire(uint32_t *p) noexcept { return std::atomic_ref<uint32_t>(*p).load(std::memory_order_acquire); }
void store_release(uint32_t *p, uint32_t v) noexcept {
  std::atomic_ref<uint32_t>(*p).store(v, std::memory_order_release);
}

// Nothing is dropped when completions are many, buffers need not outlive the submission's copy, plain reads and writes.
constexpr uint32_t kNeeded = IORING_FEAT_SINGLE_MMAP | IORING_FEAT_NODROP | IORING_FEAT_SUBMIT_STABLE |
                             IORING_FEAT_RW_CUR_POS;

}  // namespace

torque_err Uring::open(uint32_t requests, uint32_t completions) noexcept {
  io_uring_params p{};
  p.flags = IORING_SETUP_CQSIZE | IORING_SETUP_CLAMP;
  p.cq_entries = completions;
  Fd fd(static_cast<int>(::syscall(SYS_io_uring_setup, requests, &p)));
  if (!fd) return last_error();
  if ((p.features & kNeeded) != kNeeded || p.cq_entries < completions) return TORQUE_ERR_UNAVAIL;
  fd_ = std::move(fd);
  const torque_err err = map(p);
  if (err) close();
  return err;
}

torque_err Uring::map(const io_uring_params &p) noexcept {
  const auto take = [this](size_t bytes, uint64_t what, Map *ret) {
    void *at = ::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, fd_.get(), static_cast<off_t>(what));
    if (at == MAP_FAILED) return last_error();
    *ret = {at, bytes};
    return torque_err{TORQUE_ERR_NONE};
  };
  const size_t sq_bytes = p.sq_off.array + p.sq_entries * sizeof(uint32_t);
  const size_t cq_bytes = p.cq_off.cqes + p.cq_entries * sizeof(io_uring_cqe);
  if (const torque_err err = take(sq_bytes > cq_bytes ? sq_bytes : cq_bytes, IORING_OFF_SQ_RING, &rings_)) return err;
  if (const torque_err err = take(p.sq_entries * sizeof(io_uring_sqe), IORING_OFF_SQES, &entries_)) return err;
  auto *rings = static_cast<char *>(rings_.at);
  const auto word = [rings](uint32_t offset) { return reinterpret_cast<uint32_t *>(rings + offset); };
  sq_head_ = word(p.sq_off.head);
  sq_tail_ = word(p.sq_off.tail);
  cq_head_ = word(p.cq_off.head);
  cq_tail_ = word(p.cq_off.tail);
  cqes_ = reinterpret_cast<io_uring_cqe *>(rings + p.cq_off.cqes);
  sqes_ = static_cast<io_uring_sqe *>(entries_.at);
  sq_mask_ = p.sq_entries - 1;
  cq_mask_ = p.cq_entries - 1;
  tail_ = *sq_tail_;
  for (uint32_t i = 0; i < p.sq_entries; ++i) word(p.sq_off.array)[i] = i;
  return TORQUE_ERR_NONE;
}

void Uring::close() noexcept {
  for (Map *m : {&rings_, &entries_}) {
    if (m->at) ::munmap(m->at, m->bytes);
    *m = {};
  }
  fd_.reset();
}

io_uring_sqe *Uring::next() noexcept {
  if (tail_ - load_acquire(sq_head_) > sq_mask_) return nullptr;
  io_uring_sqe *e = &sqes_[tail_++ & sq_mask_];
  std::memset(e, 0, sizeof *e);
  return e;
}

bool Uring::submit(uint32_t min_complete) noexcept {
  store_release(sq_tail_, tail_);
  for (;;) {
    const uint32_t left = tail_ - load_acquire(sq_head_);
    if (left == 0 && min_complete == 0) return true;
    const long n = ::syscall(SYS_io_uring_enter, fd_.get(), left, min_complete,
                             min_complete ? IORING_ENTER_GETEVENTS : 0, nullptr, 0);
    if (n < 0 && errno != EINTR) return false;
    if (n >= 0) min_complete = 0;
  }
}

bool Uring::take(uint64_t *ret_data, int32_t *ret_result) noexcept {
  const uint32_t head = *cq_head_;  // ours alone
  if (head == load_acquire(cq_tail_)) return false;
  const io_uring_cqe &c = cqes_[head & cq_mask_];
  *ret_data = c.user_data;
  *ret_result = c.res;
  store_release(cq_head_, head + 1);
  return true;
}

}  // namespace torque
