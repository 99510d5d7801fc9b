/* GSL's minimisers behind our solver table. They know no bounds: the driver refuses --bound with them.
 * GSL's process-wide error handler aborts by default; it is switched off around our calls and put back. */
#include "fit/solver.h"

#include <gsl/gsl_errno.h>
#include <gsl/gsl_multifit_nlinear.h>
#include <gsl/gsl_multimin.h>
#include <math.h>

static double f_of(const gsl_vector *x, void *params) { return fit_problem_eval(params, x->data, NULL, NULL); }
static void df_of(const gsl_vector *x, void *params, gsl_vector *g)
{
    fit_problem_eval(params, x->data, g->data, NULL);
}
static void fdf_of(const gsl_vector *x, void *params, double *f, gsl_vector *g)
{
    *f = fit_problem_eval(params, x->data, g->data, NULL);
}

/* Fletcher 1987, algorithms 2.6.2 and 2.6.4, in GSL's form. gsl_multimin_test_gradient is absolute, so we iterate until
 * F stops falling, restart from there (a fresh steepest-descent memory), and leave the verdict to the driver. */
status fit_gsl_bfgs(fit_solved *out, fit_problem *p, double *phi, err *e)
{
    enum { MAX_ITERATIONS = 2000, RESTARTS = 6 };
    gsl_multimin_function_fdf fdf = {f_of, df_of, fdf_of, p->n_free, p};
    gsl_multimin_fdfminimizer *m = gsl_multimin_fdfminimizer_alloc(gsl_multimin_fdfminimizer_vector_bfgs2, p->n_free);
    gsl_vector *x = gsl_vector_alloc(p->n_free);
    status s = m && x ? ST_OK : err_set(e, ST_NOMEM, "no memory for GSL's minimiser");
    out->iterations = 0;
    for (size_t i = 0; i < p->n_free && !s; i++) gsl_vector_set(x, i, phi[i]);
    double last = INFINITY;
    gsl_error_handler_t *handler = gsl_set_error_handler_off();
    for (int round = 0; round < RESTARTS && !s; round++) {
        gsl_multimin_fdfminimizer_set(m, &fdf, x, 1e-2, 0.1);
        for (int i = 0; i < MAX_ITERATIONS; i++, out->iterations++)
            if (gsl_multimin_fdfminimizer_iterate(m) != GSL_SUCCESS) break;
        gsl_vector_memcpy(x, gsl_multimin_fdfminimizer_x(m));
        double f = gsl_multimin_fdfminimizer_minimum(m);
        if (!(f < last * (1 - 1e-13))) break;
        last = f;
    }
    gsl_set_error_handler(handler);
    for (size_t i = 0; i < p->n_free && !s; i++) phi[i] = gsl_vector_get(x, i);
    if (!s) out->f = fit_problem_eval(p, phi, NULL, NULL);
    if (m) gsl_multimin_fdfminimizer_free(m);
    if (x) gsl_vector_free(x);
    return s;
}

/* Row weights enter as their square roots, so that the sum of squares is F. */
static int residuals(const gsl_vector *x, void *params, gsl_vector *r)
{
    fit_problem *p = params;
    fit_problem_residuals(p, x->data, r->data, NULL);
    for (size_t i = 0; i < p->n && p->weight; i++) r->data[i] *= sqrt(p->weight[i]);
    return GSL_SUCCESS;
}

static int jacobian(const gsl_vector *x, void *params, gsl_matrix *j)
{
    fit_problem *p = params;
    fit_problem_residuals(p, x->data, NULL, j->data);
    for (size_t i = 0; i < p->n && p->weight; i++)
        for (size_t k = 0; k < p->n_free; k++) j->data[i * j->tda + k] *= sqrt(p->weight[i]);
    return GSL_SUCCESS;
}

status fit_gsl_lm(fit_solved *out, fit_problem *p, double *phi, err *e)
{
    enum { MAX_ITERATIONS = 500 };
    int info;
    gsl_multifit_nlinear_parameters par = gsl_multifit_nlinear_default_parameters();
    gsl_multifit_nlinear_fdf fdf = {.f = residuals, .df = jacobian, .n = p->n, .p = p->n_free, .params = p};
    if (p->n < p->n_free)
        return err_set(e, ST_DOMAIN, "gsl-lm: fewer rows (%zu) than parameters (%zu)", p->n, p->n_free);
    gsl_multifit_nlinear_workspace *w = gsl_multifit_nlinear_alloc(gsl_multifit_nlinear_trust, &par, p->n, p->n_free);
    if (!w) return err_set(e, ST_NOMEM, "no memory for GSL's least squares");
    gsl_error_handler_t *handler = gsl_set_error_handler_off();
    gsl_vector_view start = gsl_vector_view_array(phi, p->n_free);
    gsl_multifit_nlinear_init(&start.vector, &fdf, w);
    gsl_multifit_nlinear_driver(MAX_ITERATIONS, 1e-14, 1e-16, 0, NULL, NULL, &info, w);
    gsl_set_error_handler(handler);
    for (size_t i = 0; i < p->n_free; i++) phi[i] = gsl_vector_get(w->x, i);
    out->iterations = gsl_multifit_nlinear_niter(w);
    out->f = fit_problem_eval(p, phi, NULL, NULL);
    gsl_multifit_nlinear_free(w);
    return ST_OK;
}
