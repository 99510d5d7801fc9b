/* A library to be preloaded: it sees every call by which this process changes files, and kills or fails at the n-th.
 *
 * interpose_arm(n, 0, _)      SIGKILL just before the n-th call from now (n = 1, 2, ...); 0: only count
 * interpose_arm(n, err, once) the n-th call fails with errno err; then so do all later ones unless `once`
 * interpose_count()           calls seen since
 *
 * Calls are made by syscall(2): nothing is looked up, so any program can run with it. stdout and stderr do not count, nor
 * do opens for reading. glibc's own calls (stdio) never come here: that is why stored files use none of it. */
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdarg.h>
#include <sys/syscall.h>
#include <sys/types.h>
#include <sys/uio.h>
#include <unistd.h>

void interpose_arm(long at, int error, int once);
long interpose_count(void);

static long count, trigger;
static int failure, only_once;

void interpose_arm(long at, int error, int once)
{
    count = 0;
    trigger = at;
    failure = error;
    only_once = once;
}

long interpose_count(void) { return count; }

/* 1: this call is to fail. */
static int reached(void)
{
    count++;
    if (!trigger || count < trigger || (only_once && count > trigger)) return 0;
    if (!failure) syscall(SYS_kill, syscall(SYS_getpid), SIGKILL);
    errno = failure;
    return 1;
}

ssize_t write(int fd, const void *p, size_t n)
{
    if (fd > 2 && reached()) {
        /* a full disk often takes a part first */
        if (failure == ENOSPC && n > 8 && count == trigger) return syscall(SYS_write, fd, p, n / 2);
        return -1;
    }
    return syscall(SYS_write, fd, p, n);
}
ssize_t pwrite(int fd, const void *p, size_t n, off_t at) { return reached() ? -1 : syscall(SYS_pwrite64, fd, p, n, at); }
ssize_t pwrite64(int fd, const void *p, size_t n, off_t at) { return reached() ? -1 : syscall(SYS_pwrite64, fd, p, n, at); }
ssize_t writev(int fd, const struct iovec *v, int n) { return fd > 2 && reached() ? -1 : syscall(SYS_writev, fd, v, n); }
int fsync(int fd) { return reached() ? -1 : (int)syscall(SYS_fsync, fd); }
int fdatasync(int fd) { return reached() ? -1 : (int)syscall(SYS_fdatasync, fd); }
int ftruncate(int fd, off_t n) { return reached() ? -1 : (int)syscall(SYS_ftruncate, fd, n); }
int ftruncate64(int fd, off_t n) { return reached() ? -1 : (int)syscall(SYS_ftruncate, fd, n); }
int rename(const char *a, const char *b) { return reached() ? -1 : (int)syscall(SYS_renameat, AT_FDCWD, a, AT_FDCWD, b); }
int link(const char *a, const char *b) { return reached() ? -1 : (int)syscall(SYS_linkat, AT_FDCWD, a, AT_FDCWD, b, 0); }
int unlink(const char *a) { return reached() ? -1 : (int)syscall(SYS_unlinkat, AT_FDCWD, a, 0); }
int mkdir(const char *a, mode_t m) { return reached() ? -1 : (int)syscall(SYS_mkdirat, AT_FDCWD, a, m); }

static int open_it(int dir, const char *path, int flags, mode_t mode)
{
    if ((flags & (O_WRONLY | O_RDWR | O_CREAT | O_TRUNC)) && reached()) return -1;
    return (int)syscall(SYS_openat, dir, path, flags, mode);
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
