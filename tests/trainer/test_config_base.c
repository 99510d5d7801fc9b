/* A base model beside its target: what is taken over, what may differ, what is refused. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <string.h>

#include "trainer/config_base.h"

static trainer_config raw(const char *const *pairs)
{
    static const char *const lines[][2] = {
        {"vocab", "64"}, {"d_model", "256"}, {"n_layer", "8"}, {"head_dim", "32"}, {"seq_len", "32"},
        {"batch_tokens", "256"}, {"tokens", "25600"}, {"warmup_tokens", "1024"}, {"val_tokens", "1024"},
    };
    trainer_config c;
    err e = {0};
    config_default(&c);
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++) cr_assert_eq(config_set(&c, lines[i][0], lines[i][1], "test", NULL), ST_OK);
    for (; pairs && *pairs; pairs += 2) cr_assert_eq(config_set(&c, pairs[0], pairs[1], "test", &e), ST_OK, "%s", e.msg);
    return c;
}
#define RAW(...) raw((const char *const[]){__VA_ARGS__, NULL})

typedef struct answer { status s; err e; config_base_note note; trainer_config c; } answer;

static answer from_words(trainer_config target, const char *words)
{
    answer a = {.c = target};
    trainer_config b;
    bool said;
    a.s = config_base_words(&b, &target, words, &said, &a.e);
    if (!a.s) a.s = config_set_base(&a.c, &b, said, &a.note, &a.e);
    if (!a.s) a.s = config_resolve(&a.c, &a.e);
    return a;
}

static answer from_config(trainer_config target, trainer_config base)
{
    answer a = {.c = target};
    a.s = config_set_base(&a.c, &base, false, &a.note, &a.e);
    if (!a.s) a.s = config_resolve(&a.c, &a.e);
    return a;
}

Test(config_base, words_give_the_base_its_own_sizes)
{
    answer a = from_words(RAW("parametrisation", "complete-dp"), "width=64,depth=2,tokens=12800,batch_tokens=128");
    cr_assert_eq(a.s, ST_OK, "%s", a.e.msg);
    cr_expect_eq(a.c.base_width, 64);
    cr_expect_eq(a.c.base_depth, 2);
    cr_expect_eq(a.c.base_head_dim, 32);
    cr_expect_eq(a.c.base_d_ff, 256);
    cr_expect_eq(a.c.base_tokens, 12800);
    cr_expect_eq(a.c.base_batch_tokens, 128);
    cr_expect_str_eq(a.note.text, "");
    /* SwiGLU rounds 8/3 d up to 32: the two models' proportions differ, and each has its own */
    a = from_words(RAW("parametrisation", "mup", "activation", "swiglu"), "width=64");
    cr_assert_eq(a.s, ST_OK, "%s", a.e.msg);
    cr_expect_eq(a.c.base_d_ff, 192);
    cr_expect_eq(a.c.shape.d_ff, 704);
    /* written out, it keeps its proportion; said, it is what was said */
    a = from_words(RAW("parametrisation", "mup", "d_ff", "512"), "width=64");
    cr_expect_eq(a.c.base_d_ff, 128);
    a = from_words(RAW("parametrisation", "mup", "d_ff", "512"), "width=64,d_ff=512");
    cr_expect_eq(a.c.base_d_ff, 512);
    /* what is not said is the config's own base */
    a = from_words(RAW("parametrisation", "completep", "base_width", "128", "base_depth", "4"), "depth=2");
    cr_expect_eq(a.c.base_width, 128);
    cr_expect_eq(a.c.base_depth, 2);
    a = from_words(RAW("parametrisation", "mup", "n_kv_head", "2"), "width=32"); /* one head: GQA does not fit, and need not */
    cr_assert_eq(a.s, ST_OK, "%s", a.e.msg);
}

Test(config_base, what_no_rule_covers_is_refused)
{
    static const struct { const char *words, *parts[2]; } bad[] = {
        {"width=64,activation=swiglu", {"activation: swiglu in the base model, gelu here", "make them equal"}},
        {"width=64,vocab=100", {"vocab: 100", "64 here"}},
        {"width=64,qk_norm=true", {"qk_norm", "no rule"}},
        {"width=64,norm_gain=true", {"norm_gain", "no rule"}},
        {"width=64,tied_head=true", {"tied_head", "no rule"}},
        {"width=64,lr=0.004", {"lr: 0.004", "0.002 here"}},
        {"width=64,schedule=cosine", {"schedule", "cosine"}},
        {"width=64,eps_rule=none", {"eps_rule", "none"}},
        {"width=64,beta2=0.99", {"beta2", "0.99"}},
        {"width=48", {"base model: d_model: 48", "head_dim 32"}},
        {"width=64,depth=0", {"n_layer", "0"}},
        {"wdith=64", {"unknown key 'wdith'", "--base"}},
        {"width", {"key=value", "width=64"}},
        {"width=64,", {"key=value", ""}},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        answer a = from_words(RAW("parametrisation", "mup"), bad[i].words);
        cr_expect_eq(status_exit(a.s), 3, "%s", bad[i].words);
        for (int k = 0; k < 2; k++) cr_expect(strstr(a.e.msg, bad[i].parts[k]), "%s: '%s'", bad[i].words, a.e.msg);
    }
}

Test(config_base, what_may_differ_is_said_where_no_rule_covers_it)
{
    static const struct { const char *rule, *words, *part; } rows[] = {
        {"mup", "width=64,tokens=12800", "tokens: 12800 in the base, 25600 here"},
        {"mup", "width=64,batch_tokens=128", "batch_tokens"},
        {"mup", "width=64,seq_len=16", "seq_len"},
        {"mup", "width=64,depth=2", "n_layer: 2 in the base, 8 here"},
        {"completep", "width=64,depth=2", NULL},
        {"mup", "width=64", NULL},
        {"mup", "width=64,seed=7,data_seed=3,threads=2,val_tokens=2048", NULL},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        answer a = from_words(RAW("parametrisation", rows[i].rule), rows[i].words);
        cr_assert_eq(a.s, ST_OK, "%s", a.e.msg);
        if (rows[i].part) cr_expect(strstr(a.note.text, rows[i].part), "%s: '%s'", rows[i].words, a.note.text);
        else cr_expect_str_eq(a.note.text, "", "%s: '%s'", rows[i].words, a.note.text);
    }
}

Test(config_base, head_dim_does_not_change_unsaid)
{
    const trainer_config target = RAW("parametrisation", "mup"), base = RAW("d_model", "64", "head_dim", "16");
    answer a = from_config(target, base);
    cr_expect_eq(a.s, ST_INPUT);
    cr_expect(strstr(a.e.msg, "base_head_dim 16"), "%s", a.e.msg);
    a = from_config(RAW("parametrisation", "mup", "base_head_dim", "16"), base);
    cr_expect_eq(a.s, ST_OK, "%s", a.e.msg);
    cr_expect_eq(a.c.base_head_dim, 16);
    a = from_words(target, "width=64,head_dim=16");
    cr_expect_eq(a.s, ST_OK, "%s", a.e.msg);
    cr_expect_eq(a.c.base_head_dim, 16);
    /* the same without a second model: no base of width 48 has heads of 32 */
    trainer_config c = RAW("parametrisation", "mup", "base_width", "48");
    err e = {0};
    cr_expect_eq(config_resolve(&c, &e), ST_INPUT);
    cr_expect(strstr(e.msg, "base_width: 48") && strstr(e.msg, "base_head_dim"), "%s", e.msg);
    c = RAW("parametrisation", "mup", "base_width", "48", "base_head_dim", "16");
    cr_expect_eq(config_resolve(&c, &e), ST_OK, "%s", e.msg);
    c = RAW("parametrisation", "mup", "base_width", "48", "base_head_dim", "36");
    cr_expect_eq(config_resolve(&c, &e), ST_INPUT);
}

Test(config_base, a_base_that_was_itself_scaled_is_refused)
{
    answer a = from_config(RAW("parametrisation", "mup"), RAW("parametrisation", "mup", "d_model", "64", "base_width", "32"));
    cr_expect_eq(a.s, ST_INPUT);
    cr_expect(strstr(a.e.msg, "width 32"), "%s", a.e.msg);
    a = from_config(RAW("parametrisation", "completep"),
                    RAW("parametrisation", "completep", "d_model", "64", "base_width", "64", "base_depth", "2"));
    cr_expect_eq(a.s, ST_INPUT);
    cr_expect(strstr(a.e.msg, "depth 2"), "%s", a.e.msg);
    a = from_config(RAW("parametrisation", "mup"), RAW("parametrisation", "sp", "d_model", "64"));
    cr_expect_eq(a.s, ST_OK, "%s", a.e.msg);
    a = from_config(RAW("parametrisation", "mup"), RAW("parametrisation", "mup", "d_model", "64", "base_width", "64"));
    cr_expect_eq(a.s, ST_OK, "%s", a.e.msg);
}

Test(config_base, a_rule_without_its_base_is_refused)
{
    static const struct { const char *rule, *key, *part; } bad[] = {
        {"completep", "base_width", "base_depth: 0"},
        {"depth-mup", "base_width", "base_depth: 0"},
        {"mup-table3", "base_depth", "base_width: 0"},
    };
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        trainer_config c = RAW("parametrisation", bad[i].rule, bad[i].key, "64");
        err e = {0};
        cr_expect_eq(config_resolve(&c, &e), ST_INPUT, "%s", bad[i].rule);
        cr_expect(strstr(e.msg, bad[i].part) && strstr(e.msg, bad[i].rule), "%s", e.msg);
    }
    trainer_config c = RAW("parametrisation", "complete-dp", "base_width", "64", "base_depth", "2", "base_tokens", "25600");
    err e = {0};
    cr_expect_eq(config_resolve(&c, &e), ST_INPUT);
    cr_expect(strstr(e.msg, "base_batch_tokens: 0"), "%s", e.msg);
    c.base_batch_tokens = 16; /* 16 times the batch at equal tokens: 1 - beta1 = 1.6 */
    cr_expect_eq(config_resolve(&c, &e), ST_INPUT);
    cr_expect(strstr(e.msg, "beta1"), "%s", e.msg);
    c = RAW("parametrisation", "u-mup");
    cr_expect_eq(config_resolve(&c, &e), ST_OK);
    cr_expect(strstr(c.note, "of order 1"), "%s", c.note);
    c = RAW("parametrisation", "u-mup", "lr", "1");
    cr_expect_eq(config_resolve(&c, &e), ST_OK);
    cr_expect_str_eq(c.note, "");
}
