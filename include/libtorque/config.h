/* SPDX-License-Identifier: BSD-3-Clause */
#ifndef LIBTORQUE_CONFIG_H
#define LIBTORQUE_CONFIG_H

#include <libtorque/error.h>
#include <stddef.h>
#include <stdint.h>

TORQUE_BEGIN_DECLS

/* The settings of a context. Create a configuration, change the settings that you need, pass it to torque_ctx_new(),
 * and free it. The context copies the settings. The object is opaque, so later versions can add settings.
 * torque_config_free() ignores null.
 * Thread: only one at a time may use a configuration.
 * Errors: INVAL (a value is out of range); RESOURCE. A setter that fails changes nothing. */
struct torque_config;

TORQUE_API torque_err torque_config_new(struct torque_config **ret_config) TORQUE_CHECKED;
TORQUE_API void torque_config_free(struct torque_config *config);

/* 1: the context has no thread of its own, and the caller runs it (torque_run() and the calls after it), on one thread
 * at a time. Default: 0, a threaded context. */
TORQUE_API torque_err torque_config_set_driven(struct torque_config *config, int32_t driven);

/* 1: the descriptor of torque_poll_fd() also becomes readable when a timer expires, and stays readable after a run that
 * left work to do. For event loops that can wait for descriptors but not for a deadline. It costs a timerfd, and a
 * system call each time a timer becomes the earliest one. For driven contexts without watches; a threaded context
 * ignores it. Default: 0. */
TORQUE_API torque_err torque_config_set_poll_deadline(struct torque_config *config, int32_t on);

/* The number of workers, at most 4096. 0, the default: one for each usable CPU, but no more than the CPU quota of the
 * cgroup allows. More workers than CPUs are allowed; they share the CPUs. */
TORQUE_API torque_err torque_config_set_workers(struct torque_config *config, uint32_t workers);

/* The CPUs to use, by the system's numbers. CPUs that the affinity mask or the cpuset forbids are left out. count 0
 * restores the default: all CPUs that the thread that creates the context may run on. */
TORQUE_API torque_err torque_config_set_cpus(struct torque_config *config, const uint32_t *cpus, uint32_t count);

/* Selects the CPUs that share one event queue. */
enum {
  TORQUE_SHARE_DEFAULT = 0, /* the lowest cache that two or more usable CPUs share, or else the memory that they
                             * share */
  TORQUE_SHARE_THREAD = 1,  /* nothing is shared: one queue for each worker */
  TORQUE_SHARE_CORE = 2,
  TORQUE_SHARE_L2 = 3,
  TORQUE_SHARE_L3 = 4,
  TORQUE_SHARE_NODE = 5,
  TORQUE_SHARE_MACHINE = 6 /* one queue for all CPUs */
};
TORQUE_API torque_err torque_config_set_sharing(struct torque_config *config, uint32_t sharing);

/* The largest number of CPUs that share a queue; larger domains are split evenly. TORQUE_SHARE_MACHINE ignores this
 * limit. Default: 16; at most 1024. */
TORQUE_API torque_err torque_config_set_domain_max(struct torque_config *config, uint32_t cpus);

/* 1, the default: each worker is bound to its CPU. 0: workers are not bound. */
TORQUE_API torque_err torque_config_set_pinning(struct torque_config *config, int32_t pin);

/* The first part of the names of the worker threads, at most 10 bytes: "torque" gives torque/0, torque/1, ... */
TORQUE_API torque_err torque_config_set_name(struct torque_config *config, const char *name);

/* The stack size of a worker in bytes, at least 64 KiB. Default: the soft limit RLIMIT_STACK, or 8 MiB if there is no
 * limit. The system commits stack memory only when it is used; a guard page lies below the stack. */
TORQUE_API torque_err torque_config_set_stack_size(struct torque_config *config, size_t bytes);

/* The signals that end torque_block(). Default: SIGTERM and SIGINT. count 0: no signals. */
TORQUE_API torque_err torque_config_set_term_signals(struct torque_config *config, const int32_t *signos,
                                                     uint32_t count);

/* 1, the default: creating the context sets SIGPIPE to ignored if it has its default action. 0: SIGPIPE is not changed.
 */
TORQUE_API torque_err torque_config_set_sigpipe(struct torque_config *config, int32_t ignore);

/* The bounds of the retrieval window, which is the number of events that a worker retrieves from the system at once; at
 * most 4096. 0 for either, the default: the library derives the bound from the page size, the worker's share of the
 * cache and the number of idle workers in the domain. */
TORQUE_API torque_err torque_config_set_window(struct torque_config *config, uint32_t min, uint32_t max);

/* 1: the library registers every descriptor as one-shot in the kernel (EPOLLONESHOT), and rearms it with a system call
 * after each callback. 0, the default: the library hands ownership over in user space, without a system call. The
 * setting exists so that the two methods can be measured against each other. */
TORQUE_API torque_err torque_config_set_oneshot(struct torque_config *config, int32_t oneshot);

/* The largest number of helper threads for blocking work (torque_offload()), at most 4096. Helpers are created when
 * they are needed. 0, the default: four for each usable CPU, but at least 8 and at most 64. */
TORQUE_API torque_err torque_config_set_offload_threads(struct torque_config *config, uint32_t threads);

/* The time in ns after which a helper thread without work exits. Default: 10 s. */
TORQUE_API torque_err torque_config_set_offload_idle(struct torque_config *config, uint64_t ns);

/* The largest number of posted functions that may wait in one domain, and in one strand. A post beyond the limit
 * returns FULL and the function does not run. 0, the default: no limit. A function counts until it starts. No function
 * that was accepted is lost. The limit does not apply to torque_source_run(). */
TORQUE_API torque_err torque_config_set_post_limit(struct torque_config *config, uint64_t limit);

/* 1: the library measures the duration of callbacks and the lag of the loop (torque_stats(3)). This costs two clock
 * readings for each callback. Default: 0. */
TORQUE_API torque_err torque_config_set_timing(struct torque_config *config, int32_t timing);

/* The allocator for the memory of the context. take() returns size bytes aligned to align (a power of two), or null.
 * give() frees such memory; it gets the same size. Both may be called on any thread, and on several at once. They must
 * work until the context is freed, and must not call the library. If both are null, the default, the library uses
 * malloc(3). */
typedef void *torque_alloc_take_fn(size_t size, size_t align, void *arg);
typedef void torque_alloc_give_fn(void *ptr, size_t size, void *arg);
TORQUE_API torque_err torque_config_set_allocator(struct torque_config *config, torque_alloc_take_fn *take,
                                                  torque_alloc_give_fn *give, void *arg);

/* A function that receives the messages of the library (a worker could not be bound to its CPU, the table of
 * descriptors is full). level is one of TORQUE_LOG_*. text is valid only during the call. Default: the library writes
 * no messages.
 * Thread: any, several at once. */
enum { TORQUE_LOG_ERROR = 0, TORQUE_LOG_WARNING = 1, TORQUE_LOG_INFO = 2 };
typedef void torque_log_fn(int32_t level, const char *text, void *arg);
TORQUE_API torque_err torque_config_set_log(struct torque_config *config, torque_log_fn *fn, void *arg);

/* The source of the machine's topology. If the topology is not this machine's, the workers share the existing CPUs and
 * are not bound. TORQUE_TOPOLOGY_LIVE, the default, reads it from this machine. */
enum {
  TORQUE_TOPOLOGY_LIVE = 0,
  TORQUE_TOPOLOGY_SYNTHETIC = 1, /* text is a description in hwloc's notation, "pack:2 l3:4 core:4 pu:2" */
  TORQUE_TOPOLOGY_XML = 2        /* text is the name of a file that hwloc wrote */
};
TORQUE_API torque_err torque_config_set_topology(struct torque_config *config, uint32_t source, const char *text);

TORQUE_END_DECLS

#endif
