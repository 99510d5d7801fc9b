/* What fit_run's parts pass each other. */
#ifndef FIT_RUN_H
#define FIT_RUN_H
#include "fit/search.h"

/* A simpler law inside the fitted one, and how much worse it does. */
typedef struct fit_test {
    int amplitude, exponent;  /* what the data must show; exponent -1: alone (a floor, or a null of the law's row) */
    bool floor;
    double gain, needed;      /* ln-likelihood gained over the simpler law; what 95 or 99.9 % of chi-square ask for */
    const char *meaning;      /* of the law's null; NULL for a term */
} fit_test;
enum { FIT_MAX_TESTS = FIT_MAX_TERMS + FIT_MAX_NULLS + FIT_MAX_LINEAR };

/* What was found out beside the optimum, for the verdict. */
typedef struct fit_evidence {
    size_t n_free;
    bool found;               /* some start ended in a stationary point with all terms alive */
    int dead;                 /* else: a parameter that moves nothing at the best end; -1 none (not stationary) */
    size_t n_tests; fit_test tests[FIT_MAX_TESTS];
    size_t distinct[FIT_MAX_COLS]; /* values of each column of the law */
    double collinear;         /* sums of powers of two columns: share of the variance of ln col 1 that ln col 0 does not explain; else NaN */
    double weakest;           /* smallest eigenvalue of the correlation of the derivatives; NaN: not computed */
    int weak[2];              /* the two parameters that stand out in its direction; -1 none */
    double holdout_decades;   /* furthest held-out row beyond the data, in decades of the law's columns or C; NaN none */
} fit_evidence;

/* Resamples rows (or clusters), refits from the optimum, the other basins and some of the screened starts. */
status fit_bootstrap(fit_result *out, fit_problem *p, const fit_data *data, const fit_opts *o, const fit_search *search,
                     const fit_start_list *starts, err *e);
/* se and percentile interval from samples; intervals of a_opt, b_opt, G. */
void fit_intervals(fit_result *r, const fit_law *law);
void fit_percentiles(fit_estimate *out, double *values, size_t n); /* sorts values */

void fit_judge(fit_result *r, const fit_law *law, const fit_evidence *ev);
struct fit_runs;
void fit_judge_runs(fit_result *r, const struct fit_runs *runs); /* laws of whole curves */
void fit_judge_conventions(fit_result *r, bool uses_n, bool uses_c);

/* Common ends. */
void fit_result_rules(fit_result *r, const fit_data *data);
status fit_result_points(fit_result *r, const fit_data *data, err *e);

/* fit/evidence.c: columns, nested laws, conditioning at the optimum. */
status fit_evidence_columns(fit_evidence *ev, const fit_problem *p, err *e);
status fit_evidence_tests(fit_evidence *ev, const fit_problem *p, const fit_data *data, const fit_opts *o,
                          const double *best, err *e);
status fit_evidence_condition(fit_evidence *ev, fit_problem *p, const double *best, err *e);

/* fit/profile.c */
status fit_profiles(fit_result *r, const fit_problem *p, const fit_data *data, const fit_opts *o, const fit_search *search, err *e);
/* Of the prediction at x; m is bound to no data. */
status fit_profile_prediction(fit_profile *out, const fit_result *r, const fit_problem *p, const fit_data *data, const fit_opts *o,
                              const fit_search *search, const fit_model *m, const double *x, double predicted, err *e);

/* fit/ask.c: the points of --at; params natural. Before: their places, nothing known. After the verdict: none beyond the data on refuse. */
status fit_ask_nothing(fit_result *r, const fit_opts *o, err *e);
status fit_ask(fit_result *r, const fit_problem *p, const fit_data *data, const fit_opts *o, const fit_search *search, const double *params,
               err *e);
void fit_ask_judge(fit_result *r);

status fit_backtest(fit_result *r, const fit_data *data, const fit_opts *o, err *e); /* fit/backtest.c */
/* fit/holdout.c: scores the held-out rows. */
status fit_score_holdout(fit_result *r, fit_evidence *ev, const fit_data *data, const fit_problem *p,
                         const double *params, err *e);
#endif
