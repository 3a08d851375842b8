/* SPDX-License-Identifier: BSD-3-Clause */
/* Addresses as text: what a text means, what means nothing, and that an address comes back from its text. */
#include <libtorque/torque.h>

#include <arpa/inet.h>
#include <errno.h>
#include <net/if.h>
#include <netinet/in.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "support/cmocka.h"

#define DEFAULT 4013
#define PATH_AT offsetof(struct sockaddr_un, sun_path)
#define PATH_SIZE sizeof(((struct sockaddr_un *)0)->sun_path)

static int has_inet6(void) {
  const int fd = socket(AF_INET6, SOCK_STREAM | SOCK_CLOEXEC, 0);
  if (fd >= 0) close(fd);
  return fd >= 0;
}

/* What the text means; it must mean something. */
static uint32_t parse(const char *text, struct sockaddr_storage *address) {
  uint32_t length = 0;
  memset(address, 0xee, sizeof *address);
  assert_int_equal(torque_address_parse(text, DEFAULT, address, sizeof *address, &length), 0);
  assert_in_range(length, 1, sizeof *address);
  return length;
}

static void assert_text(const void *address, uint32_t length, const char *wanted) {
  char text[TORQUE_ADDRESS_TEXT_SIZE];
  uint32_t n = 0;
  assert_int_equal(torque_address_format(address, length, text, sizeof text, &n), 0);
  assert_string_equal(text, wanted);
  assert_int_equal(n, strlen(wanted));
}

/* Its text means the very same bytes. */
static void assert_comes_back(const void *address, uint32_t length) {
  char text[TORQUE_ADDRESS_TEXT_SIZE];
  struct sockaddr_storage again;
  uint32_t n = 0;
  assert_int_equal(torque_address_format(address, length, text, sizeof text, &n), 0);
  assert_int_equal(parse(text, &again), length);
  assert_memory_equal(&again, address, length);
}

static void texts_of_ipv4(void **state) {
  (void)state;
  static const struct {
    const char *text, *host;
    uint16_t port;
  } table[] = {
      {"127.0.0.1:80", "127.0.0.1", 80},     {"127.0.0.1", "127.0.0.1", DEFAULT}, {"0.0.0.0:0", "0.0.0.0", 0},
      {"255.255.255.255:65535", "255.255.255.255", 65535}, {"192.0.2.10:1", "192.0.2.10", 1},
  };
  for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
    struct sockaddr_storage got;
    struct sockaddr_in wanted = {.sin_family = AF_INET, .sin_port = htons(table[i].port)};
    assert_int_equal(inet_pton(AF_INET, table[i].host, &wanted.sin_addr), 1);
    assert_int_equal(parse(table[i].text, &got), sizeof wanted);
    assert_memory_equal(&got, &wanted, sizeof wanted);
    assert_comes_back(&got, sizeof wanted);
  }
}

static void texts_of_ipv6(void **state) {
  (void)state;
  static const struct {
    const char *text, *host;
    uint16_t port;
  } table[] = {
      {"[::1]:80", "::1", 80},           {"[::1]", "::1", DEFAULT},
      {"::1", "::1", DEFAULT},           {"::", "::", DEFAULT},
      {"[::]:0", "::", 0},               {"::1:80", "::1:80", DEFAULT}, /* an address: no port without brackets */
      {"[2001:DB8::a]:65535", "2001:db8::a", 65535},
      {"1:2:3:4:5:6:7:8", "1:2:3:4:5:6:7:8", DEFAULT},
      {"[::ffff:192.0.2.1]:443", "::ffff:192.0.2.1", 443},
  };
  for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
    struct sockaddr_storage got;
    struct sockaddr_in6 wanted = {.sin6_family = AF_INET6, .sin6_port = htons(table[i].port)};
    assert_int_equal(inet_pton(AF_INET6, table[i].host, &wanted.sin6_addr), 1);
    assert_int_equal(parse(table[i].text, &got), sizeof wanted);
    assert_memory_equal(&got, &wanted, sizeof wanted);
    assert_comes_back(&got, sizeof wanted);
  }
}

static void an_interface_has_a_name_or_a_number(void **state) {
  (void)state;
  const unsigned lo = if_nametoindex("lo");
  struct sockaddr_storage got;
  struct sockaddr_in6 wanted = {.sin6_family = AF_INET6, .sin6_port = htons(80), .sin6_scope_id = lo};
  char text[64], name[IF_NAMESIZE];
  if (lo == 0) skip();
  assert_int_equal(inet_pton(AF_INET6, "fe80::1", &wanted.sin6_addr), 1);
  assert_int_equal(parse("[fe80::1%lo]:80", &got), sizeof wanted);
  assert_memory_equal(&got, &wanted, sizeof wanted);
  assert_text(&got, sizeof wanted, "[fe80::1%lo]:80");
  snprintf(text, sizeof text, "[fe80::1%%%u]:80", lo);
  assert_int_equal(parse(text, &got), sizeof wanted);
  assert_memory_equal(&got, &wanted, sizeof wanted);
  wanted.sin6_port = htons(DEFAULT);
  assert_int_equal(parse("fe80::1%lo", &got), sizeof wanted);
  assert_memory_equal(&got, &wanted, sizeof wanted);
  /* A number that no interface has stays one. */
  if (if_indextoname(4000000000u, name)) skip();
  assert_int_equal(parse("[fe80::1%4000000000]:80", &got), sizeof wanted);
  assert_text(&got, sizeof wanted, "[fe80::1%4000000000]:80");
  assert_comes_back(&got, sizeof wanted);
}

static void any_address(void **state) {
  (void)state;
  static const struct {
    const char *text;
    uint16_t port;
  } table[] = {{"*:80", 80}, {":80", 80}, {"*", DEFAULT}, {":0", 0}, {"*:65535", 65535}};
  for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
    struct sockaddr_storage got;
    const struct sockaddr_in6 six = {.sin6_family = AF_INET6, .sin6_port = htons(table[i].port)};
    const struct sockaddr_in four = {.sin_family = AF_INET, .sin_port = htons(table[i].port)};
    const uint32_t length = parse(table[i].text, &got);
    assert_int_equal(length, has_inet6() ? sizeof six : sizeof four);
    assert_memory_equal(&got, has_inet6() ? (const void *)&six : (const void *)&four, length);
    assert_comes_back(&got, length);
  }
}

static void texts_of_unix_sockets(void **state) {
  (void)state;
  char text[5 + PATH_SIZE + 2];
  struct sockaddr_storage got;
  const struct sockaddr_un path = {.sun_family = AF_UNIX, .sun_path = "/run/a b:80"};
  const struct sockaddr_un name = {.sun_family = AF_UNIX, .sun_path = "\0name@"};
  assert_int_equal(parse("unix:/run/a b:80", &got), PATH_AT + 12);
  assert_memory_equal(&got, &path, PATH_AT + 12);
  assert_text(&got, PATH_AT + 12, "unix:/run/a b:80");
  assert_text(&path, sizeof path, "unix:/run/a b:80"); /* as many programs pass it */
  assert_int_equal(parse("unix:@name@", &got), PATH_AT + 6);
  assert_memory_equal(&got, &name, PATH_AT + 6);
  assert_text(&got, PATH_AT + 6, "unix:@name@");
  assert_int_equal(parse("unix:relative", &got), PATH_AT + 9);
  assert_comes_back(&got, PATH_AT + 9);
  /* The longest: 107 bytes and their end; 107 after the zero byte. */
  memset(text, 'x', sizeof text);
  memcpy(text, "unix:", 5);
  text[5 + 107] = '\0';
  assert_int_equal(parse(text, &got), PATH_AT + PATH_SIZE);
  assert_comes_back(&got, PATH_AT + PATH_SIZE);
  memset(text, 'x', sizeof text);
  memcpy(text, "unix:@", 6);
  text[6 + 107] = '\0';
  assert_int_equal(parse(text, &got), PATH_AT + PATH_SIZE);
  assert_comes_back(&got, PATH_AT + PATH_SIZE);
}

static void assert_means_nothing(const char *text) {
  unsigned char address[sizeof(struct sockaddr_storage)], untouched[sizeof address];
  uint32_t length = 77;
  memset(address, 0xee, sizeof address);
  memset(untouched, 0xee, sizeof untouched);
  if (torque_address_parse(text, DEFAULT, address, sizeof address, &length) != TORQUE_ERR_INVAL)
    fail_msg("\"%s\" means something", text);
  assert_int_equal(length, 77);
  assert_memory_equal(address, untouched, sizeof address);
}

static void bad_texts(void **state) {
  (void)state;
  static const char *const table[] = {
      "", " ", ":", "*:", "**", "*.1", " *:80", "localhost", "localhost:80", "80", "example.org:http",
      "127.0.0.1:", "127.0.0.1:65536", "127.0.0.1:99999999999999999999", "127.0.0.1:-1", "127.0.0.1:+1", "127.0.0.1: 1",
      "127.0.0.1:1 ", "127.0.0.1:0x50", "127.0.0.1:080", "127.0.0.1:00", "127.0.0.1:http", " 127.0.0.1:80", "127.0.0.1 :80",
      "127.1:80", "1.2.3:80", "1.2.3.4.5:80", "256.0.0.1:80", "0x7f.0.0.1:80", "127.0.0.1%lo:80", "127.0.0.1:80:80",
      "[]", "[]:80", "[", "]", "[::1", "::1]", "[::1]80", "[::1]:", "[::1]:65536", "[::1]: 80", "[::1]:80x", "[::1] :80",
      "[[::1]]:80", "[127.0.0.1]:80", "[*]:80", "[::1]:80]", ":::", "::1::", "1:2:3:4:5:6:7:8:9", "12345::", "::g",
      "[fe80::1%]:80", "fe80::1%", "[%lo]:80", "[fe80::1%anamethatnointerfacecanhave]:80", "::1:80:",
      "unix:", "unix:@", "UNIX:/run/socket", "unix", "unix/run", "/run/socket", "@name",
  };
  char text[5 + PATH_SIZE + 3];
  for (size_t i = 0; i < sizeof table / sizeof *table; i++) assert_means_nothing(table[i]);
  memset(text, 'x', sizeof text);
  memcpy(text, "unix:", 5);
  text[5 + 108] = '\0';
  assert_means_nothing(text);
  memset(text, 'x', sizeof text);
  memcpy(text, "unix:@", 6);
  text[6 + 108] = '\0';
  assert_means_nothing(text);
}

static void an_interface_that_is_not_there(void **state) {
  (void)state;
  struct sockaddr_storage address;
  uint32_t length = 77;
  assert_int_equal(torque_address_parse("[fe80::1%nosuchone]:80", 0, &address, sizeof address, &length),
                   TORQUE_ERR_SYSCALL + ENODEV);
  assert_int_equal(torque_address_parse("[fe80::1%4294967296]:80", 0, &address, sizeof address, &length),
                   TORQUE_ERR_SYSCALL + ENODEV);
  assert_int_equal(torque_address_parse("fe80::1%0", 0, &address, sizeof address, &length), TORQUE_ERR_SYSCALL + ENODEV);
  assert_int_equal(length, 77);
}

static void random_bytes(void *to, size_t size) {
  for (unsigned char *p = to; size-- != 0; p++) *p = (unsigned char)(rand() >> 7);
}

static void random_addresses_come_back(void **state) {
  (void)state;
  srand(20);
  for (int i = 0; i < 20000; i++) {
    struct sockaddr_in four = {.sin_family = AF_INET};
    struct sockaddr_in6 six = {.sin6_family = AF_INET6};
    struct sockaddr_un un = {.sun_family = AF_UNIX};
    random_bytes(&four.sin_port, 2);
    random_bytes(&four.sin_addr, sizeof four.sin_addr);
    assert_comes_back(&four, sizeof four);
    random_bytes(&six.sin6_port, 2);
    /* Runs of zeros, in all places: they are what is written short. */
    for (int at = 0; at < 16; at += 2)
      if (rand() & 64) random_bytes(&six.sin6_addr.s6_addr[at], 2);
    if (i % 50 == 0) six.sin6_scope_id = 1 + (uint32_t)(rand() % 5);
    assert_comes_back(&six, sizeof six);
    const uint32_t length = 1 + (uint32_t)rand() % (PATH_SIZE - 1);
    for (uint32_t at = 0; at < length; at++) un.sun_path[at] = (char)(1 + rand() % 255);
    if (un.sun_path[0] == '@') un.sun_path[0] = '/';
    assert_comes_back(&un, PATH_AT + length + 1);
    memmove(un.sun_path + 1, un.sun_path, length);
    un.sun_path[0] = '\0';
    assert_comes_back(&un, PATH_AT + 1 + length);
  }
}

static void what_does_not_fit_is_cut_and_counted(void **state) {
  (void)state;
  unsigned char part[32];
  char text[32];
  struct sockaddr_storage whole;
  uint32_t length = 0;
  const uint32_t full = parse("[::1]:80", &whole);
  memset(part, 0xee, sizeof part);
  assert_int_equal(torque_address_parse("[::1]:80", 0, part, 5, &length), 0);
  assert_int_equal(length, full);
  assert_memory_equal(part, &whole, 5);
  assert_int_equal(part[5], 0xee);
  assert_int_equal(torque_address_parse("[::1]:80", 0, NULL, 0, &length), 0);
  assert_int_equal(length, full);
  for (uint32_t size = 0; size < 12; size++) {
    char wanted[32];
    memset(text, '#', sizeof text);
    length = 0;
    assert_int_equal(torque_address_format(&whole, full, size ? text : NULL, size, &length), 0);
    assert_int_equal(length, 8);
    memset(wanted, '#', sizeof wanted);
    if (size) snprintf(wanted, size, "%s", "[::1]:80");
    assert_memory_equal(text, wanted, sizeof wanted);
  }
}

static void addresses_without_a_text(void **state) {
  (void)state;
  char text[TORQUE_ADDRESS_TEXT_SIZE] = "untouched";
  uint32_t length = 77;
  const struct sockaddr_in four = {.sin_family = AF_INET};
  const struct sockaddr_in6 six = {.sin6_family = AF_INET6};
  const struct sockaddr_storage unknown = {.ss_family = AF_NETLINK};
  const struct sockaddr_un at = {.sun_family = AF_UNIX, .sun_path = "@name"};
  const struct sockaddr_un zeros = {.sun_family = AF_UNIX, .sun_path = "\0na\0me"};
  struct sockaddr_un endless = {.sun_family = AF_UNIX};
  memset(endless.sun_path, 'x', sizeof endless.sun_path);
  const struct {
    const void *address;
    size_t length;
  } table[] = {
      {&four, sizeof four - 1}, {&six, sizeof six - 1},       {&unknown, sizeof unknown}, {&at, PATH_AT + 6},
      {&zeros, PATH_AT + 6},    {&zeros, PATH_AT + 1},        {&endless, sizeof endless}, {&four, 0},
      {&four, 1},               {&unknown, sizeof unknown + 1}, {NULL, sizeof four},
  };
  for (size_t i = 0; i < sizeof table / sizeof *table; i++)
    assert_int_equal(torque_address_format(table[i].address, (uint32_t)table[i].length, text, sizeof text, &length),
                     TORQUE_ERR_INVAL);
  assert_int_equal(torque_address_format(&four, sizeof four, NULL, 1, &length), TORQUE_ERR_INVAL);
  assert_int_equal(torque_address_format(&four, sizeof four, text, sizeof text, NULL), TORQUE_ERR_INVAL);
  assert_int_equal(torque_address_parse(NULL, 0, text, sizeof text, &length), TORQUE_ERR_INVAL);
  assert_int_equal(torque_address_parse("*", 0, NULL, 1, &length), TORQUE_ERR_INVAL);
  assert_int_equal(torque_address_parse("*", 0, text, sizeof text, NULL), TORQUE_ERR_INVAL);
  assert_int_equal(length, 77);
  assert_string_equal(text, "untouched");
}

static void a_socket_without_a_name(void **state) {
  (void)state;
  int fd[2];
  struct sockaddr_storage address;
  socklen_t length = sizeof address;
  assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, fd), 0);
  assert_int_equal(getsockname(fd[0], (struct sockaddr *)&address, &length), 0);
  close(fd[0]);
  close(fd[1]);
  assert_text(&address, length, "unix:");
}

int main(void) {
  const struct CMUnitTest tests[] = {
      cmocka_unit_test(texts_of_ipv4),
      cmocka_unit_test(texts_of_ipv6),
      cmocka_unit_test(an_interface_has_a_name_or_a_number),
      cmocka_unit_test(any_address),
      cmocka_unit_test(texts_of_unix_sockets),
      cmocka_unit_test(bad_texts),
      cmocka_unit_test(an_interface_that_is_not_there),
      cmocka_unit_test(random_addresses_come_back),
      cmocka_unit_test(what_does_not_fit_is_cut_and_counted),
      cmocka_unit_test(addresses_without_a_text),
      cmocka_unit_test(a_socket_without_a_name),
  };
  return cmocka_run_group_tests(tests, NULL, NULL);
}
