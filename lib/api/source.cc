// SPDX-License-Identifier: BSD-3-Clause
#include "libtorque/source.h"

#include <cerrno>

#include "api/handle.hh"
#include "kinds/timer.hh"
#include "stream/stream.hh"

using namespace torque;

namespace {

constexpr uint32_t kEvents = TORQUE_READ | TORQUE_WRITE | TORQUE_PRIORITY | TORQUE_HANGUP;
constexpr uint32_t kFlags = TORQUE_CONCURRENT | TORQUE_RECHECK | TORQUE_LEVEL;

// A source's traits, from the caller's flags and the context's settings; false: they do not go together.
bool traits_for(const Context &context, uint32_t flags, uint16_t *ret) noexcept {
  const bool level = flags & TORQUE_LEVEL, recheck = flags & TORQUE_RECHECK, shared = flags & TORQUE_CONCURRENT;
  if ((flags & ~kFlags) || (level && !context.options.driven) || (recheck && (level || shared))) return false;
  *ret = static_cast<uint16_t>((shared ? kConcurrent : 0) | (level ? kLevel : 0) |
                              (recheck || (context.options.oneshot && !shared && !level) ? kOneshot : 0));
  return true;
}

torque_err make_fd_source(torque_ctx *ctx, Kind kind, int fd, uint32_t events, uint32_t flags, torque_fd_fn *fn,
                          void *arg, torque_source *ret) noexcept {
  uint16_t traits;
  if (!fn || !ret || (events & ~kEvents)) return TORQUE_ERR_INVAL;
  if (const torque_err err = check(ctx)) return err;
  if (!traits_for(ctx->core, flags, &traits)) return TORQUE_ERR_INVAL;
  Slot *s;
  if (const torque_err err = create(ctx->core, kind, TORQUE_PLACE_DEFAULT, &s)) return err;
  s->fn = reinterpret_cast<Callback>(fn);
  s->arg.set(arg);
  s->fd.set(fd);
  s->traits.set(static_cast<uint16_t>(traits | (kind == Kind::fd ? kFiltered : 0)));
  s->interest.store(events, std::memory_order_relaxed);
  *ret = handle_of(*s);
  return TORQUE_ERR_NONE;
}

}  // namespace

// Requires: this thread sets the source up.
static torque_err start_new(Context &context, const Snapshot &v, uint64_t source) noexcept {
  const auto start = ops_of(v.kind).start;
  if (start) return start(context, *v.slot, source);
  return arm_word(*v.slot, generation_of(source)) ? TORQUE_ERR_NONE : TORQUE_ERR_STATE;
}

torque_err torque::start_source(uint64_t source) noexcept {
  {
    Snapshot v;
    if (!look(source, &v)) return TORQUE_ERR_STALE;
    if (word::state(v.word) != word::NEW) return TORQUE_ERR_STATE;
    Context &context = v.domain->context;
    if (const torque_err err = context.usable()) return err;
    if (const torque_err err = context.ensure_started()) return err;
  }
  Setup setup(source);
  return setup.err ? setup.err : start_new(setup.seen.domain->context, setup.seen, source);
}

namespace {

torque_err put_strand(Slot &s, Kind kind, const Context &context, torque_strand *strand) noexcept {
  const uint16_t traits = s.traits.get();
  if ((ops_of(kind).traits & trait::kNoStrand) || (traits & kConcurrent)) return TORQUE_ERR_KIND;
  if (strand && strand->context() != &context) return TORQUE_ERR_INVAL;
  if (strand) strand->ref();
  if (Strand *before = cold_of(s).strand.get()) before->unref();
  cold_of(s).strand.set(strand);
  s.traits.set(static_cast<uint16_t>(strand ? traits | kStranded : traits & ~kStranded));
  return TORQUE_ERR_NONE;
}

torque_err put_place(Slot &s, Context &context, int32_t place) noexcept {
  Domain *d = context.pick(place);
  if (!d) return TORQUE_ERR_INVAL;
  move_to(s, *d);
  return TORQUE_ERR_NONE;
}

torque_err put_attr(const Snapshot &v, const torque_attr &attr) noexcept {
  Context &context = v.domain->context;
  if (attr.strand) {
    if (const torque_err err = put_strand(*v.slot, v.kind, context, attr.strand)) return err;
  }
  if (attr.placed) {
    if (const torque_err err = put_place(*v.slot, context, attr.place)) return err;
  }
  if (attr.final) cold_of(*v.slot).final = attr.final;
  return TORQUE_ERR_NONE;
}

torque_err start_timer_with(const Snapshot &v, uint64_t handle, const TimerStart *timer) noexcept {
  if (!timer) return TORQUE_ERR_NONE;  // torque_timer_set() starts it
  end_setup(*v.slot, generation_of(handle));  // which that would wait for
  return set_timer(handle, timer->when, timer->period, timer->flags);
}

}  // namespace

// Whoever ends the source meanwhile does not finish it before this returns: so whether its finalizer runs is decided here.
torque_err torque::start_with(torque_source source, const torque_attr &attr, const TimerStart *timer) noexcept {
  torque_err err;
  {
    Snapshot v;
    if (!look(source, &v)) return TORQUE_ERR_STALE;
    if (word::state(v.word) != word::NEW) return TORQUE_ERR_STATE;
    err = v.domain->context.usable();
    if (!err && v.kind != Kind::timer) err = v.domain->context.ensure_started();
  }
  Setup setup(source);
  if (setup.err) return setup.err;
  Slot &s = setup.slot();
  const Snapshot &v = setup.seen;
  if (v.kind == Kind::stream && s.fd.get() < 0) return TORQUE_ERR_STATE;  // others start it
  if (!err) err = put_attr(v, attr);
  if (!err) err = v.kind == Kind::timer ? start_timer_with(v, source, timer) : start_new(v.domain->context, v, source);
  if (err) {
    retire(source, TORQUE_END_REMOVED);
    cold_of(s).final = nullptr;
  }
  return err;
}

torque_err torque::start_with_or_undo(torque_source source, const torque_attr *attr, torque_source *ret,
                                      const TimerStart *timer) noexcept {
  if (!attr && timer) {
    return run_or_undo(source, ret, [=] { return set_timer(source, timer->when, timer->period, timer->flags); });
  }
  if (!attr) return start_or_undo(source, ret);
  const Visit visit;
  const torque_source before = *ret;
  *ret = source;
  const torque_err err = start_with(source, *attr, timer);
  if (err) *ret = before;
  return err;
}

torque_err torque::start_or_undo(torque_source source, torque_source *ret) noexcept {
  return run_or_undo(source, ret, [source] { return start_source(source); });
}

extern "C" {

torque_err torque_fd_new(struct torque_ctx *ctx, int32_t fd, uint32_t events, uint32_t flags, torque_fd_fn *fn,
                         void *arg, torque_source *ret_source) {
  const Visit visit;
  if (fd < 0) return TORQUE_ERR_INVAL;
  if (fd >= Descriptors::kEnd) return TORQUE_ERR_SYSCALL + EBADF;
  return make_fd_source(ctx, Kind::fd, fd, events, flags, fn, arg, ret_source);
}

torque_err torque_fd_add(struct torque_ctx *ctx, int32_t fd, uint32_t events, uint32_t flags, torque_fd_fn *fn,
                         void *arg, torque_source *ret_source) {
  const Visit visit;
  torque_source source;
  if (!ret_source) return TORQUE_ERR_INVAL;
  const torque_err err = torque_fd_new(ctx, fd, events, flags, fn, arg, &source);
  return err ? err : start_or_undo(source, ret_source);
}

torque_err torque_event_new(struct torque_ctx *ctx, uint32_t flags, torque_fd_fn *fn, void *arg,
                            torque_source *ret_source) {
  const Visit visit;
  if (flags & ~uint32_t{TORQUE_CONCURRENT}) return TORQUE_ERR_INVAL;
  return make_fd_source(ctx, Kind::event, -1, 0, flags, fn, arg, ret_source);
}

torque_err torque_event_add(struct torque_ctx *ctx, uint32_t flags, torque_fd_fn *fn, void *arg,
                            torque_source *ret_source) {
  const Visit visit;
  torque_source source;
  if (!ret_source) return TORQUE_ERR_INVAL;
  const torque_err err = torque_event_new(ctx, flags, fn, arg, &source);
  return err ? err : start_or_undo(source, ret_source);
}

torque_err torque_source_start(torque_source source) {
  const Visit visit;
  return start_source(source);
}

torque_err torque_source_set_finalizer(torque_source source, torque_final_fn *fn) {
  const Visit visit;
  Setup setup(source);
  if (setup.err) return setup.err;
  if (setup.slot().traits.get() & kGuest) return TORQUE_ERR_STATE;
  cold_of(setup.slot()).final = fn;
  return TORQUE_ERR_NONE;
}

torque_err torque_source_set_strand(torque_source source, struct torque_strand *strand) {
  const Visit visit;
  Setup setup(source);
  if (setup.err) return setup.err;
  return put_strand(setup.slot(), setup.seen.kind, setup.seen.domain->context, strand);
}

torque_err torque_source_set_placement(torque_source source, int32_t place) {
  const Visit visit;
  Setup setup(source);
  if (setup.err) return setup.err;
  return put_place(setup.slot(), setup.seen.domain->context, place);
}

torque_err torque_fd_modify(torque_source source, uint32_t events) {
  const Visit visit;
  Snapshot v;
  if (events & ~kEvents) return TORQUE_ERR_INVAL;
  if (!look(source, &v)) return TORQUE_ERR_STALE;
  if (v.kind != Kind::fd) return TORQUE_ERR_KIND;
  if (const torque_err err = v.domain->context.usable()) return err;
  return modify_fd(v, source, events);
}

torque_err torque_trigger(torque_source source, uint32_t events) {
  const Visit visit;
  Snapshot v;
  if (events & ~(kEvents | TORQUE_TRIGGER)) return TORQUE_ERR_INVAL;
  if (!look(source, &v)) return TORQUE_ERR_STALE;
  if (v.kind != Kind::fd && v.kind != Kind::event) return TORQUE_ERR_KIND;
  if (const torque_err err = v.domain->context.usable()) return err;
  return activate(source, events | TORQUE_TRIGGER);
}

torque_err torque_postpone(torque_source source) {
  Turn *t = current_turn();
  if (!t || source == 0 || t->current != source) return TORQUE_ERR_STATE;
  t->postpone = true;
  return TORQUE_ERR_NONE;
}

torque_err torque_source_remove(torque_source source) {
  const Visit visit;
  Snapshot v;
  if (!look(source, &v)) return TORQUE_ERR_STALE;
  if (v.domain->context.foreign()) return TORQUE_ERR_FORKED;
  if (retire(source, TORQUE_END_REMOVED, ops_of(v.kind).traits & trait::kCannotBeCutOff)) return TORQUE_ERR_NONE;
  return look(source, &v) ? TORQUE_ERR_STATE : TORQUE_ERR_STALE;
}

torque_err torque_source_remove_wait(torque_source source) {
  {
    const Visit visit;
    if (!first_slot_of(index_of(source))) return TORQUE_ERR_STALE;
    // One that has ended may still be waited for.
    if (owner_of(index_of(source))->context.foreign()) return TORQUE_ERR_FORKED;
  }
  return retire_and_wait(source, TORQUE_END_REMOVED);
}

torque_err torque_close(torque_source source) {
  const Visit visit;
  Snapshot v;
  if (!look(source, &v)) return TORQUE_ERR_STALE;
  if (v.kind != Kind::fd) return TORQUE_ERR_KIND;
  if (v.domain->context.foreign()) return TORQUE_ERR_FORKED;
  return retire(source, TORQUE_END_CLOSED) ? TORQUE_ERR_NONE : TORQUE_ERR_STALE;
}

}  // extern "C"
