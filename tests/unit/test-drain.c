/* When the shim may end: written and pending bytes against the offsets of EXIT. */
#include <criterion/criterion.h>

#include "kata-shim/drain.h"

struct row {
	const char *what;
	bool exited, over_stdout, linked;
	uint64_t ends[2], written[2], pending[2]; /* stdout, stderr */
	bool done, complete;
};

static const struct row rows[] = {
	{ "running", false, false, true, { 0, 0 }, { 9, 9 }, { 0, 0 }, false, false },
	{ "wrote nothing", true, false, true, { 0, 0 }, { 0, 0 }, { 0, 0 }, true, true },
	{ "all written", true, false, true, { 5, 7 }, { 5, 7 }, { 0, 0 }, true, true },
	{ "a child goes on", true, false, true, { 5, 7 }, { 9, 7 }, { 3, 0 }, true, true },
	{ "stdout is slow", true, false, true, { 5, 7 }, { 4, 7 }, { 1, 0 }, false, true },
	{ "stderr is slow", true, false, true, { 5, 7 }, { 5, 0 }, { 0, 7 }, false, true },
	{ "more is to come", true, false, true, { 5, 7 }, { 5, 6 }, { 0, 0 }, false, false },
	{ "END below EXIT", true, true, true, { 5, 7 }, { 4, 7 }, { 0, 0 }, true, false },
	{ "END, not written", true, true, true, { 5, 7 }, { 4, 7 }, { 1, 0 }, false, true },
	{ "END without EXIT", false, true, true, { 0, 0 }, { 4, 7 }, { 0, 0 }, false, false },
	{ "lost, all here", true, false, false, { 5, 7 }, { 4, 7 }, { 1, 0 }, false, true },
	{ "lost, not all here", true, false, false, { 5, 7 }, { 4, 6 }, { 0, 0 }, true, false },
	{ "lost before EXIT", false, false, false, { 0, 0 }, { 4, 6 }, { 2, 0 }, false, false },
	{ "lost, nothing here", false, false, false, { 0, 0 }, { 4, 6 }, { 0, 0 }, true, false },
};

Test(drain, rows)
{
	for (size_t i = 0; i < sizeof(rows) / sizeof(rows[0]); i++) {
		const struct row *row = &rows[i];
		struct drain drain = { 0 };
		uint64_t pending[STREAM_COUNT] = { 0, row->pending[0], row->pending[1] };

		if (row->exited)
			cr_expect(drain_exit(&drain, row->ends[0], row->ends[1]));
		drain.written[STREAM_STDOUT] = row->written[0];
		drain.written[STREAM_STDERR] = row->written[1];
		drain.over[STREAM_STDOUT] = row->over_stdout;
		cr_expect_eq(drain_done(&drain, row->linked, pending), row->done, "%s: done",
			     row->what);
		cr_expect_eq(drain_complete(&drain, pending), row->complete, "%s: complete",
			     row->what);
	}
}

Test(drain, exit_counts_once)
{
	struct drain drain = { 0 };

	cr_expect(drain_exit(&drain, 10, 20));
	cr_expect_not(drain_exit(&drain, 0, 0));
	cr_expect_eq(drain.ends[STREAM_STDOUT], 10);
	cr_expect_eq(drain.ends[STREAM_STDERR], 20);
}
