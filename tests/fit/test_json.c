/* muscale.fit/1: what is written is read back; what is not ours is refused. */
#include <criterion/criterion.h>
#include <math.h>
#include <unistd.h>

#include "fit/predict.h"
#include "tests/fit/synthetic.h"

static const char *const argv[] = {"muscale", "fit"};

static json_t *write_fit(fit_result *r, char *path)
{
    err e = {0};
    json_t *j = fit_json(r, (char *const *)argv, 2, "test");
    strcpy(path, "/tmp/muscale-fit-XXXXXX");
    int fd = mkstemp(path);
    cr_assert_geq(fd, 0);
    close(fd);
    cr_assert_eq(fit_save(j, path, &e), ST_OK, "%s", e.msg);
    return j;
}

static void make(fit_result *r, uint64_t seed)
{
    fit_data d;
    err e = {0};
    fit_opts o = fit_opts_default(fit_laws[0]);
    o.bootstrap = 30;
    grid_data(&d, &plain_truth, 5, 5, 2, .004, seed);
    d.n_dropped = 1;
    strcpy(d.dropped[0].why, "diverged");
    d.dropped[0].n = 3;
    cr_assert_eq(fit_run(r, &d, &o, &e), ST_OK);
    fit_data_free(&d);
}

static double value(const json_t *j, const char *group, const char *name)
{
    const json_t *v = json_object_get(json_object_get(j, group), name);
    return json_is_number(v) ? json_number_value(v) : NAN;
}

/* Read by the reader that predict, plot and report use. */
Test(json, round_trip)
{
    static const struct { const char *name; int at; } slots[] = {
        {"E", 0}, {"A", 1}, {"B", 2}, {"alpha", 3}, {"beta", 4}};
    fit_result r;
    predict_fit back;
    char path[64];
    err e = {0};
    make(&r, 1);
    json_t *j = write_fit(&r, path);
    const char *first = json_object_iter_key(json_object_iter(j));
    cr_assert_str_eq(first, "schema");
    cr_assert_eq(predict_fit_read(&back, path, &e), ST_OK, "%s", e.msg);
    cr_assert_eq(back.loss.n_points, 25);
    cr_assert_eq(json_integer_value(json_object_get(back.root, "n_dropped")), 3);
    cr_assert_eq(r.n_params, 5);
    cr_assert_eq(back.loss.n_draws, r.boot_ok);
    for (size_t k = 0; k < 5; k++) {
        cr_assert_str_eq(slots[k].name, r.names[k]);
        cr_assert_eq(back.loss.theta[slots[k].at], r.params[k].value); /* 17 digits */
        const json_t *ci = json_object_get(json_object_get(back.root, "ci95"), r.names[k]);
        cr_assert_eq(json_number_value(json_array_get(ci, 1)), r.params[k].hi);
        for (size_t b = 0; b < r.boot_ok; b++)
            cr_assert_eq(back.loss.draws[b * FIT_MAX_PARAMS + (size_t)slots[k].at], r.samples[b * 5 + k]);
    }
    const json_t *points = json_object_get(back.root, "points");
    for (size_t i = 0; i < 25; i++) {
        cr_assert_eq(json_number_value(json_array_get(json_object_get(points, "loss"), i)), r.points.y[i]);
        cr_assert_eq(json_number_value(json_array_get(json_object_get(points, "fitted"), i)), r.fitted[i]);
    }
    cr_assert_eq(json_number_value(json_object_get(back.root, "objective_value")), r.objective_value);
    cr_assert_eq(value(back.root, "optimum", "a_opt"), r.a_opt.value);
    cr_assert_eq(json_array_size(json_object_get(back.root, "basins")), r.n_basins);
    cr_assert_eq(back.refused, r.trust.verdict == FIT_REFUSE);
    cr_assert(isnan(back.loss.seed_sd));
    cr_assert_eq(back.loss.residual_sd, r.residual_sd);
    json_decref(j);
    unlink(path);
    fit_result_free(&r);
    predict_fit_free(&back);
}

Test(json, refused_numbers_are_null_and_stand_under_raw)
{
    fit_result r;
    predict_fit back;
    char path[64];
    err e = {0};
    fit_data d;
    fit_opts o = fit_opts_default(fit_laws[0]);
    truth t = plain_truth;
    t.E = 1e-9;
    o.bootstrap = 20;
    grid_data(&d, &t, 6, 6, 2, .003, 1);
    cr_assert_eq(fit_run(&r, &d, &o, &e), ST_OK);
    fit_data_free(&d);
    json_t *j = write_fit(&r, path);
    cr_assert(json_is_null(json_object_get(json_object_get(j, "params"), "E")));
    cr_assert(json_is_number(json_object_get(json_object_get(j, "raw"), "E")));
    cr_assert_str_eq(json_string_value(json_object_get(json_object_get(j, "trust"), "verdict")), "refuse");
    cr_assert(has_reason(&r, "floor_unidentified"));
    cr_assert_eq(predict_fit_read(&back, path, &e), ST_OK, "%s", e.msg);
    cr_assert(back.refused && back.raw && back.loss.theta[0] == r.params[0].raw);
    json_decref(j);
    unlink(path);
    fit_result_free(&r);
    predict_fit_free(&back);
}

Test(json, every_missing_key_and_every_truncation_is_refused)
{
    static const char *const keys[] = {"schema", "law", "params", "trust", "n_points"};
    fit_result r;
    predict_fit back;
    char path[64], *text = NULL;
    size_t n;
    err e = {0};
    make(&r, 2);
    json_t *j = write_fit(&r, path);
    for (size_t k = 0; k < sizeof keys / sizeof *keys; k++) {
        json_t *copy = json_copy(j);
        json_object_del(copy, keys[k]);
        cr_assert_eq(fit_save(copy, path, &e), ST_OK);
        cr_assert_eq(predict_fit_read(&back, path, &e), ST_INPUT, "without %s", keys[k]);
        cr_assert(strstr(e.msg, path), "%s", e.msg);
        predict_fit_free(&back);
        json_object_set_new(copy, keys[k], json_integer(-7)); /* of another type, or no count */
        cr_assert_eq(fit_save(copy, path, &e), ST_OK);
        cr_assert_eq(predict_fit_read(&back, path, &e), ST_INPUT, "%s of another type", keys[k]);
        predict_fit_free(&back);
        json_decref(copy);
    }
    cr_assert_eq(fit_save(j, path, &e), ST_OK);
    cr_assert_eq(io_read_file(&text, &n, path, 1 << 24, &e), ST_OK);
    for (size_t cut = 0; cut < n - 2; cut += n / 37) {
        cr_assert_eq(io_publish(path, text, cut, &e), ST_OK);
        cr_assert_eq(predict_fit_read(&back, path, &e), ST_INPUT, "cut at %zu", cut);
        predict_fit_free(&back);
    }
    free(text);
    json_decref(j);
    unlink(path);
    fit_result_free(&r);
}

Test(json, laws_are_listed)
{
    json_t *j = fit_laws_json();
    cr_assert_eq(json_array_size(json_object_get(j, "laws")), fit_n_laws);
    const json_t *p = json_object_get(json_array_get(json_object_get(j, "laws"), 0), "params");
    cr_assert_str_eq(json_string_value(json_object_get(json_array_get(p, 3), "name")), "alpha");
    json_decref(j);
}
