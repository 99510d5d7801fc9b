/* What backend_*.c provide to backend.c. Private to kernels/. */
#ifndef KERNELS_BACKEND_H
#define KERNELS_BACKEND_H
#include "base/cpu_level.h"
#include "kernels/kernels.h"

#ifdef __cplusplus
extern "C" {
#endif

#if defined CPU_HAVE_LEVELS && !defined K_REAL_DOUBLE /* the double build has the definitions only */
#define K_HAVE_LEVELS 1
extern const k_ops k_ops_v2, k_ops_v3, k_ops_v4;
#endif

const k_ops *k_ops_cpu(cpu_level l); /* NULL when this build has no such level */
/* name: "cuda" or "cuda-fp32". backend_cuda.cu, or backend_none.c: ST_DEVICE. */
status k_backend_cuda(const k_ops **out, const char *name, err *e);

#ifdef __cplusplus
}
#endif
#endif
