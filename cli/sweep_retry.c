/* muscale sweep retry: the failed, missing or diverged runs of a campaign, by its own spec, and nothing else */
#include <stdlib.h>
#include <string.h>

#include "cli/relaunch.h"
#include "cli/sweep_parts.h"
#include "sweeps/campaign.h"
#include "sweeps/retry.h"

enum { NAMES_SHOWN = 20 };
/* What a process that another one goes on for (sweep_run.c) was asked for: a digit for every four runs of the plan. On
 * disk some of them look finished or begun by then. */
#define CHOSEN "MUSCALE_SWEEP_RETRIES"

typedef struct retry {
    const char *campaign;
    sweep_spec s;
    sweep_plan p;
    sweep_status before, after;
    bool *chosen;    /* [before.plan.n_runs], the order of plan.json */
    bool *only;      /* the same in the plan's own order */
    size_t n, aside; /* runs chosen; put aside */
    bool goes_on;    /* for an earlier process */
} retry;

/* ---- what is asked for ---------------------------------------------------------------------------------------- */

static void remember_chosen(const retry *r)
{
    const size_t digits = (r->before.plan.n_runs + 3) / 4;
    char *text = calloc(digits + 1, 1);
    for (size_t k = 0; text && k < digits; k++) {
        int bits = 0;
        for (size_t i = 0; i < 4 && 4 * k + i < r->before.plan.n_runs; i++) bits |= r->chosen[4 * k + i] << i;
        text[k] = "0123456789abcdef"[bits];
    }
    if (text) setenv(CHOSEN, text, 1); /* too long for an environment: then no process can go on for this one */
    free(text);
}

static bool recall_chosen(retry *r)
{
    const char *text = getenv(SWEEP_GOES_ON) ? getenv(CHOSEN) : NULL;
    const size_t n = r->before.plan.n_runs;
    if (!text || strlen(text) != (n + 3) / 4) return false;
    for (size_t i = 0; i < n; i++) {
        const char digit[] = {text[i / 4], 0};
        r->chosen[i] = (strtol(digit, NULL, 16) >> i % 4) & 1;
    }
    return true;
}

static status choose(retry *r, const sweep_settings *x, err *e)
{
    const bool any = x->failed || x->missing || x->diverged;
    const retry_want want = {.failed = x->failed || !any, .missing = x->missing || !any, .diverged = x->diverged};
    r->chosen = calloc(r->before.plan.n_runs + 1, sizeof *r->chosen);
    if (!r->chosen) return err_set(e, ST_NOMEM, "%s: no memory", r->campaign);
    r->goes_on = recall_chosen(r);
    status st = r->goes_on ? ST_OK : retry_choose(r->chosen, &r->before, r->campaign, &want, e);
    for (size_t i = 0; i < r->before.plan.n_runs && !st; i++) r->n += r->chosen[i];
    return st;
}

/* ---- the campaign's own spec ---------------------------------------------------------------------------------- */

static status read_plan(cli *c, const sweep_settings *x, retry *r, err *e)
{
    char path[IO_PATH_MAX];
    status st = io_join(path, r->campaign, "spec.yaml", e);
    if (!st && !io_exists(path))
        return err_set(e, ST_INPUT,
                       "%s: spec.yaml is missing; `muscale sweep run SPEC.yaml -o %s --amend` writes it anew",
                       r->campaign, r->campaign);
    if (!st) st = sweep_plan_of(c, x, path, NULL, 0, &r->s, &r->p, e);
    return st ? st : campaign_same_plan(r->campaign, &r->before.plan, &r->s, &r->p, e);
}

static int by_id(const void *a, const void *b)
{
    return strcmp((*(const campaign_entry *const *)a)->id, (*(const campaign_entry *const *)b)->id);
}

/* plan.json of another version may have another order. The ids are the same (campaign_same_plan). */
static status order_chosen(retry *r, err *e)
{
    const size_t n = r->before.plan.n_runs;
    const campaign_entry **sorted = malloc((n + 1) * sizeof *sorted);
    r->only = calloc(r->p.n_runs + 1, sizeof *r->only);
    if (!sorted || !r->only) {
        free(sorted);
        return err_set(e, ST_NOMEM, "%s: no memory", r->campaign);
    }
    for (size_t i = 0; i < n; i++) sorted[i] = &r->before.plan.runs[i];
    qsort(sorted, n, sizeof *sorted, by_id);
    for (size_t i = 0; i < r->p.n_runs; i++) {
        campaign_entry key = {0};
        const campaign_entry *k = &key;
        memcpy(key.id, r->p.runs[i].id, sizeof key.id);
        const campaign_entry **found = bsearch(&k, sorted, n, sizeof *sorted, by_id);
        r->only[i] = found && r->chosen[*found - r->before.plan.runs];
    }
    free(sorted);
    return ST_OK;
}

/* ---- telling -------------------------------------------------------------------------------------------------- */

static void count_chosen(size_t counts[SWEEP_N_STATES], const retry *r, const sweep_status *s)
{
    memset(counts, 0, SWEEP_N_STATES * sizeof *counts);
    for (size_t i = 0; i < s->plan.n_runs; i++)
        if (r->chosen[i]) counts[s->rows[i].state]++;
}

static void chosen_text(char *out, size_t size, const retry *r, const sweep_status *s)
{
    sweep_status only = {0};
    count_chosen(only.counts, r, s);
    sweep_counts_text(out, size, &only);
}

static void print_chosen(const cli *c, const retry *r)
{
    char text[320], all[320];
    const size_t shown = c->verbosity > 0 || r->n <= NAMES_SHOWN ? r->n : NAMES_SHOWN;
    chosen_text(text, sizeof text, r, &r->before);
    sweep_counts_text(all, sizeof all, &r->before);
    printf("%s: %zu runs: %s; again: %zu%s%s%s\n", r->campaign, r->before.plan.n_runs, all, r->n, r->n ? " (" : "",
           text, r->n ? ")" : "");
    for (size_t i = 0, k = 0; k < shown; i++) {
        if (!r->chosen[i]) continue;
        const sweep_row *row = &r->before.rows[i];
        printf("  %s  %-8s  %s%s%s\n", r->before.plan.runs[i].id, sweep_state_name(row->state),
               r->before.plan.runs[i].name, *row->message ? "  " : "", row->message);
        k++;
    }
    if (shown < r->n) printf("  ... %zu more (-v shows all)\n", r->n - shown);
    fflush(stdout);
}

/* What a state's runs need that no word of this command gives. */
static void say_left(const cli *c, const retry *r)
{
    const size_t running = r->before.counts[SWEEP_RUNNING], damaged = r->before.counts[SWEEP_DAMAGED];
    if (running)
        cli_note(c, "%zu run%s", running, running > 1 ? "s are left to the processes that own them"
                                                      : " is left to the process that owns it");
    if (damaged)
        cli_warn(c, "%zu run%s damaged and left alone (`muscale sweep status %s` says how); move such a folder away"
                 " and the run is missing", damaged, damaged > 1 ? "s are" : " is", r->campaign);
}

static json_t *counts_json(const retry *r, const sweep_status *s)
{
    size_t counts[SWEEP_N_STATES];
    json_t *j = json_object();
    count_chosen(counts, r, s);
    for (int k = 0; k < SWEEP_N_STATES; k++)
        json_object_set_new(j, sweep_state_name((sweep_state)k), json_integer((json_int_t)counts[k]));
    return j;
}

static void print_json(const retry *r, bool dry_run)
{
    const sweep_status *after = r->after.rows ? &r->after : NULL;
    json_t *runs = json_array();
    for (size_t i = 0; i < r->before.plan.n_runs; i++) {
        if (!r->chosen[i]) continue;
        json_t *j = json_pack("{s:s, s:s, s:s}", "id", r->before.plan.runs[i].id, "name", r->before.plan.runs[i].name,
                              "was", sweep_state_name(r->before.rows[i].state));
        json_object_set_new(j, "is", after ? json_string(sweep_state_name(after->rows[i].state)) : json_null());
        json_array_append_new(runs, j);
    }
    cli_json_out(json_pack("{s:s, s:s, s:b, s:I, s:I, s:I, s:o, s:o, s:o}", "schema", "muscale.retry/1", "campaign",
                           r->campaign, "dry_run", dry_run, "n_runs", (json_int_t)r->before.plan.n_runs, "n_again",
                           (json_int_t)r->n, "n_put_aside", (json_int_t)r->aside, "was", counts_json(r, &r->before),
                           "is", after ? counts_json(r, after) : json_null(), "runs", runs));
}

/* ---- doing ---------------------------------------------------------------------------------------------------- */

static status put_aside(const cli *c, retry *r, err *e)
{
    for (size_t i = 0; i < r->before.plan.n_runs && !r->goes_on; i++) {
        char to[IO_PATH_MAX];
        err why = {0};
        if (!r->chosen[i] || sweep_states[r->before.rows[i].state].again != SWEEP_AGAIN_DIVERGED) continue;
        status st = retry_put_aside(to, r->campaign, r->before.plan.runs[i].id, &why);
        if (st == ST_BUSY) cli_note(c, "%s", why.msg);
        else if (st) {
            if (e) *e = why;
            return st;
        } else if (*to) cli_verbose(c, "kept: %s", to), r->aside++;
    }
    if (r->aside)
        cli_note(c, "what they did before is kept: %zu folder%s in %s/attempts", r->aside, r->aside > 1 ? "s" : "",
                 r->campaign);
    return ST_OK;
}

static status run_again(cli *c, const sweep_settings *x, retry *r, err *e)
{
    sweep_settings mine = *x;
    sweep_progress result = {0};
    char text[320];
    err why = {0};
    mine.out = r->campaign;
    mine.only = r->only;
    status st = put_aside(c, r, e);
    if (st) return st;
    remember_chosen(r);
    st = sweep_train(&result, c, &mine, &r->s, &r->p, e);
    if ((st && st != ST_PARTIAL) || sweep_status_read(&r->after, r->campaign, &why)) return st;
    chosen_text(text, sizeof text, r, &r->after);
    if (c->json) print_json(r, false);
    else printf("%s: %zu again: %s\n", r->campaign, r->n, text);
    return st;
}

static void retry_free(retry *r)
{
    free(r->chosen);
    free(r->only);
    sweep_plan_free(&r->p);
    sweep_spec_free(&r->s);
    sweep_status_free(&r->before);
    sweep_status_free(&r->after);
}

status sweep_retry_cmd(cli *c, const sweep_settings *x, err *e)
{
    retry r = {0};
    status st = sweep_one_argument(x, "CAMPAIGN", &r.campaign, e);
    if (!st) st = sweep_check_fail_fast(x, e);
    if (!st) st = sweep_status_read(&r.before, r.campaign, e);
    if (!st) st = read_plan(c, x, &r, e);
    if (!st) st = choose(&r, x, e);
    if (!st) st = order_chosen(&r, e);
    if (!st && !c->json) print_chosen(c, &r);
    if (!st) say_left(c, &r);
    if (!st && r.n && !x->dry_run) st = run_again(c, x, &r, e);
    else if (!st && c->json) print_json(&r, x->dry_run);
    retry_free(&r);
    return st;
}
