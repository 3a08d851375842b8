// SPDX-License-Identifier: BSD-3-Clause
#include "stream/pipe.hh"

#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>

#include "base/syscall.hh"
#include "stream/stream.hh"

namespace torque {

namespace {

constexpr int kKernelPipe = 1 << 18;       // bytes; where the user's limit is lower it stays 64 KiB
constexpr size_t kSpliceMost = size_t{1} << 20;

Hold hold_of(uint64_t handle) noexcept { return {*current_turn(), stream_of(*find_slot(index_of(handle))), handle}; }

void note_error(Flow &f, torque_err err) noexcept {
  torque_err none = 0;
  if (err) f.pipe->err.compare_exchange_strong(none, err, std::memory_order_relaxed);
  f.err.store(err, std::memory_order_relaxed);
}

// The source's way is over.
void doom(Flow &f, Fate fate, torque_err err) noexcept {
  note_error(f, err);
  Fate seen = f.fate.load(std::memory_order_relaxed);
  while (seen < fate && !f.fate.compare_exchange_weak(seen, fate, std::memory_order_release)) {
  }
  (void)activate(f.to, TORQUE_TRIGGER);
}

// The only way there is came to its end in order: the source has nothing more to do with the sink.
bool is_done_with(const Flow &f) noexcept {
  return f.pipe->is(TORQUE_PIPE_ONE_WAY) && f.fate.load(std::memory_order_relaxed) == Fate::shutdown;
}

// Who waits for its connection does so for nobody.
void give_up(uint64_t handle, torque_err err) noexcept {
  Snapshot v;
  if (!hold(handle, &v)) return;
  if (give_up_waiting(*v.slot, err, false)) retire_for_others(handle, TORQUE_END_CLOSED);
  let_go(*v.slot);
}

void lose(Flow &f, torque_err err) noexcept {
  note_error(f, err);
  f.lost.store(true, std::memory_order_release);
  const bool waits = activate(f.from, TORQUE_TRIGGER) == TORQUE_ERR_STATE;
  if (waits && !f.pipe->is(TORQUE_PIPE_KEEP_OPEN)) give_up(f.from, err);
}

void free_side(Stream &s, uint32_t side) noexcept {
  HandingLock lock(s.lock);
  s.piped = static_cast<uint8_t>(s.piped & ~side);
}

// The source has left: what it handed over is the sink's own output, before all that is written from now on.
void take_over(Hold &h, Flow &f) noexcept {
  while (const uint64_t left = between(h.s)) {
    Piece *p = new_piece(h, left);
    if (!p) return over(h, TORQUE_ERR_RESOURCE);
    const ssize_t n = sys::retry([&] { return ::read(f.kernel[0].get(), p->at, std::min<uint64_t>(left, p->room)); });
    if (n <= 0) {
      free_piece(h, p);
      return over(h, n < 0 ? last_error() : TORQUE_ERR_SYSCALL + EIO);
    }
    p->left = static_cast<uint64_t>(n);
    h.s.pending.fetch_add(p->left, std::memory_order_relaxed);
    Pieces one;
    one.push(*p);
    enqueue(h, one);
    f.out.fetch_add(static_cast<uint64_t>(n), std::memory_order_seq_cst);
  }
}

extern "C" {

static void take_over_rest(torque_source stream, torque_err err, void *arg) {
  auto &f = *static_cast<Flow *>(arg);
  Pipe &p = *f.pipe;
  if (!err) {
    Hold h = hold_of(stream);
    if (h.s.extras && h.s.extras->sink == &f) take_over(h, f);
  }
  p.unref();
}

}  // extern "C"

// What the source writes to the sink from now on comes behind what it handed over.
void leave(Flow &f) noexcept {
  torque_err err = TORQUE_ERR_NONE;
  if (f.spliced.load(std::memory_order_relaxed)) {
    f.pipe->ref();
    err = call_stream(f.to, take_over_rest, &f);
    if (err) f.pipe->unref();
  }
  doom(f, err == TORQUE_ERR_RESOURCE ? Fate::reset : Fate::leave, err == TORQUE_ERR_RESOURCE ? err : TORQUE_ERR_NONE);
}

void detach_source(Hold &h) noexcept {
  Flow *f = std::exchange(h.s.extras->source, nullptr);
  free_side(h.s, kPipedFrom);
  h.s.extras->blocked = false;
  h.clear(kFull);
  h.set(kRetell);
  f->pipe->unref();
}

void detach_sink(Hold &h) noexcept {
  Flow *f = std::exchange(h.s.extras->sink, nullptr);
  free_side(h.s, kPipedTo);
  f->pipe->unref();
}

bool is_plain(const Hold &h) noexcept {
  if (h.s.layers) return false;
  struct stat st;
  return h.is(kSocket) || (::fstat(h.s.slot->fd.get(), &st) == 0 && S_ISFIFO(st.st_mode));
}

// Bytes into the mailbox of the sink. False: it takes none any more.
bool hand_over(Hold &h, Flow &f, const char *data, size_t length, bool *ret_full) noexcept {
  Snapshot v;
  if (!hold(f.to, &v)) return false;
  Stream &to = stream_of(*v.slot);
  const iovec part{const_cast<char *>(data), length};
  Pieces pieces;
  bool ok = copy_pieces(h.context().alloc, &h.turn.pool, &part, 1, &pieces);
  if (ok) {
    Lock lock(to.lock);
    ok = !to.ended.load(std::memory_order_relaxed);
    if (ok) {
      const uint64_t before = to.pending.fetch_add(length, std::memory_order_relaxed);
      *ret_full = before + length > to.type->output_high;
      to.mail.append(pieces);
    }
  }
  while (Piece *p = pieces.pop()) free_piece(h, p);
  if (ok) (void)activate(f.to, TORQUE_TRIGGER);
  let_go(*v.slot);
  return ok;
}

// Whether the sink's output is short enough for more.
bool has_room(Flow &f) noexcept {
  Snapshot v;
  if (!hold(f.to, &v)) return true;  // it is lost, which will be told
  Stream &to = stream_of(*v.slot);
  bool room;
  {
    Lock lock(to.lock);  // the type may be changed
    room = to.pending.fetch_add(0, std::memory_order_seq_cst) <= to.type->output_low;
  }
  let_go(*v.slot);
  return room;
}

// Until the sink wakes it. It may have made room before it could know.
void wait_for_room(Hold &h, Flow &f) noexcept {
  h.s.extras->blocked = true;
  f.waiting.exchange(true, std::memory_order_seq_cst);
  const bool room = f.spliced.load(std::memory_order_relaxed) ? f.filled() == 0 : has_room(f);
  if (room && f.waiting.exchange(false, std::memory_order_seq_cst)) h.s.extras->blocked = false;
}

void make_kernel_pipe(Flow &f) noexcept {
  int fd[2];
  if (::pipe2(fd, O_NONBLOCK | O_CLOEXEC) != 0) return;  // through memory, then
  f.kernel[0] = Fd(fd[0]);
  f.kernel[1] = Fd(fd[1]);
  (void)::fcntl(fd[1], F_SETPIPE_SZ, kKernelPipe);
  f.spliced.store(true, std::memory_order_release);
}

void attach_sink(Hold &h, Flow &f) noexcept {
  Extras *x = extras_of(h);
  if (!x) return over(h, TORQUE_ERR_RESOURCE);
  f.pipe->ref();
  x->sink = &f;
  x->applied = Fate::none;
  f.plain.store(is_plain(h) && !f.pipe->is(TORQUE_PIPE_COPY), std::memory_order_relaxed);
}

void attach_source(Hold &h, Flow &f) noexcept {
  Extras *x = extras_of(h);
  if (!x) return over(h, TORQUE_ERR_RESOURCE);
  f.pipe->ref();
  x->source = &f;
  forget_seen(h.s, SIZE_MAX);  // what is kept goes without being told
  if (f.plain.load(std::memory_order_relaxed) && is_plain(h)) make_kernel_pipe(f);
  x->blocked = false;
  h.clear(kFull);
  h.set(kRetell);
}

// Nothing is told to the program any more from now on. (Without memory it is until the stream is attached, which ends it.)
void block(Hold h) noexcept {
  if (Extras *x = extras_of(h)) x->blocked = true;
}

void unblock(Hold &h) noexcept {
  if (h.s.extras) h.s.extras->blocked = false;
  h.clear(kFull);
  h.set(kRetell);
}

// The way from stream i to the other.
bool has_way(const Pipe &p, int i) noexcept { return i == 0 || !p.is(TORQUE_PIPE_ONE_WAY); }

uint32_t sides_of(const Pipe &p, int i) noexcept {
  return (has_way(p, i) ? kPipedFrom : 0u) | (has_way(p, 1 - i) ? kPipedTo : 0u);
}

// The stream was gone when it was to be attached.
void never_attached(Pipe &p, int i) noexcept {
  doom(p.flow[i], p.is(TORQUE_PIPE_KEEP_OPEN) ? Fate::leave : Fate::close, 0);
  lose(p.flow[1 - i], 0);
}

// The pipe was ended before this stream was attached. Answers that; then its sides are free, and the other's sink is.
bool ended_before(Hold &h, Pipe &p, int i) noexcept {
  const uint32_t sides = sides_of(p, i);
  if (Extras *x = h.s.extras; x && (x->parting & sides)) {
    x->parting &= ~sides;
    p.parted.store(true, std::memory_order_relaxed);
  }
  if (!p.parted.load(std::memory_order_relaxed)) return false;
  if (has_way(p, i)) {
    free_side(h.s, kPipedFrom);
    unblock(h);
    doom(p.flow[i], Fate::leave, 0);
  }
  return true;
}

extern "C" {

static void finish_first(torque_source stream, torque_err err, void *arg) {
  auto &p = *static_cast<Pipe *>(arg);
  const int i = p.first;
  if (err) {
    never_attached(p, i);
  } else {
    Hold h = hold_of(stream);
    if (!ended_before(h, p, i) && has_way(p, i)) attach_source(h, p.flow[i]);
  }
  p.unref();
}

static void block_second(torque_source stream, torque_err err, void *arg) {
  auto &p = *static_cast<Pipe *>(arg);
  if (!err && !p.attached_second) block(hold_of(stream));
  p.unref();
}

static void attach_second(torque_source stream, torque_err err, void *arg) {
  auto &p = *static_cast<Pipe *>(arg);
  const int i = 1 - p.first;
  p.attached_second = true;
  if (err) {
    never_attached(p, i);
  } else {
    Hold h = hold_of(stream);
    if (ended_before(h, p, i)) {
      if (has_way(p, 1 - i)) free_side(h.s, kPipedTo);
    } else {
      if (has_way(p, 1 - i)) attach_sink(h, p.flow[1 - i]);
      if (!h.over() && has_way(p, i)) attach_source(h, p.flow[i]);
    }
  }
  const uint64_t first = p.flow[p.first].from;
  if (call_stream(first, finish_first, &p)) finish_first(first, TORQUE_ERR_STALE, &p);
}

static void begin_first(torque_source stream, torque_err err, void *arg) {
  auto &p = *static_cast<Pipe *>(arg);
  const int i = p.first;
  if (err) {
    never_attached(p, i);
  } else {
    Hold h = hold_of(stream);
    if (has_way(p, 1 - i)) attach_sink(h, p.flow[1 - i]);
    if (has_way(p, i)) block(h);
  }
  const uint64_t second = p.flow[1 - i].from;
  if (call_stream(second, attach_second, &p)) attach_second(second, TORQUE_ERR_STALE, &p);
}

static void part(torque_source stream, torque_err err, void *arg) {
  auto &p = *static_cast<Pipe *>(arg);
  if (!err) {
    Hold h = hold_of(stream);
    Extras *x = h.s.extras;
    if (x && x->source && x->source->pipe == &p) {
      leave(*x->source);
      detach_source(h);
    }
  }
  p.unref();
}

}  // extern "C"

void part_pipe(Pipe &p) noexcept {
  p.parted.store(true, std::memory_order_relaxed);
  for (Flow &f : p.flow) {
    p.ref();
    if (call_stream(f.from, part, &p)) p.unref();
  }
}

// Of the pipe that these sides are to belong to nothing is attached yet: that finds out.
void part_early(Hold &h, uint32_t sides) noexcept {
  Extras *x = extras_of(h);
  if (!x) return over(h, TORQUE_ERR_RESOURCE);
  x->parting |= sides;
  if (sides & kPipedFrom) unblock(h);
}

extern "C" {

static void part_both(torque_source stream, torque_err err, void *) {
  if (err) return;
  Hold h = hold_of(stream);
  const Extras *x = h.s.extras;
  uint32_t early;
  {
    HandingLock lock(h.s.lock);
    early = h.s.piped;
  }
  if (x && x->source) early &= ~kPipedFrom;
  if (x && x->sink) early &= ~kPipedTo;
  Pipe *source = x && x->source ? x->source->pipe : nullptr;
  Pipe *sink = x && x->sink ? x->sink->pipe : nullptr;
  if (source) part_pipe(*source);
  if (sink && sink != source) part_pipe(*sink);
  if (early) part_early(h, early);
}

}  // extern "C"

// Takes these sides of a stream. Errors: as torque_stream_pipe().
torque_err take_sides(const Snapshot &v, uint32_t sides) noexcept {
  if (v.kind != Kind::stream) return TORQUE_ERR_KIND;
  Stream &s = stream_of(*v.slot);
  HandingLock lock(s.lock);
  if (!takes_calls(*v.slot) || (s.piped & sides)) return TORQUE_ERR_STATE;
  s.piped = static_cast<uint8_t>(s.piped | sides);
  return TORQUE_ERR_NONE;
}

// In a callback of a stream it begins there at once; else with its next turn.
void block_both(Pipe &p) noexcept {
  Turn *t = current_turn();
  const uint64_t current = t ? t->current : 0;
  const int i = 1 - p.first;
  const uint64_t first = p.flow[p.first].from, second = p.flow[i].from;
  if ((current == first && has_way(p, p.first)) || (current == second && has_way(p, i))) block(hold_of(current));
  if (!has_way(p, i) || current == second) return;
  p.ref();
  if (call_stream(second, block_second, &p)) p.unref();  // it has ended, or what comes before it is attached is told
}

bool awaits(const Snapshot &v) noexcept { return word::state(v.word) == word::NEW; }

torque_err join_held(const Snapshot &a, const Snapshot &b, Pipe *p) noexcept {
  const uint32_t of_a = sides_of(*p, 0), of_b = sides_of(*p, 1);
  torque_err err = take_sides(a, of_a);
  if (err) return err;
  err = take_sides(b, of_b);
  const bool taken_b = !err;
  p->first = awaits(a) && !awaits(b) ? 1 : 0;  // that one can give up the other
  p->ref();                                    // for here
  if (!err) err = call_stream(p->flow[p->first].from, begin_first, p);
  if (!err) {
    block_both(*p);
    p->unref();
    return TORQUE_ERR_NONE;
  }
  free_side(stream_of(*a.slot), of_a);
  if (taken_b) free_side(stream_of(*b.slot), of_b);
  return err;
}

void apply(Hold &h, Flow &f, Fate fate) noexcept {
  switch (fate) {
    case Fate::leave: return detach_sink(h);
    case Fate::shutdown: return ask_own(h, kAskShutdown, 0);
    case Fate::close: return ask_own(h, kAskClose, 0);
    case Fate::reset: break;
    case Fate::none: return;
  }
  {
    HandingLock lock(h.s.lock);
    h.s.ended.store(true, std::memory_order_relaxed);
  }
  const torque_err err = f.err.load(std::memory_order_relaxed);
  if (h.s.type->linger == 0) {
    h.set(kReset);
    return over(h, err);
  }
  h.s.extras->failing = err;
  h.set(kTimed);
  h.s.last_out = monotonic_ns();
}

void splice_out(Hold &h, Flow &f, size_t *budget) noexcept {
  const int fd = h.s.slot->fd.get();
  while (*budget && h.is(kWritable) && !h.is(kBroken)) {
    const uint64_t left = between(h.s);
    if (left == 0) return;
    size_t most = std::min<uint64_t>(left, *budget);
    if (h.is(kRated)) most = allowed(h, kOut, most);
    if (most == 0) return;
    const ssize_t n = sys::retry([&] {
      return ::splice(f.kernel[0].get(), nullptr, fd, nullptr, most, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
    });
    if (h.is(kRated)) passed(h, kOut, n > 0 ? static_cast<uint64_t>(n) : 0);
    if (n < 0 && errno == EAGAIN) return h.clear(kWritable);  // the pipe is not empty
    if (n <= 0) return output_failed(h, n < 0 ? last_error() : TORQUE_ERR_SYSCALL + EIO);
    f.out.fetch_add(static_cast<uint64_t>(n), std::memory_order_seq_cst);
    h.turn.counters.add(Counter::bytes_out, static_cast<uint64_t>(n));
    note_out(h);
    *budget -= std::min(*budget, static_cast<size_t>(n));
  }
}

// Something that was handed over before has not been looked at.
bool has_mail(Stream &s) noexcept {
  HandingLock lock(s.lock);
  return !s.mail.empty();
}

}  // namespace

void Pipe::unref() noexcept {
  if (refs.fetch_sub(1, std::memory_order_acq_rel) != 1) return;
  if (fn) {
    const Outside outside;
    fn(flow[0].from, flow[0].to, flow[0].went(), flow[1].went(), err.load(std::memory_order_relaxed), arg);
  }
  alloc.destroy(this);
}

torque_err join_streams(uint64_t a, uint64_t b, uint32_t flags, torque_pipe_end_fn *fn, void *arg) noexcept {
  Snapshot va, vb;
  if (!hold(a, &va)) return TORQUE_ERR_STALE;
  torque_err err = TORQUE_ERR_STALE;
  if (hold(b, &vb)) {
    Context &context = va.domain->context;
    err = context.usable();
    if (!err && (a == b || &context != &vb.domain->context)) err = TORQUE_ERR_INVAL;
    Pipe *p = err ? nullptr : context.alloc.make<Pipe>(context.alloc, flags, fn, arg);
    if (!err && !p) err = TORQUE_ERR_RESOURCE;
    if (p) {
      for (int i = 0; i < 2; ++i) {
        p->flow[i].pipe = p;
        p->flow[i].from = i ? b : a;
        p->flow[i].to = i ? a : b;
      }
      err = join_held(va, vb, p);
      if (err) context.alloc.destroy(p);
    }
    let_go(*vb.slot);
  }
  let_go(*va.slot);
  return err;
}

torque_err part_stream(uint64_t handle) noexcept {
  Snapshot v;
  if (!hold(handle, &v)) return TORQUE_ERR_STALE;
  torque_err err = v.kind == Kind::stream ? TORQUE_ERR_NONE : TORQUE_ERR_KIND;
  if (!err) {
    Stream &s = stream_of(*v.slot);
    HandingLock lock(s.lock);
    if (!s.piped) err = TORQUE_ERR_STATE;
  }
  let_go(*v.slot);
  return err ? err : call_stream(handle, part_both, nullptr);
}

void begin_pipes(Hold &h) noexcept {
  Extras &x = *h.s.extras;
  if (x.sink && h.is(kConnecting) && x.sink->fate.load(std::memory_order_acquire) >= Fate::close) {
    return over(h, x.sink->err.load(std::memory_order_relaxed));  // nobody waits for the connection
  }
  if (!x.source) return;
  Flow &f = *x.source;
  if (!f.lost.load(std::memory_order_acquire)) {
    if (x.blocked && !f.waiting.load(std::memory_order_seq_cst)) {
      x.blocked = false;
      h.set(kRetell);
    }
    return;
  }
  x.blocked = false;  // what still comes goes nowhere
  if (f.pipe->is(TORQUE_PIPE_KEEP_OPEN)) {
    doom(f, Fate::leave, 0);
    return detach_source(h);
  }
  const torque_err err = f.err.load(std::memory_order_relaxed);
  if (!f.pipe->is(TORQUE_PIPE_ONE_WAY)) {  // the other way tells how it ends, if it was attached before
    Flow *back = x.sink && x.sink->pipe == f.pipe ? x.sink : nullptr;
    if (err && back && back->fate.load(std::memory_order_relaxed) < Fate::reset) doom(*back, Fate::reset, err);
    return;
  }
  if (err) {
    h.set(kReset);
    return over(h, err);
  }
  if (!h.is(kClosing)) ask_own(h, kAskClose, 0);
}

size_t pass_on(Hold &h, const char *data, size_t length) noexcept {
  Flow &f = *h.s.extras->source;
  if (f.lost.load(std::memory_order_acquire)) return length;
  bool full = false;
  if (!hand_over(h, f, data, length, &full)) {
    lose(f, 0);
    return length;
  }
  f.copied.fetch_add(length, std::memory_order_relaxed);
  if (full) wait_for_room(h, f);
  return length;
}

bool splice_in(Hold &h, size_t *budget) noexcept {
  Flow &f = *h.s.extras->source;
  const int fd = h.s.slot->fd.get();
  bool any = false;
  while (*budget && wants_wire(h)) {
    const bool empty = f.filled() == 0;  // nobody else adds to it
    size_t most = std::min(*budget, kSpliceMost);
    if (h.is(kRated)) most = allowed(h, kIn, most);
    if (most == 0) break;
    const ssize_t n = sys::retry([&] {
      return ::splice(fd, nullptr, f.kernel[1].get(), nullptr, most, SPLICE_F_MOVE | SPLICE_F_NONBLOCK);
    });
    if (h.is(kRated)) passed(h, kIn, n > 0 ? static_cast<uint64_t>(n) : 0);
    if (n > 0) {
      any = true;
      f.in.fetch_add(static_cast<uint64_t>(n), std::memory_order_release);
      h.turn.counters.add(Counter::bytes_in, static_cast<uint64_t>(n));
      note_in(h);
      *budget -= std::min(*budget, static_cast<size_t>(n));
    } else if (n == 0 && h.is(kBroken) && h.s.error != TORQUE_ERR_SYSCALL + EPIPE) {
      over(h, h.s.error);
      any = true;
      break;
    } else if (n == 0) {
      h.set(kWireEnded);
      h.clear(kReadable);
      any = true;
    } else if ((errno == EINVAL || errno == EOPNOTSUPP) && f.in.load(std::memory_order_relaxed) == 0) {
      f.spliced.store(false, std::memory_order_relaxed);  // it cannot; nothing has gone this way
      return true;
    } else if (errno != EAGAIN) {
      over(h, h.is(kBroken) ? h.s.error : last_error());
      any = true;
      break;
    } else if (empty) {
      h.clear(kReadable);  // not the pipe's
    } else {
      wait_for_room(h, f);  // the descriptor is empty, or the pipe is full: the next try will tell
    }
  }
  if (any) (void)activate(f.to, TORQUE_TRIGGER);
  return any;
}

void source_closes(Hold &h) noexcept {
  Flow &f = *h.s.extras->source;
  if (!f.pipe->is(TORQUE_PIPE_KEEP_OPEN)) {
    if (!is_done_with(f) && f.fate.load(std::memory_order_relaxed) < Fate::close) doom(f, Fate::close, 0);
    return;
  }
  leave(f);
  detach_source(h);
}

bool end_passed_on(Hold &h) noexcept {
  Flow &f = *h.s.extras->source;
  const bool keeps = f.pipe->is(TORQUE_PIPE_KEEP_OPEN), one_way = f.pipe->is(TORQUE_PIPE_ONE_WAY);
  if (keeps) {
    leave(f);
    detach_source(h);
  } else {
    doom(f, Fate::shutdown, 0);
  }
  return !keeps && !one_way;
}

void mind_sink(Hold &h, size_t *budget) noexcept {
  Flow &f = *h.s.extras->sink;
  const Fate fate = f.fate.load(std::memory_order_acquire);
  const bool behind = has_mail(h.s);
  // The program has ended the output: what is between still goes, and no more comes.
  if (h.is(kEndAsked) && fate == Fate::none && !f.lost.load(std::memory_order_relaxed)) lose(f, 0);
  if (!behind && h.s.wire.empty() && f.spliced.load(std::memory_order_acquire)) splice_out(h, f, budget);
  if (h.over()) return;
  const bool empty = between(h.s) == 0;
  if (f.waiting.load(std::memory_order_seq_cst)) {
    const uint64_t pending = h.s.pending.fetch_add(0, std::memory_order_seq_cst);
    if (empty && pending <= h.s.type->output_low && f.waiting.exchange(false, std::memory_order_seq_cst)) {
      (void)activate(f.from, TORQUE_TRIGGER);
    }
  }
  if (fate > h.s.extras->applied && !behind && (empty || h.is(kBroken))) {
    h.s.extras->applied = fate;
    apply(h, f, fate);
  }
}

void end_pipes(Stream &s, torque_err err) noexcept {
  if (Flow *f = std::exchange(s.extras->source, nullptr)) {
    const bool keeps = f->pipe->is(TORQUE_PIPE_KEEP_OPEN);
    if (keeps) {
      note_error(*f, err);
      leave(*f);
    } else if (err || !is_done_with(*f)) {
      doom(*f, err ? Fate::reset : Fate::close, err);
    }
    f->pipe->unref();
  }
  if (Flow *f = std::exchange(s.extras->sink, nullptr)) {
    lose(*f, err);
    f->pipe->unref();
  }
}

}  // namespace torque
