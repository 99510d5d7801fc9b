/* What the data show beside the optimum: do the columns vary, does each term earn its place, are two parameters one? */
#include <gsl/gsl_cdf.h>
#include <gsl/gsl_eigen.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "fit/likelihood.h"
#include "fit/run.h"

/* A floor is one parameter, tested at 95 %. A power term has two and is tested at 99.9 %: a term that is only noise has
 * many exponents to choose from, and with losses permuted 5 % would pass too often. */
static const double FLOOR_LEVEL = .95, TERM_LEVEL = .999;
static const double GONE = -1e4; /* a coordinate whose exp() is 0 */
enum { TEST_STARTS = 12, TEST_STARTS_DEAR = 4 }; /* dear: laws that are no sums of powers */

/* ln-likelihood of the best fit with `test` taken out; the optimum itself, so restricted, is among the starts. */
static status without(double *log_likelihood, const fit_test *test, double value, const double *best, const fit_data *data,
                      const fit_opts *o, err *e)
{
    fit_problem p;
    fit_start_list starts = {0};
    fit_search search;
    fit_opts plain = *o;
    plain.starts = FIT_STARTS_SCREEN;
    status s = fit_problem_init(&p, data, &plain, e);
    if (s) return s;
    fit_problem_pin(&p, test->amplitude, value);
    if (test->exponent >= 0) fit_problem_pin(&p, test->exponent, 1);
    s = fit_starts_make(&starts, &p, &plain, e);
    size_t most = p.law->n_terms ? TEST_STARTS : TEST_STARTS_DEAR;
    if (!s && starts.n > most) starts.n = most; /* the best by projection: little is left to search */
    if (!s && starts.n) fit_problem_phi(&p, starts.s[starts.n - 1].phi, best);
    if (!s) s = fit_search_run(&search, &p, o->solver, &starts, o->threads, e);
    if (!s && isfinite(search.basin[0].f)) s = fit_log_likelihood_at(log_likelihood, NULL, &p, search.basin[0].phi, e);
    else *log_likelihood = -INFINITY;
    fit_starts_free(&starts);
    fit_problem_free(&p);
    return s;
}

static bool is_restricted(const fit_opts *o, int param)
{
    return !isnan(o->fix[param]) || o->tie[param] >= 0 || !isnan(o->lo[param]);
}

static fit_test make_test(int amplitude, int exponent, bool floor, size_t lost, const char *meaning)
{
    double level = floor ? FLOOR_LEVEL : TERM_LEVEL;
    return (fit_test){amplitude, exponent, floor, NAN, gsl_cdf_chisq_Pinv(level, (double)lost) / 2, meaning};
}

/* Parameters that move nothing once this amplitude is gone, itself among them. */
static size_t lost_with(fit_problem *p, const double *best, int param)
{
    double *jac = malloc((p->n * p->n_free + 1) * sizeof *jac), phi[FIT_MAX_PARAMS];
    size_t lost = 0;
    if (!jac) return 2;
    memcpy(phi, best, p->n_free * sizeof *phi);
    phi[p->slot[param]] = GONE;
    fit_problem_residuals(p, phi, NULL, jac);
    for (size_t f = 0; f < p->n_free; f++) {
        double most = 0;
        for (size_t i = 0; i < p->n; i++) most = fmax(most, fabs(jac[i * p->n_free + f]));
        lost += !(most > 1e-12);
    }
    free(jac);
    return lost ? lost : 1;
}

/* The law's terms, or its row's nulls; of a law typed by the user every amplitude on its own. */
static void list_tests(fit_evidence *ev, double *value, fit_problem *p, const double *best, const fit_opts *o)
{
    const fit_law *law = p->law;
    int floor = fit_law_floor(law);
    ev->n_tests = 0;
    for (size_t k = 0; k < law->n_terms; k++) {
        const fit_term *t = &law->terms[k];
        if (is_restricted(o, t->amplitude)) continue;
        value[ev->n_tests] = GONE;
        ev->tests[ev->n_tests++] = make_test(t->amplitude, t->exponent, t->exponent < 0, t->exponent < 0 ? 1 : 2, NULL);
    }
    if (!law->n_terms && floor >= 0 && !is_restricted(o, floor)) {
        value[ev->n_tests] = GONE;
        ev->tests[ev->n_tests++] = make_test(floor, -1, true, 1, NULL);
    }
    for (size_t k = 0; k < FIT_MAX_NULLS && law->nulls[k].param; k++) {
        int j = fit_law_param(law, law->nulls[k].param);
        if (is_restricted(o, j)) continue;
        value[ev->n_tests] = law->params[j].log ? log(law->nulls[k].value) : law->nulls[k].value;
        ev->tests[ev->n_tests++] = make_test(j, -1, false, 1, law->nulls[k].meaning);
    }
    for (size_t k = 0; k < p->n_linear && law->typed; k++) {
        int j = p->linear[k];
        if (j == floor || !law->params[j].log || is_restricted(o, j)) continue;
        value[ev->n_tests] = GONE;
        ev->tests[ev->n_tests++] = make_test(j, -1, false, lost_with(p, best, j), NULL);
    }
}

status fit_evidence_tests(fit_evidence *ev, const fit_problem *p, const fit_data *data, const fit_opts *o,
                          const double *best, err *e)
{
    double value[FIT_MAX_TESTS], natural[FIT_MAX_PARAMS], l0, l1 = NAN;
    fit_problem copy;
    status s = fit_problem_share(&copy, p, e);
    if (s) return s;
    fit_problem_natural(&copy, natural, best);
    list_tests(ev, value, &copy, best, o);
    s = fit_log_likelihood_at(&l1, NULL, &copy, best, e);
    fit_problem_free(&copy);
    for (size_t k = 0; k < ev->n_tests && !s; k++) {
        s = without(&l0, &ev->tests[k], value[k], natural, data, o, e);
        if (!s) ev->tests[k].gain = l1 - l0;
    }
    return s;
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

status fit_evidence_columns(fit_evidence *ev, const fit_problem *p, err *e)
{
    double *v = malloc((p->n + 1) * sizeof *v);
    if (!v) return err_set(e, ST_NOMEM, "no memory for %zu rows", p->n);
    for (size_t c = 0; c < p->law->n_cols; c++) {
        memcpy(v, p->z[c], p->n * sizeof *v);
        qsort(v, p->n, sizeof *v, by_size);
        ev->distinct[c] = p->n > 0;
        for (size_t i = 1; i < p->n; i++) ev->distinct[c] += v[i] - v[i - 1] > 1e-9;
    }
    free(v);
    ev->collinear = NAN;
    if (!p->law->n_terms || p->law->n_cols < 2 || !p->n) return ST_OK;
    double mx = 0, my = 0, xx = 0, xy = 0, yy = 0;
    for (size_t i = 0; i < p->n; i++) mx += p->z[0][i] / (double)p->n, my += p->z[1][i] / (double)p->n;
    for (size_t i = 0; i < p->n; i++) {
        double x = p->z[0][i] - mx, y = p->z[1][i] - my;
        xx += x * x, xy += x * y, yy += y * y;
    }
    ev->collinear = xx > 0 && yy > 0 ? fmax(0, 1 - xy * xy / (xx * yy)) : 0;
    return ST_OK;
}

/* Smallest eigenvalue of the correlation matrix of the columns of dr/dphi, and who makes it. */
status fit_evidence_condition(fit_evidence *ev, fit_problem *p, const double *best, err *e)
{
    size_t k = p->n_free;
    double *jac = malloc((p->n * k + 1) * sizeof *jac), c[FIT_MAX_PARAMS * FIT_MAX_PARAMS], norm[FIT_MAX_PARAMS];
    ev->weakest = NAN;
    ev->weak[0] = ev->weak[1] = -1;
    if (!jac) return err_set(e, ST_NOMEM, "no memory for %zu rows", p->n);
    if (k < 2) {
        free(jac);
        return ST_OK;
    }
    fit_problem_residuals(p, best, NULL, jac);
    memset(c, 0, sizeof c);
    for (size_t i = 0; i < p->n; i++)
        for (size_t a = 0; a < k; a++)
            for (size_t b = 0; b < k; b++) c[a * k + b] += jac[i * k + a] * jac[i * k + b];
    free(jac);
    for (size_t a = 0; a < k; a++) norm[a] = c[a * k + a] > 0 ? sqrt(c[a * k + a]) : 1;
    for (size_t a = 0; a < k; a++)
        for (size_t b = 0; b < k; b++) c[a * k + b] /= norm[a] * norm[b];
    gsl_matrix_view m = gsl_matrix_view_array(c, k, k);
    gsl_vector *value = gsl_vector_alloc(k);
    gsl_matrix *vector = gsl_matrix_alloc(k, k);
    gsl_eigen_symmv_workspace *w = gsl_eigen_symmv_alloc(k);
    if (value && vector && w && !gsl_eigen_symmv(&m.matrix, value, vector, w)) {
        gsl_eigen_symmv_sort(value, vector, GSL_EIGEN_SORT_VAL_ASC);
        ev->weakest = fmax(0, gsl_vector_get(value, 0));
        for (int pick = 0; pick < 2; pick++) {
            double most = -1;
            for (size_t a = 0; a < k; a++) {
                double size = fabs(gsl_matrix_get(vector, a, 0));
                if (size > most && p->first[a] != ev->weak[0]) most = size, ev->weak[pick] = p->first[a];
            }
        }
        if (ev->weak[0] > ev->weak[1]) { /* equal shares: rounding must not order the names */
            int first = ev->weak[1];
            ev->weak[1] = ev->weak[0], ev->weak[0] = first;
        }
    }
    gsl_vector_free(value);
    gsl_matrix_free(vector);
    gsl_eigen_symmv_free(w);
    return ST_OK;
}
