// SPDX-License-Identifier: GPL-2.0
/*
 * Requests to the crypto API: memory, nonce and additional data.
 *
 * A request that was answered waits on its CPU for the next packet.  While one
 * is under way the place is empty, and the next packet has one allocated; so
 * what is asynchronous, or comes in between, needs no other way.
 */
#include <linux/percpu.h>
#include <linux/slab.h>

#include "request.h"

/* Enough for either AEAD and a packet in few pieces; more is allocated. */
#define VEIL_REQUEST_SIZE	1024

static DEFINE_PER_CPU(struct veil_request *, veil_request_spare);

void veil_request_exit(void)
{
	int cpu;

	for_each_possible_cpu(cpu)
		kfree(xchg(per_cpu_ptr(&veil_request_spare, cpu), NULL));
}

static struct veil_request *veil_request_get(size_t size)
{
	struct veil_request *request = NULL;

	if (size <= VEIL_REQUEST_SIZE) {
		size = VEIL_REQUEST_SIZE;
		request = this_cpu_xchg(veil_request_spare, NULL);
	}
	if (!request) {
		request = kmalloc(size, GFP_ATOMIC | __GFP_NOWARN);
		if (request)
			request->size = size;
	}
	return request;
}

struct veil_request *veil_request_alloc(struct veil_session *session,
					const struct veil_data_header *header,
					unsigned int pieces)
{
	size_t size = ALIGN(offsetof(struct veil_request, aead) +
			    session->request_size,
			    __alignof__(struct scatterlist));
	struct veil_request *request;

	request = veil_request_get(size +
				   (pieces + 1) * sizeof(struct scatterlist));
	if (!request)
		return NULL;
	request->session = session;
	request->skb = NULL;
	request->page = NULL;
	request->header = *header;
	veil_cipher_nonce(request->nonce, header);
	request->sg = (void *)request + size;
	sg_init_table(request->sg, pieces + 1);
	return request;
}

/* What the AEAD left in it may be secret: ChaCha20-Poly1305's one-time key. */
void veil_request_free(struct veil_request *request)
{
	memzero_explicit(&request->aead, request->session->request_size);
	if (request->size == VEIL_REQUEST_SIZE)
		request = this_cpu_xchg(veil_request_spare, request);
	kfree(request);
}

void veil_request_free_late(struct veil_request *request)
{
	struct veil_session *session = request->session;
	u16 lane = be16_to_cpu(request->header.lane);

	veil_request_free(request);
	veil_lane_release(session, lane);
}

void veil_request_late(veil_completion_data_t *data, int err)
{
	struct veil_request *request = veil_completion_context(data);

	if (err == -EINPROGRESS)
		return;
	veil_path_enter();
	kfree_skb(request->skb);
	if (request->page)
		put_page(request->page);
	veil_request_free_late(request);
	veil_path_leave();
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
