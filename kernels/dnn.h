/* Attention by plans of cuDNN, an alternative to attention_cuda.cu's own kernel (dnn_cuda.cu; dnn_none.cu stands in
 * where the build has no cuDNN, and in the tests on the host). Private to kernels/, C++. */
#ifndef KERNELS_DNN_H
#define KERNELS_DNN_H
#include <cuda_runtime.h>

#include "kernels/kernels.h"

typedef struct k_dnn k_dnn;

/* "9.19.0"; false: why not in e. Needs no device. */
bool k_dnn_version(char *out, size_t room, err *e);
void k_dnn_free(k_dnn *dnn); /* NULL is fine */
#endif
