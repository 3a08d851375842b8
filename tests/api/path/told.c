/* SPDX-License-Identifier: BSD-3-Clause */
/* What one file or one directory tells: each event, in order, under its names; and what is refused. */
#define _GNU_SOURCE
#include "support/seen.h"

#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "support/cmocka.h"

static void what_happens_in_a_directory(void **state) {
  struct fixture *f = *state;
  const char *d = scratch(f);
  struct seen *s = see(f, d, PATH_ALL, 0);
  make_file(in(f, d, "a"));
  assert_page(f, s, "created a\nmodified a\nwritten a\n");
  assert_int_equal(chmod(in(f, d, "a"), 0400), 0);
  assert_page(f, s, "attributes a\n");
  assert_int_equal(rename(in(f, d, "a"), in(f, d, "b")), 0);
  assert_page(f, s, "renamed b <- a\n");
  assert_int_equal(truncate(in(f, d, "b"), 0), 0);
  make_folder(in(f, d, "folder"));
  make_file(in(f, d, "folder/not told"));
  assert_int_equal(unlink(in(f, d, "b")), 0);
  assert_page(f, s, "modified b\ncreated folder/\ndeleted b\n");
  assert_int_equal(symlink("nowhere", in(f, d, "link")), 0);
  assert_int_equal(unlink(in(f, d, "link")), 0);
  assert_page(f, s, "created link\ndeleted link\n");
  assert_sound(s);
}

static void only_what_was_asked_for(void **state) {
  struct fixture *f = *state;
  const char *d = scratch(f);
  static const struct {
    uint32_t mask;
    const char *page;
  } cases[] = {
      {TORQUE_PATH_CREATED, "created a\ncreated b\n"},
      {TORQUE_PATH_DELETED, "deleted b\n"},
      {TORQUE_PATH_WRITTEN, "written a\nwritten b\n"},
      {TORQUE_PATH_RENAMED, "renamed c <- a\n"},
      {TORQUE_PATH_MOVED_OUT, "moved-out c\n"},
      {TORQUE_PATH_OPENED | TORQUE_PATH_CLOSED, "opened a\nopened b\nopened b\nclosed b\n"},
  };
  enum { CASES = sizeof cases / sizeof *cases };
  const char *elsewhere = scratch(f);
  struct seen *s[CASES];
  for (int i = 0; i < CASES; i++) s[i] = see(f, d, cases[i].mask, 0);
  make_file(in(f, d, "a"));
  make_file(in(f, d, "b"));
  const int fd = open(in(f, d, "b"), O_RDONLY | O_CLOEXEC);
  close(fd);
  assert_int_equal(rename(in(f, d, "a"), in(f, d, "c")), 0);
  assert_int_equal(unlink(in(f, d, "b")), 0);
  assert_int_equal(rename(in(f, d, "c"), in(f, elsewhere, "c")), 0);
  for (int i = 0; i < CASES; i++) assert_page(f, s[i], cases[i].page);
}

static void a_file(void **state) {
  struct fixture *f = *state;
  const char *d = scratch(f), *a = in(f, d, "a");
  make_file(a);
  struct seen *s = see(f, a, PATH_ALL | TORQUE_PATH_ACCESSED, 0);
  char byte;
  const int fd = open(a, O_RDWR | O_CLOEXEC);
  assert_int_equal(read(fd, &byte, 1), 1);
  assert_int_equal(write(fd, "y", 1), 1);
  close(fd);
  assert_page(f, s, "accessed .\nmodified .\nwritten .\n");
  assert_int_equal(rename(a, in(f, d, "b")), 0);
  assert_page(f, s, "self-moved .\n");
  make_file(a); /* another one */
  fixture_settle(f);
  assert_int_equal(unlink(in(f, d, "b")), 0);
  assert_page(f, s, "attributes .\nself-deleted .\n");
  assert_int_equal(torque_source_alive(s->source), 1);
  make_file(a);
  assert_page(f, s, "");
  assert_int_equal(torque_source_remove_wait(s->source), 0);
  assert_sound(s);
}

static void a_directory_itself(void **state) {
  struct fixture *f = *state;
  const char *top = scratch(f), *d = in(f, top, "d"), *e = in(f, top, "e");
  make_folder(d);
  struct seen *s = see(f, d, PATH_ALL, 0);
  assert_int_equal(chmod(d, 0755), 0);
  assert_int_equal(rename(d, e), 0);
  make_file(in(f, e, "a"));
  assert_page(f, s, "attributes .\nself-moved .\ncreated a\nmodified a\nwritten a\n");
  assert_int_equal(unlink(in(f, e, "a")), 0);
  assert_int_equal(rmdir(e), 0);
  assert_page(f, s, "deleted a\nself-deleted .\n");
  assert_sound(s);
}

/* What leaves one directory and comes into another is told by both, with the same cookie. */
static void in_and_out(void **state) {
  struct fixture *f = *state;
  const char *d = scratch(f), *e = scratch(f);
  struct seen *from = see(f, d, PATH_ALL, 0), *to = see(f, e, PATH_ALL, 0);
  make_file(in(f, d, "a"));
  assert_page(f, from, "created a\nmodified a\nwritten a\n");
  assert_int_equal(rename(in(f, d, "a"), in(f, e, "b")), 0);
  make_file(in(f, d, "c"));
  assert_page(f, to, "moved-in b\n");
  assert_page(f, from,
              "moved-out a\ncreated c\nmodified c\nwritten c\n"); /* in order, though one had to be waited for */
  assert_true(from->cookie != 0);
  assert_int_equal(from->cookie, to->cookie);
}

/* One waiting time for all of them. */
static void hundreds_out(void **state) {
  struct fixture *f = *state;
  enum { FILES = 500 };
  const char *d = scratch(f), *e = scratch(f);
  char name[16];
  for (int i = 0; i < FILES; i++) snprintf(name, sizeof name, "%d", i), make_file(in(f, d, name));
  struct seen *s = see(f, d, PATH_NAMES, 0);
  for (int i = 0; i < FILES; i++) {
    snprintf(name, sizeof name, "%d", i);
    if (i % 2)
      assert_int_equal(rename(in(f, d, name), in(f, e, name)), 0);
    else
      assert_int_equal(rename(in(f, d, name), in(f, d, name)), 0); /* to itself: nothing */
  }
  AWAIT(f, s->calls == FILES / 2);
  fixture_settle(f);
  assert_int_equal(s->calls, FILES / 2);
  assert_int_equal(lines_of(s, "moved-out 499"), 1);
  assert_sound(s);
}

/* By a relative path, of what is told by its absolute one. */
static struct seen *see_as(struct fixture *f, const char *path, const char *absolute) {
  struct seen *s = seen_new(f);
  torque_source source;
  assert_int_equal(seen_make(f, s, path, PATH_NAMES, 0, &source), 0);
  snprintf(s->watched, sizeof s->watched, "%s", absolute);
  assert_int_equal(torque_source_start(source), 0);
  return s;
}

static void names_of_a_relative_path(void **state) {
  struct fixture *f = *state;
  const char *d = scratch(f);
  char before[PATH_MAX];
  assert_non_null(getcwd(before, sizeof before));
  assert_int_equal(chdir(d), 0);
  struct seen *s = see_as(f, ".", in(f, d, "."));
  make_folder("below");
  struct seen *below = see_as(f, "below/", in(f, d, "below/"));
  assert_int_equal(chdir(before), 0); /* it counts from where it was given */
  make_file(in(f, d, "below/a"));
  assert_page(f, s, "created below/\n");
  assert_page(f, below, "created a\n");
  assert_sound(s);
  assert_sound(below);
}

static void links(void **state) {
  struct fixture *f = *state;
  const char *d = scratch(f), *a = in(f, d, "a"), *link = in(f, d, "link");
  make_file(a);
  assert_int_equal(symlink(a, link), 0);
  struct seen *through = see(f, link, PATH_ALL, 0), *itself = see(f, link, PATH_ALL, TORQUE_PATH_NOFOLLOW);
  make_file(a);
  assert_page(f, through, "modified .\nwritten .\n");
  assert_int_equal(unlink(link), 0);
  assert_page(f, itself, "attributes .\nself-deleted .\n");
  assert_page(f, through, "");
}

/* A source that leaves out what was unlinked, and one that does not, watch one directory. */
static void what_was_unlinked(void **state) {
  struct fixture *f = *state;
  const char *d = scratch(f), *a = in(f, d, "a");
  const int fd = open(a, O_WRONLY | O_CREAT | O_CLOEXEC, 0600);
  fixture_own(f, fd);
  const uint32_t mask = TORQUE_PATH_MODIFIED | TORQUE_PATH_DELETED;
  struct seen *without = see(f, d, mask, TORQUE_PATH_EXCLUDE_UNLINKED), *with = see(f, d, mask, 0);
  assert_int_equal(write(fd, "x", 1), 1);
  assert_page(f, without, "modified a\n");
  assert_page(f, with, "modified a\n");
  assert_int_equal(unlink(a), 0);
  assert_int_equal(write(fd, "x", 1), 1);
  assert_page(f, with, "deleted a\nmodified a\n");
  assert_page(f, without, "deleted a\n");
  assert_int_equal(torque_source_remove_wait(without->source), 0);
  assert_int_equal(write(fd, "x", 1), 1);
  assert_page(f, with, "modified a\n");
}

/* ---- Many ---- */

static void thousands_in_order(void **state) {
  struct fixture *f = *state;
  const int n = FEWER(3000);
  const char *d = scratch(f);
  struct seen *s = see(f, d, TORQUE_PATH_CREATED | TORQUE_PATH_DELETED, 0);
  char name[400], line[32];
  uint32_t told = 0;
  for (int i = 0; i < n; i++) {
    snprintf(name, sizeof name, "%s/%d", d, i);
    make_file(name);
    assert_int_equal(unlink(name), 0);
    told += 2;
  }
  AWAIT(f, s->calls == told);
  fixture_settle(f);
  assert_int_equal(s->calls, told);
  const char *at = s->page; /* as far as it goes */
  for (int i = 0; i < n && i < 1500; i++) {
    for (int deleted = 0; deleted < 2; deleted++) {
      const int length = snprintf(line, sizeof line, "%s %d\n", deleted ? "deleted" : "created", i);
      assert_int_equal(strncmp(at, line, (size_t)length), 0);
      at += length;
    }
  }
  assert_int_equal(s->overflows, 0);
  assert_sound(s);
}

/* One inode, one number in the kernel: the end of one source is not that of another. */
static void many_sources_of_one_directory(void **state) {
  struct fixture *f = *state;
  enum { SOURCES = 200 };
  const char *d = scratch(f);
  struct seen *s[SOURCES];
  for (int i = 0; i < SOURCES; i++) s[i] = see(f, d, i % 2 ? TORQUE_PATH_CREATED : TORQUE_PATH_DELETED, 0);
  char name[16];
  for (int round = 0; round < 4; round++) {
    snprintf(name, sizeof name, "%d", round);
    make_file(in(f, d, name));
    assert_int_equal(unlink(in(f, d, name)), 0);
    for (int i = round * SOURCES / 4; i < SOURCES; i++) AWAIT(f, s[i]->calls == (uint32_t)round + 1);
    for (int i = round * SOURCES / 4; i < (round + 1) * SOURCES / 4; i++)
      assert_int_equal(torque_source_remove_wait(s[i]->source), 0);
  }
  struct seen *last = see(f, d, PATH_NAMES, 0); /* and anew, when all had gone */
  make_file(in(f, d, "last"));
  assert_page(f, last, "created last\n");
  for (int i = 0; i < SOURCES; i++) assert_int_equal(s[i]->calls, (uint32_t)i / (SOURCES / 4) + 1);
}

static _Atomic uint32_t told_by[2000];
static void count(torque_source source, const struct torque_path_event *event, void *arg) {
  (void)source, (void)event;
  atomic_fetch_add((_Atomic uint32_t *)arg, 1);
}

static void thousands_of_directories(void **state) {
  struct fixture *f = *state;
  const int n = FEWER(2000);
  const char *d = scratch(f);
  const unsigned descriptors = descriptors_open();
  torque_source *s = fixture_take(f, sizeof *s * 2000);
  char name[400];
  for (int i = 0; i < n; i++) {
    atomic_store(&told_by[i], 0);
    snprintf(name, sizeof name, "%s/%d", d, i);
    make_folder(name);
    assert_int_equal(
        torque_path_add(f->ctx, name, TORQUE_PATH_CREATED, 0, count, (void *)(uintptr_t)&told_by[i], &s[i]), 0);
  }
  assert_true(descriptors_open() <= descriptors + 1); /* for all of them */
  for (int i = 0; i < n; i++) {
    snprintf(name, sizeof name, "%s/%d/a", d, i);
    make_file(name);
  }
  for (int i = 0; i < n; i++) AWAIT(f, told_by[i]);
  for (int i = 0; i < n; i += 2) assert_int_equal(torque_source_remove(s[i]), 0);
  for (int i = 0; i < n; i++) {
    snprintf(name, sizeof name, "%s/%d/b", d, i);
    make_file(name);
  }
  for (int i = 1; i < n; i += 2) AWAIT(f, told_by[i] == 2);
  fixture_settle(f);
  for (int i = 0; i < n; i += 2) assert_int_equal(told_by[i], 1);
  for (int i = 1; i < n; i += 2) assert_int_equal(torque_source_remove_wait(s[i]), 0);
  fixture_settle(f);
  assert_int_equal(descriptors_open(), descriptors);
}

/* ---- What is refused ---- */

static torque_err add(struct fixture *f, const char *path, uint32_t mask, uint32_t flags, torque_path_fn *fn) {
  torque_source s = 5;
  const torque_err err = torque_path_add(f->ctx, path, mask, flags, fn, NULL, &s);
  assert_true(err && s == 5);
  return err;
}

static void wrong_arguments(void **state) {
  struct fixture *f = *state;
  const char *d = scratch(f);
  torque_source s = 5;
  assert_int_equal(torque_path_add(NULL, d, PATH_ALL, 0, count, NULL, &s), TORQUE_ERR_INVAL);
  assert_int_equal(torque_path_add(f->ctx, d, PATH_ALL, 0, count, NULL, NULL), TORQUE_ERR_INVAL);
  assert_int_equal(torque_path_new(f->ctx, d, PATH_ALL, 0, count, NULL, NULL), TORQUE_ERR_INVAL);
  assert_int_equal(add(f, NULL, PATH_ALL, 0, count), TORQUE_ERR_INVAL);
  assert_int_equal(add(f, "", PATH_ALL, 0, count), TORQUE_ERR_INVAL);
  assert_int_equal(add(f, d, 0, 0, count), TORQUE_ERR_INVAL);
  assert_int_equal(add(f, d, TORQUE_PATH_OVERFLOW, 0, count), TORQUE_ERR_INVAL);
  assert_int_equal(add(f, d, PATH_ALL, 0x10, count), TORQUE_ERR_INVAL);
  assert_int_equal(add(f, d, PATH_ALL, 0, NULL), TORQUE_ERR_INVAL);
  assert_int_equal(torque_path_event_mask(NULL), 0);
  assert_string_equal(torque_path_event_name(NULL), "");
}

static void paths_that_lead_nowhere(void **state) {
  struct fixture *f = *state;
  const char *d = scratch(f);
  char longest[PATH_MAX + 10];
  memset(longest, 'x', sizeof longest - 1);
  longest[sizeof longest - 1] = 0;
  make_file(in(f, d, "file"));
  assert_int_equal(symlink("loop", in(f, d, "loop")), 0);
  assert_int_equal(add(f, in(f, d, "nothing"), PATH_ALL, 0, count), TORQUE_ERR_SYSCALL + ENOENT);
  assert_int_equal(add(f, in(f, d, "nothing"), PATH_ALL, TORQUE_PATH_RECURSIVE, count), TORQUE_ERR_SYSCALL + ENOENT);
  assert_int_equal(add(f, in(f, d, "file/below"), PATH_ALL, 0, count), TORQUE_ERR_SYSCALL + ENOTDIR);
  assert_int_equal(add(f, in(f, d, "file"), PATH_ALL, TORQUE_PATH_ONLYDIR, count), TORQUE_ERR_SYSCALL + ENOTDIR);
  assert_int_equal(add(f, in(f, d, "file"), PATH_ALL, TORQUE_PATH_RECURSIVE, count), TORQUE_ERR_SYSCALL + ENOTDIR);
  assert_int_equal(add(f, in(f, d, "loop"), PATH_ALL, 0, count), TORQUE_ERR_SYSCALL + ELOOP);
  assert_int_equal(add(f, longest, PATH_ALL, 0, count), TORQUE_ERR_SYSCALL + ENAMETOOLONG);
  assert_int_equal(add(f, longest + 100, PATH_ALL, 0, count), TORQUE_ERR_SYSCALL + ENAMETOOLONG);
  /* In two steps: the start finds out, and may be tried again. */
  struct seen *s = seen_new(f);
  const char *late = in(f, d, "late");
  torque_source source;
  assert_int_equal(torque_path_new(f->ctx, late, PATH_ALL, 0, count, &told_by[0], &source), 0);
  s->source = source;
  assert_int_equal(torque_source_start(s->source), TORQUE_ERR_SYSCALL + ENOENT);
  assert_int_equal(torque_source_alive(s->source), 1);
  make_file(late);
  atomic_store(&told_by[0], 0);
  assert_int_equal(torque_source_start(s->source), 0);
  assert_int_equal(torque_source_start(s->source), TORQUE_ERR_STATE);
  make_file(late);
  AWAIT(f, told_by[0] >= 2);
  assert_int_equal(torque_close(s->source), TORQUE_ERR_KIND);
  assert_int_equal(torque_trigger(s->source, TORQUE_READ), TORQUE_ERR_KIND);
  assert_int_equal(torque_source_remove(s->source), 0);
}

/* ---- The original's call ---- */

static _Atomic uint32_t original_calls, original_events;
static void on_original(int events, void *state) {
  atomic_fetch_or((_Atomic uint32_t *)state, (uint32_t)events);
  atomic_fetch_add(&original_calls, 1);
}

static void as_in_the_original(void **state) {
  struct fixture *f = *state;
  const char *d = scratch(f);
  atomic_store(&original_calls, 0), atomic_store(&original_events, 0);
  assert_int_equal(torque_addpath(f->ctx, NULL, on_original, NULL), TORQUE_ERR_INVAL);
  assert_int_equal(torque_addpath(f->ctx, d, NULL, NULL), TORQUE_ERR_INVAL);
  assert_int_equal(torque_addpath(f->ctx, in(f, d, "no"), on_original, NULL), TORQUE_ERR_SYSCALL + ENOENT);
  assert_int_equal(torque_addpath(f->ctx, d, on_original, &original_events), 0);
  make_file(in(f, d, "a"));
  AWAIT(f, original_calls == 3);
  assert_int_equal(original_events, TORQUE_PATH_CREATED | TORQUE_PATH_MODIFIED | TORQUE_PATH_WRITTEN);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      ON_EVERY(what_happens_in_a_directory),
      ON_EVERY(only_what_was_asked_for),
      ON_EVERY(a_file),
      ON_EVERY(a_directory_itself),
      ON_EVERY(in_and_out),
      ON_EVERY(hundreds_out),
      ON_EVERY(names_of_a_relative_path),
      ON_EVERY(links),
      ON_EVERY(what_was_unlinked),
      ON(live, thousands_in_order),
      ON(driven, thousands_in_order),
      ON_EVERY(many_sources_of_one_directory),
      ON(synthetic, thousands_of_directories),
      ON(driven, thousands_of_directories),
      ON_EVERY(wrong_arguments),
      ON_EVERY(paths_that_lead_nowhere),
      ON_EVERY(as_in_the_original),
  };
  return cmocka_run_group_tests(tests, scratch_up, scratch_down);
}
