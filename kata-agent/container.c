/*
 * Containers of the sandbox: see container.h. Owned by the agent's list; a container's memory goes
 * with the close callback of its timer.
 */
#include "kata-agent/container.h"

#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/deadline.h"
#include "common/log.h"
#include "common/str.h"
#include "kata-agent/cgroup.h"
#include "kata-agent/device-filter.h"
#include "kata-agent/sandbox.h"
#include "kata-agent/seccomp.h"

int container_find(struct agent *agent, const char *id, struct container **ret_container,
		   struct error *err)
{
	for (struct container *c = agent->containers; c != NULL; c = c->next) {
		if (str_eq(c->id, id)) {
			*ret_container = c;
			return 0;
		}
	}
	return error_say(err, ENOENT, "container %s is not known", id);
}

bool container_is_alive(const struct container *container)
{
	const struct process *first = container->first;

	return !container->removing && first != NULL && !first->failed &&
	       first->state != PROCESS_PREPARING && first->state != PROCESS_ENDED;
}

void container_forget_client(struct container *container, const struct client *client)
{
	if (container->waiting.client == client)
		container->waiting.client = NULL;
	if (container->pausing.client == client)
		container->pausing.client = NULL;
}

static void on_timer_closed(uv_handle_t *handle)
{
	free(handle->data);
}

/* Its processes go when their exit codes have been told. */
static void forget(struct container *c)
{
	struct container **at = &c->agent->containers;
	struct process *next;

	while (*at != c)
		at = &(*at)->next;
	*at = c->next;
	for (struct process *p = c->agent->processes; p != NULL; p = next) {
		next = p->next;
		if (p->container == c)
			process_forget(p);
	}
	fd_close(&c->cgroup);
	seccomp_fini(&c->seccomp);
	free(c->uid_map);
	uv_close((uv_handle_t *)&c->timer, on_timer_closed);
}

static bool has_processes(const struct container *c)
{
	for (const struct process *p = c->agent->processes; p != NULL; p = p->next) {
		if (p->container == c && p->state != PROCESS_ENDED)
			return true;
	}
	return false;
}

/* --- pause ------------------------------------------------------------------------------------ */

/* Nobody looks for a frozen container any more; who waits for it is told why. */
static void stop_pausing(struct container *c, const char *why)
{
	struct client_request request = c->pausing;
	struct error err;

	c->pausing.client = NULL;
	uv_timer_stop(&c->timer);
	error_say(&err, ECANCELED, "container %s %s", c->id, why);
	client_fail(&request, &err);
}

static void look_if_frozen(uv_timer_t *timer)
{
	struct container *c = timer->data;
	struct client_request request = c->pausing;
	struct error err;
	int r = cgroup_is_frozen(c->cgroup, &err);

	if (r > 0) {
		c->pausing.client = NULL;
		log_info("container paused", KV_S("container", c->id));
		client_reply(&request, MSG_DONE, NULL);
	} else if (r < 0 || deadline_left_ms(c->deadline) == 0) {
		cgroup_freeze(c->cgroup, false, NULL);
		stop_pausing(c, "does not stand still");
	} else {
		uv_timer_start(&c->timer, look_if_frozen, CONTAINER_RETRY_MS, 0);
	}
}

int container_pause(struct container *container, const struct client_request *request,
		    struct error *err)
{
	int r;

	if (!container_is_alive(container))
		return error_say(err, ESRCH, "container not running");
	if (container->pausing.client != NULL)
		return error_say(err, EBUSY, "container %s is being paused", container->id);
	r = cgroup_freeze(container->cgroup, true, err);
	if (r < 0)
		return error_prefix(err, "pause container %s", container->id);
	container->pausing = *request;
	container->deadline = deadline_in_ms(CONTAINER_PAUSE_MS);
	look_if_frozen(&container->timer);
	return 0;
}

int container_resume(struct container *container, struct error *err)
{
	int r;

	if (container->pausing.client != NULL)
		stop_pausing(container, "is resumed");
	r = cgroup_freeze(container->cgroup, false, err);
	if (r < 0)
		return error_prefix(err, "resume container %s", container->id);
	log_info("container resumed", KV_S("container", container->id));
	return 0;
}

/* --- removal ---------------------------------------------------------------------------------- */

static void try_to_finish(struct container *c);

static void on_retry(uv_timer_t *timer)
{
	try_to_finish(timer->data);
}

/* The kernel needs a moment between the last wait and an empty cgroup: hence the timer. */
static void try_to_finish(struct container *c)
{
	struct client_request request = c->waiting;
	struct error err;
	int r;

	if (has_processes(c))
		r = error_say(&err, EBUSY, "its processes do not end");
	else
		r = cgroup_remove(c->agent->options.cgroup, c->id, &err);
	if (r < 0 && deadline_left_ms(c->deadline) > 0) {
		uv_timer_start(&c->timer, on_retry, CONTAINER_RETRY_MS, 0);
		return;
	}
	c->waiting.client = NULL;
	if (r < 0) {
		error_prefix(&err, "remove container %s", c->id);
		log_error("container not removed", KV_S("container", c->id), KV_ERR(&err));
		c->removing = false;
		uv_timer_stop(&c->timer);
		client_fail(&request, &err);
		return;
	}
	log_info("container removed", KV_S("container", c->id));
	sandbox_let_go(c->agent, c->id, steal_fd(&c->mounts));
	forget(c);
	client_reply(&request, MSG_DONE, NULL);
}

int container_remove(struct container *container, const struct client_request *request,
		     struct error *err)
{
	int r;

	if (container->removing && container->waiting.client != NULL)
		return error_say(err, EBUSY, "container %s is being removed", container->id);
	r = cgroup_signal(container->cgroup, SIGKILL, err);
	if (r < 0)
		return error_prefix(err, "remove container %s", container->id);
	stop_pausing(container, "is being removed");
	container->removing = true;
	container->waiting = *request;
	container->deadline = deadline_in_ms(CONTAINER_REMOVE_MS);
	try_to_finish(container);
	return 0;
}

void container_process_ended(struct container *container, struct process *process)
{
	const struct client_request nobody = { 0 };
	struct error err;

	/* Its own pid namespace would end the others with it; one that is shared does not. */
	if (process->first && container->joined_pid)
		cgroup_signal(container->cgroup, SIGKILL, NULL);
	if (container->removing)
		uv_timer_start(&container->timer, on_retry, 0, 0);
	else if (process->first && process->failed &&
		 container_remove(container, &nobody, &err) < 0)
		log_error("container not removed", KV_ERR(&err));
}

static struct container *make(struct agent *agent, const char *id, struct error *err)
{
	struct container *c = calloc(1, sizeof(*c));

	if (c == NULL) {
		error_set(err, ENOMEM, "make a container");
		return NULL;
	}
	c->agent = agent;
	c->mounts = -1;
	memcpy(c->id, id, strlen(id) + 1);
	c->cgroup = cgroup_create(agent->options.cgroup, id, err);
	if (c->cgroup < 0) {
		free(c);
		return NULL;
	}
	uv_timer_init(&agent->loop, &c->timer);
	c->timer.data = c;
	c->next = agent->containers;
	agent->containers = c;
	return c;
}

/* What its later processes need of the message. */
static int keep(struct container *c, const struct msg_create *create, struct error *err)
{
	c->personality = create->personality;
	c->user_namespace = create->user_namespace;
	c->time_namespace = create->time_namespace;
	c->uid_map = calloc((size_t)create->n_uid_map + 1, sizeof(*c->uid_map));
	if (c->uid_map == NULL)
		return error_set(err, ENOMEM, "make a container");
	for (uint32_t i = 0; i < create->n_uid_map; i++)
		c->uid_map[i] = create->uid_map[i];
	c->n_uid_map = create->n_uid_map;
	for (uint32_t i = 0; i < create->n_start_hooks; i++)
		c->hooks_ms += 1000ULL * create->start_hooks[i].timeout_s;
	return seccomp_copy(&create->seccomp, &c->seccomp, err);
}

/* Everything that holds before its first process is there. */
static int limit(struct container *c, const struct msg_create *create, struct error *err)
{
	int r = keep(c, create, err);

	if (r == 0)
		r = cgroup_set(c->cgroup, create->cgroup, create->n_cgroup, err);
	if (r == 0)
		r = device_filter_attach(c->cgroup, create->device_rules, create->n_device_rules,
					 err);
	return r;
}

/* A child that has ended already has none: -1. */
static int open_mounts(pid_t pid)
{
	char path[64];

	if (str_format(path, sizeof(path), "/proc/%d/ns/mnt", (int)pid) < 0)
		return -1;
	return open(path, O_RDONLY | O_CLOEXEC);
}

int container_create(struct agent *agent, const struct msg_create *create,
		     const struct client_request *request, struct error *err)
{
	struct container *c;
	int r = id_check(create->container, err);

	if (r == 0)
		r = seccomp_check(&create->seccomp, err);
	if (r < 0)
		return r;
	if (container_find(agent, create->container, &c, NULL) == 0)
		return error_say(err, EEXIST, "container %s is there already", create->container);
	c = make(agent, create->container, err);
	if (c == NULL)
		return -err->num;
	c->joined_pid = create->pid_of[0] != '\0';
	r = limit(c, create, err);
	if (r == 0)
		r = process_spawn(c, &create->process, create, request, &c->first, err);
	if (r == 0)
		c->mounts = open_mounts(c->first->pid);
	if (r < 0) {
		cgroup_remove(agent->options.cgroup, c->id, NULL);
		forget(c);
		return r;
	}
	log_info("container prepared", KV_S("container", c->id), KV("pid", c->first->pid));
	return 0;
}
