/* The intervals of optima and drift (fit/lr_optimum.c) on curves whose minimum is known: they hold it as often as they
 * say, and are not much wider than the errors ask. Curves are parabolas, lopsided valleys as those of the study
 * (doc/mup.md, section 10) and cliffs that end in divergence, half an octave between levels, four sizes, three seeds. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/rng.h"
#include "fit/lr_optimum.h"

#ifndef COVER_TRIALS
#define COVER_TRIALS 40
#endif
enum { SIZES = 4, MOST_LEVELS = 24, SEEDS = 3, MOST = SIZES * MOST_LEVELS * SEEDS };
#define STEP 0.5

/* Loss falls by `left` nats per octave far below the minimum and rises by `right` far above it; `bend` at the minimum.
 * left = 0: a parabola. Runs diverge from `end` octaves above the minimum on. */
typedef struct valley {
    const char *name;
    double left, right, bend, end;
} valley;

static double depth(const valley *v, double d)
{
    if (!(v->left > 0)) return v->bend / 2 * d * d;
    const double w = v->left * v->right / v->bend, sum = v->left + v->right;
    const double a = log(v->right / sum) - v->left * d / w, b = log(v->left / sum) + v->right * d / w;
    return w * (fmax(a, b) + log1p(exp(-fabs(a - b))));
}

/* Sizes drift apart by `drift` a doubling; a seed lifts or lowers its whole curve. */
static size_t draw(lr_row *rows, const valley *v, double opt, double drift, double noise, uint64_t k)
{
    size_t n = 0;
    for (uint64_t g = 0; g < SIZES; g++) {
        const double at = opt + drift * (double)g;
        const double first = STEP * round((at - 3) / STEP); /* a grid that reaches three octaves to each side */
        for (uint64_t i = 0; i < 13; i++)
            for (uint64_t s = 0; s < SEEDS; s++) {
                const double x = first + STEP * (double)i;
                const double own = 0.03 * rng_normal(k, RNG_TEST, (uint32_t)(200 + g), s);
                const double other = noise * rng_normal(k, RNG_TEST, (uint32_t)g, i * SEEDS + s);
                rows[n++] = (lr_row){.lr = exp2(x),
                                     .width = 32 * exp2((double)g),
                                     .seed = s + 1,
                                     .loss = x - at > v->end ? INFINITY : 2 + depth(v, x - at) + own + other};
            }
    }
    return n;
}

/* How often the intervals hold the truth; their mean half-width over what the errors of the estimates would need. */
typedef struct score {
    double n, held, half, ss;
} score;

static void add(score *c, const double ci[2], double value, double truth)
{
    c->n++;
    c->held += ci[0] <= truth && truth <= ci[1];
    c->half += (ci[1] - ci[0]) / 2;
    c->ss += (value - truth) * (value - truth);
}
static double held(const score *c) { return c->held / c->n; }
static double excess(const score *c) { return c->half / c->n / (1.96 * sqrt(c->ss / c->n)); }

static void trials(score *optimum, score *drift, const valley *v, double noise, uint64_t from)
{
    static const char *const names[] = {"sp"};
    lr_row rows[MOST];
    const lr_opts o = {.n_draws = 200, .seed = 11};
    err e = {0};
    memset(optimum, 0, sizeof *optimum);
    memset(drift, 0, sizeof *drift);
    for (uint64_t k = from; k < from + COVER_TRIALS; k++) {
        lr_optimum r;
        const double p = -1 + 1.2 * rng_uniform(k, RNG_TEST, 300, 0), opt = -6.5 + rng_uniform(k, RNG_TEST, 301, 0);
        const size_t n = draw(rows, v, opt, p, noise, k);
        cr_assert_eq(lr_optimum_run(&r, rows, n, names, 1, &o, &e), ST_OK, "%s", e.msg);
        for (size_t g = 0; g < r.n_groups; g++)
            if (r.groups[g].bracketed)
                add(optimum, r.groups[g].ci95, r.groups[g].log2_lr_opt, opt + p * (double)g);
        if (r.trends->has_ci) add(drift, r.trends->ci_p, r.trends->p, p);
        lr_optimum_free(&r);
    }
}

static const valley valleys[] = {
    {"parabola", 0, 0, 0.15, 9},   {"lopsided", 0.15, 0.28, 0.15, 9},         {"even", 0.19, 0.21, 0.11, 9},
    {"cliff", 0.12, 1, 0.15, 1.6}, {"cliff on the left", 1, 0.12, 0.15, 9},
};

/* Rows of the table in doc/mup.md, section 10. */
static void show(const char *name, double noise, const score *x, const score *p)
{
    printf("| %s, %g | %.1f %% | %.2f | %.1f %% | %.2f |\n", name, noise, 100 * held(x), excess(x), 100 * held(p),
           excess(p));
}

enum { VALLEYS = sizeof valleys / sizeof *valleys };

/* As the study's runs: 0.017 nats between runs of a seed. Too narrow is red, too wide as well (a third of a step). */
Test(lr_cover, where_noise_rules)
{
    score all = {0}, x, p;
    for (size_t i = 0; i < VALLEYS; i++) {
        trials(&x, &p, &valleys[i], 0.017, 1000 * (i + 1));
        show(valleys[i].name, 0.017, &x, &p);
        cr_expect(held(&x) >= 0.9 && held(&x) <= 0.99, "%s: optima held %.3f", valleys[i].name, held(&x));
        cr_expect(excess(&x) < 1.5, "%s: optima %.2f of what is needed", valleys[i].name, excess(&x));
        all.n += p.n, all.held += p.held, all.half += p.half, all.ss += p.ss;
    }
    cr_expect(held(&all) >= 0.9 && held(&all) <= 0.99, "drifts held %.3f", held(&all));
    cr_expect(excess(&all) < 1.5, "drifts %.2f of what is needed", excess(&all));
    /* what the study needs: to leave out a drift of 0.15 octaves a doubling when there is none */
    cr_expect(all.half / all.n < 0.1, "drifts: half-width %g", all.half / all.n);
}

/* A cubic is not the curve: where seeds hardly differ, what is left is its error, and the interval has to hold that. */
Test(lr_cover, where_the_form_rules)
{
    for (size_t i = 1; i < VALLEYS; i += 2)
        for (int still = 0; still < 2; still++) {
            score x, p;
            trials(&x, &p, &valleys[i], still ? 1e-5 : 0.003, 1000 * (i + 1));
            show(valleys[i].name, still ? 1e-5 : 0.003, &x, &p);
            cr_expect(held(&x) >= 0.9, "%s: optima held %.3f", valleys[i].name, held(&x));
            cr_expect(held(&p) >= 0.9, "%s: drifts held %.3f", valleys[i].name, held(&p));
            cr_expect(excess(&x) < 1.5, "%s: optima %.2f of what is needed", valleys[i].name, excess(&x));
            cr_expect(x.half / x.n < 0.06, "%s: half-width %g octaves", valleys[i].name, x.half / x.n);
        }
}
