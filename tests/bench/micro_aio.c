/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Reads of 4 KiB at random places of a file: by helper threads, by io_uring, and by pread() on one thread.
 * usage: micro-aio [FOLDER [MEBIBYTES [SECONDS]]]
 * The file is in the page cache unless O_DIRECT is to be had; both are measured.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <libtorque/torque.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>
#include <unistd.h>

enum { BLOCK = 4096, DEEPEST = 256 };

static struct {
	struct torque_ctx *ctx;
	int fd;
	uint64_t blocks, seed, until;
	_Atomic uint64_t done;
	_Atomic uint32_t running;
	void *room[DEEPEST];
} bench = {.seed = 88172645463325252u};

static uint64_t clock_ns(clockid_t clock)
{
	struct timespec ts;
	clock_gettime(clock, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

static uint64_t some_block(void)
{
	bench.seed ^= bench.seed << 13;
	bench.seed ^= bench.seed >> 7;
	return (bench.seed ^= bench.seed << 17) % bench.blocks * BLOCK;
}

static void on_read(torque_source op, torque_err err, int64_t result, void *room)
{
	(void)op;
	if (err || result != BLOCK) exit(1);
	atomic_fetch_add_explicit(&bench.done, 1, memory_order_relaxed);
	if (clock_ns(CLOCK_MONOTONIC) < bench.until) {
		if (torque_aio_read(bench.ctx, bench.fd, room, BLOCK, some_block(), on_read, room, NULL)) exit(1);
	} else if (atomic_fetch_sub(&bench.running, 1) == 1) {
		torque_break(bench.ctx);
	}
}

static void report(const char *who, const char *how, uint32_t depth, uint64_t n, uint64_t wall, uint64_t cpu)
{
	printf("%-9s %-7s depth %3u: %8.0f reads/s, %6.2f us of CPU a read\n", how, who, depth,
	       (double)n * 1e9 / (double)wall, (double)cpu / 1000 / (double)n);
}

static void by_torque(uint32_t backend, const char *how, uint32_t depth, uint64_t ns)
{
	struct torque_config *config;
	if (torque_config_new(&config) || torque_config_set_driven(config, 1) || torque_config_set_aio(config, backend)) exit(1);
	if (torque_ctx_new(config, &bench.ctx)) {
		printf("%-9s %-7s not to be had\n", how, "uring");
		torque_config_free(config);
		return;
	}
	torque_config_free(config);
	const uint64_t wall = clock_ns(CLOCK_MONOTONIC), cpu = clock_ns(CLOCK_PROCESS_CPUTIME_ID);
	atomic_store(&bench.done, 0);
	atomic_store(&bench.running, depth);
	bench.until = wall + ns;
	for (uint32_t i = 0; i < depth; i++)
		if (torque_aio_read(bench.ctx, bench.fd, bench.room[i], BLOCK, some_block(), on_read, bench.room[i], NULL)) exit(1);
	if (torque_run(bench.ctx)) exit(1);
	report(backend == TORQUE_AIO_THREADS ? "threads" : "uring", how, depth, bench.done, clock_ns(CLOCK_MONOTONIC) - wall,
	       clock_ns(CLOCK_PROCESS_CPUTIME_ID) - cpu);
	if (torque_stop(bench.ctx)) exit(1);
}

static void by_pread(const char *how, uint64_t ns)
{
	const uint64_t wall = clock_ns(CLOCK_MONOTONIC), cpu = clock_ns(CLOCK_PROCESS_CPUTIME_ID);
	uint64_t n = 0;
	for (; clock_ns(CLOCK_MONOTONIC) < wall + ns; n++)
		if (pread(bench.fd, bench.room[0], BLOCK, (off_t)some_block()) != BLOCK) exit(1);
	report("pread", how, 1, n, clock_ns(CLOCK_MONOTONIC) - wall, clock_ns(CLOCK_PROCESS_CPUTIME_ID) - cpu);
}

int main(int argc, char **argv)
{
	static const uint32_t depths[] = {1, 16, 128};
	const uint64_t mebibytes = argc > 2 ? strtoull(argv[2], NULL, 0) : 256;
	const uint64_t ns = (uint64_t)((argc > 3 ? strtod(argv[3], NULL) : 1.0) * 1e9);
	char name[4096], block[BLOCK];
	snprintf(name, sizeof name, "%s/micro-aio-XXXXXX", argc > 1 ? argv[1] : ".");
	const int fd = mkstemp(name);
	if (fd < 0) return perror(name), 1;
	memset(block, 'x', sizeof block);
	bench.blocks = mebibytes * 256;
	for (uint64_t i = 0; i < bench.blocks; i++)
		if (write(fd, block, BLOCK) != BLOCK) return perror("write"), 1;
	fsync(fd);
	const int direct = open(name, O_RDONLY | O_DIRECT);
	unlink(name);
	for (int i = 0; i < DEEPEST; i++)
		if (posix_memalign(&bench.room[i], BLOCK, BLOCK)) return 1;
	for (int uncached = 0; uncached < 2; uncached++) {
		const char *how = uncached ? "O_DIRECT" : "cached";
		bench.fd = uncached ? direct : fd;
		if (bench.fd < 0) break;
		by_pread(how, ns);
		for (unsigned i = 0; i < sizeof depths / sizeof *depths; i++) {
			by_torque(TORQUE_AIO_THREADS, how, depths[i], ns);
			by_torque(TORQUE_AIO_URING, how, depths[i], ns);
		}
	}
	return 0;
}
