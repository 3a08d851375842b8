// SPDX-License-Identifier: BSD-3-Clause
#include "kinds/files.hh"

#include <sys/uio.h>
#include <unistd.h>

#include <algorithm>
#include <new>

#include "base/syscall.hh"

namespace torque {

namespace {

constexpr uint32_t kRequests = 256;   // handed over in one call
constexpr uint32_t kUnderWay = 1024;  // with the kernel at once; as many completions fit
constexpr int kPasses = 4;            // before the other sources have their turn
constexpr size_t kLargest = 0x7ffff000;  // bytes that the kernel moves in one call

}  // namespace

void do_file_operation(Job &j) noexcept {
  const auto offset = static_cast<off_t>(j.offset);
  const auto *parts = static_cast<const iovec *>(j.buffer);
  const auto count = static_cast<int>(j.size);
  const ssize_t n = sys::retry([&]() -> ssize_t {
    switch (j.operation) {
      case TORQUE_AIO_READ: return ::pread(j.fd, j.buffer, j.size, offset);
      case TORQUE_AIO_WRITE: return ::pwrite(j.fd, j.buffer, j.size, offset);
      case TORQUE_AIO_READV: return ::preadv(j.fd, parts, count, offset);
      case TORQUE_AIO_WRITEV: return ::pwritev(j.fd, parts, count, offset);
      case TORQUE_AIO_FSYNC: return ::fsync(j.fd);
      default: return ::fdatasync(j.fd);
    }
  });
  j.err = n < 0 ? last_error() : TORQUE_ERR_NONE;
  j.result = std::max<ssize_t>(n, 0);
}

torque_err Files::open() noexcept {
  born_in_ = fork_generation();
  return ring_.open(kRequests, 2 * kUnderWay);  // and as many that tell what became of cancelling
}

// In a child, which shares the old one with its parent.
torque_err Files::make_anew() noexcept {
  retire(source_, TORQUE_END_REMOVED);
  source_ = 0;
  ring_.close();
  return open();
}

// With the first operation and not before: the first source of a context starts its workers.
torque_err Files::start_source() noexcept {
  Slot *s;
  if (const torque_err err = create(domain_.context, Kind::ring, static_cast<int32_t>(domain_.index), &s)) return err;
  const uint64_t handle = handle_of(*s);
  cold_of(*s).object = this;
  s->fd.set(ring_.fd());
  s->interest.store(TORQUE_READ, std::memory_order_relaxed);
  if (const torque_err err = start_fd(domain_.context, *s, handle)) {
    retire(handle, TORQUE_END_REMOVED);
    return err;
  }
  source_ = handle;
  return TORQUE_ERR_NONE;
}

torque_err Files::submit(Job &j) noexcept {
  Lock lock(lock_);
  if (closed_) return TORQUE_ERR_STOPPED;
  if (of_parent() || ring_.fd() < 0) {
    if (const torque_err err = make_anew()) return err;
  }
  if (source_ == 0) {
    if (const torque_err err = start_source()) return err;
  }
  find_slot(index_of(j.handle))->domain.get()->jobs.fetch_add(1, std::memory_order_relaxed);
  j.where = Job::Where::queued;
  pending_.push(j);
  (void)activate(source_, TORQUE_TRIGGER);
  return TORQUE_ERR_NONE;
}

bool Files::cancel(Job &j) noexcept {
  Lock lock(lock_);
  if (j.where != Job::Where::queued) return false;
  pending_.unlink(j);
  complete(j, kCancelled, 0);
  return true;
}

void Files::fill(io_uring_sqe &e, const Job &j) noexcept {
  static constexpr uint8_t kCodes[] = {IORING_OP_READ,   IORING_OP_WRITE, IORING_OP_READV,
                                       IORING_OP_WRITEV, IORING_OP_FSYNC, IORING_OP_FSYNC};
  static_assert(TORQUE_AIO_READ == 0 && TORQUE_AIO_FDATASYNC == 5);
  e.opcode = kCodes[j.operation];
  e.fd = j.fd;
  e.addr = reinterpret_cast<uint64_t>(j.buffer);
  e.len = static_cast<uint32_t>(std::min(j.size, kLargest));
  e.off = j.offset;
  if (j.operation == TORQUE_AIO_FDATASYNC) e.fsync_flags = IORING_FSYNC_DATASYNC;
  e.user_data = reinterpret_cast<uint64_t>(&j);
}

void Files::hand_over() noexcept {
  Lock lock(lock_);
  while (under_way_ < kUnderWay && !pending_.empty()) {
    io_uring_sqe *e = ring_.next();
    if (!e) break;
    Job &j = *pending_.pop();
    j.where = Job::Where::running;
    fill(*e, j);
    ++under_way_;
  }
}

void Files::collect(bool stopping) noexcept {
  uint64_t data;
  int32_t n;
  while (ring_.take(&data, &n)) {
    if (data == 0) continue;  // that cancelling was asked for
    --under_way_;
    Job &j = *reinterpret_cast<Job *>(data);
    Lock lock(lock_);
    // Nobody has asked for that: the thread that brought it has ended, or got a signal.
    if (!stopping && (n == -ECANCELED || n == -EINTR)) {
      j.where = Job::Where::queued;
      pending_.push(j);
    } else {
      complete(j, n < 0 ? err_of_errno(-n) : TORQUE_ERR_NONE, std::max(n, 0));
    }
  }
}

bool Files::serve() noexcept {
  if (of_parent()) return false;
  for (int i = 0; i < kPasses; ++i) {
    collect(false);
    hand_over();
    if (!ring_.submit(0)) return true;
    collect(false);  // what the page cache had
    Lock lock(lock_);
    if (pending_.empty() || under_way_ == kUnderWay) return false;
  }
  return true;
}

void Files::stop() noexcept {
  {
    Lock lock(lock_);
    closed_ = true;
    while (Job *j = pending_.pop()) complete(*j, kCancelled, 0);
  }
  if (of_parent()) return;
  each_job(domain_.context, [&](Job &j) {
    if (j.where != Job::Where::running || find_slot(index_of(j.handle))->domain.get() != &domain_) return;
    io_uring_sqe *e = ring_.next();
    if (!e && ring_.submit(0)) e = ring_.next();
    if (!e) return;
    e->opcode = IORING_OP_ASYNC_CANCEL;
    e->addr = reinterpret_cast<uint64_t>(&j);
  });
  for (collect(true); under_way_ != 0; collect(true)) (void)ring_.submit(1);
}

FileRings::~FileRings() {
  each([](Files &f) { f.~Files(); });
  context_.alloc.put(rings_, context_.domain_count() * sizeof(Files));
}

torque_err FileRings::open() noexcept {
  if (context_.options.aio == TORQUE_AIO_THREADS) return TORQUE_ERR_NONE;
  rings_ = static_cast<Files *>(context_.alloc.get(context_.domain_count() * sizeof(Files), alignof(Files)));
  if (!rings_) return TORQUE_ERR_RESOURCE;
  torque_err err = TORQUE_ERR_NONE;
  while (!err && count_ < context_.domain_count()) {
    auto *files = new (&rings_[count_]) Files(context_.domain(count_));
    ++count_;
    err = files->open();
  }
  if (!err || context_.options.aio == TORQUE_AIO_URING) return err;
  context_.log.say(TORQUE_LOG_INFO, "io_uring is not available: %s", torque_errstr(err));
  each([](Files &f) { f.~Files(); });
  context_.alloc.put(rings_, context_.domain_count() * sizeof(Files));
  rings_ = nullptr;
  count_ = 0;
  return TORQUE_ERR_NONE;
}

bool run_ring(Turn &, Slot &s, uint64_t, uint32_t) noexcept { return static_cast<Files *>(cold_of(s).object)->serve(); }

}  // namespace torque
