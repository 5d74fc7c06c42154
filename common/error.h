/*
 * struct error: a number and a sentence, on the caller's stack. Nothing to free.
 *
 * A function that can fail returns 0 or a positive outcome its header names, or a negative errno
 * with *err filled. Who passes an error on may put words before it; who handles it logs it, once.
 * The text is UTF-8 whatever went into it, since it may travel as FAILED.
 */
#ifndef KATA_ERROR_H
#define KATA_ERROR_H

enum { ERROR_TEXT_MAX = 1024 };

struct error {
	int num; /* a positive errno, 0 when unset */
	char text[ERROR_TEXT_MAX];
};

/*
 * Fills *err (may be NULL) with "WORDS: REASON" and returns -num. num is a positive errno. Words
 * that leave no room for the reason are cut.
 */
int error_set(struct error *err, int num, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* As error_set, but the words stand alone: for what no errno describes. */
int error_say(struct error *err, int num, const char *fmt, ...)
	__attribute__((format(printf, 3, 4)));

/* Puts "WORDS: " before the text of *err and returns its number again, negative. */
int error_prefix(struct error *err, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

/*
 * The sentence of an errno. Unlike strerror() it never says "no such file or directory",
 * "permission denied", "operation not permitted", "not a directory", "no such process" or "does
 * not exist": container managers search runtime errors for those words and then blame the
 * container's command (docker maps them to exit codes 126 and 127) or think the container is gone.
 */
const char *error_reason(int num);

#endif
