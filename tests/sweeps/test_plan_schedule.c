/* Schedules of a plan: which runs share one, when it decays, how it ends, and what is drawn. */
#include "fixture.h"

#include <math.h>

#include "sweeps/plan_schedule.h"

typedef struct planned {
    fixture f;
    sweep_spec s;
    sweep_plan p;
    sweep_schedules l;
} planned;

static void plan(planned *x, const char *text)
{
    err e = {0};
    const sweep_plan_opts o = sweep_plan_opts_default();
    fixture_make(&x->f, 4000, 16);
    cr_assert_eq(fixture_spec(&x->s, &x->f, text, &e), ST_OK, "%s", e.msg);
    cr_assert_eq(sweep_plan_make(&x->p, &x->s, &o, &e), ST_OK, "%s", e.msg);
    cr_assert_eq(sweep_schedules_find(&x->l, &x->p, &e), ST_OK, "%s", e.msg);
}

static void done(planned *x)
{
    sweep_schedules_free(&x->l);
    sweep_plan_free(&x->p);
    sweep_spec_free(&x->s);
    fixture_remove(&x->f);
}

static const trainer_config *config_of(const planned *x, size_t i) { return &x->p.runs[x->l.list[i].example].config; }

/* 20 and 40 steps of 64 tokens; a fifth of them decays. */
#define WSD                                                                                                            \
    FIXTURE_BASE                                                                                                       \
    "sweeps:\n- base: {schedule: wsd, decay_shape: linear, decay_fraction: 0.2, warmup_tokens: 256, "                    \
    "min_lr_ratio: 0.1}\n  grid: {lr: [1e-3, 4e-3, 2e-3], tokens: [1280, 2560], weight_decay: [0, 0.1]}\n"

Test(plan_schedule, runs_of_one_shape_are_one_schedule)
{
    planned x;
    plan(&x, WSD "- {name: c, base: {schedule: constant, warmup_tokens: 256, lr: 0.5, seed: 7}}\n");
    cr_assert_eq(x.l.n, 3, "%zu", x.l.n);
    cr_expect_eq(x.l.longest, 2560);
    static const size_t n_runs[] = {6, 6, 1};
    static const int64_t tokens[] = {2560, 1280, 1280}, from[] = {2048, 1024, 1280};
    for (size_t i = 0; i < 3; i++) {
        cr_expect_eq(x.l.list[i].n_runs, n_runs[i]);
        cr_expect_eq(config_of(&x, i)->tokens, tokens[i]);
        cr_expect_eq(x.l.list[i].decay_from, from[i], "%d", (int)x.l.list[i].decay_from);
    }
    cr_expect_eq(x.l.list[0].peak_min, 1e-3);
    cr_expect_eq(x.l.list[0].peak_max, 4e-3);
    /* the last of 8 steps of a linear decay to a tenth: 7/8 of the way */
    cr_expect_float_eq(x.l.list[0].last, 1 - 0.9 * 7 / 8, 1e-12, "%g", x.l.list[0].last);
    cr_expect_eq(x.l.list[2].last, 1);
    cr_expect_eq(x.l.list[2].peak_max, 0.5);
    done(&x);
}

/* What the trainer will do, step by step. */
Test(plan_schedule, the_curve_is_the_trainers)
{
    planned x;
    plan(&x, WSD);
    const trainer_config *c = config_of(&x, 1);
    cr_assert_eq(c->tokens, 1280);
    for (int64_t step = 1; step <= 20; step++) {
        cr_expect_eq(sweep_schedule_at(c, (double)(64 * (step - 1))), schedule_factor(c, step), "step %d", (int)step);
        cr_expect_eq(sweep_schedule_at(c, 64 * ((double)step - 0.5)), schedule_factor(c, step));
    }
    cr_expect_eq(sweep_schedule_at(c, 1280), schedule_factor(c, 20), "at its end it is the last step's");
    json_t *j = sweep_schedules_json(&x.l, &x.p);
    cr_assert_eq(json_array_size(j), 2);
    const json_t *curve = json_object_get(json_array_get(j, 1), "curve"), *at = json_object_get(curve, "tokens");
    cr_expect_eq(json_number_value(json_array_get(at, 32)), 1280);
    cr_expect_eq(json_number_value(json_array_get(json_object_get(curve, "lr_of_peak"), 32)), schedule_factor(c, 20));
    cr_expect_str_eq(json_string_value(json_object_get(json_array_get(j, 0), "decay_shape")), "linear");
    json_decref(j);
    done(&x);
}

/* 64 columns of 40 tokens, so a step is 1.6 columns: 1/4, 1/2, 3/4 of the peak on the way up, then 1; from token 1024
 * on 1, 0.775, 0.55, 0.325. Heights of 4 rows: 3.1 shows as 3, 2.2 and 1.3 as a third more. */
Test(plan_schedule, the_drawing)
{
    static const char *const want[SWEEP_DRAW_ROWS] = {
        "     ######################",
        "   ##########################.",
        "  ############################..",
        "################################",
    };
    planned x;
    char rows[SWEEP_DRAW_ROWS][SWEEP_DRAW_WIDTH + 1];
    plan(&x, WSD);
    sweep_schedule_draw(rows, config_of(&x, 1), x.l.longest);
    for (int y = 0; y < SWEEP_DRAW_ROWS; y++) cr_expect_str_eq(rows[y], want[y], "row %d: [%s]", y, rows[y]);
    done(&x);
}
