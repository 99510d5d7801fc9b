/* Memory of a bank on a device. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "trainer/bank_device.h"

static device_sizes sizes_of(const model *m, const k_ops *ops, const bank_opts *o)
{
    const size_t accum = o->grad_accum ? o->grad_accum : 1;
    device_sizes z = {.stride = shape_param_stride(&o->shape), .micro = model_micro(m, o->batch / accum)};
    z.acts = model_act_len(m, z.micro, true);
    z.packed = model_pack_len(m, ops);
    z.consts = model_const_len(m);
    z.mults = model_n_mults(m) * o->n_replicas;
    z.rows = z.micro * (size_t)o->shape.seq_len;
    z.tokens = o->batch * ((size_t)o->shape.seq_len + 1);
    z.scratch = model_scratch(m, ops, o->n_replicas, z.micro);
    return z;
}

/* The buffers on the device, by a function that counts them or one that makes them: one list for both. */
typedef bool (*taker)(void *self, void **at, size_t bytes);

static bool each_slot(device_bank *d, const bank_opts *o, taker take, void *self)
{
    const size_t R = o->n_replicas;
    for (size_t k = 0; k < BANK_DEPTH; k++)
        if (!take(self, (void **)&d->slot[k].tokens, R * d->z.tokens * sizeof(int32_t)) ||
            !take(self, (void **)&d->slot[k].in, R * sizeof(k_step_in)))
            return false;
    return true;
}

static bool each_buffer(device_bank *d, const bank_opts *o, size_t n_tensors, taker take, void *self)
{
    const device_sizes *z = &d->z;
    const size_t R = o->n_replicas, P = R * z->stride * sizeof(real);
    return take(self, (void **)&d->params, P) && take(self, (void **)&d->grads, P) && take(self, (void **)&d->mom, P) &&
           take(self, (void **)&d->var, P) && take(self, (void **)&d->packed, R * z->packed * sizeof(real)) &&
           take(self, (void **)&d->acts, R * z->acts * sizeof(real)) &&
           take(self, (void **)&d->consts, z->consts * sizeof(real)) &&
           take(self, (void **)&d->mults, z->mults * sizeof(real)) &&
           take(self, (void **)&d->row_loss, R * z->rows * sizeof(double)) &&
           take(self, (void **)&d->seq_loss, R * o->batch * sizeof(double)) &&
           take(self, (void **)&d->partial, R * K_NORM_PARTS * sizeof(double)) &&
           take(self, (void **)&d->spans, n_tensors * sizeof(k_span)) &&
           take(self, (void **)&d->fixed, R * n_tensors * sizeof(k_adam_fixed)) &&
           take(self, (void **)&d->out, R * sizeof(k_step_out)) && each_slot(d, o, take, self);
}

static bool add_bytes(void *self, void **at, size_t bytes)
{
    (void)at;
    *(size_t *)self += (bytes + K_ALIGN_DEVICE - 1) / K_ALIGN_DEVICE * K_ALIGN_DEVICE;
    return true;
}

static size_t device_bytes(const bank_opts *o, const model *m, const k_ops *ops)
{
    device_bank d = {.z = sizes_of(m, ops, o)};
    size_t bytes = ops->device->ctx_bytes(d.z.scratch);
    each_buffer(&d, o, shape_tensors(&o->shape, NULL, 0), add_bytes, &bytes);
    return bytes;
}

typedef struct making { device_bank *d; status s; err *e; } making;

static bool make_buffer(void *self, void **at, size_t bytes)
{
    making *w = self;
    if (bytes) w->s = w->d->dev->mem_new(w->d->ctx, at, bytes, w->e);
    return !w->s;
}

static void free_slot(const device_bank *d, const device_slot *x)
{
    d->dev->mem_free(d->ctx, x->tokens);
    d->dev->mem_free(d->ctx, x->in);
    d->dev->host_free(d->ctx, x->up_tokens);
    d->dev->host_free(d->ctx, x->up_in);
    d->dev->host_free(d->ctx, x->down_out);
    d->dev->mark_free(x->done);
    for (int i = 0; i < 2; i++) d->dev->graph_free(x->step[i]);
}

static void device_free(void *self)
{
    device_bank *d = self;
    if (d->ctx) {
        void *there[] = {d->params, d->grads, d->mom, d->var, d->packed, d->acts, d->consts, d->mults, d->row_loss,
                         d->seq_loss, d->partial, d->spans, d->fixed, d->out};
        void *here[] = {d->down_seq, d->draft, d->draft_fixed};
        d->dev->sync(d->ctx, NULL); /* copies may still read what is freed here; an error was reported already */
        for (size_t i = 0; i < sizeof there / sizeof *there; i++) d->dev->mem_free(d->ctx, there[i]);
        for (size_t i = 0; i < sizeof here / sizeof *here; i++) d->dev->host_free(d->ctx, here[i]);
        for (size_t k = 0; k < BANK_DEPTH; k++) free_slot(d, &d->slot[k]);
        d->ops->ctx_free(d->ctx);
    }
    free(d);
}

/* Too little memory is said before anything is allocated, with what would fit. */
static status check_memory(const bank *b, const device_bank *d, err *e)
{
    size_t left = 0, total = 0;
    const size_t need = device_bytes(&b->o, b->m, b->ops);
    status s = d->dev->ready(e);
    if (!s) s = d->dev->mem_info(NULL, &left, &total, e);
    if (s || need <= left) return s;
    bank_opts o = b->o;
    while (o.n_replicas > 1 && device_bytes(&o, b->m, b->ops) > left) o.n_replicas--;
    const bool fits = device_bytes(&o, b->m, b->ops) <= left;
    char what[96];
    snprintf(what, sizeof what, fits ? "a bank of %zu would fit" : "even a bank of %zu would not fit; raise grad_accum "
             "or use a smaller model", o.n_replicas);
    return err_set(e, ST_NOMEM, "bank: %zu replicas need %.1f MB on the device, %.1f of its %.1f MB are free: %.1f MB "
                   "are missing; %s", b->o.n_replicas, (double)need / 1e6, (double)left / 1e6, (double)total / 1e6,
                   (double)(need - left) / 1e6, what);
}

static status host_part(device_bank *d, void *at, size_t bytes, err *e)
{
    void *p = NULL;
    const status s = d->dev->host_new(d->ctx, &p, bytes, e);
    if (s) return s;
    memset(p, 0, bytes);
    memcpy(at, &p, sizeof p); /* whatever type of pointer stands there */
    return ST_OK;
}

static status make_host_parts(device_bank *d, const bank *b, err *e)
{
    const size_t R = b->o.n_replicas;
    status s = host_part(d, &d->down_seq, R * d->z.micro * sizeof *d->down_seq, e);
    if (!s) s = host_part(d, &d->draft, d->z.stride * sizeof *d->draft, e);
    if (!s) s = host_part(d, &d->draft_fixed, b->n_tensors * sizeof *d->draft_fixed, e);
    for (size_t k = 0; k < BANK_DEPTH && !s; k++) {
        device_slot *x = &d->slot[k];
        s = host_part(d, &x->up_tokens, R * d->z.tokens * sizeof *x->up_tokens, e);
        if (!s) s = host_part(d, &x->up_in, R * sizeof *x->up_in, e);
        if (!s) s = host_part(d, &x->down_out, R * sizeof *x->down_out, e);
        if (!s) s = d->dev->mark_new(d->ctx, &x->done, e);
    }
    return s;
}

static status upload_plan(device_bank *d, const bank *b, err *e)
{
    k_span *spans = calloc(b->n_tensors, sizeof *spans);
    real *consts = calloc(d->z.consts, sizeof *consts);
    status s = spans && consts ? ST_OK : err_set(e, ST_NOMEM, "bank: out of memory");
    if (!s) {
        for (size_t i = 0; i < b->n_tensors; i++)
            spans[i] = (k_span){b->tensors[i].offset, b->tensors[i].n, model_packed_at(b->m, b->ops, i)};
        model_consts(b->m, consts);
        s = d->dev->upload(d->ctx, d->spans, spans, b->n_tensors * sizeof *spans, e);
    }
    if (!s) s = d->dev->upload(d->ctx, d->consts, consts, d->z.consts * sizeof *consts, e);
    if (!s) s = d->dev->sync(d->ctx, e);
    free(spans);
    free(consts);
    return s;
}

void device_say(bank *b)
{
    const device_bank *d = b->self;
    snprintf(b->device, sizeof b->device, "%s %s: %s", b->ops->name, b->ops->level, d->dev->device_name(d->ctx));
}

static status device_make(bank *b, err *e)
{
    device_bank *d = b->self = calloc(1, sizeof *d);
    if (!d) return err_set(e, ST_NOMEM, "bank: out of memory");
    d->ops = b->ops;
    d->dev = b->ops->device;
    d->z = sizes_of(b->m, b->ops, &b->o);
    making w = {.d = d, .e = e};
    status s = check_memory(b, d, e);
    if (!s) s = b->ops->ctx_new(&d->ctx, d->z.scratch, e);
    if (!s && !each_buffer(d, &b->o, b->n_tensors, make_buffer, &w)) s = w.s;
    if (!s) s = make_host_parts(d, b, e);
    if (!s) s = upload_plan(d, b, e);
    if (!s) device_say(b);
    if (!s && !d->dev->one_by_one(d->ctx)) b->depth = BANK_DEPTH; /* else nothing overlaps what an error is of */
    return s;
}

static real *device_draft(bank *b, size_t r)
{
    device_bank *d = b->self;
    (void)r;
    memset(d->draft, 0, d->z.stride * sizeof *d->draft); /* padding between tensors is 0 */
    return d->draft;
}

void device_forget(device_bank *d)
{
    for (size_t k = 0; k < BANK_DEPTH; k++)
        for (int i = 0; i < 2; i++) {
            d->dev->graph_free(d->slot[k].step[i]);
            d->slot[k].step[i] = NULL;
        }
}

static status device_set(bank *b, size_t r, err *e)
{
    device_bank *d = b->self;
    const size_t P = d->z.stride, at = r * P, n = b->n_tensors;
    const replica *rep = &b->reps[r];
    if (!model_joins_hold(b->m, b->mults + r, b->o.n_replicas))
        return err_set(e, ST_INPUT, "replica %zu: q, k and v (or the halves of SwiGLU) have different forward multipliers; "
                       "a device multiplies them as one matrix: train this on the CPU", r);
    for (size_t i = 0; i < n; i++)
        d->draft_fixed[i] = (k_adam_fixed){.lr = rep->tensors[i].lr, .eps = rep->tensors[i].eps / mup_theta(&rep->tensors[i]),
                                           .lambda = rep->tensors[i].weight_decay};
    d->packed_stale = true;
    device_forget(d); /* a recorded product keeps the factors it saw */
    status s = d->dev->upload(d->ctx, d->params + at, d->draft, P * sizeof(real), e);
    if (!s) s = d->dev->upload(d->ctx, d->fixed + r * n, d->draft_fixed, n * sizeof *d->fixed, e);
    if (!s) s = d->dev->upload(d->ctx, d->mults, b->mults, d->z.mults * sizeof(real), e);
    if (!s) s = d->ops->zero(d->ctx, (k_arr){d->mom + at, P}, 1, P, e);
    if (!s) s = d->ops->zero(d->ctx, (k_arr){d->var + at, P}, 1, P, e);
    return s ? s : d->dev->sync(d->ctx, e); /* the draft serves the next one too */
}

static status device_read(bank *b, size_t r, float *params, float *m, float *v, err *e)
{
    device_bank *d = b->self;
    const size_t P = d->z.stride, at = r * P;
    const struct { float *to; const real *from; } part[] = {{params, d->params}, {m, d->mom}, {v, d->var}};
    status s = ST_OK;
    for (int i = 0; i < 3 && !s; i++)
        if (part[i].to) s = d->dev->download(d->ctx, part[i].to, part[i].from + at, P * sizeof(real), e);
    return s ? s : d->dev->sync(d->ctx, e);
}

static status device_write(bank *b, size_t r, const float *params, const float *m, const float *v, err *e)
{
    device_bank *d = b->self;
    const size_t P = d->z.stride, at = r * P;
    const struct { const float *from; real *to; } part[] = {{params, d->params}, {m, d->mom}, {v, d->var}};
    status s = ST_OK;
    d->packed_stale |= params != NULL;
    for (int i = 0; i < 3 && !s; i++)
        if (part[i].from) s = d->dev->upload(d->ctx, part[i].to + at, part[i].from, P * sizeof(real), e);
    return s ? s : d->dev->sync(d->ctx, e);
}

const bank_kind bank_on_device = {.bytes = device_bytes, .make = device_make, .free = device_free,
                                  .draft = device_draft, .set = device_set, .read = device_read,
                                  .write = device_write, .start = device_start, .wait = device_wait,
                                  .eval = device_eval, .look_most = device_look_most, .look = device_look};
