// SPDX-License-Identifier: GPL-2.0
/*
 * Secrets from the kernel's keyrings, as an administrator names them by serial:
 * what user space cannot read either (logon), or only sealed (encrypted, trusted).
 *
 * A type is known by its name: its symbol may be in a module that this kernel
 * lacks.
 */
#include <linux/errno.h>
#include <linux/key-type.h>
#include <linux/netlink.h>
#include <linux/string.h>

#include "keyring.h"

#ifdef CONFIG_KEYS

#include <keys/encrypted-type.h>
#include <keys/trusted-type.h>
#include <keys/user-type.h>

/* The payload of key, whose semaphore is held, and its length; NULL if it has
 * none or is of a type that is not taken.
 */
static const void *veil_keyring_payload(const struct key *key, size_t *len)
{
	const struct encrypted_key_payload *encrypted = key->payload.data[0];
	const struct trusted_key_payload *trusted = key->payload.data[0];
	const struct user_key_payload *logon = key->payload.data[0];
	const char *type = key->type->name;

	if (!key->payload.data[0])
		return NULL;
	if (!strcmp(type, "logon")) {
		*len = logon->datalen;
		return logon->data;
	}
	if (!strcmp(type, "encrypted")) {
		*len = encrypted->decrypted_datalen;
		return encrypted->decrypted_data;
	}
	if (!strcmp(type, "trusted")) {
		*len = trusted->key_len;
		return trusted->key;
	}
	return NULL;
}

static int veil_keyring_copy(u8 to[VEIL_KEY_LEN], const struct key *key,
			     struct netlink_ext_ack *extack)
{
	const void *payload;
	size_t len = 0;

	payload = veil_keyring_payload(key, &len);
	if (!payload) {
		NL_SET_ERR_MSG_MOD(extack,
				   "a key from the keyring must be of type logon, encrypted or trusted");
		return -EINVAL;
	}
	if (len != VEIL_KEY_LEN) {
		NL_SET_ERR_MSG_MOD(extack,
				   "the key in the keyring is not 32 bytes long: store it in binary, say through base64 -d");
		return -EINVAL;
	}
	memcpy(to, payload, VEIL_KEY_LEN);
	return 0;
}

static int veil_keyring_refuse(int err, struct netlink_ext_ack *extack)
{
	switch (err) {
	case -ENOKEY:
		NL_SET_ERR_MSG_MOD(extack, "there is no such key in the keyrings");
		break;
	case -EACCES:
		NL_SET_ERR_MSG_MOD(extack,
				   "the key is in no keyring that this process possesses, and may not be searched: keyctl link KEY @u, and in a unit of systemd KeyringMode=shared");
		break;
	case -EKEYEXPIRED:
	case -EKEYREVOKED:
		NL_SET_ERR_MSG_MOD(extack,
				   "the key in the keyring has expired or was revoked");
		break;
	}
	return err;
}

int veil_keyring_read(u8 key[VEIL_KEY_LEN], s32 serial,
		      struct netlink_ext_ack *extack)
{
	key_ref_t ref;
	struct key *found;
	int err;

	/* Negative numbers stand for the caller's keyrings. */
	if (serial <= 0) {
		NL_SET_ERR_MSG_MOD(extack,
				   "the serial of a key is a positive number");
		return -EINVAL;
	}
	ref = lookup_user_key(serial, 0, KEY_NEED_SEARCH);
	if (IS_ERR(ref))
		return veil_keyring_refuse(PTR_ERR(ref), extack);
	found = key_ref_to_ptr(ref);
	down_read(&found->sem);
	err = key_validate(found);
	if (err)
		veil_keyring_refuse(err, extack);
	else
		err = veil_keyring_copy(key, found, extack);
	up_read(&found->sem);
	key_ref_put(ref);
	return err;
}

#else

int veil_keyring_read(u8 key[VEIL_KEY_LEN], s32 serial,
		      struct netlink_ext_ack *extack)
{
	NL_SET_ERR_MSG_MOD(extack,
			   "this kernel has no keyrings (CONFIG_KEYS)");
	return -EOPNOTSUPP;
}

#endif /* CONFIG_KEYS */
