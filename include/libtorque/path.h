/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef LIBTORQUE_PATH_H
#define LIBTORQUE_PATH_H

#include <libtorque/source.h>

TORQUE_BEGIN_DECLS

/* Events of files and directories. CREATED and DELETED: a name was added to the directory, or removed. */
enum {
  TORQUE_PATH_CREATED = 0x1,
  TORQUE_PATH_DELETED = 0x2,
  TORQUE_PATH_MODIFIED = 0x4,    /* written to, or its length changed */
  TORQUE_PATH_WRITTEN = 0x8,     /* a file that was open for writing was closed */
  TORQUE_PATH_ATTRIBUTES = 0x10, /* mode, owner, times, number of links */
  TORQUE_PATH_RENAMED = 0x20,    /* renamed; both names are below the watched path */
  TORQUE_PATH_MOVED_IN = 0x40,   /* moved in from elsewhere */
  TORQUE_PATH_MOVED_OUT = 0x80,
  TORQUE_PATH_ACCESSED = 0x100,
  TORQUE_PATH_OPENED = 0x200,
  TORQUE_PATH_CLOSED = 0x400,    /* closed after it had been open only for reading */

  /* These events are always reported; do not request them. */
  TORQUE_PATH_SELF_DELETED = 0x1000, /* the watched path was deleted; no further events follow */
  TORQUE_PATH_SELF_MOVED = 0x2000,   /* the watched path was renamed; it is still watched, and reported with the old
                                      * names */
  TORQUE_PATH_UNMOUNTED = 0x4000,    /* the file system was unmounted; no further events follow */
  TORQUE_PATH_OVERFLOW = 0x8000,     /* events were lost: examine the files; a recursive source has searched the tree */
  TORQUE_PATH_FAILED = 0x10000,      /* a directory cannot be watched or read, see torque_path_event_error() */
  /* Together with CREATED: the file was found when a new directory was read. Reported if CREATED, MODIFIED, WRITTEN or
   * MOVED_IN was requested. Its earlier events are unknown. */
  TORQUE_PATH_FOUND = 0x20000
};

enum {
  TORQUE_PATH_RECURSIVE = 0x1,       /* watch all directories below as well, also later ones; symbolic links are not
                                      * followed */
  TORQUE_PATH_NOFOLLOW = 0x2,        /* if path is a symbolic link, watch the link itself */
  TORQUE_PATH_ONLYDIR = 0x4,         /* fail with ENOTDIR if path is not a directory; RECURSIVE implies it */
  TORQUE_PATH_EXCLUDE_UNLINKED = 0x8 /* report nothing for files that were unlinked and are still open */
};

/* One event. Valid only during the callback. Names are null-terminated bytes. */
struct torque_path_event;
/* Returns one TORQUE_PATH_* bit, or two with FOUND. */
TORQUE_API uint32_t torque_path_event_mask(const struct torque_path_event *event);
/* The name relative to the watched path: "file", "folder/file"; "" for the watched path itself. */
TORQUE_API const char *torque_path_event_name(const struct torque_path_event *event);
/* The absolute path. */
TORQUE_API const char *torque_path_event_path(const struct torque_path_event *event);
/* RENAMED: the previous name, relative to the watched path. Otherwise "". */
TORQUE_API const char *torque_path_event_old_name(const struct torque_path_event *event);
/* The same number for MOVED_OUT and MOVED_IN of one rename, even in different sources. Otherwise 0. */
TORQUE_API uint32_t torque_path_event_cookie(const struct torque_path_event *event);
TORQUE_API int32_t torque_path_event_is_directory(const struct torque_path_event *event);
/* FAILED: the errno. Otherwise 0. */
TORQUE_API int32_t torque_path_event_error(const struct torque_path_event *event);

/* Called for each event, in the order of the changes. */
typedef void torque_path_fn(torque_source source, const struct torque_path_event *event, void *arg);

/* Watches a file, or a directory and the files in it. mask: the TORQUE_PATH_* events to report. The source watches the
 * file that has the path now, even if it is renamed later. A relative path is relative to the present working
 * directory. flags is 0 or TORQUE_PATH_RECURSIVE, NOFOLLOW, ONLYDIR, EXCLUDE_UNLINKED.
 *
 * A recursive source reads the whole tree here, on the calling thread. Later it reads each new directory before it
 * reports it, and then reports what it found there (FOUND). A file that is created meanwhile may be reported twice, and
 * is never missed. A rename is reported when its second half has arrived; if none arrives within 25 ms, as MOVED_OUT.
 * Errors: INVAL (no path, callback or events; unknown events or flags); RESOURCE; STOPPED; FORKED; SYSCALL + ENOENT,
 *         EACCES, ENOTDIR, ELOOP, ENAMETOOLONG; SYSCALL + ENOSPC (the user has reached the limit
 *         fs.inotify.max_user_watches); SYSCALL + EMFILE (no descriptors, or the limit fs.inotify.max_user_instances);
 *         SYSCALL + ENOMEM. */
TORQUE_API torque_err torque_path_add(struct torque_ctx *ctx, const char *path, uint32_t mask, uint32_t flags,
                                      torque_path_fn *fn, void *arg, torque_source *ret_source) TORQUE_CHECKED;
/* Creates the source without starting it; call torque_source_start(), which looks up the path. */
TORQUE_API torque_err torque_path_new(struct torque_ctx *ctx, const char *path, uint32_t mask, uint32_t flags,
                                      torque_path_fn *fn, void *arg, torque_source *ret_source) TORQUE_CHECKED;

TORQUE_END_DECLS

#endif
