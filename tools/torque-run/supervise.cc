// SPDX-License-Identifier: BSD-3-Clause
#include "supervise.hh"

#include <dirent.h>
#include <fcntl.h>
#include <libtorque/torque.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cinttypes>
#include <cstring>
#include <ctime>
#include <set>

#include "elf.hh"
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

// The files that a process has mapped, each once.
std::vector<std::string> mapped_files(int pid) {
  std::vector<std::string> files;
  std::FILE *f = std::fopen(("/proc/" + std::to_string(pid) + "/maps").c_str(), "re");
  if (!f) return files;
  char line[4400];
  while (std::fgets(line, sizeof line, f)) {
    const char *name = std::strchr(line, '/');
    if (!name) continue;
    std::string path(name, std::strcspn(name, "\n"));
    if (files.empty() || files.back() != path) files.push_back(std::move(path));
  }
  std::fclose(f);
  std::sort(files.begin(), files.end());
  files.erase(std::unique(files.begin(), files.end()), files.end());
  return files;
}

bool is_mapped(int pid, const std::string &path) {
  const std::vector<std::string> files = mapped_files(pid);
  return std::binary_search(files.begin(), files.end(), path);
}

// Processes that have a library and a loop, and no place on the board: it was out of their reach when the loop was made.
class Uncounted {
 public:
  Uncounted(const Order &order, const Board &board, int child) : board_(board), child_(child) {
    for (const std::string &path : order.preload) libraries_.push_back(real_path(path));
    if (!order.stats) libraries_.clear();
  }
  bool is_looking() const { return !libraries_.empty(); }

  // The children of all that is known, and theirs.
  void look() {
    if (!is_looking()) return;
    std::vector<int> now = {child_};
    for (size_t i = 0; i < now.size(); ++i) add_children(now[i], &now);
    const std::vector<Row> rows = board_.rows();
    for (const int pid : now) {
      const auto is_its = [pid](const Row &r) { return r.pid == pid; };
      if (std::any_of(rows.begin(), rows.end(), is_its) || board_.missed()) seen_.erase(pid);
      else if (!seen_.count(pid) && has_loop(pid)) seen_.insert(pid);
    }
  }
  void report() const {
    for (const int pid : seen_) {
      std::fprintf(stderr, "torque-run: process %d has a loop that was not counted: it could not reach the counters "
                   "(a sandbox?)\n", pid);
    }
  }

 private:
  static void add_children(int pid, std::vector<int> *to) {
    const std::string number = std::to_string(pid);
    std::FILE *f = std::fopen(("/proc/" + number + "/task/" + number + "/children").c_str(), "re");
    if (!f) return;
    for (int child; std::fscanf(f, "%d", &child) == 1;) to->push_back(child);
    std::fclose(f);
  }
  bool has_loop(int pid) const {
    const auto has_it = [pid](const std::string &path) { return is_mapped(pid, path); };
    if (!std::any_of(libraries_.begin(), libraries_.end(), has_it)) return false;
    const std::string folder = "/proc/" + std::to_string(pid) + "/fd";
    DIR *d = opendir(folder.c_str());
    if (!d) return false;
    bool found = false;
    while (const dirent *e = readdir(d)) {
      char target[64];
      const ssize_t n = readlink((folder + "/" + e->d_name).c_str(), target, sizeof target);
      found |= n > 0 && std::string_view(target, static_cast<size_t>(n)) == "anon_inode:[eventpoll]";
    }
    closedir(d);
    return found;
  }

  const Board &board_;
  const int child_;
  std::vector<std::string> libraries_;
  std::set<int> seen_;
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

  // Others that bring the library's functions, perhaps changed for their own needs: ours are called in their place.
  static void name_copies(const Proof &p) {
    const bool event = p.library == TORQUE_BOARD_LIBEVENT;
    const char *entry = event ? "event_base_loop" : "ev_run";
    for (const std::string &path : mapped_files(p.mapped_in)) {
      Elf elf;
      if (path == p.path || path.find("/libtorque") != std::string::npos || elf.open(path) != Reading::good) continue;
      const std::string_view name = elf.soname().empty() ? base_name(path) : std::string_view(elf.soname());
      if (name.substr(0, 5) == "libev" || !elf.exports(entry)) continue;  // the genuine, of either kind
      std::fprintf(stderr, "torque-run: %s, mapped in process %d, has %s of its own: ours takes its place, and lacks what was "
                   "changed there\n", quoted(path).c_str(), p.mapped_in, entry);
    }
  }

  void report() const {
    for (const Proof &p : proofs_) {
      if (p.mapped_in) name_copies(p);
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

siginfo_t wait_for_end(int child, const sigset_t &all, Verifier &verifier, Uncounted &uncounted) {
  siginfo_t ended = {};
  for (int looks = 0; !has_ended(child, &ended);) {
    siginfo_t info;
    const bool often = !verifier.is_done() && looks < kOften;
    const timespec rest = {verifier.is_done() ? 1 : 0, verifier.is_done() ? 0 : often ? kLookEvery : kLookRarely};
    const bool for_ever = verifier.is_done() && !uncounted.is_looking();
    const int signum = for_ever ? sigwaitinfo(&all, &info) : sigtimedwait(&all, &info, &rest);
    if (signum > 0 && signum != SIGCHLD) {
      uncounted.look();  // it may be the end
      pass_on(signum, info, child);
    }
    if (signum < 0) ++looks;
    if (signum < 0 && !often) uncounted.look();
    verifier.look();
  }
  return ended;
}

struct Before {
  sigset_t mask;
  struct sigaction child;
};

// What kills torque-run and cannot be passed on kills the program, as it would without torque-run.
void die_with(int parent) {
  prctl(PR_SET_PDEATHSIG, SIGKILL);
  if (getppid() != parent) raise(SIGKILL);  // it has died before that
}

[[noreturn]] void be_the_program(const Order &order, const Before &before, int parent, int tell) {
  die_with(parent);
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
  const int self = getpid();
  const int child = fork();
  if (child < 0) return failed("fork");
  if (child == 0) be_the_program(order, before, self, told[1]);
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
  Uncounted uncounted(order, board, child);
  const siginfo_t ended = wait_for_end(child, all, verifier, uncounted);
  const int verified = verifier.status();
  if (order.stats) print_table(board, board.rows(), stderr);
  uncounted.report();
  if (verified) return verified;
  if (ended.si_code == CLD_KILLED || ended.si_code == CLD_DUMPED) die_of(ended.si_status);
  return ended.si_status;
}

}  // namespace torque_tools
