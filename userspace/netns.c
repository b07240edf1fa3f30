// SPDX-License-Identifier: GPL-2.0
/*
 * Network namespaces as iproute2 names them.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <sched.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "err.h"
#include "netns.h"

#define NETNS_FOLDER	"/var/run/netns"

static int open_failed(const char *name, const char *path)
{
	if (errno == ENOENT)
		return err("network namespace '%s' not found: there is no %s; 'ip netns list' shows what there is",
			   name, path);
	return err("network namespace '%s': cannot open %s: %s", name, path,
		   strerror(errno));
}

static int setns_failed(const char *name, const char *path)
{
	if (errno == EPERM)
		return err("network namespace '%s': not permitted to enter it: run veil as root, or with sudo",
			   name);
	if (errno == EINVAL)
		return err("network namespace '%s': %s is no network namespace",
			   name, path);
	return err("network namespace '%s': %s", name, strerror(errno));
}

int netns_enter(const char *name)
{
	char path[PATH_MAX];
	int fd, code = 0;

	if (!*name)
		return err_usage("'-n' wants the name of a network namespace");
	snprintf(path, sizeof(path), "%s%s", strchr(name, '/') ? "" :
		 NETNS_FOLDER "/", name);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0)
		return open_failed(name, path);
	if (setns(fd, CLONE_NEWNET))
		code = setns_failed(name, path);
	close(fd);
	return code;
}

bool netns_is_elsewhere(const char *name)
{
	struct stat own, first;

	return name || (!stat("/proc/self/ns/net", &own) &&
			!stat("/proc/1/ns/net", &first) &&
			own.st_ino != first.st_ino);
}
