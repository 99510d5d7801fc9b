/* Which runs of a campaign are asked for once more, and making room for those that have ended. */
#ifndef SWEEPS_RETRY_H
#define SWEEPS_RETRY_H
#include "sweeps/status.h"

/* Runs to train again, by their states: [s->plan.n_runs], the plan's order. Never done runs, nor those of a live
 * process. A run of which an ended attempt was put aside and that has not ended since belongs to `diverged`, too: a
 * retry that was killed is asked for with the same words. */
typedef struct retry_want {
    bool failed, missing, diverged;
} retry_want;
status retry_choose(bool *chosen, const sweep_status *s, const char *campaign, const retry_want *want, err *e);

/* Moves CAMPAIGN/runs/<id>, a run that diverged, to CAMPAIGN/attempts/<id>.<k>, with all that is in it: one rename, by
 * the run's owner. Killed anywhere, its record is whole in one of the two places. Readers of a campaign look into
 * runs/ only.
 *   to  out  where it is now; "" when it had not diverged after all (somebody was there before)
 * ST_BUSY: a live process owns it. */
status retry_put_aside(char to[IO_PATH_MAX], const char *campaign, const char *id, err *e);
#endif
