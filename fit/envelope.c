/* Method envelope: Hoffmann et al. 2022, section 3.1 ("approach 1"). Training curves of many sizes, interpolated in ln L over
 * ln C; at 1500 values of C, evenly spaced in ln C, the lowest curve gives N_opt and D_opt; straight lines of both on ln C.
 *
 * The values of C lie between the second smallest beginning and the second largest end of a curve: outside there is nothing
 * to compare with. A value counts only when the lowest curve's size lies strictly between the smallest and the largest of
 * those whose curves reach it; the others, where a size not tried may be better, are dropped and counted.
 *
 * We depart from the paper: curves are taken as they are, not smoothed (it averages over ten steps). Give validation losses; the lowest
 * of several noisy curves is lower than the lowest of what they scatter about, and need not be the same one. */
#include <jansson.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "fit/run.h"

enum { P_NCOEF, P_A, P_DCOEF, P_B, N_PARAMS, N_VALUES = 1500, LEAST_SIZES = 3 };
static const double SAME_SIZE = 1e-9; /* ln N */

typedef struct point { uint32_t curve; double ln_c, ln_n, ln_d, ln_loss; size_t at; } point;
typedef struct curve { double ln_n; size_t first, n, size; } curve; /* points first.., number of its size */

typedef struct envelope {
    size_t n_points, n_curves, n_sizes, n_short; /* short: curves of one point */
    point *p;              /* by curve and C */
    curve *c;              /* by N */
    double lo, hi;         /* ln C */
    double *loss, *ln_d;   /* [n_curves][N_VALUES]; NaN where the curve does not reach */
} envelope;

/* What a set of curves says. */
typedef struct verdicts {
    size_t kept, smallest, largest, empty; /* values of C; empty: no curve of the set is there */
    size_t n_holders;                      /* sizes that hold a value kept */
    size_t *of_size;                       /* [n_sizes] values kept */
    double *from, *to;                     /* [n_sizes] ln C of the first and last of them; NULL: not asked */
} verdicts;

/* --- curves ----------------------------------------------------------------------------------------------------- */

static int by_curve_and_compute(const void *a, const void *b)
{
    const point *x = a, *y = b;
    if (x->curve != y->curve) return x->curve < y->curve ? -1 : 1;
    if (x->ln_c != y->ln_c) return x->ln_c < y->ln_c ? -1 : 1;
    return (x->at > y->at) - (x->at < y->at);
}

static int by_size_and_place(const void *a, const void *b)
{
    const curve *x = a, *y = b;
    if (x->ln_n != y->ln_n) return x->ln_n < y->ln_n ? -1 : 1;
    return (x->first > y->first) - (x->first < y->first);
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

/* Of points with the same C, as a resumed run writes them, the last stands. */
static status split(envelope *q, const fit_data *d, err *e)
{
    point *p = q->p;
    size_t n = 0;
    qsort(p, q->n_points, sizeof *p, by_curve_and_compute);
    for (size_t i = 0; i < q->n_points; i++) {
        bool again = n && p[n - 1].curve == p[i].curve;
        if (again && fabs(p[n - 1].ln_n - p[i].ln_n) > SAME_SIZE)
            return err_set(e, ST_INPUT, "method envelope: one curve (by %s) has models of %g and %g parameters; --curve COL names the column "
                                        "that tells curves apart", d->cluster_name[0] ? d->cluster_name : "input", exp(p[n - 1].ln_n), exp(p[i].ln_n));
        if (again && p[n - 1].ln_c == p[i].ln_c) n--;
        if (!again && q->n_curves && q->c[q->n_curves - 1].n < 2) q->n_curves--, q->n_short++, n--; /* a point is no curve */
        if (!again) q->c[q->n_curves++] = (curve){p[i].ln_n, n, 0, 0};
        p[n] = p[i];
        q->c[q->n_curves - 1].n = ++n - q->c[q->n_curves - 1].first;
    }
    if (q->n_curves && q->c[q->n_curves - 1].n < 2) q->n_curves--, q->n_short++;
    qsort(q->c, q->n_curves, sizeof *q->c, by_size_and_place);
    for (size_t k = 0; k < q->n_curves; k++) {
        q->n_sizes += !k || q->c[k].ln_n > q->c[k - 1].ln_n + SAME_SIZE;
        q->c[k].size = q->n_sizes - 1;
    }
    return ST_OK;
}

/* From the second smallest beginning to the second largest end; empty (hi < lo) for fewer than two curves. */
static status range(envelope *q, err *e)
{
    size_t n = q->n_curves;
    q->lo = 0, q->hi = -1;
    if (n < 2) return ST_OK;
    double *x = malloc(2 * n * sizeof *x);
    if (!x) return err_set(e, ST_NOMEM, "no memory for %zu curves", n);
    for (size_t k = 0; k < n; k++) x[k] = q->p[q->c[k].first].ln_c, x[n + k] = q->p[q->c[k].first + q->c[k].n - 1].ln_c;
    qsort(x, n, sizeof *x, by_value);
    qsort(x + n, n, sizeof *x, by_value);
    q->lo = x[1], q->hi = x[2 * n - 2];
    free(x);
    return ST_OK;
}

static double compute_at(const envelope *q, size_t g) { return q->lo + (q->hi - q->lo) * (double)g / (N_VALUES - 1); }

static status interpolate(envelope *q, err *e)
{
    q->loss = malloc((2 * q->n_curves * N_VALUES + 1) * sizeof *q->loss);
    if (!q->loss) return err_set(e, ST_NOMEM, "no memory for %zu curves", q->n_curves);
    q->ln_d = q->loss + q->n_curves * N_VALUES;
    for (size_t k = 0; k < q->n_curves; k++) {
        const point *p = q->p + q->c[k].first, *last = p + q->c[k].n - 1;
        double begin = p->ln_c;
        for (size_t g = 0; g < N_VALUES; g++) {
            double c = compute_at(q, g), *l = &q->loss[k * N_VALUES + g], *d = &q->ln_d[k * N_VALUES + g];
            *l = *d = NAN;
            if (c < begin || c > last->ln_c) continue;
            while (p + 1 < last && p[1].ln_c < c) p++;
            double t = (c - p->ln_c) / (p[1].ln_c - p->ln_c);
            *l = p->ln_loss + t * (p[1].ln_loss - p->ln_loss);
            *d = p->ln_d + t * (p[1].ln_d - p->ln_d);
        }
    }
    return ST_OK;
}

static status read_points(envelope *q, const fit_data *d, err *e)
{
    memset(q, 0, sizeof *q);
    q->p = malloc((d->n + 1) * sizeof *q->p);
    q->c = malloc((d->n + 1) * sizeof *q->c);
    if (!q->p || !q->c) return err_set(e, ST_NOMEM, "no memory for %zu rows", d->n);
    for (size_t i = 0; i < d->n; i++) {
        if (d->held_out && d->held_out[i]) continue;
        q->p[q->n_points++] = (point){d->cluster ? d->cluster[i] : 0, log(d->C[i]), log(d->N[i]), log(d->D[i]), log(d->y[i]), i};
    }
    status s = split(q, d, e);
    if (!s) s = range(q, e);
    return s ? s : interpolate(q, e);
}

static void envelope_free(envelope *q)
{
    free(q->p);
    free(q->c);
    free(q->loss);
}

/* --- the lowest of them ------------------------------------------------------------------------------------------- */

typedef struct sums { double n, x, xx, y[2], xy[2]; } sums; /* of ln C, ln N and ln D */

static void add(sums *s, double x, double ln_n, double ln_d)
{
    s->n++, s->x += x, s->xx += x * x;
    s->y[0] += ln_n, s->y[1] += ln_d;
    s->xy[0] += x * ln_n, s->xy[1] += x * ln_d;
}

/* The set's lowest curve at value g, and the smallest and largest size that are there; false: none is. */
static bool lowest(size_t *best, size_t *small, size_t *large, const envelope *q, const bool *in, size_t g)
{
    bool any = false;
    for (size_t k = 0; k < q->n_curves; k++) {
        double l = q->loss[k * N_VALUES + g];
        if (!in[k] || isnan(l)) continue;
        if (!any) *small = q->c[k].size;
        if (!any || l < q->loss[*best * N_VALUES + g]) *best = k;
        *large = q->c[k].size;
        any = true;
    }
    return any;
}

/* v: N_coef, a_opt, D_coef, b_opt. False: fewer than LEAST_SIZES sizes hold a part of the envelope inside the sizes. */
static bool fit_lines(double *v, verdicts *t, const envelope *q, const bool *in)
{
    sums s = {0};
    double middle = (q->lo + q->hi) / 2;
    t->kept = t->smallest = t->largest = t->empty = t->n_holders = 0;
    memset(t->of_size, 0, (q->n_sizes + 1) * sizeof *t->of_size);
    for (size_t g = 0; g < N_VALUES && q->hi > q->lo; g++) {
        size_t k = 0, small = 0, large = 0;
        if (!lowest(&k, &small, &large, q, in, g)) {
            t->empty++;
            continue;
        }
        size_t size = q->c[k].size;
        if (size == small) t->smallest++;
        else if (size == large) t->largest++;
        if (size == small || size == large) continue;
        if (t->from && !t->of_size[size]) t->from[size] = compute_at(q, g);
        if (t->to) t->to[size] = compute_at(q, g);
        t->n_holders += !t->of_size[size]++;
        t->kept++;
        add(&s, compute_at(q, g) - middle, q->c[k].ln_n, q->ln_d[k * N_VALUES + g]);
    }
    if (t->n_holders < LEAST_SIZES) return false;
    for (int of = 0; of < 2; of++) {
        double slope = (s.xy[of] - s.x * s.y[of] / s.n) / (s.xx - s.x * s.x / s.n);
        v[of ? P_B : P_A] = slope;
        v[of ? P_DCOEF : P_NCOEF] = exp((s.y[of] - slope * s.x) / s.n - slope * middle);
    }
    return true;
}

/* Whole curves are drawn: the points of one share its noise. */
static void bootstrap(fit_result *out, const envelope *q, const fit_opts *o, verdicts *t, bool *in)
{
    for (size_t b = 0; b < o->bootstrap && q->n_curves; b++) {
        memset(in, 0, q->n_curves * sizeof *in);
        for (size_t k = 0; k < q->n_curves; k++) in[rng_below(q->n_curves, o->seed, RNG_BOOTSTRAP, (uint32_t)b, k)] = true;
        out->boot_ok += fit_lines(out->samples + out->boot_ok * N_PARAMS, t, q, in);
    }
}

/* --- result ------------------------------------------------------------------------------------------------------- */

static void describe(fit_result *out, const fit_data *data, const fit_opts *o)
{
    static const char *const names[N_PARAMS] = {"N_coef", "a_opt", "D_coef", "b_opt"};
    fit_estimate null = {.value = NAN, .raw = NAN, .se = NAN, .lo = NAN, .hi = NAN};
    snprintf(out->law, sizeof out->law, "envelope");
    snprintf(out->method, sizeof out->method, "envelope");
    fit_result_rules(out, data);
    out->log_likelihood = out->delta = out->objective_value = out->holdout_mean = out->holdout_max = out->residual_sd = NAN;
    out->seed = o->seed;
    out->boot_n = o->bootstrap;
    out->n_params = N_PARAMS;
    out->a_opt = out->b_opt = out->G = null;
    for (size_t j = 0; j < N_PARAMS; j++) {
        snprintf(out->names[j], FIT_NAME, "%s", names[j]);
        out->params[j] = null;
    }
}

static json_t *number(double x) { return isfinite(x) ? json_real(x) : json_null(); }

static json_t *envelope_json(const envelope *q, const verdicts *t)
{
    json_t *sizes = json_array();
    for (size_t k = 0, s = 0; s < q->n_sizes; s++) {
        size_t curves = 0;
        double ln_n = q->c[k].ln_n;
        for (; k < q->n_curves && q->c[k].size == s; k++) curves++;
        json_array_append_new(sizes, json_pack("{s:o,s:I,s:I,s:o}", "N", number(exp(ln_n)), "curves", (json_int_t)curves, "kept",
                                               (json_int_t)t->of_size[s], "C",
                                               t->of_size[s] ? json_pack("[f,f]", exp(t->from[s]), exp(t->to[s])) : json_null()));
    }
    bool any = q->hi > q->lo;
    return json_pack("{s:{s:o,s:I,s:I,s:I,s:I,s:I,s:I,s:o}}", "envelope", "C", any ? json_pack("[f,f]", exp(q->lo), exp(q->hi)) : json_null(),
                     "n_values", (json_int_t)(any ? N_VALUES : 0), "kept", (json_int_t)t->kept, "held_by_smallest",
                     (json_int_t)t->smallest, "held_by_largest", (json_int_t)t->largest, "n_curves", (json_int_t)q->n_curves,
                     "n_short", (json_int_t)q->n_short, "sizes", sizes);
}

static void judge(fit_result *out, const envelope *q, const verdicts *t, bool found)
{
    if (!found && q->n_curves < LEAST_SIZES && q->n_short)
        fit_trust_add(&out->trust, FIT_REFUSE, "no_interior_minimum", 0,
                      "%zu of %zu curves have one point only: log losses along the way (of muscale train: val_every)", q->n_short,
                      q->n_short + q->n_curves);
    else if (!found)
        fit_trust_add(&out->trust, FIT_REFUSE, "no_interior_minimum", (double)t->n_holders,
                      "%zu of %zu model sizes are lowest somewhere between a smaller and a larger one, %d are needed",
                      t->n_holders, q->n_sizes, LEAST_SIZES);
    else if (out->boot_n && out->boot_ok < out->boot_n - out->boot_n / 10)
        fit_trust_add(&out->trust, FIT_WARN, "flat_direction", 1 - (double)out->boot_ok / (double)out->boot_n,
                      "%zu of %zu resamples leave fewer than %d such sizes", out->boot_n - out->boot_ok, out->boot_n, LEAST_SIZES);
    fit_judge_conventions(out, true, true);
}

static status finish(fit_result *out, const envelope *q, verdicts *t, bool *in, err *e)
{
    double v[N_PARAMS], *column = malloc((out->boot_ok + 1) * sizeof *column);
    t->from = malloc((q->n_sizes + 1) * sizeof *t->from);
    t->to = malloc((q->n_sizes + 1) * sizeof *t->to);
    status s = column && t->from && t->to ? ST_OK : err_set(e, ST_NOMEM, "no memory for %zu sizes", q->n_sizes);
    for (size_t k = 0; k < q->n_curves; k++) in[k] = true;
    bool found = !s && fit_lines(v, t, q, in);
    for (size_t j = 0; j < N_PARAMS && found; j++) {
        out->params[j].value = v[j];
        for (size_t b = 0; b < out->boot_ok; b++) column[b] = out->samples[b * N_PARAMS + j];
        fit_percentiles(&out->params[j], column, out->boot_ok);
    }
    out->a_opt = out->params[P_A];
    out->b_opt = out->params[P_B];
    if (!s) {
        out->extra = envelope_json(q, t);
        judge(out, q, t, found);
    }
    free(column);
    free(t->from);
    free(t->to);
    return s;
}

status fit_envelope(fit_result *out, const fit_data *data, const fit_opts *o, err *e)
{
    envelope q;
    verdicts t = {0};
    memset(out, 0, sizeof *out);
    describe(out, data, o);
    status s = fit_result_points(out, data, e);
    if (s) return s;
    s = read_points(&q, data, e);
    bool *in = s ? NULL : malloc((q.n_curves + 1) * sizeof *in);
    t.of_size = s ? NULL : malloc((q.n_sizes + 1) * sizeof *t.of_size);
    out->samples = malloc((o->bootstrap * N_PARAMS + N_PARAMS) * sizeof *out->samples);
    if (!s && (!in || !t.of_size || !out->samples)) s = err_set(e, ST_NOMEM, "no memory for %zu curves", q.n_curves);
    if (!s) {
        bootstrap(out, &q, o, &t, in);
        s = finish(out, &q, &t, in, e);
    }
    free(in);
    free(t.of_size);
    envelope_free(&q);
    return s;
}
