// SPDX-License-Identifier: BSD-3-Clause
// Child sources: one descriptor of the process (pidfd) each, which polls readable once it has ended.
//
// Always true: a child is waited for by its descriptor, so neither another child nor a later process of that number can
// be taken for it; and only after its callback, so that one that postpones is told the same again.
#include "libtorque/child.h"

#include <poll.h>
#include <sys/resource.h>
#include <sys/syscall.h>
#include <sys/wait.h>

#include "base/syscall.hh"
#include "kinds/child.hh"
#include "source/source.hh"

struct torque_child_event {
  int32_t pid, how, status;
  uint64_t user_ns, system_ns, memory;
};

namespace torque {

namespace {

constexpr int kPidFd = 3;  // P_PIDFD; older C libraries have no name for it

// The C library's waitid() leaves out what the child has used. -1: errno.
int wait_for(int fd, int options, siginfo_t *info, rusage *used) noexcept {
  info->si_pid = 0;
  const int how = WEXITED | WNOHANG | __WALL | options;
  return static_cast<int>(sys::retry([&] { return ::syscall(SYS_waitid, kPidFd, fd, info, how, used); }));
}

bool has_ended(int fd) noexcept {
  pollfd p = {fd, POLLIN, 0};
  return sys::retry([&] { return ::poll(&p, 1, 0); }) > 0;
}

uint64_t time_of(const timeval &t) noexcept {
  return static_cast<uint64_t>(t.tv_sec) * 1000000000 + static_cast<uint64_t>(t.tv_usec) * 1000;
}

int32_t how_of(int code) noexcept {
  if (code == CLD_EXITED) return TORQUE_CHILD_EXITED;
  return code == CLD_DUMPED ? TORQUE_CHILD_DUMPED : TORQUE_CHILD_KILLED;
}

// False: it has not ended (the edge was another's, or whoever traces it has to let go first: there will be one more).
bool look_at_end(int fd, torque_child_event *ret) noexcept {
  siginfo_t info;
  rusage used = {};
  if (wait_for(fd, WNOWAIT, &info, &used) != 0) return has_ended(fd);  // told as unknown
  if (info.si_pid == 0) return false;
  ret->how = how_of(info.si_code);
  ret->status = info.si_status;
  ret->user_ns = time_of(used.ru_utime);
  ret->system_ns = time_of(used.ru_stime);
  ret->memory = static_cast<uint64_t>(used.ru_maxrss) * 1024;
  return true;
}

}  // namespace

torque_err open_child(int32_t pid, bool foreign, Fd *ret) noexcept {
  Fd fd(static_cast<int>(::syscall(SYS_pidfd_open, pid, 0)));
  if (!fd) return errno == ENOSYS || errno == EPERM ? TORQUE_ERR_UNAVAIL : last_error();
  siginfo_t info;
  if (wait_for(fd.get(), WNOWAIT, &info, nullptr) != 0) {
    if (errno == EINVAL) return TORQUE_ERR_UNAVAIL;  // Linux 5.3 cannot wait for one
    if (!foreign) return last_error();
  }
  *ret = std::move(fd);
  return TORQUE_ERR_NONE;
}

bool run_child(Turn &t, Slot &s, uint64_t handle, uint32_t) noexcept {
  const ChildOf child = child_of(s);
  torque_child_event event = {child.pid, TORQUE_CHILD_UNKNOWN, 0, 0, 0, 0};
  if (!look_at_end(s.fd.get(), &event)) return false;
  reinterpret_cast<torque_child_fn *>(s.fn)(handle, &event, s.arg.look());
  if (t.postpone) return false;
  siginfo_t info;
  if (!(child.flags & TORQUE_CHILD_NOREAP)) (void)wait_for(s.fd.get(), 0, &info, nullptr);
  retire(handle, TORQUE_END_REMOVED);
  return false;
}

}  // namespace torque

extern "C" {
int32_t torque_child_event_pid(const struct torque_child_event *event) { return event ? event->pid : 0; }
int32_t torque_child_event_how(const struct torque_child_event *event) { return event ? event->how : 0; }
int32_t torque_child_event_status(const struct torque_child_event *event) { return event ? event->status : 0; }
uint64_t torque_child_event_user_ns(const struct torque_child_event *event) { return event ? event->user_ns : 0; }
uint64_t torque_child_event_system_ns(const struct torque_child_event *event) { return event ? event->system_ns : 0; }
uint64_t torque_child_event_memory(const struct torque_child_event *event) { return event ? event->memory : 0; }
}  // extern "C"
