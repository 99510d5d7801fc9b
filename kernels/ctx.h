/* The CPU's context: scratch of one thread. Private to kernels/. */
#ifndef KERNELS_CTX_H
#define KERNELS_CTX_H
#include "kernels/kernels.h"

struct k_ctx {
    size_t scratch_bytes;
    char *scratch; /* 64-byte aligned */
};

status k_ctx_new_cpu(k_ctx **out, size_t scratch_bytes, err *e);
void k_ctx_free_cpu(k_ctx *c);
static inline real k_scalar(k_mult a, size_t r) { return a.p ? a.p[r] : (real)1; }
#endif
