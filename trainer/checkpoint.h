/* Checkpoints of one replica: all that a bit-identical continuation needs. Randomness and data order are functions of
 * (seed, step), so weights, both moments and a handful of numbers are the whole state.
 *
 * A file `ckpt.<step>`, little-endian: head (checkpoint_file.c: struct head), table of tensors with an xxh64 each, canonical
 * text of the config, then per tensor its floats: weights, first moments, second moments. It appears by rename, after
 * its bytes are on disk; the two newest are kept. No clock, path or process in it: the file is a function of config, step,
 * backend and build, so two runs are compared with cmp. doc/checkpoints.md has the layout. */
#ifndef TRAINER_CHECKPOINT_H
#define TRAINER_CHECKPOINT_H
#include "trainer/bank.h"
#include "trainer/config.h"

enum { CKPT_NOTE_MAX = 256 };

/* The numbers beside the tensors. */
typedef struct ckpt_state {
    int64_t step;              /* optimiser steps done */
    double loss_ema, loss_ema_min;
    double best_val;           /* NaN: no validation yet */
} ckpt_state;

/* Writes replica r of the bank as DIR/ckpt.<step>, then deletes all but the two newest up to that step. file
 * (IO_PATH_MAX) gets the path. ST_IO: nothing has changed. */
status ckpt_write(char *file, const char *dir, bank *b, size_t r, const trainer_config *c, const ckpt_state *st,
                  err *e);

/* Looks for the newest valid checkpoint of this config: every byte of the file is checked. *step = 0 and file = "" when
 * there is none. note: what was damaged and passed over. ST_CORRUPT: files, none valid. ST_INPUT: of another config, or
 * written by another format version. */
status ckpt_find(int64_t *step, char *file, char note[CKPT_NOTE_MAX], const char *dir, const trainer_config *c, err *e);

/* Loads a file that ckpt_find accepted into replica r. */
status ckpt_read(ckpt_state *st, bank *b, size_t r, const char *file, const trainer_config *c, err *e);

/* A trunk's states, DIR/branch.<step>: checkpoints that stay until somebody deletes them. `adopt` makes DIR/ckpt.<step> of
 * c from the state that the run `of` left in the directory `from`; the two differ in nothing that the tensors or the
 * steps so far depend on. */
status ckpt_branch_path(char *path, const char *dir, int64_t step, err *e);
status ckpt_leave(char *file, const char *dir, bank *b, size_t r, const trainer_config *c, const ckpt_state *st,
                  err *e);
status ckpt_adopt(char *file, const char *dir, const trainer_config *c, const char *from, const trainer_config *of,
                  int64_t step, err *e);

bool ckpt_any(const char *dir); /* some ckpt.<step> exists */
int64_t ckpt_newest(const char *dir); /* step of the newest by its name, whatever is in it; 0: none */
/* Deletes what a killed process left half-written; only the owner of DIR may call it. */
void ckpt_remove_temps(const char *dir);
#endif
