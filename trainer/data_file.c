/* What kind of file is this, and is all of it there? The only place that believes a header. */
#include "trainer/data_file.h"

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <stdbool.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

_Static_assert(__BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__, "token files are little endian and read in place");
_Static_assert(sizeof(size_t) == 8, "whole files are mapped, and they may be larger than 4 GB");

/* Files people hand us by mistake, by their first bytes (doc/formats.md, "Recognising a file"). */
static const struct { const char *bytes; size_t at, n; const char *what; } foreign[] = {
    {"\x8a\xd8\x34\x01", 0, 4, "an llm.c evaluation file"},
    {"\xc8\xd7\x34\x01", 0, 4, "an llm.c tokenizer"},
    {"\xc6\xd7\x34\x01", 0, 4, "an llm.c model"},
    {"\x8f\xd8\x34\x01", 0, 4, "an llm.c optimiser state"},
    {"MMIDIDX\0\0", 0, 9, "a Megatron index; its tokens are in the .bin beside it"},
    {"\x89HDF\r\n\x1a\n", 0, 8, "an HDF5 file"},
    {"\x1f\x8b", 0, 2, "compressed by gzip"},
    {"\x28\xb5\x2f\xfd", 0, 4, "compressed by zstd"},
    {"\x93NUMPY", 0, 6, "a NumPy array file"},
    {"PK\x03\x04", 0, 4, "a zip archive"},
    {"{", 8, 1, "a safetensors file"},
};

static const char *foreign_kind(const unsigned char *p, size_t size)
{
    for (size_t i = 0; i < sizeof foreign / sizeof *foreign; i++)
        if (size >= foreign[i].at + foreign[i].n && !memcmp(p + foreign[i].at, foreign[i].bytes, foreign[i].n))
            return foreign[i].what;
    return NULL;
}

static int dtype_width(const char *dtype)
{
    if (!strcmp(dtype, "u8")) return 1;
    if (!strcmp(dtype, "u16")) return 2;
    if (!strcmp(dtype, "u32")) return 4;
    return 0;
}

static status map_file(data_file *f, const char *path, err *e)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0)
        return err_set(e, ST_INPUT, "%s: cannot open: %s; `muscale data pack -o DIR FILE...` makes token data", path,
                       strerror(errno));
    struct stat st;
    status s = ST_OK;
    if (fstat(fd, &st)) s = err_set(e, ST_IO, "%s: cannot stat: %s", path, strerror(errno));
    else if (!S_ISREG(st.st_mode))
        s = err_set(e, ST_INPUT, "%s: is not a regular file; token files are mapped, so give a file on disk", path);
    else if (st.st_size == 0) s = err_set(e, ST_INPUT, "%s: is empty; make or copy it again", path);
    else {
        f->map_size = (size_t)st.st_size;
        f->map = mmap(NULL, f->map_size, PROT_READ, MAP_SHARED, fd, 0);
        if (f->map == MAP_FAILED) {
            f->map = NULL;
            s = err_set(e, ST_IO, "%s: cannot map %zu bytes: %s", path, f->map_size, strerror(errno));
        }
    }
    close(fd);
    return s;
}

/* Is it an llm.c shard, as far as magic and version go? Then its format, width and claimed count. */
static const char *shard_header(const data_file *f, int *width, int64_t *count)
{
    if (f->map_size < LLMC_HEADER_BYTES) return NULL;
    int32_t word[3];
    memcpy(word, f->map, sizeof word);
    bool u16 = word[0] == LLMC_MAGIC_U16 && word[1] == LLMC_VERSION_U16;
    bool u32 = word[0] == LLMC_MAGIC_U32 && word[1] == LLMC_VERSION_U32;
    if (!u16 && !u32) return NULL;
    *width = u16 ? 2 : 4;
    *count = word[2];
    return u16 ? "llm.c" : "llm.c-u32";
}

static status recognise(data_file *f, const char *dtype, err *e)
{
    int header_width = 0, width = dtype_width(dtype);
    int64_t count = 0;
    const char *shard = shard_header(f, &header_width, &count);
    bool fits = shard && count > 0 && f->map_size == LLMC_HEADER_BYTES + (uint64_t)count * (uint64_t)header_width;
    if (*dtype && !width) return err_set(e, ST_INPUT, "%s: dtype '%s' is none of u8, u16, u32", f->path, dtype);
    if (fits) {
        if (width && width != header_width)
            return err_set(e, ST_INPUT, "%s: its header says u%d, the dtype given is %s; leave the dtype out", f->path,
                           8 * header_width, dtype);
        f->format = shard;
        f->width = header_width;
        f->n = count;
        f->tokens = (const unsigned char *)f->map + LLMC_HEADER_BYTES;
        return ST_OK;
    }
    if (width) { /* a headerless file may begin with a magic by chance */
        if (f->map_size % (size_t)width)
            return err_set(e, ST_INPUT,
                           "%s: %zu bytes are no whole number of %s tokens; it is truncated, or the dtype is another",
                           f->path, f->map_size, dtype);
        f->format = "raw";
        f->width = width;
        f->n = (int64_t)(f->map_size / (size_t)width);
        f->tokens = f->map;
        return ST_OK;
    }
    if (shard)
        return err_set(e, ST_INPUT,
                       "%s: truncated or damaged: its header promises %" PRId64 " tokens, which is %" PRId64
                       " bytes, the file has %zu; copy it again",
                       f->path, count, LLMC_HEADER_BYTES + count * header_width, f->map_size);
    const char *what = foreign_kind(f->map, f->map_size);
    if (what) return err_set(e, ST_INPUT, "%s: is %s, not a token file", f->path, what);
    return err_set(
        e, ST_INPUT,
        "%s: no token file (no llm.c header found); pack text with `muscale data pack -o DIR %s`, or name the "
        "width of headerless ids: --dtype u16 (in a config: data_dtype: u16)",
        f->path, f->path);
}

status data_file_open(data_file *f, const char *path, const char *dtype, err *e)
{
    memset(f, 0, sizeof *f);
    if (strlen(path) >= sizeof f->path) return err_set(e, ST_INPUT, "%s: path too long", path);
    memcpy(f->path, path, strlen(path) + 1);
    status s = map_file(f, path, e);
    if (!s) s = recognise(f, dtype, e);
    if (s) data_file_close(f);
    return s;
}

void data_file_close(data_file *f)
{
    if (f->map) munmap(f->map, f->map_size);
    f->map = NULL;
}

/* A mapped file starts on a page, a header has 1024 bytes: tokens are always aligned to their width. */
void data_file_read(const data_file *f, int32_t *out, int64_t at, int64_t n)
{
    const void *p = f->tokens + at * f->width;
    const uint8_t *b = p;
    const uint16_t *h = p;
    if (f->width == 1)
        for (int64_t i = 0; i < n; i++) out[i] = b[i];
    else if (f->width == 2)
        for (int64_t i = 0; i < n; i++) out[i] = h[i];
    else
        memcpy(out, p, (size_t)n * sizeof *out);
}

uint32_t data_file_max(const data_file *f, int64_t at, int64_t n)
{
    const void *p = f->tokens + at * f->width;
    const uint8_t *b = p;
    const uint16_t *h = p;
    const uint32_t *w = p;
    uint16_t most16 = 0;
    uint32_t most = 0;
    /* Three plain loops: each becomes vector code, which a switch per token would prevent. */
    if (f->width == 1)
        for (int64_t i = 0; i < n; i++) most = b[i] > most ? b[i] : most;
    else if (f->width == 2)
        for (int64_t i = 0; i < n; i++) most16 = h[i] > most16 ? h[i] : most16;
    else
        for (int64_t i = 0; i < n; i++) most = w[i] > most ? w[i] : most;
    return f->width == 2 ? most16 : most;
}

int64_t data_file_find(const data_file *f, int64_t at, int64_t n, uint32_t limit, uint32_t *id)
{
    for (int64_t i = at; i < at + n; i++) {
        uint32_t x = 0;
        memcpy(&x, f->tokens + i * f->width, (size_t)f->width);
        if (x < limit) continue;
        *id = x;
        return i;
    }
    return -1;
}
