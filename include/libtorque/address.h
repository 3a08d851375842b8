/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef LIBTORQUE_ADDRESS_H
#define LIBTORQUE_ADDRESS_H

#include <libtorque/error.h>
#include <stdint.h>

TORQUE_BEGIN_DECLS

/* Conversion between text and socket addresses. Host names and service names are not resolved; use torque_resolve(3).
 * The locale has no effect.
 *
 *   "127.0.0.1:80"  "[::1]:80"  "[fe80::1%eth0]:80"  address and port; after % an interface, by name or number
 *   "127.0.0.1"  "::1"  "fe80::1%eth0"  "[::1]"      address without port; the port is default_port
 *   "*:80"  ":80"  "*"                               the wildcard address: ::, or 0.0.0.0 if the system has no IPv6
 *   "unix:/run/socket"  "unix:@name"                 a path; a name in the abstract namespace
 *
 * Ports are decimal, 0 to 65535, without leading zeros.
 * Thread: any. These calls need no context. */

/* Enough bytes for the text of every address with its null byte. A struct sockaddr_storage has room for every address.
 */
enum { TORQUE_ADDRESS_TEXT_SIZE = 128 };

/* Converts text to a struct sockaddr_in, sockaddr_in6 or sockaddr_un. Stores at most size bytes in addr, and the full
 * length in *ret_len; a length greater than size means that the address was truncated.
 * Errors: INVAL (the text has none of these forms, or has an empty path or abstract name, or one of more than 107
 *         bytes); SYSCALL + ENODEV (no such interface); SYSCALL + errno (the interface could not be looked up). */
TORQUE_API torque_err torque_address_parse(const char *text, uint16_t default_port, void *addr, uint32_t size,
                                           uint32_t *ret_len) TORQUE_CHECKED;

/* Converts an address of len bytes to text: "127.0.0.1:80", "[::1]:80", "[fe80::1%eth0]:80", "unix:/run/socket",
 * "unix:@name". torque_address_parse() converts the text back to the same address, except for the flow label of an IPv6
 * address. A unix socket without a name has the text "unix:", which torque_address_parse() does not accept. Stores at
 * most size bytes in text, always terminated by a null byte if size is not 0, and the length without the null byte in
 * *ret_len; a length of size or more means that the text was truncated.
 * Errors: INVAL (another family; len is less than the family requires; a unix address that has no text: a path that
 *         begins with @, or an abstract name that contains a null byte). */
TORQUE_API torque_err torque_address_format(const void *addr, uint32_t len, char *text, uint32_t size,
                                            uint32_t *ret_len) TORQUE_CHECKED;

TORQUE_END_DECLS

#endif
