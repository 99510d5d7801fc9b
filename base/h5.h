/* HDF5 as we use it: whole files in memory, errors as one line, sizes checked before allocation.
 *
 * Files are read by read(2) and parsed from memory, built in memory and written by write(2): no HDF5 locks (advisory, and
 * silent where they are missing), no half-written file, and a full disk is met by our own code.
 *
 * HDF5 1.10 crashes on files with damaged metadata (5 in 100 of a run.h5 with three random bytes changed). So our files end
 * in a checksum of everything before it (HDF5 allows bytes after its end of file), and a file whose checksum fails is never
 * parsed. One without checksum (edited or made by others) is first read by a child process: base/h5_probe.c.
 *
 * Private to readers and writers of run.h5 and campaign.h5; needs <hdf5.h>. */
#ifndef BASE_H5_H
#define BASE_H5_H
#include <hdf5.h>

#include "base/err.h"
#include "base/run.h"

typedef struct h5_file {
    hid_t id;              /* < 0: closed */
    size_t size;           /* bytes of the file: bounds what any data set in it may claim */
    char path[IO_PATH_MAX];
} h5_file;

/* ST_INPUT with the remedy when it is absent, no HDF5, truncated, or its /schema is not of `schema` ("muscale.run/1"). */
status h5_open(h5_file *f, const char *path, const char *schema, err *e);
void h5_close(h5_file *f);

/* ST_INPUT when a child process that reads everything in these bytes crashes or hangs. */
status h5_probe(const char *path, const void *bytes, size_t n, err *e);
hid_t h5_open_image(const void *bytes, size_t n); /* < 0: HDF5's error stack says why */

/* New file in memory, superblock v0 (opens everywhere), no times inside: equal content gives equal bytes. */
hid_t h5_create_image(void);
/* The bytes of the file in memory and their checksum; malloc'ed. ST_IO if HDF5 fails. */
status h5_take_image(hid_t file, void **bytes, size_t *n, const char *path, err *e);

status h5_make_group(hid_t file, const char *name, const char *path, err *e);
status h5_read_attrs(attrs *out, const h5_file *f, const char *object, err *e); /* unknown types are passed over */
status h5_write_attrs(hid_t file, const char *object, const attrs *g, const char *path, err *e);

/* 1-D numbers as doubles, malloc'ed; *n rows. */
status h5_read_numbers(double **x, size_t *n, const h5_file *f, const char *name, err *e);
/* whole: stored as int64, else double. units NULL: no attribute. */
status h5_write_numbers(hid_t file, const char *name, const double *x, size_t n, bool whole, const char *units,
                        const char *path, err *e);

/* 2-D numbers, row by row. */
status h5_read_grid(double **x, size_t *rows, size_t *cols, const h5_file *f, const char *name, err *e);
status h5_write_grid(hid_t file, const char *name, const double *x, size_t rows, size_t cols, const char *units,
                     const char *path, err *e);

/* 1-D texts of equal width, padded with zeros: row i starts at text + i * width, and text[i * width + width - 1] is 0. */
status h5_read_texts(char **text, size_t *width, size_t *n, const h5_file *f, const char *name, err *e);
status h5_write_texts(hid_t file, const char *name, const char *const *x, size_t n, const char *path, err *e);

/* Names of the data sets of a group, in alphabetical order, and which of them hold texts. free(*sets). */
enum { H5_NAME_MAX = 128 };
typedef struct h5_set { char name[H5_NAME_MAX]; bool is_text; } h5_set;
status h5_list(h5_set **sets, size_t *n, const h5_file *f, const char *group, err *e);

hid_t h5_text_type(size_t width); /* fixed width, zero-padded, UTF-8 */

#define H5_REMEDY "copy it again, or delete it and let `muscale sweep collect` make it from the journal"
/* "path: what: innermost message of HDF5; remedy": ST_INPUT or the given status. */
status h5_fail(err *e, status s, const char *path, const char *what, const char *remedy);
#endif
