/* Early stopping: the rules, as arithmetic on curves. Off unless a spec (early_terminate) or --early-stop asks for it.
 *
 * hyperband: brackets of iterations, a factor eta apart. A run that reaches a bracket is compared with every run
 * that has reached it so far, and stops unless it is among the best 1/eta: among n values it stays when it is not
 * above the one of rank floor(n/eta) + 1. Rank, brackets (whole iterations, max/eta^i or min*eta^i) and the value that
 * is compared (the one at the bracket) are those of W&B's public controller (wandb/sweeps 2c60b3e,
 * src/sweeps/hyperband_stopping.py), which is the asynchronous form of Li et al. 2018 (Hyperband, arXiv:1603.06560)
 * that Li et al. 2020 (ASHA, arXiv:1810.05934) describe. Departures: that controller counts values from 0, here the
 * k-th value is iteration k; it looks at a running run whenever it comes by, here a run is judged when it reaches a
 * bracket, and between brackets only with `strict`.
 *
 * median: Golovin et al. 2017 (Google Vizier, KDD), sec. 3.2.2: a run stops at step t when its best value so far is
 * worse than the median, over the other runs, of the mean of their values up to t. Departures: there the others are
 * those that are complete, here all that have got to t, for the runs of a bank get everywhere together; and at least
 * min_runs others must have got there (the default, 3, is that of Ray Tune's MedianStoppingRule,
 * min_samples_required).
 *
 * The metric is the validation loss at the steps of val_every, lower is better. Where val_every is 0 it is the
 * training loss, smoothed as the trainer does. An iteration is one value of the metric as W&B counts them: one
 * validation, or without validations one step. */
#ifndef SWEEPS_EARLY_STOP_H
#define SWEEPS_EARLY_STOP_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/err.h"
#include "base/run.h"
#include "trainer/config.h"

typedef enum early_stop_kind { EARLY_STOP_NONE, EARLY_STOP_MEDIAN, EARLY_STOP_HYPERBAND } early_stop_kind;

/* min: hyperband's first bracket, or the step from which the median rule judges. max: what hyperband's brackets divide.
 * Of one of them at most one form is given; 0: not given. None: max is the run's length, min a quarter of it. */
typedef struct early_stop_rule {
    early_stop_kind kind;
    double min_iter, max_iter, min_tokens, max_tokens;
    double eta;
    int64_t s; /* brackets below max */
    bool strict;
    int64_t min_runs;
} early_stop_rule;

early_stop_rule early_stop_default(early_stop_kind kind);
const char *early_stop_name(early_stop_kind kind); /* "median", "hyperband"; "off" */
/* "off", "median" or "hyperband" with their defaults. ST_USAGE: another word. */
status early_stop_word(early_stop_rule *out, const char *word, err *e);

bool early_stop_by_validation(const trainer_config *c); /* else by the smoothed training loss */
const char *early_stop_metric(const trainer_config *c); /* "val_loss", "train_loss_ema" */
/* Steps between two values that are kept of a curve: val_every, or about a hundred of the smoothed training loss. */
int64_t early_stop_every(const trainer_config *c);

enum { EARLY_STOP_BRACKETS = 64 };
/* Steps at which such a run is judged, rising, all before its end: hyperband's brackets, or the one from which the
 * median rule judges. *n 0: never. */
void early_stop_steps(int64_t steps[EARLY_STOP_BRACKETS], size_t *n, const early_stop_rule *rule,
                      const trainer_config *c);

/* Values of the metric of one run, step rising. best, mean: of the values up to there; not finite counts as infinite. */
typedef struct early_stop_curve {
    int64_t *step;
    double *value, *best, *mean;
    size_t n, room;
} early_stop_curve;
bool early_stop_add(early_stop_curve *c, int64_t step, double x); /* false: no memory. Not behind the last: ignored */
void early_stop_curve_free(early_stop_curve *c);

typedef struct early_stop_verdict {
    bool judged, stop;
    int64_t at;              /* the bracket, or the step, that it is judged at */
    double value, threshold; /* above it: stop */
    size_t n;                /* runs compared, itself included */
} early_stop_verdict;

/* Judges a run, of this config, at its newest value. others [n_others]: without itself; scratch [n_others + 1]. */
early_stop_verdict early_stop_judge(const early_stop_rule *rule, const trainer_config *c, const early_stop_curve *own,
                                    const early_stop_curve *const *others, size_t n_others, double *scratch);

/* "hyperband at step 96: val_loss 2.31 is above 2.12, of 12 runs", of a run's summary; "" when it says nothing. */
void early_stop_why(char *out, size_t size, const attrs *summary);
#endif
