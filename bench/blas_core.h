/* OpenBLAS chooses its code by processor model when it is loaded; on a processor newer than the library it falls back to AVX2. */
#ifndef BENCH_BLAS_CORE_H
#define BENCH_BLAS_CORE_H
/* Call first thing in main. Where the library's core is below this processor's level and the user has not set
 * OPENBLAS_CORETYPE, sets it and starts the program again, once: the variable's presence ends the recursion. */
void blas_core_fit(char **argv);
#endif
