#include "fit/powers.h"

#include <math.h>
#include <string.h>

enum { BLOCK = 256 }; /* rows summed before they are added to the total: errors of a million rows stay small */

/* One row: weights w of the terms (the floor's last), and the residual's slopes against q = ln L^. t multiplies
 * -dq, s multiplies dq dq' (fit/problem.c, add_block). */
typedef struct row { double w[FIT_POWERS_TERMS + 1], f, t, s; } row;

static row look(const fit_powers *k, size_t i)
{
    row x;
    size_t m = k->n_terms, all = m + k->has_floor;
    double top = k->has_floor ? k->floor : -INFINITY, sum = 0;
    for (size_t j = 0; j < m; j++) {
        x.w[j] = k->a[j] - k->p[j] * k->z[j][i];
        if (x.w[j] > top) top = x.w[j];
    }
    if (k->has_floor) x.w[m] = k->floor;
    for (size_t j = 0; j < all; j++) sum += x.w[j] = exp(x.w[j] - top);
    for (size_t j = 0; j < all; j++) x.w[j] /= sum;
    double q = top + log(sum), l = k->natural ? exp(q) : 1, r = k->target[i] - (k->natural ? l : q), size = fabs(r);
    double weight = (k->weight ? k->weight[i] : 1) * (r < 0 ? k->below : k->scale);
    double inside = fmin(size, k->delta), psi = copysign(inside, r);
    double curv = size <= k->delta ? 1 : k->gauss ? k->delta / size : 0;
    bool used = weight > 0; /* a row without weight adds nothing, however wrong */
    x.f = used ? weight * inside * (size - inside / 2) : 0;
    x.t = used ? weight * psi * l : 0;
    x.s = used ? weight * curv * l * l : 0;
    if (!k->natural && !k->gauss) x.s += x.t;
    return x;
}

static double slope(const fit_powers *k, size_t coordinate, size_t i)
{
    return coordinate & 1 ? -k->z[coordinate / 2][i] : 1;
}

static void add_row(double *g, double *h, const fit_powers *k, const row *x, size_t i)
{
    size_t nc = 2 * k->n_terms + k->has_floor, at = 0;
    for (size_t a = 0; a < nc; a++) {
        double ca = slope(k, a, i), wa = x->w[a / 2] * ca;
        g[a] -= x->t * wa;
        for (size_t b = a; b < nc && h; b++, at++) {
            double cb = slope(k, b, i);
            h[at] += x->s * wa * x->w[b / 2] * cb - (a / 2 == b / 2 && !k->gauss ? x->t * wa * cb : 0);
        }
    }
}

double fit_powers_sum(double *grad, double *hess, const fit_powers *k)
{
    double total = 0, g[FIT_POWERS_COORDS] = {0}, h[FIT_POWERS_HESS] = {0};
    size_t nc = 2 * k->n_terms + k->has_floor, nh = nc * (nc + 1) / 2;
    for (size_t from = 0; from < k->n; from += BLOCK) {
        size_t to = k->n - from < BLOCK ? k->n : from + BLOCK;
        double f = 0, bg[FIT_POWERS_COORDS] = {0}, bh[FIT_POWERS_HESS] = {0};
        for (size_t i = from; i < to; i++) {
            row x = look(k, i);
            f += x.f;
            if (grad) add_row(bg, hess ? bh : NULL, k, &x, i);
        }
        total += f;
        for (size_t a = 0; a < nc && grad; a++) g[a] += bg[a];
        for (size_t a = 0; a < nh && hess; a++) h[a] += bh[a];
    }
    for (size_t a = 0; a < nc && grad; a++)
        if (!isfinite(g[a])) total = INFINITY;
    for (size_t a = 0; a < nh && hess; a++)
        if (!isfinite(h[a])) total = INFINITY;
    if (!isfinite(total)) { /* no direction follows from what overflowed */
        total = INFINITY;
        memset(g, 0, sizeof g);
        memset(h, 0, sizeof h);
    }
    if (grad) memcpy(grad, g, nc * sizeof *g);
    if (hess) memcpy(hess, h, nh * sizeof *h);
    return total;
}

void fit_powers_gram(double *gram, const fit_gram *k)
{
    size_t m = k->m + 1;
    memset(gram, 0, m * m * sizeof *gram);
    for (size_t i = 0; i < k->n; i++) {
        double u[FIT_GRAM_MAX + 1], w = k->weight ? k->weight[i] : 1;
        if (w == 0) continue;
        for (size_t a = 0; a < k->m; a++) u[a] = (k->z[a] ? exp(-k->p[a] * k->z[a][i]) : 1) * k->inverse_y[i];
        u[k->m] = 1;
        for (size_t a = 0; a < m; a++)
            for (size_t b = 0; b <= a; b++) gram[a * m + b] += w * u[a] * u[b];
    }
    for (size_t a = 0; a < m; a++)
        for (size_t b = 0; b < a; b++) gram[b * m + a] = gram[a * m + b];
}

static void exp_plain(double *y, const double *x, size_t n)
{
    for (size_t i = 0; i < n; i++) y[i] = exp(x[i]);
}

static void log_plain(double *y, const double *x, size_t n)
{
    for (size_t i = 0; i < n; i++) y[i] = log(x[i]);
}

static const fit_powers_ops plain = {"generic", fit_powers_sum, fit_powers_gram, exp_plain, log_plain};

const fit_powers_ops *fit_powers_ops_for(cpu_level l)
{
    switch (l) {
#ifdef CPU_HAVE_LEVELS
    case CPU_V4: return &fit_powers_v4;
    case CPU_V3: return &fit_powers_v3;
    case CPU_V2: return &fit_powers_v2;
#endif
    default: return &plain;
    }
}
