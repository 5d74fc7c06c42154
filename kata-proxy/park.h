/*
 * What outlives a worker: descriptors that it parks with the monitor, which gives them to the next
 * worker at the same slots, the worker's last words, and the key of the link's HELLOs. Packets and
 * nothing else: the monitor looks at one byte, the slot's number, and never at what it keeps.
 */
#ifndef KATA_PROXY_PARK_H
#define KATA_PROXY_PARK_H

#include "common/error.h"
#include "common/frame.h"
#include "common/privsep.h"

/* The two ends, neither of which blocks: the monitor's, and the one all workers are given. */
int park_open(int *ret_monitor, int *ret_worker, struct error *err);

/* Monitor: tells the worker that is started next the key. Harmless when an earlier one waits. */
int park_send_key(int monitor, const uint8_t key[FRAME_KEY], struct error *err);

/* What a worker says, printable, the end included. */
enum { PARK_WORDS_SIZE = 3072, PARK_NOTE_SIZE = 256 };
struct park_text {
	char words[PARK_WORDS_SIZE]; /* its last ones, about the VM's end: lines; "" before */
	char note[PARK_NOTE_SIZE];   /* the newest, of what happened while the VM goes on: a line */
};

/*
 * Monitor: takes what was parked into slots[], -1 where nothing is, last words if none came before,
 * and the last note. Other packets are dropped.
 */
void park_take(int monitor, int slots[PARK_SLOTS], struct park_text *text);

/* Worker: the key, which is there from its start. */
int park_receive_key(int worker, uint8_t ret_key[FRAME_KEY], struct error *err);

/*
 * Worker: has a copy of fd kept in a slot, in place of what it held; with -1 the slot is emptied.
 * 0 or a negative errno.
 */
int park_put(int worker, unsigned slot, int fd);

/* Worker: why the VM ended, for the file that tells the cause; text is lines, and is cut. */
void park_say(int worker, const char *text);

/* Worker: a note for the same file, while the VM goes on. */
void park_note(int worker, const char *text);

#endif
