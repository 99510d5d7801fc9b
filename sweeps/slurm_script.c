/* The scripts that Slurm runs: text that a person can read and change. */
#include <stdlib.h>
#include <string.h>

#include "sweeps/slurm.h"

status slurm_split(slurm_submission *s, size_t largest, err *e)
{
    const size_t n = s->tasks->n;
    s->n_arrays = (n + largest - 1) / largest;
    s->arrays = calloc(s->n_arrays + 1, sizeof *s->arrays);
    if (!s->arrays) return err_set(e, ST_NOMEM, "no memory for %zu job arrays", s->n_arrays);
    for (size_t i = 0; i < s->n_arrays; i++) {
        const size_t first = i * largest;
        s->arrays[i] = (slurm_array){.first_task = first, .n_tasks = n - first < largest ? n - first : largest};
    }
    return ST_OK;
}

const char *slurm_range(const slurm_submission *s, size_t array, char buf[64])
{
    const size_t n = s->arrays[array].n_tasks, at_once = (size_t)s->x->array_parallelism;
    if (s->tasks->n <= at_once) snprintf(buf, 64, "0-%zu", n - 1);
    else snprintf(buf, 64, "0-%zu%%%zu", n - 1, at_once);
    return buf;
}

status slurm_check_path(const char *path, err *e)
{
    for (const char *p = path; *p; p++)
        if ((unsigned char)*p < 32 || *p == 127 || strchr("\"\\'", *p))
            return err_set(e, ST_INPUT,
                           "%.200s: a quote, backslash or control character in this path cannot stand in a job's "
                           "#SBATCH lines; choose another folder", path);
    return ST_OK;
}

/* 'text' for a shell. */
static void quoted(FILE *f, const char *text)
{
    fputc('\'', f);
    for (; *text; text++) {
        if (*text == '\'') fputs("'\\''", f);
        else fputc(*text, f);
    }
    fputc('\'', f);
}

/* The file that a job writes to; % begins a pattern there. */
static void output_line(FILE *f, const slurm_submission *s, const char *name)
{
    fputs("#SBATCH --output=\"", f);
    for (const char *p = s->campaign; *p; p++) fputs(*p == '%' ? "%%" : (const char[]){*p, 0}, f);
    fprintf(f, "/slurm/log/%s\"\n", name);
}

static void shared_lines(FILE *f, const slurm_submission *s)
{
    if (s->x->partition) fprintf(f, "#SBATCH --partition=%s\n", s->x->partition);
    if (s->x->account) fprintf(f, "#SBATCH --account=%s\n", s->x->account);
    for (size_t i = 0; i < s->x->n_lines; i++) fprintf(f, "#SBATCH %s\n", s->x->lines[i]);
}

static void head(FILE *f, const slurm_submission *s)
{
    char range[64];
    fprintf(f, "#!/bin/bash\n"
               "# One task of submission %lld: %zu runs in %zu tasks. Written by muscale sweep submit; yours to change. By hand:\n",
            (long long)s->number, s->tasks->n_runs, s->tasks->n);
    for (size_t i = 0; i < s->n_arrays; i++) {
        fprintf(f, "#   sbatch --array=%s ", slurm_range(s, i, range));
        quoted(f, s->campaign);
        fprintf(f, "/slurm/array.sh %zu\n", s->arrays[i].first_task);
    }
    fprintf(f, "#SBATCH --job-name=muscale\n#SBATCH --nodes=1\n#SBATCH --ntasks=1\n#SBATCH --cpus-per-task=%lld\n",
            (long long)s->x->cpus_per_task);
    if (s->x->gpus_per_node > 0) fprintf(f, "#SBATCH --gpus-per-node=%lld\n", (long long)s->x->gpus_per_node);
    if (s->x->timeout_min != SLURM_NOT_GIVEN) fprintf(f, "#SBATCH --time=%lld\n", (long long)s->x->timeout_min);
    shared_lines(f, s);
    fprintf(f, "#SBATCH --requeue\n#SBATCH --open-mode=append\n"
               "# The warning: so many seconds before the time limit, or at once when the task is to be preempted.\n"
               "#SBATCH --signal=B:USR1@%lld\n",
            (long long)s->x->signal_delay_s);
    output_line(f, s, "%A_%a.out");
}

/* The part that is the same for every campaign. With B: only this shell gets the warning; TERM comes to every process of
 * the job. bash runs a trap at once only while it waits. The worker ends at a second signal of a kind, so it gets one. */
static const char body[] =
    "\n"
    "say() { echo \"$(date '+%F %T') task $task (job $job, restart $restarts, ${SLURMD_NODENAME:-?}): $*\"; }\n"
    "\n"
    "finish() { # CODE: above 128 the worker died by a signal, or it was told to stop and has checkpointed\n"
    "    trap '' USR1\n"
    "    [ \"$1\" -gt 128 ] || exit \"$1\"\n"
    "    [ \"$told\" != TERM ] || exit \"$1\" # cancelled or preempted: whether it comes again is Slurm's choice\n"
    "    if [ \"$restarts\" -lt \"$max_num_timeout\" ]; then\n"
    "        say \"exit $1 with work left: requeued\"\n"
    "        scontrol requeue \"$job\" && exit 0\n"
    "        exit \"$1\"\n"
    "    fi\n"
    "    say \"exit $1 with work left: not requeued, max_num_timeout is $max_num_timeout\"\n"
    "    # Was it the warning of a preemption, Slurm requeues by itself; of the time limit, the state becomes TIMEOUT.\n"
    "    [ -z \"$told\" ] || { sleep $((signal_delay_s + 120)) & wait $!; }\n"
    "    exit \"$1\"\n"
    "}\n"
    "\n"
    "stop() { # USR1 or TERM: the worker checkpoints and ends\n"
    "    [ -n \"$told\" ] || kill -USR1 \"$worker\" 2>/dev/null\n"
    "    told=$1\n"
    "    [ -n \"$worker\" ] || finish 143\n"
    "    wait \"$worker\"\n"
    "    finish $?\n"
    "}\n"
    "\n"
    "told='' worker=''\n"
    "trap 'stop USR1' USR1\n"
    "trap 'stop TERM' TERM\n";

static void worker(FILE *f, const slurm_submission *s)
{
    quoted(f, s->muscale);
    fputs(" sweep work ", f);
    quoted(f, s->campaign);
    fprintf(f, " --submission %lld --task \"$task\" -j \"${SLURM_CPUS_PER_TASK:-1}\"", (long long)s->number);
    for (size_t i = 0; i < s->n_worker_args; i++) {
        fputc(' ', f);
        quoted(f, s->worker_args[i]);
    }
    fputs(" &\nworker=$!\nwait \"$worker\"\nfinish $?\n", f);
}

static char *closed(FILE *f, char **text)
{
    if (!fclose(f)) return *text;
    free(*text);
    return NULL;
}

char *slurm_array_script(const slurm_submission *s)
{
    char *text = NULL;
    size_t n = 0;
    FILE *f = open_memstream(&text, &n);
    if (!f) return NULL;
    head(f, s);
    fputs("\ncd ", f);
    quoted(f, s->directory);
    fprintf(f, " || exit 1\nsignal_delay_s=%lld\nmax_num_timeout=%lld # restarts of any kind count: Slurm has one counter\n",
            (long long)s->x->signal_delay_s, (long long)s->x->max_num_timeout);
    fputs("restarts=${SLURM_RESTART_COUNT:-0}\n"
          "task=$((${1:-0} + SLURM_ARRAY_TASK_ID))       # $1: the array's first task\n"
          "job=${SLURM_ARRAY_JOB_ID}_$SLURM_ARRAY_TASK_ID # SLURM_JOB_ID of one task is that of the whole array\n",
          f);
    fputs(body, f);
    worker(f, s);
    return closed(f, &text);
}

char *slurm_collect_script(const slurm_submission *s)
{
    char *text = NULL;
    size_t n = 0;
    FILE *f = open_memstream(&text, &n);
    if (!f) return NULL;
    fputs("#!/bin/bash\n# After all tasks. Written by muscale sweep submit; yours to change.\n"
          "#SBATCH --job-name=muscale-collect\n#SBATCH --nodes=1\n#SBATCH --ntasks=1\n",
          f);
    shared_lines(f, s);
    output_line(f, s, "collect.%j.out");
    fputs("\ncd ", f);
    quoted(f, s->directory);
    fputs(" || exit 1\n", f);
    quoted(f, s->muscale);
    fputs(" sweep collect ", f);
    quoted(f, s->campaign);
    fputs(" && exec ", f);
    quoted(f, s->muscale);
    fputs(" sweep status ", f);
    quoted(f, s->campaign);
    fputs("\n", f);
    return closed(f, &text);
}
