/* Where a curve over log2 lr has its minimum: the levels that may say so, and a local polynomial through them. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fit/lr_parts.h"

enum {
    CORE_SIDE = 2,   /* levels on each side of the lowest: five points, the protocol's number */
    CORE_MIN = 3,    /* a parabola needs three */
    WIDE_SIDE = 6,   /* of a cubic whose window has grown (LR_GROWN), and one for a minimum beside the lowest level */
    MOST_STEPS = 40, /* of the centre; each brings it about five times nearer */
    COEF = 4
};
/* Neighbours two steps out weigh less: the curve is a parabola only near its minimum, the side of large lr turns into a
 * cliff. */
#define PARABOLA_STEPS 3.0
/* A second neighbour this much above the lowest loss (relative) is on the cliff, not near the minimum; for a cubic,
 * which follows the bend, farther up. */
#define CLIFF 0.05
#define CLIFF_CUBIC 0.10
#define SETTLED 1e-3 /* steps; what is left is a fifth of the last step */

/* --- polynomial ---------------------------------------------------------------------------------------------- */

/* Gauss with row exchange; n <= 4 unknowns of order one. */
static bool eliminate(double m[COEF][COEF + 1], double *q, int n)
{
    for (int p = 0; p < n; p++) {
        int top = p;
        for (int r = p + 1; r < n; r++)
            if (fabs(m[r][p]) > fabs(m[top][p])) top = r;
        if (fabs(m[top][p]) < 1e-12) return false;
        for (int k = 0; k <= n; k++) {
            double t = m[p][k];
            m[p][k] = m[top][k];
            m[top][k] = t;
        }
        for (int r = 0; r < n; r++) {
            double f = r == p ? 0 : m[r][p] / m[p][p];
            for (int k = p; k <= n; k++) m[r][k] -= f * m[p][k];
        }
    }
    for (int p = 0; p < n; p++) q[p] = m[p][n] / m[p][p];
    return true;
}

bool lr_polynomial(double q[LR_COEF], size_t degree, const lr_level *l, const double *y, const double *weight,
                   size_t lo, size_t hi, double x0)
{
    const int n = (int)degree + 1;
    double m[COEF][COEF + 1] = {{0}};
    for (size_t i = lo; i <= hi; i++) {
        const double d = l[i].x - x0, row[COEF] = {1, d, d * d, d * d * d};
        for (int r = 0; r < n && weight[i] > 0; r++) {
            for (int k = 0; k < n; k++) m[r][k] += weight[i] * row[r] * row[k];
            m[r][n] += weight[i] * row[r] * y[i];
        }
    }
    memset(q, 0, LR_COEF * sizeof *q);
    return eliminate(m, q, n);
}

static double tricube(double d)
{
    const double t = fabs(d) < 1 ? 1 - fabs(d * d * d) : 0;
    return t * t * t;
}

double lr_near(const lr_level *l, double x, double step)
{
    return fmax(tricube((l->x - x) / (PARABOLA_STEPS * step)), 1e-3) * (double)l->n;
}

double lr_within(const lr_level *l, double x, double reach) { return tricube((l->x - x) / reach) * (double)l->n; }

/* --- window -------------------------------------------------------------------------------------------------- */

static bool usable(const lr_level *l, size_t n, size_t i) { return i < n && !l[i].diverged; }

/* Unbroken levels on both sides, as far as a cubic may look. */
static void widen(lr_window *w, const lr_level *l, size_t n)
{
    const double cliff = l[w->best].loss + CLIFF_CUBIC * fabs(l[w->best].loss);
    w->wide_lo = w->wide_hi = w->best;
    while (w->wide_lo > 0 && w->best - w->wide_lo < WIDE_SIDE && usable(l, n, w->wide_lo - 1) &&
           l[w->wide_lo - 1].loss < cliff)
        w->wide_lo--;
    while (w->wide_hi - w->best < WIDE_SIDE && usable(l, n, w->wide_hi + 1) && l[w->wide_hi + 1].loss < cliff)
        w->wide_hi++;
    w->degree = w->best - w->wide_lo >= CORE_SIDE && w->wide_hi - w->best >= CORE_SIDE ? 3 : 2;
}

static int by_number(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median_gap(const lr_level *l, size_t lo, size_t hi)
{
    double gaps[2 * CORE_SIDE + 2];
    size_t n = 0;
    for (size_t i = lo; i < hi; i++) gaps[n++] = l[i + 1].x - l[i].x;
    qsort(gaps, n, sizeof *gaps, by_number);
    return gaps[n / 2];
}

static bool core(lr_window *w, const lr_level *l, size_t n)
{
    const double cliff = l[w->best].loss + CLIFF * fabs(l[w->best].loss);
    w->lo = w->hi = w->best;
    for (int side = 1; side <= CORE_SIDE; side++) {
        if (w->lo > 0 && usable(l, n, w->lo - 1) && (side == 1 || l[w->lo - 1].loss < cliff)) w->lo--;
        if (usable(l, n, w->hi + 1) && (side == 1 || l[w->hi + 1].loss < cliff)) w->hi++;
    }
    while (w->hi - w->lo + 1 < CORE_MIN) { /* a diverged neighbour, or a cliff: the third point from the other side */
        if (w->lo > 0 && usable(l, n, w->lo - 1)) w->lo--;
        else if (usable(l, n, w->hi + 1)) w->hi++;
        else return false;
    }
    return true;
}

bool lr_window_find(lr_window *w, lr_group *g, const lr_level *l, size_t n, const lr_opts *o)
{
    size_t n_finite = 0;
    memset(w, 0, sizeof *w);
    for (size_t i = 0; i < n; i++) {
        if (l[i].diverged) continue;
        if (!n_finite || l[i].loss < l[w->best].loss) w->best = i;
        n_finite++;
    }
    if (!n_finite) {
        snprintf(g->why, LR_WHY, "all %zu runs diverged; lower the grid", g->n);
        return false;
    }
    g->argmin_lr = exp2(l[w->best].x);
    g->argmin_loss = l[w->best].loss;
    if (n_finite < CORE_MIN) {
        snprintf(g->why, LR_WHY, "only %zu values of %s with a finite loss; a bracketed parabola needs 3", n_finite,
                 o->x);
        return false;
    }
    if (w->best == 0 || w->best + 1 == n) {
        snprintf(g->why, LR_WHY, "lowest loss at the %s %s of the grid (%.3g); extend the grid %s",
                 w->best ? "largest" : "smallest", o->x, g->argmin_lr, w->best ? "upwards" : "downwards");
        g->edge = w->best ? 1 : -1;
        return false;
    }
    if (!core(w, l, n)) {
        snprintf(g->why, LR_WHY,
                 "fewer than 3 neighbouring values of %s with a finite loss around %.3g; refine the grid there", o->x,
                 g->argmin_lr);
        return false;
    }
    widen(w, l, n);
    w->step = median_gap(l, w->lo, w->hi);
    w->left = l[w->lo > 0 && w->lo == w->best ? w->lo - 1 : w->lo].x; /* a diverged neighbour is the bracket */
    w->right = l[w->hi == w->best ? w->hi + 1 : w->hi].x;
    return true;
}

/* --- minimum ------------------------------------------------------------------------------------------------- */

static bool parabola(lr_minimum *out, const lr_window *w, const lr_level *l, const double *y, double *weight)
{
    double *q = out->q;
    const double x0 = l[w->best].x; /* the lowest level: centred */
    for (size_t i = w->lo; i <= w->hi; i++) weight[i] = lr_near(&l[i], x0, w->step);
    if (!lr_polynomial(q, 2, l, y, weight, w->lo, w->hi, x0) || !(q[2] > 0)) return false;
    out->centre = x0;
    out->x = x0 - q[1] / (2 * q[2]);
    out->loss = q[0] - q[1] * q[1] / (4 * q[2]);
    out->curvature = 2 * q[2];
    return true;
}

static bool cubic(lr_minimum *out, const lr_window *w, const lr_level *l, const double *y, double *weight, double reach)
{
    double *q = out->q, x0, s = w->step;
    size_t lowest = w->lo;
    for (size_t i = w->lo; i <= w->hi; i++)
        if (y[i] < y[lowest]) lowest = i;
    x0 = l[lowest].x;
    for (int step = 0; step < MOST_STEPS && fabs(s) > SETTLED * w->step; step++) {
        size_t n = 0;
        for (size_t i = w->wide_lo; i <= w->wide_hi; i++)
            n += (weight[i] = lr_within(&l[i], x0, reach * w->step)) > 0;
        if (n < COEF + 1 || !lr_polynomial(q, 3, l, y, weight, w->wide_lo, w->wide_hi, x0)) return false;
        const double inside = q[2] * q[2] - 3 * q[3] * q[1]; /* below 0: it has no minimum */
        if (!(q[2] > 0) || !(inside >= 0)) return false;
        s = fmax(-w->step, fmin(w->step, -q[1] / (q[2] + sqrt(inside))));
        out->centre = x0;
        x0 += s;
    }
    out->x = x0;
    out->loss = q[0] + s * (q[1] + s * (q[2] + s * q[3]));
    out->curvature = 2 * q[2] + 6 * q[3] * s;
    return fabs(s) <= 0.1 * w->step;
}

bool lr_minimum_find(lr_minimum *out, const lr_window *w, const lr_level *l, const double *y, double *weight,
                     double reach)
{
    const bool ok = w->degree == 3 ? cubic(out, w, l, y, weight, reach) : parabola(out, w, l, y, weight);
    return ok && out->x > w->left && out->x < w->right;
}

/* What the fit leaves of the curve, as noise of one level: r = (I - H) y, so the weighted squares are y' B y with B =
 * (I - H)' W (I - H), of mean tr B and of tr(B)^2 / tr(B^2) degrees of freedom (Satterthwaite 1946, Biometrics
 * 2:110). */
void lr_residual(double *ss, double *dof, const lr_minimum *m, const lr_window *w, const lr_level *l, const double *y,
                 const double *weight)
{
    enum { MOST = 2 * WIDE_SIDE + 1 };
    const size_t lo = w->degree == 3 ? w->wide_lo : w->lo, hi = w->degree == 3 ? w->wide_hi : w->hi, n = hi - lo + 1;
    double left[MOST][MOST] = {{0}}, unit[MOST], q[LR_COEF], trace = 0, squares = 0;
    *ss = *dof = 0;
    for (size_t j = 0; j < n; j++) { /* column j of I - H; unit[] is indexed as the levels from lo on */
        for (size_t i = 0; i < n; i++) unit[i] = i == j;
        if (!lr_polynomial(q, w->degree, l + lo, unit, weight + lo, 0, n - 1, m->centre)) return;
        for (size_t i = 0; i < n; i++) {
            const double d = l[lo + i].x - m->centre;
            left[i][j] = unit[i] - (q[0] + d * (q[1] + d * (q[2] + d * q[3])));
        }
    }
    for (size_t j = 0; j < n; j++)
        for (size_t k = 0; k < n; k++) {
            double b = 0;
            for (size_t i = 0; i < n; i++) b += left[i][j] * weight[lo + i] * left[i][k];
            if (j == k) trace += b;
            squares += b * b;
            *ss += y[lo + j] * b * y[lo + k];
        }
    if (!(trace > 1e-9)) {
        *ss = 0;
        return;
    }
    *dof = trace * trace / squares;
    *ss = fmax(*ss, 0) / trace * *dof;
}
