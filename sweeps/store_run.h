/* A run directory being written. Private to sweeps/store.c and store_branch.c. */
#ifndef SWEEPS_STORE_RUN_H
#define SWEEPS_STORE_RUN_H
#include "sweeps/journal.h"
#include "sweeps/owner.h"
#include "sweeps/store.h"

struct store_run {
    trainer_config config;
    char dir[IO_PATH_MAX], journal_path[IO_PATH_MAX], h5_path[IO_PATH_MAX];
    char id[17], campaign_id[64], prediction[IO_PATH_MAX], prediction_sha256[IO_SHA256_HEX];
    char *argv;
    int threads;
    owner owner;
    journal *journal;
    bool has_start;      /* the journal has a start record */
    bool publish;        /* it has an end that run.h5 does not show yet */
    bool ended;          /* the observer has written the end record */
    train_row last;
    store_look look;
    char note[512];
};
#endif
