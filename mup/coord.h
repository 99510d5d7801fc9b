/* The arithmetic of a coordinate check: slopes over sizes with intervals, what a correct rule makes of them, verdicts.
 * Who trains and measures: sweeps/coord_check.h. Why these quantities and these tolerances: doc/mup.md, section 9. */
#ifndef MUP_COORD_H
#define MUP_COORD_H
#include <stdint.h>
#include "mup/mup.h"
#ifdef __cplusplus
extern "C" {
#endif

typedef enum mup_coord_axis { MUP_OVER_WIDTH, MUP_OVER_DEPTH } mup_coord_axis;

/* RMS unless it says otherwise. t = 1: before any step; change: of the last step's model against t = 1. */
typedef enum mup_coord_quantity {
    MUP_COORD_ACT,     /* activation, t = 1 */
    MUP_COORD_DACT,    /* its change */
    MUP_COORD_DEMB,    /* change of the embedding's output */
    MUP_COORD_ATTN,    /* attention logits, t = 1 */
    MUP_COORD_DATTN,   /* their change */
    MUP_COORD_LOGITS,  /* t = 1 */
    MUP_COORD_DLOGITS, /* = DU_H + U_DH */
    MUP_COORD_DU_H,    /* change of the readout, times h of the last step */
    MUP_COORD_U_DH,    /* first readout, times the change of h */
    MUP_COORD_DW_NORM, /* spectral norm of a matrix's change, as the net sees it (times the multiplier) */
    MUP_COORD_DW_RMS,  /* the change's entries, likewise */
    MUP_COORD_GRAD,    /* gradient at t = 1, of g/theta */
    MUP_COORD_EPS,     /* eps / gradient: its share in Adam's denominator */
    MUP_COORD_N
} mup_coord_quantity;
const char *mup_coord_name(mup_coord_quantity q);
const char *mup_coord_cause(mup_coord_quantity q); /* where to look when it is wrong: "this tensor's learning rate" */

/* y(size) ~ size^slope: least squares of log y on log size, the mean over seeds. lo, hi: 95 %, Student's t over
 * the slopes of the seeds. r2: of the means.
 *   size [n]; y [n][seeds]; both > 0.   ST_DOMAIN: fewer than 3 sizes or 2 seeds, a value not finite or not > 0 */
typedef struct mup_coord_slope { double slope, lo, hi, r2; } mup_coord_slope;
status mup_coord_fit(mup_coord_slope *out, const double *size, const double *y, size_t n, size_t seeds, err *e);

/* Slopes a correct rule may show: pass in [pass_lo, pass_hi], fail from fail_lo down and from fail_hi up, between them
 * undecided. An infinite bound is none. `expected` is what theory says; bounds stand around it. */
typedef struct mup_coord_bounds { double expected, fail_lo, pass_lo, pass_hi, fail_hi; } mup_coord_bounds;
typedef enum mup_coord_verdict {
    MUP_COORD_PASS, MUP_COORD_FAIL, MUP_COORD_UNDECIDED, MUP_COORD_SHOWN
} mup_coord_verdict;
const char *mup_coord_word(mup_coord_verdict v); /* "pass", ...; SHOWN, "-": measured and not judged */

mup_coord_bounds mup_coord_bounds_of(mup_coord_quantity q, mup_coord_axis axis, double expected);
/* A slope beyond the failing bound whose interval still reaches the passing one is undecided, as is one that passes
 * with an interval that reaches beyond the failing bound. */
mup_coord_verdict mup_coord_judge(const mup_coord_slope *s, const mup_coord_bounds *b);

/* Share of eps in Adam's denominator from which its own scaling matters. */
#define MUP_COORD_EPS_SHARE 0.01
#ifdef __cplusplus
}
#endif
#endif
