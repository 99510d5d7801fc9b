/* One rule in two forms trains one trajectory (doc/mup.md, "One rule, two forms"): bit for bit where theta is a power of
 * two, and not when epsilon, decay or the norm of clipping stays behind. And at its base a rule is the base. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "trainer/config.h"

enum { BATCH = 4, T = 16, STEPS = 8, MAX = 64, V = 61 };

static trainer_config config_of(const char *const *pairs)
{
    static const char *const lines[][2] = {
        {"vocab", "61"}, {"d_model", "64"}, {"n_layer", "2"}, {"head_dim", "16"}, {"seq_len", "16"}, {"base_width", "16"},
        {"base_depth", "1"}, {"batch_tokens", "64"}, {"tokens", "640"}, {"val_tokens", "64"}, {"base_batch_tokens", "64"},
        {"base_tokens", "640"}, {"lr", "0.01"}, {"eps", "1e-3"}, {"weight_decay", "0.1"}, {"weight_decay_mode", "coupled"},
        {"clip_norm", "0.01"}, {"norm_gain", "true"}, {"n_kv_head", "2"}, {"qk_norm", "true"}, {"d_ff", "384"},
        {"base_d_ff", "96"},
    };
    trainer_config c;
    err e = {0};
    config_default(&c);
    for (size_t i = 0; i < sizeof lines / sizeof *lines; i++)
        cr_assert_eq(config_set(&c, lines[i][0], lines[i][1], "test", &e), ST_OK, "%s", e.msg);
    for (; pairs && *pairs; pairs += 2) cr_assert_eq(config_set(&c, pairs[0], pairs[1], "test", &e), ST_OK, "%s", e.msg);
    cr_assert_eq(config_resolve(&c, &e), ST_OK, "%s", e.msg);
    return c;
}
#define CONFIG(...) config_of((const char *const[]){__VA_ARGS__, NULL})

typedef struct hparams { mup_tensor t[MAX]; shape_tensor s[MAX]; mup_model model; double beta[2]; size_t n; } hparams;

static hparams of(const trainer_config *c)
{
    hparams h = {.n = shape_tensors(&c->shape, NULL, 0)};
    err e = {0};
    cr_assert(h.n <= MAX);
    shape_tensors(&c->shape, h.s, MAX);
    cr_assert_eq(config_hparams(c, h.t, &h.model, &e), ST_OK, "%s", e.msg);
    cr_assert_eq(config_betas(c, &h.beta[0], &h.beta[1], &e), ST_OK, "%s", e.msg);
    return h;
}

typedef struct path { double loss[STEPS], norm[STEPS]; float *w; size_t stride; } path;

static path train(const trainer_config *c, const hparams *h)
{
    bank *b = NULL;
    err e = {0};
    const bank_opts o = {.shape = c->shape, .n_replicas = 1, .batch = BATCH, .shards = 2, .threads = 1, .backend = "cpu"};
    cr_assert_eq(bank_new(&b, &o, &e), ST_OK, "%s", e.msg);
    const bank_hparams bh = {.tensors = h->t, .model = h->model, .beta1 = h->beta[0], .beta2 = h->beta[1],
                             .clip_norm = c->clip_norm, .decay = c->decay, .seed = 3};
    cr_assert_eq(bank_set_replica(b, 0, &bh, &e), ST_OK, "%s", e.msg);
    path p = {.stride = bank_stride(b)};
    for (uint64_t i = 1; i <= STEPS; i++) {
        int32_t tokens[BATCH * (T + 1)];
        const int32_t *ptr = tokens;
        const double s = 1.0 / (double)i;
        const bool active = true;
        bank_step_out out;
        for (size_t k = 0; k < sizeof tokens / sizeof *tokens; k++)
            tokens[k] = (int32_t)rng_below(V, 9, RNG_TEST, (uint32_t)i, k / 3);
        cr_assert_eq(bank_step(b, &out, &ptr, &s, &i, &active, &e), ST_OK, "%s", e.msg);
        p.loss[i - 1] = out.loss;
        p.norm[i - 1] = out.grad_norm;
    }
    p.w = calloc(3 * p.stride, sizeof *p.w);
    cr_assert_eq(bank_read(b, 0, p.w, p.w + p.stride, p.w + 2 * p.stride, &e), ST_OK);
    bank_free(b);
    return p;
}

/* Largest difference of losses and norms; of weights too, the readout's taken times theta. */
static double distance(const path *a, const path *b, const hparams *h)
{
    double far = 0;
    for (int i = 0; i < STEPS; i++) far = fmax(far, fmax(fabs(a->loss[i] - b->loss[i]), fabs(a->norm[i] - b->norm[i])));
    for (size_t t = 0; t < h->n; t++)
        for (size_t k = 0; k < h->s[t].n; k++) {
            const size_t at = h->s[t].offset + k;
            const float back = (float)mup_theta(&h->t[t]) * b->w[at];
            far = fmax(far, fabs((double)a->w[at] - (double)back));
        }
    return far;
}

static double apart(const trainer_config *a, const trainer_config *b, const hparams *changed)
{
    const hparams x = of(a), y = of(b);
    path p = train(a, &x), q = train(b, changed ? changed : &y);
    const double far = distance(&p, &q, &y); /* by the true theta, whatever was changed */
    free(p.w);
    free(q.w);
    return far;
}

Test(forms, table3_trains_table8s_trajectory_bit_for_bit)
{
    const trainer_config t8 = CONFIG("parametrisation", "mup"), t3 = CONFIG("parametrisation", "mup-table3");
    const hparams h8 = of(&t8), h3 = of(&t3);
    const size_t head = h3.n - 1;
    cr_assert_eq(h3.s[head].role, MUP_READOUT);
    cr_assert_eq(mup_theta(&h3.t[head]), 4);
    path p = train(&t8, &h8);
    for (int i = 0; i < STEPS; i++) cr_expect_gt(p.norm[i], t8.clip_norm, "clipping must act for this test to be one");
    free(p.w);
    const double far = apart(&t8, &t3, NULL);
    cr_expect_eq(far, 0, "two forms, %g apart", far);

    hparams left = h3; /* each of the five, left behind */
    left.t[head].eps = h8.t[head].eps;
    cr_expect_gt(apart(&t8, &t3, &left), 1e-6, "epsilon left");
    left = h3;
    left.t[head].weight_decay = h8.t[head].weight_decay;
    cr_expect_gt(apart(&t8, &t3, &left), 1e-6, "decay left");
    left = h3;
    left.t[head].theta = 1; /* the norm over g */
    cr_expect_gt(apart(&t8, &t3, &left), 1e-6, "norm of clipping left");
    left = h3;
    left.t[head].lr = h8.t[head].lr;
    cr_expect_gt(apart(&t8, &t3, &left), 1e-6, "lr left: scaled by 1/m once only");
    left = h3;
    left.model.logit_mult = h8.model.logit_mult;
    cr_expect_gt(apart(&t8, &t3, &left), 1e-6, "readout scaled twice");
}

Test(forms, without_clipping_the_norms_weight_changes_nothing)
{
    const trainer_config t8 = CONFIG("parametrisation", "mup", "clip_norm", "0"),
                         t3 = CONFIG("parametrisation", "mup-table3", "clip_norm", "0");
    hparams h = of(&t3);
    cr_expect_eq(apart(&t8, &t3, NULL), 0);
    h.t[h.n - 1].theta = 1;
    const hparams y = of(&t8);
    path p = train(&t8, &y), q = train(&t3, &h);
    for (int i = 0; i < STEPS; i++) {
        cr_expect_eq(p.loss[i], q.loss[i], "step %d", i + 1);
        cr_expect_neq(p.norm[i], q.norm[i], "the norm itself is another");
    }
    free(p.w);
    free(q.w);
}

Test(forms, independent_decay_is_the_same_in_both_forms)
{
    const trainer_config t8 = CONFIG("parametrisation", "mup", "weight_decay_mode", "independent", "weight_decay", "0.01"),
                         t3 = CONFIG("parametrisation", "mup-table3", "weight_decay_mode", "independent", "weight_decay",
                                     "0.01");
    cr_expect_eq(apart(&t8, &t3, NULL), 0);
}

Test(forms, a_theta_that_is_no_power_of_two_only_rounds)
{
    const trainer_config t8 = CONFIG("parametrisation", "mup", "d_model", "48", "d_ff", "288", "n_kv_head", "3"),
                         t3 = CONFIG("parametrisation", "mup-table3", "d_model", "48", "d_ff", "288", "n_kv_head",
                                     "3");
    const double far = apart(&t8, &t3, NULL);
    cr_expect(far > 0 && far < 5e-6, "%g apart", far);
}

Test(forms, complete_dp_trains_completeps_trajectory_at_equal_batch_and_tokens)
{
    const trainer_config cp = CONFIG("parametrisation", "completep"), dp = CONFIG("parametrisation", "complete-dp"),
                         other = CONFIG("parametrisation", "complete-dp", "base_tokens", "320");
    const double far = apart(&cp, &dp, NULL);
    cr_expect_eq(far, 0, "%g apart", far);
    cr_expect_gt(apart(&cp, &other, NULL), 1e-4, "twice the tokens is another learning rate");
    const trainer_config half = CONFIG("parametrisation", "complete-dp", "depth_alpha", "0.5");
    cr_expect_gt(apart(&cp, &half, NULL), 1e-4);
}

/* The config's whole way at ratio 1, for a shape that has everything: bits of hyperparameters, and of a trajectory. */
Test(forms, at_its_base_every_rule_trains_sp)
{
    for (size_t k = 0; k < mup_rule_count(); k++) {
        const char *name = mup_rule_name(mup_rule_at(k));
        for (int tied = 0; tied < 2; tied++) {
            const char *const flag = tied ? "true" : "false";
            if (!mup_rule_needs_base(mup_rule_at(k))) continue;
            trainer_config a = CONFIG("base_width", "64", "base_depth", "2", "base_d_ff", "384"), b = a;
            strcpy(a.parametrisation, name);
            strcpy(b.parametrisation, "sp");
            a.shape.tied_head = b.shape.tied_head = tied;
            err e = {0};
            const status s = config_resolve(&a, &e);
            if (tied && (!strcmp(name, "mup-table3") || !strcmp(name, "complete-dp"))) {
                cr_expect_eq(s, ST_INPUT, "%s, tied %s", name, flag);
                continue;
            }
            cr_assert_eq(s, ST_OK, "%s: %s", name, e.msg);
            const hparams x = of(&a), y = of(&b);
            cr_expect_eq(memcmp(x.t, y.t, x.n * sizeof *x.t), 0, "%s, tied %s", name, flag);
            cr_expect_eq(memcmp(&x.model, &y.model, sizeof x.model), 0, "%s, tied %s", name, flag);
            cr_expect_eq(memcmp(x.beta, y.beta, sizeof x.beta), 0, "%s", name);
            cr_expect_eq(apart(&a, &b, NULL), 0, "%s, tied %s", name, flag);
            trainer_config wide = CONFIG("parametrisation", name);
            cr_expect_gt(apart(&wide, &b, NULL), 0, "%s at m = 4 must be another run", name);
        }
    }
}
