#include "base/io.h"

#include <errno.h>
#include <fcntl.h>
#include <nettle/sha2.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

status io_join(char *out, const char *dir, const char *name, err *e)
{
    int n = snprintf(out, IO_PATH_MAX, "%s/%s", dir, name);
    if (n < 0 || n >= IO_PATH_MAX) return err_set(e, ST_INPUT, "%s/%s: path is longer than %d bytes", dir, name, IO_PATH_MAX - 1);
    return ST_OK;
}

bool io_exists(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0;
}

status io_read_file(char **text, size_t *n, const char *path, size_t limit, err *e)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return err_set(e, ST_INPUT, "%s: cannot open: %s", path, strerror(errno));
    struct stat st;
    status s = ST_OK;
    char *buf = NULL;
    size_t size = 0, cap;
    if (fstat(fd, &st)) { s = err_set(e, ST_IO, "%s: cannot stat: %s", path, strerror(errno)); goto done; }
    if (S_ISDIR(st.st_mode)) { s = err_set(e, ST_INPUT, "%s: is a directory, a file is needed", path); goto done; }
    cap = S_ISREG(st.st_mode) ? (size_t)st.st_size + 1 : 65536;
    for (;;) {
        if (size > limit || cap > limit + 65536) { s = err_set(e, ST_INPUT, "%s: larger than %zu bytes", path, limit); goto done; }
        char *more = realloc(buf, cap + 1);
        if (!more) { s = err_set(e, ST_NOMEM, "%s: no memory for %zu bytes", path, cap); goto done; }
        buf = more;
        ssize_t got = read(fd, buf + size, cap - size);
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) { s = err_set(e, ST_IO, "%s: cannot read: %s", path, strerror(errno)); goto done; }
        if (got == 0) break;
        size += (size_t)got;
        if (size == cap) cap *= 2;
    }
    buf[size] = 0;
    *text = buf;
    buf = NULL;
    if (n) *n = size;
done:
    free(buf);
    close(fd);
    return s;
}

static void split(const char *path, char *dir, const char **name)
{
    const char *slash = strrchr(path, '/');
    *name = slash ? slash + 1 : path;
    if (!slash) strcpy(dir, ".");
    else if (slash == path) strcpy(dir, "/");
    else snprintf(dir, IO_PATH_MAX, "%.*s", (int)(slash - path), path);
}

static status fsync_path(const char *path, int flags, err *e)
{
    int fd = open(path, flags | O_CLOEXEC);
    if (fd < 0) return err_set(e, ST_IO, "%s: cannot open: %s", path, strerror(errno));
    int rc = fsync(fd), saved = errno;
    close(fd);
    /* Some network file systems cannot fsync a directory; the rename is still atomic there. */
    if (rc && !((flags & O_DIRECTORY) && (saved == EINVAL || saved == ENOTSUP)))
        return err_set(e, ST_IO, "%s: fsync: %s", path, strerror(saved));
    return ST_OK;
}

status io_sync_dir(const char *dir, err *e) { return fsync_path(dir, O_RDONLY | O_DIRECTORY, e); }

status io_sync_dir_of(const char *path, err *e)
{
    char dir[IO_PATH_MAX];
    const char *name;
    split(path, dir, &name);
    return io_sync_dir(dir, e);
}

status io_mkdirs(const char *path, err *e)
{
    char p[IO_PATH_MAX];
    size_t len = strlen(path);
    if (len == 0 || len >= sizeof p) return err_set(e, ST_INPUT, "'%s': not a usable directory name", path);
    memcpy(p, path, len + 1);
    for (size_t i = 1; i <= len; i++) {
        if (p[i] != '/' && p[i]) continue;
        char c = p[i];
        p[i] = 0;
        struct stat there;
        int why = mkdir(p, 0777) ? errno : 0;
        /* what exists is fine, whatever reason is given for not making it (a read-only or foreign mount) */
        if (why && why != EEXIST && (stat(p, &there) || !S_ISDIR(there.st_mode))) return err_set(e, ST_IO, "%s: cannot make directory: %s", p, strerror(why));
        /* a run must not vanish with its directory when the power goes */
        status s = why ? ST_OK : io_sync_dir_of(p, e);
        p[i] = c;
        if (s) return s;
    }
    struct stat st;
    if (stat(path, &st) || !S_ISDIR(st.st_mode)) return err_set(e, ST_IO, "%s: exists and is not a directory", path);
    return ST_OK;
}

status io_write_all(int fd, const void *data, size_t n, const char *path, err *e)
{
    const char *p = data;
    while (n) {
        ssize_t w = write(fd, p, n);
        if (w < 0 && errno == EINTR) continue;
        if (w < 0) return err_set(e, ST_IO, "%s: cannot write: %s", path, strerror(errno));
        p += w;
        n -= (size_t)w;
    }
    return ST_OK;
}

status io_temp_name(char *out, const char *path, err *e)
{
    char dir[IO_PATH_MAX];
    const char *name;
    if (strlen(path) >= IO_PATH_MAX - 32) return err_set(e, ST_INPUT, "%s: path too long", path);
    split(path, dir, &name);
    int n = snprintf(out, IO_PATH_MAX, "%s/.%s.%ld.tmp", dir, name, (long)getpid());
    if (n < 0 || n >= IO_PATH_MAX) return err_set(e, ST_INPUT, "%s: path too long", path);
    return ST_OK;
}

status io_publish_temp(const char *temp, const char *path, err *e)
{
    status s = fsync_path(temp, O_RDONLY, e);
    if (s == ST_OK && rename(temp, path)) s = err_set(e, ST_IO, "%s: cannot rename to %s: %s", temp, path, strerror(errno));
    if (s != ST_OK) {
        unlink(temp);
        return s;
    }
    return io_sync_dir_of(path, e);
}

status io_publish(const char *path, const void *data, size_t n, err *e)
{
    char temp[IO_PATH_MAX];
    status s = io_temp_name(temp, path, e);
    if (s) return s;
    int fd = open(temp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (fd < 0) return err_set(e, ST_IO, "%s: cannot create: %s", path, strerror(errno));
    s = io_write_all(fd, data, n, path, e);
    if (close(fd) && s == ST_OK) s = err_set(e, ST_IO, "%s: close: %s", path, strerror(errno));
    if (s) {
        unlink(temp);
        return s;
    }
    return io_publish_temp(temp, path, e);
}

/* Reserved where the file system can (fallocate): nothing that large is written to ask. Elsewhere a block is. */
status io_room_for(const char *dir, size_t bytes, err *e)
{
    enum { BLOCK = 4096 };
    static const char block[BLOCK];
    char path[IO_PATH_MAX], temp[IO_PATH_MAX];
    status s = io_join(path, dir, "probe", e);
    if (!s) s = io_temp_name(temp, path, e);
    if (s) return s;
    int fd = open(temp, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0666);
    if (fd < 0) return err_set(e, ST_IO, "%s: cannot create: %s", dir, strerror(errno));
    s = io_write_all(fd, block, sizeof block, dir, e);
    if (!s && bytes > BLOCK && fallocate(fd, 0, 0, (off_t)bytes) && (errno == ENOSPC || errno == EDQUOT || errno == EFBIG))
        s = err_set(e, ST_IO, "%s: no room for %zu bytes: %s", dir, bytes, strerror(errno));
    if (!s && fsync(fd)) s = err_set(e, ST_IO, "%s: fsync: %s", dir, strerror(errno));
    close(fd);
    unlink(temp);
    return s;
}

static void hex(char *out, const uint8_t *digest, size_t n)
{
    for (size_t i = 0; i < n; i++) snprintf(out + 2 * i, 3, "%02x", digest[i]);
}

void io_sha256(char *out, const void *data, size_t n)
{
    struct sha256_ctx c;
    uint8_t digest[SHA256_DIGEST_SIZE];
    sha256_init(&c);
    sha256_update(&c, n, data);
    sha256_digest(&c, sizeof digest, digest);
    hex(out, digest, sizeof digest);
}

status io_sha256_file(char *out, const char *path, err *e)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0) return err_set(e, ST_INPUT, "%s: cannot open: %s", path, strerror(errno));
    struct sha256_ctx c;
    sha256_init(&c);
    enum { CHUNK = 1 << 16 };
    uint8_t buf[CHUNK], digest[SHA256_DIGEST_SIZE];
    ssize_t got;
    while ((got = read(fd, buf, sizeof buf)) != 0) {
        if (got < 0 && errno == EINTR) continue;
        if (got < 0) {
            status s = err_set(e, ST_INPUT, "%s: cannot read: %s", path, strerror(errno));
            close(fd);
            return s;
        }
        sha256_update(&c, (size_t)got, buf);
    }
    close(fd);
    sha256_digest(&c, sizeof digest, digest);
    hex(out, digest, sizeof digest);
    return ST_OK;
}

double io_now(void)
{
    struct timespec t;
    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + 1e-9 * (double)t.tv_nsec;
}
