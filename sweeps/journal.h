/* Appending to journal.jsonl. One write(2) per record, so a kill leaves whole lines; a write that came short (no space) is
 * taken back by ftruncate, so a full disk leaves whole lines too. doc/formats.md lists the records; base/jline.h the line. */
#ifndef SWEEPS_JOURNAL_H
#define SWEEPS_JOURNAL_H
#include <jansson.h>

#include "base/err.h"
#include "base/io.h"
#include "trainer/train.h"

typedef struct journal journal;

/* Opens for appending, made when absent. `keep` bytes are kept: what follows is a torn tail and is cut off, durably. Only
 * the owner of the directory may call this. */
status journal_open(journal **out, const char *path, size_t keep, err *e);
void journal_close(journal *j); /* accepts NULL; does not sync */

/* Each appends one line. ST_IO: nothing of the record is left in the file, unless the message says otherwise. */
status journal_event(journal *j, json_t *record, err *e); /* takes the reference, also on failure; NULL is ST_NOMEM */
status journal_row(journal *j, const train_row *r, err *e);
status journal_val(journal *j, const train_val *v, err *e);
status journal_updates(journal *j, const train_updates *u, err *e);

/* A line of another journal as it is, its newline and its sum included. */
status journal_copy(journal *j, const char *line, size_t n, err *e);

status journal_sync(journal *j, err *e);        /* fdatasync */
bool journal_sync_due(const journal *j);          /* unsynced rows, and JOURNAL_SYNC_S since the last */
enum { JOURNAL_SYNC_S = 10 };

/* JSON has no NaN: null. Never NULL except without memory. */
json_t *journal_real(double x);
#endif
