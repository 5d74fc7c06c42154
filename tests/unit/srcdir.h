/* Where the sources are, for tests that read files of the tree. The build says it. */
#ifndef KATA_TEST_SRCDIR_H
#define KATA_TEST_SRCDIR_H

#ifdef KATA_TEST_SRCDIR
#define TEST_SRCDIR KATA_TEST_SRCDIR
#else
#define TEST_SRCDIR "."
#endif

#endif
