/* Prediction from fitted laws: which N and D for a budget, what loss, how sure. Arithmetic only: knows no trainer, no file
 * of a run; reads fit.json. cli/cmd_predict.c adds what a config knows (widths, counts, per-tensor table).
 *
 * Any law of the table whose columns are among N, D, C, M, U (or are given) can be asked, and so can a law typed by the user.
 * Where a law has a closed form of the optimum under C = k N D (chinchilla: Hoffmann et al. 2022, arXiv:2203.15556, eq. 4) it is
 * used; else, and with another cost f(N) per token, the minimum along C = f(N) D is found numerically.
 *
 * Two intervals. ci95: of the law's mean; pi95: for one new run (fit/predictive.h). */
#ifndef FIT_PREDICT_H
#define FIT_PREDICT_H
#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/err.h"
#include "base/io.h"

#include "fit/fit.h"

enum { PREDICT_NAME = 24, PREDICT_WHY = 256 };
typedef enum predict_axis { PREDICT_N, PREDICT_D, PREDICT_C, PREDICT_N_AXES } predict_axis;
const char *predict_axis_name(predict_axis a); /* "N" */

/* A law and what is known about it. Made by predict_law_init, filled by predict_fit_read or by hand. */
typedef struct predict_law {
    const fit_law *law;
    fit_model model;                /* bound to no data */
    fit_law *typed;                 /* owned; NULL: a law of the table */
    predict_axis x;                 /* what --x was, for laws of one variable */
    double theta[FIT_MAX_PARAMS];   /* natural values, in the law's order */
    double given[FIT_MAX_COLS];     /* values of columns that are none of N, D, C, M, U, x; NaN = not given */
    double unique_tokens;           /* U; NaN: every token is new */
    size_t n_draws;
    double *draws;                  /* [n_draws][FIT_MAX_PARAMS]; NULL: no intervals */
    double residual_sd, seed_sd;    /* sd of ln(loss); NaN = unknown */
    size_t n_points, n_params;      /* n_params: those the data had to determine */
    double lo[PREDICT_N_AXES], hi[PREDICT_N_AXES]; /* the data's range; NaN = the fit had no such column */
    double lo_ratio, hi_ratio;      /* of D/N among the points; NaN = unknown */
    double lowest_loss;             /* of the fit's points: the naive predictor; NaN = unknown */
    double flops_per_param_token;   /* median C/(N D) of the points, NaN = unknown */
} predict_law;
/* A law by name, nothing known yet (NaN). ST_DOMAIN: a law of whole curves. predict_law_free also after an error. */
status predict_law_init(predict_law *out, const fit_law *law, err *e);
void predict_law_free(predict_law *law);
/* The axis of a law of one variable; PREDICT_N_AXES for others. */
predict_axis predict_law_axis(const predict_law *law);

/* The law's prediction at one point. */
double predict_law_loss(const predict_law *law, const double *theta, double n, double d, double c);

/* Training FLOPs per token as a function of N. n_rows = 0: k N. Else a ladder, N rising; f/N is interpolated linearly in ln N
 * and held constant beyond its ends. */
typedef struct predict_cost { double k; size_t n_rows; const double *n, *flops_per_token; } predict_cost;
double predict_flops_per_token(const predict_cost *cost, double n);

/* What is asked; NaN = not given. One alone: C the best N and D for a budget; L the cheapest N and D that reach a loss;
 * N (or D) the D (or N) for which it is compute-optimal. Two: the third follows (N and D, N and C, D and C, N and L, D and L). */
typedef struct predict_ask {
    double n, d, c, loss;
    double serve; /* tokens to be served over the model's life at f(N)/3 FLOPs each; NaN = none. With C or L alone: the cheapest N
                     and D *together with serving* that reach that loss (Sardana et al. 2023, arXiv:2401.00448, eq. 2; with C
                     the loss of the compute-optimal run of that budget) */
} predict_ask;
/* Every field not given. */
predict_ask predict_ask_nothing(void);

typedef struct predict_interval { double lo, hi; } predict_interval; /* NaN = unknown, +INFINITY = not bounded by the data */

typedef struct predict_point {
    double n, d, c, tokens_per_param, loss;
    double epochs;         /* D/U; NaN = no U */
    double total, plain_total; /* with serving: training and serving here, and at the size that training alone would take */
} predict_point;

typedef struct predict_result {
    predict_point at;                       /* by the fitted parameters */
    predict_interval ci_n, ci_d, ci_c, ci_tokens_per_param, ci_loss, ci_epochs, ci_saving; /* saving: 1 - total/plain_total */
    predict_interval pi_loss;               /* one new run at `at` */
    double noise_sd;                        /* of ln loss, in pi_loss */
    size_t n_draws, n_unreachable;          /* draws under which the asked loss cannot be reached */
    double decades[PREDICT_N_AXES];         /* beyond the data's range, 0 inside; NaN = no such column */
    double ratio_decades;                   /* of D/N beyond the points'; 0 inside, NaN unknown */
    double extrapolation_decades;           /* the largest of N, D, C */
} predict_result;

/* ST_DOMAIN: what was asked has no answer under this law (loss at or below its floor, ...), or an unsuitable combination. */
status predict_solve(predict_point *out, const predict_law *law, const double *theta, const predict_cost *cost,
                     const predict_ask *ask, err *e);
/* ci of N, D, C over draws that each solve `ask` anew; ci and pi of the loss at the answer `at` itself, the run one would start. */
status predict_run(predict_result *out, const predict_law *law, const predict_cost *cost, const predict_ask *ask,
                   uint64_t seed, err *e);
/* The intervals of the loss at a given point: the second half of predict_run. */
status predict_at(predict_result *out, const predict_law *law, const predict_point *at, uint64_t seed, err *e);

/* A law whose target is no loss (lr-power, batch-power): its value at a point and the interval of its mean. */
status predict_value(double *value, predict_interval *ci, const predict_law *law, const predict_point *at, err *e);

/* --- learning rate ------------------------------------------------------------------------------- */

/* lr* = 2^(log2_c + p log2 width) of one parametrisation (fit/lr_optimum.h). */
typedef struct predict_lr_law {
    char parametrisation[PREDICT_NAME];
    double log2_c, p;
    size_t n_groups, n_draws;
    double *log2_c_draws, *p_draws; /* [n_draws] or NULL: no interval */
    double width_lo, width_hi;      /* bracketed widths */
    double tokens_hi;               /* longest run of the sweep; NaN = unknown */
    double ci_p[2];                 /* NaN = none */
    bool known;
    char why[PREDICT_WHY];          /* not known, or no interval */
} predict_lr_law;
typedef struct predict_lr_laws { size_t n; predict_lr_law *laws; } predict_lr_laws;
void predict_lr_laws_free(predict_lr_laws *l);

typedef struct predict_lr { bool known; double lr; predict_interval ci; double octaves_beyond; char why[PREDICT_WHY]; } predict_lr;
/* Never fails: what no law determines has known = false and why. */
status predict_lr_at(predict_lr *out, const predict_lr_laws *laws, const char *parametrisation, double width, err *e);

/* --- fit.json ------------------------------------------------------------------------------------ */

/* One fit as predict sees it. */
typedef struct predict_fit {
    char path[IO_PATH_MAX], sha256[IO_SHA256_HEX];
    char law[PREDICT_NAME], method[PREDICT_NAME], count_rule[PREDICT_NAME], flops_rule[PREDICT_NAME];
    char target[PREDICT_NAME]; /* "loss", "lr", "batch_tokens", ... */
    bool is_lr;               /* lr, the optimum per width, is filled; else loss, whatever its target */
    bool refused;             /* trust.verdict is "refuse" */
    bool raw;                 /* parameters came from `raw`: not identified by the data */
    predict_law loss;
    predict_lr_laws lr;
    json_t *root;             /* the whole file, owned */
} predict_fit;

/* ST_INPUT: missing, damaged, foreign, or a fit without a law that predicts (method isoflop); names the file and the remedy.
 * *out is zeroed first; predict_fit_free also after an error. */
status predict_fit_read(predict_fit *out, const char *path, err *e);
void predict_fit_free(predict_fit *f);
#endif
