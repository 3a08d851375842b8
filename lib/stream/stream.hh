// SPDX-License-Identifier: BSD-3-Clause
// A stream: a descriptor source that reads, keeps and sends bytes for its program.
//
//   wire -- read --> layer 0 --> ... --> input kept --> data callback
//   wire <- sendmsg -- wire output <-- layer 0 <-- ... <-- plain output <-- write
//
// Whoever holds the source has all of it but the mailbox, where other threads leave what they want; a Hold is the proof
// of holding it. Nothing is freed while it is held: an end only retires the source, and settle() finishes it.
//
// Always true: readable and writable are what the kernel said last; they are cleared only by EAGAIN, or by a short read
// of a TCP socket that has neither urgent data nor the peer's end in it. So no edge is lost by not reading.
#pragma once

#include <algorithm>

#include "base/clock.hh"
#include "memory/pool.hh"
#include "source/source.hh"
#include "stream/extras.hh"
#include "stream/type.hh"

namespace torque {

struct Stream;

// Stream::flags; the holder's.
enum : uint32_t {
  kConnecting = 1u << 0,
  kOpened = 1u << 1,  // open was called
  kReadable = 1u << 2,
  kWritable = 1u << 3,
  kSocket = 1u << 4,
  kShortIsAll = 1u << 5,  // TCP: a short read has taken everything
  kHangup = 1u << 6,      // the peer's end is on its way or in
  kWireEnded = 1u << 7,   // it was read
  kPaused = 1u << 8,
  kCongested = 1u << 9,  // output above the high mark, and since then not below the low one
  kFull = 1u << 10,      // the program took nothing of a full input
  kRetell = 1u << 11,    // what is kept must be told again
  kEndTold = 1u << 12,
  kClosing = 1u << 13,    // torque_stream_close(): input is discarded
  kEndAsked = 1u << 14,   // no more writes: shutdown or close
  kEndPassed = 1u << 15,  // through the layers
  kEndSent = 1u << 16,
  kLost = 1u << 17,  // the kernel has told of an error or a hang-up: to be looked at if nobody reads
  kInData = 1u << 18,     // the data callback runs
  kOver = 1u << 19,       // retired by its holder
  kWriteOnly = 1u << 20,
  kReadOnly = 1u << 21,
  kBroken = 1u << 22,   // output failed: what can still be read is told, then it ends
  kReset = 1u << 23,    // torque_stream_abort()
  kTimed = 1u << 24,    // the type has limits, or it lingers
  kQuiet = 1u << 25,    // it never started: nobody is told of its end
  kPushed = 1u << 26,   // a callback has put layers on top: what is kept goes through them
  kHangupTold = 1u << 27,
  kCalled = 1u << 28,   // a function from the mailbox runs: what was asked for after it has not happened yet
  kAgain = 1u << 29,    // data has postponed: no more is told in this turn, and what is kept is told again in the next
  kFresh = 1u << 30,      // of a connection that was just accepted: the kernel tells at once that it takes bytes
  kRated = 1u << 31,      // there are rates to ask before bytes pass
  kGoawayTold = kQuiet,   // of one that is open
  kWaits = kFresh,        // of one that connects: for room in the peer's backlog, to call connect(2) again (api/attempt.hh)
};

// Stream::asked; under the mailbox's lock.
enum : uint32_t {
  kAskPause = 1u << 0,
  kAskResume = 1u << 1,
  kAskShutdown = 1u << 2,
  kAskClose = 1u << 3,
  kAskAbort = 1u << 4,
  kAskEnd = kAskShutdown | kAskClose | kAskAbort,
  kAskCall = 1u << 5,  // functions stand in the mailbox
  kAskAwait = 1u << 6,  // it waits for its connection: who takes this away attaches one, or fails it
  kAskStart = 1u << 8,  // it has one, and is about to start
  kAskDrain = 1u << 7,  // a write elsewhere went above the high mark: whoever wrote may wait for drain
};

}  // namespace torque

// One layer in one stream.
struct torque_layer {
  enum : uint32_t {
    kOpen = 1,  // has a state
    kStarted = 2,
    kReady = 4,
    kStopped = 8,    // above there was no room: receive is called again when there is
    kEnded = 16,     // nothing more comes from below
    kSent = 32,      // something was sent through it since the last flush
    kHeld = 64,      // nothing can be sent through it for now
    kTold = 256,     // the program knows that it is ready
    kSending = 128,  // it makes output: perhaps while it makes input, so that each has its own scratch memory
  };
  torque::Stream *stream;
  torque::LayerType *type;
  void *state;
  torque::Piece *kept;  // received and not taken
  uint64_t told;        // bytes that it passed up in this turn: a little input may become much
  uint32_t flags;
  uint32_t level;  // 0: next to the wire
};

namespace torque {

// Only streams with layers have one.
struct Layers {
  uint32_t count;
  uint32_t held;    // how many are kHeld
  bool unflushed;   // something went through them since they were flushed
  bool pushing;     // output goes through them
  bool wire_told;   // the program knows that the connection stands
  // Of the first error that one of them has answered; 0: none has.
  torque_err failure;
  uint32_t failed;
  uint32_t pushed;  // the first of those that a callback has put on top; with kPushed
  Pieces plain;     // output that has not gone through them
  torque_layer layer[kLayersMax];
};

struct Stream {
  StreamType *type;  // the holder's, who changes it under the lock
  Slot *slot;
  Layers *layers;
  Extras *extras;  // null: none
  Piece *kept;  // input that the program has not taken
  Pieces wire;  // output as it will be sent
  // Bytes of output in all places. The holder and writers elsewhere add, the holder takes away; relaxed: a figure.
  std::atomic<uint64_t> pending;
  uint64_t last_in;  // ns; only when timed
  uint64_t last_out;
  uint64_t alarm;  // what the source's timer is set for; 0: not set
  uint32_t flags;
  torque_err error;
  // Somebody has asked for an end of the output, or there is none; under the lock, or the holder's to read.
  std::atomic<bool> ended;

  // The mailbox, of anybody.
  uint8_t piped GUARDED_BY(lock);
  uint16_t asked GUARDED_BY(lock);
  Mutex lock;
  Pieces mail GUARDED_BY(lock);

  void ask(uint32_t all) noexcept REQUIRES(lock) { asked = static_cast<uint16_t>(all); }
};
static_assert(sizeof(Stream) <= 120);  // an idle one is to cost 256 bytes, with its slot
static_assert(sizeof(Stream) <= 128);  // with its slot 248 bytes

inline Stream &stream_of(Slot &s) noexcept { return *static_cast<Stream *>(cold_of(s).object); }

// Holding a stream: its callback runs, on this thread, in this turn.
struct Hold {
  Turn &turn;
  Stream &s;
  uint64_t handle;

  bool is(uint32_t flag) const noexcept { return s.flags & flag; }
  void set(uint32_t flag) noexcept { s.flags |= flag; }
  void clear(uint32_t flag) noexcept { s.flags &= ~flag; }
  Context &context() noexcept { return turn.context; }
  // It has ended, by us or by anybody: no more callbacks.
  bool over() const noexcept {
    return is(kOver) || word::state(s.slot->word.load(std::memory_order_acquire)) == word::RETIRED;
  }
};

// ---- Making and ending: stream.cc ----
// fd is non-blocking. flags: kConnecting, kSocket, kShortIsAll, kWriteOnly, kReadOnly.
torque_err make_stream(Context &context, int fd, StreamType &type, void *arg, uint32_t flags, Slot **ret) noexcept;
torque_err start_stream(Context &context, Slot &s, uint64_t handle) noexcept;
// Whether the descriptor goes with the stream. Before the start, and from its callbacks.
void adopt_descriptor(Slot &slot) noexcept;
void disown_descriptor(Slot &slot) noexcept;
// In last_out until open is called: a time with this mark is when that must have been.
constexpr uint64_t kOpenBy = uint64_t{1} << 63;
// What a stream that waits for its connection (kAskAwait) is given, once; before start_stream(). open_by:
// when open must have been called, ns; kNever: no limit of its own. Errors: STATE it waits for none; SYSCALL + errno.
void await_connection(Slot &slot) noexcept;
torque_err attach_descriptor(Slot &slot, int fd, uint64_t open_by) noexcept;
// It did not start: it waits on.
void detach_descriptor(Slot &slot) noexcept;
// It waits no more, and its end is told with err, unless quiet. The caller retires it. False: it has a connection.
bool give_up_waiting(Slot &slot, torque_err err, bool quiet) noexcept;
// What other threads have asked for, and have written.
void read_mail(Hold &h) noexcept;
void ask(Hold &h, uint32_t asked) noexcept;
// What kind of descriptor it is; makes it non-blocking. Errors: SYSCALL + EBADF, ...
torque_err look_at_descriptor(int fd, uint32_t *ret_flags) noexcept;
// Ends it with err, now; the rest follows when it is given up.
void over(Hold &h, torque_err err) noexcept;
// As over(), but what was made for the peer (an alert) is sent if it can be.
void fail(Hold &h, torque_err err) noexcept;
void reset_on_close(int fd) noexcept;

// A stream whose close callback runs on this thread: what it cannot be asked any more.
struct Ended {
  uint64_t handle;
  torque_err err;
  int32_t level;
  const char *name;
  const Ended *outer;
};
const Ended *ended_here() noexcept;  // null: none

// ---- Functions from outside: calls.cc ----
// As torque_stream_abort(), of one that has started and has not ended.
void abort_stream(uint64_t handle) noexcept;
// As call_source(). before_start: also of a stream that has not started; in its first turn, before anything else.
torque_err call_stream(uint64_t handle, torque_run_fn *fn, void *arg, bool before_start = false) noexcept;
// It was started, or waits for its connection: then its first turn finds them.
bool takes_calls(Slot &slot) noexcept;  // REQUIRES the mailbox's lock
// Mail with functions in it, and what was asked for after all that.
void run_mail(Hold &h, Pieces &mail, uint32_t asked) noexcept;
// From the own callback: at once, behind what others have written.
void ask_own(Hold &h, uint32_t what, uint32_t undoes) noexcept;

// ---- The plain turn: plain.cc ----
// Most turns are of a stream that is open and does nothing special: its program is told what comes, and its answer is sent.
// Reads, tells and sends, as far as the budgets go. False: more is to be minded than that, in this turn. *ret_again: the
// stream runs again.
bool run_plain(Hold &h, size_t *in, size_t *out, bool *ret_again) noexcept;

// ---- Input: input.cc ----
// Reads and tells, as far as budget and program allow. Answers whether there was anything.
bool pump_input(Hold &h, size_t *budget) noexcept;
bool may_tell(const Hold &h) noexcept;     // data to the program
bool wants_input(const Hold &h) noexcept;  // and it would take more than is kept
// The wire is to be read now. While it closes what comes is thrown away, but a layer must still see its handshake
// through and the peer's goodbye.
bool wants_wire(const Hold &h) noexcept;
// Nothing is read or told before the program, or the peer, does something.
bool input_rests(const Hold &h) noexcept;
// To the program. False: it wants no more for now.
bool tell_program(Hold &h, const char *data, size_t length) noexcept;
// What follows a call with that data, of which the program took so much: the rest is kept. False: it wants no more for now.
bool mind_rest(Hold &h, const char *data, size_t length, size_t taken) noexcept;
// One read of the descriptor, into the scratch memory of the wire. Requires: there is that memory.
ssize_t read_scratch(Hold &h, size_t most) noexcept;
// Nothing was read: n is 0 or, with errno, -1. Notes that, or ends the stream.
void nothing_read(Hold &h, ssize_t n) noexcept;
void tell_ends(Hold &h) noexcept;
// Keeps bytes behind what *kept has. False: no memory.
bool keep(Hold &h, Piece **kept, const char *data, size_t length) noexcept;
void take_kept(Hold &h, Piece **kept, size_t n) noexcept;

// One call of the program with data; answers what it took. h.over() afterwards: it has ended meanwhile.
size_t call_data(Hold &h, const char *data, size_t length) noexcept;

// ---- Portions: expect.cc ----
// Null: no memory.
Extras *extras_of(Hold &h) noexcept;
// Nothing is told: the stream that it is piped to has no room, or it is about to be piped.
inline bool is_blocked(const Stream &s) noexcept { return s.extras && s.extras->blocked; }
inline bool is_piped(const Stream &s) noexcept { return s.extras && s.extras->source; }
inline bool is_expecting(const Stream &s) noexcept {
  return s.extras && s.extras->expect.what != Expect::What::any && !s.extras->source;
}
inline size_t input_low(const Stream &s) noexcept { return is_expecting(s) || is_piped(s) ? 1 : s.type->input_low; }
// The program is told data in portions as long as it wants to be; answers what it took.
size_t tell_expected(Hold &h, const char *data, size_t length, bool no_more) noexcept;
// So many bytes of what is kept have gone without being told.
inline void forget_seen(Stream &s, size_t n) noexcept {
  if (s.extras) s.extras->expect.seen -= n < s.extras->expect.seen ? n : s.extras->expect.seen;
}
// What is expected fits in any case.
inline size_t input_high(const Stream &s) noexcept {
  const size_t high = s.type->input_high;
  return is_expecting(s) && s.extras->expect.bytes > high ? s.extras->expect.bytes : high;
}

// ---- Rates: throttle.cc ----
enum Direction : uint8_t { kIn = TORQUE_RATE_INPUT, kOut = TORQUE_RATE_OUTPUT };
constexpr uint64_t kAllowedMost = 1 << 20;  // at once
// With kRated only: how many of so many bytes may pass now. 0: none before its turn comes, which the timer is set for. Then
// passed() says how many did.
size_t allowed(Hold &h, Direction d, uint64_t want) noexcept;
void passed(Hold &h, Direction d, uint64_t n) noexcept;
// It could read, or send, and waits for its turn.
inline bool is_held_back(const Hold &h, Direction d) noexcept {
  return h.is(kRated) && h.s.extras->throttle->held[d];
}
// which: Throttle::kOwn, kOfType. rate null: none. Before the start, and for the holder. Errors: RESOURCE.
torque_err throttle(const Alloc &alloc, Stream &s, int which, Rate *rate) noexcept;
torque_err throttle_own(Hold &h, int which, Rate *rate) noexcept;
// The turn ends: it gives up its place where it has nothing to read, or to send, any more. With kRated only.
void mind_rates(Hold &h) noexcept;
void end_throttle(const Alloc &alloc, Stream &s) noexcept;

// ---- Output: output.cc ----
torque_err write_own(Hold &h, const iovec *parts, uint32_t count) noexcept;
torque_err write_own(Hold &h, const void *data, size_t length) noexcept;  // one part
// Copies into new pieces. False: no memory, nothing is left. pool: null for threads that hold none.
bool copy_pieces(const Alloc &alloc, Pool *pool, const iovec *parts, uint32_t count, Pieces *ret) noexcept;
// Behind all that was written.
void enqueue(Hold &h, Pieces &pieces) noexcept;
bool pump_output(Hold &h, size_t *budget) noexcept;
torque_err append_wire(Hold &h, const char *data, size_t length) noexcept;
void send_wire(Hold &h, size_t *budget) noexcept;
// The descriptor takes no more: what can still be read is told first.
void output_failed(Hold &h, torque_err err) noexcept;
// What is to be sent and is still between this stream and the one that is piped to it: in a pipe of the kernel.
inline uint64_t between(const Stream &s) noexcept {
  return s.extras && s.extras->sink && !(s.flags & kEndPassed) ? s.extras->sink->filled() : 0;
}
// Something waits to be sent, in whatever place.
inline bool output_waits(const Stream &s) noexcept { return s.pending.load(std::memory_order_relaxed) || between(s); }
void drop_output(Hold &h) noexcept;
// Output is short enough again: the program is told.
bool may_relieve(const Hold &h) noexcept;
void relieve(Hold &h) noexcept;
// Whether so much waits that the program is to be told when less does.
inline void congest(Hold &h) noexcept {
  if (h.s.pending.load(std::memory_order_relaxed) > h.s.type->output_high) h.set(kCongested);
}

// ---- Layers: layers.cc ----
torque_err open_layers(Context &context, Stream &s) noexcept;
torque_err push_layer(Hold &h, LayerType &type) noexcept;
void close_layers(const Alloc &alloc, Stream &s) noexcept;
// Starts those whose turn it is, and calls open when all are ready.
void advance_layers(Hold &h) noexcept;
// As fail(): a layer has answered err.
void fail_layer(Hold &h, torque_layer &l, torque_err err) noexcept;
// Where the error comes from that the stream ends with; -1: the descriptor. Before its layers are closed.
int32_t failed_level(const Stream &s) noexcept;
bool may_advance(const Hold &h) noexcept;  // whether that would do anything
bool layers_ready(const Stream &s) noexcept;
// Received bytes to that level; from level count on they are the program's. False: it wants no more for now.
bool feed(Hold &h, uint32_t level, const char *data, size_t length) noexcept;
// Those that were stopped go on. Answers whether any did.
bool feed_stopped(Hold &h) noexcept;
// A turn begins.
void begin_layers(Stream &s) noexcept;
bool any_stopped(const Stream &s) noexcept;
// Plain output through the layers, as long as less than that waits below them; flushes them when all is through. Does
// nothing where it is called from what it calls.
constexpr size_t kWireMax = 131072;  // made in advance of what the descriptor takes
void push_plain(Hold &h, size_t wire_max = kWireMax) noexcept;
void flush_layers(Hold &h) noexcept;
void pass_end(Hold &h) noexcept;

// ---- Time: times.cc ----
// Something was sent: what the kernel held of the output before says nothing any more.
inline void unsee_queue(Stream &s) noexcept {
  if (s.extras) s.extras->queued = Extras::kUnseen;
}
// Until open is called the times are those of its beginning.
inline void note_in(Hold &h) noexcept {
  if (h.is(kTimed) && h.is(kOpened)) h.s.last_in = monotonic_ns();
}
inline void note_out(Hold &h) noexcept {
  if (!h.is(kTimed) || !h.is(kOpened)) return;
  h.s.last_out = monotonic_ns();
  unsee_queue(h.s);
}
// So much was read, of what was asked for. It takes a kilobyte of the turn's budget at least: many small ones are a turn, too.
constexpr size_t kReadCost = 1024;
inline void bytes_read(Hold &h, size_t n, size_t asked, size_t *budget) noexcept {
  h.turn.counters.add(Counter::bytes_in, n);
  note_in(h);
  *budget -= std::min(*budget, std::max(n, kReadCost));
  if (n < asked && h.is(kShortIsAll) && !h.is(kHangup)) h.clear(kReadable);
}
// Ends what has run out; sets the timer for what comes next.
void mind_times(Hold &h, bool rang) noexcept;

inline Piece *new_piece(Hold &h, size_t room) noexcept { return h.turn.pool.take(room); }
inline void free_piece(Hold &h, Piece *p) noexcept { h.turn.pool.give(p); }

bool run_stream(Turn &, Slot &, uint64_t, uint32_t) noexcept;
void end_stream_calls(Slot &, uint64_t, uint32_t reason) noexcept;
void end_stream(Context &, Slot &, uint32_t reason) noexcept;  // tells its end, and frees what it had
void revive_stream(Slot &) noexcept;
void cut_off_stream(Slot &, uint64_t) noexcept;  // nobody knows how far it had come

inline constexpr KindOps kStreamKind = {
    .run = run_stream,
    .name = "stream",
    .public_kind = TORQUE_KIND_STREAM,
    .traits = trait::kDescriptor,
    .start = start_stream,
    .dismantle = detach_fd_and_deadline,
    .end_calls = end_stream_calls,
    .free_after_final = end_stream,
    .revive = revive_stream,
    .go_on = cut_off_stream,
    .reattach = reattach_fd,
    .descriptor = descriptor_of,
    .call = [](uint64_t handle, torque_run_fn *fn, void *arg) noexcept { return call_stream(handle, fn, arg); },
};

}  // namespace torque
