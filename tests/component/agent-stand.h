/*
 * What the tests of kata-agent say most: requests for containers of busybox with what docker asks
 * for by default, and a running agent with one client for them. Failures end the test.
 */
#ifndef KATA_TESTS_AGENT_STAND_H
#define KATA_TESTS_AGENT_STAND_H

#include "common/wire.h"
#include "tests/component/agent-rig.h"

#define TEXT(s) ((char *)(s))
#define ARGS(...) ((char *[]){ __VA_ARGS__, NULL })
#define DEFAULT_CAPS 0xa80425fbULL /* docker's */

/* A running agent with one client for requests. */
struct stand {
	struct rig *rig;
	struct caller *runtime;
};

/* /proc, /dev, /sys and what else docker mounts; container() names them. */
enum { DEFAULT_MOUNTS = 7 };
extern struct msg_mount default_mounts[DEFAULT_MOUNTS];

/* Messages. They point into what is given; container c1, and processes in it. */
struct wire_strings strings(char **items);
struct msg_process process(char **args);
struct msg_process shell(const char *script);
struct msg_create container(struct msg_process first);
struct msg_exec further(struct msg_process p);

struct stand stand(void);
void start(struct stand *s, uint64_t handle);
void send_signal(struct stand *s, uint64_t handle, uint32_t signum, bool all);
void remove_container(struct stand *s);

/* Makes a process, attaches to it, and lets it run. */
struct caller *run(struct stand *s, enum msg_type type, const void *body);
struct caller *run_first(struct stand *s, struct msg_process p);
struct caller *run_further(struct stand *s, struct msg_process p);

void expect_text(struct caller *shim, unsigned stream, const char *wanted);
/* Runs a script as a further process: its output must be that, its code 0. */
void expect_script(struct stand *s, const char *script, const char *wanted);
/* As expect_script() for a process of any kind. */
void expect_output(struct stand *s, enum msg_type type, const void *body, const char *wanted);

#endif
