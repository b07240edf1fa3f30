// SPDX-License-Identifier: GPL-2.0
/*
 * Requests to the crypto API: memory, nonce and additional data.
 */
#include <linux/slab.h>

#include "request.h"

struct veil_request *veil_request_alloc(struct veil_session *session,
					const struct veil_data_header *header,
					unsigned int pieces)
{
	size_t size = ALIGN(offsetof(struct veil_request, aead) +
			    session->request_size,
			    __alignof__(struct scatterlist));
	struct veil_request *request;

	request = kmalloc(size + (pieces + 1) * sizeof(struct scatterlist),
			  GFP_ATOMIC | __GFP_NOWARN);
	if (!request)
		return NULL;
	request->session = session;
	request->header = *header;
	veil_cipher_nonce(request->nonce, header);
	request->sg = (void *)request + size;
	sg_init_table(request->sg, pieces + 1);
	veil_lane_hold(session, be16_to_cpu(header->lane));
	return request;
}

void veil_request_free(struct veil_request *request)
{
	struct veil_session *session = request->session;
	u16 lane = be16_to_cpu(request->header.lane);

	kfree_sensitive(request);
	veil_lane_release(session, lane);
}

unsigned int veil_request_aad(struct veil_request *request,
			      const struct veil_addr_pair *addrs)
{
	unsigned int len = sizeof(request->header);
	u8 *aad = request->aad;

	memcpy(aad, &request->header, len);
	if (request->header.flags & VEIL_DATA_TUNNEL)
		return len;
	if (veil_addr_is_v4(&addrs->source)) {
		memcpy(aad + len, &addrs->source.s6_addr32[3], 4);
		memcpy(aad + len + 4, &addrs->destination.s6_addr32[3], 4);
		return len + 8;
	}
	memcpy(aad + len, addrs, sizeof(*addrs));
	return len + sizeof(*addrs);
}
