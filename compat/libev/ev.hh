// SPDX-License-Identifier: BSD-3-Clause
// Debian's ev.h. What it declares is what we export, in files that hide everything else; and it must describe the
// watchers of programs that were compiled long ago.
#pragma once

#pragma GCC visibility push(default)
#include <ev.h>

// Declared by ev.h only inside a function.
extern "C" struct ev_loop *ev_default_loop_ptr;
#pragma GCC visibility pop

static_assert(EV_VERSION_MAJOR == 4 && EV_MULTIPLICITY && EV_MINPRI == -2 && EV_MAXPRI == 2);
#ifdef __LP64__
static_assert(sizeof(ev_watcher) == 32 && sizeof(ev_watcher_list) == 40 && sizeof(ev_watcher_time) == 40);
static_assert(sizeof(ev_io) == 48 && sizeof(ev_timer) == 48 && sizeof(ev_periodic) == 64 && sizeof(ev_signal) == 48);
static_assert(sizeof(ev_child) == 56 && sizeof(ev_embed) == 360 && sizeof(ev_async) == 40);
static_assert(sizeof(ev_stat) == 112 + 2 * sizeof(struct stat));
#endif
