/* The report of `muscale mup transfer`, for people and as JSON. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "cli/config_json.h"
#include "cli/mup_transfer.h"
#include "config.h"

/* ---- text ------------------------------------------------------------------------------------------------------- */

static void print_penalty(const transfer_penalty *p)
{
    if (isinf(p->nats)) printf("  diverges");
    else if (isnan(p->nats)) printf("  -");
    else if (isnan(p->ci95[0])) printf("  %+.4f%s%s", p->nats, *p->why ? "  " : "", p->why);
    else if (isinf(p->ci95[1])) printf("  %+.4f [%+.4f, diverges]", p->nats, p->ci95[0]);
    else printf("  %+.4f [%+.4f, %+.4f]", p->nats, p->ci95[0], p->ci95[1]);
}

static void print_groups(const transfer_line *line, const transfer_result *r)
{
    const lr_group *first = r->opt.groups;
    char head[48], carried[48] = "penalty";
    snprintf(head, sizeof head, "best %s", line->x);
    if (first->bracketed) snprintf(carried, sizeof carried, "penalty of %.3g, nats", exp2(first->log2_lr_opt));
    printf("  %9s %5s %14s  %-22s %6s %6s %8s  %s\n", line->size, "runs", head, "95 %", "noise", "grid", "loss",
           carried);
    for (size_t g = 0; g < r->opt.n_groups; g++) {
        const lr_group *x = &r->opt.groups[g];
        printf("  %9.10g %5zu", x->width, x->n);
        if (!x->bracketed) {
            printf(" %14s  not bracketed: %s\n", "-", x->why);
            continue;
        }
        char ci[48];
        snprintf(ci, sizeof ci, "[%.4g, %.4g]", exp2(x->ci95[0]), exp2(x->ci95[1]));
        printf(" %14.4g  %-22s %6.3f %6.3f %8.4f", exp2(x->log2_lr_opt), ci, x->sd_noise, x->sd_grid, x->loss_opt);
        print_penalty(&r->penalty[g]);
        putchar('\n');
    }
}

static void print_verdict(const transfer_report *rep, const transfer_line *line, const transfer_result *r)
{
    const lr_trend *t = r->opt.trends;
    const lr_noise *z = r->opt.noise;
    if (t->has_ci)
        printf("  drift %+.3f [%+.3f, %+.3f] octaves per doubling of the %s", t->p, t->ci_p[0], t->ci_p[1],
               line->size);
    else if (t->has_value) printf("  drift %+.3f octaves per doubling of the %s, no interval", t->p, line->size);
    else printf("  no drift");
    if (*t->why) printf(" (%s)", t->why);
    if (t->has_ci) printf(" (sd: noise %.3f, grid %.3f; scatter x%.2f)", t->sd_noise, t->sd_grid, t->birge);
    putchar('\n');
    if (z->seed_sd > 0) printf("  seeds differ by %.4f nats (sd)%s", z->seed_sd, z->sd > 0 ? "; " : "\n");
    else if (z->sd > 0) printf("  ");
    if (z->sd > 0) printf("noise of a %s %.4f nats (%s)\n", strstr(z->source, "seeds") ? "run" : "level", z->sd, z->source);
    if (r->verdict == TRANSFER_EXCLUDED)
        printf("  verdict: drift beyond %g octave/doubling excluded\n", rep->opts.beyond);
    else if (r->verdict == TRANSFER_DRIFTS) printf("  verdict: drifts\n");
    else if (t->has_ci)
        printf("  verdict: undecided: only drift beyond %.3g octave/doubling is excluded\n", r->excluded_beyond);
    else printf("  verdict: undecided\n");
}

static void print_rule(const transfer_line *line, const transfer_rule *x, const lr_group *held)
{
    char law[48], ci[48] = "-", error[48] = "";
    int used = snprintf(law, sizeof law, "%s", x->text);
    if (!isnan(x->p)) used += snprintf(law + used, sizeof law - (size_t)used, ", p %+.3f", x->p);
    if (!isnan(x->q)) snprintf(law + used, sizeof law - (size_t)used, ", q %+.3f", x->q);
    printf("  %-12s %-26s", line->parametrisation, law);
    if (isnan(x->log2_x)) {
        printf(" %s\n", x->why);
        return;
    }
    snprintf(ci, sizeof ci, "%.4g [%.4g, %.4g]", exp2(x->log2_x), exp2(x->ci95[0]), exp2(x->ci95[1]));
    printf(" %-31s", ci);
    if (!x->errors) {
        printf(" %s\n", x->why);
        return;
    }
    snprintf(error, sizeof error, "%+.2f [%+.2f, %+.2f]", x->error, x->error_ci95[0], x->error_ci95[1]);
    printf(" %-10.4g %-22s", exp2(held->log2_lr_opt), error);
    print_penalty(&x->penalty);
    putchar('\n');
}

/* Who wins by one measure: in `share` of the resamples the constant. */
static void print_winner(const char *word, double share, const char *constant, const char *law)
{
    const int percent = (int)lround(100 * (share > 0.5 ? share : 1 - share));
    if (share >= 0.95) printf("  %s: %s (%d %% of the resamples)\n", word, constant, percent);
    else if (share <= 0.05) printf("  %s: %s (%d %% of the resamples)\n", word, law, percent);
    else printf("  %s: undecided (%.0f %% of the resamples for %s)\n", word, 100 * share, constant);
}

static void print_contest(const transfer_report *rep, size_t panel)
{
    const transfer_contest *k = &rep->contest[panel];
    char name[2][80];
    if (!k->held) {
        printf("  nearer: not known; both a rule of sizes and a law need bracketed optima\n");
        return;
    }
    for (int i = 0; i < 2; i++) {
        const transfer_rule *x = &rep->results[k->line[i]].rules[k->form[i]];
        snprintf(name[i], sizeof name[i], "%s %s %s", x->text, i ? "of" : "under",
                 rep->lines[k->line[i]].parametrisation);
        printf("  %s (", name[i]);
        if (isnan(x->left_out)) printf("no smaller size can be left out");
        else printf("smaller sizes, left out: %.2f octaves off", x->left_out);
        printf("): %+.2f octaves, %.4f nats%s", x->error, k->nats[i], i ? "\n" : ";");
        if (!i) printf(" against\n");
    }
    print_winner("nearer", k->share, name[0], name[1]);
    print_winner("cheaper", k->share_nats, name[0], name[1]);
}

static void print_panel(const transfer_report *rep, size_t panel)
{
    const char *size = NULL;
    for (size_t i = 0; i < rep->found.n; i++) {
        const sweep_line *l = &rep->found.lines[i];
        if (l->panel != panel) continue;
        if (!size) printf("%s over %s\n", l->x, size = sweep_axis_names[l->axis]);
        printf("\n  %s (%s)\n", l->parametrisation, l->fixed);
        print_groups(&rep->lines[i], &rep->results[i]);
        print_verdict(rep, &rep->lines[i], &rep->results[i]);
    }
    printf("\n  the largest %s, predicted from the smaller ones\n", size);
    printf("  %-12s %-26s %-31s %-10s %-22s  %s\n", "", "rule", "predicted", "measured", "error, octaves",
           "penalty, nats");
    for (size_t i = 0; i < rep->found.n; i++) {
        const lr_optimum *opt = &rep->results[i].opt;
        for (int k = 0; k < TRANSFER_FORMS && rep->found.lines[i].panel == panel; k++)
            print_rule(&rep->lines[i], &rep->results[i].rules[k], &opt->groups[opt->n_groups - 1]);
    }
    print_contest(rep, panel);
}

void transfer_print(const transfer_report *rep)
{
    for (size_t k = 0; k < rep->found.n_panels; k++) {
        if (k) putchar('\n');
        print_panel(rep, k);
    }
}

/* ---- JSON ------------------------------------------------------------------------------------------------------- */

static json_t *panel_json(const transfer_report *rep, size_t panel)
{
    json_t *lines = json_array();
    const sweep_line *any = NULL;
    for (size_t i = 0; i < rep->found.n; i++) {
        const sweep_line *l = &rep->found.lines[i];
        if (l->panel != panel) continue;
        any = l;
        json_t *o =
            json_pack("{s:s, s:s, s:s}", "parametrisation", l->parametrisation, "fixed", l->fixed, "note", l->note);
        json_t *more = transfer_json(&rep->results[i]);
        json_object_update(o, more);
        json_object_set_new(o, "config", cli_config_json(&rep->plan->runs[l->points[0].run].config));
        json_decref(more);
        json_array_append_new(lines, o);
    }
    return json_pack("{s:s, s:s, s:o, s:o}", "axis", any ? sweep_axis_names[any->axis] : "", "x", any ? any->x : "",
                     "lines", lines, "nearer", transfer_contest_json(&rep->contest[panel], rep->results, rep->lines));
}

json_t *transfer_report_json(const transfer_report *rep, const cli *c)
{
    json_t *panels = json_array(), *argv = json_array();
    for (size_t k = 0; k < rep->found.n_panels; k++) json_array_append_new(panels, panel_json(rep, k));
    for (int i = 0; i < c->argc0; i++) json_array_append_new(argv, json_string(c->argv0[i]));
    return json_pack("{s:s, s:s, s:s, s:f, s:I, s:I, s:I, s:I, s:I, s:o, s:{s:o, s:s}}", "schema",
                     "muscale.mup-transfer/1", "spec", rep->spec, "campaign", rep->campaign, "beyond", rep->opts.beyond,
                     "n_runs", (json_int_t)rep->n_runs, "n_unfinished", (json_int_t)rep->n_unfinished, "n_diverged",
                     (json_int_t)rep->n_diverged, "bootstrap", (json_int_t)rep->opts.n_draws, "seed",
                     (json_int_t)rep->opts.seed, "panels", panels, "provenance", "argv", argv, "version",
                     PACKAGE_VERSION);
}
