/* A run record: what one training run left on disk. Two forms of the same thing: run.h5 (published after the end) and
 * journal.jsonl (while it lives; the truth run.h5 is made from). doc/formats.md describes both.
 *
 * Reading is hardened: schema, rank, type and size are checked before anything is allocated; a foreign, truncated or
 * damaged file is ST_INPUT with the remedy. Files are read whole by read(2) and parsed in memory: no HDF5 locks. */
#ifndef BASE_RUN_H
#define BASE_RUN_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/err.h"
#include "base/io.h"

/* Named scalars: a group's attributes. Booleans are integers 0 and 1. */
typedef enum attr_kind { ATTR_I64, ATTR_F64, ATTR_TEXT } attr_kind;
typedef struct attr { char *name; attr_kind kind; int64_t i; double f; char *text; } attr;
typedef struct attrs { size_t n; attr *a; } attrs;

const attr *attrs_get(const attrs *g, const char *name);   /* NULL when absent */
double attrs_f64(const attrs *g, const char *name);        /* NaN when absent or text */
int64_t attrs_i64(const attrs *g, const char *name, int64_t fallback);
const char *attrs_text(const attrs *g, const char *name);  /* NULL when absent or a number; borrowed */
/* Set or replace; copies name and text. */
status attrs_set_i64(attrs *g, const char *name, int64_t x, err *e);
status attrs_set_f64(attrs *g, const char *name, double x, err *e);
status attrs_set_text(attrs *g, const char *name, const char *x, err *e);
void attrs_free(attrs *g);

/* Groups of a run. ROOT: schema, run_id, campaign_id, status, created_by, journal_rows, journal_xxh64.
 * CONFIG: every key of trainer/config.h by its name, plus canonical, yaml, argv. MODEL: n_params_total, n_params_non_embed,
 * n_params_embed, flops_per_token, flops_rule, parametrisation, base_width, base_depth. DATA: dataset, tokens_available,
 * sha256, tokenizer, vocab, bytes_per_token, entropy_rate. ENV: host, cpu, device, threads, compiler, restarts, segments.
 * SUMMARY: step, tokens, final_val_loss, final_val_loss_se, best_val_loss, final_train_loss_ema, flops, wall_s,
 * diverged_at (-1: not); of an early-stopped run stop_rule and what it compared (doc/formats.md); eps_share, eps_share_step, eps_share_tensor when updates were logged. */
typedef enum run_group { RUN_ROOT, RUN_CONFIG, RUN_MODEL, RUN_DATA, RUN_ENV, RUN_SUMMARY, RUN_N_GROUPS } run_group;
const char *run_group_name(run_group g); /* "config"; "" for ROOT */

typedef enum train_col { TRAIN_STEP, TRAIN_TOKENS, TRAIN_LOSS, TRAIN_LR, TRAIN_GRAD_NORM, TRAIN_STEP_MS, TRAIN_WALL_S, TRAIN_N_COLS } train_col;
typedef enum val_col { VAL_STEP, VAL_TOKENS, VAL_LOSS, VAL_LOSS_SE, VAL_N_COLS } val_col;
typedef struct run_column { const char *name, *units; bool whole; } run_column; /* whole: stored as 64-bit integers */
extern const run_column run_train_columns[TRAIN_N_COLS], run_val_columns[VAL_N_COLS];

/* What a step did to each tensor, at the steps that log_updates_every named: doc/formats.md, /updates. */
typedef enum update_col { UPDATE_RATIO, UPDATE_ALIGNMENT, UPDATE_V_OVER_EPS, UPDATE_EPS_FELT, UPDATE_N_COLS } update_col;
extern const run_column run_update_columns[UPDATE_N_COLS];
typedef struct run_updates {
    size_t n, n_tensors, room;  /* n: steps, strictly rising */
    char *tensors;              /* names, of `width` bytes each, 0 included */
    size_t width;
    double *step, *tokens;      /* [n] */
    double *of[UPDATE_N_COLS];  /* [n][n_tensors]; NaN: there is no such number */
} run_updates;
const char *run_updates_tensor(const run_updates *u, size_t i);

typedef struct run_record {
    char path[IO_PATH_MAX];     /* the file it was read from */
    attrs group[RUN_N_GROUPS];
    size_t n_train, n_val;      /* rows; step strictly rising */
    double *train[TRAIN_N_COLS], *val[VAL_N_COLS]; /* NaN or inf where the loss was; NULL after RUN_HEADER from run.h5 */
    run_updates updates;        /* n = 0: none, also after RUN_HEADER from run.h5 */
    bool from_journal;
    size_t journal_bytes;       /* of the valid part (journal only) */
    size_t torn_bytes;          /* after it: a torn or damaged tail (journal only) */
} run_record;

typedef enum run_what { RUN_ALL, RUN_HEADER } run_what; /* HEADER: groups only, where that is cheaper */

/* path: run.h5, journal.jsonl, or a run directory: then run.h5 if it is final (status done, diverged or early-stopped), else the journal,
 * else any run.h5. r is filled on success only; run_free it. */
status run_read(run_record *r, const char *path, run_what what, err *e);
status run_read_h5(run_record *r, const char *path, run_what what, err *e);
status run_read_journal(run_record *r, const char *path, err *e);
void run_free(run_record *r); /* accepts a zeroed record */

const char *run_status_text(const run_record *r); /* done|failed|diverged|stopped|partial|early-stopped */
bool run_is_final(const run_record *r);           /* done, diverged or early-stopped: nothing more will be appended */

/* Directories CAMPAIGN/runs/<id> that hold a journal or a run.h5, sorted; malloc'ed array of malloc'ed paths. */
status run_list(char ***dirs, size_t *n, const char *campaign, err *e);
void run_list_free(char **dirs, size_t n);

/* One row of the table of observations: run, status, loss, loss_se, N, N_nonembed, D, U, C, width, depth, then counts,
 * summary and every config key by its own name (see base/table.h). */
status run_fields(attrs *row, const run_record *r, err *e);
#endif
