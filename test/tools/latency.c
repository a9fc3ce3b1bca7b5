/* A latency-sensitive service: sleeps 1 ms, works 0.2 ms of CPU time, again and again. Each second it prints how late its
 * wake-ups came: `p50 p95 p99 max`, in microseconds. */
#include <stdio.h>
#include <stdlib.h>
#include <time.h>

#define SLEEP_NS 1000000LL
#define WORK_NS 200000LL
#define SAMPLES 4096

static long long now_ns(clockid_t clock)
{
	struct timespec now;

	clock_gettime(clock, &now);
	return now.tv_sec * 1000000000LL + now.tv_nsec;
}

static int by_size(const void *a, const void *b)
{
	long long left = *(const long long *)a, right = *(const long long *)b;

	return (left > right) - (left < right);
}

static void print(long long *late, int count)
{
	qsort(late, count, sizeof(*late), by_size);
	printf("%lld %lld %lld %lld\n", late[count / 2] / 1000, late[count * 95 / 100] / 1000, late[count * 99 / 100] / 1000,
	       late[count - 1] / 1000);
	fflush(stdout);
}

int main(void)
{
	static long long late[SAMPLES];
	const struct timespec pause = { .tv_nsec = SLEEP_NS };
	long long told = now_ns(CLOCK_MONOTONIC);

	for (int count = 0;;) {
		long long before = now_ns(CLOCK_MONOTONIC);

		nanosleep(&pause, NULL);
		long long woken = now_ns(CLOCK_MONOTONIC);

		late[count++] = woken - before - SLEEP_NS;
		for (long long start = now_ns(CLOCK_THREAD_CPUTIME_ID); now_ns(CLOCK_THREAD_CPUTIME_ID) - start < WORK_NS;)
			;
		if (woken - told < 1000000000LL && count < SAMPLES)
			continue;
		print(late, count);
		told = woken;
		count = 0;
	}
}
