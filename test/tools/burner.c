/* Keeps THREADS threads busy until it is killed: burner THREADS */
#include <pthread.h>
#include <stdlib.h>

static void *burn(void *unused)
{
	for (;;)
		__asm__ volatile("");
	return unused;
}

int main(int argc, char **argv)
{
	pthread_t thread;

	for (int i = argc > 1 ? atoi(argv[1]) : 1; i > 1; i--)
		if (pthread_create(&thread, NULL, burn, NULL) != 0)
			return 1;
	burn(NULL);
	return 0;
}
