/* Private to mup/: what a row of the rule table holds. */
#ifndef MUP_RULES_H
#define MUP_RULES_H
#include "mup/mup.h"

typedef struct mup_exponents { double width, depth; } mup_exponents; /* factor = m^width * m_L^depth */
typedef struct mup_role_rule { mup_exponents init_std, forward, lr, eps, weight_decay; } mup_role_rule;

struct mup_rule {
    const char *name, *source;
    bool needs_base;       /* refused without base widths: mup without a base is sp in disguise */
    bool init_by_fan_in;   /* default std from this tensor's own fan_in instead of the base model's */
    bool attn_by_head_dim; /* sqrt(base head_dim)/head_dim instead of 1/sqrt(head_dim) */
    mup_exponents logit_mult, residual_mult;
    mup_role_rule tensor[MUP_N_ROLES];
};
#endif
