// SPDX-License-Identifier: BSD-3-Clause
// The wheel's reserve of chunks: what was reserved can be had, what is not needed goes back.
#include "timer/chunk.hh"

#include <cstdlib>
#include <vector>

#include "support/cmocka.hh"

namespace {

using torque::Alloc;
using torque::timer::Chunk;
using torque::timer::ChunkPool;
using torque::timer::Slab;

size_t blocks = 0;
size_t most_blocks = SIZE_MAX;

void *take(size_t size, size_t, void *) {
  if (blocks == most_blocks) return nullptr;
  ++blocks;
  return std::malloc(size);
}
void give(void *p, size_t, void *) {
  --blocks;
  std::free(p);
}
const Alloc counted{take, give, nullptr};

int reset(void **) {
  blocks = 0;
  most_blocks = SIZE_MAX;
  return 0;
}

void trimming_keeps_what_was_asked_for(void **) {
  ChunkPool pool(counted);
  assert_true(pool.reserve(1000));
  for (size_t n : {size_t{999}, size_t{500}, size_t{17}, size_t{16}, size_t{1}}) {
    pool.trim(n);
    assert_true(pool.held() >= n);
    assert_true(pool.held() < n + Slab::kChunks);
    assert_int_equal(pool.bytes(), blocks * sizeof(Slab));
  }
  pool.trim(0);
  assert_int_equal(blocks, 0);
}

void a_reserve_without_memory_keeps_what_there_is(void **) {
  ChunkPool pool(counted);
  most_blocks = 2;
  assert_false(pool.reserve(100));
  assert_int_equal(pool.held(), 2 * Slab::kChunks);
  assert_true(pool.reserve(2 * Slab::kChunks));
  pool.trim(0);
  assert_int_equal(blocks, 0);
}

void every_reserved_chunk_can_be_had_again_and_again(void **) {
  ChunkPool pool(counted);
  constexpr size_t kMany = 10 * Slab::kChunks;
  assert_true(pool.reserve(kMany));
  const size_t before = blocks;
  std::vector<Chunk *> out;
  for (size_t round = 0; round < 50; ++round) {
    while (out.size() < kMany) out.push_back(pool.take());
    for (Chunk *c : out) c->entry[0].id = 0;
    for (Chunk *c : out) assert_int_equal(c->entry[0].id++, 0);  // each is another
    for (size_t i = round; i < out.size(); i += round % 7 + 1) {
      pool.give(out[i]);
      out[i] = out.back();
      out.pop_back();
    }
  }
  assert_int_equal(blocks, before);
  for (Chunk *c : out) pool.give(c);
  pool.trim(0);
  assert_int_equal(blocks, 0);
}

void chunks_in_use_hold_back_only_their_own_slab(void **) {
  ChunkPool pool(counted);
  assert_true(pool.reserve(10 * Slab::kChunks));
  std::vector<Chunk *> out;
  for (size_t i = 0; i < 10 * Slab::kChunks; ++i) out.push_back(pool.take());
  Chunk *kept = out[5 * Slab::kChunks];
  for (Chunk *c : out)
    if (c != kept) pool.give(c);
  pool.trim(1);
  assert_int_equal(blocks, 1);
  pool.give(kept);
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {
      cmocka_unit_test_setup(trimming_keeps_what_was_asked_for, reset),
      cmocka_unit_test_setup(a_reserve_without_memory_keeps_what_there_is, reset),
      cmocka_unit_test_setup(every_reserved_chunk_can_be_had_again_and_again, reset),
      cmocka_unit_test_setup(chunks_in_use_hold_back_only_their_own_slab, reset),
  };
  return cmocka_run_group_tests(tests, nullptr, nullptr);
}
