/* Runs as a table of observations, and its cache CAMPAIGN/campaign.h5. Private to base/table_h5.c and the store, which
 * writes the cache. */
#ifndef BASE_RUNS_TABLE_H
#define BASE_RUNS_TABLE_H
#include "base/run.h"
#include "base/table.h"

/* What the cache knows of a run directory: size and time of run.h5 and of the journal. Equal text: nothing was written
 * since. Exact, so that neither coarse clocks nor copied times make an old cache look fresh. */
enum { RUN_STAMP_MAX = 128 };
void runs_stamp(char out[RUN_STAMP_MAX], const char *dir);
#define RUNS_STAMP_COLUMN "source_stamp"

/* Adds one row for r. */
status runs_add(table *t, size_t row, const run_record *r, err *e);

/* Hash of what a campaign says: sha256 over "run journal_xxh64 status\n" of the rows first.. , whether cached or read one by one. */
void runs_digest(char sha256[IO_SHA256_HEX], const table *t, size_t first);
#endif
