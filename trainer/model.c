#include "trainer/model.h"

#include "trainer/model_plan.h"

#define TRY(call)                  \
    do {                           \
        status try_s = (call);     \
        if (try_s) return try_s;   \
    } while (0)

/* What every step of one call needs. */
typedef struct run {
    const model *m;
    const k_ops *ops;
    k_ctx *ctx;
    const model_io *io;
    layout at;
    size_t R, n;
    k_arr grads;
    double dscale; /* 0: eval */
    bool fresh;    /* gradients of matrices hold nothing yet: written, not added to */
    err *e;
} run;

/* The arena is counted in reals (model_plan.h); activations in it may be smaller. */
static k_arr stat(const run *w, size_t offset) { return k_at(w->io->acts, offset); }
static k_act act(const run *w, size_t offset)
{
    const k_arr a = stat(w, offset);
    return (k_act){(act_real *)(void *)a.p, a.stride * sizeof(real) / w->m->act_bytes};
}
static k_arr stat_l(const run *w, size_t offset, int64_t l) { return stat(w, offset + (size_t)l * w->at.layer); }
static k_act act_l(const run *w, size_t offset, int64_t l) { return act(w, offset + (size_t)l * w->at.layer); }
static k_in cstat(const run *w, size_t offset) { return k_const(stat(w, offset)); }
static k_in cstat_l(const run *w, size_t offset, int64_t l) { return k_const(stat_l(w, offset, l)); }
static k_cact cact(const run *w, size_t offset) { return k_cact_of(act(w, offset)); }
static k_cact cact_l(const run *w, size_t offset, int64_t l) { return k_cact_of(act_l(w, offset, l)); }
static k_act column(const run *w, k_act a, size_t i) { return k_act_at(a, i, w->m->act_bytes); }
static k_cact ccolumn(const run *w, k_cact a, size_t i) { return k_cact_at(a, i, w->m->act_bytes); }
static k_mult mult(const run *w, size_t i)
{
    const size_t at = i * w->io->ld_mults;
    return (k_mult){w->io->mults.p + at, w->io->mults.host + at};
}
static k_in param(const run *w, size_t t) { return k_in_at(w->io->params, w->m->tensors[t].offset); }
static k_arr grad(const run *w, size_t t) { return k_at(w->grads, w->m->tensors[t].offset); }

static k_weight weight(const run *w, size_t t)
{
    const k_in none = {0};
    return (k_weight){param(w, t), w->io->packed.p ? k_in_at(w->io->packed, w->m->pack_at[t]) : none};
}

static k_mm mm(const run *w, size_t in, size_t out)
{
    return (k_mm){.R = w->R, .n = w->n, .in = in, .out = out, .ldx = in, .ldy = out};
}

static k_norm norm(const run *w) { return (k_norm){.R = w->R, .n = w->n, .c = w->m->d, .eps = MODEL_NORM_EPS}; }
static k_rows rows(const run *w, size_t c, size_t ld) { return (k_rows){.R = w->R, .n = w->n, .c = c, .ld = ld}; }

static k_heads heads(const run *w)
{
    const shape *s = &w->m->s; /* q's heads and k's heads are neighbours in a row of qkv */
    return (k_heads){.R = w->R, .B = w->io->n_seq, .T = w->m->T, .heads = (size_t)(s->n_head + s->n_kv_head),
                     .head_dim = (size_t)s->head_dim, .ld = w->m->ld_qkv};
}

static k_attn attn(const run *w)
{
    const shape *s = &w->m->s;
    return (k_attn){.kind = K_ATTN_CAUSAL,
                    .R = w->R,
                    .B = w->io->n_seq,
                    .T = w->m->T,
                    .n_head = (size_t)s->n_head,
                    .n_kv_head = (size_t)s->n_kv_head,
                    .head_dim = (size_t)s->head_dim,
                    .ld = w->m->ld_qkv,
                    .ldo = w->m->q};
}

/* The input of a matrix after a norm: the normalised rows, times the gain where the shape has one. */
static status normed(const run *w, k_cact *out, k_cact h, size_t gain)
{
    *out = h;
    if (!w->m->s.norm_gain) return ST_OK;
    const k_norm s = norm(w);
    *out = cact(w, w->at.hg);
    return w->ops->gain_fwd(w->ctx, act(w, w->at.hg), h, param(w, gain), &s, w->e);
}

/* dx += gradient through norm and gain of dh. */
static status normed_bwd(const run *w, k_act dh, k_cact h, k_in rstd, size_t gain, bool acc)
{
    const k_norm s = norm(w);
    if (w->m->s.norm_gain)
        TRY(w->ops->gain_bwd(w->ctx, dh, grad(w, gain), k_cact_of(dh), h, param(w, gain), &s, w->e));
    return w->ops->rmsnorm_bwd(w->ctx, act(w, w->at.dx), k_cact_of(dh), h, rstd, acc, &s, w->e);
}

/* q, k, v write the columns of one buffer; likewise the two halves of SwiGLU. */
typedef struct part { size_t tensor, column, width; } part;

/* Whether two neighbouring parts are one matrix: back to back in memory, packed too. By shape alone: a replica's bits may
 * not depend on another's factors. That the factors of both are equal is model_joins_hold's. */
static bool joins(const model *m, const k_ops *ops, const part *a, const part *b)
{
    const size_t n = a->width * m->d, packed = ops->pack_len ? ops->pack_len(a->width, m->d) : 0;
    if (m->tensors[a->tensor].offset + n != m->tensors[b->tensor].offset) return false;
    return !packed || (packed * sizeof(real) == n * m->act_bytes &&
                       m->pack_at[a->tensor] + packed == m->pack_at[b->tensor]);
}

/* On a device one wide product is quicker than three narrow ones; on the host tensors are packed one by one. */
static size_t join(const model *m, const k_ops *ops, part *p, size_t n)
{
    size_t last = 0;
    for (size_t i = 1; i < n; i++) {
        if (m->device && joins(m, ops, &p[last], &p[i])) p[last].width += p[i].width;
        else p[++last] = p[i];
    }
    return last + 1;
}

static size_t qkv_parts(const model *m, const k_ops *ops, part *out, int64_t l)
{
    const layer *y = &m->layers[l];
    out[0] = (part){y->q, 0, m->q};
    out[1] = (part){y->k, m->q, m->kv};
    out[2] = (part){y->v, m->q + m->kv, m->kv};
    return join(m, ops, out, 3);
}

static size_t ffn_parts(const model *m, const k_ops *ops, part *out, int64_t l)
{
    out[0] = (part){m->layers[l].ffn_in, 0, m->f};
    if (m->s.act != ACT_SWIGLU) return 1;
    out[1] = (part){m->layers[l].ffn_gate, m->f, m->f};
    return join(m, ops, out, 2);
}

static status parts_fwd(const run *w, k_act y, k_cact x, const part *p, size_t n_parts, size_t ldy)
{
    for (size_t i = 0; i < n_parts; i++) {
        k_mm s = mm(w, w->m->d, p[i].width);
        s.ldy = ldy;
        TRY(w->ops->matmul_fwd(w->ctx, column(w, y, p[i].column), x, weight(w, p[i].tensor), mult(w, p[i].tensor), false,
                               &s, w->e));
    }
    return ST_OK;
}

static status parts_bwd(const run *w, k_act dx, k_cact dy, k_cact x, const part *p, size_t n_parts, size_t ldy)
{
    for (size_t i = 0; i < n_parts; i++) {
        k_mm s = mm(w, w->m->d, p[i].width);
        s.ldy = ldy;
        const k_cact d = ccolumn(w, dy, p[i].column);
        TRY(w->ops->matmul_wgrad(w->ctx, grad(w, p[i].tensor), d, x, mult(w, p[i].tensor), !w->fresh, &s, w->e));
        TRY(w->ops->matmul_dgrad(w->ctx, dx, d, weight(w, p[i].tensor), mult(w, p[i].tensor), i > 0, &s, w->e));
    }
    return ST_OK;
}

static status attn_branch(const run *w, int64_t l)
{
    const model *m = w->m;
    const layout *at = &w->at;
    const k_norm ns = norm(w);
    const k_heads hs = heads(w);
    const k_attn as = attn(w);
    k_cact h;
    part p[3];
    TRY(w->ops->rmsnorm_fwd(w->ctx, act_l(w, at->h1, l), stat_l(w, at->r1, l), cact(w, at->x), &ns, w->e));
    TRY(normed(w, &h, cact_l(w, at->h1, l), m->layers[l].attn_norm));
    const k_act qkv = act_l(w, at->qkv, l);
    TRY(parts_fwd(w, qkv, h, p, qkv_parts(m, w->ops, p, l), m->ld_qkv));
    if (m->s.qk_norm) TRY(w->ops->qknorm_fwd(w->ctx, qkv, stat_l(w, at->rq, l), MODEL_NORM_EPS, &hs, w->e));
    const k_cact q = k_cact_of(qkv), k = ccolumn(w, q, m->q), v = ccolumn(w, q, m->q + m->kv);
    const k_mult scale = mult(w, m->n_tensors + 1);
    const k_act att = act_l(w, at->att, l);
    const k_arr lse = stat_l(w, at->lse, l);
    if (w->ops->attn_rope_fwd) {
        TRY(w->ops->attn_rope_fwd(w->ctx, att, lse, q, k, v, w->io->consts, scale, &as, w->e));
    } else {
        TRY(w->ops->rope_fwd(w->ctx, qkv, w->io->consts, &hs, w->e));
        TRY(w->ops->attn_fwd(w->ctx, att, lse, q, k, v, scale, &as, w->e));
    }
    const k_mm s = mm(w, m->q, m->d);
    const size_t t = m->layers[l].attn_out;
    return w->ops->matmul_fwd(w->ctx, act(w, at->x), cact_l(w, at->att, l), weight(w, t), mult(w, t), true, &s, w->e);
}

static status ffn_branch(const run *w, int64_t l)
{
    const model *m = w->m;
    const layout *at = &w->at;
    const k_norm ns = norm(w);
    const k_rows rs = rows(w, m->f, m->ld_f);
    const k_act u = act_l(w, at->u, l), g = act_l(w, at->g, l);
    const size_t t = m->layers[l].ffn_out, t1 = m->layers[l].ffn_in;
    k_cact h;
    part p[2];
    TRY(w->ops->rmsnorm_fwd(w->ctx, act_l(w, at->h2, l), stat_l(w, at->r2, l), cact(w, at->x), &ns, w->e));
    TRY(normed(w, &h, cact_l(w, at->h2, l), m->layers[l].ffn_norm));
    if (m->s.act == ACT_GELU && w->ops->matmul_gelu_fwd) {
        k_mm s1 = mm(w, m->d, m->f);
        s1.ldy = m->ld_f;
        TRY(w->ops->matmul_gelu_fwd(w->ctx, g, u, h, weight(w, t1), mult(w, t1), &s1, w->e));
    } else {
        TRY(parts_fwd(w, u, h, p, ffn_parts(m, w->ops, p, l), m->ld_u));
        TRY((m->s.act == ACT_GELU ? w->ops->gelu_fwd : w->ops->swiglu_fwd)(w->ctx, g, u, &rs, w->e));
    }
    k_mm s = mm(w, m->f, m->d);
    s.ldx = m->ld_f;
    return w->ops->matmul_fwd(w->ctx, act(w, at->x), k_cact_of(g), weight(w, t), mult(w, t), true, &s, w->e);
}

static status forward(const run *w)
{
    const model *m = w->m;
    const k_rows rs = rows(w, m->d, m->d);
    const k_norm ns = norm(w);
    TRY(w->ops->embed_fwd(w->ctx, act(w, w->at.x), param(w, m->embed), w->io->ids, mult(w, m->embed), &rs, w->e));
    for (int64_t l = 0; l < m->s.n_layer; l++) {
        TRY(attn_branch(w, l));
        TRY(ffn_branch(w, l));
    }
    return w->ops->rmsnorm_fwd(w->ctx, act(w, w->at.hf), stat(w, w->at.rf), cact(w, w->at.x), &ns, w->e);
}

/* Logits, loss and (training) the gradient of the head and of hf, a block of rows at a time: all logits at once would
 * be the largest buffer of the model. */
static status head(const run *w)
{
    const model *m = w->m;
    const k_mult alpha = mult(w, m->n_tensors), alpha_grad = mult(w, m->n_tensors + 2);
    k_cact h;
    TRY(normed(w, &h, cact(w, w->at.hf), m->final_norm));
    /* Losses that are kept are of logits in full: in the room of a block that is as much smaller. */
    const bool wide = w->dscale == 0 && w->ops->matmul_fwd_real;
    const size_t block = wide ? m->head_rows * m->act_bytes / sizeof(real) : m->head_rows;
    for (size_t i = 0; i < w->n; i += block) {
        k_mm s = mm(w, m->d, m->V);
        s.n = w->n - i < block ? w->n - i : block;
        s.ldy = m->ld_v;
        const k_rows rs = {.R = w->R, .n = s.n, .c = m->V, .ld = m->ld_v};
        k_ids targets = w->io->ids;
        targets.p++;
        targets.first += i;
        const k_act logits = act(w, w->at.logits);
        const k_cact hi = ccolumn(w, h, i * m->d);
        if (wide) {
            const k_arr exact = stat(w, w->at.logits);
            TRY(w->ops->matmul_fwd_real(w->ctx, exact, hi, weight(w, m->head), alpha, &s, w->e));
            TRY(w->ops->xent_real(w->ctx, w->io->row_loss + i, w->n, exact, targets, &rs, w->e));
            continue;
        }
        TRY(w->ops->matmul_fwd(w->ctx, logits, hi, weight(w, m->head), alpha, false, &s, w->e));
        TRY(w->ops->xent(w->ctx, w->io->row_loss + i, w->n, logits, targets, w->dscale, &rs, w->e));
        if (w->dscale == 0) continue;
        TRY(w->ops->matmul_wgrad(w->ctx, grad(w, m->head), k_cact_of(logits), hi, alpha_grad,
                                 !w->fresh || i, &s, w->e));
        TRY(w->ops->matmul_dgrad(w->ctx, column(w, act(w, w->at.dh), i * m->d), k_cact_of(logits), weight(w, m->head), alpha,
                                 false, &s, w->e));
    }
    return ST_OK;
}

static status sequence_losses(const run *w)
{
    return w->ops->seq_loss(w->ctx, w->io->seq_loss, w->io->ld_seq_loss, w->io->row_loss, w->n, w->R, w->io->n_seq,
                            w->m->T, w->e);
}

static status ffn_bwd(const run *w, int64_t l)
{
    const model *m = w->m;
    const layout *at = &w->at;
    const size_t t = m->layers[l].ffn_out;
    k_mm s = mm(w, m->f, m->d);
    s.ldx = m->ld_f;
    const k_rows rs = rows(w, m->f, m->ld_f);
    const k_cact u = cact_l(w, at->u, l), dx = cact(w, at->dx);
    const k_act du = act(w, at->du), g = act_l(w, at->g, l);
    part p[2];
    k_cact h;
    TRY(w->ops->matmul_wgrad(w->ctx, grad(w, t), dx, k_cact_of(g), mult(w, t), !w->fresh, &s, w->e));
    if (m->s.act == ACT_GELU && w->ops->matmul_dgrad_mul) {
        TRY(w->ops->matmul_dgrad_mul(w->ctx, du, dx, weight(w, t), u, mult(w, t), &s, w->e));
    } else { /* g has served: its gradient takes its place */
        TRY(w->ops->matmul_dgrad(w->ctx, g, dx, weight(w, t), mult(w, t), false, &s, w->e));
        TRY((m->s.act == ACT_GELU ? w->ops->gelu_bwd : w->ops->swiglu_bwd)(w->ctx, du, k_cact_of(g), u, &rs, w->e));
    }
    const k_cact h2 = cact_l(w, at->h2, l);
    TRY(normed(w, &h, h2, m->layers[l].ffn_norm));
    TRY(parts_bwd(w, act(w, at->dh), k_cact_of(du), h, p, ffn_parts(m, w->ops, p, l), m->ld_u));
    return normed_bwd(w, act(w, at->dh), h2, cstat_l(w, at->r2, l), m->layers[l].ffn_norm, true);
}

static status attn_bwd(const run *w, int64_t l)
{
    const model *m = w->m;
    const layout *at = &w->at;
    const size_t t = m->layers[l].attn_out;
    const k_mm s = mm(w, m->q, m->d);
    const k_heads hs = heads(w);
    const k_attn as = attn(w);
    const k_cact q = cact_l(w, at->qkv, l), dx = cact(w, at->dx), att = cact_l(w, at->att, l);
    const k_act dqkv = act(w, at->dqkv), datt = act(w, at->datt);
    part p[3];
    k_cact h;
    TRY(w->ops->matmul_wgrad(w->ctx, grad(w, t), dx, att, mult(w, t), !w->fresh, &s, w->e));
    TRY(w->ops->matmul_dgrad(w->ctx, datt, dx, weight(w, t), mult(w, t), false, &s, w->e));
    const k_cact k = ccolumn(w, q, m->q), v = ccolumn(w, q, m->q + m->kv), dout = k_cact_of(datt);
    const k_act dk = column(w, dqkv, m->q), dv = column(w, dqkv, m->q + m->kv);
    const k_in lse = cstat_l(w, at->lse, l);
    const k_mult scale = mult(w, m->n_tensors + 1);
    const bool turns = w->ops->attn_rope_bwd != NULL; /* then q and its gradient are before RoPE here, else after it */
    if (turns)
        TRY(w->ops->attn_rope_bwd(w->ctx, dqkv, dk, dv, dout, q, k, v, att, lse, w->io->consts, scale, &as, w->e));
    else TRY(w->ops->attn_bwd(w->ctx, dqkv, dk, dv, dout, q, k, v, att, lse, scale, &as, w->e));
    if (m->s.qk_norm) /* on either side of RoPE: see qknorm.h */
        TRY(w->ops->qknorm_bwd(w->ctx, dqkv, q, cstat_l(w, at->rq, l), &hs, w->e));
    if (!turns) TRY(w->ops->rope_bwd(w->ctx, dqkv, w->io->consts, &hs, w->e));
    const k_cact h1 = cact_l(w, at->h1, l);
    TRY(normed(w, &h, h1, m->layers[l].attn_norm));
    TRY(parts_bwd(w, act(w, at->dh), k_cact_of(dqkv), h, p, qkv_parts(m, w->ops, p, l), m->ld_qkv));
    return normed_bwd(w, act(w, at->dh), h1, cstat_l(w, at->r1, l), m->layers[l].attn_norm, true);
}

static status backward(const run *w)
{
    const model *m = w->m;
    const k_rows rs = rows(w, m->d, m->d);
    TRY(normed_bwd(w, act(w, w->at.dh), cact(w, w->at.hf), cstat(w, w->at.rf), m->final_norm, false));
    for (int64_t l = m->s.n_layer - 1; l >= 0; l--) {
        TRY(ffn_bwd(w, l));
        TRY(attn_bwd(w, l));
    }
    return w->ops->embed_bwd(w->ctx, grad(w, m->embed), cact(w, w->at.dx), w->io->ids, mult(w, m->embed), &rs, w->e);
}

static run begin(const model *m, const k_ops *ops, k_ctx *ctx, const model_io *io, bool train, err *e)
{
    return (run){.m = m, .ops = ops, .ctx = ctx, .io = io, .at = model_layout(m, io->n_seq, train), .R = io->R,
                 .n = io->n_seq * m->T, .e = e};
}

status model_eval(const model *m, const k_ops *ops, k_ctx *ctx, const model_io *io, err *e)
{
    run w = begin(m, ops, ctx, io, false, e);
    TRY(forward(&w));
    TRY(head(&w));
    return sequence_losses(&w);
}

status model_look(const model *m, const k_ops *ops, k_ctx *ctx, const model_io *io, err *e)
{
    k_ops apart = *ops;
    apart.attn_rope_fwd = NULL; /* heads are looked at turned: as attention works with them */
    run w = begin(m, &apart, ctx, io, true, e);
    k_cact h;
    TRY(forward(&w));
    return normed(&w, &h, cact(&w, w.at.hf), m->final_norm);
}

/* Weights that go through a matmul: all but gains, and the table only when it is the head too. */
static bool packs(const model *m, size_t t)
{
    return m->tensors[t].role == MUP_HIDDEN || t == m->head;
}

/* Gradients that no product writes: gains, and a table that is not the head too. */
status model_zero_added(const model *m, const k_ops *ops, k_ctx *ctx, k_arr grads, size_t R, err *e)
{
    for (size_t t = 0; t < m->n_tensors; t++)
        if (!packs(m, t)) TRY(ops->zero(ctx, k_at(grads, m->tensors[t].offset), R, m->tensors[t].n, e));
    return ST_OK;
}

status model_gradient(const model *m, const k_ops *ops, k_ctx *ctx, const model_io *io, k_arr grads, bool fresh,
                      double dscale, err *e)
{
    run w = begin(m, ops, ctx, io, true, e);
    w.grads = grads;
    w.dscale = dscale;
    w.fresh = fresh;
    TRY(forward(&w));
    TRY(head(&w));
    TRY(sequence_losses(&w));
    return backward(&w);
}

size_t model_pack_len(const model *m, const k_ops *ops)
{
    size_t n = 0;
    if (!ops->pack_len) return 0;
    for (size_t t = 0; t < m->n_tensors; t++) {
        m->pack_at[t] = n;
        if (packs(m, t)) n += ops->pack_len((size_t)m->tensors[t].rows, (size_t)m->tensors[t].cols);
    }
    return n;
}

bool model_joins_hold(const model *m, const real *mults, size_t ld)
{
    for (int64_t l = 0; l < m->s.n_layer && m->device; l++) {
        const layer *y = &m->layers[l];
        if (mults[y->q * ld] != mults[y->k * ld] || mults[y->q * ld] != mults[y->v * ld]) return false;
        if (m->s.act == ACT_SWIGLU && mults[y->ffn_in * ld] != mults[y->ffn_gate * ld]) return false;
    }
    return true;
}

size_t model_packed_at(const model *m, const k_ops *ops, size_t tensor)
{
    return ops->pack_len && packs(m, tensor) ? m->pack_at[tensor] : SIZE_MAX;
}

status model_pack(const model *m, const k_ops *ops, k_ctx *ctx, k_arr packed, k_in params, size_t R, err *e)
{
    for (size_t t = 0; t < m->n_tensors; t++)
        if (packs(m, t))
            TRY(ops->pack(ctx, k_at(packed, m->pack_at[t]), k_in_at(params, m->tensors[t].offset), R,
                          (size_t)m->tensors[t].rows, (size_t)m->tensors[t].cols, e));
    return ST_OK;
}

size_t model_scratch(const model *m, const k_ops *ops, size_t R, size_t n_seq)
{
    const shape *s = &m->s;
    const k_attn a = {.R = R, .B = n_seq, .T = m->T, .n_head = (size_t)s->n_head, .n_kv_head = (size_t)s->n_kv_head,
                      .head_dim = (size_t)s->head_dim, .ld = m->ld_qkv, .ldo = m->q};
    const k_norm rows = {.R = R, .n = n_seq * m->T, .c = m->d, .eps = MODEL_NORM_EPS};
    const size_t gain = s->norm_gain && ops->norm_scratch ? ops->norm_scratch(&rows) : 0;
    size_t max = ops->attn_scratch(&a);
    max = gain > max ? gain : max;
    for (size_t t = 0; t < m->n_tensors; t++) {
        if (!packs(m, t)) continue;
        const k_mm x = {.R = R, .n = n_seq * m->T, .in = (size_t)m->tensors[t].cols, .out = (size_t)m->tensors[t].rows};
        const size_t n = ops->mm_scratch(&x);
        max = n > max ? n : max;
    }
    const size_t joined[] = {m->q + m->kv, 2 * m->kv, m->qkv, m->u}; /* what `join` may make of parts */
    for (size_t i = 0; i < sizeof joined / sizeof *joined; i++) {
        const k_mm x = {.R = R, .n = n_seq * m->T, .in = m->d, .out = joined[i]};
        const size_t n = ops->mm_scratch(&x);
        max = n > max ? n : max;
    }
    return max;
}
