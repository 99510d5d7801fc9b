/* The bytes of one checkpoint file. Which files a directory holds is in checkpoint.c. */
#include "trainer/checkpoint_file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>
#include <xxhash.h>

#if __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__
#error "checkpoints are written as they lie in memory: little-endian only"
#endif

/* The front of the file; the payload is float32. All fields naturally aligned, no padding (asserted). head_xxh64 covers
 * the head with that field zero, the table and the canonical text; payloads have their own sums in the table. */
typedef struct head {
    char magic[8];
    uint32_t version, n_tensors;  /* n_tensors: rows of the table, 3 per model tensor */
    uint64_t canonical_bytes, payload_bytes;
    int64_t step;
    double loss_ema, loss_ema_min, best_val;
    char config_id[16];
    uint64_t head_xxh64;
} head;

typedef struct row {
    char name[48];   /* of the model tensor */
    char part[8];    /* "weight", "m", "v" */
    int64_t rows, cols;
    uint64_t offset; /* from the file's start */
    uint64_t bytes, xxh64;
} row;
_Static_assert(sizeof(head) == 88 && sizeof(row) == 96, "written as they lie in memory");

static const char magic[8] = "MUSCKPT\n";
enum { VERSION = 1, PARTS = 3, MAX_TABLE = 1 << 20 };
static const char *const parts[PARTS] = {"weight", "m", "v"};
static const uint64_t max_canonical = 1 << 20;

/* --- layout: what the config says the file must look like --- */

typedef struct layout {
    head head;
    size_t stride;           /* floats of one replica in memory */
    size_t n;                /* model tensors */
    shape_tensor *tensors;
    row *table;              /* PARTS * n */
    char *canonical;
} layout;

static void layout_free(layout *l)
{
    free(l->tensors);
    free(l->table);
    free(l->canonical);
}

static uint64_t payload_start(const head *h)
{
    return sizeof *h + h->n_tensors * sizeof(row) + h->canonical_bytes;
}

static status layout_make(layout *l, const trainer_config *c, err *e)
{
    char id[17];
    memset(l, 0, sizeof *l);
    l->stride = shape_param_stride(&c->shape);
    l->n = shape_tensors(&c->shape, NULL, 0);
    l->tensors = calloc(l->n, sizeof *l->tensors);
    l->table = calloc(PARTS * l->n, sizeof *l->table);
    l->canonical = config_canonical(c);
    if (!l->tensors || !l->table || !l->canonical) {
        layout_free(l);
        return err_set(e, ST_NOMEM, "no memory for a table of %zu tensors", l->n);
    }
    shape_tensors(&c->shape, l->tensors, l->n);
    config_id(id, c);
    memcpy(l->head.magic, magic, sizeof magic);
    memcpy(l->head.config_id, id, sizeof l->head.config_id);
    l->head.version = VERSION;
    l->head.n_tensors = (uint32_t)(PARTS * l->n);
    l->head.canonical_bytes = strlen(l->canonical);
    uint64_t at = payload_start(&l->head);
    for (size_t i = 0; i < PARTS * l->n; i++) {
        const shape_tensor *t = &l->tensors[i % l->n];
        row *r = &l->table[i];
        memcpy(r->name, t->name, strnlen(t->name, sizeof r->name - 1));
        memcpy(r->part, parts[i / l->n], strlen(parts[i / l->n]));
        r->rows = t->rows;
        r->cols = t->cols;
        r->offset = at;
        r->bytes = t->n * sizeof(float);
        at += r->bytes;
    }
    l->head.payload_bytes = at - payload_start(&l->head);
    return ST_OK;
}


static uint64_t head_sum(const head *h, const row *table, const char *canonical)
{
    head zeroed = *h;
    zeroed.head_xxh64 = 0;
    XXH64_hash_t x = XXH64(&zeroed, sizeof zeroed, 0);
    x = XXH64(table, h->n_tensors * sizeof *table, x);
    return XXH64(canonical, h->canonical_bytes, x);
}

/* --- writing --- */

/* Where the tensors come from: a replica of a bank, or a file whose front has been read. */
typedef struct source {
    bank *b;
    size_t r;
    int fd;
    const row *table;
    const char *path;
} source;

static status read_tensor(int fd, float *x, const row *t, const char *path, err *e);

/* One part at a time, so that a checkpoint needs one more copy of the weights, not three. */
static status read_part(const source *from, const layout *l, int part, float *x, err *e)
{
    status s = ST_OK;
    if (from->b)
        return bank_read(from->b, from->r, part == 0 ? x : NULL, part == 1 ? x : NULL, part == 2 ? x : NULL, e);
    for (size_t i = 0; i < l->n && !s; i++)
        s = read_tensor(from->fd, x + l->tensors[i].offset, &from->table[(size_t)part * l->n + i], from->path, e);
    return s;
}

static status write_part(bank *b, size_t r, int part, const float *x, err *e)
{
    return bank_write(b, r, part == 0 ? x : NULL, part == 1 ? x : NULL, part == 2 ? x : NULL, e);
}

static status write_payload(int fd, layout *l, const source *from, float *x, const char *path, err *e)
{
    status s = ST_OK;
    for (size_t i = 0; !s && i < PARTS * l->n; i++) {
        const shape_tensor *t = &l->tensors[i % l->n];
        if (i % l->n == 0) s = read_part(from, l, (int)(i / l->n), x, e);
        if (s) return s;
        l->table[i].xxh64 = XXH64(x + t->offset, l->table[i].bytes, 0);
        s = io_write_all(fd, x + t->offset, l->table[i].bytes, path, e);
    }
    return s;
}

/* The front is written last (its sums are known then); nobody sees the file before it is whole. */
static status write_front(int fd, layout *l, const char *path, err *e)
{
    status s;
    l->head.head_xxh64 = head_sum(&l->head, l->table, l->canonical);
    if (lseek(fd, 0, SEEK_SET) < 0) return err_set(e, ST_IO, "%s: cannot seek: %s", path, strerror(errno));
    if ((s = io_write_all(fd, &l->head, sizeof l->head, path, e))) return s;
    if ((s = io_write_all(fd, l->table, PARTS * l->n * sizeof *l->table, path, e))) return s;
    return io_write_all(fd, l->canonical, l->head.canonical_bytes, path, e);
}

static status write_temp(const char *path, layout *l, const source *from, err *e)
{
    char temp[IO_PATH_MAX];
    status s = io_temp_name(temp, path, e);
    if (s) return s;
    float *x = malloc(l->stride * sizeof *x);
    if (!x) return err_set(e, ST_NOMEM, "%s: no memory for %zu floats", path, l->stride);
    int fd = open(temp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (fd < 0) {
        s = err_set(e, ST_IO, "%s: cannot create: %s", path, strerror(errno));
        free(x);
        return s;
    }
    if (lseek(fd, (off_t)payload_start(&l->head), SEEK_SET) < 0)
        s = err_set(e, ST_IO, "%s: cannot seek: %s", path, strerror(errno));
    if (!s) s = write_payload(fd, l, from, x, path, e);
    if (!s) s = write_front(fd, l, path, e);
    if (close(fd) && !s) s = err_set(e, ST_IO, "%s: close: %s", path, strerror(errno));
    free(x);
    if (s) {
        unlink(temp);
        return s;
    }
    return io_publish_temp(temp, path, e);
}

status ckpt_file_write(const char *path, bank *b, size_t r, const trainer_config *c, const ckpt_state *st, err *e)
{
    layout l;
    status s = layout_make(&l, c, e);
    if (s) return s;
    l.head.step = st->step;
    l.head.loss_ema = st->loss_ema;
    l.head.loss_ema_min = st->loss_ema_min;
    l.head.best_val = st->best_val;
    s = write_temp(path, &l, &(source){.b = b, .r = r}, e);
    layout_free(&l);
    return s;
}

/* --- reading --- */

static status read_at(int fd, void *to, size_t n, uint64_t at, const char *path, err *e)
{
    char *p = to;
    while (n) {
        ssize_t got = pread(fd, p, n, (off_t)at);
        if (got < 0 && errno == EINTR) continue;
        /* A bad sector in the newest file is one more reason to look at the older one. */
        if (got < 0) return err_set(e, ST_CORRUPT, "%s: cannot read: %s", path, strerror(errno));
        if (got == 0) return err_set(e, ST_CORRUPT, "%s: cut off at byte %" PRIu64, path, at);
        p += got;
        at += (uint64_t)got;
        n -= (size_t)got;
    }
    return ST_OK;
}

static status other_config(const char *path, const char *old, const char *now, err *e)
{
    char *diff = config_diff(old, now);
    for (char *p = diff; p && *p; p++) /* one line to print */
        if (*p == '\n') *p = p[1] ? ',' : 0;
    status s = err_set(e, ST_INPUT,
                       "%s: the config has changed since this checkpoint (%s); resume with the old values, "
                       "or start the new config in a directory of its own",
                       path, diff ? diff : "no memory for the list");
    free(diff);
    return s;
}

/* Front of the file against its own sum (ST_CORRUPT), then against this config (ST_INPUT). *h and table (room for
 * PARTS * l->n rows) get what the file says. */
static status read_front(int fd, head *h, row *table, const layout *l, const char *path, err *e)
{
    char *canonical = NULL;
    row *rows = NULL;
    struct stat st;
    status s = read_at(fd, h, sizeof *h, 0, path, e);
    if (s) return s;
    if (memcmp(h->magic, magic, sizeof magic)) return err_set(e, ST_CORRUPT, "%s: not a checkpoint", path);
    if (h->version != VERSION)
        return err_set(e, ST_INPUT,
                       "%s: written in format version %u, this program reads %d; resume with the muscale that wrote it",
                       path, h->version, VERSION);
    /* Sizes before allocation: a damaged head must not ask for the machine's memory. */
    if (h->n_tensors > MAX_TABLE || h->canonical_bytes > max_canonical || fstat(fd, &st) ||
        payload_start(h) + h->payload_bytes != (uint64_t)st.st_size)
        return err_set(e, ST_CORRUPT, "%s: its size is not what its head says", path);
    rows = calloc(h->n_tensors + 1, sizeof *rows);
    canonical = calloc(h->canonical_bytes + 1, 1);
    if (!rows || !canonical) s = err_set(e, ST_NOMEM, "%s: no memory", path);
    if (!s) s = read_at(fd, rows, h->n_tensors * sizeof *rows, sizeof *h, path, e);
    if (!s) s = read_at(fd, canonical, h->canonical_bytes, sizeof *h + h->n_tensors * sizeof *rows, path, e);
    if (!s && head_sum(h, rows, canonical) != h->head_xxh64)
        s = err_set(e, ST_CORRUPT, "%s: its head is damaged", path);
    if (!s && strcmp(canonical, l->canonical)) s = other_config(path, canonical, l->canonical, e);
    if (!s && (h->n_tensors != PARTS * l->n || h->payload_bytes != l->head.payload_bytes))
        s = err_set(e, ST_CORRUPT, "%s: its tensors are not those of its config", path);
    for (size_t i = 0; !s && i < PARTS * l->n; i++) {
        const row *a = &rows[i], *w = &l->table[i];
        if (memcmp(a->name, w->name, sizeof a->name) || a->bytes != w->bytes || a->offset != w->offset)
            s = err_set(e, ST_CORRUPT, "%s: tensor %zu is %.48s, not %s", path, i, a->name, w->name);
        else table[i] = *a;
    }
    free(rows);
    free(canonical);
    return s;
}

static status read_tensor(int fd, float *x, const row *t, const char *path, err *e)
{
    status s = read_at(fd, x, t->bytes, t->offset, path, e);
    if (!s && XXH64(x, t->bytes, 0) != t->xxh64)
        s = err_set(e, ST_CORRUPT, "%s: tensor %s (%s) is damaged", path, t->name, t->part);
    return s;
}

/* Checks every tensor; with a bank also writes them into replica r. */
static status read_payload(int fd, const row *table, const layout *l, bank *b, size_t r, const char *path, err *e)
{
    float *x = calloc(l->stride, sizeof *x); /* the padding stays zero */
    status s = x ? ST_OK : err_set(e, ST_NOMEM, "%s: no memory for %zu floats", path, l->stride);
    for (size_t i = 0; !s && i < PARTS * l->n; i++) {
        s = read_tensor(fd, x + l->tensors[i % l->n].offset, &table[i], path, e);
        if (!s && b && i % l->n == l->n - 1) s = write_part(b, r, (int)(i / l->n), x, e);
    }
    free(x);
    return s;
}

status ckpt_file_read(ckpt_state *st, bank *b, size_t r, const char *path, const trainer_config *c, err *e)
{
    layout l;
    head h;
    row *table = NULL;
    status s = layout_make(&l, c, e);
    if (s) return s;
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) {
        s = err_set(e, errno == ENOENT ? ST_CORRUPT : ST_IO, "%s: cannot open: %s", path, strerror(errno));
        goto done;
    }
    table = calloc(PARTS * l.n, sizeof *table);
    if (!table) s = err_set(e, ST_NOMEM, "%s: no memory", path);
    if (!s) s = read_front(fd, &h, table, &l, path, e);
    if (!s) s = read_payload(fd, table, &l, b, r, path, e);
    if (!s)
        *st = (ckpt_state){.step = h.step, .loss_ema = h.loss_ema, .loss_ema_min = h.loss_ema_min,
                           .best_val = h.best_val};
done:
    if (fd >= 0) close(fd);
    free(table);
    layout_free(&l);
    return s;
}

/* The numbers and tensors of one file under the front of another config. */
static status copy_as(const char *path, layout *to, int fd, const head *h, const row *table, const char *from, err *e)
{
    to->head.step = h->step;
    to->head.loss_ema = h->loss_ema;
    to->head.loss_ema_min = h->loss_ema_min;
    to->head.best_val = h->best_val;
    return write_temp(path, to, &(source){.fd = fd, .table = table, .path = from}, e);
}

status ckpt_file_copy(const char *path, const trainer_config *c, const char *from, const trainer_config *of,
                      int64_t step, err *e)
{
    layout l = {0}, to = {0};
    head h;
    row *table = NULL;
    status s = layout_make(&l, of, e);
    if (s) return s;
    if ((s = layout_make(&to, c, e))) {
        layout_free(&l);
        return s;
    }
    int fd = open(from, O_RDONLY | O_CLOEXEC);
    if (fd < 0) s = err_set(e, errno == ENOENT ? ST_CORRUPT : ST_IO, "%s: cannot open: %s", from, strerror(errno));
    else if (!(table = calloc(PARTS * l.n, sizeof *table))) s = err_set(e, ST_NOMEM, "%s: no memory", from);
    if (!s) s = read_front(fd, &h, table, &l, from, e);
    if (!s && (h.step != step || to.n != l.n || to.stride != l.stride))
        s = err_set(e, ST_CORRUPT, "%s: holds step %" PRId64 " of another model or place", from, h.step);
    if (!s) s = copy_as(path, &to, fd, &h, table, from, e);
    if (fd >= 0) close(fd);
    free(table);
    layout_free(&l);
    layout_free(&to);
    return s;
}
