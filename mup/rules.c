/* The rules as data: exponents of the width ratio m, the depth ratio m_L, the batch ratio m_B and the token ratio m_D,
 * per role and quantity.
 *
 * A factor is m^width * m_L^(depth + alpha a) * m_B^batch * m_D^tokens, where m is the tensor's own fan-in ratio for
 * hidden matrices and readout, the ratio of d_model for embedding and gains. Every rule with a base is base-aligned:
 * ratios of 1 give the base values, bit for bit, because pow(1, x) is exactly 1.
 *
 * sp   standard parametrisation with initial std 1/sqrt(fan_in): the baseline against which transfer is shown.
 *      Learning rate, epsilon and decay do not depend on width. (A fixed std of 0.02 is another baseline.)
 * mup  Yang et al. 2022 (arXiv:2203.03466), Table 8: hidden std m^-1/2, learning rate 1/m; readout std unchanged with a
 *      forward multiplier 1/m; embedding unchanged. The stored normal form. Epsilon: the readout's 1/m multiplies every
 *      gradient, so the exact rule is eps/m for every tensor. Weight decay: lambda*m on hidden matrices, so that
 *      lr*lambda, the rate of forgetting, is the same at every width (Wang & Aitchison 2024, arXiv:2405.13698). That is
 *      for coupled decay; the independent form multiplies by lambda alone, where the factor is 1.
 *      Attention: sqrt(base head_dim)/head_dim, equal to 1/sqrt(head_dim) while head_dim is fixed.
 * mup-table3  the same function at every step (doc/mup.md, "One rule, two forms"): the readout's forward 1/m moved into
 *      its std, learning rate, epsilon and decay, theta = m.
 * completep   Dey et al. 2025 (arXiv:2505.01618), Table 1, alpha = 1: branches m_L^-alpha, learning rate in blocks
 *      m_L^(alpha-1). Epsilon in blocks m_L^-alpha beside 1/m, because a branch's gradient carries its multiplier.
 * depth-mup   Yang et al. 2023 (arXiv:2310.02244): the same family at alpha = 1/2.
 * complete-dp Mlodozeniec et al. 2025 (arXiv:2512.22382): Table 3's readout with completep's depth, and batch and
 *      horizon: lr and lambda sqrt(m_B/m_D), eps sqrt(m_D/m_B), 1 - beta by m_B/m_D. At equal batch and tokens it
 *      trains completep's trajectory.
 * u-mup       Blake et al. 2024 (arXiv:2407.17465), Table 2, and its library: unit std and a forward multiplier
 *      fan_in^-1/2 everywhere, learning rate by fan_in^-1/2 and layers^-1/2, embedding by d_model^-1/2; no base model.
 *      Residual form (x + tau f)/sqrt(1 + tau^2), stored as x + c f: mup/unit.c.
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
 *      which the coordinate check expects. zero_init is the option.
 * sp uses the same numbers with each tensor's own fan_in, so at the base width the two are one model. */
#include "mup/rules.h"

#include <string.h>

#define TP5 "Yang et al. 2022, arXiv:2203.03466, "
#define COMPLETEP "Dey et al. 2025, arXiv:2505.01618, Table 1"
#define TP6 "Yang et al. 2023, arXiv:2310.02244"
#define UMUP "Blake et al. 2024, arXiv:2407.17465, Table 2"
#define COMPLETE_DP "Mlodozeniec et al. 2025, arXiv:2512.22382"
#define FORGETTING "Wang & Aitchison 2024, arXiv:2405.13698"
#define GRADIENTS "size of the gradients (doc/mup.md, \"Epsilon\"); " TP5 "App. B.3"
#define TWO_FORMS "theta symmetry (doc/mup.md, \"One rule, two forms\")"

/* Form 8: readout forward 1/m, all gradients Theta(1/m). Form 3: 1/m in its std and learning rate. */
#define WIDTH {.width = -1}
#define BLOCK_EPS {.width = -1, .alpha = -1}
#define BLOCK_LR {.depth = -1, .alpha = 1}
#define SDE_LR .batch = 0.5, .tokens = -0.5
#define SDE_EPS .batch = -0.5, .tokens = 0.5

#define DEPTH_FAMILY                                                                                          \
    .needs_base = true, .needs_depth = true, .gradients_by_width = true, .attention = MUP_ATTN_ALIGNED,       \
    .residual = {.alpha = -1},                                                                                \
    .tensor = {[MUP_EMBEDDING] = {[MUP_EPS] = WIDTH},                                                         \
               [MUP_HIDDEN] = {[MUP_STD] = {.width = -0.5},                                                   \
                               [MUP_LR] = {.width = -1, .depth = -1, .alpha = 1},                             \
                               [MUP_EPS] = BLOCK_EPS,                                                         \
                               [MUP_DECAY] = {.width = 1}},                                                   \
               [MUP_READOUT] = {[MUP_MULT] = WIDTH, [MUP_EPS] = WIDTH},                                       \
               [MUP_GAIN] = {[MUP_LR] = BLOCK_LR, [MUP_EPS] = BLOCK_EPS}}

static const mup_rule rules[] = {
    {.name = "sp",
     .source = "standard: std 1/sqrt(fan_in), nothing else depends on width",
     .init_by_fan_in = true,
     .attention = MUP_ATTN_SQRT},
    {.name = "mup",
     .source = TP5 "Table 8",
     .needs_base = true,
     .gradients_by_width = true,
     .attention = MUP_ATTN_ALIGNED,
     .of = {[MUP_EPS] = GRADIENTS, [MUP_DECAY] = FORGETTING},
     .tensor = {[MUP_EMBEDDING] = {[MUP_EPS] = WIDTH},
                [MUP_HIDDEN] = {[MUP_STD] = {.width = -0.5},
                                [MUP_LR] = WIDTH,
                                [MUP_EPS] = WIDTH,
                                [MUP_DECAY] = {.width = 1}},
                [MUP_READOUT] = {[MUP_MULT] = WIDTH, [MUP_EPS] = WIDTH},
                [MUP_GAIN] = {[MUP_EPS] = WIDTH}}},
    {.name = "mup-table3",
     .source = TP5 "Table 3",
     .needs_base = true,
     .gradients_by_width = true,
     .attention = MUP_ATTN_ALIGNED,
     .theta = {.width = 1},
     .not_tied = "Table 3 gives the readout std and learning rate 1/m and the embedding neither",
     .of = {[MUP_EPS] = GRADIENTS "; " TWO_FORMS, [MUP_DECAY] = FORGETTING "; " TWO_FORMS},
     .tensor = {[MUP_EMBEDDING] = {[MUP_EPS] = WIDTH},
                [MUP_HIDDEN] = {[MUP_STD] = {.width = -0.5},
                                [MUP_LR] = WIDTH,
                                [MUP_EPS] = WIDTH,
                                [MUP_DECAY] = {.width = 1}},
                [MUP_READOUT] = {[MUP_STD] = WIDTH, [MUP_LR] = WIDTH, [MUP_DECAY] = {.width = 1}},
                [MUP_GAIN] = {[MUP_EPS] = WIDTH}}},
    {.name = "completep",
     .source = COMPLETEP,
     .alpha = 1,
     .of = {[MUP_EPS] = COMPLETEP "; " GRADIENTS},
     DEPTH_FAMILY},
    {.name = "depth-mup",
     .source = TP6 "; " COMPLETEP ", alpha = 1/2",
     .alpha = 0.5,
     .of = {[MUP_EPS] = GRADIENTS, [MUP_DECAY] = FORGETTING},
     DEPTH_FAMILY},
    {.name = "u-mup",
     .source = UMUP,
     .absolute = true,
     .attention = MUP_ATTN_INVERSE,
     .residual = {.depth = -0.5},
     .not_tied = "u-muP gives the embedding a learning rate d_model^-1/2 and the readout none",
     .tensor = {[MUP_EMBEDDING] = {[MUP_LR] = {.width = -0.5}},
                [MUP_HIDDEN] = {[MUP_MULT] = {.width = -0.5}, [MUP_LR] = {.width = -0.5, .depth = -0.5}},
                [MUP_READOUT] = {[MUP_MULT] = WIDTH},
                [MUP_GAIN] = {[MUP_LR] = {.depth = -0.5}}}},
    {.name = "complete-dp",
     .source = COMPLETE_DP,
     .needs_base = true,
     .needs_depth = true,
     .needs_horizon = true,
     .gradients_by_width = true,
     .alpha = 1,
     .attention = MUP_ATTN_ALIGNED,
     .residual = {.alpha = -1},
     .theta = {.width = 1},
     .beta = {.batch = 1, .tokens = -1},
     .not_tied = "Complete(d)P gives the readout std and learning rate 1/m and the embedding neither",
     .not_smaller = "Complete(d)P is stated and tested for growing models only",
     .tensor = {[MUP_EMBEDDING] = {[MUP_LR] = {SDE_LR}, [MUP_EPS] = {.width = -1, SDE_EPS}, [MUP_DECAY] = {SDE_LR}},
                [MUP_HIDDEN] = {[MUP_STD] = {.width = -0.5},
                                [MUP_LR] = {.width = -1, .depth = -1, .alpha = 1, SDE_LR},
                                [MUP_EPS] = {.width = -1, .alpha = -1, SDE_EPS},
                                [MUP_DECAY] = {.width = 1, SDE_LR}},
                [MUP_READOUT] = {[MUP_STD] = WIDTH,
                                 [MUP_LR] = {.width = -1, SDE_LR},
                                 [MUP_EPS] = {SDE_EPS},
                                 [MUP_DECAY] = {.width = 1, SDE_LR}},
                [MUP_GAIN] = {[MUP_LR] = {.depth = -1, .alpha = 1, SDE_LR},
                              [MUP_EPS] = {.width = -1, .alpha = -1, SDE_EPS}}}},
};

size_t mup_rule_count(void) { return sizeof rules / sizeof *rules; }
const mup_rule *mup_rule_at(size_t i) { return i < mup_rule_count() ? &rules[i] : NULL; }

const mup_rule *mup_rule_find(const char *name)
{
    for (size_t i = 0; i < mup_rule_count(); i++)
        if (!strcmp(rules[i].name, name)) return &rules[i];
    return NULL;
}

const char *mup_rule_name(const mup_rule *r) { return r->name; }
const char *mup_rule_source(const mup_rule *r) { return r->source; }
bool mup_rule_needs_base(const mup_rule *r) { return r->needs_base; }
bool mup_rule_needs_depth(const mup_rule *r) { return r->needs_depth; }
bool mup_rule_needs_horizon(const mup_rule *r) { return r->needs_horizon; }
bool mup_rule_absolute(const mup_rule *r) { return r->absolute; }

const char *mup_role_name(mup_role r)
{
    static const char *const names[MUP_N_ROLES] = {"untagged", "embedding", "hidden", "readout", "gain"};
    return (unsigned)r < MUP_N_ROLES ? names[r] : "unknown";
}

const char *mup_quantity_name(mup_quantity q)
{
    static const char *const names[MUP_N_QUANTITIES] = {"std", "mult", "lr", "eps", "decay"};
    return (unsigned)q < MUP_N_QUANTITIES ? names[q] : "unknown";
}

const char *const mup_eps_words[] = {"exact", "hidden", "blocks", "none", NULL};
const char *const mup_decay_words[] = {"m", "sqrt-m", "constant", NULL};
const char *const mup_embed_lr_words[] = {"rule", "constant", "sqrt", NULL};
const char *const mup_attention_words[] = {"rule", "sqrt", "aligned", "inverse", NULL};
const char *const mup_zero_words[] = {"none", "readout", "query", "both", NULL};
const char *const mup_branch_words[] = {"plain", "gpt2", NULL};
