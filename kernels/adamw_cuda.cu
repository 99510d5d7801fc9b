/* AdamW (adamw.h) and the end of a bank's step (device_ops.h).
 *
 * Bound: 28 bytes a parameter (read p, m, v, g; write p, m, v), and 2 more where a packed copy is written; 16 bytes a
 * thread and array. bank_adamw is one launch for all replicas and tensors: a block owns CHUNK numbers of a replica and
 * goes through the tensors that lie in them (nearly always one). The factors of a tensor are doubles made by one
 * thread, so that nothing but the step's row (k_step_in) has to be sent: with everything else fixed the launch can be
 * recorded. A replica without `update` is not read or written.
 *
 * bank_outcome: sums of squares by slices (vector_cuda.cu), then one warp a replica. */
#include <math.h>

#include "kernels/bank_cuda.cuh"
#include "kernels/ops_cuda.h"

enum { W = 4, CHUNK = 4 * W * K_THREADS }; /* numbers of a block */

/* k_adam as the inner loop wants it. */
struct adam_terms {
    float b1, b2, c1, c2, lr, k2, eps, keep, scale;
};

__device__ __forceinline__ adam_terms terms_of(const k_adam &h)
{
    adam_terms t;
    t.b1 = (float)h.beta1, t.b2 = (float)h.beta2;
    t.c1 = (float)(1 - h.beta1), t.c2 = (float)(1 - h.beta2);
    t.lr = (float)(h.lr / h.correct1), t.k2 = (float)(1 / sqrt(h.correct2)), t.eps = (float)h.eps;
    t.keep = (float)(1 - h.decay), t.scale = (float)h.grad_scale;
    return t;
}

/* k_adam_set of one tensor of one replica. */
__device__ __forceinline__ k_adam adam_of(const k_adam_fixed &f, const k_step_in &in, double scale)
{
    k_adam h;
    h.lr = in.s * f.lr, h.eps = f.eps;
    h.decay = in.coupled ? h.lr * f.lambda : in.s * f.lambda;
    h.beta1 = in.beta1, h.beta2 = in.beta2, h.correct1 = in.correct1, h.correct2 = in.correct2;
    h.grad_scale = scale;
    return h;
}

/* Numbers from..to, by the whole block. packed: the copy of number `from`, or NULL. C: chunk width. */
template <int C>
__device__ __forceinline__ void update(float *__restrict__ p, float *__restrict__ m, float *__restrict__ v,
                                       const float *__restrict__ g, __nv_bfloat16 *__restrict__ packed,
                                       const adam_terms &t, size_t n)
{
    for (size_t i = threadIdx.x * C; i < n; i += K_THREADS * C) {
        float w[C], a[C], b[C], d[C];
        k_read(w, p + i, n - i);
        k_read(a, m + i, n - i);
        k_read(b, v + i, n - i);
        k_read(d, g + i, n - i);
#pragma unroll
        for (int k = 0; k < C; k++) {
            const float s = t.scale * d[k];
            a[k] = t.b1 * a[k] + t.c1 * s;
            b[k] = t.b2 * b[k] + t.c2 * s * s;
            w[k] = t.keep * w[k] - t.lr * a[k] / (sqrtf(b[k]) * t.k2 + t.eps);
        }
        k_write(p + i, w, n - i);
        k_write(m + i, a, n - i);
        k_write(v + i, b, n - i);
        if (packed) k_write(packed + i, w, n - i);
    }
}

template <int C>
static __global__ void __launch_bounds__(K_THREADS)
    adamw(k_t<float> p, k_t<float> m, k_t<float> v, k_t<const float> g, const k_adam *h, size_t n, unsigned blocks)
{
    __shared__ adam_terms t;
    const unsigned r = blockIdx.x / blocks;
    const size_t from = (size_t)(blockIdx.x % blocks) * CHUNK, to = from + CHUNK < n ? from + CHUNK : n;
    if (threadIdx.x == 0) t = terms_of(h[r]);
    __syncthreads();
    update<C>(p.row(r) + from, m.row(r) + from, v.row(r) + from, g.row(r) + from, nullptr, t, to - from);
}

static __global__ void outcome(k_bank_end b)
{
    const unsigned r = blockIdx.x, lane = threadIdx.x;
    double loss = 0;
    for (size_t i = lane; i < b.batch; i += K_WARP) loss += b.seq_loss[r * b.batch + i];
    loss = k_group_sum(loss, K_WARP) / (double)b.batch;
    const double norm = sqrt(k_sum_parts(b.partial + (size_t)r * K_NORM_PARTS)), clip = b.in[r].clip_norm;
    if (lane) return;
    k_step_out o;
    o.loss = loss, o.grad_norm = norm, o.scale = clip > 0 && norm > clip ? clip / norm : 1;
    o.finite = isfinite(loss) && isfinite(norm);
    o.update = o.finite && b.in[r].active;
    b.out[r] = o;
}

static __global__ void __launch_bounds__(K_THREADS) adamw_of_bank(k_bank_end b, unsigned blocks)
{
    __shared__ adam_terms t;
    const unsigned r = blockIdx.x / blocks;
    if (!b.out[r].update) return;
    const size_t from = (size_t)(blockIdx.x % blocks) * CHUNK, to = from + CHUNK < b.stride ? from + CHUNK : b.stride,
                 base = r * b.stride;
    size_t i = 0; /* the last tensor that starts at or before `from`, or the first */
    for (size_t end = b.n_tensors; end - i > 1;) {
        const size_t mid = (i + end) / 2;
        if (b.spans[mid].offset <= from) i = mid;
        else end = mid;
    }
    for (; i < b.n_tensors && b.spans[i].offset < to; i++) {
        const k_span s = b.spans[i];
        const size_t first = s.offset > from ? s.offset : from, last = s.offset + s.n < to ? s.offset + s.n : to;
        if (first >= last) continue;
        __syncthreads(); /* the factors of the tensor before are no longer needed */
        if (threadIdx.x == 0) t = terms_of(adam_of(b.fixed[r * b.n_tensors + i], b.in[r], b.out[r].scale));
        __syncthreads();
        __nv_bfloat16 *copy = nullptr;
        if (b.packed.p && s.packed != SIZE_MAX)
            copy = reinterpret_cast<__nv_bfloat16 *>(b.packed.p + r * b.packed.stride + s.packed) + (first - s.offset);
        update<W>(b.params + base + first, b.m + base + first, b.v + base + first, b.grads + base + first, copy, t,
                  last - first);
    }
}

status k_adamw_cuda(k_ctx *ctx, k_arr p, k_arr m, k_arr v, k_in g, const k_adam *h, size_t R, size_t n, err *e)
{
    if (!R || !n) return ST_OK;
    const unsigned blocks = k_over(n, CHUNK);
    const dim3 grid = k_grid(R, blocks), block(K_THREADS);
    const bool even = k_even(k_ty(p), 0) && k_even(k_ty(m), 0) && k_even(k_ty(v), 0) && k_even(k_ty(g), 0);
    return even ? K_LAUNCH(ctx, e, adamw<W>, grid, block, 0, k_ty(p), k_ty(m), k_ty(v), k_ty(g), h, n, blocks)
                : K_LAUNCH(ctx, e, adamw<1>, grid, block, 0, k_ty(p), k_ty(m), k_ty(v), k_ty(g), h, n, blocks);
}

status k_bank_outcome_cuda(k_ctx *ctx, const k_bank_end *bank, err *e)
{
    const k_bank_end b = *bank;
    if (!b.R) return ST_OK;
    const k_in grads = {b.grads, b.stride};
    const status s = k_norm_parts_cuda(ctx, b.partial, grads, b.R, b.stride, e);
    if (s) return s;
    return K_LAUNCH(ctx, e, outcome, dim3((unsigned)b.R), dim3(K_WARP), 0, b);
}

/* All tensors start on K_ALIGN_DEVICE bytes (device_ops.h), so chunks of 16 bytes always fit. */
status k_bank_adamw_cuda(k_ctx *ctx, const k_bank_end *bank, err *e)
{
    const k_bank_end b = *bank;
    if (!b.R || !b.stride) return ST_OK;
    const unsigned blocks = k_over(b.stride, CHUNK);
    return K_LAUNCH(ctx, e, adamw_of_bank, k_grid(b.R, blocks), dim3(K_THREADS), 0, b, blocks);
}
