// SPDX-License-Identifier: BSD-3-Clause
// The files and directories that a context's path sources watch: one inotify instance for all of them, since a user may
// have 128 in all. (Two: those who leave out what was unlinked have their own, for that is said once for each inode.)
// Who reads the instance hands each event to the queues of all sources that watch the inode; each source then serves
// its own, in its own domain.
//
// The kernel gives one number (wd) to an inode, however many sources watch it; it tells the union of what they have
// ever asked for meanwhile, and what one did not ask for is left out here.
//
// Thread: any. The lock is not held while a path is looked up, which may take long.
#pragma once

#include <sys/inotify.h>

#include "base/error.hh"
#include "base/mutex.hh"
#include "base/vec.hh"
#include "source/source.hh"

namespace torque {

// What one source watches and was not told yet. It belongs to the source; what is inside to Inodes.
class InodeQueue {
 public:
  explicit InodeQueue(const Alloc &alloc) noexcept : events_(alloc) {}
  InodeQueue(const InodeQueue &) = delete;
  InodeQueue &operator=(const InodeQueue &) = delete;

  // Constant from attach() on.
  uint64_t handle = 0;
  uint32_t mask = 0;           // what to hand out: IN_... bits
  bool excludes = false;       // IN_EXCL_UNLINK
  bool quiet_folders = false;  // leave out that directories are opened and read: the library does that itself

 private:
  friend class Inodes;
  struct Subscription;

  // Guarded by Inodes' lock.
  Vec<char> events_;     // inotify_event records
  bool lost_ = false;    // some were not kept
  bool serves_ = false;  // it has started
  bool called_ = false;  // it was activated, and has not looked since
  bool attached_ = false;
  bool closed_ = false;
  Subscription *subscriptions_ = nullptr;
  InodeQueue *prev_ = nullptr;
  InodeQueue *next_ = nullptr;
};

class Inodes {
 public:
  static constexpr Local kLocal = Local::inodes;
  explicit Inodes(const Alloc &alloc) noexcept : alloc_(alloc) {}
  ~Inodes();
  Inodes(const Inodes &) = delete;
  Inodes &operator=(const Inodes &) = delete;

  // Around the life of a source. attach: opens what is missing. serve: from here on it is activated when there is
  // something; false: it was closed. close: nothing more is handed out. detach: the last one closes the descriptor.
  torque_err attach(Context &context, InodeQueue &q) noexcept;
  bool serve(InodeQueue &q) noexcept;
  void close(InodeQueue &q) noexcept;
  void detach(InodeQueue &q) noexcept;

  // how: IN_ONLYDIR, IN_DONT_FOLLOW. Requires: attached. Errors: STALE closed; RESOURCE; SYSCALL + errno.
  torque_err watch(InodeQueue &q, const char *path, uint32_t how, int *ret_wd) noexcept;
  void unwatch(InodeQueue &q, int wd) noexcept;

  // Appends what has come. *ret_lost: and what comes next in time was lost. False: nothing.
  bool take(InodeQueue &q, Vec<char> *events, bool *ret_lost) noexcept;
  // Reads the instance. True: there may be more.
  bool read(bool excludes) noexcept;

  // After a fork, in the child: instances of its own, empty. The queues are attached still, and have lost everything.
  torque_err start_over(Context &context) noexcept;
  Mutex &lock_for_fork() noexcept { return lock_; }

 private:
  using Subscription = InodeQueue::Subscription;
  struct Instance {
    int fd = -1;
    uint64_t source = 0;  // that reads it
    uint32_t users = 0;
    uint64_t removals = 0;  // wds that may have ceased to be
    InodeQueue *queues = nullptr;
    Subscription **buckets = nullptr;
    size_t bucket_count = 0;
    size_t subscriptions = 0;
  };

  Instance &instance_of(const InodeQueue &q) noexcept REQUIRES(lock_) { return instances_[q.excludes]; }
  torque_err open(Context &context, Instance &i) noexcept REQUIRES(lock_);
  void shut(Instance &i) noexcept REQUIRES(lock_);
  bool grow(Instance &i) noexcept REQUIRES(lock_);
  Subscription **find(Instance &i, int wd) noexcept REQUIRES(lock_);
  Subscription *find(Instance &i, int wd, const InodeQueue &q) noexcept REQUIRES(lock_);
  torque_err listen(Instance &i, InodeQueue &q, int wd) noexcept REQUIRES(lock_);
  void forget(Instance &i, Subscription *subscription) noexcept REQUIRES(lock_);
  void forget_wd(Instance &i, int wd) noexcept REQUIRES(lock_);
  void forget_all(Instance &i) noexcept REQUIRES(lock_);
  void hand_out(Instance &i, const inotify_event &e) noexcept REQUIRES(lock_);
  void put(InodeQueue &q, const inotify_event &e) noexcept REQUIRES(lock_);
  void call(InodeQueue &q) noexcept REQUIRES(lock_);

  const Alloc &alloc_;
  Mutex lock_;
  Instance instances_[2] GUARDED_BY(lock_);
};
inline Inodes &inodes_of(const Context &context) noexcept { return context.locals.get<Inodes>(); }

bool run_inodes(Turn &, Slot &, uint64_t, uint32_t) noexcept;

// What reads an instance.
inline constexpr KindOps kInodesKind = {
    .run = run_inodes,
    .name = "inodes",
    .public_kind = TORQUE_KIND_INTERNAL,
    .traits = trait::kDescriptor,
    .dismantle = detach_fd,
};

}  // namespace torque
