/* Laws that are sums of power terms: chinchilla, power. */
#include <math.h>

#include "fit/law.h"

/* ln L^ = logsumexp over terms of (a_k - p_k z_k): the stable form (Hoffmann et al. 2022, appendix
 * D.3). With w = softmax of the terms and c_k the (constant) gradient of term k: gradient g = sum w_k c_k, Hessian sum
 * w_k c_k c_k' - g g'. Every parameter belongs to one term, so the sum has few entries. */
void fit_eval_powers(const fit_model *m, double *scratch, double *ln_pred, double *jac, double *curv,
                     const double *theta, const fit_rows *rows)
{
    const fit_law *law = m->law;
    const double *const *z = rows->z;
    size_t p = law->n_params, n_terms = law->n_terms, n = rows->n;
    (void)scratch;
    int term_of[FIT_MAX_PARAMS];
    for (size_t k = 0; k < n_terms; k++) {
        term_of[law->terms[k].amplitude] = (int)k;
        if (law->terms[k].exponent >= 0) term_of[law->terms[k].exponent] = (int)k;
    }
    for (size_t i = 0; i < n; i++) {
        double t[FIT_MAX_TERMS], c[FIT_MAX_PARAMS], g[FIT_MAX_PARAMS], top = -INFINITY, sum = 0;
        for (size_t k = 0; k < n_terms; k++) {
            const fit_term *term = &law->terms[k];
            t[k] = theta[term->amplitude];
            c[term->amplitude] = 1;
            if (term->exponent >= 0) {
                c[term->exponent] = -z[term->column][i];
                t[k] += theta[term->exponent] * c[term->exponent];
            }
            if (t[k] > top) top = t[k];
        }
        for (size_t k = 0; k < n_terms; k++) sum += t[k] = exp(t[k] - top);
        ln_pred[i] = top + log(sum);
        if (!jac) continue;
        for (size_t j = 0; j < p; j++) jac[j * n + i] = g[j] = t[term_of[j]] / sum * c[j];
        if (!curv) continue;
        size_t at = 0;
        for (size_t j = 0; j < p; j++)
            for (size_t k = j; k < p; k++, at++)
                curv[at * n + i] = (term_of[j] == term_of[k] ? g[j] * c[k] : 0) - g[j] * g[k];
    }
}

/* Hoffmann et al. 2022, section 3.3 and appendix D.3: the minimum of L along C = 6ND. */
static void chinchilla_allocation(double *a_opt, double *b_opt, double *g, const double *v)
{
    double alpha = v[3], beta = v[4];
    *a_opt = beta / (alpha + beta);
    *b_opt = alpha / (alpha + beta);
    *g = exp((log(alpha * v[1]) - log(beta * v[2])) / (alpha + beta));
}

static void chinchilla_optimum(double *n, double *d, const double *v, double c)
{
    double a, b, g;
    chinchilla_allocation(&a, &b, &g, v);
    *n = g * pow(c / 6, a);
    *d = pow(c / 6, b) / g;
}

const fit_law fit_law_chinchilla = {
    .name = "chinchilla",
    .formula = "L = E + A/N^alpha + B/D^beta",
    .source = "Hoffmann et al. 2022 (arXiv:2203.15556), eq. 2; starts and objective as in their appendix D.3",
    .n_params = 5,
    .params = {LAW_FLOOR, LAW_AMPLITUDE("A", "size of the N term"), LAW_AMPLITUDE("B", "size of the D term"),
               LAW_EXPONENT("alpha", "exponent of N"), LAW_EXPONENT("beta", "exponent of D")},
    .n_cols = 2,
    .cols = {"N", "D"},
    .n_terms = 3,
    .terms = {{1, 3, 0}, {2, 4, 1}, {0, -1, -1}},
    .eval = fit_eval_powers,
    .optimum = chinchilla_optimum,
    .allocation = chinchilla_allocation};

const fit_law fit_law_power = {
    .name = "power",
    .formula = "L = E + A/x^alpha",
    .source = "saturating power law in one variable, Hestness et al. 2017 (arXiv:1712.00409), eq. 2; E = 0 is Kaplan "
              "et al. 2020",
    .n_params = 3,
    .params = {LAW_FLOOR, LAW_AMPLITUDE("A", "size of the x term"), LAW_EXPONENT("alpha", "exponent of x")},
    .n_cols = 1,
    .cols = {"x"},
    .n_terms = 2,
    .terms = {{1, 2, 0}, {0, -1, -1}},
    .eval = fit_eval_powers};
