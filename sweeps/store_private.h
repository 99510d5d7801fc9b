/* Shared by the files of the store. */
#ifndef SWEEPS_STORE_PRIVATE_H
#define SWEEPS_STORE_PRIVATE_H
#include "sweeps/store.h"

void store_look_at(store_look *out, const run_record *r); /* out starts zeroed */
bool h5_shows(const char *dir, const run_record *journal); /* is DIR/run.h5 this journal's newest word? */
#endif
