/* Connections that stay open, and whose they are: the dialler's, a child's, or whoever was handed them. */
#pragma once

#include "connections_sockets.h"

static _Noreturn void hold(long count, long size, int half)
{
	long open = 0;

	for (long i = 0; i < count; i++) {
		int fd = dial(0);

		if (fd < 0)
			continue;
		open++;
		send_all(fd, size);
		if (half)
			shutdown(fd, SHUT_WR);
	}
	printf("%ld\n", open);
	fflush(stdout);
	for (;;)
		pause();
}

static _Noreturn void later(long count)
{
	int fds[1024], number;
	long open = 0;
	sigset_t set;

	if (count > 1024)
		count = 1024;
	for (long i = 0; i < count; i++)
		fds[i] = socket(address.ss_family, SOCK_STREAM, protocol);
	sigemptyset(&set);
	sigaddset(&set, SIGUSR1);
	sigprocmask(SIG_BLOCK, &set, 0);
	ready();
	sigwait(&set, &number);
	for (long i = 0; i < count; i++)
		open += connect(fds[i], (void *)&address, address_size) == 0;
	printf("%ld\n", open);
	fflush(stdout);
	for (;;)
		pause();
}

/* From ports on which it listens too, as those do that let others dial them through a NAT. */
static _Noreturn void peer(long count, int from, long size, int half)
{
	struct sockaddr_storage to = address;
	long open = 0;

	shares_ports = 1;
	for (long i = 0; i < count; i++) {
		address = any(from + i);
		listener_of(64);
		address = to;
		from_port = from + i;

		int fd = dial(0);

		if (fd < 0)
			continue;
		open++;
		send_some(fd, size, half);
	}
	printf("%ld\n", open);
	fflush(stdout);
	for (;;)
		pause();
}

static int share(long count, long size)
{
	int fds[1024];

	for (long i = 0; i < count && i < 1024; i++) {
		fds[i] = dial(0);
		send_all(fds[i], size);
	}
	if (fork())
		_exit(0);
	for (long i = 0; i < count && i < 1024; i++)
		dup(fds[i]);
	setsid();
	printf("%d\n", getpid());
	fflush(stdout);
	for (;;)
		pause();
}

static void hand(int channel, int fd, int sends)
{
	char byte = 0, control[CMSG_SPACE(sizeof(int))] = {};
	struct iovec one = { &byte, 1 };
	struct msghdr message = { .msg_iov = &one, .msg_iovlen = 1, .msg_control = control, .msg_controllen = sizeof(control) };

	if (sends) {
		struct cmsghdr *head = CMSG_FIRSTHDR(&message);

		head->cmsg_level = SOL_SOCKET;
		head->cmsg_type = SCM_RIGHTS;
		head->cmsg_len = CMSG_LEN(sizeof(int));
		memcpy(CMSG_DATA(head), &fd, sizeof(int));
		sendmsg(channel, &message, 0);
	} else {
		recvmsg(channel, &message, 0);
	}
}

static int pass(long count)
{
	int channel[2];

	socketpair(AF_UNIX, SOCK_DGRAM, 0, channel);

	pid_t child = fork();

	if (child == 0) {
		for (long i = 0; i < count; i++)
			hand(channel[0], 0, 0);
		/* What it got is all it has of them: they were dialled after the fork. */
		setsid();
		printf("%d\n", getpid());
		fflush(stdout);
		for (;;)
			pause();
	}

	int first = 0;

	for (long i = 0; i < count; i++) {
		int fd = dial(0);

		if (!first)
			first = fd;
		hand(channel[1], fd, 1);
	}
	close_range(first, ~0U, 0);
	return 0;
}
