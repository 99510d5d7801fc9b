/* What backend_*.c provide to backend.c. Private to kernels/. */
#ifndef KERNELS_BACKEND_H
#define KERNELS_BACKEND_H
#include "kernels/cpu_level.h"
#include "kernels/kernels.h"

/* Levels need GCC's target pragma; elsewhere (clang, other processors, the double build) the definitions serve. */
#if defined __x86_64__ && defined __GNUC__ && !defined __clang__ && !defined K_REAL_DOUBLE
#define K_HAVE_LEVELS 1
extern const k_ops k_ops_v2, k_ops_v3, k_ops_v4;
#endif

const k_ops *k_ops_cpu(k_level l); /* NULL when this build has no such level */
status k_backend_cuda(const k_ops **out, err *e);
#endif
