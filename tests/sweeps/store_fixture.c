#include "tests/sweeps/store_fixture.h"

#include <fcntl.h>
#include <ftw.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

static char doomed[IO_PATH_MAX];
static pid_t maker;

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *f)
{
    (void)st, (void)kind, (void)f;
    return remove(path);
}

static void remove_doomed(void)
{
    if (getpid() == maker) nftw(doomed, remove_one, 16, FTW_DEPTH | FTW_PHYS);
}

void fx_tempdir(char out[IO_PATH_MAX])
{
    const char *base = getenv("TMPDIR");
    snprintf(out, IO_PATH_MAX, "%s/muscale-test-XXXXXX", base && *base ? base : "/tmp");
    if (!mkdtemp(out)) abort();
    snprintf(doomed, sizeof doomed, "%s", out);
    maker = getpid();
    atexit(remove_doomed);
}

void fx_config(trainer_config *c, uint64_t seed)
{
    static const char *const set[][2] = {
        {"vocab", "256"}, {"d_model", "64"}, {"n_layer", "2"}, {"head_dim", "32"}, {"seq_len", "32"}, {"batch_tokens", "256"},
        {"tokens", "25600"}, {"warmup_tokens", "512"}, {"lr", "0.0137"}, {"parametrisation", "sp"}, {"val_tokens", "512"},
    };
    char text[32];
    err e = {0};
    config_default(c);
    for (size_t i = 0; i < sizeof set / sizeof *set; i++)
        if (config_set(c, set[i][0], set[i][1], "fixture", &e)) goto bad;
    snprintf(text, sizeof text, "%llu", (unsigned long long)seed);
    if (config_set(c, "seed", text, "fixture", &e) || config_resolve_with(c, NULL, &e)) goto bad;
    return;
bad:
    fprintf(stderr, "fixture: %s\n", e.msg);
    abort();
}

train_row fx_row(int64_t step, int64_t salt)
{
    double x = (double)step + 0.125 * (double)salt;
    return (train_row){.step = step, .tokens = 256 * step, .loss = 5.5451774444795623 / (1 + 0.01 * x), .lr = 0.0137 / 3 * x,
                       .grad_norm = 1 / (x + 0.3), .step_ms = 3.14159265358979 + 0.001 * x, .wall_s = 0.0031 * x};
}

train_val fx_val(int64_t step, int64_t salt)
{
    return (train_val){.step = step, .tokens = 256 * step, .loss = 5.1 / (1 + 0.01 * ((double)step + 0.125 * (double)salt)),
                       .loss_se = 0.0123456789012345, .n_seq = 16};
}

train_end fx_end(run_status how, int64_t step)
{
    bool ended_badly = how == RUN_DIVERGED;
    return (train_end){.status = how, .step = step, .tokens = 256 * step, .diverged_at = ended_badly ? step : -1,
                       .final_val_loss = ended_badly ? NAN : fx_val(step, 0).loss, .final_val_loss_se = ended_badly ? NAN : 0.0123,
                       .best_val_loss = fx_val(step, 0).loss, .final_train_loss_ema = fx_row(step, 0).loss, .flops = 1.7e6 * 256 * (double)step,
                       .wall_s = 0.0031 * (double)step};
}

void fx_updates(train_update *of, size_t n, int64_t step, int64_t salt)
{
    for (size_t i = 0; i < n; i++) {
        const double x = (double)step + 0.125 * (double)salt + 0.01 * (double)i;
        of[i] = (train_update){.ratio = 0.01 / x, .alignment = i ? -0.3 / x : NAN, .v_over_eps = 1e3 * x / (1 + (double)i), .eps_felt = 0.0123 / x};
    }
}

static status drive_updates(train_observer o, const trainer_config *c, int64_t step, int64_t salt, err *e)
{
    shape_tensor tensors[64];
    train_update of[64];
    const size_t n = shape_tensors(&c->shape, tensors, 64);
    train_updates u = {.step = step, .tokens = 256 * step, .n = n, .tensors = tensors, .of = of};
    fx_updates(of, n, step, salt);
    return o.updates(o.self, &u, e);
}

status fx_drive(train_observer o, const trainer_config *c, int64_t from, int64_t to, int64_t salt, run_status how, err *e)
{
    char id[17];
    data_info d = {.format = "llm.c", .tokenizer = "byte", .vocab = 256, .train_tokens = 1000000, .val_tokens = 10000, .bytes_per_token = 1};
    train_start start = {.config = c, .id = id, .data = &d, .counts = shape_count(&c->shape), .flops_per_token = 1.7e6,
                         .device = "cpu baseline, test core", .bytes_needed = 123456, .from_step = from, .bank_size = 1};
    config_id(id, c);
    status s = o.start(o.self, &start, e);
    for (int64_t i = from + 1; i <= to && !s; i++) {
        train_row row = fx_row(i, salt);
        s = o.row(o.self, &row, e);
        if (!s && c->log_updates_every && i % c->log_updates_every == 0) s = drive_updates(o, c, i, salt, e);
    }
    train_val val = fx_val(to, salt);
    if (!s) s = o.val(o.self, &val, e);
    train_end end = fx_end(how, to);
    if (how == RUN_PARTIAL) return s;
    if (!s) s = o.sync(o.self, e);
    if (!s) s = o.ckpt(o.self, to, "ckpt.x", e);
    return s ? s : o.end(o.self, &end, e);
}

status fx_run(const char *dir, const trainer_config *c, int64_t steps, run_status how, err *e)
{
    static char word[] = "test";
    char *argv[] = {word};
    store_run *run = NULL;
    store_opts o = {.dir = dir, .config = c, .argv = argv, .argc = 1, .threads = 1};
    status s = store_run_open(&run, &o, e);
    if (s) return s;
    s = fx_drive(store_run_observer(run), c, 0, steps, 0, how, e);
    status s2 = store_run_close(run, NULL, s ? NULL : e);
    return s ? s : s2;
}

size_t fx_file_size(const char *path)
{
    struct stat st;
    return stat(path, &st) ? 0 : (size_t)st.st_size;
}

char *fx_read(const char *path, size_t *n)
{
    char *text = NULL;
    err e = {0};
    if (io_read_file(&text, n, path, (size_t)1 << 30, &e)) {
        fprintf(stderr, "fixture: %s\n", e.msg);
        abort();
    }
    return text;
}

void fx_write(const char *path, const void *data, size_t n)
{
    err e = {0};
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0666);
    if (fd < 0 || io_write_all(fd, data, n, path, &e)) abort();
    close(fd);
}
