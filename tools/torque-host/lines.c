/* SPDX-License-Identifier: BSD-3-Clause */
#include "lines.h"

#include <string.h>

static int blank(char c) { return c == ' ' || c == '\t' || c == '\r' || c == '\v' || c == '\f'; }

char *lines_space(struct lines *l, size_t *ret_size) {
  if (l->begin > 0) {
    memmove(l->data, l->data + l->begin, l->end - l->begin);
    l->end -= l->begin;
    l->begin = 0;
  }
  *ret_size = lines_room - 1 - l->end; /* one is left for a 0 */
  return l->data + l->end;
}

void lines_fill(struct lines *l, size_t size) { l->end += size; }

/* One line, from begin to its end; *ret_whole: it has one. */
static char *cut(struct lines *l, int eof, size_t *ret_size) {
  char *begin = l->data + l->begin;
  const size_t left = l->end - l->begin;
  char *end = left ? memchr(begin, '\n', left) : NULL;
  if (end) {
    l->begin += (size_t)(end - begin) + 1;
  } else if ((eof && left) || left > line_most) { /* the end, or longer than any name */
    end = begin + left;
    l->begin = l->end;
    if (!eof) l->skipping = 1;
  } else {
    return NULL;
  }
  *ret_size = (size_t)(end - begin);
  return begin;
}

enum line_kind lines_next(struct lines *l, int eof, const char **ret_line) {
  for (;;) {
    const int rest = l->skipping;
    size_t size;
    l->skipping = 0;
    char *line = cut(l, eof, &size);
    if (!line) {
      l->skipping = rest;
      return line_none;
    }
    if (rest) continue; /* of one that was told about; cut() says whether there is still more */
    *ret_line = "the line is too long";
    if (size > line_most) return line_wrong;
    *ret_line = "the line has a 0 in it";
    if (memchr(line, 0, size)) return line_wrong;
    while (size > 0 && blank(line[size - 1])) size--;
    while (size > 0 && blank(*line)) line++, size--;
    if (size == 0 || *line == '#') continue;
    line[size] = 0; /* over its end, or what was kept free */
    *ret_line = line;
    return line_name;
  }
}
