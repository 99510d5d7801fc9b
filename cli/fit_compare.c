#include "cli/fit_compare.h"

#include <math.h>
#include <string.h>

/* The error that ranks: of the held-out rows, or of the folds of a rolling back-test; NaN without either. */
static double error_of(const fit_result *r)
{
    double sum = 0, n = 0;
    if (!r->n_folds) return r->holdout_mean;
    for (size_t k = 0; k < r->n_folds; k++) sum += r->folds[k].mean * (double)r->folds[k].n_test, n += (double)r->folds[k].n_test;
    return sum / n;
}

static double bias_of(const fit_result *r)
{
    double sum = 0, n = 0;
    if (!r->n_folds) return r->holdout_bias;
    for (size_t k = 0; k < r->n_folds; k++) sum += r->folds[k].bias * (double)r->folds[k].n_test, n += (double)r->folds[k].n_test;
    return sum / n;
}

/* a before b? What could not be computed goes last. */
static bool before(const fit_result *a, const fit_result *b)
{
    const double x[3] = {error_of(a), a->bic, (double)a->n_free}, y[3] = {error_of(b), b->bic, (double)b->n_free};
    for (int k = 0; k < 3; k++) {
        if (isnan(x[k]) || isnan(y[k])) {
            if (isnan(x[k]) != isnan(y[k])) return isnan(y[k]);
            continue;
        }
        if (x[k] != y[k]) return x[k] < y[k];
    }
    return false;
}

void fit_compare_rank(size_t *order, const fit_result *const *r, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        size_t at = i;
        while (at > 0 && before(r[i], r[order[at - 1]])) order[at] = order[at - 1], at--;
        order[at] = i;
    }
}

bool fit_compare_same_folds(const fit_result *r, size_t n)
{
    for (size_t i = 1; i < n; i++) {
        if (r[i].n_folds != r[0].n_folds) return false;
        for (size_t k = 0; k < r[0].n_folds; k++)
            if (r[i].folds[k].cut != r[0].folds[k].cut || r[i].folds[k].n_test != r[0].folds[k].n_test) return false;
    }
    return true;
}

static const char *name_of(const fit_result *r) { return r->formula[0] ? r->formula : r->law; }

/* x with so many decimals and what follows it; "-" where it is not known. */
static const char *shown(char *out, size_t room, double x, int decimals, const char *after)
{
    if (isnan(x)) snprintf(out, room, "-");
    else snprintf(out, room, "%.*f%s", decimals, x, after);
    return out;
}

static double least(const fit_result *const *r, size_t n, size_t offset)
{
    double best = NAN;
    for (size_t i = 0; i < n; i++) {
        double x = *(const double *)((const char *)r[i] + offset);
        if (!isnan(x) && !(best <= x)) best = x;
    }
    return best;
}

void fit_compare_print(FILE *f, const fit_result *const *r, const size_t *order, size_t n)
{
    double aic = least(r, n, offsetof(fit_result, aic)), bic = least(r, n, offsetof(fit_result, bic));
    fprintf(f, "%zu laws on the same %zu rows%s, best first\n", n, r[0]->n_points + r[0]->holdout_n, r[0]->n_folds ? " (rolling back-test)" : "");
    fprintf(f, "  %-28s %6s %12s %10s %10s %10s %11s  %s\n", "law", "params", "held-out err", "bias", "dAIC", "dBIC", "residual sd", "verdict");
    for (size_t k = 0; k < n; k++) {
        const fit_result *q = r[order[k]];
        char a[24], b[24], c[24], d[24], e[24];
        fprintf(f, "  %-28s %6zu %12s %10s %10s %10s %11s  %s", name_of(q), q->n_free, shown(a, sizeof a, 100 * error_of(q), 3, " %"),
                shown(b, sizeof b, 100 * bias_of(q), 3, " %"), shown(c, sizeof c, q->aic - aic, 1, ""), shown(d, sizeof d, q->bic - bic, 1, ""),
                shown(e, sizeof e, q->residual_sd, 6, ""), fit_verdict_name(q->trust.verdict));
        for (size_t i = 0; i < q->trust.n; i++) fprintf(f, "%s%s", i ? ", " : ": ", q->trust.reasons[i].code);
        fputc('\n', f);
    }
    fprintf(f, "held-out err: mean |predicted/measured - 1|; dAIC, dBIC: above the best of these on the fitted rows, scale counted as a parameter\n");
}

static json_t *number(double x) { return isfinite(x) ? json_real(x) : json_null(); }

json_t *fit_compare_json(const fit_result *const *r, const size_t *order, size_t n, size_t n_unusable, json_t *fits)
{
    json_t *ranking = json_array();
    for (size_t k = 0; k < n; k++) {
        const fit_result *q = r[order[k]];
        json_array_append_new(ranking, json_pack("{s:s,s:s,s:I,s:o,s:o,s:o,s:o,s:o,s:o,s:s}", "law", q->law, "formula", name_of(q), "n_free", (json_int_t)q->n_free,
                                                 "mean_abs_rel_err", number(error_of(q)), "bias", number(bias_of(q)), "aic", number(q->aic), "aicc",
                                                 number(q->aicc), "bic", number(q->bic), "residual_sd", number(q->residual_sd), "verdict",
                                                 fit_verdict_name(q->trust.verdict)));
    }
    return json_pack("{s:s,s:I,s:I,s:o,s:o}", "schema", "muscale.compare/1", "n_points", (json_int_t)(r[0]->n_points + r[0]->holdout_n),
                     "n_unusable", (json_int_t)n_unusable, "ranking", ranking, "fits", fits);
}
