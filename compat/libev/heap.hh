// SPDX-License-Identifier: BSD-3-Clause
// A 4-heap of watchers by due time, each of which knows its place through `active`. Programs have come to depend on the
// order in which libev calls watchers that are due at the very same time, and that order is what its heap makes of it:
// so this one moves its entries exactly as that one does.
#pragma once

#include "memory.hh"

namespace torque_ev {

class Heap {
 public:
  struct Entry {
    ev_tstamp at;  // a copy of the watcher's
    ev_watcher_time *w;
  };
  static constexpr int kFirst = 3;  // so that the children of one parent share a cache line

  int count() const { return count_; }
  ev_watcher_time *top() const { return entries_.at[kFirst].w; }
  ev_tstamp top_at() const { return entries_.at[kFirst].at; }
  Entry *begin() { return entries_.at + kFirst; }
  Entry *end() { return begin() + count_; }

  // Answers the place, which is also in w->active.
  int insert(ev_watcher_time *w) {
    const int k = count_++ + kFirst;
    entries_.need(k + 1);
    entries_.at[k] = {w->at, w};
    up(k);
    return w->active;
  }
  void remove(int k) {
    --count_;
    if (k == count_ + kFirst) return;
    entries_.at[k] = entries_.at[count_ + kFirst];
    adjust(k);
  }
  // w->at has changed.
  void update(int k) {
    entries_.at[k].at = entries_.at[k].w->at;
    adjust(k);
  }
  void top_is_later() {
    entries_.at[kFirst].at = top()->at;
    down(kFirst);
  }
  // All may have changed.
  void rebuild() {
    for (Entry &e : *this) e.at = e.w->at;
    for (int k = kFirst; k < count_ + kFirst; ++k) up(k);
  }
  // All have moved by the same amount.
  void refresh() {
    for (Entry &e : *this) e.at = e.w->at;
  }
  bool is_sound() {
    for (int k = kFirst; k < count_ + kFirst; ++k) {
      const Entry &e = entries_.at[k];
      if (e.w->active != k || e.at != e.w->at || (k > kFirst && entries_.at[parent(k)].at > e.at)) return false;
    }
    return true;
  }
  void clear() { count_ = 0; }
  void release() {
    entries_.release();
    count_ = 0;
  }

 private:
  static constexpr int kWays = 4;
  static int parent(int k) { return (k - kFirst - 1) / kWays + kFirst; }
  void place(int k, const Entry &e) {
    entries_.at[k] = e;
    e.w->active = k;
  }
  void up(int k) {
    const Entry e = entries_.at[k];
    while (k > kFirst && entries_.at[parent(k)].at > e.at) {
      place(k, entries_.at[parent(k)]);
      k = parent(k);
    }
    place(k, e);
  }
  void down(int k) {
    const Entry e = entries_.at[k];
    const int end = count_ + kFirst;
    for (;;) {
      const int first = kWays * (k - kFirst) + kFirst + 1;
      if (first >= end) break;
      int least = first;
      for (int c = first + 1; c < first + kWays && c < end; ++c) {
        if (entries_.at[c].at < entries_.at[least].at) least = c;
      }
      if (e.at <= entries_.at[least].at) break;
      place(k, entries_.at[least]);
      k = least;
    }
    place(k, e);
  }
  void adjust(int k) {
    if (k > kFirst && entries_.at[k].at <= entries_.at[parent(k)].at) up(k);
    else down(k);
  }

  Array<Entry> entries_;
  int count_;
};

}  // namespace torque_ev
