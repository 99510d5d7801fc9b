/* Method isoflop: Hoffmann et al. 2022, section 3.2 ("approach 2"). Per compute budget the size N_opt of the lowest
 * loss (fit/isoflop_min.c: parabola, Akima, lowest run); straight lines of ln N_opt and ln D_opt on ln C.
 *
 * A budget counts only when it brackets its minimum: the minimum and the lowest run lie strictly inside the sizes
 * tried. Others are dropped and named. Biased by construction (doc/laws.md): fit/isoflop_bias.c says by how much, here.
 *
 * Intervals: rows resampled within their budget (parabola), or noise added to the losses (the others, and all when
 * --noise states it). With --noise the procedure is that of Porian et al. 2024 (arXiv:2406.19146; their analysis.py):
 * N_opt is the median over the noisy losses, a budget counts when half of them bracket, its sd of ln N_opt is at least
 * a third of a grid step and is divided by the share that bracket; lines are weighted by 1/sd^2. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "fit/isoflop.h"

static const double SAME_BUDGET = .05;   /* ln C: runs of one budget miss it by a batch or a rounding of tokens */
static const double SAME_SIZE = 1e-9;    /* ln N */
static const double STEP_SHARE = 1 / 3.; /* floor of the sd of ln N_opt, in grid steps */

/* --- rows to budgets ----------------------------------------------------------------------------------------- */

static int by_budget_and_size(const void *a, const void *b)
{
    const iso_row *x = a, *y = b;
    if (x->ln_c != y->ln_c) return x->ln_c < y->ln_c ? -1 : 1;
    if (x->ln_n != y->ln_n) return x->ln_n < y->ln_n ? -1 : 1;
    return (x->at > y->at) - (x->at < y->at);
}

/* Sorts rows, finds where budgets begin, and sorts each by size: its rows may differ a little in C. */
static void split(iso *q, const fit_data *d)
{
    iso_row *r = q->row;
    qsort(r, q->n_rows, sizeof *r, by_budget_and_size);
    for (size_t i = 0; i < q->n_rows; i++)
        if (i == 0 || r[i].ln_c > r[q->first[q->n_budgets - 1]].ln_c + SAME_BUDGET) q->first[q->n_budgets++] = i;
    q->first[q->n_budgets] = q->n_rows;
    for (size_t j = 0; j < q->n_budgets; j++) {
        double ln_c = r[q->first[j]].ln_c;
        for (size_t i = q->first[j]; i < q->first[j + 1]; i++) r[i].ln_c = ln_c;
        qsort(r + q->first[j], q->first[j + 1] - q->first[j], sizeof *r, by_budget_and_size);
        for (size_t i = q->first[j]; i < q->first[j + 1]; i++) r[i].ln_c = log(d->C[r[i].at]);
    }
}

/* Keeps the lowest run of each size. */
static void keep_lowest(iso *q)
{
    size_t n = 0;
    for (size_t j = 0; j < q->n_budgets; j++) {
        size_t begin = n;
        for (size_t i = q->first[j]; i < q->first[j + 1]; i++) {
            iso_row r = q->row[i];
            if (n == begin || r.ln_n > q->row[n - 1].ln_n + SAME_SIZE) q->row[n++] = r;
            else if (r.loss < q->row[n - 1].loss) q->row[n - 1] = r;
        }
        q->first[j] = begin;
    }
    q->first[q->n_budgets] = q->n_rows = n;
}

status iso_init(iso *q, const fit_data *d, const fit_minimum *m, err *e)
{
    memset(q, 0, sizeof *q);
    q->minimum = m;
    q->n_rows = d->n;
    q->first = calloc(d->n + 1, sizeof *q->first);
    q->row = malloc((d->n + 1) * sizeof *q->row);
    q->weight = malloc((d->n + 1) * sizeof *q->weight);
    if (!q->first || !q->row || !q->weight) return err_set(e, ST_NOMEM, "no memory for %zu rows", d->n);
    for (size_t i = 0; i < d->n; i++) {
        double tokens = iso_tokens(d, i);
        if (isnan(tokens))
            return err_set(e, ST_INPUT,
                           "method isoflop: row %zu has no D, and C by the rule '%s' does not give it; name the "
                           "column with --col D=COLUMN, or state --flops-rule 6N",
                           i + 1, d->flops_rule);
        q->row[i] = (iso_row){log(d->C[i]), log(d->N[i]), log(tokens), d->y[i], i};
        q->weight[i] = 1;
    }
    split(q, d);
    if (!m->smooths) keep_lowest(q);
    return ST_OK;
}

void iso_free(iso *q)
{
    free(q->first);
    free(q->row);
    free(q->weight);
    free(q->sd);
}

/* --- one budget ---------------------------------------------------------------------------------------------- */

/* On the least-squares line through the budget's (ln N, ln D); slope -1 where C = 6ND. */
double iso_ln_d_at(double *slope, const iso_row *r, const double *w, size_t n, double ln_n)
{
    double sw = 0, mx = 0, my = 0, xx = 0, xy = 0;
    for (size_t i = 0; i < n; i++) sw += w[i], mx += w[i] * r[i].ln_n, my += w[i] * r[i].ln_d;
    mx /= sw, my /= sw;
    for (size_t i = 0; i < n; i++)
        xx += w[i] * (r[i].ln_n - mx) * (r[i].ln_n - mx), xy += w[i] * (r[i].ln_n - mx) * (r[i].ln_d - my);
    *slope = xx > 0 ? xy / xx : -1;
    return my + *slope * (ln_n - mx);
}

static void no_minimum(fit_budget *b, const char *why) { snprintf(b->why, sizeof b->why, "%s", why); }

static status find_minimum(fit_budget *b, double *fitted, const fit_minimum *m, const iso_row *r, const double *w,
                           size_t n, err *e)
{
    size_t sizes = 0, lowest = n;
    double lo = INFINITY, hi = -INFINITY, ln_c = 0, sw = 0, ln_n = NAN, loss = NAN, slope;
    const char *why = NULL;
    memset(b, 0, sizeof *b);
    b->N_opt = b->D_opt = b->loss_opt = b->curvature = b->sd_ln_N = NAN;
    for (size_t i = 0; i < n; i++) {
        if (w[i] == 0) continue;
        sizes += r[i].ln_n > hi + SAME_SIZE;
        lo = fmin(lo, r[i].ln_n), hi = fmax(hi, r[i].ln_n);
        ln_c += w[i] * r[i].ln_c, sw += w[i];
        b->n++;
        if (lowest == n || r[i].loss < r[lowest].loss) lowest = i;
    }
    b->C = exp(ln_c / sw);
    b->grid_step = sizes > 1 ? (hi - lo) / (double)(sizes - 1) : NAN;
    if (sizes < ISO_LEAST_SIZES) return no_minimum(b, "fewer than 3 sizes"), ST_OK;
    status s = m->find(&ln_n, &loss, &b->curvature, &why, fitted, r, w, n, e);
    if (s) return s;
    if (why) no_minimum(b, why);
    else if (r[lowest].ln_n <= lo + SAME_SIZE) no_minimum(b, "lowest loss at the smallest size: try smaller ones");
    else if (r[lowest].ln_n >= hi - SAME_SIZE) no_minimum(b, "lowest loss at the largest size: try larger ones");
    else if (!(ln_n > lo && ln_n < hi)) no_minimum(b, "its minimum lies outside the sizes tried");
    else {
        b->bracketed = true;
        b->N_opt = exp(ln_n);
        b->D_opt = exp(iso_ln_d_at(&slope, r, w, n, ln_n));
        b->loss_opt = loss;
    }
    return ST_OK;
}

status iso_budgets(fit_budget *b, double *fitted, const iso *q, err *e)
{
    status s = ST_OK;
    for (size_t j = 0; j < q->n_budgets && !s; j++)
        s = find_minimum(&b[j], fitted, q->minimum, q->row + q->first[j], q->weight + q->first[j],
                         q->first[j + 1] - q->first[j], e);
    return s;
}

/* --- lines over budgets -------------------------------------------------------------------------------------- */

static bool line(double *coef, double *slope, const fit_budget *b, const double *sd, size_t n, bool of_d)
{
    size_t count = 0;
    double k = 0, mx = 0, my = 0, xx = 0, xy = 0;
    for (size_t i = 0; i < n; i++) {
        if (!b[i].bracketed) continue;
        double w = sd ? 1 / (sd[i] * sd[i]) : 1;
        count++, k += w, mx += w * log(b[i].C), my += w * log(of_d ? b[i].D_opt : b[i].N_opt);
    }
    if (count < ISO_LEAST_BUDGETS) return false;
    mx /= k, my /= k;
    for (size_t i = 0; i < n; i++) {
        if (!b[i].bracketed) continue;
        double w = sd ? 1 / (sd[i] * sd[i]) : 1, x = log(b[i].C) - mx;
        xx += w * x * x, xy += w * x * (log(of_d ? b[i].D_opt : b[i].N_opt) - my);
    }
    *slope = xy / xx;
    *coef = exp(my - *slope * mx);
    return true;
}

bool iso_lines(double *v, const fit_budget *b, const double *sd, size_t n)
{
    return line(&v[ISO_N_COEF], &v[ISO_A], b, sd, n, false) && line(&v[ISO_D_COEF], &v[ISO_B], b, sd, n, true);
}

/* --- resamples ----------------------------------------------------------------------------------------------- */

/* ln N_opt and ln D_opt of each budget in each resample; NaN where it does not bracket. */
typedef struct draws {
    size_t n, n_budgets;
    double *ln_n, *ln_d;
} draws;

static void resample_rows(iso *q, const fit_opts *o, size_t k)
{
    for (size_t j = 0; j < q->n_budgets; j++) { /* rows within their budget */
        size_t first = q->first[j], n = q->first[j + 1] - first;
        memset(q->weight + first, 0, n * sizeof *q->weight);
        for (size_t i = 0; i < n; i++)
            q->weight[first + rng_below(n, o->seed, RNG_BOOTSTRAP, (uint32_t)k, first + i)]++;
    }
}

/* sd of a loss: of its logarithm where relative is set, else as stated in nats, ln sd linear in ln loss between two. */
static double noise_at(const fit_noise *z, double loss)
{
    if (z->relative) return z->sd[0] * loss;
    if (z->n < 2 || loss <= z->loss[0]) return z->sd[0];
    if (loss >= z->loss[1]) return z->sd[1];
    return z->sd[0] * pow(z->sd[1] / z->sd[0], log(loss / z->loss[0]) / log(z->loss[1] / z->loss[0]));
}

static void add_noise(iso *q, const double *loss, const fit_noise *z, const fit_opts *o, size_t k)
{
    for (size_t i = 0; i < q->n_rows; i++)
        q->row[i].loss =
            fmax(loss[i] + noise_at(z, loss[i]) * rng_normal(o->seed, RNG_BOOTSTRAP, (uint32_t)k, i), 1e-9);
}

static status draw(draws *w, iso *q, const fit_noise *z, const fit_opts *o, err *e)
{
    size_t nb = q->n_budgets;
    fit_budget *b = calloc(nb + 1, sizeof *b);
    double *loss = malloc((q->n_rows + 1) * sizeof *loss);
    *w = (draws){o->bootstrap, nb, malloc((o->bootstrap * nb + 1) * sizeof(double)),
                 malloc((o->bootstrap * nb + 1) * sizeof(double))};
    status s =
        b && loss && w->ln_n && w->ln_d ? ST_OK : err_set(e, ST_NOMEM, "no memory for %zu resamples", o->bootstrap);
    for (size_t i = 0; i < q->n_rows && !s; i++) loss[i] = q->row[i].loss;
    for (size_t k = 0; k < o->bootstrap && !s; k++) {
        if (z) add_noise(q, loss, z, o, k);
        else resample_rows(q, o, k);
        s = iso_budgets(b, NULL, q, e);
        for (size_t j = 0; j < nb && !s; j++) {
            w->ln_n[k * nb + j] = b[j].bracketed ? log(b[j].N_opt) : NAN;
            w->ln_d[k * nb + j] = b[j].bracketed ? log(b[j].D_opt) : NAN;
        }
    }
    for (size_t i = 0; i < q->n_rows && loss; i++) q->row[i].loss = loss[i], q->weight[i] = 1;
    free(loss);
    free(b);
    return s;
}

static int by_value(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *x, size_t n)
{
    qsort(x, n, sizeof *x, by_value);
    return n % 2 ? x[n / 2] : .5 * (x[n / 2 - 1] + x[n / 2]);
}

/* sd of ln N_opt over the resamples; with stated noise also the median as N_opt, and the sd's floor. */
static void spread(fit_budget *b, const draws *w, size_t j, bool stated, double *x)
{
    size_t n = 0;
    double mean = 0, square = 0, share;
    for (size_t k = 0; k < w->n; k++)
        if (!isnan(w->ln_n[k * w->n_budgets + j])) x[n] = w->ln_n[k * w->n_budgets + j], mean += x[n++];
    mean /= (double)n;
    for (size_t k = 0; k < n; k++) square += (x[k] - mean) * (x[k] - mean);
    share = (double)n / (double)w->n;
    if (!b->bracketed) return;
    if (n > 1) b->sd_ln_N = sqrt(square / (double)(n - 1));
    if (!stated) return;
    if (share < .5) {
        b->bracketed = false;
        b->N_opt = b->D_opt = b->loss_opt = b->sd_ln_N = NAN;
        snprintf(b->why, sizeof b->why, "flat within the noise: %.0f %% of the resamples bracket it", 100 * share);
        return;
    }
    b->sd_ln_N = fmax(b->sd_ln_N, STEP_SHARE * b->grid_step) / share;
    double m = median(x, n);
    b->N_opt = exp(m);
    for (size_t k = n = 0; k < w->n; k++)
        if (!isnan(w->ln_d[k * w->n_budgets + j])) x[n++] = w->ln_d[k * w->n_budgets + j];
    b->D_opt = exp(median(x, n));
}

/* The lines of every resample, through the budgets that count. */
static status sample_lines(fit_result *out, const iso *q, const draws *w, err *e)
{
    fit_budget *b = calloc(q->n_budgets + 1, sizeof *b);
    if (!b) return err_set(e, ST_NOMEM, "no memory for %zu budgets", q->n_budgets);
    for (size_t k = 0; k < w->n; k++) {
        for (size_t j = 0; j < q->n_budgets; j++) {
            const double *at = w->ln_n + k * q->n_budgets + j;
            b[j] = out->budgets[j];
            b[j].bracketed = !isnan(*at) && (!q->sd || out->budgets[j].bracketed);
            b[j].N_opt = exp(*at);
            b[j].D_opt = exp(w->ln_d[k * q->n_budgets + j]);
        }
        out->boot_ok += iso_lines(out->samples + out->boot_ok * ISO_PARAMS, b, q->sd, q->n_budgets);
    }
    free(b);
    return ST_OK;
}

/* Noise, and what it is called in the result: the command line's, else the seeds', else the parametric law's residuals.
 */
static const fit_noise *find_noise(fit_noise *room, const char **source, const fit_result *out, const fit_result *law,
                                   const fit_opts *o)
{
    bool fitted = law->trust.verdict != FIT_REFUSE && law->residual_sd > 0;
    *source = "rows within a budget";
    if (o->noise.n) return *source = "stated noise", &o->noise;
    if (o->minimum && !o->minimum->smooths) {
        *source = out->seed_sd > 0 ? "noise between seeds"
                  : fitted         ? "noise of the parametric law's residuals"
                                   : "no noise known";
        *room = (fit_noise){.n = 1,
                            .relative = true,
                            .sd = {out->seed_sd > 0 ? out->seed_sd
                                   : fitted         ? law->residual_sd
                                                    : 0}};
        return room;
    }
    return NULL;
}

static status bootstrap(fit_result *out, iso *q, const fit_result *law, const fit_opts *o, err *e)
{
    draws w = {0};
    fit_noise room;
    const char *source;
    const fit_noise *z = find_noise(&room, &source, out, law, o);
    bool stated = o->noise.n > 0, known = !z || z->sd[0] > 0;
    double *x = malloc((o->bootstrap + 1) * sizeof *x);
    status s = x ? ST_OK : err_set(e, ST_NOMEM, "no memory for %zu resamples", o->bootstrap);
    json_object_set_new(out->extra, "resampled", json_string(source));
    out->boot_n = known ? o->bootstrap : 0;
    if (!s && out->boot_n) s = draw(&w, q, z, o, e);
    for (size_t j = 0; j < q->n_budgets && !s && out->boot_n; j++) spread(&out->budgets[j], &w, j, stated, x);
    if (!s && out->boot_n && stated) {
        q->sd = malloc((q->n_budgets + 1) * sizeof *q->sd);
        if (!q->sd) s = err_set(e, ST_NOMEM, "no memory for %zu budgets", q->n_budgets);
        for (size_t j = 0; j < q->n_budgets && !s; j++) q->sd[j] = out->budgets[j].sd_ln_N;
    }
    if (!s && out->boot_n) s = sample_lines(out, q, &w, e);
    free(w.ln_n);
    free(w.ln_d);
    free(x);
    return s;
}

/* --- result -------------------------------------------------------------------------------------------------- */

static void describe(fit_result *out, const fit_data *data, const fit_opts *o)
{
    static const char *const names[ISO_PARAMS] = {"N_coef", "a_opt", "D_coef", "b_opt"};
    fit_estimate null = {NAN, NAN, NAN, NAN, NAN, false, false, false};
    snprintf(out->law, sizeof out->law, "isoflop");
    snprintf(out->method, sizeof out->method, "isoflop");
    fit_result_rules(out, data);
    out->log_likelihood = NAN;
    out->delta = out->objective_value = out->holdout_mean = out->holdout_max = out->residual_sd = NAN;
    out->seed = o->seed;
    out->n_params = ISO_PARAMS;
    out->a_opt = out->b_opt = out->G = null;
    for (size_t j = 0; j < ISO_PARAMS; j++) {
        snprintf(out->names[j], FIT_NAME, "%s", names[j]);
        out->params[j] = null;
    }
}

static double residual_sd(const fit_result *out, const iso *q)
{
    double square = 0, n = 0;
    for (size_t j = 0; j < q->n_budgets; j++)
        for (size_t i = q->first[j]; i < q->first[j + 1] && out->budgets[j].bracketed; i++) {
            double r = q->row[i].loss / out->fitted[q->row[i].at] - 1;
            square += r * r, n++;
        }
    return n > 0 ? sqrt(square / n) : NAN;
}

static void finish(fit_result *out, const iso *q)
{
    double v[ISO_PARAMS], *column = malloc((out->boot_ok + 1) * sizeof *column);
    size_t bracketed = 0;
    for (size_t j = 0; j < q->n_budgets; j++) bracketed += out->budgets[j].bracketed;
    out->residual_sd = residual_sd(out, q);
    if (iso_lines(v, out->budgets, q->sd, q->n_budgets))
        for (size_t j = 0; j < ISO_PARAMS; j++) {
            out->params[j].value = v[j];
            for (size_t b = 0; b < out->boot_ok && column; b++) column[b] = out->samples[b * ISO_PARAMS + j];
            fit_percentiles(&out->params[j], column, column ? out->boot_ok : 0);
        }
    free(column);
    out->a_opt = out->params[ISO_A];
    out->b_opt = out->params[ISO_B];
    if (bracketed < ISO_LEAST_BUDGETS)
        fit_trust_add(&out->trust, FIT_REFUSE, "no_interior_minimum", (double)bracketed,
                      "%zu of %zu budgets bracket their minimum, %d are needed", bracketed, q->n_budgets,
                      ISO_LEAST_BUDGETS);
    else if (out->boot_n && out->boot_ok < out->boot_n - out->boot_n / 10)
        fit_trust_add(&out->trust, FIT_WARN, "flat_direction", 1 - (double)out->boot_ok / (double)out->boot_n,
                      "%zu of %zu resamples keep fewer than 3 bracketed budgets", out->boot_n - out->boot_ok,
                      out->boot_n);
    fit_judge_conventions(out, true, true);
}

status fit_isoflop(fit_result *out, const fit_data *data, const fit_opts *o, err *e)
{
    iso q = {0};
    fit_result law = {0};
    const fit_minimum *minimum = o->minimum ? o->minimum : &fit_minima[0];
    memset(out, 0, sizeof *out);
    describe(out, data, o);
    status s = fit_result_points(out, data, e);
    if (!s) s = iso_init(&q, &out->points, minimum, e);
    if (!s) {
        out->extra = json_pack("{s:s}", "minimum", minimum->name);
        out->samples = malloc((o->bootstrap + 1) * ISO_PARAMS * sizeof *out->samples);
        out->budgets = calloc(q.n_budgets + 1, sizeof *out->budgets);
        if (!out->extra || !out->samples || !out->budgets) s = err_set(e, ST_NOMEM, "no memory for %zu rows", q.n_rows);
        else out->n_budgets = q.n_budgets;
    }
    if (!s) s = iso_budgets(out->budgets, out->fitted, &q, e);
    if (!s) s = iso_parametric(&law, out, o, e);
    if (!s) s = bootstrap(out, &q, &law, o, e);
    if (!s) finish(out, &q);
    if (!s) s = iso_bias(out, &law, &q, e);
    fit_result_free(&law);
    iso_free(&q);
    return s;
}
