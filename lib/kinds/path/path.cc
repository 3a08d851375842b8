// SPDX-License-Identifier: BSD-3-Clause
// Path sources: what the kernel says of inodes, told as what happens to names below one path.
//
// Three lists, each emptied before the one above it is looked at:
//   queue   what the reader of the instance has put there (InodeQueue; under its lock)
//   batch   the same, taken; decides what directories there are
//   made    records to be told, and directories to be watched and read ("followed") before they are told
//
// Always true: a directory is watched first and read afterwards, so that what is created in it is either told by the
// kernel or found. Nothing of a list is kept across a callback but the place in it.
//
// Thread: all but the queue belongs to the holder of the source, or to who starts it.
#include "libtorque/path.h"

#include <dirent.h>
#include <fcntl.h>
#include <sys/stat.h>

#include <climits>
#include <cstddef>

#include "base/clock.hh"
#include "base/fd.hh"
#include "base/syscall.hh"
#include "kinds/path/folders.hh"
#include "kinds/path/inodes.hh"
#include "kinds/path/path.hh"
#include "source/source.hh"

struct torque_path_event {
  uint32_t mask, cookie;
  int32_t error, is_directory;
  const char *name, *path, *old_name;
};

namespace torque {

namespace {

constexpr uint32_t kMoves = TORQUE_PATH_RENAMED | TORQUE_PATH_MOVED_IN | TORQUE_PATH_MOVED_OUT;
constexpr uint32_t kHowBelow = IN_ONLYDIR | IN_DONT_FOLLOW;
constexpr uint32_t kToldAlways = TORQUE_PATH_SELF_DELETED | TORQUE_PATH_SELF_MOVED | TORQUE_PATH_UNMOUNTED |
                                 TORQUE_PATH_OVERFLOW | TORQUE_PATH_FAILED;
constexpr uint32_t kWhoWantsFound =
    TORQUE_PATH_CREATED | TORQUE_PATH_MODIFIED | TORQUE_PATH_WRITTEN | TORQUE_PATH_MOVED_IN;

constexpr int kBatch = 64;                      // callbacks before the other sources have their turn
constexpr int kSteps = 1024;                    // that tell nothing, likewise
constexpr uint64_t kHalfRename = 25 * 1000000;  // ns; its halves come from one system call, but not at one moment
constexpr int kHalvesApart = 256;               // events of others between them, at most
constexpr size_t kKeep = 65536;                 // bytes of a list that are kept when it is empty

struct Translation {
  uint32_t ours, kernels;
};
constexpr Translation kPlain[] = {
    {TORQUE_PATH_CREATED, IN_CREATE},
    {TORQUE_PATH_DELETED, IN_DELETE},
    {TORQUE_PATH_MODIFIED, IN_MODIFY},
    {TORQUE_PATH_WRITTEN, IN_CLOSE_WRITE},
    {TORQUE_PATH_ATTRIBUTES, IN_ATTRIB},
    {TORQUE_PATH_ACCESSED, IN_ACCESS},
    {TORQUE_PATH_OPENED, IN_OPEN},
    {TORQUE_PATH_CLOSED, IN_CLOSE_NOWRITE},
    {TORQUE_PATH_SELF_DELETED, IN_DELETE_SELF},
    {TORQUE_PATH_SELF_MOVED, IN_MOVE_SELF},
    {TORQUE_PATH_UNMOUNTED, IN_UNMOUNT},
    {TORQUE_PATH_MOVED_IN, IN_MOVED_TO},
};

uint32_t kernel_mask(uint32_t asked, bool recursive) noexcept {
  uint32_t mask = IN_DELETE_SELF | IN_MOVE_SELF;
  for (const Translation &t : kPlain) {
    if (asked & t.ours) mask |= t.kernels;
  }
  if (asked & kMoves) mask |= IN_MOVE;
  return recursive ? mask | IN_CREATE | IN_DELETE | IN_MOVE : mask;
}

uint32_t told_as(uint32_t kernels) noexcept {
  for (const Translation &t : kPlain) {
    if (kernels & t.kernels) return t.ours;
  }
  return 0;
}

// It was there a moment ago. Where it went is told by an event that is still to come.
bool is_gone(torque_err err) noexcept {
  return err == TORQUE_ERR_SYSCALL + ENOENT || err == TORQUE_ERR_SYSCALL + ENOTDIR || err == TORQUE_ERR_SYSCALL + ELOOP;
}

struct Raw {
  int wd;
  uint32_t mask, cookie;
  size_t bytes;
  std::string_view name;  // empty: of the inode itself
};

Raw raw_at(const Vec<char> &v, size_t at) noexcept {
  inotify_event e;
  std::memcpy(&e, v.begin() + at, sizeof e);
  const char *name = v.begin() + at + sizeof e;
  return {e.wd, e.mask, e.cookie, sizeof e + e.len, {name, e.len ? ::strnlen(name, e.len) : 0}};
}

void spend(Vec<char> *v, size_t at) noexcept {
  std::memset(v->begin() + at + offsetof(inotify_event, mask), 0, sizeof(uint32_t));
}

// Followed by the absolute path, a 0, the old name and a 0.
struct Record {
  uint32_t bytes, mask, cookie;
  int32_t error;
  uint32_t old_at;
  bool is_directory;
  bool follow;
  bool reread;  // even if the tree has it
};

struct Details {
  uint32_t cookie = 0;
  int32_t error = 0;
  bool is_directory = false;
  bool follow = false;
  bool reread = false;
  std::string_view old_name = {};
};

class PathSource : public InodeQueue {
 public:
  PathSource(Context &context, char *path, uint32_t asked, uint32_t flags) noexcept
      : InodeQueue(context.alloc),
        context_(context),
        asked_(asked),
        flags_(flags),
        path_(path),
        folders_(context.alloc),
        batch_(context.alloc),
        made_(context.alloc),
        spelled_(context.alloc),
        name_(context.alloc),
        old_(context.alloc) {
    mask = kernel_mask(asked, recursive());
    excludes = flags & TORQUE_PATH_EXCLUDE_UNLINKED;
    quiet_folders = recursive();
  }
  ~PathSource() { context_.alloc.put(path_.text, path_.length + 1); }

  torque_err start() noexcept;
  void undo_start() noexcept;

  // The holder. prepare: whether there is something to tell, until pop(); if not, whether it has only had its turn.
  bool prepare(Slot &s, bool *ret_more) noexcept;
  bool has_records() const noexcept { return !made_.empty() || untold_; }
  torque_path_event front() const noexcept;
  void pop() noexcept;

 private:
  bool recursive() const noexcept { return flags_ & TORQUE_PATH_RECURSIVE; }
  uint32_t how_root() const noexcept {
    return (flags_ & (TORQUE_PATH_RECURSIVE | TORQUE_PATH_ONLYDIR) ? uint32_t{IN_ONLYDIR} : 0u) |
           (flags_ & TORQUE_PATH_NOFOLLOW ? uint32_t{IN_DONT_FOLLOW} : 0u);
  }
  const char *spell(const Folder *f, std::string_view name) noexcept;
  void tell(uint32_t events, const Folder *f, std::string_view name, const Details &d) noexcept;
  void fail(const Folder *f, std::string_view name, torque_err err) noexcept;

  // Directories. They answer an error only for start().
  torque_err watch_root() noexcept;
  torque_err is_in_place(const Folder *f, bool *ret) noexcept;
  torque_err enter(Folder *parent, std::string_view name, Folder **ret, bool *ret_fresh) noexcept;
  template <class F>
  torque_err read_folder(const Folder *f, F each) noexcept;
  torque_err walk(bool starting) noexcept;
  torque_err walk_into(Folder *f, bool starting, Vec<int> *todo) noexcept;
  void sweep() noexcept;
  void follow() noexcept;
  void leave(Folder *f) noexcept;

  // Events of the batch. False: the other half must be waited for.
  bool take_one(Slot &s) noexcept;
  void take_own(const Raw &r, Folder *f) noexcept;
  bool take_moved_from(Slot &s, const Raw &r, Folder *f) noexcept;
  void take_rename(const Raw &from, Folder *f, const Raw &to, Folder *into) noexcept;
  bool stays(Folder *f) noexcept;
  bool other_half(uint32_t cookie, size_t *ret_at, bool *ret_far) const noexcept;
  bool wait_for_half(Slot &s) noexcept;
  void look_again() noexcept;
  void start_anew_after_fork() noexcept;

  // Constant.
  Context &context_;
  const uint32_t asked_, flags_;
  struct Base {
    explicit Base(char *p) noexcept : text(p), length(std::strlen(p)), below(length + (p[length - 1] == '/' ? 0 : 1)) {}
    char *text;
    size_t length;
    size_t below;  // where in an absolute path the name begins
  } path_;

  Folders folders_;
  Vec<char> batch_, made_;
  size_t at_ = 0, made_at_ = 0;
  Vec<char> spelled_, name_, old_;  // for the moment
  bool lost_ = false;               // after the batch something was lost
  bool untold_ = false;             // a record could not be made for lack of memory
  bool moved_ = false;              // the watched path is another's now
  bool gone_ = false;
  bool incomplete_ = false;  // a directory was not found where it had been: a rename that comes may bring it
  uint32_t seen_ = 0;
  uint32_t forks_ = fork_generation();
  uint64_t half_until_ = 0;  // the halves of renames before half_before_ in the batch are waited for until then
  size_t half_before_ = 0;
};

// ---- Records ----

const char *PathSource::spell(const Folder *f, std::string_view name) noexcept {
  spelled_.clear();
  const bool below = f->parent || !name.empty();
  const bool ok = spelled_.append(path_.text, path_.length) &&
                  (!below || path_.below == path_.length || spelled_.push('/')) && folders_.spell(f, name, &spelled_);
  return ok ? spelled_.begin() : nullptr;
}

void PathSource::tell(uint32_t events, const Folder *f, std::string_view name, const Details &d) noexcept {
  const bool wanted = events & TORQUE_PATH_FOUND ? asked_ & kWhoWantsFound : events & (asked_ | kToldAlways);
  if (!wanted && !d.follow) return;
  const size_t begin = made_.size();
  Record r = {0, wanted ? events : 0, d.cookie, d.error, 0, d.is_directory, d.follow, d.reread};
  const char *path = spell(f, name);
  bool ok = path && made_.append(reinterpret_cast<const char *>(&r), sizeof r) && made_.append(path, spelled_.size());
  if (ok) {
    r.old_at = static_cast<uint32_t>(made_.size() - begin);
    ok = made_.append(d.old_name.data(), d.old_name.size()) && made_.push(0);
  }
  if (!ok) {
    made_.truncate(begin);
    untold_ = true;
    return;
  }
  r.bytes = static_cast<uint32_t>(made_.size() - begin);
  std::memcpy(made_.begin() + begin, &r, sizeof r);
}

void PathSource::fail(const Folder *f, std::string_view name, torque_err err) noexcept {
  const int32_t e = err == TORQUE_ERR_RESOURCE ? ENOMEM : torque_err_errno(err);
  if (e == ENOSPC) context_.log.say(TORQUE_LOG_WARNING, "no inotify watches are left, see fs.inotify.max_user_watches");
  tell(TORQUE_PATH_FAILED, f, name, {.error = e, .is_directory = true});
}

torque_path_event PathSource::front() const noexcept {
  const char *end = path_.text + path_.length;
  if (made_at_ == made_.size()) return {TORQUE_PATH_OVERFLOW, 0, 0, 0, end, path_.text, end};
  Record r;
  const char *at = made_.begin() + made_at_;
  std::memcpy(&r, at, sizeof r);
  const char *path = at + sizeof r;
  const size_t length = std::strlen(path);
  const char *name = length > path_.length ? path + path_.below : path + length;
  return {r.mask, r.cookie, r.error, r.is_directory, name, path, at + r.old_at};
}

void PathSource::pop() noexcept {
  if (made_at_ == made_.size()) {
    untold_ = false;
    return;
  }
  Record r;
  std::memcpy(&r, made_.begin() + made_at_, sizeof r);
  made_at_ += r.bytes;
}

// ---- Directories ----

torque_err PathSource::watch_root() noexcept {
  int wd;
  if (const torque_err err = inodes_of(context_).watch(*this, path_.text, how_root(), &wd)) return err;
  Folder *root = folders_.root();
  Folder *other = folders_.find(wd);
  if (other && other != root) folders_.set_wd(other, -1);  // it took the root's place; the walk finds out
  if (root && root->wd != wd) {
    inodes_of(context_).unwatch(*this, root->wd);
    folders_.set_wd(root, wd);
  }
  if (!root && !folders_.add(nullptr, {}, wd)) {
    inodes_of(context_).unwatch(*this, wd);
    return TORQUE_ERR_RESOURCE;
  }
  return TORQUE_ERR_NONE;
}

// Whether its path leads to it still: events that are still to come may say that it does not.
torque_err PathSource::is_in_place(const Folder *f, bool *ret) noexcept {
  const char *path = spell(f, {});
  if (!path) return TORQUE_ERR_RESOURCE;
  int wd;
  const torque_err err = inodes_of(context_).watch(*this, path, f->parent ? kHowBelow : how_root(), &wd);
  *ret = !err && wd == f->wd;
  if (!err && !*ret && !folders_.find(wd)) inodes_of(context_).unwatch(*this, wd);
  return is_gone(err) ? TORQUE_ERR_NONE : err;
}

// Watches what has that name now, and gives it that place in the tree, wherever it was known before: a directory has
// one name. What else the tree has under the name has gone elsewhere, as an event will tell that is still to come. *ret
// null: it is gone, or cannot be found by its path at the moment, or is the same as one above it (a bind mount).
torque_err PathSource::enter(Folder *parent, std::string_view name, Folder **ret, bool *ret_fresh) noexcept {
  *ret = nullptr;
  const char *path = spell(parent, name);
  if (!path) return TORQUE_ERR_RESOURCE;
  int wd;
  torque_err err = inodes_of(context_).watch(*this, path, kHowBelow, &wd);
  if (is_gone(err)) {
    incomplete_ = true;
    return TORQUE_ERR_NONE;
  }
  if (err) return err;
  Folder *f = folders_.find(wd);
  *ret_fresh = !f;
  bool in_place = false;
  err = is_in_place(parent, &in_place);
  if (!in_place) incomplete_ = true;
  if (!err && in_place && f && Folders::is_below(parent, f)) return TORQUE_ERR_NONE;
  Folder *from = f ? f->parent : nullptr;
  old_.clear();
  if (from && !old_.append(f->name, f->length)) from = nullptr;
  if (!err && in_place && (f ? !folders_.move(f, parent, name) : !(f = folders_.add(parent, name, wd)))) {
    err = TORQUE_ERR_RESOURCE;
  }
  if (err || !in_place) {
    if (*ret_fresh) inodes_of(context_).unwatch(*this, wd);
    return err;
  }
  while (Folder *other = folders_.find_other(f)) {
    // Perhaps they have changed places.
    bool here = false;
    if (from && !Folders::is_below(from, other) && folders_.move(other, from, {old_.begin(), old_.size()})) {
      (void)is_in_place(other, &here);
    }
    if (!here) leave(other);
  }
  *ret = f;
  return TORQUE_ERR_NONE;
}

void PathSource::leave(Folder *top) noexcept {
  for (Folder *f;;) {
    f = Folders::innermost(top);
    const bool last = f == top;
    if (f->wd >= 0) inodes_of(context_).unwatch(*this, f->wd);
    folders_.remove(f);
    if (last) return;
  }
}

// Calls each(name, is_directory), which answers an error to stop.
template <class F>
torque_err PathSource::read_folder(const Folder *f, F each) noexcept {
  const char *path = spell(f, {});
  if (!path) return TORQUE_ERR_RESOURCE;
  const int nofollow = f->parent || (flags_ & TORQUE_PATH_NOFOLLOW) ? O_NOFOLLOW : 0;
  Fd fd(sys::retry([&] { return ::open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC | O_NONBLOCK | nofollow); }));
  DIR *dir = fd ? ::fdopendir(fd.get()) : nullptr;
  torque_err err = dir ? TORQUE_ERR_NONE : last_error();
  if (!dir && is_gone(err)) {
    incomplete_ = true;
    return TORQUE_ERR_NONE;
  }
  if (!dir) return err;
  const int number = fd.release();
  for (const dirent *e; !err;) {
    errno = 0;
    e = ::readdir(dir);
    if (!e) {
      if (errno && errno != ENOENT) err = last_error();  // ENOENT: it was removed meanwhile
      break;
    }
    const std::string_view name = e->d_name;
    if (name == "." || name == "..") continue;
    struct stat st;
    const bool is_directory =
        e->d_type == DT_DIR ||
        (e->d_type == DT_UNKNOWN && ::fstatat(number, e->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode));
    err = each(name, is_directory);
  }
  ::closedir(dir);
  bool here = false;
  (void)is_in_place(f, &here);
  if (!here) incomplete_ = true;  // it may have been another one that was read
  // Reading it has made events, which must not fill the kernel's queue.
  if (mask & (IN_OPEN | IN_ACCESS | IN_CLOSE_NOWRITE)) (void)inodes_of(context_).read(excludes);
  return err;
}

torque_err PathSource::walk_into(Folder *f, bool starting, Vec<int> *todo) noexcept {
  return read_folder(f, [&](std::string_view name, bool is_directory) -> torque_err {
    if (!is_directory) return TORQUE_ERR_NONE;
    Folder *child;
    bool fresh;
    torque_err err = enter(f, name, &child, &fresh);
    if (!err && child && child->seen != seen_) {
      child->seen = seen_;
      if (!todo->push(child->wd)) err = TORQUE_ERR_RESOURCE;
    }
    if (err == TORQUE_ERR_STALE || (err && starting && err != TORQUE_ERR_SYSCALL + EACCES)) return err;
    if (err) fail(f, name, err);
    return TORQUE_ERR_NONE;
  });
}

// Through the whole tree, telling nothing but failures. Where it starts, all of them but a lack of rights are the
// caller's.
torque_err PathSource::walk(bool starting) noexcept {
  Vec<int> todo(context_.alloc);
  folders_.root()->seen = ++seen_;
  if (!todo.push(folders_.root()->wd)) return TORQUE_ERR_RESOURCE;
  while (!todo.empty()) {
    Folder *f = folders_.find(todo.back());
    todo.pop();
    if (!f) continue;
    const torque_err err = walk_into(f, starting, &todo);
    if (err == TORQUE_ERR_STALE || (err && starting && err != TORQUE_ERR_SYSCALL + EACCES)) return err;
    if (err) fail(f, {}, err);
  }
  return TORQUE_ERR_NONE;
}

// Leaves the directories that the walk has not met.
void PathSource::sweep() noexcept {
  for (Folder *f = Folders::innermost(folders_.root()); f->parent;) {
    Folder *next = f->next ? Folders::innermost(f->next) : f->parent;
    if (f->seen != seen_ && !f->child) leave(f);
    f = next;
  }
}

// The directory of the first record: watched, then read.
void PathSource::follow() noexcept {
  Record r;
  std::memcpy(&r, made_.begin() + made_at_, sizeof r);
  r.follow = false;
  std::memcpy(made_.begin() + made_at_, &r, sizeof r);
  if (moved_) return;
  name_.clear();
  const char *text = front().name;
  if (!name_.append(text, std::strlen(text))) {
    untold_ = true;
    return;
  }
  const std::string_view whole(name_.begin(), name_.size());
  const size_t slash = whole.rfind('/');
  const std::string_view last = slash == whole.npos ? whole : whole.substr(slash + 1);
  Folder *parent = folders_.find_path(slash == whole.npos ? std::string_view() : whole.substr(0, slash));
  if (!parent || parent->wd < 0) {
    incomplete_ = true;
    return;
  }
  Folder *f;
  bool fresh;
  torque_err err = enter(parent, last, &f, &fresh);
  if (!err && f && (fresh || r.reread || incomplete_)) {
    err = read_folder(f, [&](std::string_view name, bool is_directory) {
      const bool known = is_directory && folders_.find(f, name);
      if (!known || incomplete_) {
        tell(known ? 0 : TORQUE_PATH_CREATED | TORQUE_PATH_FOUND, f, name,
             {.is_directory = is_directory, .follow = is_directory});
      }
      return torque_err{TORQUE_ERR_NONE};
    });
  }
  if (err && err != TORQUE_ERR_STALE) fail(parent, last, err);
}

torque_err PathSource::start() noexcept {
  if (const torque_err err = inodes_of(context_).attach(context_, *this)) return err;
  torque_err err = watch_root();
  if (!err && recursive()) err = walk(true);
  if (err == TORQUE_ERR_SYSCALL + ENOSPC) {
    context_.log.say(TORQUE_LOG_WARNING, "no inotify watches are left, see fs.inotify.max_user_watches");
  }
  return err;
}

void PathSource::undo_start() noexcept {
  folders_.clear();
  made_.clear();
  inodes_of(context_).detach(*this);
}

// ---- Events ----

void PathSource::take_own(const Raw &r, Folder *f) noexcept {
  if (r.mask & IN_IGNORED) {
    folders_.set_wd(f, -1);
    if (f->parent)
      leave(f);
    else
      gone_ = true;
    return;
  }
  // What happens to a directory inside is told by the one that it is in.
  if (f->parent && !(r.mask & IN_UNMOUNT)) return;
  if (r.mask & IN_MOVE_SELF) moved_ = true;
  tell(told_as(r.mask), f, {}, {.is_directory = (r.mask & IN_ISDIR) != 0});
}

bool PathSource::other_half(uint32_t cookie, size_t *ret_at, bool *ret_far) const noexcept {
  size_t at = at_;
  for (int n = 0; at < batch_.size() && n <= kHalvesApart; ++n) {
    const Raw r = raw_at(batch_, at);
    if ((r.mask & IN_MOVED_TO) && r.cookie == cookie) {
      *ret_at = at;
      return true;
    }
    at += r.bytes;
  }
  *ret_far = at < batch_.size();
  return false;
}

// False: it need not be waited for any longer.
bool PathSource::wait_for_half(Slot &s) noexcept {
  const uint64_t now = monotonic_ns();
  if (lost_ || (at_ <= half_before_ && now >= half_until_)) return false;
  if (at_ > half_before_) {
    half_before_ = batch_.size();
    half_until_ = add_ns(now, kHalfRename);
  }
  bool wake;
  const torque_err err = timers_of(s).set(s, generation_of(handle), half_until_, 0, false, &wake);
  if (wake) owner_of(s.index)->poke();
  return err == TORQUE_ERR_NONE;
}

bool PathSource::take_moved_from(Slot &s, const Raw &r, Folder *f) noexcept {
  size_t at = 0;
  bool far = false;
  if (other_half(r.cookie, &at, &far)) {
    const Raw to = raw_at(batch_, at);
    if (Folder *into = folders_.find(to.wd)) take_rename(r, f, to, into);
    spend(&batch_, at);
    return true;
  }
  if (!far && wait_for_half(s)) return false;
  const bool is_directory = r.mask & IN_ISDIR;
  tell(TORQUE_PATH_MOVED_OUT, f, r.name, {.cookie = r.cookie, .is_directory = is_directory});
  Folder *child = is_directory ? folders_.find(f, r.name) : nullptr;
  if (child && !stays(child)) leave(child);
  return true;
}

// Whether a directory that is said to have gone is there: two names may change places (RENAME_EXCHANGE), and what came
// to the name afterwards may have been found already. Then it is told again.
bool PathSource::stays(Folder *f) noexcept {
  bool here = false, parent_here = false;
  (void)is_in_place(f, &here);
  if (here) {
    tell(TORQUE_PATH_CREATED | TORQUE_PATH_FOUND, f, {}, {.is_directory = true});
    return true;
  }
  (void)is_in_place(f->parent, &parent_here);
  if (!parent_here) incomplete_ = true;
  return false;
}

// The tree follows what has the new name now, which need not be the same directory any more.
void PathSource::take_rename(const Raw &from, Folder *f, const Raw &to, Folder *into) noexcept {
  const bool is_directory = from.mask & IN_ISDIR;
  Details d = {.cookie = from.cookie, .is_directory = is_directory};
  name_.clear();
  if (!folders_.spell(f, from.name, &name_)) untold_ = true;
  d.old_name = {name_.begin(), name_.empty() ? 0 : name_.size() - 1};
  Folder *there = nullptr;
  if (is_directory && recursive() && !moved_) {
    const torque_err err = enter(into, to.name, &there, &d.reread);
    if (err && err != TORQUE_ERR_STALE) fail(into, to.name, err);
    d.follow = there && (d.reread || incomplete_);
    f = folders_.find(from.wd);
  }
  tell(TORQUE_PATH_RENAMED, into, to.name, d);
  Folder *child = is_directory && f ? folders_.find(f, from.name) : nullptr;
  if (!child || child == there || (!moved_ && stays(child))) return;
  // Gone from both: it is known by the new name until an event tells where it went.
  if (there || Folders::is_below(into, child) || !folders_.move(child, into, to.name)) leave(child);
}

bool PathSource::take_one(Slot &s) noexcept {
  const size_t begin = at_;
  const Raw r = raw_at(batch_, at_);
  at_ += r.bytes;
  if (r.mask & IN_Q_OVERFLOW) {
    look_again();
    return true;
  }
  Folder *f = folders_.find(r.wd);
  if (!f || r.mask == 0) return true;
  if (r.name.empty()) {
    take_own(r, f);
    return true;
  }
  if (r.mask & IN_MOVED_FROM) {
    if (take_moved_from(s, r, f)) return true;
    at_ = begin;
    return false;
  }
  const bool is_directory = r.mask & IN_ISDIR;
  Folder *child = is_directory ? folders_.find(f, r.name) : nullptr;
  if ((r.mask & IN_CREATE) && child) return true;  // found and told before
  const bool comes = r.mask & (IN_CREATE | IN_MOVED_TO);
  tell(told_as(r.mask), f, r.name,
       {.cookie = r.cookie, .is_directory = is_directory, .follow = comes && is_directory && recursive()});
  if ((r.mask & IN_DELETE) && child) leave(child);
  return true;
}

// Events were lost. What there is is looked at before that is told, so that nothing is missed by who looks then.
void PathSource::look_again() noexcept {
  if (!moved_ && !gone_) {
    torque_err err = watch_root();
    if (is_gone(err)) {
      while (folders_.root()->child) leave(folders_.root()->child);
      inodes_of(context_).unwatch(*this, folders_.root()->wd);
      folders_.set_wd(folders_.root(), -1);
      gone_ = true;
      tell(TORQUE_PATH_SELF_DELETED, folders_.root(), {}, {});
    } else if (!err && recursive()) {
      err = walk(false);
      if (!err) sweep();
    }
    if (err && !gone_ && err != TORQUE_ERR_STALE) fail(folders_.root(), {}, err);
  }
  tell(TORQUE_PATH_OVERFLOW, folders_.root(), {}, {});
}

// What was known is the parent's: other numbers, and perhaps other files by now.
void PathSource::start_anew_after_fork() noexcept {
  forks_ = fork_generation();
  while (folders_.root()->child) leave(folders_.root()->child);
  folders_.set_wd(folders_.root(), -1);
  batch_.clear();
  at_ = half_before_ = 0;
  moved_ = false;
  lost_ = true;
}

bool PathSource::prepare(Slot &s, bool *ret_more) noexcept {
  *ret_more = false;
  if (forks_ != fork_generation()) start_anew_after_fork();
  for (int steps = 0;; ++steps) {
    if (steps == kSteps) return !(*ret_more = true);
    if (made_at_ < made_.size()) {
      Record r;
      std::memcpy(&r, made_.begin() + made_at_, sizeof r);
      if (r.follow)
        follow();
      else if (r.mask)
        return true;
      else
        made_at_ += r.bytes;
      continue;
    }
    made_.clear();
    made_at_ = 0;
    if (made_.capacity() > kKeep) made_.release();
    if (untold_) return true;
    if (at_ < batch_.size()) {
      if (take_one(s)) continue;
      batch_.erase_front(at_);
      half_before_ -= std::exchange(at_, 0);
      bool lost;
      if (!inodes_of(context_).take(*this, &batch_, &lost)) return false;
      lost_ = lost_ || lost;
      continue;
    }
    batch_.clear();
    at_ = half_before_ = 0;
    if (batch_.capacity() > kKeep) batch_.release();
    if (lost_) {
      lost_ = false;
      look_again();
      continue;
    }
    if (inodes_of(context_).take(*this, &batch_, &lost_)) continue;
    if (!incomplete_) return false;
    // All that had happened by now is served then, and what was not found is gone or was told.
    incomplete_ = inodes_of(context_).read(excludes);
    if (inodes_of(context_).take(*this, &batch_, &lost_)) incomplete_ = true;
  }
}

PathSource *path_of(Slot &s) noexcept { return static_cast<PathSource *>(cold_of(s).object); }

}  // namespace

torque_err prepare_path(Context &context, Slot &s, const char *path, uint32_t mask, uint32_t flags) noexcept {
  timers_of(s).adopt(s);
  char folder[PATH_MAX] = "";
  const bool relative = path[0] != '/';
  if (relative && !::getcwd(folder, sizeof folder - 1)) return last_error();
  size_t length = std::strlen(folder);
  if (relative && folder[length - 1] != '/') folder[length++] = '/';
  const size_t own = std::strlen(path);
  if (length + own >= PATH_MAX) return TORQUE_ERR_SYSCALL + ENAMETOOLONG;
  auto *text = static_cast<char *>(context.alloc.get(length + own + 1, 1));
  if (!text) return TORQUE_ERR_RESOURCE;
  std::memcpy(text, folder, length);
  std::memcpy(text + length, path, own + 1);
  auto *p = context.alloc.make<PathSource>(context, text, mask, flags);
  if (!p) {
    context.alloc.put(text, length + own + 1);
    return TORQUE_ERR_RESOURCE;
  }
  p->handle = handle_of(s);
  cold_of(s).object = p;
  return TORQUE_ERR_NONE;
}

torque_err start_path(Context &context, Slot &s, uint64_t handle) noexcept {
  Snapshot v;
  if (!hold(handle, &v)) return TORQUE_ERR_STALE;  // until it has started: another thread may remove it
  torque_err err = TORQUE_ERR_STATE;
  PathSource &p = *path_of(s);
  const bool ours = arm_word(s, generation_of(handle));
  if (ours) {
    err = p.start();
    const bool told = p.has_records();
    if (!err && !inodes_of(context).serve(p)) err = TORQUE_ERR_STALE;
    if (err)
      p.undo_start();
    else if (told)
      (void)activate(handle, TORQUE_TRIGGER);
  }
  let_go(s);
  if (ours && err) disarm_word(s, generation_of(handle));
  return err;
}

void end_path(const Snapshot &v, uint64_t) noexcept {
  Slot &s = *v.slot;
  timers_of(s).forget(s);
  if (PathSource *p = path_of(s)) inodes_of(s.domain.get()->context).close(*p);
}

void free_path(Context &context, Slot &s) noexcept {
  PathSource *p = path_of(s);
  if (p) inodes_of(context).detach(*p);
  context.alloc.destroy(p);
}

bool run_path(Turn &t, Slot &s, uint64_t handle, uint32_t) noexcept {
  PathSource &p = *path_of(s);
  const auto fn = reinterpret_cast<torque_path_fn *>(s.fn);
  for (int i = 0; i < kBatch; ++i) {
    if (i > 0 && halted(t)) return true;
    bool more;
    if (!p.prepare(s, &more)) return more;
    const torque_path_event event = p.front();
    fn(handle, &event, s.arg.look());
    if (t.postpone) return false;
    p.pop();
    if (word::state(s.word.load(std::memory_order_acquire)) == word::RETIRED) return false;
  }
  return true;
}

}  // namespace torque

extern "C" {
uint32_t torque_path_event_mask(const struct torque_path_event *event) { return event ? event->mask : 0; }
const char *torque_path_event_name(const struct torque_path_event *event) { return event ? event->name : ""; }
const char *torque_path_event_path(const struct torque_path_event *event) { return event ? event->path : ""; }
const char *torque_path_event_old_name(const struct torque_path_event *event) { return event ? event->old_name : ""; }
uint32_t torque_path_event_cookie(const struct torque_path_event *event) { return event ? event->cookie : 0; }
int32_t torque_path_event_is_directory(const struct torque_path_event *event) {
  return event ? event->is_directory : 0;
}
int32_t torque_path_event_error(const struct torque_path_event *event) { return event ? event->error : 0; }
}  // extern "C"
