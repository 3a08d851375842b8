// SPDX-License-Identifier: BSD-3-Clause
// A handle never comes again: a slot goes through all generations once, and is used no more.
#include "source/slots.hh"

#include <set>
#include <vector>

#include "source/context.hh"
#include "support/cmocka.hh"

namespace {

using namespace torque;

Options driven() {
  Options o;
  o.driven = true;
  return o;
}

struct One {
  One() : context(Alloc{}, driven(), Log{}) {
    const uint32_t size = 1;
    assert_int_equal(context.open(1, &size), 0);
  }
  SlotPool &pool() { return context.domain(0).slots; }
  Context context;
};

uint32_t generation_of_slot(const Slot &s) { return word::generation(s.word.load()); }

// As the end of a source leaves it.
void finish(SlotPool &pool, Slot &s) {
  s.word.store(word::make(word::next_generation(generation_of_slot(s)), word::FREE));
  pool.give(s);
}

// As if it had lived that often.
void age(Slot &s, uint32_t generation) { s.word.store(word::make(generation, word::NEW)); }

void a_slot_is_used_again_with_another_generation(void **) {
  One one;
  Slot *first = one.pool().take();
  const uint32_t g = generation_of_slot(*first);
  finish(one.pool(), *first);
  Slot *again = one.pool().take();
  assert_ptr_equal(again, first);
  assert_int_equal(generation_of_slot(*again), g + 1);
  finish(one.pool(), *again);
}

void the_last_generation_is_the_last(void **) {
  One one;
  Slot *worn = one.pool().take();
  age(*worn, word::kGenerationLast);
  const uint64_t last = handle_of(word::kGenerationLast, worn->index);
  finish(one.pool(), *worn);
  assert_int_equal(one.pool().live(), 0);
  std::vector<Slot *> taken;
  for (uint32_t i = 0; i < 3 * kChunkSlots; ++i) {
    Slot *s = one.pool().take();
    assert_ptr_not_equal(s, worn);
    assert_true(generation_of_slot(*s) >= 1 && generation_of_slot(*s) <= word::kGenerationLast);
    assert_true(handle_of(generation_of_slot(*s), s->index) != last);
    taken.push_back(s);
  }
  for (Slot *s : taken) finish(one.pool(), *s);
}

// Where memory goes back the generations begin above the highest of the chunk: one worn slot must not wear out all.
void a_worn_slot_keeps_the_memory_of_its_chunk(void **) {
  One one;
  std::vector<Slot *> taken;
  for (uint32_t i = 0; i < 8 * kChunkSlots; ++i) taken.push_back(one.pool().take());
  const uint32_t worn = taken[0]->index;
  age(*taken[0], SlotPool::kWorn);
  for (Slot *s : taken) finish(one.pool(), *s);
  assert_int_equal(generation_of_slot(*find_slot(worn)), SlotPool::kWorn + 1);
  std::set<uint64_t> handles;
  for (Slot *&s : taken) {
    s = one.pool().take();
    if (s->index != worn) assert_true(generation_of_slot(*s) < SlotPool::kWorn);
    assert_true(handles.insert(handle_of(generation_of_slot(*s), s->index)).second);
  }
  for (Slot *s : taken) finish(one.pool(), *s);
}

// Nor does another context continue where that was.
void the_number_of_a_worn_chunk_is_taken_by_nobody(void **) {
  uint32_t number;
  {
    One one;
    Slot *s = one.pool().take();
    number = s->index / kChunkSlots;
    age(*s, SlotPool::kWorn);
    finish(one.pool(), *s);
  }
  assert_null(first_slot_of(number * kChunkSlots));
  One one;
  std::vector<Slot *> taken;
  for (uint32_t i = 0; i < 4 * kChunkSlots; ++i) {
    taken.push_back(one.pool().take());
    assert_int_not_equal(taken.back()->index / kChunkSlots, number);
  }
  for (Slot *s : taken) finish(one.pool(), *s);
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {
      cmocka_unit_test(a_slot_is_used_again_with_another_generation),
      cmocka_unit_test(the_last_generation_is_the_last),
      cmocka_unit_test(a_worn_slot_keeps_the_memory_of_its_chunk),
      cmocka_unit_test(the_number_of_a_worn_chunk_is_taken_by_nobody),
  };
  return cmocka_run_group_tests(tests, nullptr, nullptr);
}
