/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef LIBTORQUE_ADDRESS_H
#define LIBTORQUE_ADDRESS_H

#include <libtorque/error.h>
#include <stdint.h>

TORQUE_BEGIN_DECLS

/* Socket addresses as text. Names of hosts and services are not looked up (see torque_resolve(3) for that), and the locale
 * plays no part.
 *
 *   "127.0.0.1:80"  "[::1]:80"  "[fe80::1%eth0]:80"  address and port; after % an interface, by name or number
 *   "127.0.0.1"  "::1"  "fe80::1%eth0"  "[::1]"      the same with default_port
 *   "*:80"  ":80"  "*"                               any address: ::, or 0.0.0.0 where the system has no IPv6
 *   "unix:/run/socket"  "unix:@name"                 a path; a name in the abstract space
 *
 * Ports are decimal, 0 to 65535, without leading zeros. Thread: any; these calls need no context. */

/* Room for the text of every address, its end included. A struct sockaddr_storage has room for every address. */
enum { TORQUE_ADDRESS_TEXT_SIZE = 128 };

/* The address that text means: a struct sockaddr_in, sockaddr_in6 or sockaddr_un. At most size bytes go to addr, the full
 * length to *ret_len: more than size means that it was cut.
 * Errors: INVAL not such a text, a path of more than 107 bytes, an abstract name of more than 107 or none;
 * SYSCALL + ENODEV no such interface; SYSCALL + what looking for it meets. */
TORQUE_API torque_err torque_address_parse(const char *text, uint16_t default_port, void *addr, uint32_t size,
                                           uint32_t *ret_len) TORQUE_CHECKED;

/* The text of an address of len bytes, which torque_address_parse() turns into the same address: "127.0.0.1:80",
 * "[::1]:80", "[fe80::1%eth0]:80", "unix:/run/socket", "unix:@name". "unix:", which means no address, is that of a unix socket
 * without a name. At most size bytes go to text, always with an end if size is not 0, and the length without the end to
 * *ret_len: size or more means that it was cut.
 * Errors: INVAL another family, len too short for its family, a unix address that no text means (a path that begins with @,
 * an abstract name with a zero byte). */
TORQUE_API torque_err torque_address_format(const void *addr, uint32_t len, char *text, uint32_t size,
                                            uint32_t *ret_len) TORQUE_CHECKED;

TORQUE_END_DECLS

#endif
