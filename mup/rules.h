/* Private to mup/: what a row of the rule table holds. */
#ifndef MUP_RULES_H
#define MUP_RULES_H
#include "mup/mup.h"

/* factor = m^width * m_L^(depth + alpha*a) * m_B^batch * m_D^tokens; m, m_L, ... of mup_ratios_of, a the rule's alpha
 * or the user's. Depth counts inside blocks only. */
typedef struct mup_exponents { double width, depth, alpha, batch, tokens; } mup_exponents;

struct mup_rule {
    const char *name, *source;
    bool needs_base, needs_depth, needs_horizon; /* refused without those base sizes: a rule without its base is sp in
                                                  * disguise */
    bool absolute;           /* no base model: ratios are the sizes themselves */
    bool init_by_fan_in;     /* default std from this tensor's own fan_in instead of the base model's */
    bool gradients_by_width; /* every gradient carries the readout's 1/m: what eps_rule is about */
    double alpha;            /* of depth, unless the user says otherwise; 0: the rule has no depth */
    mup_attention attention; /* what MUP_ATTN_RULE means here */
    mup_exponents residual, theta, beta; /* branches; a readout's gradient; 1 - beta */
    const char *not_tied;    /* why one tensor cannot be embedding and readout; NULL: it can */
    const char *not_smaller; /* why a model smaller than its base is refused; NULL: it is not */
    mup_exponents tensor[MUP_N_ROLES][MUP_N_QUANTITIES];
    const char *of[MUP_N_QUANTITIES]; /* source of each; NULL: `source` */
};

/* Size ratios as a tensor sees them. */
typedef struct mup_ratios { double m, depth, batch, tokens; } mup_ratios;
mup_ratios mup_ratios_of(const mup_setup *s, const mup_place *p); /* p NULL: m of d_model, depth as in a block */

/* The exponents in force: the row's, as the options change them. Depth is in `depth`, `alpha` is spent. */
mup_exponents mup_exponents_of(const mup_setup *s, const mup_place *p, mup_quantity q);
bool mup_is_zero(const mup_setup *s, const mup_place *p); /* by zero_init */
double mup_power(mup_exponents x, mup_ratios r);
/* u-mup's constant on the output of attention's projection and of the MLP's, by which activations have unit scale. */
double mup_unit_scale(const mup_setup *s, mup_part part);
/* Share of attention and MLP branches; 1 when residual_attn_ratio is. */
double mup_branch_share(const mup_setup *s, mup_part part);
#endif
