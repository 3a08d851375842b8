/* SPDX-License-Identifier: BSD-3-Clause */
/* The smallest useful user of libevent: a descriptor, a timeout, and two buffers of the layer above the core. Prints which
 * library it ran on when all of it worked. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <event2/buffer.h>
#include <event2/bufferevent.h>
#include <event2/event.h>
#include <stdio.h>
#include <unistd.h>

struct seen {
  int reads;
  int timeouts;
  int buffered;
};

static void on_readable(evutil_socket_t fd, short events, void *arg) {
  char byte;
  struct seen *seen = arg;
  seen->reads += (events & EV_READ) != 0 && read(fd, &byte, 1) == 1;
}

static void on_timeout(evutil_socket_t fd, short events, void *arg) {
  struct seen *seen = arg;
  (void)fd;
  seen->timeouts += (events & EV_TIMEOUT) != 0;
}

static void on_buffered(struct bufferevent *end, void *arg) {
  struct seen *seen = arg;
  seen->buffered += (int)evbuffer_get_length(bufferevent_get_input(end));
}

static int works(struct event_base *base, const int ends[2]) {
  struct seen seen = {0, 0, 0};
  struct bufferevent *pair[2];
  struct timeval soon = {0, 1000};
  struct event *readable = event_new(base, ends[0], EV_READ, on_readable, &seen);
  struct event *timeout = evtimer_new(base, on_timeout, &seen);
  if (bufferevent_pair_new(base, 0, pair)) return 0;
  bufferevent_setcb(pair[1], on_buffered, NULL, NULL, &seen);
  bufferevent_enable(pair[1], EV_READ);
  bufferevent_write(pair[0], "four", 4);
  event_add(readable, NULL);
  event_add(timeout, &soon);
  if (write(ends[1], "x", 1) != 1) return 0;
  event_base_dispatch(base);
  bufferevent_free(pair[0]);
  bufferevent_free(pair[1]);
  event_free(readable);
  event_free(timeout);
  return seen.reads == 1 && seen.timeouts == 1 && seen.buffered == 4;
}

int main(void) {
  int ends[2];
  Dl_info library;
  struct event_base *base = event_base_new();
  if (!base || pipe(ends)) return 1;
  if (!works(base, ends)) return 2;
  event_base_free(base);
  if (!dladdr(dlsym(RTLD_DEFAULT, "event_base_loop"), &library)) return 3;
  printf("%s\n", library.dli_fname);
  return 0;
}
