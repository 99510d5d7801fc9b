/* Does the best value of a hyperparameter stay where it is when models grow? From runs over a grid of it at several
 * sizes.
 *
 * A line is the runs of one parametrisation that differ in one size (width, depth or tokens), in one hyperparameter x
 * and in seeds. Its optima, their intervals and their drift are those of fit/lr_optimum.h; an optimum that is not
 * bracketed counts nowhere. On top of that:
 *
 *   verdict   the drift's 95 % interval lies within +-beyond octaves per doubling: larger drifts are excluded. Else it
 *             leaves out 0: drifts. Else undecided, also without an interval
 *   penalty   loss at the smallest size's optimum minus the lowest, at every size, on a local cubic (or parabola)
 *             through the levels around that point, as the optimum's: far from the minimum it follows the runs.
 *             Resamples draw the value carried over and the levels' noise
 *   rules     what would have been predicted for the largest size without its runs: a constant, the smallest size's
 *             optimum carried over (muTransfer, Yang et al. 2022, arXiv:2203.03466; its penalty is the one above), x = c C^p
 *             (DeepSeek-AI 2024, arXiv:2401.02954) and x = c N^p D^q (Step law, Li et al. 2025, arXiv:2503.04715);
 *             weighted least squares in the logarithms through the optima of the smaller sizes, for C, N and D also of
 *             the other lines of the bundle. What does not vary is left out */
#ifndef FIT_TRANSFER_H
#define FIT_TRANSFER_H
#include "fit/lr_optimum.h"

/* loss: +INFINITY = diverged. N parameters, D tokens, C FLOPs: NaN = not known. Seeds as in lr_row. */
typedef struct transfer_row {
    double x, size, loss, N, D, C;
    uint64_t seed;
} transfer_row;

typedef struct transfer_line {
    const char *parametrisation, *x, *size; /* names; borrowed */
    bool ruled;                             /* the parametrisation scales x with the size itself: muP and its kin */
    const transfer_row *rows;               /* borrowed */
    size_t n, bundle;                       /* lines of one bundle: the same but for the tokens */
} transfer_line;

typedef enum transfer_verdict { TRANSFER_EXCLUDED, TRANSFER_DRIFTS, TRANSFER_UNDECIDED } transfer_verdict;
const char *transfer_word(transfer_verdict v); /* excluded, drifts, undecided */

typedef struct transfer_penalty {
    double nats, ci95[2]; /* NaN: not known, `why`; +INFINITY: runs diverge there */
    char why[LR_WHY];
} transfer_penalty;

enum { TRANSFER_TEXT = 32 };
typedef enum transfer_form { TRANSFER_CONSTANT, TRANSFER_C, TRANSFER_ND, TRANSFER_FORMS } transfer_form;

typedef struct transfer_rule {
    transfer_form form;
    char text[TRANSFER_TEXT];               /* "constant", "c C^p", "c N^p", ... */
    size_t n_cells;              /* optima it rests on */
    double p, q;                 /* exponents; NaN: none */
    double log2_x, ci95[2];      /* predicted for the largest size; NaN with `why` */
    double error, error_ci95[2]; /* predicted minus measured, octaves */
    size_t n_left_out;           /* smaller sizes that the others predict, */
    double left_out;             /* with this error: root of the mean square, octaves; NaN: none */
    transfer_penalty penalty;    /* of the predicted value at the largest size */
    double *errors;              /* [n_draws]; NULL: none */
    char why[LR_WHY];
} transfer_rule;

typedef struct transfer_result {
    lr_optimum opt; /* one trend; groups[0] is the smallest size */
    transfer_verdict verdict;
    double excluded_beyond;    /* the smallest bound that the interval allows; NaN without an interval */
    transfer_penalty *penalty; /* [opt.n_groups] */
    transfer_rule rules[TRANSFER_FORMS];
} transfer_result;

typedef struct transfer_opts {
    double beyond; /* octaves per doubling */
    size_t n_draws;
    uint64_t seed;
} transfer_opts;
transfer_opts transfer_opts_default(void);

/* out[n] is zeroed first and belongs to the caller: transfer_free, also after an error. ST_DOMAIN: x or size not
 * positive. */
status transfer_analyse(transfer_result *out, const transfer_line *lines, size_t n, const transfer_opts *o, err *e);
void transfer_free(transfer_result *out, size_t n);

/* muTransfer (the constant of lines that are ruled) against laws (C, N and D, of lines that are not; of all when there
 * are none), among the n lines with in[i]. Of each side the rule with the least left_out stands for it (the first where
 * none has one): the largest size has no say in that, so that its errors are those of predictions. */
typedef struct transfer_contest {
    bool held; /* both sides have an error */
    size_t line[2];
    transfer_form form[2];    /* [0] muTransfer, [1] law */
    double nats[2];           /* what the error costs at the largest size, by the curvature there */
    double share, share_nats; /* of the resamples in which muTransfer is the nearer, the cheaper one */
} transfer_contest;
void transfer_compare(transfer_contest *out, const transfer_result *r, const transfer_line *lines, const bool *in,
                      size_t n);

/* --- parts: transfer.c, transfer_rules.c, transfer_json.c ------------------------------------------------------ */

/* Penalty of log2 x, which has the resamples draws[n_draws] (NULL: no interval), at group g. */
status transfer_cost(transfer_penalty *out, const lr_optimum *r, size_t g, double log2_x, const double *draws, err *e);
transfer_row transfer_size_mean(const transfer_line *line, double size); /* N, D, C of its runs that did not diverge */
status transfer_rules(transfer_result *out, const transfer_line *lines, size_t n, size_t line, err *e);

/* Keys of one line of muscale.mup-transfer/1 (doc/formats.md): `verdict`, `drift`, `groups`, `trend`, `rules`. */
json_t *transfer_json(const transfer_result *r);
json_t *transfer_contest_json(const transfer_contest *c, const transfer_result *r, const transfer_line *lines);
#endif
