/* What stands on the command line of plot and report: results in JSON, and runs. */
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "plots/json.h"
#include "plots/plots.h"

enum { DOC_LIMIT = 256 << 20, RUN_NOTES_MAX = 5 };

static bool is_directory(const char *path)
{
    struct stat st;
    return !stat(path, &st) && S_ISDIR(st.st_mode);
}

/* An object with a schema is a result; everything else is left to table_read, which knows runs, HDF5 and CSV. */
static status read_doc(plot_input *i, bool *is_doc, err *e)
{
    static const struct { const char *schema; plot_what what; } schemas[] = {
        {"muscale.fit/1", PLOT_FIT}, {"muscale.predict/1", PLOT_PREDICTION}, {"muscale.score/1", PLOT_SCORE},
        {"muscale.mup-check/1", PLOT_MUP_CHECK}, {"muscale.mup-transfer/1", PLOT_TRANSFER}};
    char *s = NULL;
    size_t n = 0;
    json_error_t at;
    *is_doc = false;
    status rc = io_read_file(&s, &n, i->path, DOC_LIMIT, e);
    if (rc) return rc;
    io_sha256(i->sha256, s, n);
    size_t skip = strspn(s, " \t\r\n");
    size_t len = strlen(i->path);
    bool named = len > 5 && !strcmp(i->path + len - 5, ".json");
    if (s[skip] != '{' || (!named && !memmem(s, n < 4096 ? n : 4096, "\"muscale.", 9))) {
        free(s);
        if (named) return err_set(e, ST_INPUT, "%s: not a JSON object; a fit.json, prediction.json, score.json or check of muscale is needed", i->path);
        return ST_OK;
    }
    i->doc = json_loadb(s, n, JSON_REJECT_DUPLICATES, &at);
    /* journal.jsonl is many objects: not ours */
    bool lines = !i->doc && memmem(s, n < 4096 ? n : 4096, "\"crc\":", 6);
    free(s);
    if (lines) return ST_OK;
    if (!i->doc)
        return err_set(e, ST_INPUT, "%s:%d:%d: not JSON (%s); was it cut short? make it again", i->path, at.line, at.column, at.text);
    *is_doc = true;
    const char *schema = js_str_or(i->doc, "schema", "");
    for (size_t k = 0; k < sizeof schemas / sizeof *schemas; k++)
        if (!strcmp(schema, schemas[k].schema)) {
            i->what = schemas[k].what;
            if (i->what == PLOT_FIT && (js_get(i->doc, "groups") || !strcmp(js_str_or(i->doc, "law", ""), "lr-optimum"))) i->what = PLOT_LR_FIT;
            return ST_OK;
        }
    return err_set(e, ST_INPUT, "%s: schema '%s' is not one that can be drawn; muscale.fit/1, muscale.predict/1, muscale.score/1, "
                            "muscale.mup-check/1 and muscale.mup-transfer/1 are",
                   i->path, *schema ? schema : "(none)");
}

status plot_inputs_add(plot_inputs *in, const char *path, err *e)
{
    plot_input *more = realloc(in->item, (in->n + 1) * sizeof *more);
    if (!more) return err_set(e, ST_NOMEM, "no memory for the inputs");
    in->item = more;
    plot_input *i = &more[in->n];
    memset(i, 0, sizeof *i);
    if (strlen(path) >= IO_PATH_MAX) return err_set(e, ST_INPUT, "%s: path is longer than %d bytes", path, IO_PATH_MAX - 1);
    strcpy(i->path, path);
    in->n++;
    if (!io_exists(path)) return err_set(e, ST_INPUT, "%s: no such file or directory", path);
    bool is_doc = false;
    if (is_directory(path)) return ST_OK;
    size_t n = strlen(path);
    if (n < 3 || strcmp(path + n - 3, ".h5")) return read_doc(i, &is_doc, e);
    table probe = {0}; /* of a campaign one damaged run is a note; a file given by name is what was asked for */
    status s = table_read(&probe, path, e);
    table_free(&probe);
    return s;
}

void plot_inputs_free(plot_inputs *in)
{
    for (size_t k = 0; k < in->n; k++) json_decref(in->item[k].doc);
    free(in->item);
    for (size_t k = 0; k < in->n_curves; k++) run_free(&in->curves[k]);
    free(in->curves);
    table_free(&in->runs);
    text_free(&in->notes);
    memset(in, 0, sizeof *in);
}

const plot_input *plot_inputs_find(const plot_inputs *in, plot_what what)
{
    const plot_input *first = NULL, *prediction = what == PLOT_FIT || what == PLOT_LR_FIT ? plot_inputs_find(in, PLOT_PREDICTION) : NULL;
    for (size_t k = 0; k < in->n; k++) {
        const plot_input *i = &in->item[k];
        if (i->what != what) continue;
        if (!first) first = i;
        const json_t *fits = prediction ? js_get(prediction->doc, "fits") : NULL;
        for (size_t j = 0; j < json_array_size(fits); j++)
            if (json_is_true(js_get(json_array_get(fits, j), "used")) && !strcmp(js_str_or(json_array_get(fits, j), "sha256", ""), i->sha256)) return i;
    }
    return first;
}

status plot_inputs_runs(plot_inputs *in, err *e)
{
    status s = ST_OK;
    size_t n = 0;
    if (in->has_runs) return ST_OK;
    for (size_t k = 0; k < in->n && !s; k++) {
        if (in->item[k].what != PLOT_RUNS) continue;
        n++;
        s = table_read(&in->runs, in->item[k].path, e);
        for (size_t j = 0; !s && j < in->runs.n_sources; j++)
            if (j + 1 == in->runs.n_sources && in->runs.sources[j].note[0]) text_add(&in->notes, "%s\n", in->runs.sources[j].note);
    }
    if (!s && !n) return err_set(e, ST_INPUT, "needs runs: give a campaign, a run directory, run.h5 or a CSV file");
    if (!s && in->where && (s = table_where(&in->runs, in->where, &n, e))) err_prefix(e, "--where");
    if (!s && !in->runs.n_rows) s = err_set(e, ST_INPUT, in->where ? "--where \"%s\" leaves no run" : "no finished run in the input%s", in->where ? in->where : "");
    in->has_runs = !s;
    return s;
}

static status add_curves(plot_inputs *in, const char *path, err *e)
{
    err why = {0};
    run_record *more = realloc(in->curves, (in->n_curves + 1) * sizeof *more);
    if (!more) return err_set(e, ST_NOMEM, "no memory for the runs");
    in->curves = more;
    memset(&more[in->n_curves], 0, sizeof *more);
    status s = run_read(&more[in->n_curves], path, RUN_ALL, &why);
    if (s == ST_NOMEM) return err_set(e, s, "%s", why.msg);
    if (s) { /* one damaged run must not take the picture of the others */
        text_add(&in->notes, "%s\n", why.msg);
        return ST_OK;
    }
    in->n_curves++;
    return ST_OK;
}

static status add_campaign(plot_inputs *in, const char *path, err *e)
{
    char **dirs = NULL, runs[IO_PATH_MAX];
    size_t n = 0;
    status s = io_join(runs, path, "runs", e);
    if (s) return s;
    if (!is_directory(runs)) return add_curves(in, path, e); /* a run directory, or a file */
    s = run_list(&dirs, &n, path, e);
    for (size_t k = 0; k < n && !s; k++) s = add_curves(in, dirs[k], e);
    run_list_free(dirs, n);
    return s;
}

/* --where is about columns of the table: keep the curves whose run id is still in it. */
static status filter_curves(plot_inputs *in, err *e)
{
    status s = plot_inputs_runs(in, e);
    const table_column *run = s ? NULL : table_col(&in->runs, "run");
    size_t kept = 0;
    if (s || !run) return s;
    for (size_t k = 0; k < in->n_curves; k++) {
        const char *id = attrs_text(&in->curves[k].group[RUN_ROOT], "run_id");
        bool found = false;
        for (size_t r = 0; r < in->runs.n_rows && id && !found; r++) found = !strcmp(table_word(run, r), id);
        if (found) {
            run_record swap = in->curves[kept];
            in->curves[kept++] = in->curves[k];
            in->curves[k] = swap;
        }
    }
    for (size_t k = kept; k < in->n_curves; k++) run_free(&in->curves[k]);
    in->n_curves = kept;
    return ST_OK;
}

status plot_inputs_curves(plot_inputs *in, err *e)
{
    status s = ST_OK;
    if (in->has_curves) return in->n_curves ? ST_OK : err_set(e, ST_INPUT, "needs runs with their curves: a campaign or a run directory");
    for (size_t k = 0; k < in->n && !s; k++)
        if (in->item[k].what == PLOT_RUNS) s = add_campaign(in, in->item[k].path, e);
    if (!s && in->where && in->n_curves) s = filter_curves(in, e);
    if (s) return s;
    in->has_curves = true;
    if (in->n_curves) return ST_OK;
    return err_set(e, ST_INPUT, "needs runs with their curves: a campaign or a run directory%s%.*s", in->notes.n ? "; " : "",
                   (int)strcspn(text_str(&in->notes), "\n"), text_str(&in->notes));
}
