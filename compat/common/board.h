/* SPDX-License-Identifier: BSD-3-Clause */
/* The board: memory in which loops publish what they do, shared by the process that made it (torque-run), the programs
 * that run under it and those that look (torque-stats). It is a memfd, so that nothing stays when all of them are gone.
 *
 * TORQUE_STATS=MAKER:FD:INODE in the environment says where it is: at that descriptor, if the program has inherited and
 * kept it, or else at that descriptor of the process MAKER.
 *
 * Everything is written and read with relaxed loads and stores, but `state`: what a slot says of itself is written
 * before the state becomes LIVE (release) and read after it was seen (acquire). Layout: for one version of it. */
#ifndef TORQUE_COMPAT_BOARD_H
#define TORQUE_COMPAT_BOARD_H

#include <stdint.h>

#define TORQUE_BOARD_ENV "TORQUE_STATS"
#define TORQUE_BOARD_NO_CHILDREN "TORQUE_NO_CHILDREN" /* set: preloading and publishing end with this program */
#define TORQUE_BOARD_NAME "torque-stats"
#define TORQUE_BOARD_MAGIC UINT64_C(0x31647262717274)

enum {
  TORQUE_BOARD_SLOTS = 1024,
  TORQUE_BOARD_COUNTERS = 48, /* by the numbers of <libtorque/stats.h> */
};

enum { TORQUE_BOARD_LIBEVENT = 0, TORQUE_BOARD_LIBEV = 1, TORQUE_BOARD_LIBRARIES = 2 };

enum {
  TORQUE_SLOT_FREE = 0,
  TORQUE_SLOT_TAKEN = 1, /* being filled */
  TORQUE_SLOT_LIVE = 2,  /* its loop's thread writes the counters */
  TORQUE_SLOT_ENDED = 3  /* the counters are final; may be taken again */
};

/* One loop. */
struct torque_board_slot {
  uint32_t state;
  int32_t pid;
  uint32_t library;
  uint32_t counters; /* how many there are */
  uint64_t number;   /* 1 for the first loop on the board, and so on */
  uint64_t unused[5];
  uint64_t counter[TORQUE_BOARD_COUNTERS];
};

struct torque_board {
  uint64_t magic;
  uint32_t slots;
  uint32_t slot_size;
  int32_t maker;
  uint32_t unused[11];
  uint64_t taken; /* loops that have come, those without a slot included */
  uint64_t missed; /* loops without a slot */
  uint64_t past_loops[TORQUE_BOARD_LIBRARIES]; /* whose slots were taken again, and their counters */
  uint64_t past[TORQUE_BOARD_LIBRARIES][TORQUE_BOARD_COUNTERS];
  struct torque_board_slot slot[TORQUE_BOARD_SLOTS];
};

#endif
