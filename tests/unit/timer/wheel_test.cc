// SPDX-License-Identifier: BSD-3-Clause
// The timer wheel beside a sorted map that does the same thing slowly. Every check compares the two.
#include "timer/wheel.hh"

#include <cstdlib>
#include <map>
#include <memory>
#include <random>
#include <utility>
#include <vector>

#include "support/cmocka.hh"

namespace {

using torque::Alloc;
using torque::Deadline;
using torque::kNever;
using torque::kSecond;

constexpr uint64_t kTick = uint64_t{1} << torque::timer::Buckets::kTickBits;

// An allocator that fails when told to, and knows what is out.
struct Memory {
  size_t out = 0;
  size_t calls = 0;
  size_t fail_from = SIZE_MAX;  // calls [fail_from, fail_to) fail
  size_t fail_to = SIZE_MAX;

  static void *take(size_t size, size_t, void *arg) {
    auto *m = static_cast<Memory *>(arg);
    const size_t call = m->calls++;
    if (call >= m->fail_from && call < m->fail_to) return nullptr;
    m->out += size;
    return std::malloc(size);
  }
  static void give(void *p, size_t size, void *arg) {
    if (p) static_cast<Memory *>(arg)->out -= size;
    std::free(p);
  }
  void fail_all() { fail_from = 0; }
  void fail_none() { fail_from = SIZE_MAX; }
};

struct Object {
  Deadline deadline;
  uint64_t order = 0;  // of its last set, never wrapping
  bool gone = false;   // not to be found by its id
};

struct Find {
  std::vector<Object> *objects;
  Deadline *operator()(uint32_t id) const {
    Object &o = (*objects)[id];
    return o.gone ? nullptr : &o.deadline;
  }
  void prefetch(uint32_t id) const { __builtin_prefetch(&(*objects)[id]); }
};

using Wheel = torque::Wheel<Find>;

// The wheel and its model, always changed together.
struct World {
  explicit World(size_t n, uint32_t first_seq = 0)
      : objects(n), wheel(std::make_unique<Wheel>(alloc, Find{&objects}, first_seq)) {}

  bool set(uint32_t id, uint64_t at) {
    Object &o = objects[id];
    const uint64_t before = o.deadline.at;
    if (!wheel->set(id, o.deadline, at)) {
      assert_int_equal(o.deadline.at, before);
      return false;
    }
    if (before != kNever) model.erase({before, o.order});
    o.order = ++sets;
    if (at != kNever) model[{at, o.order}] = id;
    assert_int_equal(o.deadline.at, at);
    return true;
  }
  void must_set(uint32_t id, uint64_t at) { assert_true(set(id, at)); }
  void cancel(uint32_t id) {
    Object &o = objects[id];
    if (o.deadline.is_set()) model.erase({o.deadline.at, o.order});
    wheel->cancel(o.deadline);
    assert_false(o.deadline.is_set());
  }
  uint64_t due() const { return model.empty() ? kNever : model.begin()->first.first; }

  // One pop, compared. Returns: the id, or -1 when nothing was due, in both worlds.
  int64_t pop() {
    uint32_t id = UINT32_MAX;
    uint64_t at = 17;
    if (!wheel->pop(now, &id, &at)) {
      assert_int_equal(id, UINT32_MAX);
      assert_int_equal(at, 17);
      assert_true(due() > now);
      return -1;
    }
    assert_false(model.empty());
    assert_true(due() <= now);
    assert_int_equal(id, model.begin()->second);
    assert_int_equal(at, due());
    assert_false(objects[id].deadline.is_set());
    model.erase(model.begin());
    return id;
  }
  size_t pop_all() {
    size_t n = 0;
    while (pop() >= 0) ++n;
    return n;
  }
  void check() {
    const uint64_t next = wheel->next();
    assert_true(next <= due());
    assert_int_equal(next == kNever, model.empty());
    assert_int_equal(wheel->armed(), model.size());
    assert_int_equal(wheel->bytes(), memory.out);
  }

  Memory memory;
  Alloc alloc{Memory::take, Memory::give, &memory};
  std::vector<Object> objects;
  std::unique_ptr<Wheel> wheel;
  std::map<std::pair<uint64_t, uint64_t>, uint32_t> model;
  uint64_t sets = 0;
  uint64_t now = 0;
};

// The world of the running test lives here, so that a failing assertion leaves nothing behind.
std::unique_ptr<World> owned;
World &make(size_t n, uint32_t first_seq = 0) {
  owned = std::make_unique<World>(n, first_seq);
  return *owned;
}
int teardown(void **) {
  if (!owned) return 0;
  owned->wheel.reset();
  const size_t leaked = owned->memory.out;
  owned.reset();
  return leaked == 0 ? 0 : -1;
}

using Random = std::mt19937_64;
uint64_t below(Random &r, uint64_t n) { return r() % n; }
uint64_t any_magnitude(Random &r) { return r() >> below(r, 64); }

// -- random worlds

struct Kind {
  const char *name;
  uint64_t (*deadline)(Random &, uint64_t now);
  uint64_t (*step)(Random &);
  uint64_t start;
};

uint64_t plus(uint64_t now, uint64_t d) { return std::min(torque::add_ns(now, d), kNever - 1); }

const Kind kinds[] = {
    {"within a minute", [](Random &r, uint64_t now) { return plus(now, below(r, 60 * kSecond)); },
     [](Random &r) { return below(r, kSecond / 10); }, 0},
    {"within a tick", [](Random &r, uint64_t now) { return plus(now, below(r, kTick)); },
     [](Random &r) { return below(r, kTick / 16); }, 12345678901},
    {"few ticks", [](Random &r, uint64_t now) { return plus(now, below(r, 600 * kTick)); },
     [](Random &r) { return below(r, 5 * kTick); }, 77},
    {"any magnitude", [](Random &r, uint64_t now) { return plus(now, any_magnitude(r)); },
     [](Random &r) { return below(r, 8) ? any_magnitude(r) >> 24 : any_magnitude(r) >> 9; }, 1},
    {"round times", [](Random &r, uint64_t now) { return plus(now, 0) / 1000000 * 1000000 + below(r, 50) * 1000000; },
     [](Random &r) { return below(r, 2000000); }, kSecond},
    {"past and future",
     [](Random &r, uint64_t now) {
       const uint64_t back = below(r, 3 * kSecond);
       return back > now ? 0 : plus(now - back, below(r, 6 * kSecond));
     },
     [](Random &r) { return below(r, 20000000); }, 0},
    {"the end of time", [](Random &r, uint64_t now) { return plus(now, any_magnitude(r) >> 10); },
     [](Random &r) { return any_magnitude(r) >> 22; }, kNever - (uint64_t{1} << 55)},
    {"tick edges",
     [](Random &r, uint64_t now) {
       const unsigned bits = 16 + 8 * static_cast<unsigned>(below(r, 4));
       return plus((now >> bits << bits) + (below(r, 4) << bits), below(r, 3)) - 1;
     },
     [](Random &r) { return any_magnitude(r) >> 30; }, uint64_t{1} << 40},
};

void random_change(World &w, const Kind &k, Random &r) {
  const uint32_t id = static_cast<uint32_t>(below(r, w.objects.size()));
  if (below(r, 4) == 0)
    w.cancel(id);
  else
    w.set(id, k.deadline(r, w.now));
}

void random_life(World &w, const Kind &k, Random &r, size_t operations) {
  w.now = k.start;
  w.pop_all();
  for (size_t i = 0; i < operations; ++i) {
    random_change(w, k, r);
    if (below(r, 16)) continue;
    w.now = below(r, 8) || w.model.empty() ? plus(w.now, k.step(r)) : std::max(w.now, w.due());
    // Callbacks set and cancel between two pops.
    while (w.pop() >= 0)
      if (below(r, 2)) random_change(w, k, r);
    if (below(r, 4) == 0) w.check();
  }
}

void drain(World &w) {
  while (!w.model.empty()) {
    w.check();
    w.now = std::max(w.now, w.wheel->next());
    w.pop_all();
  }
  w.check();
}

void every_random_life_agrees_with_the_model(void **) {
  for (const Kind &k : kinds)
    for (uint64_t seed = 1; seed <= 6; ++seed) {
      print_message("           %s, seed %ju\n", k.name, static_cast<uintmax_t>(seed));
      Random r(seed);
      World &w = make(seed % 3 == 0 ? 30 : seed % 3 == 1 ? 1000 : 20000, static_cast<uint32_t>(0 - 1000 * seed));
      random_life(w, k, r, 60000);
      drain(w);
      w.wheel.reset();
      assert_int_equal(w.memory.out, 0);
    }
}

// -- order

void equal_deadlines_fire_in_the_order_they_were_set(void **) {
  World &w = make(5000);
  for (uint32_t i = 0; i < 5000; ++i) w.must_set(i * 7 % 5000, kSecond);
  w.now = kSecond - 1;
  assert_int_equal(w.pop(), -1);
  w.now = kSecond;
  for (uint32_t i = 0; i < 5000; ++i) assert_int_equal(w.pop(), i * 7 % 5000);
}

void setting_again_goes_behind_those_of_the_same_time(void **) {
  World &w = make(3);
  for (uint32_t i = 0; i < 3; ++i) w.must_set(i, kSecond);
  w.must_set(0, kSecond);  // same time
  w.must_set(1, kSecond / 2);
  w.must_set(1, kSecond);  // there and back: its old entry still lies at this time
  w.now = kSecond;
  assert_int_equal(w.pop(), 2);
  assert_int_equal(w.pop(), 0);
  assert_int_equal(w.pop(), 1);
  assert_int_equal(w.pop(), -1);
}

void order_of_setting_survives_the_wrap_of_its_counter(void **) {
  World &w = make(100, UINT32_MAX - 50);
  for (uint32_t i = 0; i < 100; ++i) w.must_set(99 - i, kSecond);
  w.now = kSecond;
  assert_int_equal(w.pop_all(), 100);
}

void a_past_deadline_fires_at_once_and_in_order(void **) {
  World &w = make(10);
  w.now = 100 * kSecond;
  w.must_set(0, 101 * kSecond);
  assert_int_equal(w.pop(), -1);
  w.must_set(1, 50 * kSecond);
  w.must_set(2, 0);
  w.must_set(3, 99 * kSecond);
  w.check();
  assert_int_equal(w.pop(), 2);
  w.must_set(4, 1);
  assert_int_equal(w.pop(), 4);
  assert_int_equal(w.pop(), 1);
  assert_int_equal(w.pop(), 3);
  assert_int_equal(w.pop(), -1);
}

void a_deadline_set_into_the_tick_being_served_takes_its_place(void **) {
  World &w = make(100);
  for (uint32_t i = 0; i < 50; ++i) w.must_set(i, kSecond + i * 10);
  w.now = kSecond + 200;
  assert_int_equal(w.pop(), 0);
  w.must_set(60, kSecond + 15);
  w.must_set(61, kSecond + 5);
  w.must_set(62, kSecond + 10);
  for (const int id : {61, 1, 62, 60, 2}) assert_int_equal(w.pop(), id);
  w.pop_all();
  drain(w);
}

// -- never early, never lost

void nothing_fires_a_nanosecond_early(void **) {
  for (unsigned bit = 0; bit < 64; ++bit)
    for (uint64_t at : {(uint64_t{1} << bit) - 1, uint64_t{1} << bit, (uint64_t{1} << bit) + 1}) {
      World &w = make(1);
      w.must_set(0, at);
      if (at > 0) {
        w.now = at - 1;
        assert_int_equal(w.pop(), -1);
        assert_int_equal(w.wheel->next(), at);
      }
      w.now = at;
      assert_int_equal(w.pop(), 0);
    }
}

void the_last_nanosecond_before_never_is_a_time(void **) {
  World &w = make(3);
  w.must_set(0, kNever - 1);
  w.must_set(1, kNever - 2);
  w.must_set(2, 5);
  w.check();
  w.now = kNever - 2;
  assert_int_equal(w.pop(), 2);
  assert_int_equal(w.pop(), 1);
  assert_int_equal(w.pop(), -1);
  w.must_set(1, kNever - 1);
  w.now = kNever - 1;
  assert_int_equal(w.pop(), 0);
  assert_int_equal(w.pop(), 1);
  w.must_set(2, 0);
  assert_int_equal(w.pop(), 2);
}

void setting_to_never_cancels(void **) {
  World &w = make(1);
  w.must_set(0, kSecond);
  w.must_set(0, kNever);
  assert_int_equal(w.wheel->armed(), 0);
  assert_int_equal(w.wheel->next(), kNever);
  w.now = 2 * kSecond;
  assert_int_equal(w.pop(), -1);
}

void a_jump_of_years_serves_all_in_order(void **) {
  World &w = make(3000);
  Random r(7);
  for (uint32_t i = 0; i < 3000; ++i) w.must_set(i, below(r, 1000000000) * kSecond / 10 + i);
  w.now = 20 * 365 * 86400 * kSecond;
  assert_int_equal(w.pop_all(), 3000);
}

void an_idle_century_costs_nothing_and_breaks_nothing(void **) {
  World &w = make(2);
  w.must_set(0, 3000000000 * kSecond);
  for (uint64_t day = 1; day < 3000; ++day) {
    w.now = day * 1000000 * kSecond;
    assert_int_equal(w.pop(), -1);
    w.must_set(1, w.now + day % 7 * kSecond + 1);
    w.check();
    w.now = w.wheel->next();
    assert_int_equal(w.pop(), 1);
  }
  w.now = 3000000000 * kSecond;
  assert_int_equal(w.pop(), 0);
}

// -- cancelling

void cancelling_twice_or_when_unset_is_harmless(void **) {
  World &w = make(2);
  w.cancel(0);
  w.must_set(0, kSecond);
  w.must_set(1, kSecond);
  w.cancel(0);
  w.cancel(0);
  w.check();
  w.now = kSecond;
  assert_int_equal(w.pop(), 1);
  w.cancel(1);
  w.check();
}

void what_is_cancelled_while_its_tick_is_served_does_not_fire(void **) {
  World &w = make(2000);
  for (uint32_t i = 0; i < 2000; ++i) w.must_set(i, kSecond + i * 100);
  w.now = 2 * kSecond;
  for (uint32_t i = 0; i < 2000; i += 4) {
    assert_int_equal(w.pop(), i);
    for (uint32_t k = 1; k < 4; ++k) w.cancel(i + k);
    if (i % 100 == 0) w.check();
  }
  assert_int_equal(w.pop(), -1);
}

void a_new_owner_of_an_id_is_not_fired_by_entries_of_the_old(void **) {
  World &w = make(1);
  for (uint64_t generation = 0; generation < 50; ++generation) {
    w.must_set(0, (100 - generation) * kSecond);
    w.must_set(0, (90 - generation) * kSecond);
    w.cancel(0);
    w.objects[0].deadline = Deadline{};  // another object, same id
  }
  w.must_set(0, 200 * kSecond);
  w.now = 150 * kSecond;
  assert_int_equal(w.pop(), -1);
  w.now = 200 * kSecond;
  assert_int_equal(w.pop(), 0);
  assert_int_equal(w.pop(), -1);
}

void entries_of_an_id_that_is_gone_are_dropped(void **) {
  World &w = make(100);
  for (uint32_t i = 0; i < 100; ++i) w.must_set(i, kSecond + i);
  for (uint32_t i = 0; i < 100; i += 2) {
    w.cancel(i);
    w.objects[i].gone = true;
  }
  w.check();
  w.now = 2 * kSecond;
  assert_int_equal(w.pop_all(), 50);
  assert_int_equal(w.wheel->entries(), 0);
}

// As if the counter had come round to the same value: the old entry is taken for the new object's own.
void an_entry_mistaken_for_a_new_one_fires_it_neither_early_nor_twice(void **) {
  World &w = make(1);
  w.must_set(0, kSecond);
  const Deadline old = w.objects[0].deadline;
  w.cancel(0);
  w.objects[0].deadline = Deadline{};
  w.must_set(0, kSecond);
  w.objects[0].deadline.entry_seq = old.entry_seq;
  w.must_set(0, 3 * kSecond);
  w.objects[0].deadline.seq = old.entry_seq;
  w.now = 2 * kSecond;
  assert_int_equal(w.pop(), -1);
  w.now = 3 * kSecond;
  assert_int_equal(w.pop(), 0);
  assert_int_equal(w.pop(), -1);
}

// -- waking

void a_single_far_timer_wakes_once(void **) {
  Random r(3);
  for (int i = 0; i < 2000; ++i) {
    World &w = make(1);
    w.now = any_magnitude(r) >> 1;
    assert_int_equal(w.pop(), -1);
    w.must_set(0, plus(w.now, any_magnitude(r) >> 1));
    w.now = std::max(w.now, w.wheel->next());
    assert_int_equal(w.pop(), 0);
    assert_int_equal(w.wheel->next(), kNever);
  }
}

void every_wake_up_finds_something_to_do(void **) {
  World &w = make(20000);
  Random r(4);
  for (uint32_t i = 0; i < 20000; ++i) w.must_set(i, below(r, 600 * kSecond));
  while (!w.model.empty()) {
    w.now = w.wheel->next();
    assert_int_equal(w.now, w.due());
    assert_true(w.pop_all() > 0);
  }
}

void a_postponed_or_cancelled_timer_wakes_nobody(void **) {
  World &w = make(10);
  for (uint32_t i = 0; i < 10; ++i) w.must_set(i, (i + 1) * kSecond);
  for (uint32_t i = 0; i < 5; ++i) w.must_set(i, 50 * kSecond);
  for (uint32_t i = 5; i < 9; ++i) w.cancel(i);
  assert_int_equal(w.wheel->next(), 10 * kSecond);
  w.cancel(9);
  assert_int_equal(w.wheel->next(), 50 * kSecond);
}

// -- memory

constexpr size_t kPile = 5000;  // entries, for a hundred timers

void setting_again_and_again_does_not_pile_up_entries(void **) {
  World &w = make(100);
  Random r(5);
  w.now = kSecond;
  w.pop_all();
  for (int i = 0; i < 300000; ++i) {
    const uint32_t id = static_cast<uint32_t>(below(r, 100));
    if (i % 3 == 0) w.cancel(id);
    // Ever earlier: each makes the entry before it garbage.
    w.must_set(id, 3000 * kSecond - static_cast<uint64_t>(i) * 1000000 + id);
    assert_true(w.wheel->entries() < kPile);
  }
  drain(w);
}

void ever_earlier_past_deadlines_do_not_pile_up_either(void **) {
  World &w = make(100);
  Random r(8);
  w.now = 100 * kSecond;
  w.pop_all();
  for (uint32_t i = 50; i < 100; ++i) w.must_set(i, below(r, 90 * kSecond));
  for (uint64_t i = 0; i < 50000; ++i) {
    w.must_set(static_cast<uint32_t>(i % 50), 45 * kSecond - i * 100 - below(r, 5000));
    assert_true(w.wheel->entries() < kPile);
  }
  assert_int_equal(w.pop_all(), 100);
}

void entries_of_former_owners_do_not_pile_up_at_one_time(void **) {
  World &w = make(1);
  for (int i = 0; i < 50000; ++i) {
    w.must_set(0, kSecond);
    w.cancel(0);
    w.wheel->forget(w.objects[0].deadline);
    assert_true(w.wheel->entries() < kPile);
  }
  w.must_set(0, kSecond);
  w.now = kSecond;
  assert_int_equal(w.pop(), 0);
  assert_int_equal(w.pop(), -1);
}

void a_timeout_moved_by_every_request_needs_one_entry(void **) {
  World &w = make(1);
  for (uint64_t i = 0; i < 100000; ++i) {
    w.now = i * 1000000;
    w.must_set(0, w.now + 30 * kSecond);
    if (i % 2) w.cancel(0);
    w.pop_all();
    assert_true(w.wheel->entries() <= 1);
  }
}

constexpr uint32_t kMany = 1000000;

void fill(World &w, uint32_t n) {
  Random r(6);
  for (uint32_t i = 0; i < n; ++i) assert_true(w.wheel->set(i, w.objects[i].deadline, w.now + below(r, 60 * kSecond)));
}

// Their entries wait to be taken up again, until their time has come.
void memory_goes_when_the_time_of_a_million_cancelled_has_come(void **) {
  World &w = make(kMany);
  fill(w, kMany);
  const size_t peak = w.memory.out;
  assert_true(peak < size_t{kMany} * 20);
  for (uint32_t i = 0; i < kMany; ++i) w.wheel->cancel(w.objects[i].deadline);
  for (uint32_t i = 0; i < kMany; ++i) assert_true(w.wheel->set(i, w.objects[i].deadline, 1000 * kSecond));
  assert_int_equal(w.memory.out, peak);
  for (uint32_t i = 0; i < kMany; ++i) w.wheel->cancel(w.objects[i].deadline);
  uint32_t id;
  assert_false(w.wheel->pop(100 * kSecond, &id));
  assert_true(w.memory.out < 20000);
}

void memory_goes_when_a_million_is_forgotten(void **) {
  World &w = make(kMany);
  fill(w, kMany);
  const size_t peak = w.memory.out;
  for (uint32_t i = 0; i < kMany; ++i) w.wheel->forget(w.objects[i].deadline);
  assert_int_equal(w.wheel->bytes(), w.memory.out);
  assert_true(w.memory.out < peak / 32);
  uint32_t id;
  assert_false(w.wheel->pop(100 * kSecond, &id));
  assert_true(w.memory.out < 20000);
}

void memory_goes_when_a_million_has_fired(void **) {
  World &w = make(kMany);
  fill(w, kMany);
  const size_t peak = w.memory.out;
  uint32_t id;
  uint64_t last = 0;
  size_t n = 0;
  for (w.now = 0; w.wheel->armed(); w.now += kSecond / 5)
    for (; w.wheel->pop(w.now, &id); ++n) last = w.now;
  assert_int_equal(n, kMany);
  assert_true(last <= 61 * kSecond);
  assert_true(w.memory.out < 20000);
  assert_true(peak > 1000000);
}

void memory_goes_when_a_crowd_of_one_instant_has_fired(void **) {
  World &w = make(200000);
  for (uint32_t i = 0; i < 200000; ++i) assert_true(w.wheel->set(i, w.objects[i].deadline, kSecond));
  for (uint32_t i = 0; i < 200000; ++i) {
    uint32_t id = UINT32_MAX;
    assert_true(w.wheel->pop(kSecond, &id));
    assert_int_equal(id, i);
  }
  uint32_t id;
  assert_false(w.wheel->pop(kSecond, &id));
  assert_true(w.memory.out < 20000);
}

void memory_goes_while_a_late_crowd_is_served(void **) {
  World &w = make(50000);
  Random r(9);
  w.now = kSecond;
  w.pop_all();
  for (uint32_t i = 0; i < 50000; ++i) w.must_set(i, below(r, kSecond));
  const size_t peak = w.wheel->bytes();
  for (int i = 0; i < 49900; ++i) assert_true(w.pop() >= 0);
  assert_true(w.wheel->bytes() < peak / 16);
  assert_int_equal(w.wheel->bytes(), w.memory.out);
}

// -- no memory

void a_set_without_memory_leaves_the_old_deadline(void **) {
  World &w = make(2000);
  for (uint32_t i = 0; i < 1000; ++i) w.must_set(i, 50 * kSecond + i);
  w.memory.fail_all();
  size_t refused = 0;
  for (uint32_t i = 0; i < 2000; ++i) refused += !w.set(i, 40 * kSecond + i);
  assert_true(refused > 1000);
  w.check();
  w.now = 60 * kSecond;
  assert_true(w.pop_all() >= 1000);
}

// A short life with everything in it: all levels, crowds, postponing, cancelling, callbacks.
void short_life(World &w, uint64_t seed) {
  Random r(seed);
  for (int round = 0; round < 12; ++round) {
    for (int i = 0; i < 60; ++i) random_change(w, kinds[below(r, 6)], r);
    const uint64_t crowded = w.now / kTick * kTick + 9 * kTick;
    for (int i = 0; i < 40; ++i) w.set(static_cast<uint32_t>(below(r, w.objects.size())), crowded);
    w.now = below(r, 3) ? plus(w.now, below(r, 20 * kTick)) : plus(w.now, any_magnitude(r) >> 12);
    while (w.pop() >= 0)
      if (below(r, 3) == 0) random_change(w, kinds[below(r, 6)], r);
    w.check();
  }
  drain(w);
}

void any_failed_allocation_loses_nothing(void **) {
  for (uint64_t seed = 1; seed <= 8; ++seed) {
    World &calm = make(400);
    short_life(calm, seed);
    const size_t calls = calm.memory.calls;
    assert_true(calls > 20);
    for (size_t n = 0; n < calls; ++n)
      for (const size_t how_many : {size_t{1}, size_t{5}, SIZE_MAX - n}) {
        World &w = make(400);
        w.memory.fail_from = n;
        w.memory.fail_to = n + how_many;
        short_life(w, seed);
      }
  }
}

void a_crowded_tick_is_served_in_order_without_memory(void **) {
  World &w = make(3000);
  for (uint32_t i = 0; i < 1500; ++i) w.must_set(i, kSecond + i * 31 % 1500);
  for (uint32_t i = 0; i < 300; ++i) w.must_set(i * 5, kSecond + i * 5);  // some carriers now come too early
  w.memory.fail_all();
  w.now = kSecond + 700;
  w.check();
  while (w.pop() >= 0) w.check();
  w.cancel(w.model.begin()->second);
  w.check();
  w.now = 2 * kSecond;
  w.pop_all();
  assert_true(w.model.empty());
}

void moving_within_the_tick_being_served_needs_no_memory(void **) {
  World &w = make(60);
  for (uint32_t i = 0; i < 60; ++i) w.must_set(i, kSecond + i);
  w.now = kSecond;
  assert_int_equal(w.pop(), 0);
  w.memory.fail_all();
  for (uint32_t i = 1; i < 60; i += 2) w.must_set(i, kSecond + 200 - i);
  w.now = 2 * kSecond;
  assert_int_equal(w.pop_all(), 59);
}

}  // namespace

#define TEST(name) cmocka_unit_test_teardown(name, teardown)

int main() {
  const CMUnitTest tests[] = {
      TEST(every_random_life_agrees_with_the_model),
      TEST(equal_deadlines_fire_in_the_order_they_were_set),
      TEST(setting_again_goes_behind_those_of_the_same_time),
      TEST(order_of_setting_survives_the_wrap_of_its_counter),
      TEST(a_past_deadline_fires_at_once_and_in_order),
      TEST(a_deadline_set_into_the_tick_being_served_takes_its_place),
      TEST(nothing_fires_a_nanosecond_early),
      TEST(the_last_nanosecond_before_never_is_a_time),
      TEST(setting_to_never_cancels),
      TEST(a_jump_of_years_serves_all_in_order),
      TEST(an_idle_century_costs_nothing_and_breaks_nothing),
      TEST(cancelling_twice_or_when_unset_is_harmless),
      TEST(what_is_cancelled_while_its_tick_is_served_does_not_fire),
      TEST(a_new_owner_of_an_id_is_not_fired_by_entries_of_the_old),
      TEST(entries_of_an_id_that_is_gone_are_dropped),
      TEST(an_entry_mistaken_for_a_new_one_fires_it_neither_early_nor_twice),
      TEST(a_single_far_timer_wakes_once),
      TEST(every_wake_up_finds_something_to_do),
      TEST(a_postponed_or_cancelled_timer_wakes_nobody),
      TEST(setting_again_and_again_does_not_pile_up_entries),
      TEST(ever_earlier_past_deadlines_do_not_pile_up_either),
      TEST(entries_of_former_owners_do_not_pile_up_at_one_time),
      TEST(a_timeout_moved_by_every_request_needs_one_entry),
      TEST(memory_goes_when_the_time_of_a_million_cancelled_has_come),
      TEST(memory_goes_when_a_million_is_forgotten),
      TEST(memory_goes_when_a_million_has_fired),
      TEST(memory_goes_when_a_crowd_of_one_instant_has_fired),
      TEST(memory_goes_while_a_late_crowd_is_served),
      TEST(a_set_without_memory_leaves_the_old_deadline),
      TEST(any_failed_allocation_loses_nothing),
      TEST(a_crowded_tick_is_served_in_order_without_memory),
      TEST(moving_within_the_tick_being_served_needs_no_memory),
  };
  return cmocka_run_group_tests(tests, nullptr, nullptr);
}
