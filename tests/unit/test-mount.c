/* kata-agent/mount.c: options of a mount; mounts by descriptor in a namespace of the test's own. */
#include "kata-agent/mount.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <fcntl.h>
#include <sched.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "common/cleanup.h"
#include "common/str.h"

Test(mount, options)
{
	static const struct {
		const char *data, *wanted;
	} cases[] = {
		{ "", "" },
		{ ",,,", "" },
		{ "a", "a;" },
		{ "size=1k,ro", "size=1k;ro;" },
		{ ",a=,b==c,", "a=;b==c;" },
		{ "=x", "=x;" },
		{ "0123456789abcdefg=1,ok", ";ok;" }, /* too long for the buffer below */
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const char *data = cases[i].data;
		char all[128] = "", buffer[16], *value;

		while (mount_next_option(&data, buffer, sizeof(buffer), &value)) {
			strcat(all, buffer);
			if (value != NULL)
				strcat(strcat(all, "="), value);
			strcat(all, ";");
		}
		cr_expect_str_eq(all, cases[i].wanted);
	}
}

static void own_namespace(void)
{
	if (geteuid() != 0)
		cr_skip("needs root");
	cr_assert(unshare(CLONE_NEWNS) == 0);
	cr_assert(mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) == 0);
	cr_assert(mount("tmpfs", "/tmp", "tmpfs", 0, NULL) == 0);
}

Test(mount, flags_of_a_new_one, .init = own_namespace)
{
	static const struct {
		uint64_t flags;
		unsigned long wanted;
	} cases[] = {
		{ 0, ST_RELATIME },
		{ MS_RDONLY, ST_RDONLY | ST_RELATIME },
		{ MS_NOSUID | MS_NODEV | MS_NOEXEC,
		  ST_NOSUID | ST_NODEV | ST_NOEXEC | ST_RELATIME },
		{ MS_NOATIME | MS_NODIRATIME, ST_NOATIME | ST_NODIRATIME },
		{ MS_STRICTATIME, 0 },
	};
	CLEANUP(fd_close) int place = open("/tmp", O_PATH | O_CLOEXEC);

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct error err = { .text = "" };
		CLEANUP(fd_close)
		int fd = mount_new("tmpfs", "x", cases[i].flags, "size=64k", &err);
		struct statvfs st;

		cr_assert(fd >= 0, "%s", err.text);
		cr_assert(fstatvfs(fd, &st) == 0);
		cr_expect(st.f_flag == (cases[i].wanted | (st.f_flag & 0x20)), "case %zu: %lx", i,
			  st.f_flag);
		cr_expect(st.f_blocks * st.f_frsize == 65536);
		cr_expect(mount_attach(fd, place, &err) == 0, "%s", err.text);
	}
}

Test(mount, a_copy_gets_flags_of_its_own, .init = own_namespace)
{
	CLEANUP(fd_close) int place = open("/tmp", O_PATH | O_DIRECTORY | O_CLOEXEC);
	CLEANUP(fd_close) int copy = mount_clone(place, false, NULL);
	struct statvfs st;

	cr_assert(copy >= 0);
	cr_expect(mount_set_flags(copy, 0, NULL) == 0);
	cr_expect(mount_set_flags(copy, MS_RDONLY | MS_NOATIME, NULL) == 0);
	cr_expect(fstatvfs(copy, &st) == 0 && (st.f_flag & ST_RDONLY) != 0);
	cr_expect((st.f_flag & ST_NOATIME) != 0);
	cr_expect(fstatvfs(place, &st) == 0 && (st.f_flag & ST_RDONLY) == 0);
	cr_expect(mount_set_propagation(copy, MS_SHARED | MS_REC, NULL) == 0);
	cr_expect(mount_set_propagation(copy, 0, NULL) == 0);
	cr_expect(mount_set_propagation(copy, MS_PRIVATE | MS_SLAVE, NULL) == -EINVAL);
}

Test(mount, errors_name_the_cause, .init = own_namespace)
{
	struct error err;

	cr_expect(mount_new("nosuchfs", "", 0, "", &err) == -ENODEV);
	cr_expect(str_starts(err.text, "filesystem type nosuchfs: "), "%s", err.text);
	cr_expect(mount_new("tmpfs", "", 0, "size=many", &err) == -EINVAL);
	cr_expect(str_starts(err.text, "size of type tmpfs (e tmpfs: Bad value"), "%s", err.text);
	cr_expect(mount_new("tmpfs", "", 0, "nosuchoption", &err) == -EINVAL);
	cr_expect(str_starts(err.text, "nosuchoption of type tmpfs"), "%s", err.text);
}
