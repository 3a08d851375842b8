// SPDX-License-Identifier: BSD-3-Clause
#include "board_view.hh"

#include <dirent.h>
#include <fcntl.h>
#include <libtorque/torque.h>
#include <signal.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <cinttypes>
#include <cstdlib>
#include <cstring>
#include <string_view>

namespace torque_tools {

namespace {

constexpr int kFirstFd = 200;  // above what programs have themselves, below what select() and small limits know
constexpr int kParentsMax = 16;
constexpr unsigned kNoExec = 8;  // MFD_NOEXEC_SEAL, Linux 6.3: some systems insist on it
const std::string_view kLink = "/memfd:" TORQUE_BOARD_NAME;

uint64_t get(const uint64_t &from) {
  return std::atomic_ref(const_cast<uint64_t &>(from)).load(std::memory_order_relaxed);
}
uint32_t state_of(const torque_board_slot &s) {
  return std::atomic_ref(const_cast<uint32_t &>(s.state)).load(std::memory_order_acquire);
}

bool is_gone(int pid) { return kill(pid, 0) && errno == ESRCH; }

std::string proc(int pid, const char *what) { return "/proc/" + std::to_string(pid) + "/" + what; }

bool links_to_board(const std::string &path) {
  char to[64];
  const ssize_t n = readlink(path.c_str(), to, sizeof to);
  return n > 0 && std::string_view(to, static_cast<size_t>(n)).substr(0, kLink.size()) == kLink;
}

// 0: there is none.
int parent_of(int pid) {
  std::FILE *f = std::fopen(proc(pid, "stat").c_str(), "re");
  if (!f) return 0;
  char line[512];
  const size_t n = std::fread(line, 1, sizeof line - 1, f);
  std::fclose(f);
  line[n] = '\0';
  const char *end = std::strrchr(line, ')');  // of the name, which may hold anything
  int parent = 0;
  return end && std::sscanf(end, ") %*c %d", &parent) == 1 ? parent : 0;
}

}  // namespace

Board::~Board() {
  if (board_) munmap(board_, sizeof *board_);
  if (fd_ >= 0) close(fd_);
}

// Nobody can make it smaller under those who have it mapped.
bool Board::make() {
  int fd = memfd_create(TORQUE_BOARD_NAME, MFD_ALLOW_SEALING | MFD_CLOEXEC | kNoExec);
  if (fd < 0 && errno == EINVAL) fd = memfd_create(TORQUE_BOARD_NAME, MFD_ALLOW_SEALING | MFD_CLOEXEC);
  if (fd < 0) return false;
  fd_ = fcntl(fd, F_DUPFD, kFirstFd);
  if (fd_ < 0) fd_ = fcntl(fd, F_DUPFD, 3);
  const bool sized = fd_ >= 0 && !fchmod(fd_, 0600) && !ftruncate(fd_, sizeof(torque_board)) &&
                     !fcntl(fd_, F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW | F_SEAL_SEAL);
  close(fd);
  if (!sized) return false;
  void *p = mmap(nullptr, sizeof(torque_board), PROT_READ | PROT_WRITE, MAP_SHARED, fd_, 0);
  if (p == MAP_FAILED) return false;
  board_ = static_cast<torque_board *>(p);
  board_->slots = TORQUE_BOARD_SLOTS;
  board_->slot_size = sizeof(torque_board_slot);
  board_->maker = getpid();
  board_->magic = TORQUE_BOARD_MAGIC;
  return true;
}

std::string Board::environment() const {
  struct stat s = {};
  fstat(fd_, &s);
  return std::to_string(board_->maker) + ":" + std::to_string(fd_) + ":" + std::to_string(s.st_ino);
}

bool Board::attach_file(const std::string &path) {
  const int fd = open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return false;
  struct stat s;
  void *p = fstat(fd, &s) || s.st_size != static_cast<off_t>(sizeof(torque_board))
                ? MAP_FAILED
                : mmap(nullptr, sizeof(torque_board), PROT_READ, MAP_SHARED, fd, 0);
  close(fd);
  if (p == MAP_FAILED) return false;
  board_ = static_cast<torque_board *>(p);
  if (board_->magic == TORQUE_BOARD_MAGIC && board_->slot_size == sizeof(torque_board_slot)) return true;
  munmap(p, sizeof(torque_board));
  board_ = nullptr;
  return false;
}

bool Board::attach_descriptor(int pid) {
  const std::string folder = proc(pid, "fd/");
  DIR *d = opendir(folder.c_str());
  if (!d) return false;
  bool done = false;
  while (const dirent *e = done ? nullptr : readdir(d)) {
    done = e->d_name[0] != '.' && links_to_board(folder + e->d_name) && attach_file(folder + e->d_name);
  }
  const int saved = errno;
  closedir(d);
  errno = saved;
  return done;
}

// A program that closed all descriptors still has it mapped; only root can open that.
bool Board::attach_mapping(int pid) {
  const std::string folder = proc(pid, "map_files/");
  DIR *d = opendir(folder.c_str());
  if (!d) return false;
  bool done = false;
  while (const dirent *e = done ? nullptr : readdir(d)) {
    done = e->d_name[0] != '.' && links_to_board(folder + e->d_name) && attach_file(folder + e->d_name);
  }
  closedir(d);
  return done;
}

bool Board::attach(int pid) {
  errno = 0;
  if (attach_descriptor(pid)) return true;
  const int saved = errno;
  if (attach_mapping(pid)) return true;
  int parent = pid;
  for (int i = 0; i < kParentsMax && (parent = parent_of(parent)) > 1; ++i) {
    if (attach_descriptor(parent)) return true;
  }
  errno = saved;
  return false;
}

std::vector<Row> Board::rows() const {
  std::vector<Row> rows;
  for (const torque_board_slot &s : board_->slot) {
    const uint32_t state = state_of(s);
    if (state != TORQUE_SLOT_LIVE && state != TORQUE_SLOT_ENDED) continue;
    Row r = {s.number, s.pid, s.library, "live", {}};
    if (state == TORQUE_SLOT_ENDED) r.state = "ended";
    else if (is_gone(r.pid)) r.state = "gone";
    for (uint32_t i = 0; i < TORQUE_BOARD_COUNTERS; ++i) r.counter[i] = get(s.counter[i]);
    // Not if another loop has taken it in between.
    if (state_of(s) != TORQUE_SLOT_TAKEN && get(s.number) == r.number) rows.push_back(r);
  }
  std::sort(rows.begin(), rows.end(), [](const Row &a, const Row &b) { return a.number < b.number; });
  return rows;
}

Past Board::past(uint32_t library) const {
  Past p = {get(board_->past_loops[library]), {}};
  for (uint32_t i = 0; i < TORQUE_BOARD_COUNTERS; ++i) p.counter[i] = get(board_->past[library][i]);
  return p;
}

uint64_t Board::missed() const { return get(board_->missed); }

const char *library_name(uint32_t library) {
  switch (library) {
    case TORQUE_BOARD_LIBEVENT: return "libevent";
    case TORQUE_BOARD_LIBEV: return "libev";
    default: return "?";
  }
}

namespace {

// What the table shows; JSON has them all.
const char *const kShown[] = {"rounds", "waits", "sleeps", "events", "controls", "wakeups"};

uint32_t counters() { return std::min<uint32_t>(torque_stats_count(), TORQUE_BOARD_COUNTERS); }

void print_counters(const uint64_t *values, std::FILE *to) {
  for (const char *name : kShown) {
    const uint32_t i = torque_stats_find(name);
    std::fprintf(to, " %11" PRIu64, i < counters() ? values[i] : 0);
  }
  std::fputc('\n', to);
}

void print_json_counters(const uint64_t *values, std::FILE *to) {
  std::fputs("\"counters\": {", to);
  for (uint32_t i = 0; i < counters(); ++i)
    std::fprintf(to, "%s\"%s\": %" PRIu64, i ? ", " : "", torque_stats_name(i), values[i]);
  std::fputs("}}", to);
}

}  // namespace

void print_table(const Board &board, const std::vector<Row> &rows, std::FILE *to) {
  std::fprintf(to, "%6s %8s %-8s %-6s", "loop", "pid", "library", "state");
  for (const char *name : kShown) std::fprintf(to, " %11s", name);
  std::fputc('\n', to);
  for (const Row &r : rows) {
    std::fprintf(to, "%6" PRIu64 " %8d %-8s %-6s", r.number, r.pid, library_name(r.library), r.state);
    print_counters(r.counter, to);
  }
  for (uint32_t library = 0; library < TORQUE_BOARD_LIBRARIES; ++library) {
    const Past p = board.past(library);
    if (!p.loops) continue;
    std::fprintf(to, "%6" PRIu64 " %8s %-8s %-6s", p.loops, "earlier", library_name(library), "ended");
    print_counters(p.counter, to);
  }
  if (board.missed()) std::fprintf(to, "%" PRIu64 " more loops had no place\n", board.missed());
}

void print_json(const Board &board, const std::vector<Row> &rows, std::FILE *to) {
  std::fprintf(to, "{\"maker\": %d, \"missed\": %" PRIu64 ", \"loops\": [", board.maker(), board.missed());
  const char *comma = "\n  ";
  for (const Row &r : rows) {
    std::fprintf(to, "%s{\"loop\": %" PRIu64 ", \"pid\": %d, \"library\": \"%s\", \"state\": \"%s\", ", comma, r.number, r.pid,
                 library_name(r.library), r.state);
    print_json_counters(r.counter, to);
    comma = ",\n  ";
  }
  std::fputs("\n], \"earlier\": [", to);
  comma = "\n  ";
  for (uint32_t library = 0; library < TORQUE_BOARD_LIBRARIES; ++library) {
    const Past p = board.past(library);
    std::fprintf(to, "%s{\"loops\": %" PRIu64 ", \"library\": \"%s\", ", comma, p.loops, library_name(library));
    print_json_counters(p.counter, to);
    comma = ",\n  ";
  }
  std::fputs("\n]}\n", to);
}

}  // namespace torque_tools
