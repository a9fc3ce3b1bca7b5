/* Starts COUNT threads that are each busy for MS milliseconds of CPU. With `leave` the leader ends before them; with `stay`
 * it waits for its end to be asked. Prints the sum in nanoseconds of what all its threads waited for a CPU, as each read it
 * from its own schedstat just before it ended: threads COUNT MS leave|stay */
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

static int ms, left;
static unsigned long long sum;

static void add_own(void)
{
	unsigned long long ran, waited;
	FILE *file = fopen("/proc/thread-self/schedstat", "r");

	if (file && fscanf(file, "%llu %llu", &ran, &waited) == 2)
		__sync_fetch_and_add(&sum, waited);
	if (file)
		fclose(file);
}

static void *burn(void *unused)
{
	struct timespec now;

	do {
		clock_gettime(CLOCK_THREAD_CPUTIME_ID, &now);
	} while (now.tv_sec * 1000 + now.tv_nsec / 1000000 < ms);
	add_own();
	if (__sync_sub_and_fetch(&left, 1) == 0) {
		printf("%llu\n", sum);
		fflush(stdout);
	}
	return unused;
}

int main(int argc, char **argv)
{
	pthread_t thread;

	if (argc != 4)
		return 2;
	left = atoi(argv[1]);
	ms = atoi(argv[2]);
	for (int i = left; i > 0; i--)
		if (pthread_create(&thread, NULL, burn, NULL))
			return 1;
	add_own();
	if (!strcmp(argv[3], "leave"))
		pthread_exit(NULL);
	pause();
	return 0;
}
