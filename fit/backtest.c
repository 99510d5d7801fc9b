/* Back-test over compute scales (`--hold-out rolling`): fitted up to a cut in C (or what stands for it), asked about every larger row.
 * What one does with a law in earnest, played again inside the data. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "fit/run.h"

enum { DRAWS = 200 };               /* resamples of a fold: its intervals need fewer than the fit's own */
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
    size_t least = (size_t)fmax((double)n_free + 2, LEAST_SHARE * (double)n);
    if (!s && least < n && size[least - 1] < size[n - 1]) {
        double from = log(size[least - 1]), to = log(size[n - 1]), last = 0;
        for (int k = 0; k < FIT_MAX_FOLDS && !s; k++) {
            double target = exp(from + (to - from) * k / FIT_MAX_FOLDS), cut = 0;
            for (size_t i = 0; i < n && size[i] <= target * (1 + 1e-9); i++) cut = size[i];
            if (cut <= last || cut >= size[n - 1]) continue; /* no new rows between */
            last = cut;
            s = one_fold(&r->folds[r->n_folds], data, o, cut, e);
            if (!s) r->n_folds++;
        }
    }
    free(size);
    return s;
}
