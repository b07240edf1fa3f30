// SPDX-License-Identifier: GPL-2.0
/*
 * Secret keys in files, and the care they want.
 */
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "err.h"
#include "format.h"
#include "keyfile.h"

#define BLANKS	" \t\r\n"

bool keyfile_strict;

static int check_mode(int fd, const char *path, const char *verb)
{
	static const char text[] =
		"%s can be %s by others than its owner (mode %03o): 'chmod 600' it";
	struct stat st;

	if (fstat(fd, &st) || !S_ISREG(st.st_mode))
		return 0;
	if (keyfile_strict && st.st_uid && st.st_uid != geteuid())
		return err("%s belongs to user %u: it must be root's, or yours",
			   path, st.st_uid);
	if (!(st.st_mode & 077))
		return 0;
	if (keyfile_strict)
		return err(text, path, verb, st.st_mode & 0777U);
	warn(text, path, verb, st.st_mode & 0777U);
	return 0;
}

/* Without stdio, whose buffers would keep a copy. Bytes read, or -1. */
static ssize_t read_all(int fd, char *text, size_t size)
{
	size_t len = 0;
	ssize_t got = 1;

	while (len < size && got) {
		got = read(fd, text + len, size - len);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0)
			return -1;
		len += (size_t)got;
	}
	return (ssize_t)len;
}

/* Cuts blanks at both ends; returns the start. */
static char *trim(char *text)
{
	size_t len;

	text += strspn(text, BLANKS);
	len = strlen(text);
	while (len && strchr(BLANKS, text[len - 1]))
		len--;
	text[len] = '\0';
	return text;
}

static int parse_text(uint8_t key[NETVEIL_KEY_LEN], char *text, ssize_t len,
		      const char *path, const char *what)
{
	const char *reason;

	if (len < 0)
		return err("%s: cannot read %s: %s", what, path,
			   strerror(errno));
	text[len] = '\0';
	reason = parse_key(key, trim(text));
	if (reason)
		return err("%s: %s holds no key: %s", what, path, reason);
	if (key_is_zero(key))
		return err("%s: the key in %s is all zeros, which protects nothing: make one with 'veil genkey' or 'veil genpsk'",
			   what, path);
	return 0;
}

static int read_fd(uint8_t key[NETVEIL_KEY_LEN], int fd, const char *path,
		   const char *what)
{
	/* A key with blanks around it; what is longer is no key. */
	char text[256];
	int code;

	code = check_mode(fd, path, "read");
	if (!code)
		code = parse_text(key, text,
				  read_all(fd, text, sizeof(text) - 1), path,
				  what);
	explicit_bzero(text, sizeof(text));
	return code;
}

int keyfile_read(uint8_t key[NETVEIL_KEY_LEN], const char *path,
		 const char *what)
{
	int fd, code;

	if (!strcmp(path, "-"))
		return read_fd(key, STDIN_FILENO, "standard input", what);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return err("%s: cannot open %s: %s", what, path,
			   strerror(errno));
	code = read_fd(key, fd, path, what);
	close(fd);
	return code;
}

int keyfile_print(const uint8_t key[NETVEIL_KEY_LEN])
{
	char text[TEXT_LEN];
	size_t len, done = 0;
	int code = 0;

	check_mode(STDOUT_FILENO, "the file on standard output", "read");
	format_key(text, key);
	len = strlen(text);
	text[len++] = '\n';
	while (done < len && !code) {
		ssize_t put = write(STDOUT_FILENO, text + done, len - done);

		if (put >= 0)
			done += (size_t)put;
		else if (errno != EINTR)
			code = err("cannot write the key: %s", strerror(errno));
	}
	explicit_bzero(text, sizeof(text));
	return code;
}
