/* The coordinate check passes what is right and fails what is wrong: every rule, and every bug that it was built to
 * find, planted between the rule and the bank. Small widths; the table at the usual ones is in doc/mup.md, 9. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sweeps/coord_check.h"

static trainer_config config_of(const char *const *pairs)
{
    static const char *const lines[][2] = {
        {"vocab", "64"}, {"d_model", "16"}, {"n_layer", "2"}, {"head_dim", "8"}, {"seq_len", "16"},
        {"base_width", "16"}, {"base_depth", "2"}, {"batch_tokens", "64"}, {"tokens", "640"}, {"val_tokens", "64"},
        {"base_batch_tokens", "64"}, {"base_tokens", "640"}, {"lr", "0.005"}, {"eps", "1e-12"},
    };
    trainer_config c;
    err e = {0};
    config_default(&c);
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
        cr_assert_eq(config_set(&c, lines[i][0], lines[i][1], "test", &e), ST_OK, "%s", e.msg);
    for (; pairs && *pairs; pairs += 2)
        cr_assert_eq(config_set(&c, pairs[0], pairs[1], "test", &e), ST_OK, "%s", e.msg);
    return c;
}
#define CONFIG(...) config_of((const char *const[]){__VA_ARGS__, NULL})

typedef void planted(void *, const trainer_config *, const shape_tensor *, size_t, mup_tensor *, mup_model *);
typedef enum sizes { WIDE, DEEP, WIDE_HEADS } sizes;
static const int64_t widths[] = {16, 32, 64, 128}, depths[] = {2, 4, 8, 16};

static coord_result *check(const trainer_config *c, sizes which, planted *bug)
{
    coord_result *r = NULL;
    err e = {0};
    coord_opts o = coord_opts_default();
    o.threads = 2;
    o.alter = bug;
    if (which == DEEP) o.depths = depths, o.n_depths = 4;
    else o.widths = widths, o.n_widths = 4;
    o.grow_head_dim = which == WIDE_HEADS;
    cr_assert_eq(coord_check(&r, c, &o, &e), ST_OK, "%s", e.msg);
    cr_assert_str_empty(r->diverged);
    return r;
}

static const coord_row *row(const coord_result *r, const char *place, mup_coord_quantity q)
{
    for (size_t i = 0; i < r->axes[0].n_rows; i++)
        if (!strcmp(r->axes[0].rows[i].place, place) && r->axes[0].rows[i].quantity == q) return &r->axes[0].rows[i];
    cr_assert_fail("no row %s %s", place, mup_coord_name(q));
    return NULL;
}

static void show(const coord_result *r)
{
    for (size_t i = 0; i < r->axes[0].n_rows; i++) {
        const coord_row *x = &r->axes[0].rows[i];
        if (x->verdict != MUP_COORD_PASS && x->verdict != MUP_COORD_SHOWN)
            fprintf(stderr, "    %-22s %-8s expected %+.2f, slope %+.2f [%+.2f, %+.2f]: %s\n", x->place,
                    mup_coord_name(x->quantity), x->bounds.expected, x->fit.slope, x->fit.lo, x->fit.hi,
                    mup_coord_word(x->verdict));
    }
}

static void passes(const char *what, trainer_config c, sizes which)
{
    coord_result *r = check(&c, which, NULL);
    if (r->verdict == MUP_COORD_FAIL) show(r);
    cr_expect_neq(r->verdict, MUP_COORD_FAIL, "%s fails", what);
    coord_result_free(r);
}

/* The whole fails, and by the row that the bug is known by. */
static void fails(const char *what, trainer_config c, sizes which, planted *bug, const char *place,
                  mup_coord_quantity q)
{
    coord_result *r = check(&c, which, bug);
    const coord_row *x = row(r, place, q);
    if (x->verdict != MUP_COORD_FAIL) show(r);
    cr_expect_eq(r->verdict, MUP_COORD_FAIL, "%s passes", what);
    cr_expect_eq(x->verdict, MUP_COORD_FAIL, "%s: %s %s has slope %g [%g, %g]", what, place, mup_coord_name(q),
                 x->fit.slope, x->fit.lo, x->fit.hi);
    coord_result_free(r);
}

Test(coord, rules_pass_over_width)
{
    passes("mup", CONFIG("parametrisation", "mup"), WIDE);
    passes("mup-table3", CONFIG("parametrisation", "mup-table3"), WIDE);
    passes("completep", CONFIG("parametrisation", "completep"), WIDE);
    passes("depth-mup", CONFIG("parametrisation", "depth-mup"), WIDE);
    passes("complete-dp", CONFIG("parametrisation", "complete-dp"), WIDE);
    passes("u-mup", CONFIG("parametrisation", "u-mup", "lr", "0.25"), WIDE);
}

Test(coord, options_pass_over_width)
{
    passes("tied", CONFIG("parametrisation", "mup", "tied_head", "true"), WIDE);
    passes("zero", CONFIG("parametrisation", "mup", "zero_init", "both"), WIDE);
    passes("gains", CONFIG("parametrisation", "mup", "norm_gain", "true", "qk_norm", "true", "activation", "swiglu"),
           WIDE);
    passes("eps", CONFIG("parametrisation", "mup", "eps", "1e-4"), WIDE);
    passes("decay", CONFIG("parametrisation", "mup", "lr", "1e-5", "weight_decay", "0.1"), WIDE);
    passes("heads grow", CONFIG("parametrisation", "mup"), WIDE_HEADS);
}

/* The last norm's gain has no slope that could be judged at narrow widths; those in blocks have one. */
Test(coord, the_last_gain_is_shown_not_judged)
{
    trainer_config c = CONFIG("parametrisation", "mup", "norm_gain", "true", "lr", "0.016", "seed", "11");
    coord_result *r = check(&c, WIDE, NULL);
    cr_expect_eq(row(r, "final.norm", MUP_COORD_DW_RMS)->verdict, MUP_COORD_SHOWN);
    cr_expect_eq(row(r, "blocks.1.ffn.norm", MUP_COORD_DW_RMS)->verdict, MUP_COORD_PASS);
    coord_result_free(r);
}

Test(coord, rules_pass_over_depth)
{
    passes("completep", CONFIG("parametrisation", "completep"), DEEP);
    passes("depth-mup", CONFIG("parametrisation", "depth-mup"), DEEP);
    passes("complete-dp", CONFIG("parametrisation", "complete-dp"), DEEP);
    passes("u-mup", CONFIG("parametrisation", "u-mup", "lr", "0.25"), DEEP);
}

/* --- bugs --------------------------------------------------------------------------------------------------------- */

#define BUG(name) \
    static void name(void *arg, const trainer_config *c, const shape_tensor *s, size_t n, mup_tensor *t, \
                     mup_model *model)
#define UNUSED() (void)arg, (void)c, (void)s, (void)n, (void)t, (void)model
static double m_of(const trainer_config *c) { return (double)c->shape.d_model / (double)c->base_width; }

BUG(readout_lr_too)
{
    UNUSED();
    for (size_t i = 0; i < n; i++) t[i].lr /= s[i].role == MUP_READOUT ? m_of(c) : 1;
}
BUG(readout_std_too)
{
    UNUSED();
    for (size_t i = 0; i < n; i++) t[i].init_std /= s[i].role == MUP_READOUT ? m_of(c) : 1;
}
BUG(readout_sqrt)
{
    UNUSED();
    model->logit_mult *= sqrt(m_of(c));
}
BUG(readout_lr_times_m)
{
    UNUSED();
    for (size_t i = 0; i < n; i++) t[i].lr *= s[i].role == MUP_READOUT ? m_of(c) : 1;
}
BUG(hidden_lr)
{
    UNUSED();
    for (size_t i = 0; i < n; i++) t[i].lr *= s[i].role == MUP_HIDDEN ? m_of(c) : 1;
}
BUG(hidden_lr_twice)
{
    UNUSED();
    for (size_t i = 0; i < n; i++) t[i].lr /= s[i].role == MUP_HIDDEN ? m_of(c) : 1;
}
BUG(hidden_std)
{
    UNUSED();
    for (size_t i = 0; i < n; i++) t[i].init_std *= s[i].role == MUP_HIDDEN ? sqrt(m_of(c)) : 1;
}
BUG(eps_constant)
{
    UNUSED();
    for (size_t i = 0; i < n; i++) t[i].eps = c->base.eps;
}
BUG(embedding_lr)
{
    UNUSED();
    for (size_t i = 0; i < n; i++) t[i].lr /= s[i].role == MUP_EMBEDDING ? m_of(c) : 1;
}
BUG(attention_sqrt)
{
    UNUSED();
    model->attn_scale = 1 / sqrt((double)c->shape.head_dim);
}
BUG(no_residual)
{
    UNUSED();
    model->residual_mult = 1;
}
BUG(one_tensor)
{
    UNUSED();
    for (size_t i = 0; i < n; i++) t[i].lr *= !strcmp(s[i].name, "blocks.1.ffn.out") ? m_of(c) : 1;
}

Test(coord, catches_a_wrong_readout)
{
    trainer_config c = CONFIG("parametrisation", "mup");
    fails("lr twice", c, WIDE, readout_lr_too, "logits", MUP_COORD_DU_H);
    fails("std twice", c, WIDE, readout_std_too, "logits", MUP_COORD_LOGITS);
    fails("1/sqrt(m)", c, WIDE, readout_sqrt, "logits", MUP_COORD_LOGITS);
    fails("lr m", c, WIDE, readout_lr_times_m, "logits", MUP_COORD_DU_H);
}

Test(coord, catches_wrong_hidden_matrices)
{
    trainer_config c = CONFIG("parametrisation", "mup");
    fails("lr", c, WIDE, hidden_lr, "blocks.1.attn.q", MUP_COORD_DW_NORM);
    fails("lr twice", c, WIDE, hidden_lr_twice, "blocks.1.ffn", MUP_COORD_DACT);
    fails("std", c, WIDE, hidden_std, "blocks.0.ffn", MUP_COORD_ACT);
    fails("one of them", c, WIDE, one_tensor, "blocks.1.ffn.out", MUP_COORD_DW_NORM);
}

Test(coord, catches_eps_and_embedding)
{
    trainer_config c = CONFIG("parametrisation", "mup");
    fails("embedding lr", c, WIDE, embedding_lr, "embed", MUP_COORD_DEMB);
    fails("eps", CONFIG("parametrisation", "mup", "eps", "1e-4"), WIDE, eps_constant, "blocks.0.attn.q", MUP_COORD_EPS);
}

Test(coord, catches_attention_and_depth)
{
    fails("1/sqrt(d)", CONFIG("parametrisation", "mup"), WIDE_HEADS, attention_sqrt, "blocks.1.attn", MUP_COORD_ATTN);
    fails("residual", CONFIG("parametrisation", "completep"), DEEP, no_residual, "stream", MUP_COORD_DACT);
}

/* The positive control: a check that cannot fail sp is none. */
Test(coord, sp_fails)
{
    fails("sp", CONFIG("parametrisation", "sp"), WIDE, NULL, "blocks.1.ffn", MUP_COORD_DACT);
    fails("sp, logits", CONFIG("parametrisation", "sp"), WIDE, NULL, "logits", MUP_COORD_DLOGITS);
    fails("no rule for depth", CONFIG("parametrisation", "mup"), DEEP, NULL, "stream", MUP_COORD_DACT);
}

/* What the figure draws is what the rows judge: the trace at t = 1 and after the last step, against rows that another
 * function measured. completep over depth: branches have a multiplier. */
Test(coord, the_trace_ends_where_the_rows_measure)
{
    static const struct { const char *place; mup_coord_quantity q; size_t trace; bool change; } all[] = {
        {"embed", MUP_COORD_ACT, COORD_TRACE_EMBED, false},        {"embed", MUP_COORD_DEMB, COORD_TRACE_EMBED, true},
        {"blocks.last.attn", MUP_COORD_ACT, COORD_TRACE_ATTN, false}, {"blocks.last.attn", MUP_COORD_DACT, COORD_TRACE_ATTN, true},
        {"blocks.last.ffn", MUP_COORD_ACT, COORD_TRACE_FFN, false}, {"blocks.last.ffn", MUP_COORD_DACT, COORD_TRACE_FFN, true},
        {"stream", MUP_COORD_ACT, COORD_TRACE_STREAM, false},      {"stream", MUP_COORD_DACT, COORD_TRACE_STREAM, true},
        {"logits", MUP_COORD_LOGITS, COORD_TRACE_LOGITS, false},   {"logits", MUP_COORD_DLOGITS, COORD_TRACE_LOGITS, true},
    };
    trainer_config c = CONFIG("parametrisation", "completep");
    coord_result *r = NULL, *plain = check(&c, DEEP, NULL);
    coord_opts o = coord_opts_default();
    err e = {0};
    o.threads = 2;
    o.depths = depths, o.n_depths = 4;
    o.trace = true;
    cr_assert_eq(coord_check(&r, &c, &o, &e), ST_OK, "%s", e.msg);
    cr_expect_null(plain->axes[0].trace[0].x, "nobody asked");
    const size_t per = r->axes[0].n_sizes * r->seeds;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        const coord_trace *t = &r->axes[0].trace[all[i].trace];
        const double *traced = all[i].change ? t->dx + (size_t)r->steps * per : t->x;
        const coord_row *x = row(r, all[i].place, all[i].q), *same = row(plain, all[i].place, all[i].q);
        for (size_t k = 0; k < per; k++) {
            cr_expect(fabs(traced[k] / x->y[k] - 1) < 1e-5, "%s %s: %g, %g", all[i].place, mup_coord_name(all[i].q), traced[k], x->y[k]);
            cr_expect_eq(x->y[k], same->y[k], "the trace changes the check");
            cr_expect_eq(t->dx[k], 0, "nothing has changed before the first step");
            cr_expect(!all[i].change || fabs(t->dx[per + k] / x->y[k] - 1) > 1e-3, "the first step is not the last");
        }
    }
    coord_result_free(r);
    coord_result_free(plain);
}

Test(coord, bad_sizes)
{
    coord_result *r = NULL;
    trainer_config c = CONFIG("parametrisation", "mup");
    coord_opts o = coord_opts_default();
    err e = {0};
    const int64_t two[] = {32, 64}, back[] = {64, 32, 128}, odd[] = {32, 44, 128}, near[] = {32, 48, 64};
    cr_expect_eq(coord_check(&r, &c, &o, &e), ST_INPUT);
    o.widths = two, o.n_widths = 2;
    cr_expect_eq(coord_check(&r, &c, &o, &e), ST_INPUT);
    o.widths = back, o.n_widths = 3;
    cr_expect_eq(coord_check(&r, &c, &o, &e), ST_INPUT);
    o.widths = odd;
    cr_expect_eq(coord_check(&r, &c, &o, &e), ST_INPUT);
    cr_expect(strstr(e.msg, "width 44"), "%s", e.msg);
    o.widths = near;
    cr_expect_eq(coord_check(&r, &c, &o, &e), ST_INPUT);
    cr_expect(strstr(e.msg, "factor of 4"), "%s", e.msg);
    o.widths = widths, o.seeds = 2;
    cr_expect_eq(coord_check(&r, &c, &o, &e), ST_INPUT);
    cr_expect_null(r);
}
