#include "trainer/data_dir.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "trainer/data_meta.h"

/* A name that data_writer makes: what may be deleted when a data set is replaced. */
static bool our_name(const char *name)
{
    size_t n = strlen(name);
    bool shard = (!strncmp(name, "train_", 6) || !strncmp(name, "val_", 4)) && n > 4 && !strcmp(name + n - 4, ".bin");
    return shard || !strcmp(name, DATA_META_NAME);
}

/* May `target` be replaced? Absent, empty, or an older data set and nothing else. */
static status check_target(const char *target, err *e)
{
    struct stat st;
    if (lstat(target, &st)) return ST_OK;
    if (!S_ISDIR(st.st_mode))
        return err_set(e, ST_INPUT, "%s: exists and is not a directory; choose another -o", target);
    DIR *d = opendir(target);
    if (!d) return err_set(e, ST_IO, "%s: cannot list: %s", target, strerror(errno));
    bool empty = true, meta = false;
    char stranger[256] = "";
    for (const struct dirent *x; (x = readdir(d));) {
        if (!strcmp(x->d_name, ".") || !strcmp(x->d_name, "..")) continue;
        empty = false;
        if (!strcmp(x->d_name, DATA_META_NAME)) meta = true;
        else if (!our_name(x->d_name)) snprintf(stranger, sizeof stranger, "%s", x->d_name);
    }
    closedir(d);
    if (*stranger)
        return err_set(e, ST_INPUT,
                       "%s: exists and holds '%s', which is no part of a data set; choose another -o or remove it",
                       target, stranger);
    if (!empty && !meta)
        return err_set(e, ST_INPUT,
                       "%s: exists and holds token files that muscale did not make; choose another -o or remove it",
                       target);
    return ST_OK;
}

/* out = out_dir without trailing slashes; through symbolic links, "." and ".." when it exists. */
static status clean(char *out, const char *out_dir, err *e)
{
    char *real = realpath(out_dir, NULL);
    const char *from = real ? real : out_dir;
    size_t n = strlen(from);
    while (n > 1 && from[n - 1] == '/') n--;
    status s = n > 0 && n < IO_PATH_MAX ? ST_OK : err_set(e, ST_INPUT, "'%s': not a usable directory name", out_dir);
    if (!s) snprintf(out, IO_PATH_MAX, "%.*s", (int)n, from);
    free(real);
    return s;
}

status data_dir_begin(char *temp, char *target, const char *out_dir, err *e)
{
    status s = clean(target, out_dir, e);
    if (!s) s = check_target(target, e);
    if (!s) s = io_temp_name(temp, target, e);
    if (s) return s;
    char parent[IO_PATH_MAX];
    snprintf(parent, sizeof parent, "%s", temp);
    *strrchr(parent, '/') = 0; /* io_temp_name always puts a directory in front */
    if (*parent && (s = io_mkdirs(parent, e))) return s;
    data_dir_remove(temp); /* of an earlier process with our number */
    if (mkdir(temp, 0777)) return err_set(e, ST_IO, "%s: cannot make directory: %s", temp, strerror(errno));
    return ST_OK;
}

/* *old: what was there now stands under the temporary name. */
static status swap(const char *temp, const char *target, bool *old, err *e)
{
    *old = false;
    if (!rename(temp, target)) return ST_OK; /* absent or empty */
    if (errno != ENOTEMPTY && errno != EEXIST)
        return err_set(e, ST_IO, "%s: cannot rename: %s", target, strerror(errno));
    status s = check_target(target, e); /* again: it may have changed while we wrote */
    if (s) return s;
    *old = !renameat2(AT_FDCWD, temp, AT_FDCWD, target, RENAME_EXCHANGE);
    if (*old) return ST_OK;
    /* No exchange on this file system: remove, then rename. A kill in between leaves no data set, never half of one. */
    data_dir_remove(target);
    if (rename(temp, target)) return err_set(e, ST_IO, "%s: cannot rename: %s", target, strerror(errno));
    return ST_OK;
}

status data_dir_publish(const char *temp, const char *target, err *e)
{
    bool old = false;
    status s = io_sync_dir(temp, e);
    if (!s) s = swap(temp, target, &old, e);
    if (!s) s = io_sync_dir_of(target, e);
    if (old) data_dir_remove(temp); /* only now: the power may go before the exchange is on disk */
    return s;
}

void data_dir_remove(const char *dir)
{
    char path[IO_PATH_MAX];
    DIR *d = opendir(dir);
    if (!d) return;
    for (const struct dirent *x; (x = readdir(d));)
        if (strcmp(x->d_name, ".") && strcmp(x->d_name, "..") && !io_join(path, dir, x->d_name, NULL)) unlink(path);
    closedir(d);
    rmdir(dir);
}
