// SPDX-License-Identifier: BSD-3-Clause
#include "message.hh"

#include <arpa/inet.h>
#include <strings.h>

#include <cstring>

namespace torque_dns {

namespace {

constexpr uint32_t kHeader = 12;
constexpr uint32_t kNameMost = 255;  // RFC 1035, 2.3.4
constexpr int kAliasesMost = 32;

constexpr uint16_t kA = 1, kNs = 2, kCname = 5, kPtr = 12, kMx = 15, kTxt = 16, kAaaa = 28, kSrv = 33, kAny = 255;

uint16_t get16(const uint8_t *p) noexcept { return static_cast<uint16_t>(p[0] << 8 | p[1]); }
uint32_t get32(const uint8_t *p) noexcept { return uint32_t{get16(p)} << 16 | get16(p + 2); }

// Where in the data of such a record its name begins; -1: it has none.
int target_offset(uint16_t type) noexcept {
  switch (type) {
    case kNs:
    case kCname:
    case kPtr:
      return 0;
    case kMx:
      return 2;
    case kSrv:
      return 6;
    default:
      return -1;
  }
}

}  // namespace

Message::~Message() {
  for (const Scratch &s : scratch_) std::free(s.text);
}

bool Message::put(char c) noexcept {
  if (text_.push(c)) return true;
  no_memory_ = true;
  return false;
}

bool Message::put_label(const uint8_t *label, uint32_t size) noexcept {
  for (uint32_t i = 0; i < size; ++i) {
    const uint8_t c = label[i];
    if (c <= ' ' || c >= 0x7f) {
      if (!put('\\') || !put(static_cast<char>('0' + c / 100)) || !put(static_cast<char>('0' + c / 10 % 10)) ||
          !put(static_cast<char>('0' + c % 10))) {
        return false;
      }
    } else if (((c == '.' || c == '\\') && !put('\\')) || !put(static_cast<char>(c))) {
      return false;
    }
  }
  return true;
}

bool Message::name(uint32_t *at, uint32_t *ret_text) noexcept {
  const uint32_t begin = static_cast<uint32_t>(text_.size());
  uint32_t p = *at, length = 1;
  bool jumped = false;
  for (;;) {
    if (p >= size_) return false;
    const uint8_t c = bytes_[p];
    if ((c & 0xc0) == 0xc0) {
      if (p + 1 >= size_) return false;
      const uint32_t to = (c & 0x3fu) << 8 | bytes_[p + 1];
      if (to >= p) return false;  // only backwards: so there is an end
      if (!jumped) *at = p + 2;
      jumped = true;
      p = to;
      continue;
    }
    if (c & 0xc0) return false;
    if (c == 0) break;
    length += c + 1u;
    if (length > kNameMost || p + 1 + c >= size_) return false;
    if (text_.size() != begin && !put('.')) return false;
    if (!put_label(bytes_ + p + 1, c)) return false;
    p += c + 1u;
  }
  if (!jumped) *at = p + 1;
  if (text_.size() == begin && !put('.')) return false;
  if (!put('\0')) return false;
  *ret_text = begin;
  return true;
}

// Is the data as this type wants it? Fills in what is found on the way.
bool Message::fits(Record *r) noexcept {
  if (r->type == kA) return r->size == 4;
  if (r->type == kAaaa) return r->size == 16;
  if (r->type == kTxt) {
    for (uint32_t p = 0; p < r->size; ++r->strings) {
      p += bytes_[r->data + p] + 1u;
      if (p > r->size) return false;
    }
    return r->strings > 0;
  }
  const int offset = target_offset(r->type);
  if (offset < 0) return true;
  uint32_t p = r->data + static_cast<uint32_t>(offset);
  return static_cast<uint32_t>(offset) < r->size && name(&p, &r->target) && p == r->data + r->size;
}

bool Message::record(uint32_t *at) noexcept {
  Record r = {};
  r.target = kNoText;
  if (!name(at, &r.owner) || *at + 10 > size_) return false;
  const uint8_t *p = bytes_ + *at;
  r.type = get16(p);
  const uint16_t dns_class = get16(p + 2);
  r.ttl = get32(p + 4);
  if (r.ttl > INT32_MAX) r.ttl = 0;  // RFC 2181, 8
  r.size = get16(p + 8);
  r.data = *at + 10;
  if (r.data + r.size > size_) return false;
  *at = r.data + r.size;
  if (dns_class != 1) return true;  // not of the Internet: nobody asked
  if (!fits(&r)) return false;
  if (all_.push(r)) return true;
  no_memory_ = true;
  return false;
}

// Follows the aliases from the question; what does not belong to them was not asked for, and is not believed.
bool Message::choose(uint16_t type) noexcept {
  uint32_t name = question_;
  const auto follow = [&]() -> const Record * {
    if (type == kCname || type == kAny) return nullptr;
    for (const Record &r : all_) {
      if (r.type == kCname && strcasecmp(text(r.owner), text(name)) == 0) return &r;
    }
    return nullptr;
  };
  while (const Record *alias = follow()) {
    if (aliases_.size() == kAliasesMost) return false;
    if (!aliases_.push(*alias)) return no_memory_ = true, false;
    name = alias->target;
  }
  for (const Record &r : all_) {
    if ((r.type != type && type != kAny) || strcasecmp(text(r.owner), text(name)) != 0) continue;
    if (!records_.push(r)) return no_memory_ = true, false;
  }
  return true;
}

bool Message::parse(const uint8_t *bytes, uint32_t size, uint16_t type, bool *ret_no_memory) noexcept {
  bytes_ = bytes;
  size_ = size;
  const auto well_formed = [&] {
    if (size < kHeader || !(bytes[2] & 0x80) || get16(bytes + 4) != 1) return false;
    rcode_ = bytes[3] & 0x0f;
    uint32_t at = kHeader;
    if (!name(&at, &question_) || at + 4 > size) return false;
    at += 4;
    for (uint16_t left = get16(bytes + 6); left > 0; --left) {
      if (!record(&at)) return false;
    }
    return choose(type);
  };
  const bool good = well_formed();
  *ret_no_memory = no_memory_;
  return good;
}

const char *Message::scratch(const void *from, uint32_t size) noexcept {
  const uint64_t key = static_cast<uint64_t>(static_cast<const uint8_t *>(from) - bytes_) << 32 | size;
  for (const Scratch &s : scratch_) {
    if (s.key == key) return s.text;
  }
  if (!scratch_.room_for(1)) return nullptr;
  auto *copy = static_cast<char *>(std::malloc(size + INET6_ADDRSTRLEN));
  if (!copy) return nullptr;
  std::memcpy(copy, from, size);
  copy[size] = '\0';
  scratch_.push_reserved({key, copy});
  return copy;
}

const char *Message::string_of(const Record &r, uint32_t j, uint32_t *ret_size) noexcept {
  if (r.type != kTxt || j >= r.strings) return nullptr;
  const uint8_t *p = bytes_ + r.data;
  for (; j > 0; --j) p += *p + 1;
  const char *copy = scratch(p + 1, *p);
  if (copy) *ret_size = *p;
  return copy;
}

const char *Message::address_of(const Record &r) noexcept {
  if (r.type != kA && r.type != kAaaa) return nullptr;
  // Room for the text is behind the bytes, over which it goes.
  auto *text = const_cast<char *>(scratch(bytes_ + r.data, r.size));
  if (!text) return nullptr;
  return ::inet_ntop(r.type == kA ? AF_INET : AF_INET6, bytes_ + r.data, text, INET6_ADDRSTRLEN);
}

}  // namespace torque_dns
