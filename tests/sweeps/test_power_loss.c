/* The power goes in the middle of each scenario of crash.h: from a record of the calls that were made, images are built of
 * what the disk may hold, with writes, names and syncs as two kinds of file systems promise them (power.h). What the
 * program was told is durable is there, nothing is unreadable, and doing the same thing again ends bit for bit as if
 * nothing had happened.
 *
 * `make check` tries a few images of each scenario, check-long (POWER_LONG) 400 of each, half of either kind.
 *
 * Tried: with each of these the long form fails. io_publish_temp without fsync of the file, and without fsync of the
 * directory; journal_sync that returns at once; journal_open and io_mkdirs as they were before, without fsync of the
 * directory that got a new name; data_dir_publish that removes the old set before the exchange is durable. */
#include <criterion/criterion.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/rng.h"
#include "tests/sweeps/crash.h"
#include "tests/sweeps/power.h"
#include "tests/sweeps/store_fixture.h"

#ifdef POWER_LONG
enum { IMAGES = 400 };
#else
enum { IMAGES = 4 };
#endif

static tape *reel;

static void setup(void)
{
    const size_t size = (size_t)64 << 20;
    crash_begin();
    crash.power_cut = true;
    crash.may_tear = true;
    reel = mmap(NULL, size, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    cr_assert_neq(reel, MAP_FAILED);
    reel->size = size - sizeof *reel;
}
TestSuite(power, .init = setup, .timeout = 3000);

static void record(crash_act *act)
{
    reel->used = 0;
    crash_forget();
    crash.record(reel);
    int rc = crash_child(act, 0, 0, 0);
    crash.record(NULL);
    cr_assert_eq(rc, 0, "undisturbed: %d", rc);
}

static void images(const crash_scenario *s, size_t n, uint64_t seed)
{
    crash_fresh("here");
    s->prepare();
    power *before = power_new(crash.dir);
    record(s->act);
    const size_t calls = power_steps(reel);
    cr_expect_geq(calls, (size_t)s->at_least, "%s: only %zu calls on the tape", s->name, calls);
    for (size_t i = 0; i < n; i++) {
        char where[160];
        const power_model model = (power_model)(i % POWER_N_MODELS);
        /* one image in eight after the last call, when most has been promised */
        size_t cut = i % 8 > 5 ? calls : (size_t)rng_below(calls + 1, seed, RNG_TEST, 78, i);
        snprintf(where, sizeof where, "%s, %s file system, power cut after call %zu of %zu, image %zu", s->name,
                 model == POWER_ORDERED ? "ordered" : "pessimistic", cut, calls, i);
        crash_forget();
        power_cut(before, reel, cut, model, seed * 1000003 + i, crash.promised);
        crash.points++;
        crash_recover(s, where);
    }
    power_free(before);
    crash_drop();
}

/* --- the model itself ---- */

static status act_two_files(err *e)
{
    char a[IO_PATH_MAX], b[IO_PATH_MAX];
    status s = io_publish(crash_path(a, "a"), "new", 3, e);
    fx_write(crash_path(b, "b"), "unsynced", 8);
    return s;
}

/* What was synced is in every image, what was not is missing from some; the old file is whole wherever the new one is not. */
Test(power, the_model_drops_what_was_not_synced)
{
    char path[IO_PATH_MAX];
    long old = 0, whole = 0, without_b = 0, empty_b = 0;
    crash_fresh("here");
    fx_write(crash_path(path, "a"), "old", 3);
    power *before = power_new(crash.dir);
    record(act_two_files);
    cr_assert_eq(power_steps(reel), 7);
    for (uint64_t i = 0; i < 200; i++) {
        int64_t noted[N_PROMISES] = {0};
        size_t n, cut = (size_t)(i % 8);
        power_cut(before, reel, cut, (power_model)(i / 8 % 2), i, noted);
        char *text = fx_read(crash_path(path, "a"), &n);
        cr_expect(n == 3 && (!memcmp(text, "old", 3) || !memcmp(text, "new", 3)), "a is '%s'", text);
        cr_expect(cut < 5 || !memcmp(text, "new", 3), "synced, and gone");
        old += text[0] == 'o';
        whole += text[0] == 'n';
        free(text);
        if (!io_exists(crash_path(path, "b"))) without_b += cut == 7;
        else empty_b += cut == 7 && fx_file_size(path) < 8;
    }
    cr_expect(old && whole && without_b && empty_b, "%ld old, %ld new, %ld without b, %ld with less than b", old, whole, without_b, empty_b);
    power_free(before);
}

/* The negative twin: renamed without fsync. */
static status act_unsynced_rename(err *e)
{
    char a[IO_PATH_MAX], b[IO_PATH_MAX];
    (void)e;
    fx_write(crash_path(b, ".a.tmp"), "new", 3);
    return rename(b, crash_path(a, "a")) ? ST_IO : ST_OK;
}

Test(power, a_rename_without_fsync_would_be_noticed)
{
    char path[IO_PATH_MAX];
    for (power_model m = POWER_ORDERED; m < POWER_N_MODELS; m++) {
        long broken = 0;
        crash_fresh("here");
        fx_write(crash_path(path, "a"), "old", 3);
        power *before = power_new(crash.dir);
        record(act_unsynced_rename);
        for (uint64_t i = 0; i < 50; i++) {
            int64_t noted[N_PROMISES] = {0};
            power_cut(before, reel, power_steps(reel), m, i, noted);
            size_t n;
            char *text = fx_read(crash_path(path, "a"), &n);
            broken += n != 3 || (memcmp(text, "old", 3) && memcmp(text, "new", 3));
            free(text);
        }
        cr_expect_gt(broken, 0, "model %d", (int)m);
        power_free(before);
    }
}

/* --- all of it ---- */

Test(power, every_scenario)
{
    const char *seed = getenv("SEED");
    for (size_t i = 0; crash_at(i); i++) {
        if (!crash_wanted(crash_at(i))) continue;
        images(crash_at(i), IMAGES, seed ? strtoull(seed, NULL, 10) : 1);
        fprintf(stderr, "%s: %ld images so far, %ld lost, %ld unreadable, %ld wrong\n", crash_at(i)->name, crash.points, crash.lost, crash.unreadable,
                crash.wrong);
    }
    crash_say("the power cut");
}
