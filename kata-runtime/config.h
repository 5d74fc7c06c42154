/*
 * The configuration: /etc/kata-containers/configuration.json, else the shipped one below
 * share/defaults, and then /etc/kata-containers/configuration.d/NAME.json in the order of names.
 * kata-configuration(5) describes it; config.c's table of keys is what defines it.
 */
#ifndef KATA_RUNTIME_CONFIG_H
#define KATA_RUNTIME_CONFIG_H

#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>

#include "common/error.h"
#include "kata-runtime/spec.h"

enum config_accelerator { ACCELERATOR_AUTO, ACCELERATOR_KVM, ACCELERATOR_TCG };
enum config_agent_link {
	AGENT_LINK_AUTO,
	AGENT_LINK_VIRTIO_SERIAL,
	AGENT_LINK_VHOST_USER_VSOCK,
	AGENT_LINK_VHOST_VSOCK
};
enum config_cache { VIRTIO_FS_CACHE_NONE, VIRTIO_FS_CACHE_AUTO, VIRTIO_FS_CACHE_ALWAYS };
enum config_launcher { LAUNCHER_MONITOR, LAUNCHER_SYSTEMD };
enum config_shared_fs { SHARED_FS_VIRTIO_FS, SHARED_FS_VIRTIO_FS_MKNOD };
enum config_uid_mode { UID_MODE_PRIVATE, UID_MODE_SHARED };
enum config_seccomp { SECCOMP_KILL, SECCOMP_LOG };
enum config_model { MODEL_TCFILTER, MODEL_MACVTAP, MODEL_NONE };
enum config_log_target { LOG_TARGET_AUTO, LOG_TARGET_JOURNAL, LOG_TARGET_FILE };

/* What the files say, defaults filled in. Paths are absolute; strings are never NULL. */
struct config {
	struct {
		char *path;
		char *kernel;
		char *initrd;
		char *kernel_params;  /* "" when none */
		uint32_t accelerator; /* enum config_accelerator */
		uint32_t agent_link;  /* enum config_agent_link */
		uint32_t default_vcpus;
		uint32_t default_maxvcpus;  /* 0: as many as the host has */
		uint32_t default_memory;    /* MiB */
		uint32_t default_maxmemory; /* MiB; 0: as much as the host has */
		char *virtio_fs_daemon; /* an existing path was looked up when the file says auto */
		uint32_t virtio_fs_cache;               /* enum config_cache */
		uint32_t shared_fs;                     /* enum config_shared_fs */
		struct wire_strings enable_annotations; /* extended regular expressions */
		struct wire_strings valid_hypervisor_paths, valid_kernel_paths, valid_initrd_paths,
			valid_virtio_fs_daemon_paths; /* patterns of paths */
		bool enable_debug;
	} hypervisor;
	struct {
		char *path;
		uint32_t worker_crashes; /* in 30 s, before the VM is given up */
		uint32_t launcher;       /* enum config_launcher */
		bool enable_debug;
	} proxy;
	struct {
		char *path;
		bool enable_debug;
	} shim;
	struct {
		bool enable_debug;
	} agent;
	struct {
		bool enable_netmon;
		bool enable_debug;
	} netmon;
	struct {
		bool enable_debug;
		uint32_t log_target; /* enum config_log_target */
		char *log_dir;
		uint32_t seccomp;                  /* enum config_seccomp */
		char *uid_range;                   /* "" or START:COUNT */
		uint32_t uid_mode;                 /* enum config_uid_mode */
		uint32_t create_container_timeout; /* seconds */
		uint32_t internetworking_model;    /* enum config_model */
		bool disable_new_netns;
		bool strict_network;
	} runtime;
	char *source; /* the files read, comma between them; "" when there was none */
};

/*
 * Loads what the configuration files say; when there is none at all the defaults stand. only_file
 * (may be NULL) is read instead of all others. -EINVAL, -EACCES or -ENOENT with file and key.
 */
int config_load(const char *only_file, struct config *ret, struct error *err);

/* The same with the two directories named: for tests. */
int config_load_from(const char *sysconfdir, const char *defaultsdir, const char *only_file,
		     struct config *ret, struct error *err);

/* What stands where no file says otherwise; a virtio_fs_daemon of "auto" is not looked up. */
int config_defaults(struct config *ret, struct error *err);

/* One document over the defaults; file names it in errors. */
int config_parse(const char *file, const char *text, size_t len, struct config *ret,
		 struct error *err);

/* Annotations that begin so ask for another configuration: hypervisor.default_vcpus and others. */
#define CONFIG_ANNOTATIONS "io.katacontainers.config."

/* Whether that annotation is one that hypervisor.enable_annotations lets through. */
bool config_takes(const struct config *config, const char *annotation);

/*
 * Puts over the configuration what those annotations say that it takes; the others change nothing.
 * taken: those that are taken, by their names, whatever the configuration says by now; NULL at
 * first. -EINVAL with the annotation and the reason; then config is to be freed only.
 */
int config_annotate(struct config *config, const struct spec_pair *annotations, uint32_t count,
		    const struct wire_strings *taken, struct error *err);

void config_fini(struct config *config);

/* Writes where the files are, one a line: the first of two that is there, and what goes over it. */
void config_print_paths(FILE *out);

/* Writes every key with its value as this program understood it, as JSON without comments. */
void config_print(const struct config *config, FILE *out);

/* Writes the section of kata-configuration(5) that describes the keys, as man(7) source. */
void config_document(FILE *out);

#endif
