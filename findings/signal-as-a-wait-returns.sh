#!/bin/sh
# SPDX-License-Identifier: BSD-3-Clause
# libev 4.33 and libevent 2.1.12 of Debian 12 (libev4 1:4.33-1, libevent-core-2.1-7 2.1.12-stable-8+deb12u1), Linux 6.18.
#
# What one might think: a signal whose handler has run before any callback of a pass is told in that pass, and first of all
# if its priority is the highest; and EVRUN_ONCE, or EVLOOP_ONCE, that returns after it has told it.
#
# What happens: both write the signal into a pipe or socket pair, and the wait that is over has not seen that. A handler
# that runs as epoll_wait() returns with a descriptor (the usual case when both came while the process was not scheduled)
# is told in the next pass: the descriptor's callback comes first whatever the priorities, and a loop that runs once
# returns with the signal untold. A program that reaps children in one callback and reads their pipes in another counts on
# that order without knowing it.
#
# The signal is raised from the hooks that both libraries have around the wait: ev_set_loop_release_cb(), and a lock
# function given to evthread_set_lock_callbacks().
#
# Output seen: "late_ev: descriptor, once; signal, descriptor, once", "late_event: descriptor, once; descriptor, signal, once".
set -eu
ev=1:4.33-1 event=2.1.12-stable-8+deb12u1
work=$(mktemp -d)
trap 'rm -rf "$work"' EXIT
cd "$work"
apt-get download -q "libev4=$ev" "libev-dev=$ev" "libevent-core-2.1-7=$event" "libevent-dev=$event" >/dev/null
for package in *.deb; do dpkg-deb -x "$package" root; done
cat >late_ev.c <<'C'
#include <ev.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>
static int late;
static void release(struct ev_loop *l) { (void)l; }
static void acquire(struct ev_loop *l) { (void)l; if (late) late = 0, raise(SIGUSR1); }
static void on_io(struct ev_loop *l, ev_io *w, int e) { (void)l, (void)w, (void)e; printf("descriptor, "); }
static void on_signal(struct ev_loop *l, ev_signal *w, int e) { (void)l, (void)w, (void)e; printf("signal, "); }
int main(void) {
  struct ev_loop *loop = ev_default_loop(0);
  int ends[2];
  ev_io io;
  ev_signal sig;
  if (pipe(ends) || write(ends[1], "x", 1) != 1) return 1;
  ev_io_init(&io, on_io, ends[0], EV_READ);
  ev_signal_init(&sig, on_signal, SIGUSR1);
  ev_set_priority(&sig, EV_MAXPRI);
  ev_io_start(loop, &io);
  ev_signal_start(loop, &sig);
  ev_set_loop_release_cb(loop, release, acquire);
  late = 1;
  ev_run(loop, EVRUN_ONCE);
  printf("once; ");
  ev_run(loop, EVRUN_ONCE);
  printf("once\n");
  return 0;
}
C
cat >late_event.c <<'C'
#include <event2/event.h>
#include <event2/thread.h>
#include <signal.h>
#include <stdio.h>
#include <unistd.h>
static char made[64], *newest = made, *of_base;
static int takes, late;
static void *make(unsigned kind) { (void)kind; return ++newest; }
static void give(void *lock, unsigned kind) { (void)lock, (void)kind; }
static int take(unsigned mode, void *lock) {
  (void)mode;
  if (late && lock == of_base && ++takes == 2) late = 0, raise(SIGUSR1); /* the loop takes it again after the wait */
  return 0;
}
static int leave(unsigned mode, void *lock) { (void)mode, (void)lock; return 0; }
static unsigned long one_thread(void) { return 1; }
static void on_io(evutil_socket_t fd, short what, void *arg) { (void)fd, (void)what, (void)arg; printf("descriptor, "); }
static void on_signal(evutil_socket_t fd, short what, void *arg) { (void)fd, (void)what, (void)arg; printf("signal, "); }
int main(void) {
  struct evthread_lock_callbacks locks = {EVTHREAD_LOCK_API_VERSION, EVTHREAD_LOCKTYPE_RECURSIVE, make, give, take, leave};
  int ends[2];
  evthread_set_lock_callbacks(&locks);
  evthread_set_id_callback(one_thread);
  struct event_base *base = event_base_new();
  of_base = newest;
  if (pipe(ends) || write(ends[1], "x", 1) != 1) return 1;
  event_add(event_new(base, ends[0], EV_READ | EV_PERSIST, on_io, NULL), NULL);
  event_add(event_new(base, SIGUSR1, EV_SIGNAL | EV_PERSIST, on_signal, NULL), NULL);
  late = 1;
  event_base_loop(base, EVLOOP_ONCE);
  printf("once; ");
  event_base_loop(base, EVLOOP_ONCE);
  printf("once\n");
  return 0;
}
C
lib=$work/root/usr/lib/x86_64-linux-gnu inc=$work/root/usr/include
cc -w -I"$inc" late_ev.c "$lib/libev.so.4" -lm -o late_ev
cc -w -I"$inc" -I"$inc/x86_64-linux-gnu" late_event.c "$lib/libevent_core-2.1.so.7" -o late_event
seen=$(for program in late_ev late_event; do echo "$program: $(LD_LIBRARY_PATH=$lib ./$program)"; done)
echo "$seen"
[ "$seen" = "late_ev: descriptor, once; signal, descriptor, once
late_event: descriptor, once; descriptor, signal, once" ]
