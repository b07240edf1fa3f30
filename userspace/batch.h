/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Requests that a configuration file asks for, collected instead of sent: the
 * commands that make them are those of the command line.
 */
#ifndef VEIL_BATCH_H
#define VEIL_BATCH_H

#include <libmnl/libmnl.h>
#include <stdint.h>

#include "conf.h"

/* One request: its command and its attributes, secrets among them. */
struct change {
	uint8_t command;		/* enum netveil_cmd */
	const struct statement *statement;
	uint32_t len;
	struct nlattr *attrs;
};

struct batch {
	const struct statement *statement;	/* whose requests come now */
	struct change *list;
	size_t count;
};

/* For a command on trial for confirm seconds, 0 being none: a batch takes none.  An
 * exit code.
 */
int batch_refuse_trial(const struct batch *batch, uint32_t confirm,
		       const char *what);
void batch_add(struct batch *batch, const struct nlmsghdr *request);
/* Wipes what it held. */
void batch_free(struct batch *batch);

#endif /* VEIL_BATCH_H */
