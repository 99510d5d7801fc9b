/* What was submitted, from the campaign's folder. */
#include <dirent.h>
#include <stdlib.h>
#include <string.h>

#include "base/jdoc.h"
#include "sweeps/slurm.h"

enum { RECORD_LIMIT = 1 << 30 };
static const char remedy[] = "submit again with `muscale sweep submit`";

int64_t slurm_newest(const char *campaign)
{
    char path[IO_PATH_MAX];
    long long most = 0, n;
    DIR *d = io_join(path, campaign, "slurm", NULL) ? NULL : opendir(path);
    int end;
    for (struct dirent *x; d && (x = readdir(d));)
        if (sscanf(x->d_name, "submission-%lld.json%n", &n, &end) == 1 && !x->d_name[end] && n > most) most = n;
    if (d) closedir(d);
    return most;
}

status slurm_read(json_t **out, const char *campaign, int64_t number, err *e)
{
    char path[IO_PATH_MAX], name[64];
    *out = NULL;
    if (!number && !(number = slurm_newest(campaign))) return ST_OK;
    snprintf(name, sizeof name, "slurm/submission-%lld.json", (long long)number);
    status st = io_join(path, campaign, name, e);
    if (!st && !io_exists(path))
        return err_set(e, ST_INPUT, "%s: there is no submission %lld; %s", campaign, (long long)number, remedy);
    return st ? st : jdoc_read(out, NULL, path, "muscale.slurm/1", RECORD_LIMIT, remedy, e);
}

const char *slurm_jobs(const char *campaign, char buf[256])
{
    json_t *j, *arrays;
    size_t n = 0;
    *buf = 0;
    if (slurm_read(&j, campaign, 0, NULL) || !j) return buf;
    arrays = json_object_get(j, "arrays");
    const char *collect = json_string_value(json_object_get(j, "collect"));
    for (size_t i = 0; i < json_array_size(arrays) && n < 200; i++) {
        const char *job = json_string_value(json_object_get(json_array_get(arrays, i), "job"));
        if (job) n += (size_t)snprintf(buf + n, 256 - n, "%s%.31s", n ? ", " : "", job);
    }
    if (n && collect) snprintf(buf + n, 256 - n, ", collect %.31s", collect);
    json_decref(j);
    return buf;
}

typedef struct named {
    const char *id;
    size_t run;
} named;

static int by_id(const void *a, const void *b) { return strcmp(((const named *)a)->id, ((const named *)b)->id); }

static status mark(bool *mine, size_t *n_mine, size_t *gone, const json_t *ids, const sweep_plan *p, err *e)
{
    named *all = malloc((p->n_runs + 1) * sizeof *all);
    if (!all) return err_set(e, ST_NOMEM, "no memory for %zu runs", p->n_runs);
    for (size_t i = 0; i < p->n_runs; i++) all[i] = (named){p->runs[i].id, i};
    qsort(all, p->n_runs, sizeof *all, by_id);
    for (size_t i = 0; i < json_array_size(ids); i++) {
        const named key = {.id = json_string_value(json_array_get(ids, i))};
        const named *is = key.id ? bsearch(&key, all, p->n_runs, sizeof *all, by_id) : NULL;
        if (!is) ++*gone;
        else if (!mine[is->run]) mine[is->run] = true, ++*n_mine;
    }
    free(all);
    return ST_OK;
}

status slurm_task_runs(bool *mine, size_t *n_mine, size_t *gone, const char *campaign, int64_t number, int64_t task,
                       const sweep_plan *p, err *e)
{
    json_t *j;
    *n_mine = *gone = 0;
    status st = slurm_read(&j, campaign, number, e);
    if (st) return st;
    const json_t *tasks = json_object_get(j, "tasks"), *ids = j ? json_array_get(tasks, (size_t)task) : NULL;
    if (!j) st = err_set(e, ST_INPUT, "%s: nothing was submitted; `muscale sweep submit SPEC.yaml -o CAMPAIGN --slurm`", campaign);
    else if (!json_is_array(ids))
        st = err_set(e, ST_INPUT, "%s: its submission has the tasks 0 to %zd, no %lld", campaign,
                     (ssize_t)json_array_size(tasks) - 1, (long long)task);
    if (!st) st = mark(mine, n_mine, gone, ids, p, e);
    json_decref(j);
    return st;
}
