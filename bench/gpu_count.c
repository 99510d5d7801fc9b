#include "bench/gpu_count.h"

/* Sizes of one token's row in each tensor, in elements, and the bank's totals. */
typedef struct sizes {
    double d, q, kv, f, u, V, T, L, heads, N, P; /* N tokens of the bank, P parameters of the bank */
    double act, weight;
} sizes;

static sizes sizes_of(const shape *s, size_t R, size_t batch, size_t act, size_t weight)
{
    const double f = (double)s->d_ff;
    return (sizes){.d = (double)s->d_model,
                   .q = (double)(s->n_head * s->head_dim),
                   .kv = (double)(s->n_kv_head * s->head_dim),
                   .f = f,
                   .u = s->act == ACT_SWIGLU ? 2 * f : f,
                   .V = (double)s->vocab,
                   .T = (double)s->seq_len,
                   .L = (double)s->n_layer,
                   .heads = (double)s->n_head,
                   .N = (double)R * (double)batch * (double)s->seq_len,
                   .P = (double)R * (double)shape_count(s).n_params_total,
                   .act = (double)act,
                   .weight = (double)weight};
}

/* Forward, data gradient and weight gradient of a matrix (out, in) in every layer, and the bytes of the weights: read
 * twice, gradient written. */
static double product(const sizes *z, double in, double out) { return 3 * 2 * z->N * in * out; }
static double weights(const sizes *z, double R, double in, double out) { return R * in * out * (2 * z->weight + 4); }

count count_step(const shape *s, size_t n_replicas, size_t batch, size_t act, size_t weight)
{
    const sizes z = sizes_of(s, n_replicas, batch, act, weight);
    const double R = (double)n_replicas, row = z.N * z.act, stat = 4 * z.N, qkv = z.q + 2 * z.kv;
    const double table = R * (z.N / R < z.V ? z.N / R : z.V) * z.d * 4; /* rows of the table that are touched */
    count c = {0};
    count_row *w = c.row;

    /* table read, stream written; gradient of the stream read, of the table written */
    w[COUNT_EMBED] = (count_row){"embedding", 0, 2 * table + 2 * row * z.d};
    /* forward: h written. backward: dh read, dx read and written. 2 L + 1 of them; rstd written and read */
    w[COUNT_NORM] = (count_row){"norms", 0, (2 * z.L + 1) * (4 * row * z.d + 2 * stat)};
    /* forward: h read, qkv written. backward: h and dqkv read, dh written */
    w[COUNT_QKV] = (count_row){"q, k, v", z.L * product(&z, z.d, qkv),
                               z.L * (row * (3 * z.d + 2 * qkv) + weights(&z, R, z.d, qkv))};
    /* forward: qkv read, att and lse written. backward: qkv, att, its gradient and lse read, dqkv written. FLOPs: two
     * products of head_dim per key forward, four backward, T/2 keys */
    w[COUNT_ATTENTION] = (count_row){"attention", z.L * 6 * 2 * z.N * z.q * z.T / 2,
                                     z.L * (row * (3 * qkv + 3 * z.q) + 2 * stat * z.heads)};
    /* forward: att read, x read and written. backward: dx and att read, datt written */
    w[COUNT_ATTN_OUT] = (count_row){"attention out", z.L * product(&z, z.q, z.d),
                                    z.L * (row * (3 * z.q + 3 * z.d) + weights(&z, R, z.q, z.d))};
    /* forward: h read, g and the activation's argument (or slope; SwiGLU: both) written. backward: du and h read, dh written
     */
    w[COUNT_FFN_IN] = (count_row){"ffn in, activation", z.L * product(&z, z.d, z.u),
                                  z.L * (row * (3 * z.d + z.f + 2 * z.u) + weights(&z, R, z.d, z.u))};
    /* forward: g read, x read and written. backward: dx, g and the arguments read, du written */
    w[COUNT_FFN_OUT] = (count_row){"ffn out", z.L * product(&z, z.f, z.d),
                                   z.L * (row * (3 * z.d + 2 * z.f + 2 * z.u) + weights(&z, R, z.f, z.d))};
    /* forward: h read, logits written. backward: their gradient and h read, dh written */
    w[COUNT_HEAD] = (count_row){"head", product(&z, z.d, z.V), row * (3 * z.d + 2 * z.V) + weights(&z, R, z.d, z.V)};
    /* logits read, their gradient written; a loss per row */
    w[COUNT_XENT] = (count_row){"cross-entropy", 0, row * 2 * z.V + 8 * z.N};
    /* norm: g. AdamW: g, p, m, v read, p, m, v written, the products' copy written */
    w[COUNT_OPTIMISER] = (count_row){"norm, AdamW", 0, z.P * (4 + 16 + 12 + z.weight)};

    for (int i = 0; i < COUNT_ROWS; i++) c.flops += w[i].flops, c.bytes += w[i].bytes;
    return c;
}

bound count_bound(const count *c, double flops_per_s, double bytes_per_s)
{
    bound b = {.by_flops = c->flops / flops_per_s, .by_bytes = c->bytes / bytes_per_s};
    b.seconds = b.by_flops > b.by_bytes ? b.by_flops : b.by_bytes;
    return b;
}

double count_memory(const shape *s, size_t R, size_t batch, size_t act, size_t weight)
{
    const sizes z = sizes_of(s, R, batch, act, weight);
    /* h1, qkv, att, h2, u, g of every layer; the stream, the last h, and in backward dx, dh, dqkv, datt, du */
    const double layer = 2 * z.d + (z.q + 2 * z.kv) + z.q + z.u + z.f, work = 4 * z.d + (z.q + 2 * z.kv) + z.q + z.u;
    const double stats = z.L * (2 + z.heads) + 1;
    const double all_logits = z.N * z.V, block = (double)R * (1 << 28),
                 logits = all_logits < block ? all_logits : block;
    return z.P * (16 + z.weight) + z.N * (z.L * layer + work) * z.act + 4 * z.N * stats + logits * z.act;
}
