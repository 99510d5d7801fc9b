/* Bootstrap (Efron 1979): resampled rows, or resampled clusters where rows move together (points of one curve, one
 * model size; doc/laws.md, "Uncertainty"). A resample is a vector of row weights: nothing is copied. Percentile
 * intervals. Every draw is a pure function of (seed, resample), so results do not depend on order or threads. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "fit/run.h"

/* Of a resample's screened starts, run to their ends. Curves: rows are dear, and on the public ones (multi_power_law)
 * every start ends in the optimum. */
enum { GLOBAL_STARTS = 6, CURVE_STARTS = 2 };

static void draw_weights(double *w, const fit_problem *p, const uint32_t *cluster, size_t n_clusters, double *count,
                         uint64_t seed, uint32_t resample)
{
    memset(count, 0, n_clusters * sizeof *count);
    for (size_t k = 0; k < n_clusters; k++) count[rng_below(n_clusters, seed, RNG_BOOTSTRAP, resample, k)]++;
    for (size_t i = 0; i < p->n; i++) w[i] = count[cluster ? cluster[i] : i];
}

static status best_end(fit_end *best, fit_problem *p, const fit_solver *solver, const double *start, err *e)
{
    fit_end end;
    status s = fit_solve_from(&end, p, solver, start, e);
    if (!s && end.ok && (!best->ok || end.f < best->f)) *best = end;
    return s;
}

typedef struct resampling {
    const fit_opts *o;
    const fit_search *search;
    const fit_start_list *starts;
    fit_screen *screen;      /* of the starts; NULL: one by one */
    const uint32_t *cluster;
    size_t n_clusters;
    fit_end *end; /* [bootstrap] */
    double *natural; /* [bootstrap][n_params] */
    size_t *same; /* [bootstrap] the first resample with these counts, or itself; NULL: all differ */
} resampling;

/* The starts that are best for the present weights, their linear parameters set for them. Returns how many. */
static size_t best_starts(fit_start *top, double *gram, fit_problem *p, const resampling *x)
{
    size_t n = 0;
    if (x->screen) fit_screen_rows(gram, x->screen, p);
    for (size_t i = 0; i < x->starts->n; i++) {
        fit_start start = x->starts->s[i];
        start.value = x->screen ? fit_screen_value(start.phi, x->screen, gram, p, i) : fit_start_value(p, start.phi);
        size_t at = n;
        while (at > 0 && top[at - 1].value > start.value) at--;
        if (at == GLOBAL_STARTS || !isfinite(start.value)) continue;
        if (n < GLOBAL_STARTS) n++;
        memmove(top + at + 1, top + at, (n - 1 - at) * sizeof *top);
        top[at] = start;
    }
    return n;
}

/* The global search of a resample: the best few of all starts run to their ends. */
static status refit_globally(fit_end *best, fit_problem *p, const resampling *x, err *e)
{
    fit_start top[GLOBAL_STARTS];
    double *gram = malloc(FIT_SCREEN_GRAM * sizeof *gram);
    status s = gram ? ST_OK : err_set(e, ST_NOMEM, "no memory for a resample of %zu rows", p->n);
    size_t n = gram ? best_starts(top, gram, p, x) : 0;
    if (p->law->curves && n > CURVE_STARTS) n = CURVE_STARTS;
    for (size_t k = 0; k < n && !s; k++) s = best_end(best, p, x->o->solver, top[k].phi, e);
    free(gram);
    return s;
}

/* Pinned values of this resample: another draw of the fit they come from. */
static void draw_pinned(fit_problem *p, const fit_opts *o, size_t b)
{
    const double *draw = o->fix_draws[b % o->n_fix_draws];
    for (size_t j = 0; j < p->law->n_params; j++)
        if (p->slot[j] < 0 && !p->dropped[j] && !isnan(draw[j])) p->fixed[j] = p->law->params[j].log ? log(draw[j]) : draw[j];
}

static status resample(void *self, fit_problem *p, size_t b, err *e)
{
    const resampling *x = self;
    if (x->same && x->same[b] != b) return ST_OK;
    double *weight = malloc((p->n + 1) * sizeof *weight), *count = malloc((x->n_clusters + 1) * sizeof *count);
    fit_end *best = &x->end[b];
    status s = weight && count ? ST_OK : err_set(e, ST_NOMEM, "no memory for a resample of %zu rows", p->n);
    double pinned[FIT_MAX_PARAMS];
    memcpy(pinned, p->fixed, sizeof pinned);
    best->ok = false;
    if (!s) {
        if (x->o->fix_draws) draw_pinned(p, x->o, b);
        draw_weights(weight, p, x->cluster, x->n_clusters, count, x->o->seed, (uint32_t)b);
        p->weight = weight;
        for (size_t k = 0; k < x->search->n_basins && !s; k++)
            s = best_end(best, p, x->o->solver, x->search->basin[k].phi, e);
        if (!s && !x->o->warm) s = refit_globally(best, p, x, e);
        if (!s && best->ok) fit_problem_natural(p, x->natural + b * p->law->n_params, best->phi);
        p->weight = NULL;
        memcpy(p->fixed, pinned, sizeof pinned);
    }
    free(weight);
    free(count);
    return s;
}

/* Cluster numbers of the rows that are fitted, renumbered 0.. without gaps. */
static status used_clusters(uint32_t **out, size_t *n_clusters, const fit_data *data, size_t n, err *e)
{
    uint32_t top = 0;
    for (size_t i = 0; i < data->n; i++)
        if (data->cluster[i] > top) top = data->cluster[i];
    uint32_t *cluster = calloc(n + 1, sizeof *cluster), *number = calloc((size_t)top + 1, sizeof *number);
    *out = cluster;
    *n_clusters = 0;
    for (size_t i = 0, at = 0; i < data->n && cluster && number; i++) {
        if (data->held_out && data->held_out[i]) continue;
        if (!number[data->cluster[i]]) number[data->cluster[i]] = (uint32_t)++*n_clusters;
        cluster[at++] = number[data->cluster[i]] - 1;
    }
    free(number);
    return cluster && number ? ST_OK : err_set(e, ST_NOMEM, "no memory for clusters");
}

/* Few clusters make few different resamples: of three curves 10, of six 462. Each is fitted once. */
enum { FEW_CLUSTERS = 8 };
typedef struct drawn { unsigned char count[FEW_CLUSTERS]; size_t b; } drawn;

static int by_counts(const void *a, const void *b)
{
    const drawn *x = a, *y = b;
    int c = memcmp(x->count, y->count, sizeof x->count);
    return c ? c : (x->b > y->b) - (x->b < y->b);
}

static status find_same(resampling *x, err *e)
{
    size_t n = x->o->bootstrap;
    if (!x->cluster || x->n_clusters > FEW_CLUSTERS) return ST_OK;
    drawn *d = calloc(n + 1, sizeof *d);
    x->same = malloc((n + 1) * sizeof *x->same);
    if (!d || !x->same) {
        free(d);
        return err_set(e, ST_NOMEM, "no memory for %zu resamples", n);
    }
    for (size_t b = 0; b < n; b++) {
        d[b].b = b;
        for (size_t k = 0; k < x->n_clusters; k++)
            d[b].count[rng_below(x->n_clusters, x->o->seed, RNG_BOOTSTRAP, (uint32_t)b, k)]++;
    }
    qsort(d, n, sizeof *d, by_counts);
    for (size_t i = 0; i < n; i++)
        x->same[d[i].b] = i && !memcmp(d[i].count, d[i - 1].count, sizeof d->count) ? x->same[d[i - 1].b] : d[i].b;
    free(d);
    return ST_OK;
}

status fit_bootstrap(fit_result *out, fit_problem *p, const fit_data *data, const fit_opts *o, const fit_search *search,
                     const fit_start_list *starts, err *e)
{
    resampling x = {.o = o, .search = search, .starts = starts, .n_clusters = p->n, .end = malloc((o->bootstrap + 1) * sizeof *x.end),
                    .natural = malloc((o->bootstrap * p->law->n_params + 1) * sizeof *x.natural)};
    uint32_t *cluster = NULL;
    size_t np = p->law->n_params;
    status s = data->cluster ? used_clusters(&cluster, &x.n_clusters, data, p->n, e) : ST_OK;
    x.cluster = cluster;
    if (!s && !o->fix_draws) s = find_same(&x, e);
    out->samples = malloc((o->bootstrap * np + 1) * sizeof *out->samples);
    /* One cluster resampled is itself: no interval rather than a narrow one. */
    out->boot_n = cluster && x.n_clusters < 2 ? 0 : o->bootstrap;
    if (!s && (!x.end || !x.natural || !out->samples)) s = err_set(e, ST_NOMEM, "no memory for %zu resamples", o->bootstrap);
    if (!s && !o->warm && out->boot_n && !o->fix_draws) s = fit_screen_make(&x.screen, p, starts, e);
    if (!s) s = fit_in_parallel(p, out->boot_n, fit_threads(o->solver, o->threads), resample, &x, e);
    for (size_t b = 0; b < out->boot_n && !s; b++) {
        size_t from = x.same ? x.same[b] : b;
        if (x.end[from].ok) memcpy(out->samples + np * out->boot_ok++, x.natural + np * from, np * sizeof *x.natural);
    }
    fit_screen_free(x.screen);
    free(x.same);
    free(x.end);
    free(x.natural);
    free(cluster);
    return s;
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double quantile(const double *sorted, size_t n, double q)
{
    double at = q * (double)(n - 1), base = floor(at);
    size_t i = (size_t)base;
    return i + 1 < n ? sorted[i] + (at - base) * (sorted[i + 1] - sorted[i]) : sorted[n - 1];
}

void fit_percentiles(fit_estimate *out, double *values, size_t n)
{
    double mean = 0, square = 0;
    out->se = out->lo = out->hi = NAN;
    if (n < 2) return;
    for (size_t i = 0; i < n; i++) mean += values[i] / (double)n;
    for (size_t i = 0; i < n; i++) square += (values[i] - mean) * (values[i] - mean);
    qsort(values, n, sizeof *values, by_size);
    out->se = sqrt(square / (double)(n - 1));
    out->lo = quantile(values, n, .025);
    out->hi = quantile(values, n, .975);
}

void fit_intervals(fit_result *r, const fit_law *law)
{
    size_t n = r->boot_ok, np = r->n_params;
    double *v = malloc((n + 1) * sizeof *v);
    for (size_t j = 0; j < np && v; j++) {
        if (r->params[j].fixed && !r->pinned_drawn) continue;
        for (size_t b = 0; b < n; b++) v[b] = r->samples[b * np + j];
        fit_percentiles(&r->params[j], v, n);
    }
    fit_estimate *of[3] = {&r->a_opt, &r->b_opt, &r->G};
    for (int k = 0; k < 3 && v && law->allocation; k++) {
        for (size_t b = 0; b < n; b++) {
            double a[3];
            law->allocation(&a[0], &a[1], &a[2], r->samples + b * np);
            v[b] = a[k];
        }
        fit_percentiles(of[k], v, n);
    }
    for (size_t k = 0; k < r->n_derived && v; k++) {
        size_t known = 0;
        for (size_t b = 0; b < n; b++) {
            double d[FIT_MAX_DERIVED];
            law->derive(d, r->samples + b * np);
            if (isfinite(d[k])) v[known++] = d[k];
        }
        fit_percentiles(&r->derived[k], v, known);
    }
    free(v);
}
