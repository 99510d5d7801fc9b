/* Laws: exact derivatives against finite differences, values and closed forms against published numbers. */
#include <criterion/criterion.h>
#include <math.h>

#include "fit/problem.h"
#include "tests/fit/synthetic.h"

/* High-entropy points in coordinates (E, A, B, alpha, beta / E, A, alpha) with centred columns. */
static const double theta_of[2][5] = {{.5731, -.8213, -1.1337, .3719, .2853}, {.6177, -.3931, .4417}};

Test(law, derivatives_match_finite_differences)
{
    for (size_t l = 0; l < 2; l++) {
        const fit_law *law = fit_laws[l];
        enum { N = 5 };
        static const size_t row[N] = {0, 1, 2, 3, 4};
        double z0[N] = {-2.31, -.77, .013, 1.19, 2.53}, z1[N] = {1.71, -1.43, .37, 2.11, -.59};
        fit_model m = {.law = law};
        fit_rows rows = {.n = N, .z = {z0, z1}, .row = row};
        double q[N], up[N], down[N], jac[5 * N], curv[15 * N], jac_up[5 * N], jac_down[5 * N], theta[5];
        size_t p = law->n_params;
        memcpy(theta, theta_of[l], sizeof theta);
        law->eval(&m, NULL, q, jac, curv, theta, &rows);
        for (size_t j = 0; j < p; j++) {
            const double h = 1e-5, keep = theta[j];
            theta[j] = keep + h;
            law->eval(&m, NULL, up, jac_up, NULL, theta, &rows);
            theta[j] = keep - h;
            law->eval(&m, NULL, down, jac_down, NULL, theta, &rows);
            theta[j] = keep;
            for (size_t i = 0; i < N; i++) {
                cr_assert_float_eq(jac[j * N + i], (up[i] - down[i]) / (2 * h), 1e-9, "%s d/d%s", law->name,
                                   law->params[j].name);
                size_t at = 0;
                for (size_t a = 0; a < p; a++)
                    for (size_t b = a; b < p; b++, at++)
                        if (a == j || b == j) {
                            size_t other = a == j ? b : a;
                            double numeric = (jac_up[other * N + i] - jac_down[other * N + i]) / (2 * h);
                            cr_assert_float_eq(curv[at * N + i], numeric, 1e-8, "%s d2/d%s d%s", law->name,
                                               law->params[a].name, law->params[b].name);
                        }
            }
        }
    }
}

/* facts: Besiroglu et al. as printed, Hoffmann rounded; C = 6ND. */
Test(law, chinchilla_optimum_matches_published_values)
{
    static const struct { double v[5], c, n, ratio, loss; } rows[] = {
        {{1.8172, 482.01, 2085.43, .3478, .3658}, 1e18, 8.05319e7, 25.699, 3.490492},
        {{1.8172, 482.01, 2085.43, .3478, .3658}, 5.76e23, 7.22487e10, 18.391, 1.974441},
        {{1.69, 406.4, 410.7, .34, .28}, 5.76e23, 3.21899e10, 92.647, 1.930748},
    };
    const fit_law *law = fit_law_find("chinchilla", NULL);
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        double x[2];
        fit_model m;
        cr_assert_eq(fit_model_init(&m, law, NULL, NULL), ST_OK);
        law->optimum(&x[0], &x[1], rows[i].v, rows[i].c);
        cr_assert_float_eq(x[0] / rows[i].n, 1, 1e-5);
        cr_assert_float_eq(x[1] / x[0], rows[i].ratio, 1e-3);
        cr_assert_float_eq(fit_model_value(&m, rows[i].v, x), rows[i].loss, 1e-6);
        cr_assert_float_eq(6 * x[0] * x[1] / rows[i].c, 1, 1e-12);
        double off[2] = {x[0] * 1.1, x[1] / 1.1};
        cr_assert_gt(fit_model_value(&m, rows[i].v, off), fit_model_value(&m, rows[i].v, x));
    }
}

Test(law, unknown_name_is_refused_with_a_suggestion)
{
    err e = {0};
    cr_assert_null(fit_law_find("chinchila", &e));
    cr_assert_eq(e.code, ST_USAGE);
    cr_assert(strstr(e.msg, "'chinchilla'"), "%s", e.msg);
}

/* F of every objective through fit_problem, with weights, a tie and a pinned parameter: gradient and Hessian. */
Test(problem, objective_derivatives_match_finite_differences)
{
    err e = {0};
    for (size_t k = 0; k < fit_n_objectives; k++)
        for (int variant = 0; variant < 4; variant++) {
            fit_data d;
            fit_problem p;
            double w[20], phi[5], g[5], h[25], gu[5], gd[5], natural[5] = {1.81, 377, 1511, .3291, .3511};
            grid_data(&d, &plain_truth, 4, 5, 2, .03, 7);
            fit_opts o = fit_opts_default(fit_laws[0]);
            o.objective = &fit_objectives[k];
            o.delta = o.objective->has_delta ? .0213 : NAN; /* rows on both sides, none within h of the kink */
            if (variant == 1) cr_assert_eq(fit_opts_tie(&o, "alpha=beta", &e), ST_OK);
            if (variant == 2) cr_assert_eq(fit_opts_fix(&o, "E=1.77", &e), ST_OK);
            if (variant == 3) cr_assert_eq(fit_opts_bound(&o, "A=10,1e5", &e), ST_OK);
            cr_assert_eq(fit_problem_init(&p, &d, &o, &e), ST_OK);
            for (size_t i = 0; i < 20; i++) w[i] = (double)(i % 3);
            if (variant == 1) p.weight = w;
            fit_problem_phi(&p, phi, natural);
            double f = fit_problem_eval(&p, phi, g, h);
            for (size_t j = 0; j < p.n_free; j++) {
                const double step = 1e-6, keep = phi[j];
                phi[j] = keep + step;
                double up = fit_problem_eval(&p, phi, gu, NULL);
                phi[j] = keep - step;
                double down = fit_problem_eval(&p, phi, gd, NULL);
                phi[j] = keep;
                cr_assert_float_eq(g[j], (up - down) / (2 * step), 1e-6 * (1 + fabs(g[j])), "%s gradient %zu",
                                   o.objective->name, j);
                for (size_t i = 0; i < p.n_free; i++)
                    cr_assert_float_eq(h[i * p.n_free + j], (gu[i] - gd[i]) / (2 * step),
                                       1e-5 * (1 + fabs(h[j * p.n_free + j])), "%s Hessian %zu %zu", o.objective->name,
                                       i, j);
            }
            cr_assert(isfinite(f) && f > 0);
            double back[5];
            fit_problem_natural(&p, back, phi);
            cr_assert_float_eq(back[1] / 377, 1, 1e-12); /* coordinates there and back */
            fit_problem_free(&p);
            fit_data_free(&d);
        }
}
