/*
 * Fuzzes the QMP parser, which reads what a QEMU with a hostile guest in it sends. The first byte
 * says in pieces of which size the rest arrives.
 */
#include <json-c/json.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "common/error.h"
#include "kata-runtime/qmp.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

/* What the client does with a message; its promises are checked. */
static void look(const struct qmp_message *message)
{
	enum qmp_status status;

	if (message->json == NULL || memchr(message->text, '\0', QMP_TEXT_MAX) == NULL)
		abort();
	for (const char *p = message->text; *p != '\0'; p++)
		if ((unsigned char)*p < 0x20 || *p == '"' || *p == 0x7f)
			abort();
	if (qmp_status_from(message->body, &status) == 0)
		(void)qmp_status_name(status);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
	struct qmp_parser parser = { 0 };
	struct qmp_message message;
	struct error err;
	size_t piece;
	int r = 0;

	if (size == 0)
		return 0;
	piece = data[0] == 0 ? size : data[0];
	for (size_t at = 1; at < size && r >= 0; at += piece) {
		size_t len = size - at < piece ? size - at : piece;

		if (qmp_feed(&parser, data + at, len) < 0)
			abort();
		while ((r = qmp_next(&parser, &message, &err)) == 1) {
			look(&message);
			qmp_message_fini(&message);
		}
	}
	qmp_parser_fini(&parser);
	return 0;
}
