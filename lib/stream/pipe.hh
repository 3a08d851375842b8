// SPDX-License-Identifier: BSD-3-Clause
// Streams joined: what one receives the other sends. A pipe has a flow for each way; a flow goes from one stream's input
// to the other's output, and each of the two touches its side of it in its own turn only.
//
//   source's turn: reads, and hands over: into the mailbox of the sink, or into a pipe of the kernel (spliced)
//   sink's turn:   sends; wakes a source that waits for room; does what the source's end means for it (the fate)
//
// When the source leaves, the sink takes what is left in the kernel's pipe into its own output, in the order of its mailbox.
//
// Always true: what the source handed over comes before the fate that it set. A source waits only while something of what
// it handed over is not sent, and the sink looks for it after each bit that it has sent: so nobody waits for ever.
#pragma once

#include <atomic>

#include "base/alloc.hh"
#include "base/fd.hh"
#include "libtorque/pipe.h"

namespace torque {

struct Pipe;
struct Hold;
struct Stream;

// What becomes of the sink when the source's way is over; later ones take the place of earlier ones.
enum class Fate : uint32_t { none, leave, shutdown, close, reset };

struct Flow {
  // Constant.
  Pipe *pipe = nullptr;
  uint64_t from = 0;
  uint64_t to = 0;

  // The source's holder writes; spliced is stored after the descriptors.
  Fd kernel[2];
  std::atomic<bool> spliced{false};
  std::atomic<uint64_t> in{0};      // into the kernel's pipe
  std::atomic<uint64_t> copied{0};  // into the mailbox. relaxed: a figure
  // The sink's holder.
  std::atomic<uint64_t> out{0};    // out of the kernel's pipe
  std::atomic<bool> plain{false};  // the sink has no layers, and a descriptor. Before the source is attached

  // seq_cst: the source sets it and looks for room again; the sink makes room and then looks at it.
  std::atomic<bool> waiting{false};
  std::atomic<Fate> fate{Fate::none};   // store_release by who ends the source
  std::atomic<bool> lost{false};        // the sink has ended, or its output. store_release
  std::atomic<torque_err> err{0};       // before fate or lost

  // Bytes in the kernel's pipe. Less than there are for who adds, more for who takes: never below 0 for the latter.
  uint64_t filled() const noexcept {
    const uint64_t taken = out.load(std::memory_order_seq_cst);
    return in.load(std::memory_order_acquire) - taken;
  }
  uint64_t went() const noexcept { return out.load(std::memory_order_relaxed) + copied.load(std::memory_order_relaxed); }
};

// Freed by the last of the sides that are attached and the functions under way to them.
struct Pipe {
  Pipe(const Alloc &a, uint32_t f, torque_pipe_end_fn *function, void *argument) noexcept
      : alloc(a), flags(f), fn(function), arg(argument) {}
  bool is(uint32_t flag) const noexcept { return flags & flag; }
  void ref() noexcept { refs.fetch_add(1, std::memory_order_relaxed); }
  void unref() noexcept;

  const Alloc &alloc;
  const uint32_t flags;
  torque_pipe_end_fn *const fn;
  void *const arg;
  std::atomic<uint32_t> refs{1};
  std::atomic<torque_err> err{0};  // the first
  Flow flow[2];                    // from a to b, from b to a
  // Whose sink is attached first, and whose source last: 0 a, 1 b. Constant once it is joined.
  int first = 0;
  bool attached_second = false;      // the other one's holder
  std::atomic<bool> parted{false};  // torque_stream_unpipe(): what is not attached yet never is. Calls come behind it
};

// Stream::piped; under the mailbox's lock.
constexpr uint32_t kPipedFrom = 1;
constexpr uint32_t kPipedTo = 2;

torque_err join_streams(uint64_t a, uint64_t b, uint32_t flags, torque_pipe_end_fn *fn, void *arg) noexcept;
torque_err part_stream(uint64_t handle) noexcept;

// ---- In the stream's turn, where it has extras ----
void begin_pipes(Hold &h) noexcept;                                  // the turn begins
size_t pass_on(Hold &h, const char *data, size_t length) noexcept;  // instead of telling; takes all
bool splice_in(Hold &h, size_t *budget) noexcept;                    // instead of reading. Answers whether there was anything
void source_closes(Hold &h) noexcept;                                // no more input is wanted
bool end_passed_on(Hold &h) noexcept;                                // the input has ended; false: the program is to be told
void mind_sink(Hold &h, size_t *budget) noexcept;                    // after sending
// It has ended. Thread: whoever finishes it.
void end_pipes(Stream &s, torque_err err) noexcept;

}  // namespace torque
