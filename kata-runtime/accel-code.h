/*
 * The guest program of the KVM probe (accel.c), 64-bit code loaded at ACCEL_CODE.
 *
 * It starts in long mode with paging on and does what the first instructions of any kernel need:
 * a long loop without an exit, a write to CR3, an exception through its own IDT and the return
 * from it. After each step it tells the number of the step at port 0xe9; HLT ends it.
 */
#ifndef KATA_ACCEL_CODE_H
#define KATA_ACCEL_CODE_H

#include <stdint.h>

enum { ACCEL_LOOPS = 1000000, ACCEL_PORT = 0xe9 };

enum accel_step {
	ACCEL_STEP_NONE,
	ACCEL_STEP_LOOP,      /* the loop has ended */
	ACCEL_STEP_PAGING,    /* CR3 was written */
	ACCEL_STEP_EXCEPTION, /* the handler of INT3 runs */
	ACCEL_STEP_RETURN,    /* ... and has returned */
};

/* clang-format off */
static const uint8_t accel_code[] = {
	/* 00 */ 0xb9, 0x40, 0x42, 0x0f, 0x00, /*       mov  $1000000, %ecx       */
	/* 05 */ 0xff, 0xc9,                   /* loop: dec  %ecx                 */
	/* 07 */ 0x75, 0xfc,                   /*       jnz  loop                 */
	/* 09 */ 0xb0, ACCEL_STEP_LOOP,        /*       mov  $STEP_LOOP, %al      */
	/* 0b */ 0xe6, ACCEL_PORT,             /*       out  %al, $0xe9           */
	/* 0d */ 0x0f, 0x20, 0xd8,             /*       mov  %cr3, %rax           */
	/* 10 */ 0x0f, 0x22, 0xd8,             /*       mov  %rax, %cr3           */
	/* 13 */ 0xb0, ACCEL_STEP_PAGING,      /*       mov  $STEP_PAGING, %al    */
	/* 15 */ 0xe6, ACCEL_PORT,             /*       out  %al, $0xe9           */
	/* 17 */ 0xcc,                         /*       int3                      */
	/* 18 */ 0xb0, ACCEL_STEP_RETURN,      /*       mov  $STEP_RETURN, %al    */
	/* 1a */ 0xe6, ACCEL_PORT,             /*       out  %al, $0xe9           */
	/* 1c */ 0xf4,                         /*       hlt                       */
	/* 1d */ 0x90, 0x90, 0x90,             /*       nop; nop; nop             */
	/* 20 */ 0xb0, ACCEL_STEP_EXCEPTION,   /* int3: mov  $STEP_EXCEPTION, %al */
	/* 22 */ 0xe6, ACCEL_PORT,             /*       out  %al, $0xe9           */
	/* 24 */ 0x48, 0xcf,                   /*       iretq                     */
};
/* clang-format on */

enum { ACCEL_HANDLER_OFFSET = 0x20 };

#endif
