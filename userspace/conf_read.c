// SPDX-License-Identifier: GPL-2.0
/*
 * Configuration files from where they lie. Whoever can change one decides who is
 * protected, so their modes are looked at as ssh looks at its own.
 */
#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "conf.h"

/* 10,000 peers with 64 addresses each, and then some. */
#define SIZE_MAX_TEXT	(64U << 20)

static int check_owner(const struct stat *st, const char *path)
{
	if (st->st_uid && st->st_uid != geteuid())
		return err("%s belongs to user %u: it must be root's, or yours",
			   path, st->st_uid);
	/* A sticky folder lets nobody replace what is another's. */
	if (st->st_mode & 022 && !(S_ISDIR(st->st_mode) && st->st_mode & S_ISVTX))
		return err("%s can be changed by others than its owner (mode %03o): 'chmod go-w' it",
			   path, st->st_mode & 0777U);
	return 0;
}

static int check_folder(const char *folder)
{
	struct stat st;

	if (stat(folder, &st))
		return err("cannot look at %s: %s", folder, strerror(errno));
	return check_owner(&st, folder);
}

static int read_all(int fd, const char *path, char **text)
{
	size_t len = 0, size = 4096;
	ssize_t got = 1;

	*text = NULL;
	while (got) {
		*text = len + 1 >= size || !*text ?
			realloc(*text, size *= 2) : *text;
		if (!*text)
			die_no_memory();
		got = read(fd, *text + len, size - len - 1);
		if (got < 0 && errno == EINTR)
			continue;
		if (got < 0 || len > SIZE_MAX_TEXT)
			break;
		len += (size_t)got;
	}
	(*text)[len] = '\0';
	if (got < 0)
		return err("cannot read %s: %s", path, strerror(errno));
	if (got || strlen(*text) != len)
		return err("%s is no configuration file: it is too long, or has zero bytes in it",
			   path);
	return 0;
}

static int read_fd(struct conf *conf, int fd, const char *path,
		   const char *folder)
{
	char *text;
	int code = read_all(fd, path, &text);

	if (!code)
		return conf_parse(conf, text, path, folder);
	free(text);
	return code;
}

static char *folder_of(const char *path)
{
	const char *slash = strrchr(path, '/');

	if (!slash)
		return strdup(".");
	return strndup(path, slash == path ? 1 : (size_t)(slash - path));
}

static int read_file(struct conf *conf, const char *given)
{
	const char *path = conf_keep(conf, strdup(given));
	const char *folder = conf_keep(conf, folder_of(path));
	struct stat st;
	int fd, code = 0;

	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || fstat(fd, &st))
		code = err("cannot open %s: %s", path, strerror(errno));
	/* A pipe has no mode to speak of. */
	else if (S_ISREG(st.st_mode))
		code = check_owner(&st, path);
	if (!code && S_ISREG(st.st_mode))
		code = check_folder(folder);
	if (!code)
		code = read_fd(conf, fd, path, folder);
	if (fd >= 0)
		close(fd);
	return code;
}

static int is_conf(const struct dirent *entry)
{
	const char *dot = strrchr(entry->d_name, '.');

	return entry->d_name[0] != '.' && dot && !strcmp(dot, ".conf");
}

/* In the order of their names in the C locale; may: or none. */
static int read_folder(struct conf *conf, const char *folder, bool may)
{
	struct dirent **list;
	int count = scandir(folder, &list, is_conf, alphasort), i, code = 0;
	char *path;

	if (count < 0)
		return err("cannot list %s: %s", folder, strerror(errno));
	/* Not the same as a configuration without peers. */
	if (!count && !may)
		code = err("there is no *.conf in %s", folder);
	for (i = 0; i < count; i++) {
		if (asprintf(&path, "%s/%s", folder, list[i]->d_name) < 0)
			die_no_memory();
		if (!code)
			code = read_file(conf, path);
		free(path);
		free(list[i]);
	}
	free(list);
	return code;
}

static bool is_folder(const char *path)
{
	struct stat st;

	return !stat(path, &st) && S_ISDIR(st.st_mode);
}

int conf_read(struct conf *conf, const char *path)
{
	if (!path)
		path = CONF_FOLDER;
	if (!strcmp(path, "-"))
		return read_fd(conf, STDIN_FILENO, "standard input", ".");
	if (is_folder(path))
		return read_folder(conf, path, false);
	return read_file(conf, path);
}

int conf_read_known(struct conf *conf, const char *path)
{
	if (!path)
		path = CONF_FOLDER;
	if (access(path, F_OK))
		return 0;
	if (is_folder(path))
		return read_folder(conf, path, true);
	return read_file(conf, path);
}

static bool is_same_file(const char *one, const char *other)
{
	struct stat a, b;

	return !stat(one, &a) && !stat(other, &b) && a.st_dev == b.st_dev &&
	       a.st_ino == b.st_ino;
}

bool conf_is_beside(const char *path)
{
	struct dirent **list;
	bool found = false;
	char *name;
	int count, i;

	count = scandir(CONF_FOLDER, &list, is_conf, NULL);
	for (i = 0; i < count; i++) {
		if (asprintf(&name, CONF_FOLDER "/%s", list[i]->d_name) < 0)
			die_no_memory();
		found |= is_same_file(name, path);
		free(name);
		free(list[i]);
	}
	if (count >= 0)
		free(list);
	return found && count > 1;
}
