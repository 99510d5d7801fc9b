/* The instruction-set level of this machine and what follows from it. */
#ifndef KERNELS_CPU_LEVEL_H
#define KERNELS_CPU_LEVEL_H
#include "base/err.h"
#ifdef __cplusplus
extern "C" {
#endif

typedef enum k_level { K_GENERIC, K_V2, K_V3, K_V4, K_N_LEVELS } k_level;
const char *k_level_name(k_level l); /* "generic", "x86-64-v2", ... */
k_level k_level_detect(void);        /* the highest this processor (and kernel) can run */

/* Detected, or MUSCALE_CPU=generic|v2|v3|v4. ST_INPUT: an unknown word, or more than the processor has. */
status k_level_chosen(k_level *out, err *e);

/* OPENBLAS_CORETYPE that uses the level fully, NULL when nothing needs saying. OpenBLAS picks by model number, so a
 * processor newer than the library falls back to AVX2 code; with the right core the same library is twice as fast. */
const char *k_blas_core_for_level(k_level l);
/* Whether OpenBLAS core `name` (openblas_get_corename) uses at least this level. Unknown names: yes. */
int k_blas_core_fits(const char *name, k_level l);
const char *k_blas_core_name(void); /* of the library at hand; "" when it is no OpenBLAS */
void k_blas_one_thread(void);        /* for the whole process */
#ifdef __cplusplus
}
#endif
#endif
