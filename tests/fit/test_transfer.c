/* fit/transfer.c: verdicts on known drifts, penalties against the parabola's own, laws that are exact, edges, contest.
 */
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "fit/transfer.h"

enum { SIZES = 4, LEVELS = 29, SEEDS = 3, ROWS = SIZES * LEVELS * SEEDS };
typedef struct world {
    transfer_row rows[3][ROWS];
    transfer_line lines[3];
    transfer_result out[3];
} world;

/* Valleys in log2 lr half an octave apart, opt0 + drift per doubling; N grows fourfold with the width, D is constant.
 */
static void line(world *w, size_t k, const char *par, double opt0, double drift, double sd, size_t n_sizes)
{
    size_t n = 0;
    for (size_t i = 0; i < n_sizes; i++)
        for (int l = 0; l < LEVELS; l++)
            for (int s = 0; s < SEEDS; s++) {
                double x = -12 + 0.5 * l, d = x - opt0 - drift * (double)i, N = 3e4 * exp2(2 * (double)i), D = 5e5;
                double noise = sd * rng_normal(17 + k, RNG_TEST, (uint32_t)i, (uint64_t)(l * SEEDS + s));
                w->rows[k][n++] =
                    (transfer_row){exp2(x),   32 * exp2((double)i), 2.2 - 0.1 * (double)i + 0.035 * d * d + noise, N, D,
                                   6 * N * D, (uint64_t)s + 1};
            }
    w->lines[k] = (transfer_line){.parametrisation = par,
                                  .x = "lr",
                                  .size = "width",
                                  .ruled = strcmp(par, "sp") != 0,
                                  .rows = w->rows[k],
                                  .n = n,
                                  .bundle = k};
}

static void analyse(world *w, size_t n)
{
    err e = {0};
    transfer_opts o = transfer_opts_default();
    cr_assert_eq(transfer_analyse(w->out, w->lines, n, &o, &e), ST_OK, "%s", e.msg);
}

Test(transfer, verdicts_on_known_drifts)
{
    static const struct {
        double drift, sd;
        transfer_verdict want;
        size_t n_sizes;
    } all[] = {
        {0.013, 1e-3, TRANSFER_EXCLUDED, 4}, {-0.87, 1e-3, TRANSFER_DRIFTS, 4},   {0.61, 1e-3, TRANSFER_DRIFTS, 4},
        {0.31, 1e-3, TRANSFER_DRIFTS, 4},     {0.13, 0.04, TRANSFER_UNDECIDED, 4}, {0.013, 1e-3, TRANSFER_UNDECIDED, 2},
        {0.19, 1e-3, TRANSFER_EXCLUDED, 4}, /* it does drift, by less than the verdict is about */
    };
    world *w = calloc(1, sizeof *w);
    for (size_t i = 0; i < sizeof all / sizeof *all; i++) {
        line(w, 0, "mup", -5.83, all[i].drift, all[i].sd, all[i].n_sizes);
        analyse(w, 1);
        const lr_trend *t = w->out[0].opt.trends;
        cr_expect_eq(w->out[0].verdict, all[i].want, "drift %g, noise %g, %zu sizes: %s [%g, %g]", all[i].drift,
                     all[i].sd, all[i].n_sizes, transfer_word(w->out[0].verdict), t->ci_p[0], t->ci_p[1]);
        if (t->has_ci)
            cr_expect(t->ci_p[0] < all[i].drift && all[i].drift < t->ci_p[1], "[%g, %g]", t->ci_p[0], t->ci_p[1]);
        if (t->has_ci && all[i].sd < 0.01) cr_expect_float_eq(t->p, all[i].drift, 0.02);
        transfer_free(w->out, 1);
    }
    free(w);
}

Test(transfer, penalty_is_that_of_the_valley)
{
    world *w = calloc(1, sizeof *w);
    line(w, 0, "sp", -5.31, -0.87, 1e-5, 4);
    analyse(w, 1);
    for (size_t g = 0; g < 4; g++) {
        const transfer_penalty *p = &w->out[0].penalty[g];
        double want = 0.035 * pow(0.87 * (double)g, 2);
        cr_expect_float_eq(p->nats, want, 1e-3, "width %g: %g, want %g", w->out[0].opt.groups[g].width, p->nats, want);
        if (g) cr_expect(p->ci95[0] < want && want < p->ci95[1], "[%g, %g] lacks %g", p->ci95[0], p->ci95[1], want);
        else cr_expect(isnan(p->ci95[0]));
    }
    transfer_free(w->out, 1);
    /* where runs diverge the penalty is infinite, and past the grid unknown: never a small number */
    for (size_t i = 0; i < ROWS; i++)
        if (w->rows[0][i].size == 256 && w->rows[0][i].x > exp2(-6.1)) w->rows[0][i].loss = INFINITY;
    analyse(w, 1);
    cr_expect(isinf(w->out[0].penalty[3].nats) && strstr(w->out[0].penalty[3].why, "diverge"));
    transfer_free(w->out, 1);
    size_t n = 0;
    for (size_t i = 0; i < ROWS; i++)
        if (w->rows[0][i].size != 256 || w->rows[0][i].x <= exp2(-6.1)) w->rows[0][n++] = w->rows[0][i];
    w->lines[0].n = n;
    analyse(w, 1);
    cr_expect(isnan(w->out[0].penalty[3].nats) && strstr(w->out[0].penalty[3].why, "outside the grid"));
    transfer_free(w->out, 1);
    free(w);
}

/* A valley that is steeper on the right: what is carried over from the smallest size lies there. */
Test(transfer, penalty_sees_which_side)
{
    world *w = calloc(1, sizeof *w);
    line(w, 0, "sp", -5.31, -0.87, 1e-5, 4);
    for (size_t i = 0; i < ROWS; i++) {
        double d = log2(w->rows[0][i].x) + 5.31 + 0.87 * log2(w->rows[0][i].size / 32);
        w->rows[0][i].loss = 2 + d * d * (d > 0 ? 0.14 : 0.02);
    }
    analyse(w, 1);
    const transfer_penalty *p = &w->out[0].penalty[3];
    double want = 0.14 * pow(w->out[0].opt.groups[0].log2_lr_opt + 5.31 + 3 * 0.87, 2);
    cr_expect(fabs(p->nats - want) < 0.05 * want, "%g, want %g", p->nats, want);
    cr_expect(p->ci95[0] > 0.3 * want && p->ci95[1] > want, "[%g, %g], want %g", p->ci95[0], p->ci95[1], want);
    transfer_free(w->out, 1);
    /* a grid that ends above the carried value: not known */
    line(w, 0, "mup", -5.31, 0.87, 1e-5, 4);
    size_t n = 0;
    for (size_t i = 0; i < ROWS; i++)
        if (w->rows[0][i].size != 256 || w->rows[0][i].x >= exp2(-4.4)) w->rows[0][n++] = w->rows[0][i];
    w->lines[0].n = n;
    analyse(w, 1);
    cr_expect(isnan(w->out[0].penalty[3].nats), "%g", w->out[0].penalty[3].nats);
    transfer_free(w->out, 1);
    /* the level above the vertex diverges, at its own size too: known there, and the interval's upper end says so */
    line(w, 0, "mup", -5.31, 0, 1e-5, 4);
    for (size_t i = 0; i < ROWS; i++)
        if (w->rows[0][i].x > exp2(-5.1)) w->rows[0][i].loss = INFINITY, w->rows[0][i].D = 1e3;
    analyse(w, 1);
    cr_expect_eq(w->out[0].penalty[0].nats, 0);
    p = &w->out[0].penalty[3];
    cr_expect(p->nats >= 0 && p->nats < 1e-3 && p->ci95[0] >= 0 && isfinite(p->ci95[0]) && isinf(p->ci95[1]), "%g [%g, %g]", p->nats, p->ci95[0],
              p->ci95[1]);
    cr_expect_eq(w->out[0].opt.groups[0].D, 5e5, "a diverged run's D is not what was planned");
    transfer_free(w->out, 1);
    free(w);
}

/* The largest size's optimum lies beside runs that diverged; what is carried there lies well inside the others. */
Test(transfer, an_optimum_beside_divergence_has_a_penalty)
{
    world *w = calloc(1, sizeof *w);
    for (int near = 0; near < 2; near++) {
        line(w, 0, "mup", -6.4, near ? 0.38 : 0.34, 1e-5, 4); /* vertex at -5.26 or -5.38, levels at -5.5 and -5 */
        for (size_t i = 0; i < ROWS; i++)
            if (w->rows[0][i].size == 256 && w->rows[0][i].x > exp2(-5.1)) w->rows[0][i].loss = INFINITY;
        analyse(w, 1);
        const transfer_penalty *p = &w->out[0].penalty[3];
        const double want = 0.035 * pow(3 * (near ? 0.38 : 0.34), 2);
        cr_assert(w->out[0].opt.groups[3].bracketed);
        cr_expect(fabs(p->nats - want) < 0.1 * want, "%g (%s), want %g", p->nats, p->why, want);
        cr_expect(p->ci95[0] >= 0 && p->ci95[0] < want && want < p->ci95[1], "[%g, %g]", p->ci95[0], p->ci95[1]);
        for (size_t g = 0; g < 4; g++) cr_expect(w->out[0].penalty[g].nats >= 0);
        transfer_free(w->out, 1);
    }
    free(w);
}

/* An optimum known to two octaves does not bend a law. */
Test(transfer, laws_are_weighted)
{
    world *w = calloc(1, sizeof *w);
    size_t n = 0;
    line(w, 0, "sp", -5.31, -0.87, 1e-4, 4);
    for (size_t i = 0; i < ROWS; i++) {
        transfer_row *row = &w->rows[0][i];
        const long level = lround((log2(row->x) + 12) / 0.5);
        if (row->size == 64 && level % 4) continue;
        w->rows[0][n] = *row;
        if (row->size == 64) w->rows[0][n].x *= 2;
        n++;
    }
    w->lines[0].n = n;
    analyse(w, 1);
    cr_expect(fabs(w->out[0].rules[TRANSFER_C].error) < 0.12, "error %g", w->out[0].rules[TRANSFER_C].error);
    transfer_free(w->out, 1);
    free(w);
}

Test(transfer, an_optimum_on_the_edge_counts_nowhere)
{
    world *w = calloc(1, sizeof *w);
    size_t n = 0;
    line(w, 0, "sp", -5.31, -0.87, 1e-4, 4);
    for (size_t i = 0; i < ROWS; i++) /* width 32 keeps what lies below its optimum */
        if (w->rows[0][i].size != 32 || w->rows[0][i].x < exp2(-5.6)) w->rows[0][n++] = w->rows[0][i];
    w->lines[0].n = n;
    analyse(w, 1);
    const transfer_result *r = &w->out[0];
    cr_expect_eq(r->opt.groups[0].edge, 1);
    cr_expect(!r->opt.groups[0].bracketed && r->opt.groups[1].edge == 0);
    cr_expect_eq(r->opt.trends->n_groups, 3);
    cr_expect_eq(r->rules[TRANSFER_C].n_cells, 2);
    for (size_t g = 0; g < 4; g++) cr_expect(isnan(r->penalty[g].nats) && strstr(r->penalty[g].why, "width 32"));
    cr_expect(isnan(r->rules[TRANSFER_CONSTANT].log2_x) && strstr(r->rules[TRANSFER_CONSTANT].why, "width 32"));
    transfer_free(w->out, 1);
    free(w);
}

Test(transfer, laws_and_the_contest)
{
    world *w = calloc(1, sizeof *w);
    bool in[2] = {true, true};
    transfer_contest c;
    line(w, 0, "mup", -5.83, 0.011, 1e-3, 4);
    line(w, 1, "sp", -5.31, -0.87, 1e-3, 4);
    for (size_t i = 0; i < ROWS; i++) /* an optimum that bends where the law does not see it */
        if (w->rows[1][i].size == 256) w->rows[1][i].x *= exp2(-1.9);
    analyse(w, 2);
    const transfer_rule *law = w->out[1].rules;
    cr_expect_float_eq(law[TRANSFER_C].p, -0.87 / 2, 0.02);
    cr_expect_float_eq(law[TRANSFER_ND].p, -0.87 / 2, 0.02);
    cr_expect(isnan(law[TRANSFER_ND].q));
    cr_expect_str_eq(law[TRANSFER_ND].text, "c N^p");
    cr_expect_float_eq(law[TRANSFER_C].error, 1.9, 0.1);
    cr_expect(law[TRANSFER_C].penalty.nats > 0.08);
    cr_expect_float_eq(w->out[0].rules[TRANSFER_CONSTANT].error, 0, 0.1);
    transfer_compare(&c, w->out, w->lines, in, 2);
    cr_expect(c.held && c.line[0] == 0 && c.line[1] == 1 && c.form[0] == TRANSFER_CONSTANT && c.share > 0.95,
              "share %g", c.share);
    transfer_free(w->out, 2);
    /* the other way round: the law is exact, the constant is not */
    line(w, 0, "mup", -5.83, -1.1, 1e-3, 4);
    line(w, 1, "sp", -5.31, -0.87, 1e-3, 4);
    analyse(w, 2);
    transfer_compare(&c, w->out, w->lines, in, 2);
    cr_expect(c.held && c.share < 0.05, "share %g", c.share);
    cr_expect_float_eq(w->out[1].rules[TRANSFER_C].error, 0, 0.1);
    transfer_free(w->out, 2);
    free(w);
}

/* The constant is what the penalties are of: the smallest size's optimum, whatever the sizes between say. */
Test(transfer, there_is_one_constant)
{
    world *w = calloc(1, sizeof *w);
    line(w, 0, "sp", -5.31, -0.6, 1e-4, 4);
    analyse(w, 1);
    const transfer_rule *rule = &w->out[0].rules[TRANSFER_CONSTANT];
    cr_expect_eq(rule->n_cells, 1);
    cr_expect_eq(rule->log2_x, w->out[0].opt.groups[0].log2_lr_opt);
    cr_expect_eq(rule->penalty.nats, w->out[0].penalty[3].nats);
    cr_expect_float_eq(rule->left_out, 0.6 * sqrt((1 + 4) / 2.0), 0.02);
    cr_expect_eq(rule->n_left_out, 2);
    transfer_free(w->out, 1);
    free(w);
}

/* Which law stands for its side is decided by the smaller sizes. One line follows its law there and bends at the
 * largest size; the other scatters there and hits the largest one by chance: chosen by the answer, it would win. */
Test(transfer, laws_are_not_chosen_by_the_answer)
{
    world *w = calloc(1, sizeof *w);
    bool in[3] = {true, true, true};
    transfer_contest c;
    line(w, 0, "mup", -5.83, 0.15, 1e-3, 4);
    line(w, 1, "sp", -5.31, -0.87, 1e-3, 4);
    line(w, 2, "sp", -5.31, -0.87, 1e-3, 4);
    for (size_t i = 0; i < ROWS; i++) {
        if (w->rows[1][i].size == 256) w->rows[1][i].x *= exp2(-1.9);
        if (w->rows[2][i].size == 64) w->rows[2][i].x *= exp2(0.9);
        if (w->rows[2][i].size == 256) w->rows[2][i].x *= exp2(0.3);
    }
    for (int turn = 0; turn < 2; turn++) { /* nor by the order of the lines */
        analyse(w, 3);
        transfer_compare(&c, w->out, w->lines, in, 3);
        const size_t good = turn ? 2 : 1, chance = turn ? 1 : 2;
        const transfer_rule *law = &w->out[good].rules[TRANSFER_C], *luck = &w->out[chance].rules[TRANSFER_C];
        cr_expect(fabs(luck->error) < 0.1 && luck->left_out > 1, "%g, %g", luck->error, luck->left_out);
        cr_expect(fabs(law->error) > 1.8 && law->left_out < 0.1, "%g, %g", law->error, law->left_out);
        cr_expect(c.held && c.line[1] == good && c.share > 0.95 && c.share_nats > 0.95, "line %zu, %g, %g", c.line[1],
                  c.share, c.share_nats);
        cr_expect_float_eq(c.nats[1], 0.035 * law->error * law->error, 0.01);
        transfer_free(w->out, 3);
        for (size_t i = 0; i < ROWS; i++) {
            const transfer_row other = w->rows[1][i];
            w->rows[1][i] = w->rows[2][i];
            w->rows[2][i] = other;
        }
    }
    free(w);
}

/* Nearer in octaves need not be cheaper: what an octave costs is the largest model's own. */
Test(transfer, octaves_and_nats_may_differ)
{
    world *w = calloc(1, sizeof *w);
    bool in[2] = {true, true};
    transfer_contest c;
    line(w, 0, "mup", -5.83, -0.2, 1e-4, 4); /* 0.6 octaves off */
    line(w, 1, "sp", -5.31, -0.87, 1e-4, 4);
    for (size_t i = 0; i < ROWS; i++) {
        transfer_row *row = &w->rows[1][i];
        if (row->size == 256) row->x *= exp2(-0.9);
        row->loss = 2.2 + (row->loss - 2.2 + 0.1 * log2(row->size / 32)) / 8 - 0.1 * log2(row->size / 32);
    }
    analyse(w, 2);
    transfer_compare(&c, w->out, w->lines, in, 2);
    cr_expect(c.held && c.share > 0.95 && c.share_nats < 0.05, "%g, %g", c.share, c.share_nats);
    cr_expect_float_eq(c.nats[0], 0.035 * 0.6 * 0.6, 1e-3);
    cr_expect_float_eq(c.nats[1], 0.035 / 8 * 0.9 * 0.9, 1e-3);
    transfer_free(w->out, 2);
    free(w);
}

/* Two lines of one bundle at other token counts: the law in N and D takes its exponents from both. */
Test(transfer, exponents_of_tokens_come_from_the_bundle)
{
    world *w = calloc(1, sizeof *w);
    line(w, 0, "sp", -5.31, -0.8, 1e-4, 4);
    line(w, 1, "sp", -5.31 + 0.3 * 2, -0.8, 1e-4, 4); /* four times the tokens: q = 0.3 */
    for (size_t i = 0; i < ROWS; i++) w->rows[1][i].D *= 4, w->rows[1][i].C *= 4;
    w->lines[1].bundle = 0;
    analyse(w, 2);
    const transfer_rule *law = &w->out[1].rules[TRANSFER_ND];
    cr_expect_str_eq(law->text, "c N^p D^q");
    cr_expect_eq(law->n_cells, 6);
    cr_expect_float_eq(law->p, -0.4, 0.01);
    cr_expect_float_eq(law->q, 0.3, 0.01);
    cr_expect(fabs(w->out[1].rules[TRANSFER_C].error) > 0.2, "C alone cannot hold both exponents");
    transfer_free(w->out, 2);
    w->lines[1].bundle = 1;
    analyse(w, 2);
    cr_expect_str_eq(w->out[1].rules[TRANSFER_ND].text, "c N^p");
    transfer_free(w->out, 2);
    free(w);
}

/* Tokens that grow with N leave one exponent to be known; and lines draw numbers of their own. */
Test(transfer, what_cannot_be_told_apart_is_left_out)
{
    world *w = calloc(1, sizeof *w);
    for (size_t k = 0; k < 2; k++) line(w, k, k ? "sp" : "mup", -5.31, -0.8, 1e-3, 4);
    for (size_t k = 0; k < 2; k++)
        for (size_t i = 0; i < ROWS; i++) {
            w->rows[k][i].loss = w->rows[0][i].loss;
            w->rows[k][i].D = 20 * w->rows[k][i].N;
        }
    analyse(w, 2);
    cr_expect_str_eq(w->out[1].rules[TRANSFER_ND].text, "c N^p");
    cr_expect_float_eq(w->out[1].rules[TRANSFER_ND].error, 0, 0.1);
    cr_expect_eq(w->out[0].opt.groups[1].log2_lr_opt, w->out[1].opt.groups[1].log2_lr_opt);
    cr_expect_neq(w->out[0].opt.groups[1].draws[0], w->out[1].opt.groups[1].draws[0]);
    transfer_free(w->out, 2);
    free(w);
}

/* Intervals of the penalty hold the truth as often as they say, also where the valley is no parabola, and are no wider
 * than its errors ask; those of optima and drift: test_lr_cover. */
Test(transfer, penalties_cover)
{
    enum { TRIALS = 80 };
    world *w = calloc(1, sizeof *w);
    int held = 0;
    double half = 0, ss = 0;
    transfer_opts o = transfer_opts_default();
    err e = {0};
    o.n_draws = 200;
    for (uint64_t k = 0; k < TRIALS; k++) {
        const double drift = -0.9 + 0.6 * rng_uniform(k, RNG_TEST, 50, 0), opt = -6.5 + rng_uniform(k, RNG_TEST, 51, 0);
        line(w, 0, "sp", opt, drift, 0, 4);
        for (size_t i = 0; i < ROWS; i++) {
            transfer_row *row = &w->rows[0][i];
            const double g = log2(row->size / 32), d = log2(row->x) - opt - drift * g;
            const double own = 0.05 * rng_normal(k, RNG_TEST, 52 + (uint32_t)g, row->seed);
            row->loss = 2 + 0.1 * d * d + 0.01 * d * d * d + own + 0.02 * rng_normal(k, RNG_TEST, 60, i);
        }
        cr_assert_eq(transfer_analyse(w->out, w->lines, 1, &o, &e), ST_OK, "%s", e.msg);
        const transfer_penalty *p = &w->out[0].penalty[3];
        const double d = 3 * drift, want = 0.1 * d * d - 0.01 * d * d * d;
        held += p->ci95[0] <= want && want <= p->ci95[1];
        half += (p->ci95[1] - p->ci95[0]) / 2 / TRIALS;
        ss += (p->nats - want) * (p->nats - want) / TRIALS;
        transfer_free(w->out, 1);
    }
    const double excess = half / (1.96 * sqrt(ss));
    cr_expect(held >= 0.9 * TRIALS && held < TRIALS, "penalty: %d of %d", held, TRIALS);
    cr_expect(excess < 1.5, "penalty: half-width %g, %.2f of what is needed", half, excess);
    free(w);
}

Test(transfer, json_has_no_infinities)
{
    world *w = calloc(1, sizeof *w);
    line(w, 0, "mup", -5.83, 0.01, 1e-3, 3);
    for (size_t i = 0; i < w->lines[0].n; i++)
        if (w->rows[0][i].x > exp2(-4.9)) w->rows[0][i].loss = INFINITY;
    analyse(w, 1);
    json_t *o = transfer_json(&w->out[0]);
    cr_assert_not_null(o);
    cr_expect_eq(json_array_size(json_object_get(o, "groups")), 3);
    cr_expect_eq(json_array_size(json_object_get(o, "rules")), 3);
    char *text = json_dumps(o, 0);
    cr_expect(text && !strstr(text, "nan") && !strstr(text, "inf"));
    free(text);
    json_decref(o);
    transfer_free(w->out, 1);
    w->rows[0][5].x = 0;
    err e = {0};
    transfer_opts opts = transfer_opts_default();
    cr_expect_eq(transfer_analyse(w->out, w->lines, 1, &opts, &e), ST_DOMAIN);
    cr_expect(strstr(e.msg, "logarithmic"), "%s", e.msg);
    transfer_free(w->out, 1);
    free(w);
}
