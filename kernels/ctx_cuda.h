/* CUDA's context: a stream, the matrix-product plans, scratch on the device. Private to kernels/, C++. What the rest of
 * the program holds as a k_ctx of this backend is a k_cuda. */
#ifndef KERNELS_CTX_CUDA_H
#define KERNELS_CTX_CUDA_H
#include <cuda_runtime.h>

#include "kernels/device_ops.h"

struct k_lt;  /* kernels/lt.h: plans of cuBLASLt */
struct k_dnn; /* kernels/dnn.h: plans of cuDNN, where it is there */

typedef struct k_cuda {
    cudaStream_t stream;
    int device, major, minor, multiprocessors;
    size_t shared_max; /* bytes of dynamic shared memory that a block may have */
    char *scratch;     /* on the device, K_ALIGN_DEVICE-aligned */
    size_t scratch_bytes;
    k_lt *lt;
    k_dnn *dnn;        /* NULL: our own attention */
    bool each;         /* MUSCALE_CUDA_SYNC=1: synchronise after every launch, so that an error names its kernel */
    bool recording;    /* between record_begin and record_end: nothing may be waited for */
    char name[320];
} k_cuda;

static inline k_cuda *k_cuda_of(k_ctx *c) { return (k_cuda *)(void *)c; }

status k_cuda_status(cudaError_t rc, const char *what, err *e); /* ST_OK, ST_NOMEM or ST_DEVICE with CUDA's message */
status k_cuda_launched(k_ctx *, const char *kernel, err *e);    /* after every launch, in every build */

status k_cuda_ctx_new(k_ctx **out, size_t scratch_bytes, err *e);
void k_cuda_ctx_free(k_ctx *c);
extern const k_device_ops k_cuda_device_ops;

/* graph_cuda.cu */
status k_record_begin_cuda(k_ctx *, err *e);
status k_record_end_cuda(k_ctx *, k_graph **out, err *e);
void k_record_drop_cuda(k_ctx *);
status k_replay_cuda(k_ctx *, k_graph *, err *e);
void k_graph_free_cuda(k_graph *g);
status k_recover_cuda(err *e);
#endif
