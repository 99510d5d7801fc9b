/* A table of observations: named columns of doubles, one row per run or per logged step. What fit, predict and plots
 * read; who trained is not known here. Readers: CSV, JSON, JSONL, W&B exports, llm.c logs, run.h5, campaign.h5,
 * campaign folder. */
#ifndef BASE_TABLE_H
#define BASE_TABLE_H
#include <math.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/err.h"
#include "base/io.h"

enum { TABLE_NAME_MAX = 128 };

/* A cell is a finite number; NaN when nothing was written there; or TABLE_DIVERGED when the source wrote nan or inf: a
 * loss that blew up is a measured fact and is counted, not skipped. */
#define TABLE_DIVERGED ((double)INFINITY)

typedef struct table_column {
    char name[TABLE_NAME_MAX];
    double *x;         /* [n_rows]; NaN = absent */
    bool is_text;      /* values are indices into words (parametrisation, status, run, ...) */
    char **words;
    size_t n_words;
    size_t *word_line, *word_at; /* [n_words] where a word stood first: line and column in a text file, 0 elsewhere */
    size_t *word_source;         /* [n_words] and in which source */
    uint32_t *hash;    /* [n_hash] open addressing, word number + 1; private */
    size_t n_hash;
} table_column;

enum { TABLE_NOTE_MAX = 400 };
typedef struct table_source {
    char path[IO_PATH_MAX];
    char sha256[IO_SHA256_HEX];
    size_t n_rows;
    bool shares_lines;         /* several rows stand on one line of the text: messages count rows too */
    char note[TABLE_NOTE_MAX]; /* "" or what a person should know: "campaign.h5 is older than 3 of 9 runs: ..." */
} table_source;

typedef struct table {
    size_t n_rows, n_cols;
    table_column *cols;
    table_source *sources; size_t n_sources;
    size_t *row_source; size_t *row_line;  /* [n_rows] where each row stood, for messages; line 0 = not a text file */
    size_t *row_number;                    /* [n_rows] its number in its source, from 1 */
    size_t cap_rows; /* private */
} table;

/* Reads any INPUT: a campaign directory, campaign.h5, run.h5, a run directory, and text: CSV (RFC 4180), JSON, JSONL,
 * exports of W&B, an llm.c log (doc/formats.md, "Tables"). Kind is decided by content, never by name. Called again on
 * the same table it appends rows (same columns by name; missing ones become NaN). Canonical names from a campaign: run,
 * status, loss (final validation loss), loss_se, N (n_params_total), N_nonembed, D (tokens), U, C (flops), lr, width,
 * depth, seed, batch_tokens, parametrisation, and every other config key by its own name. After a failure only
 * table_free is allowed. `t` starts zeroed. */
status table_read(table *t, const char *path, err *e);
/* The same for curves: of a campaign or a run a row for each validation, with `step`, `D` (tokens until then), `C`, `loss`, `loss_se`,
 * and `lr` of that step where it was logged; TABLE_ALL_STEPS: and for each logged training step, with `lr`, `train_loss` and no
 * `loss`. The other columns are those of the run. Before the first token nothing is taken. Texts: as table_read. */
typedef enum table_curve_rows { TABLE_VALIDATIONS, TABLE_ALL_STEPS } table_curve_rows;
status table_read_curves(table *t, const char *path, table_curve_rows which, err *e);
void table_free(table *t);
table_column *table_col(const table *t, const char *name); /* NULL when absent */

/* Adds a numeric column (copied), or overwrites the one of that name. x NULL: all absent. */
status table_add_col(table *t, const char *name, const double *x, err *e);

/* Like table_col, but the column must hold numbers: ST_INPUT naming file:line:column of the first cell that is none. */
status table_number_col(const table *t, const char *name, const double **x, err *e);

/* The word in a text column's row, "" when absent. */
const char *table_word(const table_column *c, size_t row);

/* The same from memory; `name` stands for the path in messages. text need not be zero-terminated and is not kept. */
status table_parse(table *t, const char *name, const char *text, size_t n, err *e);

/* "path:line"; for rows of a store "path, row k"; where rows share a line "path:line, row k". buf has IO_PATH_MAX + 32
 * bytes. */
const char *table_where_row(const table *t, size_t row, char *buf);

/* --where EXPR: comparisons (< <= > >= == !=) of a column with a number, a word or a column, joined by and / or, with
 * parentheses; names with blanks in quotes. Keeps the rows for which it holds. Message points at the character. Absent
 * values make a comparison false; a diverged value makes it true (unknown), so that the row can still be counted. */
status table_where(table *t, const char *expr, size_t *n_kept, err *e);
/* The same into match[n_rows], nothing dropped. */
status table_match(const table *t, const char *expr, bool *match, err *e);
void table_keep(table *t, const bool *keep); /* drops the rows with !keep[i] */

/* --- for readers: base/readers.h, base/table_h5.c ------------------------------------------------------------ */

/* A new source of n rows, all cells absent; *first is its first row. Rows know their source; lines are 0. */
status table_grow(table *t, const char *path, const char *sha256, size_t n, size_t *first, err *e);
/* One more row for the newest source, all cells absent. Amortised: n calls cost O(n * columns). */
status table_add_row(table *t, size_t line, size_t *row, err *e);
/* Number of the column of that name, made (numeric, all absent) when there is none. */
status table_col_index(table *t, const char *name, size_t *index, err *e);
/* Cells; the first word makes a text column of the column (numbers in it become their text). */
void table_set(table *t, size_t col, size_t row, double x); /* on a text column: the number's text */
status table_set_word(table *t, size_t col, size_t row, const char *text, size_t line, size_t at, err *e);
/* A cell as it was written in a text: "" is absent, then a number, nan or inf in any spelling, else a word. */
status table_set_field(table *t, size_t col, size_t row, const char *text, size_t line, size_t at, err *e);
/* Adds to the note of the newest source, after "; " when there is one already. */
void table_note(table *t, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

bool table_is_hdf5(const char *path);
/* HDF5 file (run.h5 or campaign.h5); directory (campaign or run). */
status table_read_h5(table *t, const char *path, err *e);
status table_read_dir(table *t, const char *path, err *e);
#endif
