/* Loss along a learning-rate schedule: the schedules themselves, their cumulative sums, and two laws of whole curves.
 *
 *   lr-anneal    L(s) = L0 + A S1(s)^-alpha - C S2(s)                   Tissue et al. 2024, arXiv:2408.11029
 *   multi-power  L(s) = L0 + A S1(s)^-alpha - B H(s),
 *                H(s) = sum_{k=1..s} (eta_{k-1} - eta_k) G(eta_k^-gamma S_k(s)), G(x) = 1 - (1 + C x)^-beta
 *                                                                       Luo et al. 2025 (Multi-Power Law)
 *
 * eta_i is the learning rate of step i, counted from 0; S1(s) = sum_{i<=s} eta_i; S_k(s) = S1(s) - S1(k-1). The
 * parameters carry the unit of the learning rate and depend on the warm-up convention (fit_warmup): both belong to a
 * fit. doc/laws.md tells the user. Private to fit/. */
#ifndef FIT_CURVE_H
#define FIT_CURVE_H
#include "base/cpu_level.h"
#include "fit/fit.h"

/* --- schedules ------------------------------------------------------------------------------------------------ */

/* What is assumed of the warm-up. It moves the fitted alpha of lr-anneal from .51 to .83 on the same curves, so it is
 * stored with the fit. LINEAR: it rises from 0, counts in S1, and its (negative) drops count in H, never in S2.
 * CONSTANT: its steps count as if they had been at the peak. NONE: its steps count nowhere. */
typedef enum fit_warmup { FIT_WARMUP_LINEAR, FIT_WARMUP_CONSTANT, FIT_WARMUP_NONE } fit_warmup;
const char *fit_warmup_name(fit_warmup w); /* NULL past the end */
status fit_warmup_find(fit_warmup *out, const char *name, err *e);

/* A schedule by name: warm-up to `peak`, `peak` until step `from`, then the shape's fall to `final` at step `steps`. */
typedef struct fit_shape {
    const char *name, *meaning;
    bool falls; /* has a `from` and a `final` */
    double (*lr)(double x, double peak, double final); /* x = (t - from)/(steps - from), 0 <= x < 1 */
} fit_shape;

extern const fit_shape fit_shapes[]; /* constant, cosine, linear, exponential, 1-sqrt, two-stage */
extern const size_t fit_n_shapes;

typedef struct fit_schedule_spec {
    const fit_shape *shape;
    double peak, final;
    size_t warmup, from, steps; /* in steps; from: 0 = the end of the warm-up */
} fit_schedule_spec;

/* "cosine peak=3e-4 final=3e-5 warmup=2160 steps=24000", separated by blanks or commas; "wsd" is the shape named by
 * decay=, from from=; "wsdcon" is two-stage. ST_USAGE points at the word. */
status fit_schedule_parse(fit_schedule_spec *out, const char *text, err *e);

enum { FIT_MAX_BREAKS = 4 };

/* One training run's learning rate. lr of the steps that the convention leaves out is 0. */
typedef struct fit_schedule {
    size_t n_steps;
    double *lr, *s1;       /* [n_steps]; s1[i] = lr[0] + ... + lr[i] */
    double peak;           /* largest lr */
    size_t warmup;         /* steps of the warm-up: lr rises up to step warmup - 1 */
    size_t first_drop;     /* drops of earlier steps are left out of every law (NONE), else 1 */
    size_t n_breaks, breaks[FIT_MAX_BREAKS]; /* steps at which the formula changes, ascending */
} fit_schedule;

status fit_schedule_named(fit_schedule *out, const fit_schedule_spec *spec, fit_warmup warmup, err *e);

/* From the (step, lr) pairs of a log, n >= 1, steps ascending. Between samples the learning rate is taken as linear;
 * beyond the last one nothing is known. Steps before the first sample, if any: `assumed_steps` of warm-up (0: all of
 * them), at the first sample's lr from there on. */
status fit_schedule_sampled(fit_schedule *out, const double *step, const double *lr, size_t n, fit_warmup warmup,
                            size_t assumed_steps, err *e);
void fit_schedule_free(fit_schedule *s);

/* s2[n_steps]: S2(s) = sum_{i<=s} m_i, m_i = lambda m_{i-1} + (eta_{i-1} - eta_i), m = 0 up to the end of the warm-up.
 * The paper's momentum of the drops; that it starts after the warm-up is our reading. */
void fit_schedule_s2(double *s2, const fit_schedule *s, double lambda);

/* --- the sum over drops: what makes multi-power expensive --------------------------------------------------- */

enum { FIT_NODES = 16 };

/* H and its derivatives by v = ln C, by beta (b), and by gamma, which enters with v as v - gamma ln eta: "t" is a
 * factor -ln eta inside the sum, so H_gamma = H_vt and so on. */
enum { FIT_H, FIT_HV, FIT_HVT, FIT_HB, FIT_HVV, FIT_HVVT, FIT_HVVTT, FIT_HVB, FIT_HVBT, FIT_HBB, FIT_N_H };

/* Steps with a drop, gathered once per schedule into runs of 16 nodes: single steps close to a row, blocks of 32, 64,
 * ... steps by interpolation further from it (fit/curve_tree.c). A row reads some 350 nodes, whatever its step. */
typedef struct fit_nodes {
    size_t n, cap;             /* a multiple of FIT_NODES */
    double *weight, *t, *s1;   /* [n] drop, -ln eta, S1 before the step */
} fit_nodes;

typedef struct fit_node_row { size_t first, n_runs; unsigned char last; double s1, saturated; } fit_node_row;

/* --- the rows of a data set ----------------------------------------------------------------------------------- */

typedef struct fit_run_about { char name[TABLE_NAME_MAX], schedule[FIT_TEXT]; } fit_run_about; /* "": from its log */

/* Which run each row belongs to, and the runs' schedules: what a law of whole curves needs beside step and loss. */
typedef struct fit_runs {
    size_t n_schedules;
    fit_schedule *schedule;      /* [n_schedules] */
    uint32_t *run, *step;        /* [n rows] */
    fit_run_about *about;        /* [n_schedules], NULL: not known */
    fit_warmup warmup;           /* what the schedules were built with ... */
    bool assumed;                /* ... without anybody having said so */
    double lambda;               /* of S2; the paper's .999 is FIT_LAMBDA */
} fit_runs;
#define FIT_LAMBDA .999
status fit_runs_copy(fit_runs **out, const fit_runs *from, err *e); /* without the rows */
json_t *fit_runs_json(const fit_runs *r); /* {"schedules": ...}, stored with the fit; NULL on no memory */

typedef struct fit_curves {
    size_t n;
    double *ln_s1, *s2;          /* [n] */
    fit_nodes nodes;             /* of all schedules */
    fit_node_row *row;           /* [n] */
    uint32_t *run; size_t n_run, cap_run; /* first node of each run of nodes */
    cpu_level level;             /* of the arithmetic */
} fit_curves;

/* From n rows; runs is not needed afterwards. drops: with the nodes of H, for multi-power. ST_INPUT: a step beyond its
 * schedule, or before the first step with a learning rate, by row number. */
status fit_curves_init(fit_curves *out, const fit_runs *runs, size_t n, double lambda, bool drops, err *e);
void fit_curves_free(fit_curves *c);
status fit_curves_nodes(fit_curves *c, const fit_runs *runs, err *e); /* a part of init */

/* h[FIT_N_H] (only h[FIT_H] unless `all`) of one row; v = ln C. Interpolation is good to 1e-12 of the sum of |drops|
 * (tests/fit/test_curve.c). Pure. */
void fit_curves_h(double *h, const fit_curves *c, size_t row, double v, double beta, double gamma, bool all);
/* The arithmetic of it: adds up n nodes, n a multiple of 8; s = S_k. Vectors of 2, 4 (x86-64-v3) or 8 (x86-64-v4)
 * doubles: levels differ in the last digits. */
void fit_curve_sum(double *h, const double *weight, const double *t, const double *s, size_t n, double v, double beta,
                   double gamma, bool all, cpu_level level);
typedef void fit_curve_sum_fn(double *h, const double *weight, const double *t, const double *s, size_t n, double v,
                              double beta, double gamma, bool all);
fit_curve_sum_fn fit_curve_sum_v1, fit_curve_sum_v3, fit_curve_sum_v4; /* of each level */

/* --- laws ------------------------------------------------------------------------------------------------------ */

/* Coordinates: lr-anneal ln L0, ln A, alpha, ln C; multi-power ln L0, ln A, alpha, ln B, ln C, ln beta, gamma. ln beta:
 * B and beta trade along B beta = const towards beta = 0, a straight line in logarithms. On the curves of the 25M, 100M
 * and 400M models all of 64 starts ended in the one optimum, in 0.6 times the steps; with plain beta five did not.
 *
 * ln_pred[n], jac[params][n], curv[params(params+1)/2][n] for the rows named; jac may be NULL, and curv (curv not
 * without jac). ln of a loss that is not positive is NaN, and so are its derivatives. */
enum { FIT_ANNEAL_L0, FIT_ANNEAL_A, FIT_ANNEAL_ALPHA, FIT_ANNEAL_C, FIT_ANNEAL_PARAMS };
enum { FIT_MPL_L0, FIT_MPL_A, FIT_MPL_ALPHA, FIT_MPL_B, FIT_MPL_C, FIT_MPL_BETA, FIT_MPL_GAMMA, FIT_MPL_PARAMS };
void fit_anneal_eval(double *ln_pred, double *jac, double *curv, const fit_curves *c, const size_t *row, size_t n,
                     const double *theta);
void fit_mpl_eval(double *ln_pred, double *jac, double *curv, const fit_curves *c, const size_t *row, size_t n,
                  const double *theta);
#endif
