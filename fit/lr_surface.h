/* Learning rate and batch size together: where runs of one size and token count differ in both.
 *
 * Per cell (parametrisation, N, D) a quadratic surface of the loss in log2 lr and log2 batch through the points around
 * the lowest, weighted as in fit/lr_optimum.h; its minimum counts only if the lowest point lies inside the grid in both
 * directions, the surface opens upwards and its minimum lies in the window around the lowest point. Over cells
 * lr* = c N^p D^q and batch* = c N^p D^q, three ways:
 *
 *   per-cell   weighted least squares through the cells' optima; intervals from their resamples, widened where they
 *              scatter more than they should (Birge)
 *   pooled     one surface for all cells: ln L, or L, = level of the cell + quadratic form around (lr*, batch*)(N, D):
 *              linear least squares in the logarithms; the cells share their curvature. Resamples draw cells
 *   near-best  the procedure of the Step law (Li et al. 2025, arXiv:2503.04715, their code/fit_tool.py): least squares
 *              through all runs within a share of their cell's lowest loss, ln lr on ln N and ln D, ln batch on ln D.
 *              Resamples draw cells, theirs runs: runs of one cell move together
 *
 * A cell whose minimum is on the edge of its grid counts in none of them, and is named. */
#ifndef FIT_LR_SURFACE_H
#define FIT_LR_SURFACE_H
#include "fit/fit.h"
#include "fit/lr_optimum.h"

typedef enum lr_how { LR_PER_CELL, LR_POOLED, LR_NEAR_BEST } lr_how;
const char *lr_how_name(lr_how how);
status lr_how_find(lr_how *out, const char *name, err *e); /* per-cell, pooled */

/* A pair of learning rate and batch size: the mean over seeds. */
typedef struct lr_point { double x, y, loss, ss, weight; size_t n; long i, j; bool diverged, in; } lr_point;

typedef struct lr_cell {
    char parametrisation[LR_NAME];
    double N, width, D;              /* NaN: no such column */
    size_t n, n_diverged;            /* runs; of them diverged */
    double *lr, *batch, *loss;       /* [n] sorted by lr, then batch; loss +INFINITY = diverged */
    bool inside;                     /* the lowest point is inside the grid */
    bool bracketed;
    char why[LR_WHY];                /* not bracketed: the reason and the remedy */
    double log2_lr, log2_batch;      /* the optimum; NaN when not bracketed */
    double sd_lr, sd_batch, ci_lr[2], ci_batch[2]; /* of the logarithms, a third of a grid step at least */
    double loss_opt, curvature[3];   /* d2 loss / dx2, dx dy, dy2: nats per octave squared */
    double argmin_lr, argmin_batch, argmin_loss; /* the lowest point */
    double step_lr, step_batch;      /* octaves, median gap in the window */
    size_t n_points; lr_point *points; /* [n_points] */
    double left, right, below, above; /* the optimum must lie between */
    double seed_ss, seed_dof, residual_ss, residual_dof;
    double *draws;                   /* [n_draws][2] of log2 lr, log2 batch; NULL when not bracketed */
} lr_cell;

enum { LR_C, LR_P, LR_Q, BATCH_C, BATCH_P, BATCH_Q, LR_COEFS }; /* lr* = c N^p D^q, batch* = c N^p D^q */
extern const char *const lr_coef_names[LR_COEFS];

enum { LR_SHARES = 7 };
typedef struct lr_plateau { double share, coef[LR_COEFS]; size_t n_rows; } lr_plateau;

typedef struct lr_law {
    char parametrisation[LR_NAME];
    size_t n_cells, n_used;
    char why[LR_WHY];                /* what is missing; "" */
    fit_estimate coef[LR_COEFS];     /* NaN: not determined */
    double birge_lr, birge_batch;    /* per-cell; >= 1 */
    bool in_nats;                    /* pooled: cells share their curvature in L, else in ln L */
    size_t n_rows; lr_plateau plateau[LR_SHARES]; /* near-best: runs kept, and what other shares give */
    size_t n_draws; double *draws;   /* [n_draws][LR_COEFS] */
} lr_law;

typedef struct lr_surface {
    lr_how how;
    double share;                    /* near-best */
    size_t n_cells, n_laws, n_draws;
    lr_cell *cells;
    lr_law *laws;                    /* one a parametrisation */
    lr_noise *noise;                 /* [n_laws] */
    uint64_t seed;
    size_t n_unfinished;
    char confounded[LR_WHY];
    bool parametrisation_stated;
    char count_rule[LR_NAME];
} lr_surface;

typedef struct lr_surface_opts {
    lr_how how;
    double share;
    size_t n_draws;
    uint64_t seed;
    const char *count_rule;          /* NULL: not stated; non-embed takes N_nonembed where the table has it */
} lr_surface_opts;

/* Do runs of one parametrisation and size differ in their batch? Then the surface applies. */
bool lr_surface_applies(const table *t);

/* Columns lr, batch_tokens, loss, N (else width); D, parametrisation, status where present. Token counts within 5 % are
 * one cell. As in lr_optimum_table a failed run is left out, a diverged one is +infinity, and runs of a cell that
 * differ in anything but lr, batch and seed are refused. *out is zeroed first: lr_surface_free, also after an error. */
status lr_surface_table(lr_surface *out, const table *t, const lr_surface_opts *o, err *e);
void lr_surface_free(lr_surface *s);

status fit_from_lr_surface(fit_result *r, const lr_surface *s, const table *t, size_t n_where, err *e);
/* The bracketed cells as CSV: columns that laws of hyperparameters take. malloc'ed. */
status lr_surface_csv(char **text, size_t *n, const lr_surface *s, err *e);

/* --- parts: lr_cells.c, lr_surface.c, lr_laws.c ---------------------------------------------------------------- */

status lr_cells_read(lr_surface *out, const table *t, const char *count_rule, err *e);
status lr_cell_window(lr_cell *c, err *e); /* points, inside, weights */
status lr_laws_fit(lr_surface *s, err *e);
#endif
