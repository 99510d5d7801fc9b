/* CUDA's context: a stream, the matrix-product plans, scratch on the device. Private to kernels/, C++. What the rest of
 * the program holds as a k_ctx of this backend is a k_cuda. */
#ifndef KERNELS_CTX_CUDA_H
#define KERNELS_CTX_CUDA_H
#include <cuda_runtime.h>

#include "kernels/device_ops.h"

struct k_lt;  /* kernels/lt.h: plans of cuBLASLt */
struct k_dnn; /* kernels/dnn.h: plans of cuDNN, where it is there */

typedef struct k_cuda {
    cudaStream_t stream, ahead; /* ahead: of copies, ahead_cuda.cu */
    cudaEvent_t arrived;        /* the copies that `stream` was last made to wait for */
    int device, major, minor, multiprocessors;
    size_t shared_max; /* bytes of dynamic shared memory that a block may have */
    char *scratch;     /* on the device, K_ALIGN_DEVICE-aligned */
    size_t scratch_bytes;
    k_lt *lt;
    k_dnn *dnn;        /* NULL: our own attention */
    bool each;         /* MUSCALE_CUDA_SYNC=1: synchronise after every launch, so that an error names its kernel */
    bool recording;    /* between record_begin and record_end: nothing may be waited for */
    char name[320], noted[384]; /* noted: name, and what device_name adds to it */
} k_cuda;

static inline k_cuda *k_cuda_of(k_ctx *c) { return (k_cuda *)(void *)c; }

status k_cuda_status(cudaError_t rc, const char *what, err *e); /* ST_OK, ST_NOMEM or ST_DEVICE with CUDA's message */
status k_cuda_launched(k_ctx *, const char *kernel, err *e);    /* after every launch, in every build */

status k_cuda_ctx_new(k_ctx **out, size_t scratch_bytes, err *e);
void k_cuda_ctx_free(k_ctx *c);
extern const k_device_ops k_cuda_device_ops;

/* ST_DEVICE while a graph is recorded: `what` would be of the recording's first run only, or not of it at all. */
status k_cuda_outside(k_ctx *, const char *what, err *e);

/* ahead_cuda.cu */
status k_ahead_new_cuda(k_cuda *, err *e);
void k_ahead_free_cuda(k_cuda *);
status k_upload_ahead_cuda(k_ctx *, void *to, const void *from_host, size_t bytes, err *e);
status k_join_ahead_cuda(k_ctx *, err *e);
status k_mark_new_cuda(k_ctx *, k_mark **out, err *e);
void k_mark_free_cuda(k_mark *m);
status k_mark_set_cuda(k_ctx *, k_mark *, err *e);
status k_mark_wait_cuda(k_mark *, err *e);

/* graph_cuda.cu */
status k_record_begin_cuda(k_ctx *, err *e);
status k_record_end_cuda(k_ctx *, k_graph **out, err *e);
void k_record_drop_cuda(k_ctx *);
status k_replay_cuda(k_ctx *, k_graph *, err *e);
void k_graph_free_cuda(k_graph *g);
status k_recover_cuda(err *e);
#endif
