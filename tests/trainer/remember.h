/* Shared by the tests of the loop: an observer that remembers, runs of it, and comparisons. */
#ifndef TESTS_TRAINER_REMEMBER_H
#define TESTS_TRAINER_REMEMBER_H
#include "tests/trainer/tiny.h"
#include "trainer/train.h"

typedef struct event { char kind; int64_t step; double a, b, c; } event;
typedef struct memory {
    event *events;
    size_t n;
    int64_t from_step, stop_at, fail_at;
    volatile sig_atomic_t *stop;
    train_end end;
} memory;

static inline status keep(memory *m, event v)
{
    m->events = realloc(m->events, (m->n + 1) * sizeof v);
    m->events[m->n++] = v;
    return ST_OK;
}

static inline status on_start(void *self, const train_start *s, err *e)
{
    memory *m = self;
    (void)e;
    m->from_step = s->from_step;
    cr_expect_gt(s->bytes_needed, 0);
    cr_expect_gt(s->counts.n_params_total, 0);
    cr_expect_eq(strlen(s->id), 16);
    cr_expect_not_null(s->device);
    return keep(m, (event){'s', s->from_step, 0, 0, 0});
}

static inline status on_row(void *self, const train_row *r, err *e)
{
    memory *m = self;
    if (m->stop && r->step == m->stop_at) *m->stop = 1;
    if (m->fail_at && r->step == m->fail_at) return err_set(e, ST_IO, "no space");
    return keep(m, (event){'t', r->step, r->loss, r->lr, r->grad_norm});
}

static inline status on_val(void *self, const train_val *v, err *e)
{
    (void)e;
    return keep(self, (event){'v', v->step, v->loss, v->loss_se, (double)v->n_seq});
}

static inline status on_sync(void *self, err *e) { return (void)e, keep(self, (event){'y', 0, 0, 0, 0}); }
static inline status on_ckpt(void *self, int64_t step, const char *file, err *e)
{
    (void)e;
    cr_expect(io_exists(file), "%s", file);
    return keep(self, (event){'c', step, 0, 0, 0});
}

static inline status on_end(void *self, const train_end *end, err *e)
{
    memory *m = self;
    (void)e;
    m->end = *end;
    return keep(m, (event){'e', end->step, end->final_val_loss, end->best_val_loss, end->final_train_loss_ema});
}

static inline status on_updates(void *self, const train_updates *u, err *e)
{
    event v = {'u', u->step, 0, 0, 0};
    (void)e;
    for (size_t i = 0; i < u->n; i++) {
        const double weight = (double)i + 1; /* of its place, too */
        v.a += weight * u->of[i].ratio;
        v.b += weight * u->of[i].alignment;
        v.c += weight * u->of[i].v_over_eps;
    }
    return keep(self, v);
}

static inline train_observer observer(memory *m)
{
    return (train_observer){.self = m, .start = on_start, .row = on_row, .val = on_val, .sync = on_sync,
                            .ckpt = on_ckpt, .end = on_end, .updates = on_updates};
}

static inline bool same_bits(double a, double b) { return !memcmp(&a, &b, sizeof a); }

/* Every record of `whole` after step `from`, but for where checkpoints fell, is in `part` with the same bits. */
static inline void expect_continues(const memory *whole, const memory *part, int64_t from, const char *what)
{
    size_t k = 0;
    for (size_t i = 0; i < whole->n; i++) {
        const event *w = &whole->events[i];
        if (!strchr("tve", w->kind) || w->step <= from) continue;
        while (k < part->n && !strchr("tve", part->events[k].kind)) k++;
        cr_assert(k < part->n, "%s: record %c of step %d is missing", what, w->kind, (int)w->step);
        const event *p = &part->events[k++];
        cr_assert(p->kind == w->kind && p->step == w->step, "%s: %c %d for %c %d", what, p->kind, (int)p->step, w->kind,
                  (int)w->step);
        cr_expect(same_bits(p->a, w->a) && same_bits(p->b, w->b) && same_bits(p->c, w->c), "%s: %c of step %d differs", what,
                  p->kind, (int)w->step);
    }
}

static inline train_job job(const tiny *t, const trainer_config *c, const char *name, memory *m)
{
    train_job j = {.config = *c, .observer = observer(m)};
    *m = (memory){0};
    snprintf(j.ckpt_dir, sizeof j.ckpt_dir, "%s/%s", t->dir, name);
    mkdir(j.ckpt_dir, 0777);
    return j;
}

static inline void run_jobs(train_job *jobs, size_t n, train_opts o)
{
    err e = {0};
    if (!o.threads) o.threads = 1;
    cr_assert_eq(train_bank(jobs, n, &o, &e), ST_OK, "%s", e.msg);
}

static inline void expect_same_final(const tiny *t, const char *a, const char *b, int64_t step)
{
    char x[IO_PATH_MAX], y[IO_PATH_MAX];
    snprintf(x, sizeof x, "%s/%s/ckpt.%d", t->dir, a, (int)step);
    snprintf(y, sizeof y, "%s/%s/ckpt.%d", t->dir, b, (int)step);
    cr_expect(io_exists(x), "%s", x);
    cr_expect(tiny_same_file(x, y), "%s and %s differ", x, y);
}
#endif
