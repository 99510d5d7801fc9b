#include "sweeps/owner.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sweeps/owner_slurm.h"

enum { OWNER_MAX = 4096, EMPTY_GRACE_S = 10, MAX_CLAIMS = 16 };

typedef struct identity {
    char host[128], machine[64], boot[64], pid_space[64];
    long long pid, born; /* born: clock ticks after boot, field 22 of /proc/PID/stat: a number is used again, this is not */
    owner_job job;
} identity;

/* --- who is who ---------------------------------------------------------------------------------------------- */

static void first_line(char *out, size_t size, const char *path)
{
    char *text = NULL;
    out[0] = 0;
    if (io_read_file(&text, NULL, path, OWNER_MAX, NULL)) return;
    snprintf(out, size, "%.*s", (int)strcspn(text, "\n"), text);
    free(text);
}

/* -1: no such process, or one that is dead and not yet waited for. */
static long long birth(long long pid)
{
    char path[64], line[1024];
    snprintf(path, sizeof path, "/proc/%lld/stat", pid);
    first_line(line, sizeof line, path);
    const char *p = strrchr(line, ')'); /* the name before it may hold anything */
    if (!p || p[1] != ' ' || p[2] == 'Z' || p[2] == 'X') return -1;
    p += 2;
    for (int field = 3; field < 22 && p; field++) p = (p = strchr(p, ' ')) ? p + 1 : NULL;
    return p ? strtoll(p, NULL, 10) : -1;
}

static void whoami(identity *me)
{
    memset(me, 0, sizeof *me);
    if (gethostname(me->host, sizeof me->host - 1)) snprintf(me->host, sizeof me->host, "unknown");
    first_line(me->machine, sizeof me->machine, "/etc/machine-id");
    first_line(me->boot, sizeof me->boot, "/proc/sys/kernel/random/boot_id");
    ssize_t n = readlink("/proc/self/ns/pid", me->pid_space, sizeof me->pid_space - 1);
    if (n < 0) me->pid_space[0] = 0;
    me->pid = getpid();
    me->born = birth(me->pid);
    owner_job_here(&me->job);
}

static status print(char *out, size_t size, const identity *me, err *e)
{
    char when[32] = "";
    struct timespec now; /* its nanoseconds tell two takings by one process apart */
    struct tm utc;
    clock_gettime(CLOCK_REALTIME, &now);
    if (gmtime_r(&now.tv_sec, &utc)) strftime(when, sizeof when, "%Y-%m-%dT%H:%M:%SZ", &utc);
    json_t *o = json_pack("{s:s,s:I,s:I,s:s,s:s,s:s,s:s,s:I}", "host", me->host, "pid", (json_int_t)me->pid, "born", (json_int_t)me->born,
                          "boot", me->boot, "machine", me->machine, "pid_space", me->pid_space, "since", when, "nanosecond", (json_int_t)now.tv_nsec);
    char *text = o && owner_job_print(&me->job, o) ? json_dumps(o, JSON_COMPACT | JSON_PRESERVE_ORDER) : NULL;
    json_decref(o);
    int n = text ? snprintf(out, size, "%s\n", text) : -1;
    free(text);
    return n > 0 && (size_t)n < size ? ST_OK : err_set(e, ST_NOMEM, "cannot describe this process for the owner file");
}

static void take_text(char *out, size_t size, const json_t *o, const char *key)
{
    const char *t = json_string_value(json_object_get(o, key));
    snprintf(out, size, "%s", t ? t : "");
}

static bool parse(identity *who, const char *text)
{
    json_t *o = json_loads(text, JSON_REJECT_DUPLICATES, NULL);
    memset(who, 0, sizeof *who);
    take_text(who->host, sizeof who->host, o, "host");
    take_text(who->machine, sizeof who->machine, o, "machine");
    take_text(who->boot, sizeof who->boot, o, "boot");
    take_text(who->pid_space, sizeof who->pid_space, o, "pid_space");
    who->pid = json_integer_value(json_object_get(o, "pid"));
    who->born = json_integer_value(json_object_get(o, "born"));
    owner_job_parse(&who->job, o);
    json_decref(o);
    return who->host[0] && who->pid > 0;
}

/* --- judging ------------------------------------------------------------------------------------------------- */

typedef enum verdict { FREE, STALE, BUSY } verdict;

/* Only what is surely dead is stale: same machine since rebooted, or same process table without that process. Another host,
 * or another container's process table, cannot be judged from here, unless it was a job's and Slurm knows its end (ask:
 * it may be asked, which takes a program and some milliseconds). */
static verdict judge_identity(const identity *who, bool ask)
{
    identity me;
    whoami(&me);
    if (strcmp(who->host, me.host) || strcmp(who->machine, me.machine)) return owner_job_ended(&who->job, ask) ? STALE : BUSY;
    if (strcmp(who->boot, me.boot)) return STALE;
    if (strcmp(who->pid_space, me.pid_space)) return owner_job_ended(&who->job, ask) ? STALE : BUSY;
    long long born = birth(who->pid);
    return born < 0 || born != who->born ? STALE : BUSY;
}

/* text: what the owner file said (malloc'ed), NULL when FREE. who: for messages. */
static verdict judge(char **text, char who[160], const char *path, bool ask)
{
    struct stat st;
    identity id;
    *text = NULL;
    who[0] = 0;
    if (io_read_file(text, NULL, path, OWNER_MAX, NULL)) {
        if (!io_exists(path)) return FREE;
        snprintf(who, 160, "an owner file that cannot be read");
        return BUSY;
    }
    if (parse(&id, *text)) {
        snprintf(who, 160, "pid %lld on %.70s%s%.48s%s", id.pid, id.host, *id.job.task ? " (job " : "", id.job.task, *id.job.task ? ")" : "");
        return judge_identity(&id, ask);
    }
    /* Empty or torn: made where there are no links, by a process that died (or is still) between open and write. */
    snprintf(who, 160, "a process that is just starting");
    return !stat(path, &st) && time(NULL) - st.st_mtime < EMPTY_GRACE_S ? BUSY : STALE;
}

/* --- taking -------------------------------------------------------------------------------------------------- */

/* shown: the name in messages. */
static status create_exclusive(const char *path, const char *shown, const char *text, bool *exists, err *e)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0666);
    *exists = fd < 0 && errno == EEXIST;
    if (*exists) return ST_OK;
    if (fd < 0) return err_set(e, ST_IO, "%s: cannot create: %s", shown, strerror(errno));
    status s = io_write_all(fd, text, strlen(text), shown, e);
    close(fd);
    if (s) unlink(path);
    return s;
}

/* DIR/.owner.HASH.tmp. Named by content, since a number of a process is unique on one machine only; the owner of a run
 * directory sweeps such names away. */
static status beside(char *out, const char *dir, const char *text, const char *kind, err *e)
{
    char hash[IO_SHA256_HEX], name[64];
    io_sha256(hash, text, strlen(text));
    snprintf(name, sizeof name, ".owner.%.16s%s.tmp", hash, kind);
    return io_join(out, dir, name, e);
}

/* Writes text beside path and puts it there: by link(2), which fails where something is (*exists), or over what is there. */
static status put(const char *path, const char *dir, const char *text, bool over, bool *exists, err *e)
{
    char temp[IO_PATH_MAX];
    bool in_the_way = false;
    *exists = false;
    status s = beside(temp, dir, text, ".new", e);
    if (!s) s = create_exclusive(temp, path, text, &in_the_way, e);
    if (!s && in_the_way) s = err_set(e, ST_IO, "%s: cannot create: exists", temp);
    if (s) return s;
    int rc = over ? rename(temp, path) : link(temp, path), why = errno;
    if (rc || !over) unlink(temp);
    if (!rc) return ST_OK;
    *exists = why == EEXIST || why == ENOENT; /* ENOENT: an owner who has just come has swept our temporary */
    if (*exists) return ST_OK;
    if (!over && (why == EPERM || why == ENOTSUP || why == EOPNOTSUPP || why == ENOSYS)) return create_exclusive(path, path, text, exists, e);
    return err_set(e, ST_IO, "%s: cannot create: %s", path, strerror(why));
}

static status busy(const char *dir, const char *who, err *e)
{
    return err_set(e, ST_BUSY, "%s: owned by %s, which is at work there; wait for it or stop it (if it surely is dead, remove %s/owner)", dir,
                   who, dir);
}

static status take(char took_over[160], const char *path, const char *dir, const char *text, int depth, err *e);

/* Puts text over what a dead process said (judged). Of all who have judged it dead only the one who holds the claim on these
 * very words may; it looks again once it has the claim, and path never is without a file, so nobody can slip in. The
 * words are unique (time in nanoseconds), so a claim on words that are gone is worth nothing and may lie or vanish.
 * A claim of a process that died holding it is taken over in the same way. */
static status replace(bool *taken, const char *path, const char *dir, const char *judged, const char *text, int depth, err *e)
{
    char claim[IO_PATH_MAX], who[160], nobody[160], *now = NULL;
    bool gone = false;
    if (depth >= MAX_CLAIMS) return busy(dir, "processes that die one after another", e);
    status s = beside(claim, dir, judged, "", e);
    if (!s) s = take(nobody, claim, dir, text, depth + 1, e);
    if (s) return s;
    bool still = judge(&now, who, path, true) == STALE && !strcmp(now, judged);
    free(now);
    if (still) s = put(path, dir, text, true, &gone, e);
    *taken = still && !s && !gone;
    unlink(claim);
    return s;
}

static status take(char took_over[160], const char *path, const char *dir, const char *text, int depth, err *e)
{
    for (int attempt = 0; attempt < 10; attempt++) {
        char who[160], *judged = NULL;
        bool exists = false, taken = false;
        took_over[0] = 0;
        status s = put(path, dir, text, false, &exists, e);
        if (s || !exists) return s;
        verdict v = judge(&judged, who, path, true);
        if (v == BUSY) s = busy(dir, who, e);
        if (v == STALE) s = replace(&taken, path, dir, judged, text, depth, e);
        free(judged);
        if (taken) snprintf(took_over, 160, "%s", who);
        if (s || taken) return s;
    }
    return busy(dir, "processes that come and go", e);
}

status owner_take(owner *o, const char *dir, err *e)
{
    identity me;
    memset(o, 0, sizeof *o);
    whoami(&me);
    status s = io_join(o->path, dir, "owner", e);
    if (!s) s = print(o->text, sizeof o->text, &me, e);
    if (!s) s = take(o->took_over, o->path, dir, o->text, 0, e);
    if (!s) return owner_check(o, e);
    o->path[0] = 0; /* nothing to release */
    return s;
}

static bool still_ours(const owner *o)
{
    char *text = NULL;
    bool ours = !io_read_file(&text, NULL, o->path, OWNER_MAX, NULL) && !strcmp(text, o->text);
    free(text);
    return ours;
}

status owner_check(const owner *o, err *e)
{
    if (still_ours(o)) return ST_OK;
    return err_set(e, ST_BUSY, "%s: no longer names this process: another one has taken over the directory; stop one of them", o->path);
}

void owner_release(owner *o)
{
    if (o->path[0] && still_ours(o)) unlink(o->path);
    memset(o, 0, sizeof *o);
}

void owner_look(char out[160], const char *dir)
{
    char path[IO_PATH_MAX], *text = NULL;
    out[0] = 0;
    if (io_join(path, dir, "owner", NULL)) return;
    if (judge(&text, out, path, false) != BUSY) out[0] = 0;
    free(text);
}
