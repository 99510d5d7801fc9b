/* Private to trainer/: one checkpoint file, written and verified. */
#ifndef TRAINER_CHECKPOINT_FILE_H
#define TRAINER_CHECKPOINT_FILE_H
#include "trainer/checkpoint.h"

/* Temporary beside path, fsync, rename, fsync of the directory. */
status ckpt_file_write(const char *path, bank *b, size_t r, const trainer_config *c, const ckpt_state *st, err *e);

/* Verifies every byte; with b not NULL the tensors go into replica r. ST_CORRUPT: damaged; ST_INPUT: other config or
 * format version. On ST_CORRUPT the replica is unspecified. */
status ckpt_file_read(ckpt_state *st, bank *b, size_t r, const char *path, const trainer_config *c, err *e);

/* Writes `path` as a checkpoint of c from the checkpoint `from` of another config, `of`, whose tensors are the same ones:
 * numbers and tensors are copied and verified, the front is c's. ST_CORRUPT: `from` is damaged, or not of that step. */
status ckpt_file_copy(const char *path, const trainer_config *c, const char *from, const trainer_config *of,
                      int64_t step, err *e);
#endif
