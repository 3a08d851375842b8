// SPDX-License-Identifier: BSD-3-Clause
#include "text.hh"

#include <cstdio>
#include <cstdlib>

namespace torque_tools {

namespace {

bool is_plain(char c) {
  return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= '0' && c <= '9') ||
         std::string_view("_-./,:=+@%").find(c) != std::string_view::npos;
}
bool is_control(char c) { return static_cast<unsigned char>(c) < 0x20 || c == 0x7f; }
bool is_high(char c) { return static_cast<unsigned char>(c) >= 0x80; }

void escape(std::string &to, const char *format, char c) {
  char text[8];
  std::snprintf(text, sizeof text, format, static_cast<unsigned>(static_cast<unsigned char>(c)));
  to += text;
}

// Bytes beyond ASCII may be part of a control character, or of none that the terminal knows.
std::string escaped(std::string_view text) {
  std::string out = "$'";
  for (const char c : text) {
    if (is_control(c) || is_high(c)) escape(out, "\\%03o", c);
    else if (c == '\'' || c == '\\') (out += '\\') += c;
    else out += c;
  }
  return out + "'";
}

}  // namespace

std::string quoted(std::string_view text) {
  bool plain = !text.empty(), printable = true;
  for (const char c : text) {
    plain &= is_plain(c);
    printable &= !is_control(c) && !is_high(c);
  }
  if (plain) return std::string(text);
  if (!printable) return escaped(text);
  std::string out = "'";
  for (const char c : text) {
    if (c == '\'') out += "'\\''";
    else out += c;
  }
  return out + "'";
}

std::string json(std::string_view text) {
  std::string out = "\"";
  for (const char c : text) {
    if (is_control(c) || is_high(c)) escape(out, "\\u%04x", c);
    else if (c == '"' || c == '\\') (out += '\\') += c;
    else out += c;
  }
  return out + "\"";
}

std::string_view base_name(std::string_view path) {
  const size_t slash = path.rfind('/');
  return slash == std::string_view::npos ? path : path.substr(slash + 1);
}

std::string directory(std::string_view path) {
  const size_t slash = path.rfind('/');
  if (slash == std::string_view::npos) return ".";
  return slash ? std::string(path.substr(0, slash)) : "/";
}

std::string real_path(const std::string &path) {
  char *found = realpath(path.c_str(), nullptr);
  if (!found) return path;
  std::string out = found;
  std::free(found);
  return out;
}

}  // namespace torque_tools
