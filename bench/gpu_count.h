/* What one training step of a bank must do, counted from its shape: products' FLOPs and the least bytes of device
 * memory. The bound of a step is the larger of FLOPs over the matrix peak and bytes over the copy bandwidth.
 *
 * FLOPs: every product of forward and backward, 2 per multiply-add, the head counted, the table's lookup not; causal
 * attention once (T/2 keys on average), what a kernel computes again in backward not. Their sum is
 * shape_flops_per_token(FLOPS_EXACT). All on the matrix units; elementwise work rides for free.
 *
 * Least bytes: every tensor that must exist between two kernels is written once, and read once by each pass that needs
 * it, however clever the fusion; nothing is computed again, and nothing stays in a cache from one op to the next.
 *   forward   what backward needs is written and read once by the op after it; the residual stream is read and written
 *             where a branch ends (the norm after it could ride along, so its read is not counted), RoPE, GELU and
 * QK-norm ride on their neighbours backward  every saved tensor is read once; every gradient of an activation is
 * written once and read once (both products of a layer could share it) logits    written, read, their gradient written
 * and read: they exist, in the activations' type weights   copies in the products' type read by forward and by
 * backward, their gradient written in fp32, read for its norm and by AdamW; AdamW reads and writes parameter and two
 * moments and writes the copy A cache that holds a small bank's activations can beat this; no kernel boundary can. */
#ifndef BENCH_GPU_COUNT_H
#define BENCH_GPU_COUNT_H
#include <stddef.h>

#include "trainer/shape.h"

typedef struct count_row {
    const char *what;
    double flops, bytes;
} count_row;

enum {
    COUNT_EMBED,
    COUNT_NORM,
    COUNT_QKV,
    COUNT_ATTENTION,
    COUNT_ATTN_OUT,
    COUNT_FFN_IN,
    COUNT_FFN_OUT,
    COUNT_HEAD,
    COUNT_XENT,
    COUNT_OPTIMISER,
    COUNT_ROWS
};

typedef struct count {
    count_row row[COUNT_ROWS];
    double flops, bytes;
} count;

/* act, weight: bytes of an activation and of a weight as products read it (2, 2 in bf16; 4, 4 in fp32). */
count count_step(const shape *s, size_t R, size_t batch, size_t act, size_t weight);

typedef struct bound {
    double seconds, by_flops, by_bytes;
} bound;
bound count_bound(const count *c, double flops_per_s, double bytes_per_s);

/* Bytes that a bank must hold between and during steps: parameters, gradients, two moments, the products' copies,
 * saved activations, and one block of logits. Without workspaces: bank_bytes_needed counts those too. */
double count_memory(const shape *s, size_t R, size_t batch, size_t act, size_t weight);
#endif
