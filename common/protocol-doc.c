/* Prints docs/protocol.md from the tables of protocol.def. Run by the build and by lint. */
#include <inttypes.h>
#include <stdio.h>

#include "common/frame.h"
#include "common/wire.h"

static const char *const types[] = { "u32", "u64", "i32",     "bool",   "str",
				     "raw", "bin", "strings", "nested", "list" };
static const char *const peers[] = { "any", "client", "runtime", "shim", "proxy", "agent" };

static void print_limit(const struct wire_field *f)
{
	if (f->type == WIRE_strings)
		printf("%" PRIu64 " items of %" PRIu64 " bytes", f->max, f->item_max);
	else if (f->type == WIRE_list)
		printf("%" PRIu64 " items", f->max);
	else if (f->type == WIRE_str || f->type == WIRE_raw || f->type == WIRE_bin)
		printf("%" PRIu64 " bytes", f->max);
	else if (f->type != WIRE_nested && f->type != WIRE_bool)
		printf("%" PRIu64, f->max);
}

static void print_fields(const struct wire_struct *s)
{
	if (s->fields[0].name == NULL) {
		printf("No fields.\n");
		return;
	}
	printf("| field | type | needed | limit | meaning |\n|---|---|---|---|---|\n");
	for (const struct wire_field *f = s->fields; f->name != NULL; f++) {
		printf("| %s | %s%s%s | %s | ", f->name, types[f->type],
		       f->element != NULL ? " of " : "",
		       f->element != NULL ? f->element()->name : "",
		       f->need == WIRE_REQUIRED ? "yes" : "no");
		print_limit(f);
		printf(" | %s |\n", f->doc);
	}
}

int main(void)
{
	size_t count;
	const struct wire_message *messages = wire_messages(&count);
	const struct wire_struct *const *structs;

	printf("# The protocol\n\nMade from `common/protocol.def` by `common/protocol-doc`; do not "
	       "edit. ARCHITECTURE.md, \"The link\", tells how these travel.\n\n"
	       "Version %d. A control frame's payload is `[number, body]`; the body is a map from "
	       "field name to value. Unknown fields are skipped.\n\n## Messages\n",
	       PROTOCOL_VERSION);
	for (size_t i = 0; i < count; i++) {
		const struct wire_message *m = &messages[i];

		printf("\n### %d %s\n\nFrom %s to %s%s%s: %s.\n\n", m->type, m->name,
		       peers[m->from], peers[m->to], m->reply != MSG_NONE ? ", reply " : "",
		       m->reply != MSG_NONE ? wire_name(m->reply) : "", m->doc);
		print_fields(m->body());
	}
	printf("\n## Structures\n");
	structs = wire_structs(&count);
	for (size_t i = 0; i < count; i++) {
		printf("\n### %s\n\n%s.\n\n", structs[i]->name, structs[i]->doc);
		print_fields(structs[i]);
	}
	return ferror(stdout) || fflush(stdout) != 0;
}
