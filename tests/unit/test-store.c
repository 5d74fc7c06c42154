/* kata-runtime/store*.c: state that survives, locks that are freed, removal that stays inside. */
#include "kata-runtime/store.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/deadline.h"
#include "common/process.h"
#include "common/str.h"
#include "kata-runtime/container.h"
#include "kata-runtime/json.h"

static char dir[] = "/tmp/kata-test-store-XXXXXX";
static char base[64], root[64];
static struct store store;

static void make_store(void)
{
	struct error err = { 0 };

	cr_assert(mkdtemp(dir) != NULL);
	snprintf(base, sizeof(base), "%s/base", dir);
	snprintf(root, sizeof(root), "%s/roots/moby", dir);
	cr_assert(store_open(&store, root, base, true, &err) == 0, "%s", err.text);
}

/* What every test leaves behind is nothing but the four directories. */
static void remove_store(void)
{
	static const char *const left[] = { "base/s", "base/l", "base", "roots/moby", "roots", "" };
	char path[128];

	for (size_t i = 0; i < ARRAY_SIZE(left); i++) {
		snprintf(path, sizeof(path), "%s/%s", dir, left[i]);
		cr_expect(rmdir(path) == 0, "%s: %s", path, strerror(errno));
	}
}

static void put(const char *sid, const char *name, const char *text)
{
	char path[PATH_MAX];
	FILE *file;

	cr_assert(store_path(&store, sid, name, path, NULL) == 0);
	file = fopen(path, "we");
	cr_assert(file != NULL);
	fputs(text, file);
	fclose(file);
}

static void make(const char *id, char sid[SID_SIZE])
{
	struct error err = { 0 };

	cr_assert(store_sid(&store, id, sid, &err) == 0, "%s", err.text);
	cr_assert(store_create(&store, id, sid, &err) == 0, "%s", err.text);
}

static void drop(const char *id, const char *sid)
{
	struct store_lock lock = STORE_LOCK_NONE;
	struct error err = { 0 };

	cr_assert(store_lock(&store, sid, deadline_in_ms(1000), &lock, &err) == 0, "%s", err.text);
	cr_assert(store_remove(&store, id, sid, &lock, &err) == 0, "%s", err.text);
	cr_assert(lock.fd == -1 && !store_exists(&store, id, sid));
}

/* --- state --- */

static void fill(struct state *s)
{
	struct error err = { 0 };

	cr_assert(state_init(s, &store, "box", &err) == 0, "%s", err.text);
	free(s->bundle);
	s->bundle = strdup("/b/\"quoted\"/\xc3\xa4");
	s->status = STATUS_RUNNING;
	s->shim = (struct process_ref){ 11, 18446744073709551615ULL };
	s->monitor = (struct process_ref){ 12, 13 };
	s->uid_slot = 7;
	s->uid_base = 2000000028;
	s->handle = 18446744073709551614ULL;
	s->guest_pid = 42;
	s->terminal = true;
	s->paused = true;
	s->seccomp_log = true;
	cr_assert(json_strings_add(&s->cgroups, "1 14 - /sys/fs/cgroup/x") == 0);
	s->annotations = calloc(2, sizeof(*s->annotations));
	s->annotations[0] = (struct spec_pair){ strdup("a.b/c"), strdup("line\n\"x\"") };
	s->annotations[1] = (struct spec_pair){ strdup("empty"), strdup("") };
	s->n_annotations = 2;
	cr_assert(json_strings_add(&s->configured, "a.b/c") == 0);
}

Test(store, state_is_read_as_it_was_written, .init = make_store, .fini = remove_store)
{
	CLEANUP(state_fini) struct state a = { 0 }, b = { 0 };
	CLEANUP(freep) char *first = NULL, *second = NULL;
	struct error err = { 0 };
	char sid[SID_SIZE];

	make("box", sid);
	fill(&a);
	cr_expect_str_eq(a.sid, sid);
	cr_expect(strlen(a.created) == strlen("2026-11-23T18:48:49.000000000Z"));
	cr_expect(a.owner == getuid());
	cr_assert(store_write_state(&store, &a, &err) == 0, "%s", err.text);
	cr_assert(store_read_state(&store, sid, &b, &err) == 0, "%s", err.text);
	cr_expect(b.shim.pid == 11 && b.shim.start_ticks == UINT64_MAX);
	cr_expect(b.handle == UINT64_MAX - 1 && b.status == STATUS_RUNNING && b.terminal);
	cr_expect(b.paused && b.seccomp_log);
	cr_expect(b.uid_base == 2000000028 && b.n_annotations == 2 && b.cgroups.count == 1);
	cr_expect_str_eq(b.annotations[0].value, "line\n\"x\"");
	cr_expect(b.configured.count == 1 && str_eq(b.configured.items[0], "a.b/c"));
	cr_assert(state_format(&a, &first, &err) == 0 && state_format(&b, &second, &err) == 0);
	cr_expect_str_eq(first, second);
	drop("box", sid);
}

Test(store, what_cannot_be_read_again_is_not_written, .init = make_store, .fini = remove_store)
{
	CLEANUP(state_fini) struct state s = { 0 };
	struct error err = { 0 };
	char *text = NULL;

	fill(&s);
	s.bundle[0] = '\xff';
	cr_expect(state_format(&s, &text, &err) == -EILSEQ && text == NULL);
}

Test(store, state_that_is_cut_or_foreign, .init = make_store, .fini = remove_store)
{
	CLEANUP(state_fini) struct state good = { 0 }, s = { 0 };
	CLEANUP(freep) char *text = NULL;
	struct error err = { 0 };
	char sid[SID_SIZE], other[SID_SIZE], *at;

	cr_assert(store_sid(&store, "box", sid, &err) == 0);
	cr_expect(store_read_state(&store, sid, &s, &err) == -ENOENT);
	cr_expect(strstr(err.text, "o such file") == NULL);
	make("box", sid);
	fill(&good);
	cr_assert(state_format(&good, &text, &err) == 0);
	/* Every prefix but the one that only lacks the last newline. */
	for (size_t len = 0; len + 1 < strlen(text); len += 7)
		cr_expect(state_parse("f", text, len, &s, &err) < 0, "%zu bytes", len);
	put(sid, "state.json", "{\"version\":1");
	cr_expect(store_read_state(&store, sid, &s, &err) == -EBADMSG && err.num == EBADMSG);
	at = strstr(text, "\"version\":");
	at[strlen("\"version\":")] = '3';
	put(sid, "state.json", text);
	cr_expect(store_read_state(&store, sid, &s, &err) == -EBADMSG);
	cr_expect(strstr(err.text, "version") != NULL, "%s", err.text);
	at[strlen("\"version\":")] = '2';
	/* Another container's state in this one's place. */
	make("other", other);
	put(other, "state.json", text);
	cr_expect(store_read_state(&store, other, &s, &err) == -EBADMSG);
	cr_expect(s.id == NULL);
	put(sid, "state.json", text);
	cr_expect(store_read_state(&store, sid, &s, &err) == 0, "%s", err.text);
	drop("box", sid);
	drop("other", other);
}

Test(store, state_of_others_is_not_taken, .init = make_store, .fini = remove_store)
{
	CLEANUP(state_fini) struct state good = { 0 }, s = { 0 };
	struct error err = { 0 };
	char sid[SID_SIZE], path[PATH_MAX], real[PATH_MAX];

	make("box", sid);
	fill(&good);
	cr_assert(store_write_state(&store, &good, &err) == 0);
	cr_assert(store_path(&store, sid, "state.json", path, &err) == 0);
	cr_assert(chmod(path, 0622) == 0);
	cr_expect(store_read_state(&store, sid, &s, &err) == -EBADMSG);
	cr_assert(chmod(path, 0600) == 0);
	if (geteuid() == 0) {
		cr_assert(chown(path, 65534, 65534) == 0);
		cr_expect(store_read_state(&store, sid, &s, &err) == -EBADMSG);
		cr_assert(chown(path, 0, 0) == 0);
	}
	cr_assert(store_path(&store, sid, "real", real, &err) == 0);
	cr_assert(rename(path, real) == 0 && symlink(real, path) == 0);
	cr_expect(store_read_state(&store, sid, &s, &err) == -EBADMSG);
	cr_assert(unlink(path) == 0 && mkfifo(path, 0600) == 0);
	cr_expect(store_read_state(&store, sid, &s, &err) == -EBADMSG);
	drop("box", sid);
}

Test(store, each_member_of_state_has_to_be_there)
{
	static const char *const texts[] = {
		"[]",
		"{}",
		"{\"version\":0}",
		"{\"version\":\"1\"}",
		"{\"version\":1,\"sid\":\"x\"}",
		"{\"version\":1,\"sid\":\"../../../../../../../../../../etc\"}",
	};
	struct state s = { 0 };
	struct error err = { 0 };

	for (size_t i = 0; i < ARRAY_SIZE(texts); i++)
		cr_expect(state_parse("f", texts[i], strlen(texts[i]), &s, &err) < 0, "%s",
			  texts[i]);
}

/* What was written before there were several containers in a VM. */
Test(store, state_of_version_1, .init = make_store, .fini = remove_store)
{
	CLEANUP(state_fini) struct state good = { 0 }, s = { 0 };
	CLEANUP(freep) char *text = NULL;
	struct error err = { 0 };
	char *at;

	fill(&good);
	cr_assert(state_format(&good, &text, &err) == 0);
	at = strstr(text, "\"sandbox\"");
	memcpy(at, "\"unknown", 8);
	cr_expect(state_parse("f", text, strlen(text), &s, &err) < 0);
	cr_expect(strstr(err.text, "\"sandbox\" is missing") != NULL, "%s", err.text);
	at = strstr(text, "\"version\":");
	at[strlen("\"version\":")] = '1';
	cr_assert(state_parse("f", text, strlen(text), &s, &err) == 0, "%s", err.text);
	cr_expect_str_eq(s.sandbox, s.sid);
	cr_expect(!s.departed);
}

/* --- creation --- */

Test(store, an_id_is_taken_once, .init = make_store, .fini = remove_store)
{
	struct error err = { 0 };
	char sid[SID_SIZE], path[PATH_MAX];
	struct stat st;

	make("box", sid);
	cr_expect(store_create(&store, "box", sid, &err) == -EEXIST);
	cr_expect_str_eq(err.text, "container with id exists: box");
	cr_assert(store_path(&store, sid, "", path, &err) == 0);
	cr_assert(stat(path, &st) == 0 && (st.st_mode & 07777) == 0700);
	snprintf(path, sizeof(path), "%s/box", root);
	cr_assert(lstat(path, &st) == 0 && S_ISLNK(st.st_mode));
	drop("box", sid);
	make("box", sid); /* at once again */
	drop("box", sid);
}

Test(store, half_of_a_container_can_be_seen_and_removed, .init = make_store, .fini = remove_store)
{
	struct error err = { 0 };
	char sid[SID_SIZE], path[PATH_MAX];

	make("box", sid);
	cr_assert(store_path(&store, sid, "", path, &err) == 0 && rmdir(path) == 0);
	cr_expect(store_exists(&store, "box", sid)); /* the link alone */
	drop("box", sid);
	make("box", sid);
	snprintf(path, sizeof(path), "%s/box", root);
	cr_assert(unlink(path) == 0);
	cr_expect(store_exists(&store, "box", sid)); /* the directory alone */
	drop("box", sid);
	drop("box", sid); /* what is gone is no error */
}

Test(store, opening_without_creating_writes_nothing)
{
	struct store s;
	struct error err = { 0 };
	char sid[SID_SIZE];
	struct stat st;

	cr_assert(store_open(&s, "/tmp/kata-test-none/root", "/tmp/kata-test-none", false, &err) ==
		  0);
	cr_assert(store_sid(&s, "a", sid, &err) == 0, "%s", err.text);
	cr_expect(!store_exists(&s, "a", sid));
	cr_expect(stat("/tmp/kata-test-none", &st) < 0);
	cr_assert(store_open(&s, NULL, NULL, false, &err) == 0);
	cr_expect_str_eq(s.root, STORE_BASE "/c");
}

/* --- removal --- */

Test(store, removal_follows_no_link, .init = make_store, .fini = remove_store)
{
	struct error err = { 0 };
	char sid[SID_SIZE], path[PATH_MAX], outside[96], kept[128];

	snprintf(outside, sizeof(outside), "%s/outside", dir);
	snprintf(kept, sizeof(kept), "%s/kept", outside);
	cr_assert(mkdir(outside, 0700) == 0 && mkdir(kept, 0700) == 0);
	make("box", sid);
	cr_assert(store_path(&store, sid, "sub", path, &err) == 0 && mkdir(path, 0) == 0);
	cr_assert(store_path(&store, sid, "sub/deep", path, &err) == 0 && mkdir(path, 0700) == 0);
	cr_assert(store_path(&store, sid, "sub/deep/link", path, &err) == 0);
	cr_assert(symlink(outside, path) == 0);
	cr_assert(store_path(&store, sid, "fifo", path, &err) == 0 && mkfifo(path, 0600) == 0);
	drop("box", sid);
	cr_expect(rmdir(kept) == 0 && rmdir(outside) == 0);
}

/* Bind mounts of the same filesystem have the same device number: they must not be entered. */
Test(store, removal_enters_no_mount, .init = make_store, .fini = remove_store)
{
	struct store_lock lock = STORE_LOCK_NONE;
	struct error err = { 0 };
	char sid[SID_SIZE], path[PATH_MAX], outside[96], kept[128];

	snprintf(outside, sizeof(outside), "%s/outside", dir);
	snprintf(kept, sizeof(kept), "%s/kept", outside);
	cr_assert(mkdir(outside, 0700) == 0 && mkdir(kept, 0700) == 0);
	make("box", sid);
	cr_assert(store_path(&store, sid, "mnt", path, &err) == 0 && mkdir(path, 0700) == 0);
	if (unshare(CLONE_NEWNS) == 0 && mount("", "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0 &&
	    mount(outside, path, NULL, MS_BIND, NULL) == 0) {
		cr_assert(store_lock(&store, sid, deadline_in_ms(1000), &lock, &err) == 0);
		cr_expect(store_remove(&store, "box", sid, &lock, &err) == -EBUSY, "%s", err.text);
		cr_expect(store_exists(&store, "box", sid));
		cr_assert(umount2(path, MNT_DETACH) == 0);
		store_unlock(&lock);
	}
	drop("box", sid);
	cr_expect(rmdir(kept) == 0 && rmdir(outside) == 0);
}

Test(store, ids_that_are_paths_reach_nothing, .init = make_store, .fini = remove_store)
{
	struct store_lock lock = STORE_LOCK_NONE;
	struct error err = { 0 };
	char sid[SID_SIZE], kept[128];
	FILE *file;

	snprintf(kept, sizeof(kept), "%s/kept", dir);
	file = fopen(kept, "we");
	cr_assert(file != NULL);
	fclose(file);
	cr_assert(store_sid(&store, "box", sid, &err) == 0);
	cr_expect(store_create(&store, "../../kept2", sid, &err) == -EINVAL, "%s", err.text);
	cr_expect(store_remove(&store, "../../kept", sid, &lock, &err) == -EINVAL);
	cr_expect(store_remove(&store, "box", "..", &lock, &err) == -EINVAL);
	cr_expect(unlink(kept) == 0);
}

/* --- lock --- */

Test(store, lock_excludes_until_it_is_let_go, .init = make_store, .fini = remove_store)
{
	struct store_lock a = STORE_LOCK_NONE, b = STORE_LOCK_NONE;
	struct store_holder holder;
	struct error err = { 0 };
	char sid[SID_SIZE];
	int64_t begin;

	make("box", sid);
	cr_expect(store_lock_holder(&store, sid, &holder, &err) == 0);
	cr_assert(store_lock(&store, sid, deadline_in_ms(1000), &a, &err) == 0, "%s", err.text);
	cr_expect((fcntl(a.fd, F_GETFD) & FD_CLOEXEC) != 0);
	begin = deadline_now_ms();
	cr_expect(store_lock(&store, sid, deadline_in_ms(60), &b, &err) == -ETIMEDOUT);
	cr_expect(deadline_now_ms() - begin >= 60 && deadline_now_ms() - begin < 2000);
	cr_expect(strstr(err.text, "process ") != NULL, "%s", err.text);
	cr_expect(b.fd == -1);
	cr_assert(store_lock_holder(&store, sid, &holder, &err) == 1);
	cr_expect(holder.process.pid == getpid() && holder.held_ms >= 60);
	cr_expect(process_alive(holder.process.pid, holder.process.start_ticks));
	store_unlock(&a);
	cr_expect(a.fd == -1 && store_lock_holder(&store, sid, &holder, &err) == 0);
	cr_expect(store_lock(&store, sid, deadline_in_ms(0), &b, &err) == 0, "%s", err.text);
	store_unlock(&b);
	drop("box", sid);
}

Test(store, a_killed_holder_is_named_and_frees_the_lock, .init = make_store, .fini = remove_store)
{
	struct store_lock lock = STORE_LOCK_NONE;
	struct store_holder holder;
	struct error err = { 0 };
	char sid[SID_SIZE], c;
	int ready[2];
	pid_t child;

	make("box", sid);
	cr_assert(pipe(ready) == 0);
	child = fork();
	if (child == 0) {
		if (store_lock(&store, sid, deadline_in_ms(1000), &lock, NULL) == 0 &&
		    write(ready[1], "x", 1) == 1)
			pause();
		_exit(1);
	}
	close(ready[1]);
	cr_assert(read(ready[0], &c, 1) == 1);
	close(ready[0]);
	cr_assert(store_lock_holder(&store, sid, &holder, &err) == 1);
	cr_expect(holder.process.pid == child);
	kill(child, SIGKILL);
	waitpid(child, NULL, 0);
	cr_expect(store_lock_holder(&store, sid, &holder, &err) == 0);
	cr_expect(store_lock(&store, sid, deadline_in_ms(100), &lock, &err) == 0, "%s", err.text);
	store_unlock(&lock);
	drop("box", sid);
}

/* Many take the lock, remove the sandbox with it, and make it again: never two at once. */
Test(store, lock_of_a_removed_sandbox_is_another, .init = make_store, .fini = remove_store)
{
	enum { WORKERS = 4, ROUNDS = 25 };
	pid_t workers[WORKERS];
	char mark[96], sid[SID_SIZE];
	struct error err = { 0 };
	int status;

	snprintf(mark, sizeof(mark), "%s/mark", dir);
	cr_assert(store_sid(&store, "box", sid, &err) == 0);
	for (unsigned i = 0; i < WORKERS; i++) {
		workers[i] = fork();
		if (workers[i] != 0)
			continue;
		for (unsigned n = 0; n < ROUNDS; n++) {
			struct store_lock lock = STORE_LOCK_NONE;

			if (store_lock(&store, sid, deadline_in_ms(20000), &lock, NULL) < 0)
				_exit(1);
			/* Alone: nobody else has made the mark or the sandbox. */
			if (mkdir(mark, 0700) < 0)
				_exit(2);
			if (store_create(&store, "box", sid, NULL) < 0)
				_exit(3);
			rmdir(mark);
			if (store_remove(&store, "box", sid, &lock, NULL) < 0)
				_exit(4);
		}
		_exit(0);
	}
	for (unsigned i = 0; i < WORKERS; i++) {
		cr_assert(waitpid(workers[i], &status, 0) == workers[i]);
		cr_expect(WIFEXITED(status) && WEXITSTATUS(status) == 0, "worker: %d", status);
	}
}

/* --- lists --- */

struct seen {
	unsigned usable, broken;
	char ids[256];
};

static int see(const char *id, const char *sid, const struct state *state, const struct error *why,
	       void *userdata)
{
	struct seen *seen = userdata;

	cr_expect(sid_check(sid, NULL) == 0);
	if (state != NULL) {
		cr_expect_str_eq(state->sid, sid);
		seen->usable++;
	} else {
		cr_expect(why->text[0] != '\0');
		seen->broken++;
	}
	strcat(strcat(seen->ids, id), " ");
	return 0;
}

static int stop_at_once(const char *id, const char *sid, const struct state *state,
			const struct error *why, void *userdata)
{
	(void)id, (void)sid, (void)state, (void)why;
	++*(int *)userdata;
	return 5;
}

Test(store, list, .init = make_store, .fini = remove_store)
{
	struct seen seen = { 0 };
	struct store none;
	struct error err = { 0 };
	char good[SID_SIZE], bad[SID_SIZE], stray[128];
	struct state s = { 0 };
	int calls = 0;

	cr_assert(store_open(&none, "/tmp/kata-test-none", base, false, &err) == 0);
	cr_expect(store_list(&none, see, &seen, &err) == 0 && seen.usable == 0);
	make("box", good);
	make("bad", bad);
	fill(&s);
	cr_assert(store_write_state(&store, &s, &err) == 0);
	state_fini(&s);
	put(bad, "state.json", "{");
	/* What an engine keeps in the same directory. */
	snprintf(stray, sizeof(stray), "%s/notes", root);
	cr_assert(mkdir(stray, 0700) == 0);
	cr_expect(store_list(&store, see, &seen, &err) == 0, "%s", err.text);
	cr_expect(seen.usable == 1 && seen.broken == 1, "%s", seen.ids);
	cr_expect(store_list(&store, stop_at_once, &calls, &err) == 5 && calls == 1);
	cr_assert(rmdir(stray) == 0);
	drop("box", good);
	drop("bad", bad);
}

/* By its own id, and by a container's, also when that looks like one. */
Test(store, sandbox_of_a_word, .init = make_store, .fini = remove_store)
{
	static const char hex[] = "00112233445566778899aabbccddeeff";
	struct error err = { 0 };
	struct state s = { 0 };
	char sid[SID_SIZE], found[SID_SIZE] = "";

	make(hex, sid);
	cr_assert(state_init(&s, &store, hex, &err) == 0, "%s", err.text);
	cr_assert(store_write_state(&store, &s, &err) == 0, "%s", err.text);
	cr_expect(container_find_sandbox(&store, hex, found, &err) == 0, "%s", err.text);
	cr_expect_str_eq(found, sid);
	cr_expect(container_find_sandbox(&store, sid, found, &err) == 0, "%s", err.text);
	cr_expect_str_eq(found, sid);
	cr_expect(container_find_sandbox(&store, "nosuch", found, &err) == -ENOENT);
	state_fini(&s);
	drop(hex, sid);
}

static int sum(struct process_ref shim, void *userdata)
{
	*(uint64_t *)userdata += (uint64_t)shim.pid * 1000 + shim.start_ticks;
	return 0;
}

static uint64_t sum_of(const char *sid, enum store_exec kind)
{
	struct error err = { 0 };
	uint64_t total = 0;

	cr_expect(store_each_exec(&store, sid, kind, sum, &total, &err) == 0, "%s", err.text);
	return total;
}

Test(store, execs, .init = make_store, .fini = remove_store)
{
	const struct process_ref some[] = { { 1, 5 }, { 2, 6 } };
	struct error err = { 0 };
	char sid[SID_SIZE];

	make("box", sid);
	cr_expect(sum_of(sid, STORE_EXEC_SHIM) == 0);
	for (int i = 0; i < 2; i++)
		cr_assert(store_add_exec(&store, sid, STORE_EXEC_SHIM, some[i], &err) == 0, "%s",
			  err.text);
	cr_assert(store_add_exec(&store, sid, STORE_EXEC_VERB, (struct process_ref){ 1, 8 },
				 &err) == 0);
	put(sid, "exec/3", "");
	put(sid, "exec/4", "x");
	put(sid, "exec/x", "1");
	put(sid, "exec/verb-x", "1");
	put(sid, "exec/verb-4", "x");
	cr_expect(sum_of(sid, STORE_EXEC_SHIM) == 3011);
	cr_expect(sum_of(sid, STORE_EXEC_VERB) == 1008);
	for (int i = 0; i < 2; i++)
		cr_assert(store_remove_exec(&store, sid, STORE_EXEC_SHIM, 1, &err) == 0);
	cr_expect(sum_of(sid, STORE_EXEC_SHIM) == 2006);
	cr_expect(sum_of(sid, STORE_EXEC_VERB) == 1008);
	cr_assert(store_remove_exec(&store, sid, STORE_EXEC_VERB, 1, &err) == 0);
	cr_expect(sum_of(sid, STORE_EXEC_VERB) == 0);
	drop("box", sid);
}

/* --- containers of one VM --- */

static int count(const char *sid, void *userdata)
{
	char *seen = userdata;

	strcat(seen, sid);
	strcat(seen, " ");
	return 0;
}

static void make_member(struct state *member, const char *id, const char *sandbox)
{
	struct error err = { 0 };
	char sid[SID_SIZE];

	make(id, sid);
	cr_assert(state_init(member, &store, id, &err) == 0);
	memcpy(member->sandbox, sandbox, SID_SIZE);
	cr_assert(store_write_state(&store, member, &err) == 0, "%s", err.text);
}

Test(store, members_come_and_go, .init = make_store, .fini = remove_store)
{
	CLEANUP(state_fini) struct state member = { 0 }, read = { 0 };
	struct error err = { 0 };
	char sid[SID_SIZE], found[SID_SIZE], seen[256] = "";

	make("box", sid);
	make_member(&member, "member", sid);
	cr_assert(store_read_state(&store, member.sid, &read, &err) == 0, "%s", err.text);
	cr_expect_str_eq(read.sandbox, sid);
	cr_expect(store_each_member(&store, sid, count, seen, &err) == 0);
	cr_expect_str_eq(seen, "");
	cr_expect(store_find_sandbox(&store, member.sid, found) == 0);
	cr_expect_str_eq(found, member.sid);
	cr_assert(store_join(&store, &member, &err) == 0, "%s", err.text);
	cr_assert(store_join(&store, &member, &err) == 0, "%s", err.text);
	cr_expect(store_find_sandbox(&store, member.sid, found) == 1);
	cr_expect_str_eq(found, sid);
	cr_expect(store_each_member(&store, sid, count, seen, &err) == 0);
	cr_expect(strlen(seen) == SID_SIZE && str_starts(seen, member.sid));
	cr_assert(store_leave(&store, &member, &err) == 0, "%s", err.text);
	cr_assert(store_leave(&store, &member, &err) == 0, "%s", err.text);
	drop("box", sid);
	cr_expect(store_join(&store, &member, &err) == -ESRCH, "%s", err.text);
	drop("member", member.sid);
}

Test(store, departed_container_leaves_its_id, .init = make_store, .fini = remove_store)
{
	CLEANUP(state_fini) struct state state = { 0 }, read = { 0 };
	struct store_lock none = STORE_LOCK_NONE;
	struct error err = { 0 };
	char sid[SID_SIZE], second[SID_SIZE], path[PATH_MAX];
	struct stat st;

	make("box", sid);
	fill(&state);
	cr_assert(store_depart(&store, &state, &err) == 0, "%s", err.text);
	cr_assert(store_read_state(&store, sid, &read, &err) == 0, "%s", err.text);
	cr_expect(read.departed && read.shim.pid == 0 && read.monitor.pid == 12);
	snprintf(path, sizeof(path), "%s/box", root);
	cr_expect(lstat(path, &st) < 0);
	make("box", second);
	cr_expect(!str_eq(sid, second));
	cr_expect(store_exists(&store, "box", second));
	/* The end of the first one's VM does not touch the second's name. */
	cr_assert(store_remove(&store, "box", sid, &none, &err) == 0, "%s", err.text);
	cr_expect(lstat(path, &st) == 0 && S_ISLNK(st.st_mode));
	cr_assert(store_sid(&store, "box", sid, &err) == 0);
	cr_expect_str_eq(sid, second);
	drop("box", second);
}

Test(store, a_vm_has_a_lock_of_its_own, .init = make_store, .fini = remove_store)
{
	struct store_lock lock = STORE_LOCK_NONE, pod = STORE_LOCK_NONE, again = STORE_LOCK_NONE;
	struct store_holder holder = { 0 };
	struct error err = { 0 };
	char sid[SID_SIZE];

	make("box", sid);
	cr_assert(store_lock(&store, sid, deadline_in_ms(0), &lock, &err) == 0, "%s", err.text);
	cr_expect(store_pod_holder(&store, sid, &holder, &err) == 0);
	cr_assert(store_lock_pod(&store, sid, deadline_in_ms(0), &pod, &err) == 0, "%s", err.text);
	cr_expect(store_lock_pod(&store, sid, deadline_in_ms(0), &again, &err) == -ETIMEDOUT);
	cr_expect(store_pod_holder(&store, sid, &holder, &err) == 1);
	cr_expect(holder.process.pid == getpid());
	cr_expect(unlink(pod.path) == 0);
	store_unlock(&pod);
	store_unlock(&lock);
	drop("box", sid);
}
