// SPDX-License-Identifier: BSD-3-Clause
// The board of loops' counters (board.h): made by torque-run, read by it and by torque-stats.
#pragma once

#include <cstdio>
#include <string>
#include <vector>

#include "board.h"

namespace torque_tools {

// A loop as it was a moment ago.
struct Row {
  uint64_t number;
  int pid;
  uint32_t library;
  const char *state;  // "live", "ended", "gone": its process ended, and the loop with it
  uint64_t counter[TORQUE_BOARD_COUNTERS];
};

struct Past {
  uint64_t loops;
  uint64_t counter[TORQUE_BOARD_COUNTERS];
};

class Board {
 public:
  Board() = default;
  ~Board();
  Board(const Board &) = delete;
  Board &operator=(const Board &) = delete;

  // False: errno says why.
  bool make();
  // The board of a process, of its parents if it has none open. False: there is none, or errno (EACCES) says why not.
  bool attach(int pid);

  // "TORQUE_STATS=..." for the processes that are to publish here.
  std::string environment() const;
  int maker() const { return board_->maker; }
  std::vector<Row> rows() const;  // in the order of their beginning
  Past past(uint32_t library) const;
  uint64_t missed() const;

 private:
  bool attach_file(const std::string &path);
  bool attach_descriptor(int pid);
  bool attach_mapping(int pid);

  torque_board *board_ = nullptr;
  int fd_ = -1;
};

const char *library_name(uint32_t library);
void print_table(const Board &board, const std::vector<Row> &rows, std::FILE *to);
void print_json(const Board &board, const std::vector<Row> &rows, std::FILE *to);

}  // namespace torque_tools
