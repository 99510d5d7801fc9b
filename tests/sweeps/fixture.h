/* Scratch folder, token file and specs for the tests of sweeps/. */
#ifndef TESTS_SWEEPS_FIXTURE_H
#define TESTS_SWEEPS_FIXTURE_H
#include <criterion/criterion.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/io.h"
#include "base/rng.h"
#include "sweeps/plan.h"

typedef struct fixture {
    char dir[IO_PATH_MAX / 2], data[IO_PATH_MAX];
} fixture;

/* A folder below the build tree's own and a file of `n` one-byte ids below `vocab`. */
static inline void fixture_make(fixture *f, size_t n, unsigned vocab)
{
    err e = {0};
    const char *tmp = getenv("TMPDIR");
    unsigned char *ids = malloc(n ? n : 1);
    snprintf(f->dir, sizeof f->dir, "%s/muscale.XXXXXX", tmp && *tmp ? tmp : "/tmp");
    cr_assert(ids && mkdtemp(f->dir));
    for (size_t i = 0; i < n; i++) ids[i] = (unsigned char)rng_below(vocab, 5, RNG_TEST, 9, i);
    cr_assert_eq(io_join(f->data, f->dir, "tokens.u8", &e), ST_OK);
    cr_assert_eq(io_publish(f->data, ids, n, &e), ST_OK, "%s", e.msg);
    free(ids);
}

static inline void fixture_remove(fixture *f)
{
    char line[IO_PATH_MAX];
    snprintf(line, sizeof line, "rm -rf '%s'", f->dir);
    if (strstr(f->dir, "muscale.")) cr_expect_eq(system(line), 0);
}

/* "@" in the text stands for the token file. */
static inline status fixture_spec(sweep_spec *s, const fixture *f, const char *text, err *e)
{
    char full[8192];
    size_t n = 0;
    for (; *text && n + sizeof f->data < sizeof full; text++) {
        if (*text == '@') n += (size_t)snprintf(full + n, sizeof full - n, "%s", f->data);
        else full[n++] = *text;
    }
    full[n] = 0;
    return sweep_spec_parse(s, full, n, "spec.yaml", e);
}

/* Small models on the fixture's tokens: what every spec below starts with. */
#define FIXTURE_BASE                                                                                                   \
    "base: {data: '@', data_dtype: u8, vocab: 16, d_model: 16, n_layer: 1, head_dim: 8, seq_len: 16, "                 \
    "batch_tokens: 64, tokens: 1280, val_tokens: 128, parametrisation: mup, base_width: 16, log_every: 1}\n"
#endif
