/* What several runs of one wsd schedule have in common, and how one goes on from another's state. */
#include <math.h>
#include <unistd.h>

#include "trainer/checkpoint.h"
#include "trainer/train.h"

/* Data order, initial weights, warm-up and validation are functions of the config and the step; the peak of wsd is 1
 * whatever the decay's shape and floor are (floor + (1 - floor) rounds to 1 for every floor in [0,1]). So two runs that
 * differ in tokens and decay only are one run until the earlier decay falls for the first time: step s sees the tokens
 * before it (trainer/schedule.c), and the first that lies in the decay is at the peak still. The last step is a run's
 * own: it is logged and validated as such. */
int64_t train_shared_steps(const trainer_config *c, const char **why)
{
    const mup_rule *rule = mup_rule_find(c->parametrisation);
    const char *ignored;
    if (!why) why = &ignored;
    *why = NULL;
    if (c->schedule != SCHED_WSD) *why = "schedule is not wsd: the learning rate depends on the budget long before the end";
    else if (!rule || mup_rule_needs_horizon(rule))
        *why = "the parametrisation's factors (lr, eps, betas) depend on tokens";
    if (*why) return 0;
    const int64_t start = c->tokens - llround(c->decay_fraction * (double)c->tokens), last = config_steps(c) - 1;
    const int64_t shared = start / c->batch_tokens + 1;
    return shared < last ? shared : last;
}

status train_branch_of(const char *ckpt_dir, const trainer_config *c, const char *from_dir, const trainer_config *of,
                       int64_t step, char file[IO_PATH_MAX], err *e)
{
    return ckpt_adopt(file, ckpt_dir, c, from_dir, of, step, e);
}

bool train_has_left(const char *dir, int64_t step)
{
    char path[IO_PATH_MAX];
    return !ckpt_branch_path(path, dir, step, NULL) && io_exists(path);
}

void train_forget(const char *dir, int64_t step)
{
    char path[IO_PATH_MAX];
    if (!ckpt_branch_path(path, dir, step, NULL)) unlink(path);
}

int64_t train_newest(const char *ckpt_dir) { return ckpt_newest(ckpt_dir); }
