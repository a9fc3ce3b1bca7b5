/*
 * A library for LD_PRELOAD: the clock of the day is as many nanoseconds ahead as the file $CLOCK_STEP says now (eight
 * bytes), for one process and for nobody else. The kernel's own stamps stay what they are.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static const volatile int64_t *ahead;

__attribute__((constructor)) static void map(void)
{
	const char *path = getenv("CLOCK_STEP");
	int file = path ? open(path, O_RDONLY | O_CLOEXEC) : -1;
	void *page = file < 0 ? MAP_FAILED : mmap(NULL, sizeof(*ahead), PROT_READ, MAP_SHARED, file, 0);

	if (page == MAP_FAILED)
		abort();
	ahead = page;
}

int clock_gettime(clockid_t clock, struct timespec *time)
{
	int64_t nanoseconds;

	if (syscall(SYS_clock_gettime, clock, time) < 0)
		return -1;
	if (clock != CLOCK_REALTIME || !ahead)
		return 0;
	nanoseconds = time->tv_nsec + *ahead % 1000000000;
	time->tv_sec += *ahead / 1000000000 + nanoseconds / 1000000000;
	time->tv_nsec = nanoseconds % 1000000000;
	return 0;
}

int gettimeofday(struct timeval *restrict time, void *restrict zone)
{
	struct timespec now;

	(void)zone;
	clock_gettime(CLOCK_REALTIME, &now);
	time->tv_sec = now.tv_sec;
	time->tv_usec = now.tv_nsec / 1000;
	return 0;
}
