/*
 * kata-runtime/systemd.c against a stand-in for systemd: a child process that speaks D-Bus with
 * libsystemd's server side and does what a test's script says.
 */
#include "kata-runtime/systemd.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <sys/wait.h>
#include <systemd/sd-bus.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/deadline.h"
#include "common/str.h"
#include "kata-runtime/systemd-property.h"

#define JOB "/org/freedesktop/systemd1/job/7"
#define MANAGER "org.freedesktop.systemd1.Manager"
#define MANAGER_PATH "/org/freedesktop/systemd1"

enum { CHILD_SECONDS = 30 };

/* What it does; also what it saw. Shared with the test. */
struct script {
	const char *result; /* of the job; NULL: it never ends */
	bool early;         /* the job's end comes before its name */
	bool silent;        /* accepts and says nothing */
	bool drops;         /* ends the connection instead of an answer */
	int exists;         /* how often the unit is still there */
	const char *error;  /* answer to everything */
	char seen[4096];
};

static struct script *script;
static char dir[] = "/tmp/test-systemd-XXXXXX", path[64];
static pid_t child;

static void note(const char *format, ...) __attribute__((format(printf, 1, 2)));
static void note(const char *format, ...)
{
	size_t used = strlen(script->seen);
	va_list args;

	va_start(args, format);
	vsnprintf(script->seen + used, sizeof(script->seen) - used, format, args);
	va_end(args);
}

/* One variant, as text: those types that are sent. */
static void note_numbers(sd_bus_message *m, const char *type)
{
	uint64_t number = 0; /* little endian: the low bytes are those of a smaller type */

	while (sd_bus_message_read_basic(m, type[0], &number) > 0) {
		if (type[0] == 'i')
			note("+%d ", (int)number);
		else
			note("+%lu ", number);
		number = 0;
	}
}

static void note_value(sd_bus_message *m, const char *name)
{
	const char *type, *text;
	uint64_t number64;
	uint32_t number;
	int64_t signed64;
	char kind;
	double real;
	int yes;

	sd_bus_message_peek_type(m, &kind, &type);
	sd_bus_message_enter_container(m, 'v', type);
	if (str_eq(type, "s") && sd_bus_message_read(m, "s", &text) > 0)
		note("%s=%s ", name, text);
	else if (str_eq(type, "b") && sd_bus_message_read(m, "b", &yes) > 0)
		note("%s=%s ", name, yes ? "yes" : "no");
	else if (str_eq(type, "t") && sd_bus_message_read(m, "t", &number64) > 0)
		note("%s=%s ", name, number64 == UINT64_MAX ? "infinity" : "some");
	else if (str_eq(type, "i") && sd_bus_message_read(m, "i", &yes) > 0)
		note("%s=%d ", name, yes);
	else if (str_eq(type, "x") && sd_bus_message_read(m, "x", &signed64) > 0)
		note("%s=x%ld ", name, signed64);
	else if (str_eq(type, "u") && sd_bus_message_read(m, "u", &number) > 0)
		note("%s=u%u ", name, number);
	else if (str_eq(type, "d") && sd_bus_message_read(m, "d", &real) > 0)
		note("%s=%g ", name, real);
	else if (str_eq(type, "as") && sd_bus_message_enter_container(m, 'a', "s") > 0) {
		note("%s= ", name);
		while (sd_bus_message_read(m, "s", &text) > 0)
			note("+%s ", text);
		sd_bus_message_exit_container(m);
	} else if ((str_eq(type, "ay") || str_eq(type, "ai") || str_eq(type, "at")) &&
		   sd_bus_message_enter_container(m, 'a', type + 1) > 0) {
		note("%s=%s ", name, type + 1);
		note_numbers(m, type + 1);
		sd_bus_message_exit_container(m);
	} else if (str_eq(type, "au") && sd_bus_message_enter_container(m, 'a', "u") > 0) {
		while (sd_bus_message_read(m, "u", &number) > 0)
			note("%s=%u ", name, number);
		sd_bus_message_exit_container(m);
	}
	sd_bus_message_exit_container(m);
}

static void note_properties(sd_bus_message *m)
{
	const char *name;

	sd_bus_message_enter_container(m, 'a', "(sv)");
	while (sd_bus_message_enter_container(m, 'r', "sv") > 0) {
		sd_bus_message_read(m, "s", &name);
		note_value(m, name);
		sd_bus_message_exit_container(m);
	}
	sd_bus_message_exit_container(m);
}

static void end_job(sd_bus *bus, const char *unit)
{
	/* Somebody else's first. */
	sd_bus_emit_signal(bus, MANAGER_PATH, MANAGER, "JobRemoved", "uoss", 6, JOB "0",
			   "x.service", "failed");
	if (script->result != NULL)
		sd_bus_emit_signal(bus, MANAGER_PATH, MANAGER, "JobRemoved", "uoss", 7, JOB, unit,
				   script->result);
}

static int on_message(sd_bus_message *m, void *userdata, sd_bus_error *ret_error)
{
	sd_bus *bus = sd_bus_message_get_bus(m);
	const char *method = sd_bus_message_get_member(m), *unit, *mode = "";

	(void)userdata;
	(void)ret_error;
	if (method == NULL || sd_bus_message_read(m, "s", &unit) <= 0)
		return 0;
	if (!str_eq(method, "ResetFailedUnit"))
		sd_bus_message_read(m, "s", &mode);
	note("%s %s %s ", method, unit, mode);
	if (script->drops)
		_exit(0);
	if (script->error != NULL)
		return sd_bus_reply_method_errorf(m, script->error, "because: does not exist");
	if (str_eq(method, "ResetFailedUnit"))
		return sd_bus_reply_method_return(m, "");
	if (str_eq(method, "StartTransientUnit")) {
		if (script->exists-- > 0)
			return sd_bus_reply_method_errorf(m, "org.freedesktop.systemd1.UnitExists",
							  "is there");
		note_properties(m);
	}
	if (script->early)
		end_job(bus, unit);
	sd_bus_reply_method_return(m, "o", JOB);
	if (!script->early)
		end_job(bus, unit);
	return 1;
}

/* Until the client ends the connection, which one that only looks does at once. */
static void serve_one(int fd)
{
	sd_bus *bus = NULL;
	sd_id128_t id;
	int r;

	sd_id128_randomize(&id);
	r = sd_bus_new(&bus);
	if (r < 0 || sd_bus_set_fd(bus, fd, fd) < 0 || sd_bus_set_server(bus, 1, id) < 0 ||
	    sd_bus_add_filter(bus, NULL, on_message, NULL) < 0)
		_exit(1);
	r = sd_bus_start(bus);
	while (r >= 0) {
		r = sd_bus_process(bus, NULL);
		if (r == 0)
			r = sd_bus_wait(bus, UINT64_MAX);
	}
	sd_bus_close_unref(bus);
}

static void start(struct script what)
{
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	int fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);

	cr_assert(mkdtemp(dir) != NULL);
	snprintf(path, sizeof(path), "%s/private", dir);
	snprintf(address.sun_path, sizeof(address.sun_path), "%s", path);
	script = mmap(NULL, sizeof(*script), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1,
		      0);
	cr_assert(script != MAP_FAILED);
	*script = what;
	cr_assert(bind(fd, (struct sockaddr *)&address, sizeof(address)) == 0 &&
		  listen(fd, 8) == 0);
	child = fork();
	cr_assert(child >= 0);
	if (child == 0) {
		alarm(CHILD_SECONDS);
		for (;;) {
			int client = accept4(fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

			if (script->silent)
				pause();
			serve_one(client);
		}
	}
	close(fd);
}

static void stop(void)
{
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	unlink(path);
	rmdir(dir);
	munmap(script, sizeof(*script));
}

static const struct systemd_scope scope = {
	.unit = "docker-1.scope",
	.slice = "system.slice",
	.container = "1",
	.pid = 4711,
};

static int start_scope(int64_t ms, struct error *err)
{
	*err = (struct error){ 0 };
	return systemd_start_scope(path, &scope, deadline_in_ms(ms), err);
}

Test(systemd, a_scope_is_asked_for_and_waited_for)
{
	struct error err;

	for (int early = 0; early < 2; early++) {
		start((struct script){ .result = "done", .early = early });
		cr_expect(systemd_is_here(path));
		cr_expect(start_scope(10000, &err) == 0, "%s", err.text);
		cr_expect_str_eq(script->seen,
				 "StartTransientUnit docker-1.scope fail "
				 "Description=Kata container 1 Slice=system.slice Delegate=yes "
				 "DefaultDependencies=no TasksMax=infinity PIDs=4711 "
				 "CPUAccounting=yes MemoryAccounting=yes TasksAccounting=yes "
				 "CollectMode=inactive-or-failed ",
				 "%s", script->seen);
		script->seen[0] = '\0';
		cr_expect(systemd_stop_unit(path, scope.unit, deadline_in_ms(10000), &err) == 0,
			  "%s", err.text);
		cr_expect_str_eq(script->seen, "StopUnit docker-1.scope replace ");
		stop();
		strcpy(dir, "/tmp/test-systemd-XXXXXX");
	}
}

#define PROPERTY(name, value) \
	{ \
		(char *)SYSTEMD_PROPERTY name, (char *)(value) \
	}

Test(systemd, annotations_are_properties)
{
	static const struct spec_pair annotations[] = {
		{ (char *)"other", (char *)"(" },
		PROPERTY("CPUWeight", "uint64 18446744073709551615"),
		PROPERTY("CollectMode", "'inactive'"),
		PROPERTY("Description", "\"a 'b' c\""),
		PROPERTY("Delegate", "false"),
		PROPERTY("Abc", "-7"),
		PROPERTY("Nice", "int64 -5"),
		PROPERTY("Mode", "uint32 0x10"),
		PROPERTY("Part", "0.5"),
		PROPERTY("After", "['a.service', 'b.service']"),
		PROPERTY("Before", " [ ] "),
		PROPERTY("AllowedCPUs", "[byte 0x03, 255]"),
		PROPERTY("Numbers", "[-1,int32 2 ]"),
		PROPERTY("Large", "[ uint64 18446744073709551615 ]"),
	};
	struct systemd_scope with = scope;
	struct error err = { 0 };

	with.annotations = annotations;
	with.n_annotations = ARRAY_SIZE(annotations);
	cr_assert(systemd_properties_check(annotations, ARRAY_SIZE(annotations), &err) == 0, "%s",
		  err.text);
	start((struct script){ .result = "done" });
	cr_expect(systemd_start_scope(path, &with, deadline_in_ms(10000), &err) == 0, "%s",
		  err.text);
	cr_expect(strstr(script->seen,
			 "CollectMode=inactive-or-failed CPUWeight=infinity "
			 "CollectMode=inactive Description=a 'b' c Delegate=no Abc=-7 "
			 "Nice=x-5 Mode=u16 Part=0.5 After= +a.service +b.service "
			 "Before= AllowedCPUs=y +3 +255 Numbers=i +-1 +2 "
			 "Large=t +18446744073709551615 ") != NULL,
		  "%s", script->seen);
	stop();
}

Test(systemd, seconds_are_microseconds)
{
	static const struct {
		struct spec_pair annotation;
		const char *name;
		uint64_t value;
	} cases[] = {
		{ PROPERTY("TimeoutStopSec", "2"), "TimeoutStopUSec", 2000000 },
		{ PROPERTY("TimeoutStopSec", "uint64 3"), "TimeoutStopUSec", 3000000 },
		{ PROPERTY("TimeoutStopSec", "0.25"), "TimeoutStopUSec", 250000 },
		{ PROPERTY("TimeoutStopUSec", "uint64 3"), "TimeoutStopUSec", 3 },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		CLEANUP(systemd_property_fini) struct systemd_property p = { 0 };
		struct error err = { 0 };

		cr_assert(systemd_property_parse(&cases[i].annotation, &p, &err) == 1, "%s",
			  err.text);
		cr_expect_str_eq(p.name, cases[i].name);
		cr_expect(str_eq(p.type, "t") && p.positive == cases[i].value, "case %zu: %lu", i,
			  p.positive);
	}
}

Test(systemd, annotations_that_are_refused)
{
	static const struct spec_pair cases[] = {
		PROPERTY("", "1"),
		PROPERTY("Ab", "1"),
		PROPERTY("A.bc", "1"),
		PROPERTY("AbcdefghijklmnopqrstuvwxyzAbcdefghijklmnopqrstuvwxyzAbcdefghijklm", "1"),
		PROPERTY("Abc", ""),
		PROPERTY("Abc", "x"),
		PROPERTY("Abc", "1 2"),
		PROPERTY("Abc", "2147483648"),
		PROPERTY("Abc", "uint32 -1"),
		PROPERTY("Abc", "uint64 18446744073709551616"),
		PROPERTY("Abc", "'x"),
		PROPERTY("Abc", "'x' y"),
		PROPERTY("Abc", "'a\\'b'"),
		PROPERTY("Abc", "['a' 'b']"),
		PROPERTY("Abc", "['a',"),
		PROPERTY("Abc", "['a'] x"),
		PROPERTY("Abc", "["),
		PROPERTY("Abc", "[1"),
		PROPERTY("Abc", "[1,]"),
		PROPERTY("Abc", "[1] 2"),
		PROPERTY("Abc", "[1, 'a']"),
		PROPERTY("Abc", "[1, uint64 2]"),
		PROPERTY("Abc", "[byte 256]"),
		PROPERTY("Abc", "[double 1.5]"),
		PROPERTY("Abc", "[true]"),
		PROPERTY("Abc", "('a', 1)"),
		PROPERTY("Abc", "byte 256"),
		PROPERTY("TimeoutStopSec", "'x'"),
		PROPERTY("TimeoutStopSec", "-1"),
		PROPERTY("TimeoutStopSec", "uint64 18446744073709551615"),
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct error err = { 0 };

		cr_expect(systemd_properties_check(&cases[i], 1, &err) == -EINVAL, "%s=%s",
			  cases[i].name, cases[i].value);
		cr_expect(str_starts(err.text, "config.json: annotations.org.systemd.property."),
			  "%s", err.text);
	}
}

Test(systemd, a_name_that_is_still_swept_up_is_waited_for)
{
	struct error err;

	start((struct script){ .result = "done", .exists = 2 });
	cr_expect(start_scope(10000, &err) == 0, "%s", err.text);
	cr_expect(strstr(script->seen, "ResetFailedUnit docker-1.scope") != NULL);
	script->exists = 1000000;
	cr_expect(start_scope(10000, &err) == -EEXIST, "%s", err.text);
	cr_expect(strstr(err.text, "docker-1.scope") != NULL, "%s", err.text);
	stop();
}

Test(systemd, a_job_that_fails_says_how)
{
	struct error err;

	start((struct script){ .result = "timeout" });
	cr_expect(start_scope(10000, &err) == -EREMOTEIO);
	cr_expect_str_eq(err.text, "start docker-1.scope: systemd's job ended with \"timeout\"");
	stop();
}

/* Container managers would take systemd's sentence for one about the container. */
Test(systemd, a_refusal_is_told_by_its_name)
{
	struct error err;

	start((struct script){ .error = "org.freedesktop.DBus.Error.InvalidArgs" });
	cr_expect(start_scope(10000, &err) == -EREMOTEIO);
	cr_expect_str_eq(err.text, "start docker-1.scope: systemd answers "
				   "org.freedesktop.DBus.Error.InvalidArgs");
	stop();
}

Test(systemd, a_unit_that_is_gone_is_stopped)
{
	struct error err = { 0 };

	start((struct script){ .error = "org.freedesktop.systemd1.NoSuchUnit" });
	cr_expect(systemd_stop_unit(path, scope.unit, deadline_in_ms(10000), &err) == 0);
	cr_expect(start_scope(10000, &err) == -ENOENT);
	stop();
}

Test(systemd, every_wait_has_an_end)
{
	static const struct script cases[] = { { .silent = true }, { .result = NULL } };

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		int64_t begin = deadline_now_ms();
		struct error err;

		start(cases[i]);
		cr_expect(start_scope(300, &err) == -ETIMEDOUT, "%zu: %s", i, err.text);
		cr_expect(deadline_now_ms() - begin < 10000, "%zu", i);
		stop();
		strcpy(dir, "/tmp/test-systemd-XXXXXX");
	}
}

Test(systemd, a_connection_that_ends_is_an_error)
{
	struct error err;

	start((struct script){ .drops = true });
	cr_expect(start_scope(10000, &err) < 0);
	cr_expect(strstr(err.text, "docker-1.scope") != NULL, "%s", err.text);
	stop();
	/* Nobody listens any more, and the socket is gone. */
	cr_expect(!systemd_is_here(path));
	cr_expect(start_scope(1000, &err) < 0 && strstr(err.text, "systemd") != NULL);
}
