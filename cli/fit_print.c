#include "cli/fit_print.h"

#include <math.h>
#include <string.h>

static const char *shown(char *buf, size_t size, double x)
{
    if (isnan(x)) snprintf(buf, size, "-");
    else snprintf(buf, size, fabs(x) >= 1e5 || fabs(x) < 1e-3 ? "%.4e" : "%.6g", x);
    return buf;
}

static void print_estimate(FILE *f, const char *name, const fit_estimate *p)
{
    char v[32], se[32], lo[32], hi[32];
    bool raw = isnan(p->value) && !isnan(p->raw) && p->raw != 0;
    fprintf(f, "  %-8s %12s", name, shown(v, sizeof v, p->value));
    if (!isnan(p->se))
        fprintf(f, "   se %-11s 95 %% %s to %s", shown(se, sizeof se, p->se), shown(lo, sizeof lo, p->lo),
                shown(hi, sizeof hi, p->hi));
    if (p->fixed) fprintf(f, "   pinned%s", isnan(p->se) ? "" : " (drawn with the earlier fit)");
    if (p->at_bound) fprintf(f, "   at its bound");
    if (raw) fprintf(f, "   not identified (the minimiser stands at %s)", shown(v, sizeof v, p->raw));
    fputc('\n', f);
}

static void print_basins(FILE *f, const fit_result *r)
{
    char v[32], cut[64] = "";
    if (r->n_cut) snprintf(cut, sizeof cut, ", %zu left early, far from it", r->n_cut);
    if (!isnan(r->objective_value))
        fprintf(f, "objective %s %.10g; %zu of %zu starts reached it, %zu rejected (terms dead or not stationary)%s\n",
                r->objective, r->objective_value, r->n_reached, r->n_starts, r->n_rejected, cut);
    for (size_t b = 0; b < r->n_basins && r->n_basins > 1; b++) {
        fprintf(f, "  basin %zu: %.8g, %zu starts;", b + 1, r->basins[b].objective_value, r->basins[b].n_starts);
        for (size_t j = 0; j < r->n_params; j++)
            fprintf(f, " %s %s", r->names[j], shown(v, sizeof v, r->basins[b].params[j]));
        fputc('\n', f);
    }
}

static void print_budgets(FILE *f, const fit_result *r)
{
    char c[32], n[32], d[32], l[32];
    if (r->n_budgets) fprintf(f, "  %-12s %5s %12s %12s %10s\n", "C", "runs", "N_opt", "D_opt", "loss");
    for (size_t k = 0; k < r->n_budgets; k++) {
        const fit_budget *b = &r->budgets[k];
        fprintf(f, "  %-12s %5zu", shown(c, sizeof c, b->C), b->n);
        if (b->bracketed)
            fprintf(f, " %12s %12s %10s\n", shown(n, sizeof n, b->N_opt), shown(d, sizeof d, b->D_opt),
                    shown(l, sizeof l, b->loss_opt));
        else fprintf(f, " dropped: %s\n", b->why);
    }
    if (r->n_budgets)
        fprintf(f, "N_opt = N_coef C^a_opt, D_opt = D_coef C^b_opt. A parabola is exact only for alpha = beta and "
                   "sizes centred on the optimum:\n"
                   "prefer the parametric fit of the same rows where both exist (doc/laws.md).\n");
}

static double json_number(const json_t *o, const char *key)
{
    const json_t *v = json_object_get(o, key);
    return json_is_number(v) ? json_number_value(v) : NAN;
}

static void print_lr(FILE *f, const fit_result *r)
{
    const json_t *groups = json_object_get(r->extra, "groups"), *trend = json_object_get(r->extra, "trend");
    for (size_t i = 0; i < json_array_size(groups); i++) {
        const json_t *g = json_array_get(groups, i), *ci = json_object_get(g, "ci95"), *why = json_object_get(g, "why");
        fprintf(f, "  %-12s width %-6g %2d runs  ", json_string_value(json_object_get(g, "parametrisation")),
                json_number(g, "width"), (int)json_number(g, "n"));
        if (json_is_true(json_object_get(g, "bracketed")))
            fprintf(f, "lr* %.4g (%.4g to %.4g), loss %.4f\n", exp2(json_number(g, "log2_lr_opt")),
                    exp2(json_number_value(json_array_get(ci, 0))), exp2(json_number_value(json_array_get(ci, 1))),
                    json_number(g, "loss_opt"));
        else fprintf(f, "no optimum: %s\n", json_is_string(why) ? json_string_value(why) : "");
    }
    for (size_t i = 0; i < json_array_size(trend); i++) {
        const json_t *t = json_array_get(trend, i), *ci = json_object_get(json_object_get(t, "ci95"), "p");
        if (isnan(json_number(t, "p"))) continue;
        fprintf(f, "  %-12s lr* = %.4g width^%.3f", json_string_value(json_object_get(t, "parametrisation")),
                json_number(t, "c"), json_number(t, "p"));
        if (json_array_size(ci) == 2)
            fprintf(f, "  (exponent %.3f to %.3f)", json_number_value(json_array_get(ci, 0)),
                    json_number_value(json_array_get(ci, 1)));
        fputc('\n', f);
    }
}

void fit_print(FILE *f, const fit_result *r)
{
    const fit_law *law = NULL;
    for (size_t i = 0; i < fit_n_laws; i++)
        if (!strcmp(fit_laws[i]->name, r->law)) law = fit_laws[i];
    fprintf(f, "%s%s%s%s%s, %zu rows\n", r->law, law || r->formula[0] ? ": " : "", law ? law->formula : r->formula, r->x[0] ? ", x = " : "",
            r->x, r->n_points);
    for (size_t j = 0; j < r->n_params; j++) print_estimate(f, r->names[j], &r->params[j]);
    if (!r->n_budgets && (!isnan(r->a_opt.value) || !isnan(r->a_opt.raw)) && law && law->allocation) {
        fprintf(f, "N_opt = G (C/6)^a_opt, D_opt = (C/6)^b_opt / G\n");
        print_estimate(f, "a_opt", &r->a_opt);
        print_estimate(f, "b_opt", &r->b_opt);
        print_estimate(f, "G", &r->G);
    }
    for (size_t k = 0; k < r->n_derived; k++) print_estimate(f, r->derived_names[k], &r->derived[k]);
    print_basins(f, r);
    print_budgets(f, r);
    print_lr(f, r);
    for (size_t k = 0; k < r->n_profiles; k++) {
        const fit_profile *p = &r->profiles[k];
        char lo[32], hi[32];
        fprintf(f, "  profile of %-8s 95 %% %s to %s\n", r->names[p->param], isnan(p->lo) ? "unbounded" : shown(lo, sizeof lo, p->lo),
                isnan(p->hi) ? "unbounded" : shown(hi, sizeof hi, p->hi));
    }
    if (!isnan(r->log_likelihood))
        fprintf(f, "ln L %.4f, AIC %.2f, BIC %.2f (%s)\n", r->log_likelihood, r->aic, r->bic, isnan(r->aicc) ? "too few rows for AICc" : "with the scale");
    if (!isnan(r->residual_sd)) fprintf(f, "residual sd of ln L %.3g", r->residual_sd);
    if (!isnan(r->seed_sd)) fprintf(f, ", between seeds %.3g", r->seed_sd);
    if (!isnan(r->residual_sd)) fputc('\n', f);
    if (r->boot_n && r->n_params)
        fprintf(f, "bootstrap: %zu of %zu resamples, by %s, seed %llu\n", r->boot_ok, r->boot_n,
                r->points.cluster_name[0] ? r->points.cluster_name
                : r->n_budgets            ? "row within a budget"
                                          : "row",
                (unsigned long long)r->seed);
    if (r->holdout_n)
        fprintf(f, "held out: %zu rows, mean error %.3g, largest %.3g (relative)\n", r->holdout_n, r->holdout_mean,
                r->holdout_max);
    if (r->n_folds) fprintf(f, "back-test: fitted up to a cut, asked about all larger rows\n  %-10s %6s %6s %10s %10s %10s  %s\n", "cut", "fitted", "asked", "mean err", "largest", "bias", "inside their 95 %");
    for (size_t k = 0; k < r->n_folds; k++) {
        const fit_fold *q = &r->folds[k];
        char covered[24] = "-";
        if (!isnan(q->covered)) snprintf(covered, sizeof covered, "%.0f %%", 100 * q->covered);
        fprintf(f, "  %-10.3g %6zu %6zu %9.3g%% %9.3g%% %+9.2g%%  %s%s\n", q->cut, q->n_train, q->n_test, 100 * q->mean, 100 * q->max, 100 * q->bias, covered,
                q->verdict == FIT_REFUSE ? "  (refused)" : "");
    }
    fprintf(f, "N counts: %s; C by: %s\n", r->count_rule, r->flops_rule);
    fprintf(f, "verdict: %s\n", fit_verdict_name(r->trust.verdict));
    for (size_t k = 0; k < r->trust.n; k++)
        fprintf(f, "  %s: %s\n", r->trust.reasons[k].code, r->trust.reasons[k].message);
}
