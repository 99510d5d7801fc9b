/* Memory of a bank on the host. */
#include "trainer/bank_host.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>

#include "kernels/blas.h"

static host_sizes sizes_of(const model *m, const k_ops *ops, const bank_opts *o)
{
    host_sizes z = {.stride = shape_param_stride(&o->shape), .micro = model_micro(m, o->batch / bank_slices(o))};
    z.acts = model_act_len(m, z.micro, true);
    z.packed = model_pack_len(m, ops);
    z.consts = model_const_len(m);
    z.rows = z.micro * (size_t)o->shape.seq_len;
    z.scratch = model_scratch(m, ops, 1, z.micro);
    return z;
}

static size_t bytes_of(const host_sizes *z, const bank_opts *o)
{
    const size_t per_replica = 4 * z->stride; /* parameters, gradients, two moments */
    const size_t per_worker = z->acts + z->packed + (bank_slices(o) > 1 ? z->stride : 0);
    const size_t threads = (size_t)o->threads;
    return sizeof(real) * (o->n_replicas * per_replica + threads * per_worker + z->consts) +
           threads * (z->scratch + z->rows * sizeof(double)) + o->n_replicas * o->batch * sizeof(double);
}

static size_t host_bytes(const bank_opts *o, const model *m, const k_ops *ops)
{
    const host_sizes z = sizes_of(m, ops, o);
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

static bool take_worker(worker *w, const host_bank *h, err *e)
{
    w->packed_of = HOST_NOBODY;
    w->acts = take(h->z.acts, sizeof(real));
    w->packed = h->z.packed ? take(h->z.packed, sizeof(real)) : NULL;
    w->shard_grad = h->slices > 1 ? take(h->z.stride, sizeof(real)) : NULL;
    w->row_loss = take(h->z.rows, sizeof(double));
    return w->acts && w->row_loss && (w->packed || !h->z.packed) && (w->shard_grad || h->slices == 1) &&
           h->ops->ctx_new(&w->ctx, h->z.scratch, e) == ST_OK;
}

static bool take_all(host_bank *h, const bank_opts *o, err *e)
{
    const size_t R = o->n_replicas, P = h->z.stride;
    h->params = take(R * P, sizeof(real));
    h->grads = take(R * P, sizeof(real));
    h->mom = take(R * P, sizeof(real));
    h->var = take(R * P, sizeof(real));
    h->consts = take(h->z.consts, sizeof(real));
    h->seq_loss = take(R * o->batch, sizeof(double));
    h->live = calloc(R, sizeof *h->live);
    h->shards_done = calloc(R, sizeof *h->shards_done);
    h->workers = calloc((size_t)h->threads, sizeof *h->workers);
    if (!h->params || !h->grads || !h->mom || !h->var || !h->consts || !h->seq_loss || !h->live || !h->shards_done ||
        !h->workers)
        return false;
    for (int i = 0; i < h->threads; i++)
        if (!take_worker(&h->workers[i], h, e)) return false;
    return true;
}

static status host_make(bank *b, err *e)
{
    host_bank *h = b->self = calloc(1, sizeof *h);
    if (!h) return err_set(e, ST_NOMEM, "bank: out of memory");
    h->z = sizes_of(b->m, b->ops, &b->o);
    h->ops = b->ops;
    h->threads = b->o.threads;
    h->slices = bank_slices(&b->o);
    if (!take_all(h, &b->o, e))
        return err_set(e, ST_NOMEM,
                       "bank: %zu replicas need %.1f MB, which this machine does not give; use fewer replicas, fewer "
                       "threads or a smaller model",
                       b->o.n_replicas, (double)bytes_of(&h->z, &b->o) / 1e6);
    status s = pool_new(&h->pool, h->threads, e);
    if (s) return s;
    model_consts(b->m, h->consts);
    k_blas_one_thread(); /* replicas and shards are the parallelism */
    snprintf(b->device, sizeof b->device, "%s %s, BLAS %s", b->ops->name, b->ops->level, k_blas_core_name());
    return ST_OK;
}

static void host_free(void *self)
{
    host_bank *h = self;
    pool_free(h->pool);
    if (h->workers)
        for (int i = 0; i < h->threads; i++) {
            h->ops->ctx_free(h->workers[i].ctx);
            free(h->workers[i].acts);
            free(h->workers[i].packed);
            free(h->workers[i].shard_grad);
            free(h->workers[i].row_loss);
        }
    free(h->params);
    free(h->grads);
    free(h->mom);
    free(h->var);
    free(h->consts);
    free(h->seq_loss);
    free(h->live);
    free(h->shards_done);
    free(h->workers);
    free(h);
}

static real *host_draft(bank *b, size_t r)
{
    host_bank *h = b->self;
    return h->params + r * b->stride;
}

static status host_set(bank *b, size_t r, err *e)
{
    host_bank *h = b->self;
    const size_t P = b->stride;
    (void)e;
    memset(h->mom + r * P, 0, P * sizeof(real));
    memset(h->var + r * P, 0, P * sizeof(real));
    return ST_OK;
}

static void copy(real *dst, const real *src, size_t n)
{
    if (dst && src) memcpy(dst, src, n * sizeof *dst);
}

static status host_read(bank *b, size_t r, float *params, float *m, float *v, err *e)
{
    const host_bank *h = b->self;
    const size_t P = b->stride, at = r * P;
    (void)e;
    copy(params, h->params + at, P);
    copy(m, h->mom + at, P);
    copy(v, h->var + at, P);
    return ST_OK;
}

static status host_write(bank *b, size_t r, const float *params, const float *m, const float *v, err *e)
{
    host_bank *h = b->self;
    const size_t P = b->stride, at = r * P;
    (void)e;
    copy(h->params + at, params, P);
    copy(h->mom + at, m, P);
    copy(h->var + at, v, P);
    return ST_OK;
}

/* The caller's own thread is a worker: nothing runs before it waits. */
static status host_start(bank *b, size_t slot, err *e)
{
    (void)b, (void)slot, (void)e;
    return ST_OK;
}

static size_t host_look_most(const bank *b)
{
    const host_bank *h = b->self;
    return h->z.micro;
}

const bank_kind bank_on_host = {.bytes = host_bytes, .make = host_make, .free = host_free, .draft = host_draft,
                                .set = host_set, .read = host_read, .write = host_write, .start = host_start,
                                .wait = host_wait, .eval = host_eval, .look_most = host_look_most,
                                .look = host_look};
