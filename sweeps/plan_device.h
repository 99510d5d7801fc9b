/* What of a plan depends on a device: its memory, and how many banks it trains at a time. Private to the planner. */
#ifndef SWEEPS_PLAN_DEVICE_H
#define SWEEPS_PLAN_DEVICE_H
#include "kernels/kernels.h"
#include "sweeps/plan.h"

/* Fills *d once. ST_DEVICE: none is here, and o->memory_limit does not say what to plan with. */
status plan_device(sweep_device *d, const k_ops *ops, const sweep_plan_opts *o, err *e);

/* p->streams and p->bytes_at_once, of banks in their order. */
status plan_streams(sweep_plan *p, const sweep_plan_opts *o, err *e);
#endif
