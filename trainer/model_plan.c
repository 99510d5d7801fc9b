#include "trainer/model_plan.h"

#include <stdlib.h>
#include <string.h>

#include "kernels/device_ops.h"
#include "kernels/rope.h"

/* Logits formed at once: on the CPU what stays in the cache; on a device as many as a matrix product likes, by shape
 * alone, because the blocks decide the order of the head's sums. */
enum { ALIGN_REALS = K_ALIGN / sizeof(real), LOGIT_BUDGET = 1 << 19, LOGIT_BUDGET_DEVICE = 1 << 28 };

static size_t pad_to(size_t n, size_t to) { return (n + to - 1) / to * to; }
static size_t pad(size_t n) { return pad_to(n, ALIGN_REALS); }
static size_t min(size_t a, size_t b) { return a < b ? a : b; }

static size_t find(const model *m, int64_t at, const char *suffix)
{
    for (size_t i = 0; i < m->n_tensors; i++) {
        const char *name = m->tensors[i].name;
        if (m->tensors[i].layer != at) continue;
        if (at >= 0) { /* "blocks.N.suffix" */
            name = strchr(name, '.');
            name = name ? strchr(name + 1, '.') : NULL;
            if (!name) continue;
            name++;
        }
        if (!strcmp(name, suffix)) return i;
    }
    return SIZE_MAX; /* only tensors that the shape has are asked for */
}

static void place(model *m)
{
    for (int64_t l = 0; l < m->s.n_layer; l++)
        m->layers[l] = (layer){.attn_norm = find(m, l, "attn.norm"),
                               .q = find(m, l, "attn.q"),
                               .k = find(m, l, "attn.k"),
                               .v = find(m, l, "attn.v"),
                               .attn_out = find(m, l, "attn.out"),
                               .ffn_norm = find(m, l, "ffn.norm"),
                               .ffn_in = find(m, l, "ffn.in"),
                               .ffn_gate = find(m, l, "ffn.gate"),
                               .ffn_out = find(m, l, "ffn.out")};
    m->embed = find(m, -1, "embed");
    m->final_norm = find(m, -1, "final.norm");
    m->head = m->s.tied_head ? m->embed : find(m, -1, "head");
}

status model_new(model **out, const shape *s, const k_ops *ops, err *e)
{
    status st = shape_check(s, e);
    if (st) return st;
    model *m = calloc(1, sizeof *m);
    if (!m) return err_set(e, ST_NOMEM, "model: no memory for its plan");
    m->s = *s;
    m->act_bytes = ops->act_bytes;
    m->device = ops->device != NULL;
    m->n_tensors = shape_tensors(s, NULL, 0);
    m->tensors = calloc(m->n_tensors, sizeof *m->tensors);
    m->pack_at = calloc(m->n_tensors, sizeof *m->pack_at);
    m->layers = calloc((size_t)s->n_layer, sizeof *m->layers);
    if (!m->tensors || !m->layers || !m->pack_at) {
        model_free(m);
        return err_set(e, ST_NOMEM, "model: no memory for its plan");
    }
    shape_tensors(s, m->tensors, m->n_tensors);
    m->d = (size_t)s->d_model;
    m->q = (size_t)(s->n_head * s->head_dim);
    m->kv = (size_t)(s->n_kv_head * s->head_dim);
    m->qkv = m->q + 2 * m->kv;
    m->f = (size_t)s->d_ff;
    m->u = s->act == ACT_SWIGLU ? 2 * m->f : m->f;
    m->T = (size_t)s->seq_len;
    m->V = (size_t)s->vocab;
    m->ld_qkv = pad(m->qkv) + ALIGN_REALS;
    m->ld_f = pad(m->f) + ALIGN_REALS;
    m->ld_u = s->act == ACT_SWIGLU ? 2 * m->ld_f : m->ld_f;
    m->ld_v = pad(m->V) + ALIGN_REALS;
    const size_t budget = m->device ? LOGIT_BUDGET_DEVICE : LOGIT_BUDGET;
    m->head_rows = budget / m->V < 64 ? 64 : budget / m->V / 64 * 64;
    place(m);
    *out = m;
    return ST_OK;
}

void model_free(model *m)
{
    if (!m) return;
    free(m->tensors);
    free(m->layers);
    free(m->pack_at);
    free(m);
}

size_t model_n_mults(const model *m) { return m->n_tensors + 3; }

void model_mults(const model *m, real *out, size_t ld, const mup_tensor *tensors, const mup_model *mult)
{
    for (size_t i = 0; i < m->n_tensors; i++) out[i * ld] = (real)tensors[i].forward_mult;
    for (int64_t l = 0; l < m->s.n_layer; l++) {
        out[m->layers[l].attn_out * ld] = (real)(tensors[m->layers[l].attn_out].forward_mult * mult->residual_mult);
        out[m->layers[l].ffn_out * ld] = (real)(tensors[m->layers[l].ffn_out].forward_mult * mult->residual_mult);
    }
    out[m->embed * ld] = (real)mult->embed_mult;
    out[m->n_tensors * ld] = (real)mult->logit_mult;
    out[(m->n_tensors + 1) * ld] = (real)mult->attn_scale;
    out[(m->n_tensors + 2) * ld] = (real)(mult->logit_mult / mup_theta(&tensors[m->head]));
}

size_t model_micro(const model *m, size_t seqs)
{
    enum {
        ROWS = 256
    }; /* enough rows to use a packed weight well, few enough for a layer's activations to stay in the L2 */
    const size_t n = m->device ? seqs : ROWS / m->T;
    return n < 1 ? 1 : min(n, seqs);
}

/* Room for n reals; on a device every buffer starts where a matrix product may be told it does. */
static size_t take(const model *m, layout *l, size_t n)
{
    const size_t at = l->total;
    l->total += pad_to(n, (m->device ? K_ALIGN_DEVICE : K_ALIGN) / sizeof(real));
    return at;
}

static size_t take_act(const model *m, layout *l, size_t n)
{
    return take(m, l, pad_to(n * m->act_bytes, sizeof(real)) / sizeof(real));
}

layout model_layout(const model *m, size_t n_seq, bool train)
{
    const size_t n = n_seq * m->T, heads = (size_t)(m->s.n_head + m->s.n_kv_head), rows = min(n, m->head_rows);
    layout l = {0};
    l.x = take_act(m, &l, n * m->d);
    const size_t first = l.total;
    l.h1 = take_act(m, &l, n * m->d);
    l.r1 = take(m, &l, n);
    l.qkv = take_act(m, &l, n * m->ld_qkv);
    l.rq = take(m, &l, m->s.qk_norm ? n * heads : 0);
    l.att = take_act(m, &l, n * m->q);
    l.lse = take(m, &l, n * (size_t)m->s.n_head);
    l.h2 = take_act(m, &l, n * m->d);
    l.r2 = take(m, &l, n);
    l.u = take_act(m, &l, n * m->ld_u);
    l.g = take_act(m, &l, n * m->ld_f);
    if (train) {
        l.layer = l.total - first;
        l.total = first + l.layer * (size_t)m->s.n_layer;
    }
    l.hf = take_act(m, &l, n * m->d);
    l.rf = take(m, &l, n);
    l.hg = take_act(m, &l, m->s.norm_gain ? n * m->d : 0);
    l.logits = take_act(m, &l, rows * m->ld_v);
    if (train) {
        l.dx = take_act(m, &l, n * m->d);
        l.dh = take_act(m, &l, n * m->d);
        l.dqkv = take_act(m, &l, n * m->ld_qkv);
        l.datt = take_act(m, &l, n * m->q);
        l.du = take_act(m, &l, n * m->ld_u);
    }
    return l;
}

size_t model_act_len(const model *m, size_t n_seq, bool train) { return model_layout(m, n_seq, train).total; }
size_t model_const_len(const model *m) { return pad(m->T * (size_t)m->s.head_dim); }
void model_consts(const model *m, real *out) { k_rope_table(out, m->T, (size_t)m->s.head_dim, m->s.rope_theta); }
