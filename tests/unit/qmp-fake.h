/* A QMP client of the code, connected to a QEMU that follows a script: see fake-qemu.h. */
#ifndef KATA_TEST_QMP_FAKE_H
#define KATA_TEST_QMP_FAKE_H

#include <criterion/criterion.h>

#include "common/deadline.h"
#include "common/error.h"
#include "kata-runtime/qmp.h"
#include "tests/fake/fake-qemu.h"

enum { SOON_MS = 5000 };

#define REFUSED "{\"error\": {\"class\": \"GenericError\", \"desc\": \"no\"}, \"id\": $ID}\r\n"

static inline void open_fake(struct fake_qemu *fake, struct qmp *q,
			     const struct fake_qemu_step *steps, size_t count)
{
	struct error err = { 0 };
	int fd = fake_qemu_start(fake, steps, count);

	cr_assert(fd >= 0);
	cr_assert(qmp_open_fd(q, fd, deadline_in_ms(SOON_MS), &err) == 0, "%s", err.text);
}

/* All of the script must have come to pass. */
static inline void end_fake(struct fake_qemu *fake, struct qmp *q)
{
	qmp_close(q);
	qmp_close(q); /* twice is allowed */
	cr_expect_str_eq(fake_qemu_end(fake), "");
}

#endif
