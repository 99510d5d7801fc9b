/* Method isoflop: Hoffmann et al. 2022, section 3.2 ("approach 2"). Per compute budget a parabola of the loss in ln N;
 * its vertex is N_opt; straight lines of ln N_opt and ln D_opt on ln C.
 *
 * A budget counts only when it brackets its minimum: the parabola opens upwards, its vertex and the lowest run lie
 * strictly inside the sizes tried. Others are dropped and named. Biased by construction: a parabola is exact only for
 * alpha = beta and sizes centred on the optimum (doc/laws.md); the parametric fit of the same rows is the better answer.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "fit/run.h"

enum { P_NCOEF, P_A, P_DCOEF, P_B, N_PARAMS, LEAST_SIZES = 3, LEAST_BUDGETS = 3 };
static const double SAME_BUDGET = .05; /* ln C: runs of one budget miss it by a batch or a rounding of tokens */

typedef struct row { double ln_c, ln_n, ln_d, loss; size_t at; } row;

static int by_budget_and_size(const void *a, const void *b)
{
    const row *x = a, *y = b;
    if (x->ln_c != y->ln_c) return x->ln_c < y->ln_c ? -1 : 1;
    return (x->ln_n > y->ln_n) - (x->ln_n < y->ln_n);
}

/* loss = c0 + c1 u + c2 u^2, u = ln N - centre, least squares with row weights. */
static bool parabola(double *c, const row *r, const double *w, size_t n, double centre)
{
    double m[9] = {0}, v[3] = {0};
    for (size_t i = 0; i < n; i++) {
        double u = r[i].ln_n - centre, t[3] = {1, u, u * u};
        for (int a = 0; a < 3; a++) {
            v[a] += w[i] * t[a] * r[i].loss;
            for (int b = 0; b < 3; b++) m[3 * a + b] += w[i] * t[a] * t[b];
        }
    }
    return fit_cholesky_solve(m, c, v, 3);
}

/* ln D at ln N on the budget's line (slope -1 where C = 6ND). */
static double ln_d_at(const row *r, const double *w, size_t n, double ln_n)
{
    double sw = 0, mx = 0, my = 0, xx = 0, xy = 0;
    for (size_t i = 0; i < n; i++) sw += w[i], mx += w[i] * r[i].ln_n, my += w[i] * r[i].ln_d;
    mx /= sw, my /= sw;
    for (size_t i = 0; i < n; i++)
        xx += w[i] * (r[i].ln_n - mx) * (r[i].ln_n - mx), xy += w[i] * (r[i].ln_n - mx) * (r[i].ln_d - my);
    return my + (xx > 0 ? xy / xx : -1) * (ln_n - mx);
}

static void no_minimum(fit_budget *b, const char *why) { snprintf(b->why, sizeof b->why, "%s", why); }

/* One budget. c3 gets the parabola and *centre its origin. */
static void find_minimum(fit_budget *b, double *c3, double *centre, const row *r, const double *w, size_t n)
{
    size_t sizes = 0, lowest = n;
    double lo = INFINITY, hi = -INFINITY, ln_c = 0, sw = 0;
    memset(b, 0, sizeof *b);
    b->N_opt = b->D_opt = b->loss_opt = b->curvature = NAN;
    *centre = 0;
    for (size_t i = 0; i < n; i++) {
        if (w[i] == 0) continue;
        sizes += r[i].ln_n > hi + 1e-9;
        lo = fmin(lo, r[i].ln_n), hi = fmax(hi, r[i].ln_n);
        ln_c += w[i] * r[i].ln_c, *centre += w[i] * r[i].ln_n, sw += w[i];
        b->n++;
        if (lowest == n || r[i].loss < r[lowest].loss) lowest = i;
    }
    b->C = exp(ln_c / sw);
    *centre /= sw;
    c3[0] = c3[1] = c3[2] = NAN;
    if (sizes < LEAST_SIZES) return no_minimum(b, "fewer than 3 sizes");
    if (!parabola(c3, r, w, n, *centre)) return no_minimum(b, "sizes too close for a parabola");
    b->curvature = 2 * c3[2];
    if (!(c3[2] > 0)) return no_minimum(b, "the parabola opens downwards");
    double vertex = *centre - c3[1] / (2 * c3[2]);
    if (r[lowest].ln_n <= lo + 1e-9) return no_minimum(b, "lowest loss at the smallest size: try smaller ones");
    if (r[lowest].ln_n >= hi - 1e-9) return no_minimum(b, "lowest loss at the largest size: try larger ones");
    if (!(vertex > lo && vertex < hi)) return no_minimum(b, "the parabola's vertex lies outside the sizes tried");
    b->bracketed = true;
    b->N_opt = exp(vertex);
    b->D_opt = exp(ln_d_at(r, w, n, vertex));
    b->loss_opt = c3[0] - c3[1] * c3[1] / (4 * c3[2]);
}

static bool line(double *coef, double *slope, const fit_budget *b, size_t n, bool of_d)
{
    double k = 0, mx = 0, my = 0, xx = 0, xy = 0;
    for (size_t i = 0; i < n; i++)
        if (b[i].bracketed) k++, mx += log(b[i].C), my += log(of_d ? b[i].D_opt : b[i].N_opt);
    if (k < LEAST_BUDGETS) return false;
    mx /= k, my /= k;
    for (size_t i = 0; i < n; i++)
        if (b[i].bracketed) {
            double x = log(b[i].C) - mx;
            xx += x * x, xy += x * (log(of_d ? b[i].D_opt : b[i].N_opt) - my);
        }
    *slope = xy / xx;
    *coef = exp(my - *slope * mx);
    return true;
}

static bool both_lines(double *v, const fit_budget *b, size_t n)
{
    return line(&v[P_NCOEF], &v[P_A], b, n, false) && line(&v[P_DCOEF], &v[P_B], b, n, true);
}

typedef struct groups { size_t n; size_t *first; } groups; /* first[n + 1] */

static void bootstrap(fit_result *out, const row *r, const groups *g, const fit_opts *o, double *w, fit_budget *b)
{
    for (size_t k = 0; k < o->bootstrap; k++) {
        double c3[3], centre, *v = out->samples + out->boot_ok * N_PARAMS;
        for (size_t j = 0; j < g->n; j++) { /* rows within their budget */
            size_t first = g->first[j], n = g->first[j + 1] - first;
            memset(w + first, 0, n * sizeof *w);
            for (size_t i = 0; i < n; i++) w[first + rng_below(n, o->seed, RNG_BOOTSTRAP, (uint32_t)k, first + i)]++;
            find_minimum(&b[j], c3, &centre, r + first, w + first, n);
        }
        out->boot_ok += both_lines(v, b, g->n);
    }
}

static void describe(fit_result *out, const fit_data *data, const fit_opts *o)
{
    static const char *const names[N_PARAMS] = {"N_coef", "a_opt", "D_coef", "b_opt"};
    fit_estimate null = {NAN, NAN, NAN, NAN, NAN, false, false, false};
    snprintf(out->law, sizeof out->law, "isoflop");
    snprintf(out->method, sizeof out->method, "isoflop");
    fit_result_rules(out, data);
    out->log_likelihood = NAN;
    out->delta = out->objective_value = out->holdout_mean = out->holdout_max = NAN;
    out->seed = o->seed;
    out->n_params = N_PARAMS;
    out->a_opt = out->b_opt = out->G = null;
    for (size_t j = 0; j < N_PARAMS; j++) {
        snprintf(out->names[j], FIT_NAME, "%s", names[j]);
        out->params[j] = null;
    }
}

static void finish(fit_result *out, const row *r, const groups *g, double *w)
{
    double v[N_PARAMS], square = 0, *column = malloc((out->boot_ok + 1) * sizeof *column);
    size_t bracketed = 0, fitted = 0;
    for (size_t j = 0; j < g->n; j++) {
        double c3[3], centre;
        size_t first = g->first[j], n = g->first[j + 1] - first;
        for (size_t i = first; i < first + n; i++) w[i] = 1;
        find_minimum(&out->budgets[j], c3, &centre, r + first, w + first, n);
        bracketed += out->budgets[j].bracketed;
        for (size_t i = first; i < first + n; i++) {
            double u = r[i].ln_n - centre, l = c3[0] + u * (c3[1] + u * c3[2]);
            out->fitted[r[i].at] = l;
            if (!out->budgets[j].bracketed) continue;
            fitted++;
            square += (r[i].loss / l - 1) * (r[i].loss / l - 1);
        }
    }
    out->residual_sd = fitted ? sqrt(square / (double)fitted) : NAN;
    if (both_lines(v, out->budgets, g->n))
        for (size_t j = 0; j < N_PARAMS; j++) {
            out->params[j].value = v[j];
            for (size_t b = 0; b < out->boot_ok && column; b++) column[b] = out->samples[b * N_PARAMS + j];
            fit_percentiles(&out->params[j], column, column ? out->boot_ok : 0);
        }
    free(column);
    out->a_opt = out->params[P_A];
    out->b_opt = out->params[P_B];
    if (bracketed < LEAST_BUDGETS)
        fit_trust_add(&out->trust, FIT_REFUSE, "no_interior_minimum", (double)bracketed,
                      "%zu of %zu budgets bracket their minimum, %d are needed", bracketed, g->n, LEAST_BUDGETS);
    else if (out->boot_n && out->boot_ok < out->boot_n - out->boot_n / 10)
        fit_trust_add(&out->trust, FIT_WARN, "flat_direction", 1 - (double)out->boot_ok / (double)out->boot_n,
                      "%zu of %zu resamples keep fewer than 3 bracketed budgets", out->boot_n - out->boot_ok,
                      out->boot_n);
    fit_judge_conventions(out, true, true);
}

status fit_isoflop(fit_result *out, const fit_data *data, const fit_opts *o, err *e)
{
    memset(out, 0, sizeof *out);
    describe(out, data, o);
    status s = fit_result_points(out, data, e);
    if (s) return s;
    const fit_data *p = &out->points;
    size_t n = p->n;
    groups g = {0, malloc((n + 1) * sizeof *g.first)};
    row *r = malloc((n + 1) * sizeof *r);
    double *w = malloc((n + 1) * sizeof *w);
    fit_budget *scratch = NULL;
    out->samples = malloc((o->bootstrap * N_PARAMS + N_PARAMS) * sizeof *out->samples);
    if (!g.first || !r || !w || !out->samples) s = err_set(e, ST_NOMEM, "no memory for %zu rows", n);
    for (size_t i = 0; i < n && !s; i++)
        r[i] = (row){log(p->C[i]), log(p->N[i]), log(p->D ? p->D[i] : p->C[i] / (6 * p->N[i])), p->y[i], i};
    if (!s && n) {
        qsort(r, n, sizeof *r, by_budget_and_size);
        for (size_t i = 0; i < n; i++)
            if (i == 0 || r[i].ln_c > r[g.first[g.n - 1]].ln_c + SAME_BUDGET) g.first[g.n++] = i;
        g.first[g.n] = n;
        /* Within a budget by size: its rows may differ a little in C. */
        for (size_t j = 0; j < g.n; j++) {
            double ln_c = r[g.first[j]].ln_c;
            for (size_t i = g.first[j]; i < g.first[j + 1]; i++) r[i].ln_c = ln_c;
            qsort(r + g.first[j], g.first[j + 1] - g.first[j], sizeof *r, by_budget_and_size);
            for (size_t i = g.first[j]; i < g.first[j + 1]; i++) r[i].ln_c = log(p->C[r[i].at]);
        }
        scratch = calloc(g.n, sizeof *scratch);
        out->budgets = calloc(g.n, sizeof *out->budgets);
        out->n_budgets = g.n;
        if (!scratch || !out->budgets) s = err_set(e, ST_NOMEM, "no memory for %zu budgets", g.n);
    }
    if (!s) {
        out->boot_n = o->bootstrap;
        bootstrap(out, r, &g, o, w, scratch);
        finish(out, r, &g, w);
    }
    free(scratch);
    free(g.first);
    free(r);
    free(w);
    return s;
}
