/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Raw epoll servers, the yardstick. Modes:
 *   edge       T threads with an epoll each, edge-triggered, connections handed out in turn
 *   level      the same, level-triggered
 *   oneshot    T threads share one epoll; EPOLLONESHOT, re-armed after each call
 */
#include "peer.h"

#include <pthread.h>
#include <stdbool.h>
#include <sys/epoll.h>

static struct peer_options options;
static uint32_t interest;
static bool shared, drains;
static int listener;
static int *queues; /* one a thread; all the same when shared */
static unsigned turn; /* guarded by the listener's own readiness: only thread 0 or a one-shot event accepts */

static void add(int queue, int fd, struct peer_conn *c, uint32_t events)
{
	struct epoll_event ev = {.events = events, .data.ptr = c};
	if (epoll_ctl(queue, EPOLL_CTL_ADD, fd, &ev) < 0)
		peer_die("epoll_ctl");
}

static void rearm(int queue, int fd, struct peer_conn *c)
{
	struct epoll_event ev = {.events = interest, .data.ptr = c};
	if (epoll_ctl(queue, EPOLL_CTL_MOD, fd, &ev) < 0)
		peer_die("epoll_ctl");
}

static void accept_all(int queue)
{
	int fd;
	while ((fd = peer_accept(listener)) >= 0)
		add(queues[turn++ % options.threads], fd, peer_conn_new(fd), interest);
	if (shared)
		rearm(queue, listener, NULL);
}

static void serve(int queue, struct peer_conn *c, unsigned char *buffer)
{
	enum peer_result result =
		drains ? peer_serve_all(c, options.size, buffer) : peer_serve(c, options.size, buffer);
	if (result == PEER_CLOSED) {
		close(c->fd);
		peer_conn_free(c);
	} else if (shared) {
		rearm(queue, c->fd, c);
	}
}

static void *loop(void *argument)
{
	int queue = *(int *)argument;
	static _Thread_local unsigned char buffer[PEER_READ_BYTES];
	struct epoll_event events[PEER_EVENTS];
	for (;;) {
		int n = epoll_wait(queue, events, PEER_EVENTS, -1);
		for (int i = 0; i < n; i++) {
			if (events[i].data.ptr)
				serve(queue, events[i].data.ptr, buffer);
			else
				accept_all(queue);
		}
	}
	return NULL;
}

static void choose(const char *mode)
{
	interest = EPOLLIN;
	if (strcmp(mode, "edge") == 0) {
		interest |= EPOLLET;
		drains = true;
	} else if (strcmp(mode, "oneshot") == 0) {
		interest |= EPOLLET | EPOLLONESHOT;
		shared = true;
	}
}

int main(int argc, char **argv)
{
	options = peer_parse(argc, argv, "edge level oneshot");
	choose(options.mode);
	queues = calloc(options.threads, sizeof *queues);
	if (!queues)
		peer_die("calloc");
	for (unsigned i = 0; i < options.threads; i++)
		queues[i] = shared && i ? queues[0] : epoll_create1(EPOLL_CLOEXEC);
	listener = peer_listen(&options);
	add(queues[0], listener, NULL, shared ? interest : EPOLLIN);
	for (unsigned i = 1; i < options.threads; i++) {
		pthread_t thread;
		if (pthread_create(&thread, NULL, loop, &queues[i]) != 0)
			peer_die("pthread_create");
	}
	loop(&queues[0]);
}
