/* The side that dials and is done: each prints what came of it. */
#pragma once

#include <netinet/tcp.h>
#include <sys/resource.h>
#include <sys/wait.h>
#include <time.h>

#include "connections_sockets.h"

static long long now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000000000LL + now.tv_nsec;
}

static void pace(long long since, long i, long rate)
{
	if (!rate)
		return;

	long long at = since + i * 1000000000LL / rate;
	struct timespec until = { at / 1000000000LL, at % 1000000000LL };

	clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, 0);
}

static int storm(long count, long rate, const char *how, long size)
{
	long established = 0, failed = 0;
	long long sent = 0, spent = 0, since = now_ns();

	for (long i = 0; i < count; i++) {
		pace(since, i, rate);

		long long began = now_ns();
		int fd = dial(0);

		spent += now_ns() - began;
		if (fd < 0) {
			failed++;
			continue;
		}
		established++;
		sent += send_all(fd, size);
		end(fd, how);
	}

	struct rusage used;

	getrusage(RUSAGE_SELF, &used);
	printf("%ld %ld %lld %lld %lld %ld\n", established, failed, sent, count ? spent / count : 0, now_ns() - since,
	       used.ru_utime.tv_sec * 1000000L + used.ru_utime.tv_usec + used.ru_stime.tv_sec * 1000000L +
		       used.ru_stime.tv_usec);
	return 0;
}

static int fork_each(long count, long rate)
{
	long established = 0, failed = 0;
	long long since = now_ns();

	for (long i = 0; i < count; i++) {
		int status;

		pace(since, i, rate);

		pid_t child = fork();

		if (child == 0)
			_exit(dial(0) < 0);
		waitpid(child, &status, 0);
		if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
			established++;
		else
			failed++;
	}
	printf("%ld %ld\n", established, failed);
	return 0;
}

static int give_up(long count, long ms)
{
	int fds[1024];

	for (long i = 0; i < count && i < 1024; i++)
		fds[i] = dial(SOCK_NONBLOCK);
	usleep(ms * 1000);
	for (long i = 0; i < count && i < 1024; i++)
		close(fds[i]);
	printf("%ld\n", count);
	return 0;
}

static int scan(long first, long count)
{
	struct sockaddr_in *v4 = (void *)&address;
	long refused = 0;

	for (long i = 0; i < count; i++) {
		v4->sin_port = htons(first + i); /* at the same place in IPv6 */

		int fd = dial(0);

		if (fd >= 0)
			close(fd);
		else
			refused += errno == ECONNREFUSED;
	}
	printf("%ld\n", refused);
	return 0;
}

static int crawl(long count)
{
	struct sockaddr_in *v4 = (void *)&address;
	in_addr_t first = ntohl(v4->sin_addr.s_addr);
	long established = 0;

	for (long i = 0; i < count; i++) {
		v4->sin_addr.s_addr = htonl(first + i);

		int fd = dial(0);

		if (fd < 0)
			continue;
		established++;
		end(fd, "rst");
	}
	printf("%ld\n", established);
	return 0;
}

static int wait_for(long count, unsigned ms)
{
	for (long i = 0; i < count; i++) {
		int fd = socket(address.ss_family, SOCK_STREAM, protocol);

		if (ms)
			setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &ms, sizeof(ms));
		printf("%d ", connect(fd, (void *)&address, address_size) < 0 ? errno : 0);
		close(fd);
	}
	puts("");
	return 0;
}

static int answer_too_late(long count)
{
	for (long i = 0; i < count; i++)
		send_too_late(dial(0));
	puts("0");
	return 0;
}

static int read_all(long count)
{
	for (long i = 0; i < count; i++) {
		/* The end may come before connect() has returned, which then says so. */
		int fd = dial(0);
		long some = fd;

		while (some >= 0 && (some = read(fd, bytes, sizeof(bytes))) > 0)
			;
		printf("%d ", some < 0 ? errno : 0);
		if (fd >= 0)
			close(fd);
	}
	puts("");
	return 0;
}
