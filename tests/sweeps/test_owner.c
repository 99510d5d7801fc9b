#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <time.h>
#include <unistd.h>
#include <utime.h>
#include <jansson.h>

#include "sweeps/owner.h"
#include "tests/sweeps/store_fixture.h"

static char dir[IO_PATH_MAX], path[IO_PATH_MAX];
static err e;

static void setup(void)
{
    fx_tempdir(dir);
    snprintf(path, sizeof path, "%.900s/owner", dir);
}
TestSuite(owner, .init = setup);

#define ok(call) do { memset(&e, 0, sizeof e); status s_ = (call); cr_assert_eq(s_, ST_OK, "%s", e.msg); } while (0)

/* Somebody took it and died without a word. */
static pid_t dead_owner(void)
{
    pid_t child = fork();
    if (child == 0) {
        owner o;
        _exit(owner_take(&o, dir, NULL) ? 1 : 0);
    }
    int rc;
    waitpid(child, &rc, 0);
    cr_assert_eq(rc, 0);
    return child;
}

static void change(const char *key, json_t *v)
{
    char *text = fx_read(path, NULL);
    json_t *o = json_loads(text, 0, NULL);
    json_object_set_new(o, key, v);
    free(text);
    text = json_dumps(o, JSON_COMPACT);
    fx_write(path, text, strlen(text));
    free(text);
    json_decref(o);
}

Test(owner, one_at_a_time)
{
    owner a, b;
    char who[160], pid[32];
    ok(owner_take(&a, dir, &e));
    ok(owner_check(&a, &e));
    memset(&e, 0, sizeof e);
    cr_expect_eq(owner_take(&b, dir, &e), ST_BUSY);
    snprintf(pid, sizeof pid, "pid %ld on ", (long)getpid());
    cr_expect_not_null(strstr(e.msg, pid), "%s", e.msg);
    owner_look(who, dir);
    cr_expect_eq(strncmp(who, pid, strlen(pid)), 0, "%s", who);
    owner_release(&b); /* not the owner: takes nothing away */
    ok(owner_check(&a, &e));
    owner_release(&a);
    cr_expect(!io_exists(path));
    owner_look(who, dir);
    cr_expect_str_eq(who, "");
    ok(owner_take(&b, dir, &e));
    owner_release(&b);
}

Test(owner, the_dead_are_taken_over)
{
    owner o;
    char want[32], who[160];
    snprintf(want, sizeof want, "pid %ld on ", (long)dead_owner());
    owner_look(who, dir);
    cr_expect_str_eq(who, "", "dead owners own nothing");
    ok(owner_take(&o, dir, &e));
    cr_expect_eq(strncmp(o.took_over, want, strlen(want)), 0, "%s", o.took_over);
    ok(owner_check(&o, &e));
    owner_release(&o);
    cr_expect_neq(rmdir(dir), -1, "something was left in the directory");
}

/* The number lives on in another process; the start time tells. A zombie is dead. */
Test(owner, a_reused_number_is_another_process)
{
    owner o;
    dead_owner();
    change("pid", json_integer(getpid()));
    ok(owner_take(&o, dir, &e));
    owner_release(&o);
    pid_t child = fork();
    if (child == 0) _exit(owner_take(&o, dir, NULL) ? 1 : 0);
    siginfo_t info;
    waitid(P_PID, (id_t)child, &info, WEXITED | WNOWAIT);
    ok(owner_take(&o, dir, &e));
    owner_release(&o);
    waitpid(child, NULL, 0);
}

Test(owner, what_cannot_be_judged_is_busy)
{
    static const char *const keys[] = {"host", "machine", "pid_space"};
    for (size_t i = 0; i < 3; i++) {
        owner o;
        dead_owner();
        change(keys[i], json_string("elsewhere"));
        memset(&e, 0, sizeof e);
        cr_expect_eq(owner_take(&o, dir, &e), ST_BUSY, "%s", keys[i]);
        cr_expect_not_null(strstr(e.msg, "remove"), "no remedy: %s", e.msg);
        unlink(path);
    }
    owner o;
    ok(owner_take(&o, dir, &e)); /* a live process, but of an earlier boot of this machine: cannot be */
    change("boot", json_string("before"));
    owner second;
    ok(owner_take(&second, dir, &e));
    memset(&e, 0, sizeof e);
    cr_expect_eq(owner_check(&o, &e), ST_BUSY, "the first one notices");
    owner_release(&o);
    ok(owner_check(&second, &e));
    owner_release(&second);
}

Test(owner, an_empty_file_gets_a_moment)
{
    owner o;
    fx_write(path, "", 0);
    memset(&e, 0, sizeof e);
    cr_expect_eq(owner_take(&o, dir, &e), ST_BUSY);
    struct utimbuf old = {time(NULL) - 60, time(NULL) - 60};
    utime(path, &old);
    ok(owner_take(&o, dir, &e));
    owner_release(&o);
}

static bool any_temporary(void)
{
    char command[IO_PATH_MAX + 64];
    snprintf(command, sizeof command, "test -n \"$(find '%.900s' -name '.*')\"", dir);
    return system(command) == 0;
}

/* A taker that died between claim and rename: its claim is taken over like any other file of a dead process. */
Test(owner, a_dead_claim_is_taken_over)
{
    char hash[IO_SHA256_HEX], claim[IO_PATH_MAX];
    owner o;
    dead_owner();
    char *first = fx_read(path, NULL);
    unlink(path);
    dead_owner(); /* its words serve as the dead taker's claim on the first one's */
    io_sha256(hash, first, strlen(first));
    snprintf(claim, sizeof claim, "%.900s/.owner.%.16s.tmp", dir, hash);
    cr_assert_eq(rename(path, claim), 0);
    fx_write(path, first, strlen(first));
    ok(owner_take(&o, dir, &e));
    cr_expect(!any_temporary());
    owner_release(&o);

    /* and a live one is respected: it is about to own the directory */
    fx_write(path, first, strlen(first));
    ok(owner_take(&o, dir, &e));
    cr_assert_eq(rename(path, claim), 0);
    fx_write(path, first, strlen(first));
    owner second;
    memset(&e, 0, sizeof e);
    cr_expect_eq(owner_take(&second, dir, &e), ST_BUSY);
    free(first);
}

/* Many takers of one dead owner: exactly one wins. The winner stays alive until all have tried, however slow the machine:
 * else its own file would be a dead one's, rightly taken over. */
Test(owner, a_race_has_one_winner, .timeout = 120)
{
    enum { TAKERS = 8, ROUNDS = 25 };
    for (int round = 0; round < ROUNDS; round++) {
        pid_t child[TAKERS];
        int go[2], tried[2], done[2], winners = 0, rc;
        char c = 'x';
        dead_owner();
        cr_assert(!pipe(go) && !pipe(tried) && !pipe(done));
        for (int i = 0; i < TAKERS; i++) {
            child[i] = fork();
            if (child[i]) continue;
            owner o;
            close(go[1]);
            close(done[1]);
            if (read(go[0], &c, 1) != 0) _exit(9);
            rc = owner_take(&o, dir, NULL);
            if (write(tried[1], &c, 1) != 1 || read(done[0], &c, 1) != 0) _exit(9);
            if (!rc && owner_check(&o, NULL)) rc = ST_IO; /* it was told that it owns: nobody may have taken it away */
            _exit(rc == ST_OK ? 0 : rc == ST_BUSY ? 1 : 2);
        }
        close(go[1]);
        for (int i = 0; i < TAKERS; i++) cr_assert_eq(read(tried[0], &c, 1), 1);
        close(done[1]);
        for (int i = 0; i < TAKERS; i++) {
            waitpid(child[i], &rc, 0);
            cr_assert(WIFEXITED(rc) && WEXITSTATUS(rc) < 2, "taker ended with %d", rc);
            winners += WEXITSTATUS(rc) == 0;
        }
        int ends[] = {go[0], tried[0], tried[1], done[0]};
        for (int i = 0; i < 4; i++) close(ends[i]);
        cr_expect_eq(winners, 1, "round %d: %d winners", round, winners);
        cr_expect(!any_temporary(), "round %d: a claim or a temporary is left", round);
        unlink(path);
    }
}

Test(owner, a_read_only_directory_is_named)
{
    owner o;
    memset(&e, 0, sizeof e);
    cr_expect_eq(owner_take(&o, "/proc", &e), ST_IO);
    cr_expect_not_null(strstr(e.msg, "/proc/owner"), "%s", e.msg);
}

/* --- owners of Slurm jobs on other machines; scontrol is a script of ours ---------------------------------------- */

static void fake_scontrol(const char *does)
{
    char file[IO_PATH_MAX + 16], text[1024], bin[IO_PATH_MAX];
    snprintf(bin, sizeof bin, "%.900s/bin", dir);
    mkdir(bin, 0755);
    snprintf(file, sizeof file, "%s/scontrol", bin);
    snprintf(text, sizeof text, "#!/bin/sh\nif [ \"$2\" = config ]; then echo 'ClusterName             = one'; exit; fi\n%s\n", does);
    fx_write(file, text, strlen(text));
    chmod(file, 0755);
    snprintf(text, sizeof text, "%.900s:/usr/bin:/bin", bin);
    setenv("PATH", text, 1);
}

static void in_job(const char *cluster, const char *array, const char *task, const char *restarts)
{
    setenv("SLURM_JOB_ID", "7", 1);
    setenv("SLURM_CLUSTER_NAME", cluster, 1);
    setenv("SLURM_ARRAY_JOB_ID", array, 1);
    setenv("SLURM_ARRAY_TASK_ID", task, 1);
    setenv("SLURM_RESTART_COUNT", restarts, 1);
}

static void in_no_job(void)
{
    unsetenv("SLURM_JOB_ID");
    unsetenv("SLURM_CLUSTER_NAME");
    unsetenv("SLURM_ARRAY_JOB_ID");
    unsetenv("SLURM_ARRAY_TASK_ID");
    unsetenv("SLURM_RESTART_COUNT");
}

/* A run of job 5_2, restarted once, on a machine that is not here. */
static void owner_elsewhere(void)
{
    unlink(path);
    in_job("one", "5", "2", "1");
    dead_owner();
    change("host", json_string("elsewhere"));
    in_no_job();
}

static bool taken(void)
{
    owner o;
    memset(&e, 0, sizeof e);
    status s = owner_take(&o, dir, &e);
    if (!s) cr_expect_not_null(strstr(o.took_over, "on elsewhere (job 5_2)"), "%s", o.took_over);
    else cr_expect_eq(s, ST_BUSY, "%s", e.msg);
    if (!s) owner_release(&o);
    return !s;
}

Test(owner, a_later_start_of_the_same_job_takes_over)
{
    fake_scontrol("echo asked >&2; exit 1");
    owner_elsewhere();
    in_job("one", "5", "2", "1");
    cr_expect_not(taken(), "the same start of the job is itself");
    in_job("one", "5", "3", "2");
    cr_expect_not(taken(), "another task");
    in_job("two", "5", "2", "2");
    cr_expect_not(taken(), "another cluster's numbers");
    in_job("one", "5", "2", "2");
    cr_expect(taken(), "%s", e.msg);
}

Test(owner, slurm_tells_which_jobs_have_ended)
{
    static const struct {
        const char *says;
        bool ended;
    } rows[] = {
        {"echo 'JobId=7 ArrayTaskId=2 JobState=COMPLETED Reason=None Restarts=1 BatchFlag=1'", true},
        {"echo 'JobId=7 JobState=NODE_FAIL Restarts=1'", true},
        {"echo 'JobId=7 JobState=TIMEOUT Restarts=1'", true},
        {"echo 'JobId=7 JobState=CANCELLED Restarts=1'", true},
        {"echo 'JobId=7 JobState=PENDING Restarts=2'", true},
        {"echo 'JobId=7 JobState=RUNNING Restarts=2'", true},
        {"echo 'JobId=7 JobState=RUNNING Restarts=1'", false},
        {"echo 'JobId=7 JobState=PENDING Restarts=1'", false},
        {"echo 'JobId=7 JobState=COMPLETING Restarts=2'", false},
        {"echo 'JobId=7 JobState=SUSPENDED Restarts=2'", false},
        {"echo 'JobId=7 JobState=RUNNING'", false},
        {"echo 'JobId=7 XJobState=COMPLETED Restarts=1'", false},
        {"printf 'JobId=7 JobState=COMPLETED Restarts=1\\nJobId=8 JobState=RUNNING Restarts=1\\n'", false},
        {"", false},
        {"echo 'slurm_load_jobs error: Invalid job id specified' >&2; exit 1", true},
        {"echo 'slurm_load_jobs error: Unable to contact slurm controller (connect failure)' >&2; exit 1", false},
        {"kill -9 $$", false},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        fake_scontrol(rows[i].says);
        owner_elsewhere();
        cr_expect_eq(taken(), rows[i].ended, "%s: %s", rows[i].says, e.msg);
    }
    fake_scontrol("[ \"$*\" = '-o show job 5_2' ] && echo 'JobState=FAILED Restarts=1'");
    owner_elsewhere();
    cr_expect(taken(), "asked for the task, not the array: %s", e.msg);
}

Test(owner, an_owner_that_slurm_cannot_speak_of_is_busy)
{
    fake_scontrol("echo 'JobState=COMPLETED Restarts=1'");
    owner_elsewhere();
    change("slurm_cluster", json_string("two"));
    cr_expect_not(taken(), "another cluster's");
    owner_elsewhere();
    in_job("two", "9", "1", "0");
    cr_expect_not(taken(), "this job is another cluster's");
    in_no_job();
    owner_elsewhere();
    change("slurm_task", json_string("5_2; echo"));
    cr_expect_not(taken(), "no number");
    owner_elsewhere();
    change("slurm_task", json_string(""));
    cr_expect_not(taken(), "no job");
    owner_elsewhere();
    setenv("PATH", "/nowhere", 1);
    cr_expect_not(taken(), "no scontrol");
    char who[160];
    fake_scontrol("echo 'JobState=COMPLETED Restarts=1'");
    owner_look(who, dir);
    cr_expect_str_eq(strchr(who, 'o'), "on elsewhere (job 5_2)", "a look asks nobody");
}
