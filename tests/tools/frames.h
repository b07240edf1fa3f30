/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Frames from a file, and the device that they go out of.
 *
 * The file holds frames, each behind its length in two bytes, big-endian.
 */
#ifndef _FRAMES_H
#define _FRAMES_H

#include <linux/if_ether.h>
#include <linux/if_packet.h>
#include <net/if.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/socket.h>

static inline void die(const char *what)
{
	perror(what);
	exit(1);
}

static inline FILE *frames_open(const char *path)
{
	FILE *file = fopen(path, "rb");

	if (!file)
		die(path);
	return file;
}

/* Bytes of the next frame; 0 behind the last one. */
static inline size_t frames_next(FILE *file, uint8_t data[ETH_FRAME_LEN])
{
	uint8_t bytes[2];
	size_t len;

	if (fread(bytes, sizeof(bytes), 1, file) != 1)
		return 0;
	len = bytes[0] << 8 | bytes[1];
	if (!len || len > ETH_FRAME_LEN || fread(data, len, 1, file) != 1)
		die("a frame that is cut short");
	return len;
}

static inline void frames_close(FILE *file, const char *path,
				unsigned int count)
{
	fclose(file);
	if (!count) {
		fprintf(stderr, "%s: no frames\n", path);
		exit(1);
	}
}

static inline int frames_device(const char *name)
{
	struct sockaddr_ll addr = {
		.sll_family = AF_PACKET,
		.sll_ifindex = (int)if_nametoindex(name),
	};
	int fd, on = 1;

	fd = socket(AF_PACKET, SOCK_RAW, 0);
	if (fd < 0 || !addr.sll_ifindex)
		die(name);
	if (bind(fd, (struct sockaddr *)&addr, sizeof(addr)) ||
	    setsockopt(fd, SOL_PACKET, PACKET_QDISC_BYPASS, &on, sizeof(on)))
		die(name);
	return fd;
}

#endif /* _FRAMES_H */
