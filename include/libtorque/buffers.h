/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef LIBTORQUE_BUFFERS_H
#define LIBTORQUE_BUFFERS_H

#include <libtorque/export.h>
#include <stddef.h>

TORQUE_BEGIN_DECLS

/* The input that a buffered callback of the original library's interface (torque.h) gets: the bytes that were not taken
 * yet. It is valid until the callback returns.
 * Thread: the callback's. */
struct torque_rxbuf;
typedef struct torque_rxbuf torque_rxbuf;

/* Returns the address of the bytes, which are in one piece, and stores their number in *valid. Never returns null. */
TORQUE_API const char *rxbuffer_valid(const struct torque_rxbuf *rxb, size_t *valid);

/* Takes the first n bytes, or all if there are fewer. They are not passed to the callback again. */
TORQUE_API void rxbuffer_advance(struct torque_rxbuf *rxb, size_t n);

/* For other libraries, such as the add-ons: calls fn with a buffer of length bytes at data, returns the value that fn
 * returns, and stores the number of bytes that fn has taken in *ret_taken. */
TORQUE_API int torque_rxbuf_call(int fd, int (*fn)(int fd, struct torque_rxbuf *rxb, void *state), void *state,
                                 const void *data, size_t length, size_t *ret_taken);

TORQUE_END_DECLS

#endif
