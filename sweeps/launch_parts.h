/* What a launch is made of. Private to sweeps/launch_*.c: _local the sweep and its streams, _bank one bank, _say what
 * is told, _pick who is next and who is suspected, _again what a new process must know. */
#ifndef SWEEPS_LAUNCH_PARTS_H
#define SWEEPS_LAUNCH_PARTS_H
#include <pthread.h>
#include <stdatomic.h>

#include "sweeps/early_stop_board.h"
#include "sweeps/launch_local.h"
#include "sweeps/seat.h"
#include "sweeps/store.h"
#include "trainer/train.h"

typedef enum cell_state {
    CELL_WAITING,
    CELL_RUNNING,
    CELL_DONE,
    CELL_DIVERGED,
    CELL_FAILED,
    CELL_OTHERS,
    CELL_STOPPED,
    CELL_EARLY_STOPPED,
    CELL_LEFT /* unfinished, and not asked for */
} cell_state;

typedef struct cell {
    cell_state state;
    bool begun;       /* has a journal: look for checkpoints before it joins a bank */
    size_t at_most;   /* its bank failed and nobody was named: banks of at most so many from now on; 0 = any */
    bool alone;       /* it was a bank by itself when the device failed, but not the only bank: nothing beside it now */
    bool asked_again; /* was another's, who left it unfinished */
    double left;      /* FLOPs */
    int64_t step;     /* of its newest checkpoint; while it is in a bank, where it began; at the end, where it ended */
    ptrdiff_t source; /* the run that it goes on from, or from whose end it has its own; negative: none */
    bool blocked;     /* its trunk is on the way to its branch */
    bool apart;       /* its trunk's state cannot be had: it trains all of its steps */
} cell;

/* A device that fails whatever is trained is told from runs that make it fail: those are found by halving banks, so
 * that between two of them others get on; or, where all of a shape make it fail, those of another shape do. */
enum { MOST_STRIKES = 3 };
typedef struct class_mark {
    bool struck; /* a run of it failed with the device, and nobody got on since */
    bool caught; /* a run of it failed with the device, and no bank of it has come to its end since */
} class_mark;

/* What a bank takes while it is at work, of what all banks share. */
typedef struct claim {
    size_t bytes; /* of the device's memory; 0: on the host */
    double fill;  /* of its multiprocessors */
    bool alone;
} claim;

typedef struct launch launch;
typedef struct trunks trunks;

/* One bank at a time. On the host there is one stream, on a device as many as the plan says. */
typedef struct stream {
    launch *l;
    train_job *jobs; /* [n] of the bank being filled or trained */
    seat *seats;
    size_t *picked;  /* runs that are to be taken */
    size_t n, n_picked;
    claim claim;
    double bank_done; /* FLOPs of the bank at work */
    pthread_t thread;
} stream;

struct launch {
    const sweep_plan *p;
    const sweep_spec *s;
    const sweep_launch_opts *o;
    pthread_mutex_t lock;
    pthread_cond_t idle; /* a bank has ended */
    cell *cells;
    size_t *bank_size; /* per class; halved when memory runs out */
    class_mark *marks; /* per class */
    trunks *trunks;    /* NULL: no runs share one */
    size_t n_failed, n_streams, n_at_work;
    claim taken;       /* by all banks at work */
    double trained_s, at_work_since, flops_done; /* wall time with any bank at work; FLOPs of finished banks */
    stream *streams;
    early_stop_board *early; /* NULL: off */
    bool device_lost;  /* a bank ended in ST_DEVICE: recover when no bank is left on it */
    err device_why;    /* what that was */
    size_t strikes;    /* runs in a row that failed with the device while nobody got on */
    atomic_bool halt;  /* the sweep ends: banks at work checkpoint and stop */
    status st;         /* why it ends */
    err *e;
};

/* ---- launch_say.c ---- */
void launch_say(const launch *l, sweep_say kind, const char *fmt, ...) __attribute__((format(printf, 3, 4)));
const char *launch_run_name(const launch *l, size_t run, char buf[600]);
void launch_count(const launch *l, sweep_progress *out);
void launch_report(const launch *l);

/* ---- launch_bank.c; with the lock held. Not ST_OK: the sweep must end ---- */
status launch_run_dir(const launch *l, size_t run, char out[IO_PATH_MAX], err *e);
double launch_flops_left(const sweep_run *r, int64_t step);
void launch_finish_cell(launch *l, size_t run, const store_look *look);
bool launch_has_room(const stream *w); /* for what was picked, beside the banks at work */
status launch_fill(stream *w, err *e); /* takes what was picked */
status launch_train(stream *w, err *e); /* gives the lock away meanwhile */

/* ---- launch_trunk.c; with the lock held ---- */
bool launch_trunks_new(launch *l);                  /* false: no memory */
void launch_trunks_free(launch *l);
void launch_trunks_touch(launch *l, size_t run);    /* its state, or its step, has changed */
void launch_trunks_settle(launch *l);               /* before a pick: who is blocked, who goes on from whom */
bool launch_trunks_wait(launch *l);                 /* nobody can be picked: true, after a while, if somebody is blocked */
/* A run that was taken, `step` its newest checkpoint: goes on from its trunk's state where there is one (*step), or has the
 * trunk's end (*ended); job->leave is what it has to leave itself. */
status launch_trunks_seat(launch *l, size_t run, store_run *store, train_job *job, int64_t *step, bool *ended, err *e);

/* ---- launch_pick.c; with the lock held ---- */
void launch_pick(stream *w);                              /* the next bank's runs; none: nothing is waiting */
void launch_strike(launch *l, size_t class, size_t runs); /* so many runs of it are blamed for a device's failure */
void launch_got_on(launch *l);                            /* somebody did: it is not the device */
bool launch_device_fails(const launch *l);                /* too many strikes, and no other shape is left to ask */
void launch_acquit(launch *l, size_t class);              /* a bank of it came to its end after a run was caught */

/* ---- launch_again.c ---- */
char *launch_handover(const launch *l); /* for o->resumed of the next process; NULL: no memory, or too long */
void launch_resume(launch *l);          /* after the survey */
#endif
