/* One token file, mapped. Private to trainer/data*.c. Layouts: doc/formats.md, "Token files". */
#ifndef TRAINER_DATA_FILE_H
#define TRAINER_DATA_FILE_H
#include <stddef.h>
#include <stdint.h>
#include "base/err.h"
#include "base/io.h"

/* llm.c shard (karpathy/llm.c, dev/data/data_common.py): 256 int32 words, then tokens. Their count is an int32. */
enum {
    LLMC_HEADER_WORDS = 256,
    LLMC_HEADER_BYTES = 1024,
    LLMC_MAGIC_U16 = 20240520, LLMC_VERSION_U16 = 1,
    LLMC_MAGIC_U32 = 20240801, LLMC_VERSION_U32 = 7, /* its Llama-3 variant */
    LLMC_MAX_TOKENS = INT32_MAX
};

typedef struct data_file {
    char path[IO_PATH_MAX];
    const char *format;          /* "llm.c", "llm.c-u32", "raw"; static text */
    void *map;                   /* whole file; NULL when closed */
    size_t map_size;
    const unsigned char *tokens; /* little endian, `width` bytes each, borrowed from map */
    int width;                   /* 1, 2, 4 */
    int64_t n;                   /* tokens in the file; > 0 */
} data_file;

/* dtype: "" (by header), "u8", "u16", "u32". A magic is believed only if the file's size agrees with its header. */
status data_file_open(data_file *f, const char *path, const char *dtype, err *e);
void data_file_close(data_file *f); /* accepts a zeroed one */

/* out[0..n) = tokens at .. at + n - 1 of the file. */
void data_file_read(const data_file *f, int32_t *out, int64_t at, int64_t n);
uint32_t data_file_max(const data_file *f, int64_t at, int64_t n); /* largest token of a range; 0 for an empty one */
/* First place in a range with a token >= limit, and that token; -1 when there is none. */
int64_t data_file_find(const data_file *f, int64_t at, int64_t n, uint32_t limit, uint32_t *id);
#endif
