/* A campaign is looked at by the last lines of its journals; what whole journals say must not differ. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/jline.h"
#include "sweeps/retry.h"
#include "sweeps/status.h"
#include "tests/sweeps/store_fixture.h"

static char top[IO_PATH_MAX];
static err e;

#define ok(call) do { memset(&e, 0, sizeof e); status s_ = (call); cr_assert_eq(s_, ST_OK, "%s", e.msg); } while (0)

static void setup(void) { fx_tempdir(top); }
TestSuite(status, .init = setup);

static char *file_in(char *out, const char *dir, const char *name)
{
    cr_assert_lt(snprintf(out, IO_PATH_MAX, "%.900s/%s", dir, name), IO_PATH_MAX);
    return out;
}

static bool same(double a, double b) { return a == b || (isnan(a) && isnan(b)); }

/* The glance and the whole journal say the same. */
static void compare(const char *dir, const char *what)
{
    char journal[IO_PATH_MAX];
    store_glance g;
    store_look p;
    run_record r;
    const status a = store_glance_at(&g, dir, NULL), b = store_peek(&p, dir, NULL);
    cr_assert_eq(a, b, "%s: %d and %d", what, a, b);
    if (a) return;
    cr_expect_eq(g.look.state, p.state, "%s: %s, not %s", what, store_state_name(g.look.state), store_state_name(p.state));
    cr_expect_eq(g.look.step, p.step, "%s: step %lld, not %lld", what, (long long)g.look.step, (long long)p.step);
    cr_expect_eq(g.look.tokens, p.tokens, "%s", what);
    cr_expect(same(g.look.loss, p.loss), "%s: loss %g, not %g", what, g.look.loss, p.loss);
    cr_expect_str_eq(g.look.owner, p.owner, "%s", what);
    if (p.state == STORE_ABSENT || p.state == STORE_DONE || run_read_journal(&r, file_in(journal, dir, "journal.jsonl"), NULL))
        return;
    const double last = r.n_train ? r.train[TRAIN_LOSS][r.n_train - 1] : NAN;
    cr_expect(same(g.train_loss, last), "%s: training loss %g, not %g", what, g.train_loss, last);
    const char *why = attrs_text(&r.group[RUN_ROOT], "why");
    cr_expect_str_eq(g.why, why ? why : "", "%s", what);
    run_free(&r);
}

/* Stopped, resumed before its last rows, failed, resumed, done: every record there is, and a place to go wrong at each. */
static void eventful(const char *dir, int64_t updates_every)
{
    trainer_config c;
    store_run *run;
    const err why = {.code = ST_IO, .msg = "the disk is full of \"quotes\""};
    fx_config(&c, 3);
    c.log_updates_every = updates_every;
    ok(io_mkdirs(dir, &e));
    store_opts o = {.dir = dir, .config = &c, .threads = 1, .resume = true};
    static const struct {
        int64_t from, to;
        run_status how;
    } legs[] = {{0, 9, RUN_STOPPED}, {5, 12, RUN_PARTIAL}, {12, 12, RUN_PARTIAL}, {10, 30, RUN_DONE}};
    for (size_t i = 0; i < sizeof legs / sizeof *legs; i++) {
        ok(store_run_open(&run, &o, &e));
        train_observer x = store_run_observer(run);
        ok(fx_drive(x, &c, legs[i].from, legs[i].to, (int64_t)i, legs[i].how, &e));
        ok(store_run_close(run, i == 1 ? &why : NULL, &e));
    }
}

static void cut_everywhere(const char *name, int64_t updates_every)
{
    char from[IO_PATH_MAX], to[IO_PATH_MAX], path[IO_PATH_MAX], what[96];
    size_t n, cuts = 0;
    file_in(from, top, name);
    eventful(from, updates_every);
    compare(from, "whole");
    char *text = fx_read(file_in(path, from, "journal.jsonl"), &n);
    ok(io_mkdirs(file_in(to, top, "cut"), &e));
    fx_write(file_in(path, to, "run.h5"), "not HDF5", 8); /* so that an end is believed without a whole reading */
    file_in(path, to, "journal.jsonl");
    for (size_t at = 0; at <= n; at++) {
        const bool edge = at == n || (at && (text[at - 1] == '\n' || text[at] == '\n')) || at % 997 == 0;
        if (!edge) continue;
        fx_write(path, text, at);
        snprintf(what, sizeof what, "%s cut at byte %zu", name, at);
        compare(to, what);
        cuts++;
    }
    cr_expect_gt(cuts, 90, "%zu cuts", cuts);
    free(text);
}

Test(status, a_journal_cut_anywhere) { cut_everywhere("plain", 0); }
Test(status, long_lines) { cut_everywhere("long", 1); }

/* The newest record is damaged, or of a later version: then the whole journal is read. */
Test(status, what_is_not_understood_is_read_whole)
{
    char dir[IO_PATH_MAX], path[IO_PATH_MAX], line[256] = "{\"event\":\"later\",\"step\":1";
    size_t n;
    trainer_config c;
    fx_config(&c, 8);
    ok(fx_run(file_in(dir, top, "r"), &c, 12, RUN_STOPPED, &e));
    char *text = fx_read(file_in(path, dir, "journal.jsonl"), &n);
    const size_t more = jline_seal(line, strlen(line));
    char *longer = malloc(n + more);
    memcpy(longer, text, n);
    memcpy(longer + n, line, more);
    fx_write(path, longer, n + more);
    compare(dir, "a record of a later version");
    text[n - 30] ^= 1;
    fx_write(path, text, n);
    compare(dir, "a damaged end");
    free(text);
    free(longer);
}

/* ---- a campaign ----------------------------------------------------------------------------------------------- */

enum { RUNS = 6, STEPS = 20 };
static char ids[RUNS][17];

static char *run_dir(char out[IO_PATH_MAX], int i)
{
    ok(campaign_run_dir(out, top, ids[i], &e));
    return out;
}

/* Runs 0 .. 4 as in the table, 5 is not begun. */
static void make_campaign(void)
{
    static const run_status how[] = {RUN_DONE, RUN_DONE, RUN_DIVERGED, RUN_STOPPED, RUN_PARTIAL};
    char dir[IO_PATH_MAX], path[IO_PATH_MAX], plan[2048] = "{\"schema\":\"muscale.plan/1\",\"runs\":[";
    trainer_config c;
    for (int i = 0; i < RUNS; i++) {
        size_t n = strlen(plan);
        fx_config(&c, (uint64_t)i);
        config_id(ids[i], &c);
        snprintf(plan + n, sizeof plan - n, "%s{\"id\":\"%s\",\"name\":\"run %d\",\"steps\":%d,\"tokens\":5120,\"flops\":%d}",
                 i ? "," : "", ids[i], i, (int)STEPS, 1000 * (i + 1));
        if (i < 5) ok(fx_run(run_dir(dir, i), &c, i < 2 ? STEPS : 5, how[i], &e));
    }
    strcat(plan, "]}\n");
    fx_write(file_in(path, top, "plan.json"), plan, strlen(plan));
}

static void same_status(const sweep_status *a, const sweep_status *b)
{
    size_t sum = 0;
    for (int k = 0; k < SWEEP_N_STATES; k++) {
        cr_expect_eq(a->counts[k], b->counts[k], "%s: %zu and %zu", sweep_states[k].word, a->counts[k], b->counts[k]);
        sum += a->counts[k];
    }
    cr_expect_eq(sum, RUNS);
    cr_expect_eq(a->flops_done, b->flops_done);
    cr_expect_eq(a->flops_left, b->flops_left);
    cr_expect_eq(a->progress, b->progress);
    for (size_t i = 0; i < RUNS; i++) {
        cr_expect_eq(a->rows[i].state, b->rows[i].state, "run %zu", i);
        cr_expect_eq(a->rows[i].step, b->rows[i].step, "run %zu", i);
        cr_expect(same(a->rows[i].loss, b->rows[i].loss), "run %zu", i);
        cr_expect_str_eq(a->rows[i].owner, b->rows[i].owner, "run %zu", i);
    }
}

/* Looking again sees what was written since, and nothing else; the sums are those of a fresh look. */
Test(status, again_is_like_anew)
{
    char dir[IO_PATH_MAX];
    sweep_status s = {0}, fresh = {0};
    store_run *run = NULL;
    trainer_config c;
    make_campaign();
    ok(sweep_status_read(&s, top, &e));
    cr_expect_eq(s.counts[SWEEP_DONE], 2);
    cr_expect_eq(s.counts[SWEEP_WAITING], 1);
    cr_expect_eq(s.flops_total, 21000.0);
    cr_expect_eq(s.flops_done, 1000 + 2000 + 0.25 * (3000 + 4000 + 5000));
    cr_expect_eq(s.flops_left, 0.75 * (4000 + 5000) + 6000);
    fx_config(&c, 5);
    store_opts o = {.dir = run_dir(dir, 5), .config = &c, .threads = 1, .resume = true};
    ok(store_run_open(&run, &o, &e));
    for (int64_t to = 5; to <= STEPS; to += 5) {
        ok(fx_drive(store_run_observer(run), &c, to - 5, to, 0, to < STEPS ? RUN_PARTIAL : RUN_DONE, &e));
        sweep_status_again(&s, top);
        cr_expect_eq(s.rows[5].state, to < STEPS ? SWEEP_RUNNING : SWEEP_DONE, "at %lld", (long long)to);
        cr_expect_eq(s.rows[5].step, to);
        ok(sweep_status_read(&fresh, top, &e));
        same_status(&s, &fresh);
        sweep_status_free(&fresh);
    }
    ok(store_run_close(run, NULL, &e));
    sweep_status_again(&s, top);
    cr_expect_eq(s.counts[SWEEP_DONE], 3);
    cr_expect_not(sweep_status_settled(&s));
    sweep_status_free(&s);
}

/* ---- choosing and making room --------------------------------------------------------------------------------- */

static void expect_chosen(const char *want, const retry_want *w)
{
    bool chosen[RUNS];
    sweep_status s = {0};
    ok(sweep_status_read(&s, top, &e));
    ok(retry_choose(chosen, &s, top, w, &e));
    for (int i = 0; i < RUNS; i++) cr_expect_eq(chosen[i], want[i] == 'x', "run %d of %s", i, want);
    sweep_status_free(&s);
}

Test(status, chosen_by_state)
{
    char dir[IO_PATH_MAX];
    store_run *run;
    trainer_config c;
    const err why = {.code = ST_IO, .msg = "no room"};
    make_campaign();
    expect_chosen("...xxx", &(retry_want){.missing = true});
    expect_chosen("..x...", &(retry_want){.diverged = true});
    expect_chosen("......", &(retry_want){.failed = true});
    fx_config(&c, 4);
    store_opts o = {.dir = run_dir(dir, 4), .config = &c, .threads = 1, .resume = true};
    ok(store_run_open(&run, &o, &e));
    expect_chosen("...x.x", &(retry_want){.missing = true, .failed = true, .diverged = false});
    ok(store_run_close(run, &why, &e));
    expect_chosen("....x.", &(retry_want){.failed = true});
}

Test(status, a_diverged_run_is_put_aside_whole)
{
    char dir[IO_PATH_MAX], to[IO_PATH_MAX], path[IO_PATH_MAX], want[IO_PATH_MAX];
    size_t n, m;
    trainer_config c;
    make_campaign();
    char *before = fx_read(file_in(path, run_dir(dir, 2), "journal.jsonl"), &n);
    ok(retry_put_aside(to, top, ids[2], &e));
    snprintf(want, sizeof want, "%.900s/attempts/%s.1", top, ids[2]);
    cr_assert_str_eq(to, want);
    cr_expect_not(io_exists(run_dir(dir, 2)));
    cr_expect_not(io_exists(file_in(path, to, "owner")), "given back where it is now");
    cr_expect(io_exists(file_in(path, to, "run.h5")));
    char *after = fx_read(file_in(path, to, "journal.jsonl"), &m);
    cr_expect(n == m && !memcmp(before, after, n), "the record is as it was");
    expect_chosen("..x...", &(retry_want){.diverged = true}); /* not begun again: still asked for by that word */
    fx_config(&c, 2);
    ok(fx_run(dir, &c, 5, RUN_DIVERGED, &e));
    ok(retry_put_aside(to, top, ids[2], &e));
    cr_expect_str_eq(to + strlen(to) - 2, ".2", "%s", to);
    ok(fx_run(dir, &c, STEPS, RUN_DONE, &e));
    ok(retry_put_aside(to, top, ids[2], &e)); /* done since: left where it is */
    cr_expect_str_empty(to);
    cr_expect(io_exists(dir));
    expect_chosen("......", &(retry_want){.diverged = true});
    free(before);
    free(after);
}

Test(status, nobody_is_robbed)
{
    char dir[IO_PATH_MAX], to[IO_PATH_MAX];
    store_run *run;
    trainer_config c;
    make_campaign();
    fx_config(&c, 2);
    store_opts o = {.dir = run_dir(dir, 2), .config = &c, .threads = 1, .resume = true};
    ok(store_run_open(&run, &o, &e));
    memset(&e, 0, sizeof e);
    cr_expect_eq(retry_put_aside(to, top, ids[2], &e), ST_BUSY, "%s", e.msg);
    cr_expect(io_exists(dir));
    ok(store_run_close(run, NULL, &e));
}
