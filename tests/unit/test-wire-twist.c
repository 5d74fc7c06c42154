/*
 * common/wire.c against a peer that twists one field of a message: leaves it out, repeats it, gives
 * it another type or too much. The bytes come from an encoder of the test's own without limits.
 */
#include <criterion/criterion.h>
#include <errno.h>
#include <msgpack.h>

#include "common/str.h"
#include "common/wire.h"
#include "tests/unit/wire-any.h"

enum twist {
	TWIST_NONE,
	TWIST_OMIT,
	TWIST_TWICE,
	TWIST_BESIDE, /* an unknown key before it */
	TWIST_NIL,
	TWIST_BOOL,
	TWIST_NUMBER,
	TWIST_NEGATIVE,
	TWIST_TEXT,
	TWIST_BYTES,
	TWIST_ARRAY,
	TWIST_MAP,
	TWIST_OVER,
	TWIST_UNDER,
	TWIST_ITEM_OVER,
	TWIST_ZERO_BYTE,
	TWIST_NOT_UTF8,
	TWIST_COUNT,
};

static const struct wire_field *twisted;
static enum twist twist;

static void weave(msgpack_packer *pk, const struct wire_struct *s, const void *body);

static void weave_bytes(msgpack_packer *pk, size_t n)
{
	char *bytes = calloc(1, n);

	cr_assert(bytes != NULL);
	memset(bytes, 'b', n);
	msgpack_pack_bin_with_body(pk, bytes, n);
	free(bytes);
}

static void weave_over(msgpack_packer *pk, const struct wire_field *f)
{
	if (f->type == WIRE_str) {
		char *text = any_text(WIRE_str, f->max + 1, ANY_GREATEST);

		msgpack_pack_str_with_body(pk, text, f->max + 1);
		free(text);
	} else if (f->type == WIRE_raw || f->type == WIRE_bin) {
		weave_bytes(pk, f->max + 1);
	} else if (f->type == WIRE_strings || f->type == WIRE_list) {
		msgpack_pack_array(pk, f->max + 1);
		for (uint64_t i = 0; i <= f->max; i++)
			msgpack_pack_map(pk, 0);
	} else {
		msgpack_pack_uint64(pk, f->max + 1);
	}
}

/* The twisted field's value; false when the twist leaves the value as it is. */
static bool weave_twisted(msgpack_packer *pk, const struct wire_field *f)
{
	bool text = f->type != WIRE_bin;

	if (twist == TWIST_NIL)
		msgpack_pack_nil(pk);
	else if (twist == TWIST_BOOL)
		msgpack_pack_true(pk);
	else if (twist == TWIST_NUMBER)
		msgpack_pack_uint64(pk, 1);
	else if (twist == TWIST_NEGATIVE)
		msgpack_pack_int64(pk, -1);
	else if (twist == TWIST_TEXT)
		msgpack_pack_str_with_body(pk, "c", 1);
	else if (twist == TWIST_BYTES)
		msgpack_pack_bin_with_body(pk, "c", 1);
	else if (twist == TWIST_ARRAY)
		msgpack_pack_array(pk, 0);
	else if (twist == TWIST_MAP)
		msgpack_pack_map(pk, 0);
	else if (twist == TWIST_OVER)
		weave_over(pk, f);
	else if (twist == TWIST_UNDER)
		msgpack_pack_int64(pk, -(int64_t)f->max - 1);
	else if (twist == TWIST_ITEM_OVER || twist == TWIST_ZERO_BYTE || twist == TWIST_NOT_UTF8) {
		if (f->type == WIRE_strings)
			msgpack_pack_array(pk, 1);
		if (twist == TWIST_ITEM_OVER)
			weave_bytes(pk, f->item_max + 1);
		else if (text)
			msgpack_pack_str_with_body(pk, twist == TWIST_ZERO_BYTE ? "\0" : "\xff", 1);
		else
			msgpack_pack_bin_with_body(pk, "\0", 1);
	} else
		return false;
	return true;
}

static void weave_field(msgpack_packer *pk, const struct wire_field *f, const void *body)
{
	const void *at = (const char *)body + f->offset;

	msgpack_pack_str_with_body(pk, f->name, strlen(f->name));
	if (f == twisted && weave_twisted(pk, f))
		return;
	if (f->type == WIRE_bool)
		msgpack_pack_false(pk);
	else if (f->type == WIRE_str || f->type == WIRE_raw)
		msgpack_pack_str_with_body(pk, "", 0);
	else if (f->type == WIRE_bin)
		msgpack_pack_bin_with_body(pk, "", 0);
	else if (f->type == WIRE_strings)
		msgpack_pack_array(pk, 0);
	else if (f->type == WIRE_nested)
		weave(pk, f->element(), at);
	else if (f->type == WIRE_list) {
		msgpack_pack_array(pk, 1);
		weave(pk, f->element(), *(const void *const *)at);
	} else
		msgpack_pack_uint64(pk, 0);
}

static void weave(msgpack_packer *pk, const struct wire_struct *s, const void *body)
{
	size_t n = 0;

	for (const struct wire_field *f = s->fields; f->name != NULL; f++)
		n += f != twisted            ? 1
		     : twist == TWIST_OMIT   ? 0
		     : twist == TWIST_TWICE  ? 2
		     : twist == TWIST_BESIDE ? 4
					     : 1;
	msgpack_pack_map(pk, n);
	for (const struct wire_field *f = s->fields; f->name != NULL; f++) {
		if (f == twisted && twist == TWIST_OMIT)
			continue;
		if (f == twisted && twist == TWIST_BESIDE) {
			msgpack_pack_str_with_body(pk, "", 0);
			msgpack_pack_map(pk, 1);
			msgpack_pack_nil(pk); /* a key that is no string, where nobody looks */
			msgpack_pack_nil(pk);
			msgpack_pack_str_with_body(pk, f->name, strlen(f->name) - 1);
			msgpack_pack_true(pk);
			msgpack_pack_str_with_body(pk, "in_next_version", 15);
			msgpack_pack_array(pk, 0);
		}
		weave_field(pk, f, body);
		if (f == twisted && twist == TWIST_TWICE)
			weave_field(pk, f, body);
	}
}

static bool has_required(const struct wire_struct *s)
{
	for (const struct wire_field *f = s->fields; f->name != NULL; f++)
		if (f->need == WIRE_REQUIRED ||
		    (f->type == WIRE_nested && has_required(f->element())))
			return true;
	return false;
}

/* What must come of it: 0 or an errno; 1: the case makes no sense for this field. */
static int expected(const struct wire_field *f)
{
	bool number = f->type == WIRE_u32 || f->type == WIRE_u64 || f->type == WIRE_i32;
	bool text = f->type == WIRE_str || f->type == WIRE_raw;
	bool list = f->type == WIRE_strings || f->type == WIRE_list;
	bool empty = f->type == WIRE_nested && !has_required(f->element());

	switch (twist) {
	case TWIST_OMIT:
	case TWIST_NIL:
		return f->need == WIRE_OPTIONAL && (f->type != WIRE_nested || empty) ? 0 : EBADMSG;
	case TWIST_TWICE:
		return EBADMSG;
	case TWIST_BOOL:
		return f->type == WIRE_bool ? 0 : EBADMSG;
	case TWIST_NUMBER:
		return number ? 0 : EBADMSG;
	case TWIST_NEGATIVE:
		return f->type == WIRE_i32 ? 0 : EBADMSG;
	case TWIST_TEXT:
		return text ? 0 : EBADMSG;
	case TWIST_BYTES:
		return f->type == WIRE_raw || f->type == WIRE_bin ? 0 : EBADMSG;
	case TWIST_ARRAY:
		return list ? 0 : EBADMSG;
	case TWIST_MAP:
		return empty ? 0 : EBADMSG;
	case TWIST_OVER:
		return f->type == WIRE_bool || f->type == WIRE_nested || f->max == UINT64_MAX ? 1
		       : number ? ERANGE
				: EMSGSIZE;
	case TWIST_UNDER:
		return f->type == WIRE_i32 ? ERANGE : 1;
	case TWIST_ITEM_OVER:
		return f->type == WIRE_strings ? EMSGSIZE : 1;
	case TWIST_ZERO_BYTE:
		return f->type == WIRE_bin ? 0 : text || f->type == WIRE_strings ? EBADMSG : 1;
	case TWIST_NOT_UTF8:
		return f->type == WIRE_str                              ? EBADMSG
		       : f->type == WIRE_raw || f->type == WIRE_strings ? 0
									: 1;
	default: /* none, beside */
		return 0;
	}
}

static void decode_twisted(const struct wire_message *m, void *body, const struct wire_struct *s,
			   const struct wire_field *f, void *at)
{
	(void)at;
	twisted = f;
	for (twist = 0; twist < TWIST_COUNT; twist++) {
		int want = expected(f), r;
		msgpack_sbuffer out;
		msgpack_packer pk;
		enum msg_type type;
		struct error err;
		char place[128];
		void *got;

		if (want == 1)
			continue;
		msgpack_sbuffer_init(&out);
		msgpack_packer_init(&pk, &out, msgpack_sbuffer_write);
		msgpack_pack_array(&pk, 2);
		msgpack_pack_int64(&pk, m->type);
		weave(&pk, m->body(), body);
		r = any_decode(out.data, out.size, &type, &got, &err);
		cr_assert(r == -want, "%s: %s.%s, twist %d: %d %s", m->name, s->name, f->name,
			  twist, r, err.text);
		str_format(place, sizeof(place), "%s.%s: ", s->name, f->name);
		if (r == 0)
			wire_free(type, got);
		else if (f->type != WIRE_nested)
			cr_assert(err.num == want && str_starts(err.text, place), "%s", err.text);
		msgpack_sbuffer_destroy(&out);
	}
}

Test(wire, decode_twisted_fields)
{
	any_each_message(decode_twisted);
}
