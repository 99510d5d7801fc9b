#include "trainer/data_meta.h"

#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "base/jdoc.h"

enum { META_LIMIT = 1 << 20 };

static status bad(const char *path, const char *what, err *e)
{
    return err_set(e, ST_INPUT, "%s: %s; make the data set again with `muscale data pack` or `data gen`", path, what);
}

/* A number or null; 0 for null. */
static bool number_or_null(const json_t *o, const char *key, double *out)
{
    const json_t *v = json_object_get(o, key);
    *out = json_number_value(v);
    return v && (json_is_null(v) || (json_is_number(v) && *out >= 0 && isfinite(*out)));
}

static bool count(const json_t *o, const char *key, int64_t *out)
{
    const json_t *v = json_object_get(o, key);
    *out = json_integer_value(v);
    return json_is_integer(v) && *out >= 0;
}

static bool word(const json_t *o, const char *key, char *out, size_t size)
{
    const char *text = json_string_value(json_object_get(o, key));
    if (!text || strlen(text) >= size) return false;
    memcpy(out, text, strlen(text) + 1);
    return true;
}

status data_meta_read(data_info *out, const char *path, err *e)
{
    json_t *o;
    memset(out, 0, sizeof *out);
    out->max_id = -1;
    status s = jdoc_read(&o, NULL, path, DATA_META_SCHEMA, META_LIMIT,
                         "make the data set again with muscale data pack", e);
    if (s) return s;
    if (!word(o, "tokenizer", out->tokenizer, sizeof out->tokenizer))
        s = bad(path, "tokenizer is missing or no text", e);
    else if (!word(o, "sha256", out->sha256, sizeof out->sha256) ||
             strspn(out->sha256, "0123456789abcdef") != IO_SHA256_HEX - 1)
        s = bad(path, "sha256 is missing or not 64 hex digits", e);
    else if (!count(o, "vocab", &out->vocab) || !count(o, "train_tokens", &out->train_tokens) ||
             !count(o, "val_tokens", &out->val_tokens))
        s = bad(path, "vocab, train_tokens or val_tokens is missing or not a count", e);
    else if (!number_or_null(o, "bytes_per_token", &out->bytes_per_token) ||
             !number_or_null(o, "entropy_rate", &out->entropy_rate))
        s = bad(path, "bytes_per_token or entropy_rate is missing or not a number", e);
    json_decref(o);
    return s;
}

static json_t *real_or_null(double x) { return x > 0 ? json_real(x) : json_null(); }

status data_meta_write(const data_info *info, json_t *source, const char *path, err *e)
{
    json_t *o = json_pack("{s:s, s:s, s:I, s:o, s:I, s:I, s:i, s:o, s:s, s:o}", "schema", DATA_META_SCHEMA, "tokenizer",
                          info->tokenizer, "vocab", (json_int_t)info->vocab, "bytes_per_token",
                          real_or_null(info->bytes_per_token), "train_tokens", (json_int_t)info->train_tokens,
                          "val_tokens", (json_int_t)info->val_tokens, "max_id", (int)info->max_id, "entropy_rate",
                          real_or_null(info->entropy_rate), "sha256", info->sha256, "source", source);
    char *text = o ? json_dumps(o, JSON_INDENT(1) | JSON_REAL_PRECISION(17)) : NULL;
    json_decref(o);
    if (!text) return err_set(e, ST_NOMEM, "%s: no memory (or a file name that is not UTF-8)", path);
    size_t n = strlen(text);
    text[n++] = '\n'; /* over the terminating zero: write it with its length */
    status s = io_publish(path, text, n, e);
    free(text);
    return s;
}
