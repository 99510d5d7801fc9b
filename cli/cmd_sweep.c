/* muscale sweep plan|run|status|collect */
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/num.h"
#include "cli/cli.h"
#include "cli/relaunch.h"
#include "cli/sweep.h"
#include "kernels/kernels.h"
#include "sweeps/campaign.h"
#include "sweeps/status.h"
#include "sweeps/store.h"

enum { MAX_WORKERS = 1024, MAX_STREAMS = 64, BANKS_SHOWN = 24, BAD_SHOWN = 100 };
#define NEVER SWEEP_NOT_GIVEN /* --fail-fast, --max-bank, --streams */
#define GOES_ON "MUSCALE_SWEEP_GOES_ON" /* launch_local.h's `resumed`, from the process that this one goes on for */

typedef sweep_settings settings;
sweep_settings sweep_settings_default(void)
{
    return (sweep_settings){.max_bank = NEVER, .streams = NEVER, .fail_fast = NEVER};
}

/* ---- shared by plan and run ----------------------------------------------------------------------------------- */

static status one_argument(const settings *x, const char *what, const char **out, err *e)
{
    if (x->rest.n < 2) return err_set(e, ST_USAGE, "sweep %s: %s is missing", x->rest.items[0], what);
    if (x->rest.n > 2)
        return err_set(e, ST_USAGE, "sweep %s: '%s' is one argument too many", x->rest.items[0], x->rest.items[2]);
    *out = x->rest.items[1];
    return ST_OK;
}

static status plan_settings(sweep_plan_opts *o, const settings *x, err *e)
{
    trainer_config scratch;
    long here = sysconf(_SC_NPROCESSORS_ONLN);
    int64_t workers = x->workers ? x->workers : here > 0 ? here : 1;
    if (x->workers < 0 || workers > MAX_WORKERS)
        return err_set(e, ST_USAGE, "-j: %lld: between 1 and %d workers", (long long)x->workers, (int)MAX_WORKERS);
    if (x->max_bank != NEVER && (x->max_bank < 1 || x->max_bank > 4096))
        return err_set(e, ST_USAGE, "--max-bank: %lld: between 1 and 4096 runs", (long long)x->max_bank);
    if (x->streams != NEVER && (x->streams < 1 || x->streams > MAX_STREAMS))
        return err_set(e, ST_USAGE, "--streams: %lld: between 1 and %d banks at a time", (long long)x->streams,
                       (int)MAX_STREAMS);
    if (x->streams > 1 && (!x->device || !strcmp(x->device, "cpu")))
        return err_set(e, ST_USAGE, "--streams is for a device, as in --device cuda --streams 4; on the CPU, -j workers "
                       "share one bank");
    if (!(x->memory_gib >= 0)) return err_set(e, ST_USAGE, "--memory: a number of GiB, as in --memory 8");
    if (x->flops_rate < 0) return err_set(e, ST_USAGE, "--flops-rate: FLOP/s of this machine, as in --flops-rate 5e10");
    config_default(&scratch);
    if (x->device && config_set(&scratch, "backend", x->device, "--device", e)) {
        if (e) e->code = ST_USAGE;
        return ST_USAGE;
    }
    *o = sweep_plan_opts_default();
    o->workers = (int)workers;
    o->max_bank = x->max_bank == NEVER ? 0 : (size_t)x->max_bank;
    o->streams = x->streams == NEVER ? 0 : (size_t)x->streams;
    o->memory_limit = (size_t)(x->memory_gib * 0x1p30);
    o->backend = x->device;
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

status sweep_plan_of(cli *c, const settings *x, const char *path, const char *const *overrides, size_t n,
                     sweep_spec *s, sweep_plan *p, err *e)
{
    sweep_plan_opts o;
    status st = plan_settings(&o, x, e);
    if (!st) st = sweep_spec_load(s, path, overrides, n, e);
    if (!st) st = sweep_plan_make(p, s, &o, e);
    if (st) show_bad(c, p);
    else show_notes(c, s, p);
    return st;
}

static status make_plan(cli *c, const settings *x, sweep_spec *s, sweep_plan *p, err *e)
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

static const char *duration(double s, char buf[32])
{
    if (s < 90) snprintf(buf, 32, "%.0f s", s);
    else if (s < 5400) snprintf(buf, 32, "%.0f min", s / 60);
    else if (s < 48 * 3600.0) snprintf(buf, 32, "%.1f h", s / 3600);
    else snprintf(buf, 32, "%.1f days", s / 86400);
    return buf;
}

/* ---- plan ----------------------------------------------------------------------------------------------------- */

static double mib(size_t bytes) { return (double)bytes / 0x1p20; }

static void print_bank(const sweep_plan *p, const sweep_spec *s, size_t k)
{
    const sweep_bank *b = &p->banks[k];
    const sweep_run *r = &p->runs[p->order[b->first]];
    char time[32] = "-";
    double tokens = 0;
    bool mixed = false;
    for (size_t i = 0; i < b->n; i++) {
        tokens += (double)p->runs[p->order[b->first + i]].config.tokens;
        mixed = mixed || p->runs[p->order[b->first + i]].block != r->block;
    }
    if (b->seconds > 0) duration(b->seconds, time);
    printf("%5zu %5zu %8lld %8lld %10.3g %10.3g %9.1f %9s  %s\n", k + 1, b->n, (long long)r->config.shape.d_model,
           (long long)r->config.shape.n_layer, tokens, b->flops, mib(b->bytes), time,
           mixed ? "(several)" : s->blocks[r->block].name);
}

static void print_device(const sweep_plan *p)
{
    const sweep_device *d = &p->device;
    printf("device: %s, %d multiprocessors%s; ", d->name, d->multiprocessors, d->assumed ? " assumed" : "");
    if (!d->assumed) printf("%.1f of %.1f MiB are free, ", mib(d->free_bytes), mib(d->total_bytes));
    printf("banks may take %.1f MiB; %zu bank%s at a time%s\n", mib(d->budget), p->streams, p->streams > 1 ? "s" : "",
           p->streams_chosen ? "" : " as given");
}

static void print_plan(const cli *c, const sweep_plan *p, const sweep_spec *s, bool tried)
{
    char time[32];
    size_t shown = c->verbosity > 0 || p->n_banks <= BANKS_SHOWN ? p->n_banks : BANKS_SHOWN;
    printf("%s: %zu runs in %zu banks, %d worker%s\n", s->doc.path, p->n_runs, p->n_banks, p->workers,
           p->workers > 1 ? "s" : "");
    if (*p->device.name) print_device(p);
    printf("\n%5s %5s %8s %8s %10s %10s %9s %9s  %s\n", "bank", "runs", "d_model", "n_layer", "tokens", "FLOPs", "MiB",
           "time", "block");
    for (size_t k = 0; k < shown; k++) print_bank(p, s, k);
    if (shown < p->n_banks) printf("  ... %zu more banks (-v shows all)\n", p->n_banks - shown);
    printf("\ntotal: %.3g FLOPs, %.3g tokens; at most %.1f MiB at once\n", p->flops, p->tokens, mib(p->bytes_at_once));
    if (p->seconds > 0)
        printf("time: about %s (%.2f hours)%s at %.3g FLOP/s %s\n", duration(p->seconds, time), p->seconds / 3600,
               p->streams > 1 ? ", one bank after another," : "", p->flops / p->seconds,
               p->measured ? "measured here" : "as given");
    else if (p->device.assumed) puts("time: not estimated (no device here; give --flops-rate)");
    else if (tried) puts("time: not estimated (a shape could not be tried here; give --flops-rate)");
    else puts("time: not estimated (--no-calibrate without --flops-rate)");
}

/* Said before anything starts; a run says it once more, of what is free then. */
static void warn_of_memory(const cli *c, const sweep_plan *p)
{
    const sweep_bank *most = NULL;
    const size_t budget = p->device.budget;
    size_t n = 0;
    for (size_t k = 0; k < p->n_banks && *p->device.name; k++) {
        const sweep_bank *b = &p->banks[k];
        if (b->bytes <= budget || !p->classes[p->runs[p->order[b->first]].class].on_device) continue;
        n++;
        if (!most || b->bytes > most->bytes) most = b;
    }
    if (most)
        cli_warn(c, "%zu bank%s too large for the device, the largest is bank %zu: %zu run%s, %.1f MiB, banks may take "
                 "%.1f: %.1f are missing; raise grad_accum or use a smaller model", n, n > 1 ? "s are" : " is",
                 (size_t)(most - p->banks) + 1, most->n, most->n > 1 ? "s" : "", mib(most->bytes), mib(budget),
                 mib(most->bytes - budget));
}

static status sweep_plan_cmd(cli *c, const settings *x, err *e)
{
    sweep_spec s = {0};
    sweep_plan p = {0};
    const k_ops *ops = NULL;
    err why = {0};
    status st = make_plan(c, x, &s, &p, &why);
    if (st == ST_DEVICE && !k_backend(&ops, "cuda", NULL))
        err_set(e, st, "%s; to plan for a device elsewhere give its memory: --memory GIB", why.msg);
    else if (st) *e = why;
    const bool try = !x->no_calibrate && !p.device.assumed;
    if (!st) warn_of_memory(c, &p);
    if (!st && x->flops_rate > 0) sweep_plan_rate(&p, x->flops_rate);
    else if (!st && try && sweep_plan_calibrate(&p, &why)) cli_warn(c, "no time is estimated: %s", why.msg);
    if (!st && c->json) cli_json_out(sweep_plan_json(&p, &s, true));
    else if (!st) print_plan(c, &p, &s, try);
    sweep_plan_free(&p);
    sweep_spec_free(&s);
    return st;
}

/* ---- run ------------------------------------------------------------------------------------------------------ */

typedef struct screen {
    const cli *c;
    bool tty, drawn;
    double last, every;
} screen;

static void clear_line(screen *x)
{
    if (x->drawn) fputs("\r\033[K", stderr);
    x->drawn = false;
}

static void on_progress(void *self, const sweep_progress *now)
{
    screen *x = self;
    char line[320], rate[96] = "", left[32];
    double t = io_now();
    if (x->c->verbosity < 0 || (x->last > 0 && t - x->last < x->every)) return;
    x->last = t;
    if (now->flops_done > 0)
        snprintf(rate, sizeof rate, ", %.3g FLOP/s, %s left", now->flops_per_s, duration(now->seconds_left, left));
    snprintf(line, sizeof line, "%zu/%zu done (%zu diverged), %zu running, %zu failed%s%s", now->done + now->diverged,
             now->total, now->diverged, now->running, now->failed, now->others ? ", some run elsewhere" : "", rate);
    if (!x->tty) {
        cli_note(x->c, "%s", line);
        return;
    }
    clear_line(x);
    fprintf(stderr, "%s", line);
    fflush(stderr);
    x->drawn = true;
}

static void on_say(void *self, sweep_say kind, const char *line)
{
    screen *x = self;
    err one = {0};
    cli plain = *x->c;
    plain.json = false;
    clear_line(x);
    if (kind == SWEEP_NOTE) cli_note(x->c, "%s", line);
    else if (kind == SWEEP_WARN) cli_warn(x->c, "%s", line);
    else {
        err_set(&one, ST_PARTIAL, "%s", line);
        cli_fail(&plain, &one);
    }
}

static void print_result(const cli *c, const char *campaign, const sweep_progress *r)
{
    if (c->json) {
        cli_json_out(json_pack("{s:s, s:s, s:I, s:I, s:I, s:I, s:I, s:I, s:f, s:f}", "schema", "muscale.sweep/1",
                               "campaign", campaign, "n_runs", (json_int_t)r->total, "done", (json_int_t)r->done,
                               "diverged", (json_int_t)r->diverged, "failed", (json_int_t)r->failed, "others",
                               (json_int_t)r->others, "waiting", (json_int_t)r->waiting, "flops_done", r->flops_done,
                               "flops_per_s", r->flops_per_s));
        return;
    }
    printf("%s: %zu runs: %zu done, %zu diverged, %zu failed", campaign, r->total, r->done, r->diverged, r->failed);
    if (r->others) printf(", %zu run by other processes", r->others);
    if (r->waiting) printf(", %zu not finished", r->waiting);
    putchar('\n');
}

/* Said once, before anything is made on disk; a plan for another machine may name any backend. */
static status check_backends(const sweep_plan *p, err *e)
{
    status st = ST_OK;
    for (size_t i = 0; i < p->n_runs && !st; i++)
        if (!i || strcmp(p->runs[i].config.backend, p->runs[i - 1].config.backend))
            st = k_backend_ready(p->runs[i].config.backend, e);
    return st;
}

static void warn_of(const cli *c, const campaign_counts *n)
{
    if (n->n_damaged) cli_warn(c, "%s", n->note);
    if (n->n_eps > 1) cli_warn(c, "%s (the worst of %zu such runs; column eps_share)", n->eps_note, n->n_eps);
    else if (n->n_eps) cli_warn(c, "%s", n->eps_note);
}

/* A pipe cannot be read twice. */
static bool is_file(const char *path)
{
    struct stat st;
    return !stat(path, &st) && S_ISREG(st.st_mode);
}

/* After a fault that only a new process recovers from: this one becomes it. Returns when it cannot. */
static void go_on_anew(const cli *c, const char *spec, const char *handover)
{
    err why = {0};
    if (!handover || !is_file(spec)) return;
    cli_note(c, "only a new process can use the device again: going on as one");
    if (cli_relaunch(c, GOES_ON, handover, &why) != ST_INTERRUPTED) cli_warn(c, "%s", why.msg);
}

status sweep_train(sweep_progress *result, cli *c, const settings *x, const sweep_spec *s, const sweep_plan *p, err *e)
{
    char note[512], *handover = NULL;
    status st = check_backends(p, e);
    if (!st) st = campaign_open(x->out, s, p, x->amend, note, e);
    if (st) return st;
    if (*note) cli_note(c, "%s", note);
    screen view = {.c = c, .tty = isatty(STDERR_FILENO) && c->verbosity < 1};
    view.every = view.tty ? 0.9 : 60;
    sweep_launch_opts o = {.campaign = x->out,
                           .threads = p->workers,
                           .fail_fast = x->fail_fast == NEVER ? 0 : (size_t)x->fail_fast,
                           .stop = cli_catch_signals(),
                           .argv = c->argv0,
                           .argc = c->argc0,
                           .resumed = getenv(GOES_ON),
                           .handover = &handover,
                           .listener = {&view, on_progress, on_say}};
    st = sweep_launch_local(result, p, s, &o, e);
    clear_line(&view);
    go_on_anew(c, s->doc.path, handover);
    free(handover);
    if (st == ST_INTERRUPTED && cli_caught_signal() != SIGINT) {
        if (e) e->code = ST_TERMINATED;
        st = ST_TERMINATED;
    }
    if (st && st != ST_PARTIAL) return result->total = 0, st;
    campaign_counts counts;
    err why = {0};
    status collected = campaign_collect(&counts, x->out, &why);
    if (!collected) warn_of(c, &counts);
    if (collected && !st) {
        *e = why;
        st = collected;
    }
    return st;
}

static status sweep_run_cmd(cli *c, const settings *x, err *e)
{
    sweep_spec s = {0};
    sweep_plan p = {0};
    sweep_progress result = {0};
    status st = x->out ? ST_OK
                       : err_set(e, ST_USAGE,
                                 "sweep run: -o CAMPAIGN is missing: the folder for runs, journals and results");
    if (!st && x->fail_fast < 1 && x->fail_fast != NEVER)
        st = err_set(e, ST_USAGE, "--fail-fast=%lld: a positive number of failures", (long long)x->fail_fast);
    if (!st) st = make_plan(c, x, &s, &p, e);
    if (!st) st = sweep_train(&result, c, x, &s, &p, e);
    if (result.total && (!c->json || !st || st == ST_PARTIAL)) print_result(c, x->out, &result);
    sweep_plan_free(&p);
    sweep_spec_free(&s);
    return st;
}

/* ---- status, collect ------------------------------------------------------------------------------------------ */

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

static status sweep_status_cmd(cli *c, const settings *x, err *e)
{
    const char *campaign = NULL;
    sweep_status s = {0};
    bool first = true;
    status st = one_argument(x, "CAMPAIGN", &campaign, e);
    if (!st) st = sweep_status_read(&s, campaign, c->json || c->verbosity > 0, e);
    if (!st && c->json) cli_json_out(sweep_status_json(&s, campaign));
    else if (!st) {
        printf("%s: %zu runs:", campaign, s.plan.n_runs);
        for (int k = 0; k < SWEEP_N_STATES; k++)
            if (s.counts[k])
                printf("%s %zu %s", first ? "" : ",", s.counts[k], sweep_state_name((sweep_state)k)), first = false;
        printf("; %.0f %% of %.3g FLOPs\n", s.flops_total > 0 ? 100 * s.flops_done / s.flops_total : 0.0,
               s.flops_total);
        if (s.outside) printf("%zu more in runs/ that the plan does not name\n", s.outside);
        for (size_t i = 0; i < s.plan.n_runs && c->verbosity > 0; i++) print_row(&s.plan.runs[i], &s.rows[i]);
    }
    sweep_status_free(&s);
    return st;
}

static status sweep_collect_cmd(cli *c, const settings *x, err *e)
{
    const char *campaign = NULL;
    campaign_counts n;
    status st = one_argument(x, "CAMPAIGN", &campaign, e);
    if (!st) st = campaign_collect(&n, campaign, e);
    if (st) return st;
    warn_of(c, &n);
    if (c->json)
        cli_json_out(json_pack("{s:s, s:s, s:I, s:I, s:I}", "schema", "muscale.collect/1", "campaign", campaign,
                               "n_runs", (json_int_t)n.n_runs, "n_published", (json_int_t)n.n_published, "n_damaged",
                               (json_int_t)n.n_damaged));
    else
        printf("%s: campaign.h5 holds %zu runs (%zu done, %zu diverged); %zu run.h5 written now\n", campaign, n.n_runs,
               n.by_state[STORE_DONE], n.by_state[STORE_DIVERGED], n.n_published);
    return ST_OK;
}

/* ---- the command ---------------------------------------------------------------------------------------------- */

typedef enum where { PLAN = 1, RUN = 2, STATUS = 4, COLLECT = 8 } where;
static const struct sub {
    const char *name;
    where bit;
    status (*run)(cli *, const settings *, err *);
} subs[] = {
    {"plan", PLAN, sweep_plan_cmd},
    {"run", RUN, sweep_run_cmd},
    {"status", STATUS, sweep_status_cmd},
    {"collect", COLLECT, sweep_collect_cmd},
};
enum { N_SUBS = sizeof subs / sizeof *subs, N_OPTS = 10 };

static const struct sub *find_sub(const char *name)
{
    for (size_t i = 0; i < N_SUBS; i++)
        if (!strcmp(subs[i].name, name)) return &subs[i];
    return NULL;
}

/* The options of the sub-commands in `mask`. */
static size_t options(cli_opt out[N_OPTS], settings *x, unsigned mask)
{
    const struct {
        unsigned who;
        cli_opt opt;
    } all[N_OPTS] = {
        {RUN, {"output", 'o', OPT_TEXT, &x->out, "CAMPAIGN", "run: folder of the campaign, made when absent"}},
        {PLAN | RUN, {"jobs", 'j', OPT_I64, &x->workers, "N", "plan, run: worker threads (default: processors)"}},
        {PLAN | RUN,
         {"max-bank", 0, OPT_I64, &x->max_bank, "R",
          "plan, run: at most R runs train in lock-step (default 16, on a device by shape)"}},
        {PLAN | RUN,
         {"memory", 0, OPT_F64, &x->memory_gib, "GIB",
          "plan, run: for the banks at work (default: half of the memory; 7/8 of a device's that is free)"}},
        {PLAN | RUN,
         {"device", 0, OPT_TEXT, &x->device, "D", "plan, run: backend of every run: cpu, cuda (bf16) or cuda-fp32"}},
        {PLAN | RUN,
         {"streams", 0, OPT_I64, &x->streams, "K",
          "plan, run: banks at a time on a device (default: until it is full)"}},
        {PLAN,
         {"flops-rate", 0, OPT_F64, &x->flops_rate, "F", "plan: FLOP/s to reckon time with, instead of measuring"}},
        {PLAN,
         {"no-calibrate", 0, OPT_FLAG, &x->no_calibrate, NULL, "plan: do not measure this machine (about a second)"}},
        {RUN,
         {"fail-fast", 0, OPT_I64_MAYBE, &x->fail_fast, "k",
          "run: stop after k failed runs (--fail-fast=k; alone: 1)"}},
        {RUN,
         {"amend", 0, OPT_FLAG, &x->amend, NULL, "run: replace the campaign's plan by this spec; no run is deleted"}},
    };
    size_t n = 0;
    for (size_t i = 0; i < N_OPTS; i++)
        if (all[i].who & mask) out[n++] = all[i].opt;
    return n;
}

static status unknown_sub(const char *name, err *e)
{
    const char *names[N_SUBS];
    for (size_t i = 0; i < N_SUBS; i++) names[i] = subs[i].name;
    const char *near = name ? num_nearest_word(name, names, N_SUBS) : NULL;
    if (near) return err_set(e, ST_USAGE, "sweep: unknown sub-command '%s'; did you mean '%s'?", name, near);
    if (name)
        return err_set(e, ST_USAGE, "sweep: unknown sub-command '%s'; there are plan, run, status and collect", name);
    return err_set(e, ST_USAGE, "sweep: a sub-command is missing: plan, run, status or collect");
}

int cmd_sweep(cli *c, int argc, char **argv)
{
    settings x = sweep_settings_default();
    cli_opt opts[N_OPTS];
    err e = {0};
    const char *word = NULL;
    for (int i = 1; i < argc && !word; i++)
        if (argv[i][0] != '-') word = argv[i];
    const struct sub *sub = word ? find_sub(word) : NULL;
    status st = word && !sub ? unknown_sub(word, &e) : ST_OK;
    if (!st) st = cli_parse(c, opts, options(opts, &x, sub ? sub->bit : ~0u), argc, argv, &x.rest, &e);
    if (!st && !c->show_help) st = sub ? sub->run(c, &x, &e) : unknown_sub(NULL, &e);
    free(x.rest.items);
    cli plain = *c;
    if (st == ST_PARTIAL) plain.json = false; /* the object with the counts is out already, and there is only one */
    return st ? cli_usage(&plain, "sweep", &e) : 0;
}
