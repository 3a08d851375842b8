/* SPDX-License-Identifier: BSD-3-Clause */
/* Our client and OpenSSL's own server, a program that sends every line back the other way round. */
#include "support.h"

#include <arpa/inet.h>
#include <fcntl.h>
#include <signal.h>
#include <spawn.h>
#include <sys/wait.h>

extern char **environ;

enum { LINES = 50, LENGTH = 1000 };

/* The server, on a port that it chooses and says; it ends by itself after a minute. */
static pid_t serve(struct fixture *f, const struct identity *id, const char *version, struct sockaddr_in *ret) {
  int out[2];
  fixture_pipe(f, out);
  posix_spawn_file_actions_t actions;
  assert_int_equal(posix_spawn_file_actions_init(&actions), 0);
  assert_int_equal(posix_spawn_file_actions_adddup2(&actions, out[1], 1), 0);
  assert_int_equal(posix_spawn_file_actions_addopen(&actions, 2, "/dev/null", O_WRONLY, 0), 0);
  const char *words[] = {"timeout",     "60",
                         "openssl",     "s_server",
                         "-accept",     "127.0.0.1:0",
                         "-rev",        version,
                         "-cert",       identity_file(id, 0),
                         "-cert_chain", identity_file(id, 0),
                         "-key",        identity_file(id, 1),
                         NULL};
  pid_t pid;
  assert_int_equal(posix_spawnp(&pid, words[0], &actions, NULL, (char *const *)(uintptr_t)words, environ), 0);
  assert_int_equal(posix_spawn_file_actions_destroy(&actions), 0);
  char said[4096] = "";
  size_t length = 0;
  unsigned port = 0;
  const char *line;
  struct patience patience = patience_start();
  do {
    assert_true(patience_left(&patience));
    const ssize_t n = read(out[0], said + length, sizeof said - 1 - length);
    if (n > 0)
      length += (size_t)n;
    else
      nap();
    line = strstr(said, "ACCEPT 127.0.0.1:");
  } while (!line || !strchr(line, '\n'));
  assert_int_equal(sscanf(line, "ACCEPT 127.0.0.1:%u", &port), 1);
  *ret = (struct sockaddr_in){
      .sin_family = AF_INET, .sin_port = htons((uint16_t)port), .sin_addr = {htonl(INADDR_LOOPBACK)}};
  fixture_close(f, out[1]); /* the other end stays: it goes on saying things */
  return pid;
}

static void stop(pid_t pid) {
  int status;
  assert_int_equal(kill(pid, SIGTERM), 0);
  assert_int_equal(waitpid(pid, &status, 0), pid);
}

static size_t collect(torque_source stream, const void *data, size_t length, void *arg) {
  struct party *p = arg;
  (void)stream;
  if (p->in + length <= LINES * LENGTH)
    memcpy((char *)p->more + p->in, data, length);
  else
    p->strange++;
  p->in += length;
  return length;
}

static void talks(struct fixture *f, const char *version) {
  struct sockaddr_in where;
  torque_source s;
  const pid_t server = serve(f, &certificates()->server, version, &where);
  struct party *p = tls_party(f, client_layer(client_config(), "server.test"), collect, party_end);
  p->more = fixture_take(f, LINES * LENGTH);
  assert_int_equal(torque_stream_connect(f->ctx, &where, sizeof where, p->type, p, &s), 0);
  AWAIT(f, p->opened || p->closed);
  assert_int_equal(p->opened, 1);
  char line[LENGTH], back[LENGTH];
  for (uint32_t i = 0; i < LINES; i++) {
    for (int j = 0; j < LENGTH - 1; j++) line[j] = back[LENGTH - 2 - j] = (char)('a' + (i + (uint32_t)j * 7) % 26);
    line[LENGTH - 1] = back[LENGTH - 1] = '\n';
    assert_int_equal(torque_stream_write(s, line, LENGTH), 0);
    AWAIT(f, p->in == (i + 1) * LENGTH);
    assert_memory_equal((char *)p->more + i * LENGTH, back, LENGTH);
  }
  assert_int_equal(torque_stream_close(s), 0);
  AWAIT(f, p->closed);
  assert_int_equal(p->err, 0);
  assert_int_equal(p->strange, 0);
  stop(server);
  party_free(p);
}

static void both_versions(void **state) {
  talks(*state, "-tls1_2");
  talks(*state, "-tls1_3");
}

/* One that it cannot trust: told by the end, and never open. */
static void unknown_issuer(void **state) {
  struct fixture *f = *state;
  struct sockaddr_in where;
  torque_source s;
  const pid_t server = serve(f, &certificates()->foreign, "-tls1_3", &where);
  struct party *p = tls_party(f, client_layer(client_config(), "server.test"), collect, party_end);
  assert_int_equal(torque_stream_connect(f->ctx, &where, sizeof where, p->type, p, &s), 0);
  AWAIT(f, p->closed);
  assert_int_equal(p->err, TORQUE_ERR_TLS_VERIFY);
  assert_int_equal(p->opened, 0);
  stop(server);
  party_free(p);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      ON(live, both_versions),
      ON(driven, both_versions),
      ON(live, unknown_issuer),
      ON(driven, unknown_issuer),
  };
  return cmocka_run_group_tests(tests, NULL, certificates_down);
}
