// SPDX-License-Identifier: BSD-3-Clause
#include "supervise.hh"

#include <fcntl.h>
#include <libtorque/torque.h>
#include <signal.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cerrno>
#include <cinttypes>
#include <cstring>
#include <ctime>

#include "text.hh"

namespace torque_tools {

namespace {

constexpr long kLookEvery = 5'000'000, kLookRarely = 200'000'000;  // ns, until a library has been seen
constexpr int kOften = 100;

// What is known of each library that is to be seen at work.
struct Proof {
  std::string path;
  uint32_t library;
  int mapped_in = 0;  // a process
  int ran_in = 0;     // one that ended before its memory could be looked at
  uint64_t loops = 0, passes = 0;
  bool is_done() const { return passes && (mapped_in || ran_in); }
};

class Verifier {
 public:
  Verifier(const Order &order, const Board &board, int child) : board_(board), child_(child) {
    for (const std::string &path : order.preload) {
      const bool event = base_name(path) == "libtorque_event.so.1";
      proofs_.push_back({real_path(path), event ? uint32_t{TORQUE_BOARD_LIBEVENT} : uint32_t{TORQUE_BOARD_LIBEV}});
    }
    if (!order.verify) proofs_.clear();
  }

  bool is_done() const {
    for (const Proof &p : proofs_) {
      if (!p.is_done()) return false;
    }
    return true;
  }

  void look(bool is_last = false) {
    if (is_done()) return;
    const std::vector<Row> rows = board_.rows();
    for (Proof &p : proofs_) look_for(p, rows, is_last);
    if (is_done()) report();
  }

  // At the end: what was seen, or what was missing.
  int status() {
    look(true);
    for (const Proof &p : proofs_) {
      if (p.is_done()) continue;
      const char *what = p.passes ? "was not seen in the memory of a process that ran it"
                         : p.loops     ? "had a loop, but it was never run"
                         : p.mapped_in ? "was mapped, but no loop was made with it"
                                       : "was not seen in the process";
      std::fprintf(stderr, "torque-run: not verified: %s %s\n", quoted(p.path).c_str(), what);
    }
    return is_done() ? 0 : exit_unverified;
  }

 private:
  void look_for(Proof &p, const std::vector<Row> &rows, bool is_last) {
    if (!p.mapped_in && is_mapped(child_, p.path)) p.mapped_in = child_;
    p.loops = p.passes = 0;
    for (const Row &r : rows) {
      if (r.library != p.library) continue;
      ++p.loops;
      p.passes += r.counter[torque_stats_find("rounds")];
      if (!p.mapped_in && is_mapped(r.pid, p.path)) p.mapped_in = r.pid;
      if (is_last && r.counter[torque_stats_find("rounds")]) p.ran_in = r.pid;
    }
    // Their slots are gone, and were filled by nobody else.
    p.loops += board_.past(p.library).loops;
    p.passes += board_.past(p.library).counter[torque_stats_find("rounds")];
  }

  static bool is_mapped(int pid, const std::string &path) {
    std::FILE *f = std::fopen(("/proc/" + std::to_string(pid) + "/maps").c_str(), "re");
    if (!f) return false;
    char line[4400];
    bool found = false;
    while (!found && std::fgets(line, sizeof line, f)) {
      const char *name = std::strchr(line, '/');
      found = name && std::string_view(name, std::strcspn(name, "\n")) == path;
    }
    std::fclose(f);
    return found;
  }

  void report() const {
    for (const Proof &p : proofs_) {
      std::fprintf(stderr, "torque-run: verified: %s %s process %d; loops: %" PRIu64 ", passes: %" PRIu64 "\n",
                   quoted(p.path).c_str(), p.mapped_in ? "is mapped in" : "has run in", p.mapped_in ? p.mapped_in : p.ran_in,
                   p.loops, p.passes);
    }
  }

  const Board &board_;
  const int child_;
  std::vector<Proof> proofs_;
};

// The terminal gives its signals to the whole group: the child has them already, if it is still in it.
bool came_to_both(const siginfo_t &info, int child) { return info.si_code == SI_KERNEL && getpgid(child) == getpgrp(); }

void pass_on(int signum, const siginfo_t &info, int child) {
  if (came_to_both(info, child)) return;
  if (info.si_code == SI_QUEUE) sigqueue(child, signum, info.si_value);
  else kill(child, signum);
}

// True: it has ended. When it stops, this process does, so that a shell sees what it would see without us.
bool has_ended(int child, siginfo_t *ret) {
  for (;;) {
    ret->si_pid = 0;
    if (waitid(P_PID, static_cast<id_t>(child), ret, WEXITED | WSTOPPED | WCONTINUED | WNOHANG)) return errno != EINTR;
    if (!ret->si_pid) return false;
    if (ret->si_code == CLD_STOPPED) raise(SIGSTOP);
    else if (ret->si_code != CLD_CONTINUED) return true;
  }
}

siginfo_t wait_for_end(int child, const sigset_t &all, Verifier &verifier) {
  siginfo_t ended = {};
  for (int looks = 0; !has_ended(child, &ended);) {
    siginfo_t info;
    const timespec rest = {0, looks < kOften ? kLookEvery : kLookRarely};
    const int signum = verifier.is_done() ? sigwaitinfo(&all, &info) : sigtimedwait(&all, &info, &rest);
    if (signum > 0 && signum != SIGCHLD) pass_on(signum, info, child);
    if (signum < 0) ++looks;
    verifier.look();
  }
  return ended;
}

struct Before {
  sigset_t mask;
  struct sigaction child;
};

[[noreturn]] void be_the_program(const Order &order, const Before &before, int tell) {
  sigaction(SIGCHLD, &before.child, nullptr);
  sigprocmask(SIG_SETMASK, &before.mask, nullptr);
  execv(order.path.c_str(), order.argv);
  const int error = errno;
  while (write(tell, &error, sizeof error) < 0 && errno == EINTR) {
  }
  _exit(exit_failure);
}

// As it ended, so do we; without a second core file.
[[noreturn]] void die_of(int signum) {
  const rlimit none = {0, 0};
  setrlimit(RLIMIT_CORE, &none);
  std::fflush(nullptr);
  signal(signum, SIG_DFL);
  sigset_t set;
  sigemptyset(&set);
  sigaddset(&set, signum);
  raise(signum);
  sigprocmask(SIG_UNBLOCK, &set, nullptr);
  _exit(128 + signum);
}

int failed(const char *what) {
  std::fprintf(stderr, "torque-run: %s: %s\n", what, std::strerror(errno));
  return exit_failure;
}

}  // namespace

int exec_failed(const std::string &path) {
  const int error = errno;
  std::fprintf(stderr, "torque-run: %s: %s\n", quoted(path).c_str(), std::strerror(error));
  return error == ENOENT ? exit_missing : exit_forbidden;
}

int supervise(const Order &order, const Board &board) {
  int told[2];
  if (pipe2(told, O_CLOEXEC)) return failed("pipe");
  Before before;
  sigset_t all;
  sigfillset(&all);
  sigprocmask(SIG_SETMASK, &all, &before.mask);
  struct sigaction usual = {};  // ignored, children would leave no status
  sigaction(SIGCHLD, &usual, &before.child);
  const int child = fork();
  if (child < 0) return failed("fork");
  if (child == 0) be_the_program(order, before, told[1]);
  close(told[1]);
  int error = 0;
  const bool began = read(told[0], &error, sizeof error) != sizeof error;
  close(told[0]);
  if (!began) {
    waitpid(child, nullptr, 0);
    errno = error;
    return exec_failed(order.path);
  }
  Verifier verifier(order, board, child);
  const siginfo_t ended = wait_for_end(child, all, verifier);
  const int verified = verifier.status();
  if (order.stats) print_table(board, board.rows(), stderr);
  if (verified) return verified;
  if (ended.si_code == CLD_KILLED || ended.si_code == CLD_DUMPED) die_of(ended.si_status);
  return ended.si_status;
}

}  // namespace torque_tools
