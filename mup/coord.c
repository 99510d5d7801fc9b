/* Slopes over sizes, and what is made of them. */
#include "mup/coord.h"

#include <gsl/gsl_cdf.h>
#include <math.h>
#include <stdlib.h>

static const char *const names[MUP_COORD_N] = {
    [MUP_COORD_ACT] = "x",           [MUP_COORD_DACT] = "dx",        [MUP_COORD_DEMB] = "dx",
    [MUP_COORD_ATTN] = "qk",         [MUP_COORD_DATTN] = "dqk",      [MUP_COORD_LOGITS] = "logits",
    [MUP_COORD_DLOGITS] = "dlogits", [MUP_COORD_DU_H] = "dU.h",      [MUP_COORD_U_DH] = "U0.dh",
    [MUP_COORD_DW_NORM] = "|dW|",    [MUP_COORD_DW_RMS] = "rms(dW)", [MUP_COORD_GRAD] = "grad",
    [MUP_COORD_EPS] = "eps/grad"};
const char *mup_coord_name(mup_coord_quantity q) { return names[q]; }

const char *mup_coord_cause(mup_coord_quantity q)
{
    static const char *const causes[MUP_COORD_N] = {
        [MUP_COORD_ACT] = "an initial std, or a multiplier before it",
        [MUP_COORD_DACT] = "learning rates of hidden matrices, or the residual multiplier",
        [MUP_COORD_DEMB] = "the embedding's learning rate",
        [MUP_COORD_ATTN] = "the scale of attention, or the std of q and k",
        [MUP_COORD_DATTN] = "the scale of attention, or the learning rates of q and k",
        [MUP_COORD_LOGITS] = "the readout's std and multiplier",
        [MUP_COORD_DLOGITS] = "the readout's learning rate and multiplier, or what feeds it",
        [MUP_COORD_DU_H] = "the readout's learning rate times its multiplier (both scaled?)",
        [MUP_COORD_U_DH] = "the readout's std, or learning rates before it",
        [MUP_COORD_DW_NORM] = "this tensor's learning rate",
        [MUP_COORD_DW_RMS] = "this tensor's learning rate",
        [MUP_COORD_GRAD] = "multipliers between this tensor and the loss",
        [MUP_COORD_EPS] = "eps_rule; eps 1e-12 makes the question idle"};
    return causes[q];
}

const char *mup_coord_word(mup_coord_verdict v)
{
    static const char *const words[] = {"pass", "fail", "undecided", "-"};
    return words[v];
}

/* w such that the slope is sum w_i y_i. */
static void weights(double *w, const double *size, size_t n)
{
    double mean = 0, sxx = 0;
    for (size_t i = 0; i < n; i++) mean += log(size[i]) / (double)n;
    for (size_t i = 0; i < n; i++) sxx += pow(log(size[i]) - mean, 2);
    for (size_t i = 0; i < n; i++) w[i] = (log(size[i]) - mean) / sxx;
}

static double r_squared(const double *size, const double *mean, size_t n, double slope)
{
    double mx = 0, my = 0, rest = 0, all = 0;
    for (size_t i = 0; i < n; i++) {
        mx += log(size[i]) / (double)n;
        my += mean[i] / (double)n;
    }
    for (size_t i = 0; i < n; i++) {
        const double y = mean[i] - my;
        rest += pow(y - slope * (log(size[i]) - mx), 2);
        all += y * y;
    }
    return all > 0 ? 1 - rest / all : 1;
}

/* 95 % of the mean over seeds: Student's t on n - 1 degrees of freedom. A seed's slope is a weighted sum of the
 * logarithms of all its sizes (it has one batch at every size, whose luck is no slope), so the slopes are independent
 * and close to normal, which is what t asks for (Student 1908, Biometrika 6(1), 1-25). A percentile bootstrap of so few
 * is no substitute: of 3 values, even widened by sqrt(n/(n-1)), it holds the mean in 81 cases of 100, of 4 in 84
 * (tests/mup/test_coord.c draws them). */
static void interval(mup_coord_slope *out, const double *own, size_t seeds)
{
    double squares = 0;
    for (size_t j = 0; j < seeds; j++) squares += pow(own[j] - out->slope, 2);
    const double df = (double)seeds - 1, se = sqrt(squares / df / (double)seeds);
    const double half = gsl_cdf_tdist_Pinv(.975, df) * se;
    out->lo = out->slope - half;
    out->hi = out->slope + half;
}

status mup_coord_fit(mup_coord_slope *out, const double *size, const double *y, size_t n, size_t seeds, err *e)
{
    if (n < 3 || seeds < 2)
        return err_set(e, ST_DOMAIN, "a slope with an interval needs 3 sizes and 2 seeds; there are %zu and %zu", n,
                       seeds);
    for (size_t i = 0; i < n * seeds; i++)
        if (!isfinite(y[i]) || !(y[i] > 0))
            return err_set(e, ST_DOMAIN, "size %g, seed %zu: %g has no logarithm", size[i / seeds], i % seeds + 1,
                           y[i]);
    double *work = calloc(2 * n + seeds, sizeof *work), *w = work, *mean = work + n, *own = work + 2 * n;
    if (!work) return err_set(e, ST_NOMEM, "no memory for a fit over %zu sizes", n);
    weights(w, size, n);
    out->slope = 0;
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < seeds; j++) {
            const double log_y = log(y[i * seeds + j]);
            mean[i] += log_y / (double)seeds;
            own[j] += w[i] * log_y;
        }
    for (size_t j = 0; j < seeds; j++) out->slope += own[j] / (double)seeds;
    out->r2 = r_squared(size, mean, n, out->slope);
    interval(out, own, seeds);
    free(work);
    return ST_OK;
}

/* Distances from the expected slope: how they were found is in doc/mup.md, 9. One-sided where finite width, or the
 * batch that is being learnt, bends a correct rule the harmless way. */
#define NONE INFINITY
static const struct { double fail_lo, pass_lo, pass_hi, fail_hi; } bounds[2][MUP_COORD_N] = {
    [MUP_OVER_WIDTH] = {
        [MUP_COORD_ACT] = {-0.25, -0.10, 0.10, 0.25},
        [MUP_COORD_DACT] = {-0.50, -0.30, 0.10, 0.25},
        [MUP_COORD_DEMB] = {-0.25, -0.10, 0.10, 0.25},
        [MUP_COORD_ATTN] = {-0.25, -0.10, 0.10, 0.25},
        [MUP_COORD_DATTN] = {-NONE, -NONE, 0.10, 0.25},
        [MUP_COORD_LOGITS] = {-0.25, -0.10, 0.10, 0.25},
        [MUP_COORD_DLOGITS] = {-NONE, -NONE, 0.10, 0.25},
        [MUP_COORD_DU_H] = {-0.60, -0.35, 0.10, 0.25},
        [MUP_COORD_U_DH] = {-0.80, -0.55, 0.10, 0.25},
        [MUP_COORD_DW_NORM] = {-0.40, -0.25, 0.10, 0.25},
        [MUP_COORD_DW_RMS] = {-0.25, -0.10, 0.10, 0.25},
        [MUP_COORD_GRAD] = {-0.30, -0.15, 0.15, 0.30},
        [MUP_COORD_EPS] = {-NONE, -NONE, 0.15, 0.30},
    },
    [MUP_OVER_DEPTH] = {
        [MUP_COORD_ACT] = {-0.50, -0.30, 0.25, 0.40},
        [MUP_COORD_DACT] = {-0.50, -0.30, 0.20, 0.40},
        [MUP_COORD_DEMB] = {-0.40, -0.25, 0.10, 0.25},
        [MUP_COORD_ATTN] = {-NONE, -NONE, 0.10, 0.25},
        [MUP_COORD_DATTN] = {-NONE, -NONE, 0.20, 0.40},
        [MUP_COORD_LOGITS] = {-0.25, -0.10, 0.10, 0.25},
        [MUP_COORD_DLOGITS] = {-NONE, -NONE, 0.20, 0.40},
        [MUP_COORD_DU_H] = {-0.60, -0.35, 0.20, 0.40},
        [MUP_COORD_U_DH] = {-0.60, -0.35, 0.20, 0.40},
        [MUP_COORD_DW_NORM] = {-NONE, -NONE, NONE, NONE},
        [MUP_COORD_DW_RMS] = {-NONE, -NONE, NONE, NONE},
        [MUP_COORD_GRAD] = {-NONE, -NONE, NONE, NONE},
        [MUP_COORD_EPS] = {-NONE, -NONE, 0.15, 0.30},
    },
};

mup_coord_bounds mup_coord_bounds_of(mup_coord_quantity q, mup_coord_axis axis, double x)
{
    return (mup_coord_bounds){x, x + bounds[axis][q].fail_lo, x + bounds[axis][q].pass_lo, x + bounds[axis][q].pass_hi,
                              x + bounds[axis][q].fail_hi};
}

mup_coord_verdict mup_coord_judge(const mup_coord_slope *s, const mup_coord_bounds *b)
{
    if (isinf(b->fail_lo) && isinf(b->fail_hi)) return MUP_COORD_SHOWN;
    if ((s->slope >= b->fail_hi && s->lo > b->pass_hi) || (s->slope <= b->fail_lo && s->hi < b->pass_lo))
        return MUP_COORD_FAIL;
    const bool inside = s->slope <= b->pass_hi && s->slope >= b->pass_lo;
    return inside && s->hi < b->fail_hi && s->lo > b->fail_lo ? MUP_COORD_PASS : MUP_COORD_UNDECIDED;
}
