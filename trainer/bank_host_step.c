/* A step and an evaluation of a bank on the host: work items, their order, and what becomes of a replica's gradient. */
#include <math.h>
#include <sched.h>

#include "kernels/adamw.h"
#include "trainer/bank_host.h"

/* One step or one evaluation, shared by the workers. */
typedef struct job {
    bank *b;
    host_bank *h;
    const bank_order *order;      /* step */
    const int32_t *shared_tokens; /* eval */
    bank_step_out *out;
    double *seq_loss;             /* eval: [R][n_seq] */
    size_t n_seq, chunks;
    size_t whole;                 /* step: replicas that one worker does alone */
} job;

static void fail(worker *w, status s)
{
    if (!w->st) w->st = s;
}

static status use_weights(const bank *b, worker *w, size_t r, err *e)
{
    const host_bank *h = b->self;
    if (!w->packed || w->packed_of == r) return ST_OK;
    w->packed_of = r;
    return model_pack(b->m, b->ops, w->ctx, (k_arr){w->packed, h->z.packed},
                      (k_in){h->params + r * h->z.stride, h->z.stride}, 1, e);
}

static model_io io_of(const bank *b, const worker *w, size_t r)
{
    const host_bank *h = b->self;
    const size_t P = b->stride, T = (size_t)b->o.shape.seq_len;
    return (model_io){.R = 1,
                      .params = {h->params + r * P, P},
                      .packed = {w->packed, h->z.packed},
                      .consts = {h->consts, 0},
                      .acts = {w->acts, h->z.acts},
                      .mults = {b->mults + r, b->mults + r},
                      .ld_mults = b->o.n_replicas,
                      .ids = {.stride = 0, .ld = T + 1, .T = T},
                      .row_loss = w->row_loss};
}

static status shard_gradient(const bank *b, worker *w, size_t r, size_t shard, real *grad, const int32_t *tokens)
{
    const host_bank *h = b->self;
    const size_t P = b->stride, per = b->o.batch / h->slices, T1 = (size_t)b->o.shape.seq_len + 1;
    const k_arr g = {grad, P};
    const double dscale = 1 / ((double)b->o.batch * (double)b->o.shape.seq_len);
    model_io io = io_of(b, w, r);
    status s = use_weights(b, w, r, &w->e);
    if (!s) s = b->ops->zero(w->ctx, g, 1, P, &w->e);
    for (size_t i = 0; i < per && !s; i += h->z.micro) {
        const size_t first = shard * per + i;
        io.n_seq = per - i < h->z.micro ? per - i : h->z.micro;
        io.ids.p = tokens + first * T1;
        io.seq_loss = h->seq_loss + r * b->o.batch + first;
        s = model_gradient(b->m, b->ops, w->ctx, &io, g, false, dscale, &w->e);
    }
    return s;
}

/* Loss, norm, clipping and AdamW: by whoever brought the last shard. */
static status finish(const job *j, worker *w, size_t r)
{
    const bank *b = j->b;
    host_bank *h = j->h;
    const size_t P = b->stride, at = r * P;
    const replica *rep = &b->reps[r];
    bank_step_out *out = &j->out[r];
    double loss = 0, sumsq = 0;
    for (size_t i = 0; i < b->o.batch; i++) loss += h->seq_loss[r * b->o.batch + i];
    status s = b->ops->sumsq(w->ctx, &sumsq, (k_in){h->grads + at, P}, 1, P, &w->e);
    out->loss = loss / (double)b->o.batch;
    out->grad_norm = sqrt(sumsq);
    out->finite = isfinite(out->loss) && isfinite(out->grad_norm);
    if (s || !out->finite) return s;
    const double clip = bank_clip(rep, out->grad_norm);
    for (size_t i = 0; i < b->n_tensors && !s; i++) {
        const mup_tensor *t = &rep->tensors[i];
        const size_t o = at + b->tensors[i].offset;
        const k_adam hp = k_adam_set(&(k_adam_in){.s = j->order->lr_factor[r],
                                                 .lr = t->lr,
                                                 .lambda = t->weight_decay,
                                                 .eps = t->eps / mup_theta(t), /* the gradient is g/theta */
                                                 .beta1 = rep->h.beta1,
                                                 .beta2 = rep->h.beta2,
                                                 .grad_scale = clip,
                                                 .step = j->order->step[r],
                                                 .coupled = rep->h.decay == DECAY_COUPLED});
        s = b->ops->adamw(w->ctx, (k_arr){h->params + o, P}, (k_arr){h->mom + o, P}, (k_arr){h->var + o, P},
                          (k_in){h->grads + o, P}, &hp, 1, b->tensors[i].n, &w->e);
    }
    return s;
}

/* One shard of one replica. Shards enter the sum in their order whoever computes them. */
static void step_shard(const job *j, worker *w, size_t r, size_t shard)
{
    const bank *b = j->b;
    host_bank *h = j->h;
    const size_t P = b->stride;
    real *grad = shard ? w->shard_grad : h->grads + r * P;
    status s = shard_gradient(b, w, r, shard, grad, j->order->tokens[r]);
    while (atomic_load(&h->shards_done[r]) != shard) sched_yield();
    if (shard && !s) s = b->ops->add(w->ctx, (k_arr){h->grads + r * P, P}, (k_in){grad, P}, 1, P, &w->e);
    if (!s && shard + 1 == h->slices) s = finish(j, w, r);
    if (s) fail(w, s);
    atomic_store(&h->shards_done[r], shard + 1);
}

/* Items: first whole replicas, as many as divide evenly among the workers (weights packed once, nobody waits), then
 * the shards of the rest. The pool hands items out in order, so a shard that is waited for is finished or being
 * computed. */
static void step_item(void *self, size_t item, int index)
{
    const job *j = self;
    host_bank *h = j->h;
    const size_t S = h->slices;
    if (item < j->whole) {
        for (size_t shard = 0; shard < S; shard++) step_shard(j, &h->workers[index], h->live[item], shard);
    } else {
        item -= j->whole;
        step_shard(j, &h->workers[index], h->live[j->whole + item / S], item % S);
    }
}

static size_t begin(const bank *b, const bool *active)
{
    host_bank *h = b->self;
    size_t n = 0;
    for (size_t r = 0; r < b->o.n_replicas; r++) {
        atomic_store(&h->shards_done[r], 0);
        if (active[r]) h->live[n++] = r;
    }
    for (int i = 0; i < h->threads; i++) {
        h->workers[i].packed_of = HOST_NOBODY;
        h->workers[i].st = ST_OK;
    }
    return n;
}

static status end(const host_bank *h, err *e)
{
    for (int i = 0; i < h->threads; i++)
        if (h->workers[i].st) {
            if (e) *e = h->workers[i].e;
            return h->workers[i].st;
        }
    return ST_OK;
}

status host_wait(bank *b, size_t slot, bank_step_out *out, err *e)
{
    host_bank *h = b->self;
    const bank_order *order = &b->order[slot];
    const size_t n = begin(b, order->active);
    job j = {.b = b, .h = h, .order = order, .out = out};
    j.whole = n / (size_t)h->threads * (size_t)h->threads;
    pool_run(h->pool, step_item, &j, j.whole + (n - j.whole) * h->slices);
    return end(h, e);
}

static void eval_item(void *self, size_t item, int index)
{
    const job *j = self;
    const bank *b = j->b;
    host_bank *h = j->h;
    worker *w = &h->workers[index];
    const size_t r = h->live[item / j->chunks], first = item % j->chunks * h->z.micro,
                 T1 = (size_t)b->o.shape.seq_len + 1;
    model_io io = io_of(b, w, r);
    io.n_seq = j->n_seq - first < h->z.micro ? j->n_seq - first : h->z.micro;
    io.ids.p = j->shared_tokens + first * T1;
    io.seq_loss = j->seq_loss + r * j->n_seq + first;
    status s = use_weights(b, w, r, &w->e);
    if (!s) s = model_eval(b->m, b->ops, w->ctx, &io, &w->e);
    if (s) fail(w, s);
}

status host_eval(bank *b, double *seq_loss, const int32_t *tokens, size_t n_seq, const bool *active, err *e)
{
    host_bank *h = b->self;
    const size_t n = begin(b, active);
    job j = {.b = b,
             .h = h,
             .shared_tokens = tokens,
             .seq_loss = seq_loss,
             .n_seq = n_seq,
             .chunks = (n_seq + h->z.micro - 1) / h->z.micro};
    pool_run(h->pool, eval_item, &j, n * j.chunks);
    return end(h, e);
}

status host_look(bank *b, size_t r, const int32_t *tokens, size_t n_seq, model_scene *out, err *e)
{
    host_bank *h = b->self;
    worker *w = &h->workers[0];
    model_io io = io_of(b, w, r);
    io.n_seq = n_seq;
    io.ids.p = tokens;
    w->packed_of = HOST_NOBODY;
    status s = use_weights(b, w, r, e);
    if (!s) s = model_look(b->m, b->ops, w->ctx, &io, e);
    if (!s) model_scene_take(out, b->m, io.acts.p);
    return s;
}
