/* SPDX-License-Identifier: BSD-3-Clause */
/* Preloaded for counting runs: stands before the system calls an event loop makes, and counts them. */
#include "slices.h"

#include <dlfcn.h>
#include <stdatomic.h>
#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/timerfd.h>

__attribute__((visibility("default"))) call_counts_fn bench_call_counts;

static _Atomic uint64_t ctl, total;

struct call_counts bench_call_counts(void)
{
	return (struct call_counts){.ctl = ctl, .total = total};
}

/* Passes a call on to the next library that has it. */
#define COUNTED(result, name, parameters, ...)                                                        \
	result name parameters                                                                        \
	{                                                                                             \
		static result(*real) parameters;                                                      \
		if (!real)                                                                            \
			*(void **)&real = dlsym(RTLD_NEXT, #name);                                    \
		total++;                                                                              \
		return real(__VA_ARGS__);                                                             \
	}

static int (*real_epoll_ctl)(int, int, int, struct epoll_event *);

int epoll_ctl(int queue, int operation, int fd, struct epoll_event *event)
{
	if (!real_epoll_ctl)
		*(void **)&real_epoll_ctl = dlsym(RTLD_NEXT, "epoll_ctl");
	ctl++;
	total++;
	return real_epoll_ctl(queue, operation, fd, event);
}

COUNTED(int, epoll_wait, (int queue, struct epoll_event *events, int n, int ms), queue, events, n, ms)
COUNTED(int, epoll_pwait, (int queue, struct epoll_event *events, int n, int ms, const sigset_t *mask), queue, events,
	n, ms, mask)
COUNTED(int, epoll_pwait2,
	(int queue, struct epoll_event *events, int n, const struct timespec *time, const sigset_t *mask), queue,
	events, n, time, mask)
COUNTED(int, timerfd_settime, (int fd, int flags, const struct itimerspec *value, struct itimerspec *old), fd, flags,
	value, old)
COUNTED(ssize_t, read, (int fd, void *data, size_t size), fd, data, size)
COUNTED(ssize_t, write, (int fd, const void *data, size_t size), fd, data, size)
COUNTED(int, epoll_create1, (int flags), flags)
COUNTED(int, eventfd, (unsigned value, int flags), value, flags)
COUNTED(int, timerfd_create, (int clock, int flags), clock, flags)
COUNTED(int, close, (int fd), fd)
