// SPDX-License-Identifier: BSD-3-Clause
// Programs in C++, written against ev++.h: its watchers, their life, and exceptions that leave a run.
#include <ev++.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include <memory>
#include <stdexcept>

#include "diff.h"

namespace {

struct Counter {
  int calls = 0;
  int events = 0;
  template <class W>
  void tell(W &w, int revents) {
    ++calls;
    events |= revents;
    trace("called %d: %s, active %d", calls, bits(revents), w.is_active());
  }
  void io(ev::io &w, int revents) { tell(w, revents); }
  void timer(ev::timer &w, int revents) { tell(w, revents); }
  void periodic(ev::periodic &w, int revents) { tell(w, revents); }
  void signal(ev::sig &w, int revents) { tell(w, revents); }
  void child(ev::child &w, int revents) { tell(w, revents); }
  void stat(ev::stat &w, int revents) { tell(w, revents); }
  void idle(ev::idle &w, int revents) { tell(w, revents); }
  void prepare(ev::prepare &w, int revents) { tell(w, revents); }
  void check(ev::check &w, int revents) { tell(w, revents); }
  void async(ev::async &w, int revents) { tell(w, revents); }
  void fork(ev::fork &w, int revents) { tell(w, revents); }
  void nothing() { trace("called without arguments"); }
  void operator()(ev::timer &w, int revents) { tell(w, revents); }
  void once(int revents) { trace("once: %s", bits(revents)); }
};

void function(ev::timer &w, int revents) { trace("function: %s, data %s", bits(revents), w.data ? "some" : "none"); }

void plain(int revents, void *arg) { trace("plain: %s, argument %s", bits(revents), arg ? "some" : "none"); }

}  // namespace

CASE(cpp_loops_and_references_to_them) {
  ev::dynamic_loop loop(ev::EPOLL);
  ev::loop_ref same(loop);
  trace("backend %x, same %d %d, default %d", loop.backend(), same == loop, same != loop, loop.is_default());
  ev::default_loop standard(ev::POLL);
  trace("default: backend %x, %d, same %d", standard.backend(), standard.is_default(),
        standard == ev::get_default_loop());
  trace("version %d.%d", ev::version_major(), ev::version_minor());
  loop.run(ev::NOWAIT);
  trace("iteration %u depth %u", loop.iteration(), loop.depth());
  loop.set_io_collect_interval(0.);
  loop.set_timeout_collect_interval(0.);
  trace("now %d", loop.now() > 1e9);
}

CASE(cpp_loop_that_cannot_be_made_throws) {
  try {
    ev::dynamic_loop loop(ev::KQUEUE);
    trace("made");
  } catch (const ev::bad_loop &error) {
    trace("%s", error.what());
  }
  try {
    ev::default_loop loop(ev::PORT);
    trace("made");
  } catch (const std::exception &error) {
    trace("%s", error.what());
  }
}

CASE(cpp_io_set_while_active_starts_anew) {
  ev::dynamic_loop loop;
  int ends[2];
  make_pair(ends);
  Counter counter;
  ev::io io(loop);
  io.set<Counter, &Counter::io>(&counter);
  io.start(ends[0], ev::READ);
  loop.run(ev::NOWAIT);
  put(ends[1], 1);
  loop.run(ev::NOWAIT);
  io.set(ev::WRITE);
  trace("active %d %s", io.is_active(), bits(io.events));
  loop.run(ev::NOWAIT);
  io.set(ends[1], ev::READ | ev::WRITE);
  loop.run(ev::NOWAIT);
  io.stop();
  io.set(ends[0], ev::READ);
  trace("active %d", io.is_active());
}

CASE(cpp_timer_callbacks_of_every_shape) {
  ev::dynamic_loop loop;
  Counter counter;
  ev::timer method(loop), call(loop), none(loop), func(loop);
  method.set<Counter, &Counter::timer>(&counter);
  call.set(&counter);
  none.set<Counter, &Counter::nothing>(&counter);
  func.set<function>(&counter);
  method.start(0.);
  loop.run();
  call.start(0., 0.);
  loop.run();
  none.start(0.);
  loop.run();
  func.start(0.);
  loop.run();
  method.set(5., 7.);
  method.again();
  trace("remaining %g, active %d", method.remaining(), method.is_active());
  method.feed_event(ev::TIMER);
  trace("pending %d", method.is_pending() != 0);
  loop.run(ev::NOWAIT);
}

CASE(cpp_every_kind_of_watcher) {
  ev::default_loop loop;
  Counter counter;
  char path[] = "/tmp/diff-cpp-XXXXXX";
  int file = mkstemp(path);
  NEED(file >= 0);
  ev::periodic periodic;
  ev::sig signal;
  ev::child child;
  ev::stat stat;
  ev::idle idle;
  ev::prepare prepare;
  ev::check check;
  ev::async async;
  ev::fork fork_watcher;
  periodic.set<Counter, &Counter::periodic>(&counter);
  signal.set<Counter, &Counter::signal>(&counter);
  child.set<Counter, &Counter::child>(&counter);
  stat.set<Counter, &Counter::stat>(&counter);
  idle.set<Counter, &Counter::idle>(&counter);
  prepare.set<Counter, &Counter::prepare>(&counter);
  check.set<Counter, &Counter::check>(&counter);
  async.set<Counter, &Counter::async>(&counter);
  fork_watcher.set<Counter, &Counter::fork>(&counter);

  trace("periodic");
  periodic.start(loop.now() - 1.);
  loop.run(ev::NOWAIT);
  trace("signal");
  signal.start(SIGUSR1);
  raise(SIGUSR1);
  loop.run(ev::NOWAIT);
  signal.stop();
  trace("child");
  pid_t pid = fork();
  NEED(pid >= 0);
  if (!pid) _exit(7);
  siginfo_t info;
  child.start(pid);
  while (waitid(P_PID, static_cast<id_t>(pid), &info, WEXITED | WNOWAIT)) NEED(errno == EINTR);
  loop.run(ev::ONCE);
  trace("status %d", WEXITSTATUS(child.rstatus));
  child.stop();
  trace("stat");
  stat.start(path);
  put(file, 5);
  stat.update();
  trace("size %ld", static_cast<long>(stat.attr.st_size));
  put(file, 5);
  loop.run(ev::NOWAIT);
  trace("size %ld", static_cast<long>(stat.attr.st_size));
  unlink(path);
  stat.stop();
  trace("hooks");
  idle.start();
  prepare.start();
  check.start();
  async.start();
  fork_watcher.start();
  async.send();
  trace("sent %d", async.async_pending());
  loop.post_fork();
  loop.run(ev::NOWAIT);
  loop.feed_signal_event(SIGUSR1);
  loop.run(ev::NOWAIT);
}

CASE(cpp_watchers_stop_when_they_end) {
  ev::dynamic_loop loop;
  Counter counter;
  {
    ev::timer timer(loop);
    timer.set<Counter, &Counter::timer>(&counter);
    timer.start(0.);
    ev::idle idle(loop);
    idle.set<Counter, &Counter::idle>(&counter);
    idle.start();
    timer.feed_event(ev::TIMER);
    trace("pending %u", ev_pending_count(loop));
  }
  trace("pending and dropped, run %d", ev_run(loop, 0));
  auto owned = std::make_unique<ev::prepare>(loop);
  owned->set<Counter, &Counter::prepare>(&counter);
  owned->start();
  owned.reset();
  loop.run(ev::NOWAIT);
  trace("calls %d", counter.calls);
}

CASE(cpp_once_of_every_shape) {
  ev::dynamic_loop loop;
  Counter counter;
  int ends[2];
  make_pipe(ends);
  loop.once(-1, 0, 0., plain);
  loop.once(-1, 0, 0., plain, &counter);
  loop.run();
  loop.once<Counter, &Counter::once>(ends[1], ev::WRITE, -1., &counter);
  loop.run();
  loop.once<Counter, &Counter::once>(ends[0], ev::READ, 0.001, &counter);
  loop.run();
  loop.ref();
  loop.unref();
  trace("run %d", ev_run(loop, 0));
}

namespace {

struct Thrower {
  int left = 2;
  void timer(ev::timer &w, int revents) {
    trace("throws: %s, active %d, depth %u", bits(revents), w.is_active(), ev_depth(w.loop));
    if (left-- > 0) throw std::runtime_error("out of a callback");
    ev_break(w.loop, EVBREAK_ALL);
  }
};

struct Leaves {
  ~Leaves() { trace("unwound"); }
};

}  // namespace

CASE(cpp_exceptions_leave_a_run) {
  ev::dynamic_loop loop;
  Thrower thrower;
  ev::timer timer(loop);
  timer.set<Thrower, &Thrower::timer>(&thrower);
  timer.start(0., 0.001);
  for (int i = 0; i < 3; ++i) {
    try {
      Leaves leaves;
      loop.run();
      trace("came back");
    } catch (const std::runtime_error &error) {
      trace("caught: %s", error.what());
    }
  }
  trace("depth %u, pending %u", loop.depth(), ev_pending_count(loop));
}

CASE(cpp_exceptions_leave_a_nested_run) {
  ev::dynamic_loop loop;
  struct Inner {
    ev::loop_ref loop;
    void prepare(ev::prepare &w, int) {
      w.stop();
      try {
        loop.run();
      } catch (int code) {
        trace("caught inside: %d, depth %u", code, loop.depth());
      }
    }
    void timer(ev::timer &, int) { throw 5; }
  } inner{loop};
  ev::prepare prepare(loop);
  ev::timer timer(loop);
  prepare.set<Inner, &Inner::prepare>(&inner);
  timer.set<Inner, &Inner::timer>(&inner);
  prepare.start();
  timer.start(0.);
  loop.run();
  trace("out, depth %u, iteration %u", loop.depth(), loop.iteration());
}
