/* CUDA on the host's processor: found before NVIDIA's header of this name when tests/emu/ stands first on the include
 * path. A .cu file of kernels/ compiles against it with the host's C++ compiler and runs under AddressSanitizer: blocks
 * in turn, the threads of a block as fibres (block.cpp), streams, events and graphs as queues of closures (stream.cpp).
 * Only what our code uses is here, with the signatures of CUDA 13; what CUDA has and this lacks is a compile error. */
#ifndef TESTS_EMU_CUDA_RUNTIME_H
#define TESTS_EMU_CUDA_RUNTIME_H
#include <math.h> /* before device.h, which gives some of glibc's internal names CUDA's meaning */
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>

#define __global__
#define __device__
#define __host__
#define __constant__
#define __forceinline__ inline
#define __grid_constant__
#define __launch_bounds__(...)
#define __align__(n) __attribute__((aligned(n)))
#define __builtin_align__(n) __attribute__((aligned(n)))
/* One block runs at a time in the whole process, so the block's shared memory can be a static object. ASan fences it
 * unless the kernel is a template that is not `static` (coverage.sh refuses those). */
#define __shared__ static

#include "tests/emu/vectors.h"
#include "tests/emu/runtime.h"
#include "tests/emu/device.h"
#endif
