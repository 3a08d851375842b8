// SPDX-License-Identifier: BSD-3-Clause
#include "kinds/datagram/datagram_batch.hh"

#include <netinet/udp.h>

#include <cstring>
#include <deque>
#include <memory>
#include <random>
#include <string>
#include <vector>

#include "kinds/datagram/datagram.hh"
#include "support/cmocka.hh"

using namespace torque;

namespace {

constexpr uint32_t kAny = 65000;

sockaddr_in address(uint16_t port) {
  sockaddr_in a{};
  a.sin_family = AF_INET;
  a.sin_port = port;
  return a;
}

From from(uint8_t last) {
  From f{IPPROTO_IP, IP_PKTINFO, 12, {}};
  f.data[11] = last;
  return f;
}

const char bytes[kSizeMax] = {};

// The sizes of a message's parts.
std::vector<size_t> parts(Outbox &box, uint32_t i) {
  const msghdr &m = box.message(i).msg_hdr;
  std::vector<size_t> sizes;
  for (size_t k = 0; k < m.msg_iovlen; ++k) sizes.push_back(m.msg_iov[k].iov_len);
  return sizes;
}

bool add(Outbox &box, const sockaddr_in &to, size_t size, uint32_t train_max = kAny, const From *f = nullptr) {
  return box.add(&to, sizeof to, f, bytes, size, train_max);
}

auto make_box() {
  auto box = std::unique_ptr<Outbox>(new Outbox);
  box->clear();
  return box;
}

void equal_neighbours_are_joined(void **) {
  auto box = make_box();
  const sockaddr_in a = address(1), same = address(1);
  for (int i = 0; i < 3; ++i) assert_true(add(*box, i % 2 ? a : same, 100));
  assert_true(add(*box, a, 60));   // a shorter one ends it
  assert_true(add(*box, a, 60));   // so that this begins the next
  assert_true(add(*box, a, 100));  // a longer one cannot follow
  assert_int_equal(box->messages(), 3);
  assert_true(parts(*box, 0) == (std::vector<size_t>{100, 100, 100, 60}));
  assert_true(parts(*box, 1) == (std::vector<size_t>{60}));
  assert_true(parts(*box, 2) == (std::vector<size_t>{100}));
  assert_int_equal(box->segment(0), 100);
}

void others_are_not(void **) {
  auto box = make_box();
  const sockaddr_in a = address(1), b = address(2);
  const From home = from(1), away = from(2);
  assert_true(add(*box, a, 100));
  assert_true(add(*box, b, 100));               // another peer
  assert_true(add(*box, b, 100, kAny, &home));  // from another address
  assert_true(add(*box, b, 100, kAny, &away));
  assert_true(add(*box, b, 0));  // nothing, beside anything
  assert_true(add(*box, b, 0));
  assert_true(add(*box, b, 100));
  assert_true(add(*box, b, 100, 99));  // larger than the socket can
  assert_true(add(*box, b, 99, 99));   // 100 was the first: the train's size counts
  assert_true(add(*box, b, 99, 99));
  assert_int_equal(box->messages(), 9);
  assert_int_equal(parts(*box, 8).size(), 2);
}

void trains_have_an_end(void **) {
  auto box = make_box();
  const sockaddr_in a = address(1);
  for (uint32_t i = 0; i < Outbox::kSegments + 1; ++i) assert_true(add(*box, a, 10));
  assert_int_equal(box->messages(), 2);
  assert_int_equal(parts(*box, 0).size(), Outbox::kSegments);
  box->clear();
  for (int i = 0; i < 8; ++i) assert_true(add(*box, a, 20000));
  assert_int_equal(box->messages(), 3);
  assert_int_equal(parts(*box, 0).size(), 3);  // 60,000 bytes: a fourth would be more than a packet can have
}

void it_says_when_it_is_full(void **) {
  auto box = make_box();
  const sockaddr_in a = address(1), b = address(2);
  uint32_t n = 0;
  while (add(*box, n % 2 ? a : b, 10)) ++n;
  assert_int_equal(n, Outbox::kMessages);
  box->clear();
  n = 0;
  while (add(*box, n / 64 % 2 ? a : b, 10)) ++n;
  assert_int_equal(n, Outbox::kParts);
  box->clear();
  size_t room = 0;
  while (const char *p = box->copy(bytes, 1001)) {
    assert_int_equal(reinterpret_cast<uintptr_t>(p) % 8, 0);
    room += 1001;
  }
  assert_in_range(room, Outbox::kRoom - 2 * 1008, Outbox::kRoom);
  assert_null(box->copy(bytes, Outbox::kRoom + 1));
  box->clear();
  assert_non_null(box->copy(bytes, Outbox::kRoom));
  assert_null(box->copy(bytes, 1));
}

void control_messages_say_the_rest(void **) {
  auto box = make_box();
  const sockaddr_in a = address(1);
  const From home = from(7);
  assert_true(add(*box, a, 50));
  assert_true(add(*box, a, 50, kAny, &home));
  assert_true(add(*box, a, 50, kAny, &home));
  mmsghdr *m = box->ready(0);
  assert_int_equal(m[0].msg_hdr.msg_controllen, 0);
  msghdr &h = m[1].msg_hdr;
  cmsghdr *c = CMSG_FIRSTHDR(&h);
  assert_int_equal(c->cmsg_level, IPPROTO_IP);
  assert_int_equal(c->cmsg_type, IP_PKTINFO);
  assert_memory_equal(CMSG_DATA(c), home.data, home.len);
  c = CMSG_NXTHDR(&h, c);
  assert_int_equal(c->cmsg_level, SOL_UDP);
  assert_int_equal(c->cmsg_type, UDP_SEGMENT);
  uint16_t segment;
  std::memcpy(&segment, CMSG_DATA(c), sizeof segment);
  assert_int_equal(segment, 50);
  assert_null(CMSG_NXTHDR(&h, c));
  // A part by itself keeps the address and is no train.
  msghdr one = box->alone(1, 1);
  assert_int_equal(one.msg_iovlen, 1);
  assert_ptr_equal(one.msg_iov, h.msg_iov + 1);
  c = CMSG_FIRSTHDR(&one);
  assert_int_equal(c->cmsg_type, IP_PKTINFO);
  assert_null(CMSG_NXTHDR(&one, c));
}

// ---- What waits ----

struct Counted {
  size_t bytes = 0, blocks = 0;
  bool refuse = false;
};

void *take(size_t size, size_t, void *arg) {
  auto *c = static_cast<Counted *>(arg);
  if (c->refuse) return nullptr;
  c->bytes += size;
  ++c->blocks;
  return std::malloc(size);
}

void give(void *p, size_t size, void *arg) {
  auto *c = static_cast<Counted *>(arg);
  c->bytes -= size;
  --c->blocks;
  std::free(p);
}

struct Waiting {
  std::string peer, data;
  int from;
};

void backlog_is_a_queue(void **) {
  Counted counted;
  const Alloc alloc{take, give, &counted};
  std::mt19937 random(1);
  std::deque<Waiting> model;
  Backlog backlog(alloc);
  for (int step = 0; step < 20000; ++step) {
    const bool fill = (step / 1000) % 2 == 0;
    if (random() % 3 != 0 ? fill : !fill) {
      static const size_t sizes[] = {0, 1, 7, 8, 100, 1400, 9000, 32700, 32768, 70000};
      Waiting w{std::string(random() % 3 ? random() % 129 : 0, 'p'), std::string(sizes[random() % 10], 'd'),
                static_cast<int>(random() % 3)};
      for (char &ch : w.peer) ch = static_cast<char>(random());
      if (!w.data.empty()) w.data[0] = w.data.back() = static_cast<char>(random());
      const From f = from(static_cast<uint8_t>(w.from));
      const From none{0, 0, 0, {}};
      assert_true(backlog.push(w.peer.data(), static_cast<socklen_t>(w.peer.size()),
                               w.from == 1 ? &f
                               : w.from    ? &none
                                           : nullptr,
                               w.data.data(), w.data.size()));
      model.push_back(std::move(w));
    } else if (!model.empty()) {
      const auto n = static_cast<uint32_t>(random() % std::min<size_t>(model.size(), 40) + 1);
      backlog.drop(n);
      model.erase(model.begin(), model.begin() + n);
    }
    assert_int_equal(backlog.count(), model.size());
    if (model.empty()) assert_int_equal(counted.blocks, 0);
    if (step % 50) continue;
    size_t i = 0, sum = 0;
    backlog.each([&](Backlog::Record &r) {
      const Waiting &w = model[i++];
      assert_true(std::string(r.peer(), r.peer_len) == w.peer);
      assert_true(std::string(r.data(), r.size) == w.data);
      assert_int_equal(r.has_from, w.from == 1);
      if (r.has_from) assert_int_equal(r.from()->data[11], 1);
      sum += w.data.size() + Backlog::kOverhead;
      return true;
    });
    assert_int_equal(i, model.size());
    assert_int_equal(backlog.bytes(), sum);
  }
  backlog.clear();
  assert_true(backlog.empty());
  assert_int_equal(counted.blocks, 0);
  assert_int_equal(counted.bytes, 0);
}

void backlog_without_memory_keeps_what_it_has(void **) {
  Counted counted;
  const Alloc alloc{take, give, &counted};
  Backlog backlog(alloc);
  assert_true(backlog.push("p", 1, nullptr, "data", 4));
  counted.refuse = true;
  uint32_t n = 1;
  while (backlog.push("p", 1, nullptr, bytes, 1000)) ++n;
  assert_in_range(n, 2, 33);
  assert_int_equal(backlog.count(), n);
  assert_false(backlog.push("p", 1, nullptr, bytes, 40000));
  assert_true(backlog.push("p", 1, nullptr, bytes, 1));  // there is still room for a small one
  counted.refuse = false;
  assert_false(backlog.push("p", 1, nullptr, bytes, kSizeMax + 1));
  backlog.drop(n + 1);
  assert_int_equal(counted.blocks, 0);
}

}  // namespace

int main() {
  const CMUnitTest tests[] = {
      cmocka_unit_test(equal_neighbours_are_joined),
      cmocka_unit_test(others_are_not),
      cmocka_unit_test(trains_have_an_end),
      cmocka_unit_test(it_says_when_it_is_full),
      cmocka_unit_test(control_messages_say_the_rest),
      cmocka_unit_test(backlog_is_a_queue),
      cmocka_unit_test(backlog_without_memory_keeps_what_it_has),
  };
  return cmocka_run_group_tests(tests, nullptr, nullptr);
}
