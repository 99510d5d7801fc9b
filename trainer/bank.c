/* The front of a bank: options, initial weights, and who computes. */
#include <stdlib.h>
#include <string.h>

#include "base/rng.h"
#include "trainer/bank_parts.h"

static status check(const bank_opts *o, err *e)
{
    status s = shape_check(&o->shape, e);
    if (s) return s;
    if (!o->n_replicas || !o->batch || !o->shards || o->threads < 1)
        return err_set(e, ST_INPUT, "bank: %zu replicas, batch %zu, %zu shards, %d threads; each must be at least 1",
                       o->n_replicas, o->batch, o->shards, o->threads);
    if (o->batch % bank_slices(o))
        return err_set(e, ST_INPUT, "shards: %zu does not divide the batch of %zu sequences; use a divisor",
                       bank_slices(o), o->batch);
    return ST_OK;
}

status bank_check_backend(const char *backend, const shape *s, err *e)
{
    const k_ops *ops = NULL;
    const status st = k_backend(&ops, backend, e);
    if (st || !ops->device || s->head_dim <= K_HEAD_DIM_DEVICE) return st;
    return err_set(e, ST_INPUT, "head_dim: %lld: backend %s has heads of at most %d; use cpu or a smaller head_dim",
                   (long long)s->head_dim, backend, (int)K_HEAD_DIM_DEVICE);
}

static const bank_kind *kind_of(const k_ops *ops) { return ops->device ? &bank_on_device : &bank_on_host; }

size_t bank_bytes_needed(const bank_opts *o)
{
    model *m = NULL;
    const k_ops *ops = NULL;
    if (check(o, NULL) || k_backend(&ops, o->backend, NULL) || model_new(&m, &o->shape, ops, NULL)) return 0;
    const size_t bytes = kind_of(ops)->bytes(o, m, ops);
    model_free(m);
    return bytes;
}

static bool make_parts(bank *b)
{
    const size_t R = b->o.n_replicas;
    b->stride = shape_param_stride(&b->o.shape);
    b->n_tensors = shape_tensors(&b->o.shape, NULL, 0);
    b->tensors = calloc(b->n_tensors, sizeof *b->tensors);
    b->mults = calloc(model_n_mults(b->m) * R, sizeof *b->mults);
    b->reps = calloc(R, sizeof *b->reps);
    if (!b->tensors || !b->mults || !b->reps) return false;
    shape_tensors(&b->o.shape, b->tensors, b->n_tensors);
    for (size_t r = 0; r < R; r++)
        if (!(b->reps[r].tensors = calloc(b->n_tensors, sizeof(mup_tensor)))) return false;
    return true;
}

status bank_new(bank **out, const bank_opts *o, err *e)
{
    const k_ops *ops = NULL;
    status s = check(o, e);
    if (!s) s = bank_check_backend(o->backend, &o->shape, e);
    if (!s) s = k_backend(&ops, o->backend, e);
    if (s) return s;
    bank *b = calloc(1, sizeof *b);
    if (!b) return err_set(e, ST_NOMEM, "bank: out of memory");
    b->o = *o;
    b->depth = 1;
    b->ops = ops;
    b->kind = kind_of(ops);
    s = model_new(&b->m, &o->shape, ops, e);
    if (!s && !make_parts(b)) s = err_set(e, ST_NOMEM, "bank: out of memory");
    if (!s) s = b->kind->make(b, e);
    if (s) {
        bank_free(b);
        return s;
    }
    *out = b;
    return ST_OK;
}

void bank_free(bank *b)
{
    if (!b) return;
    if (b->self) b->kind->free(b->self);
    if (b->reps)
        for (size_t r = 0; r < b->o.n_replicas; r++) free(b->reps[r].tensors);
    free(b->reps);
    free(b->mults);
    free(b->tensors);
    model_free(b->m);
    free(b);
}

/* Weights that a step under way still changes are no one's to see. */
static status at_rest(const bank *b, err *e)
{
    if (!b->under_way) return ST_OK;
    return err_set(e, ST_DOMAIN, "bank: %zu steps are under way; collect them first", b->under_way);
}

static status in_bank(const bank *b, size_t r, err *e)
{
    if (r < b->o.n_replicas) return at_rest(b, e);
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
    real *draft = b->kind->draft(b, r);
    for (size_t i = 0; i < b->n_tensors; i++) {
        const shape_tensor *t = &b->tensors[i];
        real *x = draft + t->offset;
        if (t->role == MUP_GAIN)
            for (size_t k = 0; k < t->n; k++) x[k] = 1;
        else
            rng_fill_normal(x, t->n, rep->tensors[i].init_std, h->seed, RNG_INIT, (uint32_t)i, 0);
    }
    return b->kind->set(b, r, e);
}

size_t bank_stride(const bank *b) { return b->stride; }

status bank_read(bank *b, size_t r, float *params, float *m, float *v, err *e)
{
    status s = in_bank(b, r, e);
    return s ? s : b->kind->read(b, r, params, m, v, e);
}

status bank_write(bank *b, size_t r, const float *params, const float *m, const float *v, err *e)
{
    status s = in_bank(b, r, e);
    return s ? s : b->kind->write(b, r, params, m, v, e);
}

const char *bank_device_name(const bank *b) { return b->device; }

double bank_clip(const replica *rep, double grad_norm)
{
    const double limit = rep->h.clip_norm;
    return limit > 0 && grad_norm > limit ? limit / grad_norm : 1;
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

size_t bank_depth(const bank *b) { return b->depth; }

status bank_submit(bank *b, const int32_t *const *tokens, const double *lr_factor, const uint64_t *step,
                   const bool *active, err *e)
{
    const int32_t *checked = NULL;
    if (b->under_way == b->depth)
        return err_set(e, ST_DOMAIN, "bank: %zu steps are under way, and no more may be; collect one first",
                       b->under_way);
    for (size_t r = 0; r < b->o.n_replicas; r++) {
        if (!active[r] || tokens[r] == checked) continue;
        status s = check_tokens(b, checked = tokens[r], b->o.batch, e);
        if (s) return s;
    }
    const size_t slot = (b->oldest + b->under_way) % BANK_DEPTH;
    b->order[slot] = (bank_order){.tokens = tokens, .lr_factor = lr_factor, .step = step, .active = active};
    const status s = b->kind->start(b, slot, e);
    b->under_way += !s;
    return s;
}

status bank_collect(bank *b, bank_step_out *out, err *e)
{
    if (!b->under_way) return err_set(e, ST_DOMAIN, "bank: no step is under way");
    const size_t slot = b->oldest;
    b->under_way--;
    b->oldest = b->under_way ? (slot + 1) % BANK_DEPTH : 0;
    return b->kind->wait(b, slot, out, e);
}

status bank_step(bank *b, bank_step_out *out, const int32_t *const *tokens, const double *lr_factor,
                 const uint64_t *step, const bool *active, err *e)
{
    status s = at_rest(b, e);
    if (!s) s = bank_submit(b, tokens, lr_factor, step, active, e);
    return s ? s : bank_collect(b, out, e);
}

status bank_eval(bank *b, double *seq_loss, const int32_t *tokens, size_t n_seq, const bool *active, err *e)
{
    status s = at_rest(b, e);
    if (!s) s = check_tokens(b, tokens, n_seq, e);
    return s ? s : b->kind->eval(b, seq_loss, tokens, n_seq, active, e);
}

size_t bank_look_most(const bank *b) { return b->kind->look_most(b); }

status bank_look(bank *b, size_t r, const int32_t *tokens, size_t n_seq, model_scene **out, err *e)
{
    const size_t most = bank_look_most(b);
    status s = in_bank(b, r, e);
    if (s) return s;
    if (!n_seq || n_seq > most)
        return err_set(e, ST_INPUT, "bank: activations of %zu sequences asked for; backend %s shows at most %zu", n_seq,
                       b->o.backend, most);
    s = check_tokens(b, tokens, n_seq, e);
    if (!s && !*out) s = model_scene_new(out, b->m, n_seq, e);
    if (!s && (*out)->rows != n_seq * (size_t)b->o.shape.seq_len)
        s = err_set(e, ST_DOMAIN, "bank: room for the activations of %zu tokens, not of %zu sequences", (*out)->rows, n_seq);
    return s ? s : b->kind->look(b, r, tokens, n_seq, *out, e);
}
