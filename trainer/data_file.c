/* Token files, little endian: llm.c shards (uint16), their uint32 variant, headerless with a stated dtype. */
#include "trainer/data_file.h"

#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

enum { BUFFER_BYTES = 1 << 20 };

static int dtype_width(const char *dtype)
{
    if (!strcmp(dtype, "u8")) return 1;
    if (!strcmp(dtype, "u16")) return 2;
    if (!strcmp(dtype, "u32")) return 4;
    return 0;
}

static int32_t header_word(const void *map, int i)
{
    int32_t w;
    memcpy(&w, (const char *)map + 4 * i, 4);
    return w;
}

/* A headerless file may begin with a magic by chance: the size must agree before the magic is believed. */
static bool shard_like(const data_file *f, int32_t magic, int width, int64_t *n)
{
    if (f->bytes < DATA_HEADER_BYTES || header_word(f->map, 0) != magic) return false;
    *n = header_word(f->map, 2);
    return *n >= 0 && f->bytes == (size_t)DATA_HEADER_BYTES + (size_t)width * (size_t)*n;
}

static status foreign(const data_file *f, err *e)
{
    int32_t magic = f->bytes >= DATA_HEADER_BYTES ? header_word(f->map, 0) : 0;
    if (magic == DATA_MAGIC_U16 || magic == DATA_MAGIC_U32) {
        long long claimed = header_word(f->map, 2);
        long long want = DATA_HEADER_BYTES + claimed * (magic == DATA_MAGIC_U16 ? 2 : 4);
        return err_set(e, ST_INPUT, "%s: truncated or damaged: its header claims %lld tokens, which is %lld bytes, but the file has %zu; "
                       "fetch or pack it again", f->path, claimed, want, f->bytes);
    }
    return err_set(e, ST_INPUT, "%s: not a token shard (no llm.c magic); a headerless file needs --dtype u8, u16 or u32 "
                   "(config key data_dtype), text needs `muscale data pack`", f->path);
}

status data_file_open(data_file *f, const char *path, const char *dtype, err *e)
{
    memset(f, 0, sizeof *f);
    if (strlen(path) >= sizeof f->path) return err_set(e, ST_INPUT, "%s: path too long", path);
    strcpy(f->path, path);
    int width = dtype_width(dtype);
    if (*dtype && !width) return err_set(e, ST_INPUT, "%s: dtype '%s' is not known; use u8, u16 or u32", path, dtype);
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return err_set(e, ST_INPUT, "%s: cannot open token file: %s", path, strerror(errno));
    struct stat st;
    status s = ST_OK;
    if (fstat(fd, &st)) s = err_set(e, ST_INPUT, "%s: cannot stat: %s", path, strerror(errno));
    else if (!S_ISREG(st.st_mode)) s = err_set(e, ST_INPUT, "%s: not a regular file; tokens are memory-mapped", path);
    else if (st.st_size == 0) s = err_set(e, ST_INPUT, "%s: empty token file", path);
    if (!s) {
        f->bytes = (size_t)st.st_size;
        f->map = mmap(NULL, f->bytes, PROT_READ, MAP_SHARED, fd, 0);
        if (f->map == MAP_FAILED) {
            f->map = NULL;
            s = err_set(e, ST_IO, "%s: cannot map %zu bytes: %s", path, f->bytes, strerror(errno));
        }
    }
    close(fd);
    if (s) return s;
    if (width) {
        if (f->bytes % (size_t)width)
            s = err_set(e, ST_INPUT, "%s: %zu bytes are not a whole number of %s tokens; is the dtype right, is the file whole?", path, f->bytes, dtype);
        f->width = width;
        f->n = (int64_t)(f->bytes / (size_t)width);
        f->tokens = f->map;
        strcpy(f->format, "raw");
    } else if (shard_like(f, DATA_MAGIC_U16, 2, &f->n) || shard_like(f, DATA_MAGIC_U32, 4, &f->n)) {
        f->width = header_word(f->map, 0) == DATA_MAGIC_U16 ? 2 : 4;
        f->tokens = (const char *)f->map + DATA_HEADER_BYTES;
        strcpy(f->format, f->width == 2 ? "llm.c" : "llm.c-u32");
    } else {
        s = foreign(f, e);
    }
    if (s) data_file_close(f);
    return s;
}

void data_file_close(data_file *f)
{
    if (f->map) munmap(f->map, f->bytes);
    f->map = NULL;
}

int64_t data_file_get(const data_file *f, int64_t i)
{
    if (f->width == 1) return ((const uint8_t *)f->tokens)[i];
    if (f->width == 2) return ((const uint16_t *)f->tokens)[i];
    uint32_t x; /* a shard's tokens start at byte 1024: aligned */
    memcpy(&x, (const char *)f->tokens + 4 * i, 4);
    return x;
}

status data_writer_open(data_writer *w, const char *path, int width, err *e)
{
    memset(w, 0, sizeof *w);
    w->fd = -1;
    w->width = width;
    memcpy(w->path, path, strlen(path) + 1);
    w->buffer = malloc(BUFFER_BYTES);
    if (!w->buffer) return err_set(e, ST_NOMEM, "%s: no memory", path);
    w->fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (w->fd < 0) {
        status s = err_set(e, ST_IO, "%s: cannot create: %s", path, strerror(errno));
        data_writer_abandon(w);
        return s;
    }
    memset(w->buffer, 0, DATA_HEADER_BYTES);
    w->used = DATA_HEADER_BYTES;
    return ST_OK;
}

static status flush(data_writer *w, err *e)
{
    status s = io_write_all(w->fd, w->buffer, w->used, w->path, e);
    w->used = 0;
    return s;
}

status data_writer_put(data_writer *w, int64_t id, err *e)
{
    if (w->used + 4 > BUFFER_BYTES) {
        status s = flush(w, e);
        if (s) return s;
    }
    uint32_t x = (uint32_t)id;
    memcpy(w->buffer + w->used, &x, (size_t)w->width); /* little endian: the low bytes come first */
    w->used += (size_t)w->width;
    w->n++;
    return ST_OK;
}

void data_writer_abandon(data_writer *w)
{
    if (w->fd >= 0) close(w->fd);
    w->fd = -1;
    free(w->buffer);
    w->buffer = NULL;
}

status data_writer_close(data_writer *w, err *e)
{
    status s = flush(w, e);
    int32_t head[3] = {w->width == 2 ? DATA_MAGIC_U16 : DATA_MAGIC_U32, w->width == 2 ? 1 : 7, (int32_t)w->n};
    if (!s && pwrite(w->fd, head, sizeof head, 0) != (ssize_t)sizeof head)
        s = err_set(e, ST_IO, "%s: cannot write its header: %s", w->path, strerror(errno));
    if (!s && fsync(w->fd)) s = err_set(e, ST_IO, "%s: fsync: %s", w->path, strerror(errno));
    data_writer_abandon(w);
    return s;
}
