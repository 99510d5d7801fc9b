/* The device that the CUDA-on-CPU layer plays, as the environment wants it: EMU_DEVICES=N, EMU_MEMORY=BYTES,
 * EMU_FAIL=N:ERROR (emu.h's emu_fail_at), with EMU_ONCE=FILE only in the process that makes that file;
 * EMU_WHILE=ERROR:FILE (emu_fail_while); EMU_FOR_GOOD=1 (a device that failed stays dead);
 * EMU_LT=BITS (emu_lt). For scripts; programs call emu.h. */
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "tests/emu/emu.h"

__attribute__((constructor)) static void from_environment(void)
{
    const char *devices = getenv("EMU_DEVICES"), *memory = getenv("EMU_MEMORY"), *fail = getenv("EMU_FAIL"),
               *once = getenv("EMU_ONCE"), *there = getenv("EMU_WHILE"), *lt = getenv("EMU_LT");
    long n = 0;
    int error = 0, at = 0;
    if (devices) emu_devices(atoi(devices));
    if (memory) emu_memory((size_t)strtoull(memory, NULL, 10));
    if (getenv("EMU_FOR_GOOD")) emu_dead_for_good(1);
    if (lt) emu_lt(atoi(lt));
    if (there && sscanf(there, "%d:%n", &error, &at) == 1) emu_fail_while(there + at, error);
    const int made = once ? open(once, O_CREAT | O_EXCL | O_WRONLY | O_CLOEXEC, 0666) : 0;
    if (once && made < 0) return;
    if (once) close(made);
    if (fail && sscanf(fail, "%ld:%d", &n, &error) == 2) emu_fail_at(n, error);
}
