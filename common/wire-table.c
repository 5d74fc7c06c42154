/* protocol.def as tables: descriptors of every struct and message for the codec in wire.c. */
#include "common/cleanup.h"
#include "common/wire.h"

/* Braces are opened and closed by different macros. */
/* clang-format off */
/* One function per struct, so that offsetof() has a short name to work with. */
#define BEGIN(name, doc) \
	static const struct wire_struct *desc_##name(void) \
	{ \
		typedef struct msg_##name self; \
		static const char self_name[] = #name, self_doc[] = doc; \
		static const struct wire_field fields[] = {
#define STRUCT(name, doc) BEGIN(name, doc)
#define MSG(NAME, name, number, from, to, reply, doc) BEGIN(name, doc)
#define FIELD(type, name, need, max, doc) \
	{ #name, doc, WIRE_##type, WIRE_##need, offsetof(self, name), 0, max, 0, NULL },
#define STRINGS(name, items, bytes, doc) \
	{ #name, doc, WIRE_strings, WIRE_OPTIONAL, offsetof(self, name), 0, items, bytes, NULL },
#define NESTED(strct, name, doc) \
	{ #name, doc, WIRE_nested, WIRE_OPTIONAL, offsetof(self, name), 0, 0, 0, desc_##strct },
#define LIST(strct, name, max, doc) \
	{ #name, doc, WIRE_list, WIRE_OPTIONAL, offsetof(self, name), offsetof(self, n_##name), \
	  max, 0, desc_##strct },
#define END \
	{ NULL, NULL, WIRE_u32, WIRE_OPTIONAL, 0, 0, 0, 0, NULL } } \
	; \
	static const struct wire_struct descriptor = { self_name, self_doc, sizeof(self), \
						       fields }; \
	return &descriptor; \
	}
/* clang-format on */
#include "common/protocol.def"
#include "common/protocol-undef.h"

#define STRUCT(name, doc)
#define MSG(NAME, name, number, from, to, reply, doc) \
	{ #NAME, doc, MSG_##NAME, MSG_##reply, PEER_##from, PEER_##to, desc_##name },
#define FIELD(type, name, need, max, doc)
#define STRINGS(name, items, bytes, doc)
#define NESTED(strct, name, doc)
#define LIST(strct, name, max, doc)
#define END
static const struct wire_message messages[] = {
#include "common/protocol.def"
};
#include "common/protocol-undef.h"

const struct wire_message *wire_messages(size_t *ret_count)
{
	*ret_count = ARRAY_SIZE(messages);
	return messages;
}

const struct wire_message *wire_message(int64_t number)
{
	for (size_t i = 0; i < ARRAY_SIZE(messages); i++)
		if (messages[i].type == number)
			return &messages[i];
	return NULL;
}

/* As a switch, so that two messages with one number do not compile. */
const char *wire_name(int64_t number)
{
	switch (number) {
#define STRUCT(name, doc)
#define MSG(NAME, name, number, from, to, reply, doc) \
	case number: \
		return #NAME;
#define FIELD(type, name, need, max, doc)
#define STRINGS(name, items, bytes, doc)
#define NESTED(strct, name, doc)
#define LIST(strct, name, max, doc)
#define END
#include "common/protocol.def"
#include "common/protocol-undef.h"
	default:
		return "UNKNOWN";
	}
}

const struct wire_struct *const *wire_structs(size_t *ret_count)
{
	static const struct wire_struct *structs[64];
	size_t n = 0;

#define STRUCT(name, doc) structs[n++] = desc_##name();
#define MSG(NAME, name, number, from, to, reply, doc)
#define FIELD(type, name, need, max, doc)
#define STRINGS(name, items, bytes, doc)
#define NESTED(strct, name, doc)
#define LIST(strct, name, max, doc)
#define END
#include "common/protocol.def"
#include "common/protocol-undef.h"
	*ret_count = n;
	return structs;
}
