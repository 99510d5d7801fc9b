/* u-muP's constants (Blake et al. 2024, arXiv:2407.17465, App. B, G and L; their library, functional.py), folded into
 * multipliers that the model already has.
 *
 * Residual stream. u-muP writes x <- (x + tau f(N(x))) / sqrt(1 + tau^2) with, for branch i of 2L (L layers),
 *     tau_i^2 = a_i^2 / (L + sum_{j<i} a_j^2),   a_mlp = r sqrt(2/(1+rho^2)),  a_attn = rho a_mlp
 * (r residual_mult, rho residual_attn_ratio). Let S_i = prod_{j<i} sqrt(1 + tau_j^2), and store y = S x instead of x.
 * Then y <- y + S_i tau_i f(N(y)), because N, RMSNorm, does not see the scale of its input. The product telescopes,
 *     S_i^2 = (L + sum_{j<i} a_j^2) / L,   so   S_i tau_i = a_i / sqrt(L),
 * a constant for each kind of branch: u-muP's stream is y + a_i L^-1/2 f, the depth rule of alpha = 1/2, and needs no
 * op of its own. Exact but for the norm's eps: N(y) with eps is N(x) with eps / S^2, 1 <= S^2 <= 1 + 2 r^2, and eps is
 * 1e-6 beside a mean square of 1. The gradient is the same function's. tests/trainer/test_unit.c compares the two forms.
 *
 * Activations. Attention's and the activation's outputs are divided by their std at the start (empirical models of the
 * library, multiplier 1 inside the activation); both feed a matrix, which takes the factor. What the library scales in
 * the backward pass only is left out: Adam does not see it, but for eps and the clipping of gradients. */
#include <math.h>

#include "mup/rules.h"

/* lower^(1-share) upper^share */
static double between(double lower, double upper, double share)
{
    return exp(share * log(upper) + (1 - share) * log(lower));
}

static double attention_scale(const mup_setup *s)
{
    const double mult = s->base.attn_mult, T = s->size.seq_len;
    if (T < 2) return 1; /* one value is averaged: its own scale */
    return 1 / between(sqrt(log(T) / T), 1, 1 / (1 + 4 * s->size.head_dim / (mult * mult)));
}

static double activation_scale(const mup_setup *s)
{
    return s->swiglu ? between(2, sqrt(2), 1 / (1 + 1.0)) : between(2, sqrt(2 / (1 - 1 / M_PI)), 1 / (1 + 0.25));
}

double mup_unit_scale(const mup_setup *s, mup_part part)
{
    if (!s->rule->absolute) return 1;
    return part == MUP_ATTN_OUT ? attention_scale(s) : part == MUP_FFN_OUT ? activation_scale(s) : 1;
}

double mup_branch_share(const mup_setup *s, mup_part part)
{
    const double rho = s->base.residual_attn_ratio, mlp = sqrt(2 / (1 + rho * rho));
    return part == MUP_ATTN_OUT ? rho * mlp : part == MUP_FFN_OUT ? mlp : 1;
}
