/* From a rule's exponents to numbers. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "mup/rules.h"

const char *mup_rule_name(const mup_rule *r) { return r->name; }
const char *mup_rule_source(const mup_rule *r) { return r->source; }
bool mup_rule_needs_base(const mup_rule *r) { return r->needs_base; }

const char *mup_role_name(mup_role r)
{
    static const char *const names[MUP_N_ROLES] = {"untagged", "embedding", "hidden", "readout", "gain"};
    return (unsigned)r < MUP_N_ROLES ? names[r] : "unknown";
}

static double factor(mup_exponents x, double m, double m_depth) { return pow(m, x.width) * pow(m_depth, x.depth); }

static status check_ratio(double x, const char *what, const char *tensor, err *e)
{
    if (isfinite(x) && x > 0) return ST_OK;
    return err_set(e, ST_DOMAIN, "%s: %s ratio to the base model is %g; it must be a positive number", tensor, what, x);
}

static double base_std(const mup_rule *rule, mup_role role, double fan_in, double m, const mup_base *base)
{
    if (role == MUP_GAIN) return 0; /* gains start at 1 and have no random part */
    if (role == MUP_EMBEDDING && base->embed_std > 0) return base->embed_std;
    if (role == MUP_EMBEDDING) return base->tied_width > 0 ? 1 / sqrt(base->tied_width) : 1;
    if (base->init_std > 0) return base->init_std;
    return 1 / sqrt(rule->init_by_fan_in ? fan_in : fan_in / m);
}

status mup_apply_tensor(mup_tensor *out, const mup_rule *rule, mup_role role, const char *name, double fan_in,
                        const mup_base *base, const mup_ratios *ratios, err *e)
{
    if (role <= MUP_UNTAGGED || role >= MUP_N_ROLES)
        return err_set(e, ST_DOMAIN,
                       "tensor %s has no role (embedding, hidden, readout or gain): a rule cannot be applied to it",
                       name);
    status s = check_ratio(ratios->width, "width", name, e);
    if (!s) s = check_ratio(ratios->fan_in, "fan-in", name, e);
    if (!s) s = check_ratio(ratios->depth, "depth", name, e);
    if (s) return s;
    bool matrix = role == MUP_HIDDEN || role == MUP_READOUT;
    if (matrix && !(fan_in > 0)) return err_set(e, ST_DOMAIN, "tensor %s: fan_in is %g", name, fan_in);
    double m = matrix ? ratios->fan_in : ratios->width;
    const mup_role_rule *r = &rule->tensor[role];
    out->init_std = base_std(rule, role, fan_in, m, base) * factor(r->init_std, m, ratios->depth);
    out->forward_mult = factor(r->forward, m, ratios->depth);
    if (role == MUP_READOUT)
        out->forward_mult *= base->logit_mult * factor(rule->logit_mult, ratios->width, ratios->depth);
    if (role == MUP_EMBEDDING) out->forward_mult *= base->embed_mult;
    out->lr_scale = factor(r->lr, m, ratios->depth);
    out->lr = base->lr * out->lr_scale;
    out->eps = base->eps * factor(r->eps, m, ratios->depth);
    /* The width factor keeps lr * lambda constant; the independent form has no lr in it to make up for. Gains do not
     * decay. */
    out->weight_decay = role == MUP_GAIN
                            ? 0
                            : base->weight_decay *
                                  (base->decay_independent ? 1 : factor(r->weight_decay, m, ratios->depth));
    return ST_OK;
}

status mup_apply_model(mup_model *out, const mup_rule *rule, double head_dim, const mup_base *base,
                       const mup_ratios *ratios, err *e)
{
    status s = check_ratio(ratios->width, "width", rule->name, e);
    if (!s) s = check_ratio(ratios->depth, "depth", rule->name, e);
    if (!s) s = check_ratio(ratios->head_dim, "head_dim", rule->name, e);
    if (s) return s;
    out->embed_mult = base->embed_mult;
    /* sqrt(base head_dim)/head_dim, written so that ratio 1 gives 1/sqrt(head_dim) bit for bit. */
    out->attn_scale = 1 / sqrt(head_dim) / (rule->attn_by_head_dim ? sqrt(ratios->head_dim) : 1);
    out->residual_mult = factor(rule->residual_mult, ratios->width, ratios->depth);
    out->logit_mult = base->logit_mult * factor(rule->logit_mult, ratios->width, ratios->depth);
    return ST_OK;
}

/* Appends ", lr m^-1 m_L^-1/2"; nothing when both exponents are 0. */
static void add_factor(char *out, size_t size, const char *what, mup_exponents x)
{
    const struct { const char *name; double power; } ratio[] = {{"m", x.width}, {"m_L", x.depth}};
    if (x.width == 0 && x.depth == 0) return;
    size_t n = strlen(out);
    snprintf(out + n, size - n, "%s%s", n ? ", " : "", what);
    for (size_t i = 0; i < 2; i++) {
        const double p = ratio[i].power;
        n = strlen(out);
        if (p == 1) snprintf(out + n, size - n, " %s", ratio[i].name);
        else if (fabs(p) == 0.5) snprintf(out + n, size - n, " %s^%s1/2", ratio[i].name, p < 0 ? "-" : "");
        else if (p != 0) snprintf(out + n, size - n, " %s^%g", ratio[i].name, p);
    }
}

void mup_factor_text(char *out, size_t n, const mup_rule *r, mup_role role, bool decay_independent)
{
    const mup_role_rule *t = &r->tensor[role];
    *out = 0;
    add_factor(out, n, "std", t->init_std);
    add_factor(out, n, "mult",
               role == MUP_READOUT
                   ? (mup_exponents){t->forward.width + r->logit_mult.width, t->forward.depth + r->logit_mult.depth}
                   : t->forward);
    add_factor(out, n, "lr", t->lr);
    add_factor(out, n, "eps", t->eps);
    if (!decay_independent && role != MUP_GAIN) add_factor(out, n, "decay", t->weight_decay);
}
