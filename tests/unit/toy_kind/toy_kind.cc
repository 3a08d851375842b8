// SPDX-License-Identifier: BSD-3-Clause
// A kind of source that touches only its own folder and the table is a whole one: the public calls work on it.
#include "toy_kind/toy.hh"

#include "api/handle.hh"
#include "libtorque/torque.h"
#include "support/cmocka.hh"

using namespace torque;

namespace {

struct Heard {
  uint32_t calls = 0, strikes = 0, functions = 0, finals = 0;
  int32_t reason = -1;
};

void hear(uint64_t, uint32_t strikes, void *arg) {
  auto &h = *static_cast<Heard *>(arg);
  ++h.calls;
  h.strikes += strikes;
}

void in_turn(torque_source, torque_err err, void *arg) {
  if (!err) ++static_cast<Heard *>(arg)->functions;
}

void over(torque_source, int32_t reason, void *arg) {
  auto &h = *static_cast<Heard *>(arg);
  ++h.finals;
  h.reason = reason;
}

torque_ctx *driven() {
  torque_config *config = nullptr;
  torque_ctx *ctx = nullptr;
  assert_int_equal(torque_config_new(&config), 0);
  assert_int_equal(torque_config_set_driven(config, 1), 0);
  assert_int_equal(torque_ctx_new(config, &ctx), 0);
  torque_config_free(config);
  return ctx;
}

uint64_t bell_in(torque_ctx *ctx, Heard *heard) {
  uint64_t bell = 0;
  assert_int_equal(toy::make_bell(ctx->core, hear, heard, &bell), 0);
  assert_int_equal(torque_source_set_finalizer(bell, over), 0);
  assert_int_equal(torque_source_start(bell), 0);
  return bell;
}

void it_lives_like_the_others(void **) {
  torque_ctx *ctx = driven();
  Heard heard;
  const uint64_t bell = bell_in(ctx, &heard);
  int32_t kind = 0, fd;
  assert_int_equal(torque_source_kind(bell, &kind), 0);
  assert_int_equal(kind, 1000);
  assert_int_equal(torque_source_fd(bell, &fd), TORQUE_ERR_KIND);
  assert_int_equal(torque_source_start(bell), TORQUE_ERR_STATE);
  for (int i = 0; i < 3; ++i) assert_int_equal(toy::strike(bell), 0);
  assert_int_equal(torque_source_run(bell, in_turn, &heard), 0);
  assert_int_equal(torque_run_once(ctx, 0, nullptr), 0);
  assert_int_equal(heard.strikes, 3);
  assert_int_equal(heard.calls, 1);
  assert_int_equal(heard.functions, 1);
  assert_int_equal(torque_source_remove_wait(bell), 0);
  assert_int_equal(heard.finals, 1);
  assert_int_equal(heard.reason, TORQUE_END_REMOVED);
  assert_int_equal(toy::dismantled, 1);
  assert_int_equal(toy::bells, 0);
  assert_int_equal(toy::strike(bell), TORQUE_ERR_STALE);
  assert_int_equal(torque_stop(ctx), 0);
}

void on_a_strand_and_when_the_context_stops(void **) {
  torque_ctx *ctx = driven();
  torque_strand *strand = nullptr;
  Heard heard;
  uint64_t bell = 0;
  assert_int_equal(torque_strand_new(ctx, &strand), 0);
  assert_int_equal(toy::make_bell(ctx->core, hear, &heard, &bell), 0);
  assert_int_equal(torque_source_set_strand(bell, strand), 0);
  assert_int_equal(torque_source_set_finalizer(bell, over), 0);
  assert_int_equal(torque_source_start(bell), 0);
  torque_strand_free(strand);
  assert_int_equal(toy::strike(bell), 0);
  assert_int_equal(torque_run_once(ctx, 0, nullptr), 0);
  assert_int_equal(heard.strikes, 1);
  assert_int_equal(torque_stop(ctx), 0);
  assert_int_equal(heard.reason, TORQUE_END_STOPPED);
  assert_int_equal(toy::bells, 0);
}

void on_workers(void **) {
  torque_ctx *ctx = nullptr;
  Heard heard;
  assert_int_equal(torque_ctx_new(nullptr, &ctx), 0);
  const uint64_t bell = bell_in(ctx, &heard);
  for (int i = 0; i < 1000; ++i) assert_int_equal(toy::strike(bell), 0);
  while (torque_source_run(bell, in_turn, &heard) == 0) {
    if (torque_source_remove(bell) == 0) break;
  }
  assert_int_equal(torque_stop(ctx), 0);
  assert_int_equal(heard.finals, 1);
  assert_true(heard.strikes <= 1000);
  assert_int_equal(toy::bells, 0);
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {
      cmocka_unit_test(it_lives_like_the_others),
      cmocka_unit_test(on_a_strand_and_when_the_context_stops),
      cmocka_unit_test(on_workers),
  };
  return cmocka_run_group_tests(tests, nullptr, nullptr);
}
