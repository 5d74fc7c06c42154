/*
 * The codec of protocol.def over msgpack: see wire.h. Used by all components on bytes from peers
 * that are not trusted; wire-check.c looks at them first, wire-table.c has the descriptors.
 */
#include "common/wire.h"

#include <errno.h>
#include <msgpack.h>
#include <stdlib.h>
#include <string.h>

#include "common/cleanup.h"
#include "common/str.h"

#define AT(base, offset, type) ((type *)(void *)((char *)(base) + (offset)))
#define AT_CONST(base, offset, type) ((const type *)(const void *)((const char *)(base) + (offset)))

/* Where we are, for error texts: struct.field. */
static int refuse(struct error *err, int num, const struct wire_struct *s,
		  const struct wire_field *f, const char *why)
{
	return error_say(err, num, "%s.%s: %s", s->name, f->name, why);
}

static int over(struct error *err, int num, const struct wire_struct *s, const struct wire_field *f,
		uint64_t value, uint64_t limit, const char *unit)
{
	return error_say(err, num, "%s.%s: %llu%s is over %llu", s->name, f->name,
			 (unsigned long long)value, unit, (unsigned long long)limit);
}

/* --- encoding ------------------------------------------------------------------------------- */

static int pack_struct(msgpack_packer *pk, const struct wire_struct *s, const void *body,
		       struct error *err);

static int pack_text(msgpack_packer *pk, const struct wire_struct *s, const struct wire_field *f,
		     const char *text, uint64_t max, struct error *err)
{
	size_t len = text != NULL ? strlen(text) : 0;

	if (len > max)
		return over(err, EMSGSIZE, s, f, len, max, " bytes");
	if (f->type == WIRE_str && text != NULL && !str_is_utf8(text, len))
		return refuse(err, EBADMSG, s, f, "not UTF-8");
	if (f->type == WIRE_str)
		msgpack_pack_str_with_body(pk, text != NULL ? text : "", len);
	else
		msgpack_pack_bin_with_body(pk, text != NULL ? text : "", len);
	return 0;
}

static int pack_strings(msgpack_packer *pk, const struct wire_struct *s, const struct wire_field *f,
			const struct wire_strings *list, struct error *err)
{
	int r;

	if (list->count > f->max)
		return over(err, EMSGSIZE, s, f, list->count, f->max, " items");
	msgpack_pack_array(pk, list->count);
	for (uint32_t i = 0; i < list->count; i++) {
		r = pack_text(pk, s, f, list->items[i], f->item_max, err);
		if (r < 0)
			return r;
	}
	return 0;
}

static int pack_list(msgpack_packer *pk, const struct wire_struct *s, const struct wire_field *f,
		     const void *body, struct error *err)
{
	uint32_t n = *AT_CONST(body, f->n_offset, uint32_t);
	const char *items = *AT_CONST(body, f->offset, char *);
	const struct wire_struct *element = f->element();
	int r;

	if (n > f->max)
		return over(err, EMSGSIZE, s, f, n, f->max, " items");
	msgpack_pack_array(pk, n);
	for (uint32_t i = 0; i < n; i++) {
		r = pack_struct(pk, element, items + i * element->size, err);
		if (r < 0)
			return r;
	}
	return 0;
}

static int pack_number(msgpack_packer *pk, const struct wire_struct *s, const struct wire_field *f,
		       uint64_t value, struct error *err)
{
	if (value > f->max)
		return over(err, ERANGE, s, f, value, f->max, "");
	msgpack_pack_uint64(pk, value);
	return 0;
}

static int under(struct error *err, const struct wire_struct *s, const struct wire_field *f,
		 int64_t value)
{
	return error_say(err, ERANGE, "%s.%s: %lld is under -%llu", s->name, f->name,
			 (long long)value, (unsigned long long)f->max);
}

static int pack_signed(msgpack_packer *pk, const struct wire_struct *s, const struct wire_field *f,
		       int64_t value, struct error *err)
{
	if (value > (int64_t)f->max)
		return over(err, ERANGE, s, f, (uint64_t)value, f->max, "");
	if (value < -(int64_t)f->max)
		return under(err, s, f, value);
	msgpack_pack_int64(pk, value);
	return 0;
}

static int pack_field(msgpack_packer *pk, const struct wire_struct *s, const struct wire_field *f,
		      const void *body, struct error *err)
{
	switch (f->type) {
	case WIRE_u32:
		return pack_number(pk, s, f, *AT_CONST(body, f->offset, uint32_t), err);
	case WIRE_u64:
		return pack_number(pk, s, f, *AT_CONST(body, f->offset, uint64_t), err);
	case WIRE_i32:
		return pack_signed(pk, s, f, *AT_CONST(body, f->offset, int32_t), err);
	case WIRE_bool:
		if (*AT_CONST(body, f->offset, bool))
			msgpack_pack_true(pk);
		else
			msgpack_pack_false(pk);
		return 0;
	case WIRE_str:
	case WIRE_raw:
		return pack_text(pk, s, f, *AT_CONST(body, f->offset, char *), f->max, err);
	case WIRE_bin: {
		const struct wire_bin *bin = AT_CONST(body, f->offset, struct wire_bin);

		if (bin->len > f->max)
			return over(err, EMSGSIZE, s, f, bin->len, f->max, " bytes");
		msgpack_pack_bin_with_body(pk, bin->data, bin->len);
		return 0;
	}
	case WIRE_strings:
		return pack_strings(pk, s, f, AT_CONST(body, f->offset, struct wire_strings), err);
	case WIRE_nested:
		return pack_struct(pk, f->element(), (const char *)body + f->offset, err);
	case WIRE_list:
		return pack_list(pk, s, f, body, err);
	}
	return refuse(err, EINVAL, s, f, "bad table");
}

static int pack_struct(msgpack_packer *pk, const struct wire_struct *s, const void *body,
		       struct error *err)
{
	size_t n = 0;
	int r;

	for (const struct wire_field *f = s->fields; f->name != NULL; f++)
		n++;
	msgpack_pack_map(pk, n);
	for (const struct wire_field *f = s->fields; f->name != NULL; f++) {
		msgpack_pack_str_with_body(pk, f->name, strlen(f->name));
		r = pack_field(pk, s, f, body, err);
		if (r < 0)
			return r;
	}
	return 0;
}

/* Where the packer writes; a failed append is remembered, since the packer's callers go on. */
struct sink {
	struct buf *out;
	int error;
};

static int write_sink(void *data, const char *bytes, size_t len)
{
	struct sink *sink = data;

	if (sink->error == 0)
		sink->error = buf_append(sink->out, bytes, len);
	return sink->error;
}

int wire_encode(enum msg_type type, const void *body, struct buf *out, struct error *err)
{
	const struct wire_message *m = wire_message(type);
	CLEANUP(freep) void *zero = NULL;
	struct sink sink = { .out = out };
	size_t before = buf_len(out);
	msgpack_packer pk;
	int r;

	if (m == NULL)
		return error_say(err, EINVAL, "there is no message %d", type);
	if (body == NULL) {
		zero = calloc(1, m->body()->size + 1);
		if (zero == NULL)
			return error_set(err, ENOMEM, "encode %s", m->name);
		body = zero;
	}
	msgpack_packer_init(&pk, &sink, write_sink);
	msgpack_pack_array(&pk, 2);
	msgpack_pack_int64(&pk, type);
	r = pack_struct(&pk, m->body(), body, err);
	if (r == 0 && sink.error < 0)
		r = error_set(err, ENOMEM, "encode %s", m->name);
	if (r == 0 && buf_len(out) - before > WIRE_MAX)
		r = error_say(err, EMSGSIZE, "%s: %zu bytes are over %d", m->body()->name,
			      buf_len(out) - before, WIRE_MAX);
	if (r < 0)
		out->end = out->start + before;
	return r;
}

/* --- decoding ------------------------------------------------------------------------------- */

static void free_strings(struct wire_strings *list)
{
	for (uint32_t i = 0; list->items != NULL && i < list->count; i++)
		free(list->items[i]);
	free(list->items);
}

static void free_struct(const struct wire_struct *s, void *body)
{
	for (const struct wire_field *f = s->fields; f->name != NULL; f++) {
		if (f->type == WIRE_str || f->type == WIRE_raw) {
			free(*AT(body, f->offset, char *));
		} else if (f->type == WIRE_bin) {
			free(AT(body, f->offset, struct wire_bin)->data);
		} else if (f->type == WIRE_strings) {
			free_strings(AT(body, f->offset, struct wire_strings));
		} else if (f->type == WIRE_nested) {
			free_struct(f->element(), (char *)body + f->offset);
		} else if (f->type == WIRE_list) {
			char *items = *AT(body, f->offset, char *);
			const struct wire_struct *element = f->element();

			for (uint32_t i = 0; items != NULL && i < *AT(body, f->n_offset, uint32_t);
			     i++)
				free_struct(element, items + i * element->size);
			free(items);
		}
	}
}

static int unpack_struct(const struct wire_struct *s, const msgpack_object *o, void *body,
			 struct error *err);

static int unpack_number(const struct wire_struct *s, const struct wire_field *f,
			 const msgpack_object *v, uint64_t *ret_value, struct error *err)
{
	if (v->type != MSGPACK_OBJECT_POSITIVE_INTEGER)
		return refuse(err, EBADMSG, s, f, "not an unsigned number");
	if (v->via.u64 > f->max)
		return over(err, ERANGE, s, f, v->via.u64, f->max, "");
	*ret_value = v->via.u64;
	return 0;
}

static int unpack_signed(const struct wire_struct *s, const struct wire_field *f,
			 const msgpack_object *v, int32_t *ret_value, struct error *err)
{
	int64_t limit = (int64_t)f->max;

	if (v->type != MSGPACK_OBJECT_POSITIVE_INTEGER &&
	    v->type != MSGPACK_OBJECT_NEGATIVE_INTEGER)
		return refuse(err, EBADMSG, s, f, "not a number");
	if (v->type == MSGPACK_OBJECT_POSITIVE_INTEGER && v->via.u64 > f->max)
		return over(err, ERANGE, s, f, v->via.u64, f->max, "");
	if (v->via.i64 < -limit)
		return under(err, s, f, v->via.i64);
	*ret_value = (int32_t)v->via.i64;
	return 0;
}

static int unpack_text(const struct wire_struct *s, const struct wire_field *f,
		       const msgpack_object *v, uint64_t max, char **ret_text, struct error *err)
{
	const char *data;
	uint32_t len;

	if (v->type == MSGPACK_OBJECT_STR) {
		data = v->via.str.ptr;
		len = v->via.str.size;
	} else if (v->type == MSGPACK_OBJECT_BIN && f->type != WIRE_str) {
		data = v->via.bin.ptr;
		len = v->via.bin.size;
	} else {
		return refuse(err, EBADMSG, s, f, "not a string");
	}
	if (len > max)
		return over(err, EMSGSIZE, s, f, len, max, " bytes");
	if (memchr(data, 0, len) != NULL)
		return refuse(err, EBADMSG, s, f, "holds a zero byte");
	if (f->type == WIRE_str && !str_is_utf8(data, len))
		return refuse(err, EBADMSG, s, f, "not UTF-8");
	*ret_text = strndup(data, len);
	return *ret_text != NULL ? 0 : error_set(err, ENOMEM, "%s.%s", s->name, f->name);
}

static int unpack_bin(const struct wire_struct *s, const struct wire_field *f,
		      const msgpack_object *v, struct wire_bin *ret_bin, struct error *err)
{
	if (v->type != MSGPACK_OBJECT_BIN)
		return refuse(err, EBADMSG, s, f, "not bytes");
	if (v->via.bin.size > f->max)
		return over(err, EMSGSIZE, s, f, v->via.bin.size, f->max, " bytes");
	ret_bin->data = malloc(v->via.bin.size + 1);
	if (ret_bin->data == NULL)
		return error_set(err, ENOMEM, "%s.%s", s->name, f->name);
	memcpy(ret_bin->data, v->via.bin.ptr, v->via.bin.size);
	ret_bin->len = v->via.bin.size;
	return 0;
}

static int check_array(const struct wire_struct *s, const struct wire_field *f,
		       const msgpack_object *v, struct error *err)
{
	if (v->type != MSGPACK_OBJECT_ARRAY)
		return refuse(err, EBADMSG, s, f, "not a list");
	if (v->via.array.size > f->max)
		return over(err, EMSGSIZE, s, f, v->via.array.size, f->max, " items");
	return 0;
}

static int unpack_strings(const struct wire_struct *s, const struct wire_field *f,
			  const msgpack_object *v, struct wire_strings *list, struct error *err)
{
	int r = check_array(s, f, v, err);

	if (r < 0)
		return r;
	list->items = calloc((size_t)v->via.array.size + 1, sizeof(char *));
	if (list->items == NULL)
		return error_set(err, ENOMEM, "%s.%s", s->name, f->name);
	list->count = v->via.array.size;
	for (uint32_t i = 0; i < list->count && r == 0; i++)
		r = unpack_text(s, f, &v->via.array.ptr[i], f->item_max, &list->items[i], err);
	return r;
}

static int unpack_list(const struct wire_struct *s, const struct wire_field *f,
		       const msgpack_object *v, void *body, struct error *err)
{
	const struct wire_struct *element = f->element();
	int r = check_array(s, f, v, err);
	char *items;

	if (r < 0)
		return r;
	items = calloc((size_t)v->via.array.size + 1, element->size);
	if (items == NULL)
		return error_set(err, ENOMEM, "%s.%s", s->name, f->name);
	*AT(body, f->offset, char *) = items;
	*AT(body, f->n_offset, uint32_t) = v->via.array.size;
	for (uint32_t i = 0; i < v->via.array.size && r == 0; i++)
		r = unpack_struct(element, &v->via.array.ptr[i], items + i * element->size, err);
	return r;
}

static int unpack_field(const struct wire_struct *s, const struct wire_field *f,
			const msgpack_object *v, void *body, struct error *err)
{
	uint64_t number = 0;
	int r;

	switch (f->type) {
	case WIRE_u32:
	case WIRE_u64:
		r = unpack_number(s, f, v, &number, err);
		if (r == 0 && f->type == WIRE_u32)
			*AT(body, f->offset, uint32_t) = (uint32_t)number;
		else if (r == 0)
			*AT(body, f->offset, uint64_t) = number;
		return r;
	case WIRE_i32:
		return unpack_signed(s, f, v, AT(body, f->offset, int32_t), err);
	case WIRE_bool:
		if (v->type != MSGPACK_OBJECT_BOOLEAN)
			return refuse(err, EBADMSG, s, f, "not a boolean");
		*AT(body, f->offset, bool) = v->via.boolean;
		return 0;
	case WIRE_str:
	case WIRE_raw:
		return unpack_text(s, f, v, f->max, AT(body, f->offset, char *), err);
	case WIRE_bin:
		return unpack_bin(s, f, v, AT(body, f->offset, struct wire_bin), err);
	case WIRE_strings:
		return unpack_strings(s, f, v, AT(body, f->offset, struct wire_strings), err);
	case WIRE_nested:
		return unpack_struct(f->element(), v, (char *)body + f->offset, err);
	case WIRE_list:
		return unpack_list(s, f, v, body, err);
	}
	return refuse(err, EINVAL, s, f, "bad table");
}

/* The row a key names, NULL when we do not know it; *ret_bit is its place. */
static const struct wire_field *find_field(const struct wire_struct *s,
					   const msgpack_object_str *key, unsigned *ret_bit)
{
	*ret_bit = 0;
	for (const struct wire_field *f = s->fields; f->name != NULL; f++, (*ret_bit)++)
		if (strlen(f->name) == key->size && memcmp(f->name, key->ptr, key->size) == 0)
			return f;
	return NULL;
}

/* A text or list of texts that was not sent is an empty one, so that no handler meets NULL. */
static int fill_absent(const struct wire_struct *s, void *body, uint64_t seen, struct error *err)
{
	unsigned bit = 0;

	for (const struct wire_field *f = s->fields; f->name != NULL; f++, bit++) {
		if (seen & (UINT64_C(1) << bit))
			continue;
		if (f->need == WIRE_REQUIRED)
			return refuse(err, EBADMSG, s, f, "missing");
		if (f->type == WIRE_str || f->type == WIRE_raw) {
			char **text = AT(body, f->offset, char *);

			*text = calloc(1, 1);
			if (*text == NULL)
				return error_set(err, ENOMEM, "%s.%s", s->name, f->name);
		} else if (f->type == WIRE_strings) {
			char ***items = &AT(body, f->offset, struct wire_strings)->items;

			*items = calloc(1, sizeof(char *));
			if (*items == NULL)
				return error_set(err, ENOMEM, "%s.%s", s->name, f->name);
		} else if (f->type == WIRE_nested) {
			msgpack_object empty = { .type = MSGPACK_OBJECT_MAP };
			int r = unpack_struct(f->element(), &empty, (char *)body + f->offset, err);

			if (r < 0)
				return r;
		}
	}
	return 0;
}

static int unpack_struct(const struct wire_struct *s, const msgpack_object *o, void *body,
			 struct error *err)
{
	uint64_t seen = 0;
	unsigned bit;
	int r;

	if (o->type != MSGPACK_OBJECT_MAP)
		return error_say(err, EBADMSG, "%s: not a map", s->name);
	for (uint32_t i = 0; i < o->via.map.size; i++) {
		const msgpack_object *key = &o->via.map.ptr[i].key;
		const msgpack_object *v = &o->via.map.ptr[i].val;
		const struct wire_field *f;

		if (key->type != MSGPACK_OBJECT_STR)
			return error_say(err, EBADMSG, "%s: a key is no string", s->name);
		f = find_field(s, &key->via.str, &bit);
		if (f == NULL)
			continue; /* the peer may be newer */
		if (seen & (UINT64_C(1) << bit))
			return refuse(err, EBADMSG, s, f, "given twice");
		if (v->type == MSGPACK_OBJECT_NIL && f->need == WIRE_OPTIONAL)
			continue;
		seen |= UINT64_C(1) << bit;
		r = unpack_field(s, f, v, body, err);
		if (r < 0)
			return r;
	}
	return fill_absent(s, body, seen, err);
}

static int unpack_message(const msgpack_object *o, enum msg_type *ret_type, void **ret_body,
			  struct error *err)
{
	const struct wire_message *m;
	void *body;
	int r;

	if (o->type != MSGPACK_OBJECT_ARRAY || o->via.array.size != 2 ||
	    o->via.array.ptr[0].type != MSGPACK_OBJECT_POSITIVE_INTEGER)
		return error_say(err, EBADMSG, "a message is not [number, body]");
	m = o->via.array.ptr[0].via.u64 > INT32_MAX
		    ? NULL
		    : wire_message((int64_t)o->via.array.ptr[0].via.u64);
	if (m == NULL)
		return error_say(err, EBADMSG, "there is no message %llu",
				 (unsigned long long)o->via.array.ptr[0].via.u64);
	body = calloc(1, m->body()->size + 1);
	if (body == NULL)
		return error_set(err, ENOMEM, "decode %s", m->name);
	r = unpack_struct(m->body(), &o->via.array.ptr[1], body, err);
	if (r < 0) {
		wire_free(m->type, body);
		return r;
	}
	*ret_type = m->type;
	*ret_body = body;
	return 0;
}

int wire_decode(const void *data, size_t len, enum msg_type *ret_type, void **ret_body,
		struct error *err)
{
	msgpack_unpacked unpacked;
	size_t offset = 0;
	int r;

	if (wire_check(data, len) < 0)
		return error_say(err, EBADMSG, "a frame of %zu bytes is malformed", len);
	msgpack_unpacked_init(&unpacked);
	if (msgpack_unpack_next(&unpacked, data, len, &offset) != MSGPACK_UNPACK_SUCCESS ||
	    offset != len)
		r = error_say(err, EBADMSG, "a frame of %zu bytes is malformed", len);
	else
		r = unpack_message(&unpacked.data, ret_type, ret_body, err);
	msgpack_unpacked_destroy(&unpacked);
	return r;
}

int wire_decode_as(enum msg_type type, const void *data, size_t len, void **ret_body,
		   struct error *err)
{
	enum msg_type got;
	void *body;
	int r = wire_decode(data, len, &got, &body, err);

	if (r < 0)
		return r;
	if (got == type) {
		*ret_body = body;
		return 0;
	}
	if (got == MSG_FAILED) {
		const struct msg_failed *failed = body;

		r = error_say(err, failed->errnum != 0 ? (int)failed->errnum : EPROTO, "%s",
			      failed->text);
	} else {
		r = error_say(err, EBADMSG, "%s came instead of %s", wire_name(got),
			      wire_name(type));
	}
	wire_free(got, body);
	return r;
}

void wire_free(enum msg_type type, void *body)
{
	const struct wire_message *m = wire_message(type);

	if (m != NULL && body != NULL)
		free_struct(m->body(), body);
	free(body);
}
