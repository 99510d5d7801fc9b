#include "base/run_updates.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

const run_column run_update_columns[UPDATE_N_COLS] = {
    [UPDATE_RATIO] = {"ratio", "1", false},
    [UPDATE_ALIGNMENT] = {"alignment", "1", false},
    [UPDATE_V_OVER_EPS] = {"v_over_eps", "1", false},
    [UPDATE_EPS_FELT] = {"eps_felt", "1", false},
};

void run_updates_free(run_updates *u)
{
    free(u->tensors);
    free(u->step);
    free(u->tokens);
    for (int c = 0; c < UPDATE_N_COLS; c++) free(u->of[c]);
    memset(u, 0, sizeof *u);
}

const char *run_updates_tensor(const run_updates *u, size_t i) { return u->tensors + i * u->width; }

/* --- from the journal ---------------------------------------------------------------------------------------- */

static status no_memory(const char *path, err *e) { return err_set(e, ST_NOMEM, "%s: no memory for updates", path); }

static status name_tensors(run_updates *u, const json_t *names, const char *path, err *e)
{
    size_t longest = 0;
    for (size_t i = 0; i < json_array_size(names); i++) {
        const char *name = json_string_value(json_array_get(names, i));
        const size_t n = name ? strlen(name) : 0;
        longest = n > longest ? n : longest;
    }
    u->n_tensors = json_array_size(names);
    u->width = longest + 1;
    if (!(u->tensors = calloc(u->n_tensors, u->width))) return no_memory(path, e);
    for (size_t i = 0; i < u->n_tensors; i++) {
        const char *name = json_string_value(json_array_get(names, i));
        if (name) memcpy(u->tensors + i * u->width, name, strlen(name));
    }
    return ST_OK;
}

static bool same_tensors(const run_updates *u, const json_t *names)
{
    if (json_array_size(names) != u->n_tensors) return false;
    for (size_t i = 0; i < u->n_tensors; i++) {
        const char *name = json_string_value(json_array_get(names, i));
        if (!name || strcmp(name, run_updates_tensor(u, i))) return false;
    }
    return true;
}

static status grow(run_updates *u, const char *path, err *e)
{
    if (u->n < u->room) return ST_OK;
    const size_t room = u->room ? 2 * u->room : 16;
    double **columns[2 + UPDATE_N_COLS] = {&u->step, &u->tokens};
    for (int c = 0; c < UPDATE_N_COLS; c++) columns[2 + c] = &u->of[c];
    for (int c = 0; c < 2 + UPDATE_N_COLS; c++) {
        double *more = realloc(*columns[c], room * (c < 2 ? 1 : u->n_tensors) * sizeof *more);
        if (!more) return no_memory(path, e);
        *columns[c] = more;
    }
    u->room = room;
    return ST_OK;
}

status run_updates_take(run_updates *u, const json_t *record, const char *path, err *e)
{
    const json_t *names = json_object_get(record, "tensors"), *step = json_object_get(record, "step"),
                 *tokens = json_object_get(record, "tokens");
    if (!json_is_number(step) || !json_array_size(names)) return ST_OK;
    if (u->n_tensors && !same_tensors(u, names)) return ST_OK;
    for (int c = 0; c < UPDATE_N_COLS; c++)
        if (json_array_size(json_object_get(record, run_update_columns[c].name)) != json_array_size(names)) return ST_OK;
    while (u->n && u->step[u->n - 1] >= json_number_value(step)) u->n--;
    status s = u->n_tensors ? ST_OK : name_tensors(u, names, path, e);
    if (!s) s = grow(u, path, e);
    if (s) return s;
    u->step[u->n] = json_number_value(step);
    u->tokens[u->n] = json_is_number(tokens) ? json_number_value(tokens) : NAN;
    for (int c = 0; c < UPDATE_N_COLS; c++)
        for (size_t i = 0; i < u->n_tensors; i++) {
            const json_t *x = json_array_get(json_object_get(record, run_update_columns[c].name), i);
            u->of[c][u->n * u->n_tensors + i] = json_is_number(x) ? json_number_value(x) : NAN;
        }
    u->n++;
    return ST_OK;
}

void run_updates_drop_after(run_updates *u, double step)
{
    while (u->n && u->step[u->n - 1] > step) u->n--;
}

status run_updates_summary(attrs *g, const run_updates *u, err *e)
{
    size_t worst = SIZE_MAX;
    const double *x = u->of[UPDATE_V_OVER_EPS];
    for (size_t i = 0; i < u->n * u->n_tensors; i++)
        if (x[i] > 0 && (worst == SIZE_MAX || x[i] < x[worst])) worst = i;
    if (worst == SIZE_MAX) return ST_OK;
    status s = attrs_set_f64(g, "eps_share", 1 / x[worst], e);
    if (!s) s = attrs_set_i64(g, "eps_share_step", (int64_t)u->step[worst / u->n_tensors], e);
    return s ? s : attrs_set_text(g, "eps_share_tensor", run_updates_tensor(u, worst % u->n_tensors), e);
}

/* --- HDF5 ---------------------------------------------------------------------------------------------------- */

static void set_name(char name[64], const char *column) { snprintf(name, 64, "/updates/%s", column); }

status run_updates_write_h5(hid_t file, const run_updates *u, const char *path, err *e)
{
    char name[64];
    if (!u->n) return ST_OK;
    const char **names = calloc(u->n_tensors, sizeof *names);
    if (!names) return no_memory(path, e);
    for (size_t i = 0; i < u->n_tensors; i++) names[i] = run_updates_tensor(u, i);
    status s = h5_make_group(file, "/updates", path, e);
    if (!s) s = h5_write_numbers(file, "/updates/step", u->step, u->n, true, "steps", path, e);
    if (!s) s = h5_write_numbers(file, "/updates/tokens", u->tokens, u->n, true, "tokens", path, e);
    if (!s) s = h5_write_texts(file, "/updates/tensor", names, u->n_tensors, path, e);
    for (int c = 0; c < UPDATE_N_COLS && !s; c++) {
        set_name(name, run_update_columns[c].name);
        s = h5_write_grid(file, name, u->of[c], u->n, u->n_tensors, run_update_columns[c].units, path, e);
    }
    free(names);
    return s;
}

static status check_shape(const run_updates *u, size_t rows, size_t cols, const char *name, const h5_file *f, err *e)
{
    if (rows == u->n && cols == u->n_tensors) return ST_OK;
    return err_set(e, ST_INPUT, "%s: %s has %zu rows of %zu, there are %zu steps and %zu tensors; " H5_REMEDY, f->path, name,
                   rows, cols, u->n, u->n_tensors);
}

status run_updates_read_h5(run_updates *u, const h5_file *f, err *e)
{
    char name[64];
    size_t rows, cols;
    if (H5Lexists(f->id, "/updates", H5P_DEFAULT) <= 0) return ST_OK;
    status s = h5_read_numbers(&u->step, &u->n, f, "/updates/step", e);
    if (!s) s = h5_read_texts(&u->tensors, &u->width, &u->n_tensors, f, "/updates/tensor", e);
    if (!s) s = h5_read_numbers(&u->tokens, &rows, f, "/updates/tokens", e);
    if (!s) s = check_shape(u, rows, u->n_tensors, "/updates/tokens", f, e);
    for (int c = 0; c < UPDATE_N_COLS && !s; c++) {
        set_name(name, run_update_columns[c].name);
        s = h5_read_grid(&u->of[c], &rows, &cols, f, name, e);
        if (!s) s = check_shape(u, rows, cols, name, f, e);
    }
    for (size_t i = 1; i < u->n && !s; i++)
        if (!(u->step[i] > u->step[i - 1]))
            s = err_set(e, ST_INPUT, "%s: /updates/step[%zu] = %g does not rise above %g", f->path, i, u->step[i],
                        u->step[i - 1]);
    u->room = u->n;
    return s;
}

static bool same(const double *a, const double *b, size_t n)
{
    for (size_t i = 0; i < n; i++)
        if (a[i] != b[i] && !(isnan(a[i]) && isnan(b[i]))) return false;
    return true;
}

bool run_updates_equal(const run_updates *a, const run_updates *b)
{
    if (a->n != b->n || (a->n && a->n_tensors != b->n_tensors)) return false;
    bool ok = same(a->step, b->step, a->n) && same(a->tokens, b->tokens, a->n);
    for (size_t i = 0; a->n && i < a->n_tensors; i++) ok = ok && !strcmp(run_updates_tensor(a, i), run_updates_tensor(b, i));
    for (int c = 0; c < UPDATE_N_COLS; c++) ok = ok && same(a->of[c], b->of[c], a->n * a->n_tensors);
    return ok;
}
