// SPDX-License-Identifier: BSD-3-Clause
// torque_dial_stream(): a dial whose connection goes to a stream that the program has from the beginning.
//
// The stream may end at any time, by anybody; its finalizer then cancels the dial. The dial may end at any time; its
// callback attaches the connection to the stream, or fails it. A link knows both, by handles that may be stale.
#include <unistd.h>

#include <cerrno>
#include <cstdlib>

#include "dial.hh"
#include "door.hh"
#include "libtorque/stream.h"
#include "resolver.hh"

using namespace torque_dns;

namespace {

struct Link {
  torque_source stream;
  torque_resolver *resolver;
  torque_query query;  // 0: not known yet
  uint64_t open_by_ns;
  Link *next;
};

constexpr size_t kBuckets = 256;
constinit ForkMutex lock;
Link *links[kBuckets] DNS_GUARDED_BY(lock);

Link **bucket_of(torque_source stream) noexcept DNS_REQUIRES(lock) {
  return &links[(stream ^ stream >> 32) % kBuckets];
}

void enter(Link *link) noexcept {
  Locked locked(lock);
  Link **first = bucket_of(link->stream);
  link->next = *first;
  *first = link;
}

void leave(const Link *link) noexcept {
  Locked locked(lock);
  Link **at = bucket_of(link->stream);
  while (*at != link) at = &(*at)->next;
  *at = link->next;
}

// A copy of the link of a stream. False: its dial is over.
bool find(torque_source stream, Link *ret) noexcept {
  Locked locked(lock);
  const Link *link = *bucket_of(stream);
  while (link && link->stream != stream) link = link->next;
  if (link) *ret = *link;
  return link != nullptr;
}

// False: the dial is over.
bool note_query(torque_source stream, torque_query query) noexcept {
  Locked locked(lock);
  Link *link = *bucket_of(stream);
  while (link && link->stream != stream) link = link->next;
  if (link) link->query = query;
  return link != nullptr;
}

// The stream has ended.
void on_stream_end(torque_source stream, int32_t, void *) noexcept {
  Link link;
  if (find(stream, &link)) (void)torque_resolver_cancel(link.resolver, link.query);
}

// The context stops: it ends the stream by itself, and says why.
bool context_stops(const Link &link) noexcept {
  const Visit visit(link.resolver);
  return visit && visit->context_stops();
}

void on_dialled(torque_query, torque_err err, int32_t fd, void *arg) noexcept {
  auto *link = static_cast<Link *>(arg);
  leave(link);
  if (!err) {
    err = torque_stream_attach(link->stream, fd, link->open_by_ns);
    if (err) ::close(fd);
  }
  if (err && !context_stops(*link)) (void)torque_stream_fail(link->stream, err);
  std::free(link);
}

torque_err make_stream(torque_resolver *resolver, torque_stream_type *type, void *arg, torque_source *ret) noexcept {
  const Visit visit(resolver);
  if (!visit) return TORQUE_ERR_STOPPED;
  if (visit->foreign()) return TORQUE_ERR_FORKED;
  if (const torque_err err = torque_stream_await(visit->context(), type, arg, ret)) return err;
  (void)torque_source_set_finalizer(*ret, on_stream_end);
  return TORQUE_ERR_NONE;
}

}  // namespace

extern "C" torque_err torque_dial_stream(struct torque_resolver *resolver, const char *host, const char *service,
                                         int32_t family, uint32_t flags, uint64_t timeout_ns, uint64_t delay_ns,
                                         struct torque_stream_type *type, void *arg, torque_source *ret_stream) {
  if (!resolver || !type || !ret_stream) return TORQUE_ERR_INVAL;
  auto *link = static_cast<Link *>(std::malloc(sizeof(Link)));
  if (!link) return TORQUE_ERR_RESOURCE;
  const uint64_t deadline = deadline_in(timeout_ns);
  *link = {0, resolver, 0, deadline == UINT64_MAX ? 0 : deadline, nullptr};
  if (const torque_err err = make_stream(resolver, type, arg, &link->stream)) {
    std::free(link);
    return err;
  }
  const torque_source stream = link->stream;
  enter(link);
  torque_query query = 0;
  const torque_err err =
      begin_dial(resolver, {host, service, family, flags, deadline, delay_ns}, on_dialled, link, &query);
  if (!err) {
    // A stream that has ended by now could not say which dial is to be cancelled.
    if (note_query(stream, query) && !torque_source_alive(stream)) (void)torque_resolver_cancel(resolver, query);
    *ret_stream = stream;
    return TORQUE_ERR_NONE;
  }
  leave(link);
  std::free(link);
  (void)torque_stream_fail(stream, TORQUE_ERR_NONE);
  return err;
}
