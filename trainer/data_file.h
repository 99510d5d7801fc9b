/* Private to trainer/: one memory-mapped token file, and the writer of llm.c shards. */
#ifndef TRAINER_DATA_FILE_H
#define TRAINER_DATA_FILE_H
#include "trainer/data.h"

enum { DATA_HEADER_BYTES = 1024, DATA_MAGIC_U16 = 20240520, DATA_MAGIC_U32 = 20240801 };

typedef struct data_file {
    char path[IO_PATH_MAX];
    void *map;          /* whole file, read-only */
    size_t bytes;
    const void *tokens; /* first token inside the map */
    int width;          /* bytes per token: 1, 2 or 4 */
    int64_t n;
    char format[24];
} data_file;

status data_file_open(data_file *f, const char *path, const char *dtype, err *e);
void data_file_close(data_file *f);
int64_t data_file_get(const data_file *f, int64_t i);

/* Writes one shard: header, then tokens; the count goes in at the end. */
typedef struct data_writer {
    int fd, width;
    int64_t n;
    char path[IO_PATH_MAX];
    unsigned char *buffer;
    size_t used;
} data_writer;
status data_writer_open(data_writer *w, const char *path, int width, err *e);
status data_writer_put(data_writer *w, int64_t id, err *e);
status data_writer_close(data_writer *w, err *e); /* also after a failure; frees, fsyncs */
void data_writer_abandon(data_writer *w);
#endif
