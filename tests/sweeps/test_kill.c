/* Killed before every call that changes a file, one call after the other, until the scenario finishes: what is on disk is
 * valid each time, and doing the same thing again ends as if nothing had happened. The same with a disk that is full at that
 * call, once or from then on. Random kills are no evidence: they found none of the 7 % of points at which HDF5 written in
 * place was unreadable, this form found them in minutes.
 *
 * The library tests/sweeps/interpose.so is preloaded: the program starts itself again with it. */
#include <criterion/criterion.h>
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/runs_table.h"
#include "sweeps/owner.h"
#include "sweeps/store_private.h"
#include "tests/sweeps/store_fixture.h"

/* --- the preloaded library ---- */

typedef void arm_fn(long at, int error, int once);
typedef long count_fn(void);
static arm_fn *arm;
static count_fn *count;

static void find_interposer(void)
{
    *(void **)&arm = dlsym(RTLD_DEFAULT, "interpose_arm");
    *(void **)&count = dlsym(RTLD_DEFAULT, "interpose_count");
}

__attribute__((constructor)) static void start_again_with_it(int argc, char **argv)
{
    char self[IO_PATH_MAX], lib[IO_PATH_MAX + 16];
    (void)argc;
    find_interposer();
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    if (arm || n < 0 || getenv("LD_PRELOAD")) return;
    self[n] = 0;
    *strrchr(self, '/') = 0;
    snprintf(lib, sizeof lib, "%s/interpose.so", self);
    setenv("LD_PRELOAD", lib, 1);
    setenv("ASAN_OPTIONS", "verify_asan_link_order=0:detect_leaks=0", 1);
    if (!access("/dev/shm", W_OK)) setenv("TMPDIR", "/dev/shm", 0); /* a kill knows no disk: fsync may be cheap */
    execv("/proc/self/exe", argv);
}

/* --- a child that does one thing and may be killed ---- */

static int64_t *acked; /* shared with the children: last row for which the observer returned ST_OK */
static char top[IO_PATH_MAX], dir[IO_PATH_MAX];
static bool may_tear;  /* where ftruncate fails too, half a line stays: the only such case */

typedef status action(err *e);

/* rc of the child: the status; 100: killed; 101: an error that does not name the directory. */
static int in_child(action *act, long at, int error, int once)
{
    int how;
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        err e = {0};
        arm(at, error, once);
        status s = act(&e);
        arm(0, 0, 0);
        if (s && !strstr(e.msg, dir)) {
            fprintf(stderr, "the message does not name %s: %s\n", dir, e.msg);
            _exit(101);
        }
        _exit((int)s);
    }
    waitpid(child, &how, 0);
    if (WIFSIGNALED(how)) {
        cr_assert_eq(WTERMSIG(how), SIGKILL, "signal %d", WTERMSIG(how));
        return 100;
    }
    return WEXITSTATUS(how);
}

/* --- scenarios ---- */

enum { STEPS = 12, OLD_STEPS = 6 };

static status drive(store_run *run, const trainer_config *c, err *e)
{
    train_observer o = store_run_observer(run);
    int64_t from = store_run_look(run)->step / 4 * 4; /* as if there were a checkpoint every 4 steps */
    status s = fx_drive(o, c, from, from, 0, RUN_PARTIAL, e);
    for (int64_t i = from + 1; i <= STEPS && !s; i++) {
        train_row row = fx_row(i, 0);
        s = o.row(o.self, &row, e);
        if (!s) *acked = i;
        if (!s && i % 4 == 0 && !(s = o.sync(o.self, e))) s = o.ckpt(o.self, i, "ckpt", e);
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
    store_opts o = {.dir = dir, .config = &c, .resume = true, .threads = 1};
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
    cr_assert_eq(fx_run(dir, &c, OLD_STEPS, RUN_STOPPED, &e), ST_OK, "%s", e.msg);
}

static void right_rows(const run_record *r, const char *where)
{
    for (size_t i = 0; i < r->n_train; i++) {
        train_row want = fx_row((int64_t)i + 1, 0);
        cr_assert_eq(r->train[TRAIN_STEP][i], (double)(i + 1), "%s: row %zu", where, i);
        cr_assert_eq(r->train[TRAIN_LOSS][i], want.loss, "%s: row %zu", where, i);
    }
}

static char *in_dir(char *out, const char *name)
{
    snprintf(out, IO_PATH_MAX, "%.900s/%s", dir, name);
    return out;
}

static void check_run(const char *where)
{
    char path[IO_PATH_MAX];
    run_record r;
    err e = {0};
    if (io_exists(in_dir(path, "journal.jsonl"))) {
        cr_assert_eq(run_read_journal(&r, path, &e), ST_OK, "%s: %s", where, e.msg);
        cr_assert(may_tear || r.torn_bytes == 0, "%s: a torn line", where);
        cr_assert_geq(r.n_train, (size_t)*acked, "%s: row %lld was acknowledged, %zu are there", where, (long long)*acked, r.n_train);
        right_rows(&r, where);
        run_free(&r);
    } else cr_assert_eq(*acked, 0, "%s: acknowledged rows without a journal", where);
    if (!io_exists(in_dir(path, "run.h5"))) return;
    cr_assert_eq(run_read_h5(&r, path, RUN_ALL, &e), ST_OK, "%s: %s", where, e.msg);
    right_rows(&r, where);
    run_free(&r);
}

static void no_leftovers(const char *where)
{
    DIR *d = opendir(dir);
    const struct dirent *f;
    while (d && (f = readdir(d))) cr_assert_null(strstr(f->d_name, ".tmp"), "%s: %s is left", where, f->d_name);
    if (d) closedir(d);
}

static void finished_run(const char *where)
{
    char path[IO_PATH_MAX];
    run_record h, j;
    err e = {0};
    check_run(where);
    cr_assert_eq(run_read_h5(&h, in_dir(path, "run.h5"), RUN_ALL, &e), ST_OK, "%s: %s", where, e.msg);
    cr_assert_eq(run_read_journal(&j, in_dir(path, "journal.jsonl"), &e), ST_OK, "%s: %s", where, e.msg);
    cr_assert_str_eq(run_status_text(&h), "done");
    cr_assert_eq(h.n_train, (size_t)STEPS);
    cr_assert(h5_shows(dir, &j), "%s: run.h5 is behind its journal", where);
    cr_assert(!io_exists(in_dir(path, "owner")), "%s: still owned", where);
    no_leftovers(where);
    run_free(&h);
    run_free(&j);
}

/* --- a campaign's index ---- */

static void add_member(int k, bool published)
{
    char run[IO_PATH_MAX], path[IO_PATH_MAX];
    trainer_config c;
    err e = {0};
    fx_config(&c, (uint64_t)k);
    snprintf(path, sizeof path, "runs/%d", k);
    snprintf(run, sizeof run, "%.900s/runs/%d", dir, k);
    cr_assert_eq(fx_run(run, &c, 5 + k, RUN_DONE, &e), ST_OK, "%s", e.msg);
    snprintf(path, sizeof path, "%.990s/run.h5", run);
    if (!published) unlink(path);
}

static status act_collect(err *e)
{
    campaign_counts n;
    return campaign_collect(&n, dir, e);
}

static void prepare_campaign(void)
{
    for (int k = 1; k <= 3; k++) add_member(k, k != 2);
}

static void prepare_old_index(void)
{
    err e = {0};
    add_member(1, true);
    cr_assert_eq(act_collect(&e), ST_OK, "%s", e.msg);
    add_member(2, false);
    add_member(3, true);
}

/* Whatever the index says, readers see the runs as they are. */
static void check_campaign(const char *where)
{
    char path[IO_PATH_MAX];
    table t = {0};
    err e = {0};
    cr_assert_eq(table_read(&t, dir, &e), ST_OK, "%s: %s", where, e.msg);
    cr_assert_eq(t.n_rows, 3, "%s", where);
    for (size_t i = 0; i < 3; i++) cr_assert_eq(table_col(&t, "loss")->x[i], fx_val(6 + (int64_t)i, 0).loss, "%s: row %zu", where, i);
    table_free(&t);
    if (!io_exists(in_dir(path, "campaign.h5"))) return;
    memset(&t, 0, sizeof t);
    cr_assert_eq(table_read(&t, path, &e), ST_OK, "%s: %s", where, e.msg);
    cr_assert(t.n_rows == 3 || t.n_rows == 1, "%s: neither the old index nor the new", where);
    table_free(&t);
}

static void finished_campaign(const char *where)
{
    char path[IO_PATH_MAX];
    table t = {0};
    err e = {0};
    check_campaign(where);
    for (int k = 1; k <= 3; k++) {
        snprintf(path, sizeof path, "%.900s/runs/%d/run.h5", dir, k);
        cr_assert(io_exists(path), "%s: run %d is not published", where, k);
    }
    cr_assert_eq(table_read(&t, dir, &e), ST_OK, "%s: %s", where, e.msg);
    cr_assert_str_empty(t.sources[0].note, "%s: %s", where, t.sources[0].note);
    table_free(&t);
}

/* --- ownership ---- */

static status act_own(err *e)
{
    owner o;
    status s = owner_take(&o, dir, e);
    if (!s) s = owner_check(&o, e);
    owner_release(&o);
    return s;
}

static void prepare_dead_owner(void)
{
    pid_t child = fork();
    if (child == 0) {
        owner o;
        _exit(owner_take(&o, dir, NULL) != ST_OK);
    }
    waitpid(child, NULL, 0);
}

static void check_owner(const char *where)
{
    char who[160];
    owner_look(who, dir);
    cr_assert_str_empty(who, "%s: a dead process owns: %s", where, who);
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
    for (size_t i = 0; i < sizeof set / sizeof *set; i++) cr_assert_eq(config_set(c, set[i][0], set[i][1], "test", &e), ST_OK, "%s", e.msg);
    snprintf(c->data, sizeof c->data, "%.900s/data", top);
    cr_assert_eq(config_resolve(c, &e), ST_OK, "%s", e.msg);
}

static status act_train(err *e)
{
    train_job job = {0};
    store_run *run = NULL;
    train_config(&job.config);
    store_opts o = {.dir = dir, .config = &job.config, .resume = true, .threads = 1};
    train_opts how = {.threads = 1, .resume = true};
    status s = store_run_open(&run, &o, e);
    if (s) return s;
    job.observer = store_run_observer(run);
    snprintf(job.ckpt_dir, sizeof job.ckpt_dir, "%s", dir);
    if (!store_is_final(store_run_look(run)->state)) s = train_bank(&job, 1, &how, e);
    err why = e ? *e : (err){0}, closing = {0};
    status closed = store_run_close(run, s ? &why : NULL, &closing);
    if (!s && closed && e) *e = closing;
    return s ? s : closed;
}

static void check_train(const char *where)
{
    char path[IO_PATH_MAX];
    run_record r;
    err e = {0};
    if (!io_exists(in_dir(path, "journal.jsonl"))) return;
    cr_assert_eq(run_read_journal(&r, path, &e), ST_OK, "%s: %s", where, e.msg);
    cr_assert(may_tear || r.torn_bytes == 0, "%s: a torn line", where);
    run_free(&r);
    if (io_exists(in_dir(path, "run.h5"))) {
        cr_assert_eq(run_read_h5(&r, path, RUN_ALL, &e), ST_OK, "%s: %s", where, e.msg);
        run_free(&r);
    }
}

/* Bit for bit the undisturbed run, in top/reference. */
static void finished_train(const char *where)
{
    char path[IO_PATH_MAX], reference[IO_PATH_MAX];
    static const char *const ckpts[] = {"ckpt.6", "ckpt.7"};
    static const int cols[] = {TRAIN_STEP, TRAIN_TOKENS, TRAIN_LOSS, TRAIN_LR, TRAIN_GRAD_NORM};
    run_record r, want;
    err e = {0};
    snprintf(reference, sizeof reference, "%.900s/reference/run.h5", top);
    cr_assert_eq(run_read_h5(&r, in_dir(path, "run.h5"), RUN_ALL, &e), ST_OK, "%s: %s", where, e.msg);
    cr_assert_eq(run_read_h5(&want, reference, RUN_ALL, &e), ST_OK, "%s", e.msg);
    cr_assert(r.n_train == 7 && want.n_train == 7 && r.n_val == want.n_val, "%s: %zu rows", where, r.n_train);
    for (size_t i = 0; i < sizeof cols / sizeof *cols; i++)
        cr_assert_eq(memcmp(r.train[cols[i]], want.train[cols[i]], r.n_train * sizeof(double)), 0, "%s: column %d", where, cols[i]);
    cr_assert_eq(memcmp(r.val[VAL_LOSS], want.val[VAL_LOSS], r.n_val * sizeof(double)), 0, "%s: validation", where);
    for (size_t i = 0; i < 2; i++) {
        size_t n, m;
        snprintf(reference, sizeof reference, "%.900s/reference/%s", top, ckpts[i]);
        if (!io_exists(reference)) continue;
        if (!io_exists(in_dir(path, ckpts[i])) && i == 0) continue; /* resumed from a later one */
        char *a = fx_read(path, &n), *b = fx_read(reference, &m);
        cr_assert(n == m && !memcmp(a, b, n), "%s: %s differs", where, ckpts[i]);
        free(a);
        free(b);
    }
    no_leftovers(where);
    run_free(&r);
    run_free(&want);
}

static void prepare_train(void)
{
    char data[IO_PATH_MAX], keep[IO_PATH_MAX];
    err e = {0};
    data_info info;
    snprintf(data, sizeof data, "%.900s/data", top);
    data_gen_opts o = {.out_dir = data, .vocab = 8, .order = 1, .tokens = 4000, .seed = 1, .val_fraction = 0.1};
    if (io_exists(data)) return;
    cr_assert_eq(data_gen(&o, &info, &e), ST_OK, "%s", e.msg);
    memcpy(keep, dir, sizeof keep);
    snprintf(dir, sizeof dir, "%.900s/reference", top);
    cr_assert_eq(in_child(act_train, 0, 0, 0), 0);
    memcpy(dir, keep, sizeof keep);
}

/* --- the sweep over all calls ---- */

typedef struct scenario {
    const char *name;
    void (*prepare)(void);
    action *act;
    void (*check)(const char *where);    /* holds at every moment */
    void (*finished)(const char *where); /* holds after it was done again */
    long at_least;                       /* calls it is known to make: fewer means they are not seen */
} scenario;

static const scenario scenarios[] = {
    {"run", no_preparation, act_run, check_run, finished_run, 25},
    {"run over an old run.h5", prepare_old, act_run, check_run, finished_run, 20},
    {"index", prepare_campaign, act_collect, check_campaign, finished_campaign, 10},
    {"index over an old one", prepare_old_index, act_collect, check_campaign, finished_campaign, 10},
    {"take-over", prepare_dead_owner, act_own, check_owner, check_owner, 6},
    {"train", prepare_train, act_train, check_train, finished_train, 40},
};
static const char *const stable_files[] = {"journal.jsonl", "run.h5", "campaign.h5"};

typedef struct snapshot { char *bytes[3]; size_t n[3]; } snapshot;
static void snap(snapshot *s)
{
    char path[IO_PATH_MAX];
    for (int i = 0; i < 3; i++) s->bytes[i] = io_exists(in_dir(path, stable_files[i])) ? fx_read(path, &s->n[i]) : NULL;
}
static void snap_free(snapshot *s)
{
    for (int i = 0; i < 3; i++) free(s->bytes[i]);
}

/* After the accident: valid; done again: finished; and once more changes nothing. */
static void recover(const scenario *s, const char *where)
{
    snapshot a, b;
    s->check(where);
    *acked = 0;
    int rc = in_child(s->act, 0, 0, 0);
    cr_assert_eq(rc, 0, "%s: recovery ends with %d", where, rc);
    s->finished(where);
    snap(&a);
    cr_assert_eq(in_child(s->act, 0, 0, 0), 0, "%s: second recovery", where);
    snap(&b);
    for (int i = 0; i < 3; i++)
        cr_assert((!a.bytes[i] && !b.bytes[i]) || (a.bytes[i] && b.bytes[i] && a.n[i] == b.n[i] && !memcmp(a.bytes[i], b.bytes[i], a.n[i])),
                  "%s: a second recovery changes %s", where, stable_files[i]);
    snap_free(&a);
    snap_free(&b);
}

static void sweep(const scenario *s, int error, int once)
{
    static const char *const modes[] = {"kill", "fails from", "fails at"};
    long n = 0;
    may_tear = error && !once;
    for (int rc = 100; ; ) {
        char where[128];
        snprintf(where, sizeof where, "%s, %s call %ld", s->name, modes[error ? 1 + once : 0], ++n);
        snprintf(dir, sizeof dir, "%.900s/%ld", top, n);
        cr_assert_eq(io_mkdirs(dir, NULL), ST_OK);
        s->prepare();
        *acked = 0;
        rc = in_child(s->act, n, error, once);
        cr_assert(rc == 100 || rc == ST_OK || (error && rc == ST_IO), "%s: status %d", where, rc);
        recover(s, where);
        char command[IO_PATH_MAX + 16];
        snprintf(command, sizeof command, "rm -rf '%s'", dir);
        cr_assert_eq(system(command), 0);
        cr_assert_lt(n, 2000);
        if (error ? n > s->at_least + 60 || (rc == ST_OK && n > s->at_least) : rc == ST_OK) break;
    }
    cr_expect_geq(n, s->at_least, "%s: only %ld calls seen", s->name, n);
}

static void setup(void)
{
    find_interposer();
    if (!arm) cr_skip("interpose.so was not preloaded");
    acked = mmap(NULL, sizeof *acked, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    fx_tempdir(top);
}
TestSuite(kill, .init = setup, .timeout = 300);

/* The instrument itself: it counts what is there, and would miss stdio. */
Test(kill, the_interposer_sees)
{
    char a[IO_PATH_MAX], b[IO_PATH_MAX];
    err e = {0};
    snprintf(dir, sizeof dir, "%s", top);
    arm(0, 0, 0);
    cr_assert_eq(io_publish(in_dir(a, "a"), "x", 1, &e), ST_OK);
    cr_expect_eq(count(), 5, "open, write, fsync, rename, fsync of the directory: %ld", count());
    arm(0, 0, 0);
    cr_assert_eq(rename(a, in_dir(b, "b")), 0);
    cr_assert_eq(unlink(b), 0);
    cr_expect_eq(count(), 2);
    FILE *f = fopen(a, "w");
    arm(0, 0, 0);
    fprintf(f, "hello");
    fclose(f);
    cr_expect_eq(count(), 0, "stdio is visible after all: say so in STYLE");
    arm(1, ENOSPC, 1);
    cr_expect_eq(io_publish(a, "x", 1, &e), ST_IO);
    arm(0, 0, 0);
}

/* The negative twin: a store that writes in place is caught. */
static status act_in_place(err *e)
{
    char path[IO_PATH_MAX];
    size_t n;
    (void)e;
    char *text = fx_read(in_dir(path, "run.h5"), &n);
    fx_write(path, text, n); /* truncates, then writes */
    free(text);
    return ST_OK;
}

Test(kill, writing_in_place_would_be_noticed)
{
    bool broken = false;
    for (long n = 1; n < 4; n++) {
        char path[IO_PATH_MAX];
        run_record r;
        snprintf(dir, sizeof dir, "%.900s/%ld", top, n);
        prepare_old();
        in_child(act_in_place, n, 0, 0);
        if (run_read_h5(&r, in_dir(path, "run.h5"), RUN_ALL, NULL)) broken = true;
        else run_free(&r);
    }
    cr_expect(broken);
}

#ifndef KILL_LONG
Test(kill, run) { sweep(&scenarios[0], 0, 0); }
Test(kill, run_over_old) { sweep(&scenarios[1], 0, 0); }
Test(kill, index) { sweep(&scenarios[2], 0, 0); }
Test(kill, take_over) { sweep(&scenarios[4], 0, 0); }
Test(kill, train) { sweep(&scenarios[5], 0, 0); }
Test(full_disk, run, .init = setup, .timeout = 300) { sweep(&scenarios[0], ENOSPC, 0); }
Test(full_disk, index, .init = setup, .timeout = 300) { sweep(&scenarios[2], ENOSPC, 0); }
#else
Test(kill, every_scenario)
{
    for (size_t i = 0; i < sizeof scenarios / sizeof *scenarios; i++) sweep(&scenarios[i], 0, 0);
}
Test(failing, every_scenario, .init = setup, .timeout = 900)
{
    static const int errors[] = {ENOSPC, EIO, EINTR, EDQUOT, EROFS};
    for (size_t i = 0; i < sizeof scenarios / sizeof *scenarios; i++)
        for (size_t k = 0; k < sizeof errors / sizeof *errors; k++)
            for (int once = errors[k] == EINTR; once < 2; once++) sweep(&scenarios[i], errors[k], once); /* EINTR for ever is no disk */
}
#endif
