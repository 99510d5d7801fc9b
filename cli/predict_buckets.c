/* predict on fits of law `filtering`, one a bucket: which buckets to use and how often to repeat them for --tokens D. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "cli/predict.h"
#include "config.h"
#include "fit/decide.h"

enum { SHOWN = 12, LEAST_DRAWS = 40 };

typedef struct mix { unsigned use; double value; predict_interval ci; double best_share; } mix;

static int by_value(const void *a, const void *b)
{
    double x = ((const mix *)a)->value, y = ((const mix *)b)->value;
    return (x > y) - (x < y);
}

static int by_number(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Draw d of every bucket; -1: the fitted parameters. */
static void fill(fit_bucket *b, const prediction *p, long d)
{
    for (size_t i = 0; i < p->n_fits; i++) {
        const predict_law *law = &p->fits[i].loss;
        memcpy(b[i].params, d < 0 ? law->theta : law->draws + (size_t)d * FIT_MAX_PARAMS, sizeof b[i].params);
        b[i].pool = law->unique_tokens;
    }
}

static size_t common_draws(const prediction *p)
{
    size_t n = SIZE_MAX;
    for (size_t i = 0; i < p->n_fits; i++) n = p->fits[i].loss.n_draws < n ? p->fits[i].loss.n_draws : n;
    return n;
}

static status intervals(mix *m, size_t n_mixes, const prediction *p, double tokens, err *e)
{
    fit_bucket b[FIT_MAX_BUCKETS];
    size_t n = common_draws(p);
    double *v = malloc((n + 1) * sizeof *v), value;
    if (!v) return err_set(e, ST_NOMEM, "predict: no memory for %zu draws", n);
    for (size_t k = 0; k < n_mixes; k++) m[k].ci = (predict_interval){NAN, NAN}, m[k].best_share = NAN;
    for (size_t d = 0; d < n && n >= LEAST_DRAWS; d++) {
        fill(b, p, (long)d);
        unsigned best = fit_bucket_best(&value, b, p->n_fits, tokens);
        for (size_t k = 0; k < n_mixes; k++) m[k].best_share = (d ? m[k].best_share : 0) + (m[k].use == best ? 1. / (double)n : 0);
    }
    for (size_t k = 0; k < n_mixes && k < SHOWN && n >= LEAST_DRAWS; k++) {
        for (size_t d = 0; d < n; d++) {
            fill(b, p, (long)d);
            v[d] = fit_bucket_union(b, p->n_fits, m[k].use, tokens);
        }
        qsort(v, n, sizeof *v, by_number);
        m[k].ci = (predict_interval){v[(size_t)(.025 * (double)n)], v[n - 1 - (size_t)(.025 * (double)n)]};
    }
    free(v);
    return ST_OK;
}

static double pool_of(const prediction *p, unsigned use)
{
    double pool = 0;
    for (size_t i = 0; i < p->n_fits; i++)
        if (use >> i & 1) pool += p->fits[i].loss.unique_tokens;
    return pool;
}

static json_t *number(double x) { return isfinite(x) ? json_real(x) : json_null(); }

static json_t *mixes_json(const prediction *p, const mix *m, size_t n, double tokens)
{
    json_t *all = json_array();
    for (size_t k = 0; k < n; k++) {
        json_t *use = json_array();
        for (size_t i = 0; i < p->n_fits; i++)
            if (m[k].use >> i & 1) json_array_append_new(use, json_string(p->fits[i].path));
        json_array_append_new(all, json_pack("{s:o,s:f,s:f,s:f,s:o,s:o}", "buckets", use, "pool", pool_of(p, m[k].use), "epochs", tokens / pool_of(p, m[k].use),
                                             "value", m[k].value, "ci95", isnan(m[k].ci.lo) ? json_null() : json_pack("[f,f]", m[k].ci.lo, m[k].ci.hi),
                                             "best_in_share_of_draws", number(m[k].best_share)));
    }
    return all;
}

static void print(const prediction *p, const mix *m, size_t n, double tokens)
{
    printf("%.4g samples; unions of %zu buckets, best first\n  %-10s %-26s %-8s %s\n", tokens, p->n_fits, "value", "95 % interval", "epochs", "buckets (share of draws in which this union is best)");
    for (size_t k = 0; k < n && k < SHOWN; k++) {
        char range[64] = "";
        if (!isnan(m[k].ci.lo)) snprintf(range, sizeof range, "[%.5g, %.5g]", m[k].ci.lo, m[k].ci.hi);
        printf("  %-10.5g %-26s %-8.3g", m[k].value, range, tokens / pool_of(p, m[k].use));
        for (size_t i = 0; i < p->n_fits; i++)
            if (m[k].use >> i & 1) printf(" %s", p->fits[i].path);
        if (!isnan(m[k].best_share)) printf("  (%.0f %%)", 100 * m[k].best_share);
        putchar('\n');
    }
    if (n > SHOWN) printf("  ... and %zu worse ones (--json)\n", n - SHOWN);
    for (size_t i = 0; i < p->n_fits; i++) printf("pool           %s: %.4g\n", p->fits[i].path, p->fits[i].loss.unique_tokens);
    printf("verdict        %s%s\n", p->verdict, p->forced ? ", FORCED: a fit was refused and this lies beyond its data" : "");
    for (size_t i = 0; i < json_array_size(p->reasons); i++) {
        const json_t *r = json_array_get(p->reasons, i);
        printf("  %s: %s\n", json_string_value(json_object_get(r, "code")), json_string_value(json_object_get(r, "message")));
    }
}

bool predict_is_buckets(const prediction *p)
{
    for (size_t i = 0; i < p->n_fits; i++)
        if (p->fits[i].is_lr || strcmp(p->fits[i].law, "filtering")) return false;
    return p->n_fits > 0;
}

/* Beyond the samples that the fits saw: the same contract as for other laws. */
static status judge(prediction *p, double tokens, err *e)
{
    double worst = 0;
    const predict_fit *which = NULL, *refused = NULL;
    for (size_t i = 0; i < p->n_fits; i++) {
        const json_t *d = json_object_get(json_object_get(p->fits[i].root, "domain"), "D");
        double beyond = log10(tokens / json_number_value(json_array_get(d, 1)));
        if (isfinite(beyond) && beyond > worst) worst = beyond, which = &p->fits[i];
        if (p->fits[i].refused) refused = &p->fits[i];
    }
    if (which)
        prediction_reason(p, "extrapolates_k_decades", worst, "%.2f decades beyond the samples seen in %s", worst, which->path);
    if (refused) p->verdict = "refuse";
    if (!refused || !which) return ST_OK;
    if (!p->in.force)
        return err_set(e, ST_REFUSED, "%s: the fit was refused and %.4g samples lie %.2f decades beyond its data; --force predicts it anyway, marked",
                       refused->path, tokens, worst);
    p->forced = true;
    return ST_OK;
}

/* The pool of a bucket is the largest U among its fit's rows, or --unique-tokens for all of them. */
static status pools(prediction *p, err *e)
{
    for (size_t i = 0; i < p->n_fits; i++) {
        const json_t *u = json_object_get(json_object_get(p->fits[i].root, "domain"), "U");
        double largest = json_number_value(json_array_get(u, 1));
        if (isnan(p->in.unique_tokens) && !(largest > 0))
            return err_set(e, ST_INPUT, "%s: no column U in its domain; fit it again with muscale fit --law filtering", p->fits[i].path);
        p->fits[i].loss.unique_tokens = isnan(p->in.unique_tokens) ? largest : p->in.unique_tokens;
    }
    return ST_OK;
}

status predict_buckets(json_t **out, prediction *p, bool screen, err *e)
{
    double tokens = p->in.ask.d;
    fit_bucket b[FIT_MAX_BUCKETS];
    if (isnan(tokens)) return err_set(e, ST_USAGE, "which budget? fits of law filtering answer --tokens D, in the unit of their rows");
    if (p->n_fits > FIT_MAX_BUCKETS) return err_set(e, ST_USAGE, "%zu buckets: at most %d are taken", p->n_fits, FIT_MAX_BUCKETS);
    status s = pools(p, e);
    if (!s) s = judge(p, tokens, e);
    size_t n = ((size_t)1 << p->n_fits) - 1;
    mix *m = s ? NULL : malloc(n * sizeof *m);
    if (!s && !m) s = err_set(e, ST_NOMEM, "predict: no memory for %zu unions", n);
    if (s) return s;
    fill(b, p, -1);
    for (size_t k = 0; k < n; k++) m[k] = (mix){(unsigned)k + 1, fit_bucket_union(b, p->n_fits, (unsigned)k + 1, tokens), {NAN, NAN}, NAN};
    qsort(m, n, sizeof *m, by_value);
    s = intervals(m, n, p, tokens, e);
    if (!s) {
        *out = json_pack("{s:s,s:{s:f},s:o,s:{s:s,s:O},s:{s:s}}", "schema", "muscale.predict/1", "given", "tokens", tokens, "mixes", mixes_json(p, m, n, tokens),
                         "trust", "verdict", p->verdict, "reasons", p->reasons, "provenance", "version", PACKAGE_VERSION);
        if (!*out) s = err_set(e, ST_NOMEM, "predict: no memory for the result");
        else if (screen) print(p, m, n, tokens);
    }
    free(m);
    return s;
}
