#include "tests/plots/synthetic.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/io.h"
#include "base/jline.h"
#include "base/rng.h"

enum { N_DRAWS = 200, N_SIZES = 5, N_BUDGETS = 5, N_WIDTHS = 4, N_RATES = 9 };
static const double E0 = 1.20, A = 60, B = 520, ALPHA = 0.36, BETA = 0.40;

double synthetic_loss(double n, double d) { return E0 + A * pow(n, -ALPHA) + B * pow(d, -BETA); }

static double noise(double sd, uint64_t i) { return exp(sd * rng_normal(11, RNG_TEST, 0, i)); }

static void die(const char *what)
{
    fprintf(stderr, "synthetic: %s\n", what);
    abort();
}

static void put(const char *dir, const char *name, const char *s, size_t n)
{
    char path[IO_PATH_MAX];
    err e = {0};
    if (io_join(path, dir, name, &e) || io_publish(path, s, n, &e)) die(e.msg);
}

static void put_json(const char *dir, const char *name, json_t *o)
{
    char *s = o ? json_dumps(o, JSON_INDENT(1) | JSON_REAL_PRECISION(17)) : NULL;
    if (!s) die(name);
    put(dir, name, s, strlen(s));
    free(s);
    json_decref(o);
}

static void file_sha(char out[IO_SHA256_HEX], const char *dir, const char *name)
{
    char path[IO_PATH_MAX];
    err e = {0};
    if (io_join(path, dir, name, &e) || io_sha256_file(out, path, &e)) die(e.msg);
}

static json_t *numbers(const double *x, size_t n)
{
    json_t *a = json_array();
    for (size_t i = 0; i < n; i++) json_array_append_new(a, isfinite(x[i]) ? json_real(x[i]) : json_null());
    return a;
}

/* --- fit.json ------------------------------------------------------------------------------------------------ */

typedef struct grid { size_t n; double N[64], D[64], C[64], loss[64], fitted[64]; } grid;

static grid points(void)
{
    grid g = {0};
    for (int b = 0; b < N_BUDGETS; b++)
        for (int s = 0; s < N_SIZES; s++) {
            double c = 6e11 * pow(3, b), n = sqrt(c / 120) * pow(1.9, s - 2), d = c / (6 * n);
            size_t i = g.n++;
            g.N[i] = n;
            g.D[i] = d;
            g.C[i] = c * (1 + 0.02 * (s - 2));
            g.fitted[i] = synthetic_loss(n, d);
            g.loss[i] = g.fitted[i] * noise(0.006, i);
        }
    return g;
}

static json_t *draws(double value, double rel, uint64_t stream)
{
    json_t *a = json_array();
    for (int i = 0; i < N_DRAWS; i++) json_array_append_new(a, json_real(value * exp(rel * rng_normal(5, RNG_TEST, (uint32_t)stream, (uint64_t)i))));
    return a;
}

static json_t *three(const char *key, double value, double rel, int part)
{
    (void)key;
    return part == 0 ? json_real(value) : part == 1 ? json_real(value * rel) : json_pack("[f,f]", value * (1 - 1.96 * rel), value * (1 + 1.96 * rel));
}

static json_t *params(int part)
{
    return json_pack("{s:o,s:o,s:o,s:o,s:o}", "E", three("E", E0, 0.02, part), "A", three("A", A, 0.1, part), "B", three("B", B, 0.12, part), "alpha",
                     three("alpha", ALPHA, 0.02, part), "beta", three("beta", BETA, 0.02, part));
}

/* Two minima: the law's, and one that trades A for alpha. */
static json_t *minima(void)
{
    json_t *other = json_pack("{s:f,s:f,s:f,s:f,s:f}", "E", E0 * 1.02, "A", A * 3, "B", B, "alpha", ALPHA * 1.1, "beta",
                              BETA);
    return json_pack("[{s:o,s:f,s:i},{s:o,s:f,s:i}]", "params", params(0), "objective_value", 3.1e-4, "n_starts", 71,
                     "params", other, "objective_value", 3.1124e-4, "n_starts", 12);
}

/* 2 x lost log-likelihood is (distance in standard errors)^2, so every interval is +-1.96 se; B has no lower bound. */
static json_t *profiles(void)
{
    static const struct { const char *name; double at, rel; } of[] = {
        {"E", E0, 0.02}, {"A", A, 0.1}, {"B", B, 0.12}, {"alpha", ALPHA, 0.02}, {"beta", BETA, 0.02}};
    json_t *all = json_array();
    for (int p = 0; p < 5; p++) {
        double value[21], objective[21], lost[21];
        bool open = !strcmp(of[p].name, "B");
        for (int k = 0; k < 21; k++) {
            double z = (k - 10) / 4.0;
            value[k] = of[p].at * (1 + of[p].rel * z);
            lost[k] = 812.5 - (open && z < 0 ? 0 : z * z / 2);
            objective[k] = 3.1e-4 * exp(0.01 * z * z);
        }
        json_t *one = json_pack("{s:s,s:o,s:o,s:o}", "param", of[p].name, "value", numbers(value, 21), "objective",
                                numbers(objective, 21), "log_likelihood", numbers(lost, 21));
        double ci[2] = {open ? NAN : of[p].at * (1 - 1.96 * of[p].rel), of[p].at * (1 + 1.96 * of[p].rel)};
        json_object_set_new(one, "ci95", numbers(ci, 2));
        json_array_append_new(all, one);
    }
    return all;
}

/* The rows beyond a cut, predicted by the law itself with an interval of +-1 %. */
static json_t *predicted(double cut, size_t *n)
{
    grid all = points(), g = {0};
    double lo[64], hi[64];
    for (size_t i = 0; i < all.n; i++) {
        if (all.C[i] <= cut) continue;
        g.N[g.n] = all.N[i], g.D[g.n] = all.D[i], g.C[g.n] = all.C[i];
        g.loss[g.n] = all.loss[i], g.fitted[g.n] = all.fitted[i];
        lo[g.n] = 0.99 * all.fitted[i];
        hi[g.n++] = 1.01 * all.fitted[i];
    }
    *n = g.n;
    return json_pack("{s:o,s:o,s:o,s:o,s:o,s:o,s:o}", "N", numbers(g.N, g.n), "D", numbers(g.D, g.n), "C",
                     numbers(g.C, g.n), "loss", numbers(g.loss, g.n), "predicted", numbers(g.fitted, g.n), "lo",
                     numbers(lo, g.n), "hi", numbers(hi, g.n));
}

static void add_more(json_t *f)
{
    static const double cuts[] = {2.5e12, 8e12};
    json_t *folds = json_array();
    size_t n = 0;
    for (int k = 0; k < 2; k++) {
        json_t *p = predicted(cuts[k], &n);
        json_array_append_new(
            folds, json_pack("{s:f,s:i,s:i,s:f,s:f,s:f,s:o}", "cut", cuts[k], "n_train", (int)(25 - n), "n_test",
                             (int)n,
                             "mean_abs_rel_err", 0.005, "max_abs_rel_err", 0.02, "bias", 0.0, "points", p));
    }
    json_object_set_new(f, "backtest", json_pack("{s:s,s:o}", "by", "C", "folds", folds));
    json_t *p = predicted(2.4e13, &n);
    json_object_set_new(f, "holdout", json_pack("{s:i,s:f,s:f,s:o}", "n", (int)n, "mean_abs_rel_err", 0.005,
                                                "max_abs_rel_err", 0.02, "points", p));
    json_object_set_new(f, "starts", json_pack("{s:i,s:i,s:i}", "n", 100, "reached_best", 71, "rejected", 9));
    json_object_set_new(f, "basins", minima());
    json_object_set_new(f, "profiles", profiles());
}

static void write_fit(const char *dir, const synthetic *o)
{
    grid g = points();
    json_t *f = json_pack("{s:s,s:s,s:s,s:s,s:f,s:I,s:I,s:s,s:s}", "schema", "muscale.fit/1", "law", "chinchilla", "method", "parametric", "objective",
                          "huber-log", "delta", 1e-3, "n_points", (json_int_t)g.n, "n_dropped", (json_int_t)2, "count_rule", "total", "flops_rule", "exact");
    json_object_set_new(f, o->refused ? "raw" : "params", params(0));
    json_object_set_new(f, "se", params(1));
    json_object_set_new(f, "ci95", params(2));
    json_object_set_new(f, "objective_value", json_real(3.1e-4));
    json_object_set_new(f, "optimum", json_pack("{s:f,s:f,s:f}", "a_opt", BETA / (ALPHA + BETA), "b_opt", ALPHA / (ALPHA + BETA), "G", 0.055));
    json_object_set_new(f, "holdout", json_null());
    json_object_set_new(f, "domain", json_pack("{s:[f,f],s:[f,f],s:[f,f]}", "N", g.N[0], g.N[g.n - 1], "D", 1e6, 4.2e7, "C", 6e11, 4.9e13));
    json_object_set_new(f, "points", json_pack("{s:o,s:o,s:o,s:o,s:o}", "N", numbers(g.N, g.n), "D", numbers(g.D, g.n), "C", numbers(g.C, g.n), "loss",
                                               numbers(g.loss, g.n), "fitted", numbers(g.fitted, g.n)));
    json_object_set_new(f, "dropped", json_pack("[{s:s,s:i}]", "why", o->name ? o->name : "diverged", "n", 2));
    json_object_set_new(f, "bootstrap", json_pack("{s:i,s:i,s:i,s:{s:o,s:o,s:o,s:o,s:o}}", "n", N_DRAWS, "n_ok", N_DRAWS, "seed", 1, "samples", "E",
                                                  draws(E0, 0.008, 1), "A", draws(A, 0.02, 2), "B", draws(B, 0.02, 3), "alpha", draws(ALPHA, 0.004, 4),
                                                  "beta", draws(BETA, 0.004, 5)));
    json_object_set_new(f, "noise", json_pack("{s:f,s:f}", "residual_sd", 0.006, "seed_sd", 0.004));
    if (o->more) add_more(f);
    json_object_set_new(f, "trust", json_pack("{s:s,s:[{s:s,s:s,s:f}]}", "verdict", o->refused ? "refuse" : "warn", "reasons", "code", "extrapolates_k_decades",
                                              "message", o->name ? o->name : "the target lies 0.8 decades beyond the largest run", "value", 0.8));
    json_object_set_new(f, "provenance", json_pack("{s:[{s:s,s:s}],s:[s,s,s,s,s],s:s}", "inputs", "path", o->name ? o->name : "campaign", "sha256",
                                                   "9f86d081884c7d659a2feaa0c55ad015a3bf4f1b2b0b822cd15d6c15b0f00a08", "argv", "muscale", "fit",
                                                   o->name ? o->name : "campaign", "--law", "chinchilla", "version", "0.1.0"));
    put_json(dir, "fit.json", f);
}

/* --- lr.json -------------------------------------------------------------------------------------------------- */

static json_t *lr_group(const char *par, int w)
{
    double lr[N_RATES], loss[N_RATES], width = 32 * exp2(w), opt = -7.2 - (strcmp(par, "sp") ? 0.03 : 0.85) * w, floor_ = 2.6 - 0.22 * w;
    for (int i = 0; i < N_RATES; i++) {
        double x = -11 + i, u = x - opt;
        lr[i] = exp2(x);
        loss[i] = (floor_ + 0.035 * u * u + (u > 0 ? 0.02 * u * u * u : 0)) * noise(0.003, (uint64_t)(100 + 10 * w + i));
        if (u > 3.1) loss[i] = NAN;
    }
    return json_pack("{s:s,s:f,s:i,s:i,s:o,s:o,s:f,s:[f,f],s:f,s:f,s:f,s:b,s:n}", "parametrisation", par, "width", width, "n", N_RATES, "n_diverged", 1, "lr",
                     numbers(lr, N_RATES), "loss", numbers(loss, N_RATES), "log2_lr_opt", opt, "ci95", opt - 0.45, opt + 0.4, "sd", 0.2, "loss_opt", floor_,
                     "curvature", 0.07, "bracketed", 1, "why");
}

static void write_lr(const char *dir)
{
    json_t *groups = json_array(), *f;
    for (int p = 0; p < 2; p++)
        for (int w = 0; w < N_WIDTHS; w++) json_array_append_new(groups, lr_group(p ? "sp" : "mup", w));
    json_array_append_new(groups, json_pack("{s:s,s:f,s:i,s:i,s:[f,f,f],s:[f,f,f],s:n,s:n,s:n,s:b,s:s}", "parametrisation", "sp", "width", 512.0, "n", 3,
                                            "n_diverged", 0, "lr", 0.001, 0.002, 0.004, "loss", 1.95, 1.98, 2.1, "log2_lr_opt", "ci95", "loss_opt", "bracketed", 0,
                                            "why", "lowest loss at the smallest lr of the grid; run smaller ones"));
    f = json_pack("{s:s,s:s,s:s,s:i,s:o}", "schema", "muscale.fit/1", "law", "lr-optimum", "method", "lr-optimum", "n_points", 75, "groups", groups);
    json_object_set_new(f, "trend", json_pack("[{s:s,s:f,s:f,s:{s:[f,f]},s:i},{s:s,s:f,s:f,s:{s:[f,f]},s:i}]", "parametrisation", "mup", "c", 0.0078, "p", -0.03,
                                              "ci95", "p", -0.21, 0.14, "n_groups", 4, "parametrisation", "sp", "c", 0.55, "p", -0.85, "ci95", "p", -1.02, -0.66,
                                              "n_groups", 4));
    json_object_set_new(f, "trust", json_pack("{s:s,s:[]}", "verdict", "ok", "reasons"));
    put_json(dir, "lr.json", f);
}

/* --- prediction and score --------------------------------------------------------------------------------------- */

static json_t *tensor(const char *name, const char *role, int rows, int cols, double std, double lr)
{
    return json_pack("{s:s,s:s,s:[i,i],s:f,s:f,s:f,s:f}", "name", name, "role", role, "shape", rows, cols, "init_std", std, "lr", lr, "eps", 1e-8, "weight_decay", 0.0);
}

static void write_prediction(const char *dir, const synthetic *o)
{
    char sha[IO_SHA256_HEX], lr_sha[IO_SHA256_HEX];
    file_sha(sha, dir, "fit.json");
    file_sha(lr_sha, dir, "lr.json");
    double n = 2.4e6, d = 2.1e7, c = 6 * n * d, loss = synthetic_loss(n, d);
    json_t *tensors = json_pack("[o,o,o,o]", tensor("embed", "embedding", 256, 256, 1, 0.0078), tensor("layer.0.wq", "hidden", 256, 256, 0.0625, 0.00195),
                                tensor("layer.1.wq", "hidden", 256, 256, 0.0625, 0.00195), tensor(o->name ? o->name : "head", "readout", 256, 256, 0.0625, 0.0078));
    json_t *p = json_pack("{s:s,s:{s:s}}", "schema", "muscale.predict/1", "given", "config", o->name ? o->name : "target.yaml");
    json_object_set_new(p, "optimum", json_pack("{s:f,s:f,s:f,s:f,s:n,s:f,s:f,s:n,s:i,s:i,s:o}", "N", n, "D", d, "C", c, "tokens_per_param", d / n, "epochs", "loss",
                                                loss, "lr", 0.0078, "batch_tokens", "width", 256, "depth", 4, "tensors", tensors));
    json_object_set_new(p, "why", json_pack("{s:s,s:s}", "epochs", "no --unique-tokens was given", "batch_tokens", "no batch law was given"));
    json_object_set_new(p, "ci95", json_pack("{s:[f,f],s:[f,f]}", "loss", loss * 0.985, loss * 1.015, "lr", 0.0066, 0.0091));
    json_object_set_new(p, "pi95", json_pack("{s:[f,f]}", "loss", loss * 0.975, loss * 1.025));
    json_object_set_new(p, "extrapolation_decades", json_real(0.8));
    json_object_set_new(p, "target", json_pack("{s:s,s:f,s:f,s:f,s:f,s:{s:[f,f]},s:{s:[f,f]},s:f}", "config_id", "00112233445566aa", "N", n, "D", d, "C", c, "loss", loss,
                                               "ci95", "loss", loss * 0.985, loss * 1.015, "pi95", "loss", loss * 0.975, loss * 1.025, "lr", 0.0078));
    json_object_set_new(p, "fits", json_pack("[{s:s,s:s,s:s,s:b},{s:s,s:s,s:s,s:b}]", "path", "fit.json", "sha256", sha, "law", "chinchilla", "used", 1, "path",
                                             "lr.json", "sha256", lr_sha, "law", "lr-optimum", "used", 1));
    json_object_set_new(p, "naive", json_pack("{s:f}", "loss", points().loss[22]));
    json_object_set_new(p, "trust", json_pack("{s:s,s:[]}", "verdict", "ok", "reasons"));
    json_object_set_new(p, "provenance", json_pack("{s:[s,s,s,s],s:s}", "argv", "muscale", "predict", "fit.json", "lr.json", "version", "0.1.0"));
    put_json(dir, "prediction.json", p);
    file_sha(sha, dir, "prediction.json");
    double measured = loss * (o->miss ? 1.04 : 1.009), naive = points().loss[22];
    put_json(dir, "score.json",
             json_pack("{s:s,s:{s:s,s:s},s:{s:s,s:s,s:s},s:{s:f,s:[f,f],s:f,s:f,s:f,s:f,s:b},s:{s:f,s:f},s:{s:f,s:[f,f],s:f},s:[{s:f,s:f,s:f,s:f},{s:f,s:f,s:f,s:f}]}",
                       "schema", "muscale.score/1", "prediction", "path", "prediction.json", "sha256", sha, "run", "path", "heldout", "run_id", "00112233445566aa",
                       "status", "done", "loss", "predicted", loss, "pi95", loss * 0.975, loss * 1.025, "half_width", loss * 0.025, "measured", measured,
                       "measured_se", 0.004, "error", measured - loss, "hit", !o->miss, "naive", "loss", naive, "error", measured - naive, "lr", "predicted", 0.0078,
                       "ci95", 0.0066, 0.0091, "used", 0.0078, "lr_penalty", "factor", 0.5, "lr", 0.0039, "loss", 2.31, "loss_minus_base", 0.012, "factor", 2.0, "lr",
                       0.0156, "loss", 2.33, "loss_minus_base", 0.034));
}

/* --- runs -------------------------------------------------------------------------------------------------------- */

typedef struct lines { char *s; size_t n, cap; } lines;

static void add_line(lines *l, json_t *o)
{
    char *s = o ? json_dumps(o, JSON_COMPACT | JSON_REAL_PRECISION(17)) : NULL;
    if (!s) die("no memory");
    size_t n = strlen(s) - 1; /* without the closing brace */
    if (l->n + n + JLINE_TAIL + 3 > l->cap) {
        l->cap = 2 * (l->n + n + 4096);
        if (!(l->s = realloc(l->s, l->cap))) die("no memory");
    }
    memcpy(l->s + l->n, s, n);
    l->n += jline_seal(l->s + l->n, n);
    free(s);
    json_decref(o);
}

static json_t *real(double x) { return isfinite(x) ? json_real(x) : json_null(); }

/* A warm-up, stable, decay run of `steps` steps whose last loss is `target`. */
static void write_run(const char *runs, const char *id, double n, double width, double lr, int steps, double target, bool diverges, const char *par)
{
    lines l = {0};
    char dir[IO_PATH_MAX], name[96];
    err e = {0};
    const double batch = 4096;
    snprintf(name, sizeof name, "%s", id);
    if (io_join(dir, runs, name, &e) || io_mkdirs(dir, &e)) die(e.msg);
    add_line(&l, json_pack("{s:s,s:s,s:s,s:s,s:{s:f,s:f,s:i,s:f,s:s,s:i,s:f},s:{s:f,s:f,s:s}}", "event", "start", "schema", "muscale.journal/1", "run_id", id,
                           "created_by", "0.1.0", "config", "lr", lr, "d_model", width, "n_layer", 4, "tokens", batch * steps, "parametrisation", par, "seed", 1,
                           "batch_tokens", batch, "model", "n_params_total", n, "flops_per_token", 6 * n, "flops_rule", "exact"));
    int end = diverges ? steps / 4 : steps;
    double loss = NAN;
    for (int s = 1; s <= end; s++) {
        double warm = s < steps / 20 ? s / (steps / 20.0) : 1, decay = s > 0.8 * steps ? (steps - s) / (0.2 * steps) : 1;
        double t = (double)s / steps, drop = s > 0.8 * steps ? 0.06 * (1 - decay) : 0;
        loss = target + 0.06 + 2.9 * exp(-t * 60) + 0.75 * exp(-t * 7) - drop;
        loss *= noise(0.012, (uint64_t)(s + 1000 * (int)width));
        if (diverges && s > end - 20) loss += 0.35 * (s - end + 20);
        if (diverges && s == end) loss = NAN;
        json_t *row = json_pack("{s:s,s:i,s:f,s:o,s:f}", "k", "train", "step", s, "tokens", batch * s, "loss", real(loss), "lr", lr * warm * decay);
        add_line(&l, row);
        if (s % (steps / 8) == 0 && !diverges)
            add_line(&l, json_pack("{s:s,s:i,s:f,s:f,s:f}", "k", "val", "step", s, "tokens", batch * s, "loss",
                                   s == steps ? target : target + 0.06 + 2.9 * exp(-t * 60) + 0.75 * exp(-t * 7) - drop, "loss_se", 0.004));
    }
    add_line(&l, json_pack("{s:s,s:s,s:i,s:f,s:i,s:o,s:f,s:f}", "event", "end", "status", diverges ? "diverged" : "done", "step", end, "tokens", batch * end,
                           "diverged_at", diverges ? end : -1, "final_val_loss", real(diverges ? NAN : target), "flops", 6 * n * batch * end, "wall_s", 2.0));
    put(dir, "journal.jsonl", l.s, l.n);
    free(l.s);
}

static void write_runs(const char *dir, const synthetic *o)
{
    char runs[IO_PATH_MAX], id[64];
    err e = {0};
    if (io_join(runs, dir, "campaign/runs", &e) || io_mkdirs(runs, &e)) die(e.msg);
    for (int w = 0; w < 4; w++)
        for (int k = 0; k < 3; k++) {
            double width = 32 * exp2(w), n = 12 * 4 * width * width + 256 * width;
            int steps = 160 << k;
            snprintf(id, sizeof id, "%016x", 0xab00 + 16 * w + k);
            write_run(runs, id, n, width, 0.0078, steps, synthetic_loss(n, 4096.0 * steps) * noise(0.005, (uint64_t)(300 + 4 * w + k)), w == 3 && k == 1, "mup");
        }
    write_run(dir, "one", 2.1e5, 64, 0.0078, 600, 2.2, false, o->name ? o->name : "mup");
}

/* runs.csv: one budget each, many sizes; a learning-rate sweep under lr.csv; both as a stranger's logs would look. */
static void write_csv(const char *dir)
{
    lines l = {.cap = 1 << 16};
    if (!(l.s = malloc(l.cap))) die("no memory");
    l.n = (size_t)sprintf(l.s, "N,C,loss,status\n");
    grid g = points();
    for (size_t i = 0; i < g.n; i++) l.n += (size_t)sprintf(l.s + l.n, "%.10g,%.10g,%.10g,done\n", g.N[i], g.C[i], g.loss[i]);
    l.n += (size_t)sprintf(l.s + l.n, "1e5,1e13,nan,diverged\n");
    put(dir, "runs.csv", l.s, l.n);
    l.n = (size_t)sprintf(l.s, "parametrisation,width,lr,loss,status\n");
    for (int p = 0; p < 2; p++)
        for (int w = 0; w < N_WIDTHS; w++) {
            json_t *doc = lr_group(p ? "sp" : "mup", w);
            for (size_t i = 0; i < N_RATES; i++) {
                const json_t *x = json_array_get(json_object_get(doc, "loss"), i);
                double lr = json_number_value(json_array_get(json_object_get(doc, "lr"), i));
                if (json_is_null(x)) l.n += (size_t)sprintf(l.s + l.n, "%s,%d,%.10g,nan,diverged\n", p ? "sp" : "mup", 32 << w, lr);
                else l.n += (size_t)sprintf(l.s + l.n, "%s,%d,%.10g,%.10g,done\n", p ? "sp" : "mup", 32 << w, lr, json_number_value(x));
            }
            json_decref(doc);
        }
    put(dir, "lr.csv", l.s, l.n);
    free(l.s);
}

void synthetic_write(const char *dir, const synthetic *o)
{
    static const synthetic plain = {0};
    err e = {0};
    if (!o) o = &plain;
    if (io_mkdirs(dir, &e)) die(e.msg);
    write_fit(dir, o);
    write_lr(dir);
    write_prediction(dir, o);
    if (o->no_runs) return;
    write_runs(dir, o);
    write_csv(dir);
}
