/* How fast this machine trains these shapes: a few real optimiser steps on random tokens, about a second in all. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "sweeps/plan.h"
#include "trainer/train.h"

enum { CALIBRATE_SHAPES = 4, MAX_STEPS = 64 };
static const double budget_s = 1.0;         /* for all shapes together; a step that takes longer is run once */
static const double small_step_flops = 2e9; /* the batch is cut down to about this much work per replica and step */

typedef struct trial {
    bank *b;
    bank_opts o;
    trainer_config config;
    int32_t *tokens;
    const int32_t **where;
    double *factor;
    uint64_t *step;
    bool *active;
    bank_step_out *out;
    mup_tensor *tensors;
} trial;

static void trial_free(trial *t)
{
    bank_free(t->b);
    free(t->tokens);
    free(t->where);
    free(t->factor);
    free(t->step);
    free(t->active);
    free(t->out);
    free(t->tensors);
}

static status trial_new(trial *t, const trainer_config *c, size_t replicas, int workers, bool on_device, err *e)
{
    memset(t, 0, sizeof *t);
    t->config = *c;
    t->o = train_bank_opts(c, replicas, workers);
    t->o.batch /= t->o.grad_accum; /* slices one after another take as long each */
    t->o.grad_accum = 1;
    double per_seq = shape_flops_per_token(&c->shape, FLOPS_EXACT) * (double)c->shape.seq_len;
    /* a device's rate depends on how much it is given at once */
    while (!on_device && t->o.batch > t->o.shards && t->o.batch % (2 * t->o.shards) == 0 &&
           (double)t->o.batch * per_seq > small_step_flops)
        t->o.batch /= 2;
    size_t n = t->o.batch * (size_t)(c->shape.seq_len + 1), n_tensors = shape_tensors(&c->shape, NULL, 0);
    t->tokens = malloc(n * sizeof *t->tokens);
    t->where = calloc(replicas, sizeof *t->where);
    t->factor = calloc(replicas, sizeof *t->factor);
    t->step = calloc(replicas, sizeof *t->step);
    t->active = calloc(replicas, sizeof *t->active);
    t->out = calloc(replicas, sizeof *t->out);
    t->tensors = calloc(n_tensors, sizeof *t->tensors);
    if (!t->tokens || !t->where || !t->factor || !t->step || !t->active || !t->out || !t->tensors)
        return err_set(e, ST_NOMEM, "no memory to measure this machine; give --flops-rate or --no-calibrate");
    for (size_t i = 0; i < n; i++) t->tokens[i] = (int32_t)rng_below((uint64_t)c->shape.vocab, 1, RNG_CALIBRATE, 0, i);
    bank_hparams h = {.tensors = t->tensors,
                      .beta1 = c->beta1,
                      .beta2 = c->beta2,
                      .clip_norm = c->clip_norm,
                      .decay = c->decay,
                      .seed = c->seed};
    status st = config_hparams(c, t->tensors, &h.model, e);
    if (!st) st = bank_new(&t->b, &t->o, e);
    for (size_t r = 0; r < replicas && !st; r++) {
        t->where[r] = t->tokens;
        t->factor[r] = 1e-3; /* small: the weights must stay finite, nothing else matters here */
        t->active[r] = true;
        st = bank_set_replica(t->b, r, &h, e);
    }
    return st;
}

static status trial_step(trial *t, err *e)
{
    for (size_t r = 0; r < t->o.n_replicas; r++) t->step[r]++;
    return bank_step(t->b, t->out, t->where, t->factor, t->step, t->active, e);
}

/* FLOP/s of the best step: the first one pays for page faults (on a device for plans of products, and the second for
 * recording) and is not counted. */
static status measure(double *rate, const trainer_config *c, size_t replicas, int workers, bool on_device,
                      double seconds, err *e)
{
    trial t;
    flops_rule rule;
    status st = flops_rule_find(&rule, c->flops_rule, e);
    if (st) return st;
    if (!(st = trial_new(&t, c, replicas, workers, on_device, e))) st = trial_step(&t, e);
    if (!st && on_device) st = trial_step(&t, e);
    double best = INFINITY, end = io_now() + seconds;
    for (int i = 0; i < MAX_STEPS && !st; i++) {
        double start = io_now();
        st = trial_step(&t, e);
        double took = io_now() - start;
        if (took < best) best = took;
        if (io_now() > end) break;
    }
    double tokens = (double)t.o.batch * (double)c->shape.seq_len * (double)replicas;
    *rate = tokens * shape_flops_per_token(&c->shape, rule) / best;
    trial_free(&t);
    return st;
}

typedef struct sized {
    size_t class;
    double work; /* FLOPs per token: what the rate of a class depends on most */
} sized;

static int by_work(const void *a, const void *b)
{
    const sized *x = a, *y = b;
    return x->work < y->work ? -1 : x->work > y->work;
}

/* Log-linear between the two measured neighbours. */
static double between(const sized *list, const double *rate, size_t lo, size_t hi, size_t i)
{
    if (lo == hi || list[hi].work <= list[lo].work) return rate[lo];
    double t = log(list[i].work / list[lo].work) / log(list[hi].work / list[lo].work);
    return exp((1 - t) * log(rate[lo]) + t * log(rate[hi]));
}

void sweep_plan_rate(sweep_plan *p, double flops_per_s)
{
    p->seconds = 0;
    for (size_t k = 0; k < p->n_classes && flops_per_s > 0; k++) p->classes[k].flops_per_s = flops_per_s;
    for (size_t k = 0; k < p->n_banks; k++) {
        double rate = p->classes[p->runs[p->order[p->banks[k].first]].class].flops_per_s;
        p->banks[k].seconds = rate > 0 ? p->banks[k].flops / rate : 0;
        p->seconds += p->banks[k].seconds;
    }
}

status sweep_plan_calibrate(sweep_plan *p, err *e)
{
    size_t n = p->n_classes, shapes = n < CALIBRATE_SHAPES ? n : CALIBRATE_SHAPES;
    sized *list = calloc(n ? n : 1, sizeof *list);
    double *rate = calloc(n ? n : 1, sizeof *rate);
    status st = list && rate ? ST_OK : err_set(e, ST_NOMEM, "no memory to measure this machine");
    for (size_t k = 0; k < n && !st; k++)
        list[k] = (sized){k, shape_flops_per_token(&p->runs[p->classes[k].example].config.shape, FLOPS_EXACT)};
    if (!st) qsort(list, n, sizeof *list, by_work);
    size_t last = 0;
    for (size_t j = 0; j < shapes && !st; j++) {
        size_t i = shapes > 1 ? j * (n - 1) / (shapes - 1) : 0;
        const sweep_class *c = &p->classes[list[i].class];
        size_t replicas = c->on_device || c->bank_size < (size_t)p->workers ? c->bank_size : (size_t)p->workers;
        if (replicas > c->n_runs) replicas = c->n_runs;
        st = measure(&rate[i], &p->runs[c->example].config, replicas, p->workers, c->on_device,
                     budget_s / (double)shapes, e);
        for (size_t k = last; k <= i && !st; k++)
            p->classes[list[k].class].flops_per_s = between(list, rate, last, i, k);
        last = i;
    }
    free(list);
    free(rate);
    if (st) return st;
    p->measured = true;
    sweep_plan_rate(p, 0); /* keeps the classes' own rates */
    return ST_OK;
}
