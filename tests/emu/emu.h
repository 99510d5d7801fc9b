/* What a test may ask of the CUDA-on-CPU layer beside CUDA's own API. C and C++. Environment: EMU_ORDER (as emu_order's
 * text), EMU_STREAMS=eager or crossed (runtime.h), EMU_LOG=FOLDER (which kernels were launched; coverage.sh reads it). */
#ifndef TESTS_EMU_EMU_H
#define TESTS_EMU_EMU_H
#include <stddef.h>
#include <stdint.h>
#ifdef __cplusplus
extern "C" {
#endif

void emu_devices(int n);         /* how many there are; 0: none; -1: no driver either. 1 at the start */
void emu_memory(size_t bytes);   /* of the device; 4 GiB at the start */
void emu_capability(int major, int minor); /* 9, 0 at the start */

/* The n-th call from now that can fail (launches count, the questions after the last error do not) fails with CUDA's
 * `error`; n 0: none. A launch that is given an error of execution (an illegal address, ...) fails as a kernel does:
 * the launch is accepted, whatever waits for it gets the error, and so does every later call until cudaDeviceReset. */
void emu_fail_at(long n, int error);
/* While a file of that name (a pattern of glob with braces) is there, whatever is launched fails so: a run that brings its error with it. NULL: none. */
void emu_fail_while(const char *path, int error);
/* Whether a device that died stays dead for this process, as CUDA says of errors of execution (driver_types.h): then
 * cudaDeviceReset is refused with that error too. Off at the start: some drivers do give a process its device back. */
void emu_dead_for_good(int on);
long emu_calls(void);            /* such calls so far */
long emu_launches(void);         /* kernels that have run */

/* The order of blocks in a grid and of threads in a block: "ascending", "descending", "shuffled:SEED", or "mixed": it
 * changes with every launch, block and barrier, so that a missing barrier is likely to show. */
void emu_order(const char *order);

/* The stand-in for cuBLASLt (cublaslt_host.cpp): what is wrong with it, any of these; and how often it was called. */
enum {
    EMU_LT_NO_BATCHES = 1,  /* no algorithm computes a batch */
    EMU_LT_ONLY_SPLITS = 2, /* all algorithms split k */
    EMU_LT_BROKEN = 4,      /* products fail */
    EMU_LT_ABSENT = 8,      /* not installed */
    EMU_LT_OLD = 16         /* lacks a function */
};
void emu_lt(int faults);
typedef struct emu_lt_count { long asked, checked, products; } emu_lt_count;
emu_lt_count emu_lt_counts(void);

typedef struct emu_live { size_t device, device_bytes, host, streams, events, graphs; } emu_live;
emu_live emu_live_now(void);     /* what was made and not destroyed */

#ifdef __cplusplus
}
#endif
#endif
