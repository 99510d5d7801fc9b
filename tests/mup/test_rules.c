/* Each rule against its row of its paper's table, and what must hold between rules. */
#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

#include "mup/mup.h"

/* Sizes with ratios that no wrong exponent can hide behind: m = 4 (MLP 6), m_L = 3, m_B = 2, m_D = 5. */
#define M 4.0
#define MF 6.0
#define ML 3.0
#define MB 2.0
#define MD 5.0
static const mup_base base = {.lr = 2.385e-3, .eps = 1.7e-8, .weight_decay = 0.13, .embed_mult = 1, .logit_mult = 1,
                              .attn_mult = 1, .residual_mult = 1, .residual_attn_ratio = 1};
static const mup_size big = {.width = 256, .depth = 6, .head_dim = 32, .d_ff = 1536, .seq_len = 128, .batch = 4096,
                             .tokens = 5e6},
                      small = {.width = 64, .depth = 2, .head_dim = 32, .d_ff = 256, .batch = 2048, .tokens = 1e6};

static mup_setup setup(const char *rule)
{
    return (mup_setup){.rule = mup_rule_find(rule), .base = base, .size = big, .base_size = small};
}

enum { EMBED, GAIN, Q, OUT, DOWN, FINAL, HEAD, N_PLACES };
static const mup_place places[N_PLACES] = {
    [EMBED] = {"embed", MUP_EMBEDDING, MUP_PART_OTHER, false, 1},
    [GAIN] = {"blocks.0.attn.norm", MUP_GAIN, MUP_PART_OTHER, true, 1},
    [Q] = {"blocks.0.attn.q", MUP_HIDDEN, MUP_QUERY, true, 256},
    [OUT] = {"blocks.0.attn.out", MUP_HIDDEN, MUP_ATTN_OUT, true, 256},
    [DOWN] = {"blocks.0.ffn.out", MUP_HIDDEN, MUP_FFN_OUT, true, 1536},
    [FINAL] = {"final.norm", MUP_GAIN, MUP_PART_OTHER, false, 1},
    [HEAD] = {"head", MUP_READOUT, MUP_PART_OTHER, false, 256},
};

static mup_tensor apply(const mup_setup *s, int place)
{
    mup_tensor t = {0};
    err e = {0};
    cr_assert_eq(mup_apply_tensor(&t, s, &places[place], &e), ST_OK, "%s", e.msg);
    return t;
}

static mup_model model(const mup_setup *s)
{
    mup_model x = {0};
    err e = {0};
    cr_assert_eq(mup_apply_model(&x, s, &e), ST_OK, "%s", e.msg);
    return x;
}

#define CLOSE(a, b, ...) cr_expect_lt(fabs((a) - (b)), 1e-14 * fabs(b) + 1e-300, __VA_ARGS__)
#define NEAR(a, b) CLOSE(a, b, "%s = %.17g, want %.17g", #a, (double)(a), (double)(b))

/* The consolidated table of the papers' tables (doc/mup.md), written as factors on the base values at the ratios above.
 * std: of hidden 1/sqrt(base fan_in), readout 1/8 (base fan_in 64), embedding 1. Decay is coupled. */
typedef struct row { const char *rule; int place; double std, mult, lr, eps, decay; } row;
#define S(m) (1 / sqrt(m))
static const row table[] = {
    /* sp: std 1/sqrt(own fan_in) is (1/sqrt(base fan_in)) / sqrt(m) */
    {"sp", EMBED, 1, 1, 1, 1, 1}, {"sp", Q, .5, 1, 1, 1, 1}, {"sp", DOWN, 1 / 2.449489742783178, 1, 1, 1, 1},
    {"sp", GAIN, 0, 1, 1, 1, 0}, {"sp", FINAL, 0, 1, 1, 1, 0}, {"sp", HEAD, .5, 1, 1, 1, 1},
    /* Yang et al. 2022, Table 8; eps by the gradients' size, decay lambda m on matrices */
    {"mup", EMBED, 1, 1, 1, 1 / M, 1}, {"mup", Q, .5, 1, 1 / M, 1 / M, M},
    {"mup", DOWN, 1 / 2.449489742783178, 1, 1 / MF, 1 / MF, MF}, {"mup", GAIN, 0, 1, 1, 1 / M, 0},
    {"mup", FINAL, 0, 1, 1, 1 / M, 0}, {"mup", HEAD, 1, 1 / M, 1, 1 / M, 1},
    /* Table 3 */
    {"mup-table3", EMBED, 1, 1, 1, 1 / M, 1}, {"mup-table3", Q, .5, 1, 1 / M, 1 / M, M},
    {"mup-table3", OUT, .5, 1, 1 / M, 1 / M, M}, {"mup-table3", GAIN, 0, 1, 1, 1 / M, 0},
    {"mup-table3", FINAL, 0, 1, 1, 1 / M, 0}, {"mup-table3", HEAD, 1 / M, 1, 1 / M, 1, M},
    /* Dey et al. 2025, Table 1, alpha = 1 */
    {"completep", EMBED, 1, 1, 1, 1 / M, 1}, {"completep", Q, .5, 1, 1 / M, 1 / (M * ML), M},
    {"completep", OUT, .5, 1, 1 / M, 1 / (M * ML), M}, {"completep", GAIN, 0, 1, 1, 1 / (M * ML), 0},
    {"completep", FINAL, 0, 1, 1, 1 / M, 0}, {"completep", HEAD, 1, 1 / M, 1, 1 / M, 1},
    /* alpha = 1/2 */
    {"depth-mup", EMBED, 1, 1, 1, 1 / M, 1}, {"depth-mup", Q, .5, 1, 1 / M / 1.7320508075688772, 1 / M / 1.7320508075688772, M},
    {"depth-mup", GAIN, 0, 1, 1 / 1.7320508075688772, 1 / M / 1.7320508075688772, 0},
    {"depth-mup", FINAL, 0, 1, 1, 1 / M, 0}, {"depth-mup", HEAD, 1, 1 / M, 1, 1 / M, 1},
    /* Mlodozeniec et al. 2025: sqrt(m_B/m_D) = sqrt(.4) on lr and lambda, its inverse on eps */
    {"complete-dp", EMBED, 1, 1, .6324555320336759, 1.5811388300841898 / M, .6324555320336759},
    {"complete-dp", Q, .5, 1, .6324555320336759 / M, 1.5811388300841898 / (M * ML), .6324555320336759 * M},
    {"complete-dp", GAIN, 0, 1, .6324555320336759, 1.5811388300841898 / (M * ML), 0},
    {"complete-dp", HEAD, 1 / M, 1, .6324555320336759 / M, 1.5811388300841898, .6324555320336759 * M},
};

Test(mup, every_row_of_the_papers_tables)
{
    static const double std_of[N_PLACES] = {[EMBED] = 1, [Q] = 1 / 8., [OUT] = 1 / 8., [DOWN] = 1 / 16., [HEAD] = 1 / 8.};
    for (size_t i = 0; i < sizeof table / sizeof *table; i++) {
        const row *r = &table[i];
        const mup_setup s = setup(r->rule);
        const mup_tensor t = apply(&s, r->place);
        const double want[] = {std_of[r->place] * r->std, r->mult, base.lr * r->lr, base.eps * r->eps,
                               base.weight_decay * r->decay},
                     got[] = {t.init_std, t.forward_mult, t.lr, t.eps, t.weight_decay};
        for (int q = 0; q < MUP_N_QUANTITIES; q++)
            CLOSE(got[q], want[q], "%s, %s, %s: %.17g, want %.17g", r->rule, places[r->place].name,
                  mup_quantity_name((mup_quantity)q), got[q], want[q]);
        CLOSE(t.lr_scale, r->lr, "%s, %s: lr_scale", r->rule, places[r->place].name);
    }
}

Test(mup, model_wide_multipliers)
{
    static const struct { const char *rule; double residual, logits; } rows[] = {
        {"sp", 1, 1}, {"mup", 1, 1 / M}, {"mup-table3", 1, 1}, {"completep", 1 / ML, 1 / M},
        {"depth-mup", 1 / 1.7320508075688772, 1 / M}, {"complete-dp", 1 / ML, 1},
        {"u-mup", 1 / 2.449489742783178, 1 / 256.}, /* 6 layers */
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const mup_setup s = setup(rows[i].rule);
        const mup_model x = model(&s);
        CLOSE(x.residual_mult, rows[i].residual, "%s: branches x %g", rows[i].rule, x.residual_mult);
        CLOSE(x.logit_mult, rows[i].logits, "%s: logits x %g", rows[i].rule, x.logit_mult);
        CLOSE(x.attn_scale, i < 6 ? 1 / sqrt(32.) : 1 / 32., "%s: attention x %g", rows[i].rule, x.attn_scale);
    }
}

/* u-muP has no base: its values are absolute. Blake et al. 2024, Table 2; the library's constants at sequence 128,
 * head_dim 32: attention's output std (ln T / T)^(1/2 (1 - a)), a = 1/129; gelu's std between 1/2 and
 * ((1 - 1/pi)/2)^1/2, 4 : 1. */
Test(mup, u_mup_row_by_row)
{
    mup_setup s = setup("u-mup");
    const double scale = 1 / pow(log(128) / 128, 0.5 * 128 / 129), act = pow(2, .2) * pow(2 / (1 - 1 / M_PI), .4);
    const struct { int place; double mult, lr; } rows[] = {
        {EMBED, 1, 1 / 16.}, {Q, 1 / 16., 1 / 16. / sqrt(6)}, {OUT, scale / 16, 1 / 16. / sqrt(6)},
        {DOWN, act / sqrt(1536), 1 / sqrt(1536 * 6.)}, {GAIN, 1, 1 / sqrt(6)}, {FINAL, 1, 1}, {HEAD, 1 / 256., 1},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        const mup_tensor t = apply(&s, rows[i].place);
        const char *name = places[rows[i].place].name;
        CLOSE(t.forward_mult, rows[i].mult, "%s: mult %.17g, want %.17g", name, t.forward_mult, rows[i].mult);
        CLOSE(t.lr, base.lr * rows[i].lr, "%s: lr %.17g", name, t.lr);
        cr_expect_eq(t.init_std, places[rows[i].place].role == MUP_GAIN ? 0 : 1, "%s: std %g", name, t.init_std);
        cr_expect_eq(t.eps, base.eps, "%s", name);
    }
    s.swiglu = true; /* sqrt(2 sqrt 2): half way between 2 and sqrt 2 */
    NEAR(apply(&s, DOWN).forward_mult, pow(2, .75) / sqrt(1536));
    s.base_size.width = 1; /* whatever a base would say */
    NEAR(apply(&s, HEAD).forward_mult, 1 / 256.);
}

/* (x + tau f)/sqrt(1 + tau^2) over 2L branches, by the library's recursion, against y + c f. Branch i of the first form has
 * in the end the weight tau_i prod_{j >= i} 1/sqrt(1 + tau_j^2), the embedding prod 1/sqrt(1 + tau_j^2). */
static void telescope(double r, double rho, int layers)
{
    double x[64] = {0}, embed = 1;
    const double mlp = r * sqrt(2 / (1 + rho * rho)), attn = rho * mlp;
    for (int i = 0; i < 2 * layers; i++) {
        const double n_attn = (i + 1) / 2, n_mlp = i / 2; /* branches before i */
        const double tau = (i % 2 ? mlp : attn) / sqrt(layers + n_attn * attn * attn + n_mlp * mlp * mlp);
        x[i] = tau;
        embed /= sqrt(1 + tau * tau);
        for (int j = 0; j <= i; j++) x[j] /= sqrt(1 + tau * tau);
    }
    mup_setup s = setup("u-mup");
    s.size.depth = layers;
    s.base.residual_mult = r;
    s.base.residual_attn_ratio = rho;
    mup_setup plain = s;
    plain.base.residual_attn_ratio = 1;
    for (int i = 0; i < 2 * layers; i++) {
        const int place = i % 2 ? DOWN : OUT;
        const double c = model(&s).residual_mult * apply(&s, place).forward_mult / apply(&plain, place).forward_mult;
        cr_expect_lt(fabs(c / (x[i] / embed) - 1), 1e-13, "branch %d of %d: %.15g, want %.15g", i, layers, c, x[i] / embed);
    }
}
Test(mup, u_mups_residual_form_is_one_multiplier_per_kind_of_branch)
{
    telescope(1, 1, 6);
    telescope(0.7, 1, 3);
    telescope(1.9, 0.25, 5);
    telescope(2, 3, 30);
}

/* Every rule that has a base is that base at ratio 1: equal bits, so that one campaign can hold both. */
Test(mup, at_the_base_every_rule_is_sp_bit_for_bit)
{
    size_t aligned = 0;
    for (size_t k = 0; k < mup_rule_count(); k++) {
        const char *name = mup_rule_name(mup_rule_at(k));
        mup_setup s = setup(name), sp = setup("sp"), twice = setup(name);
        s.size = sp.size = s.base_size = sp.base_size = twice.base_size = big;
        twice.size = (mup_size){512, 12, 64, 3072, 128, 8192, 2e7};
        const mup_model a = model(&s), b = model(&sp), c = model(&twice);
        double beta;
        cr_assert_eq(mup_apply_beta(&beta, &s, 0.95, "beta2", NULL), ST_OK);
        cr_expect_eq(beta, 0.95);
        if (!mup_rule_needs_base(mup_rule_at(k))) continue;
        aligned++;
        cr_expect_eq(memcmp(&a, &b, sizeof a), 0, "%s", name);
        cr_expect_neq(memcmp(&a, &c, sizeof a), 0, "%s must depend on the ratios", name);
        for (int p = 0; p < N_PLACES; p++) {
            const mup_tensor x = apply(&s, p), y = apply(&sp, p), z = apply(&twice, p);
            cr_expect_eq(memcmp(&x, &y, sizeof x), 0, "%s, %s", name, places[p].name);
            cr_expect_neq(memcmp(&x, &z, sizeof x), 0, "%s, %s must depend on the ratios", name, places[p].name);
        }
    }
    cr_expect_eq(aligned, 5, "all but sp and u-mup");
    /* The two exceptions. */
    mup_setup u = setup("u-mup"), i = setup("mup"), sp = setup("sp");
    u.size = u.base_size = i.size = i.base_size = big;
    i.opt.attention = MUP_ATTN_INVERSE;
    cr_expect_neq(apply(&u, Q).init_std, apply(&sp, Q).init_std);
    cr_expect_neq(model(&i).attn_scale, model(&sp).attn_scale, "1/head_dim is not base-aligned");
}

/* theta symmetry (doc/mup.md): what a tensor's step does, by products that no form may change. */
static void same_function(const char *a, const char *b, double theta)
{
    mup_setup s = setup(a), t = setup(b);
    s.size.batch = t.size.batch = s.base_size.batch = t.base_size.batch = 1024;
    s.size.tokens = t.size.tokens = s.base_size.tokens = t.base_size.tokens = 1e6;
    for (int p = 0; p < N_PLACES; p++) {
        const mup_tensor x = apply(&s, p), y = apply(&t, p);
        const double mx = p == HEAD ? model(&s).logit_mult : x.forward_mult,
                     my = p == HEAD ? model(&t).logit_mult : y.forward_mult;
        const char *name = places[p].name;
        CLOSE(my * y.init_std, mx * x.init_std, "%s, %s: std", b, name);
        CLOSE(my * y.lr, mx * x.lr, "%s, %s: lr", b, name);
        CLOSE(y.lr * y.weight_decay, x.lr * x.weight_decay, "%s, %s: decay", b, name);
        CLOSE(y.eps / mup_theta(&y), x.eps / mup_theta(&x), "%s, %s: eps", b, name);
        cr_expect_eq(mup_theta(&y), p == HEAD ? theta : 1, "%s, %s: theta %g", b, name, mup_theta(&y));
    }
    const mup_model x = model(&s), y = model(&t);
    cr_expect_eq(x.residual_mult, y.residual_mult);
    cr_expect_eq(x.attn_scale, y.attn_scale);
}
Test(mup, table3_is_table8_with_theta_m) { same_function("mup", "mup-table3", 4); }
Test(mup, complete_dp_is_completep_at_equal_batch_and_tokens) { same_function("completep", "complete-dp", 4); }

Test(mup, readout_is_not_scaled_twice)
{
    const mup_setup s = setup("mup");
    const mup_tensor o = apply(&s, HEAD);
    NEAR(o.forward_mult * o.init_std, 1.0 / 8 / 4);
    NEAR(o.forward_mult * o.lr, base.lr / 4);
}

Test(mup, an_mlp_of_another_proportion_scales_by_its_own_fan_in)
{
    mup_setup s = setup("mup");
    NEAR(apply(&s, DOWN).lr, base.lr / MF);
    NEAR(apply(&s, OUT).lr, base.lr / M);
    s.base_size.d_ff = 0; /* the same proportion: one ratio for all */
    NEAR(apply(&s, DOWN).lr, base.lr / M);
    NEAR(apply(&s, DOWN).init_std, 1 / sqrt(1536));
}

Test(mup, attention_scale_follows_head_dim_and_its_option)
{
    mup_setup s = setup("mup");
    s.size.head_dim = 64;
    s.base_size.head_dim = 16;
    NEAR(model(&s).attn_scale, 4.0 / 64); /* sqrt(16)/64 */
    s.rule = mup_rule_find("sp");
    NEAR(model(&s).attn_scale, 1.0 / 8);
    s.opt.attention = MUP_ATTN_ALIGNED;
    NEAR(model(&s).attn_scale, 4.0 / 64);
    s.opt.attention = MUP_ATTN_INVERSE;
    s.base.attn_mult = 3;
    NEAR(model(&s).attn_scale, 3.0 / 64);
    s.opt.attention = MUP_ATTN_SQRT;
    NEAR(model(&s).attn_scale, 3.0 / 8);
}

Test(mup, depth_alpha_moves_a_rule_along_the_family)
{
    mup_setup s = setup("depth-mup"), c = setup("completep");
    s.opt.alpha = 1;
    for (int p = 0; p < N_PLACES; p++) {
        const mup_tensor x = apply(&s, p), y = apply(&c, p);
        cr_expect_eq(memcmp(&x, &y, sizeof x), 0, "%s", places[p].name);
    }
    c.opt.alpha = 0.75;
    NEAR(model(&c).residual_mult, pow(3, -.75));
    NEAR(apply(&c, Q).lr, base.lr / 4 * pow(3, -.25));
    NEAR(apply(&c, Q).eps, base.eps / 4 * pow(3, -.75));
}

Test(mup, eps_rules)
{
    /* embed, gain, q, final, head: times 1/m, times 1/m_L */
    static const struct { const char *rule; mup_eps_rule r; double want[5]; } rows[] = {
        {"completep", MUP_EPS_EXACT, {1 / M, 1 / M / ML, 1 / M / ML, 1 / M, 1 / M}},
        {"completep", MUP_EPS_BLOCKS, {1, 1 / M / ML, 1 / M / ML, 1, 1}},
        {"completep", MUP_EPS_HIDDEN, {1, 1, 1 / M, 1, 1}},
        {"completep", MUP_EPS_NONE, {1, 1, 1, 1, 1}},
        {"mup", MUP_EPS_BLOCKS, {1, 1 / M, 1 / M, 1, 1}},
        {"mup", MUP_EPS_HIDDEN, {1, 1, 1 / M, 1, 1}},
        {"mup-table3", MUP_EPS_EXACT, {1 / M, 1 / M, 1 / M, 1 / M, 1}},
        {"sp", MUP_EPS_HIDDEN, {1, 1, 1, 1, 1}},
        {"u-mup", MUP_EPS_HIDDEN, {1, 1, 1, 1, 1}},
        {"complete-dp", MUP_EPS_NONE,
         {1.5811388300841898, 1.5811388300841898, 1.5811388300841898, 1.5811388300841898, 1.5811388300841898}},
    };
    static const int where[] = {EMBED, GAIN, Q, FINAL, HEAD};
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++)
        for (int k = 0; k < 5; k++) {
            mup_setup s = setup(rows[i].rule);
            s.opt.eps = rows[i].r;
            CLOSE(apply(&s, where[k]).eps, base.eps * rows[i].want[k], "%s %s, %s: %g", rows[i].rule,
                  mup_eps_words[rows[i].r], places[where[k]].name, apply(&s, where[k]).eps);
        }
}

Test(mup, decay_conventions)
{
    mup_setup s = setup("mup");
    /* coupled lambda m: lr * lambda, the rate of forgetting, is the same at every width */
    NEAR(apply(&s, Q).lr * apply(&s, Q).weight_decay, base.lr * base.weight_decay);
    s.opt.decay = MUP_DECAY_SQRT_M;
    NEAR(apply(&s, Q).weight_decay, base.weight_decay * 2);
    s.opt.decay = MUP_DECAY_CONSTANT;
    NEAR(apply(&s, Q).weight_decay, base.weight_decay);
    for (int d = 0; d < 3; d++) {
        s.opt.decay = (mup_decay_rule)d;
        s.base.decay_independent = true;
        NEAR(apply(&s, Q).weight_decay, base.weight_decay);
        NEAR(apply(&s, HEAD).weight_decay, base.weight_decay);
        cr_expect_eq(apply(&s, GAIN).weight_decay, 0);
    }
    s = setup("complete-dp"); /* lr and lambda both sqrt(m_B/m_D): so much of a weight is lost per step */
    s.base.decay_independent = true;
    NEAR(apply(&s, Q).weight_decay, base.weight_decay * 0.4);
    mup_setup c = setup("complete-dp");
    NEAR(apply(&c, Q).lr * apply(&c, Q).weight_decay, base.lr * base.weight_decay * 0.4);
}

Test(mup, embedding_learning_rate)
{
    mup_setup s = setup("mup");
    s.opt.embed_lr = MUP_EMBED_LR_SQRT;
    NEAR(apply(&s, EMBED).lr, base.lr / 2);
    NEAR(apply(&s, Q).lr, base.lr / 4);
    s = setup("u-mup");
    s.opt.embed_lr = MUP_EMBED_LR_CONSTANT;
    NEAR(apply(&s, EMBED).lr, base.lr);
}

Test(mup, initial_zeros_and_gpt2s_branches)
{
    mup_setup s = setup("mup");
    for (int z = 0; z < 4; z++) {
        s.opt.zero = (mup_zero)z;
        cr_expect_eq(apply(&s, HEAD).init_std == 0, z == MUP_ZERO_READOUT || z == MUP_ZERO_BOTH);
        cr_expect_eq(apply(&s, Q).init_std == 0, z == MUP_ZERO_QUERY || z == MUP_ZERO_BOTH);
        cr_expect_neq(apply(&s, OUT).init_std, 0);
        cr_expect_neq(apply(&s, EMBED).init_std, 0);
        NEAR(apply(&s, HEAD).lr, base.lr); /* it learns all the same */
    }
    s.opt.branch_init = MUP_BRANCH_GPT2;
    NEAR(apply(&s, OUT).init_std, 1. / 16 / sqrt(12));
    NEAR(apply(&s, DOWN).init_std, 1 / sqrt(1536) / sqrt(12));
    s.opt.zero = MUP_ZERO_NONE;
    NEAR(apply(&s, Q).init_std, 1. / 16);
}

Test(mup, batch_and_horizon_move_the_betas)
{
    mup_setup s = setup("complete-dp");
    double beta = 0;
    err e = {0};
    cr_assert_eq(mup_apply_beta(&beta, &s, 0.95, "beta2", &e), ST_OK);
    NEAR(beta, 1 - 0.05 * 0.4);
    s.size.tokens = 1e5; /* m_B/m_D = 20 */
    cr_expect_eq(mup_apply_beta(&beta, &s, 0.9, "beta1", &e), ST_INPUT);
    cr_expect(strstr(e.msg, "beta1") && strstr(e.msg, "below 0"), "%s", e.msg);
    s.rule = mup_rule_find("completep");
    cr_assert_eq(mup_apply_beta(&beta, &s, 0.9, "beta1", &e), ST_OK);
    cr_expect_eq(beta, 0.9);
}

Test(mup, untagged_and_bad_ratios_are_errors)
{
    mup_tensor t;
    err e = {0};
    mup_setup s = setup("mup");
    const mup_place untagged = {.name = "blocks.0.x", .fan_in = 8};
    cr_expect_eq(mup_apply_tensor(&t, &s, &untagged, &e), ST_DOMAIN);
    cr_expect(strstr(e.msg, "blocks.0.x"), "%s", e.msg);
    s.size.width = 0;
    cr_expect_eq(mup_apply_tensor(&t, &s, &places[Q], &e), ST_DOMAIN);
    cr_expect_null(mup_rule_find("mupp"));
    for (size_t k = 0; k < mup_rule_count(); k++) {
        const char *name = mup_rule_name(mup_rule_at(k));
        cr_expect_eq(mup_rule_needs_base(mup_rule_at(k)), strcmp(name, "sp") && strcmp(name, "u-mup"), "%s", name);
    }
}

Test(mup, what_a_rule_forbids)
{
    static const struct { const char *rule; bool tied, down, shallow; mup_zero zero; mup_branch_init branch; const char *part; } rows[] = {
        {"mup-table3", .tied = true, .part = "Table 3"},
        {"complete-dp", .tied = true, .part = "Complete(d)P"},
        {"u-mup", .tied = true, .part = "learning rate"},
        {"complete-dp", .down = true, .part = "d_model: 32 is below base_width 64"},
        {"complete-dp", .shallow = true, .part = "n_layer: 1 is below base_depth 2"},
        {"mup", .tied = true, .zero = MUP_ZERO_READOUT, .part = "zero_init: readout"},
        {"mup", .tied = true, .zero = MUP_ZERO_BOTH, .part = "or query"},
        {"completep", .branch = MUP_BRANCH_GPT2, .part = "branch_init"},
        {"depth-mup", .branch = MUP_BRANCH_GPT2, .part = "branch_init"},
        {"u-mup", .branch = MUP_BRANCH_GPT2, .part = "branch_init"},
        {"mup", .tied = true, .zero = MUP_ZERO_QUERY}, {"sp", .tied = true}, {"completep", .tied = true, .down = true},
        {"mup", .branch = MUP_BRANCH_GPT2}, {"mup", .down = true}, {"complete-dp", .down = false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        mup_setup s = setup(rows[i].rule);
        err e = {0};
        s.tied = rows[i].tied;
        s.opt.zero = rows[i].zero;
        s.opt.branch_init = rows[i].branch;
        if (rows[i].down) s.size.width = 32;
        if (rows[i].shallow) s.size.depth = 1;
        cr_expect_eq(mup_check(&s, &e), rows[i].part ? ST_INPUT : ST_OK, "row %zu: %s", i, e.msg);
        if (rows[i].part) cr_expect(strstr(e.msg, rows[i].part) && strchr(e.msg, ';'), "row %zu: %s", i, e.msg);
    }
}

Test(mup, a_tied_embedding_starts_as_a_readout_needs)
{
    mup_setup s = setup("mup");
    s.tied = true;
    NEAR(apply(&s, EMBED).init_std, 1.0 / 8);
    s.base.embed_std = 0.02;
    NEAR(apply(&s, EMBED).init_std, 0.02);
    s = setup("sp");
    s.tied = true;
    NEAR(apply(&s, EMBED).init_std, 1.0 / 16);
}

Test(mup, factors_as_text)
{
    static const struct { const char *rule; int place; const char *want; } rows[] = {
        {"mup", Q, "std m^-1/2, lr m^-1, eps m^-1, decay m"},
        {"mup", DOWN, "std m_ffn^-1/2, lr m_ffn^-1, eps m_ffn^-1, decay m_ffn"},
        {"mup", HEAD, "mult m^-1, eps m^-1"},
        {"mup", EMBED, "eps m^-1"},
        {"sp", Q, ""},
        {"mup-table3", HEAD, "std m^-1, lr m^-1, decay m"},
        {"completep", Q, "std m^-1/2, lr m^-1, eps m^-1 m_L^-1, decay m"},
        {"depth-mup", GAIN, "lr m_L^-1/2, eps m^-1 m_L^-1/2"},
        {"depth-mup", FINAL, "eps m^-1"},
        {"u-mup", Q, "mult fan_in^-1/2, lr fan_in^-1/2 n_layer^-1/2"},
        {"u-mup", OUT, "mult fan_in^-1/2 * 5.071, lr fan_in^-1/2 n_layer^-1/2"},
        {"u-mup", EMBED, "lr d_model^-1/2"},
        {"complete-dp", GAIN, "lr m_B^1/2 m_D^-1/2, eps m^-1 m_L^-1 m_B^-1/2 m_D^1/2"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        char text[256];
        const mup_setup s = setup(rows[i].rule);
        mup_factor_text(text, sizeof text, &s, &places[rows[i].place]);
        cr_expect_str_eq(text, rows[i].want, "%s: %s", rows[i].rule, text);
    }
}

/* What is printed is what is applied: base value x factor, for every rule, place, quantity and option; with a source. */
Test(mup, printed_factors_are_the_applied_ones)
{
    size_t seen = 0;
    for (size_t k = 0; k < mup_rule_count() * 4 * 3; k++)
        for (int p = 0; p < N_PLACES; p++) {
            mup_setup s = setup(mup_rule_name(mup_rule_at(k / 12)));
            s.opt.eps = (mup_eps_rule)(k % 4);
            s.opt.decay = (mup_decay_rule)(k / 4 % 3);
            s.opt.embed_lr = (mup_embed_lr)(k / 4 % 3);
            s.opt.zero = (mup_zero)(k % 4);
            s.base.decay_independent = k % 2;
            s.base.residual_attn_ratio = 1.5;
            s.opt.branch_init = !strcmp(mup_rule_name(s.rule), "mup");
            const mup_tensor t = apply(&s, p);
            const double start[] = {NAN, 1, base.lr, base.eps, places[p].role == MUP_GAIN ? 0 : base.weight_decay},
                         got[] = {t.init_std, t.forward_mult, t.lr, t.eps, t.weight_decay};
            for (int q = 0; q < MUP_N_QUANTITIES; q++) {
                mup_factor f;
                mup_factor_of(&f, &s, &places[p], (mup_quantity)q);
                cr_expect(f.source && *f.source);
                cr_expect(strlen(f.text) + 1 < sizeof f.text, "cut: %s", f.text);
                if (!*f.text) cr_expect_eq(f.value, 1);
                if (q != MUP_STD)
                    CLOSE(got[q], start[q] * f.value, "%s, %s, %s: %g is not %g x %s", mup_rule_name(s.rule),
                          places[p].name, mup_quantity_name((mup_quantity)q), got[q], start[q], f.text);
                seen += *f.text != 0;
            }
        }
    cr_expect_gt(seen, 1000);
}
