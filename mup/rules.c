/* The rules as data: exponents of the width ratio m and the depth ratio m_L, per role.
 *
 * A factor is m^width * m_L^depth, where m is the tensor's own fan-in ratio for hidden matrices and readout, the ratio
 * of d_model for the embedding and gains. Every rule is base-aligned: m = m_L = 1 gives the base values, bit for bit,
 * because pow(1, x) is exactly 1.
 *
 * sp   standard parametrisation with initial std 1/sqrt(fan_in): the baseline against which transfer is shown.
 *      Learning rate, epsilon and decay do not depend on width. (A fixed std of 0.02 is another baseline.)
 * mup  Yang et al. 2022 (arXiv:2203.03466), Table 8: hidden std m^-1/2, learning rate 1/m; readout std unchanged with a
 *      forward multiplier 1/m; embedding unchanged. Epsilon: the readout's 1/m multiplies every gradient, so the exact
 *      rule is eps/m for every tensor. Weight decay: lambda*m on hidden matrices, so that lr*lambda, the rate of
 *      forgetting, is the same at every width (Wang & Aitchison 2024, arXiv:2405.13698). That is for coupled decay; the
 *      independent form multiplies by lambda alone, where the factor is 1: see mup_apply_tensor.
 *      Attention: sqrt(base head_dim)/head_dim, equal to 1/sqrt(head_dim) while head_dim is fixed.
 *
 * Defaults of the base model, chosen for transfer in small byte-level models with AdamW and gainless RMSNorm:
 * embedding std 1. Blocks read the stream through RMSNorm, so what counts is its scale beside what blocks add: a small
 *      embedding is drowned by the first blocks, a large one leaves them little to say. Measured (2026-11, 2 layers,
 *      200k bytes, one seed; base width 32; optimum by a parabola in log2 lr at width 32 and 96, and the best losses):
 *          std 0.1   2^-5.56 -> 2^-5.89   2.688, 2.486
 *          std 1     2^-5.47 -> 2^-5.44   2.581, 2.376
 *          std 3     2^-5.16 -> 2^-5.50   2.544, 2.454
 *      A tied embedding is also the readout: 1/sqrt(base d_model), else first logits would be sqrt(d_model) wide.
 * readout std 1/sqrt(base fan_in), not zero. Zero would start every width from the same function (TP-V advises it), but
 *      then no block receives a gradient in step 1. The price of ours is known: first logits fall as m^-1/2 with width,
 *      which the coordinate check expects.
 * sp uses the same numbers with each tensor's own fan_in, so at the base width the two are one model. */
#include "mup/rules.h"

#include <string.h>

static const mup_rule rules[] = {
    {.name = "sp",
     .source = "initial std 1/sqrt(fan_in), no width dependence of lr, eps, weight decay",
     .needs_base = false,
     .init_by_fan_in = true},
    {.name = "mup",
     .source = "Yang et al. 2022, arXiv:2203.03466, Table 8",
     .needs_base = true,
     .attn_by_head_dim = true,
     .logit_mult = {.width = -1},
     .tensor = {[MUP_EMBEDDING] = {.eps = {.width = -1}},
                [MUP_HIDDEN] = {.init_std = {.width = -0.5},
                                .lr = {.width = -1},
                                .eps = {.width = -1},
                                .weight_decay = {.width = 1}},
                [MUP_READOUT] = {.eps = {.width = -1}},
                [MUP_GAIN] = {.eps = {.width = -1}}}},
};

size_t mup_rule_count(void) { return sizeof rules / sizeof *rules; }
const mup_rule *mup_rule_at(size_t i) { return i < mup_rule_count() ? &rules[i] : NULL; }

const mup_rule *mup_rule_find(const char *name)
{
    for (size_t i = 0; i < mup_rule_count(); i++)
        if (!strcmp(rules[i].name, name)) return &rules[i];
    return NULL;
}
