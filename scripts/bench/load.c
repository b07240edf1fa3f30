// SPDX-License-Identifier: GPL-2.0
/*
 * The traffic of make bench, between two network namespaces of one machine.
 *
 * Every measurement is of a fixed amount of work, from its first byte until the
 * other end has all of it: what is under way at the end is not left out, and two
 * runs do the same.  The same amount, or a part of it, has gone before unmeasured.
 * Prints one JSON object.
 */
#define _GNU_SOURCE
#include <arpa/inet.h>
#include <err.h>
#include <errno.h>
#include <fcntl.h>
#include <netinet/icmp6.h>
#include <netinet/ip_icmp.h>
#include <netinet/tcp.h>
#include <sched.h>
#include <signal.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/personality.h>
#include <sys/prctl.h>
#include <sys/select.h>
#include <sys/socket.h>
#include <sys/time.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>

enum { BLOCK = 128 * 1024, FLOWS_MAX = 64, PORT = 5301, QUIET_S = 1 };

struct address {
	struct sockaddr_storage ss;
	socklen_t len;
};

/* A host of the measurement: its namespace and address. */
struct host {
	const char *ns;
	struct address addr;
};

/* One flow: its two sockets, and the pipe that starts each phase. */
struct flow {
	int sender, receiver;
	int start[2], done[2];
};

static char block[BLOCK];

static double now(void)
{
	struct timespec t;

	clock_gettime(CLOCK_MONOTONIC, &t);
	return t.tv_sec + t.tv_nsec / 1e9;
}

static void enter(const char *ns)
{
	char path[128];
	int fd;

	snprintf(path, sizeof(path), "/run/netns/%s", ns);
	fd = open(path, O_RDONLY | O_CLOEXEC);
	if (fd < 0 || setns(fd, CLONE_NEWNET))
		err(1, "namespace %s", ns);
	close(fd);
}

static struct address parse(const char *text, int port)
{
	struct address a = { .len = sizeof(struct sockaddr_in) };
	struct sockaddr_in *v4 = (void *)&a.ss;
	struct sockaddr_in6 *v6 = (void *)&a.ss;

	if (inet_pton(AF_INET, text, &v4->sin_addr) == 1) {
		v4->sin_family = AF_INET;
		v4->sin_port = htons(port);
		return a;
	}
	a.len = sizeof(struct sockaddr_in6);
	if (inet_pton(AF_INET6, text, &v6->sin6_addr) != 1)
		errx(1, "%s is no address", text);
	v6->sin6_family = AF_INET6;
	v6->sin6_port = htons(port);
	return a;
}

static struct address with_port(struct address a, int port)
{
	/* At the same offset in both families. */
	((struct sockaddr_in *)&a.ss)->sin_port = htons(port);
	return a;
}

static int new_socket(const struct host *host, int type)
{
	int fd = socket(host->addr.ss.ss_family, type, 0);

	if (fd < 0)
		err(1, "socket");
	return fd;
}

static int bound_socket(const struct host *host, int type, int port)
{
	struct address a = with_port(host->addr, port);
	int fd, on = 1;

	enter(host->ns);
	fd = new_socket(host, type);
	setsockopt(fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof(on));
	if (bind(fd, (void *)&a.ss, a.len))
		err(1, "bind");
	return fd;
}

static void connect_to(int fd, const struct host *host, int port)
{
	struct address a = with_port(host->addr, port);

	if (connect(fd, (void *)&a.ss, a.len))
		err(1, "connect");
}

static void no_delay(int fd)
{
	int on = 1;

	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof(on));
}

static int listen_at(const struct host *host, int port)
{
	int fd = bound_socket(host, SOCK_STREAM, port);

	if (listen(fd, 512))
		err(1, "listen");
	return fd;
}

static void tcp_pair(const struct host *from, const struct host *to, int port,
		     int *sender, int *receiver)
{
	int listener = listen_at(to, port);

	enter(from->ns);
	*sender = new_socket(from, SOCK_STREAM);
	connect_to(*sender, to, port);
	*receiver = accept(listener, NULL, NULL);
	if (*receiver < 0)
		err(1, "accept");
	close(listener);
}

static void udp_pair(const struct host *from, const struct host *to, int port,
		     int *sender, int *receiver)
{
	int room = 64 << 20;

	*receiver = bound_socket(to, SOCK_DGRAM, port);
	if (setsockopt(*receiver, SOL_SOCKET, SO_RCVBUFFORCE, &room, sizeof(room)))
		err(1, "SO_RCVBUFFORCE");
	*sender = bound_socket(from, SOCK_DGRAM, port + 1);
	connect_to(*sender, to, port);
	enter(to->ns);
	connect_to(*receiver, from, port + 1);
}

static void get_exactly(int fd, uint64_t bytes)
{
	ssize_t got;

	for (; bytes; bytes -= got) {
		got = recv(fd, block, bytes < BLOCK ? bytes : BLOCK, 0);
		if (got <= 0)
			err(1, "recv");
	}
}

static void put_exactly(int fd, uint64_t bytes)
{
	ssize_t put;

	for (; bytes; bytes -= put) {
		put = send(fd, block, bytes < BLOCK ? bytes : BLOCK, MSG_NOSIGNAL);
		if (put <= 0)
			err(1, "send");
	}
}

/* A process of its own that lives no longer than the measurement. */
static bool child(const char *name)
{
	pid_t pid = fork();

	if (pid < 0)
		err(1, "fork");
	if (pid)
		return false;
	prctl(PR_SET_PDEATHSIG, SIGKILL);
	prctl(PR_SET_NAME, name);
	return true;
}

static void pin(int cpu)
{
	cpu_set_t set;

	CPU_ZERO(&set);
	CPU_SET(cpu, &set);
	if (getenv("LOAD_PIN"))
		sched_setaffinity(0, sizeof(set), &set);
}

/* Tells profile.c, by a system call that nothing else makes, where the measured
 * part begins and ends.
 */
static void profiled(void)
{
	if (getenv("LOAD_PROFILE"))
		personality(0xffffffff);
}

/*
 * Streams
 */

static void stream_send(struct flow *flow, const uint64_t *bytes)
{
	char byte;
	int i;

	pin(0);
	for (i = 0; i < 2; i++) {
		if (read(flow->start[0], &byte, 1) != 1)
			exit(1);
		put_exactly(flow->sender, bytes[i]);
		get_exactly(flow->sender, 1);
		if (write(flow->done[1], "", 1) != 1)
			exit(1);
	}
	exit(0);
}

static void stream_receive(struct flow *flow, const uint64_t *bytes)
{
	int i;

	pin(1);
	for (i = 0; i < 2; i++) {
		get_exactly(flow->receiver, bytes[i]);
		put_exactly(flow->receiver, 1);
	}
	/* Until the sender has its byte. */
	get_exactly(flow->receiver, 1);
	exit(0);
}

static void stream_start(struct flow *flow, const struct host *from,
			 const struct host *to, int port, const uint64_t *bytes)
{
	tcp_pair(from, to, port, &flow->sender, &flow->receiver);
	if (pipe(flow->start) || pipe(flow->done))
		err(1, "pipe");
	if (child("load-receive"))
		stream_receive(flow, bytes);
	if (child("load-send"))
		stream_send(flow, bytes);
}

static double stream_phase(struct flow *flows, int count)
{
	double start = now();
	char byte;
	int i;

	for (i = 0; i < count; i++)
		if (write(flows[i].start[1], "", 1) != 1)
			err(1, "start");
	for (i = 0; i < count; i++)
		if (read(flows[i].done[0], &byte, 1) != 1)
			errx(1, "a flow broke off");
	return now() - start;
}

static int stream(const struct host *a, const struct host *b, int count,
		  uint64_t bytes, bool both)
{
	uint64_t amounts[] = { bytes / 4 / count, bytes / count };
	struct flow flows[FLOWS_MAX];
	double seconds;
	int i;

	for (i = 0; i < count; i++) {
		bool back = both && i % 2;

		stream_start(&flows[i], back ? b : a, back ? a : b, PORT + i,
			     amounts);
	}
	stream_phase(flows, count);
	profiled();
	seconds = stream_phase(flows, count);
	profiled();
	printf("{\"seconds\": %.9f, \"bytes\": %llu}\n", seconds,
	       (unsigned long long)(amounts[1] * count));
	return 0;
}

/*
 * Datagrams, by programs that ask select() first, as event loops do.
 */

struct udp_count {
	volatile uint64_t received;
	volatile double last;
};

static void wait_for(int fd, bool writing)
{
	fd_set set;

	FD_ZERO(&set);
	FD_SET(fd, &set);
	select(fd + 1, writing ? NULL : &set, writing ? &set : NULL, NULL, NULL);
}

static void udp_receive(int fd, struct udp_count *count)
{
	pin(1);
	for (;;) {
		wait_for(fd, false);
		if (read(fd, block, sizeof(block)) >= 0) {
			count->last = now();
			count->received++;
		}
	}
}

static void udp_send(int fd, size_t size, uint64_t packets)
{
	while (packets--) {
		wait_for(fd, true);
		now();
		if (write(fd, block, size) != (ssize_t)size)
			warn("write");
	}
}

static double udp_phase(int fd, size_t size, uint64_t packets,
			struct udp_count *count)
{
	double start = now(), seen = start;
	uint64_t before = count->received, got = 0;

	udp_send(fd, size, packets);
	while (count->received - before < packets && now() - seen < QUIET_S) {
		if (count->received - before != got) {
			got = count->received - before;
			seen = now();
		}
		usleep(500);
	}
	return count->last - start;
}

static int udp(const struct host *a, const struct host *b, size_t size,
	       uint64_t packets)
{
	struct udp_count *count = mmap(NULL, sizeof(*count), PROT_READ | PROT_WRITE,
				       MAP_SHARED | MAP_ANONYMOUS, -1, 0);
	int sender, receiver;
	double seconds;
	uint64_t before;

	udp_pair(a, b, PORT, &sender, &receiver);
	if (child("load-receive"))
		udp_receive(receiver, count);
	prctl(PR_SET_NAME, "load-send");
	pin(0);
	udp_phase(sender, size, packets / 4, count);
	before = count->received;
	profiled();
	seconds = udp_phase(sender, size, packets, count);
	profiled();
	printf("{\"seconds\": %.9f, \"packets\": %llu, \"lost\": %llu}\n", seconds,
	       (unsigned long long)(count->received - before),
	       (unsigned long long)(packets - (count->received - before)));
	return 0;
}

/*
 * Questions and answers of a byte
 */

static void answer(int listener)
{
	int fd;

	pin(1);
	for (;;) {
		fd = accept(listener, NULL, NULL);
		no_delay(fd);
		while (recv(fd, block, 1, 0) == 1)
			put_exactly(fd, 1);
		close(fd);
	}
}

static double ask(const struct host *from, const struct host *to, uint64_t times,
		  bool anew)
{
	double start = now();
	int fd = -1;

	while (times--) {
		if (fd < 0) {
			fd = new_socket(from, SOCK_STREAM);
			connect_to(fd, to, PORT);
			no_delay(fd);
		}
		put_exactly(fd, 1);
		get_exactly(fd, 1);
		if (anew) {
			close(fd);
			fd = -1;
		}
	}
	if (fd >= 0)
		close(fd);
	return now() - start;
}

static int questions(const struct host *a, const struct host *b, uint64_t times,
		     bool anew)
{
	int listener = listen_at(b, PORT);
	double seconds;

	if (child("load-answer"))
		answer(listener);
	enter(a->ns);
	pin(0);
	ask(a, b, times / 4 + 1, anew);
	profiled();
	seconds = ask(a, b, times, anew);
	profiled();
	printf("{\"seconds\": %.9f, \"times\": %llu}\n", seconds,
	       (unsigned long long)times);
	return 0;
}

/*
 * Echo: from before the send until the kernel saw the answer, as ping(8) does
 */

static int64_t nanoseconds(const struct timespec *t)
{
	return t->tv_sec * 1000000000ll + t->tv_nsec;
}

static int64_t realtime(void)
{
	struct timespec t;

	clock_gettime(CLOCK_REALTIME, &t);
	return nanoseconds(&t);
}

/* When the datagram came in. */
static int64_t stamp_of(struct msghdr *msg)
{
	struct cmsghdr *c;
	struct timespec t;

	for (c = CMSG_FIRSTHDR(msg); c; c = CMSG_NXTHDR(msg, c)) {
		if (c->cmsg_level == SOL_SOCKET && c->cmsg_type == SO_TIMESTAMPNS) {
			memcpy(&t, CMSG_DATA(c), sizeof(t));
			return nanoseconds(&t);
		}
	}
	errx(1, "no time stamp");
}

static bool is_reply(int family, const unsigned char *p, uint16_t seq)
{
	if (family == AF_INET)
		p += (*p & 15) * 4;
	if (p[0] != (family == AF_INET ? ICMP_ECHOREPLY : ICMP6_ECHO_REPLY))
		return false;
	return !memcmp(p + 6, &seq, 2);
}

/* Microseconds that one echo took, or -1 when none came in 30 s. */
static double echo(int fd, int family, uint16_t seq)
{
	unsigned char packet[64] = { family == AF_INET ? ICMP_ECHO : ICMP6_ECHO_REQUEST };
	struct timeval patience = { .tv_sec = 30 };
	char control[256];
	struct iovec iov = { block, sizeof(block) };
	struct msghdr msg = { .msg_iov = &iov, .msg_iovlen = 1, .msg_control = control };
	uint32_t sum = 0;
	int64_t start;
	int i;

	memcpy(packet + 4, "nv", 2);
	memcpy(packet + 6, &seq, 2);
	if (family == AF_INET) {
		for (i = 0; i < (int)sizeof(packet); i += 2)
			sum += packet[i] | packet[i + 1] << 8;
		sum = (sum & 0xffff) + (sum >> 16);
		sum = ~(sum + (sum >> 16));
		packet[2] = sum;
		packet[3] = sum >> 8;
	}
	setsockopt(fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof(patience));
	start = realtime();
	if (send(fd, packet, sizeof(packet), 0) < 0)
		err(1, "echo");
	do {
		msg.msg_controllen = sizeof(control);
		if (recvmsg(fd, &msg, 0) < 0)
			return -1;
	} while (!is_reply(family, (void *)block, seq));
	return (stamp_of(&msg) - start) / 1e3;
}

static int by_value(const void *a, const void *b)
{
	double x = *(const double *)a, y = *(const double *)b;

	return (x > y) - (x < y);
}

static int ping(const struct host *a, const struct host *b, int count)
{
	int family = a->addr.ss.ss_family, fd, on = 1, i, lost = 0, got = 0;
	double *times = calloc(count, sizeof(*times)), first;

	enter(a->ns);
	fd = socket(family, SOCK_RAW, family == AF_INET ? IPPROTO_ICMP : IPPROTO_ICMPV6);
	if (fd < 0 || setsockopt(fd, SOL_SOCKET, SO_TIMESTAMPNS, &on, sizeof(on)))
		err(1, "raw socket");
	connect_to(fd, b, 0);
	first = echo(fd, family, htons(1));
	profiled();
	for (i = 0; i < count; i++) {
		double time = echo(fd, family, htons(2 + i));

		if (time < 0)
			lost++;
		else
			times[got++] = time;
		usleep(1000);
	}
	profiled();
	qsort(times, got, sizeof(*times), by_value);
	printf("{\"first\": %.3f, \"median\": %.3f, \"least\": %.3f, \"most\": %.3f, \"lost\": %d}\n",
	       first, got ? times[got / 2] : -1, got ? times[0] : -1,
	       got ? times[got - 1] : -1, lost);
	return 0;
}

static int usage(void)
{
	fprintf(stderr, "usage: load A-NETNS A-ADDRESS B-NETNS B-ADDRESS WHAT\n"
		"  tcp FLOWS BYTES     that many flows from A to B\n"
		"  both FLOWS BYTES    every other flow from B to A\n"
		"  udp SIZE PACKETS\n"
		"  rr TIMES            a byte there and back\n"
		"  crr TIMES           the same, on a connection each\n"
		"  ping TIMES\n");
	return 2;
}

int main(int argc, char **argv)
{
	struct host a, b;
	uint64_t x, y = 0;
	const char *what;

	if (argc < 7)
		return usage();
	setvbuf(stdout, NULL, _IOLBF, 0);
	a = (struct host){ argv[1], parse(argv[2], 0) };
	b = (struct host){ argv[3], parse(argv[4], 0) };
	what = argv[5];
	x = strtoull(argv[6], NULL, 10);
	if (argc > 7)
		y = strtoull(argv[7], NULL, 10);
	if ((!strcmp(what, "tcp") || !strcmp(what, "both")) && x >= 1 && x <= FLOWS_MAX)
		return stream(&a, &b, x, y, *what == 'b');
	if (!strcmp(what, "udp"))
		return udp(&a, &b, x, y);
	if (!strcmp(what, "rr") || !strcmp(what, "crr"))
		return questions(&a, &b, x, *what == 'c');
	if (!strcmp(what, "ping"))
		return ping(&a, &b, x);
	return usage();
}
