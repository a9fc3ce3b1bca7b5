// TCP connections made by io_uring alone, by its system calls: connect, send and close are entries of a ring.
//   uring ADDRESS PORT COUNT BYTES WHERE   WHERE self: the kernel does them in our task where it can;
//                                          worker: always in its own threads (IOSQE_ASYNC); poller: a kernel thread takes
//                                          them from the ring (IORING_SETUP_SQPOLL). Each is reset when it is closed.
// Prints "established failed sentBytes refused". Only IPv4.
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <errno.h>
#include <linux/io_uring.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <unistd.h>

static int ring_fd, polled;
static unsigned *sq_tail, *sq_mask, *sq_array, *sq_flags, *cq_head, *cq_tail, *cq_mask;
static struct io_uring_sqe *sqes;
static struct io_uring_cqe *cqes;

static void *map(size_t size, off_t offset)
{
	void *at = mmap(0, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_POPULATE, ring_fd, offset);

	if (at == MAP_FAILED) {
		perror("mmap of the ring");
		exit(1);
	}
	return at;
}

static void open_ring(void)
{
	struct io_uring_params params = { .flags = polled ? IORING_SETUP_SQPOLL : 0, .sq_thread_idle = 1000 };

	ring_fd = syscall(SYS_io_uring_setup, 8, &params);
	if (ring_fd < 0) {
		perror("io_uring_setup");
		exit(1);
	}

	char *sq = map(params.sq_off.array + params.sq_entries * sizeof(unsigned), IORING_OFF_SQ_RING);
	char *cq = map(params.cq_off.cqes + params.cq_entries * sizeof(*cqes), IORING_OFF_CQ_RING);

	sqes = map(params.sq_entries * sizeof(*sqes), IORING_OFF_SQES);
	sq_tail = (void *)(sq + params.sq_off.tail);
	sq_mask = (void *)(sq + params.sq_off.ring_mask);
	sq_array = (void *)(sq + params.sq_off.array);
	sq_flags = (void *)(sq + params.sq_off.flags);
	cq_head = (void *)(cq + params.cq_off.head);
	cq_tail = (void *)(cq + params.cq_off.tail);
	cq_mask = (void *)(cq + params.cq_off.ring_mask);
	cqes = (void *)(cq + params.cq_off.cqes);
}

/* Puts one entry into the ring and waits for its result. */
static int done(struct io_uring_sqe entry)
{
	unsigned tail = *sq_tail, at = tail & *sq_mask;

	sqes[at] = entry;
	sq_array[at] = at;
	__atomic_store_n(sq_tail, tail + 1, __ATOMIC_RELEASE);
	__atomic_thread_fence(__ATOMIC_SEQ_CST);

	unsigned flags = IORING_ENTER_GETEVENTS;

	if (polled && __atomic_load_n(sq_flags, __ATOMIC_ACQUIRE) & IORING_SQ_NEED_WAKEUP)
		flags |= IORING_ENTER_SQ_WAKEUP;
	while (*cq_head == __atomic_load_n(cq_tail, __ATOMIC_ACQUIRE)) {
		if (syscall(SYS_io_uring_enter, ring_fd, polled ? 0 : 1, 1, flags, 0, 0) < 0 && errno != EINTR) {
			perror("io_uring_enter");
			exit(1);
		}
	}

	int result = cqes[*cq_head & *cq_mask].res;

	__atomic_store_n(cq_head, *cq_head + 1, __ATOMIC_RELEASE);
	return result;
}

int main(int argc, char **argv)
{
	if (argc < 6)
		return 2;

	struct sockaddr_in address = { .sin_family = AF_INET, .sin_port = htons(atoi(argv[2])) };
	struct linger now = { .l_onoff = 1 };
	static char bytes[65536];
	long count = atol(argv[3]), size = atol(argv[4]);
	long established = 0, failed = 0, sent = 0, refused = 0;
	int flags = strcmp(argv[5], "worker") ? 0 : IOSQE_ASYNC;

	if (inet_pton(AF_INET, argv[1], &address.sin_addr) != 1)
		return 2;
	polled = !strcmp(argv[5], "poller");
	open_ring();
	for (long i = 0; i < count; i++) {
		int fd = socket(AF_INET, SOCK_STREAM, 0);
		int result = done((struct io_uring_sqe){ .opcode = IORING_OP_CONNECT,
							 .flags = flags,
							 .fd = fd,
							 .addr = (unsigned long)&address,
							 .off = sizeof(address) });

		if (result < 0) {
			failed++;
			refused += result == -ECONNREFUSED;
		} else {
			established++;
			if (size) {
				int part = done((struct io_uring_sqe){ .opcode = IORING_OP_SEND,
								       .flags = flags,
								       .fd = fd,
								       .addr = (unsigned long)bytes,
								       .len = size });

				sent += part > 0 ? part : 0;
			}
			setsockopt(fd, SOL_SOCKET, SO_LINGER, &now, sizeof(now));
		}
		done((struct io_uring_sqe){ .opcode = IORING_OP_CLOSE, .flags = flags, .fd = fd });
	}
	printf("%ld %ld %ld %ld\n", established, failed, sent, refused);
	return 0;
}
