/* fit/lr_optimum.c: vertices of known parabolas, every way of not being an optimum, intervals that cover, drift. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "fit/lr_optimum.h"

static const char *const names[] = {"mup", "sp"};

static const lr_group *group(const lr_optimum *r, const char *par, double width)
{
    for (size_t i = 0; i < r->n_groups; i++)
        if (!strcmp(r->groups[i].parametrisation, par) && r->groups[i].width == width) return &r->groups[i];
    cr_assert_fail("no group %s %g", par, width);
    return NULL;
}

static const lr_trend *trend(const lr_optimum *r, const char *par)
{
    for (size_t i = 0; i < r->n_trends; i++)
        if (!strcmp(r->trends[i].parametrisation, par)) return &r->trends[i];
    cr_assert_fail("no trend %s", par);
    return NULL;
}

/* A valley: floor + half curvature times octaves squared, plus noise. Returns how many rows were added. */
typedef struct valley { double width, opt, floor, curvature, sd; size_t par; int lo, hi, seeds; double step; uint64_t seed; } valley;

static size_t add(lr_row *rows, size_t n, valley v)
{
    size_t k = 0;
    for (int i = v.lo; i <= v.hi; i++)
        for (int s = 0; s < v.seeds; s++) {
            double x = -9 + i * v.step, d = x - v.opt;
            uint64_t at = n + k;
            rows[n + k++] = (lr_row){exp2(x), v.width, v.floor + v.curvature / 2 * d * d + v.sd * rng_normal(v.seed, RNG_TEST, (uint32_t)v.width, at), v.par, 0};
        }
    return k;
}

Test(lr_optimum, vertex_of_an_exact_parabola)
{
    lr_row rows[32];
    lr_optimum r;
    lr_opts o = lr_opts_default();
    err e = {0};
    size_t n = add(rows, 0, (valley){.width = 64, .opt = -6.2731, .floor = 2.8137, .curvature = 0.0431, .lo = 0, .hi = 6, .seeds = 1, .step = 1});
    cr_assert_eq(lr_optimum_run(&r, rows, n, names, 2, &o, &e), ST_OK, "%s", e.msg);
    const lr_group *g = group(&r, "mup", 64);
    cr_assert(g->bracketed);
    cr_assert_float_eq(g->log2_lr_opt, -6.2731, 1e-9);
    cr_assert_float_eq(g->loss_opt, 2.8137, 1e-12);
    cr_assert_float_eq(g->curvature, 0.0431, 1e-10);
    cr_assert_float_eq(g->sd, 0.02, 1e-6, "without noise a fiftieth of a step is left, sd %g", g->sd);
    cr_assert(g->ci95[0] < -6.2731 - 0.03 && g->ci95[1] > -6.2731 + 0.03);
    cr_assert_str_eq(g->why, "");
    /* the negative twin: another vertex is told apart */
    rows[4].loss -= 0.01;
    lr_optimum_free(&r);
    cr_assert_eq(lr_optimum_run(&r, rows, n, names, 2, &o, &e), ST_OK);
    cr_assert(fabs(group(&r, "mup", 64)->log2_lr_opt + 6.2731) > 1e-3);
    lr_optimum_free(&r);
    /* four levels, one of them alone on its side: a parabola, and nothing says how wrong it is */
    n = add(rows, 0, (valley){.width = 64, .opt = -6.2731, .floor = 2.8137, .curvature = 0.0431, .lo = 2, .hi = 5, .seeds = 1, .step = 1});
    cr_assert_eq(lr_optimum_run(&r, rows, n, names, 2, &o, &e), ST_OK, "%s", e.msg);
    g = group(&r, "mup", 64);
    cr_assert_float_eq(g->log2_lr_opt, -6.2731, 1e-9);
    cr_assert_float_eq(g->sd, 1.0 / 3, 1e-6, "sd %g", g->sd);
    cr_assert_float_eq(g->sd_grid, 1.0 / 3, 1e-6, "sd %g", g->sd_grid);
    lr_optimum_free(&r);
}

Test(lr_optimum, edge_is_no_optimum)
{
    lr_row rows[32];
    lr_optimum r;
    lr_opts o = lr_opts_default();
    err e = {0};
    size_t n = add(rows, 0, (valley){.width = 64, .opt = -2.4, .floor = 2.8, .curvature = 0.04, .lo = 0, .hi = 6, .seeds = 1, .step = 1});
    n += add(rows, n, (valley){.width = 128, .opt = -10.4, .floor = 2.8, .curvature = 0.04, .lo = 0, .hi = 6, .seeds = 1, .step = 1});
    cr_assert_eq(lr_optimum_run(&r, rows, n, names, 2, &o, &e), ST_OK, "%s", e.msg);
    const lr_group *up = group(&r, "mup", 64), *down = group(&r, "mup", 128);
    cr_assert(!up->bracketed && isnan(up->log2_lr_opt) && isnan(up->ci95[0]) && up->draws == NULL);
    cr_assert(strstr(up->why, "largest lr of the grid"), "%s", up->why);
    cr_assert(strstr(down->why, "smallest lr of the grid"), "%s", down->why);
    cr_assert(!trend(&r, "mup")->has_value);
    cr_assert(strstr(trend(&r, "mup")->why, "0 of 2"), "%s", trend(&r, "mup")->why);
    lr_optimum_free(&r);
}

Test(lr_optimum, divergence_brackets_but_is_not_fitted)
{
    lr_row rows[32];
    lr_optimum r;
    lr_opts o = lr_opts_default();
    err e = {0};
    size_t n = add(rows, 0, (valley){.width = 64, .opt = -3.2, .floor = 2.8, .curvature = 0.04, .lo = 0, .hi = 7, .seeds = 1, .step = 1});
    rows[7].loss = INFINITY; /* -2 diverged; lowest finite at -3 */
    cr_assert_eq(lr_optimum_run(&r, rows, n, names, 2, &o, &e), ST_OK, "%s", e.msg);
    const lr_group *g = group(&r, "mup", 64);
    cr_assert(g->bracketed, "%s", g->why);
    cr_assert_float_eq(g->log2_lr_opt, -3.2, 1e-9);
    cr_assert_eq(g->n_diverged, 1);
    lr_optimum_free(&r);
    /* twin: without the diverged run the same data end at their lowest point */
    cr_assert_eq(lr_optimum_run(&r, rows, n - 1, names, 2, &o, &e), ST_OK);
    cr_assert(!group(&r, "mup", 64)->bracketed);
    lr_optimum_free(&r);
    for (size_t i = 0; i < n; i++) rows[i].loss = i == 3 ? 2.9 : NAN;
    cr_assert_eq(lr_optimum_run(&r, rows, n, names, 2, &o, &e), ST_OK);
    cr_assert(strstr(group(&r, "mup", 64)->why, "finite loss"), "%s", group(&r, "mup", 64)->why);
    lr_optimum_free(&r);
}

Test(lr_optimum, one_diverged_seed_disqualifies_the_level)
{
    lr_row rows[64];
    lr_optimum r;
    lr_opts o = lr_opts_default();
    err e = {0};
    size_t n = add(rows, 0, (valley){.width = 64, .opt = -5.1, .floor = 2.8, .curvature = 0.04, .sd = 1e-4, .lo = 0, .hi = 7, .seeds = 3, .step = 1, .seed = 3});
    rows[3 * 4 + 1].loss = INFINITY; /* one seed at -5, the lowest level */
    cr_assert_eq(lr_optimum_run(&r, rows, n, names, 2, &o, &e), ST_OK, "%s", e.msg);
    cr_assert_float_eq(group(&r, "mup", 64)->argmin_lr, exp2(-6), 1e-12);
    lr_optimum_free(&r);
}

Test(lr_optimum, concave_and_flat_are_not_optima)
{
    lr_row rows[64];
    lr_optimum r;
    lr_opts o = lr_opts_default();
    err e = {0};
    const double bump[] = {2.9, 2.8999, 2.95, 2.7, 2.95, 2.8999, 2.9}; /* a notch of one level inside a hill */
    for (int i = 0; i < 7; i++) rows[i] = (lr_row){exp2(-9 + i), 64, bump[i], 0, 0};
    cr_assert_eq(lr_optimum_run(&r, rows, 7, names, 2, &o, &e), ST_OK, "%s", e.msg);
    const lr_group *g = group(&r, "mup", 64);
    cr_assert(!g->bracketed || g->sd > 0.3, "a notch must not give a sharp optimum");
    lr_optimum_free(&r);
    size_t n = add(rows, 0, (valley){.width = 64, .opt = -6, .floor = 2.8, .curvature = 1e-5, .sd = 0.05, .lo = 0, .hi = 6, .seeds = 3, .step = 1, .seed = 5});
    cr_assert_eq(lr_optimum_run(&r, rows, n, names, 2, &o, &e), ST_OK, "%s", e.msg);
    g = group(&r, "mup", 64);
    cr_assert(!g->bracketed, "opt %g +- %g", g->log2_lr_opt, g->sd);
    cr_assert(isnan(g->loss_opt));
    lr_optimum_free(&r);
}

Test(lr_optimum, drift_over_widths)
{
    lr_row rows[256];
    lr_optimum r;
    lr_opts o = lr_opts_default();
    err e = {0};
    size_t n = 0;
    for (int i = 0; i < 4; i++) {
        double width = 32 << i;
        n += add(rows, n, (valley){.width = width, .opt = -6.3, .floor = 3 - 0.1 * i, .curvature = 0.05, .sd = 1e-3, .lo = -4, .hi = 10, .seeds = 1, .step = 0.5, .seed = 7});
        n += add(rows, n, (valley){.width = width, .opt = -5.7 - 0.9 * i, .floor = 3, .curvature = 0.05, .sd = 1e-3, .par = 1, .lo = -4, .hi = 10, .seeds = 1, .step = 0.5, .seed = 8});
    }
    cr_assert_eq(lr_optimum_run(&r, rows, n, names, 2, &o, &e), ST_OK, "%s", e.msg);
    const lr_trend *mup = trend(&r, "mup"), *sp = trend(&r, "sp");
    cr_assert(mup->has_ci && sp->has_ci && mup->n_groups == 4);
    cr_assert_float_eq(mup->p, 0, 0.1);
    cr_assert_float_eq(sp->p, -0.9, 0.1);
    cr_assert(mup->ci_p[0] < 0 && mup->ci_p[1] > 0, "mup drift %g [%g, %g]", mup->p, mup->ci_p[0], mup->ci_p[1]);
    cr_assert(mup->ci_p[0] > -0.9, "the data must exclude the drift of sp");
    cr_assert(sp->ci_p[1] < 0, "sp drift %g [%g, %g]", sp->p, sp->ci_p[0], sp->ci_p[1]);
    cr_assert_float_eq(sp->log2_c + sp->p * log2(64), -6.6, 0.1);
    lr_optimum_free(&r);
    /* order of rows is no matter */
    for (size_t i = 0; i < n / 2; i++) {
        lr_row t = rows[i];
        rows[i] = rows[n - 1 - i];
        rows[n - 1 - i] = t;
    }
    lr_optimum again;
    cr_assert_eq(lr_optimum_run(&r, rows, n, names, 2, &o, &e), ST_OK);
    cr_assert_eq(lr_optimum_run(&again, rows, n, names, 2, &o, &e), ST_OK);
    cr_assert_float_eq(trend(&r, "sp")->ci_p[0], trend(&again, "sp")->ci_p[0], 0);
    lr_optimum_free(&r);
    lr_optimum_free(&again);
}

Test(lr_optimum, two_widths_have_no_interval)
{
    lr_row rows[64];
    lr_optimum r;
    lr_opts o = lr_opts_default();
    err e = {0};
    size_t n = 0;
    for (int i = 0; i < 2; i++)
        n += add(rows, n, (valley){.width = 32 << i, .opt = -6 + 0.4 * i, .floor = 3, .curvature = 0.05, .lo = 0, .hi = 6, .seeds = 1, .step = 1});
    cr_assert_eq(lr_optimum_run(&r, rows, n, names, 2, &o, &e), ST_OK, "%s", e.msg);
    const lr_trend *t = trend(&r, "mup");
    cr_assert(t->has_value && !t->has_ci && t->p_draws == NULL);
    cr_assert_float_eq(t->p, 0.4, 1e-9);
    cr_assert(strstr(t->why, "no interval"));
    lr_optimum_free(&r);
}

/* 95 % intervals of the vertex: coverage over 200 noisy valleys, whatever the place of the optimum between grid points. */
Test(lr_optimum, interval_covers)
{
    lr_row rows[64];
    lr_opts o = {.n_draws = 200, .seed = 11};
    err e = {0};
    for (int seeds = 1; seeds <= 3; seeds += 2) {
        int hits = 0, n_ok = 0;
        for (uint64_t k = 0; k < 200; k++) {
            lr_optimum r;
            double opt = -6.5 + rng_uniform(k, RNG_TEST, 99, 0);
            size_t n = add(rows, 0, (valley){.width = 64, .opt = opt, .floor = 2.8, .curvature = 0.02, .sd = 0.004, .lo = 0, .hi = 6, .seeds = seeds, .step = 1, .seed = k});
            cr_assert_eq(lr_optimum_run(&r, rows, n, names, 2, &o, &e), ST_OK, "%s", e.msg);
            const lr_group *g = group(&r, "mup", 64);
            n_ok += g->bracketed;
            hits += g->bracketed && g->ci95[0] <= opt && opt <= g->ci95[1];
            lr_optimum_free(&r);
        }
        cr_assert(n_ok >= 180, "%d of 200 bracketed with %d seeds", n_ok, seeds);
        cr_assert(hits >= 0.9 * n_ok, "%d of %d covered with %d seeds", hits, n_ok, seeds);
    }
}

/* A seed lifts the whole curve: that moves no optimum and widens no interval. Scatter far from the minimum does not either. */
Test(lr_optimum, a_seeds_own_level_is_no_noise)
{
    lr_row rows[64];
    lr_opts o = {.n_draws = 200, .seed = 11};
    err e = {0};
    int hits = 0;
    double sd = 0, seed_sd = 0;
    for (uint64_t k = 0; k < 200; k++) {
        lr_optimum r;
        double opt = -6.5 + rng_uniform(k, RNG_TEST, 98, 0);
        size_t n = add(rows, 0, (valley){.width = 64, .opt = opt, .floor = 2.8, .curvature = 0.02, .sd = 0.004, .lo = 0, .hi = 6, .seeds = 3, .step = 1, .seed = k});
        for (size_t i = 0; i < n; i++) {
            rows[i].seed = i % 3 + 1;
            rows[i].loss += 0.1 * rng_normal(k, RNG_TEST, 97, i % 3);
            if (rows[i].lr > exp2(-3.5)) rows[i].loss += 0.5 + 0.3 * rng_normal(k, RNG_TEST, 96, i);
        }
        cr_assert_eq(lr_optimum_run(&r, rows, n, names, 2, &o, &e), ST_OK, "%s", e.msg);
        const lr_group *g = group(&r, "mup", 64);
        cr_assert(g->bracketed, "%s", g->why);
        cr_assert_str_eq(r.noise->source, "paired seeds");
        hits += g->ci95[0] <= opt && opt <= g->ci95[1];
        sd += r.noise->sd / 200, seed_sd += r.noise->seed_sd / 200;
        lr_optimum_free(&r);
        if (k) continue;
        rows[7].seed = 9; /* twin: where a seed is missing somewhere its level cannot be taken off */
        cr_assert_eq(lr_optimum_run(&r, rows, n, names, 2, &o, &e), ST_OK);
        cr_assert_str_eq(r.noise->source, "seeds");
        cr_assert(r.noise->sd > 0.01, "%g", r.noise->sd);
        lr_optimum_free(&r);
    }
    cr_assert(sd > 0.0035 && sd < 0.0045, "noise %g, put in 0.004", sd);
    cr_assert(seed_sd > 0.06 && seed_sd < 0.12, "between seeds %g, put in 0.1", seed_sd);
    cr_assert(hits >= 180, "%d of 200 covered", hits);
}

Test(lr_optimum, bad_rows_are_named)
{
    lr_row rows[] = {{1e-3, 64, 2.9, 0, 0}, {-1, 64, 2.8, 0, 0}};
    lr_optimum r;
    lr_opts o = lr_opts_default();
    err e = {0};
    cr_assert_eq(lr_optimum_run(&r, rows, 2, names, 2, &o, &e), ST_DOMAIN);
    cr_assert(strstr(e.msg, "run 1"), "%s", e.msg);
    lr_optimum_free(&r);
    cr_assert_eq(lr_optimum_run(&r, rows, 0, names, 2, &o, &e), ST_INPUT);
    lr_optimum_free(&r);
}

/* --- from a table ---------------------------------------------------------------------------------- */

enum { ROWS = 14 };
typedef struct fixture { table t; table_column cols[8]; double x[8][ROWS]; char *words[4]; } fixture;

static void column(fixture *f, const char *name, bool is_text)
{
    table_column *c = &f->cols[f->t.n_cols];
    snprintf(c->name, sizeof c->name, "%s", name);
    c->x = f->x[f->t.n_cols++];
    c->is_text = is_text;
    c->words = f->words;
    c->n_words = is_text ? 4 : 0;
}

static void fill(fixture *f)
{
    static char mup[] = "mup", sp[] = "sp", done[] = "done", diverged[] = "diverged";
    memset(f, 0, sizeof *f);
    f->words[0] = mup, f->words[1] = sp, f->words[2] = done, f->words[3] = diverged;
    f->t.n_rows = ROWS;
    f->t.cols = f->cols;
    column(f, "lr", false), column(f, "width", false), column(f, "loss", false), column(f, "parametrisation", true);
    column(f, "status", true), column(f, "D", false), column(f, "seed", false);
    for (int i = 0; i < ROWS; i++) {
        double d = i % 7 - 3.4;
        f->x[0][i] = exp2(-9 + i % 7);
        f->x[1][i] = i < 7 ? 64 : 128;
        f->x[2][i] = 3 + 0.02 * d * d;
        f->x[4][i] = 2;
        f->x[5][i] = i < 7 ? 1e6 : 2e6;
    }
}

Test(lr_optimum, table_pools_only_what_is_equal)
{
    fixture f;
    lr_optimum r;
    lr_opts o = lr_opts_default();
    err e = {0};
    fill(&f);
    f.x[4][6] = 3; /* diverged: +inf whatever its loss says */
    f.x[2][13] = NAN;
    f.x[5][6] = 3e5; /* and ended early: that is no other token budget */
    f.x[5][13] = 4e5;
    cr_assert_eq(lr_optimum_table(&r, &f.t, &o, &e), ST_OK, "%s", e.msg);
    cr_assert_eq(r.n_groups, 2);
    cr_assert_eq(group(&r, "mup", 64)->n_diverged, 1);
    cr_assert_eq(group(&r, "mup", 128)->n_diverged, 1);
    cr_assert_str_eq(r.confounded, "D");
    cr_assert(r.tokens[0] == 1e6 && r.tokens[1] == 2e6);
    json_t *g = lr_optimum_groups_json(&r), *t = lr_optimum_trend_json(&r);
    cr_assert_eq(json_array_size(g), 2);
    cr_assert(json_is_null(json_array_get(json_object_get(json_array_get(g, 0), "loss"), 6)));
    cr_assert_float_eq(json_real_value(json_object_get(json_array_get(g, 0), "log2_lr_opt")), -5.6, 1e-9);
    cr_assert(json_is_real(json_object_get(json_array_get(t, 0), "p")));
    cr_assert(json_is_null(json_object_get(json_array_get(t, 0), "ci95")), "two widths: no interval");
    json_decref(g);
    json_decref(t);
    lr_optimum_free(&r);

    f.x[5][3] = 4e6; /* other token budget inside a group */
    cr_assert_eq(lr_optimum_table(&r, &f.t, &o, &e), ST_INPUT);
    cr_assert(strstr(e.msg, "differ in D") && strstr(e.msg, "--where"), "%s", e.msg);
    lr_optimum_free(&r);

    snprintf(f.cols[0].name, sizeof f.cols[0].name, "rate");
    cr_assert_eq(lr_optimum_table(&r, &f.t, &o, &e), ST_INPUT);
    cr_assert(strstr(e.msg, "'lr'"), "%s", e.msg);
    lr_optimum_free(&r);
}
