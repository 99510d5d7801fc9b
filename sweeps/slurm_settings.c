/* What is asked of Slurm: a table of keys for the spec's map `slurm:` and for the command line. */
#include <limits.h>
#include <stddef.h>
#include <string.h>

#include "base/num.h"
#include "sweeps/slurm.h"
#include "sweeps/spec_level.h"

static const struct number {
    const char *key, *option;
    size_t at;
    int64_t least, most, otherwise;
} numbers[] = {
    {"timeout_min", "timeout-min", offsetof(slurm_settings, timeout_min), 1, 1000000, SLURM_NOT_GIVEN},
    {"cpus_per_task", "cpus-per-task", offsetof(slurm_settings, cpus_per_task), 1, 1024, 1},
    {"gpus_per_node", "gpus-per-node", offsetof(slurm_settings, gpus_per_node), 0, 64, 0},
    {"array_parallelism", "array-parallelism", offsetof(slurm_settings, array_parallelism), 1, 1000000, 256},
    {"max_num_timeout", "max-num-timeout", offsetof(slurm_settings, max_num_timeout), 0, 1000000, 3},
    {"signal_delay_s", "signal-delay-s", offsetof(slurm_settings, signal_delay_s), 1, 65535, 120}, /* most: sbatch's */
    {"runs_per_task", "runs-per-task", offsetof(slurm_settings, runs_per_task), 1, 1000000, SLURM_NOT_GIVEN},
};
static const struct text {
    const char *key;
    size_t at;
} texts[] = {{"partition", offsetof(slurm_settings, partition)}, {"account", offsetof(slurm_settings, account)}};
enum { N_NUMBERS = sizeof numbers / sizeof *numbers, N_TEXTS = sizeof texts / sizeof *texts };

/* What the scripts say themselves and rely on. */
static const char *const ours[] = {"--array", "--signal", "--open-mode", "--requeue", "--no-requeue", "--parsable",
                                   "--wrap", "--dependency", "--chdir", "--nodes", "--ntasks", "-a", "-d", "-D", "-N", "-n"};

static int64_t *number_of(slurm_settings *x, size_t i) { return (int64_t *)((char *)x + numbers[i].at); }
static const char **text_of(slurm_settings *x, size_t i) { return (const char **)((char *)x + texts[i].at); }

slurm_settings slurm_settings_unset(void)
{
    slurm_settings x = {0};
    for (size_t i = 0; i < N_NUMBERS; i++) *number_of(&x, i) = SLURM_NOT_GIVEN;
    return x;
}

/* NULL, or what is wrong with it. */
static const char *wrong_word(const char *text)
{
    if (!*text || strlen(text) >= SLURM_WORD) return "empty, or longer than 127 characters";
    return strcspn(text, " \t\n\r'\"\\$`;&|<>#") < strlen(text) ? "one plain word is needed" : NULL;
}

static const char *wrong_line(const char *line)
{
    if (line[0] != '-' || strlen(line) >= SLURM_WORD) return "an option of sbatch is needed, as in --mem=4G";
    for (const char *p = line; *p; p++)
        if ((unsigned char)*p < 32 || *p == 127) return "holds a control character";
    const size_t n = strcspn(line, "= ");
    for (size_t i = 0; i < sizeof ours / sizeof *ours; i++)
        if (strlen(ours[i]) == n && !strncmp(ours[i], line, n)) return "the scripts say this themselves, and rely on it";
    return NULL;
}

status slurm_settings_check(const slurm_settings *said, err *e)
{
    slurm_settings x = *said;
    const char *why;
    for (size_t i = 0; i < N_NUMBERS; i++) {
        const int64_t v = *number_of(&x, i);
        if (v != SLURM_NOT_GIVEN && (v < numbers[i].least || v > numbers[i].most))
            return err_set(e, ST_USAGE, "--%s: %lld: between %lld and %lld", numbers[i].option, (long long)v,
                           (long long)numbers[i].least, (long long)numbers[i].most);
    }
    for (size_t i = 0; i < N_TEXTS; i++)
        if (*text_of(&x, i) && (why = wrong_word(*text_of(&x, i))))
            return err_set(e, ST_USAGE, "--%s: %s", texts[i].key, why);
    for (size_t i = 0; i < x.n_lines; i++)
        if ((why = wrong_line(x.lines[i]))) return err_set(e, ST_USAGE, "--sbatch: '%.60s': %s", x.lines[i], why);
    return ST_OK;
}

static status read_number(slurm_settings *x, const sweep_spec *s, size_t i, const yaml_node *at, err *e)
{
    int64_t v;
    if (at->kind != YAML_SCALAR || at->quoted || !num_parse_i64(at->text, &v) || v < numbers[i].least || v > numbers[i].most)
        return spec_error(s, at, e, "slurm: %s: a whole number between %lld and %lld is needed", numbers[i].key,
                          (long long)numbers[i].least, (long long)numbers[i].most);
    if (*number_of(x, i) == SLURM_NOT_GIVEN) *number_of(x, i) = v;
    return ST_OK;
}

static status read_text(slurm_settings *x, const sweep_spec *s, size_t i, const yaml_node *at, err *e)
{
    const char *why = at->kind != YAML_SCALAR ? "one plain word is needed" : wrong_word(at->text);
    if (why) return spec_error(s, at, e, "slurm: %s: %s", texts[i].key, why);
    if (!*text_of(x, i)) *text_of(x, i) = at->text;
    return ST_OK;
}

static status read_lines(slurm_settings *x, const sweep_spec *s, const yaml_node *at, err *e)
{
    if (at->kind != YAML_SEQ)
        return spec_error(s, at, e, "slurm: sbatch: a list of options is needed, as in [\"--mem=4G\"]");
    if (at->n + x->n_lines > SLURM_MAX_LINES)
        return spec_error(s, at, e, "slurm: sbatch: more than %d options", (int)SLURM_MAX_LINES);
    memmove(x->lines + at->n, x->lines, x->n_lines * sizeof *x->lines); /* the last word is sbatch's choice: the command line's */
    x->n_lines += at->n;
    for (size_t i = 0; i < at->n; i++) {
        const yaml_node *one = at->values[i];
        const char *why = one->kind != YAML_SCALAR ? "a text is needed" : wrong_line(one->text);
        if (why) return spec_error(s, one, e, "slurm: sbatch: %s", why);
        x->lines[i] = one->text;
    }
    return ST_OK;
}

static status read_map(slurm_settings *x, const sweep_spec *s, const yaml_node *map, err *e)
{
    const char *known[N_NUMBERS + N_TEXTS + 1];
    int n = 0;
    for (size_t i = 0; i < N_NUMBERS; i++) known[n++] = numbers[i].key;
    for (size_t i = 0; i < N_TEXTS; i++) known[n++] = texts[i].key;
    known[n++] = "sbatch";
    status st = spec_only_keys(s, map, "slurm", known, n, e);
    for (size_t k = 0; !st && k < map->n; k++) {
        const char *key = map->keys[k]->text;
        for (size_t i = 0; !st && i < N_NUMBERS; i++)
            if (!strcmp(key, numbers[i].key)) st = read_number(x, s, i, map->values[k], e);
        for (size_t i = 0; !st && i < N_TEXTS; i++)
            if (!strcmp(key, texts[i].key)) st = read_text(x, s, i, map->values[k], e);
        if (!st && !strcmp(key, "sbatch")) st = read_lines(x, s, map->values[k], e);
    }
    return st;
}

status spec_check_slurm(const sweep_spec *s, const yaml_node *at, err *e)
{
    slurm_settings scratch = slurm_settings_unset();
    return read_map(&scratch, s, at, e);
}

status slurm_settings_fill(slurm_settings *x, const sweep_spec *s, bool on_device, err *e)
{
    const yaml_node *map = yaml_get(s->doc.root, "slurm");
    status st = map ? read_map(x, s, map, e) : ST_OK;
    if (st) return st;
    if (on_device && x->gpus_per_node == SLURM_NOT_GIVEN) x->gpus_per_node = 1;
    for (size_t i = 0; i < N_NUMBERS; i++)
        if (*number_of(x, i) == SLURM_NOT_GIVEN) *number_of(x, i) = numbers[i].otherwise;
    if (x->timeout_min != SLURM_NOT_GIVEN && x->signal_delay_s >= 60 * x->timeout_min)
        return err_set(e, ST_INPUT,
                       "slurm: signal_delay_s: the warning %lld s before the end would come before a task of "
                       "timeout_min %lld begins; lower the one or raise the other",
                       (long long)x->signal_delay_s, (long long)x->timeout_min);
    return ST_OK;
}
