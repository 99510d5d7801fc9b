/* Laws of whole loss curves: rows of the table. What they compute stands in fit/curve.c, their schedules come with the
 * data (fit_data.runs). Parameters carry the unit of the learning rate, and S1 and alpha the warm-up convention. */
#include <math.h>
#include <stdlib.h>

#include "fit/curve.h"
#include "fit/law.h"

static status bind(fit_model *m, const fit_data *data, bool drops, err *e)
{
    const char *name = m->law->name;
    if (!data) return err_set(e, ST_DOMAIN, "law %s describes whole curves: it has no value at a single point", name);
    if (!data->runs) return err_set(e, ST_INPUT, "law %s needs the learning-rate schedules of its runs", name);
    m->state = malloc(sizeof(fit_curves));
    if (!m->state) return err_set(e, ST_NOMEM, "no memory for curves");
    return fit_curves_init(m->state, data->runs, data->n, data->runs->lambda, drops, e);
}

static status bind_anneal(fit_model *m, const fit_data *data, err *e) { return bind(m, data, false, e); }
static status bind_mpl(fit_model *m, const fit_data *data, err *e) { return bind(m, data, true, e); }

static void unbind(fit_model *m)
{
    if (m->state) fit_curves_free(m->state);
    free(m->state);
}

static void eval_anneal(const fit_model *m, double *scratch, double *ln_pred, double *jac, double *curv,
                        const double *theta, const fit_rows *rows)
{
    (void)scratch;
    fit_anneal_eval(ln_pred, jac, curv, m->state, rows->row, rows->n, theta);
}

static void eval_mpl(const fit_model *m, double *scratch, double *ln_pred, double *jac, double *curv,
                     const double *theta, const fit_rows *rows)
{
    (void)scratch;
    fit_mpl_eval(ln_pred, jac, curv, m->state, rows->row, rows->n, theta);
}

static void linear_anneal(const fit_model *m, bool *linear)
{
    (void)m;
    linear[FIT_ANNEAL_L0] = linear[FIT_ANNEAL_A] = linear[FIT_ANNEAL_C] = true;
}

static void linear_mpl(const fit_model *m, bool *linear)
{
    (void)m;
    linear[FIT_MPL_L0] = linear[FIT_MPL_A] = linear[FIT_MPL_B] = true;
}

/* Gradient in the linear parameters only: nobody asks for the others. */
static void affine_anneal(const fit_model *m, double *scratch, double *f, double *grad, const double *v,
                          const fit_rows *rows)
{
    const fit_curves *c = m->state;
    size_t n = rows->n;
    (void)scratch;
    for (size_t i = 0; i < n; i++) {
        double power = exp(-v[FIT_ANNEAL_ALPHA] * c->ln_s1[rows->row[i]]), s2 = c->s2[rows->row[i]];
        f[i] = v[FIT_ANNEAL_L0] + v[FIT_ANNEAL_A] * power - v[FIT_ANNEAL_C] * s2;
        grad[FIT_ANNEAL_L0 * n + i] = 1;
        grad[FIT_ANNEAL_A * n + i] = power;
        grad[FIT_ANNEAL_C * n + i] = -s2;
    }
}

static void affine_mpl(const fit_model *m, double *scratch, double *f, double *grad, const double *v,
                       const fit_rows *rows)
{
    const fit_curves *c = m->state;
    size_t n = rows->n;
    (void)scratch;
    for (size_t i = 0; i < n; i++) {
        double h[FIT_N_H], power = exp(-v[FIT_MPL_ALPHA] * c->ln_s1[rows->row[i]]);
        fit_curves_h(h, c, rows->row[i], log(v[FIT_MPL_C]), v[FIT_MPL_BETA], v[FIT_MPL_GAMMA], false);
        f[i] = v[FIT_MPL_L0] + v[FIT_MPL_A] * power - v[FIT_MPL_B] * h[FIT_H];
        grad[FIT_MPL_L0 * n + i] = 1;
        grad[FIT_MPL_A * n + i] = power;
        grad[FIT_MPL_B * n + i] = -h[FIT_H];
    }
}

#define L0 {"L0", "loss at infinite S1 and no annealing, nats per token", true, 0, INFINITY, 3, {0, .7, 1.4}}
#define A {"A", "size of the S1 term", true, 0, INFINITY, 3, {-2, 0, 2}}

/* The published grid of lr-anneal is 3^4; which values, is not on record. */
const fit_law fit_law_anneal = {
    .name = "lr-anneal",
    .formula = "L(s) = L0 + A S1(s)^-alpha - C S2(s)",
    .source = "Tissue et al. 2024 (arXiv:2408.11029); S1 the summed learning rate, S2 the summed momentum "
              "(0.999) of its drops",
    .n_params = FIT_ANNEAL_PARAMS,
    .params = {L0, A, {"alpha", "exponent of S1", false, 0, 10, 6, {.15, .3, .5, .7, 1, 1.5}},
               {"C", "loss per unit of S2, 1/learning rate", true, 0, INFINITY, 3, {-3, 0, 3}}},
    .n_cols = 1,
    .cols = {"step"},
    .zero_ok = {true},
    .curves = true,
    .floor = "L0",
    .nulls = {{"C", 0, "a loss that the learning rate's decay does not lower"}},
    .bind = bind_anneal,
    .unbind = unbind,
    .linear = linear_anneal,
    .affine = affine_anneal,
    .eval = eval_anneal};

/* The domain's ends are no limits of the law: an exponent beyond them is a step, or nothing at all. C is that of
 * learning rates around 1e-4 to 1e-2; it goes with gamma as C peak^-gamma, so the grid is wide. */
const fit_law fit_law_multi_power = {
    .name = "multi-power",
    .formula = "L(s) = L0 + A S1(s)^-alpha - B sum_{k<=s} (eta_{k-1} - eta_k) (1 - (1 + C eta_k^-gamma S_k(s))^-beta)",
    .source = "Luo et al. 2025, Multi-Power Law (thu-yao-01-luo/MultiPowerLaw); S_k(s) the learning rate summed "
              "from step k to s",
    .n_params = FIT_MPL_PARAMS,
    .params = {L0, A, {"alpha", "exponent of S1", false, 0, 10, 2, {.35, .7}},
               {"B", "loss per unit of learning rate dropped", true, 0, INFINITY, 3, {3, 6, 9}},
               {"C", "rate at which a drop takes effect", true, 0, INFINITY, 3, {-2.3, 0, 2.3}},
               {"beta", "exponent with which a drop takes effect", true, 1e-4, 100, 2, {-1.6, -.4}},
               {"gamma", "exponent of the learning rate after the drop", false, -2, 10, 3, {.25, .6, 1}}},
    .n_cols = 1,
    .cols = {"step"},
    .zero_ok = {true},
    .curves = true,
    .floor = "L0",
    .nulls = {{"B", 0, "a loss that the learning rate's decay does not lower"}},
    .bind = bind_mpl,
    .unbind = unbind,
    .linear = linear_mpl,
    .affine = affine_mpl,
    .eval = eval_mpl};
