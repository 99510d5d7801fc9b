/* Fitting laws to a table of observations: laws, objectives, solvers (each a const table), uncertainty, trust. Pure: no
 * trainer, no GPU, no printing. fit.json (muscale.fit/1, doc/formats.md) is the contract with everybody else;
 * doc/laws.md tells the user what happens here.
 *
 *   fit_opts_default -> fit_input (table -> fit_data) -> fit_run -> fit_result -> fit_json / fit_save
 *
 * To add a law: a row in `laws` (fit/law.c), its eval if it is no sum of power terms, a row in tests/fit/test_law.c, a
 * section in doc/laws.md. To add an objective or a solver: the same in fit/objective.c, fit/solver.c. */
#ifndef FIT_FIT_H
#define FIT_FIT_H
#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/err.h"
#include "base/table.h"

enum {
    FIT_MAX_PARAMS = 8,
    FIT_MAX_COLS = 4,
    FIT_MAX_TERMS = 4,
    FIT_MAX_GRID = 8,
    FIT_MAX_BASINS = 16,
    FIT_MAX_REASONS = 12,
    FIT_MAX_DROPPED = 8,
    FIT_NAME = 24,
    FIT_TEXT = 320
};

/* --- laws ------------------------------------------------------------------------------------------------------ */

typedef struct fit_law fit_law;

/* A parameter under its paper's name. The solver works in coordinates: ln(value) where log is set, else the value. */
typedef struct fit_param {
    const char *name, *meaning;
    bool log;
    double lo, hi;                           /* natural domain */
    size_t n_grid; double grid[FIT_MAX_GRID]; /* published starts, as coordinates (ln A, not A) */
} fit_param;

/* A law that is a sum of terms amplitude * column^-exponent lists them here: variable projection, the test whether a
 * term shows at all, and centring need it. exponent -1: a constant (the floor). */
typedef struct fit_term { int amplitude, exponent, column; } fit_term;

/* ln of the predicted loss, for n rows, with first derivatives jac[n_params][n] and, when curv is not NULL, second
 * derivatives curv[n_params*(n_params+1)/2][n] (upper triangle by rows), all in coordinates. z[c]: ln of column c minus
 * its mean. Pure arithmetic on finite numbers. */
typedef void fit_eval_fn(const fit_law *law, double *ln_pred, double *jac, double *curv, const double *theta,
                         const double *const *z, size_t n);

struct fit_law {
    const char *name, *formula, *source;
    size_t n_params;
    fit_param params[FIT_MAX_PARAMS];
    size_t n_cols;
    const char *cols[FIT_MAX_COLS];          /* canonical columns; "x": the one named by --x */
    size_t n_terms;
    fit_term terms[FIT_MAX_TERMS];
    fit_eval_fn *eval;
    /* N and D that minimise the loss under C = 6ND; NULL where the law has no such optimum. */
    void (*optimum)(double *n, double *d, const double *params, double c);
    /* a_opt, b_opt, G of N_opt = G (C/6)^a_opt, D_opt = (C/6)^b_opt / G; NULL as above. */
    void (*allocation)(double *a_opt, double *b_opt, double *g, const double *params);
};

extern const fit_law fit_laws[];
extern const size_t fit_n_laws;
const fit_law *fit_law_find(const char *name, err *e); /* NULL with ST_USAGE in e: names the known ones */
int fit_law_param(const fit_law *law, const char *name); /* -1 */
/* Loss at one point; params natural (A, not ln A), x[n_cols] natural. */
double fit_law_loss(const fit_law *law, const double *params, const double *x);

/* --- objectives: F = sum over rows of rho(r) ---------------------------------------------------------------------- */

typedef struct fit_objective {
    const char *name, *meaning;
    bool log_residual;                       /* r = ln L - ln L^, else L - L^ */
    bool squared;                            /* least-squares solvers apply */
    bool has_delta; double delta;            /* default */
    void (*rho)(double *f, double *psi, double *curv, const double *r, double delta, size_t n); /* rho, rho', rho'' */
} fit_objective;

extern const fit_objective fit_objectives[];
extern const size_t fit_n_objectives;
const fit_objective *fit_objective_find(const char *name, err *e);

/* --- solvers ------------------------------------------------------------------------------------------------------ */

typedef struct fit_solver fit_solver; /* fit/solver.h */
const fit_solver *fit_solver_find(const char *name, err *e);
const char *fit_solver_name(size_t i); /* NULL past the end */

/* --- what to do ------------------------------------------------------------------------------------------ */

typedef enum fit_starts { FIT_STARTS_SCREEN, FIT_STARTS_GRID, FIT_STARTS_RANDOM, FIT_STARTS_GIVEN } fit_starts;

typedef struct fit_opts {
    const fit_law *law;
    const fit_objective *objective;
    const fit_solver *solver;
    double delta;                            /* NaN: the objective's own */
    fit_starts starts;
    size_t n_starts;                         /* FIT_STARTS_RANDOM */
    size_t n_given; double (*given)[FIT_MAX_PARAMS]; /* FIT_STARTS_GIVEN: natural values, borrowed */
    double fix[FIT_MAX_PARAMS];              /* NaN = free; natural values */
    int tie[FIT_MAX_PARAMS];                 /* -1, or: equal to that parameter */
    double lo[FIT_MAX_PARAMS], hi[FIT_MAX_PARAMS]; /* NaN = the law's own domain */
    uint64_t seed;
    size_t bootstrap;                        /* resamples, 0 = none */
} fit_opts;

fit_opts fit_opts_default(const fit_law *law); /* huber-log, newton, screened starts, 1000 resamples, seed 0 */
/* "alpha=0.5", "alpha=beta", "E=0.5,2", "E=1.8,A=400,...": ST_USAGE naming the parameter and the known ones. */
status fit_opts_fix(fit_opts *o, const char *text, err *e);
status fit_opts_tie(fit_opts *o, const char *text, err *e);
status fit_opts_bound(fit_opts *o, const char *text, err *e);
status fit_start_parse(double *start, const fit_law *law, const char *text, err *e); /* start[FIT_MAX_PARAMS] */

/* --- data ------------------------------------------------------------------------------------------------ */

typedef struct fit_dropped { char why[32]; size_t n; } fit_dropped;

/* Rows of a fit. Columns that the law does not need may stand there too (C for the domain): NULL when absent. */
typedef struct fit_data {
    size_t n;
    double *N, *D, *C, *x, *loss;
    bool *held_out;                          /* NULL: none */
    uint32_t *cluster;                       /* NULL: every row its own */
    char x_name[FIT_NAME];                   /* "" when the law names its columns */
    char count_rule[FIT_NAME], flops_rule[FIT_NAME]; /* "unstated" */
    char cluster_name[TABLE_NAME_MAX];
    size_t n_dropped; fit_dropped dropped[FIT_MAX_DROPPED];
    double seed_sd;                          /* sd of ln loss over runs that differ in their seed only; NaN unknown */
    size_t n_inputs; table_source *inputs;
} fit_data;

/* What the command line says about the table. */
typedef struct fit_input_opts {
    const char *const *cols; size_t n_cols;  /* "NAME=COLUMN" */
    const char *where, *x, *cluster, *hold_out; /* NULL: not given; x a canonical name or a column */
    const char *count_rule, *flops_rule;     /* NULL: not given */
} fit_input_opts;

/* Selects, names, derives and checks columns; the table keeps only the rows used. `say` (may be NULL) gets one line for
 * each choice a user should know: columns guessed, rows dropped (level 1: every row by name). ST_INPUT: missing or
 * ambiguous column, a value that is not positive (path:line), a bad expression. Too few rows is no error here. */
typedef void fit_say_fn(void *who, int level, const char *line);
status fit_input(fit_data *out, table *t, const fit_law *law, const fit_input_opts *o, fit_say_fn *say, void *who,
                 err *e);
void fit_data_free(fit_data *d);
/* Canonical columns (N, D, C, loss, ...) of a table by --col or by guess, without selecting rows: for other methods. */
status fit_input_columns(table *t, const fit_input_opts *o, fit_say_fn *say, void *who, err *e);

/* --- results --------------------------------------------------------------------------------------------- */

typedef struct fit_estimate { double value, raw, se, lo, hi; bool fixed, at_bound; } fit_estimate; /* NaN = null */
typedef struct fit_basin { double params[FIT_MAX_PARAMS], objective_value; size_t n_starts; } fit_basin;
typedef enum fit_verdict { FIT_OK, FIT_WARN, FIT_REFUSE } fit_verdict;
typedef struct fit_reason { char code[32], message[FIT_TEXT]; double value; } fit_reason;
typedef struct fit_trust { fit_verdict verdict; size_t n; fit_reason reasons[FIT_MAX_REASONS]; } fit_trust;

typedef struct fit_budget {                  /* method isoflop */
    double C, N_opt, D_opt, loss_opt, curvature;
    size_t n;
    bool bracketed;
    char why[96];
} fit_budget;

typedef struct fit_result {
    char law[FIT_NAME], method[FIT_NAME], objective[FIT_NAME], solver[FIT_NAME], x[FIT_NAME];
    char count_rule[FIT_NAME], flops_rule[FIT_NAME];
    double delta;
    size_t n_points, n_dropped, n_params;
    char names[FIT_MAX_PARAMS][FIT_NAME];
    fit_estimate params[FIT_MAX_PARAMS];     /* value null and raw set where a refusal says so */
    double objective_value;
    size_t n_starts, n_reached, n_rejected; /* reached: within 1e-6 of the best; rejected: dead terms, not stationary */
    size_t n_basins; fit_basin basins[FIT_MAX_BASINS]; /* best first; all within 1 % */
    fit_estimate a_opt, b_opt, G;
    size_t holdout_n; double holdout_mean, holdout_max;
    fit_data points;                         /* rows used (held-out ones not among them) */
    double *fitted;                          /* [points.n] predicted loss */
    size_t boot_n, boot_ok; uint64_t seed;
    double *samples;                         /* [boot_ok][n_params] natural */
    double residual_sd, seed_sd;             /* of ln loss */
    size_t n_budgets; fit_budget *budgets;
    fit_trust trust;
    json_t *extra; /* keys of other methods (groups, trend), merged into the JSON; may be NULL */
} fit_result;

/* The whole fit: starts, basins, bootstrap, hold-out, trust. A law the data do not determine is a result (verdict
 * refuse); a status only for misuse or no memory. *out is zeroed first; fit_result_free also after an error. */
status fit_run(fit_result *out, const fit_data *data, const fit_opts *o, err *e);
status fit_isoflop(fit_result *out, const fit_data *data, const fit_opts *o, err *e);
struct lr_optimum;
/* Puts the learning-rate optimum (fit/lr_optimum.h) into a zeroed result; n_where: rows that --where left out. */
status fit_from_lr_optimum(fit_result *r, const struct lr_optimum *lr, const table *t, size_t n_where, err *e);
void fit_result_free(fit_result *r);

void fit_trust_add(fit_trust *t, fit_verdict v, const char *code, double value, const char *fmt, ...)
    __attribute__((format(printf, 5, 6)));
const char *fit_verdict_name(fit_verdict v);

/* muscale.fit/1. argv and version for provenance. New reference; NULL on no memory. */
json_t *fit_json(const fit_result *r, char *const *argv, int argc, const char *version);
json_t *fit_laws_json(void);
status fit_save(const json_t *fit, const char *path, err *e); /* atomically */
/* Read back by predict_fit_read (fit/predict.h), which takes what a prediction needs. */
#endif
