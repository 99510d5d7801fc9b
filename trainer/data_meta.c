#include "trainer/data_meta.h"

#include <dirent.h>
#include <errno.h>
#include <jansson.h>
#include <nettle/sha2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

enum { META_LIMIT = 16 << 20 };

static status bad_meta(const char *path, const char *what, err *e)
{
    return err_set(e, ST_INPUT, "%s: %s; is this a directory made by `muscale data pack`? pack it again", path, what);
}

static status read_file_row(data_meta_file *f, const json_t *row, const char *path, err *e)
{
    const char *name = json_string_value(json_object_get(row, "name")), *sha = json_string_value(json_object_get(row, "sha256"));
    const json_t *tokens = json_object_get(row, "tokens"), *bytes = json_object_get(row, "bytes");
    if (!name || strlen(name) >= sizeof f->name || strchr(name, '/') || !sha || strlen(sha) != IO_SHA256_HEX - 1 || !json_is_integer(tokens) ||
        !json_is_integer(bytes))
        return bad_meta(path, "an entry of \"files\" is damaged", e);
    strcpy(f->name, name);
    strcpy(f->sha256, sha);
    f->tokens = json_integer_value(tokens);
    f->bytes = json_integer_value(bytes);
    return ST_OK;
}

status data_meta_read(bool *found, data_info *info, data_meta_file **files, size_t *n, const char *dir, err *e)
{
    char path[IO_PATH_MAX], *text = NULL;
    json_error_t je;
    status s = io_join(path, dir, "meta.json", e);
    *found = false;
    if (s || !io_exists(path)) return s;
    size_t size;
    if ((s = io_read_file(&text, &size, path, META_LIMIT, e))) return s;
    json_t *j = json_loadb(text, size, JSON_REJECT_DUPLICATES, &je);
    free(text);
    if (!j) return err_set(e, ST_INPUT, "%s:%d:%d: not valid JSON: %s", path, je.line, je.column, je.text);
    const char *schema = json_string_value(json_object_get(j, "schema")), *tok = json_string_value(json_object_get(j, "tokenizer"));
    const json_t *list = json_object_get(j, "files");
    if (!schema || strcmp(schema, "muscale.data/1")) s = bad_meta(path, "schema is not muscale.data/1", e);
    else if (!json_is_array(list) || !json_array_size(list)) s = bad_meta(path, "no \"files\"", e);
    data_meta_file *rows = s ? NULL : calloc(json_array_size(list), sizeof *rows);
    if (!s && !rows) s = err_set(e, ST_NOMEM, "%s: no memory", path);
    for (size_t i = 0; !s && i < json_array_size(list); i++) s = read_file_row(&rows[i], json_array_get(list, i), path, e);
    if (s) {
        free(rows);
    } else {
        memset(info, 0, sizeof *info);
        strcpy(info->format, "muscale");
        snprintf(info->tokenizer, sizeof info->tokenizer, "%s", tok ? tok : "");
        info->vocab = json_integer_value(json_object_get(j, "vocab"));
        info->max_id = (int32_t)json_integer_value(json_object_get(j, "max_id"));
        info->bytes_per_token = json_number_value(json_object_get(j, "bytes_per_token"));
        info->entropy_rate = json_number_value(json_object_get(j, "entropy_rate"));
        *files = rows;
        *n = json_array_size(list);
        *found = true;
    }
    json_decref(j);
    return s;
}

void data_meta_identity(char *out, const char *const *parts, char (*hashes)[IO_SHA256_HEX], size_t n)
{
    struct sha256_ctx c;
    uint8_t digest[SHA256_DIGEST_SIZE];
    sha256_init(&c);
    for (size_t i = 0; i < n; i++) {
        char line[16 + IO_SHA256_HEX];
        int len = snprintf(line, sizeof line, "%s %s\n", parts[i], hashes[i]);
        sha256_update(&c, (size_t)len, (const uint8_t *)line);
    }
    sha256_digest(&c, sizeof digest, digest);
    for (size_t i = 0; i < sizeof digest; i++) snprintf(out + 2 * i, 3, "%02x", digest[i]);
}

static bool empty_or_absent(const char *dir)
{
    DIR *d = opendir(dir);
    if (!d) return errno == ENOENT;
    int n = 0;
    while (readdir(d)) n++;
    closedir(d);
    return n <= 2;
}

status data_builder_begin(data_builder *b, const char *dir, int width, err *e)
{
    memset(b, 0, sizeof *b);
    size_t len = strlen(dir);
    while (len > 1 && dir[len - 1] == '/') len--;
    if (!len || len >= IO_PATH_MAX - 64) return err_set(e, ST_USAGE, "'%s': not a usable output directory", dir);
    memcpy(b->dir, dir, len);
    b->width = width;
    if (!empty_or_absent(b->dir))
        return err_set(e, ST_INPUT, "%s: already exists and is not empty; choose another directory or remove it", b->dir);
    snprintf(b->temp, sizeof b->temp, "%.*s.%ld.tmp", (int)len, b->dir, (long)getpid());
    return io_mkdirs(b->temp, e);
}

static status close_shard(data_builder *b, err *e)
{
    if (!b->open) return ST_OK;
    b->open = false;
    data_meta_file *f = &b->files[b->n_files - 1];
    f->tokens = b->writer.n;
    status s = data_writer_close(&b->writer, e);
    struct stat st;
    if (!s && stat(b->writer.path, &st)) s = err_set(e, ST_IO, "%s: cannot stat: %s", b->writer.path, strerror(errno));
    if (s) return s;
    f->bytes = st.st_size;
    return io_sha256_file(f->sha256, b->writer.path, e);
}

static status open_shard(data_builder *b, const char *part, err *e)
{
    char path[IO_PATH_MAX];
    if (!b->part || strcmp(b->part, part)) b->part_shards = 0;
    b->part = part;
    data_meta_file *more = realloc(b->files, (b->n_files + 1) * sizeof *more);
    if (!more) return err_set(e, ST_NOMEM, "%s: no memory", b->dir);
    b->files = more;
    data_meta_file *f = &b->files[b->n_files];
    memset(f, 0, sizeof *f);
    snprintf(f->name, sizeof f->name, "%s_%06d.bin", part, b->part_shards);
    status s = io_join(path, b->temp, f->name, e);
    if (!s) s = data_writer_open(&b->writer, path, b->width, e);
    if (s) return s;
    b->n_files++;
    b->part_shards++;
    b->open = true;
    return ST_OK;
}

status data_builder_put(data_builder *b, const char *part, int64_t id, err *e)
{
    status s = ST_OK;
    if (!b->open || b->part != part || b->writer.n == DATA_SHARD_TOKENS) {
        s = close_shard(b, e);
        if (!s) s = open_shard(b, part, e);
    }
    if (!s) s = data_writer_put(&b->writer, id, e);
    if (s) return s;
    if (*part == 't') b->info.train_tokens++;
    else b->info.val_tokens++;
    if (id > b->info.max_id) b->info.max_id = (int32_t)id;
    return ST_OK;
}

static status identify(data_builder *b, err *e)
{
    const char **parts = calloc(b->n_files, sizeof *parts);
    char(*hashes)[IO_SHA256_HEX] = calloc(b->n_files, sizeof *hashes);
    status s = parts && hashes ? ST_OK : err_set(e, ST_NOMEM, "%s: no memory", b->dir);
    for (size_t i = 0; !s && i < b->n_files; i++) {
        parts[i] = b->files[i].name[0] == 't' ? "train" : "val";
        memcpy(hashes[i], b->files[i].sha256, IO_SHA256_HEX);
    }
    if (!s) data_meta_identity(b->info.sha256, parts, hashes, b->n_files);
    free(parts);
    free(hashes);
    return s;
}

static status write_meta(const data_builder *b, err *e)
{
    const data_info *i = &b->info;
    json_t *list = json_array();
    for (size_t k = 0; k < b->n_files; k++)
        json_array_append_new(list, json_pack("{s:s,s:I,s:I,s:s}", "name", b->files[k].name, "tokens", (json_int_t)b->files[k].tokens, "bytes",
                                              (json_int_t)b->files[k].bytes, "sha256", b->files[k].sha256));
    json_t *j = json_pack("{s:s,s:s,s:I,s:i,s:f,s:I,s:I,s:f,s:s,s:o}", "schema", "muscale.data/1", "tokenizer", i->tokenizer, "vocab",
                          (json_int_t)i->vocab, "max_id", (int)i->max_id, "bytes_per_token", i->bytes_per_token, "train_tokens",
                          (json_int_t)i->train_tokens, "val_tokens", (json_int_t)i->val_tokens, "entropy_rate", i->entropy_rate, "sha256",
                          i->sha256, "files", list);
    char *text = j ? json_dumps(j, JSON_INDENT(1) | JSON_REAL_PRECISION(17) | JSON_PRESERVE_ORDER) : NULL;
    char path[IO_PATH_MAX];
    status s = text ? io_join(path, b->temp, "meta.json", e) : err_set(e, ST_NOMEM, "%s: no memory for meta.json", b->dir);
    if (!s) s = io_publish(path, text, strlen(text), e);
    free(text);
    json_decref(j);
    return s;
}

status data_builder_finish(data_builder *b, err *e)
{
    status s = close_shard(b, e);
    if (!s && !b->info.train_tokens) s = err_set(e, ST_INPUT, "no tokens: nothing to write to %s", b->dir);
    if (!s) strcpy(b->info.format, "muscale");
    if (!s) s = identify(b, e);
    if (!s) s = write_meta(b, e);
    /* rename(2) replaces an empty directory, and refuses one that somebody has filled meanwhile */
    if (!s && rename(b->temp, b->dir)) s = err_set(e, ST_IO, "%s: cannot rename to %s: %s", b->temp, b->dir, strerror(errno));
    if (!s) b->temp[0] = 0;
    return s;
}

void data_builder_abandon(data_builder *b)
{
    if (b->open) data_writer_abandon(&b->writer);
    b->open = false;
    if (b->temp[0]) {
        char path[IO_PATH_MAX];
        for (size_t i = 0; i < b->n_files; i++)
            if (!io_join(path, b->temp, b->files[i].name, NULL)) unlink(path);
        if (!io_join(path, b->temp, "meta.json", NULL)) unlink(path);
        rmdir(b->temp);
        b->temp[0] = 0;
    }
    free(b->files);
    b->files = NULL;
}
