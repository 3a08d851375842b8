// SPDX-License-Identifier: BSD-3-Clause
// ev_stat: a path, watched by inotify where that can see all changes, and polled where it cannot.
#include <limits.h>
#include <sys/inotify.h>
#include <sys/vfs.h>
#include <unistd.h>

#include <cerrno>
#include <cstddef>
#include <cstring>

#include "loop.hh"

namespace torque_ev {

namespace {

constexpr ev_tstamp kInterval = 5.0074891;
constexpr ev_tstamp kRemoteInterval = 30.1074891;  // where changes made elsewhere must be looked for
constexpr ev_tstamp kIntervalMin = 0.1074891;

ev_stat *stat_of(ev_timer *w) {
  return reinterpret_cast<ev_stat *>(reinterpret_cast<char *>(w) - offsetof(ev_stat, timer));
}
WL *chain_of(struct ev_loop *loop, int wd) { return &loop->fs_hash[wd & (kHash - 1)]; }

bool is_local(const char *path) {
  struct statfs fs;
  if (statfs(path, &fs) != 0) return false;
  switch (static_cast<unsigned long>(fs.f_type)) {
    case 0x1373:      // devfs
    case 0x4006:      // fat
    case 0x4d44:      // msdos
    case 0xef53:      // ext2, 3, 4
    case 0x72b6:      // jffs2
    case 0x858458f6:  // ramfs
    case 0x5346544e:  // ntfs
    case 0x3153464a:  // jfs
    case 0x9123683e:  // btrfs
    case 0x52654973:  // reiserfs
    case 0x01021994:  // tmpfs
    case 0x58465342:  // xfs
      return true;
    default: return false;
  }
}

bool differ(const struct stat &a, const struct stat &b) {
  return a.st_dev != b.st_dev || a.st_ino != b.st_ino || a.st_mode != b.st_mode || a.st_nlink != b.st_nlink ||
         a.st_uid != b.st_uid || a.st_gid != b.st_gid || a.st_rdev != b.st_rdev || a.st_size != b.st_size ||
         a.st_atime != b.st_atime || a.st_mtime != b.st_mtime || a.st_ctime != b.st_ctime;
}

// The timer does not keep the loop running.
void restart_timer(struct ev_loop *loop, ev_stat *w) {
  if (ev_is_active(&w->timer)) ev_ref(loop);
  ev_timer_again(loop, &w->timer);
  if (ev_is_active(&w->timer)) ev_unref(loop);
}

// The path is not there: its nearest parent that is tells when that may have changed.
void watch_parent(struct ev_loop *loop, ev_stat *w) {
  char path[PATH_MAX];
  if (std::strlen(w->path) >= sizeof path) return;
  std::strcpy(path, w->path);
  do {
    const uint32_t how = errno == EACCES ? uint32_t{IN_ATTRIB} : uint32_t{IN_CREATE | IN_MOVED_TO};
    char *end = std::strrchr(path, '/');
    if (!end || end == path) return;
    *end = 0;
    w->wd = inotify_add_watch(loop->fs_fd, path, IN_MASK_ADD | IN_DELETE_SELF | IN_MOVE_SELF | how);
  } while (w->wd < 0 && (errno == ENOENT || errno == EACCES));
}

void watch_path(struct ev_loop *loop, ev_stat *w) {
  constexpr uint32_t kChanges = IN_ATTRIB | IN_DELETE_SELF | IN_MOVE_SELF | IN_MODIFY | IN_CREATE | IN_DELETE |
                                IN_MOVED_FROM | IN_MOVED_TO | IN_DONT_FOLLOW | IN_MASK_ADD;
  const ev_tstamp own = w->interval;
  w->wd = inotify_add_watch(loop->fs_fd, w->path, kChanges);
  if (w->wd >= 0) {
    w->timer.repeat = is_local(w->path) ? 0. : own != 0 ? own : kRemoteInterval;
  } else {
    w->timer.repeat = own != 0 ? own : kInterval;
    if (errno == ENOENT || errno == EACCES) watch_parent(loop, w);
  }
  if (w->wd >= 0) list_add(chain_of(loop, w->wd), in_list(w));
  restart_timer(loop, w);
}

// Other watchers of the same path will be told that the watch is gone, and make it anew.
void unwatch_path(struct ev_loop *loop, ev_stat *w) {
  if (w->wd < 0) return;
  list_remove(chain_of(loop, w->wd), in_list(w));
  (void)inotify_rm_watch(loop->fs_fd, w->wd);
  w->wd = -2;
}

void look_again(struct ev_loop *loop, ev_timer *timer, int) {
  ev_stat *w = stat_of(timer);
  const ev_statdata before = w->attr;
  ev_stat_stat(loop, w);
  if (!differ(before, w->attr)) return;
  w->prev = before;  // only now, so that the two always differ in the callback
  if (loop->fs_fd >= 0) {
    unwatch_path(loop, w);
    watch_path(loop, w);
    ev_stat_stat(loop, w);  // it may have changed before it was watched
  }
  feed(loop, base(w), EV_STAT);
}

void path_changed(struct ev_loop *loop, WL *chain, const inotify_event &e) {
  for (WL l = *chain; l;) {
    auto *w = reinterpret_cast<ev_stat *>(l);
    l = l->next;
    if (w->wd != e.wd && e.wd != -1) continue;
    if (e.mask & (IN_IGNORED | IN_UNMOUNT | IN_DELETE_SELF)) {
      list_remove(chain, in_list(w));
      w->wd = -1;
      watch_path(loop, w);
    }
    look_again(loop, &w->timer, 0);
  }
}

void read_changes(struct ev_loop *loop, ev_io *, int) {
  alignas(inotify_event) char buffer[sizeof(inotify_event) * 2 + NAME_MAX];
  const ssize_t n = read(loop->fs_fd, buffer, sizeof buffer);
  for (ssize_t at = 0; at < n;) {
    inotify_event e;
    std::memcpy(&e, buffer + at, sizeof e);
    if (e.wd >= 0) path_changed(loop, chain_of(loop, e.wd), e);
    else for (WL &chain : loop->fs_hash) path_changed(loop, &chain, e);  // some were lost: any may have changed
    at += static_cast<ssize_t>(sizeof e + e.len);
  }
}

void open_inotify(struct ev_loop *loop) {
  loop->fs_fd = inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
  if (loop->fs_fd < 0) return;
  ev_io_init(&loop->fs_w, read_changes, loop->fs_fd, EV_READ);
  ev_set_priority(&loop->fs_w, EV_MAXPRI);
  ev_io_start(loop, &loop->fs_w);
  ev_unref(loop);
}

}  // namespace

void stat_fork(struct ev_loop *loop) {
  if (loop->fs_fd < 0) return;
  ev_ref(loop);
  ev_io_stop(loop, &loop->fs_w);
  close(loop->fs_fd);
  open_inotify(loop);
  WL all = nullptr;
  for (WL &chain : loop->fs_hash) {
    while (WL w = chain) {
      list_remove(&chain, w);
      list_add(&all, w);
    }
  }
  while (WL l = all) {
    list_remove(&all, l);
    auto *w = reinterpret_cast<ev_stat *>(l);
    w->wd = -1;
    if (loop->fs_fd >= 0) {
      watch_path(loop, w);
      continue;
    }
    w->timer.repeat = w->interval != 0 ? w->interval : kInterval;
    restart_timer(loop, w);
  }
}

}  // namespace torque_ev

using namespace torque_ev;

extern "C" {

void ev_stat_stat(struct ev_loop *, ev_stat *w) EV_NOEXCEPT {
  if (lstat(w->path, &w->attr) < 0) w->attr.st_nlink = 0;
  else if (!w->attr.st_nlink) w->attr.st_nlink = 1;
}

void ev_stat_start(struct ev_loop *loop, ev_stat *w) EV_NOEXCEPT {
  if (w->active) return;
  ev_stat_stat(loop, w);
  if (w->interval != 0 && w->interval < kIntervalMin) w->interval = kIntervalMin;
  ev_timer_init(&w->timer, look_again, 0., w->interval != 0 ? w->interval : kInterval);
  ev_set_priority(&w->timer, ev_priority(w));
  if (loop->fs_fd == -2) open_inotify(loop);
  if (loop->fs_fd >= 0) {
    watch_path(loop, w);
  } else {
    ev_timer_again(loop, &w->timer);
    ev_unref(loop);
  }
  start(loop, base(w), 1);
}

void ev_stat_stop(struct ev_loop *loop, ev_stat *w) EV_NOEXCEPT {
  clear_pending(loop, base(w));
  if (!w->active) return;
  unwatch_path(loop, w);
  if (ev_is_active(&w->timer)) {
    ev_ref(loop);
    ev_timer_stop(loop, &w->timer);
  }
  stop(loop, base(w));
}

}  // extern "C"
