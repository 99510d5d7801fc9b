/* muscale sweep plan|run|status|...: the table of sub-commands, their options, and the way from words to a plan */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/num.h"
#include "cli/sweep_parts.h"

enum { MAX_WORKERS = 1024, MAX_STREAMS = 64, BAD_SHOWN = 100 };

sweep_settings sweep_settings_default(void)
{
    return (sweep_settings){.max_bank = SWEEP_NOT_GIVEN,
                            .streams = SWEEP_NOT_GIVEN,
                            .fail_fast = SWEEP_NOT_GIVEN,
                            .every_s = NAN,
                            .task = SWEEP_NOT_GIVEN,
                            .job = slurm_settings_unset()};
}

status sweep_one_argument(const sweep_settings *x, const char *what, const char **out, err *e)
{
    if (x->rest.n < 2) return err_set(e, ST_USAGE, "sweep %s: %s is missing", x->rest.items[0], what);
    if (x->rest.n > 2)
        return err_set(e, ST_USAGE, "sweep %s: '%s' is one argument too many", x->rest.items[0], x->rest.items[2]);
    *out = x->rest.items[1];
    return ST_OK;
}

const char *sweep_duration(double s, char buf[32])
{
    if (s < 90) snprintf(buf, 32, "%.0f s", s);
    else if (s < 5400) snprintf(buf, 32, "%.0f min", s / 60);
    else if (s < 48 * 3600.0) snprintf(buf, 32, "%.1f h", s / 3600);
    else snprintf(buf, 32, "%.1f days", s / 86400);
    return buf;
}

/* ---- from words to a plan --------------------------------------------------------------------------------------- */

static status plan_settings(sweep_plan_opts *o, const sweep_settings *x, err *e)
{
    trainer_config scratch;
    long here = sysconf(_SC_NPROCESSORS_ONLN);
    int64_t workers = x->workers ? x->workers : here > 0 ? here : 1;
    if (x->workers < 0 || workers > MAX_WORKERS)
        return err_set(e, ST_USAGE, "-j: %lld: between 1 and %d workers", (long long)x->workers, (int)MAX_WORKERS);
    if (x->max_bank != SWEEP_NOT_GIVEN && (x->max_bank < 1 || x->max_bank > 4096))
        return err_set(e, ST_USAGE, "--max-bank: %lld: between 1 and 4096 runs", (long long)x->max_bank);
    if (x->streams != SWEEP_NOT_GIVEN && (x->streams < 1 || x->streams > MAX_STREAMS))
        return err_set(e, ST_USAGE, "--streams: %lld: between 1 and %d banks at a time", (long long)x->streams,
                       (int)MAX_STREAMS);
    if (x->streams > 1 && (!x->device || !strcmp(x->device, "cpu")))
        return err_set(e, ST_USAGE, "--streams is for a device, as in --device cuda --streams 4; on the CPU, -j "
                       "workers share one bank");
    if (!(x->memory_gib >= 0)) return err_set(e, ST_USAGE, "--memory: a number of GiB, as in --memory 8");
    if (x->flops_rate < 0) return err_set(e, ST_USAGE, "--flops-rate: FLOP/s of this machine, as in --flops-rate 5e10");
    config_default(&scratch);
    if (x->device && config_set(&scratch, "backend", x->device, "--device", e)) {
        if (e) e->code = ST_USAGE;
        return ST_USAGE;
    }
    *o = sweep_plan_opts_default();
    o->workers = (int)workers;
    o->max_bank = x->max_bank == SWEEP_NOT_GIVEN ? 0 : (size_t)x->max_bank;
    o->streams = x->streams == SWEEP_NOT_GIVEN ? 0 : (size_t)x->streams;
    o->memory_limit = (size_t)(x->memory_gib * 0x1p30);
    o->backend = x->device;
    o->no_trunks = x->no_trunks;
    return ST_OK;
}

static void show_notes(const cli *c, const sweep_spec *s, const sweep_plan *p)
{
    size_t n = 0, first = 0;
    for (size_t i = 0; i < s->n_notes; i++) cli_note(c, "%s", s->notes[i]);
    if (p->n_merged)
        cli_note(c, "%s: %zu cells describe a run that is already there; merged", s->doc.path, p->n_merged);
    for (size_t i = p->n_runs; i-- > 0;)
        if (*p->runs[i].config.note) n++, first = i;
    if (p->n_excluded) cli_note(c, "%s: %zu of %zu cells are excluded", s->doc.path, p->n_excluded, p->n_cells);
    for (size_t i = 0; i < s->n_rules; i++) {
        char place[SWEEP_PLACE];
        if (!p->rule_cells[i])
            cli_warn(c, "%s: this rule of exclude leaves out no cell", sweep_spec_place(s, s->rules[i].at, place));
    }
    sweep_note_early_stop(c, s, p);
    if (n) cli_note(c, "%s: %zu run%s: %s", s->doc.path, n, n > 1 ? "s, the first" : "", p->runs[first].config.note);
}

/* The cells that cannot be built are named before the summary; tens of thousands only when they are asked for. */
static void show_bad(const cli *c, const sweep_plan *p)
{
    cli plain = *c;
    plain.json = false;
    const size_t shown = c->verbosity > 0 || p->n_bad <= BAD_SHOWN ? p->n_bad : BAD_SHOWN;
    for (size_t i = 0; i < shown; i++) {
        err one = {0};
        err_set(&one, ST_INPUT, "%s", p->bad[i]);
        cli_fail(&plain, &one);
    }
    if (shown < p->n_bad) cli_warn(c, "%zu more cells that cannot be built (-v lists all)", p->n_bad - shown);
}

status sweep_plan_of(cli *c, const sweep_settings *x, const char *path, const char *const *overrides, size_t n,
                     sweep_spec *s, sweep_plan *p, err *e)
{
    sweep_plan_opts o;
    status st = plan_settings(&o, x, e);
    if (!st) st = sweep_spec_load(s, path, overrides, n, e);
    if (!st && x->early_stop) st = early_stop_word(&s->early_stop, x->early_stop, e);
    if (!st) st = sweep_plan_make(p, s, &o, e);
    if (st) show_bad(c, p);
    else show_notes(c, s, p);
    return st;
}

status sweep_plan_words(cli *c, const sweep_settings *x, sweep_spec *s, sweep_plan *p, err *e)
{
    const char *const *words = x->rest.items;
    status st = x->rest.n < 2 || strchr(words[1], '=')
                    ? err_set(e, ST_USAGE, "sweep %s: SPEC.yaml is missing", words[0])
                    : ST_OK;
    for (size_t i = 2; i < x->rest.n && !st; i++)
        if (!strchr(words[i], '='))
            st = err_set(e, ST_USAGE, "sweep %s: '%s' is one argument too many; after the spec come overrides,"
                         " key=v1,v2", words[0], words[i]);
    return st ? st : sweep_plan_of(c, x, words[1], words + 2, x->rest.n - 2, s, p, e);
}

/* ---- the command ---------------------------------------------------------------------------------------------- */

typedef enum where { PLAN = 1, RUN = 2, STATUS = 4, COLLECT = 8, WATCH = 16, RETRY = 32, SUBMIT = 64, WORK = 128 } where;
static const struct sub {
    const char *name;
    where bit;
    status (*run)(cli *, const sweep_settings *, err *);
} subs[] = {
    {"plan", PLAN, sweep_plan_cmd},
    {"run", RUN, sweep_run_cmd},
    {"submit", SUBMIT, sweep_submit_cmd},
    {"work", WORK, sweep_work_cmd},
    {"status", STATUS, sweep_status_cmd},
    {"watch", WATCH, sweep_watch_cmd},
    {"retry", RETRY, sweep_retry_cmd},
    {"collect", COLLECT, sweep_collect_cmd},
};
enum { N_SUBS = sizeof subs / sizeof *subs, MAX_OPTS = 48 };

static const struct sub *find_sub(const char *name)
{
    for (size_t i = 0; i < N_SUBS; i++)
        if (!strcmp(subs[i].name, name)) return &subs[i];
    return NULL;
}

/* The options of the sub-commands in `mask`. */
static size_t options(cli_opt out[MAX_OPTS], sweep_settings *x, unsigned mask)
{
    const struct {
        unsigned who;
        cli_opt opt;
    } all[] = {
        {RUN | SUBMIT,
         {"output", 'o', OPT_TEXT, &x->out, "CAMPAIGN", "run, submit: folder of the campaign, made when absent"}},
        {PLAN | RUN | RETRY | WORK,
         {"jobs", 'j', OPT_I64, &x->workers, "N", "plan, run, retry, work: worker threads (default: processors)"}},
        {PLAN | RUN | RETRY | SUBMIT | WORK,
         {"max-bank", 0, OPT_I64, &x->max_bank, "R",
          "plan, run, retry: at most R runs train in lock-step (default 16, on a device by shape)"}},
        {PLAN | RUN | RETRY | SUBMIT | WORK,
         {"memory", 0, OPT_F64, &x->memory_gib, "GIB",
          "plan, run, retry: for the banks at work (default: half of the memory; 7/8 of a device's that is free)"}},
        {PLAN | RUN | RETRY | SUBMIT | WORK,
         {"device", 0, OPT_TEXT, &x->device, "D",
          "plan, run, retry: backend of every run: cpu, cuda (bf16) or cuda-fp32"}},
        {PLAN | RUN | RETRY | SUBMIT | WORK,
         {"streams", 0, OPT_I64, &x->streams, "K",
          "plan, run, retry: banks at a time on a device (default: until it is full)"}},
        {PLAN | RUN | RETRY,
         {"no-trunks", 0, OPT_FLAG, &x->no_trunks, NULL,
          "plan, run, retry: runs that differ in their budget only train their stable steps each for itself"}},
        {PLAN,
         {"flops-rate", 0, OPT_F64, &x->flops_rate, "F", "plan: FLOP/s to reckon time with, instead of measuring"}},
        {PLAN,
         {"no-calibrate", 0, OPT_FLAG, &x->no_calibrate, NULL, "plan: do not measure this machine (about a second)"}},
        {PLAN | RUN,
         {"early-stop", 0, OPT_TEXT, &x->early_stop, "RULE",
          "plan, run: median, hyperband or off, instead of the spec's early_terminate"}},
        {RUN | RETRY,
         {"fail-fast", 0, OPT_I64_MAYBE, &x->fail_fast, "k",
          "run, retry: stop after k failed runs (--fail-fast=k; alone: 1)"}},
        {RUN | SUBMIT,
         {"amend", 0, OPT_FLAG, &x->amend, NULL,
          "run, submit: replace the campaign's plan by this spec; no run is deleted"}},
        {RETRY, {"failed", 0, OPT_FLAG, &x->failed, NULL, "retry: runs that failed, from their checkpoints"}},
        {RETRY,
         {"missing", 0, OPT_FLAG, &x->missing, NULL,
          "retry: waiting, partial and stopped runs (default: --failed --missing)"}},
        {RETRY,
         {"diverged", 0, OPT_FLAG, &x->diverged, NULL,
          "retry: runs that diverged, from the start; what they did before goes to attempts/"}},
        {RETRY | SUBMIT,
         {"dry-run", 0, OPT_FLAG, &x->dry_run, NULL,
          "retry, submit: say what would be done (submit: the script and the commands), and do nothing"}},
        {WATCH,
         {"every", 0, OPT_F64, &x->every_s, "S", "watch: seconds between two looks (default 2; not a terminal: 60)"}},
        {COLLECT,
         {"csv", 0, OPT_TEXT, &x->csv, "FILE", "collect: also a table in CSV, a line for each run (-: stdout)"}},
        {COLLECT, {"jsonl", 0, OPT_TEXT, &x->jsonl, "FILE", "collect: the same as JSON lines (-: stdout)"}},
        {SUBMIT, {"slurm", 0, OPT_FLAG, &x->slurm, NULL, "submit: by sbatch, as a job array"}},
        {SUBMIT, {"timeout-min", 0, OPT_I64, &x->job.timeout_min, "M", "submit: time limit of a task (default: the partition's)"}},
        {SUBMIT, {"cpus-per-task", 0, OPT_I64, &x->job.cpus_per_task, "N", "submit: cores and worker threads (default 1)"}},
        {SUBMIT,
         {"gpus-per-node", 0, OPT_I64, &x->job.gpus_per_node, "N", "submit: GPUs of a task (default 1 where runs want one)"}},
        {SUBMIT,
         {"array-parallelism", 0, OPT_I64, &x->job.array_parallelism, "N", "submit: tasks at a time (default 256)"}},
        {SUBMIT,
         {"max-num-timeout", 0, OPT_I64, &x->job.max_num_timeout, "N",
          "submit: restarts of a task after its time limit or a killed worker (default 3)"}},
        {SUBMIT,
         {"signal-delay-s", 0, OPT_I64, &x->job.signal_delay_s, "S",
          "submit: checkpoint so many seconds before the time limit (default 120)"}},
        {SUBMIT,
         {"runs-per-task", 0, OPT_I64, &x->job.runs_per_task, "N",
          "submit: at most so many (default: as cost no more than the longest bank)"}},
        {SUBMIT, {"partition", 0, OPT_TEXT, &x->job.partition, "P", "submit: of Slurm"}},
        {SUBMIT, {"account", 0, OPT_TEXT, &x->job.account, "A", "submit: of Slurm"}},
        {SUBMIT, {"sbatch", 0, OPT_LIST, &x->job_lines, "OPTION", "submit: one more option of sbatch: --sbatch=--mem=4G"}},
        {WORK, {"submission", 0, OPT_I64, &x->submission, "N", "work: of this submission (default: the newest)"}},
        {WORK, {"task", 0, OPT_I64, &x->task, "K", "work: train the runs of this task"}},
        {WORK, {"help-others", 0, OPT_FLAG, &x->help_others, NULL, "work: then those of others that nobody is at"}},
    };
    _Static_assert(sizeof all / sizeof *all <= MAX_OPTS, "MAX_OPTS holds them all");
    size_t n = 0;
    for (size_t i = 0; i < sizeof all / sizeof *all; i++)
        if (all[i].who & mask) out[n++] = all[i].opt;
    return n;
}

static status unknown_sub(const char *name, err *e)
{
    const char *names[N_SUBS];
    char all[256] = "";
    for (size_t i = 0, n = 0; i < N_SUBS && n < sizeof all; i++) {
        names[i] = subs[i].name;
        n += (size_t)snprintf(all + n, sizeof all - n, "%s%s", !i ? "" : i + 1 < N_SUBS ? ", " : " or ", names[i]);
    }
    const char *near = name ? num_nearest_word(name, names, N_SUBS) : NULL;
    if (near) return err_set(e, ST_USAGE, "sweep: unknown sub-command '%s'; did you mean '%s'?", name, near);
    if (name) return err_set(e, ST_USAGE, "sweep: unknown sub-command '%s'; it is one of %s", name, all);
    return err_set(e, ST_USAGE, "sweep: a sub-command is missing: %s", all);
}

int cmd_sweep(cli *c, int argc, char **argv)
{
    sweep_settings x = sweep_settings_default();
    cli_opt opts[MAX_OPTS];
    err e = {0};
    const char *word = NULL;
    for (int i = 1; i < argc && !word; i++)
        if (argv[i][0] != '-') word = argv[i];
    const struct sub *sub = word ? find_sub(word) : NULL;
    status st = word && !sub ? unknown_sub(word, &e) : ST_OK;
    if (!st) st = cli_parse(c, opts, options(opts, &x, sub ? sub->bit : ~0u), argc, argv, &x.rest, &e);
    if (!st && !c->show_help) st = sub ? sub->run(c, &x, &e) : unknown_sub(NULL, &e);
    free(x.rest.items);
    free(x.job_lines.items);
    cli plain = *c;
    if (st == ST_PARTIAL) plain.json = false; /* the object with the counts is out already, and there is only one */
    return st ? cli_usage(&plain, "sweep", &e) : 0;
}
