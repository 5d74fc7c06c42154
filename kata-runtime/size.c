/* Sizes as words: see size.h. Pure; used by the verbs that take limits as options. */
#include "kata-runtime/size.h"

#include <errno.h>
#include <string.h>
#include <strings.h>

#include "common/cleanup.h"
#include "common/str.h"

enum { UNIT_BITS = 10 };

/* How many times 1024 the unit stands for, or -1. */
static int unit_power(const char *unit)
{
	static const char letters[] = "bkmgtp";
	const char *at;

	if (unit[0] == '\0')
		return 0;
	at = strchr(letters, unit[0] | 0x20);
	if (at == NULL || *at == '\0')
		return -1;
	unit++;
	if (unit[0] != '\0' &&
	    (at == letters || (strcasecmp(unit, "b") != 0 && strcasecmp(unit, "ib") != 0)))
		return -1;
	return (int)(at - letters);
}

int size_parse(const char *text, bool bytes, int64_t *ret)
{
	bool negative = text[0] == '-';
	const char *digits = text + negative;
	size_t n = strspn(digits, "0123456789");
	char number[24];
	uint64_t value;
	int power, r;

	if (n == 0 || n >= sizeof(number) || (!bytes && digits[n] != '\0'))
		return -EINVAL;
	memcpy(number, digits, n);
	number[n] = '\0';
	power = unit_power(digits + n);
	if (power < 0)
		return -EINVAL;
	r = str_to_u64(number, (uint64_t)INT64_MAX >> (power * UNIT_BITS), &value);
	if (r < 0)
		return r;
	value <<= power * UNIT_BITS;
	*ret = negative ? -(int64_t)value : (int64_t)value;
	return 0;
}
