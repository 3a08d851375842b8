// SPDX-License-Identifier: BSD-3-Clause
// Functions that others want run in a stream's turn. They stand in the mailbox among what was written, each with what was
// asked for before it, so that one thread's calls keep their order.
#include "stream/stream.hh"

namespace torque {

namespace {

constexpr uint32_t kBatch = 64;  // in one turn

Call call_in(const Piece &p) noexcept { return {reinterpret_cast<torque_run_fn *>(reinterpret_cast<Callback>(p.release)), p.release_arg, nullptr}; }

// What is asked for after all: a later pause or resume takes the place of an earlier one.
uint32_t then(uint32_t first, uint32_t second) noexcept {
  if (second & (kAskPause | kAskResume)) first &= ~uint32_t{kAskPause | kAskResume};
  return first | second;
}

Piece *first_call(const Pieces &mail) noexcept {
  Piece *p = mail.first;
  while (p && p->kind != Piece::Kind::call) p = p->next;
  return p;
}

// Back into the box, before what has come since.
void put_back(Hold &h, Pieces &mail, uint32_t asked) noexcept {
  Stream &s = h.s;
  HandingLock lock(s.lock);
  if (Piece *later = first_call(s.mail)) later->offset = then(asked, static_cast<uint32_t>(later->offset));
  else s.ask(then(asked, s.asked));
  s.ask(s.asked | kAskCall);
  mail.append(s.mail);
  s.mail = std::exchange(mail, {});
}

// What others have written goes before the end that an own callback asks for; functions run when that has returned.
void enqueue_written(Hold &h) noexcept {
  Stream &s = h.s;
  Pieces written;
  {
    HandingLock lock(s.lock);
    Pieces all = std::exchange(s.mail, {});
    while (Piece *p = all.pop()) (p->kind == Piece::Kind::call ? s.mail : written).push(*p);
  }
  if (!written.empty()) enqueue(h, written);
}

}  // namespace

void run_mail(Hold &h, Pieces &mail, uint32_t asked) noexcept {
  for (uint32_t left = kBatch; !mail.empty();) {
    Piece *p = mail.first;
    if (p->kind != Piece::Kind::call) {
      Pieces one;
      one.push(*mail.pop());
      enqueue(h, one);
      continue;
    }
    if (const auto before = static_cast<uint32_t>(std::exchange(p->offset, 0))) ask(h, before);
    if (h.over() || left-- == 0 || halted(h.turn)) {
      put_back(h, mail, asked & ~kAskCall);
      if (h.over()) return;
      (void)activate(h.handle, TORQUE_TRIGGER);
      asked = 0;
      break;
    }
    const Call call = call_in(*mail.pop());
    free_piece(h, p);
    h.set(kCalled);
    if (run_call(h.turn, h.handle, call)) {
      h.turn.postpone = true;
      h.set(kAgain);
    }
    h.clear(kCalled);
  }
  if (h.over()) return;
  if (h.is(kEndAsked)) enqueue_written(h);  // one of them did
  if (asked &= ~kAskCall) ask(h, asked);
}

// A function has later mail behind it, which stays as it is. Any other callback is beside what others ask for meanwhile.
void ask_own(Hold &h, uint32_t what, uint32_t undoes) noexcept {
  Stream &s = h.s;
  bool calls;
  {
    HandingLock lock(s.lock);
    if (what & kAskEnd) s.ended.store(true, std::memory_order_relaxed);
    if (!h.is(kCalled)) s.ask(s.asked & ~undoes);
    calls = h.is(kCalled) || (s.asked & kAskCall);
    if (!calls) s.ask(s.asked | what);
  }
  if (!calls) return read_mail(h);
  if ((what & kAskEnd) && !h.is(kCalled)) enqueue_written(h);
  ask(h, what);
}

bool takes_calls(Slot &slot) noexcept NO_THREAD_SAFETY_ANALYSIS {
  return (stream_of(slot).asked & (kAskAwait | kAskStart)) ||
         word::state(slot.word.load(std::memory_order_acquire)) != word::NEW;
}

void abort_stream(uint64_t handle) noexcept {
  Snapshot v;
  if (!hold(handle, &v)) return;
  if (v.kind == Kind::stream && word::state(v.word) != word::NEW) {
    Stream &s = stream_of(*v.slot);
    {
      HandingLock lock(s.lock);
      s.ask(s.asked | kAskAbort);
      s.ended.store(true, std::memory_order_relaxed);
    }
    (void)activate(handle, TORQUE_TRIGGER);
  }
  let_go(*v.slot);
}

torque_err call_stream(uint64_t handle, torque_run_fn *fn, void *arg, bool before_start) noexcept {
  Snapshot v;
  if (!hold(handle, &v)) return TORQUE_ERR_STALE;
  torque_err err = v.domain->context.usable();
  if (!err && v.kind != Kind::stream) err = TORQUE_ERR_KIND;
  Piece *p = err ? nullptr : make_piece(v.domain->context.alloc, 0);
  if (!err && !p) err = TORQUE_ERR_RESOURCE;
  if (!err) {
    p->kind = Piece::Kind::call;
    p->release = reinterpret_cast<void (*)(void *)>(reinterpret_cast<Callback>(fn));
    p->release_arg = arg;
    Stream &s = stream_of(*v.slot);
    HandingLock lock(s.lock);
    if (before_start || takes_calls(*v.slot)) {
      const uint32_t waiting = s.asked & (kAskAwait | kAskStart);
      p->offset = s.asked & ~(kAskCall | waiting);
      s.ask(kAskCall | waiting);
      s.mail.push(*std::exchange(p, nullptr));
    }
  }
  if (p) {
    free_piece(v.domain->context.alloc, p);
    err = TORQUE_ERR_STATE;
  }
  if (!err) (void)activate(handle, TORQUE_TRIGGER);  // ended meanwhile: its end tells it
  let_go(*v.slot);
  return err;
}

// Nobody else has it any more: the mailbox is read without its lock, as in end_stream().
void end_stream_calls(Slot &slot, uint64_t handle, uint32_t reason) noexcept NO_THREAD_SAFETY_ANALYSIS {
  auto *s = static_cast<Stream *>(cold_of(slot).object);
  if (!s || !(s->asked & kAskCall)) return;
  const torque_err err = reason == TORQUE_END_STOPPED && !(s->flags & kOver) ? TORQUE_ERR_STOPPED : TORQUE_ERR_STALE;
  Pieces all = std::exchange(s->mail, {});
  while (Piece *p = all.pop()) {
    if (p->kind != Piece::Kind::call) {
      s->mail.push(*p);
      continue;
    }
    const Call call = call_in(*p);
    free_piece(slot.domain.get()->context.alloc, p);
    call.fn(handle, err, call.arg);
  }
}

}  // namespace torque
