/* A data set in memory: its files as one stream, split into training and validation part, and windows of both. */
#include "trainer/data.h"

#include <dirent.h>
#include <inttypes.h>
#include <nettle/sha2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>

#include "base/rng.h"
#include "trainer/data_file.h"
#include "trainer/data_meta.h"

/* Files in order. start[i] is the number of tokens before file i; start[n_files] is the total. */
typedef struct stream { data_file *file; int64_t *start; size_t n_files; } stream;
/* A run of tokens inside a stream; borrowed. */
typedef struct part { const stream *s; int64_t first, n; } part;

struct data_set {
    data_info info;
    stream train_files, val_files;
    part train, val; /* val may be the tail of train_files */
};

static int64_t stream_total(const stream *s) { return s->n_files ? s->start[s->n_files] : 0; }

/* Index of the file that holds token `at`. */
static size_t stream_find(const stream *s, int64_t at)
{
    size_t lo = 0, hi = s->n_files;
    while (hi - lo > 1) {
        size_t mid = (lo + hi) / 2;
        if (s->start[mid] <= at) lo = mid;
        else hi = mid;
    }
    return lo;
}

/* One file's share of a part: tokens at .. at + n - 1 of the file. Walk with i = 0, 1, ... until false. */
typedef struct piece { const data_file *file; int64_t at, n; } piece;
static bool part_piece(piece *out, const part *p, size_t i)
{
    if (p->n == 0) return false;
    size_t k = stream_find(p->s, p->first) + i;
    if (k >= p->s->n_files) return false;
    int64_t from = p->s->start[k], to = p->s->start[k + 1], end = p->first + p->n;
    if (from >= end) return false;
    if (from < p->first) from = p->first;
    if (to > end) to = end;
    *out = (piece){&p->s->file[k], from - p->s->start[k], to - from};
    return true;
}

static void part_read(const part *p, int32_t *out, int64_t at, int64_t n)
{
    const part want = {p->s, p->first + at, n};
    piece c;
    for (size_t i = 0; part_piece(&c, &want, i); i++) {
        data_file_read(c.file, out, c.at, c.n);
        out += c.n;
    }
}

/* --- opening ---------------------------------------------------------------------------------------------------------
 */

static void stream_close(stream *s)
{
    for (size_t i = 0; i < s->n_files; i++) data_file_close(&s->file[i]);
    free(s->file);
    free(s->start);
}

void data_close(data_set *d)
{
    if (!d) return;
    stream_close(&d->train_files);
    stream_close(&d->val_files);
    free(d);
}

const data_info *data_about(const data_set *d) { return &d->info; }

static status stream_open(stream *s, const char *const *paths, size_t n, const char *dtype, err *e)
{
    s->file = calloc(n ? n : 1, sizeof *s->file);
    s->start = calloc(n + 1, sizeof *s->start);
    if (!s->file || !s->start) return err_set(e, ST_NOMEM, "no memory for %zu token files", n);
    for (size_t i = 0; i < n; i++) {
        status st = data_file_open(&s->file[i], paths[i], dtype, e);
        if (st) return st;
        s->n_files = i + 1;
        s->start[i + 1] = s->start[i] + s->file[i].n;
        if (s->file[i].width != s->file[0].width)
            return err_set(e, ST_INPUT,
                           "%s: %s with %d bytes per token, but %s has %d; one data set has one kind of file", paths[i],
                           s->file[i].format, s->file[i].width, paths[0], s->file[0].width);
    }
    return ST_OK;
}

typedef struct names { char **path; size_t n; } names;

static void names_free(names *x)
{
    for (size_t i = 0; i < x->n; i++) free(x->path[i]);
    free(x->path);
}

static status names_add(names *x, const char *dir, const char *name, err *e)
{
    char path[IO_PATH_MAX];
    status s = io_join(path, dir, name, e);
    if (s) return s;
    char **more = realloc(x->path, (x->n + 1) * sizeof *more);
    if (more) x->path = more;
    if (!more || !(more[x->n] = strdup(path))) return err_set(e, ST_NOMEM, "%s: no memory", dir);
    x->n++;
    return ST_OK;
}

static int by_text(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

/* *train*.bin and *val*.bin of a directory, each sorted. */
static status list_shards(names *train, names *val, const char *dir, err *e)
{
    DIR *d = opendir(dir);
    if (!d) return err_set(e, ST_INPUT, "%s: cannot list this directory", dir);
    status s = ST_OK;
    for (const struct dirent *x; !s && (x = readdir(d));) {
        size_t len = strlen(x->d_name);
        if (x->d_name[0] == '.' || len < 4 || strcmp(x->d_name + len - 4, ".bin")) continue;
        if (strstr(x->d_name, "train")) s = names_add(train, dir, x->d_name, e);
        else if (strstr(x->d_name, "val")) s = names_add(val, dir, x->d_name, e);
    }
    closedir(d);
    if (train->n) qsort(train->path, train->n, sizeof *train->path, by_text);
    if (val->n) qsort(val->path, val->n, sizeof *val->path, by_text);
    if (!s && !train->n)
        s = err_set(e, ST_INPUT,
                    "%s: holds no token data (no *train*.bin); `muscale data pack -o %s FILE...` makes it", dir, dir);
    return s;
}

static status open_directory(data_set *d, const char *path, const char *dtype, err *e)
{
    names train = {0}, val = {0};
    status s = list_shards(&train, &val, path, e);
    if (!s) s = stream_open(&d->train_files, (const char *const *)train.path, train.n, dtype, e);
    if (!s && val.n) s = stream_open(&d->val_files, (const char *const *)val.path, val.n, dtype, e);
    if (!s && val.n && d->val_files.file[0].width != d->train_files.file[0].width)
        s = err_set(e, ST_INPUT, "%s: %d bytes per token, but %s has %d; one data set has one kind of file",
                    val.path[0], d->val_files.file[0].width, train.path[0], d->train_files.file[0].width);
    names_free(&train);
    names_free(&val);
    return s;
}

static void split(data_set *d)
{
    int64_t total = stream_total(&d->train_files), tail = 0;
    if (!d->val_files.n_files) {
        tail = total / DATA_TAIL_SHARE;
        if (tail > DATA_TAIL_MAX) tail = DATA_TAIL_MAX;
        d->val = (part){&d->train_files, total - tail, tail};
    } else
        d->val = (part){&d->val_files, 0, stream_total(&d->val_files)};
    d->train = (part){&d->train_files, 0, total - tail};
    d->info.train_tokens = d->train.n;
    d->info.val_tokens = d->val.n;
}

static void hash_part(struct sha256_ctx *c, const part *p)
{
    piece x;
    for (size_t i = 0; part_piece(&x, p, i); i++)
        sha256_update(c, (size_t)x.n * (size_t)x.file->width, x.file->tokens + x.at * x.file->width);
}

static void hash_content(data_set *d)
{
    struct sha256_ctx c;
    uint8_t digest[SHA256_DIGEST_SIZE];
    char split_text[96];
    sha256_init(&c);
    hash_part(&c, &d->train);
    hash_part(&c, &d->val);
    int n = snprintf(split_text, sizeof split_text, "width=%d train=%" PRId64 " val=%" PRId64 "\n",
                     d->train_files.file[0].width, d->train.n, d->val.n);
    sha256_update(&c, (size_t)n, (const uint8_t *)split_text);
    sha256_digest(&c, sizeof digest, digest);
    for (size_t i = 0; i < sizeof digest; i++) snprintf(d->info.sha256 + 2 * i, 3, "%02x", digest[i]);
}

/* Windows are drawn in random order: small sets are read ahead whole, of large ones only what is asked for. */
static void advise(const stream *s)
{
    enum { READ_AHEAD_LIMIT = 1 << 30 };
    uint64_t bytes = 0;
    for (size_t i = 0; i < s->n_files; i++) bytes += s->file[i].map_size;
    for (size_t i = 0; i < s->n_files; i++)
        (void)madvise(s->file[i].map, s->file[i].map_size, bytes <= READ_AHEAD_LIMIT ? MADV_WILLNEED : MADV_RANDOM);
}

/* Reads counts off the files, and the rest from meta.json where there is one; the two must agree. */
static status describe(data_set *d, const char *meta_path, err *e)
{
    split(d);
    if (!meta_path) {
        snprintf(d->info.format, sizeof d->info.format, "%s", d->train_files.file[0].format);
        d->info.max_id = -1;
        hash_content(d);
        return ST_OK;
    }
    data_info meta;
    status s = data_meta_read(&meta, meta_path, e);
    if (s) return s;
    if (meta.train_tokens != d->info.train_tokens || meta.val_tokens != d->info.val_tokens)
        return err_set(e, ST_INPUT,
                       "%s: promises %" PRId64 " training and %" PRId64 " validation tokens, the shards hold %" PRId64
                       " and %" PRId64 "; a shard is missing or foreign: copy the directory again, or make it again",
                       meta_path, meta.train_tokens, meta.val_tokens, d->info.train_tokens, d->info.val_tokens);
    d->info = meta;
    snprintf(d->info.format, sizeof d->info.format, "muscale");
    return ST_OK;
}

status data_open(data_set **out, const char *path, const char *dtype, err *e)
{
    struct stat st;
    char meta[IO_PATH_MAX];
    if (stat(path, &st))
        return err_set(e, ST_INPUT,
                       "%s: no such file or directory; `muscale data pack -o DIR FILE...` makes token data", path);
    data_set *d = calloc(1, sizeof *d);
    if (!d) return err_set(e, ST_NOMEM, "%s: no memory", path);
    bool is_dir = S_ISDIR(st.st_mode);
    status s = io_join(meta, path, DATA_META_NAME, e);
    if (!s)
        s = is_dir ? open_directory(d, path, dtype ? dtype : "", e)
                   : stream_open(&d->train_files, &path, 1, dtype ? dtype : "", e);
    if (!s) s = describe(d, is_dir && io_exists(meta) ? meta : NULL, e);
    if (s) {
        data_close(d);
        return s;
    }
    advise(&d->train_files);
    advise(&d->val_files);
    *out = d;
    return ST_OK;
}

static status scan_stream(const stream *s, int64_t vocab, uint32_t *most, err *e)
{
    /* Beyond int32 no id can be handed out, whatever the vocabulary. */
    const uint32_t limit = vocab > 0 && vocab < INT32_MAX ? (uint32_t)vocab : INT32_MAX;
    for (size_t i = 0; i < s->n_files; i++) {
        const data_file *f = &s->file[i];
        uint32_t m = data_file_max(f, 0, f->n), id = 0;
        if (m >= limit) {
            int64_t where = data_file_find(f, 0, f->n, limit, &id);
            return err_set(e, ST_INPUT,
                           "%s: token %" PRId64 " has id %" PRIu32 ", but vocab is %" PRIu32
                           "; set vocab above the largest id, or check the dtype",
                           f->path, where, id, limit);
        }
        if (m > *most) *most = m;
    }
    return ST_OK;
}

status data_scan(data_set *d, int64_t vocab, err *e)
{
    uint32_t most = 0;
    status s = scan_stream(&d->train_files, vocab, &most, e);
    if (!s) s = scan_stream(&d->val_files, vocab, &most, e);
    if (!s) d->info.max_id = (int32_t)most;
    return s;
}

/* --- windows
 * ---------------------------------------------------------------------------------------------------------- */

/* A window of seq_len inputs needs one token more, its last target; neighbours share that token. */
static int64_t windows_in(int64_t tokens, int64_t seq_len) { return tokens > seq_len ? (tokens - 1) / seq_len : 0; }

int64_t data_windows(const data_set *d, int64_t seq_len, int64_t unique_tokens)
{
    int64_t pool = unique_tokens > 0 && unique_tokens < d->train.n ? unique_tokens : d->train.n;
    return windows_in(pool, seq_len);
}

void data_train_windows(const data_set *d, int32_t *out, int64_t first_window, int64_t n, int64_t seq_len,
                        int64_t unique_tokens, uint64_t data_seed)
{
    const int64_t windows = data_windows(d, seq_len, unique_tokens);
    for (int64_t i = 0; i < n; i++, out += seq_len + 1) {
        int64_t w = first_window + i;
        uint64_t at = rng_permute((uint64_t)(w % windows), (uint64_t)windows, data_seed, RNG_EPOCH_ORDER,
                                  (uint32_t)(w / windows));
        part_read(&d->train, out, (int64_t)at * seq_len, seq_len + 1);
    }
}

int64_t data_val_windows(const data_set *d, int32_t *out, int64_t n, int64_t seq_len)
{
    const int64_t have = windows_in(d->val.n, seq_len);
    if (n > have) n = have;
    for (int64_t i = 0; out && i < n; i++, out += seq_len + 1) {
        int64_t at = (int64_t)((__int128)i * have / n);
        part_read(&d->val, out, at * seq_len, seq_len + 1);
    }
    return n;
}
