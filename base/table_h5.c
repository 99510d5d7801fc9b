/* Tables from the run store: run.h5, a run directory, campaign.h5, a campaign directory. */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/h5.h"
#include "base/runs_table.h"

/* --- a run is a row ------------------------------------------------------------------------------------------ */

status runs_add(table *t, size_t row, const run_record *r, err *e)
{
    attrs fields = {0};
    status s = run_fields(&fields, r, e);
    for (size_t i = 0; i < fields.n && !s; i++) {
        const attr *a = &fields.a[i];
        size_t col;
        if (strlen(a->name) >= TABLE_NAME_MAX || (a->kind == ATTR_TEXT && !a->text[0])) continue;
        s = table_col_index(t, a->name, &col, e);
        if (!s && a->kind == ATTR_TEXT) s = table_set_word(t, col, row, a->text, 0, 0, e);
        else if (!s) table_set(t, col, row, a->kind == ATTR_I64 ? (double)a->i : a->f);
    }
    attrs_free(&fields);
    return s;
}

static status add_one(table *t, const char *path, const run_record *r, err *e)
{
    char sha[IO_SHA256_HEX];
    size_t row;
    status s = io_sha256_file(sha, r->path, e);
    if (!s) s = table_grow(t, path, sha, 1, &row, e);
    return s ? s : runs_add(t, row, r, e);
}

static status read_run(table *t, const char *path, err *e)
{
    run_record r;
    status s = run_read(&r, path, RUN_HEADER, e);
    if (s) return s;
    s = add_one(t, path, &r, e);
    run_free(&r);
    return s;
}

/* --- campaign.h5 --------------------------------------------------------------------------------------------- */

static status read_column(table *t, const h5_file *f, const h5_set *set, size_t first, size_t n, err *e)
{
    char name[H5_NAME_MAX + 8], *text = NULL;
    double *x = NULL;
    size_t rows = 0, width = 0, col;
    snprintf(name, sizeof name, "/runs/%s", set->name);
    status s = set->is_text ? h5_read_texts(&text, &width, &rows, f, name, e) : h5_read_numbers(&x, &rows, f, name, e);
    if (!s && rows != n) s = err_set(e, ST_INPUT, "%s: %s has %zu rows, expected %zu; " H5_REMEDY, f->path, name, rows, n);
    if (!s) s = table_col_index(t, set->name, &col, e);
    for (size_t i = 0; i < n && !s; i++) {
        if (x) table_set(t, col, first + i, x[i]);
        else if (text[i * width]) s = table_set_word(t, col, first + i, text + i * width, 0, 0, e);
    }
    free(text);
    free(x);
    return s;
}

/* stamps: if not NULL, receives the column of stamps (n_stamps * stamp_width), which is no observation. */
typedef struct cache { table *t; char *stamps; size_t stamp_width, n; } cache;

static status read_campaign(cache *c, const char *shown, const char *path, err *e)
{
    h5_file f;
    h5_set *sets = NULL;
    size_t n_sets = 0, first = 0;
    attrs root = {0};
    status s = h5_open(&f, path, "muscale.campaign/1", e);
    if (s) return s;
    s = h5_read_attrs(&root, &f, "/", e);
    int64_t n = attrs_i64(&root, "n_runs", -1);
    if (!s && (n < 0 || (size_t)n > f.size)) s = err_set(e, ST_INPUT, "%s: claims %lld runs; " H5_REMEDY, path, (long long)n);
    if (!s) s = h5_list(&sets, &n_sets, &f, "/runs", e);
    if (!s) s = table_grow(c->t, shown, NULL, (size_t)n, &first, e);
    for (size_t i = 0; i < n_sets && !s; i++) {
        if (strcmp(sets[i].name, RUNS_STAMP_COLUMN)) s = read_column(c->t, &f, &sets[i], first, (size_t)n, e);
        else s = h5_read_texts(&c->stamps, &c->stamp_width, &c->n, &f, "/runs/" RUNS_STAMP_COLUMN, e);
    }
    if (!s) runs_digest(c->t->sources[c->t->n_sources - 1].sha256, c->t, first);
    free(sets);
    attrs_free(&root);
    h5_close(&f);
    return s;
}

void runs_digest(char sha256[IO_SHA256_HEX], const table *t, size_t first)
{
    static const char *const names[] = {"run", "journal_xxh64", "status"};
    const table_column *cols[3];
    size_t cap = (t->n_rows - first) * 96 + 1, n = 0;
    char *text = malloc(cap);
    for (size_t k = 0; k < 3; k++) cols[k] = table_col(t, names[k]);
    for (size_t i = first; i < t->n_rows && text; i++)
        for (size_t k = 0; k < 3 && n < cap; k++)
            n += (size_t)snprintf(text + n, cap - n, "%.30s%c", cols[k] ? table_word(cols[k], i) : "", k < 2 ? ' ' : '\n');
    io_sha256(sha256, text ? text : "", text ? n : 0);
    free(text);
}

/* --- a campaign directory ------------------------------------------------------------------------------------ */

static void stamp_file(char *out, size_t size, const char *dir, const char *name)
{
    char path[IO_PATH_MAX];
    struct stat st;
    if (io_join(path, dir, name, NULL) || stat(path, &st)) snprintf(out, size, "-");
    else snprintf(out, size, "%lld@%lld.%09ld", (long long)st.st_size, (long long)st.st_mtim.tv_sec, st.st_mtim.tv_nsec);
}

void runs_stamp(char out[RUN_STAMP_MAX], const char *dir)
{
    char h5[60], journal[60];
    stamp_file(h5, sizeof h5, dir, "run.h5");
    stamp_file(journal, sizeof journal, dir, "journal.jsonl");
    snprintf(out, RUN_STAMP_MAX, "%s %s", h5, journal);
}

/* Runs that the cache does not know as they are now; rows are in the order of run_list. */
static size_t count_newer(const cache *c, char *const *dirs, size_t n)
{
    size_t newer = n > c->n ? n - c->n : c->n - n;
    for (size_t i = 0; i < n && i < c->n; i++) {
        char now[RUN_STAMP_MAX];
        runs_stamp(now, dirs[i]);
        newer += strcmp(now, c->stamps + i * c->stamp_width) != 0;
    }
    return newer;
}

static status scan(table *t, const char *campaign, char *const *dirs, size_t n, err *e)
{
    size_t first;
    status s = table_grow(t, campaign, NULL, n, &first, e);
    for (size_t i = 0; i < n && !s; i++) {
        run_record r;
        s = run_read(&r, dirs[i], RUN_HEADER, e);
        if (s) break;
        s = runs_add(t, first + i, &r, e);
        run_free(&r);
    }
    if (!s) runs_digest(t->sources[t->n_sources - 1].sha256, t, first);
    return s;
}

/* The cache is read into a table of its own first: when it is stale nothing of it may remain. */
static bool cache_is_fresh(const char *path, char *const *dirs, size_t n, char note[TABLE_NOTE_MAX])
{
    table probe = {0};
    cache c = {.t = &probe};
    bool fresh = false;
    if (!io_exists(path)) snprintf(note, TABLE_NOTE_MAX, "no campaign.h5: the runs were read one by one (`muscale sweep collect` makes it)");
    else if (read_campaign(&c, path, path, NULL)) snprintf(note, TABLE_NOTE_MAX, "campaign.h5 cannot be read: the runs were read one by one (`muscale sweep collect` makes it again)");
    else {
        size_t newer = c.stamps ? count_newer(&c, dirs, n) : n;
        fresh = newer == 0;
        if (!fresh) snprintf(note, TABLE_NOTE_MAX, "campaign.h5 is older than %zu of %zu runs: the runs were read one by one (`muscale sweep collect` makes it again)", newer, n);
    }
    free(c.stamps);
    table_free(&probe);
    return fresh;
}

static status read_campaign_dir(table *t, const char *campaign, err *e)
{
    char path[IO_PATH_MAX], note[TABLE_NOTE_MAX] = "", **dirs = NULL;
    size_t n = 0;
    status s = io_join(path, campaign, "campaign.h5", e);
    if (!s) s = run_list(&dirs, &n, campaign, e);
    if (!s && n == 0) s = err_set(e, ST_INPUT, "%s: this campaign has no runs yet; start them with `muscale sweep run`", campaign);
    if (!s && cache_is_fresh(path, dirs, n, note)) {
        cache c = {.t = t};
        s = read_campaign(&c, campaign, path, e);
        free(c.stamps);
    } else if (!s) s = scan(t, campaign, dirs, n, e);
    if (!s) snprintf(t->sources[t->n_sources - 1].note, TABLE_NOTE_MAX, "%s", note);
    run_list_free(dirs, n);
    return s;
}

/* --- doors --------------------------------------------------------------------------------------------------- */

status table_read_dir(table *t, const char *path, err *e)
{
    char runs[IO_PATH_MAX];
    struct stat st;
    status s = io_join(runs, path, "runs", e);
    if (s) return s;
    if (!stat(runs, &st) && S_ISDIR(st.st_mode)) return read_campaign_dir(t, path, e);
    return read_run(t, path, e);
}

status table_read_h5(table *t, const char *path, err *e)
{
    h5_file f;
    err why = {0};
    status s = h5_open(&f, path, "muscale.campaign/1", &why);
    if (s) return read_run(t, path, e);
    h5_close(&f);
    cache c = {.t = t};
    s = read_campaign(&c, path, path, e);
    free(c.stamps);
    return s;
}
