/* SPDX-License-Identifier: GPL-2.0 */
/*
 * Netveil on the wire: message layouts, protocol constants, limits and times.
 *
 * No code.  PROTOCOL.md beside this file says why each of them is as it is;
 * all integers are big-endian, reserved bytes and bits are zero.
 */
#ifndef _VEIL_MESSAGES_H
#define _VEIL_MESSAGES_H

#include <linux/types.h>

#define VEIL_KEY_LEN		32	/* X25519 and AEAD keys, psk */
#define VEIL_HASH_LEN		32	/* SHA-256 */
#define VEIL_TAG_LEN		16	/* both AEADs */
#define VEIL_MAC_LEN		16	/* mac1 and mac2 */
#define VEIL_PSK_ID_LEN		8
#define VEIL_PSKS_MAX		2	/* psk ids offered in an initiation */
#define VEIL_PAIR_KEY_LEN	16	/* SipHash-2-4 */
#define VEIL_ADDR_LEN		16	/* IPv6, or IPv4 mapped into it */
#define VEIL_COOKIE_LEN		16
#define VEIL_TOKEN_LEN		8	/* of a challenge */
#define VEIL_SALT_LEN		32	/* of a cookie reply */

#define VEIL_PROTOCOL_VERSION	1
#define VEIL_PORT		51888
#define VEIL_LANES_MAX		64

/* HMAC labels; the terminating zero is not part of any of them. */
#define VEIL_NOISE_NAME		"Noise_IKpsk2_25519_ChaChaPoly_SHA256"
#define VEIL_LABEL_PROLOGUE	"netveil v1"
#define VEIL_LABEL_PSK_ID	"netveil v1 psk id"
#define VEIL_LABEL_PAIR		"netveil v1 pair"
#define VEIL_LABEL_MAC1		"netveil v1 mac1"
#define VEIL_LABEL_COOKIE	"netveil v1 cookie"
#define VEIL_LABEL_DATA		"netveil v1 data"

enum veil_message_type {
	VEIL_MSG_INITIATION	= 1,
	VEIL_MSG_RESPONSE	= 2,
	VEIL_MSG_COOKIE		= 3,
	VEIL_MSG_DATA		= 4,
};

/* The AEAD ids of the wire; 0 stands for "none" in a list. */
enum veil_aead_id {
	VEIL_AEAD_NONE			= 0,
	VEIL_AEAD_AES_256_GCM		= 1,
	VEIL_AEAD_CHACHA20_POLY1305	= 2,
	VEIL_AEAD_MAX			= 2,
};

/* 12 bytes: seconds since 1970 plus 2^62 + 10, then nanoseconds. */
struct veil_tai64n {
	__be64 seconds;
	__be32 nanoseconds;
} __packed;

struct veil_macs {
	u8 mac1[VEIL_MAC_LEN];
	u8 mac2[VEIL_MAC_LEN];
} __packed;

/* Flags of both payloads; the other bits are reserved. */
enum veil_payload_flags {
	VEIL_PAYLOAD_ROAMS	= 0x01,	/* the receiver roams, for the sender */
	VEIL_PAYLOAD_FLAGS	= 0x01,
};

/* What the initiator offers; sealed in Noise message 1. */
struct veil_offer {
	u8 aead[VEIL_AEAD_MAX];	/* fastest first, unused places 0 */
	u8 lanes;		/* receive lanes, 1 to VEIL_LANES_MAX */
	u8 flags;		/* enum veil_payload_flags */
	u8 source[VEIL_ADDR_LEN];	/* as its sender knows them: an */
	u8 destination[VEIL_ADDR_LEN];	/* address that differs tells of NAT */
	u8 psk_id[VEIL_PSKS_MAX][VEIL_PSK_ID_LEN];	/* newest first, or 0 */
} __packed;

/* What the responder chose; sealed in Noise message 2. */
struct veil_choice {
	u8 aead;
	u8 lanes;
	u8 flags;		/* enum veil_payload_flags */
	u8 reserved;
	__be32 sender;		/* sealed: in clear anybody could alter it */
	u8 source[VEIL_ADDR_LEN];
	u8 destination[VEIL_ADDR_LEN];
} __packed;

/* Noise message 1: e, encrypted s, encrypted payload. */
#define VEIL_NOISE1_LEN(payload) \
	(VEIL_KEY_LEN + VEIL_KEY_LEN + VEIL_TAG_LEN + (payload) + VEIL_TAG_LEN)
/* Noise message 2: e, encrypted payload. */
#define VEIL_NOISE2_LEN(payload)	(VEIL_KEY_LEN + (payload) + VEIL_TAG_LEN)

/* The clear header of an initiation up to the stamp: part of the prologue. */
struct veil_initiation_header {
	u8 type;
	u8 version;
	u8 reserved[2];
	__be32 sender;
	struct veil_tai64n time;
} __packed;

struct veil_initiation {
	struct veil_initiation_header header;
	__be64 stamp;		/* SipHash-2-4(K_pair, header || noise) */
	u8 noise[VEIL_NOISE1_LEN(sizeof(struct veil_offer))];
	struct veil_macs macs;
} __packed;

/* The clear header of a response: part of the data keys' derivation, and nothing that
 * can be altered without the response being refused.
 */
struct veil_response_header {
	u8 type;
	u8 version;
	u8 psk_choice;		/* 0: none, else 1 + place in the offer */
	u8 reserved;
	__be32 receiver;
} __packed;

struct veil_response {
	struct veil_response_header header;
	u8 noise[VEIL_NOISE2_LEN(sizeof(struct veil_choice))];
	u8 mac1[VEIL_MAC_LEN];
	__be64 stamp;		/* SipHash-2-4(K_pair, all before) */
	u8 reserved[8];
} __packed;

/* To an initiation from an unknown address, under load; shorter than that. */
struct veil_cookie_reply {
	u8 type;
	u8 reserved[3];
	__be32 receiver;
	u8 salt[VEIL_SALT_LEN];
	u8 cookie[VEIL_COOKIE_LEN + VEIL_TAG_LEN];
} __packed;

/* Flags of a data message; the other bits are reserved. */
enum veil_data_flags {
	VEIL_DATA_TUNNEL	= 0x01,	/* plaintext is a whole IP packet */
	VEIL_DATA_CSUM_PARTIAL	= 0x02,	/* L4 checksum holds the pseudo header's sum */
	VEIL_DATA_CLOSE		= 0x04,	/* sender forgets this session: empty plaintext */
	VEIL_DATA_CHALLENGE	= 0x08,	/* plaintext is a token; echo it from there */
	VEIL_DATA_ECHO		= 0x10,	/* plaintext is the token of a challenge */
	VEIL_DATA_FLAGS		= 0x1f,
};

struct veil_data_header {
	u8 type;
	u8 flags;
	__be16 lane;
	__be32 receiver;
	__be64 counter;
} __packed;

/* Ends the plaintext of a transport mode packet, after pad_length zeros. */
struct veil_trailer {
	u8 pad_length;
	u8 next_header;
} __packed;

#define VEIL_UDP_LEN		8
/* What sealing adds to a packet in transport mode. */
#define VEIL_TRANSPORT_OVERHEAD \
	(VEIL_UDP_LEN + sizeof(struct veil_data_header) + \
	 sizeof(struct veil_trailer) + VEIL_TAG_LEN)

/* What sealing adds in tunnel mode, besides the outer IP header. */
#define VEIL_TUNNEL_OVERHEAD \
	(VEIL_UDP_LEN + sizeof(struct veil_data_header) + VEIL_TAG_LEN)

/* Replay window of a lane, in packets; a power of two. Whoever sends a copy of a packet
 * ahead of many that are under way has those dropped that are further behind.
 */
#define VEIL_WINDOW_BITS	8192

/* Volume of one direction key: ask for a new one at, use it never beyond. */
#ifndef VEIL_TEST_LIMITS
#define VEIL_GCM_REKEY_BYTES	(1ULL << 42)
#define VEIL_GCM_REJECT_BYTES	(1ULL << 43)
#define VEIL_CHACHA_REKEY_PACKETS	(1ULL << 60)
#define VEIL_CHACHA_REJECT_PACKETS	(1ULL << 61)
/* Packets that did not authenticate: drop the session at, rekey at half. */
#define VEIL_GCM_FORGERIES	(1ULL << 52)
#define VEIL_CHACHA_FORGERIES	(1ULL << 36)
#else	/* what tests/vm/t_limits.py reaches; see Kbuild */
#define VEIL_GCM_REKEY_BYTES	(1ULL << 20)
#define VEIL_GCM_REJECT_BYTES	(1ULL << 23)
#define VEIL_CHACHA_REKEY_PACKETS	(1ULL << 10)
#define VEIL_CHACHA_REJECT_PACKETS	(1ULL << 13)
#define VEIL_GCM_FORGERIES	(1ULL << 7)
#define VEIL_CHACHA_FORGERIES	(1ULL << 6)
#endif

/* Seconds */
#ifndef VEIL_TEST_TIMES
#define VEIL_REKEY_AFTER_TIME		120	/* initiator, when sending */
#define VEIL_REKEY_RECEIVING_TIME	165	/* initiator, only receiving */
#define VEIL_REJECT_AFTER_TIME		180	/* nobody seals or opens */
#else	/* new keys all the time for tests/vm/t_soak.py; see Kbuild */
#define VEIL_REKEY_AFTER_TIME		3
#define VEIL_REKEY_RECEIVING_TIME	4
#define VEIL_REJECT_AFTER_TIME		20
#endif
#define VEIL_CONFIRM_TIMEOUT		15	/* an unconfirmed next session */
#define VEIL_RETRY_TIME			5
#define VEIL_GIVE_UP_TIME		90
#define VEIL_KEEPALIVE_TIME		10	/* after receiving, nothing sent */
#define VEIL_DEAD_TIME			15	/* after sending, nothing opened */
#define VEIL_RENEW_TIME			30	/* tries under a next key */
#define VEIL_STALE_QUIET_TIME		5	/* answers to stale or unknown */
#define VEIL_COOKIE_TIME		120	/* a cookie, and its secret */

/* One tick of a sender's clock: 2^24 ns, about 16 ms. */
#define VEIL_TICK_NS		(1U << 24)

#endif /* _VEIL_MESSAGES_H */
