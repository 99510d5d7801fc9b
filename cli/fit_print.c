#include "cli/fit_print.h"

#include <math.h>
#include <string.h>

#include "cli/fit_methods.h"
#include "cli/fit_uncertainty.h"

const char *fit_shown(char *buf, size_t size, double x)
{
    if (isnan(x)) snprintf(buf, size, "-");
    else snprintf(buf, size, fabs(x) >= 1e5 || fabs(x) < 1e-3 ? "%.4e" : "%.6g", x);
    return buf;
}

static void print_estimate(FILE *f, const char *name, const fit_estimate *p)
{
    char v[32], se[32], lo[32], hi[32];
    bool raw = isnan(p->value) && !isnan(p->raw) && p->raw != 0;
    fprintf(f, "  %-8s %12s", name, fit_shown(v, sizeof v, p->value));
    if (!isnan(p->se))
        fprintf(f, "   se %-11s 95 %% %s to %s", fit_shown(se, sizeof se, p->se), fit_shown(lo, sizeof lo, p->lo),
                fit_shown(hi, sizeof hi, p->hi));
    if (p->fixed) fprintf(f, "   pinned%s", isnan(p->se) ? "" : " (drawn with the earlier fit)");
    if (p->at_bound) fprintf(f, "   at its bound");
    if (raw) fprintf(f, "   not identified (the minimiser stands at %s)", fit_shown(v, sizeof v, p->raw));
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
        fprintf(f, "  basin %zu: %.8g, ", b + 1, r->basins[b].objective_value);
        if (r->basins[b].n_starts) fprintf(f, "%zu starts;", r->basins[b].n_starts);
        else fprintf(f, "by a probe between the others;");
        for (size_t j = 0; j < r->n_params; j++)
            if (!r->params[j].fixed) fprintf(f, " %s %s", r->names[j], fit_shown(v, sizeof v, r->basins[b].params[j]));
        fputc('\n', f);
    }
}

void fit_print(FILE *f, const fit_result *r)
{
    const fit_law *law = NULL;
    for (size_t i = 0; i < fit_n_laws; i++)
        if (!strcmp(fit_laws[i]->name, r->law)) law = fit_laws[i];
    const char *resampled = json_string_value(json_object_get(r->extra, "resampled"));
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
    fit_print_methods(f, r);
    fit_print_profiles(f, r);
    if (!isnan(r->log_likelihood))
        fprintf(f, "ln L %.4f, AIC %.2f, BIC %.2f (%s)\n", r->log_likelihood, r->aic, r->bic, isnan(r->aicc) ? "too few rows for AICc" : "with the scale");
    if (!isnan(r->residual_sd)) fprintf(f, "residual sd of ln L %.3g", r->residual_sd);
    if (!isnan(r->residual_sd) && !isnan(r->seed_sd)) fprintf(f, ", between seeds %.3g", r->seed_sd);
    if (!isnan(r->residual_sd)) fputc('\n', f);
    if (r->boot_n && r->n_params)
        fprintf(f, "bootstrap: %zu of %zu resamples, by %s, seed %llu\n", r->boot_ok, r->boot_n,
                r->points.cluster_name[0] ? r->points.cluster_name
                : resampled               ? resampled
                                          : "row",
                (unsigned long long)r->seed);
    fit_print_holdout(f, r);
    fit_print_backtest(f, r);
    fit_print_asked(f, r);
    fprintf(f, "N counts: %s; C by: %s\n", r->count_rule, r->flops_rule);
    fprintf(f, "verdict: %s\n", fit_verdict_name(r->trust.verdict));
    for (size_t k = 0; k < r->trust.n; k++)
        fprintf(f, "  %s: %s\n", r->trust.reasons[k].code, r->trust.reasons[k].message);
}
