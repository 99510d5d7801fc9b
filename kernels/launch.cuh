/* How a kernel is launched, and how it gets dynamic shared memory. The one place where nvcc's syntax and the CUDA-on-CPU
 * layer of the tests (tests/emu/) differ: every kernel is compiled by both.
 *
 *   status s = K_LAUNCH(ctx, e, kernel, grid, block, shared_bytes, arguments...);
 *
 * puts the kernel on the context's stream; ST_DEVICE names the kernel and CUDA's message. A template's name with a comma
 * stands in parentheses: (kernel<A, 4>). In a kernel, K_SHARED(float, tile); declares `tile`, the block's dynamic shared
 * memory. K_SHARED_MAX(kernel, bytes) must be called (and checked) before a launch with more than 48 KiB. */
#ifndef KERNELS_LAUNCH_CUH
#define KERNELS_LAUNCH_CUH
#include <cuda_runtime.h>

#include "kernels/ctx_cuda.h"

#ifdef __CUDACC__
#define K_LAUNCH(ctx, e, kernel, grid, block, shared_bytes, ...)                                     \
    (kernel<<<(grid), (block), (shared_bytes), k_cuda_of(ctx)->stream>>>(__VA_ARGS__), \
     k_cuda_launched((ctx), #kernel, (e)))
/* Kernels of one file may want different types: the name is the file's, the type is cast. */
#define K_SHARED(type, name)                                    \
    extern __shared__ __align__(128) unsigned char k_shared_[]; \
    type *const name = reinterpret_cast<type *>(k_shared_)
#else
#define K_LAUNCH(ctx, e, kernel, grid, block, shared_bytes, ...)                                          \
    (emu::launch(#kernel, (grid), (block), (shared_bytes), k_cuda_of(ctx)->stream, kernel, __VA_ARGS__), \
     k_cuda_launched((ctx), #kernel, (e)))
#define K_SHARED(type, name) type *const name = reinterpret_cast<type *>(emu::dynamic_shared())
#endif
#define K_SHARED_MAX(ctx, e, kernel, bytes)                                                                            \
    k_cuda_status(cudaFuncSetAttribute((const void *)(kernel), cudaFuncAttributeMaxDynamicSharedMemorySize, (int)(bytes)), \
                  #kernel, (e))
#endif
