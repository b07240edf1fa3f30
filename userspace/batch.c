// SPDX-License-Identifier: GPL-2.0
/*
 * Requests that a configuration file asks for, collected instead of sent.
 */
#include <linux/genetlink.h>
#include <stdlib.h>
#include <string.h>

#include "batch.h"
#include "err.h"

void batch_add(struct batch *batch, const struct nlmsghdr *request)
{
	const struct genlmsghdr *genl = mnl_nlmsg_get_payload(request);
	struct change *list, *change;

	list = reallocarray(batch->list, batch->count + 1, sizeof(*list));
	if (!list)
		die_no_memory();
	batch->list = list;
	change = &list[batch->count++];
	change->command = genl->cmd;
	change->statement = batch->statement;
	change->len = (uint32_t)(mnl_nlmsg_get_payload_len(request) -
				 sizeof(*genl));
	change->attrs = malloc(change->len ? change->len : 1);
	if (!change->attrs)
		die_no_memory();
	memcpy(change->attrs, genl + 1, change->len);
}

int batch_refuse_trial(const struct batch *batch, uint32_t confirm,
		       const char *what)
{
	if (!batch || !confirm)
		return 0;
	return err_usage("%s: what a file says is not on trial: leave out confirm, which is for commands",
			 what);
}

void batch_free(struct batch *batch)
{
	size_t i;

	for (i = 0; i < batch->count; i++) {
		explicit_bzero(batch->list[i].attrs, batch->list[i].len);
		free(batch->list[i].attrs);
	}
	free(batch->list);
	memset(batch, 0, sizeof(*batch));
}
