/* The learning-rate schedules of a plan. Runs whose lr over tokens has the same shape are one, whatever their peaks. */
#ifndef SWEEPS_PLAN_SCHEDULE_H
#define SWEEPS_PLAN_SCHEDULE_H
#include <jansson.h>
#include "sweeps/plan.h"

typedef struct sweep_schedule {
    size_t example, n_runs;    /* a run of it; how many there are */
    double peak_min, peak_max; /* key lr of its runs; the parametrisation's factors come on top, per tensor */
    int64_t decay_from;        /* tokens before the first step that decays; = tokens: it never does */
    double last;               /* lr of the last step, of the peak */
} sweep_schedule;

typedef struct sweep_schedules {
    sweep_schedule *list; /* most runs first, then the longest */
    size_t n;
    int64_t longest;      /* tokens of any */
} sweep_schedules;

status sweep_schedules_find(sweep_schedules *out, const sweep_plan *p, err *e); /* free in any case */
void sweep_schedules_free(sweep_schedules *s);

/* lr of the peak at so many tokens, of the step that is under way then (the last, at the end). */
double sweep_schedule_at(const trainer_config *c, double tokens);

/* A drawing of characters, the top row first, each ending in 0; tokens from 0 to `longest` to the right, lr from 0 to
 * the peak upwards. */
enum { SWEEP_DRAW_WIDTH = 64, SWEEP_DRAW_ROWS = 4 };
void sweep_schedule_draw(char rows[SWEEP_DRAW_ROWS][SWEEP_DRAW_WIDTH + 1], const trainer_config *c, int64_t longest);

/* [{schedule, n_runs, peak_lr, ...}], with points of the curve while there are few. NULL: no memory. */
json_t *sweep_schedules_json(const sweep_schedules *s, const sweep_plan *p);
#endif
