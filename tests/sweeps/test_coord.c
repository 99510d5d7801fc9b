/* The coordinate check passes what is right and fails what is wrong: every rule, and every bug that it was built to
 * find. Small widths, the narrowest at which no tensor of a rule is left undecided; those of the command, and the table
 * of doc/mup.md, 9: test_coord_bugs_long.c. */
#include "tests/sweeps/coord_bugs.h"

static trainer_config config_of(const char *const *pairs)
{
    static const char *const lines[][2] = {
        {"vocab", "64"}, {"d_model", "16"}, {"n_layer", "2"}, {"head_dim", "8"}, {"seq_len", "16"},
        {"base_width", "16"}, {"base_depth", "2"}, {"batch_tokens", "64"}, {"tokens", "640"}, {"val_tokens", "64"},
        {"base_batch_tokens", "64"}, {"base_tokens", "640"}, {"lr", "0.005"}, {"eps", "1e-12"},
    };
    trainer_config c;
    config_default(&c);
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) set_key(&c, lines[i][0], lines[i][1]);
    for (; pairs && *pairs; pairs += 2) set_key(&c, pairs[0], pairs[1]);
    return c;
}
#define CONFIG(...) config_of((const char *const[]){__VA_ARGS__, NULL})

/* `right`: where every rule passes. A correct one bends at narrow widths: |dW| of q and k falls faster than width^-1/4
 * from 16 to 32, and over depth a branch of width 16 grows. A bug is caught at less. */
static const int64_t narrow[] = {16, 24, 48, 96}, widths[] = {16, 48, 96, 192}, depths[] = {2, 4, 8, 16};
static const coord_sizes right = {widths, depths}, small = {narrow, depths};

static void passes(const char *what, trainer_config c, sizes over)
{
    if (over == DEEP) set_key(&c, "base_width", "32"), set_key(&c, "d_model", "32");
    coord_passes(what, &c, over, &right);
}

/* completep and depth-mup at their base's depth are mup. */
Test(coord, rules_pass_over_width)
{
    passes("mup", CONFIG("parametrisation", "mup"), WIDE);
    passes("mup-table3", CONFIG("parametrisation", "mup-table3"), WIDE);
    passes("complete-dp", CONFIG("parametrisation", "complete-dp"), WIDE);
    passes("u-mup", CONFIG("parametrisation", "u-mup", "lr", "0.25"), WIDE);
}

/* A SwiGLU's default d_ff is not quite proportional: with the base's own it is its own ratio. */
Test(coord, options_pass_over_width)
{
    passes("zero", CONFIG("parametrisation", "mup", "zero_init", "both"), WIDE);
    passes("gains", CONFIG("parametrisation", "mup", "norm_gain", "true", "qk_norm", "true", "activation", "swiglu",
                           "base_d_ff", "64"), WIDE);
    passes("eps", CONFIG("parametrisation", "mup", "eps", "1e-4"), WIDE);
    passes("heads grow", CONFIG("parametrisation", "mup"), WIDE_HEADS);
}

/* The last norm's gain has no slope that could be judged at narrow widths; those in blocks have one. */
Test(coord, the_last_gain_is_shown_not_judged)
{
    trainer_config c = CONFIG("parametrisation", "mup", "norm_gain", "true", "lr", "0.016", "seed", "11");
    coord_result *r = coord_run(&c, WIDE, &small, NULL);
    cr_expect_eq(coord_row_of(r, "final.norm", MUP_COORD_DW_RMS)->verdict, MUP_COORD_SHOWN);
    cr_expect_eq(coord_row_of(r, "blocks.1.ffn.norm", MUP_COORD_DW_RMS)->verdict, MUP_COORD_PASS);
    coord_result_free(r);
}

/* Independent decay moves weights whatever the lr is: it must not be blamed on the lr. */
Test(coord, decay_is_not_in_it)
{
    const trainer_config none = CONFIG("parametrisation", "mup", "weight_decay", "0");
    const trainer_config much = CONFIG("parametrisation", "mup", "weight_decay", "0.1");
    coord_result *a = coord_run(&none, WIDE, &small, NULL), *b = coord_run(&much, WIDE, &small, NULL);
    for (size_t i = 0; i < a->axes[0].n_rows; i++)
        cr_assert_eq(a->axes[0].rows[i].y[0], b->axes[0].rows[i].y[0], "%s %s", a->axes[0].rows[i].place,
                     mup_coord_name(a->axes[0].rows[i].quantity));
    coord_result_free(a);
    coord_result_free(b);
}

Test(coord, rules_pass_over_depth)
{
    passes("completep", CONFIG("parametrisation", "completep"), DEEP);
    passes("depth-mup", CONFIG("parametrisation", "depth-mup"), DEEP);
    passes("complete-dp", CONFIG("parametrisation", "complete-dp"), DEEP);
    passes("u-mup", CONFIG("parametrisation", "u-mup", "lr", "0.25"), DEEP);
}

Test(coord, every_bug_is_caught)
{
    for (size_t i = 0; i < COORD_BUGS; i++) coord_result_free(coord_fails(&coord_bugs[i], config_of(NULL), &small));
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
    coord_result *r = NULL, *plain = coord_run(&c, DEEP, &small, NULL);
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
        const coord_row *x = coord_row_of(r, all[i].place, all[i].q);
        const coord_row *same = coord_row_of(plain, all[i].place, all[i].q);
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
