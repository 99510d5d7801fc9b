/* The table of laws. Each row: parameters under their paper's names, value and exact derivatives of ln L, closed forms,
 * source. */
#include "fit/law.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/num.h"

const fit_law *const fit_laws[] = {
    &fit_law_chinchilla, &fit_law_power,     &fit_law_kaplan,    &fit_law_data_constrained, &fit_law_overtraining,
    &fit_law_filtering,  &fit_law_precision, &fit_law_ptq,       &fit_law_sparsity,         &fit_law_downstream,
    &fit_law_lr_power,   &fit_law_lr_power_x, &fit_law_batch_power, &fit_law_batch_power_x,
    &fit_law_anneal,     &fit_law_multi_power};
const size_t fit_n_laws = sizeof fit_laws / sizeof *fit_laws;

const fit_law *fit_law_find(const char *name, err *e)
{
    const char *names[sizeof fit_laws / sizeof *fit_laws];
    for (size_t i = 0; i < fit_n_laws; i++) {
        if (!strcmp(fit_laws[i]->name, name)) return fit_laws[i];
        names[i] = fit_laws[i]->name;
    }
    const char *near = num_nearest_word(name, names, (int)fit_n_laws);
    if (near) err_set(e, ST_USAGE, "no law '%s'; did you mean '%s'? (muscale fit --list-laws)", name, near);
    else err_set(e, ST_USAGE, "no law '%s'; see muscale fit --list-laws", name);
    return NULL;
}

int fit_law_param(const fit_law *law, const char *name)
{
    for (size_t i = 0; i < law->n_params; i++)
        if (!strcmp(law->params[i].name, name)) return (int)i;
    return -1;
}

int fit_law_floor(const fit_law *law)
{
    if (law->floor) return fit_law_param(law, law->floor);
    for (size_t k = 0; k < law->n_terms; k++)
        if (law->terms[k].exponent < 0) return law->terms[k].amplitude;
    return -1;
}

status fit_model_init(fit_model *m, const fit_law *law, const fit_data *data, err *e)
{
    *m = (fit_model){.law = law};
    return law->bind ? law->bind(m, data, e) : ST_OK;
}

void fit_model_free(fit_model *m)
{
    if (m->law && m->law->unbind) m->law->unbind(m);
    memset(m, 0, sizeof *m);
}

double fit_model_value(const fit_model *m, const double *params, const double *x)
{
    const fit_law *law = m->law;
    enum { SMALL = 4096 };
    static const size_t zero_row = 0;
    double theta[FIT_MAX_PARAMS], z[FIT_MAX_COLS], ln_pred, room[SMALL];
    double *scratch = m->scratch <= SMALL ? room : malloc(m->scratch * sizeof *scratch);
    fit_rows rows = {.n = 1, .row = &zero_row};
    if (!scratch) return NAN;
    for (size_t i = 0; i < law->n_params; i++) theta[i] = law->params[i].log ? log(params[i]) : params[i];
    for (size_t c = 0; c < law->n_cols; c++) z[c] = log(x[c]), rows.x[c] = &x[c], rows.z[c] = &z[c];
    law->eval(m, scratch, &ln_pred, NULL, NULL, theta, &rows);
    if (scratch != room) free(scratch);
    return exp(ln_pred);
}
