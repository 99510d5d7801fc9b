/* A campaign's table as text, for other programs and for ours: what table_read makes of it are the same numbers.
 *
 * A row for each run, in the order of their ids. Columns: everything measured, counted and derived; of the settings
 * those that differ between the runs, and those that fits ask for (lr, batch_tokens, seed, ...). Numbers with up to 17
 * digits: they come back bit for bit. Nothing known is an empty cell, in JSON lines a key left out. The `loss` of a
 * run that diverged is inf, in JSON lines the text "inf". */
#ifndef SWEEPS_EXPORT_H
#define SWEEPS_EXPORT_H
#include "base/table.h"

typedef enum export_form { EXPORT_CSV, EXPORT_JSONL } export_form;

/* malloc'ed; n bytes. */
status export_text(char **text, size_t *n, const table *t, export_form form, err *e);
/* Into a file, by a temporary and a rename; into a pipe or a device as it comes; "-": stdout. */
status export_write(const char *path, const table *t, export_form form, err *e);
#endif
