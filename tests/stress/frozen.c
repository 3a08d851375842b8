/* SPDX-License-Identifier: BSD-3-Clause */
/* A server that is stopped and continued (SIGSTOP, SIGCONT), or that a tracer attaches to, loses nothing: its system
 * calls return EINTR, and it goes on as if nothing had been. The server is a process of its own. */
#include "support/child.h"
#include "support/context.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/in.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "support/cmocka.h"

enum { CONNECTIONS = 10, ROUNDS = 15, MS = 1000000 };

/* ---- The server ---- */

static struct torque_ctx *ctx;
static _Atomic uint64_t beats;

static int32_t echo(torque_source source, int32_t fd, uint32_t events, void *arg) {
  (void)events, (void)arg;
  char text[512];
  const ssize_t n = read(fd, text, sizeof text);
  if (n == 0 || (n < 0 && errno != EAGAIN && errno != EINTR)) return (void)torque_close(source), TORQUE_DONE;
  if (n < 0) return errno == EINTR ? TORQUE_AGAIN : TORQUE_DONE;
  if (write(fd, text, (size_t)n) != n) return (void)torque_close(source), TORQUE_DONE;
  return TORQUE_AGAIN;
}

static void on_connection(torque_source listener, int32_t fd, const void *addr, uint32_t addrlen, void *arg) {
  (void)listener, (void)addr, (void)addrlen;
  torque_source s;
  const uint32_t recheck = *(const int *)arg ? TORQUE_RECHECK : 0;
  if (torque_fd_add(ctx, fd, TORQUE_READ, recheck, echo, NULL, &s)) close(fd);
}

static void beat(torque_source source, uint64_t expirations, void *arg) {
  (void)source, (void)arg;
  atomic_fetch_add(&beats, expirations);
}

struct server {
  const struct shape *shape;
  int recheck;
  int port[2]; /* pipe */
};

static int serve(void *arg) {
  struct server *server = arg;
  struct torque_config *config = NULL;
  CHECK(torque_sigmask(NULL) == 0);
  CHECK(torque_config_new(&config) == 0);
  CHECK(torque_config_set_driven(config, server->shape->driven) == 0);
  if (server->shape->synthetic)
    CHECK(torque_config_set_topology(config, TORQUE_TOPOLOGY_SYNTHETIC, server->shape->synthetic) == 0);
  CHECK(torque_ctx_new(config, &ctx) == 0);
  torque_config_free(config);
  struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  torque_source listener, timer;
  uint32_t length = 0;
  CHECK(torque_listen_add(ctx, &a, sizeof a, 0, TORQUE_LISTEN_DEFAULT, on_connection, &server->recheck, &listener) == 0);
  CHECK(torque_timer_add(ctx, MS, MS, 0, beat, NULL, &timer) == 0);
  CHECK(torque_listen_address(listener, &a, sizeof a, &length) == 0);
  CHECK(write(server->port[1], &a.sin_port, 2) == 2);
  if (!server->shape->driven) CHECK(torque_block(ctx) == 0);
  else for (;;) CHECK(torque_run_once(ctx, UINT64_MAX, NULL) == 0);
  return atomic_load(&beats) > 0 ? 0 : 3;
}

/* ---- The client: blocking sockets that give up after a while ---- */

static void connect_all(int *fds, const struct server *server) {
  struct sockaddr_in a = {.sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK)};
  const struct timeval patience = {.tv_sec = SANITIZED ? 60 : 30};
  assert_int_equal(read(server->port[0], &a.sin_port, 2), 2);
  for (int i = 0; i < CONNECTIONS; i++) {
    fds[i] = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_true(fds[i] >= 0);
    assert_int_equal(setsockopt(fds[i], SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience), 0);
    assert_int_equal(connect(fds[i], (struct sockaddr *)&a, sizeof a), 0);
  }
}

static void ask(int fd, uint32_t number) {
  char text[64], answer[64];
  memset(text, 0, sizeof text);
  snprintf(text, sizeof text, "request %u", number);
  assert_int_equal(write(fd, text, sizeof text), sizeof text);
  for (size_t got = 0; got < sizeof answer;) {
    const ssize_t n = read(fd, answer + got, sizeof answer - got);
    if (n < 0 && errno == EINTR) continue;
    if (n <= 0) fail_msg("no answer to request %u", number);
    got += (size_t)n;
  }
  assert_memory_equal(text, answer, sizeof text);
}

static void ask_all(int *fds, uint32_t from) {
  for (uint32_t n = 0; n < 10; n++)
    for (int i = 0; i < CONNECTIONS; i++) ask(fds[i], from + n);
}

/* ---- What is done to it ---- */

static int stop_and_continue(pid_t server, int *fds) {
  for (uint32_t i = 0; i < ROUNDS; i++) {
    ask_all(fds, i * 100);
    assert_int_equal(kill(server, SIGSTOP), 0);
    /* Some requests wait for it while it is stopped. */
    for (int k = 0; i % 2 && k < CONNECTIONS; k++) say(fds[k], 8);
    for (int k = 0; k < 5; k++) nap();
    assert_int_equal(kill(server, SIGCONT), 0);
    char text[8];
    for (int k = 0; i % 2 && k < CONNECTIONS; k++) assert_int_equal(recv(fds[k], text, 8, MSG_WAITALL), 8);
  }
  ask_all(fds, 1);
  return 0;
}

/* Answers 77 where nobody may trace. */
static int run_strace(pid_t server, pid_t *ret_strace) {
  char number[16];
  snprintf(number, sizeof number, "%d", (int)server);
  fflush(stdout);
  const pid_t strace = fork();
  assert_true(strace >= 0);
  if (strace == 0) {
    const int null = open("/dev/null", O_RDWR);
    (void)dup2(null, 1), (void)dup2(null, 2);
    execlp("strace", "strace", "-f", "-q", "-p", number, "-o", "/dev/null", (char *)NULL);
    _exit(77);
  }
  char path[64], text[4096];
  snprintf(path, sizeof path, "/proc/%d/status", (int)server);
  struct patience p = patience_start();
  while (patience_left(&p)) {
    int status;
    if (waitpid(strace, &status, WNOHANG) == strace) return 77; /* it is not there, or was refused */
    const int fd = open(path, O_RDONLY | O_CLOEXEC);
    const ssize_t n = fd < 0 ? 0 : read(fd, text, sizeof text - 1);
    if (fd >= 0) close(fd);
    text[n > 0 ? n : 0] = 0;
    const char *tracer = strstr(text, "TracerPid:\t");
    if (tracer && atoi(tracer + 11) == strace) break;
    nap();
  }
  *ret_strace = strace;
  return 0;
}

static int attach_strace(pid_t server, int *fds) {
  for (uint32_t i = 0; i < 4; i++) {
    pid_t strace = 0;
    ask_all(fds, i * 100);
    if (run_strace(server, &strace)) return 77;
    ask_all(fds, i * 100 + 20);
    assert_int_equal(kill(strace, i % 2 ? SIGINT : SIGTERM), 0); /* it detaches */
    int status;
    assert_int_equal(waitpid(strace, &status, 0), strace);
    ask_all(fds, i * 100 + 40);
  }
  return 0;
}

static int torment(const struct shape *shape, int recheck, int (*torture)(pid_t, int *)) {
  struct server server = {.shape = shape, .recheck = recheck};
  int fds[CONNECTIONS];
  assert_int_equal(pipe2(server.port, O_CLOEXEC), 0);
  const pid_t child = child_start(serve, &server);
  connect_all(fds, &server);
  const int result = torture(child, fds);
  for (int i = 0; i < CONNECTIONS; i++) close(fds[i]);
  assert_int_equal(kill(child, shape->driven ? SIGKILL : SIGTERM), 0);
  assert_int_equal(child_end(child), shape->driven ? 1000 + SIGKILL : 0);
  close(server.port[0]), close(server.port[1]);
  return result;
}

static void stopped_and_continued(void **state) {
  (void)torment(*state, 0, stop_and_continue);
  (void)torment(*state, 1, stop_and_continue);
}

static void traced_and_left_alone(void **state) {
  if (torment(*state, 0, attach_strace)) skip();
}

#define OWN(name, test) {#test " on " #name, test, NULL, NULL, (void *)(uintptr_t)&shape_##name}

int main(void) {
  const struct CMUnitTest tests[] = {
      OWN(live, stopped_and_continued),  OWN(synthetic, stopped_and_continued), OWN(driven, stopped_and_continued),
      OWN(live, traced_and_left_alone),  OWN(synthetic, traced_and_left_alone), OWN(driven, traced_and_left_alone),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
