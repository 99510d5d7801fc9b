/* Activations inside kernels: storage type A (float or __nv_bfloat16), arithmetic in float. */
#ifndef KERNELS_ACT_CUH
#define KERNELS_ACT_CUH
#include <cuda_bf16.h>
#include <cuda_runtime.h>

#include "kernels/kernels.h"

/* An operand as a kernel takes it: replica r's data start at row(r). */
template <class A> struct k_t {
    A *p;
    size_t stride;
    __device__ __forceinline__ A *row(size_t r) const { return p + r * stride; }
};
template <class A> static inline k_t<A> k_ty(k_act a) { return {(A *)(void *)a.p, a.stride}; }
template <class A> static inline k_t<const A> k_ty(k_cact a) { return {(const A *)(const void *)a.p, a.stride}; }
static inline k_t<float> k_ty(k_arr a) { return {a.p, a.stride}; }
static inline k_t<const float> k_ty(k_in a) { return {a.p, a.stride}; }

__device__ __forceinline__ float k_get(float x) { return x; }
__device__ __forceinline__ float k_get(__nv_bfloat16 x) { return __bfloat162float(x); }
template <class A> __device__ __forceinline__ A k_put(float x);
template <> __device__ __forceinline__ float k_put<float>(float x) { return x; }
template <> __device__ __forceinline__ __nv_bfloat16 k_put<__nv_bfloat16>(float x) { return __float2bfloat16_rn(x); }

/* A factor per replica: 1 where there is none. */
__device__ __forceinline__ float k_factor(const float *a, size_t r) { return a ? a[r] : 1.0f; }

__device__ __forceinline__ int32_t k_id_at(const k_ids &x, size_t r, size_t i)
{
    return x.p[r * x.stride + (x.first + i) / x.T * x.ld + (x.first + i) % x.T];
}
#endif
