// SPDX-License-Identifier: BSD-3-Clause
// The lists that run through struct event. Their links are part of the layout that programs are compiled with.
#pragma once

#include "genuine.hh"

namespace torque_event {

// Of callbacks that are to be called, in order.
struct Queue {
  event_callback *first;
  event_callback **last;

  void init() {
    first = nullptr;
    last = &first;
  }
  void push(event_callback *c) {
    c->evcb_active_next.tqe_next = nullptr;
    c->evcb_active_next.tqe_prev = last;
    *last = c;
    last = &c->evcb_active_next.tqe_next;
  }
  void remove(event_callback *c) {
    auto &link = c->evcb_active_next;
    if (link.tqe_next) link.tqe_next->evcb_active_next.tqe_prev = link.tqe_prev;
    else last = link.tqe_prev;
    *link.tqe_prev = link.tqe_next;
  }
  static event_callback *next(const event_callback *c) { return c->evcb_active_next.tqe_next; }
};

// Of events with the same timeout, earliest first.
struct TimeoutList {
  event *first;
  event **last;

  void init() {
    first = nullptr;
    last = &first;
  }
  static event *next(const event *e) { return e->ev_timeout_pos.ev_next_with_common_timeout.tqe_next; }
  event *newest() const { return first ? event_of_link(last) : nullptr; }
  // Null: there is none.
  event *before(const event *e) const {
    event **link = e->ev_timeout_pos.ev_next_with_common_timeout.tqe_prev;
    return link == &first ? nullptr : event_of_link(link);
  }
  // Behind `after`, or first.
  void insert(event *after, event *e) {
    auto &link = e->ev_timeout_pos.ev_next_with_common_timeout;
    event **at = after ? &after->ev_timeout_pos.ev_next_with_common_timeout.tqe_next : &first;
    link.tqe_next = *at;
    link.tqe_prev = at;
    *at = e;
    if (link.tqe_next) link.tqe_next->ev_timeout_pos.ev_next_with_common_timeout.tqe_prev = &link.tqe_next;
    else last = &link.tqe_next;
  }
  void remove(event *e) {
    auto &link = e->ev_timeout_pos.ev_next_with_common_timeout;
    if (link.tqe_next) link.tqe_next->ev_timeout_pos.ev_next_with_common_timeout.tqe_prev = link.tqe_prev;
    else last = link.tqe_prev;
    *link.tqe_prev = link.tqe_next;
  }

 private:
  // The event in which a tqe_next lies.
  static event *event_of_link(event **link) {
    return reinterpret_cast<event *>(reinterpret_cast<char *>(link) -
                                     offsetof(event, ev_timeout_pos.ev_next_with_common_timeout.tqe_next));
  }
};

// Of events for one descriptor or signal, the newest first. Their back links point to each other and, the first one's,
// to the head: rehang() after the head has moved.
struct EventList {
  event *first;

  void push(event *e) {
    auto &link = e->ev_.ev_io.ev_io_next;
    link.le_next = first;
    if (first) first->ev_.ev_io.ev_io_next.le_prev = &link.le_next;
    first = e;
    link.le_prev = &first;
  }
  static void remove(event *e) {
    auto &link = e->ev_.ev_io.ev_io_next;
    if (link.le_next) link.le_next->ev_.ev_io.ev_io_next.le_prev = link.le_prev;
    *link.le_prev = link.le_next;
  }
  static event *next(const event *e) { return e->ev_.ev_io.ev_io_next.le_next; }
  void rehang() {
    if (first) first->ev_.ev_io.ev_io_next.le_prev = &first;
  }
};
static_assert(offsetof(event, ev_.ev_io.ev_io_next) == offsetof(event, ev_.ev_signal.ev_signal_next));

}  // namespace torque_event
