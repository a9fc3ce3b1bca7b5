/* Forks COUNT children, PARALLEL at a time, each busy for MS milliseconds of CPU. Prints the sum in nanoseconds of what
 * they and their parent waited for a CPU, as each read it from its own schedstat just before it ended:
 * fork_storm COUNT MS PARALLEL */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static void add_own(unsigned long long *sum)
{
	char text[128] = "";
	unsigned long long ran, waited;
	int file = open("/proc/self/schedstat", O_RDONLY);

	if (file >= 0 && read(file, text, sizeof(text) - 1) > 0 && sscanf(text, "%llu %llu", &ran, &waited) == 2)
		__sync_fetch_and_add(sum, waited);
}

static void child(int ms, unsigned long long *sum)
{
	struct timespec now;

	do {
		clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	} while (now.tv_sec * 1000 + now.tv_nsec / 1000000 < ms);
	add_own(sum);
	_exit(0);
}

int main(int argc, char **argv)
{
	if (argc != 4)
		return 2;
	int count = atoi(argv[1]), ms = atoi(argv[2]), parallel = atoi(argv[3]), running = 0;
	unsigned long long *sum = mmap(NULL, 4096, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);

	for (int i = 0; i < count; i++) {
		if (running == parallel) {
			wait(NULL);
			running--;
		}
		pid_t pid = fork();
		if (pid == 0)
			child(ms, sum);
		if (pid > 0)
			running++;
	}
	while (running-- > 0)
		wait(NULL);
	add_own(sum);
	printf("%llu\n", *sum);
	return 0;
}
