/* The global search of a resample screens its starts and runs only the best to their ends. On 100 resamples its best
 * objective must be what brute force finds: 500 of the published starts, every one run to its own end. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "fit/search.h"
#include "tests/fit/reference.h"
#include "tests/fit/synthetic.h"

enum { RESAMPLES = 100 };
static const double WITHIN = 1e-9; /* relative */

static void chinchilla_points(fit_data *d)
{
    static const char *const cols[] = {"N=Model Size", "C=Training FLOP", "loss=loss"};
    char path[IO_PATH_MAX];
    err e = {0};
    table t = {0};
    fit_input_opts in = {
        .cols = cols, .n_cols = 3, .where = "loss < 3.4469", .count_rule = "total", .flops_rule = "6N"};
    cr_assert(reference_path(path, "chinchilla_svg/svg_extracted_data.csv"));
    cr_assert_eq(table_read(&t, path, &e), ST_OK, "%s", e.msg);
    cr_assert_eq(fit_input(d, &t, fit_laws[0], &in, NULL, NULL, &e), ST_OK, "%s", e.msg);
    table_free(&t);
}

/* alpha, beta and E on their whole grids, ln A and ln B at 5 and 20. */
static double brute_force(fit_problem *p, const fit_opts *o)
{
    double best = INFINITY;
    for (size_t i = 0; i < 500; i++) {
        const fit_param *q = p->law->params;
        double natural[FIT_MAX_PARAMS], phi[FIT_MAX_PARAMS];
        fit_end end;
        natural[0] = exp(q[0].grid[i % 5]);
        natural[1] = exp(i / 5 % 2 ? 20 : 5);
        natural[2] = exp(i / 10 % 2 ? 20 : 5);
        natural[3] = q[3].grid[i / 20 % 5];
        natural[4] = q[4].grid[i / 100];
        fit_problem_phi(p, phi, natural);
        cr_assert_eq(fit_solve_from(&end, p, o->solver, phi, NULL), ST_OK);
        if (end.ok && end.f < best) best = end.f;
    }
    return best;
}

static void compare(const fit_data *d, double within)
{
    fit_result r;
    fit_problem p;
    err e = {0};
    fit_opts o = fit_opts_default(fit_law_find("chinchilla", NULL));
    double *weight = malloc((d->n + 1) * sizeof *weight), worst = -INFINITY;
    o.bootstrap = RESAMPLES;
    cr_assert_eq(fit_run(&r, d, &o, &e), ST_OK, "%s", e.msg);
    cr_assert_eq(r.boot_ok, (size_t)RESAMPLES);
    cr_assert_eq(fit_problem_init(&p, d, &o, &e), ST_OK, "%s", e.msg);
    p.weight = weight;
    for (size_t b = 0; b < RESAMPLES; b++) {
        double phi[FIT_MAX_PARAMS];
        memset(weight, 0, p.n * sizeof *weight); /* fit/bootstrap.c, draw_weights */
        for (size_t k = 0; k < p.n; k++) weight[rng_below(p.n, o.seed, RNG_BOOTSTRAP, (uint32_t)b, k)]++;
        fit_problem_phi(&p, phi, r.samples + b * r.n_params);
        double ours = fit_problem_eval(&p, phi, NULL, NULL), brute = brute_force(&p, &o);
        cr_expect_leq(ours, brute * (1 + within), "resample %zu: %.13g, brute force %.13g", b, ours, brute);
        worst = fmax(worst, ours / brute - 1);
    }
    cr_expect_gt(worst, -.1); /* the same objective: ours is not below by more than a basin brute force missed */
    printf("worst of %d: %.2g above brute force, relative\n", RESAMPLES, worst);
    free(weight);
    fit_problem_free(&p);
    fit_result_free(&r);
}

Test(bootstrap_search, finds_what_brute_force_finds, .timeout = 600)
{
    fit_data d;
    grid_data(&d, &plain_truth, 20, 12, 2.5, .006, 1);
    compare(&d, WITHIN);
    fit_data_free(&d);
    grid_data(&d, &plain_truth, 8, 6, 2, .02, 3); /* fewer rows, more noise */
    compare(&d, WITHIN);
    fit_data_free(&d);
}

Test(bootstrap_search, finds_what_brute_force_finds_on_published_points, .timeout = 600)
{
    fit_data d;
    char path[IO_PATH_MAX];
    NEED_REFERENCE(reference_path(path, "chinchilla_svg/svg_extracted_data.csv"));
    chinchilla_points(&d);
    compare(&d, WITHIN);
    fit_data_free(&d);
}
