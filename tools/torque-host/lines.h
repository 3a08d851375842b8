/* SPDX-License-Identifier: BSD-3-Clause */
/* Bytes to lines: names, one a line, from wherever they come. No system calls. */
#ifndef TORQUE_HOST_LINES_H
#define TORQUE_HOST_LINES_H

#include <stddef.h>

enum { line_most = 1023, lines_room = 65536 };

struct lines {
  char data[lines_room];
  size_t begin, end; /* what has not been taken yet */
  int skipping;      /* the rest of a line that is too long */
};

/* Where the next bytes go: *ret_size of them have room. 0: take lines first. */
char *lines_space(struct lines *l, size_t *ret_size);
void lines_fill(struct lines *l, size_t size);

enum line_kind {
  line_none,  /* no whole line is left */
  line_name,  /* *ret_line: the line without blanks at its ends, never empty */
  line_wrong, /* too long, or with a 0 in it; *ret_line says which */
};
/* eof: what is left is a line even without its end. Empty lines and comments (#) are left out. *ret_line is valid until
 * the next call. */
enum line_kind lines_next(struct lines *l, int eof, const char **ret_line);

#endif
