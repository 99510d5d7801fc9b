/* A data set: training and validation parts as sequences of memory-mapped files. */
#include "trainer/data.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "base/rng.h"
#include "trainer/data_file.h"
#include "trainer/data_meta.h"

/* When there is no validation file the last 1/20 of the training tokens serves. */
enum { TAIL_PARTS = 20 };

typedef struct part { data_file *files; size_t n_files; int64_t n; } part;

struct data_set {
    char path[IO_PATH_MAX];
    data_info info;
    part train, val;
    bool tail;          /* validation is the tail of train, from train.n on */
    int64_t tail_n;
};

const data_info *data_about(const data_set *d) { return &d->info; }

static void part_close(part *p)
{
    for (size_t i = 0; i < p->n_files; i++) data_file_close(&p->files[i]);
    free(p->files);
}

void data_close(data_set *d)
{
    if (!d) return;
    part_close(&d->train);
    part_close(&d->val);
    free(d);
}

static status part_add(part *p, const char *path, const char *dtype, err *e)
{
    data_file *more = realloc(p->files, (p->n_files + 1) * sizeof *more);
    if (!more) return err_set(e, ST_NOMEM, "%s: no memory", path);
    p->files = more;
    status s = data_file_open(&p->files[p->n_files], path, dtype, e);
    if (s) return s;
    p->n += p->files[p->n_files++].n;
    return ST_OK;
}

/* Copies n tokens from position `at` of the concatenated files. */
static void part_copy(const part *p, int32_t *out, int64_t at, int64_t n)
{
    for (size_t i = 0; i < p->n_files && n > 0; i++) {
        const data_file *f = &p->files[i];
        if (at >= f->n) {
            at -= f->n;
            continue;
        }
        int64_t here = f->n - at < n ? f->n - at : n;
        for (int64_t k = 0; k < here; k++) out[k] = (int32_t)data_file_get(f, at + k);
        out += here;
        n -= here;
        at = 0;
    }
}

static int by_name(const void *a, const void *b) { return strcmp(*(char *const *)a, *(char *const *)b); }

/* A directory of others' shards: names with "train" and with "val", ending in .bin, in alphabetical order. */
static status open_foreign_dir(data_set *d, const char *dtype, err *e)
{
    DIR *dir = opendir(d->path);
    if (!dir) return err_set(e, ST_INPUT, "%s: cannot read directory: %s", d->path, strerror(errno));
    char **names = NULL;
    size_t n = 0;
    status s = ST_OK;
    for (struct dirent *ent; !s && (ent = readdir(dir));) {
        size_t len = strlen(ent->d_name);
        if (len < 4 || strcmp(ent->d_name + len - 4, ".bin")) continue;
        char **more = realloc(names, (n + 1) * sizeof *more);
        if (more) names = more;
        if (!more || !(names[n] = strdup(ent->d_name))) s = err_set(e, ST_NOMEM, "%s: no memory", d->path);
        else n++;
    }
    closedir(dir);
    if (n) qsort(names, n, sizeof *names, by_name);
    for (size_t i = 0; i < n; i++) {
        char path[IO_PATH_MAX];
        part *p = strstr(names[i], "val") ? &d->val : strstr(names[i], "train") ? &d->train : NULL;
        if (!s && p) s = io_join(path, d->path, names[i], e);
        if (!s && p) s = part_add(p, path, dtype, e);
        free(names[i]);
    }
    free(names);
    if (!s && !d->train.n_files)
        s = err_set(e, ST_INPUT, "%s: holds neither meta.json nor *train*.bin; make a data set with `muscale data pack -o DIR FILE`", d->path);
    return s;
}

static status open_own_dir(data_set *d, const data_meta_file *files, size_t n, err *e)
{
    const char **parts = calloc(n, sizeof *parts);
    char(*hashes)[IO_SHA256_HEX] = calloc(n, sizeof *hashes);
    status s = parts && hashes ? ST_OK : err_set(e, ST_NOMEM, "%s: no memory", d->path);
    for (size_t i = 0; !s && i < n; i++) {
        char path[IO_PATH_MAX];
        part *p = files[i].name[0] == 't' ? &d->train : &d->val;
        if ((s = io_join(path, d->path, files[i].name, e))) break;
        if ((s = part_add(p, path, "", e))) break;
        const data_file *f = &p->files[p->n_files - 1];
        if ((int64_t)f->bytes != files[i].bytes || f->n != files[i].tokens)
            s = err_set(e, ST_INPUT, "%s: %zu bytes, but meta.json says %lld: the data set was changed; pack it again", path, f->bytes,
                        (long long)files[i].bytes);
        parts[i] = p == &d->train ? "train" : "val";
        memcpy(hashes[i], files[i].sha256, IO_SHA256_HEX);
    }
    if (!s) data_meta_identity(d->info.sha256, parts, hashes, n);
    free(parts);
    free(hashes);
    return s;
}

/* Foreign files: the same identity as ours, from the files' own bytes. */
static status hash_foreign(data_set *d, err *e)
{
    size_t n = d->train.n_files + d->val.n_files;
    const char **parts = calloc(n, sizeof *parts);
    char(*hashes)[IO_SHA256_HEX] = calloc(n, sizeof *hashes);
    status s = parts && hashes ? ST_OK : err_set(e, ST_NOMEM, "%s: no memory", d->path);
    for (size_t i = 0; !s && i < n; i++) {
        bool train = i < d->train.n_files;
        const data_file *f = train ? &d->train.files[i] : &d->val.files[i - d->train.n_files];
        parts[i] = train ? "train" : "val";
        io_sha256(hashes[i], f->map, f->bytes);
    }
    if (!s) data_meta_identity(d->info.sha256, parts, hashes, n);
    free(parts);
    free(hashes);
    return s;
}

static status open_parts(data_set *d, const char *dtype, err *e)
{
    struct stat st;
    if (stat(d->path, &st)) return err_set(e, ST_INPUT, "%s: no such data file or directory", d->path);
    d->info.max_id = -1;
    if (S_ISDIR(st.st_mode)) {
        bool found;
        data_meta_file *files = NULL;
        size_t n = 0;
        status s = data_meta_read(&found, &d->info, &files, &n, d->path, e);
        if (s) return s;
        if (found) {
            s = open_own_dir(d, files, n, e);
            free(files);
            return s;
        }
        if ((s = open_foreign_dir(d, dtype, e))) return s;
    } else {
        status s = part_add(&d->train, d->path, dtype, e);
        if (s) return s;
    }
    strcpy(d->info.format, d->train.files[0].format);
    return hash_foreign(d, e);
}

status data_open(data_set **out, const char *path, const char *dtype, err *e)
{
    *out = NULL;
    data_set *d = calloc(1, sizeof *d);
    if (!d) return err_set(e, ST_NOMEM, "%s: no memory", path);
    if (strlen(path) >= sizeof d->path) {
        free(d);
        return err_set(e, ST_INPUT, "%s: path too long", path);
    }
    strcpy(d->path, path);
    status s = open_parts(d, dtype, e);
    if (!s && !d->val.n) {
        d->tail = true;
        d->tail_n = d->train.n / TAIL_PARTS;
        d->train.n -= d->tail_n;
    }
    if (s) {
        data_close(d);
        return s;
    }
    d->info.train_tokens = d->train.n;
    d->info.val_tokens = d->tail ? d->tail_n : d->val.n;
    *out = d;
    return ST_OK;
}

static status scan_part(const part *p, int64_t vocab, int64_t *max, err *e)
{
    for (size_t k = 0; k < p->n_files; k++)
        for (int64_t i = 0; i < p->files[k].n; i++) {
            int64_t id = data_file_get(&p->files[k], i);
            if (id > *max) *max = id;
            if (vocab && id >= vocab)
                return err_set(e, ST_INPUT, "%s: token %lld is id %lld, but vocab is %lld (ids go from 0 to vocab - 1); set vocab to at least %lld",
                               p->files[k].path, (long long)i, (long long)id, (long long)vocab, (long long)id + 1);
        }
    return ST_OK;
}

status data_scan(data_set *d, int64_t vocab, err *e)
{
    /* Our own directories carry the largest id. */
    if (d->info.max_id >= 0 && (!vocab || d->info.max_id < vocab)) return ST_OK;
    int64_t max = -1;
    status s = scan_part(&d->train, vocab, &max, e);
    if (!s) s = scan_part(&d->val, vocab, &max, e);
    if (!s && max > INT32_MAX) s = err_set(e, ST_INPUT, "%s: an id of %lld does not fit 31 bits; is the dtype right?", d->path, (long long)max);
    if (!s) d->info.max_id = (int32_t)max;
    return s;
}

int64_t data_windows(const data_set *d, int64_t seq_len, int64_t unique_tokens)
{
    int64_t n = unique_tokens > 0 && unique_tokens < d->train.n ? unique_tokens : d->train.n;
    return n > seq_len ? (n - 1) / seq_len : 0;
}

void data_train_windows(const data_set *d, int32_t *out, int64_t first_window, int64_t n, int64_t seq_len, int64_t unique_tokens,
                        uint64_t data_seed)
{
    int64_t windows = data_windows(d, seq_len, unique_tokens);
    for (int64_t i = 0; i < n; i++) {
        int64_t w = first_window + i, epoch = w / windows;
        int64_t place = (int64_t)rng_permute((uint64_t)(w % windows), (uint64_t)windows, data_seed, RNG_EPOCH_ORDER, (uint32_t)epoch);
        part_copy(&d->train, out + i * (seq_len + 1), place * seq_len, seq_len + 1);
    }
}

int64_t data_val_windows(const data_set *d, int32_t *out, int64_t n, int64_t seq_len)
{
    const part *p = d->tail ? &d->train : &d->val;
    int64_t start = d->tail ? d->train.n : 0, tokens = d->tail ? d->tail_n : d->val.n;
    int64_t have = tokens > seq_len ? (tokens - 1) / seq_len : 0;
    if (n > have) n = have;
    for (int64_t i = 0; out && i < n; i++) part_copy(p, out + i * (seq_len + 1), start + i * have / n * seq_len, seq_len + 1);
    return n;
}
