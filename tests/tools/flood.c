// SPDX-License-Identifier: GPL-2.0
/*
 * Sends frames out of a device, as fast as it goes or at a rate:
 *
 *   flood DEVICE FILE COUNT RATE [OFFSET:LENGTH]...
 *
 * FILE holds frames, each behind its length in two bytes, big-endian; they are
 * sent in turns until COUNT were.  RATE is frames a second, 0 for no limit.  What
 * lies at each OFFSET is random in every copy; IPv4 header checksums are right
 * again then, and UDP checksums are to be 0.  The last line of the output is
 * "SENT SECONDS".
 */
#include <arpa/inet.h>
#include <errno.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>

#include "frames.h"

#define BATCH	32
#define FRAMES	4096
#define VARIES	8

struct frame {
	size_t len;
	uint8_t data[ETH_FRAME_LEN];
};

static struct frame frames[FRAMES];
static unsigned int frame_count;
static struct {
	size_t offset, len;
} varies[VARIES];
static unsigned int vary_count;

static void load(const char *path)
{
	FILE *file = frames_open(path);

	while (frame_count < FRAMES) {
		struct frame *frame = &frames[frame_count];

		frame->len = frames_next(file, frame->data);
		if (!frame->len)
			break;
		frame_count++;
	}
	frames_close(file, path, frame_count);
}

static uint64_t next_random(void)
{
	static uint64_t state = 0x9e3779b97f4a7c15;

	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state;
}

static void fix_checksum(uint8_t *ip)
{
	uint32_t sum = 0;
	unsigned int i;

	if (ip[0] >> 4 != 4)
		return;
	ip[10] = 0;
	ip[11] = 0;
	for (i = 0; i < 20; i += 2)
		sum += ip[i] << 8 | ip[i + 1];
	sum = (sum & 0xffff) + (sum >> 16);
	sum += sum >> 16;
	ip[10] = (uint8_t)(~sum >> 8);
	ip[11] = (uint8_t)~sum;
}

static void vary(struct frame *frame)
{
	unsigned int i;
	size_t j;

	for (i = 0; i < vary_count; i++)
		for (j = 0; j < varies[i].len; j++)
			if (varies[i].offset + j < frame->len)
				frame->data[varies[i].offset + j] =
					(uint8_t)next_random();
	if (vary_count)
		fix_checksum(frame->data + ETH_HLEN);
}

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

static void pace(double start, unsigned long sent, unsigned long rate)
{
	double wait = rate ? start + (double)sent / (double)rate - now() : 0;
	struct timespec time;

	if (wait <= 0)
		return;
	time.tv_sec = (time_t)wait;
	time.tv_nsec = (long)((wait - (double)time.tv_sec) * 1e9);
	nanosleep(&time, NULL);
}

static void send_batch(int fd, unsigned int count)
{
	static struct frame copies[BATCH];
	struct mmsghdr messages[BATCH];
	struct iovec parts[BATCH];
	static unsigned int turn;
	unsigned int i, done = 0;
	int sent;

	memset(messages, 0, sizeof(messages));
	for (i = 0; i < count; i++) {
		copies[i] = frames[turn++ % frame_count];
		vary(&copies[i]);
		parts[i].iov_base = copies[i].data;
		parts[i].iov_len = copies[i].len;
		messages[i].msg_hdr.msg_iov = &parts[i];
		messages[i].msg_hdr.msg_iovlen = 1;
	}
	while (done < count) {
		sent = sendmmsg(fd, messages + done, count - done, 0);
		if (sent < 0 && errno != ENOBUFS && errno != EAGAIN)
			die("sendmmsg");
		done += sent > 0 ? (unsigned int)sent : 0;
	}
}

int main(int argc, char **argv)
{
	unsigned long count, rate, sent = 0;
	double start;
	int fd, i;

	if (argc < 5 || argc > 5 + VARIES) {
		fprintf(stderr, "usage: flood DEVICE FILE COUNT RATE [OFFSET:LENGTH]...\n");
		return 2;
	}
	load(argv[2]);
	count = strtoul(argv[3], NULL, 10);
	rate = strtoul(argv[4], NULL, 10);
	for (i = 5; i < argc; i++, vary_count++)
		if (sscanf(argv[i], "%zu:%zu", &varies[vary_count].offset,
			   &varies[vary_count].len) != 2)
			die(argv[i]);
	fd = frames_device(argv[1]);
	start = now();
	while (sent < count) {
		unsigned int batch = count - sent < BATCH ?
				     (unsigned int)(count - sent) : BATCH;

		send_batch(fd, batch);
		sent += batch;
		pace(start, sent, rate);
	}
	printf("%lu %.6f\n", sent, now() - start);
	return 0;
}
