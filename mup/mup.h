/* Parametrisation rules: role of a tensor x rule -> initial std, forward multiplier, learning-rate, epsilon and
 * weight-decay factors. Arithmetic only: starts no run, knows no trainer.
 * Sources per rule stand beside its row in mup/rules.c; what is chosen where sources disagree, and why: doc/mup.md. */
#ifndef MUP_MUP_H
#define MUP_MUP_H
#include <stdbool.h>
#include <stddef.h>
#include "base/err.h"
#ifdef __cplusplus
extern "C" {
#endif

/* Every tensor has a role; MUP_UNTAGGED is an error wherever a rule is asked for. */
typedef enum mup_role { MUP_UNTAGGED = 0, MUP_EMBEDDING, MUP_HIDDEN, MUP_READOUT, MUP_GAIN, MUP_N_ROLES } mup_role;
const char *mup_role_name(mup_role r); /* "embedding", "hidden", ... */

/* What else a rule or an option may ask of a tensor. */
typedef enum mup_part { MUP_PART_OTHER = 0, MUP_QUERY, MUP_ATTN_OUT, MUP_FFN_OUT } mup_part;

/* One tensor as the rules see it. fan_in: inputs that are summed; 1 for embedding (a one-hot row) and gain. */
typedef struct mup_place {
    const char *name;
    mup_role role;
    mup_part part;
    bool block;    /* inside a residual block: depth factors apply */
    double fan_in;
} mup_place;

/* Base values: what was tuned on the base model. */
typedef struct mup_base {
    double init_std;      /* std of hidden matrices and readout at the base width; 0 = 1/sqrt(base fan_in); u-mup: 1 */
    double embed_std;     /* std of the embedding; 0 = 1: a stream of unit scale at every width; tied, 0 is
                           * 1/sqrt(d_model) (sp: own, else of the base), as a readout needs */
    double lr, eps, weight_decay;
    double embed_mult, logit_mult;                     /* alpha_in, alpha_out */
    double attn_mult, residual_mult, residual_attn_ratio; /* on q.k; on branches; attention's share over the MLP's */
    bool decay_independent; /* weight_decay is taken off as p *= 1 - lambda*s_t; else coupled: p *= 1 - lr*lambda*s_t */
} mup_base;

/* Where sources disagree. The first word of each is the default; doc/mup.md argues for it. */
typedef enum mup_eps_rule { MUP_EPS_EXACT, MUP_EPS_HIDDEN, MUP_EPS_BLOCKS, MUP_EPS_NONE } mup_eps_rule;
typedef enum mup_decay_rule { MUP_DECAY_M, MUP_DECAY_SQRT_M, MUP_DECAY_CONSTANT } mup_decay_rule; /* coupled lambda */
typedef enum mup_embed_lr { MUP_EMBED_LR_RULE, MUP_EMBED_LR_CONSTANT, MUP_EMBED_LR_SQRT } mup_embed_lr;
typedef enum mup_attention { MUP_ATTN_RULE, MUP_ATTN_SQRT, MUP_ATTN_ALIGNED, MUP_ATTN_INVERSE } mup_attention;
typedef enum mup_zero { MUP_ZERO_NONE, MUP_ZERO_READOUT, MUP_ZERO_QUERY, MUP_ZERO_BOTH } mup_zero;
typedef enum mup_branch_init { MUP_BRANCH_PLAIN, MUP_BRANCH_GPT2 } mup_branch_init;
extern const char *const mup_eps_words[], *const mup_decay_words[], *const mup_embed_lr_words[],
    *const mup_attention_words[], *const mup_zero_words[], *const mup_branch_words[]; /* in enum order, then NULL */
typedef struct mup_options {
    double alpha; /* of depth: branches m_L^-alpha; 0 = the rule's own */
    mup_eps_rule eps;
    mup_decay_rule decay;
    mup_embed_lr embed_lr;
    mup_attention attention;
    mup_zero zero;
    mup_branch_init branch_init;
} mup_options;

/* Sizes of a model; batch in tokens. In a base model 0 = unknown: the target's (d_ff: in its proportion to the width). */
typedef struct mup_size { double width, depth, head_dim, d_ff, seq_len, batch, tokens; } mup_size;

typedef struct mup_rule mup_rule; /* a row of the table */

typedef struct mup_setup {
    const mup_rule *rule;
    mup_base base;
    mup_options opt;
    mup_size size, base_size; /* of the model at hand; of the base model */
    bool tied;                /* the embedding is also the readout */
    bool swiglu;              /* else GELU: u-mup scales the activation's output */
} mup_setup;

typedef struct mup_tensor {
    double init_std;
    double forward_mult; /* on the tensor's output; for tables, except of hidden matrices: embedding and readout have
                          * theirs in mup_model */
    double lr, eps, weight_decay; /* absolute: base value times factor */
    double lr_scale;     /* lr / base lr: a scheduler writes lr = eta * s_t * lr_scale */
    double theta;        /* the tensor's gradient is theta times its Table 8 form's; global norms are over g/theta.
                          * 0: 1. Only a readout's can differ from 1 */
} mup_tensor;

static inline double mup_theta(const mup_tensor *t) { return t->theta > 0 ? t->theta : 1; }

/* Model-wide multipliers. */
typedef struct mup_model {
    double embed_mult;     /* on the embedding's output */
    double attn_scale;     /* on q.k; 1/sqrt(head_dim) in sp */
    double residual_mult;  /* on every residual branch */
    double logit_mult;     /* on the logits */
} mup_model;

const mup_rule *mup_rule_find(const char *name); /* "sp", "mup", ...; NULL when unknown */
size_t mup_rule_count(void);
const mup_rule *mup_rule_at(size_t i);
const char *mup_rule_name(const mup_rule *r);
const char *mup_rule_source(const mup_rule *r);
/* What a rule cannot do without: a base width, a base depth, the base batch and tokens. Without, it would be another
 * rule in disguise. */
bool mup_rule_needs_base(const mup_rule *r);
bool mup_rule_needs_depth(const mup_rule *r);
bool mup_rule_needs_horizon(const mup_rule *r);
bool mup_rule_absolute(const mup_rule *r); /* has no base model: u-mup */
double mup_alpha_of(const mup_setup *s);   /* of depth; 0: the rule has none */

/* What the rule forbids for this pair of models (ST_INPUT: key, value, remedy): a tied head where embedding and readout
 * need different values, a smaller model where the rule is stated for growing ones only, an option that would scale
 * twice. */
status mup_check(const mup_setup *s, err *e);

/* ST_DOMAIN naming the tensor: untagged role, a ratio that is not positive. */
status mup_apply_tensor(mup_tensor *out, const mup_setup *s, const mup_place *p, err *e);
status mup_apply_model(mup_model *out, const mup_setup *s, err *e);
/* Adam's beta of this model; the rule's factor is on 1 - beta. ST_INPUT: below 0. */
status mup_apply_beta(double *out, const mup_setup *s, double beta, const char *key, err *e);

/* Which factor the rule puts on a base value, and who says so. */
typedef enum mup_quantity { MUP_STD, MUP_MULT, MUP_LR, MUP_EPS, MUP_DECAY, MUP_N_QUANTITIES } mup_quantity;
const char *mup_quantity_name(mup_quantity q); /* "std", "mult", "lr", "eps", "decay" */
typedef struct mup_factor {
    char text[64];      /* "m^-1 m_L^-1/2"; "" when 1. m: the width ratio (m_ffn: the MLP's own), m_L depth,
                         * m_B batch, m_D tokens; without a base fan_in, d_model, n_layer */
    double value;
    const char *source; /* of the factor, or of its absence */
} mup_factor;
void mup_factor_of(mup_factor *out, const mup_setup *s, const mup_place *p, mup_quantity q);
/* All that are not 1: "std m^-1/2, lr m^-1, eps m^-1, decay m". `out` has n bytes. */
void mup_factor_text(char *out, size_t n, const mup_setup *s, const mup_place *p);
#ifdef __cplusplus
}
#endif
#endif
