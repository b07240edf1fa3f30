// SPDX-License-Identifier: GPL-2.0
/*
 * Sends mutations of frames out of a device:
 *
 *   mutate DEVICE FILE COUNT SEED [HITS CORPUS]
 *
 * FILE holds frames, each behind its length in two bytes, big-endian: IPv4 or
 * IPv6, then UDP and a message, or ICMP.  COUNT of them go out, a random one each
 * time, with up to four changes to its text or a header, then most often with
 * lengths and checksums that fit, and now and then in fragments.  The same SEED
 * makes the same frames.  The last line of the output is "SENT KEPT
 * SECONDS".
 *
 * HITS is a file with a number that grows when a frame reached something new (that of
 * tests/coverage/hits.c).  The file CORPUS then keeps how the frame was made: from
 * which one of FILE, and where chance stood.  So the same changes can be made to the
 * frames of another session, which have other keys and indexes.  About half of all
 * frames are made like one that is kept, and are then changed further.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#include "frames.h"

#define FRAMES	4096
#define ROOM	(ETH_FRAME_LEN + 64)
#define RECIPES	4096
#define STEPS	16

struct frame {
	size_t len;		/* of all */
	size_t ip, l4, text;	/* where these begin */
	uint8_t protocol;	/* as it was */
	uint8_t data[ROOM];
};

/* Which seed, and where chance stood before each round of changes. */
struct recipe {
	uint32_t seed, steps;
	uint64_t chance[STEPS];
};

static struct frame seeds[FRAMES];
static unsigned int seed_count;
static struct recipe corpus[RECIPES];
static unsigned int kept, kept_before;
static FILE *corpus_file;
static unsigned long reached;
static int hits = -1;
static uint64_t state;
static unsigned long sent;
static int out;

static uint64_t draw(void)
{
	state ^= state << 13;
	state ^= state >> 7;
	state ^= state << 17;
	return state;
}

static unsigned int below(size_t limit)
{
	return limit ? (unsigned int)(draw() % limit) : 0;
}

static bool chance(unsigned int percent)
{
	return below(100) < percent;
}

static void put16(uint8_t *at, unsigned int value)
{
	at[0] = (uint8_t)(value >> 8);
	at[1] = (uint8_t)value;
}

static bool is_v6(const struct frame *frame)
{
	return frame->data[frame->ip] >> 4 == 6;
}

static void load(const char *path)
{
	FILE *file = frames_open(path);

	while (seed_count < FRAMES) {
		struct frame *frame = &seeds[seed_count];

		frame->len = frames_next(file, frame->data);
		if (!frame->len)
			break;
		if (frame->len < ETH_HLEN + 48)
			die("a frame that is cut short");
		seed_count++;
		frame->ip = ETH_HLEN;
		frame->l4 = frame->ip + (is_v6(frame) ? 40 : 20);
		frame->text = frame->l4 + 8;
		frame->protocol = frame->data[frame->ip + (is_v6(frame) ? 6 : 9)];
	}
	frames_close(file, path, seed_count);
}

/* A frame that the device does not take is none that the module has to judge. */
static void emit(const uint8_t *data, size_t len)
{
	while (send(out, data, len, 0) < 0 && (errno == ENOBUFS || errno == EAGAIN))
		;
	sent++;
}

/* Changes */

static uint64_t odd_number(void)
{
	static const uint64_t values[] = {
		0, 1, 2, 0x7f, 0x80, 0xff, 0x100, 0x7fff, 0x8000, 0xffff,
		0x10000, 0x7fffffff, 0x80000000, 0xffffffff, UINT64_MAX,
		UINT64_MAX >> 1, 1ull << 60, 1ull << 61,
	};

	return chance(70) ? values[below(sizeof(values) / sizeof(*values))] :
			    draw();
}

static void set_field(struct frame *frame, size_t begin, size_t end)
{
	size_t width = 1u << below(4), at;
	uint64_t value = odd_number();
	size_t i;

	if (end > frame->len)
		end = frame->len;
	if (end < begin + width)
		return;
	at = begin + below(end - begin - width + 1);
	for (i = 0; i < width; i++)
		frame->data[at + i] = (uint8_t)(value >> 8 * (width - 1 - i));
}

static void flip(struct frame *frame, size_t begin, size_t end)
{
	if (end > frame->len)
		end = frame->len;
	if (end > begin)
		frame->data[begin + below(end - begin)] ^= (uint8_t)(1 << below(8));
}

static void cut(struct frame *frame)
{
	frame->len = frame->text + below(frame->len - frame->text + 1);
}

static void grow(struct frame *frame)
{
	size_t more = below(chance(80) ? 40 : ETH_FRAME_LEN);

	while (more-- && frame->len < ETH_FRAME_LEN)
		frame->data[frame->len++] = (uint8_t)draw();
}

/* What another seed has there: say its index, or its sealed text. */
static void mix(struct frame *frame)
{
	const struct frame *other = &seeds[below(seed_count)];
	size_t at = below(frame->len - frame->text + 1);
	size_t len = 1 + below(64), i;

	for (i = at; i < at + len; i++)
		if (frame->text + i < frame->len && other->text + i < other->len)
			frame->data[frame->text + i] = other->data[other->text + i];
}

/* Room behind the fixed IP header: IPv4 options, an IPv6 extension header. */
static void insert_header(struct frame *frame)
{
	static const uint8_t kinds[] = { 0, 43, 44, 60, 51, 59, 135 };
	uint8_t *at = frame->data + frame->l4;
	size_t len = is_v6(frame) ? 8 : 4 * (1 + below(10)), i;

	if (frame->len + len > ETH_FRAME_LEN)
		return;
	memmove(at + len, at, frame->len - frame->l4);
	for (i = 0; i < len; i++)
		at[i] = chance(60) ? 1 : (uint8_t)draw();
	if (is_v6(frame)) {
		at[0] = frame->data[frame->ip + 6];
		at[1] = chance(80) ? 0 : (uint8_t)draw();
		frame->data[frame->ip + 6] = kinds[below(sizeof(kinds))];
	} else if (chance(90)) {
		frame->data[frame->ip] = (uint8_t)(0x45 + len / 4);
	}
	frame->l4 += len;
	frame->text += len;
	frame->len += len;
}

static void change(struct frame *frame)
{
	size_t head = frame->text + 32;

	switch (below(12)) {
	case 0:
		frame->data[frame->text] = (uint8_t)below(6);
		break;
	case 1:
		cut(frame);
		break;
	case 2:
		grow(frame);
		break;
	case 3:
		mix(frame);
		break;
	case 4:
		insert_header(frame);
		break;
	case 5:
		set_field(frame, frame->l4, frame->text);
		break;
	case 6:
		set_field(frame, frame->ip, frame->l4);
		break;
	case 7:
		flip(frame, frame->ip, frame->text);
		break;
	case 8:
		flip(frame, frame->text, frame->len);
		break;
	case 9:
		set_field(frame, frame->text, frame->len);
		break;
	default:
		set_field(frame, frame->text, head);
	}
}

/* Lengths and checksums */

static uint32_t sum_of(const uint8_t *data, size_t len, uint32_t sum)
{
	size_t i;

	for (i = 0; i + 1 < len; i += 2)
		sum += (uint32_t)(data[i] << 8 | data[i + 1]);
	return len % 2 ? sum + (uint32_t)(data[len - 1] << 8) : sum;
}

static unsigned int folded(uint32_t sum)
{
	while (sum >> 16)
		sum = (sum & 0xffff) + (sum >> 16);
	return ~sum & 0xffff;
}

static void fix_lengths(struct frame *frame)
{
	uint8_t *ip = frame->data + frame->ip, *l4 = frame->data + frame->l4;
	size_t len = frame->len - frame->l4;

	if (frame->protocol == IPPROTO_UDP)
		put16(l4 + 4, (unsigned int)len);
	if (is_v6(frame))
		put16(ip + 4, (unsigned int)(frame->len - frame->ip - 40));
	else
		put16(ip + 2, (unsigned int)(frame->len - frame->ip));
}

/* UDP's may be left out with IPv4; ICMP's has no pseudo header there. */
static void fix_l4_checksum(struct frame *frame)
{
	uint8_t *ip = frame->data + frame->ip, *l4 = frame->data + frame->l4;
	uint8_t *at = l4 + (frame->protocol == IPPROTO_UDP ? 6 : 2);
	size_t len = frame->len - frame->l4;
	uint32_t sum = frame->protocol + (uint32_t)len;
	unsigned int value;

	put16(at, 0);
	if (frame->protocol == IPPROTO_UDP && !is_v6(frame) && chance(30))
		return;
	if (is_v6(frame))
		sum = sum_of(ip + 8, 32, sum);
	else if (frame->protocol == IPPROTO_UDP)
		sum = sum_of(ip + 12, 8, sum);
	else
		sum = 0;
	value = folded(sum_of(l4, len, sum));
	put16(at, value ? value : 0xffff);
}

static void fix_ip_checksum(struct frame *frame)
{
	uint8_t *ip = frame->data + frame->ip;

	if (is_v6(frame))
		return;
	put16(ip + 10, 0);
	put16(ip + 10, folded(sum_of(ip, frame->l4 - frame->ip, 0)));
}

/* IPv4 fragments of random sizes, which may overlap, be lost or trade places. */
static void emit_fragments(struct frame *frame)
{
	size_t start = frame->l4 - frame->ip, end = frame->len - frame->ip;
	size_t at = 0, total = end - start;
	struct frame part;

	put16(frame->data + frame->ip + 4, (unsigned int)draw());
	while (at < total) {
		size_t len = 8 * (1 + below(20));
		bool last = at + len >= total;

		if (last)
			len = total - at;
		part = *frame;
		memcpy(part.data + frame->l4, frame->data + frame->l4 + at, len);
		part.len = frame->l4 + len;
		put16(part.data + part.ip + 2, (unsigned int)(part.len - part.ip));
		put16(part.data + part.ip + 6,
		      (unsigned int)(at / 8) | (last ? 0 : 0x2000));
		fix_ip_checksum(&part);
		if (!chance(3))
			emit(part.data, part.len);
		at += len - (chance(3) && len > 8 ? 8 : 0);
	}
}

/* Was anything new reached since the last call? */
static bool something_new(void)
{
	unsigned long before = reached;
	char text[24] = "";

	if (hits < 0)
		return false;
	if (pread(hits, text, sizeof(text) - 1, 0) <= 0)
		die("the number of hits");
	reached = strtoul(text, NULL, 10);
	return reached > before;
}

static void open_corpus(const char *hits_path, const char *path)
{
	hits = open(hits_path, O_RDONLY);
	if (hits < 0)
		die(hits_path);
	corpus_file = fopen(path, "a+b");
	if (!corpus_file)
		die(path);
	kept = (unsigned int)fread(corpus, sizeof(*corpus), RECIPES,
				   corpus_file);
	kept_before = kept;
	something_new();
}

static void keep(const struct recipe *recipe)
{
	if (kept == RECIPES || recipe->steps == STEPS)
		return;
	corpus[kept++] = *recipe;
	if (fwrite(recipe, sizeof(*recipe), 1, corpus_file) != 1)
		die("the corpus");
}

/* A seed as it is, or something kept: any, or rather one of the newest. */
static struct recipe parent(void)
{
	unsigned int i = kept;

	if (!kept || chance(50))
		return (struct recipe){ .seed = below(seed_count) };
	if (chance(50))
		return corpus[below(kept)];
	while (--i && chance(50))
		;
	return corpus[i];
}

static void make(struct frame *frame, const struct recipe *recipe)
{
	unsigned int i, changes;

	*frame = seeds[recipe->seed % seed_count];
	for (i = 0; i < recipe->steps; i++) {
		state = recipe->chance[i];
		changes = 1 + below(4);
		while (changes--)
			change(frame);
	}
	if (chance(85))
		fix_lengths(frame);
	if (chance(90))
		fix_l4_checksum(frame);
	if (chance(95))
		fix_ip_checksum(frame);
}

static void one(void)
{
	struct recipe recipe = parent();
	uint64_t later;
	struct frame frame;

	/* Not just what is drawn next, which would make the next frame much alike. */
	recipe.chance[recipe.steps++] = draw() * 0x9e3779b97f4a7c15;
	later = state;
	make(&frame, &recipe);
	if (!is_v6(&frame) && chance(4))
		emit_fragments(&frame);
	else
		emit(frame.data, frame.len);
	state = later;
	if (something_new())
		keep(&recipe);
}

static double now(void)
{
	struct timespec time;

	clock_gettime(CLOCK_MONOTONIC, &time);
	return (double)time.tv_sec + (double)time.tv_nsec / 1e9;
}

int main(int argc, char **argv)
{
	unsigned long count;
	double start;

	if (argc != 5 && argc != 7) {
		fprintf(stderr, "usage: mutate DEVICE FILE COUNT SEED [HITS CORPUS]\n");
		return 2;
	}
	load(argv[2]);
	count = strtoul(argv[3], NULL, 10);
	state = 0x9e3779b97f4a7c15 ^ strtoull(argv[4], NULL, 10) << 1;
	out = frames_device(argv[1]);
	if (argc == 7)
		open_corpus(argv[5], argv[6]);
	start = now();
	while (sent < count)
		one();
	if (corpus_file && fclose(corpus_file))
		die("the corpus");
	printf("%lu %u %.6f\n", sent, kept - kept_before, now() - start);
	return 0;
}
