/* The storage type of every tensor. The product stores float. The tests build the same definitions once more with
 * K_REAL_DOUBLE, so that gradients are checked against finite differences in double precision. */
#ifndef KERNELS_REAL_H
#define KERNELS_REAL_H
#ifdef K_REAL_DOUBLE
typedef double real;
#else
typedef float real;
#endif
/* Activations (kernels.h). A backend may store them otherwise: C code only moves their addresses. */
typedef real act_real;
#endif
