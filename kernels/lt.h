/* Matrix products on a device: a thin wrapper around cuBLASLt (lt_cuda.cu), with a host stand-in for the tests
 * (tests/emu/lt_host.cpp). Private to kernels/, C++.
 *
 *   D[r] = alpha * op(A[r]) op(B[r]) + acc * D[r],  r < R        row-major, replica strides and row strides in elements
 *
 * op(A) is (m, k): A is stored (m, k), or (k, m) when `ta`. op(B) is (k, n): stored (k, n), or (n, k) when `tb`.
 * A and B have type `in`, D type `out`; sums and alpha are float. No TF32.
 *
 * A replica's bits do not depend on R, on its place or on its neighbours: the algorithm is a function of the shape, the
 * types and the alignment only. `lt` asks cuBLASLt's heuristic once per shape, for one replica, with the alignment that
 * addresses and strides have, a fixed workspace, no split of k and no reduction between blocks; what it answers is used
 * for every R. Where it does not fit a batch of R, replicas run one by one with it.
 *
 * May be called while a stream is captured; allocates nothing on the device after k_lt_new. */
#ifndef KERNELS_LT_H
#define KERNELS_LT_H
#include <cuda_runtime.h>

#include "kernels/device_ops.h"

typedef struct k_lt k_lt;

/* Bytes of the device's memory that a k_lt owns; what cuBLAS's documentation (cublasSetWorkspace) recommends for
 * Hopper. Fixed: the heuristic's answer may depend on it. */
enum { K_LT_WORKSPACE = 32 << 20 };

typedef enum k_lt_type { K_LT_FP32, K_LT_BF16 } k_lt_type;
static inline size_t k_lt_size(k_lt_type t) { return t == K_LT_BF16 ? 2 : 4; }

typedef struct k_lt_mat {
    const void *p;
    size_t stride, ld;
} k_lt_mat;
typedef struct k_lt_product {
    k_lt_type in, out;
    size_t R, m, n, k;
    k_lt_mat a, b;
    bool ta, tb, acc;
    void *d;
    size_t stride_d, ldd;
    float alpha;
} k_lt_product;

status k_lt_new(k_lt **out, int device, err *e); /* of one stream at a time: it owns one workspace */
void k_lt_free(k_lt *lt);                        /* NULL is fine */
status k_lt_run(k_lt *lt, cudaStream_t stream, const k_lt_product *x, err *e);

/* "13.1.0"; false: why not in e. Needs no device. */
bool k_lt_version(char *out, size_t room, err *e);

/* The alignment that is declared for an operand: the largest power of two, at most K_ALIGN_DEVICE, that divides its
 * address and its replica stride in bytes. The same for one replica of a bank as for the bank. */
static inline size_t k_lt_alignment(const void *p, size_t stride_bytes)
{
    const size_t x = (size_t)p | stride_bytes | (size_t)K_ALIGN_DEVICE;
    return x & (~x + 1);
}
#endif
