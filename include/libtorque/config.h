/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef LIBTORQUE_CONFIG_H
#define LIBTORQUE_CONFIG_H

#include <libtorque/error.h>
#include <stddef.h>
#include <stdint.h>

TORQUE_BEGIN_DECLS

/* What a context shall be. Make one, set what differs from the defaults, pass it to torque_ctx_new(), free it: the
 * context keeps copies. Opaque, so that it can grow.
 * Thread: one at a time. Setters return TORQUE_ERR_INVAL for values out of range and then change nothing. */
struct torque_config;

TORQUE_API torque_err torque_config_new(struct torque_config **ret_config) TORQUE_CHECKED;
TORQUE_API void torque_config_free(struct torque_config *config);

/* A driven context has no thread of its own: the caller runs it (torque_run() and its kin), one thread at a time.
 * Default: 0, a threaded context. */
TORQUE_API torque_err torque_config_set_driven(struct torque_config *config, int32_t driven);

/* 1: the descriptor of torque_poll_fd() becomes readable when a timer falls due, too, and stays so after a run that left
 * something to do; for loops that wait for descriptors and know no deadline. It costs a timerfd, and a system call where
 * an earlier timer is set. Driven contexts without watches. Default: 0. */
TORQUE_API torque_err torque_config_set_poll_deadline(struct torque_config *config, int32_t on);

/* Number of workers. 0, the default: one per usable CPU, and no more than the cgroup's CPU quota pays for.
 * More workers than CPUs are allowed; they share the CPUs. At most 4096. */
TORQUE_API torque_err torque_config_set_workers(struct torque_config *config, uint32_t workers);

/* The CPUs to use, by the system's numbers; those that affinity or cpuset forbid are left out.
 * Default: all that the calling thread may run on. count 0 goes back to that. */
TORQUE_API torque_err torque_config_set_cpus(struct torque_config *config, const uint32_t *cpus, uint32_t count);

/* Which CPUs share one event queue (paper, section 3.4). */
enum {
  TORQUE_SHARE_DEFAULT = 0, /* the lowest cache, or else memory, that two or more usable CPUs share */
  TORQUE_SHARE_THREAD = 1,  /* nothing shared: a queue for each worker */
  TORQUE_SHARE_CORE = 2,
  TORQUE_SHARE_L2 = 3,
  TORQUE_SHARE_L3 = 4,
  TORQUE_SHARE_NODE = 5,
  TORQUE_SHARE_MACHINE = 6 /* one queue for all */
};
TORQUE_API torque_err torque_config_set_sharing(struct torque_config *config, uint32_t sharing);

/* Largest number of CPUs that share a queue; larger domains are split evenly (not with TORQUE_SHARE_MACHINE, which asks
 * for one). Default 16, at most 1024. */
TORQUE_API torque_err torque_config_set_domain_max(struct torque_config *config, uint32_t cpus);

/* Hard affinity of workers to their CPUs. Default 1. */
TORQUE_API torque_err torque_config_set_pinning(struct torque_config *config, int32_t pin);

/* First part of the workers' thread names, at most 10 bytes ("torque" makes torque/0, torque/1, ...). */
TORQUE_API torque_err torque_config_set_name(struct torque_config *config, const char *name);

/* Stack size of workers in bytes, at least 64 KiB. Default: the soft RLIMIT_STACK, or 8 MiB where that is unlimited.
 * Committed by the system only as it is used; a guard page lies below. */
TORQUE_API torque_err torque_config_set_stack_size(struct torque_config *config, size_t bytes);

/* Signals that end torque_block(). Default: SIGTERM and SIGINT. count 0: none. */
TORQUE_API torque_err torque_config_set_term_signals(struct torque_config *config, const int32_t *signos, uint32_t count);

/* 1, the default: making the context sets SIGPIPE to ignored if it had its default action. 0: it is left alone. */
TORQUE_API torque_err torque_config_set_sigpipe(struct torque_config *config, int32_t ignore);

/* Bounds of the retrieval window: how many events a worker takes from the system at once (paper, section 3.2).
 * 0 for either: derived from page size, cache share and idle siblings. At most 4096. */
TORQUE_API torque_err torque_config_set_window(struct torque_config *config, uint32_t min, uint32_t max);

/* 1: ownership of every source through the kernel's one-shot (EPOLLONESHOT and re-arm) instead of the hand-off in
 * user space, so that the two can be measured against each other. Default 0. */
TORQUE_API torque_err torque_config_set_oneshot(struct torque_config *config, int32_t oneshot);

/* Helper threads for what blocks (torque_offload()), at most; they are made when they are needed. 0, the default: four for
 * each usable CPU, not below 8 and not above 64. At most 4096. */
TORQUE_API torque_err torque_config_set_offload_threads(struct torque_config *config, uint32_t threads);

/* How long a helper without work stays, in ns. Default 10 s. */
TORQUE_API torque_err torque_config_set_offload_idle(struct torque_config *config, uint64_t ns);

/* How many posted functions may wait in one domain, and in one strand; further posts answer FULL and are not run. 0, the
 * default: any number. A function waits until it starts; none that was taken is lost. torque_source_run() is not bounded. */
TORQUE_API torque_err torque_config_set_post_limit(struct torque_config *config, uint64_t limit);

/* 1: measure callback time and loop lag (two clock readings a callback; see torque_stats(3)). Default 0. */
TORQUE_API torque_err torque_config_set_timing(struct torque_config *config, int32_t timing);

/* Memory for this context. take() returns size bytes aligned to align (a power of two), or null; give() gets the same
 * size back. Both may be called on any thread. Both null: malloc. They must work until the context is gone. */
typedef void *torque_alloc_take_fn(size_t size, size_t align, void *arg);
typedef void torque_alloc_give_fn(void *ptr, size_t size, void *arg);
TORQUE_API torque_err torque_config_set_allocator(struct torque_config *config, torque_alloc_take_fn *take,
                                                  torque_alloc_give_fn *give, void *arg);

/* What the library has to say (a worker that could not be pinned, a full descriptor table). Called on any thread;
 * text is valid during the call. Default: silent. */
enum { TORQUE_LOG_ERROR = 0, TORQUE_LOG_WARNING = 1, TORQUE_LOG_INFO = 2 };
typedef void torque_log_fn(int32_t level, const char *text, void *arg);
TORQUE_API torque_err torque_config_set_log(struct torque_config *config, torque_log_fn *fn, void *arg);

/* Where the map of the machine comes from. Workers of a map that is not this machine's share the CPUs that there are,
 * unpinned. */
enum {
  TORQUE_TOPOLOGY_LIVE = 0,
  TORQUE_TOPOLOGY_SYNTHETIC = 1, /* text: hwloc's notation, "pack:2 l3:4 core:4 pu:2" */
  TORQUE_TOPOLOGY_XML = 2        /* text: name of a file that hwloc wrote */
};
TORQUE_API torque_err torque_config_set_topology(struct torque_config *config, uint32_t source, const char *text);

TORQUE_END_DECLS

#endif
