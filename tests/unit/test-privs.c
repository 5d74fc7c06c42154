/*
 * What a process is, tried on children that are made so, and what exceeds a policy. Needs root, as
 * the verb does.
 */
#include <criterion/criterion.h>
#include <json-c/json.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <string.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "kata-runtime/json.h"
#include "kata-runtime/privs.h"

enum { BASE = 3700000 };

static pid_t child;

/* Starts a child that does the steps and waits; steps returns 0 when all went well. */
static void start(int (*steps)(int keep))
{
	int fds[2];
	char byte;

	if (geteuid() != 0)
		cr_skip("needs root");
	cr_assert(pipe(fds) == 0);
	child = fork();
	if (child == 0) {
		close(fds[0]);
		if (steps(fds[1]) == 0 && write(fds[1], "x", 1) == 1)
			for (;;)
				if (read(fds[1], &byte, 1) < 0)
					poll(NULL, 0, 1000);
		_exit(1);
	}
	close(fds[1]);
	cr_assert(read(fds[0], &byte, 1) == 1, "the child failed");
	close(fds[0]);
}

static void stop(void)
{
	if (child <= 0)
		return;
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
}

static struct json_object *observe(void)
{
	struct json_object *o = NULL;
	struct error err = { 0 };

	cr_assert_eq(privs_observe(child, BASE, &o, &err), 0, "%s", err.text);
	return o;
}

static const char *text_of(struct json_object *o, const char *name)
{
	struct json_object *value = NULL;

	json_object_object_get_ex(o, name, &value);
	return json_object_to_json_string_ext(value, JSON_C_TO_STRING_PLAIN);
}

TestSuite(privs, .fini = stop, .timeout = 30);

static int do_nothing(int keep)
{
	(void)keep;
	return 0;
}

static int confine_as_decoder(int keep)
{
	uid_t uid = BASE + UID_DECODER;
	struct error err;

	if (privsep_close_others(&keep, 1, &err) < 0 || privsep_enter_root(-1, &err) < 0 ||
	    privsep_limit(PRIVSEP_DECODER, &err) < 0 || privsep_drop(uid, uid, NULL, 0, &err) < 0)
		return -1;
	return privsep_finish(PRIVSEP_DECODER, uid, false, &err);
}

Test(privs, sees_root)
{
	CLEANUP(json_freep) struct json_object *o = NULL;

	start(do_nothing);
	o = observe();
	cr_expect_str_eq(text_of(o, "user"), "\"host 0\"");
	cr_expect(strstr(text_of(o, "capabilities"), "\"SYS_ADMIN\"") != NULL, "%s",
		  text_of(o, "capabilities"));
	cr_expect_str_eq(text_of(o, "no_new_privs"), "false");
	cr_expect_str_eq(text_of(o, "seccomp"), "false");
	cr_expect_str_eq(text_of(o, "namespaces"), "[]");
}

Test(privs, sees_a_confined_process)
{
	CLEANUP(json_freep) struct json_object *o = NULL;

	start(confine_as_decoder);
	o = observe();
	cr_expect_str_eq(text_of(o, "user"), "\"base+3\"");
	cr_expect_str_eq(text_of(o, "groups"), "[]");
	cr_expect_str_eq(text_of(o, "capabilities"), "[]");
	cr_expect_str_eq(text_of(o, "no_new_privs"), "true");
	cr_expect_str_eq(text_of(o, "seccomp"), "true");
	cr_expect_str_eq(text_of(o, "namespaces"), "[\"mnt\"]");
	cr_expect_str_eq(text_of(o, "root"), "[]");
#ifndef __SANITIZE_ADDRESS__
	{
		CLEANUP(json_freep) struct json_object *policy = privs_policy(PRIVSEP_DECODER);

		/* The kernel tells the very filter that the table makes. */
		if (strcmp(text_of(o, "syscalls"), "null") != 0)
			cr_expect_str_eq(text_of(o, "syscalls"), text_of(policy, "syscalls"));
	}
#endif
}

/* How many sentences, and whether one of them holds the text. */
static int exceeds(struct json_object *observed, const char *policy, const char *text)
{
	CLEANUP(json_freep) struct json_object *p = json_tokener_parse(policy);
	CLEANUP(json_freep) struct json_object *list = json_object_new_array();
	struct error err = { 0 };
	int n = privs_compare(observed, p, list, &err);

	cr_expect(text == NULL || strstr(json_object_to_json_string(list), text) != NULL,
		  "%s is not in %s", text, json_object_to_json_string(list));
	return n;
}

Test(privs, tells_what_exceeds)
{
	static const char policy[] =
		"{\"user\": \"base+1\", \"groups\": [], \"capabilities\": [\"CHOWN\"],"
		" \"no_new_privs\": true, \"seccomp\": true, \"syscalls\": 40,"
		" \"namespaces\": [\"pid\", \"net\"], \"root\": [\"usr\"],"
		" \"descriptors\": {\"0\": \"any\", \"4\": \"file\", \"other\": [\"socket\"]}}";
	static const struct {
		const char *member, *value, *says; /* says NULL: allowed */
	} cases[] = {
		{ "user", "\"base+1\"", NULL },
		{ "user", "\"host 0\"", "user: host 0 instead of base+1" },
		{ "groups", "[\"7\"]", "groups: 7" },
		{ "capabilities", "[]", NULL },
		{ "capabilities", "[\"CHOWN\"]", NULL },
		{ "capabilities", "[\"CHOWN\", \"SYS_ADMIN\"]", "capabilities: SYS_ADMIN" },
		{ "no_new_privs", "false", "no_new_privs: not set" },
		{ "seccomp", "false", "seccomp: not set" },
		{ "syscalls", "null", NULL },
		{ "syscalls", "39", NULL },
		{ "syscalls", "41", "syscalls: 41, more than 40" },
		{ "namespaces", "[\"pid\"]", "namespaces: net is the host's" },
		{ "namespaces", "[\"pid\", \"net\", \"uts\"]", NULL },
		{ "root", "[]", NULL },
		{ "root", "[\"usr\", \"etc\"]", "root: etc" },
		{ "descriptors", "{\"0\": \"other\", \"4\": \"file\"}", NULL },
		{ "descriptors", "{\"9\": \"socket\"}", NULL },
		{ "descriptors", "{\"4\": \"pipe\"}", "descriptors: 4 is a pipe" },
		{ "descriptors", "{\"9\": \"directory\"}", "descriptors: 9 is a directory" },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		CLEANUP(json_freep)
		struct json_object *o = json_tokener_parse(
			"{\"user\": \"base+1\", \"groups\": [], \"capabilities\": [],"
			" \"no_new_privs\": true, \"seccomp\": true, \"syscalls\": 40,"
			" \"namespaces\": [\"pid\", \"net\"], \"root\": [],"
			" \"descriptors\": {}}");

		json_object_object_add(o, cases[i].member, json_tokener_parse(cases[i].value));
		cr_expect_eq(exceeds(o, policy, cases[i].says), cases[i].says != NULL, "case %zu",
			     i);
	}
}

Test(privs, refuses_what_is_no_policy)
{
	static const char *const cases[] = { "[]", "{}", "{\"user\": 3, \"descriptors\": {}}",
					     "{\"user\": \"base+1\"}" };
	CLEANUP(json_freep) struct json_object *o = json_object_new_object();

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++)
		cr_expect_lt(exceeds(o, cases[i], NULL), 0, "%s", cases[i]);
}

Test(privs, every_row_is_a_policy_that_it_does_not_exceed_itself)
{
	for (enum privsep_process p = 0; p < PRIVSEP_COUNT; p++) {
		CLEANUP(json_freep) struct json_object *policy = privs_policy(p);
		CLEANUP(json_freep) struct json_object *list = json_object_new_array();
		CLEANUP(json_freep) struct json_object *observed = NULL;
		struct error err = { 0 };

		cr_assert_eq(json_object_deep_copy(policy, &observed, NULL), 0);
		json_object_object_add(observed, "descriptors", json_object_new_object());
		cr_expect_eq(privs_compare(observed, policy, list, &err), 0, "%s: %s",
			     privsep_row(p)->name, json_object_to_json_string(list));
	}
}
