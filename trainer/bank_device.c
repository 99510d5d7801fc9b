/* A bank in a device's memory: every op acts on all replicas at once, and a step is one recorded sequence.
 *
 * A step: the batch and the step's scalars go up, forward, backward, norm, clipping and AdamW run, the outcome comes
 * down. The first step runs op by op (plans are made, kernels are loaded); then it is recorded once for batches that
 * all replicas share and once for batches of their own, and replayed. A masked replica
 * among live ones is computed too, and left as it was: it costs time, not bits; those behind the last live one are not. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "trainer/bank_parts.h"

/* Elements of every buffer; the one place that knows. */
typedef struct device_sizes { size_t stride, acts, packed, consts, mults, rows, scratch, micro, tokens; } device_sizes;

typedef struct device_bank {
    device_sizes z;
    const k_ops *ops;
    const k_device_ops *dev;
    k_ctx *ctx;
    real *params, *grads, *mom, *var, *packed, *acts, *consts, *mults;
    double *row_loss, *seq_loss, *partial;
    int32_t *tokens; /* [R][batch * (seq_len + 1)]; the first alone when shared */
    k_span *spans;
    k_adam_fixed *fixed;
    k_step_in *in;
    k_step_out *out;
    /* of the host, as copies want them */
    int32_t *up_tokens;
    k_step_in *up_in;
    k_step_out *down_out;
    double *down_seq; /* [R][micro] */
    real *draft;      /* [stride] */
    k_adam_fixed *draft_fixed; /* [n_tensors] */
    k_graph *step[2]; /* [shared] */
    size_t live;      /* the first so many replicas are computed: see shrink */
    bool warm, packed_stale;
} device_bank;

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
           take(self, (void **)&d->tokens, R * z->tokens * sizeof(int32_t)) &&
           take(self, (void **)&d->spans, n_tensors * sizeof(k_span)) &&
           take(self, (void **)&d->fixed, R * n_tensors * sizeof(k_adam_fixed)) &&
           take(self, (void **)&d->in, R * sizeof(k_step_in)) && take(self, (void **)&d->out, R * sizeof(k_step_out));
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

static void device_free(void *self)
{
    device_bank *d = self;
    if (d->ctx) {
        void *there[] = {d->params, d->grads, d->mom, d->var, d->packed, d->acts, d->consts, d->mults, d->row_loss,
                         d->seq_loss, d->partial, d->tokens, d->spans, d->fixed, d->in, d->out};
        void *here[] = {d->up_tokens, d->up_in, d->down_out, d->down_seq, d->draft, d->draft_fixed};
        d->dev->sync(d->ctx, NULL); /* copies may still read what is freed here; an error was reported already */
        for (size_t i = 0; i < sizeof there / sizeof *there; i++) d->dev->mem_free(d->ctx, there[i]);
        for (size_t i = 0; i < sizeof here / sizeof *here; i++) d->dev->host_free(d->ctx, here[i]);
        for (int i = 0; i < 2; i++) d->dev->graph_free(d->step[i]);
        d->ops->ctx_free(d->ctx);
    }
    free(d);
}

/* Too little memory is said before anything is allocated, with what would fit. */
static status check_memory(const bank *b, const device_bank *d, err *e)
{
    size_t left = 0, total = 0;
    const size_t need = device_bytes(&b->o, b->m, b->ops), have_ctx = b->ops->device->ctx_bytes(d->z.scratch);
    status s = d->dev->mem_info(d->ctx, &left, &total, e);
    if (s || need - have_ctx <= left) return s;
    bank_opts o = b->o;
    while (o.n_replicas > 1 && device_bytes(&o, b->m, b->ops) - have_ctx > left) o.n_replicas--;
    const bool fits = device_bytes(&o, b->m, b->ops) - have_ctx <= left;
    char what[96];
    snprintf(what, sizeof what, fits ? "a bank of %zu would fit" : "even a bank of %zu would not fit; raise grad_accum "
             "or use a smaller model", o.n_replicas);
    return err_set(e, ST_NOMEM, "bank: %zu replicas need %.1f MB on the device, %.1f of its %.1f MB are free: %.1f MB "
                   "are missing; %s", b->o.n_replicas, (double)need / 1e6, (double)(left + have_ctx) / 1e6,
                   (double)total / 1e6, (double)(need - have_ctx - left) / 1e6, what);
}

static status make_host_parts(device_bank *d, const bank *b, err *e)
{
    const size_t R = b->o.n_replicas;
    const struct { void **at; size_t bytes; } part[] = {
        {(void **)&d->up_tokens, R * d->z.tokens * sizeof(int32_t)}, {(void **)&d->up_in, R * sizeof(k_step_in)},
        {(void **)&d->down_out, R * sizeof(k_step_out)}, {(void **)&d->down_seq, R * d->z.micro * sizeof(double)},
        {(void **)&d->draft, d->z.stride * sizeof(real)},
        {(void **)&d->draft_fixed, b->n_tensors * sizeof(k_adam_fixed)},
    };
    for (size_t i = 0; i < sizeof part / sizeof *part; i++) {
        status s = d->dev->host_new(d->ctx, part[i].at, part[i].bytes, e);
        if (s) return s;
        memset(*part[i].at, 0, part[i].bytes);
    }
    return ST_OK;
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

static void say_device(bank *b)
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
    status s = b->ops->ctx_new(&d->ctx, d->z.scratch, e);
    if (!s) s = check_memory(b, d, e);
    if (!s && !each_buffer(d, &b->o, b->n_tensors, make_buffer, &w)) s = w.s;
    if (!s) s = make_host_parts(d, b, e);
    if (!s) s = upload_plan(d, b, e);
    if (!s) say_device(b);
    return s;
}

static real *device_draft(bank *b, size_t r)
{
    device_bank *d = b->self;
    (void)r;
    memset(d->draft, 0, d->z.stride * sizeof *d->draft); /* padding between tensors is 0 */
    return d->draft;
}

/* What is recorded no longer holds. */
static void forget(device_bank *d)
{
    for (int i = 0; i < 2; i++) {
        d->dev->graph_free(d->step[i]);
        d->step[i] = NULL;
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
    forget(d); /* a recorded product keeps the factors it saw */
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

/* ---- a step ----------------------------------------------------------------------------------------------------- */

static model_io io_of(const bank *b, const device_bank *d, size_t live)
{
    const size_t P = d->z.stride, T = (size_t)b->o.shape.seq_len, R = b->o.n_replicas;
    return (model_io){.R = live,
                      .params = {d->params, P},
                      .packed = {d->packed, d->z.packed},
                      .consts = {d->consts, 0},
                      .acts = {d->acts, d->z.acts},
                      .mults = {d->mults, b->mults},
                      .ld_mults = R,
                      .ids = {.ld = T + 1, .T = T},
                      .row_loss = d->row_loss,
                      .ld_seq_loss = b->o.batch};
}

static status repack(const bank *b, device_bank *d, err *e)
{
    if (!d->packed || !d->packed_stale) return ST_OK;
    d->packed_stale = false;
    return model_pack(b->m, b->ops, d->ctx, (k_arr){d->packed, d->z.packed}, (k_in){d->params, d->z.stride},
                      b->o.n_replicas, e);
}

/* From the batch in up_tokens to the outcome in down_out, all on the stream. */
static status enqueue(const bank *b, device_bank *d, bool shared, err *e)
{
    const size_t R = d->live, P = d->z.stride, T1 = (size_t)b->o.shape.seq_len + 1;
    const size_t n = (shared ? 1 : R) * d->z.tokens;
    const double dscale = 1 / ((double)b->o.batch * (double)b->o.shape.seq_len);
    const k_bank_end end = {.R = R, .n_tensors = b->n_tensors, .stride = P, .batch = b->o.batch, .spans = d->spans,
                            .fixed = d->fixed, .in = d->in, .out = d->out, .seq_loss = d->seq_loss,
                            .partial = d->partial, .params = d->params, .m = d->mom, .v = d->var, .grads = d->grads,
                            .packed = {d->packed, d->z.packed}};
    model_io io = io_of(b, d, R);
    status s = d->dev->upload(d->ctx, d->tokens, d->up_tokens, n * sizeof *d->tokens, e);
    if (!s) s = d->dev->upload(d->ctx, d->in, d->up_in, R * sizeof *d->in, e);
    if (!s) s = model_zero_added(b->m, d->ops, d->ctx, (k_arr){d->grads, P}, R, e);
    for (size_t i = 0; i < b->o.batch && !s; i += d->z.micro) {
        io.n_seq = b->o.batch - i < d->z.micro ? b->o.batch - i : d->z.micro;
        io.ids.p = d->tokens + i * T1;
        io.ids.stride = shared ? 0 : d->z.tokens;
        io.seq_loss = d->seq_loss + i;
        s = model_gradient(b->m, d->ops, d->ctx, &io, (k_arr){d->grads, P}, !i, dscale, e);
    }
    if (!s) s = d->dev->bank_outcome(d->ctx, &end, e);
    if (!s) s = d->dev->bank_adamw(d->ctx, &end, e);
    return s ? s : d->dev->download(d->ctx, d->down_out, d->out, R * sizeof *d->out, e);
}

static status record(const bank *b, device_bank *d, bool shared, err *e)
{
    status s = d->dev->record_begin(d->ctx, e);
    if (s) return s;
    s = enqueue(b, d, shared, e);
    if (!s) return d->dev->record_end(d->ctx, &d->step[shared], e);
    d->dev->record_drop(d->ctx);
    return s;
}

/* Whether all active replicas were given one batch; it, or each his own, is copied where the device fetches it. */
static bool stage_tokens(const bank *b, device_bank *d, const bank_order *o)
{
    const int32_t *one = NULL;
    bool shared = true;
    for (size_t r = 0; r < b->o.n_replicas; r++) {
        if (!o->active[r]) continue;
        if (!one) one = o->tokens[r];
        shared &= o->tokens[r] == one;
    }
    if (!one) return true; /* nobody is active: whatever is there is computed and dropped */
    for (size_t r = 0; r < (shared ? 1 : d->live); r++)
        memcpy(d->up_tokens + r * d->z.tokens, shared || !o->active[r] ? one : o->tokens[r],
               d->z.tokens * sizeof *d->up_tokens);
    return shared;
}

static void stage_scalars(const bank *b, device_bank *d, const bank_order *o)
{
    for (size_t r = 0; r < b->o.n_replicas; r++) {
        const bank_hparams *h = &b->reps[r].h;
        if (!o->active[r]) {
            d->up_in[r].active = 0;
            continue;
        }
        d->up_in[r] = (k_step_in){.s = o->lr_factor[r],
                                  .beta1 = h->beta1,
                                  .beta2 = h->beta2,
                                  .correct1 = 1 - pow(h->beta1, (double)o->step[r]),
                                  .correct2 = 1 - pow(h->beta2, (double)o->step[r]),
                                  .clip_norm = h->clip_norm,
                                  .active = 1,
                                  .coupled = h->decay == DECAY_COUPLED};
    }
}

static size_t behind_last(const bool *active, size_t n)
{
    while (n && !active[n - 1]) n--;
    return n ? n : 1;
}

/* Runs of a bank are ordered by length, longest first, so those that end leave a tail: it is cut off when a quarter of
 * what is recorded is gone, at most a dozen recordings in a bank's life. Bits do not depend on how many are computed. */
static void shrink(device_bank *d, size_t n_replicas, const bool *active)
{
    const size_t need = behind_last(active, n_replicas);
    if (need > d->live || 4 * need <= 3 * d->live) {
        if (need != d->live) forget(d);
        d->live = need;
    }
}

static status device_start(bank *b, const bank_order *o, err *e)
{
    device_bank *d = b->self;
    shrink(d, b->o.n_replicas, o->active);
    const bool shared = stage_tokens(b, d, o);
    stage_scalars(b, d, o);
    status s = repack(b, d, e);
    if (s) return s;
    if (!d->warm || d->dev->one_by_one(d->ctx)) { /* makes plans, loads kernels: not while recording */
        d->warm = true;
        s = enqueue(b, d, shared, e);
        say_device(b); /* once more: now it is known how its products run */
        return s;
    }
    if (!d->step[shared]) s = record(b, d, shared, e);
    return s ? s : d->dev->replay(d->ctx, d->step[shared], e);
}

static status device_wait(bank *b, bank_step_out *out, err *e)
{
    device_bank *d = b->self;
    status s = d->dev->sync(d->ctx, e);
    for (size_t r = 0; r < b->o.n_replicas && !s; r++)
        if (b->order.active[r])
            out[r] = (bank_step_out){d->down_out[r].loss, d->down_out[r].grad_norm, d->down_out[r].finite != 0};
    return s;
}

static status device_eval(bank *b, double *seq_loss, const int32_t *tokens, size_t n_seq, const bool *active, err *e)
{
    device_bank *d = b->self;
    const size_t R = behind_last(active, b->o.n_replicas), T1 = (size_t)b->o.shape.seq_len + 1, micro = d->z.micro;
    model_io io = io_of(b, d, R);
    io.ids.p = d->tokens;
    status s = repack(b, d, e);
    for (size_t i = 0; i < n_seq && !s; i += micro) {
        io.n_seq = n_seq - i < micro ? n_seq - i : micro;
        io.seq_loss = d->seq_loss;
        memcpy(d->up_tokens, tokens + i * T1, io.n_seq * T1 * sizeof *tokens);
        s = d->dev->upload(d->ctx, d->tokens, d->up_tokens, io.n_seq * T1 * sizeof *tokens, e);
        if (!s) s = model_eval(b->m, d->ops, d->ctx, &io, e);
        for (size_t r = 0; r < R && !s; r++)
            if (active[r])
                s = d->dev->download(d->ctx, d->down_seq + r * micro, d->seq_loss + r * b->o.batch,
                                     io.n_seq * sizeof *d->down_seq, e);
        if (!s) s = d->dev->sync(d->ctx, e);
        for (size_t r = 0; r < R && !s; r++)
            if (active[r]) memcpy(seq_loss + r * n_seq + i, d->down_seq + r * micro, io.n_seq * sizeof *seq_loss);
    }
    return s;
}

static size_t device_look_most(const bank *b) { return ((const device_bank *)b->self)->z.micro; }

/* Of one replica, in its own part of every buffer; what is left there is copied to the host. */
static status device_look(bank *b, size_t r, const int32_t *tokens, size_t n_seq, model_scene *out, err *e)
{
    device_bank *d = b->self;
    const size_t n = n_seq * ((size_t)b->o.shape.seq_len + 1), len = model_act_len(b->m, n_seq, true);
    real *acts = malloc(len * sizeof *acts);
    model_io io = io_of(b, d, 1);
    io.n_seq = n_seq;
    io.params = k_in_at(io.params, r * d->z.stride);
    if (io.packed.p) io.packed = k_in_at(io.packed, r * d->z.packed);
    io.acts = k_at(io.acts, r * d->z.acts);
    io.mults = (k_mult){d->mults + r, b->mults + r};
    io.ids.p = d->tokens;
    status s = acts ? repack(b, d, e) : err_set(e, ST_NOMEM, "bank: out of memory");
    memcpy(d->up_tokens, tokens, n * sizeof *tokens);
    if (!s) s = d->dev->upload(d->ctx, d->tokens, d->up_tokens, n * sizeof *tokens, e);
    if (!s) s = model_look(b->m, d->ops, d->ctx, &io, e);
    if (!s) s = d->dev->download(d->ctx, acts, io.acts.p, len * sizeof *acts, e);
    if (!s) s = d->dev->sync(d->ctx, e);
    if (!s) model_scene_take(out, b->m, acts);
    free(acts);
    return s;
}

const bank_kind bank_on_device = {.bytes = device_bytes, .make = device_make, .free = device_free,
                                  .draft = device_draft, .set = device_set, .read = device_read,
                                  .write = device_write, .start = device_start, .wait = device_wait,
                                  .eval = device_eval, .look_most = device_look_most, .look = device_look};
