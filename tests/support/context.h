/* SPDX-License-Identifier: BSD-3-Clause */
/* Contexts for tests: made before each test, stopped after it, with nothing left behind.
 *
 * A shape says what context a test runs on; ON_THREADED, ON_EVERY and ON(shape, ...) list a test once for each shape.
 * The fixture owns what a test makes (descriptors, threads, memory), because a failing assertion leaves by longjmp. */
#ifndef TORQUE_TESTS_CONTEXT_H
#define TORQUE_TESTS_CONTEXT_H

#include <libtorque/torque.h>

#include <pthread.h>
#include <stdatomic.h>
#include <stddef.h>
#include <stdint.h>
#include <time.h>

#if defined(__SANITIZE_ADDRESS__) || defined(__SANITIZE_THREAD__)
#define SANITIZED 1
#define FEWER(n) ((n) / 10)
#else
#define SANITIZED 0
#define FEWER(n) (n)
#endif

struct shape {
  const char *name;
  const char *synthetic; /* hwloc's notation; null: this machine */
  uint32_t workers;      /* 0: as the map says */
  uint32_t sharing;
  uint32_t window; /* 0: as the library likes */
  int driven;
  int poll_deadline;
  int oneshot;
  int counted; /* memory through the fixture's allocator, which counts */
};

extern const struct shape shape_live;      /* this machine, all defaults */
extern const struct shape shape_synthetic; /* 2 domains x 4 workers, whatever the machine has */
extern const struct shape shape_oneshot;   /* the same with the kernel's one-shot for every source */
extern const struct shape shape_shared;    /* 1 domain x 8 workers */
extern const struct shape shape_single;    /* 1 worker */
extern const struct shape shape_driven;
extern const struct shape shape_polled; /* driven, and its descriptor tells of timers too */

#define MOST_DESCRIPTORS 20000
#define MOST_THREADS 64

struct fixture {
  const struct shape *shape;
  struct torque_ctx *ctx; /* null once the test has stopped it */

  /* What the context has taken from the fixture's allocator. */
  _Atomic uint64_t bytes;
  _Atomic uint64_t blocks;

  _Atomic int quit; /* set before the fixture's threads are joined */

  unsigned descriptors_before;
  unsigned threads_before;
  unsigned threads;
  pthread_t thread[MOST_THREADS];
  void *owned_memory;
  unsigned char owned[MOST_DESCRIPTORS];
};

/* CMocka's setup and teardown; the initial state is a shape. Teardown fails when anything is left. */
int fixture_up(void **state);
int fixture_down(void **state);

/* A configuration as the shape says; the caller frees it. */
struct torque_config *shape_config(const struct shape *shape);

/* Stops the context within the test. */
void fixture_stop(struct fixture *f);

/* Memory, zeroed, and threads that last until teardown. Threads look at quit in every loop. */
void *fixture_take(struct fixture *f, size_t size);
void fixture_release(struct fixture *f); /* what was taken; fixture_down() does it too */
void fixture_thread(struct fixture *f, void *(*body)(void *), void *arg);
void fixture_join(struct fixture *f); /* now, without setting quit */

/* Non-blocking descriptors that are closed at teardown unless fixture_close() or fixture_disown() came first. */
void fixture_pair(struct fixture *f, int fd[2]); /* stream sockets, connected to each other */
void fixture_pipe(struct fixture *f, int fd[2]);
void fixture_tcp(struct fixture *f, int fd[2]); /* the same over loopback */
void fixture_own(struct fixture *f, int fd);
void fixture_disown(struct fixture *f, int fd);
void fixture_close(struct fixture *f, int fd);

/* A chance for what must not happen: all that is ready is served, several times over. */
void fixture_settle(struct fixture *f);

/* One step of waiting: runs a driven context, lets a threaded one work. 0: 30 s are over. */
struct patience {
  struct timespec until;
};
struct patience patience_start(void);
int patience_left(const struct patience *p);
int fixture_step(struct fixture *f, const struct patience *p);

/* On the test's thread: waits until condition holds; the test fails if it never does. */
#define AWAIT(f, condition)                                                                  \
  do {                                                                                       \
    struct patience patience_ = patience_start();                                            \
    while (!(condition))                                                                     \
      if (!fixture_step((f), &patience_)) fixture_gave_up(#condition, __FILE__, __LINE__);   \
  } while (0)
void fixture_gave_up(const char *condition, const char *file, int line);

/* In callbacks and other threads: stays until condition holds, or 30 s are over; the test finds out by itself. */
#define STAY_UNTIL(condition) \
  for (struct patience patience_ = patience_start(); !(condition) && patience_left(&patience_);) nap()
void nap(void);

/* Bytes into a descriptor; bytes out of it until it is empty, and *ret_end (may be null) 1 at its end. */
void say(int fd, size_t bytes);
size_t drain(int fd, int *ret_end);
uint64_t monotonic_ns(void);
unsigned descriptors_open(void);
unsigned threads_alive(void);
uint64_t stat_total(struct torque_ctx *ctx, const char *name);

#define ON(name, test) \
  { #test " on " #name, test, fixture_up, fixture_down, (void *)(uintptr_t)&shape_##name }
#define ON_THREADED(test) ON(live, test), ON(synthetic, test), ON(oneshot, test)
#define ON_EVERY(test) ON_THREADED(test), ON(driven, test)

#endif
