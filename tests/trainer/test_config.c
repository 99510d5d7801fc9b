#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "trainer/config.h"

/* A small config that resolves without data. */
static trainer_config small(void)
{
    static const char *const lines[][2] = {
        {"vocab", "64"}, {"d_model", "64"}, {"n_layer", "2"}, {"head_dim", "16"}, {"seq_len", "32"}, {"base_width", "32"},
        {"batch_tokens", "256"}, {"tokens", "25600"}, {"warmup_tokens", "1024"}, {"val_tokens", "1024"},
    };
    trainer_config c;
    config_default(&c);
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
        cr_assert_eq(config_set(&c, lines[i][0], lines[i][1], "test", NULL), ST_OK, "%s", lines[i][0]);
    return c;
}

static void resolve(trainer_config *c)
{
    err e = {0};
    cr_assert_eq(config_resolve(c, &e), ST_OK, "%s", e.msg);
}

static void expect_id(const trainer_config *a, const trainer_config *b, bool equal, const char *what)
{
    char x[17], y[17];
    config_id(x, a);
    config_id(y, b);
    cr_expect_eq(strlen(x), 16);
    cr_expect_eq(!strcmp(x, y), equal, "%s: ids %s and %s", what, x, y);
}

static void expect_has(const char *msg, const char *part) { cr_expect(strstr(msg, part), "'%s' is not in '%s'", part, msg); }

static status load_text(trainer_config *c, const char *text, err *e)
{
    char path[] = "/tmp/muscale-config-XXXXXX";
    int fd = mkstemp(path);
    cr_assert(fd >= 0 && io_write_all(fd, text, strlen(text), path, e) == ST_OK);
    close(fd);
    status s = config_load(c, path, e);
    unlink(path);
    return s;
}

Test(config, a_file_sets_what_it_says_and_defaults_the_rest)
{
    trainer_config c;
    err e = {0};
    cr_assert_eq(load_text(&c, "d_model: 128\nlr: 1e-5\nactivation: swiglu\nqk_norm: true\nseed: 7\ntokens: 1e6\n", &e), ST_OK,
                 "%s", e.msg);
    cr_expect_eq(c.shape.d_model, 128);
    cr_expect_eq(c.base.lr, 1e-5);
    cr_expect_eq(c.shape.act, ACT_SWIGLU);
    cr_expect(c.shape.qk_norm);
    cr_expect_eq(c.seed, 7);
    cr_expect_eq(c.tokens, 1000000);
    cr_expect_eq(c.shards, 2);
    cr_expect_eq(c.schedule, SCHED_WSD);
}

Test(config, refused_lines_name_place_and_remedy)
{
    static const struct { const char *text, *place, *part; } bad[] = {
        {"d_model: 64\nd_modle: 8\n", ":2:1: ", "did you mean 'd_model'?"},
        {"wibble_wobble_wub: 8\n", ":1:1: ", "muscale help train"},
        {"lr: 1e-5x\n", ":1:5: ", "lr: '1e-5x' is not a finite number"},
        {"tokens: 2_000\n", ":1:9: ", "tokens: '2_000' is not a whole number"},
        {"lr: nan\n", ":1:5: ", "finite"},
        {"lr: 1e999\n", ":1:5: ", "finite"},
        {"lr:\n", ":1:", "finite"},
        {"lr: \"0.1\"\n", ":1:5: ", "without quotes"},
        {"lr: [0.1, 0.2]\n", ":1:5: ", "one value"},
        {"lr: -1\n", ":1:5: ", "outside (0,inf)"},
        {"lr: 0\n", ":1:5: ", "outside (0,inf)"},
        {"beta1: 1\n", ":1:8: ", "outside [0,1)"},
        {"n_layer: 2.5\n", ":1:10: ", "whole number"},
        {"seed: -1\n", ":1:7: ", "from 0"},
        {"tied_head: yes\n", ":1:12: ", "neither true nor false"},
        {"schedule: cosin\n", ":1:11: ", "did you mean 'cosine'?"},
        {"flops_rule: 6n\n", ":1:13: ", "did you mean '6N'?"},
        {"lr: 1\nlr: 1\n", ":2:1: ", "duplicate key 'lr'"},
        {"lr: &a 1\n", ":1:5: ", "anchors"},
        {"- lr\n", ":1:1: ", "key: value"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        trainer_config c;
        err e = {0};
        cr_expect_eq(load_text(&c, bad[i].text, &e), ST_INPUT, "%s", bad[i].text);
        expect_has(e.msg, bad[i].place);
        expect_has(e.msg, bad[i].part);
    }
}

Test(config, numbers_are_strict)
{
    static const char *const bad[] = {"1e-5x", "2_000", "nan", ".nan", "inf", ".inf", "1e999", "0x10", "'1'", "\"2\"", "",
                                      "~", "[1]", "{a: 1}", "1:30", "yes"};
    static const char *const keys[] = {"lr", "tokens", "seed", "tied_head"};
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++)
        for (size_t k = 0; k < sizeof keys / sizeof *keys; k++) {
            trainer_config c;
            err e = {0};
            char text[64];
            snprintf(text, sizeof text, "%s: %s\n", keys[k], bad[i]);
            cr_expect_eq(load_text(&c, text, &e), ST_INPUT, "%s", text);
            expect_has(e.msg, keys[k]);
        }
}

Test(config, a_refused_value_leaves_the_old_one)
{
    trainer_config c = small(), before = c;
    cr_expect_eq(config_set(&c, "lr", "-3", "command line", NULL), ST_INPUT);
    cr_expect_eq(config_set(&c, "beta2", "2", "command line", NULL), ST_INPUT);
    cr_expect_eq(memcmp(&c, &before, sizeof c), 0);
}

/* One other valid value for every key; a new key without a row here fails. */
static const char *const other_value[][2] = {
    {"data_dtype", "u16"}, {"unique_tokens", "5000"}, {"data_seed", "1"}, {"vocab", "65"}, {"d_model", "128"},
    {"n_layer", "3"}, {"head_dim", "32"}, {"n_kv_head", "2"}, {"d_ff", "96"}, {"seq_len", "64"}, {"activation", "swiglu"},
    {"tied_head", "true"}, {"qk_norm", "true"}, {"norm_gain", "true"}, {"rope_theta", "500"}, {"parametrisation", "sp"},
    {"base_width", "16"}, {"base_depth", "4"}, {"base_head_dim", "8"}, {"init_std", "0.02"}, {"embed_std", "0.5"},
    {"embed_mult", "2"}, {"logit_mult", "3"}, {"lr", "0.0021"}, {"eps", "1e-9"}, {"beta1", "0.8"}, {"beta2", "0.99"},
    {"weight_decay", "0"}, {"weight_decay_mode", "coupled"}, {"clip_norm", "0"}, {"batch_tokens", "512"},
    {"grad_accum", "2"}, {"shards", "4"}, {"seed", "1"}, {"tokens", "12800"}, {"warmup_tokens", "0"},
    {"schedule", "cosine"}, {"min_lr_ratio", "0.2"}, {"decay_fraction", "0.3"}, {"decay_shape", "linear"},
    {"base_d_ff", "192"}, {"base_batch_tokens", "128"}, {"base_tokens", "1e6"}, {"depth_alpha", "0.5"}, {"eps_rule", "none"},
    {"decay_rule", "constant"}, {"embed_lr_rule", "sqrt"}, {"attention_scale", "sqrt"}, {"zero_init", "readout"},
    {"branch_init", "gpt2"}, {"attn_mult", "2"}, {"residual_mult", "0.5"}, {"residual_attn_ratio", "2"},
    {"val_tokens", "2048"}, {"val_every", "10"}, {"blowup_nats", "1"}, {"flops_rule", "6N"},
    {"log_every", "1"}, {"log_updates_every", "7"}, {"ckpt_every", "5"}, {"threads", "3"}, {"backend", "cuda"},
};

Test(config, every_key_that_changes_results_changes_the_id_and_no_other)
{
    size_t n;
    const config_key *keys = config_keys(&n);
    trainer_config base = small();
    resolve(&base);
    for (size_t i = 0; i < n; i++) {
        const char *value = NULL;
        for (size_t k = 0; k < sizeof other_value / sizeof *other_value; k++)
            if (!strcmp(other_value[k][0], keys[i].name)) value = other_value[k][1];
        if (!strcmp(keys[i].name, "data")) continue; /* its own test */
        cr_assert(value, "key %s has no other value in this test: add one", keys[i].name);
        trainer_config c = small();
        cr_assert_eq(config_set(&c, keys[i].name, value, "test", NULL), ST_OK, "%s", keys[i].name);
        resolve(&c);
        expect_id(&base, &c, keys[i].launch_only, keys[i].name);
    }
    trainer_config c = small();
    resolve(&c);
    memset(c.data_sha256, 'a', 64);
    expect_id(&base, &c, false, "data_sha256");
}

Test(config, the_datas_content_counts_and_its_place_does_not)
{
    char dir[] = "/tmp/muscale-config-XXXXXX", one[64], two[64], three[64];
    cr_assert_not_null(mkdtemp(dir));
    snprintf(one, sizeof one, "%s/one", dir);
    snprintf(two, sizeof two, "%s/two", dir);
    snprintf(three, sizeof three, "%s/three", dir);
    const char *dirs[] = {one, two, three};
    trainer_config c[3];
    err e = {0};
    for (int i = 0; i < 3; i++) {
        data_gen_opts g = {.out_dir = dirs[i], .vocab = 16, .order = 1, .tokens = 20000, .seed = i == 2, .val_fraction = 0.2};
        data_info info;
        cr_assert_eq(data_gen(&g, &info, &e), ST_OK, "%s", e.msg);
        c[i] = small();
        c[i].shape.vocab = 0;
        snprintf(c[i].data, sizeof c[i].data, "%s", dirs[i]);
        resolve(&c[i]);
        cr_expect_eq(c[i].shape.vocab, 16, "the data's");
        cr_expect_eq(strlen(c[i].data_sha256), 64);
    }
    expect_id(&c[0], &c[1], true, "same tokens elsewhere");
    expect_id(&c[0], &c[2], false, "other tokens");
    /* Bad input that only the data can show. */
    static const char *const bad[][3] = {
        {"vocab", "9", "vocab"},
        {"unique_tokens", "1e9", "unique_tokens"},
        {"seq_len", "1e5", "seq_len"},
    };
    for (int i = 0; i < 3; i++) {
        trainer_config d = small();
        snprintf(d.data, sizeof d.data, "%s", one);
        config_set(&d, bad[i][0], bad[i][1], "test", NULL);
        if (i == 2) d.batch_tokens = d.tokens = 200000, d.val_tokens = 200000, d.warmup_tokens = 0;
        e.msg[0] = 0;
        cr_expect_eq(status_exit(config_resolve(&d, &e)), 3, "%s", bad[i][0]);
        expect_has(e.msg, bad[i][2]);
    }
    char command[128];
    snprintf(command, sizeof command, "rm -r %s", dir);
    cr_assert_eq(system(command), 0);
}

Test(config, equal_numbers_written_differently_are_one_run)
{
    static const char *const same[][3] = {
        {"lr", "1e-3", "0.001"}, {"lr", "0.5", "5e-1"}, {"tokens", "25600", "2.56e4"}, {"weight_decay", "0", "-0.0"},
    };
    for (size_t i = 0; i < sizeof same / sizeof *same; i++) {
        trainer_config a = small(), b = small();
        cr_assert_eq(config_set(&a, same[i][0], same[i][1], "test", NULL), ST_OK);
        cr_assert_eq(config_set(&b, same[i][0], same[i][2], "test", NULL), ST_OK, "%s", same[i][2]);
        resolve(&a);
        resolve(&b);
        expect_id(&a, &b, true, same[i][2]);
    }
    trainer_config a = small(), b = small();
    resolve(&a);
    b.shape.d_ff = 256; /* the default, written out */
    b.shape.n_kv_head = 4;
    b.tokens += 255;    /* not another whole step */
    resolve(&b);
    expect_id(&a, &b, true, "derived values");
}

Test(config, the_canonical_text_is_sorted_and_pinned)
{
    trainer_config c = small();
    resolve(&c);
    char *text = config_canonical(&c), id[17];
    char last[64] = "";
    size_t lines = 0, n;
    config_keys(&n);
    for (char *p = text; *p; p = strchr(p, '\n') + 1, lines++) {
        char key[64];
        snprintf(key, sizeof key, "%.*s", (int)strcspn(p, "="), p);
        cr_expect_lt(strcmp(last, key), 0, "%s before %s", last, key);
        strcpy(last, key);
    }
    cr_expect_eq(lines, n - 6 - 13 + 1, "all but six launch-only keys and thirteen late ones, and the data's hash");
    expect_has(text, "lr=0.002\n");
    expect_has(text, "n_kv_head=4\n");
    expect_has(text, "decay_shape=1-sqrt\n");
    free(text);
    config_id(id, &c);
    /* sha256 of the text above, by sha256sum. A change here makes strangers of all stored runs: bump the journal's
     * schema and say so in doc/decisions.md. */
    cr_expect_str_eq(id, "390294251908a690", "%s", id);
}

Test(config, yaml_round_trip_keeps_everything)
{
    trainer_config a = small(), b;
    err e = {0};
    config_set(&a, "lr", "0.1234567890123456789", "test", NULL);
    config_set(&a, "schedule", "cosine", "test", NULL);
    config_set(&a, "threads", "2", "test", NULL);
    resolve(&a);
    snprintf(a.data, sizeof a.data, "%s", "odd \"place\"/with: #hash \\ and \xc3\xa9");
    char *text = config_yaml(&a);
    cr_assert_eq(load_text(&b, text, &e), ST_OK, "%s\n%s", e.msg, text);
    cr_expect_str_eq(a.data, b.data);
    a.data[0] = b.data[0] = 0;
    cr_expect_eq(b.threads, 2);
    resolve(&b);
    expect_id(&a, &b, true, "round trip");
    free(text);
}

Test(config, resolving_again_changes_nothing)
{
    trainer_config a = small();
    resolve(&a);
    trainer_config b = a;
    resolve(&b);
    expect_id(&a, &b, true, "twice");
    cr_expect_str_eq(b.note, "");
}

Test(config, rounding_down_to_whole_steps_is_said)
{
    trainer_config c = small();
    c.tokens = 25700;
    c.val_tokens = 1030;
    resolve(&c);
    cr_expect_eq(c.tokens, 25600);
    cr_expect_eq(config_steps(&c), 100);
    expect_has(c.note, "tokens: 25700 rounded down to 25600");
    expect_has(c.note, "val_tokens: 1030 rounded down to 1024");
}

Test(config, a_config_that_cannot_run_is_refused_with_key_value_and_remedy)
{
    static const struct { const char *key, *value, *parts[3]; } bad[] = {
        {"d_model", "70", {"d_model: 70", "head_dim 16", "use d_model 64"}},
        {"tokens", "200", {"tokens: 200", "batch_tokens 256", "raise tokens"}},
        {"batch_tokens", "300", {"batch_tokens: 300", "= 64", "use 320"}},
        {"shards", "3", {"batch_tokens: 256", "32 * 3 * 1 = 96", "use 288"}},
        {"grad_accum", "8", {"batch_tokens: 256", "= 512", "use 512"}},
        {"warmup_tokens", "25000", {"warmup_tokens: 25000", "decay", "20480"}},
        {"val_tokens", "32", {"val_tokens: 32", "two sequences", "use 64"}},
        {"parametrisation", "mu", {"parametrisation: 'mu'", "sp", "did you mean 'mup'?"}},
        {"base_width", "0", {"base_width: 0", "mup", "sp"}},
        {"vocab", "0", {"vocab: 0", "data", "set"}},
        {"n_kv_head", "3", {"n_kv_head", "3", ""}},
        {"head_dim", "1", {"head_dim: 1", "", ""}},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        trainer_config c = small();
        err e = {0};
        status s = config_set(&c, bad[i].key, bad[i].value, "test", &e);
        if (!s) s = config_resolve(&c, &e);
        cr_expect_eq(status_exit(s), 3, "%s=%s", bad[i].key, bad[i].value);
        for (int k = 0; k < 3; k++) expect_has(e.msg, bad[i].parts[k]);
    }
    trainer_config c = small();
    err e = {0};
    c.decay_shape = SHAPE_EXP;
    c.min_lr_ratio = 0;
    cr_expect_eq(config_resolve(&c, &e), ST_INPUT);
    expect_has(e.msg, "min_lr_ratio: 0");
    config_default(&c);
    cr_expect_eq(config_resolve(&c, &e), ST_INPUT);
    expect_has(e.msg, "d_model is missing");
}

Test(config, the_difference_of_two_configs)
{
    trainer_config a = small(), b = small();
    b.base.lr = 0.004;
    b.shape.n_layer = 3;
    b.threads = 9;
    resolve(&a);
    resolve(&b);
    char *x = config_canonical(&a), *y = config_canonical(&b), *diff = config_diff(x, y), *none = config_diff(x, x);
    cr_expect_str_eq(diff, "lr: 0.002 -> 0.004\nn_layer: 2 -> 3\n");
    cr_expect_str_eq(none, "");
    free(diff);
    free(none);
    diff = config_diff("a=1\nc=3\n", "b=2\nc=3\nd=\n"); /* of another version: keys come and go */
    cr_expect_str_eq(diff, "a: 1 -> (absent)\nb: (absent) -> 2\nd: (absent) -> \n");
    free(diff);
    free(x);
    free(y);
}

Test(config, hyperparameters_follow_the_parametrisation)
{
    trainer_config c = small();
    err e = {0};
    c.base_width = 32; /* d_model 64: twice as wide */
    resolve(&c);
    size_t n = shape_tensors(&c.shape, NULL, 0);
    shape_tensor *t = calloc(n, sizeof *t);
    mup_tensor *h = calloc(n, sizeof *h), *sp = calloc(n, sizeof *sp);
    mup_model model;
    shape_tensors(&c.shape, t, n);
    cr_assert_eq(config_hparams(&c, h, &model, &e), ST_OK, "%s", e.msg);
    strcpy(c.parametrisation, "sp");
    cr_assert_eq(config_hparams(&c, sp, &model, &e), ST_OK, "%s", e.msg);
    for (size_t i = 0; i < n; i++) {
        cr_expect_eq(sp[i].lr, c.base.lr, "%s", t[i].name);
        if (t[i].role == MUP_HIDDEN) cr_expect_float_eq(h[i].lr, c.base.lr / 2, 1e-15, "%s", t[i].name);
        if (t[i].role == MUP_EMBEDDING) cr_expect_float_eq(h[i].lr, c.base.lr, 1e-15, "%s", t[i].name);
    }
    free(t);
    free(h);
    free(sp);
}

Test(config, the_example_shows_every_key_and_its_default)
{
    char path[1024];
    const char *root = getenv("MUSCALE_SRCDIR");
    trainer_config c, d = small();
    yaml_doc doc;
    err e = {0};
    size_t n;
    snprintf(path, sizeof path, "%s/examples/train.yaml", root ? root : ".");
    cr_assert_eq(config_load(&c, path, &e), ST_OK, "%s", e.msg);
    cr_assert_eq(yaml_load(&doc, path, &e), ST_OK, "%s", e.msg);
    config_default(&d);
    const config_key *keys = config_keys(&n);
    for (size_t i = 0; i < n; i++) {
        char a[IO_PATH_MAX], b[IO_PATH_MAX];
        cr_expect(yaml_get(doc.root, keys[i].name), "examples/train.yaml lacks %s", keys[i].name);
        bool free_choice = !keys[i].fallback || !strcmp(keys[i].name, "data") || !strcmp(keys[i].name, "base_width") ||
                           !strcmp(keys[i].name, "warmup_tokens");
        if (!free_choice) cr_expect_str_eq(config_value(&c, &keys[i], a), config_value(&d, &keys[i], b));
    }
    yaml_doc_free(&doc);
    c.data[0] = 0;
    c.shape.vocab = 256;
    resolve(&c);
}
