// SPDX-License-Identifier: BSD-3-Clause
#include "libtorque/address.h"

#include <arpa/inet.h>
#include <net/if.h>
#include <netinet/in.h>
#include <sys/un.h>

#include <algorithm>
#include <charconv>
#include <cstddef>
#include <cstring>
#include <string_view>

#include "api/address.hh"
#include "base/error.hh"
#include "base/fd.hh"

using namespace torque;
using std::string_view;

namespace {

constexpr string_view kUnix = "unix:";
constexpr size_t kPathAt = offsetof(sockaddr_un, sun_path);
constexpr size_t kPathSize = sizeof(sockaddr_un::sun_path);

// ---- From text ----

// A decimal number without sign and leading zeros.
template <class Number>
bool parse_number(string_view text, Number *ret) noexcept {
  if (text.empty() || text[0] < '0' || text[0] > '9' || (text[0] == '0' && text.size() > 1)) return false;
  const char *end = text.data() + text.size();
  const auto [at, error] = std::from_chars(text.data(), end, *ret);
  return error == std::errc() && at == end;
}

// libc wants texts with an end. False: too long.
template <size_t N>
bool copy_text(string_view text, char (&to)[N]) noexcept {
  if (text.size() >= N) return false;
  std::memcpy(to, text.data(), text.size());
  to[text.size()] = '\0';
  return true;
}

template <class Sockaddr>
void put(const Sockaddr &address, size_t len, Address *ret) noexcept {
  ret->set(&address, len);
}

void put_inet(const in_addr &address, uint16_t port, Address *ret) noexcept {
  sockaddr_in in{};
  in.sin_family = AF_INET;
  in.sin_port = htons(port);
  in.sin_addr = address;
  put(in, sizeof in, ret);
}

void put_inet6(const in6_addr &address, uint32_t scope, uint16_t port, Address *ret) noexcept {
  sockaddr_in6 in{};
  in.sin6_family = AF_INET6;
  in.sin6_port = htons(port);
  in.sin6_addr = address;
  in.sin6_scope_id = scope;
  put(in, sizeof in, ret);
}

bool has_inet6() noexcept {
  const Fd fd(::socket(AF_INET6, SOCK_DGRAM | SOCK_CLOEXEC, 0));
  return fd || errno != EAFNOSUPPORT;
}

void put_any(uint16_t port, Address *ret) noexcept {
  ret->any = true;
  if (has_inet6()) put_inet6(in6addr_any, 0, port, ret);
  else put_inet({htonl(INADDR_ANY)}, port, ret);
}

// A name of digits is a name where there is such an interface.
torque_err parse_scope(string_view text, uint32_t *ret) noexcept {
  char name[IF_NAMESIZE];
  if (text.empty() || !copy_text(text, name)) return TORQUE_ERR_INVAL;
  *ret = ::if_nametoindex(name);
  if (*ret) return TORQUE_ERR_NONE;
  const torque_err err = last_error();
  return parse_number(text, ret) && *ret ? TORQUE_ERR_NONE : err;
}

torque_err parse_inet6(string_view host, uint16_t port, Address *ret) noexcept {
  char text[INET6_ADDRSTRLEN];
  in6_addr address;
  const size_t percent = host.find('%');
  if (!copy_text(host.substr(0, percent), text) || ::inet_pton(AF_INET6, text, &address) != 1) return TORQUE_ERR_INVAL;
  uint32_t scope = 0;
  if (percent != host.npos) {
    if (const torque_err err = parse_scope(host.substr(percent + 1), &scope)) return err;
  }
  put_inet6(address, scope, port, ret);
  return TORQUE_ERR_NONE;
}

// "[address]" or "[address]:port". (The name of an interface may have a bracket, but no colon.)
torque_err parse_brackets(string_view text, uint16_t port, Address *ret) noexcept {
  const size_t close = text.rfind(']');
  if (close == text.npos) return TORQUE_ERR_INVAL;
  const string_view rest = text.substr(close + 1);
  if (!rest.empty() && (rest[0] != ':' || !parse_number(rest.substr(1), &port))) return TORQUE_ERR_INVAL;
  return parse_inet6(text.substr(1, close - 1), port, ret);
}

// "address" or "address:port" of IPv4, or of any.
torque_err parse_inet(string_view text, uint16_t port, Address *ret) noexcept {
  const size_t colon = text.find(':');
  if (colon != text.npos && !parse_number(text.substr(colon + 1), &port)) return TORQUE_ERR_INVAL;
  const string_view host = text.substr(0, colon);
  if (host == "*" || (host.empty() && colon == 0)) {
    put_any(port, ret);
    return TORQUE_ERR_NONE;
  }
  char copy[INET_ADDRSTRLEN];
  in_addr address;
  if (!copy_text(host, copy) || ::inet_pton(AF_INET, copy, &address) != 1) return TORQUE_ERR_INVAL;
  put_inet(address, port, ret);
  return TORQUE_ERR_NONE;
}

// A path keeps its end, within sun_path; an abstract name has none, and a zero byte first.
torque_err parse_unix(string_view path, Address *ret) noexcept {
  const bool abstract = path.starts_with('@');
  if (path.size() <= (abstract ? 1 : 0) || path.size() >= kPathSize + (abstract ? 1 : 0)) return TORQUE_ERR_INVAL;
  sockaddr_un un{};
  un.sun_family = AF_UNIX;
  std::memcpy(un.sun_path, path.data(), path.size());
  if (abstract) un.sun_path[0] = '\0';
  put(un, kPathAt + path.size() + (abstract ? 0 : 1), ret);
  return TORQUE_ERR_NONE;
}

// ---- To text ----

// A text that is cut where its room ends, but counted on.
class Text {
 public:
  Text(char *at, uint32_t size) noexcept : at_(at), size_(size) {}

  void add(string_view part) noexcept {
    if (length_ < size_) std::memcpy(at_ + length_, part.data(), std::min<size_t>(part.size(), size_ - length_));
    length_ += static_cast<uint32_t>(part.size());
  }
  void add(uint32_t number) noexcept {
    char digits[10];
    add({digits, std::to_chars(digits, digits + sizeof digits, number).ptr});
  }
  uint32_t end() noexcept {
    if (size_) at_[std::min(length_, size_ - 1)] = '\0';
    return length_;
  }

 private:
  char *const at_;
  const uint32_t size_;
  uint32_t length_ = 0;
};

void format_inet(const sockaddr_in &in, Text *text) noexcept {
  char host[INET_ADDRSTRLEN];
  text->add(::inet_ntop(AF_INET, &in.sin_addr, host, sizeof host));
  text->add(":");
  text->add(ntohs(in.sin_port));
}

void format_inet6(const sockaddr_in6 &in, Text *text) noexcept {
  char host[INET6_ADDRSTRLEN], name[IF_NAMESIZE];
  text->add("[");
  text->add(::inet_ntop(AF_INET6, &in.sin6_addr, host, sizeof host));
  if (in.sin6_scope_id) {
    text->add("%");
    if (::if_indextoname(in.sin6_scope_id, name)) text->add(name);
    else text->add(in.sin6_scope_id);
  }
  text->add("]:");
  text->add(ntohs(in.sin6_port));
}

torque_err format_unix(const sockaddr_un &un, size_t length, Text *text) noexcept {
  string_view name(un.sun_path, length);
  const bool abstract = length != 0 && name[0] == '\0';
  if (abstract) name.remove_prefix(1);
  else name = name.substr(0, name.find('\0'));
  // No text means these.
  if (abstract ? name.empty() || name.find('\0') != name.npos : name.size() == kPathSize || name.starts_with('@')) {
    return TORQUE_ERR_INVAL;
  }
  text->add(kUnix);
  if (abstract) text->add("@");
  text->add(name);
  return TORQUE_ERR_NONE;
}

torque_err format(const sockaddr_storage &address, uint32_t len, Text *text) noexcept {
  switch (address.ss_family) {
    case AF_INET:
      if (len < sizeof(sockaddr_in)) return TORQUE_ERR_INVAL;
      format_inet(reinterpret_cast<const sockaddr_in &>(address), text);
      return TORQUE_ERR_NONE;
    case AF_INET6:
      if (len < sizeof(sockaddr_in6)) return TORQUE_ERR_INVAL;
      format_inet6(reinterpret_cast<const sockaddr_in6 &>(address), text);
      return TORQUE_ERR_NONE;
    case AF_UNIX:
      if (len > sizeof(sockaddr_un)) return TORQUE_ERR_INVAL;
      return format_unix(reinterpret_cast<const sockaddr_un &>(address), len - kPathAt, text);
    default: return TORQUE_ERR_INVAL;
  }
}

}  // namespace

torque_err torque::parse_address(const char *text, uint16_t default_port, Address *ret) noexcept {
  const string_view all(text);
  ret->any = false;
  if (all.starts_with(kUnix)) return parse_unix(all.substr(kUnix.size()), ret);
  if (all.starts_with('[')) return parse_brackets(all, default_port, ret);
  if (std::count(all.begin(), all.end(), ':') > 1) return parse_inet6(all, default_port, ret);
  return parse_inet(all, default_port, ret);
}

extern "C" {

torque_err torque_address_parse(const char *text, uint16_t default_port, void *addr, uint32_t size, uint32_t *ret_len) {
  if (!text || !ret_len || (size && !addr)) return TORQUE_ERR_INVAL;
  Address address;
  if (const torque_err err = parse_address(text, default_port, &address)) return err;
  if (size) std::memcpy(addr, &address.bytes, std::min<size_t>(size, address.length));
  *ret_len = address.length;
  return TORQUE_ERR_NONE;
}

torque_err torque_address_format(const void *addr, uint32_t len, char *text, uint32_t size, uint32_t *ret_len) {
  sockaddr_storage address{};
  if (!addr || len < sizeof(sa_family_t) || len > sizeof address || !ret_len || (size && !text)) return TORQUE_ERR_INVAL;
  std::memcpy(&address, addr, len);
  char whole[TORQUE_ADDRESS_TEXT_SIZE];
  Text all(whole, sizeof whole);
  if (const torque_err err = format(address, len, &all)) return err;
  Text cut(text, size);
  cut.add({whole, all.end()});
  *ret_len = cut.end();
  return TORQUE_ERR_NONE;
}

}  // extern "C"
