/* SPDX-License-Identifier: BSD-3-Clause */
/* A user of libevent's core alone: linked --as-needed, nothing of libevent itself may come with it. Prints which library
 * it ran on. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <event2/event.h>
#include <stdio.h>

static void on_timeout(evutil_socket_t fd, short events, void *arg) {
  int *timeouts = arg;
  (void)fd;
  *timeouts += (events & EV_TIMEOUT) != 0;
}

int main(void) {
  int timeouts = 0;
  Dl_info library;
  struct timeval soon = {0, 1000};
  struct event_base *base = event_base_new();
  struct event *timeout = base ? event_new(base, -1, 0, on_timeout, &timeouts) : NULL;
  if (!timeout || event_add(timeout, &soon)) return 1;
  if (event_base_dispatch(base) != 1 || timeouts != 1) return 2;
  event_free(timeout);
  event_base_free(base);
  if (!dladdr(dlsym(RTLD_DEFAULT, "event_base_loop"), &library)) return 3;
  printf("%s\n", library.dli_fname);
  return 0;
}
