/* SPDX-License-Identifier: BSD-3-Clause */
#include "cases.h"

#include <dirent.h>
#include <dlfcn.h>
#include <stdarg.h>
#include <sys/prctl.h>
#include <sys/wait.h>

extern const struct diff_case *const __start_diff_cases[];
extern const struct diff_case *const __stop_diff_cases[];

/* Both are quiet about children of processes with threads: the library's business is compared, not ours. */
const char *__tsan_default_options(void);
const char *__tsan_default_options(void) { return "die_after_fork=0"; }

void trace(const char *format, ...) {
  char line[1024];
  va_list args;
  va_start(args, format);
  int length = vsnprintf(line, sizeof line - 1, format, args);
  va_end(args);
  size_t size = length < 0 ? 0 : (size_t)length < sizeof line - 1 ? (size_t)length : sizeof line - 2;
  line[size++] = '\n';
  int saved = errno;
  for (size_t done = 0; done < size;) {
    ssize_t part = write(STDOUT_FILENO, line + done, size - done);
    if (part < 0 && errno != EINTR) _exit(99);
    if (part > 0) done += (size_t)part;
  }
  errno = saved;
}

void diff_broken(const char *what, const char *file, int line) {
  trace("the case itself is broken: %s:%d: %s: %s", file, line, what, strerror(errno));
  _exit(98);
}

char *diff_scratch(void) {
  static char ring[8][SCRATCH];
  static unsigned next;
  char *one = ring[next++ % 8];
  one[0] = 0;
  return one;
}

const char *diff_bits(int value, const struct diff_bit *names) {
  size_t used = 0;
  char *text = diff_scratch();
  for (; names->name; names++) {
    if (!(value & names->bit)) continue;
    value &= ~names->bit;
    used += (size_t)snprintf(text + used, SCRATCH - used, "%s%s", used ? "|" : "", names->name);
  }
  if (value || !used) snprintf(text + used, SCRATCH - used, "%s%#x", used ? "|" : "", (unsigned)value);
  return text;
}

void make_pipe(int ends[2]) { NEED(!pipe2(ends, O_NONBLOCK | O_CLOEXEC)); }

void make_pair(int ends[2]) { NEED(!socketpair(AF_UNIX, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0, ends)); }

void put(int fd, size_t count) {
  static const char bytes[4096];
  while (count) {
    ssize_t part = write(fd, bytes, count < sizeof bytes ? count : sizeof bytes);
    if (part < 0 && errno == EINTR) continue;
    NEED(part > 0);
    count -= (size_t)part;
  }
}

int drain(int fd) {
  char bytes[4096];
  int sum = 0;
  for (;;) {
    ssize_t part = read(fd, bytes, sizeof bytes);
    if (part < 0 && errno == EINTR) continue;
    if (part <= 0) return sum;
    sum += (int)part;
  }
}

void fill(int fd) {
  static const char bytes[4096];
  for (;;) {
    ssize_t part = write(fd, bytes, sizeof bytes);
    if (part < 0 && errno == EAGAIN) break;
    NEED(part > 0 || errno == EINTR);
  }
  while (write(fd, bytes, 1) > 0) {
  }
}

void close_both(const int ends[2]) {
  close(ends[0]);
  close(ends[1]);
}

int is_open(int fd) { return fcntl(fd, F_GETFD) >= 0; }

int open_descriptors(void) {
  DIR *folder = opendir("/proc/self/fd");
  NEED(folder);
  int count = -1; /* the folder's own */
  for (struct dirent *entry; (entry = readdir(folder));) count += entry->d_name[0] != '.';
  closedir(folder);
  return count;
}

void wait_traced(const char *what, pid_t child) {
  int status;
  while (waitpid(child, &status, 0) < 0) NEED(errno == EINTR);
  if (WIFEXITED(status)) trace("%s: exit %d", what, WEXITSTATUS(status));
  else trace("%s: signal %s", what, strsignal(WTERMSIG(status)));
}

void in_child(const char *what, void (*body)(void *), void *arg) {
  pid_t child = fork();
  NEED(child >= 0);
  if (!child) {
    prctl(PR_SET_PDEATHSIG, SIGKILL);
    int nowhere = open("/dev/null", O_WRONLY | O_CLOEXEC);
    if (!getenv("DIFF_VERBOSE")) dup2(nowhere, STDERR_FILENO);
    close(nowhere);
    body(arg);
    _exit(0);
  }
  wait_traced(what, child);
}

static int by_line(const void *a, const void *b) {
  return (*(const struct diff_case *const *)a)->line - (*(const struct diff_case *const *)b)->line;
}

static int list(void) {
  size_t count = (size_t)(__stop_diff_cases - __start_diff_cases);
  const struct diff_case **all = calloc(count, sizeof *all);
  NEED(all);
  memcpy(all, __start_diff_cases, count * sizeof *all);
  qsort(all, count, sizeof *all, by_line);
  for (size_t i = 0; i < count; i++) puts(all[i]->name);
  free(all);
  return 0;
}

/* Which library it is that answers, for whoever runs this. */
static void say_library(void) {
  Dl_info info;
  void *where = dlsym(RTLD_DEFAULT, diff_symbol);
  fprintf(stderr, "library: %s\n", where && dladdr(where, &info) ? info.dli_fname : "none");
}

int main(int argc, char **argv) {
  if (argc != 2) {
    fprintf(stderr, "usage: %s --list | CASE\n", argv[0]);
    return 2;
  }
  if (!strcmp(argv[1], "--list")) return list();
  for (const struct diff_case *const *one = __start_diff_cases; one != __stop_diff_cases; one++) {
    if (strcmp((*one)->name, argv[1]) != 0) continue;
    say_library();
    (*one)->body();
    return 0;
  }
  fprintf(stderr, "%s: no such case: %s\n", argv[0], argv[1]);
  return 2;
}
