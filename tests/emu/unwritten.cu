/* A kernel compiled as those of kernels/ are: its static shared memory is NaN when a block starts. */
#include "tests/emu/unwritten.h"

static __global__ void unwritten_static(float *out)
{
    __shared__ float s[32];
    out[threadIdx.x] = s[threadIdx.x];
    __syncthreads();
    s[threadIdx.x] = 1;
}

void launch_unwritten_static(unsigned blocks, float *out)
{
    emu::launch("unwritten_static", blocks, 32, 0, nullptr, unwritten_static, out);
}
