// SPDX-License-Identifier: GPL-2.0
/*
 * Unit tests of veil's pure parts: keys, addresses, endpoints, ports, words and
 * the texts that people read. Prints KTAP.
 */
#include <sodium.h>
#include <stdio.h>
#include <string.h>

#include "conf.h"
#include "format.h"
#include "names.h"
#include "parse.h"
#include "words.h"

static unsigned int tests, failures;

static void result(bool ok, const char *name, const char *detail)
{
	tests++;
	failures += !ok;
	printf("%s %u %s: %s\n", ok ? "ok" : "not ok", tests, name, detail);
}

#define KEY_TEXT	"zs62S5nTGvTDSt+2SJqq5m0e4Ul1oLfNXWcgDbIsyS0="

static void test_keys(void)
{
	static const char *const bad[] = {
		"",
		"zs62",
		/* One short, one long, a byte too few and too many. */
		"zs62S5nTGvTDSt+2SJqq5m0e4Ul1oLfNXWcgDbIsyS0",
		KEY_TEXT "=",
		"zs62S5nTGvTDSt+2SJqq5m0e4Ul1oLfNXWcgDbIsyQ==",
		"zs62S5nTGvTDSt+2SJqq5m0e4Ul1oLfNXWcgDbIsyS0A",
		/* Bits that stand for nothing; the other alphabet; blanks. */
		"zs62S5nTGvTDSt+2SJqq5m0e4Ul1oLfNXWcgDbIsyS1=",
		"zs62S5nTGvTDSt-2SJqq5m0e4Ul1oLfNXWcgDbIsyS0=",
		"zs62S5nTGvTDSt+2SJqq5m0e4Ul1 LfNXWcgDbIsyS0=",
		"\nzs62S5nTGvTDSt+2SJqq5m0e4Ul1oLfNXWcgDbIsyS=",
		/* What libsodium takes for base64 (found by fuzzing). */
		"7Ut/JL2uVoOdJ\321\247C+Zayg3e4Ut0AQDAvEFgmLVW8ZDs=",
	};
	uint8_t key[NETVEIL_KEY_LEN];
	char text[TEXT_LEN];
	size_t i;

	result(!parse_key(key, KEY_TEXT), "key", "a good one");
	result(!strcmp(format_key(text, key), KEY_TEXT), "key",
	       "comes back as it was");
	result(!key_is_zero(key), "key", "is not zero");
	memset(key, 0, sizeof(key));
	result(key_is_zero(key), "key", "zeros are zero");
	for (i = 0; i < ARRAY_LEN(bad); i++)
		result(parse_key(key, bad[i]), "bad key", bad[i][0] == '\n' ?
		       "with a newline" : bad[i]);
}

static void test_numbers(void)
{
	static const char *const bad[] = {
		"", "0", "-1", "1x", "0x", "2147483648", "0x80000000", "netveil:1",
	};
	uint32_t seconds = 0;
	size_t i;

	result(parse_serial("123456789") == 123456789, "serial", "decimal");
	result(parse_serial("0x7fffffff") == INT32_MAX, "serial", "hexadecimal");
	for (i = 0; i < ARRAY_LEN(bad); i++)
		result(!parse_serial(bad[i]), "no serial", bad[i]);
	result(!parse_seconds(&seconds, "86400") && seconds == 86400, "seconds",
	       "a day");
	result(parse_seconds(&seconds, "99999999"), "seconds", "too many");
	result(parse_seconds(&seconds, "1h"), "seconds", "with a unit");
}

static void test_ports(void)
{
	static const char *const bad[] = {
		"", "0", "00000", "65473", "65536", "99999", "100000",
		"4294967297", "-1", "+1", " 1", "1 ", "0x10", "1e3", "http",
	};
	uint16_t port = 0;
	size_t i;

	result(!parse_port(&port, "1") && port == 1, "port", "1");
	result(!parse_port(&port, "51888") && port == 51888, "port", "51888");
	result(!parse_port(&port, "65472") && port == 65472, "port", "65472");
	for (i = 0; i < ARRAY_LEN(bad); i++)
		result(parse_port(&port, bad[i]), "bad port", bad[i]);
}

static void test_addresses(void)
{
	static const char *const good[] = {
		"10.9.0.2", "192.0.2.255", "240.0.0.1", "fd00::2",
		"2001:db8:1:2:3:4:5:6", "64:ff9b::a09:2",
	};
	static const char *const bad[] = {
		"", "10.9.0", "10.9.0.256", "010.9.0.2", "10.9.0.2 ",
		"10.9.0.2/32", "fd00::/64", "fd00::2%eth0", "[fd00::2]",
		"host.example", "0.0.0.0", "127.0.0.1", "224.0.0.1",
		"255.255.255.255", "::", "::1", "ff02::1", "fe80::1",
		"::ffff:10.9.0.2", "fd00:::2",
	};
	struct address address;
	char text[TEXT_LEN];
	size_t i;

	for (i = 0; i < ARRAY_LEN(good); i++)
		result(!parse_address(&address, good[i]) &&
		       !strcmp(format_address(text, &address), good[i]),
		       "address", good[i]);
	for (i = 0; i < ARRAY_LEN(bad); i++)
		result(parse_address(&address, bad[i]), "bad address", bad[i]);
}

static void test_equal_addresses(void)
{
	struct address a, b, c;

	if (parse_address(&a, "fd00::2") || parse_address(&b, "fd00:0:0::0:2") ||
	    parse_address(&c, "fd00::3")) {
		result(false, "addresses", "parse");
		return;
	}
	result(address_equal(&a, &b), "addresses", "two ways to write one");
	result(!address_equal(&a, &c), "addresses", "two that differ");
	a.len = 4;
	result(!address_equal(&a, &b), "addresses", "of two families");
}

static void test_endpoints(void)
{
	static const struct {
		const char *text, *shown;
	} good[] = {
		{ "10.9.0.2", "10.9.0.2:0" },
		{ "10.9.0.2:51888", "10.9.0.2:51888" },
		{ "fd00::2", "[fd00::2]:0" },
		{ "[fd00::2]", "[fd00::2]:0" },
		{ "[fd00::2]:1", "[fd00::2]:1" },
		{ "[2001:db8:1111:2222:3333:4444:5555:6666]:65472",
		  "[2001:db8:1111:2222:3333:4444:5555:6666]:65472" },
	};
	static const char *const bad[] = {
		"", ":", ":1", "10.9.0.2:", "10.9.0.2:0", "10.9.0.2:65473",
		"10.9.0.2:1:2", "[10.9.0.2]:1", "[fd00::2", "[fd00::2]1",
		"[fd00::2]:", "[fd00::2]:0", "[]:1", "fd00::2]:1", "[::]:1",
		"host.example:1",
		"[2001:db8:1111:2222:3333:4444:5555:6666:7777:8888:9999]:65472",
	};
	struct endpoint endpoint;
	char text[TEXT_LEN];
	size_t i;

	for (i = 0; i < ARRAY_LEN(good); i++)
		result(!parse_endpoint(&endpoint, good[i].text) &&
		       !strcmp(format_endpoint(text, &endpoint),
			       good[i].shown), "endpoint", good[i].text);
	for (i = 0; i < ARRAY_LEN(bad); i++)
		result(parse_endpoint(&endpoint, bad[i]), "bad endpoint",
		       bad[i]);
}

static void test_names(void)
{
	uint8_t cipher = 9;

	result(!parse_cipher(&cipher, "auto") && cipher == 0, "cipher", "auto");
	result(!parse_cipher(&cipher, "chacha20-poly1305") && cipher == 2,
	       "cipher", "chacha20-poly1305");
	result(parse_cipher(&cipher, "aes"), "bad cipher", "aes");
	result(parse_cipher(&cipher, ""), "bad cipher", "");
	result(!strcmp(name_of(event_names, EVENT_NAMES, 200), "unknown"),
	       "name", "of a number that is not known");
}

static void test_texts(void)
{
	static const struct {
		uint64_t bytes;
		const char *text;
	} sizes[] = {
		{ 0, "0 B" }, { 1023, "1023 B" }, { 1024, "1.00 KiB" },
		{ 1536, "1.50 KiB" }, { 5ULL << 40, "5.00 TiB" },
		{ UINT64_MAX, "16.00 EiB" },
	};
	static const struct {
		uint64_t age;
		const char *text;
	} ages[] = {
		{ 0, "0 seconds ago" }, { 1, "1 second ago" },
		{ 60, "1 minute ago" }, { 125, "2 minutes, 5 seconds ago" },
		{ 3661, "1 hour, 1 minute ago" },
		{ 10 * 86400 + 7200, "10 days, 2 hours ago" },
		{ UINT64_MAX - 10, "213503982334601 days, 7 hours ago" },
	};
	char text[TEXT_LEN];
	size_t i;

	for (i = 0; i < ARRAY_LEN(sizes); i++)
		result(!strcmp(format_bytes(text, sizes[i].bytes),
			       sizes[i].text), "bytes", sizes[i].text);
	for (i = 0; i < ARRAY_LEN(ages); i++)
		result(!strcmp(format_ago(text, 5, 5 + ages[i].age),
			       ages[i].text), "ago", ages[i].text);
	result(!strcmp(format_packets(text, 1), "1 packet") &&
	       !strcmp(format_packets(text, 2), "2 packets"), "packets",
	       "one and two");
	result(strstr(format_ago(text, 6, 5), "future"), "ago",
	       "a clock that was set back");
}

static int run_one(struct env *env, struct words *words)
{
	(void)env;
	return 100 + words->count;
}

static int run_other(struct env *env, struct words *words)
{
	(void)env;
	(void)words;
	return 50;
}

static int run_words(const char *line)
{
	static const struct command table[] = {
		{ "show", run_one, "", "" },
		{ "set", run_other, "", "" },
		{ "del", run_one, "", "" },
		{ "delete", run_one, "", "" },
		{ "deny", run_other, "", "" },
	};
	struct words words = {0};
	char copy[64], *list[8], *word;
	struct env env = {0};

	snprintf(copy, sizeof(copy), "%s", line);
	for (word = strtok(copy, " "); word; word = strtok(NULL, " "))
		list[words.count++] = word;
	words.list = list;
	return command_run(table, ARRAY_LEN(table), "", &env, &words);
}

static void test_commands(void)
{
	result(run_words("show a b") == 102, "command", "exact");
	result(run_words("sh") == 100, "command", "short");
	result(run_words("") == 100, "command", "none: the first");
	result(run_words("s") == 2, "command", "short for two");
	result(run_words("del") == 100, "command", "exact, and another's start");
	result(run_words("dele") == 100, "command", "short for the longer");
	result(run_words("de") == 2, "command", "short for several");
	result(run_words("shown") == 2, "command", "too long");
}

static int take_count(void *target, const char *value)
{
	*(int *)target += value ? (int)strlen(value) : 100;
	return 0;
}

/* The sum, or minus the exit code. */
static int run_options(const char *line)
{
	static const struct option table[] = {
		{ "value", "a word", false, take_count },
		{ "more", "a word", true, take_count },
		{ "flag", NULL, false, take_count },
	};
	struct words words = {0};
	char copy[64], *list[8], *word;
	int sum = 0, code;

	snprintf(copy, sizeof(copy), "%s", line);
	for (word = strtok(copy, " "); word; word = strtok(NULL, " "))
		list[words.count++] = word;
	words.list = list;
	code = options_take(table, ARRAY_LEN(table), &words, &sum);
	return code ? -code : sum;
}

static bool prefix_is(const char *text, const char *wanted)
{
	char shown[TEXT_LEN];
	struct prefix prefix;

	return !parse_prefix(&prefix, text) &&
	       !strcmp(format_prefix(shown, &prefix), wanted);
}

static bool no_prefix(const char *text)
{
	struct prefix prefix;

	return parse_prefix(&prefix, text);
}

static void test_prefixes(void)
{
	result(prefix_is("10.2.0.0/16", "10.2.0.0/16"), "prefix", "IPv4");
	result(prefix_is("0.0.0.0/0", "0.0.0.0/0"), "prefix", "all of IPv4");
	result(prefix_is("::/0", "::/0"), "prefix", "all of IPv6");
	result(prefix_is("2001:DB8::/32", "2001:db8::/32"), "prefix", "IPv6");
	result(prefix_is("10.2.0.5/32", "10.2.0.5"), "prefix", "one host");
	result(prefix_is("10.2.0.5", "10.2.0.5"), "prefix", "without a length");
	result(no_prefix("10.2.0.5/16"), "prefix", "bits behind the length");
	result(no_prefix("fd00::1/64"), "prefix", "the same in IPv6");
	result(no_prefix("10.2.0.0/33"), "prefix", "longer than an address");
	result(no_prefix("::/129"), "prefix", "the same in IPv6");
	result(no_prefix("10.2.0.0/"), "prefix", "an empty length");
	result(no_prefix("10.2.0.0/+8"), "prefix", "a sign");
	result(no_prefix("10.2.0.0/256000"), "prefix", "a long number");
	result(no_prefix("site/16"), "prefix", "a name");
}

static bool no_mark(const char *text)
{
	uint32_t mark, mask;

	return parse_mark(&mark, &mask, text);
}

static void test_marks(void)
{
	uint32_t mark = 0, mask = 0;

	result(!parse_mark(&mark, &mask, "0x10/0xff") && mark == 16 &&
	       mask == 255, "mark", "in hexadecimal");
	result(!parse_mark(&mark, &mask, "1/1") && mark == 1 && mask == 1,
	       "mark", "in decimal");
	result(!parse_mark(&mark, &mask, "0x80000000/0xffffffff"), "mark",
	       "all bits");
	result(no_mark("1"), "mark", "without a mask");
	result(no_mark("1/"), "mark", "with an empty mask");
	result(no_mark("2/1"), "mark", "outside of its mask");
	result(no_mark("0/1"), "mark", "zero");
	result(no_mark("-1/-1"), "mark", "a sign");
	result(no_mark("0x100000000/0x100000000"), "mark", "too large");
	result(no_mark("1/1x"), "mark", "something behind");
}

static void test_options(void)
{
	result(run_options("") == 0, "option", "none");
	result(run_options("value ab flag") == 102, "option", "two");
	result(run_options("m a mor b v c") == 3, "option", "repeated, short");
	result(run_options("value a value b") == -2, "option", "given twice");
	result(run_options("flag flag") == -2, "option", "a flag twice");
	result(run_options("flag value") == -2, "option", "without its value");
	result(run_options("other a") == -2, "option", "unknown");
	/* A value may look like a word. */
	result(run_options("value flag") == 4, "option", "a value as a word");
}

/* The statements of text, as "WORD@LINE:COLUMN ... | ..."; "refused" if it is. */
static const char *parsed(const char *text)
{
	static char got[1024];
	struct conf conf = {0};
	size_t len = 0, i;
	int n;

	got[0] = '\0';
	if (conf_parse(&conf, strdup(text), "file", "."))
		strcpy(got, "refused");
	else
		for (i = 0; i < conf.count; i++)
			for (n = 0; n < conf.list[i].count; n++)
				len += (size_t)snprintf(got + len, sizeof(got) - len,
					"%s%s@%u:%u", n ? " " : i ? " | " : "",
					conf.list[i].words[n],
					conf.list[i].places[n].line,
					conf.list[i].places[n].column);
	conf_free(&conf);
	return got;
}

static void test_conf(void)
{
	static const char *const good[][2] = {
		{ "", "" },
		{ "\n\n  \n# only this\n  # and this", "" },
		{ "set a 1", "set@1:1 a@1:5 1@1:7" },
		{ "set a 1\n", "set@1:1 a@1:5 1@1:7" },
		{ "set\ta\r\n", "set@1:1 a@1:5" },
		{ "one\ntwo", "one@1:1 | two@2:1" },
		{ "one\n\n# c\n  more # x\n\tand\ntwo",
		  "one@1:1 more@4:3 and@5:2 | two@6:1" },
		{ "a#b c", "a#b@1:1 c@1:5" },
		{ "f \"a b#c\" d", "f@1:1 a b#c@1:3 d@1:11" },
		{ "f \"\"", "f@1:1 @1:3" },
	};
	static const char *const bad[] = {
		" goes on from none", "f \"a", "f \"a\"b", "f \"a\n\"",
	};
	size_t i;

	for (i = 0; i < ARRAY_LEN(good); i++)
		result(!strcmp(parsed(good[i][0]), good[i][1]), "conf",
		       good[i][1]);
	for (i = 0; i < ARRAY_LEN(bad); i++)
		result(!strcmp(parsed(bad[i]), "refused"), "bad conf", bad[i][0]
		       == ' ' ? "goes on from none" : "a quotation");
}

int main(void)
{
	puts("KTAP version 1");
	if (sodium_init() < 0) {
		puts("Bail out! libsodium does not start");
		return 1;
	}
	test_conf();
	test_keys();
	test_ports();
	test_numbers();
	test_addresses();
	test_equal_addresses();
	test_endpoints();
	test_prefixes();
	test_marks();
	test_names();
	test_texts();
	test_commands();
	test_options();
	printf("1..%u\n# %u passed, %u failed\n", tests, tests - failures,
	       failures);
	return failures ? 1 : 0;
}
