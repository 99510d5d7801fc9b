/* A step, an evaluation and a look of a bank on a device.
 *
 * A step: the batch and the step's scalars go up beside the step before, then forward, backward, norm, clipping and
 * AdamW run, the outcome comes down. Nothing in it waits for the host, and the host waits for nothing but the mark of
 * the step whose outcome it wants: the next one is queued by then. The first step runs op by op (plans are made,
 * kernels are loaded); then it is recorded, in each slot once for batches that all replicas share and once for batches
 * of their own, and replayed. A masked replica among live ones is computed too, and left as it was: it costs time, not
 * bits; those behind the last live one are not. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "trainer/bank_device.h"

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

/* The batch and the scalars, to where nothing under way reads any more; the stream's next work waits for them. */
static status send_ahead(const device_bank *d, const device_slot *x, bool shared, err *e)
{
    const size_t n = (shared ? 1 : d->live) * d->z.tokens;
    status s = d->dev->upload_ahead(d->ctx, x->tokens, x->up_tokens, n * sizeof *x->tokens, e);
    if (!s) s = d->dev->upload_ahead(d->ctx, x->in, x->up_in, d->live * sizeof *x->in, e);
    return s ? s : d->dev->join_ahead(d->ctx, e);
}

/* From the batch on the device to the outcome in down_out, all on the stream. */
static status enqueue(const bank *b, device_bank *d, const device_slot *x, bool shared, err *e)
{
    const size_t R = d->live, P = d->z.stride, T1 = (size_t)b->o.shape.seq_len + 1;
    const double dscale = 1 / ((double)b->o.batch * (double)b->o.shape.seq_len);
    const k_bank_end end = {.R = R, .n_tensors = b->n_tensors, .stride = P, .batch = b->o.batch, .spans = d->spans,
                            .fixed = d->fixed, .in = x->in, .out = d->out, .seq_loss = d->seq_loss,
                            .partial = d->partial, .params = d->params, .m = d->mom, .v = d->var, .grads = d->grads,
                            .packed = {d->packed, d->z.packed}};
    model_io io = io_of(b, d, R);
    status s = model_zero_added(b->m, d->ops, d->ctx, (k_arr){d->grads, P}, R, e);
    for (size_t i = 0; i < b->o.batch && !s; i += d->z.micro) {
        io.n_seq = b->o.batch - i < d->z.micro ? b->o.batch - i : d->z.micro;
        io.ids.p = x->tokens + i * T1;
        io.ids.stride = shared ? 0 : d->z.tokens;
        io.seq_loss = d->seq_loss + i;
        s = model_gradient(b->m, d->ops, d->ctx, &io, (k_arr){d->grads, P}, !i, dscale, e);
    }
    if (!s) s = d->dev->bank_outcome(d->ctx, &end, e);
    if (!s) s = d->dev->bank_adamw(d->ctx, &end, e);
    return s ? s : d->dev->download(d->ctx, x->down_out, d->out, R * sizeof *d->out, e);
}

static status record(const bank *b, device_bank *d, device_slot *x, bool shared, err *e)
{
    status s = d->dev->record_begin(d->ctx, e);
    if (s) return s;
    s = enqueue(b, d, x, shared, e);
    if (!s) return d->dev->record_end(d->ctx, &x->step[shared], e);
    d->dev->record_drop(d->ctx);
    return s;
}

/* Whether all active replicas were given one batch; it, or each his own, is copied where the device fetches it. */
static bool stage_tokens(const bank *b, const device_bank *d, device_slot *x, const bank_order *o)
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
        memcpy(x->up_tokens + r * d->z.tokens, shared || !o->active[r] ? one : o->tokens[r],
               d->z.tokens * sizeof *x->up_tokens);
    return shared;
}

static void stage_scalars(const bank *b, device_slot *x, const bank_order *o)
{
    for (size_t r = 0; r < b->o.n_replicas; r++) {
        const bank_hparams *h = &b->reps[r].h;
        if (!o->active[r]) {
            x->up_in[r].active = 0;
            continue;
        }
        x->up_in[r] = (k_step_in){.s = o->lr_factor[r],
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
static status shrink(device_bank *d, size_t n_replicas, const bool *active, err *e)
{
    const size_t need = behind_last(active, n_replicas);
    if (need == d->live || (need < d->live && 4 * need > 3 * d->live)) return ST_OK;
    const status s = d->dev->sync(d->ctx, e); /* the step before may be replaying what is forgotten */
    if (s) return s;
    device_forget(d);
    d->live = need;
    return ST_OK;
}

static status run(bank *b, device_bank *d, device_slot *x, bool shared, err *e)
{
    if (!d->warm || d->dev->one_by_one(d->ctx)) { /* makes plans, loads kernels: not while recording */
        d->warm = true;
        const status s = enqueue(b, d, x, shared, e);
        device_say(b); /* once more: now it is known how its products run */
        return s;
    }
    const status s = x->step[shared] ? ST_OK : record(b, d, x, shared, e);
    return s ? s : d->dev->replay(d->ctx, x->step[shared], e);
}

status device_start(bank *b, size_t slot, err *e)
{
    device_bank *d = b->self;
    device_slot *x = &d->slot[slot];
    const bank_order *o = &b->order[slot];
    status s = shrink(d, b->o.n_replicas, o->active, e);
    if (s) return s;
    const bool shared = stage_tokens(b, d, x, o);
    stage_scalars(b, x, o);
    s = send_ahead(d, x, shared, e);
    if (!s) s = repack(b, d, e);
    if (!s) s = run(b, d, x, shared, e);
    return s ? s : d->dev->mark_set(d->ctx, x->done, e);
}

status device_wait(bank *b, size_t slot, bank_step_out *out, err *e)
{
    const device_bank *d = b->self;
    const device_slot *x = &d->slot[slot];
    const status s = d->dev->mark_wait(x->done, e);
    for (size_t r = 0; r < b->o.n_replicas && !s; r++)
        if (b->order[slot].active[r])
            out[r] = (bank_step_out){x->down_out[r].loss, x->down_out[r].grad_norm, x->down_out[r].finite != 0};
    return s;
}

status device_eval(bank *b, double *seq_loss, const int32_t *tokens, size_t n_seq, const bool *active, err *e)
{
    device_bank *d = b->self;
    const size_t R = behind_last(active, b->o.n_replicas), T1 = (size_t)b->o.shape.seq_len + 1, micro = d->z.micro;
    const device_slot *x = &d->slot[0]; /* no step is under way */
    model_io io = io_of(b, d, R);
    io.ids.p = x->tokens;
    status s = repack(b, d, e);
    for (size_t i = 0; i < n_seq && !s; i += micro) {
        io.n_seq = n_seq - i < micro ? n_seq - i : micro;
        io.seq_loss = d->seq_loss;
        memcpy(x->up_tokens, tokens + i * T1, io.n_seq * T1 * sizeof *tokens);
        s = d->dev->upload(d->ctx, x->tokens, x->up_tokens, io.n_seq * T1 * sizeof *tokens, e);
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

size_t device_look_most(const bank *b) { return ((const device_bank *)b->self)->z.micro; }

/* Of one replica, in its own part of every buffer; what is left there is copied to the host. */
status device_look(bank *b, size_t r, const int32_t *tokens, size_t n_seq, model_scene *out, err *e)
{
    device_bank *d = b->self;
    const device_slot *x = &d->slot[0]; /* no step is under way */
    const size_t n = n_seq * ((size_t)b->o.shape.seq_len + 1), len = model_act_len(b->m, n_seq, true);
    real *acts = malloc(len * sizeof *acts);
    model_io io = io_of(b, d, 1);
    io.n_seq = n_seq;
    io.params = k_in_at(io.params, r * d->z.stride);
    if (io.packed.p) io.packed = k_in_at(io.packed, r * d->z.packed);
    io.acts = k_at(io.acts, r * d->z.acts);
    io.mults = (k_mult){d->mults + r, b->mults + r};
    io.ids.p = x->tokens;
    status s = acts ? repack(b, d, e) : err_set(e, ST_NOMEM, "bank: out of memory");
    memcpy(x->up_tokens, tokens, n * sizeof *tokens);
    if (!s) s = d->dev->upload(d->ctx, x->tokens, x->up_tokens, n * sizeof *tokens, e);
    if (!s) s = model_look(b->m, d->ops, d->ctx, &io, e);
    if (!s) s = d->dev->download(d->ctx, acts, io.acts.p, len * sizeof *acts, e);
    if (!s) s = d->dev->sync(d->ctx, e);
    if (!s) model_scene_take(out, b->m, acts);
    free(acts);
    return s;
}
