#include "trainer/shape.h"

#include <inttypes.h>
#include <stdio.h>
#include <string.h>

enum { ALIGN_FLOATS = 64 }; /* 256 bytes: what a device wants, and one layout for checkpoints of any backend */

/* Upper limits keep every product below 2^62; they are far above what a CPU can train. */
static const struct { const char *key; size_t offset; int64_t max; } limits[] = {
    {"vocab", offsetof(shape, vocab), 1 << 24},      {"d_model", offsetof(shape, d_model), 1 << 17},
    {"n_layer", offsetof(shape, n_layer), 1 << 12},  {"n_head", offsetof(shape, n_head), 1 << 16},
    {"n_kv_head", offsetof(shape, n_kv_head), 1 << 16}, {"head_dim", offsetof(shape, head_dim), 1 << 13},
    {"d_ff", offsetof(shape, d_ff), 1 << 19},        {"seq_len", offsetof(shape, seq_len), 1 << 20},
};

status shape_check(const shape *s, err *e)
{
    for (size_t i = 0; i < sizeof limits / sizeof *limits; i++) {
        int64_t x;
        memcpy(&x, (const char *)s + limits[i].offset, sizeof x);
        if (x < 1 || x > limits[i].max)
            return err_set(e, ST_INPUT, "%s: %" PRId64 " is out of range; use 1 to %" PRId64, limits[i].key, x,
                           limits[i].max);
    }
    if (s->d_model != s->n_head * s->head_dim)
        return err_set(e, ST_INPUT, "d_model: %" PRId64 " is not n_head * head_dim = %" PRId64 " * %" PRId64
                       "; make d_model a multiple of head_dim", s->d_model, s->n_head, s->head_dim);
    if (s->n_head % s->n_kv_head)
        return err_set(e, ST_INPUT, "n_kv_head: %" PRId64 " does not divide n_head = %" PRId64 "; use a divisor",
                       s->n_kv_head, s->n_head);
    if (s->head_dim % 2)
        return err_set(e, ST_INPUT, "head_dim: %" PRId64 " is odd, rotary positions turn pairs; make it even",
                       s->head_dim);
    if (s->vocab < 2)
        return err_set(e, ST_INPUT, "vocab: %" PRId64 " leaves nothing to predict; use at least 2", s->vocab);
    if (!(s->rope_theta > 1 && s->rope_theta < 1e12))
        return err_set(e, ST_INPUT, "rope_theta: %g is out of range; use more than 1, commonly 10000", s->rope_theta);
    if (s->act != ACT_GELU && s->act != ACT_SWIGLU)
        return err_set(e, ST_INPUT, "activation: %d is neither gelu nor swiglu", (int)s->act);
    return ST_OK;
}

/* Collects tensors in storage order; counts them when there is no room. */
typedef struct list { shape_tensor *out; size_t max, n, offset; } list;

static void add(list *l, const char *name, mup_role role, mup_part part, int64_t layer, int64_t rows, int64_t cols)
{
    size_t n = (size_t)rows * (size_t)cols;
    if (l->out && l->n < l->max) {
        shape_tensor *t = &l->out[l->n];
        *t = (shape_tensor){.role = role, .part = part, .layer = (int)layer, .rows = rows, .cols = cols,
                            .offset = l->offset, .n = n};
        t->fan_in = role == MUP_EMBEDDING || role == MUP_GAIN ? 1 : cols;
        if (layer < 0) snprintf(t->name, sizeof t->name, "%s", name);
        else snprintf(t->name, sizeof t->name, "blocks.%d.%s", (int)layer, name);
    }
    l->n++;
    l->offset += (n + ALIGN_FLOATS - 1) / ALIGN_FLOATS * ALIGN_FLOATS;
}

static list walk(const shape *s, shape_tensor *out, size_t max)
{
    list l = {out, max, 0, 0};
    const int64_t d = s->d_model, q = s->n_head * s->head_dim, kv = s->n_kv_head * s->head_dim;
    add(&l, "embed", MUP_EMBEDDING, MUP_PART_OTHER, -1, s->vocab, d);
    for (int64_t i = 0; i < s->n_layer; i++) {
        if (s->norm_gain) add(&l, "attn.norm", MUP_GAIN, MUP_PART_OTHER, i, 1, d);
        add(&l, "attn.q", MUP_HIDDEN, MUP_QUERY, i, q, d);
        add(&l, "attn.k", MUP_HIDDEN, MUP_PART_OTHER, i, kv, d);
        add(&l, "attn.v", MUP_HIDDEN, MUP_PART_OTHER, i, kv, d);
        add(&l, "attn.out", MUP_HIDDEN, MUP_ATTN_OUT, i, d, q);
        if (s->norm_gain) add(&l, "ffn.norm", MUP_GAIN, MUP_PART_OTHER, i, 1, d);
        add(&l, "ffn.in", MUP_HIDDEN, MUP_PART_OTHER, i, s->d_ff, d);
        if (s->act == ACT_SWIGLU) add(&l, "ffn.gate", MUP_HIDDEN, MUP_PART_OTHER, i, s->d_ff, d);
        add(&l, "ffn.out", MUP_HIDDEN, MUP_FFN_OUT, i, d, s->d_ff);
    }
    if (s->norm_gain) add(&l, "final.norm", MUP_GAIN, MUP_PART_OTHER, -1, 1, d);
    if (!s->tied_head) add(&l, "head", MUP_READOUT, MUP_PART_OTHER, -1, s->vocab, d);
    return l;
}

size_t shape_tensors(const shape *s, shape_tensor *out, size_t max) { return walk(s, out, max).n; }
size_t shape_param_stride(const shape *s) { return walk(s, NULL, 0).offset; }

/* Parameters of one block's matrices. */
static int64_t block_matrix_params(const shape *s)
{
    const int64_t d = s->d_model, q = s->n_head * s->head_dim, kv = s->n_kv_head * s->head_dim;
    return 2 * d * q + 2 * d * kv + (s->act == ACT_SWIGLU ? 3 : 2) * d * s->d_ff;
}

shape_counts shape_count(const shape *s)
{
    const int64_t gains = s->norm_gain ? (2 * s->n_layer + 1) * s->d_model : 0;
    shape_counts c;
    c.n_params_embed = s->vocab * s->d_model * (s->tied_head ? 1 : 2);
    c.n_params_non_embed = s->n_layer * block_matrix_params(s) + gains;
    c.n_params_total = c.n_params_embed + c.n_params_non_embed;
    return c;
}

static const char *const rule_names[] = {[FLOPS_6N] = "6N", [FLOPS_EXACT] = "exact"};

status flops_rule_find(flops_rule *out, const char *name, err *e)
{
    for (size_t i = 0; i < sizeof rule_names / sizeof *rule_names; i++)
        if (!strcmp(name, rule_names[i])) {
            *out = (flops_rule)i;
            return ST_OK;
        }
    return err_set(e, ST_INPUT, "flops_rule: '%s' is unknown; use 6N or exact", name);
}

double shape_flops_per_token(const shape *s, flops_rule r)
{
    if (r == FLOPS_6N) return 6.0 * (double)shape_count(s).n_params_total;
    const double matrices = (double)(s->n_layer * block_matrix_params(s) + s->vocab * s->d_model);
    /* q.k and p.v: two matmuls of 2 * head_dim FLOPs per key, T/2 keys on average, n_head heads. */
    const double attention = 2.0 * (double)s->n_layer * (double)s->seq_len * (double)(s->n_head * s->head_dim);
    return 3.0 * (2.0 * matrices + attention);
}
