/* Invented runs for the tests of the store: nothing is trained. Values have many digits, so that a lost one shows. */
#ifndef TESTS_SWEEPS_STORE_FIXTURE_H
#define TESTS_SWEEPS_STORE_FIXTURE_H
#include "sweeps/store.h"

void fx_tempdir(char out[IO_PATH_MAX]);            /* a new empty directory, removed at exit of the process that made it */
void fx_config(trainer_config *c, uint64_t seed);  /* resolved, without data */
train_row fx_row(int64_t step, int64_t salt);      /* salt: another value for the same step */
train_val fx_val(int64_t step, int64_t salt);
void fx_updates(train_update *of, size_t n, int64_t step, int64_t salt);
train_end fx_end(run_status how, int64_t step);

/* Drives the observer as the loop would: start (from_step), rows from_step+1..to (updates where log_updates_every says), a val at `to`, then end unless PARTIAL. */
status fx_drive(train_observer o, const trainer_config *c, int64_t from, int64_t to, int64_t salt, run_status how, err *e);

/* A whole run in dir: opened, driven, closed. */
status fx_run(const char *dir, const trainer_config *c, int64_t steps, run_status how, err *e);

size_t fx_file_size(const char *path);
char *fx_read(const char *path, size_t *n);        /* asserts */
void fx_write(const char *path, const void *data, size_t n);
#endif
