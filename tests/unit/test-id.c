/* common/id.c: which container ids are taken. */
#include "common/id.h"

#include <criterion/criterion.h>
#include <errno.h>
#include <string.h>

#include "common/cleanup.h"

Test(id, taken)
{
	static const char *const ids[] = { "a",    "0",  "A-b_c.d+e",
					   "a..b", "a.", "591b5f52e590660afbc7fbc035771c" };

	for (size_t i = 0; i < ARRAY_SIZE(ids); i++)
		cr_expect(id_check(ids[i], NULL) == 0, "%s", ids[i]);
}

Test(id, refused)
{
	static const char *const ids[] = { "",    ".",   "..",   "-a",      "_a",        "+a",
					   "a/b", "/a",  "a b",  "a\nb",    "a\xc3\xa4", "\xff",
					   "a:b", "a%s", "a\\b", "../../x", "a\x7f" };
	struct error err;

	for (size_t i = 0; i < ARRAY_SIZE(ids); i++) {
		err = (struct error){ 0 };
		cr_expect(id_check(ids[i], &err) == -EINVAL, "%s", ids[i]);
		cr_expect(strstr(err.text, "container id") != NULL &&
			  strchr(err.text, '\n') == NULL);
	}
}

Test(id, length)
{
	char id[ID_MAX + 2];

	memset(id, 'a', sizeof(id));
	id[ID_MAX + 1] = '\0';
	cr_expect(id_check(id, NULL) == -EINVAL);
	id[ID_MAX] = '\0';
	cr_expect(id_check(id, NULL) == 0);
}
