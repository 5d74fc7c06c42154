/*
 * Owners that clean up at the end of their scope: CLEANUP(fd_close) int fd = -1;
 * Ownership leaves by steal_fd() or steal_ptr(), never by forgetting.
 */
#ifndef KATA_CLEANUP_H
#define KATA_CLEANUP_H

#include <dirent.h>
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#define CLEANUP(function) __attribute__((cleanup(function)))
#define ARRAY_SIZE(array) (sizeof(array) / sizeof((array)[0]))

/* Closes *fd when it holds one and sets it to -1; keeps errno. */
static inline void fd_close(int *fd)
{
	int saved = errno;

	if (*fd >= 0)
		close(*fd);
	*fd = -1;
	errno = saved;
}

static inline int steal_fd(int *fd)
{
	int taken = *fd;

	*fd = -1;
	return taken;
}

/* For any pointer variable: CLEANUP(freep) char *text = NULL; */
static inline void freep(void *pointer)
{
	void **p = pointer;

	free(*p);
	*p = NULL;
}

static inline void *steal_pointer(void *pointer)
{
	void **p = pointer;
	void *taken = *p;

	*p = NULL;
	return taken;
}
#define steal_ptr(pointer) ((__typeof__(*(pointer)))steal_pointer(pointer))

static inline void file_close(FILE **file)
{
	if (*file != NULL)
		fclose(*file);
	*file = NULL;
}

static inline void dir_close(DIR **dir)
{
	if (*dir != NULL)
		closedir(*dir);
	*dir = NULL;
}

#endif
