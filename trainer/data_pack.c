/* Packing: bytes, or token ids written as numbers, into shards. Constant memory: ids are spooled to a temporary file first, because
 * where the validation tail begins is known only at the end. */
#include <ctype.h>
#include <errno.h>
#include <fcntl.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "trainer/data_meta.h"

enum { READ_BYTES = 1 << 16 };

typedef struct spool {
    FILE *f;            /* tmpfile(): never stored, gone with the process */
    int64_t n, max_id, bytes, vocab;
} spool;

static status spool_put(spool *sp, int64_t id, const char *name, int64_t line, err *e)
{
    if (id > INT32_MAX || (sp->vocab && id >= sp->vocab))
        return err_set(e, ST_INPUT, "%s:%lld: id %lld is not below the vocabulary %lld", name, (long long)line, (long long)id,
                       sp->vocab ? (long long)sp->vocab : (long long)INT32_MAX);
    uint32_t x = (uint32_t)id;
    if (fwrite(&x, 4, 1, sp->f) != 1) return err_set(e, ST_IO, "temporary file: cannot write: %s", strerror(errno));
    sp->n++;
    if (id > sp->max_id) sp->max_id = id;
    return ST_OK;
}

/* A run of digits may be cut by the buffer's end, so the number under way lives here. */
typedef struct id_reader { int64_t value, line; int digits; } id_reader;

static status take_char(spool *sp, id_reader *r, int ch, const char *name, err *e)
{
    if (isdigit(ch)) {
        if (++r->digits > 10) return err_set(e, ST_INPUT, "%s:%lld: a number of more than 10 digits is no token id", name, (long long)r->line);
        r->value = 10 * r->value + (ch - '0');
        return ST_OK;
    }
    if (!isspace(ch))
        return err_set(e, ST_INPUT, "%s:%lld: '%c' in token ids; ids are whole numbers from 0 separated by blanks (text needs --tokenizer byte)", name,
                       (long long)r->line, isprint(ch) ? ch : '?');
    status s = r->digits ? spool_put(sp, r->value, name, r->line, e) : ST_OK;
    r->digits = 0;
    r->value = 0;
    if (ch == '\n') r->line++;
    return s;
}

static status read_stream(spool *sp, int fd, const char *name, bool ids, err *e)
{
    unsigned char buf[READ_BYTES];
    id_reader r = {.line = 1};
    status s = ST_OK;
    for (;;) {
        ssize_t got = read(fd, buf, sizeof buf);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) return err_set(e, ST_INPUT, "%s: cannot read: %s", name, strerror(errno));
        if (got == 0) break;
        sp->bytes += got;
        for (ssize_t i = 0; !s && i < got; i++) s = ids ? take_char(sp, &r, buf[i], name, e) : spool_put(sp, buf[i], name, 0, e);
        if (s) return s;
    }
    return ids ? take_char(sp, &r, '\n', name, e) : ST_OK;
}

static status read_inputs(spool *sp, const data_pack_opts *o, bool ids, err *e)
{
    for (size_t i = 0; i < o->n_files; i++) {
        bool standard = !strcmp(o->files[i], "-");
        int fd = standard ? STDIN_FILENO : open(o->files[i], O_RDONLY | O_CLOEXEC);
        if (fd < 0) return err_set(e, ST_INPUT, "%s: cannot open: %s", o->files[i], strerror(errno));
        status s = read_stream(sp, fd, standard ? "standard input" : o->files[i], ids, e);
        if (!standard) close(fd);
        if (s) return s;
    }
    if (!sp->n) return err_set(e, ST_INPUT, "%s: nothing to pack: the input is empty", o->n_files ? o->files[0] : "-");
    return ST_OK;
}

static status write_out(spool *sp, data_builder *b, int64_t n_val, err *e)
{
    uint32_t ids[READ_BYTES / 4];
    int64_t at = 0;
    status s = ST_OK;
    rewind(sp->f);
    for (size_t got; !s && (got = fread(ids, 4, sizeof ids / 4, sp->f)) > 0;)
        for (size_t k = 0; !s && k < got; k++, at++) s = data_builder_put(b, at < sp->n - n_val ? "train" : "val", ids[k], e);
    if (!s && at != sp->n) s = err_set(e, ST_IO, "temporary file: %lld of %lld ids could be read back", (long long)at, (long long)sp->n);
    return s;
}

status data_pack(const data_pack_opts *o, data_info *out, err *e)
{
    bool ids = !strcmp(o->tokenizer, "ids");
    if (!ids && strcmp(o->tokenizer, "byte")) return err_set(e, ST_USAGE, "--tokenizer '%s' is not known; use byte or ids", o->tokenizer);
    if (!(o->val_fraction >= 0 && o->val_fraction < 1)) return err_set(e, ST_USAGE, "--val-fraction must be from 0 to below 1");
    if (!ids && o->vocab) return err_set(e, ST_USAGE, "--vocab belongs to --tokenizer ids; bytes have 256");
    if (!o->n_files) return err_set(e, ST_USAGE, "data pack: no input; name files, or - for standard input");
    spool sp = {.max_id = -1, .vocab = o->vocab};
    data_builder b = {0};
    status s = data_builder_begin(&b, o->out_dir, 2, e);
    if (s) return s;
    if (!(sp.f = tmpfile())) s = err_set(e, ST_IO, "cannot make a temporary file: %s", strerror(errno));
    if (!s) s = read_inputs(&sp, o, ids, e);
    if (!s) {
        strcpy(b.info.tokenizer, o->tokenizer);
        b.info.vocab = ids ? (o->vocab ? o->vocab : sp.max_id + 1) : 256;
        b.info.bytes_per_token = ids ? 0 : 1; /* the bytes behind ids are not known here */
        b.width = b.info.vocab > 65536 ? 4 : 2;
        s = write_out(&sp, &b, (int64_t)floor((double)sp.n * o->val_fraction), e);
    }
    if (!s) s = data_builder_finish(&b, e);
    if (!s) *out = b.info;
    data_builder_abandon(&b);
    if (sp.f) fclose(sp.f);
    return s;
}
