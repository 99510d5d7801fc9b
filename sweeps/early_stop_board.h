/* Early stopping in a campaign: who is compared with whom, and the curves that are known. Private to the launcher.
 *
 * Runs are compared within a group: one shape, batch, data, validation set and backend (train_same_bank), one budget
 * of tokens and one schedule (warm-up, kind, decay), validated at the same steps. What may differ is what a search is
 * about: learning rate, initialisation, decay, seeds, parametrisation. A small model is not stopped for being small, a
 * long run not for its learning rate being high still, wsd not for decaying later than cosine.
 *
 * What is known is what the journals of the campaign hold, of runs that have ended and that have not, and the rows
 * of the runs that train here. At the first verdict of a bank the journals of all others are looked at, at later ones
 * those that had begun by then, and read again where they have grown. Which runs reach a bracket first depends on the
 * order in which banks run, and so do the verdicts; within a bank they do not depend on the order of its runs. A run's
 * curve has the same bits whenever it is trained. */
#ifndef SWEEPS_EARLY_STOP_BOARD_H
#define SWEEPS_EARLY_STOP_BOARD_H
#include "sweeps/early_stop.h"
#include "sweeps/plan.h"
#include "trainer/train.h"

typedef struct early_stop_board early_stop_board;

/* *out stays NULL when the rule is off. p, rule and campaign are borrowed until free. */
status early_stop_board_new(early_stop_board **out, const sweep_plan *p, const early_stop_rule *rule,
                            const char *campaign, err *e);
void early_stop_board_free(early_stop_board *b); /* accepts NULL; so do the others, and do nothing */

/* A run goes on here from this step; then it has left: final, it has ended for good. */
status early_stop_board_sit(early_stop_board *b, size_t run, int64_t from_step, err *e);
void early_stop_board_leave(early_stop_board *b, size_t run, bool final);

/* What it has recorded, and what is found then. By any thread. */
status early_stop_board_row(early_stop_board *b, size_t run, const train_row *row, err *e);
status early_stop_board_val(early_stop_board *b, size_t run, const train_val *val, err *e);
status early_stop_board_judge(early_stop_board *b, size_t run, train_verdict *v, err *e);
#endif
