/* From a table to rows: names, derivation, dropping, conventions, refusals. */
#include <criterion/criterion.h>
#include <math.h>
#include <unistd.h>

#include "tests/fit/synthetic.h"

typedef struct log_of { char text[4096]; } log_of;
static void say(void *who, int level, const char *line)
{
    log_of *l = who;
    size_t n = strlen(l->text);
    snprintf(l->text + n, sizeof l->text - n, "%d %s\n", level, line);
}

static status read_text(fit_data *d, log_of *l, const char *csv, const char *law, const fit_input_opts *o, err *e)
{
    char path[] = "/tmp/muscale-test-XXXXXX";
    table t = {0};
    int fd = mkstemp(path);
    cr_assert_geq(fd, 0);
    cr_assert_eq(io_write_all(fd, csv, strlen(csv), path, e), ST_OK);
    close(fd);
    memset(l, 0, sizeof *l);
    memset(d, 0, sizeof *d);
    status s = table_read(&t, path, e);
    if (!s) s = fit_input(d, &t, law ? fit_law_find(law, e) : NULL, o, say, l, e);
    unlink(path);
    table_free(&t);
    return s;
}

Test(input, guesses_are_printed_and_validation_loss_wins)
{
    fit_data d;
    log_of l;
    err e = {0};
    fit_input_opts o = {0};
    cr_assert_eq(
        read_text(&d, &l, "params,tokens,loss,val_loss\n1e6,2e7,3.1,3.3\n2e6,3e7,3.0,3.2\n", "chinchilla", &o, &e),
        ST_OK, "%s", e.msg);
    cr_assert_eq(d.n, 2);
    cr_assert_eq(d.N[1], 2e6);
    cr_assert_eq(d.y[0], 3.3);
    cr_assert(strstr(l.text, "'params' taken as N") && strstr(l.text, "'val_loss' taken as loss"), "%s", l.text);
    cr_assert_str_eq(d.count_rule, "unstated");
    cr_assert_null(d.C);
    fit_data_free(&d);
}

Test(input, two_matching_names_are_refused)
{
    fit_data d;
    log_of l;
    err e = {0};
    fit_input_opts o = {0};
    cr_assert_eq(read_text(&d, &l, "params,model_size,tokens,loss\n1,2,3,4\n", "chinchilla", &o, &e), ST_INPUT);
    cr_assert(strstr(e.msg, "--col N="), "%s", e.msg);
    fit_data_free(&d);
    const char *cols[] = {"N=params"};
    o = (fit_input_opts){.cols = cols, .n_cols = 1};
    cr_assert_eq(read_text(&d, &l, "params,model_size,tokens,loss\n1,2,3,4\n", "chinchilla", &o, &e), ST_OK);
    fit_data_free(&d);
}

Test(input, tokens_are_derived_only_where_the_rule_is_stated)
{
    static const char csv[] = "N,C,loss\n1e6,6e15,3\n2e6,6e15,2.9\n";
    fit_data d;
    log_of l;
    err e = {0};
    fit_input_opts o = {0};
    cr_assert_eq(read_text(&d, &l, csv, "chinchilla", &o, &e), ST_INPUT);
    cr_assert(strstr(e.msg, "--flops-rule 6N"), "%s", e.msg);
    fit_data_free(&d);
    o.flops_rule = "exact";
    cr_assert_eq(read_text(&d, &l, csv, "chinchilla", &o, &e), ST_INPUT);
    fit_data_free(&d);
    o.flops_rule = "6N";
    cr_assert_eq(read_text(&d, &l, csv, "chinchilla", &o, &e), ST_OK);
    cr_assert_eq(d.D[0], 1e9);
    cr_assert(strstr(l.text, "D derived as C/(6 N)"), "%s", l.text);
    fit_data_free(&d);
    o.flops_rule = "7N";
    cr_assert_eq(read_text(&d, &l, csv, "chinchilla", &o, &e), ST_USAGE);
    fit_data_free(&d);
}

Test(input, diverged_rows_are_counted_even_behind_where)
{
    fit_data d;
    log_of l;
    err e = {0};
    fit_input_opts o = {.where = "loss < 5 and N > 1e6"};
    static const char csv[] = "N,D,loss\n1e6,1e9,nan\n2e6,1e9,inf\n3e6,1e9,3\n4e6,1e9,6\n5e6,1e9,\n6e6,1e9,NaN\n";
    cr_assert_eq(read_text(&d, &l, csv, "chinchilla", &o, &e), ST_OK, "%s", e.msg);
    cr_assert_eq(d.n, 1);
    cr_assert_eq(d.n_dropped, 2, "%s", l.text);
    cr_assert_str_eq(d.dropped[0].why, "where"); /* N = 1e6, loss 6, and the absent loss */
    cr_assert_eq(d.dropped[0].n, 3);
    cr_assert_str_eq(d.dropped[1].why, "diverged");
    cr_assert_eq(d.dropped[1].n, 2);
    cr_assert(strstr(l.text, ":3: dropped, loss is not finite"), "%s", l.text); /* named at level 1 */
    fit_data_free(&d);
    o.where = NULL;
    cr_assert_eq(read_text(&d, &l, "N,D,loss\n1,1,nan\n2,2,inf\n", "chinchilla", &o, &e), ST_OK);
    cr_assert_eq(d.n, 0); /* all diverged: fit_run refuses, no error here */
    fit_data_free(&d);
}

Test(input, what_is_not_positive_is_named_by_row)
{
    static const struct { const char *csv, *says;
    } bad[] = {{"N,D,loss\n1e6,1e9,3\n-2e6,1e9,3\n", ":3: N is -2e+06"},
               {"N,D,loss\n1e6,0,3\n", ":2: D is 0"},
               {"N,D,loss\n1e6,1e9,-3\n", ":2: loss is -3"},
               {"N,D,loss\n1e6,inf,3\n", ":2: D is not finite"},
               {"N,D,loss\n1e6,1e9,3\n1e6,1e9,2_000\n", ":3:9: '2_000' is not a number"},
               {"N,D,loss\n1e6,1e9,1e-5x\n", ":2:9: '1e-5x' is not a number"},
               {"N,D\n1,2\n", "no column for loss"},
               {"N,loss\n1,2\n", "no column for D"}};
    fit_data d;
    log_of l;
    for (size_t i = 0; i < sizeof bad / sizeof *bad; i++) {
        err e = {0};
        fit_input_opts o = {0};
        cr_assert_eq(read_text(&d, &l, bad[i].csv, "chinchilla", &o, &e), ST_INPUT, "%s", bad[i].csv);
        cr_assert(strstr(e.msg, bad[i].says), "'%s' does not say '%s'", e.msg, bad[i].says);
        fit_data_free(&d);
    }
}

Test(input, one_variable_needs_its_name)
{
    fit_data d;
    log_of l;
    err e = {0};
    fit_input_opts o = {0};
    cr_assert_eq(read_text(&d, &l, "step,loss\n10,3\n20,2.5\n", "power", &o, &e), ST_USAGE);
    fit_data_free(&d);
    o.x = "step";
    cr_assert_eq(read_text(&d, &l, "step,loss\n10,3\n20,2.5\n", "power", &o, &e), ST_OK, "%s", e.msg);
    cr_assert_eq(d.x[1], 20);
    cr_assert_str_eq(d.x_name, "step");
    fit_data_free(&d);
    o.x = "N"; /* also where the columns of other laws are absent */
    cr_assert_eq(read_text(&d, &l, "N,loss\n10,3\n20,2.5\n", "power", &o, &e), ST_OK, "%s", e.msg);
    cr_assert(d.x[1] == 20 && d.N[1] == 20);
    fit_data_free(&d);
    o.x = "D";
    cr_assert_eq(read_text(&d, &l, "N,D,loss\n10,3,1\n20,2.5,1\n", "chinchilla", &o, &e), ST_USAGE);
    fit_data_free(&d);
}

Test(input, clusters_hold_out_and_seed_noise)
{
    static const char csv[] = "N,D,C,loss,seed,family\n1e6,1e9,6e15,3,1,a\n1e6,1e9,6e15,3.03,2,a\n2e6,1e9,1.2e16,2.8,1,"
                              "b\n2e6,1e9,1.2e16,2.8,1,b\n4e6,1e9,2.4e16,2.5,1,c\n";
    fit_data d;
    log_of l;
    err e = {0};
    fit_input_opts o = {.cluster = "family", .hold_out = "largest"};
    cr_assert_eq(read_text(&d, &l, csv, "chinchilla", &o, &e), ST_OK, "%s", e.msg);
    cr_assert(d.cluster[0] == d.cluster[1] && d.cluster[1] != d.cluster[2] && d.cluster[2] != d.cluster[4]);
    cr_assert(d.held_out[4] && !d.held_out[0] && !d.held_out[2]); /* more than half of 2.4e16 */
    cr_assert_float_eq(d.seed_sd, log(3.03 / 3) / sqrt(2),
                       1e-12); /* one pair; rows of equal seed are copies, not noise */
    fit_data_free(&d);
    o.hold_out = "N >= 2e6";
    cr_assert_eq(read_text(&d, &l, csv, "chinchilla", &o, &e), ST_OK);
    cr_assert(d.held_out[2] && !d.held_out[1]);
    fit_data_free(&d);
    o.hold_out = "M >= 2e6";
    cr_assert_eq(read_text(&d, &l, csv, "chinchilla", &o, &e), ST_INPUT);
    fit_data_free(&d);
}

/* A campaign: line 0, its own conventions, canonical names beside config keys of other names. */
Test(input, rows_of_a_store_bring_their_conventions)
{
    table t = {0};
    size_t first, col;
    err e = {0};
    fit_data d;
    log_of l = {0};
    fit_input_opts o = {0};
    static const double n[] = {1e6, 2e6, 3e6, 4e6}, tokens[] = {1e7, 2e7, 3e7, 4e7}, loss[] = {3, 2.9, NAN, 2.7};
    static const char *const st[] = {"done", "done", "diverged", "stopped"};
    cr_assert_eq(table_grow(&t, "campaign", "", 4, &first, &e), ST_OK);
    table_add_col(&t, "N", n, &e);
    table_add_col(&t, "D", tokens, &e);
    table_add_col(&t, "tokens", tokens, &e); /* a config key: no clash with D */
    table_add_col(&t, "loss", loss, &e);
    cr_assert_eq(table_col_index(&t, "status", &col, &e), ST_OK);
    for (size_t i = 0; i < 4; i++) table_set_word(&t, col, i, st[i], 0, 0, &e);
    cr_assert_eq(fit_input(&d, &t, fit_laws[0], &o, say, &l, &e), ST_OK, "%s", e.msg);
    cr_assert_eq(d.n, 2);
    cr_assert_str_eq(d.count_rule, "total");
    cr_assert_str_eq(d.flops_rule, "exact");
    cr_assert_eq(d.n_dropped, 2, "%s", l.text);
    cr_assert_str_eq(d.dropped[0].why, "not finished");
    cr_assert_str_eq(d.dropped[1].why, "diverged");
    table_free(&t);
    fit_data_free(&d);
}

static size_t early_stopped(bool asked, fit_data *d)
{
    enum { N_RUNS = 4 };
    static const double n[] = {1e6, 2e6, 3e6, 4e6}, tokens[] = {1e7, 2e7, 3e6, 4e7}, loss[] = {3, 2.9, NAN, 2.7},
                        last[] = {NAN, NAN, 3.3, NAN};
    static const char *const st[] = {"done", "done", "early-stopped", "partial"};
    table t = {0};
    err e = {0};
    size_t first, col;
    log_of l = {0};
    fit_input_opts o = {.include_early_stopped = asked};
    cr_assert_eq(table_grow(&t, "campaign", "", N_RUNS, &first, &e), ST_OK);
    table_add_col(&t, "N", n, &e);
    table_add_col(&t, "D", tokens, &e);
    table_add_col(&t, "loss", loss, &e);
    table_add_col(&t, "stop_val_loss", last, &e);
    cr_assert_eq(table_col_index(&t, "status", &col, &e), ST_OK);
    for (size_t i = 0; i < N_RUNS; i++) table_set_word(&t, col, i, st[i], 0, 0, &e);
    cr_assert_eq(fit_input(d, &t, fit_laws[0], &o, say, &l, &e), ST_OK, "%s", e.msg);
    table_free(&t);
    return d->n;
}

Test(input, an_early_stopped_run_counts_only_when_asked)
{
    fit_data d;
    cr_expect_eq(early_stopped(false, &d), 2);
    cr_assert_eq(d.n_dropped, 2);
    cr_expect_str_eq(d.dropped[1].why, "early-stopped");
    cr_expect_eq(d.dropped[1].n, 1);
    fit_data_free(&d);
    cr_expect_eq(early_stopped(true, &d), 3);
    cr_expect_eq(d.n_dropped, 1, "the killed one stays out");
    cr_expect_eq(d.y[2], 3.3, "its last validation, not its absent final loss: %g", d.y[2]);
    fit_data_free(&d);
}
