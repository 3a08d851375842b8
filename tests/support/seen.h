/* SPDX-License-Identifier: BSD-3-Clause */
/* Folders to play in, and path sources that write down what they are told: one line for each event,
 *
 *   created a        written folder/a        renamed b <- a        created+found folder/
 *
 * a directory with a slash at its end, what is watched itself as ".". The first lines fill a page, all are counted. */
#ifndef TORQUE_TESTS_SEEN_H
#define TORQUE_TESTS_SEEN_H

#include <libtorque/path.h>

#include "support/context.h"

#define PATH_ALL                                                                                                     \
  (TORQUE_PATH_CREATED | TORQUE_PATH_DELETED | TORQUE_PATH_MODIFIED | TORQUE_PATH_WRITTEN | TORQUE_PATH_ATTRIBUTES | \
   TORQUE_PATH_RENAMED | TORQUE_PATH_MOVED_IN | TORQUE_PATH_MOVED_OUT)
#define PATH_NAMES \
  (TORQUE_PATH_CREATED | TORQUE_PATH_DELETED | TORQUE_PATH_RENAMED | TORQUE_PATH_MOVED_IN | TORQUE_PATH_MOVED_OUT)

enum { PAGE = 1 << 16 };

struct seen {
  void (*then)(struct seen *s, torque_source source, const struct torque_path_event *event);
  void *aux;
  _Atomic int blocked;
  _Atomic torque_source source;
  char watched[256]; /* absolute */

  _Atomic uint32_t calls, inside, overlaps, finals, calls_after_final, overflows, failures, strange;
  _Atomic uint32_t cookie; /* the last that was not 0 */
  _Atomic int32_t reason, error;
  _Atomic torque_err result;

  pthread_mutex_t lock;
  size_t length;
  char page[PAGE];
};

/* A new folder of the test program; all go when it ends. Answers its absolute path. */
const char *scratch(struct fixture *f);
int scratch_up(void **state);
int scratch_down(void **state);

/* Answers folder/name, in memory of the fixture's. */
const char *in(struct fixture *f, const char *folder, const char *name);
void make_file(const char *path); /* with a byte in it */
void make_folder(const char *path);
void remove_tree(const char *path);

struct seen *seen_new(struct fixture *f);
/* With its finalizer, not started. */
torque_err seen_make(struct fixture *f, struct seen *s, const char *path, uint32_t mask, uint32_t flags,
                     torque_source *ret_source);
void seen_start(struct fixture *f, struct seen *s, const char *path, uint32_t mask, uint32_t flags);
struct seen *see(struct fixture *f, const char *path, uint32_t mask, uint32_t flags);

/* How often that line was written; the whole page, and then nothing. */
unsigned lines_of(struct seen *s, const char *line);
int page_is(struct seen *s, const char *page);
void new_page(struct seen *s);
void assert_page(struct fixture *f, struct seen *s, const char *page); /* soon, and nothing after it */
void assert_sound(const struct seen *s);

#endif
