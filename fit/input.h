/* What columns.c (which column is what) and input.c (which rows are used) share. */
#ifndef FIT_INPUT_H
#define FIT_INPUT_H
#include "fit/fit.h"

typedef struct fit_teller { fit_say_fn *say; void *who; } fit_teller;
void fit_tell(const fit_teller *t, int level, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* Rows of a run store carry canonical names; other config keys beside them are no second candidates. */
bool fit_row_from_store(const table *t, size_t row);
bool fit_from_store(const table *t); /* every row */
void fit_list_columns(char *out, size_t size, const table *t);
/* Copies column `from` under the name `name`; words are kept as words. */
status fit_alias(table *t, const char *name, const char *from, err *e);

/* Laws of whole curves (fit/curve_input.c): runs and schedules from all rows, before any is dropped; adds the columns
 * "curve" (names) and "curve_index". *out is to be freed also after an error. */
status fit_runs_read(struct fit_runs **out, table *t, const fit_input_opts *o, const fit_teller *tl, err *e);
/* Method envelope: the curve of each row, before any is dropped, as a column; *column and *shown (for people) are names. */
status fit_curves_number(const char **column, const char **shown, table *t, const fit_input_opts *o, err *e);
/* Drops rows of the warm-up and beyond the schedule's end. keep[n_rows] is scratch. */
status fit_runs_drop(const struct fit_runs *r, table *t, bool *keep, size_t *warming, size_t *beyond, err *e);
/* Fills run and step of the rows that are left. */
status fit_runs_take(struct fit_runs *r, const table *t, err *e);
#endif
