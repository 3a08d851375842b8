/* SPDX-License-Identifier: BSD-3-Clause */
/* A whole tree: what is new is followed, whatever happens to it meanwhile, and every name is the right one. */
#define _GNU_SOURCE
#include "support/child.h"
#include "support/seen.h"

#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "support/cmocka.h"

/* Told in either way. */
static unsigned appeared(struct seen *s, const char *name) {
  char line[600];
  snprintf(line, sizeof line, "created %s", name);
  const unsigned told = lines_of(s, line);
  snprintf(line, sizeof line, "created+found %s", name);
  return told + lines_of(s, line);
}

static struct seen *see_tree(struct fixture *f, const char *path, uint32_t mask) {
  return see(f, path, mask, TORQUE_PATH_RECURSIVE);
}

static void what_was_there_before(void **state) {
  struct fixture *f = *state;
  const char *d = scratch(f);
  make_folder(in(f, d, "a"));
  make_folder(in(f, d, "a/b"));
  make_folder(in(f, d, "a/b/c"));
  make_file(in(f, d, "a/file"));
  struct seen *s = see_tree(f, d, PATH_ALL);
  assert_page(f, s, ""); /* is not told */
  make_file(in(f, d, "a/b/c/new"));
  assert_page(f, s, "created a/b/c/new\nmodified a/b/c/new\nwritten a/b/c/new\n");
  assert_int_equal(chmod(in(f, d, "a/b"), 0755), 0);
  assert_page(f, s, "attributes a/b/\n"); /* once */
  assert_int_equal(rename(in(f, d, "a/file"), in(f, d, "a/b/c/file")), 0);
  assert_page(f, s, "renamed a/b/c/file <- a/file\n");
  assert_sound(s);
}

static void what_comes_later(void **state) {
  struct fixture *f = *state;
  const char *d = scratch(f);
  struct seen *s = see_tree(f, d, PATH_NAMES);
  make_folder(in(f, d, "a"));
  AWAIT(f, appeared(s, "a/"));
  fixture_settle(f);
  make_folder(in(f, d, "a/b"));
  fixture_settle(f);
  make_file(in(f, d, "a/b/file"));
  assert_page(f, s, "created a/\ncreated a/b/\ncreated a/b/file\n");
  assert_int_equal(unlink(in(f, d, "a/b/file")), 0);
  assert_int_equal(rmdir(in(f, d, "a/b")), 0);
  assert_int_equal(rmdir(in(f, d, "a")), 0);
  assert_page(f, s, "deleted a/b/file\ndeleted a/b/\ndeleted a/\n");
  make_folder(in(f, d, "a"));
  AWAIT(f, appeared(s, "a/"));
  fixture_settle(f);
  make_file(in(f, d, "a/file"));
  AWAIT(f, appeared(s, "a/file"));
  assert_sound(s);
}

/* Whole branches in one go: nothing in them is missed, however deep. */
static void branches_that_come_at_once(void **state) {
  struct fixture *f = *state;
  enum { BRANCHES = 20, DEPTH = 12 };
  const char *d = scratch(f);
  struct seen *s = see_tree(f, d, TORQUE_PATH_CREATED);
  char name[400];
  for (int b = 0; b < BRANCHES; b++) {
    int length = snprintf(name, sizeof name, "%d", b);
    for (int n = 0; n < DEPTH; n++) {
      make_folder(in(f, d, name));
      make_file(in(f, in(f, d, name), "file"));
      length += snprintf(name + length, sizeof name - (size_t)length, "/%d", n);
    }
  }
  for (int b = 0; b < BRANCHES; b++) {
    int length = snprintf(name, sizeof name, "%d", b);
    for (int n = 0; n < DEPTH; n++) {
      snprintf(name + length, sizeof name - (size_t)length, "/");
      AWAIT(f, appeared(s, name));
      assert_int_equal(appeared(s, name), 1); /* a directory: once */
      snprintf(name + length, sizeof name - (size_t)length, "/file");
      AWAIT(f, appeared(s, name));
      assert_in_range(appeared(s, name), 1, 2);
      length += snprintf(name + length, sizeof name - (size_t)length, "/%d", n);
    }
  }
  assert_int_equal(s->overflows, 0);
  assert_int_equal(s->failures, 0);
  assert_sound(s);
}

/* Driven: nothing is looked at before all has happened. */
static void found_when_it_is_looked_at(void **state) {
  struct fixture *f = *state;
  const char *d = scratch(f);
  struct seen *all = see_tree(f, d, PATH_ALL), *names = see_tree(f, d, TORQUE_PATH_WRITTEN),
              *none = see_tree(f, d, TORQUE_PATH_DELETED);
  make_folder(in(f, d, "a"));
  make_file(in(f, d, "a/file"));
  make_folder(in(f, d, "a/b"));
  make_file(in(f, d, "a/b/file"));
  assert_page(f, none, "");
  AWAIT(f, lines_of(all, "created+found a/b/file"));
  fixture_settle(f);
  assert_int_equal(lines_of(all, "created a/"), 1);
  assert_int_equal(lines_of(all, "created+found a/file"), 1);
  assert_int_equal(lines_of(all, "created+found a/b/"), 1);
  assert_int_equal(all->calls, 4);
  /* Who waits for what is written hears of it as well. */
  assert_int_equal(lines_of(names, "created+found a/file"), 1);
  assert_int_equal(names->calls, 3);
}

static void directories_that_are_renamed(void **state) {
  struct fixture *f = *state;
  const char *d = scratch(f);
  make_folder(in(f, d, "a"));
  make_folder(in(f, d, "a/b"));
  make_folder(in(f, d, "c"));
  struct seen *s = see_tree(f, d, PATH_NAMES);
  assert_int_equal(rename(in(f, d, "a"), in(f, d, "c/a2")), 0);
  assert_page(f, s, "renamed c/a2/ <- a/\n");
  make_file(in(f, d, "c/a2/b/file"));
  assert_page(f, s, "created c/a2/b/file\n");
  make_folder(in(f, d, "a")); /* another one of the old name */
  make_folder(in(f, d, "a/b"));
  AWAIT(f, appeared(s, "a/b/"));
  fixture_settle(f);
  make_file(in(f, d, "a/b/file"));
  make_file(in(f, d, "c/a2/b/file2"));
  AWAIT(f, appeared(s, "a/b/file") && appeared(s, "c/a2/b/file2"));
  fixture_settle(f);
  new_page(s);
  /* Over an empty one, and two that change places. */
  make_folder(in(f, d, "empty"));
  assert_page(f, s, "created empty/\n");
  assert_int_equal(rename(in(f, d, "c"), in(f, d, "empty")), 0);
  assert_page(f, s, "renamed empty/ <- c/\n");
  assert_int_equal(renameat2(AT_FDCWD, in(f, d, "a"), AT_FDCWD, in(f, d, "empty"), RENAME_EXCHANGE), 0);
  assert_page(f, s, "renamed empty/ <- a/\ncreated+found a/\nrenamed a/ <- empty/\ncreated+found empty/\n");
  make_file(in(f, d, "a/a2/b/x"));
  make_file(in(f, d, "empty/b/y"));
  make_file(in(f, d, "empty/z"));
  assert_page(f, s, "created a/a2/b/x\ncreated empty/b/y\ncreated empty/z\n");
  assert_sound(s);
}

static void directories_that_come_and_go(void **state) {
  struct fixture *f = *state;
  const char *d = scratch(f), *elsewhere = scratch(f);
  make_folder(in(f, d, "a"));
  make_folder(in(f, d, "a/b"));
  struct seen *s = see_tree(f, d, PATH_NAMES);
  assert_int_equal(rename(in(f, d, "a"), in(f, elsewhere, "a")), 0);
  assert_page(f, s, "moved-out a/\n");
  make_file(in(f, elsewhere, "a/b/file"));
  make_folder(in(f, elsewhere, "a/c"));
  assert_page(f, s, "");
  assert_int_equal(rename(in(f, elsewhere, "a"), in(f, d, "again")), 0);
  AWAIT(f, appeared(s, "again/b/file"));
  fixture_settle(f);
  assert_int_equal(lines_of(s, "moved-in again/"), 1);
  assert_int_equal(lines_of(s, "created+found again/b/"), 1);
  assert_int_equal(lines_of(s, "created+found again/c/"), 1);
  assert_int_equal(lines_of(s, "created+found again/b/file"), 1);
  assert_int_equal(s->calls, 5);
  make_file(in(f, d, "again/b/file2"));
  AWAIT(f, appeared(s, "again/b/file2"));
  assert_sound(s);
}

static void the_top_is_moved_and_deleted(void **state) {
  struct fixture *f = *state;
  const char *d = scratch(f), *top = in(f, d, "top"), *other = in(f, d, "other");
  make_folder(top);
  make_folder(in(f, top, "a"));
  struct seen *s = see_tree(f, top, PATH_NAMES);
  assert_int_equal(rename(top, other), 0);
  assert_page(f, s, "self-moved .\n");
  make_folder(top); /* another one is no business of it */
  make_folder(in(f, top, "a"));
  make_file(in(f, top, "a/file"));
  make_file(in(f, other, "a/file"));
  assert_page(f, s, "created a/file\n");
  remove_tree(other);
  assert_page(f, s, "deleted a/file\ndeleted a/\nself-deleted .\n");
  assert_sound(s);
}

static void two_trees_in_one_another(void **state) {
  struct fixture *f = *state;
  const char *d = scratch(f);
  make_folder(in(f, d, "a"));
  make_folder(in(f, d, "a/b"));
  struct seen *outer = see_tree(f, d, PATH_NAMES), *inner = see_tree(f, in(f, d, "a"), PATH_NAMES);
  make_file(in(f, d, "a/b/file"));
  assert_page(f, outer, "created a/b/file\n");
  assert_page(f, inner, "created b/file\n");
  assert_int_equal(rename(in(f, d, "a/b"), in(f, d, "b")), 0);
  assert_page(f, outer, "renamed b/ <- a/b/\n");
  assert_page(f, inner, "moved-out b/\n");
  make_file(in(f, d, "b/file2"));
  assert_page(f, outer, "created b/file2\n");
  assert_page(f, inner, "");
  assert_int_equal(torque_source_remove_wait(outer->source), 0);
  assert_int_equal(rename(in(f, d, "b"), in(f, d, "a/b")), 0);
  AWAIT(f, appeared(inner, "b/file") && appeared(inner, "b/file2"));
  assert_sound(inner);
}

/* Links to directories are not followed, so a tree that leads back into itself has an end. */
static void links_in_it(void **state) {
  struct fixture *f = *state;
  const char *d = scratch(f), *elsewhere = scratch(f);
  make_folder(in(f, d, "a"));
  assert_int_equal(symlink("..", in(f, d, "a/up")), 0);
  assert_int_equal(symlink(elsewhere, in(f, d, "a/out")), 0);
  struct seen *s = see_tree(f, d, PATH_NAMES);
  make_file(in(f, elsewhere, "file"));
  assert_int_equal(symlink(elsewhere, in(f, d, "a/out2")), 0);
  make_file(in(f, d, "file"));
  assert_page(f, s, "created a/out2\ncreated file\n");
}

/* Somebody with fewer rights than root, who may read everything. */
static uid_t lower(const char *d) {
  const uid_t before = geteuid();
  if (before == 0) {
    assert_int_equal(chown(d, 65534, (gid_t)-1), 0);
    assert_int_equal(seteuid(65534), 0);
  }
  return before;
}

static void one_that_must_not_be_read(void **state) {
  struct fixture *f = *state;
  const char *d = scratch(f);
  const uid_t before = lower(d);
  make_folder(in(f, d, "a"));
  make_folder(in(f, d, "a/b"));
  assert_int_equal(chmod(in(f, d, "a"), 0), 0);
  struct seen *s = see_tree(f, d, PATH_NAMES);
  AWAIT(f, s->failures == 1);
  const int32_t error = s->error;
  assert_int_equal(mkdir(in(f, d, "c"), 0), 0);
  AWAIT(f, s->failures == 2);
  make_folder(in(f, d, "e"));
  AWAIT(f, appeared(s, "e/"));
  assert_int_equal(seteuid(before), 0);
  assert_int_equal(error, EACCES);
  assert_page(f, s, "failed a/\ncreated c/\nfailed c/\ncreated e/\n");
}

/* ---- More than can be kept ---- */

static void flood(const char *d) {
  char name[400];
  snprintf(name, sizeof name, "%s/flood", d);
  for (int i = 0; i < 10000; i++) {
    make_file(name);
    assert_int_equal(unlink(name), 0);
  }
}

/* Nothing is read meanwhile, so that the kernel's queue overflows. */
static void after_an_overflow_it_is_whole(void **state) {
  struct fixture *f = *state;
  const char *d = scratch(f);
  make_folder(in(f, d, "goes"));
  make_folder(in(f, d, "goes/too"));
  make_folder(in(f, d, "stays"));
  make_folder(in(f, d, "stays/too"));
  struct seen *s = see_tree(f, d, PATH_NAMES), *flat = see(f, in(f, d, "stays"), PATH_NAMES, 0);
  flood(d);
  make_folder(in(f, d, "new"));
  make_folder(in(f, d, "new/too"));
  make_file(in(f, d, "new/too/file"));
  remove_tree(in(f, d, "goes"));
  assert_int_equal(rename(in(f, d, "stays"), in(f, d, "is elsewhere")), 0);
  AWAIT(f, s->overflows == 1 && flat->overflows == 1);
  fixture_settle(f);
  new_page(s), new_page(flat);
  make_file(in(f, d, "new/too/file2"));
  make_file(in(f, d, "is elsewhere/too/file"));
  make_file(in(f, d, "is elsewhere/file"));
  make_folder(in(f, d, "goes"));
  assert_page(f, s, "created new/too/file2\ncreated is elsewhere/too/file\ncreated is elsewhere/file\ncreated goes/\n");
  make_file(in(f, d, "goes/file"));
  assert_page(f, s, "created goes/file\n");
  assert_int_equal(s->failures, 0);
  assert_sound(s);
}

/* What was watched has gone while nobody could be told. */
static void gone_in_an_overflow(void **state) {
  struct fixture *f = *state;
  const char *d = scratch(f), *a = in(f, d, "a"), *b = in(f, d, "b");
  make_folder(a);
  make_folder(b);
  struct seen *gone = see_tree(f, a, PATH_NAMES), *another = see(f, b, PATH_NAMES, 0), *busy = see(f, d, PATH_NAMES, 0);
  flood(d);
  assert_int_equal(rmdir(a), 0);
  assert_int_equal(rmdir(b), 0);
  make_folder(b); /* a new one of that name is looked at */
  AWAIT(f, gone->overflows && another->overflows && busy->overflows);
  assert_int_equal(lines_of(gone, "self-deleted ."), 1);
  assert_int_equal(lines_of(another, "self-deleted ."), 0);
  fixture_settle(f);
  new_page(another);
  make_file(in(f, b, "file"));
  assert_page(f, another, "created file\n");
}

/* A callback that takes its time: its own queue is bounded, and the others are not held up. */
static void one_that_is_slow(void **state) {
  struct fixture *f = *state;
  const char *d = scratch(f);
  struct seen *slow = seen_new(f), *quick = see(f, d, TORQUE_PATH_CREATED, 0);
  slow->blocked = 1;
  seen_start(f, slow, d, PATH_ALL | TORQUE_PATH_OPENED, TORQUE_PATH_RECURSIVE);
  char name[400];
  uint32_t files = 0;
  for (; !slow->overflows && files < 60000; files++) {
    snprintf(name, sizeof name, "%s/%0200u", d, files % 4);
    make_file(name);
    assert_int_equal(unlink(name), 0);
    if (files % 500 == 499) AWAIT(f, quick->calls >= files + 1);
    if (files == 5000) atomic_store(&slow->blocked, 0);
  }
  AWAIT(f, quick->calls == files);
  assert_int_equal(quick->overflows, 0);
  assert_int_equal(slow->overflows > 0, 1);
  make_folder(in(f, d, "after"));
  AWAIT(f, lines_of(quick, "created after/"));
  const uint32_t calls = slow->calls;
  make_file(in(f, d, "after/file"));
  AWAIT(f, slow->calls > calls);
}

/* ---- At random ---- */

enum { FOLDERS = 24, STEPS = 400 };

struct storm {
  struct fixture *f;
  const char *top, *outside;
  _Atomic int done;
  uint64_t seed;
};

static unsigned any_folder(uint64_t *seed) { return (unsigned)(next_random(seed) % FOLDERS); }

/* Makes, moves and deletes directories: "0" .. "23", each within another or at the top, or outside. */
static void *blow(void *arg) {
  struct storm *w = arg;
  char from[3][600], to[600];
  for (int step = 0; step < STEPS && !w->f->quit; step++) {
    const unsigned a = any_folder(&w->seed), b = any_folder(&w->seed), c = any_folder(&w->seed);
    snprintf(from[0], sizeof from[0], "%s/%u", w->top, a);
    snprintf(from[1], sizeof from[1], "%s/%u/%u", w->top, b, a);
    snprintf(from[2], sizeof from[2], "%s/%u", w->outside, a);
    const char *old = from[next_random(&w->seed) % 3];
    switch (next_random(&w->seed) % 6) {
      case 0:
      case 1:
        (void)mkdir(old, 0700);
        break;
      case 2:
        (void)rmdir(old);
        break;
      case 3:
        snprintf(to, sizeof to, "%s/%u", next_random(&w->seed) % 4 ? w->top : w->outside, c);
        (void)rename(old, to);
        break;
      case 4:
        snprintf(to, sizeof to, "%s/%u/%u", w->top, c, b);
        (void)rename(old, to);
        break;
      default:
        snprintf(to, sizeof to, "%s/%u/%u", w->top, c, b);
        (void)renameat2(AT_FDCWD, old, AT_FDCWD, to, RENAME_EXCHANGE);
    }
  }
  atomic_store(&w->done, 1);
  return NULL;
}

static const char *mark;
static struct seen *marks_of;
static struct fixture *marks_fixture;
static uint32_t marked;

static void mark_tree(const char *top, const char *below) {
  struct fixture *f = marks_fixture;
  const char *here = *below ? in(f, top, below) : top, *file = in(f, here, mark);
  make_file(file);
  const char *line = *below ? in(f, below, mark) : mark;
  AWAIT(f, appeared(marks_of, line)); /* under its right name */
  assert_int_equal(appeared(marks_of, line), 1);
  marked++;
  for (int i = 0; i < FOLDERS; i++) {
    char name[8];
    struct stat st;
    snprintf(name, sizeof name, "%d", i);
    const char *child = *below ? in(f, below, name) : name;
    if (stat(in(f, top, child), &st) == 0) mark_tree(top, child);
  }
}

static void a_storm(void **state) {
  struct fixture *f = *state;
  struct storm *w = fixture_take(f, sizeof *w);
  w->f = f;
  w->seed = 88172645463325252u;
  w->top = scratch(f);
  w->outside = scratch(f);
  struct seen *s = see_tree(f, w->top, PATH_NAMES);
  for (int round = 0; round < 6; round++) {
    atomic_store(&w->done, 0);
    fixture_thread(f, blow, w);
    AWAIT(f, w->done);
    fixture_join(f);
    char name[16];
    snprintf(name, sizeof name, "over%d", round);
    make_file(in(f, w->top, name)); /* told last */
    AWAIT(f, appeared(s, name));
    fixture_settle(f);
    new_page(s);
    marks_of = s;
    marks_fixture = f;
    marked = 0;
    snprintf(name, sizeof name, "mark%d", round);
    mark = name;
    mark_tree(w->top, "");
    assert_true(marked > 1);
    fixture_settle(f);
  }
  assert_int_equal(s->overflows, 0);
  assert_int_equal(s->failures, 0);
  assert_sound(s);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      ON_EVERY(what_was_there_before),
      ON_EVERY(what_comes_later),
      ON_EVERY(branches_that_come_at_once),
      ON(driven, found_when_it_is_looked_at),
      ON_EVERY(directories_that_are_renamed),
      ON_EVERY(directories_that_come_and_go),
      ON_EVERY(the_top_is_moved_and_deleted),
      ON_EVERY(two_trees_in_one_another),
      ON_EVERY(links_in_it),
      ON_EVERY(one_that_must_not_be_read),
      ON(driven, after_an_overflow_it_is_whole),
      ON(driven, gone_in_an_overflow),
      ON(synthetic, one_that_is_slow),
      ON_EVERY(a_storm),
  };
  return cmocka_run_group_tests(tests, scratch_up, scratch_down);
}
