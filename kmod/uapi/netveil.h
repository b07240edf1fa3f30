/* SPDX-License-Identifier: GPL-2.0 WITH Linux-syscall-note */
/*
 * Netveil's generic netlink interface, family "netveil", version 1.
 *
 * The same is described for the ynl tools in netveil.yaml beside this file.
 * All requests want CAP_NET_ADMIN in the user namespace that owns the network
 * namespace.  Keys are write-only, but for public ones.  An error carries its
 * reason as extended ack text.
 */
#ifndef _UAPI_NETVEIL_H
#define _UAPI_NETVEIL_H

#define NETVEIL_FAMILY_NAME	"netveil"
#define NETVEIL_FAMILY_VERSION	1
/* Multicast group of events. */
#define NETVEIL_EVENTS_NAME	"events"

#define NETVEIL_KEY_LEN		32
/* Addresses of one peer, at most. */
#define NETVEIL_ADDRESSES_MAX	64
/* Prefixes behind one peer, and local ones, at most. */
#define NETVEIL_PREFIXES_MAX	1024
#define NETVEIL_LOCALS_MAX	256

/**
 * enum netveil_cmd - commands
 * @NETVEIL_CMD_UNSPEC: none
 * @NETVEIL_CMD_GET: this namespace's state: NETVEIL_A_PUBLIC_KEY (absent
 *	without an identity), _KEY_ORIGIN, _LISTEN_PORT, _CIPHER, _AEADS,
 *	_DROP for every reason, _PEERS, _LOCAL, _RX_MARK, _RX_MASK; with a next
 *	identity _NEXT_PUBLIC_KEY, _NEXT_KEY_ORIGIN, and _RETIRE if a date is
 *	set; _CONFIRM, the seconds that are left, during a trial
 * @NETVEIL_CMD_SET: set any of _PRIVATE_KEY or _GENERATE, _LISTEN_PORT,
 *	_CIPHER, _LOCAL or _NO_LOCAL, _RX_MARK with _RX_MASK, _NEXT_PRIVATE_KEY
 *	or _GENERATE_NEXT or _NO_NEXT or (without a current one) _RETIRE, the
 *	private keys also by their _SERIAL, _FORCE; of both keys, none is set if
 *	the next one is our only one by now; answers as @NETVEIL_CMD_GET does,
 *	so that the maker of a key learns its public half
 * @NETVEIL_CMD_PEER_GET: one peer by _PEER/_PUBLIC_KEY, or all as a dump; each
 *	message holds one NETVEIL_A_PEER
 * @NETVEIL_CMD_PEER_ADD: new peer from NETVEIL_A_PEER; -EEXIST if known
 * @NETVEIL_CMD_PEER_SET: change the given properties of a known peer; -ENOENT
 * @NETVEIL_CMD_PEER_DEL: remove a peer by its public key; -ENOENT
 * @NETVEIL_CMD_FLUSH: remove all peers, policies, sessions and the identity
 * @NETVEIL_CMD_SESSION_RESET: forget the sessions of a peer, given by
 *	_PEER/_PUBLIC_KEY, or of all; their keys are wiped when it returns
 * @NETVEIL_CMD_APPLY: many changes as one step: all that @NETVEIL_CMD_SET takes,
 *	and any number of _CHANGE, or nothing of it; no peer is changed by two.
 *	What is removed stays protected until what takes its addresses over is
 *	there: a peer, a policy or a network of ours may take the place of
 *	another
 * @NETVEIL_CMD_EVENT: sent to the group NETVEIL_EVENTS_NAME: NETVEIL_A_EVENT
 *	and what it concerns
 * @NETVEIL_CMD_POLICY_GET: all policies of prefixes as a dump; each message holds
 *	_PREFIX, _POLICY, _CLEAR_*, _DROPS
 * @NETVEIL_CMD_POLICY_ADD: give NETVEIL_A_PREFIX NETVEIL_A_POLICY; -EEXIST if it
 *	has one, -EADDRINUSE if it is a peer's
 * @NETVEIL_CMD_POLICY_SET: change it; -ENOENT
 * @NETVEIL_CMD_POLICY_DEL: remove it; -ENOENT
 * @NETVEIL_CMD_CONFIRM: keep the change that is on trial; -ENOENT if none is.
 *	Until it is confirmed or undone other changes of peers and policies are
 *	refused with -EBUSY; @NETVEIL_CMD_FLUSH ends the trial
 */
enum netveil_cmd {
	NETVEIL_CMD_UNSPEC,
	NETVEIL_CMD_GET,
	NETVEIL_CMD_SET,
	NETVEIL_CMD_PEER_GET,
	NETVEIL_CMD_PEER_ADD,
	NETVEIL_CMD_PEER_SET,
	NETVEIL_CMD_PEER_DEL,
	NETVEIL_CMD_FLUSH,
	NETVEIL_CMD_EVENT,
	NETVEIL_CMD_SESSION_RESET,
	NETVEIL_CMD_APPLY,
	NETVEIL_CMD_POLICY_GET,
	NETVEIL_CMD_POLICY_ADD,
	NETVEIL_CMD_POLICY_SET,
	NETVEIL_CMD_POLICY_DEL,
	NETVEIL_CMD_CONFIRM,
	__NETVEIL_CMD_MAX,
};

#define NETVEIL_CMD_MAX	(__NETVEIL_CMD_MAX - 1)

/**
 * enum netveil_attr - attributes of a message
 * @NETVEIL_A_UNSPEC: none
 * @NETVEIL_A_PAD: for alignment
 * @NETVEIL_A_PUBLIC_KEY: binary, %NETVEIL_KEY_LEN
 * @NETVEIL_A_PRIVATE_KEY: binary, %NETVEIL_KEY_LEN, never sent by the kernel
 * @NETVEIL_A_GENERATE: flag: the kernel makes a private key and keeps it
 * @NETVEIL_A_KEY_ORIGIN: u8, enum netveil_key_origin
 * @NETVEIL_A_LISTEN_PORT: u16, host order, 1 to 65472: lanes use the 63 ports
 *	after it
 * @NETVEIL_A_CIPHER: u8, enum netveil_cipher: what an administrator asked for
 * @NETVEIL_A_AEADS: binary, enum netveil_cipher per byte: what is offered to
 *	peers, fastest first
 * @NETVEIL_A_PEERS: u32, number of peers
 * @NETVEIL_A_PEER: nest, enum netveil_peer_attr
 * @NETVEIL_A_DROP: nest, enum netveil_drop_attr, one for each reason
 * @NETVEIL_A_EVENT: u8, enum netveil_event
 * @NETVEIL_A_NEXT_PUBLIC_KEY: binary, %NETVEIL_KEY_LEN
 * @NETVEIL_A_NEXT_PRIVATE_KEY: binary, %NETVEIL_KEY_LEN, never sent by the
 *	kernel: an identity beside the current one, by which peers may know us
 *	as well
 * @NETVEIL_A_GENERATE_NEXT: flag: the kernel makes it
 * @NETVEIL_A_NEXT_KEY_ORIGIN: u8, enum netveil_key_origin
 * @NETVEIL_A_NO_NEXT: flag: wipe it
 * @NETVEIL_A_RETIRE: u32, seconds, 0 for now: when the current identity is
 *	wiped, and the next one takes its place
 * @NETVEIL_A_FORCE: flag, with @NETVEIL_A_RETIRE of 0: also while there are peers
 *	that had no session under the next identity yet; with another next
 *	identity or @NETVEIL_A_NO_NEXT: also while there are some that have
 * @NETVEIL_A_PRIVATE_KEY_SERIAL: s32: the private key is the payload, 32 bytes,
 *	of this key in the kernel's keyrings: a logon, encrypted or trusted one
 *	that the caller may search
 * @NETVEIL_A_NEXT_PRIVATE_KEY_SERIAL: s32, "
 * @NETVEIL_A_CHANGE: nest, repeated: _COMMAND and what that command takes
 * @NETVEIL_A_COMMAND: u8, enum netveil_cmd: PEER_ADD, PEER_SET without
 *	addresses, PEER_DEL, POLICY_ADD, _SET or _DEL
 * @NETVEIL_A_PREFIX: binary, 5 or 17 bytes: an address in network order and a
 *	length in bits
 * @NETVEIL_A_POLICY: u8, enum netveil_policy
 * @NETVEIL_A_CLEAR_RX_PACKETS: u64, of a prefix that is preferred: packets from
 *	addresses without a peer that came in clear
 * @NETVEIL_A_CLEAR_TX_PACKETS: u64, packets to such that went in clear
 * @NETVEIL_A_CLEAR_LAST: u64, seconds since 1970 of the last that came
 * @NETVEIL_A_DROPS: u64, of a prefix that is required: packets to and from
 *	addresses without a peer
 * @NETVEIL_A_ADDRESS: binary, 4 or 16 bytes, of an event
 * @NETVEIL_A_REASON: string, of an event: a stable name in lower case
 * @NETVEIL_A_CONFIRM: u32, seconds, 1 to 86400: this change of a policy, or
 *	addition of a peer, is undone unless NETVEIL_CMD_CONFIRM comes before; in
 *	a GET: how many are left
 * @NETVEIL_A_LOCAL: binary: a network of ours, as NETVEIL_PEER_A_PREFIX;
 *	repeated, up to %NETVEIL_LOCALS_MAX times; replaces all in a SET
 * @NETVEIL_A_NO_LOCAL: flag, in a SET: no network of ours any more
 * @NETVEIL_A_RX_MARK: u32, with @NETVEIL_A_RX_MASK: these bits of the mark of
 *	packets that arrived sealed
 * @NETVEIL_A_RX_MASK: u32, the bits that are so on these, and 0 on all others
 *	that arrive; 0: marks are left alone
 * @NETVEIL_A_GENERATION: u32, in a GET: changes with the configuration; what was
 *	asked for between two that tell the same is of one configuration
 */
enum netveil_attr {
	NETVEIL_A_UNSPEC,
	NETVEIL_A_PAD,
	NETVEIL_A_PUBLIC_KEY,
	NETVEIL_A_PRIVATE_KEY,
	NETVEIL_A_GENERATE,
	NETVEIL_A_KEY_ORIGIN,
	NETVEIL_A_LISTEN_PORT,
	NETVEIL_A_CIPHER,
	NETVEIL_A_AEADS,
	NETVEIL_A_PEERS,
	NETVEIL_A_PEER,
	NETVEIL_A_DROP,
	NETVEIL_A_EVENT,
	NETVEIL_A_NEXT_PUBLIC_KEY,
	NETVEIL_A_NEXT_PRIVATE_KEY,
	NETVEIL_A_GENERATE_NEXT,
	NETVEIL_A_NEXT_KEY_ORIGIN,
	NETVEIL_A_NO_NEXT,
	NETVEIL_A_RETIRE,
	NETVEIL_A_FORCE,
	NETVEIL_A_PRIVATE_KEY_SERIAL,
	NETVEIL_A_NEXT_PRIVATE_KEY_SERIAL,
	NETVEIL_A_CHANGE,
	NETVEIL_A_COMMAND,
	NETVEIL_A_PREFIX,
	NETVEIL_A_POLICY,
	NETVEIL_A_CLEAR_RX_PACKETS,
	NETVEIL_A_CLEAR_TX_PACKETS,
	NETVEIL_A_CLEAR_LAST,
	NETVEIL_A_DROPS,
	NETVEIL_A_ADDRESS,
	NETVEIL_A_REASON,
	NETVEIL_A_CONFIRM,
	NETVEIL_A_LOCAL,
	NETVEIL_A_NO_LOCAL,
	NETVEIL_A_RX_MARK,
	NETVEIL_A_RX_MASK,
	NETVEIL_A_GENERATION,
	__NETVEIL_A_MAX,
};

#define NETVEIL_A_MAX	(__NETVEIL_A_MAX - 1)

/**
 * enum netveil_peer_attr - a peer, in NETVEIL_A_PEER
 * @NETVEIL_PEER_A_UNSPEC: none
 * @NETVEIL_PEER_A_PAD: for alignment
 * @NETVEIL_PEER_A_PUBLIC_KEY: binary, %NETVEIL_KEY_LEN; names the peer
 * @NETVEIL_PEER_A_ADDRESS: binary, 4 or 16 bytes in network order; repeated,
 *	up to %NETVEIL_ADDRESSES_MAX times, at least once unless it roams;
 *	replaces all addresses in a SET
 * @NETVEIL_PEER_A_ENDPOINT: binary, 4 or 16 bytes: the one of its addresses
 *	that handshakes go to; default: the first
 * @NETVEIL_PEER_A_ENDPOINT_PORT: u16, host order: its listen port; default:
 *	51888
 * @NETVEIL_PEER_A_PSK: binary, %NETVEIL_KEY_LEN, never sent by the kernel and
 *	never zero
 * @NETVEIL_PEER_A_NO_PSK: flag, in a SET: forget the psk
 * @NETVEIL_PEER_A_HAS_PSK: flag, from the kernel
 * @NETVEIL_PEER_A_STATE: u8, enum netveil_peer_state
 * @NETVEIL_PEER_A_LAST_HANDSHAKE: u64, seconds since 1970 of the last confirmed
 *	session; absent if there was none
 * @NETVEIL_PEER_A_SESSION_AGE: u64, milliseconds, of the current session
 * @NETVEIL_PEER_A_CIPHER: u8, enum netveil_cipher, of the current session
 * @NETVEIL_PEER_A_RX_BYTES: u64, plaintext bytes delivered, with IP headers
 * @NETVEIL_PEER_A_TX_BYTES: u64, plaintext bytes sealed, with IP headers
 * @NETVEIL_PEER_A_RX_PACKETS: u64
 * @NETVEIL_PEER_A_TX_PACKETS: u64
 * @NETVEIL_PEER_A_QUEUED: u32, packets that wait for a session
 * @NETVEIL_PEER_A_DROPS: u64, packets to or from this peer that were dropped
 * @NETVEIL_PEER_A_MTU: u32, known path MTU of outer packets
 * @NETVEIL_PEER_A_NEXT_KEY: binary, %NETVEIL_KEY_LEN: it may be known by this
 *	one as well, and by this alone from the first session on that was
 *	confirmed under it
 * @NETVEIL_PEER_A_NO_NEXT_KEY: flag, in a SET: forget it
 * @NETVEIL_PEER_A_PSK_NEXT: binary, %NETVEIL_KEY_LEN, never sent by the kernel
 *	and never zero: takes the psk's place with the first session confirmed
 *	under it
 * @NETVEIL_PEER_A_NO_PSK_NEXT: flag, in a SET: forget it
 * @NETVEIL_PEER_A_HAS_PSK_NEXT: flag, from the kernel
 * @NETVEIL_PEER_A_ON_NEXT: flag, from the kernel: its last session was under our
 *	next identity
 * @NETVEIL_PEER_A_PSK_SERIAL: s32, as NETVEIL_A_PRIVATE_KEY_SERIAL
 * @NETVEIL_PEER_A_PSK_NEXT_SERIAL: s32, "
 * @NETVEIL_PEER_A_POLICY: u8, enum netveil_policy, of its own addresses and
 *	prefixes; %NETVEIL_POLICY_REQUIRE for a new peer that gives none.
 *	%NETVEIL_POLICY_PREFER given again means both forms again
 * @NETVEIL_PEER_A_CONFIRMED: flag, from the kernel: a session was confirmed, and
 *	"prefer" is as "require" since then
 * @NETVEIL_PEER_A_CLEAR_RX_PACKETS: u64, packets from it that passed in clear
 * @NETVEIL_PEER_A_CLEAR_TX_PACKETS: u64, packets to it that passed in clear
 * @NETVEIL_PEER_A_CLEAR_LAST: u64, seconds since 1970 of the last from it; absent
 *	if there was none
 * @NETVEIL_PEER_A_PREFIX: binary, 5 or 17 bytes: a network behind the peer, its
 *	address in network order and then its length in bits; repeated, up to
 *	%NETVEIL_PREFIXES_MAX times; replaces all prefixes in a SET
 * @NETVEIL_PEER_A_NO_PREFIX: flag, in a SET: no network is behind it any more
 * @NETVEIL_PEER_A_ROAMING: u8, 0 or 1: it may be anywhere and move; its addresses
 *	are those inside the tunnel, and _ENDPOINT is where it was heard last,
 *	absent when that is not known
 * @NETVEIL_PEER_A_KEEPALIVE: u16, seconds without a packet to it after which one
 *	is sent, so that NAT on the way keeps its mapping; 0 never
 */
enum netveil_peer_attr {
	NETVEIL_PEER_A_UNSPEC,
	NETVEIL_PEER_A_PAD,
	NETVEIL_PEER_A_PUBLIC_KEY,
	NETVEIL_PEER_A_ADDRESS,
	NETVEIL_PEER_A_ENDPOINT,
	NETVEIL_PEER_A_ENDPOINT_PORT,
	NETVEIL_PEER_A_PSK,
	NETVEIL_PEER_A_NO_PSK,
	NETVEIL_PEER_A_HAS_PSK,
	NETVEIL_PEER_A_STATE,
	NETVEIL_PEER_A_LAST_HANDSHAKE,
	NETVEIL_PEER_A_SESSION_AGE,
	NETVEIL_PEER_A_CIPHER,
	NETVEIL_PEER_A_RX_BYTES,
	NETVEIL_PEER_A_TX_BYTES,
	NETVEIL_PEER_A_RX_PACKETS,
	NETVEIL_PEER_A_TX_PACKETS,
	NETVEIL_PEER_A_QUEUED,
	NETVEIL_PEER_A_DROPS,
	NETVEIL_PEER_A_MTU,
	NETVEIL_PEER_A_NEXT_KEY,
	NETVEIL_PEER_A_NO_NEXT_KEY,
	NETVEIL_PEER_A_PSK_NEXT,
	NETVEIL_PEER_A_NO_PSK_NEXT,
	NETVEIL_PEER_A_HAS_PSK_NEXT,
	NETVEIL_PEER_A_ON_NEXT,
	NETVEIL_PEER_A_PSK_SERIAL,
	NETVEIL_PEER_A_PSK_NEXT_SERIAL,
	NETVEIL_PEER_A_POLICY,
	NETVEIL_PEER_A_CONFIRMED,
	NETVEIL_PEER_A_CLEAR_RX_PACKETS,
	NETVEIL_PEER_A_CLEAR_TX_PACKETS,
	NETVEIL_PEER_A_CLEAR_LAST,
	NETVEIL_PEER_A_PREFIX,
	NETVEIL_PEER_A_NO_PREFIX,
	NETVEIL_PEER_A_ROAMING,
	NETVEIL_PEER_A_KEEPALIVE,
	__NETVEIL_PEER_A_MAX,
};

#define NETVEIL_PEER_A_MAX	(__NETVEIL_PEER_A_MAX - 1)

/**
 * enum netveil_drop_attr - a counter, in NETVEIL_A_DROP
 * @NETVEIL_DROP_A_UNSPEC: none
 * @NETVEIL_DROP_A_PAD: for alignment
 * @NETVEIL_DROP_A_REASON: string, a stable name in lower case
 * @NETVEIL_DROP_A_COUNT: u64
 */
enum netveil_drop_attr {
	NETVEIL_DROP_A_UNSPEC,
	NETVEIL_DROP_A_PAD,
	NETVEIL_DROP_A_REASON,
	NETVEIL_DROP_A_COUNT,
	__NETVEIL_DROP_A_MAX,
};

#define NETVEIL_DROP_A_MAX	(__NETVEIL_DROP_A_MAX - 1)

/**
 * enum netveil_cipher - AEADs, with their numbers on the wire
 * @NETVEIL_CIPHER_AUTO: the one that both ends together measured as faster
 * @NETVEIL_CIPHER_AES_256_GCM: AES-256-GCM
 * @NETVEIL_CIPHER_CHACHA20_POLY1305: ChaCha20-Poly1305
 */
enum netveil_cipher {
	NETVEIL_CIPHER_AUTO,
	NETVEIL_CIPHER_AES_256_GCM,
	NETVEIL_CIPHER_CHACHA20_POLY1305,
};

/**
 * enum netveil_key_origin - where the identity came from
 * @NETVEIL_KEY_NONE: there is none
 * @NETVEIL_KEY_KERNEL: made in the kernel, exists nowhere else
 * @NETVEIL_KEY_USER: given by NETVEIL_A_PRIVATE_KEY
 * @NETVEIL_KEY_KEYRING: given by NETVEIL_A_PRIVATE_KEY_SERIAL
 */
enum netveil_key_origin {
	NETVEIL_KEY_NONE,
	NETVEIL_KEY_KERNEL,
	NETVEIL_KEY_USER,
	NETVEIL_KEY_KEYRING,
};

/**
 * enum netveil_peer_state - of a peer's session
 * @NETVEIL_STATE_NONE: no session and no handshake
 * @NETVEIL_STATE_HANDSHAKE: no session yet, a handshake is going on
 * @NETVEIL_STATE_UP: there is a confirmed session
 */
enum netveil_peer_state {
	NETVEIL_STATE_NONE,
	NETVEIL_STATE_HANDSHAKE,
	NETVEIL_STATE_UP,
};

/**
 * enum netveil_policy - what may pass between this host and an address
 * @NETVEIL_POLICY_NONE: there is no policy: everything
 * @NETVEIL_POLICY_REQUIRE: what the address's peer and this host sealed for
 *	each other; without a peer nothing
 * @NETVEIL_POLICY_PREFER: both forms, until the first session with its peer was
 *	confirmed; then as @NETVEIL_POLICY_REQUIRE
 * @NETVEIL_POLICY_BYPASS: everything, in clear
 */
enum netveil_policy {
	NETVEIL_POLICY_NONE,
	NETVEIL_POLICY_REQUIRE,
	NETVEIL_POLICY_PREFER,
	NETVEIL_POLICY_BYPASS,
};

/**
 * enum netveil_event - what happened
 * @NETVEIL_EVENT_UNSPEC: nothing
 * @NETVEIL_EVENT_PEER_ADDED: with NETVEIL_A_PEER/_PUBLIC_KEY, as all that
 *	concern a peer
 * @NETVEIL_EVENT_PEER_REMOVED: by an administrator
 * @NETVEIL_EVENT_SESSION_UP: confirmed, the first one or after none
 * @NETVEIL_EVENT_SESSION_DOWN: the last session ended and no new one came
 * @NETVEIL_EVENT_PLAINTEXT: plaintext to or from a peer was dropped; at most
 *	one a second and peer
 * @NETVEIL_EVENT_WEAKENED: NETVEIL_A_PREFIX was under "require" and is no longer,
 *	for NETVEIL_A_REASON: policy-added, policy-changed, policy-removed,
 *	peer-added, peer-changed, peer-removed, local-changed, flush, applied,
 *	closed (a preferred peer said goodbye), confirm-expired; with the
 *	peer that protected it, if there was one
 * @NETVEIL_EVENT_PEER_REKEYED: the peer has this public key from now on, which
 *	was its next one; the one before is refused
 * @NETVEIL_EVENT_PSK_CHANGED: the peer's next psk is in use, the one before was
 *	wiped
 * @NETVEIL_EVENT_ACQUIRE: a packet to or from NETVEIL_A_ADDRESS, under "require"
 *	and no peer's, was dropped; at most ten a second
 * @NETVEIL_EVENT_POLICY_ADDED: NETVEIL_A_PREFIX has NETVEIL_A_POLICY now
 * @NETVEIL_EVENT_POLICY_REMOVED: it has it no more
 * @NETVEIL_EVENT_CONFIRM_EXPIRED: a change on trial of NETVEIL_A_PREFIX or a peer
 *	was not confirmed, and was undone
 * @NETVEIL_EVENT_MOVED: a peer that roams was proven to be at another endpoint
 */
enum netveil_event {
	NETVEIL_EVENT_UNSPEC,
	NETVEIL_EVENT_PEER_ADDED,
	NETVEIL_EVENT_PEER_REMOVED,
	NETVEIL_EVENT_SESSION_UP,
	NETVEIL_EVENT_SESSION_DOWN,
	NETVEIL_EVENT_PLAINTEXT,
	NETVEIL_EVENT_WEAKENED,
	NETVEIL_EVENT_PEER_REKEYED,
	NETVEIL_EVENT_PSK_CHANGED,
	NETVEIL_EVENT_ACQUIRE,
	NETVEIL_EVENT_POLICY_ADDED,
	NETVEIL_EVENT_POLICY_REMOVED,
	NETVEIL_EVENT_CONFIRM_EXPIRED,
	NETVEIL_EVENT_MOVED,
};

#endif /* _UAPI_NETVEIL_H */
