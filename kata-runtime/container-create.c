/*
 * Creating a container with its VM: see container.h. One struct holds everything that is made on
 * the way, so that one function undoes it; what must survive us is in state.json before it exists.
 */
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/deadline.h"
#include "common/filter.h"
#include "common/id.h"
#include "common/launch.h"
#include "common/log.h"
#include "common/process.h"
#include "common/str.h"
#include "kata-runtime/assets.h"
#include "kata-runtime/cause.h"
#include "kata-runtime/cgroup.h"
#include "kata-runtime/config.h"
#include "kata-runtime/console.h"
#include "kata-runtime/container-cgroup.h"
#include "kata-runtime/container.h"
#include "kata-runtime/guest-spec.h"
#include "kata-runtime/hook-launcher.h"
#include "kata-runtime/json.h"
#include "kata-runtime/logs.h"
#include "kata-runtime/network.h"
#include "kata-runtime/pod.h"
#include "kata-runtime/process-io.h"
#include "kata-runtime/qemu-root.h"
#include "kata-runtime/resolver.h"
#include "kata-runtime/resources.h"
#include "kata-runtime/sandbox.h"
#include "kata-runtime/share.h"
#include "kata-runtime/shim.h"
#include "kata-runtime/uids.h"
#include "kata-runtime/vm-grow.h"
#include "kata-runtime/vm-size.h"

enum { LOCK_MS = 10000, LAUNCH_MS = 20000, AGENT_MS = 60000, COMMIT_MS = 5000 };

struct creation {
	const struct cli *cli;
	const struct container_options *options;
	struct store store;
	struct store_lock lock;
	struct config config;
	struct spec *spec;
	struct pod pod;
	struct guest_spec guest;
	struct state state;
	struct cgroup cgroup;
	struct process_io io;
	struct shim shim;
	struct sandbox sandbox;
	struct decoder decoder;
	struct network *network;
	struct network_taps taps;
	struct hook_launcher hooks;
	int netns;  /* to join, -1: a new one */
	int shared; /* s/SID/client */
	int exit;   /* s/SID/exit */
	bool on_disk;
	bool hooked; /* hooks were begun: poststop has its turn when all is undone */
};

static void creation_fini(struct creation *c)
{
	decoder_close(&c->decoder);
	network_taps_close(&c->taps);
	hook_launcher_end(&c->hooks);
	free(c->network);
	fd_close(&c->netns);
	fd_close(&c->shared);
	fd_close(&c->exit);
	fd_close(&c->sandbox.control);
	fd_close(&c->sandbox.slot);
	fd_close(&c->shim.control);
	process_io_close(&c->io);
	guest_spec_fini(&c->guest);
	pod_fini(&c->pod);
	cgroup_fini(&c->cgroup);
	state_fini(&c->state);
	spec_free(c->spec);
	config_fini(&c->config);
	store_unlock(&c->lock);
}

/* Takes everything back; the first failure's words are kept. */
static void undo(struct creation *c)
{
	struct error err = { 0 };

	decoder_close(&c->decoder);
	network_taps_close(&c->taps);
	shim_abort(&c->shim);
	fd_close(&c->sandbox.control);
	fd_close(&c->sandbox.slot);
	if (c->on_disk && container_destroy(&c->store, &c->state, &c->lock, false, &err) < 0)
		log_error("a failed create could not be undone", KV_ERR(&err));
	if (!c->on_disk && c->lock.fd >= 0 && !store_exists(&c->store, c->state.id, c->state.sid)) {
		store_unlock(&c->lock);
		store_drop_lock(&c->store, c->state.sid);
	}
	if (c->hooked)
		hook_launcher_run_all(&c->hooks, c->spec, HOOK_POSTSTOP, 0);
}

/* --- checks before anything is made --------------------------------------------------------- */

static int host_network(struct error *err)
{
	return error_say(err, ENOTSUP,
			 "host networking cannot be given to a container in a VM; choose another "
			 "network, or none");
}

static int open_netns(struct creation *c, struct error *err)
{
	const struct spec_namespace *network = &c->spec->namespaces[NAMESPACE_NETWORK];
	struct stat host, theirs;

	if (c->config.runtime.disable_new_netns &&
	    c->config.runtime.internetworking_model != MODEL_NONE)
		return error_say(err, EINVAL,
				 "runtime.disable_new_netns needs runtime.internetworking_model "
				 "\"none\": the host's interfaces cannot be given to a VM");
	/* The shim is where the host is; the VM has no network. */
	if (c->config.runtime.disable_new_netns && (!network->wanted || network->path[0] == '\0')) {
		c->netns = open("/proc/self/ns/net", O_RDONLY | O_CLOEXEC);
		return c->netns < 0 ? error_set(err, errno, "the host's network namespace") : 0;
	}
	if (!network->wanted)
		return host_network(err);
	if (network->path[0] == '\0')
		return 0;
	c->netns = open(network->path, O_RDONLY | O_CLOEXEC);
	if (c->netns < 0)
		return error_set(err, errno, "network namespace %s", network->path);
	if (fstat(c->netns, &theirs) < 0 || stat("/proc/self/ns/net", &host) < 0)
		return error_set(err, errno, "network namespace %s", network->path);
	if (theirs.st_dev == host.st_dev && theirs.st_ino == host.st_ino)
		return c->config.runtime.disable_new_netns ? 0 : host_network(err);
	return 0;
}

static int check_rootfs(const struct spec *spec, struct error *err)
{
	struct stat st;

	if (stat(spec->root_path, &st) < 0)
		return error_set(err, errno, "config.json: root.path %s", spec->root_path);
	if (!S_ISDIR(st.st_mode))
		return error_say(err, EINVAL, "config.json: root.path %s is no directory",
				 spec->root_path);
	return 0;
}

/* How large a VM of its own is; for one that it joins, whether it can be large enough alone. */
static int choose_size(struct creation *c, struct error *err)
{
	uint64_t memory = 0, cpu_milli = 0;
	struct vm_host host = vm_size_host();
	struct vm_demand demand = { 0 };
	int r;

	vm_demand_limits(&c->spec->resources, &memory, &cpu_milli);
	vm_demand_add(&demand, memory, cpu_milli);
	r = vm_size_need(&demand, &c->config, &host, &c->sandbox.size, err);
	if (r < 0)
		return error_prefix(err, "config.json: linux.resources");
	vm_size_more(&c->sandbox.size, &c->config, &host, &c->sandbox.more);
	return 0;
}

/* A member changes nothing of its VM's configuration. */
static int use_config(struct creation *c, struct error *err)
{
	config_fini(&c->config);
	return container_config(c->cli, &c->store, &c->pod.sandbox, &c->config, err);
}

/* Reads and checks all input; the log is first, so that it has what is wrong with the rest. */
static int read_input(struct creation *c, const char *id, struct error *err)
{
	char sid[SID_SIZE];
	int r = id_check(id, err);

	if (r == 0)
		r = store_open(&c->store, c->cli->root, NULL, false, err);
	if (r == 0)
		r = store_sid(&c->store, id, sid, err);
	if (r == 0)
		r = logs_start_runtime(c->cli->config_file, c->cli->debug, sid, id, NULL,
				       &c->config, err);
	if (r == 0)
		r = process_io_check(c->options, err);
	if (r == 0)
		r = spec_load(c->options->bundle != NULL ? c->options->bundle : ".", &c->spec, err);
	if (r == 0 && c->cli->systemd_cgroup)
		r = cgroup_check_systemd(c->spec->cgroups_path, err);
	if (r == 0)
		r = check_rootfs(c->spec, err);
	if (r == 0)
		r = config_annotate(&c->config, c->spec->annotations, c->spec->n_annotations, NULL,
				    err);
	if (r == 0)
		r = open_netns(c, err);
	if (r == 0)
		r = pod_find(&c->store, c->spec, c->netns, &c->pod, err);
	if (r == 0 && c->pod.member)
		r = use_config(c, err);
	if (r == 0)
		r = guest_spec_make(c->spec, id, &c->pod, &c->guest, err);
	if (r == 0)
		r = choose_size(c, err);
	if (r == 0 && c->pod.member)
		logs_use_sandbox(&c->config, c->cli->debug, c->pod.sandbox.sid, id);
	return r;
}

static void collect_warning(const char *what, void *userdata)
{
	char *text = userdata;
	size_t used = strlen(text);

	snprintf(text + used, LOG_TEXT_MAX - used, "%s%s", used > 0 ? ", " : "", what);
}

static bool takes(const struct creation *c, const char *annotation)
{
	return !c->pod.member && config_takes(&c->config, annotation);
}

/* One record that names all of it. */
static void warn_unapplied(const struct creation *c)
{
	char text[LOG_TEXT_MAX] = "";

	spec_warnings(c->spec, collect_warning, text);
	/* Who sends these expects another machine than there will be. */
	for (uint32_t i = 0; i < c->spec->n_annotations; i++) {
		const char *name = c->spec->annotations[i].name;

		if (str_starts(name, "io.katacontainers.config") && !takes(c, name))
			collect_warning(name, text);
	}
	if (text[0] != '\0')
		log_warning("the bundle asks for what this version does not apply",
			    KV_S("fields", text));
}

/* --- the steps ------------------------------------------------------------------------------ */

static int copy_text(char **dst, const char *src, struct error *err)
{
	free(*dst);
	*dst = strdup(src);
	return *dst != NULL ? 0 : error_set(err, ENOMEM, "state");
}

static int copy_annotations(struct creation *c, struct error *err)
{
	const struct spec *spec = c->spec;
	struct state *state = &c->state;

	state->annotations = calloc(spec->n_annotations + 1UL, sizeof(*state->annotations));
	if (state->annotations == NULL)
		return error_set(err, ENOMEM, "state");
	for (uint32_t i = 0; i < spec->n_annotations; i++) {
		struct spec_pair *pair = &state->annotations[i];

		pair->name = strdup(spec->annotations[i].name);
		pair->value = strdup(spec->annotations[i].value);
		state->n_annotations = i + 1;
		if (pair->name == NULL || pair->value == NULL)
			return error_set(err, ENOMEM, "state");
		if (takes(c, pair->name) && json_strings_add(&state->configured, pair->name) < 0)
			return error_set(err, ENOMEM, "state");
	}
	return 0;
}

/* What a member's state repeats of its VM's, which never changes. */
static int copy_sandbox(struct state *state, const struct state *sandbox, struct error *err)
{
	memcpy(state->sandbox, sandbox->sid, SID_SIZE);
	state->monitor = sandbox->monitor;
	state->uid_slot = sandbox->uid_slot;
	state->uid_base = sandbox->uid_base;
	state->seccomp_log = sandbox->seccomp_log;
	if (assets_copy(state, sandbox, err) < 0)
		return -ENOMEM;
	return state_set_agent_link(state, sandbox->agent_link, sandbox->agent_link_reason, err);
}

/* From here on the VM lives at least as long as this container. */
static int join_vm(struct creation *c, struct error *err)
{
	CLEANUP(store_unlock) struct store_lock lock = STORE_LOCK_NONE;
	const struct process_ref *monitor = &c->state.monitor;
	int r = store_lock_pod(&c->store, c->state.sandbox, deadline_in_ms(LOCK_MS), &lock, err);

	if (r == 0 && !process_alive(monitor->pid, monitor->start_ticks))
		r = error_say(err, ESRCH, "the VM has ended");
	if (r == 0)
		r = store_join(&c->store, &c->state, err);
	return r < 0 ? error_prefix(err, "join the VM of container %s", c->pod.sandbox.id) : 0;
}

/* The name is taken: from here on there is something to undo. */
static int record(struct creation *c, const char *id, struct error *err)
{
	struct state *state = &c->state;
	struct resources_now limits = { 0 };
	int r = store_open(&c->store, c->cli->root, NULL, true, err);

	if (r == 0)
		r = state_init(state, &c->store, id, err);
	if (r == 0)
		r = copy_text(&state->bundle, c->spec->bundle, err);
	if (r == 0)
		r = copy_text(&state->rootfs, c->spec->root_path, err);
	if (r == 0)
		r = copy_text(&state->netns, c->spec->namespaces[NAMESPACE_NETWORK].path, err);
	if (r == 0)
		r = copy_annotations(c, err);
	if (r == 0)
		r = container_plan_cgroups(c->cli, c->spec->cgroups_path, state, &c->cgroup, err);
	if (r == 0)
		r = store_lock(&c->store, state->sid, deadline_in_ms(LOCK_MS), &c->lock, err);
	if (r == 0)
		r = store_create(&c->store, id, state->sid, err);
	if (r < 0)
		return r;
	state->terminal = c->spec->process.terminal;
	state->seccomp_log = c->config.runtime.seccomp == SECCOMP_LOG;
	state->pause = c->pod.pause;
	vm_demand_limits(&c->spec->resources, &state->memory_limit, &state->cpu_milli);
	resources_complete(&c->spec->resources, &limits);
	state->cpu_quota = limits.cpu_quota;
	state->cpu_period = limits.cpu_period;
	c->on_disk = true;
	r = c->pod.member ? copy_sandbox(state, &c->pod.sandbox, err)
			  : assets_note(state, &c->config, err);
	if (r == 0)
		r = store_write_state(&c->store, state, err);
	if (r == 0)
		r = store_write_intent(&c->store, state, err);
	return r == 0 && c->pod.member ? join_vm(c, err) : r;
}

static int take_uids(struct creation *c, struct error *err)
{
	struct uid_range range;
	char dir[PATH_MAX];
	int r = uids_find_range(c->config.runtime.uid_range, &range, err);

	if (r < 0)
		return r;
	if (str_format(dir, sizeof(dir), "%s/uid", c->store.base) < 0)
		return error_set(err, ENAMETOOLONG, "%s", c->store.base);
	if (c->config.runtime.uid_mode == UID_MODE_SHARED) {
		log_warning("runtime.uid_mode is \"shared\": this VM has the uids of others");
		r = uids_share(dir, &range, &c->sandbox.slot, &c->state.uid_slot,
			       &c->state.uid_base, err);
	} else {
		r = uids_take(dir, &range, c->state.sid, &c->sandbox.slot, &c->state.uid_slot,
			      &c->state.uid_base, err);
	}
	return r < 0 ? r : store_write_state(&c->store, &c->state, err);
}

/* The root of the VM's shims: see privsep_show_processes() for the directory in it. */
static int open_shared(struct creation *c, struct error *err)
{
	char path[PATH_MAX], proc[PATH_MAX];
	int r = store_path(&c->store, c->state.sandbox, "client", path, err);

	if (r == 0)
		r = store_path(&c->store, c->state.sandbox, "client/proc", proc, err);
	if (r < 0)
		return r;
	if (!c->pod.member && (mkdir(path, 0711) < 0 || chmod(path, 0711) < 0 ||
			       mkdir(proc, 0555) < 0 || chmod(proc, 0555) < 0))
		return error_set(err, errno, "make %s", path);
	c->shared = open(path, O_PATH | O_DIRECTORY | O_CLOEXEC);
	return c->shared < 0 ? error_set(err, errno, "open %s", path) : 0;
}

static int start_shim(struct creation *c, struct error *err)
{
	struct shim_options options = {
		.config = &c->config,
		.state = &c->state,
		.exec = "",
		.args = &c->spec->process.args,
		.netns = c->netns,
		.pidns = -1,
		.debug = c->cli->debug,
	};
	int r = open_shared(c, err);

	if (r == 0)
		r = process_io_open(&c->io, &c->spec->process, c->options, err);
	if (r < 0)
		return r;
	memcpy(options.stdio, c->io.stdio, sizeof(options.stdio));
	options.shared = c->shared;
	c->exit = cause_open_exit(&c->store, &c->state, err);
	if (c->exit < 0)
		return c->exit;
	options.exit = c->exit;
	r = shim_start(&c->shim, &options, err);
	if (r < 0)
		return r;
	c->state.shim = c->shim.process;
	r = container_enter_cgroups(&c->state, &c->cgroup, c->shim.process.pid, err);
	if (r < 0)
		return r;
	return store_write_state(&c->store, &c->state, err);
}

/* What later verbs need of config.json even when the bundle has changed or is gone by then. */
static int keep_spec(struct creation *c, struct error *err)
{
	if (c->spec->hooks[HOOK_POSTSTART].count == 0 && c->spec->hooks[HOOK_POSTSTOP].count == 0 &&
	    c->spec->hooks[HOOK_START_CONTAINER].count == 0)
		return 0;
	return container_keep_spec(&c->store, &c->state, err);
}

static int run_hooks(struct creation *c, struct error *err)
{
	int r = keep_spec(c, err);

	if (r < 0)
		return r;
	c->hooked = true;
	for (int kind = HOOK_PRESTART; r == 0 && kind <= HOOK_CREATE_CONTAINER; kind++)
		r = hook_launcher_run(&c->hooks, c->spec, (enum spec_hook_kind)kind,
				      c->shim.process.pid, err);
	return r;
}

/* The shim holds the network namespace; hooks fill it (docker's), or it came filled. */
static int prepare_network(struct creation *c, struct error *err)
{
	CLEANUP(fd_close) int netns = -1;
	char path[64];
	int r = run_hooks(c, err);

	if (r == 0)
		r = resolver_check(c->spec, c->config.runtime.strict_network, err);
	if (r < 0)
		return r;
	snprintf(path, sizeof(path), "/proc/%d/ns/net", c->shim.process.pid);
	netns = open(path, O_RDONLY | O_CLOEXEC);
	if (netns < 0)
		return shim_explain(&c->shim, err);
	if (c->config.runtime.internetworking_model == MODEL_NONE) {
		c->network = calloc(1, sizeof(*c->network));
		return c->network != NULL ? 0 : error_set(err, ENOMEM, "network");
	}
	r = network_attach(netns, c->state.sid, c->sandbox.size.vcpus,
			   c->config.runtime.internetworking_model == MODEL_MACVTAP, &c->network,
			   &c->taps, err);
	if (r == 0 && c->network->skipped[0] != '\0' && c->config.runtime.strict_network)
		return error_say(err, ENOTSUP, "parts of the network cannot be given to a VM: %s",
				 c->network->skipped);
	if (r == 0 && c->network->skipped[0] != '\0')
		log_warning("parts of the network are not given to the VM",
			    KV_S("parts", c->network->skipped));
	return r;
}

static int hand_in(struct creation *c, struct error *err)
{
	int r = 0;

	for (uint32_t i = 0; i < c->guest.n_shares && r == 0; i++)
		r = share_add(&c->state.monitor, c->guest.shares[i].source, c->guest.shares[i].name,
			      c->guest.shares[i].readonly, err);
	return r;
}

/* The VM, up to its agent's hello. */
static int start_sandbox(struct creation *c, struct error *err)
{
	int64_t boot = (int64_t)c->config.runtime.create_container_timeout * 1000;
	int r;

	c->sandbox.store = &c->store;
	c->sandbox.config = &c->config;
	c->sandbox.cgroup = &c->cgroup;
	c->sandbox.state = &c->state;
	c->sandbox.network = c->network;
	c->sandbox.taps = &c->taps;
	c->sandbox.debug = c->cli->debug;
	r = sandbox_start(&c->sandbox, deadline_in_ms(LAUNCH_MS), err);
	network_taps_close(&c->taps); /* the devices live as long as QEMU has them */
	if (r == 0) {
		r = hand_in(c, err);
		if (r == -ESRCH)
			r = sandbox_explain(&c->store, &c->state, r, err);
	}
	if (r == 0)
		r = sandbox_connect(&c->store, &c->state, &c->decoder, deadline_in_ms(boot), err);
	/*
	 * The agent answers, so QEMU has loaded all that it will; nothing of a container's ran
	 * yet.
	 */
	if (r == 0) {
		r = qemu_root_empty(&c->state.monitor, c->state.uid_base + UID_QEMU, err);
		if (r == -ESRCH)
			r = sandbox_explain(&c->store, &c->state, r, err);
	}
	return r;
}

/* A VM that others have started, with its network. */
static int enter_sandbox(struct creation *c, struct error *err)
{
	/* The limits stand in state.json since record(). */
	CLEANUP(store_unlock) struct store_lock size = STORE_LOCK_NONE;
	int r = run_hooks(c, err);

	if (r == 0)
		r = hand_in(c, err);
	if (r == 0)
		r = sandbox_connect(&c->store, &c->state, &c->decoder, deadline_in_ms(AGENT_MS),
				    err);
	return r < 0 ? r : vm_grow(&c->store, &c->state, &c->config, &c->decoder, &size, err);
}

static int prepare_guest(struct creation *c, struct error *err)
{
	struct msg_create_sandbox sandbox = { .hostname = c->spec->hostname, .share = true };
	struct utsname host;
	struct timespec now;

	/* Without a name of its own a container has the host's, as a new UTS namespace does. */
	if (sandbox.hostname[0] == '\0' && uname(&host) == 0)
		sandbox.hostname = host.nodename;
	clock_gettime(CLOCK_REALTIME, &now);
	sandbox.time_ns = (uint64_t)now.tv_sec * 1000000000 + (uint64_t)now.tv_nsec;
	sandbox.log_level = c->cli->debug || c->config.agent.enable_debug ? LOG_DEBUG : LOG_INFO;
	return decoder_request(&c->decoder, MSG_CREATE_SANDBOX, &sandbox, deadline_in_ms(AGENT_MS),
			       NULL, NULL, err);
}

static int configure_network(struct creation *c, struct error *err)
{
	struct msg_set_network message;
	int r;

	if (c->network->n_links == 0)
		return 0;
	r = network_message(c->network, &message, err);
	if (r < 0)
		return r;
	r = decoder_request(&c->decoder, MSG_SET_NETWORK, &message, deadline_in_ms(AGENT_MS), NULL,
			    NULL, err);
	network_message_fini(&message);
	return r;
}

/* A manager that hands in resolv.conf may name a server in it that only the namespace has. */
static bool wants_relay(const struct spec *spec)
{
	for (uint32_t i = 0; i < spec->n_mounts; i++)
		if (str_eq(spec->mounts[i].destination, "/etc/resolv.conf"))
			return true;
	return false;
}

static int create_in_guest(struct creation *c, struct error *err)
{
	struct decoder_reply reply;
	int r = decoder_request(&c->decoder, MSG_CREATE, &c->guest.create, deadline_in_ms(AGENT_MS),
				&reply, NULL, err);

	if (r < 0)
		return r;
	c->state.handle = reply.handle;
	c->state.guest_pid = reply.pid;
	return shim_attach(&c->shim, reply.handle, c->spec->process.terminal, wants_relay(c->spec),
			   deadline_in_ms(AGENT_MS), err);
}

static int finish(struct creation *c, struct error *err)
{
	int r;

	c->state.status = STATUS_CREATED;
	r = store_write_state(&c->store, &c->state, err);
	if (r == 0 && !c->pod.member)
		r = sandbox_commit(&c->sandbox, deadline_in_ms(COMMIT_MS), err);
	if (r == 0 && c->options->pidfd_socket != NULL)
		r = console_send_pidfd(c->options->pidfd_socket, &c->state.shim,
				       deadline_in_ms(COMMIT_MS), err);
	if (r == 0 && c->options->pid_file != NULL)
		r = container_write_pid(c->options->pid_file, c->state.shim.pid, err);
	return r;
}

/* A VM for this container, and the others that may come. */
static int make_vm(struct creation *c, struct error *err)
{
	int r = take_uids(c, err);

	if (r == 0)
		r = start_shim(c, err);
	if (r == 0)
		r = prepare_network(c, err);
	if (r == 0)
		r = start_sandbox(c, err);
	if (r == 0)
		r = prepare_guest(c, err);
	return r < 0 ? r : configure_network(c, err);
}

static int use_vm(struct creation *c, struct error *err)
{
	int r = start_shim(c, err);

	return r < 0 ? r : enter_sandbox(c, err);
}

static int create(struct creation *c, const char *id, bool last, struct error *err)
{
	int r = read_input(c, id, err);

	if (r == 0)
		r = hook_launcher_start(&c->hooks, c->cli->rights, c->spec, id, HOOK_PRESTART, err);
	if (r == 0)
		r = record(c, id, err);
	if (r < 0)
		return r;
	warn_unapplied(c);
	r = c->pod.member ? use_vm(c, err) : make_vm(c, err);
	if (r == 0 && last)
		r = filter_load(FILTER_ASKER, c->cli->seccomp_log, err);
	if (r == 0)
		r = create_in_guest(c, err);
	return r < 0 ? r : finish(c, err);
}

int container_create(const struct cli *cli, const char *id, const struct container_options *options,
		     struct container_child *ret_child, struct error *err)
{
	CLEANUP(creation_fini)
	struct creation c = { .cli = cli,
			      .options = options,
			      .lock = STORE_LOCK_NONE,
			      .io = PROCESS_IO_NONE,
			      .shim = SHIM_NONE,
			      .sandbox = SANDBOX_NONE,
			      .decoder = DECODER_NONE,
			      .hooks = HOOK_LAUNCHER_NONE,
			      .netns = -1,
			      .shared = -1,
			      .exit = -1 };
	int r;

	network_taps_init(&c.taps);
	r = create(&c, id, ret_child == NULL, err);
	if (r < 0) {
		undo(&c);
		return error_prefix(err, str_starts(err->text, "exec: ")
						 ? "kata-runtime create failed: unable to start "
						   "container process"
						 : "kata-runtime create failed");
	}
	log_info("container created", KV("shim", c.state.shim.pid),
		 KV("monitor", c.state.monitor.pid));
	if (ret_child != NULL) {
		ret_child->shim = c.state.shim;
		ret_child->master = steal_fd(&c.io.master);
		ret_child->uid = c.state.uid_base + UID_DECODER;
		ret_child->hooks = c.hooks;
		c.hooks = HOOK_LAUNCHER_NONE;
	}
	return 0;
}
