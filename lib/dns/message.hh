// SPDX-License-Identifier: BSD-3-Clause
// A DNS response taken apart: from bytes that anybody may have sent to records that can be asked for by number.
// Nothing here is trusted: each length, pointer and count is checked before it is followed.
#pragma once

#include <cstdint>

#include "array.hh"

namespace torque_dns {

struct Record {
  uint32_t owner;  // where in the text
  uint16_t type;
  uint32_t ttl;
  uint32_t data;  // where in the message
  uint16_t size;
  uint32_t target;   // where in the text; kNoText: this type has none
  uint32_t strings;  // TXT
};
constexpr uint32_t kNoText = UINT32_MAX;

// One thread at a time. The bytes must stay as long as it does.
class Message {
 public:
  // False: not a response to one question, or not well-formed in what matters here. *ret_no_memory: that was why.
  [[nodiscard]] bool parse(const uint8_t *bytes, uint32_t size, uint16_t type, bool *ret_no_memory) noexcept;

  const uint8_t *bytes() const noexcept { return bytes_; }
  uint32_t size() const noexcept { return size_; }
  uint16_t rcode() const noexcept { return rcode_; }
  const Array<Record> &records() const noexcept { return records_; }
  const Array<Record> &aliases() const noexcept { return aliases_; }
  const char *text(uint32_t at) const noexcept { return at == kNoText ? nullptr : text_.begin() + at; }

  // The j-th string of a TXT record, 0-terminated; null: there is none, or no memory.
  const char *string_of(const Record &r, uint32_t j, uint32_t *ret_size) noexcept;
  const char *address_of(const Record &r) noexcept;
  uint16_t number(const Record &r, uint32_t offset) const noexcept {
    return offset + 2u <= r.size ? static_cast<uint16_t>(bytes_[r.data + offset] << 8 | bytes_[r.data + offset + 1])
                                 : uint16_t{0};
  }

 private:
  // A name at *at, which is moved behind it, into the text. False: not a name, or no memory.
  bool name(uint32_t *at, uint32_t *ret_text) noexcept;
  bool record(uint32_t *at) noexcept;
  bool fits(Record *r) noexcept;
  bool put(char c) noexcept;
  bool put_label(const uint8_t *label, uint32_t size) noexcept;
  bool choose(uint16_t type) noexcept;
  const char *scratch(const void *from, uint32_t size) noexcept;

  const uint8_t *bytes_ = nullptr;
  uint32_t size_ = 0;
  uint16_t rcode_ = 0;
  bool no_memory_ = false;
  uint32_t question_ = kNoText;
  Array<Record> all_;
  Array<Record> records_;
  Array<Record> aliases_;
  // Pieces that stay where they are: what accessors return is valid until the end.
  Array<char> text_;
  struct Scratch {
    uint64_t key;
    char *text;
  };
  Array<Scratch> scratch_;

 public:
  Message() noexcept = default;
  Message(const Message &) = delete;
  Message &operator=(const Message &) = delete;
  ~Message();
};

}  // namespace torque_dns
