/* muscale sweep collect */
#include <string.h>

#include "cli/sweep_parts.h"
#include "sweeps/export.h"

void sweep_warn_of(const cli *c, const campaign_counts *n)
{
    if (n->n_damaged > 1)
        cli_warn(c, "%s (and %zu more that cannot be read; `muscale sweep status` names them)", n->note,
                 n->n_damaged - 1);
    else if (n->n_damaged) cli_warn(c, "%s", n->note);
    if (n->n_eps > 1) cli_warn(c, "%s (the worst of %zu such runs; column eps_share)", n->eps_note, n->n_eps);
    else if (n->n_eps) cli_warn(c, "%s", n->eps_note);
}

static bool is_stdout(const char *path) { return path && !strcmp(path, "-"); }

/* Nothing is overwritten that the campaign lives from, and stdout holds one thing. */
static status check_outputs(const cli *c, const sweep_settings *x, const char *campaign, err *e)
{
    static const char *const names[] = {"spec.yaml", "plan.json", "campaign.h5"};
    enum { N = sizeof names / sizeof *names };
    char paths[N][IO_PATH_MAX];
    const char *items[N + 1];
    cli_list own = {items, N};
    status st = ST_OK;
    if (is_stdout(x->csv) + is_stdout(x->jsonl) + (c->json && (is_stdout(x->csv) || is_stdout(x->jsonl))) > 1)
        return err_set(e, ST_USAGE,
                       "only one of --csv -, --jsonl - and --json may go to stdout; give a file for the rest");
    for (size_t i = 0; i < N && !st; i++) {
        st = io_join(paths[i], campaign, names[i], e);
        items[i] = paths[i];
    }
    if (!st && x->csv && !is_stdout(x->csv)) st = cli_check_output(x->csv, &own, e);
    if (x->csv) items[own.n++] = x->csv;
    if (!st && x->jsonl && !is_stdout(x->jsonl)) st = cli_check_output(x->jsonl, &own, e);
    if (!st && x->csv && x->jsonl && !strcmp(x->csv, x->jsonl))
        st = err_set(e, ST_USAGE, "--csv and --jsonl name one file, %s; give two", x->csv);
    return st;
}

static json_t *counts_json(const campaign_counts *n)
{
    json_t *j = json_object();
    for (int s = STORE_PARTIAL; s < STORE_N_STATES; s++)
        json_object_set_new(j, store_state_name((store_state)s), json_integer((json_int_t)n->by_state[s]));
    return j;
}

static void print_result(const cli *c, const sweep_settings *x, const char *campaign, const campaign_counts *n)
{
    if (c->json) {
        json_t *j = json_pack("{s:s, s:s, s:I, s:I, s:I, s:o}", "schema", "muscale.collect/1", "campaign", campaign,
                              "n_runs", (json_int_t)n->n_runs, "n_published", (json_int_t)n->n_published, "n_damaged",
                              (json_int_t)n->n_damaged, "counts", counts_json(n));
        json_object_set_new(j, "damaged", n->n_damaged ? json_string(n->note) : json_null());
        json_object_set_new(j, "csv", x->csv ? json_string(x->csv) : json_null());
        json_object_set_new(j, "jsonl", x->jsonl ? json_string(x->jsonl) : json_null());
        cli_json_out(j);
        return;
    }
    FILE *to = is_stdout(x->csv) || is_stdout(x->jsonl) ? stderr : stdout; /* a table on stdout stands alone there */
    if (to == stderr && c->verbosity < 0) return;
    fprintf(to, "%s: campaign.h5 holds %zu runs (%zu done, %zu diverged, %zu stopped early); %zu run.h5 written now\n",
            campaign, n->n_runs - n->n_damaged, n->by_state[STORE_DONE], n->by_state[STORE_DIVERGED],
            n->by_state[STORE_EARLY_STOPPED], n->n_published);
}

status sweep_collect_cmd(cli *c, const sweep_settings *x, err *e)
{
    const char *campaign = NULL;
    campaign_counts n;
    table t = {0};
    status st = sweep_one_argument(x, "CAMPAIGN", &campaign, e);
    if (!st) st = check_outputs(c, x, campaign, e);
    if (!st) st = campaign_collect_table(&n, &t, campaign, e);
    if (!st) sweep_warn_of(c, &n);
    if (!st && x->csv) st = export_write(x->csv, &t, EXPORT_CSV, e);
    if (!st && x->jsonl) st = export_write(x->jsonl, &t, EXPORT_JSONL, e);
    if (!st) print_result(c, x, campaign, &n);
    table_free(&t);
    return st;
}
