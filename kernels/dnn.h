/* Attention by plans of cuDNN, an alternative to attention_cuda.cu's own forward kernel (dnn_cuda.cu; dnn_none.cu
 * stands in where the build has no cuDNN, and in the tests on the host). Off unless MUSCALE_ATTENTION=cudnn asks for
 * it: our own is complete, and nothing has been measured that would choose otherwise. Private to kernels/, C++. */
#ifndef KERNELS_DNN_H
#define KERNELS_DNN_H
#include <cuda_runtime.h>
#include <stdlib.h>
#include <string.h>

#include "kernels/device_ops.h"

typedef struct k_dnn k_dnn;

enum { K_DNN_WORKSPACE = 16 << 20 }; /* bytes of the device for each context; the fused forward pass needs next to none */
static inline bool k_dnn_asked(void) /* whether MUSCALE_ATTENTION asks for it, be it there or not */
{
    const char *asked = getenv("MUSCALE_ATTENTION");
    return asked && !strcmp(asked, "cudnn");
}

/* "9.19.0"; false: why not in e. Needs no device. */
bool k_dnn_version(char *out, size_t room, err *e);

/* What MUSCALE_ATTENTION asks for: "own" (or nothing): *out NULL; "cudnn": plans, or *out NULL and why there are none
 * in `note`, one line: attention is our own then. ST_INPUT: another word. */
status k_dnn_new(k_dnn **out, char *note, size_t room, err *e);
void k_dnn_free(k_dnn *dnn); /* NULL is fine */

/* attention.h's forward pass on bf16 operands. False: cuDNN has no deterministic plan for this shape, or failed;
 * nothing that counts was written, and the caller's own kernel does it. Whether it has one does not depend on R:
 * replicas run one by one, each with its own scale. May be called while a stream is captured. */
bool k_dnn_attn_fwd(k_dnn *dnn, cudaStream_t stream, k_act o, k_arr lse, k_cact q, k_cact k, k_cact v, k_mult scale,
                    const k_attn *s);
#endif
