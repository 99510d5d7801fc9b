/* muscale sweep status, and what watch and retry say of runs in the same words */
#include <math.h>
#include <string.h>

#include "cli/sweep_parts.h"

enum { REASONS_SHOWN = 20 };

static void print_row(const campaign_entry *run, const sweep_row *r)
{
    char loss[32] = "-";
    if (isfinite(r->loss)) snprintf(loss, sizeof loss, "%.4f", r->loss);
    printf("%s  %-13s %8lld/%-8lld %9s  %s", run->id, sweep_state_name(r->state), (long long)r->step,
           (long long)run->steps, loss, run->name);
    if (*r->owner) printf("  [%s]", r->owner);
    if (*r->message) printf("  %s", r->message);
    putchar('\n');
}

/* What went wrong, without -v: states in the order of the table, damage and failures are not hidden by divergence. */
static void print_reasons(const sweep_status *s)
{
    size_t all = 0, left = REASONS_SHOWN;
    for (int k = SWEEP_N_STATES; k-- > 0;) {
        if (!sweep_states[k].shown) continue;
        all += s->counts[k];
        for (size_t i = 0; i < s->plan.n_runs && left; i++)
            if (s->rows[i].state == (sweep_state)k) print_row(&s->plan.runs[i], &s->rows[i]), left--;
    }
    if (all > REASONS_SHOWN) printf("  ... %zu more (-v shows all)\n", all - REASONS_SHOWN);
}

void sweep_counts_text(char *out, size_t size, const sweep_status *s)
{
    size_t n = 0;
    *out = 0;
    for (int k = 0; k < SWEEP_N_STATES && n < size; k++)
        if (s->counts[k])
            n += (size_t)snprintf(out + n, size - n, "%s%zu %s", n ? ", " : "", s->counts[k],
                                  sweep_state_name((sweep_state)k));
}

const char *sweep_retry_hint(char out[256], const sweep_status *s, const char *campaign)
{
    size_t failed = 0, missing = 0; /* divergence is a result, nothing to mend */
    for (int k = 0; k < SWEEP_N_STATES; k++) {
        failed += sweep_states[k].again == SWEEP_AGAIN_FAILED ? s->counts[k] : 0;
        missing += sweep_states[k].again == SWEEP_AGAIN_MISSING ? s->counts[k] : 0;
    }
    *out = 0;
    if (failed) snprintf(out, 256, "`muscale sweep retry %.150s --failed` runs the failed ones again", campaign);
    else if (missing && !s->counts[SWEEP_RUNNING])
        snprintf(out, 256, "nobody is at work; `muscale sweep retry %.150s` runs what is missing", campaign);
    return out;
}

static void print_status(const cli *c, const sweep_status *s, const char *campaign)
{
    char jobs[256];
    char counts[320], hint[256];
    sweep_counts_text(counts, sizeof counts, s);
    printf("%s: %zu runs: %s; %.0f %% of %.3g FLOPs\n", campaign, s->plan.n_runs, counts,
           floor(100 * s->progress), s->flops_total);
    if (*slurm_jobs(campaign, jobs)) printf("Slurm: jobs %s\n", jobs);
    if (s->outside) printf("%zu more in runs/ that the plan does not name\n", s->outside);
    if (s->attempts)
        printf("%zu earlier attempt%s kept in attempts/\n", s->attempts, s->attempts > 1 ? "s are" : " is");
    for (size_t i = 0; i < s->plan.n_runs && c->verbosity > 0; i++) print_row(&s->plan.runs[i], &s->rows[i]);
    if (c->verbosity == 0) print_reasons(s);
    if (*sweep_retry_hint(hint, s, campaign)) cli_note(c, "%s", hint);
}

status sweep_status_cmd(cli *c, const sweep_settings *x, err *e)
{
    const char *campaign = NULL;
    sweep_status s = {0};
    status st = sweep_one_argument(x, "CAMPAIGN", &campaign, e);
    if (!st) st = sweep_status_read(&s, campaign, e);
    if (!st && c->json) cli_json_out(sweep_status_json(&s, campaign));
    else if (!st) print_status(c, &s, campaign);
    sweep_status_free(&s);
    return st;
}
