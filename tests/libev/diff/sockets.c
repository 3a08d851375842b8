/* SPDX-License-Identifier: BSD-3-Clause */
/* What sockets, terminals and the system's own descriptors report. */
#include "diff.h"

#include <arpa/inet.h>
#include <netinet/in.h>
#include <pty.h>
#include <sys/epoll.h>
#include <sys/inotify.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <termios.h>

struct seen {
  const char *name;
  int events;
};

static void record(struct ev_loop *loop, ev_io *w, int revents) {
  (void)loop;
  ((struct seen *)w->data)->events |= revents;
}

static void watch(struct ev_loop *loop, ev_io *w, struct seen *seen, int fd, int events) {
  ev_io_init(w, record, fd, events);
  w->data = seen;
  ev_io_start(loop, w);
}

static void look(struct ev_loop *loop, struct seen *seen) {
  seen->events = 0;
  turns(loop, 2);
  trace("%s: %s", seen->name, bits(seen->events));
}

/* Until something is seen: what goes over a network is not there at once. */
static void await(struct ev_loop *loop, struct seen *seen, int events) {
  seen->events = 0;
  for (int i = 0; i < 1000 && (seen->events & events) != events; i++) {
    ev_sleep(0.005);
    turn(loop);
  }
  trace("%s: %s", seen->name, bits(seen->events));
}

static int tcp(void) {
  int fd = socket(AF_INET, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  NEED(fd >= 0);
  return fd;
}

static struct sockaddr_in bound(int fd) {
  struct sockaddr_in address = {.sin_family = AF_INET, .sin_addr = {htonl(INADDR_LOOPBACK)}};
  socklen_t size = sizeof address;
  NEED(!bind(fd, (struct sockaddr *)&address, size));
  NEED(!getsockname(fd, (struct sockaddr *)&address, &size));
  return address;
}

static int error_of(int fd) {
  int error = 0;
  socklen_t size = sizeof error;
  NEED(!getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size));
  return error;
}

static int connected(struct ev_loop *loop, int ends[2]) {
  struct seen accepting = {"listener", 0}, connecting = {"connecting", 0};
  ev_io l, c;
  int listener = tcp();
  struct sockaddr_in address = bound(listener);
  NEED(!listen(listener, 8));
  watch(loop, &l, &accepting, listener, EV_READ);
  look(loop, &accepting);
  ends[0] = tcp();
  int made = connect(ends[0], (struct sockaddr *)&address, sizeof address);
  NEED(!made || errno == EINPROGRESS);
  watch(loop, &c, &connecting, ends[0], EV_WRITE);
  await(loop, &accepting, EV_READ);
  await(loop, &connecting, EV_WRITE);
  trace("error: %d", error_of(ends[0]));
  ends[1] = accept4(listener, NULL, NULL, SOCK_NONBLOCK | SOCK_CLOEXEC);
  NEED(ends[1] >= 0);
  look(loop, &accepting);
  ev_io_stop(loop, &l);
  ev_io_stop(loop, &c);
  return listener;
}

CASE(a_connection_over_the_network) {
  struct ev_loop *loop = new_loop(0);
  struct seen seen = {"server side", 0};
  ev_io w;
  int ends[2], listener = connected(loop, ends);
  watch(loop, &w, &seen, ends[1], EV_READ);
  look(loop, &seen);
  put(ends[0], 10);
  await(loop, &seen, EV_READ);
  trace("%d bytes", drain(ends[1]));
  look(loop, &seen);
  NEED(!shutdown(ends[0], SHUT_WR));
  await(loop, &seen, EV_READ);
  ev_io_stop(loop, &w);
  close_both(ends);
  close(listener);
  ev_loop_destroy(loop);
}

CASE(a_connection_that_is_refused) {
  struct ev_loop *loop = new_loop(0);
  struct seen seen = {"connecting", 0};
  ev_io w;
  int nobody = tcp(), fd = tcp();
  struct sockaddr_in address = bound(nobody); /* bound, and nobody listens */
  int made = connect(fd, (struct sockaddr *)&address, sizeof address);
  NEED(made && (errno == EINPROGRESS || errno == ECONNREFUSED));
  watch(loop, &w, &seen, fd, EV_READ | EV_WRITE);
  await(loop, &seen, EV_READ | EV_WRITE);
  ev_io_stop(loop, &w);
  ev_io_set(&w, fd, EV_WRITE);
  ev_io_start(loop, &w);
  look(loop, &seen);
  ev_io_stop(loop, &w);
  close(fd);
  close(nobody);
  ev_loop_destroy(loop);
}

CASE(a_connection_that_is_reset) {
  struct ev_loop *loop = new_loop(0);
  struct seen seen = {"server side", 0};
  struct linger now = {1, 0};
  ev_io w;
  char byte;
  int ends[2], listener = connected(loop, ends);
  watch(loop, &w, &seen, ends[1], EV_READ);
  look(loop, &seen);
  NEED(!setsockopt(ends[0], SOL_SOCKET, SO_LINGER, &now, sizeof now));
  close(ends[0]);
  await(loop, &seen, EV_READ);
  ssize_t got = read(ends[1], &byte, 1);
  trace("read: %d %s", (int)got, got < 0 ? strerror(errno) : "");
  look(loop, &seen);
  ev_io_stop(loop, &w);
  close(ends[1]);
  close(listener);
  ev_loop_destroy(loop);
}

CASE(a_socket_that_is_not_connected) {
  struct ev_loop *loop = new_loop(0);
  struct seen seen = {"socket", 0};
  ev_io w;
  int fd = tcp();
  watch(loop, &w, &seen, fd, EV_READ | EV_WRITE);
  look(loop, &seen);
  ev_io_stop(loop, &w);
  close(fd);
  ev_loop_destroy(loop);
}

CASE(a_full_connection_has_room_when_its_reader_has_read) {
  struct ev_loop *loop = new_loop(0);
  struct seen seen = {"writer", 0};
  ev_io w;
  int ends[2], listener = connected(loop, ends);
  fill(ends[0]);
  watch(loop, &w, &seen, ends[0], EV_WRITE);
  for (int i = 0; i < 1000; i++) {
    drain(ends[1]);
    seen.events = 0;
    turn(loop);
    if (seen.events) break;
    ev_sleep(0.005);
  }
  trace("%s: %s", seen.name, bits(seen.events));
  ev_io_stop(loop, &w);
  close_both(ends);
  close(listener);
  ev_loop_destroy(loop);
}

CASE(datagrams) {
  struct ev_loop *loop = new_loop(0);
  struct seen seen = {"receiver", 0};
  ev_io w;
  char bytes[64];
  int receiver = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  int sender = socket(AF_INET, SOCK_DGRAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
  NEED(receiver >= 0 && sender >= 0);
  struct sockaddr_in address = bound(receiver);
  watch(loop, &w, &seen, receiver, EV_READ);
  look(loop, &seen);
  for (int i = 1; i <= 3; i++)
    NEED(sendto(sender, bytes, (size_t)i, 0, (struct sockaddr *)&address, sizeof address) == i);
  for (int i = 1; i <= 3; i++) {
    await(loop, &seen, EV_READ);
    trace("%d bytes", (int)recv(receiver, bytes, sizeof bytes, 0));
  }
  look(loop, &seen);
  ev_io_stop(loop, &w);
  ev_io_set(&w, receiver, EV_READ | EV_WRITE);
  ev_io_start(loop, &w);
  look(loop, &seen);
  ev_io_stop(loop, &w);
  close(receiver);
  close(sender);
  ev_loop_destroy(loop);
}

CASE(a_terminal) {
  struct ev_loop *loop = new_loop(0);
  struct seen seen = {"terminal", 0};
  ev_io w;
  int master, slave;
  NEED(!openpty(&master, &slave, NULL, NULL, NULL));
  struct termios raw;
  NEED(!tcgetattr(slave, &raw));
  cfmakeraw(&raw);
  NEED(!tcsetattr(slave, TCSANOW, &raw));
  fcntl(master, F_SETFL, O_NONBLOCK);
  watch(loop, &w, &seen, master, EV_READ);
  look(loop, &seen);
  put(slave, 3);
  await(loop, &seen, EV_READ);
  drain(master);
  look(loop, &seen);
  close(slave);
  await(loop, &seen, EV_READ);
  ev_io_stop(loop, &w);
  close(master);
  ev_loop_destroy(loop);
}

CASE(an_epoll_descriptor_of_the_programs_own) {
  struct ev_loop *loop = new_loop(0);
  struct seen seen = {"epoll", 0};
  ev_io w;
  int ends[2], fd = epoll_create1(EPOLL_CLOEXEC);
  struct epoll_event event = {.events = EPOLLIN};
  NEED(fd >= 0);
  make_pipe(ends);
  NEED(!epoll_ctl(fd, EPOLL_CTL_ADD, ends[0], &event));
  watch(loop, &w, &seen, fd, EV_READ);
  look(loop, &seen);
  put(ends[1], 1);
  look(loop, &seen);
  drain(ends[0]);
  look(loop, &seen);
  ev_io_stop(loop, &w);
  close(fd);
  close_both(ends);
  ev_loop_destroy(loop);
}

CASE(an_inotify_descriptor_of_the_programs_own) {
  struct ev_loop *loop = new_loop(0);
  struct seen seen = {"inotify", 0};
  char folder[] = "/tmp/diff-XXXXXX";
  ev_io w;
  int fd = inotify_init1(IN_NONBLOCK | IN_CLOEXEC);
  NEED(fd >= 0 && mkdtemp(folder) && inotify_add_watch(fd, folder, IN_CREATE | IN_DELETE) >= 0);
  watch(loop, &w, &seen, fd, EV_READ);
  look(loop, &seen);
  char path[64];
  snprintf(path, sizeof path, "%s/file", folder);
  int file = open(path, O_CREAT | O_WRONLY | O_CLOEXEC, 0600);
  NEED(file >= 0);
  close(file);
  look(loop, &seen);
  drain(fd);
  look(loop, &seen);
  ev_io_stop(loop, &w);
  close(fd);
  unlink(path);
  rmdir(folder);
  ev_loop_destroy(loop);
}

CASE(a_process_descriptor) {
  struct ev_loop *loop = new_loop(0);
  struct seen seen = {"process", 0};
  ev_io w;
  int ends[2];
  make_pipe(ends);
  fcntl(ends[0], F_SETFL, 0);
  pid_t child = fork();
  NEED(child >= 0);
  if (!child) {
    char byte;
    close(ends[1]);
    _exit(read(ends[0], &byte, 1) == 1 ? 4 : 5);
  }
  int fd = (int)syscall(SYS_pidfd_open, child, 0);
  NEED(fd >= 0);
  watch(loop, &w, &seen, fd, EV_READ);
  look(loop, &seen);
  put(ends[1], 1);
  await(loop, &seen, EV_READ);
  wait_traced("child", child);
  ev_io_stop(loop, &w);
  close(fd);
  close_both(ends);
  ev_loop_destroy(loop);
}

/* --- Connections that come and go */

enum { PEERS = 40, CHANGES = 4000 };

struct peer {
  ev_io io;
  int near, far, sent, got, ended;
};

static struct peer peers[PEERS];
static int total_sent, total_got, total_ended, strange;

static void peer_open(struct ev_loop *loop, struct peer *p);

static void on_peer(struct ev_loop *loop, ev_io *w, int revents) {
  struct peer *p = w->data;
  char bytes[256];
  if (revents != EV_READ) strange++;
  ssize_t got = read(w->fd, bytes, sizeof bytes);
  if (got > 0) {
    p->got += (int)got;
    total_got += (int)got;
    return;
  }
  if (got < 0) {
    strange++; /* called, and nothing there: it was another one's event */
    return;
  }
  if (p->got != p->sent) strange++;
  total_ended++;
  ev_io_stop(loop, w);
  close(p->near);
  peer_open(loop, p); /* numbers are used again within the pass */
}

static void peer_open(struct ev_loop *loop, struct peer *p) {
  int ends[2];
  make_pair(ends);
  p->near = ends[0];
  p->far = ends[1];
  p->sent = p->got = p->ended = 0;
  ev_io_init(&p->io, on_peer, p->near, EV_READ);
  p->io.data = p;
  ev_io_start(loop, &p->io);
}

static void churn(unsigned flags) {
  struct ev_loop *loop = new_loop(flags);
  unsigned seed = 7;
  total_sent = total_got = total_ended = strange = 0;
  int closed = 0;
  for (int i = 0; i < PEERS; i++) peer_open(loop, &peers[i]);
  for (int change = 0; change < CHANGES; change++) {
    seed = seed * 1103515245u + 12345u;
    struct peer *p = &peers[(seed >> 16) % PEERS];
    if (!p->ended && (seed >> 8) % 4 == 0) {
      close(p->far);
      p->ended = 1;
      closed++;
    } else if (!p->ended) {
      put(p->far, (seed >> 8) % 100 + 1);
      p->sent += (int)((seed >> 8) % 100 + 1);
      total_sent += (int)((seed >> 8) % 100 + 1);
    }
    if ((seed >> 4) % 8 == 0) turns(loop, 2);
  }
  for (int i = 0; i < 200; i++) turn(loop);
  trace("sent %d got %d, closed %d ended %d, strange %d", total_sent, total_got, closed, total_ended, strange);
  for (int i = 0; i < PEERS; i++) {
    ev_io_stop(loop, &peers[i].io);
    close(peers[i].near);
    close(peers[i].far);
  }
  trace("active: %d", ev_run(loop, EVRUN_NOWAIT));
  ev_loop_destroy(loop);
}

CASE(connections_that_come_and_go) { churn(0); }
CASE(connections_that_come_and_go_by_poll) { churn(EVBACKEND_POLL); }
CASE(connections_that_come_and_go_by_select) { churn(EVBACKEND_SELECT); }
