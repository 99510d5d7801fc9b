#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "base/rng.h"
#include "kernels/blas.h"
#include "trainer/bank_parts.h"
static sizes sizes_of(const model *m, const k_ops *ops, const bank_opts *o)
{
    sizes z = {.stride = shape_param_stride(&o->shape), .micro = model_micro(m, o->batch / o->shards)};
    z.acts = model_act_len(m, z.micro, true);
    z.packed = model_pack_len(m, ops);
    z.consts = model_const_len(m);
    z.rows = z.micro * (size_t)o->shape.seq_len;
    z.scratch = model_scratch(m, ops, 1, z.micro);
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
        return err_set(e, ST_INPUT, "bank: %zu replicas, batch %zu, %zu shards, %d threads; each must be at least 1",
                       o->n_replicas, o->batch, o->shards, o->threads);
    if (o->batch % o->shards)
        return err_set(e, ST_INPUT, "shards: %zu does not divide the batch of %zu sequences; use a divisor",
                       o->shards, o->batch);
    return ST_OK;
}

size_t bank_bytes_needed(const bank_opts *o)
{
    model *m = NULL;
    const k_ops *ops = NULL;
    if (check(o, NULL) || k_backend(&ops, o->backend, NULL) || model_new(&m, &o->shape, ops, NULL)) return 0;
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
    if (bytes >= 2 * huge)
        madvise(p, bytes / huge * huge, MADV_HUGEPAGE); /* only advice: fewer misses of the address cache */
    memset(p, 0, bytes);
    return p;
}

static bool take_worker(worker *w, const bank *b, err *e)
{
    w->packed_of = BANK_NOBODY;
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
    if (!b->params || !b->grads || !b->mom || !b->var || !b->consts || !b->mults || !b->seq_loss || !b->live ||
        !b->reps || !b->workers || !b->tensors)
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
    s = model_new(&b->m, &o->shape, ops, e);
    if (s) goto fail;
    b->z = sizes_of(b->m, ops, o);
    if (!take_all(b, e)) {
        s = err_set(e, ST_NOMEM,
                    "bank: %zu replicas need %.1f MB, which this machine does not give; use fewer replicas, fewer "
                    "threads or a smaller model",
                    o->n_replicas, (double)bytes_of(&b->z, o) / 1e6);
        goto fail;
    }
    s = pool_new(&b->pool, o->threads, e);
    if (s) goto fail;
    shape_tensors(&o->shape, b->tensors, b->n_tensors);
    model_consts(b->m, b->consts);
    k_blas_one_thread(); /* replicas and shards are the parallelism */
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

const char *bank_device_name(const bank *b) { return b->device; }
