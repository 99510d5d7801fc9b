/* The learning-rate optimum per width, and its drift over widths.
 *
 * Per (parametrisation, width): the minimum of a local cubic in log2 lr around itself (a parabola where there are
 * fewer than two levels on one side), accepted only when the lowest loss lies strictly inside the grid and the
 * minimum near it. A diverged run counts as +infinity: it brackets, it is never fitted. An optimum on the grid's edge
 * is no optimum: log2_lr_opt is NaN and `why` says what to run next. Across widths: log2 lr* = log2 c + p log2 width,
 * weighted by the intervals.
 *
 * The interval has two parts, both reported. sd_noise: level means are resampled with the scatter of seeds (of
 * residuals where there are none) and the minimum is sought anew. sd_grid: how far the minimum moves when the window
 * grows by a quarter, less what noise moves, pooled over the widths: the error of the cubic. Where that cannot be
 * judged (parabolas; one run a level and none to spare) sd is at least a third of a grid step.
 *
 * Protocol: Yang et al. 2022 (arXiv:2203.03466) sweep on a log2 grid; bracketing and drift in octaves per doubling
 * are this project's rule. Local polynomials: Fan and Gijbels 1996; a cubic, because the curves are steeper above the
 * optimum than below, which moves the vertex of a parabola by a tenth of an octave. A third of a step: Porian et al.
 * 2024 (arXiv:2406.19146), their bootstrap of the optimal size, taken over for the grid in log2 lr. Scatter beyond
 * the intervals widens the trend by the Birge ratio (Birge 1932, Phys. Rev. 40, 207). */
#ifndef FIT_LR_OPTIMUM_H
#define FIT_LR_OPTIMUM_H
#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/err.h"
#include "base/table.h"

enum { LR_NAME = 24, LR_WHY = 256 };

/* One run. loss = +INFINITY: diverged. Parametrisation: index into the caller's names. Runs of one seed share initial
 * weights and data whatever their lr; seeds all 0: not known. */
typedef struct lr_row { double lr, width, loss; size_t parametrisation; uint64_t seed; } lr_row;

typedef struct lr_group {
    char parametrisation[LR_NAME];
    double width;
    double N, D;                  /* of the runs, where the table has them; else NaN */
    size_t n, n_diverged;         /* runs; of them diverged */
    double *lr, *loss;            /* [n] sorted by lr; loss +INFINITY = diverged */
    uint64_t *seed;               /* [n] */
    bool bracketed;
    int edge;                     /* lowest loss at the smallest (-1) or largest (+1) lr of the grid; else 0 */
    char why[LR_WHY];             /* not bracketed: the reason and the remedy */
    double log2_lr_opt, ci95[2];  /* log2 of the peak lr; NaN when not bracketed */
    double loss_opt, curvature;   /* of the fit at its minimum; d2 loss / d(log2 lr)2, nats per octave squared */
    double argmin_lr, argmin_loss; /* the raw lowest level */
    double grid_step;             /* octaves, median gap in the window */
    double sd, sd_noise, sd_grid; /* of log2_lr_opt, and its two parts */
    double *draws;                /* [n_draws] of log2_lr_opt, NULL when not bracketed */
} lr_group;

typedef struct lr_trend {
    char parametrisation[LR_NAME];
    size_t n_groups;              /* bracketed widths */
    bool has_value, has_ci;       /* value from 2 widths on, interval from 3 on */
    char why[LR_WHY];             /* what is missing */
    double log2_c, p;             /* log2 lr* = log2_c + p log2 width; p: drift in octaves per doubling */
    double ci_p[2], ci_log2_c[2];
    double sd_noise, sd_grid;     /* of p, before scatter widens it: what comes from either part; NaN without a value */
    double birge;                 /* >= 1: factor by which scatter widened the draws */
    double width_lo, width_hi;
    double *log2_c_draws, *p_draws; /* [n_draws], pairs; NULL without an interval */
} lr_trend;

/* Of losses within the windows, where it moves the optimum. Where every seed is at every level of a window ("paired
 * seeds") a seed's own level is taken off: it lifts the curve and moves no optimum. */
typedef struct lr_noise {
    double sd;                    /* nats; of one run where it comes from seeds, else of one level's mean */
    double dof;
    char source[LR_NAME];         /* "paired seeds", "seeds", "residuals", "none" */
    double seed_sd;               /* between seeds at one lr, their own level included; NaN: no seeds */
} lr_noise;

typedef struct lr_optimum {
    size_t n_groups, n_trends, n_draws;
    lr_group *groups;
    lr_trend *trends;
    lr_noise *noise;              /* [n_trends], pooled over the widths of a parametrisation */
    uint64_t seed;
    size_t n_unfinished;          /* rows left out: failed, stopped, partial, no learning rate or width */
    double tokens[2];             /* training tokens of the runs, lowest and highest; NaN = no column D */
    char confounded[LR_WHY];      /* settings that change together with the width, "" when none */
    bool parametrisation_stated;
} lr_optimum;

typedef struct lr_opts {
    size_t n_draws;
    uint64_t seed;
    const char *x, *size;         /* what messages call them where it is not lr over width; NULL: "lr", "width" */
} lr_opts;
lr_opts lr_opts_default(void);

/* rows in any order; names borrowed for the call only. ST_DOMAIN: lr or width not positive (names the row);
 * ST_INPUT: no row at all. *out is zeroed first and belongs to the caller: lr_optimum_free, also after an error. */
status lr_optimum_run(lr_optimum *out, const lr_row *rows, size_t n, const char *const *names, size_t n_names,
                      const lr_opts *o, err *e);

uint64_t lr_seed_of(const table *t, size_t row); /* of columns seed and data_seed, for lr_row; 0: neither is there */

/* The same from a table: columns lr, width, loss; parametrisation, status, seed where present. A failed or unfinished
 * run is left out and counted; status diverged or a loss that is not finite is +infinity. Runs of one parametrisation
 * and width that differ in anything but lr and seed (tokens, depth, batch, schedule, ...) are refused, ST_INPUT
 * naming the setting, two of its values and the --where that separates them: pooling them would move the optimum
 * silently. */
status lr_optimum_table(lr_optimum *out, const table *t, const lr_opts *o, err *e);
void lr_optimum_free(lr_optimum *r);

/* The bracketed groups as CSV: columns that laws of hyperparameters take (fit --law lr-power). malloc'ed. */
status lr_optimum_csv(char **text, size_t *n, const lr_optimum *r, err *e);

/* The keys of muscale.fit/1 that belong to this method: "groups" and "trend" (doc/formats.md). New references; NULL
 * on no memory. */
json_t *lr_optimum_groups_json(const lr_optimum *r);
json_t *lr_optimum_trend_json(const lr_optimum *r);
#endif
