/* The copy of a weight that matrix products read: bf16, (out, in) row-major without gaps, as the master. bank_adamw
 * writes the same copy as it updates; this op makes the first. Bound: 6 bytes a weight. */
#include "kernels/ops_cuda.h"
#include "kernels/rows.cuh"

enum { FLAT = 4 * 8 * K_THREADS }; /* weights of a block */

template <int W> static __global__ void pack(k_t<float> packed, k_t<const float> w, size_t n, unsigned blocks)
{
    const unsigned r = blockIdx.x / blocks;
    const size_t from = (size_t)(blockIdx.x % blocks) * FLAT, to = from + FLAT < n ? from + FLAT : n;
    __nv_bfloat16 *out = reinterpret_cast<__nv_bfloat16 *>(packed.row(r));
    for (size_t i = from + threadIdx.x * W; i < to; i += K_THREADS * W) {
        float v[W];
        k_read(v, w.row(r) + i, to - i);
        k_write(out + i, v, to - i);
    }
}

size_t k_pack_len_cuda(size_t out, size_t in)
{
    const size_t bytes = out * in * sizeof(__nv_bfloat16);
    return (bytes + K_ALIGN_DEVICE - 1) / K_ALIGN_DEVICE * K_ALIGN_DEVICE / sizeof(real);
}

status k_pack_cuda(k_ctx *ctx, k_arr packed, k_in w, size_t R, size_t out, size_t in, err *e)
{
    const size_t n = out * in;
    if (!R || !n) return ST_OK;
    const unsigned blocks = k_over(n, FLAT);
    const dim3 grid = k_grid(R, blocks), block(K_THREADS);
    return k_even(k_ty(packed), 0) && k_even(k_ty(w), 0)
               ? K_LAUNCH(ctx, e, pack<8>, grid, block, 0, k_ty(packed), k_ty(w), n, blocks)
               : K_LAUNCH(ctx, e, pack<1>, grid, block, 0, k_ty(packed), k_ty(w), n, blocks);
}
