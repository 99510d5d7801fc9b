/* The campaign folder: CAMPAIGN/spec.yaml (exact copy), plan.json, runs/<id>/, campaign.h5 (the store's cache). */
#ifndef SWEEPS_CAMPAIGN_H
#define SWEEPS_CAMPAIGN_H
#include <stdbool.h>
#include <stddef.h>
#include "base/err.h"
#include "base/io.h"
#include "sweeps/plan.h"

/* What plan.json says of a run: enough for status and collect, which open no data. */
typedef struct campaign_entry {
    char id[SWEEP_ID_SIZE];
    char *name; /* "mup: d_model=64, lr=0.001" */
    int64_t steps, tokens;
    double flops;
    double own_flops; /* planned: without what its trunk trains for it */
} campaign_entry;

typedef struct campaign_plan {
    campaign_entry *runs;
    size_t n_runs;
    char *first_run; /* canonical text of runs[0], or NULL */
    char spec_sha256[IO_SHA256_HEX];
} campaign_plan;

/* ST_INPUT: no such folder, no campaign, damaged plan.json. Free in any case. */
status campaign_plan_read(campaign_plan *out, const char *campaign, err *e);
void campaign_plan_free(campaign_plan *p);

/* Makes the folder or checks it against the plan. A folder that holds other runs is refused with the difference
 * (ST_INPUT), unless amend: then spec.yaml and plan.json are replaced and no run is touched. The same runs from a spec
 * with another text (comments, launch settings) are accepted. ST_INPUT too: a folder with other people's files.
 *   note  [512]  out: what a person should know, "" if nothing */
status campaign_open(const char *campaign, const sweep_spec *s, const sweep_plan *p, bool amend, char note[512],
                     err *e);

/* Is this the plan in the folder? `s` is the folder's own spec.yaml. ST_INPUT: no, with the difference; the data, a default
 * or the program has changed. Changes nothing. */
status campaign_same_plan(const char *campaign, const campaign_plan *there, const sweep_spec *s, const sweep_plan *p,
                          err *e);

/* CAMPAIGN/runs/<id> */
status campaign_run_dir(char out[IO_PATH_MAX], const char *campaign, const char *id, err *e);
#endif
