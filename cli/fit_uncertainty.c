#include "cli/fit_uncertainty.h"

#include <math.h>
#include <string.h>

static const double GROSSLY = 2; /* one interval this many times as wide as the other */

static const char *shown(char *buf, size_t size, double x, const char *unknown)
{
    if (isnan(x)) snprintf(buf, size, "%s", unknown);
    else snprintf(buf, size, fabs(x) >= 1e5 || fabs(x) < 1e-3 ? "%.4e" : "%.6g", x);
    return buf;
}

static void print_interval(FILE *f, const fit_profile *p)
{
    char lo[32], hi[32];
    if (isnan(p->inflation)) {
        fprintf(f, "%s to %s  (by the likelihood alone)", shown(lo, sizeof lo, p->lo, "unbounded"), shown(hi, sizeof hi, p->hi, "unbounded"));
        return;
    }
    fprintf(f, "%s to %s", shown(lo, sizeof lo, p->robust_lo, "unbounded"), shown(hi, sizeof hi, p->robust_hi, "unbounded"));
    if (p->inflation > 1)
        fprintf(f, "  (c %.2f; by the likelihood alone %s to %s)", p->inflation, shown(lo, sizeof lo, p->lo, "unbounded"),
                shown(hi, sizeof hi, p->hi, "unbounded"));
}

/* Parameters of which resamples and likelihood say very different things; an open profile beside a closed bootstrap is one. */
static bool disagree(const fit_profile *p, const fit_estimate *boot)
{
    double lo = isnan(p->inflation) ? p->lo : p->robust_lo, hi = isnan(p->inflation) ? p->hi : p->robust_hi;
    if (isnan(boot->lo)) return false;
    if (isnan(lo) || isnan(hi)) return true;
    double ratio = (hi - lo) / (boot->hi - boot->lo);
    return ratio > GROSSLY || ratio < 1 / GROSSLY || lo > boot->hi || hi < boot->lo;
}

void fit_print_profiles(FILE *f, const fit_result *r)
{
    char names[256] = "";
    for (size_t k = 0; k < r->n_profiles; k++) {
        const fit_profile *p = &r->profiles[k];
        size_t n = strlen(names);
        fprintf(f, "  profile of %-8s 95 %% ", r->names[p->param]);
        print_interval(f, p);
        fputc('\n', f);
        if (disagree(p, &r->params[p->param])) snprintf(names + n, sizeof names - n, "%s%s", n ? ", " : "", r->names[p->param]);
    }
    if (names[0])
        fprintf(f, "note: profile and bootstrap differ grossly in %s: rows that resampling leaves out decide, or several minima; take the "
                   "wider\n", names);
}

void fit_print_holdout(FILE *f, const fit_result *r)
{
    if (r->holdout_n)
        fprintf(f, "held out: %zu rows, mean error %.3g, largest %.3g (relative)\n", r->holdout_n, r->holdout_mean, r->holdout_max);
}

static const char *percent(char *buf, size_t size, double x)
{
    if (isnan(x)) snprintf(buf, size, "-");
    else snprintf(buf, size, "%.0f %%", 100 * x);
    return buf;
}

void fit_print_backtest(FILE *f, const fit_result *r)
{
    char covered[24];
    fit_beyond b[FIT_MAX_BEYOND];
    size_t n = fit_backtest_beyond(b, r);
    if (!r->n_folds) return;
    fprintf(f, "back-test: fitted up to a cut, asked about all larger rows\n  %-10s %6s %6s %10s %10s %10s  %s\n", "cut", "fitted", "asked",
            "mean err", "largest", "bias", "inside their 95 %");
    for (size_t k = 0; k < r->n_folds; k++) {
        const fit_fold *q = &r->folds[k];
        fprintf(f, "  %-10.3g %6zu %6zu %9.3g%% %9.3g%% %+9.2g%%  %s%s\n", q->cut, q->n_train, q->n_test, 100 * q->mean, 100 * q->max,
                100 * q->bias, percent(covered, sizeof covered, q->covered), q->verdict == FIT_REFUSE ? "  (refused)" : "");
    }
    fprintf(f, "  and by how far beyond the cut, all folds\n");
    for (size_t k = 0; k < n; k++) {
        char to[24];
        snprintf(to, sizeof to, isinf(b[k].to) ? "on" : "%.1f", b[k].to);
        fprintf(f, "  %.1f to %-3s decades  %6zu %9.3g%% %9.3g%% %+9.2g%%  %s\n", b[k].from, to, b[k].n, 100 * b[k].mean, 100 * b[k].max,
                100 * b[k].bias, percent(covered, sizeof covered, b[k].covered));
    }
}

void fit_print_asked(FILE *f, const fit_result *r)
{
    char v[32], lo[32], hi[32];
    for (size_t k = 0; k < r->n_asked; k++) {
        const fit_asked *q = &r->asked[k];
        fprintf(f, "at");
        for (size_t c = 0; c < r->n_cols; c++) fprintf(f, "%s %s %.6g", c ? "," : "", r->cols[c], q->x[c]);
        if (q->decades > 0) fprintf(f, " (%.1f decades beyond the data)", q->decades);
        fprintf(f, ": %s %s\n", r->points.target, shown(v, sizeof v, q->predicted, "- (the fit is refused)"));
        if (!isnan(q->ci[0]))
            fprintf(f, "  mean of the law    95 %% %s to %s\n", shown(lo, sizeof lo, q->ci[0], "-"), shown(hi, sizeof hi, q->ci[1], "-"));
        if (!isnan(q->pi[0]))
            fprintf(f, "  one new run        95 %% %s to %s\n", shown(lo, sizeof lo, q->pi[0], "-"), shown(hi, sizeof hi, q->pi[1], "-"));
        if (q->profiled) {
            fprintf(f, "  profile            95 %% ");
            print_interval(f, &q->profile);
            fputc('\n', f);
        }
    }
}
