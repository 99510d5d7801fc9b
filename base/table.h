/* A table of observations: named columns of doubles, one row per run. What fit, predict and plots read; who trained is
 * not known here. Readers: CSV, run.h5, campaign.h5, campaign folder. */
#ifndef BASE_TABLE_H
#define BASE_TABLE_H
#include <stdbool.h>
#include <stddef.h>
#include "base/err.h"
#include "base/io.h"

typedef struct table_column {
    char name[64];
    double *x;         /* [n_rows]; NaN = absent */
    bool is_text;      /* values are indices into words (parametrisation, status, run, ...) */
    char **words;
    size_t n_words;
} table_column;

typedef struct table_source { char path[IO_PATH_MAX]; char sha256[IO_SHA256_HEX]; size_t n_rows; } table_source;

typedef struct table {
    size_t n_rows, n_cols;
    table_column *cols;
    table_source *sources; size_t n_sources;
    size_t *row_source; size_t *row_line;  /* [n_rows] where each row stood, for messages; line 0 = not a text file */
} table;

/* Reads any INPUT: a campaign directory, campaign.h5, run.h5, a run directory, .csv (RFC 4180). Kind is decided by content.
 * Called again on the same table it appends rows (same columns by name; missing ones become NaN). Canonical names from a
 * campaign: run, status, loss (final validation loss), loss_se, N (n_params_total), N_nonembed, D (tokens), U, C (flops),
 * lr, width, depth, seed, batch_tokens, parametrisation, and every other config key by its own name. */
status table_read(table *t, const char *path, err *e);
void table_free(table *t);
table_column *table_col(const table *t, const char *name); /* NULL when absent */
status table_add_col(table *t, const char *name, const double *x, err *e);

/* --where EXPR: comparisons (< <= > >= == !=) of a column with a number or a word, joined by and / or, parentheses.
 * Keeps the rows for which it holds. Message points at the character. Absent values make a comparison false. */
status table_where(table *t, const char *expr, size_t *n_kept, err *e);
#endif
