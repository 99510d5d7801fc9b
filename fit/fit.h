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
    FIT_MAX_PARAMS = 16,
    FIT_MAX_COLS = 8,
    FIT_MAX_TERMS = 4,
    FIT_MAX_GRID = 8,
    FIT_MAX_NULLS = 4,
    FIT_MAX_DERIVED = 3,
    FIT_BLOCK = 64, /* rows a law is evaluated on at once: its derivatives stay in the first cache */
    FIT_MAX_BASINS = 16,
    FIT_MAX_REASONS = 12,
    FIT_MAX_DROPPED = 8,
    FIT_NAME = 24,
    FIT_FORMULA = 512,
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

/* A block of rows as a law sees it. */
typedef struct fit_rows {
    size_t n;                                /* at most FIT_BLOCK */
    const double *x[FIT_MAX_COLS];           /* the law's columns */
    const double *z[FIT_MAX_COLS];           /* ln x minus its mean (0 unless the law is a sum of powers) */
    const size_t *row;                       /* [n] their places in the data the law was bound to */
} fit_rows;

/* A law made ready: its formula compiled, or what it computes from a table once (the schedules of curves). Constant while
 * a fit runs: threads share it. */
typedef struct fit_model {
    const fit_law *law;
    void *state;
    size_t scratch;                          /* doubles that eval wants */
} fit_model;

struct fit_data;
typedef status fit_bind_fn(fit_model *m, const struct fit_data *data, err *e); /* data NULL: for single points */

/* ln of the prediction for a block of rows, with first derivatives jac[n_params][n] and second derivatives
 * curv[n_params*(n_params+1)/2][n] (upper triangle by rows) where not NULL, all in coordinates. Pure arithmetic. */
typedef void fit_eval_fn(const fit_model *m, double *scratch, double *ln_pred, double *jac, double *curv,
                         const double *theta, const fit_rows *rows);

/* The prediction itself, f[n], and its gradient grad[n_params][n] in the natural parameters; f need not be positive. Asked
 * of laws that are affine in some parameters. */
typedef void fit_affine_fn(const fit_model *m, double *scratch, double *f, double *grad, const double *natural,
                           const fit_rows *rows);

/* A simpler law inside this one, by setting a parameter: when it describes the data as well (likelihood ratio), the
 * parameter is not shown by them. */
typedef struct fit_null { const char *param; double value; const char *meaning; } fit_null;

struct fit_law {
    const char *name, *formula, *source;
    bool typed;                              /* written by the user: fit_law_typed */
    const char *body;                        /* the formula as fit/expr.h reads it; NULL: eval is the law's own */
    const char *target;                      /* the column that is predicted; NULL: loss */
    size_t n_params;
    fit_param params[FIT_MAX_PARAMS];
    size_t n_cols;
    const char *cols[FIT_MAX_COLS];          /* canonical columns; "x": the one named by --x */
    bool zero_ok[FIT_MAX_COLS];              /* columns in which 0 is a value */
    bool curves;                             /* of whole curves: needs fit_data.runs */
    size_t n_terms;
    fit_term terms[FIT_MAX_TERMS];
    const char *floor;                       /* the parameter that is the floor; NULL: none, or a term's */
    fit_null nulls[FIT_MAX_NULLS];           /* beside the terms; param NULL ends */
    fit_bind_fn *bind; void (*unbind)(fit_model *m); /* NULL: nothing to make ready */
    /* From now on derivatives are asked in these parameters only [n_params]; NULL: all are computed whatever is asked. */
    status (*narrow)(fit_model *m, const bool *free, err *e);
    /* Parameters in which the prediction is affine, jointly; NULL: the terms' amplitudes. */
    void (*linear)(const fit_model *m, bool *linear);
    fit_affine_fn *affine;                   /* with linear */
    fit_eval_fn *eval;
    /* N and D that minimise the loss under C = 6ND; NULL where there is no closed form. */
    void (*optimum)(double *n, double *d, const double *params, double c);
    /* a_opt, b_opt, G of N_opt = G (C/6)^a_opt, D_opt = (C/6)^b_opt / G; NULL as above. */
    void (*allocation)(double *a_opt, double *b_opt, double *g, const double *params);
    /* What else the parameters decide (the best precision, ...): derived[k] into out[k]. NaN: undefined there. */
    const char *derived[FIT_MAX_DERIVED + 1];
    void (*derive)(double *out, const double *params);
};

extern const fit_law *const fit_laws[];
extern const size_t fit_n_laws;
const fit_law *fit_law_find(const char *name, err *e); /* NULL with ST_USAGE in e: names the known ones */
int fit_law_floor(const fit_law *law); /* -1 */
int fit_law_param(const fit_law *law, const char *name); /* -1 */

/* A law typed by the user, 'E + A*N^-alpha' (grammar: fit/expr.h): names among cols are columns, all others parameters, on a
 * log scale and positive unless they stand in an exponent. Owned: fit_law_typed_free. ST_INPUT points at the character. */
bool fit_law_is_formula(const char *text);   /* and no name of a law */
status fit_law_typed(fit_law **out, const char *text, const char *const *cols, size_t n_cols, err *e);
void fit_law_typed_domain(fit_law *law, int param, double lo, double hi); /* --bound; a negative lo: any sign */
void fit_law_typed_free(fit_law *law);

/* Binds a law to rows, or (data NULL) to none: then it answers for single points, unless it is a law of whole curves
 * (ST_DOMAIN). *m is zeroed first; fit_model_free also after an error. */
status fit_model_init(fit_model *m, const fit_law *law, const struct fit_data *data, err *e);
void fit_model_free(fit_model *m);
/* The prediction for a row of the data the model was bound to; scratch[m->scratch]. */
double fit_model_at(const fit_model *m, double *scratch, const double *params, const struct fit_data *d, size_t row);
/* The prediction at one point; params natural (A, not ln A), x[n_cols] natural. NaN where scratch is short of memory. */
double fit_model_value(const fit_model *m, const double *params, const double *x);

/* --- objectives: F = sum over rows of rho(r) ---------------------------------------------------------------------- */

typedef struct fit_objective {
    const char *name, *meaning;
    bool log_residual;                       /* r = ln L - ln L^, else L - L^ */
    bool squared;                            /* least-squares solvers apply */
    bool has_delta; double delta;            /* default */
    double overestimate;                     /* factor on residuals below 0, where the law lies above the data */
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

/* Method isoflop: how a budget's minimum is found (fit/isoflop_min.c: parabola, akima, lowest). */
typedef struct fit_minimum fit_minimum;
const fit_minimum *fit_minimum_find(const char *name, err *e); /* NULL with ST_USAGE in e */

/* sd of a loss between runs that differ in their seed only: one, or two at two losses (ln sd is linear in ln loss between
 * them, constant outside). n = 0: not stated. */
typedef struct fit_noise { size_t n; bool relative; double loss[2], sd[2]; } fit_noise; /* relative: of ln loss; else nats */

typedef struct fit_opts {
    const fit_law *law;
    const fit_objective *objective;
    const fit_solver *solver;
    double delta;                            /* NaN: the objective's own */
    fit_starts starts;
    size_t n_starts;                         /* FIT_STARTS_RANDOM */
    size_t n_given; double (*given)[FIT_MAX_PARAMS]; /* FIT_STARTS_GIVEN: natural values, borrowed */
    double fix[FIT_MAX_PARAMS];              /* NaN = free; natural values */
    /* Draws of the pinned values from the fit they come from, [n_fix_draws][FIT_MAX_PARAMS], NaN = not drawn; borrowed. Resample b
     * takes draw b, so that a second stage's intervals hold the first stage's uncertainty. NULL: pinned exactly. */
    const double (*fix_draws)[FIT_MAX_PARAMS]; size_t n_fix_draws;
    int tie[FIT_MAX_PARAMS];                 /* -1, or: equal to that parameter */
    double lo[FIT_MAX_PARAMS], hi[FIT_MAX_PARAMS]; /* NaN = the law's own domain */
    uint64_t seed;
    size_t bootstrap;                        /* resamples, 0 = none */
    bool rolling;                            /* back-test over scales (fit/backtest.c) */
    size_t fold_rows;                        /* at least so many in its first fold: laws that are compared share their folds */
    bool profile;                            /* profile likelihoods of all free parameters, and of the predictions at `at` */
    size_t n_at; double (*at)[FIT_MAX_COLS]; /* points to predict, the law's columns; borrowed */
    bool warm;                               /* resamples start from the optimum and the other basins only */
    size_t threads;                          /* 0: one per processor. Results do not depend on it */
    const fit_minimum *minimum;              /* isoflop; NULL: parabola */
    fit_noise noise;                         /* isoflop */
} fit_opts;

fit_opts fit_opts_default(const fit_law *law); /* huber-log, newton, screened starts, 1000 resamples, seed 0 */
/* "alpha=0.5", "alpha=beta", "E=0.5,2", "E=1.8,A=400,...": ST_USAGE naming the parameter and the known ones. */
status fit_opts_fix(fit_opts *o, const char *text, err *e);
status fit_opts_tie(fit_opts *o, const char *text, err *e);
status fit_opts_bound(fit_opts *o, const char *text, err *e);
status fit_opts_noise(fit_opts *o, const char *text, err *e); /* "0.005" or "0.005@3,0.05@7" */
/* The same text for a typed law: its domain, which may be any; before fit_opts_default. */
status fit_opts_domain(fit_law *typed, const char *text, err *e);
status fit_start_parse(double *start, const fit_law *law, const char *text, err *e); /* start[FIT_MAX_PARAMS] */
/* "N=1e9,D=2e10": x[FIT_MAX_COLS], the law's columns in its order; x_name: what its column "x" is called ("": nothing else). M and
 * epochs also as D with N or U. ST_USAGE naming the columns. */
status fit_at_parse(double *x, const fit_law *law, const char *x_name, const char *text, err *e);

/* --- data ------------------------------------------------------------------------------------------------ */

typedef struct fit_dropped { char why[32]; size_t n; } fit_dropped;

typedef struct fit_column { char name[TABLE_NAME_MAX]; double *x; } fit_column;

/* Rows of a fit. N, D, C and the one named by --x stand by themselves (NULL when absent; they may be there without the
 * law needing them: C for the domain), the law's other columns by name. */
typedef struct fit_data {
    size_t n;
    double *N, *D, *C, *x;
    double *y; char target[FIT_NAME];        /* what is predicted: "loss", "lr", ... */
    size_t n_more; fit_column more[FIT_MAX_COLS];
    bool *held_out;                          /* NULL: none */
    uint32_t *cluster;                       /* NULL: every row its own */
    bool common_scale;                       /* laws are compared: all must cut the rows at the same places */
    size_t n_repeated;                       /* rows that stand there a second time, or that share a run with another; no cluster given */
    char units[160];                         /* a suspicion about units, "" none */
    struct fit_runs *runs;                   /* laws of whole curves: run and schedule of each row (fit/curve.h); else NULL */
    char x_name[TABLE_NAME_MAX];                 /* "" when the law names its columns */
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
    bool include_early_stopped;              /* runs that a rule ended: at their last validation loss; else dropped */
    bool x_optional;                         /* x is for those laws that have a free variable */
    bool again;                              /* the table has been through this: columns are named, nothing is said */
    bool by_curve;                           /* method envelope: rows are points of curves (`curve` below): clusters are curves */
    const char *embedding;                   /* "VOCAB,ASPECT": added to N; "-VOCAB,ASPECT": taken out; NULL: N as it is */
    /* Laws of whole curves. curve: the column that names a row's curve (NULL: `run` if there is one, else each input is a
     * curve); warmup: linear, linear:STEPS, constant, none (NULL: linear, and the verdict says that it was assumed);
     * schedules: "NAME:SHAPE KEY=VALUE ..." or, for all, "SHAPE ..." (fit/curve.h); lambda 0: the paper's. */
    const char *curve, *warmup;
    const char *const *schedules; size_t n_schedules;
    double lambda;
    struct fit_runs **runs;                  /* NULL, or where schedules are kept between passes over one table (`again`): rows
                                              * that one pass drops still tell the learning rate. For fit_runs_free */
} fit_input_opts;

/* Selects, names, derives and checks columns; the table keeps only the rows used. `say` (may be NULL) gets one line for
 * each choice a user should know: columns guessed, rows dropped (level 1: every row by name). ST_INPUT: missing or
 * ambiguous column, a value that is not positive (path:line), a bad expression. Too few rows is no error here. */
typedef void fit_say_fn(void *who, int level, const char *line);
status fit_input(fit_data *out, table *t, const fit_law *law, const fit_input_opts *o, fit_say_fn *say, void *who,
                 err *e);
void fit_data_free(fit_data *d);
void fit_runs_free(struct fit_runs *r); /* NULL is accepted */
const double *fit_data_column(const fit_data *d, const char *name); /* NULL when absent */
double fit_data_size(const fit_data *d, size_t row); /* the scale of a run: C, else x, else N D (common_scale: before x) */
/* Names that a formula may use as columns: canonical ones, those of --col and of the table. Borrowed from t and o; *names is
 * malloc'ed. */
status fit_column_names(const char ***names, size_t *n, const table *t, const fit_input_opts *o, err *e);
/* The canonical name of which `name` is another, where the table has that column: a parameter called so is a slip. NULL: none. */
const char *fit_column_role(const table *t, const char *name);
/* Canonical columns (N, D, C, loss, ...) of a table by --col or by guess, without selecting rows: for other methods. */
status fit_input_columns(table *t, const fit_input_opts *o, fit_say_fn *say, void *who, err *e);

/* --- results --------------------------------------------------------------------------------------------- */

typedef struct fit_estimate { double value, raw, se, lo, hi; bool fixed, at_bound, bounded; } fit_estimate; /* NaN = null; bounded: by the user */
typedef struct fit_basin { double params[FIT_MAX_PARAMS], objective_value; size_t n_starts; } fit_basin; /* 0 starts: found by a probe */
typedef enum fit_verdict { FIT_OK, FIT_WARN, FIT_REFUSE } fit_verdict;
typedef struct fit_reason { char code[32], message[FIT_TEXT]; double value; } fit_reason;
typedef struct fit_trust { fit_verdict verdict; size_t n; fit_reason reasons[FIT_MAX_REASONS]; } fit_trust;

typedef struct fit_budget {                  /* method isoflop */
    double C, N_opt, D_opt, loss_opt, curvature;
    double sd_ln_N, grid_step;               /* over resamples, NaN = none; mean gap of ln N */
    size_t n;
    bool bracketed;
    char why[96];
} fit_budget;

/* A held-out row and what the fit says of it; lo, hi: 95 % predictive, NaN = no bootstrap. */
typedef struct fit_scored { double N, D, C, x, y, predicted, lo, hi, size; } fit_scored; /* size: fit_data_size */

/* Fitted on rows up to `cut` in C (else x, else N D), scored on all larger ones; relative errors. covered: share of the rows inside
 * their predictive interval, NaN without bootstrap. */
typedef struct fit_fold {
    double cut;
    size_t n_train, n_test;
    double mean, max, bias, covered;
    fit_verdict verdict;
    fit_scored *rows;                        /* [n_test] */
} fit_fold;
enum { FIT_MAX_FOLDS = 6 };

/* The rows of all folds that lie beyond their cut by `from` to `to` decades. */
typedef struct fit_beyond { double from, to; size_t n; double mean, max, bias, covered; } fit_beyond;
enum { FIT_MAX_BEYOND = 12 };                /* half decades; the last takes all that is further */

enum { FIT_PROFILE_POINTS = 21 };
/* Natural values; lo, hi: where 2 ln L is 3.84 lower; robust: 3.84 times inflation (fit/sandwich.h). NaN = unbounded in the domain;
 * inflation NaN: not to be had. */
typedef struct fit_profile {
    int param;                               /* -1: of a prediction */
    double lo, hi, inflation, robust_lo, robust_hi, value[FIT_PROFILE_POINTS], objective[FIT_PROFILE_POINTS], log_likelihood[FIT_PROFILE_POINTS];
} fit_profile;

/* The prediction at a point of --at: the law's columns x; 95 % of the law's mean (ci) and of one new run (pi), NaN = unknown;
 * decades beyond the fitted rows, 0 inside. On refuse what lies beyond is null. */
typedef struct fit_asked {
    double x[FIT_MAX_COLS], predicted, ci[2], pi[2], decades;
    bool profiled; fit_profile profile;
} fit_asked;

typedef struct fit_result {
    char formula[FIT_FORMULA];               /* of a law typed by the user; "" */
    char law[FIT_NAME], method[FIT_NAME], objective[FIT_NAME], solver[FIT_NAME], x[TABLE_NAME_MAX];
    char count_rule[FIT_NAME], flops_rule[FIT_NAME];
    double delta;
    size_t n_points, n_dropped, n_params, n_free; /* free: neither pinned nor tied */
    char names[FIT_MAX_PARAMS][FIT_NAME];
    fit_estimate params[FIT_MAX_PARAMS];     /* value null and raw set where a refusal says so */
    double objective_value;
    size_t n_starts, n_reached, n_rejected, n_cut; /* cut: left after a short run far from the best; reached: within 1e-6 of the best; rejected: dead terms, not stationary */
    size_t n_probes;   /* solves between and around the basins, after the starts (fit/probe.c) */
    size_t n_basins; fit_basin basins[FIT_MAX_BASINS]; /* best first; all within 1 % */
    fit_estimate a_opt, b_opt, G;
    size_t n_derived; const char *derived_names[FIT_MAX_DERIVED]; fit_estimate derived[FIT_MAX_DERIVED]; /* names: the law row's */
    size_t holdout_n; double holdout_mean, holdout_max, holdout_bias; /* relative errors: mean and largest size, mean */
    fit_scored *holdout;                     /* [holdout_n] */
    fit_data points;                         /* rows used (held-out ones not among them) */
    double *fitted;                          /* [points.n] predicted loss */
    bool pinned_drawn;                       /* pinned values differ from resample to resample */
    size_t boot_n, boot_ok; uint64_t seed;
    double *samples;                         /* [boot_ok][n_params] natural */
    double residual_sd, seed_sd;             /* of ln loss */
    double log_likelihood, scale, aic, aicc, bic; /* fit/likelihood.h; parameters counted: the free ones and the scale */
    size_t n_profiles; fit_profile *profiles;
    size_t n_folds; fit_fold folds[FIT_MAX_FOLDS];
    size_t n_cols; char cols[FIT_MAX_COLS][TABLE_NAME_MAX]; /* of the law, "x" by its name */
    size_t n_asked; fit_asked *asked;
    size_t n_budgets; fit_budget *budgets;
    fit_trust trust;
    json_t *extra; /* keys of other methods (groups, trend), merged into the JSON; may be NULL */
} fit_result;

/* The whole fit: starts, basins, bootstrap, hold-out, trust. A law the data do not determine is a result (verdict
 * refuse); a status only for misuse or no memory. *out is zeroed first; fit_result_free also after an error. */
status fit_run(fit_result *out, const fit_data *data, const fit_opts *o, err *e);
status fit_isoflop(fit_result *out, const fit_data *data, const fit_opts *o, err *e);
status fit_envelope(fit_result *out, const fit_data *data, const fit_opts *o, err *e); /* data of fit_input with `by_curve` */
struct lr_optimum;
/* Puts the learning-rate optimum (fit/lr_optimum.h) into a zeroed result; n_where: rows that --where left out. */
status fit_from_lr_optimum(fit_result *r, const struct lr_optimum *lr, const table *t, size_t n_where, err *e);
void fit_result_free(fit_result *r);
/* Errors of the back-test by how far beyond the cut: out[FIT_MAX_BEYOND], returns how many. */
size_t fit_backtest_beyond(fit_beyond *out, const fit_result *r);

void fit_trust_add(fit_trust *t, fit_verdict v, const char *code, double value, const char *fmt, ...)
    __attribute__((format(printf, 5, 6)));
const char *fit_verdict_name(fit_verdict v);

/* muscale.fit/1. argv and version for provenance. New reference; NULL on no memory. */
json_t *fit_json(const fit_result *r, char *const *argv, int argc, const char *version);
json_t *fit_laws_json(void);
status fit_save(const json_t *fit, const char *path, err *e); /* atomically */
/* Read back by predict_fit_read (fit/predict.h), which takes what a prediction needs. */
#endif
