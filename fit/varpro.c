/* Variable projection (Golub & Pereyra 1973): for given exponents the law is linear in its amplitudes, and the best
 * non-negative ones follow from a tiny least-squares problem. With three terms or fewer all active sets can be tried.
 */
#include "fit/problem.h"

#include <math.h>
#include <string.h>

bool fit_cholesky_solve(double *h, double *x, const double *b, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        for (size_t j = 0; j <= i; j++) {
            double s = h[i * n + j];
            for (size_t k = 0; k < j; k++) s -= h[i * n + k] * h[j * n + k];
            if (i != j) h[i * n + j] = s / h[j * n + j];
            else if (!(s > 0) || !isfinite(s)) return false;
            else h[i * n + i] = sqrt(s);
        }
    }
    for (size_t i = 0; i < n; i++) {
        double s = b[i];
        for (size_t k = 0; k < i; k++) s -= h[i * n + k] * x[k];
        x[i] = s / h[i * n + i];
    }
    for (size_t i = n; i-- > 0;) {
        double s = x[i];
        for (size_t k = i + 1; k < n; k++) s -= h[k * n + i] * x[k];
        x[i] = s / h[i * n + i];
    }
    return true;
}

/* Best x >= 0 of x'Mx - 2x'v over all supports; returns its value (the target's own square is left out). */
static double nonnegative(double *best_x, const double *m, const double *v, size_t n)
{
    double best = INFINITY;
    memset(best_x, 0, n * sizeof *best_x);
    for (unsigned set = 1; set < 1u << n; set++) {
        double h[FIT_MAX_TERMS * FIT_MAX_TERMS], b[FIT_MAX_TERMS], x[FIT_MAX_TERMS], value = 0;
        size_t at[FIT_MAX_TERMS], k = 0;
        for (size_t i = 0; i < n; i++)
            if (set >> i & 1) at[k++] = i;
        for (size_t i = 0; i < k; i++) {
            b[i] = v[at[i]];
            for (size_t j = 0; j < k; j++) h[i * k + j] = m[at[i] * n + at[j]] * (i == j ? 1 + 1e-13 : 1);
        }
        if (!fit_cholesky_solve(h, x, b, k)) continue;
        bool ok = true;
        for (size_t i = 0; i < k; i++) ok = ok && x[i] >= 0, value -= x[i] * b[i];
        if (!ok || value >= best) continue;
        best = value;
        memset(best_x, 0, n * sizeof *best_x);
        for (size_t i = 0; i < k; i++) best_x[at[i]] = x[i];
    }
    return best;
}

double fit_varpro(const fit_problem *p, double *phi)
{
    const fit_law *law = p->law;
    size_t free_term[FIT_MAX_TERMS], k = 0;
    double m[FIT_MAX_TERMS * FIT_MAX_TERMS] = {0}, v[FIT_MAX_TERMS] = {0}, x[FIT_MAX_TERMS], u[FIT_MAX_TERMS],
                             square = 0;
    for (size_t t = 0; t < law->n_terms; t++)
        if (p->slot[law->terms[t].amplitude] >= 0) free_term[k++] = t;
    for (size_t i = 0; i < p->n; i++) {
        double w = p->weight ? p->weight[i] : 1, target = 1;
        if (w == 0) continue;
        for (size_t t = 0, f = 0; t < law->n_terms; t++) {
            const fit_term *term = &law->terms[t];
            int s = term->exponent < 0 ? -1 : p->slot[term->exponent];
            double power = term->exponent < 0 ? 0 : (s < 0 ? p->fixed[term->exponent] : phi[s]) * p->z[term->column][i];
            if (f < k && free_term[f] == t) u[f++] = exp(-power) / p->y[i];
            else target -= exp(p->fixed[term->amplitude] - power) / p->y[i];
        }
        square += w * target * target;
        for (size_t a = 0; a < k; a++) {
            v[a] += w * u[a] * target;
            for (size_t b = 0; b <= a; b++) m[a * k + b] = m[b * k + a] = m[a * k + b] + w * u[a] * u[b];
        }
    }
    if (!k) return square;
    double value = square + nonnegative(x, m, v, k);
    /* A start with a term at 0 would be dead: give it a thousandth of the loss in the middle of the data. */
    for (size_t a = 0; a < k; a++) {
        double middle = v[a] > 0 && m[a * k + a] > 0 ? v[a] / m[a * k + a] : 1;
        phi[p->slot[law->terms[free_term[a]].amplitude]] = log(x[a] > 1e-3 * middle ? x[a] : 1e-3 * middle);
    }
    fit_problem_clip(p, phi);
    return value > 0 ? value : 0;
}
