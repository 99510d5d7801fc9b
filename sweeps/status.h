/* Where a campaign stands, while it runs or after. Reads plan.json, owner files and journals; changes nothing, opens no
 * HDF5 and no data. The counts always add up to the plan's total. */
#ifndef SWEEPS_STATUS_H
#define SWEEPS_STATUS_H
#include <jansson.h>
#include <stddef.h>
#include "base/err.h"
#include "sweeps/campaign.h"

/*      code            word         meaning */
#define SWEEP_STATE_LIST(X)                                                                                            \
    X(SWEEP_DONE, "done", "finished")                                                                                  \
    X(SWEEP_DIVERGED, "diverged", "finished: the loss blew up, a result")                                              \
    X(SWEEP_EARLY_STOPPED, "early-stopped", "finished: by a rule, sweeps/early_stop.h")                              \
    X(SWEEP_RUNNING, "running", "a live process owns it")                                                              \
    X(SWEEP_STOPPED, "stopped", "checkpointed by a signal")                                                            \
    X(SWEEP_PARTIAL, "partial", "begun, its process is gone")                                                          \
    X(SWEEP_FAILED, "failed", "an error at run time")                                                                  \
    X(SWEEP_DAMAGED, "damaged", "its folder cannot be read")                                                           \
    X(SWEEP_WAITING, "waiting", "not begun")

typedef enum sweep_state {
#define SWEEP_STATE_ENUM(code, word, text) code,
    SWEEP_STATE_LIST(SWEEP_STATE_ENUM)
#undef SWEEP_STATE_ENUM
        SWEEP_N_STATES
} sweep_state;
const char *sweep_state_name(sweep_state s);

typedef struct sweep_row {
    sweep_state state;
    int64_t step;
    double loss; /* final validation loss; of an early-stopped or unfinished run its last one; NaN when there is none */
    double flops, shared; /* of its steps so far, without the trunk's; what its trunk has trained, or will train, for it */
    char owner[160];   /* of a live owner */
    char message[256]; /* why it failed, or what is damaged */
} sweep_row;

typedef struct sweep_status {
    campaign_plan plan;
    sweep_row *rows; /* [plan.n_runs], the plan's order */
    size_t counts[SWEEP_N_STATES];
    size_t outside; /* folders in runs/ that the plan does not name (an amended spec) */
    double flops_done, flops_total;
} sweep_status;

/* details: also the last training loss and the reason of a failure, from whole journals. Free in any case. */
status sweep_status_read(sweep_status *out, const char *campaign, bool details, err *e);
void sweep_status_free(sweep_status *s);
json_t *sweep_status_json(const sweep_status *s, const char *campaign); /* muscale.status/1 */
#endif
