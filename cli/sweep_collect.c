/* muscale sweep collect */
#include "cli/sweep_parts.h"

void sweep_warn_of(const cli *c, const campaign_counts *n)
{
    if (n->n_damaged) cli_warn(c, "%s", n->note);
    if (n->n_eps > 1) cli_warn(c, "%s (the worst of %zu such runs; column eps_share)", n->eps_note, n->n_eps);
    else if (n->n_eps) cli_warn(c, "%s", n->eps_note);
}

status sweep_collect_cmd(cli *c, const sweep_settings *x, err *e)
{
    const char *campaign = NULL;
    campaign_counts n;
    status st = sweep_one_argument(x, "CAMPAIGN", &campaign, e);
    if (!st) st = campaign_collect(&n, campaign, e);
    if (st) return st;
    sweep_warn_of(c, &n);
    if (c->json)
        cli_json_out(json_pack("{s:s, s:s, s:I, s:I, s:I, s:I}", "schema", "muscale.collect/1", "campaign", campaign,
                               "n_runs", (json_int_t)n.n_runs, "n_published", (json_int_t)n.n_published, "n_damaged",
                               (json_int_t)n.n_damaged, "n_early_stopped",
                               (json_int_t)n.by_state[STORE_EARLY_STOPPED]));
    else
        printf("%s: campaign.h5 holds %zu runs (%zu done, %zu diverged, %zu stopped early); %zu run.h5 written now\n",
               campaign, n.n_runs, n.by_state[STORE_DONE], n.by_state[STORE_DIVERGED],
               n.by_state[STORE_EARLY_STOPPED], n.n_published);
    return ST_OK;
}
