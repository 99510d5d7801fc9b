/* Variable projection (Golub & Pereyra 1973): for given exponents the law is linear in its amplitudes, and the best
 * non-negative ones follow from a tiny least-squares problem. With six or fewer all active sets can be tried. */
#include "fit/problem.h"

#include <math.h>
#include <string.h>

bool fit_cholesky_solve(double *h, double *x, const double *b, size_t n)
{
    double inverse[FIT_MAX_PARAMS]; /* of the diagonal: a division waits longer than all the rest */
    for (size_t i = 0; i < n; i++) {
        for (size_t j = 0; j <= i; j++) {
            double s = h[i * n + j];
            for (size_t k = 0; k < j; k++) s -= h[i * n + k] * h[j * n + k];
            if (i != j) h[i * n + j] = s * inverse[j];
            else if (!(s > 0) || !isfinite(s)) return false;
            else inverse[i] = 1 / sqrt(s);
        }
    }
    for (size_t i = 0; i < n; i++) {
        double s = b[i];
        for (size_t k = 0; k < i; k++) s -= h[i * n + k] * x[k];
        x[i] = s * inverse[i];
    }
    for (size_t i = n; i-- > 0;) {
        double s = x[i];
        for (size_t k = i + 1; k < n; k++) s -= h[k * n + i] * x[k];
        x[i] = s * inverse[i];
    }
    return true;
}

/* Best x of x'Mx - 2x'v over all supports, x >= 0 where it is not sign_free; returns its value (the target's own square
 * is left out). */
static double nonnegative(double *best_x, const double *m, const double *v, const bool *sign_free, size_t n)
{
    double best = INFINITY;
    memset(best_x, 0, n * sizeof *best_x);
    for (unsigned set = 1; set < 1u << n; set++) {
        double h[FIT_MAX_LINEAR * FIT_MAX_LINEAR], b[FIT_MAX_LINEAR], x[FIT_MAX_LINEAR], value = 0;
        size_t at[FIT_MAX_LINEAR], k = 0;
        for (size_t i = 0; i < n; i++)
            if (set >> i & 1) at[k++] = i;
        for (size_t i = 0; i < k; i++) {
            b[i] = v[at[i]];
            for (size_t j = 0; j < k; j++) h[i * k + j] = m[at[i] * n + at[j]] * (i == j ? 1 + 1e-13 : 1);
        }
        if (!fit_cholesky_solve(h, x, b, k)) continue;
        bool ok = true;
        for (size_t i = 0; i < k; i++) ok = ok && (x[i] >= 0 || sign_free[at[i]]), value -= x[i] * b[i];
        if (!ok || value >= best) continue;
        best = value;
        memset(best_x, 0, n * sizeof *best_x);
        for (size_t i = 0; i < k; i++) best_x[at[i]] = x[i];
    }
    return isinf(best) ? 0 : best;
}

static void add_row(fit_normal *q, const double *u, double target, double w)
{
    q->square += w * target * target;
    for (size_t a = 0; a < q->k; a++) {
        q->v[a] += w * u[a] * target;
        for (size_t b = 0; b <= a; b++) q->m[a * q->k + b] += w * u[a] * u[b];
    }
}

static void sum_terms(fit_normal *q, const fit_problem *p, const double *phi)
{
    const fit_law *law = p->law;
    for (size_t i = 0; i < p->n; i++) {
        double w = p->weight ? p->weight[i] : 1, target = 1, u[FIT_MAX_LINEAR] = {0};
        if (w == 0) continue;
        for (size_t t = 0; t < law->n_terms; t++) {
            const fit_term *term = &law->terms[t];
            int s = term->exponent < 0 ? -1 : p->slot[term->exponent];
            double power = term->exponent < 0 ? 0 : (s < 0 ? p->fixed[term->exponent] : phi[s]) * p->z[term->column][i];
            size_t a = 0;
            while (a < q->k && p->linear[a] != term->amplitude) a++;
            if (a < q->k) u[a] = exp(-power) / p->y[i];
            else {
                int slot = p->slot[term->amplitude]; /* shared amplitudes stand in phi */
                target -= exp((slot < 0 ? p->fixed[term->amplitude] : phi[slot]) - power) / p->y[i];
            }
        }
        add_row(q, u, target, w);
    }
}

static void sum_affine(fit_normal *q, fit_problem *p, const double *phi)
{
    double natural[FIT_MAX_PARAMS];
    fit_problem_natural(p, natural, phi);
    for (size_t a = 0; a < q->k; a++) natural[p->linear[a]] = 0;
    for (size_t at = 0, n; at < p->n; at += n) {
        const double *f, *grad;
        n = fit_problem_affine(p, &f, &grad, natural, at);
        for (size_t i = 0; i < n; i++) {
            double w = p->weight ? p->weight[at + i] : 1, u[FIT_MAX_LINEAR] = {0}, y = p->y[at + i];
            for (size_t a = 0; a < q->k; a++) u[a] = grad[(size_t)p->linear[a] * n + i] / y;
            if (w != 0) add_row(q, u, 1 - f[i] / y, w);
        }
    }
}

double fit_normal_solve(fit_normal *q, const fit_problem *p, double *phi)
{
    double x[FIT_MAX_LINEAR];
    bool sign_free[FIT_MAX_LINEAR];
    if (!isfinite(q->square)) return INFINITY;
    if (!q->k) return q->square;
    for (size_t a = 0; a < q->k; a++) {
        sign_free[a] = !p->law->params[p->linear[a]].log;
        for (size_t b = 0; b < a; b++) q->m[b * q->k + a] = q->m[a * q->k + b];
    }
    double value = q->square + nonnegative(x, q->m, q->v, sign_free, q->k);
    for (size_t a = 0; a < q->k; a++) {
        double *to = &phi[p->slot[p->linear[a]]], mm = q->m[a * q->k + a];
        double middle = q->v[a] > 0 && mm > 0 ? q->v[a] / mm : 1;
        /* A start with a term at 0 would be dead: give it a thousandth of the loss in the middle of the data. */
        *to = sign_free[a] ? x[a] : log(x[a] > 1e-3 * middle ? x[a] : 1e-3 * middle);
    }
    fit_problem_clip(p, phi);
    return value > 0 ? value : 0;
}

double fit_varpro(fit_problem *p, double *phi)
{
    fit_normal q = {.k = p->n_linear};
    if (p->law->n_terms) sum_terms(&q, p, phi);
    else if (q.k) sum_affine(&q, p, phi);
    else return NAN;
    return fit_normal_solve(&q, p, phi);
}
