/* SPDX-License-Identifier: BSD-3-Clause */
/* Everything that streams can, in every mixture, through layers of the tests' own. */
#include "support/layers.h"
#include "support/mixture.h"

#include "support/cmocka.h"

enum { TALKS = FEWER(150) };

/* Bit 0: xor, 1: frames, 2: handshake, 3: one that holds back; in that order from the wire on. */
static void add_layers(struct mixture_layers *layers, uint32_t which) {
  struct torque_layer_type *type[] = {layer_xor(77), layer_frames(), layer_handshake(), layer_hold()};
  for (uint32_t i = 0; i < 4; i++) {
    if (which >> i & 1) {
      layers->layer[0][layers->count] = layers->layer[1][layers->count] = type[i];
      layers->count++;
    } else {
      torque_layer_type_free(type[i]);
    }
  }
}

static void talk(struct fixture *f, uint64_t from, uint32_t which) {
  for (uint64_t seed = from; seed < from + TALKS; seed++) {
    struct mixture_layers layers = {.count = 0};
    add_layers(&layers, which ? (uint32_t)seed % 16 : 0);
    mixture(f, seed, &layers);
    for (uint32_t i = 0; i < layers.count; i++) torque_layer_type_free(layers.layer[0][i]);
  }
}

static void without_layers(void **state) { talk(*state, 1000, 0); }
static void with_layers(void **state) { talk(*state, 2000, 1); }

int main(void) {
  const struct CMUnitTest tests[] = {ON_EVERY(without_layers), ON_EVERY(with_layers)};
  return cmocka_run_group_tests(tests, NULL, NULL);
}
