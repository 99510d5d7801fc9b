/* Running a campaign: bits do not depend on banks, workers or interruptions; failures stay with the run that failed. */
#include "fixture.h"

#include <dirent.h>
#include <signal.h>
#include <sys/stat.h>
#include <sys/wait.h>

#include "base/run.h"
#include "sweeps/campaign.h"
#include "sweeps/launch_local.h"
#include "sweeps/status.h"
#include "sweeps/store.h"

typedef struct campaign {
    fixture f;
    sweep_spec s;
    sweep_plan p;
    char dir[IO_PATH_MAX];
    size_t failures, notes; /* heard */
    char heard[2048];
    volatile sig_atomic_t stop;
    int stop_after; /* progress calls until `stop` is raised; 0 = never */
    bool watch;     /* read the status at every progress call */
    size_t watched;
    size_t fail_fast, streams, most_running;
} campaign;

static void begin(campaign *c, const char *text, int workers, size_t max_bank)
{
    err e = {0};
    memset(c, 0, sizeof *c);
    fixture_make(&c->f, 4000, 16);
    sweep_plan_opts o = sweep_plan_opts_default();
    o.workers = workers;
    o.max_bank = max_bank;
    cr_assert_eq(fixture_spec(&c->s, &c->f, text, &e), ST_OK, "%s", e.msg);
    cr_assert_eq(sweep_plan_make(&c->p, &c->s, &o, &e), ST_OK, "%s", e.msg);
    cr_assert_eq(io_join(c->dir, c->f.dir, "camp", &e), ST_OK);
}

static void finish(campaign *c)
{
    sweep_plan_free(&c->p);
    sweep_spec_free(&c->s);
    fixture_remove(&c->f);
}

static size_t status_total(const campaign *c, sweep_status *s)
{
    err e = {0};
    size_t sum = 0;
    cr_assert_eq(sweep_status_read(s, c->dir, &e), ST_OK, "%s", e.msg);
    for (int k = 0; k < SWEEP_N_STATES; k++) sum += s->counts[k];
    return sum;
}

static void hear_progress(void *self, const sweep_progress *now)
{
    campaign *c = self;
    cr_expect_eq(now->done + now->diverged + now->early_stopped + now->failed + now->running + now->others + now->waiting, now->total);
    if (now->running > c->most_running) c->most_running = now->running;
    if (c->stop_after && --c->stop_after == 0) c->stop = SIGTERM;
    if (c->watch) {
        sweep_status s;
        cr_expect_eq(status_total(c, &s), c->p.n_runs);
        sweep_status_free(&s);
        c->watched++;
    }
}

static void hear(void *self, sweep_say kind, const char *line)
{
    campaign *c = self;
    size_t used = strlen(c->heard);
    c->failures += kind == SWEEP_FAILURE;
    c->notes += kind == SWEEP_NOTE;
    snprintf(c->heard + used, sizeof c->heard - used, "%s\n", line);
}

static status go(campaign *c, int threads, sweep_progress *out, err *e)
{
    char note[512];
    static char word[] = "test";
    static char *const argv[] = {word, NULL};
    cr_assert_eq(campaign_open(c->dir, &c->s, &c->p, false, note, e), ST_OK, "%s", e->msg);
    c->failures = c->notes = 0;
    c->heard[0] = 0;
    c->stop = 0;
    sweep_launch_opts o = {.campaign = c->dir,
                           .threads = threads,
                           .streams = c->streams,
                           .fail_fast = c->fail_fast,
                           .stop = &c->stop,
                           .argv = argv,
                           .argc = 1,
                           .listener = {c, hear_progress, hear}};
    return sweep_launch_local(out, &c->p, &c->s, &o, e);
}

static void run_path(const campaign *c, size_t run, const char *name, char out[IO_PATH_MAX])
{
    char dir[IO_PATH_MAX];
    err e = {0};
    cr_assert_eq(campaign_run_dir(dir, c->dir, c->p.runs[run].id, &e), ST_OK);
    cr_assert_eq(io_join(out, dir, name, &e), ST_OK);
}

static void read_all(const campaign *c, size_t run, const char *name, char **text, size_t *n)
{
    char path[IO_PATH_MAX];
    err e = {0};
    run_path(c, run, name, path);
    cr_assert_eq(io_read_file(text, n, path, 1 << 26, &e), ST_OK, "%s", e.msg);
}

/* Newest checkpoint: the final weights and moments of a run that is done. */
static void last_checkpoint(const campaign *c, size_t run, char name[64])
{
    snprintf(name, 64, "ckpt.%lld", (long long)c->p.runs[run].steps);
}

static void same_bits(const campaign *a, const campaign *b)
{
    cr_assert_eq(a->p.n_runs, b->p.n_runs);
    for (size_t i = 0; i < a->p.n_runs; i++) {
        char name[64], *x, *y, dir[IO_PATH_MAX];
        size_t nx, ny;
        err e = {0};
        run_record ra, rb;
        cr_assert_str_eq(a->p.runs[i].id, b->p.runs[i].id);
        last_checkpoint(a, i, name);
        read_all(a, i, name, &x, &nx);
        read_all(b, i, name, &y, &ny);
        cr_expect(nx == ny && !memcmp(x, y, nx), "weights of %s differ", a->p.runs[i].id);
        free(x);
        free(y);
        run_path(a, i, "journal.jsonl", dir);
        cr_assert_eq(run_read_journal(&ra, dir, &e), ST_OK, "%s", e.msg);
        run_path(b, i, "journal.jsonl", dir);
        cr_assert_eq(run_read_journal(&rb, dir, &e), ST_OK, "%s", e.msg);
        cr_expect_eq(ra.n_train, (size_t)a->p.runs[i].steps);
        cr_expect_eq(ra.n_train, rb.n_train);
        cr_expect_eq(ra.n_val, rb.n_val);
        static const train_col cols[] = {TRAIN_STEP, TRAIN_TOKENS, TRAIN_LOSS, TRAIN_LR, TRAIN_GRAD_NORM};
        for (size_t k = 0; k < 5 && ra.n_train == rb.n_train; k++)
            cr_expect(!memcmp(ra.train[cols[k]], rb.train[cols[k]], ra.n_train * sizeof(double)), "column %d of %s",
                      (int)cols[k], a->p.runs[i].id);
        for (int k = 0; k < VAL_N_COLS && ra.n_val == rb.n_val; k++)
            cr_expect(!memcmp(ra.val[k], rb.val[k], ra.n_val * sizeof(double)), "validation of %s", a->p.runs[i].id);
        run_free(&ra);
        run_free(&rb);
    }
}

#define FIVE FIXTURE_BASE "sweeps:\n- base: {ckpt_every: 5, val_every: 10}\n  grid:\n    lr: logspace(1e-3, 1e-1, 5)\n"

Test(run, a_campaign_is_run_once)
{
    campaign c;
    sweep_progress r;
    sweep_status s;
    err e = {0};
    char *before, *after, path[IO_PATH_MAX];
    size_t n, m;
    begin(&c, FIVE, 2, 16);
    c.watch = true;
    cr_assert_eq(go(&c, 2, &r, &e), ST_OK, "%s", e.msg);
    cr_expect_eq(r.done, 5);
    cr_expect(c.watched > 0);
    cr_expect_eq(status_total(&c, &s), 5);
    cr_expect_eq(s.counts[SWEEP_DONE], 5);
    cr_expect_eq(s.rows[0].step, 20);
    cr_expect_eq(s.outside, 0);
    json_t *j = sweep_status_json(&s, c.dir);
    cr_assert(j);
    cr_expect_str_eq(json_string_value(json_object_get(j, "schema")), "muscale.status/1");
    cr_expect_eq(json_integer_value(json_object_get(json_object_get(j, "counts"), "done")), 5);
    json_decref(j);
    sweep_status_free(&s);
    for (size_t i = 0; i < 5; i++) {
        run_path(&c, i, "run.h5", path);
        cr_expect(io_exists(path), "%s", path);
        run_path(&c, i, "owner", path);
        cr_expect_not(io_exists(path), "%s", path);
    }
    read_all(&c, 0, "journal.jsonl", &before, &n);
    cr_assert_eq(go(&c, 1, &r, &e), ST_OK, "%s", e.msg);
    cr_expect_eq(r.done, 5);
    cr_expect_eq(r.flops_done, 0);
    read_all(&c, 0, "journal.jsonl", &after, &m);
    cr_expect(n == m && !memcmp(before, after, n), "a finished run was touched");
    free(before);
    free(after);
    finish(&c);
}

Test(run, banks_and_workers_change_no_bit)
{
    static const struct {
        int threads;
        size_t bank, streams;
    } ways[] = {{2, 5, 1}, {1, 2, 1}, {2, 2, 1}, {2, 1, 1}, {1, 2, 2}, {1, 1, 3}, {1, 5, 4}};
    campaign alone;
    sweep_progress r;
    err e = {0};
    begin(&alone, FIVE, 1, 1);
    cr_assert_eq(go(&alone, 1, &r, &e), ST_OK, "%s", e.msg);
    cr_expect_eq(alone.p.n_banks, 5);
    for (size_t i = 0; i < sizeof ways / sizeof *ways; i++) {
        campaign c;
        begin(&c, FIVE, ways[i].threads, ways[i].bank);
        c.streams = ways[i].streams;
        cr_assert_eq(go(&c, ways[i].threads, &r, &e), ST_OK, "%s", e.msg);
        same_bits(&alone, &c);
        finish(&c);
    }
    finish(&alone);
}

/* Runs that differ in nothing but the seed must differ in their weights: same_bits can fail. */
/* Two streams: a failed run in one ends the sweep, the other one's bank is checkpointed and goes on later. */
Test(run, fail_fast_stops_the_other_streams_too)
{
    campaign c, alone;
    sweep_progress r;
    err e = {0};
    char path[IO_PATH_MAX], note[512];
    begin(&c, FIVE, 1, 1);
    c.streams = 2;
    c.fail_fast = 1;
    cr_assert_eq(campaign_open(c.dir, &c.s, &c.p, false, note, &e), ST_OK);
    cr_assert_eq(campaign_run_dir(path, c.dir, c.p.runs[1].id, &e), ST_OK);
    cr_assert_eq(io_publish(path, "x", 1, &e), ST_OK);
    cr_expect_eq(go(&c, 1, &r, &e), ST_PARTIAL);
    cr_expect_eq(r.failed, 1);
    cr_expect_eq(r.running, 0);
    cr_expect(r.done < 2, "runs were begun after the failure");
    cr_expect_eq(unlink(path), 0);
    cr_assert_eq(go(&c, 1, &r, &e), ST_OK, "%s", e.msg);
    begin(&alone, FIVE, 1, 1);
    cr_assert_eq(go(&alone, 1, &r, &e), ST_OK, "%s", e.msg);
    same_bits(&alone, &c);
    finish(&alone);
    finish(&c);
}

/* Two banks, two streams, and a device's memory for so much; the host plays the device, whose backend this build may
 * not have. How many runs trained at once. */
static size_t most_running(double fits)
{
    campaign c;
    sweep_progress r;
    err e = {0};
    begin(&c, FIXTURE_BASE "grid: {d_model: [16, 32], tokens: [12800]}\n", 1, 1);
    c.streams = 2;
    cr_assert_eq(c.p.n_banks, 2);
    for (size_t k = 0; k < c.p.n_classes; k++) c.p.classes[k].on_device = true;
    c.p.device.multiprocessors = 132;
    c.p.device.budget = (size_t)(fits * (double)(c.p.banks[0].bytes + c.p.banks[1].bytes));
    cr_assert_eq(go(&c, 1, &r, &e), ST_OK, "%s", e.msg);
    cr_expect_eq(r.done, 2);
    finish(&c);
    return c.most_running;
}

Test(run, a_bank_waits_for_memory_that_is_another_s)
{
    cr_expect_eq(most_running(1), 2);
    cr_expect_eq(most_running(0.99), 1);
    cr_expect_eq(most_running(0.1), 1, "what never fits is tried alone");
}

Test(run, another_seed_changes_bits)
{
    campaign c;
    sweep_progress r;
    err e = {0};
    char name[64], *x, *y;
    size_t n, m;
    begin(&c, FIXTURE_BASE "seeds: [0, 1]\n", 1, 2);
    cr_assert_eq(go(&c, 1, &r, &e), ST_OK, "%s", e.msg);
    last_checkpoint(&c, 0, name);
    read_all(&c, 0, name, &x, &n);
    read_all(&c, 1, name, &y, &m);
    cr_expect(n != m || memcmp(x, y, n));
    free(x);
    free(y);
    finish(&c);
}

#define LONG                                                                                                           \
    FIXTURE_BASE "sweeps:\n- base: {ckpt_every: 50, tokens: 128000, val_every: 1000}\n  grid:\n    lr: "               \
                 "logspace(1e-3, 1e-1, 5)\n"

Test(run, interrupted_and_resumed_is_undisturbed)
{
    campaign whole, c;
    sweep_progress r;
    sweep_status s;
    err e = {0};
    begin(&whole, LONG, 2, 5);
    cr_assert_eq(go(&whole, 2, &r, &e), ST_OK, "%s", e.msg);
    begin(&c, LONG, 2, 3);
    c.stop_after = 1; /* as the first bank starts */
    cr_assert_eq(go(&c, 2, &r, &e), ST_INTERRUPTED);
    cr_expect(r.waiting > 0, "nothing was interrupted");
    cr_expect_eq(status_total(&c, &s), 5);
    cr_expect_eq(s.counts[SWEEP_STOPPED], 3);
    cr_expect_eq(s.counts[SWEEP_WAITING], 2);
    sweep_status_free(&s);
    c.stop_after = 3;
    cr_expect_eq(go(&c, 1, &r, &e), ST_INTERRUPTED);
    cr_assert_eq(go(&c, 2, &r, &e), ST_OK, "%s", e.msg);
    cr_expect_eq(r.done, 5);
    same_bits(&whole, &c);
    finish(&c);
    finish(&whole);
}

Test(run, a_failed_run_fails_alone)
{
    campaign c;
    sweep_progress r;
    sweep_status s;
    err e = {0};
    char path[IO_PATH_MAX];
    begin(&c, FIVE, 1, 5);
    /* run 2 cannot have its folder: a file is in the way */
    cr_assert_eq(io_mkdirs(c.dir, &e), ST_OK);
    char note[512];
    cr_assert_eq(campaign_open(c.dir, &c.s, &c.p, false, note, &e), ST_OK);
    cr_assert_eq(campaign_run_dir(path, c.dir, c.p.runs[2].id, &e), ST_OK);
    cr_assert_eq(io_publish(path, "x", 1, &e), ST_OK);
    cr_expect_eq(go(&c, 1, &r, &e), ST_PARTIAL);
    cr_expect(strstr(e.msg, "1 of 5 runs failed"), "%s", e.msg);
    cr_expect_eq(r.done, 4);
    cr_expect_eq(r.failed, 1);
    cr_expect_eq(c.failures, 1);
    cr_expect(strstr(c.heard, c.p.runs[2].id) && strstr(c.heard, "lr=0.01"), "%s", c.heard);
    cr_expect_eq(status_total(&c, &s), 5);
    cr_expect_eq(s.counts[SWEEP_DONE], 4);
    sweep_status_free(&s);
    cr_expect_eq(unlink(path), 0);
    cr_assert_eq(go(&c, 1, &r, &e), ST_OK, "%s", e.msg);
    cr_expect_eq(r.done, 5);
    finish(&c);
}

Test(run, fail_fast_stops)
{
    campaign c;
    sweep_progress r;
    err e = {0};
    char path[IO_PATH_MAX], note[512];
    begin(&c, FIVE, 1, 1);
    cr_assert_eq(campaign_open(c.dir, &c.s, &c.p, false, note, &e), ST_OK);
    for (size_t i = 0; i < 5; i += 2) {
        cr_assert_eq(campaign_run_dir(path, c.dir, c.p.runs[i].id, &e), ST_OK);
        cr_assert_eq(io_publish(path, "x", 1, &e), ST_OK);
    }
    c.fail_fast = 2;
    cr_expect_eq(go(&c, 1, &r, &e), ST_PARTIAL);
    cr_expect(strstr(e.msg, "--fail-fast after 2"), "%s", e.msg);
    cr_expect_eq(r.failed, 2);
    cr_expect_eq(r.failed + r.done + r.waiting, 5);
    cr_expect(r.waiting > 0);
    finish(&c);
}

/* All checkpoints of one run are damaged: nothing valid is left of it, and its bank goes on. */
Test(run, a_damaged_run_does_not_take_its_bank_down)
{
    campaign c;
    sweep_progress r;
    err e = {0};
    char path[IO_PATH_MAX];
    begin(&c, LONG, 1, 5);
    c.stop_after = 1;
    cr_assert_eq(go(&c, 1, &r, &e), ST_INTERRUPTED);
    size_t damaged = 0;
    char dir[IO_PATH_MAX];
    cr_assert_eq(campaign_run_dir(dir, c.dir, c.p.runs[1].id, &e), ST_OK);
    DIR *d = opendir(dir);
    cr_assert(d);
    for (struct dirent *x; (x = readdir(d));)
        if (!strncmp(x->d_name, "ckpt.", 5)) {
            cr_assert_eq(io_join(path, dir, x->d_name, &e), ST_OK);
            cr_assert_eq(truncate(path, 100), 0);
            damaged++;
        }
    closedir(d);
    cr_assert(damaged > 0, "no checkpoint was written at the signal");
    cr_expect_eq(go(&c, 1, &r, &e), ST_PARTIAL);
    cr_expect_eq(r.done, 4, "%s", c.heard);
    cr_expect_eq(r.failed, 1);
    sweep_status s;
    cr_expect_eq(status_total(&c, &s), 5);
    cr_expect_eq(s.counts[SWEEP_FAILED], 1);
    cr_expect_eq(s.rows[1].state, SWEEP_FAILED);
    cr_expect(strstr(s.rows[1].message, "ckpt"), "the reason: %s", s.rows[1].message);
    sweep_status_free(&s);
    finish(&c);
}

Test(run, divergence_is_a_result)
{
    campaign c;
    sweep_progress r;
    sweep_status s;
    err e = {0};
    begin(&c, FIXTURE_BASE "grid: {lr: [1e-2, 100]}\n", 1, 2);
    cr_expect_eq(go(&c, 1, &r, &e), ST_OK, "%s", e.msg);
    cr_expect_eq(r.done, 1);
    cr_expect_eq(r.diverged, 1, "%zu diverged", r.diverged);
    cr_expect_eq(r.failed, 0);
    cr_expect_eq(status_total(&c, &s), 2);
    cr_expect_eq(s.counts[SWEEP_DIVERGED], 1);
    sweep_status_free(&s);
    cr_expect_eq(go(&c, 1, &r, &e), ST_OK);
    cr_expect_eq(r.flops_done, 0, "a diverged run is final");
    finish(&c);
}

/* A child takes one run and sleeps; the campaign is shared, so that run is left to it. */
Test(run, what_another_process_owns_is_left_alone)
{
    campaign c;
    sweep_progress r;
    sweep_status s;
    err e = {0};
    char note[512], dir[IO_PATH_MAX], word[32];
    int ready[2];
    begin(&c, FIVE, 1, 5);
    cr_assert_eq(campaign_open(c.dir, &c.s, &c.p, false, note, &e), ST_OK);
    cr_assert_eq(campaign_run_dir(dir, c.dir, c.p.runs[3].id, &e), ST_OK);
    cr_assert_eq(pipe(ready), 0);
    pid_t child = fork();
    cr_assert(child >= 0);
    if (child == 0) {
        store_run *run;
        store_opts o = {.dir = dir, .config = &c.p.runs[3].config, .resume = true};
        char byte = store_run_open(&run, &o, &e) ? 'n' : 'y';
        if (write(ready[1], &byte, 1) != 1) _exit(1);
        for (;;) pause();
    }
    char byte = 0;
    cr_assert_eq(read(ready[0], &byte, 1), 1);
    cr_assert_eq(byte, 'y');
    cr_expect_eq(go(&c, 1, &r, &e), ST_OK, "%s", e.msg);
    cr_expect_eq(r.done, 4);
    cr_expect_eq(r.others, 1);
    snprintf(word, sizeof word, "%ld", (long)child);
    cr_expect(strstr(c.heard, word) && strstr(c.heard, c.p.runs[3].id), "the owner is not named: %s", c.heard);
    cr_expect_eq(status_total(&c, &s), 5);
    cr_expect_eq(s.rows[3].state, SWEEP_RUNNING);
    cr_expect(strstr(s.rows[3].owner, word), "%s", s.rows[3].owner);
    sweep_status_free(&s);
    kill(child, SIGKILL);
    waitpid(child, NULL, 0);
    cr_expect_eq(go(&c, 1, &r, &e), ST_OK, "%s", e.msg);
    cr_expect_eq(r.done, 5, "its owner died, so it is taken over");
    close(ready[0]);
    close(ready[1]);
    finish(&c);
}

Test(run, collect_rebuilds_what_is_missing)
{
    campaign c;
    sweep_progress r;
    campaign_counts n;
    err e = {0};
    char path[IO_PATH_MAX];
    begin(&c, FIVE, 1, 5);
    cr_assert_eq(go(&c, 1, &r, &e), ST_OK, "%s", e.msg);
    run_path(&c, 4, "run.h5", path);
    cr_assert_eq(unlink(path), 0);
    cr_assert_eq(campaign_collect(&n, c.dir, &e), ST_OK, "%s", e.msg);
    cr_expect_eq(n.n_published, 1);
    cr_expect_eq(n.n_runs, 5);
    cr_expect(io_exists(path));
    cr_assert_eq(io_join(path, c.dir, "campaign.h5", &e), ST_OK);
    cr_expect(io_exists(path));
    finish(&c);
}
