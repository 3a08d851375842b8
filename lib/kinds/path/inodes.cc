// SPDX-License-Identifier: BSD-3-Clause
#include "kinds/path/inodes.hh"

#include "base/fd.hh"
#include "base/syscall.hh"
#include "source/source.hh"

namespace torque {

namespace {

constexpr size_t kQueueMax = 4 << 20;  // bytes that wait for one source; beyond that it has lost some, and is told so
constexpr size_t kFirstBuckets = 64;
constexpr int kReads = 16;  // before the other sources of the worker have their turn
constexpr int kTries = 4;   // to watch what somebody else stops watching at the same time

constexpr uint32_t kAlwaysHanded = IN_IGNORED | IN_UNMOUNT | IN_Q_OVERFLOW | IN_DELETE_SELF | IN_MOVE_SELF;
constexpr uint32_t kOnReading = IN_OPEN | IN_ACCESS | IN_CLOSE_NOWRITE;

}  // namespace

// One source's interest in one inode.
struct InodeQueue::Subscription {
  int wd;
  InodeQueue *queue;
  Subscription *next;        // in its bucket
  Subscription *queue_prev;  // of its queue
  Subscription *queue_next;
};

Inodes::~Inodes() NO_THREAD_SAFETY_ANALYSIS {
  for (Instance &i : instances_) {
    forget_all(i);
    if (i.fd >= 0) ::close(i.fd);  // in a child whose copy is freed: the parent keeps its own
    alloc_.put(i.buckets, i.bucket_count * sizeof *i.buckets);
  }
}

// ---- The instance ----

torque_err Inodes::open(Context &context, Instance &i) noexcept {
  if (i.fd >= 0) return TORQUE_ERR_NONE;
  Fd fd(::inotify_init1(IN_CLOEXEC | IN_NONBLOCK));
  if (!fd) return last_error();
  if (!i.buckets && !grow(i)) return TORQUE_ERR_RESOURCE;
  Slot *s;
  torque_err err = create(context, Kind::inodes, 0, &s);
  if (err) return err;
  const uint64_t handle = handle_of(*s);
  s->traits.set(kOwnsFd);
  s->interest.store(TORQUE_READ, std::memory_order_relaxed);
  cold_of(*s).number = static_cast<uint64_t>(&i - instances_);
  const int number = fd.get();
  s->fd.set(fd.release());
  err = start_fd(context, *s, handle);
  if (err) {
    retire(handle, TORQUE_END_REMOVED);
    return err;
  }
  i.fd = number;
  i.source = handle;
  return TORQUE_ERR_NONE;
}

void Inodes::shut(Instance &i) noexcept {
  i.fd = -1;  // closed with its source
  retire(std::exchange(i.source, 0), TORQUE_END_REMOVED);
  forget_all(i);
  alloc_.put(i.buckets, i.bucket_count * sizeof *i.buckets);
  i.buckets = nullptr;
  i.bucket_count = 0;
}

torque_err Inodes::attach(Context &context, InodeQueue &q) noexcept {
  Lock lock(lock_);
  Instance &i = instance_of(q);
  if (q.attached_) return TORQUE_ERR_NONE;
  if (const torque_err err = open(context, i)) {
    if (i.users == 0 && i.fd >= 0) shut(i);
    return err;
  }
  ++i.users;
  q.attached_ = true;
  q.prev_ = nullptr;
  q.next_ = i.queues;
  if (q.next_) q.next_->prev_ = &q;
  i.queues = &q;
  return TORQUE_ERR_NONE;
}

bool Inodes::serve(InodeQueue &q) noexcept {
  Lock lock(lock_);
  if (q.closed_) return false;
  q.serves_ = true;
  if (!q.events_.empty() || q.lost_) call(q);
  return true;
}

void Inodes::close(InodeQueue &q) noexcept {
  for (bool more = true; more;) {  // a few at a time: a tree may have many
    Lock lock(lock_);
    Instance &i = instance_of(q);
    q.closed_ = true;
    for (int n = 0; n < 64 && q.subscriptions_; ++n) forget(i, q.subscriptions_);
    more = q.subscriptions_ != nullptr;
  }
}

void Inodes::detach(InodeQueue &q) noexcept {
  Lock lock(lock_);
  if (!q.attached_) return;
  Instance &i = instance_of(q);
  q.attached_ = false;
  (q.prev_ ? q.prev_->next_ : i.queues) = q.next_;
  if (q.next_) q.next_->prev_ = q.prev_;
  while (q.subscriptions_) forget(i, q.subscriptions_);
  if (--i.users == 0) shut(i);
}

torque_err Inodes::start_over(Context &context) noexcept {
  Lock lock(lock_);
  torque_err err = TORQUE_ERR_NONE;
  for (Instance &i : instances_) {
    if (i.users == 0) continue;
    // The descriptor is the parent's as well: read here, its events would be stolen. Its watches are the parent's.
    const int fd = std::exchange(i.fd, -1);
    forget_all(i);
    if (fd >= 0) retire(std::exchange(i.source, 0), TORQUE_END_REMOVED);
    for (InodeQueue *q = i.queues; q; q = q->next_) {
      q->events_.clear();
      q->lost_ = true;
    }
    if (!err) err = open(context, i);
    for (InodeQueue *q = i.queues; q && !err; q = q->next_) {
      q->called_ = false;
      call(*q);
    }
  }
  return err;
}

// ---- Who watches what ----

Inodes::Subscription **Inodes::find(Instance &i, int wd) noexcept {
  Subscription **at = &i.buckets[static_cast<uint32_t>(wd) & (i.bucket_count - 1)];
  while (*at && (*at)->wd != wd) at = &(*at)->next;
  return at;
}

// Those of one wd stand together, and so at the place where find() stops.
Inodes::Subscription *Inodes::find(Instance &i, int wd, const InodeQueue &q) noexcept {
  Subscription *e = *find(i, wd);
  while (e && (e->wd != wd || e->queue != &q)) e = e->next;
  return e;
}

bool Inodes::grow(Instance &i) noexcept {
  const size_t count = i.bucket_count ? i.bucket_count * 2 : kFirstBuckets;
  auto **fresh = static_cast<Subscription **>(alloc_.get(count * sizeof(Subscription *), alignof(Subscription *)));
  if (!fresh) return false;
  for (size_t b = 0; b < count; ++b) fresh[b] = nullptr;
  for (size_t b = 0; b < i.bucket_count; ++b) {
    while (Subscription *e = i.buckets[b]) {
      i.buckets[b] = e->next;
      Subscription *&head = fresh[static_cast<uint32_t>(e->wd) & (count - 1)];
      e->next = head;
      head = e;
    }
  }
  alloc_.put(i.buckets, i.bucket_count * sizeof *i.buckets);
  i.buckets = fresh;
  i.bucket_count = count;
  return true;
}

torque_err Inodes::listen(Instance &i, InodeQueue &q, int wd) noexcept {
  if (find(i, wd, q)) return TORQUE_ERR_NONE;
  auto *e = alloc_.make<Subscription>();
  if (!e) return TORQUE_ERR_RESOURCE;
  if (i.subscriptions >= i.bucket_count) (void)grow(i);  // without memory: slower
  Subscription **at = find(i, wd);
  *e = {wd, &q, *at, nullptr, q.subscriptions_};
  *at = e;
  if (q.subscriptions_) q.subscriptions_->queue_prev = e;
  q.subscriptions_ = e;
  ++i.subscriptions;
  return TORQUE_ERR_NONE;
}

// Takes it out, and the kernel's watch with it if nobody else listens.
void Inodes::forget(Instance &i, Subscription *subscription) noexcept {
  const int wd = subscription->wd;
  Subscription **at = find(i, wd);
  while (*at != subscription) at = &(*at)->next;
  *at = subscription->next;
  InodeQueue &q = *subscription->queue;
  (subscription->queue_prev ? subscription->queue_prev->queue_next : q.subscriptions_) = subscription->queue_next;
  if (subscription->queue_next) subscription->queue_next->queue_prev = subscription->queue_prev;
  alloc_.destroy(subscription);
  --i.subscriptions;
  if (*find(i, wd) || i.fd < 0) return;
  ++i.removals;
  (void)::inotify_rm_watch(i.fd, wd);  // EINVAL: the inode is gone already
}

// The kernel has ended it.
void Inodes::forget_wd(Instance &i, int wd) noexcept {
  ++i.removals;
  const int fd = std::exchange(i.fd, -1);
  while (Subscription *e = *find(i, wd)) forget(i, e);
  i.fd = fd;
}

void Inodes::forget_all(Instance &i) noexcept {
  const int fd = std::exchange(i.fd, -1);
  for (InodeQueue *q = i.queues; q; q = q->next_) {
    while (q->subscriptions_) forget(i, q->subscriptions_);
  }
  i.fd = fd;
}

torque_err Inodes::watch(InodeQueue &q, const char *path, uint32_t how,
                         int *ret_wd) noexcept NO_THREAD_SAFETY_ANALYSIS {
  for (int tries = 1;; ++tries) {
    const bool last = tries == kTries;
    int fd;
    uint64_t removals;
    lock_.lock();
    Instance &i = instance_of(q);
    fd = i.fd;
    removals = i.removals;
    const bool closed = q.closed_;
    if (!last || closed) lock_.unlock();
    if (closed) return TORQUE_ERR_STALE;
    const uint32_t mask = q.mask | how | IN_MASK_ADD | (q.excludes ? uint32_t{IN_EXCL_UNLINK} : 0u);
    const int wd = ::inotify_add_watch(fd, path, mask);
    const torque_err failed = wd < 0 ? last_error() : TORQUE_ERR_NONE;
    if (!last) lock_.lock();
    // The kernel may have answered a watch that somebody was just about to remove.
    const bool again = !failed && !last && i.removals != removals;
    torque_err err = failed;
    if (!failed && q.closed_)
      err = TORQUE_ERR_STALE;
    else if (!failed && !again)
      err = listen(i, q, wd);
    if (err && !failed && !*find(i, wd)) {
      ++i.removals;
      (void)::inotify_rm_watch(fd, wd);
    }
    lock_.unlock();
    if (again && !err) continue;
    if (!err) *ret_wd = wd;
    return err;
  }
}

void Inodes::unwatch(InodeQueue &q, int wd) noexcept {
  Lock lock(lock_);
  Instance &i = instance_of(q);
  if (!i.buckets) return;
  if (Subscription *e = find(i, wd, q)) forget(i, e);
}

// ---- Events ----

void Inodes::call(InodeQueue &q) noexcept {
  if (!q.serves_ || q.called_) return;
  q.called_ = true;
  (void)activate(q.handle, TORQUE_TRIGGER);
}

void Inodes::put(InodeQueue &q, const inotify_event &e) noexcept {
  if (!(e.mask & (q.mask | kAlwaysHanded))) return;
  if (q.quiet_folders && (e.mask & IN_ISDIR) && (e.mask & kOnReading)) return;
  // What comes after something that was lost is told by looking.
  if (!q.lost_) {
    const bool room = q.events_.size() < kQueueMax;
    q.lost_ = !room || !q.events_.append(reinterpret_cast<const char *>(&e), sizeof e + e.len);
  }
  call(q);
}

void Inodes::hand_out(Instance &i, const inotify_event &e) noexcept {
  if (e.wd < 0) {
    for (InodeQueue *q = i.queues; q; q = q->next_) put(*q, e);
    return;
  }
  for (Subscription *subscription = *find(i, e.wd); subscription; subscription = subscription->next) {
    if (subscription->wd == e.wd) put(*subscription->queue, e);
  }
  if (e.mask & IN_IGNORED) forget_wd(i, e.wd);
}

bool Inodes::read(bool excludes) noexcept {
  alignas(inotify_event) char buffer[4096];
  for (int reads = 0; reads < kReads; ++reads) {
    Lock lock(lock_);
    Instance &i = instances_[excludes];
    if (i.fd < 0) return false;
    const ssize_t n = sys::read(i.fd, buffer, sizeof buffer);
    if (n <= 0) return false;
    for (ssize_t at = 0; at < n;) {
      const auto *e = reinterpret_cast<const inotify_event *>(buffer + at);
      hand_out(i, *e);
      at += static_cast<ssize_t>(sizeof *e + e->len);
    }
  }
  return true;
}

bool Inodes::take(InodeQueue &q, Vec<char> *events, bool *ret_lost) noexcept {
  Lock lock(lock_);
  q.called_ = false;
  const bool any = !q.events_.empty();
  if (any && events->empty())
    events->swap(q.events_);
  else if (any && !events->append(q.events_.begin(), q.events_.size()))
    q.lost_ = true;
  q.events_.clear();
  if (q.events_.capacity() > 65536) q.events_.release();
  *ret_lost = std::exchange(q.lost_, false);
  return any || *ret_lost;
}

bool run_inodes(Turn &t, Slot &s, uint64_t, uint32_t) noexcept { return inodes_of(t.context).read(cold_of(s).number != 0); }

}  // namespace torque
