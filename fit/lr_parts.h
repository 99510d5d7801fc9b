/* What the parts of method lr-optimum share: lr_optimum.c, lr_valley.c, lr_trend.c, lr_noise.c, lr_table.c,
 * lr_surface*.c. */
#ifndef FIT_LR_PARTS_H
#define FIT_LR_PARTS_H
#include "fit/lr_optimum.h"

/* Settings that move the optimum: constant inside a group, or the runs must not be pooled. Names are canonical columns
 * and config keys; what follows from the width (N, C, d_ff, heads) and lr, seed, data_seed are missing on purpose. */
extern const char *const lr_settings[];
bool lr_same_setting(size_t k, double x, double y); /* two runs' values of setting k; NaN: not recorded */
extern const size_t lr_n_settings;

const char *lr_word(const table_column *c, size_t row); /* NULL: no word there */
void lr_show(char *out, size_t room, const table_column *c, size_t row);
status lr_need(const table_column **c, const table *t, const char *name, err *e); /* a column of numbers, or ST_INPUT */
bool lr_unfinished(const char *run_status); /* neither done nor diverged; NULL: nothing is known, so it counts */

/* One level of the grid: all runs of a group at one lr. x = log2 lr; loss: their mean, ss: squares around it. */
typedef struct lr_level { double x, loss, ss; size_t first, n; bool diverged; } lr_level; /* first: its first run */
/* malloc'ed, lowest lr first. */
status lr_levels(lr_level **out, size_t *n, const lr_group *g, err *e);

/* The levels around the lowest. lo..hi: five at most, in which a parabola may be fitted and noise is measured; wide:
 * what a cubic may use. Degree 3 where there are two or more on each side, else 2. */
typedef struct lr_window {
    size_t lo, hi, wide_lo, wide_hi, best, degree;
    double left, right; /* an optimum lies between them */
    double step;        /* octaves, median gap */
} lr_window;
/* False with g->why (and edge) when nothing brackets the lowest level. */
bool lr_window_find(lr_window *w, lr_group *g, const lr_level *l, size_t n, const lr_opts *o);

enum { LR_COEF = 4 };
typedef struct lr_minimum {
    double x, loss, curvature;
    double centre, q[LR_COEF]; /* the polynomial in log2 lr - centre */
} lr_minimum;

/* Half the window of a cubic in grid steps, and of the one that tells how wrong its form is. Of 4000 curves that fall
 * by 0.12 and rise by 1 nat per octave, bend 0.15, half an octave between levels, noise of a level 0.01 nats: the
 * minimum is off by 0.01 octaves, and noise moves it by 0.07. Windows of 3.5 and 5 steps: 0.007 and 0.09, 0.03 and
 * 0.055; the vertex of a parabola through five levels: 0.09 and 0.08. */
#define LR_REACH 4.0
#define LR_GROWN 5.0
/* Of a step: twice what the place between two levels still moves the cubic of such a curve without noise (0.004
 * octaves). */
#define LR_LEAST 0.02
/* Of a step, where the form cannot be judged: Porian et al. 2024. */
#define LR_UNTOLD (1.0 / 3.0)

/* The minimum of the curve y over the levels of the window; weight: as long as y, left with those of the last fit.
 * Cubic: weights fall with the distance from the minimum itself, `reach` steps. False: none inside the bracket. */
bool lr_minimum_find(lr_minimum *out, const lr_window *w, const lr_level *l, const double *y, double *weight,
                     double reach);
void lr_residual(double *ss, double *dof, const lr_minimum *m, const lr_window *w, const lr_level *l, const double *y,
                 const double *weight);

/* Weighted least squares of y on 1, d, .. d^degree (at most 3) with d = x - x0 over levels lo..hi, both included; the
 * coefficients beyond are 0. False: singular. */
bool lr_polynomial(double q[LR_COEF], size_t degree, const lr_level *l, const double *y, const double *weight,
                   size_t lo, size_t hi, double x0);
/* Tricube of the distance from x (Cleveland 1979, JASA 74:829), times the runs: over three grid steps and never 0, for
 * parabolas; over `reach` octaves. */
double lr_near(const lr_level *l, double x, double step);
double lr_within(const lr_level *l, double x, double reach);

status lr_make_trend(lr_trend *t, lr_optimum *r, const lr_opts *o, err *e);

/* 2.5 and 97.5 %. */
status lr_interval(double ci[2], const double *draws, size_t n, err *e);

/* Squares of runs around their level's mean, and around that and their seed's, over levels lo..hi, none of which
 * diverged. pairs_dof is 0 where a seed is missing somewhere. */
typedef struct lr_squares { double seeds, seeds_dof, pairs, pairs_dof; } lr_squares;
lr_squares lr_seed_squares(const lr_group *g, const lr_level *l, size_t lo, size_t hi);
bool lr_from_seeds(const lr_noise *noise); /* then sd is that of one run: a mean's is smaller */

/* The noise's sd for one resample: with few degrees of freedom it is uncertain itself (Student's t). Numbers of the
 * stream (seed, RNG_BOOTSTRAP, resample) from *at on are used. */
double lr_draw_sd(const lr_noise *noise, uint64_t seed, uint32_t resample, uint64_t *at);
#endif
