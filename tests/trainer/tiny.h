/* Shared by the tests of the loop and of checkpoints: a scratch directory, a synthetic source, a model of 4 k parameters. */
#ifndef TESTS_TRAINER_TINY_H
#define TESTS_TRAINER_TINY_H
#include <criterion/criterion.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "trainer/config.h"

typedef struct tiny { char dir[64], data[96]; data_info info; } tiny;

static inline tiny tiny_make(int64_t vocab, int64_t order, int64_t tokens)
{
    tiny t = {.dir = "/tmp/muscale-test-XXXXXX"};
    err e = {0};
    cr_assert_not_null(mkdtemp(t.dir));
    snprintf(t.data, sizeof t.data, "%s/data", t.dir);
    data_gen_opts g = {.out_dir = t.data, .vocab = vocab, .order = order, .tokens = tokens, .seed = 1, .val_fraction = 0.2};
    cr_assert_eq(data_gen(&g, &t.info, &e), ST_OK, "%s", e.msg);
    return t;
}

static inline void tiny_remove(const tiny *t)
{
    char command[128];
    snprintf(command, sizeof command, "rm -rf '%s'", t->dir);
    cr_assert_eq(system(command), 0);
}

/* Pairs key, value, ..., NULL on top of the tiny model; resolved. */
static inline trainer_config tiny_config(const tiny *t, const char *const *pairs)
{
    static const char *const lines[][2] = {
        {"d_model", "16"}, {"n_layer", "2"}, {"head_dim", "8"}, {"seq_len", "16"}, {"base_width", "16"},
        {"batch_tokens", "64"}, {"tokens", "1280"}, {"warmup_tokens", "256"}, {"val_tokens", "256"}, {"lr", "0.01"},
        {"log_every", "1"}, {"ckpt_every", "1000000"}, {"threads", "1"},
    };
    trainer_config c;
    err e = {0};
    config_default(&c);
    snprintf(c.data, sizeof c.data, "%s", t->data);
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
        cr_assert_eq(config_set(&c, lines[i][0], lines[i][1], "test", &e), ST_OK, "%s", e.msg);
    for (; pairs && *pairs; pairs += 2) cr_assert_eq(config_set(&c, pairs[0], pairs[1], "test", &e), ST_OK, "%s", e.msg);
    cr_assert_eq(config_resolve(&c, &e), ST_OK, "%s", e.msg);
    return c;
}
#define TINY(t, ...) tiny_config(t, (const char *const[]){__VA_ARGS__ __VA_OPT__(, ) NULL})

static inline char *tiny_path(char *out, const char *dir, const char *name)
{
    cr_assert_eq(io_join(out, dir, name, NULL), ST_OK);
    return out;
}

static inline bool tiny_same_file(const char *a, const char *b)
{
    char *x = NULL, *y = NULL;
    size_t n = 0, m = 0;
    bool same = !io_read_file(&x, &n, a, 1u << 30, NULL) && !io_read_file(&y, &m, b, 1u << 30, NULL) && n == m &&
                !memcmp(x, y, n);
    free(x);
    free(y);
    return same;
}

static inline void tiny_put(const char *path, const void *bytes, size_t n)
{
    cr_assert_eq(io_publish(path, bytes, n, NULL), ST_OK);
}
#endif
