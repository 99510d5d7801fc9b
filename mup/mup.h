/* Parametrisation rules: role of a tensor x rule -> initial std, forward multiplier, learning-rate, epsilon and
 * weight-decay factors. Arithmetic only: starts no run, knows no trainer.
 * Sources per rule stand beside its row in mup/rules.c (facts: Yang et al. 2022, arXiv:2203.03466, Tables 3, 8). */
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

/* Base values: what was tuned on the base model. */
typedef struct mup_base {
    double init_std;      /* std of hidden matrices and readout at the base width; 0 = 1/sqrt(base fan_in) */
    double embed_std;     /* std of the embedding; 0 = 1: a stream of unit scale at every width (tied: see below) */
    double tied_width;    /* the embedding is also the readout: d_model (sp) or base d_model; embed_std 0 is then
                           * 1/sqrt(tied_width), as a readout needs. 0 = not tied */
    double lr, eps, weight_decay;
    double embed_mult, logit_mult; /* alpha_in, alpha_out */
    bool decay_independent; /* weight_decay is taken off as p *= 1 - lambda*s_t; else coupled: p *= 1 - lr*lambda*s_t */
} mup_base;

/* Shape ratios of the model at hand to the base model. */
typedef struct mup_ratios {
    double fan_in;  /* this tensor's fan_in / fan_in in the base model */
    double width;   /* d_model / base d_model */
    double depth;   /* n_layer / base n_layer */
    double head_dim;
} mup_ratios;

typedef struct mup_tensor {
    double init_std;
    double forward_mult; /* on the tensor's output; for tables: the trainer takes it from mup_model */
    double lr, eps, weight_decay; /* absolute: base value times factor */
    double lr_scale;     /* lr / base lr: a scheduler writes lr = eta * s_t * lr_scale */
} mup_tensor;

/* Model-wide multipliers. */
typedef struct mup_model {
    double embed_mult;     /* on the embedding's output */
    double attn_scale;     /* on q.k; 1/sqrt(head_dim) in sp */
    double residual_mult;  /* on every residual branch */
    double logit_mult;     /* on the logits */
} mup_model;

typedef struct mup_rule mup_rule; /* a row of the table */
const mup_rule *mup_rule_find(const char *name); /* "sp", "mup"; NULL when unknown */
size_t mup_rule_count(void);
const mup_rule *mup_rule_at(size_t i);
const char *mup_rule_name(const mup_rule *r);
const char *mup_rule_source(const mup_rule *r);
bool mup_rule_needs_base(const mup_rule *r); /* mup without base_width is refused */
/* Which factors the rule puts on a role's base values: "std m^-1/2, lr m^-1, eps m^-1, decay m"; "" when none. m is the
 * width ratio, m_L the depth ratio. `out` has n bytes. */
void mup_factor_text(char *out, size_t n, const mup_rule *r, mup_role role, bool decay_independent);

/* fan_in: of the tensor at hand. ST_DOMAIN naming the tensor: untagged role, ratio not positive. */
status mup_apply_tensor(mup_tensor *out, const mup_rule *rule, mup_role role, const char *name, double fan_in,
                        const mup_base *base, const mup_ratios *ratios, err *e);
status mup_apply_model(mup_model *out, const mup_rule *rule, double head_dim, const mup_base *base,
                       const mup_ratios *ratios, err *e);
#ifdef __cplusplus
}
#endif
#endif
