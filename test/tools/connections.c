// TCP connections whose numbers are known. Each command prints one line when it is ready or done.
//   listen ADDRESS PORT [BACKLOG]       accepts for ever, reads all, closes when the other side does; with BACKLOG: never accepts
//   activated - -                       the same for the listening socket that it was started with, descriptor 3 (sd_listen_fds(3))
//   slam ADDRESS PORT                   accepts for ever and resets each at once
//   storm ADDRESS PORT COUNT RATE HOW [BYTES [FROM]]   dials COUNT times, RATE per second (0: as fast as it can);
//                                       HOW fin, rst: how each is closed; BYTES are sent first; from the source ports
//                                       FROM, FROM + 1, … (IPv4), which the kernel chooses otherwise.
//                                       Prints "established failed sentBytes mean-ns" of what it saw itself
//   fork ADDRESS PORT COUNT RATE        the same, each by a process of its own that exits at once
//   hold ADDRESS PORT COUNT [BYTES]     keeps COUNT open until it is killed
//   half ADDRESS PORT COUNT             as hold, but closed for writing
//   share ADDRESS PORT COUNT [BYTES]    the same, but a child has them all, twice, and its parent is gone
//   pass ADDRESS PORT COUNT             each is handed by SCM_RIGHTS to a child; the parent closes its own by close_range,
//                                       and dies; prints the child's pid
//   prefork ADDRESS PORT COUNT          COUNT children accept from one listening socket, each reads until the end
//   giveup ADDRESS PORT COUNT MS        dials without waiting and closes after MS
//   scan ADDRESS PORT COUNT             dials COUNT ports from PORT on, each once; prints how many were refused
//   crawl ADDRESS PORT COUNT            dials COUNT addresses from ADDRESS on, each once, and resets; prints how many answered
//   wait ADDRESS PORT COUNT [MS]        dials and waits for however long, or for MS as TCP_USER_TIMEOUT has it; prints errno of each
//   read ADDRESS PORT COUNT             dials and reads until the other side ends it; prints errno of each
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <fcntl.h>

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

static long long now_ns(void)
{
	struct timespec now;

	clock_gettime(CLOCK_MONOTONIC, &now);
	return now.tv_sec * 1000000000LL + now.tv_nsec;
}

/* Source port of the next; 0: the kernel's choice. */
static int from_port;

static int dial(int flags)
{
	int fd = socket(address.ss_family, SOCK_STREAM | SOCK_CLOEXEC | flags, 0);

	if (fd < 0) {
		perror("socket");
		exit(1);
	}
	if (from_port) {
		struct sockaddr_in from = { .sin_family = AF_INET, .sin_port = htons(from_port++) };
		int one = 1;

		setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
		if (bind(fd, (void *)&from, sizeof(from)) < 0) {
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
	int listener = socket(address.ss_family, SOCK_STREAM, 0);
	int one = 1;

	setsockopt(listener, SOL_SOCKET, SO_REUSEADDR, &one, sizeof(one));
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

static void end(int fd, const char *how)
{
	if (!strcmp(how, "rst")) {
		struct linger now = { .l_onoff = 1 };

		setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
	}
	close(fd);
}

static _Noreturn void slam(void)
{
	int listener = listener_of(4096);

	ready();
	for (;;)
		end(accept(listener, 0, 0), "rst");
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
		int fd = socket(address.ss_family, SOCK_STREAM, 0);

		if (ms)
			setsockopt(fd, IPPROTO_TCP, TCP_USER_TIMEOUT, &ms, sizeof(ms));
		printf("%d ", connect(fd, (void *)&address, address_size) < 0 ? errno : 0);
		close(fd);
	}
	puts("");
	return 0;
}

static int read_all(long count)
{
	for (long i = 0; i < count; i++) {
		int fd = dial(0);
		long some;

		while ((some = read(fd, bytes, sizeof(bytes))) > 0)
			;
		printf("%d ", some < 0 ? errno : 0);
		close(fd);
	}
	puts("");
	return 0;
}

int main(int argc, char **argv)
{
	signal(SIGPIPE, SIG_IGN);
	if (argc < 4)
		return 2;

	const char *what = argv[1];
	long count = argc > 4 ? atol(argv[4]) : 0;

	if (!strcmp(what, "activated"))
		serve(3);
	parse(argv[2], argv[3]);
	if (!strcmp(what, "listen") && argc <= 4)
		serve(listener_of(4096));
	if (!strcmp(what, "listen")) {
		listener_of(count);
		ready();
		for (;;)
			pause();
	}
	if (!strcmp(what, "slam"))
		slam();
	from_port = !strcmp(what, "storm") && argc > 8 ? atoi(argv[8]) : 0;
	if (!strcmp(what, "storm"))
		return storm(count, atol(argv[5]), argv[6], argc > 7 ? atol(argv[7]) : 0);
	if (!strcmp(what, "fork"))
		return fork_each(count, atol(argv[5]));
	if (!strcmp(what, "hold"))
		hold(count, argc > 5 ? atol(argv[5]) : 0, 0);
	if (!strcmp(what, "half"))
		hold(count, 0, 1);
	if (!strcmp(what, "share"))
		return share(count, argc > 5 ? atol(argv[5]) : 0);
	if (!strcmp(what, "pass"))
		return pass(count);
	if (!strcmp(what, "prefork"))
		prefork(count);
	if (!strcmp(what, "giveup"))
		return give_up(count, atol(argv[5]));
	if (!strcmp(what, "scan"))
		return scan(atol(argv[3]), count);
	if (!strcmp(what, "crawl"))
		return crawl(count);
	if (!strcmp(what, "wait"))
		return wait_for(count, argc > 5 ? atoi(argv[5]) : 0);
	if (!strcmp(what, "read"))
		return read_all(count);
	return 2;
}
