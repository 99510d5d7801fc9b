/* A step and an evaluation of a bank: work items, their order, and what becomes of a replica's gradient. */
#include <math.h>
#include <sched.h>

#include "kernels/adamw.h"
#include "trainer/bank_parts.h"

/* One step or one evaluation, shared by the workers. */
typedef struct job {
    bank *b;
    const int32_t *const *tokens; /* step: per replica */
    const int32_t *shared_tokens; /* eval */
    const double *lr_factor;
    const uint64_t *step;
    bank_step_out *out;
    double *seq_loss;             /* eval: [R][n_seq] */
    size_t n_seq, chunks;
    size_t whole;                 /* step: replicas that one worker does alone */
} job;

static void fail(worker *w, status s)
{
    if (!w->st) w->st = s;
}

static status use_weights(bank *b, worker *w, size_t r, err *e)
{
    if (!w->packed || w->packed_of == r) return ST_OK;
    w->packed_of = r;
    return model_pack(b->m, b->ops, w->ctx, (k_arr){w->packed, b->z.packed},
                      (k_in){b->params + r * b->z.stride, b->z.stride}, 1, e);
}

static model_io io_of(const bank *b, const worker *w, size_t r)
{
    const size_t P = b->z.stride, T = (size_t)b->o.shape.seq_len;
    return (model_io){.R = 1,
                      .params = {b->params + r * P, P},
                      .packed = {w->packed, b->z.packed},
                      .consts = {b->consts, 0},
                      .acts = {w->acts, b->z.acts},
                      .mults = {b->mults + r, b->mults + r},
                      .ld_mults = b->o.n_replicas,
                      .ids = {.stride = 0, .ld = T + 1, .T = T},
                      .row_loss = w->row_loss};
}

static status shard_gradient(bank *b, worker *w, size_t r, size_t shard, real *grad, const int32_t *tokens)
{
    const size_t P = b->z.stride, per = b->o.batch / b->o.shards, T1 = (size_t)b->o.shape.seq_len + 1;
    const k_arr g = {grad, P};
    const double dscale = 1 / ((double)b->o.batch * (double)b->o.shape.seq_len);
    model_io io = io_of(b, w, r);
    status s = use_weights(b, w, r, &w->e);
    if (!s) s = b->ops->zero(w->ctx, g, 1, P, &w->e);
    for (size_t i = 0; i < per && !s; i += b->z.micro) {
        const size_t first = shard * per + i;
        io.n_seq = per - i < b->z.micro ? per - i : b->z.micro;
        io.ids.p = tokens + first * T1;
        io.seq_loss = b->seq_loss + r * b->o.batch + first;
        s = model_gradient(b->m, b->ops, w->ctx, &io, g, dscale, &w->e);
    }
    return s;
}

/* Loss, norm, clipping and AdamW: by whoever brought the last shard. */
static status finish(const job *j, worker *w, size_t r)
{
    bank *b = j->b;
    const size_t P = b->z.stride, at = r * P;
    const replica *rep = &b->reps[r];
    bank_step_out *out = &j->out[r];
    double loss = 0, sumsq = 0;
    for (size_t i = 0; i < b->o.batch; i++) loss += b->seq_loss[r * b->o.batch + i];
    status s = b->ops->sumsq(w->ctx, &sumsq, (k_in){b->grads + at, P}, 1, P, &w->e);
    out->loss = loss / (double)b->o.batch;
    out->grad_norm = sqrt(sumsq);
    out->finite = isfinite(out->loss) && isfinite(out->grad_norm);
    if (s || !out->finite) return s;
    const double clip =
        rep->h.clip_norm > 0 && out->grad_norm > rep->h.clip_norm ? rep->h.clip_norm / out->grad_norm : 1;
    for (size_t i = 0; i < b->n_tensors && !s; i++) {
        const mup_tensor *t = &rep->tensors[i];
        const size_t o = at + b->tensors[i].offset;
        const k_adam h = k_adam_set(&(k_adam_in){.s = j->lr_factor[r],
                                                 .lr = t->lr,
                                                 .lambda = t->weight_decay,
                                                 .eps = t->eps,
                                                 .beta1 = rep->h.beta1,
                                                 .beta2 = rep->h.beta2,
                                                 .grad_scale = clip,
                                                 .step = j->step[r],
                                                 .coupled = rep->h.decay == DECAY_COUPLED});
        s = b->ops->adamw(w->ctx, (k_arr){b->params + o, P}, (k_arr){b->mom + o, P}, (k_arr){b->var + o, P},
                          (k_in){b->grads + o, P}, &h, 1, b->tensors[i].n, &w->e);
    }
    return s;
}

/* One shard of one replica. Shards enter the sum in their order whoever computes them. */
static void step_shard(const job *j, worker *w, size_t r, size_t shard)
{
    bank *b = j->b;
    const size_t P = b->z.stride;
    replica *rep = &b->reps[r];
    real *grad = shard ? w->shard_grad : b->grads + r * P;
    status s = shard_gradient(b, w, r, shard, grad, j->tokens[r]);
    while (atomic_load(&rep->shards_done) != shard) sched_yield();
    if (shard && !s) s = b->ops->add(w->ctx, (k_arr){b->grads + r * P, P}, (k_in){grad, P}, 1, P, &w->e);
    if (!s && shard + 1 == b->o.shards) s = finish(j, w, r);
    if (s) fail(w, s);
    atomic_store(&rep->shards_done, shard + 1);
}

/* Items: first whole replicas, as many as divide evenly among the workers (weights packed once, nobody waits), then
 * the shards of the rest. The pool hands items out in order, so a shard that is waited for is finished or being
 * computed. */
static void step_item(void *self, size_t item, int index)
{
    const job *j = self;
    bank *b = j->b;
    const size_t S = b->o.shards;
    if (item < j->whole) {
        for (size_t shard = 0; shard < S; shard++) step_shard(j, &b->workers[index], b->live[item], shard);
    } else {
        item -= j->whole;
        step_shard(j, &b->workers[index], b->live[j->whole + item / S], item % S);
    }
}

static size_t begin(bank *b, const bool *active)
{
    size_t n = 0;
    for (size_t r = 0; r < b->o.n_replicas; r++) {
        atomic_store(&b->reps[r].shards_done, 0);
        if (active[r]) b->live[n++] = r;
    }
    for (int i = 0; i < b->o.threads; i++) {
        b->workers[i].packed_of = BANK_NOBODY;
        b->workers[i].st = ST_OK;
    }
    return n;
}

static status end(const bank *b, err *e)
{
    for (int i = 0; i < b->o.threads; i++)
        if (b->workers[i].st) {
            if (e) *e = b->workers[i].e;
            return b->workers[i].st;
        }
    return ST_OK;
}

/* An id outside the table would be read outside the arrays. */
static status check_tokens(const bank *b, const int32_t *tokens, size_t n_seq, err *e)
{
    const size_t n = n_seq * ((size_t)b->o.shape.seq_len + 1);
    const uint32_t V = (uint32_t)b->o.shape.vocab;
    uint32_t max = 0;
    for (size_t i = 0; i < n; i++) max = (uint32_t)tokens[i] > max ? (uint32_t)tokens[i] : max;
    if (max < V) return ST_OK;
    for (size_t i = 0; i < n; i++)
        if ((uint32_t)tokens[i] >= V)
            return err_set(e, ST_INPUT,
                           "token %zu of the batch has id %d, but vocab is %u; scan the data or raise vocab", i,
                           (int)tokens[i], (unsigned)V);
    return ST_OK;
}

status bank_step(bank *b, bank_step_out *out, const int32_t *const *tokens, const double *lr_factor,
                 const uint64_t *step, const bool *active, err *e)
{
    const size_t n = begin(b, active);
    for (size_t i = 0; i < n; i++) {
        if (i && tokens[b->live[i]] == tokens[b->live[i - 1]]) continue;
        status s = check_tokens(b, tokens[b->live[i]], b->o.batch, e);
        if (s) return s;
    }
    job j = {.b = b, .tokens = tokens, .lr_factor = lr_factor, .step = step, .out = out};
    j.whole = n / (size_t)b->o.threads * (size_t)b->o.threads;
    pool_run(b->pool, step_item, &j, j.whole + (n - j.whole) * b->o.shards);
    return end(b, e);
}

static void eval_item(void *self, size_t item, int index)
{
    const job *j = self;
    bank *b = j->b;
    worker *w = &b->workers[index];
    const size_t r = b->live[item / j->chunks], first = item % j->chunks * b->z.micro,
                 T1 = (size_t)b->o.shape.seq_len + 1;
    model_io io = io_of(b, w, r);
    io.n_seq = j->n_seq - first < b->z.micro ? j->n_seq - first : b->z.micro;
    io.ids.p = j->shared_tokens + first * T1;
    io.seq_loss = j->seq_loss + r * j->n_seq + first;
    status s = use_weights(b, w, r, &w->e);
    if (!s) s = model_eval(b->m, b->ops, w->ctx, &io, &w->e);
    if (s) fail(w, s);
}

status bank_eval(bank *b, double *seq_loss, const int32_t *tokens, size_t n_seq, const bool *active, err *e)
{
    const size_t n = begin(b, active);
    status s = check_tokens(b, tokens, n_seq, e);
    if (s) return s;
    job j = {.b = b,
             .shared_tokens = tokens,
             .seq_loss = seq_loss,
             .n_seq = n_seq,
             .chunks = (n_seq + b->z.micro - 1) / b->z.micro};
    pool_run(b->pool, eval_item, &j, n * j.chunks);
    return end(b, e);
}
