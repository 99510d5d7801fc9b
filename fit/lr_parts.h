/* What the parts of method lr-optimum share: lr_optimum.c, lr_table.c, lr_surface*.c. */
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

/* Weighted least squares of y on 1, d, d^2 with d = x - x0 over levels lo..hi, both included. False: singular. */
bool lr_parabola(double q[3], const lr_level *l, const double *y, const double *weight, size_t lo, size_t hi, double x0);
/* Tricube of the distance from x over three grid steps (Cleveland 1979, JASA 74:829), times the runs; never 0. */
double lr_near(const lr_level *l, double x, double step);

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
