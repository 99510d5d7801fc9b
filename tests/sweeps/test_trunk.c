/* Runs that differ in their budget share a trunk, and nobody can tell from what they leave. */
#include "trunk_fixture.h"

#include <math.h>
#include <sys/wait.h>

#include "sweeps/status.h"
#include "trainer/train.h"

/* Two learning rates, three budgets; every kind of row before and behind the branches, the first one (step 17) at a
 * checkpoint of the trunk's. */
#define BASE                                                                                                           \
    FIXTURE_BASE "sweeps:\n- base: {warmup_tokens: 128, val_every: 5, ckpt_every: 17, log_updates_every: 4}\n"
#define SIX BASE "  grid: {lr: [1e-2, 3e-2], tokens: [1280, 2560, 5120]}\n"

static fixture f;

static void make(void)
{
    quick_disk();
    fixture_make(&f, 4000, 16);
}
static void unmake(void) { fixture_remove(&f); }
TestSuite(trunk, .init = make, .fini = unmake, .timeout = 120);

static void train_alone(campaign *c, const char *text)
{
    err e = {0};
    plan(c, &f, "alone", text, 1, false);
    cr_expect_eq(c->p.n_families, 0);
    cr_assert_eq(go(c, &e), ST_OK, "%s", e.msg);
}

static void train_shared(campaign *c, const char *text, size_t max_bank, size_t streams)
{
    err e = {0};
    plan(c, &f, "shared", text, max_bank, true);
    c->streams = streams;
    cr_assert_eq(go(c, &e), ST_OK, "%s", e.msg);
    cr_expect_eq(states_left(c), 0, "states are left behind");
}

static void forget(const campaign *c)
{
    char line[IO_PATH_MAX + 16];
    snprintf(line, sizeof line, "rm -rf '%s'", c->dir);
    cr_assert_eq(system(line), 0);
}

static const char *from_of(const campaign *c, size_t run, run_record *r)
{
    char path[IO_PATH_MAX];
    err e = {0};
    run_path(c, c->p.runs[run].id, "run.h5", path);
    cr_assert_eq(run_read_h5(r, path, RUN_HEADER, &e), ST_OK, "%s", e.msg);
    return attrs_text(&r->group[RUN_SUMMARY], "branched_from");
}

static size_t n_branched(const campaign *c)
{
    size_t n = 0;
    for (size_t i = 0; i < c->p.n_runs; i++) {
        run_record r;
        n += from_of(c, i, &r) != NULL;
        run_free(&r);
    }
    return n;
}

/* ---- the plan ------------------------------------------------------------------------------------------------- */

/* Last step with the same learning rate in both, found by looking at every step. */
static int64_t steps_in_common(const trainer_config *a, const trainer_config *b)
{
    int64_t s = 0;
    while (s + 1 < config_steps(a) && s + 1 < config_steps(b) && schedule_factor(a, s + 1) == schedule_factor(b, s + 1))
        s++;
    return s;
}

Test(trunk, every_step_that_can_be_shared_is)
{
    static const char *const specs[] = {
        BASE "  grid: {tokens: [1280, 2560, 5120]}\n",
        BASE "  grid: {tokens: [1280, 1344, 5120], decay_fraction: [0.17]}\n", /* 0.17 of 20 steps: between two steps */
        BASE "  grid: {tokens: [1280, 5120], decay_shape: [linear, cosine], min_lr_ratio: [0.1, 0.03]}\n",
        BASE "  grid: {tokens: [5120], decay_fraction: [0.1, 0.5, 0.9]}\n",
        BASE "  grid: {tokens: [6400, 3200], decay_fraction: [0.001]}\n", /* less than a step */
    };
    for (size_t k = 0; k < sizeof specs / sizeof *specs; k++) {
        campaign c;
        plan(&c, &f, "plan", specs[k], 0, true);
        cr_assert_eq(c.p.n_families, 1, "spec %zu: %zu families", k, c.p.n_families);
        cr_expect_eq(c.p.n_branches, c.p.n_runs - 1);
        const sweep_run *trunk = &c.p.runs[c.p.members[0]];
        double flops = trunk->flops;
        cr_expect_eq(trunk->branch_step, 0);
        for (size_t i = 1; i < c.p.n_runs; i++) {
            const sweep_run *r = &c.p.runs[c.p.members[i]];
            const int64_t common = steps_in_common(&r->config, &trunk->config);
            cr_expect_eq(r->branch_step, common < r->steps ? common : r->steps - 1, "spec %zu run %zu: %lld, common %lld", k, i,
                         (long long)r->branch_step, (long long)common);
            flops += r->flops / (double)r->steps * (double)(r->steps - r->branch_step);
        }
        cr_expect(fabs(c.p.flops_trained / flops - 1) < 1e-14, "spec %zu", k);
        unplan(&c);
    }
}

Test(trunk, five_budgets_cost_less_than_0_62)
{
    campaign c;
    err e = {0};
    plan(&c, &f, "five", FIXTURE_BASE "grid: {tokens: [1280, 2560, 5120, 10240, 20480]}\n", 0, true);
    /* by hand: 20, 40, .. 320 steps; all of the longest, of the others the last fifth but the first step of it */
    cr_expect_eq(c.p.flops_trained / c.p.flops, (320 + 3 + 7 + 15 + 31) / 620.0);
    cr_expect(c.p.flops_trained <= 0.62 * c.p.flops);
    cr_expect_eq(c.p.n_banks, 2);
    cr_expect(!c.p.banks[0].branches && c.p.banks[1].branches && c.p.banks[1].n == 4);
    cr_assert_eq(go(&c, &e), ST_OK, "%s", e.msg);
    cr_expect(fabs(c.result.flops_done / c.p.flops_trained - 1) < 1e-12, "what was trained is what was planned: %.17g",
              c.result.flops_done / c.p.flops_trained);
    unplan(&c);
}

static const sweep_apart *apart(const campaign *c, const char *word)
{
    for (size_t i = 0; i < c->p.n_apart; i++)
        if (strstr(c->p.apart[i].why, word)) return &c->p.apart[i];
    return NULL;
}

Test(trunk, who_does_not_share_says_why)
{
    static const struct { const char *spec, *word; size_t n; } cases[] = {
        {FIXTURE_BASE "grid: {tokens: [1280, 2560], lr: [1e-2, 2e-2]}\nderived: {warmup_tokens: 0.1*tokens}\n",
         "warmup_tokens", 4},
        {FIXTURE_BASE "grid: {tokens: [1280, 2560]}\nderived: {unique_tokens: tokens}\n", "unique_tokens", 2},
        {FIXTURE_BASE "grid: {tokens: [1280, 2560], schedule: [cosine, linear]}\n", "not wsd", 4},
        {FIXTURE_BASE "zip: [{tokens: [1280, 2560], lr: [1e-2, 5e-3]}]\n", "lr differs", 2},
        {FIXTURE_BASE "sweeps:\n- base: {log_every: 1}\n- base: {log_every: 2, tokens: 2560}\n", "log_every", 2},
        {FIXTURE_BASE "zip: [{tokens: [1280, 2560], batch_tokens: [64, 128]}]\n", "batch_tokens", 2},
        {FIXTURE_BASE "sweeps:\n- base: {parametrisation: complete-dp, base_depth: 1, base_batch_tokens: 64, "
                      "base_tokens: 1280}\n  grid: {tokens: [1280, 2560, 5120]}\n",
         "factors", 3},
    };
    campaign c;
    for (size_t k = 0; k < sizeof cases / sizeof *cases; k++) {
        plan(&c, &f, "apart", cases[k].spec, 0, true);
        const sweep_apart *a = apart(&c, cases[k].word);
        cr_expect_eq(c.p.n_families, 0, "case %zu", k);
        cr_expect_eq(c.p.n_apart, 1, "case %zu: %zu reasons", k, c.p.n_apart);
        cr_expect(a && a->n == cases[k].n, "case %zu: %zu", k, a ? a->n : 0);
        cr_expect_eq(c.p.flops_trained, c.p.flops);
        unplan(&c);
    }
    /* nothing could be shared: nothing is said */
    plan(&c, &f, "apart", FIXTURE_BASE "grid: {lr: [1e-2, 2e-2]}\nzip: [{tokens: [1280, 2560], d_model: [16, 32]}]\n", 0, true);
    cr_expect_eq(c.p.n_apart + c.p.n_families, 0);
    unplan(&c);
}

Test(trunk, the_plan_as_json)
{
    campaign c;
    plan(&c, &f, "json", SIX, 0, true);
    json_t *j = sweep_plan_json(&c.p, &c.s, false), *t = json_object_get(j, "trunks");
    cr_expect_eq(json_integer_value(json_object_get(t, "n_trunks")), 2);
    cr_expect_eq(json_integer_value(json_object_get(t, "n_branches")), 4);
    cr_expect_eq(json_real_value(json_object_get(t, "of_separate")), c.p.flops_trained / c.p.flops);
    json_t *short_run = json_array_get(json_object_get(j, "runs"), 0);
    cr_expect_str_eq(json_string_value(json_object_get(short_run, "trunk")), c.p.runs[2].id);
    cr_expect_eq(json_integer_value(json_object_get(short_run, "branch_step")), 17);
    json_decref(j);
    unplan(&c);
}

/* ---- the bits ------------------------------------------------------------------------------------------------- */

Test(trunk, shared_is_alone_in_any_bank_and_stream)
{
    static const struct { size_t bank, streams; } ways[] = {{16, 1}, {3, 2}, {1, 3}};
    campaign alone, c;
    train_alone(&alone, SIX);
    for (size_t k = 0; k < sizeof ways / sizeof *ways; k++) {
        train_shared(&c, SIX, ways[k].bank, ways[k].streams);
        same_bits(&alone, &c);
        cr_expect_eq(n_branched(&c), 4);
        forget(&c);
        unplan(&c);
    }
    unplan(&alone);
}

Test(trunk, decays_of_one_budget_share_too)
{
#define DECAYS                                                                                                         \
    BASE "  grid: {tokens: [2560, 1280], decay_shape: [linear, exponential], decay_fraction: [0.3, 0.001]}\n"
    campaign alone, c;
    train_alone(&alone, DECAYS);
    train_shared(&c, DECAYS, 16, 1);
    same_bits(&alone, &c);
    cr_expect_eq(n_branched(&c), 7);
    unplan(&c);
    unplan(&alone);
}

/* What a branch says about itself, and what is counted once. */
Test(trunk, a_branch_names_its_trunk)
{
    campaign c;
    run_record r, t;
    train_shared(&c, SIX, 16, 1);
    cr_expect_str_eq(from_of(&c, 0, &r), c.p.runs[2].id);
    cr_expect_null(from_of(&c, 2, &t));
    const attrs *s = &r.group[RUN_SUMMARY];
    cr_expect_eq(attrs_i64(s, "branch_step", 0), 17);
    cr_expect_eq(attrs_f64(s, "flops"), c.p.runs[0].flops);
    cr_expect(fabs((attrs_f64(s, "flops") - attrs_f64(s, "shared_flops")) / c.p.runs[0].own_flops - 1) < 1e-14);
    cr_expect(attrs_f64(s, "shared_wall_s") > 0 && attrs_f64(s, "shared_wall_s") < attrs_f64(s, "wall_s"));
    cr_expect(attrs_f64(s, "shared_wall_s") < attrs_f64(&t.group[RUN_SUMMARY], "wall_s"));
    cr_expect_eq(attrs_i64(&r.group[RUN_ENV], "restarts", -1), 0, "nothing was interrupted");
    cr_expect(strstr(attrs_text(&r.group[RUN_ENV], "segments"), "; 17 "), "%s", attrs_text(&r.group[RUN_ENV], "segments"));
    run_free(&r);
    run_free(&t);
    sweep_status now;
    err e = {0};
    cr_assert_eq(sweep_status_read(&now, c.dir, &e), ST_OK, "%s", e.msg);
    cr_expect(fabs(now.flops_done / c.p.flops_trained - 1) < 1e-12, "the campaign counts a shared step once");
    cr_expect(fabs(now.flops_total / c.p.flops_trained - 1) < 1e-12);
    sweep_status_free(&now);
    unplan(&c);
}

/* ---- trunks that do not get there ----------------------------------------------------------------------------- */

/* A trunk's end is the end of its branches where it comes before their step, or at it; nobody else's. On the machine this
 * was written on the smoothed loss of lr 0.35 crosses the first limit at step 17 (the shortest run's branch) and the second
 * at 21 (behind it); lr 100 crosses both at once, anywhere. */
Test(trunk, a_trunk_that_diverges_takes_only_those_that_would)
{
#define WILD                                                                                                           \
    BASE "  grid: {lr: [0.35, 100], warmup_tokens: [1024], blowup_nats: [0.07, 0.08], "                             \
         "tokens: [1280, 2560, 5120]}\n"
    campaign alone, c;
    size_t taken = 0;
    train_alone(&alone, WILD);
    train_shared(&c, WILD, 16, 1);
    same_bits(&alone, &c);
    cr_expect_eq(c.result.diverged, alone.result.diverged);
    cr_expect(c.result.flops_done < alone.result.flops_done);
    for (size_t i = 0; i < c.p.n_runs; i++) {
        run_record r;
        const bool branched = from_of(&c, i, &r) != NULL;
        const int64_t at = attrs_i64(&r.group[RUN_SUMMARY], "diverged_at", -1);
        taken += branched && at > 0 && at <= c.p.runs[i].branch_step;
        run_free(&r);
    }
    cr_expect_geq(taken, 4, "%zu", taken);
    unplan(&c);
    unplan(&alone);
}

/* A file stands where the longest run's folder should be. The next longest is the trunk then. */
Test(trunk, a_trunk_that_fails_is_replaced)
{
    campaign alone, c;
    err e = {0};
    char dir[IO_PATH_MAX], note[512];
    run_record r;
    train_alone(&alone, SIX);
    plan(&c, &f, "shared", SIX, 16, true);
    cr_assert_eq(campaign_open(c.dir, &c.s, &c.p, false, note, &e), ST_OK);
    cr_assert_eq(campaign_run_dir(dir, c.dir, c.p.runs[2].id, &e), ST_OK);
    cr_assert_eq(io_publish(dir, "x", 1, &e), ST_OK);
    cr_expect_eq(go(&c, &e), ST_PARTIAL);
    cr_expect_eq(c.result.failed, 1);
    cr_expect_eq(c.result.done, 5);
    cr_expect_null(from_of(&c, 1, &r));
    run_free(&r);
    cr_expect_str_eq(from_of(&c, 0, &r), c.p.runs[1].id);
    run_free(&r);
    cr_expect_eq(unlink(dir), 0);
    cr_assert_eq(go(&c, &e), ST_OK, "%s", e.msg);
    same_bits(&alone, &c);
    cr_expect_eq(states_left(&c), 0);
    unplan(&c);
    unplan(&alone);
}

Test(trunk, stopped_at_the_trunk_and_at_the_branches)
{
    campaign alone, c;
    err e = {0};
    train_alone(&alone, SIX);
    plan(&c, &f, "shared", SIX, 16, true);
    go_until(&c, 0); /* both trunks, after a step */
    go_until(&c, 2); /* all four branches, after theirs */
    cr_assert_eq(go(&c, &e), ST_OK, "%s", e.msg);
    same_bits(&alone, &c);
    cr_expect_eq(n_branched(&c), 4);
    cr_expect_eq(states_left(&c), 0);
    unplan(&c);
    unplan(&alone);
}

/* ---- campaigns with a past ------------------------------------------------------------------------------------ */

/* Begun run by run, and stopped: who is before its branch waits for the trunk, who is behind it goes on by itself. */
Test(trunk, a_campaign_begun_without_trunks)
{
    campaign alone, c;
    err e = {0};
    train_alone(&alone, SIX);
    plan(&c, &f, "shared", SIX, 2, false);
    go_until(&c, 2); /* the longest of both learning rates; two others have a step */
    unplan(&c);
    plan(&c, &f, "shared", SIX, 16, true);
    cr_assert_eq(go(&c, &e), ST_OK, "%s", e.msg);
    same_bits(&alone, &c);
    unplan(&c);
    /* and the other way round */
    plan(&c, &f, "again", SIX, 16, true);
    go_until(&c, 0);
    unplan(&c);
    plan(&c, &f, "again", SIX, 16, false);
    cr_assert_eq(go(&c, &e), ST_OK, "%s", e.msg);
    same_bits(&alone, &c);
    unplan(&c);
    unplan(&alone);
}

static void stop_before_branches(campaign *c)
{
    plan(c, &f, "shared", SIX, 2, true);
    go_until(c, 2);
    cr_expect_eq(states_left(c), 2, "%zu", states_left(c)); /* of the bank that had begun they are gone */
}

/* A state that cannot be read costs time, no result; where it is gone the family's next run is the trunk. */
Test(trunk, a_state_that_is_damaged_or_gone)
{
    campaign alone, c;
    err e = {0};
    train_alone(&alone, SIX);
    for (int gone = 0; gone < 2; gone++) {
        stop_before_branches(&c);
        size_t hit = 0;
        for (size_t i = 0; i < c.p.n_runs; i++)
            for (size_t k = 0; k < 2; k++) { /* the two steps at which one branches */
                char name[64], path[IO_PATH_MAX];
                snprintf(name, sizeof name, "branch.%lld", (long long)c.p.runs[k].branch_step);
                run_path(&c, c.p.runs[i].id, name, path);
                if (io_exists(path)) hit += gone ? !unlink(path) : !truncate(path, 1000);
            }
        cr_expect_eq(hit, 2);
        cr_assert_eq(go(&c, &e), ST_OK, "%s", e.msg);
        cr_expect(gone || strstr(c.heard, "trains all of its steps"), "%s", c.heard);
        same_bits(&alone, &c);
        cr_expect_eq(states_left(&c), 0);
        forget(&c);
        unplan(&c);
    }
    unplan(&alone);
}

/* Two processes take what they find: a branch waits for the trunk of the other one. */
Test(trunk, two_processes_share_a_campaign)
{
    campaign alone, c;
    err e = {0};
    int how;
    train_alone(&alone, SIX);
    plan(&c, &f, "shared", SIX, 1, true);
    pid_t child = fork();
    if (!child) _exit(go(&c, &e) ? 1 : 0);
    cr_assert_eq(go(&c, &e), ST_OK, "%s", e.msg);
    cr_assert_eq(waitpid(child, &how, 0), child);
    cr_expect(WIFEXITED(how) && !WEXITSTATUS(how));
    cr_assert_eq(go(&c, &e), ST_OK, "%s", e.msg); /* what the other one has finished since */
    cr_expect_eq(c.result.done, 6);
    same_bits(&alone, &c);
    cr_expect_eq(n_branched(&c), 4, "everybody waited");
    cr_expect_eq(states_left(&c), 0);
    unplan(&c);
    unplan(&alone);
}
