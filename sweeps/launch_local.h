/* Runs a plan on this machine: banks one after another, longest first, in one process with worker threads; on a device
 * in as many streams as the plan says. A bank starts when the device has room for it beside those at work: memory that
 * is not theirs and, where the planner chose the streams, work that they leave undone.
 *
 * Every unfinished run of the plan is taken by its owner file when its bank starts, so that several processes may share
 * a campaign; what another live process owns is left alone. Finished runs (done, diverged, early-stopped) are skipped; stopped, killed
 * and failed ones go on from their checkpoints, in banks with whatever run of their class is left. A run that fails is
 * recorded and the others go on without it. Each bank's runs are published as soon as the bank is done. */
#ifndef SWEEPS_LAUNCH_LOCAL_H
#define SWEEPS_LAUNCH_LOCAL_H
#include <signal.h>
#include <stdbool.h>
#include <stddef.h>
#include "sweeps/plan.h"

typedef struct sweep_progress {
    size_t total, done, diverged, early_stopped, failed, running, others,
        waiting;                                /* add up to total; others: run by other processes */
    double flops_done, flops_left, flops_per_s; /* done: by this process; per second of training */
    double seconds_left;                        /* flops_left / flops_per_s; negative = not known yet */
} sweep_progress;

typedef enum sweep_say { SWEEP_NOTE, SWEEP_WARN, SWEEP_FAILURE } sweep_say;

typedef struct sweep_listener { /* every slot may be NULL; called by one thread at a time, not always the one that launched */
    void *self;
    void (*progress)(void *self, const sweep_progress *);
    void (*say)(void *self, sweep_say kind, const char *line); /* one line, no newline */
} sweep_listener;

typedef struct sweep_launch_opts {
    const char *campaign;
    int threads;
    size_t streams;                    /* banks at a time; 0 = the plan's */
    const bool *only;                  /* [n_runs] the runs that may be trained; NULL: every unfinished one */
    size_t fail_fast;                  /* stop after so many failures; 0 = go on to the end */
    const volatile sig_atomic_t *stop; /* set by a signal handler: checkpoint everything and return; may be NULL */
    char *const *argv;                 /* provenance of the runs */
    int argc;
    const char *resumed; /* what an earlier process handed over; may be NULL */
    char **handover;     /* out, on ST_DEVICE: text for `resumed` of a new process, who owns the device again, or NULL when
                            none should be started; freed by the caller. May be NULL */
    sweep_listener listener;
} sweep_launch_opts;

/* The campaign folder must be open (campaign_open) and the backends ready (k_backend_ready). *out is the last state, also on error.
 *   ST_PARTIAL      some runs failed; their journals say why
 *   ST_INTERRUPTED  *stop was set; everything is checkpointed
 *   ST_DEVICE       the device failed and only a new process can use it again, or it fails whatever is trained;
 *                   everything is checkpointed
 *   ST_IO           the campaign cannot be written any more (no space, read-only): nothing else is tried */
status sweep_launch_local(sweep_progress *out, const sweep_plan *p, const sweep_spec *s, const sweep_launch_opts *o,
                          err *e);
#endif
