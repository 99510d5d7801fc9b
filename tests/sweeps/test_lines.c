/* sweeps/lines.c: which runs of a plan are a line, whatever blocks they come from; what may not differ along one. */
#include "fixture.h"
#include "sweeps/lines.h"

typedef struct world {
    fixture f;
    sweep_spec s;
    sweep_plan p;
    sweep_lines l;
} world;

#define BASE                                                                                           \
    "base: {data: '@', data_dtype: u8, vocab: 16, d_model: 16, n_layer: 1, head_dim: 8, seq_len: 16, " \
    "batch_tokens: 64, tokens: 1280, val_tokens: 128, parametrisation: mup, base_width: 16, base_depth: 1}\n"

static status find(world *w, const char *text, err *e)
{
    sweep_plan_opts o = sweep_plan_opts_default();
    cr_assert_eq(fixture_spec(&w->s, &w->f, text, e), ST_OK, "%s", e->msg);
    cr_assert_eq(sweep_plan_make(&w->p, &w->s, &o, e), ST_OK, "%s", w->p.n_bad ? w->p.bad[0] : e->msg);
    return sweep_lines_find(&w->l, &w->p, e);
}

static void release(world *w)
{
    sweep_lines_free(&w->l);
    sweep_plan_free(&w->p);
    sweep_spec_free(&w->s);
}

Test(lines, two_rules_over_two_axes)
{
    world w;
    err e = {0};
    fixture_make(&w.f, 4000, 16);
    /* the cell d_model 16, n_layer 1 of mup stands in two blocks and is of both lines */
    status s =
        find(&w,
             BASE "seeds: [0, 1]\nsweeps:\n"
                  "  - {name: a, grid: {d_model: [16, 32, 64], lr: [1e-3, 2e-3, 4e-3]}}\n"
                  "  - {name: b, base: {parametrisation: sp}, grid: {d_model: [16, 32, 64], lr: [1e-3, 2e-3, 4e-3]}}\n"
                  "  - {name: c, grid: {n_layer: [1, 2], lr: [1e-3, 2e-3, 4e-3, 8e-3]}}\n"
                  "  - {name: d, grid: {d_model: [48], lr: [1e-3]}}\n",
             &e);
    cr_assert_eq(s, ST_OK, "%s", e.msg);
    cr_assert_eq(w.l.n, 3);
    cr_expect_eq(w.l.n_panels, 2);
    const sweep_line *mup = &w.l.lines[0], *sp = &w.l.lines[1], *deep = &w.l.lines[2];
    cr_expect(mup->axis == SWEEP_WIDTH && !strcmp(mup->parametrisation, "mup") && mup->n_sizes == 3);
    cr_expect_eq(mup->n_points, 3 * 3 * 2 + 2, "lr 8e-3 of block c belongs to width 16 too: %zu", mup->n_points);
    cr_expect(sp->panel == mup->panel && sp->bundle != mup->bundle && sp->n_points == 18);
    cr_expect(deep->axis == SWEEP_DEPTH && deep->n_points == 16 && deep->panel != mup->panel);
    cr_expect_str_eq(mup->x, "lr");
    cr_expect_str_eq(deep->fixed, "d_model 16, tokens 1280");
    cr_expect_str_eq(deep->note, "", "that mup has no rule for depth is the question: %s", deep->note);
    cr_expect_eq(w.l.n_left, 2, "width 48 has one learning rate: %zu", w.l.n_left);
    for (size_t i = 1; i < mup->n_points; i++)
        cr_expect(mup->points[i - 1].size < mup->points[i].size || mup->points[i - 1].x <= mup->points[i].x);
    release(&w);
    fixture_remove(&w.f);
}

Test(lines, other_hyperparameters_tokens_and_bundles)
{
    world w;
    err e = {0};
    fixture_make(&w.f, 4000, 16);
    cr_assert_eq(
        find(&w, BASE "grid: {d_model: [16, 32], tokens: [1280, 2560], weight_decay: [1e-4, 1e-3, 1e-2]}\n", &e), ST_OK,
        "%s", e.msg);
    cr_assert_eq(w.l.n, 4, "two over width, two over tokens: %zu", w.l.n);
    for (size_t i = 0; i < w.l.n; i++) cr_expect_str_eq(w.l.lines[i].x, "weight_decay");
    cr_expect(w.l.lines[0].axis == SWEEP_WIDTH && w.l.lines[0].bundle == w.l.lines[1].bundle);
    cr_expect(w.l.lines[2].axis == SWEEP_TOKENS && w.l.lines[2].bundle != w.l.lines[3].bundle);
    release(&w);
    cr_assert_eq(find(&w, BASE "grid: {d_model: [16, 32], weight_decay: [0, 1e-4, 1e-3, 1e-2]}\n", &e), ST_OK, "%s",
                 e.msg);
    cr_expect(w.l.n == 1 && w.l.lines[0].n_points == 6 && w.l.n_left == 2, "no decay is on no logarithmic grid");
    release(&w);
    fixture_remove(&w.f);
}

Test(lines, what_changes_with_the_width_is_said)
{
    world w;
    err e = {0};
    fixture_make(&w.f, 4000, 16);
    cr_assert_eq(
        find(&w, BASE "zip:\n  - {d_model: [16, 32, 64], tokens: [1280, 2560, 5120]}\ngrid: {lr: [1e-3, 2e-3, 4e-3]}\n",
             &e),
        ST_OK, "%s", e.msg);
    cr_assert_eq(w.l.n, 1);
    cr_expect(w.l.lines[0].axis == SWEEP_WIDTH && w.l.lines[0].n_sizes == 3);
    cr_expect(strstr(w.l.lines[0].note, "tokens: 1280 in the base"), "%s", w.l.lines[0].note);
    release(&w);
    /* twin: alone it is not confounded */
    cr_assert_eq(find(&w, BASE "grid: {d_model: [16, 32, 64], lr: [1e-3, 2e-3, 4e-3]}\n", &e), ST_OK);
    cr_expect_str_eq(w.l.lines[0].note, "");
    release(&w);
    fixture_remove(&w.f);
}

Test(lines, models_that_are_no_family_are_refused)
{
    static const struct {
        const char *text, *says;
    } all[] = {
        {BASE "zip:\n  - {d_model: [16, 32], head_dim: [8, 16]}\ngrid: {lr: [1e-3, 2e-3, 4e-3]}\n",
         "say so with base_head_dim 8"},
        {BASE "zip:\n  - {d_model: [16, 32], activation: [gelu, swiglu]}\ngrid: {lr: [1e-3, 2e-3, 4e-3]}\n",
         "activation: gelu in the base model, swiglu here"},
        {BASE "zip:\n  - {d_model: [16, 32], schedule: [wsd, cosine]}\ngrid: {lr: [1e-3, 2e-3, 4e-3]}\n",
         "schedule: wsd"},
        {BASE "grid: {d_model: [16, 32], lr: [1e-3, 2e-3]}\n", "three values or more"},
        {BASE "grid: {lr: [1e-3, 2e-3, 4e-3]}\n", "differ in a size"},
        /* two settings at one size: which of them belongs to the other size? */
        {BASE "grid: {lr: [1e-3, 2e-3, 4e-3]}\nsweeps:\n"
              "  - {name: a, zip: [{d_model: [16, 32], warmup_tokens: [64, 128]}]}\n"
              "  - {name: b, base: {warmup_tokens: 256}}\n",
         "three values or more"},
    };
    world w;
    fixture_make(&w.f, 4000, 16);
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        err e = {0};
        cr_expect_eq(find(&w, all[i].text, &e), ST_INPUT, "%s", all[i].text);
        cr_expect(strstr(e.msg, all[i].says), "'%s' lacks '%s'", e.msg, all[i].says);
        release(&w);
    }
    err e = {0};
    cr_expect_eq(
        find(&w,
             BASE
             "zip:\n  - {d_model: [16, 32], head_dim: [8, 16]}\ngrid: {lr: [1e-3, 2e-3, 4e-3], base_head_dim: [8]}\n",
             &e),
        ST_OK, "said: %s", e.msg);
    release(&w);
    fixture_remove(&w.f);
}

/* What counts as muTransfer: the rule's own table decides, size by size. */
Test(lines, which_rules_cover_a_size)
{
    static const struct { const char *par; bool covers[SWEEP_AXES]; } all[] = {
        {"sp", {false, false, false}},      {"mup", {true, false, false}},      {"mup-table3", {true, false, false}},
        {"completep", {true, true, false}}, {"depth-mup", {true, true, false}}, {"u-mup", {true, true, false}},
        {"complete-dp", {true, true, true}}};
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        for (int a = 0; a < SWEEP_AXES; a++)
            cr_expect_eq(sweep_rule_covers(all[i].par, (sweep_axis)a), all[i].covers[a], "%s over %s", all[i].par,
                         sweep_axis_names[a]);
}
