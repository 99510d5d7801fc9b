/* Kernels that are right in every order, or wrong in a way that no order shows. */
#include "tests/emu/test_races.h"

static const unsigned FULL = 0xffffffffu;
static const float table[2] = {1, 2};

static __global__ void sound(float *out, const float *x, int *count)
{
    __shared__ float s[64];
    float *dynamic = (float *)emu::dynamic_shared();
    const unsigned t = threadIdx.x;
    s[t] = x[t];
    dynamic[t] = 1;
    __syncthreads();
    float v = s[63 - t] + dynamic[t ^ 1];
    __syncthreads();
    s[t] = v;
    __syncwarp();
    v += s[t ^ 1]; /* the same warp's */
    atomicAdd(count, 1);
    out[blockIdx.x * 64 + t] = v + table[t & 1];
}
static __global__ void reads_early(float *out)
{
    __shared__ float s[64];
    s[threadIdx.x] = 1;
    if (threadIdx.x < 32) out[threadIdx.x] = s[threadIdx.x];
    else out[threadIdx.x] = s[threadIdx.x - 32]; /* of the other warp */
}
static __global__ void writes_early(float *out)
{
    __shared__ float s[64];
    s[threadIdx.x] = 1;
    __syncthreads();
    out[threadIdx.x] = s[threadIdx.x ^ 1];
    s[threadIdx.x] = 2; /* its neighbour may not have read yet */
}
static __global__ void shuffle_is_no_barrier(float *out)
{
    __shared__ float s[32];
    s[threadIdx.x] = 1;
    float v = __shfl_xor_sync(FULL, 1.0f, 1);
    out[threadIdx.x] = v + s[threadIdx.x ^ 1];
}
static __global__ void one_variable(float *out)
{
    __shared__ float s;
    if (threadIdx.x == 0) s = 1;
    __syncthreads();
    out[threadIdx.x] = s;
    if (threadIdx.x == 5) s = 2;
}
static __global__ void dynamic_race(float *out)
{
    float *s = (float *)emu::dynamic_shared();
    s[threadIdx.x / 2] = 1;
    out[threadIdx.x] = s[0];
}
static __global__ void blocks_share(float *out) { out[threadIdx.x + 32 * (blockIdx.x / 2)] = 1; }
static __global__ void blocks_read(float *out)
{
    if (blockIdx.x == 1) out[0] = 1;
    else out[1 + blockIdx.x] = out[0];
}
static __global__ void follows(float *out, const float *p) { out[threadIdx.x] = p[threadIdx.x]; }
static __global__ void neighbours_local(float *out)
{
    __shared__ float *whose;
    float mine = (float)threadIdx.x;
    if (threadIdx.x == 3) whose = &mine;
    __syncthreads();
    out[threadIdx.x] = *whose;
    __syncthreads();
    out[threadIdx.x] += mine;
}

#define LAUNCH(kernel, grid, block, shared, ...) emu::launch(#kernel, grid, block, shared, nullptr, kernel, __VA_ARGS__)
void launch_race(races which, float *out, const float *x, int *count)
{
    switch (which) {
    case SOUND: LAUNCH(sound, 5, 64, 256, out, x, count); break;
    case READS_EARLY: LAUNCH(reads_early, 1, 64, 0, out); break;
    case WRITES_EARLY: LAUNCH(writes_early, 1, 64, 0, out); break;
    case SHUFFLE_IS_NO_BARRIER: LAUNCH(shuffle_is_no_barrier, 1, 32, 0, out); break;
    case ONE_VARIABLE: LAUNCH(one_variable, 1, 32, 0, out); break;
    case DYNAMIC: LAUNCH(dynamic_race, 1, 32, 64, out); break;
    case BLOCKS_SHARE: LAUNCH(blocks_share, 4, 32, 0, out); break;
    case BLOCKS_READ: LAUNCH(blocks_read, 3, 1, 0, out); break;
    case FOLLOWS: LAUNCH(follows, 1, 32, 0, out, x); break;
    case NEIGHBOURS_LOCAL: LAUNCH(neighbours_local, 1, 32, 0, out); break;
    }
}
