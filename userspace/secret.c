// SPDX-License-Identifier: GPL-2.0
/*
 * Secret keys by file, or by serial or description in the kernel's keyrings.
 */
#include <errno.h>
#include <string.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "err.h"
#include "keyfile.h"
#include "parse.h"
#include "secret.h"
#include "words.h"

#define KEYRING	"keyring:"

/* What the module takes; a description is looked for among them in turn. */
static const char *const types[] = { "logon", "encrypted", "trusted" };

/* The serial of the key that this process's keyrings have, or 0. */
static int32_t find(const char *type, const char *description)
{
	long serial = syscall(SYS_request_key, type, description, NULL, 0);

	return serial > 0 ? (int32_t)serial : 0;
}

static int32_t find_any(const char *description)
{
	int32_t serial = 0;
	size_t i;

	for (i = 0; i < ARRAY_LEN(types) && !serial; i++)
		serial = find(types[i], description);
	return serial;
}

int secret_take(struct secret *secret, const char *value, const char *what)
{
	size_t len = strlen(KEYRING);

	secret->given = true;
	if (strncmp(value, KEYRING, len))
		return keyfile_read(secret->key, value, what);
	value += len;
	secret->serial = parse_serial(value);
	if (!secret->serial)
		secret->serial = find_any(value);
	if (secret->serial)
		return 0;
	if (errno == ENOSYS)
		return err("%s: this kernel has no keyrings", what);
	return err("%s: no key '%s' of type logon, encrypted or trusted in the keyrings of this process: %s ('keyctl show' lists them)",
		   what, value, strerror(errno));
}

void secret_put(struct nlmsghdr *request, uint16_t type, uint16_t serial_type,
		const struct secret *secret)
{
	if (!secret->given)
		return;
	if (secret->serial)
		mnl_attr_put_u32(request, serial_type,
				 (uint32_t)secret->serial);
	else
		mnl_attr_put(request, type, NETVEIL_KEY_LEN, secret->key);
}
