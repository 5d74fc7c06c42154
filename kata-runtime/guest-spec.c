/*
 * From config.json to CREATE: see guest-spec.h. Called by create before anything is made; looks at
 * mount sources, and else is pure.
 */
#include "kata-runtime/guest-spec.h"

#include <errno.h>
#include <inttypes.h>
#include <linux/magic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/vfs.h>

#include "common/cleanup.h"
#include "common/str.h"
#include "kata-runtime/hooks.h"
#include "kata-runtime/pod.h"
#include "kata-runtime/seccomp.h"
#include "kata-runtime/share.h"
#include "kata-runtime/spec-mount.h"
#include "kata-runtime/sysctl.h"

enum { SYSCTLS_MAX = 1024 }; /* as protocol.def */

void guest_process_fini(struct msg_process *process)
{
	free(process->groups);
	free(process->rlimits);
	process->groups = NULL;
	process->rlimits = NULL;
}

int guest_process_make(const struct spec_process *process, struct msg_process *ret,
		       struct error *err)
{
	*ret = (struct msg_process){
		.args = process->args,
		.env = process->env,
		.cwd = process->cwd,
		.terminal = process->terminal,
		.rows = process->rows,
		.columns = process->columns,
		.uid = process->uid,
		.gid = process->gid,
		.n_groups = process->n_groups,
		.has_umask = process->has_umask,
		.umask = process->umask,
		.has_capabilities = process->has_capabilities,
		.capabilities = { .bounding = process->capabilities.bounding,
				  .effective = process->capabilities.effective,
				  .permitted = process->capabilities.permitted,
				  .inheritable = process->capabilities.inheritable,
				  .ambient = process->capabilities.ambient },
		.no_new_privileges = process->no_new_privileges,
		.n_rlimits = process->n_rlimits,
		.has_oom_score_adj = process->has_oom_score_adj,
		.oom_score_adj = process->oom_score_adj,
		.scheduler = { .wanted = process->has_scheduler,
			       .policy = process->scheduler.policy,
			       .nice = process->scheduler.nice,
			       .priority = process->scheduler.priority,
			       .flags = process->scheduler.flags,
			       .runtime = process->scheduler.runtime,
			       .deadline = process->scheduler.deadline,
			       .period = process->scheduler.period },
		.io_priority = process->io_priority,
	};
	ret->groups = calloc(process->n_groups + 1UL, sizeof(*ret->groups));
	ret->rlimits = calloc(process->n_rlimits + 1UL, sizeof(*ret->rlimits));
	if (ret->groups == NULL || ret->rlimits == NULL) {
		guest_process_fini(ret);
		return error_set(err, ENOMEM, "process");
	}
	for (uint32_t i = 0; i < process->n_groups; i++)
		ret->groups[i].gid = process->groups[i];
	for (uint32_t i = 0; i < process->n_rlimits; i++)
		ret->rlimits[i] = (struct msg_rlimit){ .resource = process->rlimits[i].resource,
						       .soft = process->rlimits[i].soft,
						       .hard = process->rlimits[i].hard };
	return 0;
}

/* The VM has its own; what is shared with a container of the same VM is in pod. */
static int check_namespaces(const struct spec *spec, const struct pod *pod, struct error *err)
{
	const struct {
		enum spec_namespace_type type;
		const char *name, *of;
	} own[] = { { NAMESPACE_PID, "pid", pod->pid_of }, { NAMESPACE_IPC, "ipc", pod->ipc_of },
		    { NAMESPACE_UTS, "uts", pod->uts_of }, { NAMESPACE_MOUNT, "mount", "" },
		    { NAMESPACE_CGROUP, "cgroup", "" },    { NAMESPACE_TIME, "time", "" },
		    { NAMESPACE_USER, "user", "" } };

	for (size_t i = 0; i < ARRAY_SIZE(own); i++) {
		const struct spec_namespace *n = &spec->namespaces[own[i].type];

		if (n->wanted && n->path[0] != '\0' && own[i].of[0] == '\0')
			return error_say(err, ENOTSUP,
					 "config.json: linux.namespaces: the %s namespace %s lies "
					 "outside the container's VM and cannot be joined",
					 own[i].name, n->path);
	}
	return 0;
}

static int add_share(struct guest_spec *guest, const char *container, const char *source,
		     uint32_t number, bool readonly, struct msg_mount *mount, struct error *err)
{
	struct guest_share *share = &guest->shares[guest->n_shares++];
	int r = share_check(source, err);

	if (r < 0)
		return r;
	share->source = source;
	share->readonly = readonly;
	if (str_format(share->name, sizeof(share->name), "%s/m%u", container, number) < 0)
		return error_set(err, ENAMETOOLONG, "%s", container);
	mount->type = "share";
	mount->source = share->name;
	return 0;
}

/*
 * The size that the host's has, since an engine that makes it takes its --shm-size there. Nothing
 * else of it can be used: memory is not shared with a VM.
 */
static void shm_options(const char *source, char *text, size_t size)
{
	struct statfs fs;
	uint64_t bytes = 64 << 20;

	if (statfs(source, &fs) == 0 && fs.f_type == TMPFS_MAGIC && fs.f_blocks > 0)
		bytes = (uint64_t)fs.f_blocks * (uint64_t)fs.f_bsize;
	snprintf(text, size, "mode=1777,size=%" PRIu64, bytes);
}

/* A bind mount of the host's shared memory would share nothing with the host: the guest's own. */
static bool is_shm(const struct spec_mount *m)
{
	return str_eq(m->destination, "/dev/shm");
}

static int make_mount(struct guest_spec *guest, const char *container, const struct spec_mount *m,
		      uint32_t number, struct error *err)
{
	struct mount_options *options = &guest->options[number];
	struct msg_mount *mount = &guest->create.mounts[number];
	bool bind;
	int r;

	r = mount_options_parse(m, options, err);
	if (r < 0)
		return r;
	guest->n_options = number + 1;
	bind = (options->flags & MS_BIND) != 0 || str_eq(m->type, "bind");
	*mount = (struct msg_mount){ .destination = m->destination,
				     .type = m->type,
				     .source = m->source,
				     .flags = options->flags,
				     .propagation = options->propagation,
				     .data = options->data,
				     .copy_up = options->copy_up,
				     .all_set = options->all_set,
				     .all_clear = options->all_clear };
	if (!bind)
		return 0;
	if (is_shm(m)) {
		mount->type = "tmpfs";
		mount->source = "shm";
		mount->flags = MS_NOSUID | MS_NODEV | MS_NOEXEC;
		shm_options(m->source, guest->shm, sizeof(guest->shm));
		mount->data = guest->shm;
		return 0;
	}
	return add_share(guest, container, m->source, number,
			 (options->flags & MS_RDONLY) != 0 ||
				 (options->all_set & MOUNT_ATTR_RDONLY) != 0,
			 mount, err);
}

static int make_devices(const struct spec *spec, struct msg_create *create, struct error *err)
{
	static char *const kinds[] = { "c", "b", "p" };

	create->devices = calloc(spec->n_devices + 1UL, sizeof(*create->devices));
	if (create->devices == NULL)
		return error_set(err, ENOMEM, "devices");
	create->n_devices = spec->n_devices;
	for (uint32_t i = 0; i < spec->n_devices; i++) {
		const struct spec_device *d = &spec->devices[i];

		create->devices[i] = (struct msg_device){
			.path = d->path,
			.kind = kinds[d->kind == 'c'   ? 0
				      : d->kind == 'b' ? 1
						       : 2],
			.major = d->major,
			.minor = d->minor,
			.mode = d->mode,
			.uid = d->uid,
			.gid = d->gid,
		};
	}
	return 0;
}

static int make_id_maps(const struct spec *spec, struct msg_create *create, struct error *err)
{
	const struct {
		const struct spec_id_map *from;
		uint32_t count;
		struct msg_id_map **to;
		uint32_t *n_to;
	} maps[] = {
		{ spec->uid_map, spec->n_uid_map, &create->uid_map, &create->n_uid_map },
		{ spec->gid_map, spec->n_gid_map, &create->gid_map, &create->n_gid_map },
	};

	for (size_t i = 0; i < ARRAY_SIZE(maps); i++) {
		struct msg_id_map *to = calloc(maps[i].count + 1UL, sizeof(*to));

		if (to == NULL)
			return error_set(err, ENOMEM, "user namespace");
		for (uint32_t k = 0; k < maps[i].count; k++)
			to[k] = (struct msg_id_map){ .container = maps[i].from[k].container,
						     .host = maps[i].from[k].host,
						     .size = maps[i].from[k].size };
		*maps[i].to = to;
		*maps[i].n_to = maps[i].count;
	}
	return 0;
}

/* Namespaces that a container may have or not; the others it always has. */
static int make_namespaces(const struct spec *spec, struct msg_create *create, struct error *err)
{
	create->domainname = spec->domainname;
	create->personality = spec->personality;
	create->time_namespace = spec->namespaces[NAMESPACE_TIME].wanted;
	create->time_offsets = (char *)spec->time_offsets;
	create->user_namespace = spec->namespaces[NAMESPACE_USER].wanted;
	return make_id_maps(spec, create, err);
}

static int make_hooks(const struct spec *spec, struct guest_spec *guest, struct error *err)
{
	const struct hooks_state state = { .id = guest->create.container, .status = "created" };
	const struct spec_hooks *hooks = &spec->hooks[HOOK_START_CONTAINER];
	struct msg_create *create = &guest->create;

	if (hooks->count == 0)
		return 0;
	create->start_hooks = calloc(hooks->count, sizeof(*create->start_hooks));
	guest->hook_state = hooks_state_json(spec, &state);
	if (create->start_hooks == NULL || guest->hook_state == NULL)
		return error_set(err, ENOMEM, "hooks");
	create->n_start_hooks = hooks->count;
	create->hook_state = guest->hook_state;
	for (uint32_t i = 0; i < hooks->count; i++)
		create->start_hooks[i] =
			(struct msg_hook){ .path = hooks->items[i].path,
					   .args = hooks->items[i].args,
					   .env = hooks->items[i].env,
					   .timeout_s = hooks_timeout_s(&hooks->items[i]) };
	return 0;
}

static int make_sysctls(const struct spec *spec, struct guest_spec *guest, struct error *err)
{
	struct msg_create *create = &guest->create;
	int r = 0;

	if (spec->n_sysctl > SYSCTLS_MAX)
		return error_say(err, E2BIG, "config.json: linux.sysctl: more than %d members",
				 SYSCTLS_MAX);
	create->sysctls = calloc(spec->n_sysctl + 1UL, sizeof(*create->sysctls));
	guest->sysctls = calloc(spec->n_sysctl + 1UL, sizeof(*guest->sysctls));
	if (create->sysctls == NULL || guest->sysctls == NULL)
		return error_set(err, ENOMEM, "sysctls");
	create->n_sysctls = spec->n_sysctl;
	for (uint32_t i = 0; r == 0 && i < spec->n_sysctl; i++) {
		r = sysctl_path(spec->sysctl[i].name, guest->sysctls[i], sizeof(guest->sysctls[i]),
				err);
		create->sysctls[i] = (struct msg_sysctl){ .path = guest->sysctls[i],
							  .value = spec->sysctl[i].value };
	}
	return r < 0 ? error_prefix(err, "config.json") : 0;
}

/* Limits, kernel parameters and the system call filter. */
static int make_limits(const struct spec *spec, struct guest_spec *guest, struct error *err)
{
	struct msg_create *create = &guest->create;
	int r = resources_make(&spec->resources, &guest->resources, err);

	if (r < 0)
		return error_prefix(err, "config.json: linux.resources");
	create->cgroup = guest->resources.values;
	create->n_cgroup = guest->resources.n_values;
	create->device_rules = guest->resources.device_rules;
	create->n_device_rules = guest->resources.n_device_rules;
	r = make_sysctls(spec, guest, err);
	if (r < 0)
		return r;
	r = seccomp_compile(&spec->seccomp, &guest->seccomp, err);
	if (r < 0)
		return error_prefix(err, "config.json");
	create->seccomp.flags = spec->seccomp.flags;
	if (buf_len(&guest->seccomp) > 0)
		create->seccomp.program = (struct wire_bin){ buf_at(&guest->seccomp),
							     (uint32_t)buf_len(&guest->seccomp) };
	return 0;
}

static int fill(const struct spec *spec, const char *container, const struct pod *pod,
		struct guest_spec *guest, struct error *err)
{
	struct msg_create *create = &guest->create;
	int r = check_namespaces(spec, pod, err);

	if (r == 0)
		r = guest_process_make(&spec->process, &create->process, err);
	if (r == 0)
		r = make_namespaces(spec, create, err);
	if (r == 0)
		r = make_hooks(spec, guest, err);
	if (r == 0)
		r = make_devices(spec, create, err);
	if (r == 0)
		r = make_limits(spec, guest, err);
	if (r < 0)
		return r;
	create->mounts = calloc(spec->n_mounts + 1UL, sizeof(*create->mounts));
	guest->options = calloc(spec->n_mounts + 1UL, sizeof(*guest->options));
	guest->shares = calloc(spec->n_mounts + 1UL, sizeof(*guest->shares));
	if (create->mounts == NULL || guest->options == NULL || guest->shares == NULL)
		return error_set(err, ENOMEM, "mounts");
	if (str_format(guest->rootfs, sizeof(guest->rootfs), "%s/rootfs", container) < 0)
		return error_set(err, ENAMETOOLONG, "%s", container);
	guest->shares[guest->n_shares++] = (struct guest_share){ .source = spec->root_path };
	memcpy(guest->shares[0].name, guest->rootfs, sizeof(guest->rootfs));
	for (uint32_t i = 0; i < spec->n_mounts && r == 0; i++) {
		r = make_mount(guest, container, &spec->mounts[i], i, err);
		create->n_mounts = i + 1;
	}
	return r;
}

int guest_spec_make(const struct spec *spec, const char *container, const struct pod *pod,
		    struct guest_spec *ret, struct error *err)
{
	int r;

	*ret = (struct guest_spec){
		.create = { .container = (char *)container,
			    .readonly = spec->root_readonly,
			    .hostname = spec->hostname,
			    .propagation = spec->root_propagation,
			    .masked_paths = spec->masked_paths,
			    .readonly_paths = spec->readonly_paths,
			    .pid_of = pod->pid_of,
			    .ipc_of = pod->ipc_of,
			    .uts_of = pod->uts_of },
	};
	r = fill(spec, container, pod, ret, err);
	if (r < 0) {
		guest_spec_fini(ret);
		return r;
	}
	ret->create.rootfs = ret->rootfs;
	return 0;
}

void guest_spec_fini(struct guest_spec *guest)
{
	for (uint32_t i = 0; i < guest->n_options; i++)
		mount_options_fini(&guest->options[i]);
	guest_process_fini(&guest->create.process);
	free(guest->options);
	free(guest->shares);
	free(guest->create.mounts);
	free(guest->create.devices);
	free(guest->create.sysctls);
	free(guest->sysctls);
	free(guest->create.start_hooks);
	free(guest->create.uid_map);
	free(guest->create.gid_map);
	free(guest->hook_state);
	resources_fini(&guest->resources);
	buf_fini(&guest->seccomp);
	*guest = (struct guest_spec){ 0 };
}
