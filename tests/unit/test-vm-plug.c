/* kata-runtime/vm-plug.c: what QEMU is told, and what its answers are taken for. */
#include "kata-runtime/vm-plug.h"

#include <criterion/criterion.h>
#include <errno.h>

#include "common/cleanup.h"
#include "common/deadline.h"
#include "tests/unit/qmp-fake.h"

enum { SHORT_MS = 120 };

#define RETURN(text) "{\"return\": " text ", \"id\": $ID}\r\n"

#define BASE RETURN("{\"base-memory\": 268435456, \"plugged-memory\": 0}")
#define DEVICE(size) \
	RETURN("[{\"type\": \"dimm\", \"data\": {\"id\": \"d\", \"size\": 7}}, {\"type\": " \
	       "\"virtio-mem\", \"data\": {\"id\": \"plug\", \"size\": " size \
	       ", \"max-size\": 1073741824, \"requested-size\": 0}}]")
#define PLACE(n, path) \
	"{\"props\": {\"core-id\": 0, \"thread-id\": 0, \"socket-id\": " n \
	"}, \"vcpus-count\": 1, " path "\"type\": \"max-x86_64-cpu\"}"
#define PLACES \
	RETURN("[" PLACE("2", "") ", " PLACE("1", "") ", " PLACE( \
		"0", "\"qom-path\": \"/machine/unattached/device[0]\", ") "]")

Test(vm_plug, look)
{
	static const struct fake_qemu_step steps[] = {
		FAKE_HELLO,
		{ FAKE_EXPECT, "\"execute\":\"query-memory-size-summary\"" },
		{ FAKE_SEND, BASE },
		{ FAKE_EXPECT, "\"execute\":\"query-memory-devices\"" },
		{ FAKE_SEND, DEVICE("134217728") },
		{ FAKE_EXPECT, "\"execute\":\"query-hotpluggable-cpus\"" },
		{ FAKE_SEND, PLACES },
	};
	struct vm_plug plug = { 0 };
	struct error err = { 0 };
	struct fake_qemu fake;
	struct qmp q;

	open_fake(&fake, &q, steps, ARRAY_SIZE(steps));
	cr_expect(vm_plug_look(&q, deadline_in_ms(SOON_MS), &plug, &err) == 0, "%s", err.text);
	cr_expect(plug.memory_mib == 384 && plug.plugged_mib == 128 && plug.more_mib == 896);
	cr_expect(plug.vcpus == 1 && plug.more_vcpus == 2);
	end_fake(&fake, &q);
}

/* As it was before there was anything to plug. */
Test(vm_plug, look_at_one_that_stays)
{
	static const struct fake_qemu_step steps[] = {
		FAKE_HELLO,
		{ FAKE_EXPECT, "query-memory-size-summary" },
		{ FAKE_SEND, BASE },
		{ FAKE_EXPECT, "query-memory-devices" },
		{ FAKE_SEND, RETURN("[]") },
		{ FAKE_EXPECT, "query-hotpluggable-cpus" },
		{ FAKE_SEND, RETURN("[" PLACE("0", "\"qom-path\": \"/x\", ") "]") },
	};
	struct vm_plug plug = { .more_mib = 1, .more_vcpus = 1 };
	struct error err = { 0 };
	struct fake_qemu fake;
	struct qmp q;

	open_fake(&fake, &q, steps, ARRAY_SIZE(steps));
	cr_expect(vm_plug_look(&q, deadline_in_ms(SOON_MS), &plug, &err) == 0, "%s", err.text);
	cr_expect(plug.memory_mib == 256 && plug.more_mib == 0);
	cr_expect(plug.vcpus == 1 && plug.more_vcpus == 0);
	end_fake(&fake, &q);
}

Test(vm_plug, answers_that_cannot_be)
{
	static const struct {
		const char *base, *devices, *places;
	} cases[] = {
		{ RETURN("[]"), NULL, NULL },
		{ RETURN("{\"base-memory\": -1}"), NULL, NULL },
		{ RETURN("{\"base-memory\": 9223372036854775807}"), NULL, NULL },
		{ BASE, RETURN("{}"), NULL },
		{ BASE, RETURN("[{\"data\": {\"id\": \"plug\"}}]"), NULL },
		{ BASE, DEVICE("1073741825000"), NULL },
		{ BASE, DEVICE("\"1\""), NULL },
		{ BASE, DEVICE("0"), RETURN("7") },
	};

	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		const char *answers[] = { cases[i].base, cases[i].devices, cases[i].places };
		struct fake_qemu_step steps[3 + 6] = { FAKE_HELLO };
		struct vm_plug plug = { 0 };
		struct error err = { 0 };
		struct fake_qemu fake;
		size_t n = 3;
		struct qmp q;

		for (size_t j = 0; j < ARRAY_SIZE(answers) && answers[j] != NULL; j++) {
			steps[n++] = (struct fake_qemu_step){ FAKE_EXPECT, "execute", 0 };
			steps[n++] = (struct fake_qemu_step){ FAKE_SEND, answers[j], 0 };
		}
		open_fake(&fake, &q, steps, n);
		cr_expect(vm_plug_look(&q, deadline_in_ms(SOON_MS), &plug, &err) == -EBADMSG,
			  "case %zu: %s", i, err.text);
		cr_expect(plug.memory_mib == 0);
		end_fake(&fake, &q);
	}
}

/* The event makes it look at once, and what is there counts. */
Test(vm_plug, memory)
{
	static const struct fake_qemu_step steps[] = {
		FAKE_HELLO,
		{ FAKE_EXPECT, "\"execute\":\"qom-set\"" },
		{ FAKE_SEND, FAKE_DONE },
		{ FAKE_EXPECT, "query-memory-devices" },
		{ FAKE_SEND, DEVICE("134217728") },
		{ FAKE_SEND,
		  "{\"event\": \"MEMORY_DEVICE_SIZE_CHANGE\", \"data\": {\"id\": \"plug\", "
		  "\"size\": 1}, \"timestamp\": {\"seconds\": 1, \"microseconds\": 2}}\r\n" },
		{ FAKE_EXPECT, "query-memory-devices" },
		{ FAKE_SEND, DEVICE("402653184") },
	};
	const struct vm_plug plug = { .memory_mib = 384, .plugged_mib = 128, .more_mib = 896 };
	struct error err = { 0 };
	struct fake_qemu fake;
	struct qmp q;

	open_fake(&fake, &q, steps, ARRAY_SIZE(steps));
	cr_expect(vm_plug_memory(&q, &plug, 256, deadline_in_ms(SOON_MS), &err) == 0, "%s",
		  err.text);
	cr_expect(strstr(fake.line, "query-memory-devices") != NULL);
	end_fake(&fake, &q);
}

Test(vm_plug, memory_is_asked_for_by_its_place)
{
	static const struct fake_qemu_step steps[] = {
		FAKE_HELLO,
		{ FAKE_EXPECT, "\"path\":\"\\/machine\\/peripheral\\/plug\",\"property\":"
			       "\"requested-size\",\"value\":402653184" },
		{ FAKE_SEND, REFUSED },
	};
	const struct vm_plug plug = { .memory_mib = 384, .plugged_mib = 128, .more_mib = 896 };
	struct error err = { 0 };
	struct fake_qemu fake;
	struct qmp q;

	open_fake(&fake, &q, steps, ARRAY_SIZE(steps));
	cr_expect(vm_plug_memory(&q, &plug, 256, deadline_in_ms(SOON_MS), &err) == -EREMOTEIO);
	end_fake(&fake, &q);
}

/* What the guest does not take it is not left with: it could come at any later time. */
Test(vm_plug, memory_that_is_not_taken)
{
	static const struct fake_qemu_step steps[] = {
		FAKE_HELLO,
		{ FAKE_EXPECT, "\"value\":268435456" },
		{ FAKE_SEND, FAKE_DONE },
		{ FAKE_EXPECT, "query-memory-devices" },
		{ FAKE_SEND, DEVICE("134217728") },
		{ FAKE_EXPECT, "\"value\":0" },
		{ FAKE_SEND, FAKE_DONE },
	};
	const struct vm_plug plug = { .memory_mib = 256, .more_mib = 1024 };
	struct error err = { 0 };
	struct fake_qemu fake;
	struct qmp q;

	open_fake(&fake, &q, steps, ARRAY_SIZE(steps));
	cr_expect(vm_plug_memory(&q, &plug, 256, deadline_in_ms(-1), &err) == -ETIMEDOUT);
	cr_expect_str_eq(err.text, "the guest has taken 128 of 256 MiB that were plugged");
	end_fake(&fake, &q);
}

Test(vm_plug, vcpus)
{
	static const struct fake_qemu_step steps[] = {
		FAKE_HELLO,
		{ FAKE_EXPECT, "query-hotpluggable-cpus" },
		{ FAKE_SEND, PLACES },
		{ FAKE_EXPECT, "\"driver\":\"max-x86_64-cpu\",\"core-id\":0,\"thread-id\":0,"
			       "\"socket-id\":1}" },
		{ FAKE_SEND, FAKE_DONE },
		{ FAKE_EXPECT, "\"socket-id\":2}" },
		{ FAKE_SEND, FAKE_DONE },
	};
	struct error err = { 0 };
	struct fake_qemu fake;
	struct qmp q;

	open_fake(&fake, &q, steps, ARRAY_SIZE(steps));
	cr_expect(vm_plug_vcpus(&q, 3, deadline_in_ms(SOON_MS), &err) == -ENOSPC);
	cr_expect_str_eq(err.text, "the VM has no place for 1 more processors");
	end_fake(&fake, &q);
}

Test(vm_plug, vcpus_refused)
{
	static const struct fake_qemu_step steps[] = {
		FAKE_HELLO,
		{ FAKE_EXPECT, "query-hotpluggable-cpus" },
		{ FAKE_SEND, PLACES },
		{ FAKE_EXPECT, "device_add" },
		{ FAKE_SEND, REFUSED },
	};
	static const struct fake_qemu_step odd[] = {
		FAKE_HELLO,
		{ FAKE_EXPECT, "query-hotpluggable-cpus" },
		{ FAKE_SEND, RETURN("[{\"props\": 1, \"type\": \"x\"}]") },
	};
	struct error err = { 0 };
	struct fake_qemu fake;
	struct qmp q;

	open_fake(&fake, &q, steps, ARRAY_SIZE(steps));
	cr_expect(vm_plug_vcpus(&q, 2, deadline_in_ms(SOON_MS), &err) == -EREMOTEIO);
	end_fake(&fake, &q);
	open_fake(&fake, &q, odd, ARRAY_SIZE(odd));
	cr_expect(vm_plug_vcpus(&q, 1, deadline_in_ms(SOON_MS), &err) == -EBADMSG);
	end_fake(&fake, &q);
}
