/* What a disk may hold after the power went, from a tape of the calls that were made.
 *
 * Two file systems. POWER_ORDERED is ext4 as it is mounted by default (data=ordered): changes of names reach the disk in
 * the order they were made, those before any fsync with it; data that was not synced is there up to some byte, or not.
 * POWER_PESSIMISTIC promises what POSIX does and no more: a name is safe once its directory was synced, data once its
 * file was; everything else is there or not, each change for itself, in sectors of 512 bytes, with zeros where the size
 * grew and the data did not come. A rename is atomic in both. */
#ifndef TESTS_SWEEPS_POWER_H
#define TESTS_SWEEPS_POWER_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "tests/sweeps/interpose.h"

typedef enum power_model { POWER_ORDERED, POWER_PESSIMISTIC, POWER_N_MODELS } power_model;
typedef struct power power;

power *power_new(const char *root);       /* the directory as it is now; all of it is on disk */
void power_free(power *p);
size_t power_steps(const tape *t);        /* calls on it */
/* The power goes after the first `steps` calls; root is made into what the disk holds then. The numbers of notes on the
 * way are put into noted[what]. draw: all that is left to chance. Asserts that the tape fits. */
void power_cut(const power *p, const tape *t, size_t steps, power_model model, uint64_t draw, int64_t *noted);
#endif
