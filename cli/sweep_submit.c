/* muscale sweep submit --slurm: opens the campaign, writes its scripts, hands them to sbatch, and ends. */
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/sweep_parts.h"
#include "kernels/kernels.h"
#include "sweeps/campaign.h"

enum { MAX_WORKER_ARGS = 16 };

/* What the scripts name: jobs start elsewhere, maybe on another machine. */
typedef struct places {
    char campaign[2 * IO_PATH_MAX], directory[IO_PATH_MAX], muscale[IO_PATH_MAX];
    char words[MAX_WORKER_ARGS][64];
    const char *args[MAX_WORKER_ARGS];
    size_t n_args;
} places;

static status find_places(places *at, const char *out, err *e)
{
    ssize_t n = readlink("/proc/self/exe", at->muscale, sizeof at->muscale - 1);
    if (n < 0) return err_set(e, ST_SYSTEM, "/proc/self/exe: cannot be read: %s", strerror(errno));
    at->muscale[n] = 0;
    if (!getcwd(at->directory, sizeof at->directory))
        return err_set(e, ST_SYSTEM, "the current folder has no name: %s", strerror(errno));
    const int len = *out == '/' ? snprintf(at->campaign, sizeof at->campaign, "%s", out)
                                : snprintf(at->campaign, sizeof at->campaign, "%s/%s", at->directory, out);
    if (len >= IO_PATH_MAX - 64) return err_set(e, ST_INPUT, "%s: this path is too long", out);
    for (size_t k = strlen(at->campaign); k > 1 && at->campaign[k - 1] == '/'; k--) at->campaign[k - 1] = 0;
    status st = slurm_check_path(at->campaign, e);
    if (!st) st = slurm_check_path(at->directory, e);
    return st ? st : slurm_check_path(at->muscale, e);
}

static void pass_on(places *at, const char *option, const char *value)
{
    at->args[at->n_args++] = option;
    at->args[at->n_args++] = value;
}

/* What a run of this plan would have been told. */
static void worker_args(places *at, const sweep_settings *x)
{
    if (x->device) pass_on(at, "--device", x->device);
    if (x->max_bank != SWEEP_NOT_GIVEN) {
        snprintf(at->words[0], sizeof at->words[0], "%lld", (long long)x->max_bank);
        pass_on(at, "--max-bank", at->words[0]);
    }
    if (x->streams != SWEEP_NOT_GIVEN) {
        snprintf(at->words[1], sizeof at->words[1], "%lld", (long long)x->streams);
        pass_on(at, "--streams", at->words[1]);
    }
    if (x->memory_gib > 0) {
        snprintf(at->words[2], sizeof at->words[2], "%.17g", x->memory_gib);
        pass_on(at, "--memory", at->words[2]);
    }
}

static status find_finished(bool **out, size_t *n, const char *campaign, const sweep_plan *p, err *e)
{
    *n = 0;
    if (!(*out = calloc(p->n_runs + 1, 1))) return err_set(e, ST_NOMEM, "%s: no memory for %zu runs", campaign, p->n_runs);
    for (size_t i = 0; i < p->n_runs; i++) {
        char dir[IO_PATH_MAX];
        store_look look;
        if (campaign_run_dir(dir, campaign, p->runs[i].id, NULL) || store_peek(&look, dir, NULL)) continue;
        (*out)[i] = store_is_final(look.state);
        *n += (*out)[i];
    }
    return ST_OK;
}

/* ---- what is said ---------------------------------------------------------------------------------------------- */

static json_t *result_json(const slurm_submission *s, const char *campaign, bool dry)
{
    char range[64];
    json_t *arrays = json_array();
    for (size_t i = 0; i < s->n_arrays; i++)
        json_array_append_new(arrays, json_pack("{s:s, s:I, s:s?}", "array", slurm_range(s, i, range), "first_task",
                                                (json_int_t)s->arrays[i].first_task, "job",
                                                *s->arrays[i].job ? s->arrays[i].job : NULL));
    return json_pack("{s:s, s:s, s:o, s:I, s:I, s:o, s:s?, s:b}", "schema", "muscale.submit/1", "campaign", campaign,
                     "submission", s->number ? json_integer(s->number) : json_null(), "n_runs",
                     (json_int_t)s->tasks->n_runs, "n_tasks", (json_int_t)s->tasks->n, "arrays", arrays, "collect",
                     *s->collect ? s->collect : NULL, "dry_run", dry);
}

static status show_dry(const cli *c, slurm_submission *s, const char *campaign, err *e)
{
    char *script = slurm_array_script(s);
    if (!script) return err_set(e, ST_NOMEM, "%s: no memory for the script", campaign);
    if (c->json) {
        json_t *j = result_json(s, campaign, true);
        json_object_set_new(j, "script", json_string(script));
        cli_json_out(j);
    } else fputs(script, stdout);
    free(script);
    cli_note(c, "%zu runs in %zu tasks, %zu job array%s; nothing was written or submitted", s->tasks->n_runs,
             s->tasks->n, s->n_arrays, s->n_arrays > 1 ? "s" : "");
    return ST_OK;
}

static void show(const cli *c, const slurm_submission *s, const char *campaign)
{
    char range[64];
    if (c->json) {
        cli_json_out(result_json(s, campaign, false));
        return;
    }
    printf("%s: %zu runs in %zu tasks:", campaign, s->tasks->n_runs, s->tasks->n);
    for (size_t i = 0; i < s->n_arrays; i++)
        printf("%s job %s [%s]", i ? "," : "", s->arrays[i].job, slurm_range(s, i, range));
    printf("; then job %s collects\n", s->collect);
    cli_note(c, "script %s/slurm/array.sh, output in %s/slurm/log", campaign, campaign);
}

/* ---- the command ------------------------------------------------------------------------------------------------- */

static status submit(cli *c, const sweep_settings *x, const sweep_spec *s, const sweep_plan *p, err *e)
{
    places at = {0};
    slurm_settings job = x->job;
    slurm_tasks tasks = {0};
    bool *finished = NULL;
    size_t n_finished = 0, largest = 0;
    char note[512] = "";
    const bool on_device = *p->device.name;
    slurm_submission sub = {.campaign = at.campaign, .directory = at.directory, .muscale = at.muscale,
                            .worker_args = at.args, .x = &job, .tasks = &tasks, .plan = p};
    status st = slurm_settings_fill(&job, s, on_device, e);
    if (!st) st = find_places(&at, x->out, e);
    worker_args(&at, x);
    sub.n_worker_args = at.n_args;
    if (!st && !x->dry_run) st = campaign_open(x->out, s, p, x->amend, note, e);
    if (!st && *note) cli_note(c, "%s", note);
    if (!st) st = find_finished(&finished, &n_finished, x->out, p, e);
    if (!st) st = slurm_tasks_make(&tasks, p, finished, job.runs_per_task, e);
    if (!st && n_finished) cli_note(c, "%zu of %zu runs are finished already", n_finished, p->n_runs);
    if (!st && tasks.n) st = slurm_max_array_size(&largest, e);
    if (!st && tasks.n) st = slurm_split(&sub, largest, e);
    if (x->dry_run) sub.number = slurm_newest(at.campaign) + 1;
    if (!st && x->dry_run) st = show_dry(c, &sub, x->out, e);
    else if (!st && tasks.n) {
        st = slurm_write(&sub, e);
        if (!st) st = slurm_submit(&sub, e);
        if (!st) show(c, &sub, x->out);
    } else if (!st && c->json) cli_json_out(result_json(&sub, x->out, false));
    else if (!st) printf("%s: all %zu runs are finished; nothing to submit\n", x->out, p->n_runs);
    free(sub.arrays);
    free(finished);
    slurm_tasks_free(&tasks);
    return st;
}

status sweep_submit_cmd(cli *c, const sweep_settings *given, err *e)
{
    sweep_settings x = *given;
    sweep_spec s = {0};
    sweep_plan p = {0};
    status st = !x.slurm ? err_set(e, ST_USAGE, "sweep submit: --slurm is missing: the only scheduler there is; without one "
                                   "use `muscale sweep run`")
                : !x.out ? err_set(e, ST_USAGE, "sweep submit: -o CAMPAIGN is missing: the folder for runs, journals and results")
                         : ST_OK;
    if (!st && x.job_lines.n > SLURM_MAX_LINES)
        st = err_set(e, ST_USAGE, "--sbatch: more than %d options", (int)SLURM_MAX_LINES);
    for (size_t i = 0; i < x.job_lines.n && !st; i++) x.job.lines[x.job.n_lines++] = x.job_lines.items[i];
    if (!st) st = slurm_settings_check(&x.job, e);
    /* banks as one core would like them, unless told; which runs share one is decided again by each worker */
    x.workers = x.job.cpus_per_task == SLURM_NOT_GIVEN ? 1 : x.job.cpus_per_task;
    if (!st) st = sweep_plan_words(c, &x, &s, &p, e);
    if (!st) st = submit(c, &x, &s, &p, e);
    sweep_plan_free(&p);
    sweep_spec_free(&s);
    return st;
}
