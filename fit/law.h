/* What the files of the law table share: parameter kinds, and how a formula becomes a law. */
#ifndef FIT_LAW_H
#define FIT_LAW_H
#include "fit/fit.h"

/* Exponents: a loss law that rises with N is none (lo 0); 10 is far beyond anything published. */
#define LAW_EXPONENT(name, meaning) {name, meaning, false, 0, 10, 5, {0, .5, 1, 1.5, 2}}
#define LAW_FLOOR {"E", "irreducible loss, nats per token", true, 0, INFINITY, 5, {-1, -.5, 0, .5, 1}}
#define LAW_AMPLITUDE(name, meaning) {name, meaning, true, 0, INFINITY, 6, {0, 5, 10, 15, 20, 25}}

/* A law whose body is a formula (fit/expr.h): compiled when it is bound, differentiated exactly. */
#define LAW_OF_FORMULA \
        .bind = fit_formula_bind, .unbind = fit_formula_unbind, .narrow = fit_formula_narrow, .linear = fit_formula_linear, \
        .affine = fit_formula_affine, .eval = fit_formula_eval

status fit_formula_bind(fit_model *m, const fit_data *data, err *e);
void fit_formula_unbind(fit_model *m);
status fit_formula_narrow(fit_model *m, const bool *free, err *e);
void fit_formula_linear(const fit_model *m, bool *linear);
fit_affine_fn fit_formula_affine;
fit_eval_fn fit_formula_eval, fit_eval_powers;

extern const fit_law fit_law_chinchilla, fit_law_power;                                               /* law_powers.c */
extern const fit_law fit_law_kaplan, fit_law_data_constrained, fit_law_overtraining, fit_law_downstream; /* law_loss.c */
extern const fit_law fit_law_filtering;                                                               /* law_filtering.c */
extern const fit_law fit_law_lr_power, fit_law_lr_power_x, fit_law_batch_power, fit_law_batch_power_x; /* law_hyper.c */
extern const fit_law fit_law_precision, fit_law_ptq, fit_law_sparsity;                                /* law_number.c */
extern const fit_law fit_law_anneal, fit_law_multi_power;                                             /* law_curves.c */
#endif
