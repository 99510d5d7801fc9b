/* Columns: one-dimensional data sets of numbers or of texts; and grids, two-dimensional ones of numbers. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/h5.h"

enum {
    MAX_SETS = 4096,
    MAX_TEXT = 1 << 20,
    CHUNK = 4096,
    CHUNKED_FROM = 2000,  /* rows; below, a contiguous data set is smaller and as fast */
    DEFLATE_LEVEL = 4,
    DEFLATE_BEST = 1032   /* deflate cannot shrink by more: a data set larger than this times the file is a lie */
};

/* --- columns ------------------------------------------------------------------------------------------------- */

/* What it claims to hold may not be more than the file could. */
static bool too_large(const hsize_t extent[2], size_t item, size_t file_size)
{
    const hsize_t most = (hsize_t)(file_size / item) * DEFLATE_BEST;
    return extent[0] > most || (extent[0] && extent[1] > most / extent[0]);
}

/* Opens a data set of one of two classes; cols NULL: of one dimension, else of two. */
static status open_set(hid_t *set, size_t *rows, size_t *cols, size_t *item, const h5_file *f, const char *name, bool texts,
                       err *e)
{
    status s = ST_OK;
    const int rank = cols ? 2 : 1;
    hsize_t extent[2] = {0, 1};
    *set = H5Dopen2(f->id, name, H5P_DEFAULT);
    if (*set < 0) return err_set(e, ST_INPUT, "%s: has no data set %s: truncated or foreign; %s", f->path, name, H5_REMEDY);
    hid_t type = H5Dget_type(*set), space = H5Dget_space(*set);
    H5T_class_t class = type < 0 ? H5T_NO_CLASS : H5Tget_class(type);
    *item = type < 0 ? 0 : H5Tget_size(type);
    if (texts ? class != H5T_STRING || H5Tis_variable_str(type) > 0 || *item > MAX_TEXT
              : (class != H5T_INTEGER && class != H5T_FLOAT) || *item > 16)
        s = err_set(e, ST_INPUT, "%s: %s: does not hold %s", f->path, name, texts ? "texts of equal width" : "numbers");
    else if (space < 0 || H5Sget_simple_extent_ndims(space) != rank || H5Sget_simple_extent_dims(space, extent, NULL) != rank)
        s = err_set(e, ST_INPUT, "%s: %s: is not %s-dimensional", f->path, name, cols ? "two" : "one");
    else if (*item == 0 || too_large(extent, *item, f->size))
        s = err_set(e, ST_INPUT, "%s: %s: claims %llu rows, more than a file of %zu bytes can hold; %s", f->path, name,
                    (unsigned long long)extent[0], f->size, H5_REMEDY);
    if (space >= 0) H5Sclose(space);
    if (type >= 0) H5Tclose(type);
    if (s) {
        H5Dclose(*set);
        *set = -1;
    }
    *rows = extent[0];
    if (cols) *cols = extent[1];
    return s;
}

static status read_numbers(double **x, size_t *rows, size_t *cols, const h5_file *f, const char *name, err *e)
{
    hid_t set;
    size_t item;
    *x = NULL;
    *rows = 0;
    status s = open_set(&set, rows, cols, &item, f, name, false, e);
    if (s) return s;
    const size_t n = *rows * (cols ? *cols : 1);
    if (!(*x = malloc((n ? n : 1) * sizeof **x))) s = err_set(e, ST_NOMEM, "%s: %s: no memory for %zu numbers", f->path, name, n);
    else if (n && H5Dread(set, H5T_NATIVE_DOUBLE, H5S_ALL, H5S_ALL, H5P_DEFAULT, *x) < 0)
        s = h5_fail(e, ST_INPUT, f->path, "damaged data set", H5_REMEDY);
    H5Dclose(set);
    if (s) {
        free(*x);
        *x = NULL;
    }
    return s;
}

status h5_read_numbers(double **x, size_t *n, const h5_file *f, const char *name, err *e)
{
    return read_numbers(x, n, NULL, f, name, e);
}

status h5_read_grid(double **x, size_t *rows, size_t *cols, const h5_file *f, const char *name, err *e)
{
    *cols = 0;
    return read_numbers(x, rows, cols, f, name, e);
}

status h5_read_texts(char **text, size_t *width, size_t *n, const h5_file *f, const char *name, err *e)
{
    hid_t set, type = -1;
    size_t item;
    *text = NULL;
    *n = 0;
    status s = open_set(&set, n, NULL, &item, f, name, true, e);
    if (s) return s;
    *width = item + 1;
    type = h5_text_type(*width);
    if (!(*text = calloc(*n ? *n : 1, *width))) s = err_set(e, ST_NOMEM, "%s: %s: no memory for %zu texts", f->path, name, *n);
    else if (type < 0 || (*n && H5Dread(set, type, H5S_ALL, H5S_ALL, H5P_DEFAULT, *text) < 0))
        s = h5_fail(e, ST_INPUT, f->path, "damaged data set", H5_REMEDY);
    if (type >= 0) H5Tclose(type);
    H5Dclose(set);
    if (s) {
        free(*text);
        *text = NULL;
    }
    return s;
}

/* --- a group's data sets ---- */

typedef struct listing { h5_set *sets; size_t n; bool no_memory; } listing;

static herr_t list_one(hid_t group, const char *name, const H5L_info_t *info, void *self)
{
    (void)info;
    listing *l = self;
    if (strlen(name) >= H5_NAME_MAX || l->n == MAX_SETS) return 0;
    hid_t set = H5Dopen2(group, name, H5P_DEFAULT);
    if (set < 0) return 0; /* a group, or a link that leads nowhere */
    hid_t type = H5Dget_type(set);
    if ((l->n & (l->n - 1)) == 0) {
        h5_set *more = realloc(l->sets, (l->n ? 2 * l->n : 1) * sizeof *more);
        if (!more) l->no_memory = true;
        else l->sets = more;
    }
    if (!l->no_memory) {
        snprintf(l->sets[l->n].name, H5_NAME_MAX, "%s", name);
        l->sets[l->n++].is_text = type >= 0 && H5Tget_class(type) == H5T_STRING;
    }
    if (type >= 0) H5Tclose(type);
    H5Dclose(set);
    return l->no_memory ? -1 : 0;
}

status h5_list(h5_set **sets, size_t *n, const h5_file *f, const char *group, err *e)
{
    listing l = {0};
    herr_t rc = H5Literate_by_name(f->id, group, H5_INDEX_NAME, H5_ITER_INC, NULL, list_one, &l, H5P_DEFAULT);
    if (rc < 0) {
        free(l.sets);
        if (l.no_memory) return err_set(e, ST_NOMEM, "%s: no memory to list %s", f->path, group);
        return h5_fail(e, ST_INPUT, f->path, "truncated or foreign: its groups cannot be listed", H5_REMEDY);
    }
    *sets = l.sets;
    *n = l.n;
    return ST_OK;
}

/* --- writing columns ---- */

static hid_t column_layout(size_t rows, size_t cols, int rank)
{
    hid_t p = H5Pcreate(H5P_DATASET_CREATE);
    const size_t n = rows * cols, most = cols < CHUNK ? CHUNK / (cols ? cols : 1) : 1;
    hsize_t chunk[2] = {rows < most ? rows : most, cols};
    bool ok = p >= 0 && H5Pset_obj_track_times(p, 0) >= 0;
    if (ok && n >= CHUNKED_FROM)
        ok = H5Pset_chunk(p, rank, chunk) >= 0 && H5Pset_shuffle(p) >= 0 && H5Pset_deflate(p, DEFLATE_LEVEL) >= 0 && H5Pset_fletcher32(p) >= 0;
    if (ok) return p;
    if (p >= 0) H5Pclose(p);
    return -1;
}

/* One column (cols 1, rank 1) or grid; type: as stored, mem: as it lies in x. */
static bool write_set(hid_t file, const char *name, hid_t type, hid_t mem, const void *x, size_t rows, size_t cols, int rank)
{
    const hsize_t extent[2] = {rows, cols};
    const size_t n = rows * cols;
    hid_t p = column_layout(rows, cols, rank), space = H5Screate_simple(rank, extent, NULL), set = -1;
    bool ok = p >= 0 && space >= 0 && type >= 0 && mem >= 0;
    if (ok) ok = (set = H5Dcreate2(file, name, type, space, H5P_DEFAULT, p, H5P_DEFAULT)) >= 0;
    if (ok && n) ok = H5Dwrite(set, mem, H5S_ALL, H5S_ALL, H5P_DEFAULT, x) >= 0;
    if (set >= 0) H5Dclose(set);
    if (space >= 0) H5Sclose(space);
    if (p >= 0) H5Pclose(p);
    return ok;
}

static status write_units(hid_t file, const char *name, const char *units, const char *path, err *e)
{
    attrs g = {0};
    status s = attrs_set_text(&g, "units", units, e);
    if (!s) s = h5_write_attrs(file, name, &g, path, e);
    attrs_free(&g);
    return s;
}

status h5_write_numbers(hid_t file, const char *name, const double *x, size_t n, bool whole, const char *units,
                        const char *path, err *e)
{
    bool ok;
    if (whole) {
        int64_t *wholes = malloc((n ? n : 1) * sizeof *wholes);
        if (!wholes) return err_set(e, ST_NOMEM, "%s: no memory for %zu rows", path, n);
        for (size_t i = 0; i < n; i++) wholes[i] = isfinite(x[i]) ? (int64_t)x[i] : -1;
        ok = write_set(file, name, H5T_STD_I64LE, H5T_NATIVE_INT64, wholes, n, 1, 1);
        free(wholes);
    } else ok = write_set(file, name, H5T_IEEE_F64LE, H5T_NATIVE_DOUBLE, x, n, 1, 1);
    if (!ok) return h5_fail(e, ST_IO, path, "HDF5 cannot write a column", "");
    return units ? write_units(file, name, units, path, e) : ST_OK;
}

status h5_write_grid(hid_t file, const char *name, const double *x, size_t rows, size_t cols, const char *units,
                     const char *path, err *e)
{
    if (!write_set(file, name, H5T_IEEE_F64LE, H5T_NATIVE_DOUBLE, x, rows, cols, 2))
        return h5_fail(e, ST_IO, path, "HDF5 cannot write a grid", "");
    return units ? write_units(file, name, units, path, e) : ST_OK;
}

status h5_write_texts(hid_t file, const char *name, const char *const *x, size_t n, const char *path, err *e)
{
    size_t width = 1;
    for (size_t i = 0; i < n; i++)
        if (strlen(x[i]) > width) width = strlen(x[i]);
    char *block = calloc(n ? n : 1, width);
    if (!block) return err_set(e, ST_NOMEM, "%s: no memory for %zu texts", path, n);
    for (size_t i = 0; i < n; i++) memcpy(block + i * width, x[i], strlen(x[i]));
    hid_t type = h5_text_type(width);
    bool ok = write_set(file, name, type, type, block, n, 1, 1);
    if (type >= 0) H5Tclose(type);
    free(block);
    return ok ? ST_OK : h5_fail(e, ST_IO, path, "HDF5 cannot write a column", "");
}
