/* SPDX-License-Identifier: BSD-3-Clause */
#define _GNU_SOURCE
#include "support/seen.h"

#include <fcntl.h>
#include <ftw.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "support/cmocka.h"

static char top[256];

static int remove_one(const char *path, const struct stat *st, int what, struct FTW *where) {
  (void)st, (void)what, (void)where;
  return remove(path);
}

void remove_tree(const char *path) { (void)nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS); }

int scratch_up(void **state) {
  (void)state;
  const char *where = getenv("TMPDIR");
  char name[200];
  snprintf(name, sizeof name, "%s/torque-paths-XXXXXX", where && strlen(where) < 150 ? where : "/tmp");
  return mkdtemp(name) && realpath(name, top) && chmod(top, 0711) == 0 ? 0 : -1;
}

int scratch_down(void **state) {
  (void)state;
  remove_tree(top);
  return 0;
}

const char *scratch(struct fixture *f) {
  char *path = fixture_take(f, sizeof top + 16);
  snprintf(path, sizeof top + 16, "%s/XXXXXX", top);
  assert_non_null(mkdtemp(path));
  return path;
}

const char *in(struct fixture *f, const char *folder, const char *name) {
  const size_t size = strlen(folder) + strlen(name) + 2;
  char *path = fixture_take(f, size);
  snprintf(path, size, "%s/%s", folder, name);
  return path;
}

void make_file(const char *path) {
  const int fd = open(path, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
  assert_true(fd >= 0);
  assert_int_equal(write(fd, "x", 1), 1);
  close(fd);
}

void make_folder(const char *path) { assert_int_equal(mkdir(path, 0700), 0); }

static const struct {
  uint32_t bit;
  const char *word;
} words[] = {
    {TORQUE_PATH_CREATED, "created"},
    {TORQUE_PATH_DELETED, "deleted"},
    {TORQUE_PATH_MODIFIED, "modified"},
    {TORQUE_PATH_WRITTEN, "written"},
    {TORQUE_PATH_ATTRIBUTES, "attributes"},
    {TORQUE_PATH_RENAMED, "renamed"},
    {TORQUE_PATH_MOVED_IN, "moved-in"},
    {TORQUE_PATH_MOVED_OUT, "moved-out"},
    {TORQUE_PATH_ACCESSED, "accessed"},
    {TORQUE_PATH_OPENED, "opened"},
    {TORQUE_PATH_CLOSED, "closed"},
    {TORQUE_PATH_SELF_DELETED, "self-deleted"},
    {TORQUE_PATH_SELF_MOVED, "self-moved"},
    {TORQUE_PATH_UNMOUNTED, "unmounted"},
    {TORQUE_PATH_OVERFLOW, "overflow"},
    {TORQUE_PATH_FAILED, "failed"},
    {TORQUE_PATH_CREATED | TORQUE_PATH_FOUND, "created+found"},
};

static const char *word_of(uint32_t mask) {
  for (size_t i = 0; i < sizeof words / sizeof *words; i++)
    if (words[i].bit == mask) return words[i].word;
  return NULL;
}

static void write_down(struct seen *s, const struct torque_path_event *e) {
  const char *word = word_of(torque_path_event_mask(e)), *name = torque_path_event_name(e);
  const char *old = torque_path_event_old_name(e), *path = torque_path_event_path(e);
  const size_t top_length = strlen(s->watched);
  const int renamed = torque_path_event_mask(e) == TORQUE_PATH_RENAMED;
  char line[PAGE / 16];
  const char *end = *name && torque_path_event_is_directory(e) ? "/" : "";
  const int n = renamed ? snprintf(line, sizeof line, "renamed %s%s <- %s%s\n", name, end, old, end)
                        : snprintf(line, sizeof line, "%s %s%s\n", word ? word : "?", *name ? name : ".", end);
  const size_t slash = top_length && s->watched[top_length - 1] == '/' ? 0 : 1;
  if (!word || !!*old != renamed || strncmp(path, s->watched, top_length) != 0 ||
      (*name ? strcmp(path + top_length + slash, name) != 0 : path[top_length] != 0))
    atomic_fetch_add(&s->strange, 1);
  pthread_mutex_lock(&s->lock);
  if (n > 0 && s->length + (size_t)n < sizeof s->page) {
    memcpy(s->page + s->length, line, (size_t)n + 1);
    s->length += (size_t)n;
  }
  pthread_mutex_unlock(&s->lock);
}

static void on_path(torque_source source, const struct torque_path_event *event, void *arg) {
  struct seen *s = arg;
  if (atomic_fetch_add(&s->inside, 1)) atomic_fetch_add(&s->overlaps, 1);
  if (s->finals) atomic_fetch_add(&s->calls_after_final, 1);
  if (torque_path_event_cookie(event)) atomic_store(&s->cookie, torque_path_event_cookie(event));
  if (torque_path_event_error(event)) atomic_store(&s->error, torque_path_event_error(event));
  if (torque_path_event_mask(event) == TORQUE_PATH_OVERFLOW) atomic_fetch_add(&s->overflows, 1);
  if (torque_path_event_mask(event) == TORQUE_PATH_FAILED) atomic_fetch_add(&s->failures, 1);
  write_down(s, event);
  atomic_fetch_add(&s->calls, 1);
  STAY_UNTIL(!atomic_load(&s->blocked));
  if (s->then) s->then(s, source, event);
  atomic_fetch_sub(&s->inside, 1);
}

static void on_final(torque_source source, int32_t reason, void *arg) {
  (void)source;
  struct seen *s = arg;
  if (s->inside) atomic_fetch_add(&s->overlaps, 1);
  atomic_store(&s->reason, reason);
  atomic_fetch_add(&s->finals, 1);
}

struct seen *seen_new(struct fixture *f) {
  struct seen *s = fixture_take(f, sizeof *s);
  pthread_mutex_init(&s->lock, NULL);
  return s;
}

torque_err seen_make(struct fixture *f, struct seen *s, const char *path, uint32_t mask, uint32_t flags,
                     torque_source *ret_source) {
  snprintf(s->watched, sizeof s->watched, "%s", path);
  const torque_err err = torque_path_new(f->ctx, path, mask, flags, on_path, s, ret_source);
  return err ? err : torque_source_set_finalizer(*ret_source, on_final);
}

void seen_start(struct fixture *f, struct seen *s, const char *path, uint32_t mask, uint32_t flags) {
  torque_source source;
  assert_int_equal(seen_make(f, s, path, mask, flags, &source), 0);
  s->source = source;
  assert_int_equal(torque_source_start(source), 0);
}

struct seen *see(struct fixture *f, const char *path, uint32_t mask, uint32_t flags) {
  struct seen *s = seen_new(f);
  seen_start(f, s, path, mask, flags);
  return s;
}

unsigned lines_of(struct seen *s, const char *line) {
  unsigned n = 0;
  const size_t length = strlen(line);
  pthread_mutex_lock(&s->lock);
  for (const char *at = s->page; (at = strstr(at, line)); at += length)
    n += (at == s->page || at[-1] == '\n') && at[length] == '\n';
  pthread_mutex_unlock(&s->lock);
  return n;
}

int page_is(struct seen *s, const char *page) {
  pthread_mutex_lock(&s->lock);
  const int same = strcmp(s->page, page) == 0;
  pthread_mutex_unlock(&s->lock);
  return same;
}

void new_page(struct seen *s) {
  pthread_mutex_lock(&s->lock);
  s->length = 0;
  s->page[0] = 0;
  pthread_mutex_unlock(&s->lock);
}

static size_t written(struct seen *s) {
  pthread_mutex_lock(&s->lock);
  const size_t length = s->length;
  pthread_mutex_unlock(&s->lock);
  return length;
}

void assert_page(struct fixture *f, struct seen *s, const char *page) {
  const struct patience p = patience_start();
  while (written(s) < strlen(page) && fixture_step(f, &p)) {
  }
  fixture_settle(f);
  char *copy = fixture_take(f, sizeof s->page);
  pthread_mutex_lock(&s->lock);
  memcpy(copy, s->page, s->length + 1);
  pthread_mutex_unlock(&s->lock);
  assert_string_equal(copy, page);
  new_page(s);
}

void assert_sound(const struct seen *s) {
  assert_int_equal(s->overlaps, 0);
  assert_int_equal(s->calls_after_final, 0);
  assert_int_equal(s->strange, 0);
}
