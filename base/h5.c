#include "base/h5.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <xxhash.h>

enum {
    MAX_ATTRS = 4096,
    MAX_TEXT = 1 << 20
};
static const size_t FILE_MAX = (size_t)2 << 30;

/* HDF5 prints its error stack unless told otherwise, per thread; the setting is the library's, so it is repeated. */
static void quiet(void) { H5Eset_auto2(H5E_DEFAULT, NULL, NULL); }

static herr_t first_message(unsigned n, const H5E_error2_t *d, void *out)
{
    (void)n;
    snprintf(out, 160, "%s", d->desc ? d->desc : "");
    return 1; /* the innermost is the cause */
}

status h5_fail(err *e, status s, const char *path, const char *what, const char *remedy)
{
    char why[160] = "";
    H5Ewalk2(H5E_DEFAULT, H5E_WALK_UPWARD, first_message, why);
    H5Eclear2(H5E_DEFAULT);
    return err_set(e, s, "%s: %s%s%s%s%s%s", path, what, *why ? " (" : "", why, *why ? ")" : "", *remedy ? "; " : "", remedy);
}

/* --- opening ------------------------------------------------------------------------------------------------- */

static status check_schema(const h5_file *f, const char *schema, err *e)
{
    attrs root = {0};
    status s = h5_read_attrs(&root, f, "/", e);
    if (s) return s;
    const char *found = attrs_text(&root, "schema"), *slash = strrchr(schema, '/');
    size_t kind = (size_t)(slash - schema) + 1;
    if (!found || strncmp(found, schema, kind))
        s = err_set(e, ST_INPUT, "%s: not a file of this kind: attribute schema is '%.60s', expected '%s'", f->path, found ? found : "(absent)", schema);
    /* same kind, other major version; a minor one would follow a dot */
    else if (strncmp(found, schema, strlen(schema)) || (found[strlen(schema)] && found[strlen(schema)] != '.'))
        s = err_set(e, ST_INPUT, "%s: schema is '%.60s', this muscale reads '%s'; use the version that wrote it", f->path, found, schema);
    attrs_free(&root);
    return s;
}

/* The last bytes of our files. */
enum { TRAILER = 32 };
static void trailer(char out[TRAILER + 1], const void *bytes, size_t n)
{
    snprintf(out, TRAILER + 1, "\nmuscale-xxh64:%016llx\n", (unsigned long long)XXH64(bytes, n, 0));
}

/* Whether these bytes may be given to HDF5. */
static status check_bytes(const char *path, const char *bytes, size_t n, err *e)
{
    static const unsigned char magic[8] = {0x89, 'H', 'D', 'F', '\r', '\n', 0x1a, '\n'};
    char want[TRAILER + 1];
    if (n < sizeof magic || memcmp(bytes, magic, sizeof magic))
        return err_set(e, ST_INPUT, "%s: not an HDF5 file%s; %s", path, n ? "" : " (it is empty)", H5_REMEDY);
    const char *end = bytes + n - TRAILER;
    if (n < sizeof magic + TRAILER || memcmp(end, "\nmuscale-xxh64:", 15)) return h5_probe(path, bytes, n, e);
    trailer(want, bytes, n - TRAILER);
    return memcmp(end, want, TRAILER) ? err_set(e, ST_INPUT, "%s: damaged: its checksum does not match; %s", path, H5_REMEDY) : ST_OK;
}

hid_t h5_open_image(const void *bytes, size_t n)
{
    hid_t id = -1, fapl = H5Pcreate(H5P_FILE_ACCESS);
    quiet();
    /* HDF5 copies the image; it asks for a pointer that it could write through */
    if (fapl >= 0 && H5Pset_fapl_core(fapl, 1 << 16, 0) >= 0 && H5Pset_file_image(fapl, (void *)(uintptr_t)bytes, n) >= 0)
        id = H5Fopen("muscale-image", H5F_ACC_RDONLY, fapl);
    if (fapl >= 0) H5Pclose(fapl);
    return id;
}

status h5_open(h5_file *f, const char *path, const char *schema, err *e)
{
    char *bytes = NULL;
    quiet();
    f->id = -1;
    snprintf(f->path, sizeof f->path, "%s", path);
    status s = io_read_file(&bytes, &f->size, path, FILE_MAX, e);
    if (s) return s;
    s = check_bytes(path, bytes, f->size, e);
    if (!s && (f->id = h5_open_image(bytes, f->size)) < 0) s = h5_fail(e, ST_INPUT, path, "truncated or damaged HDF5 file", H5_REMEDY);
    free(bytes);
    if (s) return s;
    s = check_schema(f, schema, e);
    if (s) h5_close(f);
    return s;
}

void h5_close(h5_file *f)
{
    if (f->id >= 0) H5Fclose(f->id);
    f->id = -1;
}

hid_t h5_create_image(void)
{
    quiet();
    hid_t file = -1, fapl = H5Pcreate(H5P_FILE_ACCESS), fcpl = H5Pcreate(H5P_FILE_CREATE);
    if (fapl >= 0 && fcpl >= 0 && H5Pset_fapl_core(fapl, 1 << 16, 0) >= 0 &&
        H5Pset_libver_bounds(fapl, H5F_LIBVER_EARLIEST, H5F_LIBVER_V18) >= 0 && H5Pset_obj_track_times(fcpl, 0) >= 0)
        file = H5Fcreate("muscale-image", H5F_ACC_TRUNC, fcpl, fapl);
    if (fapl >= 0) H5Pclose(fapl);
    if (fcpl >= 0) H5Pclose(fcpl);
    return file;
}

status h5_take_image(hid_t file, void **bytes, size_t *n, const char *path, err *e)
{
    ssize_t size = H5Fflush(file, H5F_SCOPE_GLOBAL) < 0 ? -1 : H5Fget_file_image(file, NULL, 0);
    if (size <= 0) return h5_fail(e, ST_IO, path, "HDF5 cannot build the file", "");
    char *b = malloc((size_t)size + TRAILER + 1);
    if (!b) return err_set(e, ST_NOMEM, "%s: no memory for %zd bytes", path, size);
    if (H5Fget_file_image(file, b, (size_t)size) != size) {
        free(b);
        return h5_fail(e, ST_IO, path, "HDF5 cannot build the file", "");
    }
    trailer(b + size, b, (size_t)size);
    *bytes = b;
    *n = (size_t)size + TRAILER;
    return ST_OK;
}

hid_t h5_text_type(size_t width)
{
    hid_t type = H5Tcopy(H5T_C_S1);
    if (type >= 0 && H5Tset_size(type, width) >= 0 && H5Tset_cset(type, H5T_CSET_UTF8) >= 0 && H5Tset_strpad(type, H5T_STR_NULLPAD) >= 0)
        return type;
    if (type >= 0) H5Tclose(type);
    return -1;
}

status h5_make_group(hid_t file, const char *name, const char *path, err *e)
{
    hid_t p = H5Pcreate(H5P_GROUP_CREATE), id = -1;
    if (p >= 0 && H5Pset_obj_track_times(p, 0) >= 0) id = H5Gcreate2(file, name, H5P_DEFAULT, p, H5P_DEFAULT);
    if (p >= 0) H5Pclose(p);
    if (id < 0) return h5_fail(e, ST_IO, path, "HDF5 cannot make a group", "");
    H5Gclose(id);
    return ST_OK;
}

/* --- attributes ---------------------------------------------------------------------------------------------- */

static status read_text(attrs *out, const char *name, hid_t a, hid_t type, const h5_file *f, err *e)
{
    status s = ST_OK;
    if (H5Tis_variable_str(type) > 0) {
        char *text = NULL;
        hid_t mem = H5Tcopy(H5T_C_S1);
        H5Tset_size(mem, H5T_VARIABLE);
        H5Tset_cset(mem, H5Tget_cset(type));
        if (H5Aread(a, mem, &text) < 0) s = h5_fail(e, ST_INPUT, f->path, "damaged attribute", H5_REMEDY);
        else if (text && strlen(text) < MAX_TEXT) s = attrs_set_text(out, name, text, e);
        H5free_memory(text);
        H5Tclose(mem);
        return s;
    }
    size_t n = H5Tget_size(type);
    if (n == 0 || n > MAX_TEXT || n > f->size) return ST_OK;
    char *text = calloc(1, n + 1);
    if (!text) return err_set(e, ST_NOMEM, "%s: no memory for the attribute %s", f->path, name);
    if (H5Aread(a, type, text) < 0) s = h5_fail(e, ST_INPUT, f->path, "damaged attribute", H5_REMEDY);
    else s = attrs_set_text(out, name, text, e);
    free(text);
    return s;
}

static status read_attr(attrs *out, const char *name, hid_t a, const h5_file *f, err *e)
{
    hid_t type = H5Aget_type(a), space = H5Aget_space(a);
    status s = ST_OK;
    H5T_class_t class = type < 0 ? H5T_NO_CLASS : H5Tget_class(type);
    int64_t i = 0;
    double x = 0;
    if (space < 0 || H5Sget_simple_extent_npoints(space) != 1) class = H5T_NO_CLASS; /* not a scalar: not ours */
    if (class == H5T_INTEGER && H5Tget_size(type) <= 8)
        s = H5Aread(a, H5T_NATIVE_INT64, &i) < 0 ? h5_fail(e, ST_INPUT, f->path, "damaged attribute", H5_REMEDY) : attrs_set_i64(out, name, i, e);
    else if (class == H5T_FLOAT && H5Tget_size(type) <= 16)
        s = H5Aread(a, H5T_NATIVE_DOUBLE, &x) < 0 ? h5_fail(e, ST_INPUT, f->path, "damaged attribute", H5_REMEDY) : attrs_set_f64(out, name, x, e);
    else if (class == H5T_STRING) s = read_text(out, name, a, type, f, e);
    if (type >= 0) H5Tclose(type);
    if (space >= 0) H5Sclose(space);
    return s;
}

typedef struct attr_walk { attrs *out; const h5_file *f; err *e; status s; size_t n; } attr_walk;

static herr_t walk_attr(hid_t object, const char *name, const H5A_info_t *info, void *self)
{
    (void)info;
    attr_walk *w = self;
    if (++w->n > MAX_ATTRS) w->s = err_set(w->e, ST_INPUT, "%s: more than %d attributes in one place", w->f->path, MAX_ATTRS);
    if (w->s) return -1;
    hid_t a = H5Aopen(object, name, H5P_DEFAULT);
    w->s = a < 0 ? h5_fail(w->e, ST_INPUT, w->f->path, "damaged attribute", H5_REMEDY) : read_attr(w->out, name, a, w->f, w->e);
    if (a >= 0) H5Aclose(a);
    return w->s ? -1 : 0;
}

status h5_read_attrs(attrs *out, const h5_file *f, const char *object, err *e)
{
    attr_walk w = {out, f, e, ST_OK, 0};
    hid_t id = H5Oopen(f->id, object, H5P_DEFAULT);
    if (id < 0) return err_set(e, ST_INPUT, "%s: has no group %s: truncated or foreign; %s", f->path, object, H5_REMEDY);
    herr_t rc = H5Aiterate2(id, H5_INDEX_NAME, H5_ITER_INC, NULL, walk_attr, &w);
    H5Oclose(id);
    if (rc < 0 && !w.s) return h5_fail(e, ST_INPUT, f->path, "damaged attributes", H5_REMEDY);
    return w.s;
}

static bool write_attr(hid_t object, const attr *a)
{
    size_t n = a->kind == ATTR_TEXT ? strlen(a->text) : 0;
    hid_t type = a->kind == ATTR_I64 ? H5Tcopy(H5T_STD_I64LE) : a->kind == ATTR_F64 ? H5Tcopy(H5T_IEEE_F64LE) : h5_text_type(n ? n : 1);
    hid_t space = H5Screate(H5S_SCALAR), id = -1;
    bool ok = type >= 0 && space >= 0;
    if (ok) ok = (id = H5Acreate2(object, a->name, type, space, H5P_DEFAULT, H5P_DEFAULT)) >= 0;
    if (ok && a->kind == ATTR_I64) ok = H5Awrite(id, H5T_NATIVE_INT64, &a->i) >= 0;
    else if (ok && a->kind == ATTR_F64) ok = H5Awrite(id, H5T_NATIVE_DOUBLE, &a->f) >= 0;
    else if (ok) ok = H5Awrite(id, type, a->text) >= 0;
    if (id >= 0) H5Aclose(id);
    if (space >= 0) H5Sclose(space);
    if (type >= 0) H5Tclose(type);
    return ok;
}

status h5_write_attrs(hid_t file, const char *object, const attrs *g, const char *path, err *e)
{
    hid_t id = H5Oopen(file, object, H5P_DEFAULT);
    bool ok = id >= 0;
    for (size_t i = 0; i < g->n && ok; i++) ok = write_attr(id, &g->a[i]);
    if (id >= 0) H5Oclose(id);
    return ok ? ST_OK : h5_fail(e, ST_IO, path, "HDF5 cannot write attributes", "");
}
