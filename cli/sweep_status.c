/* muscale sweep status */
#include <math.h>

#include "cli/sweep_parts.h"
#include "sweeps/status.h"

static void print_row(const campaign_entry *run, const sweep_row *r)
{
    char loss[32] = "-";
    if (isfinite(r->loss)) snprintf(loss, sizeof loss, "%.4f", r->loss);
    printf("%s  %-8s %8lld/%-8lld %9s  %s", run->id, sweep_state_name(r->state), (long long)r->step,
           (long long)run->steps, loss, run->name);
    if (*r->owner) printf("  [%s]", r->owner);
    if (*r->message) printf("  %s", r->message);
    putchar('\n');
}

status sweep_status_cmd(cli *c, const sweep_settings *x, err *e)
{
    const char *campaign = NULL;
    char jobs[256];
    sweep_status s = {0};
    bool first = true;
    status st = sweep_one_argument(x, "CAMPAIGN", &campaign, e);
    if (!st) st = sweep_status_read(&s, campaign, c->json || c->verbosity > 0, e);
    if (!st && c->json) cli_json_out(sweep_status_json(&s, campaign));
    else if (!st) {
        printf("%s: %zu runs:", campaign, s.plan.n_runs);
        for (int k = 0; k < SWEEP_N_STATES; k++)
            if (s.counts[k])
                printf("%s %zu %s", first ? "" : ",", s.counts[k], sweep_state_name((sweep_state)k)), first = false;
        printf("; %.0f %% of %.3g FLOPs\n", s.flops_total > 0 ? 100 * s.flops_done / s.flops_total : 0.0,
               s.flops_total);
        if (*slurm_jobs(campaign, jobs)) printf("Slurm: jobs %s\n", jobs);
        if (s.outside) printf("%zu more in runs/ that the plan does not name\n", s.outside);
        for (size_t i = 0; i < s.plan.n_runs && c->verbosity > 0; i++) print_row(&s.plan.runs[i], &s.rows[i]);
    }
    sweep_status_free(&s);
    return st;
}
