/* SPDX-License-Identifier: BSD-3-Clause */
/*
 * Echo of datagrams on raw epoll, edge-triggered. Modes:
 *   batches   recvmmsg and sendmmsg, 64 at a time
 *   single    recvfrom and sendto
 *   trains    as batches, with GRO and GSO: a train goes back as it came
 */
#include "peer.h"

#include <netinet/in.h>
#include <netinet/udp.h>
#include <poll.h>
#include <sys/epoll.h>
#include <sys/socket.h>

enum { BATCH = 64, TRAINS = 16, ROOM = 2048 };

static void wait_for_room(int fd)
{
	struct pollfd wait = {.fd = fd, .events = POLLOUT};
	poll(&wait, 1, 1000);
}

static void serve_single(int fd)
{
	static unsigned char buffer[PEER_READ_BYTES];
	struct sockaddr_in from;
	for (;;) {
		socklen_t length = sizeof from;
		ssize_t got = recvfrom(fd, buffer, sizeof buffer, 0, (struct sockaddr *)&from, &length);
		if (got < 0)
			return;
		while (sendto(fd, buffer, (size_t)got, 0, (struct sockaddr *)&from, length) < 0 && errno == EAGAIN)
			wait_for_room(fd);
	}
}

static void send_all(int fd, struct mmsghdr *m, int n)
{
	for (int at = 0; at < n;) {
		int sent = sendmmsg(fd, m + at, (unsigned)(n - at), 0);
		if (sent > 0)
			at += sent;
		else if (errno == EAGAIN)
			wait_for_room(fd);
		else
			at++;
	}
}

static void serve_batches(int fd)
{
	static unsigned char buffer[BATCH][ROOM + 64];
	static struct sockaddr_in from[BATCH];
	static struct iovec part[BATCH];
	static struct mmsghdr m[BATCH];
	int n;
	do {
		for (int i = 0; i < BATCH; i++) {
			part[i] = (struct iovec){buffer[i], ROOM};
			m[i].msg_hdr = (struct msghdr){&from[i], sizeof from[i], &part[i], 1, NULL, 0, 0};
		}
		n = recvmmsg(fd, m, BATCH, 0, NULL);
		for (int i = 0; i < n; i++)
			part[i].iov_len = m[i].msg_len;
		send_all(fd, m, n);
	} while (n == BATCH);
}

static void serve_trains(int fd)
{
	static unsigned char buffer[TRAINS][PEER_READ_BYTES + 64];
	static struct {
		_Alignas(size_t) char bytes[CMSG_SPACE(sizeof(int))];
	} control[TRAINS];
	static struct sockaddr_in from[TRAINS];
	static struct iovec part[TRAINS];
	static struct mmsghdr m[TRAINS];
	int n;
	do {
		for (int i = 0; i < TRAINS; i++) {
			part[i] = (struct iovec){buffer[i], PEER_READ_BYTES};
			m[i].msg_hdr = (struct msghdr){&from[i], sizeof from[i], &part[i], 1, &control[i], sizeof control[i], 0};
		}
		n = recvmmsg(fd, m, TRAINS, 0, NULL);
		for (int i = 0; i < n; i++) {
			struct cmsghdr *c = CMSG_FIRSTHDR(&m[i].msg_hdr);
			part[i].iov_len = m[i].msg_len;
			if (!c || c->cmsg_level != SOL_UDP || c->cmsg_type != UDP_GRO)
				continue;
			int size;
			memcpy(&size, CMSG_DATA(c), sizeof size);
			const uint16_t segment = (uint16_t)size;
			c->cmsg_type = UDP_SEGMENT;
			c->cmsg_len = CMSG_LEN(sizeof segment);
			memcpy(CMSG_DATA(c), &segment, sizeof segment);
			m[i].msg_hdr.msg_controllen = CMSG_SPACE(sizeof segment);
		}
		send_all(fd, m, n);
	} while (n == TRAINS);
}

int main(int argc, char **argv)
{
	struct peer_options options = peer_parse(argc, argv, "batches single trains");
	void (*serve)(int) = strcmp(options.mode, "single") == 0 ? serve_single : serve_batches;
	int fd = peer_bind(&options), queue = epoll_create1(EPOLL_CLOEXEC), on = 1;
	struct epoll_event ev = {.events = EPOLLIN | EPOLLET};
	if (strcmp(options.mode, "trains") == 0) {
		serve = serve_trains;
		if (setsockopt(fd, SOL_UDP, UDP_GRO, &on, sizeof on) < 0)
			peer_die("UDP_GRO");
	}
	if (queue < 0 || epoll_ctl(queue, EPOLL_CTL_ADD, fd, &ev) < 0)
		peer_die("epoll");
	for (;;) {
		if (epoll_wait(queue, &ev, 1, -1) == 1)
			serve(fd);
	}
}
