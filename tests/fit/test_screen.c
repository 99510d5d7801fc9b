/* Screening by one pass over the rows against variable projection start by start. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "fit/search.h"
#include "tests/fit/synthetic.h"

static double gram[FIT_SCREEN_GRAM];

/* Exponents (and whatever else is free) at 40 seeded places of a grid of 5. */
static void make_starts(fit_start_list *l, const fit_problem *p)
{
    l->n = 40;
    l->s = calloc(l->n, sizeof *l->s);
    cr_assert(l->s != NULL);
    for (size_t i = 0; i < l->n; i++)
        for (size_t f = 0; f < p->n_free; f++)
            l->s[i].phi[f] = .13 + .31 * (double)rng_below(5, 7, RNG_TEST, 70 + (uint32_t)f, i);
}

static void compare(const fit_problem *given, bool weighted)
{
    err e = {0};
    fit_problem p = *given;
    fit_start_list l;
    fit_screen *screen;
    double *weight = malloc((p.n + 1) * sizeof *weight);
    cr_assert(weight != NULL);
    for (size_t i = 0; i < p.n; i++) weight[i] = (double)rng_below(4, 7, RNG_TEST, 80, i);
    if (weighted) p.weight = weight;
    make_starts(&l, &p);
    cr_assert_eq(fit_screen_make(&screen, &p, &l, &e), ST_OK);
    cr_assert(screen != NULL);
    fit_screen_rows(gram, screen, &p);
    size_t compared = 0;
    for (size_t i = 0; i < l.n; i++) {
        double phi[FIT_MAX_PARAMS], want[FIT_MAX_PARAMS];
        memcpy(want, l.s[i].phi, sizeof want);
        double value = fit_screen_value(phi, screen, gram, &p, i), plain = fit_varpro(&p, want);
        if (isinf(value)) continue; /* the same exponents a second time */
        compared++;
        cr_expect_float_eq(value / plain, 1, 1e-8, "%zu: %.12g, not %.12g", i, value, plain);
        for (size_t f = 0; f < p.n_free; f++) cr_expect_float_eq(phi[f], want[f], 1e-6, "%zu, phi %zu", i, f);
    }
    cr_expect(compared >= 5 && compared < l.n, "%zu compared", compared);
    fit_screen_free(screen);
    fit_starts_free(&l);
    free(weight);
}

static void each_law(const char *law, const char *const *how)
{
    fit_data d;
    fit_problem p;
    err e = {0};
    fit_opts o = fit_opts_default(fit_law_find(law, NULL));
    if (!strcmp(law, "power")) power_data(&d, 2.1, 900, .4, 37, .02, 9);
    else grid_data(&d, &plain_truth, 7, 9, 2.5, .006, 9);
    for (; *how; how++)
        cr_assert_eq(strchr(*how, '=')[1] >= 'a' ? fit_opts_tie(&o, *how, &e) : fit_opts_fix(&o, *how, &e), ST_OK);
    cr_assert_eq(fit_problem_init(&p, &d, &o, &e), ST_OK, "%s", e.msg);
    compare(&p, false);
    compare(&p, true);
    fit_problem_free(&p);
    fit_data_free(&d);
}

Test(screen, values_are_those_of_variable_projection)
{
    each_law("chinchilla", (const char *const[]){NULL});
    each_law("chinchilla", (const char *const[]){"A=391.7", NULL});
    each_law("chinchilla", (const char *const[]){"E=1.6", "B=1200", NULL});
    each_law("chinchilla", (const char *const[]){"alpha=beta", NULL});
    each_law("power", (const char *const[]){NULL});
}

Test(screen, other_laws_and_too_many_exponents_do_without)
{
    fit_data d;
    fit_problem p;
    err e = {0};
    fit_start_list l;
    fit_screen *screen;
    fit_opts o = fit_opts_default(fit_law_find("kaplan", NULL));
    grid_data(&d, &plain_truth, 4, 5, 2.5, .006, 9);
    cr_assert_eq(fit_problem_init(&p, &d, &o, &e), ST_OK);
    make_starts(&l, &p);
    cr_assert_eq(fit_screen_make(&screen, &p, &l, &e), ST_OK);
    cr_expect_null(screen);
    fit_problem_free(&p);
    o = fit_opts_default(fit_law_find("chinchilla", NULL));
    cr_assert_eq(fit_problem_init(&p, &d, &o, &e), ST_OK);
    for (size_t i = 0; i < l.n; i++) l.s[i].phi[3] = .01 * (double)i, l.s[i].phi[4] = .0101 * (double)i;
    cr_assert_eq(fit_screen_make(&screen, &p, &l, &e), ST_OK);
    cr_expect_null(screen); /* 79 exponents */
    fit_starts_free(&l);
    fit_problem_free(&p);
    fit_data_free(&d);
}
