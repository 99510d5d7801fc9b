/* The law of a fit.json as a function of N and D: the one place where figures evaluate a law of fit/. Private to
 * plots/. */
#ifndef PLOTS_LAW_VALUE_H
#define PLOTS_LAW_VALUE_H
#include <jansson.h>
#include "base/err.h"
#include "fit/fit.h"

typedef struct law_value {
    const fit_law *law;
    fit_law *typed;      /* owned; NULL: a law of the table */
    fit_model model;     /* bound to no data */
    const char *formula; /* for captions; borrowed from the law or the file */
    double params[FIT_MAX_PARAMS];
    bool raw; /* some of them come from `raw`: the fit is refused */
    size_t n_draws;
    double *draws; /* [n_draws][FIT_MAX_PARAMS], of the bootstrap; NULL: none */
} law_value;

/* ST_INPUT, as a sentence for the user: no fit, an unknown law, one of other columns than N, D and M = D/N, no
 * parameters. law_value_free also after an error; fit is borrowed until then. */
status law_value_read(law_value *l, const json_t *fit, err *e);
void law_value_free(law_value *l);

/* The prediction by `params` (l->params, or a draw). */
double law_value_at(const law_value *l, const double *params, double n, double d);

/* N and D of the lowest prediction with n d = nd, N between lo and hi. False: no minimum strictly inside. */
bool law_value_optimum(double *n, double *d, const law_value *l, const double *params, double nd, double lo, double hi);
#endif
