/* RUNDIR/owner: which process is at work in a directory. No locks of any file system (advisory, absent on some networks).
 *
 * The file appears with its content at once: it is written beside and link(2)ed, which fails when the name exists (the
 * guarantee of O_EXCL, without its moment of emptiness); where links are unknown, O_EXCL. A dead owner's file is replaced by
 * rename(2), by the one process that holds the claim on it (owner.c says why that is one). */
#ifndef SWEEPS_OWNER_H
#define SWEEPS_OWNER_H
#include "base/err.h"
#include "base/io.h"

typedef struct owner {
    char path[IO_PATH_MAX];
    char text[768];           /* what we wrote: still ours while the file says this */
    char took_over[160];      /* "pid 123 on host", "" when nobody was there */
} owner;

/* ST_BUSY naming host and pid when a live process, or one that cannot be judged from here, owns the directory. A dead one
 * (same host and boot, and no process of that number and start time; or elsewhere, in a Slurm job that has ended or was
 * started again, by owner_slurm.h) is replaced. */
status owner_take(owner *o, const char *dir, err *e);
status owner_check(const owner *o, err *e); /* ST_BUSY: another process has taken over */
void owner_release(owner *o);               /* removes the file if it is still ours */

/* "pid 123 on host" of an owner that is alive or cannot be judged; "" when the directory is free. Asks no Slurm: a dead
 * owner on another machine is shown until somebody takes over. */
void owner_look(char out[160], const char *dir);
#endif
