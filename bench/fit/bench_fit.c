/* Speed of fitting, three tables:
 *   rows        ns per row of the fused sums (fit/powers.h) at every CPU level this processor has
 *   procedures  the published grid of starts and bootstraps on 240 rows: the Chinchilla points where MUSCALE_REFERENCE
 *               is set, else a seeded set of the same size and spread
 *   many rows   a whole fit on 1e4, 1e5 and 1e6 rows: time and resident memory per row
 * The same procedures in scipy: bench/peers/scipy_chinchilla.py DATA.csv > FILE; with FILE as argument, ratios.
 * On one thread CPU seconds count (the machine may be shared), on two the wall; medians of REPEATS runs. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <time.h>

#include "base/io.h"
#include "fit/powers.h"
#include "tests/fit/synthetic.h"

enum { REPEATS = 7 };

static double clock_at(clockid_t id)
{
    struct timespec t;
    clock_gettime(id, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}

static int by_size(const void *a, const void *b)
{
    double x = *(const double *)a, y = *(const double *)b;
    return (x > y) - (x < y);
}

static double median(double *x, size_t n)
{
    qsort(x, n, sizeof *x, by_size);
    return x[n / 2];
}

/* --- rows ----------------------------------------------------------------------------------------------------- */

static double ns_per_row(const fit_powers_ops *ops, fit_powers *k, int order)
{
    double times[REPEATS], g[FIT_POWERS_COORDS], h[FIT_POWERS_HESS], sink = 0;
    const size_t calls = 2000000 / k->n + 1;
    for (int r = 0; r < REPEATS; r++) {
        double t0 = clock_at(CLOCK_THREAD_CPUTIME_ID);
        for (size_t i = 0; i < calls; i++) {
            k->floor = .57 + 1e-9 * (double)i;
            sink += ops->sum(order > 0 ? g : NULL, order > 1 ? h : NULL, k);
        }
        times[r] = (clock_at(CLOCK_THREAD_CPUTIME_ID) - t0) / (double)calls / (double)k->n * 1e9;
    }
    return sink >= 0 ? median(times, REPEATS) : NAN;
}

static void rows_table(void)
{
    static const size_t sizes[] = {240, 10000, 1000000};
    printf("## rows: Huber of ln(E + A/N^a + B/D^b), ns per row and thread, CPU time, median of %d\n\n", REPEATS);
    printf("| level | rows | value | value, gradient | value, gradient, Hessian |\n| --- | --- | --- | --- | --- |\n");
    for (cpu_level l = CPU_GENERIC; l <= cpu_level_detect(); l++)
        for (size_t s = 0; s < 3; s++) {
            const fit_powers_ops *ops = fit_powers_ops_for(l);
            size_t n = sizes[s];
            double *x = malloc(3 * n * sizeof *x);
            if (!x) return;
            fit_powers k = {.n = n, .target = x, .n_terms = 2, .z = {x + n, x + 2 * n}, .z_lo = {-3, -3},
                            .z_hi = {3, 3}, .a = {-.83, -1.13}, .p = {.347, .367}, .has_floor = true, .delta = 1e-3,
                            .scale = 1, .below = 1};
            for (size_t i = 0; i < n; i++) {
                x[n + i] = 6 * rng_uniform(1, RNG_TEST, 0, i) - 3;
                x[2 * n + i] = 6 * rng_uniform(1, RNG_TEST, 1, i) - 3;
                x[i] = log(exp(.57) + exp(k.a[0] - k.p[0] * x[n + i]) + exp(k.a[1] - k.p[1] * x[2 * n + i])) +
                       .004 * rng_normal(1, RNG_TEST, 2, i);
            }
            printf("| %s | %zu | %.2f | %.2f | %.2f |\n", ops->level, n, ns_per_row(ops, &k, 0), ns_per_row(ops, &k, 1),
                   ns_per_row(ops, &k, 2));
            free(x);
        }
}

/* --- procedures -------------------------------------------------------------------------------------------------- */

/* "name=seconds" lines of the scipy script; NaN when it has none. */
static double peer(const char *file, const char *name)
{
    char line[256];
    double seconds = NAN;
    FILE *f = file ? fopen(file, "r") : NULL;
    size_t len = strlen(name);
    while (f && fgets(line, sizeof line, f))
        if (!strncmp(line, name, len) && line[len] == '=') seconds = strtod(line + len + 1, NULL);
    if (f) fclose(f);
    return seconds;
}

static int procedure(const char *what, const fit_data *d, const fit_opts *o, size_t threads, double scipy)
{
    double cpu[REPEATS], wall[REPEATS];
    fit_opts with = *o;
    fit_result r;
    err e = {0};
    with.threads = threads;
    for (int k = 0; k < REPEATS; k++) {
        double c0 = clock_at(CLOCK_PROCESS_CPUTIME_ID), w0 = clock_at(CLOCK_MONOTONIC);
        if (fit_run(&r, d, &with, &e)) {
            fprintf(stderr, "%s\n", e.msg);
            return 1;
        }
        cpu[k] = clock_at(CLOCK_PROCESS_CPUTIME_ID) - c0;
        wall[k] = clock_at(CLOCK_MONOTONIC) - w0;
        if (k + 1 < REPEATS) fit_result_free(&r);
    }
    double c = median(cpu, REPEATS), w = median(wall, REPEATS), best = wall[0];
    printf("| %s | %zu | %.3f | %.3f | %.3f | ", what, threads, c, w, best);
    if (isnan(scipy)) printf("- |");
    else if (threads == 1) printf("%.0fx |", scipy / c);
    else printf("%.0fx (both cores free: %.0fx) |", scipy / w, scipy / (c / (double)threads));
    printf(" %.13g | %zu of %zu | %zu |\n", r.objective_value, r.n_reached, r.n_starts, r.boot_ok);
    fit_result_free(&r);
    return 0;
}

static status reference(fit_data *d, err *e)
{
    static const char *const cols[] = {"N=Model Size", "C=Training FLOP", "loss=loss"};
    char path[IO_PATH_MAX];
    table t = {0};
    fit_input_opts in = {
        .cols = cols, .n_cols = 3, .where = "loss < 3.4469", .count_rule = "total", .flops_rule = "6N"};
    snprintf(path, sizeof path, "%s/chinchilla_svg/svg_extracted_data.csv", getenv("MUSCALE_REFERENCE"));
    status s = table_read(&t, path, e);
    if (!s) s = fit_input(d, &t, fit_laws[0], &in, NULL, NULL, e);
    table_free(&t);
    return s;
}

static int procedures(const char *scipy)
{
    fit_data d;
    err e = {0};
    bool real = getenv("MUSCALE_REFERENCE") != NULL;
    if (real && reference(&d, &e)) {
        fprintf(stderr, "%s\n", e.msg);
        return 1;
    }
    if (!real) grid_data(&d, &plain_truth, 20, 12, 2.5, .006, 1);
    printf("\n## procedures: chinchilla, %zu rows (%s), whole fits with their tests and verdict, median of %d\n\n", d.n,
           real ? "reference points" : "synthetic", REPEATS);
    printf("| what | threads | CPU s | wall s | best wall s | scipy / ours | F | starts that reach it | resamples |\n");
    printf("| --- | --- | --- | --- | --- | --- | --- | --- | --- |\n");
    int rc = 0;
    for (size_t threads = 1; threads <= 2; threads++) {
        fit_opts o = fit_opts_default(fit_laws[0]);
        o.bootstrap = 0;
        rc |= procedure("screened starts", &d, &o, threads, NAN);
        o.starts = FIT_STARTS_GRID;
        rc |= procedure("published grid", &d, &o, threads, peer(scipy, "grid4500"));
        o.starts = FIT_STARTS_SCREEN;
        o.bootstrap = 1000;
        o.warm = true;
        rc |= procedure("bootstrap, warm start", &d, &o, threads, peer(scipy, "boot1000"));
        o.warm = false;
        rc |= procedure("bootstrap, global search in every resample", &d, &o, threads, NAN);
    }
    fit_data_free(&d);
    return rc;
}

/* --- many rows ------------------------------------------------------------------------------------------------- */

static double resident_gib(void)
{
    struct rusage u;
    getrusage(RUSAGE_SELF, &u);
    return (double)u.ru_maxrss / 1024 / 1024; /* of the whole process, at its largest */
}

static int many_rows(void)
{
    printf("\n## many rows: screened starts, one thread, no resamples\n\n");
    printf("| rows | CPU s | ns per row and start | largest resident size so far, GiB |\n| --- | --- | --- | --- |\n");
    for (size_t side = 100; side <= 1000; side = side < 300 ? 316 : side < 400 ? 1000 : 2000) {
        fit_data d;
        fit_result r;
        err e = {0};
        grid_data(&d, &plain_truth, side, side, 2.5, .006, 1);
        fit_opts o = fit_opts_default(fit_laws[0]);
        o.bootstrap = 0;
        o.threads = 1;
        double t0 = clock_at(CLOCK_PROCESS_CPUTIME_ID);
        if (fit_run(&r, &d, &o, &e)) {
            fprintf(stderr, "%s\n", e.msg);
            return 1;
        }
        double t = clock_at(CLOCK_PROCESS_CPUTIME_ID) - t0;
        printf("| %zu | %.2f | %.0f | %.2f |\n", d.n, t, 1e9 * t / (double)d.n / (double)r.n_starts, resident_gib());
        fit_result_free(&r);
        fit_data_free(&d);
    }
    return 0;
}

int main(int argc, char **argv)
{
    rows_table();
    return procedures(argc > 1 ? argv[1] : NULL) | many_rows();
}
