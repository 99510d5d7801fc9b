/* From a rule's exponents to numbers. */
#include <math.h>

#include "mup/rules.h"

static double ratio(double x, double base) { return base > 0 ? x / base : 1; }

mup_ratios mup_ratios_of(const mup_setup *s, const mup_place *p)
{
    const mup_size *x = &s->size, *b = &s->base_size;
    const bool block = !p || p->block, ffn = p && p->part == MUP_FFN_OUT;
    const bool matrix = p && (p->role == MUP_HIDDEN || p->role == MUP_READOUT);
    if (s->rule->absolute)
        return (mup_ratios){matrix ? p->fan_in : x->width, block ? x->depth : 1, 1, 1};
    return (mup_ratios){ffn && b->d_ff > 0 ? x->d_ff / b->d_ff : ratio(x->width, b->width),
                        block ? ratio(x->depth, b->depth) : 1, ratio(x->batch, b->batch), ratio(x->tokens, b->tokens)};
}

double mup_alpha_of(const mup_setup *s) { return s->opt.alpha > 0 ? s->opt.alpha : s->rule->alpha; }

double mup_power(mup_exponents x, mup_ratios r)
{
    return pow(r.m, x.width) * pow(r.depth, x.depth) * pow(r.batch, x.batch) * pow(r.tokens, x.tokens);
}

/* exact: the row. Else only some tensors follow the gradients' size. Batch and horizon are another matter, and stay. */
static mup_exponents eps_exponents(mup_exponents x, const mup_setup *s, const mup_place *p)
{
    if (!s->rule->gradients_by_width || s->opt.eps == MUP_EPS_EXACT) return x;
    if (s->opt.eps == MUP_EPS_BLOCKS && p->block) return x;
    const bool hidden = s->opt.eps == MUP_EPS_HIDDEN && p->role == MUP_HIDDEN;
    x.width = hidden ? -1 : 0;
    x.alpha = 0;
    return x;
}

/* Independent decay has no learning rate in it: the factor of lr*lambda is asked for, of which width and depth are none
 * by definition; batch and horizon remain, because steps are fewer or more. */
static mup_exponents decay_exponents(mup_exponents x, const mup_setup *s, const mup_place *p)
{
    const mup_exponents *lr = &s->rule->tensor[p->role][MUP_LR];
    if (s->base.decay_independent)
        return (mup_exponents){.batch = x.batch + lr->batch, .tokens = x.tokens + lr->tokens};
    x.width *= s->opt.decay == MUP_DECAY_M ? 1 : s->opt.decay == MUP_DECAY_SQRT_M ? 0.5 : 0;
    return x;
}

static mup_exponents embed_lr_exponents(mup_exponents x, const mup_setup *s)
{
    if (s->opt.embed_lr != MUP_EMBED_LR_RULE) x.width = s->opt.embed_lr == MUP_EMBED_LR_SQRT ? -0.5 : 0;
    return x;
}

mup_exponents mup_exponents_of(const mup_setup *s, const mup_place *p, mup_quantity q)
{
    mup_exponents x = s->rule->tensor[p->role][q];
    if (q == MUP_EPS) x = eps_exponents(x, s, p);
    if (q == MUP_DECAY) x = decay_exponents(x, s, p);
    if (q == MUP_LR && p->role == MUP_EMBEDDING) x = embed_lr_exponents(x, s);
    x.depth += x.alpha * mup_alpha_of(s);
    x.alpha = 0;
    return x;
}

static status check_ratio(double x, const char *what, const char *tensor, err *e)
{
    if (isfinite(x) && x > 0) return ST_OK;
    return err_set(e, ST_DOMAIN, "%s: %s ratio to the base model is %g; it must be a positive number", tensor, what, x);
}

static status check_ratios(mup_ratios r, const char *tensor, err *e)
{
    status s = check_ratio(r.m, "width", tensor, e);
    if (!s) s = check_ratio(r.depth, "depth", tensor, e);
    if (!s) s = check_ratio(r.batch, "batch", tensor, e);
    if (!s) s = check_ratio(r.tokens, "token", tensor, e);
    return s;
}

static double tied_width(const mup_setup *s)
{
    return s->rule->needs_base && s->base_size.width > 0 ? s->base_size.width : s->size.width;
}

static double base_std(const mup_setup *s, const mup_place *p, double m)
{
    const mup_base *base = &s->base;
    if (p->role == MUP_EMBEDDING && base->embed_std > 0) return base->embed_std;
    if (p->role == MUP_EMBEDDING) return s->tied ? 1 / sqrt(tied_width(s)) : 1;
    if (base->init_std > 0) return base->init_std;
    if (s->rule->absolute) return 1;
    return 1 / sqrt(s->rule->init_by_fan_in ? p->fan_in : p->fan_in / m);
}

bool mup_is_zero(const mup_setup *s, const mup_place *p)
{
    const mup_zero z = s->opt.zero;
    return z == MUP_ZERO_BOTH ? p->role == MUP_READOUT || p->part == MUP_QUERY
           : z == MUP_ZERO_READOUT ? p->role == MUP_READOUT : z == MUP_ZERO_QUERY && p->part == MUP_QUERY;
}

static double init_std(const mup_setup *s, const mup_place *p, mup_ratios r)
{
    if (p->role == MUP_GAIN || mup_is_zero(s, p)) return 0; /* gains start at 1 and have no random part */
    const bool gpt2 = s->opt.branch_init == MUP_BRANCH_GPT2 && (p->part == MUP_ATTN_OUT || p->part == MUP_FFN_OUT);
    return base_std(s, p, r.m) * mup_power(mup_exponents_of(s, p, MUP_STD), r) / (gpt2 ? sqrt(2 * s->size.depth) : 1);
}

static double forward_mult(const mup_setup *s, const mup_place *p, mup_ratios r)
{
    double x = mup_power(mup_exponents_of(s, p, MUP_MULT), r);
    if (p->role == MUP_READOUT) return x * s->base.logit_mult;
    if (p->role == MUP_EMBEDDING) return x * s->base.embed_mult;
    return x * mup_unit_scale(s, p->part) * mup_branch_share(s, p->part);
}

status mup_apply_tensor(mup_tensor *out, const mup_setup *s, const mup_place *p, err *e)
{
    if (p->role <= MUP_UNTAGGED || p->role >= MUP_N_ROLES)
        return err_set(e, ST_DOMAIN,
                       "tensor %s has no role (embedding, hidden, readout or gain): a rule cannot be applied to it",
                       p->name);
    const bool matrix = p->role == MUP_HIDDEN || p->role == MUP_READOUT;
    if (matrix && !(p->fan_in > 0)) return err_set(e, ST_DOMAIN, "tensor %s: fan_in is %g", p->name, p->fan_in);
    const mup_ratios r = mup_ratios_of(s, p);
    status st = check_ratios(r, p->name, e);
    if (st) return st;
    out->init_std = init_std(s, p, r);
    out->forward_mult = forward_mult(s, p, r);
    out->lr_scale = mup_power(mup_exponents_of(s, p, MUP_LR), r);
    out->lr = s->base.lr * out->lr_scale;
    out->eps = s->base.eps * mup_power(mup_exponents_of(s, p, MUP_EPS), r);
    out->weight_decay = /* gains do not decay */
        p->role == MUP_GAIN ? 0 : s->base.weight_decay * mup_power(mup_exponents_of(s, p, MUP_DECAY), r);
    out->theta = p->role == MUP_READOUT ? mup_power(s->rule->theta, r) : 1;
    return ST_OK;
}

/* Written so that a head_dim ratio of 1 gives 1/sqrt(head_dim) bit for bit. */
static double attn_scale(const mup_setup *s)
{
    const double d = s->size.head_dim;
    const mup_attention how = s->opt.attention == MUP_ATTN_RULE ? s->rule->attention : s->opt.attention;
    if (how == MUP_ATTN_INVERSE) return s->base.attn_mult / d;
    return 1 / sqrt(d) / (how == MUP_ATTN_ALIGNED ? sqrt(ratio(d, s->base_size.head_dim)) : 1) * s->base.attn_mult;
}

status mup_apply_model(mup_model *out, const mup_setup *s, err *e)
{
    const mup_ratios r = mup_ratios_of(s, NULL);
    status st = check_ratios(r, s->rule->name, e);
    if (!st) st = check_ratio(ratio(s->size.head_dim, s->base_size.head_dim), "head_dim", s->rule->name, e);
    if (st) return st;
    mup_exponents branch = s->rule->residual;
    branch.depth += branch.alpha * mup_alpha_of(s);
    out->embed_mult = s->base.embed_mult;
    out->attn_scale = attn_scale(s);
    out->residual_mult = mup_power(branch, r) * s->base.residual_mult;
    out->logit_mult = s->base.logit_mult * mup_power(s->rule->tensor[MUP_READOUT][MUP_MULT], r);
    return ST_OK;
}

status mup_apply_beta(double *out, const mup_setup *s, double beta, const char *key, err *e)
{
    const mup_ratios r = mup_ratios_of(s, NULL);
    const double factor = mup_power(s->rule->beta, r), x = factor == 1 ? beta : 1 - (1 - beta) * factor;
    if (!(x >= 0))
        return err_set(e, ST_INPUT,
                       "%s: %s makes 1 - %s %g times the base model's, and %s %g, below 0; use a smaller batch, more "
                       "tokens or a larger %s",
                       key, s->rule->name, key, factor, key, x, key);
    *out = x;
    return ST_OK;
}

status mup_check(const mup_setup *s, err *e)
{
    const mup_rule *r = s->rule;
    const double m = ratio(s->size.width, s->base_size.width), deep = ratio(s->size.depth, s->base_size.depth);
    const bool zero_readout = s->opt.zero == MUP_ZERO_READOUT || s->opt.zero == MUP_ZERO_BOTH;
    if (s->tied && r->not_tied)
        return err_set(e, ST_INPUT, "tied_head: true is impossible with parametrisation %s: %s; use mup or completep",
                       r->name, r->not_tied);
    if (s->tied && zero_readout)
        return err_set(e, ST_INPUT,
                       "zero_init: %s would zero the embedding too, which is the readout (tied_head: true); use none%s",
                       mup_zero_words[s->opt.zero], s->opt.zero == MUP_ZERO_BOTH ? " or query" : "");
    if (r->needs_base && r->not_smaller && (m < 1 || deep < 1))
        return err_set(e, ST_INPUT, "%s: %g is below base_%s %g, and parametrisation %s forbids it: %s; use completep",
                       m < 1 ? "d_model" : "n_layer", m < 1 ? s->size.width : s->size.depth, m < 1 ? "width" : "depth",
                       m < 1 ? s->base_size.width : s->base_size.depth, r->name, r->not_smaller);
    if (s->opt.branch_init == MUP_BRANCH_GPT2 && (r->alpha > 0 || r->absolute))
        return err_set(e, ST_INPUT,
                       "branch_init: gpt2 divides by sqrt(2 n_layer) what parametrisation %s scales by depth already; "
                       "use plain", r->name);
    if (s->opt.embed_lr == MUP_EMBED_LR_SQRT && !r->absolute && !(s->base_size.width > 0))
        return err_set(e, ST_INPUT, "embed_lr_rule: sqrt scales from the base width; set base_width");
    return ST_OK;
}
