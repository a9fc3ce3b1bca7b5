/* One socket: where it dials or listens is said once, on the command line. */
#pragma once

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

static struct sockaddr_storage address;
static socklen_t address_size;
static char bytes[65536];

static void parse(const char *host, const char *port)
{
	struct sockaddr_in *v4 = (void *)&address;
	struct sockaddr_in6 *v6 = (void *)&address;

	if (inet_pton(AF_INET, host, &v4->sin_addr) == 1) {
		v4->sin_family = AF_INET;
		v4->sin_port = htons(atoi(port));
		address_size = sizeof(*v4);
	} else if (inet_pton(AF_INET6, host, &v6->sin6_addr) == 1) {
		v6->sin6_family = AF_INET6;
		v6->sin6_port = htons(atoi(port));
		address_size = sizeof(*v6);
	} else {
		fprintf(stderr, "no address: %s\n", host);
		exit(2);
	}
}

/* 0: TCP. */
static int protocol;

/* Source port of the next; 0: the kernel's choice. */
static int from_port;

/* Whether several sockets may have one port, listening or not. */
static int shares_ports;

/* Every address of the family. */
static struct sockaddr_storage any(int port)
{
	struct sockaddr_storage any = { .ss_family = address.ss_family };

	((struct sockaddr_in *)&any)->sin_port = htons(port); /* at the same place in IPv6 */
	return any;
}

static void let_share(int fd)
{
	int one = 1;

	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
	setsockopt(fd, SOL_SOCKET, SO_REUSEPORT, &shares_ports, sizeof(shares_ports));
}

static int dial(int flags)
{
	int fd = socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC | flags, protocol);

	if (fd < 0) {
		perror("socket");
		exit(1);
	}
	if (from_port) {
		struct sockaddr_storage from = any(from_port++);

		let_share(fd);
		if (bind(fd, (void *)&from, address_size) < 0) {
			perror("bind");
			exit(1);
		}
	}
	if (connect(fd, (void *)&address, address_size) < 0 && errno != EINPROGRESS) {
		int error = errno;

		close(fd);
		errno = error;
		return -1;
	}
	return fd;
}

static int listener_of(int backlog)
{
	int listener = socket(address.ss_family, SOCK_STREAM, protocol);

	let_share(listener);
	if (bind(listener, (void *)&address, address_size) < 0 || listen(listener, backlog) < 0) {
		perror("listen");
		exit(1);
	}
	return listener;
}

static void ready(void)
{
	puts("ready");
	fflush(stdout);
}

static void end(int fd, const char *how)
{
	if (!strcmp(how, "rst")) {
		struct linger now = { .l_onoff = 1 };

		setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	} else if (!strcmp(how, "steps")) {
		shutdown(fd, SHUT_WR);
		usleep(1000);
	}
	close(fd);
}

/* Once the other side has closed, and for so long that only its TIME_WAIT may be left. */
static void send_too_late(int fd)
{
	while (read(fd, bytes, sizeof(bytes)) > 0)
		;
	usleep(2000);
	write(fd, bytes, 1);
	usleep(500);
	close(fd);
}

static long send_all(int fd, long size)
{
	long sent = 0;

	while (sent < size) {
		long part = size - sent < (long)sizeof(bytes) ? size - sent : (long)sizeof(bytes);
		long done = write(fd, bytes, part);

		if (done <= 0)
			break;
		sent += done;
	}
	return sent;
}

/* What fits without waiting; half: and nothing after that. */
static void send_some(int fd, long size, int half)
{
	fcntl(fd, F_SETFL, O_NONBLOCK);
	send_all(fd, size);
	if (half)
		shutdown(fd, SHUT_WR);
}
