// SPDX-License-Identifier: BSD-3-Clause
// Hand-overs, as a program under ThreadSanitizer sees them.
//
// Such a program is compiled with -fsanitize=thread, and this library mostly is not: the sanitizer knows what the program
// reads and writes, but not the atomics here that put those in order, and so reports races that do not exist. Where one
// thread hands something to another through such an atomic, the giver calls gives() before, and the taker takes() after,
// with the same address. Hand-overs by pthread calls, and by reading and writing descriptors, the sanitizer sees itself.
//
// An address is a source's slot, a strand, a queue: never a lock that every round takes, for that would put all callbacks
// in order and hide the program's own races.
//
// The sanitizer also sees what the library does with memory and descriptors of its own by calls of libc (malloc, memmove,
// close). Own stands around that: it is not looked at. No function of the program is called inside, but for allocators.
//
// The functions are the sanitizer's. The linker finds them when the program has it; else they are null, and each call here
// is a comparison and a branch. A library that is itself compiled for the sanitizer needs none of this.
#pragma once

#if defined(__SANITIZE_THREAD__)
#define TORQUE_TELL_TSAN 0
#elif defined(__has_feature)
#if __has_feature(thread_sanitizer)
#define TORQUE_TELL_TSAN 0
#endif
#endif
#ifndef TORQUE_TELL_TSAN
#define TORQUE_TELL_TSAN 1
#endif

#if TORQUE_TELL_TSAN
extern "C" {
[[gnu::weak]] void __tsan_acquire(void *address);
[[gnu::weak]] void __tsan_release(void *address);
[[gnu::weak]] void AnnotateIgnoreReadsBegin(const char *file, int line);
[[gnu::weak]] void AnnotateIgnoreReadsEnd(const char *file, int line);
[[gnu::weak]] void AnnotateIgnoreWritesBegin(const char *file, int line);
[[gnu::weak]] void AnnotateIgnoreWritesEnd(const char *file, int line);
}
#endif

namespace torque::tsan {

#if TORQUE_TELL_TSAN
inline bool present() noexcept { return __builtin_expect(__tsan_release != nullptr, 0); }
inline void gives(const volatile void *p) noexcept {
  if (present()) __tsan_release(const_cast<void *>(p));
}
inline void takes(const volatile void *p) noexcept {
  if (present()) __tsan_acquire(const_cast<void *>(p));
}

[[gnu::cold, gnu::noinline]] inline void begin_own() noexcept {
  AnnotateIgnoreReadsBegin("", 0);
  AnnotateIgnoreWritesBegin("", 0);
}
[[gnu::cold, gnu::noinline]] inline void end_own() noexcept {
  AnnotateIgnoreWritesEnd("", 0);
  AnnotateIgnoreReadsEnd("", 0);
}
class Own {
 public:
  Own() noexcept {
    if (present()) begin_own();
  }
  ~Own() {
    if (present()) end_own();
  }
  Own(const Own &) = delete;
  Own &operator=(const Own &) = delete;
};
#else
inline bool present() noexcept { return false; }
inline void gives(const volatile void *) noexcept {}
inline void takes(const volatile void *) noexcept {}
class Own {
 public:
  Own() noexcept {}
  ~Own() {}
};
#endif

}  // namespace torque::tsan
