/* Two processes one after the other under the same pid. Each is busy for MS milliseconds of CPU and prints what it waited
 * for a CPU, in nanoseconds; the first then ends, and so does the second, when a byte comes on the standard input:
 * same_pid PID MS */
#define _GNU_SOURCE
#include <linux/sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

static void child(int ms)
{
	struct timespec now;
	unsigned long long ran, waited;
	char byte;

	do {
		clock_gettime(CLOCK_PROCESS_CPUTIME_ID, &now);
	} while (now.tv_sec * 1000 + now.tv_nsec / 1000000 < ms);
	FILE *file = fopen("/proc/self/schedstat", "r");
	if (!file || fscanf(file, "%llu %llu", &ran, &waited) != 2)
		_exit(1);
	printf("%llu\n", waited);
	fflush(stdout);
	if (read(0, &byte, 1) < 0)
		_exit(1);
	_exit(0);
}

int main(int argc, char **argv)
{
	if (argc != 3)
		return 2;
	pid_t wanted = atoi(argv[1]);

	for (int i = 0; i < 2; i++) {
		struct clone_args args = {
			.exit_signal = SIGCHLD,
			.set_tid = (unsigned long)&wanted,
			.set_tid_size = 1,
		};
		long pid = syscall(SYS_clone3, &args, sizeof(args));
		if (pid == 0)
			child(atoi(argv[2]));
		if (pid < 0) {
			perror("clone3");
			return 1;
		}
		wait(NULL);
	}
	return 0;
}
