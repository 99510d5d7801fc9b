/* What columns.c (which column is what) and input.c (which rows are used) share. */
#ifndef FIT_INPUT_H
#define FIT_INPUT_H
#include "fit/fit.h"

typedef struct fit_teller { fit_say_fn *say; void *who; } fit_teller;
void fit_tell(const fit_teller *t, int level, const char *fmt, ...) __attribute__((format(printf, 3, 4)));

/* Rows of a run store carry canonical names; other config keys beside them are no second candidates. */
bool fit_from_store(const table *t);
void fit_list_columns(char *out, size_t size, const table *t);
/* Copies column `from` under the name `name`; words are kept as words. */
status fit_alias(table *t, const char *name, const char *from, err *e);
#endif
