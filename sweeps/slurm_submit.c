/* Numbering a submission, writing it down, handing it to sbatch. */
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

#include "base/program.h"
#include "sweeps/slurm.h"

enum { MOST_SUBMISSIONS = 100000, DEFAULT_ARRAY = 1001 };

status slurm_max_array_size(size_t *out, err *e)
{
    static const char *const ask[] = {"scontrol", "show", "config", NULL};
    program_result r;
    *out = DEFAULT_ARRAY;
    const char *at = !program_run(&r, ask, NULL) && !r.exit_code ? strstr(r.out, "MaxArraySize") : NULL;
    if (at && (at = strchr(at, '='))) *out = strtoull(at + 1, NULL, 10);
    program_free(&r);
    if (*out > 1) return ST_OK;
    return err_set(e, ST_SYSTEM, "this Slurm takes no job arrays (scontrol show config: MaxArraySize = %zu); use "
                   "`muscale sweep run` inside a job", *out);
}

/* ---- the folder --------------------------------------------------------------------------------------------------- */

static status in_folder(char out[IO_PATH_MAX], const slurm_submission *s, const char *name, err *e)
{
    char part[64];
    snprintf(part, sizeof part, "slurm/%s", name);
    return io_join(out, s->campaign, part, e);
}

static status record_path(char out[IO_PATH_MAX], const char *campaign, int64_t number, err *e)
{
    char name[64];
    snprintf(name, sizeof name, "slurm/submission-%lld.json", (long long)number);
    return io_join(out, campaign, name, e);
}

/* Of two who submit at once each gets a number of its own. */
static status take_number(slurm_submission *s, err *e)
{
    char path[IO_PATH_MAX];
    for (s->number = 1; s->number <= MOST_SUBMISSIONS; s->number++) {
        status st = record_path(path, s->campaign, s->number, e);
        if (st) return st;
        int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
        if (fd >= 0) return close(fd), ST_OK;
        if (errno != EEXIST) return err_set(e, ST_IO, "%s: cannot create: %s", path, strerror(errno));
    }
    return err_set(e, ST_INPUT, "%s/slurm: holds %d submissions; remove old ones", s->campaign, (int)MOST_SUBMISSIONS);
}

static json_t *job_or_null(const char *job) { return *job ? json_string(job) : json_null(); }

static json_t *record(const slurm_submission *s)
{
    char when[32] = "";
    time_t now = time(NULL);
    struct tm utc;
    if (gmtime_r(&now, &utc)) strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%SZ", &utc);
    json_t *arrays = json_array(), *tasks = json_array();
    for (size_t i = 0; i < s->n_arrays; i++)
        json_array_append_new(arrays, json_pack("{s:I, s:I, s:o}", "first_task", (json_int_t)s->arrays[i].first_task,
                                                "n_tasks", (json_int_t)s->arrays[i].n_tasks, "job",
                                                job_or_null(s->arrays[i].job)));
    for (size_t k = 0; k < s->tasks->n; k++) {
        json_t *ids = json_array();
        for (size_t i = s->tasks->first[k]; i < s->tasks->first[k + 1]; i++)
            json_array_append_new(ids, json_string(s->plan->runs[s->tasks->runs[i]].id));
        json_array_append_new(tasks, ids);
    }
    return json_pack("{s:s, s:I, s:s, s:s, s:I, s:I, s:o, s:o, s:o}", "schema", "muscale.slurm/1", "submission",
                     (json_int_t)s->number, "written", when, "directory", s->directory, "n_runs",
                     (json_int_t)s->tasks->n_runs, "n_tasks", (json_int_t)s->tasks->n, "arrays", arrays, "collect",
                     job_or_null(s->collect), "tasks", tasks);
}

static status write_record(const slurm_submission *s, err *e)
{
    char path[IO_PATH_MAX];
    status st = record_path(path, s->campaign, s->number, e);
    json_t *j = st ? NULL : record(s);
    char *text = j ? json_dumps(j, JSON_INDENT(1) | JSON_PRESERVE_ORDER) : NULL;
    json_decref(j);
    if (st) return st;
    if (!text) return err_set(e, ST_NOMEM, "%s: cannot be written: no memory, or a path that is not UTF-8", path);
    st = io_publish(path, text, strlen(text), e);
    free(text);
    return st;
}

/* A script that stands there may have been changed by hand. */
static status keep_earlier(const slurm_submission *s, const char *path, const char *stem, err *e)
{
    char old[IO_PATH_MAX], name[48];
    if (s->number < 2 || !io_exists(path)) return ST_OK;
    snprintf(name, sizeof name, "%s.%lld.sh", stem, (long long)s->number - 1);
    status st = in_folder(old, s, name, e);
    if (!st && rename(path, old)) st = err_set(e, ST_IO, "%s: cannot be kept as %s: %s", path, name, strerror(errno));
    return st;
}

static status write_script(const slurm_submission *s, const char *stem, char *text, err *e)
{
    char path[IO_PATH_MAX], name[48];
    snprintf(name, sizeof name, "%s.sh", stem);
    status st = text ? in_folder(path, s, name, e) : err_set(e, ST_NOMEM, "%s: no memory for %s", s->campaign, name);
    if (!st) st = keep_earlier(s, path, stem, e);
    if (!st) st = io_publish(path, text, strlen(text), e);
    if (!st && chmod(path, 0755)) st = err_set(e, ST_IO, "%s: cannot be made executable: %s", path, strerror(errno));
    free(text);
    return st;
}

status slurm_write(slurm_submission *s, err *e)
{
    char log[IO_PATH_MAX];
    status st = in_folder(log, s, "log", e);
    if (!st) st = io_mkdirs(log, e); /* Slurm makes no folder for a job's output, and starts no job without it */
    if (!st) st = take_number(s, e);
    if (!st) st = write_record(s, e);
    if (!st) st = write_script(s, "array", slurm_array_script(s), e);
    if (!st) st = write_script(s, "collect", slurm_collect_script(s), e);
    return st;
}

/* ---- sbatch ------------------------------------------------------------------------------------------------------- */

/* "17" or "17;cluster" on stdout. */
static status queue(char job[32], const char *const *argv, err *e)
{
    program_result r;
    err why = {0};
    status st = program_run(&r, argv, &why);
    if (st == ST_SYSTEM)
        st = err_set(e, st, "%s; is Slurm installed here?", why.msg);
    else if (st && e) *e = why;
    if (!st) {
        const size_t n = strspn(r.out, "0123456789");
        if (!r.exit_code && n && n < 32) snprintf(job, 32, "%.*s", (int)n, r.out);
        else
            st = err_set(e, ST_SYSTEM, "sbatch refuses: %s", *r.said ? r.said : *r.out ? "it names no job" : "it said nothing");
    }
    program_free(&r);
    return st;
}

static char *dependency(const slurm_submission *s, size_t from, size_t to)
{
    char *text = NULL;
    size_t n = 0;
    FILE *f = open_memstream(&text, &n);
    if (!f) return NULL;
    fputs("--dependency=afterany", f);
    for (size_t i = from; i < to; i++) fprintf(f, ":%s", s->arrays[i].job);
    return fclose(f) ? free(text), NULL : text;
}

/* An array after the one before it where all of them together may run no more than array_parallelism tasks at once. */
static status queue_array(slurm_submission *s, size_t i, const char *script, err *e)
{
    char range[64], option[80], first[24];
    const char *argv[] = {"sbatch", "--parsable", option, script, first, NULL, NULL};
    char *after = NULL;
    snprintf(option, sizeof option, "--array=%s", slurm_range(s, i, range));
    snprintf(first, sizeof first, "%zu", s->arrays[i].first_task);
    if (i && strchr(range, '%')) {
        if (!(after = dependency(s, i - 1, i))) return err_set(e, ST_NOMEM, "no memory to submit");
        argv[3] = after, argv[4] = script, argv[5] = first;
    }
    status st = queue(s->arrays[i].job, argv, e);
    free(after);
    return st;
}

static status queue_all(slurm_submission *s, err *e)
{
    char script[IO_PATH_MAX], collect[IO_PATH_MAX];
    status st = in_folder(script, s, "array.sh", e);
    if (!st) st = in_folder(collect, s, "collect.sh", e);
    for (size_t i = 0; i < s->n_arrays && !st; i++) st = queue_array(s, i, script, e);
    char *after = st ? NULL : dependency(s, 0, s->n_arrays);
    if (!st && !after) st = err_set(e, ST_NOMEM, "no memory to submit");
    const char *argv[] = {"sbatch", "--parsable", after, collect, NULL};
    if (!st) st = queue(s->collect, argv, e);
    free(after);
    return st;
}

status slurm_submit(slurm_submission *s, err *e)
{
    err why = {0};
    size_t queued = 0;
    status st = queue_all(s, &why);
    for (size_t i = 0; i < s->n_arrays; i++) queued += *s->arrays[i].job != 0;
    if (!st) return write_record(s, e);
    err_set(e, st, "%s; the campaign is whole, %zu of %zu arrays are queued; put it right and submit again, or by hand as "
            "%s/slurm/array.sh says", why.msg, queued, s->n_arrays, s->campaign);
    if (queued) write_record(s, NULL);
    return st;
}
