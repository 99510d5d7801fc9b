/* muscale predict and score as commands: output, exit codes, and the chain prediction -> run -> score with a run record
 * written by the store (no training: its losses are what this test wants them to be). */
#include <criterion/criterion.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "base/io.h"
#include "base/rng.h"
#include "sweeps/store.h"

typedef struct reply { int exit; char text[1 << 16]; } reply; /* stdout and stderr together */

static char dir[64];

/* Runs `muscale ARGS` inside the sandbox. */
static void muscale(reply *r, const char *args)
{
    char line[4096];
    const char *bin = getenv("MUSCALE_BIN");
    snprintf(line, sizeof line, "cd %s && %s %s 2>&1", dir, bin, args);
    FILE *f = popen(line, "r");
    cr_assert(f);
    size_t n = fread(r->text, 1, sizeof r->text - 1, f);
    r->text[n] = 0;
    int rc = pclose(f);
    r->exit = WIFEXITED(rc) ? WEXITSTATUS(rc) : 128;
}

static void expect(const char *args, int code, const char *says)
{
    reply *r = malloc(sizeof *r);
    cr_assert(r);
    muscale(r, args);
    cr_assert_eq(r->exit, code, "muscale %s: exit %d, not %d\n%s", args, r->exit, code, r->text);
    cr_assert(strstr(r->text, says), "muscale %s: no '%s' in\n%s", args, says, r->text);
    free(r);
}

static void write_text(const char *name, const char *text)
{
    char path[IO_PATH_MAX];
    err e = {0};
    cr_assert_eq(io_join(path, dir, name, &e), ST_OK);
    cr_assert_eq(io_publish(path, text, strlen(text), &e), ST_OK, "%s", e.msg);
}

static json_t *read_json(const char *name)
{
    char path[IO_PATH_MAX];
    err e = {0};
    cr_assert_eq(io_join(path, dir, name, &e), ST_OK);
    json_t *j = json_load_file(path, 0, NULL);
    cr_assert(j, "%s is no JSON", path);
    return j;
}

static double real_at(const json_t *j, const char *a, const char *b)
{
    const json_t *v = json_object_get(json_object_get(j, a), b);
    cr_assert(json_is_number(v), "%s.%s is no number", a, b);
    return json_number_value(v);
}

static const char *text_at(const json_t *j, const char *a, const char *b)
{
    const char *v = json_string_value(json_object_get(json_object_get(j, a), b));
    return v ? v : "";
}

enum { DRAWS = 200 };
static void write_fits(void)
{
    static const char *const names[] = {"E", "A", "B", "alpha", "beta"};
    static const double theta[] = {1.217, 41.3, 183.1, .3027, .3611};
    json_t *samples = json_object(), *c = json_array(), *p = json_array(), *params = json_object();
    for (int k = 0; k < 5; k++) {
        json_t *column = json_array();
        for (int b = 0; b < DRAWS; b++) json_array_append_new(column, json_real(theta[k] * exp(0.002 * rng_normal(1, RNG_TEST, (uint32_t)b, (uint64_t)k))));
        json_object_set_new(samples, names[k], column);
        json_object_set_new(params, names[k], json_real(theta[k]));
    }
    for (int b = 0; b < DRAWS; b++) {
        double drift = 0.05 * rng_normal(2, RNG_TEST, (uint32_t)b, 0);
        json_array_append_new(c, json_real(exp2(-7.3 - 6 * drift)));
        json_array_append_new(p, json_real(drift));
    }
    for (int k = 0; k < 2; k++) {
        json_t *fit = json_pack("{s:s,s:s,s:s,s:i,s:s,s:s,s:O,s:{s:[f,f],s:[f,f],s:[f,f],s:[f,f]},s:{s:i,s:O},s:{s:f,s:n},s:{s:[f,f],s:[f,f],s:[f,f]},s:{s:s,s:[]}}",
            "schema", "muscale.fit/1", "law", "chinchilla", "method", "parametric", "n_points", 20, "count_rule", "total", "flops_rule", "exact", "params", params,
            "points", "N", 3e4, 1e6, "D", 2e5, 6e6, "C", 6.6 * 3e4 * 2e5, 6.6 * 1e6 * 6e6, "loss", 4.1, 2.53, "bootstrap", "n", DRAWS, "samples", samples,
            "noise", "residual_sd", .004, "seed_sd", "domain", "N", 3e4, 1e6, "D", 2e5, 6e6, "C", 4e10, 4e13, "trust", "verdict", "ok", "reasons");
        if (k) json_object_set_new(fit, "trust", json_pack("{s:s,s:[{s:s,s:s,s:f}]}", "verdict", "refuse", "reasons", "code", "floor_unidentified",
                                                           "message", "the interval of E reaches 0", "value", 0.));
        char *text = json_dumps(fit, JSON_REAL_PRECISION(17));
        write_text(k ? "refused.json" : "fit.json", text);
        free(text);
        json_decref(fit);
    }
    json_t *lr = json_pack("{s:s,s:s,s:s,s:[{s:s,s:f,s:f,s:{s:[f,f]},s:i,s:[f,f],s:n,s:{s:O,s:O}}],s:{s:s,s:[]}}", "schema", "muscale.fit/1", "law", "lr-optimum",
        "method", "lr-optimum", "trend", "parametrisation", "mup", "c", exp2(-7.3), "p", 0., "ci95", "p", -.1, .1, "n_groups", 4, "width", 32., 256., "why",
        "samples", "c", c, "p", p, "trust", "verdict", "ok", "reasons");
    char *text = json_dumps(lr, JSON_REAL_PRECISION(17));
    write_text("lr.json", text);
    free(text);
    json_decref(lr);
    json_decref(samples);
    json_decref(params);
    json_decref(c);
    json_decref(p);
}

static const char base[] = "vocab: 256\nd_model: 64\nn_layer: 2\nhead_dim: 16\nparametrisation: mup\nbase_width: 64\nlr: 0.004\ntokens: 1e6\n";

static void setup(void)
{
    snprintf(dir, sizeof dir, "/tmp/muscale_predict_XXXXXX");
    cr_assert(mkdtemp(dir));
    write_fits();
    char yaml[512];
    snprintf(yaml, sizeof yaml, "data: \"\"\n%s", base);
    write_text("base.yaml", yaml);
}

static void teardown(void)
{
    char line[128];
    snprintf(line, sizeof line, "rm -rf %s", dir);
    cr_assert_eq(system(line), 0);
}

TestSuite(cli_predict, .init = setup, .fini = teardown);

Test(cli_predict, budget_to_run_that_exists)
{
    expect("predict fit.json lr.json --flops 1e14 --config base.yaml --write-config target.yaml -o p.json", 0, "drift +0.00");
    json_t *p = read_json("p.json");
    cr_assert_str_eq(json_string_value(json_object_get(p, "schema")), "muscale.predict/1");
    double n = real_at(p, "optimum", "N"), loss = real_at(p, "optimum", "loss");
    cr_assert(n > 1e6 && n < 2e6 && loss > 2.2 && loss < 2.4);
    cr_assert_float_eq(real_at(p, "optimum", "C"), 1e14, 1e5);
    cr_assert_eq((int)real_at(p, "optimum", "width") % 16, 0);
    cr_assert_eq((int)real_at(p, "optimum", "depth"), 2);
    cr_assert_float_eq(real_at(p, "optimum", "lr"), exp2(-7.3), 1e-9);
    cr_assert_float_eq(real_at(p, "target", "C") / 1e14, 1, 0.002, "the budget is spent on the shape that exists");
    const json_t *tensors = json_object_get(json_object_get(p, "optimum"), "tensors"), *first = json_array_get(tensors, 0);
    cr_assert_eq(json_array_size(tensors), 14, "2 tables and 2 blocks of 6");
    cr_assert(json_is_number(json_object_get(first, "init_std")) && json_is_string(json_object_get(first, "role")));
    const json_t *last = json_array_get(tensors, 13); /* the readout: mult 1/m, and what is lost of it per step */
    cr_assert_float_eq(json_number_value(json_object_get(last, "multiplier")), 64 / real_at(p, "optimum", "width"), 1e-12);
    cr_assert_float_eq(json_number_value(json_object_get(last, "weight_decay_independent")), 1e-4, 1e-12);
    /* what no law determines is null and says why */
    cr_assert(json_is_null(json_object_get(json_object_get(p, "optimum"), "batch_tokens")));
    cr_assert(strstr(text_at(p, "why", "batch_tokens"), "no batch law"));
    cr_assert(strstr(text_at(p, "why", "epochs"), "--unique-tokens"));
    cr_assert_float_eq(real_at(p, "naive", "loss"), 2.53, 1e-12);
    /* the config it wrote is the run it predicted */
    expect("predict fit.json lr.json --config target.yaml -o q.json", 0, json_string_value(json_object_get(json_object_get(p, "target"), "config_id")));
    json_t *q = read_json("q.json");
    cr_assert_str_eq(text_at(p, "target", "config_id"), text_at(q, "target", "config_id"));
    cr_assert_str_eq(text_at(p, "target", "canonical"), text_at(q, "target", "canonical"));
    cr_assert_float_eq(real_at(p, "target", "loss"), real_at(q, "optimum", "loss"), 1e-12);
    cr_assert(json_is_null(json_object_get(json_object_get(q, "ci95"), "N")), "N of a given run is no estimate");
    json_decref(p);
    json_decref(q);
    /* twin: another lr is another run, and is remarked on */
    expect("predict fit.json lr.json --config target.yaml lr=0.1", 0, "outside its 95 % interval");
    expect("predict fit.json --config target.yaml --json", 0, "no learning-rate fit was given");
    expect("predict fit.json lr.json --flops 1e14 --unique-tokens 1e6", 0, "repeated tokens as new ones");
}

Test(cli_predict, explicit_widths_keep_their_ratio)
{
    char yaml[512];
    snprintf(yaml, sizeof yaml, "data: \"\"\nd_ff: 192\nn_kv_head: 2\n%s", base); /* 3 d_model; half of the 4 heads */
    write_text("ratio.yaml", yaml);
    expect("predict fit.json --flops 1e14 --config ratio.yaml -o r.json", 0, "target run");
    json_t *p = read_json("r.json");
    const json_t *c = json_object_get(json_object_get(p, "target"), "config");
    double width = json_number_value(json_object_get(c, "d_model"));
    cr_assert(width > 64);
    cr_assert_float_eq(json_number_value(json_object_get(c, "d_ff")), 3 * width, 0);
    cr_assert_float_eq(json_number_value(json_object_get(c, "n_kv_head")), width / 32, 0);
    json_decref(p);
}

Test(cli_predict, every_question)
{
    expect("predict fit.json --flops 1e14", 0, "median of the fit's points");
    expect("predict fit.json --params 2e6", 0, "given");
    expect("predict fit.json --tokens 2e7 --config base.yaml", 0, "target run");
    expect("predict fit.json --loss 1.22", 0, "unbounded");
    expect("predict fit.json --params 2e6 --tokens 1e7", 0, "loss, one run");
    expect("predict lr.json --config base.yaml", 0, "no loss law was given");
    expect("predict fit.json lr.json --params 1e6 --loss 2.5 --json", 0, "\"pi95\"");
}

Test(cli_predict, refused_fits)
{
    expect("predict refused.json --config base.yaml", 0, "refuse");                     /* inside the data: answered, marked */
    expect("predict refused.json --flops 1e16 -o no.json", 5, "--force");               /* beyond: no answer */
    expect("predict refused.json --flops 1e16", 5, "the interval of E reaches 0");
    expect("predict refused.json --flops 1e16 --force -o yes.json", 5, "FORCED");
    char path[IO_PATH_MAX];
    cr_assert_eq(io_join(path, dir, "no.json", NULL), ST_OK);
    cr_assert(!io_exists(path));
    json_t *p = read_json("yes.json");
    cr_assert(json_is_true(json_object_get(p, "forced")));
    cr_assert_str_eq(text_at(p, "trust", "verdict"), "refuse");
    json_decref(p);
    expect("predict fit.json --flops 1e16", 0, "extrapolates_k_decades");               /* twin: a good fit warns */
}

Test(cli_predict, bad_input)
{
    expect("predict", 2, "which fit");
    expect("predict fit.json", 2, "--flops C");
    expect("predict fit.json --flops -3", 2, "positive");
    expect("predict fit.json --flops 1e14x", 2, "finite number");
    expect("predict fit.json --flops 1e14 --loss 2", 2, "give one of");
    expect("predict fit.json --flopps 1e14", 2, "--flops");
    expect("predict fit.json lr=3 --flops 1e14", 2, "--config");
    expect("predict lr.json --flops 1e14", 2, "loss law");
    expect("predict fit.json --loss 1.2", 3, "floor");
    expect("predict gone.json --flops 1e14", 3, "gone.json");
    expect("predict base.yaml --flops 1e14", 3, "not JSON");
    expect("predict fit.json --config gone.yaml", 3, "gone.yaml");
    expect("predict fit.json --config base.yaml d_modell=3", 3, "d_model");
    expect("predict fit.json --flops 1e14 --write-config x.yaml", 2, "--config");
    expect("predict fit.json --flops 1e14 -o /proc/no/p.json", 1, "/proc/no");
}

/* --- score ----------------------------------------------------------------------------------------- */

static void write_run(const char *name, const char *config, const char *prediction, run_status how, double loss)
{
    char path[IO_PATH_MAX], yaml[IO_PATH_MAX], predicted[IO_PATH_MAX];
    trainer_config c;
    store_run *run = NULL;
    data_info data = {.vocab = 256};
    err e = {0};
    cr_assert_eq(io_join(yaml, dir, config, &e), ST_OK);
    cr_assert_eq(io_join(path, dir, name, &e), ST_OK);
    if (prediction) cr_assert_eq(io_join(predicted, dir, prediction, &e), ST_OK);
    cr_assert_eq(config_load(&c, yaml, &e), ST_OK, "%s", e.msg);
    cr_assert_eq(config_resolve(&c, &e), ST_OK, "%s", e.msg);
    store_opts o = {.dir = path, .config = &c, .prediction = prediction ? predicted : NULL, .threads = 1};
    cr_assert_eq(store_run_open(&run, &o, &e), ST_OK, "%s", e.msg);
    train_observer ob = store_run_observer(run);
    char id[17];
    config_id(id, &c);
    train_start start = {.config = &c, .id = id, .data = &data, .counts = shape_count(&c.shape), .flops_per_token = 1, .device = "test", .bank_size = 1};
    cr_assert_eq(ob.start(ob.self, &start, &e), ST_OK, "%s", e.msg);
    if (how != RUN_PARTIAL) {
        train_row row = {.step = 10, .tokens = 20480, .loss = 3, .lr = c.base.lr, .grad_norm = 1};
        train_val val = {.step = 10, .tokens = 20480, .loss = loss, .loss_se = 0.002, .n_seq = 8};
        train_end end = {.status = how, .step = 10, .tokens = 20480, .diverged_at = how == RUN_DIVERGED ? 10 : -1, .final_val_loss = loss,
                         .final_val_loss_se = 0.002, .best_val_loss = loss, .final_train_loss_ema = 3};
        cr_assert_eq(ob.row(ob.self, &row, &e), ST_OK);
        if (how == RUN_DONE) cr_assert_eq(ob.val(ob.self, &val, &e), ST_OK);
        cr_assert_eq(ob.end(ob.self, &end, &e), ST_OK);
    }
    cr_assert_eq(store_run_close(run, NULL, &e), ST_OK, "%s", e.msg);
}

/* A copy of target.yaml with another value of one key. */
static void vary(const char *name, const char *key, const char *value)
{
    char path[IO_PATH_MAX];
    trainer_config c;
    err e = {0};
    cr_assert_eq(io_join(path, dir, "target.yaml", &e), ST_OK);
    cr_assert_eq(config_load(&c, path, &e), ST_OK, "%s", e.msg);
    cr_assert_eq(config_set(&c, key, value, "test", &e), ST_OK, "%s", e.msg);
    cr_assert_eq(config_resolve(&c, &e), ST_OK, "%s", e.msg);
    char *text = config_yaml(&c);
    write_text(name, text);
    free(text);
}

Test(cli_predict, score_hit_and_miss)
{
    expect("predict fit.json lr.json --flops 1e14 --config base.yaml --write-config target.yaml -o p.json", 0, "verdict");
    json_t *p = read_json("p.json");
    double loss = real_at(p, "target", "loss");
    json_decref(p);
    write_run("hit", "target.yaml", "p.json", RUN_DONE, loss + 0.003);
    expect("score p.json hit -o s.json", 0, "HIT");
    json_t *s = read_json("s.json");
    cr_assert_str_eq(json_string_value(json_object_get(s, "schema")), "muscale.score/1");
    cr_assert_float_eq(real_at(s, "loss", "error"), 0.003, 1e-9);
    cr_assert(json_is_true(json_object_get(json_object_get(s, "loss"), "hit")));
    cr_assert_float_eq(real_at(s, "naive", "error"), loss + 0.003 - 2.53, 1e-9);
    cr_assert_float_eq(real_at(s, "lr", "used"), real_at(s, "lr", "predicted"), 1e-12);
    json_decref(s);
    write_run("miss", "target.yaml", "p.json", RUN_DONE, loss + 0.3);
    expect("score p.json miss", 0, "above the predicted 95 % interval");
    write_run("lost", "target.yaml", "p.json", RUN_DIVERGED, NAN);
    expect("score p.json lost", 0, "MISS: the run diverged");
    expect("score p.json lost --json", 0, "\"hit\": false");
    expect("score p.json hit --naive fit.json", 0, "of fit.json");
    expect("score p.json hit --naive miss --json", 3, "no finite loss"); /* the run itself is no predictor */
}

Test(cli_predict, score_lr_checks)
{
    expect("predict fit.json lr.json --flops 1e14 --config base.yaml --write-config target.yaml -o p.json", 0, "verdict");
    vary("short.yaml", "tokens", "204800");
    write_run("target", "target.yaml", "p.json", RUN_DONE, 2.3);
    write_run("short", "short.yaml", NULL, RUN_DONE, 2.9);
    vary("short_half.yaml", "tokens", "204800");
    char *text = NULL, half[IO_PATH_MAX];
    size_t n;
    trainer_config c;
    err e = {0};
    cr_assert_eq(io_join(half, dir, "short_half.yaml", &e), ST_OK);
    cr_assert_eq(config_load(&c, half, &e), ST_OK);
    c.base.lr /= 2;
    cr_assert_eq(config_resolve(&c, &e), ST_OK);
    text = config_yaml(&c);
    write_text("short_half.yaml", text);
    free(text);
    write_run("half", "short_half.yaml", NULL, RUN_DONE, 2.95);
    expect("score p.json target --lr-base short --lr-check half -o s.json", 0, "penalty at 0.5");
    cr_assert_eq(io_join(half, dir, "s.json", &e), ST_OK);
    cr_assert_eq(io_read_file(&text, &n, half, 1 << 20, &e), ST_OK);
    free(text);
    json_t *s = read_json("s.json");
    const json_t *first = json_array_get(json_object_get(s, "lr_penalty"), 0);
    cr_assert_float_eq(json_number_value(json_object_get(first, "factor")), 0.5, 1e-12);
    cr_assert_float_eq(json_number_value(json_object_get(first, "loss_minus_base")), 0.05, 1e-9);
    json_decref(s);
    /* twin: against the long run the budget would be blamed on the learning rate */
    expect("score p.json target --lr-check half", 3, "tokens");
}

Test(cli_predict, score_refuses_what_proves_nothing)
{
    expect("predict fit.json lr.json --flops 1e14 --config base.yaml --write-config target.yaml -o p.json", 0, "verdict");
    write_run("unbound", "target.yaml", NULL, RUN_DONE, 2.3);
    expect("score p.json unbound", 3, "names no prediction");
    write_run("going", "target.yaml", "p.json", RUN_PARTIAL, NAN);
    expect("score p.json going", 3, "--resume");
    write_run("target", "target.yaml", "p.json", RUN_DONE, 2.3);
    expect("score p.json target", 0, "measured");
    vary("other.yaml", "seed", "7");
    write_run("other", "other.yaml", NULL, RUN_DONE, 2.3);
    expect("score p.json other", 3, "was made for run");
    expect("predict fit.json lr.json --config target.yaml --seed 2 -o p.json", 0, "verdict"); /* same run, another file */
    expect("score p.json target", 3, "changed after the run began");
    expect("predict fit.json --flops 1e14 -o q.json", 0, "verdict");
    expect("score q.json target", 3, "no particular run");
    expect("score fit.json target", 3, "muscale.fit/1");
    expect("score p.json", 2, "a prediction and a run");
    expect("score p.json gone", 3, "gone");
}
