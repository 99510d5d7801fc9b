/* What sumsq and a bank's outcome share: sums of squares by slices. Private to kernels/, C++. */
#ifndef KERNELS_BANK_CUDA_CUH
#define KERNELS_BANK_CUDA_CUH
#include "kernels/rows.cuh"

/* parts [R][K_NORM_PARTS]: slice by slice of each replica's n numbers. vector_cuda.cu */
status k_norm_parts_cuda(k_ctx *, double *parts, k_in x, size_t R, size_t n, err *);

/* Of one replica, by one warp, in every lane: eight neighbours a lane in order, then a fixed tree. */
__device__ __forceinline__ double k_sum_parts(const double *parts)
{
    double sum = 0;
#pragma unroll
    for (int k = 0; k < K_NORM_PARTS / K_WARP; k++) sum += parts[threadIdx.x % K_WARP * (K_NORM_PARTS / K_WARP) + k];
    return k_group_sum(sum, K_WARP);
}
#endif
