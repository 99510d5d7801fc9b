#include <fcntl.h>
#include <math.h>

#include "base/rng.h"
#include "tests/trainer/tiny.h"
#include "trainer/checkpoint.h"

typedef struct made { tiny t; trainer_config c; bank *b; size_t stride; float *x; char dir[96]; } made;

static bank *new_bank(const trainer_config *c, size_t n)
{
    bank *b;
    err e = {0};
    bank_opts o = {.shape = c->shape, .n_replicas = n, .batch = 4, .shards = 2, .threads = 1, .backend = "cpu"};
    cr_assert_eq(bank_new(&b, &o, &e), ST_OK, "%s", e.msg);
    return b;
}

/* Replica r gets numbers of its own in all three parts. */
static void fill(bank *b, size_t r, float *x, uint64_t seed)
{
    size_t n = bank_stride(b);
    for (int part = 0; part < 3; part++) rng_fill_normal(x + (size_t)part * n, n, 1, seed, RNG_TEST, (uint32_t)part, 0);
    cr_assert_eq(bank_write(b, r, x, x + n, x + 2 * n, NULL), ST_OK);
}

static made make(void)
{
    made m = {.t = tiny_make(8, 1, 4000)};
    m.c = TINY(&m.t);
    m.b = new_bank(&m.c, 2);
    m.stride = bank_stride(m.b);
    m.x = calloc(6 * m.stride, sizeof *m.x);
    snprintf(m.dir, sizeof m.dir, "%s/run", m.t.dir);
    cr_assert_eq(mkdir(m.dir, 0777), 0);
    fill(m.b, 0, m.x, 1);
    fill(m.b, 1, m.x, 2);
    return m;
}

static void done(made *m)
{
    bank_free(m->b);
    free(m->x);
    tiny_remove(&m->t);
}

static void save(made *m, int64_t step)
{
    char file[IO_PATH_MAX];
    err e = {0};
    ckpt_state st = {.step = step, .loss_ema = 0.1 * (double)step, .loss_ema_min = 0.05,
                     .best_val = step == 8 ? NAN : 0.3};
    cr_assert_eq(ckpt_write(file, m->dir, m->b, 1, &m->c, &st, &e), ST_OK, "%s", e.msg);
}

static status find(const made *m, int64_t *step, char *note, err *e)
{
    char file[IO_PATH_MAX];
    return ckpt_find(step, file, note, m->dir, &m->c, e);
}

/* Parameters of the shape, tensor by tensor: padding is nobody's. */
static bool same_tensors(const trainer_config *c, const float *a, const float *b, size_t stride)
{
    size_t n = shape_tensors(&c->shape, NULL, 0);
    shape_tensor *t = calloc(n, sizeof *t);
    bool same = true;
    shape_tensors(&c->shape, t, n);
    for (size_t part = 0; part < 3; part++)
        for (size_t i = 0; i < n; i++) {
            size_t at = part * stride + t[i].offset;
            same = same && !memcmp(a + at, b + at, t[i].n * sizeof(float));
        }
    free(t);
    return same;
}

Test(checkpoint, brings_back_every_bit_into_any_place_of_any_bank)
{
    made m = make();
    char file[IO_PATH_MAX], note[CKPT_NOTE_MAX];
    err e = {0};
    int64_t step;
    ckpt_state st;
    save(&m, 7);
    cr_assert_eq(ckpt_find(&step, file, note, m.dir, &m.c, &e), ST_OK, "%s", e.msg);
    cr_expect_eq(step, 7);
    cr_expect_str_eq(note, "");
    bank *other = new_bank(&m.c, 3);
    cr_assert_eq(ckpt_read(&st, other, 2, file, &m.c, &e), ST_OK, "%s", e.msg);
    cr_expect_eq(st.step, 7);
    cr_expect_eq(st.loss_ema, 0.1 * 7);
    cr_expect_eq(st.loss_ema_min, 0.05);
    cr_expect_eq(st.best_val, 0.3);
    save(&m, 8); /* no validation yet */
    cr_assert_eq(ckpt_find(&step, file, note, m.dir, &m.c, &e), ST_OK, "%s", e.msg);
    cr_assert_eq(ckpt_read(&st, other, 2, file, &m.c, &e), ST_OK, "%s", e.msg);
    cr_expect(isnan(st.best_val));
    float *a = m.x, *b = m.x + 3 * m.stride;
    size_t n = m.stride;
    cr_assert_eq(bank_read(m.b, 1, a, a + n, a + 2 * n, NULL), ST_OK);
    cr_assert_eq(bank_read(other, 2, b, b + n, b + 2 * n, NULL), ST_OK);
    cr_expect(same_tensors(&m.c, a, b, n));
    cr_assert_eq(bank_read(m.b, 0, a, a + n, a + 2 * n, NULL), ST_OK);
    cr_expect_not(same_tensors(&m.c, a, b, n), "the other replica is another");
    bank_free(other);
    done(&m);
}

Test(checkpoint, two_newest_are_kept_and_no_temporary)
{
    made m = make();
    char path[IO_PATH_MAX];
    for (int64_t step = 10; step <= 50; step += 10) save(&m, step);
    cr_expect_not(io_exists(tiny_path(path, m.dir, "ckpt.30")));
    cr_expect(io_exists(tiny_path(path, m.dir, "ckpt.40")));
    cr_expect(io_exists(tiny_path(path, m.dir, "ckpt.50")));
    /* After going back, what lies ahead is of no use, and must not push out what is good. */
    save(&m, 45);
    cr_expect_not(io_exists(tiny_path(path, m.dir, "ckpt.50")));
    cr_expect(io_exists(tiny_path(path, m.dir, "ckpt.45")));
    cr_expect(io_exists(tiny_path(path, m.dir, "ckpt.40")));
    size_t files = 0;
    DIR *d = opendir(m.dir);
    for (struct dirent *f; (f = readdir(d));) files += strcmp(f->d_name, ".") && strcmp(f->d_name, "..");
    closedir(d);
    cr_expect_eq(files, 2);
    done(&m);
}

Test(checkpoint, equal_states_make_equal_files)
{
    made m = make();
    char a[IO_PATH_MAX], b[IO_PATH_MAX], dir[128];
    save(&m, 5);
    tiny_path(a, m.dir, "ckpt.5");
    snprintf(dir, sizeof dir, "%s/again", m.t.dir);
    cr_assert_eq(rename(m.dir, dir), 0);
    tiny_path(a, dir, "ckpt.5");
    cr_assert_eq(mkdir(m.dir, 0777), 0);
    save(&m, 5);
    cr_expect(tiny_same_file(a, tiny_path(b, m.dir, "ckpt.5")));
    done(&m);
}

Test(checkpoint, a_missing_directory_holds_none)
{
    made m = make();
    char note[CKPT_NOTE_MAX], file[IO_PATH_MAX];
    int64_t step = 9;
    err e = {0};
    cr_expect_eq(ckpt_find(&step, file, note, "/nowhere/at/all", &m.c, &e), ST_OK);
    cr_expect_eq(step, 0);
    cr_expect_str_eq(file, "");
    cr_expect_eq(find(&m, &step, note, &e), ST_OK);
    cr_expect_eq(step, 0);
    cr_expect_not(ckpt_any(m.dir));
    done(&m);
}

/* Every byte of the front and a sample of the rest; every part of the file is under some sum. */
Test(checkpoint, any_flipped_byte_sends_back_to_the_older_file, .timeout = 60)
{
    made m = make();
    char path[IO_PATH_MAX], note[CKPT_NOTE_MAX], *bytes;
    size_t n, front;
    int64_t step;
    err e = {0};
    save(&m, 10);
    save(&m, 20);
    tiny_path(path, m.dir, "ckpt.20");
    cr_assert_eq(io_read_file(&bytes, &n, path, 1u << 30, &e), ST_OK);
    front = n - 3 * (size_t)shape_count(&m.c.shape).n_params_total * sizeof(float);
    int fd = open(path, O_RDWR);
    cr_assert(fd >= 0);
    for (size_t i = 0; i < n; i += i < front ? 3 : 997) {
        char bad = (char)(bytes[i] ^ 0x10);
        cr_assert_eq(pwrite(fd, &bad, 1, (off_t)i), 1);
        status s = find(&m, &step, note, &e);
        if (i >= 8 && i < 12) cr_expect_eq(s, ST_INPUT, "byte %zu: a foreign version", i);
        else cr_expect(s == ST_OK && step == 10 && strstr(note, "ckpt.10"), "byte %zu: %d, step %d", i, s, (int)step);
        cr_assert_eq(pwrite(fd, &bytes[i], 1, (off_t)i), 1);
    }
    cr_expect(find(&m, &step, note, &e) == ST_OK && step == 20 && !*note, "unharmed again");
    close(fd);
    free(bytes);
    done(&m);
}

Test(checkpoint, cut_off_or_longer_files_are_damaged)
{
    made m = make();
    char path[IO_PATH_MAX], note[CKPT_NOTE_MAX], *bytes;
    size_t n;
    int64_t step;
    err e = {0};
    save(&m, 10);
    save(&m, 20);
    tiny_path(path, m.dir, "ckpt.20");
    cr_assert_eq(io_read_file(&bytes, &n, path, 1u << 30, &e), ST_OK);
    const size_t lengths[] = {0, 1, 7, 87, 88, 200, n / 2, n - 1};
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++) {
        tiny_put(path, bytes, lengths[i]);
        cr_expect(find(&m, &step, note, &e) == ST_OK && step == 10, "%zu bytes", lengths[i]);
        cr_expect(strstr(note, "ckpt.20") && strstr(note, "resumed from ckpt.10"), "%s", note);
    }
    char *longer = calloc(n + 1, 1);
    memcpy(longer, bytes, n);
    tiny_put(path, longer, n + 1);
    cr_expect(find(&m, &step, note, &e) == ST_OK && step == 10, "a byte too many");
    free(longer);
    /* A file under another step's name would put the run in the wrong place. */
    tiny_put(path, bytes, n);
    char other[IO_PATH_MAX];
    cr_assert_eq(rename(path, tiny_path(other, m.dir, "ckpt.30")), 0);
    cr_expect(find(&m, &step, note, &e) == ST_OK && step == 10, "renamed");
    tiny_put(other, "rubbish", 7);
    tiny_put(tiny_path(path, m.dir, "ckpt.10"), "rubbish", 7);
    cr_expect_eq(find(&m, &step, note, &e), ST_CORRUPT);
    cr_expect(strstr(e.msg, m.dir) && strstr(e.msg, "new directory"), "%s", e.msg);
    cr_expect_eq(step, 0);
    free(bytes);
    done(&m);
}

Test(checkpoint, another_config_is_refused_with_the_difference)
{
    made m = make();
    char note[CKPT_NOTE_MAX];
    int64_t step;
    err e = {0};
    save(&m, 10);
    m.c.threads = 5; /* launch-only */
    cr_expect_eq(find(&m, &step, note, &e), ST_OK);
    m.c = TINY(&m.t, "lr", "0.02", "n_layer", "1");
    cr_expect_eq(find(&m, &step, note, &e), ST_INPUT);
    cr_expect(strstr(e.msg, "lr: 0.01 -> 0.02") && strstr(e.msg, "n_layer: 2 -> 1"), "%s", e.msg);
    cr_expect_null(strchr(e.msg, '\n'));
    done(&m);
}

Test(checkpoint, what_a_kill_left_half_written_is_ignored_and_swept_up)
{
    made m = make();
    char temp[IO_PATH_MAX], other[IO_PATH_MAX], note[CKPT_NOTE_MAX];
    int64_t step;
    err e = {0};
    save(&m, 10);
    tiny_put(tiny_path(temp, m.dir, ".ckpt.20.4711.tmp"), "half", 4);
    tiny_put(tiny_path(other, m.dir, "ckpt.20.bak"), "mine", 4);
    cr_expect(find(&m, &step, note, &e) == ST_OK && step == 10 && !*note);
    ckpt_remove_temps(m.dir);
    cr_expect_not(io_exists(temp));
    cr_expect(io_exists(other), "not ours to delete");
    save(&m, 30);
    save(&m, 40);
    cr_expect(io_exists(other));
    done(&m);
}

Test(checkpoint, a_failed_write_changes_nothing)
{
    made m = make();
    char file[IO_PATH_MAX], path[IO_PATH_MAX];
    err e = {0};
    ckpt_state st = {.step = 3};
    cr_expect_eq(ckpt_write(file, "/nowhere/at/all", m.b, 0, &m.c, &st, &e), ST_IO);
    cr_expect(strstr(e.msg, "/nowhere/at/all"), "%s", e.msg);
    /* The name is taken by a directory: rename fails after all bytes were written. */
    cr_assert_eq(mkdir(tiny_path(path, m.dir, "ckpt.3"), 0777), 0);
    cr_expect_eq(ckpt_write(file, m.dir, m.b, 0, &m.c, &st, &e), ST_IO);
    size_t files = 0;
    DIR *d = opendir(m.dir);
    for (struct dirent *f; (f = readdir(d));) files++;
    closedir(d);
    cr_expect_eq(files, 3, "., .. and ckpt.3: the temporary is gone");
    done(&m);
}
