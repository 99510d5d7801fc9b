/* No false alarm of the coordinate check over 20 times 4 seeds, for every rule, and few rows that it cannot decide.
 * With MUSCALE_SHOW=1 it prints the extreme slopes of each quantity, from which the bounds of mup/coord.c were set: the
 * table of doc/mup.md, section 9. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "sweeps/coord_check.h"

enum { TIMES = 20 };
typedef struct extremes { double lo[MUP_COORD_N], hi[MUP_COORD_N]; size_t undecided, rows, checks; } extremes;

static trainer_config config_of(const char *rule, const char *lr, size_t k)
{
    static const char *const lines[][2] = {
        {"vocab", "64"}, {"d_model", "32"}, {"n_layer", "2"}, {"head_dim", "16"}, {"seq_len", "16"},
        {"base_width", "32"}, {"base_depth", "2"}, {"batch_tokens", "64"}, {"tokens", "640"}, {"val_tokens", "64"},
        {"base_batch_tokens", "64"}, {"base_tokens", "640"}, {"eps", "1e-12"},
    };
    trainer_config c;
    err e = {0};
    config_default(&c);
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
        cr_assert_eq(config_set(&c, lines[i][0], lines[i][1], "test", &e), ST_OK, "%s", e.msg);
    cr_assert_eq(config_set(&c, "parametrisation", rule, "test", &e), ST_OK, "%s", e.msg);
    cr_assert_eq(config_set(&c, "lr", lr, "test", &e), ST_OK, "%s", e.msg);
    c.seed = 1000 * (k + 1);
    return c;
}

static void note(extremes *x, const coord_row *r)
{
    x->rows++;
    x->undecided += r->verdict == MUP_COORD_UNDECIDED;
    if (r->zero || r->verdict == MUP_COORD_SHOWN) return;
    const double d = r->fit.slope - r->bounds.expected;
    x->lo[r->quantity] = fmin(x->lo[r->quantity], d);
    x->hi[r->quantity] = fmax(x->hi[r->quantity], d);
}

static void no_alarm(const char *rule, const char *lr, bool deep)
{
    static const int64_t widths[] = {32, 64, 128, 256}, depths[] = {2, 4, 8, 16};
    extremes x = {0};
    for (size_t k = 0; k < TIMES; k++) {
        coord_result *r = NULL;
        err e = {0};
        coord_opts o = coord_opts_default();
        o.threads = 2;
        if (deep) o.depths = depths, o.n_depths = 4;
        else o.widths = widths, o.n_widths = 4;
        const trainer_config c = config_of(rule, lr, k);
        cr_assert_eq(coord_check(&r, &c, &o, &e), ST_OK, "%s", e.msg);
        for (size_t i = 0; i < r->axes[0].n_rows; i++) {
            const coord_row *y = &r->axes[0].rows[i];
            note(&x, y);
            cr_expect_neq(y->verdict, MUP_COORD_FAIL, "%s, time %zu: %s %s has slope %g [%g, %g], expected %g", rule,
                          k, y->place, mup_coord_name(y->quantity), y->fit.slope, y->fit.lo, y->fit.hi,
                          y->bounds.expected);
        }
        x.checks += r->verdict == MUP_COORD_UNDECIDED;
        coord_result_free(r);
    }
    cr_expect_leq(x.undecided, x.rows / 100, "%s at lr %s: %zu of %zu rows undecided", rule, lr, x.undecided, x.rows);
    if (!getenv("MUSCALE_SHOW")) return;
    printf("%s at lr %s over %s: undecided %zu of %zu rows, %zu of %d checks\n", rule, lr, deep ? "depth" : "width",
           x.undecided, x.rows, x.checks, TIMES);
    for (int q = 0; q < MUP_COORD_N; q++)
        printf("  %s%-8s %+.2f to %+.2f\n", q == MUP_COORD_DEMB ? "embed " : "",
               mup_coord_name((mup_coord_quantity)q), x.lo[q], x.hi[q]);
}

Test(coord_long, mup) { no_alarm("mup", "0.005", false); }
Test(coord_long, mup_at_a_large_lr) { no_alarm("mup", "0.02", false); }
Test(coord_long, mup_table3) { no_alarm("mup-table3", "0.005", false); }
Test(coord_long, u_mup) { no_alarm("u-mup", "0.25", false); }
Test(coord_long, complete_dp) { no_alarm("complete-dp", "0.005", false); }
Test(coord_long, completep_over_depth) { no_alarm("completep", "0.005", true); }
Test(coord_long, depth_mup_over_depth) { no_alarm("depth-mup", "0.005", true); }
Test(coord_long, u_mup_over_depth) { no_alarm("u-mup", "0.25", true); }
