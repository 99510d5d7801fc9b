/* Laws whose body is a formula: the engine of fit/expr.h behind the table's slots. It differentiates in the natural
 * parameters; here that becomes ln L in coordinates: with q = ln f, theta_j = ln p_j or p_j and s_j = dp_j/dtheta_j,
 *   dq/dtheta_j = f_j s_j / f,   d2q/dtheta_j dtheta_k = f_jk s_j s_k / f - q_j q_k + [j = k, log scale] q_j. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "fit/expr.h"
#include "fit/law.h"

typedef struct formula {
    expr *x;
    size_t column[FIT_MAX_COLS]; /* the formula's columns among the law's */
} formula;

void fit_formula_unbind(fit_model *m)
{
    formula *f = m->state;
    if (f) expr_free(f->x);
    free(f);
    m->state = NULL;
}

status fit_formula_bind(fit_model *m, const fit_data *data, err *e)
{
    const char *params[FIT_MAX_PARAMS];
    formula *f = calloc(1, sizeof *f);
    (void)data;
    if (!f) return err_set(e, ST_NOMEM, "no memory for a law");
    m->state = f;
    for (size_t j = 0; j < m->law->n_params; j++) params[j] = m->law->params[j].name;
    status s = expr_parse(&f->x, m->law->body, params, m->law->n_params, m->law->cols, m->law->n_cols, e);
    if (s) {
        fit_formula_unbind(m);
        return s;
    }
    for (size_t c = 0; c < expr_n_cols(f->x); c++)
        while (strcmp(m->law->cols[f->column[c]], expr_col(f->x, c))) f->column[c]++;
    m->scratch = expr_scratch(f->x);
    return ST_OK;
}

status fit_formula_narrow(fit_model *m, const bool *free, err *e)
{
    formula *f = m->state;
    expr *x;
    status s = expr_only(&x, f->x, free, e);
    if (s) return s;
    expr_free(f->x);
    f->x = x;
    m->scratch = expr_scratch(x);
    return ST_OK;
}

void fit_formula_linear(const fit_model *m, bool *linear) { expr_linear(((const formula *)m->state)->x, linear); }

static void evaluate(const formula *f, double *scratch, double *value, double *grad, double *hess, const double *natural,
                     const fit_rows *rows)
{
    const double *cols[FIT_MAX_COLS];
    for (size_t c = 0; c < expr_n_cols(f->x); c++) cols[c] = rows->x[f->column[c]];
    expr_eval(f->x, scratch, value, grad, hess, natural, cols, rows->n);
}

void fit_formula_affine(const fit_model *m, double *scratch, double *f, double *grad, const double *natural,
                        const fit_rows *rows)
{
    evaluate(m->state, scratch, f, grad, NULL, natural, rows);
}

void fit_formula_eval(const fit_model *m, double *scratch, double *ln_pred, double *jac, double *curv,
                      const double *theta, const fit_rows *rows)
{
    const fit_law *law = m->law;
    size_t p = law->n_params, n = rows->n, at = 0;
    double natural[FIT_MAX_PARAMS] = {0}, scale[FIT_MAX_PARAMS] = {0}, f[FIT_BLOCK];
    for (size_t j = 0; j < p; j++) {
        natural[j] = law->params[j].log ? exp(theta[j]) : theta[j];
        scale[j] = law->params[j].log ? natural[j] : 1;
    }
    evaluate(m->state, scratch, ln_pred, jac, curv, natural, rows);
    for (size_t i = 0; i < n; i++) { /* a loss that is not above 0 is outside the law's domain: no prediction */
        f[i] = ln_pred[i] > 0 ? 1 / ln_pred[i] : NAN;
        ln_pred[i] = ln_pred[i] > 0 ? log(ln_pred[i]) : NAN;
    }
    for (size_t j = 0; j < p && jac; j++)
        for (size_t i = 0; i < n; i++) jac[j * n + i] *= scale[j] * f[i];
    for (size_t j = 0; j < p && curv; j++)
        for (size_t k = j; k < p; k++, at++) {
            const double *a = jac + j * n, *b = jac + k * n;
            double s = scale[j] * scale[k];
            for (size_t i = 0; i < n; i++) curv[at * n + i] = curv[at * n + i] * s * f[i] - a[i] * b[i];
            if (j == k && law->params[j].log)
                for (size_t i = 0; i < n; i++) curv[at * n + i] += a[i];
        }
}
