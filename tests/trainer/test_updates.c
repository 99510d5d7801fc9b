/* What a step does to each tensor, against the checkpoints on both sides of it. */
#include <math.h>

#include "tests/trainer/tiny.h"
#include "trainer/checkpoint.h"
#include "trainer/train_updates.h"

enum { MAX_TENSORS = 32, MAX_RECORDS = 64 };

typedef struct record { int64_t step, tokens; size_t n; train_update of[MAX_TENSORS]; } record;

/* An observer that keeps the records and, at each checkpoint, the weights before and after that step. */
typedef struct memory {
    const trainer_config *c;
    const char *dir;
    bank *scratch;
    record records[MAX_RECORDS];
    size_t n, n_compared;
    void (*compare)(const record *, const trainer_config *, const float *, const float *, const float *);
    float *before, *after, *v;
    volatile sig_atomic_t *stop;
    int64_t stop_at;
} memory;

static status on_updates(void *self, const train_updates *u, err *e)
{
    memory *m = self;
    (void)e;
    cr_assert(m->n < MAX_RECORDS && u->n <= MAX_TENSORS);
    record *r = &m->records[m->n++];
    *r = (record){.step = u->step, .tokens = u->tokens, .n = u->n};
    memcpy(r->of, u->of, u->n * sizeof *u->of);
    return ST_OK;
}

static status on_row(void *self, const train_row *row, err *e)
{
    memory *m = self;
    (void)e;
    if (m->stop && row->step == m->stop_at) *m->stop = 1;
    return ST_OK;
}

static void load(memory *m, int64_t step, float *w, float *v)
{
    char file[IO_PATH_MAX];
    ckpt_state st;
    err e = {0};
    snprintf(file, sizeof file, "%s/ckpt.%lld", m->dir, (long long)step);
    cr_assert_eq(ckpt_read(&st, m->scratch, 0, file, m->c, &e), ST_OK, "%s", e.msg);
    cr_assert_eq(bank_read(m->scratch, 0, w, NULL, v, &e), ST_OK);
}

static status on_ckpt(void *self, int64_t step, const char *file, err *e)
{
    memory *m = self;
    (void)file, (void)e;
    if (!m->compare || step < 2 || !m->n || m->records[m->n - 1].step != step) return ST_OK;
    load(m, step - 1, m->before, NULL);
    load(m, step, m->after, m->v);
    m->compare(&m->records[m->n - 1], m->c, m->before, m->after, m->v);
    m->n_compared++;
    return ST_OK;
}

static train_job job(const tiny *t, const trainer_config *c, const char *name, memory *m)
{
    train_job j = {.config = *c, .observer = {.self = m, .row = on_row, .ckpt = on_ckpt, .updates = on_updates}};
    snprintf(j.ckpt_dir, sizeof j.ckpt_dir, "%s/%s", t->dir, name);
    mkdir(j.ckpt_dir, 0777);
    return j;
}

static void run(train_job *jobs, size_t n, train_opts o)
{
    err e = {0};
    o.threads = 1;
    cr_assert_eq(train_bank(jobs, n, &o, &e), ST_OK, "%s", e.msg);
}

/* --- the numbers ------------------------------------------------------------------------------------------------- */

/* The definitions once more, in another order, and with one thing wrong on request. */
typedef enum wrong { RIGHT, NO_BIAS_CORRECTION, OTHER_EPS, OVER_THE_NEW_WEIGHTS, ZEROS_TOO } wrong;

static train_update expected(const trainer_config *c, const shape_tensor *t, double eps, double beta2, int64_t step,
                             const float *w0, const float *w1, const float *v, wrong how)
{
    long double old = 0, new = 0, both = 0, second = 0;
    size_t seen = 0, felt = 0;
    (void)c;
    if (how == OTHER_EPS) eps *= 2;
    for (size_t k = t->n; k-- > 0;) {
        const size_t i = t->offset + k;
        old += (long double)w0[i] * w0[i];
        new += (long double)w1[i] * w1[i];
        both += (long double)w0[i] * w1[i];
        const double hat = how == NO_BIAS_CORRECTION ? (double)v[i] : (double)v[i] / (1 - pow(beta2, (double)step));
        if (v[i] == 0 && how != ZEROS_TOO) continue;
        seen++;
        second += hat;
        felt += sqrt(hat) < 100 * eps;
    }
    /* |w1 - w0|^2 = new - 2 both + old; <w1 - w0, w0> = both - old */
    const long double change = sqrtl(new - 2 * both + old);
    return (train_update){.ratio = (double)(change / sqrtl(how == OVER_THE_NEW_WEIGHTS ? new : old)),
                          .alignment = (double)((both - old) / (change * sqrtl(old))),
                          .v_over_eps = sqrt((double)(second / seen)) / eps,
                          .eps_felt = (double)felt / (double)seen};
}

static double off(double a, double b) { return fabs(a - b) / (fabs(b) + 1e-300); }

/* Largest relative error of a record against a way of computing it. */
static double distance(const record *r, const trainer_config *c, const float *w0, const float *w1, const float *v, wrong how)
{
    shape_tensor shapes[MAX_TENSORS];
    mup_tensor t[MAX_TENSORS];
    mup_model model;
    double beta1, beta2, worst = 0;
    err e = {0};
    const size_t n = shape_tensors(&c->shape, shapes, MAX_TENSORS);
    cr_assert_eq(r->n, n);
    cr_assert_eq(config_hparams(c, t, &model, &e), ST_OK, "%s", e.msg);
    cr_assert_eq(config_betas(c, &beta1, &beta2, &e), ST_OK);
    for (size_t i = 0; i < n; i++) {
        const double theta = t[i].theta > 0 ? t[i].theta : 1;
        const train_update x = expected(c, &shapes[i], t[i].eps / theta, beta2, r->step, w0, w1, v, how), *y = &r->of[i];
        worst = fmax(worst, fmax(off(y->ratio, x.ratio), off(y->v_over_eps, x.v_over_eps)));
        worst = fmax(worst, fmax(fabs(y->alignment - x.alignment), fabs(y->eps_felt - x.eps_felt)));
    }
    return worst;
}

static void compare(const record *r, const trainer_config *c, const float *w0, const float *w1, const float *v)
{
    const double right = distance(r, c, w0, w1, v, RIGHT);
    cr_expect(right < 1e-6, "step %d: off by %g", (int)r->step, right);
    for (int how = NO_BIAS_CORRECTION; how <= ZEROS_TOO; how++) {
        const double twin = distance(r, c, w0, w1, v, (wrong)how);
        cr_expect(twin > 1e-4, "step %d: what is wrong in way %d shows as %g only", (int)r->step, how, twin);
    }
}

/* Table 3's form: the readout's eps is of g/theta. Some tokens never come, so rows of the embedding have no gradient;
 * eps is large enough to be felt by some elements. */
Test(updates, numbers_are_those_of_the_checkpoints_around_the_step)
{
    tiny t = tiny_make(8, 1, 8000);
    trainer_config c = TINY(&t, "vocab", "12", "ckpt_every", "1", "log_updates_every", "3", "parametrisation", "mup-table3",
                            "base_width", "8", "eps", "1e-5", "weight_decay", "0.01");
    memory m = {.c = &c, .compare = compare};
    train_job j = job(&t, &c, "run", &m);
    m.dir = j.ckpt_dir;
    bank_opts o = train_bank_opts(&c, 1, 1);
    err e = {0};
    cr_assert_eq(bank_new(&m.scratch, &o, &e), ST_OK, "%s", e.msg);
    m.before = calloc(3 * bank_stride(m.scratch), sizeof(float));
    m.after = m.before + bank_stride(m.scratch);
    m.v = m.after + bank_stride(m.scratch);
    run(&j, 1, (train_opts){0});
    static const int64_t steps[] = {1, 3, 6, 9, 12, 15, 18, 20}; /* the first, every third, the last */
    cr_assert_eq(m.n, sizeof steps / sizeof *steps);
    for (size_t i = 0; i < m.n; i++) {
        cr_expect_eq(m.records[i].step, steps[i]);
        cr_expect_eq(m.records[i].tokens, 64 * steps[i]);
    }
    cr_expect_eq(m.n_compared, m.n - 1, "step 1 has no checkpoint before it");
    free(m.before);
    bank_free(m.scratch);
    tiny_remove(&t);
}

Test(updates, what_has_no_number_is_nan)
{
    const float w[] = {0, 0, 3}, more[] = {0, 0, 4}, v[] = {0, 0, 0.25f};
    train_update u;
    update_measure(&u, w, more, v, 2, 1, 1e-8);
    cr_expect(isnan(u.ratio) && isnan(u.alignment) && isnan(u.v_over_eps) && isnan(u.eps_felt));
    update_measure(&u, w, w, v, 3, 1, 1e-8);
    cr_expect(u.ratio == 0 && isnan(u.alignment), "a weight that stays has no direction of change");
    update_measure(&u, w, more, v, 3, 0.25, 0.02);
    cr_expect_float_eq(u.ratio, 1.0 / 3, 1e-15);
    cr_expect_float_eq(u.alignment, 1, 1e-15);
    cr_expect_float_eq(u.v_over_eps, 50, 1e-12, "sqrt(0.25 / 0.25) / 0.02");
    cr_expect_float_eq(u.eps_felt, 1, 0);
}

/* --- that nothing else depends on them ----------------------------------------------------------------------------- */

static bool same_records(const memory *a, const memory *b, int64_t from)
{
    size_t i = 0, k = 0;
    while (i < a->n && a->records[i].step <= from) i++;
    for (; i < a->n; i++, k++)
        if (k >= b->n || a->records[i].step != b->records[k].step ||
            memcmp(a->records[i].of, b->records[k].of, a->records[i].n * sizeof(train_update)))
            return false;
    return k == b->n;
}

static void expect_same_end(const tiny *t, const char *a, const char *b, bool same)
{
    char x[IO_PATH_MAX], y[IO_PATH_MAX];
    snprintf(x, sizeof x, "%s/%s/ckpt.20", t->dir, a);
    snprintf(y, sizeof y, "%s/%s/ckpt.20", t->dir, b);
    cr_expect(tiny_same_file(x, y) == same, "%s, %s", a, b);
}

Test(updates, weights_are_the_same_without_and_records_the_same_after_a_resume)
{
    tiny t = tiny_make(8, 1, 8000);
    trainer_config with = TINY(&t, "log_updates_every", "3"), without = TINY(&t), other = TINY(&t, "log_updates_every", "3", "lr", "0.011");
    memory *m = calloc(4, sizeof *m);
    volatile sig_atomic_t stop = 0;
    train_job whole = job(&t, &with, "whole", &m[0]), plain = job(&t, &without, "plain", &m[1]),
              part = job(&t, &with, "part", &m[2]), third = job(&t, &other, "other", &m[3]);
    run(&whole, 1, (train_opts){0});
    run(&plain, 1, (train_opts){0});
    run(&third, 1, (train_opts){0});
    cr_expect_eq(m[0].n, 8);
    cr_expect_eq(m[1].n, 0);
    expect_same_end(&t, "whole", "plain", true);
    cr_expect(!same_records(&m[0], &m[3], 0), "another lr, other updates");
    m[2].stop = &stop;
    m[2].stop_at = 5; /* step 6, the first after the checkpoint, is a step that is logged */
    run(&part, 1, (train_opts){.stop = &stop});
    cr_expect_eq(part.result.status, RUN_STOPPED);
    stop = 0;
    m[2].stop = NULL;
    m[2].n = 0;
    run(&part, 1, (train_opts){.resume = true});
    cr_expect(same_records(&m[0], &m[2], 5));
    free(m);
    tiny_remove(&t);
}

/* In a bank each replica logs at its own steps, and has the numbers that it has alone. */
Test(updates, a_bank_logs_per_replica)
{
    tiny t = tiny_make(8, 1, 8000);
    trainer_config a = TINY(&t, "log_updates_every", "3"), b = TINY(&t, "lr", "0.02"),
                   c = TINY(&t, "log_updates_every", "7", "tokens", "640", "seed", "5");
    memory *m = calloc(5, sizeof *m);
    train_job alone[2] = {job(&t, &a, "a", &m[0]), job(&t, &c, "c", &m[1])};
    train_job group[3] = {job(&t, &a, "x", &m[2]), job(&t, &b, "y", &m[3]), job(&t, &c, "z", &m[4])};
    run(&alone[0], 1, (train_opts){0});
    run(&alone[1], 1, (train_opts){0});
    run(group, 3, (train_opts){0});
    cr_expect(same_records(&m[0], &m[2], 0));
    cr_expect_eq(m[3].n, 0);
    cr_expect_eq(m[4].n, 3, "steps 1, 7 and 10");
    cr_expect(same_records(&m[1], &m[4], 0));
    cr_expect(!same_records(&m[0], &m[4], 0));
    free(m);
    tiny_remove(&t);
}
