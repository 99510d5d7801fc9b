/* Accidents of a campaign: its plan, its index, its runs in a bank; and of a data set. */
#include <criterion/criterion.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/runs_table.h"
#include "sweeps/campaign.h"
#include "sweeps/launch_local.h"
#include "sweeps/store.h"
#include "tests/sweeps/crash_tables.h"
#include "tests/sweeps/store_fixture.h"
#include "trainer/data.h"

/* --- the index ---- */

static void add_member(int k, bool published)
{
    char run[IO_PATH_MAX], path[IO_PATH_MAX];
    trainer_config c;
    err e = {0};
    fx_config(&c, (uint64_t)k);
    snprintf(run, sizeof run, "%.900s/runs/%d", crash.dir, k);
    crash_need(fx_run(run, &c, 5 + k, RUN_DONE, &e), e);
    snprintf(path, sizeof path, "%.990s/run.h5", run);
    if (!published) unlink(path);
}

static status act_collect(err *e)
{
    campaign_counts n;
    return campaign_collect(&n, crash.dir, e);
}

static void prepare_campaign(void)
{
    for (int k = 1; k <= 3; k++) add_member(k, k != 2);
}

static void prepare_old_index(void)
{
    err e = {0};
    add_member(1, true);
    crash_need(act_collect(&e), e);
    add_member(2, false);
    add_member(3, true);
}

/* Whatever the index says, readers see the runs as they are. */
static void check_campaign(const char *where)
{
    char path[IO_PATH_MAX];
    table t = {0};
    err e = {0};
    if (crash_hold(table_read(&t, crash.dir, &e) == ST_OK, &crash.unreadable, "%s: %s", where, e.msg)) {
        crash_hold(t.n_rows == 3, &crash.lost, "%s: %zu runs", where, t.n_rows);
        for (size_t i = 0; i < t.n_rows && i < 3; i++)
            crash_hold(table_col(&t, "loss")->x[i] == fx_val(6 + (int64_t)i, 0).loss, &crash.wrong, "%s: row %zu", where, i);
        table_free(&t);
    }
    if (!io_exists(crash_path(path, "campaign.h5"))) {
        crash_hold(!crash.promised[MADE], &crash.lost, "%s: the index was promised", where);
        return;
    }
    memset(&t, 0, sizeof t);
    if (!crash_hold(table_read(&t, path, &e) == ST_OK, &crash.unreadable, "%s: %s", where, e.msg)) return;
    crash_hold(t.n_rows == 3 || (t.n_rows == 1 && !crash.promised[MADE]), &crash.wrong, "%s: neither the old index nor the new", where);
    table_free(&t);
}

static void check_index_over(const char *where)
{
    char path[IO_PATH_MAX];
    check_campaign(where);
    crash_hold(io_exists(crash_path(path, "campaign.h5")), &crash.lost, "%s: the old index is gone", where);
}

static void finished_index(const char *where)
{
    char path[IO_PATH_MAX];
    table t = {0};
    err e = {0};
    check_campaign(where);
    for (int k = 1; k <= 3; k++) {
        snprintf(path, sizeof path, "%.900s/runs/%d/run.h5", crash.dir, k);
        crash_hold(io_exists(path), &crash.wrong, "%s: run %d is not published", where, k);
    }
    if (!crash_hold(table_read(&t, crash.dir, &e) == ST_OK, &crash.unreadable, "%s: %s", where, e.msg)) return;
    crash_hold(!*t.sources[0].note, &crash.wrong, "%s: %s", where, t.sources[0].note);
    table_free(&t);
}

/* --- plan.json and spec.yaml; training by them ---- */

#define BASE "base: {data: '%s', data_dtype: u8, vocab: 16, d_model: 16, n_layer: 1, head_dim: 8, seq_len: 16, batch_tokens: 64,\n"              \
             "  tokens: 320, val_tokens: 64, parametrisation: sp, log_every: 1, ckpt_every: 2, val_every: 3}\n"

typedef struct study {
    char text[2048];
    sweep_spec spec;
    sweep_plan plan;
} study;

static void tokens_path(char *out) { snprintf(out, IO_PATH_MAX, "%.900s/tokens.u8", crash.top); }

static status make_study(study *x, const char *grid, err *e)
{
    char data[IO_PATH_MAX];
    sweep_plan_opts o = sweep_plan_opts_default();
    o.workers = 1;
    memset(x, 0, sizeof *x);
    tokens_path(data);
    int n = snprintf(x->text, sizeof x->text, BASE "%s\n", data, grid);
    status s = sweep_spec_parse(&x->spec, x->text, (size_t)n, "spec.yaml", e);
    return s ? s : sweep_plan_make(&x->plan, &x->spec, &o, e);
}

static void drop_study(study *x)
{
    sweep_plan_free(&x->plan);
    sweep_spec_free(&x->spec);
}

static const char two_runs[] = "grid: {lr: [0.01, 0.02]}", three_runs[] = "grid: {lr: [0.01, 0.02, 0.03]}";

static void make_tokens(void)
{
    unsigned char ids[2000];
    char path[IO_PATH_MAX];
    tokens_path(path);
    for (size_t i = 0; i < sizeof ids; i++) ids[i] = (unsigned char)((i * i / 7 + i) % 16);
    if (!io_exists(path)) fx_write(path, ids, sizeof ids);
}

static status open_as(const char *grid, bool amend, err *e)
{
    study x;
    char note[512];
    status s = make_study(&x, grid, e);
    if (!s) s = campaign_open(crash.dir, &x.spec, &x.plan, amend, note, e);
    drop_study(&x);
    return s;
}

static status act_open(err *e) { return open_as(two_runs, false, e); }
static status act_amend(err *e) { return open_as(three_runs, true, e); }

static void prepare_two(void)
{
    err e = {0};
    make_tokens();
    crash_need(act_open(&e), e);
}

/* The plan that is there is whole; spec.yaml says that there is one. 0: none. */
static size_t planned(const char *where)
{
    char path[IO_PATH_MAX];
    campaign_plan p = {0};
    err e = {0};
    bool plan = io_exists(crash_path(path, "plan.json")), spec = io_exists(crash_path(path, "spec.yaml"));
    crash_hold(plan || !spec, &crash.unreadable, "%s: spec.yaml without plan.json", where);
    crash_hold((plan && spec) || !crash.promised[MADE], &crash.lost, "%s: the campaign was promised", where);
    if (plan) crash_hold(campaign_plan_read(&p, crash.dir, &e) == ST_OK, &crash.unreadable, "%s: %s", where, e.msg);
    size_t n = p.n_runs;
    campaign_plan_free(&p);
    return n;
}

/* The copy of the spec is one of these, whole. */
static void spec_is(const char *where, const char *one, const char *other)
{
    char path[IO_PATH_MAX];
    study a, b;
    size_t n;
    err e = {0};
    if (!io_exists(crash_path(path, "spec.yaml"))) return;
    crash_need(make_study(&a, one, &e), e);
    crash_need(make_study(&b, other, &e), e);
    char *text = fx_read(path, &n);
    crash_hold(!strcmp(text, a.text) || !strcmp(text, b.text), &crash.wrong, "%s: spec.yaml is neither the old nor the new", where);
    free(text);
    drop_study(&a);
    drop_study(&b);
}

static void check_open(const char *where)
{
    size_t n = planned(where);
    crash_hold(n == 0 || n == 2, &crash.wrong, "%s: %zu runs in the plan", where, n);
    spec_is(where, two_runs, two_runs);
}
static void finished_open(const char *where)
{
    crash_hold(planned(where) == 2, &crash.wrong, "%s: not the plan", where);
    spec_is(where, two_runs, two_runs);
}
static void check_amend(const char *where)
{
    size_t n = planned(where);
    crash_hold(n == 3 || (n == 2 && !crash.promised[MADE]), n ? &crash.wrong : &crash.lost, "%s: %zu runs in the plan", where, n);
    spec_is(where, two_runs, three_runs);
}
static void finished_amend(const char *where)
{
    crash_hold(planned(where) == 3, &crash.wrong, "%s: not the new plan", where);
    spec_is(where, three_runs, three_runs);
}

static status act_sweep(err *e)
{
    study x;
    char note[512];
    static char word[] = "test";
    static char *const argv[] = {word, NULL};
    sweep_progress result;
    campaign_counts counts;
    status s = make_study(&x, two_runs, e);
    if (!s) s = campaign_open(crash.dir, &x.spec, &x.plan, false, note, e);
    sweep_launch_opts o = {.campaign = crash.dir, .threads = 1, .streams = 1, .argv = argv, .argc = 1};
    if (!s) s = sweep_launch_local(&result, &x.plan, &x.spec, &o, e);
    if (!s) s = campaign_collect(&counts, crash.dir, e);
    drop_study(&x);
    return s;
}

static void prepare_sweep(void)
{
    char keep[IO_PATH_MAX], reference[IO_PATH_MAX];
    make_tokens();
    memcpy(keep, crash.dir, sizeof keep);
    snprintf(reference, sizeof reference, "%.900s/campaign", crash.top);
    if (io_exists(reference)) return;
    memcpy(crash.dir, reference, sizeof crash.dir);
    cr_assert_eq(io_mkdirs(crash.dir, NULL), ST_OK);
    cr_assert_eq(crash_child(act_sweep, 0, 0, 0), 0);
    memcpy(crash.dir, keep, sizeof keep);
}

/* Every run that has a journal: its rows are the undisturbed campaign's, as far as they go. finished: to the end, and the weights. */
static void check_member(const char *id, bool finished, const char *where)
{
    char name[64], path[IO_PATH_MAX], other[IO_PATH_MAX];
    run_record r, want;
    size_t n, m;
    err e = {0};
    snprintf(name, sizeof name, "runs/%s/journal.jsonl", id);
    snprintf(other, sizeof other, "%.900s/campaign/%s", crash.top, name);
    if (!io_exists(crash_path(path, name))) {
        crash_hold(!finished, &crash.lost, "%s: run %s has no journal", where, id);
        return;
    }
    if (!crash_hold(run_read_journal(&r, path, &e) == ST_OK, &crash.unreadable, "%s: %s", where, e.msg)) return;
    crash_need(run_read_journal(&want, other, &e), e);
    crash_hold(finished ? r.n_train == want.n_train : r.n_train <= want.n_train, &crash.wrong, "%s: %zu rows of %s", where, r.n_train, id);
    if (r.n_train && r.n_train <= want.n_train)
        crash_hold(!memcmp(r.train[TRAIN_LOSS], want.train[TRAIN_LOSS], r.n_train * sizeof(double)), &crash.wrong, "%s: losses of %s", where, id);
    run_free(&r);
    run_free(&want);
    if (!finished) return;
    snprintf(name, sizeof name, "runs/%s/ckpt.5", id);
    snprintf(other, sizeof other, "%.900s/campaign/%s", crash.top, name);
    if (!crash_hold(io_exists(crash_path(path, name)), &crash.lost, "%s: %s is gone", where, name)) return;
    char *a = fx_read(path, &n), *b = fx_read(other, &m);
    crash_hold(n == m && !memcmp(a, b, n), &crash.wrong, "%s: the weights of %s differ", where, id);
    free(a);
    free(b);
    snprintf(name, sizeof name, "runs/%s/run.h5", id);
    if (crash_hold(run_read_h5(&r, crash_path(path, name), RUN_ALL, &e) == ST_OK, &crash.unreadable, "%s: %s", where, e.msg)) run_free(&r);
}

static void members(bool finished, const char *where)
{
    study x;
    err e = {0};
    crash_need(make_study(&x, two_runs, &e), e);
    for (size_t i = 0; i < x.plan.n_runs; i++) check_member(x.plan.runs[i].id, finished, where);
    drop_study(&x);
}

static void check_sweep(const char *where)
{
    check_open(where);
    members(crash.promised[MADE], where);
}
static void finished_sweep(const char *where)
{
    char path[IO_PATH_MAX];
    finished_open(where);
    members(true, where);
    crash_hold(io_exists(crash_path(path, "campaign.h5")), &crash.wrong, "%s: no index", where);
}

/* --- a data set ---- */

static status gen(const char *dir, uint64_t seed, err *e)
{
    data_info info;
    data_gen_opts o = {.out_dir = dir, .vocab = 8, .order = 1, .tokens = 3000, .seed = seed, .val_fraction = 0.1};
    return data_gen(&o, &info, e);
}

static status act_data(err *e)
{
    char set[IO_PATH_MAX];
    return gen(crash_path(set, "set"), 2, e);
}

static void twin_path(char *out, int seed) { snprintf(out, IO_PATH_MAX, "%.900s/twin%d", crash.top, seed); }

static void prepare_no_data(void)
{
    char twin[IO_PATH_MAX];
    err e = {0};
    for (int seed = 1; seed <= 2; seed++) {
        twin_path(twin, seed);
        if (!io_exists(twin)) crash_need(gen(twin, (uint64_t)seed, &e), e);
    }
}
static void prepare_data(void)
{
    char set[IO_PATH_MAX];
    err e = {0};
    prepare_no_data();
    crash_need(gen(crash_path(set, "set"), 1, &e), e);
}

/* Every file of the twin made with this seed is there, byte for byte. */
static bool same_set(const char *set, int seed)
{
    char twin[IO_PATH_MAX], a[IO_PATH_MAX], b[IO_PATH_MAX];
    bool same = true;
    twin_path(twin, seed);
    DIR *d = opendir(twin);
    cr_assert(d);
    for (const struct dirent *f; same && (f = readdir(d));) {
        size_t n = 0, m = 0;
        if (f->d_name[0] == '.') continue;
        cr_assert(!io_join(a, twin, f->d_name, NULL) && !io_join(b, set, f->d_name, NULL));
        if (!io_exists(b)) same = false;
        char *x = fx_read(a, &n), *y = same ? fx_read(b, &m) : NULL;
        same = same && n == m && !memcmp(x, y, n);
        free(x);
        free(y);
    }
    closedir(d);
    return same;
}

/* The set is this one (seed 1 or 2), or 0: there is none. One that is neither cannot be used. */
static int which_set(const char *where)
{
    char set[IO_PATH_MAX];
    data_set *d = NULL;
    err e = {0};
    if (!io_exists(crash_path(set, "set"))) return 0;
    status s = data_open(&d, set, "", &e);
    if (!s) s = data_scan(d, 8, &e);
    data_close(d);
    int seed = same_set(set, 1) ? 1 : same_set(set, 2) ? 2 : 3;
    crash_hold(!s && seed < 3, &crash.unreadable, "%s: %s", where, s ? e.msg : "the set is neither the old one nor the new");
    return seed;
}

static void check_no_data(const char *where)
{
    int seed = which_set(where);
    crash_hold(seed != 1, &crash.wrong, "%s: a set that nobody made", where);
    crash_hold(seed || !crash.promised[MADE], &crash.lost, "%s: the set was promised", where);
}
static void check_data(const char *where)
{
    int seed = which_set(where);
    crash_hold(seed != 0, &crash.lost, "%s: the old set is gone", where);
    crash_hold(seed == 2 || !crash.promised[MADE], &crash.lost, "%s: the new set was promised", where);
}
static void finished_data(const char *where) { crash_hold(which_set(where) == 2, &crash.wrong, "%s: not the new set", where); }

const crash_scenario crash_campaigns[] = {
    {"index", prepare_campaign, act_collect, check_campaign, finished_index, 10, false},
    {"index over an old one", prepare_old_index, act_collect, check_index_over, finished_index, 10, false},
    {"open", make_tokens, act_open, check_open, finished_open, 10, false},
    {"amend", prepare_two, act_amend, check_amend, finished_amend, 10, false},
    {"sweep", prepare_sweep, act_sweep, check_sweep, finished_sweep, 80, false},
    {"data", prepare_no_data, act_data, check_no_data, finished_data, 10, false},
    {"data over an old set", prepare_data, act_data, check_data, finished_data, 10, false},
    {0},
};
