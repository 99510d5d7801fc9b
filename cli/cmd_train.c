/* muscale train: one run, journalled. */
#include <math.h>
#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "cli/cli.h"
#include "kernels/kernels.h"
#include "sweeps/eps_share.h"
#include "sweeps/store.h"

typedef struct request {
    const char *dir, *prediction;
    bool resume;
    int64_t threads;
    cli_list rest; /* CONFIG.yaml, then key=value ... */
} request;

static void print_keys(void)
{
    size_t n;
    const config_key *k = config_keys(&n);
    printf("\nconfig keys (examples/train.yaml has them all):\n");
    for (size_t i = 0; i < n; i++) {
        const char *value = k[i].fallback ? *k[i].fallback ? k[i].fallback : "\"\"" : "required";
        printf("  %-18s %-12s %s\n", k[i].name, value, k[i].doc);
    }
}

static status read_request(request *q, cli *c, int argc, char **argv, err *e)
{
    const cli_opt opts[] = {
        {NULL, 'o', OPT_TEXT, &q->dir, "RUNDIR", "where the run is kept; made when absent"},
        {"resume", 0, OPT_FLAG, &q->resume, NULL, "continue the unfinished run in RUNDIR from its newest checkpoint"},
        {"prediction", 0, OPT_TEXT, &q->prediction, "FILE", "prediction.json made for this config: its sha256 is recorded before the first step"},
        {"threads", 0, OPT_I64, &q->threads, "N", "worker threads (default: one per processor); changes no result"},
    };
    status s = cli_parse(c, opts, sizeof opts / sizeof *opts, argc, argv, &q->rest, e);
    if (!s && c->show_help) print_keys();
    if (s || c->show_help) return s;
    if (!q->rest.n) return err_set(e, ST_USAGE, "train: CONFIG.yaml is missing");
    if (!q->dir) return err_set(e, ST_USAGE, "train: -o RUNDIR is missing");
    if (q->threads < 0 || q->threads > 4096) return err_set(e, ST_USAGE, "--threads: %lld: between 1 and 4096", (long long)q->threads);
    for (size_t i = 1; i < q->rest.n; i++)
        if (!strchr(q->rest.items[i], '='))
            return err_set(e, ST_USAGE, "train: '%s' is no key=value; only one CONFIG.yaml is trained", q->rest.items[i]);
    return ST_OK;
}

static status load_config(trainer_config *k, const request *q, err *e)
{
    const char *path = q->rest.items[0];
    status s = config_load(k, path, e);
    for (size_t i = 1; i < q->rest.n && !s; i++) {
        const char *word = q->rest.items[i], *value = strchr(word, '=') + 1;
        char *key = strndup(word, (size_t)(value - word) - 1);
        s = key ? config_set(k, key, value, "command line", e) : err_set(e, ST_NOMEM, "no memory");
        free(key);
    }
    if (s) return s;
    if ((s = config_resolve(k, e))) return err_prefix(e, "%s", path);
    if ((s = k_backend_ready(k->backend, e))) return s; /* before anything is made on disk */
    return *k->data ? ST_OK : err_set(e, ST_INPUT, "%s: data is missing: a directory made by `muscale data pack`", path);
}

/* --- talk ---------------------------------------------------------------------------------------------------- */

static const char *bytes_text(char buf[32], double n)
{
    static const char *const units[] = {"B", "kB", "MB", "GB", "TB"};
    int u = 0;
    while (n >= 999.5 && u < 4) n /= 1000, u++;
    snprintf(buf, 32, n < 9.95 && u ? "%.1f %s" : "%.0f %s", n, units[u]);
    return buf;
}

static void say_memory(const cli *c, const trainer_config *k, int threads)
{
    char total[32], params[32], grads[32], moments[32], rest[32];
    double p = 4.0 * (double)shape_param_stride(&k->shape), all = (double)train_bytes_needed(k, 1, threads);
    cli_note(c, "needs %s: parameters %s, gradients %s, moments %s, activations and work space of %d thread%s %s", bytes_text(total, all),
             bytes_text(params, p), bytes_text(grads, p), bytes_text(moments, 2 * p), threads, threads > 1 ? "s" : "",
             bytes_text(rest, all - 4 * p));
}

static const char *time_text(char buf[32], double s)
{
    if (s < 99.5) snprintf(buf, 32, "%.0f s", s);
    else if (s < 5970) snprintf(buf, 32, "%d min %02d s", (int)(s / 60), (int)s % 60);
    else snprintf(buf, 32, "%d h %02d min", (int)(s / 3600), (int)(s / 60) % 60);
    return buf;
}

typedef struct progress {
    const cli *c;
    const store_run *run;
    const train_job *job;
    int64_t n_steps;
    double started, said_at;
    bool tty, drawn, noted;
} progress;

/* The checkpoint that was passed over is known once the loop has begun. */
static void say_note(progress *p)
{
    if (!p->noted && p->job->note[0]) cli_warn(p->c, "%s", p->job->note);
    p->noted = true;
}

static void on_progress(void *self, double done, double total)
{
    enum { QUIET_S = 60 };
    progress *p = self;
    double now = io_now(), rate = now > p->started ? done / (now - p->started) : 0;
    const train_row *row = store_run_last_row(p->run);
    char left[32];
    say_note(p);
    if (p->c->verbosity < 0 || !row->step || !(rate > 0) || (!p->tty && now - p->said_at < QUIET_S)) return;
    p->said_at = now;
    time_text(left, (total - done) / rate);
    if (p->tty) {
        fprintf(stderr, "\r\033[Kstep %lld/%lld  loss %.4f  %.3g FLOP/s  %s left", (long long)row->step, (long long)p->n_steps, row->loss,
                rate, left);
        fflush(stderr);
        p->drawn = true;
    } else cli_note(p->c, "step %lld/%lld, loss %.4f, %.3g FLOP/s, %s left", (long long)row->step, (long long)p->n_steps, row->loss, rate, left);
}

/* --- the result ---------------------------------------------------------------------------------------------- */

static json_t *finite_json(double x) { return isfinite(x) ? json_real(x) : json_null(); }

static json_t *text(const char *t) { return t && *t ? json_string(t) : json_null(); }

static json_t *result_json(const run_record *r, const char *dir, bool already)
{
    const attrs *root = &r->group[RUN_ROOT], *sum = &r->group[RUN_SUMMARY], *model = &r->group[RUN_MODEL];
    return json_pack("{s:s,s:o,s:s,s:s,s:b,s:I,s:I,s:o,s:o,s:o,s:o,s:I,s:I,s:I,s:o,s:o,s:o,s:I,s:o,s:o,s:o}", "schema", "muscale.train/1", "run_id",
                     text(attrs_text(root, "run_id")), "dir", dir, "status", run_status_text(r), "already_finished", already, "step",
                     (json_int_t)attrs_i64(sum, "step", 0), "tokens", (json_int_t)attrs_i64(sum, "tokens", 0), "final_val_loss",
                     finite_json(attrs_f64(sum, "final_val_loss")), "final_val_loss_se", finite_json(attrs_f64(sum, "final_val_loss_se")),
                     "best_val_loss", finite_json(attrs_f64(sum, "best_val_loss")), "final_train_loss_ema",
                     finite_json(attrs_f64(sum, "final_train_loss_ema")), "diverged_at", (json_int_t)attrs_i64(sum, "diverged_at", -1),
                     "n_params_total", (json_int_t)attrs_i64(model, "n_params_total", 0), "n_params_non_embed",
                     (json_int_t)attrs_i64(model, "n_params_non_embed", 0), "flops", finite_json(attrs_f64(sum, "flops")), "flops_rule",
                     text(attrs_text(model, "flops_rule")), "wall_s", finite_json(attrs_f64(sum, "wall_s")), "restarts",
                     (json_int_t)attrs_i64(&r->group[RUN_ENV], "restarts", 0), "prediction_sha256", text(attrs_text(root, "prediction_sha256")), "eps_share",
                     finite_json(attrs_f64(sum, "eps_share")), "eps_share_tensor", text(attrs_text(sum, "eps_share_tensor")));
}

static void print_result(const run_record *r, const char *dir)
{
    const attrs *sum = &r->group[RUN_SUMMARY], *model = &r->group[RUN_MODEL];
    double loss = attrs_f64(sum, "final_val_loss"), bytes = attrs_f64(&r->group[RUN_DATA], "bytes_per_token");
    double flops = attrs_f64(sum, "flops"), wall = attrs_f64(sum, "wall_s");
    const char *rule = attrs_text(model, "flops_rule"), *id = attrs_text(&r->group[RUN_ROOT], "run_id");
    char time[32];
    printf("run %s  %s  %s\n", id ? id : "?", run_status_text(r), dir);
    if (isfinite(loss)) {
        printf("  validation loss  %.4f nats/token (standard error %.4f)", loss, attrs_f64(sum, "final_val_loss_se"));
        if (bytes > 0) printf(", %.4f bits per byte", loss / bytes / log(2));
        putchar('\n');
    }
    if (attrs_i64(sum, "diverged_at", -1) >= 0) printf("  diverged at      step %lld\n", (long long)attrs_i64(sum, "diverged_at", -1));
    printf("  parameters       %lld (%lld without embeddings)\n", (long long)attrs_i64(model, "n_params_total", 0),
           (long long)attrs_i64(model, "n_params_non_embed", 0));
    printf("  tokens           %lld in %lld steps\n", (long long)attrs_i64(sum, "tokens", 0), (long long)attrs_i64(sum, "step", 0));
    printf("  FLOPs            %.4g (%s)\n", flops, rule ? rule : "?");
    if (attrs_f64(sum, "eps_share") > 0)
        printf("  eps              at most %.2g %% of sqrt(v) (%s, step %lld)\n", 100 * attrs_f64(sum, "eps_share"),
               attrs_text(sum, "eps_share_tensor"), (long long)attrs_i64(sum, "eps_share_step", 0));
    printf("  time             %s, %.3g FLOP/s\n", time_text(time, wall), wall > 0 ? flops / wall : 0);
}

static int show(const cli *c, const char *dir, bool already)
{
    run_record r;
    err e = {0};
    char eps[512];
    if (run_read(&r, dir, RUN_HEADER, &e)) return cli_fail(c, &e);
    int rc = 0;
    if (eps_share_warning(eps, sizeof eps, &r)) cli_warn(c, "%s", eps);
    if (c->json) rc = cli_json_out(result_json(&r, dir, already));
    else if (c->verbosity >= 0) print_result(&r, dir);
    run_free(&r);
    return rc;
}

/* --- the run ------------------------------------------------------------------------------------------------- */

static status train_one(const cli *c, store_run *run, const trainer_config *k, const request *q, int threads, train_end *end, err *e)
{
    train_job job = {.config = *k, .observer = store_run_observer(run)};
    double before = store_run_look(run)->wall_s;
    snprintf(job.ckpt_dir, sizeof job.ckpt_dir, "%s", q->dir);
    job.wall_before = isfinite(before) ? before : 0;
    progress p = {.c = c, .run = run, .job = &job, .n_steps = config_steps(k), .started = io_now(), .tty = isatty(STDERR_FILENO)};
    p.said_at = p.started;
    train_opts o = {.threads = threads, .resume = q->resume, .stop = cli_catch_signals(), .progress = on_progress, .progress_self = &p};
    status s = train_bank(&job, 1, &o, e);
    if (p.drawn) fputs("\r\033[K", stderr);
    say_note(&p);
    *end = job.result;
    return s;
}

static int outcome(const cli *c, const request *q, const train_end *end)
{
    int rc = show(c, q->dir, false), sig = cli_caught_signal();
    if (end->status == RUN_DIVERGED)
        cli_note(c, "diverged at step %lld: recorded as a result; a smaller lr is the usual remedy", (long long)end->diverged_at);
    if (end->status != RUN_STOPPED) return rc;
    cli_note(c, "stopped at step %lld, checkpoint written; continue with --resume", (long long)end->step);
    return rc ? rc : status_exit(sig == SIGINT ? ST_INTERRUPTED : ST_TERMINATED);
}

static int run_request(cli *c, const request *q)
{
    trainer_config k;
    store_run *run = NULL;
    train_end end = {0};
    err e = {0}, closing = {0};
    status s = load_config(&k, q, &e);
    if (s) return cli_usage(c, "train", &e);
    if (*k.note) cli_note(c, "%s", k.note);
    int threads = train_threads(&k, (int)q->threads);
    store_opts o = {.dir = q->dir, .config = &k, .resume = q->resume, .prediction = q->prediction, .argv = c->argv0, .argc = c->argc0,
                    .threads = threads};
    if (store_run_open(&run, &o, &e)) return cli_fail(c, &e);
    if (*store_run_note(run)) cli_warn(c, "%s", store_run_note(run));
    bool already = store_is_final(store_run_look(run)->state);
    if (already) cli_note(c, "%s: this run is finished (%s); nothing to do", q->dir, store_state_name(store_run_look(run)->state));
    else {
        say_memory(c, &k, threads);
        s = train_one(c, run, &k, q, threads, &end, &e);
    }
    status closed = store_run_close(run, s ? &e : NULL, &closing);
    if (s) return cli_fail(c, &e);
    if (closed) return cli_fail(c, &closing);
    return already ? show(c, q->dir, true) : outcome(c, q, &end);
}

int cmd_train(cli *c, int argc, char **argv)
{
    request q = {0};
    err e = {0};
    status s = read_request(&q, c, argc, argv, &e);
    int rc = 0;
    if (s) rc = cli_usage(c, "train", &e);
    else if (!c->show_help) rc = run_request(c, &q);
    free(q.rest.items);
    return rc;
}
