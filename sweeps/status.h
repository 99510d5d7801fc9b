/* Where a campaign stands, while it runs or after. Reads plan.json, owner files and the last lines of journals; changes
 * nothing, takes no lock, opens no HDF5 (but of a run that has lost its journal) and no data. The counts always add up
 * to the plan's total. */
#ifndef SWEEPS_STATUS_H
#define SWEEPS_STATUS_H
#include <jansson.h>
#include <stddef.h>
#include "base/err.h"
#include "sweeps/campaign.h"

/* Which word of `sweep retry` asks for the runs of a state. */
typedef enum sweep_again { SWEEP_AGAIN_NO, SWEEP_AGAIN_FAILED, SWEEP_AGAIN_MISSING, SWEEP_AGAIN_DIVERGED } sweep_again;

/* OPEN: there is work left. SETTLED: nothing more happens to it unless somebody asks. FINAL: settled, and a result. */
typedef enum sweep_end { SWEEP_OPEN, SWEEP_SETTLED, SWEEP_FINAL } sweep_end;

/* shown: named without -v, with the reason.
 *    code            word        retry                 end            shown  meaning */
#define SWEEP_STATE_LIST(X)                                                                                            \
    X(SWEEP_DONE,     "done",     SWEEP_AGAIN_NO,       SWEEP_FINAL,   false, "finished")                              \
    X(SWEEP_DIVERGED, "diverged", SWEEP_AGAIN_DIVERGED, SWEEP_FINAL,   true,  "finished: the loss blew up, a result")  \
    X(SWEEP_EARLY_STOPPED, "early-stopped", SWEEP_AGAIN_NO, SWEEP_FINAL, true, "finished: by a rule, early_stop.h")   \
    X(SWEEP_RUNNING,  "running",  SWEEP_AGAIN_NO,       SWEEP_OPEN,    false, "a live process owns it")                \
    X(SWEEP_STOPPED,  "stopped",  SWEEP_AGAIN_MISSING,  SWEEP_OPEN,    false, "checkpointed by a signal")              \
    X(SWEEP_PARTIAL,  "partial",  SWEEP_AGAIN_MISSING,  SWEEP_OPEN,    false, "begun, its process is gone")            \
    X(SWEEP_FAILED,   "failed",   SWEEP_AGAIN_FAILED,   SWEEP_SETTLED, true,  "an error at run time")                  \
    X(SWEEP_DAMAGED,  "damaged",  SWEEP_AGAIN_NO,       SWEEP_SETTLED, true,  "its folder cannot be read")             \
    X(SWEEP_WAITING,  "waiting",  SWEEP_AGAIN_MISSING,  SWEEP_OPEN,    false, "not begun")

typedef enum sweep_state {
#define SWEEP_STATE_ENUM(code, word, again, end, shown, text) code,
    SWEEP_STATE_LIST(SWEEP_STATE_ENUM)
#undef SWEEP_STATE_ENUM
        SWEEP_N_STATES
} sweep_state;

typedef struct sweep_state_row {
    const char *word;
    sweep_again again;
    sweep_end end;
    bool shown;
} sweep_state_row;
extern const sweep_state_row sweep_states[SWEEP_N_STATES];
const char *sweep_state_name(sweep_state s);

/* What says that a run has been written to since it was looked at. */
typedef struct sweep_stamp {
    int64_t size, mtime_s, mtime_ns; /* of the journal; size -1: none */
    bool owned;                      /* there is an owner file */
} sweep_stamp;

typedef struct sweep_row {
    sweep_state state;
    int64_t step;
    double loss; /* final validation loss; of an early-stopped or unfinished run its last one; NaN when there is none */
    double flops, shared; /* of its steps so far, without the trunk's; what its trunk has trained, or will train, for it */
    char owner[160];   /* of a live owner */
    char message[512]; /* why it failed, where it diverged, or what is damaged */
    bool seen;         /* looked at, with this stamp */
    sweep_stamp stamp;
} sweep_row;

typedef struct sweep_status {
    campaign_plan plan;
    sweep_row *rows; /* [plan.n_runs], the plan's order */
    size_t counts[SWEEP_N_STATES];
    size_t outside;  /* folders in runs/ that the plan does not name (an amended spec) */
    size_t attempts; /* in attempts/: what `sweep retry --diverged` has put aside */
    double flops_done, flops_left, flops_total; /* left: of the open runs */
    double progress;                            /* 0 .. 1, by FLOPs; a run that diverged is through */
} sweep_status;

/* Free in any case. */
status sweep_status_read(sweep_status *out, const char *campaign, err *e);
/* The same again: only what was written to since, or is running, is read. Counts `outside` and `attempts` as they
 * were. */
void sweep_status_again(sweep_status *s, const char *campaign);
void sweep_status_free(sweep_status *s);
bool sweep_status_settled(const sweep_status *s); /* every run is */
json_t *sweep_status_json(const sweep_status *s, const char *campaign); /* muscale.status/1 */
#endif
