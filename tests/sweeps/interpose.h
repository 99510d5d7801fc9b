/* What the preloaded library interpose.so can do, and the tape on which it records. The library is found with dlsym, so
 * that a test program links without it. */
#ifndef TESTS_SWEEPS_INTERPOSE_H
#define TESTS_SWEEPS_INTERPOSE_H
#include <stddef.h>
#include <stdint.h>

/* The n-th call from now (n = 1, 2, ...; 0: none, only count)
 *   INTERPOSE_KILL   is not made: SIGKILL just before it
 *   INTERPOSE_TEAR   the same, but of a write the first half is made
 *   an errno         fails with it; then so do all later ones unless `once` */
enum { INTERPOSE_KILL = 0, INTERPOSE_TEAR = -1 };
typedef void interpose_arm_fn(long at, int error, int once);
typedef long interpose_count_fn(void); /* calls seen since */

/* One record: this, then n_path bytes (one or two zero-terminated paths), then n_data bytes, padded to 8. */
typedef enum tape_op {
    TAPE_OPEN = 1,  /* path, ino; at: flags of open */
    TAPE_WRITE,     /* ino, data at offset `at` */
    TAPE_TRUNCATE,  /* ino; at: new size */
    TAPE_SYNC,      /* ino */
    TAPE_RENAME,    /* two paths */
    TAPE_EXCHANGE,  /* two paths */
    TAPE_LINK,      /* two paths */
    TAPE_UNLINK,    /* path; also of a directory */
    TAPE_MKDIR,     /* path, ino */
    TAPE_NOTE       /* at, ino: the caller's own */
} tape_op;
typedef struct tape_entry {
    int32_t op;
    uint32_t n_path;
    uint64_t n_data;
    int64_t ino, at;
} tape_entry;
typedef struct tape {
    size_t size, used; /* bytes[size]; used > size: it was too short */
    char bytes[];
} tape;
static inline size_t tape_stride(const tape_entry *t) { return sizeof *t + ((t->n_path + t->n_data + 7) & ~(size_t)7); }

typedef void interpose_record_fn(tape *); /* from now on; NULL: no more */
typedef void interpose_note_fn(int64_t what, int64_t value);
#endif
