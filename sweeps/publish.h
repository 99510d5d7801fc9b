/* journal.jsonl -> run.h5, atomically: built in memory, written to a temporary beside it, read back and compared, fsync,
 * rename, fsync of the directory. The same journal gives the same bytes. Nothing is unlinked first. */
#ifndef SWEEPS_PUBLISH_H
#define SWEEPS_PUBLISH_H
#include "base/run.h"

/* Publishes RUNDIR/run.h5 from RUNDIR/journal.jsonl. `out`, if not NULL, receives the record (run_free it). */
status publish_run(const char *dir, run_record *out, err *e);

/* The two steps, for tests. Bytes are malloc'ed. */
status publish_image(void **bytes, size_t *n, const run_record *r, err *e);
status publish_bytes(const char *path, const void *bytes, size_t n, err *e);
#endif
