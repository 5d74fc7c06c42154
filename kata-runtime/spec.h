/*
 * The bundle's config.json (OCI runtime-spec 1.x) and the process file of `exec`, as checked C
 * structs. Sizes, depth and types are checked; lists have the limits of common/protocol.def, so
 * what is read here fits into its messages.
 *
 * What asks for something that a guest cannot have is refused by its name. What changes nothing
 * there (an AppArmor profile, swappiness without swap) is accepted and named by spec_warnings(),
 * and so is what this version does not know, as the specification wants it.
 */
#ifndef KATA_SPEC_H
#define KATA_SPEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/error.h"
#include "common/protocol.h"

struct spec_rlimit {
	uint32_t resource;   /* RLIMIT_* */
	uint64_t soft, hard; /* UINT64_MAX: no limit */
};

/* Bit N is capability N. */
struct spec_capabilities {
	uint64_t bounding, effective, permitted, inheritable, ambient;
};

/* process.scheduler in the numbers of sched_setattr(2). */
struct spec_scheduler {
	uint32_t policy, priority, flags;
	int32_t nice;
	uint64_t runtime, deadline, period;
};

struct spec_process {
	bool terminal;
	uint32_t rows, columns; /* consoleSize; 0 unknown */
	uint32_t uid, gid;
	uint32_t *groups;
	uint32_t n_groups;
	bool has_umask;
	uint32_t umask;
	struct wire_strings args; /* one at least */
	struct wire_strings env;
	char *cwd; /* absolute */
	bool has_capabilities;
	struct spec_capabilities capabilities;
	struct spec_rlimit *rlimits;
	uint32_t n_rlimits;
	bool no_new_privileges;
	bool has_oom_score_adj;
	int32_t oom_score_adj;
	bool has_scheduler;
	struct spec_scheduler scheduler;
	uint32_t io_priority;          /* as ioprio_set(2) has it; 0 when none */
	struct wire_strings unapplied; /* see spec_warnings() */
};

struct spec_mount {
	char *destination;           /* absolute */
	char *type;                  /* "" when none */
	char *source;                /* "" when none */
	struct wire_strings options; /* see spec-mount.h */
};

struct spec_pair {
	char *name, *value;
};

enum spec_hook_kind {
	HOOK_PRESTART,
	HOOK_CREATE_RUNTIME,
	HOOK_CREATE_CONTAINER,
	HOOK_START_CONTAINER,
	HOOK_POSTSTART,
	HOOK_POSTSTOP,
	HOOK_KINDS
};

struct spec_hook {
	char *path; /* absolute */
	struct wire_strings args, env;
	uint32_t timeout_s; /* 0: none was given */
};

struct spec_hooks {
	struct spec_hook *items;
	uint32_t count;
};

enum spec_namespace_type {
	NAMESPACE_PID,
	NAMESPACE_NETWORK,
	NAMESPACE_MOUNT,
	NAMESPACE_IPC,
	NAMESPACE_UTS,
	NAMESPACE_CGROUP,
	NAMESPACE_TIME,
	NAMESPACE_USER,
	NAMESPACE_TYPES
};

struct spec_namespace {
	bool wanted; /* config.json lists it */
	char *path;  /* "": a new one; else the one to join, absolute */
};

struct spec_id_map {
	uint32_t container, host, size;
};

struct spec_device {
	char *path;
	char kind; /* 'c', 'b' or 'p' */
	uint32_t major, minor;
	uint32_t mode; /* permission bits; 0666 when the file gives none */
	uint32_t uid, gid;
};

/* A rule about device files; type 'a' is both kinds, SPEC_DEVICE_ANY any number. */
#define SPEC_DEVICE_ANY UINT32_MAX
struct spec_device_rule {
	bool allow;
	char type; /* 'a', 'b' or 'c' */
	uint32_t major, minor;
	bool mknod, read, write;
};

struct spec_hugepage_limit {
	char *size; /* "2MB" */
	uint64_t limit;
};

/*
 * linux.resources. Numbers are 0 when unset and negative for no limit, as engines write them;
 * texts are NULL when unset.
 */
struct spec_resources {
	int64_t memory_limit, memory_reservation, memory_swap; /* bytes; swap: with memory */
	bool check_before_update;        /* of memory: not below what is used */
	uint64_t cpu_shares, cpu_period; /* period: microseconds */
	int64_t cpu_quota, cpu_burst;    /* microseconds a period */
	bool has_cpu_idle;
	int64_t cpu_idle;
	char *cpus, *mems;
	int64_t pids_limit;
	uint32_t blkio_weight;
	struct spec_hugepage_limit *hugepages;
	uint32_t n_hugepages;
	struct spec_pair *unified; /* files of cgroup2 and what to write */
	uint32_t n_unified;
	struct spec_device_rule *device_rules;
	uint32_t n_device_rules;
	struct wire_strings unapplied; /* see spec_warnings() */
};

/* linux.seccomp in the numbers of libseccomp. */
struct spec_seccomp_condition {
	uint32_t index;
	int op; /* enum scmp_compare */
	uint64_t value, value_two;
};

struct spec_seccomp_rule {
	struct wire_strings names;
	uint32_t action; /* SCMP_ACT_* */
	struct spec_seccomp_condition *conditions;
	uint32_t n_conditions;
};

struct spec_seccomp {
	bool wanted;
	uint32_t default_action;
	uint32_t *architectures; /* SCMP_ARCH_*; the native one is always meant */
	uint32_t n_architectures;
	uint32_t flags; /* SECCOMP_FILTER_FLAG_* */
	struct spec_seccomp_rule *rules;
	uint32_t n_rules;
};

struct spec {
	char *bundle; /* absolute, as the caller gave it */
	char *oci_version;
	struct spec_process process;
	char *root_path; /* absolute */
	bool root_readonly;
	char *hostname;   /* "" when none */
	char *domainname; /* "" when none */
	struct spec_mount *mounts;
	uint32_t n_mounts;
	struct spec_hooks hooks[HOOK_KINDS];
	struct spec_pair *annotations;
	uint32_t n_annotations;

	struct spec_namespace namespaces[NAMESPACE_TYPES];
	struct spec_id_map *uid_map, *gid_map; /* of a new user namespace */
	uint32_t n_uid_map, n_gid_map;
	char time_offsets[128];    /* as timens_offsets takes them; "" when none */
	uint32_t personality;      /* personality(2); 0 when none */
	uint32_t root_propagation; /* MS_PRIVATE, MS_SLAVE, ... with MS_REC; 0 when none */
	char *cgroups_path;        /* "" when none */
	struct spec_device *devices;
	uint32_t n_devices;
	struct wire_strings masked_paths, readonly_paths;
	struct spec_pair *sysctl;
	uint32_t n_sysctl;
	struct spec_resources resources;
	struct spec_seccomp seccomp;

	struct wire_strings unapplied; /* see spec_warnings() */
};

/* Reads BUNDLE/config.json. *ret belongs to the caller: spec_free(). bundle may be relative. */
int spec_load(const char *bundle, struct spec **ret, struct error *err);

/* The same from memory: name is for errors, bundle an absolute path. */
int spec_parse(const char *name, const char *bundle, const char *text, size_t len,
	       struct spec **ret, struct error *err);

/* The process file of `exec`: an OCI process object. */
int spec_load_process(const char *file, struct spec_process **ret, struct error *err);
int spec_parse_process(const char *name, const char *text, size_t len, struct spec_process **ret,
		       struct error *err);

/*
 * The file of `update`: an OCI linux.resources object; fd is read to its end. *ret is zeroed first
 * and freed by the caller also when this fails: spec_resources_fini().
 */
int spec_load_resources(int fd, const char *name, struct spec_resources *ret, struct error *err);
void spec_resources_fini(struct spec_resources *resources);

/* All accept NULL; the p forms are for CLEANUP(). */
void spec_free(struct spec *spec);
void spec_process_free(struct spec_process *process);
static inline void spec_freep(struct spec **spec)
{
	spec_free(*spec);
	*spec = NULL;
}
static inline void spec_process_freep(struct spec_process **process)
{
	spec_process_free(*process);
	*process = NULL;
}

/* The annotation's value, or NULL. */
const char *spec_annotation(const struct spec *spec, const char *name);

/* "prestart", "createRuntime", ... as config.json names them. */
const char *spec_hook_kind_name(enum spec_hook_kind kind);

/* "pid", "network", ... as config.json names them. */
const char *spec_namespace_name(enum spec_namespace_type type);

/* The words of linux.seccomp that are taken: number i of a kind, NULL behind the last. */
enum spec_seccomp_words { SECCOMP_ACTIONS, SECCOMP_OPERATORS, SECCOMP_ARCHS, SECCOMP_FLAGS };
const char *spec_seccomp_word(enum spec_seccomp_words kind, size_t i);

/*
 * Calls warn with the place in config.json ("linux.resources.memory.limit") of each thing that
 * the bundle asks for and this version does not apply.
 */
typedef void spec_warn_fn(const char *what, void *userdata);
void spec_warnings(const struct spec *spec, spec_warn_fn *warn, void *userdata);
void spec_process_warnings(const struct spec_process *process, spec_warn_fn *warn, void *userdata);
void spec_resources_warnings(const struct spec_resources *resources, spec_warn_fn *warn,
			     void *userdata);

#endif
