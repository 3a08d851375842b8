// SPDX-License-Identifier: BSD-3-Clause
#include "stream/stream.hh"

#include <fcntl.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>

#include <cstring>

#include "base/syscall.hh"
#include "kinds/listener.hh"
#include "source/strand.hh"

namespace torque {

namespace {

constinit thread_local const Ended *ended = nullptr;

void note(Hold &h, uint32_t events) noexcept {
  if (events & (TORQUE_READ | TORQUE_PRIORITY | TORQUE_HANGUP | TORQUE_ERROR | TORQUE_CLOSED)) h.set(kReadable);
  if (events & (TORQUE_WRITE | TORQUE_ERROR | TORQUE_CLOSED)) h.set(kWritable);
  if (events & (TORQUE_HANGUP | TORQUE_ERROR | TORQUE_CLOSED)) h.set(kHangup);
  if (events & (TORQUE_ERROR | TORQUE_CLOSED)) h.set(kLost);
  if (events & TORQUE_PRIORITY) h.clear(kShortIsAll);  // a read stops at the urgent mark
}

// Whether the connection stands; a failure has ended the stream.
bool connected(Hold &h, uint32_t events) noexcept {
  if (h.s.error) {
    over(h, h.s.error);
    return false;
  }
  if (h.is(kWaits) || !(events & (TORQUE_WRITE | TORQUE_ERROR | TORQUE_CLOSED))) return false;
  const int fd = h.s.slot->fd.get();
  sockaddr_storage peer;
  socklen_t len = sizeof peer;
  if (::getpeername(fd, reinterpret_cast<sockaddr *>(&peer), &len) == 0) {
    h.clear(kConnecting);
    return true;
  }
  int e = errno;
  len = sizeof e;
  // Who borrowed the descriptor leaves the reason in it, for the program to ask.
  if (!h.s.type->borrows && ::getsockopt(fd, SOL_SOCKET, SO_ERROR, &e, &len) != 0) e = errno;
  if (e == 0 || (h.s.type->borrows && !(events & (TORQUE_ERROR | TORQUE_CLOSED)))) return false;  // told too early
  over(h, TORQUE_ERR_SYSCALL + e);
  return false;
}

// Why the connection does not stand any more; 0: it may, or its end is one in order.
int lost_by(const Hold &h) noexcept {
  const int fd = h.s.slot->fd.get();
  if (!h.is(kSocket)) return h.is(kWriteOnly) ? EPIPE : 0;
  if (h.s.type->borrows) {  // the reason stays in the descriptor, for the program to ask
    pollfd p{.fd = fd, .events = 0, .revents = 0};
    const bool lost = !h.is(kWriteOnly) && sys::retry([&] { return ::poll(&p, 1, 0); }) == 1 && (p.revents & POLLERR);
    return lost ? ECONNRESET : 0;
  }
  int e = 0;
  socklen_t len = sizeof e;
  return ::getsockopt(fd, SOL_SOCKET, SO_ERROR, &e, &len) == 0 ? e : 0;
}

// Who reads finds out by that, after what came before. While nobody does the error is told all the same.
void look_for_loss(Hold &h) noexcept {
  if (!input_rests(h)) return;
  h.clear(kLost);
  if (h.is(kBroken)) return;
  if (const int e = lost_by(h)) output_failed(h, TORQUE_ERR_SYSCALL + e);
}

// The peer's end cannot be told yet, as what came before it is not read. Answers whether the program was called.
bool tell_hangup(Hold &h) noexcept {
  Stream &s = h.s;
  if (!s.type->hangup || is_piped(s) || h.is(kHangupTold) || !h.is(kOpened) || h.is(kClosing | kEndTold | kBroken)) return false;
  if (h.is(kWriteOnly) || !input_rests(h)) return false;
  h.set(kHangupTold);
  s.type->hangup(h.handle, s.slot->arg.look());
  return true;
}

// The context is being drained, and the program has not been told.
bool goaway_is_due(const Hold &h) noexcept {
  if (h.turn.context.drain.load(std::memory_order_relaxed) == Context::Drain::none) [[likely]]
    return false;
  return h.s.type->goaway && h.is(kOpened) && !h.is(kGoawayTold | kClosing | kBroken);
}

void tell_goaway(Hold &h) noexcept {
  h.set(kGoawayTold);
  h.s.type->goaway(h.handle, h.s.slot->arg.look());
}

// All output has gone through the layers. (A handshake is seen through first, unless it is of no use any more.)
bool may_pass_end(const Hold &h) noexcept {
  const Layers *layers = h.s.layers;
  if (between(h.s) && !h.is(kBroken)) return false;
  return !layers || (layers->plain.empty() && (layers_ready(h.s) || h.is(kClosing)));
}

// What pump_output() and pump_input() would look at: mostly nothing.
bool output_is_due(const Hold &h) noexcept {
  return !h.s.wire.empty() || h.s.layers || h.is(kCongested) || (h.s.extras && h.s.extras->sink);
}
bool input_is_due(const Hold &h) noexcept {
  return h.is(kReadable | kRetell | kPushed) || h.s.layers || (h.is(kWireEnded) && !h.is(kEndTold));
}

// Both ways are over, or all that remains is to wait.
void conclude(Hold &h) noexcept {
  Stream &s = h.s;
  if (h.is(kClosing) && is_piped(s)) source_closes(h);
  if (s.extras && s.extras->failing && s.wire.empty() && (!s.layers || s.layers->plain.empty())) {
    h.set(kReset);
    return over(h, s.extras->failing);
  }
  if (h.is(kBroken) && input_rests(h)) return over(h, s.error);
  if (!h.is(kEndAsked)) return;
  if (!h.is(kEndPassed) && may_pass_end(h)) {
    pass_end(h);
    if (h.over()) return;
    size_t budget = SIZE_MAX;
    send_wire(h, &budget);
  }
  if (h.over() || !h.is(kEndPassed) || !s.wire.empty()) return;
  if (!h.is(kEndSent)) {
    h.set(kEndSent);
    // The peer may have gone (ENOTCONN): its end says so.
    if (h.is(kSocket)) (void)::shutdown(s.slot->fd.get(), SHUT_WR);
    if (h.is(kClosing)) {  // the wait begins
      h.set(kTimed);
      s.last_out = monotonic_ns();
      unsee_queue(s);
    }
  }
  const bool input_over = h.is(kEndTold) || h.is(kWriteOnly) || (h.is(kClosing) && h.is(kWireEnded));
  if (input_over || (h.is(kClosing) && (!h.is(kSocket) || s.type->linger == 0))) over(h, TORQUE_ERR_NONE);
}

// Output waits for its way through the layers, and not for one of them.
bool may_push(const Stream &s) noexcept { return s.layers && !s.layers->plain.empty() && !s.layers->held; }

// Something waits, and not for a layer.
bool can_send(const Stream &s) noexcept {
  if (between(s)) return true;
  return !s.wire.empty() || may_push(s);
}

// The last pass began without it: a callback behind that has written.
bool is_unsent(const Hold &h) noexcept { return !h.s.wire.empty() || (h.is(kOpened) && may_push(h.s)); }

void release_pieces(const Alloc &alloc, Pool *pool, Pieces &pieces) noexcept {
  while (Piece *p = pieces.pop()) pool ? pool->give(p) : free_piece(alloc, p);
}

}  // namespace

void ask(Hold &h, uint32_t asked) noexcept {
  if (asked & kAskDrain) h.set(kCongested);
  if (asked & kAskPause) h.set(kPaused);
  if (asked & kAskResume) {
    h.clear(kPaused | kFull);
    h.set(kRetell);
    note_in(h);
  }
  if (asked & (kAskShutdown | kAskClose)) h.set(kEndAsked);
  if (asked & kAskClose) h.set(kClosing);
  if (asked & kAskAbort) {
    h.set(kReset);
    over(h, TORQUE_ERR_SYSCALL + ECANCELED);
  }
}

void read_mail(Hold &h) noexcept {
  Pieces mail;
  uint32_t asked;
  {
    HandingLock lock(h.s.lock);
    mail = std::exchange(h.s.mail, {});
    asked = std::exchange(h.s.asked, uint16_t{0});
  }
  if (asked & kAskCall) return run_mail(h, mail, asked);
  if (!mail.empty()) enqueue(h, mail);
  if (asked) ask(h, asked);
}

void adopt_descriptor(Slot &slot) noexcept { slot.traits.set(slot.traits.get() | kOwnsFd); }
void disown_descriptor(Slot &slot) noexcept { slot.traits.set(static_cast<uint16_t>(slot.traits.get() & ~kOwnsFd)); }

void over(Hold &h, torque_err err) noexcept {
  if (h.is(kOver)) return;
  const bool broken = err && !h.over();
  h.set(kOver);
  h.s.error = err;
  if (broken && h.s.type->borrows) adopt_descriptor(*h.s.slot);
  if (broken && h.s.type->broken) h.s.type->broken(h);
  if (h.is(kReset)) reset_on_close(h.s.slot->fd.get());
  retire(h.handle, TORQUE_END_CLOSED);
}

void fail(Hold &h, torque_err err) noexcept {
  if (h.over()) return;
  size_t budget = h.s.type->budget;
  if (h.is(kWritable) && !h.is(kBroken)) send_wire(h, &budget);
  over(h, err);
}

void reset_on_close(int fd) noexcept {
  const linger at_once{.l_onoff = 1, .l_linger = 0};
  (void)::setsockopt(fd, SOL_SOCKET, SO_LINGER, &at_once, sizeof at_once);  // not a socket: nothing to reset
}

torque_err look_at_descriptor(int fd, uint32_t *ret_flags) noexcept {
  const int mode = ::fcntl(fd, F_GETFL);
  if (mode < 0 || (!(mode & O_NONBLOCK) && ::fcntl(fd, F_SETFL, mode | O_NONBLOCK) != 0)) return last_error();
  uint32_t flags = 0;
  int type = 0, domain = 0;
  socklen_t len = sizeof type;
  if (::getsockopt(fd, SOL_SOCKET, SO_TYPE, &type, &len) == 0) {
    flags |= kSocket;
    len = sizeof domain;
    if (type == SOCK_STREAM && ::getsockopt(fd, SOL_SOCKET, SO_PROTOCOL, &domain, &len) == 0 && domain == IPPROTO_TCP) {
      flags |= kShortIsAll;
    }
  } else if ((mode & O_ACCMODE) == O_WRONLY) {
    flags |= kWriteOnly;
  } else if ((mode & O_ACCMODE) == O_RDONLY) {
    flags |= kReadOnly;
  }
  *ret_flags = flags;
  return TORQUE_ERR_NONE;
}

torque_err make_stream(Context &context, int fd, StreamType &type, void *arg, uint32_t flags, Slot **ret) noexcept {
  Slot *slot;
  if (!fits(type, context)) return TORQUE_ERR_INVAL;
  if (const torque_err err = create(context, Kind::stream, type.place, &slot)) return err;
  slot->fd.set(-1);
  cold_of(*slot).object = nullptr;
  timers_of(*slot).adopt(*slot);
  auto *s = context.alloc.make<Stream>();
  const uint64_t handle = handle_of(*slot);
  if (!s) {
    retire(handle, TORQUE_END_REMOVED);
    return TORQUE_ERR_RESOURCE;
  }
  type.freeze();
  type.ref();
  s->type = &type;
  s->slot = slot;
  s->flags = flags | kQuiet | (type.timed ? kTimed : 0u);
  s->ended.store(flags & kReadOnly, std::memory_order_relaxed);
  cold_of(*slot).object = s;
  slot->arg.set(arg);
  if (type.layer_count) {
    if (const torque_err err = open_layers(context, *s)) {
      retire(handle, TORQUE_END_REMOVED);
      return err;
    }
  }
  if (type.nodelay && (flags & kShortIsAll)) {
    const int on = 1;
    (void)::setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on);  // slower, not wrong
  }
  if (type.timed) s->last_in = s->last_out = monotonic_ns();
  if (type.rate) {
    if (const torque_err err = throttle(context.alloc, *s, Throttle::kOfType, type.rate)) {
      retire(handle, TORQUE_END_REMOVED);
      return err;
    }
  }
  if (type.strand) {
    type.strand->ref();
    cold_of(*slot).strand.set(type.strand);
    slot->traits.set(slot->traits.get() | kStranded);
  }
  slot->interest.store(TORQUE_READ | TORQUE_WRITE | TORQUE_PRIORITY | TORQUE_HANGUP, std::memory_order_relaxed);
  slot->fd.set(fd);
  *ret = slot;
  return TORQUE_ERR_NONE;
}

torque_err start_stream(Context &context, Slot &slot, uint64_t handle) noexcept {
  Stream &s = stream_of(slot);
  const uint32_t before = s.flags;
  const uint16_t traits = slot.traits.get();
  const bool connect = s.type->limit[TORQUE_STREAM_CONNECT_TIMEOUT] || (s.last_out & kOpenBy);
  if (slot.fd.get() < 0) return TORQUE_ERR_STATE;
  // A new connection tells by itself that it takes bytes, or that it has failed; the rest must be called once.
  bool call = !(before & (kFresh | kConnecting)) || s.error || connect;
  {
    HandingLock lock(s.lock);
    call = call || s.asked || !s.mail.empty();
  }
  // From here on it has started and its end is told; it belongs to who holds it as soon as the kernel knows it.
  s.flags = before & ~kQuiet;
  if (!s.type->borrows) adopt_descriptor(slot);
  slot.traits.set(slot.traits.get() | kBegun);
  Domain &d = *slot.domain.get();
  context.stream_begins(d);
  const torque_err err = context.drain.load(std::memory_order_seq_cst) == Context::Drain::aborts
                             ? TORQUE_ERR_STOPPED
                             : start_fd(context, slot, handle);
  if (err) {
    slot.traits.set(traits);
    s.flags = before;
    context.stream_is_over(d);
    return err;
  }
  if (call) (void)activate(handle, TORQUE_TRIGGER);
  // The limit of a drain ran out before this one could be seen.
  if (context.drain.load(std::memory_order_seq_cst) == Context::Drain::aborts) abort_stream(handle);
  return TORQUE_ERR_NONE;
}

namespace {

// Why a stream runs again, though nothing new is reported.
enum class Step : uint8_t {
  none,
  read,     // the descriptor has more
  send,     // the descriptor takes more
  relieve,  // output is short enough again, and the program does not know
  feed,     // a layer stopped, and there is room above it
  tell,     // what is kept is told again, or the end
  advance,  // a layer was put on top, or starts
  look,     // the connection may be lost
  goaway,   // the context is being drained
};

// cut: the turn ended because a budget was used up, of either way: the other may have more to do as well. went: the last
// pass did something.
Step next_step(const Hold &h, bool cut, bool went) noexcept {
  const Stream &s = h.s;
  if ((cut || went) && wants_wire(h) && !is_held_back(h, kIn)) return Step::read;
  if (h.is(kWritable) && (cut ? can_send(s) : is_unsent(h)) && !is_held_back(h, kOut)) return Step::send;
  if (may_relieve(h)) return Step::relieve;
  if (any_stopped(s) && (wants_input(h) || h.is(kClosing) || s.layers->held || !layers_ready(s))) return Step::feed;
  if (h.is(kRetell) && may_tell(h)) return Step::tell;
  if (h.is(kPushed) || may_advance(h)) return Step::advance;
  if (h.is(kLost) && input_rests(h)) return Step::look;
  return goaway_is_due(h) ? Step::goaway : Step::none;
}

}  // namespace

bool run_stream(Turn &t, Slot &slot, uint64_t handle, uint32_t events) noexcept {
  Stream &s = stream_of(slot);
  Hold h{t, s, handle};
  slot.expirations.store(0, std::memory_order_relaxed);
  if (!h.is(kConnecting) || !h.is(kWaits)) note(h, events);  // else it is of a socket without a peer
  if (h.is(kAgain)) {
    h.clear(kAgain);
    h.set(kRetell);
  }
  size_t in = s.type->budget, out = s.type->budget;
  bool again = false;
  if (!(events & ~uint32_t{TORQUE_READ | TORQUE_WRITE}) && run_plain(h, &in, &out, &again)) [[likely]]
    return again;
  if (h.over()) return false;
  // What was put there before it started comes before anything else.
  if ((events & TORQUE_TRIGGER) || !h.is(kOpened)) read_mail(h);
  if (s.extras) begin_pipes(h);
  if (h.over()) return false;
  const bool rang = events & kTimerEvent;
  if (h.is(kConnecting) && !connected(h, events)) {
    if (!h.over()) mind_times(h, rang);
    return false;
  }
  if (s.layers) begin_layers(s);
  if (!h.is(kOpened)) advance_layers(h);
  if (rang && !h.over()) mind_times(h, true);
  if (s.type->writable && (events & (TORQUE_WRITE | TORQUE_ERROR | TORQUE_CLOSED)) && h.is(kOpened) && !h.over()) {
    s.type->writable(h);
  }
  if (h.is(kLost) && !h.over()) look_for_loss(h);
  if (goaway_is_due(h) && !h.over()) tell_goaway(h);
  bool more = true;
  while (more && in && out && !h.over()) {
    if (!h.is(kOpened)) advance_layers(h);  // one was put on top
    if (h.over()) break;
    more = output_is_due(h) && pump_output(h, &out);
    if (input_is_due(h) && !h.over()) more |= pump_input(h, &in);
    more |= h.is(kPushed) || may_advance(h);
  }
  if (h.is(kHangup | kWireEnded) && !h.over()) more |= tell_hangup(h);
  if (!h.over()) conclude(h);
  if (h.over()) return false;
  if (h.is(kRated)) mind_rates(h);
  if (h.is(kTimed)) mind_times(h, false);
  return next_step(h, in == 0 || out == 0, more) != Step::none;
}

namespace {

// What a listener of the parent has made and not started is of no use to anybody; the program may start what it has.
void unmake_start(Slot &slot) noexcept {
  const uint16_t traits = slot.traits.get();
  if (traits & kBegun) {
    disown_descriptor(slot);
    slot.traits.set(static_cast<uint16_t>(slot.traits.get() & ~kBegun));
    stream_of(slot).flags |= kQuiet;
  }
  if (!(traits & kGuest)) return;
  adopt_descriptor(slot);
  retire_for_others(handle_of(slot), TORQUE_END_REMOVED);
}

}  // namespace

// Another thread may have been at the mailbox when the process was copied: what it was putting there is not ours.
void revive_stream(Slot &slot) noexcept NO_THREAD_SAFETY_ANALYSIS {
  auto *s = static_cast<Stream *>(cold_of(slot).object);
  if (!s) return;
  if (s->lock.reset()) {
    s->mail = {};
    s->asked = 0;
  }
  if (word::state(slot.word.load(std::memory_order_relaxed)) == word::NEW) unmake_start(slot);
}

void cut_off_stream(Slot &slot, uint64_t handle) noexcept {
  Stream &s = stream_of(slot);
  if (!(s.flags & kOver)) s.error = TORQUE_ERR_FORKED;
  s.flags |= kOver;
  retire_for_others(handle, TORQUE_END_CLOSED);
}

// Nobody else has it any more, so that the mailbox is read without its lock: in a forked child a thread that is not there
// may seem to hold that.
void end_stream(Context &context, Slot &slot, uint32_t reason) noexcept NO_THREAD_SAFETY_ANALYSIS {
  auto *s = static_cast<Stream *>(cold_of(slot).object);
  if (!s) return;
  Turn *t = current_turn();
  Pool *pool = t && &t->context == &context ? &t->pool : nullptr;
  StreamType *type = s->type;
  Pieces kept;
  if (s->kept) kept.push(*s->kept);
  release_pieces(context.alloc, pool, kept);
  release_pieces(context.alloc, pool, s->wire);
  release_pieces(context.alloc, pool, s->mail);
  char name[sizeof LayerType::name] = "descriptor";
  const int32_t level = failed_level(*s);
  if (level >= 0) std::memcpy(name, s->layers->layer[level].type->name, sizeof name);
  if (s->layers) {
    release_pieces(context.alloc, pool, s->layers->plain);
    close_layers(context.alloc, *s);
  }
  const torque_err err = reason == TORQUE_END_STOPPED && !(s->flags & kOver) ? TORQUE_ERR_STOPPED : s->error;
  if (s->extras) {
    end_pipes(*s, err);
    end_throttle(context.alloc, *s);
  }
  const bool quiet = (s->flags & kQuiet) && !(slot.traits.get() & kBegun), aborted = s->flags & kReset;
  context.alloc.destroy(s->extras);
  context.alloc.destroy(s);
  cold_of(slot).object = nullptr;
  if (!quiet && type->close) {
    const Ended here{handle_of(slot), err, level, name, ended};
    ended = &here;
    type->close(here.handle, err, slot.arg.look());
    ended = here.outer;
  }
  unref(type);
  if (slot.traits.get() & kGuest) leave(context, *cold_of(slot).guests);
  if (slot.traits.get() & kBegun) context.stream_is_over(*slot.domain.get(), aborted);
}

const Ended *ended_here() noexcept { return ended; }

bool fits(const StreamType &type, const Context &context) noexcept {
  return !type.strand || type.strand->context() == &context;
}

void unref(StreamType *type) noexcept {
  if (!type->unref()) return;
  if (type->strand) type->strand->unref();
  if (type->rate) unref(type->rate);
  for (uint32_t i = 0; i < type->layer_count; ++i) unref(type->layers[i]);
  delete static_cast<torque_stream_type *>(type);
}

void unref(LayerType *type) noexcept {
  if (!type->unref()) return;
  if (type->release) type->release(type->arg);
  delete static_cast<torque_layer_type *>(type);
}

}  // namespace torque
