/* kata-agent/requests.c: its table and protocol.def say the same. */
#include "kata-agent/requests.h"

#include <criterion/criterion.h>

#include "common/wire.h"

Test(requests, the_table_is_the_protocols)
{
	size_t count, requests = 0;
	const struct wire_message *messages = wire_messages(&count);

	for (size_t i = 0; i < count; i++) {
		const struct wire_message *m = &messages[i];
		bool wanted = m->to == PEER_AGENT && m->type != MSG_OPEN;
		bool runtime = wanted && (m->from == PEER_RUNTIME || m->from == PEER_CLIENT);
		bool shim = wanted && (m->from == PEER_SHIM || m->from == PEER_CLIENT);

		cr_expect(requests_known(m->type) == wanted, "%s", m->name);
		cr_expect(requests_allowed(m->type, ROLE_RUNTIME) == runtime, "%s", m->name);
		cr_expect(requests_allowed(m->type, ROLE_SHIM) == shim, "%s", m->name);
		requests += wanted;
	}
	cr_expect(requests >= 9);
}

Test(requests, nobody_else_may)
{
	cr_expect(!requests_known(MSG_NONE) && !requests_allowed(MSG_NONE, ROLE_RUNTIME));
	cr_expect(!requests_allowed(MSG_SHUTDOWN, (enum session_role)0));
	cr_expect(!requests_allowed(MSG_SHUTDOWN, (enum session_role)3));
}
