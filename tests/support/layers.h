/* SPDX-License-Identifier: BSD-3-Clause */
/* Layers of the tests' own, one for each thing that a layer may do. The caller frees the types. */
#ifndef TORQUE_TESTS_LAYERS_H
#define TORQUE_TESTS_LAYERS_H

#include <libtorque/layer.h>

/* Every byte with the key. Holds nothing, stops for nobody. */
struct torque_layer_type *layer_xor(unsigned char key);

/* What is sent at once goes with its length in front (4 bytes, high ones first). Takes whole frames only. */
struct torque_layer_type *layer_frames(void);

/* Sends a greeting at the start, and is ready when it has the peer's. */
#define GREETING "greetings\n"
struct torque_layer_type *layer_handshake(void);

/* Keeps what is sent until it is flushed or ended. */
struct torque_layer_type *layer_hold(void);

/* Of every byte that is received it makes `times`, and stops in the midst of them. */
struct torque_layer_type *layer_grow(uint32_t times);

/* The input ends at the first such byte. */
struct torque_layer_type *layer_until(unsigned char last);

#endif
