/* Back-test over compute scales (`--hold-out rolling`): fitted up to a cut in C (or what stands for it), asked about every larger row.
 * What one does with a law in earnest, played again inside the data. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "fit/run.h"

enum { DRAWS = 200 };               /* resamples of a fold: its intervals need fewer than the fit's own */
static const double NEW_SCALE = 1.001; /* cuts nearer than this are one: N D of equal budgets differs by rounding */
static const double LEAST_SHARE = .4; /* of the rows stand below the first cut */

static int by_number(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static status one_fold(fit_fold *out, const fit_data *data, const fit_opts *o, double cut, err *e)
{
    fit_data d = *data; /* borrowed but for held_out */
    fit_opts plain = *o;
    fit_result r;
    plain.profile = plain.rolling = false;
    plain.n_at = 0;
    plain.bootstrap = o->bootstrap < DRAWS ? o->bootstrap : DRAWS;
    d.held_out = calloc(data->n + 1, sizeof *d.held_out);
    if (!d.held_out) return err_set(e, ST_NOMEM, "no memory for %zu rows", data->n);
    for (size_t i = 0; i < data->n; i++) d.held_out[i] = fit_data_size(data, i) > cut;
    status s = fit_run(&r, &d, &plain, e);
    if (!s) {
        *out = (fit_fold){.cut = cut, .n_train = r.n_points, .n_test = r.holdout_n, .mean = r.holdout_mean, .max = r.holdout_max,
                          .bias = r.holdout_bias, .verdict = r.trust.verdict, .rows = r.holdout};
        r.holdout = NULL; /* taken over */
        size_t inside = 0, known = 0;
        for (size_t k = 0; k < out->n_test; k++) {
            const fit_scored *q = &out->rows[k];
            known += !isnan(q->lo);
            inside += q->y >= q->lo && q->y <= q->hi;
        }
        out->covered = known ? (double)inside / (double)known : NAN;
    }
    fit_result_free(&r);
    free(d.held_out);
    return s;
}

status fit_backtest(fit_result *r, const fit_data *data, const fit_opts *o, err *e)
{
    size_t n = data->n, n_free = 0;
    double *size = malloc((n + 1) * sizeof *size);
    status s = size ? ST_OK : err_set(e, ST_NOMEM, "no memory for %zu rows", n);
    for (size_t j = 0; j < o->law->n_params; j++) n_free += isnan(o->fix[j]) && o->tie[j] < 0;
    for (size_t i = 0; i < n && !s; i++) size[i] = fit_data_size(data, i);
    if (!s) qsort(size, n, sizeof *size, by_number);
    size_t least = (size_t)fmax(fmax((double)n_free + 2, (double)o->fold_rows), LEAST_SHARE * (double)n);
    if (!s && least < n && size[least - 1] < size[n - 1]) {
        double from = log(size[least - 1]), to = log(size[n - 1]), last = 0;
        for (int k = 0; k < FIT_MAX_FOLDS && !s; k++) {
            double target = exp(from + (to - from) * k / FIT_MAX_FOLDS), cut = 0;
            for (size_t i = 0; i < n && size[i] <= target * NEW_SCALE; i++) cut = size[i];
            if (cut <= last * NEW_SCALE || cut * NEW_SCALE >= size[n - 1]) continue; /* no new rows between */
            last = cut;
            s = one_fold(&r->folds[r->n_folds], data, o, cut, e);
            if (!s) r->n_folds++;
        }
    }
    free(size);
    return s;
}

size_t fit_backtest_beyond(fit_beyond *out, const fit_result *r)
{
    static const double step = .5; /* decades */
    size_t n = 0, known[FIT_MAX_BEYOND] = {0}, inside[FIT_MAX_BEYOND] = {0};
    for (size_t b = 0; b < FIT_MAX_BEYOND; b++)
        out[b] = (fit_beyond){.from = step * (double)b, .to = b + 1 < FIT_MAX_BEYOND ? step * (double)(b + 1) : INFINITY};
    for (size_t k = 0; k < r->n_folds; k++)
        for (size_t i = 0; i < r->folds[k].n_test; i++) {
            const fit_scored *q = &r->folds[k].rows[i];
            double at = fmin(log10(q->size / r->folds[k].cut) / step, FIT_MAX_BEYOND - 1), error = q->predicted / q->y - 1;
            size_t b = (size_t)fmax(at, 0);
            out[b].n++;
            out[b].mean += fabs(error), out[b].bias += error, out[b].max = fmax(out[b].max, fabs(error));
            known[b] += !isnan(q->lo);
            inside[b] += q->y >= q->lo && q->y <= q->hi;
        }
    for (size_t b = 0; b < FIT_MAX_BEYOND; b++) { /* those with rows, moved up */
        fit_beyond q = out[b];
        if (!q.n) continue;
        q.mean /= (double)q.n, q.bias /= (double)q.n;
        q.covered = known[b] ? (double)inside[b] / (double)known[b] : NAN;
        out[n++] = q;
    }
    return n;
}
