/* A library to be preloaded: it sees every call by which this process changes files, and counts, kills, fails or records.
 * interpose.h says how it is told.
 *
 * Calls are made by syscall(2): nothing is looked up, so any program can run with it. stdout and stderr do not count, nor
 * do opens for reading. glibc's own calls (stdio) never come here: that is why stored files use none of it. That no other
 * call changes files is the business of store_calls.sh. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

#include "interpose.h"

interpose_arm_fn interpose_arm;
interpose_count_fn interpose_count;
interpose_record_fn interpose_record;
interpose_note_fn interpose_note;

static long count, trigger;
static int failure, only_once;
static tape *reel;

void interpose_arm(long at, int error, int once)
{
    count = 0;
    trigger = at;
    failure = error;
    only_once = once;
}

long interpose_count(void) { return count; }
void interpose_record(tape *t) { reel = t; }

/* --- the n-th call ---- */

static void die(void) { syscall(SYS_kill, syscall(SYS_getpid), SIGKILL); }

/* 1: this call is to fail. */
static int reached(void)
{
    count++;
    if (!trigger || count < trigger || (only_once && count > trigger)) return 0;
    if (failure <= 0) die();
    errno = failure;
    return 1;
}

/* --- the tape ---- */

static void put(tape_op op, const char *a, const char *b, int64_t ino, int64_t at, const void *data, size_t n)
{
    const int saved = errno;
    size_t na = a ? strlen(a) + 1 : 0, nb = b ? strlen(b) + 1 : 0;
    tape_entry t = {(int32_t)op, (uint32_t)(na + nb), n, ino, at};
    char *to = reel->bytes + reel->used;
    reel->used += tape_stride(&t);
    if (reel->used > reel->size) return;
    memcpy(to, &t, sizeof t);
    if (na) memcpy(to + sizeof t, a, na);
    if (nb) memcpy(to + sizeof t + na, b, nb);
    if (n) memcpy(to + sizeof t + na + nb, data, n);
    errno = saved;
}

static int64_t inode(int fd)
{
    struct stat st;
    return fstat(fd, &st) ? -1 : (int64_t)st.st_ino;
}

void interpose_note(int64_t what, int64_t value)
{
    if (reel) put(TAPE_NOTE, NULL, NULL, value, what, NULL, 0);
}

static long wrote(int fd, const void *p, long w, off_t at)
{
    if (reel && fd > 2 && w > 0) put(TAPE_WRITE, NULL, NULL, inode(fd), at < 0 ? lseek(fd, 0, SEEK_CUR) - w : at, p, (size_t)w);
    return w;
}

static int done(int rc, tape_op op, const char *a, const char *b)
{
    if (reel && !rc) put(op, a, b, 0, 0, NULL, 0);
    return rc;
}

static int done_fd(int rc, tape_op op, int fd, off_t at)
{
    if (reel && !rc) put(op, NULL, NULL, inode(fd), at, NULL, 0);
    return rc;
}

/* --- the calls ---- */

static int tears(int fd, const void *p, size_t n)
{
    if (failure == INTERPOSE_TEAR && count + 1 == trigger && n > 1) syscall(SYS_write, fd, p, n / 2);
    return 0;
}

ssize_t write(int fd, const void *p, size_t n)
{
    if (fd > 2 && (tears(fd, p, n) || reached())) {
        /* a full disk often takes a part first */
        if (failure == ENOSPC && n > 8 && count == trigger) return wrote(fd, p, syscall(SYS_write, fd, p, n / 2), -1);
        return -1;
    }
    return wrote(fd, p, syscall(SYS_write, fd, p, n), -1);
}
ssize_t pwrite(int fd, const void *p, size_t n, off_t at) { return reached() ? -1 : wrote(fd, p, syscall(SYS_pwrite64, fd, p, n, at), at); }
ssize_t pwrite64(int fd, const void *p, size_t n, off_t at) { return pwrite(fd, p, n, at); }
ssize_t writev(int fd, const struct iovec *v, int n) { return fd > 2 && reached() ? -1 : syscall(SYS_writev, fd, v, n); }
int fsync(int fd) { return reached() ? -1 : done_fd((int)syscall(SYS_fsync, fd), TAPE_SYNC, fd, 0); }
int fdatasync(int fd) { return reached() ? -1 : done_fd((int)syscall(SYS_fdatasync, fd), TAPE_SYNC, fd, 0); }
int ftruncate(int fd, off_t n) { return reached() ? -1 : done_fd((int)syscall(SYS_ftruncate, fd, n), TAPE_TRUNCATE, fd, n); }
int ftruncate64(int fd, off_t n) { return ftruncate(fd, n); }
int link(const char *a, const char *b) { return reached() ? -1 : done((int)syscall(SYS_linkat, AT_FDCWD, a, AT_FDCWD, b, 0), TAPE_LINK, a, b); }
int unlink(const char *a) { return reached() ? -1 : done((int)syscall(SYS_unlinkat, AT_FDCWD, a, 0), TAPE_UNLINK, a, NULL); }
int rmdir(const char *a) { return reached() ? -1 : done((int)syscall(SYS_unlinkat, AT_FDCWD, a, AT_REMOVEDIR), TAPE_UNLINK, a, NULL); }
int mkdir(const char *a, mode_t m)
{
    struct stat st;
    if (reached()) return -1;
    int rc = (int)syscall(SYS_mkdirat, AT_FDCWD, a, m);
    if (reel && !rc && !stat(a, &st)) put(TAPE_MKDIR, a, NULL, (int64_t)st.st_ino, 0, NULL, 0);
    return rc;
}
int rename(const char *a, const char *b)
{
    return reached() ? -1 : done((int)syscall(SYS_renameat, AT_FDCWD, a, AT_FDCWD, b), TAPE_RENAME, a, b);
}
int renameat2(int da, const char *a, int db, const char *b, unsigned flags)
{
    return reached() ? -1 : done((int)syscall(SYS_renameat2, da, a, db, b, flags), flags & RENAME_EXCHANGE ? TAPE_EXCHANGE : TAPE_RENAME, a, b);
}

static int open_it(int dir, const char *path, int flags, mode_t mode)
{
    const int changes = flags & (O_WRONLY | O_RDWR | O_CREAT | O_TRUNC);
    if (changes && reached()) return -1;
    int fd = (int)syscall(SYS_openat, dir, path, flags, mode);
    if (reel && changes && fd >= 0) put(TAPE_OPEN, path, NULL, inode(fd), flags, NULL, 0);
    return fd;
}

#define OPEN_BODY(dir, last)                                    \
    mode_t mode = 0;                                            \
    va_list ap;                                                 \
    va_start(ap, last);                                         \
    if (flags & (O_CREAT | O_TMPFILE)) mode = (mode_t)va_arg(ap, int); \
    va_end(ap);                                                 \
    return open_it(dir, path, flags, mode);

int open(const char *path, int flags, ...) { OPEN_BODY(AT_FDCWD, flags) }
int open64(const char *path, int flags, ...) { OPEN_BODY(AT_FDCWD, flags) }
int openat(int dir, const char *path, int flags, ...) { OPEN_BODY(dir, flags) }
int openat64(int dir, const char *path, int flags, ...) { OPEN_BODY(dir, flags) }
