/* The instruction-set level of this machine. Hot files are compiled once per level and chosen at run time. */
#ifndef BASE_CPU_LEVEL_H
#define BASE_CPU_LEVEL_H
#include "base/err.h"
#ifdef __cplusplus
extern "C" {
#endif

/* Levels above the plain C definitions need GCC's target pragma: clang and other processors do without. */
#if defined __x86_64__ && defined __GNUC__ && !defined __clang__
#define CPU_HAVE_LEVELS 1
#endif

typedef enum cpu_level { CPU_GENERIC, CPU_V2, CPU_V3, CPU_V4, CPU_N_LEVELS } cpu_level;
const char *cpu_level_name(cpu_level l); /* "generic", "x86-64-v2", ... */
cpu_level cpu_level_detect(void);        /* the highest this processor (and kernel) can run */

/* Detected, or MUSCALE_CPU=generic|v2|v3|v4. ST_INPUT: an unknown word, or more than the processor has. */
status cpu_level_chosen(cpu_level *out, err *e);
#ifdef __cplusplus
}
#endif
#endif
