// SPDX-License-Identifier: GPL-2.0
/*
 * Runs published Noise test vectors through kmod/noise.c, both ends.
 *
 *   noise-vectors FILE
 *
 * FILE is JSON as cacophony and snow publish it.  Prints in KTAP what was made
 * of every vector of our protocol, compared with what the file says where it
 * does; vectors of other protocols are skipped.  Exit code: 0 if all agree, 1 if
 * one differs, 2 if FILE cannot be read as test vectors.
 */
#include "noise.h"

#include <jansson.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#define PAYLOAD_MAX	65535

struct bytes {
	u8 *data;
	size_t len;
	bool given;
};

struct message {
	struct bytes payload, ciphertext;
};

struct vector {
	struct bytes init_prologue, resp_prologue;
	u8 init_psk[VEIL_KEY_LEN], resp_psk[VEIL_KEY_LEN];
	u8 init_ephemeral[VEIL_KEY_LEN], resp_ephemeral[VEIL_KEY_LEN];
	struct veil_identity init, resp;
	u8 init_remote[VEIL_KEY_LEN];
	struct bytes hash;
	struct message *messages;
	size_t count;
};

static const char *file_name;
static size_t vector_number;	/* from 1 on; 0 before the first */
static bool differs;

static void malformed(const char *format, ...)
	__attribute__((noreturn, format(printf, 1, 2)));

static void malformed(const char *format, ...)
{
	va_list args;

	fflush(stdout);
	fprintf(stderr, "noise-vectors: %s: ", file_name);
	if (vector_number)
		fprintf(stderr, "vector %zu: ", vector_number);
	va_start(args, format);
	vfprintf(stderr, format, args);
	va_end(args);
	fputc('\n', stderr);
	/* Not exit(), which would look for leaks in what was begun. */
	_exit(2);
}

static int hex_digit(char c)
{
	if (c >= '0' && c <= '9')
		return c - '0';
	if (c >= 'a' && c <= 'f')
		return c - 'a' + 10;
	if (c >= 'A' && c <= 'F')
		return c - 'A' + 10;
	return -1;
}

static struct bytes from_hex(const json_t *value, const char *what)
{
	struct bytes bytes = { .given = true };
	const char *text;
	size_t i;

	if (!json_is_string(value))
		malformed("\"%s\" is not a string", what);
	text = json_string_value(value);
	if (strlen(text) % 2)
		malformed("\"%s\" has an odd number of hex digits", what);
	bytes.len = strlen(text) / 2;
	if (bytes.len > PAYLOAD_MAX)
		malformed("\"%s\" is longer than a Noise message", what);
	bytes.data = calloc(1, bytes.len + 1);
	for (i = 0; i < bytes.len; i++) {
		int high = hex_digit(text[2 * i]);
		int low = hex_digit(text[2 * i + 1]);

		if (high < 0 || low < 0)
			malformed("\"%s\" has a character that is not a hex digit",
				  what);
		bytes.data[i] = high << 4 | low;
	}
	return bytes;
}

static struct bytes optional(const json_t *object, const char *name)
{
	const json_t *value = json_object_get(object, name);
	struct bytes none = {};

	return value ? from_hex(value, name) : none;
}

static void key_from(u8 key[VEIL_KEY_LEN], struct bytes bytes, const char *name)
{
	if (!bytes.given)
		malformed("\"%s\" is missing", name);
	if (bytes.len != VEIL_KEY_LEN)
		malformed("\"%s\" has %zu bytes, not %d", name, bytes.len,
			  VEIL_KEY_LEN);
	memcpy(key, bytes.data, VEIL_KEY_LEN);
	free(bytes.data);
}

static void read_key(u8 key[VEIL_KEY_LEN], const json_t *object,
		     const char *name)
{
	key_from(key, optional(object, name), name);
}

static void read_psk(u8 psk[VEIL_KEY_LEN], const json_t *object,
		     const char *name)
{
	const json_t *list = json_object_get(object, name);

	if (!json_is_array(list) || json_array_size(list) != 1)
		malformed("\"%s\" is not a list of one key", name);
	key_from(psk, from_hex(json_array_get(list, 0), name), name);
}

static void read_identity(struct veil_identity *identity, const json_t *object,
			  const char *name)
{
	read_key(identity->private, object, name);
	if (veil_x25519_public(identity->public, identity->private))
		malformed("\"%s\": no public key can be made of it", name);
}

static void read_messages(struct vector *vector, const json_t *object)
{
	const json_t *list = json_object_get(object, "messages");
	size_t i;

	if (!json_is_array(list) || json_array_size(list) < 2)
		malformed("\"messages\" is not a list of two or more");
	vector->count = json_array_size(list);
	vector->messages = calloc(vector->count, sizeof(*vector->messages));
	for (i = 0; i < vector->count; i++) {
		const json_t *entry = json_array_get(list, i);
		struct message *message = &vector->messages[i];

		message->payload = optional(entry, "payload");
		message->ciphertext = optional(entry, "ciphertext");
		if (!message->payload.given)
			malformed("message %zu: \"payload\" is missing", i + 1);
	}
}

static void read_vector(struct vector *vector, const json_t *object)
{
	memset(vector, 0, sizeof(*vector));
	vector->init_prologue = optional(object, "init_prologue");
	vector->resp_prologue = optional(object, "resp_prologue");
	read_psk(vector->init_psk, object, "init_psks");
	read_psk(vector->resp_psk, object, "resp_psks");
	read_key(vector->init_ephemeral, object, "init_ephemeral");
	read_key(vector->resp_ephemeral, object, "resp_ephemeral");
	read_identity(&vector->init, object, "init_static");
	read_identity(&vector->resp, object, "resp_static");
	read_key(vector->init_remote, object, "init_remote_static");
	if (memcmp(vector->init_remote, vector->resp.public, VEIL_KEY_LEN))
		malformed("\"init_remote_static\" is not the public key of \"resp_static\"");
	vector->hash = optional(object, "handshake_hash");
	read_messages(vector, object);
}

static void free_vector(struct vector *vector)
{
	size_t i;

	for (i = 0; i < vector->count; i++) {
		free(vector->messages[i].payload.data);
		free(vector->messages[i].ciphertext.data);
	}
	free(vector->messages);
	free(vector->hash.data);
	free(vector->init_prologue.data);
	free(vector->resp_prologue.data);
}

static void print_hex(const char *name, const u8 *data, size_t len)
{
	printf("# %s: ", name);
	while (len--)
		printf("%02x", *data++);
	putchar('\n');
}

/* Prints what came out, and compares it if the file says what should. */
static void result(const char *name, const u8 *data, size_t len,
		   const struct bytes *expected)
{
	print_hex(name, data, len);
	if (!expected->given)
		return;
	if (expected->len == len && !memcmp(expected->data, data, len))
		return;
	printf("# %s differs, the file has:\n", name);
	print_hex(name, expected->data, expected->len);
	differs = true;
}

static void must(int err, const char *what)
{
	if (!err)
		return;
	printf("# %s failed with error %d\n", what, err);
	differs = true;
}

static void must_equal(const void *a, const void *b, size_t len,
		       const char *what)
{
	if (!memcmp(a, b, len))
		return;
	printf("# the two ends differ in %s\n", what);
	differs = true;
}

static void message1(const struct vector *vector, struct veil_noise *init,
		     struct veil_noise *resp)
{
	const struct veil_piece init_prologue = { vector->init_prologue.data,
						  vector->init_prologue.len };
	const struct veil_piece resp_prologue = { vector->resp_prologue.data,
						  vector->resp_prologue.len };
	const struct message *message = &vector->messages[0];
	size_t len = message->payload.len;
	u8 *msg = calloc(1, VEIL_NOISE1_LEN(len));
	u8 *payload = calloc(1, len + 1);
	u8 ss[VEIL_KEY_LEN];

	must(veil_x25519(ss, vector->init.private, vector->init_remote), "ss");
	must(veil_noise_write1(init, msg, &vector->init, vector->init_remote,
			       ss, vector->init_ephemeral, &init_prologue, 1,
			       message->payload.data, len), "writing message 1");
	result("message 1", msg, VEIL_NOISE1_LEN(len), &message->ciphertext);
	must(veil_noise_read1_static(resp, msg, &vector->resp, &resp_prologue,
				     1), "reading message 1 to its static key");
	must(veil_x25519(ss, vector->resp.private, resp->s_remote), "ss");
	must(veil_noise_read1_payload(resp, msg, ss, payload, len),
	     "reading message 1");
	must_equal(payload, message->payload.data, len, "payload 1");
	must_equal(resp->s_remote, vector->init.public, VEIL_KEY_LEN,
		   "the initiator's static key");
	free(payload);
	free(msg);
}

static void message2(const struct vector *vector, struct veil_noise *init,
		     struct veil_noise *resp)
{
	const struct message *message = &vector->messages[1];
	size_t len = message->payload.len;
	u8 *msg = calloc(1, VEIL_NOISE2_LEN(len));
	u8 *payload = calloc(1, len + 1);

	must(veil_noise_write2(resp, msg, vector->resp_psk,
			       vector->resp_ephemeral, message->payload.data,
			       len), "writing message 2");
	result("message 2", msg, VEIL_NOISE2_LEN(len), &message->ciphertext);
	must(veil_noise_read2(init, msg, &vector->init, vector->init_psk,
			      payload, len), "reading message 2");
	must_equal(payload, message->payload.data, len, "payload 2");
	free(payload);
	free(msg);
}

/* Message i of the transport phase: the ends take turns, the initiator first. */
static void transport(const struct vector *vector, size_t i,
		      const struct veil_noise_keys *keys)
{
	const struct message *message = &vector->messages[i];
	const u8 *key = i % 2 ? keys->responder : keys->initiator;
	size_t len = message->payload.len;
	u8 *sealed = calloc(1, len + VEIL_TAG_LEN);
	u8 *opened = calloc(1, len + 1);
	u64 counter = (i - 2) / 2;
	char name[32];

	snprintf(name, sizeof(name), "message %zu", i + 1);
	must(veil_noise_seal(sealed, message->payload.data, len, NULL, 0,
			     counter, key), name);
	result(name, sealed, len + VEIL_TAG_LEN, &message->ciphertext);
	must(veil_noise_open(opened, sealed, len + VEIL_TAG_LEN, NULL, 0,
			     counter, key), name);
	must_equal(opened, message->payload.data, len, name);
	free(opened);
	free(sealed);
}

static void run_vector(const struct vector *vector)
{
	struct veil_noise_keys init_keys, resp_keys;
	struct veil_noise init, resp;
	size_t i;

	message1(vector, &init, &resp);
	message2(vector, &init, &resp);
	must(veil_noise_split(&init, &init_keys), "the initiator's split");
	must(veil_noise_split(&resp, &resp_keys), "the responder's split");
	must_equal(&init_keys, &resp_keys, sizeof(init_keys),
		   "the keys or the hash");
	result("handshake_hash", init_keys.h, VEIL_HASH_LEN, &vector->hash);
	print_hex("split initiator", init_keys.initiator, VEIL_KEY_LEN);
	print_hex("split responder", init_keys.responder, VEIL_KEY_LEN);
	for (i = 2; i < vector->count; i++)
		transport(vector, i, &init_keys);
}

/* True if it agrees with the file, or is not for us. */
static bool try_vector(const json_t *object)
{
	const char *name;
	struct vector vector;

	name = json_string_value(json_object_get(object, "protocol_name"));
	if (!name)
		malformed("\"protocol_name\" is missing or no string");
	if (strcmp(name, VEIL_NOISE_NAME)) {
		printf("ok %zu %s # SKIP not Netveil's protocol\n",
		       vector_number, name);
		return true;
	}
	read_vector(&vector, object);
	differs = false;
	run_vector(&vector);
	printf("%s %zu %s\n", differs ? "not ok" : "ok", vector_number, name);
	free_vector(&vector);
	return !differs;
}

static json_t *load(void)
{
	json_error_t error;
	json_t *root;

	root = json_load_file(file_name, JSON_REJECT_DUPLICATES, &error);
	if (!root && error.line > 0)
		malformed("line %d, column %d: %s", error.line, error.column,
			  error.text);
	if (!root)
		malformed("%s", error.text);
	return root;
}

int main(int argc, char **argv)
{
	json_t *root, *vectors;
	bool good = true;
	size_t count;

	if (argc != 2) {
		fprintf(stderr, "usage: noise-vectors FILE\n");
		return 2;
	}
	file_name = argv[1];
	root = load();
	vectors = json_object_get(root, "vectors");
	count = json_array_size(vectors);
	if (!count)
		malformed("no top-level list \"vectors\" with an entry");
	printf("KTAP version 1\n1..%zu\n", count);
	for (vector_number = 1; vector_number <= count; vector_number++)
		good &= try_vector(json_array_get(vectors, vector_number - 1));
	json_decref(root);
	return good ? 0 : 1;
}
