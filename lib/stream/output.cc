// SPDX-License-Identifier: BSD-3-Clause
#include <sys/sendfile.h>

#include <algorithm>

#include "base/syscall.hh"
#include "stream/stream.hh"

namespace torque {

namespace {

constexpr size_t kAtOnce = 16384;  // a write from here on goes out without a copy, if nothing is before it
constexpr uint32_t kParts = 64;    // of one sendmsg()
constexpr size_t kPieceMax = 262144 - 1024;
constexpr size_t kFileChunk = 1 << 20;

// The descriptor takes nothing for now. EINPROGRESS: the first write has begun the connection (TCP_FASTOPEN_CONNECT).
bool not_now(int e) noexcept { return e == EAGAIN || e == EINPROGRESS; }

void not_sent(Hold &h, torque_err err) noexcept {
  if (not_now(err - TORQUE_ERR_SYSCALL)) h.clear(kWritable);
  else output_failed(h, err);
}

uint64_t length_of(const iovec *parts, uint32_t count) noexcept {
  uint64_t n = 0;
  for (uint32_t i = 0; i < count; ++i) n += parts[i].iov_len;
  return n;
}

void spent(Hold &h, uint64_t n) noexcept { h.s.pending.fetch_sub(n, std::memory_order_relaxed); }

void added(Hold &h, uint64_t n) noexcept {
  const uint64_t before = h.s.pending.fetch_add(n, std::memory_order_relaxed);
  if (before == 0) note_out(h);
  if (before + n > h.s.type->output_high) h.set(kCongested);
}

// Of what waited.
void note_sent(Hold &h, uint64_t n, size_t *budget) noexcept {
  h.turn.counters.add(Counter::bytes_out, n);
  spent(h, n);
  note_out(h);
  *budget -= std::min<uint64_t>(*budget, n);
}

ssize_t put(Hold &h, iovec *parts, uint32_t count, bool more) noexcept {
  const int fd = h.s.slot->fd.get();
  if (!h.is(kSocket)) return sys::retry([&] { return ::writev(fd, parts, static_cast<int>(count)); });
  if (count == 1) {
    return sys::retry(
        [&] { return ::send(fd, parts->iov_base, parts->iov_len, MSG_NOSIGNAL | (more ? MSG_MORE : 0)); });
  }
  msghdr m{};
  m.msg_iov = parts;
  m.msg_iovlen = count;
  return sys::retry([&] { return ::sendmsg(fd, &m, MSG_NOSIGNAL | (more ? MSG_MORE : 0)); });
}

// From a file at the head of the output. A descriptor that sendfile() does not write to gets the bytes by hand.
ssize_t put_file(Hold &h, Piece &p, size_t most, torque_err *ret_err) noexcept {
  const int fd = h.s.slot->fd.get();
  auto offset = static_cast<off_t>(p.offset);
  const size_t n = std::min<uint64_t>(p.left, most);
  ssize_t sent = sys::retry([&] { return ::sendfile(fd, p.fd, &offset, n); });
  if (sent < 0 && (errno == EINVAL || errno == ENOSYS)) {
    char *scratch = h.turn.pool.scratch(Pool::kFileLevel);
    if (!scratch) {
      *ret_err = TORQUE_ERR_RESOURCE;
      return -1;
    }
    sent = sys::retry(
        [&] { return ::pread(p.fd, scratch, std::min(n, Pool::kScratchMin), static_cast<off_t>(p.offset)); });
    if (sent > 0) {
      iovec part{scratch, static_cast<size_t>(sent)};
      sent = put(h, &part, 1, false);
    }
  }
  if (sent < 0) *ret_err = last_error();
  if (sent > 0) return sent;
  if (sent == 0) *ret_err = TORQUE_ERR_SYSCALL + EIO;  // the file is shorter than was said
  return -1;
}

// What was sent, off the list. Who lent a piece is told, and may do as it likes with the stream: so *ret_gone is freed when
// all is noted.
void strike(Hold &h, uint64_t n, Pieces *ret_gone) noexcept {
  Pieces &wire = h.s.wire;
  while (n) {
    Piece &p = *wire.first;
    const uint64_t of_it = std::min<uint64_t>(n, p.left);
    p.take(of_it);
    if (p.kind == Piece::Kind::file) p.offset += of_it;
    n -= of_it;
    if (p.left == 0) ret_gone->push(*wire.pop());
  }
}

uint32_t gather(const Pieces &wire, iovec *parts, bool *ret_file_next) noexcept {
  uint32_t count = 0;
  const Piece *p = wire.first;
  for (; p && count < kParts && p->kind != Piece::Kind::file; p = p->next) parts[count++] = {p->at, p->left};
  *ret_file_next = p && p->kind == Piece::Kind::file;
  return count;
}

// No more than the first most bytes.
uint32_t cut(iovec *parts, uint32_t count, size_t most) noexcept {
  for (uint32_t i = 0; i < count; ++i) {
    if (parts[i].iov_len >= most) {
      parts[i].iov_len = most;
      return i + 1;
    }
    most -= parts[i].iov_len;
  }
  return count;
}

bool append_copy(Hold &h, Pieces &list, const char *data, size_t length) noexcept {
  Piece *last = list.empty() ? nullptr : list.last;
  if (last && last->kind == Piece::Kind::own && last->tail_room()) {
    const size_t fits = std::min(last->tail_room(), length);
    std::memcpy(last->tail(), data, fits);
    last->left += fits;
    data += fits;
    length -= fits;
  }
  while (length) {
    Piece *p = new_piece(h, std::min(length, kPieceMax));
    if (!p) return false;
    const size_t fits = std::min<size_t>(p->room, length);
    std::memcpy(p->at, data, fits);
    p->left = fits;
    list.push(*p);
    data += fits;
    length -= fits;
  }
  return true;
}

// What is left of count parts when the first n bytes are gone.
uint32_t without(const iovec *parts, uint32_t count, uint64_t n, iovec *ret) noexcept {
  uint32_t i = 0;
  while (n >= parts[i].iov_len) n -= parts[i++].iov_len;
  std::copy(parts + i, parts + count, ret);
  ret[0].iov_base = static_cast<char *>(ret[0].iov_base) + n;
  ret[0].iov_len -= n;
  return count - i;
}

bool straight(const Hold &h) noexcept {
  return !h.s.layers && !h.is(kRated) && h.is(kOpened) && h.is(kWritable) && !h.is(kBroken) && h.s.wire.empty();
}

// Large output that nothing waits before: as much as the descriptor takes, without a copy. Answers how much.
uint64_t send_straight(Hold &h, const iovec *parts, uint32_t count) noexcept {
  iovec copy[kParts];
  std::copy_n(parts, count, copy);
  const ssize_t sent = put(h, copy, count, false);
  if (sent > 0) {
    h.turn.counters.add(Counter::bytes_out, static_cast<uint64_t>(sent));
    note_out(h);
    return static_cast<uint64_t>(sent);
  }
  if (sent < 0) not_sent(h, last_error());
  return 0;
}

}  // namespace

void output_failed(Hold &h, torque_err err) noexcept {
  h.s.error = err;
  h.set(kBroken | kReadable);  // the kernel may not have told yet what came before
  drop_output(h);
}

bool copy_pieces(const Alloc &alloc, Pool *pool, const iovec *parts, uint32_t count, Pieces *ret) noexcept {
  uint64_t left = length_of(parts, count);
  Pieces list;
  Piece *p = nullptr;
  for (uint32_t i = 0; i < count; ++i) {
    auto *at = static_cast<const char *>(parts[i].iov_base);
    size_t n = parts[i].iov_len;
    while (n) {
      if (!p || p->tail_room() == 0) {
        const size_t room = std::min<uint64_t>(left, kPieceMax);
        p = pool ? pool->take(room) : make_piece(alloc, room);
        if (!p) {
          while (Piece *q = list.pop()) pool ? pool->give(q) : free_piece(alloc, q);
          return false;
        }
        list.push(*p);
      }
      const size_t fits = std::min(n, p->tail_room());
      std::memcpy(p->tail(), at, fits);
      p->left += fits;
      at += fits;
      n -= fits;
      left -= fits;
    }
  }
  *ret = list;
  return true;
}

torque_err write_own(Hold &h, const iovec *parts, uint32_t count) noexcept {
  uint64_t length = length_of(parts, count);
  if (h.is(kBroken) || length == 0) return TORQUE_ERR_NONE;  // the end will be told
  Pieces &list = h.s.layers ? h.s.layers->plain : h.s.wire;
  iovec rest[kParts];
  uint64_t sent = 0;
  if (length >= kAtOnce && count <= kParts && straight(h)) {
    sent = send_straight(h, parts, count);
    if (sent == length || h.is(kBroken)) return TORQUE_ERR_NONE;
    count = without(parts, count, sent, rest);
    parts = rest;
    length -= sent;
  }
  Piece *last = list.empty() ? nullptr : list.last;
  if (count == 1 && last && last->kind == Piece::Kind::own && last->tail_room() >= length) {
    std::memcpy(last->tail(), parts->iov_base, length);
    last->left += length;
  } else {
    Pieces copies;
    if (!copy_pieces(h.context().alloc, &h.turn.pool, parts, count, &copies)) {
      if (sent) fail(h, TORQUE_ERR_RESOURCE);  // a part of it has gone
      return TORQUE_ERR_RESOURCE;
    }
    list.append(copies);
  }
  added(h, length);
  return TORQUE_ERR_NONE;
}

torque_err write_own(Hold &h, const void *data, size_t length) noexcept {
  const iovec part{const_cast<void *>(data), length};
  if (length >= kAtOnce || h.s.layers || !h.s.wire.empty() || h.is(kBroken)) return write_own(h, &part, 1);
  Piece *p = new_piece(h, length);
  if (!p) return TORQUE_ERR_RESOURCE;
  std::memcpy(p->at, data, length);
  p->left = length;
  h.s.wire.push(*p);
  added(h, length);
  return TORQUE_ERR_NONE;
}

void enqueue(Hold &h, Pieces &pieces) noexcept {
  if (h.is(kBroken | kEndPassed)) {
    while (Piece *p = pieces.pop()) {
      spent(h, p->left);
      free_piece(h, p);
    }
    return;
  }
  congest(h);
  note_out(h);
  (h.s.layers ? h.s.layers->plain : h.s.wire).append(pieces);
}

torque_err append_wire(Hold &h, const char *data, size_t length) noexcept {
  if (h.is(kBroken)) return TORQUE_ERR_NONE;
  if (!append_copy(h, h.s.wire, data, length)) return TORQUE_ERR_RESOURCE;
  added(h, length);
  return TORQUE_ERR_NONE;
}

void drop_output(Hold &h) noexcept {
  uint64_t n = 0;
  Pieces gone = std::exchange(h.s.wire, {});
  if (h.s.layers) gone.append(h.s.layers->plain);
  for (const Piece *p = gone.first; p; p = p->next) n += p->left;
  spent(h, n);
  while (Piece *p = gone.pop()) free_piece(h, p);  // who lent one may do as it likes with the stream
}

// All output is one piece of our own, and the descriptor takes it: mostly. False: nothing was done, or something is left.
static bool send_one(Hold &h, size_t *budget) noexcept {
  Pieces &wire = h.s.wire;
  Piece *p = wire.first;
  if (!p || p->next || p->kind != Piece::Kind::own || !h.is(kWritable) || h.is(kRated | kConnecting) || !*budget) return false;
  const uint64_t length = p->left;
  iovec part{p->at, length};
  const ssize_t n = put(h, &part, 1, false);
  if (n < 0) {
    not_sent(h, last_error());
    return true;
  }
  const auto sent = static_cast<uint64_t>(n);
  if (sent == length) free_piece(h, wire.pop());
  else p->take(sent);
  note_sent(h, sent, budget);
  return sent == length;
}

void send_wire(Hold &h, size_t *budget) noexcept {
  if (send_one(h, budget)) return;
  Pieces &wire = h.s.wire;
  while (!wire.empty() && h.is(kWritable) && *budget && !h.is(kConnecting)) {
    iovec parts[kParts];
    bool file_next;
    uint32_t count = gather(wire, parts, &file_next);
    size_t most = kFileChunk;
    if (h.is(kRated)) {
      most = allowed(h, kOut, count ? length_of(parts, count) : wire.first->left);
      if (most == 0) return;
      count = cut(parts, count, most);
    }
    torque_err err = TORQUE_ERR_NONE;
    const ssize_t n = count ? put(h, parts, count, file_next) : put_file(h, *wire.first, most, &err);
    if (h.is(kRated)) passed(h, kOut, n > 0 ? static_cast<uint64_t>(n) : 0);
    if (n < 0) return not_sent(h, err ? err : last_error());
    const auto sent = static_cast<uint64_t>(n);
    Pieces gone;
    strike(h, sent, &gone);
    note_sent(h, sent, budget);
    while (Piece *p = gone.pop()) free_piece(h, p);
    if (h.over()) return;
  }
}

bool may_relieve(const Hold &h) noexcept {
  if (!h.is(kCongested) || h.s.pending.load(std::memory_order_relaxed) > h.s.type->output_low) return false;
  return h.is(kOpened | kClosing);  // else a layer was put on top: told when it is ready
}

void relieve(Hold &h) noexcept {
  if (!may_relieve(h)) return;
  h.clear(kCongested);
  h.set(kRetell);
  note_in(h);
  if (h.s.type->drain && h.is(kOpened) && !h.is(kClosing)) h.s.type->drain(h.handle, h.s.slot->arg.look());
}

bool pump_output(Hold &h, size_t *budget) noexcept {
  const size_t before = *budget;
  const bool was_congested = h.is(kCongested);
  for (;;) {
    if (h.s.layers) h.is(kOpened) ? push_plain(h) : flush_layers(h);  // what a handshake has to say
    if (h.over()) return true;
    send_wire(h, budget);
    if (h.over()) return true;
    const Layers *l = h.s.layers;
    if (h.is(kBroken) || !l || l->plain.empty() || l->held || !h.s.wire.empty() || !*budget || !h.is(kOpened)) break;
  }
  if (h.s.extras && h.s.extras->sink) mind_sink(h, budget);
  if (h.over()) return true;
  relieve(h);
  return *budget != before || (was_congested && !h.is(kCongested));
}

}  // namespace torque
