// SPDX-License-Identifier: BSD-3-Clause
#include <sys/ioctl.h>

#include <algorithm>

#include "base/syscall.hh"
#include "stream/stream.hh"

namespace torque {

namespace {

constexpr size_t kGrowthMin = 512;
// Room for as much again behind what is kept, or a new piece that has it.
bool make_room(Hold &h, Piece **kept, size_t more) noexcept {
  Piece *p = *kept;
  if (p && p->tail_room() >= more) return true;
  if (p && p->room >= p->left + more && p->left <= p->room / 2) {
    std::memmove(p->begin(), p->at, p->left);
    p->at = p->begin();
    return true;
  }
  const size_t have = p ? p->left : 0;
  Piece *n = new_piece(h, have + std::max(more, p ? have : kGrowthMin));
  if (!n) return false;
  if (p) {
    std::memcpy(n->at, p->at, have);
    n->left = have;
    free_piece(h, p);
  }
  *kept = n;
  return true;
}

size_t tell_some(Hold &h, const char *data, size_t length, bool no_more) noexcept {
  return is_expecting(h.s) ? tell_expected(h, data, length, no_more) : call_data(h, data, length);
}

// The program has seen all that is kept, and taken some of it or nothing. While the input is full nothing more comes that
// it could be told with; so one that takes a part is told the rest at once, and one that takes nothing is let be.
void note_full(Hold &h, size_t taken) noexcept {
  if (!h.s.kept || h.s.kept->left < input_high(h.s) || h.is(kRetell | kAgain)) return;
  h.set(taken ? kRetell : kFull);
}

// A layer was put on top by the program: what is kept is for it.
bool feed_pushed(Hold &h) noexcept {
  h.clear(kPushed);
  Piece *kept = std::exchange(h.s.kept, nullptr);
  forget_seen(h.s, SIZE_MAX);
  if (!kept) return wants_input(h);
  const bool more = feed(h, h.s.layers->pushed, kept->at, kept->left);
  free_piece(h, kept);
  return more;
}

// What is kept, to the program. no_more: also less than it waits for.
bool tell_kept(Hold &h, bool no_more = false) noexcept {
  Stream &s = h.s;
  h.clear(kRetell);
  if (!s.kept || (s.kept->left < input_low(s) && !no_more)) return wants_input(h);
  const size_t taken = tell_some(h, s.kept->at, s.kept->left, no_more);
  if (h.over()) return false;
  if (taken) take_kept(h, &s.kept, taken);
  note_full(h, taken);
  return h.is(kPushed) ? feed_pushed(h) : wants_input(h);
}

// The program waits for more than is kept.
bool is_untold(Stream &s) noexcept {
  if (!is_expecting(s)) return s.kept->left < input_low(s);
  return s.extras->expect.ready(s.kept->at, s.kept->left, false) == 0;
}

// By somebody who will say so. Its own output holds up no stream whose input goes elsewhere.
bool is_held_up(const Hold &h) noexcept {
  return h.is(kPaused | kAgain) || is_blocked(h.s) || (h.is(kCongested) && !is_piped(h.s));
}

bool is_spliced(const Hold &h) noexcept {
  const Stream &s = h.s;
  if (!is_piped(s) || s.kept || s.layers || h.is(kClosing)) return false;
  const Flow &f = *s.extras->source;
  return f.spliced.load(std::memory_order_relaxed) && !f.lost.load(std::memory_order_acquire);
}

// While it closes nobody wants what comes, but layers that output waits for.
bool throws_away(const Hold &h) noexcept { return h.is(kClosing) && h.is(kEndSent); }

// Below the layer nothing more comes: whether that is in order.
torque_err end_below(torque_layer &l) noexcept {
  torque_err err = TORQUE_ERR_NONE;
  if (l.type->ended)
    err = l.type->ended(&l, l.state);
  else if (l.kept)
    err = TORQUE_ERR_SYSCALL + EPIPE;
  return err || (l.flags & torque_layer::kReady) ? err : TORQUE_ERR_SYSCALL + EPIPE;
}

// The end of the wire, or of a layer's data, works its way up as far as room allows.
void propagate_end(Hold &h) noexcept {
  Stream &s = h.s;
  if (throws_away(h)) {
    if (h.is(kWireEnded)) h.set(kEndTold);
    return;
  }
  const uint32_t count = s.layers ? s.layers->count : 0;
  int from = h.is(kWireEnded) ? 0 : -1;
  for (uint32_t i = 0; i < count; ++i) {
    if (s.layers->layer[i].flags & torque_layer::kEnded) from = static_cast<int>(i) + 1;
  }
  if (from < 0) return;
  for (uint32_t i = static_cast<uint32_t>(from); i < count; ++i) {
    torque_layer &l = s.layers->layer[i];
    if (l.flags & torque_layer::kStopped || !(l.flags & torque_layer::kStarted)) return;
    // Nobody minds what was cut off while it closes, unless output waits for it.
    const bool awaited = (!layers_ready(s) || s.layers->held) && !h.is(kEndPassed);
    if (awaited || !h.is(kClosing)) {
      const torque_err err = end_below(l);
      if (h.over()) return;
      if (err) return fail_layer(h, l, err);
    }
    l.flags |= torque_layer::kEnded;
  }
  if (h.is(kClosing)) {
    h.set(kEndTold);
    return;
  }
  if (!h.is(kOpened) || is_held_up(h) || (h.is(kRetell) && s.kept && may_tell(h))) return;
  if (s.kept && is_untold(s) && !h.is(kFull)) {
    tell_kept(h, true);  // less than the low mark, and no more comes
    if (h.over() || !may_tell(h) || (h.is(kRetell) && s.kept)) return;
    if (s.layers && s.layers->count != count) return propagate_end(h);  // one was put on top
  }
  h.set(kEndTold);
  if (is_piped(s) && end_passed_on(h)) return;
  if (s.type->end)
    s.type->end(h.handle, s.slot->arg.look());
  else
    ask_own(h, kAskClose, 0);  // what others have written until now goes before
}

ssize_t read_into(Hold &h, size_t most, size_t *ret_asked) noexcept {
  Stream &s = h.s;
  Pool &pool = h.turn.pool;
  // What is kept never passes the high mark. (While it closes nothing more is kept.)
  const bool behind = s.kept && !s.layers && !h.is(kClosing);
  const size_t room = behind ? input_high(s) - s.kept->left : SIZE_MAX;
  const size_t ask = std::min({pool.ask(), std::max<size_t>(most, 1), room});
  *ret_asked = ask;
  if (!behind) return read_scratch(h, ask);
  iovec parts[2] = {{s.kept->tail(), std::min(s.kept->tail_room(), ask)}, {pool.scratch(0), 0}};
  parts[1].iov_len = ask - parts[0].iov_len;
  return sys::retry([&] { return ::readv(s.slot->fd.get(), parts, parts[1].iov_len ? 2 : 1); });
}

// How the end of a pseudo-terminal's other side is told to whoever made it.
bool is_terminals_end(const Hold &h, int e) noexcept {
  unsigned number;
  if (e != EIO || h.is(kSocket)) return false;
  const bool is = ::ioctl(h.s.slot->fd.get(), TIOCGPTN, &number) == 0;
  errno = e;
  return is;
}

// Behind what is kept. False: no memory, and the stream has ended.
bool keep_input(Hold &h, const char *data, size_t length) noexcept {
  if (keep(h, &h.s.kept, data, length)) return true;
  fail(h, TORQUE_ERR_RESOURCE);
  return false;
}

// n bytes came, into the tail of what was kept and then into the scratch memory.
bool arrived(Hold &h, size_t n) noexcept {
  Stream &s = h.s;
  const char *scratch = h.turn.pool.scratch(0);
  if (s.layers && !throws_away(h)) return feed(h, 0, scratch, n);
  if (h.is(kClosing)) return true;
  if (!s.kept) return tell_program(h, scratch, n);
  const size_t fits = std::min<size_t>(s.kept->tail_room(), n);
  s.kept->left += fits;
  if (!keep_input(h, scratch, n - fits)) return false;
  return may_tell(h) ? tell_kept(h) : false;
}

}  // namespace

size_t call_data(Hold &h, const char *data, size_t length) noexcept {
  if (is_piped(h.s)) return pass_on(h, data, length);
  if (!h.s.type->data) return length;
  h.set(kInData);
  const size_t taken = h.s.type->data(h.handle, data, length, h.s.slot->arg.look());
  h.clear(kInData);
  if (h.turn.postpone) h.set(kAgain);
  return std::min(taken, length);
}

bool keep(Hold &h, Piece **kept, const char *data, size_t length) noexcept {
  if (length == 0) return true;
  if (!make_room(h, kept, length)) return false;
  std::memcpy((*kept)->tail(), data, length);
  (*kept)->left += length;
  return true;
}

void take_kept(Hold &h, Piece **kept, size_t n) noexcept {
  (*kept)->take(n);
  if ((*kept)->left) return;
  free_piece(h, *kept);
  *kept = nullptr;
}

bool may_tell(const Hold &h) noexcept {
  return h.is(kOpened) && !h.is(kFull | kClosing | kEndTold | kInData) && !is_held_up(h);
}

bool wants_input(const Hold &h) noexcept { return may_tell(h) && (!h.s.kept || h.s.kept->left < input_high(h.s)); }

bool wants_wire(const Hold &h) noexcept {
  if (h.is(kWireEnded) || h.is(kWriteOnly) || !h.is(kReadable)) return false;
  if (throws_away(h) || (h.s.layers && (!layers_ready(h.s) || h.s.layers->held))) return true;
  if (h.s.layers && h.s.layers->count && (h.s.layers->layer[0].flags & torque_layer::kStopped)) return false;
  // Two that close would wait for each other to read.
  return h.is(kClosing) ? !h.is(kBroken) : wants_input(h);
}

bool input_rests(const Hold &h) noexcept {
  return !wants_wire(h) && !h.is(kPushed | kAgain) && !(h.is(kRetell) && h.s.kept && may_tell(h)) &&
         !(any_stopped(h.s) && wants_input(h));
}

bool mind_rest(Hold &h, const char *data, size_t length, size_t taken) noexcept {
  if (h.over() || !keep_input(h, data + taken, length - taken)) return false;
  if (h.is(kPushed)) return feed_pushed(h);
  note_full(h, taken);
  return wants_input(h);
}

bool tell_program(Hold &h, const char *data, size_t length) noexcept {
  Stream &s = h.s;
  if (h.is(kClosing)) return true;
  if (may_tell(h) && !s.kept && length >= input_low(s)) {
    return mind_rest(h, data, length, tell_some(h, data, length, false));
  }
  if (!keep_input(h, data, length)) return false;
  if (h.is(kPushed)) return feed_pushed(h);
  return may_tell(h) ? tell_kept(h) : false;
}

void tell_ends(Hold &h) noexcept {
  if (!h.is(kEndTold)) propagate_end(h);
}

ssize_t read_scratch(Hold &h, size_t most) noexcept {
  const int fd = h.s.slot->fd.get();
  Pool &pool = h.turn.pool;
  char *scratch = pool.scratch(0);
  const ssize_t n = h.is(kSocket) ? sys::retry([&] { return ::recv(fd, scratch, most, 0); })
                                  : sys::retry([&] { return ::read(fd, scratch, most); });
  if (n > 0) pool.got(static_cast<size_t>(n));
  return n;
}

void nothing_read(Hold &h, ssize_t n) noexcept {
  if (n < 0 && is_terminals_end(h, errno)) n = 0;
  if (n < 0 && errno != EAGAIN) return over(h, h.is(kBroken) ? h.s.error : last_error());
  h.clear(kReadable);
  if (n < 0) return;
  // An error that was met elsewhere first. (A reset behind the peer's end is EPIPE, and that end is one.)
  if (h.is(kBroken) && h.s.error != TORQUE_ERR_SYSCALL + EPIPE) return over(h, h.s.error);
  h.set(kWireEnded);
}

namespace {

// Reads until there is nothing more, or the program wants no more. Answers whether anything came.
bool read_wire(Hold &h, size_t *budget) noexcept {
  bool any = false;
  while (*budget && wants_wire(h) && !is_spliced(h)) {
    if (!h.turn.pool.scratch(0)) {
      over(h, TORQUE_ERR_RESOURCE);
      return true;
    }
    const bool rated = h.is(kRated) && !h.is(kClosing);
    const size_t most = rated ? allowed(h, kIn, std::min(*budget, h.turn.pool.ask())) : *budget;
    if (most == 0) break;
    size_t asked;
    const ssize_t n = read_into(h, most, &asked);
    if (rated) passed(h, kIn, n > 0 ? static_cast<uint64_t>(n) : 0);
    if (n <= 0) {
      nothing_read(h, n);
      return any || h.is(kWireEnded) || h.over();
    }
    any = true;
    bytes_read(h, static_cast<size_t>(n), asked, budget);
    const bool more = arrived(h, static_cast<size_t>(n));
    if (h.over()) return true;
    // Answers go out before more is read: small ones soon, large ones while they are in the cache.
    if ((!more && !h.is(kClosing)) || !h.s.wire.empty()) break;
  }
  return any;
}

}  // namespace

bool pump_input(Hold &h, size_t *budget) noexcept {
  Stream &s = h.s;
  bool any = false;
  if (h.is(kPushed)) feed_pushed(h);
  if (h.over()) return true;
  // The original's sources are called once, with what is kept and what has come.
  const bool read_first = s.type->writable && h.is(kReadable) && wants_input(h);
  if (h.is(kRetell) && may_tell(h) && !read_first) {
    any = s.kept != nullptr;
    *budget -= std::min<size_t>(*budget, s.kept ? s.kept->left : 0);  // a program may ask for ever
    tell_kept(h);
    if (h.over()) return any;
  }
  if (s.layers && (wants_input(h) || h.is(kClosing) || s.layers->held || !layers_ready(s))) {
    any |= feed_stopped(h);
    if (h.over()) return any;
  }
  if (is_spliced(h)) any |= splice_in(h, budget);
  if (h.over()) return true;
  any |= read_wire(h, budget);
  if (h.over()) return true;
  if (read_first && h.is(kRetell) && may_tell(h)) {
    tell_kept(h);
    if (h.over()) return true;
  }
  tell_ends(h);
  return any;
}

}  // namespace torque
