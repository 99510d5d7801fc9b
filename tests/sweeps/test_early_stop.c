/* Early stopping: brackets and verdicts against hand-made ones, then campaigns: who is stopped, what it leaves to
 * others, and that nothing brings it back. */
#include "fixture.h"

#include <math.h>

#include "base/run.h"
#include "sweeps/campaign.h"
#include "sweeps/launch_local.h"
#include "sweeps/status.h"
#include "sweeps/store.h"

/* ---- brackets ------------------------------------------------------------------------------------------------- */

/* A run of so many steps, validated every `val_every` of them (0: never), 64 tokens each. */
static trainer_config run_of(int64_t steps, int64_t val_every)
{
    trainer_config c;
    config_default(&c);
    c.batch_tokens = 64;
    c.tokens = 64 * steps;
    c.val_every = val_every;
    c.log_every = 1;
    return c;
}

static void expect_steps(const early_stop_rule *r, const trainer_config *c, const char *want)
{
    int64_t steps[EARLY_STOP_BRACKETS];
    char got[512] = "";
    size_t n;
    early_stop_steps(steps, &n, r, c);
    for (size_t i = 0; i < n; i++) snprintf(got + strlen(got), 32, "%s%lld", i ? " " : "", (long long)steps[i]);
    cr_expect_str_eq(got, want, "%s, not %s", got, want);
}

Test(early_stop, brackets)
{
    const trainer_config each = run_of(1000, 1), tenth = run_of(1000, 10), blind = run_of(1000, 0);
    early_stop_rule r = early_stop_default(EARLY_STOP_HYPERBAND);
    expect_steps(&r, &each, "112 334"); /* nothing given: a ninth and a third of the run, by whole steps of tokens */
    r.max_iter = 27;
    expect_steps(&r, &each, "3 9"); /* the example of W&B's page */
    expect_steps(&r, &tenth, "30 90");
    expect_steps(&r, &blind, "3 9");
    r.s = 5; /* 27, 9, 3, 1, then less than one */
    expect_steps(&r, &each, "1 3 9");
    r.max_iter = 5, r.eta = 2, r.s = 2; /* int(2.5), int(1.25) */
    expect_steps(&r, &each, "1 2");
    r.max_iter = 0, r.max_tokens = 6400, r.eta = 2, r.s = 1; /* 3200 tokens: 50 steps of 64 */
    expect_steps(&r, &tenth, "50");
    r = early_stop_default(EARLY_STOP_HYPERBAND);
    r.min_iter = 3;
    expect_steps(&r, &tenth, "30 90 270 810"); /* 2430 is behind the end */
    r.min_iter = 0, r.min_tokens = 20000;
    expect_steps(&r, &tenth, "313 938");
    r.min_tokens = 64000;
    expect_steps(&r, &tenth, ""); /* at its end a run is not stopped any more */
    r = early_stop_default(EARLY_STOP_MEDIAN);
    expect_steps(&r, &tenth, "250");
    r.min_iter = 5;
    expect_steps(&r, &tenth, "50");
    r.min_iter = 0, r.min_tokens = 6500;
    expect_steps(&r, &tenth, "102");
}

Test(early_stop, a_smoothed_loss_is_kept_about_a_hundred_times)
{
    trainer_config c = run_of(1050, 0);
    cr_expect_eq(early_stop_every(&c), 10);
    c.log_every = 4;
    cr_expect_eq(early_stop_every(&c), 8, "at rows that there are");
    c.tokens = 64 * 50;
    cr_expect_eq(early_stop_every(&c), 4);
    c.val_every = 25;
    cr_expect_eq(early_stop_every(&c), 25);
    cr_expect_str_eq(early_stop_metric(&c), "val_loss");
}

/* ---- verdicts ------------------------------------------------------------------------------------------------- */

typedef struct history {
    const char *name;
    double value[4]; /* 0: ends */
} history;

static early_stop_curve curve_of(const history *h)
{
    early_stop_curve c = {0};
    for (int i = 0; i < 4 && h->value[i] > 0; i++) cr_assert(early_stop_add(&c, i + 1, h->value[i]));
    return c;
}

static early_stop_verdict verdict_on(const early_stop_rule *r, const history *all, size_t n, size_t own)
{
    const trainer_config c = run_of(100, 1);
    early_stop_curve curves[16];
    const early_stop_curve *others[16];
    double scratch[16];
    size_t k = 0;
    cr_assert(n <= 16);
    for (size_t i = 0; i < n; i++) curves[i] = curve_of(&all[i]);
    for (size_t i = 0; i < n; i++)
        if (i != own) others[k++] = &curves[i];
    const early_stop_verdict v = early_stop_judge(r, &c, &curves[own], others, k, scratch);
    for (size_t i = 0; i < n; i++) early_stop_curve_free(&curves[i]);
    return v;
}

/* The runs of the example in W&B's controller (max_iter 5, eta 2, s 2), which counts values from 0: its brackets 1 and 2
 * are the values 2 and 3 here, one at a time. */
Test(early_stop, hyperband_stops_whom_wandb_stops)
{
    static const history runs[] = {
        {"a", {10, 9}}, {"b", {10, 10}}, {"c", {10, 8, 8}}, {"d", {10, 7, 7}}, {"e", {10, 6, 6}}};
    static const struct {
        size_t run;
        int64_t at;
        double threshold;
        bool stop;
        size_t n;
    } want[] = {{1, 2, 8, true, 5}, {2, 3, 7, true, 3}, {3, 3, 7, false, 3}, {4, 3, 7, false, 3}};
    early_stop_rule r = early_stop_default(EARLY_STOP_HYPERBAND);
    for (size_t i = 0; i < sizeof want / sizeof *want; i++) {
        r.min_iter = (double)want[i].at; /* one bracket: the next, 2 * at, is behind all of them */
        r.eta = 2;
        const early_stop_verdict v = verdict_on(&r, runs, 5, want[i].run);
        cr_expect(v.judged && v.at == want[i].at, "%s: judged at %d", runs[want[i].run].name, (int)v.at);
        cr_expect_eq(v.threshold, want[i].threshold, "%s: %g", runs[want[i].run].name, v.threshold);
        cr_expect_eq(v.stop, want[i].stop, "%s", runs[want[i].run].name);
        cr_expect_eq(v.n, want[i].n);
    }
    r.min_iter = 3;
    cr_expect(!verdict_on(&r, runs, 5, 1).judged, "b has not got to 3");
    cr_expect(!verdict_on(&r, runs, 1, 0).judged);
}

Test(early_stop, a_bracket_is_judged_once_unless_strict)
{
    static const history runs[] = {{"late", {5, 5, 5}}, {"x", {4, 4, 4}}, {"y", {3, 3, 3}}, {"first", {5, 5}}};
    early_stop_rule r = early_stop_default(EARLY_STOP_HYPERBAND);
    r.min_iter = 2;
    cr_expect(!verdict_on(&r, runs, 3, 0).judged, "it got to the bracket a value ago");
    cr_expect(verdict_on(&r, runs, 4, 3).stop);
    r.strict = true;
    const early_stop_verdict v = verdict_on(&r, runs, 3, 0);
    cr_expect(v.judged && v.stop && v.at == 2, "strict judges it by what the bracket holds now");
    cr_expect(!verdict_on(&r, runs, 3, 2).stop, "the best stays");
}

Test(early_stop, a_loss_that_is_not_finite_is_the_worst)
{
    static const history runs[] = {{"a", {3, 3}}, {"b", {INFINITY, INFINITY}}, {"c", {4, 4}}};
    early_stop_rule r = early_stop_default(EARLY_STOP_HYPERBAND);
    r.min_iter = 2;
    r.eta = 2; /* of three: the best two stay */
    cr_expect(verdict_on(&r, runs, 3, 1).stop);
    cr_expect(!verdict_on(&r, runs, 3, 2).stop);
}

/* Means up to 3: 3, 4, 6, 8; their median 5. */
Test(early_stop, median_is_that_of_the_others_means)
{
    static const history runs[] = {{"good", {9, 4.9, 4.99}}, {"bad", {9, 5.1, 5.2}}, {"equal", {9, 8, 5}},
                                   {"1", {4, 3, 2}},         {"2", {5, 4, 3}},     {"3", {7, 6, 5}},
                                   {"4", {9, 8, 7, 1}},      {"short", {2, 1}}};
    early_stop_rule r = early_stop_default(EARLY_STOP_MEDIAN);
    r.min_iter = 3;
    for (size_t own = 0; own < 3; own++) {
        history of[6];
        of[0] = runs[own];
        memcpy(of + 1, runs + 3, 5 * sizeof *of);
        const early_stop_verdict v = verdict_on(&r, of, 6, 0);
        cr_expect_float_eq(v.threshold, 5, 1e-12, "%g", v.threshold);
        cr_expect_eq(v.n, 5, "the short one has not got there: %zu", v.n);
        cr_expect_eq(v.stop, own == 1, "%s: its best is %g", runs[own].name, v.value);
    }
    r.min_runs = 5;
    cr_expect(!verdict_on(&r, runs + 2, 5, 0).judged, "four others are fewer than five");
    r.min_runs = 3;
    cr_expect(verdict_on(&r, runs + 2, 5, 0).judged);
    r.min_iter = 4;
    cr_expect(!verdict_on(&r, runs + 2, 5, 0).judged, "too early");
}

/* ---- campaigns ------------------------------------------------------------------------------------------------ */

typedef struct campaign {
    fixture f;
    sweep_spec s;
    sweep_plan p;
    char dir[IO_PATH_MAX];
    bool amend;
} campaign;

static void begin(campaign *c, const fixture *f, const char *name, const char *text, size_t max_bank)
{
    err e = {0};
    memset(c, 0, sizeof *c);
    c->f = *f;
    sweep_plan_opts o = sweep_plan_opts_default();
    o.max_bank = max_bank;
    cr_assert_eq(fixture_spec(&c->s, &c->f, text, &e), ST_OK, "%s", e.msg);
    cr_assert_eq(sweep_plan_make(&c->p, &c->s, &o, &e), ST_OK, "%s", e.msg);
    cr_assert_eq(io_join(c->dir, c->f.dir, name, &e), ST_OK);
}

static void finish(campaign *c)
{
    sweep_plan_free(&c->p);
    sweep_spec_free(&c->s);
}

static void hear_progress(void *self, const sweep_progress *now)
{
    (void)self;
    const size_t ended = now->done + now->diverged + now->early_stopped + now->failed;
    cr_expect_eq(ended + now->running + now->others + now->waiting, now->total);
}

static status go(campaign *c, sweep_progress *out, err *e)
{
    char note[512];
    cr_assert_eq(campaign_open(c->dir, &c->s, &c->p, c->amend, note, e), ST_OK, "%s", e->msg);
    sweep_launch_opts o = {.campaign = c->dir, .threads = 1, .listener = {c, hear_progress, NULL}};
    return sweep_launch_local(out, &c->p, &c->s, &o, e);
}

static void record_of(const campaign *c, size_t run, run_record *r)
{
    char dir[IO_PATH_MAX];
    err e = {0};
    cr_assert_eq(campaign_run_dir(dir, c->dir, c->p.runs[run].id, &e), ST_OK);
    cr_assert_eq(run_read(r, dir, RUN_ALL, &e), ST_OK, "%s", e.msg);
}

/* Rows of `part` are the first rows of `whole`, bit for bit. */
static void expect_prefix(const run_record *whole, const run_record *part, const char *what)
{
    cr_expect(part->n_train <= whole->n_train && part->n_val <= whole->n_val, "%s", what);
    const size_t train = part->n_train * sizeof(double), val = part->n_val * sizeof(double);
    cr_expect_eq(memcmp(whole->train[TRAIN_LOSS], part->train[TRAIN_LOSS], train), 0, "%s: losses", what);
    cr_expect_eq(memcmp(whole->train[TRAIN_GRAD_NORM], part->train[TRAIN_GRAD_NORM], train), 0, "%s: norms", what);
    cr_expect_eq(memcmp(whole->val[VAL_LOSS], part->val[VAL_LOSS], val), 0, "%s: validations", what);
}

#define SIX FIXTURE_BASE "grid: {lr: [1e-4, 1e-3, 3e-3, 1e-2, 3e-2, 100]}\nseeds: [7]\n"
#define VALIDATED "zip: [{val_every: [2], data_seed: [0]}]\n"
#define RULE "early_terminate: {type: hyperband, min_iter: 2, eta: 3}\n" /* brackets at steps 4, 12 of 20 */

/* Beside whoever is stopped the others train as ever; who is stopped trained as ever until then. */
Test(early_stop, what_is_not_stopped_has_the_bits_of_a_sweep_without_the_rule)
{
    fixture f;
    campaign with, without;
    sweep_progress a, b;
    err e = {0};
    fixture_make(&f, 4000, 16);
    begin(&with, &f, "with", SIX VALIDATED RULE, 6);
    begin(&without, &f, "without", SIX VALIDATED, 6);
    cr_assert_eq(go(&with, &a, &e), ST_OK, "%s", e.msg);
    cr_assert_eq(go(&without, &b, &e), ST_OK, "%s", e.msg);
    cr_expect_eq(a.early_stopped, 4, "6 or 5 at step 4: three stay; of three two: %zu", a.early_stopped);
    cr_expect_eq(a.done + a.diverged + a.early_stopped, 6);
    cr_expect_eq(b.early_stopped, 0);
    size_t stopped = 0;
    for (size_t i = 0; i < 6; i++) {
        run_record x, y;
        record_of(&with, i, &x);
        record_of(&without, i, &y);
        expect_prefix(&y, &x, with.p.runs[i].id);
        if (strcmp(run_status_text(&x), "early-stopped")) {
            cr_expect_str_eq(run_status_text(&x), run_status_text(&y));
            cr_expect_eq(x.n_train, y.n_train);
        } else {
            const attrs *g = &x.group[RUN_SUMMARY];
            const int64_t step = attrs_i64(g, "step", -1);
            stopped++;
            cr_expect(step == 4 || step == 12, "at step %d", (int)step);
            cr_expect_eq(attrs_i64(g, "stop_at", -1), step);
            cr_expect_str_eq(attrs_text(g, "stop_rule"), "hyperband");
            cr_expect_str_eq(attrs_text(g, "stop_metric"), "val_loss");
            cr_expect_gt(attrs_f64(g, "stop_value"), attrs_f64(g, "stop_threshold"));
            cr_expect_eq(attrs_f64(g, "stop_val_loss"), x.val[VAL_LOSS][x.n_val - 1]);
            cr_expect(isnan(attrs_f64(g, "final_val_loss")), "a loss of the budget it does not have");
        }
        run_free(&x);
        run_free(&y);
    }
    cr_expect_eq(stopped, a.early_stopped);
    finish(&with);
    finish(&without);
    fixture_remove(&f);
}

Test(early_stop, stopped_is_for_good_and_counted)
{
    fixture f;
    campaign c;
    sweep_progress r;
    sweep_status s;
    campaign_counts n;
    err e = {0};
    char index[IO_PATH_MAX];
    size_t sum = 0;
    fixture_make(&f, 4000, 16);
    begin(&c, &f, "c", SIX VALIDATED RULE, 6);
    cr_assert_eq(go(&c, &r, &e), ST_OK, "%s", e.msg);
    const size_t stopped = r.early_stopped;
    cr_assert_gt(stopped, 0);
    c.s.early_stop.kind = EARLY_STOP_NONE; /* not even without the rule */
    cr_assert_eq(go(&c, &r, &e), ST_OK, "%s", e.msg);
    cr_expect_eq(r.early_stopped, stopped);
    cr_expect_eq(r.flops_done, 0);
    cr_assert_eq(sweep_status_read(&s, c.dir, &e), ST_OK, "%s", e.msg);
    for (int k = 0; k < SWEEP_N_STATES; k++) sum += s.counts[k];
    cr_expect_eq(sum, 6);
    cr_expect_eq(s.counts[SWEEP_EARLY_STOPPED], stopped);
    for (size_t i = 0; i < 6; i++)
        if (s.rows[i].state == SWEEP_EARLY_STOPPED) {
            cr_expect(strstr(s.rows[i].message, "hyperband at step"), "%s", s.rows[i].message);
            cr_expect(isfinite(s.rows[i].loss));
        }
    sweep_status_free(&s);
    cr_assert_eq(campaign_collect(&n, c.dir, &e), ST_OK, "%s", e.msg);
    cr_expect_eq(n.by_state[STORE_EARLY_STOPPED], stopped);
    cr_expect_eq(n.n_published, 0, "their run.h5 were there");
    cr_assert_eq(io_join(index, c.dir, "campaign.h5", &e), ST_OK);
    cr_expect(io_exists(index));
    finish(&c);
    fixture_remove(&f);
}

/* One run after another: the first at a bracket stays, later ones are compared with those before, by their journals. */
Test(early_stop, verdicts_are_by_whoever_was_there_before)
{
    fixture f;
    campaign c;
    sweep_progress r;
    sweep_status s;
    err e = {0};
    fixture_make(&f, 4000, 16);
    begin(&c, &f, "c", FIXTURE_BASE "grid: {lr: [3e-3]}\n" VALIDATED RULE, 1);
    cr_assert_eq(go(&c, &r, &e), ST_OK, "%s", e.msg);
    finish(&c);
    begin(&c, &f, "c", FIXTURE_BASE "grid: {lr: [3e-3, 1e-3, 1e-4, 1e-2]}\n" VALIDATED RULE, 1);
    c.amend = true;
    cr_assert_eq(go(&c, &r, &e), ST_OK, "%s", e.msg);
    cr_assert_eq(sweep_status_read(&s, c.dir, &e), ST_OK, "%s", e.msg);
    static const sweep_state want[] = {SWEEP_DONE, SWEEP_EARLY_STOPPED, SWEEP_EARLY_STOPPED, SWEEP_DONE};
    for (size_t i = 0; i < 4; i++)
        cr_expect_eq(s.rows[i].state, want[i], "run %zu: %s", i, sweep_state_name(s.rows[i].state));
    sweep_status_free(&s);
    finish(&c);
    fixture_remove(&f);
}

/* Two sizes, and two budgets of one: nobody is compared with another size or another budget. */
Test(early_stop, groups_are_of_one_size_and_one_budget)
{
    fixture f;
    campaign c;
    sweep_progress r;
    err e = {0};
    fixture_make(&f, 4000, 16);
    begin(&c, &f, "c", FIXTURE_BASE
          "zip: [{d_model: [16, 32, 16], tokens: [1280, 1280, 1920], lr: [1e-2, 1e-2, 1e-4], val_every: [2, 2, 2]}]\n"
          RULE, 4);
    cr_assert_eq(go(&c, &r, &e), ST_OK, "%s", e.msg);
    cr_expect_eq(r.early_stopped, 0, "each is alone in its group");
    finish(&c);
    begin(&c, &f, "d", FIXTURE_BASE "grid: {lr: [1e-4, 1e-2]}\n" VALIDATED RULE, 4);
    cr_assert_eq(go(&c, &r, &e), ST_OK, "%s", e.msg);
    cr_expect_eq(r.early_stopped, 1, "here is whom to compare with");
    finish(&c);
    fixture_remove(&f);
}

/* Without validations on the way the smoothed training loss is compared, at any step. */
Test(early_stop, training_losses_do_where_nothing_is_validated)
{
    fixture f;
    campaign c;
    sweep_progress r;
    run_record x;
    err e = {0};
    fixture_make(&f, 4000, 16);
    begin(&c, &f, "c", 
          FIXTURE_BASE "grid: {lr: [0.3, 1e-3, 2e-3]}\nearly_terminate: {type: hyperband, min_iter: 15, eta: 2}\n", 3);
    cr_assert_eq(go(&c, &r, &e), ST_OK, "%s", e.msg);
    cr_expect_eq(r.early_stopped, 1);
    record_of(&c, 0, &x);
    cr_expect_str_eq(run_status_text(&x), "early-stopped");
    cr_expect_str_eq(attrs_text(&x.group[RUN_SUMMARY], "stop_metric"), "train_loss_ema");
    cr_expect_gt(attrs_i64(&x.group[RUN_SUMMARY], "step", -1), 14);
    cr_expect(isnan(attrs_f64(&x.group[RUN_SUMMARY], "stop_val_loss")));
    run_free(&x);
    finish(&c);
    fixture_remove(&f);
}
