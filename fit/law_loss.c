/* Loss laws whose body is a formula: kaplan, data-constrained, overtraining, and downstream error as a function of loss. */
#include <math.h>

#include "fit/law.h"

/* Exponents that divide stay clear of 0. */
#define POSITIVE_EXPONENT(name, meaning) {name, meaning, false, 1e-3, 10, 6, {.03, .08, .15, .3, .6, 1}}
/* Half-lives of repetition, in epochs; from "worth nothing" to "as good as new". */
#define HALF_LIFE(name, meaning) {name, meaning, true, 0, INFINITY, 7, {-2, -.5, 1, 2.5, 4, 5.5, 7}}

const fit_law fit_law_kaplan = {
    .name = "kaplan",
    .formula = "L = ((N_c/N)^(alpha_N/alpha_D) + D_c/D)^alpha_D",
    .body = "((N_c/N)^(alpha_N/alpha_D) + D_c/D)^alpha_D",
    .source = "Kaplan et al. 2020 (arXiv:2001.08361), eq. 1.5; N there counts no embeddings; no floor",
    .n_params = 4,
    .params = {{"N_c", "parameters at which the loss would be 1 nat", true, 0, INFINITY, 5, {15, 20, 25, 30, 35}},
               {"D_c", "tokens at which the loss would be 1 nat", true, 0, INFINITY, 5, {15, 20, 25, 30, 35}},
               POSITIVE_EXPONENT("alpha_N", "exponent of N"), POSITIVE_EXPONENT("alpha_D", "exponent of D")},
    .n_cols = 2,
    .cols = {"N", "D"},
    LAW_OF_FORMULA};

/* Written with expm1, so that a half-life of 1e12 is "no decay" and not a cancellation. U_N is the size that would be optimal
 * for the unique tokens: parameters beyond it are worth less too. A run of fewer tokens than the pool has seen D unique ones, not U
 * (the authors' tables have U <= D throughout). */
const fit_law fit_law_data_constrained = {
    .name = "data-constrained",
    .formula = "L = E + A/N'^alpha + B/D'^beta, D' = U + U R_D*(1 - e^(-R_D/R_D*)), N' likewise from U_N",
    .body = "G = (alpha*A/(beta*B))^(1/(alpha+beta)); seen = min(U, D); U_N = min(N, G*(seen*G)^(beta/alpha));"
            "R_N = pos(N/U_N - 1); R_D = pos(D/seen - 1);"
            "E + A*(U_N - U_N*R_N_star*expm1(-R_N/R_N_star))^-alpha + B*(seen - seen*R_D_star*expm1(-R_D/R_D_star))^-beta",
    .source = "Muennighoff et al. 2023 (arXiv:2305.16264), section 3 and appendix A; their two stages: fit chinchilla with "
              "alpha = beta on runs without repetition, then --fix-from that fit",
    .n_params = 7,
    .params = {LAW_FLOOR, LAW_AMPLITUDE("A", "size of the N term"), LAW_AMPLITUDE("B", "size of the D term"),
               POSITIVE_EXPONENT("alpha", "exponent of N"), POSITIVE_EXPONENT("beta", "exponent of D"),
               HALF_LIFE("R_D_star", "repetitions after which repeated tokens have lost 1 - 1/e of their worth"),
               HALF_LIFE("R_N_star", "the same for parameters beyond the optimum of the unique tokens")},
    .n_cols = 3,
    .cols = {"N", "D", "U"},
    .floor = "E",
    .nulls = {{"R_D_star", 1e12, "to count repeated tokens as new ones"},
              {"R_N_star", 1e12, "to count excess parameters in full"}},
    LAW_OF_FORMULA};

static void overtraining_allocation(double *a_opt, double *b_opt, double *g, const double *v)
{
    double alpha = -v[3];
    *a_opt = *b_opt = .5;
    *g = pow(v[1] / (v[2] * pow(6, -alpha / 2)), 1 / (2 * alpha));
}

static void overtraining_optimum(double *n, double *d, const double *v, double c)
{
    double a, b, g;
    overtraining_allocation(&a, &b, &g, v);
    *n = g * sqrt(c / 6);
    *d = sqrt(c / 6) / g;
}

const fit_law fit_law_overtraining = {
    .name = "overtraining",
    .formula = "L = E + a N^eta + b 6^(eta/2) (M N)^eta, M = D/N",
    .body = "E + a*N^eta + b*6^(eta/2)*(M*N)^eta",
    .source = "Gadre et al. 2024 (arXiv:2403.08540), eq. 4: chinchilla with equal exponents in N and tokens per parameter M "
              "(their M is 20 x the 'multiplier' of a run's label, not D/N)",
    .n_params = 4,
    .params = {LAW_FLOOR,
               {"a", "size of the N term", true, 0, INFINITY, 6, {0, 3, 5, 7, 9, 12}},
               {"b", "size of the D term", true, 0, INFINITY, 6, {0, 3, 5, 7, 9, 12}},
               {"eta", "common exponent, negative", false, -10, 0, 8, {-1.5, -1, -.7, -.5, -.3, -.2, -.1, -.04}}},
    .n_cols = 2,
    .cols = {"N", "M"},
    .floor = "E",
    LAW_OF_FORMULA,
    .optimum = overtraining_optimum,
    .allocation = overtraining_allocation};

const fit_law fit_law_downstream = {
    .name = "downstream",
    .formula = "error = eps - k e^(-gamma L)",
    .body = "eps - k*exp(-gamma*loss)",
    .source = "Gadre et al. 2024 (arXiv:2403.08540), eq. 5: average top-1 error of a set of tasks from the loss",
    .target = "error",
    .n_params = 3,
    .params = {{"eps", "error of a model that knows nothing", true, 0, INFINITY, 3, {-1, -.5, 0}},
               {"k", "size of the gain", true, 0, INFINITY, 4, {-1, 0, 1, 3}},
               {"gamma", "rate of the gain with loss", true, 0, INFINITY, 8, {-2, -1.5, -1, -.5, 0, .5, 1, 2}}},
    .n_cols = 1,
    .cols = {"loss"},
    LAW_OF_FORMULA};
