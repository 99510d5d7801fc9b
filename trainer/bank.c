#include "trainer/bank.h"

#include <math.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sched.h>
#include <sys/mman.h>

#include "base/rng.h"
#include "kernels/adamw.h"
#include "kernels/cpu_level.h"
#include "kernels/kernels.h"
#include "kernels/pool.h"
#include "trainer/model.h"

void openblas_set_num_threads(int); /* declared by OpenBLAS's cblas.h only */

/* What one thread works with. Activations exist once per thread, not per shard. */
typedef struct worker {
    k_ctx *ctx;
    real *acts, *packed, *shard_grad;
    double *row_loss;
    size_t packed_of; /* replica whose weights `packed` holds; NONE: nobody's */
    status st;
    err e;
} worker;
static const size_t NONE = SIZE_MAX;

typedef struct replica {
    bank_hparams h;
    mup_tensor *tensors;
    atomic_size_t shards_done; /* this step: shards already in the sum, in order */
} replica;

/* Elements of every buffer; the one place that knows. */
typedef struct sizes { size_t stride, acts, packed, consts, rows, scratch, micro; } sizes;

struct bank {
    bank_opts o;
    char device[96];
    model *m;
    const k_ops *ops;
    pool *pool;
    sizes z;
    size_t n_tensors;
    shape_tensor *tensors;
    real *params, *grads, *mom, *var; /* [R][stride] */
    real *consts, *mults;             /* mults [n_mults][R] */
    double *seq_loss;                 /* [R][batch] */
    size_t *live;                     /* [R] numbers of the active replicas */
    replica *reps;
    worker *workers;
};

static sizes sizes_of(const model *m, const k_ops *ops, const bank_opts *o)
{
    sizes z = {.stride = shape_param_stride(&o->shape), .micro = model_micro(m, o->batch / o->shards)};
    z.acts = model_act_len(m, z.micro, true);
    z.packed = model_pack_len(m, ops);
    z.consts = model_const_len(m);
    z.rows = z.micro * (size_t)o->shape.seq_len;
    z.scratch = model_scratch(m, ops, z.micro);
    return z;
}

static size_t bytes_of(const sizes *z, const bank_opts *o)
{
    const size_t per_replica = 4 * z->stride; /* parameters, gradients, two moments */
    const size_t per_worker = z->acts + z->packed + (o->shards > 1 ? z->stride : 0);
    const size_t threads = (size_t)o->threads;
    return sizeof(real) * (o->n_replicas * per_replica + threads * per_worker + z->consts) +
           threads * (z->scratch + z->rows * sizeof(double)) + o->n_replicas * o->batch * sizeof(double);
}

static status check(const bank_opts *o, err *e)
{
    status s = shape_check(&o->shape, e);
    if (s) return s;
    if (!o->n_replicas || !o->batch || !o->shards || o->threads < 1)
        return err_set(e, ST_INPUT, "bank: %zu replicas, batch %zu, %zu shards, %d threads; each must be at least 1", o->n_replicas,
                       o->batch, o->shards, o->threads);
    if (o->batch % o->shards)
        return err_set(e, ST_INPUT, "shards: %zu does not divide the batch of %zu sequences; use a divisor", o->shards, o->batch);
    return ST_OK;
}

size_t bank_bytes_needed(const bank_opts *o)
{
    model *m = NULL;
    const k_ops *ops = NULL;
    if (check(o, NULL) || k_backend(&ops, o->backend, NULL) || model_new(&m, &o->shape, NULL)) return 0;
    const sizes z = sizes_of(m, ops, o);
    model_free(m);
    return bytes_of(&z, o);
}

/* Zeroed: untouched pages cost nothing, and padding between tensors must be 0 in gradients and moments. */
static void *take(size_t n, size_t size)
{
    void *p = NULL;
    const size_t most = (size_t)1 << 39; /* half a terabyte in one buffer: a wrong number, not a wish */
    if (size && n > most / size) return NULL;
    const size_t bytes = (n * size + K_ALIGN) / K_ALIGN * K_ALIGN, huge = 1 << 21;
    if (posix_memalign(&p, bytes >= 2 * huge ? huge : K_ALIGN, bytes)) return NULL;
    if (bytes >= 2 * huge) madvise(p, bytes / huge * huge, MADV_HUGEPAGE); /* only advice: fewer misses of the address cache */
    memset(p, 0, bytes);
    return p;
}

static bool take_worker(worker *w, const bank *b, err *e)
{
    w->packed_of = NONE;
    w->acts = take(b->z.acts, sizeof(real));
    w->packed = b->z.packed ? take(b->z.packed, sizeof(real)) : NULL;
    w->shard_grad = b->o.shards > 1 ? take(b->z.stride, sizeof(real)) : NULL;
    w->row_loss = take(b->z.rows, sizeof(double));
    return w->acts && w->row_loss && (w->packed || !b->z.packed) && (w->shard_grad || b->o.shards == 1) &&
           b->ops->ctx_new(&w->ctx, b->z.scratch, e) == ST_OK;
}

static bool take_all(bank *b, err *e)
{
    const size_t R = b->o.n_replicas, P = b->z.stride;
    b->params = take(R * P, sizeof(real));
    b->grads = take(R * P, sizeof(real));
    b->mom = take(R * P, sizeof(real));
    b->var = take(R * P, sizeof(real));
    b->consts = take(b->z.consts, sizeof(real));
    b->mults = take(model_n_mults(b->m) * R, sizeof(real));
    b->seq_loss = take(R * b->o.batch, sizeof(double));
    b->live = calloc(R, sizeof *b->live);
    b->reps = calloc(R, sizeof *b->reps);
    b->workers = calloc((size_t)b->o.threads, sizeof *b->workers);
    b->n_tensors = shape_tensors(&b->o.shape, NULL, 0);
    b->tensors = calloc(b->n_tensors, sizeof *b->tensors);
    if (!b->params || !b->grads || !b->mom || !b->var || !b->consts || !b->mults || !b->seq_loss || !b->live || !b->reps ||
        !b->workers || !b->tensors)
        return false;
    for (int i = 0; i < b->o.threads; i++)
        if (!take_worker(&b->workers[i], b, e)) return false;
    for (size_t r = 0; r < R; r++)
        if (!(b->reps[r].tensors = calloc(b->n_tensors, sizeof(mup_tensor)))) return false;
    return true;
}

status bank_new(bank **out, const bank_opts *o, err *e)
{
    const k_ops *ops = NULL;
    status s = check(o, e);
    if (!s) s = k_backend(&ops, o->backend, e);
    if (s) return s;
    bank *b = calloc(1, sizeof *b);
    if (!b) return err_set(e, ST_NOMEM, "bank: out of memory");
    b->o = *o;
    b->ops = ops;
    s = model_new(&b->m, &o->shape, e);
    if (s) goto fail;
    b->z = sizes_of(b->m, ops, o);
    if (!take_all(b, e)) {
        s = err_set(e, ST_NOMEM, "bank: %zu replicas need %.1f MB, which this machine does not give; use fewer replicas, fewer "
                    "threads or a smaller model", o->n_replicas, (double)bytes_of(&b->z, o) / 1e6);
        goto fail;
    }
    s = pool_new(&b->pool, o->threads, e);
    if (s) goto fail;
    shape_tensors(&o->shape, b->tensors, b->n_tensors);
    model_consts(b->m, b->consts);
    openblas_set_num_threads(1); /* replicas and shards are the parallelism; see DESIGN.md section 3 */
    snprintf(b->device, sizeof b->device, "%s %s, BLAS %s", ops->name, ops->level, k_blas_core_name());
    *out = b;
    return ST_OK;
fail:
    bank_free(b);
    return s;
}

void bank_free(bank *b)
{
    if (!b) return;
    pool_free(b->pool);
    if (b->workers)
        for (int i = 0; i < b->o.threads; i++) {
            b->ops->ctx_free(b->workers[i].ctx);
            free(b->workers[i].acts);
            free(b->workers[i].packed);
            free(b->workers[i].shard_grad);
            free(b->workers[i].row_loss);
        }
    if (b->reps)
        for (size_t r = 0; r < b->o.n_replicas; r++) free(b->reps[r].tensors);
    free(b->params);
    free(b->grads);
    free(b->mom);
    free(b->var);
    free(b->consts);
    free(b->mults);
    free(b->seq_loss);
    free(b->live);
    free(b->reps);
    free(b->workers);
    free(b->tensors);
    model_free(b->m);
    free(b);
}

static status in_bank(const bank *b, size_t r, err *e)
{
    if (r < b->o.n_replicas) return ST_OK;
    return err_set(e, ST_DOMAIN, "bank: replica %zu of %zu", r, b->o.n_replicas);
}

status bank_set_replica(bank *b, size_t r, const bank_hparams *h, err *e)
{
    status s = in_bank(b, r, e);
    if (s) return s;
    replica *rep = &b->reps[r];
    rep->h = *h;
    memcpy(rep->tensors, h->tensors, b->n_tensors * sizeof *rep->tensors);
    rep->h.tensors = rep->tensors;
    model_mults(b->m, b->mults + r, b->o.n_replicas, rep->tensors, &h->model);
    const size_t P = b->z.stride;
    memset(b->mom + r * P, 0, P * sizeof(real));
    memset(b->var + r * P, 0, P * sizeof(real));
    for (size_t i = 0; i < b->n_tensors; i++) {
        const shape_tensor *t = &b->tensors[i];
        real *x = b->params + r * P + t->offset;
        if (t->role == MUP_GAIN)
            for (size_t k = 0; k < t->n; k++) x[k] = 1;
        else
            rng_fill_normal(x, t->n, rep->tensors[i].init_std, h->seed, RNG_INIT, (uint32_t)i, 0);
    }
    return ST_OK;
}

size_t bank_stride(const bank *b) { return b->z.stride; }

static void copy(real *dst, const real *src, size_t n)
{
    if (dst && src) memcpy(dst, src, n * sizeof *dst);
}

status bank_read(bank *b, size_t r, float *params, float *m, float *v, err *e)
{
    status s = in_bank(b, r, e);
    if (s) return s;
    const size_t P = b->z.stride, at = r * P;
    copy(params, b->params + at, P);
    copy(m, b->mom + at, P);
    copy(v, b->var + at, P);
    return ST_OK;
}

status bank_write(bank *b, size_t r, const float *params, const float *m, const float *v, err *e)
{
    status s = in_bank(b, r, e);
    if (s) return s;
    const size_t P = b->z.stride, at = r * P;
    copy(b->params + at, params, P);
    copy(b->mom + at, m, P);
    copy(b->var + at, v, P);
    return ST_OK;
}

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
    return model_pack(b->m, b->ops, w->ctx, (k_arr){w->packed, b->z.packed}, (k_in){b->params + r * b->z.stride, b->z.stride}, 1, e);
}

static model_io io_of(const bank *b, const worker *w, size_t r)
{
    const size_t P = b->z.stride, T = (size_t)b->o.shape.seq_len;
    return (model_io){.R = 1, .params = {b->params + r * P, P}, .packed = {w->packed, b->z.packed}, .consts = {b->consts, 0},
                      .acts = {w->acts, b->z.acts}, .mults = b->mults + r, .ld_mults = b->o.n_replicas,
                      .ids = {.stride = 0, .ld = T + 1, .T = T}, .row_loss = w->row_loss};
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
    const double clip = rep->h.clip_norm > 0 && out->grad_norm > rep->h.clip_norm ? rep->h.clip_norm / out->grad_norm : 1;
    for (size_t i = 0; i < b->n_tensors && !s; i++) {
        const mup_tensor *t = &rep->tensors[i];
        const size_t o = at + b->tensors[i].offset;
        const k_adam h = k_adam_set(&(k_adam_in){.s = j->lr_factor[r], .lr = t->lr, .lambda = t->weight_decay, .eps = t->eps,
                                                 .beta1 = rep->h.beta1, .beta2 = rep->h.beta2, .grad_scale = clip,
                                                 .step = j->step[r], .coupled = rep->h.decay == DECAY_COUPLED});
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

/* Items: first whole replicas, as many as divide evenly among the workers (weights packed once, nobody waits), then the shards of the
 * rest. The pool hands items out in order, so a shard that is waited for is finished or being computed. */
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
        b->workers[i].packed_of = NONE;
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
            return err_set(e, ST_INPUT, "token %zu of the batch has id %d, but vocab is %u; scan the data or raise vocab", i,
                           (int)tokens[i], (unsigned)V);
    return ST_OK;
}

status bank_step(bank *b, bank_step_out *out, const int32_t *const *tokens, const double *lr_factor, const uint64_t *step,
                 const bool *active, err *e)
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
    const size_t r = b->live[item / j->chunks], first = item % j->chunks * b->z.micro, T1 = (size_t)b->o.shape.seq_len + 1;
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
    job j = {.b = b, .shared_tokens = tokens, .seq_loss = seq_loss, .n_seq = n_seq, .chunks = (n_seq + b->z.micro - 1) / b->z.micro};
    pool_run(b->pool, eval_item, &j, n * j.chunks);
    return end(b, e);
}

const char *bank_device_name(const bank *b) { return b->device; }
