/* bank_look shows what the model computed: each part of the scene is recomputed from the weights and from the part
 * before it, and the last one gives the loss that bank_eval has. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "trainer/bank.h"
#include "trainer/model.h"

enum { T = 20, SEQS = 2, BATCH = 4, MAX = 32, V = 61, D = 24 };

typedef struct seen {
    bank *b;
    shape s;
    shape_tensor t[MAX];
    mup_tensor h[MAX];
    mup_model mult;
    float *w;
    int32_t tokens[SEQS * (T + 1)];
    model_scene *x;
} seen;

static size_t tensor(const seen *a, const char *name)
{
    for (size_t i = 0; i < MAX; i++)
        if (!strcmp(a->t[i].name, name)) return i;
    cr_assert_fail("no tensor %s", name);
    return 0;
}

static seen look(bool gains)
{
    seen a = {.s = {.vocab = V, .d_model = D, .n_layer = 2, .n_head = 3, .n_kv_head = 1, .head_dim = 8, .d_ff = 40,
                    .seq_len = T, .act = ACT_SWIGLU, .norm_gain = gains, .rope_theta = 10000},
              .mult = {.embed_mult = 1.7, .attn_scale = 0.4, .residual_mult = 0.6, .logit_mult = 0.3}};
    err e = {0};
    const bank_opts o = {.shape = a.s, .n_replicas = 2, .batch = BATCH, .shards = 2, .threads = 2, .backend = "cpu"};
    const size_t n = shape_tensors(&a.s, a.t, MAX);
    for (size_t i = 0; i < n; i++) a.h[i] = (mup_tensor){.init_std = 0.2, .forward_mult = 1.1, .lr = 0.01, .eps = 1e-8};
    cr_assert_eq(bank_new(&a.b, &o, &e), ST_OK, "%s", e.msg);
    for (size_t r = 0; r < 2; r++) {
        const bank_hparams h = {.tensors = a.h, .model = a.mult, .beta1 = 0.9, .beta2 = 0.95, .seed = 5 + r};
        cr_assert_eq(bank_set_replica(a.b, r, &h, &e), ST_OK, "%s", e.msg);
    }
    a.w = calloc(bank_stride(a.b), sizeof *a.w);
    cr_assert_eq(bank_read(a.b, 1, a.w, NULL, NULL, &e), ST_OK);
    for (size_t i = 0; gains && i < D; i++) a.w[a.t[tensor(&a, "final.norm")].offset + i] = 0.5f + (float)i / D;
    cr_assert_eq(bank_write(a.b, 1, a.w, NULL, NULL, &e), ST_OK);
    for (size_t i = 0; i < SEQS * (T + 1); i++) a.tokens[i] = (int32_t)rng_below(V, 3, RNG_TEST, 0, i);
    cr_assert_eq(bank_look(a.b, 1, a.tokens, SEQS, &a.x, &e), ST_OK, "%s", e.msg);
    return a;
}

static void done(seen *a)
{
    model_scene_free(a->x);
    bank_free(a->b);
    free(a->w);
}

static double rms(const float *x)
{
    double sum = 0;
    for (size_t k = 0; k < D; k++) sum += (double)x[k] * x[k];
    return sqrt(sum / D + 1e-6);
}

static double worst(double worst, double got, double want) { return fmax(worst, fabs(got - want)); }

static void agrees(bool gains)
{
    seen a = look(gains);
    const float *E = a.w + a.t[tensor(&a, "embed")].offset, *Wv = a.w + a.t[tensor(&a, "blocks.1.attn.v")].offset,
                *U = a.w + a.t[tensor(&a, "head")].offset,
                *g = gains ? a.w + a.t[tensor(&a, "final.norm")].offset : NULL;
    const size_t rows = a.x->rows, each = rows * D;
    double embed = 0, v = 0, normed = 0, loss[SEQS] = {0}, eval[2 * SEQS], other = 0;
    err e = {0};
    cr_assert_eq(rows, SEQS * T);
    for (size_t i = 0; i < rows; i++) {
        const int32_t *ids = a.tokens + i / T * (T + 1) + i % T;
        const float *before = a.x->stream + 2 * each + i * D, *end = a.x->stream + 4 * each + i * D;
        for (size_t k = 0; k < D; k++) {
            embed = worst(embed, a.x->stream[i * D + k], 1.7 * E[ids[0] * D + (int)k]);
            other = worst(other, a.x->stream[i * D + k], 1.7 * E[ids[1] * D + (int)k]);
            normed = worst(normed, a.x->normed[i * D + k], end[k] / rms(end) * (g ? g[k] : 1));
        }
        for (size_t k = 0; k < a.x->kv; k++) { /* v has no rotation */
            double want = 0;
            for (size_t j = 0; j < D; j++) want += 1.1 * Wv[k * D + j] * before[j] / rms(before);
            v = worst(v, a.x->heads[(rows + i) * a.x->qkv + a.x->q + a.x->kv + k], want);
        }
        double sum = 0, target = 0;
        for (int c = 0; c < V; c++) {
            double logit = 0;
            for (size_t k = 0; k < D; k++) logit += 0.3 * U[c * D + (int)k] * a.x->normed[i * D + k];
            sum += exp(logit);
            if (c == ids[1]) target = logit;
        }
        loss[i / T] += (log(sum) - target) / T;
    }
    cr_expect_lt(embed, 1e-5);
    cr_expect_gt(other, 0.1); /* the neighbour's row is another */
    cr_expect_lt(v, 1e-4);
    cr_expect_lt(normed, 1e-4);
    cr_assert_eq(bank_eval(a.b, eval, a.tokens, SEQS, (bool[]){true, true}, &e), ST_OK);
    for (size_t i = 0; i < SEQS; i++) {
        cr_expect_float_eq(loss[i], eval[SEQS + i], 1e-5);
        cr_expect(fabs(loss[i] - eval[i]) > 1e-3, "the other replica has the same loss");
    }
    done(&a);
}

Test(look, agrees_with_the_weights) { agrees(false); }
Test(look, agrees_with_gains) { agrees(true); }

Test(look, refuses)
{
    seen a = look(false);
    err e = {0};
    cr_expect_eq(bank_look(a.b, 2, a.tokens, SEQS, &a.x, &e), ST_DOMAIN);
    cr_expect_eq(bank_look(a.b, 0, a.tokens, 0, &a.x, &e), ST_INPUT);
    cr_expect_eq(bank_look(a.b, 0, a.tokens, bank_look_most(a.b) + 1, &a.x, &e), ST_INPUT);
    cr_expect_eq(bank_look(a.b, 0, a.tokens, 1, &a.x, &e), ST_DOMAIN); /* the scene has room for two */
    a.tokens[3] = V;
    cr_expect_eq(bank_look(a.b, 0, a.tokens, SEQS, &a.x, &e), ST_INPUT);
    done(&a);
}
