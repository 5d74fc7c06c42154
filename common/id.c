/* Container ids: see id.h. Used by every component that gets one from outside; owns nothing. */
#include "common/id.h"

#include <errno.h>
#include <string.h>

#include "common/str.h"

#define LETTERS_AND_DIGITS "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789"

int id_check(const char *id, struct error *err)
{
	size_t len = strnlen(id, ID_MAX + 1);
	char shown[64];

	if (len == 0)
		return error_say(err, EINVAL, "container id is empty");
	if (len > ID_MAX)
		return error_say(err, EINVAL, "container id is longer than %d characters", ID_MAX);
	if (strspn(id, LETTERS_AND_DIGITS) == 0 ||
	    id[strspn(id, LETTERS_AND_DIGITS "_.+-")] != '\0') {
		str_escape(shown, sizeof(shown), id, len);
		return error_say(err, EINVAL,
				 "invalid container id \"%s\": a letter or digit and then letters, "
				 "digits, _ . + - are allowed",
				 shown);
	}
	return 0;
}
