/* All basins within 1 % are listed: what the default search finds is what many random starts find. */
#include <criterion/criterion.h>
#include <math.h>

#include "fit/search.h"
#include "tests/fit/synthetic.h"

#ifndef BASIN_SETS
#define BASIN_SETS 12
#define BASIN_STARTS 300
#endif

static void run(fit_result *r, const fit_data *d, const char *law, fit_starts starts)
{
    err e = {0};
    fit_opts o = fit_opts_default(fit_law_find(law, NULL));
    o.bootstrap = 0;
    o.starts = starts;
    o.n_starts = BASIN_STARTS;
    cr_assert_eq(fit_run(r, d, &o, &e), ST_OK, "%s", e.msg);
}

static bool lists(const fit_result *r, const fit_basin *b)
{
    for (size_t k = 0; k < r->n_basins; k++)
        if (fabs(r->basins[k].objective_value / b->objective_value - 1) < 1e-7) return true;
    return false;
}

/* Rows of which a third are far out: Huber's objective has several minima. Returns those that are not listed though one random
 * start in a hundred ends there; rarer ones are told only. */
static size_t compare(const char *law, uint64_t seed, size_t *several)
{
    fit_data d;
    fit_result r, brute;
    size_t missing = 0;
    if (!strcmp(law, "power")) power_data(&d, 2.1, 900, .4, 14, .002, seed);
    else grid_data(&d, &plain_truth, 4, 4, 2, .003, seed);
    heavy_tails(&d, seed);
    run(&r, &d, law, FIT_STARTS_SCREEN);
    run(&brute, &d, law, FIT_STARTS_RANDOM);
    cr_assert_leq(r.objective_value, brute.objective_value * (1 + 1e-9), "%s, seed %d", law, (int)seed);
    for (size_t k = 0; k < brute.n_basins; k++)
        if (!lists(&r, &brute.basins[k])) {
            missing += brute.basins[k].n_starts > BASIN_STARTS / 100;
            cr_log_warn("%s, seed %d: %.10g of %.10g, %zu of %d starts, is not listed\n", law, (int)seed,
                        brute.basins[k].objective_value, r.objective_value, brute.basins[k].n_starts, BASIN_STARTS);
        }
    *several += r.n_basins > 1;
    fit_result_free(&r);
    fit_result_free(&brute);
    fit_data_free(&d);
    return missing;
}

Test(basins, none_is_missing)
{
    size_t missing = 0, several = 0;
    for (uint64_t seed = 1; seed <= BASIN_SETS; seed++)
        missing += compare("power", seed, &several) + compare("chinchilla", seed, &several);
    cr_assert_eq(missing, 0, "%zu basins of %d sets", missing, 2 * BASIN_SETS);
    cr_assert_geq(several, 1 + BASIN_SETS / 40, "%zu sets have several: the comparison says little", several);
}

/* The twin: one start finds one basin; the probes around it find the other. */
Test(basins, a_probe_finds_what_the_start_passed_by)
{
    fit_data d;
    fit_problem p;
    fit_search search;
    fit_start start = {0};
    err e = {0};
    power_data(&d, 2.1, 900, .4, 9, .02, 79);
    fit_opts o = fit_opts_default(fit_law_find("power", NULL));
    fit_result r;
    run(&r, &d, "power", FIT_STARTS_SCREEN);
    cr_assert_eq(r.n_basins, 2);
    cr_assert_eq(fit_problem_init(&p, &d, &o, &e), ST_OK, "%s", e.msg);
    for (int k = 0; k < 2; k++) {
        fit_problem_phi(&p, start.phi, r.basins[k].params);
        fit_start_list one = {1, &start};
        cr_assert_eq(fit_search_run(&search, &p, o.solver, &one, 1, &e), ST_OK, "%s", e.msg);
        cr_assert_eq(search.n_basins, 1);
        cr_assert_eq(search.n_reached, 1);
        cr_assert_eq(fit_search_probe(&search, &p, o.solver, 1, &e), ST_OK, "%s", e.msg);
        cr_assert_eq(search.n_basins, 2, "from basin %d", k + 1);
        cr_assert_eq(search.basin_starts[1 - k], 0);
        cr_assert_eq(search.n_reached, (size_t)(k == 0)); /* of the best, which a probe found the second time */
        for (int b = 0; b < 2; b++) cr_assert_float_eq(search.basin[b].f / r.basins[b].objective_value, 1, 1e-9);
    }
    fit_problem_free(&p);
    fit_result_free(&r);
    fit_data_free(&d);
}
