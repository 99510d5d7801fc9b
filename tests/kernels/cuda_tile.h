/* Kernels of one warp that do with tile.cuh what its header documents; cuda_tile.c looks at the results. Every pointer
 * is the device's. */
#ifndef TESTS_KERNELS_CUDA_TILE_H
#define TESTS_KERNELS_CUDA_TILE_H
#include "kernels/kernels.h"
#ifdef __cplusplus
extern "C" {
#endif

/* d (16, 8) += a (16, 16) . b (16, 8); a, b: bf16 as bits; operands placed lane by lane as tile.cuh's table says. */
status tile_mma(k_ctx *, float *d, const uint16_t *a, const uint16_t *b, err *e);
/* r [4 forms: x4, x4 transposed, x2, x2 transposed][32 lanes][4] of m [4 matrices][8][8]. */
status tile_ldmatrix(k_ctx *, uint32_t *r, const uint16_t *m, err *e);
/* From row-major tiles in shared memory: c (16, 16) = a . bt^T, d (16, 16) = bf16(c) . b, all (16, 16). */
status tile_chain(k_ctx *, float *c, float *d, const uint16_t *a, const uint16_t *bt, const uint16_t *b, err *e);
/* to [3][32][4 words]: what shared memory holds after waiting for the older group, the younger one, and for the lanes'
 * 4-byte copies (word 0); odd lanes' copies are not valid. from [3][32][4]. */
status tile_copy(k_ctx *, uint32_t *to, const uint32_t *from, err *e);
/* pack [32] of x[2 i], x[2 i + 1]; exp2 [64] of x. */
status tile_numbers(k_ctx *, uint32_t *pack, float *exp2, const float *x, err *e);

#ifdef __cplusplus
}
#endif
#endif
