#include "sweeps/fill.h"

#include <math.h>
#include <string.h>

/* All in bytes of device memory that would pass in the same time, so that no rate of any device is needed but two
 * ratios. They are H100-class (doc/performance.md); a bank's size follows them slowly. */
enum {
    TILE = 128,         /* rows and columns of a product's tile: what a multiprocessor works on at a time */
    QUERIES = 64,       /* rows of attention's tile, of one head */
    RAMP = 32 << 10,    /* bytes a multiprocessor must have asked for before memory is busy (bandwidth times latency),
                           and so what a kernel's start and end cost each of them */
    SHARE = 4,          /* times its share of the bandwidth that one multiprocessor can draw */
    FLOPS_BYTE_BF16 = 250, FLOPS_BYTE_FP32 = 20, /* FLOPs in the time of a byte */
};

typedef struct tally {
    double R, sms, flops_byte;
    double work, time;
} tally;

/* `times` kernels, each of so many tiles, FLOPs and bytes a replica. They end when memory, the multiprocessors or the
 * last of the waves of tiles has ended. */
static void kernel(tally *t, double times, double tiles, double flops, double bytes)
{
    const double work = fmax(bytes, flops / t->flops_byte);
    const double waves = ceil(t->R * tiles / t->sms);
    const double wave = t->sms / tiles * fmax(bytes / SHARE, flops / t->flops_byte);
    t->work += times * t->R * work;
    t->time += times * (fmax(t->R * work, waves * wave) + t->sms * RAMP);
}

static double tiles_of(double rows, double columns) { return ceil(rows / TILE) * ceil(columns / TILE); }

/* y (n, out) = x (n, in) W^T and both gradients. The weights' gradient is fp32, and one sum over all rows. */
static void product(tally *t, double a, double n, double in, double out)
{
    const double flops = 2 * n * in * out, rows = a * n * (in + out), weights = in * out;
    kernel(t, 1, tiles_of(n, out), flops, rows + a * weights);
    kernel(t, 1, tiles_of(n, in), flops, rows + a * weights);
    kernel(t, 1, tiles_of(out, in), flops, rows + 4 * weights);
}

/* What reads and writes rows and computes nothing worth counting: as many tiles as memory wants. */
static void sweep(tally *t, double times, double bytes) { kernel(t, times, ceil(bytes / RAMP), 0, bytes); }

static void layer(tally *t, const shape *s, double a, double n)
{
    const double d = (double)s->d_model, f = (double)s->d_ff, T = (double)s->seq_len, H = (double)s->n_head;
    const double q = H * (double)s->head_dim, kv = (double)(s->n_kv_head * s->head_dim);
    const double halves = s->act == ACT_SWIGLU ? 2 : 1, rows = ceil(T / QUERIES) * n / T * H;
    product(t, a, n, d, q + 2 * kv);
    product(t, a, n, q, d);
    product(t, a, n, d, halves * f);
    product(t, a, n, f, d);
    kernel(t, 1, rows, 2 * n * T * q, a * n * (2 * q + 2 * kv));     /* half the keys, two products */
    kernel(t, 2, rows, 3.5 * n * T * q, a * n * (2 * q + 2 * kv));   /* backward: seven, in two kernels */
    sweep(t, 2, 2 * a * n * d);                                      /* norms */
    sweep(t, 2, 4 * a * n * d);
    if (s->qk_norm) sweep(t, 2, 2 * a * n * (q + kv));               /* RoPE rides on attention */
    sweep(t, 1, (halves + 1) * a * n * f);                           /* GELU, SwiGLU */
    sweep(t, 1, (2 * halves + 1) * a * n * f);
    if (s->norm_gain) sweep(t, 4, 2.5 * a * n * d);
}

static tally count(const bank_opts *o, int multiprocessors)
{
    const shape *s = &o->shape;
    const bool fp32 = strcmp(o->backend, "cuda") != 0;
    const double accum = o->grad_accum ? (double)o->grad_accum : 1, a = fp32 ? 4 : 2;
    const double n = (double)o->batch / accum * (double)s->seq_len, d = (double)s->d_model, V = (double)s->vocab;
    tally t = {.R = (double)o->n_replicas, .sms = multiprocessors};
    t.flops_byte = fp32 ? FLOPS_BYTE_FP32 : FLOPS_BYTE_BF16;
    tally one = t;
    layer(&one, s, a, n);
    t.work = one.work * (double)s->n_layer;
    t.time = one.time * (double)s->n_layer;
    product(&t, a, n, d, V);
    sweep(&t, 1, 2 * a * n * V); /* cross-entropy */
    sweep(&t, 2, (4 + a) * n * d); /* the table, both ways */
    sweep(&t, 2, 3 * a * n * d); /* the last norm */
    t.work *= accum;
    t.time *= accum;
    const double P = (double)shape_param_stride(s);
    sweep(&t, 1, 4 * P);       /* the gradient's norm */
    sweep(&t, 1, (28 + a) * P); /* AdamW */
    return t;
}

double fill_of(const bank_opts *o, int multiprocessors)
{
    const tally t = count(o, multiprocessors);
    return t.work / t.time;
}

size_t fill_replicas(const bank_opts *o, int multiprocessors, size_t most)
{
    bank_opts b = *o;
    for (b.n_replicas = 1; b.n_replicas < most; b.n_replicas++)
        if (fill_of(&b, multiprocessors) >= FILL_ENOUGH) break;
    return b.n_replicas;
}
