/*
 * Answers ICMP and ICMPv6 echo requests that come to a TUN device, as badly as it is told to: the kernel here has no
 * netem. echo_responder DEVICE LAST:knob=value,... for each last byte of an address (a default rule: *:).
 * Knobs: delay_us; of 100 requests: lost, duplicated, late (by late_ms), forged, truncated, unreachable, prohibited,
 * expired. On SIGTERM it prints per rule what it did.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <fcntl.h>
#include <linux/if.h>
#include <linux/if_tun.h>
#include <poll.h>
#include <signal.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/ioctl.h>
#include <time.h>
#include <unistd.h>

enum knob { DELAY_US, LATE_MS, LOST, DUPLICATED, LATE, FORGED, TRUNCATED, UNREACHABLE, PROHIBITED, EXPIRED, KNOBS };
static const char *const names[KNOBS] = { "delay_us", "late_ms", "lost", "duplicated", "late", "forged",
					  "truncated", "unreachable", "prohibited", "expired" };

struct rule {
	int last; /* -1 for all others */
	long knobs[KNOBS];
	long requests, done[KNOBS];
};

struct reply {
	struct reply *next;
	int64_t due;
	size_t length;
	uint8_t packet[2048];
};

static struct rule rules[64];
static int rule_count;
static struct reply *queue;
static volatile sig_atomic_t stopping;
static uint32_t state = 1;

static void on_signal(int number) { stopping = number; }

static int64_t now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return time.tv_sec * 1000000000LL + time.tv_nsec;
}

static long draw(void) /* 0..99, the same row each time */
{
	state = state * 1664525 + 1013904223;
	return (state >> 8) % 100;
}

static uint32_t sum(const uint8_t *bytes, size_t length, uint32_t from)
{
	for (size_t i = 0; i + 1 < length; i += 2)
		from += bytes[i] << 8 | bytes[i + 1];
	return length % 2 ? from + (bytes[length - 1] << 8) : from;
}

static void store_checksum(uint8_t *at, uint32_t total)
{
	while (total > 0xffff)
		total = (total & 0xffff) + (total >> 16);
	at[0] = ~total >> 8;
	at[1] = ~total;
}

/* Lengths and checksums for an ICMP message behind an IP header. */
static void finish(struct reply *reply, size_t header)
{
	uint8_t *packet = reply->packet, *icmp = packet + header;
	size_t size = reply->length - header;

	memset(icmp + 2, 0, 2);
	if (header == 20) {
		packet[2] = reply->length >> 8;
		packet[3] = reply->length;
		memset(packet + 10, 0, 2);
		store_checksum(packet + 10, sum(packet, header, 0));
		store_checksum(icmp + 2, sum(icmp, size, 0));
	} else {
		packet[4] = size >> 8;
		packet[5] = size;
		store_checksum(icmp + 2, sum(icmp, size, sum(packet + 8, 32, size + IPPROTO_ICMPV6)));
	}
}

static void later(const struct reply *reply, int64_t due)
{
	struct reply **at = &queue, *copy = malloc(sizeof *copy);

	*copy = *reply;
	copy->due = due;
	while (*at && (*at)->due <= due)
		at = &(*at)->next;
	copy->next = *at;
	*at = copy;
}

static struct rule *rule_of(int last)
{
	struct rule *others = NULL;

	for (int i = 0; i < rule_count; i++) {
		if (rules[i].last == last)
			return &rules[i];
		if (rules[i].last < 0)
			others = &rules[i];
	}
	return others;
}

static int happens(struct rule *rule, enum knob knob, long *drawn)
{
	*drawn -= rule->knobs[knob];
	if (*drawn >= 0)
		return 0;
	*drawn = 100; /* nothing else happens */
	rule->done[knob]++;
	return 1;
}

/* An error that quotes the request: the whole of it, behind 8 bytes. */
static void make_error(struct reply *reply, const uint8_t *request, size_t length, size_t header, int type, int code)
{
	uint8_t *icmp = reply->packet + header;

	memmove(icmp + 8, request, length);
	memset(icmp, 0, 8);
	icmp[0] = type;
	icmp[1] = code;
	reply->length = header + 8 + length;
}

static void answer(const uint8_t *request, size_t length)
{
	int v4 = length > 28 && request[0] >> 4 == 4 && request[9] == IPPROTO_ICMP;
	int v6 = length > 48 && request[0] >> 4 == 6 && request[6] == IPPROTO_ICMPV6;
	size_t header = v4 ? 20 : 40, address = v4 ? 4 : 16, source = v4 ? 12 : 8;
	struct reply reply = { .length = length };
	uint8_t *icmp = reply.packet + header;
	struct rule *rule;
	int64_t due;
	long drawn = draw();

	if ((!v4 && !v6) || length > 1500 || request[header] != (v4 ? 8 : 128))
		return;
	rule = rule_of(request[source + 2 * address - 1]);
	if (!rule)
		return;
	rule->requests++;
	due = now() + rule->knobs[DELAY_US] * 1000;
	memcpy(reply.packet, request, length);
	memcpy(reply.packet + source, request + source + address, address);
	memcpy(reply.packet + source + address, request + source, address);
	icmp[0] = v4 ? 0 : 129;

	if (happens(rule, LOST, &drawn))
		return;
	if (happens(rule, LATE, &drawn))
		due += rule->knobs[LATE_MS] * 1000000;
	if (happens(rule, FORGED, &drawn))
		icmp[8] ^= 0x55;
	if (happens(rule, TRUNCATED, &drawn))
		reply.length = header + 20;
	if (happens(rule, UNREACHABLE, &drawn))
		make_error(&reply, request, length, header, v4 ? 3 : 1, v4 ? 1 : 3);
	if (happens(rule, PROHIBITED, &drawn))
		make_error(&reply, request, length, header, v4 ? 3 : 1, v4 ? 13 : 1);
	if (happens(rule, EXPIRED, &drawn))
		make_error(&reply, request, length, header, v4 ? 11 : 3, 0);
	finish(&reply, header);
	later(&reply, due);
	if (happens(rule, DUPLICATED, &drawn))
		later(&reply, due + 1000000);
}

static void parse_rule(char *text)
{
	struct rule *rule = &rules[rule_count++];
	char *rest = strchr(text, ':');

	if (!rest || rule_count == 64)
		exit(2);
	*rest++ = 0;
	rule->last = *text == '*' ? -1 : atoi(text);
	for (char *knob = strtok(rest, ","); knob; knob = strtok(NULL, ",")) {
		char *value = strchr(knob, '=');
		int which = 0;

		if (!value)
			exit(2);
		*value++ = 0;
		while (which < KNOBS && strcmp(names[which], knob))
			which++;
		if (which == KNOBS)
			exit(2);
		rule->knobs[which] = atol(value);
	}
}

int main(int argc, char **argv)
{
	struct ifreq request = { .ifr_flags = IFF_TUN | IFF_NO_PI };
	int device = open("/dev/net/tun", O_RDWR | O_NONBLOCK);
	uint8_t packet[2048];

	if (argc < 3)
		return 2;
	strncpy(request.ifr_name, argv[1], IFNAMSIZ - 1);
	if (device < 0 || ioctl(device, TUNSETIFF, &request) < 0) {
		perror("/dev/net/tun");
		return 1;
	}
	for (int i = 2; i < argc; i++)
		parse_rule(argv[i]);
	signal(SIGTERM, on_signal);
	puts("ready");
	fflush(stdout);

	while (!stopping) {
		struct pollfd poll = { .fd = device, .events = POLLIN };
		int64_t left = queue ? queue->due - now() : 1000000000;
		struct timespec wait = { .tv_sec = left > 0 ? left / 1000000000 : 0,
					 .tv_nsec = left > 0 ? left % 1000000000 : 0 };
		ssize_t length;

		ppoll(&poll, 1, &wait, NULL);
		while ((length = read(device, packet, sizeof packet)) > 0)
			answer(packet, length);
		while (queue && queue->due <= now()) {
			struct reply *reply = queue;

			queue = reply->next;
			if (write(device, reply->packet, reply->length) < 0)
				perror("write");
			free(reply);
		}
	}
	for (int i = 0; i < rule_count; i++) {
		printf("{\"last\":%d,\"requests\":%ld", rules[i].last, rules[i].requests);
		for (int knob = LOST; knob < KNOBS; knob++)
			printf(",\"%s\":%ld", names[knob], rules[i].done[knob]);
		puts("}");
	}
	return 0;
}
