/*
 * OCI hooks: see hooks.h. Called by the process that hook-launcher.c forks, as root: hooks come
 * from the container manager, who is trusted as the rest of its config.json is.
 */
#include "kata-runtime/hooks.h"

#include <errno.h>
#include <fcntl.h>
#include <json-c/json.h>
#include <linux/close_range.h>
#include <poll.h>
#include <sched.h>
#include <signal.h>
#include <stdlib.h>
#include <stdnoreturn.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/param.h>
#include <sys/pidfd.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/deadline.h"
#include "common/process.h"
#include "common/str.h"

enum { OUTPUT_MAX = 512 };

char *hooks_state_json(const struct spec *spec, const struct hooks_state *state)
{
	struct json_object *o = json_object_new_object();
	struct json_object *annotations = json_object_new_object();
	char *text;

	json_object_object_add(o, "ociVersion", json_object_new_string(spec->oci_version));
	json_object_object_add(o, "id", json_object_new_string(state->id));
	json_object_object_add(o, "status", json_object_new_string(state->status));
	if (state->pid > 0)
		json_object_object_add(o, "pid", json_object_new_int(state->pid));
	json_object_object_add(o, "bundle", json_object_new_string(spec->bundle));
	for (uint32_t i = 0; i < spec->n_annotations; i++)
		json_object_object_add(annotations, spec->annotations[i].name,
				       json_object_new_string(spec->annotations[i].value));
	json_object_object_add(o, "annotations", annotations);
	text = strdup(json_object_to_json_string_ext(o, JSON_C_TO_STRING_PLAIN |
								JSON_C_TO_STRING_NOSLASHESCAPE));
	json_object_put(o);
	return text;
}

uint32_t hooks_timeout_s(const struct spec_hook *hook)
{
	return hook->timeout_s != 0 ? hook->timeout_s : HOOKS_TIMEOUT_S;
}

/* Standard input that needs nobody to write it while the hook runs. */
static int make_input(const char *text, struct error *err)
{
	CLEANUP(fd_close) int fd = memfd_create("oci-state", MFD_CLOEXEC);
	size_t len = strlen(text);

	if (fd < 0 || write(fd, text, len) != (ssize_t)len || lseek(fd, 0, SEEK_SET) < 0)
		return error_set(err, errno != 0 ? errno : EIO, "the state for a hook");
	return steal_fd(&fd);
}

/* What a host has of a container's namespaces are its shim's. */
static int join(pid_t shim)
{
	CLEANUP(fd_close) int pidfd = pidfd_open(shim, 0);

	return pidfd < 0 ? -1 : setns(pidfd, CLONE_NEWNET | CLONE_NEWUTS | CLONE_NEWIPC);
}

static noreturn void child(const struct spec *spec, const struct spec_hook *hook, pid_t joined,
			   int input, int output)
{
	char *const fallback[] = { hook->path, NULL };
	char *const *argv = hook->args.count > 0 ? hook->args.items : fallback;
	sigset_t none;

	setsid(); /* a group of its own, so that a timeout ends what it started too */
	sigemptyset(&none);
	sigprocmask(SIG_SETMASK, &none, NULL);
	for (int s = 1; s < NSIG; s++)
		signal(s, SIG_DFL);
	if (dup2(input, 0) < 0 || dup2(output, 1) < 0 || dup2(output, 2) < 0 ||
	    close_range(3, ~0U, CLOSE_RANGE_CLOEXEC) < 0)
		_exit(126);
	/* A bundle may be gone before its container; its hooks are due nevertheless. */
	if (chdir(spec->bundle) < 0 && chdir("/") < 0)
		_exit(126);
	if (joined > 0 && join(joined) < 0) {
		dprintf(2, "join the namespaces of the shim: %s", error_reason(errno));
		_exit(126);
	}
	/* As runc does: without an environment of its own it has the runtime's. */
	execve(hook->path, argv, hook->env.count > 0 ? hook->env.items : environ);
	dprintf(2, "exec: %s", error_reason(errno));
	_exit(127);
}

/* What the hook wrote, its last bytes; more than it has written so far is not waited for. */
struct output {
	char text[OUTPUT_MAX + 1];
	size_t len;
};

/* False at its end. */
static bool read_output(int fd, struct output *output)
{
	char data[4096];
	ssize_t n = read(fd, data, sizeof(data));
	size_t len, keep;

	if (n <= 0)
		return n < 0 && (errno == EAGAIN || errno == EINTR);
	len = MIN((size_t)n, (size_t)OUTPUT_MAX);
	keep = MIN(output->len, OUTPUT_MAX - len);
	memmove(output->text, output->text + output->len - keep, keep);
	memcpy(output->text + keep, data + (size_t)n - len, len);
	output->len = keep + len;
	return true;
}

/* Reads its output until it has ended: 0 or -ETIMEDOUT. */
static int follow(int pidfd, int output_fd, struct output *output, int64_t deadline)
{
	struct pollfd p[] = { { .fd = pidfd, .events = POLLIN },
			      { .fd = output_fd, .events = POLLIN } };

	for (;;) {
		int n = poll(p, ARRAY_SIZE(p), deadline_left_ms(deadline));

		if (n == 0 || deadline_left_ms(deadline) == 0)
			return -ETIMEDOUT;
		if (n > 0 && p[1].revents != 0 && !read_output(output_fd, output))
			p[1].fd = -1;
		if (n > 0 && p[0].revents != 0)
			break;
	}
	/* What it wrote at its end, all that a pipe holds; others may go on writing into it. */
	for (int i = 0; i < 64 && poll(&p[1], 1, 0) > 0 && read_output(output_fd, output); i++)
		continue;
	return 0;
}

static int judge(int status, const struct output *output, struct error *err)
{
	char how[64], said[OUTPUT_MAX * 2];

	if (WIFEXITED(status) && WEXITSTATUS(status) == 0)
		return 0;
	process_status_text(status, how, sizeof(how));
	str_escape(said, sizeof(said), output->text,
		   strcspn(output->text, "\r\n") == output->len - 1 ? output->len - 1
								    : output->len);
	return error_say(err, EIO, "it %s%s%s", how, said[0] != '\0' ? ": " : "", said);
}

static int wait_hook(pid_t pid, int output_fd, uint32_t timeout_s, struct error *err)
{
	CLEANUP(fd_close) int pidfd = pidfd_open(pid, 0);
	struct output output = { .len = 0 };
	int status = 0, r;

	r = pidfd < 0 ? -errno
		      : follow(pidfd, output_fd, &output, deadline_in_ms(1000LL * timeout_s));
	if (r < 0)
		kill(-pid, SIGKILL); /* not reaped, so the group is its own */
	if (r < 0)
		kill(pid, SIGKILL); /* before its setsid() there is no group */
	while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
		continue;
	if (r == -ETIMEDOUT)
		return error_say(err, ETIMEDOUT, "it was killed after its timeout of %u s",
				 timeout_s);
	return r < 0 ? error_set(err, -r, "wait for it") : judge(status, &output, err);
}

static int run_one(const struct spec *spec, const struct spec_hook *hook, pid_t joined,
		   const char *state, struct error *err)
{
	CLEANUP(fd_close) int input = make_input(state, err);
	CLEANUP(fd_close) int reader = -1;
	CLEANUP(fd_close) int writer = -1;
	int pipe_fds[2];
	pid_t pid;

	if (input < 0)
		return input;
	if (pipe2(pipe_fds, O_CLOEXEC) < 0)
		return error_set(err, errno, "pipe");
	reader = pipe_fds[0];
	writer = pipe_fds[1];
	if (fcntl(reader, F_SETFL, O_NONBLOCK) < 0)
		return error_set(err, errno, "pipe");
	pid = fork();
	if (pid < 0)
		return error_set(err, errno, "fork");
	if (pid == 0)
		child(spec, hook, joined, input, writer);
	fd_close(&writer);
	return wait_hook(pid, reader, hooks_timeout_s(hook), err);
}

int hooks_run_one(const struct spec *spec, enum spec_hook_kind kind, uint32_t index,
		  const struct hooks_state *state, struct error *err)
{
	const struct spec_hook *hook = &spec->hooks[kind].items[index];
	pid_t joined = kind == HOOK_CREATE_CONTAINER ? state->pid : 0;
	CLEANUP(freep) char *text = hooks_state_json(spec, state);
	int r = text == NULL ? error_set(err, ENOMEM, "state")
			     : run_one(spec, hook, joined, text, err);

	return r < 0 ? error_prefix(err, "hooks.%s[%u] %s", spec_hook_kind_name(kind), index,
				    hook->path)
		     : 0;
}
