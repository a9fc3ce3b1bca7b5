/* Writes numbered lines, so that whoever reads them can say which are missing and which came twice:
 * log_writer COUNT PER_SECOND [FILE EVERY KEEP rename|copy]
 * `seq=N ` and then letters: mostly few, every 997th line 40 KiB. PER_SECOND 0: as fast as it goes. To stdout, every
 * fifth line to stderr; or to FILE, which it rotates after EVERY lines as logrotate does, by rename or by copy and
 * truncate, and keeps KEEP old ones. EVERY 0: never. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static char padding[40960];

static void must(int ok, const char *what)
{
	if (!ok) {
		perror(what);
		exit(1);
	}
}

static void write_all(int fd, const char *bytes, size_t length)
{
	while (length > 0) {
		ssize_t done = write(fd, bytes, length);

		must(done > 0, "write");
		bytes += done;
		length -= done;
	}
}

static void copy_to(const char *from, const char *to)
{
	static char bytes[1 << 16];
	int in = open(from, O_RDONLY), out = open(to, O_WRONLY | O_CREAT | O_TRUNC, 0644);
	ssize_t got;

	must(in >= 0 && out >= 0, "copy");
	while ((got = read(in, bytes, sizeof(bytes))) > 0)
		write_all(out, bytes, got);
	close(in);
	close(out);
}

static int rotate(int fd, const char *file, int keep, int copies)
{
	char from[4096], to[4096];

	for (int i = keep; i > 1; i--) {
		snprintf(from, sizeof(from), "%s.%d", file, i - 1);
		snprintf(to, sizeof(to), "%s.%d", file, i);
		rename(from, to);
	}
	snprintf(to, sizeof(to), "%s.1", file);
	if (copies) {
		copy_to(file, to);
		must(ftruncate(fd, 0) == 0, "ftruncate");
		return fd;
	}
	rename(file, to);
	close(fd);
	fd = open(file, O_WRONLY | O_CREAT | O_APPEND, 0644);
	must(fd >= 0, file);
	return fd;
}

static void keep_pace(long line, long per_second, const struct timespec *start)
{
	struct timespec until = *start;
	long long ns = until.tv_nsec + (long long)line * 1000000000 / per_second;

	until.tv_sec += ns / 1000000000;
	until.tv_nsec = ns % 1000000000;
	clock_nanosleep(CLOCK_MONOTONIC, TIMER_ABSTIME, &until, NULL);
}

int main(int argc, char **argv)
{
	if (argc != 3 && argc != 7)
		return 2;
	long count = atol(argv[1]), per_second = atol(argv[2]);
	const char *file = argc == 7 ? argv[3] : NULL;
	long every = file ? atol(argv[4]) : 0;
	int copies = file && strcmp(argv[6], "copy") == 0;
	int fd = file ? open(file, O_WRONLY | O_CREAT | O_APPEND, 0644) : 1;
	static char line[sizeof(padding) + 64];
	struct timespec start;

	must(fd >= 0, file ? file : "stdout");
	memset(padding, 'x', sizeof(padding));
	clock_gettime(CLOCK_MONOTONIC, &start);
	for (long i = 0; i < count; i++) {
		size_t letters = i % 997 == 996 ? sizeof(padding) : 1 + (i * 7919) % 120;
		size_t length = snprintf(line, sizeof(line), "seq=%ld ", i);

		memcpy(line + length, padding, letters);
		line[length + letters] = '\n';
		write_all(!file && i % 5 == 4 ? 2 : fd, line, length + letters + 1);
		if (every > 0 && (i + 1) % every == 0)
			fd = rotate(fd, file, atoi(argv[5]), copies);
		if (per_second > 0 && (i + 1) % (per_second / 200 + 1) == 0)
			keep_pace(i + 1, per_second, &start);
	}
	return 0;
}
