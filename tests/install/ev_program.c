/* SPDX-License-Identifier: BSD-3-Clause */
/* The smallest useful user of libev: a descriptor and a timer. Prints which library it ran on when all of it worked. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <ev.h>
#include <stdio.h>
#include <unistd.h>

struct seen {
  int reads;
  int timeouts;
};

static void on_readable(struct ev_loop *loop, ev_io *w, int revents) {
  char byte;
  struct seen *seen = w->data;
  seen->reads += (revents & EV_READ) != 0 && read(w->fd, &byte, 1) == 1;
  ev_io_stop(loop, w);
}

static void on_timeout(struct ev_loop *loop, ev_timer *w, int revents) {
  struct seen *seen = w->data;
  (void)loop;
  seen->timeouts += (revents & EV_TIMER) != 0;
}

static int works(struct ev_loop *loop, const int ends[2]) {
  struct seen seen = {0, 0};
  ev_io readable;
  ev_timer timer;
  ev_io_init(&readable, on_readable, ends[0], EV_READ);
  ev_timer_init(&timer, on_timeout, 0.001, 0.);
  readable.data = timer.data = &seen;
  ev_io_start(loop, &readable);
  ev_timer_start(loop, &timer);
  if (write(ends[1], "x", 1) != 1) return 0;
  ev_run(loop, 0);
  return seen.reads == 1 && seen.timeouts == 1;
}

int main(void) {
  int ends[2];
  Dl_info library;
  struct ev_loop *loop = ev_default_loop(0);
  if (!loop || loop != EV_DEFAULT_UC || pipe(ends)) return 1;
  if (ev_version_major() != EV_VERSION_MAJOR || ev_version_minor() != EV_VERSION_MINOR) return 2;
  if (!works(loop, ends)) return 3;
  if (!dladdr(dlsym(RTLD_DEFAULT, "ev_run"), &library)) return 4;
  printf("%s\n", library.dli_fname);
  return 0;
}
