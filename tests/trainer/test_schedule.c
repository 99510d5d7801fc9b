#include <criterion/criterion.h>
#include <math.h>
#include <string.h>

#include "trainer/config.h"

/* 100 steps of 10 tokens; a tenth of warm-up. */
static trainer_config base(sched_kind kind)
{
    trainer_config c;
    config_default(&c);
    c.batch_tokens = 10;
    c.tokens = 1000;
    c.warmup_tokens = 100;
    c.schedule = kind;
    c.min_lr_ratio = 0.1;
    c.decay_fraction = 0.2;
    return c;
}

typedef struct point { int64_t step; double factor; } point;
static void expect_points(const trainer_config *c, const char *name, const point *p, size_t n)
{
    for (size_t i = 0; i < n; i++) {
        double f = schedule_factor(c, p[i].step);
        cr_expect(fabs(f - p[i].factor) < 1e-12, "%s at step %d: %.15g, not %.15g", name, (int)p[i].step, f, p[i].factor);
    }
}
#define EXPECT(c, name, ...) \
    expect_points(&c, name, (const point[]){__VA_ARGS__}, sizeof((const point[]){__VA_ARGS__}) / sizeof(point))

Test(schedule, warm_up_counts_the_tokens_after_the_step)
{
    for (int k = SCHED_CONSTANT; k <= SCHED_WSD; k++) {
        trainer_config c = base((sched_kind)k);
        EXPECT(c, schedule_names[k], {1, 0.1}, {2, 0.2}, {9, 0.9}, {10, 1}, {11, 1});
        c.warmup_tokens = 0;
        EXPECT(c, schedule_names[k], {1, 1});
        c.warmup_tokens = 5; /* half a step: over before the first step ends */
        EXPECT(c, schedule_names[k], {1, 1});
    }
}

Test(schedule, constant)
{
    trainer_config c = base(SCHED_CONSTANT);
    EXPECT(c, "constant", {50, 1}, {100, 1});
}

/* x = ((step-1)*10 - 100) / 900: step 56 is half way, step 100 at 890/900. */
Test(schedule, cosine)
{
    trainer_config c = base(SCHED_COSINE);
    EXPECT(c, "cosine", {41, 0.1 + 0.9 * 0.75}, {56, 0.55}, {71, 0.1 + 0.9 * 0.25},
           {100, 0.1 + 0.45 * (1 + cos(M_PI * 89 / 90))});
    cr_expect_gt(schedule_factor(&c, 100), 0.1);
}

Test(schedule, linear)
{
    trainer_config c = base(SCHED_LINEAR);
    EXPECT(c, "linear", {56, 0.55}, {20, 1 - 0.9 * 9 / 90}, {100, 1 - 0.9 * 89 / 90});
    c.min_lr_ratio = 0;
    EXPECT(c, "linear to 0", {100, 1.0 / 90}); /* the last step still learns */
}

/* Decay over the last 200 tokens: steps 81..100, x = (step - 81)/20. */
Test(schedule, wsd_shapes)
{
    trainer_config c = base(SCHED_WSD);
    c.decay_shape = SHAPE_LINEAR;
    EXPECT(c, "wsd linear", {80, 1}, {81, 1}, {82, 1 - 0.9 / 20}, {91, 0.55}, {100, 0.145});
    c.decay_shape = SHAPE_1_SQRT;
    EXPECT(c, "wsd 1-sqrt", {80, 1}, {81, 1}, {86, 0.55}, {91, 0.1 + 0.9 * (1 - sqrt(0.5))});
    c.decay_shape = SHAPE_COSINE;
    EXPECT(c, "wsd cosine", {81, 1}, {91, 0.55}, {86, 0.1 + 0.45 * (1 + sqrt(0.5))});
    c.decay_shape = SHAPE_EXP;
    EXPECT(c, "wsd exponential", {81, 1}, {91, sqrt(0.1)}, {86, pow(0.1, 0.25)});
}

/* What a trunk is for: until its decay starts, a run does not know its length. */
Test(schedule, wsd_budgets_share_the_stable_part)
{
    trainer_config a = base(SCHED_WSD), b = base(SCHED_WSD);
    b.tokens = 4000;
    for (int64_t s = 1; s <= 81; s++) cr_expect_eq(schedule_factor(&a, s), schedule_factor(&b, s), "step %d", (int)s);
    cr_expect_neq(schedule_factor(&a, 82), schedule_factor(&b, 82));
    trainer_config x = base(SCHED_COSINE), y = base(SCHED_COSINE);
    y.tokens = 4000;
    cr_expect_neq(schedule_factor(&x, 50), schedule_factor(&y, 50), "a cosine knows its length from the start");
}

Test(schedule, stays_within_its_bounds_and_never_rises_after_warm_up)
{
    for (int k = SCHED_CONSTANT; k <= SCHED_WSD; k++)
        for (int fall = SHAPE_LINEAR; fall <= SHAPE_EXP; fall++) {
            trainer_config c = base((sched_kind)k);
            c.decay_shape = (decay_shape)fall;
            c.decay_fraction = 0.37; /* 370 tokens; the start lies between steps when batch is 7 */
            c.batch_tokens = 7;
            double last = 1;
            for (int64_t s = 15; s <= config_steps(&c); s++) {
                double f = schedule_factor(&c, s);
                cr_expect(f <= last && f >= 0.1 && f <= 1, "%s/%s step %d: %g", schedule_names[k],
                          decay_shape_names[fall], (int)s, f);
                last = f;
            }
        }
}

Test(schedule, names_are_the_tables_rows)
{
    cr_expect_str_eq(schedule_names[SCHED_WSD], "wsd");
    cr_expect_str_eq(decay_shape_names[SHAPE_EXP], "exponential");
    cr_expect_null(schedule_names[SCHED_WSD + 1]);
    cr_expect_null(decay_shape_names[SHAPE_EXP + 1]);
}
