/*
 * common/wire.c and wire-table.c: every message and field of protocol.def at its limits and beyond,
 * cut and damaged. What a hostile encoder can make of a field is in test-wire-twist.c.
 */
#include "common/wire.h"

#include <criterion/criterion.h>
#include <errno.h>

#include "common/cleanup.h"
#include "common/str.h"
#include "tests/unit/wire-any.h"

/* --- the table -------------------------------------------------------------------------------- */

static void check_field(const struct wire_struct *s, const struct wire_field *f)
{
	cr_assert(f->offset < s->size, "%s.%s", s->name, f->name);
	cr_assert(f->type != WIRE_u32 || f->max <= UINT32_MAX, "%s.%s", s->name, f->name);
	cr_assert(f->type != WIRE_i32 || f->max <= INT32_MAX, "%s.%s", s->name, f->name);
	cr_assert(f->type != WIRE_bool || f->max == 1, "%s.%s", s->name, f->name);
	cr_assert((f->type == WIRE_nested || f->type == WIRE_list) == (f->element != NULL));
	cr_assert(f->type < WIRE_str || f->type == WIRE_nested || f->max <= WIRE_MAX);
	cr_assert(f->doc[0] != '\0', "%s.%s", s->name, f->name);
	for (const struct wire_field *other = s->fields; other != f; other++)
		cr_assert(!str_eq(other->name, f->name), "%s.%s is there twice", s->name, f->name);
}

/* Depth of a struct's value as wire_check() counts it. */
static unsigned depth_of(const struct wire_struct *s)
{
	unsigned deepest = 0;
	size_t n = 0;

	for (const struct wire_field *f = s->fields; f->name != NULL; f++, n++) {
		unsigned depth = f->type == WIRE_strings  ? 2
				 : f->type == WIRE_nested ? depth_of(f->element())
				 : f->type == WIRE_list   ? 1 + depth_of(f->element())
							  : 1;

		deepest = depth > deepest ? depth : deepest;
		check_field(s, f);
	}
	cr_assert(n <= 64, "%s: the decoder counts 64 fields", s->name);
	return 1 + deepest;
}

Test(wire, table)
{
	size_t n;
	const struct wire_message *all = wire_messages(&n);

	cr_assert(n > 20);
	for (size_t i = 0; i < n; i++) {
		cr_assert(wire_message(all[i].type) == &all[i], "%s: two of a number", all[i].name);
		cr_assert_str_eq(wire_name(all[i].type), all[i].name);
		cr_assert(1 + depth_of(all[i].body()) <= 8, "%s is too deep", all[i].name);
		cr_assert(all[i].reply == MSG_NONE || wire_message(all[i].reply) != NULL);
	}
	cr_assert(wire_message(-1) == NULL && wire_message(9999) == NULL);
	cr_assert(wire_message((int64_t)1 << 32) == NULL);
	cr_assert_str_eq(wire_name(-1), "UNKNOWN");
	cr_assert_str_eq(wire_name(INT64_MAX), "UNKNOWN");
}

Test(wire, structs)
{
	size_t n;
	const struct wire_struct *const *all = wire_structs(&n);

	cr_assert(n > 5 && n <= 64);
	for (size_t i = 0; i < n; i++)
		depth_of(all[i]);
}

/* --- what is encoded is decoded --------------------------------------------------------------- */

static void round_trip(const struct wire_message *m, enum any how)
{
	CLEANUP(buf_fini) struct buf out = { 0 }, again = { 0 };
	void *body = any_body(m, how), *got = NULL;
	const struct wire_field *differs;
	struct error err = { 0 };
	enum msg_type type;

	cr_assert(buf_append(&out, "before", 6) == 0);
	cr_assert(wire_encode(m->type, body, &out, &err) == 0, "%s", err.text);
	cr_assert(memcmp(buf_at(&out), "before", 6) == 0);
	buf_consume(&out, 6);
	cr_assert(any_decode(buf_at(&out), buf_len(&out), &type, &got, &err) == 0, "%s", err.text);
	cr_assert(type == m->type);
	differs = any_differs(m->body(), body, got);
	cr_assert(differs == NULL, "%s.%s differs", m->name, differs->name);
	cr_assert(wire_encode(type, got, &again, &err) == 0);
	cr_assert(buf_len(&again) == buf_len(&out));
	cr_assert(memcmp(buf_at(&again), buf_at(&out), buf_len(&out)) == 0);
	wire_free(m->type, body);
	wire_free(type, got);
}

Test(wire, round_trip)
{
	size_t n;
	const struct wire_message *all = wire_messages(&n);

	for (size_t i = 0; i < n; i++) {
		round_trip(&all[i], ANY_ZERO);
		round_trip(&all[i], ANY_GREATEST);
		for (int round = 0; round < 50; round++)
			round_trip(&all[i], ANY_RANDOM);
	}
}

/* NULL stands for all zero, and what is absent then is empty: no handler meets a NULL text. */
Test(wire, null_body)
{
	size_t n;
	const struct wire_message *all = wire_messages(&n);

	for (size_t i = 0; i < n; i++) {
		CLEANUP(buf_fini) struct buf out = { 0 };
		struct error err = { 0 };
		enum msg_type type;
		void *got;

		cr_assert(wire_encode(all[i].type, NULL, &out, &err) == 0, "%s", err.text);
		cr_assert(any_decode(buf_at(&out), buf_len(&out), &type, &got, &err) == 0);
		for (const struct wire_field *f = all[i].body()->fields; f->name != NULL; f++)
			if (f->type == WIRE_str || f->type == WIRE_raw)
				cr_assert_str_eq(*ANY_AT(got, f, char *), "");
		wire_free(type, got);
	}
}

/* --- the encoder refuses what the decoder would ----------------------------------------------- */

static void encode_refused(const struct wire_message *m, void *body, const struct wire_struct *s,
			   const struct wire_field *f, int want)
{
	CLEANUP(buf_fini) struct buf out = { 0 };
	struct error err = { 0 };
	char start[128];

	cr_assert(buf_append(&out, "before", 6) == 0);
	cr_assert(str_format(start, sizeof(start), "%s.%s: ", s->name, f->name) == 0);
	cr_assert(wire_encode(m->type, body, &out, &err) == want, "%s%s", start, err.text);
	cr_assert(str_starts(err.text, start), "%s", err.text);
	cr_assert(buf_len(&out) == 6, "something of %s was left behind", m->name);
}

static void encode_over_text(const struct wire_message *m, void *body, const struct wire_struct *s,
			     const struct wire_field *f, char **text, uint64_t max)
{
	char *saved = *text;

	*text = any_text(WIRE_raw, max + 1, ANY_GREATEST);
	encode_refused(m, body, s, f, -EMSGSIZE);
	free(*text);
	*text = strdup("caf\xe9");
	if (f->type == WIRE_str && max >= 4)
		encode_refused(m, body, s, f, -EBADMSG);
	free(*text);
	*text = saved;
}

static void encode_over(const struct wire_message *m, void *body, const struct wire_struct *s,
			const struct wire_field *f, void *at)
{
	struct wire_strings *list = at;
	struct wire_bin *bin = at;
	uint32_t *n, saved;

	if (f->type == WIRE_u32 && f->max < UINT32_MAX) {
		*(uint32_t *)at = (uint32_t)f->max + 1;
		encode_refused(m, body, s, f, -ERANGE);
		*(uint32_t *)at = 0;
	} else if (f->type == WIRE_u64 && f->max < UINT64_MAX) {
		*(uint64_t *)at = f->max + 1;
		encode_refused(m, body, s, f, -ERANGE);
		*(uint64_t *)at = 0;
	} else if (f->type == WIRE_i32) {
		*(int32_t *)at = (int32_t)f->max + 1;
		encode_refused(m, body, s, f, -ERANGE);
		*(int32_t *)at = -(int32_t)f->max - 1;
		encode_refused(m, body, s, f, -ERANGE);
		*(int32_t *)at = 0;
	} else if (f->type == WIRE_str || f->type == WIRE_raw) {
		encode_over_text(m, body, s, f, at, f->max);
	} else if (f->type == WIRE_bin) {
		saved = bin->len;
		bin->len = (uint32_t)f->max + 1; /* refused before it is looked at */
		encode_refused(m, body, s, f, -EMSGSIZE);
		bin->len = saved;
	} else if (f->type == WIRE_strings) {
		encode_over_text(m, body, s, f, &list->items[0], f->item_max);
		saved = list->count;
		list->count = (uint32_t)f->max + 1;
		encode_refused(m, body, s, f, -EMSGSIZE);
		list->count = saved;
	} else if (f->type == WIRE_list) {
		n = (uint32_t *)(void *)((char *)at - f->offset + f->n_offset);
		saved = *n;
		*n = (uint32_t)f->max + 1;
		encode_refused(m, body, s, f, -EMSGSIZE);
		*n = saved;
	}
}

Test(wire, encode_refuses)
{
	any_each_message(encode_over);
}

/* The whole has a limit too, since a frame has. */
Test(wire, encode_total)
{
	CLEANUP(buf_fini) struct buf out = { 0 };
	CLEANUP(freep) char *big = any_text(WIRE_raw, 131072, ANY_GREATEST);
	char *items[] = { big, big, big, big, big, big, big, big, NULL };
	struct msg_exec exec = { .container = (char[]){ "c" } };
	struct error err = { 0 };

	exec.process.env = (struct wire_strings){ items, 7 };
	cr_assert(wire_encode(MSG_EXEC, &exec, &out, &err) == 0, "%s", err.text);
	buf_consume(&out, buf_len(&out));
	exec.process.env.count = 8;
	cr_assert(wire_encode(MSG_EXEC, &exec, &out, &err) == -EMSGSIZE);
	cr_assert(str_starts(err.text, "exec: 10") && strstr(err.text, "over 1048576") != NULL);
	cr_assert(buf_len(&out) == 0);
}

Test(wire, encode_odd)
{
	CLEANUP(buf_fini) struct buf out = { 0 };
	struct error err = { 0 };
	uint8_t byte = 0;
	struct buf full = { .data = &byte, .end = SIZE_MAX / 2, .size = SIZE_MAX / 2 };
	struct msg_close close = { 0 };

	cr_assert(wire_encode((enum msg_type)777, NULL, &out, &err) == -EINVAL);
	cr_assert(wire_encode(MSG_NONE, NULL, &out, &err) == -EINVAL);
	cr_assert(buf_len(&out) == 0);
	/* A queue that cannot grow any more. */
	cr_assert(wire_encode(MSG_CLOSE, &close, &full, &err) == -ENOMEM);
	cr_assert(full.end == SIZE_MAX / 2 && err.num == ENOMEM);
	/* Texts that are NULL are empty ones. */
	cr_assert(wire_encode(MSG_CLOSE, &close, &out, &err) == 0);
	wire_free(MSG_CLOSE, NULL);
}

/* --- damaged bytes ---------------------------------------------------------------------------- */

Test(wire, truncated)
{
	size_t n;
	const struct wire_message *all = wire_messages(&n);

	for (size_t i = 0; i < n; i++) {
		CLEANUP(buf_fini) struct buf out = { 0 };
		void *body = any_body(&all[i], ANY_RANDOM), *got;
		struct error err = { 0 };
		enum msg_type type;

		cr_assert(wire_encode(all[i].type, body, &out, &err) == 0);
		for (size_t len = 0; len < buf_len(&out); len++) {
			cr_assert(any_decode(buf_at(&out), len, &type, &got, &err) == -EBADMSG,
				  "%s cut at %zu", all[i].name, len);
			cr_assert(strstr(err.text, "malformed") != NULL);
		}
		cr_assert(buf_append(&out, "\xc0", 1) == 0);
		cr_assert(any_decode(buf_at(&out), buf_len(&out), &type, &got, &err) == -EBADMSG);
		wire_free(all[i].type, body);
	}
}

/* Whatever a damaged message is taken for, it can be encoded and is the same again. */
Test(wire, damaged)
{
	size_t n, taken = 0;
	const struct wire_message *all = wire_messages(&n);

	for (size_t round = 0; round < 600 * n; round++) {
		CLEANUP(buf_fini) struct buf out = { 0 }, again = { 0 };
		const struct wire_message *m = &all[round % n];
		void *body = any_body(m, round % 3 == 0 ? ANY_ZERO : ANY_RANDOM), *got, *second;
		struct error err = { 0 };
		enum msg_type type;

		cr_assert(wire_encode(m->type, body, &out, &err) == 0);
		wire_free(m->type, body);
		for (int damage = rand_r(&any_seed) % 3; damage >= 0; damage--)
			buf_at(&out)[(size_t)rand_r(&any_seed) % buf_len(&out)] =
				(uint8_t)rand_r(&any_seed);
		if (any_decode(buf_at(&out), buf_len(&out), &type, &got, &err) < 0)
			continue;
		taken++;
		cr_assert(wire_encode(type, got, &again, &err) == 0, "%s", err.text);
		cr_assert(any_decode(buf_at(&again), buf_len(&again), &type, &second, &err) == 0,
			  "%s", err.text);
		cr_assert(any_differs(wire_message(type)->body(), got, second) == NULL);
		wire_free(type, got);
		wire_free(type, second);
	}
	cr_assert(taken > 100, "only %zu were taken", taken);
}

/* --- single cases ----------------------------------------------------------------------------- */

static const struct {
	const char *bytes;
	size_t len;
	int r;
	const char *text;
} cases[] = {
#define BYTES(literal) literal, sizeof(literal) - 1
	{ BYTES("\x92\x10\x82\xa6handle\x01\xa6signum\x41"), -ERANGE,
	  "signal.signum: 65 is over 64" },
	{ BYTES("\x92\x10\x82\xa6handle\x01\xa6signum\x40"), 0, "" },
	{ BYTES("\x92\x10\x82\xa6handle\xd0\x01\xa6signum\xd3\0\0\0\0\0\0\0\x40"), 0, "" },
	{ BYTES("\x92\x10\x81\xa6handle\x01"), -EBADMSG, "signal.signum: missing" },
	{ BYTES("\x92\x10\x82\xa6handle\x01\xa6signum\xff"), -EBADMSG,
	  "signal.signum: not an unsigned number" },
	{ BYTES("\x92\x10\x82\xa6handle\x01\x01\x02"), -EBADMSG, "signal: a key is no string" },
	{ BYTES("\x92\x10\x90"), -EBADMSG, "signal: not a map" },
	{ BYTES("\x92\x10\xc0"), -EBADMSG, "signal: not a map" },
	{ BYTES("\x92\x0a\x80"), 0, "" },
	{ BYTES("\x92\xcc\xfa\x80"), -EBADMSG, "there is no message 250" },
	{ BYTES("\x92\xcf\xff\xff\xff\xff\xff\xff\xff\xff\x80"), -EBADMSG,
	  "there is no message 18446744073709551615" },
	{ BYTES("\x92\xff\x80"), -EBADMSG, "a message is not [number, body]" },
	{ BYTES("\x91\x0a"), -EBADMSG, "a message is not [number, body]" },
	{ BYTES("\x93\x0a\x80\x80"), -EBADMSG, "a message is not [number, body]" },
	{ BYTES("\x82\x0a\x80\x0b\x80"), -EBADMSG, "a message is not [number, body]" },
	{ BYTES("\x0a"), -EBADMSG, "a message is not [number, body]" },
	{ BYTES(""), -EBADMSG, "a frame of 0 bytes is malformed" },
	{ BYTES("\x92\x0a\x80\x80"), -EBADMSG, "a frame of 4 bytes is malformed" },
	{ BYTES("\x92\x0a\x81\xa1x\xcb\0\0\0\0\0\0\0\0"), -EBADMSG,
	  "a frame of 14 bytes is malformed" },
#undef BYTES
};

Test(wire, cases)
{
	for (size_t i = 0; i < ARRAY_SIZE(cases); i++) {
		struct error err;
		enum msg_type type = MSG_NONE;
		void *body = &type;
		int r = any_decode(cases[i].bytes, cases[i].len, &type, &body, &err);

		cr_assert(r == cases[i].r, "case %zu: %d %s", i, r, err.text);
		cr_assert_str_eq(err.text, cases[i].text);
		if (r == 0)
			wire_free(type, body);
		else
			cr_assert(type == MSG_NONE && body == &type, "case %zu wrote its result",
				  i);
	}
}

Test(wire, decode_as)
{
	CLEANUP(buf_fini) struct buf out = { 0 };
	struct msg_failed failed = { .errnum = ENOSPC, .text = (char[]){ "the disk is full" } };
	struct error err = { 0 };
	void *body;

	cr_assert(wire_encode(MSG_DONE, NULL, &out, &err) == 0);
	cr_assert(wire_decode_as(MSG_DONE, buf_at(&out), buf_len(&out), &body, &err) == 0);
	wire_free(MSG_DONE, body);
	cr_assert(wire_decode_as(MSG_CREATED, buf_at(&out), buf_len(&out), &body, &err) ==
		  -EBADMSG);
	cr_assert_str_eq(err.text, "DONE came instead of CREATED");
	buf_consume(&out, buf_len(&out));

	cr_assert(wire_encode(MSG_FAILED, &failed, &out, &err) == 0);
	cr_assert(wire_decode_as(MSG_DONE, buf_at(&out), buf_len(&out), &body, &err) == -ENOSPC);
	cr_assert(err.num == ENOSPC);
	cr_assert_str_eq(err.text, "the disk is full");
	cr_assert(wire_decode_as(MSG_FAILED, buf_at(&out), buf_len(&out), &body, &err) == 0);
	wire_free(MSG_FAILED, body);
	cr_assert(wire_decode_as(MSG_DONE, buf_at(&out), 3, &body, &err) == -EBADMSG);
	buf_consume(&out, buf_len(&out));

	failed.errnum = 0; /* an error that is none is still a failure */
	cr_assert(wire_encode(MSG_FAILED, &failed, &out, &err) == 0);
	cr_assert(wire_decode_as(MSG_DONE, buf_at(&out), buf_len(&out), &body, &err) == -EPROTO);
}
