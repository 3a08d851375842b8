/* SPDX-License-Identifier: BSD-3-Clause */
/* A program with an event loop, for torque-run: on libevent (WITH_LIBEVENT), on libev (WITH_LIBEV), on both, on a plug-in
 * that it loads (WITH_PLUGIN, its file), or on none. As a plug-in itself: AS_PLUGIN.
 *
 * usage: loop COMMAND [N] [STATUS]      N passes, unless COMMAND, in main(), says otherwise */
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>
#if WITH_LIBEVENT
#include <event2/event.h>
#endif
#if WITH_LIBEV
/* loop_ev.c: the two libraries' headers do not go together. */
void *ev_loop_open(void);
void ev_loop_pass(void *l);
void ev_loop_reborn(void *l);
void ev_loop_close(void *l);
#endif
#ifdef WITH_PLUGIN
#include <dlfcn.h>
#endif

struct loop {
  void *event, *ev;
};

#ifdef WITH_PLUGIN
static void *(*plugin_open)(void);
static void (*plugin_pass)(void *);
static void (*plugin_close)(void *);
#endif

#if WITH_LIBEVENT
static void on_event(int fd, short what, void *arg) { (void)fd, (void)what, (void)arg; }
#endif

static struct loop loop_open(void) {
  struct loop l = {NULL, NULL};
#if WITH_LIBEVENT
  l.event = event_base_new();
#endif
#if WITH_LIBEV
  l.ev = ev_loop_open();
#endif
#ifdef WITH_PLUGIN
  l.event = plugin_open();
#endif
  return l;
}

static void loop_pass(struct loop *l) {
  (void)l;
#if WITH_LIBEVENT
  const struct timeval soon = {0, 1000};
  event_base_once(l->event, -1, EV_TIMEOUT, on_event, NULL, &soon);
  event_base_loop(l->event, EVLOOP_ONCE);
#endif
#if WITH_LIBEV
  ev_loop_pass(l->ev);
#endif
#ifdef WITH_PLUGIN
  plugin_pass(l->event);
#endif
#if !WITH_LIBEVENT && !WITH_LIBEV && !defined(WITH_PLUGIN)
  usleep(1000);
#endif
}

static void loop_close(struct loop *l) {
  (void)l;
#if WITH_LIBEVENT
  event_base_free(l->event);
#endif
#if WITH_LIBEV
  ev_loop_close(l->ev);
#endif
#ifdef WITH_PLUGIN
  plugin_close(l->event);
#endif
}

#ifdef AS_PLUGIN

void *open_loop(void);
void pass_loop(void *l);
void close_loop(void *l);
void *open_loop(void) { return loop_open().event; }
void pass_loop(void *l) { loop_pass(&(struct loop){l, NULL}); }
void close_loop(void *l) { loop_close(&(struct loop){l, NULL}); }

#else

static volatile sig_atomic_t over;

static void on_signal(int signum) {
  char line[] = "signal 00\n";
  line[7] = (char)('0' + signum / 10);
  line[8] = (char)('0' + signum % 10);
  if (write(1, line, sizeof line - 1) < 0) _exit(9);
  if (signum == SIGTERM) over = 1;
}

static void catch_signals(void) {
  const int all[] = {SIGTERM, SIGINT, SIGHUP, SIGQUIT, SIGUSR1, SIGUSR2, SIGWINCH};
  struct sigaction action;
  memset(&action, 0, sizeof action);
  action.sa_handler = on_signal;
  for (size_t i = 0; i < sizeof all / sizeof *all; i++) sigaction(all[i], &action, NULL);
}

static void run(int passes) {
  struct loop l = loop_open();
  for (int i = 0; i < passes; i++) loop_pass(&l);
  loop_close(&l);
}

/* All there at the same time. */
static void run_beside_each_other(int n) {
  struct loop *all = calloc((size_t)n, sizeof *all);
  for (int i = 0; i < n; i++) all[i] = loop_open();
  for (int i = 0; i < n; i++) loop_pass(&all[i]);
  for (int i = 0; i < n; i++) loop_close(&all[i]);
  free(all);
}

static void *run_often(void *n) {
  for (int i = 0; i < *(int *)n; i++) run(1);
  return NULL;
}

static void run_in_threads(int n) {
  pthread_t threads[8];
  for (size_t i = 0; i < 8; i++) pthread_create(&threads[i], NULL, run_often, &n);
  for (size_t i = 0; i < 8; i++) pthread_join(threads[i], NULL);
}

/* Until SIGTERM. */
static void serve(void) {
  catch_signals();
  struct loop l = loop_open();
  loop_pass(&l);
  puts("ready");
  fflush(stdout);
  while (!over) loop_pass(&l);
  loop_close(&l);
}

/* A child that makes its copy of the loop work again, runs it, and frees it; one that only frees it. */
static void run_in_children(int passes) {
  struct loop l = loop_open();
  for (int i = 0; i < passes; i++) loop_pass(&l);
  for (int reborn = 0; reborn < 2; reborn++) {
    if (fork()) continue;
#if WITH_LIBEVENT
    if (reborn) event_reinit(l.event);
#endif
#if WITH_LIBEV
    if (reborn) ev_loop_reborn(l.ev);
#endif
    for (int i = 0; reborn && i < 2 * passes; i++) loop_pass(&l);
    loop_close(&l);
    _exit(0);
  }
  while (wait(NULL) > 0) {
  }
  loop_pass(&l);
  loop_close(&l);
}

/* A child that has left everything behind that it was given, and runs loops until this ends. */
static void serve_sandboxed(void) {
  catch_signals();
  const pid_t child = fork();
  if (child == 0) {
    alarm(120);
    for (int fd = 3; fd < 1024; fd++) close(fd);
    if (setgid(65534) || setuid(65534)) _exit(1);
    struct loop l = loop_open();
    for (;;) loop_pass(&l);
  }
  puts("ready");
  fflush(stdout);
  while (!over) usleep(1000);
  kill(child, SIGKILL);
  waitpid(child, NULL, 0);
}

int main(int argc, char **argv) {
  const char *command = argc > 1 ? argv[1] : "passes";
  const int n = argc > 2 && *argv[2] != '/' ? atoi(argv[2]) : 10;
#ifdef WITH_PLUGIN
  void *plugin = dlopen(WITH_PLUGIN, RTLD_NOW);
  if (!plugin) return fprintf(stderr, "%s\n", dlerror()), 1;
  *(void **)&plugin_open = dlsym(plugin, "open_loop");
  *(void **)&plugin_pass = dlsym(plugin, "pass_loop");
  *(void **)&plugin_close = dlsym(plugin, "close_loop");
#endif
  if (!strcmp(command, "serve")) serve();
  else if (!strcmp(command, "sandboxed")) serve_sandboxed();
  else if (!strcmp(command, "children")) run_in_children(n);
  else if (!strcmp(command, "many")) for (int i = 0; i < n; i++) run(1);
  else if (!strcmp(command, "beside")) run_beside_each_other(n);
  else if (!strcmp(command, "threads")) run_in_threads(n);
  else if (!strcmp(command, "kill")) kill(getpid(), n);
  else if (!strcmp(command, "arguments")) for (int i = 2; i < argc; i++) printf("[%s]", argv[i]);
  else {
    if (strstr(command, "closed")) for (int fd = 3; fd < 1024; fd++) close(fd);
    if (strstr(command, "dropped") && (setgid(65534) || setuid(65534))) return 1;
    run(n);
  }
  /* What a child of this program finds. */
  if (!strcmp(command, "environment")) return fflush(stdout), system("echo \"preload=$LD_PRELOAD stats=$TORQUE_STATS\"");
  return argc > 3 && strcmp(command, "arguments") ? atoi(argv[3]) : 0;
}

#endif
