/* Text or ids in, a data directory out. One pass, constant memory. */
#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "trainer/data_write.h"

enum { BLOCK = 1 << 16, WORD_MAX = 24 };

typedef struct reader {
    const char *name;        /* for messages */
    int64_t line, column;    /* of the next byte, from 1 */
    char word[WORD_MAX + 1]; /* the id being read; longer than any int32, so a cut one is still refused */
    size_t word_n;
    int64_t word_column;
    int64_t vocab;
    uint32_t ids[BLOCK];
    size_t n;
} reader;

static status bad_id(const reader *r, const char *what, err *e)
{
    return err_set(e, ST_INPUT, "%s:%" PRId64 ":%" PRId64 ": '%s' %s", r->name, r->line, r->word_column, r->word, what);
}

static status take_word(reader *r, err *e)
{
    if (!r->word_n) return ST_OK;
    r->word[r->word_n] = 0;
    const char *digits = r->word + (*r->word == '-');
    size_t n = strspn(digits, "0123456789");
    if (!n || digits[n])
        return bad_id(r,
                      "is no token id; numbers 0, 1, 2, ... with white space between are expected (spm_encode "
                      "--output_format=id)",
                      e);
    if (*r->word == '-') return bad_id(r, "is a negative token id; ids start at 0", e);
    int64_t id = 0, limit = r->vocab ? r->vocab : INT32_MAX;
    for (size_t i = 0; i < n && id < limit; i++) id = 10 * id + (digits[i] - '0');
    if (id >= limit) {
        char what[96];
        snprintf(what, sizeof what, "is not below vocab %" PRId64 "; give the tokenizer's vocabulary with --vocab",
                 limit);
        return bad_id(r, what, e);
    }
    r->ids[r->n++] = (uint32_t)id;
    r->word_n = 0;
    return ST_OK;
}

static status take_ids(reader *r, const unsigned char *p, size_t n, err *e)
{
    status s = ST_OK;
    for (size_t i = 0; i < n && !s; i++, r->column++) {
        bool blank = p[i] == ' ' || (p[i] >= '\t' && p[i] <= '\r');
        if (blank) s = take_word(r, e);
        else {
            if (!r->word_n) r->word_column = r->column;
            if (r->word_n < WORD_MAX) r->word[r->word_n++] = p[i] ? (char)p[i] : '?';
        }
        if (p[i] == '\n') r->line++, r->column = 0;
    }
    return s;
}

static status pack_fd(data_writer *w, reader *r, int fd, bool bytes, const volatile sig_atomic_t *stop, err *e)
{
    unsigned char block[BLOCK];
    for (;;) {
        status s = data_stopped(stop, r->name, e);
        if (s) return s;
        ssize_t got = read(fd, block, sizeof block);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0)
            return err_set(e, errno == EISDIR ? ST_INPUT : ST_IO, "%s: cannot read: %s", r->name, strerror(errno));
        r->n = 0;
        if (bytes)
            for (ssize_t i = 0; i < got; i++) r->ids[r->n++] = block[i];
        else s = got ? take_ids(r, block, (size_t)got, e) : take_word(r, e);
        if (!s) s = data_writer_put(w, r->ids, r->n, e);
        if (s || !got) return s;
    }
}

static status pack_file(data_writer *w, reader *r, const char *path, bool bytes, const volatile sig_atomic_t *stop,
                        err *e)
{
    bool std = !strcmp(path, "-");
    r->name = std ? "standard input" : path;
    r->line = r->column = 1;
    r->word_n = 0;
    int fd = std ? STDIN_FILENO : open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return err_set(e, ST_INPUT, "%s: cannot open: %s", path, strerror(errno));
    status s = pack_fd(w, r, fd, bytes, stop, e);
    if (!std) close(fd);
    return s;
}

static json_t *describe_source(const data_pack_opts *o)
{
    json_t *files = json_array();
    for (size_t i = 0; i < o->n_files; i++) {
        json_t *name = json_string(o->files[i]); /* NULL when the name is not UTF-8 */
        json_array_append_new(files, name ? name : json_string("(name is not UTF-8)"));
    }
    return json_pack("{s:s, s:o, s:f}", "made_by", "data pack", "files", files, "val_fraction", o->val_fraction);
}

static status check(const data_pack_opts *o, bool *bytes, err *e)
{
    *bytes = !strcmp(o->tokenizer, "byte");
    if (!*bytes && strcmp(o->tokenizer, "ids"))
        return err_set(e, ST_USAGE,
                       "tokenizer '%s' is none of byte, ids; other tokenizers hand their ids over: --tokenizer ids -",
                       o->tokenizer);
    if (*bytes && o->vocab) return err_set(e, ST_USAGE, "vocab: bytes always have 256; leave it out");
    if (o->vocab < 0 || o->vocab > INT32_MAX)
        return err_set(e, ST_USAGE, "vocab: %" PRId64 " is not in 1..2147483647", o->vocab);
    if (!(o->val_fraction >= 0 && o->val_fraction < 1))
        return err_set(e, ST_USAGE, "val fraction: %g is not in [0,1)", o->val_fraction);
    if (!(o->bytes_per_token >= 0 && isfinite(o->bytes_per_token)))
        return err_set(e, ST_USAGE, "bytes per token: %g is not a positive number", o->bytes_per_token);
    if (*bytes && o->bytes_per_token > 0)
        return err_set(e, ST_USAGE, "bytes per token: it is 1 for bytes; leave it out");
    if (!o->n_files) return err_set(e, ST_USAGE, "no input: name the files to pack, or - for standard input");
    return ST_OK;
}

status data_pack(const data_pack_opts *o, data_info *out, err *e)
{
    bool bytes;
    data_writer *w = NULL;
    status s = check(o, &bytes, e);
    reader *r = s ? NULL : calloc(1, sizeof *r);
    if (!s && !r) s = err_set(e, ST_NOMEM, "%s: no memory", o->out_dir);
    if (!s) s = data_writer_new(&w, o->out_dir, DATA_SHARD_TOKENS, e);
    if (!s) r->vocab = o->vocab;
    for (size_t i = 0; !s && i < o->n_files; i++) s = pack_file(w, r, o->files[i], bytes, o->stop, e);
    data_info about = {.vocab = bytes ? 256 : o->vocab, .bytes_per_token = bytes ? 1 : o->bytes_per_token};
    snprintf(about.tokenizer, sizeof about.tokenizer, "%s", o->tokenizer);
    if (!s) s = data_writer_publish(w, &about, o->val_fraction, describe_source(o), e);
    if (!s) *out = about;
    data_writer_free(w);
    free(r);
    return s;
}
