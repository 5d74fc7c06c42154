/*
 * Bodies of any message, made and compared through the table's descriptors, so that a message is
 * tested by being in the table. Included by test-wire.c and test-wire-twist.c.
 */
#ifndef KATA_TEST_WIRE_ANY_H
#define KATA_TEST_WIRE_ANY_H

#include <criterion/criterion.h>
#include <stdbool.h>
#include <stdlib.h>
#include <string.h>

#include "common/wire.h"

/* What the fields hold: nothing, any allowed value or the greatest. Lists get an item each. */
enum any { ANY_ZERO, ANY_RANDOM, ANY_GREATEST };

#define ANY_AT(base, f, type) ((type *)(void *)((char *)(base) + (f)->offset))

static unsigned any_seed = 1;

static inline uint64_t any_number(void)
{
	uint64_t n = (uint64_t)rand_r(&any_seed) << 42 ^ (uint64_t)rand_r(&any_seed) << 21 ^
		     (uint64_t)rand_r(&any_seed);

	return n >> rand_r(&any_seed) % 64; /* each length as often as the next */
}

/* A text of the type's kind: UTF-8 for str, any byte but zero for raw. */
static inline char *any_text(enum wire_type type, uint64_t max, enum any how)
{
	size_t len = how == ANY_ZERO ? 0 : max, i = 0;
	char *text;

	if (how == ANY_RANDOM)
		len = (size_t)rand_r(&any_seed) % ((max < 40 ? max : 40) + 1);
	text = calloc(1, len + 1);
	if (text == NULL)
		abort();
	if (type == WIRE_str)
		for (; i + 3 <= len; i += 3)
			memcpy(text + i, "\xe2\x82\xac", 3);
	for (; i < len; i++)
		text[i] = (char)(type == WIRE_str ? 'a' : 1 + rand_r(&any_seed) % 255);
	return text;
}

static inline void any_fill(const struct wire_struct *s, void *body, enum any how);

static inline void any_strings(const struct wire_field *f, struct wire_strings *list, enum any how)
{
	list->count = how == ANY_RANDOM ? 3 : 1;
	list->items = calloc(list->count + 1, sizeof(char *));
	if (list->items == NULL)
		abort();
	for (uint32_t i = 0; i < list->count; i++)
		list->items[i] = any_text(WIRE_strings, f->item_max, how);
}

static inline void any_bin(const struct wire_field *f, struct wire_bin *bin, enum any how)
{
	bin->len = how == ANY_ZERO ? 0 : (uint32_t)f->max;
	bin->data = calloc(1, bin->len + 1);
	if (bin->data == NULL)
		abort();
	for (uint32_t i = 0; i < bin->len; i++)
		bin->data[i] = (uint8_t)rand_r(&any_seed);
}

static inline void any_list(const struct wire_field *f, void *body, enum any how)
{
	const struct wire_struct *element = f->element();
	uint32_t n = how == ANY_RANDOM ? 2 : 1;
	char *items = calloc(n, element->size);

	if (items == NULL)
		abort();
	for (uint32_t i = 0; i < n; i++)
		any_fill(element, items + i * element->size, how);
	*ANY_AT(body, f, char *) = items;
	*(uint32_t *)(void *)((char *)body + f->n_offset) = n;
}

static inline void any_fill(const struct wire_struct *s, void *body, enum any how)
{
	for (const struct wire_field *f = s->fields; f->name != NULL; f++) {
		uint64_t n = how == ANY_ZERO ? 0 : how == ANY_GREATEST ? f->max : any_number();

		n = n > f->max ? n % (f->max + 1) : n;
		switch (f->type) {
		case WIRE_u32:
			*ANY_AT(body, f, uint32_t) = (uint32_t)n;
			break;
		case WIRE_u64:
			*ANY_AT(body, f, uint64_t) = n;
			break;
		case WIRE_i32:
			*ANY_AT(body, f, int32_t) = n % 2 ? (int32_t)n : -(int32_t)n;
			break;
		case WIRE_bool:
			*ANY_AT(body, f, bool) = n & 1;
			break;
		case WIRE_str:
		case WIRE_raw:
			*ANY_AT(body, f, char *) = any_text(f->type, f->max, how);
			break;
		case WIRE_bin:
			any_bin(f, ANY_AT(body, f, struct wire_bin), how);
			break;
		case WIRE_strings:
			any_strings(f, ANY_AT(body, f, struct wire_strings), how);
			break;
		case WIRE_nested:
			any_fill(f->element(), (char *)body + f->offset, how);
			break;
		case WIRE_list:
			any_list(f, body, how);
			break;
		}
	}
}

/* A new body; wire_free() frees it. */
static inline void *any_body(const struct wire_message *m, enum any how)
{
	void *body = calloc(1, m->body()->size + 1);

	if (body == NULL)
		abort();
	any_fill(m->body(), body, how);
	return body;
}

/* The first field that differs, or NULL. */
static inline const struct wire_field *any_differs(const struct wire_struct *s, const void *a,
						   const void *b);

static inline bool any_lists_differ(const struct wire_field *f, const void *a, const void *b)
{
	const struct wire_struct *element = f->element();
	uint32_t n = *(const uint32_t *)(const void *)((const char *)a + f->n_offset);
	const char *x = *ANY_AT(a, f, char *), *y = *ANY_AT(b, f, char *);

	if (n != *(const uint32_t *)(const void *)((const char *)b + f->n_offset))
		return true;
	for (uint32_t i = 0; i < n; i++)
		if (any_differs(element, x + i * element->size, y + i * element->size) != NULL)
			return true;
	return false;
}

static inline bool any_strings_differ(const struct wire_strings *x, const struct wire_strings *y)
{
	if (x->count != y->count || y->items == NULL || y->items[y->count] != NULL)
		return true;
	for (uint32_t i = 0; i < x->count; i++)
		if (strcmp(x->items[i], y->items[i]) != 0)
			return true;
	return false;
}

static inline const struct wire_field *any_differs(const struct wire_struct *s, const void *a,
						   const void *b)
{
	for (const struct wire_field *f = s->fields; f->name != NULL; f++) {
		const struct wire_bin *x = ANY_AT(a, f, struct wire_bin),
				      *y = ANY_AT(b, f, struct wire_bin);
		const char *in_a = (const char *)a + f->offset, *in_b = (const char *)b + f->offset;
		bool differs = false;

		if (f->type == WIRE_u32 || f->type == WIRE_i32)
			differs = memcmp(in_a, in_b, 4) != 0;
		else if (f->type == WIRE_u64)
			differs = memcmp(in_a, in_b, 8) != 0;
		else if (f->type == WIRE_bool)
			differs = *ANY_AT(a, f, bool) != *ANY_AT(b, f, bool);
		else if (f->type == WIRE_str || f->type == WIRE_raw)
			differs = strcmp(*ANY_AT(a, f, char *), *ANY_AT(b, f, char *)) != 0;
		else if (f->type == WIRE_bin)
			differs = x->len != y->len ||
				  (x->len > 0 && memcmp(x->data, y->data, x->len) != 0);
		else if (f->type == WIRE_strings)
			differs = any_strings_differ(ANY_AT(a, f, struct wire_strings),
						     ANY_AT(b, f, struct wire_strings));
		else if (f->type == WIRE_nested)
			differs = any_differs(f->element(), in_a, in_b) != NULL;
		else
			differs = any_lists_differ(f, a, b);
		if (differs)
			return f;
	}
	return NULL;
}

/* Decodes a copy that ends where the memory does, so that a sanitizer sees a byte too far. */
static inline int any_decode(const void *data, size_t len, enum msg_type *ret_type, void **ret_body,
			     struct error *err)
{
	uint8_t *copy = malloc(len > 0 ? len : 1);
	int r;

	cr_assert(copy != NULL);
	if (len > 0)
		memcpy(copy, data, len);
	*err = (struct error){ 0 };
	r = wire_decode(copy, len, ret_type, ret_body, err);
	free(copy);
	return r;
}

/* Called for a field of a body, in whatever list or struct it lies. */
typedef void any_visit(const struct wire_message *m, void *body, const struct wire_struct *s,
		       const struct wire_field *f, void *at);

static inline void any_each_field(const struct wire_message *m, void *body,
				  const struct wire_struct *s, void *base, any_visit *call)
{
	for (const struct wire_field *f = s->fields; f->name != NULL; f++) {
		void *at = (char *)base + f->offset;

		call(m, body, s, f, at);
		if (f->type == WIRE_nested)
			any_each_field(m, body, f->element(), at, call);
		else if (f->type == WIRE_list)
			any_each_field(m, body, f->element(), *(void **)at, call);
	}
}

static inline void any_each_message(any_visit *call)
{
	size_t n;
	const struct wire_message *all = wire_messages(&n);

	for (size_t i = 0; i < n; i++) {
		void *body = any_body(&all[i], ANY_ZERO);

		any_each_field(&all[i], body, all[i].body(), body, call);
		wire_free(all[i].type, body);
	}
}

#endif
