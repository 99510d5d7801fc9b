/* What backend_*.c provide to backend.c. Private to kernels/. */
#ifndef KERNELS_BACKEND_H
#define KERNELS_BACKEND_H
#include "kernels/cpu_level.h"
#include "kernels/kernels.h"
const k_ops *k_ops_cpu(k_level l); /* NULL when this build has no such level */
status k_backend_cuda(const k_ops **out, err *e);
#endif
