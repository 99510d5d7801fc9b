/* Lines of a plan: runs that show how the best value of one hyperparameter moves with one size. A line is the runs of
 * one parametrisation that are equal in everything but
 *
 *   the size          width (d_model, and what goes with it: d_ff, n_kv_head, head_dim), depth (n_layer) or tokens
 *   the hyperparameter  x, one of sweep_line_x
 *   seeds             seed, data_seed
 *
 * with at least two sizes at which x takes at least three values; sizes with fewer are not of the line, nor is x = 0
 * (no decay; init_std by the fan-in), which has no place on a logarithmic grid. Found from the configs, not from the
 * spec's blocks: several blocks may make one line, one block several. Runs of no line that would make one if other
 * settings were left out of account (tokens that grow with the width) make a line that says so. */
#ifndef SWEEPS_LINES_H
#define SWEEPS_LINES_H
#include "sweeps/plan.h"

typedef enum sweep_axis { SWEEP_WIDTH, SWEEP_DEPTH, SWEEP_TOKENS, SWEEP_AXES } sweep_axis;
extern const char *const sweep_axis_names[SWEEP_AXES]; /* "width", "depth", "horizon" */
extern const char *const sweep_line_x[];               /* lr, init_std, ...; NULL-terminated */

typedef struct sweep_point {
    size_t run;
    double size, x;
} sweep_point;

typedef struct sweep_line {
    sweep_axis axis;
    const char *x;
    char parametrisation[16];
    sweep_point *points;
    size_t n_points; /* by size, then x */
    size_t n_sizes;
    size_t panel;    /* lines of one axis and x: shown side by side */
    size_t bundle;   /* lines of one axis and x that differ in nothing but the tokens */
    char fixed[256]; /* the other sizes, "n_layer 4, tokens 524288" */
    char note[512];  /* what changes with the size and no rule covers; "" */
} sweep_line;

typedef struct sweep_lines {
    sweep_line *lines;
    size_t n;
    size_t n_panels, n_left; /* runs of no line */
} sweep_lines;

/* ST_INPUT: there is no line; or models of a line differ in something no rule of sizes covers (activation, ...;
 * head_dim that is not said). The message names the runs, the setting and the remedy. Free in any case. */
status sweep_lines_find(sweep_lines *out, const sweep_plan *p, err *e);
void sweep_lines_free(sweep_lines *l);

/* Has this rule factors for this size? `mup` has none for depth, and of tokens only complete-dp knows. */
bool sweep_rule_covers(const char *parametrisation, sweep_axis axis);
#endif
