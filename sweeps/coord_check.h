/* The runs of a coordinate check: a config at several widths and depths, a bank per size whose replicas are seeds, a
 * few steps on one batch; what is measured becomes slopes and verdicts (mup/coord.h). doc/mup.md, section 9. */
#ifndef SWEEPS_COORD_CHECK_H
#define SWEEPS_COORD_CHECK_H
#include "mup/coord.h"
#include "trainer/config.h"

typedef struct coord_opts {
    const int64_t *widths, *depths; /* 3.., rising, over a factor of 4 or more; none: that axis is left out */
    size_t n_widths, n_depths;
    size_t seeds;                   /* 3.. */
    int64_t steps;                  /* 1.. */
    int threads;
    const char *backend;            /* who trains; must be ready (k_backend_ready) */
    bool trace;                     /* also keep activations at every step, for a figure */
    bool grow_head_dim;             /* with the width head_dim grows, not the number of heads */
    /* Called on what the rule says before it goes into a bank, for tests: a bug is planted here. May be NULL. */
    void (*alter)(void *arg, const trainer_config *c, const shape_tensor *shapes, size_t n, mup_tensor *t,
                  mup_model *m);
    void *alter_arg;
} coord_opts;
coord_opts coord_opts_default(void); /* 4 seeds, 4 steps, no sizes, 1 thread, "cpu" */

typedef struct coord_row {
    char place[48]; /* "embed", "blocks.0.attn", "blocks.last.ffn.in", ... */
    mup_coord_quantity quantity;
    double *y;      /* [n_sizes][seeds] */
    double *expect; /* [n_sizes] how the rule has it grow, up to a constant */
    bool zero;      /* it is 0 at every size: no slope. Logits so pass, the rest is not judged */
    mup_coord_slope fit;
    mup_coord_bounds bounds;
    mup_coord_verdict verdict;
} coord_row;

/* RMS of activations at t = 1 .. steps + 1 (t = 1: before any step) and of their change since t = 1. attn and ffn: the
 * branches of the last block. [steps + 1][n_sizes][seeds]; NULL when nobody asked. */
enum { COORD_TRACE_EMBED, COORD_TRACE_ATTN, COORD_TRACE_FFN, COORD_TRACE_STREAM, COORD_TRACE_LOGITS, COORD_N_TRACES };
typedef struct coord_trace { double *x, *dx; } coord_trace;
const char *coord_trace_name(size_t place); /* "embed", "attn", ... */

typedef struct coord_axis {
    mup_coord_axis axis;
    size_t n_sizes, n_rows, room;
    double *sizes;
    coord_row *rows;
    coord_trace trace[COORD_N_TRACES];
} coord_axis;

typedef struct coord_result {
    coord_axis axes[2];
    size_t n_axes, seeds;
    int64_t steps, width_of_depths, depth_of_widths, n_seq, seq_len;
    char backend[16];
    bool grow_head_dim;
    trainer_config config;     /* what was checked, resolved at its own size */
    mup_coord_verdict verdict; /* the worst of the rows */
    char diverged[160];        /* "" or who and when: the verdict is then fail, and that axis has no slopes */
} coord_result;

/* `c` as a person wrote it, unresolved; its data are not read (but for the vocabulary where vocab is 0): the batch is
 * drawn from Zipf's law. d_ff and n_kv_head that it writes out keep their proportion to the width.
 * ST_INPUT: a config that is wrong at one of the sizes, sizes that are too few or do not fit. */
status coord_check(coord_result **out, const trainer_config *c, const coord_opts *o, err *e);
void coord_result_free(coord_result *r);
#endif
