/* Accidents of one run: invented rows, a dead owner, real training. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sweeps/owner.h"
#include "sweeps/store_private.h"
#include "tests/sweeps/crash_tables.h"
#include "tests/sweeps/store_fixture.h"
#include "trainer/checkpoint.h"

/* --- an observer between the trainer and the store that notes what was promised ---- */

static status hear_start(void *self, const train_start *x, err *e) { const train_observer *o = self; return o->start(o->self, x, e); }
static status hear_val(void *self, const train_val *x, err *e) { const train_observer *o = self; return o->val(o->self, x, e); }
static status hear_row(void *self, const train_row *x, err *e)
{
    const train_observer *o = self;
    status s = o->row(o->self, x, e);
    if (!s) crash_promise_of(WRITTEN, x->step);
    return s;
}
static status hear_sync(void *self, err *e)
{
    const train_observer *o = self;
    status s = o->sync(o->self, e);
    if (!s) crash_promise_of(SYNCED, crash.promised[WRITTEN]);
    return s;
}
static status hear_ckpt(void *self, int64_t step, const char *file, err *e)
{
    const train_observer *o = self;
    crash_promise_of(KEPT, step); /* it is durable by now */
    return o->ckpt(o->self, step, file, e);
}
static status hear_end(void *self, const train_end *x, err *e)
{
    const train_observer *o = self;
    status s = o->end(o->self, x, e);
    if (!s) crash_promise_of(ENDED, 1);
    return s;
}
static train_observer heard(train_observer *o)
{
    return (train_observer){.self = o, .start = hear_start, .row = hear_row, .val = hear_val, .sync = hear_sync, .ckpt = hear_ckpt, .end = hear_end,
                            .updates = NULL};
}

/* What was promised of rows: journal as read. */
static void promised_rows(const run_record *r, const char *where)
{
    const int64_t rows = crash.promised[crash.power_cut ? SYNCED : WRITTEN];
    crash_hold((int64_t)r->n_train >= rows, &crash.lost, "%s: row %lld was promised, %zu are there", where, (long long)rows, r->n_train);
    crash_hold(!crash.promised[ENDED] || !strcmp(run_status_text(r), "done"), &crash.lost, "%s: the end was promised, the status is %s", where,
               run_status_text(r));
    crash_hold(crash.may_tear || r->torn_bytes == 0, &crash.wrong, "%s: a torn line", where);
}

/* Journal and run.h5, where they are, are readable. */
static void readable(const char *where, void (*right)(const run_record *r, const char *where))
{
    char path[IO_PATH_MAX];
    run_record r;
    err e = {0};
    if (!io_exists(crash_path(path, "journal.jsonl")))
        crash_hold(!crash.promised[crash.power_cut ? SYNCED : WRITTEN] && !crash.promised[ENDED], &crash.lost, "%s: promised rows without a journal", where);
    else if (crash_hold(run_read_journal(&r, path, &e) == ST_OK, &crash.unreadable, "%s: %s", where, e.msg)) {
        promised_rows(&r, where);
        right(&r, where);
        run_free(&r);
    }
    if (!io_exists(crash_path(path, "run.h5"))) crash_hold(!crash.promised[MADE], &crash.lost, "%s: run.h5 was promised", where);
    else if (crash_hold(run_read_h5(&r, path, RUN_ALL, &e) == ST_OK, &crash.unreadable, "%s: %s", where, e.msg)) {
        right(&r, where);
        run_free(&r);
    }
}

/* --- invented rows ---- */

enum { STEPS = 12, OLD_STEPS = 6 };

static status drive(store_run *run, const trainer_config *c, err *e)
{
    train_observer inner = store_run_observer(run), o = heard(&inner);
    int64_t from = store_run_look(run)->step / 4 * 4; /* as if there were a checkpoint every 4 steps */
    status s = fx_drive(o, c, from, from, 0, RUN_PARTIAL, e);
    for (int64_t i = from + 1; i <= STEPS && !s; i++) {
        train_row row = fx_row(i, 0);
        s = o.row(o.self, &row, e);
        if (!s && i % 4 == 0 && !(s = o.sync(o.self, e))) s = inner.ckpt(inner.self, i, "ckpt", e);
    }
    train_val val = fx_val(STEPS, 0);
    train_end end = fx_end(RUN_DONE, STEPS);
    if (!s) s = o.val(o.self, &val, e);
    return s ? s : o.end(o.self, &end, e);
}

static status act_run(err *e)
{
    trainer_config c;
    store_run *run = NULL;
    fx_config(&c, 1);
    store_opts o = {.dir = crash.dir, .config = &c, .resume = true, .threads = 1};
    status s = store_run_open(&run, &o, e);
    if (s) return s;
    if (!store_is_final(store_run_look(run)->state)) s = drive(run, &c, e);
    err why = e ? *e : (err){0}, closing = {0};
    status closed = store_run_close(run, s ? &why : NULL, &closing);
    if (!s && closed && e) *e = closing;
    return s ? s : closed;
}

static void no_preparation(void) {}

static void prepare_old(void)
{
    trainer_config c;
    err e = {0};
    fx_config(&c, 1);
    crash_need(fx_run(crash.dir, &c, OLD_STEPS, RUN_STOPPED, &e), e);
}

static void right_rows(const run_record *r, const char *where)
{
    for (size_t i = 0; i < r->n_train; i++)
        if (!crash_hold(r->train[TRAIN_STEP][i] == (double)(i + 1) && r->train[TRAIN_LOSS][i] == fx_row((int64_t)i + 1, 0).loss, &crash.wrong,
                        "%s: row %zu", where, i)) return;
}

static void check_run(const char *where) { readable(where, right_rows); }

static void check_run_over(const char *where)
{
    char path[IO_PATH_MAX];
    check_run(where);
    crash_hold(io_exists(crash_path(path, "run.h5")), &crash.lost, "%s: the old run.h5 is gone", where);
}

static void finished_run(const char *where)
{
    char path[IO_PATH_MAX];
    run_record h, j;
    err e = {0};
    check_run(where);
    if (!crash_hold(run_read_h5(&h, crash_path(path, "run.h5"), RUN_ALL, &e) == ST_OK, &crash.unreadable, "%s: %s", where, e.msg)) return;
    if (crash_hold(run_read_journal(&j, crash_path(path, "journal.jsonl"), &e) == ST_OK, &crash.unreadable, "%s: %s", where, e.msg)) {
        crash_hold(!strcmp(run_status_text(&h), "done") && h.n_train == STEPS, &crash.wrong, "%s: ended as %s with %zu rows", where, run_status_text(&h),
                   h.n_train);
        crash_hold(h5_shows(crash.dir, &j), &crash.wrong, "%s: run.h5 is behind its journal", where);
        run_free(&j);
    }
    crash_hold(!io_exists(crash_path(path, "owner")), &crash.wrong, "%s: still owned", where);
    crash_no_leftovers(where);
    run_free(&h);
}

/* --- ownership ---- */

static status act_own(err *e)
{
    owner o;
    status s = owner_take(&o, crash.dir, e);
    if (!s) s = owner_check(&o, e);
    owner_release(&o);
    return s;
}

static void prepare_dead_owner(void)
{
    pid_t child = fork();
    if (child == 0) {
        owner o;
        _exit(owner_take(&o, crash.dir, NULL) != ST_OK);
    }
    waitpid(child, NULL, 0);
}

static void check_owner(const char *where)
{
    char who[160];
    owner_look(who, crash.dir);
    crash_hold(!*who, &crash.wrong, "%s: a dead process owns: %s", where, who);
}

/* --- real training: journal, checkpoints, publication together ---- */

static void train_config(trainer_config *c)
{
    static const char *const set[][2] = {
        {"d_model", "16"}, {"n_layer", "1"}, {"head_dim", "8"}, {"seq_len", "16"}, {"batch_tokens", "64"}, {"tokens", "448"},
        {"warmup_tokens", "128"}, {"lr", "0.01"}, {"parametrisation", "sp"}, {"val_tokens", "64"}, {"ckpt_every", "2"}, {"val_every", "3"},
        {"log_every", "1"},
    };
    err e = {0};
    config_default(c);
    for (size_t i = 0; i < sizeof set / sizeof *set; i++) crash_need(config_set(c, set[i][0], set[i][1], "test", &e), e);
    snprintf(c->data, sizeof c->data, "%.900s/data", crash.top);
    crash_need(config_resolve(c, &e), e);
}

static status act_train(err *e)
{
    train_job job = {0};
    store_run *run = NULL;
    train_config(&job.config);
    store_opts o = {.dir = crash.dir, .config = &job.config, .resume = true, .threads = 1};
    train_opts how = {.threads = 1, .resume = true};
    status s = store_run_open(&run, &o, e);
    if (s) return s;
    train_observer inner = store_run_observer(run);
    job.observer = heard(&inner);
    snprintf(job.ckpt_dir, sizeof job.ckpt_dir, "%s", crash.dir);
    if (!store_is_final(store_run_look(run)->state)) s = train_bank(&job, 1, &how, e);
    err why = e ? *e : (err){0}, closing = {0};
    status closed = store_run_close(run, s ? &why : NULL, &closing);
    if (!s && closed && e) *e = closing;
    return s ? s : closed;
}

static void reference(run_record *r)
{
    char path[IO_PATH_MAX];
    err e = {0};
    snprintf(path, sizeof path, "%.900s/reference/run.h5", crash.top);
    crash_need(run_read_h5(r, path, RUN_ALL, &e), e);
}

/* Bit for bit the undisturbed run's, as far as they go. */
static void reference_rows(const run_record *r, const char *where)
{
    static const int cols[] = {TRAIN_STEP, TRAIN_TOKENS, TRAIN_LOSS, TRAIN_LR, TRAIN_GRAD_NORM};
    run_record want;
    reference(&want);
    if (crash_hold(r->n_train <= want.n_train && r->n_val <= want.n_val, &crash.wrong, "%s: %zu rows", where, r->n_train)) {
        for (size_t i = 0; i < sizeof cols / sizeof *cols; i++)
            crash_hold(!r->n_train || !memcmp(r->train[cols[i]], want.train[cols[i]], r->n_train * sizeof(double)), &crash.wrong, "%s: column %d", where,
                       cols[i]);
        crash_hold(!r->n_val || !memcmp(r->val[VAL_LOSS], want.val[VAL_LOSS], r->n_val * sizeof(double)), &crash.wrong, "%s: validation", where);
    }
    run_free(&want);
}

static void check_train(const char *where)
{
    trainer_config c;
    char file[IO_PATH_MAX], note[CKPT_NOTE_MAX];
    int64_t step = 0;
    err e = {0};
    readable(where, reference_rows);
    train_config(&c);
    if (crash_hold(ckpt_find(&step, file, note, crash.dir, &c, &e) == ST_OK, &crash.unreadable, "%s: %s", where, e.msg))
        crash_hold(step >= crash.promised[KEPT], &crash.lost, "%s: checkpoint %lld was promised, the newest is %lld", where,
                   (long long)crash.promised[KEPT], (long long)step);
    crash_hold(!*note, &crash.wrong, "%s: a checkpoint that is not whole: %s", where, note);
}

static void finished_train(const char *where)
{
    char path[IO_PATH_MAX], other[IO_PATH_MAX];
    size_t n, m;
    run_record r, want;
    err e = {0};
    check_train(where);
    if (!crash_hold(run_read_h5(&r, crash_path(path, "run.h5"), RUN_ALL, &e) == ST_OK, &crash.unreadable, "%s: %s", where, e.msg)) return;
    reference(&want);
    crash_hold(r.n_train == want.n_train && r.n_val == want.n_val, &crash.wrong, "%s: %zu rows", where, r.n_train);
    reference_rows(&r, where);
    snprintf(other, sizeof other, "%.900s/reference/ckpt.7", crash.top);
    if (crash_hold(io_exists(crash_path(path, "ckpt.7")), &crash.lost, "%s: ckpt.7 is gone", where)) {
        char *a = fx_read(path, &n), *b = fx_read(other, &m);
        crash_hold(n == m && !memcmp(a, b, n), &crash.wrong, "%s: the final weights differ", where);
        free(a);
        free(b);
    }
    crash_no_leftovers(where);
    run_free(&r);
    run_free(&want);
}

static void prepare_train(void)
{
    char data[IO_PATH_MAX], keep[IO_PATH_MAX];
    err e = {0};
    data_info info;
    snprintf(data, sizeof data, "%.900s/data", crash.top);
    data_gen_opts o = {.out_dir = data, .vocab = 8, .order = 1, .tokens = 4000, .seed = 1, .val_fraction = 0.1};
    if (io_exists(data)) return;
    crash_need(data_gen(&o, &info, &e), e);
    memcpy(keep, crash.dir, sizeof keep);
    snprintf(crash.dir, sizeof crash.dir, "%.900s/reference", crash.top);
    cr_assert_eq(crash_child(act_train, 0, 0, 0), 0);
    memcpy(crash.dir, keep, sizeof keep);
}

/* Killed after its second checkpoint, with half a line behind its journal. */
static void prepare_killed(void)
{
    char path[IO_PATH_MAX];
    size_t n;
    prepare_train();
    cr_assert_eq(crash_child(act_train, 45, INTERPOSE_KILL, 0), 100);
    char *text = fx_read(crash_path(path, "journal.jsonl"), &n), *more = malloc(n + 9);
    cr_assert(more && n > 0);
    memcpy(more, text, n);
    memcpy(more + n, "{\"k\":\"tr", 9);
    fx_write(path, more, n + 9);
    free(text);
    free(more);
}

const crash_scenario crash_runs[] = {
    {"run", no_preparation, act_run, check_run, finished_run, 25, false},
    {"run over an old run.h5", prepare_old, act_run, check_run_over, finished_run, 20, false},
    {"take-over", prepare_dead_owner, act_own, check_owner, check_owner, 6, false},
    {"train", prepare_train, act_train, check_train, finished_train, 40, false},
    {"resume", prepare_killed, act_train, check_train, finished_train, 20, true},
    {0},
};
