// SPDX-License-Identifier: BSD-3-Clause
// Signal sources, and the hub that hands out each arrival to all of them.
//
// A watched signal reaches the process in one of two ways, and in one only. Where some thread has it unblocked the
// kernel runs our handler (see handler.hh), which writes the arrival to a pipe; where all threads block it, it stays
// pending and is read from a signalfd. Every context with signal sources watches both descriptors; whoever reads an
// arrival gives it to all sources of all contexts that want it.
#include "libtorque/signal.h"

#include <sys/signalfd.h>

#include <cstring>

#include "base/fd.hh"
#include "base/list.hh"
#include "base/syscall.hh"
#include "kinds/handler.hh"
#include "kinds/signal.hh"
#include "source/source.hh"

namespace torque {

namespace {

constexpr uint32_t kBatch = 64;

using Mask = uint64_t;  // bit signo - 1
constexpr Mask bit_of(int signo) { return Mask{1} << (signo - 1); }

// One signal source. Guarded by the hub's lock, like all lists here.
struct SignalSource {
  SignalSource(const Alloc &alloc, Mask m, uint64_t h, Context *c) noexcept : mask(m), handle(h), context(c), queue(alloc) {}
  const Mask mask;
  const uint64_t handle;
  Context *const context;
  SignalSource *prev = nullptr;
  SignalSource *next = nullptr;
  bool linked = false;
  Vec<torque_siginfo> queue;  // arrivals not told yet, from `told` on
  size_t told = 0;
  uint32_t bare[kSignals] = {};  // arrivals that there was no memory for: told without details
};

// A context that watches the hub's descriptors.
struct Attachment {
  Context *context;
  uint64_t sources[2];
  uint32_t watches;
  Attachment *next;
};

struct Hub {
  Mutex lock;
  List<SignalSource> sources GUARDED_BY(lock);  // in the order in which they came, which is that of the calls
  Attachment *attachments GUARDED_BY(lock) = nullptr;
  int pipe_read GUARDED_BY(lock) = -1;
  int pipe_write GUARDED_BY(lock) = -1;
  int signal_fd GUARDED_BY(lock) = -1;
};

constinit Hub hub;

void fill_set(sigset_t *set) noexcept REQUIRES(hub.lock) {
  sigemptyset(set);
  for (int s = 1; s < kSignals; ++s) {
    if (handler::watched(s)) sigaddset(set, s);
  }
}

torque_err open_descriptors() noexcept REQUIRES(hub.lock) {
  if (hub.pipe_read >= 0) return TORQUE_ERR_NONE;
  sigset_t none;
  sigemptyset(&none);
  Fd signals(::signalfd(-1, &none, SFD_CLOEXEC | SFD_NONBLOCK));
  if (!signals) return last_error();
  int ends[2];
  if (::pipe2(ends, O_CLOEXEC | O_NONBLOCK) != 0) return last_error();
  // Room for 32,768 arrivals; less where the system says so.
  (void)::fcntl(ends[1], F_SETPIPE_SZ, 1 << 20);
  hub.signal_fd = signals.release();
  hub.pipe_read = ends[0];
  hub.pipe_write = ends[1];
  handler::write_to(ends[1]);
  return TORQUE_ERR_NONE;
}

void close_descriptors() noexcept REQUIRES(hub.lock) {
  handler::write_to(-1);
  for (int *fd : {&hub.pipe_write, &hub.pipe_read, &hub.signal_fd}) {
    if (*fd >= 0) ::close(*fd);
    *fd = -1;
  }
}

torque_err refresh_signalfd() noexcept REQUIRES(hub.lock) {
  sigset_t set;
  fill_set(&set);
  return ::signalfd(hub.signal_fd, &set, 0) >= 0 ? TORQUE_ERR_NONE : last_error();
}

void uninstall_mask(Mask mask) noexcept REQUIRES(hub.lock) {
  for (int s = 1; s < kSignals; ++s) {
    if (mask & bit_of(s)) handler::unwatch(s);
  }
  if (hub.signal_fd >= 0) (void)refresh_signalfd();  // fewer signals in a set that is there already: cannot fail
}

torque_err install_mask(Mask mask) noexcept REQUIRES(hub.lock) {
  Mask done = 0;
  torque_err err = TORQUE_ERR_NONE;
  for (int s = 1; s < kSignals && !err; ++s) {
    if (!(mask & bit_of(s))) continue;
    err = handler::watch(s);
    if (!err) done |= bit_of(s);
  }
  if (!err) err = refresh_signalfd();
  if (err) uninstall_mask(done);
  return err;
}

void fan_out(const torque_siginfo &arrival) noexcept REQUIRES(hub.lock) {
  for (SignalSource *w = hub.sources.front(); w; w = w->next) {
    if (!(w->mask & bit_of(arrival.signo))) continue;
    if (!w->queue.push(arrival)) ++w->bare[arrival.signo];
    (void)activate(w->handle, TORQUE_TRIGGER);
  }
}

// False when there is nothing more to read.
bool read_pipe() noexcept REQUIRES(hub.lock) {
  torque_siginfo arrivals[32];
  const ssize_t n = sys::read(hub.pipe_read, arrivals, sizeof arrivals);
  const size_t count = n > 0 ? static_cast<size_t>(n) / sizeof *arrivals : 0;
  for (size_t i = 0; i < count; ++i) {
    if (arrivals[i].signo) fan_out(arrivals[i]);
  }
  return count == sizeof arrivals / sizeof *arrivals;
}

bool read_signalfd() noexcept REQUIRES(hub.lock) {
  signalfd_siginfo infos[16];
  const ssize_t n = sys::read(hub.signal_fd, infos, sizeof infos);
  const size_t count = n > 0 ? static_cast<size_t>(n) / sizeof *infos : 0;
  for (size_t i = 0; i < count; ++i) {
    const signalfd_siginfo &f = infos[i];
    const auto signo = static_cast<int>(f.ssi_signo);
    handler::note_termination(signo);
    const int64_t value = signo == SIGCHLD ? f.ssi_status : static_cast<int64_t>(f.ssi_ptr);
    fan_out({signo, f.ssi_code, static_cast<int32_t>(f.ssi_pid), f.ssi_uid, value});
  }
  return count == sizeof infos / sizeof *infos;
}

void read_unsent() noexcept REQUIRES(hub.lock) {
  for (int s = 1; s < kSignals; ++s) {
    for (uint64_t n = handler::take_unsent(s); n > 0; --n) fan_out({s, 0, 0, 0, 0});
  }
}

Attachment *find_attachment(const Context &context) noexcept REQUIRES(hub.lock) {
  Attachment *a = hub.attachments;
  while (a && a->context != &context) a = a->next;
  return a;
}

// One of the hub's descriptors as a source of this context. Each context has a number of its own for it, so that its
// table of owners is right.
torque_err watch_descriptor(Context &context, int fd, uint64_t *ret_handle) noexcept {
  Fd own(::fcntl(fd, F_DUPFD_CLOEXEC, 3));
  if (!own) return last_error();
  Slot *s;
  torque_err err = create(context, Kind::hub, 0, &s);
  if (err) return err;
  const uint64_t handle = handle_of(*s);
  s->fd.set(own.get());
  s->interest.store(TORQUE_READ, std::memory_order_relaxed);
  err = start_fd(context, *s, handle);
  if (err) {
    s->fd.set(-1);
    retire(handle, TORQUE_END_REMOVED);
    return err;
  }
  s->traits.set(kOwnsFd);
  own.release();
  *ret_handle = handle;
  return TORQUE_ERR_NONE;
}

torque_err attach(Context &context) noexcept REQUIRES(hub.lock) {
  if (Attachment *a = find_attachment(context)) {
    ++a->watches;
    return TORQUE_ERR_NONE;
  }
  uint64_t pipe = 0, signals = 0;
  torque_err err = watch_descriptor(context, hub.pipe_read, &pipe);
  if (!err) err = watch_descriptor(context, hub.signal_fd, &signals);
  Attachment *a = err ? nullptr : context.alloc.make<Attachment>();
  if (!a) {
    if (pipe) retire(pipe, TORQUE_END_REMOVED);
    if (signals) retire(signals, TORQUE_END_REMOVED);
    return err ? err : TORQUE_ERR_RESOURCE;
  }
  *a = {&context, {pipe, signals}, 1, hub.attachments};
  hub.attachments = a;
  return TORQUE_ERR_NONE;
}

void detach(Context &context) noexcept REQUIRES(hub.lock) {
  for (Attachment **at = &hub.attachments; *at; at = &(*at)->next) {
    Attachment *a = *at;
    if (a->context != &context) continue;
    if (--a->watches != 0) return;
    *at = a->next;
    for (const uint64_t source : a->sources) retire(source, TORQUE_END_REMOVED);
    context.alloc.destroy(a);
    return;
  }
}

torque_err enlist(Context &context, SignalSource &w) noexcept REQUIRES(hub.lock) {
  torque_err err = open_descriptors();
  if (!err) err = install_mask(w.mask);
  if (err) {
    if (hub.sources.empty()) close_descriptors();
    return err;
  }
  err = attach(context);
  if (err) {
    uninstall_mask(w.mask);
    if (hub.sources.empty()) close_descriptors();
    return err;
  }
  hub.sources.push(w);
  w.linked = true;
  return TORQUE_ERR_NONE;
}

// The next arrival to tell; false: none.
bool next_arrival(SignalSource &w, torque_siginfo *ret) noexcept REQUIRES(hub.lock) {
  if (w.told < w.queue.size()) {
    *ret = w.queue[w.told++];
    if (w.told == w.queue.size()) {
      w.queue.clear();
      w.told = 0;
    }
    return true;
  }
  for (int s = 1; s < kSignals; ++s) {
    if (!w.bare[s]) continue;
    --w.bare[s];
    *ret = {s, 0, 0, 0, 0};
    return true;
  }
  return false;
}

}  // namespace

torque_err prepare_signal(Context &context, Slot &s, const int32_t *signos, uint32_t count) noexcept {
  Mask mask = 0;
  for (uint32_t i = 0; i < count; ++i) mask |= bit_of(signos[i]);
  auto *w = context.alloc.make<SignalSource>(context.alloc, mask, handle_of(s), &context);
  cold_of(s).object = w;
  return w ? TORQUE_ERR_NONE : TORQUE_ERR_RESOURCE;
}

bool may_watch(int32_t signo) noexcept {
  switch (signo) {
    case SIGKILL:
    case SIGSTOP:
    case SIGSEGV:
    case SIGBUS:
    case SIGFPE:
    case SIGILL: return false;
    default: return signo > 0 && signo <= SIGRTMAX && (signo < 32 || signo >= SIGRTMIN);
  }
}

torque_err start_signal(Context &context, Slot &s, uint64_t handle) noexcept {
  Lock lock(hub.lock);
  if (!arm_word(s, generation_of(handle))) return TORQUE_ERR_STATE;
  const torque_err err = enlist(context, *static_cast<SignalSource *>(cold_of(s).object));
  if (err) disarm_word(s, generation_of(handle));
  return err;
}

void end_signal(const Snapshot &v, uint64_t) noexcept {
  auto *w = static_cast<SignalSource *>(cold_of(*v.slot).object);
  Lock lock(hub.lock);
  if (!w || !w->linked) return;
  hub.sources.unlink(*w);
  w->linked = false;
  uninstall_mask(w->mask);
  detach(*w->context);
  if (hub.sources.empty()) close_descriptors();
}

void free_signal(Context &context, Slot &s) noexcept { context.alloc.destroy(static_cast<SignalSource *>(cold_of(s).object)); }

void look_for_arrivals(Slot &, uint64_t handle) noexcept { (void)activate(handle, TORQUE_READ); }

bool run_signal(Turn &t, Slot &s, uint64_t handle, uint32_t) noexcept {
  auto *w = static_cast<SignalSource *>(cold_of(s).object);
  for (uint32_t i = 0; i < kBatch; ++i) {
    torque_siginfo arrival;
    {
      Lock lock(hub.lock);
      if (!next_arrival(*w, &arrival)) return false;
    }
    reinterpret_cast<torque_signal_fn *>(s.fn)(handle, &arrival, s.arg.look());
    t.counters.add(Counter::signals);
    if (word::state(s.word.load(std::memory_order_acquire)) == word::RETIRED) return false;
  }
  return true;
}

// Both descriptors are read whichever was told: with several contexts another one may have taken the edge.
bool run_hub(Turn &, Slot &, uint64_t, uint32_t) noexcept {
  Lock lock(hub.lock);
  if (hub.pipe_read < 0) return false;
  const bool more = read_pipe();
  if (!more) read_unsent();  // in this order, see take_unsent()
  return read_signalfd() || more;
}

void free_attachment_in_child(Context &context) noexcept {
  Lock lock(hub.lock);
  for (Attachment **at = &hub.attachments; *at; at = &(*at)->next) {
    if ((*at)->context != &context) continue;
    Attachment *a = *at;
    *at = a->next;
    context.alloc.destroy(a);
    return;
  }
}

// In the child the descriptors are the parent's: reading them would steal its signals.
void hub_after_fork_in_child() noexcept NO_THREAD_SAFETY_ANALYSIS {
  handler::after_fork_in_child();
  close_descriptors();
  // No arrival may go to a context that is the parent's; those that are made anew enlist again.
  for (SignalSource *w = hub.sources.front(); w; w = w->next) w->linked = false;
  hub.sources.clear();
  hub.lock.unlock();
}

void hub_before_fork() noexcept NO_THREAD_SAFETY_ANALYSIS {
  hub.lock.lock();
  handler::before_fork();
}

void hub_after_fork_in_parent() noexcept NO_THREAD_SAFETY_ANALYSIS {
  handler::after_fork_in_parent();
  hub.lock.unlock();
}

torque_err reattach_signals(Context &context) noexcept {
  {
    // The attachment's descriptors are copies of the parent's.
    Lock lock(hub.lock);
    if (Attachment *old = find_attachment(context)) {
      old->watches = 1;
      detach(context);
    }
  }
  torque_err err = TORQUE_ERR_NONE;
  context.each_source([&](uint64_t handle) {
    Snapshot v;
    if (err || !look(handle, &v) || v.kind != Kind::signal || word::state(v.word) == word::NEW) return;
    Lock lock(hub.lock);
    err = enlist(context, *static_cast<SignalSource *>(cold_of(*v.slot).object));
  });
  if (!err) return err;
  // As if nothing had been, so that it can be tried again.
  context.each_source([&](uint64_t handle) {
    Snapshot v;
    if (look(handle, &v) && v.kind == Kind::signal) end_signal(v, handle);
  });
  return err;
}

}  // namespace torque

extern "C" {
int32_t torque_siginfo_signo(const struct torque_siginfo *info) { return info ? info->signo : 0; }
int32_t torque_siginfo_code(const struct torque_siginfo *info) { return info ? info->code : 0; }
int32_t torque_siginfo_pid(const struct torque_siginfo *info) { return info ? info->pid : 0; }
uint32_t torque_siginfo_uid(const struct torque_siginfo *info) { return info ? info->uid : 0; }
int64_t torque_siginfo_value(const struct torque_siginfo *info) { return info ? info->value : 0; }
}
