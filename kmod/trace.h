/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Tracepoints, under events/netveil/: sessions, the steps of handshakes, drops.
 * They name a peer by the first bytes of its public key and by its endpoint, and
 * hold nothing secret.  All but drops are told with peer->lock held: an endpoint
 * moves.
 */
#undef TRACE_SYSTEM
#define TRACE_SYSTEM netveil

#if !defined(_VEIL_TRACE_H) || defined(TRACE_HEADER_MULTI_READ)
#define _VEIL_TRACE_H

#include <linux/tracepoint.h>

#include "session.h"

#define VEIL_TRACE_KEY	8	/* bytes of a public key */
#define VEIL_TRACE_WORD	24	/* bytes of a word, with its zero */

DECLARE_EVENT_CLASS(veil_session,
	TP_PROTO(const struct veil_session *session),
	TP_ARGS(session),
	TP_STRUCT__entry(
		__field(unsigned int, netns)
		__array(u8, peer, VEIL_TRACE_KEY)
		__array(u8, endpoint, sizeof(struct in6_addr))
		__field(u32, index)
		__field(u8, aead)
		__field(bool, initiator)
		__field(u64, age)
	),
	TP_fast_assign(
		lockdep_assert_held(&session->peer->lock);
		__entry->netns = session->peer->vn->net->ns.inum;
		memcpy(__entry->peer,
		       READ_ONCE(session->peer->public_key), VEIL_TRACE_KEY);
		memcpy(__entry->endpoint, &session->peer->endpoint,
		       sizeof(struct in6_addr));
		__entry->index = session->index.id;
		__entry->aead = session->aead;
		__entry->initiator = session->initiator;
		__entry->age = div_u64(veil_session_age(session),
				       NSEC_PER_MSEC);
	),
	TP_printk("netns=%u peer=%s endpoint=%pI6c index=%08x aead=%s role=%s age=%llums",
		  __entry->netns, __print_hex_str(__entry->peer, VEIL_TRACE_KEY),
		  __entry->endpoint, __entry->index,
		  __print_symbolic(__entry->aead,
				   { VEIL_AEAD_AES_256_GCM, "aes-256-gcm" },
				   { VEIL_AEAD_CHACHA20_POLY1305,
				     "chacha20-poly1305" }),
		  __entry->initiator ? "initiator" : "responder",
		  __entry->age)
);

DEFINE_EVENT(veil_session, veil_session_made,
	TP_PROTO(const struct veil_session *session),
	TP_ARGS(session));

/* Something opened under it for the first time. */
DEFINE_EVENT(veil_session, veil_session_confirmed,
	TP_PROTO(const struct veil_session *session),
	TP_ARGS(session));

DEFINE_EVENT(veil_session, veil_session_ended,
	TP_PROTO(const struct veil_session *session),
	TP_ARGS(session));

/* step: rekey, initiation-sent, initiation-received, response-sent,
 * response-received, gave-up
 */
TRACE_EVENT(veil_handshake,
	TP_PROTO(const struct veil_peer *peer, const char *step),
	TP_ARGS(peer, step),
	TP_STRUCT__entry(
		__field(unsigned int, netns)
		__array(u8, peer, VEIL_TRACE_KEY)
		__array(u8, endpoint, sizeof(struct in6_addr))
		__array(char, step, VEIL_TRACE_WORD)
	),
	TP_fast_assign(
		lockdep_assert_held(&peer->lock);
		__entry->netns = peer->vn->net->ns.inum;
		memcpy(__entry->peer, READ_ONCE(peer->public_key),
		       VEIL_TRACE_KEY);
		memcpy(__entry->endpoint, &peer->endpoint,
		       sizeof(struct in6_addr));
		strscpy(__entry->step, step, VEIL_TRACE_WORD);
	),
	TP_printk("netns=%u peer=%s endpoint=%pI6c step=%s",
		  __entry->netns, __print_hex_str(__entry->peer, VEIL_TRACE_KEY),
		  __entry->endpoint, __entry->step)
);

/* peer: NULL where it is nobody's */
TRACE_EVENT(veil_drop,
	TP_PROTO(const struct veil_net *vn, const struct veil_peer *peer,
		 enum veil_drop reason),
	TP_ARGS(vn, peer, reason),
	TP_STRUCT__entry(
		__field(unsigned int, netns)
		__array(u8, peer, VEIL_TRACE_KEY)
		__array(char, reason, VEIL_TRACE_WORD)
	),
	TP_fast_assign(
		__entry->netns = vn->net->ns.inum;
		if (peer)
			memcpy(__entry->peer, READ_ONCE(peer->public_key),
			       VEIL_TRACE_KEY);
		else
			memset(__entry->peer, 0, VEIL_TRACE_KEY);
		strscpy(__entry->reason, veil_drop_names[reason],
			VEIL_TRACE_WORD);
	),
	TP_printk("netns=%u peer=%s reason=%s",
		  __entry->netns, __print_hex_str(__entry->peer, VEIL_TRACE_KEY),
		  __entry->reason)
);

#endif /* _VEIL_TRACE_H */

#undef TRACE_INCLUDE_PATH
#define TRACE_INCLUDE_PATH .
#undef TRACE_INCLUDE_FILE
#define TRACE_INCLUDE_FILE trace
#include <trace/define_trace.h>
