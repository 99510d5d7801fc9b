/* Status codes, their messages and exit codes, and the caller-owned error record.
 *
 * A function that can fail returns `status` and takes an `err *` as its last argument. On success *e is
 * untouched. On failure e->msg is one line, ready to print: it names the file (path:line:column where there
 * is one), what is wrong, and what to do. Only cli/ prints it or exits. `e` may be NULL.
 * What an experiment finds out (NaN loss, no optimum, unidentified law) is a result, never a status. */
#ifndef BASE_ERR_H
#define BASE_ERR_H

#ifdef __cplusplus
extern "C" {
#endif

/*      code          exit  text */
#define STATUS_LIST(X)                                            \
    X(ST_OK,          0,    "ok")                                 \
    X(ST_USAGE,       2,    "wrong usage")                        \
    X(ST_INPUT,       3,    "bad spec, config or input file")     \
    X(ST_DOMAIN,      3,    "value outside its domain")           \
    X(ST_NOMEM,       1,    "out of memory")                      \
    X(ST_IO,          1,    "input/output failed")                \
    X(ST_BUSY,        1,    "owned by another live process")      \
    X(ST_CORRUPT,     1,    "nothing valid is left to recover")   \
    X(ST_DEVICE,      1,    "device or backend failed")           \
    X(ST_SYSTEM,      1,    "a helper program failed")            \
    X(ST_PARTIAL,     4,    "some runs failed")                   \
    X(ST_REFUSED,     5,    "fit refused")                        \
    X(ST_INTERRUPTED, 130,  "interrupted")                        \
    X(ST_TERMINATED,  143,  "terminated")

typedef enum status {
#define STATUS_ENUM(code, exit_code, text) code,
    STATUS_LIST(STATUS_ENUM)
#undef STATUS_ENUM
    ST_COUNT
} status;

typedef struct err {
    status code;
    const char *file; /* source file and line where it was raised */
    int line;
    char msg[1024];
} err;

const char *status_name(status s); /* "ST_IO" */
const char *status_text(status s); /* "input/output failed" */
int status_exit(status s);         /* exit code of DESIGN.md section 6 */

/* Fills *e (if not NULL) and returns s. Use the macro. */
status err_set_at(err *e, const char *file, int line, status s, const char *fmt, ...)
    __attribute__((format(printf, 5, 6)));
#define err_set(e, s, ...) err_set_at((e), __FILE__, __LINE__, (s), __VA_ARGS__)

/* Puts "prefix: " before the message already in *e; returns e's code, ST_INPUT when e
 * is NULL. For a caller that knows the place. */
status err_prefix(err *e, const char *fmt, ...) __attribute__((format(printf, 2, 3)));

#ifdef __cplusplus
}
#endif
#endif
