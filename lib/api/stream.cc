// SPDX-License-Identifier: BSD-3-Clause
// Calls that act on streams. From the stream's own callback they act at once; from elsewhere they go through its
// mailbox, and whoever runs the stream next does as they say.
#include "libtorque/attr.h"
#include "libtorque/stream.h"

#include <sys/socket.h>

#include <algorithm>
#include <cstring>
#include <optional>

#include "api/attempt.hh"
#include "api/handle.hh"
#include "base/syscall.hh"
#include "kinds/listener.hh"
#include "stream/stream.hh"

using namespace torque;

namespace {

// A stream that a call acts on: its own callback's (own), or one that cannot be finished until this goes.
class Target {
 public:
  explicit Target(torque_source stream) noexcept : handle(stream) {
    Turn *t = current_turn();
    own = t && stream && t->current == stream;
    if (!own) visit_.emplace();
    if (!(own ? look(stream, &seen_) : hold(stream, &seen_))) {
      own = false;
      err = TORQUE_ERR_STALE;
      return;
    }
    held_ = !own;
    if (seen_.kind != Kind::stream)
      err = TORQUE_ERR_KIND;
    else if (seen_.domain->context.foreign())
      err = TORQUE_ERR_FORKED;
  }
  ~Target() {
    if (held_) let_go(*seen_.slot);
  }
  Target(const Target &) = delete;
  Target &operator=(const Target &) = delete;

  // Only what the holder may do.
  torque_err mine() const noexcept { return err ? err : own ? TORQUE_ERR_NONE : TORQUE_ERR_STATE; }
  Stream &stream() noexcept { return stream_of(*seen_.slot); }
  Slot &slot() noexcept { return *seen_.slot; }
  Context &context() noexcept { return seen_.domain->context; }
  bool started() const noexcept { return word::state(seen_.word) != word::NEW; }
  // Requires: own.
  Hold holding() noexcept { return {*current_turn(), stream(), handle}; }
  // Has the stream look into its mailbox. What was put there before it started is found by its first callback.
  void call() noexcept { (void)activate(handle, TORQUE_TRIGGER); }

  torque_source handle;
  torque_err err = TORQUE_ERR_NONE;
  bool own = false;

 private:
  std::optional<Visit> visit_;  // over last. The own callback needs none, and may call the program
  Snapshot seen_;
  bool held_ = false;
};

extern "C" {

// arg: a rate, with a reference, or null.
static void set_own_rate(torque_source stream, torque_err err, void *arg) {
  auto *rate = static_cast<Rate *>(arg);
  if (!err) {
    Hold h{*current_turn(), stream_of(*find_slot(index_of(stream))), stream};
    err = throttle_own(h, Throttle::kOwn, rate);
    if (err) over(h, err);
  }
  if (rate) unref(rate);
}

}  // extern "C"

void free_all(const Alloc &alloc, Pieces &pieces) noexcept {
  while (Piece *p = pieces.pop()) free_piece(alloc, p);
}

// Gives pieces of n bytes to the stream: behind what was written, or into the mailbox.
torque_err hand_over(Target &t, Pieces &pieces, uint64_t n) noexcept {
  Stream &s = t.stream();
  if (t.own) {
    s.pending.fetch_add(n, std::memory_order_relaxed);
    Hold h = t.holding();
    enqueue(h, pieces);
    return TORQUE_ERR_NONE;
  }
  {
    HandingLock lock(s.lock);
    if (s.asked & kAskEnd || s.ended.load(std::memory_order_relaxed)) return TORQUE_ERR_STATE;
    // The holder may have sent most of it before it looks into the mailbox.
    if (s.pending.fetch_add(n, std::memory_order_relaxed) + n > s.type->output_high) s.ask(s.asked | kAskDrain);
    s.mail.append(pieces);
  }
  t.call();
  return TORQUE_ERR_NONE;
}

torque_err write_elsewhere(Target &t, const iovec *parts, uint32_t count, uint64_t length) noexcept {
  Pieces pieces;
  const Alloc &alloc = t.context().alloc;
  if (!copy_pieces(alloc, nullptr, parts, count, &pieces)) return TORQUE_ERR_RESOURCE;
  const torque_err err = hand_over(t, pieces, length);
  if (err) free_all(alloc, pieces);
  return err;
}

torque_err writable(Target &t) noexcept {
  if (t.err) return t.err;
  const bool ended = t.stream().ended.load(std::memory_order_relaxed);
  const bool not_yet = ended && t.own && t.holding().is(kCalled) && !t.holding().is(kEndAsked);
  return ended && !not_yet ? TORQUE_ERR_STATE : TORQUE_ERR_NONE;
}

torque_err ask(torque_source stream, uint32_t what, uint32_t undoes) noexcept {
  Target t(stream);
  if (t.err) return t.err;
  if (t.own) {
    Hold h = t.holding();
    ask_own(h, what, undoes);
    return TORQUE_ERR_NONE;
  }
  Stream &s = t.stream();
  {
    HandingLock lock(s.lock);
    s.ask((s.asked & ~undoes) | what);
    if (what & kAskEnd) s.ended.store(true, std::memory_order_relaxed);
  }
  if ((what & kAskAbort) && !t.started() && give_up_waiting(t.slot(), TORQUE_ERR_SYSCALL + ECANCELED, false))
    retire_for_others(stream, TORQUE_END_CLOSED);
  t.call();
  return TORQUE_ERR_NONE;
}

// What a listener that makes streams has to know.
struct StreamListener {
  StreamListener(torque_ctx *c, Slot &l, StreamType *t) noexcept : ctx(c), listener(l), type(t) {}

  torque_ctx *const ctx;
  Slot &listener;  // its arg is that of the streams; changes with the type under the lock, and by torque_source_set_arg()
  Mutex lock;
  StreamType *type GUARDED_BY(lock);  // with a reference
};

extern "C" {

static void accept_stream(torque_source, int32_t fd, const void *addr, uint32_t, void *arg) {
  auto &d = *static_cast<StreamListener *>(arg);
  const auto family = static_cast<const sockaddr *>(addr)->sa_family;
  const bool tcp = family == AF_INET || family == AF_INET6;
  Guests *const guests = listener_of(d.listener).guests;
  StreamType *type;
  void *stream_arg;
  {
    HandingLock lock(d.lock);
    type = d.type;
    type->ref();
    stream_arg = d.listener.arg.look();
  }
  Slot *slot;
  const torque_err err = make_stream(d.ctx->core, fd, *type, stream_arg, kFresh | kSocket | (tcp ? kShortIsAll : 0u), &slot);
  unref(type);
  if (err) {
    ::close(fd);
    return leave(d.ctx->core, *guests);
  }
  cold_of(*slot).guests = guests;
  slot->traits.set(slot->traits.get() | kGuest);
  const uint64_t handle = handle_of(*slot);
  if (!start_source(handle)) return;
  retire(handle, TORQUE_END_REMOVED);
  ::close(fd);
}

}  // extern "C"

void revive_stream_listener(void *own) noexcept { (void)static_cast<StreamListener *>(own)->lock.reset(); }

// Nobody else has it any more.
void free_stream_listener(Context &context, void *own) noexcept NO_THREAD_SAFETY_ANALYSIS {
  auto *d = static_cast<StreamListener *>(own);
  unref(d->type);
  context.alloc.destroy(d);
}

// For a listener in state NEW. False: no memory.
bool give_type(torque_ctx *ctx, torque_source listener, StreamType &type) noexcept {
  Slot &s = *find_slot(index_of(listener));
  Listener &l = listener_of(s);
  l.guests = make_guests(ctx->core, listener);
  auto *d = l.guests ? ctx->core.alloc.make<StreamListener>(ctx, s, &type) : nullptr;
  if (!d) return false;
  type.freeze();
  type.ref();
  l.own = d;
  l.free_own = free_stream_listener;
  l.revive_own = revive_stream_listener;
  return true;
}

// A listener in state NEW, as make(&listener) makes it, that makes streams.
template <class Make>
torque_err make_stream_listener(torque_ctx *ctx, torque_stream_type *type, torque_source *ret, Make make) noexcept {
  if (!ctx || !type || !ret) return TORQUE_ERR_INVAL;
  if (const torque_err err = check(ctx)) return err;
  if (!fits(*type, ctx->core)) return TORQUE_ERR_INVAL;
  torque_source listener;
  if (const torque_err err = make(&listener)) return err;
  if (!give_type(ctx, listener, *type)) {
    retire(listener, TORQUE_END_REMOVED);
    return TORQUE_ERR_RESOURCE;
  }
  *ret = listener;
  return TORQUE_ERR_NONE;
}

bool is_address(const void *addr, uint32_t length) noexcept {
  return addr && length >= sizeof(sa_family_t) && length <= sizeof(sockaddr_storage);
}

// After connect() with that errno. What fails at once fails like what fails later; what was interrupted, or begun before,
// goes on.
void not_connected(torque_ctx *ctx, Slot &slot, const sockaddr *address, socklen_t length, int e) noexcept {
  if (e == EINPROGRESS || e == EINTR || e == EALREADY) return;
  Stream &s = stream_of(slot);
  if (!waits_for_room(address, e)) {
    s.error = err_of_errno(e);
    return;
  }
  s.flags |= kWaits;
  s.error = try_again_later(ctx, handle_of(slot), address, length);
}

bool is_complete(const torque_ctx *ctx, const torque_stream_type *type, const torque_source *ret) noexcept {
  return ctx && type && ret;
}

// In state NEW, of a descriptor that is still the caller's.
torque_err make_of_descriptor(torque_ctx *ctx, int fd, torque_stream_type *type, void *arg, const torque_source *ret,
                              Slot **ret_slot) noexcept {
  if (fd < 0 || !is_complete(ctx, type, ret)) return TORQUE_ERR_INVAL;
  if (fd >= Descriptors::kEnd) return TORQUE_ERR_SYSCALL + EBADF;
  if (const torque_err err = check(ctx)) return err;
  uint32_t flags;
  if (const torque_err err = look_at_descriptor(fd, &flags)) return err;
  return make_stream(ctx->core, fd, *type, arg, flags, ret_slot);
}

}  // namespace

extern "C" {

torque_err torque_stream_new(struct torque_ctx *ctx, int32_t fd, struct torque_stream_type *type, void *arg,
                             torque_source *ret_stream) {
  const Visit visit;
  Slot *slot;
  if (const torque_err err = make_of_descriptor(ctx, fd, type, arg, ret_stream, &slot)) return err;
  stream_of(*slot).flags &= ~kQuiet;
  adopt_descriptor(*slot);
  *ret_stream = handle_of(*slot);
  return TORQUE_ERR_NONE;
}

torque_err torque_stream_add(struct torque_ctx *ctx, int32_t fd, struct torque_stream_type *type, void *arg,
                             torque_source *ret_stream) {
  return torque_stream_add_with(ctx, nullptr, fd, type, arg, ret_stream);
}

torque_err torque_stream_add_with(struct torque_ctx *ctx, const struct torque_attr *attr, int32_t fd,
                                  struct torque_stream_type *type, void *arg, torque_source *ret_stream) {
  const Visit visit;
  Slot *slot;
  if (const torque_err err = make_of_descriptor(ctx, fd, type, arg, ret_stream, &slot)) return err;
  return start_with_or_undo(handle_of(*slot), attr, ret_stream);
}

torque_err torque_stream_connect(struct torque_ctx *ctx, const void *addr, uint32_t addrlen,
                                 struct torque_stream_type *type, void *arg, torque_source *ret_stream) {
  return torque_stream_connect_with(ctx, nullptr, addr, addrlen, type, arg, ret_stream);
}

torque_err torque_stream_connect_with(struct torque_ctx *ctx, const struct torque_attr *attr, const void *addr,
                                      uint32_t addrlen, struct torque_stream_type *type, void *arg,
                                      torque_source *ret_stream) {
  const Visit visit;
  if (!is_complete(ctx, type, ret_stream) || !is_address(addr, addrlen)) return TORQUE_ERR_INVAL;
  if (const torque_err err = check(ctx)) return err;
  const auto *address = static_cast<const sockaddr *>(addr);
  Fd fd(::socket(address->sa_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0));
  if (!fd) return last_error();
  const bool tcp = address->sa_family == AF_INET || address->sa_family == AF_INET6;
  Slot *slot;
  const uint32_t flags = kConnecting | kSocket | (tcp ? kShortIsAll : 0u);
  if (const torque_err err = make_stream(ctx->core, fd.get(), *type, arg, flags, &slot)) return err;
  if (::connect(fd.get(), address, addrlen) != 0) not_connected(ctx, *slot, address, addrlen, errno);
  const torque_err err = start_with_or_undo(handle_of(*slot), attr, ret_stream);
  if (!err) (void)fd.release();
  return err;
}

torque_err torque_stream_connect_fd(struct torque_ctx *ctx, int32_t fd, const void *addr, uint32_t addrlen,
                                    struct torque_stream_type *type, void *arg, torque_source *ret_stream) {
  const Visit visit;
  if (!is_address(addr, addrlen)) return TORQUE_ERR_INVAL;
  Slot *slot;
  if (const torque_err err = make_of_descriptor(ctx, fd, type, arg, ret_stream, &slot)) return err;
  Stream &s = stream_of(*slot);
  if (!(s.flags & kSocket)) {
    retire(handle_of(*slot), TORQUE_END_REMOVED);
    return TORQUE_ERR_SYSCALL + ENOTSOCK;
  }
  // Where the first write makes the connection (TCP_FASTOPEN_CONNECT) this succeeds at once, and open is told.
  if (::connect(fd, static_cast<const sockaddr *>(addr), addrlen) != 0 && errno != EISCONN) {
    const int e = errno;
    s.flags |= kConnecting;
    not_connected(ctx, *slot, static_cast<const sockaddr *>(addr), addrlen, e);
  }
  return start_or_undo(handle_of(*slot), ret_stream);
}

torque_err torque_stream_await(struct torque_ctx *ctx, struct torque_stream_type *type, void *arg,
                               torque_source *ret_stream) {
  const Visit visit;
  if (!is_complete(ctx, type, ret_stream)) return TORQUE_ERR_INVAL;
  if (const torque_err err = check(ctx)) return err;
  Slot *slot;
  if (const torque_err err = make_stream(ctx->core, -1, *type, arg, 0, &slot)) return err;
  stream_of(*slot).flags &= ~kQuiet;
  await_connection(*slot);
  *ret_stream = handle_of(*slot);
  return TORQUE_ERR_NONE;
}

torque_err torque_stream_attach(torque_source stream, int32_t fd, uint64_t open_by_ns) {
  if (fd < 0) return TORQUE_ERR_INVAL;
  if (fd >= Descriptors::kEnd) return TORQUE_ERR_SYSCALL + EBADF;
  Target t(stream);
  if (t.err) return t.err;
  torque_err err = t.started() ? TORQUE_ERR_STATE : attach_descriptor(t.slot(), fd, open_by_ns ? open_by_ns : kNever);
  if (err) return err;
  err = start_source(stream);
  if (!err) return TORQUE_ERR_NONE;
  detach_descriptor(t.slot());
  return err == TORQUE_ERR_STATE ? TORQUE_ERR_STALE : err;  // it was ended meanwhile
}

torque_err torque_stream_fail(torque_source stream, torque_err err) {
  Target t(stream);
  if (t.err) return t.err;
  if (t.started() || !give_up_waiting(t.slot(), err, err == TORQUE_ERR_NONE)) return TORQUE_ERR_STATE;
  retire_for_others(stream, TORQUE_END_CLOSED);
  return TORQUE_ERR_NONE;
}

torque_err torque_stream_listen_new(struct torque_ctx *ctx, const void *addr, uint32_t addrlen, int32_t backlog,
                                    uint32_t policy, struct torque_stream_type *type, void *arg,
                                    torque_source *ret_listener) {
  const Visit visit;
  return make_stream_listener(ctx, type, ret_listener, [=](torque_source *ret) {
    return torque_listen_new(ctx, addr, addrlen, backlog, policy, accept_stream, arg, ret);
  });
}

torque_err torque_stream_listen(struct torque_ctx *ctx, const void *addr, uint32_t addrlen, int32_t backlog,
                                uint32_t policy, struct torque_stream_type *type, void *arg,
                                torque_source *ret_listener) {
  return torque_stream_listen_with(ctx, nullptr, addr, addrlen, backlog, policy, type, arg, ret_listener);
}

torque_err torque_stream_listen_with(struct torque_ctx *ctx, const struct torque_attr *attr, const void *addr,
                                     uint32_t addrlen, int32_t backlog, uint32_t policy, struct torque_stream_type *type,
                                     void *arg, torque_source *ret_listener) {
  return make_and_start(ret_listener, [=](torque_source *ret) {
    return torque_stream_listen_new(ctx, addr, addrlen, backlog, policy, type, arg, ret);
  }, attr);
}

torque_err torque_stream_listen_text_new(struct torque_ctx *ctx, const char *text, uint16_t default_port,
                                         int32_t backlog, uint32_t policy, struct torque_stream_type *type, void *arg,
                                         torque_source *ret_listener) {
  const Visit visit;
  return make_stream_listener(ctx, type, ret_listener, [=](torque_source *ret) {
    return torque_listen_text_new(ctx, text, default_port, backlog, policy, accept_stream, arg, ret);
  });
}

torque_err torque_stream_listen_text(struct torque_ctx *ctx, const char *text, uint16_t default_port, int32_t backlog,
                                     uint32_t policy, struct torque_stream_type *type, void *arg,
                                     torque_source *ret_listener) {
  return make_and_start(ret_listener, [=](torque_source *ret) {
    return torque_stream_listen_text_new(ctx, text, default_port, backlog, policy, type, arg, ret);
  });
}

torque_err torque_stream_listen_fd_new(struct torque_ctx *ctx, int32_t fd, uint32_t policy,
                                       struct torque_stream_type *type, void *arg, torque_source *ret_listener) {
  const Visit visit;
  return make_stream_listener(ctx, type, ret_listener, [=](torque_source *ret) {
    return torque_listen_fd_new(ctx, fd, policy, accept_stream, arg, ret);
  });
}

torque_err torque_stream_listen_fd(struct torque_ctx *ctx, int32_t fd, uint32_t policy, struct torque_stream_type *type,
                                   void *arg, torque_source *ret_listener) {
  return make_and_start(ret_listener, [=](torque_source *ret) {
    return torque_stream_listen_fd_new(ctx, fd, policy, type, arg, ret);
  });
}

torque_err torque_stream_listen_set_type(torque_source listener, struct torque_stream_type *type, void *arg) {
  if (!type) return TORQUE_ERR_INVAL;
  return with_listener(listener, [=](Slot &s, Listener &l) {
    if (!l.guests) return TORQUE_ERR_KIND;
    auto &d = *static_cast<StreamListener *>(l.own);
    if (!fits(*type, d.ctx->core)) return TORQUE_ERR_INVAL;
    type->freeze();
    type->ref();
    StreamType *before;
    {
      HandingLock lock(d.lock);
      before = std::exchange(d.type, type);
      s.arg.set(arg);
    }
    unref(before);
    return TORQUE_ERR_NONE;
  });
}

torque_err torque_stream_writev(torque_source stream, const struct iovec *parts, uint32_t count) {
  if (count && !parts) return TORQUE_ERR_INVAL;
  uint64_t length = 0;
  for (uint32_t i = 0; i < count; ++i) {
    if (parts[i].iov_len && !parts[i].iov_base) return TORQUE_ERR_INVAL;
    length += parts[i].iov_len;
  }
  Target t(stream);
  if (const torque_err err = writable(t)) return err;
  if (length == 0) return TORQUE_ERR_NONE;
  if (t.own) {
    Hold h = t.holding();
    return write_own(h, parts, count);
  }
  return write_elsewhere(t, parts, count, length);
}

torque_err torque_stream_write(torque_source stream, const void *data, size_t length) {
  if (length && !data) return TORQUE_ERR_INVAL;
  Target t(stream);
  if (const torque_err err = writable(t)) return err;
  if (length == 0) return TORQUE_ERR_NONE;
  if (t.own) {
    Hold h = t.holding();
    return write_own(h, data, length);
  }
  const iovec part{const_cast<void *>(data), length};
  return write_elsewhere(t, &part, 1, length);
}

torque_err torque_stream_write_ref(torque_source stream, const void *data, size_t length, torque_release_fn *release,
                                   void *release_arg) {
  if (length && !data) return TORQUE_ERR_INVAL;
  Target t(stream);
  if (const torque_err err = writable(t)) return err;
  Piece *p = make_piece(t.context().alloc, 0);
  if (!p) return TORQUE_ERR_RESOURCE;
  p->at = static_cast<char *>(const_cast<void *>(data));
  p->left = length;
  p->release = release;
  p->release_arg = release_arg;
  p->kind = Piece::Kind::lent;
  if (length == 0) {
    free_piece(t.context().alloc, p);
    return TORQUE_ERR_NONE;
  }
  Pieces pieces;
  pieces.push(*p);
  const torque_err err = hand_over(t, pieces, length);
  if (err) {
    p->release = nullptr;
    free_all(t.context().alloc, pieces);
  }
  return err;
}

torque_err torque_stream_sendfile(torque_source stream, int32_t fd, uint64_t offset, uint64_t length) {
  if (fd < 0 || offset > INT64_MAX || length > INT64_MAX - offset) return TORQUE_ERR_INVAL;
  Target t(stream);
  if (const torque_err err = writable(t)) return err;
  if (length == 0) return TORQUE_ERR_NONE;
  Fd copy(::fcntl(fd, F_DUPFD_CLOEXEC, 3));
  if (!copy) return last_error();
  Piece *p = make_piece(t.context().alloc, 0);
  if (!p) return TORQUE_ERR_RESOURCE;
  p->left = length;
  p->offset = offset;
  p->fd = copy.release();
  p->kind = Piece::Kind::file;
  Pieces pieces;
  pieces.push(*p);
  const torque_err err = hand_over(t, pieces, length);
  if (err) free_all(t.context().alloc, pieces);
  return err;
}

torque_err torque_stream_flush(torque_source stream) {
  Target t(stream);
  if (const torque_err err = t.mine()) return err;
  Hold h = t.holding();
  size_t budget = SIZE_MAX;
  if (h.s.layers && h.is(kOpened)) push_plain(h);
  if (!h.over()) send_wire(h, &budget);
  return TORQUE_ERR_NONE;
}

torque_err torque_stream_pending(torque_source stream, uint64_t *ret_bytes) {
  if (!ret_bytes) return TORQUE_ERR_INVAL;
  Target t(stream);
  if (t.err) return t.err;
  *ret_bytes = t.stream().pending.load(std::memory_order_relaxed);
  return TORQUE_ERR_NONE;
}

torque_err torque_stream_pause(torque_source stream) { return ask(stream, kAskPause, kAskResume); }
torque_err torque_stream_resume(torque_source stream) { return ask(stream, kAskResume, kAskPause); }
torque_err torque_stream_shutdown(torque_source stream) { return ask(stream, kAskShutdown, 0); }
torque_err torque_stream_close(torque_source stream) { return ask(stream, kAskClose, 0); }
torque_err torque_stream_abort(torque_source stream) { return ask(stream, kAskAbort, 0); }

torque_err torque_stream_peek(torque_source stream, const void **ret_data, size_t *ret_length) {
  if (!ret_data || !ret_length) return TORQUE_ERR_INVAL;
  Target t(stream);
  if (const torque_err err = t.mine()) return err;
  if (t.stream().flags & kInData) return TORQUE_ERR_STATE;
  const Piece *kept = t.stream().kept;
  *ret_data = kept ? kept->at : nullptr;
  *ret_length = kept ? kept->left : 0;
  return TORQUE_ERR_NONE;
}

torque_err torque_stream_consume(torque_source stream, size_t length) {
  Target t(stream);
  if (const torque_err err = t.mine()) return err;
  Hold h = t.holding();
  if (h.is(kInData)) return TORQUE_ERR_STATE;
  if (length > (h.s.kept ? h.s.kept->left : 0)) return TORQUE_ERR_INVAL;
  if (length == 0) return TORQUE_ERR_NONE;
  take_kept(h, &h.s.kept, length);
  forget_seen(h.s, length);
  h.clear(kFull);
  if (h.s.kept && h.s.kept->left >= input_high(h.s)) h.set(kRetell);  // nothing more comes that it could be told with
  return TORQUE_ERR_NONE;
}

torque_err torque_stream_expect(torque_source stream, size_t length) {
  if (length > Expect::kMost) return TORQUE_ERR_INVAL;
  Target t(stream);
  if (const torque_err err = t.mine()) return err;
  Hold h = t.holding();
  Extras *x = extras_of(h);
  if (!x) return TORQUE_ERR_RESOURCE;
  x->expect.what = length ? Expect::What::bytes : Expect::What::any;
  x->expect.bytes = length;
  h.clear(kFull);
  h.set(kRetell);
  return TORQUE_ERR_NONE;
}

torque_err torque_stream_expect_until(torque_source stream, const void *delimiter, size_t length, size_t most) {
  if (!delimiter || length == 0 || length > Expect::kDelimiterMost || most > Expect::kMost) return TORQUE_ERR_INVAL;
  Target t(stream);
  if (const torque_err err = t.mine()) return err;
  Hold h = t.holding();
  if (most == 0) most = h.s.type->input_high;
  if (most < length) return TORQUE_ERR_INVAL;
  Extras *x = extras_of(h);
  if (!x) return TORQUE_ERR_RESOURCE;
  Expect &e = x->expect;
  e.what = Expect::What::until;
  e.bytes = most;
  e.seen = 0;
  e.delimiter_length = static_cast<uint8_t>(length);
  std::memcpy(e.delimiter, delimiter, length);
  h.clear(kFull);
  h.set(kRetell);
  return TORQUE_ERR_NONE;
}

torque_err torque_stream_release(torque_source stream, int32_t *ret_fd) {
  if (!ret_fd) return TORQUE_ERR_INVAL;
  Target t(stream);
  if (const torque_err err = t.mine()) return err;
  Hold h = t.holding();
  if (output_waits(h.s)) return TORQUE_ERR_STATE;
  const int fd = t.slot().fd.get();
  disown_descriptor(t.slot());
  over(h, TORQUE_ERR_NONE);
  *ret_fd = fd;
  return TORQUE_ERR_NONE;
}

torque_err torque_stream_run(torque_source stream, torque_run_fn *fn, void *arg) {
  const Visit visit;
  return fn ? call_stream(stream, fn, arg) : TORQUE_ERR_INVAL;
}

torque_err torque_stream_set_arg(torque_source stream, void *arg) {
  Target t(stream);
  if (t.err) return t.err;
  t.slot().arg.set(arg);
  return TORQUE_ERR_NONE;
}

torque_err torque_stream_set_rate(torque_source stream, struct torque_rate *rate) {
  {
    Target t(stream);
    if (t.err) return t.err;
    if (t.own) {
      Hold h = t.holding();
      return throttle_own(h, Throttle::kOwn, rate);
    }
  }
  const Visit visit;
  Rate *const own = rate;
  if (own) own->ref();
  const torque_err err = call_stream(stream, set_own_rate, own, true);
  if (err && own) unref(own);
  return err;
}

torque_err torque_stream_set_type(torque_source stream, struct torque_stream_type *type) {
  if (!type) return TORQUE_ERR_INVAL;
  Target t(stream);
  if (const torque_err err = t.mine()) return err;
  Hold h = t.holding();
  if (const torque_err err = throttle_own(h, Throttle::kOfType, type->rate)) return err;
  type->freeze();
  type->ref();
  StreamType *before = h.s.type;
  const bool timed = h.is(kTimed) && (before->timed || !type->timed);
  {
    Lock lock(h.s.lock);  // others look up its marks
    h.s.type = type;
  }
  unref(before);
  // What is kept is for the new callbacks.
  h.clear(kFull);
  h.set(kRetell);
  congest(h);
  if (type->timed && !timed) {
    h.set(kTimed);
    note_in(h);
    note_out(h);
  }
  return TORQUE_ERR_NONE;
}

torque_err torque_stream_push_layer(torque_source stream, struct torque_layer_type *type) {
  if (!type || !type->receive || !type->send) return TORQUE_ERR_INVAL;
  Target t(stream);
  if (const torque_err err = t.mine()) return err;
  Hold h = t.holding();
  const Extras *x = h.s.extras;
  if (x && (x->source || x->sink)) return TORQUE_ERR_STATE;  // a pipe may go past the layers
  return push_layer(h, *type);
}

torque_err torque_stream_layer(torque_source stream, const struct torque_layer_type *type,
                               struct torque_layer **ret_layer) {
  if (!type || !ret_layer) return TORQUE_ERR_INVAL;
  Target t(stream);
  if (const torque_err err = t.mine()) return err;
  Layers *layers = t.stream().layers;
  for (uint32_t i = 0; layers && i < layers->count; ++i) {
    if (layers->layer[i].type != type) continue;
    *ret_layer = &layers->layer[i];
    return TORQUE_ERR_NONE;
  }
  return TORQUE_ERR_INVAL;
}

torque_err torque_stream_failed_layer(torque_source stream, int32_t *ret_level, const char **ret_name) {
  if (!ret_level) return TORQUE_ERR_INVAL;
  const Ended *e = ended_here();
  if (!e || e->handle != stream) return TORQUE_ERR_STATE;
  if (!e->err || e->err == TORQUE_ERR_SYSCALL + ECANCELED || e->err == TORQUE_ERR_STOPPED) return TORQUE_ERR_INVAL;
  *ret_level = e->level;
  if (ret_name) *ret_name = e->name;
  return TORQUE_ERR_NONE;
}

torque_err torque_stream_fd(torque_source stream, int32_t *ret_fd) {
  if (!ret_fd) return TORQUE_ERR_INVAL;
  Target t(stream);
  if (t.err) return t.err;
  const int fd = t.slot().fd.get();
  if (fd < 0) return TORQUE_ERR_STATE;  // it waits for its connection
  *ret_fd = fd;
  return TORQUE_ERR_NONE;
}

torque_err torque_stream_peer(torque_source stream, void *addr, uint32_t size, uint32_t *ret_addrlen) {
  if (!ret_addrlen || (size && !addr)) return TORQUE_ERR_INVAL;
  Target t(stream);
  if (t.err) return t.err;
  sockaddr_storage peer;
  socklen_t len = sizeof peer;
  if (::getpeername(t.slot().fd.get(), reinterpret_cast<sockaddr *>(&peer), &len) != 0) return last_error();
  if (size) std::memcpy(addr, &peer, std::min<size_t>(size, std::min<size_t>(len, sizeof peer)));
  *ret_addrlen = len;
  return TORQUE_ERR_NONE;
}

}  // extern "C"
