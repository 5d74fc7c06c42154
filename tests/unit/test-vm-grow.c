/* kata-runtime/vm-grow.c: what is asked of QEMU, one after the other, and who need not wait. */
#include "kata-runtime/vm-grow.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <time.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/deadline.h"
#include "common/str.h"
#include "tests/fake/fake-qemu.h"

#define MIB(n) ((uint64_t)(n) << 20)

#define RETURN(text) "{\"return\": " text ", \"id\": $ID}\r\n"
#define DEVICE(size) \
	RETURN("[{\"data\": {\"id\": \"plug\", \"size\": " size ", \"max-size\": 1073741824}}]")
#define PLACES \
	RETURN("[{\"vcpus-count\": 1, \"type\": \"cpu\", \"qom-path\": \"/x\", \"props\": {}}]")

static char dir[] = "/tmp/kata-test-grow-XXXXXX";
static struct store store;
static struct state state;
static struct decoder decoder = DECODER_NONE;
static const struct config config = {
	.hypervisor = { .default_vcpus = 1, .default_memory = 256 },
};

/* A VM of 256 MiB with one container, whose limit is 300 MiB. */
static void make_vm(void)
{
	char base[64], root[64];
	struct error err = { 0 };

	cr_assert(mkdtemp(dir) != NULL);
	snprintf(base, sizeof(base), "%s/base", dir);
	snprintf(root, sizeof(root), "%s/root", dir);
	cr_assert(store_open(&store, root, base, true, &err) == 0, "%s", err.text);
	cr_assert(state_init(&state, &store, "box", &err) == 0, "%s", err.text);
	cr_assert(store_create(&store, "box", state.sid, &err) == 0, "%s", err.text);
	state.memory_limit = MIB(300);
	cr_assert(store_write_state(&store, &state, &err) == 0, "%s", err.text);
}

static void remove_vm(void)
{
	static const char *const left[] = { "base/s", "base/l", "base", "root", "" };
	CLEANUP(store_unlock) struct store_lock lock = STORE_LOCK_NONE;
	struct error err = { 0 };
	char path[128];

	cr_assert(store_remove(&store, "box", state.sid, &lock, &err) == 0, "%s", err.text);
	state_fini(&state);
	for (size_t i = 0; i < ARRAY_SIZE(left); i++) {
		snprintf(path, sizeof(path), "%s/%s", dir, left[i]);
		cr_expect(rmdir(path) == 0, "%s: %s", path, strerror(errno));
	}
}

static void qmp_path(char path[PATH_MAX])
{
	cr_assert(store_path(&store, state.sandbox, "qmp.sock", path, NULL) == 0);
}

static int grow(struct error *err)
{
	CLEANUP(store_unlock) struct store_lock size = STORE_LOCK_NONE;

	return vm_grow(&store, &state, &config, &decoder, &size, err);
}

/* The same beside a QEMU that is asked and answers as the steps say, and is asked no more. */
static int grow_with(const struct fake_qemu_step *steps, size_t n, struct error *err)
{
	struct fake_qemu fake;
	char path[PATH_MAX];
	int r;

	qmp_path(path);
	cr_assert(fake_qemu_listen(&fake, path, steps, n) == 0);
	r = grow(err);
	cr_expect_str_eq(fake_qemu_end(&fake), "");
	return r;
}

/* 300 MiB and what a guest needs for itself are 442: two steps more than there are. */
Test(vm_grow, as_much_as_is_missing, .init = make_vm, .fini = remove_vm)
{
	static const struct fake_qemu_step steps[] = {
		FAKE_HELLO,
		{ FAKE_EXPECT, "\"execute\":\"query-memory-size-summary\"" },
		{ FAKE_SEND, RETURN("{\"base-memory\": 268435456}") },
		{ FAKE_EXPECT, "\"execute\":\"query-memory-devices\"" },
		{ FAKE_SEND, DEVICE("0") },
		{ FAKE_EXPECT, "\"execute\":\"query-hotpluggable-cpus\"" },
		{ FAKE_SEND, PLACES },
		{ FAKE_EXPECT, "\"value\":268435456" },
		{ FAKE_SEND, FAKE_DONE },
		{ FAKE_EXPECT, "\"execute\":\"query-memory-devices\"" },
		{ FAKE_SEND, DEVICE("134217728") },
		{ FAKE_EXPECT, "\"execute\":\"query-memory-devices\"" },
		{ FAKE_SEND, DEVICE("268435456") },
	};
	struct error err = { 0 };
	int r = grow_with(steps, ARRAY_SIZE(steps), &err);

	cr_expect(r == 0, "%s", err.text);
}

Test(vm_grow, more_than_there_can_be, .init = make_vm, .fini = remove_vm)
{
	static const struct fake_qemu_step steps[] = {
		FAKE_HELLO,
		{ FAKE_EXPECT, "query-memory-size-summary" },
		{ FAKE_SEND, RETURN("{\"base-memory\": 268435456}") },
		{ FAKE_EXPECT, "query-memory-devices" },
		{ FAKE_SEND, RETURN("[]") },
		{ FAKE_EXPECT, "query-hotpluggable-cpus" },
		{ FAKE_SEND, PLACES },
	};
	struct error err = { 0 };
	int r = grow_with(steps, ARRAY_SIZE(steps), &err);

	cr_expect(r == -ENOSPC && strstr(err.text, "this VM can get 0") != NULL, "%s", err.text);
}

Test(vm_grow, no_limit_needs_nothing, .init = make_vm, .fini = remove_vm)
{
	struct error err = { 0 };

	state.memory_limit = 0;
	cr_expect(grow(&err) == 0, "%s", err.text); /* there is no QEMU that it could ask */
}

static void *grow_and_fail(void *ret)
{
	struct error err = { 0 };

	*(int *)ret = grow(&err);
	return NULL;
}

/* Whoever deletes a container of the VM takes its lock, and kills who has it for long. */
Test(vm_grow, a_slow_guest_keeps_nobody, .init = make_vm, .fini = remove_vm)
{
	const struct timespec moment = { .tv_nsec = 2000000 };
	struct sockaddr_un address = { .sun_family = AF_UNIX };
	struct store_lock pod = STORE_LOCK_NONE, size = STORE_LOCK_NONE;
	int64_t deadline = deadline_in_ms(5000);
	CLEANUP(fd_close) int slow = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	struct store_holder holder;
	struct error err = { 0 };
	char path[PATH_MAX];
	pthread_t thread;
	int result = 0, r;

	/* A QEMU that says nothing until it goes. */
	qmp_path(path);
	cr_assert(str_format(address.sun_path, sizeof(address.sun_path), "%s", path) == 0);
	cr_assert(bind(slow, (struct sockaddr *)&address, sizeof(address)) == 0);
	cr_assert(listen(slow, 1) == 0);
	cr_assert(pthread_create(&thread, NULL, grow_and_fail, &result) == 0);
	do {
		store_unlock(&size);
		nanosleep(&moment, NULL);
		r = store_lock_size(&store, state.sandbox, deadline_in_ms(0), &size, &err);
	} while (r == 0 && deadline_left_ms(deadline) > 0);
	cr_expect(r == -ETIMEDOUT, "another one may grow the VM at once");
	cr_expect(store_pod_holder(&store, state.sandbox, &holder, &err) == 0);
	cr_expect(store_lock_pod(&store, state.sandbox, deadline_in_ms(0), &pod, &err) == 0, "%s",
		  err.text);
	cr_expect(unlink(pod.path) == 0);
	store_unlock(&pod);
	fd_close(&slow);
	pthread_join(thread, NULL);
	cr_expect(result < 0);
}

struct joiner {
	struct state state;
	struct error err;
	int result;
};

static void *grow_for_peer(void *userdata)
{
	CLEANUP(store_unlock) struct store_lock size = STORE_LOCK_NONE;
	struct joiner *peer = userdata;

	peer->result = vm_grow(&store, &peer->state, &config, &decoder, &size, &peer->err);
	return NULL;
}

/* 300 MiB that are not on disk yet when the other one asks, for 100: more than either needs. */
Test(vm_grow, two_at_once_are_counted_both, .init = make_vm, .fini = remove_vm)
{
	static const struct fake_qemu_step steps[] = {
		FAKE_HELLO,
		{ FAKE_EXPECT, "query-memory-size-summary" },
		{ FAKE_SEND, RETURN("{\"base-memory\": 268435456}") },
		{ FAKE_EXPECT, "query-memory-devices" },
		{ FAKE_SEND, DEVICE("0") },
		{ FAKE_EXPECT, "query-hotpluggable-cpus" },
		{ FAKE_SEND, PLACES },
		{ FAKE_EXPECT, "\"value\":402653184" },
		{ FAKE_SEND, FAKE_DONE },
		{ FAKE_EXPECT, "query-memory-devices" },
		{ FAKE_SEND, DEVICE("402653184") },
	};
	const struct timespec moment = { .tv_nsec = 50000000 };
	CLEANUP(store_unlock) struct store_lock size = STORE_LOCK_NONE;
	struct joiner peer = { .result = 1 };
	struct error err = { 0 };
	struct fake_qemu fake;
	char path[PATH_MAX];
	pthread_t thread;

	state.memory_limit = 0;
	cr_assert(store_write_state(&store, &state, &err) == 0, "%s", err.text);
	cr_assert(vm_grow(&store, &state, &config, &decoder, &size, &err) == 0, "%s", err.text);
	cr_assert(state_init(&peer.state, &store, "peer", &err) == 0, "%s", err.text);
	memcpy(peer.state.sandbox, state.sandbox, sizeof(state.sandbox));
	peer.state.memory_limit = MIB(100);
	qmp_path(path);
	cr_assert(fake_qemu_listen(&fake, path, steps, ARRAY_SIZE(steps)) == 0);
	cr_assert(pthread_create(&thread, NULL, grow_for_peer, &peer) == 0);
	nanosleep(&moment, NULL);
	state.memory_limit = MIB(300);
	cr_assert(store_write_state(&store, &state, &err) == 0, "%s", err.text);
	store_unlock(&size);
	pthread_join(thread, NULL);
	cr_expect(peer.result == 0, "%s", peer.err.text);
	cr_expect_str_eq(fake_qemu_end(&fake), "");
	state_fini(&peer.state);
}
