/* Campaigns of families: run, run again, compared bit by bit with the same runs trained alone. */
#ifndef TESTS_SWEEPS_TRUNK_FIXTURE_H
#define TESTS_SWEEPS_TRUNK_FIXTURE_H
#include "fixture.h"

#include <dirent.h>
#include <signal.h>

#include "base/run.h"
#include "sweeps/campaign.h"
#include "sweeps/launch_local.h"
#include "sweeps/store.h"

typedef struct campaign {
    fixture *f;
    sweep_spec s;
    sweep_plan p;
    char dir[IO_PATH_MAX], heard[4096];
    size_t streams;
    sweep_progress result;
    volatile sig_atomic_t stop;
    bool stops;       /* raise `stop` when a bank begins after so many runs are done */
    size_t stop_done;
} campaign;

/* A kill and a rename know no disk: fsync may be cheap. */
static inline void quick_disk(void)
{
    if (!access("/dev/shm", W_OK)) setenv("TMPDIR", "/dev/shm", 0);
}

static inline void plan(campaign *c, fixture *f, const char *name, const char *text, size_t max_bank, bool trunks)
{
    err e = {0};
    memset(c, 0, sizeof *c);
    c->f = f;
    sweep_plan_opts o = sweep_plan_opts_default();
    o.workers = 2;
    o.max_bank = max_bank;
    o.no_trunks = !trunks;
    cr_assert_eq(fixture_spec(&c->s, f, text, &e), ST_OK, "%s", e.msg);
    cr_assert_eq(sweep_plan_make(&c->p, &c->s, &o, &e), ST_OK, "%s", e.msg);
    cr_assert_eq(io_join(c->dir, f->dir, name, &e), ST_OK);
}

static inline void unplan(campaign *c)
{
    sweep_plan_free(&c->p);
    sweep_spec_free(&c->s);
}

static inline void hear_progress(void *self, const sweep_progress *now)
{
    campaign *c = self;
    cr_expect_eq(now->done + now->diverged + now->failed + now->running + now->others + now->waiting, now->total);
    if (c->stops && now->running && now->done >= c->stop_done) c->stop = SIGTERM;
}

static inline void hear(void *self, sweep_say kind, const char *line)
{
    campaign *c = self;
    size_t used = strlen(c->heard);
    (void)kind;
    snprintf(c->heard + used, sizeof c->heard - used, "%s\n", line);
}

static inline status go(campaign *c, err *e)
{
    static char word[] = "test";
    static char *const argv[] = {word, NULL};
    char note[512];
    status st = campaign_open(c->dir, &c->s, &c->p, false, note, e);
    c->stop = 0;
    c->heard[0] = 0;
    sweep_launch_opts o = {.campaign = c->dir, .threads = 2, .streams = c->streams, .stop = &c->stop, .argv = argv,
                           .argc = 1, .listener = {c, hear_progress, hear}};
    return st ? st : sweep_launch_local(&c->result, &c->p, &c->s, &o, e);
}

/* Stops at the first bank that begins after so many runs are done. */
static inline void go_until(campaign *c, size_t done)
{
    err e = {0};
    c->stops = true;
    c->stop_done = done;
    cr_assert_eq(go(c, &e), ST_INTERRUPTED, "%s", e.msg);
    cr_assert_eq(c->result.done, done);
    c->stops = false;
}

static inline void run_path(const campaign *c, const char *id, const char *name, char out[IO_PATH_MAX])
{
    char dir[IO_PATH_MAX];
    cr_assert_eq(campaign_run_dir(dir, c->dir, id, NULL), ST_OK);
    cr_assert_eq(io_join(out, dir, name, NULL), ST_OK);
}

static inline size_t files_like(const campaign *c, const char *id, const char *begin)
{
    char dir[IO_PATH_MAX];
    size_t n = 0;
    cr_assert_eq(campaign_run_dir(dir, c->dir, id, NULL), ST_OK);
    DIR *d = opendir(dir);
    for (struct dirent *x; d && (x = readdir(d));) n += !strncmp(x->d_name, begin, strlen(begin));
    if (d) closedir(d);
    return n;
}

/* States that wait for a branch, in all of the campaign. */
static inline size_t states_left(const campaign *c)
{
    size_t n = 0;
    for (size_t i = 0; i < c->p.n_runs; i++) n += files_like(c, c->p.runs[i].id, "branch.");
    return n;
}

static inline void same_file(const campaign *a, const campaign *b, const char *id, const char *name)
{
    char path[IO_PATH_MAX], *x = NULL, *y = NULL;
    size_t n = 0, m = 0;
    err e = {0};
    run_path(a, id, name, path);
    cr_assert_eq(io_read_file(&x, &n, path, 1 << 26, &e), ST_OK, "%s", e.msg);
    run_path(b, id, name, path);
    cr_assert_eq(io_read_file(&y, &m, path, 1 << 26, &e), ST_OK, "%s", e.msg);
    cr_expect(n == m && !memcmp(x, y, n), "%s of %s differs", name, id);
    free(x);
    free(y);
}

static inline void same_numbers(const attrs *a, const attrs *b, const char *name, const char *id)
{
    const double x = attrs_f64(a, name), y = attrs_f64(b, name);
    cr_expect(!memcmp(&x, &y, sizeof x), "%s of %s: %.17g and %.17g", name, id, x, y);
}

static inline void same_updates(const run_updates *a, const run_updates *b, const char *id)
{
    cr_expect_eq(a->n, b->n, "%s: %zu and %zu updates", id, a->n, b->n);
    for (int k = 0; a->n == b->n && k < UPDATE_N_COLS; k++)
        cr_expect(!a->n || !memcmp(a->of[k], b->of[k], a->n * a->n_tensors * sizeof(double)), "updates of %s", id);
}

/* Of one run: rows, end, and (of a run that is done) weights and moments. */
static inline void same_run(const campaign *a, const campaign *b, const sweep_run *r)
{
    static const train_col cols[] = {TRAIN_STEP, TRAIN_TOKENS, TRAIN_LOSS, TRAIN_LR, TRAIN_GRAD_NORM};
    static const char *const summary[] = {"step", "tokens", "diverged_at", "final_val_loss", "final_val_loss_se",
                                          "best_val_loss", "final_train_loss_ema", "flops"};
    char path[IO_PATH_MAX], name[64];
    run_record x, y;
    err e = {0};
    for (int h5 = 0; h5 < 2; h5++) { /* the truth, and what is read */
        run_path(a, r->id, h5 ? "run.h5" : "journal.jsonl", path);
        cr_assert_eq(h5 ? run_read_h5(&x, path, RUN_ALL, &e) : run_read_journal(&x, path, &e), ST_OK, "%s", e.msg);
        run_path(b, r->id, h5 ? "run.h5" : "journal.jsonl", path);
        cr_assert_eq(h5 ? run_read_h5(&y, path, RUN_ALL, &e) : run_read_journal(&y, path, &e), ST_OK, "%s", e.msg);
        cr_expect_str_eq(run_status_text(&x), run_status_text(&y), "%s", r->id);
        cr_expect_str_eq(attrs_text(&y.group[RUN_ROOT], "run_id"), r->id);
        cr_expect_str_eq(attrs_text(&x.group[RUN_CONFIG], "canonical"), attrs_text(&y.group[RUN_CONFIG], "canonical"));
        cr_expect_str_eq(attrs_text(&x.group[RUN_DATA], "sha256"), attrs_text(&y.group[RUN_DATA], "sha256"));
        cr_expect_eq(x.n_train, y.n_train, "%s: %zu and %zu rows", r->id, x.n_train, y.n_train);
        cr_expect_eq(x.n_val, y.n_val, "%s: %zu and %zu validations", r->id, x.n_val, y.n_val);
        for (size_t k = 0; k < 5 && x.n_train == y.n_train; k++)
            cr_expect(!memcmp(x.train[cols[k]], y.train[cols[k]], x.n_train * sizeof(double)), "%s of %s",
                      run_train_columns[cols[k]].name, r->id);
        for (int k = 0; k < VAL_N_COLS && x.n_val == y.n_val; k++)
            cr_expect(!x.n_val || !memcmp(x.val[k], y.val[k], x.n_val * sizeof(double)), "validations of %s", r->id);
        for (size_t k = 0; k < sizeof summary / sizeof *summary; k++)
            same_numbers(&x.group[RUN_SUMMARY], &y.group[RUN_SUMMARY], summary[k], r->id);
        same_updates(&x.updates, &y.updates, r->id);
        if (!strcmp(run_status_text(&x), "done") && !h5) {
            snprintf(name, sizeof name, "ckpt.%lld", (long long)r->steps);
            same_file(a, b, r->id, name);
        }
        run_free(&x);
        run_free(&y);
    }
}

static inline void same_bits(const campaign *a, const campaign *b)
{
    cr_assert_eq(a->p.n_runs, b->p.n_runs);
    for (size_t i = 0; i < a->p.n_runs; i++) {
        cr_assert_str_eq(a->p.runs[i].id, b->p.runs[i].id);
        same_run(a, b, &a->p.runs[i]);
    }
}
#endif
