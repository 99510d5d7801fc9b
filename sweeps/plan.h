/* The plan of a sweep: every cell resolved, equal cells merged, runs of one shape grouped into banks, longest first,
 * and what it costs. Runs that differ in nothing but their budget share a trunk (sweeps/trunk.h): a second grouping over
 * the same runs; banks of trunks, and of runs that share nothing, come before banks of branches. Starts nothing; the data
 * is opened and hashed once per (path, dtype), not per cell. */
#ifndef SWEEPS_PLAN_H
#define SWEEPS_PLAN_H
#include <jansson.h>
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "sweeps/spec.h"
#include "trainer/config.h"

enum { SWEEP_ID_SIZE = 17, SWEEP_APART = 16 };
#define SWEEP_NO_FAMILY SIZE_MAX

typedef struct sweep_run {
    char id[SWEEP_ID_SIZE];
    size_t block, cell; /* of the spec: the first cell with this identity */
    size_t class;       /* runs of one class may share a bank (train_same_bank) */
    size_t bank;
    int64_t steps;
    double flops;          /* training, by the config's rule */
    size_t family;         /* SWEEP_NO_FAMILY: it shares nothing */
    int64_t branch_step;   /* its steps up to here are the trunk's; 0: it trains all of them */
    double own_flops;      /* of the steps that are its own */
    trainer_config config; /* resolved */
} sweep_run;

typedef struct sweep_bank {
    size_t first, n; /* runs order[first] .. order[first + n - 1] */
    size_t bytes;    /* needed for all replicas at once */
    double fill;     /* of the device, by its shape (sweeps/fill.h); 1 on the host, whose workers share a bank */
    double flops, seconds; /* of the steps that are trained here */
    bool branches;         /* of runs that go on from their trunks */
} sweep_bank;

typedef struct sweep_family { /* runs members[first] .. members[first + n - 1], longest shared part first: the trunk */
    size_t first, n;
} sweep_family;

typedef struct sweep_apart { /* n runs that could share a trunk and do not */
    const char *why;
    size_t n;
} sweep_apart;

typedef struct sweep_class {
    size_t example, n_runs; /* a run of this class */
    size_t max_bank;        /* by bank size and memory */
    size_t enough;          /* a larger bank is of little use: on a device when so many fill it */
    size_t bank_size;       /* of the plan's banks */
    bool on_device;
    double flops_per_s;     /* 0 = not known */
} sweep_class;

/* The device that runs are planned for. name "": every run is the host's. */
typedef struct sweep_device {
    char name[128];
    bool assumed;                   /* there is none here: planned for the memory that was given */
    int multiprocessors;
    size_t total_bytes, free_bytes; /* 0 when assumed */
    size_t budget;                  /* of all banks at work together */
} sweep_device;

typedef struct sweep_plan {
    sweep_run *runs;   /* in the spec's order */
    sweep_bank *banks; /* longest first */
    sweep_class *classes;
    size_t *order;
    size_t n_runs, n_banks, n_classes, n_cells, n_merged;
    bool trunks;                   /* wanted; without them there are no families */
    sweep_family *families;
    size_t *members;
    size_t n_families, n_branches, n_apart;
    sweep_apart apart[SWEEP_APART];
    double flops_trained;          /* of all own steps: <= flops, which counts every run from its first step */
    double flops, tokens, seconds; /* seconds: of the banks one after another; 0: rate not known */
    size_t bytes_peak;             /* of the largest bank */
    sweep_device device;
    size_t streams;                /* banks at a time */
    bool streams_chosen;           /* by the planner: a bank starts only while those at work leave the device room */
    size_t bytes_at_once;          /* at most, of the banks at work together */
    int workers;
    bool measured; /* seconds rest on a measurement on this device */
    size_t n_bad;  /* cells that cannot be built, ready to print */
    char **bad;
    size_t n_excluded; /* cells left out by rules: n_cells = n_runs + n_merged + n_excluded (+ n_bad) */
    size_t *rule_cells; /* [spec.n_rules] cells that each rule left out */
} sweep_plan;

typedef struct sweep_plan_opts {
    int workers;         /* threads the runs will have; bank sizes are multiples of it where possible */
    size_t max_bank;     /* replicas per bank at most; 0 = 16, on a device by shape and memory */
    size_t streams;      /* banks at a time on a device; 0 = by shape and memory */
    size_t memory_limit; /* bytes that the banks at work may need; 0 = half of the machine's memory, of a device's free
                            memory seven eighths */
    const char *backend; /* NULL = as the spec says; else launch setting for every run */
    bool no_trunks;      /* every run trains all of its steps */
} sweep_plan_opts;
sweep_plan_opts sweep_plan_opts_default(void);

/* ST_INPUT when cells cannot be built: p->bad lists them and stays readable until free. ST_DEVICE: runs of a device,
 * and there is neither one here nor a memory_limit to plan with. Free in any case. */
status sweep_plan_make(sweep_plan *p, const sweep_spec *s, const sweep_plan_opts *o, err *e);
void sweep_plan_free(sweep_plan *p); /* accepts a zeroed plan */

/* Time: by a given rate (FLOP/s), or measured: a few real steps of up to CALIBRATE_SHAPES shapes for about a second.
 * Not ST_OK: one of them could not be tried (too large, refused), and no time is known; the plan is as good as before. */
void sweep_plan_rate(sweep_plan *p, double flops_per_s);
status sweep_plan_calibrate(sweep_plan *p, err *e);

/* muscale.plan/1; `runs` lists every run. NULL = no memory. What stands in CAMPAIGN/plan.json leaves the machine's rate
 * out. */
json_t *sweep_plan_json(const sweep_plan *p, const sweep_spec *s, bool with_rate);
#endif
