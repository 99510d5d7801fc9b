/* Private to trainer/: meta.json of a data directory, and making such a directory atomically. */
#ifndef TRAINER_DATA_META_H
#define TRAINER_DATA_META_H
#include "trainer/data_file.h"

enum { DATA_SHARD_TOKENS = 100000000 }; /* llm.c's count is an int32 */

/* One file's line in meta.json. */
typedef struct data_meta_file { char name[64]; int64_t tokens, bytes; char sha256[IO_SHA256_HEX]; } data_meta_file;

/* ST_OK with *found false when dir has no meta.json. files: malloc'ed. */
status data_meta_read(bool *found, data_info *info, data_meta_file **files, size_t *n, const char *dir, err *e);

/* Identity of a data set: sha256 over "train SHA\n" / "val SHA\n" of its files in order; names do not enter. */
void data_meta_identity(char *out, const char *const *parts, char (*hashes)[IO_SHA256_HEX], size_t n);

/* Builds a directory beside `dir` and renames it into place when all is written: dir is whole or absent. */
typedef struct data_builder {
    char dir[IO_PATH_MAX], temp[IO_PATH_MAX];
    data_info info;
    int width;
    data_meta_file *files;
    size_t n_files;
    data_writer writer;
    bool open;
    const char *part; /* "train" | "val": of the open shard */
    int part_shards;
} data_builder;
status data_builder_begin(data_builder *b, const char *dir, int width, err *e);
status data_builder_put(data_builder *b, const char *part, int64_t id, err *e);
status data_builder_finish(data_builder *b, err *e); /* writes meta.json from b->info, renames; fills info.sha256 */
void data_builder_abandon(data_builder *b);          /* removes what was written; harmless after finish */
#endif
