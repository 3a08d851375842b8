/* SPDX-License-Identifier: BSD-3-Clause */
/* A folder of its own for a case that changes files, and what ev_stat says of them. */
#ifndef TORQUE_TESTS_LIBEV_FILES_H
#define TORQUE_TESTS_LIBEV_FILES_H

#include "helpers.h"

#include <ftw.h>
#include <limits.h>
#include <sys/stat.h>

static char folder[PATH_MAX / 2];
static char path[PATH_MAX];

static int remove_one(const char *name, const struct stat *info, int type, struct FTW *walk) {
  (void)info, (void)type, (void)walk;
  return remove(name);
}

static inline void remove_folder(void) { nftw(folder, remove_one, 8, FTW_DEPTH | FTW_PHYS); }

/* The name of a file in the folder; a few live at a time. */
static inline const char *in_folder(const char *name) {
  static char names[6][PATH_MAX];
  static unsigned next;
  char *text = names[next++ % 6];
  snprintf(text, sizeof names[0], "%s/%s", folder, name);
  return text;
}

static inline void make_folder(void) {
  const char *base = getenv("TMPDIR");
  snprintf(folder, sizeof folder, "%s/diff-XXXXXX", base ? base : "/tmp");
  NEED(mkdtemp(folder));
  NEED(!atexit(remove_folder));
  snprintf(path, sizeof path, "%s/file", folder);
}

/* Makes the file, or adds to it. */
static inline void append(const char *name, size_t size) {
  int fd = open(name, O_WRONLY | O_CREAT | O_APPEND, 0644);
  NEED(fd >= 0);
  put(fd, size);
  close(fd);
}

static int told_count;

static inline const char *kind(const ev_statdata *s) {
  if (!s->st_nlink) return "missing";
  return S_ISREG(s->st_mode) ? "file" : S_ISDIR(s->st_mode) ? "folder" : S_ISLNK(s->st_mode) ? "link" : "other";
}

/* Sizes and link counts of folders are the file system's own business. */
static inline const char *describe(const ev_statdata *s) {
  static char text[4][80];
  static unsigned next;
  char *t = text[next++ % 4];
  if (s->st_nlink && !S_ISDIR(s->st_mode))
    snprintf(t, sizeof text[0], "%s of %ld, mode %o, links %d", kind(s), S_ISLNK(s->st_mode) ? 0L : (long)s->st_size,
             (unsigned)s->st_mode & 07777, (int)s->st_nlink);
  else
    snprintf(t, sizeof text[0], "%s", kind(s));
  return t;
}

static inline void told(struct ev_loop *loop, ev_stat *w, int revents) {
  told_count++;
  trace("%s: %s, was %s, is %s, %s", (const char *)w->data, bits(revents), describe(&w->prev), describe(&w->attr),
        state(w));
  (void)loop;
}

static inline void watch(struct ev_loop *loop, ev_stat *w, const char *name, const char *file, double interval) {
  ev_stat_init(w, told, file, interval);
  w->data = (void *)(uintptr_t)name;
  ev_stat_start(loop, w);
}

/* Runs until a change more is told, and some passes, that should tell nothing more. */
static inline void settle(struct ev_loop *loop) {
  int changed = told_count;
  for (int i = 0; i < 400 && changed == told_count; ++i) {
    turn(loop);
    if (changed == told_count) pause_ms(5);
  }
  if (changed == told_count) trace("nothing was told");
  turns(loop, 5);
}

/* Some passes in which nothing should be told. */
static inline void quiet(struct ev_loop *loop) {
  int changed = told_count;
  for (int i = 0; i < 8; ++i) {
    turn(loop);
    pause_ms(1);
  }
  if (changed == told_count) trace("nothing was told, as it should be");
}

#endif
