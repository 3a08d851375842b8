// SPDX-License-Identifier: BSD-3-Clause
#include "genuine.hh"

#include <cerrno>
#include <cstdarg>
#include <cstdio>
#include <cstdlib>
#include <cstring>

namespace torque_event {

namespace {

constexpr size_t kLongest = 1024;  // of a message

struct Message {
  Message(const char *format, va_list arguments) { std::vsnprintf(text, sizeof text, format, arguments); }
  char text[kLongest];
};

}  // namespace

void *mm_malloc(size_t size) { return event_mm_malloc_ ? event_mm_malloc_(size) : std::malloc(size); }
void *mm_calloc(size_t count, size_t size) {
  return event_mm_calloc_ ? event_mm_calloc_(count, size) : std::calloc(count, size);
}
void *mm_realloc(void *p, size_t size) { return event_mm_realloc_ ? event_mm_realloc_(p, size) : std::realloc(p, size); }
void mm_free(void *p) { event_mm_free_ ? event_mm_free_(p) : std::free(p); }
char *mm_strdup(const char *text) { return event_mm_strdup_ ? event_mm_strdup_(text) : strdup(text); }
const char *get_env(const char *name) { return evutil_getenv_ ? evutil_getenv_(name) : secure_getenv(name); }

void log_warn(const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  const Message m(format, arguments);
  va_end(arguments);
  if (event_warn) event_warn("%s", m.text);
  else std::fprintf(stderr, "[warn] %s: %s\n", m.text, std::strerror(errno));
}

void log_warnx(const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  const Message m(format, arguments);
  va_end(arguments);
  if (event_warnx) event_warnx("%s", m.text);
  else std::fprintf(stderr, "[warn] %s\n", m.text);
}

void log_msgx(const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  const Message m(format, arguments);
  va_end(arguments);
  if (event_msgx) event_msgx("%s", m.text);
  else std::fprintf(stderr, "[msg] %s\n", m.text);
}

void die(int code, const char *format, ...) {
  va_list arguments;
  va_start(arguments, format);
  const Message m(format, arguments);
  va_end(arguments);
  if (event_errx) event_errx(code, "%s", m.text);
  std::fprintf(stderr, "[err] %s\n", m.text);
  if (code == kAbort) std::abort();
  std::exit(code);
}

}  // namespace torque_event
