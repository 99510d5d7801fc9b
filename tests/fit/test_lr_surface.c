/* fit/lr_surface.c, lr_cells.c, lr_laws.c: known bowls, laws over cells three ways, every way of not being an optimum.
 */
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "fit/lr_surface.h"

/* lr* = c N^p D^q, batch* = b N^r D^s; the loss's excess is a quadratic form in octaves around them. */
typedef struct world {
    double c, p, q, b, r, s;
    double h[3];  /* xx, xy, yy: nats per octave squared */
    bool log;     /* ln L is the bowl, else L */
    double noise; /* nats */
    int seeds;
    uint64_t seed;
    double shift;            /* of the grid's centre from the optimum, octaves, larger with every cell */
    int half_lr, half_batch; /* levels to each side */
} world;

static const world plain = {.c = .83,
                            .p = -.3371,
                            .q = .173,
                            .b = 1.91,
                            .r = .053,
                            .s = .517,
                            .h = {.0231, -.0113, .0087},
                            .seeds = 1,
                            .half_lr = 3,
                            .half_batch = 3,
                            .shift = .17};

static double floor_loss(double n, double d) { return 1.7 + 400 * pow(n, -.35) + 1200 * pow(d, -.37); }

static double loss_at(const world *w, double n, double d, double lr, double batch)
{
    double u = log2(lr / (w->c * pow(n, w->p) * pow(d, w->q))), v = log2(batch / (w->b * pow(n, w->r) * pow(d, w->s)));
    double excess = w->h[0] * u * u + 2 * w->h[1] * u * v + w->h[2] * v * v;
    return w->log ? floor_loss(n, d) * exp(excess) : floor_loss(n, d) + excess;
}

typedef struct buffer {
    char *s;
    size_t n;
} buffer;

static void add_cell(buffer *t, const world *w, double n, double d, double off, const char *more)
{
    double lr0 = w->c * pow(n, w->p) * pow(d, w->q) * exp2(off),
           b0 = w->b * pow(n, w->r) * pow(d, w->s) * exp2(-.7 * off);
    for (int i = -w->half_lr; i <= w->half_lr; i++)
        for (int j = -w->half_batch; j <= w->half_batch; j++)
            for (int k = 0; k < w->seeds; k++) {
                double lr = lr0 * exp2(.8 * i), batch = b0 * exp2(.9 * j), l = loss_at(w, n, d, lr, batch);
                l += w->noise * rng_normal(w->seed, RNG_TEST, 7, t->n);
                t->n += (size_t)sprintf(t->s + t->n, "mup,%.10g,%.10g,%.17g,%.17g,%.17g,%d%s\n", n, d, lr, batch, l, k,
                                        more);
            }
}

/* sizes x tokens cells. */
static void make_table(table *t, const world *w, int sizes, int tokens)
{
    err e = {0};
    buffer x = {malloc(4u << 20), 0};
    int cell = 0;
    x.n = (size_t)sprintf(x.s, "parametrisation,N,D,lr,batch_tokens,loss,seed\n");
    for (int i = 0; i < sizes; i++)
        for (int j = 0; j < tokens; j++, cell++)
            add_cell(&x, w, 1.1e7 * pow(3, i), 2.3e8 * pow(4, j), w->shift * sin(cell), "");
    memset(t, 0, sizeof *t);
    cr_assert_eq(table_parse(t, "made.csv", x.s, x.n, &e), ST_OK, "%s", e.msg);
    free(x.s);
}

static void solve(lr_surface *s, const table *t, lr_how how, double share, size_t draws)
{
    err e = {0};
    lr_surface_opts o = {.how = how, .share = share, .n_draws = draws, .seed = 5, .count_rule = "total"};
    cr_assert_eq(lr_surface_table(s, t, &o, &e), ST_OK, "%s", e.msg);
}

static void made(lr_surface *s, const world *w, int sizes, int tokens, lr_how how, double share, size_t draws)
{
    table t;
    make_table(&t, w, sizes, tokens);
    solve(s, &t, how, share, draws);
    table_free(&t);
}

static double coef(const lr_surface *s, int k) { return s->laws[0].coef[k].value; }

static void expect_law(const lr_surface *s, const world *w, double tol)
{
    const double want[LR_COEFS] = {w->c, w->p, w->q, w->b, w->r, w->s};
    cr_assert_eq(s->n_laws, 1);
    for (int k = 0; k < LR_COEFS; k++)
        cr_expect_float_eq(k % 3 ? coef(s, k) : log(coef(s, k)), k % 3 ? want[k] : log(want[k]), k % 3 ? tol : 25 * tol,
                           "%s: %.9g, %.9g", lr_coef_names[k], coef(s, k), want[k]);
}

/* --- exact bowls --------------------------------------------------------------------------------------------- */

Test(lr_surface, per_cell_finds_exact_bowls)
{
    lr_surface s;
    made(&s, &plain, 3, 3, LR_PER_CELL, 0, 50);
    cr_assert_eq(s.n_cells, 9);
    for (size_t k = 0; k < 9; k++) {
        const lr_cell *c = &s.cells[k];
        cr_assert(c->bracketed, "%s", c->why);
        cr_assert_float_eq(exp2(c->log2_lr) / (plain.c * pow(c->N, plain.p) * pow(c->D, plain.q)), 1, 1e-9);
        cr_assert_float_eq(exp2(c->log2_batch) / (plain.b * pow(c->N, plain.r) * pow(c->D, plain.s)), 1, 1e-9);
        cr_assert_float_eq(c->loss_opt, floor_loss(c->N, c->D), 1e-10);
        for (int i = 0; i < 3; i++) cr_assert_float_eq(c->curvature[i], 2 * plain.h[i], 1e-10);
        cr_assert_float_eq(c->sd_lr, .8 / 3, 1e-6, "without noise only the grid-step floor is left: %g", c->sd_lr);
        cr_assert_float_eq(c->sd_batch, .9 / 3, 1e-6, "%g", c->sd_batch);
    }
    cr_assert_str_eq(s.laws[0].why, "");
    expect_law(&s, &plain, 1e-9);
    cr_assert(s.laws[0].coef[LR_P].lo < plain.p && s.laws[0].coef[LR_P].hi > plain.p);
    lr_surface_free(&s);
}

/* Where ln L is the bowl the cells' own surfaces are not exact. */
Test(lr_surface, pooled_is_exact_for_bowls_in_ln_loss_and_in_loss)
{
    world w = plain;
    lr_surface s, own;
    w.log = true;
    w.h[0] *= 3;
    made(&s, &w, 3, 3, LR_POOLED, 0, 200);
    expect_law(&s, &w, 1e-8);
    cr_assert(!s.laws[0].in_nats);
    cr_assert_eq(s.laws[0].n_draws, 200);
    cr_assert_lt(s.laws[0].coef[LR_P].se, 1e-6);
    made(&own, &w, 3, 3, LR_PER_CELL, 0, 50);
    cr_assert_gt(fabs(own.cells[4].log2_lr - log2(w.c * pow(own.cells[4].N, w.p) * pow(own.cells[4].D, w.q))), 1e-6);
    lr_surface_free(&own);
    lr_surface_free(&s);
    w.log = false; /* and a bowl in nats is told from it */
    made(&s, &w, 3, 3, LR_POOLED, 0, 200);
    cr_assert(s.laws[0].in_nats);
    expect_law(&s, &w, 1e-8);
    lr_surface_free(&s);
}

/* Against least squares by hand on the runs within the share. */
Test(lr_surface, near_best_is_least_squares_on_the_plateau)
{
    enum { SIZES = 4, TOKENS = 3 };
    world w = plain;
    lr_surface s;
    double share = .004, m[3][4] = {{0}}, kept = 0;
    w.half_lr = w.half_batch = 4;
    made(&s, &w, SIZES, TOKENS, LR_NEAR_BEST, share, 100);
    for (size_t k = 0; k < s.n_cells; k++) {
        const lr_cell *c = &s.cells[k];
        double low = INFINITY;
        for (size_t i = 0; i < c->n; i++) low = fmin(low, c->loss[i]);
        for (size_t i = 0; i < c->n; i++) {
            if (c->loss[i] >= low * (1 + share)) continue;
            double z[4] = {1, log(c->N) - 18, log(c->D) - 20, log(c->lr[i])};
            kept++;
            for (int a = 0; a < 3; a++)
                for (int b = 0; b < 4; b++) m[a][b] += z[a] * z[b];
        }
    }
    for (int p = 0; p < 3; p++)
        for (int a = 0; a < 3; a++)
            for (int b = 3; b >= p && a != p; b--) m[a][b] -= m[a][p] / m[p][p] * m[p][b];
    cr_assert_gt(kept, 3 * SIZES * TOKENS);
    cr_assert_eq((double)s.laws[0].n_rows, kept);
    cr_assert_float_eq(coef(&s, LR_P), m[1][3] / m[1][1], 1e-9);
    cr_assert_float_eq(coef(&s, LR_Q), m[2][3] / m[2][2], 1e-9);
    cr_assert(isnan(coef(&s, BATCH_P)), "batch on D alone");
    cr_assert_float_eq(coef(&s, LR_P), w.p, .1);
    cr_assert_float_eq(coef(&s, BATCH_Q), w.s, .1);
    for (int p = 0; p < LR_SHARES; p++) {
        const lr_plateau *q = &s.laws[0].plateau[p];
        if (p) cr_assert_geq(q->n_rows, s.laws[0].plateau[p - 1].n_rows);
        if (q->share == share) {
            cr_assert_eq((double)q->n_rows, kept);
            cr_assert_float_eq(q->coef[LR_P], coef(&s, LR_P), 1e-12);
        }
    }
    lr_surface_free(&s);
}

/* --- no optimum ---------------------------------------------------------------------------------------------- */

/* The optimum of one cell beyond its grid, in each of the four directions: named, and counted by no way. */
Test(lr_surface, an_optimum_on_the_edge_never_counts)
{
    static const char *const names[] = {"largest lr", "smallest lr", "largest batch", "smallest batch"};
    for (int edge = 0; edge < 4; edge++)
        for (lr_how how = LR_PER_CELL; how <= LR_NEAR_BEST; how++) {
            table t;
            lr_surface s, all;
            make_table(&t, &plain, 3, 2);
            const table_column *n = table_col(&t, "N"), *d = table_col(&t, "D"), *lr = table_col(&t, "lr"),
                               *b = table_col(&t, "batch_tokens");
            double *loss = table_col(&t, "loss")->x, lr0 = lr->x[24], b0 = b->x[24]; /* the middle of the first cell */
            for (size_t i = 0; i < 49; i++) {
                double u = log2(lr->x[i] / lr0), v = log2(b->x[i] / b0);
                double at = edge == 0 ? -u : edge == 1 ? u : edge == 2 ? -v : v;
                loss[i] = 3 + .03 * at + .01 * (edge < 2 ? v * v : u * u);
            }
            solve(&s, &t, how, .01, 50);
            cr_assert(!s.cells[0].bracketed);
            cr_assert(strstr(s.cells[0].why, names[edge]), "%s", s.cells[0].why);
            cr_assert(isnan(s.cells[0].log2_lr) && isnan(s.cells[0].ci_batch[0]));
            cr_assert_eq(s.laws[0].n_used, 5);
            cr_assert_eq(s.laws[0].n_cells, 6);
            bool keep[6 * 49];
            for (size_t i = 0; i < t.n_rows; i++) keep[i] = n->x[i] != n->x[0] || d->x[i] != d->x[0];
            table_keep(&t, keep);
            solve(&all, &t, how, .01, 50);
            for (int k = 0; k < LR_COEFS; k++)
                if (!isnan(coef(&all, k)))
                    cr_assert_float_eq(coef(&s, k) / coef(&all, k), 1, 1e-9, "%s", lr_coef_names[k]);
            lr_surface_free(&all);
            lr_surface_free(&s);
            table_free(&t);
        }
}

Test(lr_surface, a_diverged_run_brackets_and_is_not_fitted)
{
    table t;
    lr_surface s, cut;
    world w = plain;
    w.shift = 0;
    make_table(&t, &w, 1, 1);
    const table_column *lr = table_col(&t, "lr");
    double *loss = table_col(&t, "loss")->x, lr0 = lr->x[24];
    for (size_t i = 0; i < t.n_rows; i++)
        if (lr->x[i] > 1.2 * lr0) loss[i] = INFINITY; /* all above the best one */
    solve(&s, &t, LR_PER_CELL, 0, 50);
    cr_assert_eq(s.cells[0].n_diverged, 21);
    cr_assert(s.cells[0].inside);
    cr_assert(s.cells[0].bracketed, "%s", s.cells[0].why);
    cr_assert_float_eq(s.cells[0].log2_lr, log2(lr0), 1e-9);
    lr_surface_free(&s);
    bool keep[49];
    for (size_t i = 0; i < 49; i++) keep[i] = isfinite(loss[i]);
    table_keep(&t, keep); /* without them nothing is above */
    solve(&cut, &t, LR_PER_CELL, 0, 50);
    cr_assert(!cut.cells[0].bracketed && strstr(cut.cells[0].why, "largest lr"), "%s", cut.cells[0].why);
    lr_surface_free(&cut);
    table_free(&t);
}

/* A pair at which one of two seeds diverges is no candidate, however low the other one came. */
Test(lr_surface, a_pair_where_one_seed_diverges_is_no_candidate)
{
    table t;
    lr_surface s;
    world w = plain;
    w.shift = 0, w.seeds = 2;
    make_table(&t, &w, 1, 1);
    const table_column *lr = table_col(&t, "lr");
    double *loss = table_col(&t, "loss")->x, lr0 = lr->x[48];
    for (size_t i = 0; i < t.n_rows; i++)
        if (lr->x[i] > 1.2 * lr0) loss[i] = i % 2 ? INFINITY : 1;
    solve(&s, &t, LR_PER_CELL, 0, 50);
    cr_assert(s.cells[0].bracketed, "%s", s.cells[0].why);
    cr_assert_float_eq(s.cells[0].log2_lr, log2(lr0), 1e-9);
    lr_surface_free(&s);
    table_free(&t);
}

Test(lr_surface, flat_saddled_or_sparse_cells_have_none)
{
    table t;
    lr_surface s;
    world w = plain;
    w.h[1] = .02; /* a saddle */
    w.h[0] = w.h[2] = .01;
    w.shift = 0;
    made(&s, &w, 1, 1, LR_PER_CELL, 0, 50);
    cr_assert(!s.cells[0].bracketed);
    lr_surface_free(&s);
    w = plain;
    w.noise = .08, w.seeds = 2; /* of the bowl's own depth */
    size_t bracketed = 0, flat = 0;
    for (w.seed = 0; w.seed < 8; w.seed++) {
        made(&s, &w, 1, 1, LR_PER_CELL, 0, 200);
        bracketed += s.cells[0].bracketed;
        flat += strstr(s.cells[0].why, "flat within the noise") != NULL;
        lr_surface_free(&s);
    }
    cr_assert_leq(bracketed, 4);
    cr_assert_geq(flat, 1);
    /* a saddle with a hole in its middle: the lowest point is inside, the surface is no bowl */
    w = plain;
    w.h[0] = .01, w.h[1] = .03, w.h[2] = .01, w.shift = 0, w.seeds = w.half_lr = w.half_batch = 2; /* two seeds, no noise */
    make_table(&t, &w, 1, 1);
    table_col(&t, "loss")->x[24] -= .12, table_col(&t, "loss")->x[25] -= .12;
    solve(&s, &t, LR_PER_CELL, 0, 50);
    cr_assert(s.cells[0].inside && !s.cells[0].bracketed);
    cr_assert(strstr(s.cells[0].why, "no bowl"), "%s", s.cells[0].why);
    lr_surface_free(&s);
    table_free(&t);
    w = plain;
    w.half_batch = 0;
    make_table(&t, &w, 1, 1);
    solve(&s, &t, LR_PER_CELL, 0, 50);
    cr_assert(strstr(s.cells[0].why, "1 batch sizes"), "%s", s.cells[0].why);
    lr_surface_free(&s);
    table_free(&t);
}

/* --- noise --------------------------------------------------------------------------------------------------- */

/* Of 40 noisy worlds the 95 % intervals of the exponents hold the truth in all but a few, and are no wider than needed.
 */
Test(lr_surface, intervals_cover)
{
    enum { TRIALS = 40 };
    for (lr_how how = LR_PER_CELL; how <= LR_POOLED; how++) {
        size_t in[LR_COEFS] = {0}, total = 0;
        double width = 0, spread = 0;
        for (uint64_t k = 0; k < TRIALS; k++) {
            world w = plain;
            lr_surface s;
            w.noise = .003, w.seed = k, w.log = how == LR_POOLED;
            if (w.log) w.h[0] /= 3, w.h[1] /= 3, w.h[2] /= 3;
            made(&s, &w, 3, 3, how, 0, 100);
            const double want[LR_COEFS] = {w.c, w.p, w.q, w.b, w.r, w.s};
            for (int c = 0; c < LR_COEFS; c++)
                if (c % 3) in[c] += s.laws[0].coef[c].lo <= want[c] && want[c] <= s.laws[0].coef[c].hi, total++;
            width += s.laws[0].coef[LR_P].se / TRIALS;
            spread += (coef(&s, LR_P) - w.p) * (coef(&s, LR_P) - w.p) / TRIALS;
            lr_surface_free(&s);
        }
        size_t covered = 0;
        for (int c = 0; c < LR_COEFS; c++) covered += in[c];
        printf("%s: %zu of %zu covered, se %.4f, spread %.4f\n", lr_how_name(how), covered, total, width, sqrt(spread));
        cr_expect_geq((double)covered, .85 * (double)total, "%s: %zu of %zu", lr_how_name(how), covered, total);
        cr_expect_leq(width, 12 * sqrt(spread), "%s: se %g, spread %g", lr_how_name(how), width, sqrt(spread));
    }
}

/* --- tables -------------------------------------------------------------------------------------------------- */

static void parse(table *t, const char *text)
{
    err e = {0};
    memset(t, 0, sizeof *t);
    cr_assert_eq(table_parse(t, "made.csv", text, strlen(text), &e), ST_OK, "%s", e.msg);
}

Test(lr_surface, applies_where_batches_differ_within_a_size)
{
    static const struct {
        const char *text;
        bool applies;
    } of[] = {
        {"width,lr,batch_tokens,loss\n64,1e-3,1024,3\n64,2e-3,1024,2.9\n128,1e-3,2048,2.8\n", false}, /* one a width */
        {"width,lr,batch_tokens,loss\n64,1e-3,1024,3\n64,2e-3,2048,2.9\n128,1e-3,2048,2.8\n", true},
        {"width,lr,loss\n64,1e-3,3\n64,2e-3,2.9\n", false},
        {"lr,batch_tokens,loss\n1e-3,1024,3\n1e-3,2048,3\n", false}, /* no size */
        {"N,lr,batch_tokens,loss,status\n64,1e-3,1024,3,done\n64,2e-3,2048,2.9,failed\n",
         false}, /* only one of them ended */
    };
    for (size_t k = 0; k < sizeof of / sizeof *of; k++) {
        table t;
        parse(&t, of[k].text);
        cr_expect_eq(lr_surface_applies(&t), of[k].applies, "%zu", k);
        table_free(&t);
    }
}

static void refused(const char *text, const char *message)
{
    table t;
    lr_surface s;
    err e = {0};
    lr_surface_opts o = {.n_draws = 50};
    parse(&t, text);
    cr_expect_eq(lr_surface_table(&s, &t, &o, &e), ST_INPUT);
    cr_expect(strstr(e.msg, message), "%s", e.msg);
    lr_surface_free(&s);
    table_free(&t);
}

Test(lr_surface, rows_that_cannot_be_used)
{
    refused("N,D,lr,batch_tokens,loss,weight_decay\n1e6,1e9,1e-3,1024,3,.1\n1e6,1e9,2e-3,1024,3,.2\n",
            "differ in weight_decay (0.1 and 0.2)");
    refused("N,D,lr,batch_tokens,loss\n1e6,1e9,-1e-3,1024,3\n", "made.csv:2");
    refused("N,D,lr,loss\n1e6,1e9,1e-3,3\n", "batch_tokens");
    refused("N,D,lr,batch_tokens,loss\n1e6,1e9,1e-3,,3\n", "no run");
    refused("D,lr,batch_tokens,loss\n1e9,1e-3,1024,3\n", "N or width");
    refused("N,parametrisation,lr,batch_tokens,loss\n1e6,7,1e-3,1024,3\n", "'parametrisation' holds numbers");
}

/* Token counts that a batch rounds are one cell; those apart are not, nor are two parametrisations. */
Test(lr_surface, cells)
{
    table t;
    lr_surface s;
    parse(&t,
          "N,D,lr,batch_tokens,loss,parametrisation,depth\n1e6,1.00e9,1e-3,1024,3,mup,4\n1e6,1.03e9,1e-3,2048,3,mup,4\n"
          "1e6,1.3e9,1e-3,2048,3,mup,4\n1e6,1e9,1e-3,2048,3,sp,4\n2e6,1e9,1e-3,2048,3,sp,6\n");
    solve(&s, &t, LR_PER_CELL, 0, 50);
    cr_assert_eq(s.n_cells, 4);
    cr_assert_eq(s.n_laws, 2);
    cr_assert_eq(s.cells[0].n, 2);
    cr_assert_float_eq(s.cells[0].D, 1.015e9, 1);
    cr_assert_str_eq(s.cells[3].parametrisation, "sp");
    cr_assert_str_eq(s.confounded, "", "depth follows N");
    lr_surface_free(&s);
    table_free(&t);
}

Test(lr_surface, counts_are_those_stated)
{
    static const char rows[] =
        "N,N_nonembed,D,lr,batch_tokens,loss\n1e6,7e5,1e9,1e-3,1024,3\n1e6,7e5,1e9,1e-3,2048,3\n";
    static const struct {
        const char *rule, *shown;
        double n;
    } of[] = {{NULL, "unstated", 1e6}, {"total", "total", 1e6}, {"non-embed", "non-embed", 7e5}};
    table t;
    lr_surface s;
    err e = {0};
    parse(&t, rows);
    for (size_t k = 0; k < sizeof of / sizeof *of; k++) {
        lr_surface_opts o = {.n_draws = 50, .count_rule = of[k].rule};
        cr_assert_eq(lr_surface_table(&s, &t, &o, &e), ST_OK);
        cr_assert_eq(s.cells[0].N, of[k].n);
        cr_assert_str_eq(s.count_rule, of[k].shown);
        lr_surface_free(&s);
    }
    lr_surface_opts o = {.n_draws = 50, .count_rule = "all"};
    cr_assert_eq(lr_surface_table(&s, &t, &o, &e), ST_USAGE);
    lr_surface_free(&s);
    table_free(&t);
}

Test(lr_surface, sizes_and_tokens_that_move_together_are_told)
{
    table t;
    lr_surface s;
    buffer x = {malloc(1u << 20), 0};
    err e = {0};
    for (lr_how how = LR_PER_CELL; how <= LR_NEAR_BEST; how++) {
        x.n = (size_t)sprintf(x.s, "parametrisation,N,D,lr,batch_tokens,loss,seed\n");
        for (int i = 0; i < 4; i++) add_cell(&x, &plain, 1e7 * pow(3, i), 2e8 * pow(3, i), .1 * i, "");
        memset(&t, 0, sizeof t);
        cr_assert_eq(table_parse(&t, "made.csv", x.s, x.n, &e), ST_OK);
        solve(&s, &t, how, .01, 50);
        cr_assert(strstr(s.laws[0].why, "D follows from N"), "%s", s.laws[0].why);
        cr_assert(isnan(coef(&s, LR_P)));
        lr_surface_free(&s);
        table_free(&t);
        /* one size: D alone stands in the law */
        x.n = (size_t)sprintf(x.s, "parametrisation,N,D,lr,batch_tokens,loss,seed\n");
        for (int i = 0; i < 4; i++) add_cell(&x, &plain, 1e7, 2e8 * pow(3, i), 0, "");
        cr_assert_eq(table_parse(&t, "made.csv", x.s, x.n, &e), ST_OK);
        solve(&s, &t, how, .01, 50);
        cr_assert(isnan(coef(&s, LR_P)));
        cr_assert_float_eq(coef(&s, LR_Q), plain.q, how == LR_PER_CELL ? 1e-9 : .02, "%s: %g", lr_how_name(how),
                           coef(&s, LR_Q));
        lr_surface_free(&s);
        table_free(&t);
    }
    free(x.s);
}

/* The table of optima is one that laws of hyperparameters are fitted to. */
Test(lr_surface, optima_feed_the_laws)
{
    static const char *const laws[] = {"lr-power", "batch-power"};
    const double want[2][3] = {{plain.c, plain.p, plain.q}, {plain.b, plain.r, plain.s}};
    lr_surface s;
    char *csv;
    size_t n;
    err e = {0};
    made(&s, &plain, 3, 3, LR_PER_CELL, 0, 50);
    s.cells[2].bracketed = false;
    cr_assert_eq(lr_surface_csv(&csv, &n, &s, &e), ST_OK);
    for (int k = 0; k < 2; k++) {
        table t = {0};
        fit_data d;
        fit_result r;
        cr_assert_eq(table_parse(&t, "optima.csv", csv, n, &e), ST_OK, "%s", e.msg);
        cr_assert_eq(t.n_rows, 8);
        const fit_law *law = fit_law_find(laws[k], &e);
        fit_input_opts in = {.count_rule = "total"};
        cr_assert_eq(fit_input(&d, &t, law, &in, NULL, NULL, &e), ST_OK, "%s", e.msg);
        fit_opts o = fit_opts_default(law);
        o.bootstrap = 0;
        cr_assert_eq(fit_run(&r, &d, &o, &e), ST_OK, "%s", e.msg);
        for (int j = 0; j < 3; j++)
            cr_assert_float_eq(r.params[j].value / want[k][j], 1, 1e-5, "%s %d: %g", laws[k], j, r.params[j].value);
        fit_result_free(&r);
        fit_data_free(&d);
        table_free(&t);
    }
    free(csv);
    lr_surface_free(&s);
}

/* --- the result ---------------------------------------------------------------------------------------------- */

static bool has_reason(const fit_result *r, const char *code, const char *message)
{
    for (size_t k = 0; k < r->trust.n; k++)
        if (!strcmp(r->trust.reasons[k].code, code) && strstr(r->trust.reasons[k].message, message)) return true;
    return false;
}

Test(lr_surface, result)
{
    table t;
    lr_surface s;
    fit_result r = {0};
    err e = {0};
    make_table(&t, &plain, 3, 3);
    solve(&s, &t, LR_POOLED, 0, 60);
    cr_assert_eq(fit_from_lr_surface(&r, &s, &t, 3, &e), ST_OK, "%s", e.msg);
    cr_assert_eq(r.trust.verdict, FIT_OK);
    cr_assert_eq(r.n_points, 9 * 49);
    cr_assert_eq(r.n_dropped, 3);
    cr_assert_eq(r.n_params, (size_t)LR_COEFS);
    cr_assert_eq(r.params[LR_Q].value, coef(&s, LR_Q));
    char *const argv[] = {NULL};
    json_t *j = fit_json(&r, argv, 0, "0");
    const json_t *surface = json_object_get(j, "surface"), *law = json_array_get(json_object_get(surface, "laws"), 0);
    cr_assert_str_eq(json_string_value(json_object_get(surface, "how")), "pooled");
    cr_assert_eq(json_array_size(json_object_get(surface, "cells")), 9);
    cr_assert_eq(json_real_value(json_object_get(json_object_get(law, "lr"), "N")), coef(&s, LR_P));
    cr_assert_eq(json_array_size(json_object_get(json_object_get(j, "points"), "batch_tokens")), 9 * 49);
    cr_assert(json_is_array(json_object_get(j, "trend")) && json_is_array(json_object_get(j, "groups")));
    json_decref(j);
    fit_result_free(&r);
    s.cells[3].bracketed = false;
    snprintf(s.cells[3].why, LR_WHY, "because");
    snprintf(s.count_rule, LR_NAME, "unstated");
    memset(&r, 0, sizeof r);
    cr_assert_eq(fit_from_lr_surface(&r, &s, &t, 0, &e), ST_OK);
    cr_assert_eq(r.trust.verdict, FIT_WARN);
    cr_assert(has_reason(&r, "no_interior_minimum", "because"));
    cr_assert(has_reason(&r, "convention_unstated", "N count"));
    fit_result_free(&r);
    s.laws[0].n_used = 0;
    for (size_t k = 0; k < s.n_cells; k++) s.cells[k].bracketed = false;
    memset(&r, 0, sizeof r);
    cr_assert_eq(fit_from_lr_surface(&r, &s, &t, 0, &e), ST_OK);
    cr_assert_eq(r.trust.verdict, FIT_REFUSE);
    fit_result_free(&r);
    lr_surface_free(&s);
    table_free(&t);
}
