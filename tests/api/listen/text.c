/* SPDX-License-Identifier: BSD-3-Clause */
/* Listening on what a text means: each kind of address is connected to; and what cannot be is said. socket(2) is ours
 * here: IPv6 sockets are made as where net.ipv6.bindv6only is set. */
#define _GNU_SOURCE
#include "support/clients.h"
#include "support/streams.h"

#include <arpa/inet.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "support/cmocka.h"

int socket(int domain, int type, int protocol) {
  const int fd = (int)syscall(SYS_socket, domain, type, protocol), on = 1;
  if (fd >= 0 && domain == AF_INET6) (void)setsockopt(fd, IPPROTO_IPV6, IPV6_V6ONLY, &on, sizeof on);
  return fd;
}

static int has_inet6(void) {
  const struct sockaddr_in6 a = {.sin6_family = AF_INET6, .sin6_addr = IN6ADDR_LOOPBACK_INIT};
  const int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
  const int has = fd >= 0 && bind(fd, (const struct sockaddr *)&a, sizeof a) == 0;
  if (fd >= 0) close(fd);
  return has;
}

static struct door *door_of_text(struct fixture *f, const char *text, uint32_t policy) {
  struct door *d = fixture_take(f, sizeof *d);
  d->f = f;
  assert_int_equal(torque_listen_text_new(f->ctx, text, 0, 0, policy, door_accept, d, &d->listener), 0);
  assert_int_equal(torque_source_set_finalizer(d->listener, door_final), 0);
  assert_int_equal(torque_source_start(d->listener), 0);
  door_read_address(d);
  return d;
}

static uint16_t port_of(const struct door *d) { return ntohs(((const struct sockaddr_in *)&d->address)->sin_port); }

/* A connection to the text's address, whose port, if it has one, is the door's. */
static void come(struct fixture *f, struct door *d, const char *text) {
  struct door to = {.length = sizeof to.address};
  const uint32_t before = d->accepted;
  assert_int_equal(torque_address_parse(text, port_of(d), &to.address, sizeof to.address, &to.length), 0);
  const int fd = visit(&to);
  if (fd < 0) fail_msg("%s: %s", text, strerror(errno));
  fixture_own(f, fd);
  AWAIT(f, d->accepted == before + 1);
  assert_int_equal(d->wrong, 0);
}

static void an_address_of_ipv4(void **state) {
  struct fixture *f = *state;
  for (uint32_t policy = TORQUE_LISTEN_DEFAULT; policy <= TORQUE_LISTEN_REUSEPORT; policy++) {
    struct door *d = door_of_text(f, "127.0.0.1:0", policy);
    assert_int_equal(d->address.ss_family, AF_INET);
    assert_int_not_equal(port_of(d), 0);
    come(f, d, "127.0.0.1");
  }
}

static void an_address_of_ipv6(void **state) {
  struct fixture *f = *state;
  if (!has_inet6()) skip();
  struct door *d = door_of_text(f, "[::1]:0", TORQUE_LISTEN_DEFAULT);
  assert_int_equal(d->address.ss_family, AF_INET6);
  come(f, d, "::1");
}

static void any_address_takes_both_families(void **state) {
  struct fixture *f = *state;
  for (uint32_t policy = TORQUE_LISTEN_DEFAULT; policy <= TORQUE_LISTEN_REUSEPORT; policy++) {
    struct door *d = door_of_text(f, policy & 1 ? "*:0" : ":0", policy);
    come(f, d, "127.0.0.1");
    if (has_inet6()) come(f, d, "::1");
  }
}

static void any_address_needs_the_port_in_both_families(void **state) {
  struct fixture *f = *state;
  struct sockaddr_in a = loopback_address(0);
  socklen_t length = sizeof a;
  char text[16];
  torque_source source = 77;
  const int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
  fixture_own(f, fd);
  assert_int_equal(bind(fd, (struct sockaddr *)&a, sizeof a), 0);
  assert_int_equal(listen(fd, 1), 0);
  assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &length), 0);
  snprintf(text, sizeof text, "*:%u", ntohs(a.sin_port));
  assert_int_equal(torque_listen_text_add(f->ctx, text, 0, 0, 0, door_accept, NULL, &source),
                   TORQUE_ERR_SYSCALL + EADDRINUSE);
  assert_true(source == 77);
}

static void the_port_that_the_text_leaves_out(void **state) {
  struct fixture *f = *state;
  struct door *d = door_of_text(f, "127.0.0.1", TORQUE_LISTEN_DEFAULT), *next = fixture_take(f, sizeof *next);
  const uint16_t port = port_of(d);
  assert_int_equal(torque_source_remove_wait(d->listener), 0);
  assert_int_equal(torque_listen_text_add(f->ctx, "127.0.0.1", port, 0, 0, door_accept, next, &next->listener), 0);
  door_read_address(next);
  assert_int_equal(port_of(next), port);
  come(f, next, "127.0.0.1");
}

static void a_path_whose_file_stays(void **state) {
  struct fixture *f = *state;
  char folder[] = "/tmp/torque-listen-XXXXXX", path[64], text[80];
  torque_source source = 77;
  assert_non_null(mkdtemp(folder));
  snprintf(path, sizeof path, "%s/socket", folder);
  snprintf(text, sizeof text, "unix:%s", path);
  for (uint32_t policy = TORQUE_LISTEN_DEFAULT; policy <= TORQUE_LISTEN_REUSEPORT; policy++) {
    struct door *d = door_of_text(f, text, policy);
    come(f, d, text);
    assert_int_equal(torque_listen_text_add(f->ctx, text, 0, 0, policy, door_accept, NULL, &source),
                     TORQUE_ERR_SYSCALL + EADDRINUSE);
    assert_int_equal(torque_source_remove_wait(d->listener), 0);
    /* Nobody listens, but the file is there. */
    assert_int_equal(torque_listen_text_add(f->ctx, text, 0, 0, policy, door_accept, NULL, &source),
                     TORQUE_ERR_SYSCALL + EADDRINUSE);
    assert_true(source == 77);
    assert_int_equal(unlink(path), 0);
  }
  assert_int_equal(rmdir(folder), 0);
}

static void an_abstract_name(void **state) {
  struct fixture *f = *state;
  char text[64];
  snprintf(text, sizeof text, "unix:@torque-test-%ld", (long)getpid());
  for (int again = 0; again < 2; again++) { /* it goes with its socket */
    struct door *d = door_of_text(f, text, TORQUE_LISTEN_DEFAULT);
    come(f, d, text);
    assert_int_equal(torque_source_remove_wait(d->listener), 0);
  }
}

static void streams_of_a_text(void **state) {
  struct fixture *f = *state;
  struct party *p = party_new(f, party_take, NULL);
  struct door d = {.f = f};
  assert_int_equal(torque_stream_listen_text(f->ctx, "*", 0, 0, TORQUE_LISTEN_DEFAULT, p->type, p, &d.listener), 0);
  door_read_address(&d);
  struct door to = {.length = sizeof to.address};
  assert_int_equal(torque_address_parse("127.0.0.1", port_of(&d), &to.address, sizeof to.address, &to.length), 0);
  const int fd = visit(&to);
  assert_true(fd >= 0);
  fixture_own(f, fd);
  assert_int_equal(pattern_put(fd, 0, 1000), 1000);
  AWAIT(f, p->in == 1000);
  fixture_close(f, fd);
  AWAIT(f, p->closed == 1);
  assert_int_equal(p->strange, 0);
  assert_int_equal(torque_source_remove_wait(d.listener), 0);
  party_free(p);
}

static void wrong_arguments(void **state) {
  struct fixture *f = *state;
  struct party *p = party_new(f, party_take, NULL);
  struct torque_ctx *ctx = f->ctx;
  torque_source s = 77;
  const unsigned open = descriptors_open();
  assert_int_equal(torque_listen_text_add(NULL, "*", 0, 0, 0, door_accept, NULL, &s), TORQUE_ERR_INVAL);
  assert_int_equal(torque_listen_text_add(ctx, NULL, 0, 0, 0, door_accept, NULL, &s), TORQUE_ERR_INVAL);
  assert_int_equal(torque_listen_text_add(ctx, "*", 0, 0, 0, NULL, NULL, &s), TORQUE_ERR_INVAL);
  assert_int_equal(torque_listen_text_add(ctx, "*", 0, -1, 0, door_accept, NULL, &s), TORQUE_ERR_INVAL);
  assert_int_equal(torque_listen_text_add(ctx, "*", 0, 0, 4, door_accept, NULL, &s), TORQUE_ERR_INVAL);
  assert_int_equal(torque_listen_text_add(ctx, "*", 0, 0, 0, door_accept, NULL, NULL), TORQUE_ERR_INVAL);
  assert_int_equal(torque_listen_text_add(ctx, "localhost", 0, 0, 0, door_accept, NULL, &s), TORQUE_ERR_INVAL);
  assert_int_equal(torque_listen_text_add(ctx, "unix:/nonexistent/folder/socket", 0, 0, 0, door_accept, NULL, &s),
                   TORQUE_ERR_SYSCALL + ENOENT);
  assert_int_equal(torque_stream_listen_text(ctx, "*:", 0, 0, 0, p->type, p, &s), TORQUE_ERR_INVAL);
  assert_int_equal(torque_stream_listen_text(ctx, NULL, 0, 0, 0, p->type, p, &s), TORQUE_ERR_INVAL);
  assert_int_equal(torque_stream_listen_text(ctx, "*", 0, 0, 0, NULL, p, &s), TORQUE_ERR_INVAL);
  assert_true(s == 77);
  assert_int_equal(descriptors_open(), open);
  party_free(p);
}

int main(void) {
  const struct CMUnitTest tests[] = {
      ON_EVERY(an_address_of_ipv4),
      ON_EVERY(an_address_of_ipv6),
      ON_EVERY(any_address_takes_both_families),
      ON_EVERY(any_address_needs_the_port_in_both_families),
      ON_EVERY(the_port_that_the_text_leaves_out),
      ON_EVERY(a_path_whose_file_stays),
      ON_EVERY(an_abstract_name),
      ON_EVERY(streams_of_a_text),
      ON_EVERY(wrong_arguments),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
