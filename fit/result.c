#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "fit/curve.h"
#include "fit/run.h"

const double *fit_data_column(const fit_data *d, const char *name)
{
    if (!strcmp(name, "N") && d->N) return d->N;
    if (!strcmp(name, "D") && d->D) return d->D;
    if (!strcmp(name, "C") && d->C) return d->C;
    if (!strcmp(name, "x") || (d->x_name[0] && !strcmp(name, d->x_name))) return d->x;
    for (size_t k = 0; k < d->n_more; k++)
        if (!strcmp(name, d->more[k].name)) return d->more[k].x;
    return NULL;
}

void fit_data_free(fit_data *d)
{
    if (!d) return;
    free(d->N);
    free(d->D);
    free(d->C);
    free(d->x);
    free(d->y);
    for (size_t k = 0; k < d->n_more; k++) free(d->more[k].x);
    free(d->held_out);
    free(d->cluster);
    fit_runs_free(d->runs);
    free(d->inputs);
    memset(d, 0, sizeof *d);
}

void fit_result_free(fit_result *r)
{
    if (!r) return;
    fit_data_free(&r->points);
    free(r->fitted);
    free(r->holdout);
    free(r->profiles);
    free(r->asked);
    for (size_t k = 0; k < r->n_folds; k++) free(r->folds[k].rows);
    free(r->samples);
    free(r->budgets);
    json_decref(r->extra);
    memset(r, 0, sizeof *r);
}

void fit_result_rules(fit_result *r, const fit_data *data)
{
    snprintf(r->x, sizeof r->x, "%s", data->x_name);
    snprintf(r->count_rule, sizeof r->count_rule, "%s", data->count_rule[0] ? data->count_rule : "unstated");
    snprintf(r->flops_rule, sizeof r->flops_rule, "%s", data->flops_rule[0] ? data->flops_rule : "unstated");
    r->seed_sd = data->seed_sd;
}

/* Copies column from the rows of `data` that are not held out. */
static bool copy_column(double **out, const double *column, const fit_data *data, size_t n)
{
    if (!column) return true;
    double *x = malloc((n + 1) * sizeof *x);
    size_t at = 0;
    for (size_t i = 0; i < data->n && x; i++)
        if (!(data->held_out && data->held_out[i])) x[at++] = column[i];
    *out = x;
    return x != NULL;
}

status fit_result_points(fit_result *r, const fit_data *data, err *e)
{
    size_t n = 0;
    for (size_t i = 0; i < data->n; i++) n += !(data->held_out && data->held_out[i]);
    fit_data *p = &r->points;
    p->n = r->n_points = n;
    bool ok = copy_column(&p->N, data->N, data, n) && copy_column(&p->D, data->D, data, n) &&
              copy_column(&p->C, data->C, data, n) && copy_column(&p->x, data->x, data, n) &&
              copy_column(&p->y, data->y, data, n);
    for (size_t k = 0; k < data->n_more && ok; k++) {
        memcpy(p->more[k].name, data->more[k].name, sizeof p->more[k].name);
        ok = copy_column(&p->more[k].x, data->more[k].x, data, n);
        p->n_more++;
    }
    memcpy(p->target, data->target, sizeof p->target);
    if (!p->target[0]) snprintf(p->target, sizeof p->target, "loss");
    r->fitted = malloc((n + 1) * sizeof *r->fitted);
    if (data->n_inputs) p->inputs = malloc(data->n_inputs * sizeof *p->inputs);
    if (!ok || !r->fitted || (data->n_inputs && !p->inputs)) return err_set(e, ST_NOMEM, "no memory for %zu rows", n);
    for (size_t i = 0; i < n; i++) r->fitted[i] = NAN;
    if (data->n_inputs) memcpy(p->inputs, data->inputs, data->n_inputs * sizeof *p->inputs);
    p->n_inputs = data->n_inputs;
    memcpy(p->dropped, data->dropped, sizeof p->dropped);
    p->n_dropped = data->n_dropped;
    memcpy(p->x_name, data->x_name, sizeof p->x_name);
    p->n_repeated = data->n_repeated;
    p->common_scale = data->common_scale;
    memcpy(p->units, data->units, sizeof p->units);
    memcpy(p->cluster_name, data->cluster_name, sizeof p->cluster_name);
    memcpy(p->count_rule, data->count_rule, sizeof p->count_rule);
    memcpy(p->flops_rule, data->flops_rule, sizeof p->flops_rule);
    r->n_dropped = 0;
    for (size_t k = 0; k < data->n_dropped; k++) r->n_dropped += data->dropped[k].n;
    return ST_OK;
}
