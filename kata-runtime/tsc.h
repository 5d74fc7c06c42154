/* The time stamp counter of this host, which a guest without KVM sees as its own. */
#ifndef KATA_RUNTIME_TSC_H
#define KATA_RUNTIME_TSC_H

#include <stdint.h>

/*
 * Its frequency in kHz, measured against the monotonic clock within some 20 ms; 0 where there is
 * none or it cannot be told.
 */
uint32_t tsc_measure_khz(void);

#endif
