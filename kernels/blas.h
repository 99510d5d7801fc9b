/* The BLAS at hand: which of its cores it runs, and how many threads. */
#ifndef KERNELS_BLAS_H
#define KERNELS_BLAS_H
#include "base/cpu_level.h"
#ifdef __cplusplus
extern "C" {
#endif

/* OPENBLAS_CORETYPE that uses the level fully, NULL when nothing needs saying. OpenBLAS picks by model number, so a
 * processor newer than the library falls back to AVX2 code; with the right core the same library is twice as fast. */
const char *k_blas_core_for_level(cpu_level l);
/* Whether OpenBLAS core `name` (openblas_get_corename) uses at least this level. Unknown names: yes. */
int k_blas_core_fits(const char *name, cpu_level l);
const char *k_blas_core_name(void); /* of the library at hand; "" when it is no OpenBLAS */
void k_blas_one_thread(void);        /* for the whole process */
#ifdef __cplusplus
}
#endif
#endif
