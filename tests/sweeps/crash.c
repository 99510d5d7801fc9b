#include "tests/sweeps/crash.h"

#include <criterion/criterion.h>
#include <dirent.h>
#include <dlfcn.h>
#include <ftw.h>
#include <signal.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/sweeps/crash_tables.h"
#include "tests/sweeps/store_fixture.h"

crash_state crash;

/* --- the preloaded library ---- */

static void find_interposer(void)
{
    *(void **)&crash.arm = dlsym(RTLD_DEFAULT, "interpose_arm");
    *(void **)&crash.count = dlsym(RTLD_DEFAULT, "interpose_count");
    *(void **)&crash.record = dlsym(RTLD_DEFAULT, "interpose_record");
    *(void **)&crash.note = dlsym(RTLD_DEFAULT, "interpose_note");
}

__attribute__((constructor)) static void start_again_with_it(int argc, char **argv)
{
    char self[IO_PATH_MAX], lib[IO_PATH_MAX + 16];
    (void)argc;
    find_interposer();
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    if (crash.arm || n < 0 || getenv("LD_PRELOAD")) return;
    self[n] = 0;
    *strrchr(self, '/') = 0;
    snprintf(lib, sizeof lib, "%s/interpose.so", self);
    setenv("LD_PRELOAD", lib, 1);
    setenv("ASAN_OPTIONS", "verify_asan_link_order=0:detect_leaks=0", 1);
    if (!access("/dev/shm", W_OK)) setenv("TMPDIR", "/dev/shm", 0); /* a kill knows no disk: fsync may be cheap */
    execv("/proc/self/exe", argv);
}

void crash_begin(void)
{
    find_interposer();
    if (!crash.arm) cr_skip("interpose.so was not preloaded");
    crash.promised = mmap(NULL, N_PROMISES * sizeof *crash.promised, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    fx_tempdir(crash.top);
}

void crash_promise_of(crash_promise what, int64_t value)
{
    crash.promised[what] = value;
    crash.note(what, value);
}

void crash_superseded(void) { crash.promised[WRITTEN] = crash.promised[SYNCED] = 0; }
void crash_forget(void) { memset(crash.promised, 0, N_PROMISES * sizeof *crash.promised); }

/* --- a child that does one thing and may be killed ---- */

int crash_child(crash_act *act, long at, int error, int once)
{
    int how;
    fflush(NULL);
    pid_t child = fork();
    if (child == 0) {
        err e = {0};
        crash.arm(at, error, once);
        status s = act(&e);
        crash.arm(0, 0, 0);
        if (!s) crash_promise_of(MADE, 1);
        if (s && !strstr(e.msg, crash.dir)) {
            fprintf(stderr, "the message does not name %s: %s\n", crash.dir, e.msg);
            _exit(101);
        }
        _exit((int)s);
    }
    waitpid(child, &how, 0);
    if (WIFSIGNALED(how)) {
        cr_assert_eq(WTERMSIG(how), SIGKILL, "signal %d", WTERMSIG(how));
        return 100;
    }
    return WEXITSTATUS(how);
}

/* --- directories ---- */

char *crash_path(char *out, const char *name)
{
    snprintf(out, IO_PATH_MAX, "%.900s/%s", crash.dir, name);
    return out;
}

static int remove_one(const char *path, const struct stat *st, int kind, struct FTW *f)
{
    (void)st, (void)kind, (void)f;
    return remove(path);
}

void crash_remove(const char *path)
{
    if (io_exists(path)) cr_assert_eq(nftw(path, remove_one, 16, FTW_DEPTH | FTW_PHYS), 0, "%s", path);
}

void crash_drop(void) { crash_remove(crash.dir); }

void crash_fresh(const char *name)
{
    snprintf(crash.dir, sizeof crash.dir, "%.900s/%s", crash.top, name);
    crash_drop();
    cr_assert_eq(io_mkdirs(crash.dir, NULL), ST_OK);
}

void crash_copy(const char *to, const char *from)
{
    char a[IO_PATH_MAX], b[IO_PATH_MAX];
    struct stat st;
    cr_assert_eq(mkdir(to, 0777), 0, "%s", to);
    DIR *d = opendir(from);
    cr_assert(d);
    for (const struct dirent *f; (f = readdir(d));) {
        if (!strcmp(f->d_name, ".") || !strcmp(f->d_name, "..")) continue;
        cr_assert(!io_join(a, from, f->d_name, NULL) && !io_join(b, to, f->d_name, NULL) && !stat(a, &st));
        if (S_ISDIR(st.st_mode)) {
            crash_copy(b, a);
            continue;
        }
        size_t n;
        char *text = fx_read(a, &n);
        fx_write(b, text, n);
        free(text);
    }
    closedir(d);
}

void crash_no_leftovers(const char *where)
{
    DIR *d = opendir(crash.dir);
    const struct dirent *f;
    while (d && (f = readdir(d))) crash_hold(!strstr(f->d_name, ".tmp"), &crash.wrong, "%s: %s is left", where, f->d_name);
    if (d) closedir(d);
}

/* --- verdicts ---- */

bool crash_hold(bool ok, long *kind, const char *fmt, ...)
{
    va_list ap;
    if (ok) return true;
    ++*kind;
    va_start(ap, fmt);
    if (*kind <= 10) vfprintf(stderr, fmt, ap), fputc('\n', stderr);
    va_end(ap);
    return false;
}

void crash_say(const char *what)
{
    fprintf(stderr, "%s: %ld points, %ld lost, %ld unreadable, %ld wrong\n", what, crash.points, crash.lost, crash.unreadable, crash.wrong);
    cr_expect(!crash.lost && !crash.unreadable && !crash.wrong, "%s: %ld lost, %ld unreadable, %ld wrong", what, crash.lost, crash.unreadable,
              crash.wrong);
}

static const char *const stable_files[] = {"journal.jsonl", "run.h5", "campaign.h5", "plan.json", "spec.yaml"};
enum { N_STABLE = sizeof stable_files / sizeof *stable_files };
typedef struct snapshot { char *bytes[N_STABLE]; size_t n[N_STABLE]; } snapshot;

static void snap(snapshot *s)
{
    char path[IO_PATH_MAX];
    for (int i = 0; i < N_STABLE; i++) s->bytes[i] = io_exists(crash_path(path, stable_files[i])) ? fx_read(path, &s->n[i]) : NULL;
}

void crash_recover(const crash_scenario *s, const char *where)
{
    snapshot a, b;
    s->check(where);
    crash_forget();
    int rc = crash_child(s->act, 0, 0, 0);
    if (!crash_hold(rc == 0, &crash.unreadable, "%s: recovery ends with %d", where, rc)) return;
    s->finished(where);
    snap(&a);
    rc = crash_child(s->act, 0, 0, 0);
    crash_hold(rc == 0, &crash.unreadable, "%s: second recovery ends with %d", where, rc);
    snap(&b);
    for (int i = 0; i < N_STABLE; i++) {
        crash_hold((!a.bytes[i] && !b.bytes[i]) || (a.bytes[i] && b.bytes[i] && a.n[i] == b.n[i] && !memcmp(a.bytes[i], b.bytes[i], a.n[i])),
                   &crash.wrong, "%s: a second recovery changes %s", where, stable_files[i]);
        free(a.bytes[i]);
        free(b.bytes[i]);
    }
}

const crash_scenario *crash_at(size_t i)
{
    size_t n = 0;
    while (crash_runs[n].name) n++;
    return i < n ? &crash_runs[i] : crash_campaigns[i - n].name ? &crash_campaigns[i - n] : NULL;
}

bool crash_wanted(const crash_scenario *s)
{
    const char *only = getenv("SCENARIO");
    return !only || !strcmp(only, s->name);
}

const crash_scenario *crash_find(const char *name)
{
    const crash_scenario *s;
    for (size_t i = 0; (s = crash_at(i)); i++)
        if (!strcmp(s->name, name)) return s;
    cr_assert(false, "no scenario '%s'", name);
    return NULL;
}
