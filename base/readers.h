/* Readers of text: each turns one file, whole in memory, into rows of a table. Private to base/; tests and fuzz drivers
 * call one by name. A reader is a file of its own that ends in its row of this shape. */
#ifndef BASE_READERS_H
#define BASE_READERS_H
#include "base/table.h"

typedef struct text_input {
    const char *name;  /* the path, for messages and the table's source */
    const char *text;  /* [n] UTF-8 without a byte order mark and without zero bytes; not zero-terminated */
    size_t n;
    const char *sha256;
} text_input;

typedef struct text_reader {
    const char *name;
    bool (*looks)(const text_input *in); /* does this begin like one of mine? */
    /* Adds one source and its rows. ST_INPUT: name:line:column, what is wrong and the remedy. */
    status (*read)(table *t, const text_input *in, err *e);
} text_reader;

/* Asked in this order; CSV takes what is left. */
extern const text_reader json_reader, llmc_log_reader, csv_reader;

/* table_parse with a given reader, or the one that the content asks for (NULL). Checks the text first, once for all. */
status text_read(table *t, const text_reader *r, const char *name, const char *text, size_t n, err *e);

/* A column's name as it can be shown and typed: control characters (a line end in a wrapped header) become blanks. */
void text_plain_name(char *name);

/* --- W&B, base/wandb.c: what CSV and JSON readers need to know about its exports --------------------------------- */

/* Is this header that of a chart export: an axis, then for each line `metric`, `metric__MIN`, `metric__MAX`, or
 * `run - metric` in place of metric? */
bool wandb_is_chart(char (*names)[TABLE_NAME_MAX], size_t n);

/* Long form of a chart read as it stands in `wide` (columns in the file's order): a row of t for each run and each step
 * at which it has a value; columns run, the axis, and one per metric. __MIN and __MAX are left out. */
status wandb_unpivot(table *t, const table *wide, const text_input *in, err *e);

/* Notes when the newest source, first row `first`, looks like run.history()'s sample of 500 points. */
void wandb_note_sample(table *t, size_t first);
#endif
