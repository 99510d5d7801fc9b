/* Files: whole reads, durable writes. Stored files are written with write(2) only, never stdio, so that a kill
 * can be tested at every call. */
#ifndef BASE_IO_H
#define BASE_IO_H
#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/err.h"
#ifdef __cplusplus
extern "C" {
#endif

enum { IO_PATH_MAX = 1024, IO_SHA256_HEX = 65 };

/* Joins with '/', ST_INPUT when longer than IO_PATH_MAX - 1. out has IO_PATH_MAX bytes. */
status io_join(char *out, const char *dir, const char *name, err *e);

/* Whole file into a malloc'ed, zero-terminated buffer; caller frees. Larger than `limit` bytes: ST_INPUT. */
status io_read_file(char **text, size_t *n, const char *path, size_t limit, err *e);

status io_mkdirs(const char *path, err *e); /* like mkdir -p; what it makes is durable */
bool io_exists(const char *path);

/* write(2) until all is written; EINTR retried; ENOSPC and the like: ST_IO naming `path`. */
status io_write_all(int fd, const void *data, size_t n, const char *path, err *e);

/* Atomic publish: `path` is either its old content or all of data, never a part. Writes .NAME.PID.tmp in the same
 * directory, fsync, rename, fsync of the directory; the temporary is removed on failure. */
status io_publish(const char *path, const void *data, size_t n, err *e);

/* The two halves, for content made by others (HDF5): name a temporary beside path; make it durable and rename. */
status io_temp_name(char *out, const char *path, err *e);
status io_publish_temp(const char *temp, const char *path, err *e);

/* Can so many bytes be written into this directory? ST_IO: no, with the reason. Leaves nothing behind. */
status io_room_for(const char *dir, size_t bytes, err *e);

/* fsync of a directory: a name made in it is durable only then. Of the one that holds path. ST_IO */
status io_sync_dir(const char *dir, err *e);
status io_sync_dir_of(const char *path, err *e);

/* sha256 as lower-case hex, zero-terminated; out has IO_SHA256_HEX bytes. */
void io_sha256(char *out, const void *data, size_t n);
status io_sha256_file(char *out, const char *path, err *e);

double io_now(void); /* CLOCK_MONOTONIC seconds */

#ifdef __cplusplus
}
#endif
#endif
