/* From logs of steps to curves with schedules; fits of both laws of whole curves on exact data; the verdict's words on
 * warm-up and on a single curve. */
#include <criterion/criterion.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "fit/curve.h"
#include "tests/fit/synthetic.h"

typedef struct log_of { char text[4096]; } log_of;
static void say(void *who, int level, const char *line)
{
    log_of *l = who;
    size_t n = strlen(l->text);
    snprintf(l->text + n, sizeof l->text - n, "%d %s\n", level, line);
}

/* Reads the texts as so many files named dir/a.csv, dir/b.csv, ... */
static status read_files(fit_data *d, log_of *l, const char *const *csv, size_t n, const fit_input_opts *o, err *e)
{
    char dir[] = "/tmp/muscale-test-XXXXXX", path[64];
    table t = {0};
    status s = ST_OK;
    cr_assert(mkdtemp(dir));
    memset(l, 0, sizeof *l);
    memset(d, 0, sizeof *d);
    for (size_t i = 0; i < n && !s; i++) {
        snprintf(path, sizeof path, "%s/%c.csv", dir, (char)('a' + i));
        FILE *f = fopen(path, "w");
        fputs(csv[i], f);
        fclose(f);
        s = table_read(&t, path, e);
        unlink(path);
    }
    rmdir(dir);
    if (!s) s = fit_input(d, &t, fit_law_find("lr-anneal", NULL), o, say, l, e);
    table_free(&t);
    return s;
}

static const char two[] = "run,step,lr,loss\n"
                          "x,10,.4,5\nx,20,.4,4\nx,30,.2,3\n"
                          "y,0,.1,9\ny,3,.4,8\ny,23,.4,5\n";

Test(curve_input, runs_by_column)
{
    fit_data d;
    log_of l;
    err e = {0};
    const char *csv = two;
    cr_assert_eq(read_files(&d, &l, &csv, 1, &(fit_input_opts){0}, &e), ST_OK, "%s", e.msg);
    cr_assert_eq(d.n, 4); /* y's warm-up ends with step 3 */
    cr_assert_eq(d.dropped[0].n, 2);
    cr_assert_str_eq(d.dropped[0].why, "in the warm-up");
    cr_assert_eq(d.runs->n_schedules, 2);
    cr_assert_str_eq(d.runs->about[0].name, "x");
    cr_assert_eq(d.runs->run[2], 0);
    cr_assert_eq(d.runs->run[3], 1);
    cr_assert_eq(d.runs->step[3], 23);
    cr_assert_eq(d.cluster[1], d.cluster[0]); /* resampled by curve */
    cr_assert_neq(d.cluster[3], d.cluster[0]);
    cr_assert_str_eq(d.cluster_name, "curve");
    cr_assert_float_eq(d.runs->schedule[0].lr[25], .3, 1e-15);
    cr_assert_float_eq(d.runs->schedule[1].lr[1], .2, 1e-15);
    cr_assert_eq(d.runs->schedule[1].warmup, 4);
    cr_assert(d.runs->assumed); /* of x */
    cr_assert(strstr(l.text, "2 curves, by column run") && strstr(l.text, "up to 20 apart") &&
                  strstr(l.text, "begin at step 10 or later") && strstr(l.text, "--warmup"), "%s", l.text);
    fit_data_free(&d);
}

Test(curve_input, one_file_is_one_curve)
{
    static const char *const csv[] = {"step,lr,loss\n0,.4,5\n1,.4,4\n", "step,lr,loss\n0,.3,5\n2,.3,4\n7,.1,3\n"};
    fit_data d;
    log_of l;
    err e = {0};
    fit_input_opts o = {.hold_out = "curve == b"};
    cr_assert_eq(read_files(&d, &l, csv, 2, &o, &e), ST_OK, "%s", e.msg);
    cr_assert_eq(d.n, 5);
    cr_assert_str_eq(d.runs->about[1].name, "b");
    cr_assert_eq(d.runs->schedule[1].n_steps, 8);
    cr_assert(!d.held_out[1] && d.held_out[2]);
    cr_assert(!d.runs->assumed && !strstr(l.text, "warm-up"), "%s", l.text); /* the logs begin at step 0 */
    fit_data_free(&d);
    o.hold_out = "largest"; /* the longer run */
    cr_assert_eq(read_files(&d, &l, csv, 2, &o, &e), ST_OK, "%s", e.msg);
    cr_assert(!d.held_out[1] && d.held_out[2] && d.held_out[4]);
    fit_data_free(&d);
}

Test(curve_input, stated_schedules_and_warmup)
{
    static const char *const csv[] = {"step,loss\n9,5\n12,4\n19,4\n", "step,loss\n9,5\n14,4\n30,4\n"};
    static const char *const schedules[] = {"constant peak=.3 warmup=5 steps=16",
                                            "b:linear peak=.4 final=.1 warmup=5 steps=40"};
    fit_data d;
    log_of l;
    err e = {0};
    fit_input_opts o = {.schedules = schedules, .n_schedules = 2, .warmup = "constant"};
    cr_assert_eq(read_files(&d, &l, csv, 2, &o, &e), ST_OK, "%s", e.msg);
    cr_assert_eq(d.n, 5);
    cr_assert_str_eq(d.dropped[0].why, "beyond the schedule");
    cr_assert_float_eq(d.runs->schedule[0].s1[4], 1.5, 1e-15); /* .3 from the first step on */
    cr_assert_float_eq(d.runs->schedule[1].lr[39], .1 + .3 / 35, 1e-15);
    cr_assert_eq(d.runs->warmup, FIT_WARMUP_CONSTANT);
    json_t *j = fit_runs_json(d.runs);
    const json_t *s = json_object_get(j, "schedules"), *b = json_array_get(json_object_get(s, "curves"), 1);
    cr_assert_str_eq(json_string_value(json_object_get(s, "warmup")), "constant");
    cr_assert_eq(json_real_value(json_object_get(s, "lambda")), .999);
    cr_assert_str_eq(json_string_value(json_object_get(b, "schedule")), schedules[1] + 2);
    json_decref(j);
    fit_data_free(&d);
}

/* What is wrong, and where. */
Test(curve_input, refusals)
{
    static const char *const no_run[] = {"c:constant peak=1 steps=9"};
    static const char *const bad[] = {"cosine peak=1 stops=9"};
    const struct { const char *csv; fit_input_opts o; status code; const char *word; } rows[] = {
        {"step,loss\n9,5\n12,4\n", {0}, ST_INPUT, "--schedule 'a:cosine"},
        {"step,lr,loss\n9,.1,5\n12,.1,4\n9,.2,4\n", {0}, ST_INPUT, "a.csv:4: step 9 has the learning rate 0.2"},
        {"step,lr,loss\n9,.1,5\n12.5,.1,4\n", {0}, ST_INPUT, "12.5"},
        {"step,lr,loss\n9,.1,5\n12,-.1,4\n", {0}, ST_INPUT, "-0.1 at step 12"},
        {"step,lr,loss\n9,,5\n12,,4\n", {0}, ST_INPUT, "no row has a learning rate"},
        {"step,lr,loss\n9,.1,5\n12,.1,4\n", {.curve = "family"}, ST_INPUT, "--curve: no column 'family'"},
        {"family,step,lr,loss\nf,9,.1,5\n,12,.1,4\n", {.curve = "family"}, ST_INPUT, "a.csv:3"},
        {"curve,step,lr,loss\n1,9,.1,5\n2,12,.1,4\n", {0}, ST_INPUT, "--curve curve"},
        {"step,lr,loss\n9,.1,5\n12,.1,4\n", {.warmup = "square"}, ST_USAGE, "linear, constant, none"},
        {"step,lr,loss\n9,.1,5\n12,.1,4\n", {.warmup = "linear:0"}, ST_USAGE, "after the colon"},
        {"step,lr,loss\n9,.1,5\n12,.1,4\n", {.warmup = "linear:10"}, ST_USAGE, "curve a: a warm-up of 10"},
        {"step,lr,loss\n9,.1,5\n12,.1,4\n", {.lambda = 1}, ST_USAGE, "below 1"},
        {"step,lr,loss\n9,.1,5\n12,.1,4\n", {.schedules = no_run, .n_schedules = 1}, ST_USAGE, "no curve 'c'"},
        {"step,lr,loss\n9,.1,5\n12,.1,4\n", {.schedules = bad, .n_schedules = 1}, ST_USAGE,
         "curve a: schedule, character 15"},
    };
    for (size_t i = 0; i < sizeof rows / sizeof *rows; i++) {
        fit_data d;
        log_of l;
        err e = {0};
        cr_assert_eq(read_files(&d, &l, &rows[i].csv, 1, &rows[i].o, &e), rows[i].code, "%zu: %s", i, e.msg);
        cr_assert(strstr(e.msg, rows[i].word), "%zu: %s", i, e.msg);
        fit_data_free(&d);
    }
}

/* A second pass over a table (laws compared) has fewer rows; the schedule is still that of all of them. */
Test(curve_input, schedules_survive_a_second_pass)
{
    char path[] = "/tmp/muscale-test-XXXXXX";
    static const char csv[] = "step,lr,loss\n0,.1,9\n3,.4,8\n20,.4,5\n40,.2,\n60,.1,3\n";
    table t = {0};
    err e = {0};
    fit_data first, second;
    fit_runs *kept = NULL;
    fit_input_opts o = {.runs = &kept};
    int fd = mkstemp(path);
    cr_assert_eq(io_write_all(fd, csv, strlen(csv), path, &e), ST_OK);
    close(fd);
    cr_assert_eq(table_read(&t, path, &e), ST_OK, "%s", e.msg);
    unlink(path);
    cr_assert_eq(fit_input(&first, &t, fit_law_find("lr-anneal", NULL), &o, NULL, NULL, &e), ST_OK, "%s", e.msg);
    o.again = true;
    cr_assert_eq(fit_input(&second, &t, fit_law_find("multi-power", NULL), &o, NULL, NULL, &e), ST_OK, "%s", e.msg);
    cr_assert_eq(first.n, 2);
    cr_assert_eq(second.n, 2);
    cr_assert_float_eq(second.runs->schedule[0].lr[40], .2, 1e-15); /* logged in a row without a loss */
    cr_assert_eq(second.runs->schedule[0].warmup, 4);               /* in rows of the warm-up */
    cr_assert_float_eq(second.runs->schedule[0].s1[60], first.runs->schedule[0].s1[60], 1e-15);
    cr_assert_eq(second.runs->step[1], 60);
    fit_data_free(&first);
    fit_data_free(&second);
    fit_runs_free(kept);
    table_free(&t);
}

/* Rows of training and validation at the same step share its learning rate. */
Test(curve_input, repeated_steps_with_one_learning_rate)
{
    fit_data d;
    log_of l;
    err e = {0};
    const char *csv = "step,lr,loss\n0,.4,5\n3,.2,4\n0,.4,5.5\n3,.2,4.5\n";
    cr_assert_eq(read_files(&d, &l, &csv, 1, &(fit_input_opts){0}, &e), ST_OK, "%s", e.msg);
    cr_assert_eq(d.n, 4);
    fit_data_free(&d);
}

/* A step of the learning rate between two logged steps is said; a line or a step logged on both sides is not. */
Test(curve_input, jumps_are_said)
{
    static const struct { const char *csv; bool said; } rows[] = {
        {"step,lr,loss\n0,.4,5\n10,.4,5\n20,.2,4\n30,.2,4\n", true},
        {"step,lr,loss\n0,.4,5\n19,.4,5\n20,.2,4\n30,.2,4\n", false},
        {"step,lr,loss\n0,.4,5\n10,.4,5\n20,.2,4\n30,.1,4\n", false},
    };
    for (size_t i = 0; i < 3; i++) {
        fit_data d;
        log_of l;
        err e = {0};
        cr_assert_eq(read_files(&d, &l, &rows[i].csv, 1, &(fit_input_opts){0}, &e), ST_OK, "%s", e.msg);
        cr_assert_eq(strstr(l.text, "a: the learning rate jumps from 0.4 to 0.2 between steps 10 and 20") != NULL,
                     rows[i].said, "%zu: %s", i, l.text);
        fit_data_free(&d);
    }
}

/* --- fits --------------------------------------------------------------------------------------------------------- */

/* The authors' training schedules at a tenth of the length and ten times the learning rate: S1 is as there. */
static void make_data(fit_data *d, size_t n_curves)
{
    static const char *const texts[] = {"cosine peak=3e-3 final=3e-4 warmup=216 steps=2400",
                                        "constant peak=3e-3 warmup=216 steps=2400",
                                        "wsdcon peak=3e-3 final=9e-4 warmup=216 from=800 steps=1600"};
    enum { EVERY = 64 };
    err e = {0};
    memset(d, 0, sizeof *d);
    d->seed_sd = NAN;
    snprintf(d->target, sizeof d->target, "loss");
    snprintf(d->more[0].name, FIT_NAME, "step");
    d->n_more = 1;
    d->runs = calloc(1, sizeof *d->runs);
    d->runs->schedule = calloc(n_curves, sizeof *d->runs->schedule);
    d->runs->n_schedules = n_curves;
    d->runs->lambda = FIT_LAMBDA;
    enum { MOST = 3 * (2400 / EVERY) };
    d->y = malloc(MOST * sizeof *d->y);
    d->more[0].x = malloc(MOST * sizeof(double));
    d->cluster = malloc(MOST * sizeof *d->cluster);
    d->runs->run = malloc(MOST * sizeof *d->runs->run);
    d->runs->step = malloc(MOST * sizeof *d->runs->step);
    for (size_t k = 0; k < n_curves; k++) {
        fit_schedule_spec spec;
        cr_assert_eq(fit_schedule_parse(&spec, texts[k], &e), ST_OK, "%s", e.msg);
        cr_assert_eq(fit_schedule_named(&d->runs->schedule[k], &spec, FIT_WARMUP_LINEAR, &e), ST_OK, "%s", e.msg);
        for (size_t s = 217; s < spec.steps; s += EVERY, d->n++) {
            d->more[0].x[d->n] = (double)s;
            d->runs->step[d->n] = (uint32_t)s;
            d->runs->run[d->n] = d->cluster[d->n] = (uint32_t)k;
            d->y[d->n] = 1;
        }
    }
}

static void predict(fit_data *d, const fit_law *law, const double *params)
{
    fit_model m;
    err e = {0};
    cr_assert_eq(fit_model_init(&m, law, d, &e), ST_OK, "%s", e.msg);
    for (size_t i = 0; i < d->n; i++) d->y[i] = fit_model_at(&m, NULL, params, d, i);
    fit_model_free(&m);
}

/* What variable projection asks for: the prediction and its derivatives by the linear parameters. */
Test(curve_fit, affine_slots_agree_with_the_prediction)
{
    static const struct { const char *law; double v[7]; } at[] = {
        {"lr-anneal", {2.731, .5137, .4931, .3719}},
        {"multi-power", {2.731, .5137, .4931, 41.3, 2.17, .613, .571}},
    };
    fit_data d;
    make_data(&d, 3);
    for (size_t k = 0; k < 2; k++) {
        enum { N = 4 };
        static const size_t row[N] = {0, 20, 50, 80};
        const fit_law *law = fit_law_find(at[k].law, NULL);
        const fit_rows rows = {.n = N, .row = row};
        fit_model m;
        bool linear[FIT_MAX_PARAMS] = {0};
        double f[N], grad[7 * N], up[N], v[7], unused[7 * N];
        cr_assert_eq(fit_model_init(&m, law, &d, NULL), ST_OK);
        law->linear(&m, linear);
        law->affine(&m, NULL, f, grad, at[k].v, &rows);
        for (size_t i = 0; i < N; i++) cr_assert_float_eq(f[i], fit_model_at(&m, NULL, at[k].v, &d, row[i]), 1e-12);
        for (size_t j = 0, n_linear = 0; j < law->n_params; j++) {
            memcpy(v, at[k].v, sizeof v);
            v[j] *= 1.01;
            law->affine(&m, NULL, up, unused, v, &rows);
            for (size_t i = 0; i < N && linear[j]; i++)
                cr_assert_float_eq(grad[j * N + i], (up[i] - f[i]) / (.01 * at[k].v[j]), 1e-9, "%s %zu", law->name, j);
            n_linear += linear[j];
            if (j + 1 == law->n_params) cr_assert_eq(n_linear, 3);
        }
        fit_model_free(&m);
    }
    fit_data_free(&d);
}

/* Boxes that contain the published values; B and C in the units of ten times their learning rate. */
static const struct { const char *law; double lo[7], hi[7]; } boxes[] = {
    {"lr-anneal", {1.9, .3, .3, .2}, {3.4, .9, .9, .7}},
    {"multi-power", {1.9, .3, .3, 20, 1, .2, .3}, {3.4, .9, .7, 70, 8, .9, .9}},
};

Test(curve_fit, exact_data_gives_the_parameters_back)
{
    for (size_t b = 0; b < sizeof boxes / sizeof *boxes; b++) {
        const fit_law *law = fit_law_find(boxes[b].law, NULL);
        for (size_t k = 0; k < CURVE_TRUTHS; k++) {
            fit_data d;
            fit_result r;
            err e = {0};
            double v[7];
            fit_opts o = fit_opts_default(law);
            make_data(&d, 3);
            for (size_t j = 0; j < law->n_params; j++)
                v[j] = boxes[b].lo[j] + (boxes[b].hi[j] - boxes[b].lo[j]) * rng_uniform(77, RNG_TEST, (uint32_t)k, j);
            predict(&d, law, v);
            o.bootstrap = 0;
            cr_assert_eq(fit_run(&r, &d, &o, &e), ST_OK, "%s", e.msg);
            for (size_t j = 0; j < law->n_params; j++)
                cr_assert_float_eq(param(&r, r.names[j]) / v[j], 1, 1e-6, "%s, truth %zu, %s: %.10g, %.10g (F %.3g)",
                                   law->name, k, r.names[j], param(&r, r.names[j]), v[j], r.objective_value);
            cr_assert_neq(r.trust.verdict, FIT_REFUSE, "%s", r.trust.n ? r.trust.reasons[0].message : "");
            fit_result_free(&r);
            fit_data_free(&d);
        }
    }
}

static void noisy_fit(fit_result *r, size_t n_curves, bool assumed, double annealing)
{
    const fit_law *law = fit_law_find("lr-anneal", NULL);
    const double v[4] = {2.731, .5137, .4931, annealing};
    fit_data d;
    err e = {0};
    fit_opts o = fit_opts_default(law);
    make_data(&d, n_curves);
    predict(&d, law, v);
    for (size_t i = 0; i < d.n; i++) d.y[i] *= exp(.001 * rng_normal(5, RNG_TEST, 11, i));
    d.runs->assumed = assumed;
    o.bootstrap = 200;
    cr_assert_eq(fit_run(r, &d, &o, &e), ST_OK, "%s", e.msg);
    fit_data_free(&d);
}

Test(curve_fit, verdict)
{
    fit_result r;
    noisy_fit(&r, 3, false, .4);
    cr_assert(!has_reason(&r, "convention_unstated") && r.trust.verdict != FIT_REFUSE);
    cr_assert_gt(r.params[0].se, 0);
    cr_assert(json_object_get(r.extra, "schedules"));
    fit_result_free(&r);
    noisy_fit(&r, 3, true, .4);
    cr_assert(has_reason(&r, "convention_unstated"));
    fit_result_free(&r);
    noisy_fit(&r, 3, false, 1e-3); /* decay does next to nothing: C is not shown */
    cr_assert(has_reason(&r, "not_separable"));
    cr_assert(strstr(r.trust.reasons[r.trust.n - 1].message, "decay does not lower"));
    cr_assert(isnan(r.params[FIT_ANNEAL_C].value));
    fit_result_free(&r);
    noisy_fit(&r, 1, false, .4); /* resampling one curve says nothing */
    cr_assert(isnan(r.params[0].se) && has_reason(&r, "flat_direction"), "%g", r.params[0].se);
    fit_result_free(&r);
}

/* Of three curves there are ten resamples: equal ones are fitted once, and all are what they would have been. */
Test(curve_fit, equal_resamples_are_equal)
{
    fit_result r;
    double seen[16] = {0};
    size_t distinct = 0;
    noisy_fit(&r, 3, false, .4);
    cr_assert_gt(r.boot_ok, 150);
    for (size_t b = 0; b < r.boot_ok; b++) {
        size_t k = 0;
        while (k < distinct && seen[k] != r.samples[b * 4]) k++;
        if (k == distinct) {
            cr_assert_lt(distinct, 10);
            seen[distinct++] = r.samples[b * 4];
        }
    }
    cr_assert_gt(distinct, 5);
    fit_result_free(&r);
}

Test(curve_fit, no_value_at_a_point)
{
    err e = {0};
    fit_model m;
    cr_assert_eq(fit_model_init(&m, fit_law_find("multi-power", NULL), NULL, &e), ST_DOMAIN);
    cr_assert(strstr(e.msg, "whole curves"), "%s", e.msg);
    fit_model_free(&m);
}
