/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef LIBTORQUE_BUFFERS_H
#define LIBTORQUE_BUFFERS_H

#include <libtorque/export.h>
#include <stddef.h>

TORQUE_BEGIN_DECLS

/* What a buffered callback of the original library's interface (torque.h) is given: the input that it has not taken yet.
 * It is valid until the callback returns.
 *
 * Thread: the callback's. */
struct torque_rxbuf;
typedef struct torque_rxbuf torque_rxbuf;

/* The bytes that wait, in one piece; how many goes to *valid. Never null. */
TORQUE_API const char *rxbuffer_valid(const struct torque_rxbuf *rxb, size_t *valid);

/* The first n of them are taken, and not shown again. More than there are: all. */
TORQUE_API void rxbuffer_advance(struct torque_rxbuf *rxb, size_t n);

/* For those who have bytes of their own to tell (the add-on libraries): calls fn with a buffer of them, answers what it
 * answers, and puts how many it took into *ret_taken. */
TORQUE_API int torque_rxbuf_call(int fd, int (*fn)(int fd, struct torque_rxbuf *rxb, void *state), void *state,
                                 const void *data, size_t length, size_t *ret_taken);

TORQUE_END_DECLS

#endif
