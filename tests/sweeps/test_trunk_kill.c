/* A campaign with a trunk, killed before a call that changes a file: run again it ends with the bits of the runs alone,
 * wherever that was. A sample of the calls; all of them in check-long. The library tests/sweeps/interpose.so is preloaded
 * as in test_kill.c. */
#include "trunk_fixture.h"

#include <dlfcn.h>
#include <sys/wait.h>

typedef void arm_fn(long at, int error, int once);
typedef long count_fn(void);
static arm_fn *arm;
static count_fn *count;

static void find_interposer(void)
{
    *(void **)&arm = dlsym(RTLD_DEFAULT, "interpose_arm");
    *(void **)&count = dlsym(RTLD_DEFAULT, "interpose_count");
}

__attribute__((constructor)) static void start_again_with_it(int argc, char **argv)
{
    char self[IO_PATH_MAX], lib[IO_PATH_MAX + 16];
    (void)argc;
    find_interposer();
    ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
    if (arm || n < 0 || getenv("LD_PRELOAD")) return;
    self[n] = 0;
    *strrchr(self, '/') = 0;
    snprintf(lib, sizeof lib, "%s/interpose.so", self);
    setenv("LD_PRELOAD", lib, 1);
    setenv("ASAN_OPTIONS", "verify_asan_link_order=0:detect_leaks=0", 1);
    execv("/proc/self/exe", argv);
}

#ifdef KILL_LONG
enum { STRIDE = 1 };
#else
enum { STRIDE = 29 };
#endif

/* Two learning rates, three budgets each; with the second one the trunk diverges before its branches. */
#define SPEC                                                                                                           \
    FIXTURE_BASE "sweeps:\n- base: {val_every: 5, ckpt_every: 9}\n  grid: {lr: [1e-2, 100], tokens: [640, 960, 1280]}\n"

static fixture f;

static void run_it(campaign *c, const char *name, bool trunks)
{
    err e = {0};
    campaign_counts counts;
    plan(c, &f, name, SPEC, 2, trunks);
    cr_assert_eq(go(c, &e), ST_OK, "%s", e.msg);
    cr_assert_eq(campaign_collect(&counts, c->dir, &e), ST_OK, "%s", e.msg); /* as `sweep run` does: run.h5 of all */
}

static bool is_killed(const char *name, long at)
{
    int how;
    fflush(NULL);
    const pid_t child = fork();
    if (!child) {
        campaign c;
        err e = {0};
        plan(&c, &f, name, SPEC, 2, true);
        arm(at, 0, 0);
        const status st = go(&c, &e);
        arm(0, 0, 0);
        _exit(st ? 1 : 0);
    }
    cr_assert_eq(waitpid(child, &how, 0), child);
    if (WIFSIGNALED(how)) return true;
    cr_assert_eq(WEXITSTATUS(how), 0, "call %ld", at);
    return false;
}

Test(trunk_kill, anywhere, .timeout = 600)
{
    campaign alone, c;
    long at = 1, n = 0;
    if (!arm) cr_skip("interpose.so was not preloaded");
    quick_disk();
    fixture_make(&f, 4000, 16);
    run_it(&alone, "alone", false);
    for (;; at += STRIDE, n++) {
        char name[32], line[IO_PATH_MAX + 16];
        snprintf(name, sizeof name, "killed.%ld", at);
        const bool killed = is_killed(name, at);
        run_it(&c, name, true);
        same_bits(&alone, &c);
        cr_assert_eq(states_left(&c), 0, "call %ld", at);
        snprintf(line, sizeof line, "rm -rf '%s'", c.dir);
        cr_assert_eq(system(line), 0);
        unplan(&c);
        if (!killed) break;
    }
    cr_expect_gt(at, 200, "only %ld calls seen", at);
    if (getenv("TRUNK_SHOW")) fprintf(stderr, "%ld kills, the last before call %ld\n", n, at - STRIDE);
    unplan(&alone);
    fixture_remove(&f);
}
