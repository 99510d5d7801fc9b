/* A line of muscale.mup-transfer/1. */
#include <math.h>

#include "fit/transfer.h"

static json_t *number(double x) { return isfinite(x) ? json_real(x) : json_null(); }
static json_t *pair(const double x[2])
{
    return isnan(x[0]) ? json_null() : json_pack("[o,o]", number(x[0]), number(x[1]));
}
static json_t *text(const char *s) { return *s ? json_string(s) : json_null(); }

static json_t *penalty_json(const transfer_penalty *p)
{
    return json_pack("{s:o, s:o, s:b, s:o}", "nats", number(p->nats), "ci95", pair(p->ci95), "diverges",
                     (int)isinf(p->nats), "why", text(p->why));
}

static json_t *rules_json(const transfer_result *r)
{
    static const char *const forms[TRANSFER_FORMS] = {"constant", "C", "N,D"};
    json_t *all = json_array();
    for (int k = 0; k < TRANSFER_FORMS; k++) {
        const transfer_rule *x = &r->rules[k];
        const double value[2] = {exp2(x->ci95[0]), exp2(x->ci95[1])};
        json_array_append_new(all,
                              json_pack("{s:s, s:s, s:I, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:I, s:o}", "form", forms[k],
                                        "text", x->text, "n_optima", (json_int_t)x->n_cells, "p", number(x->p), "q",
                                        number(x->q), "predicted", number(exp2(x->log2_x)), "ci95", pair(value),
                                        "error_octaves", number(x->error), "error_ci95", pair(x->error_ci95), "penalty",
                                        penalty_json(&x->penalty), "why", text(x->why), "n_left_out",
                                        (json_int_t)x->n_left_out, "left_out_octaves", number(x->left_out)));
    }
    return all;
}

/* Groups and trend are those of muscale.fit/1, method lr-optimum: what a figure draws. */
json_t *transfer_json(const transfer_result *r)
{
    const lr_trend *t = r->opt.trends;
    json_t *groups = lr_optimum_groups_json(&r->opt), *trend = lr_optimum_trend_json(&r->opt);
    for (size_t g = 0; g < r->opt.n_groups; g++) {
        json_t *o = json_array_get(groups, g);
        json_object_set_new(o, "edge", json_integer(r->opt.groups[g].edge));
        json_object_set_new(o, "N", number(r->opt.groups[g].N));
        json_object_set_new(o, "D", number(r->opt.groups[g].D));
        json_object_set_new(o, "penalty", penalty_json(&r->penalty[g]));
    }
    return json_pack("{s:s, s:o, s:o, s:o, s:o, s:o, s:o, s:o, s:o}", "verdict", transfer_word(r->verdict), "drift",
                     t->has_value ? number(t->p) : json_null(), "drift_ci95", t->has_ci ? pair(t->ci_p) : json_null(),
                     "drift_sd_noise", number(t->sd_noise), "drift_sd_grid", number(t->sd_grid),
                     "excluded_beyond", number(r->excluded_beyond), "groups", groups, "trend", trend, "rules",
                     rules_json(r));
}

json_t *transfer_contest_json(const transfer_contest *c, const transfer_result *r, const transfer_line *lines)
{
    if (!c->held) return json_null();
    json_t *side[2];
    for (int k = 0; k < 2; k++) {
        const transfer_rule *rule = &r[c->line[k]].rules[c->form[k]];
        side[k] = json_pack("{s:s, s:s, s:f, s:f, s:o}", "parametrisation", lines[c->line[k]].parametrisation, "text",
                            rule->text, "error_octaves", rule->error, "excess_nats", c->nats[k], "left_out_octaves",
                            number(rule->left_out));
    }
    return json_pack("{s:o, s:o, s:f, s:f}", "constant", side[0], "law", side[1], "share_constant_nearer", c->share,
                     "share_constant_cheaper", c->share_nats);
}
