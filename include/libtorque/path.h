/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef LIBTORQUE_PATH_H
#define LIBTORQUE_PATH_H

#include <libtorque/source.h>

TORQUE_BEGIN_DECLS

/* What happens to files. */
enum {
  TORQUE_PATH_CREATED = 0x1,
  TORQUE_PATH_DELETED = 0x2,
  TORQUE_PATH_MODIFIED = 0x4,    /* written to, or cut off */
  TORQUE_PATH_WRITTEN = 0x8,     /* closed by somebody who could write to it */
  TORQUE_PATH_ATTRIBUTES = 0x10, /* mode, owner, times, number of links */
  TORQUE_PATH_RENAMED = 0x20,    /* from one name to another, both inside of what is watched */
  TORQUE_PATH_MOVED_IN = 0x40,   /* from elsewhere */
  TORQUE_PATH_MOVED_OUT = 0x80,
  TORQUE_PATH_ACCESSED = 0x100,
  TORQUE_PATH_OPENED = 0x200,
  TORQUE_PATH_CLOSED = 0x400, /* by somebody who could only read */

  /* Told always, never asked for. */
  TORQUE_PATH_SELF_DELETED = 0x1000, /* what is watched; nothing more will come */
  TORQUE_PATH_SELF_MOVED =
      0x2000,                     /* the same has another name now; it is watched on, the names told are the old ones */
  TORQUE_PATH_UNMOUNTED = 0x4000, /* its file system; nothing more will come of it */
  TORQUE_PATH_OVERFLOW = 0x8000,  /* events were lost: look yourself. A recursive source has looked for directories */
  TORQUE_PATH_FAILED = 0x10000,   /* a directory inside cannot be watched: see torque_path_event_error() */
  /* With CREATED: it was there when a new directory was looked at. Told to who asked for CREATED, MODIFIED, WRITTEN or
   * MOVED_IN; what happened to it before was not seen. */
  TORQUE_PATH_FOUND = 0x20000
};

enum {
  TORQUE_PATH_RECURSIVE =
      0x1, /* all directories below as well, also those that come later; symbolic links are not followed */
  TORQUE_PATH_NOFOLLOW = 0x2,        /* a symbolic link itself, if path is one */
  TORQUE_PATH_ONLYDIR = 0x4,         /* or nothing (ENOTDIR); RECURSIVE means it */
  TORQUE_PATH_EXCLUDE_UNLINKED = 0x8 /* nothing of files in a directory that were unlinked and are still open */
};

/* One event. Valid during the callback. Names are bytes that end with a 0. */
struct torque_path_event;
TORQUE_API uint32_t
torque_path_event_mask(const struct torque_path_event *event); /* one TORQUE_PATH_* bit; two with FOUND */
/* Below the watched path: "file", "folder/file"; "" is the watched path itself. */
TORQUE_API const char *torque_path_event_name(const struct torque_path_event *event);
/* The same, absolute. */
TORQUE_API const char *torque_path_event_path(const struct torque_path_event *event);
/* RENAMED: as it was called before, below the watched path. Else "". */
TORQUE_API const char *torque_path_event_old_name(const struct torque_path_event *event);
/* MOVED_OUT and MOVED_IN of the same rename have the same, also in two sources. Else 0. */
TORQUE_API uint32_t torque_path_event_cookie(const struct torque_path_event *event);
TORQUE_API int32_t torque_path_event_is_directory(const struct torque_path_event *event);
/* FAILED: the errno. Else 0. */
TORQUE_API int32_t torque_path_event_error(const struct torque_path_event *event);

/* Called for each event, in the order in which they happened. */
typedef void torque_path_fn(torque_source source, const struct torque_path_event *event, void *arg);

/* Watch a file, or a directory and what is in it. mask: TORQUE_PATH_* to be told of. What is watched is what has the
 * path now, whatever its name later; a relative path counts from the present working directory. flags: 0 or
 * TORQUE_PATH_RECURSIVE, NOFOLLOW, ONLYDIR, EXCLUDE_UNLINKED.
 *
 * A recursive source walks the tree here; later it reads each new directory before it tells of it, and tells what it
 * found there (FOUND). What is created meanwhile may be told twice, and is never missed.
 * A rename is told when its second half has come; without one, after 25 ms, as MOVED_OUT.
 * Errors: INVAL; RESOURCE; STOPPED; FORKED; SYSCALL + ENOENT, EACCES, ENOTDIR, ELOOP, ENAMETOOLONG; ENOSPC the user has
 * as many watches as fs.inotify.max_user_watches allows; EMFILE descriptors, or fs.inotify.max_user_instances. */
TORQUE_API torque_err torque_path_add(struct torque_ctx *ctx, const char *path, uint32_t mask, uint32_t flags,
                                      torque_path_fn *fn, void *arg, torque_source *ret_source) TORQUE_CHECKED;
/* The same, to be started by torque_source_start(), which looks the path up. */
TORQUE_API torque_err torque_path_new(struct torque_ctx *ctx, const char *path, uint32_t mask, uint32_t flags,
                                      torque_path_fn *fn, void *arg, torque_source *ret_source) TORQUE_CHECKED;

TORQUE_END_DECLS

#endif
