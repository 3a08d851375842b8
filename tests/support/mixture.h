/* SPDX-License-Identifier: BSD-3-Clause */
/* Two streams of ours that talk with each other, and do everything that streams can in every mixture: marks, budgets, parts
 * taken, pauses, changes of type, writes from inside and outside that wait for drain, shutdown, close, abort. Whatever the
 * mixture, each tells the bytes of the other, all of them, in order; the end at most once; the close once and last; and
 * nobody has to be called who has done its part. */
#ifndef TORQUE_TESTS_MIXTURE_H
#define TORQUE_TESTS_MIXTURE_H

#include "support/streams.h"

enum { MIXTURE_LAYERS = 4 };

/* Layers of both sides, from the wire on; the caller's. */
struct mixture_layers {
  struct torque_layer_type *layer[2][MIXTURE_LAYERS];
  uint32_t count;
};

/* One talk, which the seed decides. */
void mixture(struct fixture *f, uint64_t seed, const struct mixture_layers *layers);

#endif
