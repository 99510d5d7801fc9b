/* How far method isoflop is off on the rows at hand. It is biased by construction: a parabola of the loss in ln N is
 * exact only for alpha = beta and sizes centred on the optimum (off-centre sizes move the exponents, asymmetry the
 * intercepts), the lowest run of a grid errs towards the grid. How much depends on the law and on the very sizes and
 * budgets, so it is computed, not quoted: fit the parametric law to the same rows, put its losses, free of noise, at
 * the same N and C, and hold what the method then finds against the law's own minima. Its interval: the same for each
 * resample of the parametric fit. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "fit/isoflop.h"

double iso_tokens(const fit_data *d, size_t i)
{
    if (d->D && d->D[i] > 0) return d->D[i];
    return strcmp(d->flops_rule, "exact") && strcmp(d->flops_rule, "given") ? d->C[i] / (6 * d->N[i]) : NAN;
}

static json_t *number(double x) { return isfinite(x) ? json_real(x) : json_null(); }

static json_t *interval(const fit_estimate *p) { return isnan(p->lo) ? json_null() : json_pack("[f,f]", p->lo, p->hi); }

static json_t *parametric_json(const fit_result *law)
{
    json_t *params = json_object(), *codes = json_array();
    for (size_t j = 0; j < law->n_params; j++) json_object_set_new(params, law->names[j], number(law->params[j].value));
    for (size_t k = 0; k < law->trust.n; k++) json_array_append_new(codes, json_string(law->trust.reasons[k].code));
    return json_pack("{s:s,s:s,s:o,s:o,s:o,s:o,s:{s:o,s:o},s:{s:o,s:o}}", "law", law->law, "verdict",
                     fit_verdict_name(law->trust.verdict), "reasons", codes, "params", params, "a_opt",
                     number(law->a_opt.value), "b_opt", number(law->b_opt.value), "se", "a_opt", number(law->a_opt.se),
                     "b_opt", number(law->b_opt.se), "ci95", "a_opt", interval(&law->a_opt), "b_opt",
                     interval(&law->b_opt));
}

/* Resamples start from the optimum and the other basins: their sd is that of whole searches to five digits. */
status iso_parametric(fit_result *law, fit_result *out, const fit_opts *o, err *e)
{
    fit_opts p = fit_opts_default(fit_law_find("chinchilla", NULL));
    fit_data d = out->points; /* borrowed, but for D */
    p.bootstrap = o->bootstrap;
    p.seed = o->seed;
    p.threads = o->threads;
    p.warm = true;
    snprintf(d.count_rule, sizeof d.count_rule, "%s", out->count_rule);
    snprintf(d.flops_rule, sizeof d.flops_rule, "%s", out->flops_rule);
    d.seed_sd = out->seed_sd;
    d.D = malloc((d.n + 1) * sizeof *d.D);
    if (!d.D) return err_set(e, ST_NOMEM, "no memory for %zu rows", d.n);
    for (size_t i = 0; i < d.n; i++) d.D[i] = iso_tokens(&out->points, i);
    status s = fit_run(law, &d, &p, e);
    free(d.D);
    if (!s) json_object_set_new(out->extra, "parametric", parametric_json(law));
    return s;
}

/* a_opt, b_opt and ln N_opt at the largest budget and at ten times it: what the method finds minus what is true. */
enum { OFF_A, OFF_B, OFF_LARGEST, OFF_TEN, N_OFF };

typedef struct bench {
    iso *q;                     /* its losses are overwritten */
    const fit_budget *found;    /* in the data: only budgets that counted there count here */
    fit_budget *method, *exact; /* [n_budgets] on the law's losses */
    size_t n;                   /* budgets that count in both */
    double largest;             /* C of the largest of them */
} bench;

/* The lowest loss on the line ln D = ln_d0 + slope ln N of a budget: alpha A N^-alpha = beta |slope| B D^-beta. */
static void exact_minimum(fit_budget *b, const iso *q, size_t j, const double *v)
{
    double slope,
        ln_d0 = iso_ln_d_at(&slope, q->row + q->first[j], q->weight + q->first[j], q->first[j + 1] - q->first[j], 0);
    double ln_n = (log(v[3] * v[1] / (-slope * v[4] * v[2])) + v[4] * ln_d0) / (v[3] - v[4] * slope);
    b->N_opt = exp(ln_n);
    b->D_opt = exp(ln_d0 + slope * ln_n);
}

/* v: E, A, B, alpha, beta. False: fewer than three budgets bracket their minimum on the law's losses too. */
static status off(double *by, bool *ok, bench *t, const double *v, err *e)
{
    double line[2][ISO_PARAMS];
    iso *q = t->q;
    for (size_t i = 0; i < q->n_rows; i++)
        q->row[i].loss = v[0] + v[1] * exp(-v[3] * q->row[i].ln_n) + v[2] * exp(-v[4] * q->row[i].ln_d);
    status s = iso_budgets(t->method, NULL, q, e);
    t->n = 0;
    for (size_t j = 0; j < q->n_budgets && !s; j++) {
        t->exact[j] = t->method[j];
        t->method[j].bracketed = t->exact[j].bracketed = t->method[j].bracketed && t->found[j].bracketed;
        if (!t->exact[j].bracketed) continue;
        exact_minimum(&t->exact[j], q, j, v);
        t->n++;
        t->largest = t->exact[j].C;
    }
    *ok = !s && iso_lines(line[0], t->method, q->sd, q->n_budgets) && iso_lines(line[1], t->exact, q->sd, q->n_budgets);
    if (!*ok) return s;
    by[OFF_A] = line[0][ISO_A] - line[1][ISO_A];
    by[OFF_B] = line[0][ISO_B] - line[1][ISO_B];
    by[OFF_LARGEST] = log(line[0][ISO_N_COEF] / line[1][ISO_N_COEF]) + by[OFF_A] * log(t->largest);
    by[OFF_TEN] = by[OFF_LARGEST] + by[OFF_A] * log(10);
    return s;
}

static json_t *budgets_json(const bench *t)
{
    json_t *all = json_array();
    for (size_t j = 0; j < t->q->n_budgets; j++)
        if (t->exact[j].bracketed)
            json_array_append_new(all, json_pack("{s:o,s:o,s:o}", "C", number(t->exact[j].C), "N_opt",
                                                 number(t->method[j].N_opt), "N_exact", number(t->exact[j].N_opt)));
    return all;
}

static json_t *ratio_json(double c, const fit_estimate *ln)
{
    return json_pack("{s:o,s:o,s:o}", "C", number(c), "N_ratio", number(exp(ln->value)), "ci95",
                     isnan(ln->lo) ? json_null() : json_pack("[f,f]", exp(ln->lo), exp(ln->hi)));
}

static json_t *bias_json(const bench *t, const fit_estimate *of)
{
    return json_pack("{s:o,s:o,s:{s:o,s:o},s:I,s:o,s:o,s:o}", "a_opt", number(of[OFF_A].value), "b_opt",
                     number(of[OFF_B].value), "ci95", "a_opt", interval(&of[OFF_A]), "b_opt", interval(&of[OFF_B]),
                     "n_budgets", (json_int_t)t->n, "at_largest", ratio_json(t->largest, &of[OFF_LARGEST]), "at_10x",
                     ratio_json(10 * t->largest, &of[OFF_TEN]), "budgets", budgets_json(t));
}

/* draws[N_OFF][boot_ok] */
static status resample(fit_estimate *of, bench *t, const fit_result *law, double *draws, err *e)
{
    size_t n = 0, most = law->boot_ok;
    status s = ST_OK;
    for (size_t b = 0; b < most && !s; b++) {
        double by[N_OFF];
        bool ok;
        s = off(by, &ok, t, law->samples + b * law->n_params, e);
        for (int k = 0; k < N_OFF && ok; k++) draws[(size_t)k * most + n] = by[k];
        n += ok;
    }
    for (int k = 0; k < N_OFF && !s; k++) fit_percentiles(&of[k], draws + (size_t)k * most, n);
    return s;
}

/* Trap T8: an interval that knows of the noise only is too narrow by more than its own half when the bias is larger. */
static void judge(fit_result *out, const fit_estimate *bias)
{
    static const double LEAST = .01; /* of an exponent near .5: 2 % */
    double half = isnan(out->a_opt.lo) ? 0 : (out->a_opt.hi - out->a_opt.lo) / 2;
    if (isnan(out->a_opt.value) || fabs(bias->value) < fmax(LEAST, half)) return;
    fit_trust_add(
        &out->trust, FIT_WARN, "method_bias", bias->value,
        "by its own bias at these sizes and budgets the method is off by %+.2g in a_opt (limits %g and half its 95 %% "
        "interval, %.2g): take the parametric fit",
        bias->value, LEAST, half);
}

status iso_bias(fit_result *out, const fit_result *law, iso *q, err *e)
{
    double v[FIT_MAX_PARAMS], by[N_OFF] = {NAN, NAN, NAN, NAN};
    fit_estimate of[N_OFF];
    bool ok = false;
    json_object_set_new(out->extra, "bias", json_null());
    if (law->trust.verdict == FIT_REFUSE) return ST_OK;
    bench t = {.q = q, .found = out->budgets, .method = calloc(2 * q->n_budgets + 1, sizeof *t.method)};
    double *draws = malloc((N_OFF * law->boot_ok + 1) * sizeof *draws);
    status s = t.method && draws ? ST_OK : err_set(e, ST_NOMEM, "no memory for %zu budgets", q->n_budgets);
    t.exact = t.method ? t.method + q->n_budgets : NULL;
    for (int k = 0; k < N_OFF; k++) of[k] = (fit_estimate){NAN, NAN, NAN, NAN, NAN, false, false, false};
    if (!s) s = resample(of, &t, law, draws, e);
    for (size_t j = 0; j < law->n_params; j++) v[j] = law->params[j].value;
    if (!s) s = off(by, &ok, &t, v, e); /* last: t holds its budgets */
    for (int k = 0; k < N_OFF; k++) of[k].value = by[k];
    if (!s && ok) json_object_set_new(out->extra, "bias", bias_json(&t, of)), judge(out, &of[OFF_A]);
    free(t.method);
    free(draws);
    return s;
}
