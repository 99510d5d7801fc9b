/* A rule's factors as a person reads them, and who says so. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "mup/rules.h"

/* Appends "m_L^-1/2" after what is there; nothing for power 0. */
static void add_power(char *out, size_t size, const char *name, double p)
{
    const size_t n = strlen(out);
    const char *gap = n ? " " : "";
    if (p == 1) snprintf(out + n, size - n, "%s%s", gap, name);
    else if (fabs(p) == 0.5) snprintf(out + n, size - n, "%s%s^%s1/2", gap, name, p < 0 ? "-" : "");
    else if (p != 0) snprintf(out + n, size - n, "%s%s^%g", gap, name, p);
}

static const char *width_name(const mup_setup *s, const mup_place *p)
{
    const bool matrix = p->role == MUP_HIDDEN || p->role == MUP_READOUT;
    if (s->rule->absolute) return matrix ? "fan_in" : "d_model";
    return p->part == MUP_FFN_OUT && s->base_size.d_ff > 0 ? "m_ffn" : "m";
}

/* Options that replace a rule's own answer. */
static const char *option_source(const mup_setup *s, const mup_place *p, mup_quantity q)
{
    static const char *const eps[] = {[MUP_EPS_HIDDEN] = "eps_rule hidden: Megatron-LM, --use-mup",
                                      [MUP_EPS_BLOCKS] = "eps_rule blocks: Dey et al. 2025, arXiv:2505.01618, Table 1",
                                      [MUP_EPS_NONE] = "eps_rule none"};
    static const char *const decay[] = {[MUP_DECAY_SQRT_M] = "decay_rule sqrt-m: Fan et al. 2025, arXiv:2510.15262",
                                        [MUP_DECAY_CONSTANT] = "decay_rule constant: PyTorch's AdamW as it is"};
    static const char *const embed[] = {
        [MUP_EMBED_LR_CONSTANT] = "embed_lr_rule constant: Yang et al. 2022, arXiv:2203.03466, Table 8",
        [MUP_EMBED_LR_SQRT] = "embed_lr_rule sqrt: Blake et al. 2024, arXiv:2407.17465, Table 2"};
    const bool gradients = s->rule->gradients_by_width;
    if (q == MUP_STD && mup_is_zero(s, p)) return "zero_init, as Yang et al. 2022, arXiv:2203.03466, advise";
    if (q == MUP_EPS && gradients) return eps[s->opt.eps];
    if (q == MUP_DECAY && s->base.decay_independent) return "weight_decay_mode independent: no lr in it to make up for";
    if (q == MUP_DECAY) return decay[s->opt.decay];
    if (q == MUP_LR && p->role == MUP_EMBEDDING) return embed[s->opt.embed_lr];
    return NULL;
}

/* What no exponent says: options of the initial std, constants of u-mup and of the branches. */
static double add_constants(mup_factor *out, const mup_setup *s, const mup_place *p, mup_quantity q)
{
    const size_t n = strlen(out->text);
    const char *gap = n ? " " : "";
    const bool branch = p->part == MUP_ATTN_OUT || p->part == MUP_FFN_OUT;
    if (q == MUP_MULT && p->role == MUP_HIDDEN) {
        const double x = mup_unit_scale(s, p->part) * mup_branch_share(s, p->part);
        if (x != 1) snprintf(out->text + n, sizeof out->text - n, "%s* %.4g", gap, x);
        return x;
    }
    if (q != MUP_STD || !branch || s->opt.branch_init != MUP_BRANCH_GPT2) return 1;
    snprintf(out->text + n, sizeof out->text - n, "%s(2 n_layer)^-1/2", gap);
    return 1 / sqrt(2 * s->size.depth);
}

void mup_factor_of(mup_factor *out, const mup_setup *s, const mup_place *p, mup_quantity q)
{
    const mup_exponents x = mup_exponents_of(s, p, q);
    const mup_ratios r = mup_ratios_of(s, p);
    const char *option = option_source(s, p, q), *own = s->rule->of[q];
    out->text[0] = 0;
    if (q != MUP_DECAY || p->role != MUP_GAIN) { /* gains do not decay: nothing to scale */
        add_power(out->text, sizeof out->text, width_name(s, p), x.width);
        add_power(out->text, sizeof out->text, s->rule->absolute ? "n_layer" : "m_L", p->block ? x.depth : 0);
        add_power(out->text, sizeof out->text, "m_B", x.batch);
        add_power(out->text, sizeof out->text, "m_D", x.tokens);
    }
    out->value = *out->text ? mup_power(x, r) : 1;
    if (mup_is_zero(s, p) && q == MUP_STD) snprintf(out->text, sizeof out->text, "0"), out->value = 0;
    else out->value *= add_constants(out, s, p, q);
    out->source = option ? option : own ? own : s->rule->source;
}

void mup_factor_text(char *out, size_t n, const mup_setup *s, const mup_place *p)
{
    *out = 0;
    for (int q = 0; q < MUP_N_QUANTITIES; q++) {
        mup_factor f;
        mup_factor_of(&f, s, p, (mup_quantity)q);
        const size_t used = strlen(out);
        const char *name = mup_quantity_name((mup_quantity)q);
        if (*f.text) snprintf(out + used, n - used, "%s%s %s", used ? ", " : "", name, f.text);
    }
}
