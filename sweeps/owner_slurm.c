#include "sweeps/owner_slurm.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/program.h"

static void variable(char *out, size_t size, const char *name)
{
    const char *t = getenv(name);
    snprintf(out, size, "%s", t ? t : "");
}

void owner_job_here(owner_job *j)
{
    char array[32], member[16], restarts[32];
    memset(j, 0, sizeof *j);
    variable(j->job, sizeof j->job, "SLURM_JOB_ID");
    if (!*j->job) return;
    variable(j->cluster, sizeof j->cluster, "SLURM_CLUSTER_NAME");
    variable(array, sizeof array, "SLURM_ARRAY_JOB_ID");
    variable(member, sizeof member, "SLURM_ARRAY_TASK_ID");
    variable(restarts, sizeof restarts, "SLURM_RESTART_COUNT"); /* not set before the first restart */
    /* the number alone also means the whole array, in one of its tasks */
    if (*array && *member) snprintf(j->task, sizeof j->task, "%s_%s", array, member);
    else snprintf(j->task, sizeof j->task, "%s", j->job);
    j->restarts = strtoll(restarts, NULL, 10);
}

bool owner_job_print(const owner_job *j, json_t *out)
{
    return !json_object_set_new(out, "slurm_job", json_string(j->job)) &&
           (!*j->job || (!json_object_set_new(out, "slurm_cluster", json_string(j->cluster)) &&
                         !json_object_set_new(out, "slurm_task", json_string(j->task)) &&
                         !json_object_set_new(out, "slurm_restarts", json_integer((json_int_t)j->restarts))));
}

static void word(char *out, size_t size, const json_t *in, const char *key)
{
    const char *t = json_string_value(json_object_get(in, key));
    snprintf(out, size, "%s", t ? t : "");
}

void owner_job_parse(owner_job *j, const json_t *in)
{
    memset(j, 0, sizeof *j);
    word(j->cluster, sizeof j->cluster, in, "slurm_cluster");
    word(j->job, sizeof j->job, in, "slurm_job");
    word(j->task, sizeof j->task, in, "slurm_task");
    j->restarts = json_integer_value(json_object_get(in, "slurm_restarts"));
    if (strspn(j->task, "0123456789_") != strlen(j->task)) j->task[0] = 0; /* not for a command line */
}

/* The word behind "KEY=" or "KEY = " in what scontrol says. */
static void value(char *out, size_t size, const char *text, const char *key)
{
    const size_t n = strlen(key);
    out[0] = 0;
    for (const char *p = text; (p = strstr(p, key)); p += n) {
        const char *v = p + n + strspn(p + n, " ");
        if ((p != text && !strchr(" \n", p[-1])) || *v != '=') continue;
        v += 1 + strspn(v + 1, " ");
        snprintf(out, size, "%.*s", (int)strcspn(v, " \n"), v);
        return;
    }
}

static bool this_cluster(const owner_job *me, const char *name)
{
    static const char *const ask[] = {"scontrol", "show", "config", NULL};
    char here[64];
    program_result r;
    if (!*name) return false;
    if (*me->job) return !strcmp(me->cluster, name);
    bool same = !program_run(&r, ask, NULL) && !r.exit_code;
    if (same) value(here, sizeof here, r.out, "ClusterName");
    same = same && !strcmp(here, name);
    program_free(&r);
    return same;
}

/* States in which no process of a job is left; scontrol(1), JOB STATE CODES of squeue(1). COMPLETING is none: it is on its way. */
static bool ended_state(const char *state)
{
    static const char *const ended[] = {"BOOT_FAIL", "CANCELLED", "COMPLETED", "DEADLINE",     "FAILED",
                                        "NODE_FAIL", "PREEMPTED", "TIMEOUT",   "OUT_OF_MEMORY"};
    for (size_t i = 0; i < sizeof ended / sizeof *ended; i++)
        if (!strcmp(state, ended[i])) return true;
    return false;
}

static bool slurm_says_ended(const owner_job *was)
{
    const char *const ask[] = {"scontrol", "-o", "show", "job", was->task, NULL};
    char state[32], restarts[32], *end = restarts;
    program_result r;
    bool ended = false;
    if (program_run(&r, ask, NULL)) return program_free(&r), false;
    if (r.exit_code) ended = strstr(r.said, "Invalid job id specified") != NULL; /* it answers, and has forgotten the job */
    else if (r.out && strchr(r.out, '\n') == strrchr(r.out, '\n')) {           /* one job */
        value(state, sizeof state, r.out, "JobState");
        value(restarts, sizeof restarts, r.out, "Restarts");
        const long long now = strtoll(restarts, &end, 10);
        const bool later = end != restarts && now > was->restarts;
        ended = ended_state(state) || (later && (!strcmp(state, "RUNNING") || !strcmp(state, "PENDING")));
    }
    program_free(&r);
    return ended;
}

bool owner_job_ended(const owner_job *was, bool ask)
{
    owner_job me;
    if (!*was->task) return false;
    owner_job_here(&me);
    if (*me.task && !strcmp(me.task, was->task) && *me.cluster && !strcmp(me.cluster, was->cluster))
        return me.restarts > was->restarts;
    return ask && this_cluster(&me, was->cluster) && slurm_says_ended(was);
}
