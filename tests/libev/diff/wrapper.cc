// SPDX-License-Identifier: BSD-3-Clause
// Watchers and loops through ev++.h.
#include <ev++.h>

#include "diff.h"

namespace {
int pipe_ends[2];

struct Listener {
  const char *name;
  ev::io io;
  ev::timer timer;
  int calls = 0;

  Listener(const char *named, ev::loop_ref loop) : name(named), io(loop), timer(loop) {
    io.set<Listener, &Listener::on_io>(this);
    timer.set<Listener, &Listener::on_timer>(this);
  }

  void on_io(ev::io &w, int revents) {
    trace("%s: io %s, same %d, %d bytes", name, bits(revents), &w == &io, drain(w.fd));
    if (++calls == 2) w.stop();
    else timer.start(0.001, 0.);
  }

  void on_timer(ev::timer &w, int revents) {
    trace("%s: timer %s, active %d", name, bits(revents), w.is_active());
    put(pipe_ends[1], 1);
  }
};

void plain(ev::async &w, int revents) { trace("async: %s, data %d", bits(revents), *static_cast<int *>(w.data)); }

struct Silent {
  int calls = 0;
  void operator()(ev::prepare &, int) { calls++; }
};
}  // namespace

CASE(members_as_callbacks) {
  ev::dynamic_loop loop(EVFLAG_NOENV);
  make_pipe(pipe_ends);
  {
    Listener listener("listener", loop);
    trace("active %d %d, priority %d", listener.io.is_active(), listener.timer.is_active(), listener.io.priority);
    listener.io.start(pipe_ends[0], ev::READ);
    listener.timer.start(0.001, 0.);
    trace("active %d %d", listener.io.is_active(), listener.timer.is_active());
    loop.run(0);
    trace("calls %d, active %d %d", listener.calls, listener.io.is_active(), listener.timer.is_active());
    listener.io.start();
    put(pipe_ends[1], 1);
  }
  loop.run(ev::NOWAIT);
  trace("watchers stop when they go: iteration counted %d", loop.iteration() > 0);
  close_both(pipe_ends);
}

CASE(functions_and_function_objects) {
  ev::dynamic_loop loop(EVFLAG_NOENV);
  int number = 42;
  ev::async async(loop);
  async.set<plain>(&number);
  async.start();
  async.send();
  trace("sent %d", async.async_pending());
  loop.run(ev::NOWAIT);
  Silent silent;
  ev::prepare prepare(loop);
  prepare.set(&silent);
  prepare.start();
  for (int i = 0; i < 3; i++) loop.run(ev::NOWAIT);
  trace("prepared %d times, iterations %u", silent.calls, loop.iteration());
  async.feed_event(EV_CUSTOM);
  trace("pending %u", ev_pending_count(loop));
  ev_invoke_pending(loop);
}

CASE(the_default_loop_of_the_wrapper) {
  ev::default_loop loop(EVFLAG_NOENV);
  trace("default %d, backend %u", loop.is_default(), loop.backend());
  trace("the same %d", loop == ev::get_default_loop());
  loop.ref();
  loop.run(ev::NOWAIT);
  loop.unref();
  trace("depth %u", loop.depth());
}

CASE(a_loop_that_cannot_be_made_is_an_exception) {
  try {
    ev::dynamic_loop loop(EVBACKEND_KQUEUE);
    trace("made");
  } catch (const ev::bad_loop &) {
    trace("bad loop");
  }
}

namespace {
struct Waiter {
  int revents = 0;
  void told(int events) { revents |= events; }
};
}  // namespace

CASE(once_with_a_member) {
  ev::dynamic_loop loop(EVFLAG_NOENV);
  Waiter waiter;
  loop.once<Waiter, &Waiter::told>(-1, 0, 0.001, &waiter);
  loop.run(0);
  trace("once: %s", bits(waiter.revents));
}
