/* Laws of numbers and zeros: precision, post-training quantisation, sparsity. */
#include <math.h>

#include "fit/decide.h"
#include "fit/law.h"

#define BITS(name, meaning) {name, meaning, true, 0, INFINITY, 4, {-.7, 0, .7, 1.4}}
#define OFFSET(name, meaning) {name, meaning, false, -5, 5, 3, {0, .7, 1.5}}
#define RISING(name, meaning) {name, meaning, false, 0, 10, 5, {.1, .3, .5, .8, 1.2}}

static void best_bits(double *out, const double *v)
{
    const double gamma[3] = {v[5], v[7], v[9]}, n[3] = {v[6], v[8], v[10]};
    if (fit_precision_best(out, gamma, n, NULL)) *out = NAN;
}

/* The offsets n belong to the law although the paper's body omits them: without them the best precision is 3.5 bits, with
 * them 7.0. A factor that is not above 0 is outside the law's domain: no prediction, never a clamp. */
const fit_law fit_law_precision = {
    .name = "precision",
    .formula = "L = E + A N_eff^-alpha + B D^-beta, N_eff = N prod_x (1 - e^(-P_x/gamma_x + n_x)), x = w, a, kv",
    .body = "N_eff = N*(1 - exp(n_w - P_w/gamma_w))*(1 - exp(n_a - P_a/gamma_a))*(1 - exp(n_kv - P_kv/gamma_kv));"
            "E + A*N_eff^-alpha + B*D^-beta",
    .source = "Kumar et al. 2024 (arXiv:2411.04330), eq. 3 and appendix; P in bits while training (weights, activations, KV)",
    .n_params = 11,
    .params = {LAW_FLOOR, LAW_AMPLITUDE("A", "size of the N term"), LAW_AMPLITUDE("B", "size of the D term"),
               LAW_EXPONENT("alpha", "exponent of N_eff"), LAW_EXPONENT("beta", "exponent of D"),
               BITS("gamma_w", "sensitivity to the bits of weights"), OFFSET("n_w", "its offset"),
               BITS("gamma_a", "sensitivity to the bits of activations"), OFFSET("n_a", "its offset"),
               BITS("gamma_kv", "sensitivity to the bits of keys and values"), OFFSET("n_kv", "its offset")},
    .n_cols = 5,
    .cols = {"N", "D", "P_w", "P_a", "P_kv"},
    .floor = "E",
    .derived = {"P_best"}, /* bits for all three that make the most of the compute: fit/precision.c */
    .derive = best_bits,
    LAW_OF_FORMULA};

const fit_law fit_law_ptq = {
    .name = "ptq",
    .formula = "delta_loss = C_T D^g_D / N^g_N e^(-P_post/g_post)",
    .body = "C_T*D^g_D*N^-g_N*exp(-P_post/g_post)",
    .source = "Kumar et al. 2024 (arXiv:2411.04330), eq. 2: loss added by quantising after training to P_post bits; their "
              "e^(n_post) is part of C_T here, rows cannot tell the two apart",
    .target = "delta_loss",
    .n_params = 4,
    .params = {{"C_T", "factor", true, 0, INFINITY, 5, {-10, -5, 0, 5, 10}}, RISING("g_D", "exponent of D"),
               RISING("g_N", "exponent of N"), BITS("g_post", "bits per e-fold")},
    .n_cols = 3,
    .cols = {"N", "D", "P_post"},
    LAW_OF_FORMULA};

const fit_law fit_law_sparsity = {
    .name = "sparsity",
    .formula = "L = (a (1-S)^b + c) N^-d + e D^-f + g, N non-zero parameters",
    .body = "(a*(1 - S)^b + c)*N^-d + e*D^-f + g",
    .source = "Frantar et al. 2023 (arXiv:2309.08520), eq. 1; N counts non-zero parameters, S is the share of zeros; units of N "
              "and D are the caller's (theirs: 1e6 parameters, 1e5 steps)",
    .n_params = 7,
    .params = {{"a", "size of the sparsity term", true, 0, INFINITY, 4, {-2, 0, 2, 5}},
               {"b", "exponent of the dense share", false, 0, 10, 4, {.2, .5, 1, 2}},
               {"c", "size of the N term at full sparsity", true, 0, INFINITY, 4, {-2, 0, 2, 5}},
               {"d", "exponent of N", false, 0, 10, 6, {.05, .15, .25, .4, .7, 1.2}},
               {"e", "size of the D term", true, 0, INFINITY, 4, {-2, 0, 2, 5}},
               {"f", "exponent of D", false, 0, 10, 6, {.05, .15, .25, .4, .7, 1.2}},
               {"g", "irreducible loss", true, 0, INFINITY, 4, {-1, -.5, 0, .5}}},
    .n_cols = 3,
    .cols = {"S", "N", "D"},
    .zero_ok = {true, false, false},
    .floor = "g",
    LAW_OF_FORMULA};
