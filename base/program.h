/* Helper programs of other people, run and listened to: found in PATH, no shell, standard input empty. */
#ifndef BASE_PROGRAM_H
#define BASE_PROGRAM_H
#include "base/err.h"

typedef struct program_result {
    int exit_code;  /* 128 + n when it was ended by signal n */
    char *out;      /* what it said on stdout; free with program_free */
    char said[384]; /* on stderr, as one line; of a longer text the end */
} program_result;

/* argv ends with NULL. Not ST_OK (ST_SYSTEM, ST_NOMEM): it could not be started, or says more than a MiB. An exit code
 * above 0 is an answer, not an error. Free in any case. */
status program_run(program_result *r, const char *const *argv, err *e);
void program_free(program_result *r); /* accepts a zeroed one */
#endif
