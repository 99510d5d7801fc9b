/* Data filtering: the utility of a quality bucket that wears out as it is repeated.
 * Goyal et al. 2024 (arXiv:2404.07177), eq. 3-5: n samples seen (D) of a pool of n_1 (U), epochs j = 0, 1, ...,
 *   y = d + (a n_1)^b prod_{j>=1} (n_{j+1}/n_j)^(b_j),   b_j = b 2^(-j/tau), b < 0,
 * where n_j = j n_1 and the last n_{j+1} is n. Within the first epoch y = d + (a n)^b. The authors' code multiplies d by the
 * product too; the paper's reading, d beside it, is taken here.
 * Here b is stored as its size, beta = -b, so that all four parameters are positive. */
#include <math.h>

#include "fit/law.h"

enum { A, BETA, TAU, D0, N_PARAMS };
enum { MOST_EPOCHS = 100000 }; /* 2^(-j/tau) is 0 long before, unless tau is absurd */

/* S = sum_j delta^j ln(n_{j+1}/n_j), delta = 2^(-1/tau), with its first two derivatives in ln tau. */
static void wear(double *s, double *s1, double *s2, double tau, double n, double pool)
{
    double epochs = n / pool, k = M_LN2 / tau;
    *s = *s1 = *s2 = 0;
    for (double j = 1; j < epochs && j < MOST_EPOCHS; j++) {
        double u = k * j, w = exp(-u), l = log(fmin(epochs, j + 1) / j);
        *s += w * l;
        *s1 += w * u * l;             /* d/d ln tau of exp(-k j) */
        *s2 += w * (u * u - u) * l;
        if (w < 1e-18) break;
    }
}

/* ln of the prediction, y = d + e^q, q = -beta (ln a + ln min(n, n_1) + S). Coordinates: ln of each parameter. */
static void filtering_eval(const fit_model *m, double *scratch, double *ln_pred, double *jac, double *curv,
                           const double *theta, const fit_rows *rows)
{
    double beta = exp(theta[BETA]), tau = exp(theta[TAU]), d = exp(theta[D0]);
    (void)m, (void)scratch;
    for (size_t i = 0; i < rows->n; i++) {
        double n = rows->x[0][i], pool = rows->x[1][i], s, s1, s2, g[N_PARAMS], q2[N_PARAMS][N_PARAMS] = {{0}};
        wear(&s, &s1, &s2, tau, n, pool);
        double q = -beta * (theta[A] + log(fmin(n, pool)) + s), f = exp(q), y = d + f;
        ln_pred[i] = log(y);
        if (!jac) continue;
        double q1[N_PARAMS] = {-beta, q, -beta * s1, 0};
        for (int j = 0; j < N_PARAMS; j++) jac[(size_t)j * rows->n + i] = g[j] = (j == D0 ? d : f * q1[j]) / y;
        if (!curv) continue;
        q2[A][BETA] = -beta, q2[BETA][BETA] = q, q2[BETA][TAU] = -beta * s1, q2[TAU][TAU] = -beta * s2;
        size_t at = 0;
        for (int j = 0; j < N_PARAMS; j++)
            for (int k = j; k < N_PARAMS; k++, at++) {
                double second = j == D0 ? d : k == D0 ? 0 : f * (q2[j][k] + q1[j] * q1[k]);
                curv[at * rows->n + i] = second / y - g[j] * g[k];
            }
    }
}

static void filtering_linear(const fit_model *m, bool *linear)
{
    (void)m;
    linear[D0] = true;
}

static void filtering_affine(const fit_model *m, double *scratch, double *f, double *grad, const double *natural,
                             const fit_rows *rows)
{
    (void)m, (void)scratch;
    for (size_t i = 0; i < rows->n; i++) {
        double n = rows->x[0][i], pool = rows->x[1][i], s, s1, s2;
        wear(&s, &s1, &s2, natural[TAU], n, pool);
        f[i] = natural[D0] + exp(-natural[BETA] * (log(natural[A]) + log(fmin(n, pool)) + s));
        for (size_t j = 0; j < N_PARAMS; j++) grad[j * rows->n + i] = j == D0;
    }
}

const fit_law fit_law_filtering = {
    .name = "filtering",
    .formula = "y = d + (a U)^-beta prod_{j>=1} (n_{j+1}/n_j)^(-beta 2^(-j/tau)), n_j = j U, up to D",
    .source = "Goyal et al. 2024 (arXiv:2404.07177), eq. 3-5: D samples seen of a bucket of U; beta = -b",
    .n_params = N_PARAMS,
    .params = {{"a", "scale of samples", true, 0, INFINITY, 5, {-20, -14, -8, -4, 0}},
               {"beta", "utility of a sample seen first", true, 0, INFINITY, 6, {-5, -4, -3, -2, -1, 0}},
               {"tau", "half-life: repetitions after which the utility is halved", true, 0, INFINITY, 6, {-.5, .3, 1, 1.7, 2.5, 3.5}},
               {"d", "what is left with endless samples", true, 0, INFINITY, 5, {-5, -3, -1, 0, 1}}},
    .n_cols = 2,
    .cols = {"D", "U"},
    .floor = "d",
    .nulls = {{"tau", 1e6, "to count repeated samples as new ones"}},
    .linear = filtering_linear,
    .affine = filtering_affine,
    .eval = filtering_eval};
