#include "trainer/data_write.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "trainer/data_dir.h"
#include "trainer/data_file.h"
#include "trainer/data_meta.h"

enum { CHUNK = 1 << 16 }; /* tokens held back before a write(2) */

/* One run of shards, PREFIX_000000.bin and so on. */
typedef struct shards {
    const char *dir, *prefix;
    int width;            /* 2, or 4 once an id needed it */
    int64_t limit;        /* tokens per shard */
    int fd;               /* of the open shard, -1 none */
    char path[IO_PATH_MAX];
    int64_t n_files, in_file, total;
    size_t held;
    union { uint16_t u16[CHUNK]; uint32_t u32[CHUNK]; } buf;
} shards;

struct data_writer {
    char target[IO_PATH_MAX], temp[IO_PATH_MAX];
    bool published;
    shards train;
};

static status shard_path(char *out, const shards *s, int64_t i, err *e)
{
    char name[48];
    snprintf(name, sizeof name, "%s_%06" PRId64 ".bin", s->prefix, i);
    return io_join(out, s->dir, name, e);
}

static status write_header(int fd, int width, int64_t n, const char *path, err *e)
{
    int32_t header[LLMC_HEADER_WORDS] = {width == 2 ? LLMC_MAGIC_U16 : LLMC_MAGIC_U32,
                                         width == 2 ? LLMC_VERSION_U16 : LLMC_VERSION_U32, (int32_t)n};
    if (lseek(fd, 0, SEEK_SET) < 0) return err_set(e, ST_IO, "%s: cannot seek: %s", path, strerror(errno));
    return io_write_all(fd, header, sizeof header, path, e);
}

static status close_durably(int fd, const char *path, status s, err *e)
{
    if (!s && fsync(fd)) s = err_set(e, ST_IO, "%s: fsync: %s", path, strerror(errno));
    if (close(fd) && !s) s = err_set(e, ST_IO, "%s: close: %s", path, strerror(errno));
    return s;
}

static status flush(shards *s, err *e)
{
    if (!s->held) return ST_OK;
    status st = s->width == 2 ? io_write_all(s->fd, s->buf.u16, s->held * 2, s->path, e)
                              : io_write_all(s->fd, s->buf.u32, s->held * 4, s->path, e);
    s->held = 0;
    return st;
}

static status shard_begin(shards *s, err *e)
{
    status st = shard_path(s->path, s, s->n_files, e);
    if (st) return st;
    s->fd = open(s->path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    if (s->fd < 0) return err_set(e, ST_IO, "%s: cannot create: %s", s->path, strerror(errno));
    s->n_files++;
    s->in_file = 0;
    return write_header(s->fd, s->width, 0, s->path,
                        e); /* no shard until its end: count 0 is refused by every reader */
}

static status shard_end(shards *s, err *e)
{
    if (s->fd < 0) return ST_OK;
    status st = flush(s, e);
    if (!st) st = write_header(s->fd, s->width, s->in_file, s->path, e);
    st = close_durably(s->fd, s->path, st, e);
    s->fd = -1;
    return st;
}

static status put(shards *s, const uint32_t *ids, size_t n, err *e)
{
    status st = ST_OK;
    for (size_t i = 0; i < n && !st; i++) {
        if (s->fd < 0 && (st = shard_begin(s, e))) break;
        if (s->width == 2) s->buf.u16[s->held++] = (uint16_t)ids[i];
        else s->buf.u32[s->held++] = ids[i];
        s->in_file++;
        s->total++;
        if (s->held == CHUNK) st = flush(s, e);
        if (!st && s->in_file == s->limit) st = shard_end(s, e);
    }
    return st;
}

static void shards_drop(shards *s)
{
    if (s->fd >= 0) close(s->fd);
    s->fd = -1;
}

/* Appends the tokens from..to of the finished shards of `in`. */
static status copy_range(shards *out, const shards *in, int64_t from, int64_t to, err *e)
{
    enum { N = 1 << 14 };
    int32_t *ids = malloc(N * sizeof *ids);
    status st = ids ? ST_OK : err_set(e, ST_NOMEM, "%s: no memory", in->dir);
    for (int64_t i = from / in->limit; !st && i < in->n_files && from < to; i++) {
        char path[IO_PATH_MAX];
        data_file f;
        if ((st = shard_path(path, in, i, e)) || (st = data_file_open(&f, path, "", e))) break;
        int64_t end = i * in->limit + f.n < to ? i * in->limit + f.n : to;
        while (!st && from < end) {
            int64_t n = end - from < N ? end - from : N;
            data_file_read(&f, ids, from - i * in->limit, n);
            st = put(out, (const uint32_t *)ids, (size_t)n, e);
            from += n;
        }
        data_file_close(&f);
    }
    free(ids);
    return st;
}

/* Rewrites what is there with four bytes per token; happens at most once, at the first id of 65536 or more. */
static status widen(data_writer *w, err *e)
{
    status st = shard_end(&w->train, e);
    shards *wide = calloc(1, sizeof *wide);
    if (!wide) return err_set(e, ST_NOMEM, "%s: no memory", w->target);
    *wide = (shards){.dir = w->temp, .prefix = ".wide", .width = 4, .limit = w->train.limit, .fd = -1};
    if (!st) st = copy_range(wide, &w->train, 0, w->train.total, e);
    /* The last shard stays open for more. */
    if (!st) st = flush(wide, e);
    for (int64_t i = 0; !st && i < wide->n_files; i++) {
        char from[IO_PATH_MAX], to[IO_PATH_MAX];
        if ((st = shard_path(from, wide, i, e)) || (st = shard_path(to, &w->train, i, e))) break;
        if (rename(from, to)) st = err_set(e, ST_IO, "%s: cannot rename: %s", from, strerror(errno));
    }
    if (st) shards_drop(wide);
    else {
        wide->prefix = w->train.prefix;
        w->train = *wide;
        if (wide->n_files) st = shard_path(w->train.path, &w->train, w->train.n_files - 1, e);
    }
    free(wide);
    return st;
}

status data_writer_new(data_writer **out, const char *out_dir, int64_t shard_tokens, err *e)
{
    data_writer *w = calloc(1, sizeof *w);
    if (!w) return err_set(e, ST_NOMEM, "%s: no memory", out_dir);
    w->train = (shards){.dir = w->temp, .prefix = "train", .width = 2, .limit = shard_tokens, .fd = -1};
    status s = data_dir_begin(w->temp, w->target, out_dir, e);
    if (s) w->published = true; /* nothing of ours to remove */
    if (s) data_writer_free(w);
    else *out = w;
    return s;
}

void data_writer_free(data_writer *w)
{
    if (!w) return;
    shards_drop(&w->train);
    if (!w->published) data_dir_remove(w->temp);
    free(w);
}

status data_writer_put(data_writer *w, const uint32_t *ids, size_t n, err *e)
{
    status s = ST_OK;
    for (size_t i = 0; w->train.width == 2 && i < n; i++) {
        if (ids[i] <= UINT16_MAX) continue;
        s = widen(w, e);
        break;
    }
    return s ? s : put(&w->train, ids, n, e);
}

/* The first `keep` tokens stay; the shard that holds the border is cut, those after it go. */
static status cut(shards *s, int64_t keep, err *e)
{
    status st = ST_OK;
    for (int64_t i = 0; !st && i < s->n_files; i++) {
        int64_t left = keep - i * s->limit;
        char path[IO_PATH_MAX];
        if (left >= s->limit || (st = shard_path(path, s, i, e))) continue;
        if (left <= 0) {
            if (unlink(path)) st = err_set(e, ST_IO, "%s: cannot remove: %s", path, strerror(errno));
            continue;
        }
        int fd = open(path, O_WRONLY | O_CLOEXEC);
        if (fd < 0) return err_set(e, ST_IO, "%s: cannot open: %s", path, strerror(errno));
        if (ftruncate(fd, (off_t)(LLMC_HEADER_BYTES + left * s->width)))
            st = err_set(e, ST_IO, "%s: cannot truncate: %s", path, strerror(errno));
        if (!st) st = write_header(fd, s->width, left, path, e);
        st = close_durably(fd, path, st, e);
    }
    return st;
}

static status split_tail(data_writer *w, double fraction, err *e)
{
    const int64_t n = (int64_t)floor(fraction * (double)w->train.total), keep = w->train.total - n;
    if (n < 1) return ST_OK; /* readers then take the tail of the training tokens */
    shards *val = calloc(1, sizeof *val);
    if (!val) return err_set(e, ST_NOMEM, "%s: no memory", w->target);
    *val = (shards){.dir = w->temp, .prefix = "val", .width = w->train.width, .limit = w->train.limit, .fd = -1};
    status s = copy_range(val, &w->train, keep, w->train.total, e);
    if (!s) s = shard_end(val, e);
    shards_drop(val);
    free(val);
    return s ? s : cut(&w->train, keep, e);
}

/* What is on disk now, as any reader would see it. */
static status read_back(data_info *about, const char *dir, err *e)
{
    data_set *d = NULL;
    status s = data_open(&d, dir, "", e);
    if (!s) s = data_scan(d, about->vocab, e);
    if (!s) {
        const data_info *found = data_about(d);
        about->train_tokens = found->train_tokens;
        about->val_tokens = found->val_tokens;
        about->max_id = found->max_id;
        memcpy(about->sha256, found->sha256, sizeof about->sha256);
        if (!about->vocab) about->vocab = (int64_t)found->max_id + 1;
        snprintf(about->format, sizeof about->format, "muscale");
    }
    data_close(d);
    return s;
}

status data_writer_publish(data_writer *w, data_info *about, double val_fraction, json_t *source, err *e)
{
    char meta[IO_PATH_MAX];
    status s = shard_end(&w->train, e);
    if (!s && !w->train.total) s = err_set(e, ST_INPUT, "%s: not made: the input holds no tokens", w->target);
    if (!s) s = split_tail(w, val_fraction, e);
    if (!s) s = read_back(about, w->temp, e);
    if (!s) s = io_join(meta, w->temp, DATA_META_NAME, e);
    if (s) json_decref(source);
    else s = data_meta_write(about, source, meta, e);
    if (!s) s = data_dir_publish(w->temp, w->target, e);
    if (!s) w->published = true;
    return s;
}

status data_stopped(const volatile sig_atomic_t *stop, const char *what, err *e)
{
    if (!stop || !*stop) return ST_OK;
    return err_set(e, *stop == SIGTERM ? ST_TERMINATED : ST_INTERRUPTED, "%s: stopped by a signal; nothing was written",
                   what);
}
