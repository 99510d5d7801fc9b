/* What the tests of a device backend share. They run twice: over the kernels compiled for the host (tests/emu/, in make
 * check) and over the device's own (make gpu-check). So device memory is only allocated, filled and read through
 * ops->device, and the host's side of a comparison is a `buf` (check.h) on which the CPU's definition runs.
 *
 *   static void embed(gpu *g)
 *   {
 *       buf t = buf_new(R, V * C, 1, 1), y = buf_new(R, n * ld, 1, 2);
 *       gbuf dt = gpu_real(g, &t), dy = gpu_act(g, &y);               gpu_act rounds y first: both start equal
 *       GPU_OK(g, g->ops->embed_fwd(g->ctx, gact(&dy), gin(&dt), ...));
 *       GPU_OK(g, cpu()->embed_fwd(NULL, act(&y), in(&t), ...));
 *       GPU_CLOSE(g, dy, y, 1, "embed R%zu", R);
 *   }
 *   Test(pointwise, embed) { gpu_each(embed, 0); }                    "cuda-fp32", then "cuda"
 *
 * Guards before, after and between replicas are NaN in either type: what reads them shows, what writes them is found
 * by gpu_get (and so by GPU_CLOSE). */
#ifndef TESTS_KERNELS_GPU_H
#define TESTS_KERNELS_GPU_H
#include <stdio.h>

#include "kernels/device_ops.h"
#include "tests/kernels/check.h"

typedef struct gpu { /* a backend under test */
    const k_ops *ops;
    k_ctx *ctx;
    bool half; /* activations are bf16 */
    err e;
    size_t n_owned;
    void *owned[256];
} gpu;

/* Calls f for "cuda-fp32" and for "cuda", each with a context of its own; all device memory is freed after each call.
 * Skips the test where there is no such backend or no device. scratch: bytes. */
typedef void (*gpu_fn)(gpu *);
void gpu_each(gpu_fn f, size_t scratch);
status gpu_open(gpu *g, const char *name, size_t scratch); /* ST_DEVICE: none, why is in g->e */
void gpu_close(gpu *g);
void gpu_release(gpu *g); /* frees the device memory of all gbufs and gpu_put's so far: between two sizes */
static inline const k_ops *cpu(void) { return k_ops_cpu(CPU_GENERIC); }

/* A buffer on the device, shaped as a buf: R replicas of len elements, stride padded to K_ALIGN_DEVICE and one line of
 * guards. size: bytes of an element. */
typedef struct gbuf {
    char *base, *p;
    size_t R, len, stride, size;
} gbuf;
gbuf gpu_real(gpu *g, const buf *host); /* parameters, gradients, statistics: copied */
gbuf gpu_act(gpu *g, buf *host);        /* activations: host is rounded to what they are stored in, then copied */
buf gpu_get(gpu *g, const gbuf *b);     /* as floats; asserts the guards */
static inline k_arr garr(const gbuf *b)
{
    k_arr a = {(real *)(void *)b->p, b->stride};
    return a;
}
static inline k_in gin(const gbuf *b)
{
    k_in a = {(const real *)(void *)b->p, b->stride};
    return a;
}
static inline k_act gact(const gbuf *b)
{
    k_act a = {(act_real *)(void *)b->p, b->stride};
    return a;
}
static inline k_cact gcact(const gbuf *b)
{
    k_cact a = {(const act_real *)(void *)b->p, b->stride};
    return a;
}
static inline k_act gat(const gpu *g, k_act a, size_t i) { return k_act_at(a, i, g->ops->act_bytes); }
static inline k_cact gcat(const gpu *g, k_cact a, size_t i) { return k_cact_at(a, i, g->ops->act_bytes); }

void *gpu_put(gpu *g, const void *from, size_t bytes); /* anything else: ids, doubles. from NULL: zeros */
void gpu_take(gpu *g, void *to, const void *from, size_t bytes);
k_mult gpu_mult(gpu *g, const real *a, size_t R);

float gpu_bf16(float x);                 /* to the nearest bf16, ties to even; NaN stays NaN */
void gpu_round(const gpu *g, buf *host); /* to what activations are stored in */

/* The largest |got - want| in units of what storing allows. fp32: 1e-5 (|want| + rms). bf16: 2^-8 |want|, one rounding
 * with room for a neighbour, plus 1e-4 rms for sums in another order. INFINITY where only one is NaN. */
double gpu_off(const buf *got, const buf *want, bool half);
#define GPU_CLOSE(g, d, want, times, ...)                                                                     \
    do {                                                                                                      \
        buf close_got = gpu_get((g), &(d));                                                                   \
        const double close_off = gpu_off(&close_got, &(want), (d).size == 2);                                 \
        char close_what[160];                                                                                 \
        snprintf(close_what, sizeof close_what, __VA_ARGS__);                                                 \
        cr_expect_leq(close_off, (double)(times), "%s: %s of " #d ": off by %g times what storing it allows", \
                      (g)->ops->name, close_what, close_off);                                                 \
        buf_free(&close_got);                                                                                 \
    } while (0)
#define GPU_OK(g, call)                                      \
    do {                                                     \
        const status ok_s = (call);                          \
        cr_assert_eq(ok_s, ST_OK, #call ": %s", (g)->e.msg); \
    } while (0)

/* Bank independence: replica r as a bank of one, elsewhere; and whether replica r of a has the bits of replica q of b.
 */
gbuf gpu_alone(gpu *g, const gbuf *b, size_t r);
bool gpu_same(gpu *g, const gbuf *a, size_t r, const gbuf *b, size_t q);
#endif
