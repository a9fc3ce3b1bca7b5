/* The side that listens: what it does with those who come. */
#pragma once

#include <fcntl.h>
#include <signal.h>
#include <sys/epoll.h>
#include <sys/prctl.h>

#include "connections_sockets.h"

static _Noreturn void serve(int listener)
{
	int queue = epoll_create1(0);
	struct epoll_event event = { .events = EPOLLIN, .data.fd = listener };

	fcntl(listener, F_SETFL, O_NONBLOCK);
	ready();
	epoll_ctl(queue, EPOLL_CTL_ADD, listener, &event);
	for (;;) {
		struct epoll_event ready[256];
		int count = epoll_wait(queue, ready, 256, -1);

		for (int i = 0; i < count; i++) {
			int fd = ready[i].data.fd;

			if (fd == listener) {
				int accepted;

				while ((accepted = accept4(listener, 0, 0, SOCK_NONBLOCK)) >= 0) {
					event.data.fd = accepted;
					epoll_ctl(queue, EPOLL_CTL_ADD, accepted, &event);
				}
			} else if (read(fd, bytes, sizeof(bytes)) <= 0) {
				close(fd);
			}
		}
	}
}

static _Noreturn void leave(long count, long size, int half)
{
	int listener = listener_of(4096);

	ready();
	for (long i = 0; i < count; i++)
		send_some(accept(listener, 0, 0), size, half);
	close(listener);
	for (;;)
		pause();
}

static _Noreturn void slam(const char *how)
{
	int listener = listener_of(4096);

	ready();
	for (;;)
		end(accept(listener, 0, 0), how);
}

static _Noreturn void belated(void)
{
	int listener = listener_of(4096);

	ready();
	for (;;) {
		send_too_late(accept(listener, 0, 0));
	}
}

static _Noreturn void prefork(long count)
{
	int listener = listener_of(4096);

	for (long i = 0; i < count; i++) {
		if (fork())
			continue;
		prctl(PR_SET_PDEATHSIG, SIGKILL);
		for (;;) {
			int fd = accept(listener, 0, 0);

			while (read(fd, bytes, sizeof(bytes)) > 0)
				;
			close(fd);
		}
	}
	ready();
	for (;;)
		pause();
}
