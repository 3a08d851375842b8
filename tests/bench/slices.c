/* SPDX-License-Identifier: BSD-3-Clause */
/* Runs one of the cases of a program: says which library it got, then measures a slice for each line of its input. */
#include "slices.h"

#include <dlfcn.h>
#include <fcntl.h>
#include <inttypes.h>
#include <signal.h>
#include <sys/eventfd.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <time.h>

static struct {
	uint64_t start_ns;
	struct call_counts calls;
	call_counts_fn *counts; /* NULL: nobody counts */
	int written;
	uint64_t seed;
} bench = {.seed = 88172645463325252u};

uint64_t bench_called;

void bench_die(const char *what)
{
	perror(what);
	exit(1);
}

void *bench_alloc(size_t n, size_t size)
{
	void *memory = calloc(n, size);
	if (!memory)
		bench_die("calloc");
	return memory;
}

uint64_t bench_random(void)
{
	bench.seed ^= bench.seed << 13;
	bench.seed ^= bench.seed >> 7;
	return bench.seed ^= bench.seed << 17;
}

/* The reading end of a pipe: unlike a socket it is never writable either, whatever it is watched for. */
int bench_quiet_fd(void)
{
	int pair[2];
	if (pipe2(pair, O_NONBLOCK | O_CLOEXEC) < 0)
		bench_die("pipe2");
	return pair[0];
}

int bench_ready_fd(void)
{
	int fd = eventfd(1, EFD_NONBLOCK | EFD_CLOEXEC);
	if (fd < 0)
		bench_die("eventfd");
	return fd;
}

int (*bench_make_pipes(int count))[2]
{
	int(*pipes)[2] = bench_alloc((size_t)count, sizeof *pipes);
	for (int i = 0; i < count; i++)
		if (pipe2(pipes[i], O_NONBLOCK | O_CLOEXEC) < 0)
			bench_die("pipe2");
	return pipes;
}

void bench_write_byte(const int pipe[2])
{
	if (write(pipe[1], "x", 1) != 1)
		bench_die("write");
}

void bench_read_byte(int fd)
{
	char byte;
	if (read(fd, &byte, 1) != 1)
		bench_die("read");
}

void bench_expect_calls(uint64_t wanted)
{
	if (bench_called != wanted) {
		fprintf(stderr, "%" PRIu64 " callbacks, not %" PRIu64 "\n", bench_called, wanted);
		exit(1);
	}
	bench_called = 0;
}

uint64_t bench_memory(void)
{
	char line[256];
	unsigned long kib = 0;
	FILE *rollup = fopen("/proc/self/smaps_rollup", "re");
	if (!rollup)
		bench_die("smaps_rollup");
	while (fgets(line, sizeof line, rollup))
		if (sscanf(line, "Anonymous: %lu kB", &kib) == 1)
			break;
	fclose(rollup);
	return kib * 1024;
}

static uint64_t cpu_ns(void)
{
	struct timespec ts;
	clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &ts);
	return (uint64_t)ts.tv_sec * 1000000000u + (uint64_t)ts.tv_nsec;
}

void bench_start(void)
{
	if (bench.counts)
		bench.calls = bench.counts();
	bench.start_ns = cpu_ns();
}

static void write_value(const char *measure, double value)
{
	printf("%s\"%s\":%.3f", bench.written++ ? "," : "", measure, value);
}

void bench_value(const char *measure, double value)
{
	if (!bench.counts)
		write_value(measure, value);
}

void bench_end(const char *measure, uint64_t operations)
{
	double each = (double)(cpu_ns() - bench.start_ns) / (double)operations;
	if (!bench.counts) {
		write_value(measure, each);
		return;
	}
	struct call_counts now = bench.counts();
	printf("%s\"%s\":[%.3f,%.3f]", bench.written++ ? "," : "", measure,
	       (double)(now.ctl - bench.calls.ctl) / (double)operations,
	       (double)(now.total - bench.calls.total) / (double)operations);
}

static const struct slices_case *find_case(const char *name)
{
	for (const struct slices_case *const *cases = bench_cases; *cases; cases++)
		for (const struct slices_case *c = *cases; c->name; c++)
			if (strcmp(c->name, name) == 0)
				return c;
	return NULL;
}

static void print_library(void)
{
	Dl_info info;
	char path[4096];
	void *function = dlsym(RTLD_DEFAULT, bench_function);
	if (!function || !dladdr(function, &info) || !realpath(info.dli_fname, path))
		bench_die(bench_function);
	printf("{\"library\":\"%s\"}\n", path);
}

static void raise_descriptor_limit(void)
{
	struct rlimit limit;
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
}

int main(int argc, char **argv)
{
	char line[64];
	const struct slices_case *found = argc == 2 ? find_case(argv[1]) : NULL;
	if (!found) {
		fprintf(stderr, "usage: %s CASE; a line of input asks for a slice\n", argv[0]);
		return 2;
	}
	prctl(PR_SET_PDEATHSIG, SIGTERM);
	alarm(300);
	*(void **)&bench.counts = dlsym(RTLD_DEFAULT, "bench_call_counts");
	raise_descriptor_limit();
	found->set_up();
	print_library();
	fflush(stdout);
	while (fgets(line, sizeof line, stdin)) {
		bench.written = 0;
		putchar('{');
		found->slice();
		puts("}");
		fflush(stdout);
	}
	return 0;
}
