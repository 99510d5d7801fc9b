/* muscale sweep work: one task of a submission. What a job of slurm/array.sh runs; by hand it does the same. */
#include <stdlib.h>

#include "cli/sweep_parts.h"
#include "sweeps/campaign.h"

static status spec_of(char out[IO_PATH_MAX], const char *campaign, err *e)
{
    status st = io_join(out, campaign, "spec.yaml", e);
    if (st || io_exists(out)) return st;
    return err_set(e, ST_INPUT, "%s: no campaign (there is no spec.yaml); `muscale sweep submit SPEC.yaml -o %s --slurm` "
                   "makes one", campaign, campaign);
}

static status train_task(cli *c, sweep_settings *x, const sweep_spec *s, const sweep_plan *p, err *e)
{
    sweep_progress result = {0};
    size_t n = 0, gone = 0;
    bool *mine = calloc(p->n_runs + 1, sizeof *mine);
    if (!mine) return err_set(e, ST_NOMEM, "%s: no memory for %zu runs", x->out, p->n_runs);
    status st = slurm_task_runs(mine, &n, &gone, x->out, x->submission, x->task, p, e);
    if (!st && gone) cli_note(c, "%zu runs of task %lld are no longer in the plan", gone, (long long)x->task);
    if (!st) cli_note(c, "task %lld: %zu runs", (long long)x->task, n);
    x->only = mine;
    x->no_collect = true;
    if (!st) st = sweep_train(&result, c, x, s, p, e);
    if (!st && x->help_others) {
        x->only = NULL;
        st = sweep_train(&result, c, x, s, p, e);
    }
    if (result.total && (!c->json || !st || st == ST_PARTIAL)) sweep_print_result(c, x->out, &result);
    free(mine);
    return st;
}

status sweep_work_cmd(cli *c, const sweep_settings *given, err *e)
{
    sweep_settings x = *given;
    sweep_spec s = {0};
    sweep_plan p = {0};
    char path[IO_PATH_MAX];
    status st = sweep_one_argument(&x, "CAMPAIGN", &x.out, e);
    if (!st && x.task == SWEEP_NOT_GIVEN)
        st = err_set(e, ST_USAGE, "sweep work: --task K is missing: which task of the submission");
    if (!st && (x.task < 0 || x.submission < 0))
        st = err_set(e, ST_USAGE, "sweep work: --task and --submission are numbers from 0 and 1 on");
    if (!st) st = spec_of(path, x.out, e);
    if (!st) st = sweep_plan_of(c, &x, path, NULL, 0, &s, &p, e);
    if (!st) st = train_task(c, &x, &s, &p, e);
    sweep_plan_free(&p);
    sweep_spec_free(&s);
    return st;
}
