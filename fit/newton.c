/* Damped Newton in two phases, each start run to its own stationary point.
 *
 * Far from the optimum Huber's objective has next to no curvature (almost every residual is in its linear part) and
 * what the law adds is indefinite: the exact Hessian says nothing there, and a start creeps for hundreds of steps. So
 * first Gauss-Newton: rows beyond delta weigh delta/|r| (iteratively reweighted least squares, Holland & Welsch 1977)
 * and the law's own curvature is left out; this model is never indefinite. Then exact Newton: near the end the set of
 * rows inside delta no longer changes, so the last steps are quadratic. On the 240 Chinchilla points exact Newton
 * alone took 1,868 of the 4,500 published starts to the optimum, with 208 evaluations each; the two phases take
 * 4,492, with 50. (A wider delta in the first phase needs a few less, but jumps out of basins that are to be listed.)
 *
 * Damping: H + lambda diag|H|, lambda by the gain ratio as in Nielsen, "Damping parameter in Marquardt's method",
 * report IMM-REP-1999-05, section 2. Steps stay in a box that grows and shrinks; a coordinate that would leave it
 * stops at its side and the others are solved again, so that one nearly dead term does not hold up the rest. Bounds
 * by projection, with coordinates that sit at a bound and want to leave held for the step (Bertsekas 1982, SIAM J.
 * Control 20:221). Departure from Nielsen: no first-order stopping test; the Newton decrement relative to F is
 * invariant to the scale of F and of the parameters (F is 1e-3 here: any test with a floor of 1 stops at once). */
#include "fit/solver.h"

#include <math.h>
#include <string.h>

enum { MAX_ITERATIONS = 400 }; /* of a phase */
static const double BOX_LOG = 1, BOX_OTHER = .5; /* first box: e in an amplitude, .5 in an exponent */
static const double BOX_MOST = 4, BOX_LEAST = 1. / 16; /* times that */
static const double LAMBDA_START = 1e-3, LAMBDA_LEAST = 1e-15, LAMBDA_MOST = 1e14;
static const double LAMBDA_FAILED = 1e-4; /* after a step that fails: at once, not by doubling from nothing */
/* Damping of a coordinate is relative to its own curvature, but not less than this share of the largest: a term of
 * 1e-8 of the loss must still be free to move (1e-8 here leaves 600 of the 4,500 starts on a plateau). */
static const double CURVATURE_LEAST = 1e-16;

typedef struct phase {
    bool gauss;
    double tolerance; /* of F: the decrement at which the phase ends */
} phase;
static const phase far_off = {true, 1e-3}, close_by = {false, 1e-14}; /* 1e-14: the step itself is rounding */

/* What a step starts from. */
typedef struct point {
    double phi[FIT_MAX_PARAMS], f, g[FIT_MAX_PARAMS], h[FIT_MAX_PARAMS * FIT_MAX_PARAMS];
} point;

/* Solves m step = -g for the coordinates that are not held; those move by what stands in step. */
static bool solve_free(double *step, const double *m, const double *g, const bool *held, size_t n)
{
    double a[FIT_MAX_PARAMS * FIT_MAX_PARAMS], b[FIT_MAX_PARAMS], x[FIT_MAX_PARAMS];
    size_t at[FIT_MAX_PARAMS], k = 0;
    for (size_t i = 0; i < n; i++)
        if (!held[i]) at[k++] = i;
    for (size_t i = 0; i < k; i++) {
        b[i] = -g[at[i]];
        for (size_t j = 0; j < n && k < n; j++)
            if (held[j]) b[i] -= m[at[i] * n + j] * step[j];
        for (size_t j = 0; j < k; j++) a[i * k + j] = m[at[i] * n + at[j]];
    }
    if (!fit_cholesky_solve(a, x, b, k)) return false;
    for (size_t i = 0; i < k; i++) step[at[i]] = x[i];
    return true;
}

static void damped(double *m, const double *h, double lambda, size_t n)
{
    double top = 0;
    memcpy(m, h, n * n * sizeof *m);
    for (size_t i = 0; i < n; i++) top = fabs(h[i * n + i]) > top ? fabs(h[i * n + i]) : top;
    if (top == 0) top = 1;
    for (size_t i = 0; i < n; i++) {
        double own = fabs(h[i * n + i]);
        m[i * n + i] += lambda * (own > CURVATURE_LEAST * top ? own : CURVATURE_LEAST * top);
    }
}

/* Stops the coordinate that is furthest out of the box at its side; false when all are inside. */
static bool stop_at_side(double *step, bool *held, const fit_problem *p, double box)
{
    size_t worst = p->n_free;
    double most = 1;
    for (size_t i = 0; i < p->n_free; i++) {
        double size = fabs(step[i]) / (box * (p->law->params[p->first[i]].log ? BOX_LOG : BOX_OTHER));
        if (!held[i] && size > most) most = size, worst = i;
    }
    if (worst == p->n_free) return false;
    held[worst] = true;
    step[worst] /= most;
    return true;
}

/* A trial point, and what the quadratic model expects of it: -1 when the model is not positive definite. *whole: the
 * box stopped nothing. */
static double propose(double *trial, bool *whole, const fit_problem *p, const point *x, double lambda, double box)
{
    size_t n = p->n_free;
    double m[FIT_MAX_PARAMS * FIT_MAX_PARAMS], step[FIT_MAX_PARAMS] = {0}, gain = 0;
    bool held[FIT_MAX_PARAMS];
    damped(m, x->h, lambda, n);
    for (size_t i = 0; i < n; i++)
        held[i] = (x->phi[i] <= p->lo[i] && x->g[i] > 0) || (x->phi[i] >= p->hi[i] && x->g[i] < 0);
    *whole = true;
    do {
        if (!solve_free(step, m, x->g, held, n)) return -1;
    } while (stop_at_side(step, held, p, box) && !(*whole = false));
    for (size_t i = 0; i < n; i++) trial[i] = x->phi[i] + step[i];
    fit_problem_clip(p, trial);
    for (size_t i = 0; i < n; i++) step[i] = trial[i] - x->phi[i];
    for (size_t i = 0; i < n; i++) {
        double hs = 0;
        for (size_t j = 0; j < n; j++) hs += x->h[i * n + j] * step[j];
        gain -= step[i] * (x->g[i] + hs / 2);
    }
    return gain;
}

/* lambda, and what the last steps taught: in a curved valley the largest step that holds lies between one that failed
 * and one that held, and Nielsen's rule alone swings between the two. */
typedef struct damping { double lambda, grow, failed, held; } damping;

/* After a step whose gain was `ratio` times what was expected: Nielsen's rule, but not back to what failed just now. */
static void ease(damping *d, double ratio)
{
    double c = 2 * (ratio < 1.5 ? ratio : 1.5) - 1, by = 1 - c * c * c, least = 1.5 * d->failed;
    d->held = d->lambda;
    d->lambda *= by > 1. / 3 ? by : 1. / 3;
    if (ratio > .9 && ratio < 1.1) d->lambda /= 10; /* the quadratic model holds: let go at once */
    if (d->lambda < least) d->lambda = least < d->held ? least : d->held;
    if (d->lambda < LAMBDA_LEAST) d->lambda = LAMBDA_LEAST;
    d->failed /= 8;
    d->grow = 2;
}

/* After a step that failed: between it and the one that held, else on by growing factors. */
static void tighten(damping *d)
{
    d->failed = d->lambda;
    if (d->lambda < d->held / 3) {
        d->lambda = sqrt(d->lambda * d->held);
        return;
    }
    d->lambda = fmax(d->lambda, LAMBDA_FAILED) * d->grow;
    d->grow *= 2;
}

/* Descends from at[0] by the phase's model; returns where the last point stands, and the steps taken in *iterations. */
static point *descend(point at[2], size_t *iterations, fit_problem *p, const phase *ph, size_t most)
{
    point *x = &at[0], *y = &at[1];
    damping d = {LAMBDA_START, 2, 0, 0};
    double box = 1;
    x->f = fit_problem_eval(p, x->phi, x->g, x->h);
    for (size_t k = 0; k < most && isfinite(x->f) && p->n_free; k++, ++*iterations) {
        bool whole = false;
        double gain = propose(y->phi, &whole, p, x, d.lambda, box);
        if (gain > 0 && gain <= ph->tolerance * x->f && d.lambda <= LAMBDA_START && whole) break;
        if (x->f <= p->floor) break;
        y->f = gain > 0 ? fit_problem_eval(p, y->phi, y->g, y->h) : INFINITY;
        if (y->f < x->f) {
            double ratio = (x->f - y->f) / gain;
            point *old = x;
            x = y, y = old;
            ease(&d, ratio);
            if (ratio > .75 && !whole) box = fmin(2 * box, BOX_MOST);
        } else {
            if (d.lambda > LAMBDA_MOST || (gain > 0 && gain < 1e-17 * x->f)) break; /* only rounding is left */
            tighten(&d);
            if (!whole) box = fmax(box / 2, BOX_LEAST);
        }
    }
    return x;
}

status fit_newton(fit_solved *out, fit_problem *p, double *phi, err *e)
{
    const phase *const phases[] = {&far_off, &close_by};
    const size_t most = p->max_iterations ? p->max_iterations : MAX_ITERATIONS;
    point at[2], *end = &at[0];
    (void)e;
    memset(out, 0, sizeof *out);
    fit_problem_clip(p, phi);
    for (size_t k = 0; k < 2; k++) {
        memcpy(at[0].phi, phi, p->n_free * sizeof *phi);
        p->gauss = phases[k]->gauss;
        size_t left = p->max_iterations ? most - (out->iterations < most ? out->iterations : most) : most;
        end = descend(at, &out->iterations, p, phases[k], left);
        memcpy(phi, end->phi, p->n_free * sizeof *phi);
    }
    out->f = end->f;
    return ST_OK;
}
