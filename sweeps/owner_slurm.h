/* Who an owner is to Slurm, so that one on another machine can be judged dead. Private to sweeps/owner*.c. */
#ifndef SWEEPS_OWNER_SLURM_H
#define SWEEPS_OWNER_SLURM_H
#include <jansson.h>
#include <stdbool.h>

typedef struct owner_job {
    char cluster[64], job[32];
    char task[48];      /* "12_3" of an array, "12" else; "": no job */
    long long restarts; /* how often Slurm has started it again */
} owner_job;

void owner_job_here(owner_job *j);                     /* of this process */
bool owner_job_print(const owner_job *j, json_t *out); /* false: no memory */
void owner_job_parse(owner_job *j, const json_t *in);

/* True only when that incarnation of the job has surely ended: this process is a later one of it; or Slurm says so
 * (ask: `scontrol` may be run). Slurm not answering, another cluster, an owner from before these words: false. */
bool owner_job_ended(const owner_job *was, bool ask);
#endif
