#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

#include "mup/mup.h"

static const mup_base base = {.lr = 2.385e-3, .eps = 1e-8, .weight_decay = 0.1, .embed_mult = 1, .logit_mult = 1};

static mup_tensor apply(const char *rule, mup_role role, double fan_in, double m)
{
    mup_tensor t = {0};
    err e = {0};
    mup_ratios r = {.fan_in = role == MUP_EMBEDDING || role == MUP_GAIN ? 1 : m, .width = m, .depth = 1, .head_dim = 1};
    cr_assert_eq(mup_apply_tensor(&t, mup_rule_find(rule), role, "t", fan_in, &base, &r, &e), ST_OK, "%s", e.msg);
    return t;
}

#define NEAR(a, b) cr_expect_lt(fabs((a) / (b)-1), 1e-14, "%s = %.17g, want %.17g", #a, (double)(a), (double)(b))

/* Table 8 of Yang et al. 2022 at m = 4, base fan_in 64. */
Test(mup, table8_row_by_row)
{
    mup_tensor h = apply("mup", MUP_HIDDEN, 256, 4), o = apply("mup", MUP_READOUT, 256, 4),
               i = apply("mup", MUP_EMBEDDING, 1, 4);
    NEAR(h.init_std, 1.0 / 16);
    NEAR(h.lr, base.lr / 4);
    NEAR(h.eps, base.eps / 4);
    NEAR(h.weight_decay, 0.4);
    NEAR(h.forward_mult, 1);
    NEAR(o.init_std, 1.0 / 8);
    NEAR(o.lr, base.lr);
    NEAR(o.eps, base.eps / 4);
    NEAR(o.weight_decay, 0.1);
    NEAR(o.forward_mult, 0.25);
    NEAR(i.init_std, 1);
    NEAR(i.lr, base.lr);
    NEAR(i.eps, base.eps / 4);
    NEAR(i.weight_decay, 0.1);
    NEAR(i.forward_mult, 1);
    /* lr * lambda, the rate of forgetting, is the same at every width */
    NEAR(h.lr * h.weight_decay, base.lr * base.weight_decay);
}

Test(mup, base_width_is_sp_bit_for_bit)
{
    static const mup_role roles[] = {MUP_EMBEDDING, MUP_HIDDEN, MUP_READOUT, MUP_GAIN};
    for (size_t k = 0; k < 4; k++) {
        mup_tensor a = apply("mup", roles[k], 96, 1), b = apply("sp", roles[k], 96, 1),
                   c = apply("mup", roles[k], 192, 2);
        cr_expect_eq(memcmp(&a, &b, sizeof a), 0, "role %zu", k);
        if (roles[k] != MUP_GAIN) cr_expect_neq(memcmp(&c, &b, sizeof c), 0, "m = 2 must differ, role %zu", k);
    }
    mup_model x, y, z;
    mup_ratios one = {1, 1, 1, 1}, two = {2, 2, 1, 1};
    cr_assert_eq(mup_apply_model(&x, mup_rule_find("mup"), 32, &base, &one, NULL), ST_OK);
    cr_assert_eq(mup_apply_model(&y, mup_rule_find("sp"), 32, &base, &one, NULL), ST_OK);
    cr_assert_eq(mup_apply_model(&z, mup_rule_find("mup"), 32, &base, &two, NULL), ST_OK);
    cr_expect_eq(memcmp(&x, &y, sizeof x), 0);
    NEAR(z.logit_mult, 0.5);
    NEAR(z.attn_scale, 1 / sqrt(32.0));
}

Test(mup, attention_scale_follows_head_dim)
{
    mup_model x;
    mup_ratios r = {.fan_in = 1, .width = 1, .depth = 1, .head_dim = 4};
    mup_apply_model(&x, mup_rule_find("mup"), 64, &base, &r, NULL);
    NEAR(x.attn_scale, 4.0 / 64); /* sqrt(16)/64 */
    mup_apply_model(&x, mup_rule_find("sp"), 64, &base, &r, NULL);
    NEAR(x.attn_scale, 1.0 / 8);
}

Test(mup, sp_does_not_scale)
{
    mup_tensor a = apply("sp", MUP_HIDDEN, 256, 4);
    NEAR(a.init_std, 1.0 / 16); NEAR(a.lr, base.lr); NEAR(a.eps, base.eps); NEAR(a.weight_decay, 0.1);
}

Test(mup, independent_decay_has_no_width_factor)
{
    mup_base b = base;
    mup_tensor t;
    mup_ratios r = {.fan_in = 4, .width = 4, .depth = 1, .head_dim = 1};
    b.decay_independent = true;
    mup_apply_tensor(&t, mup_rule_find("mup"), MUP_HIDDEN, "t", 256, &b, &r, NULL);
    NEAR(t.weight_decay, 0.1);
}

Test(mup, untagged_and_bad_ratios_are_errors)
{
    mup_tensor t;
    err e = {0};
    mup_ratios r = {1, 1, 1, 1}, bad = {.fan_in = 1, .width = 0, .depth = 1, .head_dim = 1};
    cr_expect_eq(mup_apply_tensor(&t, mup_rule_find("mup"), MUP_UNTAGGED, "blocks.0.x", 8, &base, &r, &e), ST_DOMAIN);
    cr_expect(strstr(e.msg, "blocks.0.x"), "%s", e.msg);
    cr_expect_eq(mup_apply_tensor(&t, mup_rule_find("mup"), MUP_HIDDEN, "w", 8, &base, &bad, &e), ST_DOMAIN);
    cr_expect_null(mup_rule_find("mupp"));
    cr_expect(mup_rule_needs_base(mup_rule_find("mup")));
    cr_expect_not(mup_rule_needs_base(mup_rule_find("sp")));
}

Test(mup, a_tied_embedding_starts_as_a_readout_needs)
{
    mup_base b = base;
    mup_tensor t;
    mup_ratios r = {.fan_in = 1, .width = 4, .depth = 1, .head_dim = 1};
    b.tied_width = 64;
    mup_apply_tensor(&t, mup_rule_find("mup"), MUP_EMBEDDING, "t", 1, &b, &r, NULL);
    NEAR(t.init_std, 1.0 / 8);
    b.embed_std = 0.02;
    mup_apply_tensor(&t, mup_rule_find("mup"), MUP_EMBEDDING, "t", 1, &b, &r, NULL);
    NEAR(t.init_std, 0.02);
}

/* The theta symmetry (facts, section 2) at the level of the table: Table 3 readout (std/m, lr/m, forward 1) is Table
 * 8's (std, lr, forward 1/m) with theta = m; the product of forward multiplier and std, and of multiplier and lr, must
 * agree. */
Test(mup, readout_is_not_scaled_twice)
{
    mup_tensor o = apply("mup", MUP_READOUT, 256, 4);
    NEAR(o.forward_mult * o.init_std, 1.0 / 8 / 4);
    NEAR(o.forward_mult * o.lr, base.lr / 4);
}

Test(mup, factors_as_text)
{
    static const struct { const char *rule; mup_role role; bool independent; const char *want; } rows[] = {
        {"mup", MUP_HIDDEN, false, "std m^-1/2, lr m^-1, eps m^-1, decay m"},
        {"mup", MUP_HIDDEN, true, "std m^-1/2, lr m^-1, eps m^-1"},
        {"mup", MUP_READOUT, false, "mult m^-1, eps m^-1"},
        {"mup", MUP_EMBEDDING, false, "eps m^-1"},
        {"sp", MUP_HIDDEN, false, ""},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char text[128];
        mup_factor_text(text, sizeof text, mup_rule_find(rows[i].rule), rows[i].role, rows[i].independent);
        cr_expect_str_eq(text, rows[i].want, "%s", text);
    }
}
