/* What plan and run say about early stopping. */
#include "cli/sweep_parts.h"

/* Runs that are never judged: no bracket before their end. */
static size_t never(const sweep_spec *s, const sweep_plan *p)
{
    int64_t steps[EARLY_STOP_BRACKETS];
    size_t n = 0, n_steps;
    for (size_t i = 0; i < p->n_runs; i++) {
        early_stop_steps(steps, &n_steps, &s->early_stop, &p->runs[i].config);
        n += !n_steps;
    }
    return n;
}

void sweep_note_early_stop(const cli *c, const sweep_spec *s, const sweep_plan *p)
{
    const char *rule = early_stop_name(s->early_stop.kind);
    size_t blind = 0;
    if (s->early_stop.kind == EARLY_STOP_NONE) return;
    for (size_t i = 0; i < p->n_runs; i++) blind += !early_stop_by_validation(&p->runs[i].config);
    const size_t unjudged = never(s, p);
    if (blind)
        cli_note(c, "early stopping: %s compares smoothed training losses of %zu run%s; for validation losses"
                 " set val_every",
                 rule, blind, blind > 1 ? "s" : "");
    if (unjudged)
        cli_warn(c, "early stopping: %s never judges %zu of %zu runs: the first step it would judge them at is"
                 " not before their end",
                 rule, unjudged, p->n_runs);
}

void sweep_print_early_stop(const sweep_spec *s, const sweep_plan *p)
{
    const early_stop_rule *r = &s->early_stop;
    const trainer_config *c = &p->runs[p->n_runs ? p->order[p->banks[0].first] : 0].config;
    int64_t steps[EARLY_STOP_BRACKETS];
    size_t n;
    if (r->kind == EARLY_STOP_NONE || !p->n_runs) return;
    early_stop_steps(steps, &n, r, c);
    printf("early stopping: %s of %s; the longest run, of %lld steps, is judged", early_stop_name(r->kind),
           early_stop_metric(c), (long long)p->runs[p->order[p->banks[0].first]].steps);
    if (r->kind == EARLY_STOP_MEDIAN && n) printf(" from step %lld on", (long long)steps[0]);
    for (size_t i = 0; r->kind == EARLY_STOP_HYPERBAND && i < n; i++)
        printf("%s %lld", i ? "," : n > 1 ? " at steps" : " at step", (long long)steps[i]);
    puts(n ? "; the figures here are without it" : " never");
}
